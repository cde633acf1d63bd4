/* Transactions, run again where the database asks for it, and statements. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "fsp_buf.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "sql_meta.h"

#define MAX_TRIES 100
#define RETRY_NS 200000L
#define SQL_VALUES 32

static void read_now(struct txn *t)
{
	const struct sqldrv_ops *ops = t->m->drv->ops;

	t->now_ns = ops->now_us ? sql_us_to_ns(ops->now_us(t->m->drv)) :
		fsp_now_ns();
	t->now_us = t->now_ns / 1000;
	t->now_s = t->now_ns / FSP_NS_PER_SEC;
	if (t->now_s < 1)
		t->now_s = 1;           /* deleted_at 0 means live */
}

static int attempt(struct sql_meta *m, const struct fsp_ctx *ctx,
                   enum sql_kind kind, struct claims *claims, sql_fn fn,
                   void *arg)
{
	const struct sqldrv_ops *ops = m->drv->ops;
	struct txn t = { .m = m, .ctx = ctx, .kind = kind, .claims = claims };
	uint_fast64_t before = atomic_load(&m->written);
	int err = ops->acquire(m->drv, ctx, kind, &t.c);

	if (err)
		return err;
	read_now(&t);
	memset(claims->have, 0, sizeof(claims->have));
	err = sql_kind_reads(kind) ? 0 : sql_claim(&t);
	if (!err)
		err = fn(&t, arg);
	if (err)
		ops->rollback(t.c);
	else
		err = ops->commit(t.c);
	ops->release(t.c);
	if (err || sql_kind_reads(kind))
		return err;
	if (kind == SQL_DURABLE) {
		/* Others may have got further meanwhile: only raise it. */
		uint_fast64_t old = atomic_load(&m->synced);

		while (old < before &&
		       !atomic_compare_exchange_weak(&m->synced, &old, before))
			;
	} else {
		atomic_fetch_add(&m->written, 1);
	}
	return 0;
}

static void back_off(struct sql_meta *m, int tries)
{
	struct timespec ts = { .tv_nsec = RETRY_NS * tries };

	atomic_fetch_add(&m->retries, 1);
	/* Cut short by a signal it only tries sooner. */
	(void)nanosleep(&ts, NULL);
}

int sql_txn(struct fsp_meta *base, const struct fsp_ctx *ctx,
            enum sql_kind kind, sql_fn fn, void *arg)
{
	struct sql_meta *m = (struct sql_meta *)base;
	struct claims claims = { .want = { false } };
	int tries = 0, err;
	enum ask asked;

	fsp_lock_assert_none();
	if (!sql_kind_reads(kind) && (m->opt.read_only || m->drv->read_only))
		return -EROFS;
	atomic_fetch_add(sql_kind_reads(kind) ? &m->reads : &m->writes, 1);
	for (;;) {
		asked = claims.ask;
		err = fsp_ctx_check(ctx);
		if (!err)
			err = attempt(m, ctx, kind, &claims, fn, arg);
		if (err == SQL_AGAIN) {
			/* With more claims, another statement, or room for
			 * more of them, each time: that ends. */
			if (kind == SQL_ONE && claims.ask == asked)
				kind = SQL_READ;
			continue;
		}
		if (err != -EDEADLK)
			return err;
		if (++tries == MAX_TRIES)
			return -ETIMEDOUT;
		back_off(m, tries);
	}
}

static int bind(struct sqlstmt *s, const char *types, va_list ap)
{
	const struct sqldrv_ops *ops = s->conn->drv->ops;
	int err = 0, at = 0;

	for (int i = 0; types[i] && !err; i++) {
		if (types[i] == 'T') {
			const char *const *v = va_arg(ap, const char *const *);

			for (int k = 0; k < FSP_LIST_MANY && !err; k++)
				err = ops->bind_text(s, ++at, v[k]);
		} else if (types[i] == 'I') {
			const int64_t *v = va_arg(ap, const int64_t *);

			for (int k = 0; k < FSP_DELEG_MOST && !err; k++)
				err = ops->bind_int(s, ++at, v[k]);
		} else if (types[i] == 'b') {
			const struct fsp_buf *b = va_arg(ap, const void *);

			err = ops->bind_bytes(s, ++at, b->data, b->len);
		} else if (types[i] == 't') {
			const char *text = va_arg(ap, const char *);

			err = text ? ops->bind_text(s, ++at, text) :
				ops->bind_null(s, ++at);
		} else {
			int64_t v = va_arg(ap, int64_t);

			err = types[i] == 'z' && !v ?
				ops->bind_null(s, ++at) :
				ops->bind_int(s, ++at, v);
		}
	}
	return err;
}

