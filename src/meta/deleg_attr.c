/* Attributes, contents and xattrs of names that are not rows yet. */
#include "deleg.h"

#include <errno.h>
#include <string.h>

#include "deleg_ops.h"
#include "fsp_clock.h"

/* 1: the rows know. */
static int attr_in_memory(struct deleg *d, uint64_t ino, struct fsp_entry *out)
{
	const struct dnode *n;

	if (!atomic_load(&d->n_trees))
		return 1;
	FSP_GUARD(&d->lock);
	n = dnode_find(d, ino);
	if (!n || n->state == DNODE_BORN)
		return 1;
	dnode_fill(n, out);
	return 0;
}

int deleg_getattr(struct fsp_meta *m, const struct fsp_ctx *ctx,
                  const struct fsp_ref *ref, struct fsp_entry *out)
{
	struct deleg *d = deleg_of(m);
	int err = attr_in_memory(d, ref->ino, out);

	if (err != 1)
		return err;
	err = d->inner->ops->getattr(d->inner, ctx, ref, out);
	/* Without a path: it was seen when it was looked up. */
	if (!err && ref->path && *ref->path)
		deleg_seen_path(d, ref->path, out);
	return err;
}

int deleg_getattr_at(struct fsp_meta *m, const struct fsp_ctx *ctx,
                     const struct fsp_ref *ref, struct fsp_entry *out)
{
	struct deleg *d = deleg_of(m);
	int err = attr_in_memory(d, ref->ino, out);

	return err == 1 ? d->inner->ops->getattr_at(d->inner, ctx, ref, out) :
		err;
}

static void apply(struct dnode *n, uint32_t mask, const struct fsp_attr *a)
{
	fsp_attr_copy(mask, a, &n->attr);
	if (!(mask & FSP_SET_CTIME))
		n->attr.ctime_ns = fsp_now_ns();
}

/* Not while it, or its times, are on their way. NULL: it is not known, or *err:
 * -EAGAIN where it would have to wait and has no ctx. */
static struct dnode *still_locked(struct deleg *d, const struct fsp_ctx *ctx,
                                  uint64_t ino, int *err)
{
	struct dnode *n;

	fsp_assert_held(&d->lock);
	*err = 0;
	while ((n = dnode_find(d, ino)) &&
	       (n->state == DNODE_BUSY || n->touching)) {
		*err = ctx ? deleg_wait_locked(d, ctx) : -EAGAIN;
		if (*err)
			return NULL;
	}
	return n;
}

/*
 * 1: the rows are to be asked. What they were not told yet of the times goes
 * along, or what is set takes its place: *touched, for set_in_rows().
 */
static int set_in_memory(struct deleg *d, const struct fsp_ctx *ctx,
                         uint64_t ino, uint32_t *mask, struct fsp_attr *a,
                         int64_t *touched, struct fsp_entry *out)
{
	struct dnode *n;
	int err;

	*touched = 0;
	if (!atomic_load(&d->n_trees))
		return 1;
	FSP_GUARD(&d->lock);
	n = still_locked(d, ctx, ino, &err);
	if (!n)
		return err ? err : 1;
	if (n->state == DNODE_UNBORN) {
		apply(n, *mask, a);
		n->tree->used_ns = fsp_mono_ns();
		dnode_fill(n, out);
		return 0;
	}
	if (n->touch_ns) {
		*touched = n->touch_ns;
		n->touching = touched;
		if (!(*mask & FSP_SET_MTIME))
			a->mtime_ns = *touched;
		*mask |= FSP_SET_MTIME;
	}
	return 1;
}

static void set_in_rows(struct deleg *d, uint64_t ino, const int64_t *touched,
                        int err, struct fsp_entry *e)
{
	struct dnode *n;

	if (!atomic_load(&d->n_trees))
		return;
	FSP_GUARD(&d->lock);
	n = dnode_find(d, ino);
	if (n && n->touching == touched) {
		n->touching = NULL;
		if (!err && n->touch_ns == *touched)
			n->touch_ns = 0;
		fsp_cond_broadcast(&d->changed);
	}
	if (n && n->state == DNODE_BORN && !err) {
		n->attr = e->attr;
		dnode_touched(n, &e->attr);
	}
}

