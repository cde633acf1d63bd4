/*
 * The breaker decorator: calls fail at once while the server is down. A writer
 * reports what happened to it against what was known when it began.
 */
#include "fsp_breaker.h"

#include <errno.h>
#include <stdlib.h>

#include "fsp_objstore.h"

struct guarded {
	struct fsp_objstore base;
	struct fsp_objstore *inner;
	struct fsp_breaker *breaker;
};

struct guarded_writer {
	struct fsp_objwriter base;
	struct fsp_objwriter *inner;
	const struct fsp_ctx *ctx;      /* the inner one keeps it, too */
};

static struct guarded *guarded_of(struct fsp_objstore *s)
{
	return (struct guarded *)s;
}

/* One call on the inner store between enter and leave; the error returns. */
#define THROUGH(s, ctx, call)                                                  \
	({                                                                     \
		struct fsp_breaker *b_ = guarded_of(s)->breaker;               \
		struct fsp_breaker_call call_;                                 \
		int err_ = fsp_breaker_enter(b_, ctx, &call_);                 \
                                                                               \
		err_ ? err_ : fsp_breaker_leave(b_, &call_, call);             \
	})

static int g_put_begin(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                       const char *key, struct fsp_objwriter **out)
{
	struct guarded_writer *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	w->ctx = ctx;
	err = THROUGH(s, ctx, fsp_obj_put_begin(guarded_of(s)->inner, ctx, key,
	                                        &w->inner));
	if (err)
		free(w);
	else
		*out = &w->base;
	return err;
}

static int g_put_write(struct fsp_objwriter *base, const void *buf, size_t len)
{
	struct guarded_writer *w = (struct guarded_writer *)base;

	return THROUGH(base->store, w->ctx,
	               fsp_obj_put_write(w->inner, buf, len));
}

static int g_put_commit(struct fsp_objwriter *base)
{
	struct guarded_writer *w = (struct guarded_writer *)base;
	struct fsp_breaker *b = guarded_of(base->store)->breaker;
	struct fsp_breaker_call call;
	int err = fsp_breaker_enter(b, w->ctx, &call);

	if (err)
		fsp_obj_put_abort(w->inner);
	else
		err = fsp_breaker_leave(b, &call, fsp_obj_put_commit(w->inner));
	free(w);
	return err;
}

static void g_put_abort(struct fsp_objwriter *base)
{
	struct guarded_writer *w = (struct guarded_writer *)base;

	fsp_obj_put_abort(w->inner);
	free(w);
}

static int g_get(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                 const char *key, fsp_obj_sink sink, void *arg)
{
	return THROUGH(s, ctx, fsp_obj_get(guarded_of(s)->inner, ctx, key, sink,
	                                   arg));
}

static int g_get_range(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                       const char *key, uint64_t off, uint64_t len,
                       fsp_obj_sink sink, void *arg)
{
	return THROUGH(s, ctx, fsp_obj_get_range(guarded_of(s)->inner, ctx, key,
	                                         off, len, sink, arg));
}

static int g_head(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                  const char *key, uint64_t *size)
{
	return THROUGH(s, ctx, fsp_obj_head(guarded_of(s)->inner, ctx, key,
	                                    size));
}

static int g_del(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                 const char *key)
{
	return THROUGH(s, ctx, fsp_obj_del(guarded_of(s)->inner, ctx, key));
}

static int g_del_many(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                      const char *const *keys, size_t n)
{
	return THROUGH(s, ctx, fsp_obj_del_many(guarded_of(s)->inner, ctx, keys,
	                                        n));
}

static int g_list(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                  const char *prefix, fsp_obj_each each, void *arg)
{
	return THROUGH(s, ctx, fsp_obj_list(guarded_of(s)->inner, ctx, prefix,
	                                    each, arg));
}

static int g_space(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                   struct fsp_space *out)
{
	return THROUGH(s, ctx, fsp_obj_space(guarded_of(s)->inner, ctx, out));
}

static int g_traffic(struct fsp_objstore *s, struct fsp_obj_traffic *out)
{
	return fsp_obj_traffic(guarded_of(s)->inner, out);
}

static void g_close(struct fsp_objstore *s)
{
	struct guarded *g = guarded_of(s);

	fsp_breaker_free(g->breaker);
	fsp_obj_close(g->inner);
	free(g);
}

static const struct fsp_objstore_ops ops = {
	.put_begin = g_put_begin,
	.put_write = g_put_write,
	.put_commit = g_put_commit,
	.put_abort = g_put_abort,
	.get = g_get,
	.get_range = g_get_range,
	.head = g_head,
	.del = g_del,
	.del_many = g_del_many,
	.list = g_list,
	.space = g_space,
	.traffic = g_traffic,
	.close = g_close,
};

/* An object that nobody has; its absence is an answer. */
static int probe(void *arg, const struct fsp_ctx *ctx, char **why)
{
	struct guarded *g = arg;
	uint64_t size;
	int err = fsp_obj_head(g->inner, ctx, "probe", &size);

	(void)why;
	return err == -ENOENT ? 0 : err;
}

int fsp_objstore_breaker(struct fsp_objstore *inner,
                         const struct fsp_breaker_options *o,
                         struct fsp_objstore **out)
{
	struct fsp_breaker_options with = *o;
	struct guarded *g = calloc(1, sizeof(*g));
	int err;

	if (!g)
		return -ENOMEM;
	g->base.ops = &ops;
	g->inner = inner;
	if (!with.probe) {
		with.probe = probe;
		with.arg = g;
	}
	err = fsp_breaker_new(&with, &g->breaker);
	if (err)
		free(g);
	else
		*out = &g->base;
	return err;
}
