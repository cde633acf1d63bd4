/*
 * The pool: a list of waiting jobs and detached threads that take from it.
 *
 * A job is IDLE -> QUEUED -> RUNNING -> DONE, IDLE being 0; who waits may take
 * it to RUNNING from either of the first two. Every change is under `lock`.
 *
 * Of the queued jobs no more than `limit` run at once, whoever runs them: each
 * works through some megabytes of memory, and on more threads than cores they
 * would take the caches from each other.
 */
#include "fsp_pool.h"

#include <stddef.h>
#include <unistd.h>

#include "fsp_lock.h"
#include "fsp_worker.h"

enum { IDLE, QUEUED, RUNNING, DONE };

static struct {
	pthread_once_t once;
	struct fsp_mutex lock;
	struct fsp_cond work;           /* a job waits, or threads must go */
	struct fsp_cond done;           /* a job is done, or a thread gone */
	struct fsp_job *first, *last;
	unsigned limit, threads, idle, queued;
	unsigned running;               /* of those that were queued */
} pool = { .once = PTHREAD_ONCE_INIT };

static void init(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	fsp_mutex_init(&pool.lock);
	fsp_cond_init(&pool.work);
	fsp_cond_init(&pool.done);
	pool.limit = cores > 0 ? (unsigned)cores : 1;
}

static void lock_pool(void)
{
	/* Fails for a wrong argument only. */
	(void)pthread_once(&pool.once, init);
	fsp_lock(&pool.lock);
}

static void unlink_locked(struct fsp_job *j)
{
	fsp_assert_held(&pool.lock);
	*(j->prev ? &j->prev->next : &pool.first) = j->next;
	*(j->next ? &j->next->prev : &pool.last) = j->prev;
	j->next = j->prev = NULL;
	pool.queued--;
}

/* Without the lock while it runs. */
static void run_locked(struct fsp_job *j)
{
	j->state = RUNNING;
	fsp_unlock(&pool.lock);
	j->run(j);
	fsp_lock(&pool.lock);
	j->state = DONE;
	fsp_cond_broadcast(&pool.done);
}

static bool may_run_locked(void)
{
	return pool.running < pool.limit || !pool.limit;
}

static void run_queued_locked(struct fsp_job *j)
{
	unlink_locked(j);
	pool.running++;
	run_locked(j);
	pool.running--;
	if (pool.first)
		fsp_cond_signal(&pool.work);
}

static void *worker(void *arg)
{
	(void)arg;
	fsp_lock(&pool.lock);
	while (pool.threads <= pool.limit) {
		if (pool.first && may_run_locked()) {
			run_queued_locked(pool.first);
			continue;
		}
		pool.idle++;
		/* No deadline, hence no error. */
		(void)fsp_cond_wait(&pool.work, &pool.lock, 0);
		pool.idle--;
	}
	pool.threads--;
	fsp_cond_broadcast(&pool.done);
	fsp_unlock(&pool.lock);
	return NULL;
}

static int start_thread(void)
{
	pthread_t t;
	int err = fsp_thread_create(&t, worker, NULL);

	if (!err)
		(void)pthread_detach(t);
	return err;
}

void fsp_pool_set_workers(unsigned n)
{
	lock_pool();
	pool.limit = n;
	fsp_cond_broadcast(&pool.work);
	fsp_cond_broadcast(&pool.done);
	while (pool.threads > pool.limit)
		(void)fsp_cond_wait(&pool.done, &pool.lock, 0);
	fsp_unlock(&pool.lock);
}

unsigned fsp_pool_workers(void)
{
	unsigned n;

	lock_pool();
	n = pool.limit;
	fsp_unlock(&pool.lock);
	return n;
}

void fsp_pool_submit(struct fsp_job *j)
{
	lock_pool();
	j->state = QUEUED;
	j->next = NULL;
	j->prev = pool.last;
	*(pool.last ? &pool.last->next : &pool.first) = j;
	pool.last = j;
	pool.queued++;
	fsp_cond_signal(&pool.work);
	/* A thread that cannot be had is one less: who waits does the job. */
	if (pool.queued > pool.idle && pool.threads < pool.limit &&
	    !start_thread())
		pool.threads++;
	fsp_unlock(&pool.lock);
}

void fsp_pool_wait(struct fsp_job *j)
{
	lock_pool();
	if (j->state == IDLE)
		run_locked(j);
	while (j->state != DONE) {
		if (j->state == QUEUED && may_run_locked())
			run_queued_locked(j);
		else
			(void)fsp_cond_wait(&pool.done, &pool.lock, 0);
	}
	fsp_unlock(&pool.lock);
}

bool fsp_pool_done(const struct fsp_job *j)
{
	bool done;

	lock_pool();
	done = j->state == DONE;
	fsp_unlock(&pool.lock);
	return done;
}

void fsp_pool_cancel(struct fsp_job *j)
{
	lock_pool();
	if (j->state == QUEUED) {
		unlink_locked(j);
		j->state = IDLE;
	}
	while (j->state == RUNNING)
		(void)fsp_cond_wait(&pool.done, &pool.lock, 0);
	fsp_unlock(&pool.lock);
}
