/*
 * The content cache. The fetch of these tests makes content up from the hash,
 * and can be told to wait, to fail or to lie.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsp_cache.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_file.h"

#define THREADS 8
#define SEED 77u

struct env {
	char root[256];
	char dir[300];
	struct fsp_cache *c;
	struct fsp_ctx ctx;
	atomic_int fetches;
	atomic_int fail;                /* errno of the fetches */
	atomic_int fail_times;          /* how many fail; -1 all */
	atomic_int until_misses;        /* fetch waits for that many */
	atomic_bool blocked;            /* fetch waits while it is set */
	atomic_bool fetching;           /* a fetch has begun */
	atomic_int short_by;            /* bytes the fetch leaves out */
	atomic_llong last_size;         /* of the file when fetch began */
};

static char byte_of(const char *hash, uint64_t i)
{
	return (char)(hash[i % 40] ^ (char)(i >> 8));
}

static int write_content(int fd, const char *hash, uint64_t size)
{
	FSP_FREE char *p = malloc(size + 1);

	for (uint64_t i = 0; i < size; i++)
		p[i] = byte_of(hash, i);
	return fsp_write_all(fd, p, size);
}

static int fetch(void *arg, const struct fsp_ctx *ctx, const char *hash,
                 uint64_t size, int fd)
{
	struct env *e = arg;
	struct fsp_cache_stats st;
	struct stat sb;
	int rc;

	atomic_fetch_add(&e->fetches, 1);
	if (fstat(fd, &sb) || lseek(fd, 0, SEEK_CUR) != 0)
		return -EBADF;
	e->last_size = sb.st_size;
	e->fetching = true;
	do {
		fsp_cache_get_stats(e->c, &st);
		sched_yield();
	} while (st.misses < (uint64_t)e->until_misses || e->blocked);
	rc = write_content(fd, hash, size - (uint64_t)e->short_by);
	if (!rc)
		rc = fsp_ctx_check(ctx);
	if (e->fail && e->fail_times) {
		e->fail_times--;
		return -e->fail;
	}
	return rc;
}

static int setup_max(void **state, uint64_t max)
{
	struct env *e = calloc(1, sizeof(*e));
	const char *tmp = getenv("TMPDIR");

	assert_non_null(e);
	e->ctx = fsp_ctx_background();
	(void)snprintf(e->root, sizeof(e->root), "%s/fsp-cache-XXXXXX",
	               tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(e->root));
	(void)snprintf(e->dir, sizeof(e->dir), "%s/c", e->root);
	assert_int_equal(fsp_cache_open(e->dir, max, fetch, e, &e->c), 0);
	*state = e;
	return 0;
}

static int setup_large(void **state)
{
	return setup_max(state, 1 << 30);
}

static int setup_100(void **state)
{
	return setup_max(state, 100);
}

static int setup_0(void **state)
{
	return setup_max(state, 0);
}

static int teardown(void **state)
{
	struct env *e = *state;

	fsp_cache_close(e->c);
	assert_int_equal(access(e->dir, F_OK), -1);
	assert_int_equal(fsp_rm_tree(e->root), 0);
	free(e);
	return 0;
}

/* The nth hash of these tests. */
static const char *hash_of(char out[41], unsigned int n)
{
	(void)snprintf(out, 41, "%08x%032x", n * 2654435761u, n);
	return out;
}

static int get(struct env *e, unsigned int n, uint64_t size,
               struct fsp_cached **h)
{
	char hash[41];

	return fsp_cache_get(e->c, &e->ctx, hash_of(hash, n), size, h);
}

static bool content_ok(struct fsp_cached *h, unsigned int n, uint64_t size)
{
	FSP_FREE char *p = malloc(size + 10);
	char hash[41];

	hash_of(hash, n);
	if (fsp_cached_pread(h, p, size + 10, 0) != (ssize_t)size)
		return false;
	for (uint64_t i = 0; i < size; i++)
		if (p[i] != byte_of(hash, i))
			return false;
	return true;
}

/* Gets, compares and lets go. */
static void use(struct env *e, unsigned int n, uint64_t size)
{
	struct fsp_cached *h;

	assert_int_equal(get(e, n, size, &h), 0);
	assert_true(content_ok(h, n, size));
	fsp_cached_put(h);
}

static struct fsp_cache_stats stats(struct env *e)
{
	struct fsp_cache_stats s;

	fsp_cache_get_stats(e->c, &s);
	return s;
}

