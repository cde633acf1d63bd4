/* TIMEOUT 600 */
/* TAKES 36 */
/*
 * Objects of many blocks: the stream that bzip2 writes however many threads
 * there are, the index, blocks by themselves, and bytes that mean harm.
 */
#include "codec_fixture.h"

#include <bzlib.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <unistd.h>
#include <zstd.h>

#include "fsp_blocks.h"
#include "fsp_cleanup.h"
#include "fsp_file.h"
#include "fsp_pool.h"

#include "../../src/codec/sha256_lanes.h"

#define ALL_FORMATS FSP_FORMATS
#define LEVEL1_MAX (100000 - 19)        /* coded bytes of a block */

static const unsigned workers[] = { 0, 1, 4 };
#define N_WORKERS (sizeof(workers) / sizeof(*workers))

/* Encodes at a level, and gives the index. */
static void encode_at(enum fsp_format f, int level, const char *p, size_t size,
                      struct fsp_buf *out, struct fsp_blocks *blocks)
{
	struct fsp_keys k = php_keys();
	struct fsp_encoder *e;
	uint64_t stored = 0;

	fsp_buf_reset(out);
	assert_int_equal(fsp_encoder_new(f, &k, level, buf_sink, out, &e), 0);
	assert_int_equal(fsp_encoder_blocks(e, blocks), -EINVAL);
	for (size_t off = 0, n; off < size; off += n) {
		n = 1 + rng() % 300000;
		if (n > size - off)
			n = size - off;
		assert_int_equal(fsp_encoder_write(e, p + off, n), 0);
	}
	assert_int_equal(fsp_encoder_finish(e, &stored), 0);
	assert_int_equal(stored, out->len);
	assert_int_equal(fsp_encoder_blocks(e, blocks), 0);
	fsp_encoder_free(e);
}

/* Decodes; what is handed out never exceeds max. The index where it is good. */
static int decode_index(enum fsp_format f, const struct fsp_buf *obj,
                        size_t step, uint64_t max, struct fsp_buf *out,
                        struct fsp_digests *dig, struct fsp_blocks *blocks)
{
	struct fsp_keys k = php_keys();
	struct fsp_decoder *d;
	int rc = 0;

	*blocks = (struct fsp_blocks){ 0 };
	fsp_buf_reset(out);
	assert_int_equal(fsp_decoder_new(f, &k, max, buf_sink, out, &d), 0);
	for (size_t off = 0, n; !rc && off < obj->len; off += n) {
		n = step ? step : 1 + rng() % 100000;
		if (n > obj->len - off)
			n = obj->len - off;
		rc = fsp_decoder_write(d, obj->data + off, n);
	}
	if (!rc)
		rc = fsp_decoder_finish(d, dig);
	assert_true(out->len <= max);
	if (!rc)
		rc = fsp_decoder_blocks(d, blocks);
	else
		assert_int_equal(fsp_decoder_blocks(d, blocks), -EINVAL);
	fsp_decoder_free(d);
	return rc;
}

static void same_index(const struct fsp_blocks *a, const struct fsp_blocks *b)
{
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->end_bit, b->end_bit);
	assert_int_equal(a->n, b->n);
	for (size_t i = 0; i < a->n; i++) {
		assert_int_equal(a->block[i].off, b->block[i].off);
		assert_int_equal(a->block[i].bit, b->block[i].bit);
		assert_memory_equal(a->block[i].digest, b->block[i].digest,
		                    FSP_BLOCK_DIGEST);
	}
}

/* What bzip2 makes of the content: it learns of the end when all is written. */
static void bzip2_writes(const char *p, size_t size, int level,
                         struct fsp_buf *out)
{
	bz_stream bz = { 0 };

	fsp_buf_reset(out);
	assert_int_equal(fsp_buf_reserve(out, size + size / 100 + 600), 0);
	assert_int_equal(BZ2_bzCompressInit(&bz, level, 0, 0), BZ_OK);
	bz.next_in = (char *)(uintptr_t)p;
	bz.avail_in = (unsigned)size;
	bz.next_out = out->data;
	bz.avail_out = (unsigned)(size + size / 100 + 600);
	while (bz.avail_in)
		assert_int_equal(BZ2_bzCompress(&bz, BZ_RUN), BZ_RUN_OK);
	assert_int_equal(BZ2_bzCompress(&bz, BZ_FINISH), BZ_STREAM_END);
	out->len = bz.total_out_lo32;
	BZ2_bzCompressEnd(&bz);
}

/* The same bytes as bzip2's, with any number of threads; and back. */
static void check_bzip2(const char *p, size_t size, int level)
{
	FSP_BUF struct fsp_buf want = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf back = FSP_BUF_INIT;
	struct fsp_blocks made, seen;
	struct fsp_digests dig;

	bzip2_writes(p, size, level, &want);
	for (size_t w = 0; w < N_WORKERS; w++) {
		fsp_pool_set_workers(workers[w]);
		encode_at(FSP_FMT_PLAIN, level, p, size, &obj, &made);
		assert_int_equal(obj.len, want.len);
		assert_memory_equal(obj.data, want.data, want.len);
		assert_int_equal(decode_index(FSP_FMT_PLAIN, &obj, 0, size,
		                              &back, &dig, &seen),
		                 0);
		assert_int_equal(back.len, size);
		assert_true(!size || !memcmp(back.data, p, size));
		same_index(&made, &seen);
		fsp_blocks_free(&made);
		fsp_blocks_free(&seen);
	}
}

