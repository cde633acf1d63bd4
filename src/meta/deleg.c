/*
 * Names that are not rows yet: look-ups, making, removing, renaming. DESIGN.md.
 */
#include "deleg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "deleg_ops.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_path.h"

/* That a name is not there was true for so long: PHP asks nobody. */
#define ABSENT_NS (FSP_NS_PER_SEC / 100)
/* Without an answer of the database for so long nothing more is promised. */
#define CONTACT_NS FSP_NS_PER_SEC

/* 1: ask the rows. */
static int lookup_locked(struct deleg *d, const struct fsp_ctx *ctx,
                         const char *dir, const char *name,
                         struct fsp_entry *out)
{
	int64_t since = fsp_mono_ns() - ABSENT_NS;
	struct dnode *n, *child;
	struct dtree *t;
	int err;

	fsp_assert_held(&d->lock);
	for (;;) {
		t = dtree_find(d, dir, &n);
		if (!t || !n || !S_ISDIR(n->attr.mode))
			return 1;
		child = dnode_child(d, n, name);
		if (child && child->state != DNODE_BORN) {
			dnode_fill(child, out);
			return 0;
		}
		if (child || t->ending || n->forgets)
			return 1;
		err = deleg_fresh_locked(d, ctx, t, since);
		if (err != -EAGAIN)
			return err ? err : t->ending ? 1 : -ENOENT;
	}
}

int deleg_lookup(struct fsp_meta *m, const struct fsp_ctx *ctx,
                 const char *dir, const char *name, bool known,
                 struct fsp_entry *out)
{
	struct deleg *d = deleg_of(m);
	int err = deleg_enter(d, ctx, dir);

	if (err)
		return err;
	err = 1;
	if (atomic_load(&d->n_trees)) {
		FSP_GUARD(&d->lock);
		err = lookup_locked(d, ctx, dir, name, out);
	}
	if (err <= 0)
		return err;
	err = d->inner->ops->lookup(d->inner, ctx, dir, name, known, out);
	if (!err)
		deleg_seen(d, dir, name, out);
	return err;
}

/* ---- making */

static int take_ino(struct deleg *d, const struct fsp_ctx *ctx, uint64_t *ino)
{
	fsp_lock(&d->lock);
	*ino = d->spare_ino;
	d->spare_ino = 0;
	fsp_unlock(&d->lock);
	return *ino ? 0 : d->inner->ops->new_ino(d->inner, ctx, ino);
}

static void give_ino(struct deleg *d, uint64_t ino)
{
	FSP_GUARD(&d->lock);
	d->spare_ino = ino;
}

static void new_attr(const struct fsp_new *what, const struct fsp_attr *dir,
                     uint64_t ino, struct fsp_attr *a)
{
	int64_t now = fsp_now_ns();

	*a = (struct fsp_attr){
		.ino = ino,
		.mode = what->mode & (S_IFMT | 07777),
		.uid = what->uid,
		.gid = what->gid,
		.nlink = 1,
		.size = S_ISDIR(what->mode) ? 4096 : 0,
		.atime_ns = now, .mtime_ns = now, .ctime_ns = now,
	};
	if (!(dir->mode & S_ISGID))
		return;
	a->gid = dir->gid;
	if (S_ISDIR(a->mode))
		a->mode |= S_ISGID;
}

/* Is the node at the place's path its directory? */
static bool is_place(const struct dnode *dir, const struct fsp_place *at)
{
	return dir && (!at->dir_ino || at->dir_ino == dir->ino);
}

/*
 * The directory of a place, where its names are in memory: NULL with 1: they are
 * not. Others may have been heard of meanwhile, so it is looked for again.
 */
static struct dnode *place_locked(struct deleg *d, const struct fsp_ctx *ctx,
                                  const struct fsp_place *at, int *err)
{
	int64_t since = fsp_mono_ns() - CONTACT_NS;
	struct dnode *n;
	struct dtree *t;

	fsp_assert_held(&d->lock);
	for (;;) {
		t = dtree_find(d, at->dir, &n);
		*err = 1;
		if (!t || t->ending || !is_place(n, at) ||
		    !S_ISDIR(n->attr.mode))
			return NULL;
		*err = deleg_fresh_locked(d, ctx, t, since);
		if (!*err && !t->ending)
			return n;
		if (*err && *err != -EAGAIN)
			return NULL;
	}
}

