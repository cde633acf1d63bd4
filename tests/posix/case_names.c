/* Making and removing names: mkdir, rmdir, link, unlink, symlink, readlink. */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const paths[] = {
	"missing", "file", "dir", "full", "tofile", "todir", "dangling", "loop",
	"fifo", "", ".", "..", "/", "file/", "dir/", "full/", "todir/",
	"dangling/", "missing/", "file/x", "missing/x", "loop/x", "dir/.",
	"full/..", "full/in", "todir/in", "dir/missing", "fifo/x",
};

static void targets(void)
{
	file("file", "x");
	dir("dir");
	dir("full");
	file("full/in", "in");
	link_to("file", "tofile");
	link_to("full", "todir");
	link_to("nothing", "dangling");
	link_to("loop", "loop");
	if (mkfifo("fifo", 0644))
		step("mkfifo", -1);
}

static int do_mkdir(const char *p) { return mkdir(p, 0755); }
static int do_symlink(const char *p) { return symlink("to", p); }
static int do_mkfifo(const char *p) { return mkfifo(p, 0644); }
static int do_link(const char *p) { return link("file", p); }
static int do_link_from(const char *p) { return link(p, "another"); }
static int do_mknod(const char *p) { return mknod(p, S_IFREG | 0644, 0); }

static int do_follow(const char *p)
{
	return linkat(AT_FDCWD, p, AT_FDCWD, "another", AT_SYMLINK_FOLLOW);
}

static int do_rmdirat(const char *p)
{
	return unlinkat(AT_FDCWD, p, AT_REMOVEDIR);
}

static int do_readlink(const char *p)
{
	return (int)readlink(p, (char[64]){ "" }, 64);
}

static int do_chdir(const char *p)
{
	int fd = open(".", O_PATH), rc = chdir(p), err = errno;

	if (fchdir(fd))
		step("fchdir", -1);
	close(fd);
	errno = err;
	return rc;
}

static const struct {
	const char *name;
	int (*call)(const char *path);
} calls[] = {
	{ "mkdir", do_mkdir },
	{ "rmdir", rmdir },
	{ "unlink", unlink },
	{ "remove", remove },
	{ "rmdirat", do_rmdirat },
	{ "symlink", do_symlink },
	{ "mkfifo", do_mkfifo },
	{ "mknod", do_mknod },
	{ "link file to", do_link },
	{ "link from", do_link_from },
	{ "link following", do_follow },
	{ "readlink", do_readlink },
	{ "chdir", do_chdir },
};

/* What is above may be another filesystem, and nothing to remove. */
static bool outside(const char *path, int (*call)(const char *path))
{
	if (call == do_link_from || call == do_follow)
		return strcmp(path, "..") == 0 || strcmp(path, "/") == 0;
	return strcmp(path, "/") == 0 &&
	       (call == rmdir || call == unlink || call == remove ||
	        call == do_rmdirat);
}

/* Every call on every kind of target, each time from the same start. */
static void matrix(void)
{
	for (size_t c = 0; c < COUNT(calls); c++) {
		for (size_t p = 0; p < COUNT(paths); p++) {
			if (outside(paths[p], calls[c].call) || left_out())
				continue;
			targets();
			step(label("%s %s", calls[c].name, paths[p]),
			     calls[c].call(paths[p]));
			tree(".");
			if (wipe(".", false))
				step("wipe", -1);
		}
	}
}

static void times(void)
{
	dir("d");
	file("f", "x");
	snap("d");
	file("d/f", "x");
	changed("create", "d");
	file("d/f", "other");
	changed("writing a file", "d");
	OK(mkdir("d/sub", 0755));
	changed("mkdir", "d");
	OK(rmdir("d/sub"));
	changed("rmdir", "d");
	OK(symlink("x", "d/l"));
	changed("symlink", "d");
	OK(mkfifo("d/p", 0644));
	changed("mkfifo", "d");
	OK(link("f", "d/h"));
	changed("link", "d");
	OK(unlink("d/h"));
	changed("unlink", "d");
	OK(rename("d/f", "d/g"));
	changed("rename within", "d");
	OK(rename("d/g", "g"));
	changed("rename away", "d");
	OK(rename("g", "d/g"));
	changed("rename into", "d");
	OK(rename("f", "d/g"));
	changed("rename over", "d");
	OK(mkdir("d/g", 0755));
	changed("a mkdir that failed", "d");
	OK(chmod("d/g", 0600));
	changed("chmod of an entry", "d");
	list("d");
	changed("readdir", "d");
	OK(access("d/none", F_OK));
	changed("a lookup", "d");
	OK(open("d/new", O_CREAT | O_WRONLY, 0644));
	changed("open of a new file", "d");
	OK(open("d/new", O_CREAT | O_WRONLY, 0644));
	changed("open of an old file", "d");
}

