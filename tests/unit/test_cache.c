/* The content cache: what it fetches, what it believes, and what it removes. */
#include "cache_fixture.h"

#include <dirent.h>

#define THREADS 8

static int count_files(const char *path, const char *with)
{
	DIR *d = opendir(path);
	const struct dirent *de;
	int n = 0;

	assert_non_null(d);
	while ((de = readdir(d)))
		n += de->d_type == DT_REG && strstr(de->d_name, with) != NULL;
	closedir(d);
	return n;
}

static void test_whole(void **state)
{
	struct env *e = *state;
	struct fsp_cached *a, *b;
	char two[2];

	assert_int_equal(get(e, 1, &a), 0);
	assert_false(fsp_cached_by_block(a));
	assert_int_equal(e->wholes, 0);
	assert_int_equal(fsp_cached_peek(a, two, 2, 0), -EAGAIN);
	assert_int_equal(read_range(e, a, 1, &e->ctx, 0, SMALL + 9), 0);
	assert_int_equal(get(e, 1, &b), 0);
	assert_int_equal(fsp_cached_peek(b, two, 2, SMALL), 1);
	assert_int_equal(fsp_cached_peek(b, two, 2, SMALL + 1), 0);
	assert_int_equal(fsp_cached_peek(b, two, 2, UINT64_MAX), 0);
	fsp_cached_put(a);
	assert_int_equal(read_range(e, b, 1, &e->ctx, 100, 50), 0);
	fsp_cached_put(b);
	fsp_cached_put(NULL);
	use(e, 1);
	assert_int_equal(e->wholes, 1);
	assert_int_equal(count_files(e->dir, ""), 1);
}

/* A read fetches the blocks that it touches, and no others. */
static void test_blocks(void **state)
{
	struct env *e = *state;
	struct fsp_cached *h;
	struct stat st;
	char path[512], two[2];

	assert_int_equal(get(e, 0, &h), 0);
	assert_true(fsp_cached_by_block(h));
	assert_int_equal(read_range(e, h, 0, &e->ctx, 7 * BLOCK + 5, 10), 0);
	assert_int_equal(e->blocks, 1);
	assert_int_equal(read_range(e, h, 0, &e->ctx, 7 * BLOCK, BLOCK), 0);
	assert_int_equal(e->blocks, 1);
	assert_int_equal(fsp_cached_peek(h, two, 2, 8 * BLOCK - 1), -EAGAIN);
	assert_int_equal(read_range(e, h, 0, &e->ctx, 8 * BLOCK - 1, 2), 0);
	assert_int_equal(e->blocks, 2);
	assert_int_equal(read_range(e, h, 0, &e->ctx, BIG - 3, 100), 0);
	assert_int_equal(e->blocks, 3);
	path_of(e, 0, "", path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, BIG);
	assert_true(st.st_blocks * 512 < 5 * BLOCK);
	assert_int_equal(fsp_cached_fill(h, &e->ctx, 0, UINT64_MAX), 0);
	assert_int_equal(e->blocks, 41);
	fsp_cached_put(h);
	use(e, 0);
	assert_int_equal(e->blocks, 41);
	assert_int_equal(e->wholes, 0);
	assert_int_equal(e->indexes, 1);
}

/* What one process fetched the next one has, without asking anybody. */
static void test_restart(void **state)
{
	struct env *e = *state;

	use(e, 1);
	assert_int_equal(try_use(e, 0, 3 * BLOCK, 5 * BLOCK), 0);
	reopen(e);
	use(e, 1);
	assert_int_equal(try_use(e, 0, 3 * BLOCK, 5 * BLOCK), 0);
	assert_int_equal(e->calls, 0);
	/* only for what might have got an index meanwhile */
	assert_int_equal(e->indexes, 1);
	use(e, 0);
	assert_int_equal(e->blocks, 36);
}

static void test_bad_hash(void **state)
{
	struct env *e = *state;
	struct fsp_cached *h;

	assert_int_equal(fsp_cache_get(e->c, &e->ctx, "../x", 1, &h), -EINVAL);
	assert_null(h);
	assert_int_equal(fsp_cache_get(e->c, &e->ctx, "", 1, &h), -EINVAL);
	assert_int_equal(fsp_cache_adopt(e->c, "x", 0, FSP_FMT_PLAIN, NULL,
	                                 e->root), -EINVAL);
}

