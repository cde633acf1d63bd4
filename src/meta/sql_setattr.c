/* Attributes: of the inode, and of the live rows of all its names. */
#include "sql_meta.h"

#include "fsp_clock.h"

struct setattr {
	const struct fsp_ref *ref;
	uint32_t mask;
	const struct fsp_attr *attr;
	struct fsp_entry *out;
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

static int setattr(struct txn *t, void *arg)
{
	struct setattr *a = arg;
	struct ents names ENTS = { .n = 0 };
	int err = sql_resolve_all(t, a->ref, &names);

	if (err)
		return err;
	for (size_t i = 0; i < names.n && !err; i++) {
		struct ent *e = &names.v[i];

		/* All of them have the node of the first. */
		e->node = names.v[0].node;
		if (i == 0)
			sql_apply(t, a->mask, a->attr, &e->node);
		if (e->has_row)
			err = sql_save_row(t, e);
		if (!err)
			err = sql_changed(t, &e->key, e->ino, false);
	}
	if (!err)
		err = sql_save_node(t, names.v[0].ino, &names.v[0].node);
	if (!err)
		sql_fill(&names.v[0], a->out);
	return err;
}

int sql_setattr(struct fsp_meta *m, const struct fsp_ctx *ctx,
                const struct fsp_ref *ref, uint32_t mask,
                const struct fsp_attr *attr, struct fsp_entry *out)
{
	struct setattr a = { ref, mask, attr, out };

	return sql_txn(m, ctx, SQL_WRITE, setattr, &a);
}
