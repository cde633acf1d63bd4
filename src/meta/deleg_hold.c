/* Which directories this mount holds, and for how long. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "deleg.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_log.h"

#define MS (FSP_NS_PER_SEC / 1000)
#define TICK_NS (50 * MS)
/* Nothing was made in it for so long: others shall not have to ask for it. */
#define IDLE_NS (100 * MS)
/* Contents are on their way that bring the names along. */
#define QUEUED_NS (2 * FSP_NS_PER_SEC)
/* While more is made all the time: as often as a disk writes its journal. */
#define UNBORN_NS (5 * FSP_NS_PER_SEC)
#define RETRY_NS FSP_NS_PER_SEC
#define TRY_NS (2 * FSP_NS_PER_SEC)     /* of the thread, for one of them */

bool deleg_may_hold(struct deleg *d)
{
	FSP_GUARD(&d->lock);
	return *d->id && !d->off && d->n_trees < FSP_DELEG_MOST &&
	       d->n_names < DELEG_NAMES_MOST;
}

static int poll(struct deleg *d, const struct fsp_ctx *ctx, uint64_t root)
{
	struct dtree *t;
	int err = 0;

	FSP_GUARD(&d->lock);
	t = dtree_find_root(d, root);
	if (t && !t->ending)
		err = deleg_fresh_locked(d, ctx, t, fsp_mono_ns() - TICK_NS / 2);
	return err == -EAGAIN ? 0 : err;
}

int deleg_fresh_locked(struct deleg *d, const struct fsp_ctx *ctx,
                       struct dtree *t, int64_t since_ns)
{
	int64_t began = fsp_mono_ns();
	uint64_t root = t->root->ino;
	FSP_FREE char *path = NULL;
	struct fsp_ref ref = { .ino = root };
	enum fsp_deleg st = FSP_DELEG_HELD;
	int err;

	fsp_assert_held(&d->lock);
	if (t->ending || t->polled_ns >= since_ns)
		return 0;
	ref.path = path = strdup(t->path);
	fsp_unlock(&d->lock);
	err = path ? d->inner->ops->deleg_poll(d->inner, ctx, d->holder,
	                                           &ref, &st) : -ENOMEM;
	fsp_lock(&d->lock);
	t = dtree_find_root(d, root);
	if (!t || err)
		return err ? err : -EAGAIN;
	if (st == FSP_DELEG_HELD && t->polled_ns < began)
		t->polled_ns = began;
	if (st != FSP_DELEG_HELD)
		t->ending = true;
	t->lost = t->lost || st == FSP_DELEG_LOST;
	fsp_worker_wake(&d->worker);
	return -EAGAIN;
}

/* What others wait for comes first. */
enum need { NEED_NONE, NEED_FLUSH, NEED_POLL, NEED_IDLE, NEED_END };

static enum need need_locked(const struct deleg *d, const struct dtree *t,
                             int64_t now)
{
	int64_t idle = t->unborn && d->on_birth ? QUEUED_NS : IDLE_NS;

	if (now < t->retry_ns || t->closing)
		return NEED_NONE;
	if (t->ending)
		return NEED_END;
	if (now - t->used_ns >= idle)
		return NEED_IDLE;
	if (now - t->polled_ns >= TICK_NS)
		return NEED_POLL;
	return t->unborn && now - t->unborn->made_ns >= UNBORN_NS ?
		NEED_FLUSH : NEED_NONE;
}

/* Of those that need the same the one that was served longest ago. */
static enum need next_locked(struct deleg *d, uint64_t *root)
{
	int64_t now = fsp_mono_ns();
	enum need need = NEED_NONE;
	struct dtree *best = NULL;

	for (struct dtree *t = d->trees; t; t = t->next) {
		enum need n = need_locked(d, t, now);

		if (n == NEED_NONE || n < need ||
		    (n == need && t->served_ns >= best->served_ns))
			continue;
		best = t;
		need = n;
	}
	if (best) {
		best->served_ns = now;
		*root = best->root->ino;
	}
	return need;
}

static void put_off(struct deleg *d, uint64_t root)
{
	struct dtree *t;

	FSP_GUARD(&d->lock);
	t = dtree_find_root(d, root);
	if (t)
		t->retry_ns = fsp_mono_ns() + RETRY_NS;
}

