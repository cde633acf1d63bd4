/* Requests on names and attributes, and the table of all. */
#include "fuse_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "fsp_clock.h"

/*
 * st_blksize: what cp reads and writes at once, and Python reads for a byte; in
 * one request then (max_write). DESIGN.md, "What the kernel does for us".
 */
#define IO_SIZE (256 * 1024)

struct fsp_ctx fuse_ctx(fuse_req_t req)
{
	const struct fuse_ctx *who = fuse_req_ctx(req);
	const struct fsp_ids *ids = &fuse_of(req)->o.ids;
	struct fsp_ctx ctx = {
		.deadline_ns = fsp_mono_ns() +
			fsp_vfs_patience(fuse_of(req)->vfs),
		.uid = who->uid, .gid = who->gid,
		.tid = who->pid,
	};

	if (ids->squash == FSP_SQUASH_ALL ||
	    (ids->squash == FSP_SQUASH_ROOT && who->uid == 0)) {
		ctx.uid = ids->anon_uid;
		ctx.gid = ids->anon_gid;
	}
	return ctx;
}

static struct timespec to_timespec(int64_t ns)
{
	struct timespec t = { .tv_sec = fsp_ns_to_sec(ns) };

	t.tv_nsec = ns - t.tv_sec * FSP_NS_PER_SEC;
	return t;
}

void fuse_attr(const struct fsp_fuse *f, const struct fsp_attr *a,
               struct stat *st)
{
	const struct fsp_ids *ids = &f->o.ids;

	memset(st, 0, sizeof(*st));
	st->st_ino = a->ino;
	st->st_mode = S_ISLNK(a->mode) ? a->mode : a->mode & ~ids->umask;
	st->st_nlink = a->nlink;
	st->st_uid = ids->force_uid < 0 ? a->uid : (uid_t)ids->force_uid;
	st->st_gid = ids->force_gid < 0 ? a->gid : (gid_t)ids->force_gid;
	st->st_rdev = (dev_t)a->rdev;
	st->st_size = (off_t)a->size;
	st->st_blocks = S_ISREG(a->mode) ? (blkcnt_t)((a->size + 511) / 512) : 0;
	st->st_blksize = IO_SIZE;
	st->st_atim = to_timespec(a->atime_ns);
	st->st_mtim = to_timespec(a->mtime_ns);
	st->st_ctim = to_timespec(a->ctime_ns);
}

static double seconds(int64_t ns)
{
	return (double)ns / (double)FSP_NS_PER_SEC;
}

static int64_t longer(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* What has several names is told of under one of them, perhaps another. */
static int64_t keep_ns(const struct fsp_fuse *f, const struct fsp_attr *a,
                       uint64_t news)
{
	return a->nlink > 1 ? 0 : fsp_vfs_keep_ns(f->vfs, a->ino, news);
}

void fuse_entry(const struct fsp_fuse *f, const struct fsp_attr *a,
                uint64_t news, struct fuse_entry_param *e)
{
	int64_t keep = keep_ns(f, a, news);

	memset(e, 0, sizeof(*e));
	e->ino = a->ino;
	e->attr_timeout = seconds(longer(keep, f->o.attr_ns));
	e->entry_timeout = seconds(longer(keep, f->o.entry_ns));
	fuse_attr(f, a, &e->attr);
}

/* Answers with an entry that a look-up was counted for. */
static void reply_entry(fuse_req_t req, int err, const struct fsp_attr *a,
                        uint64_t news)
{
	struct fsp_fuse *f = fuse_of(req);
	struct fuse_entry_param e;

	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	fuse_entry(f, a, news, &e);
	if (fuse_reply_entry(req, &e))
		fsp_vfs_forget(f->vfs, a->ino, 1);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fsp_fuse *f = fuse_of(req);
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_ctx *ctx = fuse_call_begin(&call, req);
	struct fuse_entry_param none = { 0 };
	uint64_t news = fsp_vfs_news(f->vfs);
	struct fsp_attr a;
	int err = fsp_vfs_lookup(f->vfs, ctx, parent, name, &a);

	if (err == -ENOENT && f->o.negative_ns) {
		none.entry_timeout = seconds(f->o.negative_ns);
		fuse_reply_entry(req, &none);
		return;
	}
	reply_entry(req, err, &a, news);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	fsp_vfs_forget(fuse_of(req)->vfs, ino, nlookup);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count,
                            struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		fsp_vfs_forget(fuse_of(req)->vfs, forgets[i].ino,
		               forgets[i].nlookup);
	fuse_reply_none(req);
}

static void reply_attr(fuse_req_t req, int err, const struct fsp_attr *a,
                       uint64_t news)
{
	const struct fsp_fuse *f = fuse_of(req);
	struct stat st;

	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	fuse_attr(f, a, &st);
	fuse_reply_attr(req, &st, seconds(longer(keep_ns(f, a, news),
	                                         f->o.attr_ns)));
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_ctx *ctx = fuse_call_begin(&call, req);
	uint64_t news = fsp_vfs_news(fuse_of(req)->vfs);
	struct fsp_attr a;
	int err = fsp_vfs_getattr(fuse_of(req)->vfs, ctx, ino, &a);

	(void)fi;
	reply_attr(req, err, &a, news);
}

static int64_t from_timespec(const struct timespec *t)
{
	/* 1677 to 2262 is what nanoseconds in 64 bits can say. */
	const int64_t max = INT64_MAX / FSP_NS_PER_SEC - 1;

	if (t->tv_sec > max)
		return INT64_MAX;
	if (t->tv_sec < -max)
		return INT64_MIN;
	return t->tv_sec * FSP_NS_PER_SEC + t->tv_nsec;
}

static uint32_t set_times(const struct stat *st, int to_set, struct fsp_attr *a)
{
	uint32_t mask = 0;

	if (to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW)) {
		mask |= FSP_SET_ATIME;
		a->atime_ns = to_set & FUSE_SET_ATTR_ATIME_NOW ?
			fsp_now_ns() : from_timespec(&st->st_atim);
	}
	if (to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW)) {
		mask |= FSP_SET_MTIME;
		a->mtime_ns = to_set & FUSE_SET_ATTR_MTIME_NOW ?
			fsp_now_ns() : from_timespec(&st->st_mtim);
	}
	if (to_set & FUSE_SET_ATTR_CTIME) {
		mask |= FSP_SET_CTIME;
		a->ctime_ns = from_timespec(&st->st_ctim);
	}
	return mask;
}