static void test_is_what_bzip2_writes(void **state)
{
	static const size_t sizes[] = { 0, 1, 2, 899981, 1800000 };

	(void)state;
	rng_state = SEED + 20;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		FSP_FREE char *p = make_content(sizes[i]);

		check_bzip2(p, sizes[i], 9);
	}
	for (size_t n = LEVEL1_MAX - 2; n <= LEVEL1_MAX + 2; n++) {
		FSP_FREE char *p = make_content(2 * n);

		check_bzip2(p, n, 1);
		check_bzip2(p, 2 * n, 1);
	}
}

/* Runs of every length that ends, begins or passes where a block is full. */
static void test_runs_at_the_edge(void **state)
{
	static const size_t runs[] = { 1, 3, 4, 5, 255, 256, 259, 511 };
	FSP_FREE char *p = malloc(300000);

	(void)state;
	assert_non_null(p);
	rng_state = SEED + 21;
	for (size_t r = 0; r < sizeof(runs) / sizeof(*runs); r++) {
		for (size_t before = 0; before < 7; before++) {
			size_t at = LEVEL1_MAX - before;

			/* No two neighbours are equal but in the run. */
			for (size_t i = 0; i < 110000; i++)
				p[i] = (char)(i % 2 + 2 * (rng() % 50));
			memset(p + at, 'z', runs[r]);
			check_bzip2(p, 110000, 1);
		}
	}
}

/* Of runs alone, a block of 100,000 bytes stands for 5 MB. */
static void test_long_runs(void **state)
{
	size_t size = 6000000;
	FSP_FREE char *p = malloc(size);

	(void)state;
	assert_non_null(p);
	rng_state = SEED + 22;
	memset(p, 0, size);
	check_bzip2(p, size, 1);
	for (size_t i = 0, n; i < size; i += n) {
		n = 1 + rng() % 1000;
		if (n > size - i)
			n = size - i;
		memset(p + i, (int)rng(), n);
	}
	check_bzip2(p, size, 1);
}

/* The digests of a block are those of its content, in every format. */
static void check_index(const struct fsp_blocks *b, const char *p, size_t size)
{
	unsigned char md[EVP_MAX_MD_SIZE];

	assert_int_equal(b->size, size);
	assert_int_equal(!b->n, !size);
	for (size_t i = 0; i < b->n; i++) {
		uint64_t off = b->block[i].off, len = fsp_blocks_len(b, i);

		assert_true(len > 0);
		assert_true(EVP_Digest(p + off, len, md, NULL, EVP_sha256(),
		                       NULL));
		assert_memory_equal(b->block[i].digest, md, FSP_BLOCK_DIGEST);
		assert_int_equal(fsp_blocks_find(b, off), i);
		assert_int_equal(fsp_blocks_find(b, off + len - 1), i);
	}
}

static int decode_blocks(const struct fsp_blocks *b, enum fsp_format f,
                         const struct fsp_buf *obj, size_t first, size_t n,
                         struct fsp_buf *out)
{
	struct fsp_keys k = php_keys();
	uint64_t off, len;

	fsp_buf_reset(out);
	fsp_blocks_range(b, f, first, n, &off, &len);
	assert_true(off + len <= obj->len);
	return fsp_blocks_decode(b, f, &k, first, n, obj->data + off, len,
	                         buf_sink, out);
}

/* Any blocks of an object give the content that is theirs. */
static void check_ranges(const struct fsp_blocks *b, enum fsp_format f,
                         const struct fsp_buf *obj, const char *p)
{
	FSP_BUF struct fsp_buf out = FSP_BUF_INIT;

	for (size_t first = 0; first < b->n; first++) {
		size_t n = 1 + rng() % (b->n - first);
		uint64_t off = b->block[first].off, size = 0;

		for (size_t i = 0; i < n; i++)
			size += fsp_blocks_len(b, first + i);
		assert_int_equal(decode_blocks(b, f, obj, first, n, &out), 0);
		assert_int_equal(out.len, size);
		assert_memory_equal(out.data, p + off, size);
		assert_int_equal(decode_blocks(b, f, obj, first, 1, &out), 0);
		assert_int_equal(out.len, fsp_blocks_len(b, first));
		assert_memory_equal(out.data, p + off, out.len);
	}
	assert_int_equal(decode_blocks(b, f, obj, 0, 0, &out), 0);
	assert_int_equal(out.len, 0);
}

static void check_packed(const struct fsp_blocks *b)
{
	FSP_BUF struct fsp_buf bytes = FSP_BUF_INIT;
	struct fsp_blocks back;

	assert_int_equal(fsp_blocks_pack(b, &bytes), 0);
	assert_true(bytes.len <= 8 + 23 * b->n);
	assert_int_equal(fsp_blocks_unpack(bytes.data, bytes.len, b->size,
	                                   &back), 0);
	same_index(b, &back);
	fsp_blocks_free(&back);
}

