/* chmod, chown and what they clear; who may. */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static void modes(void)
{
	static const mode_t given[] = { 0, 0400, 0644, 0755, 0777, 01777, 02755,
		                        02644, 04755, 06755, 07777, 0177777 };
	int fd, d;

	file("f", "x");
	dir("d");
	OK(mkfifo("p", 0644));
	OK(symlink("f", "l"));
	fd = open("f", O_RDONLY);
	d = open("d", O_RDONLY);
	for (size_t m = 0; m < COUNT(given); m++) {
		OK(chmod("f", given[m]));
		OK(chmod("d", given[m]));
		OK(chmod("p", given[m]));
		tree(".");
		OK(fchmod(fd, given[m] ^ 0111));
		OK(fchmod(d, given[m] ^ 0111));
		OK(fchmodat(AT_FDCWD, "l", given[m] ^ 0222, 0));
		tree(".");
	}
	OK(chmod("d", 0755));
	OK(chmod("missing", 0644));
	OK(chmod("f/x", 0644));
	OK(chmod("", 0644));
	OK(fchmodat(AT_FDCWD, "f", 0600, 0x8000));
	OK(fchmodat(AT_FDCWD, "f", 0640, AT_SYMLINK_NOFOLLOW));
	OK(fchmodat(AT_FDCWD, "l", 0640, AT_SYMLINK_NOFOLLOW));
	OK(fchmodat(d, "none", 0640, 0));
	OK(fchmod(-1, 0600));
	close(fd);
	close(d);
	snap("f");
	OK(chmod("f", 0600));
	changed("chmod", "f");
	OK(chmod("f", 0600));
	changed("chmod to the same", "f");
	content("f");
}

/* A file of Alice's with a group of hers, and everybody's chmod on it. */
static void chmod_by(void)
{
	static const mode_t given[] = { 0600, 02755, 04755, 06777, 01777 };

	for (int who = ROOT; who <= BOB; who++) {
		become(ROOT);
		file("own", "x");
		OK(chown("own", 1001, 1001));
		file("shared", "x");
		OK(chown("shared", 1001, 2000));
		file("alien", "x");
		OK(chown("alien", 1001, 3000));
		dir("d");
		OK(chown("d", 1001, 3000));
		become(who);
		for (size_t m = 0; m < COUNT(given); m++) {
			OK(chmod("own", given[m]));
			OK(chmod("shared", given[m]));
			OK(chmod("alien", given[m]));
			OK(chmod("d", given[m]));
			say("as", "%s %04o", who_name[who], given[m]);
			tree(".");
		}
		become(ROOT);
		OK(wipe(".", false));
	}
}

static void owners(void)
{
	int fd;

	file("f", "x");
	dir("d");
	link_to("f", "l");
	link_to("nowhere", "dangling");
	OK(mkfifo("p", 0644));
	OK(chown("f", 1001, 1002));
	OK(chown("f", (uid_t)-1, 7));
	OK(chown("f", 8, (gid_t)-1));
	OK(chown("f", (uid_t)-1, (gid_t)-1));
	OK(lchown("l", 11, 12));
	OK(chown("l", 21, 22));
	OK(lchown("dangling", 31, 32));
	OK(chown("dangling", 31, 32));
	OK(chown("d", 41, 42));
	OK(chown("p", 51, 52));
	OK(chown("missing", 1, 1));
	OK(chown("f/x", 1, 1));
	OK(chown("", 1, 1));
	tree(".");
	fd = open("f", O_RDONLY);
	OK(fchown(fd, 4294967294u, 4294967294u));
	OK(fchown(fd, 65536, 70000));
	OK(fchownat(fd, "", 61, 62, AT_EMPTY_PATH));
	OK(fchownat(AT_FDCWD, "l", 71, 72, AT_SYMLINK_NOFOLLOW));
	OK(fchownat(AT_FDCWD, "l", 71, 72, 0x8000));
	OK(fchown(-1, 1, 1));
	close(fd);
	OK(fchown(fd, 1, 1));
	tree(".");
	snap("f");
	OK(chown("f", 5, 5));
	changed("chown", "f");
	OK(chown("f", 5, 5));
	changed("chown to the same", "f");
	OK(chown("f", (uid_t)-1, (gid_t)-1));
	changed("chown to nothing", "f");
	content("f");
}

