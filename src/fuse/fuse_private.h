/* What the files of fuse share. */
#ifndef FSP_FUSE_PRIVATE_H
#define FSP_FUSE_PRIVATE_H

#include <fuse_lowlevel.h>

#include "fsp_ctx.h"
#include "fsp_fuse.h"
#include "fsp_vfs.h"

struct fsp_fuse {
	struct fsp_fuse_options o;
	struct fuse_session *se;
	struct fsp_vfs *vfs;
	bool mounted;
	bool no_opendir;                /* the kernel can do without */
	bool expires;                   /* and mark entries as old */
};

extern const struct fuse_lowlevel_ops fsp_fuse_ops;

static inline struct fsp_fuse *fuse_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* Who asks, and until when. */
struct fsp_ctx fuse_ctx(fuse_req_t req);

void fuse_attr(const struct fsp_fuse *f, const struct fsp_attr *a,
               struct stat *st);

/* ops_dir.c */
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                    struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
                 struct fuse_file_info *fi);

/* ops_file.c */
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
               struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
             struct fuse_file_info *fi);
void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size,
              off_t off, struct fuse_file_info *fi);
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
              struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
                        struct fuse_file_info *fi_in, fuse_ino_t ino_out,
                        off_t off_out, struct fuse_file_info *fi_out,
                        size_t len, int flags);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
                  struct fuse_file_info *fi);

/* ops_xattr.c */
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
                 const char *value, size_t size, int flags);
void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

/* ops_lock.c */
void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
              struct flock *l);
void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
              struct flock *l, int sleep);
void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op);

/* news: fsp_vfs_news() before it was asked for. */
void fuse_entry(const struct fsp_fuse *f, const struct fsp_attr *a,
                uint64_t news, struct fuse_entry_param *e);

#endif
