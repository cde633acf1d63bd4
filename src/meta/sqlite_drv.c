/* The SQLite driver: transactions and statements of one connection. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fsp_buf.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_log.h"
#include "sqlite_pool.h"

#define STEPS_PER_CHECK 20000   /* of SQLite's machine, a fraction of 1 ms */

static int interrupted(const struct fsp_ctx *ctx)
{
	int err = ctx ? fsp_ctx_check(ctx) : 0;

	return err ? err : -ETIMEDOUT;
}

static int io_errno(sqlite3 *db)
{
	int e = sqlite3_system_errno(db);

	fsp_error("database: %s: %s", sqlite3_errmsg(db), strerror(e));
	return e == ENOSPC || e == EDQUOT ? -e : -EIO;
}

static int open_errno(sqlite3 *db)
{
	int e = sqlite3_system_errno(db);

	return e ? -e : -EHOSTDOWN;
}

static int other_errno(sqlite3 *db, int rc)
{
	if (rc == SQLITE_CONSTRAINT_UNIQUE ||
	    rc == SQLITE_CONSTRAINT_PRIMARYKEY ||
	    rc == SQLITE_CONSTRAINT_ROWID)
		return -EEXIST;
	fsp_error("database: %s (%d)", sqlite3_errmsg(db), rc);
	return -EIO;
}

int sqlite_errno(sqlite3 *db, int rc, const struct fsp_ctx *ctx)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_BUSY:
		/* The snapshot is too old to write: only a new one helps. */
		if (rc == SQLITE_BUSY_SNAPSHOT)
			return -EDEADLK;
		return interrupted(ctx);
	case SQLITE_LOCKED:
	case SQLITE_INTERRUPT:
		return interrupted(ctx);
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_IOERR:
		return io_errno(db);
	case SQLITE_CANTOPEN:
		return open_errno(db);
	default:
		return other_errno(db, rc);
	}
}

static int conn_errno(struct sqlite_conn *c, int rc)
{
	return rc ? sqlite_errno(c->db, rc, c->ctx) : 0;
}

/* SQLite calls this while another process holds a lock: 0 gives up. */
static int on_busy(void *arg, int n)
{
	struct sqlite_conn *c = arg;
	struct timespec ts = { .tv_sec = 0 };

	if ((c->ctx && fsp_ctx_check(c->ctx)) ||
	    fsp_mono_ns() >= c->busy_until)
		return 0;
	ts.tv_nsec = n < 5 ? 100000 << n : 5000000;
	/* Cut short by a signal it only asks again sooner. */
	(void)nanosleep(&ts, NULL);
	return 1;
}

static int on_progress(void *arg)
{
	struct sqlite_conn *c = arg;

	return c->ctx && fsp_ctx_check(c->ctx) != 0;
}

void sqlite_watch(struct sqlite_conn *c)
{
	(void)sqlite3_busy_handler(c->db, on_busy, c);
	sqlite3_progress_handler(c->db, STEPS_PER_CHECK, on_progress, c);
}

int sqlite_run(sqlite3 *db, const char *sql)
{
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

	return sqlite_errno(db, rc, NULL);
}

int sqlite_select(sqlite3 *db, const char *sql, int64_t *v)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

	if (rc)
		return sqlite_errno(db, rc, NULL);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*v = sqlite3_column_int64(st, 0);
	/* Its code is the one that step returned. */
	(void)sqlite3_finalize(st);
	if (rc == SQLITE_DONE)
		return -ENOENT;
	return rc == SQLITE_ROW ? 0 : sqlite_errno(db, rc, NULL);
}

static int conn_run(struct sqlite_conn *c, const char *sql)
{
	return conn_errno(c, sqlite3_exec(c->db, sql, NULL, NULL, NULL));
}

static int begin_write(struct sqlite_conn *c, bool durable)
{
	int err = 0;

	if (c->synchronous != durable) {
		err = conn_run(c, durable ? "PRAGMA synchronous=FULL" :
		                            "PRAGMA synchronous=NORMAL");
		if (err)
			return err;
		c->synchronous = durable;
	}
	atomic_fetch_add(&c->base.drv->trips, 1);
	return conn_run(c, "BEGIN IMMEDIATE");
}

/* Takes the snapshot at once, so that only beginning can find a lock. */
static int begin_read(struct sqlite_conn *c)
{
	int err;

	atomic_fetch_add(&c->base.drv->trips, 1);
	err = conn_run(c, "BEGIN");
	if (err)
		return err;
	err = conn_run(c, "SELECT 1 FROM sqlite_master LIMIT 1");
	if (err)
		sqlite_rollback(&c->base);
	return err;
}

int sqlite_begin(struct sqlite_conn *c, enum sql_kind kind)
{
	if (kind == SQL_ONE)
		return 0;
	if (sql_kind_reads(kind))
		return begin_read(c);
	return begin_write(c, kind == SQL_DURABLE);
}

int sqlite_commit(struct sqlconn *conn)
{
	struct sqlite_conn *c = (struct sqlite_conn *)conn;
	int err;

	if (!c->writing && sqlite3_get_autocommit(c->db))
		return 0;               /* SQL_ONE */
	atomic_fetch_add(&conn->drv->trips, 1);
	err = conn_run(c, "COMMIT");
	if (err)
		sqlite_rollback(conn);
	return err;
}

void sqlite_rollback(struct sqlconn *conn)
{
	struct sqlite_conn *c = (struct sqlite_conn *)conn;

	c->ctx = NULL;          /* must not be interrupted */
	if (!sqlite3_get_autocommit(c->db) && conn_run(c, "ROLLBACK"))
		fsp_error("database: rolling back failed");
}

