/*
 * The directory backend: an object is the file path/key.
 *
 * PHP's FileAdapter may write the same directory at the same time, in place,
 * so that a file can be torn at any moment: get passes on the bytes that are
 * there, and whoever reads them verifies.
 */
#include "fsp_objstore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_file.h"
#include "fsp_log.h"
#include "objstore.h"

#define PIECE (128 * 1024)

struct dir_store {
	struct fsp_objstore base;
	int fd;
	bool read_only;
};

struct dir_writer {
	struct fsp_objwriter base;
	struct fsp_ctx ctx;
	struct fsp_atomic *file;
	char key[FSP_OBJ_KEY_MAX + 1];
};

static struct dir_store *dir_of(struct fsp_objstore *s)
{
	return (struct dir_store *)s;
}

/* Into the errors that the interface knows. */
static int map_error(const struct dir_store *d, int rc)
{
	struct stat st;

	switch (rc) {
	case -ENOENT:
		/* Of a directory that is gone, all objects seem missing. */
		return fstat(d->fd, &st) || !st.st_nlink ? -EHOSTDOWN : rc;
	case -ESTALE:
	case -ENODEV:
	case -ENOTCONN:
	case -EHOSTUNREACH:
		return -EHOSTDOWN;
	case -EPERM:
		return -EACCES;
	case 0:
	case -EHOSTDOWN:
	case -ETIMEDOUT:
	case -ENOSPC:
	case -EDQUOT:
	case -EROFS:
	case -EACCES:
	case -EIO:
	case -ENOMEM:
		return rc;
	}
	fsp_warn("object directory: %s", strerror(-rc));
	return -EIO;
}

static int dir_put_begin(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                         const char *key, struct fsp_objwriter **out)
{
	struct dir_store *d = dir_of(s);
	FSP_FREE struct dir_writer *w = NULL;
	struct stat st;
	int rc;

	if (d->read_only)
		return -EROFS;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	if (fstat(d->fd, &st))
		return map_error(d, -errno);
	/* As open to others as the directory is, so that PHP can read it. */
	rc = fsp_atomic_begin(d->fd, st.st_mode & 0666, &w->file);
	if (rc)
		return map_error(d, rc);
	w->ctx = *ctx;
	memcpy(w->key, key, strlen(key) + 1);
	*out = &fsp_steal(w)->base;
	return 0;
}

static int dir_put_write(struct fsp_objwriter *base, const void *buf,
                         size_t len)
{
	struct dir_writer *w = (struct dir_writer *)base;
	int rc = fsp_ctx_check(&w->ctx);

	if (rc)
		return rc;
	return map_error(dir_of(base->store),
	                 fsp_atomic_write(w->file, buf, len));
}

static int dir_put_commit(struct fsp_objwriter *base)
{
	struct dir_writer *w = (struct dir_writer *)base;
	int rc = fsp_atomic_commit(w->file, w->key);

	rc = map_error(dir_of(base->store), rc);
	free(w);
	/* The temporary file is ours: without it, the store lost it. */
	return rc == -ENOENT ? -EIO : rc;
}

static void dir_put_abort(struct fsp_objwriter *base)
{
	struct dir_writer *w = (struct dir_writer *)base;

	fsp_atomic_abort(w->file);
	free(w);
}

/* Opens the object; O_NONBLOCK for the sake of a FIFO under its name. */
static int open_object(struct dir_store *d, const char *key, int *out)
{
	struct stat st;
	int fd = openat(d->fd, key,
	                O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return errno == ELOOP ? -EIO : map_error(d, -errno);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return -EIO;
	}
	*out = fd;
	return 0;
}

static int dir_get_range(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                         const char *key, uint64_t off, uint64_t len,
                         fsp_obj_sink sink, void *arg)
{
	struct dir_store *d = dir_of(s);
	FSP_CLOSE int fd = -1;
	FSP_FREE char *buf = malloc(PIECE);
	ssize_t n;
	int rc;

	if (!buf)
		return -ENOMEM;
	rc = open_object(d, key, &fd);
	for (; !rc && len; off += (uint64_t)n, len -= (uint64_t)n) {
		rc = fsp_ctx_check(ctx);
		if (rc)
			break;
		n = fsp_pread_full(fd, buf, len < PIECE ? len : PIECE,
		                   (off_t)off);
		if (n < 0)
			return map_error(d, (int)n);
		if (!n)
			break;
		rc = sink(arg, buf, (size_t)n);
	}
	return rc;
}

static int dir_get(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                   const char *key, fsp_obj_sink sink, void *arg)
{
	return dir_get_range(s, ctx, key, 0, INT64_MAX, sink, arg);
}

