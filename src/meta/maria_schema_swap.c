/*
 * MariaDB: the new table takes the old one's place.
 *
 * RENAME TABLE is not allowed to whoever holds LOCK TABLES, so a second
 * connection asks for it while the first holds the lock, brings the last
 * changes over and lets go. Who asks for a rename goes before those who want
 * to write. Until the first has all, a table marks the name that the old one
 * gets: when the first dies, the rename fails at it. Of the names that are
 * renamed the old table's sorts first, so that it is the one waited for.
 */
#include "maria_schema_up.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"

#define FEW 100                         /* rows to bring over under the lock */
#define QUEUE_NS (5 * FSP_NS_PER_SEC)   /* the rename waits by then */
#define POLL_NS 1000000L

struct renamer {
	struct maria_link *l;
	const struct fsp_ctx *ctx;
	char *sql;
	pthread_t thread;
	bool started;
	atomic_bool ended;
	int err;
};

static void *rename_it(void *arg)
{
	struct renamer *r = arg;

	r->err = maria_run(r->l, r->ctx, r->sql);
	atomic_store(&r->ended, true);
	return NULL;
}

static int renamer_open(struct maria_move *m, struct renamer *r)
{
	int err;

	r->ctx = m->up->job->ctx;
	r->sql = fsp_strf("RENAME TABLE %s TO %s, %s TO %s", m->t->name,
	                  m->kept, m->fresh, m->t->name);
	if (!r->sql)
		return -ENOMEM;
	err = maria_connect(m->up->o, r->ctx, MARIA_WRITER, NULL, &r->l,
	                    &m->up->job->error);
	return err ? err : maria_run(r->l, r->ctx, "SET SESSION autocommit = 1,"
	                             " lock_wait_timeout = 30,"
	                             " max_statement_time = 0");
}

static int renamer_join(struct renamer *r)
{
	if (!r->started)
		return 0;
	/* It cannot fail for a thread that nobody else joins. */
	(void)pthread_join(r->thread, NULL);
	r->started = false;
	return r->err;
}

static void renamer_close(struct renamer *r)
{
	/* Its result was looked at, or another error is the reason. */
	(void)renamer_join(r);
	maria_close(r->l);
	free(r->sql);
}
#define RENAMER __attribute__((cleanup(renamer_close)))

static int start_rename(struct maria_up *u, struct renamer *r)
{
	int err;

	if (u->before) {
		err = u->before(u->before_arg, r->sql);
		if (err)
			return err;
	}
	err = -pthread_create(&r->thread, NULL, rename_it, r);
	r->started = !err;
	return err;
}

/* Until the rename is in the queue for the lock that we hold. */
static int await_rename(struct maria_up *u, struct renamer *r)
{
	const struct timespec pause = { .tv_nsec = POLL_NS };
	int64_t until = fsp_mono_ns() + QUEUE_NS;
	int64_t waits = 0;
	int err = 0;

	while (!err && !waits) {
		if (atomic_load(&r->ended)) {
			err = renamer_join(r);
			return err ? err : -EIO;
		}
		if (fsp_mono_ns() > until)
			return maria_up_fail(u, -ETIMEDOUT, "RENAME TABLE does "
			                     "not get to wait; run it again");
		err = maria_up_number(u, &waits, "SELECT COUNT(*) FROM"
		                      " information_schema.processlist WHERE"
		                      " id = %lu AND state ="
		                      " 'Waiting for table metadata lock'",
		                      mysql_thread_id(maria_handle(r->l)));
		/* Cut short by a signal it only asks again sooner. */
		(void)nanosleep(&pause, NULL);
	}
	return err;
}

static int lock_tables(struct maria_move *m)
{
	return maria_up_lock(m->up, "LOCK TABLES %s WRITE, %s AS o READ,"
	                     " %s WRITE, %s AS n READ, %s WRITE, %s WRITE",
	                     m->t->name, m->t->name, m->fresh, m->fresh, m->log,
	                     m->kept);
}

/* Under the lock; afterwards nobody has it any more. */
static int rename_locked(struct maria_move *m, struct renamer *r)
{
	struct maria_up *u = m->up;
	int err = start_rename(u, r), err2;

	if (!err)
		err = maria_move_apply(m, 0);
	if (!err)
		err = await_rename(u, r);
	if (!err)
		err = maria_up_do(u, "DROP TABLE %s", m->kept);
	/* While the mark is there, the rename fails at it. */
	err2 = maria_run(u->l, u->job->ctx, "UNLOCK TABLES");
	if (!err)
		err = err2;
	err2 = renamer_join(r);
	maria_up_locked(u, u->lock_since_ns);
	if (!err && err2)
		err = maria_up_fail(u, err2, "RENAME TABLE failed; run it "
		                    "again");
	return err;
}

static int show_swap(struct maria_move *m)
{
	struct maria_up *u = m->up;
	int err = maria_up_note(u, "writers wait from here: 0.1 s at the "
	                        "longest with a million rows");

	if (!err)
		err = lock_tables(m);
	if (!err)
		err = maria_up_note(u, "another connection, which goes on when "
		                    "%s is unlocked:", m->t->name);
	if (!err)
		err = maria_up_do(u, "RENAME TABLE %s TO %s, %s TO %s",
		                  m->t->name, m->kept, m->fresh, m->t->name);
	if (!err)
		err = maria_up_note(u, "what was noted since, as above; then the "
		                    "mark");
	if (!err)
		err = maria_up_do(u, "DROP TABLE %s", m->kept);
	if (!err)
		err = maria_up_do(u, "UNLOCK TABLES");
	return err ? err : maria_up_note(u, "writers go on");
}

