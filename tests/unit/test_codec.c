/* TAKES 22 */
/*
 * The codec: round trips, PHP's own objects, and bytes that mean harm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <bzlib.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codec_fixture.h"
#include "fsp_cleanup.h"
#include "fsp_file.h"
#include "fsp_pool.h"

#define FIXTURES "tests/fixtures/php-filespace/"

/* Encodes in pieces of at most `step` bytes, random ones when it is 0. */
static void encode(enum fsp_format f, const char *p, size_t size, size_t step,
                   struct fsp_buf *out)
{
	struct fsp_keys k = php_keys();
	struct fsp_encoder *e;
	uint64_t stored = 0;

	fsp_buf_reset(out);
	assert_int_equal(fsp_encoder_new(f, &k, 9, buf_sink, out, &e), 0);
	for (size_t off = 0, n; off < size; off += n) {
		n = step ? step : 1 + rng() % 200000;
		if (n > size - off)
			n = size - off;
		assert_int_equal(fsp_encoder_write(e, p + off, n), 0);
	}
	assert_int_equal(fsp_encoder_finish(e, &stored), 0);
	assert_int_equal(stored, out->len);
	fsp_encoder_free(e);
}

static int decode(enum fsp_format f, const void *p, size_t size, size_t step,
                  uint64_t max, struct fsp_buf *out, struct fsp_digests *dig)
{
	struct fsp_keys k = php_keys();
	struct fsp_decoder *d;
	const char *in = p;
	int rc = 0;

	fsp_buf_reset(out);
	assert_int_equal(fsp_decoder_new(f, &k, max, buf_sink, out, &d), 0);
	for (size_t off = 0, n; !rc && off < size; off += n) {
		n = step ? step : 1 + rng() % 100000;
		if (n > size - off)
			n = size - off;
		rc = fsp_decoder_write(d, in + off, n);
	}
	if (!rc)
		rc = fsp_decoder_finish(d, dig);
	else
		assert_int_equal(fsp_decoder_finish(d, dig), rc);
	fsp_decoder_free(d);
	return rc;
}

static void check_digests(const struct fsp_digests *dig, const char *p,
                          size_t size)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	char hex[2 * EVP_MAX_MD_SIZE + 1];
	unsigned int n;

	assert_int_equal(dig->size, size);
	assert_true(EVP_Digest(p, size, md, &n, EVP_sha256(), NULL));
	fsp_hex(hex, md, n);
	assert_string_equal(dig->sha256, hex);
	assert_int_equal(fsp_digests_match(dig, hex, size), 0);
	assert_int_equal(fsp_digests_match(dig, hex, size + 1), -EIO);
	assert_true(EVP_Digest(p, size, md, &n, EVP_sha1(), NULL));
	fsp_hex(hex, md, n);
	assert_string_equal(dig->sha1, hex);
	assert_int_equal(fsp_digests_match(dig, hex, size), 0);
	hex[0] = hex[0] == 'a' ? 'b' : 'a';
	assert_int_equal(fsp_digests_match(dig, hex, size), -EIO);
}

static void test_round_trips(void **state)
{
	static const size_t sizes[] = { 0, 1, 15, 16, 17, 899999, 900000,
		                        900001, 3500001 };

	(void)state;
	rng_state = SEED;
	print_message("seed %u\n", SEED);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		FSP_FREE char *p = make_content(sizes[i]);

		for (int f = FSP_FMT_LEGACY; f < FSP_FORMATS; f++) {
			FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
			FSP_BUF struct fsp_buf back = FSP_BUF_INIT;
			struct fsp_digests dig;

			encode((enum fsp_format)f, p, sizes[i], 0, &obj);
			assert_int_equal(decode((enum fsp_format)f, obj.data,
			                        obj.len, 0, sizes[i], &back,
			                        &dig),
			                 0);
			assert_int_equal(back.len, sizes[i]);
			assert_true(!sizes[i] ||
			            !memcmp(back.data, p, sizes[i]));
			check_digests(&dig, p, sizes[i]);
		}
	}
}

