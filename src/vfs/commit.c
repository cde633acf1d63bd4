/*
 * From an open file's content to a committed row.
 *
 *   clean -> dirty          a write, a truncation, a creation
 *   dirty -> busy           a commit begins: nobody writes meanwhile
 *   busy  -> clean          object durable, row committed
 *   busy  -> dirty, failed  the error goes to close() or fsync()
 *
 * After an error only fsync() tries again, close() repeats it; what is still
 * dirty when the last handle goes is kept in the spool, never committed.
 */
#include "back.h"
#include "vfs_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_blocks.h"
#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_log.h"
#include "fsp_path.h"

#define MERGES_MAX 100  /* other hosts' commits of one file during one of ours */

struct fsp_ctx content_ctx(const struct fsp_ctx *ctx)
{
	struct fsp_ctx c = *ctx;

	c.deadline_ns = 0;
	return c;
}

struct source {
	struct fsp_vfs *v;
	struct file *f;
	const struct fsp_ctx *ctx;
};

static ssize_t source_read(void *arg, void *buf, size_t len, uint64_t off)
{
	struct source *s = arg;

	return file_read(s->v, s->f, s->ctx, buf, len, off);
}

/* -ENOENT: they are not. */
static int known_digests(struct fsp_vfs *v, struct file *f,
                         const struct fsp_ctx *ctx, struct fsp_digests *out)
{
	if (!f->snap)
		return file_digests(v, f, ctx, out);
	if (!f->snap->has_digests)
		return -ENOENT;
	*out = f->snap->digests;
	return 0;
}

/* The whole base, unchanged: its row's object serves, and nothing is moved. */
static int object_of_base(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                          const struct fsp_content *base, struct fsp_object *o)
{
	int err = fsp_meta_object_get(v->store->meta, ctx, base->hash, o);

	if (err != -ENOENT)
		return err;
	memset(o, 0, sizeof(*o));       /* not verified: stored 0 */
	strcpy(o->key, base->hash);
	o->size = base->size;
	return 0;
}

static int store_content(struct fsp_vfs *v, struct file *f,
                         const struct fsp_ctx *ctx, struct fsp_object *o,
                         struct fsp_buf *index)
{
	struct fsp_ctx moving = content_ctx(ctx);
	struct source s = { v, f, &moving };
	struct fsp_put put = { .source = source_read, .arg = &s };
	struct fsp_digests known;
	struct fsp_content base;
	struct early *early;
	bool whole, reused;
	int err;

	fsp_lock(&f->lock);
	whole = file_is_base_locked(f);
	base = f->base;
	put.size = f->size;
	early = early_take_locked(f);
	fsp_unlock(&f->lock);
	if (whole) {
		early_free(early);
		return object_of_base(v, &moving, &base, o);
	}
	err = known_digests(v, f, &moving, &known);
	/* Without digests nobody knows whether it is still this content. */
	if (!err) {
		put.known = &known;
		put.early = early_work(early, put.size);
	}
	if (!err || err == -ENOENT)
		err = fsp_store_put(v->store, &moving, &put, o, index, &reused);
	early_free(early);
	return err;
}

/* The spool's file, where it holds everything, saves a later reader a fetch. */
void offer_to_cache(struct fsp_vfs *v, struct file *f,
                           const struct fsp_object *o)
{
	struct fsp_blocks b = { .n = 0 };
	enum fsp_format fmt = v->store->format;
	int err;

	fsp_lock(&f->lock);
	err = f->spool && fsp_spool_complete(f->spool, f->size) ? 0 : -ENOENT;
	fsp_unlock(&f->lock);
	if (!err && o->blocks && o->blocks->len)
		err = fsp_format_parse(o->format, &fmt);
	if (!err && o->blocks && o->blocks->len)
		err = fsp_blocks_unpack(o->blocks->data, o->blocks->len,
		                        o->size, &b);
	if (!err)
		err = fsp_cache_adopt(v->cache, o->key, o->size, fmt, &b,
		                      fsp_spool_path(f->spool));
	fsp_blocks_free(&b);
	if (err && err != -ENOENT)
		fsp_debug("content %s not cached: %s", o->key, strerror(-err));
}

