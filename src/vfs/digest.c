/*
 * What a content is called, while it is being written. DESIGN.md, "Hashing
 * behind the writer".
 */
#include "vfs_private.h"

#include <errno.h>
#include <stdlib.h>

#include "fsp_cleanup.h"
#include "fsp_log.h"

#define PIECE (1U << 20)

static uint64_t summed(const struct file *f)
{
	return f->sum ? fsp_sum_size(f->sum) : 0;
}

uint64_t digest_behind_locked(struct file *f)
{
	fsp_assert_held(&f->lock);
	return f->digest && !f->hashing ? summed(f) - f->hashed : 0;
}

void file_drop_digest_locked(struct file *f)
{
	/* Who is at it frees it. */
	if (f->digest != f->hashing)
		fsp_digest_free(f->digest);
	f->digest = NULL;
	fsp_sum_free(f->sum);
	f->sum = NULL;
	f->hashed = 0;
	early_drop_locked(f);
}

/* Without memory for it the commit reads and hashes it all. */
static void begin_locked(struct file *f)
{
	f->no_early = f->no_follow = false;
	if (fsp_sum_new(&f->sum))
		f->sum = NULL;
	else if (fsp_digest_new(&f->digest))
		f->digest = NULL;
	if (!f->digest)
		file_drop_digest_locked(f);
}

void digest_write_locked(struct file *f, const void *buf, size_t len,
                         uint64_t off)
{
	fsp_assert_held(&f->lock);
	if (!f->sum && off == 0 && f->size == 0)
		begin_locked(f);
	if (!f->sum || off > summed(f))
		return;                 /* beyond what is known: still good */
	if (off < summed(f)) {
		file_drop_digest_locked(f);
		return;
	}
	fsp_sum_add(f->sum, buf, len);
	if (f->hashing || off > f->hashed || off + len > EARLY_MIN)
		return;                 /* behind him, or by the commit */
	if (fsp_digest_update(f->digest, buf, len))
		file_drop_digest_locked(f);
	else
		f->hashed += len;
}

void digest_cut_locked(struct file *f, uint64_t off)
{
	if (summed(f) > off)
		file_drop_digest_locked(f);
}

struct fsp_digest *digest_take_locked(struct file *f)
{
	fsp_assert_held(&f->lock);
	while (f->hashing)
		fsp_cond_wait(&f->changed, &f->lock, 0);
	f->hashing = f->digest;
	return f->digest;
}

void digest_give_locked(struct file *f, struct fsp_digest *d, uint64_t added,
                        int err)
{
	fsp_assert_held(&f->lock);
	f->hashing = NULL;
	if (f->digest != d)
		fsp_digest_free(d);     /* it was dropped meanwhile */
	else if (err)
		file_drop_digest_locked(f);
	else
		f->hashed += added;
	fsp_cond_broadcast(&f->changed);
}

/*
 * *off: how far it came. What cannot be read may be readable later, and then it
 * is compared with what was written all the same.
 */
static int hash_rest(struct fsp_vfs *v, struct file *f,
                     const struct fsp_ctx *ctx, struct fsp_digest *d,
                     uint64_t *off, uint64_t end)
{
	FSP_FREE char *buf = *off < end ? malloc(PIECE) : NULL;

	if (*off < end && !buf)
		return -ENOMEM;
	while (*off < end) {
		uint64_t left = end - *off;
		size_t want = left < PIECE ? (size_t)left : PIECE;
		ssize_t n = file_read(v, f, ctx, buf, want, *off);
		int err;

		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		err = fsp_digest_update(d, buf, (size_t)n);
		if (err) {
			/* What it has now nobody knows. */
			FSP_GUARD(&f->lock);
			if (f->digest == d)
				file_drop_digest_locked(f);
			return err;
		}
		*off += (uint64_t)n;
	}
	return 0;
}

/* What was hashed has been in the spool meanwhile: is it what was written? */
static int get_locked(struct file *f, struct fsp_digests *out)
{
	int err = fsp_digest_get(f->digest, out);

	if (!err && out->sum != fsp_sum_get(f->sum)) {
		fsp_error("content changed in the spool while it was written");
		err = -EIO;
	}
	return err;
}

int file_digests(struct fsp_vfs *v, struct file *f, const struct fsp_ctx *ctx,
                 struct fsp_digests *out)
{
	struct fsp_digest *d;
	uint64_t from, off, end;
	int err;

	fsp_lock(&f->lock);
	d = digest_take_locked(f);
	from = off = f->hashed;
	end = f->size;
	if (!d || summed(f) != end) {
		f->hashing = NULL;
		fsp_unlock(&f->lock);
		return -ENOENT;
	}
	fsp_unlock(&f->lock);
	err = hash_rest(v, f, ctx, d, &off, end);
	FSP_GUARD(&f->lock);
	digest_give_locked(f, d, off - from, 0);
	if (!err && (f->digest != d || f->size != end))
		err = -ENOENT;
	return err ? err : get_locked(f, out);
}
