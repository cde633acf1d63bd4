/*
 * The second step of packing a block: its sorted column becomes symbols, and
 * these the bits of codes. Which codes is the packer's own choice; it is made
 * as libbz2 makes it, so that a block is the same whoever packed it.
 *
 * Each group of 50 symbols takes that of up to six tables which gives it the
 * fewest bits. The tables begin as ranges of symbols that come equally often;
 * then four times: the groups choose, and each table becomes the one that is
 * best for those that chose it.
 */
#include <string.h>

#include "bzip2_pack.h"
#include "piece.h"

#define SYMBOLS 258             /* two for runs, 255 places, the end */
#define TABLES 6
#define GROUP 50
#define ROUNDS 4
#define LONGEST 17              /* a code, as bzip2 has them since 1.0.3 */
#define UNLIKELY 15             /* bits of what a first table is not for */
#define NEAR 8                  /* places that are looked at one by one */

/* One for each table, added up at once. */
typedef uint16_t costs __attribute__((vector_size(16)));

struct out {
	uint8_t *at;
	uint64_t bits;          /* of which `fill` are not there yet */
	unsigned fill;
};

struct writer {
	uint16_t *symbol;       /* of the block, the end included */
	size_t n;
	unsigned kinds;         /* of symbols that there may be */
	unsigned tables;
	uint32_t often[SYMBOLS];
	costs cost[SYMBOLS];    /* length of code, by table */
	uint32_t chosen[TABLES][SYMBOLS];
	uint32_t code[TABLES][SYMBOLS];
	uint8_t *selector;      /* table of each group */
	size_t groups;
};

/* No more than 32 bits. */
static void put(struct out *o, uint32_t value, unsigned n)
{
	o->bits = o->bits << n | value;
	o->fill += n;
	for (; o->fill >= 8; o->fill -= 8)
		*o->at++ = (uint8_t)(o->bits >> (o->fill - 8));
}

/* ---- symbols */

/* Which bytes there are, in order; and how many. */
static unsigned bytes_used(const uint8_t *column, size_t n, bool used[256],
                           uint8_t list[256])
{
	unsigned count = 0;

	for (size_t i = 0; i < n; i++)
		used[column[i]] = true;
	for (unsigned b = 0; b < 256; b++)
		if (used[b])
			list[count++] = (uint8_t)b;
	return count;
}

static void add_symbol(struct writer *w, unsigned s)
{
	w->symbol[w->n++] = (uint16_t)s;
	w->often[s]++;
}

/* A run as a number in digits of 1 and 2, the lowest first. */
static void add_run(struct writer *w, size_t run)
{
	for (; run; run = (run - 1) / 2)
		add_symbol(w, run % 2 ? 0 : 1);
}

/* It is in the list, and goes to its front. */
static unsigned place_of(uint8_t *list, size_t n, uint8_t byte)
{
	unsigned place = 0;
	uint8_t moved = list[0];

	while (moved != byte && place < NEAR) {
		uint8_t next = list[++place];

		list[place] = moved;
		moved = next;
	}
	if (moved != byte) {
		const uint8_t *at = memchr(list + NEAR + 1, byte,
		                           n - NEAR - 1);

		place = (unsigned)(at - list);
		memmove(list + NEAR + 2, list + NEAR + 1, place - NEAR - 1);
		list[NEAR + 1] = moved;
	}
	list[0] = byte;
	return place;
}

static void make_symbols(struct writer *w, const uint8_t *column, size_t n,
                         uint8_t list[256])
{
	size_t run = 0;

	for (size_t i = 0; i < n; i++) {
		if (column[i] == list[0]) {
			run++;
			continue;
		}
		add_run(w, run);
		run = 0;
		add_symbol(w, place_of(list, w->kinds - 2, column[i]) + 1);
	}
	add_run(w, run);
	add_symbol(w, w->kinds - 1);
}

/* ---- lengths of codes */

/* Nodes by weight, the lightest first; equal ones as libbz2 has them. */
struct heap {
	unsigned n;
	uint16_t node[SYMBOLS + 2];             /* from 1 on; 0 is below all */
	uint32_t weight[2 * SYMBOLS];           /* << 8, and the tree's depth */
	uint16_t parent[2 * SYMBOLS];
};

static void heap_add(struct heap *h, unsigned node)
{
	unsigned at = ++h->n;

	for (; h->weight[node] < h->weight[h->node[at / 2]]; at /= 2)
		h->node[at] = h->node[at / 2];
	h->node[at] = (uint16_t)node;
}