/* Ids that were given and are gone are not given again. */
static int keep_counter(struct maria_move *m)
{
	int64_t next = 0;
	int err = maria_up_number(m->up, &next, "SELECT auto_increment FROM"
	                          " information_schema.tables WHERE"
	                          " table_schema = DATABASE() AND table_name ="
	                          " '%s'", m->t->name);

	return err || next < 1 ? err : maria_up_do(
		m->up, "ALTER TABLE %s AUTO_INCREMENT = %" PRId64, m->fresh,
		next);
}

int maria_swap(struct maria_move *m)
{
	struct renamer r RENAMER = { 0 };
	struct maria_up *u = m->up;
	int err = keep_counter(m);

	if (!err)
		err = maria_up_do(u, "ANALYZE TABLE %s", m->fresh);
	if (!err)
		err = maria_up_do(u, "CREATE TABLE IF NOT EXISTS %s (mark INT)"
		                  " ENGINE=InnoDB", m->kept);
	if (!err && maria_up_plans(u))
		return show_swap(m);
	if (!err)
		err = renamer_open(m, &r);
	if (!err)
		err = maria_move_apply(m, FEW);
	if (!err)
		err = lock_tables(m);
	return err ? err : rename_locked(m, &r);
}

/* ---- afterwards: the old table, which nobody writes to any more */

struct lost {
	char *missing, *ended;
	int64_t differ;
};

static int keep_lost(void *arg, char **f, const unsigned long *lengths)
{
	struct lost *l = arg;

	(void)lengths;
	l->missing = f[0] ? strdup(f[0]) : NULL;
	l->ended = f[1] ? strdup(f[1]) : NULL;
	l->differ += f[2] ? strtoll(f[2], NULL, 10) : 0;
	return (f[0] && !l->missing) || (f[1] && !l->ended) ? -ENOMEM : 0;
}

/* A row that is missing comes; one that had ended ends. PHP does no more. */
static int settle_lost(struct maria_move *m, const struct lost *l)
{
	struct maria_up *u = m->up;
	int err = 0;

	if (l->missing)
		err = maria_up_do(u, "INSERT INTO %s (%s)\n  SELECT %s\n"
		                  "  FROM %s o WHERE o.id IN (%s)\n"
		                  "  ON DUPLICATE KEY UPDATE id = VALUES(id)",
		                  m->t->name, m->into, m->from, m->kept,
		                  l->missing);
	if (!err && l->ended)
		err = maria_up_do(u, "UPDATE %s n JOIN %s o ON o.id = n.id\n"
		                  "  SET n.deleted_at = o.deleted_at\n"
		                  "  WHERE n.id IN (%s) AND COALESCE("
		                  "n.deleted_at, 0) = 0", m->t->name, m->kept,
		                  l->ended);
	if (!err && (l->missing || l->ended))
		err = maria_up_say(u, "changes of %s that came while the tables"
		                   " were exchanged were taken over: id %s%s%s",
		                   m->t->name, l->missing ? l->missing : "",
		                   l->missing && l->ended ? "," : "",
		                   l->ended ? l->ended : "");
	return err;
}

static int settle_range(struct maria_move *m, int64_t lo, int64_t hi,
                        int64_t *differ)
{
	struct lost l = { 0 };
	FSP_FREE char *sql = fsp_strf(
		"SELECT GROUP_CONCAT(IF(n.id IS NULL, o.id, NULL)),"
		" GROUP_CONCAT(IF(COALESCE(n.deleted_at, 0) = 0 AND"
		" COALESCE(o.deleted_at, 0) <> 0 AND n.id IS NOT NULL, o.id,"
		" NULL)), SUM(n.id IS NOT NULL AND NOT (%s)) FROM %s o"
		" LEFT JOIN %s n ON n.id = o.id WHERE o.id > %" PRId64
		" AND o.id <= %" PRId64, m->same_fixed, m->kept, m->t->name, lo,
		hi);
	int err = sql ? maria_rows(m->up->l, m->up->job->ctx, sql, keep_lost,
	                           &l) : -ENOMEM;

	if (!err)
		err = settle_lost(m, &l);
	*differ += l.differ;
	free(l.missing);
	free(l.ended);
	return err;
}

int maria_settle(struct maria_move *m)
{
	struct maria_up *u = m->up;
	int64_t lo = -INT64_MAX, hi, differ = 0;
	bool more = !maria_up_plans(u);
	int err = maria_up_note(u, "compares %s and %s, then:", m->kept,
	                        m->t->name);

	while (!err && more) {
		err = maria_next_range(u, m->kept, u->batch, lo, &hi, &more);
		if (!err && more)
			err = settle_range(m, lo, hi, &differ);
		lo = hi;
	}
	if (!err && differ)
		return maria_up_fail(u, -EIO, "%" PRId64 " rows of %s are not "
		                     "as they were in %s, which is kept; drop "
		                     "it when that is meant so, and run it "
		                     "again", differ, m->t->name, m->kept);
	return err ? err : maria_up_do(u, "DROP TABLE %s", m->kept);
}
