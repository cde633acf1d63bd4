/* Commit: a new version of a regular file under every name it has. */
#include <errno.h>
#include <string.h>

#include "sql_meta.h"

#define BETWEEN_S 10    /* of PHP's upload, from its UPDATE to its INSERT */

struct commit {
	const struct fsp_commit *c;
	struct fsp_entry *out;
	/* numbers of new rows once they are known: of the name that is told of,
	 * 0 where there is none, and of others */
	int64_t row, other;
};

static struct ent *name_at(struct ents *l, const char *path)
{
	for (size_t i = 0; path && i < l->n; i++)
		if (strcmp(l->v[i].key.path, path) == 0)
			return &l->v[i];
	return NULL;
}

/* 1 when the row's content is what a name holds. */
static int same_content(struct txn *t, int64_t id, const struct ent *e)
{
	struct sqlstmt *s SQL_STMT = NULL;
	struct row base;
	int err;

	if (!e->has_row)
		return id == 0;
	if (e->row.id == id)
		return 1;
	err = sql_start(t, &s, "SELECT " ROW_COLS " FROM {file} f WHERE"
	                " f.id = ?", "i", id);
	if (!err)
		err = sql_next(s);
	if (err <= 0)
		return err;
	/* Renamed, or the same again: writing over it is no conflict. */
	err = sql_row_read(s, 0, &base);
	return err ? 0 : base.size == e->row.size &&
		strcmp(base.hash, e->row.hash) == 0;
}

/* 1 when what was written over is what is there. */
static int base_is_live(struct txn *t, const struct fsp_commit *c,
                        struct ents *l, const struct ent *at)
{
	int same = 0;

	if (at)
		return same_content(t, c->base_row, at);
	for (size_t i = 0; i < l->n && !same; i++)
		same = same_content(t, c->base_row, &l->v[i]);
	return same;
}

/* Of an object that nobody has verified: what its other rows say. */
int sql_stored_size(struct txn *t, const struct fsp_object *o, int64_t *out)
{
	*out = (int64_t)o->stored;
	if (o->verified_us)
		return 0;
	return sql_number(t, out, "SELECT MAX(f.size_storage) FROM {file} f"
	                  " WHERE f.data_hash = ?", "t", o->key);
}

/* Clocks of hosts differ, but nothing is older than what it follows. */
static int64_t not_before(int64_t us, bool follows, int64_t pred_us)
{
	return follows && pred_us > us ? pred_us : us;
}

int sql_put_row(struct txn *t, const struct fsp_object *o, int64_t stored,
                struct ent *e, int64_t since_us, int64_t stored_us,
                int64_t *id)
{
	const struct node *n = &e->node;
	int err = sql_later(t, "INSERT INTO {file} (file_key, space_key,"
	              " data_hash, created_at, deleted_at, size_original,"
	              " size_storage, ino, mode, uid, gid, mtime_ns,"
	              " stored_at, since_us, pred_id)"
	              " VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	              "tttiiiiiiiiiiz", e->key.file, e->key.space, o->key,
	              sql_created_at(n->mtime_ns), (int64_t)o->size, stored,
	              (int64_t)e->ino, (int64_t)(n->mode & 07777),
	              (int64_t)n->uid, (int64_t)n->gid, n->mtime_ns, stored_us,
	              since_us, e->has_row ? e->row.id : (int64_t)0);

	if (!err)
		err = sql_last(t, id);
	if (err)
		return err;
	e->has_row = true;
	e->row.id = 0;
	e->row.size = o->size;
	memcpy(e->row.hash, o->key, sizeof(e->row.hash));
	return 0;
}

/* since_us: a step's successor is valid from where the step was. */
static int insert_row(struct txn *t, const struct fsp_object *o,
                      struct ent *e, int64_t since_us, int64_t stored_us,
                      int64_t *id)
{
	int64_t stored;
	int err = sql_stored_size(t, o, &stored);

	if (!err)
		err = sql_put_row(t, o, stored, e, since_us, stored_us, id);
	return err ? err : sql_later(t, "UPDATE {name} SET file_id = {last},"
	                             " owner = NULL WHERE id = ?", "i",
	                             e->name_id);
}

int sql_commit_name(struct txn *t, const struct fsp_object *o, struct ent *e,
                    int64_t step_us, int64_t *id)
{
	int64_t since = not_before(t->now_us, e->has_row, e->row.since_us);
	int64_t stored = not_before(t->now_us, e->has_row, e->row.stored_us);
	enum step step;
	int err;

	if (e->has_row && e->row.size == o->size &&
	    strcmp(e->row.hash, o->key) == 0)
		return sql_save_row(t, e);
	err = sql_is_step(t, e, step_us, &step);
	if (!err && step != STEP_NONE) {
		since = e->row.since_us;
		err = sql_drop_step(t, &e->row, step, &e->row.id);
		e->has_row = e->row.id != 0;
	}
	if (!err)
		err = sql_close_rows(t, e, 0);
	if (!err)
		err = insert_row(t, o, e, since, stored, id);
	return err || e->spaced ? err : sql_space_for(t, &e->key, false);
}

