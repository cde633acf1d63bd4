/*
 * Statements without a result wait until something else is asked, or until the
 * COMMIT, and go to the server together with that: one round trip for all of
 * them. Questions that will be asked may be known before; they go along, and
 * their answers are kept until something is changed. Each statement sees what
 * those before it did; after one that fails none is run. Not so on Galera.
 */
#include <errno.h>
#include <mysqld_error.h>
#include <stdlib.h>
#include <string.h>

#include "maria_pool.h"

/* A statement in the queue that has an answer. */
struct maria_ask {
	const char *text;               /* NULL: its number goes to *to */
	int64_t *to;
	struct fsp_buf values;
	unsigned nth;                   /* of the queue's, from 1 */
	bool answered;
	MYSQL_RES *rows;                /* NULL: none are given */
	struct maria_ask *next;
};

static void ask_free(struct maria_ask *a)
{
	if (a->rows)
		mysql_free_result(a->rows);
	fsp_buf_free(&a->values);
	free(a);
}

static void forget_asks(struct maria_conn *c, bool numbers)
{
	struct maria_ask **at = &c->asks, *a;

	while ((a = *at)) {
		if (a->to && !a->answered && !numbers) {
			at = &a->next;
			continue;
		}
		*at = a->next;
		ask_free(a);
	}
}

void maria_later_drop(struct maria_conn *c)
{
	fsp_buf_reset(&c->queue);
	c->queued = 0;
	maria_text_named(c, false);
	forget_asks(c, true);
}

void maria_later_free(struct maria_conn *c)
{
	forget_asks(c, true);
	maria_text_free(c);
	fsp_buf_free(&c->queue);
}

/* ---- the queue */

int maria_open_txn(struct maria_conn *c)
{
	if (c->begun)
		return 0;
	c->begun = true;
	c->sent = c->wrote = false;
	if (!c->both)
		return 0;               /* each statement begins one */
	c->queued++;
	return fsp_buf_adds(&c->queue, "START TRANSACTION");
}

static int literals(const struct sql_value *v, int n,
                    struct maria_literal *out)
{
	if (n > SQL_PARAMS)
		return -EINVAL;
	for (int i = 0; i < n; i++)
		out[i] = (struct maria_literal){
			.null = v[i].null,
			.bytes = v[i].text,
			.len = v[i].text ? strlen(v[i].text) : 0,
			.n = v[i].n,
		};
	return 0;
}

int maria_later(struct sqlconn *conn, const char *text,
                const struct sql_value *v, int n)
{
	struct maria_conn *c = (struct maria_conn *)conn;
	struct maria_literal lit[SQL_PARAMS];
	int err = 0;

	if (c->queue.len > MARIA_QUEUE)
		err = maria_now(conn);
	if (!err)
		err = maria_open_txn(c);
	if (!err)
		err = literals(v, n, lit);
	if (!err)
		err = maria_text_add(c, text, lit, n);
	c->wrote = true;
	forget_asks(c, false);          /* it may change the answers */
	/*
	 * A Galera node may take a transaction back between two statements of
	 * one text, and go on with the next as a transaction of its own: half of
	 * ours would be committed. Sent one by one, the next one fails.
	 */
	return err || !c->l->galera ? err : maria_now(conn);
}

static struct maria_ask *add_ask(struct maria_conn *c, const char *text,
                                 const struct maria_literal *v, int n, int *err)
{
	struct maria_ask *a = calloc(1, sizeof(*a));

	*err = a ? maria_text_values(c, text, v, &a->values) : -ENOMEM;
	if (!*err)
		*err = maria_text_add(c, text, v, n);
	if (*err) {
		if (a)
			ask_free(a);
		return NULL;
	}
	a->text = text;
	a->nth = c->queued;
	a->next = c->asks;
	c->asks = a;
	return a;
}

static struct maria_ask *find_ask(struct maria_conn *c, const char *text,
                                  const struct fsp_buf *values)
{
	struct maria_ask *a = c->asks;

	while (a && (a->text != text || strcmp(a->values.data, values->data)))
		a = a->next;
	return a;
}

int maria_ahead(struct sqlconn *conn, const char *text,
                const struct sql_value *v, int n)
{
	struct maria_conn *c = (struct maria_conn *)conn;
	FSP_BUF struct fsp_buf values = FSP_BUF_INIT;
	struct maria_literal lit[SQL_PARAMS];
	struct maria_ask *a;
	int err;

	if (!c->both || sql_kind_reads(c->kind))
		return 0;
	err = maria_open_txn(c);
	if (!err)
		err = literals(v, n, lit);
	if (!err)
		err = maria_text_values(c, text, lit, &values);
	if (err)
		return err;
	/* The answer is there; what still waits may be asked for twice. */
	a = find_ask(c, text, &values);
	if (!a || !a->answered)
		(void)add_ask(c, text, lit, n, &err);
	return err;
}

int maria_last(struct sqlconn *conn, int64_t *id)
{
	struct maria_conn *c = (struct maria_conn *)conn;
	struct maria_ask *a;

	if (!c->queued) {
		*id = c->last_id;       /* it did not wait */
		return 0;
	}
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	*id = -1;                       /* until the answer comes */
	a->to = id;
	a->nth = c->queued;
	a->next = c->asks;
	c->asks = a;
	return 0;
}

