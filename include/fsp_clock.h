/*
 * Time, in one place so that tests can set it.
 *
 * Units are in the names: _ns nanoseconds, _us microseconds. Wall times count
 * from 1970-01-01 UTC. All functions may be called from any thread.
 */
#ifndef FSP_CLOCK_H
#define FSP_CLOCK_H

#include <stdint.h>

#define FSP_NS_PER_SEC 1000000000LL
#define FSP_US_PER_SEC 1000000LL

/* Wall clock now. */
int64_t fsp_now_ns(void);
int64_t fsp_now_us(void);

/* Monotonic clock, for deadlines only; its zero means nothing. */
int64_t fsp_mono_ns(void);

/* Whole seconds of a wall time, rounded towards the past (-0.5 s is -1). */
int64_t fsp_ns_to_sec(int64_t ns);

/*
 * Tests only: replaces the wall clock by one that answers what `now` returns;
 * NULL restores the real one. Not thread-safe against running readers.
 */
void fsp_clock_set(int64_t (*now)(void));

#endif
