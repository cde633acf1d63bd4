/* A block of bzip2: both steps, and its checksum. */
#include "unbzip2.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_cleanup.h"

#define POLYNOMIAL 0x04c11db7u

/* [i][b]: what byte b is to the sum, i bytes later. */
static struct {
	pthread_once_t once;
	uint32_t of[8][256];
} sums = { .once = PTHREAD_ONCE_INIT };

static void make_sums(void)
{
	for (unsigned b = 0; b < 256; b++) {
		uint32_t c = b << 24;

		for (int i = 0; i < 8; i++)
			c = c << 1 ^ (c >> 31 ? POLYNOMIAL : 0);
		sums.of[0][b] = c;
	}
	for (unsigned i = 1; i < 8; i++) {
		for (unsigned b = 0; b < 256; b++) {
			uint32_t c = sums.of[i - 1][b];

			sums.of[i][b] = c << 8 ^ sums.of[0][c >> 24];
		}
	}
}

uint32_t bzip2_crc(uint32_t crc, const void *buf, size_t len)
{
	const uint32_t (*of)[256] = (const uint32_t (*)[256])sums.of;
	const uint8_t *p = buf;

	/* Fails for a wrong argument only. */
	(void)pthread_once(&sums.once, make_sums);
	for (; len >= 8; len -= 8, p += 8) {
		crc ^= (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
		       (uint32_t)p[2] << 8 | p[3];
		crc = of[7][crc >> 24] ^ of[6][crc >> 16 & 255] ^
		      of[5][crc >> 8 & 255] ^ of[4][crc & 255] ^
		      of[3][p[4]] ^ of[2][p[5]] ^ of[1][p[6]] ^ of[0][p[7]];
	}
	for (; len; len--)
		crc = crc << 8 ^ of[0][crc >> 24 ^ *p++];
	return crc;
}

int unbzip2(const struct unbzip2_in *in, struct fsp_buf *out, uint32_t *crc)
{
	FSP_FREE uint32_t *rows = malloc((in->max + 1) * sizeof(*rows));
	FSP_FREE uint8_t *room = malloc(unsort_room(in->max));
	struct column c = { .byte = room, .max = in->max };
	int err = rows && room ? bzip2_column(in, &c) : -ENOMEM;

	*crc = c.crc;
	return err ? err : bzip2_unsort(&c, rows, room, out);
}
