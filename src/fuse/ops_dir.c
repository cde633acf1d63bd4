/* Directory requests. */
#include "fuse_private.h"

#include <errno.h>
#include <stdlib.h>

static struct fsp_dirhandle *dir_of(struct fuse_file_info *fi)
{
	return (struct fsp_dirhandle *)(uintptr_t)fi->fh;
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_ctx *ctx = fuse_call_begin(&call, req);
	struct fsp_dirhandle *h;
	int err = fsp_vfs_opendir(fuse_of(req)->vfs, ctx, ino, &h);

	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	fi->fh = (uintptr_t)h;
	if (fuse_reply_open(req, fi))
		fsp_vfs_releasedir(h);  /* the caller was killed: no release */
}

/* Adds one entry; its size, or more than `left` when it does not fit. */
static size_t add_entry(fuse_req_t req, char *buf, size_t left, bool plus,
                        bool counted, const char *name,
                        const struct fsp_attr *a, uint64_t next)
{
	struct fuse_entry_param e = { 0 };
	struct stat st;

	if (!plus) {
		fuse_attr(fuse_of(req), a, &st);
		return fuse_add_direntry(req, buf, left, name, &st, (off_t)next);
	}
	fuse_entry(fuse_of(req), a, &e);
	/* Number 0: a mere name, the kernel takes no look-up for it. */
	if (!counted)
		e.ino = 0;
	return fuse_add_direntry_plus(req, buf, left, name, &e, (off_t)next);
}

static int fill(fuse_req_t req, struct fsp_dirhandle *h, char *buf, size_t size,
                uint64_t pos, bool plus, size_t *used)
{
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_ctx *ctx = fuse_call_begin(&call, req);
	struct fsp_vfs *vfs = fuse_of(req)->vfs;

	for (*used = 0;; pos++) {
		bool counted = plus;
		struct fsp_attr a;
		const char *name;
		size_t n;
		int err = fsp_vfs_readdir(h, ctx, pos, &counted, &name, &a);

		if (err)
			return err == -ENOENT || *used ? 0 : err;
		n = add_entry(req, buf + *used, size - *used, plus, counted,
		              name, &a, pos + 1);
		if (n > size - *used) {
			if (counted)
				fsp_vfs_forget(vfs, a.ino, 1);
			return 0;
		}
		*used += n;
	}
}

static void readdir_any(fuse_req_t req, size_t size, off_t off,
                        struct fuse_file_info *fi, bool plus)
{
	char *buf = malloc(size);
	size_t used = 0;
	int err = buf ? fill(req, dir_of(fi), buf, size, (uint64_t)off, plus, &used)
	              : -ENOMEM;

	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_buf(req, buf, used);
	free(buf);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                struct fuse_file_info *fi)
{
	(void)ino;
	readdir_any(req, size, off, fi, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                    struct fuse_file_info *fi)
{
	(void)ino;
	readdir_any(req, size, off, fi, true);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fsp_vfs_releasedir(dir_of(fi));
	fuse_reply_err(req, 0);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
                 struct fuse_file_info *fi)
{
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_ctx *ctx = fuse_call_begin(&call, req);

	(void)ino;
	(void)datasync;
	(void)fi;
	fuse_reply_err(req, -fsp_vfs_fsyncdir(fuse_of(req)->vfs, ctx));
}