static void times_of_entries(void)
{
	file("f", "x");
	file("g", "y");
	dir("d");
	OK(link("f", "h"));
	snap("f");
	OK(link("f", "i"));
	changed("link", "f");
	OK(unlink("i"));
	changed("unlink of another name", "f");
	OK(rename("f", "j"));
	changed("rename", "j");
	OK(rename("g", "h"));
	changed("rename over its other name", "j");
	stat_of("j");
	snap("d");
	OK(rename("d", "e"));
	changed("rename of a directory", "e");
	OK(symlink("x", "l"));
	snap("l");
	OK(readlink("l", (char[8]){ "" }, 8));
	changed("readlink", "l");
	OK(rename("l", "m"));
	changed("rename of a link", "m");
}

static void links(void)
{
	int fd;

	file("a", "one");
	OK(link("a", "b"));
	OK(link("b", "c"));
	stat_of("a");
	same_inode("a", "c");
	file("b", "written through b");
	content("a");
	content("c");
	OK(chmod("c", 0600));
	stat_of("a");
	OK(truncate("a", 7));
	content("c");
	OK(unlink("a"));
	stat_of("b");
	content("c");
	fd = open("b", O_RDWR);
	OK(unlink("b"));
	OK(unlink("c"));
	fstat_of("all names gone", fd);
	C(pwrite(fd, "still", 5, 0));
	content_fd("all names gone", fd);
	close(fd);
	file("a", "again");
	dir("d");
	OK(link("a", "d/a"));
	OK(link("a", "d/a"));
	fd = open("a", O_WRONLY | O_APPEND);
	C(write(fd, "+", 1));
	content("d/a");
	OK(rename("d", "e"));
	C(write(fd, "+", 1));
	close(fd);
	content("e/a");
	OK(symlink("a", "s"));
	OK(link("s", "t"));
	stat_of("t");
	OK(linkat(AT_FDCWD, "s", AT_FDCWD, "u", AT_SYMLINK_FOLLOW));
	stat_of("u");
	OK(linkat(AT_FDCWD, "s", AT_FDCWD, "v", 0x8000));
	OK(mkfifo("p", 0644));
	OK(link("p", "q"));
	stat_of("q");
	fd = open("a", O_RDONLY);
	OK(linkat(fd, "", AT_FDCWD, "w", 0));
	if (geteuid() == 0)
		OK(linkat(fd, "", AT_FDCWD, "w", AT_EMPTY_PATH));
	close(fd);
	tree(".");
}

static void unlinking(void)
{
	int d;

	dir("d");
	file("d/f", "x");
	d = open("d", O_RDONLY);
	OK(unlinkat(d, "f", 0x10000));
	OK(unlinkat(d, "f", AT_REMOVEDIR));
	OK(unlinkat(d, "", 0));
	OK(unlinkat(d, "f", 0));
	OK(unlinkat(d, "f", 0));
	OK(unlinkat(-1, "f", 0));
	OK(unlinkat(AT_FDCWD, "d", 0));
	OK(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
	close(d);
	OK(mkdirat(d, "x", 0755));
	OK(mkdir("m", 0755));
	OK(mkdir("m/n", 0755));
	OK(rmdir("m"));
	OK(rmdir("m/n/."));
	OK(rmdir("m/n/.."));
	OK(rmdir("m/n"));
	OK(rmdir("m/"));
	tree(".");
}

static void symlinks(void)
{
	char buf[8192], target[4200];

	memset(buf, 'z', sizeof(buf));
	OK(symlink("target", "l"));
	C(readlink("l", buf, 3));
	say("bytes", "%.5s", buf);
	C(readlink("l", buf, sizeof(buf)));
	C(readlink("l", buf, 0));
	OK(symlink("", "empty"));
	OK(symlink("x", "l"));
	stat_of("l");
	memset(target, 't', sizeof(target));
	target[4095] = '\0';
	OK(symlink(target, "long"));
	C(readlink("long", buf, sizeof(buf)));
	OK(open("long", O_RDONLY));
	stat_of("long");
	target[4095] = 't';
	target[4096] = '\0';
	OK(symlink(target, "longer"));
	target[255] = '\0';
	OK(symlink(target, "name255"));
	OK(open("name255", O_RDONLY));
	OK(symlink("\xff\x01 \n", "bytes"));
	C(readlink("bytes", buf, sizeof(buf)));
	OK(symlink("/", "root"));
	C(readlink("root", buf, sizeof(buf)));
	OK(access("root/proc", F_OK));
	OK(symlink("a/../b//c/", "odd"));
	C(readlink("odd", buf, sizeof(buf)));
	say("bytes", "%.10s", buf);
	list(".");
	OK(symlinkat("x", -1, "y"));
	C(readlinkat(AT_FDCWD, "l", buf, 64));
	C(readlinkat(-1, "l", buf, 64));
}

const struct posix_case cases_names[] = {
	{ "names_matrix", matrix, AT_ALL },
	{ "names_times", times, AT_ALL },
	{ "names_entry_times", times_of_entries, AT_ALL },
	{ "links", links, AT_ALL },
	{ "unlink", unlinking, AT_ALL },
	{ "symlinks", symlinks, AT_ALL },
	{ NULL, NULL, 0 },
};
