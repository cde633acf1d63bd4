/*
 * Which bytes of a spool file were written: a sorted array of extents that
 * neither overlap nor touch.
 */
#ifndef FSP_SPOOL_EXTENTS_H
#define FSP_SPOOL_EXTENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fsp_extent {
	uint64_t start, end;            /* end is exclusive */
};

struct fsp_extents {
	struct fsp_extent *v;
	size_t n, cap;
};

/* Makes room, so that the next fsp_extents_add() cannot fail. -ENOMEM. */
int fsp_extents_reserve(struct fsp_extents *x);

/* After a reserve. start == end adds nothing. */
void fsp_extents_add(struct fsp_extents *x, uint64_t start, uint64_t end);

/* Forgets what is at or after size. */
void fsp_extents_cut(struct fsp_extents *x, uint64_t size);

/* Does any byte of [start, end) belong to it? */
bool fsp_extents_overlap(const struct fsp_extents *x, uint64_t start,
                         uint64_t end);

/* Makes *x what *from is; -ENOMEM leaves it as it was. */
int fsp_extents_copy(struct fsp_extents *x, const struct fsp_extents *from);

/* Adds all of another one. -ENOMEM: some of it. */
int fsp_extents_join(struct fsp_extents *x, const struct fsp_extents *more);

/* The bytes of all. */
uint64_t fsp_extents_bytes(const struct fsp_extents *x);

/* Sorted, apart from each other, none empty? */
bool fsp_extents_valid(const struct fsp_extents *x);

/* The one that covers off or the next one; NULL when there is none. */
const struct fsp_extent *fsp_extents_find(const struct fsp_extents *x,
                                          uint64_t off);

void fsp_extents_free(struct fsp_extents *x);

#endif
