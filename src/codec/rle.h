/*
 * bzip2's first step: 4 to 255 equal bytes are written as four and the number
 * of those that follow. Its block holds 900,000 bytes of this form, less 19,
 * which may stand for 45 MB; so it is in this form that blocks are kept.
 */
#ifndef RLE_H
#define RLE_H

#include <stddef.h>
#include <stdint.h>

#include "fsp_buf.h"

struct rle {
	int ch;                 /* of the run that is not written yet; or -1 */
	unsigned len;
};
#define RLE_INIT { -1, 0 }

/*
 * Adds bytes until the coded form has max or more, as libbz2 does: the byte
 * that is met then begins the next block. Returns how many were taken; all of
 * them where the block is not full. The caller has reserved RLE_ROOM(n).
 */
size_t rle_add(struct rle *r, struct fsp_buf *out, size_t max, const void *p,
               size_t n);
#define RLE_ROOM(n) ((n) + (n) / 4 + 16)
/* Writes the run that is under way. Room as for one byte. */
void rle_end(struct rle *r, struct fsp_buf *out);

struct rle_reader {
	size_t pos;             /* in the coded form */
	int ch;                 /* the last byte */
	unsigned same;          /* how often it came, up to 4 */
	unsigned repeat;        /* how often it still comes */
};
#define RLE_READER_INIT { 0, -1, 0, 0 }

/* The content of a form that rle_add made; 0 at its end. */
size_t rle_read(struct rle_reader *r, const struct fsp_buf *in, void *out,
                size_t cap);

#endif
