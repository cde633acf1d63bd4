/*
 * One block of a bzip2 stream back into what bzip2's run-length coding made of
 * the content: several times as fast as libbz2, which follows one chain through
 * memory where this follows many at once. No state, any thread.
 */
#ifndef UNBZIP2_H
#define UNBZIP2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fsp_buf.h"

#define UNBZIP2_LEVEL 100000    /* bytes of a block for each level */

/* The block's bits begin `skip` bits behind p, and are all that it has. */
struct unbzip2_in {
	const uint8_t *p;
	size_t len;             /* bytes at p */
	unsigned skip;
	uint64_t bits;
	size_t max;             /* bytes that the block may have */
};

/*
 * Adds the block to out, and sets the CRC that its content must have. -EIO: it
 * is none, or is longer or shorter than its bits; -EOPNOTSUPP: a fine beginning
 * of a block that is randomised, as bzip2 made them before 1998; -ENOMEM.
 */
int unbzip2(const struct unbzip2_in *in, struct fsp_buf *out, uint32_t *crc);

/* The content's CRC goes on; it begins with UINT32_MAX and ends inverted. */
uint32_t bzip2_crc(uint32_t crc, const void *buf, size_t len);

/* ---- the two steps */

/* The last column of the sorted rotations, and which row is the block. */
struct column {
	uint8_t *byte;
	size_t n, max;
	uint32_t origin, crc;
};

int bzip2_column(const struct unbzip2_in *in, struct column *out);

/* Bytes for the second, aligned as malloc does; the column may lie in them. */
size_t unsort_room(size_t n);
/* rows: n + 1 of them. Adds n bytes to out. */
int bzip2_unsort(const struct column *c, uint32_t *rows, uint8_t *room,
                 struct fsp_buf *out);

#endif
