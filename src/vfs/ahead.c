/*
 * Reading ahead: what somebody reads in order is fetched before it is asked
 * for, several pieces at once, by threads of the mount. Of a file here; of a
 * tree in scan.c.
 *
 * The window is how far in front of the reader that goes. It opens when a run
 * of reads is long enough to be no accident, doubles each time the reader has
 * used up half of it, and closes with the first read somewhere else.
 */
#include "vfs_private.h"

#include <stdlib.h>

#include "fsp_clock.h"
#include "fsp_config.h"
#include "fsp_ctx.h"
#include "fsp_log.h"

/* The kernel asks for pieces of a run out of order, and so far apart. */
#define SLACK (1UL << 20)
#define RUN_MIN (512UL << 10)           /* a run begins to count */
#define WINDOW_MIN (2UL << 20)
#define JOB (4UL << 20)                 /* of the content, for one thread */
#define QUEUE_MAX 64
#define IDLE_NS (FSP_NS_PER_SEC / 2)     /* then the memory for ranges goes */

struct piece {
	struct ahead_job job;
	struct base_ref *ref;
	uint64_t off, len;
};

void ahead_init(struct fsp_vfs *v)
{
	fsp_mutex_init(&v->ahead.lock);
	fsp_cond_init(&v->ahead.wake);
	v->ahead.last = &v->ahead.first;
	v->ahead.max = (uint64_t)fsp_config_int(v->store->config, "mount",
	                                        "read_ahead");
}

static void drop_jobs(struct fsp_vfs *v)
{
	struct ahead_job *j;

	while ((j = v->ahead.first)) {
		v->ahead.first = j->next;
		j->end(v, j);
	}
	v->ahead.last = &v->ahead.first;
	v->ahead.queued = 0;
}

void ahead_stop(struct fsp_vfs *v)
{
	fsp_lock(&v->ahead.lock);
	atomic_store(&v->ahead.stop, true);
	fsp_cond_broadcast(&v->ahead.wake);
	fsp_unlock(&v->ahead.lock);
	for (unsigned i = 0; i < v->ahead.threads; i++)
		pthread_join(v->ahead.thread[i], NULL);
	v->ahead.threads = 0;
	drop_jobs(v);
}

void ahead_end(struct fsp_vfs *v)
{
	fsp_cond_destroy(&v->ahead.wake);
	fsp_mutex_destroy(&v->ahead.lock);
}

/*
 * One thread never fetches content: who waits for a listing must not wait for
 * an object store that does not answer.
 */
static struct ahead_job *take_locked(struct fsp_vfs *v)
{
	struct ahead_job **at = &v->ahead.first, *j;

	fsp_assert_held(&v->ahead.lock);
	while (*at && (*at)->content &&
	       v->ahead.fetching >= AHEAD_THREADS - 1)
		at = &(*at)->next;
	j = *at;
	if (!j)
		return NULL;
	*at = j->next;
	if (!*at)
		v->ahead.last = at;
	v->ahead.queued--;
	v->ahead.fetching += j->content;
	return j;
}

/* Of the store: whoever reads on soon finds it as he left it. */
static void hold_memory(bool *held, bool on)
{
	if (*held != on)
		fsp_store_hold(on);
	*held = on;
}

/* NULL: it is the end. */
static struct ahead_job *next_job(struct fsp_vfs *v, bool *held)
{
	struct ahead_job *j = NULL;
	int64_t until = fsp_mono_ns() + IDLE_NS;

	FSP_GUARD(&v->ahead.lock);
	while (!atomic_load(&v->ahead.stop) && !(j = take_locked(v))) {
		v->ahead.idle++;
		if (fsp_cond_wait(&v->ahead.wake, &v->ahead.lock,
		                  *held ? until : 0))
			hold_memory(held, false);
		v->ahead.idle--;
	}
	return j;
}

static void done_with(struct fsp_vfs *v, struct ahead_job *j)
{
	bool content = j->content;

	j->end(v, j);
	FSP_GUARD(&v->ahead.lock);
	v->ahead.fetching -= content;
}

static void *fetch_ahead(void *arg)
{
	struct fsp_vfs *v = arg;
	struct fsp_ctx ctx = fsp_ctx_background();
	struct ahead_job *j;
	bool held = false;

	ctx.cancelled = &v->ahead.stop;
	while ((j = next_job(v, &held))) {
		hold_memory(&held, held || j->content);
		j->run(v, &ctx, j);
		done_with(v, j);
	}
	hold_memory(&held, false);
	return NULL;
}

