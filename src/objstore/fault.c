/*
 * The fault decorator: makes one call fail as told, so that a test can try
 * every place in turn. Each piece that a get delivers counts as a call, too:
 * a transfer may break in the middle. A commit that fails here was not made.
 */
#include "fsp_objstore.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

struct fault_store {
	struct fsp_objstore base;
	struct fsp_objstore *inner;
	atomic_int_fast64_t left;       /* calls to the fault; <= 0: none */
	atomic_int err;                 /* positive */
	atomic_uint_fast64_t fired;
};

struct fault_writer {
	struct fsp_objwriter base;
	struct fsp_objwriter *inner;
};

static struct fault_store *fault_of(struct fsp_objstore *s)
{
	return (struct fault_store *)s;
}

/* 0, or the error when it is this call's turn. */
static int turn(struct fault_store *f)
{
	if (atomic_load(&f->left) <= 0 || atomic_fetch_sub(&f->left, 1) != 1)
		return 0;
	atomic_fetch_add(&f->fired, 1);
	return -atomic_load(&f->err);
}

static int fault_put_begin(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                           const char *key, struct fsp_objwriter **out)
{
	struct fault_store *f = fault_of(s);
	struct fault_writer *w;
	int rc = turn(f);

	if (rc)
		return rc;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	rc = fsp_obj_put_begin(f->inner, ctx, key, &w->inner);
	if (rc) {
		free(w);
		return rc;
	}
	*out = &w->base;
	return 0;
}

static int fault_put_write(struct fsp_objwriter *base, const void *buf,
                           size_t len)
{
	struct fault_writer *w = (struct fault_writer *)base;
	int rc = turn(fault_of(base->store));

	return rc ? rc : fsp_obj_put_write(w->inner, buf, len);
}

static int fault_put_commit(struct fsp_objwriter *base)
{
	struct fault_writer *w = (struct fault_writer *)base;
	int rc = turn(fault_of(base->store));

	if (rc)
		fsp_obj_put_abort(w->inner);
	else
		rc = fsp_obj_put_commit(w->inner);
	free(w);
	return rc;
}

static void fault_put_abort(struct fsp_objwriter *base)
{
	struct fault_writer *w = (struct fault_writer *)base;

	fsp_obj_put_abort(w->inner);
	free(w);
}

struct tap {
	struct fault_store *f;
	fsp_obj_sink sink;
	void *arg;
};

static int tap_sink(void *arg, const void *buf, size_t len)
{
	struct tap *t = arg;
	int rc = turn(t->f);

	return rc ? rc : t->sink(t->arg, buf, len);
}

static int fault_get(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                     const char *key, fsp_obj_sink sink, void *arg)
{
	struct tap t = { fault_of(s), sink, arg };
	int rc = turn(t.f);

	return rc ? rc : fsp_obj_get(t.f->inner, ctx, key, tap_sink, &t);
}

static int fault_get_range(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                           const char *key, uint64_t off, uint64_t len,
                           fsp_obj_sink sink, void *arg)
{
	struct tap t = { fault_of(s), sink, arg };
	int rc = turn(t.f);

	return rc ? rc : fsp_obj_get_range(t.f->inner, ctx, key, off, len,
	                                   tap_sink, &t);
}

static int fault_head(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                      const char *key, uint64_t *size)
{
	int rc = turn(fault_of(s));

	return rc ? rc : fsp_obj_head(fault_of(s)->inner, ctx, key, size);
}

static int fault_del(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                     const char *key)
{
	int rc = turn(fault_of(s));

	return rc ? rc : fsp_obj_del(fault_of(s)->inner, ctx, key);
}

static int fault_del_many(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                          const char *const *keys, size_t n)
{
	int rc = turn(fault_of(s));

	return rc ? rc : fsp_obj_del_many(fault_of(s)->inner, ctx, keys, n);
}

static int fault_list(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                      const char *prefix, fsp_obj_each each, void *arg)
{
	int rc = turn(fault_of(s));

	return rc ? rc : fsp_obj_list(fault_of(s)->inner, ctx, prefix, each, arg);
}

static int fault_space(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                       struct fsp_space *out)
{
	int rc = turn(fault_of(s));

	return rc ? rc : fsp_obj_space(fault_of(s)->inner, ctx, out);
}

static int fault_traffic(struct fsp_objstore *s, struct fsp_obj_traffic *out)
{
	return fsp_obj_traffic(fault_of(s)->inner, out);
}

static void fault_close(struct fsp_objstore *s)
{
	fsp_obj_close(fault_of(s)->inner);
	free(fault_of(s));
}

static const struct fsp_objstore_ops fault_ops = {
	.put_begin = fault_put_begin,
	.put_write = fault_put_write,
	.put_commit = fault_put_commit,
	.put_abort = fault_put_abort,
	.get = fault_get,
	.get_range = fault_get_range,
	.head = fault_head,
	.del = fault_del,
	.del_many = fault_del_many,
	.list = fault_list,
	.space = fault_space,
	.traffic = fault_traffic,
	.close = fault_close,
};

int fsp_objstore_fault(struct fsp_objstore *inner, struct fsp_objstore **out)
{
	struct fault_store *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->base.ops = &fault_ops;
	f->inner = inner;
	*out = &f->base;
	return 0;
}

void fsp_objstore_fault_arm(struct fsp_objstore *s, uint64_t nth, int err)
{
	struct fault_store *f = fault_of(s);

	atomic_store(&f->err, err);
	atomic_store(&f->left, (int_fast64_t)nth);
}

uint64_t fsp_objstore_fault_fired(struct fsp_objstore *s)
{
	return atomic_load(&fault_of(s)->fired);
}
