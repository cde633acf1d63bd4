/*
 * Reading ahead: what somebody reads in order is fetched before it is asked
 * for, several pieces at once, by threads of the mount. Of a file here; of a
 * tree in scan.c.
 *
 * The window is how far in front of the reader that goes. It opens when a run
 * of reads is long enough to be no accident, and doubles each time the reader
 * has used up half of it. With a read somewhere else it closes, and what nobody
 * has begun to fetch is not fetched; the next run opens half of it.
 */
#include "vfs_private.h"

#include <stdlib.h>

#include "fsp_clock.h"
#include "fsp_config.h"
#include "fsp_ctx.h"
#include "fsp_log.h"

/* The kernel asks for pieces of a run out of order, and so far apart. */
#define SLACK (1UL << 20)
/*
 * A run begins to count; and so far it is read ahead of first, no further than
 * was read: some programs read a whole st_blksize for the first byte.
 */
#define RUN_MIN (512UL << 10)
#define WINDOW_MIN RUN_MIN
#define JOB (4UL << 20)                 /* of the content, for one thread */
#define QUEUE_MAX 64
#define IDLE_NS (FSP_NS_PER_SEC / 2)     /* then the memory for ranges goes */

struct piece {
	struct ahead_job job;
	const struct ahead *of;         /* whose; not to be looked into */
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

static void end_jobs(struct fsp_vfs *v, struct ahead_job *first)
{
	struct ahead_job *j;

	while ((j = first)) {
		first = j->next;
		j->end(v, j);
	}
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
	end_jobs(v, v->ahead.first);
	v->ahead.first = NULL;
	v->ahead.last = &v->ahead.first;
	v->ahead.queued = 0;
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
static bool queue_locked(struct fsp_vfs *v, const struct ahead *a,
                         struct base_ref *r, uint64_t off, uint64_t len)
{
	struct piece *p = calloc(1, sizeof(*p));

	if (!p)
		return false;
	*p = (struct piece){ { NULL, true, fill_piece, end_piece }, a, r, off,
	                     len };
	if (!add_job_locked(v, &p->job)) {
		free(p);
		return false;
	}
	v->ahead.asked++;
	atomic_fetch_add(&r->refs, 1);
	return true;
}

/* Takes out what was asked for a reader and nobody has begun, to be ended. */
static struct ahead_job *withdraw_locked(struct fsp_vfs *v,
                                         const struct ahead *a)
{
	struct ahead_job **at = &v->ahead.first, *out = NULL, *j;

	fsp_assert_held(&v->ahead.lock);
	while ((j = *at)) {
		if (j->run != fill_piece || ((struct piece *)j)->of != a) {
			at = &j->next;
			continue;
		}
		*at = j->next;
		j->next = out;
		out = j;
		v->ahead.queued--;
		v->ahead.given_up++;
	}
	v->ahead.last = at;
	return out;
}

static bool in_order(const struct ahead *a, uint64_t off)
{
	return off <= a->end + SLACK && off + SLACK >= a->end;
}

/* A run ends: half of its window is what the next one gets. */
static void leave_run_locked(struct ahead *a)
{
	uint64_t half = a->window / 2;

	*a = (struct ahead){ .window = half < WINDOW_MIN ? 0 : half };
}

static void advance_locked(struct fsp_vfs *v, struct ahead *a,
                           struct base_ref *r, uint64_t size)
{
	uint64_t to;

	if (a->until > a->end + a->window / 2)
		return;
	if (!a->window)
		a->window = WINDOW_MIN;
	else if (a->until)
		a->window *= 2;
	if (a->window > v->ahead.max)
		a->window = v->ahead.max;
	if (a->until < a->end)
		a->until = a->end;
	to = a->end + a->window < size ? a->end + a->window : size;
	while (a->until < to) {
		uint64_t len = to - a->until < JOB ? to - a->until : JOB;

		if (!queue_locked(v, a, r, a->until, len))
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

/* What is to be ended without the lock, of where the reader was before. */
static struct ahead_job *note_locked(struct fsp_handle *h, struct base_ref *r,
                                     uint64_t size, uint64_t off, uint64_t len)
{
	struct ahead *a = &h->ahead;
	struct ahead_job *left = NULL;

	if (in_order(a, off)) {
		a->run += len;
	} else {
		left = withdraw_locked(h->v, a);
		leave_run_locked(a);
	}
	if (off + len > a->end)
		a->end = off + len;
	if (a->run >= RUN_MIN && a->end < size)
		advance_locked(h->v, a, r, size);
	return left;
}

void ahead_note(struct fsp_handle *h, uint64_t off, uint64_t len)
{
	struct fsp_vfs *v = h->v;
	struct ahead_job *left;
	struct base_ref *r;
	uint64_t size;

	if (!v->ahead.max)
		return;
	r = ref_of(h->file, &size);
	if (!r)
		return;
	fsp_lock(&v->ahead.lock);
	left = note_locked(h, r, size, off, len);
	fsp_unlock(&v->ahead.lock);
	end_jobs(v, left);
	base_put(r);
}

void ahead_leave(struct fsp_handle *h)
{
	struct ahead_job *left;

	fsp_lock(&h->v->ahead.lock);
	left = withdraw_locked(h->v, &h->ahead);
	fsp_unlock(&h->v->ahead.lock);
	end_jobs(h->v, left);
}

void ahead_counts(struct fsp_vfs *v, uint64_t *asked, uint64_t *given_up)
{
	FSP_GUARD(&v->ahead.lock);
	*asked = v->ahead.asked;
	*given_up = v->ahead.given_up;
}