static void chown_by(void)
{
	static const struct {
		uid_t uid;
		gid_t gid;
	} given[] = { { 1001, 1001 }, { (uid_t)-1, 2000 }, { (uid_t)-1, 3000 },
		      { 1002, (gid_t)-1 }, { 1001, (gid_t)-1 },
		      { (uid_t)-1, (gid_t)-1 }, { 0, 0 }, { 1001, 2000 } };

	for (int who = NOBODY; who <= BOB; who++) {
		become(ROOT);
		file("f", "x");
		OK(chown("f", 1001, 1001));
		OK(chmod("f", 06755));
		link_to("f", "l");
		OK(lchown("l", 1001, 1001));
		become(who);
		for (size_t g = 0; g < COUNT(given); g++) {
			OK(chown("f", given[g].uid, given[g].gid));
			OK(lchown("l", given[g].uid, given[g].gid));
			say("as", "%s %d %d", who_name[who], (int)given[g].uid,
			    (int)given[g].gid);
			tree(".");
		}
		become(ROOT);
		OK(wipe(".", false));
	}
}

static void reset(const char *path, uid_t uid, mode_t mode)
{
	if (chown(path, uid, uid) || chmod(path, mode))
		step(label("reset %s", path), -1);
}

/* What takes away the setuid and setgid bits, and by whom. */
static void clearing_by(enum who who, mode_t mode)
{
	static char page[4096] __attribute__((aligned(4096)));
	int fd;

	become(ROOT);
	say("as", "%s %04o", who_name[who], mode);
	file("f", "0123456789");
	dir("d");
	reset("f", 1001, mode);
	reset("d", 1001, mode);
	become(who);
	OK(chown("f", (uid_t)-1, (gid_t)-1));
	stat_of("f");
	OK(chown("f", 1001, (gid_t)-1));
	stat_of("f");
	OK(chown("d", 1001, 1001));
	stat_of("d");
	become(ROOT);
	reset("f", 1001, mode | 0666);
	become(who);
	fd = open("f", O_RDWR);
	C(pread(fd, &(char[2]){ 0 }, 2, 0));
	fstat_of("after a read", fd);
	C(pwrite(fd, "x", 1, 0));
	fstat_of("after a write", fd);
	close(fd);
	stat_of("f");
	become(ROOT);
	reset("f", 1001, mode | 0666);
	become(who);
	OK(truncate("f", 5));
	stat_of("f");
	become(ROOT);
	reset("f", 1001, mode | 0666);
	become(who);
	fd = OK(open("f", O_WRONLY | O_TRUNC));
	stat_of("f");
	become(ROOT);
	reset("f", 1001, mode | 0666);
	become(who);
	fd = open("f", O_RDWR);
	OK(fallocate(fd, 0, 0, 100));
	fstat_of("after fallocate", fd);
	close(fd);
	become(ROOT);
	reset("f", 1001, mode | 0666);
	become(who);
	fd = open("f", O_WRONLY | O_APPEND);
	C(write(fd, "x", 1));
	fstat_of("after an append", fd);
	close(fd);
	become(ROOT);
	reset("f", 1001, mode | 0666);
	become(who);
	fd = open("f", O_WRONLY | O_DIRECT);
	C(write(fd, page, sizeof(page)));
	fstat_of("after a direct write", fd);
	close(fd);
	become(ROOT);
	reset("f", 1001, mode | 0666);
	become(who);
	OK(link("f", "g"));
	OK(rename("f", "h"));
	stat_of("h");
	become(ROOT);
	OK(wipe(".", false));
}

static void clearing(void)
{
	static const mode_t given[] = { 04755, 02755, 06755 };

	for (int who = ROOT; who <= BOB; who++)
		for (size_t m = 0; m < COUNT(given); m++)
			clearing_by(who, given[m]);
}

/* Without the right of the group to execute it, setgid means nothing. */
static void setgid_without_exec(void)
{
	int fd;

	for (int who = ROOT; who <= BOB; who++) {
		become(ROOT);
		say("as", "%s", who_name[who]);
		file("f", "0123456789");
		reset("f", 1001, 02766);
		fd = open("f", O_RDWR);
		become(who);
		OK(chown("f", (uid_t)-1, (gid_t)-1));
		C(write(fd, "x", 1));
		fstat_of("after a write", fd);
		OK(ftruncate(fd, 5));
		fstat_of("after ftruncate", fd);
		close(fd);
		become(ROOT);
		OK(unlink("f"));
	}
}

const struct posix_case cases_attr[] = {
	{ "chmod", modes, AT_ALL },
	{ "chmod_by", chmod_by, AS_ROOT },
	{ "chown", owners, AT_ALL | AS_ROOT },
	{ "chown_by", chown_by, AS_ROOT },
	{ "clear_setuid", clearing, AS_ROOT },
	{ "setgid_without_exec", setgid_without_exec, AS_ROOT },
	{ NULL, NULL, 0 },
};
