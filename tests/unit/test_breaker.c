/*
 * Servers that are down: the states, the decorators over objects and rows, and
 * what is told about it. Time and servers are the test's.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fsp_breaker.h"
#include "fsp_buf.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_health.h"
#include "fsp_lock.h"
#include "fsp_meta.h"
#include "fsp_objstore.h"

#define MS 1000000LL

static int64_t mono_ns = 1000 * MS;
static int64_t wall_ns;

static int64_t mono(void)
{
	return mono_ns;
}

static int64_t wall(void)
{
	return wall_ns;
}

/* -- a server that answers what it is told to -- */

static struct {
	int answer;             /* of calls */
	int calls;
	int probe_answer;
	const char *probe_says;
	int probes;
} srv;

static int probe(void *arg, const struct fsp_ctx *ctx, char **why)
{
	assert_ptr_equal(arg, &srv);
	assert_true(fsp_ctx_left_ns(ctx) < 4 * FSP_NS_PER_SEC);
	fsp_lock_assert_none();
	srv.probes++;
	if (srv.probe_says)
		*why = strdup(srv.probe_says);
	return srv.probe_answer;
}

static struct fsp_breaker_options options(int down_after)
{
	return (struct fsp_breaker_options){
		.name = "objects", .down_after = down_after, .probe = probe,
		.arg = &srv, .now = mono
	};
}

static int setup(void **state)
{
	(void)state;
	memset(&srv, 0, sizeof(srv));
	mono_ns = 1000 * MS;
	/* 2026-11-24T10:00:00Z */
	wall_ns = 1795514400LL * FSP_NS_PER_SEC;
	fsp_clock_set(wall);
	return 0;
}

static struct fsp_breaker *make(int down_after)
{
	struct fsp_breaker_options o = options(down_after);
	struct fsp_breaker *b;

	assert_int_equal(fsp_breaker_new(&o, &b), 0);
	return b;
}

/* A call that returns err, if it gets through. */
static int call(struct fsp_breaker *b, int err)
{
	struct fsp_ctx ctx = fsp_ctx_background();
	struct fsp_breaker_call call;
	int closed = fsp_breaker_enter(b, &ctx, &call);

	if (closed)
		return closed;
	srv.calls++;
	return fsp_breaker_leave(b, &call, err);
}

static void trip(struct fsp_breaker *b)
{
	srv.probe_answer = -EHOSTDOWN;
	assert_int_equal(call(b, -EHOSTDOWN), -EHOSTDOWN);
	(void)fsp_breaker_step(b);
	assert_true(fsp_breaker_is_open(b));
	srv.calls = srv.probes = 0;
}

/* -- the states -- */

/* One call, one probe. */
static void test_refused(void **state)
{
	struct fsp_breaker *b = make(3);

	(void)state;
	assert_true(fsp_breaker_step(b) == INT64_MAX);
	assert_int_equal(srv.probes, 0);
	srv.probe_answer = -EHOSTDOWN;
	assert_int_equal(call(b, -EHOSTDOWN), -EHOSTDOWN);
	assert_false(fsp_breaker_is_open(b));
	assert_true(fsp_breaker_step(b) > 0);
	assert_int_equal(srv.probes, 1);
	assert_true(fsp_breaker_is_open(b));
	assert_int_equal(call(b, 0), -EHOSTDOWN);
	assert_int_equal(srv.calls, 1);
	fsp_breaker_free(b);
}

/* While a probe hangs, calls in a row are enough. */
static void test_in_a_row(void **state)
{
	struct fsp_breaker *b = make(3);

	(void)state;
	(void)call(b, -ETIMEDOUT);
	(void)call(b, -EHOSTDOWN);
	(void)call(b, -ENOENT);         /* an answer: from the start again */
	(void)call(b, -ETIMEDOUT);
	(void)call(b, -EINTR);          /* says nothing */
	(void)call(b, -ENOMEM);
	(void)call(b, -ETIMEDOUT);
	assert_false(fsp_breaker_is_open(b));
	(void)call(b, -ETIMEDOUT);
	assert_true(fsp_breaker_is_open(b));
	assert_int_equal(srv.probes, 0);
	fsp_breaker_free(b);
}

