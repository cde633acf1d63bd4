/* The fault decorator: the nth fallible call from now fails, once. */
#include <errno.h>
#include <stdlib.h>

#include "fsp_lock.h"
#include "fsp_meta.h"

struct fault {
	struct fsp_meta base;
	struct fsp_meta *inner;
	struct fsp_mutex lock;
	uint64_t left;          /* calls until it fails, 0 = off */
	int err;
	uint64_t fired;
};

/* The error that this call has to fail with, or 0. */
static int strike(struct fsp_meta *m)
{
	struct fault *f = (struct fault *)m;

	FSP_GUARD(&f->lock);
	if (f->left == 0 || --f->left > 0)
		return 0;
	f->fired++;
	return f->err;
}

#define FSP_META_CALL(name, params, ...)                                       \
	static int f_##name params                                             \
	{                                                                      \
		struct fsp_meta *inner = ((struct fault *)m)->inner;           \
		int err = strike(m);                                           \
                                                                               \
		return err ? err                                               \
			   : inner->ops->name(inner, ctx, ##__VA_ARGS__);      \
	}
#include "fsp_meta_calls.h"

static void f_stats(struct fsp_meta *m, struct fsp_meta_stats *out)
{
	fsp_meta_stats(((struct fault *)m)->inner, out);
}

static void f_close(struct fsp_meta *m)
{
	struct fault *f = (struct fault *)m;

	f->inner->ops->close(f->inner);
	fsp_mutex_destroy(&f->lock);
	free(f);
}

static const struct fsp_meta_ops ops = {
#define FSP_META_CALL(name, params, ...) .name = f_##name,
#include "fsp_meta_calls.h"
	.stats = f_stats,
	.close = f_close,
};

int fsp_meta_fault(struct fsp_meta *inner, struct fsp_meta **out)
{
	struct fault *f = calloc(1, sizeof(*f));

	if (!f) {
		inner->ops->close(inner);
		return -ENOMEM;
	}
	f->base.ops = &ops;
	f->inner = inner;
	fsp_mutex_init(&f->lock);
	*out = &f->base;
	return 0;
}

void fsp_meta_fault_arm(struct fsp_meta *m, uint64_t nth, int err)
{
	struct fault *f = (struct fault *)m;

	FSP_GUARD(&f->lock);
	f->left = nth;
	f->err = err > 0 ? -err : err;
}

uint64_t fsp_meta_fault_fired(struct fsp_meta *m)
{
	struct fault *f = (struct fault *)m;

	FSP_GUARD(&f->lock);
	return f->fired;
}
