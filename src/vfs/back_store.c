/*
 * A snapshot of the queue becomes a version, and the visible file follows.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "back.h"
#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_log.h"

/* What a server or a machine says that will be better one day. */
bool back_passes(int err)
{
	switch (err) {
	case -EHOSTDOWN:
	case -ETIMEDOUT:
	case -EINTR:
	case -EAGAIN:
	case -EBUSY:
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE:
	case -EROFS:
	case -ENOSPC:
	case -EDQUOT:
		return true;
	}
	return false;
}

/*
 * Its end is written down. Content of its own file goes only when that is on
 * the disk: a record without it would be damage.
 */
static void end_record(struct fsp_vfs *v, struct snap *s,
                       const struct fsp_queue_end *e)
{
	bool file = fsp_journal_has_file(v->back->journal, s->key);
	int err = fsp_journal_end(v->back->journal, e, file);

	if (!err)
		return;
	/* The next mount finds it stored already. */
	fsp_error("the end of a queued commit is not written down: %s",
	          strerror(-err));
	if (file)
		fsp_spool_leave(s->file->spool);
}

static void to_content_of(const struct fsp_content *c, struct fsp_content_of *o)
{
	o->row = c->row;
	o->size = c->size;
	strcpy(o->hash, c->hash);
}

/*
 * Those behind it, and the visible file, are over its row from now on. true: a
 * record of theirs says that the name is not there.
 */
static bool tell_followers(struct fsp_vfs *v, struct item *it,
                           const struct fsp_queue_end *e)
{
	struct back *b = v->back;
	bool unborn = false;

	FSP_GUARD(&b->lock);
	it->ended = *e;
	it->ended_id = it->head->id;
	it->ended_session = it->head->file->session;
	for (struct snap *s = it->head->next; s; s = s->next) {
		unborn |= s->unborn;
		if (s->behind_id == it->ended_id)
			snap_follow(s, e, it->ended_session);
	}
	return unborn;
}

/* Is the visible file, by now, what this snapshot has? f->lock is held. */
static bool is_visible_locked(struct fsp_vfs *v, struct item *it,
                              const struct snap *s)
{
	struct back *b = v->back;

	FSP_GUARD(&b->lock);
	return file_saved_locked(it->file) && it->last == s;
}

/*
 * Nothing of the file waits when its last one has come to its end, also where
 * it was written on: who wants to commit it would wait for that for ever.
 */
static void none_waits_locked(struct fsp_vfs *v, struct item *it,
                              const struct snap *s)
{
	struct back *b = v->back;

	fsp_assert_held(&it->file->lock);
	FSP_GUARD(&b->lock);
	if (it->last == s)
		it->file->queued = false;
}

/* The kernel has pages of another content than what is live. */
static void pages_change_locked(struct fsp_vfs *v, struct item *it,
                                uint64_t told, const struct fsp_content *live)
{
	pages_drop(v, it->inode, it->file,
	           told < live->size ? told : live->size);
}

static void follow(struct fsp_vfs *v, struct item *it, struct snap *s,
                   const struct fsp_queue_end *end, const struct fsp_entry *e)
{
	struct file *f = it->file;
	bool same = s->file->end.end != FSP_QUEUED_PAST && !end->merged &&
		content_tag(&s->file->end.stored) == content_tag(&e->content);
	uint64_t told;

	FSP_GUARD(&f->lock);
	told = f->size;
	if (is_visible_locked(v, it, s)) {
		f->queued = false;
		if (!same)
			file_drop_digest_locked(f);
		committed_locked(v, it->inode, f, e, 0);
		if (s->file->session != f->session)
			f->session_row = 0;
		if (!same)
			pages_change_locked(v, it, told, &e->content);
		return;
	}
	/* Written on: what it is over now is ours, and nobody is told yet. */
	inode_unsure(v, it->inode);
	f->pending = f->pending && !e->content.row;
	if (same) {
		f->over_row = end->stored.row;
		f->session_row = s->file->session == f->session ?
			end->stored.row : 0;
	}
	none_waits_locked(v, it, s);
}

static void say_what(const struct snap *s)
{
	const struct fsp_queued_commit *q = &s->file->end;

	if (q->end == FSP_QUEUED_PAST)
		fsp_warn("/%s: what is live is newer than what waited to be "
		         "stored, which goes into the history only, as "
		         "version %lld", s->path, (long long)q->stored.row);
	else if (q->end == FSP_QUEUED_BEFORE)
		fsp_info("/%s: was stored already, as version %lld", s->path,
		         (long long)q->stored.row);
}

