/*
 * The MariaDB driver: prepared statements, kept by each connection. A result
 * is fetched whole, so that another statement can run while rows are read;
 * the layer above asks for bounded pages. That of a statement which is alone
 * in its transaction comes row by row, while the server makes the next ones.
 */
#include <errmsg.h>
#include <errno.h>
#include <mysqld_error.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_log.h"
#include "maria_pool.h"

static void free_stmt(struct maria_stmt *s)
{
	maria_result_free(s);
	if (s->rows)
		mysql_free_result(s->rows);
	/* On a lost connection only memory is freed, and that cannot fail. */
	if (s->st)
		(void)mysql_stmt_close(s->st);
	for (int i = 0; s->value && i < s->x.params; i++)
		fsp_buf_free(&s->value[i].text);
	free(s->value);
	free(s->param);
	sql_text_free(&s->x);
	free(s);
}

void maria_forget_stmts(struct maria_conn *c)
{
	for (int i = 0; i < MARIA_BUCKETS; i++) {
		while (c->bucket[i]) {
			struct maria_stmt *s = c->bucket[i];

			c->bucket[i] = s->next;
			free_stmt(s);
		}
	}
	c->stmts = 0;
}

/* The server and the connection keep so many, and no more. */
static void close_unused(struct maria_conn *c)
{
	for (int i = 0; i < MARIA_BUCKETS; i++) {
		struct maria_stmt **at = &c->bucket[i];

		while (*at) {
			struct maria_stmt *s = *at;

			if (s->busy) {
				at = &s->next;
				continue;
			}
			*at = s->next;
			free_stmt(s);
			c->stmts--;
		}
	}
}

static struct maria_conn *conn_of(const struct maria_stmt *s)
{
	return (struct maria_conn *)s->base.conn;
}

static void count_trip(struct maria_conn *c)
{
	atomic_fetch_add(&c->base.drv->trips, 1);
}

int maria_stmt_errno(struct maria_stmt *s)
{
	struct maria_conn *c = conn_of(s);
	unsigned e = mysql_stmt_errno(s->st);
	int err;

	/* Where a row was waited for, it is the connection that says it. */
	if (!e)
		e = mysql_errno(c->l->my);
	err = maria_failed(c->l, e);

	if (err == -EIO || err == -EACCES || err == -ENOSPC) {
		maria_log(c->l->name, e, *mysql_stmt_error(s->st) ?
		          mysql_stmt_error(s->st) : mysql_error(c->l->my));
		if (err == -EIO)
			fsp_error("database %s: in: %s", c->l->name, s->x.sql);
	}
	return maria_conn_errno(c, err);
}

static int ask_prepare(struct maria_stmt *s)
{
	struct maria_link *l = conn_of(s)->l;
	int bad = 0, status;

	count_trip(conn_of(s));
	status = mysql_stmt_prepare_start(&bad, s->st, s->x.sql,
	                                  strlen(s->x.sql));
	while (status)
		status = mysql_stmt_prepare_cont(&bad, s->st,
		                                 maria_wait(l, status));
	return bad;
}

static int ask_execute(struct maria_stmt *s)
{
	struct maria_link *l = conn_of(s)->l;
	int bad = 0, status;

	count_trip(conn_of(s));
	status = mysql_stmt_execute_start(&bad, s->st);
	while (status)
		status = mysql_stmt_execute_cont(&bad, s->st,
		                                 maria_wait(l, status));
	return bad;
}

static int ask_result(struct maria_stmt *s)
{
	struct maria_link *l = conn_of(s)->l;
	int bad = 0, status = mysql_stmt_store_result_start(&bad, s->st);

	while (status)
		status = mysql_stmt_store_result_cont(&bad, s->st,
		                                      maria_wait(l, status));
	return bad;
}

