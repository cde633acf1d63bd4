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
	fsp_cond_init(&v->counts.done);
}

void counts_end(struct fsp_vfs *v)
{
	atomic_store(&v->counts.stop, true);
	if (v->counts.joinable)
		pthread_join(v->counts.thread, NULL);
	v->counts.joinable = false;
	fsp_cond_destroy(&v->counts.done);
}

static void *count(void *arg)
{
	struct fsp_vfs *v = arg;
	struct fsp_ctx ctx = fsp_ctx_background();
	struct fsp_counts c;
	int64_t began = fsp_mono_ns();
	int err;

	ctx.cancelled = &v->counts.stop;
	err = fsp_meta_counts(v->store->meta, &ctx, false, &c);
	fsp_lock(&v->lock);
	v->counts.err = err;
	if (!err)
		v->counts.last = c;
	v->counts.known |= !err;
	v->counts.at_ns = fsp_mono_ns();
	v->counts.took_ns = v->counts.at_ns - began;
	v->counts.runs = false;
	fsp_cond_broadcast(&v->counts.done);
	fsp_unlock(&v->lock);
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
	/* The last one is at its end: it has said so. */
	if (v->counts.joinable)
		pthread_join(v->counts.thread, NULL);
	v->counts.joinable = pthread_create(&v->counts.thread, NULL, count,
	                                    v) == 0;
	v->counts.runs = v->counts.joinable;
}

int counts_get(struct fsp_vfs *v, struct fsp_counts *out)
{
	int64_t until = fsp_mono_ns() + WAIT_NS;

	FSP_GUARD(&v->lock);
	if (!v->counts.runs && is_old_locked(v))
		begin_locked(v);
	while (v->counts.runs &&
	       fsp_cond_wait(&v->counts.done, &v->lock, until) == 0)
		;
	/* Before it was counted for the first time: nothing yet. */
	*out = v->counts.last;
	return v->counts.known || v->counts.runs ? 0 : v->counts.err;
}