static int count_files(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void test_basic(void **state)
{
	struct env *e = *state;
	struct fsp_cached *a, *b;
	char two[2];

	assert_int_equal(get(e, 1, 1000, &a), 0);
	assert_true(content_ok(a, 1, 1000));
	assert_int_equal(get(e, 1, 1000, &b), 0);
	assert_int_equal(e->fetches, 1);
	assert_int_equal(fsp_cached_pread(b, two, 2, 999), 1);
	assert_int_equal(fsp_cached_pread(b, two, 2, 1000), 0);
	assert_int_equal(fsp_cached_pread(b, two, 2, UINT64_MAX), 0);
	assert_true(fsp_cached_fd(a) >= 0);
	fsp_cached_put(a);
	assert_true(content_ok(b, 1, 1000));
	fsp_cached_put(b);
	fsp_cached_put(NULL);
	use(e, 1, 1000);
	assert_int_equal(e->fetches, 1);
	use(e, 2, 0);
	assert_int_equal(stats(e).hits, 2);
	assert_int_equal(stats(e).misses, 2);
	assert_int_equal(stats(e).bytes, 1000);
	assert_int_equal(stats(e).entries, 2);
	assert_int_equal(count_files(e->dir), 2);
}

static void test_bad_hash(void **state)
{
	struct env *e = *state;
	struct fsp_cached *h;

	assert_int_equal(fsp_cache_get(e->c, &e->ctx, "../x", 1, &h), -EINVAL);
	assert_null(h);
	assert_int_equal(fsp_cache_get(e->c, &e->ctx, "", 1, &h), -EINVAL);
	assert_int_equal(fsp_cache_adopt(e->c, "x", 0, e->root), -EINVAL);
	assert_int_equal(e->fetches, 0);
}

/* A row with a wrong size must not get, or spoil, the right content. */
static void test_size_is_part_of_it(void **state)
{
	struct env *e = *state;
	struct fsp_cached *h;

	use(e, 1, 10);
	e->fail = EIO;
	e->fail_times = -1;
	assert_int_equal(get(e, 1, 11, &h), -EIO);
	assert_null(h);
	use(e, 1, 10);
	assert_int_equal(e->fetches, 2);
}

struct job {
	struct env *e;
	struct fsp_ctx ctx;
	int rc;
	bool ok;
	pthread_t thread;
};

static void *get_thread(void *arg)
{
	struct job *j = arg;
	struct fsp_cached *h;
	char hash[41];

	j->rc = fsp_cache_get(j->e->c, &j->ctx, hash_of(hash, 1), 5000, &h);
	if (!j->rc)
		j->ok = content_ok(h, 1, 5000);
	fsp_cached_put(h);
	return NULL;
}

static void start(struct job *j, struct env *e)
{
	j->e = e;
	j->ctx = fsp_ctx_background();
	assert_int_equal(pthread_create(&j->thread, NULL, get_thread, j), 0);
}

static void run_all(struct env *e, struct job *jobs)
{
	for (int i = 0; i < THREADS; i++)
		start(&jobs[i], e);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(jobs[i].thread, NULL), 0);
}

static void test_shared_fetch(void **state)
{
	struct env *e = *state;
	struct job jobs[THREADS] = { 0 };

	e->until_misses = THREADS;
	run_all(e, jobs);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(jobs[i].rc, 0);
		assert_true(jobs[i].ok);
	}
	assert_int_equal(e->fetches, 1);
	assert_int_equal(stats(e).entries, 1);
}

static void test_shared_failure(void **state)
{
	struct env *e = *state;
	struct job jobs[THREADS] = { 0 };

	e->until_misses = THREADS;
	e->fail = EHOSTDOWN;
	e->fail_times = 1;
	run_all(e, jobs);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(jobs[i].rc, -EHOSTDOWN);
	assert_int_equal(e->fetches, 1);
	assert_int_equal(stats(e).entries, 0);
	assert_int_equal(count_files(e->dir), 0);
	e->until_misses = 0;
	use(e, 1, 5000);
	assert_int_equal(e->fetches, 2);
}

/* Starts a fetch that hangs until `blocked` is cleared. */
static void start_blocked(struct job *j, struct env *e)
{
	e->blocked = true;
	start(j, e);
	while (!e->fetching)
		sched_yield();
}

