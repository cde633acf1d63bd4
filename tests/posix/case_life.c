/* Open files whose names go, come or change; directories that are removed. */
#include "posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* All that an open file without a name still can. */
static void without_name(int fd)
{
	char buf[8], name[64];
	int again;

	fstat_of("unlinked", fd);
	C(pread(fd, buf, 4, 0));
	C(pwrite(fd, "WX", 2, 1));
	C(lseek(fd, 0, SEEK_END));
	C(write(fd, "more", 4));
	content_fd("unlinked", fd);
	OK(ftruncate(fd, 5));
	OK(fchmod(fd, 0600));
	OK(fchown(fd, geteuid(), getegid()));
	OK(futimens(fd, (struct timespec[2]){ { 1, 2 }, { 3, 4 } }));
	OK(fsync(fd));
	OK(fdatasync(fd));
	fstat_of("unlinked", fd);
	content_fd("unlinked", fd);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	again = open(name, O_RDWR);
	step_ok("opened again through /proc", again);
	C(pwrite(again, "again", 5, 0));
	content_fd("unlinked", fd);
	close(again);
	step_ok("linked again", linkat(AT_FDCWD, name, AT_FDCWD, "back",
	                               AT_SYMLINK_FOLLOW));
	OK(fallocate(fd, 0, 0, 100));
	fstat_of("unlinked", fd);
	list(".");
}

static void unlinked(void)
{
	int fd;

	file("f", "content");
	fd = open("f", O_RDWR);
	OK(unlink("f"));
	stat_of("f");
	without_name(fd);
	/* A new one under the old name is another file. */
	file("f", "new");
	content_fd("the old one", fd);
	content("f");
	C(pwrite(fd, "old", 3, 0));
	OK(close(fd));
	content("f");
	tree(".");
}

static void never_committed(void)
{
	int fd = open("f", O_RDWR | O_CREAT | O_EXCL, 0644);

	C(write(fd, "pending", 7));
	OK(unlink("f"));
	list(".");
	OK(open("f", O_RDONLY));
	without_name(fd);
	OK(close(fd));
	fd = open("f", O_RDWR | O_CREAT | O_EXCL, 0644);
	OK(rename("f", "g"));
	C(write(fd, "moved", 5));
	content("g");
	OK(close(fd));
	content("g");
	fd = open("h", O_WRONLY | O_CREAT, 0644);
	C(write(fd, "two names", 9));
	OK(link("h", "i"));
	fstat_of("h", fd);
	content("i");
	OK(close(fd));
	content("h");
	content("i");
	same_inode("h", "i");
	tree(".");
}

static void replaced(void)
{
	int old, new;

	file("a", "new content");
	file("b", "old content");
	old = open("b", O_RDWR);
	new = open("a", O_RDWR);
	OK(rename("a", "b"));
	content("b");
	content_fd("the replaced one", old);
	fstat_of("the replaced one", old);
	C(pwrite(old, "OLD", 3, 0));
	C(pwrite(new, "NEW", 3, 0));
	content_fd("the replaced one", old);
	content("b");
	OK(fsync(old));
	OK(close(old));
	OK(fsync(new));
	content("b");
	OK(rename("b", "c"));
	C(pwrite(new, "!!!", 3, 4));
	OK(close(new));
	content("c");
	tree(".");
	file("d", "d");
	old = open("d", O_WRONLY | O_TRUNC);
	C(write(old, "replaced while dirty", 20));
	file("e", "e");
	OK(rename("e", "d"));
	OK(close(old));
	content("d");
}

static void moved_directory(void)
{
	int fd, d;

	dir("one");
	dir("one/two");
	file("one/two/f", "deep");
	fd = open("one/two/f", O_RDWR);
	d = open("one/two", O_RDONLY);
	OK(rename("one", "uno"));
	C(pwrite(fd, "DEEP", 4, 0));
	OK(close(fd));
	content("uno/two/f");
	OK(openat(d, "g", O_CREAT | O_WRONLY, 0644));
	OK(faccessat(d, "f", F_OK, 0));
	OK(mkdir("one", 0755));
	OK(mkdir("one/two", 0755));
	OK(openat(d, "h", O_CREAT | O_WRONLY, 0644));
	OK(renameat(d, "f", AT_FDCWD, "one/two/f"));
	close(d);
	tree(".");
}

static void removed_directory(void)
{
	char buf[4096];
	DIR *s;
	int d;

	dir("d");
	d = open("d", O_RDONLY);
	OK(rmdir("d"));
	OK(openat(d, "f", O_CREAT | O_WRONLY, 0644));
	OK(mkdirat(d, "x", 0755));
	OK(symlinkat("x", d, "l"));
	OK(mknodat(d, "p", S_IFIFO | 0600, 0));
	OK(openat(d, ".", O_RDONLY));
	OK(openat(d, "none", O_RDONLY));
	file("f", "f");
	OK(renameat(AT_FDCWD, "f", d, "f"));
	OK(linkat(AT_FDCWD, "f", d, "f", 0));
	OK(fchmod(d, 0700));
	OK(fsync(d));
	C(getdents64(d, buf, sizeof(buf)));
	/* Its name may be used again at once. */
	OK(mkdir("d", 0755));
	OK(openat(d, "f", O_CREAT | O_WRONLY, 0644));
	s = fdopendir(d);
	say("entries", "%d", s && readdir(s) ? 1 : 0);
	closedir(s);
	OK(chdir("d"));
	OK(rmdir("../d"));
	say("getcwd", "%s", getcwd(buf, sizeof(buf)) ? "ok"
	                                            : strerrorname_np(errno));
	OK(mkdir("x", 0755));
	OK(open("x", O_CREAT | O_WRONLY, 0644));
	OK(chdir(".."));
}

static void inode_numbers(void)
{
	struct stat a, b;
	int fd;

	file("f", "x");
	stat("f", &a);
	OK(rename("f", "g"));
	stat("g", &b);
	say("after rename", "%d", a.st_ino == b.st_ino);
	file("g", "other content");
	stat("g", &b);
	say("after writing", "%d", a.st_ino == b.st_ino);
	fd = open("g", O_RDONLY);
	fstat(fd, &b);
	say("fstat", "%d", a.st_ino == b.st_ino && a.st_dev == b.st_dev);
	close(fd);
	OK(link("g", "h"));
	same_inode("g", "h");
	file("i", "x");
	same_inode("g", "i");
	same_inode(".", "./.");
}

/* One of several names is moved and goes: the others are as before. */
static void one_of_several(void)
{
	file("a", "text");
	OK(link("a", "b"));
	OK(link("a", "c"));
	content("b");
	stat_of("c");
	OK(rename("a", "d"));
	OK(unlink("d"));
	content("b");
	content("c");
	OK(rename("b", "e"));
	content("c");
	OK(open("c", O_RDWR | O_APPEND));
	OK(unlink("c"));
	content("e");
	stat_of("e");
	OK(open("c", O_RDONLY));
}

const struct posix_case cases_life[] = {
	{ "unlinked", unlinked, AT_ALL },
	{ "pending", never_committed, AT_ALL },
	{ "replaced", replaced, AT_ALL },
	{ "one_of_several", one_of_several, AT_ALL },
	{ "moved_directory", moved_directory, AT_ALL },
	{ "removed_directory", removed_directory, AT_ALL },
	{ "inode_numbers", inode_numbers, AT_ALL },
	{ NULL, NULL, 0 },
};
