/*
 * One file of the spool: bytes on the disk and the extents that count.
 */
#include "fsp_spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_file.h"
#include "fsp_log.h"
#include "spool.h"

#define ZEROS 65536

void fsp_spool_file_free(struct fsp_spool_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	fsp_extents_free(&f->extents);
	free(f->path);
	free(f);
}

/* Takes the next free number; other mounts never write in our directory. */
static int open_next(struct fsp_spool_file *f)
{
	struct fsp_spool *s = f->spool;

	do {
		(void)snprintf(f->name, sizeof(f->name), "w-%llu",
		               (unsigned long long)atomic_fetch_add(&s->next, 1));
		f->fd = openat(s->dirfd, f->name,
		               O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	} while (f->fd < 0 && errno == EEXIST);
	return f->fd < 0 ? -errno : 0;
}

int fsp_spool_create(struct fsp_spool *s, struct fsp_spool_file **out)
{
	struct fsp_spool_file *f = calloc(1, sizeof(*f));
	int rc;

	*out = NULL;
	if (!f)
		return -ENOMEM;
	f->fd = -1;
	f->spool = s;
	rc = open_next(f);
	if (!rc) {
		f->path = fsp_strf("%s/%s", s->dir, f->name);
		rc = f->path ? 0 : -ENOMEM;
	}
	if (rc) {
		fsp_spool_drop(f);
		return rc;
	}
	*out = f;
	return 0;
}

static bool too_far(uint64_t off, uint64_t len)
{
	return off > INT64_MAX || len > INT64_MAX - off;
}

int fsp_spool_write(struct fsp_spool_file *f, const void *buf, size_t len,
                    uint64_t off)
{
	int rc;

	if (too_far(off, len))
		return -EFBIG;
	rc = fsp_extents_reserve(&f->extents);
	if (!rc)
		rc = fsp_pwrite_all(f->fd, buf, len, (off_t)off);
	if (!rc)
		fsp_extents_add(&f->extents, off, off + len);
	return rc;
}

ssize_t fsp_spool_read(struct fsp_spool_file *f, void *buf, size_t len,
                       uint64_t off)
{
	if (off > INT64_MAX)
		return 0;
	if (len > INT64_MAX - off)
		len = (size_t)(INT64_MAX - off);
	return fsp_pread_full(f->fd, buf, len, (off_t)off);
}

int fsp_spool_cut(struct fsp_spool_file *f, uint64_t size)
{
	struct stat st;

	if (fstat(f->fd, &st))
		return -errno;
	if ((uint64_t)st.st_size > size && ftruncate(f->fd, (off_t)size))
		return -errno;
	fsp_extents_cut(&f->extents, size);
	return 0;
}

static int write_zeros(int fd, uint64_t off, uint64_t len)
{
	FSP_FREE char *zeros = calloc(1, ZEROS);
	int rc = 0;

	if (!zeros)
		return -ENOMEM;
	while (!rc && len) {
		size_t n = len < ZEROS ? (size_t)len : ZEROS;

		rc = fsp_pwrite_all(fd, zeros, n, (off_t)off);
		off += n;
		len -= n;
	}
	return rc;
}

/* Within the file; what was there may be the junk of a failed write. */
static int punch(int fd, uint64_t off, uint64_t len)
{
	if (!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	               (off_t)off, (off_t)len))
		return 0;
	if (errno != EOPNOTSUPP && errno != ENOSYS)
		return -errno;
	return write_zeros(fd, off, len);
}

int fsp_spool_zero(struct fsp_spool_file *f, uint64_t off, uint64_t len)
{
	uint64_t end = off + len, size, inside;
	struct stat st;
	int rc;

	if (too_far(off, len))
		return -EFBIG;
	if (!len)
		return 0;
	rc = fsp_extents_reserve(&f->extents);
	if (rc)
		return rc;
	if (fstat(f->fd, &st))
		return -errno;
	size = (uint64_t)st.st_size;
	inside = end < size ? end : size;
	if (off < inside)
		rc = punch(f->fd, off, inside - off);
	if (!rc && end > size && ftruncate(f->fd, (off_t)end))
		rc = -errno;
	if (!rc)
		fsp_extents_add(&f->extents, off, end);
	return rc;
}

bool fsp_spool_extent(const struct fsp_spool_file *f, uint64_t off,
                      uint64_t *start, uint64_t *end)
{
	const struct fsp_extent *e = fsp_extents_find(&f->extents, off);

	if (!e)
		return false;
	*start = e->start;
	*end = e->end;
	return true;
}

bool fsp_spool_complete(const struct fsp_spool_file *f, uint64_t size)
{
	const struct fsp_extents *x = &f->extents;

	if (!size)
		return x->n == 0;
	return x->n == 1 && x->v[0].start == 0 && x->v[0].end == size;
}

const char *fsp_spool_path(const struct fsp_spool_file *f)
{
	return f->path;
}

int fsp_spool_fd(const struct fsp_spool_file *f)
{
	return f->fd;
}

void fsp_spool_drop(struct fsp_spool_file *f)
{
	if (!f)
		return;
	/* The cache may have taken it; the number is never used again. */
	if (f->fd >= 0 && unlinkat(f->spool->dirfd, f->name, 0) &&
	    errno != ENOENT)
		fsp_warn("spool: %s stays: %s", f->name, strerror(errno));
	fsp_spool_file_free(f);
}
