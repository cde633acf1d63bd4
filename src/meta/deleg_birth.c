/*
 * From names in memory to rows. What is on its way is busy: nobody else sends
 * it, changes it or removes it meanwhile, and what is in it waits.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "deleg.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_log.h"
#include "fsp_path.h"

#define BATCH 64

/* Names that become rows in one transaction. */
struct flight {
	struct dnode *nodes[BATCH];
	struct fsp_birth births[BATCH];
	char *dirs[BATCH];              /* of those */
	struct fsp_touch touches[BATCH];
	size_t n, n_touches;
	uint64_t root;
	char *path;
	bool lost;
	bool durable;
};

static void free_dirs(struct flight *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->dirs[i]);
	free(f->path);
	f->path = NULL;
}

/* The directory's times go along, once. */
static void add_touch(struct flight *f, struct dnode *dir)
{
	if (!dir->touch_ns || f->n_touches == BATCH)
		return;
	f->touches[f->n_touches++] = (struct fsp_touch){ dir->ino,
	                                                 dir->touch_ns };
	dir->touch_ns = 0;
}

static int add_birth(struct deleg *d, struct flight *f, struct dnode *n)
{
	struct fsp_birth *b = &f->births[f->n];

	f->dirs[f->n] = dnode_dir(n);
	if (!f->dirs[f->n])
		return -ENOMEM;
	*b = (struct fsp_birth){ .ino = n->ino, .dir = f->dirs[f->n],
	                         .name = n->name, .attr = n->attr };
	if (S_ISREG(n->attr.mode))
		b->owner = d->id;
	f->nodes[f->n++] = n;
	n->flight = f;
	dnode_set_state(n, DNODE_BUSY);
	if (n->parent->state == DNODE_BORN)
		add_touch(f, n->parent);
	return 0;
}

static void begin_locked(struct deleg *d, struct flight *f, struct dtree *t)
{
	fsp_assert_held(&d->lock);
	t->flying++;
	f->root = t->root->ino;
	f->lost = t->lost;
	/* Somebody writes down what is born. */
	f->durable = d->on_birth != NULL;
}

/* All of them were born, or none was. */
static void end_locked(struct deleg *d, struct flight *f, int err)
{
	struct dtree *t = f->n ? f->nodes[0]->tree :
		dtree_find_root(d, f->root);

	fsp_assert_held(&d->lock);
	for (size_t i = 0; i < f->n; i++) {
		f->nodes[i]->flight = NULL;
		dnode_set_state(f->nodes[i], err ? DNODE_UNBORN : DNODE_BORN);
	}
	for (size_t i = 0; err && i < f->n_touches; i++) {
		struct dnode *n = dnode_find(d, f->touches[i].ino);

		if (n && n->touch_ns < f->touches[i].time_ns)
			n->touch_ns = f->touches[i].time_ns;
	}
	t->flying--;
	/* Whoever brings contents is still at it. */
	t->used_ns = t->oldest_ns = fsp_mono_ns();
	t->lost = t->lost || f->lost || err == -ESTALE;
	t->ending = t->ending || t->lost;
	fsp_cond_broadcast(&d->changed);
}