static void test_answers_never_open(void **state)
{
	static const int answers[] = { 0, -ENOENT, -EACCES, -EIO, -ENOSPC,
		                       -EDQUOT, -EROFS, -EINVAL, -EINTR,
		                       -ENOMEM, -EEXIST };
	struct fsp_breaker *b = make(1);

	(void)state;
	for (int round = 0; round < 100; round++)
		for (size_t i = 0; i < sizeof(answers) / sizeof(int); i++)
			assert_int_equal(call(b, answers[i]), answers[i]);
	assert_true(fsp_breaker_step(b) == INT64_MAX);
	assert_false(fsp_breaker_is_open(b));
	assert_int_equal(srv.probes, 0);
	fsp_breaker_free(b);
}

/* A lock that could not be had: the probe is answered. */
static void test_suspicion_clears(void **state)
{
	struct fsp_breaker *b = make(3);

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(call(b, -ETIMEDOUT), -ETIMEDOUT);
		assert_true(fsp_breaker_step(b) == INT64_MAX);
	}
	assert_int_equal(srv.probes, 20);
	assert_false(fsp_breaker_is_open(b));
	fsp_breaker_free(b);
}

/* When probes begin while it is open, and none in between. */
static void test_intervals(void **state)
{
	static const int ms[] = { 200, 400, 800, 1600, 2000, 2000, 2000 };
	struct fsp_breaker *b = make(3);

	(void)state;
	trip(b);
	for (size_t i = 0; i < sizeof(ms) / sizeof(int); i++) {
		assert_int_equal(fsp_breaker_step(b), ms[i] * MS);
		mono_ns += ms[i] * MS - 1;
		assert_int_equal(fsp_breaker_step(b), 1);
		assert_int_equal(srv.probes, i);
		mono_ns += 1;
		(void)fsp_breaker_step(b);
		assert_int_equal(srv.probes, i + 1);
		assert_int_equal(call(b, 0), -EHOSTDOWN);
	}
	/* Back: the next probe opens it for all, and all begins anew. */
	mono_ns += 2000 * MS;
	srv.probe_answer = 0;
	assert_true(fsp_breaker_step(b) == INT64_MAX);
	assert_int_equal(call(b, 0), 0);
	trip(b);
	assert_int_equal(fsp_breaker_step(b), 200 * MS);
	fsp_breaker_free(b);
}

static int slow_probe(void *arg, const struct fsp_ctx *ctx, char **why)
{
	mono_ns += 3500 * MS;
	return probe(arg, ctx, why);
}

/* One that hung is followed at once: four seconds from return to work. */
static void test_hung_probe(void **state)
{
	struct fsp_breaker_options o = options(3);
	struct fsp_breaker *b;

	(void)state;
	o.probe = slow_probe;
	assert_int_equal(fsp_breaker_new(&o, &b), 0);
	trip(b);
	assert_int_equal(fsp_breaker_step(b), 0);
	fsp_breaker_free(b);
}

/* What hung when the server died comes back when it lives again. */
static void test_late(void **state)
{
	struct fsp_breaker *b = make(2);
	struct fsp_ctx ctx = fsp_ctx_background();
	struct fsp_breaker_call old[10], now;

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_int_equal(fsp_breaker_enter(b, &ctx, &old[i]), 0);
	trip(b);
	mono_ns += 200 * MS;
	srv.probe_answer = 0;
	(void)fsp_breaker_step(b);
	assert_int_equal(fsp_breaker_enter(b, &ctx, &now), 0);
	for (int i = 0; i < 9; i++)
		assert_int_equal(fsp_breaker_leave(b, &old[i], -ETIMEDOUT),
		                 -ETIMEDOUT);
	assert_false(fsp_breaker_is_open(b));
	assert_true(fsp_breaker_step(b) == INT64_MAX);
	/* Nor does an old success hide what is going on now. */
	(void)fsp_breaker_leave(b, &now, -EHOSTDOWN);
	(void)fsp_breaker_leave(b, &old[9], 0);
	assert_int_equal(call(b, -EHOSTDOWN), -EHOSTDOWN);
	assert_true(fsp_breaker_is_open(b));
	fsp_breaker_free(b);
}

/* A probe that was ended or had no memory says nothing. */
static void test_probe_without_result(void **state)
{
	struct fsp_breaker *b = make(3);

	(void)state;
	srv.probe_answer = -ENOMEM;
	(void)call(b, -EHOSTDOWN);
	assert_true(fsp_breaker_step(b) > 0);
	assert_false(fsp_breaker_is_open(b));
	srv.probe_answer = -EHOSTDOWN;
	mono_ns += 200 * MS;
	(void)fsp_breaker_step(b);
	assert_true(fsp_breaker_is_open(b));
	srv.probe_answer = -EINTR;
	mono_ns += 2000 * MS;
	(void)fsp_breaker_step(b);
	assert_true(fsp_breaker_is_open(b));
	fsp_breaker_free(b);
}