/*
 * Changing an owner: where everybody's files are shown as one user's, only to
 * what is shown already, which changes nothing.
 */
static int set_owner(const struct fsp_fuse *f, const struct stat *st,
                     int to_set, uint32_t *mask)
{
	const struct fsp_ids *ids = &f->o.ids;

	if (to_set & FUSE_SET_ATTR_UID) {
		if (ids->force_uid < 0)
			*mask |= FSP_SET_UID;
		else if (st->st_uid != (uid_t)ids->force_uid)
			return -EPERM;
	}
	if (to_set & FUSE_SET_ATTR_GID) {
		if (ids->force_gid < 0)
			*mask |= FSP_SET_GID;
		else if (st->st_gid != (gid_t)ids->force_gid)
			return -EPERM;
	}
	return 0;
}

/*
 * What umask= does not show stays as it is stored: the kernel clears setuid by
 * setting the mode that it was shown, and so does chmod g+w.
 */
static int keep_masked(const struct fsp_fuse *f, const struct fsp_ctx *ctx,
                       fuse_ino_t ino, uint32_t *mode)
{
	uint32_t hidden = f->o.ids.umask;
	struct fsp_attr now;
	int err = fsp_vfs_getattr(f->vfs, ctx, ino, &now);

	if (!err)
		*mode = (*mode & ~hidden) | (now.mode & hidden);
	return err;
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st,
                       int to_set, struct fuse_file_info *fi)
{
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_fuse *f = fuse_of(req);
	struct fsp_handle *h = fi ? (struct fsp_handle *)(uintptr_t)fi->fh : NULL;
	struct fsp_ctx *ctx = fuse_call_begin_on(&call, req, h);
	struct fsp_attr a = {
		.mode = st->st_mode & 07777, .uid = st->st_uid,
		.gid = st->st_gid, .size = (uint64_t)st->st_size,
	};
	uint64_t news = fsp_vfs_news(f->vfs);
	struct fsp_attr out;
	uint32_t mask = set_times(st, to_set, &a);
	int err = set_owner(f, st, to_set, &mask);

	if (to_set & FUSE_SET_ATTR_MODE)
		mask |= FSP_SET_MODE;
	if (to_set & FUSE_SET_ATTR_SIZE)
		mask |= FSP_SET_SIZE;
	if (!err && (mask & FSP_SET_MODE) && f->o.ids.umask)
		err = keep_masked(f, ctx, ino, &a.mode);
	if (!err)
		err = fsp_vfs_setattr(f->vfs, ctx, ino, h, mask, &a, &out);
	if (fuse_call_claim(&call))
		reply_attr(req, err, &out, news);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_ctx *ctx = fuse_call_begin(&call, req);
	char *target;
	int err = fsp_vfs_readlink(fuse_of(req)->vfs, ctx, ino, &target);

	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	fuse_reply_readlink(req, target);
	free(target);
}

