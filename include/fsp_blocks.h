/*
 * The block index of an object: the pieces of an encoded content that can be
 * fetched and decoded by themselves, and what each must decode to.
 *
 * A bzip2 object's blocks are those of its stream; a zstd object's are its
 * frames; a stored one's are pieces of it. An index is made while an object is
 * encoded, or decoded and verified as a whole; what it then says of a block
 * vouches for that block alone. Nothing here keeps state, so any thread may
 * call it.
 */
#ifndef FSP_BLOCKS_H
#define FSP_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

#include "fsp_codec.h"

struct fsp_buf;

#define FSP_BLOCK_DIGEST 16     /* the first bytes of the SHA-256 */

struct fsp_block {
	uint64_t off;           /* of its first byte in the content */
	uint64_t bit;           /* of its first bit in what is encrypted */
	uint8_t digest[FSP_BLOCK_DIGEST];       /* of its content */
};

struct fsp_blocks {
	uint64_t size;          /* of the content */
	uint64_t end_bit;       /* behind the last block */
	size_t n;               /* 0 for an empty content */
	struct fsp_block *block;        /* rising in off and bit, off[0] = 0 */
};

void fsp_blocks_free(struct fsp_blocks *b);     /* what it points to */

/*
 * To the bytes of its row (some 22 for each block), added to out, and back.
 * unpack: -EIO for whatever is no index of a content of that size; -ENOMEM.
 */
int fsp_blocks_pack(const struct fsp_blocks *b, struct fsp_buf *out);
int fsp_blocks_unpack(const void *buf, size_t len, uint64_t size,
                      struct fsp_blocks *out);

/* The block that holds the byte at off, which is below size. */
size_t fsp_blocks_find(const struct fsp_blocks *b, uint64_t off);
/* How long the content of block i is. */
uint64_t fsp_blocks_len(const struct fsp_blocks *b, size_t i);

/*
 * The bytes of the object that decoding blocks [first, first + n) needs: with
 * the cipher block before them.
 */
void fsp_blocks_range(const struct fsp_blocks *b, enum fsp_format f,
                      size_t first, size_t n, uint64_t *off, uint64_t *len);

/*
 * Decodes blocks [first, first + n) from the bytes of that range, several at
 * once, and hands each to the sink, in order, verified. -EIO: damaged, or len
 * is not that of the range. A sink's error ends it and is passed through.
 */
int fsp_blocks_decode(const struct fsp_blocks *b, enum fsp_format f,
                      const struct fsp_keys *keys, size_t first, size_t n,
                      const void *bytes, size_t len, fsp_sink sink, void *arg);
/* The memory for that is kept for the next, until as often switched off. */
void fsp_blocks_hold(bool on);

/*
 * After finish: the index of what was encoded, or decoded as a whole. The
 * caller frees it. -ENOMEM; -E2BIG where a decoded object's blocks are so many
 * and so small (under 16 KiB of content on the average) that it has none.
 */
int fsp_encoder_blocks(const struct fsp_encoder *e, struct fsp_blocks *out);
int fsp_decoder_blocks(const struct fsp_decoder *d, struct fsp_blocks *out);

#endif
