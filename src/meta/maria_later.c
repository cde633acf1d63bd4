/*
 * Statements without a result wait until something else is asked, or until the
 * COMMIT, and go to the server together: one round trip for all of them. Each
 * sees what those before it did; after one that fails none is run. Not so on
 * Galera.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "maria_pool.h"

/* A text as this database wants it. */
struct maria_later {
	const char *text;
	struct sql_text x;
	struct maria_later *next;
};

void maria_later_free(struct maria_conn *c)
{
	while (c->texts) {
		struct maria_later *next = c->texts->next;

		sql_text_free(&c->texts->x);
		free(c->texts);
		c->texts = next;
	}
	fsp_buf_free(&c->queue);
}

static int expand(struct maria_conn *c, const char *text,
                  const struct sql_text **out)
{
	struct maria_pool *p = (struct maria_pool *)c->base.drv;
	struct maria_later *l = c->texts;
	int err;

	while (l && l->text != text)
		l = l->next;
	if (!l) {
		l = calloc(1, sizeof(*l));
		if (!l)
			return -ENOMEM;
		l->text = text;
		err = sql_text_expand(&p->dialect, text, &l->x);
		if (err) {
			free(l);
			return err;
		}
		l->next = c->texts;
		c->texts = l;
	}
	*out = &l->x;
	return 0;
}

/* Bytes as digits: nothing in them can end a literal. */
static int add_value(struct fsp_buf *b, const struct sql_value *v)
{
	static const char digits[] = "0123456789ABCDEF";
	int err;

	if (v->null)
		return fsp_buf_adds(b, "NULL");
	if (!v->text)
		return fsp_buf_printf(b, "%" PRId64, v->n);
	err = fsp_buf_adds(b, "X'");
	for (const char *s = v->text; *s && !err; s++) {
		char hex[2] = { digits[(unsigned char)*s >> 4],
		                digits[(unsigned char)*s & 15] };

		err = fsp_buf_add(b, hex, sizeof(hex));
	}
	return err ? err : fsp_buf_addc(b, '\'');
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

static int add_statement(struct fsp_buf *b, const struct sql_text *x,
                         const struct sql_value *v)
{
	const char *s = x->sql;
	int n = 0, err = b->len ? fsp_buf_addc(b, ';') : 0;

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

int maria_later(struct sqlconn *conn, const char *text,
                const struct sql_value *v, int n)
{
	struct maria_conn *c = (struct maria_conn *)conn;
	const struct sql_text *x;
	int err;

	if (c->queue.len > MARIA_QUEUE) {
		err = maria_now(conn);
		if (err)
			return err;
	}
	err = expand(c, text, &x);
	if (!err && x->params != n)
		err = -EINVAL;
	if (!err)
		err = add_statement(&c->queue, x, v);
	if (!err)
		c->queued++;
	c->begun = c->wrote = true;
	/*
	 * A Galera node may take a transaction back between two statements of
	 * one text, and go on with the next as a transaction of its own: half of
	 * ours would be committed. Sent one by one, the next one fails.
	 */
	return err || !c->l->galera ? err : maria_now(conn);
}

void maria_later_drop(struct maria_conn *c)
{
	fsp_buf_reset(&c->queue);
	c->queued = 0;
}

/*
 * What was found free is not: PHP takes no places, so it was another writer,
 * and next time it is found.
 */
static int again(int err)
{
	return err == -EEXIST ? -EDEADLK : err;
}

int maria_now(struct sqlconn *conn)
{
	struct maria_conn *c = (struct maria_conn *)conn;
	unsigned done;
	int err;

	if (!c->queue.len)
		return 0;
	atomic_fetch_add(&conn->drv->trips, 1);
	err = maria_run_all(c->l, c->ctx, c->queue.data, &c->last_id, &done);
	maria_later_drop(c);
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
	atomic_fetch_add(&c->base.drv->trips, 1);
	err = maria_run_all(c->l, ctx, c->queue.data, &c->last_id, &done);
	maria_later_drop(c);
	/* A connection that is lost does not say how far the server got. */
	*sent = !err || c->l->failed || done >= n;
	return *sent ? err : again(err);
}
