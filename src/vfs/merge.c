/*
 * Two hosts wrote one file: what was written here goes over what the other has
 * committed, as NFS would have it. Ranges keep their place, appends go to the
 * new end. After a truncation to nothing the commit replaces instead.
 */
#include "vfs_private.h"

#include <errno.h>
#include <stdlib.h>

#include "fsp_cleanup.h"

#define PIECE (256 * 1024)

void merge_reset_locked(struct file *f)
{
	f->base_limit = UINT64_MAX;
	f->append_off = UINT64_MAX;
	f->grown = 0;
}

static uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static int copy_range(struct fsp_spool_file *from, struct fsp_spool_file *to,
                      uint64_t start, uint64_t end, uint64_t dst)
{
	FSP_FREE char *buf = malloc(PIECE);
	int err = buf ? 0 : -ENOMEM;

	while (!err && start < end) {
		ssize_t n = fsp_spool_read(from, buf, min64(end - start, PIECE),
		                           start);

		if (n <= 0)
			return n ? (int)n : -EIO;
		err = fsp_spool_write(to, buf, (size_t)n, dst);
		start += (uint64_t)n;
		dst += (uint64_t)n;
	}
	return err;
}

/*
 * What was written since the last version of ours, before append_off: in place.
 * *end: where the last of it ends.
 */
static int copy_ranges(struct file *f, struct fsp_spool_file *to, uint64_t *end)
{
	uint64_t off = 0, start, stop;
	int err = 0;

	*end = 0;
	while (!err && off < f->append_off &&
	       fsp_spool_fresh(f->spool, off, &start, &stop)) {
		start = start < off ? off : start;
		if (start >= f->append_off)
			break;
		stop = min64(stop, f->append_off);
		err = copy_range(f->spool, to, start, stop, start);
		off = *end = stop;
	}
	return err;
}

static int rebuild_spool(struct fsp_vfs *v, struct file *f, uint64_t valid,
                         struct fsp_spool_file **out, uint64_t *size)
{
	struct fsp_spool_file *to;
	uint64_t end = 0;
	int err = fsp_spool_create(v->spool, &to);

	if (err)
		return err;
	err = copy_ranges(f, to, &end);
	*size = end > valid ? end : valid;
	if (!err && f->append_off < f->size) {
		err = copy_range(f->spool, to, f->append_off, f->size, *size);
		*size += f->size - f->append_off;
	}
	if (err)
		fsp_spool_drop(to);
	else
		*out = to;
	return err;
}

int file_rebase(struct fsp_vfs *v, struct inode *i, struct file *f,
                const struct fsp_content *c)
{
	struct fsp_spool_file *fresh = NULL;
	uint64_t told = f->size;
	uint64_t valid = min64(c->size, f->base_limit);
	uint64_t size = valid, appended = f->size - min64(f->append_off, f->size);
	int err = 0;

	/* Busy: nobody changes what is read here without the lock. */
	if (f->spool)
		err = rebuild_spool(v, f, valid, &fresh, &size);
	if (err)
		return err;
	FSP_GUARD(&f->lock);
	if (size < f->grown)
		size = f->grown;
	file_drop_spool_locked(f);
	file_set_base_locked(f, c);
	f->spool = fresh;
	f->base_valid = valid;
	if (!f->snap)
		pages_drop(v, i, f, min64(told, size));
	f->size = size;
	if (f->append_off != UINT64_MAX)
		f->append_off = size - appended;
	file_drop_digest_locked(f);
	return 0;
}
