/*
 * Times of directories, more rights in them, and owners and modes that they have
 * already, wait a moment for a change that has to be made: DESIGN.md,
 * "Attributes that wait".
 */
#include "vfs_private.h"

#include <errno.h>
#include <stdlib.h>

#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_log.h"

#define WAIT_NS (FSP_NS_PER_SEC / 10)
/* Who has waited for less may get more yet, and is not taken along. */
#define ALONG_NS (WAIT_NS / 5)
#define RETRY_NS FSP_NS_PER_SEC
#define TRY_NS (10 * FSP_NS_PER_SEC)    /* for a batch of them */
#define LAZY_MOST 1000                  /* directories that wait */
#define LAZY_MASK (FSP_SET_ATIME | FSP_SET_MTIME | FSP_SET_CTIME)

void lazy_init(struct fsp_vfs *v)
{
	fsp_worker_init(&v->lazies.worker, &v->lock);
	v->lazies.last = &v->lazies.first;
}

/* Somebody may do more in it, and nobody less. */
static bool allows_more(uint32_t old, uint32_t new)
{
	return !((old ^ new) & (S_ISUID | S_ISGID | S_ISVTX)) &&
	       !(old & ~new & (S_IRWXU | S_IRWXG | S_IRWXO));
}

/* While anything waits, the times are told from memory: they must be known. */
static bool times_known_locked(struct fsp_vfs *v, const struct inode *i,
                               uint32_t mask)
{
	if (i->lazy)
		mask |= i->lazy->mask;
	return mask & FSP_SET_MTIME || attr_known_locked(v, i);
}

/* Does it leave the owner as this mount knows it, and take no right away? */
static bool may_wait_locked(struct fsp_vfs *v, const struct inode *i,
                            uint32_t mask, const struct fsp_attr *a)
{
	if (!times_known_locked(v, i, mask))
		return false;
	if (mask & ~(uint32_t)(LAZY_MASK | FSP_SET_MODE | FSP_SET_UID |
	                       FSP_SET_GID))
		return false;
	if (mask & FSP_SET_MODE && !allows_more(i->attr.mode, a->mode))
		return false;
	if (mask & FSP_SET_UID && a->uid != i->attr.uid)
		return false;
	return !(mask & FSP_SET_GID) || a->gid == i->attr.gid;
}

static void enqueue_locked(struct fsp_vfs *v, struct inode *i)
{
	i->lazy->queued = true;
	i->lazy->next = NULL;
	*v->lazies.last = i;
	v->lazies.last = &i->lazy->next;
	v->lazies.n++;
	i->refs++;
}

/* The one that has waited longest; its reference is now the caller's. */
static struct inode *dequeue_locked(struct fsp_vfs *v)
{
	struct inode *i = v->lazies.first;

	v->lazies.first = i->lazy->next;
	if (!v->lazies.first)
		v->lazies.last = &v->lazies.first;
	v->lazies.n--;
	i->lazy->queued = false;
	return i;
}

bool lazy_waits_locked(const struct inode *i)
{
	return i->lazy && i->lazy->mask;
}

static bool begin_locked(struct inode *i, uint32_t *mask, struct fsp_attr *a)
{
	uint32_t more;

	if (!lazy_waits_locked(i) || i->lazy->busy)
		return false;
	i->lazy->busy = true;
	i->lazy->sent = i->lazy->mask;
	more = i->lazy->mask & ~*mask;
	/* What is changed now has the time of now. */
	if (*mask)
		more &= ~(uint32_t)FSP_SET_CTIME;
	fsp_attr_copy(more, &i->lazy->attr, a);
	*mask |= more;
	return true;
}

bool lazy_begin(struct fsp_vfs *v, struct inode *i, uint32_t *mask,
                struct fsp_attr *a)
{
	FSP_GUARD(&v->lock);
	while (lazy_waits_locked(i) && i->lazy->busy)
		(void)fsp_worker_wait(&v->lazies.worker, 0);
	return begin_locked(i, mask, a);
}

void lazy_overlay_locked(struct inode *i)
{
	if (i->lazy)
		fsp_attr_copy(i->lazy->mask & ~i->lazy->sent, &i->lazy->attr,
		          &i->attr);
}

static void forget_locked(struct inode *i)
{
	if (i->lazy->queued)
		return;         /* the thread frees it */
	free(i->lazy);
	i->lazy = NULL;
}

