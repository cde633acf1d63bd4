/* Objects back into content, verified. */
#include "fsp_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "damage.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_file.h"
#include "fsp_log.h"

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

/* The format that was recorded, or the PHP library's where nothing was. */
static int object_format(struct fsp_store *s, const struct fsp_ctx *ctx,
                         const char *hash, enum fsp_format *f, bool *recorded)
{
	struct fsp_object o;
	int err = fsp_meta_object_get(s->meta, ctx, hash, &o);

	*recorded = !err;
	if (err == -ENOENT) {
		*f = s->keys.set ? FSP_FMT_LEGACY : FSP_FMT_PLAIN;
		return 0;
	}
	if (err)
		return err;
	if (fsp_format_parse(o.format, f)) {
		fsp_error("object %s: unknown format '%s'", hash, o.format);
		return -EIO;
	}
	return 0;
}

/*
 * A reader that verified an object nobody had recorded records it, so that
 * equal content is not stored twice. The content is good either way, hence a
 * failure is only logged.
 */
static void record(struct fetch *f, const char *hash, enum fsp_format fmt,
                   const struct fsp_digests *d)
{
	struct fsp_object o = { 0 };
	int err;

	if (f->store->read_only)
		return;
	strcpy(o.key, hash);
	strcpy(o.sha256, d->sha256);
	strcpy(o.sha1, d->sha1);
	strcpy(o.format, fsp_format_name(fmt));
	o.size = d->size;
	o.stored = f->stored;
	o.verified_us = fsp_now_us();
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
                      struct fsp_digests *d)
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
	fsp_decoder_free(f->dec);
	f->dec = NULL;
	return err;
}

/*
 * Somebody else may have written the same content over it in another format,
 * PHP for one, and the record is older. The content's hash says which it is.
 */
static int fetch_other(struct fetch *f, const char *hash, uint64_t size,
                       enum fsp_format *fmt, struct fd_sink *to,
                       struct fsp_digests *d)
{
	enum fsp_format was = *fmt;
	int err = -EIO;

	for (int i = FSP_FMT_LEGACY; err == -EIO && i < FSP_FORMATS; i++) {
		*fmt = (enum fsp_format)i;
		if (*fmt == was || !fsp_format_usable(*fmt, &f->store->keys))
			continue;
		err = fd_restart(to);
		if (!err)
			err = fetch_once(f, hash, size, *fmt, to, d);
	}
	return err;
}

static int fetch(struct fsp_store *s, const struct fsp_ctx *ctx,
                 const char *hash, uint64_t size, struct fd_sink *to)
{
	struct fetch f = { .store = s, .ctx = ctx };
	struct fsp_digests d;
	enum fsp_format fmt, was;
	bool recorded;
	char what[80];
	int err;

	if (!fsp_hash_valid(hash))
		return -EIO;
	err = object_format(s, ctx, hash, &fmt, &recorded);
	if (err)
		return err;
	err = fetch_once(&f, hash, size, fmt, to, &d);
	if (err == -EIO) {
		fsp_warn("object %s is damaged; reading it once more", hash);
		err = fd_restart(to);
		if (!err)
			err = fetch_once(&f, hash, size, fmt, to, &d);
		was = fmt;
		if (err == -EIO)
			err = fetch_other(&f, hash, size, &fmt, to, &d);
		if (!err && fmt != was) {
			fsp_warn("object %s is of the format '%s'", hash,
			         fsp_format_name(fmt));
			recorded = false;
		}
	}
	if (err == -ENOENT) {
		damage_met(s, ctx, hash, "is missing from the store");
		err = -EIO;
	} else if (err == -EIO) {
		snprintf(what, sizeof(what), "does not hold the %llu bytes it "
		         "is named for", (unsigned long long)size);
		damage_met(s, ctx, hash, what);
		if (recorded)
			unrecord(s, ctx, hash);
	}
	if (!err)
		damage_mended(s, hash);
	if (!err && !recorded)
		record(&f, hash, fmt, &d);
	return err;
}

int fsp_store_fetch_fd(struct fsp_store *s, const struct fsp_ctx *ctx,
                       const char *hash, uint64_t size, int fd)
{
	struct fd_sink f = { fd, 0 };
	int err = fetch(s, ctx, hash, size, &f);

	if (err && ftruncate(fd, 0))
		fsp_error("object %s: cannot clear a failed read: %s", hash,
		          strerror(errno));
	return err;
}
