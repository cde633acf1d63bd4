/*
 * The journal of the spool: what was put is there again, whatever is torn,
 * fails or is killed in between; and snapshots, which nothing changes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_file.h"
#include "fsp_journal.h"
#include "fsp_spool.h"

#define LARGE (200 * 1024)      /* not in the journal */
#define CRASHED 77

/*
 * These stand in front of the C library's: the nth call of any of them fails,
 * or is the last one that the process makes.
 */
static atomic_int calls, syncs;
static int stop_at;             /* 0: never */
static bool stop_kills;

#define REAL(type, name) ((type)dlsym(RTLD_NEXT, name))
typedef int (*fd_fn)(int);
typedef int (*renameat_fn)(int, const char *, int, const char *);
typedef int (*linkat_fn)(int, const char *, int, const char *, int);
typedef int (*unlinkat_fn)(int, const char *, int);
typedef int (*ftruncate_fn)(int, off_t);
typedef ssize_t (*pwrite_fn)(int, const void *, size_t, off_t);

static int step(void)
{
	if (atomic_fetch_add(&calls, 1) + 1 != stop_at)
		return 0;
	if (stop_kills)
		_exit(CRASHED);
	errno = EIO;
	return -1;
}

int fsync(int fd)
{
	return step() ? -1 : REAL(fd_fn, "fsync")(fd);
}

int fdatasync(int fd)
{
	atomic_fetch_add(&syncs, 1);
	return step() ? -1 : REAL(fd_fn, "fdatasync")(fd);
}

int renameat(int d, const char *a, int e, const char *b)
{
	return step() ? -1 : REAL(renameat_fn, "renameat")(d, a, e, b);
}

int linkat(int d, const char *a, int e, const char *b, int flags)
{
	return step() ? -1 : REAL(linkat_fn, "linkat")(d, a, e, b, flags);
}

int unlinkat(int d, const char *a, int flags)
{
	return step() ? -1 : REAL(unlinkat_fn, "unlinkat")(d, a, flags);
}

int ftruncate(int fd, off_t n)
{
	return step() ? -1 : REAL(ftruncate_fn, "ftruncate64")(fd, n);
}

/* Half of it is written before it fails: that is what torn means. */
ssize_t pwrite(int fd, const void *p, size_t n, off_t off)
{
	if (stop_at && atomic_load(&calls) + 1 == stop_at && n > 1)
		(void)!REAL(pwrite_fn, "pwrite64")(fd, p, n / 2, off);
	return step() ? -1 : REAL(pwrite_fn, "pwrite64")(fd, p, n, off);
}

static void stop_on(int nth, bool kills)
{
	atomic_store(&calls, 0);
	stop_kills = kills;
	stop_at = nth;
}

struct env {
	char path[256];
	struct fsp_spool *s;
	struct fsp_journal *j;
};

static void open_mount(struct env *e, const char *id)
{
	assert_int_equal(fsp_spool_open(e->path, id, &e->s), 0);
	assert_int_equal(fsp_journal_open(e->s, &e->j), 0);
}

static int setup(void **state)
{
	struct env *e = calloc(1, sizeof(*e));
	const char *tmp = getenv("TMPDIR");

	assert_non_null(e);
	stop_at = 0;
	(void)snprintf(e->path, sizeof(e->path), "%s/fsp-journal-XXXXXX",
	               tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(e->path));
	open_mount(e, "a1");
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	struct env *e = *state;

	stop_at = 0;
	fsp_journal_close(e->j);
	if (e->s)
		fsp_spool_close(e->s);
	(void)fsp_rm_tree(e->path);
	free(e);
	return 0;
}

static void fill(char *buf, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		buf[i] = (char)(seed + i * 7 + i / 251);
}

static struct fsp_spool_file *content(struct env *e, size_t n, unsigned seed)
{
	FSP_FREE char *buf = malloc(n + 1);
	struct fsp_spool_file *f;

	fill(buf, n, seed);
	assert_int_equal(fsp_spool_create(e->s, &f), 0);
	assert_int_equal(fsp_spool_write(f, buf, n, 0), 0);
	return f;
}

/* The directories above what is unborn. */
static const struct fsp_queued_dir above[] = {
	{ 101, 0040755, 1, 2, -3, 4, 5 },
	{ 102, 0042770, 6, 7, 8, -9, INT64_MAX },
};

