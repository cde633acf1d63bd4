/*
 * The spool: extents against a bitmap, files against a model, what is kept,
 * and the ends that mounts come to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../src/spool/extents.h"
#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_file.h"
#include "fsp_spool.h"

#define SEED 4711u

static uint32_t rng_state;

static uint32_t rng(void)
{
	rng_state = rng_state * 1664525u + 1013904223u;
	return rng_state >> 8;
}

/*
 * These stand in front of the C library's, for libfsp, too: they record the
 * steps of keeping a file, and fail one call as told.
 */
enum step { SYNC_FILE, SYNC_DIR, LINK, RENAME, UNLINK, PWRITE };

static enum step trace[64];
static int ntrace;
static bool tracing;
static int fail_call;           /* the nth recorded one; 0 = none */
static int fail_errno;

#define REAL(type, name) ((type)dlsym(RTLD_NEXT, name))

static int step(enum step s)
{
	if (!tracing)
		return 0;
	if (ntrace < 64)
		trace[ntrace] = s;
	if (++ntrace != fail_call)
		return 0;
	errno = fail_errno;
	return -1;
}

static void trace_start(int nth, int err)
{
	ntrace = 0;
	fail_call = nth;
	fail_errno = err;
	tracing = true;
}

/* Runs once, just before somebody gets a lock file that is open already. */
static void (*before_lock)(void *arg);
static void *before_lock_arg;

typedef int (*fd_fn)(int);
typedef int (*flock_fn)(int, int);
typedef int (*renameat_fn)(int, const char *, int, const char *);
typedef int (*linkat_fn)(int, const char *, int, const char *, int);
typedef int (*unlinkat_fn)(int, const char *, int);
typedef ssize_t (*pwrite_fn)(int, const void *, size_t, off_t);

int fsync(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return step(S_ISDIR(st.st_mode) ? SYNC_DIR : SYNC_FILE)
	               ? -1
	               : REAL(fd_fn, "fsync")(fd);
}

int renameat(int d, const char *a, int e, const char *b)
{
	return step(RENAME) ? -1 : REAL(renameat_fn, "renameat")(d, a, e, b);
}

int linkat(int d, const char *a, int e, const char *b, int flags)
{
	return step(LINK) ? -1 : REAL(linkat_fn, "linkat")(d, a, e, b, flags);
}

int unlinkat(int d, const char *a, int flags)
{
	return step(UNLINK) ? -1 : REAL(unlinkat_fn, "unlinkat")(d, a, flags);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t off)
{
	return step(PWRITE) ? -1 : REAL(pwrite_fn, "pwrite64")(fd, p, n, off);
}

int flock(int fd, int how)
{
	void (*hook)(void *arg) = before_lock;

	if (hook) {
		before_lock = NULL;
		hook(before_lock_arg);
	}
	return REAL(flock_fn, "flock")(fd, how);
}

struct env {
	char path[256];
	struct fsp_spool *s;
};

static int setup(void **state)
{
	struct env *e = calloc(1, sizeof(*e));
	const char *tmp = getenv("TMPDIR");
	char root[200];

	assert_non_null(e);
	(void)snprintf(root, sizeof(root), "%s/fsp-spool-XXXXXX",
	               tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(root));
	(void)snprintf(e->path, sizeof(e->path), "%s/spool", root);
	assert_int_equal(fsp_spool_open(e->path, "a1b2", &e->s), 0);
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	struct env *e = *state;

	tracing = false;
	fsp_spool_close(e->s);
	*strrchr(e->path, '/') = '\0';
	assert_int_equal(fsp_rm_tree(e->path), 0);
	free(e);
	return 0;
}

/* Entries of path/name whose names begin with prefix; -1: no such place. */
static int count(struct env *e, const char *name, const char *prefix)
{
	FSP_FREE char *path = fsp_strf("%s/%s", e->path, name);
	DIR *d = opendir(path);
	const struct dirent *de;
	int n = 0;

	if (!d)
		return -1;
	while ((de = readdir(d)))
		n += strcmp(de->d_name, ".") && strcmp(de->d_name, "..") &&
		     !strncmp(de->d_name, prefix, strlen(prefix));
	closedir(d);
	return n;
}

#define BITS 300

