/* The MariaDB driver: transactions, claims, and how a lost commit ended. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_log.h"
#include "maria_pool.h"

#define CLOCK_AGE_NS (60 * FSP_NS_PER_SEC)
#define ROLLBACK_NS FSP_NS_PER_SEC
#define OUTCOME_AGE_US (2LL * 24 * 3600 * FSP_US_PER_SEC)
#define OUTCOME_SAID_US (3600LL * FSP_US_PER_SEC)
#define OUTCOMES_SWEPT 100
#define SNAPSHOT "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
#define SNAPSHOT_ISOLATION "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"

static void make_token(char *out)
{
	uint8_t raw[(MARIA_TOKEN - 1) / 2];

	fsp_random(raw, sizeof(raw));
	fsp_hex(out, raw, sizeof(raw));
}

/* What was lost before COMMIT was sent has not happened: all of it again. */
int maria_conn_errno(struct maria_conn *c, int err)
{
	int stopped = c->ctx ? fsp_ctx_check(c->ctx) : 0;

	if (!c->l->failed)
		return err;
	if (stopped)
		return stopped;
	return c->l->failed == -EHOSTDOWN ? -EDEADLK : c->l->failed;
}

static void drop_rows(void *arg, unsigned nth, MYSQL_RES *rows)
{
	(void)arg;
	(void)nth;
	if (rows)
		mysql_free_result(rows);
}

int maria_conn_run(struct maria_conn *c, const char *sql)
{
	unsigned done;
	int err;

	atomic_fetch_add(&c->base.drv->trips, 1);
	err = maria_run_all(c->l, c->ctx, sql, drop_rows, NULL, &done);
	return err ? maria_conn_errno(c, err) : 0;
}

/* What was done by hand is done, and nothing is open. */
static int end_own(struct maria_conn *c)
{
	int err = maria_conn_run(c, "COMMIT");

	c->begun = c->sent = c->wrote = false;
	return err;
}

int64_t maria_now_us(struct sqldrv *d)
{
	struct maria_pool *p = (struct maria_pool *)d;

	return fsp_now_us() + atomic_load(&p->clock_us);
}

static int look_at_clock(struct maria_conn *c)
{
	struct maria_pool *p = maria_pool_of(c);
	int err;

	if (fsp_mono_ns() - atomic_load(&p->clock_read_ns) < CLOCK_AGE_NS)
		return 0;
	atomic_fetch_add(&c->base.drv->trips, 1);
	err = maria_read_clock(c->l, c->ctx);
	if (err)
		return maria_conn_errno(c, err);
	maria_note_clock(p, c->l);
	/* With autocommit nothing was begun. */
	return c->both ? 0 : end_own(c);
}

/* ---- small statements of our own */

/* Parameters: a token first where there is one, then integers. */
static int run_own(struct maria_conn *c, const char *text, const char *token,
                   const int64_t *v, int n)
{
	struct sqlstmt *s;
	int first = token ? 2 : 1;
	int err = maria_prepare(&c->base, text, &s);

	if (err)
		return err;
	if (token)
		err = maria_bind_text(s, 1, token);
	for (int i = 0; i < n && !err; i++)
		err = maria_bind_int(s, first + i, v[i]);
	if (!err)
		err = maria_step(s);
	maria_end(s);
	return err < 0 ? err : 0;
}

/* ---- the row in fsp_outcome */

struct swept {
	int64_t id[OUTCOMES_SWEPT];
	int n;
};

static int find_old(struct maria_conn *c, int64_t before, struct swept *w)
{
	struct sqlstmt *s;
	int err = maria_prepare(&c->base, "SELECT id FROM fsp_outcome"
	                        " WHERE at_us < ? LIMIT 100", &s);

	w->n = 0;
	if (err)
		return err;
	err = maria_bind_int(s, 1, before);
	while (!err && w->n < OUTCOMES_SWEPT && (err = maria_step(s)) == 1)
		err = maria_get_int(s, 0, &w->id[w->n]) == 1 ? (w->n++, 0) : 0;
	maria_end(s);
	return err < 0 ? err : 0;
}

/* What connections left that nobody could ask about any more. By id, so that
 * nothing waits for a row that is in use. */