static void stored(struct fsp_vfs *v, struct item *it, struct snap *s,
                   const struct fsp_object *o, const struct fsp_entry *e)
{
	struct fsp_queue_end end = { .key = s->key, .merged = s->was_merged };

	to_content_of(&s->file->end.stored, &end.stored);
	say_what(s);
	follow(v, it, s, &end, e);
	/* What went into the history only is nothing that others are over. */
	if (s->file->end.end == FSP_QUEUED_PAST)
		end.stored.row = 0;
	/* What says so goes with this one's record, one day. */
	if (tell_followers(v, it, &end) && end.stored.row)
		back_born(v, it->file);
	end_record(v, s, &end);
	if (s->file->spool && fsp_spool_sole(s->file->spool))
		offer_to_cache(v, s->file, o);
}

/* Nobody can ever see it. */
static void dropped(struct fsp_vfs *v, struct item *it, struct snap *s)
{
	struct fsp_queue_end end = { .key = s->key };
	struct file *f = it->file;

	(void)tell_followers(v, it, &end);      /* of no row */
	fsp_lock(&f->lock);
	none_waits_locked(v, it, s);
	fsp_unlock(&f->lock);
	end_record(v, s, &end);
}

static bool is_dropped(struct fsp_vfs *v, struct item *it)
{
	struct back *b = v->back;

	if (inode_unlinked(v, it->inode))
		return true;
	FSP_GUARD(&b->lock);
	return it->dropped;
}

/*
 * The rows know no name of it. By a removal here; or the mount that promised it
 * died in the middle of one, or somebody removed it before we came.
 */
static bool is_removed(struct fsp_vfs *v, struct item *it, const struct snap *s)
{
	if (inode_lost(v, it->inode))
		return true;
	if (s->old_key)
		fsp_info("/%s: was removed before it was stored", s->path);
	return s->old_key != 0;
}

int back_store_first(struct fsp_vfs *v, struct item *it,
                     const struct fsp_ctx *ctx)
{
	FSP_BUF struct fsp_buf index = FSP_BUF_INIT;
	struct snap *s = it->head;
	struct fsp_object o = { 0 };
	struct fsp_entry e;
	int err = 0;

	if (is_dropped(v, it)) {
		dropped(v, it, s);
		return 0;
	}
	if (s->merged.row)
		err = file_rebase(v, it->inode, s->file, &s->merged);
	if (!err && s->merged.row)
		err = back_rebased(v, it->inode, s->file);
	if (!err)
		err = commit_content(v, it->inode, s->file, ctx, &o,
		                     &index, &e);
	if (err == -ESTALE && is_removed(v, it, s)) {
		dropped(v, it, s);
		return 0;
	}
	if (!err)
		stored(v, it, s, &o, &e);
	return err;
}

bool snap_keep(struct snap *s, uint64_t ino, int err)
{
	struct file *q = s->file;
	struct fsp_spool_info info = {
		.ino = ino, .size = q->size, .base_row = q->over_row,
		.at_us = fsp_now_us(), .error = -err, .path = s->path,
	};
	int rc;

	if (!q->spool || !q->size)
		return false;
	rc = fsp_spool_keep(fsp_steal(q->spool), &info);
	fsp_error("/%s: %llu bytes that close() had promised cannot be stored "
	          "(%s) and are %s", s->path, (unsigned long long)info.size,
	          strerror(-err), rc ? "left in the spool" : "kept in the spool");
	return true;
}

void back_keep_first(struct fsp_vfs *v, struct item *it, int err)
{
	struct fsp_ctx ctx = fsp_ctx_background();
	struct fsp_queue_end end = { .key = it->head->key };
	struct snap *s = it->head;
	struct file *f = it->file;
	bool visible;

	ctx.deadline_ns = fsp_mono_ns() + v->op_timeout_ns;
	(void)tell_followers(v, it, &end);      /* of no row */
	fsp_lock(&f->lock);
	/* The close() that queued it may still have to say that it did. */
	file_wait_locked(f);
	visible = is_visible_locked(v, it, s);
	none_waits_locked(v, it, s);
	if (visible) {
		f->failed = err;
		f->kept = true;         /* a release may come before us */
	}
	fsp_unlock(&f->lock);
	if (!snap_keep(s, it->inode->ino, err))
		fsp_error("/%s: what close() had promised cannot be stored: %s",
		          s->path, strerror(-err));
	end_record(v, s, &end);
	/* Its bytes are there once: the visible file just goes to what is live. */
	if (!visible)
		return;
	file_give_up(v, it->inode, f, &ctx, s->path, false);
	fsp_lock(&f->lock);
	if (!f->writers)
		f->failed = f->torn = 0;
	fsp_unlock(&f->lock);
}
