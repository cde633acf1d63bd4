/* All that a tree has in memory becomes rows, and the tree is given up. */
#include <errno.h>
#include <stdlib.h>

#include "deleg.h"
#include "fsp_clock.h"

/* What of the oldest can go: not what is in something that is on its way. */
static int collect_oldest(struct deleg *d, struct flight *f, struct dtree *t,
                          uint64_t until, size_t most)
{
	struct dnode *next;
	int err = 0;

	for (struct dnode *n = t->unborn; n && !err && f->n < most; n = next) {
		next = n->unborn_next;
		if (n->order > until)
			break;
		/* Its directory comes before it: it is born or taken along,
		 * or somebody else has it. */
		if (n->parent->state == DNODE_BORN || n->parent->flight == f)
			err = flight_add(d, f, n);
	}
	return err;
}

/* Of directories in which nothing is unborn, times may still have to go. */
static void collect_touches(struct flight *f, struct dtree *t)
{
	for (struct dnode *n = t->nodes; n; n = n->next)
		if (n->state == DNODE_BORN)
			flight_touch(f, n);
}

bool deleg_passes(int err)
{
	return err != -EEXIST && err != -ESTALE && err != -ENOENT &&
	       err != -ENOTDIR && err != -EISDIR && err != -EINVAL &&
	       err != -ENAMETOOLONG;
}

bool deleg_is_condemned(struct deleg *d, uint64_t ino)
{
	fsp_assert_held(&d->lock);
	for (unsigned i = 0; i < DELEG_CONDEMNED && i < d->n_condemned; i++)
		if (d->condemned[i] == ino)
			return true;
	return false;
}

static bool is_below(const struct dnode *n, const struct dnode *dir)
{
	while (n && n != dir)
		n = n->parent;
	return n != NULL;
}

/*
 * A name that cannot be made, since another host has it, and all that was made
 * below it: it is told of. Whoever closes such a file is told so, too.
 */
static void give_up(struct deleg *d, const struct flight *f, struct dnode *dir,
                    int err)
{
	struct dnode *n = dir->tree->nodes, *next;

	fsp_assert_held(&d->lock);
	for (; n; n = next) {
		next = n->next;
		if (n->state != DNODE_UNBORN || n->in || !is_below(n, dir))
			continue;
		flight_say(f, n, err);
		if (S_ISREG(n->attr.mode))
			d->condemned[d->n_condemned++ % DELEG_CONDEMNED] =
				n->ino;
		dnode_free(d, n);
	}
}

/* The directory itself has gone: nothing in it has times. */
static void forget_touches(struct dtree *t)
{
	for (struct dnode *n = t->nodes; n; n = n->next)
		n->touch_ns = 0;
}

/* One of several: one by one, until that one is found. 0: go on. */
static int flush_failed(struct deleg *d, const struct flight *f, int err,
                        size_t *most)
{
	fsp_assert_held(&d->lock);
	if (deleg_passes(err))
		return err;
	if (f->n > 1)
		*most = 1;
	else if (f->n)
		give_up(d, f, f->nodes[0], err);
	else
		forget_touches(f->tree);
	return 0;
}

/* *most: how many at once; 1 after one of several has met a conflict. */
static int flush_some(struct deleg *d, const struct fsp_ctx *ctx,
                      struct dtree *t, uint64_t until, size_t *most)
{
	struct flight f = { .n = 0 };
	bool born;
	int err;

	fsp_assert_held(&d->lock);
	err = flight_begin(d, &f, t);
	if (!err)
		err = collect_oldest(d, &f, t, until, *most);
	if (!err && *most > 1)
		collect_touches(&f, t);
	fsp_unlock(&d->lock);
	if (!err && (f.n || f.n_touches))
		err = flight_fly(d, ctx, &f);
	fsp_lock(&d->lock);
	flight_end(d, &f, err);
	born = !err;
	if (err)
		err = flush_failed(d, &f, err, most);
	else
		*most = FLIGHT_MOST;
	fsp_unlock(&d->lock);
	if (born)
		flight_tell(d, &f);
	flight_free(&f);
	fsp_lock(&d->lock);
	return err;
}

