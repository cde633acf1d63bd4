/* Extended attributes of inodes; values are kept as hex. */
#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "sql_meta.h"

#define TOTAL_MAX (64 * 1024)   /* names and values of one inode */

struct get {
	uint64_t ino;
	const char *name;
	struct fsp_buf *out;
};

static int get(struct txn *t, void *arg)
{
	const struct get *g = arg;
	struct sqlstmt *s SQL_STMT = NULL;
	const char *hex;
	int err = sql_start(t, &s, "SELECT x.value FROM {xattr} x WHERE"
	                    " x.ino = ? AND x.name = ?", "it",
	                    (int64_t)g->ino, g->name);

	if (!err)
		err = sql_next(s);
	if (err <= 0)
		return err ? err : -ENODATA;
	hex = sql_str(s, 0);
	if (!hex || strlen(hex) % 2)
		return -EIO;
	fsp_buf_reset(g->out);
	err = fsp_buf_reserve(g->out, strlen(hex) / 2);
	if (err)
		return err;
	if (*hex && fsp_unhex(g->out->data, strlen(hex) / 2, hex))
		return -EIO;
	g->out->len = strlen(hex) / 2;
	return 0;
}

int sql_xattr_get(struct fsp_meta *m, const struct fsp_ctx *ctx, uint64_t ino,
                  const char *name, struct fsp_buf *out)
{
	struct get g = { ino, name, out };

	return sql_txn(m, ctx, SQL_ONE, get, &g);
}

static int list(struct txn *t, void *arg)
{
	const struct get *g = arg;
	struct sqlstmt *s SQL_STMT = NULL;
	int err = sql_start(t, &s, "SELECT x.name FROM {xattr} x WHERE"
	                    " x.ino = ? ORDER BY x.name", "i",
	                    (int64_t)g->ino);

	fsp_buf_reset(g->out);
	while (!err && (err = sql_next(s)) == 1) {
		const char *name = sql_str(s, 0);

		err = name ? fsp_buf_add(g->out, name, strlen(name) + 1) : 0;
	}
	return err < 0 ? err : 0;
}

int sql_xattr_list(struct fsp_meta *m, const struct fsp_ctx *ctx, uint64_t ino,
                   int (*each)(void *arg, const char *name), void *arg)
{
	FSP_BUF struct fsp_buf names = FSP_BUF_INIT;
	struct get g = { ino, NULL, &names };
	int err = sql_txn(m, ctx, SQL_ONE, list, &g);

	for (size_t i = 0; !err && i < names.len;
	     i += strlen(names.data + i) + 1)
		err = each(arg, names.data + i);
	return err;
}

struct xset {
	const struct fsp_ref *ref;
	const char *name, *hex;         /* hex NULL: remove */
	int flags;
};

static int total_after(struct txn *t, uint64_t ino, const struct xset *a,
                       int64_t *total)
{
	int err = sql_number(t, total, "SELECT SUM(LENGTH(x.name) *"
	                     " 2 + LENGTH(x.value)) FROM {xattr} x WHERE"
	                     " x.ino = ? AND x.name <> ?", "it", (int64_t)ino,
	                     a->name);

	*total = *total / 2 + (int64_t)(strlen(a->name) + strlen(a->hex) / 2);
	return err;
}

static int store(struct txn *t, uint64_t ino, const struct xset *a)
{
	int64_t total;
	int err;

	if (!a->hex)
		return sql_later(t, "DELETE FROM {xattr} WHERE ino = ? AND"
		               " name = ?", "it", (int64_t)ino, a->name);
	err = total_after(t, ino, a, &total);
	if (err)
		return err;
	if (total > TOTAL_MAX)
		return -ENOSPC;
	return sql_later(t, "REPLACE INTO {xattr} (ino, name, value)"
	               " VALUES (?, ?, ?)", "itt", (int64_t)ino, a->name,
	               a->hex);
}

static int change(struct txn *t, void *arg)
{
	const struct xset *a = arg;
	struct ents names ENTS = { .n = 0 };
	struct node n;
	int64_t there = 0;
	int err = sql_resolve_all(t, a->ref, &names);

	if (!err)
		err = sql_number(t, &there, "SELECT 1 FROM {xattr} x WHERE"
		                 " x.ino = ? AND x.name = ?", "it",
		                 (int64_t)names.v[0].ino, a->name);
	if (err)
		return err;
	if (there && (a->flags & XATTR_CREATE))
		return -EEXIST;
	if (!there && (!a->hex || (a->flags & XATTR_REPLACE)))
		return -ENODATA;
	err = store(t, names.v[0].ino, a);
	n = names.v[0].node;
	sql_apply(t, 0, NULL, &n);      /* ctime */
	return err ? err : sql_save_node(t, names.v[0].ino, &n);
}

int sql_xattr_set(struct fsp_meta *m, const struct fsp_ctx *ctx,
                  const struct fsp_ref *ref, const char *name,
                  const void *value, size_t len, int flags)
{
	FSP_FREE char *hex = NULL;
	struct xset a = { ref, name, NULL, flags };

	if (!*name || len > TOTAL_MAX)
		return !*name ? -EINVAL : -E2BIG;
	hex = malloc(2 * len + 1);
	if (!hex)
		return -ENOMEM;
	fsp_hex(hex, value, len);
	a.hex = hex;
	return sql_txn(m, ctx, SQL_WRITE, change, &a);
}

int sql_xattr_remove(struct fsp_meta *m, const struct fsp_ctx *ctx,
                     const struct fsp_ref *ref, const char *name)
{
	struct xset a = { ref, name, NULL, 0 };

	return sql_txn(m, ctx, SQL_WRITE, change, &a);
}