static void test_chunking_changes_nothing(void **state)
{
	static const size_t steps[] = { 1, 7, 4096, 65536, 65537, 0 };
	FSP_BUF struct fsp_buf whole = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf back = FSP_BUF_INIT;
	FSP_FREE char *p = NULL;
	struct fsp_digests dig;

	(void)state;
	rng_state = SEED + 1;
	p = make_content(150000);
	encode(FSP_FMT_LEGACY, p, 150000, 150000, &whole);
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		encode(FSP_FMT_LEGACY, p, 150000, steps[i], &obj);
		assert_int_equal(obj.len, whole.len);
		assert_memory_equal(obj.data, whole.data, whole.len);
		assert_int_equal(decode(FSP_FMT_LEGACY, obj.data, obj.len,
		                        steps[i], 150000, &back, &dig),
		                 0);
		assert_int_equal(back.len, 150000);
		assert_memory_equal(back.data, p, 150000);
	}
}

static void test_empty_object(void **state)
{
	FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf php = FSP_BUF_INIT;

	(void)state;
	encode(FSP_FMT_LEGACY, "", 0, 1, &obj);
	assert_int_equal(obj.len, 16);
	assert_int_equal(
		fsp_read_file(FIXTURES "objects/"
		                       "da39a3ee5e6b4b0d3255bfef95601890afd80709",
		              &php, 4096),
		0);
	assert_int_equal(php.len, 16);
	assert_memory_equal(obj.data, php.data, 16);
	encode(FSP_FMT_PLAIN, "", 0, 1, &obj);
	assert_int_equal(obj.len, 14);
	encode(FSP_FMT_IV, "", 0, 1, &obj);
	assert_int_equal(obj.len, 32);
}

/* An iv of its own for each object, and two objects never share one. */
static void test_iv_differs(void **state)
{
	FSP_BUF struct fsp_buf a = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;

	(void)state;
	encode(FSP_FMT_IV, "same", 4, 4, &a);
	encode(FSP_FMT_IV, "same", 4, 4, &b);
	assert_int_equal(a.len, b.len);
	assert_memory_not_equal(a.data, b.data, 16);
	assert_memory_not_equal(a.data + 16, b.data + 16, a.len - 16);
}

/* Every object that PHP wrote: content as the manifest says, bytes as ours. */
static void test_php_objects(void **state)
{
	FSP_FCLOSE FILE *m = fopen(FIXTURES "manifest.tsv", "r");
	char line[1024], sha1[41], sha256[65], path[256];
	unsigned long size;
	int seen = 0;

	(void)state;
	assert_non_null(m);
	while (fgets(line, sizeof(line), m)) {
		FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
		FSP_BUF struct fsp_buf back = FSP_BUF_INIT;
		FSP_BUF struct fsp_buf ours = FSP_BUF_INIT;
		struct fsp_digests dig;

		if (line[0] == '#')
			continue;
		assert_int_equal(sscanf(line,
		                        "%*[^\t]\t%*[^\t]\t%*[^\t]\t%*[^\t]\t"
		                        "%*[^\t]\t%lu\t%40s\t%64s",
		                        &size, sha1, sha256),
		                 3);
		(void)snprintf(path, sizeof(path), FIXTURES "objects/%s", sha1);
		assert_int_equal(fsp_read_file(path, &obj, 1 << 24), 0);
		assert_int_equal(decode(FSP_FMT_LEGACY, obj.data, obj.len, 0,
		                        size, &back, &dig),
		                 0);
		assert_int_equal(fsp_digests_match(&dig, sha1, size), 0);
		assert_int_equal(fsp_digests_match(&dig, sha256, size), 0);
		encode(FSP_FMT_LEGACY, back.data, back.len, 0, &ours);
		assert_int_equal(ours.len, obj.len);
		assert_memory_equal(ours.data, obj.data, obj.len);
		seen++;
	}
	assert_int_equal(seen, 12);
}

/*
 * Damages an object in one way after another. What is allowed besides -EIO:
 * the same content, where a bit carries none and nothing authenticates it
 * (`lenient`: bzip2's level digit and padding bits).
 */
