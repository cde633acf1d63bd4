/*
 * The content of an open file: base, spool and what is read through both.
 * DESIGN.md, "The content of an open file".
 */
#include "vfs_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"

uint64_t content_tag(const struct fsp_content *c)
{
	uint64_t h = fsp_hash64(c->hash, strlen(c->hash), c->size + 1);

	return h > PAGES_MIXED ? h : PAGES_MIXED + 1;
}

struct file *file_new(void)
{
	struct file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	fsp_mutex_init(&f->lock);
	fsp_cond_init(&f->changed);
	merge_reset_locked(f);
	f->session = 1;                 /* 0: of what a dead mount left */
	return f;
}

int file_get(struct fsp_vfs *v, struct inode *i, bool make, struct file **out)
{
	FSP_GUARD(&v->lock);
	if (!i->file && make) {
		i->file = file_new();
		if (!i->file)
			return -ENOMEM;
	}
	*out = i->file;
	if (i->file)
		i->file->refs++;
	return 0;
}

void base_put(struct base_ref *r)
{
	if (!r || atomic_fetch_sub(&r->refs, 1) != 1)
		return;
	fsp_cached_put(r->cached);
	free(r);
}

void file_free(struct file *f)
{
	early_free(f->early);
	fsp_spool_drop(f->spool);
	fsp_digest_free(f->digest);
	fsp_sum_free(f->sum);
	base_put(f->ref);
	fsp_cond_destroy(&f->changed);
	fsp_mutex_destroy(&f->lock);
	free(f);
}

void file_put(struct fsp_vfs *v, struct inode *i, struct file *f)
{
	bool last;

	fsp_lock(&v->lock);
	last = --f->refs == 0;
	if (last) {
		offline_keep_locked(v, i, f);
		i->file = NULL;
	}
	fsp_unlock(&v->lock);
	if (last)
		file_free(f);
}

bool file_saved_locked(struct file *f)
{
	fsp_assert_held(&f->lock);
	return f->queued && f->writes == f->queued_writes;
}

void file_drop_spool_locked(struct file *f)
{
	fsp_spool_drop(f->spool);
	f->spool = NULL;
}

/* Where the bytes come from now on; the caller sees to spool and dirty. */
void file_set_base_locked(struct file *f, const struct fsp_content *c)
{
	fsp_assert_held(&f->lock);
	if (strcmp(f->base.hash, c->hash) != 0 || f->base.size != c->size) {
		base_put(f->ref);
		f->ref = NULL;
		if (!f->dirty)
			file_drop_digest_locked(f);
	}
	f->base = *c;
	f->base_valid = c->size;
	f->size = c->size;
	f->over_row = c->row;
	f->pending = c->row == 0;
}

bool file_has_extents_locked(struct file *f)
{
	uint64_t start, end;

	return f->spool && fsp_spool_extent(f->spool, 0, &start, &end);
}

/* Is it the base's content, whole and nothing else? */
bool file_is_base_locked(struct file *f)
{
	return f->base.hash[0] && f->size == f->base.size &&
	       f->base_valid == f->size && !file_has_extents_locked(f);
}

/* Until no commit reads the content. */
void file_wait_locked(struct file *f)
{
	fsp_assert_held(&f->lock);
	while (f->busy)
		fsp_cond_wait(&f->changed, &f->lock, 0);
}

/*
 * A handle for the base's bytes: got without the lock, kept where the base is
 * still the same afterwards.
 */
int base_get(struct fsp_vfs *v, struct file *f, const struct fsp_ctx *ctx,
                    struct base_ref **out)
{
	struct fsp_ctx moving = content_ctx(ctx);
	struct fsp_content want;
	struct base_ref *r;
	int err;

