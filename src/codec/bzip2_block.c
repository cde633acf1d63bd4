/*
 * One block of a bzip2 stream by itself. libbz2 knows streams only, so a block
 * is packed as a stream of one, of which the block's bits are taken. Unpacking
 * is our own; only what no bzip2 of this century writes, randomised blocks, are
 * unpacked by libbz2, as a stream of one that is put together around the bits.
 */
#include <errno.h>

#include <bzlib.h>

#include "bits.h"
#include "bzip2_pack.h"
#include "piece.h"
#include "rle.h"
#include "unbzip2.h"

#define SOME 16384      /* of a thread's stack */
#define PLAIN_MAX (1u << 20)

static int bz_error(int state)
{
	return state == BZ_MEM_ERROR ? -ENOMEM : -EIO;
}

/* Runs until the input is taken, or the stream is over; the output grows. */
static int compress(bz_stream *bz, int action, struct fsp_buf *out)
{
	int state;

	do {
		int err = fsp_buf_reserve(out, SOME);

		if (err)
			return err;
		bz->next_out = out->data + out->len;
		bz->avail_out = (unsigned)(out->cap - 1 - out->len);
		state = BZ2_bzCompress(bz, action);
		if (state < 0)
			return bz_error(state);
		out->len = (size_t)(bz->next_out - out->data);
	} while (action == BZ_RUN ? bz->avail_in : state != BZ_STREAM_END);
	return 0;
}

static int compress_all(struct piece *p, bz_stream *bz)
{
	struct rle_reader r = RLE_READER_INIT;
	char buf[SOME];
	size_t n;
	int err = piece_hash_begin(p);

	while (!err && (n = rle_read(&r, &p->in, buf, sizeof(buf)))) {
		p->size += n;
		err = piece_hash(p, buf, n);
		if (err)
			break;
		bz->next_in = buf;
		bz->avail_in = (unsigned)n;
		err = compress(bz, BZ_RUN, &p->out);
	}
	bz->next_in = NULL;
	bz->avail_in = 0;
	if (!err)
		err = compress(bz, BZ_FINISH, &p->out);
	return err ? err : piece_hash_end(p);
}

/*
 * Where the block ends: the end mark stands there, and the CRC of all is that
 * of the one block. It is not the only one if the block was cut wrongly.
 */
static int find_end(struct piece *p)
{
	uint64_t all = p->out.len * 8;
	const char *s = p->out.data;

	p->crc = (uint32_t)bits_get(s, BZ_HEADER_BITS + BZ_MAGIC_BITS, 32);
	for (unsigned pad = 0; pad < 8; pad++) {
		uint64_t end = all - pad - BZ_END_BITS;

		if (bits_get(s, end, BZ_MAGIC_BITS) == BZ_END_MAGIC &&
		    bits_get(s, end + BZ_MAGIC_BITS, 32) == p->crc) {
			p->bits = end - BZ_HEADER_BITS;
			return 0;
		}
	}
	return -EIO;
}

static int pack_with(struct piece *p, bz_stream *bz, int level)
{
	int err, state = BZ2_bzCompressInit(bz, level, 0, 0);

	if (state != BZ_OK)
		return bz_error(state);
	err = compress_all(p, bz);
	BZ2_bzCompressEnd(bz);
	return err ? err : find_end(p);
}

/*
 * The level is how much memory libbz2 takes and where it ends a block; the
 * block's bits do not depend on it. So a small block takes little.
 */
static int pack_in_slab(struct piece *p, struct slab *room)
{
	bz_stream bz = { .bzalloc = slab_alloc, .bzfree = slab_free,
		         .opaque = room };

	slab_clear(room);
	fsp_buf_reset(&p->out);
	p->size = 0;
	return pack_with(p, &bz, 1);
}

/* size, crc and digest of the content. */
static int look_at_content(struct piece *p)
{
	struct rle_reader r = RLE_READER_INIT;
	uint32_t crc = UINT32_MAX;
	char buf[SOME];
	size_t n;
	int err = piece_hash_begin(p);

	while (!err && (n = rle_read(&r, &p->in, buf, sizeof(buf)))) {
		p->size += n;
		crc = bzip2_crc(crc, buf, n);
		err = piece_hash(p, buf, n);
	}
	p->crc = ~crc;
	return err ? err : piece_hash_end(p);
}

static int pack_ourselves(struct piece *p, struct slab *room)
{
	int err = look_at_content(p);

	/* The block stands where the head of a stream would leave it. */
	if (!err)
		err = fsp_buf_add(&p->out, "BZh9", BZ_HEADER_BITS / 8);
	return err ? err : bzip2_pack(p->in.data, p->in.len, p->crc, room,
	                              &p->out, &p->bits);
}

int pack_bzip2(struct piece *p)
{
	bz_stream bz = { 0 };
	struct slab *room;
	int err;

	if (p->in.len > PACK_MAX)
		return pack_with(p, &bz, p->level);
	room = slab_take();
	if (!room)
		return -ENOMEM;
	err = pack_ourselves(p, room);
	if (err == -EAGAIN)
		err = pack_in_slab(p, room);
	slab_give(room);
	return err;
}

/* The block between the head and the end of a stream. */
static int wrap(struct piece *p, struct bits *s)
{
	unsigned skip = (unsigned)(p->start % 8);
	int err;

	if (p->bits < BZ_MAGIC_BITS + 32)
		return -EIO;
	p->crc = (uint32_t)bits_get(p->in.data, skip + BZ_MAGIC_BITS, 32);
	err = bits_put(s, 0x425a6830u + (unsigned)p->level, BZ_HEADER_BITS);
	if (!err)
		err = bits_copy(s, p->in.data, skip, p->bits);
	if (!err)
		err = bits_put(s, BZ_END_MAGIC, BZ_MAGIC_BITS);
	if (!err)
		err = bits_put(s, p->crc, 32);
	return err ? err : bits_pad(s);
}