static void torture(enum fsp_format f, const char *p, size_t size, bool lenient)
{
	FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf back = FSP_BUF_INIT;
	struct fsp_digests dig;
	int rc, failed = 0, total = 0;

	encode(f, p, size, size ? size : 1, &obj);
	for (size_t i = 0; i < obj.len; i++) {
		char was = obj.data[i];

		for (int bit = 0; bit < 8; bit++) {
			obj.data[i] = (char)(was ^ (1 << bit));
			rc = decode(f, obj.data, obj.len, 0, size + 100, &back,
			            &dig);
			total++;
			failed += rc == -EIO;
			if (rc == -EIO)
				continue;
			assert_true(lenient);
			assert_int_equal(rc, 0);
			assert_int_equal(back.len, size);
			assert_memory_equal(back.data, p, size);
		}
		obj.data[i] = was;
	}
	assert_true(failed > total * 3 / 4);
	for (size_t n = 0; n < obj.len; n++)
		assert_int_equal(
			decode(f, obj.data, n, 0, size, &back, &dig), -EIO);
	assert_int_equal(decode(f, obj.data, obj.len, 0, size, &back, &dig), 0);
	for (size_t n = 1; n <= 33; n++) {
		assert_int_equal(fsp_buf_addc(&obj, (char)n), 0);
		assert_int_equal(
			decode(f, obj.data, obj.len, 0, size, &back, &dig),
			-EIO);
	}
}

static void test_damage(void **state)
{
	static const char text[] = "An object, whole or not at all. 0123456789";

	(void)state;
	rng_state = SEED + 2;
	torture(FSP_FMT_LEGACY, text, sizeof(text), false);
	torture(FSP_FMT_LEGACY, "", 0, false);
	torture(FSP_FMT_IV, text, sizeof(text), true);
	torture(FSP_FMT_PLAIN, text, sizeof(text), true);
}

static void test_wrong_key(void **state)
{
	FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf back = FSP_BUF_INIT;
	struct fsp_keys k = php_keys();
	struct fsp_digests dig;
	struct fsp_decoder *d;
	int rc;

	(void)state;
	encode(FSP_FMT_LEGACY, "secret", 6, 6, &obj);
	k.key[0] ^= 1;
	assert_int_equal(fsp_decoder_new(FSP_FMT_LEGACY, &k, 6, buf_sink, &back,
	                                 &d),
	                 0);
	rc = fsp_decoder_write(d, obj.data, obj.len);
	if (!rc)
		rc = fsp_decoder_finish(d, &dig);
	assert_int_equal(rc, -EIO);
	assert_int_equal(back.len, 0);
	fsp_decoder_free(d);
}

struct limit {
	uint64_t got;
	uint64_t max;
};

static int limit_sink(void *arg, const void *buf, size_t len)
{
	struct limit *l = arg;

	(void)buf;
	l->got += len;
	return l->got > l->max ? -E2BIG : 0;
}

static void test_bomb(void **state)
{
	FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
	FSP_FREE char *zeros = calloc(1, 1 << 20);
	struct limit l = { 0, 1000 };
	struct fsp_keys k = php_keys();
	struct fsp_encoder *e;
	struct fsp_decoder *d;
	struct fsp_digests dig;
	uint64_t stored;
	int rc;

	(void)state;
	assert_int_equal(
		fsp_encoder_new(FSP_FMT_LEGACY, &k, 9, buf_sink, &obj, &e), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(fsp_encoder_write(e, zeros, 1 << 20), 0);
	assert_int_equal(fsp_encoder_finish(e, &stored), 0);
	fsp_encoder_free(e);
	assert_true(stored < 10000);
	assert_int_equal(
		fsp_decoder_new(FSP_FMT_LEGACY, &k, 1000, limit_sink, &l, &d),
		0);
	rc = fsp_decoder_write(d, obj.data, obj.len);
	if (!rc)
		rc = fsp_decoder_finish(d, &dig);
	assert_int_equal(rc, -EIO);
	assert_true(l.got <= 1000);
	fsp_decoder_free(d);
}

/* One byte more than allowed is too much, the exact size is not. */
static void test_limit_is_exact(void **state)
{
	FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf back = FSP_BUF_INIT;
	struct fsp_digests dig;

	(void)state;
	encode(FSP_FMT_PLAIN, "abcdef", 6, 6, &obj);
	assert_int_equal(
		decode(FSP_FMT_PLAIN, obj.data, obj.len, 0, 6, &back, &dig), 0);
	assert_int_equal(
		decode(FSP_FMT_PLAIN, obj.data, obj.len, 0, 5, &back, &dig),
		-EIO);
	assert_true(back.len <= 5);
	assert_int_equal(
		decode(FSP_FMT_PLAIN, obj.data, obj.len, 0, 0, &back, &dig),
		-EIO);
	assert_int_equal(back.len, 0);
}

/* Encrypts any plaintext as an object, with correct padding. */
static void seal(const struct fsp_buf *plain, struct fsp_buf *out)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	struct fsp_keys k = php_keys();
	int n, last;

	fsp_buf_reset(out);
	assert_int_equal(fsp_buf_reserve(out, plain->len + 32), 0);
	assert_true(EVP_EncryptInit_ex(c, EVP_aes_256_cbc(), NULL, k.key,
	                               k.iv));
	assert_true(EVP_EncryptUpdate(c, (unsigned char *)out->data, &n,
	                              (unsigned char *)plain->data,
	                              (int)plain->len));
	assert_true(EVP_EncryptFinal_ex(c, (unsigned char *)out->data + n,
	                                &last));
	out->len = (size_t)(n + last);
	EVP_CIPHER_CTX_free(c);
}

