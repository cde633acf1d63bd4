/* XXH64, with the seed 0. */
#include "fsp_codec.h"

#include <string.h>

#define P1 0x9e3779b185ebca87u
#define P2 0xc2b2ae3d27d4eb4fu
#define P3 0x165667b19e3779f9u
#define P4 0x85ebca77c2b2ae63u
#define P5 0x27d4eb2f165667c5u

static uint64_t rotate(uint64_t v, unsigned n)
{
	return v << n | v >> (64 - n);
}

/* Little-endian, as the sum is defined. */
static uint64_t word(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	return v;
}

static uint64_t mix(uint64_t lane, uint64_t v)
{
	return rotate(lane + v * P2, 31) * P1;
}

void fsp_sum_begin(struct fsp_sum *s)
{
	*s = (struct fsp_sum){ .lane = { P1 + P2, P2, 0, -P1 } };
}

/* n whole parts of 32 bytes. */
static void add_parts(struct fsp_sum *s, const uint8_t *p, size_t n)
{
	uint64_t a = s->lane[0], b = s->lane[1], c = s->lane[2], d = s->lane[3];

	for (; n; n--, p += 32) {
		a = mix(a, word(p));
		b = mix(b, word(p + 8));
		c = mix(c, word(p + 16));
		d = mix(d, word(p + 24));
	}
	s->lane[0] = a;
	s->lane[1] = b;
	s->lane[2] = c;
	s->lane[3] = d;
}

void fsp_sum_add(struct fsp_sum *s, const void *buf, size_t len)
{
	size_t have = (size_t)(s->size % sizeof(s->rest)), n;
	const uint8_t *p = buf;

	s->size += len;
	if (have) {
		n = sizeof(s->rest) - have < len ? sizeof(s->rest) - have : len;
		memcpy(s->rest + have, p, n);
		if (have + n < sizeof(s->rest))
			return;
		add_parts(s, s->rest, 1);
		p += n;
		len -= n;
	}
	add_parts(s, p, len / sizeof(s->rest));
	if (len % sizeof(s->rest))
		memcpy(s->rest, p + len / sizeof(s->rest) * sizeof(s->rest),
		       len % sizeof(s->rest));
}

static uint64_t add_rest(const struct fsp_sum *s, uint64_t h)
{
	const uint8_t *p = s->rest;
	size_t n = (size_t)(s->size % sizeof(s->rest));

	for (; n >= 8; n -= 8, p += 8)
		h = rotate(h ^ mix(0, word(p)), 27) * P1 + P4;
	if (n >= 4) {
		uint64_t v = (uint64_t)p[0] | (uint64_t)p[1] << 8 |
			(uint64_t)p[2] << 16 | (uint64_t)p[3] << 24;

		h = rotate(h ^ v * P1, 23) * P2 + P3;
		n -= 4;
		p += 4;
	}
	for (; n; n--)
		h = rotate(h ^ *p++ * P5, 11) * P1;
	return h;
}

uint64_t fsp_sum_get(const struct fsp_sum *s)
{
	static const unsigned turns[4] = { 1, 7, 12, 18 };
	uint64_t h = 0;

	for (int i = 0; i < 4; i++)
		h += rotate(s->lane[i], turns[i]);
	for (int i = 0; i < 4; i++)
		h = (h ^ mix(0, s->lane[i])) * P1 + P4;
	if (s->size < sizeof(s->rest))
		h = P5;
	h = add_rest(s, h + s->size);
	h = (h ^ h >> 33) * P2;
	h = (h ^ h >> 29) * P3;
	return h ^ h >> 32;
}
