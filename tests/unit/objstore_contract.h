/*
 * The contract of the object store, asked of every backend under every
 * decorator. Who includes this has setups that make a struct env with an empty
 * store, and a teardown(); then CONTRACT(setup) lists the tests.
 */
#ifndef OBJSTORE_CONTRACT_H
#define OBJSTORE_CONTRACT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_objstore.h"

#define BIG (3 * 1024 * 1024 + 17)

struct env {
	char dir[256];                  /* of a directory's store */
	struct fsp_objstore *s;
	struct fsp_objstore *fault;     /* in the stack, or NULL */
	struct fsp_ctx ctx;
	int (*count_left)(struct env *e);
	bool no_space;                  /* it cannot say */
};

static int put(struct env *e, const char *key, const void *p, size_t len)
{
	struct fsp_objwriter *w;
	const char *c = p;
	size_t n;
	int rc = fsp_obj_put_begin(e->s, &e->ctx, key, &w);

	if (rc) {
		assert_null(w);
		return rc;
	}
	for (; len; c += n, len -= n) {
		n = len < 100000 ? len : 100000;
		rc = fsp_obj_put_write(w, c, n);
		if (rc) {
			fsp_obj_put_abort(w);
			return rc;
		}
	}
	return fsp_obj_put_commit(w);
}

static int buf_sink(void *arg, const void *buf, size_t len)
{
	return fsp_buf_add(arg, buf, len);
}

static int get(struct env *e, const char *key, struct fsp_buf *b)
{
	fsp_buf_reset(b);
	return fsp_obj_get(e->s, &e->ctx, key, buf_sink, b);
}

static void assert_object(struct env *e, const char *key, const char *want)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	uint64_t size;

	assert_int_equal(get(e, key, &b), 0);
	assert_int_equal(b.len, strlen(want));
	assert_memory_equal(b.data ? b.data : "", want, b.len);
	assert_int_equal(fsp_obj_head(e->s, &e->ctx, key, &size), 0);
	assert_int_equal(size, b.len);
}

static void assert_missing(struct env *e, const char *key)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	uint64_t size;

	assert_int_equal(get(e, key, &b), -ENOENT);
	assert_int_equal(b.len, 0);
	assert_int_equal(fsp_obj_head(e->s, &e->ctx, key, &size), -ENOENT);
}

/* All objects, and whatever else a write may leave behind. */
static int count_left(struct env *e)
{
	return e->count_left(e);
}

static void test_basic(void **state)
{
	struct env *e = *state;

	assert_missing(e, "aa");
	assert_int_equal(put(e, "aa", "one", 3), 0);
	assert_object(e, "aa", "one");
	assert_int_equal(put(e, "aa", "second", 6), 0);
	assert_object(e, "aa", "second");
	assert_int_equal(put(e, "aa", "3", 1), 0);
	assert_object(e, "aa", "3");
	assert_int_equal(fsp_obj_del(e->s, &e->ctx, "aa"), 0);
	assert_missing(e, "aa");
	assert_int_equal(fsp_obj_del(e->s, &e->ctx, "aa"), 0);
	assert_int_equal(put(e, "Az09._-", "", 0), 0);
	assert_object(e, "Az09._-", "");
}

static void test_large(void **state)
{
	struct env *e = *state;
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	FSP_FREE char *p = malloc(BIG);

	for (size_t i = 0; i < BIG; i++)
		p[i] = (char)(i * 31 >> 3);
	assert_int_equal(put(e, "large", p, BIG), 0);
	assert_int_equal(get(e, "large", &b), 0);
	assert_int_equal(b.len, BIG);
	assert_memory_equal(b.data, p, BIG);
}

static int get_range(struct env *e, const char *key, uint64_t off, uint64_t len,
                     struct fsp_buf *b)
{
	fsp_buf_reset(b);
	return fsp_obj_get_range(e->s, &e->ctx, key, off, len, buf_sink, b);
}

static void assert_range(struct env *e, const char *key, uint64_t off,
                         uint64_t len, const char *want)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;

	assert_int_equal(get_range(e, key, off, len, &b), 0);
	assert_int_equal(b.len, strlen(want));
	assert_memory_equal(b.data ? b.data : "", want, b.len);
}

