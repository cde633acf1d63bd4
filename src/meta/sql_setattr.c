/* Attributes: of the inode, and of the live rows of all its names. */
#include <errno.h>

#include "fsp_clock.h"
#include "sql_meta.h"

struct setattr {
	struct fsp_setattr *v;
	size_t n;
	struct ents *names;             /* of each */
};

void sql_apply(struct txn *t, uint32_t mask, const struct fsp_attr *a,
               struct node *n)
{
	if (mask & FSP_SET_MODE)
		n->mode = (n->mode & S_IFMT) | (a->mode & 07777);
	if (mask & FSP_SET_UID)
		n->uid = a->uid;
	if (mask & FSP_SET_GID)
		n->gid = a->gid;
	if (mask & FSP_SET_ATIME)
		n->atime_ns = a->atime_ns;
	if (mask & FSP_SET_MTIME)
		n->mtime_ns = a->mtime_ns;
	n->ctime_ns = mask & FSP_SET_CTIME ? a->ctime_ns : t->now_ns;
}

int sql_save_node(struct txn *t, uint64_t ino, const struct node *n)
{
	return sql_later(t, "UPDATE {node} SET mode = ?, uid = ?, gid = ?,"
	               " atime_ns = ?, mtime_ns = ?, ctime_ns = ?"
	               " WHERE ino = ?", "iiiiiii", (int64_t)n->mode,
	               (int64_t)n->uid, (int64_t)n->gid, n->atime_ns,
	               n->mtime_ns, n->ctime_ns, (int64_t)ino);
}

int64_t sql_created_at(int64_t mtime_ns)
{
	int64_t sec = fsp_ns_to_sec(mtime_ns);

	if (sec > INT32_MAX)
		return INT32_MAX;
	return sec < INT32_MIN ? INT32_MIN : sec;
}

/* A time that PHP's column says exactly stays there alone. */
int sql_save_row(struct txn *t, const struct ent *e)
{
	bool exact = e->node.mtime_ns == e->row.mtime_ns;
	const char *sql = exact ?
		"UPDATE {file} SET mode = ?, uid = ?, gid = ? WHERE id = ?" :
		"UPDATE {file} SET mode = ?, uid = ?, gid = ?, mtime_ns = ?,"
		" created_at = ? WHERE id = ?";
	int64_t mode = e->node.mode & 07777, uid = e->node.uid;
	int64_t gid = e->node.gid;

	if (exact)
		return sql_later(t, sql, "iiii", mode, uid, gid, e->row.id);
	return sql_later(t, sql, "iiiiii", mode, uid, gid, e->node.mtime_ns,
	               sql_created_at(e->node.mtime_ns), e->row.id);
}

static int set_one(struct txn *t, struct fsp_setattr *a, struct ents *names)
{
	int err = 0;

	for (size_t i = 0; i < names->n && !err; i++) {
		struct ent *e = &names->v[i];

		/* All of them have the node of the first. */
		e->node = names->v[0].node;
		if (i == 0)
			sql_apply(t, a->mask, &a->attr, &e->node);
		if (e->has_row)
			err = sql_save_row(t, e);
		if (!err)
			err = sql_changed(t, &e->key, e->ino, false);
	}
	if (!err)
		err = sql_save_node(t, names->v[0].ino, &names->v[0].node);
	if (!err)
		sql_fill(&names->v[0], &a->out);
	return err;
}

/* All claims before any question, and all questions in one. */
static int ask_for_all(struct txn *t, const struct setattr *a)
{
	int err = 0;

	for (size_t i = 0; i < a->n && !err; i++)
		err = sql_want_ref(t, &a->v[i].ref);
	if (!err)
		err = sql_claim(t);
	for (size_t i = 0; i < a->n && a->n > 1 && !err; i++)
		err = sql_ahead_ref(t, &a->v[i].ref);
	return err;
}

/* Whatever is changed makes old what was asked: reading first. */
static int setattr(struct txn *t, void *arg)
{
	struct setattr *a = arg;
	int err = ask_for_all(t, a);

	for (size_t i = 0; i < a->n && !err; i++) {
		err = sql_resolve_all(t, &a->v[i].ref, &a->names[i]);
		a->v[i].err = err;
		if (err == -ESTALE)
			err = 0;
	}
	for (size_t i = 0; i < a->n && !err; i++)
		if (!a->v[i].err)
			err = set_one(t, &a->v[i], &a->names[i]);
	return err;
}

int sql_setattr_many(struct fsp_meta *m, const struct fsp_ctx *ctx,
                     struct fsp_setattr *v, size_t n)
{
	struct ents names[FSP_SETATTR_MANY] = { { .n = 0 } };
	struct setattr a = { v, n, names };
	int err = n > FSP_SETATTR_MANY ? -EINVAL : 0;

	if (!err && n)
		err = sql_txn(m, ctx, SQL_WRITE, setattr, &a);
	for (size_t i = 0; i < n && i < FSP_SETATTR_MANY; i++)
		sql_ents_free(&names[i]);
	return err;
}

int sql_setattr(struct fsp_meta *m, const struct fsp_ctx *ctx,
                const struct fsp_ref *ref, uint32_t mask,
                const struct fsp_attr *attr, struct fsp_entry *out)
{
	struct fsp_setattr one = { .ref = *ref, .mask = mask, .attr = *attr };
	int err = sql_setattr_many(m, ctx, &one, 1);

	if (err || one.err)
		return err ? err : one.err;
	*out = one.out;
	return 0;
}
