/* The texts of statements, expanded for a database. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "sql_text.h"

static const char *const tables[SQL_TABLES] = {
	[SQL_FILE] = "file", [SQL_SPACE] = "space", [SQL_NAME] = "name",
	[SQL_NODE] = "node", [SQL_OBJECT] = "object", [SQL_MOUNT] = "mount",
	[SQL_INFO] = "info", [SQL_XATTR] = "xattr", [SQL_LOCK] = "lock",
	[SQL_CHANGE] = "change", [SQL_BLOCKS] = "blocks"
};

struct expansion {
	const struct sql_dialect *d;
	struct fsp_buf b;
	struct sql_text *out;
};

/* The statement's next parameter, which is this one of the text. */
static int add_param(struct expansion *x, int param)
{
	if (x->out->physical == SQL_PARAMS)
		return -EINVAL;
	x->out->param[x->out->physical++] = (uint8_t)param;
	return 0;
}

/* A column in braces, and what it is compared with. */
struct operand {
	const char *col, *other;
	int len, other_len;             /* other_len 0: a parameter */
	int alias;                      /* of len, with its dot */
};

static int parse(const char *s, size_t len, struct operand *o)
{
	const char *blank = memchr(s, ' ', len);
	const char *dot;

	*o = (struct operand){ .col = s, .other = "?" };
	o->len = (int)(blank ? (size_t)(blank - s) : len);
	if (blank) {
		o->other = blank + 1;
		o->other_len = (int)(s + len - o->other);
	}
	dot = memchr(s, '.', (size_t)o->len);
	o->alias = dot ? (int)(dot - s) + 1 : 0;
	return o->len == o->alias || (blank && !o->other_len) ? -EINVAL : 0;
}

static bool is_column(const struct operand *o, const char *name)
{
	size_t len = strlen(name);

	return (size_t)(o->len - o->alias) == len &&
		memcmp(o->col + o->alias, name, len) == 0;
}

/* COLUMN = OTHER, with what an index knows of both before it. */
static int add_eq(struct expansion *x, const struct operand *o)
{
	bool raw = x->d->raw && is_column(o, "space_key");
	int n = o->other_len ? o->other_len : 1;
	int err = 0;

	if (raw)
		err = fsp_buf_printf(&x->b, "(%.*s_raw = %.*s%s AND ", o->len,
		                     o->col, n, o->other,
		                     o->other_len ? "_raw" : "");
	if (!err)
		err = fsp_buf_printf(&x->b, "%.*s = %.*s%s", o->len, o->col, n,
		                     o->other, raw ? ")" : "");
	if (err || o->other_len)
		return err;
	err = add_param(x, x->out->params);
	if (!err && raw)
		err = add_param(x, x->out->params);
	x->out->params++;
	return err;
}

/* file_key OP ?, or its head before it, which may be equal. */
static int add_bound(struct expansion *x, const struct operand *o,
                     const char *op, const char *head_op)
{
	int err = 0;

	if (x->d->head)
		err = fsp_buf_printf(&x->b, "(%.*skey_head %s LEFT(?, %d) AND ",
		                     o->alias, o->col, head_op, SQL_HEAD);
	if (!err)
		err = fsp_buf_printf(&x->b, "%.*s %s ?%s", o->len, o->col, op,
		                     x->d->head ? ")" : "");
	if (!err)
		err = add_param(x, x->out->params);
	if (!err && x->d->head)
		err = add_param(x, x->out->params);
	x->out->params++;
	return err;
}

static int add_head(struct expansion *x, const struct operand *o)
{
	if (x->d->head)
		return fsp_buf_printf(&x->b, "%.*skey_head", o->alias, o->col);
	return fsp_buf_add(&x->b, o->col, (size_t)o->len);
}

/* The live name at a place: its space, directory and name are parameters. */
static int add_at(struct expansion *x, const struct operand *o)
{
	const char *a = o->col;
	int err, n = o->len;

	if (x->d->place)
		err = fsp_buf_printf(&x->b, "%.*s.place = UNHEX(SHA2(CONCAT(?,"
		                     " CHAR(0), ?, CHAR(0), ?), 256)) AND"
		                     " %.*s.live = 1", n, a, n, a);
	else
		err = fsp_buf_printf(&x->b, "%.*s.space_key = ? AND"
		                     " %.*s.dir_key = ? AND %.*s.name = ? AND"
		                     " %.*s.live = 1", n, a, n, a, n, a, n, a);
	for (int i = 0; i < 3 && !err; i++)
		err = add_param(x, x->out->params++);
	return err;
}