/* All facts follow from the inode's number, so that any can be checked. */
static struct fsp_queued facts(uint64_t ino, uint64_t size)
{
	struct fsp_queued q = {
		.ino = ino, .size = size, .mtime_ns = -5 - (int64_t)ino,
		.atime_ns = 7, .ctime_ns = 8, .queued_us = 9 + (int64_t)ino,
		.over_row = 10, .session_row = 11,
		.base = { 12, 13, "b" }, .base_valid = 14, .base_limit = 15,
		.append_off = UINT64_MAX, .grown = 17,
		.merged = { 18, 19, "m" }, .mask = 20, .mode = 0100640,
		.uid = 22, .gid = 23, .pending = ino % 2,
		.path = "a/t/r/n\nme %", .unborn = ino % 2,
	};

	if (q.unborn) {
		q.dirs = above;
		q.n_dirs = 2;
	}
	return q;
}

static void put(struct env *e, struct fsp_queued *q, struct fsp_spool_file *f)
{
	assert_int_equal(fsp_journal_put(e->j, q, f), 0);
	assert_true(q->key > 0);
}

static void end(struct env *e, uint64_t key, int64_t row, bool merged)
{
	struct fsp_queue_end d = { key, { row, 99, "hash" }, merged };

	assert_int_equal(fsp_journal_end(e->j, &d, false), 0);
}

struct seen {
	struct fsp_spool *into;
	struct fsp_queued q[64];
	int n, broken;
};

static bool same_dirs(const struct fsp_queued *q)
{
	if (!q->unborn)
		return q->n_dirs == 0;
	for (size_t i = 0; i < 2 && q->n_dirs == 2; i++) {
		const struct fsp_queued_dir *d = &q->dirs[i], *w = &above[i];

		if (d->ino != w->ino || d->mode != w->mode ||
		    d->uid != w->uid || d->gid != w->gid ||
		    d->atime_ns != w->atime_ns ||
		    d->mtime_ns != w->mtime_ns || d->ctime_ns != w->ctime_ns)
			return false;
	}
	return q->n_dirs == 2;
}

static bool same_facts(const struct fsp_queued *a, const struct fsp_queued *b)
{
	return a->size == b->size && a->mtime_ns == b->mtime_ns &&
	       a->atime_ns == 7 && a->ctime_ns == 8 &&
	       a->queued_us == b->queued_us && a->session_row == 11 &&
	       a->base.row == 12 && a->base.size == 13 &&
	       strcmp(a->base.hash, "b") == 0 && a->base_valid == 14 &&
	       a->base_limit == 15 && a->append_off == UINT64_MAX &&
	       a->grown == 17 && a->mask == 20 && a->mode == 0100640 &&
	       a->uid == 22 && a->gid == 23 && a->pending == b->pending &&
	       strcmp(a->path, b->path) == 0 && same_dirs(a);
}

static bool same_content(struct fsp_spool_file *f, uint64_t n, unsigned seed)
{
	FSP_FREE char *want = malloc(n + 1), *got = malloc(n + 1);

	fill(want, n, seed);
	return fsp_spool_complete(f, n) &&
	       fsp_spool_read(f, got, n, 0) == (ssize_t)n &&
	       memcmp(want, got, n) == 0;
}

/* Content is made from the inode's number; size 0 has none. */
static int see(void *arg, const struct fsp_journal_entry *e)
{
	struct fsp_queued want = facts(e->q.ino, e->q.size);
	struct fsp_spool_file *f = NULL;
	struct seen *s = arg;

	assert_true(s->n < 64);
	assert_true(same_facts(&e->q, &want));
	s->q[s->n] = e->q;
	s->q[s->n].dirs = NULL;
	s->q[s->n++].path = NULL;
	if (!s->into)
		return 0;
	if (fsp_journal_load(e, s->into, &f)) {
		s->broken++;
		return 0;
	}
	assert_int_equal(f != NULL, e->q.size != 0);
	assert_true(!f || same_content(f, e->q.size, (unsigned)e->q.ino));
	fsp_spool_drop(f);
	return 0;
}

static int open_dir(struct env *e, const char *id)
{
	FSP_FREE char *dir = fsp_strf("%s/%s", e->path, id);
	int fd = open(dir, O_RDONLY | O_DIRECTORY);

	assert_true(fd >= 0);
	return fd;
}

static struct seen read_all(struct env *e, struct fsp_spool *into,
                            uint64_t *damaged)
{
	struct seen s = { .into = into };
	int fd = open_dir(e, "a1");

	assert_int_equal(fsp_journal_read(fd, see, &s, damaged), 0);
	close(fd);
	return s;
}

