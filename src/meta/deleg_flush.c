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

/* Another host has one of these names: it is told of, and not made. */
static void give_up(struct deleg *d, const struct flight *f, int err)
{
	fsp_assert_held(&d->lock);
	for (size_t i = f->n; i-- > 0;) {
		struct dnode *n = f->nodes[i];

		if (n->unborn_in)
			continue;
		flight_say(f, n, err);
		dnode_free(d, n);
	}
	/* The directory itself has gone: nothing in it has times. */
	for (struct dnode *n = f->tree->nodes; n && err == -ESTALE; n = n->next)
		n->touch_ns = 0;
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
	if (!err)
		collect_touches(&f, t);
	fsp_unlock(&d->lock);
	if (!err && (f.n || f.n_touches))
		err = flight_fly(d, ctx, &f);
	fsp_lock(&d->lock);
	flight_end(d, &f, err);
	born = !err;
	if (err == -EEXIST && f.n > 1) {
		*most = 1;
		err = 0;
	} else if (err == -EEXIST || err == -ESTALE) {
		give_up(d, &f, err);
		err = 0;
	}
	fsp_unlock(&d->lock);
	if (born)
		flight_tell(d, &f);
	flight_free(&f);
	fsp_lock(&d->lock);
	return err;
}

static bool has_touch(const struct dtree *t)
{
	for (const struct dnode *n = t->nodes; n; n = n->next)
		if (n->touch_ns && n->state == DNODE_BORN)
			return true;
	return false;
}

static bool others_have(const struct dtree *t, uint64_t until)
{
	for (const struct flight *f = t->flights; f; f = f->next)
		for (size_t i = 0; i < f->n; i++)
			if (f->nodes[i]->order <= until)
				return true;
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
	return has_touch(t);
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
			err = fsp_cond_wait(&d->changed, &d->lock,
			                    ctx->deadline_ns);
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
		*err = fsp_cond_wait(&d->changed, &d->lock, ctx->deadline_ns);
		if (!*err)
			*err = fsp_ctx_check(ctx);
		if (*err)
			return NULL;
	}
	if (t)
		t->closing = true;
	return t;
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
	err = flush_locked(d, ctx, root);
	lost = t->lost;
	fsp_unlock(&d->lock);
	if (!err)
		err = release(d, ctx, root, lost);
	fsp_lock(&d->lock);
	while (t->flights)
		(void)fsp_cond_wait(&d->changed, &d->lock, 0);
	if (!err && t->unborn)
		err = -EAGAIN;          /* one has failed */
	t->closing = false;
	t->retry_ns = fsp_mono_ns() + FSP_NS_PER_SEC;
	if (!err)
		dtree_free(d, t);
	fsp_cond_broadcast(&d->changed);
	fsp_unlock(&d->lock);
	return err;
}

