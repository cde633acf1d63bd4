/*
 * A bzip2 stream, cut into blocks.
 *
 * Nothing in a stream says where a block ends but the mark of the next, or of
 * the end, which may stand at any bit; and the same bits may be part of a
 * block, by chance in one of 10^9 gigabytes, but also because somebody wanted
 * it. So each mark is taken for one, and a piece between two marks is decoded:
 * if the second was none, that fails, and also if the block is damaged. Then
 * the block is decoded alone: libbz2 is given what has come from its beginning
 * on, and says, to the byte, how much of it was the block. There a mark must
 * be, and from it on marks are sought anew. As it needs all of a block before
 * it gives out any of it, it tries whenever twice as much has come.
 *
 * State: the pieces in the ring follow each other without a gap, `start` is
 * where the last of them ends, `tail` is what has come from there on. The
 * oldest piece begins with a mark that is one, since the block before it ended
 * there; `start` does where the ring is empty. `alone`: the ring is empty, and
 * no marks are sought.
 */
#include <errno.h>
#include <string.h>

#include <bzlib.h>

#include "bits.h"
#include "decode_impl.h"

#define MASK48 ((1ull << BZ_MAGIC_BITS) - 1)
#define TRY_LEAST 4096

/* marks[x]: with x before the last byte, a mark may end s bits before the
 * end: bit s for a block's, bit 8 + s for the end's. */
void bzip2_init(struct fsp_decoder *d)
{
	for (unsigned s = 0; s < 8; s++) {
		d->marks[(BZ_BLOCK_MAGIC << s) >> 8 & 0xff] |=
			(uint16_t)(1u << s);
		d->marks[(BZ_END_MAGIC << s) >> 8 & 0xff] |=
			(uint16_t)(0x100u << s);
	}
}

void bzip2_took(struct fsp_decoder *d, uint32_t crc)
{
	d->crc = (d->crc << 1 | d->crc >> 31) ^ crc;
}

static uint64_t all_bits(const struct fsp_decoder *d)
{
	return (d->tail_byte + d->tail.len) * 8;
}

/* Bits at a position of the stream; they are in `tail`. */
static uint64_t peek(const struct fsp_decoder *d, uint64_t bit, unsigned n)
{
	return bits_get(d->tail.data, bit - d->tail_byte * 8, n);
}

static void seek(struct fsp_decoder *d, uint64_t start, bool is_end)
{
	d->start = start;
	d->start_is_end = is_end;
	decoder_drop(d, start / 8);
	d->scanned = d->tail_byte;
	d->window = 0;
}

static int begin(struct fsp_decoder *d)
{
	uint64_t magic;

	if (all_bits(d) < BZ_HEADER_BITS + BZ_MAGIC_BITS)
		return 0;
	d->level = (int)peek(d, 24, 8) - '0';
	magic = peek(d, BZ_HEADER_BITS, BZ_MAGIC_BITS);
	if (peek(d, 0, 24) != 0x425a68 || d->level < 1 || d->level > 9 ||
	    (magic != BZ_BLOCK_MAGIC && magic != BZ_END_MAGIC))
		return -EIO;
	d->begun = true;
	seek(d, BZ_HEADER_BITS, magic == BZ_END_MAGIC);
	return 0;
}

/* The bits of a piece that ends where the next mark is. */
static int close_piece(struct fsp_decoder *d, uint64_t end, bool is_end)
{
	uint64_t from = d->tail_byte;
	struct piece *p;
	int rc = decoder_push(d, &p);

	if (rc || d->alone)
		return rc;
	p->start = d->start;
	p->bits = end - d->start;
	p->level = d->level;
	p->is_end = d->start_is_end;
	rc = fsp_buf_add(&p->in, d->tail.data, (end + 7) / 8 - from);
	if (rc)
		return rc;
	if (!p->is_end && (!is_end || d->ring.n > 1))
		ring_submit(p);
	d->start = end;
	d->start_is_end = is_end;
	decoder_drop(d, end / 8);
	return 0;
}