static void test_index_in_all_formats(void **state)
{
	static const size_t sizes[] = { 0, 1, 126975, 126976, 126977, 253952,
		                        253953, 700000 };

	(void)state;
	rng_state = SEED + 23;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		FSP_FREE char *p = make_content(sizes[i]);

		for (int n = 0; n < ALL_FORMATS; n++) {
			enum fsp_format f = (enum fsp_format)n;
			FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
			FSP_BUF struct fsp_buf back = FSP_BUF_INIT;
			struct fsp_blocks made, seen;
			struct fsp_digests dig;

			fsp_pool_set_workers(workers[(i + (size_t)n) % N_WORKERS]);
			encode_at(f, 1, p, sizes[i], &obj, &made);
			assert_int_equal(decode_index(f, &obj, 0, sizes[i],
			                              &back, &dig, &seen), 0);
			assert_int_equal(back.len, sizes[i]);
			assert_true(!sizes[i] ||
			            !memcmp(back.data, p, sizes[i]));
			same_index(&made, &seen);
			check_index(&made, p, sizes[i]);
			check_packed(&made);
			check_ranges(&made, f, &obj, p);
			fsp_blocks_free(&made);
			fsp_blocks_free(&seen);
		}
	}
}

/* The low bits of rng() come again soon enough for zstd to see it. */
static char noise(void)
{
	return (char)(rng() >> 12);
}

/* What a few KB need, wherever they begin and whatever lies between two blocks. */
static void check_little(const struct fsp_blocks *b, enum fsp_format f,
                         const struct fsp_buf *obj, uint64_t max)
{
	for (uint64_t off = 0; off + 8192 <= b->size; off += 1021) {
		size_t first = fsp_blocks_find(b, off);
		size_t last = fsp_blocks_find(b, off + 8191);
		uint64_t at, len;

		fsp_blocks_range(b, f, first, last - first + 1, &at, &len);
		assert_true(len <= max);
		assert_true(at + len <= obj->len);
	}
}

/*
 * A read of 4 KiB, which the kernel makes two pages of where it is not aligned,
 * needs no more of the store than is promised. Of noise, of what zstd makes
 * somewhat more and somewhat less than half of, and of text.
 */
static void test_a_page_needs_little(void **state)
{
	static const unsigned in_16[] = { 16, 9, 7, 1 };        /* noise */
	size_t size = 1500000;
	FSP_FREE char *p = malloc(size);

	(void)state;
	assert_non_null(p);
	rng_state = SEED + 24;
	for (int n = 0; n < 4 * ALL_FORMATS; n++) {
		enum fsp_format f = (enum fsp_format)(n % ALL_FORMATS);
		bool bzip2 = f <= FSP_FMT_PLAIN;
		FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
		FSP_BUF struct fsp_buf back = FSP_BUF_INIT;
		struct fsp_blocks b, seen;
		struct fsp_digests dig;

		if (bzip2 && n >= ALL_FORMATS)
			continue;       /* noise is the most that there is */
		for (size_t i = 0; i < size; i++)
			p[i] = i / 64 % 16 < in_16[n / ALL_FORMATS] ?
				noise() : 'a';
		encode_at(f, bzip2 ? 9 : 3, p, size, &obj, &b);
		assert_true(n >= ALL_FORMATS || obj.len >= size);
		check_little(&b, f, &obj, bzip2 ? 2000000 : 256000);
		assert_int_equal(decode_index(f, &obj, 0, size, &back, &dig,
		                              &seen), 0);
		assert_memory_equal(back.data, p, size);
		same_index(&b, &seen);
		fsp_blocks_free(&b);
		fsp_blocks_free(&seen);
	}
}

/*
 * Frames that zstd makes less than half of are not cut smaller. The first is so
 * short that the second begins in the second block of the cipher.
 */
static void test_frames_of_text(void **state)
{
	FSP_FREE char *p = calloc(1, 3 * 253952);
	FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
	struct fsp_blocks b;

	(void)state;
	assert_non_null(p);
	rng_state = SEED + 33;
	/* The one in the middle is noise. */
	for (size_t i = 253952; i < 2 * 253952; i++)
		p[i] = noise();
	encode_at(FSP_FMT_ZSTD, 1, p, 3 * 253952, &obj, &b);
	assert_int_equal(b.n, 4);
	assert_int_equal(b.block[1].off, 253952);
	assert_int_equal(b.block[2].off, 253952 + 126976);
	assert_int_equal(b.block[3].off, 2 * 253952);
	check_ranges(&b, FSP_FMT_ZSTD, &obj, p);
	fsp_blocks_free(&b);
}

/* An index of pieces of n bytes, as those who made them had it. */
static void add_block(struct fsp_blocks *b, uint64_t off, uint64_t bit,
                      const char *p, size_t len)
{
	unsigned char md[EVP_MAX_MD_SIZE];

	b->block[b->n].off = off;
	b->block[b->n].bit = bit;
	assert_true(EVP_Digest(p, len, md, NULL, EVP_sha256(), NULL));
	memcpy(b->block[b->n++].digest, md, FSP_BLOCK_DIGEST);
}

/* Objects of before: frames of 256 KiB, and blocks of 128 KiB. */
static void test_larger_pieces(void **state)
{
	static const size_t each[] = { 262144, 131072 };
	size_t size = 900000;
	FSP_FREE char *p = make_content(size);

	(void)state;
	for (int n = 0; n < 2; n++) {
		enum fsp_format f = n ? FSP_FMT_STORED_PLAIN :
			FSP_FMT_ZSTD_PLAIN;
		FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
		FSP_BUF struct fsp_buf back = FSP_BUF_INIT;
		struct fsp_block block[8];
		struct fsp_blocks b = { .size = size, .block = block }, seen;
		struct fsp_digests dig;

		assert_int_equal(fsp_buf_reserve(&obj, 2 * size), 0);
		for (size_t off = 0; off < size; off += each[n]) {
			size_t len = size - off < each[n] ? size - off : each[n];

			add_block(&b, off, obj.len * 8, p + off, len);
			if (n)
				memcpy(obj.data + obj.len, p + off, len);
			obj.len += n ? len :
				ZSTD_compress(obj.data + obj.len, 2 * size -
				              obj.len, p + off, len, 3);
		}
		b.end_bit = obj.len * 8;
		check_ranges(&b, f, &obj, p);
		assert_int_equal(decode_index(f, &obj, 0, size, &back, &dig,
		                              &seen), 0);
		assert_memory_equal(back.data, p, size);
		fsp_blocks_free(&seen);
	}
}

