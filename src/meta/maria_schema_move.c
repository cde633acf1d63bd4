/* MariaDB: the rows of PHP's tables into new ones, while PHP goes on. */
#include "maria_schema_up.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"

#define LOWEST (-INT64_MAX)
#define VERIFY_ROUNDS 3
#define APPLY_ROWS 1000

const struct maria_trigger maria_triggers[] = {
	{ "ins", "INSERT", "(UUID_SHORT(), NEW.id)" },
	{ "upd", "UPDATE", "(UUID_SHORT(), OLD.id), (UUID_SHORT(), NEW.id)" },
	{ "del", "DELETE", "(UUID_SHORT(), OLD.id)" },
	{ NULL, NULL, NULL }
};

static int make_log(struct maria_move *m)
{
	return maria_up_do(m->up, "CREATE TABLE IF NOT EXISTS %s (\n"
	                   "  stamp bigint(20) unsigned NOT NULL PRIMARY KEY,\n"
	                   "  row_id bigint(20) NOT NULL, KEY (row_id)\n"
	                   ") ENGINE=InnoDB", m->log);
}

/*
 * What they note is all that a statement of PHP's waits for; when even that
 * fails, the statement does not, and comparing finds the row.
 */
static int make_trigger(struct maria_move *m, const struct maria_trigger *t)
{
	int err = maria_up_note(m->up, "waits for the end of the transactions "
	                        "that use %s:", m->t->name);

	if (!err)
		err = maria_up_lock(m->up, "CREATE TRIGGER %s%s AFTER %s ON %s"
		                    " FOR EACH ROW\nBEGIN\n"
		                    "  DECLARE CONTINUE HANDLER FOR"
		                    " SQLEXCEPTION BEGIN END;\n"
		                    "  INSERT INTO %s VALUES %s;\nEND",
		                    m->trigger, t->suffix,
		                    t->event, m->t->name, m->log,
		                    t->notes);
	return err;
}

static int make_triggers(struct maria_move *m)
{
	int err = 0;

	for (int i = 0; !err && maria_triggers[i].suffix; i++)
		if (!(m->triggers & 1U << i))
			err = make_trigger(m, &maria_triggers[i]);
	return err;
}

static int count_difference(void *arg, const char *what, const char *sql)
{
	int *n = arg;

	(void)what;
	(void)sql;
	++*n;
	return 0;
}

/* A new table counts only when nothing can have passed the triggers. */
static int make_fresh(struct maria_move *m)
{
	FSP_BUF struct fsp_buf sql = FSP_BUF_INIT;
	int differs = 0, err = 0;

	if (m->has_fresh)
		err = maria_table_compare(m->up->l, m->up->job->ctx, m->t,
		                          m->fresh, count_difference, &differs);
	if (!err && m->has_fresh &&
	    (differs || m->triggers != MARIA_ALL_TRIGGERS)) {
		err = maria_up_do(m->up, "DROP TABLE %s", m->fresh);
		m->has_fresh = false;
	}
	if (!err)
		err = make_triggers(m);
	if (!err)
		err = maria_table_sql(m->t, m->fresh, &sql);
	return err || m->has_fresh ? err : maria_up_do(m->up, "%s", sql.data);
}

int maria_next_range(struct maria_up *u, const char *table, int64_t rows,
                     int64_t lo, int64_t *hi, bool *more)
{
	FSP_FREE char *end = NULL;
	int err = maria_up_text(u, &end, "SELECT MAX(id) FROM (SELECT id FROM"
	                        " %s WHERE id > %" PRId64 " ORDER BY id LIMIT"
	                        " %" PRId64 ") x", table, lo, rows);

	*more = end != NULL;
	*hi = end ? strtoll(end, NULL, 10) : INT64_MAX;
	return err;
}

static int copy_range(struct maria_move *m, int64_t lo, int64_t hi,
                      uint64_t *rows)
{
	return maria_up_change(m->up, rows, "INSERT INTO %s (%s)\n  SELECT %s\n"
	                       "  FROM %s o WHERE o.id > %" PRId64
	                       " AND o.id <= %" PRId64 "\n"
	                       "  ON DUPLICATE KEY UPDATE id = VALUES(id)",
	                       m->fresh, m->into, m->from, m->t->name, lo, hi);
}

static int show_copy(struct maria_move *m)
{
	int err = maria_up_note(m->up, "again and again, each time the next "
	                        "%" PRId64 " rows, until there are none:",
	                        m->up->batch);

	if (!err)
		err = maria_up_do(m->up, "INSERT INTO %s (%s)\n  SELECT %s\n"
		                  "  FROM %s o WHERE o.id > @from AND o.id <="
		                  " @to\n  ON DUPLICATE KEY UPDATE id ="
		                  " VALUES(id)", m->fresh, m->into, m->from,
		                  m->t->name);
	return err;
}

