/* The steps that changes are made of. */
#include <errno.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "sql_meta.h"

int sql_parent(struct txn *t, const struct fsp_place *at, struct ent *dir)
{
	int err = sql_find_dir(t, at->dir, dir);

	if (err)
		return err;
	if (at->dir_ino && at->dir_ino != dir->ino)
		return -ESTALE;
	return sql_adopt(t, dir);
}

int sql_touch(struct txn *t, uint64_t dir_ino)
{
	return sql_later(t, "UPDATE {node} SET mtime_ns = ?, ctime_ns = ?"
	               " WHERE ino = ?", "iii", t->now_ns, t->now_ns,
	               (int64_t)dir_ino);
}

/* Told later: what has changed it since then has changed it. */
int sql_touch_at(struct txn *t, uint64_t dir_ino, int64_t time_ns)
{
	return sql_later(t, "UPDATE {node} SET mtime_ns = CASE WHEN ctime_ns >"
	               " ? AND mtime_ns > ? THEN mtime_ns ELSE ? END, ctime_ns ="
	               " CASE WHEN ctime_ns > ? THEN ctime_ns ELSE ? END"
	               " WHERE ino = ?", "iiiiii", time_ns, time_ns, time_ns,
	               time_ns, time_ns, (int64_t)dir_ino);
}

int sql_has_node(struct txn *t, uint64_t ino)
{
	int64_t there;
	int err = sql_number(t, &there, "SELECT 1 FROM {node} d WHERE"
	                     " d.ino = ?", "i", (int64_t)ino);

	return err ? err : there != 0;
}

/*
 * What was found free is not: PHP takes no places, so it was another writer,
 * and next time it is found.
 */
static int raced(const struct txn *t, int err)
{
	return err == -EEXIST && t->c->drv->ops->claim ? -EDEADLK : err;
}

int sql_put_node(struct txn *t, uint64_t ino, const struct node *n,
                 const char *target)
{
	int err = sql_later(t, "INSERT INTO {node} (ino, mode, uid, gid, nlink,"
	               " rdev, target, atime_ns, mtime_ns, ctime_ns)"
	               " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	               "iiiiiitiii", (int64_t)ino, (int64_t)n->mode,
	               (int64_t)n->uid, (int64_t)n->gid, (int64_t)n->nlink,
	               (int64_t)n->rdev, target, n->atime_ns, n->mtime_ns,
	               n->ctime_ns);

	return raced(t, err);
}

int sql_put_name(struct txn *t, const struct key *k, uint64_t ino,
                 int64_t file_id, const char *owner, int64_t since_us)
{
	int err;

	if (file_id == ROW_LAST)
		err = sql_later(t, "INSERT INTO {name} (space_key, dir_key,"
		                " name, live, ino, file_id, owner, since_us)"
		                " VALUES (?, ?, ?, 1, ?, {last}, ?, ?)",
		                "tttiti", k->space, k->dir, k->name,
		                (int64_t)ino, owner, since_us);
	else
		err = sql_later(t, "INSERT INTO {name} (space_key, dir_key,"
		                " name, live, ino, file_id, owner, since_us)"
		                " VALUES (?, ?, ?, 1, ?, ?, ?, ?)", "tttizti",
		                k->space, k->dir, k->name, (int64_t)ino,
		                file_id, owner, since_us);
	return raced(t, err);
}

static int read_live(struct sqlstmt *s, struct ent *e, int64_t *best)
{
	int64_t newest = INT64_MIN;
	int err, n = 0;

	while ((err = sql_next(s)) == 1) {
		int64_t id = sql_int_or(s, 0, 0);
		int64_t created = sql_int_or(s, 1, INT64_MIN);

		if (id > e->locked)
			e->locked = id;
		if (created > newest || (created == newest && id > *best)) {
			newest = created;
			*best = id;
		}
		n++;
	}
	e->alone = n == 1;
	return err;
}

static int start_lock(struct txn *t, struct sqlstmt **st, const struct key *k)
{
	return sql_start(t, st, "SELECT f.id, f.created_at FROM {file} f{by_key}"
	                 " WHERE {eq f.space_key} AND {eq f.file_key} AND "
	                 LIVE("f.") "{update}", "tt", k->space, k->file);
}

int sql_ahead_lock_key(struct txn *t, const struct key *k)
{
	return start_lock(t, NULL, k);
}

int sql_ahead_lock(struct txn *t, const char *dir, const char *name)
{
	struct key k KEY = { .depth = 0 };
	int err = sql_key(dir, name, &k);

	return err ? err : start_lock(t, NULL, &k);
}

int sql_lock_rows(struct txn *t, struct ent *e)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int64_t best = 0;
	int err;

	if (!t->c->drv->ops->claim || !e->has_row || e->locked)
		return 0;
	err = start_lock(t, &s, &e->key);
	if (!err)
		err = read_live(s, e, &best);
	return err ? err : best == e->row.id ? 0 : -EDEADLK;
}