/* As left_locked(). */
static int touches_left(const struct dtree *t)
{
	int left = 0;

	for (const struct dnode *n = t->nodes; n; n = n->next) {
		if (!n->touch_ns || n->state != DNODE_BORN)
			continue;
		if (!n->touching)
			return 1;
		left = -EAGAIN;
	}
	return left;
}

/* Names or times of before are on their way with another one. */
static bool others_have(const struct dtree *t, uint64_t until)
{
	for (const struct flight *f = t->flights; f; f = f->next) {
		if (f->order <= until)
			return true;
		for (size_t i = 0; i < f->n; i++)
			if (f->nodes[i]->order <= until)
				return true;
	}
	return false;
}

/* 1: there is something for a flight; 0: all is born; else somebody else has
 * what is left. */
static int left_locked(const struct dtree *t, uint64_t until)
{
	if (t->unborn && t->unborn->order <= until &&
	    !flight_has(t->unborn, NULL))
		return 1;
	if (others_have(t, until))
		return -EAGAIN;
	return touches_left(t);
}

static int flush_locked(struct deleg *d, const struct fsp_ctx *ctx,
                        uint64_t root)
{
	uint64_t until = d->orders;
	size_t most = FLIGHT_MOST;
	struct dtree *t;
	int err = 0;

	while (!err && (t = dtree_find_root(d, root))) {
		int left = left_locked(t, until);

		if (!left)
			break;
		if (left > 0)
			err = flush_some(d, ctx, t, until, &most);
		else
			err = deleg_wait_locked(d, ctx);
		if (!err)
			err = fsp_ctx_check(ctx);
	}
	return err;
}

int deleg_flush(struct deleg *d, const struct fsp_ctx *ctx, uint64_t root)
{
	FSP_GUARD(&d->lock);
	return flush_locked(d, ctx, root);
}

static int release(struct deleg *d, const struct fsp_ctx *ctx, uint64_t root,
                   bool lost)
{
	return lost ? 0 : d->inner->ops->deleg_release(d->inner, ctx, d->holder,
	                                               &root, 1);
}

/* Waits for whoever ends it already. */
static struct dtree *close_locked(struct deleg *d, const struct fsp_ctx *ctx,
                                  uint64_t root, int *err)
{
	struct dtree *t;

	*err = 0;
	while ((t = dtree_find_root(d, root))) {
		t->ending = true;
		if (!t->closing)
			break;
		*err = deleg_wait_locked(d, ctx);
		if (*err)
			return NULL;
	}
	if (t)
		t->closing = true;
	return t;
}

/* Nothing more is made in it: until nothing is on its way, either. */
static int flush_last(struct deleg *d, const struct fsp_ctx *ctx,
                      struct dtree *t)
{
	int err;

	do {
		err = flush_locked(d, ctx, t->root->ino);
		while (!err && t->flights)
			err = deleg_wait_locked(d, ctx);
	} while (!err && t->unborn);
	return err;
}

int deleg_end(struct deleg *d, const struct fsp_ctx *ctx, uint64_t root)
{
	struct dtree *t;
	bool lost;
	int err;

	fsp_lock(&d->lock);
	t = close_locked(d, ctx, root, &err);
	if (!t) {
		fsp_unlock(&d->lock);
		return err;
	}
	err = flush_last(d, ctx, t);
	lost = t->lost;
	fsp_unlock(&d->lock);
	if (!err)
		err = release(d, ctx, root, lost);
	fsp_lock(&d->lock);
	t->closing = false;
	t->retry_ns = fsp_mono_ns() + FSP_NS_PER_SEC;
	if (!err)
		dtree_free(d, t);
	fsp_cond_broadcast(&d->changed);
	fsp_unlock(&d->lock);
	return err;
}
