/*
 * The first content of a name: it becomes a row, with the directories it is in,
 * and with those that others bring to the same tree meanwhile.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "deleg.h"

/* A caller who wants rows. Whoever finds nobody at it brings all that wait for
 * the same tree. */
struct dwant {
	struct dwant *next;
	uint64_t ino;
	const struct fsp_commit *commit;
	bool alone;             /* with others it met a conflict */
	bool done, born;
	const struct flight *flight;    /* that brings it, or NULL */
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
	w->flight = NULL;
	w->done = true;
	w->err = err;
}

/*
 * The node and the directories it is in that have no rows, the topmost first;
 * those above alone where it takes more than one flight. Nothing where others
 * have left no room.
 */
static int collect(struct deleg *d, struct flight *f, struct dnode *n)
{
	struct dnode *up[FLIGHT_MOST];
	size_t depth = 0, room = FLIGHT_MOST - f->n;
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
		err = flight_add(d, f, up[--depth]);
	return err;
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
	if (w->flight || n->tree != t || flight_has(n, f))
		return false;
	err = collect(d, f, n);
	if (err)
		want_done(d, w, err);
	else if (f->n && f->nodes[f->n - 1] == n)
		add_commit(f, w);
	return w->flight != NULL;
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
		if (w != own && !w->alone && f->n < FLIGHT_MOST / 2)
			n += take_want(d, f, t, w);
	}
	return n;
}

/* What was the matter with one, or with the leader's caller, is not theirs. */
static bool is_tried_again(struct dwant *w, const struct dwant *own, size_t n,
                           int err)
{
	if (!err)
		return false;
	if (n > 1 && !deleg_passes(err))
		w->alone = true;
	else if (w == own || (err != -EINTR && err != -ETIMEDOUT))
		return false;
	w->flight = NULL;
	return true;
}

static void end_want(struct deleg *d, struct flight *f, struct dwant *w,
                     const struct dwant *own, size_t n, int err)
{
	const struct fsp_birth *b = &f->births[w->at];

	if (is_tried_again(w, own, n, err))
		return;
	if (err == -EEXIST || err == -ESTALE) {
		flight_say(f, f->nodes[w->at], err);
		err = -EIO;
	}
	if (!err) {
		*w->out = b->out;
		/* It has its rows since an answer was lost: without this. */
		w->born = !b->was_there;
	}
	want_done(d, w, err);
}

static void end_wants(struct deleg *d, struct flight *f, struct dwant *own,
                      size_t n, int err)
{
	struct dwant *next;

	for (struct dwant *w = d->wants; w; w = next) {
		next = w->next;
		if (w->flight == f)
			end_want(d, f, w, own, n, err);
	}
	/* What is above it took a flight of its own. */
	if (err && !own->done && !n)
		want_done(d, own, err);
	f->tree->leading = false;
	flight_end(d, f, err);
}

/* Nobody else of the tree is at it. */
static void lead(struct deleg *d, const struct fsp_ctx *ctx, struct dtree *t,
                 struct dwant *own)
{
	struct flight f = { .n = 0 };
	size_t n = 0;
	int err;

	fsp_assert_held(&d->lock);
	t->leading = true;
	err = flight_begin(d, &f, t);
	if (err)
		want_done(d, own, err);
	else
		n = take_wants(d, &f, t, own);
	fsp_unlock(&d->lock);
	if (f.n)
		err = flight_fly(d, ctx, &f);
	fsp_lock(&d->lock);
	end_wants(d, &f, own, n, err);
	fsp_unlock(&d->lock);
	if (!err)
		flight_tell(d, &f);
	flight_free(&f);
	fsp_lock(&d->lock);
}

static void wait_for_want(struct deleg *d, const struct fsp_ctx *ctx,
                          struct dwant *w)
{
	/* Who brings it has a deadline of his own. */
	int err = fsp_cond_wait(&d->changed, &d->lock,
	                        w->flight ? 0 : ctx->deadline_ns);

	if (!err && !w->flight)
		err = fsp_ctx_check(ctx);
	if (err && !w->flight && !w->done)
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

		if (!w.flight && (!n || n->state == DNODE_BORN))
			want_done(d, &w, 0);
		else if (!w.flight && !n->tree->leading && !flight_has(n, NULL))
			lead(d, ctx, n->tree, &w);
		else
			wait_for_want(d, ctx, &w);
	}
	if (!w.err && !w.born && deleg_is_condemned(d, ino))
		w.err = -EIO;
	fsp_unlock(&d->lock);
	*born = w.born;
	return w.err;
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
