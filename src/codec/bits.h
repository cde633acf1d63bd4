/*
 * Bits in the order of bzip2: the highest of a byte first.
 */
#ifndef BITS_H
#define BITS_H

#include <stdint.h>

#include "fsp_buf.h"

struct bits {
	struct fsp_buf whole;   /* complete bytes */
	unsigned fill;          /* bits in `last`, 0 to 7 */
	uint8_t last;           /* the incomplete byte, its rest 0 */
};

/* n <= 56 of the bits from position `bit` on, which must be there. */
uint64_t bits_get(const void *p, uint64_t bit, unsigned n);
/* Adds the n <= 56 low bits of value. 0 or -ENOMEM, as all of these. */
int bits_put(struct bits *b, uint64_t value, unsigned n);
/* Adds n bits of p from position `bit` on. */
int bits_copy(struct bits *b, const void *p, uint64_t bit, uint64_t n);
/* Fills the incomplete byte with zeros. */
int bits_pad(struct bits *b);

#endif