/* Room for one more name in the directory, which itself stays. */
static bool has_room(struct deleg *d, struct dnode *dir)
{
	struct dtree *t = dir->tree;

	if (t->n >= DELEG_TREE_MOST || d->n_names >= DELEG_NAMES_MOST) {
		dir->in++;
		dtree_prune(d, t);
		dir->in--;
	}
	/* Of what is not in the rows there may not be that much. */
	return t->n < DELEG_TREE_MOST && d->n_names < DELEG_NAMES_MOST;
}

#define AS_EVER 1
#define IS_FORGOTTEN 2  /* the rows have to say that there is none */

static int make_locked(struct deleg *d, const struct fsp_ctx *ctx,
                       const struct fsp_place *at, const struct fsp_new *what,
                       uint64_t ino, bool absent, struct fsp_entry *out)
{
	struct dnode *n, *dir;
	struct fsp_attr a;
	int err;

	dir = place_locked(d, ctx, at, &err);
	if (!dir)
		return err;
	n = dnode_child(d, dir, at->name);
	if (n && n->state != DNODE_BORN)
		return -EEXIST;
	/* It is in the rows, unless PHP has removed it. */
	if (n || !has_room(d, dir))
		return AS_EVER;
	if (dir->forgets && !absent)
		return IS_FORGOTTEN;
	new_attr(what, &dir->attr, ino, &a);
	n = dnode_new(d, dir, at->name, &a, DNODE_UNBORN);
	if (!n)
		return -ENOMEM;
	dnode_touch(dir, a.mtime_ns);
	dir->tree->used_ns = fsp_mono_ns();
	dnode_fill(n, out);
	return 0;
}

static int make_in_memory(struct deleg *d, const struct fsp_ctx *ctx,
                          const struct fsp_place *at,
                          const struct fsp_new *what, struct fsp_entry *out)
{
	uint64_t ino;
	int err;

	if (!atomic_load(&d->n_trees) ||
	    (!S_ISREG(what->mode) && !S_ISDIR(what->mode)))
		return AS_EVER;
	/* The rows say what is wrong with it. */
	if (!fsp_name_valid(at->name, strlen(at->name)) ||
	    strlen(at->dir) + 1 + strlen(at->name) >= FSP_PATH_MAX)
		return AS_EVER;
	err = take_ino(d, ctx, &ino);
	if (err)
		return err;
	fsp_lock(&d->lock);
	err = make_locked(d, ctx, at, what, ino, false, out);
	fsp_unlock(&d->lock);
	if (err == IS_FORGOTTEN) {
		err = d->inner->ops->lookup(d->inner, ctx, at->dir, at->name,
		                            false, out);
		fsp_lock(&d->lock);
		err = err == -ENOENT ?
			make_locked(d, ctx, at, what, ino, true, out) :
			err ? err : AS_EVER;
		fsp_unlock(&d->lock);
	}
	if (err)
		give_ino(d, ino);
	return err;
}

/* The rows have just moved its times, with those of what was made or removed. */
static void touched_in_rows(struct dnode *dir, const struct fsp_entry *e)
{
	if (dir->touch_ns <= e->attr.ctime_ns)
		dir->touch_ns = 0;
}

/* A name that the rows have by now, in a directory whose names are known. */
static void add_born(struct deleg *d, const struct fsp_place *at,
                     const struct fsp_entry *e)
{
	struct dnode *dir, *old;

	FSP_GUARD(&d->lock);
	if (!dtree_find(d, at->dir, &dir) || !is_place(dir, at))
		return;
	touched_in_rows(dir, e);
	old = dnode_child(d, dir, at->name);
	if (old && old->state == DNODE_BORN && !old->in)
		dnode_free(d, old);
	if (dnode_find(d, e->attr.ino) ||
	    !dnode_new(d, dir, at->name, &e->attr, DNODE_BORN))
		dir->forgets = true;    /* a second name of it, or no memory */
}

/* Whether something happened in a directory is not known, and so what is in it
 * is not: it is given up. */
static int doubt(struct deleg *d, const char *path, int err)
{
	struct dtree *t;
	struct dnode *dir;

	if (!deleg_is_unknown(err) || !atomic_load(&d->n_trees))
		return err;
	FSP_GUARD(&d->lock);
	t = dtree_find(d, path, &dir);
	if (!t)
		return err;
	if (dir)
		dir->forgets = true;
	t->ending = true;
	fsp_worker_wake(&d->worker);
	return err;
}

