/* What has been decrypted, cut into zstd frames or stored blocks. */
#include <errno.h>
#include <string.h>

#include <zstd.h>
#include <zstd_errors.h>

#include "decode_impl.h"

#define FRAME_MAX (ZSTD_COMPRESSBOUND(ZSTD_READ_MAX) + 64)
#define MAGIC_LEN 4

/*
 * The piece of n bytes at the beginning of what is left. It is begun at once
 * where it is not the only one, or more follows.
 */
static int cut(struct fsp_decoder *d, size_t n)
{
	struct piece *p;
	int rc = decoder_push(d, &p);

	if (rc)
		return rc;
	p->start = d->tail_byte * 8;
	p->bits = n * 8;
	rc = fsp_buf_add(&p->in, d->tail.data, n);
	if (rc)
		return rc;
	if (d->ring.n > 1 || d->tail.len > n)
		ring_submit(p);
	decoder_drop(d, d->tail_byte + n);
	d->end_bit = d->tail_byte * 8;
	return 0;
}

/* The first bytes of a frame: no skippable one, no older format. */
static bool magic_fits(const struct fsp_buf *b)
{
	static const uint8_t magic[MAGIC_LEN] = { 0x28, 0xb5, 0x2f, 0xfd };

	return !memcmp(b->data, magic,
	               b->len < MAGIC_LEN ? b->len : MAGIC_LEN);
}

int split_zstd(struct fsp_decoder *d)
{
	int rc = 0;

	while (!rc && d->tail.len) {
		size_t n = ZSTD_findFrameCompressedSize(d->tail.data,
		                                        d->tail.len);

		if (!magic_fits(&d->tail))
			return -EIO;
		if (!ZSTD_isError(n)) {
			rc = cut(d, n);
			continue;
		}
		return ZSTD_getErrorCode(n) == ZSTD_error_srcSize_wrong &&
		       d->tail.len < FRAME_MAX ? 0 : -EIO;
	}
	return rc;
}

int split_stored(struct fsp_decoder *d)
{
	int rc = 0;

	while (!rc && d->tail.len >= STORED_BLOCK)
		rc = cut(d, STORED_BLOCK);
	return rc;
}

int finish_zstd(struct fsp_decoder *d)
{
	/* There is a frame, and none that is not whole. */
	return d->tail.len || !d->tail_byte ? -EIO : 0;
}

int finish_stored(struct fsp_decoder *d)
{
	return d->tail.len ? cut(d, d->tail.len) : 0;
}
