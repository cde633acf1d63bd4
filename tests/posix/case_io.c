/* Reading, writing, sizes. */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* Volatile, or the compilers refuse what the kernel is asked to. */
static char *volatile nowhere = (char *)1;
static volatile int minus = -1;

static void reading(void)
{
	char a[4] = "", b[8] = "";
	struct iovec v[2] = { { a, 3 }, { b, 6 } };
	int fd, d;

	file("f", "0123456789");
	dir("d");
	fd = open("f", O_RDONLY);
	C(read(fd, b, 0));
	C(read(fd, b, 4));
	C(lseek(fd, 0, SEEK_CUR));
	C(pread(fd, b, 4, 8));
	C(pread(fd, b, 4, 10));
	C(pread(fd, b, 4, 1000));
	C(pread(fd, b, 4, -1));
	C(lseek(fd, 0, SEEK_CUR));
	C(readv(fd, v, 2));
	say("bytes", "%.3s %.3s", a, b);
	C(readv(fd, v, 2));
	C(readv(fd, v, 0));
	C(readv(fd, v, minus));
	C(preadv(fd, v, 2, 1));
	C(preadv(fd, v, 2, -1));
	C(preadv2(fd, v, 2, 1, RWF_HIPRI | 0x4000));
	C(read(fd, nowhere, 1));      /* at the end: nothing to copy */
	C(pread(fd, nowhere, 1, 0));
	C(write(fd, "x", 1));
	C(pwrite(fd, "x", 1, 0));
	C(writev(fd, v, 1));
	d = open("d", O_RDONLY);
	C(read(d, b, 1));
	C(pread(d, b, 1, 0));
	C(write(d, b, 1));
	close(fd);
	C(read(fd, b, 1));
	C(write(fd, b, 1));
	C(close(fd));
	C(read(-1, b, 1));
	close(d);
	fd = open("f", O_WRONLY);
	C(read(fd, b, 1));
	C(pread(fd, b, 1, 0));
	close(fd);
}

static void writing(void)
{
	char a[] = "abc", b[] = "defgh";
	struct iovec v[2] = { { a, 3 }, { b, 5 } };
	int fd = open("f", O_RDWR | O_CREAT, 0644);

	C(write(fd, a, 0));
	C(write(fd, a, 3));
	C(writev(fd, v, 2));
	C(writev(fd, v, 0));
	C(pwritev(fd, v, 2, 1));
	C(pwritev(fd, v, 2, -1));
	C(pwritev2(fd, v, 1, 0, RWF_APPEND));
	C(lseek(fd, 0, SEEK_CUR));
	content("f");
	C(pwrite(fd, "Z", 1, 20));
	content("f");
	C(pwrite(fd, "Z", 1, -1));
	C(pwrite(fd, "", 0, 50));
	C(pwrite(fd, nowhere, 1, 0));
	C(write(fd, nowhere, 0));
	C(pwrite(fd, "x", 1, LLONG_MAX));
	C(lseek(fd, 100, SEEK_SET));
	C(write(fd, "", 0));
	fstat_of("f", fd);
	C(write(fd, "end", 3));
	content_fd("f", fd);
	close(fd);
	content("f");
	stat_of("f");
}

static void truncating(void)
{
	int fd;

	file("f", "0123456789");
	dir("d");
	OK(truncate("f", 4));
	content("f");
	OK(truncate("f", 8));
	content("f");
	OK(truncate("f", 8));
	OK(truncate("f", -1));
	OK(truncate("d", 0));
	OK(truncate("missing", 0));
	OK(truncate("f/x", 0));
	OK(truncate("", 0));
	OK(mkfifo("p", 0644));
	OK(truncate("p", 0));
	OK(symlink("f", "l"));
	OK(truncate("l", 3));
	content("f");
	fd = open("f", O_RDONLY);
	OK(ftruncate(fd, 0));
	close(fd);
	OK(ftruncate(fd, 0));
	fd = open("f", O_RDWR);
	OK(ftruncate(fd, -5));
	C(lseek(fd, 0, SEEK_END));
	OK(ftruncate(fd, 1));
	C(lseek(fd, 0, SEEK_CUR));
	C(write(fd, "x", 1));
	content_fd("f", fd);
	OK(ftruncate(fd, 100000));
	OK(ftruncate(fd, 50000));
	content_fd("f", fd);
	/* By name while it is open and not yet written back. */
	C(pwrite(fd, "tail", 4, 60000));
	OK(truncate("f", 3));
	content_fd("f", fd);
	OK(truncate("f", 60004));
	content_fd("f", fd);
	close(fd);
	content("f");
	fd = open("d", O_RDONLY);
	OK(ftruncate(fd, 0));
	close(fd);
}

