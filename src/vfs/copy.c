/*
 * copy_file_range: the target takes over the source's stored content, whole or
 * in consecutive pieces from the start; a commit of the whole is a row only.
 */
#include "vfs_private.h"

#include <errno.h>
#include <string.h>

#include "fsp_clock.h"
#include "fsp_ctx.h"

/* What a clean source holds. */
static int source_content(struct file *f, struct fsp_content *out)
{
	FSP_GUARD(&f->lock);
	if (f->dirty || f->busy || !f->base.hash[0])
		return -EOPNOTSUPP;
	*out = f->base;
	return 0;
}

/* Is the target so far just the beginning of that content? */
static bool continues_locked(struct file *f, const struct fsp_content *c,
                             uint64_t off)
{
	if (file_has_extents_locked(f) || off != f->size || off != f->base_valid)
		return false;
	return off == 0 || (strcmp(f->base.hash, c->hash) == 0 &&
	                    f->base.size == c->size);
}

static ssize_t share(struct fsp_vfs *v, struct file *f,
                     const struct fsp_content *c, uint64_t off, uint64_t len)
{
	bool pending;
	int64_t over;

	(void)v;
	FSP_GUARD(&f->lock);
	file_wait_locked(f);
	if (!continues_locked(f, c, off))
		return -EOPNOTSUPP;
	if (len > c->size - off)
		len = c->size - off;
	pending = f->pending;
	over = f->over_row;
	if (off == 0)
		file_set_base_locked(f, c);
	f->pending = pending;
	f->over_row = over;
	f->base_limit = 0;
	f->append_off = UINT64_MAX;
	f->base_valid = off + len;
	f->size = off + len;
	f->dirty = true;
	f->untouched = false;
	f->writes++;
	f->mtime_ns = fsp_now_ns();
	f->attr.ctime_ns = f->mtime_ns;
	return (ssize_t)len;
}

ssize_t fsp_vfs_copy_range(struct fsp_handle *in, uint64_t off_in,
                           struct fsp_handle *out, uint64_t off_out,
                           uint64_t len, const struct fsp_ctx *ctx)
{
	struct fsp_content c;
	int err;

	if (in->file == out->file || off_in != off_out)
		return -EOPNOTSUPP;
	/* A row needs the object; without it the caller copies the bytes. */
	if (back_store(in->v, in->file, ctx))
		return -EOPNOTSUPP;
	err = source_content(in->file, &c);
	if (err)
		return err;
	if (off_in >= c.size)
		return 0;
	err = handle_writes(out);
	if (err)
		return err;
	return share(out->v, out->file, &c, off_out, len);
}