static void check_against_bitmap(const struct fsp_extents *x, const bool *bits)
{
	for (size_t i = 0; i < x->n; i++) {
		assert_true(x->v[i].start < x->v[i].end);
		assert_true(!i || x->v[i - 1].end < x->v[i].start);
	}
	for (uint64_t off = 0; off < BITS; off++) {
		const struct fsp_extent *f = fsp_extents_find(x, off);
		uint64_t next = off;

		while (next < BITS && !bits[next])
			next++;
		if (next == BITS) {
			assert_null(f);
			continue;
		}
		assert_non_null(f);
		assert_true(f->end > off);
		assert_true(next == off ? f->start <= off : f->start == next);
	}
}

static void test_extents_model(void **state)
{
	(void)state;
	rng_state = SEED;
	print_message("seed %u\n", SEED);
	for (int round = 0; round < 200; round++) {
		struct fsp_extents x = { 0 };
		bool bits[BITS] = { false };

		for (int op = 0; op < 60; op++) {
			uint64_t a = rng() % BITS, n = rng() % 20;

			if (rng() % 12 == 0) {
				fsp_extents_cut(&x, a);
				memset(bits + a, 0, BITS - a);
			} else {
				if (n > BITS - a)
					n = BITS - a;
				assert_int_equal(fsp_extents_reserve(&x), 0);
				fsp_extents_add(&x, a, a + n);
				memset(bits + a, 1, n);
			}
			check_against_bitmap(&x, bits);
		}
		fsp_extents_free(&x);
	}
}

static void test_extents_edges(void **state)
{
	struct fsp_extents x = { 0 };

	(void)state;
	assert_null(fsp_extents_find(&x, 0));
	assert_null(fsp_extents_find(&x, UINT64_MAX));
	fsp_extents_cut(&x, 0);
	assert_int_equal(fsp_extents_reserve(&x), 0);
	fsp_extents_add(&x, 5, 5);
	assert_int_equal(x.n, 0);
	fsp_extents_add(&x, UINT64_MAX - 1, UINT64_MAX);
	assert_non_null(fsp_extents_find(&x, UINT64_MAX - 1));
	assert_null(fsp_extents_find(&x, UINT64_MAX));
	assert_int_equal(fsp_extents_reserve(&x), 0);
	fsp_extents_add(&x, 0, UINT64_MAX);
	assert_int_equal(x.n, 1);
	fsp_extents_cut(&x, 0);
	assert_int_equal(x.n, 0);
	fsp_extents_free(&x);
}

#define FILE_MAX 400000

struct model {
	char bytes[FILE_MAX];
	bool written[FILE_MAX];
};

static void check_file(struct fsp_spool_file *f, const struct model *m)
{
	FSP_FREE char *got = malloc(FILE_MAX);
	uint64_t off = 0, start, end;
	size_t i = 0;

	while (fsp_spool_extent(f, off, &start, &end)) {
		for (; i < start; i++)
			assert_true(!m->written[i]);
		assert_true(end <= FILE_MAX);
		assert_int_equal(fsp_spool_read(f, got, end - start, start),
		                 end - start);
		for (; i < end; i++)
			assert_true(m->written[i]);
		assert_true(!memcmp(got, m->bytes + start, end - start));
		off = end;
	}
	for (; i < FILE_MAX; i++)
		assert_true(!m->written[i]);
}

static void random_op(struct fsp_spool_file *f, struct model *m)
{
	static char buf[30000];
	size_t off = rng() % FILE_MAX, n = rng() % sizeof(buf);

	if (n > FILE_MAX - off)
		n = FILE_MAX - off;
	switch (rng() % 8) {
	case 0:
		assert_int_equal(fsp_spool_cut(f, off), 0);
		memset(m->written + off, 0, FILE_MAX - off);
		return;
	case 1:
	case 2:
		assert_int_equal(fsp_spool_zero(f, off, n), 0);
		memset(m->bytes + off, 0, n);
		break;
	default:
		memset(buf, (int)rng(), sizeof(buf));
		assert_int_equal(fsp_spool_write(f, buf, n, off), 0);
		memcpy(m->bytes + off, buf, n);
	}
	memset(m->written + off, 1, n);
}

static void test_file_model(void **state)
{
	struct env *e = *state;

	rng_state = SEED + 1;
	print_message("seed %u\n", SEED + 1);
	for (int round = 0; round < 12; round++) {
		FSP_FREE struct model *m = calloc(1, sizeof(*m));
		struct fsp_spool_file *f;

		assert_int_equal(fsp_spool_create(e->s, &f), 0);
		for (int op = 0; op < 40; op++)
			random_op(f, m);
		check_file(f, m);
		fsp_spool_drop(f);
	}
	assert_int_equal(count(e, "a1b2", "w-"), 0);
}