static void test_waiter_gives_up(void **state)
{
	struct env *e = *state;
	struct job fetcher = { 0 };
	struct fsp_cached *h;
	atomic_bool cancelled = true;

	start_blocked(&fetcher, e);
	e->ctx.deadline_ns = fsp_mono_ns() + 1000000;
	assert_int_equal(get(e, 1, 5000, &h), -ETIMEDOUT);
	assert_null(h);
	e->ctx.deadline_ns = 0;
	e->ctx.cancelled = &cancelled;
	assert_int_equal(get(e, 1, 5000, &h), -EINTR);
	assert_int_equal(e->fetches, 1);
	/* Others are not held up by it. */
	e->ctx.cancelled = NULL;
	e->blocked = false;
	assert_int_equal(pthread_join(fetcher.thread, NULL), 0);
	assert_int_equal(fetcher.rc, 0);
	assert_true(fetcher.ok);
	use(e, 1, 5000);
	assert_int_equal(e->fetches, 1);
}

/* Cancelled while it waits, not before. */
static void test_waiter_is_cancelled(void **state)
{
	struct env *e = *state;
	struct job fetcher = { 0 }, waiter = { 0 };
	static atomic_bool cancelled;

	cancelled = false;
	start_blocked(&fetcher, e);
	waiter.e = e;
	waiter.ctx = fsp_ctx_background();
	waiter.ctx.cancelled = &cancelled;
	assert_int_equal(pthread_create(&waiter.thread, NULL, get_thread,
	                                &waiter),
	                 0);
	while (stats(e).misses < 2)
		sched_yield();
	cancelled = true;
	assert_int_equal(pthread_join(waiter.thread, NULL), 0);
	assert_int_equal(waiter.rc, -EINTR);
	e->blocked = false;
	assert_int_equal(pthread_join(fetcher.thread, NULL), 0);
	assert_int_equal(fetcher.rc, 0);
}

/* That the fetching caller was killed is not the fault of those who wait. */
static void test_fetcher_is_cancelled(void **state)
{
	struct env *e = *state;
	struct job fetcher = { 0 }, waiters[3] = { 0 };
	static atomic_bool cancelled;

	cancelled = false;
	e->blocked = true;
	fetcher.e = e;
	fetcher.ctx = fsp_ctx_background();
	fetcher.ctx.cancelled = &cancelled;
	assert_int_equal(pthread_create(&fetcher.thread, NULL, get_thread,
	                                &fetcher),
	                 0);
	while (!e->fetching)
		sched_yield();
	for (int i = 0; i < 3; i++)
		start(&waiters[i], e);
	while (stats(e).misses < 4)
		sched_yield();
	cancelled = true;
	e->blocked = false;
	assert_int_equal(pthread_join(fetcher.thread, NULL), 0);
	assert_int_equal(fetcher.rc, -EINTR);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_join(waiters[i].thread, NULL), 0);
		assert_int_equal(waiters[i].rc, 0);
		assert_true(waiters[i].ok);
	}
	assert_int_equal(e->fetches, 2);
}

static void test_lru(void **state)
{
	struct env *e = *state;

	use(e, 1, 40);
	use(e, 2, 40);
	use(e, 1, 40);
	use(e, 3, 40);
	/* 2 was the oldest. */
	assert_int_equal(stats(e).evictions, 1);
	assert_int_equal(stats(e).bytes, 80);
	assert_int_equal(count_files(e->dir), 2);
	assert_int_equal(e->fetches, 3);
	use(e, 1, 40);
	use(e, 3, 40);
	assert_int_equal(e->fetches, 3);
	use(e, 2, 40);
	assert_int_equal(e->fetches, 4);
	/* Exactly the limit is within it. */
	use(e, 4, 60);
	assert_int_equal(stats(e).bytes, 100);
	assert_int_equal(stats(e).entries, 2);
	/* Larger than the whole cache: used, not kept. */
	use(e, 5, 101);
	assert_int_equal(stats(e).entries, 0);
	assert_int_equal(count_files(e->dir), 0);
}

static void test_held_stays(void **state)
{
	struct env *e = *state;
	struct fsp_cached *h[5];

	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(get(e, i, 90, &h[i]), 0);
	assert_int_equal(stats(e).entries, 5);
	assert_int_equal(stats(e).evictions, 0);
	for (unsigned int i = 0; i < 5; i++)
		assert_true(content_ok(h[i], i, 90));
	assert_int_equal(count_files(e->dir), 5);
	for (unsigned int i = 0; i < 5; i++)
		fsp_cached_put(h[i]);
	assert_int_equal(stats(e).entries, 1);
	assert_int_equal(count_files(e->dir), 1);
}

