/*
 * Snapshots: from the visible file to the journal, and back.
 */
#include "back.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_log.h"

struct snap *snap_new(void)
{
	struct snap *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->file = file_new();
	if (!s->file) {
		free(s);
		return NULL;
	}
	s->file->snap = s;
	return s;
}

void snap_free(struct snap *s)
{
	if (!s)
		return;
	file_free(s->file);
	free(s->path);
	free(s);
}

/* What the record says; strings are s's. */
static void describe(const struct snap *s, const struct inode *i,
                     struct fsp_queued *q)
{
	const struct file *f = s->file;

	*q = (struct fsp_queued){
		.behind = s->behind, .ino = i->ino, .size = f->size,
		.mtime_ns = f->mtime_ns, .atime_ns = f->attr.atime_ns,
		.ctime_ns = f->attr.ctime_ns, .queued_us = f->queued_us,
		.over_row = f->over_row, .session_row = f->session_row,
		.base = { .row = f->base.row, .size = f->base.size },
		.base_valid = f->base_valid, .base_limit = f->base_limit,
		.append_off = f->append_off, .grown = f->grown,
		.merged = { .row = s->merged.row, .size = s->merged.size },
		.mask = f->mask, .mode = f->attr.mode, .uid = f->attr.uid,
		.gid = f->attr.gid, .pending = f->pending, .path = s->path,
	};
	strcpy(q->base.hash, f->base.hash);
	strcpy(q->merged.hash, s->merged.hash);
}

int snap_journal(struct fsp_vfs *v, struct inode *i, struct snap *s,
                 uint64_t drops)
{
	FSP_FREE struct fsp_queued_dir *dirs = NULL;
	struct back *b = v->back;
	struct fsp_queued q;
	int err;

	describe(s, i, &q);
	q.drops = drops;
	err = back_unborn(v, &q, &dirs);
	if (!err)
		err = fsp_journal_put(b->journal, &q, s->file->spool);
	if (err)
		return err;
	FSP_GUARD(&b->lock);
	s->key = q.key;
	s->unborn = q.unborn;
	if (!s->id)
		s->id = atomic_fetch_add(&b->ids, 1) + 1;
	for (struct snap *n = s->next; n; n = n->next)
		if (n->behind_id == s->id)
			n->behind = s->key;
	return 0;
}

void snap_follow(struct snap *s, const struct fsp_queue_end *e,
                 uint64_t session)
{
	s->behind = s->behind_id = 0;
	if (!e->stored.row)
		return;
	s->file->pending = false;
	s->file->session_row = s->file->session == session ?
		e->stored.row : 0;
	if (!e->merged) {
		s->file->over_row = e->stored.row;
		return;
	}
	s->merged.row = e->stored.row;
	s->merged.size = e->stored.size;
	strcpy(s->merged.hash, e->stored.hash);
}

int back_rebased(struct fsp_vfs *v, struct inode *i, struct file *f)
{
	struct snap *s = f->snap;
	int err;

	s->was_merged = true;
	s->has_digests = false;
	memset(&s->merged, 0, sizeof(s->merged));
	err = snap_journal(v, i, s, s->key);
	if (!err)
		back_look_again(v, i->ino);
	return err;
}

/* d: the digests, or NULL. */
static struct snap *take_snapshot(struct file *f, const char *path,
                                  const struct fsp_digests *d)
{
	struct snap *s = snap_new();
	struct file *q;

	if (!s)
		return NULL;
	q = s->file;
	FSP_GUARD(&f->lock);
	q->early = early_take_locked(f);
	q->base = f->base;
	q->base_valid = f->base_valid;
	q->over_row = f->over_row;
	q->session_row = f->session_row;
	q->session = f->session;
	q->base_limit = f->base_limit;
	q->grown = f->grown;
	q->append_off = f->append_off;
	q->size = f->size;
	q->mask = f->mask;
	q->attr = f->attr;
	q->mtime_ns = f->mtime_ns;
	q->pending = f->pending;
	q->dirty = true;
	q->queued_us = fsp_now_us();
	s->bytes = f->size;
	s->visible = true;
	s->path = strdup(path);
	if (!s->path || (f->spool && fsp_spool_snapshot(f->spool, &q->spool))) {
		fsp_guard_ = NULL;
		fsp_unlock(&f->lock);
		snap_free(s);
		return NULL;
	}
	s->has_digests = d != NULL;
	if (d)
		s->digests = *d;
	return s;
}

static uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Was anything written in place at or above off, which is no append? */
static bool wrote_above(const struct file *f, uint64_t off)
{
	uint64_t at = off, start, end;

	if (!f->spool || !fsp_spool_fresh(f->spool, at, &start, &end))
		return false;
	return (start > off ? start : off) < f->append_off;
}

