/*
 * What statfs tells. Counting is a scan, and whoever watches a machine asks
 * often: a thread counts, seldom where that takes long, and nobody waits for it
 * but a moment.
 */
#include "vfs_private.h"

#include <errno.h>

#include "fsp_clock.h"
#include "fsp_ctx.h"

#define OLD_NS (5 * FSP_NS_PER_SEC)     /* and then it is counted again, */
#define REST 100                        /* at most this part of the time */
#define WAIT_NS FSP_NS_PER_SEC          /* for counts that are on their way */

void counts_init(struct fsp_vfs *v)
{
	fsp_worker_init(&v->counts.worker, &v->lock);
}

static void count_locked(struct fsp_vfs *v)
{
	struct fsp_ctx ctx = fsp_ctx_background();
	struct fsp_counts c;
	int64_t began = fsp_mono_ns();
	int err;

	fsp_assert_held(&v->lock);
	fsp_unlock(&v->lock);
	ctx.cancelled = &v->counts.worker.stop;
	err = fsp_meta_counts(v->store->meta, &ctx, false, &c);
	fsp_lock(&v->lock);
	v->counts.err = err;
	if (!err)
		v->counts.last = c;
	v->counts.known |= !err;
	v->counts.at_ns = fsp_mono_ns();
	v->counts.took_ns = v->counts.at_ns - began;
	v->counts.wanted = false;
	fsp_worker_wake(&v->counts.worker);
}

static void *counter(void *arg)
{
	struct fsp_vfs *v = arg;

	FSP_GUARD(&v->lock);
	while (!v->counts.worker.stop) {
		if (v->counts.wanted)
			count_locked(v);
		else
			fsp_worker_wait(&v->counts.worker, 0);
	}
	return NULL;
}

static bool is_old_locked(const struct fsp_vfs *v)
{
	int64_t rest = REST * v->counts.took_ns;

	return !v->counts.at_ns || fsp_mono_ns() - v->counts.at_ns >
		(rest > OLD_NS ? rest : OLD_NS);
}

/* Without a thread, what is known is told. */
static void begin_locked(struct fsp_vfs *v)
{
	v->counts.wanted = fsp_worker_start(&v->counts.worker, counter,
	                                    v) == 0;
	fsp_worker_wake(&v->counts.worker);
}

int counts_get(struct fsp_vfs *v, struct fsp_counts *out)
{
	int64_t until = fsp_mono_ns() + WAIT_NS;

	FSP_GUARD(&v->lock);
	if (!v->counts.wanted && is_old_locked(v))
		begin_locked(v);
	while (v->counts.wanted &&
	       fsp_worker_wait(&v->counts.worker, until) == 0)
		;
	/* Before it was counted for the first time: nothing yet. */
	*out = v->counts.last;
	return v->counts.known || v->counts.wanted ? 0 : v->counts.err;
}