static int sweep_outcomes(struct maria_conn *c, int64_t now_us)
{
	struct swept w;
	int err = find_old(c, now_us - OUTCOME_AGE_US, &w);

	for (int i = 0; i < w.n && !err; i++)
		err = run_own(c, "DELETE FROM fsp_outcome WHERE id = ?", NULL,
		              &w.id[i], 1);
	return err;
}

static int make_outcome(struct maria_conn *c)
{
	int64_t id = 0, now = maria_now_us(c->base.drv);
	int err = run_own(c, "INSERT INTO fsp_outcome (token, at_us)"
	                  " VALUES (?, ?)", "", &now, 1);

	if (!err) {
		id = c->last_id;
		err = sweep_outcomes(c, now);
	}
	if (!err)
		err = end_own(c);
	if (!err)
		c->outcome = id;
	return err;
}

void maria_forget_outcome(struct maria_conn *c)
{
	struct fsp_ctx ctx = { .deadline_ns = fsp_mono_ns() + ROLLBACK_NS };
	int err;

	if (!c->outcome || c->l->failed)
		return;
	c->ctx = &ctx;
	c->kind = SQL_WRITE;
	err = run_own(c, "DELETE FROM fsp_outcome WHERE id = ?", NULL,
	              &c->outcome, 1);
	if (!err)
		err = end_own(c);
	if (err)
		fsp_debug("database %s: a row of fsp_outcome stays for two "
		          "days", c->l->name);
	c->ctx = NULL;
}

/* ---- the life of a transaction */

int maria_begin(struct maria_conn *c)
{
	int err;

	c->begun = c->sent = c->wrote = false;
	c->token[0] = '\0';
	if (!sql_kind_reads(c->kind)) {
		err = look_at_clock(c);
		if (!err && !c->outcome)
			err = make_outcome(c);
		return err;
	}
	if (c->role == MARIA_REPLICA || c->l->read_only) {
		err = maria_gtid_wait(c);
		/* Where else should it be read? */
		if (err == -EAGAIN && c->role == MARIA_READER)
			err = -EHOSTDOWN;
		if (err)
			return err;
	}
	if (c->kind == SQL_ONE)
		return 0;
	c->begun = c->sent = true;
	return maria_conn_run(c, c->both ? SNAPSHOT_ISOLATION ";" SNAPSHOT :
	                      SNAPSHOT);
}

/*
 * Its row may have been taken for a dead one's: then it is there again. The time
 * is in an index, so it is not another one each time.
 */
static int write_token(struct maria_conn *c)
{
	int64_t now = maria_now_us(c->base.drv);
	struct sql_value v[] = {
		{ .n = c->outcome }, { .text = c->token }, { .n = 0 },
	};

	if (now - c->outcome_us > OUTCOME_SAID_US || now < c->outcome_us)
		c->outcome_us = now;
	v[2].n = c->outcome_us;
	make_token(c->token);
	return maria_later(&c->base, "INSERT INTO fsp_outcome (id, token, at_us)"
	                   " VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE"
	                   " token = VALUES(token), at_us = VALUES(at_us)", v, 3);
}

int maria_claim(struct sqlconn *conn, unsigned shard)
{
	struct maria_conn *c = (struct maria_conn *)conn;
	struct sql_value v = { .n = shard };
	int err;

	if (sql_kind_reads(c->kind))
		return 0;
	if (shard >= SQL_SHARDS)
		err = maria_later(conn, "UPDATE fsp_shard SET turn = turn + 1"
		                  " ORDER BY id", NULL, 0);
	else
		err = maria_later(conn, "UPDATE fsp_shard SET turn = turn + 1"
		                  " WHERE id = ?", &v, 1);
	return err || c->token[0] ? err : write_token(c);
}

void maria_rollback(struct sqlconn *conn)
{
	struct maria_conn *c = (struct maria_conn *)conn;
	struct fsp_ctx ctx = { .deadline_ns = fsp_mono_ns() + ROLLBACK_NS };
	bool open = c->begun && c->sent;

	maria_later_drop(c);
	c->begun = c->sent = false;
	if (!open || c->kind == SQL_ONE || c->l->failed)
		return;
	/* Also for a caller who has no time left; a connection on which this
	 * fails is closed, and then the server does it. */
	atomic_fetch_add(&conn->drv->trips, 1);
	(void)maria_run(c->l, &ctx, "ROLLBACK");
}

/* ---- what became of a commit that was not answered */

struct lost {
	int64_t outcome;
	char token[MARIA_TOKEN];
};

