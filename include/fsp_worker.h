/*
 * A thread that belongs to something and waits for work there: started at its
 * first use, woken, told to stop, joined. All is under a lock of the owner:
 *
 *	static void *serve(void *arg)
 *	{
 *		struct thing *t = arg;
 *
 *		FSP_GUARD(&t->lock);
 *		while (!t->worker.stop)
 *			if (!work_locked(t))
 *				fsp_worker_wait(&t->worker, t->due_ns);
 *		return NULL;
 *	}
 *
 * Signals are the main thread's: a thread that is made here blocks them all.
 */
#ifndef FSP_WORKER_H
#define FSP_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "fsp_lock.h"

struct fsp_worker {
	struct fsp_mutex *lock;         /* the owner's */
	struct fsp_cond wake;
	pthread_t thread;
	bool runs;
	atomic_bool stop;               /* for a fsp_ctx's `cancelled`, too */
};

/* The lock is only noted; it lasts as long as the worker. */
void fsp_worker_init(struct fsp_worker *w, struct fsp_mutex *lock);
/* Stops it, where that has not been done. Nothing for one that is all zero. */
void fsp_worker_end(struct fsp_worker *w);

/*
 * With the lock. 0: it runs, from now on or already. -EINTR: it has been told to
 * stop. -EAGAIN: there can be no thread.
 */
int fsp_worker_start(struct fsp_worker *w, void *(*run)(void *), void *arg);

/*
 * With the lock. Whoever waits for the worker's progress may wait here as well:
 * waking wakes all. 0 or -ETIMEDOUT, as fsp_cond_wait().
 */
int fsp_worker_wait(struct fsp_worker *w, int64_t deadline_ns);
void fsp_worker_wake(struct fsp_worker *w);

/* Without the lock: tells it to stop and waits until it has returned. */
void fsp_worker_stop(struct fsp_worker *w);

/* A thread that is managed elsewhere. 0 or -errno. */
int fsp_thread_create(pthread_t *t, void *(*run)(void *), void *arg);

#endif