static void test_complete(void **state)
{
	struct env *e = *state;
	struct fsp_spool_file *f;
	uint64_t start, end;
	struct stat st;

	assert_int_equal(fsp_spool_create(e->s, &f), 0);
	assert_true(fsp_spool_complete(f, 0));
	assert_false(fsp_spool_complete(f, 1));
	assert_int_equal(fsp_spool_write(f, "abc", 3, 0), 0);
	assert_true(fsp_spool_complete(f, 3));
	assert_false(fsp_spool_complete(f, 4));
	assert_int_equal(fsp_spool_write(f, "x", 1, 4), 0);
	assert_false(fsp_spool_complete(f, 5));
	assert_true(fsp_spool_extent(f, 3, &start, &end));
	assert_int_equal(start, 4);
	assert_int_equal(end, 5);
	assert_false(fsp_spool_extent(f, 5, &start, &end));
	assert_int_equal(fsp_spool_zero(f, 3, 1), 0);
	assert_true(fsp_spool_complete(f, 5));
	assert_int_equal(fsp_spool_zero(f, 5, 0), 0);
	assert_true(fsp_spool_complete(f, 5));
	/* A terabyte of zeros takes no room. */
	assert_int_equal(fsp_spool_zero(f, 5, 1ull << 40), 0);
	assert_int_equal(fstat(fsp_spool_fd(f), &st), 0);
	assert_int_equal(st.st_size, (1ull << 40) + 5);
	assert_true(st.st_blocks < 100);
	fsp_spool_drop(f);
	fsp_spool_drop(NULL);
}

static void test_file_limits(void **state)
{
	struct env *e = *state;
	struct fsp_spool_file *f;
	uint64_t start, end;
	char c;

	assert_int_equal(fsp_spool_create(e->s, &f), 0);
	assert_int_equal(fsp_spool_write(f, "x", 1, INT64_MAX), -EFBIG);
	assert_int_equal(fsp_spool_write(f, "x", 1, UINT64_MAX), -EFBIG);
	assert_int_equal(fsp_spool_zero(f, 1, UINT64_MAX), -EFBIG);
	assert_int_equal(fsp_spool_read(f, &c, 1, UINT64_MAX), 0);
	assert_int_equal(fsp_spool_read(f, &c, 1, 0), 0);
	assert_false(fsp_spool_extent(f, 0, &start, &end));
	fsp_spool_drop(f);
}

/* What was not written for sure does not count as written. */
static void test_write_errors(void **state)
{
	static const int errors[] = { ENOSPC, EIO, EDQUOT };
	struct env *e = *state;
	struct fsp_spool_file *f;
	uint64_t start, end;

	assert_int_equal(fsp_spool_create(e->s, &f), 0);
	for (size_t i = 0; i < 3; i++) {
		trace_start(1, errors[i]);
		assert_int_equal(fsp_spool_write(f, "abc", 3, 10), -errors[i]);
		tracing = false;
		assert_int_equal(ntrace, 1);
		assert_false(fsp_spool_extent(f, 0, &start, &end));
	}
	assert_int_equal(fsp_spool_write(f, "abc", 3, 10), 0);
	assert_true(fsp_spool_extent(f, 0, &start, &end));
	fsp_spool_drop(f);
}

static void test_taken_by_the_cache(void **state)
{
	struct env *e = *state;
	FSP_FREE char *to = fsp_strf("%s/taken", e->path);
	struct fsp_spool_file *f;

	assert_int_equal(fsp_spool_create(e->s, &f), 0);
	assert_int_equal(fsp_spool_write(f, "abc", 3, 0), 0);
	assert_int_equal(rename(fsp_spool_path(f), to), 0);
	fsp_spool_drop(f);
	assert_int_equal(access(to, F_OK), 0);
}

/* Whatever a name can hold. */
static const char *const nasty[] = {
	"a/b/c.txt",
	"",
	"line\nbreak=1\nino=99",
	"100%41%%",
	"tab\tcr\rdel\x7f esc\x1b[31m",
	" leading and trailing ",
	"\xff\xfe not utf-8 \xc3\xa4",
	"path=ino=",
};

#define NASTY (sizeof(nasty) / sizeof(*nasty))

