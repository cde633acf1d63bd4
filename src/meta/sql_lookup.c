/* Looking: one entry by place or by number, a symlink's target. */
#include <errno.h>
#include <string.h>

#include "sql_meta.h"

struct lookup {
	const char *dir, *name;
	bool known;
	const struct fsp_ref *ref;
	bool at;                /* only where it is at its path */
	struct fsp_entry *out;
};

/* Whoever makes files looks each of them up before. */
static int find_any(struct txn *t, const struct lookup *a, struct ent *e)
{
	int err = atomic_load(&t->m->absent)
		? sql_find_new(t, a->dir, a->name, e)
		: sql_find(t, a->dir, a->name, e);

	if (err != SQL_AGAIN)
		atomic_store(&t->m->absent, err == -ENOENT);
	return err;
}

static int lookup(struct txn *t, void *arg)
{
	struct lookup *a = arg;
	struct ent e ENT = { .how = BY_NAME };
	int err;

	if (a->ref && a->at)
		err = sql_resolve_at(t, a->ref, &e);
	else if (a->ref)
		err = sql_resolve(t, a->ref, &e);
	else if (a->known)
		err = sql_find(t, a->dir, a->name, &e);
	else
		err = find_any(t, a, &e);
	if (!err)
		sql_fill(&e, a->out);
	return err;
}

int sql_lookup(struct fsp_meta *m, const struct fsp_ctx *ctx, const char *dir,
               const char *name, bool known, struct fsp_entry *out)
{
	struct lookup a = { .dir = dir, .name = name, .known = known,
	                    .out = out };

	return sql_txn(m, ctx, SQL_ONE, lookup, &a);
}

int sql_getattr(struct fsp_meta *m, const struct fsp_ctx *ctx,
                const struct fsp_ref *ref, struct fsp_entry *out)
{
	struct lookup a = { .ref = ref, .out = out };

	return sql_txn(m, ctx, SQL_ONE, lookup, &a);
}

int sql_getattr_at(struct fsp_meta *m, const struct fsp_ctx *ctx,
                   const struct fsp_ref *ref, struct fsp_entry *out)
{
	struct lookup a = { .ref = ref, .at = true, .out = out };

	return sql_txn(m, ctx, SQL_ONE, lookup, &a);
}

struct target {
	uint64_t ino;
	char *text;
};

static int read_target(struct txn *t, void *arg)
{
	struct target *a = arg;
	struct sqlstmt *s SQL_STMT = NULL;
	const char *text;
	int err;

	err = sql_start(t, &s, "SELECT d.mode, d.target FROM {node} d WHERE"
	                " d.ino = ?", "i", (int64_t)a->ino);
	if (!err)
		err = sql_next(s);
	if (err <= 0)
		return err ? err : -ESTALE;
	if (!S_ISLNK((mode_t)sql_int_or(s, 0, 0)))
		return -EINVAL;
	text = sql_str(s, 1);
	if (!text)
		return -EIO;
	a->text = strdup(text);
	return a->text ? 0 : -ENOMEM;
}

int sql_readlink(struct fsp_meta *m, const struct fsp_ctx *ctx, uint64_t ino,
                 char **target)
{
	struct target a = { .ino = ino };
	int err = sql_txn(m, ctx, SQL_ONE, read_target, &a);

	if (err) {
		free(a.text);
		a.text = NULL;
	}
	*target = a.text;
	return err;
}

static int write_something(struct txn *t, void *arg)
{
	int err = sql_claim_ino(t, 0);

	(void)arg;
	return err ? err : sql_run(t, "UPDATE {info} SET value = ? WHERE name = 'sync'",
	               "i", t->now_us);
}

/* A durable commit takes everything before it along. */
int sql_sync(struct fsp_meta *base, const struct fsp_ctx *ctx)
{
	struct sql_meta *m = (struct sql_meta *)base;

	if (atomic_load(&m->synced) >= atomic_load(&m->written))
		return 0;
	return sql_txn(base, ctx, SQL_DURABLE, write_something, NULL);
}