/* -- the thread -- */

static struct {
	struct fsp_mutex lock;
	struct fsp_cond changed;
	int probes, at_once;
	bool up, hang;
} real;

static int real_probe(void *arg, const struct fsp_ctx *ctx, char **why)
{
	int err;

	(void)arg;
	(void)why;
	FSP_GUARD(&real.lock);
	assert_int_equal(real.at_once++, 0);
	real.probes++;
	fsp_cond_broadcast(&real.changed);
	while (real.hang && !fsp_ctx_check(ctx))
		(void)fsp_cond_wait(&real.changed, &real.lock,
		                    fsp_mono_ns() + MS);
	err = real.hang ? fsp_ctx_check(ctx) : real.up ? 0 : -EHOSTDOWN;
	real.at_once--;
	return err;
}

static void wait_probes(int n)
{
	FSP_GUARD(&real.lock);
	while (real.probes < n)
		(void)fsp_cond_wait(&real.changed, &real.lock, 0);
}

static void test_thread(void **state)
{
	struct fsp_breaker_options o = options(3);
	struct fsp_ctx ctx = fsp_ctx_background();
	struct fsp_breaker_call now;
	struct fsp_breaker *b;
	int probes;

	(void)state;
	fsp_mutex_init(&real.lock);
	fsp_cond_init(&real.changed);
	o.now = NULL;
	o.probe = real_probe;
	assert_int_equal(fsp_breaker_new(&o, &b), 0);
	(void)call(b, -EHOSTDOWN);
	wait_probes(2);
	assert_int_equal(call(b, 0), -EHOSTDOWN);
	fsp_lock(&real.lock);
	real.up = true;
	fsp_unlock(&real.lock);
	while (fsp_breaker_enter(b, &ctx, &now))
		sched_yield();
	/* It ends while a probe hangs. */
	fsp_lock(&real.lock);
	real.hang = true;
	probes = real.probes;
	fsp_unlock(&real.lock);
	(void)call(b, -EHOSTDOWN);
	wait_probes(probes + 1);
	fsp_breaker_free(b);
	fsp_cond_destroy(&real.changed);
	fsp_mutex_destroy(&real.lock);
}

/* -- objects -- */

struct fake_store {
	struct fsp_objstore base;
	bool closed, aborted;
};

static int o_put_begin(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                       const char *key, struct fsp_objwriter **out)
{
	static struct fsp_objwriter w;

	(void)s;
	(void)ctx;
	(void)key;
	srv.calls++;
	*out = &w;
	return srv.answer;
}

static int o_put_write(struct fsp_objwriter *w, const void *buf, size_t len)
{
	(void)w;
	(void)buf;
	(void)len;
	srv.calls++;
	return srv.answer;
}

static int o_put_commit(struct fsp_objwriter *w)
{
	(void)w;
	srv.calls++;
	return srv.answer;
}

static void o_put_abort(struct fsp_objwriter *w)
{
	((struct fake_store *)w->store)->aborted = true;
}

static int o_get(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                 const char *key, fsp_obj_sink sink, void *arg)
{
	(void)s;
	(void)ctx;
	(void)key;
	srv.calls++;
	return srv.answer ? srv.answer : sink(arg, "x", 1);
}

static int o_get_range(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                       const char *key, uint64_t off, uint64_t len,
                       fsp_obj_sink sink, void *arg)
{
	return off == 3 && len == 4 ? o_get(s, ctx, key, sink, arg) : -EIO;
}

static int o_head(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                  const char *key, uint64_t *size)
{
	(void)s;
	(void)ctx;
	if (strcmp(key, "probe") == 0) {
		srv.probes++;
		return srv.probe_answer;
	}
	srv.calls++;
	*size = 7;
	return srv.answer;
}

static int o_del(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                 const char *key)
{
	(void)s;
	(void)ctx;
	(void)key;
	srv.calls++;
	return srv.answer;
}

static int o_del_many(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                      const char *const *keys, size_t n)
{
	return n == 1 ? o_del(s, ctx, keys[0]) : -EIO;
}

