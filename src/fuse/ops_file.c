/* File requests: handles and their bytes. */
#include "fuse_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

static struct fsp_handle *handle_of(struct fuse_file_info *fi)
{
	return (struct fsp_handle *)(uintptr_t)fi->fh;
}

static void set_handle(struct fuse_file_info *fi, const struct fsp_opened *o)
{
	fi->fh = (uintptr_t)o->handle;
	fi->keep_cache = o->keep_cache;
}

/* An open that is answered once the pages of before have gone. */
struct opening {
	struct fsp_pages_wait wait;
	fuse_req_t req;
	struct fuse_file_info fi;
};

static void reply_open(fuse_req_t req, struct fuse_file_info *fi)
{
	struct fsp_ctx ctx = fuse_ctx(req);
	struct fsp_handle *h = handle_of(fi);

	if (fuse_reply_open(req, fi))
		fsp_vfs_release(h, &ctx);       /* no release comes */
}

static void on_pages_gone(void *arg)
{
	struct opening *p = arg;

	reply_open(p->req, &p->fi);
	free(p);
}

static void reply_later(fuse_req_t req, struct fuse_file_info *fi)
{
	struct fsp_ctx ctx = fuse_ctx(req);
	struct opening *p = calloc(1, sizeof(*p));

	if (!p) {
		fsp_vfs_release(handle_of(fi), &ctx);
		fuse_reply_err(req, ENOMEM);
		return;
	}
	p->req = req;
	p->fi = *fi;
	p->wait.done = on_pages_gone;
	p->wait.arg = p;
	fsp_vfs_wait_pages(handle_of(fi), &p->wait);
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_ctx *ctx = fuse_call_begin(&call, req);
	struct fsp_opened o = { 0 };
	int err = fsp_vfs_open_file(fuse_of(req)->vfs, ctx, ino, fi->flags, &o);

	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	set_handle(fi, &o);
	if (o.wait)
		reply_later(req, fi);
	else
		reply_open(req, fi);
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
               struct fuse_file_info *fi)
{
	struct fsp_fuse *f = fuse_of(req);
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_ctx *ctx = fuse_call_begin(&call, req);
	struct fsp_opened o = { 0 };
	uint64_t news = fsp_vfs_news(f->vfs);
	struct fuse_entry_param e;
	struct fsp_attr a;
	int err = fsp_vfs_create(f->vfs, ctx, parent, name, mode, fi->flags, &a,
	                         &o);

	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	set_handle(fi, &o);
	fuse_entry(f, &a, news, &e);
	if (fuse_reply_create(req, &e, fi)) {
		fsp_vfs_release(o.handle, ctx);
		fsp_vfs_forget(f->vfs, a.ino, 1);
	}
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
             struct fuse_file_info *fi)
{
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_ctx *ctx = fuse_call_begin(&call, req);
	char *buf = malloc(size);
	ssize_t n = buf ? fsp_vfs_read(handle_of(fi), ctx, buf, size,
	                               (uint64_t)off) : -ENOMEM;

	(void)ino;
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_buf(req, buf, (size_t)n);
	free(buf);
}

static void reply_count(struct fuse_call *call, ssize_t n)
{
	if (n < 0)
		fuse_call_err(call, (int)n);
	else if (fuse_call_claim(call))
		fuse_reply_write(call->req, (size_t)n);
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size,
              off_t off, struct fuse_file_info *fi)
{
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_handle *h = handle_of(fi);
	struct fsp_ctx *ctx = fuse_call_begin_on(&call, req, h);
	/* As the flags are now, and never for pages of a mapping. */
	bool append = (fi->flags & O_APPEND) && !fi->writepage;

	(void)ino;
	reply_count(&call, fsp_vfs_write(h, ctx, buf, size, (uint64_t)off,
	                                 append));
}

void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_handle *h = handle_of(fi);
	struct fsp_ctx *ctx = fuse_call_begin_on(&call, req, h);
	int err = fsp_vfs_flush(h, ctx);

	(void)ino;
	/* A process that closes any descriptor of a file loses its locks. */
	fsp_vfs_unlock_owner(h, ctx, FSP_LOCK_POSIX, fi->lock_owner);
	fuse_call_err(&call, err);
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
              struct fuse_file_info *fi)
{
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_handle *h = handle_of(fi);
	struct fsp_ctx *ctx = fuse_call_begin_on(&call, req, h);

	(void)ino;
	(void)datasync; /* the row carries both */
	fuse_call_err(&call, fsp_vfs_fsync(h, ctx));
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fsp_ctx ctx = fuse_ctx(req);

	(void)ino;
	fsp_vfs_release(handle_of(fi), &ctx);
	fuse_reply_err(req, 0);
}

void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
                        struct fuse_file_info *fi_in, fuse_ino_t ino_out,
                        off_t off_out, struct fuse_file_info *fi_out,
                        size_t len, int flags)
{
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_handle *in = handle_of(fi_in), *out = handle_of(fi_out);
	struct fsp_ctx *ctx = fuse_call_begin_on(&call, req, out);
	ssize_t n = -EINVAL;

	(void)ino_in;
	(void)ino_out;
	fsp_vfs_hold(in);
	if (!flags)
		n = fsp_vfs_copy_range(in, (uint64_t)off_in, out,
		                       (uint64_t)off_out, len, ctx);
	reply_count(&call, n);
	fsp_vfs_release(in, ctx);
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
                  struct fuse_file_info *fi)
{
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_handle *h = handle_of(fi);

	(void)ino;
	fuse_call_begin_on(&call, req, h);
	fuse_call_err(&call, fsp_vfs_fallocate(h, mode, (uint64_t)off,
	                                       (uint64_t)len));
}