static void test_damaged_blocks(void **state)
{
	size_t size = 300000;
	FSP_FREE char *p = NULL;
	FSP_BUF struct fsp_buf out = FSP_BUF_INIT;

	(void)state;
	rng_state = SEED + 25;
	p = make_content(size);
	for (int f = 0; f < ALL_FORMATS; f++) {
		FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
		struct fsp_keys k = php_keys();
		struct fsp_blocks b;
		uint64_t off, len;
		int failed = 0;

		encode_at((enum fsp_format)f, 1, p, size, &obj, &b);
		for (int i = 0; i < 40; i++) {
			size_t n = rng() % b.n, at;
			int rc;

			fsp_blocks_range(&b, (enum fsp_format)f, n, 1, &off,
			                 &len);
			at = off + rng() % len;
			obj.data[at] ^= 0x10;
			rc = decode_blocks(&b, (enum fsp_format)f, &obj, n, 1,
			                   &out);
			/* A bit beside the block says nothing. */
			assert_true(rc == -EIO ||
			            (!rc && out.len == fsp_blocks_len(&b, n)));
			failed += rc == -EIO;
			obj.data[at] ^= 0x10;
			/* Too much, too little, another's. */
			assert_int_equal(fsp_blocks_decode(
				&b, (enum fsp_format)f, &k, n, 1, obj.data,
				len - 1, buf_sink, &out), -EIO);
			at = rng() % FSP_BLOCK_DIGEST;
			b.block[n].digest[at] ^= 1;
			assert_int_equal(decode_blocks(&b, (enum fsp_format)f,
			                               &obj, n, 1, &out),
			                 -EIO);
			assert_int_equal(decode_blocks(&b, (enum fsp_format)f,
			                               &obj, 0, b.n, &out),
			                 -EIO);
			assert_int_equal(out.len, b.block[n].off);
			b.block[n].digest[at] ^= 1;
		}
		assert_true(failed > 35);
		assert_int_equal(fsp_blocks_decode(&b, (enum fsp_format)f, &k,
		                                   b.n, 1, NULL, 0, buf_sink,
		                                   &out), -EINVAL);
		fsp_blocks_free(&b);
	}
}

/* An index comes from a row, which may hold anything. */
static void test_hostile_index(void **state)
{
	FSP_FREE char *p = NULL;
	FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf bytes = FSP_BUF_INIT;
	struct fsp_blocks b, got;
	size_t size = 400000;

	(void)state;
	rng_state = SEED + 26;
	p = make_content(size);
	encode_at(FSP_FMT_LEGACY, 1, p, size, &obj, &b);
	assert_int_equal(fsp_blocks_pack(&b, &bytes), 0);
	for (size_t n = 0; n < bytes.len; n++)
		assert_int_equal(fsp_blocks_unpack(bytes.data, n, size, &got),
		                 -EIO);
	assert_int_equal(fsp_blocks_unpack(bytes.data, bytes.len,
	                                   b.block[b.n - 1].off, &got), -EIO);
	assert_int_equal(fsp_blocks_unpack(bytes.data, bytes.len, 0, &got),
	                 -EIO);
	assert_int_equal(fsp_blocks_unpack("\1\0", 2, 0, &got), 0);
	assert_int_equal(got.n, 0);
	assert_int_equal(fsp_blocks_unpack("\1\0", 2, 1, &got), -EIO);
	assert_int_equal(fsp_blocks_unpack("\2\0", 2, 0, &got), -EIO);
	assert_int_equal(fsp_blocks_unpack("\1\x80\0", 3, 0, &got), -EIO);
	for (int i = 0; i < 20000; i++) {
		FSP_BUF struct fsp_buf again = FSP_BUF_INIT;
		size_t at = rng() % bytes.len;
		char was = bytes.data[at];
		int rc;

		bytes.data[at] = (char)rng();
		rc = fsp_blocks_unpack(bytes.data, bytes.len, size, &got);
		assert_true(!rc || rc == -EIO);
		if (!rc) {
			/* An index there is but one form of. */
			assert_int_equal(fsp_blocks_pack(&got, &again), 0);
			assert_int_equal(again.len, bytes.len);
			assert_memory_equal(again.data, bytes.data, again.len);
			for (size_t k = 0; k < got.n; k++)
				assert_true(got.block[k].off < size &&
				            fsp_blocks_len(&got, k) <= size);
			fsp_blocks_free(&got);
		}
		bytes.data[at] = was;
	}
	assert_int_equal(fsp_buf_addc(&bytes, 0), 0);
	assert_int_equal(fsp_blocks_unpack(bytes.data, bytes.len, size, &got),
	                 -EIO);
	fsp_blocks_free(&b);
}