static unsigned heap_take(struct heap *h)
{
	unsigned first = h->node[1], node = h->node[h->n--], at = 1, next;

	while ((next = 2 * at) <= h->n) {
		if (next < h->n &&
		    h->weight[h->node[next + 1]] < h->weight[h->node[next]])
			next++;
		if (h->weight[node] < h->weight[h->node[next]])
			break;
		h->node[at] = h->node[next];
		at = next;
	}
	h->node[at] = (uint16_t)node;
	return first;
}

static uint32_t both_weights(uint32_t a, uint32_t b)
{
	uint32_t deeper = (a & 255) > (b & 255) ? a & 255 : b & 255;

	return ((a & ~255u) + (b & ~255u)) | (deeper + 1);
}

static void make_tree(struct heap *h, unsigned kinds)
{
	unsigned nodes = kinds;

	h->n = 0;
	for (unsigned i = 1; i <= kinds; i++)
		heap_add(h, i);
	while (h->n > 1) {
		unsigned a = heap_take(h), b = heap_take(h);

		nodes++;
		h->parent[a] = h->parent[b] = (uint16_t)nodes;
		h->weight[nodes] = both_weights(h->weight[a], h->weight[b]);
		heap_add(h, nodes);
	}
}

/* A parent has a greater number than its children. Returns the most. */
static unsigned find_depths(const struct heap *h, unsigned kinds,
                            uint8_t depth[2 * SYMBOLS])
{
	unsigned node = 2 * kinds - 1, most = 0;

	depth[node] = 0;
	while (--node) {
		depth[node] = (uint8_t)(depth[h->parent[node]] + 1);
		if (node <= kinds && depth[node] > most)
			most = depth[node];
	}
	return most;
}

/* Into column t of the costs. Weights are evened out until all are short. */
static void make_lengths(struct writer *w, unsigned t)
{
	struct heap h;
	uint8_t depth[2 * SYMBOLS];
	unsigned longest;

	h.node[0] = 0;
	h.weight[0] = 0;

	for (unsigned i = 0; i < w->kinds; i++)
		h.weight[i + 1] = (w->chosen[t][i] ? w->chosen[t][i] : 1) << 8;
	do {
		make_tree(&h, w->kinds);
		longest = find_depths(&h, w->kinds, depth);
		for (unsigned i = 1; i <= w->kinds; i++)
			h.weight[i] = (1 + (h.weight[i] >> 8) / 2) << 8;
	} while (longest > LONGEST);
	for (unsigned i = 0; i < w->kinds; i++)
		w->cost[i][t] = depth[i + 1];
}

/* ---- tables */

static unsigned tables_for(size_t symbols)
{
	return symbols < 200 ? 2 : symbols < 600 ? 3 : symbols < 1200 ? 4 :
	       symbols < 2400 ? 5 : 6;
}

/* The last table gets the first range. */
static void first_tables(struct writer *w)
{
	uint32_t left = (uint32_t)w->n;
	int first = 0, kinds = (int)w->kinds;

	for (unsigned part = w->tables; part; part--) {
		uint32_t want = left / part, have = 0;
		int last = first - 1;

		while (have < want && last < kinds - 1)
			have += w->often[++last];
		if (last > first && part != w->tables && part != 1 &&
		    (w->tables - part) % 2 == 1)
			have -= w->often[last--];
		for (int i = 0; i < kinds; i++)
			w->cost[i][part - 1] = i >= first && i <= last ?
				0 : UNLIKELY;
		first = last + 1;
		left -= have;
	}
}

static size_t group_len(const struct writer *w, size_t at)
{
	return w->n - at < GROUP ? w->n - at : GROUP;
}

/* The first of the cheapest. */
static unsigned cheapest(const struct writer *w, const uint16_t *symbol,
                         size_t n)
{
	costs cost = { 0 };
	unsigned best = 0;

	for (size_t i = 0; i < n; i++)
		cost += w->cost[symbol[i]];
	for (unsigned t = 1; t < w->tables; t++)
		if (cost[t] < cost[best])
			best = t;
	return best;
}

static void choose(struct writer *w)
{
	memset(w->chosen, 0, sizeof(w->chosen));
	w->groups = 0;
	for (size_t at = 0; at < w->n; at += GROUP) {
		size_t n = group_len(w, at);
		unsigned t = cheapest(w, w->symbol + at, n);

		w->selector[w->groups++] = (uint8_t)t;
		for (size_t i = 0; i < n; i++)
			w->chosen[t][w->symbol[at + i]]++;
	}
}

