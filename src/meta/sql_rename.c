/* Renaming, replacing and exchanging. */
#include <errno.h>
#include <string.h>

#include "sql_meta.h"

struct rename {
	const struct fsp_place *from, *to;
	uint32_t flags;
	struct fsp_renamed *out;
	int64_t row;            /* the new one's number, once it is known */
};

/* Is path in the directory dir, at any depth? */
static bool is_inside(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 && path[len] == '/';
}

static int check_rows(struct txn *t, const struct ent *e)
{
	int64_t max = (int64_t)t->m->opt.rename_max_rows, n;
	int err;

	if (!sql_is_dir(e))
		return 0;
	err = sql_count_below(t, e->key.path, max + 1, &n);
	if (err)
		return err;
	return n > max ? -EXDEV : 0;
}

/* Whether what is at the target may be replaced by from. */
static int check_replace(struct txn *t, const struct ent *from,
                         struct ent *to)
{
	int empty;

	if (sql_is_dir(from) && !sql_is_dir(to))
		return -ENOTDIR;
	if (!sql_is_dir(to))
		return 0;
	if (!sql_is_dir(from))
		return -EISDIR;
	empty = sql_is_empty(t, to);
	return empty < 0 ? empty : empty ? 0 : -ENOTEMPTY;
}

static int moved_node(struct txn *t, uint64_t ino)
{
	return sql_later(t, "UPDATE {node} SET ctime_ns = ? WHERE ino = ?", "ii",
	               t->now_ns, (int64_t)ino);
}

/* Before anything is changed, since that may have been asked ahead. */
static int lock_both(struct txn *t, struct ent *from, struct ent *to,
                     bool exists)
{
	int err = sql_is_file(from) ? sql_lock_rows(t, from) : 0;

	return err || !exists || !sql_is_file(to) ? err : sql_lock_rows(t, to);
}

static int replace(struct txn *t, struct ent *from, struct ent *to,
                   bool exists, struct rename *a)
{
	struct move mv MOVE = { .n = 0 };
	enum step step = STEP_NONE;
	struct row moved;
	int err = exists ? check_replace(t, from, to) : 0;

	if (!err)
		err = lock_both(t, from, to, exists);
	if (!err && exists)
		err = sql_adopt(t, to);
	if (!err && exists && sql_is_file(from) && sql_is_file(to))
		err = sql_is_step(t, to, NO_TIME, &step);
	if (!err)
		err = sql_take(t, from, &mv);
	if (!err)
		err = sql_look_at_target(t, &mv, to->key.path);
	if (err)
		return err;
	moved = mv.l.v[0].row;
	err = exists ? sql_end_entry(t, to) : sql_bury(t, to);
	if (!err)
		err = sql_detach(t, &mv);
	if (!err)
		err = sql_attach(t, &mv, to->key.path, &a->row);
	/* Saving by renaming over makes versions as appending does. */
	if (!err && step != STEP_NONE)
		err = sql_now(t, NULL);         /* it needs the number */
	if (!err && mv.l.v[0].has_row)
		err = sql_thin_replaced(t, &to->row, step, &moved, a->row);
	if (!err)
		err = moved_node(t, mv.l.v[0].ino);
	if (err)
		return err;
	mv.l.v[0].node.ctime_ns = t->now_ns;
	sql_fill(&mv.l.v[0], &a->out->entry);
	return 0;
}

static int exchange(struct txn *t, struct ent *from, struct ent *to,
                    struct rename *r)
{
	struct move a MOVE = { .n = 0 };
	struct move b MOVE = { .n = 0 };
	int err = check_rows(t, to);

	if (!err)
		err = sql_take(t, from, &a);
	if (!err)
		err = sql_take(t, to, &b);
	if (!err)
		err = sql_look_at_target(t, &a, b.from);
	if (!err)
		err = sql_look_at_target(t, &b, a.from);
	if (!err)
		err = sql_detach(t, &a);
	if (!err)
		err = sql_detach(t, &b);
	if (!err)
		err = sql_attach(t, &a, b.from, &r->row);
	if (!err)
		err = sql_attach(t, &b, a.from, NULL);
	if (!err)
		err = moved_node(t, a.l.v[0].ino);
	if (!err)
		err = moved_node(t, b.l.v[0].ino);
	if (err)
		return err;
	a.l.v[0].node.ctime_ns = t->now_ns;
	sql_fill(&a.l.v[0], &r->out->entry);
	return 0;
}

