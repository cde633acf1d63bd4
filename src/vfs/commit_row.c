/* The last step of a commit: the row. */
#include "back.h"
#include "vfs_private.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"

#define GAP_NS (10 * FSP_NS_PER_SEC)
#define GAP_STEP_NS 20000000L           /* at first, and then ever longer */
#define GAP_STEP_MAX_NS 250000000L

struct fsp_ctx row_ctx(struct fsp_vfs *v, const struct fsp_ctx *ctx)
{
	struct fsp_ctx c = *ctx;

	c.deadline_ns = fsp_mono_ns() + v->op_timeout_ns;
	return c;
}

static int put_row(struct fsp_vfs *v, struct inode *i, struct file *f,
                   const struct fsp_ctx *ctx, const struct fsp_object *o,
                   struct fsp_entry *e)
{
	struct fsp_ctx row = row_ctx(v, ctx);
	struct fsp_commit c = { .object = o, .owner = v->id,
		                .await_php = true };
	FSP_FREE char *path = NULL;
	int err = inode_path_hint(v, i, &path);

	if (err)
		return err;
	fsp_lock(&f->lock);
	if (f->snap && o) {
		f->end.at_us = f->queued_us;
		c.queued = &f->end;
	}
	c.mask = f->mask | FSP_SET_CTIME;
	c.attr = f->attr;
	c.attr.mtime_ns = f->mtime_ns;
	c.base_row = f->over_row;
	c.collapse_row = f->session_row;
	c.require_base = o && f->base_limit != 0;
	c.fence = f->fence;
	fsp_unlock(&f->lock);
	c.ref.ino = i->ino;
	/* Nobody has looked for it yet: where it was when it was closed. */
	c.ref.path = f->snap && !*path ? f->snap->path : path;
	return answered(v, fsp_meta_commit(v->store->meta, &row, &c, e));
}

/*
 * PHP ends a file's row, stores the object and then inserts the next row. Who
 * commits in between cannot tell that from a deletion, and waits which it is.
 */
int commit_row(struct fsp_vfs *v, struct inode *i, struct file *f,
               const struct fsp_ctx *ctx, const struct fsp_object *o,
               struct fsp_entry *e)
{
	struct timespec step = { .tv_nsec = GAP_STEP_NS };
	int64_t most = v->op_timeout_ns < GAP_NS ? v->op_timeout_ns : GAP_NS;
	int64_t until = fsp_mono_ns() + most;
	int err;

	while ((err = put_row(v, i, f, ctx, o, e)) == -EINPROGRESS) {
		/* The call's deadline may have gone with the upload. */
		if (ctx->cancelled && atomic_load(ctx->cancelled))
			err = -EINTR;
		else if (fsp_mono_ns() > until)
			err = -ESTALE;
		if (err != -EINPROGRESS)
			break;
		/* Woken early, it asks sooner. */
		(void)nanosleep(&step, NULL);
		step.tv_nsec += step.tv_nsec / 2;
		if (step.tv_nsec > GAP_STEP_MAX_NS)
			step.tv_nsec = GAP_STEP_MAX_NS;
	}
	if (err)
		inode_unsure(v, i);
	return err;
}
