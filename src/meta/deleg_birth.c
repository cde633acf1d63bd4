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
	                         .name = n->name, .attr = n->attr,
	                         .age_ns = fsp_mono_ns() - n->made_ns };
	if (S_ISREG(n->attr.mode))
		b->owner = d->id;
	f->nodes[f->n++] = n;
	n->flight = f;
	dnode_set_state(n, DNODE_BUSY);
	/* Of those below nobody knows who has not asked for all. */
	if (!n->parent->parent)
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

/*
 * The node and the directories it is in that have no rows, the topmost first;
 * those above alone where it takes more than one flight. Nothing where others
 * have left no room.
 */
static int collect(struct deleg *d, struct flight *f, struct dnode *n)
{
	struct dnode *up[BATCH];
	size_t depth = 0, room = BATCH - f->n;
	int err = 0;

	for (struct dnode *p = n; p->state == DNODE_UNBORN; p = p->parent)
		depth++;
	if (depth > room && f->n)
		return 0;
	for (; depth > room; depth--)
		n = n->parent;
	for (size_t i = 0; i < depth; i++, n = n->parent)
		up[i] = n;
	while (depth && !err)
		err = add_birth(d, f, up[--depth]);
	return err;
}

/* Is it, or what it is in, on its way with another flight? */
static bool is_busy_for(const struct dnode *n, const struct flight *f)
{
	for (; n; n = n->parent)
		if (n->state == DNODE_BUSY && n->flight != f)
			return true;
	return false;
}

static bool above_is_busy(const struct dnode *n)
{
	return is_busy_for(n, NULL);
}

/* ---- one name with its content, and those that others want meanwhile */

/* A caller who wants rows. Whoever finds nobody at it brings all that wait for
 * the same tree. */
struct dwant {
	struct dwant *next;
	uint64_t ino;
	const struct fsp_commit *commit;
	bool alone;             /* with others it met a conflict */
	bool taken, done, born;
	const struct flight *flight;
	size_t at;              /* its birth in that */
	int err;
	struct fsp_entry *out;
};

static void want_drop(struct deleg *d, const struct dwant *w)
{
	struct dwant **p = &d->wants;

	while (*p && *p != w)
		p = &(*p)->next;
	if (*p)
		*p = w->next;
}

static void want_done(struct deleg *d, struct dwant *w, int err)
{
	want_drop(d, w);
	w->taken = false;
	w->done = true;
	w->err = err;
}

/* Its content goes with the last of what was added for it, which is it. */
static void add_commit(struct flight *f, struct dwant *w)
{
	struct fsp_birth *b = &f->births[f->n - 1];

	if (w->commit && w->commit->object)
		b->commit = w->commit;
	else if (w->commit)
		b->owner = NULL;
	w->flight = f;
	w->at = f->n - 1;
	w->taken = true;
}

/* false: not in this flight. */
static bool take_want(struct deleg *d, struct flight *f, struct dtree *t,
                      struct dwant *w)
{
	struct dnode *n = dnode_find(d, w->ino);
	int err;

	if (!n || n->state == DNODE_BORN) {
		want_done(d, w, 0);
		return false;
	}
	if (w->taken || n->tree != t || is_busy_for(n, f))
		return false;
	err = collect(d, f, n);
	if (err)
		want_done(d, w, err);
	else if (f->n && f->nodes[f->n - 1] == n)
		add_commit(f, w);
	return w->taken;
}

/* The first is the leader's own; those who were in the way of each other go one
 * by one. */
static size_t take_wants(struct deleg *d, struct flight *f, struct dtree *t,
                         struct dwant *own)
{
	struct dwant *next;
	size_t n = take_want(d, f, t, own);

	for (struct dwant *w = d->wants; w && n && !own->alone; w = next) {
		next = w->next;
		if (w != own && !w->alone && f->n < BATCH / 2)
			n += take_want(d, f, t, w);
	}
	return n;
}

static void end_want(struct deleg *d, struct flight *f, struct dwant *w,
                     size_t n, int err)
{
	const struct fsp_birth *b = &f->births[w->at];

	if (err == -EEXIST && n > 1) {
		w->taken = false;
		w->alone = true;
		return;
	}
	if (err == -EEXIST || err == -ESTALE) {
		say_conflict(f, f->nodes[w->at], err);
		err = -EIO;
	}
	if (!err) {
		*w->out = b->out;
		/* It has its rows since an answer was lost: without this. */
		w->born = !b->was_there || !b->commit;
	}
	want_done(d, w, err);
}

static void end_wants(struct deleg *d, struct flight *f, struct dtree *t,
                      size_t n, int err)
{
	struct dwant *next;

	for (struct dwant *w = d->wants; w; w = next) {
		next = w->next;
		if (w->taken && w->flight == f)
			end_want(d, f, w, n, err);
	}
	t->leading = false;
	end_locked(d, f, err);
}

/* Nobody else of the tree is at it. */
static void lead(struct deleg *d, const struct fsp_ctx *ctx, struct dtree *t,
                 struct dwant *own)
{
	struct flight f = { .n = 0 };
	size_t n = 0;
	int err;

	fsp_assert_held(&d->lock);
	f.path = strdup(t->path);
	begin_locked(d, &f, t);
	t->leading = true;
	if (f.path)
		n = take_wants(d, &f, t, own);
	else
		want_done(d, own, -ENOMEM);
	fsp_unlock(&d->lock);
	err = f.n ? fly(d, ctx, &f) : 0;
	if (!err)
		tell_born(d, &f);
	fsp_lock(&d->lock);
	end_wants(d, &f, t, n, err);
	free_dirs(&f);
}

static void wait_for_want(struct deleg *d, const struct fsp_ctx *ctx,
                          struct dwant *w)
{
	/* Who brings it has a deadline of his own. */
	int err = fsp_cond_wait(&d->changed, &d->lock,
	                        w->taken ? 0 : ctx->deadline_ns);

	if (!err && !w->taken)
		err = fsp_ctx_check(ctx);
	if (err && !w->taken && !w->done)
		want_done(d, w, err);
}

int deleg_birth(struct deleg *d, const struct fsp_ctx *ctx, uint64_t ino,
                const struct fsp_commit *c, bool *born, struct fsp_entry *out)
{
	struct dwant w = { .ino = ino, .commit = c, .out = out }, **last;

	fsp_lock(&d->lock);
	for (last = &d->wants; *last; last = &(*last)->next)
		;
	*last = &w;
	while (!w.done) {
		struct dnode *n = dnode_find(d, ino);

		if (!w.taken && (!n || n->state == DNODE_BORN))
			want_done(d, &w, 0);
		else if (!w.taken && !n->tree->leading && !above_is_busy(n))
			lead(d, ctx, n->tree, &w);
		else
			wait_for_want(d, ctx, &w);
	}
	fsp_unlock(&d->lock);
	*born = w.born;
	return w.err;
}

/* ---- all of a tree */

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