/* PHP would read the first stream only: nobody may read more. */
static void test_one_stream_only(void **state)
{
	FSP_BUF struct fsp_buf one = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf two = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf back = FSP_BUF_INIT;
	struct fsp_digests dig;

	(void)state;
	rng_state = SEED + 3;
	encode(FSP_FMT_PLAIN, "first", 5, 5, &one);
	encode(FSP_FMT_PLAIN, "second", 6, 6, &two);
	seal(&one, &obj);
	assert_int_equal(
		decode(FSP_FMT_LEGACY, obj.data, obj.len, 0, 5, &back, &dig), 0);
	assert_int_equal(fsp_buf_add(&one, two.data, two.len), 0);
	seal(&one, &obj);
	for (size_t step = 0; step < 80; step++) {
		assert_int_equal(decode(FSP_FMT_LEGACY, obj.data, obj.len, step,
		                        UNLIMITED, &back, &dig),
		                 -EIO);
		assert_int_equal(decode(FSP_FMT_PLAIN, one.data, one.len, step,
		                        UNLIMITED, &back, &dig),
		                 -EIO);
	}
}

static void test_trailing_garbage(void **state)
{
	FSP_BUF struct fsp_buf one = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf back = FSP_BUF_INIT;
	struct fsp_digests dig;

	(void)state;
	rng_state = SEED + 4;
	encode(FSP_FMT_PLAIN, "content", 7, 7, &one);
	for (int n = 0; n < 40; n++) {
		assert_int_equal(fsp_buf_addc(&one, '\0'), 0);
		seal(&one, &obj);
		assert_int_equal(decode(FSP_FMT_LEGACY, obj.data, obj.len, 0,
		                        UNLIMITED, &back, &dig),
		                 -EIO);
	}
}

static void test_random_bytes(void **state)
{
	FSP_BUF struct fsp_buf back = FSP_BUF_INIT;
	struct fsp_digests dig;
	char junk[300];

	(void)state;
	rng_state = SEED + 5;
	for (int i = 0; i < 3000; i++) {
		size_t n = rng() % sizeof(junk);

		for (size_t j = 0; j < n; j++)
			junk[j] = (char)rng();
		/* Past the magic, where the interesting code is. */
		if (i % 2 && n > 10)
			memcpy(junk, "BZh91AY&SY", 10);
		assert_int_equal(decode(i % 2 ? FSP_FMT_PLAIN : FSP_FMT_LEGACY,
		                        junk, n, 0, 1 << 20, &back, &dig),
		                 -EIO);
	}
}

/* Fails from the nth call on. */
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