/* Where it is shows in the new table: what triggers noted comes later. */
static int copy(struct maria_move *m)
{
	struct maria_up *u = m->up;
	FSP_FREE char *at = NULL;
	int64_t lo, hi, all = 0, done = 0;
	bool more = true;
	int err;

	if (maria_up_plans(u))
		return show_copy(m);
	err = maria_up_text(u, &at, "SELECT MAX(id) FROM %s", m->fresh);
	if (!err)
		err = maria_up_number(u, &all, "SELECT COUNT(*) FROM %s",
		                      m->t->name);
	if (!err && at)
		err = maria_up_number(u, &done, "SELECT COUNT(*) FROM %s",
		                      m->fresh);
	lo = at ? strtoll(at, NULL, 10) : LOWEST;
	while (!err && more) {
		uint64_t rows = 0;

		err = maria_next_range(u, m->t->name, u->batch, lo, &hi, &more);
		if (!err && more)
			err = copy_range(m, lo, hi, &rows);
		lo = hi;
		done += (int64_t)rows;
		u->job->rows += rows;
		/* What came since is in the log. */
		more = more && rows >= (uint64_t)u->batch;
		maria_up_progress(u, m->t->name, (uint64_t)done,
		                  (uint64_t)(all > done ? all : done));
	}
	return err;
}

struct noted {
	char *stamps, *ids;
	int64_t n;
};

static int keep_noted(void *arg, char **f, const unsigned long *lengths)
{
	struct noted *n = arg;

	(void)lengths;
	if (!f[0] || !f[1] || !f[2])
		return 0;
	n->stamps = strdup(f[0]);
	n->ids = strdup(f[1]);
	n->n = strtoll(f[2], NULL, 10);
	return n->stamps && n->ids ? 0 : -ENOMEM;
}

/* The rows as they are now: later changes have notes of their own. */
static int apply_noted(struct maria_move *m, const struct noted *n)
{
	struct maria_up *u = m->up;
	FSP_FREE char *gone = NULL;
	int err = maria_up_text(u, &gone, "SELECT GROUP_CONCAT(n.id) FROM %s n"
	                        " LEFT JOIN %s o ON o.id = n.id WHERE n.id IN"
	                        " (%s) AND o.id IS NULL", m->fresh, m->t->name,
	                        n->ids);

	if (!err && gone)
		err = maria_up_do(u, "DELETE FROM %s WHERE id IN (%s)",
		                  m->fresh, gone);
	if (!err)
		err = maria_up_do(u, "INSERT INTO %s (%s)\n  SELECT %s\n"
		                  "  FROM %s o WHERE o.id IN (%s)\n"
		                  "  ON DUPLICATE KEY UPDATE %s", m->fresh,
		                  m->into, m->from, m->t->name, n->ids,
		                  m->update);
	return err ? err : maria_up_do(u, "DELETE FROM %s WHERE stamp IN (%s)",
	                               m->log, n->stamps);
}

static int show_apply(struct maria_move *m)
{
	int err = maria_up_note(m->up, "what changed meanwhile, each time %d "
	                        "noted rows, and those that are gone:",
	                        APPLY_ROWS);

	if (!err)
		err = maria_up_do(m->up, "DELETE FROM %s WHERE id IN (@gone)",
		                  m->fresh);
	if (!err)
		err = maria_up_do(m->up, "INSERT INTO %s (%s)\n  SELECT %s\n"
		                  "  FROM %s o WHERE o.id IN (@noted)\n"
		                  "  ON DUPLICATE KEY UPDATE %s", m->fresh,
		                  m->into, m->from, m->t->name, m->update);
	return err ? err : maria_up_do(m->up, "DELETE FROM %s WHERE stamp IN"
	                               " (@stamps)", m->log);
}

int maria_move_apply(struct maria_move *m, int64_t left)
{
	FSP_FREE char *sql = fsp_strf(
		"SELECT GROUP_CONCAT(stamp), GROUP_CONCAT(DISTINCT row_id),"
		" COUNT(*) FROM (SELECT stamp, row_id FROM %s ORDER BY stamp"
		" LIMIT %d) x", m->log, APPLY_ROWS);
	int64_t last = INT64_MAX;
	int err = sql ? 0 : -ENOMEM;

	if (!err && maria_up_plans(m->up))
		return show_apply(m);
	while (!err && last > left) {
		struct noted n = { 0 };

		err = maria_rows(m->up->l, m->up->job->ctx, sql, keep_noted,
		                 &n);
		last = n.n;
		if (!err && last)
			err = apply_noted(m, &n);
		free(n.stamps);
		free(n.ids);
	}
	return err;
}

