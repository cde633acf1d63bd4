/* Calls of Linux that applications use beside POSIX's. */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

static void statx_of(const char *what, int dir, const char *path, int flags)
{
	struct statx x;

	memset(&x, 0, sizeof(x));
	if (statx(dir, path, flags, STATX_BASIC_STATS, &x)) {
		step(what, -1);
		return;
	}
	say(what, "%o %u:%u nlink %u size %llu, all asked for: %d",
	    x.stx_mode, x.stx_uid, x.stx_gid,
	    S_ISDIR(x.stx_mode) ? 0 : x.stx_nlink,
	    S_ISDIR(x.stx_mode) ? 0 : (unsigned long long)x.stx_size,
	    (x.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
}

static void statx_all(void)
{
	struct stat st;
	int fd, d;

	file("f", "hello");
	dir("d");
	file("d/g", "there");
	link_to("f", "l");
	fd = open("f", O_RDONLY);
	d = open("d", O_RDONLY | O_DIRECTORY);
	statx_of("by path", AT_FDCWD, "f", 0);
	statx_of("from a directory", d, "g", 0);
	statx_of("what is not there", d, "h", 0);
	statx_of("a descriptor", fd, "", AT_EMPTY_PATH);
	statx_of("no path", fd, "", 0);
	statx_of("a link", AT_FDCWD, "l", AT_SYMLINK_NOFOLLOW);
	statx_of("through it", AT_FDCWD, "l", 0);
	statx_of("synced", AT_FDCWD, "f", AT_STATX_FORCE_SYNC);
	statx_of("as it is known", AT_FDCWD, "f", AT_STATX_DONT_SYNC);
	statx_of("flags that contradict", AT_FDCWD, "f", AT_STATX_SYNC_TYPE);
	statx_of("a directory", AT_FDCWD, "d", 0);
	C(fstatat(d, "g", &st, 0));
	C(fstatat(fd, "g", &st, 0));
	C(fstatat(d, "", &st, AT_EMPTY_PATH));
	C(fstatat(AT_FDCWD, "l/x", &st, 0));
	C(fstatat(AT_FDCWD, "f", &st, 0x40000000));
	close(fd);
	close(d);
}

static long resolve(int dir, const char *path, uint64_t flags, uint64_t how)
{
	struct open_how h = { .flags = flags, .resolve = how };
	long fd = syscall(SYS_openat2, dir, path, &h, sizeof(h));

	if (fd >= 0)
		close((int)fd);
	return fd < 0 ? -1 : 0;
}

static void resolving(void)
{
	int d;

	dir("d");
	file("d/f", "x");
	file("out", "x");
	link_to("../out", "d/up");
	link_to("f", "d/here");
	d = open("d", O_RDONLY | O_DIRECTORY);
	C(resolve(d, "f", O_RDONLY, RESOLVE_BENEATH));
	C(resolve(d, "up", O_RDONLY, RESOLVE_BENEATH));
	C(resolve(d, "../out", O_RDONLY, RESOLVE_BENEATH));
	C(resolve(d, "here", O_RDONLY, RESOLVE_BENEATH));
	C(resolve(d, "here", O_RDONLY, RESOLVE_NO_SYMLINKS));
	C(resolve(d, "/f", O_RDONLY, RESOLVE_IN_ROOT));
	C(resolve(d, "f", O_RDONLY, RESOLVE_NO_XDEV));
	C(resolve(d, "f", O_RDONLY | O_CREAT | O_EXCL, 0));
	close(d);
}

static void lockf_all(void)
{
	int fd, other;

	file("f", "0123456789");
	fd = open("f", O_RDWR);
	other = open("f", O_RDONLY);
	C(lockf(fd, F_LOCK, 4));
	C(lockf(fd, F_TEST, 0));
	C(lockf(fd, F_TLOCK, 0));
	C(lseek(fd, 4, SEEK_SET));
	C(lockf(fd, F_ULOCK, -2));
	C(lockf(fd, F_ULOCK, 0));
	C(lockf(fd, F_LOCK, -5));
	C(lockf(fd, 77, 1));
	C(lockf(other, F_TLOCK, 1));
	C(lockf(other, F_TEST, 1));
	close(other);
	close(fd);
	C(lockf(fd, F_TEST, 1));
}

static void old_times(void)
{
	struct timeval t[2] = { { 1000, 5 }, { 2000, 7 } };
	struct timeval bad[2] = { { 1, 1000000 }, { 1, 0 } };
	int fd;

	file("f", "x");
	link_to("f", "l");
	C(utimes("f", t));
	stat_of("f");
	C(utimes("f", bad));
	C(utimes("g", t));
	C(lutimes("l", t));
	fd = open("f", O_RDONLY);
	C(futimes(fd, t));
	close(fd);
	become(NOBODY);
	C(utimes("f", NULL));
	C(utimes("f", t));
	become(ROOT);
}

static void locked_pages(void)
{
	char *p;
	int fd, n;

	fill("f", 10000, 3);
	fd = open("f", O_RDWR);
	C(ioctl(fd, FIONREAD, &n));
	say("to read", "%d", n);
	C(lseek(fd, 9000, SEEK_SET));
	C(ioctl(fd, FIONREAD, &n));
	say("to read", "%d", n);
	C(ioctl(fd, FIOCLEX, 0));
	p = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		step("mmap", -1);
		return;
	}
	C(mlock(p, 10000));
	p[5000] = 'X';
	C(msync(p, 10000, MS_SYNC | MS_INVALIDATE));
	C(msync(p, 10000, MS_SYNC | MS_ASYNC));
	C(madvise(p, 10000, MADV_DONTNEED));
	C(munlock(p, 10000));
	C(madvise(p, 4096, MADV_DONTNEED));
	C(p[5000]);
	C(munmap(p, 10000));
	close(fd);
	content("f");
}

static void handles(void)
{
	struct file_handle *h = malloc(sizeof(*h) + MAX_HANDLE_SZ);
	int id;

	if (!h)
		return;
	file("f", "x");
	h->handle_bytes = 0;
	C(name_to_handle_at(AT_FDCWD, "f", h, &id, 0));
	h->handle_bytes = MAX_HANDLE_SZ;
	C(name_to_handle_at(AT_FDCWD, "f", h, &id, 0));
	h->handle_bytes = MAX_HANDLE_SZ;
	C(name_to_handle_at(AT_FDCWD, "g", h, &id, 0));
	free(h);
}

const struct posix_case cases_linux[] = {
	{ "statx", statx_all, AT_ALL },
	{ "openat2", resolving, AT_ALL },
	{ "lockf", lockf_all, AT_ALL },
	{ "utimes", old_times, AS_ROOT },
	{ "locked_pages", locked_pages, AT_ALL },
	{ "handles", handles, 0 },
	{ NULL, NULL, 0 },
};