bool deleg_holds(struct deleg *d, const char *dir)
{
	struct dnode *n;

	if (!atomic_load(&d->n_trees))
		return false;
	FSP_GUARD(&d->lock);
	return dtree_find(d, dir, &n) != NULL;
}

/*
 * In the rows, and the directory's own before that. A new directory is ours, but
 * not in one that is just being given up.
 */
static int make_row(struct deleg *d, const struct fsp_ctx *ctx,
                    const struct fsp_place *at, const struct fsp_new *what,
                    struct fsp_entry *out)
{
	struct fsp_new with = *what;
	FSP_FREE char *path = NULL;
	int64_t began = fsp_mono_ns();
	bool hold = S_ISDIR(what->mode) && deleg_may_hold(d) &&
		!deleg_holds(d, at->dir);
	int err = deleg_settle(d, ctx, at->dir);

	if (hold)
		path = fsp_path_join(at->dir, at->name);
	if (path)
		with.holder = d->holder;
	atomic_fetch_add(&d->making, 1);
	if (!err)
		err = d->inner->ops->create(d->inner, ctx, at, &with, out);
	if (!err)
		add_born(d, at, out);
	if (!err && path)
		deleg_hold(d, ctx, path, out, began);
	atomic_fetch_sub(&d->making, 1);
	return doubt(d, at->dir, err);
}

int deleg_create(struct fsp_meta *m, const struct fsp_ctx *ctx,
                 const struct fsp_place *at, const struct fsp_new *what,
                 struct fsp_entry *out)
{
	struct deleg *d = deleg_of(m);
	int err = deleg_enter(d, ctx, at->dir);

	if (!err)
		err = make_in_memory(d, ctx, at, what, out);
	return err == AS_EVER ? make_row(d, ctx, at, what, out) : err;
}

int deleg_link(struct fsp_meta *m, const struct fsp_ctx *ctx,
               const struct fsp_ref *ref, const struct fsp_place *to,
               struct fsp_entry *out)
{
	struct deleg *d = deleg_of(m);
	bool born;
	int err = deleg_enter(d, ctx, to->dir);

	if (!err)
		err = deleg_birth(d, ctx, ref->ino, NULL, &born, out);
	if (!err)
		err = deleg_settle(d, ctx, to->dir);
	if (!err)
		err = d->inner->ops->link(d->inner, ctx, ref, to, out);
	if (!err)
		add_born(d, to, out);
	return doubt(d, to->dir, err);
}

/* ---- removing and renaming */

/*
 * What never was in the rows goes as if it had never been. 1: it was. 2: it has to
 * be there first, since it may be there already, or the spool's journal tells of
 * it.
 */
static int drop_locked(struct deleg *d, const struct fsp_ctx *ctx,
                       const struct fsp_place *at, bool is_rmdir,
                       uint64_t *ino, struct fsp_entry *out)
{
	struct dnode *dir, *n;
	int err;

	fsp_assert_held(&d->lock);
	for (;;) {
		if (!dtree_find(d, at->dir, &dir) || !is_place(dir, at) ||
		    !(n = dnode_child(d, dir, at->name)))
			return 1;
		if (n->state != DNODE_BUSY)
			break;
		err = deleg_wait_locked(d, ctx);
		if (err)
			return err;
	}
	if (is_rmdir && n->unborn_in)
		return -ENOTEMPTY;
	if (n->state == DNODE_BORN)
		return 1;
	if (at->stub_ino && at->stub_ino != n->ino)
		return -ESTALE;
	if (is_rmdir != S_ISDIR(n->attr.mode))
		return is_rmdir ? -ENOTDIR : -EISDIR;
	*ino = n->ino;
	if (n->maybe || (d->on_birth && !is_rmdir))
		return 2;
	n->attr.nlink = 0;
	n->attr.ctime_ns = fsp_now_ns();
	dnode_fill(n, out);
	dnode_touch(dir, n->attr.ctime_ns);
	dnode_free(d, n);
	return 0;
}

/*
 * The rows, which say what it was, do not have it any more; or perhaps: of two
 * names of one inode renaming removes none.
 */
static void forget_born(struct deleg *d, const struct fsp_place *at,
                        struct fsp_entry *was, bool perhaps)
{
	struct dnode *dir, *n;

