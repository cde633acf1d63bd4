/* Reading directories. */
#include "posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANY 700                /* at the most: fewer(MANY) */

static void many(void)
{
	char name[200];

	dir("d");
	for (int i = 0; i < fewer(MANY); i++) {
		snprintf(name, sizeof(name), "d/%0*d", 4 + i % 90, i);
		if (mknod(name, S_IFREG | 0644, 0))
			step(name, -1);
	}
}

/* How often each of the numbered names shows; dots are bit 30 and 31. */
static int tally(DIR *s, unsigned char seen[MANY], int most)
{
	struct dirent *e;
	int n = 0;

	while (n < most && (e = readdir(s)) != NULL) {
		n++;
		if (e->d_name[0] != '.')
			seen[atoi(e->d_name) % MANY]++;
	}
	return n;
}

static void say_tally(const char *what, const unsigned char seen[MANY])
{
	int none = 0, once = 0, more = 0;

	for (int i = 0; i < fewer(MANY); i++) {
		none += seen[i] == 0;
		once += seen[i] == 1;
		more += seen[i] > 1;
	}
	say(what, "never %d, once %d, more %d", none, once, more);
}

static void complete(void)
{
	unsigned char seen[MANY] = { 0 };
	DIR *s;

	many();
	s = opendir("d");
	C(tally(s, seen, MANY * 2));
	say_tally("all", seen);
	C(tally(s, seen, MANY * 2));
	rewinddir(s);
	file("d/zz", "x");
	memset(seen, 0, sizeof(seen));
	rewinddir(s);
	C(tally(s, seen, MANY * 2));
	closedir(s);
	OK(unlink("d/zz"));
}

static void positions(void)
{
	long at[MANY + 2];
	static char names[MANY + 2][256];
	struct dirent *e;
	int n = 0, wrong = 0;
	DIR *s;

	many();
	s = opendir("d");
	for (; n < MANY + 2; n++) {
		at[n] = telldir(s);
		e = readdir(s);
		if (!e)
			break;
		snprintf(names[n], sizeof(names[n]), "%s", e->d_name);
	}
	say("entries", "%d", n);
	for (int i = n - 1; i >= 0; i -= 37) {
		seekdir(s, at[i]);
		e = readdir(s);
		wrong += !e || strcmp(e->d_name, names[i]) != 0;
	}
	say("wrong after seekdir", "%d", wrong);
	closedir(s);
}

