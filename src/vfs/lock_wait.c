/*
 * Waiting for locks: one thread of the mount tries for all, so that a waiting
 * lock holds no worker. What others unlock is polled for, with growing pauses.
 */
#include "vfs_private.h"

#include <errno.h>
#include <fcntl.h>

#include "fsp_clock.h"
#include "fsp_ctx.h"

/* How often another mount's lock is asked for: at first, and at the most. */
#define POLL_MIN_NS (2 * 1000 * 1000LL)
#define POLL_MAX_NS (100 * 1000 * 1000LL)
#define CHAIN_MAX 100   /* owners that wait for each other, in a deadlock */

/*
 * Does whoever is in the way of w wait for w's owner, through others perhaps?
 * Only waits of this mount are known, and as in the kernel flock has none.
 */
static bool in_ring_locked(struct fsp_vfs *v, const struct fsp_lock_wait *w)
{
	uint64_t owner = w->blocker;
	unsigned steps = 0;

	fsp_assert_held(&v->lock_lock);
	if (w->request.kind != FSP_LOCK_POSIX)
		return false;
	while (owner && owner != w->request.owner && steps++ < CHAIN_MAX) {
		const struct fsp_lock_wait *p = v->waits;

		while (p && (p->request.kind != FSP_LOCK_POSIX ||
		             p->request.owner != owner))
			p = p->next;
		owner = p ? p->blocker : 0;
	}
	return owner && owner == w->request.owner;
}

/* The thread looks at all of them once more. */
static void wake_locked(struct fsp_vfs *v)
{
	v->lock_events++;
	fsp_worker_wake(&v->lock_worker);
}

void locks_wake(struct fsp_vfs *v)
{
	FSP_GUARD(&v->lock_lock);
	if (v->waits)           /* who comes later tries by himself */
		wake_locked(v);
}

static void pages_gone(void *arg)
{
	struct fsp_lock_wait *w = arg;

	w->done(w->arg, 0);
}

void lock_answer(struct fsp_lock_wait *w, int err)
{
	struct fsp_handle *h = w->handle;

	if (err || w->request.type == F_UNLCK ||
	    !pages_pinned(h->v, h->file)) {
		w->done(w->arg, err);
		return;
	}
	w->pages.done = pages_gone;
	w->pages.arg = w;
	pages_wait(h->v, h->inode, h->file, &w->pages);
}

/* One more try for a waiter: -EAGAIN when it goes on waiting. */
static int try_wait(struct fsp_lock_wait *w, uint64_t *blocker)
{
	struct fsp_ctx ctx = fsp_ctx_background();

	ctx.deadline_ns = fsp_mono_ns() + w->handle->v->op_timeout_ns;
	return lock_take(w->handle, &ctx, &w->request, blocker);
}

/*
 * One look at all waiters; how many were served. Others only append to the
 * list, so `p` stays good without the lock.
 */
static unsigned serve_round(struct fsp_vfs *v)
{
	struct fsp_lock_wait **p = &v->waits, *w;
	unsigned served = 0;

	fsp_assert_held(&v->lock_lock);
	while ((w = *p)) {
		bool cancelled = w->cancelled || v->lock_worker.stop;
		uint64_t blocker = 0;
		int err;

		fsp_unlock(&v->lock_lock);
		err = cancelled ? -EINTR : try_wait(w, &blocker);
		fsp_lock(&v->lock_lock);
		w->blocker = blocker;
		if (err == -EAGAIN) {
			p = &w->next;
			continue;
		}
		*p = w->next;
		fsp_unlock(&v->lock_lock);
		lock_answer(w, err);
		fsp_lock(&v->lock_lock);
		served++;
	}
	return served;
}

/*
 * After a round in which nothing was unlocked here: all are known to wait for
 * whom they wait, and the last one to come of a ring is told. Who waits at the
 * time of an unlock may be in the way of nobody any more.
 */
static bool end_ring(struct fsp_vfs *v)
{
	struct fsp_lock_wait **last = NULL, *w;

	fsp_assert_held(&v->lock_lock);
	for (struct fsp_lock_wait **p = &v->waits; *p; p = &(*p)->next)
		if (in_ring_locked(v, *p))
			last = p;
	if (!last)
		return false;
	w = *last;
	*last = w->next;
	fsp_unlock(&v->lock_lock);
	lock_answer(w, -EDEADLK);
	fsp_lock(&v->lock_lock);
	return true;
}

static void *lock_thread(void *arg)
{
	struct fsp_vfs *v = arg;
	int64_t pause = POLL_MIN_NS;

	FSP_GUARD(&v->lock_lock);
	while (!v->lock_worker.stop || v->waits) {
		uint64_t events = v->lock_events;

		if (serve_round(v))
			pause = POLL_MIN_NS;
		if (v->lock_events != events || end_ring(v))
			continue;
		if (!v->waits && !v->lock_worker.stop) {
			fsp_worker_wait(&v->lock_worker, 0);
			pause = POLL_MIN_NS;
		} else if (!v->lock_worker.stop) {
			fsp_worker_wait(&v->lock_worker, fsp_mono_ns() + pause);
			pause = pause * 2 > POLL_MAX_NS ? POLL_MAX_NS : pause * 2;
		}
	}
	return NULL;
}

int lock_queue(struct fsp_vfs *v, struct fsp_lock_wait *w)
{
	struct fsp_lock_wait **last = &v->waits;
	int err;

	FSP_GUARD(&v->lock_lock);
	/* The thread is there from the first wait on. */
	err = fsp_worker_start(&v->lock_worker, lock_thread, v);
	if (err)
		return err;
	while (*last)
		last = &(*last)->next;
	w->next = NULL;
	*last = w;
	wake_locked(v);
	return 0;
}

void fsp_vfs_lock_cancel(struct fsp_vfs *v, struct fsp_lock_wait *wait)
{
	FSP_GUARD(&v->lock_lock);
	wait->cancelled = true;
	wake_locked(v);
}

void locks_init(struct fsp_vfs *v)
{
	fsp_mutex_init(&v->lock_lock);
	fsp_worker_init(&v->lock_worker, &v->lock_lock);
}
