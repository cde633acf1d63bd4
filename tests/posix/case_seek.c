/* lseek, fallocate, copies between descriptors. */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

static void seeking(void)
{
	int fd, d, p;

	file("f", "0123456789");
	dir("d");
	fd = open("f", O_RDWR);
	C(lseek(fd, 0, SEEK_END));
	C(lseek(fd, -3, SEEK_END));
	C(lseek(fd, -2, SEEK_CUR));
	C(lseek(fd, -100, SEEK_CUR));
	C(lseek(fd, 0, SEEK_CUR));
	C(lseek(fd, -1, SEEK_SET));
	C(lseek(fd, 1000, SEEK_SET));
	C(read(fd, &(char[4]){ 0 }, 4));
	fstat_of("f", fd);
	C(lseek(fd, 0, 99));
	C(lseek(fd, 5, SEEK_END));
	C(write(fd, "x", 1));
	content_fd("f", fd);
	C(lseek(fd, 0, SEEK_DATA));
	C(lseek(fd, 3, SEEK_DATA));
	C(lseek(fd, 0, SEEK_HOLE));
	C(lseek(fd, 3, SEEK_HOLE));
	C(lseek(fd, 16, SEEK_DATA));
	C(lseek(fd, 16, SEEK_HOLE));
	C(lseek(fd, 1000, SEEK_HOLE));
	C(lseek(fd, -1, SEEK_DATA));
	C(lseek(fd, -1, SEEK_HOLE));
	close(fd);
	C(lseek(fd, 0, SEEK_SET));
	d = open("d", O_RDONLY);
	C(lseek(d, 0, SEEK_SET));
	C(lseek(d, -1, SEEK_SET));
	close(d);
	OK(mkfifo("p", 0600));
	p = open("p", O_RDWR);
	C(lseek(p, 0, SEEK_SET));
	close(p);
	fd = open("e", O_RDWR | O_CREAT, 0644);
	C(lseek(fd, 0, SEEK_DATA));
	C(lseek(fd, 0, SEEK_HOLE));
	close(fd);
}

/* Which holes there are is free; what is not in data must be zeros. */
static void holes(void)
{
	static char copy[400000], whole[400000];
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	off_t at = 0, end;
	bool sane = true;

	C(pwrite(fd, "first", 5, 0));
	C(pwrite(fd, "second", 6, 200000));
	OK(ftruncate(fd, 400000));
	OK(fsync(fd));
	while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
		end = lseek(fd, at, SEEK_HOLE);
		sane &= end > at && end <= 400000;
		if (!sane || pread(fd, copy + at, (size_t)(end - at), at) < 0)
			break;
		at = end;
	}
	say("at the end", "%s", strerrorname_np(errno));
	C(pread(fd, whole, sizeof(whole), 0));
	say("sane", "%d", sane);
	say("copy", "%d", memcmp(copy, whole, sizeof(whole)));
	close(fd);
	content("f");
}

/* Which there are on ext4: what was not written, by pages. */
static void sparse(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644), blocks;
	struct stat st;

	C(pwrite(fd, "first", 5, 0));
	C(pwrite(fd, "second", 6, 1 << 20));
	OK(ftruncate(fd, 2 << 20));
	OK(fsync(fd));
	C(lseek(fd, 0, SEEK_HOLE));
	C(lseek(fd, 100000, SEEK_DATA));
	C(lseek(fd, (1 << 20) + 8192, SEEK_DATA));
	C(lseek(fd, 2 << 20, SEEK_HOLE));
	OK(fstat(fd, &st));
	blocks = st.st_blocks < (2 << 20) / 512 ? 0 : 1;
	say("blocks", "%s", blocks ? "of its size" : "of its data");
	close(fd);
}

static const struct {
	const char *name;
	int mode;
} modes[] = {
	{ "0", 0 },
	{ "KEEP", FALLOC_FL_KEEP_SIZE },
	{ "PUNCH|KEEP", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE },
	{ "PUNCH", FALLOC_FL_PUNCH_HOLE },
	{ "ZERO", FALLOC_FL_ZERO_RANGE },
	{ "ZERO|KEEP", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE },
	{ "PUNCH|ZERO", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE },
	{ "bad", 0x4000 },
};

static void allocate(int mode, const char *name)
{
	static const struct {
		off_t off, len;
	} ranges[] = { { 0, 10000 }, { 2, 5 }, { 9990, 20 }, { 20000, 1 },
		       { 0, 0 }, { -1, 5 }, { 5, -1 } };

	for (size_t r = 0; r < COUNT(ranges); r++) {
		int fd = fill("f", 10000, 3);

		step_ok(label("fallocate %s %jd %jd", name,
		              (intmax_t)ranges[r].off, (intmax_t)ranges[r].len),
		        fallocate(fd, mode, ranges[r].off, ranges[r].len));
		fstat_of("f", fd);
		content_fd("f", fd);
		close(fd);
		content("f");
	}
}

