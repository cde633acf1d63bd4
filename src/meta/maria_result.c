/* The MariaDB driver: the rows of a prepared statement. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "maria_pool.h"

#define FIRST_CAP 128
#define VALUE_MAX (16UL << 20)          /* no honest value is longer */

static void describe(struct maria_cell *c, const MYSQL_FIELD *f)
{
	switch (f->type) {
	case MYSQL_TYPE_TINY:
	case MYSQL_TYPE_SHORT:
	case MYSQL_TYPE_INT24:
	case MYSQL_TYPE_LONG:
	case MYSQL_TYPE_LONGLONG:
	case MYSQL_TYPE_YEAR:
		c->integer = true;
		break;
	case MYSQL_TYPE_DECIMAL:
	case MYSQL_TYPE_NEWDECIMAL:
		/* What sum() makes of integers. */
		c->decimal = f->decimals == 0;
		break;
	case MYSQL_TYPE_VARCHAR:
	case MYSQL_TYPE_VAR_STRING:
	case MYSQL_TYPE_STRING:
	case MYSQL_TYPE_TINY_BLOB:
	case MYSQL_TYPE_MEDIUM_BLOB:
	case MYSQL_TYPE_LONG_BLOB:
	case MYSQL_TYPE_BLOB:
	case MYSQL_TYPE_ENUM:
	case MYSQL_TYPE_SET:
		c->text = true;
		break;
	default:        /* neither: dates, fractions */
		break;
	}
}

static void set_buffer(MYSQL_BIND *b, struct maria_cell *c)
{
	*b = (MYSQL_BIND){
		.buffer_type = MYSQL_TYPE_STRING,
		.buffer = c->buf,
		.buffer_length = c->cap - 1,
		.length = &c->len,
		.is_null = &c->null,
		.error = &c->error,
	};
	if (c->integer) {
		b->buffer_type = MYSQL_TYPE_LONGLONG;
		b->buffer = &c->n;
		b->buffer_length = sizeof(c->n);
	}
}

static int make_columns(struct maria_stmt *s)
{
	MYSQL_RES *meta = mysql_stmt_result_metadata(s->st);
	unsigned n = mysql_stmt_field_count(s->st);

	if (!meta)
		return -ENOMEM;
	s->col = calloc(n, sizeof(*s->col));
	s->res = calloc(n, sizeof(*s->res));
	if (s->col && s->res)
		s->cols = n;
	else
		maria_result_free(s);
	for (unsigned i = 0; i < s->cols; i++) {
		describe(&s->col[i], mysql_fetch_field_direct(meta, i));
		s->col[i].cap = FIRST_CAP;
		s->col[i].buf = malloc(FIRST_CAP);
		if (!s->col[i].buf)
			maria_result_free(s);
	}
	mysql_free_result(meta);
	return s->cols ? 0 : -ENOMEM;
}

int maria_result_bind(struct maria_stmt *s)
{
	/* The server may have prepared it again, with other types. */
	if (s->cols != mysql_stmt_field_count(s->st))
		maria_result_free(s);
	if (!s->cols) {
		int err = make_columns(s);

		if (err)
			return err;
	}
	for (unsigned i = 0; i < s->cols; i++)
		set_buffer(&s->res[i], &s->col[i]);
	return mysql_stmt_bind_result(s->st, s->res) ? -EIO : 0;
}

void maria_result_free(struct maria_stmt *s)
{
	for (unsigned i = 0; i < s->cols; i++)
		free(s->col[i].buf);
	free(s->col);
	free(s->res);
	s->col = NULL;
	s->res = NULL;
	s->cols = 0;
}

/* Takes what was cut off; the buffers stay as large. */
static int grow(struct maria_stmt *s)
{
	bool bound = true;

	for (unsigned i = 0; i < s->cols; i++) {
		struct maria_cell *c = &s->col[i];
		char *buf;

		if (c->integer || c->null || c->len < c->cap)
			continue;
		if (c->len > VALUE_MAX)
			return -EIO;
		buf = realloc(c->buf, c->len + 1);
		if (!buf)
			return -ENOMEM;
		c->buf = buf;
		c->cap = c->len + 1;
		set_buffer(&s->res[i], c);
		if (mysql_stmt_fetch_column(s->st, &s->res[i], i, 0))
			return -EIO;
		bound = false;
	}
	return bound || !mysql_stmt_bind_result(s->st, s->res) ? 0 : -EIO;
}

static int ask_row(struct maria_stmt *s)
{
	struct maria_link *l = ((struct maria_conn *)s->base.conn)->l;
	int rc = 0, status;

	if (!s->streams)
		return mysql_stmt_fetch(s->st);
	status = mysql_stmt_fetch_start(&rc, s->st);
	while (status)
		status = mysql_stmt_fetch_cont(&rc, s->st,
		                               maria_wait(l, status));
	return rc;
}

int maria_fetch(struct maria_stmt *s)
{
	int rc = ask_row(s);
	int err = 0;

	if (rc == MYSQL_NO_DATA)
		return 0;
	if (rc == MYSQL_DATA_TRUNCATED)
		err = grow(s);
	else if (rc)
		err = s->streams ? maria_stmt_errno(s) : -EIO;
	for (unsigned i = 0; !err && i < s->cols; i++)
		if (!s->col[i].integer && !s->col[i].null)
			s->col[i].buf[s->col[i].len] = '\0';
	return err ? err : 1;
}

/* ---- rows that came as text */

int maria_next_row(struct maria_stmt *s)
{
	s->row = mysql_fetch_row(s->rows);
	if (!s->row)
		return 0;
	s->lengths = mysql_fetch_lengths(s->rows);
	return 1;
}

static void describe_text(const struct maria_stmt *s, int col,
                          struct maria_cell *c)
{
	*c = (struct maria_cell){
		.buf = s->row[col],
		.len = s->lengths[col],
		.null = !s->row[col],
	};
	describe(c, mysql_fetch_field_direct(s->rows, (unsigned)col));
}

/* Where rows are kept as text, it is described in *text. */
static const struct maria_cell *cell_of(const struct maria_stmt *s, int col,
                                        struct maria_cell *text)
{
	if (!s->rows)
		return &s->col[col];
	describe_text(s, col, text);
	return text;
}

static int parse_int(const char *text, int64_t *v)
{
	char *end = NULL;

	errno = 0;
	*v = strtoll(text, &end, 10);
	return errno || end == text || *end ? -EINVAL : 1;
}

int maria_get_int(struct sqlstmt *base, int col, int64_t *v)
{
	const struct maria_stmt *s = (struct maria_stmt *)base;
	struct maria_cell text;
	const struct maria_cell *c = cell_of(s, col, &text);

	if (c->null)
		return 0;
	if (c->integer && !s->rows) {
		*v = c->n;
		return c->error ? -EINVAL : 1;
	}
	return c->integer || c->decimal ? parse_int(c->buf, v) : -EINVAL;
}

const char *maria_get_text(struct sqlstmt *base, int col, size_t *len)
{
	struct maria_cell text;
	const struct maria_cell *c = cell_of((struct maria_stmt *)base, col,
	                                     &text);

	if (c->null || !c->text)
		return NULL;
	*len = c->len;
	return c->buf;
}

const void *maria_get_bytes(struct sqlstmt *base, int col, size_t *len)
{
	return maria_get_text(base, col, len);
}
