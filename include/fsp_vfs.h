/*
 * The filesystem: what inodes, names, handles, commits and versions mean.
 *
 * Knows neither FUSE nor SQL. Inodes are named by their number, which the
 * caller holds with counted look-ups (as a kernel does) until it forgets them.
 * Any thread may call anything; results are 0 or -errno. Attributes come with
 * what this mount has not committed yet.
 */
#ifndef FSP_VFS_H
#define FSP_VFS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fsp_meta.h"

struct fsp_vfs;
struct fsp_store;
struct fsp_handle;
struct fsp_dirlist;

struct fsp_vfs_options {
	const char *mountpoint;         /* for the list of mounts */
	/*
	 * What the kernel knows of ino is out of date (another host has
	 * committed): its attributes, and where `pages` its pages, too. Called
	 * without locks; with `pages` never from a caller's thread, since it
	 * waits for reads to be answered. May be NULL.
	 */
	void (*stale)(void *arg, uint64_t ino, bool pages);
	/* The entry `name` of the directory is not what the kernel knows. From
	 * a thread of its own. May be NULL. */
	void (*renamed)(void *arg, uint64_t dir, const char *name);
	/*
	 * Others have changed something: the entry is to be looked up before it
	 * is used again; the directory's listing and attributes have to go. Both
	 * after what the kernel does in that directory just now. From a thread
	 * of its own. May be NULL.
	 */
	void (*aged)(void *arg, uint64_t dir, const char *name);
	void (*listing)(void *arg, uint64_t dir);
	void *arg;
};

/* The store stays the caller's and must outlive the vfs. */
int fsp_vfs_open(struct fsp_store *store, const struct fsp_vfs_options *o,
                 struct fsp_vfs **out, char **error);
/* From now on the options' functions may be called for what others change. */
void fsp_vfs_ready(struct fsp_vfs *v);
/* Commits what is still open and dirty, keeps what cannot be committed. */
void fsp_vfs_close(struct fsp_vfs *v);

/* Each success counts one look-up of out->attr.ino, given back by forget. */
int fsp_vfs_lookup(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t dir,
                   const char *name, struct fsp_attr *out);
void fsp_vfs_forget(struct fsp_vfs *v, uint64_t ino, uint64_t n);
int fsp_vfs_make(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t dir,
                 const char *name, uint32_t mode, uint64_t rdev,
                 const char *target, struct fsp_attr *out);
int fsp_vfs_link(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t ino,
                 uint64_t dir, const char *name, struct fsp_attr *out);

int fsp_vfs_remove(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t dir,
                   const char *name, bool is_dir);
/* flags: enum fsp_rename_flags */
int fsp_vfs_rename(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t dir,
                   const char *name, uint64_t newdir, const char *newname,
                   uint32_t flags);
/* Fresh memory. */
int fsp_vfs_readlink(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t ino,
                     char **target);

int fsp_vfs_getattr(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t ino,
                    struct fsp_attr *out);

#define FSP_SET_SIZE 0x100      /* beside enum fsp_attr_mask */

/* h: the handle of ftruncate and the like, or NULL. */
int fsp_vfs_setattr(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t ino,
                    struct fsp_handle *h, uint32_t mask,
                    const struct fsp_attr *attr, struct fsp_attr *out);

/* The caller's memory for a wait until options.stale() was done. */
struct fsp_pages_wait {
	struct fsp_pages_wait *next;
	void (*done)(void *arg);
	void *arg;
};

struct fsp_opened {
	struct fsp_handle *handle;
	bool keep_cache;                /* what the caller cached still holds */
	bool wait;                      /* not yet: fsp_vfs_wait_pages() first */
};
/* done() is called from another thread; w is valid until then. */
void fsp_vfs_wait_pages(struct fsp_handle *h, struct fsp_pages_wait *w);

/* flags as of open(2); O_CREAT is fsp_vfs_create(). */
int fsp_vfs_open_file(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t ino,
                      int flags, struct fsp_opened *out);
/* Makes the name and opens it; counts a look-up. -EEXIST with O_EXCL only. */
int fsp_vfs_create(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t dir,
                   const char *name, uint32_t mode, int flags,
                   struct fsp_attr *attr, struct fsp_opened *out);
ssize_t fsp_vfs_read(struct fsp_handle *h, const struct fsp_ctx *ctx, void *buf,
                     size_t len, uint64_t off);
ssize_t fsp_vfs_write(struct fsp_handle *h, const struct fsp_ctx *ctx,
                      const void *buf, size_t len, uint64_t off, bool append);
/*
 * fallocate(2): growing, punching holes, zeroing; all else is -EOPNOTSUPP.
 * What is allocated is not reserved.
 */
int fsp_vfs_fallocate(struct fsp_handle *h, int mode, uint64_t off,
                      uint64_t len);
/* close(2) of one descriptor, and fsync(2): durable and committed, or why not. */
int fsp_vfs_flush(struct fsp_handle *h, const struct fsp_ctx *ctx);
int fsp_vfs_fsync(struct fsp_handle *h, const struct fsp_ctx *ctx);
/*
 * fcntl(2) and flock(2) locks, among all mounts of the store. Taking one shows
 * what others have committed; giving one up commits what was written.
 *
 * A lock that has to be waited for holds no thread: done() is called once,
 * from any thread, maybe before this returns. fsp_vfs_lock_cancel() ends the
 * wait with -EINTR, also one that begins only after it; *wait is all zero at
 * first, and valid until done() was called. Owners of fcntl locks of this mount
 * that wait for each other: -EDEADLK to the last of them.
 */