static void test_round_trip(void **state)
{
	struct env *e = *state;
	struct fsp_spool_file *small = content(e, 1000, 1);
	struct fsp_spool_file *large = content(e, LARGE, 2);
	struct fsp_queued a = facts(1, 1000), b = facts(2, LARGE);
	struct fsp_queued c = facts(3, 0);
	uint64_t damaged;
	struct seen s;

	put(e, &a, small);
	put(e, &b, large);
	put(e, &c, NULL);
	assert_false(fsp_journal_has_file(e->j, a.key));
	assert_true(fsp_journal_has_file(e->j, b.key));
	s = read_all(e, e->s, &damaged);
	assert_int_equal(s.n, 3);
	assert_int_equal(s.broken + (int)damaged, 0);
	assert_int_equal(s.q[0].ino, 1);
	assert_int_equal(s.q[1].merged.row, 18);
	assert_true(s.q[0].unborn && s.q[2].unborn);
	assert_false(s.q[1].unborn);
	assert_int_equal(s.q[2].over_row, 10);
	end(e, b.key, 50, false);
	assert_int_equal(read_all(e, e->s, NULL).n, 2);
	end(e, a.key, 51, false);
	end(e, c.key, 0, false);
	assert_int_equal(read_all(e, e->s, NULL).n, 0);
	fsp_spool_drop(small);
	fsp_spool_drop(large);
}

static int count_one(void *arg, const struct fsp_journal_entry *e)
{
	(void)e;
	++*(int *)arg;
	return 0;
}

static void born(struct env *e, uint64_t key)
{
	assert_int_equal(fsp_journal_born(e->j, key), 0);
}

/* The name of an inode has come, for all that waits of it. */
static void test_born(void **state)
{
	struct env *e = *state;
	struct fsp_queued a = facts(1, 0), b = facts(3, 0), c = facts(1, 0);
	struct fsp_queued again = facts(1, 0);
	struct seen s;
	int before;

	put(e, &a, NULL);
	put(e, &b, NULL);
	c.behind = a.key;
	put(e, &c, NULL);
	before = atomic_load(&syncs);
	born(e, c.key);
	born(e, c.key);
	assert_int_equal(atomic_load(&syncs), before);
	s = read_all(e, NULL, NULL);
	assert_int_equal(s.n, 3);
	assert_false(s.q[0].unborn || s.q[2].unborn);
	assert_true(s.q[1].unborn);
	/* What replaces it says it itself. */
	again.drops = c.key;
	put(e, &again, NULL);
	born(e, c.key);
	s = read_all(e, NULL, NULL);
	assert_int_equal(s.n, 3);
	assert_true(s.q[2].unborn);
	born(e, again.key);
	assert_false(read_all(e, NULL, NULL).q[2].unborn);
}

/* Only what became a row says that the name is there. */
static void test_born_by_a_row(void **state)
{
	struct env *e = *state;
	struct fsp_queued a = facts(1, 0), b = facts(1, 0), c = facts(1, 0);
	struct seen s;

	put(e, &a, NULL);
	put(e, &b, NULL);
	put(e, &c, NULL);
	end(e, a.key, 0, false);
	s = read_all(e, NULL, NULL);
	assert_int_equal(s.n, 2);
	assert_true(s.q[0].unborn && s.q[1].unborn);
	end(e, b.key, 70, false);
	s = read_all(e, NULL, NULL);
	assert_int_equal(s.n, 1);
	assert_false(s.q[0].unborn);
}

/* A path does not have so many directories, or nobody has. */
static void test_too_many_dirs(void **state)
{
	static struct fsp_queued_dir many[FSP_QUEUED_DIRS + 1];
	char path[2 * FSP_QUEUED_DIRS + 4];
	struct env *e = *state;
	struct fsp_queued q = facts(1, 0);

	for (size_t i = 0; i <= FSP_QUEUED_DIRS; i++)
		many[i] = above[0];
	q.dirs = many;
	q.n_dirs = 4;
	assert_int_equal(fsp_journal_put(e->j, &q, NULL), -EINVAL);
	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = i % 2 ? '/' : 'x';
	path[sizeof(path) - 1] = '\0';
	q.path = path;
	q.n_dirs = FSP_QUEUED_DIRS + 1;
	assert_int_equal(fsp_journal_put(e->j, &q, NULL), -EINVAL);
	q.n_dirs = FSP_QUEUED_DIRS;
	put(e, &q, NULL);
}

#define HEAD 40                 /* of a record: DESIGN.md */
#define DIRS_AT (HEAD + 312)

static void set32(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> 8 * i);
}