static int graft(struct deleg *d, const struct fsp_ctx *ctx, struct flight *f)
{
	struct fsp_graft g = {
		.root = { .ino = f->root, .path = f->path },
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
static int fly(struct deleg *d, const struct fsp_ctx *ctx, struct flight *f)
{
	int err = graft(d, ctx, f);

	if (err != -ENOLCK)
		return err;
	fsp_warn("/%s: was taken from this mount, which was not heard of for "
	         "too long", f->path);
	f->lost = true;
	return graft(d, ctx, f);
}

/* Those that have no content yet: what is promised of them is told so. */
static void tell_born(struct deleg *d, const struct flight *f)
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

static void say_conflict(const struct flight *f, const struct dnode *n, int err)
{
	FSP_FREE char *dir = dnode_dir(n);

	fsp_error("/%s%s%s/%s: made here, and by another host or gone with its "
	          "directory while this mount was not heard of: %s", f->path,
	          dir && *dir ? "/" : "", dir ? dir : "", n->name,
	          strerror(-err));
}

/* The node and the directories it is in that have no rows, the topmost first. */
static int collect(struct deleg *d, struct flight *f, struct dnode *n)
{
	struct dnode *up[BATCH];
	size_t depth = 0;
	int err = 0;

	for (; n && n->state == DNODE_UNBORN && depth < BATCH; n = n->parent)
		up[depth++] = n;
	/* So deep that it takes more than one: those above first. */
	while (depth && !err)
		err = add_birth(d, f, up[--depth]);
	return err;
}

static bool above_is_busy(const struct dnode *n)
{
	for (; n; n = n->parent)
		if (n->state == DNODE_BUSY)
			return true;
	return false;
}

/*
 * Waits until nobody is making the rows of it, or of what it is in. NULL: it is
 * not unborn. -errno in *err: it takes too long.
 */
static struct dnode *wait_locked(struct deleg *d, const struct fsp_ctx *ctx,
                                 uint64_t ino, int *err)
{
	struct dnode *n;

	*err = 0;
	while ((n = dnode_find(d, ino)) && above_is_busy(n)) {
		*err = fsp_cond_wait(&d->changed, &d->lock, ctx->deadline_ns);
		if (!*err)
			*err = fsp_ctx_check(ctx);
		if (*err)
			return NULL;
	}
	return n && n->state == DNODE_UNBORN ? n : NULL;
}

/* Its content goes with the last of the flight, which is it. */
static void add_commit(struct flight *f, const struct fsp_commit *c)
{
	struct fsp_birth *b = &f->births[f->n - 1];

	if (c && c->object)
		b->commit = c;
	else if (c)
		b->owner = NULL;
}

static int birth_once(struct deleg *d, const struct fsp_ctx *ctx, uint64_t ino,
                      const struct fsp_commit *c, bool *born, bool *again,
                      struct fsp_entry *out)
{
	struct flight f = { .n = 0 };
	struct fsp_birth *last;
	struct dnode *n;
	int err;

	*again = false;
	fsp_lock(&d->lock);
	n = wait_locked(d, ctx, ino, &err);
	if (!n) {
		fsp_unlock(&d->lock);
		return err;
	}
	f.path = strdup(n->tree->path);
	begin_locked(d, &f, n->tree);
	err = f.path ? collect(d, &f, n) : -ENOMEM;
	fsp_unlock(&d->lock);
	*again = f.n && f.nodes[f.n - 1] != n;
	if (!err && !*again)
		add_commit(&f, c);
	if (!err)
		err = fly(d, ctx, &f);
	last = f.n ? &f.births[f.n - 1] : NULL;
	if (!err && !*again) {
		*out = last->out;
		/* It has its rows since an answer was lost: without this. */
		*born = !last->was_there || !last->commit;
	}
	fsp_lock(&d->lock);
	if (err == -EEXIST || err == -ESTALE)
		say_conflict(&f, f.nodes[f.n - 1], err);
	end_locked(d, &f, err);
	fsp_unlock(&d->lock);
	if (!err)
		tell_born(d, &f);
	free_dirs(&f);
	return err == -EEXIST || err == -ESTALE ? -EIO : err;
}

int deleg_birth(struct deleg *d, const struct fsp_ctx *ctx, uint64_t ino,
                const struct fsp_commit *c, bool *born, struct fsp_entry *out)
{
	bool again;
	int err;

	*born = false;
	do {
		err = birth_once(d, ctx, ino, c, born, &again, out);
	} while (!err && again);
	return err;
}

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
			err = add_birth(d, f, n);
	}
	return err;
}

/* Of directories in which nothing is unborn, times may still have to go. */
static void collect_touches(struct flight *f, struct dtree *t)
{
	for (struct dnode *n = t->nodes; n; n = n->next)
		if (n->state == DNODE_BORN)
			add_touch(f, n);
}

