/* Bits in the order of bzip2. */
#include "bits.h"

uint64_t bits_get(const void *p, uint64_t bit, unsigned n)
{
	const uint8_t *b = (const uint8_t *)p + bit / 8;
	unsigned have = 8 - (unsigned)(bit % 8);
	uint64_t v = *b & (0xffu >> (8 - have));

	if (have >= n)
		return v >> (have - n);
	for (; have + 8 <= n; have += 8)
		v = v << 8 | *++b;
	if (have < n)
		v = v << (n - have) | b[1] >> (8 - (n - have));
	return v;
}

int bits_put(struct bits *b, uint64_t value, unsigned n)
{
	int err = fsp_buf_reserve(&b->whole, 8);

	if (err)
		return err;
	while (n) {
		unsigned room = 8 - b->fill, take = n < room ? n : room;
		unsigned mask = (1u << take) - 1;
		unsigned v = (unsigned)(value >> (n - take)) & mask;

		b->last |= (uint8_t)(v << (room - take));
		b->fill += take;
		n -= take;
		if (b->fill < 8)
			break;
		b->whole.data[b->whole.len++] = (char)b->last;
		b->last = 0;
		b->fill = 0;
	}
	return 0;
}

/* Whole bytes, with both sides at any position within one. */
static void copy_bytes(struct bits *b, const uint8_t *p, unsigned skip,
                       uint64_t n)
{
	uint8_t *out = (uint8_t *)b->whole.data + b->whole.len;
	unsigned acc = b->last, fill = b->fill;

	for (uint64_t i = 0; i < n; i++) {
		unsigned v = p[i];

		if (skip)
			v = (v << skip | p[i + 1] >> (8 - skip)) & 0xff;
		out[i] = (uint8_t)(acc | v >> fill);
		acc = v << (8 - fill) & 0xff;
	}
	b->last = (uint8_t)acc;
	b->whole.len += n;
}

int bits_copy(struct bits *b, const void *p, uint64_t bit, uint64_t n)
{
	const uint8_t *from = (const uint8_t *)p + bit / 8;
	unsigned skip = (unsigned)(bit % 8), rest = (unsigned)(n % 8);
	int err = fsp_buf_reserve(&b->whole, n / 8 + 1);

	if (err)
		return err;
	copy_bytes(b, from, skip, n / 8);
	if (!rest)
		return 0;
	return bits_put(b, bits_get(from + n / 8, skip, rest), rest);
}

int bits_pad(struct bits *b)
{
	return b->fill ? bits_put(b, 0, 8 - b->fill) : 0;
}