/* How often 48 bits stand anywhere in the bytes. */
static int count_bits(const struct fsp_buf *b, uint64_t bits)
{
	uint64_t w = 0;
	int n = 0;

	for (size_t i = 0; i < b->len; i++) {
		for (int k = 7; k >= 0; k--) {
			w = (w << 1 | ((unsigned char)b->data[i] >> k & 1)) &
			    0xffffffffffffull;
			n += w == bits && i >= 6;
		}
	}
	return n;
}

/*
 * A block tells in 16 times 16 bits which bytes there are in it. So these
 * contents have marks in the middle of every block: the bytes for which the
 * mark has a bit. Five marks need 240 of the 256.
 */
static char *marked_content(size_t size, const uint64_t *mark, int n_marks)
{
	unsigned char bytes[256];
	char *p = malloc(size);
	unsigned n = 0;

	assert_non_null(p);
	for (int m = 0; m < n_marks; m++)
		for (int i = 0; i < 48; i++)
			if (mark[m] >> (47 - i) & 1)
				bytes[n++] = (unsigned char)(m * 48 + i);
	/* No runs, whose lengths are bytes of the block, too. */
	for (size_t i = 0, k = 0; i < size; i++) {
		k = (k + 1 + rng() % (n - 1)) % n;
		p[i] = (char)bytes[k];
	}
	/* All of them in every block. */
	for (size_t i = 0; i + n < size; i += 5000)
		memcpy(p + i, bytes, n);
	return p;
}

static void check_marked(const uint64_t *mark, int n_marks, size_t size)
{
	FSP_FREE char *p = marked_content(size, mark, n_marks);
	FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf back = FSP_BUF_INIT;
	struct fsp_blocks made, seen;
	struct fsp_digests dig;
	static const size_t steps[] = { 0, 1000, 1 << 20 };

	encode_at(FSP_FMT_PLAIN, 1, p, size, &obj, &made);
	assert_true(count_bits(&obj, 0x314159265359) +
	            count_bits(&obj, 0x177245385090) >=
	            (int)(made.n > 1 ? made.n - 1 : 1) * (1 + n_marks) + 1);
	for (size_t i = 0; i < 3 * N_WORKERS; i++) {
		fsp_pool_set_workers(workers[i / 3]);
		assert_int_equal(decode_index(FSP_FMT_PLAIN, &obj, steps[i % 3],
		                              size, &back, &dig, &seen), 0);
		assert_int_equal(back.len, size);
		assert_memory_equal(back.data, p, size);
		same_index(&made, &seen);
		fsp_blocks_free(&seen);
		/* One byte too many, or less than there is. */
		assert_int_equal(decode_index(FSP_FMT_PLAIN, &obj, steps[i % 3],
		                              size - 1, &back, &dig, &seen),
		                 -EIO);
	}
	check_ranges(&made, FSP_FMT_PLAIN, &obj, p);
	for (int i = 0; i < 10; i++) {
		FSP_BUF struct fsp_buf part = FSP_BUF_INIT;

		assert_int_equal(fsp_buf_add(&part, obj.data,
		                             rng() % obj.len), 0);
		assert_int_equal(decode_index(FSP_FMT_PLAIN, &part, 0, size,
		                              &back, &dig, &seen), -EIO);
	}
	assert_int_equal(fsp_buf_addc(&obj, 0), 0);
	assert_int_equal(decode_index(FSP_FMT_PLAIN, &obj, 0, size, &back, &dig,
	                              &seen), -EIO);
	fsp_blocks_free(&made);
}

static void test_marks_that_are_none(void **state)
{
	static const uint64_t block[] = { 0x314159265359 };
	static const uint64_t end[] = { 0x177245385090 };
	static const uint64_t many[] = { 0x314159265359, 0x177245385090,
		                         0x314159265359, 0x314159265359,
		                         0x177245385090 };

	(void)state;
	rng_state = SEED + 27;
	check_marked(block, 1, 50000);
	check_marked(block, 1, 450000);
	check_marked(end, 1, 50000);
	check_marked(end, 1, 450000);
	check_marked(many, 5, 50000);
	check_marked(many, 5, 450000);
}

/* Marks and nothing else: much to look at, all in vain, and soon over. */
static void test_only_marks(void **state)
{
	static const char marks[2][7] = { "1AY&SY", "\x17rE8P\x90" };
	FSP_BUF struct fsp_buf back = FSP_BUF_INIT;
	struct fsp_digests dig;
	struct fsp_blocks seen;

	(void)state;
	for (int kind = 0; kind < 3; kind++) {
		FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;

		assert_int_equal(fsp_buf_adds(&obj, "BZh9"), 0);
		for (int i = 0; i < 20000; i++)
			assert_int_equal(fsp_buf_add(
				&obj, marks[kind == 2 ? i % 2 : kind], 6), 0);
		assert_int_equal(decode_index(FSP_FMT_PLAIN, &obj, 0, 1 << 30,
		                              &back, &dig, &seen), -EIO);
		assert_int_equal(back.len, 0);
	}
}

/* Blocks as small as other encoders may make them. */
static void flushed(const char *p, size_t size, size_t every,
                    struct fsp_buf *out)
{
	bz_stream bz = { 0 };
	int state;