static int ask_prepare_twice(struct maria_stmt *s)
{
	struct maria_conn *c = conn_of(s);

	if (c->l->failed)
		return maria_conn_errno(c, c->l->failed);
	c->l->ctx = c->ctx;
	if (!ask_prepare(s))
		return 0;
	if (mysql_stmt_errno(s->st) == ER_MAX_PREPARED_STMT_COUNT_REACHED) {
		close_unused(c);
		if (!ask_prepare(s))
			return 0;
	}
	return maria_stmt_errno(s);
}

static bool is_change(const char *text)
{
	return strncmp(text, "SELECT", 6) != 0 && strncmp(text, "WITH", 4) != 0;
}

int maria_prepare_now(struct sqlstmt *base)
{
	struct maria_stmt *s = (struct maria_stmt *)base;
	int err;

	if (s->st)
		return 0;
	s->st = mysql_stmt_init(conn_of(s)->l->my);
	err = s->st ? ask_prepare_twice(s) : -ENOMEM;
	if (!err && (int)mysql_stmt_param_count(s->st) != s->x.physical) {
		fsp_error("database: other parameters than thought in: %s",
		          s->x.sql);
		err = -EINVAL;
	}
	if (err && s->st) {
		/* Only memory is freed: the server has none of it. */
		(void)mysql_stmt_close(s->st);
		s->st = NULL;
	}
	return err;
}

static int compile(struct maria_conn *c, const char *text,
                   struct maria_stmt **out)
{
	struct maria_pool *p = (struct maria_pool *)c->base.drv;
	struct maria_stmt *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->base.conn = &c->base;
	s->text = text;
	s->writes = is_change(text);
	err = sql_text_expand(&p->dialect, text, &s->x);
	if (!err) {
		int params = s->x.params ? s->x.params : 1;
		int physical = s->x.physical ? s->x.physical : 1;

		s->value = calloc((size_t)params, sizeof(*s->value));
		s->param = calloc((size_t)physical, sizeof(*s->param));
		err = s->value && s->param ? 0 : -ENOMEM;
	}
	if (err) {
		free_stmt(s);
		return err;
	}
	*out = s;
	return 0;
}

int maria_prepare(struct sqlconn *conn, const char *text,
                  struct sqlstmt **out)
{
	struct maria_conn *c = (struct maria_conn *)conn;
	struct maria_stmt **head =
		&c->bucket[((uintptr_t)text >> 4) % MARIA_BUCKETS];
	struct maria_stmt *s = *head;

	while (s && s->text != text)
		s = s->next;
	if (!s || s->busy) {
		bool nested = s != NULL;
		int err;

		if (c->stmts >= MARIA_STMTS)
			close_unused(c);
		err = compile(c, text, &s);
		if (err)
			return err;
		s->kept = !nested;
		if (s->kept) {
			s->next = *head;
			*head = s;
			c->stmts++;
		}
	}
	s->busy = true;
	*out = &s->base;
	return 0;
}

static struct maria_value *value_at(struct sqlstmt *base, int i)
{
	struct maria_stmt *s = (struct maria_stmt *)base;

	return i < 1 || i > s->x.params ? NULL : &s->value[i - 1];
}

int maria_bind_int(struct sqlstmt *s, int i, int64_t n)
{
	struct maria_value *v = value_at(s, i);

	if (!v)
		return -EINVAL;
	v->type = MARIA_V_INT;
	v->n = n;
	return 0;
}

int maria_bind_bytes(struct sqlstmt *s, int i, const void *bytes, size_t len)
{
	struct maria_value *v = value_at(s, i);

	if (!v)
		return -EINVAL;
	v->type = MARIA_V_TEXT;
	fsp_buf_reset(&v->text);
	v->len = len;
	return fsp_buf_add(&v->text, bytes, len);
}

int maria_bind_text(struct sqlstmt *s, int i, const char *text)
{
	return maria_bind_bytes(s, i, text, strlen(text));
}

