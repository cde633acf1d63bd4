/* Packing a short block: both steps. */
#include "bzip2_pack.h"

#include <errno.h>
#include <string.h>

/* The block, and behind it its beginning as often as it takes. */
static uint8_t *go_round(const void *block, size_t n, struct slab *room)
{
	uint8_t *b = slab_alloc(room, (int)(n + SORT_BEYOND), 1);

	if (!b)
		return NULL;
	memcpy(b, block, n);
	for (size_t at = n; at < n + SORT_BEYOND; at++)
		b[at] = b[at - n];
	return b;
}

int bzip2_pack(const void *block, size_t n, uint32_t crc, struct slab *room,
               struct fsp_buf *out, uint64_t *bits)
{
	uint8_t *b = go_round(block, n, room);
	uint8_t *column = slab_alloc(room, (int)n, 1);
	void *symbols = slab_alloc(room, (int)bzip2_write_room(n), 1);
	uint32_t origin;
	int err;

	if (!b || !column || !symbols ||
	    !bzip2_sort(b, n, room, column, &origin))
		return -EAGAIN;
	err = fsp_buf_reserve(out, bzip2_write_bound(n));
	if (err)
		return err;
	*bits = bzip2_write(column, n, origin, crc, symbols,
	                    (uint8_t *)out->data + out->len);
	out->len += (*bits + 7) / 8;
	return 0;
}