static int o_list(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                  const char *prefix, fsp_obj_each each, void *arg)
{
	(void)s;
	(void)ctx;
	srv.calls++;
	return srv.answer ? srv.answer : each(arg, prefix, 1, 2);
}

static int o_space(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                   struct fsp_space *out)
{
	(void)s;
	(void)ctx;
	(void)out;
	srv.calls++;
	return srv.answer;
}

/* Asks nobody, so it is answered always. */
static int o_traffic(struct fsp_objstore *s, struct fsp_obj_traffic *out)
{
	(void)s;
	out->up = 9;
	return 0;
}

static void o_close(struct fsp_objstore *s)
{
	((struct fake_store *)s)->closed = true;
}

static const struct fsp_objstore_ops fake_ops = {
	.put_begin = o_put_begin, .put_write = o_put_write,
	.put_commit = o_put_commit, .put_abort = o_put_abort, .get = o_get,
	.get_range = o_get_range, .head = o_head, .del = o_del,
	.del_many = o_del_many, .list = o_list, .space = o_space,
	.traffic = o_traffic, .close = o_close
};

static int sink(void *arg, const void *buf, size_t len)
{
	(void)arg;
	(void)buf;
	return len == 1 ? 0 : -EIO;
}

static int each_key(void *arg, const char *key, uint64_t size, int64_t mtime_us)
{
	(void)arg;
	return *key == 'k' && size == 1 && mtime_us == 2 ? 0 : -EIO;
}

/* Of a call that has next to no time left. */
static struct fsp_ctx hurried(void)
{
	struct fsp_ctx ctx = fsp_ctx_background();

	ctx.deadline_ns = fsp_mono_ns() + MS;
	return ctx;
}

/* Each call once; all have to return `want`. */
static void all_objects(struct fsp_objstore *s, int want)
{
	static const char *const key = "k";
	struct fsp_ctx ctx = fsp_ctx_background();
	struct fsp_obj_traffic t;
	struct fsp_objwriter *w;
	struct fsp_space space;
	uint64_t size;

	assert_int_equal(fsp_obj_put_begin(s, &ctx, "k", &w), want);
	if (!want)
		assert_int_equal(fsp_obj_put_write(w, "x", 1), 0);
	if (!want)
		assert_int_equal(fsp_obj_put_commit(w), 0);
	assert_int_equal(fsp_obj_get(s, &ctx, "k", sink, NULL), want);
	assert_int_equal(fsp_obj_get_range(s, &ctx, "k", 3, 4, sink, NULL),
	                 want);
	assert_int_equal(fsp_obj_head(s, &ctx, "k", &size), want);
	assert_int_equal(fsp_obj_del(s, &ctx, "k"), want);
	assert_int_equal(fsp_obj_del_many(s, &ctx, &key, 1), want);
	assert_int_equal(fsp_obj_list(s, &ctx, "k", each_key, NULL), want);
	assert_int_equal(fsp_obj_space(s, &ctx, &space), want);
	assert_int_equal(fsp_obj_traffic(s, &t), 0);
	assert_int_equal(t.up, 9);
}

static void test_objects(void **state)
{
	struct fake_store fake = { .base.ops = &fake_ops };
	struct fsp_breaker_options o = options(3);
	struct fsp_ctx ctx = fsp_ctx_background(), late = hurried();
	struct fsp_objwriter *w, *w2;
	struct fsp_objstore *s;

	(void)state;
	o.probe = NULL;
	assert_int_equal(fsp_objstore_breaker(&fake.base, &o, &s), 0);
	all_objects(s, 0);
	assert_int_equal(srv.calls, 10);
	srv.answer = -ENOENT;
	all_objects(s, -ENOENT);
	srv.answer = -ETIMEDOUT;
	for (int i = 0; i < 3; i++)
		assert_int_equal(fsp_obj_del(s, &late, "k"), -ETIMEDOUT);
	srv.answer = 0;
	assert_int_equal(fsp_obj_put_begin(s, &ctx, "k", &w), 0);
	assert_int_equal(fsp_obj_put_begin(s, &ctx, "k", &w2), 0);
	srv.answer = -EHOSTDOWN;
	assert_int_equal(fsp_obj_del(s, &ctx, "k"), -EHOSTDOWN);
	assert_int_equal(fsp_obj_put_write(w, "x", 1), -EHOSTDOWN);
	assert_int_equal(fsp_obj_put_write(w, "x", 1), -EHOSTDOWN);
	/* Open: nothing reaches the server. */
	srv.answer = srv.calls = 0;
	all_objects(s, -EHOSTDOWN);
	assert_int_equal(fsp_obj_put_write(w, "x", 1), -EHOSTDOWN);
	assert_int_equal(fsp_obj_put_commit(w), -EHOSTDOWN);
	assert_int_equal(srv.calls, 0);
	assert_true(fake.aborted);
	fake.aborted = false;
	fsp_obj_put_abort(w2);
	assert_true(fake.aborted);
	assert_int_equal(srv.probes, 0);
	fsp_obj_close(s);
	assert_true(fake.closed);
}

