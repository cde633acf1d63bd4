/* Attributes: getattr, setattr, statfs. */
#include "vfs_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"

#define NO_END_BYTES (1ULL << 50)       /* free where there is no limit */

void attr_news_locked(struct fsp_vfs *v, struct inode *i,
                      const struct fsp_attr *a)
{
	fsp_assert_held(&v->lock);
	if (is_file(i) && (i->attr.size != a->size ||
	                   i->attr.mtime_ns != a->mtime_ns))
		i->news = ++v->attr_news;
}

void attr_tell_news(struct fsp_vfs *v, struct inode *i)
{
	uint64_t news;

	fsp_lock(&v->lock);
	news = i->news;
	fsp_unlock(&v->lock);
	if (!news)
		return;
	pages_tell(v, i, false);
	fsp_lock(&v->lock);
	if (i->news == news)
		i->news = 0;
	fsp_unlock(&v->lock);
}

bool attr_differs(const struct fsp_attr *a, const struct fsp_attr *b)
{
	return a->mode != b->mode || a->uid != b->uid || a->gid != b->gid ||
		a->nlink != b->nlink || a->size != b->size ||
		a->mtime_ns != b->mtime_ns || a->ctime_ns != b->ctime_ns;
}

void attr_vouch_locked(struct fsp_vfs *v, struct inode *i, int64_t began_ns)
{
	fsp_assert_held(&v->lock);
	i->vouched_ns = began_ns;
	i->vouched_seq = i->seq;
}

void attr_vouch(struct fsp_vfs *v, struct inode *i, int64_t began_ns,
                uint64_t as_of)
{
	FSP_GUARD(&v->lock);
	if (i->seq <= as_of)
		attr_vouch_locked(v, i, began_ns);
}

void attr_touched(struct fsp_vfs *v, struct inode *i, int64_t time_ns)
{
	FSP_GUARD(&v->lock);
	/* An answer that is on its way may be of before this. */
	inode_changed_locked(v, i);
	i->inside_seq = v->seq;
	if (time_ns < i->attr.ctime_ns)
		i->vouched_ns = 0;
	if (i->vouched_ns)
		i->attr.mtime_ns = i->attr.ctime_ns = time_ns;
}

bool attr_known_locked(struct fsp_vfs *v, const struct inode *i)
{
	fsp_assert_held(&v->lock);
	return i->vouched_ns > v->others_ns && i->vouched_ns > i->heard_ns;
}

/*
 * The kernel would not ask, had this mount not changed something in the
 * directory, or read the file: it takes the time of that for unknown then. What
 * has several names is told of under one of them, perhaps another.
 */
static bool is_vouched(struct fsp_vfs *v, struct inode *i)
{
	int64_t keep = fsp_vfs_keep_ns(v, i->ino, fsp_vfs_news(v));

	FSP_GUARD(&v->lock);
	if (!is_dir(i) && (i->attr.nlink > 1 || i->vouched_seq != i->seq))
		return false;
	return attr_known_locked(v, i) && fsp_mono_ns() - i->vouched_ns < keep;
}

static int fresh_attr(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                      struct inode *i)
{
	FSP_FREE char *path = NULL;
	struct fsp_ref ref = { .ino = i->ino };
	struct fsp_entry e;
	int64_t began = fsp_mono_ns();
	uint64_t as_of;
	int err;

	if (is_vouched(v, i))
		return 0;
	err = inode_path_hint(v, i, &path);
	if (err)
		return err;
	ref.path = path;
	as_of = inode_seq(v);
	err = fsp_meta_getattr(v->store->meta, ctx, &ref, &e);
	if (offline(v, err))
		return 0;               /* as it was last known */
	if (!err)
		inode_hold_back(v, &e);
	fsp_lock(&v->lock);
	if (!err)
		offline_note_locked(v, i, &e.content, as_of);
	if (!err && i->seq <= as_of) {
		bool differs = attr_differs(&i->attr, &e.attr);

		attr_news_locked(v, i, &e.attr);
		if (!lazy_waits_locked(i))
			i->attr = e.attr;
		/* Lists of before must not take it back. */
		if (differs)
			inode_changed_locked(v, i);
		attr_vouch_locked(v, i, began);
	}
	fsp_unlock(&v->lock);
	return err;
}