/* More than a block without runs has: from here on in the coded form. */
static int recode(struct piece *p, struct rle *r)
{
	struct fsp_buf plain = p->out;
	int err;

	p->out = (struct fsp_buf)FSP_BUF_INIT;
	p->coded = true;
	err = fsp_buf_reserve(&p->out, RLE_ROOM(plain.len));
	if (!err)
		(void)rle_add(r, &p->out, SIZE_MAX, plain.data, plain.len);
	fsp_buf_free(&plain);
	return err;
}

/* Content of the block: its digest, and kept. */
static int take(struct piece *p, struct rle *r, const char *buf, size_t n)
{
	int err;

	if (n > p->limit - p->size)
		return -EIO;
	p->size += n;
	err = piece_hash(p, buf, n);
	if (!err && !p->coded && p->size > PLAIN_MAX)
		err = recode(p, r);
	if (err || !p->coded)
		return err ? err : fsp_buf_add(&p->out, buf, n);
	err = fsp_buf_reserve(&p->out, RLE_ROOM(n));
	if (!err)
		(void)rle_add(r, &p->out, SIZE_MAX, buf, n);
	return err;
}

static int decompress(struct piece *p, bz_stream *bz)
{
	struct rle r = RLE_INIT;
	char buf[SOME];
	int state, err = piece_hash_begin(p);

	if (err)
		return err;
	do {
		bz->next_out = buf;
		bz->avail_out = sizeof(buf);
		state = BZ2_bzDecompress(bz);
		if (state != BZ_OK && state != BZ_STREAM_END)
			return bz_error(state);
		err = take(p, &r, buf, sizeof(buf) - bz->avail_out);
		if (err)
			return err;
	} while (state == BZ_OK && (bz->avail_in || !bz->avail_out));
	if (state != BZ_STREAM_END || bz->avail_in)
		return -EIO;
	err = fsp_buf_reserve(&p->out, RLE_ROOM(1));
	if (err)
		return err;
	rle_end(&r, &p->out);   /* of a content that is plain, nothing */
	return piece_hash_end(p);
}

static int unpack_randomised(struct piece *p)
{
	struct bits s = { 0 };
	bz_stream bz = { 0 };
	int err = wrap(p, &s), state;

	if (!err) {
		state = BZ2_bzDecompressInit(&bz, 0, 0);
		err = state == BZ_OK ? 0 : bz_error(state);
	}
	if (!err) {
		bz.next_in = s.whole.data;
		bz.avail_in = (unsigned)s.whole.len;
		err = decompress(p, &bz);
		BZ2_bzDecompressEnd(&bz);
	}
	fsp_buf_free(&s.whole);
	return err;
}

/* More content to the digest and the sum. */
static int check_more(struct piece *p, uint32_t *crc, const void *buf, size_t n)
{
	if (n > p->limit - p->size)
		return -EIO;
	p->size += n;
	*crc = bzip2_crc(*crc, buf, n);
	return piece_hash(p, buf, n);
}

/* The rest of a content that is kept in the coded form. */
static int check_coded(struct piece *p, struct rle_reader *r, uint32_t *crc,
                       const struct fsp_buf *coded)
{
	char buf[SOME];
	size_t n;
	int err = 0;

	while (!err && (n = rle_read(r, coded, buf, sizeof(buf))))
		err = check_more(p, crc, buf, n);
	return err;
}

/* The content: its digest, and in out, in the coded form if it is large. */
static int take_coded(struct piece *p, struct fsp_buf *coded)
{
	struct rle_reader r = RLE_READER_INIT;
	uint32_t crc = UINT32_MAX;
	int err = fsp_buf_reserve(&p->out, coded->len < PLAIN_MAX ?
	                          2 * coded->len : PLAIN_MAX);

	if (!err)
		err = piece_hash_begin(p);
	if (err)
		return err;
	p->out.len = rle_read(&r, coded, p->out.data,
	                      p->out.cap <= PLAIN_MAX ? p->out.cap - 1 :
	                                                PLAIN_MAX);
	err = check_more(p, &crc, p->out.data, p->out.len);
	if (!err && (r.pos < coded->len || r.repeat)) {
		err = check_coded(p, &r, &crc, coded);
		p->coded = true;
		fsp_buf_free(&p->out);
		p->out = *coded;
		*coded = (struct fsp_buf)FSP_BUF_INIT;
	}
	if (!err)
		err = piece_hash_end(p);
	return !err && ~crc != p->crc ? -EIO : err;
}

/* In the coded form: four equal bytes have become five at the most. */
static size_t most_coded(const struct piece *p)
{
	size_t level = (size_t)p->level * UNBZIP2_LEVEL;
	size_t most = p->limit < level ? p->limit + p->limit / 4 : level;

	return most < level ? most : level;
}

int unpack_bzip2(struct piece *p)
{
	struct unbzip2_in in = {
		(const uint8_t *)p->in.data, p->in.len,
		(unsigned)(p->start % 8), p->bits, most_coded(p)
	};
	struct fsp_buf coded = FSP_BUF_INIT;
	int err = unbzip2(&in, &coded, &p->crc);

	if (!err)
		err = take_coded(p, &coded);
	fsp_buf_free(&coded);
	return err == -EOPNOTSUPP ? unpack_randomised(p) : err;
}
