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
#define GAP_STEP_NS 20000000L

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
	struct fsp_commit c = { .object = o, .owner = v->id };
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
	err = answered(v, fsp_meta_commit(v->store->meta, &row, &c, e));
	if (err)
		inode_unsure(v, i);
	return err;
}

/*
 * PHP ends a file's row, stores the object and then inserts the next row. Who
 * commits in between cannot tell that from a deletion, and waits which it is.
 */
int commit_row(struct fsp_vfs *v, struct inode *i, struct file *f,
               const struct fsp_ctx *ctx, const struct fsp_object *o,
               struct fsp_entry *e)
{
	const struct timespec step = { .tv_nsec = GAP_STEP_NS };
	int64_t most = v->op_timeout_ns < GAP_NS ? v->op_timeout_ns : GAP_NS;
	int64_t until = fsp_mono_ns() + most;
	int err;

	while ((err = put_row(v, i, f, ctx, o, e)) == -EINPROGRESS) {
		if (fsp_mono_ns() > until || fsp_ctx_check(ctx))
			return -ESTALE;
		/* Woken early, it asks sooner. */
		(void)nanosleep(&step, NULL);
	}
	return err;
}