/* What may be in the rows is brought there before it is changed: a graft does
 * nothing more for a name that it finds. */
static int sure_of(struct deleg *d, const struct fsp_ctx *ctx, uint64_t ino)
{
	const struct dnode *n;
	struct fsp_entry e;
	bool maybe, born;

	if (!atomic_load(&d->n_trees))
		return 0;
	fsp_lock(&d->lock);
	n = dnode_find(d, ino);
	maybe = n && n->maybe;
	fsp_unlock(&d->lock);
	return maybe ? deleg_birth(d, ctx, ino, NULL, &born, &e) : 0;
}

int deleg_setattr(struct fsp_meta *m, const struct fsp_ctx *ctx,
                  const struct fsp_ref *ref, uint32_t mask,
                  const struct fsp_attr *attr, struct fsp_entry *out)
{
	struct deleg *d = deleg_of(m);
	struct fsp_attr a = *attr;
	int64_t touched;
	int err = deleg_enter(d, ctx, ref->path);

	if (!err)
		err = sure_of(d, ctx, ref->ino);
	if (!err)
		err = set_in_memory(d, ctx, ref->ino, &mask, &a, &touched, out);
	if (err != 1)
		return err;
	err = d->inner->ops->setattr(d->inner, ctx, ref, mask, &a, out);
	set_in_rows(d, ref->ino, &touched, err, out);
	return err;
}

/* As many as nobody else is at, from *at on: who has some waits for no other. */
static int set_some(struct deleg *d, const struct fsp_ctx *ctx,
                    struct fsp_setattr *v, size_t n, size_t *at)
{
	struct fsp_setattr rows[FSP_SETATTR_MANY];
	int64_t touched[FSP_SETATTR_MANY];
	size_t which[FSP_SETATTR_MANY], k = 0, i;
	int err = 0;

	for (i = *at; i < n && err >= 0; i++) {
		rows[k] = v[i];
		err = set_in_memory(d, k ? NULL : ctx, v[i].ref.ino,
		                    &rows[k].mask, &rows[k].attr, &touched[k],
		                    &v[i].out);
		if (err == -EAGAIN)
			break;
		v[i].err = 0;
		if (err == 1)
			which[k++] = i;
	}
	*at = i;
	if (err >= 0 || err == -EAGAIN)
		err = k ? d->inner->ops->setattr_many(d->inner, ctx, rows, k)
			: 0;
	for (size_t j = 0; j < k; j++) {
		set_in_rows(d, rows[j].ref.ino, &touched[j],
		            err ? err : rows[j].err, &rows[j].out);
		if (!err) {
			v[which[j]].err = rows[j].err;
			v[which[j]].out = rows[j].out;
		}
	}
	return err;
}

int deleg_setattr_many(struct fsp_meta *m, const struct fsp_ctx *ctx,
                       struct fsp_setattr *v, size_t n)
{
	struct deleg *d = deleg_of(m);
	int err = 0;

	if (n > FSP_SETATTR_MANY)
		return -EINVAL;
	for (size_t i = 0; i < n && !err; i++)
		err = deleg_enter(d, ctx, v[i].ref.path);
	for (size_t i = 0; i < n && !err; i++)
		err = sure_of(d, ctx, v[i].ref.ino);
	for (size_t i = 0; i < n && !err;)
		err = set_some(d, ctx, v, n, &i);
	return err;
}

/* Its mode; 0: it is not. */
static uint32_t unborn_mode(struct deleg *d, uint64_t ino)
{
	const struct dnode *n;

	if (!atomic_load(&d->n_trees))
		return 0;
	FSP_GUARD(&d->lock);
	n = dnode_find(d, ino);
	return n && n->state != DNODE_BORN ? n->attr.mode : 0;
}

static bool is_unborn(struct deleg *d, uint64_t ino)
{
	return unborn_mode(d, ino) != 0;
}