	FSP_GUARD(&d->lock);
	if (!dtree_find(d, at->dir, &dir) || !is_place(dir, at))
		return;
	touched_in_rows(dir, was);
	n = dnode_child(d, dir, at->name);
	if (n && n->ino == was->attr.ino)
		dnode_touched(n, &was->attr);
	if (n && n->state == DNODE_BORN && !n->in)
		dnode_free(d, n);
	else if (n)
		perhaps = true;
	dir->forgets = dir->forgets || perhaps;
}

static int end_at(struct deleg *d, const struct fsp_ctx *ctx,
                  const struct fsp_place *at)
{
	FSP_FREE char *path = NULL;

	if (!atomic_load(&d->n_trees))
		return 0;
	path = fsp_path_join(at->dir, at->name);
	return path ? deleg_end_at(d, ctx, path) : -ENOMEM;
}

/* It may be a directory that is ours. */
static bool is_held(struct deleg *d, const struct fsp_place *at)
{
	FSP_FREE char *path = NULL;
	bool held = false;

	if (!atomic_load(&d->n_trees))
		return false;
	path = fsp_path_join(at->dir, at->name);
	FSP_GUARD(&d->lock);
	for (const struct dtree *t = d->trees; t && !held; t = t->next)
		held = !path || strcmp(t->path, path) == 0;
	return held;
}

int deleg_remove(struct fsp_meta *m, const struct fsp_ctx *ctx,
                 const struct fsp_place *at, bool is_rmdir,
                 struct fsp_entry *out)
{
	struct deleg *d = deleg_of(m);
	uint64_t ino = 0;
	bool born;
	int err = deleg_enter_at(d, ctx, at);

	if (!err && is_rmdir && is_held(d, at))
		err = end_at(d, ctx, at);
	if (err)
		return err;
	fsp_lock(&d->lock);
	err = drop_locked(d, ctx, at, is_rmdir, &ino, out);
	fsp_unlock(&d->lock);
	if (err == 2)
		err = deleg_birth(d, ctx, ino, NULL, &born, out);
	else if (err == 1)
		err = 0;
	else
		return err;
	if (err)
		return err;
	err = d->inner->ops->remove(d->inner, ctx, at, is_rmdir, out);
	if (!err)
		forget_born(d, at, out, false);
	return doubt(d, at->dir, err);
}

/* A file within one tree: the delegation stays. */
static bool is_file_within(struct deleg *d, const struct fsp_place *from,
                           const struct fsp_place *to)
{
	struct dnode *a, *b, *n;
	struct dtree *t;

	FSP_GUARD(&d->lock);
	t = dtree_find(d, from->dir, &a);
	if (!t || !a || dtree_find(d, to->dir, &b) != t || !b)
		return false;
	n = dnode_child(d, a, from->name);
	if (!n || S_ISDIR(n->attr.mode))
		return false;
	n = dnode_child(d, b, to->name);
	return !n || !S_ISDIR(n->attr.mode);
}

static int settle_both(struct deleg *d, const struct fsp_ctx *ctx,
                       const struct fsp_place *from, const struct fsp_place *to,
                       bool within)
{
	int err;

	if (!atomic_load(&d->n_trees))
		return 0;
	if (within)
		return deleg_settle(d, ctx, from->dir);
	err = end_at(d, ctx, from);
	return err ? err : end_at(d, ctx, to);
}

int deleg_rename(struct fsp_meta *m, const struct fsp_ctx *ctx,
                 const struct fsp_place *from, const struct fsp_place *to,
                 uint32_t flags, struct fsp_renamed *out)
{
	struct deleg *d = deleg_of(m);
	bool within = !flags && atomic_load(&d->n_trees) &&
		is_file_within(d, from, to);
	int err = deleg_enter_tree(d, ctx, from);

	if (!err)
		err = deleg_enter_tree(d, ctx, to);
	if (!err)
		err = settle_both(d, ctx, from, to, within);
	if (!err)
		err = d->inner->ops->rename(d->inner, ctx, from, to, flags, out);
	/* Trees that were begun meanwhile have their old path. */
	if (!err && !within)
		(void)end_at(d, ctx, from);     /* tried again by the thread */
	if (err || !within)
		return doubt(d, from->dir, doubt(d, to->dir, err));
	forget_born(d, from, &out->entry, out->entry.attr.nlink > 1);
	add_born(d, to, &out->entry);
	return 0;
}