	fsp_lock(&f->lock);
	want = f->base;
	r = f->ref;
	if (r)
		atomic_fetch_add(&r->refs, 1);
	fsp_unlock(&f->lock);
	*out = r;
	if (r)
		return 0;

	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	atomic_init(&r->refs, 1);
	err = fsp_cache_get(v->cache, &moving, want.hash, want.size, &r->cached);
	if (err) {
		free(r);
		return err;
	}
	fsp_lock(&f->lock);
	if (!f->ref && strcmp(f->base.hash, want.hash) == 0 &&
	    f->base.size == want.size) {
		f->ref = r;
		atomic_fetch_add(&r->refs, 1);
	}
	fsp_unlock(&f->lock);
	*out = r;
	return 0;
}

enum piece_kind { PIECE_SPOOL, PIECE_BASE, PIECE_ZERO };

/* What the bytes at off are, and for how long. */
static enum piece_kind piece_locked(struct file *f, uint64_t off, uint64_t *len)
{
	uint64_t start = UINT64_MAX, end = 0;
	uint64_t until = f->size;

	if (f->spool && fsp_spool_extent(f->spool, off, &start, &end)) {
		if (start <= off) {
			*len = end - off;
			return PIECE_SPOOL;
		}
		if (start < until)
			until = start;
	}
	if (off < f->base_valid) {
		if (f->base_valid < until)
			until = f->base_valid;
		*len = until - off;
		return PIECE_BASE;
	}
	*len = until - off;
	return PIECE_ZERO;
}

/*
 * One piece, or -EAGAIN: *need bytes of the base have to be fetched first,
 * without the lock; none: r is not, or no longer, what they are in.
 */
static ssize_t read_piece(struct file *f, struct base_ref *r, void *buf,
                          size_t len, uint64_t off, size_t *need)
{
	uint64_t have = 0;

	*need = 0;
	FSP_GUARD(&f->lock);
	if (off >= f->size)
		return 0;
	switch (piece_locked(f, off, &have)) {
	case PIECE_SPOOL:
		return fsp_spool_read(f->spool, buf, len < have ? len : have, off);
	case PIECE_ZERO:
		len = len < have ? len : have;
		memset(buf, 0, len);
		return (ssize_t)len;
	case PIECE_BASE:
		break;
	}
	if (!r || r != f->ref)
		return -EAGAIN;
	*need = len < have ? len : have;
	return fsp_cached_peek(r->cached, buf, *need, off);
}

/*
 * A clean file, the common case: its bytes come from the cache's file with no
 * lock held. -EAGAIN: it is not clean, or they are not at hand.
 */
static ssize_t read_clean(struct file *f, void *buf, size_t len, uint64_t off)
{
	struct base_ref *r = NULL;
	ssize_t n;

	fsp_lock(&f->lock);
	if (!f->dirty && !f->spool && f->ref) {
		r = f->ref;
		atomic_fetch_add(&r->refs, 1);
	}
	fsp_unlock(&f->lock);
	if (!r)
		return -EAGAIN;
	n = fsp_cached_peek(r->cached, buf, len, off);
	base_put(r);
	return n;
}

void file_wait_size(struct file *f, const struct fsp_ctx *ctx)
{
	FSP_GUARD(&f->lock);
	while (f->resizing &&
	       fsp_cond_wait(&f->changed, &f->lock, ctx->deadline_ns) == 0)
		;
}

ssize_t file_read(struct fsp_vfs *v, struct file *f, const struct fsp_ctx *ctx,
                  void *buf, size_t len, uint64_t off)
{
	struct fsp_ctx moving = content_ctx(ctx);
	struct base_ref *r = NULL;
	ssize_t n = read_clean(f, buf, len, off);
	size_t done = 0, need;

	if (n != -EAGAIN)
		return n;
	n = 0;
	while (done < len) {
		n = read_piece(f, r, (char *)buf + done, len - done, off + done,
		               &need);
		if (n == -EAGAIN && need) {
			n = fsp_cached_fill(r->cached, &moving, off + done,
			                    need);
		} else if (n == -EAGAIN) {
			base_put(r);
			r = NULL;
			n = base_get(v, f, ctx, &r);
		} else if (n > 0) {
			done += (size_t)n;
			continue;
		} else {
			break;
		}
		if (n)
			break;
	}
	base_put(r);
	return n < 0 && !done ? n : (ssize_t)done;
}