/* What the application set before it closed goes with the name. */
static int apply_first(struct deleg *d, const struct fsp_ctx *ctx,
                       const struct fsp_commit *c)
{
	struct dnode *n;
	int err;

	FSP_GUARD(&d->lock);
	n = still_locked(d, ctx, c->ref.ino, &err);
	if (n && n->state == DNODE_UNBORN)
		apply(n, c->mask | FSP_SET_MTIME, &c->attr);
	return err;
}

static bool is_condemned(struct deleg *d, uint64_t ino)
{
	FSP_GUARD(&d->lock);
	return d->n_condemned && deleg_is_condemned(d, ino);
}

int deleg_commit(struct fsp_meta *m, const struct fsp_ctx *ctx,
                 const struct fsp_commit *c, struct fsp_entry *out)
{
	struct deleg *d = deleg_of(m);
	bool born = false, alone = !c->object || !c->fence;
	uint32_t mode = unborn_mode(d, c->ref.ino);
	int err = 0;

	if (S_ISDIR(mode))
		return -EISDIR;
	if (!mode && is_condemned(d, c->ref.ino))
		return -EIO;
	if (mode) {
		if (!c->object)
			err = apply_first(d, ctx, c);
		/* Whether a lock holds is looked at with names that are there. */
		if (!err)
			err = deleg_birth(d, ctx, c->ref.ino, alone ? c : NULL,
			                  &born, out);
	}
	if (err || (born && alone))
		return err;
	return d->inner->ops->commit(d->inner, ctx, c, out);
}

int deleg_xattr_get(struct fsp_meta *m, const struct fsp_ctx *ctx,
                    uint64_t ino, const char *name, struct fsp_buf *out)
{
	struct deleg *d = deleg_of(m);

	return is_unborn(d, ino) ? -ENODATA :
		d->inner->ops->xattr_get(d->inner, ctx, ino, name, out);
}

int deleg_xattr_list(struct fsp_meta *m, const struct fsp_ctx *ctx,
                     uint64_t ino, int (*each)(void *arg, const char *name),
                     void *arg)
{
	struct deleg *d = deleg_of(m);

	return is_unborn(d, ino) ? 0 :
		d->inner->ops->xattr_list(d->inner, ctx, ino, each, arg);
}

/* The tree in which a directory has times that the rows were not told; or 0. */
static uint64_t touched_in(struct deleg *d, uint64_t ino)
{
	const struct dnode *n;

	if (!atomic_load(&d->n_trees))
		return 0;
	FSP_GUARD(&d->lock);
	n = dnode_find(d, ino);
	return n && n->touch_ns ? n->tree->root->ino : 0;
}

/* Those are rows, so it has to be one, and what has changed it before comes
 * before. */
static int has_rows(struct deleg *d, const struct fsp_ctx *ctx,
                    const struct fsp_ref *ref)
{
	uint64_t root;
	struct fsp_entry e;
	bool born;
	int err = deleg_enter(d, ctx, ref->path);

	if (!err && is_unborn(d, ref->ino))
		err = deleg_birth(d, ctx, ref->ino, NULL, &born, &e);
	root = err ? 0 : touched_in(d, ref->ino);
	return root ? deleg_flush(d, ctx, root) : err;
}

int deleg_xattr_set(struct fsp_meta *m, const struct fsp_ctx *ctx,
                    const struct fsp_ref *ref, const char *name,
                    const void *value, size_t len, int flags)
{
	struct deleg *d = deleg_of(m);
	int err = has_rows(d, ctx, ref);

	return err ? err : d->inner->ops->xattr_set(d->inner, ctx, ref, name,
	                                            value, len, flags);
}

int deleg_xattr_remove(struct fsp_meta *m, const struct fsp_ctx *ctx,
                       const struct fsp_ref *ref, const char *name)
{
	struct deleg *d = deleg_of(m);
	int err = has_rows(d, ctx, ref);

	return err ? err : d->inner->ops->xattr_remove(d->inner, ctx, ref,
	                                               name);
}
