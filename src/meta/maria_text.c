/*
 * Statements in text, with their values as literals, so that several go to the
 * server together. One that comes again is given a name there (PREPARE), which
 * saves the server from reading it each time; that goes along with its second
 * use and costs no round trip.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "fsp_log.h"
#include "maria_pool.h"

/* A text as this database wants it. */
struct maria_text {
	const char *text;
	struct sql_text x;
	bool used;
	unsigned name;                  /* 0: none yet */
	bool naming;                    /* what waits makes it */
	struct maria_text *next;
};

void maria_text_free(struct maria_conn *c)
{
	for (int i = 0; i < MARIA_BUCKETS; i++) {
		while (c->texts[i]) {
			struct maria_text *t = c->texts[i];

			c->texts[i] = t->next;
			sql_text_free(&t->x);
			free(t);
		}
	}
}

static int find(struct maria_conn *c, const char *text,
                struct maria_text **out)
{
	struct maria_pool *p = (struct maria_pool *)c->base.drv;
	struct maria_text **head =
		&c->texts[((uintptr_t)text >> 4) % MARIA_BUCKETS];
	struct maria_text *t = *head;
	int err;

	while (t && t->text != text)
		t = t->next;
	if (!t) {
		t = calloc(1, sizeof(*t));
		if (!t)
			return -ENOMEM;
		t->text = text;
		err = sql_text_expand(&p->dialect, text, &t->x);
		if (err) {
			free(t);
			return err;
		}
		t->next = *head;
		*head = t;
	}
	*out = t;
	return 0;
}

/* Bytes as digits: nothing in them can end a literal. */
static int add_value(struct fsp_buf *b, const struct maria_literal *v)
{
	int err;

	if (v->null)
		return fsp_buf_adds(b, "NULL");
	if (!v->bytes)
		return fsp_buf_printf(b, "%" PRId64, v->n);
	err = fsp_buf_adds(b, "X'");
	if (!err)
		err = fsp_buf_reserve(b, 2 * v->len + 2);
	if (err)
		return err;
	fsp_hex(b->data + b->len, v->bytes, v->len);
	b->len += 2 * v->len;
	return fsp_buf_addc(b, '\'');
}

static int add_values(struct fsp_buf *b, const struct sql_text *x,
                      const struct maria_literal *v)
{
	int err = 0;

	for (int i = 0; i < x->physical && !err; i++) {
		err = i ? fsp_buf_addc(b, ',') : 0;
		if (!err)
			err = add_value(b, &v[x->param[i]]);
	}
	return err;
}

int maria_text_values(struct maria_conn *c, const char *text,
                      const struct maria_literal *v, struct fsp_buf *out)
{
	struct maria_text *t;
	int err = find(c, text, &t);

	if (!err)
		err = fsp_buf_adds(out, "");
	return err ? err : add_values(out, &t->x, v);
}

/* A piece of the statement: up to a parameter, or a quoted string. */
static size_t piece(const char *s)
{
	const char *end;

	if (*s != '\'')
		return strcspn(s, "'?");
	end = strchr(s + 1, '\'');
	return end ? (size_t)(end - s) + 1 : strlen(s);
}

/* With its values in it. */
static int add_plain(struct fsp_buf *b, const struct sql_text *x,
                     const struct maria_literal *v)
{
	const char *s = x->sql;
	int n = 0, err = 0;

	while (*s && !err) {
		size_t len = piece(s);

		if (!len) {
			err = add_value(b, &v[x->param[n++]]);
			s++;
		} else {
			err = fsp_buf_add(b, s, len);
			s += len;
		}
	}
	return err;
}

static int begin(struct maria_conn *c)
{
	c->queued++;
	return c->queue.len ? fsp_buf_addc(&c->queue, ';') : 0;
}

/* PREPARE; quotes are doubled, and nothing else means anything in a string. */
static int add_name(struct maria_conn *c, struct maria_text *t)
{
	struct fsp_buf *b = &c->queue;
	int err = begin(c);

	t->name = ++c->names;
	t->naming = c->naming = true;
	if (!err)
		err = fsp_buf_printf(b, "PREPARE fsp%u FROM '", t->name);
	for (const char *s = t->x.sql; *s && !err;) {
		size_t len = strcspn(s, "'");

		err = fsp_buf_add(b, s, len);
		if (!err && s[len])
			err = fsp_buf_adds(b, "''");
		s += len + (s[len] != '\0');
	}
	return err ? err : fsp_buf_addc(b, '\'');
}

static int add_named(struct maria_conn *c, struct maria_text *t,
                     const struct maria_literal *v)
{
	struct fsp_buf *b = &c->queue;
	int err = t->name ? 0 : add_name(c, t);

	if (!err)
		err = begin(c);
	if (!err)
		err = fsp_buf_printf(b, "EXECUTE fsp%u%s", t->name,
		                     t->x.physical ? " USING " : "");
	return err ? err : add_values(b, &t->x, v);
}

int maria_text_add(struct maria_conn *c, const char *text,
                   const struct maria_literal *v, int params)
{
	struct maria_text *t;
	int err = find(c, text, &t);

	if (err)
		return err;
	if (t->x.params != params)
		return -EINVAL;
	if (t->used && !c->nameless)
		return add_named(c, t, v);
	t->used = true;
	err = begin(c);
	return err ? err : add_plain(&c->queue, &t->x, v);
}

static const struct maria_text *of_name(const struct maria_conn *c,
                                        unsigned name)
{
	for (int i = 0; i < MARIA_BUCKETS; i++)
		for (const struct maria_text *t = c->texts[i]; t; t = t->next)
			if (t->name == name)
				return t;
	return NULL;
}

/* The statement of a name, with what follows it: "fspN USING ..." */
static void log_named(const struct maria_conn *c, const char *name)
{
	const struct maria_text *t =
		of_name(c, (unsigned)strtoul(name + strlen("fsp"), NULL, 10));

	if (t)
		fsp_error("database %s: in: %s; %s", c->l->name, t->x.sql,
		          name);
}

/* No value and no statement has a semicolon in it. */
void maria_text_log(const struct maria_conn *c, unsigned nth)
{
	FSP_FREE char *text = strdup(c->queue.data);
	char *save = NULL, *one = text ? strtok_r(text, ";", &save) : NULL;

	while (one && --nth)
		one = strtok_r(NULL, ";", &save);
	if (one && strncmp(one, "EXECUTE ", 8) == 0)
		log_named(c, one + 8);
	else if (one)
		fsp_error("database %s: in: %s", c->l->name, one);
}

static void named(struct maria_text *t, bool done)
{
	/* Making it once more replaces it. */
	if (t->naming && !done)
		t->name = 0;
	t->naming = false;
}

void maria_text_named(struct maria_conn *c, bool done)
{
	for (int i = 0; c->naming && i < MARIA_BUCKETS; i++)
		for (struct maria_text *t = c->texts[i]; t; t = t->next)
			named(t, done);
	c->naming = false;
}