/* 1: it is the one that is there, 0: another is; -ENOENT: none, on a host that
 * took over without it. */
static int compare_token(struct maria_conn *c, const struct lost *l)
{
	struct sqlstmt *s;
	const char *token;
	size_t len = 0;
	int err = maria_prepare(&c->base, "SELECT token FROM fsp_outcome"
	                        " WHERE id = ? FOR UPDATE", &s);

	if (err)
		return err;
	err = maria_bind_int(s, 1, l->outcome);
	if (!err)
		err = maria_step(s);
	if (!err)
		err = -ENOENT;
	if (err == 1) {
		token = maria_get_text(s, 0, &len);
		err = token && strcmp(token, l->token) == 0;
	}
	maria_end(s);
	return err;
}

/*
 * 1 committed, 0 not, and it cannot be any more: on another Galera node the
 * row is not locked by a transaction that is still on its way, but one that
 * comes after our change of the row is refused.
 */
static int look_for_token(struct maria_conn *c, const struct lost *l)
{
	char token[MARIA_TOKEN];
	int64_t v[] = { maria_now_us(c->base.drv), l->outcome };
	int rc = compare_token(c, l);

	if (rc && rc != -ENOENT)
		return rc;
	make_token(token);
	rc = run_own(c, "INSERT INTO fsp_outcome (token, at_us, id)"
	             " VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE"
	             " token = VALUES(token), at_us = VALUES(at_us)",
	             token, v, 2);
	return rc ? rc : end_own(c);
}

static int resolve_once(struct maria_pool *p, const struct fsp_ctx *ctx,
                        const struct lost *l)
{
	struct maria_conn *c;
	int rc = maria_take(p, ctx, MARIA_WRITER, &c);

	if (rc)
		return rc;
	c->ctx = ctx;
	c->kind = SQL_WRITE;
	c->begun = c->sent = false;
	rc = look_for_token(c, l);
	if (rc)
		maria_rollback(&c->base);
	maria_give(c);
	return rc;
}

/* 0 committed, -EDEADLK not, -EHOSTDOWN: nobody knows. */
static int resolve(struct maria_conn *c)
{
	struct maria_pool *p = maria_pool_of(c);
	struct fsp_ctx ctx = *c->ctx;
	struct lost l = { .outcome = c->outcome };
	int rc = -EDEADLK;

	memcpy(l.token, c->token, sizeof(l.token));
	ctx.cancelled = NULL;           /* the answer is worth more */
	if (!ctx.deadline_ns)
		ctx.deadline_ns = fsp_mono_ns() + p->wait_ns;
	/* The server ends the transaction when it sees this. */
	maria_drop(c);
	while (rc < 0 && !fsp_ctx_check(&ctx)) {
		rc = resolve_once(p, &ctx, &l);
		if (rc < 0 && rc != -EDEADLK)
			maria_pause(p);
	}
	if (rc == 1) {
		maria_gtid_missed(p);
		return 0;
	}
	if (!rc)
		return -EDEADLK;
	/* It was asked again until the deadline, whatever the last try said. */
	fsp_error("database: the connection was lost in a commit, and whether "
	          "it happened could not be found out in time");
	return -EHOSTDOWN;
}

static int commit_write(struct maria_conn *c)
{
	struct fsp_ctx ctx = *c->ctx;
	bool sent = false;
	int err = 0;

	if (c->wrote && !c->token[0])
		err = write_token(c);
	ctx.cancelled = NULL;           /* it ends soon, one way or another */
	if (!err)
		err = maria_now_commit(c, &ctx, &sent);
	if (!sent) {
		maria_rollback(&c->base);
		return err;
	}
	c->begun = c->sent = false;
	if (!err) {
		if (c->wrote)
			maria_gtid_note(c);
		return 0;
	}
	if (!c->wrote)
		return maria_conn_errno(c, err);
	/* The server answered that it took everything back. */
	if (err == -EDEADLK && !c->l->failed)
		return err;
	return resolve(c);
}

int maria_commit(struct sqlconn *conn)
{
	struct maria_conn *c = (struct maria_conn *)conn;

	if (!c->begun)
		return 0;
	if (!sql_kind_reads(c->kind))
		return commit_write(c);
	c->begun = c->sent = false;
	/* What was read is here; a connection that fails now is closed. */
	if (c->kind != SQL_ONE)
		(void)maria_conn_run(c, "COMMIT");
	return 0;
}