/*
 * Each row is the same in both, or noted: in one statement, which sees one
 * moment. What is neither is noted now.
 */
static int compare_range(struct maria_move *m, const char *lo, const char *hi,
                         uint64_t *found)
{
	static const char unnoted[] =
		"NOT EXISTS (SELECT 1 FROM %s g WHERE g.row_id = %s.id)";
	uint64_t more = 0;
	FSP_FREE char *of_old = fsp_strf(unnoted, m->log, "o");
	FSP_FREE char *of_new = fsp_strf(unnoted, m->log, "n");
	int err = of_old && of_new ? 0 : -ENOMEM;

	if (!err)
		err = maria_up_change(m->up, found, "INSERT INTO %s\n"
			"  SELECT UUID_SHORT(), o.id FROM %s o LEFT JOIN %s n"
			" ON n.id = o.id\n  WHERE o.id > %s AND o.id <= %s AND"
			" (n.id IS NULL OR NOT (%s))\n  AND %s", m->log,
			m->t->name, m->fresh, lo, hi, m->same, of_old);
	if (!err)
		err = maria_up_change(m->up, &more, "INSERT INTO %s\n"
			"  SELECT UUID_SHORT(), n.id FROM %s n LEFT JOIN %s o"
			" ON o.id = n.id\n  WHERE n.id > %s AND n.id <= %s AND"
			" o.id IS NULL\n  AND %s", m->log, m->fresh,
			m->t->name, lo, hi, of_new);
	*found += more;
	return err;
}

static int compare_all(struct maria_move *m, uint64_t *found)
{
	struct maria_up *u = m->up;
	int64_t lo = LOWEST, hi, done = 0, all = 0;
	bool more = true;
	int err = maria_up_number(u, &all, "SELECT COUNT(*) FROM %s",
	                          m->t->name);

	*found = 0;
	while (!err && more) {
		char from[24], to[24];
		uint64_t n = 0;

		err = maria_next_range(u, m->t->name, u->batch, lo, &hi, &more);
		snprintf(from, sizeof(from), "%" PRId64, lo);
		snprintf(to, sizeof(to), "%" PRId64, hi);
		if (!err)
			err = compare_range(m, from, to, &n);
		*found += n;
		lo = hi;
		done = done + u->batch < all ? done + u->batch : all;
		maria_up_progress(u, "comparing", (uint64_t)done,
		                  (uint64_t)all);
	}
	return err;
}

/* What passed the triggers is taken over; a row that cannot be, ends it. */
static int verify(struct maria_move *m)
{
	struct maria_up *u = m->up;
	FSP_FREE char *ids = NULL;
	uint64_t found = 0;
	int err = 0;

	if (maria_up_plans(u)) {
		err = maria_up_note(u, "compares all rows, range by range:");
		return err ? err : compare_range(m, "@from", "@to", &found);
	}
	for (int i = 0; !err && i < VERIFY_ROUNDS; i++) {
		err = maria_move_apply(m, 0);
		if (!err)
			err = compare_all(m, &found);
		if (!err && !found)
			return 0;
		if (!err)
			err = maria_up_say(u, "%" PRIu64 " rows of %s had "
			                   "changed unnoticed and are taken "
			                   "over again", found, m->t->name);
	}
	if (!err)
		err = maria_up_text(u, &ids, "SELECT SUBSTRING_INDEX("
		                    "GROUP_CONCAT(row_id), ',', 5) FROM %s",
		                    m->log);
	return err ? err : maria_up_fail(u, -EIO, "rows of %s do not arrive as "
	                                 "they are: id %s", m->t->name,
	                                 ids ? ids : "");
}

int maria_move(struct maria_move *m)
{
	struct maria_up *u = m->up;
	int err = 0;

	if (!m->done) {
		err = make_log(m);
		if (!err)
			err = make_fresh(m);
		if (!err)
			err = copy(m);
		if (!err && maria_up_plans(u))
			err = maria_move_apply(m, 0);
		if (!err)
			err = verify(m);
		if (!err)
			err = maria_swap(m);
	}
	if (!err && (!m->done || m->has_kept))
		err = maria_settle(m);
	return err ? err : maria_up_do(u, "DROP TABLE IF EXISTS %s", m->log);
}
