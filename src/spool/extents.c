/*
 * Sorted extents with merging. Files are mostly written front to back, so
 * that the array is short and changes happen at its end.
 */
#include "extents.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"

int fsp_extents_reserve(struct fsp_extents *x)
{
	struct fsp_extent *v = fsp_grow(x->v, x->n, &x->cap, sizeof(*v));

	if (!v)
		return -ENOMEM;
	x->v = v;
	return 0;
}

/* The first extent whose end is at or after pos; n when there is none. */
static size_t first_reaching(const struct fsp_extents *x, uint64_t pos)
{
	return fsp_lower_bound(x->v, x->n, sizeof(*x->v),
	                       offsetof(struct fsp_extent, end), pos);
}

void fsp_extents_add(struct fsp_extents *x, uint64_t start, uint64_t end)
{
	size_t i, j;

	if (start == end)
		return;
	/* i..j are those that overlap or touch the new one. */
	i = first_reaching(x, start);
	for (j = i; j < x->n && x->v[j].start <= end; j++) {
		if (x->v[j].start < start)
			start = x->v[j].start;
		if (x->v[j].end > end)
			end = x->v[j].end;
	}
	memmove(x->v + i + 1, x->v + j, (x->n - j) * sizeof(*x->v));
	x->v[i] = (struct fsp_extent){ start, end };
	x->n = x->n + 1 - (j - i);
}

void fsp_extents_cut(struct fsp_extents *x, uint64_t size)
{
	size_t i = first_reaching(x, size);

	if (i < x->n && x->v[i].start < size)
		x->v[i++].end = size;
	x->n = i;
}

const struct fsp_extent *fsp_extents_find(const struct fsp_extents *x,
                                          uint64_t off)
{
	/* The extent that ends at off does not cover it. */
	size_t i = off == UINT64_MAX ? x->n : first_reaching(x, off + 1);

	return i < x->n ? &x->v[i] : NULL;
}

bool fsp_extents_overlap(const struct fsp_extents *x, uint64_t start,
                         uint64_t end)
{
	const struct fsp_extent *e = fsp_extents_find(x, start);

	return start < end && e && e->start < end;
}

int fsp_extents_copy(struct fsp_extents *x, const struct fsp_extents *from)
{
	struct fsp_extent *v = NULL;

	if (from->n) {
		v = reallocarray(NULL, from->n, sizeof(*v));
		if (!v)
			return -ENOMEM;
		memcpy(v, from->v, from->n * sizeof(*v));
	}
	free(x->v);
	*x = (struct fsp_extents){ v, from->n, from->n };
	return 0;
}

int fsp_extents_join(struct fsp_extents *x, const struct fsp_extents *more)
{
	int err = 0;

	for (size_t i = 0; i < more->n && !err; i++) {
		err = fsp_extents_reserve(x);
		if (!err)
			fsp_extents_add(x, more->v[i].start, more->v[i].end);
	}
	return err;
}

uint64_t fsp_extents_bytes(const struct fsp_extents *x)
{
	uint64_t n = 0;

	for (size_t i = 0; i < x->n; i++)
		n += x->v[i].end - x->v[i].start;
	return n;
}

bool fsp_extents_valid(const struct fsp_extents *x)
{
	for (size_t i = 0; i < x->n; i++)
		if (x->v[i].start >= x->v[i].end ||
		    x->v[i].end > INT64_MAX ||
		    (i && x->v[i].start <= x->v[i - 1].end))
			return false;
	return true;
}

void fsp_extents_free(struct fsp_extents *x)
{
	free(x->v);
	memset(x, 0, sizeof(*x));
}