/* A row with a wrong size must not get, or spoil, the right content. */
static void test_size_is_part_of_it(void **state)
{
	struct env *e = *state;
	struct fsp_cached *h;
	char c;

	use(e, 1);
	assert_int_equal(fsp_cache_get(e->c, &e->ctx, e->content[1].hash, 11,
	                               &h), 0);
	assert_int_equal(fsp_cached_read(h, &e->ctx, &c, 1, 0), -EIO);
	fsp_cached_put(h);
	use(e, 1);
	assert_int_equal(e->wholes, 2);
}

/* Whatever was done to the files, what is read is right. */
static void test_flipped(void **state)
{
	struct env *e = *state;

	use(e, 0);
	use(e, 1);
	flip(e, 0, "", 5 * BLOCK + 17);
	flip(e, 1, "", 4000);
	reopen(e);
	use(e, 0);
	assert_int_equal(e->blocks, 1);
	use(e, 1);
	assert_int_equal(e->wholes, 1);
	assert_int_equal(stats(e).damaged, 2);
	reopen(e);
	use(e, 0);
	use(e, 1);
	assert_int_equal(e->calls, 0);
}

static void test_flipped_index(void **state)
{
	struct env *e = *state;
	char path[512];
	struct stat st;

	use(e, 0);
	path_of(e, 0, ".idx", path);
	assert_int_equal(stat(path, &st), 0);
	for (off_t at = 0; at < st.st_size; at += 61) {
		flip(e, 0, ".idx", at);
		reopen(e);
		use(e, 0);
		assert_int_equal(e->indexes, 1);
		assert_int_equal(e->calls, 0);
	}
	assert_int_equal(truncate(path, st.st_size / 2), 0);
	reopen(e);
	use(e, 0);
	assert_int_equal(e->indexes, 1);
	assert_int_equal(e->calls, 0);
}

/* Without its index a sparse file is not taken for a whole one. */
static void test_lost_index(void **state)
{
	struct env *e = *state;
	char path[512];

	assert_int_equal(try_use(e, 0, 0, BLOCK), 0);
	path_of(e, 0, ".idx", path);
	assert_int_equal(unlink(path), 0);
	e->no_index = true;
	reopen(e);
	assert_int_equal(try_use(e, 0, 30 * BLOCK, 100), 0);
	assert_int_equal(e->wholes, 1);
}

static void spoil_truncate(const char *path)
{
	assert_int_equal(truncate(path, 10), 0);
}

static void spoil_remove(const char *path)
{
	assert_int_equal(unlink(path), 0);
}

static void spoil_mode(const char *path)
{
	assert_int_equal(chmod(path, 0644), 0);
}

static void spoil_link(const char *path)
{
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
}

static void spoil_fifo(const char *path)
{
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
}

static void test_spoiled(void **state)
{
	static void (*const spoil[])(const char *path) = {
		spoil_truncate, spoil_remove, spoil_mode, spoil_link, spoil_fifo
	};
	struct env *e = *state;
	char path[512];

	for (size_t i = 0; i < sizeof(spoil) / sizeof(*spoil); i++) {
		for (unsigned n = 0; n < 2; n++) {
			use(e, n);
			path_of(e, n, "", path);
			spoil[i](path);
			reopen(e);
			use(e, n);
			assert_true(e->calls > 0);
			reopen(e);
			use(e, n);
			assert_int_equal(e->calls, 0);
		}
	}
}

/* Removed while this process has it among its idle ones. */
static void test_removed_while_idle(void **state)
{
	struct env *e = *state;
	char path[512];

	for (unsigned n = 0; n < 2; n++) {
		use(e, n);
		path_of(e, n, "", path);
		assert_int_equal(unlink(path), 0);
		e->calls = 0;
		use(e, n);
		assert_true(e->calls > 0);
		assert_true(is_there(e, n));
	}
}

