/*
 * Thinning: versions that were only steps on the way to what replaces them.
 *
 * An empty file that is filled, what one open file has flushed before, and what
 * a loop makes, are no versions that anybody would look for, unless they stood
 * for a while.
 */
#include <errno.h>
#include <string.h>

#include "sql_meta.h"

/* Rows of one version that a chain may have: each rename makes one. */
#define ROWS_EACH 4

static bool is_recent(const struct txn *t, const struct row *r)
{
	return (t->now_us - r->stored_us) * 1000 < t->m->opt.thin_ns;
}

/* The rows of the name, whatever files had it: a loop that saves by renaming. */
static int count_by_name(struct txn *t, const struct ent *e, int64_t *n)
{
	return sql_number(t, n, "SELECT COUNT(*) FROM {file} f WHERE"
	                  " {eq f.space_key} AND {eq f.file_key} AND"
	                  " f.stored_at > ?", "tti", e->key.space, e->key.file,
	                  t->now_us - t->m->opt.thin_ns / 1000);
}

static int read_row(struct txn *t, int64_t id, struct row *r)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int err = sql_start(t, &s, "SELECT " ROW_COLS " FROM {file} f WHERE"
	                    " f.id = ?", "i", id);

	if (!err)
		err = sql_next(s);
	if (err <= 0)
		return err ? err : -ENOENT;
	err = sql_row_read(s, 0, r);
	return err == -EIO ? -ENOENT : err;     /* logged */
}

/* The versions that the file had, whatever its names were. */
static int count_by_file(struct txn *t, const struct ent *e, int64_t *n)
{
	int64_t limit = t->m->opt.thin_versions;
	int64_t rows = limit * ROWS_EACH;
	struct row r = e->row;
	int err = 0;

	*n = 0;
	while (!err && is_recent(t, &r)) {
		int64_t stored = r.stored_us, pred = r.pred_id;

		*n += 1;
		/* Over the rows of the same version. */
		while (!err && r.stored_us == stored && pred > 0 &&
		       pred < r.id && --rows > 0) {
			err = read_row(t, pred, &r);
			pred = r.pred_id;
		}
		if (r.stored_us == stored || *n >= limit)
			break;
	}
	return err == -ENOENT ? 0 : err;        /* the chain ends */
}

int sql_is_step(struct txn *t, const struct ent *e, int64_t step_us,
                enum step *step)
{
	const struct fsp_meta_options *o = &t->m->opt;
	int64_t recent;
	int err;

	*step = STEP_NONE;
	if (!e->has_row || !is_recent(t, &e->row))
		return 0;
	if (e->row.size == 0 || e->row.stored_us == step_us)
		*step = STEP_SAME;
	if (*step != STEP_NONE || !o->thin_versions)
		return 0;
	err = count_by_name(t, e, &recent);
	if (!err && recent < o->thin_versions)
		err = count_by_file(t, e, &recent);
	if (!err && recent >= o->thin_versions)
		*step = STEP_LOOP;
	return err;
}

/* Takes a row out of the chains that it is in; *pred is what it followed. */
static int drop_row(struct txn *t, int64_t id, int64_t *pred)
{
	/* Not from memory: what it followed may have been dropped, too. */
	int err = sql_number(t, pred, "SELECT f.pred_id FROM {file} f WHERE"
	                     " f.id = ?", "i", id);

	if (!err)
		err = sql_later(t, "UPDATE {file} SET pred_id = ?"
		              " WHERE pred_id = ?", "zi", *pred, id);
	return err ? err : sql_later(t, "DELETE FROM {file} WHERE id = ?", "i",
	                           id);
}

/* Is p the same version under the name before, until it was renamed? A link
 * begins at another time than the other name ends. */
static bool was_renamed(const struct row *p, const struct row *r)
{
	return !p->live && p->closed_us == r->since_us && p->ino == r->ino &&
		p->stored_us == r->stored_us && strcmp(p->hash, r->hash) == 0;
}

int sql_drop_step(struct txn *t, const struct row *r, enum step step,
                  int64_t *pred)
{
	struct row last = *r, p;
	int err = drop_row(t, r->id, pred);

	while (!err && step == STEP_LOOP && *pred > 0 && *pred < last.id) {
		err = read_row(t, *pred, &p);
		if (err == -ENOENT || (!err && !was_renamed(&p, &last)))
			return 0;
		if (!err)
			err = drop_row(t, p.id, pred);
		last = p;
	}
	return err;
}

int sql_thin_replaced(struct txn *t, const struct row *old, enum step step,
                      const struct row *from, int64_t row)
{
	int64_t pred;
	int err;

	if (step == STEP_NONE)
		return 0;
	err = sql_drop_step(t, old, step, &pred);
	if (!err)
		err = sql_later(t, "UPDATE {file} SET since_us = ? WHERE id ="
		                " ?", "ii", old->since_us, row);
	/* What is empty makes no loop: the other name's past stays whole. */
	if (err || step != STEP_LOOP || !is_recent(t, from))
		return err;
	/* The loop's temporary name goes the same way. */
	return drop_row(t, from->id, &pred);
}
