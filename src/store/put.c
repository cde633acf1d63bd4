/*
 * Content into the object store: digest, look for a verified object with the
 * same content, else encode and put. The first pass is for the digest alone:
 * it is what says whether anything has to be compressed. In the second, this
 * thread reads, sums, encrypts and hands on, the pool compresses, and the
 * object store sends, all at once.
 */
#include "fsp_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "damage.h"
#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_log.h"
#include "seen.h"
#include "upload.h"

#define SAMPLE (64 * 1024)
#define SAMPLE_LEAST 512        /* what is shorter costs little either way */

static int digest_step(void *arg, const void *buf, size_t len)
{
	return fsp_digest_update(arg, buf, len);
}

static int digest_content(const struct reader *r, const struct fsp_ctx *ctx,
                          struct fsp_digests *out)
{
	struct fsp_digest *d;
	int err = fsp_digest_new(&d);

	if (err)
		return err;
	err = read_from(r, ctx, 0, digest_step, d);
	if (!err)
		err = fsp_digest_get(d, out);
	fsp_digest_free(d);
	return err;
}

/* From off, all of len. */
static int read_piece(const struct reader *r, char *buf, size_t len,
                      uint64_t off)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = r->source(r->arg, buf + got, len - got, off + got);

		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		got += (size_t)n;
	}
	return 0;
}

/*
 * Would compression hardly make it smaller? Looked at are its beginning, middle
 * and end: a photograph has headers, an archive a directory.
 */
static int sample(const struct reader *r, bool *incompressible)
{
	size_t len = r->size < SAMPLE ? (size_t)r->size : SAMPLE;
	int parts = r->size > SAMPLE ? 3 : 1;
	size_t all = 0, packed = 0;
	FSP_FREE char *buf = malloc(len);

	*incompressible = false;
	if (r->size < SAMPLE_LEAST)
		return 0;
	if (!buf)
		return -ENOMEM;
	for (int i = 0; i < parts; i++) {
		size_t n;
		int err = read_piece(r, buf, len, (r->size - len) / 2 *
		                     (uint64_t)i);

		if (!err)
			err = fsp_compress_sample(buf, len, &n);
		if (err)
			return err;
		all += len;
		packed += n;
	}
	*incompressible = is_incompressible(all, packed);
	return 0;
}

static int choose_format(const struct fsp_store *s, const struct reader *r,
                         enum fsp_format *f)
{
	bool incompressible = false;
	int err = s->sampling ? sample(r, &incompressible) : 0;

	*f = incompressible ? fsp_format_stored(s->format) : s->format;
	return err;
}

/*
 * Is the recorded object really there, in the right size? 0 yes, -ENOENT no:
 * it must be put again, which heals every row that names it. A copy of a tree
 * meets the same content again and again: one look serves for a while.
 */
static int still_there(struct fsp_store *s, const struct fsp_ctx *ctx,
                       const struct fsp_object *o)
{
	int64_t now = fsp_mono_ns();
	uint64_t stored;
	int err;

	if (seen_is(s->seen, o))
		return 0;
	err = fsp_obj_head(s->objects, ctx, o->key, &stored);
	if (!err && stored == o->stored) {
		seen_note(s->seen, o, now);
		return 0;
	}
	if (err && err != -ENOENT)
		return err;
	fsp_warn("object %s is %s; storing it again", o->key,
	         err ? "missing" : "of the wrong size");
	return -ENOENT;
}

void fsp_store_recorded(struct fsp_store *s, const struct fsp_object *o)
{
	seen_recorded(s->seen, o);
}

int fsp_store_put(struct fsp_store *s, const struct fsp_ctx *ctx,
                  const struct fsp_put *p, struct fsp_object *out,
                  struct fsp_buf *index, bool *reused)
{
	struct reader r = { p->source, p->arg, p->size };
	struct fsp_digests d;
	enum fsp_format f;
	int err = 0;

	if (p->known)
		d = *p->known;
	else
		err = digest_content(&r, ctx, &d);
	if (err)
		return err;
	*reused = seen_find(s->seen, d.sha256, p->size, out);
	if (*reused)
		return 0;
	err = fsp_meta_object_find(s->meta, ctx, d.sha256, d.sha1, p->size,
	                           out);
	if (!err)
		err = still_there(s, ctx, out);
	else if (err == -ENOENT)
		strcpy(out->key, s->sha1_names ? d.sha1 : d.sha256);
	if (!err)
		*reused = true;
	if (err != -ENOENT)
		return err;

	err = 0;
	if (p->early)
		f = fsp_early_format(p->early);
	else
		err = choose_format(s, &r, &f);
	if (err)
		return err;
	strcpy(out->sha256, d.sha256);
	strcpy(out->sha1, d.sha1);
	out->size = p->size;
	strcpy(out->format, fsp_format_name(f));
	err = upload(s, ctx, &r, &d, f, p->early, out, index);
	out->blocks = p->size >= FSP_INDEX_MIN ? index : NULL;
	out->verified_us = fsp_now_us();
	if (!err) {
		damage_mended(s, out->key);
		seen_note(s->seen, out, fsp_mono_ns());
	}
	return err;
}
