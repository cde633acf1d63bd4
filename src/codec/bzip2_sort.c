/*
 * The first step of packing a block, for short ones: all rotations of it in
 * order. They are dealt out by their first seven bytes, which takes no
 * comparisons; those that have these in common are sorted by the next five, and
 * so on. Five bytes lie in one number together with where the rotation begins.
 * That is faster than libbz2 while few rotations have much in common. Where
 * many have, it is given up: libbz2 knows better then.
 */
#include "bzip2_pack.h"

#include <endian.h>
#include <string.h>

#define PAIRS 65536
#define STEP 5                  /* bytes of the block in an item, */
#define WHERE 0xffffffu         /* and where it begins */
#define DIGIT 10                /* bits by which items are dealt out, */
#define DIGITS 4                /* so often: for all of their bytes */
#define PILES (1u << DIGIT)
#define STRETCH 56              /* bytes of two that are compared at once, */
#define AGREE 16                /* and of more than two */
#define FEW 12                  /* so many are sorted by counting */
/*
 * How many items may be looked at: so many for each byte beforehand, and so
 * many more when it has its place. What is too much shows early, then.
 */
#define CREDIT 4
#define EARNED 16

struct sorter {
	const uint8_t *block;
	uint64_t *item;         /* one for each rotation, */
	uint64_t *other;        /* and while they are dealt out */
	uint32_t *end;          /* of the items with a pair of first bytes */
	int64_t work;           /* that may be done yet */
};

static unsigned pair_at(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static uint64_t item_at(const uint8_t *block, uint64_t where, size_t depth)
{
	uint64_t v;

	memcpy(&v, block + where + depth, sizeof(v));
	return (be64toh(v) & ~(uint64_t)WHERE) | where;
}

/* Each to where as many are below it: nothing to guess for the processor. */
static void sort_few(uint64_t *v, size_t n)
{
	uint64_t sorted[FEW];

	for (size_t i = 0; i < n; i++) {
		size_t below = 0;

		for (size_t j = 0; j < n; j++)
			below += v[j] < v[i];
		sorted[below] = v[i];
	}
	memcpy(v, sorted, n * sizeof(*v));
}

static uint64_t middle(uint64_t a, uint64_t b, uint64_t c)
{
	if (a > b) {
		uint64_t t = a;

		a = b;
		b = t;
	}
	return c < a ? a : c > b ? b : c;
}

/* No two are equal. Returns how many are below the pivot, which is one. */
static size_t part(uint64_t *v, size_t n)
{
	/* They often lie in order, but for the one at an end. */
	uint64_t pivot = middle(v[n / 4], v[n / 2], v[n / 4 * 3]);
	size_t i = 0, j = n - 1;

	for (;;) {
		uint64_t t;

		while (v[i] < pivot)
			i++;
		while (v[j] > pivot)
			j--;
		if (i >= j)
			return i;
		t = v[i];
		v[i] = v[j];
		v[j] = t;
	}
}

static bool sort(struct sorter *s, uint64_t *v, size_t n)
{
	while (n > FEW) {
		size_t low = part(v, n);

		s->work -= (int64_t)n;
		if (s->work < 0)
			return false;
		/* The pivot is in its place. The shorter half first, so that
		 * this does not get deep. */
		if (low < n / 2) {
			if (!sort(s, v, low))
				return false;
			v += low + 1;
			n -= low + 1;
		} else {
			if (!sort(s, v + low + 1, n - low - 1))
				return false;
			n = low;
		}
	}
	sort_few(v, n);
	s->work -= (int64_t)n;
	return s->work >= 0;
}

/* A passage that comes twice makes many pairs that agree for long. */
static bool sort_two(struct sorter *s, uint64_t *v, size_t depth)
{
	const uint8_t *a = s->block + (v[0] & WHERE);
	const uint8_t *b = s->block + (v[1] & WHERE);

	for (; depth < SORT_DEPTH; depth += STRETCH) {
		int c = memcmp(a + depth, b + depth, STRETCH);

		if (c > 0) {
			uint64_t t = v[0];

			v[0] = v[1];
			v[1] = t;
		}
		if (c)
			return true;
		s->work -= 2;
		if (s->work < 0)
			return false;
	}
	return false;
}

/* How far n items agree, from depth on. */
static size_t agreed(struct sorter *s, const uint64_t *v, size_t n,
                     size_t depth)
{
	const uint8_t *first = s->block + (v[0] & WHERE);

	for (; depth + AGREE <= SORT_DEPTH; depth += AGREE) {
		for (size_t i = 1; i < n; i++)
			if (memcmp(first + depth,
			           s->block + (v[i] & WHERE) + depth, AGREE))
				return depth;
		s->work -= (int64_t)n;
	}
	return depth;
}

/* n items that agree up to depth, and are sorted by what is there. */
static bool refine(struct sorter *s, uint64_t *v, size_t n, size_t depth)
{
	size_t same, next;

	for (size_t i = 0; i < n; i += same) {
		for (same = 1; i + same < n &&
		               (v[i] | WHERE) == (v[i + same] | WHERE); same++)
			;
		if (same == 1)
			continue;
		if (same == 2) {
			if (!sort_two(s, v + i, depth + STEP))
				return false;
			continue;
		}
		next = agreed(s, v + i, same, depth + STEP);
		if (next > SORT_DEPTH)
			return false;
		for (size_t k = i; k < i + same; k++)
			v[k] = item_at(s->block, v[k] & WHERE, next);
		if (!sort(s, v + i, same) || !refine(s, v + i, same, next))
			return false;
	}
	return true;
}

/* From how many there are to where they begin. */
static void add_up(uint32_t *count, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		uint32_t some = count[i];

		count[i] = sum;
		sum += some;
	}
}

