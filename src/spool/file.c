/*
 * One file of the spool: bytes on the disk and the extents that count.
 */
#include "fsp_spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_file.h"
#include "fsp_log.h"
#include "spool.h"

#define ZEROS 65536
#define PIECE (256 * 1024)

/* Takes the next free number; other mounts never write in our directory. */
static int open_next(struct fsp_spool_data *d)
{
	struct fsp_spool *s = d->spool;

	do {
		d->no = atomic_fetch_add(&s->next, 1);
		(void)snprintf(d->name, sizeof(d->name), "w-%llu",
		               (unsigned long long)d->no);
		d->fd = openat(s->dirfd, d->name,
		               O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	} while (d->fd < 0 && errno == EEXIST);
	return d->fd < 0 ? -errno : 0;
}

int fsp_spool_data_new(struct fsp_spool *s, struct fsp_spool_data **out)
{
	struct fsp_spool_data *d = calloc(1, sizeof(*d));
	int rc;

	*out = NULL;
	if (!d)
		return -ENOMEM;
	atomic_init(&d->refs, 1);
	d->spool = s;
	rc = open_next(d);
	if (!rc) {
		d->path = fsp_strf("%s/%s", s->dir, d->name);
		rc = d->path ? 0 : -ENOMEM;
	}
	if (rc) {
		fsp_spool_data_put(d);
		return rc;
	}
	*out = d;
	return 0;
}

void fsp_spool_data_put(struct fsp_spool_data *d)
{
	if (!d || atomic_fetch_sub(&d->refs, 1) != 1)
		return;
	/* The cache may have taken it; the number is never used again. */
	if (d->fd >= 0 && !d->stays && unlinkat(d->spool->dirfd, d->name, 0) &&
	    errno != ENOENT)
		fsp_warn("spool: %s stays: %s", d->name, strerror(errno));
	if (d->fd >= 0)
		close(d->fd);
	free(d->path);
	free(d);
}

int fsp_spool_file_over(struct fsp_spool_data *d, struct fsp_spool_file **out)
{
	*out = calloc(1, sizeof(**out));
	if (!*out) {
		fsp_spool_data_put(d);
		return -ENOMEM;
	}
	(*out)->data = d;
	return 0;
}

int fsp_spool_create(struct fsp_spool *s, struct fsp_spool_file **out)
{
	struct fsp_spool_data *d;
	int rc = fsp_spool_data_new(s, &d);

	*out = NULL;
	return rc ? rc : fsp_spool_file_over(d, out);
}

static bool too_far(uint64_t off, uint64_t len)
{
	return off > INT64_MAX || len > INT64_MAX - off;
}

static int reserve(struct fsp_spool_file *f)
{
	int rc = fsp_extents_reserve(&f->extents);

	return rc ? rc : fsp_extents_reserve(&f->fresh);
}

static void add(struct fsp_spool_file *f, uint64_t start, uint64_t end)
{
	fsp_extents_add(&f->extents, start, end);
	fsp_extents_add(&f->fresh, start, end);
}

/* Copies what the file has, and nothing that a snapshot alone has. */
static int copy_data(const struct fsp_spool_file *f, int to)
{
	FSP_FREE char *buf = malloc(PIECE);
	int rc = buf ? 0 : -ENOMEM;

	for (size_t i = 0; !rc && i < f->extents.n; i++) {
		uint64_t off = f->extents.v[i].start;
		uint64_t end = f->extents.v[i].end;

		while (!rc && off < end) {
			size_t n = end - off < PIECE ? end - off : PIECE;
			ssize_t got = fsp_pread_full(f->data->fd, buf, n,
			                             (off_t)off);

			if (got != (ssize_t)n)
				return got < 0 ? (int)got : -EIO;
			rc = fsp_pwrite_all(to, buf, n, (off_t)off);
			off += n;
		}
	}
	return rc;
}

/* Bytes in [start, end) are about to change: not those of a snapshot. */
static int unseal(struct fsp_spool_file *f, uint64_t start, uint64_t end)
{
	struct fsp_spool_data *d;
	int rc;

	/* The last snapshot may have gone; one more may not come meanwhile. */
	if (atomic_load(&f->data->refs) == 1)
		f->sealed.n = 0;
	if (!f->data->kept && !fsp_extents_overlap(&f->sealed, start, end))
		return 0;
	rc = fsp_spool_data_new(f->data->spool, &d);
	if (!rc)
		rc = copy_data(f, d->fd);
	if (rc) {
		fsp_spool_data_put(d);
		return rc;
	}
	fsp_spool_data_put(f->data);
	f->data = d;
	f->sealed.n = 0;
	return 0;
}

int fsp_spool_write(struct fsp_spool_file *f, const void *buf, size_t len,
                    uint64_t off)
{
	int rc;

	if (too_far(off, len))
		return -EFBIG;
	rc = reserve(f);
	if (!rc)
		rc = unseal(f, off, off + len);
	if (!rc)
		rc = fsp_pwrite_all(f->data->fd, buf, len, (off_t)off);
	if (!rc)
		add(f, off, off + len);
	return rc;
}

ssize_t fsp_spool_read(struct fsp_spool_file *f, void *buf, size_t len,
                       uint64_t off)
{
	if (off > INT64_MAX)
		return 0;
	if (len > INT64_MAX - off)
		len = (size_t)(INT64_MAX - off);
	return fsp_pread_full(f->data->fd, buf, len, (off_t)off);
}

int fsp_spool_cut(struct fsp_spool_file *f, uint64_t size)
{
	struct stat st;

	if (fstat(f->data->fd, &st))
		return -errno;
	/* What a snapshot may have stays, and is not looked at any more. */
	if (atomic_load(&f->data->refs) == 1 && !f->data->kept &&
	    (uint64_t)st.st_size > size && ftruncate(f->data->fd, (off_t)size))
		return -errno;
	fsp_extents_cut(&f->extents, size);
	fsp_extents_cut(&f->fresh, size);
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
	rc = reserve(f);
	if (!rc)
		rc = unseal(f, off, end);
	if (rc)
		return rc;
	if (fstat(f->data->fd, &st))
		return -errno;
	size = (uint64_t)st.st_size;
	inside = end < size ? end : size;
	if (off < inside)
		rc = punch(f->data->fd, off, inside - off);
	if (!rc && end > size && ftruncate(f->data->fd, (off_t)end))
		rc = -errno;
	if (!rc)
		add(f, off, end);
	return rc;
}

static bool extent_of(const struct fsp_extents *x, uint64_t off,
                      uint64_t *start, uint64_t *end)
{
	const struct fsp_extent *e = fsp_extents_find(x, off);

	if (!e)
		return false;
	*start = e->start;
	*end = e->end;
	return true;
}

bool fsp_spool_extent(const struct fsp_spool_file *f, uint64_t off,
                      uint64_t *start, uint64_t *end)
{
	return extent_of(&f->extents, off, start, end);
}

bool fsp_spool_fresh(const struct fsp_spool_file *f, uint64_t off,
                     uint64_t *start, uint64_t *end)
{
	return extent_of(&f->fresh, off, start, end);
}

bool fsp_spool_complete(const struct fsp_spool_file *f, uint64_t size)
{
	const struct fsp_extents *x = &f->extents;

	if (!size)
		return x->n == 0;
	return x->n == 1 && x->v[0].start == 0 && x->v[0].end == size;
}

int fsp_spool_snapshot(struct fsp_spool_file *f, struct fsp_spool_file **out)
{
	struct fsp_spool_file *s = calloc(1, sizeof(*s));
	int rc = s ? 0 : -ENOMEM;

	*out = NULL;
	if (!rc)
		rc = fsp_extents_copy(&s->extents, &f->extents);
	if (!rc)
		rc = fsp_extents_copy(&s->fresh, &f->fresh);
	if (!rc)
		rc = fsp_extents_copy(&s->sealed, &f->extents);
	if (!rc)
		rc = fsp_extents_join(&f->sealed, &f->extents);
	if (rc) {
		fsp_spool_drop(s);
		return rc;
	}
	atomic_fetch_add(&f->data->refs, 1);
	s->data = f->data;
	*out = s;
	return 0;
}

bool fsp_spool_seals(const struct fsp_spool_file *f,
                     const struct fsp_spool_file *snapshot)
{
	const struct fsp_extents *x = &snapshot->extents;

	for (size_t i = 0; f->data == snapshot->data && i < x->n; i++) {
		const struct fsp_extent *e = fsp_extents_find(&f->sealed,
		                                              x->v[i].start);

		if (!e || e->start > x->v[i].start || e->end < x->v[i].end)
			return false;
	}
	return true;
}

void fsp_spool_begin_fresh(struct fsp_spool_file *f)
{
	f->fresh.n = 0;
}

int fsp_spool_join_fresh(struct fsp_spool_file *f,
                         const struct fsp_spool_file *older, uint64_t limit)
{
	struct fsp_extents x = { 0 };
	int rc = fsp_extents_copy(&x, &older->fresh);

	if (!rc)
		fsp_extents_cut(&x, limit);
	if (!rc)
		rc = fsp_extents_join(&x, &f->fresh);
	if (rc) {
		fsp_extents_free(&x);
		return rc;
	}
	fsp_extents_free(&f->fresh);
	f->fresh = x;
	return 0;
}

void fsp_spool_leave(struct fsp_spool_file *f)
{
	if (f)
		f->data->stays = true;
}

bool fsp_spool_sole(const struct fsp_spool_file *f)
{
	return atomic_load(&f->data->refs) == 1;
}

const char *fsp_spool_path(const struct fsp_spool_file *f)
{
	return f->data->path;
}

int fsp_spool_fd(const struct fsp_spool_file *f)
{
	return f->data->fd;
}

void fsp_spool_drop(struct fsp_spool_file *f)
{
	if (!f)
		return;
	fsp_spool_data_put(f->data);
	fsp_extents_free(&f->extents);
	fsp_extents_free(&f->fresh);
	fsp_extents_free(&f->sealed);
	free(f);
}