/* The index is of another encoding: all of it comes, once. */
static void test_stale(void **state)
{
	struct env *e = *state;
	struct fsp_cached *h;

	assert_int_equal(get(e, 0, &h), 0);
	assert_int_equal(read_range(e, h, 0, &e->ctx, 0, 10), 0);
	e->stale = true;
	assert_int_equal(read_range(e, h, 0, &e->ctx, 20 * BLOCK, 10), 0);
	assert_int_equal(read_range(e, h, 0, &e->ctx, 0, BIG), 0);
	assert_int_equal(e->wholes, 1);
	fsp_cached_put(h);
	reopen(e);
	use(e, 0);
	assert_int_equal(e->calls, 0);
}

/* A source that hands over too little or something else. */
static void test_lies(void **state)
{
	struct env *e = *state;
	char *right = e->content[1].bytes;
	struct fsp_cached *h;

	e->content[1].bytes = e->content[3].bytes;
	assert_int_equal(try_use(e, 1, 0, 10), 0);      /* compared with itself */
	e->content[1].bytes = right;
	reopen(e);
	/* The next process does not believe it. */
	use(e, 1);
	assert_int_equal(e->wholes, 1);
	e->fail = EIO;
	e->fail_times = -1;
	assert_int_equal(get(e, 5, &h), 0);
	assert_int_equal(read_range(e, h, 5, &e->ctx, 0, 1), -EIO);
	assert_int_equal(read_range(e, h, 5, &e->ctx, 0, 1), -EIO);
	e->fail_times = 0;
	assert_int_equal(read_range(e, h, 5, &e->ctx, 0, 1), 0);
	fsp_cached_put(h);
	assert_int_equal(count_files(e->dir, ".tmp"), 0);
}

/* ---- threads */

struct job {
	struct env *e;
	struct fsp_ctx ctx;
	unsigned n;
	uint64_t off;
	int rc;
	pthread_t thread;
};

static void *read_thread(void *arg)
{
	struct job *j = arg;
	struct fsp_cached *h;

	atomic_fetch_add(&j->e->begun, 1);
	j->rc = fsp_cache_get(j->e->c, &j->ctx, j->e->content[j->n].hash,
	                      j->e->content[j->n].size, &h);
	if (!j->rc)
		j->rc = read_range(j->e, h, j->n, &j->ctx, j->off, 3 * BLOCK);
	fsp_cached_put(h);
	return NULL;
}

static void start(struct job *j, struct env *e, unsigned n)
{
	j->e = e;
	j->n = n;
	if (!j->ctx.cancelled)
		j->ctx = fsp_ctx_background();
	assert_int_equal(pthread_create(&j->thread, NULL, read_thread, j), 0);
}

static void test_shared_fetch(void **state)
{
	struct env *e = *state;

	for (unsigned n = 0; n < 2; n++) {
		struct job jobs[THREADS] = { 0 };

		e->begun = 0;
		e->until_waiting = THREADS;
		for (int i = 0; i < THREADS; i++)
			start(&jobs[i], e, n);
		for (int i = 0; i < THREADS; i++) {
			pthread_join(jobs[i].thread, NULL);
			assert_int_equal(jobs[i].rc, 0);
		}
	}
	assert_int_equal(e->blocks, 3);
	assert_int_equal(e->wholes, 1);
	assert_int_equal(e->indexes, 2);
}

/* Starts a fetch that hangs until `blocked` is cleared. */
static void start_blocked(struct job *j, struct env *e, unsigned n)
{
	e->blocked = true;
	e->fetching = false;
	start(j, e, n);
	while (!e->fetching)
		sched_yield();
}

/* Another block of the same content is not held up. */
static void test_others_go_on(void **state)
{
	struct env *e = *state;
	struct job slow = { 0 };

	assert_int_equal(try_use(e, 0, 30 * BLOCK, BLOCK), 0);
	start_blocked(&slow, e, 0);
	assert_int_equal(try_use(e, 0, 30 * BLOCK, BLOCK), 0);
	e->ctx.deadline_ns = fsp_mono_ns() + 1000000;
	assert_int_equal(try_use(e, 0, BLOCK, 1), -ETIMEDOUT);
	e->blocked = false;
	pthread_join(slow.thread, NULL);
	assert_int_equal(slow.rc, 0);
}