int maria_bind_null(struct sqlstmt *s, int i)
{
	struct maria_value *v = value_at(s, i);

	if (!v)
		return -EINVAL;
	v->type = MARIA_V_NULL;
	return 0;
}

static void set_param(MYSQL_BIND *b, struct maria_value *v)
{
	*b = (MYSQL_BIND){ .buffer_type = MYSQL_TYPE_NULL };
	if (v->type == MARIA_V_INT) {
		b->buffer_type = MYSQL_TYPE_LONGLONG;
		b->buffer = &v->n;
	} else if (v->type == MARIA_V_TEXT) {
		b->buffer_type = MYSQL_TYPE_STRING;
		b->buffer = v->text.data;
		b->buffer_length = v->len;
		b->length = &v->len;
	}
}

/* By itself, in the binary protocol. */
static int execute_alone(struct maria_stmt *s)
{
	struct maria_conn *c = conn_of(s);
	int err = maria_prepare_now(&s->base);

	if (err)
		return err;
	c->l->ctx = c->ctx;
	for (int i = 0; i < s->x.physical; i++)
		set_param(&s->param[i], &s->value[s->x.param[i]]);
	if (s->x.physical && mysql_stmt_bind_param(s->st, s->param))
		return maria_stmt_errno(s);
	c->begun = c->sent = true;
	if (ask_execute(s))
		return maria_stmt_errno(s);
	if (!mysql_stmt_field_count(s->st)) {
		int64_t id = (int64_t)mysql_stmt_insert_id(s->st);

		if (id)
			c->last_id = id;
		return 0;
	}
	s->streams = c->kind == SQL_ONE;
	if (!s->streams && ask_result(s))
		return maria_stmt_errno(s);
	return maria_result_bind(s);
}

static int execute(struct maria_stmt *s)
{
	struct maria_conn *c = conn_of(s);
	int rc = 0;

	if (c->l->failed)
		return maria_conn_errno(c, c->l->failed);
	if (!sql_kind_reads(c->kind))
		rc = maria_with_others(s);
	return rc ? rc < 0 ? rc : 0 : execute_alone(s);
}

int maria_step(struct sqlstmt *base)
{
	struct maria_stmt *s = (struct maria_stmt *)base;

	if (!s->ran) {
		int err = execute(s);

		if (err)
			return err;
		s->ran = true;
	}
	if (s->rows)
		return maria_next_row(s);
	return s->st && s->cols ? maria_fetch(s) : 0;
}

/* What has not come yet is read and dropped; where that fails the connection
 * is not used again. */
static void drop_rest(struct maria_stmt *s)
{
	struct maria_link *l = conn_of(s)->l;
	my_bool bad = 0;
	int status = mysql_stmt_free_result_start(&bad, s->st);

	while (status)
		status = mysql_stmt_free_result_cont(&bad, s->st,
		                                     maria_wait(l, status));
	if (bad)
		(void)maria_stmt_errno(s);
	/* The library says nothing of a connection that was cut meanwhile. */
	else if (!l->failed && !l->my->net.pvio)
		(void)maria_failed(l, CR_SERVER_LOST);
}

void maria_rewind(struct sqlstmt *base)
{
	struct maria_stmt *s = (struct maria_stmt *)base;

	/* Frees the rows, which are all here; nothing is asked. */
	if (s->rows)
		mysql_free_result(s->rows);
	else if (s->streams)
		drop_rest(s);
	else if (s->ran && s->st && s->cols)
		(void)mysql_stmt_free_result(s->st);
	s->streams = false;
	s->rows = NULL;
	s->row = NULL;
	s->ran = false;
}

void maria_end(struct sqlstmt *base)
{
	struct maria_stmt *s = (struct maria_stmt *)base;

	if (!s->kept) {
		free_stmt(s);
		return;
	}
	maria_rewind(base);
	for (int i = 0; i < s->x.params; i++)
		s->value[i].type = MARIA_V_NULL;
	s->busy = false;
}