/* What a fetch brings in makes the others go at once, not at its release. */
static void test_fetch_evicts(void **state)
{
	struct env *e = *state;
	struct fsp_cached *h;

	use(e, 1, 60);
	assert_int_equal(get(e, 2, 60, &h), 0);
	assert_int_equal(stats(e).entries, 1);
	assert_int_equal(stats(e).bytes, 60);
	assert_int_equal(count_files(e->dir), 1);
	fsp_cached_put(h);
}

static void test_keep_nothing(void **state)
{
	struct env *e = *state;
	struct fsp_cached *a, *b;

	assert_int_equal(get(e, 1, 10, &a), 0);
	assert_int_equal(get(e, 1, 10, &b), 0);
	assert_int_equal(e->fetches, 1);
	fsp_cached_put(a);
	assert_true(content_ok(b, 1, 10));
	fsp_cached_put(b);
	assert_int_equal(stats(e).entries, 0);
	use(e, 2, 0);
	assert_int_equal(stats(e).entries, 0);
	assert_int_equal(count_files(e->dir), 0);
}

/* A file with content n in the root directory; the name is the caller's. */
static void make_file(struct env *e, unsigned int n, uint64_t size, char *path,
                      size_t len)
{
	char hash[41];
	int fd;

	(void)snprintf(path, len, "%s/w-%u", e->root, n);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write_content(fd, hash_of(hash, n), size), 0);
	close(fd);
}

static int adopt(struct env *e, unsigned int n, uint64_t size, const char *path)
{
	char hash[41];

	return fsp_cache_adopt(e->c, hash_of(hash, n), size, path);
}

