/*
 * Adopting what only PHP has written: the entry keeps the number that it was
 * shown with, and from then on has a name, a node and linked rows.
 */
#include <errno.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "sql_meta.h"

struct past {
	struct row *v;
	bool *open_end;         /* closed, but not known when exactly */
	size_t n, cap;
};

static void past_free(struct past *p)
{
	free(p->v);
	free(p->open_end);
}

static int past_grow(struct past *p)
{
	size_t cap = p->cap ? p->cap * 2 : 8;
	struct row *v;
	bool *o;

	if (p->n < p->cap)
		return 0;
	v = realloc(p->v, cap * sizeof(*v));
	if (!v)
		return -ENOMEM;
	p->v = v;
	o = realloc(p->open_end, cap * sizeof(*o));
	if (!o)
		return -ENOMEM;
	p->open_end = o;
	p->cap = cap;
	return 0;
}

/* The rows of a key that PHP wrote or closed, old to new. */
static int read_past(struct txn *t, const struct key *k, struct past *p)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int err;

	err = sql_start(t, &s, "SELECT " ROW_COLS " FROM {file} f WHERE"
	                " {eq f.space_key} AND {eq f.file_key} AND"
	                " (f.ino IS NULL OR (f.deleted_at <> 0 AND"
	                " f.closed_us IS NULL)) ORDER BY f.id", "tt", k->space,
	                k->file);
	if (err)
		return err;
	while ((err = sql_next(s)) == 1) {
		err = past_grow(p);
		if (err)
			return err;
		if (sql_row_read(s, 0, &p->v[p->n]))
			continue;       /* logged; stays as it is */
		p->open_end[p->n] = !p->v[p->n].live && sql_null(s, 12);
		p->n++;
	}
	return err;
}

/*
 * PHP tells seconds: when the next version came within that second, it was
 * then; and never before it began.
 */
static int64_t end_of(const struct past *p, size_t i)
{
	const struct row *r = &p->v[i];
	int64_t end = r->closed_us;

	if (!p->open_end[i])
		return end;
	if (i + 1 < p->n && p->v[i + 1].since_us > end &&
	    p->v[i + 1].since_us - end < FSP_US_PER_SEC)
		end = p->v[i + 1].since_us;
	return end < r->since_us ? r->since_us : end;
}

/* `before` is the row that was the file until then, 0 = none. */
static int link_rows(struct txn *t, const struct past *p, int64_t before)
{
	int64_t pred = 0;
	int err = 0;

	for (size_t i = 0; i < p->n && !err; i++) {
		const struct row *r = &p->v[i];

		if (before > pred && before < r->id)
			pred = before;
		err = sql_later(t, "UPDATE {file} SET stored_at = ?,"
		              " since_us = ?, closed_us = ?,"
		              " pred_id = COALESCE(pred_id, ?) WHERE id = ?",
		              "iizzi", r->stored_us, r->since_us,
		              r->live ? (int64_t)0 : end_of(p, i), pred,
		              r->id);
		pred = r->id;
	}
	return err;
}

static int adopt_rows(struct txn *t, const struct key *k, uint64_t ino,
                      int64_t before, int64_t *since)
{
	struct past p __attribute__((cleanup(past_free))) = { .n = 0 };
	int err = read_past(t, k, &p);

	if (!err)
		err = link_rows(t, &p, before);
	if (!err)
		err = sql_later(t, "UPDATE {file} SET ino = ? WHERE"
		              " {eq space_key} AND {eq file_key} AND"
		              " ino IS NULL", "itt", (int64_t)ino, k->space,
		              k->file);
	*since = p.n && p.v[0].since_us < t->now_us ? p.v[0].since_us :
		t->now_us;
	return err;
}

int sql_oldest_past(struct txn *t, const struct key *k, int64_t *oldest)
{
	return sql_number(t, oldest, "SELECT MIN(p.id) FROM {file} p WHERE"
	                  " {eq p.space_key} AND {eq p.file_key} AND"
	                  " p.ino IS NULL", "tt", k->space, k->file);
}

int sql_ahead_past(struct txn *t, const char *dir, const char *name)
{
	struct key k KEY = { .depth = 0 };
	int err = sql_key(dir, name, &k);

	return err ? err : sql_oldest_past(t, &k, NULL);
}

int sql_adopt_past(struct txn *t, const struct key *k)
{
	int64_t oldest, since;
	int err = sql_oldest_past(t, k, &oldest);

	if (err || oldest <= 0)
		return err;
	return adopt_rows(t, k, FSP_INO_ROW + (uint64_t)oldest, 0, &since);
}

/* The live row says what its inode says. */
static int dress_row(struct txn *t, const struct ent *e)
{
	return sql_later(t, "UPDATE {file} SET mode = ?, uid = ?, gid = ?"
	               " WHERE id = ?", "iiii",
	               (int64_t)(e->node.mode & 07777), (int64_t)e->node.uid,
	               (int64_t)e->node.gid, e->row.id);
}

static int adopt_parent(struct txn *t, const struct ent *e)
{
	FSP_FREE char *dir = NULL;
	FSP_FREE char *name = NULL;
	struct ent parent ENT = { .how = BY_NAME };
	int err = fsp_path_split(e->key.path, &dir, &name);

	if (!err)
		err = sql_find_dir(t, dir, &parent);
	return err ? err : sql_adopt(t, &parent);
}

