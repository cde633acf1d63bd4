/*
 * The first step of reading a block: its bits are prefix codes of positions in
 * a list of bytes, the one that is named moving to the front, and of the lengths
 * of runs of the first.
 *
 * What comes may be anybody's: behind its last bit a block reads zeros, which
 * end every loop, and one that has read any is refused at the end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "piece.h"
#include "unbzip2.h"

#define TABLES_MAX 6
#define SYMBOLS_MAX 258         /* two of runs, 255 positions, the end */
#define CODE_MAX 20             /* bits */
#define SHORT 10                /* codes up to this are looked up at once */
#define SELECTORS_MAX 18002     /* more say nothing */
#define GROUP 50                /* symbols that one table codes */
#define RUN_DIGITS 20           /* no block has as long a run */

/* The next bit is the highest of acc, which has n of them. */
struct bit_reader {
	const uint8_t *p, *end;
	uint64_t acc, read;     /* read: bits taken into acc */
	unsigned n;
};

struct table {
	uint16_t quick[1 << SHORT];     /* symbol << 5 | length; 0: longer */
	uint16_t symbol[SYMBOLS_MAX];   /* by length, then value */
	uint32_t first[CODE_MAX + 1];   /* code of each length */
	uint32_t limit[CODE_MAX + 2];   /* behind the last, as CODE_MAX bits */
	uint16_t at[CODE_MAX + 1];      /* of that first one, in symbol */
};

struct coding {
	struct bit_reader in;
	unsigned n_symbols, n_tables, n_selectors;
	uint8_t list[256];              /* the bytes, the last one in front */
	uint8_t selector[SELECTORS_MAX];
	struct table table[TABLES_MAX];
};

static void refill(struct bit_reader *r)
{
	while (r->n <= 56) {
		uint64_t byte = r->p < r->end ? *r->p++ : 0;

		r->acc |= byte << (56 - r->n);
		r->n += 8;
		r->read += 8;
	}
}

/* At least 56 bits. */
static inline void more(struct bit_reader *r)
{
	uint64_t v;
	unsigned bytes;

	if (r->end - r->p < 8) {
		refill(r);
		return;
	}
	memcpy(&v, r->p, 8);
	r->acc |= __builtin_bswap64(v) >> r->n;
	bytes = (63 - r->n) / 8;
	r->p += bytes;
	r->n += bytes * 8;
	r->read += bytes * 8;
}

static inline void drop(struct bit_reader *r, unsigned n)
{
	r->acc <<= n;
	r->n -= n;
}

/* 1 to 32 bits. */
static uint32_t get(struct bit_reader *r, unsigned n)
{
	uint32_t v;

	if (r->n < n)
		more(r);
	v = (uint32_t)(r->acc >> (64 - n));
	drop(r, n);
	return v;
}

static uint64_t used(const struct bit_reader *r)
{
	return r->read - r->n;
}

static int read_head(struct bit_reader *r, struct column *c)
{
	uint64_t magic = (uint64_t)get(r, 24) << 24;

	magic |= get(r, 24);
	c->crc = get(r, 32);
	if (magic != BZ_BLOCK_MAGIC)
		return -EIO;
	if (get(r, 1))
		return -EOPNOTSUPP;
	c->origin = get(r, 24);
	return 0;
}

static int read_bytes_used(struct coding *k)
{
	unsigned groups = get(&k->in, 16), n = 0;

	for (unsigned g = 0; g < 16; g++) {
		unsigned some = groups << g & 0x8000 ? get(&k->in, 16) : 0;

		for (unsigned i = 0; i < 16; i++)
			if (some << i & 0x8000)
				k->list[n++] = (uint8_t)(16 * g + i);
	}
	k->n_symbols = n + 2;
	return n ? 0 : -EIO;
}

/* Which table codes each group: positions in a list, too. */
static int read_selectors(struct coding *k)
{
	uint8_t list[TABLES_MAX] = { 0, 1, 2, 3, 4, 5 };
	unsigned n;

	k->n_tables = get(&k->in, 3);
	n = get(&k->in, 15);
	if (k->n_tables < 2 || k->n_tables > TABLES_MAX || !n)
		return -EIO;
	k->n_selectors = n < SELECTORS_MAX ? n : SELECTORS_MAX;
	for (unsigned i = 0; i < n; i++) {
		unsigned at = 0;
		uint8_t which;

		while (get(&k->in, 1))
			if (++at >= k->n_tables)
				return -EIO;
		which = list[at];
		memmove(list + 1, list, at);
		list[0] = which;
		if (i < SELECTORS_MAX)
			k->selector[i] = which;
	}
	return 0;
}

/* Each symbol's length is told by its difference to the one before. */
static int read_lengths(struct coding *k, uint8_t *length)
{
	unsigned len = get(&k->in, 5);

	for (unsigned i = 0; i < k->n_symbols; i++) {
		for (;;) {
			if (len < 1 || len > CODE_MAX)
				return -EIO;
			if (!get(&k->in, 1))
				break;
			len = get(&k->in, 1) ? len - 1 : len + 1;
		}
		length[i] = (uint8_t)len;
	}
	return 0;
}

