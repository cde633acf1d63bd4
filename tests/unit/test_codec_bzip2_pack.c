/* TAKES 5 */
/*
 * Short blocks of bzip2: to the bit what libbz2 makes of the same content, or
 * left to libbz2.
 */
#include "codec_fixture.h"

#include <bzlib.h>
#include <errno.h>

#include "../../src/codec/bits.h"
#include "../../src/codec/bzip2_pack.h"
#include "../../src/codec/piece.h"
#include "../../src/codec/rle.h"
#include "../../src/codec/unbzip2.h"

#define MOST 80000      /* of content: any of these is a short block */

static void code(const void *p, size_t len, struct fsp_buf *out)
{
	struct rle r = RLE_INIT;

	assert_int_equal(fsp_buf_reserve(out, RLE_ROOM(len) + RLE_ROOM(1)), 0);
	assert_int_equal(rle_add(&r, out, SIZE_MAX, p, len), len);
	rle_end(&r, out);
	assert_true(out->len <= PACK_MAX);
}

static void same_as_libbz2(const void *p, size_t len,
                           const struct fsp_buf *block, uint64_t bits)
{
	FSP_BUF struct fsp_buf stream = FSP_BUF_INIT;
	unsigned n = (unsigned)(len + len / 50 + 700);
	uint64_t at = 0;

	assert_int_equal(fsp_buf_reserve(&stream, n), 0);
	assert_int_equal(BZ2_bzBuffToBuffCompress(stream.data, &n,
	                                          (char *)(uintptr_t)p,
	                                          (unsigned)len, 9, 0, 0),
	                 BZ_OK);
	assert_int_equal((bits + BZ_HEADER_BITS + BZ_END_BITS + 7) / 8, n);
	for (; at + 56 <= bits; at += 56)
		assert_true(bits_get(stream.data, BZ_HEADER_BITS + at, 56) ==
		            bits_get(block->data, at, 56));
	for (; at < bits; at++)
		assert_true(bits_get(stream.data, BZ_HEADER_BITS + at, 1) ==
		            bits_get(block->data, at, 1));
	assert_true(bits_get(stream.data, BZ_HEADER_BITS + bits,
	                     BZ_MAGIC_BITS) == BZ_END_MAGIC);
}

/* Whether it was packed; false: it is for libbz2. */
static bool pack(const void *p, size_t len)
{
	FSP_BUF struct fsp_buf coded = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf block = FSP_BUF_INIT;
	struct slab *room = slab_take();
	uint64_t bits;
	int err;

	assert_non_null(room);
	code(p, len, &coded);
	err = bzip2_pack(coded.data, coded.len,
	                 ~bzip2_crc(UINT32_MAX, p, len), room, &block, &bits);
	slab_give(room);
	if (err == -EAGAIN)
		return false;
	assert_int_equal(err, 0);
	assert_int_equal(block.len, (bits + 7) / 8);
	same_as_libbz2(p, len, &block, bits);
	return true;
}

/* Words out of a small stock. */
static void write_words(char *p, size_t len, unsigned stock)
{
	uint64_t word = 0;

	for (size_t i = 0; i < len; i++, word /= 7) {
		if (!word)
			word = (rng() % stock + 1) * 0x9e3779b97f4a7c15u;
		p[i] = word % 6 ? (char)('a' + word % 23) : ' ';
	}
}

/* Also where libbz2 sorts in other ways, and another table is added. */
static void test_sizes(void **state)
{
	static const size_t sizes[] = { 5, 49, 50, 51, 99, 100, 199, 200, 599,
		600, 1199, 1200, 2399, 2400, 4096, 9999, 10000, 10001, 20000,
		34567, 65536, MOST };
	char *p = make_content(MOST);

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		(void)pack(p, sizes[i]);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		for (size_t k = 0; k < MOST; k++)
			p[k] = (char)(rng() >> 16);
		assert_true(pack(p, sizes[i]));
		write_words(p, MOST, 500);
		assert_true(pack(p, sizes[i]));
	}
	for (size_t n = 1; n < 400; n++) {
		write_words(p, n, 40);
		(void)pack(p, n);
	}
	free(p);
}

/* Few bytes that differ make runs; long codes, too. */
static void test_alphabets(void **state)
{
	unsigned packed = 0;
	char *p = malloc(MOST);

	(void)state;
	assert_non_null(p);
	for (unsigned n = 1; n <= 256; n = n < 12 ? n + 1 : n * 2) {
		for (size_t i = 0; i < MOST; i++)
			p[i] = (char)(255 - (rng() >> 8) % n);
		packed += pack(p, MOST - n);
		packed += pack(p, 700 + n);
	}
	/* Of one byte there are only runs, all alike. */
	assert_int_equal(packed, 31);
	/* The k-th byte half as often as the one before: longer than bzip2
	 * has codes, so that they are shortened. */
	for (size_t i = 0; i < MOST; i++)
		p[i] = (char)__builtin_clz(rng() << 8 | 1);
	assert_true(pack(p, MOST));
	free(p);
}

/* What repeats itself is sorted as far as is worth it, or left to libbz2. */
static void test_repetitions(void **state)
{
	static const size_t periods[] = { 1, 2, 3, 40, 300, 4001, 20000 };
	char *p = malloc(MOST);

	(void)state;
	assert_non_null(p);
	for (size_t k = 0; k < sizeof(periods) / sizeof(*periods); k++) {
		size_t period = periods[k];

		for (size_t i = 0; i < MOST; i++)
			p[i] = i < period ? (char)(rng() >> 16) : p[i - period];
		assert_false(pack(p, period * (MOST / period)));
		/* Once more, with a byte in so many changed. */
		for (size_t i = 97; i < MOST; i += 97)
			p[i] = (char)(rng() >> 16);
		(void)pack(p, MOST);
		(void)pack(p, 5000);
	}
	/* A passage that comes twice. */
	write_words(p, MOST, 5000);
	memcpy(p + 40000, p + 100, 3900);
	assert_true(pack(p, MOST));
	memcpy(p + 40000, p + 100, 4200);
	assert_false(pack(p, MOST));
	free(p);
}

/* A slab that serves many, and several at once. */
static void test_slabs(void **state)
{
	struct slab *s[6];
	char *a, *b;

	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 6; i++) {
			s[i] = slab_take();
			assert_non_null(s[i]);
			a = slab_alloc(s[i], 3, 5);
			b = slab_alloc(s[i], 1000, 1000);
			assert_non_null(a);
			assert_non_null(b);
			assert_true(b >= a + 15);
			memset(b, (int)i, 1000000);
			slab_free(s[i], a);
			/* More than it has. */
			assert_null(slab_alloc(s[i], 3000, 1000));
			slab_clear(s[i]);
			assert_ptr_equal(slab_alloc(s[i], 3, 5), a);
		}
		for (unsigned i = 0; i < 6; i++)
			slab_give(s[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_alphabets),
		cmocka_unit_test(test_repetitions),
		cmocka_unit_test(test_slabs),
	};

	rng_state = SEED;
	return cmocka_run_group_tests_name("codec_bzip2_pack", tests, NULL,
	                                   NULL);
}
