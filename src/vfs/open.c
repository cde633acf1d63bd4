/* Handles: open, create, read, write, close. */
#include "vfs_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"

static bool writable(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY;
}

/* Without the database nothing could be committed: better known at once. */
static int no_writing(int err)
{
	return err == -EHOSTDOWN ? -EROFS : err;
}

/* What lives in .versions never changes. */
static int open_past(struct fsp_vfs *v, struct inode *i, struct file *f,
                     bool write, bool *keep)
{
	if (write)
		return -EROFS;
	fsp_lock(&f->lock);
	file_set_base_locked(f, &i->past->content);
	fsp_unlock(&f->lock);
	fsp_lock(&v->lock);
	*keep = i->pages != PAGES_NONE;
	i->pages = content_tag(&i->past->content);
	fsp_unlock(&v->lock);
	return 0;
}

/*
 * Versions that one open file commits are steps of one. The kernel tells late
 * that it has gone, so it counts as closed once it was flushed, until it is
 * written again.
 */
static void session_locked(struct file *f)
{
	fsp_assert_held(&f->lock);
	if (f->open_writers)
		return;
	f->session++;
	f->session_row = 0;
}

static void session_join_locked(struct fsp_handle *h)
{
	fsp_assert_held(&h->file->lock);
	h->file->open_writers += !h->in_session;
	h->in_session = true;
}

static void session_leave_locked(struct fsp_handle *h)
{
	fsp_assert_held(&h->file->lock);
	h->file->open_writers -= h->in_session;
	h->in_session = false;
}

int handle_writes(struct fsp_handle *h)
{
	int err = lease_fence(h);

	if (err)
		return err;
	FSP_GUARD(&h->file->lock);
	session_join_locked(h);
	return 0;
}

static struct fsp_handle *handle_new(struct fsp_vfs *v, struct inode *i,
                                     struct file *f, int flags)
{
	struct fsp_handle *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	fsp_lock(&v->lock);
	h->id = ++v->handle_ids;
	fsp_unlock(&v->lock);
	atomic_init(&h->refs, 1);
	h->v = v;
	h->inode = i;
	h->file = f;
	h->flags = flags;
	h->commits = writable(flags) || (flags & (O_TRUNC | O_CREAT));
	fsp_lock(&f->lock);
	f->handles++;
	if (h->commits) {
		f->writers++;
		session_locked(f);
		session_join_locked(h);
	}
	fsp_unlock(&f->lock);
	return h;
}

/* All of release but the reference on the inode. */
static void handle_end(struct fsp_handle *h)
{
	bool settle;

	ahead_leave(h);
	fsp_lock(&h->file->lock);
	h->file->handles--;
	if (h->commits)
		h->file->writers--;
	session_leave_locked(h);
	settle = h->file->writers == 0 && h->commits;
	fsp_unlock(&h->file->lock);
	if (settle)
		file_settle(h->v, h->inode);
	handle_unlock(h);
	file_put(h->v, h->inode, h->file);
	free(h->owners);
	free(h);
}

/*
 * From the first change to the commit the kernel's pages are of no version;
 * when there never is a commit, the next open must not keep them.
 */
static void pages_unknown(struct fsp_handle *h)
{
	FSP_GUARD(&h->v->lock);
	h->inode->pages = PAGES_MIXED;
}

static int truncate_on_open(struct fsp_handle *h)
{
	int err;

	pages_unknown(h);
	FSP_GUARD(&h->file->lock);
	file_wait_locked(h->file);
	/* Of an empty file only the times change. */
	err = file_truncate_locked(h->file, 0);
	if (!err)
		pages_resized(h->v, h->file, 0);
	return err;
}

/* With a truncating open the kernel leaves these bits to us. */
static int kill_ids(struct fsp_handle *h, const struct fsp_ctx *ctx)
{
	struct fsp_attr a;
	uint32_t kill = S_ISUID;

	inode_attr(h->v, h->inode, &a);
	if (a.mode & S_IXGRP)
		kill |= S_ISGID;
	if (!(a.mode & kill))
		return 0;
	a.mode &= ~kill;
	return fsp_vfs_setattr(h->v, ctx, h->inode->ino, h, FSP_SET_MODE, &a, &a);
}

