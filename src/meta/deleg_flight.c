/*
 * Names on their way to the rows, in one transaction. They are busy: nobody else
 * sends them, changes them or removes them meanwhile, and what is in them waits.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "deleg.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_log.h"

void flight_touch(struct flight *f, struct dnode *dir)
{
	if (!dir->touch_ns || dir->touching || f->n_touches == FLIGHT_MOST)
		return;
	f->touches[f->n_touches++] = (struct fsp_touch){ dir->ino,
	                                                 dir->touch_ns };
	dir->touching = f;
}

static void end_touch(struct deleg *d, const struct flight *f,
                      const struct fsp_touch *touch, int err)
{
	struct dnode *n = dnode_find(d, touch->ino);

	if (!n || n->touching != f)
		return;
	n->touching = NULL;
	if (!err && n->touch_ns == touch->time_ns)
		n->touch_ns = 0;
}

int flight_add(struct deleg *d, struct flight *f, struct dnode *n)
{
	struct fsp_birth *b = &f->births[f->n];

	f->dirs[f->n] = dnode_dir(n);
	if (!f->dirs[f->n])
		return -ENOMEM;
	*b = (struct fsp_birth){ .ino = n->ino, .dir = f->dirs[f->n],
	                         .name = n->name, .attr = n->attr,
	                         .age_ns = fsp_mono_ns() - n->made_ns,
	                         .maybe = n->maybe };
	if (S_ISREG(n->attr.mode))
		b->owner = d->id;
	f->nodes[f->n++] = n;
	n->flight = f;
	dnode_set_state(n, DNODE_BUSY);
	/* Of those below nobody knows who has not asked for all. */
	if (!n->parent->parent)
		flight_touch(f, n->parent);
	return 0;
}

int flight_begin(struct deleg *d, struct flight *f, struct dtree *t)
{
	fsp_assert_held(&d->lock);
	f->tree = t;
	f->next = t->flights;
	t->flights = f;
	f->order = ++d->orders;
	f->lost = t->lost;
	/* Somebody writes down what is born. */
	f->durable = d->on_birth != NULL;
	f->path = strdup(t->path);
	return f->path ? 0 : -ENOMEM;
}

bool deleg_is_unknown(int err)
{
	return err == -EHOSTDOWN || err == -ETIMEDOUT || err == -EINTR ||
	       err == -EIO;
}

void flight_end(struct deleg *d, struct flight *f, int err)
{
	struct dtree *t = f->tree;
	struct flight **p = &t->flights;

	fsp_assert_held(&d->lock);
	for (size_t i = 0; i < f->n; i++) {
		f->nodes[i]->flight = NULL;
		f->nodes[i]->maybe = err && (f->nodes[i]->maybe ||
		                             deleg_is_unknown(err));
		dnode_set_state(f->nodes[i], err ? DNODE_UNBORN : DNODE_BORN);
	}
	for (size_t i = 0; i < f->n_touches; i++)
		end_touch(d, f, &f->touches[i], err);
	while (*p != f)
		p = &(*p)->next;
	*p = f->next;
	/* Whoever brings contents is still at it. */
	t->used_ns = fsp_mono_ns();
	t->lost = t->lost || f->lost || err == -ESTALE;
	t->ending = t->ending || t->lost;
	fsp_cond_broadcast(&d->changed);
}

bool flight_has(const struct dnode *n, const struct flight *but)
{
	for (; n; n = n->parent)
		if (n->state == DNODE_BUSY && n->flight != but)
			return true;
	return false;
}

static int graft(struct deleg *d, const struct fsp_ctx *ctx, struct flight *f)
{
	struct fsp_graft g = {
		.root = { .ino = f->tree->root->ino, .path = f->path },
		.holder = f->lost ? 0 : d->holder,
		.births = f->births, .n = f->n,
		.touches = f->touches, .n_touches = f->n_touches,
		.durable = f->durable,
	};

	return d->inner->ops->graft(d->inner, ctx, &g);
}

/*
 * Where the delegation was taken from us, what was promised under it is made all
 * the same, unless somebody else has made a name of ours meanwhile.
 */
int flight_fly(struct deleg *d, const struct fsp_ctx *ctx, struct flight *f)
{
	int err = graft(d, ctx, f);

	if (err != -ENOLCK)
		return err;
	fsp_warn("/%s: was taken from this mount, which was not heard of for "
	         "too long", f->path);
	f->lost = true;
	return graft(d, ctx, f);
}

void flight_free(struct flight *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->dirs[i]);
	free(f->path);
}

void flight_tell(struct deleg *d, const struct flight *f)
{
	void (*fn)(void *arg, uint64_t ino);
	void *arg;

	fsp_lock(&d->lock);
	fn = f->durable ? d->on_birth : NULL;
	arg = d->birth_arg;
	d->telling += fn != NULL;
	fsp_unlock(&d->lock);
	if (!fn)
		return;
	for (size_t i = 0; i < f->n; i++)
		if (S_ISREG(f->births[i].attr.mode) && !f->births[i].commit)
			fn(arg, f->births[i].ino);
	fsp_lock(&d->lock);
	d->telling--;
	fsp_cond_broadcast(&d->changed);
	fsp_unlock(&d->lock);
}

void flight_say(const struct flight *f, const struct dnode *n, int err)
{
	FSP_FREE char *dir = dnode_dir(n);

	fsp_error("/%s%s%s/%s: made here, and by another host or gone with its "
	          "directory while this mount was not heard of: %s", f->path,
	          dir && *dir ? "/" : "", dir ? dir : "", n->name,
	          strerror(-err));
}