static void test_sink_errors(void **state)
{
	struct fsp_keys k = php_keys();
	FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
	FSP_FREE char *p = NULL;
	bool fired = true;

	(void)state;
	rng_state = SEED + 6;
	p = make_content(600000);
	encode(FSP_FMT_IV, p, 600000, 0, &obj);
	for (int n = 1; fired; n++) {
		struct bad_sink es = { 0, n }, ds = { 0, n };
		struct fsp_encoder *e;
		struct fsp_decoder *d;
		struct fsp_digests dig;
		uint64_t stored;
		int rc, again;

		assert_int_equal(
			fsp_encoder_new(FSP_FMT_IV, &k, 1, bad_sink, &es, &e),
			0);
		rc = fsp_encoder_write(e, p, 600000);
		if (!rc)
			rc = fsp_encoder_finish(e, &stored);
		fired = es.calls >= n;
		assert_int_equal(rc, fired ? -ENOSPC : 0);
		again = es.calls;
		assert_int_not_equal(fsp_encoder_write(e, p, 600000), 0);
		assert_int_not_equal(fsp_encoder_finish(e, &stored), 0);
		assert_int_equal(es.calls, again);
		fsp_encoder_free(e);

		assert_int_equal(fsp_decoder_new(FSP_FMT_IV, &k, UNLIMITED,
		                                 bad_sink, &ds, &d),
		                 0);
		rc = fsp_decoder_write(d, obj.data, obj.len);
		if (!rc)
			rc = fsp_decoder_finish(d, &dig);
		assert_int_equal(rc, ds.calls >= n ? -ENOSPC : 0);
		again = ds.calls;
		assert_int_not_equal(fsp_decoder_write(d, obj.data, 100), 0);
		assert_int_equal(ds.calls, again);
		fsp_decoder_free(d);
	}
}

static void test_arguments(void **state)
{
	struct fsp_keys none = { .set = false }, k = php_keys();
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	struct fsp_encoder *e;
	struct fsp_decoder *d;
	enum fsp_format f;

	(void)state;
	assert_int_equal(
		fsp_encoder_new(FSP_FMT_LEGACY, &none, 9, buf_sink, &b, &e),
		-EINVAL);
	assert_int_equal(
		fsp_decoder_new(FSP_FMT_IV, NULL, 1, buf_sink, &b, &d),
		-EINVAL);
	assert_int_equal(
		fsp_encoder_new(FSP_FMT_LEGACY, &k, 0, buf_sink, &b, &e),
		-EINVAL);
	assert_int_equal(
		fsp_encoder_new(FSP_FMT_LEGACY, &k, 10, buf_sink, &b, &e),
		-EINVAL);
	assert_int_equal(
		fsp_encoder_new(FSP_FMT_PLAIN, &none, 1, buf_sink, &b, &e), 0);
	fsp_encoder_free(e);
	fsp_encoder_free(NULL);
	fsp_decoder_free(NULL);
	fsp_digest_free(NULL);
	for (int i = FSP_FMT_LEGACY; i < FSP_FORMATS; i++) {
		const char *name = fsp_format_name((enum fsp_format)i);

		assert_int_equal(fsp_format_parse(name, &f), 0);
		assert_int_equal(f, i);
	}
	assert_string_equal(fsp_format_name(FSP_FMT_LEGACY),
	                    "bzip2+aes-256-cbc");
	assert_int_equal(fsp_format_parse("", &f), -EINVAL);
	assert_int_equal(fsp_format_parse("gzip", &f), -EINVAL);
}

/* Text shrinks, noise does not; each format has relatives sealed as it is. */
static void test_choosing(void **state)
{
	FSP_FREE char *noise = malloc(65536);
	struct fsp_keys none = { .set = false }, k = php_keys();
	size_t n;

	(void)state;
	assert_non_null(noise);
	rng_state = SEED + 8;
	for (size_t i = 0; i < 65536; i++)
		noise[i] = (char)rng();
	assert_int_equal(fsp_compress_sample(noise, 65536, &n), 0);
	assert_true(n >= 65536);
	for (size_t i = 0; i < 65536; i++)
		noise[i] = (char)('a' + rng() % 4);
	assert_int_equal(fsp_compress_sample(noise, 65536, &n), 0);
	assert_true(n < 65536 / 2);
	assert_int_equal(fsp_format_zstd(FSP_FMT_LEGACY), FSP_FMT_ZSTD);
	assert_int_equal(fsp_format_zstd(FSP_FMT_IV), FSP_FMT_ZSTD_IV);
	assert_int_equal(fsp_format_stored(FSP_FMT_PLAIN),
	                 FSP_FMT_STORED_PLAIN);
	assert_int_equal(fsp_format_stored(FSP_FMT_ZSTD_IV), FSP_FMT_STORED_IV);
	for (int f = FSP_FMT_LEGACY; f < FSP_FORMATS; f++) {
		const char *name = fsp_format_name((enum fsp_format)f);
		bool sealed = strstr(name, "aes") != NULL;

		assert_true(fsp_format_usable((enum fsp_format)f, &k));
		assert_int_equal(fsp_format_usable((enum fsp_format)f, &none),
		                 !sealed);
		assert_int_equal(strncmp(name, "iv+", 3) == 0, f % 3 == 1);
	}
	assert_false(fsp_format_usable(FSP_FORMATS, &k));
	assert_string_equal(fsp_format_name(FSP_FORMATS), "unknown");
}

