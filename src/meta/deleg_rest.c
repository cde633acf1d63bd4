/* All other calls: what has to be in the rows first, and what does not. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "deleg.h"
#include "deleg_ops.h"
#include "fsp_cleanup.h"
#include "fsp_log.h"

/* Everything goes to the rows as it is, but for what stands below. */
#define FSP_META_CALL(name, params, ...)                                       \
	static int pass_##name params                                          \
	{                                                                      \
		struct deleg *d = deleg_of(m);                                 \
                                                                               \
		return d->inner->ops->name(d->inner, ctx, ##__VA_ARGS__);      \
	}
#include "fsp_meta_calls.h"

/* Looks into a directory: asks for it, or brings what is ours to the rows. */
static int look(struct deleg *d, const struct fsp_ctx *ctx, const char *dir)
{
	int err = deleg_enter(d, ctx, dir);

	if (!err && atomic_load(&d->n_trees))
		err = deleg_settle(d, ctx, dir);
	return err;
}

struct listing {
	struct deleg *d;
	const char *dir;
	fsp_meta_each each;
	void *arg;
};

static int seen(void *arg, const char *name, const struct fsp_entry *e)
{
	const struct listing *l = arg;
	struct fsp_entry with;

	if (!S_ISDIR(e->attr.mode))
		return l->each(l->arg, name, e);
	with = *e;
	deleg_seen(l->d, l->dir, name, &with);
	return l->each(l->arg, name, &with);
}

static int list(struct fsp_meta *m, const struct fsp_ctx *ctx, const char *dir,
                size_t most, fsp_meta_each each, void *arg)
{
	struct deleg *d = deleg_of(m);
	struct listing l = { d, dir, each, arg };
	int err;

	/* Who has a limit reads ahead: not of what is still being made. */
	if (most && (deleg_holds(d, dir) || deleg_is_foreign(d, dir)))
		return -EAGAIN;
	err = look(d, ctx, dir);

	return err ? err : d->inner->ops->list(d->inner, ctx, dir, most, seen,
	                                       &l);
}

static int list_many(struct fsp_meta *m, const struct fsp_ctx *ctx,
                     struct fsp_listing *v, size_t n, size_t most)
{
	struct deleg *d = deleg_of(m);
	struct fsp_listing with[FSP_LIST_MANY];
	struct listing l[FSP_LIST_MANY];
	size_t which[FSP_LIST_MANY], k = 0;
	int err = n > FSP_LIST_MANY ? -EINVAL : 0;

	for (size_t i = 0; i < n && !err; i++) {
		v[i].done = false;
		if (deleg_holds(d, v[i].dir) || deleg_is_foreign(d, v[i].dir))
			continue;
		l[k] = (struct listing){ d, v[i].dir, v[i].each, v[i].arg };
		with[k] = (struct fsp_listing){ v[i].dir, seen, &l[k], false };
		which[k++] = i;
	}
	if (!err && k)
		err = d->inner->ops->list_many(d->inner, ctx, with, k, most);
	for (size_t j = 0; j < k && !err; j++)
		v[which[j]].done = with[j].done;
	return err;
}

static int history(struct fsp_meta *m, const struct fsp_ctx *ctx,
                   const char *path, fsp_meta_version each, void *arg)
{
	int err = look(deleg_of(m), ctx, path);

	return err ? err : pass_history(m, ctx, path, each, arg);
}

static int past_names(struct fsp_meta *m, const struct fsp_ctx *ctx,
                      const char *dir,
                      int (*each)(void *arg, const char *name,
                                  enum fsp_past kind), void *arg)
{
	int err = look(deleg_of(m), ctx, dir);

	return err ? err : pass_past_names(m, ctx, dir, each, arg);
}

static int dir_ended(struct fsp_meta *m, const struct fsp_ctx *ctx,
                     const char *path, int64_t *at_us, char **was)
{
	int err = look(deleg_of(m), ctx, path);

	return err ? err : pass_dir_ended(m, ctx, path, at_us, was);
}

static int list_at(struct fsp_meta *m, const struct fsp_ctx *ctx,
                   const char *dir, int64_t at_us, fsp_meta_each each,
                   void *arg)
{
	int err = look(deleg_of(m), ctx, dir);

	return err ? err : pass_list_at(m, ctx, dir, at_us, each, arg);
}

static int lookup_at(struct fsp_meta *m, const struct fsp_ctx *ctx,
                     const char *dir, const char *name, int64_t at_us,
                     struct fsp_entry *out)
{
	int err = look(deleg_of(m), ctx, dir);

	return err ? err : pass_lookup_at(m, ctx, dir, name, at_us, out);
}

static int path_at(struct fsp_meta *m, const struct fsp_ctx *ctx,
                   const struct fsp_ref *ref, int64_t at_us, char **path)
{
	int err = look(deleg_of(m), ctx, ref->path);

	return err ? err : pass_path_at(m, ctx, ref, at_us, path);
}

static int counts(struct fsp_meta *m, const struct fsp_ctx *ctx, bool implied,
                  struct fsp_counts *out)
{
	int err = deleg_flush_all(deleg_of(m), ctx);

	return err ? err : pass_counts(m, ctx, implied, out);
}

static int sync_all(struct fsp_meta *m, const struct fsp_ctx *ctx)
{
	int err = deleg_flush_all(deleg_of(m), ctx);

	return err ? err : pass_sync(m, ctx);
}

/* From its registration on a mount may hold directories, until it ends. */
static int mount_add(struct fsp_meta *m, const struct fsp_ctx *ctx,
                     const struct fsp_mountinfo *i)
{
	struct deleg *d = deleg_of(m);
	int err = pass_mount_add(m, ctx, i);

	if (err || i->read_only || strlen(i->id) > FSP_MOUNT_ID)
		return err;
	FSP_GUARD(&d->lock);
	strcpy(d->id, i->id);
	d->holder = fsp_meta_holder(i->id);
	return 0;
}

static int mount_remove(struct fsp_meta *m, const struct fsp_ctx *ctx,
                        const char *id)
{
	struct deleg *d = deleg_of(m);
	int err = strcmp(id, d->id) == 0 ? deleg_stop(d, ctx) : 0;

	return err ? err : pass_mount_remove(m, ctx, id);
}

struct hearing {
	struct deleg *d;
	fsp_meta_change each;
	void *arg;
};

/* Is it a directory of ours that got another place, or one in which somebody
 * else is at work? */
static bool concerns(const struct dtree *t, const struct fsp_change *c)
{
	const char *below = c->path ? deleg_below(c->path, t->path) : NULL;

	if (!c->path || (c->named && deleg_below(t->path, c->path)))
		return true;
	return below && *below;
}

static int heard(void *arg, const struct fsp_change *c)
{
	const struct hearing *h = arg;

	if (atomic_load(&h->d->n_trees)) {
		FSP_GUARD(&h->d->lock);
		for (struct dtree *t = h->d->trees; t; t = t->next)
			t->ending = t->ending || concerns(t, c);
		fsp_worker_wake(&h->d->worker);
	}
	if (!c->path || c->named)
		deleg_foreign_moved(h->d, c->path);
	return h->each(h->arg, c);
}

static int changes(struct fsp_meta *m, const struct fsp_ctx *ctx,
                   struct fsp_feed **feed, fsp_meta_change each, void *arg)
{
	struct hearing h = { deleg_of(m), each, arg };

	return pass_changes(m, ctx, feed, heard, &h);
}

static void stats(struct fsp_meta *m, struct fsp_meta_stats *out)
{
	fsp_meta_stats(deleg_of(m)->inner, out);
}

static void close_all(struct fsp_meta *m)
{
	struct deleg *d = deleg_of(m);
	struct fsp_ctx ctx = fsp_ctx_background();
	int err;

	fsp_worker_stop(&d->worker);
	err = deleg_stop(d, &ctx);
	if (err)
		fsp_error("what was made last has no rows: %s", strerror(-err));
	fsp_lock(&d->lock);
	while (d->trees)
		dtree_free(d, d->trees);
	fsp_unlock(&d->lock);
	deleg_foreign_free(d);
	fsp_worker_end(&d->worker);
	d->inner->ops->close(d->inner);
	fsp_cond_destroy(&d->changed);
	fsp_mutex_destroy(&d->lock);
	free(d);
}

/* A later line for a call counts, so these come first. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
static const struct fsp_meta_ops ops = {
#define FSP_META_CALL(name, params, ...) .name = pass_##name,
#include "fsp_meta_calls.h"
	.lookup = deleg_lookup,
	.getattr = deleg_getattr,
	.getattr_at = deleg_getattr_at,
	.list = list,
	.list_many = list_many,
	.create = deleg_create,
	.setattr = deleg_setattr,
	.setattr_many = deleg_setattr_many,
	.commit = deleg_commit,
	.remove = deleg_remove,
	.link = deleg_link,
	.rename = deleg_rename,
	.sync = sync_all,
	.history = history,
	.past_names = past_names,
	.dir_ended = dir_ended,
	.list_at = list_at,
	.lookup_at = lookup_at,
	.path_at = path_at,
	.counts = counts,
	.xattr_get = deleg_xattr_get,
	.xattr_list = deleg_xattr_list,
	.xattr_set = deleg_xattr_set,
	.xattr_remove = deleg_xattr_remove,
	.mount_add = mount_add,
	.mount_remove = mount_remove,
	.changes = changes,
	.stats = stats,
	.close = close_all,
};
#pragma GCC diagnostic pop

bool deleg_is(const struct fsp_meta *m)
{
	return m->ops == &ops;
}

void fsp_meta_moved(struct fsp_meta *m)
{
	if (deleg_is(m))
		atomic_store(&deleg_of(m)->moved, true);
}

struct fsp_meta *deleg_inner(struct fsp_meta *m)
{
	return deleg_is(m) ? deleg_of(m)->inner : m;
}

int fsp_meta_deleg(struct fsp_meta *inner, bool holds, struct fsp_meta **out)
{
	struct deleg *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->base.ops = &ops;
	d->inner = inner;
	d->off = !holds;
	fsp_mutex_init(&d->lock);
	fsp_cond_init(&d->changed);
	fsp_worker_init(&d->worker, &d->lock);
	*out = &d->base;
	return 0;
}
