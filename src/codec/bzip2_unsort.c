/*
 * The second step of reading a block: from the last column of the sorted
 * rotations back to the block.
 *
 * Each row has its byte and the row of the byte that follows. That is one chain
 * through all of memory, and each step waits for the one before. But nothing
 * says that it must be followed from its beginning: rows at equal distances are
 * marked, and from each marked row the chain is followed to the next one that
 * is. Several of these *stretches* are followed at once, in *lanes*, so that
 * their waits for memory overlap. How long a stretch gets nobody knows before,
 * so its bytes go into *parts* of a fixed size, which are put together at the
 * end, beginning with the stretch of the block's own row.
 *
 * Any column makes a permutation of its rows, so a stretch always ends, and all
 * of them have n bytes together. A permutation of several cycles is what a
 * block that repeats itself has, or a damaged one: the stretches of the first
 * cycle are gone through again then, as by somebody who follows the chain.
 */
#include <string.h>

#include "unbzip2.h"

#define LANES 12
#define PART 1024
#define STEPS 64                /* of all lanes, then parts are looked at */
#define STRETCH_ROWS 2048       /* a marked row in so many, */
#define STRETCHES 256           /* and no more than these */

#define MARK 0x80000000u        /* of a row: a stretch begins here */
#define ENDS 0x80000000u        /* of a part's next: a stretch's number */
#define NO_PART UINT32_MAX

struct part {
	uint32_t len;
	uint32_t next;          /* part, or ENDS and the stretch after this */
};

struct lane {
	uint32_t row;           /* the entry of a row, which is not taken yet */
	uint32_t part;          /* NO_PART: it has nothing to do */
	uint32_t at;            /* in bytes, less the steps of this round */
};

struct unsort {
	uint32_t *rows;         /* row that follows << 8 | byte */
	uint32_t n, origin;
	uint8_t *bytes;
	uint32_t n_parts, gap, stretches, next_stretch;
	unsigned busy;          /* lanes */
	struct lane lane[LANES];
	uint32_t first[STRETCHES + 1];  /* part of each stretch */
	struct part *part;
};

static size_t marked_rows(size_t n)
{
	return n / STRETCH_ROWS < STRETCHES ? n / STRETCH_ROWS : STRETCHES;
}

/* One that a stretch leaves is full up to STEPS, or its last. */
static size_t most_parts(size_t n)
{
	return n / (PART - STEPS) + marked_rows(n) + 2 + LANES;
}

static size_t parts_at(size_t n)
{
	return most_parts(n) * PART;
}

size_t unsort_room(size_t n)
{
	return parts_at(n) + most_parts(n) * sizeof(struct part);
}

static void link_rows(struct unsort *u, const uint8_t *byte)
{
	uint32_t at[256] = { 0 }, sum = 0;

	for (uint32_t i = 0; i < u->n; i++)
		at[byte[i]]++;
	for (unsigned c = 0; c < 256; c++) {
		uint32_t some = at[c];

		at[c] = sum;
		sum += some;
	}
	for (uint32_t i = 0; i < u->n; i++)
		u->rows[at[byte[i]]++] = i << 8 | byte[i];
	u->rows[u->n] = u->n << 8;      /* where idle lanes stay */
}

/* Stretch 0 is the block's own row's. */
static uint32_t row_of(const struct unsort *u, uint32_t stretch)
{
	return stretch ? (stretch - 1) * u->gap : u->origin;
}

static uint32_t stretch_at(const struct unsort *u, uint32_t row)
{
	return row == u->origin ? 0 : row / u->gap + 1;
}

static void mark_rows(struct unsort *u)
{
	uint32_t n = (uint32_t)marked_rows(u->n);

	u->gap = n ? (u->n + n - 1) / n : u->n;
	u->stretches = n + 1;
	/* No stretch but 0 may begin at the origin. */
	for (uint32_t s = 0; s < u->stretches; s++)
		u->rows[row_of(u, s)] |= MARK;
}

static void new_part(struct unsort *u, struct lane *l, uint32_t step)
{
	l->part = u->n_parts++;
	l->at = l->part * PART - step;
}

/* The lane has no stretch any more: its bytes go where nobody reads. */
static void idle(const struct unsort *u, struct lane *l)
{
	l->row = u->rows[u->n];
	l->part = NO_PART;
	l->at = (uint32_t)(most_parts(u->n) - 1) * PART;
}

static void begin_stretch(struct unsort *u, struct lane *l, uint32_t step)
{
	uint32_t s = u->next_stretch++;

	if (s && s < u->stretches && row_of(u, s) == u->origin)
		s = u->next_stretch++;
	if (s >= u->stretches) {
		idle(u, l);
		return;
	}
	l->row = u->rows[row_of(u, s)] & ~MARK;
	new_part(u, l, step);
	u->first[s] = l->part;
	u->busy++;
}

static void end_part(struct unsort *u, struct lane *l, uint32_t step,
                     uint32_t next)
{
	u->part[l->part] = (struct part){
		l->at + step - l->part * PART, next
	};
}

/* Row is marked: that is where another stretch begins. */
static void end_stretch(struct unsort *u, struct lane *l, uint32_t row,
                        uint32_t step)
{
	end_part(u, l, step, ENDS | stretch_at(u, row));
	u->busy--;
	begin_stretch(u, l, step);
}

/* For STEPS bytes in each lane. */
static void make_room(struct unsort *u)
{
	for (unsigned i = 0; i < LANES; i++) {
		struct lane *l = &u->lane[i];

		if (l->part == NO_PART) {
			idle(u, l);
		} else if (l->at + STEPS > (l->part + 1) * PART) {
			end_part(u, l, 0, u->n_parts);
			new_part(u, l, 0);
		}
	}
}

static void take_steps(struct unsort *u)
{
	for (uint32_t step = 0; step < STEPS; step++) {
		for (unsigned i = 0; i < LANES; i++) {
			struct lane *l = &u->lane[i];
			uint32_t to = l->row >> 8, row = u->rows[to];

			/* at alone may be less than nothing, modulo 2^32. */
			u->bytes[(uint32_t)(l->at + step)] = (uint8_t)l->row;
			if (__builtin_expect(row & MARK, 0))
				end_stretch(u, l, to, step + 1);
			else
				l->row = row;
		}
	}
	for (unsigned i = 0; i < LANES; i++)
		u->lane[i].at += STEPS;
}

static void put_together(const struct unsort *u, uint8_t *out)
{
	uint32_t at = u->first[0], done = 0;

	while (done < u->n) {
		const struct part *p = &u->part[at];
		uint32_t left = u->n - done;
		uint32_t len = p->len < left ? p->len : left;

		memcpy(out + done, u->bytes + (size_t)at * PART, len);
		done += len;
		at = p->next & ENDS ? u->first[p->next & ~ENDS] : p->next;
	}
}

int bzip2_unsort(const struct column *c, uint32_t *rows, uint8_t *room,
                 struct fsp_buf *out)
{
	struct unsort u = { .rows = rows, .n = (uint32_t)c->n,
		            .origin = c->origin, .bytes = room };
	int err = fsp_buf_reserve(out, c->n);

	if (err)
		return err;
	link_rows(&u, c->byte);
	/* From here on the column's bytes are written over. */
	u.part = (struct part *)(void *)(room + parts_at(c->n));
	mark_rows(&u);
	for (unsigned i = 0; i < LANES; i++)
		begin_stretch(&u, &u.lane[i], 0);
	while (u.busy) {
		make_room(&u);
		take_steps(&u);
	}
	put_together(&u, (uint8_t *)out->data + out->len);
	out->len += c->n;
	return 0;
}