/* What of the marks that may be here is one. Returns its first bit, or 0. */
static uint64_t look(const struct fsp_decoder *d, unsigned may, bool *is_end)
{
	for (unsigned s = 0; s < 8; s++) {
		uint64_t bits = d->window >> s & MASK48;

		*is_end = may >> s & 0x100 && bits == BZ_END_MAGIC;
		if (*is_end || (may >> s & 1 && bits == BZ_BLOCK_MAGIC))
			return d->scanned * 8 - s - BZ_MAGIC_BITS;
	}
	return 0;
}

/* Looks for the next mark; returns its first bit, or 0 at the end of tail. */
static uint64_t next_mark(struct fsp_decoder *d, bool *is_end)
{
	const uint8_t *p = (const uint8_t *)d->tail.data;
	size_t n = d->tail.len;

	for (size_t i = d->scanned - d->tail_byte; i < n; i++) {
		unsigned may = d->marks[d->window & 0xff];
		uint64_t at;

		d->window = d->window << 8 | p[i];
		if (!may)
			continue;
		d->scanned = d->tail_byte + i + 1;
		at = look(d, may, is_end);
		if (at > d->start)
			return at;
	}
	d->scanned = d->tail_byte + n;
	return 0;
}

static int seek_marks(struct fsp_decoder *d)
{
	bool is_end;
	uint64_t at;
	int rc = 0;

	while (!rc && !d->alone && (at = next_mark(d, &is_end)))
		rc = close_piece(d, at, is_end);
	return rc;
}

/*
 * From the oldest piece on as one again. Where two pieces meet within a byte,
 * both have it.
 */
int bzip2_alone(struct fsp_decoder *d)
{
	struct fsp_buf all = FSP_BUF_INIT;
	uint64_t start = ring_at(&d->ring, 0)->start;
	int rc = 0;

	for (unsigned i = 0; !rc && i < d->ring.n; i++) {
		const struct piece *p = ring_at(&d->ring, i);

		all.len = p->start / 8 - start / 8;
		rc = fsp_buf_add(&all, p->in.data, p->in.len);
	}
	all.len = d->tail_byte - start / 8;
	if (!rc)
		rc = fsp_buf_add(&all, d->tail.data, d->tail.len);
	ring_cancel(&d->ring);
	fsp_buf_free(&d->tail);
	d->tail = all;
	d->tail_byte = start / 8;
	d->start = start;
	d->alone = true;
	d->retry_at = 0;
	return rc;
}

/* 1: the block is read; 0: it goes on behind what is there. */
static int read_block(bz_stream *bz, struct bits *s)
{
	char none[1];
	int state;

	bz->next_in = s->whole.data;
	bz->avail_in = (unsigned)s->whole.len;
	bz->next_out = none;
	bz->avail_out = 0;
	state = BZ2_bzDecompress(bz);
	if (state != BZ_OK)
		return state == BZ_MEM_ERROR ? -ENOMEM : -EIO;
	return bz->avail_in > 0;
}

/*
 * The bit behind the block, `used` bytes of which libbz2 has read: the mark is
 * within the last of them, or right behind. 0: more is needed to say.
 */
static int find_end(struct fsp_decoder *d, uint64_t used, uint64_t *end,
                    bool *is_end)
{
	uint64_t last = d->start + used * 8;

	if (all_bits(d) < last + BZ_MAGIC_BITS)
		return 0;
	for (*end = last - 7; *end <= last; ++*end) {
		uint64_t bits = peek(d, *end, BZ_MAGIC_BITS);

		*is_end = bits == BZ_END_MAGIC;
		if (*is_end || bits == BZ_BLOCK_MAGIC)
			return 1;
	}
	return -EIO;
}