/* Another host has removed it; whoever has it open keeps it. */
static bool removed_open(struct fsp_vfs *v, struct inode *i)
{
	struct file *f;
	bool open;

	if (file_get(v, i, false, &f) || !f)
		return false;
	fsp_lock(&f->lock);
	open = f->handles > 0;
	fsp_unlock(&f->lock);
	file_put(v, i, f);
	fsp_lock(&v->lock);
	if (open)
		i->attr.nlink = 0;
	fsp_unlock(&v->lock);
	return open;
}

/*
 * Made here, written, and not committed: whoever writes asks often (cp does),
 * and the rows know nothing better.
 */
static bool is_ours_alone(struct fsp_vfs *v, struct inode *i)
{
	struct file *f;
	bool ours;

	if (!is_file(i) || file_get(v, i, false, &f) || !f)
		return false;
	fsp_lock(&f->lock);
	ours = f->pending && f->dirty && f->size && f->handles > 0;
	fsp_unlock(&f->lock);
	file_put(v, i, f);
	return ours;
}

int fsp_vfs_getattr(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t ino,
                    struct fsp_attr *out)
{
	struct inode *i;
	int err = inode_ref(v, ino, &i);

	if (err)
		return err;
	/* fstat of what has no name any more: as it was last known. */
	if (i->kind == INODE_LIVE && !inode_unlinked(v, i) &&
	    !is_ours_alone(v, i))
		err = fresh_attr(v, ctx, i);
	if (err == -ESTALE && (inode_lost(v, i) || removed_open(v, i)))
		err = 0;
	if (!err)
		inode_attr(v, i, out);
	/* It may be the kernel's check before an open. */
	if (err == -ESTALE)
		retry_begin(v, ctx, ino);
	inode_unref(v, i);
	return err;
}

/* Attributes that wait for the commit of content that is on its way. */
static uint32_t defer(struct file *f, uint32_t mask, const struct fsp_attr *a,
                      bool *promised)
{
	uint32_t take;

	*promised = false;
	FSP_GUARD(&f->lock);
	/* A commit that is on its way has its attributes already. */
	file_wait_locked(f);
	if (!f->dirty)
		return mask;
	take = mask & (FSP_SET_ATIME | FSP_SET_MTIME);
	if (f->pending)
		take |= mask & (FSP_SET_MODE | FSP_SET_UID | FSP_SET_GID);
	fsp_attr_copy(take & ~(uint32_t)FSP_SET_MTIME, a, &f->attr);
	if (take & FSP_SET_MTIME)
		f->mtime_ns = a->mtime_ns;
	f->attr.ctime_ns = fsp_now_ns();
	f->mask |= take;
	*promised = take && file_saved_locked(f);
	if (*promised)
		f->writes++;
	return mask & ~take;
}

int attr_set_rows(struct fsp_vfs *v, const struct fsp_ctx *ctx, struct inode *i,
                  uint32_t mask, const struct fsp_attr *a)
{
	FSP_FREE char *path = NULL;
	struct fsp_ref ref = { .ino = i->ino };
	struct fsp_attr all = *a;
	struct fsp_entry e;
	int64_t began;
	int err = inode_path_hint(v, i, &path);
	bool lazy;

	if (err)
		return err;
	ref.path = path;
	lazy = lazy_begin(v, i, &mask, &all);
	began = fsp_mono_ns();
	if (mask)
		err = answered(v, fsp_meta_setattr(v->store->meta, ctx, &ref,
		                                   mask, &all, &e));
	if (mask && !err)
		inode_set_attr(v, i, &e.attr, began);
	else if (mask)
		inode_unsure(v, i);
	if (lazy)
		lazy_end(v, i, err);
	return err;
}

/* Of what has no name any more: only this memory knows. */
static void set_unlinked(struct fsp_vfs *v, struct inode *i, uint32_t mask,
                         const struct fsp_attr *a)
{
	FSP_GUARD(&v->lock);
	fsp_attr_copy(mask, a, &i->attr);
	i->attr.ctime_ns = fsp_now_ns();
}