/* -- rows -- */

static const char *last;
static int meta_answer;

#define FSP_META_CALL(name, params, ...)                                       \
	static int m_##name params                                             \
	{                                                                      \
		const void *given[] = { m, ctx };                              \
                                                                               \
		(void)given;                                                   \
		last = #name;                                                  \
		return meta_answer;                                            \
	}
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include "fsp_meta_calls.h"
#pragma GCC diagnostic pop

static bool meta_closed;

static void m_close(struct fsp_meta *m)
{
	(void)m;
	meta_closed = true;
}

static const struct fsp_meta_ops meta_ops = {
#define FSP_META_CALL(name, params, ...) .name = m_##name,
#include "fsp_meta_calls.h"
	.close = m_close
};

/* Each call of the table, with nothing in it, arrives as itself, or not. */
static void all_calls(struct fsp_meta *m, int want, bool arrives)
{
	struct fsp_ctx background = fsp_ctx_background(), *ctx = &background;
	void *dir = NULL, *name = NULL, *out = NULL, *ref = NULL, *each = NULL;
	void *arg = NULL, *target = NULL, *at = NULL, *what = NULL;
	void *attr = NULL, *c = NULL, *to = NULL, *from = NULL, *sha256 = NULL;
	void *sha1 = NULL, *key = NULL, *o = NULL, *path = NULL, *value = NULL;
	void *feed = NULL, *f = NULL, *blocks = NULL;
	void *was = NULL, *l = NULL, *conflict = NULL, *i = NULL, *id = NULL;
	void *mount = NULL, *v = NULL, *number = NULL, *inos = NULL;
	bool force = false;
	int holder = 0;
	int ino = 0, mask = 0, flags = 0, size = 0, len = 0;
	int started_us = 0, lease_us = 0, lease_ns = 0, implied = 0, known = 0, n = 0, most = 0;

/* A pointer in one of them and a time in the others. */
#define at_us 0
#define FSP_META_CALL(name, params, ...)                                       \
	last = "";                                                             \
	assert_int_equal(m->ops->name(m, ctx, ##__VA_ARGS__), want);           \
	assert_string_equal(last, arrives ? #name : "");
#include "fsp_meta_calls.h"
#undef at_us
}

static void test_rows(void **state)
{
	static struct fsp_meta fake = { .ops = &meta_ops };
	struct fsp_breaker_options o = options(1);
	struct fsp_ctx ctx = hurried();
	struct fsp_meta *m;

	(void)state;
	o.probe = NULL;
	meta_closed = false;
	assert_int_equal(fsp_meta_breaker(&fake, &o, &m), 0);
	meta_answer = 0;
	all_calls(m, 0, true);
	meta_answer = -ENOTEMPTY;
	all_calls(m, -ENOTEMPTY, true);
	/* Another server may have taken the time that it had. */
	meta_answer = -ETIMEDOUT;
	assert_int_equal(m->ops->sync(m, &ctx), -ETIMEDOUT);
	meta_answer = 0;
	all_calls(m, 0, true);
	meta_answer = -EHOSTDOWN;
	assert_int_equal(m->ops->sync(m, &ctx), -EHOSTDOWN);
	all_calls(m, -EHOSTDOWN, false);
	fsp_meta_close(m);
	assert_true(meta_closed);
}

/* The same of the other decorator that is made from the table. */
static void test_fault_rows(void **state)
{
	static struct fsp_meta fake = { .ops = &meta_ops };
	struct fsp_meta *m;

	(void)state;
	assert_int_equal(fsp_meta_fault(&fake, &m), 0);
	meta_answer = -ENOTEMPTY;
	all_calls(m, -ENOTEMPTY, true);
	fsp_meta_close(m);
}

/* -- health -- */

static void line_is(struct fsp_health *h, const char *want)
{
	FSP_BUF struct fsp_buf line = FSP_BUF_INIT;

	assert_int_equal(fsp_health_line(h, &line), 0);
	assert_string_equal(line.data, want);
}

static void test_health(void **state)
{
	struct fsp_health_part *db, *obj;
	struct fsp_health *h;

	(void)state;
	assert_int_equal(fsp_health_new(&h), 0);
	assert_int_equal(fsp_health_add(h, "database", "no opens", &db), 0);
	assert_int_equal(fsp_health_add(h, "objects", "writes fail at close",
	                                &obj), 0);
	assert_ptr_equal(fsp_health_find(h, "objects"), obj);
	assert_null(fsp_health_find(h, "spool"));
	line_is(h, "database ok since 2026-11-24T10:00:00Z; "
	           "objects ok since 2026-11-24T10:00:00Z");
	wall_ns += 5 * FSP_NS_PER_SEC;
	fsp_health_set(obj, FSP_HEALTH_DOWN, "connection\nrefused");
	wall_ns += 5 * FSP_NS_PER_SEC;
	fsp_health_set(obj, FSP_HEALTH_DOWN, "no route");
	fsp_health_seen(obj, -EHOSTDOWN);
	line_is(h, "database ok since 2026-11-24T10:00:00Z; "
	           "objects down since 2026-11-24T10:00:05Z: no route; "
	           "writes fail at close");
	fsp_health_seen(db, -EIO);
	fsp_health_set(obj, FSP_HEALTH_OK, "never shown");
	line_is(h, "database degraded since 2026-11-24T10:00:10Z: "
	           "Input/output error; objects ok since 2026-11-24T10:00:10Z");
	fsp_health_seen(db, -ETIMEDOUT);
	fsp_health_seen(NULL, -EIO);
	assert_int_equal(fsp_health_get(db), FSP_HEALTH_DOWN);
	fsp_health_seen(db, 0);
	assert_int_equal(fsp_health_get(db), FSP_HEALTH_OK);
	fsp_health_free(h);
}

static void test_breaker_tells(void **state)
{
	struct fsp_breaker_options o = options(2);
	struct fsp_health *h;
	struct fsp_breaker *b;

	(void)state;
	assert_int_equal(fsp_health_new(&h), 0);
	assert_int_equal(fsp_health_add(h, "objects", "lost", &o.health), 0);
	assert_int_equal(fsp_breaker_new(&o, &b), 0);
	wall_ns += FSP_NS_PER_SEC;
	(void)call(b, -ETIMEDOUT);
	(void)call(b, -ETIMEDOUT);
	line_is(h, "objects down since 2026-11-24T10:00:01Z: "
	           "Connection timed out; lost");
	wall_ns += FSP_NS_PER_SEC;
	mono_ns += 200 * MS;
	srv.probe_answer = -EHOSTDOWN;
	srv.probe_says = "connection refused by h:1";
	(void)fsp_breaker_step(b);
	line_is(h, "objects down since 2026-11-24T10:00:01Z: "
	           "connection refused by h:1; lost");
	/* It answers, and not what it should: that is no outage. */
	mono_ns += 2000 * MS;
	srv.probe_answer = -EACCES;
	srv.probe_says = "the key is unknown";
	(void)fsp_breaker_step(b);
	line_is(h, "objects degraded since 2026-11-24T10:00:02Z: "
	           "the key is unknown");
	(void)call(b, -EACCES);
	assert_int_equal(fsp_health_get(o.health), FSP_HEALTH_DEGRADED);
	(void)call(b, 0);
	line_is(h, "objects ok since 2026-11-24T10:00:02Z");
	fsp_breaker_free(b);
	fsp_health_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_refused, setup),
		cmocka_unit_test_setup(test_in_a_row, setup),
		cmocka_unit_test_setup(test_answers_never_open, setup),
		cmocka_unit_test_setup(test_suspicion_clears, setup),
		cmocka_unit_test_setup(test_intervals, setup),
		cmocka_unit_test_setup(test_hung_probe, setup),
		cmocka_unit_test_setup(test_late, setup),
		cmocka_unit_test_setup(test_probe_without_result, setup),
		cmocka_unit_test_setup(test_thread, setup),
		cmocka_unit_test_setup(test_objects, setup),
		cmocka_unit_test_setup(test_rows, setup),
		cmocka_unit_test_setup(test_fault_rows, setup),
		cmocka_unit_test_setup(test_health, setup),
		cmocka_unit_test_setup(test_breaker_tells, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
