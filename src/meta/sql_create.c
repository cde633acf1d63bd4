/* New entries: created, or linked to an inode that exists. */
#include <errno.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "sql_meta.h"

struct create {
	const struct fsp_place *at;
	const struct fsp_new *what;
	uint64_t ino;
	struct fsp_entry *out;
};

/* -ENOENT: nothing is there, and e has the key. */
static int look_at_place(struct txn *t, const struct fsp_place *at, bool is_free,
                         struct ent *e)
{
	int err;

	if (!is_free)
		return sql_find_new(t, at->dir, at->name, e);
	*e = (struct ent){ .how = BY_ROW };
	err = sql_key(at->dir, at->name, &e->key);
	return err ? err : -ENOENT;
}

/* The free place in an existing directory; -EEXIST. */
static int take_place(struct txn *t, const struct fsp_place *at,
                      struct ent *parent, struct ent *e)
{
	FSP_FREE char *path = fsp_path_join(at->dir, at->name);
	bool is_free = path && sql_was_free(t, path);
	int err = sql_ahead_dir(t, at->dir);

	if (!err && !is_free)
		err = sql_ahead_place(t, at->dir, at->name, true);
	if (!err)
		err = sql_parent(t, at, parent);
	if (err)
		return err;
	err = look_at_place(t, at, is_free, e);
	if (err != -ENOENT)
		return err ? err : -EEXIST;
	err = sql_bury(t, e);
	if (!err)
		err = sql_touch(t, parent->ino);
	return err;
}

static void new_node(const struct txn *t, const struct fsp_new *what,
                     const struct node *parent, struct node *n)
{
	*n = (struct node){
		.mode = what->mode,
		.uid = what->uid,
		.gid = what->gid,
		.nlink = 1,
		.rdev = S_ISDIR(what->mode) ? (uint64_t)what->holder
		                            : what->rdev,
		.size = what->target ? strlen(what->target) : 0,
		.atime_ns = t->now_ns,
		.mtime_ns = t->now_ns,
		.ctime_ns = t->now_ns,
	};
	if (!(parent->mode & S_ISGID))
		return;
	n->gid = parent->gid;
	if (S_ISDIR(n->mode))
		n->mode |= S_ISGID;
}

int sql_put_new(struct txn *t, const struct ent *e, const char *target,
                const char *owner)
{
	int err = sql_is_file(e) && e->oldest ? sql_adopt_past(t, &e->key) : 0;

	if (!err)
		err = sql_put_node(t, e->ino, &e->node, target);
	return err ? err : sql_put_name(t, &e->key, e->ino, 0,
	                                sql_is_file(e) ? owner : NULL,
	                                t->now_us);
}

static int create(struct txn *t, void *arg)
{
	struct create *a = arg;
	struct ent parent ENT = { .how = BY_NAME };
	struct ent e ENT = { .how = BY_NAME };
	int err = sql_want_dir(t, a->at->dir);

	if (!err)
		err = sql_claim(t);
	if (!err)
		err = take_place(t, a->at, &parent, &e);
	if (err)
		return err;
	new_node(t, a->what, &parent.node, &e.node);
	e.ino = a->ino;
	err = sql_put_new(t, &e, a->what->target, a->what->owner);
	/* A file's space is made with its row. */
	if (!err && sql_is_dir(&e))
		err = sql_new_record(t, &e.key);
	else if (!err && !sql_is_file(&e))
		err = sql_space_for(t, &e.key, false);
	if (!err)
		err = sql_changed(t, &e.key, e.ino, true);
	if (!err)
		sql_fill(&e, a->out);
	return err;
}

static int check_new(const struct fsp_new *what)
{
	switch (what->mode & S_IFMT) {
	case S_IFREG:
		return what->owner && *what->owner ? 0 : -EINVAL;
	case S_IFLNK:
		if (!what->target || !*what->target)
			return -EINVAL;
		return strlen(what->target) < FSP_PATH_MAX ? 0 : -ENAMETOOLONG;
	case S_IFDIR:
		return what->holder < 0 ? -EINVAL : 0;
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		return 0;
	default:
		return -EINVAL;
	}
}

int sql_create(struct fsp_meta *m, const struct fsp_ctx *ctx,
               const struct fsp_place *at, const struct fsp_new *what,
               struct fsp_entry *out)
{
	struct fsp_new clean = *what;
	struct create a = { .at = at, .what = &clean, .out = out };
	int err = check_new(what);

	clean.mode &= S_IFMT | 07777;
	if (!S_ISLNK(what->mode))
		clean.target = NULL;
	if (!err)
		err = sql_new_ino(m, ctx, &a.ino);
	return err ? err : sql_txn(m, ctx, SQL_WRITE, create, &a);
}

struct link {
	const struct fsp_ref *ref;
	const struct fsp_place *to;
	struct fsp_entry *out;
	int64_t row;            /* the new one's number, once it is known */
};

static int put_link(struct txn *t, struct ent *from, const struct ent *e,
                    int64_t *row)
{
	int err = 0;

	if (sql_is_file(from) && e->oldest)
		err = sql_adopt_past(t, &e->key);
	if (!err && from->has_row)
		err = sql_copy_row(t, from->row.id, &e->key, row);
	if (!err)
		err = sql_put_name(t, &e->key, from->ino,
		                   from->has_row ? ROW_LAST : 0, from->owner,
		                   t->now_us);
	if (!err)
		err = sql_later(t, "UPDATE {node} SET nlink = nlink + 1,"
		              " ctime_ns = ? WHERE ino = ?", "ii", t->now_ns,
		              (int64_t)from->ino);
	if (!err)
		err = sql_space_for(t, &e->key, false);
	if (!err)
		err = sql_changed(t, &e->key, from->ino, true);
	/* It has one link more where it is. */
	if (!err)
		err = sql_changed(t, &from->key, from->ino, false);
	from->node.nlink++;
	from->node.ctime_ns = t->now_ns;
	return err;
}

static int link_txn(struct txn *t, void *arg)
{
	struct link *a = arg;
	struct ents names ENTS = { .n = 0 };
	struct ent parent ENT = { .how = BY_NAME };
	struct ent e ENT = { .how = BY_NAME };
	int err = sql_want_dir(t, a->to->dir);

	a->row = 0;
	if (!err)
		err = sql_resolve_all(t, a->ref, &names);
	if (err)
		return err;
	if (sql_is_dir(&names.v[0]))
		return -EPERM;
	err = take_place(t, a->to, &parent, &e);
	if (!err)
		err = put_link(t, &names.v[0], &e, &a->row);
	if (!err)
		sql_fill(&names.v[0], a->out);
	return err;
}

int sql_link(struct fsp_meta *m, const struct fsp_ctx *ctx,
             const struct fsp_ref *ref, const struct fsp_place *to,
             struct fsp_entry *out)
{
	struct link a = { ref, to, out, 0 };
	int err = sql_txn(m, ctx, SQL_WRITE, link_txn, &a);

	if (!err && a.row > 0)
		out->content.row = a.row;
	return err;
}
