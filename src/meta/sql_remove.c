/* Removing: a name ends, its row is closed, a node goes with its last link. */
#include <errno.h>

#include "fsp_cleanup.h"
#include "sql_meta.h"

/* What cannot be read is something all the same. */
static int is_there(void *dead, const struct ent *e)
{
	*(bool *)dead = true;
	return !e || !sql_is_dead(e);
}

static int start_any(struct txn *t, struct sqlstmt **st,
                     const struct tree *tree)
{
	return sql_start(t, st, "SELECT 1 FROM {name} n WHERE n.space_key = ?"
	                 " AND n.dir_key = ? AND n.live = 1 LIMIT 1", "tt",
	                 tree->k.space, tree->k.dir);
}

/* *dead: there are some, but all of them are dead. */
static int has_names(struct txn *t, const struct tree *tree, bool *dead)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int err = start_any(t, &s, tree);

	*dead = false;
	if (!err)
		err = sql_next(s);
	sql_end(&s);
	if (err != 1)
		return err;
	err = sql_start_names(t, &s, tree);
	return err ? err : sql_each_name(s, is_there, dead);
}

static int ahead_empty(struct txn *t, const struct fsp_place *at)
{
	FSP_FREE char *path = fsp_path_join(at->dir, at->name);
	struct tree tree TREE = { .depth = 0 };
	int err = path ? sql_tree(path, &tree) : -ENOMEM;

	if (!err)
		err = start_any(t, NULL, &tree);
	return err ? err : sql_ahead_implied(t, path);
}

int sql_is_empty(struct txn *t, struct ent *dir)
{
	struct tree tree TREE = { .depth = 0 };
	struct implied at;
	int err = sql_tree(dir->key.path, &tree);

	/* Whoever has it delegated claims nothing else to make names in it. */
	if (!err && dir->node.rdev)
		err = sql_claim_ino(t, dir->ino);
	if (!err)
		err = has_names(t, &tree, &dir->dead_inside);
	if (!err)
		err = sql_implied(t, dir->key.path, NO_TIME, false, &at);
	return err < 0 ? err : !err;
}

/* e says afterwards what is left of the node. */
static int end_file(struct txn *t, struct ent *e)
{
	bool linked = e->node.nlink > 1;
	int64_t left = 0;
	int err = sql_close_rows(t, e, 0);

	if (!err)
		err = sql_later(t, "DELETE FROM {name} WHERE id = ?", "i",
		              e->name_id);
	if (!err)
		err = linked ? sql_unlink_node(t, e->ino, true) :
			sql_drop_node(t, e->ino);
	/* Another name may have gone at the same time. */
	if (!err && linked)
		err = sql_number(t, &left, "SELECT d.nlink FROM {node} d"
		                 " WHERE d.ino = ?", "i", (int64_t)e->ino);
	e->node.nlink = (uint32_t)left;
	return err;
}

/* Names in an empty directory whose rows PHP closed go with it. */
static int bury_names(struct txn *t, const struct tree *tree)
{
	struct ents dead ENTS = { .n = 0 };
	struct sqlstmt *s SQL_STMT = NULL;
	int err = sql_start_names(t, &s, tree);

	if (!err)
		err = sql_read_names(s, &dead);
	sql_end(&s);
	for (size_t i = 0; i < dead.n && !err; i++)
		err = end_file(t, &dead.v[i]);
	return err;
}

static int end_dir(struct txn *t, const struct ent *e)
{
	struct tree tree TREE = { .depth = 0 };
	int err = sql_tree(e->key.path, &tree);

	if (!err && e->dead_inside)
		err = bury_names(t, &tree);
	if (err || *tree.k.dir)
		return err;
	return sql_later(t, "UPDATE {space} SET deleted_at = ?, closed_us ="
	               " CASE WHEN since_us > ? THEN since_us ELSE ? END"
	               " WHERE {eq space_key} AND " SPACE_LIVE(""), "iiit", t->now_s,
	               t->now_us, t->now_us, tree.k.space);
}