static void test_range(void **state)
{
	struct env *e = *state;
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	FSP_FREE char *p = malloc(BIG);

	assert_int_equal(get_range(e, "aa", 0, 1, &b), -ENOENT);
	assert_int_equal(put(e, "aa", "0123456789", 10), 0);
	assert_range(e, "aa", 0, 10, "0123456789");
	assert_range(e, "aa", 0, 1, "0");
	assert_range(e, "aa", 3, 4, "3456");
	assert_range(e, "aa", 9, 1, "9");
	assert_range(e, "aa", 8, 100, "89");
	assert_range(e, "aa", 10, 1, "");
	assert_range(e, "aa", 1000, 5, "");
	assert_range(e, "aa", 5, 0, "");
	assert_int_equal(get_range(e, "aa", UINT64_MAX, 2, &b), -EINVAL);
	assert_int_equal(put(e, "bb", "", 0), 0);
	assert_range(e, "bb", 0, 5, "");
	for (size_t i = 0; i < BIG; i++)
		p[i] = (char)(i * 31 >> 3);
	assert_int_equal(put(e, "cc", p, BIG), 0);
	assert_int_equal(get_range(e, "cc", 1000001, 1234567, &b), 0);
	assert_int_equal(b.len, 1234567);
	assert_memory_equal(b.data, p + 1000001, b.len);
}

static void test_del_many(void **state)
{
	static const char *const keys[] = { "aa", "missing", "bb", "cc" };
	static const char *const bad[] = { "dd", "a/b" };
	struct env *e = *state;

	assert_int_equal(put(e, "aa", "1", 1), 0);
	assert_int_equal(put(e, "bb", "2", 1), 0);
	assert_int_equal(put(e, "cc", "3", 1), 0);
	assert_int_equal(put(e, "dd", "4", 1), 0);
	assert_int_equal(fsp_obj_del_many(e->s, &e->ctx, keys, 0), 0);
	assert_int_equal(count_left(e), 4);
	assert_int_equal(fsp_obj_del_many(e->s, &e->ctx, bad, 2), -EINVAL);
	assert_int_equal(fsp_obj_del_many(e->s, &e->ctx, keys, 4), 0);
	assert_missing(e, "aa");
	assert_missing(e, "bb");
	assert_missing(e, "cc");
	assert_object(e, "dd", "4");
	assert_int_equal(count_left(e), 1);
}

static void test_abort(void **state)
{
	struct env *e = *state;
	struct fsp_objwriter *w;

	assert_int_equal(fsp_obj_put_begin(e->s, &e->ctx, "aa", &w), 0);
	assert_int_equal(fsp_obj_put_write(w, "xyz", 3), 0);
	assert_missing(e, "aa");
	fsp_obj_put_abort(w);
	assert_missing(e, "aa");
	assert_int_equal(count_left(e), 0);
	assert_int_equal(put(e, "aa", "old", 3), 0);
	assert_int_equal(fsp_obj_put_begin(e->s, &e->ctx, "aa", &w), 0);
	assert_int_equal(fsp_obj_put_write(w, "xyz", 3), 0);
	assert_object(e, "aa", "old");
	fsp_obj_put_abort(w);
	assert_object(e, "aa", "old");
	assert_int_equal(count_left(e), 1);
	fsp_obj_put_abort(NULL);
}

static void test_keys(void **state)
{
	struct env *e = *state;
	char longest[258];
	const char *bad[] = { "",    ".",   "..",  ".tmp-x", "a/b",     "/a",
		              "a b", "a\n", "a%b", "\xc3\xa4", longest };
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	uint64_t size;

	memset(longest, 'k', sizeof(longest));
	longest[255] = '\0';
	assert_int_equal(put(e, longest, "x", 1), 0);
	assert_object(e, longest, "x");
	longest[255] = 'k';
	longest[256] = '\0';
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(put(e, bad[i], "x", 1), -EINVAL);
		assert_int_equal(get(e, bad[i], &b), -EINVAL);
		assert_int_equal(fsp_obj_head(e->s, &e->ctx, bad[i], &size),
		                 -EINVAL);
		assert_int_equal(fsp_obj_del(e->s, &e->ctx, bad[i]), -EINVAL);
	}
	assert_int_equal(count_left(e), 1);
}