void lazy_end(struct fsp_vfs *v, struct inode *i, int err)
{
	FSP_GUARD(&v->lock);
	i->lazy->busy = false;
	if (err == -EROFS)
		v->lazies.refused_ns = fsp_mono_ns();
	/* Removed by another host: there is nothing to set any more. */
	if (!err || err == -ESTALE || err == -ENOENT)
		i->lazy->mask &= ~i->lazy->sent;
	i->lazy->sent = 0;
	if (!i->lazy->mask)
		forget_locked(i);
	fsp_worker_wake(&v->lazies.worker);
}

/* What is set in one transaction. */
struct batch {
	struct inode *i[FSP_SETATTR_MANY];
	char *path[FSP_SETATTR_MANY];
	struct fsp_setattr v[FSP_SETATTR_MANY];
	size_t n;
};

/* Until one is due, or the end: then false, when none is left. */
static bool wait_due_locked(struct fsp_vfs *v)
{
	for (;;) {
		const struct inode *i = v->lazies.first;
		int64_t due = i ? i->lazy->due_ns : 0;

		if (i && (v->lazies.worker.stop || !i->lazy->mask ||
		          due <= fsp_mono_ns()))
			return true;
		if (!i && v->lazies.worker.stop)
			return false;
		(void)fsp_worker_wait(&v->lazies.worker, due);
	}
}

/* The one that is due and others that wait; their references are the batch's. */
static bool take_due(struct fsp_vfs *v, struct batch *b)
{
	int64_t latest;

	b->n = 0;
	FSP_GUARD(&v->lock);
	if (!wait_due_locked(v))
		return false;
	latest = fsp_mono_ns() + WAIT_NS - ALONG_NS;
	do
		b->i[b->n++] = dequeue_locked(v);
	while (v->lazies.first && b->n < FSP_SETATTR_MANY &&
	       (v->lazies.worker.stop ||
	        v->lazies.first->lazy->due_ns <= latest));
	v->lazies.taken = true;
	return true;
}

/* What could not be set is tried again, but at the end. */
static void done_with(struct fsp_vfs *v, struct inode *i)
{
	FSP_GUARD(&v->lock);
	if (lazy_waits_locked(i) && v->lazies.worker.stop) {
		v->lazies.lost++;
		i->lazy->mask = 0;
	}
	if (lazy_waits_locked(i) && !i->lazy->queued) {
		i->lazy->due_ns = fsp_mono_ns() + RETRY_NS;
		enqueue_locked(v, i);
	} else if (i->lazy && !i->lazy->mask) {
		forget_locked(i);
	}
	inode_unref_locked(v, i);
}

/*
 * Those that still wait, from the front of b->v on, and whose they are. Nobody
 * waits for one while it holds others.
 */
static size_t begin_batch(struct fsp_vfs *v, struct batch *b, size_t *whose)
{
	size_t n = 0;

	for (size_t k = 0; k < b->n; k++) {
		struct fsp_setattr *s = &b->v[n];
		bool begun;

		*s = (struct fsp_setattr){ .ref.ino = b->i[k]->ino };
		/* Without memory for its path it waits on. */
		if (inode_path_hint(v, b->i[k], &b->path[n]))
			continue;
		s->ref.path = b->path[n];
		fsp_lock(&v->lock);
		begun = begin_locked(b->i[k], &s->mask, &s->attr);
		fsp_unlock(&v->lock);
		if (begun)
			whose[n++] = k;
		else
			free(b->path[n]);
	}
	return n;
}

/* What one of them is refused for is not the others': each by itself then. */
static void store_batch(struct fsp_vfs *v, struct batch *b, size_t n)
{
	struct fsp_meta *m = v->store->meta;
	struct fsp_ctx ctx = fsp_ctx_background();
	int err = 0;
	bool single;

	ctx.deadline_ns = fsp_mono_ns() + TRY_NS;
	/* The database says in the log what is wrong with it. */
	if (n)
		err = answered(v, fsp_meta_setattr_many(m, &ctx, b->v, n));
	single = err && n > 1 && err != -EHOSTDOWN && err != -ETIMEDOUT;
	for (size_t k = 0; k < n; k++) {
		if (single)
			err = answered(v, fsp_meta_setattr_many(m, &ctx,
			                                        &b->v[k], 1));
		if (err)
			b->v[k].err = err;
	}
}

