/*
 * Directory requests. Nothing belongs to an open directory: where somebody is in
 * it the position says, so that the kernel may open it by itself.
 */
#include "fuse_private.h"

#include <errno.h>
#include <stdlib.h>

/*
 * While others' changes are heard of, the kernel opens directories without us
 * from now on, and keeps what it has read in them.
 */
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fsp_fuse *f = fuse_of(req);

	(void)ino;
	fsp_vfs_listing_asked(f->vfs);
	if (f->no_opendir && fsp_vfs_vouches(f->vfs))
		fuse_reply_err(req, ENOSYS);
	else
		fuse_reply_open(req, fi);
}

/* Adds one entry; its size, or more than `left` when it does not fit. */
static size_t add_entry(fuse_req_t req, char *buf, size_t left, bool plus,
                        bool counted, const char *name,
                        const struct fsp_attr *a, uint64_t news, uint64_t pos)
{
	struct fuse_entry_param e = { 0 };
	struct stat st;

	if (!plus) {
		fuse_attr(fuse_of(req), a, &st);
		return fuse_add_direntry(req, buf, left, name, &st, (off_t)pos);
	}
	fuse_entry(fuse_of(req), a, news, &e);
	/* Number 0: a mere name, the kernel takes no look-up for it. */
	if (!counted)
		e.ino = 0;
	return fuse_add_direntry_plus(req, buf, left, name, &e, (off_t)pos);
}

static int fill(fuse_req_t req, const struct fsp_ctx *ctx, struct fsp_dirlist *l,
                char *buf, size_t size, uint64_t pos, bool plus, size_t *used)
{
	struct fsp_vfs *vfs = fuse_of(req)->vfs;
	uint64_t news = fsp_vfs_news(vfs);

	for (*used = 0;;) {
		bool counted = plus;
		struct fsp_attr a;
		const char *name;
		size_t n;
		int err = fsp_vfs_list_next(l, ctx, &pos, &counted, &name, &a);

		if (err)
			return err == -ENOENT || *used ? 0 : err;
		n = add_entry(req, buf + *used, size - *used, plus, counted,
		              name, &a, news, pos);
		if (n > size - *used) {
			if (counted)
				fsp_vfs_forget(vfs, a.ino, 1);
			return 0;
		}
		*used += n;
	}
}

/*
 * The end. On nothing at all the kernel keeps what it has read, for good. On
 * less than an entry it does not, and its caller is at the end all the same.
 */
static void reply_end(fuse_req_t req, struct fsp_dirlist *l)
{
	static const char no_entry[8];

	if (fsp_vfs_list_keep(l))
		fuse_reply_buf(req, NULL, 0);
	else
		fuse_reply_buf(req, no_entry, sizeof(no_entry));
}

static void readdir_any(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                        bool plus)
{
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_ctx *ctx = fuse_call_begin(&call, req);
	struct fsp_dirlist *l = NULL;
	char *buf = malloc(size);
	size_t used = 0;
	int err = buf ? fsp_vfs_list(fuse_of(req)->vfs, ctx, ino,
	                             (uint64_t)off, &l) : -ENOMEM;

	fsp_vfs_listing_asked(fuse_of(req)->vfs);
	if (!err)
		err = fill(req, ctx, l, buf, size, (uint64_t)off, plus,
		           &used);
	if (err)
		fuse_reply_err(req, -err);
	else if (used)
		fuse_reply_buf(req, buf, used);
	else
		reply_end(req, l);
	if (l)
		fsp_vfs_list_end(l);
	free(buf);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                struct fuse_file_info *fi)
{
	(void)fi;
	readdir_any(req, ino, size, off, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                    struct fuse_file_info *fi)
{
	(void)fi;
	readdir_any(req, ino, size, off, true);
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