int sql_end_name(struct txn *t, int64_t name_id)
{
	return sql_later(t, "UPDATE {name} SET live = NULL, closed_us ="
	               " CASE WHEN since_us > ? THEN since_us ELSE ? END"
	               " WHERE id = ?", "iii", t->now_us, t->now_us, name_id);
}

int sql_end_entry(struct txn *t, struct ent *e)
{
	int err;

	e->node.ctime_ns = t->now_ns;
	if (sql_is_file(e))
		return end_file(t, e);
	e->node.nlink -= e->node.nlink > 0;
	err = sql_is_dir(e) ? end_dir(t, e) : 0;
	if (!err)
		err = sql_end_name(t, e->name_id);
	return err ? err : sql_unlink_node(t, e->ino, false);
}

struct removal {
	const struct fsp_place *at;
	bool dir;
	struct fsp_entry *out;
};

static int check_removal(struct txn *t, struct ent *e, bool dir)
{
	int empty;

	if (dir && !sql_is_dir(e))
		return -ENOTDIR;
	if (!dir)
		return sql_is_dir(e) ? -EISDIR : 0;
	empty = sql_is_empty(t, e);
	return empty < 0 ? empty : empty ? 0 : -ENOTEMPTY;
}

/* The place, and what is in a directory that is there. */
static int claim_removal(struct txn *t, const struct removal *a)
{
	FSP_FREE char *path = fsp_path_join(a->at->dir, a->at->name);
	int err = path ? sql_want_dir(t, a->at->dir) : -ENOMEM;

	if (!err && a->dir)
		err = sql_want_dir(t, path);
	return err ? err : sql_claim(t);
}

/* Mostly a file goes, with the row that its name says. */
static bool is_plain(const struct txn *t, const struct removal *a)
{
	return !a->dir && !t->m->drv->legacy && !atomic_load(&t->m->unsure);
}

static int ask_ahead(struct txn *t, const struct removal *a, bool plain)
{
	int err = sql_ahead_dir(t, a->at->dir);

	if (!err && plain)
		return sql_ahead_locked(t, a->at->dir, a->at->name);
	if (!err)
		err = sql_ahead_place(t, a->at->dir, a->at->name, false);
	if (!err)
		err = a->dir ? ahead_empty(t, a->at) :
			sql_ahead_lock(t, a->at->dir, a->at->name);
	return err;
}

static int find_what_goes(struct txn *t, const struct removal *a, bool plain,
                          struct ent *e)
{
	int found = plain ? sql_find_locked(t, a->at->dir, a->at->name, e) : 0;

	if (found)
		return found < 0 ? found : 0;
	return sql_find(t, a->at->dir, a->at->name, e);
}

static int removal(struct txn *t, void *arg)
{
	struct removal *a = arg;
	struct ent parent ENT = { .how = BY_NAME };
	struct ent e ENT = { .how = BY_NAME };
	bool plain = is_plain(t, a);
	int err = claim_removal(t, a);

	if (!err)
		err = ask_ahead(t, a, plain);
	if (!err)
		err = sql_parent(t, a->at, &parent);
	if (!err)
		err = find_what_goes(t, a, plain, &e);
	if (!err && a->at->stub_ino &&
	    (e.ino != a->at->stub_ino || e.has_row))
		err = -ESTALE;
	if (!err)
		err = check_removal(t, &e, a->dir);
	if (!err)
		err = sql_adopt(t, &e);
	if (!err)
		err = sql_end_entry(t, &e);
	if (!err)
		err = sql_touch(t, parent.ino);
	if (!err)
		err = sql_changed(t, &e.key, e.ino, true);
	if (!err) {
		sql_fill(&e, a->out);
		a->out->attr.nlink = e.node.nlink;
	}
	return err;
}

int sql_remove(struct fsp_meta *m, const struct fsp_ctx *ctx,
               const struct fsp_place *at, bool dir, struct fsp_entry *out)
{
	struct removal a = { at, dir, out };

	return sql_txn(m, ctx, SQL_WRITE, removal, &a);
}
