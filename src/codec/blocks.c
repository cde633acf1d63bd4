/*
 * The index of an object as bytes, and where in an object its blocks are.
 *
 * The bytes: the version, 1; then numbers in groups of 7 bits, the lowest
 * first, the top bit saying that another follows: how many blocks there are;
 * for each how much content it has, by how many bits it is behind the one
 * before (the first: behind the beginning), and the 16 bytes of its digest; at
 * last how many bits the last one has. The content of the last block is what
 * remains of the size, and is not written.
 */
#include "fsp_blocks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "piece.h"

#define VERSION 1

void fsp_blocks_free(struct fsp_blocks *b)
{
	free(b->block);
	*b = (struct fsp_blocks){ 0 };
}

static int put_number(struct fsp_buf *out, uint64_t v)
{
	int err = 0;

	for (; !err && v > 0x7f; v >>= 7)
		err = fsp_buf_addc(out, (char)(v | 0x80));
	return err ? err : fsp_buf_addc(out, (char)v);
}

static int put_block(const struct fsp_blocks *b, size_t i, struct fsp_buf *out)
{
	const struct fsp_block *k = &b->block[i];
	int err = 0;

	if (i + 1 < b->n)
		err = put_number(out, k[1].off - k->off);
	if (!err)
		err = put_number(out, i ? k->bit - k[-1].bit : k->bit);
	return err ? err : fsp_buf_add(out, k->digest, FSP_BLOCK_DIGEST);
}

int fsp_blocks_pack(const struct fsp_blocks *b, struct fsp_buf *out)
{
	int err = fsp_buf_addc(out, VERSION);

	if (!err)
		err = put_number(out, b->n);
	for (size_t i = 0; !err && i < b->n; i++)
		err = put_block(b, i, out);
	if (!err && b->n)
		err = put_number(out, b->end_bit - b->block[b->n - 1].bit);
	return err;
}

struct reader {
	const uint8_t *p;
	size_t len;
};

/* At most max. One form for each number. */
static int get_number(struct reader *r, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 63; shift += 7) {
		uint8_t c;

		if (!r->len)
			return -EIO;
		c = *r->p++;
		r->len--;
		v |= (uint64_t)(c & 0x7f) << shift;
		if (c & 0x80)
			continue;
		*out = v;
		return v > max || (!c && shift) ? -EIO : 0;
	}
	return -EIO;
}

/* off and bit stand where the block begins, and behind it afterwards. */
static int get_block(struct reader *r, const struct fsp_blocks *b, size_t i,
                     uint64_t *off, uint64_t *bit)
{
	struct fsp_block *k = &b->block[i];
	uint64_t len = b->size - *off, gap;
	int err = 0;

	if (i + 1 < b->n)
		err = get_number(r, CONTENT_MAX, &len);
	if (err || !len || len > CONTENT_MAX || len > b->size - *off)
		return -EIO;
	err = get_number(r, PIECE_MAX * 8ull, &gap);
	if (err || (i && !gap) || r->len < FSP_BLOCK_DIGEST)
		return -EIO;
	*bit += gap;
	k->off = *off;
	k->bit = *bit;
	memcpy(k->digest, r->p, FSP_BLOCK_DIGEST);
	r->p += FSP_BLOCK_DIGEST;
	r->len -= FSP_BLOCK_DIGEST;
	*off += len;
	return 0;
}

static int get_all(struct reader *r, struct fsp_blocks *b)
{
	uint64_t off = 0, bit = 0, gap;
	int err = 0;

	for (size_t i = 0; !err && i < b->n; i++)
		err = get_block(r, b, i, &off, &bit);
	if (!err && b->n) {
		err = get_number(r, PIECE_MAX * 8ull, &gap);
		if (!err && !gap)
			err = -EIO;
		b->end_bit = bit + (err ? 0 : gap);
	}
	return !err && (off != b->size || r->len) ? -EIO : err;
}

int fsp_blocks_unpack(const void *buf, size_t len, uint64_t size,
                      struct fsp_blocks *out)
{
	struct reader r = { buf, len };
	uint64_t n;
	int err;

	*out = (struct fsp_blocks){ .size = size };
	if (!r.len || *r.p != VERSION)
		return -EIO;
	r.p++;
	r.len--;
	/* Each has a digest: no more memory than three times len. */
	if (get_number(&r, len / FSP_BLOCK_DIGEST, &n))
		return -EIO;
	out->n = n;
	if (n)
		out->block = calloc(n, sizeof(*out->block));
	if (n && !out->block)
		return -ENOMEM;
	err = get_all(&r, out);
	if (err)
		fsp_blocks_free(out);
	return err;
}

size_t fsp_blocks_find(const struct fsp_blocks *b, uint64_t off)
{
	size_t low = 0, high = b->n;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (b->block[mid].off <= off)
			low = mid;
		else
			high = mid;
	}
	return low;
}

uint64_t fsp_blocks_len(const struct fsp_blocks *b, size_t i)
{
	return (i + 1 < b->n ? b->block[i + 1].off : b->size) -
	       b->block[i].off;
}

static uint64_t end_of(const struct fsp_blocks *b, size_t i)
{
	return i + 1 < b->n ? b->block[i + 1].bit : b->end_bit;
}

void fsp_blocks_range(const struct fsp_blocks *b, enum fsp_format f,
                      size_t first, size_t n, uint64_t *off, uint64_t *len)
{
	uint64_t from, to;

	*off = *len = 0;
	if (!n)
		return;
	from = b->block[first].bit / 8;
	to = (end_of(b, first + n - 1) + 7) / 8;
	if (format_sealing(f) != SEAL_NONE) {
		from -= from % IV_LEN;
		to += (IV_LEN - to % IV_LEN) % IV_LEN;
		/* The cipher block before, or the object's iv. */
		if (format_sealing(f) == SEAL_OWN_IV)
			to += IV_LEN;
		else
			from -= from ? IV_LEN : 0;
	}
	*off = from;
	*len = to - from;
}