static unsigned digit(uint64_t item, unsigned i)
{
	return (unsigned)(item >> (24 + i * DIGIT)) % PILES;
}

/* By the third to seventh byte, the last digit first; ends in `other`. */
static void deal_by_key(const struct sorter *s, size_t n)
{
	uint32_t at[DIGITS][PILES] = { { 0 } };
	uint64_t *from = s->other, *to = s->item, *t;

	for (size_t i = 0; i < n; i++) {
		uint64_t item = item_at(s->block, i, 2);

		from[i] = item;
		for (unsigned d = 0; d < DIGITS; d++)
			at[d][digit(item, d)]++;
	}
	for (unsigned d = 0; d < DIGITS; d++) {
		add_up(at[d], PILES);
		for (size_t i = 0; i < n; i++)
			to[at[d][digit(from[i], d)]++] = from[i];
		t = from;
		from = to;
		to = t;
	}
}

/* Then by the first two: those that have them in common stay in order. */
static void deal_by_pair(const struct sorter *s, size_t n)
{
	memset(s->end, 0, PAIRS * sizeof(*s->end));
	for (size_t i = 0; i < n; i++)
		s->end[pair_at(s->block + i)]++;
	add_up(s->end, PAIRS);
	for (size_t i = 0; i < n; i++) {
		uint64_t item = s->other[i];
		const uint8_t *at = s->block + (item & WHERE);

		s->item[s->end[pair_at(at)]++] = item;
	}
}

bool bzip2_sort(const uint8_t *block, size_t n, struct slab *room,
                uint8_t *column, uint32_t *origin)
{
	struct sorter s = {
		.block = block, .work = (int64_t)n * CREDIT,
		.item = slab_alloc(room, (int)n, sizeof(*s.item)),
		.other = slab_alloc(room, (int)n, sizeof(*s.other)),
		.end = slab_alloc(room, PAIRS, sizeof(*s.end)),
	};
	size_t end;

	if (!s.item || !s.other || !s.end)
		return false;
	deal_by_key(&s, n);
	deal_by_pair(&s, n);
	for (size_t i = 0; i < n; i = end) {
		end = s.end[pair_at(block + (s.item[i] & WHERE))];
		s.work += (int64_t)(end - i) * EARNED;
		if (end - i > 1 && !refine(&s, s.item + i, end - i, 2))
			return false;
	}
	for (size_t i = 0; i < n; i++) {
		size_t where = s.item[i] & WHERE;

		if (!where)
			*origin = (uint32_t)i;
		column[i] = block[where ? where - 1 : n - 1];
	}
	return true;
}
