/*
 * What the tests of the codec share: content from a seed, a store's keys.
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

static inline struct fsp_keys php_keys(void)
{
	struct fsp_keys k = { .set = true };

	assert_int_equal(fsp_unhex(k.key, 32, PHP_KEY), 0);
	assert_int_equal(fsp_unhex(k.iv, 16, PHP_IV), 0);
	return k;
}

static inline int buf_sink(void *arg, const void *buf, size_t len)
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

#endif