static void touched_locked(struct file *f)
{
	f->dirty = true;
	f->untouched = false;
	f->writes++;
	f->mtime_ns = fsp_now_ns();
	f->attr.ctime_ns = f->mtime_ns;
	f->mask &= ~(uint32_t)FSP_SET_MTIME;
}

static int spool_ready_locked(struct fsp_vfs *v, struct file *f)
{
	return f->spool ? 0 : fsp_spool_create(v->spool, &f->spool);
}

/* The bytes are in the spool, or the file is torn and will not be committed. */
static int put_bytes_locked(struct fsp_vfs *v, struct file *f, const void *buf,
                            size_t len, uint64_t off)
{
	int err = spool_ready_locked(v, f);

	/* A gap before it is in no extent and above base_valid: zero. */
	if (!err)
		err = fsp_spool_write(f->spool, buf, len, off);
	if (err) {
		f->torn = err;
		f->dirty = true;
		f->untouched = false;
		file_drop_digest_locked(f);
	}
	return err;
}

ssize_t file_write(struct fsp_vfs *v, struct inode *i, struct file *f,
                   const void *buf, size_t len, uint64_t off, bool append)
{
	uint64_t end = off + len;       /* for the kernel */
	int err;

	FSP_GUARD(&f->lock);
	file_wait_locked(f);
	if (append)
		off = f->size;
	if (append && f->append_off == UINT64_MAX)
		f->append_off = off;
	else if (!append && off + len > f->append_off)
		f->append_off = UINT64_MAX;
	err = put_bytes_locked(v, f, buf, len, off);
	if (err)
		return err;
	digest_write_locked(f, buf, len, off);
	if (off + len > f->size)
		f->size = off + len;
	touched_locked(f);
	early_note_locked(v, i, f);
	pages_written(v, f, end);
	file_check_locked(v, f);
	/*
	 * Another mount had appended: the kernel took these bytes for another
	 * place, and has pages that say so.
	 */
	if (off + len != end)
		pages_drop(v, i, f, end);
	return (ssize_t)len;
}

int file_truncate_locked(struct file *f, uint64_t size)
{
	int err = 0;

	fsp_assert_held(&f->lock);
	/* What it grows by is in no extent and above base_valid: zero. */
	if (size < f->size && f->spool)
		err = fsp_spool_cut(f->spool, size);
	if (err)
		return err;
	f->grown = size > f->size ? size : 0;
	if (!size) {
		f->torn = f->failed = 0;        /* begun anew */
		f->kept = false;
	}
	if (f->base_valid > size)
		f->base_valid = size;
	if (f->base_limit > size)
		f->base_limit = size;
	if (f->append_off > size)
		f->append_off = UINT64_MAX;
	digest_cut_locked(f, size);
	f->size = size;
	touched_locked(f);
	return 0;
}

/* Makes a range zero; the file grows over its end only where `grow`. */
int file_zero(struct fsp_vfs *v, struct file *f, uint64_t off, uint64_t len,
              bool grow)
{
	int err = 0;

	FSP_GUARD(&f->lock);
	file_wait_locked(f);
	if (grow && off + len > f->size)
		err = file_truncate_locked(f, off + len);
	if (err || off >= f->size)
		return err;
	if (len > f->size - off)
		len = f->size - off;
	err = spool_ready_locked(v, f);
	if (!err)
		err = fsp_spool_zero(f->spool, off, len);
	if (err)
		return err;
	digest_cut_locked(f, off);
	if (off + len > f->append_off)
		f->append_off = UINT64_MAX;
	touched_locked(f);
	file_check_locked(v, f);
	return 0;
}

int file_grow(struct file *f, uint64_t size)
{
	FSP_GUARD(&f->lock);
	file_wait_locked(f);
	return size <= f->size ? 0 : file_truncate_locked(f, size);
}