static void set64(unsigned char *p, uint64_t v)
{
	set32(p, (uint32_t)v);
	set32(p + 4, (uint32_t)(v >> 32));
}

/* The sums are right, whatever the rest is. */
static void sum_up(unsigned char *p, uint64_t len)
{
	set64(p + 16, len);
	set64(p + 24, fsp_hash64(p + HEAD, len, 0));
	set64(p + 32, fsp_hash64(p, 32, 0));
}

static void try_bytes(struct env *e, unsigned char *p, size_t n, uint64_t len,
                      int wanted)
{
	FSP_FREE char *path = fsp_strf("%s/a1/journal", e->path);
	int fd = open(path, O_RDWR | O_TRUNC), dir = open_dir(e, "a1");
	int found = 0;

	sum_up(p, len);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), n);
	assert_int_equal(fsp_journal_read(dir, count_one, &found, NULL), 0);
	assert_int_equal(found, wanted);
	close(dir);
	close(fd);
}

/* Whoever can write the journal can make the sums right, too. */
static void test_hostile_dirs(void **state)
{
	static const uint32_t counts[] = { 3, 4, 2048, 2049, 1U << 28,
	                                   UINT32_MAX };
	struct env *e = *state;
	FSP_FREE char *path = fsp_strf("%s/a1/journal", e->path);
	struct fsp_queued q = facts(1, 0);
	unsigned char p[1024], *dirs = p + DIRS_AT;
	uint64_t len = 312 + 8 + 2 * 48 + strlen(q.path);
	size_t n;
	int fd;

	put(e, &q, NULL);
	fd = open(path, O_RDONLY);
	n = (size_t)read(fd, p, sizeof(p));
	close(fd);
	assert_int_equal(n, HEAD + ((len + 7) & ~7ULL));
	try_bytes(e, p, n, len, 1);
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		set32(dirs, counts[i]);
		try_bytes(e, p, n, len, 0);
	}
	/* The path has them, but there are fewer bytes. */
	set32(dirs, 1);
	try_bytes(e, p, n, len, 0);
	set32(dirs, 2);
	for (uint64_t cut = 0; cut < len; cut++)
		try_bytes(e, p, n, cut, 0);
	try_bytes(e, p, n, len + 1, 0);
	set64(dirs + 8, 0);
	try_bytes(e, p, n, len, 0);
	set64(dirs + 8, 101);
	set32(dirs + 16, 0100644);      /* no directory */
	try_bytes(e, p, n, len, 0);
	set32(dirs + 16, 0040755);
	try_bytes(e, p, n, len, 1);
	dirs[8 + 2 * 48 + 1] = '-';     /* a path that names fewer */
	try_bytes(e, p, n, len, 1);
	dirs[8 + 2 * 48 + 3] = '-';
	try_bytes(e, p, n, len, 0);
}

/* Extents with gaps, and what was written since the last snapshot. */
static int see_gaps(void *arg, const struct fsp_journal_entry *e)
{
	struct fsp_spool_file *f;
	struct env *env = arg;
	uint64_t start, end_;
	char buf[4];

	assert_int_equal(fsp_journal_load(e, env->s, &f), 0);
	assert_true(fsp_spool_extent(f, 5, &start, &end_));
	assert_int_equal(start, 100);
	assert_int_equal(end_, 104);
	assert_int_equal(fsp_spool_read(f, buf, 4, 100), 4);
	assert_memory_equal(buf, "efgh", 4);
	assert_true(fsp_spool_fresh(f, 0, &start, &end_));
	assert_int_equal(start, 100);
	fsp_spool_drop(f);
	return 7;
}

static void test_gaps(void **state)
{
	struct env *e = *state;
	struct fsp_queued q = facts(1, 104);
	struct fsp_spool_file *f;
	int fd = open_dir(e, "a1");

	assert_int_equal(fsp_spool_create(e->s, &f), 0);
	assert_int_equal(fsp_spool_write(f, "abcd", 4, 0), 0);
	fsp_spool_begin_fresh(f);
	assert_int_equal(fsp_spool_write(f, "efgh", 4, 100), 0);
	put(e, &q, f);
	assert_int_equal(fsp_journal_read(fd, see_gaps, e, NULL), 7);
	close(fd);
	fsp_spool_drop(f);
}

