/*
 * Which version an open file has. open(2), a lock and what was heard of another
 * mount's changes ask the rows, and a clean file goes over to what is live:
 * DESIGN.md, "Attributes and what the kernel believes".
 */
#include "vfs_private.h"

#include <errno.h>

#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"

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
	uint64_t known;
	bool drop, differs;

	FSP_GUARD(&v->lock);
	known = i->news;
	out->keep = i->pages == tag;
	drop = !out->keep && i->pages != PAGES_NONE;
	if (!f->handles)
		old_size = i->attr.size;
	if (drop)
		pages_drop_locked(v, i, f, old_size < size ? old_size : size);
	attr_news_locked(v, i, &e->attr);
	out->stale = !drop && i->news != known;
	out->news = !drop && i->news;
	/* Dropping pages says that of the attributes as well. */
	if (drop)
		i->news = 0;
	i->pages = tag;
	if (i->seq <= b->as_of) {
		differs = attr_differs(&i->attr, &e->attr);
		i->attr = e->attr;
		if (differs)
			inode_changed_locked(v, i);
		else
			i->seq = ++v->seq;
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
	struct fsp_ref ref = { .ino = i->ino };
	uint64_t seen = names_seq(v);
	int err = inode_path(v, i, &path);

	if (err)
		return err == -ESTALE ? fresh_entry(v, i, ctx, e) : err;
	do {
		ref.path = path;
		err = fsp_meta_getattr_at(v->store->meta, ctx, &ref, e);
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

/*
 * Who opens it the first time may have walked by a name that it had before,
 * also when only the question tells of the new one.
 */
static int look_by_name(struct fsp_vfs *v, struct inode *i, struct file *f,
                        const struct fsp_ctx *ctx, bool again,
                        struct fresh *out)
{
	int err;

	if (!again && inode_renamed(v, ctx, i))
		return -ESTALE;
	err = look_again(v, i, f, ctx, true, out);
	return !err && !again && inode_renamed(v, ctx, i) ? -ESTALE : err;
}

/*
 * By its number, or it was removed just now: the open came before that. One of
 * several names that is gone tells nothing of the others, so whoever came by a
 * name that is marked has to look again.
 */
static bool came_first(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                       struct inode *i, bool named, bool gone)
{
	if (gone)
		return !named;
	if (named && (inode_named(v, i) || !inode_unlinked(v, i)))
		return false;
	return !inode_renamed(v, ctx, i);
}

int file_open_live(struct fsp_vfs *v, struct inode *i, struct file *f,
                   const struct fsp_ctx *ctx, bool write, bool *keep)
{
	bool named = inode_named(v, i), gone = inode_unlinked(v, i);
	struct fsp_content found;
	enum retry_state again = retry_take(v, ctx, i->ino, &found);
	struct fresh fresh = { .keep = false };
	int err = look_by_name(v, i, f, ctx, again != RETRY_NO, &fresh);

	if (err == -ESTALE && again != RETRY_NO)
		err = look_again(v, i, f, ctx, false, &fresh);
	if (err == -ESTALE && (again == RETRY_SAME ||
	                       came_first(v, ctx, i, named, gone)))
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
	if (!err && fresh.news)
		attr_tell_news(v, i);
	return err;
}
