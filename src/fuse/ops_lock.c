/* Lock requests. A lock that is waited for is answered by another thread. */
#include "fuse_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>

struct pending {
	struct fuse_call call;
	struct fsp_lock_wait wait;
	struct fsp_vfs *vfs;
};

static struct fsp_handle *handle_of(struct fuse_file_info *fi)
{
	return (struct fsp_handle *)(uintptr_t)fi->fh;
}

static void give_up(void *arg)
{
	struct pending *p = arg;

	fsp_vfs_lock_cancel(p->vfs, &p->wait);
}

static void on_done(void *arg, int err)
{
	struct pending *p = arg;

	fuse_call_err(&p->call, err);
	fuse_call_end(&p->call);
	free(p);
}

static void lock(fuse_req_t req, struct fuse_file_info *fi,
                 const struct fsp_lock_request *r)
{
	struct pending *p = calloc(1, sizeof(*p));
	struct fsp_ctx *ctx;

	if (!p) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	p->vfs = fuse_of(req)->vfs;
	p->call.on_killed = give_up;
	p->call.arg = p;
	/* The system call begins again where its caller wants that. */
	p->call.any_signal = r->wait;
	ctx = fuse_call_begin_on(&p->call, req, handle_of(fi));
	fsp_vfs_lock(handle_of(fi), ctx, r, on_done, p, &p->wait);
}

static struct fsp_lock_request posix_request(const struct flock *l,
                                             uint64_t owner, bool wait)
{
	struct fsp_lock_request r = {
		.kind = FSP_LOCK_POSIX, .owner = owner, .type = l->l_type,
		.start = (uint64_t)l->l_start, .end = INT64_MAX,
		.pid = l->l_pid, .wait = wait,
	};

	if (l->l_len)
		r.end = r.start + (uint64_t)l->l_len - 1;
	return r;
}

void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
              struct flock *l)
{
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_ctx *ctx = fuse_call_begin(&call, req);
	struct fsp_lock_request r = posix_request(l, fi->lock_owner, false);
	struct fsp_lock_request in_way;
	struct flock out = *l;
	int err = fsp_vfs_lock_test(handle_of(fi), ctx, &r, &in_way);

	(void)ino;
	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	out.l_type = (short)in_way.type;
	if (in_way.type != F_UNLCK) {
		out.l_whence = SEEK_SET;
		out.l_start = (off_t)in_way.start;
		out.l_len = in_way.end >= INT64_MAX ? 0
			: (off_t)(in_way.end - in_way.start + 1);
		out.l_pid = (pid_t)in_way.pid;
	}
	fuse_reply_lock(req, &out);
}

void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
              struct flock *l, int sleep)
{
	struct fsp_lock_request r = posix_request(l, fi->lock_owner, sleep != 0);

	(void)ino;
	lock(req, fi, &r);
}

void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
	struct fsp_lock_request r = {
		.kind = FSP_LOCK_FLOCK, .owner = fi->lock_owner,
		.end = INT64_MAX, .wait = !(op & LOCK_NB),
	};

	(void)ino;
	switch (op & ~LOCK_NB) {
	case LOCK_SH:
		r.type = F_RDLCK;
		break;
	case LOCK_EX:
		r.type = F_WRLCK;
		break;
	case LOCK_UN:
		r.type = F_UNLCK;
		break;
	default:
		fuse_reply_err(req, EINVAL);
		return;
	}
	lock(req, fi, &r);
}
