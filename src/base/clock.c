/* The clocks; the wall clock can be replaced by a test's. */
#include <stddef.h>
#include <time.h>

#include "fsp_clock.h"

static int64_t (*test_clock)(void);

static int64_t read_clock(clockid_t id)
{
	struct timespec ts;

	/* Cannot fail: both clocks exist on Linux and ts is valid. */
	(void)clock_gettime(id, &ts);
	return ts.tv_sec * FSP_NS_PER_SEC + ts.tv_nsec;
}

int64_t fsp_now_ns(void)
{
	return test_clock ? test_clock() : read_clock(CLOCK_REALTIME);
}

int64_t fsp_now_us(void)
{
	int64_t ns = fsp_now_ns();
	int64_t us = ns / 1000;

	return ns % 1000 < 0 ? us - 1 : us;
}

int64_t fsp_mono_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t fsp_ns_to_sec(int64_t ns)
{
	int64_t sec = ns / FSP_NS_PER_SEC;

	return ns % FSP_NS_PER_SEC < 0 ? sec - 1 : sec;
}

void fsp_clock_set(int64_t (*now)(void))
{
	test_clock = now;
}
