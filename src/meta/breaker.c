/*
 * The breaker decorator: calls fail at once while the database is down. What
 * an each() returns is taken for the database's error; at worst that costs one
 * probe.
 */
#include "fsp_breaker.h"

#include <errno.h>
#include <stdlib.h>

#include "fsp_buf.h"
#include "fsp_meta.h"

struct guarded {
	struct fsp_meta base;
	struct fsp_meta *inner;
	struct fsp_breaker *breaker;
};

#define FSP_META_CALL(name, params, ...)                                       \
	static int g_##name params                                             \
	{                                                                      \
		struct guarded *g = (struct guarded *)m;                       \
		struct fsp_breaker_call call;                                  \
		int err = fsp_breaker_enter(g->breaker, ctx, &call);           \
                                                                               \
		if (err)                                                       \
			return err;                                            \
		err = g->inner->ops->name(g->inner, ctx, ##__VA_ARGS__);       \
		return fsp_breaker_leave(g->breaker, &call, err);              \
	}
#include "fsp_meta_calls.h"

static void g_stats(struct fsp_meta *m, struct fsp_meta_stats *out)
{
	fsp_meta_stats(((struct guarded *)m)->inner, out);
}

static void g_close(struct fsp_meta *m)
{
	struct guarded *g = (struct guarded *)m;

	fsp_breaker_free(g->breaker);
	g->inner->ops->close(g->inner);
	free(g);
}

static const struct fsp_meta_ops ops = {
#define FSP_META_CALL(name, params, ...) .name = g_##name,
#include "fsp_meta_calls.h"
	.stats = g_stats,
	.close = g_close,
};

/* A fact by a name that nobody sets: one row by its key, if there were one. */
static int probe(void *arg, const struct fsp_ctx *ctx, char **why)
{
	struct guarded *g = arg;
	FSP_BUF struct fsp_buf value = FSP_BUF_INIT;
	int err = g->inner->ops->info_get(g->inner, ctx, "probe", &value);

	(void)why;
	return err == -ENOENT ? 0 : err;
}

int fsp_meta_breaker(struct fsp_meta *inner,
                     const struct fsp_breaker_options *o, struct fsp_meta **out)
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
