/* Mutexes that know their owner, and conditions on the monotonic clock. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "fsp_clock.h"
#include "fsp_lock.h"
#include "fsp_log.h"

/* How many this thread holds; its address also identifies the thread. */
static _Thread_local unsigned held;

static uintptr_t self(void)
{
	return (uintptr_t)&held;
}

static void must(int err, const char *what)
{
	if (!err)
		return;
	fsp_error("%s: error %d, a bug in this program", what, err);
	abort();
}

static void take(struct fsp_mutex *m)
{
	atomic_store_explicit(&m->owner, self(), memory_order_relaxed);
	held++;
}

static void drop(struct fsp_mutex *m)
{
	fsp_assert_held(m);
	atomic_store_explicit(&m->owner, 0, memory_order_relaxed);
	held--;
}

void fsp_mutex_init(struct fsp_mutex *m)
{
	must(pthread_mutex_init(&m->m, NULL), "mutex init");
	atomic_init(&m->owner, 0);
}

void fsp_mutex_destroy(struct fsp_mutex *m)
{
	must(pthread_mutex_destroy(&m->m), "mutex destroy");
}

void fsp_lock(struct fsp_mutex *m)
{
	/* Only this thread can have stored its own address. */
	if (atomic_load_explicit(&m->owner, memory_order_relaxed) == self())
		must(EDEADLK, "mutex lock");
	must(pthread_mutex_lock(&m->m), "mutex lock");
	take(m);
}

void fsp_unlock(struct fsp_mutex *m)
{
	drop(m);
	must(pthread_mutex_unlock(&m->m), "mutex unlock");
}

void fsp_assert_held(struct fsp_mutex *m)
{
	if (atomic_load_explicit(&m->owner, memory_order_relaxed) != self())
		must(EPERM, "mutex not held");
}

void fsp_lock_assert_none(void)
{
#ifdef FSP_DEBUG
	if (held)
		must(EDEADLK, "mutex held where none may be");
#endif
}

void fsp_cond_init(struct fsp_cond *c)
{
	pthread_condattr_t attr;

	must(pthread_condattr_init(&attr), "condition attributes");
	must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC),
	     "condition clock");
	must(pthread_cond_init(&c->c, &attr), "condition init");
	must(pthread_condattr_destroy(&attr), "condition attributes");
}

void fsp_cond_destroy(struct fsp_cond *c)
{
	must(pthread_cond_destroy(&c->c), "condition destroy");
}

void fsp_cond_broadcast(struct fsp_cond *c)
{
	must(pthread_cond_broadcast(&c->c), "condition broadcast");
}

void fsp_cond_signal(struct fsp_cond *c)
{
	must(pthread_cond_signal(&c->c), "condition signal");
}

static int wait_until(struct fsp_cond *c, struct fsp_mutex *m, int64_t ns)
{
	struct timespec ts = { .tv_sec = ns / FSP_NS_PER_SEC,
		               .tv_nsec = ns % FSP_NS_PER_SEC };

	return pthread_cond_timedwait(&c->c, &m->m, &ts);
}

int fsp_cond_wait(struct fsp_cond *c, struct fsp_mutex *m, int64_t deadline_ns)
{
	int err;

	drop(m);
	if (deadline_ns == 0)
		err = pthread_cond_wait(&c->c, &m->m);
	else
		err = wait_until(c, m, deadline_ns < 0 ? 0 : deadline_ns);
	take(m);
	if (err == ETIMEDOUT)
		return -ETIMEDOUT;
	must(err, "condition wait");
	return 0;
}