static int compile(struct sqlite_conn *c, const char *text,
                   struct sqlite_stmt **out)
{
	const struct sqlite_pool *p = (struct sqlite_pool *)c->base.drv;
	struct sqlite_stmt *s = calloc(1, sizeof(*s));
	struct sql_text sql;
	int err, rc;

	if (!s)
		return -ENOMEM;
	err = sql_text_expand(&p->dialect, text, &sql);
	if (err) {
		if (err == -EINVAL)
			fsp_error("database: no statement: %s", text);
		free(s);
		return err;
	}
	rc = sqlite3_prepare_v3(c->db, sql.sql, -1, SQLITE_PREPARE_PERSISTENT,
	                        &s->stmt, NULL);
	err = conn_errno(c, rc);
	if (err == -EIO)
		fsp_error("database: in: %s", sql.sql);
	sql_text_free(&sql);
	if (err) {
		free(s);
		return err;
	}
	s->base.conn = &c->base;
	s->text = text;
	*out = s;
	return 0;
}

int sqlite_prepare(struct sqlconn *conn, const char *text,
                   struct sqlstmt **out)
{
	struct sqlite_conn *c = (struct sqlite_conn *)conn;
	struct sqlite_stmt **head =
		&c->bucket[((uintptr_t)text >> 4) % SQLITE_BUCKETS];
	struct sqlite_stmt *s = *head;
	int err;

	while (s && s->text != text)
		s = s->next;
	if (!s || s->busy) {
		bool nested = s != NULL;

		err = compile(c, text, &s);
		if (err)
			return err;
		s->kept = !nested;
		if (s->kept) {
			s->next = *head;
			*head = s;
		}
	}
	s->busy = true;
	*out = &s->base;
	return 0;
}

static int stmt_errno(struct sqlstmt *s, int rc)
{
	return rc ? conn_errno((struct sqlite_conn *)s->conn, rc) : 0;
}

static sqlite3_stmt *raw(struct sqlstmt *s)
{
	return ((struct sqlite_stmt *)s)->stmt;
}

int sqlite_bind_int(struct sqlstmt *s, int i, int64_t v)
{
	return stmt_errno(s, sqlite3_bind_int64(raw(s), i, v));
}

int sqlite_bind_text(struct sqlstmt *s, int i, const char *v)
{
	return stmt_errno(s, sqlite3_bind_text(raw(s), i, v, -1,
	                                       SQLITE_TRANSIENT));
}

int sqlite_bind_bytes(struct sqlstmt *s, int i, const void *v, size_t len)
{
	return stmt_errno(s, sqlite3_bind_blob64(raw(s), i, v, len,
	                                         SQLITE_TRANSIENT));
}

int sqlite_bind_null(struct sqlstmt *s, int i)
{
	return stmt_errno(s, sqlite3_bind_null(raw(s), i));
}

int sqlite_step(struct sqlstmt *s)
{
	int rc;

	if (!sqlite3_stmt_busy(raw(s)))
		atomic_fetch_add(&s->conn->drv->trips, 1);
	rc = sqlite3_step(raw(s));
	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : stmt_errno(s, rc);
}

int sqlite_get_int(struct sqlstmt *s, int col, int64_t *v)
{
	int type = sqlite3_column_type(raw(s), col);

	if (type == SQLITE_NULL)
		return 0;
	if (type != SQLITE_INTEGER)
		return -EINVAL;
	*v = sqlite3_column_int64(raw(s), col);
	return 1;
}

const char *sqlite_get_text(struct sqlstmt *s, int col, size_t *len)
{
	const char *text;

	if (sqlite3_column_type(raw(s), col) != SQLITE_TEXT)
		return NULL;
	text = (const char *)sqlite3_column_text(raw(s), col);
	*len = (size_t)sqlite3_column_bytes(raw(s), col);
	return text;
}

const void *sqlite_get_bytes(struct sqlstmt *s, int col, size_t *len)
{
	const void *v = sqlite3_column_blob(raw(s), col);

	*len = (size_t)sqlite3_column_bytes(raw(s), col);
	return v;
}

void sqlite_rewind(struct sqlstmt *s)
{
	/* Repeats the error of the last step, which was seen there. */
	(void)sqlite3_reset(raw(s));
}

static void stmt_free(struct sqlite_stmt *s)
{
	/* Repeats the error of the last step, which was seen there. */
	(void)sqlite3_finalize(s->stmt);
	free(s);
}

void sqlite_end(struct sqlstmt *base)
{
	struct sqlite_stmt *s = (struct sqlite_stmt *)base;

	if (!s->kept) {
		stmt_free(s);
		return;
	}
	sqlite_rewind(base);
	(void)sqlite3_clear_bindings(s->stmt);  /* cannot fail */
	s->busy = false;
}

int64_t sqlite_last_id(struct sqlconn *conn)
{
	return sqlite3_last_insert_rowid(((struct sqlite_conn *)conn)->db);
}

void sqlite_conn_close(struct sqlite_conn *c)
{
	for (int i = 0; i < SQLITE_BUCKETS; i++) {
		while (c->bucket[i]) {
			struct sqlite_stmt *s = c->bucket[i];

			c->bucket[i] = s->next;
			stmt_free(s);
		}
	}
	c->ctx = NULL;
	if (sqlite3_close(c->db))
		fsp_error("database: a connection did not close");
	free(c);
}