static void serve(struct deleg *d, enum need need, uint64_t root)
{
	struct fsp_ctx ctx = fsp_ctx_background();
	int err = 0;

	ctx.deadline_ns = fsp_mono_ns() + TRY_NS;
	if (need == NEED_POLL)
		err = poll(d, &ctx, root);
	else if (need == NEED_FLUSH)
		err = deleg_flush(d, &ctx, root);
	else
		err = deleg_end(d, &ctx, root);
	/* It is tried again, and told of by whoever waits for it. */
	if (err)
		put_off(d, root);
}

static void *hold_thread(void *arg)
{
	struct deleg *d = arg;
	uint64_t root = 0;

	FSP_GUARD(&d->lock);
	while (!d->worker.stop) {
		enum need need = next_locked(d, &root);

		if (need == NEED_NONE) {
			fsp_worker_wait(&d->worker, d->trees ?
			                fsp_mono_ns() + TICK_NS : 0);
			continue;
		}
		fsp_unlock(&d->lock);
		serve(d, need, root);
		fsp_lock(&d->lock);
	}
	return NULL;
}

static bool hold(struct deleg *d, const char *path, const struct fsp_entry *e,
                 int64_t since_ns)
{
	struct dtree *t;

	FSP_GUARD(&d->lock);
	if (d->off || d->n_trees == FSP_DELEG_MOST ||
	    fsp_worker_start(&d->worker, hold_thread, d))
		return false;
	t = dtree_new(d, path, e);
	if (!t)
		return false;
	t->used_ns = fsp_mono_ns();
	t->polled_ns = since_ns;
	fsp_worker_wake(&d->worker);
	return true;
}

void deleg_hold(struct deleg *d, const struct fsp_ctx *ctx, const char *path,
                const struct fsp_entry *e, int64_t since_ns)
{
	int err;

	if (hold(d, path, e, since_ns))
		return;
	err = d->inner->ops->deleg_release(d->inner, ctx, d->holder,
	                                   &e->attr.ino, 1);
	if (err)
		fsp_debug("/%s: stays delegated until it is asked for: %s", path,
		          strerror(-err));
}

/* Of the trees that match, in turn, whatever becomes of the list meanwhile. */
struct choice {
	const char *path;       /* NULL: all */
	bool whole;             /* also those that are below the path */
};

static bool chosen(const struct dtree *t, const struct choice *c)
{
	return !c->path || deleg_below(c->path, t->path) ||
	       (c->whole && deleg_below(t->path, c->path));
}

static int each_chosen(struct deleg *d, const struct fsp_ctx *ctx,
                       const struct choice *c,
                       int (*what)(struct deleg *d, const struct fsp_ctx *ctx,
                                   uint64_t root))
{
	uint64_t roots[FSP_DELEG_MOST];
	size_t n = 0;
	int err = 0;

	fsp_lock(&d->lock);
	for (struct dtree *t = d->trees; t && n < FSP_DELEG_MOST; t = t->next)
		if (chosen(t, c))
			roots[n++] = t->root->ino;
	fsp_unlock(&d->lock);
	/* One that cannot is not in the way of the others. */
	for (size_t i = 0; i < n; i++) {
		int failed = what(d, ctx, roots[i]);

		if (!err)
			err = failed;
	}
	return err;
}

int deleg_settle(struct deleg *d, const struct fsp_ctx *ctx, const char *path)
{
	struct choice c = { .path = path };

	return each_chosen(d, ctx, &c, deleg_flush);
}

int deleg_end_at(struct deleg *d, const struct fsp_ctx *ctx, const char *path)
{
	struct choice c = { .path = path, .whole = true };

	return each_chosen(d, ctx, &c, deleg_end);
}

int deleg_flush_all(struct deleg *d, const struct fsp_ctx *ctx)
{
	struct choice c = { .path = NULL };

	return each_chosen(d, ctx, &c, deleg_flush);
}

int deleg_end_all(struct deleg *d, const struct fsp_ctx *ctx)
{
	struct choice c = { .path = NULL };

	return each_chosen(d, ctx, &c, deleg_end);
}

int deleg_stop(struct deleg *d, const struct fsp_ctx *ctx)
{
	fsp_lock(&d->lock);
	d->off = true;
	fsp_unlock(&d->lock);
	return deleg_end_all(d, ctx);
}
