/* Extended attribute requests. */
#include "fuse_private.h"

#include <errno.h>

#include "fsp_buf.h"

/* size 0 asks how much room is needed. */
static void reply_value(fuse_req_t req, int err, const struct fsp_buf *b,
                        size_t size)
{
	if (err)
		fuse_reply_err(req, -err);
	else if (!size)
		fuse_reply_xattr(req, b->len);
	else if (b->len > size)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, b->data, b->len);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_ctx *ctx = fuse_call_begin(&call, req);

	reply_value(req, fsp_vfs_getxattr(fuse_of(req)->vfs, ctx, ino, name, &b),
	            &b, size);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_ctx *ctx = fuse_call_begin(&call, req);

	reply_value(req, fsp_vfs_listxattr(fuse_of(req)->vfs, ctx, ino, &b), &b,
	            size);
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
                 const char *value, size_t size, int flags)
{
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_ctx *ctx = fuse_call_begin(&call, req);

	fuse_reply_err(req, -fsp_vfs_setxattr(fuse_of(req)->vfs, ctx, ino, name,
	                                      value, size, flags));
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_ctx *ctx = fuse_call_begin(&call, req);

	fuse_reply_err(req, -fsp_vfs_setxattr(fuse_of(req)->vfs, ctx, ino, name,
	                                      NULL, 0, 0));
}
