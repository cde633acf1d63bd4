/* Bytes as text, hashing for tables, arrays, random bytes, wiping. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "fsp_buf.h"
#include "fsp_log.h"

#define GROW_FROM 8

void fsp_hex(char *out, const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i++) {
		*out++ = digits[p[i] >> 4];
		*out++ = digits[p[i] & 15];
	}
	*out = '\0';
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int fsp_unhex(void *out, size_t len, const char *hex)
{
	unsigned char *p = out;

	for (size_t i = 0; i < len; i++) {
		int hi = nibble(hex[0]);
		int lo = hi < 0 ? -1 : nibble(hex[1]);

		if (lo < 0)
			return -EINVAL;
		*p++ = (unsigned char)(hi << 4 | lo);
		hex += 2;
	}
	return *hex ? -EINVAL : 0;
}

const char *fsp_human(char *out, size_t size, uint64_t bytes)
{
	static const char *const units[] = { "B",   "KiB", "MiB", "GiB",
		                             "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	size_t i = 0;

	/* 1023.95 would be printed as 1024.0: that is the next unit's 1.0. */
	while (value >= (i ? 1023.95 : 1024) && i < 6) {
		value /= 1024;
		i++;
	}
	(void)snprintf(out, size, "%.*f %s", i ? 1 : 0, value, units[i]);
	return out;
}

/* How many bytes the UTF-8 character at s has; 0 when it is none. */
static size_t utf8_len(const unsigned char *s)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t n;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	/* Shut out overlong forms, surrogates and what is beyond U+10FFFF. */
	if (s[0] == 0xe0)
		low = 0xa0;
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xed)
		high = 0x9f;
	else if (s[0] == 0xf4)
		high = 0x8f;
	if (s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

int fsp_buf_json(struct fsp_buf *b, const char *s)
{
	const unsigned char *p = (const unsigned char *)s;
	int err = fsp_buf_addc(b, '"');

	while (!err && *p) {
		size_t n = utf8_len(p);

		if (n == 0 || *p < 0x20 || *p == 0x7f) {
			err = fsp_buf_printf(b, "\\u%04x", *p);
			n = 1;
		} else if (*p == '"' || *p == '\\') {
			err = fsp_buf_printf(b, "\\%c", *p);
		} else {
			err = fsp_buf_add(b, p, n);
		}
		p += n;
	}
	return err ? err : fsp_buf_addc(b, '"');
}

uint64_t fsp_hash64(const void *data, size_t len, uint64_t seed)
{
	return fsp_hash64_more(0xcbf29ce484222325ULL ^ seed, data, len);
}

uint64_t fsp_hash64_more(uint64_t h, const void *data, size_t len)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3ULL;
	return h;
}

void *fsp_grow(void *array, size_t n, size_t *cap, size_t size)
{
	size_t more = *cap ? *cap * 2 : GROW_FROM;

	if (n < *cap)
		return array;
	array = reallocarray(array, more, size);
	if (array)
		*cap = more;
	return array;
}

size_t fsp_lower_bound(const void *array, size_t n, size_t size, size_t offset,
                       uint64_t key)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		uint64_t found;

		memcpy(&found, (const char *)array + mid * size + offset,
		       sizeof(found));
		if (found < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

void fsp_wipe(void *p, size_t len)
{
	if (len)
		explicit_bzero(p, len);
}

void fsp_random(void *p, size_t len)
{
	unsigned char *at = p;

	while (len) {
		ssize_t n = getrandom(at, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			fsp_error("the kernel gives no random bytes: %m");
			abort();
		}
		at += n;
		len -= (size_t)n;
	}
}
