/* The operation context: deadline and cancellation. */
#include <errno.h>
#include <unistd.h>

#include "fsp_clock.h"
#include "fsp_ctx.h"

struct fsp_ctx fsp_ctx_background(void)
{
	return (struct fsp_ctx){ .uid = geteuid(), .gid = getegid() };
}

int64_t fsp_ctx_left_ns(const struct fsp_ctx *ctx)
{
	if (ctx->deadline_ns == 0)
		return INT64_MAX;
	return ctx->deadline_ns - fsp_mono_ns();
}

int fsp_ctx_check(const struct fsp_ctx *ctx)
{
	if (ctx->cancelled &&
	    atomic_load_explicit(ctx->cancelled, memory_order_relaxed))
		return -EINTR;
	return fsp_ctx_left_ns(ctx) <= 0 ? -ETIMEDOUT : 0;
}