struct fsp_lock_wait;
struct fsp_lock_request {
	enum fsp_lock_kind kind;
	uint64_t owner;
	int type;                       /* F_RDLCK F_WRLCK F_UNLCK */
	uint64_t start, end;            /* both included */
	int64_t pid;
	bool wait;                      /* else -EAGAIN at once */
};
void fsp_vfs_lock(struct fsp_handle *h, const struct fsp_ctx *ctx,
                  const struct fsp_lock_request *r,
                  void (*done)(void *arg, int err), void *arg,
                  struct fsp_lock_wait *wait);
void fsp_vfs_lock_cancel(struct fsp_vfs *v, struct fsp_lock_wait *wait);
/* What is in the way; type F_UNLCK for nothing. */
int fsp_vfs_lock_test(struct fsp_handle *h, const struct fsp_ctx *ctx,
                      const struct fsp_lock_request *r,
                      struct fsp_lock_request *out);
/* Gives up all that an owner has on the file, as closing it does. */
void fsp_vfs_unlock_owner(struct fsp_handle *h, const struct fsp_ctx *ctx,
                          enum fsp_lock_kind kind, uint64_t owner);

/* The caller's memory for a wait; opaque. */
struct fsp_lock_wait {
	struct fsp_lock_wait *next;
	struct fsp_handle *handle;
	struct fsp_lock_request request;
	void (*done)(void *arg, int err);
	void *arg;
	struct fsp_pages_wait pages;
	uint64_t blocker;               /* owner here who is in the way, or 0 */
	bool cancelled;
};

/* Extended attributes. get: the value replaces *out. */
int fsp_vfs_getxattr(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t ino,
                     const char *name, struct fsp_buf *out);
/* Names, each with its NUL, as listxattr(2) gives them. */
int fsp_vfs_listxattr(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                      uint64_t ino, struct fsp_buf *out);
/* value NULL: removexattr(2). */
int fsp_vfs_setxattr(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t ino,
                     const char *name, const void *value, size_t len,
                     int flags);

/* One more fsp_vfs_release() will come, from a call on the handle. */
void fsp_vfs_hold(struct fsp_handle *h);
/* The last descriptor is gone; the last of all releases ends the handle. */
void fsp_vfs_release(struct fsp_handle *h, const struct fsp_ctx *ctx);
/*
 * Makes the target share the source's stored content; -EOPNOTSUPP where bytes
 * have to be copied by the caller.
 */
ssize_t fsp_vfs_copy_range(struct fsp_handle *in, uint64_t off_in,
                           struct fsp_handle *out, uint64_t off_out,
                           uint64_t len, const struct fsp_ctx *ctx);

/*
 * A directory as it was at one time, for those who read on in it: entries with
 * rising positions that depend on their names alone, so that any later listing
 * goes on where an earlier one was left. after 0: from the beginning, and fresh.
 */
int fsp_vfs_list(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t ino,
                 uint64_t after, struct fsp_dirlist **out);
/*
 * The next entry behind *after, which becomes its position. *counted: asks for
 * a look-up to be counted, and says whether it was (never for . and .., nor for
 * what has gone meanwhile). -ENOENT: there are no more. *name lives as long as
 * the list. One thread at a time.
 */
int fsp_vfs_list_next(struct fsp_dirlist *l, const struct fsp_ctx *ctx,
                      uint64_t *after, bool *counted, const char **name,
                      struct fsp_attr *attr);
/* It was read to its end: may it be kept until listing() says otherwise? */
bool fsp_vfs_list_keep(struct fsp_dirlist *l);
void fsp_vfs_list_end(struct fsp_dirlist *l);

/*
 * How long what was asked for after fsp_vfs_news() may be kept: until it is
 * called out of date, and at most that many ns. 0: nobody would tell.
 */
uint64_t fsp_vfs_news(struct fsp_vfs *v);
int64_t fsp_vfs_keep_ns(struct fsp_vfs *v, uint64_t ino, uint64_t news);
/* May whole directories be kept, now and most of the time? */
bool fsp_vfs_vouches(struct fsp_vfs *v);
/* The kernel has asked for a listing, or opened a directory; counted. */
void fsp_vfs_listing_asked(struct fsp_vfs *v);
int fsp_vfs_fsyncdir(struct fsp_vfs *v, const struct fsp_ctx *ctx);

struct fsp_fsstat {
	uint64_t total, free, avail;    /* bytes */
	uint64_t files, files_free;
};
int fsp_vfs_statfs(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                   struct fsp_fsstat *out);

/*
 * How long a call may take, in ns: mount.op_timeout, and much less after a call
 * that the database did not answer in that time, until it is known whether it
 * is down. What a program calls may be several calls here.
 */
int64_t fsp_vfs_patience(struct fsp_vfs *v);

/* For the log and for tests of memory. */
uint64_t fsp_vfs_inodes(struct fsp_vfs *v);

#endif