static void test_drops_and_followers(void **state)
{
	struct env *e = *state;
	struct fsp_queued a = facts(1, 0), b = facts(2, 0), c = facts(3, 0);
	struct seen s;

	put(e, &a, NULL);
	b.behind = a.key;
	put(e, &b, NULL);
	c.behind = a.key;
	c.drops = b.key;
	put(e, &c, NULL);
	s = read_all(e, NULL, NULL);
	assert_int_equal(s.n, 2);
	assert_int_equal(s.q[1].behind, a.key);
	end(e, a.key, 77, false);
	s = read_all(e, NULL, NULL);
	assert_int_equal(s.n, 1);
	assert_int_equal(s.q[0].ino, 3);
	assert_int_equal(s.q[0].behind, 0);
	assert_int_equal(s.q[0].over_row, 77);

	put(e, &a, NULL);
	b = facts(2, 0);
	b.behind = a.key;
	put(e, &b, NULL);
	end(e, a.key, 78, true);
	s = read_all(e, NULL, NULL);
	assert_int_equal(s.n, 2);
	assert_int_equal(s.q[1].over_row, 10);
	assert_int_equal(s.q[1].merged.row, 78);
	assert_int_equal(s.q[1].merged.size, 99);
	assert_string_equal(s.q[1].merged.hash, "hash");
}

/* The one that others are behind gets another record: it stays before them. */
static void test_replaced_before_followers(void **state)
{
	struct env *e = *state;
	struct fsp_queued a = facts(1, 0), b = facts(2, 0), c = facts(3, 0);
	struct fsp_queued other = facts(9, 0);
	struct seen s;

	put(e, &a, NULL);
	put(e, &other, NULL);
	b.behind = a.key;
	put(e, &b, NULL);
	c.behind = b.key;
	put(e, &c, NULL);
	for (int i = 0; i < 2; i++) {
		a.drops = a.key;
		put(e, &a, NULL);
		s = read_all(e, NULL, NULL);
		assert_int_equal(s.n, 4);
		assert_int_equal(s.q[0].ino, 1);
		assert_int_equal(s.q[0].key, a.key);
		assert_int_equal(s.q[1].ino, 9);
		assert_int_equal(s.q[2].ino, 2);
		assert_int_equal(s.q[2].behind, a.key);
		assert_int_equal(s.q[3].ino, 3);
		assert_int_equal(s.q[3].behind, b.key);
	}
	end(e, a.key, 77, true);
	s = read_all(e, NULL, NULL);
	assert_int_equal(s.n, 3);
	assert_int_equal(s.q[1].behind, 0);
	assert_int_equal(s.q[1].merged.row, 77);
}

