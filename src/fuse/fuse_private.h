/* What the files of fuse share. */
#ifndef FSP_FUSE_PRIVATE_H
#define FSP_FUSE_PRIVATE_H

#include <fuse_lowlevel.h>

#include "fsp_ctx.h"
#include "fsp_fuse.h"
#include "fsp_lock.h"
#include "fsp_vfs.h"
#include "fsp_worker.h"

/* calls.c: the requests that are being served. */
struct fuse_calls {
	struct fsp_mutex lock;
	struct fsp_worker worker;
	struct fuse_call *first;
	_Atomic(uint64_t) ids;
	bool asleep;
};

/* One of them, in the memory of who serves it; all zero before it begins. */
struct fuse_call {
	struct fuse_call *next, **link;
	struct fuse_calls *calls;
	fuse_req_t req;
	struct fsp_ctx ctx;
	struct fsp_handle *handle;      /* held, or NULL */
	uint64_t id;
	int64_t began_ns, look_ns;
	atomic_bool killed;             /* the caller was */
	bool goes_on;                   /* though the caller was killed */
	bool answered;                  /* under calls->lock */
	bool any_signal;                /* on_killed() at any signal */
	/* Told that it was killed, under calls->lock; may be NULL. */
	void (*on_killed)(void *arg);
	void *arg;
};

/* By what the kernel knows the mount; guard.c */
struct fuse_conn_name {
	char key[64];                   /* how its line in mountinfo begins */
	char abort[64];                 /* the file that ends the connection */
	char mountpoint[4096];
};

struct fsp_fuse {
	struct fuse_calls calls;
	struct fsp_fuse_options o;
	struct fuse_session *se;
	struct fsp_vfs *vfs;
	bool mounted;
	bool aborted;                   /* by us: libfuse leaves the mount */
	struct fuse_conn_name conn;
	pid_t guard;                    /* 0: none */
	int guard_pipe;
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

/* A process that ends the connection when this one dies; from the main thread,
 * which must be the last to go. */
int fuse_guard_begin(struct fsp_fuse *f);
void fuse_guard_end(struct fsp_fuse *f);
/* Whoever still waits for an answer gets an error. */
void fuse_abort(struct fsp_fuse *f);

int fuse_calls_begin(struct fuse_calls *c);
void fuse_calls_end(struct fuse_calls *c);
/*
 * A request that gives up when its caller is killed; the context lives as long
 * as the call, which ends with fuse_call_end(), after the answer.
 */
struct fsp_ctx *fuse_call_begin(struct fuse_call *call, fuse_req_t req);
/*
 * One that goes on then: EINTR may have been the answer, and req be gone, at
 * any time from here on. h (may be NULL) is held until the end.
 */
struct fsp_ctx *fuse_call_begin_on(struct fuse_call *call, fuse_req_t req,
                                   struct fsp_handle *h);
bool fuse_call_claim(struct fuse_call *call);   /* may we answer? */
void fuse_call_err(struct fuse_call *call, int err);    /* where we may */
void fuse_call_end(struct fuse_call *call);

/* It ends with the function. */
#define FUSE_CALL __attribute__((cleanup(fuse_call_end)))

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