	fsp_buf_reset(out);
	assert_int_equal(fsp_buf_reserve(out, size * 50 + 1000), 0);
	assert_int_equal(BZ2_bzCompressInit(&bz, 9, 0, 0), BZ_OK);
	bz.next_out = out->data;
	bz.avail_out = (unsigned)(size * 50 + 1000);
	for (size_t off = 0; off < size; off += every) {
		bz.next_in = (char *)(uintptr_t)(p + off);
		bz.avail_in = (unsigned)(every < size - off ? every : size - off);
		do
			state = BZ2_bzCompress(&bz, BZ_FLUSH);
		while (state == BZ_FLUSH_OK);
		assert_int_equal(state, BZ_RUN_OK);
	}
	assert_int_equal(BZ2_bzCompress(&bz, BZ_FINISH), BZ_STREAM_END);
	out->len = bz.total_out_lo32;
	BZ2_bzCompressEnd(&bz);
}

static void test_small_blocks(void **state)
{
	FSP_FREE char *p = NULL;
	FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf back = FSP_BUF_INIT;
	struct fsp_blocks seen;
	struct fsp_digests dig;

	(void)state;
	rng_state = SEED + 28;
	p = make_content(20000);
	flushed(p, 20000, 777, &obj);
	for (size_t w = 0; w < N_WORKERS; w++) {
		fsp_pool_set_workers(workers[w]);
		assert_int_equal(decode_index(FSP_FMT_PLAIN, &obj, 0, 20000,
		                              &back, &dig, &seen), 0);
		assert_int_equal(back.len, 20000);
		assert_memory_equal(back.data, p, 20000);
		assert_int_equal(seen.n, 20000 / 777 + 1);
		check_index(&seen, p, 20000);
		check_ranges(&seen, FSP_FMT_PLAIN, &obj, p);
		fsp_blocks_free(&seen);
	}
	/* Too small for an index; the content comes all the same. */
	flushed(p, 2000, 10, &obj);
	assert_int_equal(decode_index(FSP_FMT_PLAIN, &obj, 0, 2000, &back, &dig,
	                              &seen), -E2BIG);
	assert_int_equal(back.len, 2000);
	assert_memory_equal(back.data, p, 2000);
}

/* Many blocks, one bit wrong or the end missing: nothing but what is right. */
static void test_damage_in_many_blocks(void **state)
{
	size_t size = 350000;
	FSP_FREE char *p = NULL;
	FSP_BUF struct fsp_buf back = FSP_BUF_INIT;
	struct fsp_blocks b;
	struct fsp_digests dig, good;

	(void)state;
	rng_state = SEED + 29;
	p = make_content(size);
	for (int f = 0; f < ALL_FORMATS; f++) {
		FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
		int failed = 0;

		encode_at((enum fsp_format)f, 1, p, size, &obj, &b);
		fsp_blocks_free(&b);
		assert_int_equal(decode_index((enum fsp_format)f, &obj, 0, size,
		                              &back, &good, &b), 0);
		fsp_blocks_free(&b);
		for (int i = 0; i < 30; i++) {
			size_t at = rng() % obj.len;
			int bit = 1 << rng() % 8, rc;

			fsp_pool_set_workers(workers[i % 3]);
			obj.data[at] ^= (char)bit;
			rc = decode_index((enum fsp_format)f, &obj, 0, size,
			                  &back, &dig, &b);
			if (!rc)
				rc = fsp_digests_match(&dig, good.sha256, size);
			failed += rc == -EIO;
			assert_true(!rc || rc == -EIO);
			fsp_blocks_free(&b);
			obj.data[at] ^= (char)bit;
		}
		assert_true(failed > 27);
		for (int i = 0; i < 8; i++) {
			FSP_BUF struct fsp_buf part = FSP_BUF_INIT;
			int rc;

			assert_int_equal(fsp_buf_add(&part, obj.data,
			                             rng() % obj.len), 0);
			rc = decode_index((enum fsp_format)f, &part, 0, size,
			                  &back, &dig, &b);
			/* What is stored as it is ends anywhere. */
			if (!rc && f >= FSP_FMT_STORED)
				rc = fsp_digests_match(&dig, good.sha256, size);
			assert_int_equal(rc, -EIO);
			fsp_blocks_free(&b);
		}
		assert_int_equal(decode_index((enum fsp_format)f, &obj, 0,
		                              size - 1, &back, &dig, &b), -EIO);
		assert_int_equal(decode_index((enum fsp_format)f, &obj, 0, 1000,
		                              &back, &dig, &b), -EIO);
	}
}

static int decode_zstd(const struct fsp_buf *obj, uint64_t max)
{
	FSP_BUF struct fsp_buf back = FSP_BUF_INIT;
	struct fsp_digests dig;
	struct fsp_blocks b;
	int rc = decode_index(FSP_FMT_ZSTD_PLAIN, obj, 0, max, &back, &dig, &b);

	fsp_blocks_free(&b);
	return rc;
}