static void times_of_writing(void)
{
	int fd;

	file("f", "0123456789");
	snap("f");
	fd = open("f", O_RDWR);
	changed("open", "f");
	C(write(fd, "", 0));
	changed("a write of nothing", "f");
	C(pread(fd, &(char[4]){ 0 }, 4, 0));
	changed("a read", "f");
	C(write(fd, "a", 1));
	changed("a write", "f");
	C(pwrite(fd, "a", 1, 0));
	changed("a write of the same", "f");
	OK(fsync(fd));
	changed("fsync", "f");
	OK(ftruncate(fd, 10));
	changed("ftruncate to the same size", "f");
	OK(ftruncate(fd, 5));
	changed("ftruncate", "f");
	OK(truncate("f", 5));
	changed("truncate to the same size", "f");
	OK(truncate("f", 7));
	changed("truncate", "f");
	C(write(fd, "last", 4));
	changed("a write", "f");
	close(fd);
	changed("close", "f");
	fd = open("f", O_RDWR);
	close(fd);
	changed("open and close", "f");
	fd = open("f", O_WRONLY | O_TRUNC);
	changed("O_TRUNC", "f");
	C(write(fd, "x", 1));
	changed("a write", "f");
	close(fd);
	changed("close", "f");
	OK(truncate("f", 1));
	changed("truncate to the same size, closed", "f");
}

static void limited(void)
{
	struct rlimit r = { 100, 100 };
	int fd = open("f", O_RDWR | O_CREAT, 0644);

	signal(SIGXFSZ, SIG_IGN);
	OK(setrlimit(RLIMIT_FSIZE, &r));
	C(pwrite(fd, "0123456789", 10, 95));
	C(pwrite(fd, "0123456789", 10, 100));
	OK(ftruncate(fd, 101));
	OK(truncate("f", 101));
	OK(ftruncate(fd, 100));
	OK(fallocate(fd, 0, 0, 200));
	close(fd);
	stat_of("f");
}

static void large(void)
{
	static char buf[300000];
	int fd, again;

	fd = fill("big", 3000001, 1);
	content_fd("big", fd);
	again = open("big", O_RDONLY);
	content_fd("big through another", again);
	memset(buf, 'm', sizeof(buf));
	C(pwrite(fd, buf, sizeof(buf), 1234567));
	content_fd("big", again);
	C(pwrite(fd, buf, sizeof(buf), 2900000));
	close(fd);
	content_fd("big after close", again);
	stat_of("big");
	close(again);
	content("big");
	fd = open("big", O_RDWR);
	OK(ftruncate(fd, 1000000));
	OK(ftruncate(fd, 2000000));
	C(pwrite(fd, "x", 1, 8000000));
	content_fd("big", fd);
	close(fd);
	content("big");
	fd = open("big", O_RDWR | O_APPEND);
	for (int i = 0; i < 50; i++)
		if (write(fd, buf, 5001) != 5001)
			step("append", -1);
	close(fd);
	content("big");
}

/* Several descriptors on one file see one content at once. */
static void shared(void)
{
	char buf[16];
	int a, b, c;

	file("f", "0123456789");
	a = open("f", O_RDWR);
	b = open("f", O_RDONLY);
	c = dup(a);
	C(pwrite(a, "AB", 2, 2));
	C(pread(b, buf, 10, 0));
	say("b reads", "%.10s", buf);
	C(lseek(a, 4, SEEK_SET));
	C(lseek(c, 0, SEEK_CUR));
	C(write(c, "dup", 3));
	C(lseek(a, 0, SEEK_CUR));
	OK(close(a));
	content("f");
	C(write(c, "on", 2));
	content_fd("f", b);
	OK(close(c));
	OK(close(c));
	content("f");
	OK(close(b));
	a = open("f", O_RDONLY);
	C(dup2(a, 60));
	C(lseek(60, 5, SEEK_SET));
	C(lseek(a, 0, SEEK_CUR));
	C(fcntl(a, F_DUPFD_CLOEXEC, 70));
	C(fcntl(70, F_GETFD));
	C(fcntl(60, F_GETFD));
	close(60);
	close(70);
	C(pread(a, buf, 3, 0));
	close(a);
}

static void syncing(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644), d = open(".", O_RDONLY);
	int r, p;

	C(write(fd, "data", 4));
	OK(fsync(fd));
	OK(fdatasync(fd));
	OK(fsync(d));
	OK(fdatasync(d));
	OK(syncfs(d));
	r = open("f", O_RDONLY);
	C(pwrite(fd, "D", 1, 0));
	OK(fsync(r));
	content_fd("f", r);
	close(fd);
	OK(fsync(fd));
	OK(fsync(-1));
	OK(mkfifo("p", 0600));
	p = open("p", O_RDWR | O_NONBLOCK);
	OK(fsync(p));
	OK(fdatasync(p));
	OK(sync_file_range(r, 0, 0, SYNC_FILE_RANGE_WRITE));
	C(posix_fadvise(r, 0, 0, POSIX_FADV_DONTNEED));
	C(posix_fadvise(r, 0, 0, 99));
	C(posix_fadvise(p, 0, 0, POSIX_FADV_NORMAL));
	C(readahead(r, 0, 100));
	close(r);
	close(p);
	close(d);
	content("f");
}

const struct posix_case cases_io[] = {
	{ "io_read", reading, AT_ALL },
	{ "io_write", writing, AT_ALL },
	{ "io_truncate", truncating, AT_ALL },
	{ "io_times", times_of_writing, AT_ALL },
	{ "io_limit", limited, 0 },
	{ "io_large", large, 0 },
	{ "io_shared", shared, AT_ALL },
	{ "io_sync", syncing, AT_ALL },
	{ NULL, NULL, 0 },
};