/* How many there are, or -EINVAL. */
static int values(const char *types, va_list ap, struct sql_value *v)
{
	int n = 0;

	for (; *types; types++) {
		const int64_t *all = NULL;
		int more = 1;

		if (*types == 'I') {
			all = va_arg(ap, const int64_t *);
			more = FSP_DELEG_MOST;
		}
		if (n + more > SQL_VALUES || *types == 'b' || *types == 'T')
			return -EINVAL;
		v[n] = (struct sql_value){ .null = false };
		for (int k = 0; all && k < more; k++)
			v[n + k] = (struct sql_value){ .n = all[k] };
		if (*types == 't') {
			v[n].text = va_arg(ap, const char *);
			v[n].null = !v[n].text;
		} else if (!all) {
			v[n].n = va_arg(ap, int64_t);
			v[n].null = *types == 'z' && !v[n].n;
		}
		n += more;
	}
	return n;
}

static int ahead(struct txn *t, const char *text, const char *types,
                 va_list ap)
{
	const struct sqldrv_ops *ops = t->c->drv->ops;
	struct sql_value v[SQL_VALUES];
	int n;

	if (!ops->ahead || sql_kind_reads(t->kind))
		return 0;
	n = values(types, ap, v);
	if (n < 0)
		return n;
	t->statements++;
	return ops->ahead(t->c, text, v, n);
}

static int start(struct txn *t, struct sqlstmt **out, const char *text,
                 const char *types, va_list ap)
{
	int err;

	if (!out)
		return ahead(t, text, types, ap);
	if (t->kind == SQL_ONE && t->statements) {
		*out = NULL;
		return SQL_AGAIN;
	}
	t->statements++;
	err = t->c->drv->ops->prepare(t->c, text, out);
	if (err) {
		*out = NULL;
		return err;
	}
	err = bind(*out, types, ap);
	if (err)
		sql_end(out);
	return err;
}

int sql_start(struct txn *t, struct sqlstmt **out, const char *text,
              const char *types, ...)
{
	va_list ap;
	int err;

	va_start(ap, types);
	err = start(t, out, text, types, ap);
	va_end(ap);
	return err;
}

int sql_next(struct sqlstmt *s)
{
	return s->conn->drv->ops->step(s);
}

void sql_end(struct sqlstmt **s)
{
	if (*s)
		(*s)->conn->drv->ops->end(*s);
	*s = NULL;
}

int sql_run(struct txn *t, const char *text, const char *types, ...)
{
	struct sqlstmt *s SQL_STMT = NULL;
	va_list ap;
	int err;

	va_start(ap, types);
	err = start(t, &s, text, types, ap);
	va_end(ap);
	if (!err)
		err = sql_next(s);
	return err < 0 ? err : 0;
}

static int queue(struct txn *t, const char *text, const char *types,
                 va_list ap)
{
	struct sql_value v[SQL_VALUES];
	int n = values(types, ap, v);

	if (n < 0)
		return n;
	t->statements++;
	return t->c->drv->ops->later(t->c, text, v, n);
}

int sql_later(struct txn *t, const char *text, const char *types, ...)
{
	struct sqlstmt *s SQL_STMT = NULL;
	bool waits = t->c->drv->ops->later != NULL;
	va_list ap;
	int err;

	va_start(ap, types);
	err = waits ? queue(t, text, types, ap)
	            : start(t, &s, text, types, ap);
	va_end(ap);
	if (!err && !waits)
		err = sql_next(s);
	return err < 0 ? err : 0;
}

int sql_last(struct txn *t, int64_t *id)
{
	const struct sqldrv_ops *ops = t->c->drv->ops;

	if (ops->last)
		return ops->last(t->c, id);
	*id = ops->last_id(t->c);
	return 0;
}

int sql_now(struct txn *t, int64_t *id)
{
	const struct sqldrv_ops *ops = t->c->drv->ops;
	int err = ops->now ? ops->now(t->c) : 0;

	if (!err && id)
		*id = ops->last_id(t->c);
	return err;
}

int sql_number(struct txn *t, int64_t *v, const char *text, const char *types,
               ...)
{
	struct sqlstmt *s SQL_STMT = NULL;
	va_list ap;
	int err;

	va_start(ap, types);
	err = start(t, v ? &s : NULL, text, types, ap);
	va_end(ap);
	if (!v)
		return err;
	*v = 0;
	if (!err)
		err = sql_next(s);
	if (err > 0)
		*v = sql_int_or(s, 0, 0);
	return err < 0 ? err : 0;
}

const char *sql_str(struct sqlstmt *s, int col)
{
	size_t len = 0;
	const char *text = s->conn->drv->ops->get_text(s, col, &len);

	return text && strlen(text) == len ? text : NULL;
}

const void *sql_bytes(struct sqlstmt *s, int col, size_t *len)
{
	return s->conn->drv->ops->get_bytes(s, col, len);
}

bool sql_int(struct sqlstmt *s, int col, int64_t *v)
{
	return s->conn->drv->ops->get_int(s, col, v) == 1;
}

int64_t sql_int_or(struct sqlstmt *s, int col, int64_t other)
{
	int64_t v;

	return col >= 0 && sql_int(s, col, &v) ? v : other;
}

bool sql_null(struct sqlstmt *s, int col)
{
	int64_t v;

	return s->conn->drv->ops->get_int(s, col, &v) == 0;
}
