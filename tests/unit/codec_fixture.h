/*
 * What the tests of the codec share: content from a seed, a store's keys, and
 * whole contents through encoder and decoder.
 */
#ifndef CODEC_FIXTURE_H
#define CODEC_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_codec.h"

#define SEED 20150508u
#define PHP_KEY "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F"
#define PHP_IV "A0A1A2A3A4A5A6A7A8A9AAABACADAEAF"
#define UNLIMITED UINT64_MAX

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static uint32_t rng_state;

static uint32_t rng(void)
{
	rng_state = rng_state * 1664525u + 1013904223u;
	return rng_state >> 8;
}

static struct fsp_keys php_keys(void)
{
	struct fsp_keys k = { .set = true };

	assert_int_equal(fsp_unhex(k.key, 32, PHP_KEY), 0);
	assert_int_equal(fsp_unhex(k.iv, 16, PHP_IV), 0);
	return k;
}

static int buf_sink(void *arg, const void *buf, size_t len)
{
	return fsp_buf_add(arg, buf, len);
}

/* Half random, half text, so that bzip2 has something to do. */
static char *make_content(size_t size)
{
	char *p = malloc(size + 1);

	assert_non_null(p);
	for (size_t i = 0; i < size; i++)
		p[i] = (i / 5000) % 2 ? (char)rng() : (char)('a' + i % 23);
	return p;
}

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

#endif