void committed_locked(struct fsp_vfs *v, struct inode *i, struct file *f,
                      const struct fsp_entry *e, int64_t began_ns)
{
	struct fsp_digest *digest;
	struct fsp_sum *sum;

	fsp_assert_held(&f->lock);
	/* While it is dirty its own size covers these. */
	inode_set_attr(v, i, &e->attr, began_ns);
	fsp_lock(&v->lock);
	i->pages = content_tag(&e->content);
	fsp_unlock(&v->lock);

	f->writes++;
	/* It is the digest of this very content and goes on with appends. */
	if (f->hashed != f->size || f->hashing)
		file_drop_digest_locked(f);
	digest = fsp_steal(f->digest);
	sum = fsp_steal(f->sum);
	f->dirty = f->untouched = false;
	f->fence = 0;
	f->mask = 0;
	file_drop_spool_locked(f);
	file_set_base_locked(f, &e->content);
	f->session_row = e->content.row;
	f->digest = digest;
	f->sum = sum;
	f->hashed = digest ? f->size : 0;
	merge_reset_locked(f);
}

static void committed(struct fsp_vfs *v, struct inode *i, struct file *f,
                      const struct fsp_entry *e, int64_t began_ns)
{
	FSP_GUARD(&f->lock);
	committed_locked(v, i, f, e, began_ns);
}

/*
 * Object, then row. Where another version came between, the changes are merged
 * over it and all is tried again; somebody else got on each time.
 */
int commit_content(struct fsp_vfs *v, struct inode *i, struct file *f,
                   const struct fsp_ctx *ctx, struct fsp_object *o,
                   struct fsp_buf *index, struct fsp_entry *e)
{
	int err = -EAGAIN;

	for (int n = 0; n < MERGES_MAX && err == -EAGAIN; n++) {
		err = store_content(v, f, ctx, o, index);
		if (!err)
			err = commit_row(v, i, f, ctx, o, e);
		if (!err)
			fsp_store_recorded(v->store, o);
		if (err != -EAGAIN)
			break;
		err = file_rebase(v, i, f, &e->content);
		if (!err && f->snap)
			err = back_rebased(v, i, f);
		if (!err)
			err = -EAGAIN;
	}
	return err == -EAGAIN ? -EBUSY : err;
}

/*
 * A new file without a byte yet. The shell's `echo > f` closes one of its
 * descriptors before it writes: PHP must not see an empty file in between. The
 * name is made to last, the row comes with the content or the last close.
 */
static bool is_blank(struct file *f)
{
	FSP_GUARD(&f->lock);
	return f->pending && !f->size && !f->session_row;
}

static int commit_busy(struct fsp_vfs *v, struct inode *i, struct file *f,
                       const struct fsp_ctx *ctx, enum commit_kind kind)
{
	FSP_BUF struct fsp_buf index = FSP_BUF_INIT;
	struct fsp_object o = { 0 };
	struct fsp_entry e;
	int64_t began = fsp_mono_ns();
	bool blank;
	int err;

	/* Nobody can ever open it again: it stays in the spool and goes. */
	if (inode_unlinked(v, i))
		return 0;
	blank = (kind == COMMIT_FLUSH || kind == COMMIT_FLUSH_STORED) &&
		is_blank(f);
	err = blank ? commit_row(v, i, f, ctx, NULL, &e)
		: commit_content(v, i, f, ctx, &o, &index, &e);
	if (err == -ESTALE && inode_lost(v, i))
		return 0;
	if (err || blank)
		return err;
	offer_to_cache(v, f, &o);
	committed(v, i, f, &e, began);
	return 0;
}

/*
 * Begins with it: busy. false: there is nothing to do, and *err is the answer;
 * *again: another close() has queued meanwhile what has to be stored.
 */
static bool begin(struct file *f, enum commit_kind kind, bool back, bool *again,
                  int *err)
{
	FSP_GUARD(&f->lock);
	file_wait_locked(f);
	*again = false;
	/* An error that was reported stays, unless fsync() asks once more. */
	*err = kind == COMMIT_SYNC && f->dirty ? 0 : f->failed;
	if (!f->dirty || *err)
		return false;
	if (f->queued) {
		*again = !back;
		if (!back || file_saved_locked(f))
			return false;
	}
	f->busy = true;
	*err = f->torn;
	return true;
}

static void end(struct fsp_vfs *v, struct file *f, int err)
{
	FSP_GUARD(&f->lock);
	f->busy = f->kept = false;
	f->failed = err;
	file_check_locked(v, f);
	fsp_cond_broadcast(&f->changed);
}