/*
 * What the newer one has written since the older one, and what that had since
 * the version before, as if it had been written at one go.
 */
static int join(struct file *n, const struct file *o)
{
	int err = n->spool && o->spool ?
		fsp_spool_join_fresh(n->spool, o->spool, n->base_limit) : 0;

	if (err)
		return err;
	if (o->append_off != UINT64_MAX && n->base_limit >= o->append_off)
		n->append_off = wrote_above(n, o->append_off) ?
			UINT64_MAX : o->append_off;
	if (n->base_limit == UINT64_MAX && !n->grown)
		n->grown = o->grown;
	n->base_limit = min64(n->base_limit, o->base_limit);
	n->over_row = o->over_row;
	n->session_row = o->session_row;
	n->pending = o->pending;
	return 0;
}

static int refer(struct fsp_vfs *v, struct inode *i)
{
	struct inode *same;
	struct file *f;
	int err = inode_ref(v, i->ino, &same);

	if (!err)
		err = file_get(v, i, false, &f);
	return err;
}

/* Has s got to say something else of the one that it is behind? */
static bool is_late(struct back *b, const struct item *it, struct snap *s)
{
	FSP_GUARD(&b->lock);
	if (!s->behind_id)
		return false;
	if (it->ended_id == s->behind_id) {
		snap_follow(s, &it->ended, it->ended_session);
		return true;
	}
	for (const struct snap *p = it->head; p; p = p->next) {
		if (p->id != s->behind_id || p->key == s->behind)
			continue;
		s->behind = p->key;
		return true;
	}
	return false;
}

/*
 * The one before it was stored, or got another record, while its own was
 * written, which does not say so. The item is held: it stays, and nobody begins
 * with the new one.
 */
static int catch_up(struct fsp_vfs *v, struct inode *i, struct item *it,
                    struct snap *s)
{
	int err = 0;

	while (!err && is_late(v->back, it, s))
		err = snap_journal(v, i, s, s->key);
	return err;
}

static int put_snapshot(struct fsp_vfs *v, struct inode *i, struct file *f,
                        struct snap *s)
{
	struct item *it;
	struct snap *old;
	bool unborn;
	int err;

	old = back_hold(v, f, &it, s);
	err = old ? join(s->file, old->file) : 0;
	if (!err)
		err = snap_journal(v, i, s, old ? old->key : 0);
	if (!err && it)
		err = catch_up(v, i, it, s);
	unborn = s->unborn;
	if (!err && !old)
		err = refer(v, i);
	if (!err && !old)
		err = back_add(v, i, f, s);
	if (it)
		back_unhold(v, it, old, s, err);
	if (!err && unborn)
		back_look_again(v, i->ino);
	return err;
}

int back_queue(struct fsp_vfs *v, struct inode *i, struct file *f)
{
	FSP_FREE char *path = NULL;
	struct fsp_ctx ctx = fsp_ctx_background();
	struct fsp_digests d;
	struct snap *s;
	int known, err = inode_path_hint(v, i, &path);

	if (err)
		return err;
	known = file_digests(v, f, &ctx, &d);
	if (known && known != -ENOENT)
		return known;
	s = take_snapshot(f, path, known ? NULL : &d);
	if (!s)
		return -ENOMEM;
	err = put_snapshot(v, i, f, s);
	if (err) {
		snap_free(s);
		fsp_warn("/%s: cannot be queued, and is stored at once: %s",
		         path, strerror(-err));
	}
	return err;
}

static bool restore(struct file *f, const struct file *q)
{
	struct fsp_spool_file *spool = NULL;

	if (q->spool && fsp_spool_snapshot(q->spool, &spool))
		return false;
	if (spool)
		fsp_spool_begin_fresh(spool);
	file_drop_spool_locked(f);
	f->spool = spool;
	file_set_base_locked(f, &q->base);
	f->base_valid = q->base_valid;
	f->size = q->size;
	f->over_row = q->over_row;
	f->pending = q->pending;
	f->mask = q->mask;
	f->attr = q->attr;
	f->mtime_ns = q->mtime_ns;
	f->dirty = true;
	f->queued = true;
	f->queued_writes = ++f->writes;
	return true;
}

bool back_restore_locked(struct fsp_vfs *v, struct file *f)
{
	struct back *b = v->back;
	struct file *q;
	bool found;

	fsp_assert_held(&f->lock);
	if (!b)
		return false;
	FSP_GUARD(&b->lock);
	if (!f->item || !f->item->last)
		return false;
	q = f->item->last->file;
	/* Whoever stores it may just be merging it. */
	fsp_lock(&q->lock);
	found = restore(f, q);
	fsp_unlock(&q->lock);
	return found;
}