/* What is removed while it is read: the rest shows, each entry once. */
static void removal(void)
{
	unsigned char seen[MANY] = { 0 };
	char name[300];
	struct dirent *e;
	int removed = 0;
	DIR *s;

	many();
	s = opendir("d");
	while ((e = readdir(s)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		seen[atoi(e->d_name) % MANY]++;
		snprintf(name, sizeof(name), "d/%s", e->d_name);
		removed += unlink(name) == 0;
	}
	say("removed", "%d", removed);
	say_tally("all", seen);
	closedir(s);
	OK(rmdir("d"));
	many();
	s = opendir("d");
	memset(seen, 0, sizeof(seen));
	C(tally(s, seen, 10));
	/* What stays must still show once, whatever happens around it. */
	for (int i = 0; i < fewer(MANY); i += 2) {
		snprintf(name, sizeof(name), "d/%0*d", 4 + i % 90, i);
		unlink(name);
	}
	for (int i = 0; i < fewer(100); i++) {
		snprintf(name, sizeof(name), "d/.new%d", i);
		close(creat(name, 0644));
	}
	tally(s, seen, MANY * 2);
	removed = 0;
	for (int i = 1; i < fewer(MANY); i += 2)
		removed += seen[i] != 1;
	say("stayed and not seen once", "%d", removed);
	closedir(s);
}

static void kinds(void)
{
	struct dirent *e;
	struct stat st;
	DIR *s;
	int wrong = 0, dots = 0, fd;

	file("f", "x");
	dir("d");
	link_to("f", "l");
	OK(mkfifo("p", 0644));
	OK(link("f", "h"));
	fd = open("pending", O_CREAT | O_WRONLY, 0644);
	list(".");
	s = opendir(".");
	while ((e = readdir(s)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
			dots += e->d_type == DT_DIR;
			if (e->d_name[1] == '.')
				continue;
		}
		wrong += lstat(e->d_name, &st) || st.st_ino != e->d_ino ||
			 IFTODT(st.st_mode) != e->d_type;
	}
	say("dots", "%d", dots);
	say("wrong numbers or types", "%d", wrong);
	closedir(s);
	close(fd);
	list("d");
	list("f");
	list("l");
	list("missing");
	list("f/x");
}

static void raw(void)
{
	char buf[1024];
	int d, f;

	file("a", "x");
	d = open(".", O_RDONLY | O_DIRECTORY);
	f = open("a", O_RDONLY);
	C(getdents64(d, buf, 1) < 0 ? errno : 0);
	C(getdents64(f, buf, sizeof(buf)));
	C(getdents64(-1, buf, sizeof(buf)));
	C(getdents64(d, buf, sizeof(buf)) > 0);
	C(getdents64(d, buf, sizeof(buf)));
	C(lseek(d, 0, SEEK_SET));
	C(getdents64(d, buf, sizeof(buf)) > 0);
	C(lseek(d, 0, SEEK_SET));
	file("b", "y");
	C(getdents64(d, buf, sizeof(buf)) > 0);
	say("fdopendir of a file", "%s",
	    fdopendir(f) ? "ok" : strerrorname_np(errno));
	close(f);
	close(d);
	d = open(".", O_PATH);
	C(getdents64(d, buf, sizeof(buf)));
	close(d);
}

/* Entries that come and go are seen by a stream that is rewound. */
static void rewound(void)
{
	struct dirent *e;
	DIR *s;
	int n;

	dir("d");
	s = opendir("d");
	for (int round = 0; round < 6; round++) {
		char name[32];

		snprintf(name, sizeof(name), "d/n%d", round / 2);
		step_ok(name, round % 2 ? unlink(name) : mkdir(name, 0755) ||
		        round < 2 ? 0 : 0);
		rewinddir(s);
		for (n = 0; (e = readdir(s)) != NULL; n++)
			;
		say("entries", "%d", n);
	}
	closedir(s);
}

static void watched(void)
{
	char buf[4096] __attribute__((aligned(8))), text[512] = "";
	int fd = inotify_init1(IN_NONBLOCK), n;
	size_t used = 0;

	C(inotify_add_watch(fd, ".", IN_ALL_EVENTS));
	file("f", "x");
	OK(mkdir("d", 0755));
	OK(rename("f", "d/g"));
	OK(unlink("d/g"));
	OK(rmdir("d"));
	n = (int)read(fd, buf, sizeof(buf));
	for (int i = 0; i < n;) {
		const struct inotify_event *e = (void *)(buf + i);

		used += (size_t)snprintf(text + used, sizeof(text) - used,
		                         " %x:%s", e->mask, e->len ? e->name : "");
		i += (int)(sizeof(*e) + e->len);
	}
	say("events", "%s", text);
	close(fd);
}

static void working_directory(void)
{
	char buf[4096];

	dir("a");
	dir("a/b");
	OK(chdir("a/b"));
	say("ends in", "%s", strrchr(getcwd(buf, sizeof(buf)), '/'));
	OK(rename("../../a", "../../c"));
	say("ends in", "%s", strrchr(getcwd(buf, sizeof(buf)) - 4 + strlen(buf), '/'));
	file("f", "x");
	OK(chdir(".."));
	list(".");
	OK(chdir("../c/b/.."));
	OK(chdir("b/f"));
	OK(chdir("none"));
	OK(chdir(".."));
	tree(".");
}

const struct posix_case cases_dirs[] = {
	{ "readdir_all", complete, AT_ALL },
	{ "readdir_seek", positions, 0 },
	{ "readdir_remove", removal, AT_ALL },
	{ "readdir_kinds", kinds, AT_ALL },
	{ "readdir_raw", raw, AT_ALL },
	{ "readdir_rewound", rewound, AT_ALL },
	{ "inotify", watched, 0 },
	{ "getcwd", working_directory, AT_ALL },
	{ NULL, NULL, 0 },
};