static void allocating(void)
{
	int fd;

	for (size_t m = 0; m < COUNT(modes); m++)
		allocate(modes[m].mode, modes[m].name);
	fd = open("f", O_RDONLY);
	OK(fallocate(fd, 0, 0, 10));
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 10));
	close(fd);
	OK(fallocate(fd, 0, 0, 10));
	fd = open(".", O_RDONLY);
	OK(fallocate(fd, 0, 0, 10));
	close(fd);
	OK(mkfifo("p", 0600));
	fd = open("p", O_RDWR);
	OK(fallocate(fd, 0, 0, 10));
	close(fd);
	fd = open("g", O_RDWR | O_CREAT, 0644);
	C(posix_fallocate(fd, 0, 5000));
	C(posix_fallocate(fd, 0, 100));
	close(fd);
	stat_of("g");
	snap("g");
	fd = open("g", O_RDWR);
	OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 9000));
	changed("KEEP_SIZE", "g");
	OK(fallocate(fd, 0, 0, 9000));
	changed("fallocate", "g");
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 50));
	changed("punch", "g");
	close(fd);
}

static void shifting(void)
{
	int fd = fill("f", 16384, 4);

	OK(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 4096, 4096));
	OK(fallocate(fd, FALLOC_FL_INSERT_RANGE, 4096, 4096));
	content_fd("f", fd);
	close(fd);
}

static void copying(void)
{
	int a = fill("a", 300000, 5), b = open("b", O_RDWR | O_CREAT, 0644);
	int r = open("b", O_RDONLY), w = open("a", O_WRONLY), d, append;
	off_t in = 10, out = 0;

	C(lseek(a, 0, SEEK_SET));
	C(copy_file_range(a, NULL, b, NULL, 100000, 0));
	C(lseek(a, 0, SEEK_CUR));
	C(copy_file_range(a, NULL, b, NULL, 1000000, 0));
	C(copy_file_range(a, NULL, b, NULL, 1000, 0));
	content_fd("b", b);
	C(copy_file_range(a, &in, b, &out, 20, 0));
	say("offsets", "%jd %jd", (intmax_t)in, (intmax_t)out);
	C(copy_file_range(a, &in, b, &(off_t){ 400000 }, 20, 0));
	content_fd("b", b);
	C(copy_file_range(a, &(off_t){ 400000 }, b, &out, 20, 0));
	C(copy_file_range(a, &(off_t){ 0 }, b, &(off_t){ 0 }, 0, 0));
	C(copy_file_range(a, NULL, b, NULL, 10, 1));
	C(copy_file_range(w, NULL, b, NULL, 10, 0));
	C(copy_file_range(a, NULL, r, NULL, 10, 0));
	C(copy_file_range(a, &(off_t){ 0 }, a, &(off_t){ 5 }, 10, 0));
	C(copy_file_range(a, &(off_t){ 0 }, a, &(off_t){ 500000 }, 1000, 0));
	content_fd("a", a);
	append = open("b", O_WRONLY | O_APPEND);
	C(copy_file_range(a, &(off_t){ 0 }, append, NULL, 10, 0));
	close(append);
	d = open(".", O_RDONLY);
	C(copy_file_range(d, NULL, b, NULL, 10, 0));
	C(copy_file_range(a, NULL, d, NULL, 10, 0));
	close(d);
	close(a);
	C(copy_file_range(a, NULL, b, NULL, 10, 0));
	close(b);
	close(r);
	close(w);
	content("a");
	content("b");
}

static void sending(void)
{
	int a = fill("a", 100000, 6), b = open("b", O_RDWR | O_CREAT, 0644);
	int p[2], append;
	off_t off = 50;

	C(lseek(a, 0, SEEK_SET));
	C(sendfile(b, a, NULL, 60000));
	C(lseek(a, 0, SEEK_CUR));
	C(sendfile(b, a, &off, 1000));
	say("offset", "%jd", (intmax_t)off);
	C(sendfile(b, a, &(off_t){ 200000 }, 1000));
	C(sendfile(b, a, &(off_t){ -1 }, 1000));
	C(sendfile(b, -1, NULL, 1000));
	append = open("b", O_WRONLY | O_APPEND);
	C(sendfile(append, a, NULL, 10));
	close(append);
	OK(pipe(p));
	C(splice(a, &(off_t){ 0 }, p[1], NULL, 5000, 0));
	C(splice(p[0], NULL, b, &(off_t){ 70000 }, 5000, 0));
	close(p[0]);
	close(p[1]);
	content_fd("b", b);
	close(a);
	close(b);
	content("b");
}

const struct posix_case cases_seek[] = {
	{ "seek", seeking, AT_ALL },
	{ "seek_holes", holes, 0 },
	{ "seek_sparse", sparse, 0 },
	{ "fallocate", allocating, 0 },
	{ "fallocate_shift", shifting, 0 },
	{ "copy_file_range", copying, 0 },
	{ "sendfile", sending, 0 },
	{ NULL, NULL, 0 },
};