static void fill_quick(struct table *t, unsigned symbol, unsigned len,
                       uint32_t code)
{
	unsigned from = code << (SHORT - len), n = 1u << (SHORT - len);

	for (unsigned i = 0; i < n; i++)
		t->quick[from + i] = (uint16_t)(symbol << 5 | len);
}

/* Codes in the order of their lengths, then of the symbols. */
static int make_table(struct table *t, const uint8_t *length, unsigned n)
{
	uint32_t code = 0;
	unsigned at = 0;

	memset(t->quick, 0, sizeof(t->quick));
	for (unsigned len = 1; len <= CODE_MAX; len++) {
		code <<= 1;
		t->first[len] = code;
		t->at[len] = (uint16_t)at;
		for (unsigned s = 0; s < n; s++) {
			if (length[s] != len)
				continue;
			if (code >> len)
				return -EIO;    /* there are no more */
			if (len <= SHORT)
				fill_quick(t, s, len, code);
			t->symbol[at++] = (uint16_t)s;
			code++;
		}
		t->limit[len] = code << (CODE_MAX - len);
	}
	t->limit[CODE_MAX + 1] = UINT32_MAX;
	return 0;
}

static int read_tables(struct coding *k)
{
	uint8_t length[SYMBOLS_MAX];
	int err = 0;

	for (unsigned i = 0; !err && i < k->n_tables; i++) {
		err = read_lengths(k, length);
		if (!err)
			err = make_table(&k->table[i], length, k->n_symbols);
	}
	return err;
}

/* The next symbol; what is no code is the end of no block. */
static unsigned long_symbol(struct bit_reader *r, const struct table *t)
{
	uint32_t code = (uint32_t)(r->acc >> (64 - CODE_MAX));
	unsigned len = SHORT + 1;

	while (code >= t->limit[len])
		len++;
	if (len > CODE_MAX)
		return SYMBOLS_MAX;
	drop(r, len);
	code >>= CODE_MAX - len;
	return t->symbol[t->at[len] + code - t->first[len]];
}

static inline unsigned next_symbol(struct bit_reader *r, const struct table *t)
{
	unsigned quick;

	if (r->n < CODE_MAX)
		more(r);
	quick = t->quick[r->acc >> (64 - SHORT)];
	if (!quick)
		return long_symbol(r, t);
	drop(r, quick & 31);
	return quick >> 5;
}

static inline uint8_t to_front(uint8_t *list, unsigned at)
{
	uint8_t byte = list[at];

	if (at < 16)
		for (unsigned i = at; i > 0; i--)
			list[i] = list[i - 1];
	else
		memmove(list + 1, list, at);
	list[0] = byte;
	return byte;
}

struct run {
	uint32_t len;
	unsigned digits;        /* of a number with the digits 1 and 2 */
};

static int end_run(struct coding *k, struct run *run, struct column *c)
{
	if (run->len > c->max - c->n)
		return -EIO;
	memset(c->byte + c->n, k->list[0], run->len);
	c->n += run->len;
	*run = (struct run){ 0, 0 };
	return 0;
}

/* A group of symbols. 1: the last of them is the end. */
static int read_group(struct coding *k, const struct table *t, struct run *run,
                      struct column *c)
{
	unsigned end = k->n_symbols - 1;

	for (unsigned i = 0; i < GROUP; i++) {
		unsigned s = next_symbol(&k->in, t);

		if (s <= 1) {
			if (run->digits == RUN_DIGITS)
				return -EIO;
			run->len += (s + 1) << run->digits++;
			continue;
		}
		if (run->len && end_run(k, run, c))
			return -EIO;
		if (s >= end)
			return s == end ? 1 : -EIO;
		if (c->n == c->max)
			return -EIO;
		c->byte[c->n++] = to_front(k->list, s - 1);
	}
	return 0;
}

static int read_symbols(struct coding *k, struct column *c)
{
	struct run run = { 0, 0 };
	int err = 0;

	for (unsigned i = 0; !err && i < k->n_selectors; i++)
		err = read_group(k, &k->table[k->selector[i]], &run, c);
	if (err <= 0)
		return -EIO;
	return c->origin < c->n ? 0 : -EIO;
}

int bzip2_column(const struct unbzip2_in *in, struct column *c)
{
	FSP_FREE struct coding *k = malloc(sizeof(*k));
	int err;

	if (!k)
		return -ENOMEM;
	k->in = (struct bit_reader){ in->p, in->p + in->len, 0, 0, 0 };
	c->n = 0;
	if (in->skip)
		(void)get(&k->in, in->skip);
	err = read_head(&k->in, c);
	if (!err)
		err = read_bytes_used(k);
	if (!err)
		err = read_selectors(k);
	if (!err)
		err = read_tables(k);
	if (!err)
		err = read_symbols(k, c);
	if (!err && used(&k->in) != in->skip + in->bits)
		err = -EIO;
	return err;
}