/* PHP leaves deleted_at NULL, or 0. */
static int add_live(struct expansion *x, const struct operand *o)
{
	if (x->d->dated)
		return fsp_buf_printf(&x->b, "%.*s = 0", o->len, o->col);
	return fsp_buf_printf(&x->b, "(%.*s IS NULL OR %.*s = 0)", o->len,
	                      o->col, o->len, o->col);
}

/* "VERB OPERAND"; eq alone has raw columns: they have an order of their own. */
static int add_verb(struct expansion *x, const char *s, size_t len)
{
	const char *blank = memchr(s, ' ', len);
	struct operand o;
	size_t n;

	if (!blank)
		return -EINVAL;
	n = (size_t)(blank - s);
	if (parse(blank + 1, len - n - 1, &o))
		return -EINVAL;
	if (n == 2 && memcmp(s, "eq", n) == 0)
		return add_eq(x, &o);
	if (n == 2 && memcmp(s, "at", n) == 0)
		return o.alias || o.other_len ? -EINVAL : add_at(x, &o);
	if (n == 4 && memcmp(s, "live", n) == 0)
		return o.other_len || !is_column(&o, "deleted_at") ?
			-EINVAL : add_live(x, &o);
	if (o.other_len || !is_column(&o, "file_key"))
		return -EINVAL;
	if (n == 4 && memcmp(s, "from", n) == 0)
		return add_bound(x, &o, ">=", ">=");
	if (n == 5 && memcmp(s, "below", n) == 0)
		return add_bound(x, &o, "<", "<=");
	if (n == 4 && memcmp(s, "head", n) == 0)
		return add_head(x, &o);
	return -EINVAL;
}

static int add_index(struct expansion *x, const char *s, size_t len)
{
	const char *index = NULL;

	if (len == 3 && memcmp(s, "key", len) == 0)
		index = x->d->by_key;
	else if (len == 3 && memcmp(s, "php", len) == 0)
		index = x->d->by_php;
	else if (len == 4 && memcmp(s, "scan", len) == 0)
		index = x->d->by_scan;
	else
		return -EINVAL;
	return fsp_buf_adds(&x->b, index ? index : "");
}

/* What is between braces. */
static int add_name(struct expansion *x, const char *s, size_t len)
{
	if (len == 6 && memcmp(s, "update", len) == 0)
		return fsp_buf_adds(&x->b, x->d->update);
	if (len == 4 && memcmp(s, "part", len) == 0)
		return fsp_buf_adds(&x->b, x->d->part);
	if (len == 4 && memcmp(s, "last", len) == 0)
		return fsp_buf_adds(&x->b, x->d->last);
	if (len > 3 && memcmp(s, "by_", 3) == 0)
		return add_index(x, s + 3, len - 3);
	for (int i = 0; i < SQL_TABLES; i++)
		if (strlen(tables[i]) == len && memcmp(tables[i], s, len) == 0)
			return fsp_buf_adds(&x->b, x->d->table[i]);
	return add_verb(x, s, len);
}

/* One piece of a text: braces, a literal, a parameter, or what is between. */
static int add_piece(struct expansion *x, const char **text)
{
	const char *s = *text;
	const char *end;
	int err = 0;

	switch (*s) {
	case '{':
		end = strchr(s, '}');
		*text = end ? end + 1 : s;
		return end ? add_name(x, s + 1, (size_t)(end - s) - 1) :
			-EINVAL;
	case '\'':
		end = strchr(s + 1, '\'');
		if (!end)
			return -EINVAL;
		end++;
		break;
	case '?':
		err = add_param(x, x->out->params++);
		end = s + 1;
		break;
	default:
		end = s + strcspn(s, "{'?");
	}
	*text = end;
	return err ? err : fsp_buf_add(&x->b, s, (size_t)(end - s));
}

int sql_text_expand(const struct sql_dialect *d, const char *text,
                    struct sql_text *out)
{
	struct expansion x = { .d = d, .b = FSP_BUF_INIT, .out = out };
	int err = fsp_buf_adds(&x.b, "");

	*out = (struct sql_text){ .sql = NULL };
	while (*text && !err)
		err = add_piece(&x, &text);
	if (!err) {
		out->sql = fsp_buf_steal(&x.b);
		return 0;
	}
	fsp_buf_free(&x.b);
	return err;
}

void sql_text_free(struct sql_text *t)
{
	free(t->sql);
	t->sql = NULL;
}