/* Frames that zstd would read and that are not ours. */
static void test_zstd_strangers(void **state)
{
	static const char skippable[] = "\x50\x2a\x4d\x18\x04\0\0\0skip";
	FSP_FREE char *zeros = calloc(1, 300000);
	FSP_BUF struct fsp_buf one = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf empty = FSP_BUF_INIT;
	struct fsp_blocks b;
	ZSTD_CCtx *c = ZSTD_createCCtx();
	size_t n;

	(void)state;
	encode_at(FSP_FMT_ZSTD_PLAIN, 3, "one", 3, &one, &b);
	fsp_blocks_free(&b);
	encode_at(FSP_FMT_ZSTD_PLAIN, 3, "", 0, &empty, &b);
	assert_int_equal(decode_zstd(&one, 3), 0);
	assert_int_equal(decode_zstd(&empty, 0), 0);
	/* No frame at all. */
	assert_int_equal(decode_zstd(&obj, 100), -EIO);
	/* Two are content; an empty one is so only alone. */
	assert_int_equal(fsp_buf_add(&obj, one.data, one.len), 0);
	assert_int_equal(fsp_buf_add(&obj, one.data, one.len), 0);
	assert_int_equal(decode_zstd(&obj, 6), 0);
	assert_int_equal(decode_zstd(&obj, 5), -EIO);
	assert_int_equal(fsp_buf_add(&obj, empty.data, empty.len), 0);
	assert_int_equal(decode_zstd(&obj, 6), -EIO);
	assert_int_equal(fsp_buf_add(&empty, one.data, one.len), 0);
	assert_int_equal(decode_zstd(&empty, 6), -EIO);
	/* Something that a decoder passes over. */
	assert_int_equal(fsp_buf_add(&one, skippable, 12), 0);
	assert_int_equal(decode_zstd(&one, 6), -EIO);
	/* Larger than a frame of ours; and one that does not say. */
	assert_int_equal(fsp_buf_reserve(&obj, 300000), 0);
	obj.len = ZSTD_compress2(c, obj.data, 300000, zeros, 300000);
	assert_false(ZSTD_isError(obj.len));
	assert_int_equal(decode_zstd(&obj, 300000), -EIO);
	ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0);
	n = ZSTD_compress2(c, obj.data, 300000, zeros, 1000);
	assert_false(ZSTD_isError(n));
	obj.len = n;
	assert_int_equal(decode_zstd(&obj, 1000), -EIO);
	ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 1);
	obj.len = ZSTD_compress2(c, obj.data, 300000, zeros, 1000);
	assert_int_equal(decode_zstd(&obj, 1000), 0);
	ZSTD_freeCCtx(c);
}

/* Others' programs read what was compressed on many threads. */
static void test_stock_tools(void **state)
{
	static const struct {
		const char *needs, *command;
		enum fsp_format format;
	} tools[] = {
		{ "bunzip2", "bunzip2 <%s", FSP_FMT_PLAIN },
		{ "zstd", "zstd -dc <%s", FSP_FMT_ZSTD_PLAIN },
		{ "zstd", "openssl enc -d -aes-256-cbc -K " PHP_KEY
		          " -iv " PHP_IV " -in %s | zstd -dc", FSP_FMT_ZSTD },
		{ "openssl", "openssl enc -d -aes-256-cbc -K " PHP_KEY
		             " -iv " PHP_IV " -in %s", FSP_FMT_STORED },
		{ "python3", "python3 -c 'import bz2, sys; sys.stdout.buffer."
		             "write(bz2.decompress(sys.stdin.buffer.read()))'"
		             " <%s", FSP_FMT_PLAIN },
		{ "php", "php -r 'echo bzdecompress(file_get_contents("
		         "\"php://stdin\"));' <%s", FSP_FMT_PLAIN },
	};
	static const size_t sizes[] = { 0, 1, 2000000 };
	int ran = 0;

	(void)state;
	rng_state = SEED + 30;
	fsp_pool_set_workers(4);
	for (size_t i = 0; i < 3 * sizeof(tools) / sizeof(*tools); i++) {
		char path[] = "/tmp/fsp-codec-XXXXXX", cmd[512];
		size_t size = sizes[i % 3], n;
		FSP_FREE char *p = make_content(size);
		FSP_FREE char *got = malloc(size + 1);
		FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
		struct fsp_blocks b;
		FILE *pipe;
		int fd;

		(void)snprintf(cmd, sizeof(cmd), "command -v %s >/dev/null",
		               tools[i / 3].needs);
		if (system(cmd) || (!strcmp(tools[i / 3].needs, "php") &&
		                    system("php -m | grep -x bz2 >/dev/null"))) {
			print_message("no %s here\n", tools[i / 3].needs);
			continue;
		}
		ran++;
		encode_at(tools[i / 3].format, 9, p, size, &obj, &b);
		fsp_blocks_free(&b);
		fd = mkstemp(path);
		assert_true(fd >= 0);
		assert_int_equal(fsp_write_all(fd, obj.data, obj.len), 0);
		close(fd);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		(void)snprintf(cmd, sizeof(cmd), tools[i / 3].command, path);
#pragma GCC diagnostic pop
		pipe = popen(cmd, "r");
		assert_non_null(pipe);
		n = fread(got, 1, size + 1, pipe);
		assert_int_equal(pclose(pipe), 0);
		unlink(path);
		assert_int_equal(n, size);
		assert_true(!size || !memcmp(got, p, n));
	}
	if (!ran)
		skip();
}

/* The sink's error ends it, at whichever block, and leaves nothing behind. */
struct bad_sink {
	int calls, fail_at;
};

static int bad_sink(void *arg, const void *buf, size_t len)
{
	struct bad_sink *s = arg;

	(void)buf;
	(void)len;
	return ++s->calls >= s->fail_at ? -ENOSPC : 0;
}

