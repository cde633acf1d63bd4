/* TAKES 5 */
/*
 * Blocks of bzip2 by themselves, against libbz2: what it packs comes back, a
 * randomised block too, and no bit that is turned goes unnoticed.
 */
#include "codec_fixture.h"

#include <bzlib.h>
#include <errno.h>
#include <openssl/evp.h>

#include "../../src/codec/bits.h"
#include "../../src/codec/piece.h"
#include "../../src/codec/rle.h"
#include "../../src/codec/unbzip2.h"

/* A stream of one block, and how many bits the block has. */
static uint64_t pack(const void *p, size_t len, int level, struct fsp_buf *out)
{
	unsigned n = (unsigned)(len + len / 50 + 700);

	fsp_buf_reset(out);
	assert_int_equal(fsp_buf_reserve(out, n), 0);
	assert_int_equal(BZ2_bzBuffToBuffCompress(out->data, &n,
	                                          (char *)(uintptr_t)p,
	                                          (unsigned)len, level, 0, 0),
	                 BZ_OK);
	out->len = n;
	for (unsigned pad = 0; pad < 8; pad++) {
		uint64_t end = n * 8ull - pad - BZ_END_BITS;

		if (bits_get(out->data, end, BZ_MAGIC_BITS) == BZ_END_MAGIC)
			return end - BZ_HEADER_BITS;
	}
	fail_msg("no end mark");
	return 0;
}

/* The block `shift` bits further on, in memory of just its size. */
static int unpack(const struct fsp_buf *stream, uint64_t bits, unsigned shift,
                  int level, struct fsp_buf *content, uint32_t *crc)
{
	FSP_BUF struct fsp_buf coded = FSP_BUF_INIT;
	struct rle_reader r = RLE_READER_INIT;
	struct bits b = { 0 };
	struct unbzip2_in in;
	uint8_t *exact;
	char some[5000];
	size_t n;
	int err;

	assert_int_equal(bits_put(&b, 0x5a, shift), 0);
	assert_int_equal(bits_copy(&b, stream->data, BZ_HEADER_BITS, bits), 0);
	assert_int_equal(bits_pad(&b), 0);
	exact = malloc(b.whole.len);
	assert_non_null(exact);
	memcpy(exact, b.whole.data, b.whole.len);
	in = (struct unbzip2_in){ exact, b.whole.len, shift, bits,
		                  (size_t)level * UNBZIP2_LEVEL };
	err = unbzip2(&in, &coded, crc);
	free(exact);
	fsp_buf_free(&b.whole);
	fsp_buf_reset(content);
	while (!err && (n = rle_read(&r, &coded, some, sizeof(some))))
		assert_int_equal(fsp_buf_add(content, some, n), 0);
	return err;
}

static void comes_back(const void *p, size_t len, int level)
{
	FSP_BUF struct fsp_buf stream = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf back = FSP_BUF_INIT;
	uint64_t bits = pack(p, len, level, &stream);
	uint32_t crc;

	for (unsigned shift = 0; shift < 8; shift += 1 + len / 20000) {
		assert_int_equal(unpack(&stream, bits, shift, level, &back,
		                        &crc), 0);
		assert_int_equal(back.len, len);
		assert_memory_equal(back.data, p, len);
		assert_int_equal(~bzip2_crc(UINT32_MAX, p, len), crc);
	}
	/* Cut by a bit, or with one too many. */
	assert_int_equal(unpack(&stream, bits - 1, 3, level, &back, &crc), -EIO);
	assert_int_equal(unpack(&stream, bits + 1, 3, level, &back, &crc), -EIO);
}

/* Around the sizes at which stretches and parts begin. */
static void test_sizes(void **state)
{
	static const size_t sizes[] = { 1, 2, 3, 49, 50, 51, 63, 64, 65, 959,
		960, 961, 1023, 1024, 1025, 2047, 2048, 2049, 4095, 4096, 4097,
		8191, 20000, 65537, 99980, 300001, 600000, 899980 };
	char *p = make_content(899980);

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		comes_back(p, sizes[i], sizes[i] < 99981 ? 1 : 9);
	for (size_t i = 0; i < 899980; i++)
		p[i] = (char)rng();
	comes_back(p, 899000, 9);
	free(p);
}

/* A content that is another one, again and again: many cycles of rows. */
static void test_periods(void **state)
{
	static const size_t periods[] = { 1, 2, 3, 5, 64, 100, 1000, 2048, 3000 };
	size_t len = 96000;
	char *p = malloc(len);

	(void)state;
	assert_non_null(p);
	for (size_t k = 0; k < sizeof(periods) / sizeof(*periods); k++) {
		for (size_t i = 0; i < len; i++)
			p[i] = i < periods[k] ? (char)rng() : p[i - periods[k]];
		comes_back(p, len, 1);
		comes_back(p, periods[k] * 7, 1);
	}
	free(p);
}

