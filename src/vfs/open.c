/* Handles: open, create, read, write, close. */
#include "vfs_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_log.h"
#include "fsp_path.h"

static bool writable(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY;
}

/* What open(2) asks of the store: the row that is live now. */
static int fresh_entry(struct fsp_vfs *v, struct inode *i,
                       const struct fsp_ctx *ctx, struct fsp_entry *e)
{
	FSP_FREE char *path = NULL;
	struct fsp_ref ref = { .ino = i->ino };
	int err = inode_path_hint(v, i, &path);

	if (err)
		return err;
	ref.path = path;
	return fsp_meta_getattr(v->store->meta, ctx, &ref, e);
}

bool file_behind(struct file *f, const struct fsp_content *c)
{
	FSP_GUARD(&f->lock);
	return f->handles && !f->dirty && content_tag(&f->base) != content_tag(c);
}

/* What was so before the row was read. */
struct before {
	uint64_t writes, as_of;
	int64_t began_ns;
};

/* Under f->lock, so that nobody has seen the new content yet. */
static void switched(struct fsp_vfs *v, struct inode *i, struct file *f,
                     const struct fsp_entry *e, const struct before *b,
                     uint64_t old_size, struct fresh *out)
{
	uint64_t tag = content_tag(&e->content), size = e->content.size;
	bool drop;

	FSP_GUARD(&v->lock);
	out->keep = i->pages == tag;
	drop = !out->keep && i->pages != PAGES_NONE;
	if (!f->handles)
		old_size = i->attr.size;
	if (drop)
		pages_drop_locked(v, i, f, old_size < size ? old_size : size);
	out->stale = !drop && (i->attr.size != e->attr.size ||
	                       i->attr.mtime_ns != e->attr.mtime_ns);
	i->pages = tag;
	if (i->seq <= b->as_of) {
		if (attr_differs(&i->attr, &e->attr))
			inode_changed_locked(v, i);
		else
			i->seq = ++v->seq;
		i->attr = e->attr;
		attr_vouch_locked(v, i, b->began_ns);
	}
}

/*
 * open(2) means a name. Where another host has renamed or replaced it since the
 * kernel looked it up, the inode is not what is there now: -ESTALE makes the
 * kernel look again (retry.c).
 */
static int named_entry(struct fsp_vfs *v, struct inode *i,
                       const struct fsp_ctx *ctx, struct fsp_entry *e)
{
	FSP_FREE char *path = NULL;
	uint64_t seen = names_seq(v);
	int err = inode_path(v, i, &path);

	if (err)
		return err == -ESTALE ? fresh_entry(v, i, ctx, e) : err;
	do {
		FSP_FREE char *dir = NULL;
		FSP_FREE char *name = NULL;

		err = fsp_path_split(path, &dir, &name);
		if (!err)
			err = fsp_meta_lookup(v->store->meta, ctx, dir, name,
			                      true, e);
		if (err == -ENOENT || err == -ENOTDIR ||
		    (!err && e->attr.ino != i->ino))
			err = -ESTALE;
	} while (err == -ESTALE && path_moved(v, i, &path, &seen));
	return err;
}

/*
 * Made here, and another mount has written it before anybody did here: that is
 * its content. Attributes that wait for a commit need one, and who has emptied
 * it replaces what others write.
 */
static bool takes_first_locked(const struct file *f, const struct fsp_entry *e)
{
	return f->untouched && f->base_limit && !f->busy && !f->queued &&
	       !f->failed && !f->mask && e->content.row;
}

/*
 * A clean file takes the version that is live now; a dirty one goes on with
 * what it has. false: the file has changed here since, and the entry may be of
 * before that.
 */
static bool revalidate(struct fsp_vfs *v, struct inode *i, struct file *f,
                       const struct fsp_entry *e, const struct before *b,
                       struct fresh *out)
{
	uint64_t old_size;

	*out = (struct fresh){ .keep = true };
	FSP_GUARD(&f->lock);
	if (f->dirty && !takes_first_locked(f, e)) {
		out->behind = e->content.row != f->over_row;
		return true;
	}
	if (f->writes != b->writes)
		return false;
	if (f->dirty) {
		f->dirty = f->untouched = false;
		merge_reset_locked(f);
	}
	old_size = f->size;
	/* Whoever asked before must not take it back. */
	if (e->content.row != f->base.row ||
	    content_tag(&e->content) != content_tag(&f->base))
		f->writes++;
	file_set_base_locked(f, &e->content);
	switched(v, i, f, e, b, old_size, out);
	return true;
}

