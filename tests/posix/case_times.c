/* utimensat: values, UTIME_NOW, UTIME_OMIT, who may; which times move. */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

static void say_times(const char *path)
{
	struct stat st;

	if (lstat(path, &st))
		step(label("times of %s", path), -1);
	else
		say(label("times of %s", path), "%jd.%09ld %jd.%09ld",
		    (intmax_t)st.st_atim.tv_sec, st.st_atim.tv_nsec,
		    (intmax_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static const struct {
	const char *name;
	struct timespec t[2];
} given[] = {
	{ "plain", { { 1000000000, 1 }, { 1234567890, 123456789 } } },
	{ "zero", { { 0, 0 }, { 0, 0 } } },
	{ "999999999 ns", { { 5, 999999999 }, { 6, 999999999 } } },
	{ "before 1970", { { -1, 5 }, { -86400, 999999999 } } },
	{ "1901", { { -2147483648LL, 0 }, { -2147483647, 7 } } },
	{ "after 2038", { { 2147483648LL, 1 }, { 4294967296LL, 2 } } },
	{ "2200", { { 7258118400LL, 3 }, { 7258118401LL, 4 } } },
	{ "omit mtime", { { 42, 42 }, { 0, UTIME_OMIT } } },
	{ "omit atime", { { 0, UTIME_OMIT }, { 43, 43 } } },
	{ "omit both", { { 0, UTIME_OMIT }, { 0, UTIME_OMIT } } },
	{ "bad ns", { { 1, 1000000000 }, { 1, 0 } } },
	{ "negative ns", { { 1, 0 }, { 1, -1 } } },
};

static void values(void)
{
	int fd;

	file("f", "x");
	dir("d");
	link_to("f", "l");
	OK(mkfifo("p", 0644));
	fd = open("f", O_RDONLY);
	for (size_t i = 0; i < COUNT(given); i++) {
		say("set", "%s", given[i].name);
		OK(utimensat(AT_FDCWD, "f", given[i].t, 0));
		OK(utimensat(AT_FDCWD, "d", given[i].t, 0));
		OK(utimensat(AT_FDCWD, "p", given[i].t, 0));
		OK(utimensat(AT_FDCWD, "l", given[i].t, AT_SYMLINK_NOFOLLOW));
		say_times("f");
		say_times("d");
		say_times("p");
		say_times("l");
	}
	OK(utimensat(AT_FDCWD, "l", given[0].t, 0));
	say_times("f");
	OK(futimens(fd, given[2].t));
	say_times("f");
	OK(utimensat(AT_FDCWD, "missing", given[0].t, 0));
	OK(utimensat(AT_FDCWD, "missing", given[9].t, 0));
	OK(utimensat(AT_FDCWD, "f/x", given[0].t, 0));
	OK(utimensat(AT_FDCWD, "", given[0].t, 0));
	OK(utimensat(AT_FDCWD, "f", given[0].t, 0x8000));
	OK(futimens(-1, given[0].t));
	OK(utime("f", &(struct utimbuf){ 11, 12 }));
	say_times("f");
	close(fd);
	content("f");
}

static void far(void)
{
	static const struct timespec t[] = {
		{ 9223372000LL, 9 }, { 9223372037LL, 0 }, { 15032385535LL, 0 },
		{ -2147483649LL, 0 }, { -99999999999LL, 0 },
		{ 9999999999999LL, 0 },
	};

	file("f", "x");
	for (size_t i = 0; i < COUNT(t); i++) {
		struct timespec both[2] = { t[i], t[i] };

		step_ok(label("utimensat %jd", (intmax_t)t[i].tv_sec),
		        utimensat(AT_FDCWD, "f", both, 0));
		say_times("f");
	}
}

/* How far a time is from now: "now" within a minute. */
static void say_now(const char *path)
{
	struct timespec now;
	struct stat st;

	clock_gettime(CLOCK_REALTIME, &now);
	lstat(path, &st);
	say(label("now %s", path), "%d %d",
	    st.st_atim.tv_sec > now.tv_sec - 60,
	    st.st_mtim.tv_sec > now.tv_sec - 60);
}

static void now(void)
{
	static const struct timespec old[2] = { { 1, 1 }, { 2, 2 } };
	static const struct timespec both[2] = { { 0, UTIME_NOW },
		                                 { 0, UTIME_NOW } };
	static const struct timespec one[2] = { { 3, 3 }, { 0, UTIME_NOW } };
	static const struct timespec other[2] = { { 0, UTIME_NOW },
		                                  { 0, UTIME_OMIT } };

	file("f", "x");
	snap("f");
	OK(utimensat(AT_FDCWD, "f", old, 0));
	changed("utimensat", "f");
	OK(utimensat(AT_FDCWD, "f", old, 0));
	changed("the same utimensat", "f");
	OK(utimensat(AT_FDCWD, "f", both, 0));
	say_now("f");
	OK(utimensat(AT_FDCWD, "f", old, 0));
	OK(utimensat(AT_FDCWD, "f", NULL, 0));
	say_now("f");
	OK(utimensat(AT_FDCWD, "f", one, 0));
	say_now("f");
	OK(utimensat(AT_FDCWD, "f", old, 0));
	OK(utimensat(AT_FDCWD, "f", other, 0));
	say_now("f");
	snap("f");
	OK(utimensat(AT_FDCWD, "f", given[9].t, 0));
	changed("UTIME_OMIT twice", "f");
}

/* Times that were set survive close, rename and the other names. */
static void kept(void)
{
	static const struct timespec t[2] = { { 100, 1 }, { 200, 2 } };
	int fd = open("f", O_RDWR | O_CREAT, 0644);

	C(write(fd, "x", 1));
	OK(futimens(fd, t));
	say_times("f");
	OK(close(fd));
	say_times("f");
	OK(rename("f", "g"));
	say_times("g");
	OK(link("g", "h"));
	say_times("h");
	OK(chmod("g", 0600));
	OK(unlink("g"));
	say_times("h");
	fd = open("h", O_RDWR);
	C(write(fd, "y", 1));
	OK(futimens(fd, t));
	OK(fsync(fd));
	say_times("h");
	C(pwrite(fd, "z", 1, 5));
	say_now("h");
	OK(close(fd));
	say_now("h");
	OK(utimensat(AT_FDCWD, "h", t, 0));
	fd = open("h", O_RDWR);
	say_times("h");
	OK(close(fd));
	say_times("h");
	dir("d");
	OK(utimensat(AT_FDCWD, "d", t, 0));
	OK(rename("d", "e"));
	say_times("e");
	file("e/f", "x");
	say_now("e");
}

static void set_by(void)
{
	static const struct timespec set[2] = { { 1, 1 }, { 2, 2 } };
	static const struct timespec both[2] = { { 0, UTIME_NOW },
		                                 { 0, UTIME_NOW } };
	static const struct timespec one[2] = { { 0, UTIME_NOW },
		                                { 0, UTIME_OMIT } };
	static const mode_t modes[] = { 0644, 0666, 0444, 0 };

	for (int who = ROOT; who <= BOB; who++) {
		for (size_t m = 0; m < COUNT(modes); m++) {
			become(ROOT);
			file("f", "x");
			OK(chown("f", 1001, 1001));
			OK(chmod("f", modes[m]));
			become(who);
			say("as", "%s %04o", who_name[who], modes[m]);
			OK(utimensat(AT_FDCWD, "f", set, 0));
			OK(utimensat(AT_FDCWD, "f", both, 0));
			OK(utimensat(AT_FDCWD, "f", NULL, 0));
			OK(utimensat(AT_FDCWD, "f", one, 0));
			OK(utimensat(AT_FDCWD, "f", given[9].t, 0));
			become(ROOT);
			OK(unlink("f"));
		}
	}
}

/* POSIX lets a read mark atime; mount options may say otherwise. */
static void atime(void)
{
	struct stat a, b;
	int fd;

	file("f", "x");
	OK(utimensat(AT_FDCWD, "f", given[0].t, 0));
	lstat("f", &a);
	fd = open("f", O_RDONLY);
	C(read(fd, &(char[2]){ 0 }, 2));
	close(fd);
	lstat("f", &b);
	say("atime after a read", "%s",
	    a.st_atim.tv_sec == b.st_atim.tv_sec ? "-" : "atime");
	snap("f");
	changed("that", "f");
}

/* The time that a change in a directory gave it stays with the next call. */
static void of_a_directory(void)
{
	dir("d");
	file("d/f", "x");
	snap("d");
	OK(rename("d/f", "f"));
	OK(chmod("d", 0777));
	changed("rename out of it and chmod", "d");
	OK(rename("f", "d/f"));
	OK(chown("d", (uid_t)-1, getgid()));
	changed("rename into it and chown", "d");
	OK(rename("d/f", "d/g"));
	OK(chmod("d", 0777));
	changed("rename in it and chmod", "d");
}

const struct posix_case cases_times[] = {
	{ "utimens", values, AT_ALL },
	{ "utimens_far", far, 0 },
	{ "utimens_now", now, AT_ALL },
	{ "utimens_kept", kept, AT_ALL },
	{ "utimens_by", set_by, AS_ROOT },
	{ "times_of_directory", of_a_directory, AT_ALL },
	{ "atime", atime, 0 },
	{ NULL, NULL, 0 },
};