/* 2015-05-08T10:13:20Z */
#define AT_US 1431080000123456LL

static int keep_one(struct env *e, const char *path, uint64_t ino)
{
	struct fsp_spool_info i = { .ino = ino, .size = 123456789012345,
		                    .base_row = INT64_MAX, .at_us = AT_US,
		                    .error = EHOSTDOWN };
	struct fsp_spool_file *f;

	assert_int_equal(fsp_spool_create(e->s, &f), 0);
	assert_int_equal(fsp_spool_write(f, "content", 7, 0), 0);
	assert_int_equal(fsp_spool_write(f, "more", 4, 1000), 0);
	i.path = strdup(path);
	int rc = fsp_spool_keep(f, &i);
	free(i.path);
	return rc;
}

struct seen {
	int n, stop_at;
	bool by_ino[NASTY];
	int no_info;
};

static int kept_each(void *arg, const struct fsp_spool_info *i,
                     const char *data_path)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	struct seen *s = arg;

	assert_int_equal(fsp_read_file(data_path, &b, 4096), 0);
	assert_int_equal(b.len, 1004);
	assert_memory_equal(b.data, "content", 7);
	assert_memory_equal(b.data + 1000, "more", 4);
	assert_non_null(strstr(data_path, i->id));
	assert_int_equal(strncmp(i->id, "20150508T101320Z-", 17), 0);
	if (!*i->path && !i->ino) {
		s->no_info++;
		assert_int_equal(i->size, 1004);
		assert_true(i->at_us > AT_US);
	} else {
		assert_in_range(i->ino, 1, NASTY);
		assert_false(s->by_ino[i->ino - 1]);
		s->by_ino[i->ino - 1] = true;
		assert_string_equal(i->path, nasty[i->ino - 1]);
		assert_int_equal(i->size, 123456789012345);
		assert_true(i->base_row == INT64_MAX);
		assert_true(i->at_us == AT_US);
		assert_int_equal(i->error, EHOSTDOWN);
	}
	return ++s->n == s->stop_at ? 55 : 0;
}

static void test_keep_round_trip(void **state)
{
	struct env *e = *state;
	struct seen s = { 0 };

	assert_int_equal(fsp_spool_each_kept(e->path, kept_each, &s), 0);
	assert_int_equal(fsp_spool_each_kept("/nonexistent", kept_each, &s), 0);
	assert_int_equal(s.n, 0);
	for (size_t i = 0; i < NASTY; i++)
		assert_int_equal(keep_one(e, nasty[i], i + 1), 0);
	assert_int_equal(fsp_spool_each_kept(e->path, kept_each, &s), 0);
	assert_int_equal(s.n, NASTY);
	assert_int_equal(s.no_info, 0);
	s = (struct seen){ .stop_at = 2 };
	assert_int_equal(fsp_spool_each_kept(e->path, kept_each, &s), 55);
	assert_int_equal(s.n, 2);
	assert_int_equal(count(e, "a1b2", "w-"), 0);
	assert_int_equal(count(e, "kept", ""), 2 * NASTY);
}

/* The end of the mount leaves what is kept. */
static void test_kept_survives(void **state)
{
	struct env *e = *state;
	struct seen s = { 0 };
	uint64_t files, bytes;

	assert_int_equal(keep_one(e, nasty[0], 1), 0);
	fsp_spool_close(e->s);
	e->s = NULL;
	assert_int_equal(fsp_spool_reap(e->path, NULL, NULL, NULL, &files, &bytes),
	                 0);
	assert_int_equal(files, 0);
	assert_int_equal(fsp_spool_each_kept(e->path, kept_each, &s), 0);
	assert_int_equal(s.n, 1);
	assert_int_equal(count(e, "", ""), 1);
}

static void write_kept(struct env *e, const char *name, const void *p,
                       size_t len)
{
	FSP_FREE char *path = fsp_strf("%s/kept/%s", e->path, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fsp_write_all(fd, p, len), 0);
	close(fd);
}