static void test_waiter_is_cancelled(void **state)
{
	struct env *e = *state;
	struct job fetcher = { 0 }, waiter = { 0 };
	static atomic_bool cancelled;

	cancelled = false;
	start_blocked(&fetcher, e, 1);
	waiter.ctx = fsp_ctx_background();
	waiter.ctx.cancelled = &cancelled;
	start(&waiter, e, 1);
	while (e->begun < 2)
		sched_yield();
	cancelled = true;
	pthread_join(waiter.thread, NULL);
	assert_int_equal(waiter.rc, -EINTR);
	e->blocked = false;
	pthread_join(fetcher.thread, NULL);
	assert_int_equal(fetcher.rc, 0);
}

/* That the fetching caller was killed is not the fault of those who wait. */
static void test_fetcher_is_cancelled(void **state)
{
	struct env *e = *state;
	static atomic_bool cancelled;

	for (unsigned n = 0; n < 2; n++) {
		struct job fetcher = { 0 }, waiters[3] = { 0 };

		cancelled = false;
		fetcher.ctx = fsp_ctx_background();
		fetcher.ctx.cancelled = &cancelled;
		start_blocked(&fetcher, e, n);
		for (int i = 0; i < 3; i++)
			start(&waiters[i], e, n);
		cancelled = true;
		e->blocked = false;
		pthread_join(fetcher.thread, NULL);
		assert_int_equal(fetcher.rc, -EINTR);
		for (int i = 0; i < 3; i++) {
			pthread_join(waiters[i].thread, NULL);
			assert_int_equal(waiters[i].rc, 0);
		}
	}
}