/* Takes over the reference on i where it succeeds. */
static int open_inode(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                      struct inode *i, int flags, struct fsp_opened *out)
{
	bool write = writable(flags) || (flags & O_TRUNC);
	struct file *f;
	int err = file_get(v, i, true, &f);

	if (err)
		return err;
	out->keep_cache = out->wait = false;
	if (i->kind == INODE_PAST)
		err = open_past(v, i, f, write, &out->keep_cache);
	else if (writable(flags) && v->store->read_only)
		err = -EROFS;
	else
		err = file_open_live(v, i, f, ctx, write, &out->keep_cache);
	if (write)
		err = no_writing(err);
	if (!err) {
		out->handle = handle_new(v, i, f, flags);
		err = out->handle ? 0 : -ENOMEM;
	}
	if (err) {
		file_put(v, i, f);
		return err;
	}
	if (flags & O_TRUNC)
		err = truncate_on_open(out->handle);
	if (!err && (flags & O_TRUNC) && ctx->uid != 0)
		err = kill_ids(out->handle, ctx);
	if (err)
		handle_end(out->handle);
	else if (pages_pinned(v, f))
		out->wait = out->keep_cache = true;
	return err;
}

int fsp_vfs_open_file(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t ino,
                      int flags, struct fsp_opened *out)
{
	struct inode *i;
	int err = inode_ref(v, ino, &i);

	if (err)
		return err;
	if (is_dir(i))
		err = -EISDIR;
	else if (!is_file(i))
		err = -ENXIO;
	else
		err = open_inode(v, ctx, i, flags, out);
	if (err)
		inode_unref(v, i);
	else if (!writable(flags))
		scan_open(v, i);
	return err;
}

/* A file that was just made: nothing of it is committed. */
static int open_created(struct fsp_vfs *v, struct inode *i, int flags,
                        struct fsp_opened *out)
{
	struct file *f;
	int err = file_get(v, i, true, &f);

	if (err)
		return err;
	fsp_lock(&f->lock);
	f->pending = true;
	f->dirty = f->untouched = true;
	f->writes++;
	if (flags & O_TRUNC)
		f->base_limit = 0;
	f->mtime_ns = i->attr.mtime_ns;
	f->attr = i->attr;
	fsp_unlock(&f->lock);
	out->keep_cache = out->wait = false;
	out->handle = handle_new(v, i, f, flags | O_CREAT);
	if (!out->handle)
		file_put(v, i, f);
	return out->handle ? 0 : -ENOMEM;
}

static int make_pending(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                        struct inode *dir, const char *name, uint32_t mode,
                        struct fsp_entry *e)
{
	FSP_FREE char *path = NULL;
	struct fsp_place at = { .dir_ino = dir->ino, .name = name };
	struct fsp_new what = { .mode = S_IFREG | (mode & 07777),
	                        .uid = ctx->uid, .gid = ctx->gid,
	                        .owner = v->id };
	uint64_t seen = names_seq(v);
	int err = inode_path(v, dir, &path);

	if (err)
		return err;
	do {
		at.dir = path;
		err = answered(v, fsp_meta_create(v->store->meta, ctx, &at,
		                                  &what, e));
	} while ((err == -ENOENT || err == -ESTALE || err == -ENOTDIR) &&
	         path_moved(v, dir, &path, &seen));
	return err;
}

/*
 * The kernel checks permissions before it opens, but not before it creates.
 * Supplementary groups are not known here: where they could matter, no.
 */
static bool may_open(const struct fsp_ctx *ctx, const struct fsp_attr *a,
                     int flags)
{
	uint32_t want = (flags & O_ACCMODE) == O_RDONLY ? 4
		: (flags & O_ACCMODE) == O_WRONLY ? 2 : 6;
	uint32_t group = a->mode >> 3 & 7, other = a->mode & 7, have;

	if (flags & O_TRUNC)
		want |= 2;
	if (ctx->uid == a->uid)
		have = a->mode >> 6 & 7;
	else
		have = ctx->gid == a->gid ? group : group & other;
	return ctx->uid == 0 || (have & want) == want;
}

/*
 * It appeared since the kernel looked. Where only the kernel can tell whether
 * the caller may, it has to look again.
 */
static int open_existing(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                         struct inode *d, const char *name, int flags,
                         struct fsp_attr *attr, struct fsp_opened *out)
{
	struct inode *i;
	int err = fsp_vfs_lookup(v, ctx, d->ino, name, attr);

	if (err)
		return err == -ENOENT ? -ESTALE : err;
	err = inode_ref(v, attr->ino, &i);
	if (!err) {
		err = is_file(i) && may_open(ctx, attr, flags) ?
			open_inode(v, ctx, i, flags, out) : -ESTALE;
		if (err)
			inode_unref(v, i);
	}
	if (err)
		fsp_vfs_forget(v, attr->ino, 1);
	return err;
}

int fsp_vfs_create(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t dir,
                   const char *name, uint32_t mode, int flags,
                   struct fsp_attr *attr, struct fsp_opened *out)
{
	struct inode *d, *i;
	struct fsp_entry e;
	int err = inode_ref(v, dir, &d);