/* One more thread, where all have something to do and there may be one. */
static void wake_locked(struct fsp_vfs *v)
{
	fsp_assert_held(&v->ahead.lock);
	if (v->ahead.idle >= v->ahead.queued ||
	    v->ahead.threads == AHEAD_THREADS) {
		fsp_cond_signal(&v->ahead.wake);
		return;
	}
	if (pthread_create(&v->ahead.thread[v->ahead.threads], NULL,
	                   fetch_ahead, v))
		fsp_warn("no thread to read ahead with");
	else
		v->ahead.threads++;
}

static bool add_job_locked(struct fsp_vfs *v, struct ahead_job *j)
{
	fsp_assert_held(&v->ahead.lock);
	if (v->ahead.queued >= QUEUE_MAX || atomic_load(&v->ahead.stop))
		return false;
	j->next = NULL;
	*v->ahead.last = j;
	v->ahead.last = &j->next;
	v->ahead.queued++;
	wake_locked(v);
	return true;
}

bool ahead_add(struct fsp_vfs *v, struct ahead_job *j)
{
	FSP_GUARD(&v->ahead.lock);
	return add_job_locked(v, j);
}

static void fill_piece(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                       struct ahead_job *j)
{
	struct piece *p = (struct piece *)j;

	(void)v;
	/* Whoever reads it then meets the error himself. */
	(void)fsp_cached_fill(p->ref->cached, ctx, p->off, p->len);
}

static void end_piece(struct fsp_vfs *v, struct ahead_job *j)
{
	struct piece *p = (struct piece *)j;

	(void)v;
	base_put(p->ref);
	free(p);
}

/* false: there is too much to do already. Takes a reference of its own. */
static bool queue_locked(struct fsp_vfs *v, struct base_ref *r, uint64_t off,
                         uint64_t len)
{
	struct piece *p = calloc(1, sizeof(*p));

	if (!p)
		return false;
	*p = (struct piece){ { NULL, true, fill_piece, end_piece }, r, off,
	                     len };
	if (!add_job_locked(v, &p->job)) {
		free(p);
		return false;
	}
	atomic_fetch_add(&r->refs, 1);
	return true;
}

/* Is this read one of a run? Follows it, and forgets what was, else. */
static bool in_order_locked(struct ahead *a, uint64_t off, uint64_t len)
{
	if (off > a->end + SLACK || off + SLACK < a->end) {
		*a = (struct ahead){ .end = off + len };
		return false;
	}
	a->run += len;
	if (off + len > a->end)
		a->end = off + len;
	return a->run >= RUN_MIN;
}

static void advance_locked(struct fsp_vfs *v, struct ahead *a,
                           struct base_ref *r, uint64_t size)
{
	uint64_t to;

	if (a->window && a->until > a->end + a->window / 2)
		return;
	a->window = a->window ? 2 * a->window : WINDOW_MIN;
	if (a->window > v->ahead.max)
		a->window = v->ahead.max;
	if (a->until < a->end)
		a->until = a->end;
	to = a->end + a->window < size ? a->end + a->window : size;
	while (a->until < to) {
		uint64_t len = to - a->until < JOB ? to - a->until : JOB;

		if (!queue_locked(v, r, a->until, len))
			return;
		a->until += len;
	}
}

/* What is read is the base of a file that has one by blocks. */
static struct base_ref *ref_of(struct file *f, uint64_t *size)
{
	struct base_ref *r;

	FSP_GUARD(&f->lock);
	r = f->ref;
	*size = f->base_valid;
	if (!r || !fsp_cached_by_block(r->cached))
		return NULL;
	atomic_fetch_add(&r->refs, 1);
	return r;
}

void ahead_note(struct fsp_handle *h, uint64_t off, uint64_t len)
{
	struct fsp_vfs *v = h->v;
	struct base_ref *r;
	uint64_t size;

	if (!v->ahead.max)
		return;
	r = ref_of(h->file, &size);
	if (!r)
		return;
	fsp_lock(&v->ahead.lock);
	if (in_order_locked(&h->ahead, off, len) && h->ahead.end < size)
		advance_locked(v, &h->ahead, r, size);
	fsp_unlock(&v->ahead.lock);
	base_put(r);
}