static int dir_head(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                    const char *key, uint64_t *size)
{
	struct dir_store *d = dir_of(s);
	struct stat st;

	(void)ctx;
	if (fstatat(d->fd, key, &st, AT_SYMLINK_NOFOLLOW))
		return map_error(d, -errno);
	if (!S_ISREG(st.st_mode))
		return -EIO;
	*size = (uint64_t)st.st_size;
	return 0;
}

/*
 * Not fsynced: an object that comes back after a power loss is only garbage
 * once more.
 */
static int dir_del(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                   const char *key)
{
	struct dir_store *d = dir_of(s);
	int rc;

	(void)ctx;
	if (d->read_only)
		return -EROFS;
	if (!unlinkat(d->fd, key, 0))
		return 0;
	rc = errno == EISDIR ? -EIO : map_error(d, -errno);
	return rc == -ENOENT ? 0 : rc;
}

static int dir_del_many(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                        const char *const *keys, size_t n)
{
	int first = 0;

	for (size_t i = 0; i < n; i++) {
		int rc = fsp_ctx_check(ctx);

		if (rc)
			return rc;
		rc = dir_del(s, ctx, keys[i]);
		if (!first)
			first = rc;
	}
	return first;
}

static int list_one(struct dir_store *d, const char *name, fsp_obj_each each,
                    void *arg)
{
	struct stat st;

	if (!fsp_obj_key_valid(name))
		return 0;
	if (fstatat(d->fd, name, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : map_error(d, -errno);
	if (!S_ISREG(st.st_mode))
		return 0;
	return each(arg, name, (uint64_t)st.st_size,
	            st.st_mtim.tv_sec * FSP_US_PER_SEC +
	                    st.st_mtim.tv_nsec / 1000);
}

static int list_all(struct dir_store *d, DIR *dir, const struct fsp_ctx *ctx,
                    const char *prefix, fsp_obj_each each, void *arg)
{
	size_t len = strlen(prefix);
	const struct dirent *de;
	int rc = 0;

	while (!rc) {
		rc = fsp_ctx_check(ctx);
		if (rc)
			break;
		errno = 0;
		de = readdir(dir);
		if (!de)
			return map_error(d, -errno);
		if (strncmp(de->d_name, prefix, len) == 0)
			rc = list_one(d, de->d_name, each, arg);
	}
	return rc;
}

static int dir_list(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                    const char *prefix, fsp_obj_each each, void *arg)
{
	struct dir_store *d = dir_of(s);
	DIR *dir;
	int rc, fd;

	/* Of its own, because two listings may not share a position. */
	fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return map_error(d, -errno);
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	rc = list_all(d, dir, ctx, prefix, each, arg);
	closedir(dir);
	return rc;
}

static int dir_space(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                     struct fsp_space *out)
{
	struct dir_store *d = dir_of(s);
	struct statvfs v;

	(void)ctx;
	if (fstatvfs(d->fd, &v))
		return map_error(d, -errno);
	out->total = (uint64_t)v.f_blocks * v.f_frsize;
	out->free = (uint64_t)v.f_bfree * v.f_frsize;
	out->avail = (uint64_t)v.f_bavail * v.f_frsize;
	return 0;
}

/* There is no server. */
static int dir_traffic(struct fsp_objstore *s, struct fsp_obj_traffic *out)
{
	(void)s;
	(void)out;
	return -ENOTSUP;
}

static void dir_close(struct fsp_objstore *s)
{
	struct dir_store *d = dir_of(s);

	close(d->fd);
	free(d);
}

static const struct fsp_objstore_ops dir_ops = {
	.put_begin = dir_put_begin,
	.put_write = dir_put_write,
	.put_commit = dir_put_commit,
	.put_abort = dir_put_abort,
	.get = dir_get,
	.get_range = dir_get_range,
	.head = dir_head,
	.del = dir_del,
	.del_many = dir_del_many,
	.list = dir_list,
	.space = dir_space,
	.traffic = dir_traffic,
	.close = dir_close,
};

int fsp_objstore_dir_open(const char *path, int create, int read_only,
                          struct fsp_objstore **out)
{
	FSP_CLOSE int fd = -1;
	struct dir_store *d;
	int rc;

	if (create && !read_only) {
		rc = fsp_mkdirs(path, 0700);
		if (rc)
			return rc;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!read_only) {
		rc = fsp_atomic_sweep(fd);
		if (rc)
			fsp_warn("%s: leftovers stay: %s", path, strerror(-rc));
	}
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->base.ops = &dir_ops;
	d->fd = fsp_steal_fd(&fd);
	d->read_only = read_only;
	*out = &d->base;
	return 0;
}
