/* Objects back into content, verified. */
#include "fsp_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "damage.h"
#include "fsp_blocks.h"
#include "fsp_buf.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_file.h"
#include "fsp_log.h"

/* An index in a row: so much is no trouble for any server's settings. */
#define INDEX_MAX (8UL << 20)

struct fetch {
	struct fsp_store *store;
	const struct fsp_ctx *ctx;
	struct fsp_decoder *dec;
	uint64_t stored;
};

static int feed(void *arg, const void *buf, size_t len)
{
	struct fetch *f = arg;
	int err = fsp_ctx_check(f->ctx);

	f->stored += len;
	return err ? err : fsp_decoder_write(f->dec, buf, len);
}

/* What the rows say of an object. */
struct known {
	bool recorded;
	struct fsp_object object;
	enum fsp_format format;
	struct fsp_buf index;
};

static void known_free(struct known *k)
{
	fsp_buf_free(&k->index);
}
#define KNOWN __attribute__((cleanup(known_free)))

/* The format that was recorded, or the PHP library's where nothing was. */
static int look_up(struct fsp_store *s, const struct fsp_ctx *ctx,
                   const char *hash, uint64_t size, struct known *k)
{
	int err = size < FSP_INDEX_MIN ?
		fsp_meta_object_get(s->meta, ctx, hash, &k->object) :
		fsp_meta_object_blocks(s->meta, ctx, hash, &k->object,
		                       &k->index);

	k->recorded = !err;
	if (err == -ENOENT) {
		k->format = s->keys.set ? FSP_FMT_LEGACY : FSP_FMT_PLAIN;
		return 0;
	}
	if (err)
		return err;
	if (fsp_format_parse(k->object.format, &k->format)) {
		fsp_error("object %s: unknown format '%s'", hash,
		          k->object.format);
		return -EIO;
	}
	return 0;
}

int fsp_store_pack(const struct fsp_blocks *b, struct fsp_buf *out)
{
	int err = fsp_blocks_pack(b, out);

	/* More than a server takes in one statement: read whole, then. */
	if (!err && out->len > INDEX_MAX)
		fsp_buf_reset(out);
	return err;
}

/*
 * A reader that verified an object nobody had recorded records it, so that
 * equal content is not stored twice; and so does who found that its index is
 * another. The content is good either way, hence a failure is only logged.
 */
static void record(struct fetch *f, const char *hash, const struct known *k,
                   const struct fsp_digests *d, const struct fsp_blocks *b)
{
	FSP_BUF struct fsp_buf index = FSP_BUF_INIT;
	struct fsp_object o = { .size = d->size, .stored = f->stored };
	int err = 0;

	if (b->n > 1 && d->size >= FSP_INDEX_MIN)
		err = fsp_store_pack(b, &index);
	if (f->store->read_only ||
	    (!err && k->recorded && index.len == k->index.len &&
	     (!index.len || !memcmp(index.data, k->index.data, index.len))))
		return;
	strcpy(o.key, hash);
	strcpy(o.sha256, d->sha256);
	strcpy(o.sha1, d->sha1);
	strcpy(o.format, fsp_format_name(k->format));
	o.verified_us = fsp_now_us();
	o.blocks = &index;
	if (!err)
		err = fsp_meta_object_put(f->store->meta, f->ctx, &o);
	if (err)
		fsp_warn("object %s: not recorded as verified: %s", hash,
		         strerror(-err));
}

/*
 * What is damaged must not be found for new content: the next that has these
 * bytes stores them again, under the same key, which heals every row.
 */
static void unrecord(struct fsp_store *s, const struct fsp_ctx *ctx,
                     const char *hash)
{
	struct fsp_object o = { 0 };
	int err;

	if (s->read_only)
		return;
	strcpy(o.key, hash);
	err = fsp_meta_object_put(s->meta, ctx, &o);
	if (err)
		fsp_warn("object %s: still counts as verified: %s", hash,
		         strerror(-err));
}

struct fd_sink {
	int fd;
	uint64_t off;
};

static int fd_write(void *arg, const void *buf, size_t len)
{
	struct fd_sink *f = arg;
	int err = fsp_pwrite_all(f->fd, buf, len, (off_t)f->off);

	f->off += len;
	return err;
}

static int fd_restart(struct fd_sink *f)
{
	f->off = 0;
	return ftruncate(f->fd, 0) ? -errno : 0;
}

static int fetch_once(struct fetch *f, const char *hash, uint64_t size,
                      enum fsp_format fmt, struct fd_sink *to,
                      struct fsp_digests *d, struct fsp_blocks *b)
{
	int err = fsp_decoder_new(fmt, &f->store->keys, size, fd_write, to,
	                          &f->dec);

	if (err)
		return err;
	f->stored = 0;
	err = fsp_obj_get(f->store->objects, f->ctx, hash, feed, f);
	if (!err)
		err = fsp_decoder_finish(f->dec, d);
	if (!err)
		err = fsp_digests_match(d, hash, size);
	if (!err)
		err = fsp_decoder_blocks(f->dec, b);
	if (err == -E2BIG)      /* of blocks that are too small: read whole */
		err = 0;
	fsp_decoder_free(f->dec);
	f->dec = NULL;
	return err;
}