static int check_names(const struct rename *a, const struct ent *from,
                       const struct ent *to, bool exists)
{
	bool swap = a->flags & FSP_RENAME_EXCHANGE;

	if (exists && (a->flags & FSP_RENAME_NOREPLACE))
		return -EEXIST;
	if (!exists && swap)
		return -ENOENT;
	if (is_inside(to->key.path, from->key.path) ||
	    (swap && is_inside(from->key.path, to->key.path)))
		return -EINVAL;
	return 0;
}

/* Both entries are found: from exists, to perhaps. */
static int rename_found(struct txn *t, struct rename *a,
                        struct ent *from, struct ent *to, bool exists)
{
	bool swap = a->flags & FSP_RENAME_EXCHANGE;
	int err = check_names(a, from, to, exists);

	if (err)
		return err;
	*a->out = (struct fsp_renamed){ .ino = from->ino };
	sql_fill(from, &a->out->entry);
	a->out->row = a->out->entry.content.row;
	if (exists && from->ino == to->ino)
		return 0;
	if (exists) {
		struct fsp_entry there;

		sql_fill(to, &there);
		a->out->replaced = to->ino;
		a->out->replaced_content = there.content;
	}
	err = check_rows(t, from);
	if (err)
		return err;
	if (swap) {
		a->out->replaced_nlink = to->node.nlink;
		return exchange(t, from, to, a);
	}
	err = replace(t, from, to, exists, a);
	if (exists)
		a->out->replaced_nlink = to->node.nlink;
	return err;
}

static int ask_ahead(struct txn *t, const struct rename *a)
{
	int err = sql_ahead_dir(t, a->from->dir);

	if (!err)
		err = sql_ahead_place(t, a->from->dir, a->from->name, false);
	if (!err)
		err = sql_ahead_dir(t, a->to->dir);
	if (!err)
		err = sql_ahead_place(t, a->to->dir, a->to->name, false);
	if (!err)
		err = sql_ahead_lock(t, a->from->dir, a->from->name);
	return err ? err : sql_ahead_past(t, a->to->dir, a->to->name);
}

static int rename_txn(struct txn *t, void *arg)
{
	struct rename *a = arg;
	struct ent from_dir ENT = { .how = BY_NAME };
	struct ent to_dir ENT = { .how = BY_NAME };
	struct ent from ENT = { .how = BY_NAME };
	struct ent to ENT = { .how = BY_NAME };
	bool same, exists;
	int err = sql_want_dir(t, a->from->dir);

	a->row = 0;
	if (!err)
		err = sql_want_dir(t, a->to->dir);
	if (!err)
		err = sql_claim(t);
	if (!err)
		err = ask_ahead(t, a);
	if (!err)
		err = sql_parent(t, a->from, &from_dir);
	if (!err)
		err = sql_find(t, a->from->dir, a->from->name, &from);
	if (!err)
		err = sql_parent(t, a->to, &to_dir);
	if (!err)
		err = sql_find(t, a->to->dir, a->to->name, &to);
	exists = !err;
	if (err && (err != -ENOENT || !to.key.path))
		return err;
	same = exists && from.ino == to.ino;
	/* What is below moves, too, or must be found empty. */
	if (sql_is_dir(&from) || (exists && sql_is_dir(&to)))
		sql_want_all(t);
	err = sql_claim(t);
	if (!err)
		err = rename_found(t, a, &from, &to, exists);
	/* Two names of one inode: nothing happens. */
	if (err || same)
		return err;
	err = sql_touch(t, from_dir.ino);
	if (!err)
		err = sql_touch(t, to_dir.ino);
	/* What changed places with it: where it is now comes last. */
	if (!err && (a->flags & FSP_RENAME_EXCHANGE))
		err = sql_changed_at(t, a->to, a->out->replaced);
	if (!err && (a->flags & FSP_RENAME_EXCHANGE))
		err = sql_changed_at(t, a->from, a->out->replaced);
	if (!err)
		err = sql_changed_at(t, a->from, a->out->ino);
	return err ? err : sql_changed_at(t, a->to, a->out->ino);
}

int sql_rename(struct fsp_meta *m, const struct fsp_ctx *ctx,
               const struct fsp_place *from, const struct fsp_place *to,
               uint32_t flags, struct fsp_renamed *out)
{
	struct rename a = { from, to, flags, out, 0 };
	int err;

	if ((flags & FSP_RENAME_NOREPLACE) && (flags & FSP_RENAME_EXCHANGE))
		return -EINVAL;
	err = sql_txn(m, ctx, SQL_WRITE, rename_txn, &a);
	if (!err && a.row > 0)
		out->entry.content.row = a.row;
	return err;
}