static int set_attr(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                    struct inode *i, uint32_t mask, const struct fsp_attr *a)
{
	struct file *f;
	bool promised = false;
	int err = file_get(v, i, false, &f);

	if (err)
		return err;
	if (f) {
		mask = defer(f, mask, a, &promised);
		file_put(v, i, f);
	}
	/* No close() is to come that would promise these. */
	if (promised)
		err = file_commit(v, i, ctx, COMMIT_FULL);
	if (!mask || err)
		return err;
	if (!inode_unlinked(v, i)) {
		if (lazy_take(v, i, mask, a))
			return 0;
		err = attr_set_rows(v, ctx, i, mask, a);
		if (err != -ESTALE || !inode_lost(v, i))
			return err;
	}
	set_unlinked(v, i, mask, a);
	return 0;
}

static int truncate_handle(struct fsp_handle *h, uint64_t size)
{
	int err = handle_writes(h);

	if (err)
		return err;
	FSP_GUARD(&h->file->lock);
	file_wait_locked(h->file);
	err = file_truncate_locked(h->file, size);
	if (!err)
		pages_resized(h->v, h->file, size);
	return err;
}

static void resizing(struct file *f, int by)
{
	FSP_GUARD(&f->lock);
	f->resizing = (unsigned)((int)f->resizing + by);
	fsp_cond_broadcast(&f->changed);
}

/* truncate(2) by path is a whole open, ftruncate, close. */
static int truncate_path(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                         uint64_t ino, uint64_t size)
{
	struct fsp_opened o;
	int err = fsp_vfs_open_file(v, ctx, ino, O_WRONLY, &o);

	if (err)
		return err;
	/*
	 * Until the kernel knows the new size, a read that is short of the old
	 * one would be zeros to it.
	 */
	resizing(o.handle->file, 1);
	err = truncate_handle(o.handle, size);
	if (!err)
		err = fsp_vfs_flush(o.handle, ctx);
	resizing(o.handle->file, -1);
	fsp_vfs_release(o.handle, ctx);
	return err;
}

static int set_size(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                    struct inode *i, struct fsp_handle *h, uint64_t size)
{
	if (is_dir(i))
		return -EISDIR;
	if (!is_file(i))
		return -EINVAL;
	return h ? truncate_handle(h, size)
	         : truncate_path(v, ctx, i->ino, size);
}

int fsp_vfs_setattr(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t ino,
                    struct fsp_handle *h, uint32_t mask,
                    const struct fsp_attr *attr, struct fsp_attr *out)
{
	struct inode *i;
	int err = inode_ref(v, ino, &i);

	if (err)
		return err;
	if (i->kind != INODE_LIVE || v->store->read_only)
		err = -EROFS;
	else if (mask & FSP_SET_SIZE)
		err = set_size(v, ctx, i, h, attr->size);
	mask &= ~(uint32_t)FSP_SET_SIZE;
	if (!err && mask)
		err = set_attr(v, ctx, i, mask, attr);
	if (!err)
		inode_attr(v, i, out);
	inode_unref(v, i);
	return err;
}

int fsp_vfs_statfs(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                   struct fsp_fsstat *out)
{
	struct fsp_counts c;
	struct fsp_space s;
	int err = counts_get(v, &c);

	if (!err)
		err = fsp_obj_space(v->store->objects, ctx, &s);
	/* A bucket has no end; programs want a number that is not too small. */
	if (err == -ENOTSUP) {
		s = (struct fsp_space){ c.stored_bytes + NO_END_BYTES,
			                NO_END_BYTES, NO_END_BYTES };
		err = 0;
	}
	if (err)
		return err;
	/* With a total of our own, what is used is what the objects take. */
	if (v->total_size) {
		uint64_t left = c.stored_bytes < v->total_size ?
			v->total_size - c.stored_bytes : 0;

		s.total = v->total_size;
		s.free = left;
		s.avail = left < s.avail ? left : s.avail;
	}
	out->total = s.total;
	out->free = s.free;
	out->avail = s.avail;
	out->files = c.files + c.dirs + c.others;
	out->files_free = UINT32_MAX;
	return 0;
}