/* When the row that may collapse was stored: its links' rows, too. */
static int64_t step_time(const struct fsp_commit *c, const struct ents *l)
{
	for (size_t i = 0; c->collapse_row && i < l->n; i++)
		if (l->v[i].has_row && l->v[i].row.id == c->collapse_row)
			return l->v[i].row.stored_us;
	return NO_TIME;
}

static int keep_name(struct txn *t, const struct ent *e)
{
	return sql_later(t, "UPDATE {name} SET owner = NULL WHERE id = ?", "i",
	               e->name_id);
}

static int commit_all(struct txn *t, struct commit *a, struct ents *l,
                      const struct ent *told)
{
	const struct fsp_commit *c = a->c;
	struct node n = l->v[0].node;
	int64_t step_us = step_time(c, l);
	int err = c->object ? sql_note_object(t, c->object) : 0;

	sql_apply(t, c->mask | FSP_SET_MTIME, &c->attr, &n);
	if (!err)
		err = sql_save_node(t, l->v[0].ino, &n);
	for (size_t i = 0; i < l->n && !err; i++) {
		l->v[i].node = n;
		err = c->object ?
			sql_commit_name(t, c->object, &l->v[i], step_us,
			                &l->v[i] == told ? &a->row
			                                 : &a->other) :
			keep_name(t, &l->v[i]);
		if (!err)
			err = sql_changed(t, &l->v[i].key, l->v[i].ino, false);
	}
	return err;
}

/* May it replace what is live? -EAGAIN: not before it is merged with that. */
static int check_base(struct txn *t, const struct fsp_commit *c,
                      struct ents *l, const struct ent *at)
{
	int same = c->require_base || c->queued ? base_is_live(t, c, l, at) : 1;

	if (same < 0)
		return same;
	if (!same && c->queued)
		same = sql_commit_queued(t, c, l, at ? at : &l->v[0]);
	if (same < 0)
		return same;
	return same || !c->require_base ? 0 : -EAGAIN;
}

/*
 * Has PHP ended a row of the key a moment ago? Then it may be deleted, or about
 * to be overwritten: its UPDATE comes before the object and the INSERT. Not
 * where the name is another file's by now.
 */
static int is_between(struct txn *t, const struct fsp_ref *ref)
{
	struct key k KEY = { .depth = 0 };
	int64_t id = 0;
	int err;

	if (!ref->path || !*ref->path)
		return 0;
	err = sql_key_of_path(ref->path, &k);
	if (!err)
		err = sql_number(t, &id, "SELECT MAX(f.id) FROM {file} f WHERE"
		                 " {eq f.space_key} AND {eq f.file_key} AND"
		                 " f.deleted_at BETWEEN ? AND ? AND"
		                 " f.closed_us IS NULL AND NOT EXISTS (SELECT 1"
		                 " FROM {name} n WHERE {at n} AND n.ino <> ?)",
		                 "ttiittti", k.space, k.file,
		                 t->now_s - BETWEEN_S, t->now_s + BETWEEN_S,
		                 k.space, k.dir, k.name, (int64_t)ref->ino);
	return err ? err : id != 0;
}

static int commit(struct txn *t, void *arg)
{
	struct commit *a = arg;
	struct ents names ENTS = { .n = 0 };
	struct ent *at;
	int err;

	a->row = 0;
	if (a->c->fence)
		sql_want(t, a->c->owner);
	err = sql_resolve_all(t, &a->c->ref, &names);
	if (!err && a->c->fence)
		err = sql_lease_holds(t, a->c->owner, a->c->fence);
	if (err == -ESTALE && a->c->await_php) {
		err = is_between(t, &a->c->ref);
		return err ? err < 0 ? err : -EINPROGRESS : -ESTALE;
	}
	if (err)
		return err;
	if (!sql_is_file(&names.v[0]))
		return sql_is_dir(&names.v[0]) ? -EISDIR : -EINVAL;
	if (a->c->queued)
		a->c->queued->end = FSP_QUEUED_LIVE;
	at = name_at(&names, a->c->ref.path);
	err = check_base(t, a->c, &names, at);
	if (!err && (!a->c->queued || a->c->queued->end == FSP_QUEUED_LIVE))
		err = commit_all(t, a, &names, at ? at : &names.v[0]);
	if (!err || err == -EAGAIN)
		sql_fill(at ? at : &names.v[0], a->out);
	if (!err && a->c->queued && a->c->queued->end == FSP_QUEUED_LIVE)
		a->c->queued->stored = a->out->content;
	return err;
}

bool sql_is_object(const struct fsp_object *o)
{
	return *o->key && o->size <= INT64_MAX;
}

int sql_commit(struct fsp_meta *m, const struct fsp_ctx *ctx,
               const struct fsp_commit *c, struct fsp_entry *out)
{
	struct commit a = { c, out, 0, 0 };
	int err;

	if (c->object && !sql_is_object(c->object))
		return -EINVAL;
	err = sql_txn(m, ctx, SQL_DURABLE, commit, &a);
	/* It is done; only which row it is was not told. Asking may fail, too:
	 * 0 is then no row, and what is written over it is merged. */
	if (!err && a.row < 0)
		a.row = sql_getattr(m, ctx, &c->ref, out) ? 0 :
			out->content.row;
	if (!err && a.row) {
		out->content.row = a.row;
		if (c->queued)
			c->queued->stored = out->content;
	}
	return err;
}