/* Gives out the block that was read. With the digest, by way of a piece. */
static int write_block(struct fsp_decoder *d, bz_stream *bz)
{
	struct piece *p = ring_push(&d->ring, ALGO_BZIP2, piece_unpack);
	uint64_t off = fsp_digest_size(d->digest);
	char buf[16384];
	int state, rc = piece_hash_begin(p);

	bz->avail_in = 0;
	do {
		size_t n;

		if (rc)
			break;
		bz->next_out = buf;
		bz->avail_out = sizeof(buf);
		state = BZ2_bzDecompress(bz);
		n = sizeof(buf) - bz->avail_out;
		rc = state == BZ_OK ? piece_hash(p, buf, n) : -EIO;
		if (!rc)
			rc = decoder_emit(d, buf, n);
	} while (!bz->avail_out);
	if (!rc)
		rc = piece_hash_end(p);
	if (!rc)
		rc = index_add(&d->index, off, d->start, p->digest);
	ring_pop(&d->ring);
	return rc;
}

/* 1: a block was decoded, and `start` is behind it. */
static int try_alone(struct fsp_decoder *d, bz_stream *bz, struct bits *s)
{
	unsigned skip = (unsigned)(d->start % 8);
	uint64_t end;
	bool is_end;
	int rc = bits_put(s, 0x425a6830u + (unsigned)d->level, BZ_HEADER_BITS);

	if (!rc)
		rc = bits_copy(s, d->tail.data, skip, d->tail.len * 8 - skip);
	if (!rc)
		rc = read_block(bz, s);
	if (rc > 0)
		rc = find_end(d, s->whole.len - bz->avail_in -
		              BZ_HEADER_BITS / 8, &end, &is_end);
	if (rc <= 0)
		return rc;
	rc = write_block(d, bz);
	if (rc)
		return rc;
	bzip2_took(d, (uint32_t)peek(d, d->start + BZ_MAGIC_BITS, 32));
	seek(d, end, is_end);
	return 1;
}

/* Until marks can be sought again, or more has to come. */
static int go_alone(struct fsp_decoder *d, bool last)
{
	struct bits s = { 0 };
	bz_stream bz = { 0 };
	int rc;

	if (!last && d->tail.len < d->retry_at)
		return 0;
	if (BZ2_bzDecompressInit(&bz, 0, 0) != BZ_OK)
		return -ENOMEM;
	rc = try_alone(d, &bz, &s);
	BZ2_bzDecompressEnd(&bz);
	fsp_buf_free(&s.whole);
	if (rc < 0)
		return rc;
	d->alone = !rc;
	if (d->alone && (last || d->tail.len > PIECE_MAX))
		return -EIO;
	d->retry_at = d->tail.len < TRY_LEAST ? TRY_LEAST : d->tail.len * 2;
	return 0;
}

/* The end mark that is one: nothing is behind it, but the rest of its byte. */
static int check_end(const struct fsp_decoder *d, bool last)
{
	uint64_t end = d->start + BZ_END_BITS;

	if (all_bits(d) < end)
		return last ? -EIO : 0;
	return peek(d, d->start + BZ_MAGIC_BITS, 32) == d->crc &&
	       all_bits(d) == (end + 7) / 8 * 8 ? 0 : -EIO;
}

/* No piece is as long, and nothing follows an end. */
static bool too_long(const struct fsp_decoder *d)
{
	return d->tail.len > (d->start_is_end ? 16 : PIECE_MAX);
}

/* As far as what has come allows. */
static int advance(struct fsp_decoder *d, bool last)
{
	int rc = 0;

	do {
		if (d->alone)
			rc = go_alone(d, last);
		if (!rc && !d->alone)
			rc = seek_marks(d);
		if (!rc && !d->alone && (last || too_long(d)))
			rc = decoder_take_all(d);
	} while (!rc && d->alone && (last || d->tail.len >= d->retry_at));
	return rc;
}

int split_bzip2(struct fsp_decoder *d)
{
	int rc = d->begun ? 0 : begin(d);

	if (!rc && d->begun)
		rc = advance(d, false);
	if (rc || d->alone || !d->begun)
		return rc;
	if (too_long(d))
		return -EIO;
	return d->start_is_end && !d->ring.n ? check_end(d, false) : 0;
}

int finish_bzip2(struct fsp_decoder *d)
{
	int rc = d->begun ? advance(d, true) : -EIO;

	if (rc)
		return rc;
	d->end_bit = d->start;
	return d->start_is_end ? check_end(d, true) : -EIO;
}
