/*
 * Knows whether a server is down, so that calls fail at once instead of each
 * waiting for its own time-out. DESIGN.md, "When a server is down", has the
 * states. The decorators of objstore and meta are made of it.
 */
#ifndef FSP_BREAKER_H
#define FSP_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

struct fsp_breaker;
struct fsp_ctx;
struct fsp_health_part;

struct fsp_breaker_options {
	const char *name;               /* for the log, static */
	int down_after;                 /* calls in a row, 1 or more */
	/*
	 * A real and cheap call. -EHOSTDOWN, -ETIMEDOUT: down. Anything else:
	 * the server answers. *why (freed by the breaker) may say more than
	 * the error. The decorators have one of their own where this is NULL.
	 */
	int (*probe)(void *arg, const struct fsp_ctx *ctx, char **why);
	void *arg;
	struct fsp_health_part *health; /* may be NULL */
	/*
	 * Tests: the monotonic clock. No thread is started then, and the test
	 * calls fsp_breaker_step() itself.
	 */
	int64_t (*now)(void);
};

/* -ENOMEM, -EAGAIN (no thread). */
int fsp_breaker_new(const struct fsp_breaker_options *o,
                    struct fsp_breaker **out);
/* Ends a probe that is under way; no call may be. NULL is fine. */
void fsp_breaker_free(struct fsp_breaker *b);

/* What ties the two ends of a call together. */
struct fsp_breaker_call {
	unsigned int epoch;
	int64_t left_ns;                /* the time that it came with */
};

/*
 * Around each call. enter: 0, or -EHOSTDOWN at once; never waits. leave takes
 * what the call returned and returns it.
 */
int fsp_breaker_enter(struct fsp_breaker *b, const struct fsp_ctx *ctx,
                      struct fsp_breaker_call *call);
int fsp_breaker_leave(struct fsp_breaker *b,
                      const struct fsp_breaker_call *call, int err);

/*
 * What the thread does, once: probes when it is time. How long until the next
 * time in nanoseconds; INT64_MAX: there is no reason for one.
 */
int64_t fsp_breaker_step(struct fsp_breaker *b);

bool fsp_breaker_is_open(struct fsp_breaker *b);

#endif