static off_t journal_size(struct env *e, const char *id)
{
	FSP_FREE char *path = fsp_strf("%s/%s/journal", e->path, id);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

/* Cut at every length: the whole records before it are there. */
static void test_torn_at_every_byte(void **state)
{
	struct env *e = *state;
	FSP_FREE char *path = fsp_strf("%s/a1/journal", e->path);
	struct fsp_spool_file *f = content(e, 40, 2);
	struct fsp_queued a = facts(1, 0), b = facts(2, 40);
	off_t one, all;

	put(e, &a, NULL);
	one = journal_size(e, "a1");
	put(e, &b, f);
	all = journal_size(e, "a1");
	for (off_t n = all; n >= 0; n--) {
		uint64_t damaged;

		assert_int_equal(truncate(path, n), 0);
		assert_int_equal(read_all(e, NULL, &damaged).n,
		                 n == all ? 2 : n >= one ? 1 : 0);
		assert_int_equal(damaged, 0);
	}
	fsp_spool_drop(f);
}

/* Any byte that is not what it was: its record is not believed. */
static void test_every_byte_changed(void **state)
{
	struct env *e = *state;
	FSP_FREE char *path = fsp_strf("%s/a1/journal", e->path);
	struct fsp_spool_file *f = content(e, 21, 1);
	struct fsp_queued a = facts(1, 21), b = facts(2, 0);
	off_t one;
	int fd;

	put(e, &a, f);
	one = journal_size(e, "a1");
	put(e, &b, NULL);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	for (off_t at = 0; at < one; at++) {
		uint64_t damaged;
		struct seen s;
		unsigned char c;

		assert_int_equal(pread(fd, &c, 1, at), 1);
		c ^= 0x20;
		assert_int_equal(pwrite(fd, &c, 1, at), 1);
		s = read_all(e, NULL, &damaged);
		/* Only the padding means nothing. */
		if (s.n == 2)
			assert_true(one - at < 8);
		else
			assert_int_equal(damaged, 1);
		assert_int_equal(s.q[s.n - 1].ino, 2);
		c ^= 0x20;
		assert_int_equal(pwrite(fd, &c, 1, at), 1);
	}
	close(fd);
	fsp_spool_drop(f);
}


static void run_script(struct env *e, int out)
{
	struct fsp_spool_file *small = content(e, 1000, 1);
	struct fsp_spool_file *large = content(e, LARGE, 2);
	struct fsp_queued a = facts(1, 1000), b = facts(2, LARGE);
	struct fsp_queue_end d = { 0, { 5, 99, "hash" }, false };

	if (fsp_journal_put(e->j, &a, small))
		_exit(1);
	(void)!write(out, "a", 1);
	if (fsp_journal_put(e->j, &b, large))
		_exit(1);
	(void)!write(out, "b", 1);
	d.key = a.key;
	if (fsp_journal_end(e->j, &d, true))
		_exit(1);
	(void)!write(out, "e", 1);
	d.key = b.key;
	if (fsp_journal_end(e->j, &d, true))
		_exit(1);
	(void)!write(out, "f", 1);
	fsp_spool_drop(small);
	fsp_spool_drop(large);
	fsp_journal_close(e->j);
	fsp_spool_close(e->s);
	_exit(0);
}

/* Killed at the nth step, in a mount of its own; what it had got to. */
static int crash_at(struct env *e, int nth, char said[8])
{
	int fds[2], status;
	ssize_t n;
	pid_t child;

	assert_int_equal(pipe(fds), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		struct env own = *e;

		if (fsp_spool_open(e->path, "c1", &own.s) ||
		    fsp_journal_open(own.s, &own.j))
			_exit(1);
		stop_on(nth, true);
		run_script(&own, fds[1]);
	}
	close(fds[1]);
	n = read(fds[0], said, 7);
	for (ssize_t more = 1; n >= 0 && more > 0; n += more)
		more = read(fds[0], said + n, (size_t)(7 - n));
	said[n] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

struct taken {
	struct env *e;
	struct seen seen;
};

static int take(void *arg, const char *id, int dirfd)
{
	struct taken *t = arg;
	uint64_t damaged;
	int rc;

	assert_string_equal(id, "c1");
	t->seen.into = t->e->s;
	rc = fsp_journal_read(dirfd, see, &t->seen, &damaged);
	assert_int_equal(damaged, 0);
	return rc;
}

static bool has(const struct seen *s, uint64_t ino)
{
	for (int i = 0; i < s->n; i++)
		if (s->q[i].ino == ino)
			return true;
	return false;
}

/*
 * Every step is a crash once: what was promised is there and whole, what had
 * ended is not, and nothing else is there at all.
 */
static void test_every_crash(void **state)
{
	struct env *e = *state;
	int nth = 0, rc;

	do {
		struct taken t = { .e = e };
		uint64_t files, bytes;
		FSP_FREE char *dir = fsp_strf("%s/c1", e->path);
		char said[8] = "";

		rc = crash_at(e, ++nth, said);
		assert_true(rc == CRASHED || rc == 0);
		assert_int_equal(fsp_spool_reap(e->path, take, NULL, &t, &files,
		                                &bytes), 0);
		assert_int_equal(t.seen.broken, 0);
		if (strchr(said, 'a') && !strchr(said, 'b'))
			assert_true(has(&t.seen, 1));
		if (strchr(said, 'b') && !strchr(said, 'f') && rc)
			assert_true(has(&t.seen, 2) || strchr(said, 'e'));
		if (strchr(said, 'e'))
			assert_false(has(&t.seen, 1));
		if (strchr(said, 'f'))
			assert_false(has(&t.seen, 2));
		assert_int_equal(access(dir, F_OK), -1);
	} while (rc == CRASHED);
	assert_true(nth > 15);
}

/* Every call fails once: an error, or the promise holds. */
static void test_every_fault(void **state)
{
	struct env *e = *state;
	int nth = 0, fired;

	do {
		struct fsp_spool_file *f = content(e, LARGE, 2);
		struct fsp_queued q = facts(2, LARGE);
		struct seen s;
		int rc;

		stop_on(++nth, false);
		rc = fsp_journal_put(e->j, &q, f);
		fired = atomic_load(&calls) >= stop_at;
		stop_at = 0;
		assert_int_equal(rc, fired ? -EIO : 0);
		s = read_all(e, e->s, NULL);
		assert_int_equal(s.broken, 0);
		assert_true(rc || s.n == 1);
		fsp_spool_drop(f);
		/* A journal that cannot be synced takes nothing any more. */
		fsp_journal_close(e->j);
		fsp_spool_close(e->s);
		(void)fsp_rm_tree(e->path);
		open_mount(e, "a1");
	} while (fired);
	assert_true(nth > 5);
}

static void test_sync_fails(void **state)
{
	struct env *e = *state;
	struct fsp_queued a = facts(1, 0), b = facts(2, 0), c = facts(3, 0);

	put(e, &a, NULL);
	stop_on(2, false);      /* pwrite, then fdatasync */
	assert_int_equal(fsp_journal_put(e->j, &b, NULL), -EIO);
	assert_int_equal(atomic_load(&calls), 2);
	stop_at = 0;
	assert_int_equal(fsp_journal_put(e->j, &c, NULL), -EIO);
}

static void *put_many(void *arg)
{
	struct env *e = arg;

	for (int i = 0; i < 50; i++) {
		struct fsp_queued q = facts(1, 0);

		if (fsp_journal_put(e->j, &q, NULL))
			return arg;
		if (i % 5 == 0) {
			struct fsp_queue_end d = { .key = q.key };

			if (fsp_journal_end(e->j, &d, false))
				return arg;
		}
	}
	return NULL;
}

static void test_threads_share_syncs(void **state)
{
	struct env *e = *state;
	int fd = open_dir(e, "a1"), n = 0;
	pthread_t t[8];

	atomic_store(&syncs, 0);
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&t[i], NULL, put_many, e), 0);
	for (int i = 0; i < 8; i++) {
		void *rc;

		assert_int_equal(pthread_join(t[i], &rc), 0);
		assert_null(rc);
	}
	assert_int_equal(fsp_journal_read(fd, count_one, &n, NULL), 0);
	assert_int_equal(n, 8 * 40);
	assert_true(atomic_load(&syncs) <= 8 * 50);
	close(fd);
}