static int look_again(struct fsp_vfs *v, struct inode *i, struct file *f,
                      const struct fsp_ctx *ctx, bool by_name,
                      struct fresh *out)
{
	struct fsp_entry e;
	struct before b;
	int err;

	*out = (struct fresh){ .keep = true };
	do {
		b.as_of = inode_seq(v);
		b.began_ns = fsp_mono_ns();
		fsp_lock(&f->lock);
		b.writes = f->writes;
		fsp_unlock(&f->lock);
		err = by_name ? named_entry(v, i, ctx, &e)
		              : fresh_entry(v, i, ctx, &e);
	} while (!err && !revalidate(v, i, f, &e, &b, out));
	return err;
}

int file_revalidate(struct fsp_vfs *v, struct inode *i, struct file *f,
                    const struct fsp_ctx *ctx, struct fresh *out)
{
	return look_again(v, i, f, ctx, false, out);
}

/*
 * It lost its name here: through /proc/self/fd an open file opens again, and
 * an open that raced with the removal came first.
 */
static int open_unlinked(struct fsp_vfs *v, struct inode *i, struct file *f,
                         bool *keep)
{
	struct past *past;

	names_settle(v);
	fsp_lock(&v->lock);
	past = i->unlinked ? i->past : NULL;
	/* The last content may be another host's. */
	*keep = !past || i->pages == content_tag(&past->content);
	if (!*keep)
		i->pages = PAGES_MIXED;
	fsp_unlock(&v->lock);
	FSP_GUARD(&f->lock);
	if (f->handles)
		return 0;
	if (!past)
		return -ESTALE;
	if (!f->dirty)
		file_set_base_locked(f, &past->content);
	return 0;
}

/* Another host has replaced it since this very call looked it up. */
static int open_found(struct fsp_vfs *v, struct inode *i, struct file *f,
                      const struct fsp_content *found, bool *keep)
{
	fsp_lock(&f->lock);
	if (!f->dirty)
		file_set_base_locked(f, found);
	fsp_unlock(&f->lock);
	FSP_GUARD(&v->lock);
	*keep = false;
	i->pages = PAGES_MIXED;
	return 0;
}

/* Without the database nothing could be committed: better known at once. */
static int no_writing(int err)
{
	return err == -EHOSTDOWN ? -EROFS : err;
}

static int open_live(struct fsp_vfs *v, struct inode *i,
                     const struct fsp_ctx *ctx, struct file *f, bool write,
                     bool *keep)
{
	bool named = inode_named(v, i), gone = inode_unlinked(v, i);
	struct fsp_content found;
	enum retry_state again = retry_take(v, ctx, i->ino, &found);
	struct fresh fresh = { .keep = false };
	int err;

	if (inode_renamed(v, i) && again == RETRY_NO)
		err = -ESTALE;
	else
		err = look_again(v, i, f, ctx, true, &fresh);
	if (err == -ESTALE && again != RETRY_NO)
		err = look_again(v, i, f, ctx, false, &fresh);
	/* By its number, or it was removed just now: the open came first. */
	if (err == -ESTALE && (again == RETRY_SAME || !named ||
	                       (!gone && inode_unlinked(v, i) &&
	                        !inode_named(v, i) && !inode_renamed(v, i))))
		return open_unlinked(v, i, f, keep);
	if (err == -ESTALE && again == RETRY_FOUND)
		return open_found(v, i, f, &found, keep);
	if (err == -ESTALE) {
		inode_moved_on(v, i);
		retry_begin(v, ctx, i->ino);
	}
	*keep = fresh.keep;
	if (offline(v, err) && !write)
		return offline_open(v, i, f, keep);
	if (!err && fresh.stale && v->options.stale)
		v->options.stale(v->options.arg, i->ino, false);
	return write ? no_writing(err) : err;
}

/* What lives in .versions never changes. */
static int open_past(struct fsp_vfs *v, struct inode *i, struct file *f,
                     int flags, bool *keep)
{
	if (writable(flags) || (flags & O_TRUNC))
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
	struct file *f;
	int err = file_get(v, i, true, &f);

	if (err)
		return err;
	out->keep_cache = out->wait = false;
	if (i->kind == INODE_PAST)
		err = open_past(v, i, f, flags, &out->keep_cache);
	else if (writable(flags) && v->store->read_only)
		err = -EROFS;
	else
		err = open_live(v, i, ctx, f,
		                writable(flags) || (flags & O_TRUNC),
		                &out->keep_cache);
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
		err = open_existing(v, ctx, d, name, flags, attr, out);
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