struct listing {
	int n, stop_at;
	bool seen[3];
	int64_t since;
};

static int list_each(void *arg, const char *key, uint64_t size,
                     int64_t mtime_us)
{
	struct listing *l = arg;
	int i = key[0] - 'a';

	assert_in_range(i, 0, 2);
	assert_int_equal(strlen(key), 1);
	assert_false(l->seen[i]);
	assert_int_equal(size, i + 1);
	/* The kernel stamps with a coarser clock than the one we read. */
	assert_true(mtime_us >= l->since - FSP_US_PER_SEC);
	assert_true(mtime_us <= fsp_now_us() + FSP_US_PER_SEC);
	l->seen[i] = true;
	return ++l->n == l->stop_at ? 77 : 0;
}

static void test_list(void **state)
{
	struct env *e = *state;
	struct listing l = { .since = fsp_now_us() };
	struct fsp_objwriter *w;

	assert_int_equal(fsp_obj_list(e->s, &e->ctx, "", list_each, &l), 0);
	assert_int_equal(l.n, 0);
	assert_int_equal(put(e, "a", "1", 1), 0);
	assert_int_equal(put(e, "b", "22", 2), 0);
	assert_int_equal(put(e, "c", "333", 3), 0);
	assert_int_equal(fsp_obj_put_begin(e->s, &e->ctx, "d", &w), 0);
	assert_int_equal(fsp_obj_list(e->s, &e->ctx, "", list_each, &l), 0);
	assert_int_equal(l.n, 3);
	fsp_obj_put_abort(w);
	l = (struct listing){ .stop_at = 2 };
	assert_int_equal(fsp_obj_list(e->s, &e->ctx, "", list_each, &l), 77);
	assert_int_equal(l.n, 2);
}

static int names_each(void *arg, const char *key, uint64_t size,
                      int64_t mtime_us)
{
	(void)size;
	(void)mtime_us;
	return fsp_buf_printf(arg, "%s ", key);
}

static void test_list_prefix(void **state)
{
	struct env *e = *state;
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;

	assert_int_equal(put(e, "ab1", "1", 1), 0);
	assert_int_equal(put(e, "a", "1", 1), 0);
	assert_int_equal(put(e, "b-ab", "1", 1), 0);
	assert_int_equal(fsp_obj_list(e->s, &e->ctx, "ab", names_each, &b), 0);
	assert_string_equal(b.data, "ab1 ");
	fsp_buf_reset(&b);
	assert_int_equal(fsp_obj_list(e->s, &e->ctx, "c", names_each, &b), 0);
	assert_int_equal(b.len, 0);
	assert_int_equal(fsp_obj_list(e->s, &e->ctx, "a/", names_each, &b),
	                 -EINVAL);
}

struct stopper {
	int calls;
	size_t got;
};

static int stop_sink(void *arg, const void *buf, size_t len)
{
	struct stopper *s = arg;

	(void)buf;
	s->got += len;
	return ++s->calls == 2 ? -EDOM : 0;
}

static void test_sink_error(void **state)
{
	struct env *e = *state;
	struct stopper s = { 0 };
	FSP_FREE char *p = calloc(1, BIG);

	assert_int_equal(put(e, "aa", p, BIG), 0);
	assert_int_equal(fsp_obj_get(e->s, &e->ctx, "aa", stop_sink, &s),
	                 -EDOM);
	assert_int_equal(s.calls, 2);
	assert_true(s.got < BIG);
}