/* Another host has one of these names: it is told of, and not made. */
static void give_up(struct deleg *d, const struct flight *f, int err)
{
	FSP_GUARD(&d->lock);
	for (size_t i = f->n; i-- > 0;) {
		struct dnode *n = f->nodes[i];

		if (n->state != DNODE_UNBORN || n->unborn_in)
			continue;
		say_conflict(f, n, err);
		dnode_free(d, n);
	}
}

/* *most: how many at once; 1 after one of several has met a conflict. */
static int flush_some(struct deleg *d, const struct fsp_ctx *ctx,
                      struct dtree *t, uint64_t until, size_t *most)
{
	struct flight f = { .n = 0 };
	int err;

	fsp_assert_held(&d->lock);
	f.path = strdup(t->path);
	begin_locked(d, &f, t);
	err = f.path ? collect_oldest(d, &f, t, until, *most) : -ENOMEM;
	if (!err)
		collect_touches(&f, t);
	fsp_unlock(&d->lock);
	if (!err && (f.n || f.n_touches))
		err = fly(d, ctx, &f);
	fsp_lock(&d->lock);
	end_locked(d, &f, err);
	fsp_unlock(&d->lock);
	if (!err)
		tell_born(d, &f);
	if (err == -EEXIST && f.n > 1) {
		*most = 1;
		err = 0;
	} else if (err == -EEXIST || err == -ESTALE) {
		give_up(d, &f, err);
		err = 0;
	}
	free_dirs(&f);
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

/* 1: there is something for a flight; 0: all is born; else somebody else has
 * what is left. */
static int left_locked(const struct dtree *t, uint64_t until)
{
	if (t->unborn && t->unborn->order <= until &&
	    !above_is_busy(t->unborn))
		return 1;
	if (t->flying)
		return -EAGAIN;
	return has_touch(t);
}

static int flush_locked(struct deleg *d, const struct fsp_ctx *ctx,
                        uint64_t root)
{
	uint64_t until = d->orders;
	size_t most = BATCH;
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
	while (t->flying)
		(void)fsp_cond_wait(&d->changed, &d->lock, 0);
	t->closing = false;
	t->retry_ns = fsp_mono_ns() + FSP_NS_PER_SEC;
	if (!err)
		dtree_free(d, t);
	fsp_cond_broadcast(&d->changed);
	fsp_unlock(&d->lock);
	return err;
}

static struct fsp_unborn_dir *dirs_of(const struct dnode *n, size_t *count)
{
	struct fsp_unborn_dir *v;
	size_t depth = 0;

	for (const struct dnode *p = n->parent; p->state != DNODE_BORN;
	     p = p->parent)
		depth++;
	v = calloc(depth + 1, sizeof(*v));
	*count = depth;
	for (const struct dnode *p = n->parent; v && depth; p = p->parent)
		v[--depth] = (struct fsp_unborn_dir){
			p->ino, p->attr.mode, p->attr.uid, p->attr.gid,
			p->attr.atime_ns, p->attr.mtime_ns, p->attr.ctime_ns,
		};
	return v;
}

int fsp_meta_unborn(struct fsp_meta *m, uint64_t ino,
                    struct fsp_unborn_dir **dirs, size_t *n)
{
	struct deleg *d = deleg_of(m);
	const struct dnode *node;

	*dirs = NULL;
	*n = 0;
	if (!deleg_is(m))
		return -ENOENT;
	FSP_GUARD(&d->lock);
	node = dnode_find(d, ino);
	/* One that is on its way may still fail to be one. */
	if (!node || node->state == DNODE_BORN || !node->parent)
		return -ENOENT;
	*dirs = dirs_of(node, n);
	return *dirs ? 0 : -ENOMEM;
}

void fsp_meta_on_birth(struct fsp_meta *m, void (*fn)(void *arg, uint64_t ino),
                       void *arg)
{
	struct deleg *d = deleg_of(m);

	if (!deleg_is(m))
		return;
	FSP_GUARD(&d->lock);
	d->on_birth = fn;
	d->birth_arg = arg;
	/* Who is just calling it has what was there before. */
	while (d->telling)
		(void)fsp_cond_wait(&d->changed, &d->lock, 0);
}
