/*
 * Content into an object: read, hashed, encoded, sent, all at once. Where its
 * beginning was encoded early, that is sent from a file, and the same encoder
 * goes on with the rest.
 */
#include "upload.h"

#include <errno.h>
#include <stdlib.h>

#include "damage.h"
#include "fsp_blocks.h"
#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_ctx.h"
#include "fsp_file.h"
#include "fsp_log.h"

#define PIECE (256 * 1024)
#define SAMPLE_GAIN 32          /* one part of so many must be gained */

/*
 * The content that goes into the encoder is summed on its way: what was changed
 * in the spool since it was hashed must not get under its name. Only accident
 * can have changed it there, for which a sum does.
 */
struct fsp_early {
	struct fsp_encoder *enc;
	struct fsp_sum *sum;
	enum fsp_format format;
	struct fsp_objwriter *writer;   /* NULL: what is encoded goes to fd */
	int fd;
	uint64_t in_fd;                 /* bytes */
};

bool is_incompressible(size_t len, size_t packed)
{
	return packed > len - len / SAMPLE_GAIN;
}

int read_from(const struct reader *r, const struct fsp_ctx *ctx, uint64_t off,
              int (*step)(void *arg, const void *buf, size_t len), void *arg)
{
	FSP_FREE char *buf = malloc(PIECE);

	if (!buf)
		return -ENOMEM;
	while (off < r->size) {
		uint64_t want = r->size - off < PIECE ? r->size - off : PIECE;
		ssize_t n = r->source(r->arg, buf, want, off);
		int err = n < 0 ? (int)n : fsp_ctx_check(ctx);

		if (!err && n == 0)
			err = -EIO;     /* shorter than it said */
		if (!err)
			err = step(arg, buf, (size_t)n);
		if (err)
			return err;
		off += (uint64_t)n;
	}
	return 0;
}

static int encoded(void *arg, const void *buf, size_t len)
{
	struct fsp_early *e = arg;
	int err;

	if (e->writer)
		return fsp_obj_put_write(e->writer, buf, len);
	err = fsp_pwrite_all(e->fd, buf, len, (off_t)e->in_fd);
	e->in_fd += len;
	return err;
}

static int begin(struct fsp_store *s, struct fsp_early *e, enum fsp_format f)
{
	int err = fsp_sum_new(&e->sum);

	e->format = f;
	return err ? err : fsp_encoder_new(f, &s->keys, s->level, encoded, e,
	                                   &e->enc);
}

static void end(struct fsp_early *e)
{
	fsp_encoder_free(e->enc);
	fsp_sum_free(e->sum);
}

int fsp_early_new(struct fsp_store *s, int fd, const void *sample, size_t len,
                  struct fsp_early **out)
{
	struct fsp_early *e = calloc(1, sizeof(*e));
	enum fsp_format f = s->format;
	size_t packed;
	int err = 0;

	if (!e)
		return -ENOMEM;
	e->fd = fd;
	if (s->sampling)
		err = fsp_compress_sample(sample, len, &packed);
	if (!err && (f == fsp_format_stored(f) ||
	             (s->sampling && is_incompressible(len, packed))))
		err = -ENOTSUP;
	if (!err)
		err = begin(s, e, f);
	if (err) {
		fsp_early_free(e);
		return err;
	}
	*out = e;
	return 0;
}

int fsp_early_write(struct fsp_early *e, const void *buf, size_t len)
{
	fsp_sum_add(e->sum, buf, len);
	return fsp_encoder_write(e->enc, buf, len);
}

uint64_t fsp_early_size(const struct fsp_early *e)
{
	return fsp_sum_size(e->sum);
}

enum fsp_format fsp_early_format(const struct fsp_early *e)
{
	return e->format;
}

/* Its owner may hold a lock: there is no writer but within upload(). */
void fsp_early_free(struct fsp_early *e)
{
	if (e)
		end(e);
	free(e);
}

/* Of one block there is nothing to say. */
static int take_index(const struct fsp_encoder *e, uint64_t size,
                      struct fsp_buf *index)
{
	struct fsp_blocks b = { .n = 0 };
	int err;

	fsp_buf_reset(index);
	if (size < FSP_INDEX_MIN)
		return 0;
	err = fsp_encoder_blocks(e, &b);
	if (!err && b.n > 1)
		err = fsp_store_pack(&b, index);
	fsp_blocks_free(&b);
	return err;
}

/* What was encoded early goes ahead of the rest. */
static int send_early(struct fsp_early *e, const struct fsp_ctx *ctx)
{
	FSP_FREE char *buf = malloc(PIECE);
	uint64_t off = 0;

	if (!buf)
		return -ENOMEM;
	while (off < e->in_fd) {
		uint64_t left = e->in_fd - off;
		ssize_t n = fsp_pread_full(e->fd, buf,
		                           left < PIECE ? left : PIECE,
		                           (off_t)off);
		int err = n < 0 ? (int)n : fsp_ctx_check(ctx);

		if (!err && n == 0)
			err = -EIO;
		if (!err)
			err = fsp_obj_put_write(e->writer, buf, (size_t)n);
		if (err)
			return err;
		off += (uint64_t)n;
	}
	return 0;
}

static int step(void *arg, const void *buf, size_t len)
{
	return fsp_early_write(arg, buf, len);
}

static int send(struct fsp_early *e, const struct reader *r,
                const struct fsp_ctx *ctx, const struct fsp_digests *d,
                struct fsp_object *o, struct fsp_buf *index)
{
	int err = send_early(e, ctx);

	if (!err)
		err = read_from(r, ctx, fsp_early_size(e), step, e);
	if (!err)
		err = fsp_encoder_finish(e->enc, &o->stored);
	if (!err)
		err = take_index(e->enc, r->size, index);
	if (!err && (fsp_early_size(e) != d->size ||
	             fsp_sum_get(e->sum) != d->sum)) {
		fsp_error("object %s: content changed while it was stored",
		          o->key);
		err = -EIO;
	}
	if (err)
		return err;
	err = fsp_obj_put_commit(e->writer);
	e->writer = NULL;
	return err;
}

int upload(struct fsp_store *s, const struct fsp_ctx *ctx,
           const struct reader *r, const struct fsp_digests *d,
           enum fsp_format f, struct fsp_early *early, struct fsp_object *o,
           struct fsp_buf *index)
{
	struct fsp_early now = { .fd = -1 }, *e = early ? early : &now;
	int err = early ? 0 : begin(s, e, f);

	if (!err)
		err = fsp_obj_put_begin(s->objects, ctx, o->key, &e->writer);
	if (!err)
		err = send(e, r, ctx, d, o, index);
	/* Whatever became of what was encoded early, it is used up. */
	fsp_obj_put_abort(e->writer);
	e->writer = NULL;
	if (!early)
		end(e);
	return err;
}