static void test_ctx(void **state)
{
	struct env *e = *state;
	atomic_bool cancelled = true;
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	struct listing l = { 0 };
	uint64_t size;

	assert_int_equal(put(e, "aa", "one", 3), 0);
	e->ctx.cancelled = &cancelled;
	assert_int_equal(put(e, "bb", "one", 3), -EINTR);
	assert_int_equal(get(e, "aa", &b), -EINTR);
	assert_int_equal(fsp_obj_head(e->s, &e->ctx, "aa", &size), -EINTR);
	assert_int_equal(fsp_obj_list(e->s, &e->ctx, "", list_each, &l), -EINTR);
	e->ctx.cancelled = NULL;
	e->ctx.deadline_ns = 1;
	assert_int_equal(fsp_obj_del(e->s, &e->ctx, "aa"), -ETIMEDOUT);
	e->ctx.deadline_ns = 0;
	assert_object(e, "aa", "one");
	assert_missing(e, "bb");
}

/* A cancelled writer can still be aborted, and not be continued. */
static void test_cancelled_writer(void **state)
{
	struct env *e = *state;
	atomic_bool cancelled = false;
	struct fsp_objwriter *w;

	e->ctx.cancelled = &cancelled;
	assert_int_equal(fsp_obj_put_begin(e->s, &e->ctx, "aa", &w), 0);
	assert_int_equal(fsp_obj_put_write(w, "1", 1), 0);
	cancelled = true;
	assert_int_equal(fsp_obj_put_write(w, "2", 1), -EINTR);
	fsp_obj_put_abort(w);
	e->ctx.cancelled = NULL;
	assert_missing(e, "aa");
}

static void test_space(void **state)
{
	struct env *e = *state;
	struct fsp_space sp = { 0 };
	int rc = fsp_obj_space(e->s, &e->ctx, &sp);

	if (e->no_space) {
		assert_int_equal(rc, -ENOTSUP);
		return;
	}
	assert_int_equal(rc, 0);
	assert_true(sp.total > 0);
	assert_true(sp.avail <= sp.free && sp.free <= sp.total);
}

/* Whoever wins, the object is one of the four, whole. */
static void *put_thread(void *arg)
{
	struct env *e = arg;
	static atomic_int next;
	char body[200001];
	long failed = 0;

	memset(body, 'a' + atomic_fetch_add(&next, 1) % 26, sizeof(body));
	for (int i = 0; i < 20; i++)
		failed += put(e, "same", body, sizeof(body)) != 0;
	return (void *)failed;
}

static void test_concurrent_puts(void **state)
{
	struct env *e = *state;
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	pthread_t t[4];

	assert_int_equal(put(e, "same", "x", 1), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, put_thread, e), 0);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(get(e, "same", &b), 0);
		assert_true(b.len == 1 || b.len == 200001);
		assert_int_equal(b.data[0], b.data[b.len - 1]);
	}
	for (int i = 0; i < 4; i++) {
		void *failed;

		assert_int_equal(pthread_join(t[i], &failed), 0);
		assert_null(failed);
	}
	assert_int_equal(get(e, "same", &b), 0);
	assert_int_equal(b.len, 200001);
	for (size_t i = 1; i < b.len; i++)
		assert_true(b.data[i] == b.data[0]);
	assert_int_equal(count_left(e), 1);
}

#define CONTRACT(setup)                                                        \
	cmocka_unit_test_setup_teardown(test_basic, setup, teardown),          \
	cmocka_unit_test_setup_teardown(test_large, setup, teardown),          \
	cmocka_unit_test_setup_teardown(test_range, setup, teardown),          \
	cmocka_unit_test_setup_teardown(test_del_many, setup, teardown),       \
	cmocka_unit_test_setup_teardown(test_list_prefix, setup, teardown),    \
	cmocka_unit_test_setup_teardown(test_abort, setup, teardown),          \
	cmocka_unit_test_setup_teardown(test_keys, setup, teardown),           \
	cmocka_unit_test_setup_teardown(test_list, setup, teardown),           \
	cmocka_unit_test_setup_teardown(test_sink_error, setup, teardown),     \
	cmocka_unit_test_setup_teardown(test_ctx, setup, teardown),            \
	cmocka_unit_test_setup_teardown(test_cancelled_writer, setup,          \
	                                teardown),                             \
	cmocka_unit_test_setup_teardown(test_space, setup, teardown),          \
	cmocka_unit_test_setup_teardown(test_concurrent_puts, setup, teardown)

#endif
