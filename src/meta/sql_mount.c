/* The mounts of a store, and what one leaves when it dies. */
#include <errno.h>
#include <string.h>

#include "fsp_buf.h"
#include "sql_meta.h"

static int add(struct txn *t, void *arg)
{
	const struct fsp_mountinfo *i = arg;
	int err;

	sql_want(t, i->id);
	err = sql_claim_ino(t, 0);
	return err ? err : sql_run(t, "REPLACE INTO {mount} (id, host, pid, path,"
	               " started_us, read_only, spool)"
	               " VALUES (?, ?, ?, ?, ?, ?, ?)", "ttitiit", i->id,
	               i->host, i->pid, i->path, i->started_us,
	               (int64_t)i->read_only, i->spool ? i->spool : "");
}

int sql_mount_add(struct fsp_meta *m, const struct fsp_ctx *ctx,
                  const struct fsp_mountinfo *i)
{
	struct fsp_mountinfo copy = *i;

	if (!i->id || !*i->id || !i->host || !i->path)
		return -EINVAL;
	/* Again: after a lost lease, while others read it. */
	if (strlen(i->id) <= FSP_MOUNT_ID &&
	    strcmp(((struct sql_meta *)m)->origin, i->id) != 0)
		strcpy(((struct sql_meta *)m)->origin, i->id);
	return sql_txn(m, ctx, SQL_WRITE, add, &copy);
}

/* A name that was created and never committed. What PHP wrote over it in the
 * meantime is a file like any other. */
static int drop_pending(struct txn *t, struct ent *e)
{
	int err;

	if (e->has_row)
		return sql_adopt(t, e);
	err = sql_changed(t, &e->key, e->ino, true);
	if (err)
		return err;
	err = sql_run(t, "DELETE FROM {name} WHERE id = ?", "i", e->name_id);
	return err ? err : sql_unlink_node(t, e->ino, true);
}

static int forget(struct txn *t, void *arg)
{
	const char *id = arg;
	struct ents names ENTS = { .n = 0 };
	struct sqlstmt *s SQL_STMT = NULL;
	int err;

	sql_want(t, id);
	err = sql_claim_ino(t, 0);
	if (err)
		return err;
	err = sql_start(t, &s, NAMES_SQL("n.owner = ? AND n.live = 1 AND"
	                                 " n.file_id IS NULL"), "t", id);
	if (!err)
		err = sql_read_names(s, &names);
	sql_end(&s);
	for (size_t i = 0; i < names.n && !err; i++)
		sql_want(t, names.v[i].key.space);
	if (!err)
		err = sql_claim(t);
	for (size_t i = 0; i < names.n && !err; i++)
		err = drop_pending(t, &names.v[i]);
	if (!err)
		err = sql_run(t, "DELETE FROM {lock} WHERE mount = ?", "t", id);
	if (!err)
		err = sql_run(t, "DELETE FROM {mount} WHERE id = ?", "t", id);
	return err;
}

int sql_mount_remove(struct fsp_meta *m, const struct fsp_ctx *ctx,
                     const char *id)
{
	char *copy = strdup(id);
	int err = copy ? sql_txn(m, ctx, SQL_WRITE, forget, copy) : -ENOMEM;

	free(copy);
	return err;
}

struct mounts {
	struct fsp_mountinfo *v;
	size_t n, cap;
};

static void mounts_free(struct mounts *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free((void *)(uintptr_t)l->v[i].id);
		free((void *)(uintptr_t)l->v[i].host);
		free((void *)(uintptr_t)l->v[i].path);
		free((void *)(uintptr_t)l->v[i].spool);
	}
	free(l->v);
	*l = (struct mounts){ .n = 0 };
}

static const char *copy_of(struct sqlstmt *s, int col)
{
	const char *text = sql_str(s, col);

	return strdup(text ? text : "");
}

static int add_mount(struct mounts *l, struct sqlstmt *s)
{
	struct fsp_mountinfo *i = fsp_grow(l->v, l->n, &l->cap, sizeof(*i));

	if (!i)
		return -ENOMEM;
	l->v = i;
	i += l->n++;
	*i = (struct fsp_mountinfo){
		.id = copy_of(s, 0),
		.host = copy_of(s, 1),
		.path = copy_of(s, 3),
		.spool = copy_of(s, 6),
		.pid = sql_int_or(s, 2, 0),
		.started_us = sql_int_or(s, 4, 0),
		.read_only = sql_int_or(s, 5, 0) != 0,
		.lease_us = sql_int_or(s, 7, FSP_LEASE_NONE),
	};
	return i->id && i->host && i->path && i->spool ? 0 : -ENOMEM;
}

static int read_mounts(struct txn *t, void *arg)
{
	struct sqlstmt *s SQL_STMT = NULL;
	struct mounts *l = arg;
	int err;

	mounts_free(l);
	err = sql_start(t, &s, "SELECT m.id, m.host, m.pid, m.path,"
	                " m.started_us, m.read_only, m.spool,"
	                " m.lease_us FROM {mount} m"
	                " ORDER BY m.started_us, m.id", "");
	if (err)
		return err;
	while ((err = sql_next(s)) == 1) {
		err = add_mount(l, s);
		if (err)
			return err;
	}
	return err;
}

int sql_mount_each(struct fsp_meta *m, const struct fsp_ctx *ctx,
                   int (*each)(void *arg, const struct fsp_mountinfo *i),
                   void *arg)
{
	struct mounts l __attribute__((cleanup(mounts_free))) = { .n = 0 };
	int err = sql_txn(m, ctx, SQL_ONE, read_mounts, &l);

	for (size_t i = 0; i < l.n && !err; i++)
		err = each(arg, &l.v[i]);
	return err;
}
