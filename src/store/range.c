/* Blocks of an object, and where a cache gets its content from. */
#include "fsp_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "damage.h"
#include "fsp_blocks.h"
#include "fsp_buf.h"
#include "fsp_cache.h"
#include "fsp_log.h"
#include "fsp_spare.h"

#define SPARE_MAX (5UL << 20)   /* what a run of the cache takes, and more */

struct got {
	struct fsp_buf *b;
	uint64_t max;
};

static void drop_buffer(void *b)
{
	fsp_buf_free(b);
	free(b);
}

static struct fsp_spares buffers = FSP_SPARES_INIT(drop_buffer);

void fsp_store_hold(bool on)
{
	fsp_blocks_hold(on);
	if (on)
		fsp_spare_hold(&buffers);
	else
		fsp_spare_end(&buffers, NULL);
}

static struct fsp_buf *take_buffer(void)
{
	struct fsp_buf *b = fsp_spare_begin(&buffers);

	if (b)
		fsp_buf_reset(b);
	else
		b = calloc(1, sizeof(*b));
	return b;
}

static void give_buffer(struct fsp_buf *b)
{
	if (b && b->cap > SPARE_MAX) {
		drop_buffer(b);
		b = NULL;
	}
	fsp_spare_end(&buffers, b);
}

static int take(void *arg, const void *buf, size_t len)
{
	struct got *g = arg;

	return len > g->max - g->b->len ? -EIO : fsp_buf_add(g->b, buf, len);
}

/* When it is all read again, what was handed over is not handed over twice. */
struct passing {
	fsp_sink sink;
	void *arg;
	uint64_t done, skip;
};

static int pass(void *arg, const void *buf, size_t len)
{
	struct passing *p = arg;
	size_t skip = len < p->skip ? len : (size_t)p->skip;

	p->skip -= skip;
	if (skip == len)
		return 0;
	p->done += len - skip;
	return p->sink(p->arg, (const char *)buf + skip, len - skip);
}

struct range {
	struct fsp_store *s;
	const struct fsp_ctx *ctx;
	const char *hash;
	enum fsp_format f;
	const struct fsp_blocks *b;
	size_t first, n;
};

static int range_once(const struct range *r, struct passing *p)
{
	struct got g = { .b = take_buffer() };
	uint64_t off;
	int err;

	p->skip = p->done;
	fsp_blocks_range(r->b, r->f, r->first, r->n, &off, &g.max);
	err = g.b ? fsp_buf_reserve(g.b, g.max) : -ENOMEM;
	if (!err)
		err = fsp_obj_get_range(r->s->objects, r->ctx, r->hash, off,
		                        g.max, take, &g);
	if (!err && g.b->len != g.max)
		err = -EIO;
	if (!err)
		err = fsp_blocks_decode(r->b, r->f, &r->s->keys, r->first,
		                        r->n, g.b->data, g.b->len, pass, p);
	give_buffer(g.b);
	return err;
}

int fsp_store_fetch_blocks(struct fsp_store *s, const struct fsp_ctx *ctx,
                           const char *hash, enum fsp_format f,
                           const struct fsp_blocks *b, size_t first, size_t n,
                           fsp_sink sink, void *arg)
{
	struct range r = { s, ctx, hash, f, b, first, n };
	struct passing p = { sink, arg, 0, 0 };
	int err = range_once(&r, &p);

	if (err == -EIO) {
		fsp_warn("object %s is damaged, or its index of blocks is "
		         "another's; reading blocks %zu to %zu once more", hash,
		         first, first + n - 1);
		err = range_once(&r, &p);
	}
	if (err == -ENOENT) {
		damage_met(s, ctx, hash, "is missing from the store");
		return -EIO;
	}
	if (err == -EACCES) {
		fsp_store_refused(hash);
		return -EIO;
	}
	/* All of it is not read again for each that asks. */
	return err == -EIO && !damage_known(s, hash) ? -ESTALE : err;
}

static int cache_index(void *arg, const struct fsp_ctx *ctx, const char *hash,
                       uint64_t size, enum fsp_format *f,
                       struct fsp_blocks *out)
{
	return fsp_store_index(arg, ctx, hash, size, f, out);
}

static int cache_blocks(void *arg, const struct fsp_ctx *ctx, const char *hash,
                        enum fsp_format f, const struct fsp_blocks *b,
                        size_t first, size_t n, fsp_sink sink, void *sink_arg)
{
	return fsp_store_fetch_blocks(arg, ctx, hash, f, b, first, n, sink,
	                              sink_arg);
}

static int cache_whole(void *arg, const struct fsp_ctx *ctx, const char *hash,
                       uint64_t size, int fd, enum fsp_format *f,
                       struct fsp_blocks *out)
{
	return fsp_store_fetch_fd(arg, ctx, hash, size, fd, f, out);
}

void fsp_store_cache_source(struct fsp_store *s, struct fsp_cache_source *out)
{
	*out = (struct fsp_cache_source){
		.index = cache_index, .blocks = cache_blocks,
		.whole = cache_whole, .arg = s
	};
}
