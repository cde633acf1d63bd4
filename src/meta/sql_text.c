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
	[SQL_INFO] = "info", [SQL_XATTR] = "xattr", [SQL_LOCK] = "lock"
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

/* "COLUMN" or "COLUMN OTHER" of {eq ...}. */
static int add_eq(struct expansion *x, const char *s, size_t len)
{
	const char *blank = memchr(s, ' ', len);
	int col = (int)(blank ? (size_t)(blank - s) : len);
	const char *other = blank ? blank + 1 : "?";
	int n = blank ? (int)(s + len - other) : 1;
	const char *raw = blank ? "_raw" : "";
	int err = 0;

	if (!col || !n)
		return -EINVAL;
	if (!x->d->raw)
		err = fsp_buf_printf(&x->b, "%.*s = %.*s", col, s, n, other);
	else
		err = fsp_buf_printf(&x->b, "(%.*s_raw = %.*s%s AND"
		                     " %.*s = %.*s)", col, s, n, other, raw,
		                     col, s, n, other);
	if (err || blank)
		return err;
	err = add_param(x, x->out->params);
	if (!err && x->d->raw)
		err = add_param(x, x->out->params);
	x->out->params++;
	return err;
}

/* What is between braces. */
static int add_name(struct expansion *x, const char *s, size_t len)
{
	if (len == 6 && memcmp(s, "update", len) == 0)
		return fsp_buf_adds(&x->b, x->d->update);
	if (len > 3 && memcmp(s, "eq ", 3) == 0)
		return add_eq(x, s + 3, len - 3);
	for (int i = 0; i < SQL_TABLES; i++)
		if (strlen(tables[i]) == len && memcmp(tables[i], s, len) == 0)
			return fsp_buf_adds(&x->b, x->d->table[i]);
	return -EINVAL;
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