static void set_batch(struct fsp_vfs *v, struct batch *b)
{
	size_t whose[FSP_SETATTR_MANY], n = begin_batch(v, b, whose);
	int64_t began = fsp_mono_ns();

	store_batch(v, b, n);
	for (size_t k = 0; k < n; k++) {
		struct inode *i = b->i[whose[k]];
		int err = b->v[k].err;

		if (err)
			inode_unsure(v, i);
		else
			inode_set_attr(v, i, &b->v[k].out.attr, began);
		lazy_end(v, i, err);
		free(b->path[k]);
	}
}

static void *set_due(void *arg)
{
	struct fsp_vfs *v = arg;
	struct batch b;

	while (take_due(v, &b)) {
		set_batch(v, &b);
		for (size_t k = 0; k < b.n; k++)
			done_with(v, b.i[k]);
		fsp_lock(&v->lock);
		v->lazies.taken = false;
		fsp_worker_wake(&v->lazies.worker);
		fsp_unlock(&v->lock);
	}
	return NULL;
}

static bool was_refused_locked(struct fsp_vfs *v)
{
	fsp_assert_held(&v->lock);
	return v->lazies.refused_ns &&
		fsp_mono_ns() - v->lazies.refused_ns < FSP_NS_PER_SEC;
}

bool lazy_take(struct fsp_vfs *v, struct inode *i, uint32_t mask,
               const struct fsp_attr *a)
{
	struct fsp_attr now = *a;

	/* With the database down, or read-only, let the caller hear of it. */
	if (!is_dir(i) || atomic_load(&v->offline_ns))
		return false;
	FSP_GUARD(&v->lock);
	if (!may_wait_locked(v, i, mask, a) || was_refused_locked(v) ||
	    v->lazies.n >= LAZY_MOST ||
	    fsp_worker_start(&v->lazies.worker, set_due, v))
		return false;
	if (!i->lazy)
		i->lazy = calloc(1, sizeof(*i->lazy));
	if (!i->lazy)
		return false;
	if (!(mask & FSP_SET_CTIME))
		now.ctime_ns = fsp_now_ns();
	mask |= FSP_SET_CTIME;
	if (!i->lazy->mask)
		i->lazy->due_ns = fsp_mono_ns() + WAIT_NS;
	fsp_attr_copy(mask, &now, &i->lazy->attr);
	i->lazy->mask |= mask;
	i->lazy->sent &= ~mask;         /* on its way is the one before */
	fsp_attr_copy(mask, &now, &i->attr);
	inode_changed_locked(v, i);
	if (!i->lazy->queued) {
		enqueue_locked(v, i);
		fsp_worker_wake(&v->lazies.worker);
	}
	return true;
}

int lazy_flush(struct fsp_vfs *v, const struct fsp_ctx *ctx, struct inode *i)
{
	struct fsp_attr none = { .ino = i->ino };
	bool waits;

	fsp_lock(&v->lock);
	waits = lazy_waits_locked(i);
	fsp_unlock(&v->lock);
	return waits ? attr_set_rows(v, ctx, i, 0, &none) : 0;
}

/* One that waits: NULL when none does, nor is on its way. */
static int any(struct fsp_vfs *v, const struct fsp_ctx *ctx, struct inode **out)
{
	int err = 0;

	*out = NULL;
	FSP_GUARD(&v->lock);
	while (!err) {
		struct inode *i = v->lazies.first;

		while (i && !i->lazy->mask)
			i = i->lazy->next;
		if (i)
			i->refs++;
		*out = i;
		if (i || !v->lazies.taken)
			return 0;
		err = fsp_worker_wait(&v->lazies.worker, ctx->deadline_ns);
	}
	return err;
}

int lazy_flush_all(struct fsp_vfs *v, const struct fsp_ctx *ctx)
{
	struct inode *i;
	int err = 0;

	while (!err && !(err = any(v, ctx, &i)) && i) {
		err = lazy_flush(v, ctx, i);
		if (err == -ESTALE || err == -ENOENT)
			err = 0;
		inode_unref(v, i);
	}
	return err;
}

void lazy_end_all(struct fsp_vfs *v)
{
	fsp_worker_stop(&v->lazies.worker);
	if (v->lazies.lost)
		fsp_warn("times or modes of %u directories could not be "
		         "stored",
		         v->lazies.lost);
	v->lazies.lost = 0;
}
