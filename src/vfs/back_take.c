/*
 * The queue of a mount that died becomes ours: its commits, and the names that
 * wait for their first content.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "back.h"
#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_ctx.h"
#include "fsp_log.h"

/* One whose name cannot be made, and why. */
struct refusal {
	uint64_t key;
	int err;
};

struct keeping {
	struct naming n;
	bool notes;                     /* these are wanted */
	struct refusal *v;
	size_t n_refused, cap;
};

struct taking {
	struct fsp_vfs *v;
	const struct keeping *names;
	size_t refused;                 /* that were come by */
	uint64_t files, lost;
};

static void to_content(const struct fsp_content_of *o, struct fsp_content *c)
{
	c->row = o->row;
	c->size = o->size;
	strcpy(c->hash, o->hash);
}

static struct snap *snap_of(const struct fsp_queued *q)
{
	struct snap *s = snap_new();
	struct file *f;

	if (!s)
		return NULL;
	f = s->file;
	to_content(&q->base, &f->base);
	to_content(&q->merged, &s->merged);
	f->base_valid = q->base_valid;
	f->base_limit = q->base_limit;
	f->append_off = q->append_off;
	f->grown = q->grown;
	f->size = q->size;
	f->over_row = q->over_row;
	f->session_row = q->session_row;
	f->session = 0;
	f->mask = q->mask;
	f->attr.ino = q->ino;
	f->attr.mode = q->mode;
	f->attr.uid = q->uid;
	f->attr.gid = q->gid;
	f->attr.atime_ns = q->atime_ns;
	f->attr.ctime_ns = q->ctime_ns;
	f->mtime_ns = q->mtime_ns;
	f->pending = q->pending;
	f->queued_us = q->queued_us;
	f->dirty = true;
	s->bytes = q->size;
	s->old_key = q->key;
	s->path = strdup(q->path);
	if (!s->path) {
		snap_free(s);
		return NULL;
	}
	return s;
}

/* Another mount took it before, and died before the first one's went. */
static bool is_known(struct fsp_vfs *v, struct file *f,
                     const struct fsp_queued *q)
{
	struct back *b = v->back;

	FSP_GUARD(&b->lock);
	for (const struct snap *s = f->item ? f->item->head : NULL; s;
	     s = s->next)
		if (s->file->queued_us == q->queued_us)
			return true;
	return false;
}

/* The one that it was behind has another key here. */
static void find_behind(struct fsp_vfs *v, struct file *f, uint64_t old,
                        struct snap *to)
{
	struct back *b = v->back;

	FSP_GUARD(&b->lock);
	for (const struct snap *s = f->item ? f->item->head : NULL; s;
	     s = s->next) {
		if (!old || s->old_key != old)
			continue;
		to->behind = s->key;
		to->behind_id = s->id;
	}
}

/* Durably in our own journal, and shown as what the file has. */
static int enter(struct fsp_vfs *v, struct inode *i, struct file *f,
                 const struct fsp_journal_entry *e)
{
	struct snap *s = snap_of(&e->q);
	int err = s ? 0 : -ENOMEM;

	if (!err)
		err = fsp_journal_load(e, v->spool, &s->file->spool);
	if (!err) {
		find_behind(v, f, e->q.behind, s);
		err = snap_journal(v, i, s, 0);
	}
	if (err) {
		snap_free(s);
		return err;
	}
	err = back_add(v, i, f, s);
	fsp_lock(&f->lock);
	if (!err)
		(void)back_restore_locked(v, f);        /* else what is live */
	fsp_unlock(&f->lock);
	return err;
}

/* The disk has lost it; the others are not to wait for that. */
static bool is_lost(struct taking *t, const struct fsp_queued *q, int err)
{
	if (err != -ENOENT && err != -EIO)
		return false;
	fsp_error("/%s: %llu bytes that close() had promised cannot be read "
	          "from the spool: %s", q->path, (unsigned long long)q->size,
	          strerror(-err));
	t->lost++;
	return true;
}

/* Its place is another's, or gone: nobody's content is replaced by it. */
static int put_aside(struct taking *t, const struct fsp_journal_entry *e,
                     int why)
{
	struct snap *s = snap_of(&e->q);
	int err = s ? 0 : -ENOMEM;

	if (!err)
		err = fsp_journal_load(e, t->v->spool, &s->file->spool);
	if (!err && !snap_keep(s, e->q.ino, why))
		fsp_error("/%s: what close() had promised cannot be stored: %s",
		          e->q.path, strerror(-why));
	snap_free(s);
	return is_lost(t, &e->q, err) ? 0 : err;
}

/* Both readings come by them in the same order. */
static int why_refused(struct taking *t, uint64_t key)
{
	const struct keeping *k = t->names;

	return t->refused < k->n_refused && k->v[t->refused].key == key ?
		k->v[t->refused++].err : 0;
}

static int take_one(void *arg, const struct fsp_journal_entry *e)
{
	struct taking *t = arg;
	struct fsp_vfs *v = t->v;
	struct inode *i;
	struct file *f;
	int why = why_refused(t, e->q.key);
	int err = why ? put_aside(t, e, why) : inode_make(v, e->q.ino, &i);

	if (err || why)
		return err;
	err = file_get(v, i, true, &f);
	if (err || is_known(v, f, &e->q)) {
		if (!err)
			file_put(v, i, f);
		inode_unref(v, i);
		return err;
	}
	err = enter(v, i, f, e);
	if (is_lost(t, &e->q, err)) {
		file_put(v, i, f);
		inode_unref(v, i);
		return 0;
	}
	t->files += err == 0;
	return err;
}

static int keep_one(void *arg, const struct fsp_journal_entry *e)
{
	struct keeping *k = arg;
	struct refusal *v;
	int why, err = back_name(&k->n, &e->q, &why);

	if (err || !why || !k->notes)
		return err;
	v = fsp_grow(k->v, k->n_refused, &k->cap, sizeof(*v));
	if (!v)
		return -ENOMEM;
	k->v = v;
	v[k->n_refused++] = (struct refusal){ e->q.key, why };
	return 0;
}

int back_take(struct fsp_vfs *v, const char *id, int dirfd)
{
	struct fsp_ctx ctx = fsp_ctx_background();
	struct keeping k = { .n = { v, &ctx, fsp_meta_holder(id) },
		             .notes = true };
	struct taking t = { .v = v, .names = &k };
	uint64_t damaged = 0;
	int err = fsp_journal_read(dirfd, keep_one, &k, NULL);

	if (!err)
		err = fsp_journal_read(dirfd, take_one, &t, &damaged);
	free(k.v);
	if (damaged)
		fsp_error("the journal of the spool of %s is damaged in %llu "
		          "places", id, (unsigned long long)damaged);
	if (err)
		return err;
	if (t.files)
		fsp_info("%llu commits of a mount that died are queued again",
		         (unsigned long long)t.files);
	return 0;
}

int back_keep_names(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                    const char *spool, const char *id)
{
	FSP_CLOSE int root = open(spool, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FSP_CLOSE int dir = -1;
	/* What cannot be made is for whoever takes the queue. */
	struct keeping k = { .n = { v, ctx, fsp_meta_holder(id) } };

	dir = root < 0 ? -1 : openat(root, id, O_RDONLY | O_DIRECTORY |
	                                             O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		return errno == ENOENT ? 0 : -errno;
	return fsp_journal_read(dir, keep_one, &k, NULL);
}
