/*
 * The operation context goes down every call that can wait.
 *
 * Owned by the caller, lives on its stack, read-only for everybody below.
 */
#ifndef FSP_CTX_H
#define FSP_CTX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct fsp_ctx {
	int64_t deadline_ns;            /* on fsp_mono_ns(); 0 = none */
	const atomic_bool *cancelled;   /* may be NULL */
	uint64_t request;               /* for the log; 0 = none */
	uid_t uid;                      /* who asks */
	gid_t gid;
	pid_t tid;                      /* the thread that asks; 0 = unknown */
};

/* A context without deadline, for start-up and tools; uid and gid are ours. */
struct fsp_ctx fsp_ctx_background(void);

/* Nanoseconds left; INT64_MAX without a deadline; 0 or less when it is over. */
int64_t fsp_ctx_left_ns(const struct fsp_ctx *ctx);

/* 0, -EINTR when cancelled, -ETIMEDOUT when the deadline has passed. */
int fsp_ctx_check(const struct fsp_ctx *ctx);

#endif