static void make_codes(struct writer *w, unsigned t)
{
	uint32_t code = 0;

	for (unsigned len = 1; len <= LONGEST; len++, code <<= 1)
		for (unsigned i = 0; i < w->kinds; i++)
			if (w->cost[i][t] == len)
				w->code[t][i] = code++;
}

static void make_tables(struct writer *w)
{
	w->tables = tables_for(w->n);
	first_tables(w);
	for (unsigned round = 0; round < ROUNDS; round++) {
		choose(w);
		for (unsigned t = 0; t < w->tables; t++)
			make_lengths(w, t);
	}
	for (unsigned t = 0; t < w->tables; t++)
		make_codes(w, t);
}

/* ---- bits */

static void put_used(struct out *o, const bool used[256])
{
	uint32_t some = 0, of[16] = { 0 };

	for (unsigned b = 0; b < 256; b++)
		of[b / 16] = of[b / 16] << 1 | used[b];
	for (unsigned i = 0; i < 16; i++)
		some = some << 1 | (of[i] != 0);
	put(o, some, 16);
	for (unsigned i = 0; i < 16; i++)
		if (of[i])
			put(o, of[i], 16);
}

/* As places in a list where what was named goes to the front. */
static void put_selectors(struct out *o, const struct writer *w)
{
	uint8_t list[TABLES];

	for (unsigned t = 0; t < TABLES; t++)
		list[t] = (uint8_t)t;
	put(o, w->tables, 3);
	put(o, (uint32_t)w->groups, 15);
	for (size_t g = 0; g < w->groups; g++) {
		unsigned place = place_of(list, TABLES, w->selector[g]);

		put(o, (1u << (place + 1)) - 2, place + 1);
	}
}

static void put_table(struct out *o, const struct writer *w, unsigned t)
{
	unsigned len = w->cost[0][t];

	put(o, len, 5);
	for (unsigned i = 0; i < w->kinds; i++) {
		for (; len < w->cost[i][t]; len++)
			put(o, 2, 2);
		for (; len > w->cost[i][t]; len--)
			put(o, 3, 2);
		put(o, 0, 1);
	}
}

static void put_symbols(struct out *o, const struct writer *w)
{
	for (size_t g = 0; g < w->groups; g++) {
		const uint16_t *s = w->symbol + g * GROUP;
		size_t n = group_len(w, g * GROUP);
		unsigned t = w->selector[g];

		for (size_t i = 0; i < n; i++)
			put(o, w->code[t][s[i]], w->cost[s[i]][t]);
	}
}

/* Each byte is a symbol at the most, and the end is one. */
static size_t most_symbols(size_t n)
{
	return n + 1;
}

size_t bzip2_write_room(size_t n)
{
	return most_symbols(n) * sizeof(uint16_t) + most_symbols(n) / GROUP + 1;
}

size_t bzip2_write_bound(size_t n)
{
	size_t symbols = most_symbols(n), groups = symbols / GROUP + 1;
	size_t head = 48 + 32 + 1 + 24 + 17 * 16 + 3 + 15;
	size_t table = 5 + SYMBOLS * (2 * LONGEST + 1);

	return (head + groups * TABLES + TABLES * table + symbols * LONGEST) /
		8 + 1;
}

uint64_t bzip2_write(const uint8_t *column, size_t n, uint32_t origin,
                     uint32_t crc, void *room, uint8_t *out)
{
	struct writer w = {
		.symbol = room,
		.selector = (uint8_t *)room +
			most_symbols(n) * sizeof(*w.symbol)
	};
	struct out o = { .at = out };
	bool used[256] = { false };
	uint8_t list[256];
	uint64_t bits;

	w.kinds = bytes_used(column, n, used, list) + 2;
	make_symbols(&w, column, n, list);
	make_tables(&w);
	put(&o, BZ_BLOCK_MAGIC >> 24, 24);
	put(&o, BZ_BLOCK_MAGIC & 0xffffff, 24);
	put(&o, crc, 32);
	put(&o, 0, 1);          /* not randomised */
	put(&o, origin, 24);
	put_used(&o, used);
	put_selectors(&o, &w);
	for (unsigned t = 0; t < w.tables; t++)
		put_table(&o, &w, t);
	put_symbols(&o, &w);
	bits = (uint64_t)(o.at - out) * 8 + o.fill;
	if (o.fill)
		put(&o, 0, 8 - o.fill);
	return bits;
}