static void test_hash_valid(void **state)
{
	char h[80];

	(void)state;
	memset(h, 'a', sizeof(h));
	for (size_t n = 0; n < sizeof(h); n++) {
		h[n] = '\0';
		assert_int_equal(fsp_hash_valid(h), n == 40 || n == 64);
		h[n] = 'a';
	}
	h[40] = '\0';
	h[39] = 'A';
	assert_false(fsp_hash_valid(h));
	h[39] = 'g';
	assert_false(fsp_hash_valid(h));
	h[39] = '/';
	assert_false(fsp_hash_valid(h));
	h[39] = '0';
	assert_true(fsp_hash_valid(h));
}

static void test_digest_goes_on(void **state)
{
	struct fsp_digest *d;
	struct fsp_digests a, b;

	(void)state;
	assert_int_equal(fsp_digest_new(&d), 0);
	assert_int_equal(fsp_digest_get(d, &a), 0);
	check_digests(&a, "", 0);
	assert_int_equal(fsp_digest_update(d, "ab", 2), 0);
	assert_int_equal(fsp_digest_get(d, &a), 0);
	assert_int_equal(fsp_digest_get(d, &b), 0);
	check_digests(&a, "ab", 2);
	check_digests(&b, "ab", 2);
	assert_int_equal(fsp_digest_update(d, "c", 1), 0);
	assert_int_equal(fsp_digest_get(d, &b), 0);
	check_digests(&b, "abc", 3);
	assert_int_equal(fsp_digest_size(d), 3);
	fsp_digest_free(d);
}

static uint64_t sum_of(const char *p, size_t len, size_t step)
{
	struct fsp_sum *s;
	uint64_t sum;

	assert_int_equal(fsp_sum_new(&s), 0);
	for (size_t off = 0; off < len; off += step)
		fsp_sum_add(s, p + off, len - off < step ? len - off : step);
	assert_int_equal(fsp_sum_size(s), len);
	sum = fsp_sum_get(s);
	fsp_sum_free(s);
	return sum;
}

/* The published values of XXH64, and the same in any parts. */
static void test_sum(void **state)
{
	const char *long_one = "Nobody inspects the spammish repetition";
	char *p = make_content(1000);
	struct fsp_digest *d;
	struct fsp_digests a;

	(void)state;
	assert_true(sum_of("", 0, 1) == 0xef46db3751d8e999u);
	assert_true(sum_of("a", 1, 1) == 0xd24ec4f1a98c6e5bu);
	assert_true(sum_of("abc", 3, 3) == 0x44bc2cf5ad770999u);
	assert_true(sum_of(long_one, 39, 39) == 0xfbcea83c8a378bf1u);
	for (size_t step = 1; step < 200; step++)
		assert_true(sum_of(p, 1000, step) == sum_of(p, 1000, 1000));
	for (size_t i = 0; i < 1000; i++) {
		uint64_t before = sum_of(p, i + 1, 77);

		p[i] ^= 4;
		assert_true(sum_of(p, i + 1, 77) != before);
	}
	assert_int_equal(fsp_digest_new(&d), 0);
	assert_int_equal(fsp_digest_update(d, p, 400), 0);
	assert_int_equal(fsp_digest_update(d, p + 400, 600), 0);
	assert_int_equal(fsp_digest_get(d, &a), 0);
	assert_true(a.sum == sum_of(p, 1000, 1000));
	fsp_digest_free(d);
	free(p);
}

