/*
 * A mutex that knows its owner, so that functions named *_locked can assert
 * that they are called as their name says. Failures of the primitives are
 * programming errors and abort.
 *
 * No lock is held across a call to meta or objstore: those call
 * fsp_lock_assert_none() in debug builds (make DEBUG=1).
 */
#ifndef FSP_LOCK_H
#define FSP_LOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct fsp_mutex {
	pthread_mutex_t m;
	_Atomic(uintptr_t) owner;       /* a thread's own address, 0 = free */
};

struct fsp_cond {
	pthread_cond_t c;               /* on CLOCK_MONOTONIC */
};

void fsp_mutex_init(struct fsp_mutex *m);
void fsp_mutex_destroy(struct fsp_mutex *m);
void fsp_lock(struct fsp_mutex *m);
void fsp_unlock(struct fsp_mutex *m);
void fsp_assert_held(struct fsp_mutex *m);

/* Aborts in debug builds when this thread holds any fsp_mutex. */
void fsp_lock_assert_none(void);

void fsp_cond_init(struct fsp_cond *c);
void fsp_cond_destroy(struct fsp_cond *c);
void fsp_cond_broadcast(struct fsp_cond *c);
void fsp_cond_signal(struct fsp_cond *c);

/*
 * Waits until signalled or until deadline_ns on fsp_mono_ns() (0 = for ever).
 * 0 or -ETIMEDOUT; spurious wake-ups happen.
 */
int fsp_cond_wait(struct fsp_cond *c, struct fsp_mutex *m, int64_t deadline_ns);

static inline void fsp_cleanup_unlock(struct fsp_mutex **m)
{
	if (*m)
		fsp_unlock(*m);
}

/* Holds the mutex to the end of the enclosing block. */
#define FSP_GUARD(m)                                                           \
	struct fsp_mutex *fsp_guard_                                           \
		__attribute__((cleanup(fsp_cleanup_unlock), unused)) = (m);    \
	fsp_lock(fsp_guard_)

#endif