/* Behind close(): the record is on the disk when this returns 0. */
static int promise(struct fsp_vfs *v, struct inode *i, struct file *f,
                   const struct fsp_ctx *ctx, enum commit_kind kind)
{
	if (inode_unlinked(v, i))
		return 0;
	if (kind == COMMIT_FLUSH && is_blank(f)) {
		struct fsp_entry e;
		int err = commit_row(v, i, f, ctx, NULL, &e);

		return err == -ESTALE && inode_lost(v, i) ? 0 : err;
	}
	return back_queue(v, i, f);
}

/*
 * What waits could not be stored. That was promised, and will be; what was
 * written since is not, and this is the answer to it.
 */
static void not_stored(struct file *f, int err)
{
	FSP_GUARD(&f->lock);
	if (f->dirty && !file_saved_locked(f)) {
		f->failed = err;
		f->kept = false;
	}
}

/* Whether the lock still holds has to be known when it is committed. */
static bool is_fenced(struct file *f)
{
	FSP_GUARD(&f->lock);
	return f->fence != 0;
}

/*
 * back: into the queue, where *room is kept for it; else with late, to the store,
 * which may take long, and needs none.
 */
static int commit_as(struct fsp_vfs *v, struct inode *i, struct file *f,
                     const struct fsp_ctx *ctx, const struct fsp_ctx *late,
                     enum commit_kind kind, bool back, uint64_t *room)
{
	bool again;
	int err;

	for (;;) {
		err = back ? 0 : back_store(v, f, late);
		if (err) {
			not_stored(f, err);
			return err;
		}
		if (!begin(f, kind, back, &again, &err)) {
			if (again)
				continue;
			return err;
		}
		if (!err && back) {
			err = promise(v, i, f, ctx, kind);
			end(v, f, 0);
			if (!err)
				return 0;
			back_room_end(v, *room);
			*room = 0;
			back = false;
			continue;
		}
		if (!err)
			err = commit_busy(v, i, f, late, kind);
		end(v, f, err);
		return err;
	}
}

static int commit_file(struct fsp_vfs *v, struct inode *i, struct file *f,
                       const struct fsp_ctx *ctx, enum commit_kind kind)
{
	struct fsp_ctx late = *ctx;
	bool wanted = back_wanted(v, kind) && !is_fenced(f);
	uint64_t room = 0;
	bool back = wanted && back_room(v, f, ctx, &room);
	int err;

	/* There was no room in time: as without a queue. */
	if (!back && wanted)
		late = row_ctx(v, ctx);
	err = commit_as(v, i, f, ctx, &late, kind, back, &room);
	if (back)
		back_room_end(v, room);
	return err;
}

int file_commit(struct fsp_vfs *v, struct inode *i, const struct fsp_ctx *ctx,
                enum commit_kind kind)
{
	struct fsp_ctx on = *ctx;
	struct file *f;
	int err = file_get(v, i, false, &f);

	/* It is everybody's who has the file, and goes on without its caller. */
	on.cancelled = NULL;
	if (err || !f)
		return err;
	err = commit_file(v, i, f, &on, kind);
	file_put(v, i, f);
	return err;
}

/* A name that never got its content is not left behind as an empty file. */
static void remove_stub(struct fsp_vfs *v, struct inode *i,
                        const struct fsp_ctx *ctx, const char *path)
{
	FSP_FREE char *dir = NULL, *name = NULL;
	struct fsp_place at = { .stub_ino = i->ino };
	struct fsp_entry gone;
	int err = fsp_path_split(path, &dir, &name);

	at.dir = dir;
	at.name = name;
	names_begin(v);
	if (!err)
		err = fsp_meta_remove(v->store->meta, ctx, &at, false, &gone);
	if (!err)
		inode_detach(v, i->ino, NULL, name, gone.attr.nlink, NULL);
	names_end(v);
	/* Somebody else's file is there by now, or nothing. */
	if (err && err != -ESTALE && err != -ENOENT)
		fsp_warn("/%s: the empty name stays: %s", path, strerror(-err));
}

/*
 * Takes what could not be committed out of the file, which is clean then and
 * has what is live. Whoever still has it open for writing gets the error again.
 * false: another handle's commit has got on meanwhile.
 */