/* The promise to administrators: openssl and bunzip2 give the file back. */
static void test_openssl_reads_it(void **state)
{
	FSP_BUF struct fsp_buf obj = FSP_BUF_INIT;
	const char *tmp = getenv("TMPDIR");
	char file[256], cmd[512];
	FSP_FREE char *p = NULL;
	FSP_FREE char *got = NULL;
	FILE *pipe;
	size_t n;
	int fd;

	(void)state;
	if (system("command -v openssl >/dev/null && "
	           "command -v bunzip2 >/dev/null")) {
		print_message("no openssl or bunzip2 on this machine\n");
		skip();
	}
	rng_state = SEED + 7;
	p = make_content(1000000);
	got = malloc(1000001);
	encode(FSP_FMT_LEGACY, p, 1000000, 0, &obj);
	(void)snprintf(file, sizeof(file), "%s/fsp-codec-XXXXXX",
	               tmp ? tmp : "/tmp");
	fd = mkstemp(file);
	assert_true(fd >= 0);
	assert_int_equal(fsp_write_all(fd, obj.data, obj.len), 0);
	close(fd);
	(void)snprintf(cmd, sizeof(cmd),
	               "openssl enc -d -aes-256-cbc -K " PHP_KEY " -iv " PHP_IV
	               " -in %s | bunzip2",
	               file);
	pipe = popen(cmd, "r");
	assert_non_null(pipe);
	n = fread(got, 1, 1000001, pipe);
	assert_int_equal(pclose(pipe), 0);
	unlink(file);
	assert_int_equal(n, 1000000);
	assert_memory_equal(got, p, n);
}

static long peak_kib(void)
{
	struct rusage ru;

	assert_int_equal(getrusage(RUSAGE_SELF, &ru), 0);
	return ru.ru_maxrss;
}

static int decode_sink(void *arg, const void *buf, size_t len)
{
	return fsp_decoder_write(arg, buf, len);
}

/* 100 MB through both directions, in a child so that the peak is its own. */
static void stream_100mb(void)
{
	static char piece[1 << 20];
	struct limit l = { 0, UNLIMITED };
	struct fsp_keys k = php_keys();
	struct fsp_encoder *e;
	struct fsp_decoder *d;
	struct fsp_digests dig;
	uint64_t stored;
	long before;

	/* Zeros are quick to pack; the rest makes the object grow, too. */
	for (size_t i = 0; i < sizeof(piece) / 32; i++)
		piece[i] = (char)rng();
	before = peak_kib();
	if (fsp_decoder_new(FSP_FMT_IV, &k, UNLIMITED, limit_sink, &l, &d) ||
	    fsp_encoder_new(FSP_FMT_IV, &k, 9, decode_sink, d, &e))
		_exit(2);
	for (int i = 0; i < 100; i++)
		if (fsp_encoder_write(e, piece, sizeof(piece)))
			_exit(3);
	if (fsp_encoder_finish(e, &stored) || fsp_decoder_finish(d, &dig) ||
	    l.got != 100u << 20 || dig.size != l.got)
		_exit(4);
	/*
	 * Three threads at work: bzip2 takes 7.6 MB to pack and 3.7 MB to
	 * unpack, and four pieces on each way have two buffers of a megabyte.
	 */
	_exit(peak_kib() - before < 56 * 1024 ? 0 : 5);
}

static void test_memory_is_bounded(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	if (SANITIZED) {
		print_message("a sanitizer keeps freed memory\n");
		skip();
	}
	/* Threads do not follow into the child. */
	fsp_pool_set_workers(0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		fsp_pool_set_workers(2);
		stream_100mb();
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_chunking_changes_nothing),
		cmocka_unit_test(test_empty_object),
		cmocka_unit_test(test_iv_differs),
		cmocka_unit_test(test_php_objects),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_wrong_key),
		cmocka_unit_test(test_bomb),
		cmocka_unit_test(test_limit_is_exact),
		cmocka_unit_test(test_one_stream_only),
		cmocka_unit_test(test_trailing_garbage),
		cmocka_unit_test(test_random_bytes),
		cmocka_unit_test(test_sink_errors),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_choosing),
		cmocka_unit_test(test_hash_valid),
		cmocka_unit_test(test_digest_goes_on),
		cmocka_unit_test(test_sum),
		cmocka_unit_test(test_openssl_reads_it),
		cmocka_unit_test(test_memory_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