/* Few contents, less room, many hands. */
static void *stress_thread(void *arg)
{
	struct job *j = arg;
	uint32_t rng = 77 + j->n;

	for (int i = 0; i < 300 && !j->rc; i++) {
		int rc = use_any(j->e, 8, &rng);

		if (rc && rc != -ENOLINK)
			j->rc = rc;
		if (i % 20 == 0) {
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

	e->o.max_bytes = 3 << 20;
	reopen(e);
	for (unsigned i = 0; i < 4; i++) {
		jobs[i].e = e;
		jobs[i].n = i;
		assert_int_equal(pthread_create(&jobs[i].thread, NULL,
		                                stress_thread, &jobs[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(jobs[i].thread, NULL);
		assert_int_equal(jobs[i].rc, 0);
	}
	assert_true(stats(e).evictions > 0);
}

/* ---- room */

static void test_oldest_go(void **state)
{
	struct env *e = *state;
	struct fsp_cached *h;

	e->o.max_bytes = BIG / 10 * 49;
	reopen(e);
	for (unsigned n = 0; n < 8; n += 2) {
		use(e, n);
		set_used(e, n, 1000 + n);
	}
	assert_int_equal(stats(e).evictions, 0);
	/* 0 is used again, 2 is held: 4 is the oldest. */
	use(e, 0);
	assert_int_equal(get(e, 2, &h), 0);
	set_used(e, 2, 1);
	use(e, 8);
	assert_true(is_there(e, 0) && is_there(e, 2) && is_there(e, 6));
	assert_false(is_there(e, 4));
	assert_int_equal(read_range(e, h, 2, &e->ctx, 0, BIG), 0);
	fsp_cached_put(h);
	e->calls = 0;
	use(e, 2);
	use(e, 8);
	assert_int_equal(e->calls, 0);
	/* An index goes with its content. */
	assert_int_equal(count_files(e->dir, ".idx"), 4);
}

/* What is larger than the cache is used, and goes. */
static void test_too_large(void **state)
{
	struct env *e = *state;

	e->o.max_bytes = BIG / 2;
	reopen(e);
	use(e, 0);
	use(e, 1);
	assert_false(is_there(e, 0));
	assert_true(stats(e).bytes <= BIG / 2);
}

static void test_keep_nothing(void **state)
{
	struct env *e = *state;
	struct fsp_cached *a, *b;

	use(e, 3);
	e->o.max_bytes = 0;
	reopen(e);
	assert_int_equal(count_files(e->dir, ""), 0);
	assert_int_equal(get(e, 0, &a), 0);
	assert_int_equal(get(e, 0, &b), 0);
	assert_int_equal(read_range(e, a, 0, &e->ctx, 0, BIG), 0);
	fsp_cached_put(a);
	assert_int_equal(read_range(e, b, 0, &e->ctx, 0, BIG), 0);
	assert_int_equal(e->blocks, 41);
	fsp_cached_put(b);
	assert_int_equal(count_files(e->dir, ""), 0);
}

static void test_disk_full(void **state)
{
	struct env *e = *state;
	struct fsp_cached *held;

	for (unsigned n = 0; n < 2; n++) {
		assert_int_equal(get(e, n + 2, &held), 0);
		assert_int_equal(read_range(e, held, n + 2, &e->ctx, 0, 99), 0);
		use(e, 4);
		e->fail = ENOSPC;
		e->fail_times = 1;
		use(e, n);
		assert_false(is_there(e, 4));
		e->fail_times = -1;
		assert_int_equal(try_use(e, n + 6, 0, 1), -ENOSPC);
		e->fail_times = 0;
		assert_int_equal(read_range(e, held, n + 2, &e->ctx, 0, 99), 0);
		fsp_cached_put(held);
		use(e, n + 6);
	}
	assert_int_equal(count_files(e->dir, ".tmp"), 0);
}

static int count_each(void *arg, const struct fsp_cache_file *f)
{
	uint64_t *n = arg;

	n[0]++;
	n[1] += f->size;
	n[2] += f->by_block;
	return 0;
}

static void test_each_and_drop(void **state)
{
	struct env *e = *state;
	uint64_t n[3] = { 0 }, files, bytes, held;
	struct fsp_cached *h;
	struct stat st;
	char path[512];

	assert_int_equal(stat(e->dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	use(e, 0);
	use(e, 1);
	for (int i = 0; i < 2; i++) {
		path_of(e, 0, i ? ".idx" : "", path);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
	assert_int_equal(fsp_cache_each(e->dir, count_each, n), 0);
	assert_int_equal(n[0], 2);
	assert_int_equal(n[1], BIG + SMALL + 1);
	assert_int_equal(n[2], 1);
	assert_int_equal(get(e, 1, &h), 0);
	assert_int_equal(fsp_cache_drop(e->dir, &files, &bytes, &held), 0);
	assert_int_equal(files, 1);
	assert_true(bytes >= BIG);
	assert_int_equal(held, 1);
	fsp_cached_put(h);
	assert_false(is_there(e, 0));
	assert_true(is_there(e, 1));
	use(e, 0);
	assert_int_equal(fsp_cache_drop("/nonexistent/dir", &files, &bytes,
	                                &held), -ENOENT);
}

/* Somebody else's directory is not used. */
static void test_open(void **state)
{
	struct env *e = *state;
	struct stat st;

	fsp_cache_close(e->c);
	e->c = NULL;
	assert_int_equal(chmod(e->dir, 0755), 0);
	open_cache(e);
	assert_int_equal(stat(e->dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	if (geteuid() == 0) {
		struct fsp_cache *c;

		assert_int_equal(chown(e->dir, 12345, 12345), 0);
		assert_int_equal(fsp_cache_open(&e->o, &c), -EACCES);
		assert_int_equal(chown(e->dir, 0, 0), 0);
	}
	fsp_cache_close(NULL);
}

/* ---- adopting */

static void make_file(struct env *e, unsigned n, char path[512])
{
	int fd;

	(void)snprintf(path, 512, "%s/w-%u", e->root, n);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(fsp_write_all(fd, e->content[n].bytes,
	                               e->content[n].size), 0);
	close(fd);
}

static int adopt(struct env *e, unsigned n, bool index, const char *path)
{
	struct fsp_blocks b = { .n = 0 };
	int err;

	if (index)
		assert_int_equal(make_index(&e->content[n], &b), 0);
	err = fsp_cache_adopt(e->c, e->content[n].hash, e->content[n].size,
	                      FSP_FMT_PLAIN, &b, path);
	fsp_blocks_free(&b);
	return err;
}

static void test_adopt(void **state)
{
	struct env *e = *state;
	char path[512];
	struct stat st;

	/* in the place of what is there, too, of which a part is missing */
	assert_int_equal(try_use(e, 0, 0, 1), 0);
	e->blocks = 0;
	for (unsigned n = 0; n < 2; n++) {
		make_file(e, n, path);
		assert_int_equal(adopt(e, n, n == 0, path), 0);
		assert_int_equal(access(path, F_OK), -1);
		use(e, n);
		path_of(e, n, "", path);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
	assert_int_equal(e->blocks + e->wholes, 0);
}

/* What is not what it is said to be is found out. */
static void test_adopt_wrong(void **state)
{
	struct env *e = *state;
	char path[512];

	for (unsigned n = 0; n < 2; n++) {
		make_file(e, n, path);
		assert_int_equal(adopt(e, n, n == 0, path), 0);
		flip(e, n, "", 1000);
		use(e, n);
		assert_int_equal(e->blocks, 1);
		assert_int_equal(e->wholes, n);
	}
}

static void test_adopt_refused(void **state)
{
	struct env *e = *state;
	char path[512], link[600];

	make_file(e, 1, path);
	assert_int_equal(truncate(path, 10), 0);
	assert_int_equal(adopt(e, 1, false, path), -EINVAL);
	(void)snprintf(link, sizeof(link), "%s/link", e->root);
	make_file(e, 1, path);
	assert_int_equal(symlink(path, link), 0);
	assert_int_equal(adopt(e, 1, false, link), -EINVAL);
	assert_int_equal(adopt(e, 1, false, "/nonexistent/file"), -ENOENT);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(count_files(e->dir, ""), 0);
}

/* ---- processes */

static int run_child(struct env *e, void (*work)(struct env *e, unsigned n),
                     unsigned n)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		fsp_cache_close(e->c);
		if (fsp_cache_open(&e->o, &e->c))
			_exit(3);
		work(e, n);
		_exit(0);
	}
	return pid;
}

static void read_all(struct env *e, unsigned n)
{
	(void)n;
	for (unsigned i = 0; i < 4; i++)
		if (try_use(e, i, 0, e->content[i].size))
			_exit(4);
}

/* kill -9 in the middle of a piece: the next one reads what is right. */
static void test_killed(void **state)
{
	struct env *e = *state;
	const long long all = 2 * BIG + 2 * SMALL;
	int status;

	for (long long after = 1; after < all; after += all / 23) {
		uint64_t files, bytes, held;
		pid_t pid;

		assert_int_equal(fsp_cache_drop(e->dir, &files, &bytes, &held),
		                 0);
		e->kill_after = after;
		pid = run_child(e, read_all, 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGKILL);
		e->kill_after = 0;
		reopen(e);
		assert_int_equal(count_files(e->dir, ".tmp"), 0);
		read_all(e, 0);
		assert_true(e->blocks + e->wholes > 0);
		/* not all of what was there was fetched again */
		assert_true(after < 8 * BLOCK || e->blocks < 82);
	}
}

static void read_at_random(struct env *e, unsigned n)
{
	uint32_t rng = 4711 + n;

	for (int i = 0; i < 400; i++)
		if (use_any(e, 10, &rng))
			_exit(4);
}

/* Several processes that fill and empty one directory. */
static void test_processes(void **state)
{
	struct env *e = *state;
	pid_t pid[4];
	int status;

	e->o.max_bytes = 5 << 20;
	for (unsigned i = 0; i < 4; i++)
		pid[i] = run_child(e, read_at_random, i);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(count_files(e->dir, ".tmp"), 0);
	reopen(e);
	for (unsigned n = 0; n < 10; n++)
		use(e, n);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_whole), T(test_blocks), T(test_restart),
		T(test_bad_hash), T(test_size_is_part_of_it), T(test_flipped),
		T(test_flipped_index), T(test_lost_index), T(test_spoiled),
		T(test_removed_while_idle), T(test_stale), T(test_lies),
		T(test_shared_fetch), T(test_others_go_on),
		T(test_waiter_is_cancelled), T(test_fetcher_is_cancelled),
		T(test_stress), T(test_oldest_go), T(test_too_large),
		T(test_keep_nothing), T(test_disk_full), T(test_each_and_drop),
		T(test_open), T(test_adopt), T(test_adopt_wrong),
		T(test_adopt_refused), T(test_killed), T(test_processes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
