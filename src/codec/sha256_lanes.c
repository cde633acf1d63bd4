/* FIPS 180-4, by lanes. Names are those of the standard. */
#include "sha256_lanes.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define BLOCK 64
#define WORDS 16                /* of a block */
#define STATE 8

#define TARGET __attribute__((target("avx512f,avx512bw")))
#define INLINE static inline __attribute__((always_inline)) TARGET

typedef __m512i vec;            /* a word of each lane */

static const uint32_t k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
	0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
	0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
	0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
};

static const uint32_t h0[STATE] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
	0x1f83d9ab, 0x5be0cd19
};

bool sha256_lanes_usable(void)
{
	return __builtin_cpu_supports("avx512f") &&
	       __builtin_cpu_supports("avx512bw");
}

INLINE vec add(vec a, vec b)
{
	return _mm512_add_epi32(a, b);
}

INLINE vec xor3(vec a, vec b, vec c)
{
	return _mm512_ternarylogic_epi32(a, b, c, 0x96);
}

INLINE vec big_sigma0(vec a)
{
	return xor3(_mm512_ror_epi32(a, 2), _mm512_ror_epi32(a, 13),
	            _mm512_ror_epi32(a, 22));
}

INLINE vec big_sigma1(vec a)
{
	return xor3(_mm512_ror_epi32(a, 6), _mm512_ror_epi32(a, 11),
	            _mm512_ror_epi32(a, 25));
}

INLINE vec sigma0(vec a)
{
	return xor3(_mm512_ror_epi32(a, 7), _mm512_ror_epi32(a, 18),
	            _mm512_srli_epi32(a, 3));
}

INLINE vec sigma1(vec a)
{
	return xor3(_mm512_ror_epi32(a, 17), _mm512_ror_epi32(a, 19),
	            _mm512_srli_epi32(a, 10));
}

INLINE vec ch(vec e, vec f, vec g)
{
	return _mm512_ternarylogic_epi32(e, f, g, 0xca);
}

INLINE vec maj(vec a, vec b, vec c)
{
	return _mm512_ternarylogic_epi32(a, b, c, 0xe8);
}

/* Quarters of four rows that hold the same columns: a column each. */
INLINE void columns(const vec r[WORDS], int j, vec w[WORDS])
{
	vec a = _mm512_shuffle_i32x4(r[j], r[4 + j], 0x88);
	vec b = _mm512_shuffle_i32x4(r[j], r[4 + j], 0xdd);
	vec c = _mm512_shuffle_i32x4(r[8 + j], r[12 + j], 0x88);
	vec d = _mm512_shuffle_i32x4(r[8 + j], r[12 + j], 0xdd);

	w[j] = _mm512_shuffle_i32x4(a, c, 0x88);
	w[4 + j] = _mm512_shuffle_i32x4(b, d, 0x88);
	w[8 + j] = _mm512_shuffle_i32x4(a, c, 0xdd);
	w[12 + j] = _mm512_shuffle_i32x4(b, d, 0xdd);
}

/* The block at off of each message: rows of 16 words become 16 columns. */
INLINE void load(vec w[WORDS], const uint8_t *const in[LANES], size_t off)
{
	const vec swap = _mm512_set4_epi32(0x0c0d0e0f, 0x08090a0b, 0x04050607,
	                                   0x00010203);
	vec r[LANES], t[LANES];

	for (int i = 0; i < LANES; i++)
		r[i] = _mm512_shuffle_epi8(_mm512_loadu_si512(in[i] + off),
		                           swap);
	for (int i = 0; i < LANES; i += 2) {
		t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
		t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
	}
	for (int i = 0; i < LANES; i += 4) {
		r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
		r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
		r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
		r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
	}
	for (int j = 0; j < 4; j++)
		columns(r, j, w);
}

/* w holds the last 16 words of the schedule. */
INLINE void round16(vec s[STATE], vec w[WORDS], int first)
{
#pragma GCC unroll 16
	for (int i = 0; i < WORDS; i++) {
		vec t1, t2;

		if (first)
			w[i] = add(add(w[i], sigma0(w[(i + 1) % WORDS])),
			           add(w[(i + 9) % WORDS],
			               sigma1(w[(i + 14) % WORDS])));
		t1 = add(add(s[7], big_sigma1(s[4])),
		         add(ch(s[4], s[5], s[6]),
		             add(w[i], _mm512_set1_epi32((int)k[first + i]))));
		t2 = add(big_sigma0(s[0]), maj(s[0], s[1], s[2]));
		s[7] = s[6];
		s[6] = s[5];
		s[5] = s[4];
		s[4] = add(s[3], t1);
		s[3] = s[2];
		s[2] = s[1];
		s[1] = s[0];
		s[0] = add(t1, t2);
	}
}

INLINE void compress(vec h[STATE], vec w[WORDS])
{
	vec s[STATE];

	memcpy(s, h, sizeof(s));
	for (int first = 0; first < 64; first += WORDS)
		round16(s, w, first);
	for (int i = 0; i < STATE; i++)
		h[i] = add(h[i], s[i]);
}

/* What ends a message whose length is a multiple of the block's. */
INLINE void padding(vec w[WORDS], size_t len)
{
	memset(w, 0, WORDS * sizeof(*w));
	w[0] = _mm512_set1_epi32((int)0x80000000);
	w[14] = _mm512_set1_epi32((int)(uint32_t)(len >> 29));
	w[15] = _mm512_set1_epi32((int)(uint32_t)(len << 3));
}

TARGET void sha256_lanes(const uint8_t *const in[LANES], size_t len,
                         uint8_t out[LANES][32])
{
	uint32_t words[STATE][LANES];
	vec h[STATE], w[WORDS];

	for (int i = 0; i < STATE; i++)
		h[i] = _mm512_set1_epi32((int)h0[i]);
	for (size_t off = 0; off < len; off += BLOCK) {
		load(w, in, off);
		compress(h, w);
	}
	padding(w, len);
	compress(h, w);
	memcpy(words, h, sizeof(words));
	for (int i = 0; i < LANES * STATE; i++) {
		uint32_t v = __builtin_bswap32(words[i % STATE][i / STATE]);

		memcpy(out[i / STATE] + i % STATE * sizeof(v), &v, sizeof(v));
	}
}

#else

bool sha256_lanes_usable(void)
{
	return false;
}

void sha256_lanes(const uint8_t *const in[LANES], size_t len,
                  uint8_t out[LANES][32])
{
	(void)in;
	(void)len;
	(void)out;
	__builtin_trap();               /* nobody calls it */
}

#endif
