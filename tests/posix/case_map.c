/* mmap, msync. */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096

static char *map_it(const char *what, size_t len, int prot, int flags, int fd)
{
	void *p = mmap(NULL, len, prot, flags, fd, 0);

	step_ok(what, p == MAP_FAILED ? -1 : 0);
	return p == MAP_FAILED ? NULL : p;
}

static void rights(void)
{
	int r, w, rw, d, e;

	file("f", "text");
	file("empty", "");
	r = open("f", O_RDONLY);
	w = open("f", O_WRONLY);
	rw = open("f", O_RDWR);
	d = open(".", O_RDONLY);
	e = open("empty", O_RDWR);
	map_it("shared r of r", PAGE, PROT_READ, MAP_SHARED, r);
	map_it("shared w of r", PAGE, PROT_WRITE, MAP_SHARED, r);
	map_it("private w of r", PAGE, PROT_WRITE, MAP_PRIVATE, r);
	map_it("shared r of w", PAGE, PROT_READ, MAP_SHARED, w);
	map_it("private r of w", PAGE, PROT_READ, MAP_PRIVATE, w);
	map_it("shared rw of rw", PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, rw);
	map_it("exec of r", PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, r);
	map_it("directory", PAGE, PROT_READ, MAP_SHARED, d);
	map_it("empty", PAGE, PROT_READ, MAP_SHARED, e);
	map_it("no length", 0, PROT_READ, MAP_SHARED, r);
	map_it("no flags", PAGE, PROT_READ, 0, r);
	map_it("validated", PAGE, PROT_READ, MAP_SHARED_VALIDATE, r);
	close(r);
	map_it("closed", PAGE, PROT_READ, MAP_SHARED, r);
}

static void shared(void)
{
	int fd = fill("f", 10000, 9), other = open("f", O_RDWR);
	char *p = map_it("shared", 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	char buf[8] = "";

	if (!p)
		return;
	memcpy(p + 5000, "mapped", 6);
	C(pread(other, buf, 6, 5000));
	say("read", "%s", buf);
	C(pwrite(other, "written", 7, 100));
	say("in the map", "%.7s", p + 100);
	OK(msync(p, 10000, MS_SYNC));
	content("f");
	memcpy(p + 9990, "end-of-the", 10);
	OK(msync(p, 10000, MS_ASYNC));
	OK(msync(p, 10000, MS_SYNC | MS_ASYNC));
	OK(msync(p + 1, 100, MS_SYNC));
	OK(fsync(fd));
	content("f");
	/* The map lives on after its descriptors. */
	close(fd);
	close(other);
	memcpy(p, "after close", 11);
	OK(msync(p, 10000, MS_SYNC));
	content("f");
	memcpy(p + 20, "munmap", 6);
	OK(munmap(p, 10000));
	content("f");
	stat_of("f");
}

static void private(void)
{
	int fd = fill("f", 5000, 10);
	char *p = map_it("private", 5000, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
	char *q = map_it("reader", 5000, PROT_READ, MAP_PRIVATE, fd);

	if (!p || !q)
		return;
	memcpy(p, "not in the file", 15);
	OK(msync(p, 5000, MS_SYNC));
	content_fd("f", fd);
	C(pwrite(fd, "in the file", 11, 200));
	say("the reader sees", "%.11s", q + 200);
	say("own copy", "%.15s", p);
	close(fd);
	content("f");
}

static void times(void)
{
	int fd = fill("f", 5000, 11);
	char *p = map_it("shared", 5000, PROT_READ | PROT_WRITE, MAP_SHARED, fd);

	if (!p)
		return;
	snap("f");
	say("read", "%d", p[0] == p[1]);
	changed("reading the map", "f");
	p[0] = 'x';
	OK(msync(p, 5000, MS_SYNC));
	changed("writing the map and msync", "f");
	munmap(p, 5000);
	close(fd);
}

static int beyond_end(void)
{
	int fd = open("f", O_RDWR);
	volatile char *p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE,
	                        MAP_SHARED, fd, 0);

	signal(SIGBUS, SIG_DFL);        /* sanitizers have a handler */
	return p[2 * PAGE] ? 1 : 0;
}

static int cut_off(void)
{
	int fd = open("f", O_RDWR);
	volatile char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
	                        MAP_SHARED, fd, 0);

	signal(SIGBUS, SIG_DFL);
	if (p[PAGE] == 'q' || ftruncate(fd, 10))
		return 1;
	return p[PAGE] ? 1 : 0;
}

static void ends(void)
{
	char *p;
	int fd;

	close(fill("f", 5000, 12));
	reap("beyond the last page", spawn(beyond_end));
	reap("cut off", spawn(cut_off));
	stat_of("f");
	fd = open("f", O_RDWR);
	p = map_it("shared", PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	if (!p)
		return;
	say("after the end", "%d", p[20]);
	p[20] = 'x';
	OK(msync(p, PAGE, MS_SYNC));
	fstat_of("f", fd);
	OK(ftruncate(fd, 100));
	say("grown", "%d", p[50]);
	p[50] = 'y';
	OK(ftruncate(fd, 40));
	OK(ftruncate(fd, 100));
	say("grown again", "%d", p[50]);
	C(pwrite(fd, "tail", 4, 60));
	say("in the map", "%.4s", p + 60);
	munmap(p, PAGE);
	close(fd);
	content("f");
}

static void unnamed(void)
{
	int fd = fill("f", 5000, 13);
	char *p = map_it("shared", 5000, PROT_READ | PROT_WRITE, MAP_SHARED, fd);

	if (!p)
		return;
	OK(unlink("f"));
	memcpy(p, "unlinked", 8);
	OK(msync(p, 5000, MS_SYNC));
	content_fd("f", fd);
	close(fd);
	say("still", "%.8s", p);
	memcpy(p, "closed", 6);
	OK(msync(p, 5000, MS_SYNC));
	OK(munmap(p, 5000));
	list(".");
}

const struct posix_case cases_map[] = {
	{ "mmap_rights", rights, 0 },
	{ "mmap_shared", shared, AT_ALL },
	{ "mmap_private", private, 0 },
	{ "mmap_times", times, 0 },
	{ "mmap_ends", ends, 0 },
	{ "mmap_unlinked", unnamed, AT_ALL },
	{ NULL, NULL, 0 },
};