static bool give_up(struct fsp_vfs *v, struct inode *i, struct file *f,
                    const struct fsp_content *live, bool restore,
                    struct fsp_spool_info *info, bool *stub,
                    struct fsp_spool_file **data)
{
	*data = NULL;
	FSP_GUARD(&f->lock);
	file_wait_locked(f);
	if (!f->dirty || !f->failed)
		return false;
	info->size = f->size;
	info->base_row = f->over_row;
	info->error = -f->failed;
	if (f->spool && f->size && !f->kept)
		*data = fsp_steal(f->spool);
	restore = restore && !f->kept;
	f->dirty = f->untouched = f->queued = f->kept = false;
	f->writes++;
	f->torn = f->failed;
	f->fence = 0;
	f->mask = 0;
	file_drop_spool_locked(f);
	merge_reset_locked(f);
	file_drop_digest_locked(f);
	*stub = f->pending;
	/* What an earlier close() has promised is still to come. */
	if (restore && back_restore_locked(v, f))
		*stub = false;
	else
		file_set_base_locked(f, live);
	fsp_lock(&v->lock);
	i->pages = f->dirty ? PAGES_MIXED : content_tag(live);
	pages_drop_locked(v, i, f, info->size < f->size ? info->size : f->size);
	fsp_unlock(&v->lock);
	return true;
}

static int live_content(struct fsp_vfs *v, struct inode *i, const char *path,
                        const struct fsp_ctx *ctx, struct fsp_content *out)
{
	struct fsp_ref ref = { .ino = i->ino, .path = path };
	struct fsp_entry e = { 0 };
	int err = fsp_meta_getattr(v->store->meta, ctx, &ref, &e);

	*out = e.content;
	return err;
}

void file_give_up(struct fsp_vfs *v, struct inode *i, struct file *f,
                  const struct fsp_ctx *ctx, const char *hint, bool keep)
{
	struct fsp_spool_info info = { .ino = i->ino, .at_us = fsp_now_us() };
	struct fsp_content live;
	struct fsp_spool_file *data;
	FSP_FREE char *path = NULL;
	char none[] = "";
	bool stub;
	int err = inode_path_hint(v, i, &path);

	if (!err && !*path && hint) {
		free(path);
		path = strdup(hint);
	}
	info.path = path ? path : none;
	err = live_content(v, i, info.path, ctx, &live);
	if (err && err != -ESTALE)
		fsp_warn("/%s: seems empty until it is opened again: %s",
		         info.path, strerror(-err));
	if (!give_up(v, i, f, &live, keep, &info, &stub, &data))
		return;
	if (data && keep) {
		err = fsp_spool_keep(data, &info);
		fsp_error("/%s: %llu bytes could not be committed (%s) and are %s",
		          info.path, (unsigned long long)info.size,
		          strerror(info.error),
		          err ? "left in the spool" : "kept in the spool");
	} else {
		fsp_spool_drop(data);
	}
	if (stub && *info.path)
		remove_stub(v, i, ctx, info.path);
}

/* Is there something to commit, or something that could not be? */
static bool is_dirty(struct file *f, bool failed)
{
	FSP_GUARD(&f->lock);
	return f->dirty && !f->busy && (f->failed != 0) == failed &&
	       (failed || !file_saved_locked(f));
}

void file_settle(struct fsp_vfs *v, struct inode *i)
{
	struct fsp_ctx ctx = fsp_ctx_background();
	struct file *f;

	if (file_get(v, i, false, &f) || !f)
		return;
	/* A killed writer's file is committed as by an ordinary close. */
	if (is_dirty(f, false))
		file_commit(v, i, &ctx, COMMIT_FULL);   /* failed has the outcome */
	if (is_dirty(f, true))
		file_give_up(v, i, f, &ctx, NULL, true);
	fsp_lock(&f->lock);
	f->session_row = 0;
	if (!f->writers)
		f->failed = f->torn = 0;
	fsp_unlock(&f->lock);
	file_put(v, i, f);
}

int file_close(struct fsp_vfs *v, struct inode *i, const struct fsp_ctx *ctx,
               enum commit_kind kind)
{
	struct file *f;
	int err = file_commit(v, i, ctx, kind);

	/* Told so, nobody reads on what is not stored. */
	if (err && file_get(v, i, false, &f) == 0 && f) {
		if (is_dirty(f, true))
			file_give_up(v, i, f, ctx, NULL, true);
		file_put(v, i, f);
	}
	return err;
}
