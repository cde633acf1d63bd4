/* Threads, and one that waits for work under its owner's lock. */
#include <errno.h>
#include <signal.h>

#include "fsp_worker.h"

int fsp_thread_create(pthread_t *t, void *(*run)(void *), void *arg)
{
	sigset_t all, before;
	int err;

	/* Neither can fail: the arguments are right. */
	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(t, NULL, run, arg);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

void fsp_worker_init(struct fsp_worker *w, struct fsp_mutex *lock)
{
	*w = (struct fsp_worker){ .lock = lock };
	fsp_cond_init(&w->wake);
}

void fsp_worker_end(struct fsp_worker *w)
{
	if (!w->lock)
		return;
	fsp_worker_stop(w);
	fsp_cond_destroy(&w->wake);
	w->lock = NULL;
}

int fsp_worker_start(struct fsp_worker *w, void *(*run)(void *), void *arg)
{
	int err;

	fsp_assert_held(w->lock);
	if (w->stop)
		return -EINTR;
	if (w->runs)
		return 0;
	err = fsp_thread_create(&w->thread, run, arg);
	w->runs = !err;
	return err;
}

int fsp_worker_wait(struct fsp_worker *w, int64_t deadline_ns)
{
	return fsp_cond_wait(&w->wake, w->lock, deadline_ns);
}

void fsp_worker_wake(struct fsp_worker *w)
{
	fsp_assert_held(w->lock);
	fsp_cond_broadcast(&w->wake);
}

void fsp_worker_stop(struct fsp_worker *w)
{
	bool runs;

	fsp_lock(w->lock);
	w->stop = true;
	runs = w->runs;
	w->runs = false;
	fsp_worker_wake(w);
	fsp_unlock(w->lock);
	if (runs)
		(void)pthread_join(w->thread, NULL);    /* ours: no error */
}