/* It does not grow for ever while something is pending. */
static void test_written_anew(void **state)
{
	struct env *e = *state;
	struct fsp_spool_file *f = content(e, 100 * 1024, 2);
	struct fsp_queued keep = facts(7, 0), other = facts(9, 0);
	struct seen s;
	off_t most = 0;

	put(e, &keep, NULL);
	put(e, &other, NULL);
	born(e, keep.key);
	for (int i = 0; i < 1500; i++) {
		struct fsp_queued q = facts(2, 100 * 1024);

		put(e, &q, f);
		end(e, q.key, 1, false);
		if (journal_size(e, "a1") > most)
			most = journal_size(e, "a1");
	}
	assert_true(most > 60 * 1024 * 1024);
	assert_true(most < 70 * 1024 * 1024);
	s = read_all(e, e->s, NULL);
	assert_int_equal(s.n, 2);
	assert_int_equal(s.q[0].ino, 7);
	assert_false(s.q[0].unborn);
	assert_true(s.q[1].unborn);
	/* What is written behind them is found. */
	born(e, other.key);
	s = read_all(e, e->s, NULL);
	assert_false(s.q[0].unborn || s.q[1].unborn);
	end(e, keep.key, 1, false);
	end(e, other.key, 1, false);
	assert_int_equal(journal_size(e, "a1"), 0);
	fsp_spool_drop(f);
}

static void test_pending_stays(void **state)
{
	struct env *e = *state;
	struct taken t = { .e = e };
	struct fsp_queued q = facts(1, 0);
	uint64_t files, bytes;
	struct env other = *e;

	open_mount(&other, "c1");
	put(&other, &q, NULL);
	fsp_journal_close(other.j);
	fsp_spool_close(other.s);
	/* Who cannot store it leaves it alone. */
	assert_int_equal(fsp_spool_reap(e->path, NULL, NULL, NULL, &files,
	                                &bytes), 0);
	assert_int_equal(journal_size(e, "c1") > 0, 1);
	assert_int_equal(fsp_spool_reap(e->path, take, NULL, &t, &files,
	                                &bytes), 0);
	assert_int_equal(t.seen.n, 1);
}