/*
 * Somebody else may have written the same content over it in another format,
 * PHP for one, and the record is older. The content's hash says which it is.
 */
static int fetch_other(struct fetch *f, const char *hash, uint64_t size,
                       struct known *k, struct fd_sink *to,
                       struct fsp_digests *d, struct fsp_blocks *b)
{
	uint64_t stored;
	int err = fsp_obj_head(f->store->objects, f->ctx, hash, &stored);

	if (err)
		return err;
	err = -EIO;
	for (int i = FSP_FMT_LEGACY; err == -EIO && i < FSP_FORMATS; i++) {
		enum fsp_format fmt = (enum fsp_format)i;

		if (fmt == k->format ||
		    !fsp_format_usable(fmt, &f->store->keys) ||
		    !fsp_format_fits(fmt, size, stored))
			continue;
		err = fd_restart(to);
		if (!err)
			err = fetch_once(f, hash, size, fmt, to, d, b);
		if (err)
			continue;
		fsp_warn("object %s is of the format '%s'", hash,
		         fsp_format_name(fmt));
		k->format = fmt;
		k->recorded = false;
	}
	return err;
}

static int fetch_again(struct fetch *f, const char *hash, uint64_t size,
                       struct known *k, struct fd_sink *to,
                       struct fsp_digests *d, struct fsp_blocks *b)
{
	int err = fetch_once(f, hash, size, k->format, to, d, b);

	if (err != -EIO)
		return err;
	fsp_warn("object %s is damaged; reading it once more", hash);
	err = fd_restart(to);
	if (!err)
		err = fetch_once(f, hash, size, k->format, to, d, b);
	return err == -EIO ? fetch_other(f, hash, size, k, to, d, b) : err;
}

/* Not known to be damaged: it may be there for who has the right keys. */
void fsp_store_refused(const char *hash)
{
	fsp_error("object %s: the store does not let it be read, or it is "
	          "missing", hash);
}

/* -EIO with the log's line and the consequences. */
static int is_bad(struct fsp_store *s, const struct fsp_ctx *ctx,
                  const char *hash, uint64_t size, int err, bool recorded)
{
	char what[80];

	if (err == -ENOENT) {
		damage_met(s, ctx, hash, "is missing from the store");
		return -EIO;
	}
	snprintf(what, sizeof(what), "does not hold the %llu bytes it is "
	         "named for", (unsigned long long)size);
	damage_met(s, ctx, hash, what);
	if (recorded)
		unrecord(s, ctx, hash);
	return -EIO;
}

static int fetch(struct fsp_store *s, const struct fsp_ctx *ctx,
                 const char *hash, uint64_t size, struct fd_sink *to,
                 enum fsp_format *fmt, struct fsp_blocks *b)
{
	struct known k KNOWN = { .recorded = false };
	struct fetch f = { .store = s, .ctx = ctx };
	struct fsp_digests d;
	int err;

	if (!fsp_hash_valid(hash))
		return -EIO;
	err = look_up(s, ctx, hash, size, &k);
	if (err)
		return err;
	err = fetch_again(&f, hash, size, &k, to, &d, b);
	if (err == -EACCES) {
		fsp_store_refused(hash);
		return -EIO;
	}
	if (err == -ENOENT || err == -EIO)
		return is_bad(s, ctx, hash, size, err, k.recorded);
	if (err)
		return err;
	*fmt = k.format;
	damage_mended(s, hash);
	record(&f, hash, &k, &d, b);
	return 0;
}

int fsp_store_fetch_fd(struct fsp_store *s, const struct fsp_ctx *ctx,
                       const char *hash, uint64_t size, int fd,
                       enum fsp_format *f, struct fsp_blocks *b)
{
	struct fd_sink to = { fd, 0 };
	struct fsp_blocks found = { .n = 0 };
	enum fsp_format fmt;
	int err = fetch(s, ctx, hash, size, &to, &fmt, &found);

	if (err && ftruncate(fd, 0))
		fsp_error("object %s: cannot clear a failed read: %s", hash,
		          strerror(errno));
	if (!err && f)
		*f = fmt;
	if (!err && b)
		*b = found;
	else
		fsp_blocks_free(&found);
	return err;
}

int fsp_store_index(struct fsp_store *s, const struct fsp_ctx *ctx,
                    const char *hash, uint64_t size, enum fsp_format *f,
                    struct fsp_blocks *out)
{
	struct known k KNOWN = { .recorded = false };
	int err;

	*out = (struct fsp_blocks){ .n = 0 };
	if (size < FSP_INDEX_MIN || !fsp_hash_valid(hash))
		return 0;               /* reading it whole says what is wrong */
	err = look_up(s, ctx, hash, size, &k);
	if (err)
		return err;
	*f = k.format;
	if (!k.index.len || k.object.size != size)
		return 0;
	err = fsp_blocks_unpack(k.index.data, k.index.len, size, out);
	if (err == -EIO) {
		fsp_warn("object %s: its index of blocks is none", hash);
		err = 0;
	}
	return err;
}