static int put_or_link_node(struct txn *t, const struct ent *e)
{
	int there = sql_has_node(t, e->ino);

	if (there < 0)
		return there;
	if (!there)
		return sql_put_node(t, e->ino, &e->node, NULL);
	return sql_later(t, "UPDATE {node} SET nlink = nlink + 1 WHERE ino = ?",
	               "i", (int64_t)e->ino);
}

static int put_ent_name(struct txn *t, struct ent *e, int64_t since)
{
	int err = sql_put_name(t, &e->key, e->ino, e->file_id, NULL, since);

	if (!err)
		err = sql_now(t, &e->name_id);
	e->how = BY_NAME;
	return err;
}

int sql_name_dir(struct txn *t, struct ent *e)
{
	/* It was there before this change. */
	int64_t since = e->since_us < t->now_us ? e->since_us : t->now_us - 1;
	int err = sql_bury(t, e);

	if (!err)
		err = sql_put_node(t, e->ino, &e->node, NULL);
	return err ? err : put_ent_name(t, e, since);
}

static int adopt_dir(struct txn *t, struct ent *e)
{
	int err;

	sql_want(t, e->key.space);
	err = e->key.depth ? adopt_parent(t, e) : 0;
	if (!err)
		err = sql_claim(t);
	if (!err && !e->key.depth) {
		e->how = BY_NAME;
		return sql_put_node(t, e->ino, &e->node, NULL);
	}
	return err ? err : sql_name_dir(t, e);
}

int sql_name_file(struct txn *t, struct ent *e)
{
	int64_t since;
	int err = sql_lock_rows(t, e);

	if (!err)
		err = sql_bury(t, e);
	if (!err)
		err = adopt_rows(t, &e->key, e->ino, 0, &since);
	if (!err)
		err = sql_close_rows(t, e, e->row.id);
	if (!err)
		err = put_or_link_node(t, e);
	if (!err)
		err = dress_row(t, e);
	e->file_id = e->row.id;
	return err ? err : put_ent_name(t, e, since);
}

static int adopt_file(struct txn *t, struct ent *e)
{
	int err;

	sql_want(t, e->key.space);
	err = adopt_parent(t, e);
	if (!err)
		err = sql_claim(t);
	return err ? err : sql_name_file(t, e);
}

/* A row that PHP wrote over one of our names. */
static int settle(struct txn *t, struct ent *e)
{
	int64_t since;
	int err = adopt_rows(t, &e->key, e->ino, e->file_id, &since);

	if (!err)
		err = sql_later(t, "UPDATE {name} SET file_id = ?, owner = NULL"
		              " WHERE id = ?", "ii", e->row.id, e->name_id);
	if (!err)
		err = sql_later(t, "UPDATE {node} SET mtime_ns = ?,"
		              " ctime_ns = ? WHERE ino = ?", "iii",
		              e->node.mtime_ns, e->node.ctime_ns,
		              (int64_t)e->ino);
	e->file_id = e->row.id;
	free(fsp_steal(e->owner));
	return err ? err : dress_row(t, e);
}

int sql_adopt(struct txn *t, struct ent *e)
{
	int err = 0;

	switch (e->how) {
	case BY_IMPLICIT:
		return adopt_dir(t, e);
	case BY_ROW:
		return adopt_file(t, e);
	case BY_NAME:
		break;
	}
	if (!sql_is_file(e) || !e->has_row)
		return 0;
	err = sql_claim_space(t, e->key.space);
	if (!err)
		err = sql_lock_rows(t, e);
	if (!err && e->row.id != e->file_id)
		err = settle(t, e);
	return err ? err : sql_close_rows(t, e, e->row.id);
}

int sql_copy_row(struct txn *t, int64_t id, const struct key *k,
                 int64_t *copy)
{
	int err = sql_later(t, "INSERT INTO {file} (file_key, space_key,"
	                  " data_hash, created_at, deleted_at, size_original,"
	                  " size_storage, ino, mode, uid, gid, mtime_ns,"
	                  " stored_at, since_us, pred_id)"
	                  " SELECT ?, ?, f.data_hash, f.created_at, 0,"
	                  " f.size_original, f.size_storage, f.ino, f.mode,"
	                  " f.uid, f.gid, f.mtime_ns, f.stored_at,"
	                  " CASE WHEN f.since_us > ? THEN f.since_us ELSE ?"
	                  " END, f.id"
	                  " FROM {file} f WHERE f.id = ?", "ttiii", k->file,
	                  k->space, t->now_us, t->now_us, id);

	return err || !copy ? err : sql_last(t, copy);
}

int sql_resolve_all(struct txn *t, const struct fsp_ref *ref, struct ents *l)
{
	struct ent *e;
	int err = sql_claim_ref(t, ref);

	sql_ents_free(l);
	if (!err && ref->ino != FSP_INO_ROOT)
		err = sql_names_of_ref(t, ref, l);
	if (!err && !l->n) {
		e = sql_ents_add(l);
		if (!e)
			return -ENOMEM;
		err = sql_resolve(t, ref, e);
	}
	for (size_t i = 0; i < l->n && !err; i++)
		sql_want(t, l->v[i].key.space);
	if (!err)
		err = sql_claim(t);
	for (size_t i = 0; i < l->n && !err; i++)
		err = sql_adopt(t, &l->v[i]);
	return err;
}