/* Snapshots: what is written later changes nothing of them. */
static void test_snapshot(void **state)
{
	struct env *e = *state;
	struct fsp_spool_file *f = content(e, 1000, 3), *s, *s2;
	uint64_t start, stop;
	char c;

	assert_int_equal(fsp_spool_snapshot(f, &s), 0);
	assert_false(fsp_spool_sole(f));
	fsp_spool_begin_fresh(f);
	/* An append shares the file, a change does not. */
	assert_int_equal(fsp_spool_write(f, "tail", 4, 1000), 0);
	assert_string_equal(fsp_spool_path(f), fsp_spool_path(s));
	assert_int_equal(fsp_spool_snapshot(f, &s2), 0);
	assert_int_equal(fsp_spool_write(f, "X", 1, 10), 0);
	assert_string_not_equal(fsp_spool_path(f), fsp_spool_path(s));
	assert_true(same_content(s, 1000, 3));
	assert_true(fsp_spool_complete(s2, 1004));
	assert_int_equal(fsp_spool_read(s2, &c, 1, 1003), 1);
	assert_int_equal(c, 'l');
	assert_int_equal(fsp_spool_read(f, &c, 1, 10), 1);
	assert_int_equal(c, 'X');
	assert_true(fsp_spool_fresh(f, 0, &start, &stop));
	assert_int_equal(start, 10);
	assert_int_equal(stop, 11);
	assert_int_equal(fsp_spool_cut(f, 5), 0);
	assert_true(fsp_spool_complete(f, 5));
	assert_true(same_content(s, 1000, 3));
	fsp_spool_drop(s2);
	assert_true(same_content(s, 1000, 3));
	fsp_spool_drop(s);
	fsp_spool_drop(f);
}

static void test_snapshot_cut_and_zeroed(void **state)
{
	struct env *e = *state;
	struct fsp_spool_file *f = content(e, 1000, 3), *s;

	assert_int_equal(fsp_spool_snapshot(f, &s), 0);
	assert_int_equal(fsp_spool_cut(f, 0), 0);
	assert_true(same_content(s, 1000, 3));
	assert_int_equal(fsp_spool_write(f, "anew", 4, 0), 0);
	assert_true(same_content(s, 1000, 3));
	assert_true(fsp_spool_complete(f, 4));
	fsp_spool_drop(f);
	assert_int_equal(fsp_spool_snapshot(s, &f), 0);
	assert_int_equal(fsp_spool_zero(f, 100, 2000), 0);
	assert_true(same_content(s, 1000, 3));
	fsp_spool_drop(f);
	fsp_spool_drop(s);
}

/* What is kept is nobody's to write either. */
static void test_snapshot_kept(void **state)
{
	struct env *e = *state;
	struct fsp_spool_file *f = content(e, 1000, 3), *s, *g;
	struct fsp_spool_info i = { .at_us = 1, .path = (char[]){ "p" } };

	assert_int_equal(fsp_spool_snapshot(f, &s), 0);
	assert_int_equal(fsp_spool_keep(f, &i), 0);
	assert_true(same_content(s, 1000, 3));
	assert_int_equal(access(fsp_spool_path(s), F_OK), 0);
	assert_int_equal(fsp_spool_snapshot(s, &g), 0);
	fsp_spool_drop(s);
	assert_int_equal(fsp_spool_write(g, "more", 4, 1000), 0);
	assert_int_equal(fsp_spool_cut(g, 10), 0);
	fsp_spool_drop(g);
	{
		FSP_FREE char *path = fsp_strf("%s/kept/19700101T000000Z-0.data",
		                               e->path);
		struct stat st;

		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_size, 1000);
	}
}

static void test_join_fresh(void **state)
{
	struct env *e = *state;
	struct fsp_spool_file *f = content(e, 100, 3), *s;
	uint64_t start, stop;

	assert_int_equal(fsp_spool_snapshot(f, &s), 0);
	fsp_spool_begin_fresh(f);
	assert_int_equal(fsp_spool_write(f, "x", 1, 200), 0);
	assert_int_equal(fsp_spool_join_fresh(f, s, 50), 0);
	assert_true(fsp_spool_fresh(f, 0, &start, &stop));
	assert_int_equal(start, 0);
	assert_int_equal(stop, 50);
	assert_true(fsp_spool_fresh(f, 50, &start, &stop));
	assert_int_equal(start, 200);
	fsp_spool_drop(f);
	fsp_spool_drop(s);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_round_trip),
		T(test_born),
		T(test_born_by_a_row),
		T(test_too_many_dirs),
		T(test_hostile_dirs),
		T(test_gaps),
		T(test_drops_and_followers),
		T(test_replaced_before_followers),
		T(test_torn_at_every_byte),
		T(test_every_byte_changed),
		T(test_every_crash),
		T(test_every_fault),
		T(test_sync_fails),
		T(test_threads_share_syncs),
		T(test_written_anew),
		T(test_pending_stays),
		T(test_snapshot),
		T(test_snapshot_cut_and_zeroed),
		T(test_snapshot_kept),
		T(test_join_fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