/* Few bytes that differ make long codes, one byte alone has its own. */
static void test_alphabets(void **state)
{
	size_t len = 90000;
	unsigned char *p = malloc(len);

	(void)state;
	assert_non_null(p);
	for (unsigned n = 1; n <= 256; n = n < 8 ? n + 1 : n * 2) {
		for (size_t i = 0; i < len; i++)
			p[i] = (unsigned char)(255 - rng() % n);
		comes_back(p, len, 1);
	}
	/* The k-th byte half as often as the one before: as long as they get. */
	for (size_t i = 0; i < len; i++)
		p[i] = (unsigned char)__builtin_ctz(rng() | 1u << 23);
	comes_back(p, len, 1);
	for (size_t i = 0; i < len; i++)
		p[i] = (unsigned char)((i % 600 ? 0 : 1 + rng() % 255));
	comes_back(p, len, 1);
	free(p);
}

static void test_crc(void **state)
{
	const char *digits = "123456789";

	(void)state;
	/* The check value of this sum, and in any parts. */
	assert_int_equal(~bzip2_crc(UINT32_MAX, digits, 9), 0xfc891918u);
	for (size_t i = 0; i <= 9; i++)
		assert_int_equal(~bzip2_crc(bzip2_crc(UINT32_MAX, digits, i),
		                            digits + i, 9 - i),
		                 0xfc891918u);
}

/*
 * bzip2 before 0.9.5 turned a bit here and there of a block that was hard to
 * sort; the first is that of byte 617.
 */
static void test_randomised(void **state)
{
	FSP_BUF struct fsp_buf stream = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf back = FSP_BUF_INIT;
	char p[1000];
	struct piece piece = { .level = 9, .limit = sizeof(p) };
	uint32_t crc;

	(void)state;
	for (size_t i = 0; i < sizeof(p); i++)
		p[i] = (char)(i * i % 251);
	crc = ~bzip2_crc(UINT32_MAX, p, sizeof(p));
	p[617] ^= 1;
	piece.bits = pack(p, sizeof(p), 9, &stream);
	p[617] ^= 1;
	for (int i = 0; i < 4; i++)
		stream.data[10 + i] = (char)(crc >> (24 - 8 * i));
	stream.data[14] |= (char)0x80;
	assert_int_equal(unpack(&stream, piece.bits, 0, 9, &back, &crc),
	                 -EOPNOTSUPP);
	assert_int_equal(fsp_buf_add(&piece.in, stream.data + 4,
	                             stream.len - 4), 0);
	assert_int_equal(unpack_bzip2(&piece), 0);
	assert_int_equal(piece.out.len, sizeof(p));
	assert_memory_equal(piece.out.data, p, sizeof(p));
	piece.in.data[7] ^= 1;
	piece.size = 0;
	fsp_buf_reset(&piece.out);
	assert_int_equal(unpack_bzip2(&piece), -EIO);
	fsp_buf_free(&piece.in);
	fsp_buf_free(&piece.out);
	EVP_MD_CTX_free(piece.sha);
}

/* Whatever bit is turned: an error, or a content that the CRC tells apart. */
static void test_turned_bits(void **state)
{
	FSP_BUF struct fsp_buf stream = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf back = FSP_BUF_INIT;
	char *p = make_content(12000);
	uint64_t bits = pack(p, 12000, 1, &stream), step = SANITIZED ? 31 : 7;
	unsigned refused = 0, n = 0;
	uint32_t crc;

	(void)state;
	for (uint64_t i = 0; i < bits; i += i < 3000 ? 1 : step, n++) {
		uint64_t at = BZ_HEADER_BITS + i;
		char bit = (char)(0x80 >> at % 8);
		int err;

		stream.data[at / 8] ^= bit;
		err = unpack(&stream, bits, 0, 1, &back, &crc);
		stream.data[at / 8] ^= bit;
		if (!err)
			assert_int_not_equal(~bzip2_crc(UINT32_MAX, back.data,
			                                back.len), crc);
		else if (i != 80)       /* that one says randomised */
			assert_int_equal(err, -EIO);
		refused += err != 0;
	}
	assert_true(refused > n / 4 && refused < n);
	free(p);
}

/* A beginning that is right, and then anything. */
static void test_random_bits(void **state)
{
	FSP_BUF struct fsp_buf stream = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf back = FSP_BUF_INIT;
	char *p = make_content(20000);
	uint64_t bits = pack(p, 20000, 1, &stream);
	char *good = malloc(stream.len);
	uint32_t crc;

	(void)state;
	assert_non_null(good);
	memcpy(good, stream.data, stream.len);
	for (int n = 0; n < (SANITIZED ? 300 : 2000); n++) {
		/* 40 bytes before the end it is still the block. */
		size_t from = 15 + rng() % (stream.len - 55);

		for (size_t i = from; i < stream.len && i < from + 200; i++)
			stream.data[i] = (char)rng();
		if (!unpack(&stream, bits, (unsigned)n % 8, 1, &back, &crc))
			assert_int_not_equal(~bzip2_crc(UINT32_MAX, back.data,
			                                back.len), crc);
		memcpy(stream.data, good, stream.len);
	}
	free(good);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_periods),
		cmocka_unit_test(test_alphabets),
		cmocka_unit_test(test_crc),
		cmocka_unit_test(test_randomised),
		cmocka_unit_test(test_turned_bits),
		cmocka_unit_test(test_random_bits),
	};

	rng_state = SEED;
	return cmocka_run_group_tests_name("codec_unbzip2", tests, NULL, NULL);
}