static void test_sink_of_blocks_fails(void **state)
{
	size_t size = 500000;
	FSP_FREE char *p = NULL;
	FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
	struct fsp_keys k = php_keys();
	struct fsp_blocks b;
	uint64_t off, len;
	bool fired = true;

	(void)state;
	rng_state = SEED + 31;
	p = make_content(size);
	fsp_pool_set_workers(4);
	encode_at(FSP_FMT_IV, 1, p, size, &obj, &b);
	fsp_blocks_range(&b, FSP_FMT_IV, 0, b.n, &off, &len);
	for (int n = 1; fired; n++) {
		struct bad_sink s = { 0, n };
		int rc;

		rc = fsp_blocks_decode(&b, FSP_FMT_IV, &k, 0, b.n,
		                       obj.data + off, len, bad_sink, &s);
		fired = s.calls >= n;
		assert_int_equal(rc, fired ? -ENOSPC : 0);
	}
	fsp_blocks_free(&b);
}

/* Handles are given up in the middle, with work under way. */
static void test_given_up(void **state)
{
	size_t size = 900000;
	FSP_FREE char *p = NULL;
	struct fsp_keys k = php_keys();

	(void)state;
	rng_state = SEED + 32;
	p = make_content(size);
	fsp_pool_set_workers(4);
	for (int f = 0; f < ALL_FORMATS; f++) {
		FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
		FSP_BUF struct fsp_buf out = FSP_BUF_INIT;
		struct fsp_blocks b;
		struct fsp_encoder *e;
		struct fsp_decoder *d;

		assert_int_equal(fsp_encoder_new((enum fsp_format)f, &k, 1,
		                                 buf_sink, &out, &e), 0);
		assert_int_equal(fsp_encoder_write(e, p, size), 0);
		fsp_encoder_free(e);
		encode_at((enum fsp_format)f, 1, p, size, &obj, &b);
		fsp_blocks_free(&b);
		assert_int_equal(fsp_decoder_new((enum fsp_format)f, &k, size,
		                                 buf_sink, &out, &d), 0);
		assert_int_equal(fsp_decoder_write(d, obj.data, obj.len / 2),
		                 0);
		fsp_decoder_free(d);
	}
}

static int no_workers(void **state)
{
	(void)state;
	fsp_pool_set_workers(0);
	return 0;
}

/* Sixteen at once give what each gives alone. */
static void test_lanes(void **state)
{
	const size_t max = 64 * 40;
	FSP_FREE uint8_t *p = malloc(max * LANES);
	const uint8_t *in[LANES];
	uint8_t all[LANES][32], one[32];

	(void)state;
	if (!sha256_lanes_usable())
		skip();
	rng_state = SEED + 31;
	for (size_t i = 0; i < max * LANES; i++)
		p[i] = (uint8_t)rng();
	for (size_t len = 0; len <= max; len += 64) {
		for (int i = 0; i < LANES; i++)
			in[i] = p + rng() % (max * LANES - len + 1);
		in[3] = in[9];
		sha256_lanes(in, len, all);
		for (int i = 0; i < LANES; i++) {
			assert_int_equal(fsp_sha256(in[i], len, one), 0);
			assert_memory_equal(all[i], one, sizeof(one));
		}
	}
}

/* Whatever number of blocks, and whichever of them is not what it must be. */
static void test_many_at_once(void **state)
{
	static const enum fsp_format formats[] = {
		FSP_FMT_STORED, FSP_FMT_ZSTD_IV, FSP_FMT_STORED_PLAIN
	};
	size_t size = 38 * 126976 + 1000;
	FSP_FREE char *p = NULL;
	FSP_BUF struct fsp_buf out = FSP_BUF_INIT;

	(void)state;
	rng_state = SEED + 32;
	p = make_content(size);
	for (int f = 0; f < 3; f++) {
		FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
		struct fsp_blocks b;

		encode_at(formats[f], 1, p, size, &obj, &b);
		assert_true(b.n > LANES);
		fsp_pool_set_workers(2);
		check_ranges(&b, formats[f], &obj, p);
		fsp_blocks_hold(true);
		for (size_t i = 0; i < b.n; i++) {
			b.block[i].digest[i % FSP_BLOCK_DIGEST] ^= 4;
			assert_int_equal(decode_blocks(&b, formats[f], &obj, 0,
			                               b.n, &out), -EIO);
			/* Nothing of it, nor of what follows. */
			assert_true(out.len <= b.block[i].off);
			assert_memory_equal(out.data ? out.data : p, p,
			                    out.len);
			b.block[i].digest[i % FSP_BLOCK_DIGEST] ^= 4;
		}
		fsp_blocks_hold(false);
		fsp_blocks_free(&b);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, no_workers, no_workers)
	const struct CMUnitTest tests[] = {
		TEST(test_is_what_bzip2_writes),
		TEST(test_runs_at_the_edge),
		TEST(test_long_runs),
		TEST(test_index_in_all_formats),
		TEST(test_a_page_needs_little),
		TEST(test_frames_of_text),
		TEST(test_larger_pieces),
		TEST(test_damaged_blocks),
		TEST(test_hostile_index),
		TEST(test_marks_that_are_none),
		TEST(test_only_marks),
		TEST(test_small_blocks),
		TEST(test_damage_in_many_blocks),
		TEST(test_zstd_strangers),
		TEST(test_stock_tools),
		TEST(test_sink_of_blocks_fails),
		TEST(test_given_up),
		TEST(test_lanes),
		TEST(test_many_at_once),
	};

	return cmocka_run_group_tests_name("codec_blocks", tests, NULL, NULL);
}