static void test_kept_info_damaged(void **state)
{
	static const char name[] = "20150508T101320Z-0.info";
	static const char *const damage[] = {
		"", "\n", "=\n=\n", "path", "path=cut short", "no such\nkey=1\n",
		"ino=-1\nsize=x\nat_us=99999999999999999999\n",
		"ino=1x\nerror=-5\nbase_row=\nsize= 5\n",
	};
	struct env *e = *state;
	FSP_FREE char *path = fsp_strf("%s/kept/%s", e->path, name);
	FSP_FREE char *junk = malloc(200000);
	struct seen s = { 0 };

	assert_int_equal(keep_one(e, "x", 1), 0);
	for (size_t i = 0; i < sizeof(damage) / sizeof(*damage); i++) {
		write_kept(e, name, damage[i], strlen(damage[i]));
		assert_int_equal(fsp_spool_each_kept(e->path, kept_each, &s),
		                 0);
		assert_int_equal(s.no_info, i + 1);
	}
	s.no_info = 0;
	rng_state = SEED + 2;
	memset(junk, 'x', 200000);
	write_kept(e, name, junk, 200000);
	assert_int_equal(fsp_spool_each_kept(e->path, kept_each, &s), 0);
	for (int i = 0; i < 200000; i++)
		junk[i] = (char)(rng() % 250 + 1);
	write_kept(e, name, junk, 200000);
	assert_int_equal(fsp_spool_each_kept(e->path, kept_each, &s), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(fsp_spool_each_kept(e->path, kept_each, &s), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(fsp_spool_each_kept(e->path, kept_each, &s), 0);
	assert_int_equal(s.no_info, 4);
}

/* An info file alone, and what is none of ours, is not listed. */
static void test_kept_strangers(void **state)
{
	struct env *e = *state;
	FSP_FREE char *dir = fsp_strf("%s/kept/d.data", e->path);
	struct seen s = { 0 };

	assert_int_equal(keep_one(e, nasty[0], 1), 0);
	write_kept(e, "lonely.info", "path=x\n", 7);
	write_kept(e, ".data", "", 0);
	write_kept(e, "notes.txt", "", 0);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(fsp_spool_each_kept(e->path, kept_each, &s), 0);
	assert_int_equal(s.n, 1);
}

static void test_info_text(void **state)
{
	struct env *e = *state;
	FSP_FREE char *path =
		fsp_strf("%s/kept/20150508T101320Z-0.info", e->path);
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;

	assert_int_equal(keep_one(e, "a\n%b", 42), 0);
	assert_int_equal(fsp_read_file(path, &b, 4096), 0);
	assert_string_equal(b.data, "path=a%0A%25b\n"
	                            "ino=42\n"
	                            "size=123456789012345\n"
	                            "base_row=9223372036854775807\n"
	                            "at_us=1431080000123456\n"
	                            "error=112\n"
	                            "extents=0-7,1000-4\n");
}

/* The data is safe under its new name before anything says that it is. */
static void test_keep_order(void **state)
{
	static const enum step want[] = {
		SYNC_FILE, LINK,   SYNC_DIR, SYNC_FILE,
		RENAME,    SYNC_DIR, UNLINK, SYNC_DIR,
	};
	struct env *e = *state;
	struct fsp_spool_file *f;
	struct fsp_spool_info i = { .at_us = AT_US };
	int rc;

	assert_int_equal(keep_one(e, "makes the directory", 1), 0);
	assert_int_equal(fsp_spool_create(e->s, &f), 0);
	trace_start(0, 0);
	rc = fsp_spool_keep(f, &i);
	tracing = false;
	assert_int_equal(rc, 0);
	/* One name is taken: two attempts to link. */
	assert_int_equal(ntrace, 9);
	assert_int_equal(trace[1], LINK);
	memmove(trace + 1, trace + 2, 7 * sizeof(*trace));
	assert_memory_equal(trace, want, sizeof(want));
}

static int count_content(struct env *e)
{
	int kept = count(e, "kept", "20150508"), aside = count(e, "a1b2", "f-");
	int infos = 0;
	DIR *d;
	const struct dirent *de;
	FSP_FREE char *path = fsp_strf("%s/kept", e->path);

	d = opendir(path);
	if (d) {
		while ((de = readdir(d)))
			infos += strstr(de->d_name, ".info") != NULL;
		closedir(d);
	}
	return (kept > 0 ? kept - infos : 0) + (aside > 0 ? aside : 0);
}

/* Whatever fails, and whatever happens to the mount then: never lost. */
static void test_keep_every_fault(void **state)
{
	struct env *e = *state;
	uint64_t files, bytes;
	int rc, n = 0;

	do {
		FSP_FREE char *kept = fsp_strf("%s/kept", e->path);
		FSP_FREE char *own = fsp_strf("%s/a1b2", e->path);
		struct fsp_spool_info i = { .at_us = AT_US };
		struct fsp_spool_file *f;

		assert_int_equal(fsp_spool_create(e->s, &f), 0);
		assert_int_equal(fsp_spool_write(f, "x", 1, 0), 0);
		trace_start(++n, EIO);
		rc = fsp_spool_keep(f, &i);
		tracing = false;
		assert_int_equal(rc, ntrace >= n ? -EIO : 0);
		fsp_spool_close(e->s);
		e->s = NULL;
		assert_int_equal(fsp_spool_reap(e->path, NULL, NULL, NULL, &files,
		                                &bytes),
		                 0);
		assert_true(count_content(e) >= 1);
		rc = ntrace >= n;
		(void)fsp_rm_tree(kept);
		(void)fsp_rm_tree(own);
		assert_int_equal(fsp_spool_open(e->path, "a1b2", &e->s), 0);
	} while (rc);
	assert_true(n > 8);
}

/* Mounts and their ends. */

static int dead_count, dead_rc;

static int dead(void *arg, const char *id)
{
	assert_string_equal(id, arg);
	dead_count++;
	return dead_rc;
}

/* A mount in a child that dies without a word, with two files in flight. */
static void die(struct env *e, const char *id)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		struct fsp_spool *s;
		struct fsp_spool_file *f;

		if (fsp_spool_open(e->path, id, &s) ||
		    fsp_spool_create(s, &f) ||
		    fsp_spool_write(f, "12345", 5, 0) ||
		    fsp_spool_create(s, &f) || !fsp_spool_alive(e->path, id))
			_exit(1);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_reap(void **state)
{
	struct env *e = *state;
	char id[] = "dead01";
	uint64_t files = 9, bytes = 9;

	dead_count = 0;
	die(e, id);
	assert_int_equal(count(e, id, ""), 3);
	assert_false(fsp_spool_alive(e->path, id));
	dead_rc = -EHOSTDOWN;
	assert_int_equal(fsp_spool_reap(e->path, NULL, dead, id, &files, &bytes),
	                 -EHOSTDOWN);
	assert_int_equal(dead_count, 1);
	assert_int_equal(files, 2);
	assert_int_equal(bytes, 5);
	/* Still to be done for the database. */
	assert_true(count(e, id, "") >= 0);
	assert_int_equal(count(e, id, "w-"), 0);
	dead_rc = 0;
	assert_int_equal(fsp_spool_reap(e->path, NULL, dead, id, &files, &bytes), 0);
	assert_int_equal(dead_count, 2);
	assert_int_equal(files, 0);
	assert_int_equal(count(e, id, ""), -1);
	assert_int_equal(fsp_spool_reap(e->path, NULL, dead, id, &files, &bytes), 0);
	assert_int_equal(dead_count, 2);
	/* We live, and kept nothing. */
	assert_int_equal(count(e, "", ""), 1);
	assert_true(fsp_spool_alive(e->path, "a1b2"));
}

/* What only looks like a part of the spool is left alone. */
static void test_reap_strangers(void **state)
{
	struct env *e = *state;
	FSP_FREE char *dir = fsp_strf("%s/lost+found", e->path);
	FSP_FREE char *file = fsp_strf("%s/abcdef", e->path);
	FSP_FREE char *link = fsp_strf("%s/0123", e->path);
	uint64_t files, bytes;
	int fd;

	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(symlink(dir, link), 0);
	fd = open(file, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	dead_count = 0;
	(void)fsp_spool_reap(e->path, NULL, dead, NULL, &files, &bytes);
	assert_int_equal(dead_count, 0);
	assert_int_equal(count(e, "", ""), 4);
	assert_int_equal(fsp_spool_reap("/nonexistent", NULL, dead, NULL, &files,
	                                &bytes),
	                 0);
}

/* A start or an end that was cut short: nobody has to be told. */
static void test_reap_unfinished(void **state)
{
	struct env *e = *state;
	FSP_FREE char *dir = fsp_strf("%s/.tmp-beef", e->path);
	FSP_FREE char *other = fsp_strf("%s/.tmp-f00d", e->path);
	FSP_FREE char *lock = fsp_strf("%s/.tmp-f00d/lock", e->path);
	uint64_t files, bytes;
	int fd;

	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(mkdir(other, 0700), 0);
	fd = open(lock, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	dead_count = 0;
	assert_int_equal(fsp_spool_reap(e->path, NULL, dead, NULL, &files, &bytes),
	                 0);
	assert_int_equal(dead_count, 0);
	assert_int_equal(count(e, "", ""), 1);
	assert_int_equal(count(e, "", ".tmp-"), 0);
}

/* A directory that lost its lock file is dead, too. */
static void test_reap_without_lock(void **state)
{
	struct env *e = *state;
	FSP_FREE char *dir = fsp_strf("%s/cafe", e->path);
	char id[] = "cafe";
	uint64_t files, bytes;

	assert_int_equal(mkdir(dir, 0700), 0);
	assert_false(fsp_spool_alive(e->path, id));
	dead_count = dead_rc = 0;
	assert_int_equal(fsp_spool_reap(e->path, NULL, dead, id, &files, &bytes), 0);
	assert_int_equal(dead_count, 1);
	assert_int_equal(count(e, id, ""), -1);
}

static void test_alive(void **state)
{
	struct env *e = *state;
	struct fsp_spool *s;

	assert_true(fsp_spool_alive(e->path, "a1b2"));
	assert_false(fsp_spool_alive(e->path, "a1b3"));
	assert_false(fsp_spool_alive(e->path, ""));
	assert_false(fsp_spool_alive(e->path, "../spool/a1b2"));
	assert_false(fsp_spool_alive("/nonexistent", "a1b2"));
	assert_int_equal(fsp_spool_open(e->path, "a1b2", &s), -EBUSY);
	assert_null(s);
	assert_int_equal(fsp_spool_open(e->path, "", &s), -EINVAL);
	assert_int_equal(fsp_spool_open(e->path, "kept", &s), -EINVAL);
	assert_int_equal(count(e, "", ""), 1);
	fsp_spool_close(e->s);
	e->s = NULL;
	assert_false(fsp_spool_alive(e->path, "a1b2"));
	assert_int_equal(count(e, "", ""), 0);
}

static void test_names_are_used_once(void **state)
{
	struct env *e = *state;
	struct fsp_spool_file *f;

	assert_int_equal(fsp_spool_create(e->s, &f), 0);
	assert_int_equal(fsp_spool_write(f, "x", 1, 0), 0);
	fsp_spool_drop(f);
	assert_int_equal(fsp_spool_create(e->s, &f), 0);
	assert_string_equal(strrchr(fsp_spool_path(f), '/'), "/w-1");
	fsp_spool_drop(f);
}

static void close_mount(void *arg)
{
	struct env *e = arg;

	fsp_spool_close(e->s);
	e->s = NULL;
}

/* A mount ends while a reaper has its lock file open: it did not die. */
static void test_end_under_a_reaper(void **state)
{
	struct env *e = *state;
	char id[] = "a1b2";
	uint64_t files, bytes;

	dead_count = dead_rc = 0;
	before_lock_arg = e;
	before_lock = close_mount;
	assert_int_equal(fsp_spool_reap(e->path, NULL, dead, id, &files, &bytes), 0);
	assert_null(before_lock);
	assert_null(e->s);
	assert_int_equal(dead_count, 0);
	assert_int_equal(count(e, "", ""), 0);
}

static void reap_all(void *arg)
{
	struct env *e = arg;
	uint64_t files, bytes;

	assert_int_equal(fsp_spool_reap(e->path, NULL, dead, NULL, &files, &bytes),
	                 0);
}

/* A reaper tidies the new directory away before the start could lock it. */
static void test_start_under_a_reaper(void **state)
{
	struct env *e = *state;
	struct fsp_spool *s;
	struct fsp_spool_file *f;

	dead_count = dead_rc = 0;
	before_lock_arg = e;
	before_lock = reap_all;
	assert_int_equal(fsp_spool_open(e->path, "0c0d", &s), 0);
	assert_null(before_lock);
	assert_int_equal(dead_count, 0);
	assert_true(fsp_spool_alive(e->path, "0c0d"));
	assert_int_equal(fsp_spool_create(s, &f), 0);
	fsp_spool_drop(f);
	fsp_spool_close(s);
	assert_int_equal(count(e, "", ""), 1);
}

struct crowd {
	struct env *e;
	int nr;
	atomic_bool *stop;
	int bad;
	pthread_t thread;
};

static int never_dead(void *arg, const char *id)
{
	struct crowd *c = arg;

	(void)id;
	c->bad++;
	return 0;
}

static void *reap_thread(void *arg)
{
	struct crowd *c = arg;
	uint64_t files, bytes;

	while (!*c->stop)
		if (fsp_spool_reap(c->e->path, NULL, never_dead, c, &files, &bytes))
			c->bad++;
	return NULL;
}

static void *mount_thread(void *arg)
{
	struct crowd *c = arg;

	for (int i = 0; i < 150; i++) {
		FSP_FREE char *id = fsp_strf("%d%08d", c->nr, i % 7);
		struct fsp_spool_file *f;
		struct fsp_spool *s;

		if (fsp_spool_open(c->e->path, id, &s)) {
			c->bad++;
			continue;
		}
		if (fsp_spool_create(s, &f) ||
		    fsp_spool_write(f, "abc", 3, 0) ||
		    access(fsp_spool_path(f), F_OK) ||
		    !fsp_spool_alive(c->e->path, id))
			c->bad++;
		fsp_spool_drop(f);
		fsp_spool_close(s);
	}
	return NULL;
}

/* Mounts come and go in order while reapers look: none is taken for dead. */
static void test_reapers_and_mounts(void **state)
{
	struct env *e = *state;
	atomic_bool stop = false;
	struct crowd c[5] = { 0 };
	uint64_t files, bytes;

	for (int i = 0; i < 5; i++) {
		c[i] = (struct crowd){ .e = e, .nr = i, .stop = &stop };
		assert_int_equal(pthread_create(&c[i].thread, NULL,
		                                i < 2 ? reap_thread
		                                      : mount_thread,
		                                &c[i]),
		                 0);
	}
	for (int i = 4; i >= 0; i--) {
		if (i == 1)
			stop = true;
		assert_int_equal(pthread_join(c[i].thread, NULL), 0);
	}
	for (int i = 0; i < 5; i++)
		assert_int_equal(c[i].bad, 0);
	assert_int_equal(fsp_spool_reap(e->path, NULL, NULL, NULL, &files, &bytes),
	                 0);
	assert_int_equal(count(e, "", ""), 1);
}

static int count_dead(void *arg, const char *id)
{
	(void)id;
	atomic_fetch_add((atomic_int *)arg, 1);
	return 0;
}

struct pair {
	struct env *e;
	atomic_int *told;
	uint64_t files, bytes;
	int rc;
	pthread_t thread;
};

static void *pair_thread(void *arg)
{
	struct pair *p = arg;

	p->rc = fsp_spool_reap(p->e->path, NULL, count_dead, p->told, &p->files,
	                       &p->bytes);
	return NULL;
}

/* Two at once: each dead one is told once, each file counted once. */
static void test_two_reapers(void **state)
{
	struct env *e = *state;
	atomic_int told = 0;
	struct pair p[2] = { 0 };
	uint64_t files, bytes;

	for (int i = 0; i < 20; i++) {
		FSP_FREE char *id = fsp_strf("d%d", i);

		die(e, id);
	}
	for (int i = 0; i < 2; i++) {
		p[i].e = e;
		p[i].told = &told;
		assert_int_equal(pthread_create(&p[i].thread, NULL, pair_thread,
		                                &p[i]),
		                 0);
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(p[i].thread, NULL), 0);
		assert_int_equal(p[i].rc, 0);
	}
	assert_int_equal(told, 20);
	assert_int_equal(p[0].files + p[1].files, 40);
	assert_int_equal(p[0].bytes + p[1].bytes, 100);
	assert_int_equal(fsp_spool_reap(e->path, NULL, NULL, NULL, &files, &bytes),
	                 0);
	assert_int_equal(count(e, "", ""), 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_extents_model),
		cmocka_unit_test(test_extents_edges),
		T(test_file_model),
		T(test_complete),
		T(test_file_limits),
		T(test_write_errors),
		T(test_taken_by_the_cache),
		T(test_keep_round_trip),
		T(test_kept_survives),
		T(test_kept_info_damaged),
		T(test_kept_strangers),
		T(test_info_text),
		T(test_keep_order),
		T(test_keep_every_fault),
		T(test_reap),
		T(test_reap_strangers),
		T(test_reap_unfinished),
		T(test_reap_without_lock),
		T(test_alive),
		T(test_names_are_used_once),
		T(test_end_under_a_reaper),
		T(test_start_under_a_reaper),
		T(test_reapers_and_mounts),
		T(test_two_reapers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
