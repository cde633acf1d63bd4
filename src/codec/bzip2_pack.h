/*
 * A short block of bzip2 out of what its run-length coding made of the content,
 * to the bit as libbz2 makes it and a few times as fast. No state, any thread.
 */
#ifndef BZIP2_PACK_H
#define BZIP2_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bzip2_slab.h"
#include "fsp_buf.h"

#define PACK_MAX 99980          /* bytes of a block: what a slab is for */
#define SORT_DEPTH 4000         /* rotations that agree so far are too alike */
#define SORT_BEYOND (SORT_DEPTH + 64)

/*
 * Adds the block, from its mark on, to out, which has whole bytes so far; *bits
 * is how many that were. crc is the content's. -EAGAIN: libbz2 is needed;
 * -ENOMEM. What was taken of the slab is not needed any more.
 */
int bzip2_pack(const void *block, size_t n, uint32_t crc, struct slab *room,
               struct fsp_buf *out, uint64_t *bits);

/* ---- the two steps */

/*
 * The last column of the sorted rotations, and which row is the block. Behind
 * the block, SORT_BEYOND bytes go on with it from its beginning. False: there
 * are too many that are too much alike, or no room.
 */
bool bzip2_sort(const uint8_t *block, size_t n, struct slab *room,
                uint8_t *column, uint32_t *origin);

/* What bzip2_write() needs for a column of n bytes. */
size_t bzip2_write_room(size_t n);

/*
 * The column as a block, at out, where there are bzip2_write_bound(n) bytes;
 * returns its bits. The last byte is filled up with zeros. room: for uint16_t.
 */
uint64_t bzip2_write(const uint8_t *column, size_t n, uint32_t origin,
                     uint32_t crc, void *room, uint8_t *out);
size_t bzip2_write_bound(size_t n);

#endif