	if (err)
		return err;
	if (d->kind != INODE_LIVE || v->store->read_only)
		err = -EROFS;
	else if (strcmp(name, v->versions_dir) == 0)
		err = -EEXIST;
	else
		err = lazy_flush(v, ctx, d);
	if (!err)
		err = no_writing(make_pending(v, ctx, d, name, mode, &e));
	attr_touched(v, d, err ? 0 : e.attr.ctime_ns);
	if (!err)
		err = inode_enter(v, d, name, &e, UINT64_MAX, true, &i, attr);
	if (err == -EEXIST && !(flags & O_EXCL)) {
		/*
		 * The kernel takes what a creation says of the file for newer
		 * than all it was told meanwhile: it is to look and to open.
		 */
		err = ctx->tid && !retry_makes(v, ctx, d, name) ? -ESTALE :
			open_existing(v, ctx, d, name, flags, attr, out);
		if (err == -ESTALE)
			retry_begin(v, ctx, 0);
		inode_unref(v, d);
		return err;
	}
	inode_unref(v, d);
	if (err)
		return err;
	err = open_created(v, i, flags, out);
	if (err) {
		inode_unref(v, i);
		fsp_vfs_forget(v, attr->ino, 1);
	}
	return err;
}

ssize_t fsp_vfs_read(struct fsp_handle *h, const struct fsp_ctx *ctx, void *buf,
                     size_t len, uint64_t off)
{
	ssize_t n;

	file_wait_size(h->file, ctx);
	n = file_read(h->v, h->file, ctx, buf, len, off);
	if (n > 0)
		ahead_note(h, off, (uint64_t)n);
	return n;
}

ssize_t fsp_vfs_write(struct fsp_handle *h, const struct fsp_ctx *ctx,
                      const void *buf, size_t len, uint64_t off, bool append)
{
	int err;

	(void)ctx;      /* the spool is local and waits for nothing */
	if (!writable(h->flags))
		return -EBADF;
	err = handle_writes(h);
	if (err)
		return err;
	pages_unknown(h);
	return file_write(h->v, h->inode, h->file, buf, len, off, append);
}

int fsp_vfs_fallocate(struct fsp_handle *h, int mode, uint64_t off, uint64_t len)
{
	bool keep = mode & FALLOC_FL_KEEP_SIZE;
	int err;

	if (!writable(h->flags))
		return -EBADF;
	err = handle_writes(h);
	if (err)
		return err;
	switch (mode & ~FALLOC_FL_KEEP_SIZE) {
	case 0:
		/* Nothing can be reserved in an object store. */
		return keep ? 0 : file_grow(h->file, off + len);
	case FALLOC_FL_PUNCH_HOLE:
		return keep ? file_zero(h->v, h->file, off, len, false)
		            : -EOPNOTSUPP;
	case FALLOC_FL_ZERO_RANGE:
		return file_zero(h->v, h->file, off, len, !keep);
	}
	return -EOPNOTSUPP;
}

void fsp_vfs_wait_pages(struct fsp_handle *h, struct fsp_pages_wait *w)
{
	pages_wait(h->v, h->inode, h->file, w);
}

/* The kernel gives up locks with the descriptor: stored before that. */
static bool is_locked(struct fsp_handle *h)
{
	FSP_GUARD(&h->file->lock);
	return h->flocked || h->file->posix_locked;
}

int fsp_vfs_flush(struct fsp_handle *h, const struct fsp_ctx *ctx)
{
	int err;

	handle_closes(h);
	if (!h->commits)
		return 0;
	err = file_close(h->v, h->inode, ctx,
	                 is_locked(h) ? COMMIT_FLUSH_STORED : COMMIT_FLUSH);
	FSP_GUARD(&h->file->lock);
	session_leave_locked(h);
	return err;
}

int fsp_vfs_fsync(struct fsp_handle *h, const struct fsp_ctx *ctx)
{
	struct fsp_ctx sync = *ctx;
	int err = file_commit(h->v, h->inode, ctx, COMMIT_SYNC);

	/* The content may have taken longer than a call has. */
	sync.deadline_ns = fsp_mono_ns() + fsp_vfs_patience(h->v);
	/* What was renamed or changed in mode before is durable, too. */
	return err || h->inode->kind != INODE_LIVE || h->v->store->read_only ?
		err : fsp_meta_sync(h->v->store->meta, &sync);
}

void fsp_vfs_hold(struct fsp_handle *h)
{
	atomic_fetch_add(&h->refs, 1);
}

void fsp_vfs_release(struct fsp_handle *h, const struct fsp_ctx *ctx)
{
	struct fsp_vfs *v = h->v;
	struct inode *i = h->inode;

	(void)ctx;      /* nobody waits for a release */
	if (atomic_fetch_sub(&h->refs, 1) != 1)
		return;
	handle_end(h);
	inode_unref(v, i);
}
