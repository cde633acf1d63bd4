/* Facts about the store as a whole. */
#include <errno.h>
#include <string.h>

#include "fsp_buf.h"
#include "sql_meta.h"

struct info {
	const char *name, *value;
	struct fsp_buf *out;
};

static int get(struct txn *t, void *arg)
{
	const struct info *a = arg;
	struct sqlstmt *s SQL_STMT = NULL;
	const char *text;
	int err = sql_start(t, &s, "SELECT i.value FROM {info} i"
	                    " WHERE i.name = ?", "t", a->name);

	if (!err)
		err = sql_next(s);
	if (err <= 0)
		return err ? err : -ENOENT;
	text = sql_str(s, 0);
	fsp_buf_reset(a->out);
	return text ? fsp_buf_adds(a->out, text) : -EIO;
}

int sql_info_get(struct fsp_meta *m, const struct fsp_ctx *ctx,
                 const char *name, struct fsp_buf *out)
{
	struct info a = { .name = name, .out = out };

	return sql_txn(m, ctx, SQL_ONE, get, &a);
}

static int set(struct txn *t, void *arg)
{
	const struct info *a = arg;
	int err = sql_claim_ino(t, 0);

	return err ? err : sql_run(t, "REPLACE INTO {info} (name, value) VALUES (?, ?)",
	               "tt", a->name, a->value);
}

int sql_info_set(struct fsp_meta *m, const struct fsp_ctx *ctx,
                 const char *name, const char *value)
{
	struct info a = { .name = name, .value = value };

	return sql_txn(m, ctx, SQL_DURABLE, set, &a);
}