static void take_answer(void *arg, unsigned nth, MYSQL_RES *rows)
{
	struct maria_conn *c = arg;
	struct maria_ask *a = c->asks;
	int64_t id = rows ? 0 : (int64_t)mysql_insert_id(c->l->my);

	if (id)
		c->last_id = id;
	while (a && (a->answered || a->nth != nth))
		a = a->next;
	if (!a) {
		if (rows)
			mysql_free_result(rows);
		return;
	}
	a->answered = true;
	if (a->to)
		*a->to = id;
	a->rows = rows;
}

/*
 * What was found free is not: PHP takes no places, so it was another writer,
 * and next time it is found.
 */
static int again(int err)
{
	return err == -EEXIST ? -EDEADLK : err;
}

/* *done: statements that did not fail; all of them when it is 0. */
static int run_queue(struct maria_conn *c, const struct fsp_ctx *ctx,
                     unsigned *done)
{
	int err;

	*done = 0;
	atomic_fetch_add(&c->base.drv->trips, 1);
	c->sent = true;
	err = maria_run_all(c->l, ctx, c->queue.data, take_answer, c, done);
	if (err == -EIO)
		maria_text_log(c, *done + 1);
	maria_text_named(c, !err);
	if (err && c->l->error == ER_MAX_PREPARED_STMT_COUNT_REACHED) {
		c->nameless = true;     /* and once more, without names */
		err = -EDEADLK;
	}
	fsp_buf_reset(&c->queue);
	c->queued = 0;
	if (err)
		forget_asks(c, true);
	return err;
}

int maria_now(struct sqlconn *conn)
{
	struct maria_conn *c = (struct maria_conn *)conn;
	unsigned done;
	int err;

	if (!c->queue.len)
		return 0;
	err = run_queue(c, c->ctx, &done);
	return err ? maria_conn_errno(c, again(err)) : 0;
}

int maria_now_commit(struct maria_conn *c, const struct fsp_ctx *ctx,
                     bool *sent)
{
	unsigned done, n = c->queued;
	int err = fsp_buf_adds(&c->queue, n ? ";COMMIT" : "COMMIT");

	*sent = false;
	if (err)
		return err;
	err = run_queue(c, ctx, &done);
	forget_asks(c, true);
	/* A connection that is lost does not say how far the server got. */
	*sent = !err || c->l->failed || done >= n;
	return *sent ? err : again(err);
}

/* ---- statements with others */

/* Takes the answer out of the list. */
static void give_answer(struct maria_conn *c, struct maria_ask *a,
                        struct maria_stmt *s)
{
	struct maria_ask **at = &c->asks;

	while (*at != a)
		at = &(*at)->next;
	*at = a->next;
	s->rows = a->rows;
	a->rows = NULL;
	ask_free(a);
}

static int stmt_literals(const struct maria_stmt *s,
                         struct maria_literal *out, size_t *bytes)
{
	*bytes = 0;
	if (s->x.params > SQL_PARAMS)
		return -EINVAL;
	for (int i = 0; i < s->x.params; i++) {
		const struct maria_value *v = &s->value[i];
		bool text = v->type == MARIA_V_TEXT;

		out[i] = (struct maria_literal){
			.null = v->type == MARIA_V_NULL,
			.bytes = text ? v->text.data : NULL,
			.len = text ? v->len : 0,
			.n = v->n,
		};
		*bytes += out[i].len;
	}
	return 0;
}

/* The error of the last statement is its own, that of others is not. */
static int run_for(struct maria_conn *c, struct maria_ask *a,
                   struct maria_stmt *s)
{
	unsigned done, before = c->queued - 1;
	int err = run_queue(c, c->ctx, &done);

	if (err)
		return maria_conn_errno(c, done < before ? again(err) : err);
	give_answer(c, a, s);
	return 1;
}

static int ask_now(struct maria_stmt *s, const struct maria_literal *v)
{
	struct maria_conn *c = (struct maria_conn *)s->base.conn;
	struct maria_ask *a;
	int err = 0;

	a = add_ask(c, s->text, v, s->x.params, &err);
	return a ? run_for(c, a, s) : err;
}

static int find_answer(struct maria_stmt *s, const struct maria_literal *v)
{
	struct maria_conn *c = (struct maria_conn *)s->base.conn;
	FSP_BUF struct fsp_buf values = FSP_BUF_INIT;
	int err = maria_text_values(c, s->text, v, &values);
	struct maria_ask *a = err ? NULL : find_ask(c, s->text, &values);

	if (err || !a)
		return err;
	if (!a->answered) {
		err = maria_now(&c->base);
		if (err)
			return err;
	}
	give_answer(c, a, s);
	return 1;
}

int maria_with_others(struct maria_stmt *s)
{
	struct maria_conn *c = (struct maria_conn *)s->base.conn;
	struct maria_literal v[SQL_PARAMS];
	size_t bytes;
	int err = maria_open_txn(c);

	if (s->writes) {
		forget_asks(c, false);  /* it may change the answers */
		c->wrote = true;
	}
	if (err || !c->both)
		return err;
	err = stmt_literals(s, v, &bytes);
	if (!err && c->asks)
		err = find_answer(s, v);
	if (err)
		return err;
	return bytes < MARIA_QUEUE ? ask_now(s, v) : maria_now(&c->base);
}