static void make(fuse_req_t req, fuse_ino_t parent, const char *name,
                 uint32_t mode, uint64_t rdev, const char *target)
{
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_ctx *ctx = fuse_call_begin(&call, req);
	uint64_t news = fsp_vfs_news(fuse_of(req)->vfs);
	struct fsp_attr a;
	int err = fsp_vfs_make(fuse_of(req)->vfs, ctx, parent, name, mode, rdev,
	                       target, &a);

	reply_entry(req, err, &a, news);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name,
                     mode_t mode)
{
	make(req, parent, name, S_IFDIR | (mode & 07777), 0, NULL);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name,
                     mode_t mode, dev_t rdev)
{
	make(req, parent, name, mode, rdev, NULL);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
                       const char *name)
{
	make(req, parent, name, S_IFLNK | 0777, 0, target);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent,
                    const char *name)
{
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_ctx *ctx = fuse_call_begin(&call, req);
	uint64_t news = fsp_vfs_news(fuse_of(req)->vfs);
	struct fsp_attr a;
	int err = fsp_vfs_link(fuse_of(req)->vfs, ctx, ino, parent, name, &a);

	reply_entry(req, err, &a, news);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_ctx *ctx = fuse_call_begin(&call, req);

	fuse_reply_err(req, -fsp_vfs_remove(fuse_of(req)->vfs, ctx, parent, name,
	                                    false));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_ctx *ctx = fuse_call_begin(&call, req);

	fuse_reply_err(req, -fsp_vfs_remove(fuse_of(req)->vfs, ctx, parent, name,
	                                    true));
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
                      fuse_ino_t newparent, const char *newname,
                      unsigned int flags)
{
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_ctx *ctx = fuse_call_begin(&call, req);
	uint32_t f = 0;

	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	if (flags & RENAME_NOREPLACE)
		f |= FSP_RENAME_NOREPLACE;
	if (flags & RENAME_EXCHANGE)
		f |= FSP_RENAME_EXCHANGE;
	fuse_reply_err(req, -fsp_vfs_rename(fuse_of(req)->vfs, ctx, parent, name,
	                                    newparent, newname, f));
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	FUSE_CALL struct fuse_call call = { 0 };
	struct fsp_ctx *ctx = fuse_call_begin(&call, req);
	struct statvfs st = { .f_bsize = 4096, .f_frsize = 4096,
	                      .f_namemax = 255 };
	struct fsp_fsstat s;
	int err = fsp_vfs_statfs(fuse_of(req)->vfs, ctx, &s);

	(void)ino;
	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	st.f_blocks = s.total / st.f_frsize;
	st.f_bfree = s.free / st.f_frsize;
	st.f_bavail = s.avail / st.f_frsize;
	st.f_files = s.files + s.files_free;
	st.f_ffree = st.f_favail = s.files_free;
	fuse_reply_statfs(req, &st);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct fsp_fuse *f = userdata;

	/*
	 * The kernel clears setuid bits by a setattr before a write. Its pages
	 * go when we say so: were it to drop them whenever mtime changes, as
	 * every write does, a page that is read again while a write is on its
	 * way would keep zeros. Where nothing can be written, locks are the
	 * kernel's own. All of a listing has attributes: left to itself the
	 * kernel asks for them as long as its caller looks at each name at
	 * once; find, du and tar read many first, and would then have each
	 * looked up by itself.
	 */
	conn->want &= ~(unsigned)(FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_POSIX_ACL |
	                          FUSE_CAP_WRITEBACK_CACHE |
	                          FUSE_CAP_READDIRPLUS_AUTO |
	                          FUSE_CAP_AUTO_INVAL_DATA);
	conn->want |= conn->capable &
		(FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_PARALLEL_DIROPS |
		 FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPLICIT_INVAL_DATA |
		 FUSE_CAP_READDIRPLUS | FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO |
		 FUSE_CAP_EXPIRE_ONLY);
	f->no_opendir = conn->capable & FUSE_CAP_NO_OPENDIR_SUPPORT;
	f->expires = conn->capable & FUSE_CAP_EXPIRE_ONLY;
	if (f->o.read_only)
		conn->want &= ~(unsigned)(FUSE_CAP_POSIX_LOCKS |
		                          FUSE_CAP_FLOCK_LOCKS);
	else
		conn->want |= conn->capable &
			(FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS);
	conn->max_write = IO_SIZE;
	conn->time_gran = 1;
	fsp_vfs_ready(f->vfs);
	if (f->o.ready)
		f->o.ready(f->o.arg);
}

const struct fuse_lowlevel_ops fsp_fuse_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mkdir = op_mkdir,
	.mknod = op_mknod,
	.symlink = op_symlink,
	.link = op_link,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.rename = op_rename,
	.statfs = op_statfs,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.fsyncdir = op_fsyncdir,
	.open = op_open,
	.create = op_create,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.fsync = op_fsync,
	.release = op_release,
	.copy_file_range = op_copy_file_range,
	.fallocate = op_fallocate,
	.setxattr = op_setxattr,
	.removexattr = op_removexattr,
	.getlk = op_getlk,
	.setlk = op_setlk,
	.flock = op_flock,
};