static void test_adopt(void **state)
{
	struct env *e = *state;
	char path[300];

	make_file(e, 1, 500, path, sizeof(path));
	assert_int_equal(adopt(e, 1, 500, path), 0);
	assert_int_equal(access(path, F_OK), -1);
	use(e, 1, 500);
	assert_int_equal(e->fetches, 0);
	assert_int_equal(stats(e).bytes, 500);
	/* There already: the second copy goes. */
	make_file(e, 1, 500, path, sizeof(path));
	assert_int_equal(adopt(e, 1, 500, path), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(stats(e).entries, 1);
	use(e, 1, 500);
}

static void test_adopt_refused(void **state)
{
	struct env *e = *state;
	char path[300], link[300];

	make_file(e, 1, 500, path, sizeof(path));
	assert_int_equal(adopt(e, 1, 501, path), -EINVAL);
	(void)snprintf(link, sizeof(link), "%s/link", e->root);
	assert_int_equal(symlink(path, link), 0);
	assert_int_equal(adopt(e, 1, 500, link), -EINVAL);
	assert_int_equal(adopt(e, 1, 500, "/nonexistent/file"), -ENOENT);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(stats(e).entries, 0);
}

static void test_adopt_evicts(void **state)
{
	struct env *e = *state;
	char path[300];

	use(e, 1, 60);
	make_file(e, 2, 60, path, sizeof(path));
	assert_int_equal(adopt(e, 2, 60, path), 0);
	assert_int_equal(stats(e).evictions, 1);
	use(e, 2, 60);
	assert_int_equal(e->fetches, 1);
	assert_int_equal(count_files(e->dir), 1);
}

static void test_adopt_during_fetch(void **state)
{
	struct env *e = *state;
	struct job fetcher = { 0 };
	char path[300];

	start_blocked(&fetcher, e);
	make_file(e, 1, 5000, path, sizeof(path));
	assert_int_equal(adopt(e, 1, 5000, path), 0);
	assert_int_equal(access(path, F_OK), -1);
	e->blocked = false;
	assert_int_equal(pthread_join(fetcher.thread, NULL), 0);
	assert_int_equal(fetcher.rc, 0);
	assert_true(fetcher.ok);
	assert_int_equal(stats(e).entries, 1);
	assert_int_equal(count_files(e->dir), 1);
}

static void test_disk_full(void **state)
{
	struct env *e = *state;
	struct fsp_cached *held, *h;

	assert_int_equal(get(e, 1, 10, &held), 0);
	use(e, 2, 10);
	use(e, 3, 10);
	e->fail = ENOSPC;
	e->fail_times = 1;
	assert_int_equal(get(e, 4, 10, &h), 0);
	assert_int_equal(e->last_size, 0);
	assert_true(content_ok(h, 4, 10));
	fsp_cached_put(h);
	assert_int_equal(e->fetches, 5);
	assert_int_equal(stats(e).evictions, 2);
	assert_int_equal(stats(e).entries, 2);
	e->fail_times = -1;
	assert_int_equal(get(e, 5, 10, &h), -ENOSPC);
	assert_int_equal(e->fetches, 7);
	assert_true(content_ok(held, 1, 10));
	fsp_cached_put(held);
	assert_int_equal(count_files(e->dir), 1);
}

static void test_fetch_lies(void **state)
{
	struct env *e = *state;
	struct fsp_cached *h;

	e->short_by = 1;
	assert_int_equal(get(e, 1, 10, &h), -EIO);
	assert_int_equal(count_files(e->dir), 0);
	e->short_by = 0;
	use(e, 1, 10);
}

static void test_file_removed(void **state)
{
	struct env *e = *state;
	DIR *d;
	const struct dirent *de;

	use(e, 1, 10);
	d = opendir(e->dir);
	assert_non_null(d);
	while ((de = readdir(d)))
		if (de->d_name[0] != '.')
			assert_int_equal(unlinkat(dirfd(d), de->d_name, 0), 0);
	closedir(d);
	use(e, 1, 10);
	assert_int_equal(e->fetches, 2);
	assert_int_equal(stats(e).bytes, 10);
}

static void test_open_empties(void **state)
{
	struct env *e = *state;
	struct stat st;
	struct fsp_cache *c;
	char path[350];

	(void)snprintf(path, sizeof(path), "%s/other/deep", e->root);
	assert_int_equal(fsp_mkdirs(path, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/other", e->root);
	assert_int_equal(fsp_cache_open(path, 1, fetch, e, &c), 0);
	assert_int_equal(count_files(path), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	fsp_cache_close(c);
	assert_int_equal(access(path, F_OK), -1);
	fsp_cache_close(NULL);
}

static void test_number_of_files(void **state)
{
	struct env *e = *state;

	for (unsigned int i = 0; i < 100010; i++) {
		struct fsp_cached *h;

		if (get(e, i, 0, &h))
			fail_msg("get %u", i);
		fsp_cached_put(h);
	}
	assert_int_equal(stats(e).entries, 100000);
	assert_int_equal(stats(e).evictions, 10);
}

/* Few contents, less room, many hands. */
static void *stress_thread(void *arg)
{
	struct job *j = arg;
	unsigned int rng = SEED + (unsigned int)(j->rc);

	j->rc = 0;
	for (int i = 0; i < 1500; i++) {
		struct fsp_cached *h;
		unsigned int n;
		int rc;

		rng = rng * 1664525u + 1013904223u;
		n = (rng >> 10) % 6;
		rc = get(j->e, n, 20 + n, &h);
		if (rc && rc != -ENOLINK)
			j->rc = rc;
		if (!rc && !content_ok(h, n, 20 + n))
			j->rc = -EIO;
		fsp_cached_put(h);
		if (i % 100 == 0) {
			j->e->fail = ENOLINK;
			j->e->fail_times = 1;
		}
	}
	return NULL;
}

static void test_stress(void **state)
{
	struct env *e = *state;
	struct job jobs[4] = { 0 };

	print_message("seed %u\n", SEED);
	for (int i = 0; i < 4; i++) {
		jobs[i].e = e;
		jobs[i].rc = i;
		assert_int_equal(pthread_create(&jobs[i].thread, NULL,
		                                stress_thread, &jobs[i]),
		                 0);
	}
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(jobs[i].thread, NULL), 0);
		assert_int_equal(jobs[i].rc, 0);
	}
	assert_true(stats(e).bytes <= 100);
	assert_true(stats(e).evictions > 0);
	assert_int_equal(count_files(e->dir), stats(e).entries);
}

#define T(name, setup) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_basic, setup_large),
		T(test_bad_hash, setup_large),
		T(test_size_is_part_of_it, setup_large),
		T(test_shared_fetch, setup_large),
		T(test_shared_failure, setup_large),
		T(test_waiter_gives_up, setup_large),
		T(test_waiter_is_cancelled, setup_large),
		T(test_fetcher_is_cancelled, setup_large),
		T(test_lru, setup_100),
		T(test_held_stays, setup_100),
		T(test_fetch_evicts, setup_100),
		T(test_keep_nothing, setup_0),
		T(test_adopt, setup_large),
		T(test_adopt_refused, setup_large),
		T(test_adopt_evicts, setup_100),
		T(test_adopt_during_fetch, setup_large),
		T(test_disk_full, setup_large),
		T(test_fetch_lies, setup_large),
		T(test_file_removed, setup_large),
		T(test_open_empties, setup_large),
		T(test_number_of_files, setup_100),
		T(test_stress, setup_100),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