#define CLOSED \
	" deleted_at = ?, closed_us = CASE WHEN COALESCE(since_us, stored_at," \
	" 0) > ? THEN COALESCE(since_us, stored_at, 0) ELSE ? END"

int sql_close_rows(struct txn *t, struct ent *e, int64_t keep)
{
	bool alone = !t->c->drv->ops->claim;
	int err = sql_lock_rows(t, e);

	if (err || (!alone && !e->locked))
		return err;
	if (e->alone && e->locked == keep)
		return 0;
	/* It is locked, so it is live until we are through. */
	if (e->alone)
		return sql_later(t, "UPDATE {file} SET" CLOSED " WHERE id = ?",
		                 "iiii", t->now_s, t->now_us, t->now_us,
		                 e->locked);
	return sql_later(t, "UPDATE {file}{by_key} SET" CLOSED
	               " WHERE {eq space_key} AND {eq file_key} AND "
	               LIVE("") " AND id <> ? AND id <= ?", "iiittii", t->now_s,
	               t->now_us, t->now_us, e->key.space, e->key.file, keep,
	               alone ? INT64_MAX : e->locked);
}

int sql_unlink_node(struct txn *t, uint64_t ino, bool file)
{
	int err = sql_later(t, "UPDATE {node} SET nlink = nlink - 1,"
	                  " ctime_ns = ? WHERE ino = ? AND nlink > 0", "ii",
	                  t->now_ns, (int64_t)ino);

	if (err || !file)
		return err;
	err = sql_later(t, "DELETE FROM {node} WHERE ino = ? AND nlink = 0", "i",
	              (int64_t)ino);
	return err ? err
		: sql_later(t, "DELETE FROM {xattr} WHERE ino = ? AND NOT EXISTS"
		          " (SELECT 1 FROM {node} d WHERE d.ino = ?)", "ii",
		          (int64_t)ino, (int64_t)ino);
}

int sql_drop_node(struct txn *t, uint64_t ino)
{
	int err = sql_later(t, "DELETE FROM {node} WHERE ino = ?", "i",
	                    (int64_t)ino);

	return err ? err : sql_later(t, "DELETE FROM {xattr} WHERE ino = ?",
	                             "i", (int64_t)ino);
}

int sql_bury(struct txn *t, struct ent *e)
{
	int err;

	if (!e->dead_id)
		return 0;
	err = sql_later(t, "DELETE FROM {name} WHERE id = ?", "i", e->dead_id);
	if (!err)
		err = sql_unlink_node(t, e->dead_ino, true);
	/* A hidden file's row is as PHP's again, and shows when it can. */
	if (!err && e->hidden)
		err = sql_later(t, "UPDATE {file} SET ino = NULL"
		              " WHERE {eq space_key} AND {eq file_key} AND "
		              LIVE(""), "tt", e->key.space, e->key.file);
	e->dead_id = 0;
	return err;
}

int sql_ensure_space(struct txn *t, const char *space)
{
	FSP_FREE char *path = NULL;
	const char *name;
	int err = fsp_path_of_space(space, &path);

	if (err)
		return err;
	name = strrchr(path, '/');
	return sql_later(t, "INSERT INTO {space} (space_key, created_at, name,"
	                 " since_us) SELECT ?, ?, ?, ? FROM (SELECT 1 AS one) q"
	                 " WHERE NOT EXISTS (SELECT 1 FROM {space} s WHERE"
	                 " {eq s.space_key} AND " SPACE_LIVE("s.") ")", "titit",
	                 space, t->now_s, name ? name + 1 : path, t->now_us,
	                 space);
}

/* Where its place was found free there is none. */
static int new_space(struct txn *t, const char *space, const char *name)
{
	return sql_later(t, "INSERT INTO {space} (space_key, created_at, name,"
	                 " since_us) VALUES (?, ?, ?, ?)", "titi", space,
	                 t->now_s, name, t->now_us);
}

int sql_new_record(struct txn *t, const struct key *k)
{
	struct fsp_dirkey own;
	int err;

	if (k->depth != FSP_RECORD_DEPTH)
		return sql_space_for(t, k, true);
	err = fsp_path_dirkey(k->path, &own);
	if (!err) {
		err = new_space(t, own.space, k->name);
		fsp_dirkey_free(&own);
	}
	return err;
}

int sql_space_for(struct txn *t, const struct key *k, bool is_dir)
{
	struct fsp_dirkey own;
	int err;

	if (k->depth > FSP_RECORD_DEPTH || (!is_dir && *k->space))
		return sql_ensure_space(t, k->space);
	if (!is_dir || k->depth < FSP_RECORD_DEPTH)
		return 0;
	err = fsp_path_dirkey(k->path, &own);
	if (!err) {
		err = sql_ensure_space(t, own.space);
		fsp_dirkey_free(&own);
	}
	return err;
}
