/*
 * The counting decorator: passes everything on and counts the calls, those
 * that fail, too.
 */
#include "fsp_objstore.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

struct count_store {
	struct fsp_objstore base;
	struct fsp_objstore *inner;
	atomic_uint_fast64_t put, get, head, del, list, down;
};

struct count_writer {
	struct fsp_objwriter base;
	struct fsp_objwriter *inner;
};

static struct count_store *counter_of(struct fsp_objstore *s)
{
	return (struct count_store *)s;
}

static int count_put_begin(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                           const char *key, struct fsp_objwriter **out)
{
	struct count_store *c = counter_of(s);
	struct count_writer *w = calloc(1, sizeof(*w));
	int rc;

	if (!w)
		return -ENOMEM;
	atomic_fetch_add(&c->put, 1);
	rc = fsp_obj_put_begin(c->inner, ctx, key, &w->inner);
	if (rc) {
		free(w);
		return rc;
	}
	*out = &w->base;
	return 0;
}

static int count_put_write(struct fsp_objwriter *base, const void *buf,
                           size_t len)
{
	struct count_writer *w = (struct count_writer *)base;

	return fsp_obj_put_write(w->inner, buf, len);
}

static int count_put_commit(struct fsp_objwriter *base)
{
	struct count_writer *w = (struct count_writer *)base;
	int rc = fsp_obj_put_commit(w->inner);

	free(w);
	return rc;
}

static void count_put_abort(struct fsp_objwriter *base)
{
	struct count_writer *w = (struct count_writer *)base;

	fsp_obj_put_abort(w->inner);
	free(w);
}

struct count_sink {
	struct count_store *c;
	fsp_obj_sink sink;
	void *arg;
};

static int count_down(void *arg, const void *buf, size_t len)
{
	struct count_sink *s = arg;

	atomic_fetch_add(&s->c->down, len);
	return s->sink(s->arg, buf, len);
}

static int count_get(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                     const char *key, fsp_obj_sink sink, void *arg)
{
	struct count_store *c = counter_of(s);

	struct count_sink down = { c, sink, arg };

	atomic_fetch_add(&c->get, 1);
	return fsp_obj_get(c->inner, ctx, key, count_down, &down);
}

static int count_get_range(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                           const char *key, uint64_t off, uint64_t len,
                           fsp_obj_sink sink, void *arg)
{
	struct count_store *c = counter_of(s);

	struct count_sink down = { c, sink, arg };

	atomic_fetch_add(&c->get, 1);
	return fsp_obj_get_range(c->inner, ctx, key, off, len, count_down,
	                         &down);
}

static int count_head(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                      const char *key, uint64_t *size)
{
	struct count_store *c = counter_of(s);

	atomic_fetch_add(&c->head, 1);
	return fsp_obj_head(c->inner, ctx, key, size);
}

static int count_del(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                     const char *key)
{
	struct count_store *c = counter_of(s);

	atomic_fetch_add(&c->del, 1);
	return fsp_obj_del(c->inner, ctx, key);
}

static int count_del_many(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                          const char *const *keys, size_t n)
{
	struct count_store *c = counter_of(s);

	atomic_fetch_add(&c->del, n);
	return fsp_obj_del_many(c->inner, ctx, keys, n);
}

static int count_list(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                      const char *prefix, fsp_obj_each each, void *arg)
{
	struct count_store *c = counter_of(s);

	atomic_fetch_add(&c->list, 1);
	return fsp_obj_list(c->inner, ctx, prefix, each, arg);
}

static int count_space(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                       struct fsp_space *out)
{
	return fsp_obj_space(counter_of(s)->inner, ctx, out);
}

static int count_traffic(struct fsp_objstore *s, struct fsp_obj_traffic *out)
{
	return fsp_obj_traffic(counter_of(s)->inner, out);
}

static void count_close(struct fsp_objstore *s)
{
	struct count_store *c = counter_of(s);

	fsp_obj_close(c->inner);
	free(c);
}

static const struct fsp_objstore_ops count_ops = {
	.put_begin = count_put_begin,
	.put_write = count_put_write,
	.put_commit = count_put_commit,
	.put_abort = count_put_abort,
	.get = count_get,
	.get_range = count_get_range,
	.head = count_head,
	.del = count_del,
	.del_many = count_del_many,
	.list = count_list,
	.space = count_space,
	.traffic = count_traffic,
	.close = count_close,
};

int fsp_objstore_count(struct fsp_objstore *inner, struct fsp_objstore **out)
{
	struct count_store *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->base.ops = &count_ops;
	c->inner = inner;
	*out = &c->base;
	return 0;
}

void fsp_objstore_counts(struct fsp_objstore *counter,
                         struct fsp_obj_counts *out)
{
	struct count_store *c = counter_of(counter);

	*out = (struct fsp_obj_counts){ 0 };
	if (counter->ops != &count_ops)
		return;
	out->put = atomic_load(&c->put);
	out->get = atomic_load(&c->get);
	out->head = atomic_load(&c->head);
	out->del = atomic_load(&c->del);
	out->list = atomic_load(&c->list);
	out->down = atomic_load(&c->down);
}
