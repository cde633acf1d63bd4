/*
 * What is at a place: its name, its row, its node, and what makes it a
 * directory without a name, in one statement.
 */
#include <errno.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "sql_meta.h"


/*
 * Columns: those of a name as in NAMES_SQL, then the oldest row of PHP, whether
 * the first number for a directory without a name is taken, whether there may
 * be one: rows, valid or not; then what is likely to be the row that shows it.
 */
enum {
	COL_OLDEST = FOUND_N, COL_TAKEN, COL_BELOW, COL_SPACE, COL_CREATED,
	COL_KEY = COL_CREATED, COL_ROW
};

#define HEAD \
	"SELECT n.id, n.ino, n.file_id, n.owner, " NODE_COLS ", " ROW_COLS \
	", (SELECT MIN(p.id) FROM {file} p WHERE {eq p.space_key}" \
	" AND {eq p.file_key} AND p.ino IS NULL)" \
	", EXISTS (SELECT 1 FROM {node} i WHERE i.ino = ?), "
#define TAIL \
	" FROM (SELECT 1 AS one) o" \
	" LEFT JOIN {name} n ON " AT_PLACE \
	" LEFT JOIN {node} d ON d.ino = n.ino" \
	" LEFT JOIN {file} f ON " FILE_AT("", "")
#define SPACE_COLS "s.space_key, s.created_at"
#define OWN_SPACE \
	"(SELECT MIN(q.id) FROM {space} q WHERE {eq q.space_key} AND " \
	SPACE_LIVE("q.") ")"
#define FIRST_SPACE \
	"(SELECT q.id FROM {space} q WHERE q.space_key >= ? AND" \
	" q.space_key < ? AND " SPACE_LIVE("q.") " ORDER BY q.space_key LIMIT 1)"

static const char in_record[] = HEAD "g.id IS NOT NULL, g.space_key,"
	" g.file_key, " ROW_COLS_OF("g.") TAIL
	" LEFT JOIN {file} g ON g.id = (SELECT b.id FROM {file} b WHERE " BELOW
	" AND " PHP_LIVE("b.") " ORDER BY {head b.file_key} LIMIT 1)";
/* No index would find the first. */
static const char in_legacy_record[] = HEAD FILES_IN(BELOW) ", NULL" TAIL;
static const char of_record[] = HEAD FILES_IN("{eq b.space_key}") ", "
	SPACE_COLS TAIL " LEFT JOIN {space} s ON s.id = " OWN_SPACE;
static const char above_record[] = HEAD "(" FILES_IN("{eq b.space_key}") " OR "
	FILES_IN("b.space_key >= ? AND b.space_key < ?") "), " SPACE_COLS TAIL
	" LEFT JOIN {space} s ON s.id = COALESCE(" OWN_SPACE ", " FIRST_SPACE
	")";

struct found {
	bool below;             /* rows may make it a directory */
	bool shown, taken;      /* one does, and it has another number */
	struct implied at;
};

static int start_find(struct txn *t, struct sqlstmt **st, const struct key *k)
{
	struct tree b TREE = { .depth = 0 };
	const char *s = k->space, *f = k->file;
	int64_t ino = (int64_t)sql_path_ino(k->path, 0);
	int err = sql_tree(k->path, &b);

	if (err)
		return err;
	if (k->depth > FSP_RECORD_DEPTH && t->m->drv->legacy)
		return sql_start(t, st, in_legacy_record, "ttitttttttt", s, f,
		                 ino, b.k.space, b.lo, b.hi, s, k->dir,
		                 k->name, s, f);
	if (k->depth > FSP_RECORD_DEPTH)
		return sql_start(t, st, in_record, "ttitttttttt", s, f, ino,
		                 s, k->dir, k->name, s, f, b.k.space, b.lo,
		                 b.hi);
	if (k->depth == FSP_RECORD_DEPTH)
		return sql_start(t, st, of_record, "ttittttttt", s, f, ino,
		                 b.k.space, s, k->dir, k->name, s, f,
		                 b.k.space);
	return sql_start(t, st, above_record, "ttittttttttttt", s, f, ino,
	                 b.k.space, b.lo, b.hi, s, k->dir, k->name, s, f,
	                 b.k.space, b.lo, b.hi);
}

/* The row that the statement took to be the one that shows a directory. */
static int read_shown(struct sqlstmt *s, bool file, struct found *f)
{
	const char *space = sql_str(s, COL_SPACE);
	FSP_FREE char *path = NULL;
	struct row r;
	int err;

	if (!space)
		return 0;
	if (!file) {
		err = fsp_path_of_space(space, &path);
		f->at.since_us = sql_sec_to_us(sql_int_or(s, COL_CREATED, 0));
		f->at.time_ns = sql_us_to_ns(f->at.since_us);
	} else {
		const char *key = sql_str(s, COL_KEY);

		err = key ? fsp_path_of_row(space, key, &path) : -EINVAL;
		if (!err)
			err = sql_row_read(s, COL_ROW, &r);
		if (!err)
			f->at = (struct implied){ r.mtime_ns, r.since_us };
	}
	f->below = true;
	f->shown = !err;
	/* Else it is looked for further on. */
	return err == -ENOMEM ? err : 0;
}

static int read_find(struct txn *t, struct ent *e, struct found *f)
{
	struct sqlstmt *s SQL_STMT = NULL;
	bool file = e->key.depth > FSP_RECORD_DEPTH;
	int err = start_find(t, &s, &e->key);

	if (err)
		return err;
	err = sql_next(s);
	if (err != 1)
		return err ? err : -EIO;
	err = sql_read_found(s, e);
	e->oldest = sql_int_or(s, COL_OLDEST, 0);
	f->taken = sql_int_or(s, COL_TAKEN, 0) != 0;
	f->below = sql_int_or(s, COL_BELOW, 0) != 0;
	return err ? err : read_shown(s, file, f);
}

static void set_dead(struct ent *e, bool hidden)
{
	e->dead_id = e->name_id;
	e->dead_ino = e->ino;
	e->hidden = hidden;
	e->name_id = e->file_id = 0;
}

static int implicit_dir(struct txn *t, struct ent *e, struct found *f)
{
	int err = f->shown ? 1 :
		sql_implied(t, e->key.path, NO_TIME, true, &f->at);

	if (err != 1)
		return err;
	if (e->name_id)
		set_dead(e, true);
	e->how = BY_IMPLICIT;
	e->has_row = false;
	e->file_id = 0;
	e->since_us = f->at.since_us;
	sql_node_dir(t->m, f->at.time_ns, &e->node);
	e->ino = sql_path_ino(e->key.path, 0);
	err = f->taken ? sql_implicit_ino(t, e->key.path, &e->ino) : 0;
	return err ? err : 1;
}

/* A directory hides a file; other names are stronger than rows below. */
static int judge(struct txn *t, struct ent *e, struct found *f)
{
	int err;

	if (e->name_id && sql_is_dead(e))
		set_dead(e, false);
	if (e->name_id && (!sql_is_file(e) || !e->has_row))
		return 0;
	err = f->below ? implicit_dir(t, e, f) : 0;
	if (err)
		return err < 0 ? err : 0;
	if (e->name_id)
		return 0;
	if (!e->has_row)
		return -ENOENT;
	e->how = BY_ROW;
	e->ino = e->oldest ? FSP_INO_ROW + (uint64_t)e->oldest : e->row.ino;
	sql_node_file(t->m, &e->row, &e->node);
	return 0;
}

static int find(struct txn *t, const char *dir, const char *name, bool is_new,
                struct ent *e)
{
	struct found f = { .below = false };
	int err;

	*e = (struct ent){ .how = BY_ROW };
	err = sql_key(dir, name, &e->key);
	if (err)
		return err;
	err = is_new ? sql_find_free(t, e) : 1;
	if (err == 1)
		err = sql_find_quick(t, e);
	if (err != 1)
		return err;
	err = read_find(t, e, &f);
	return err ? err : judge(t, e, &f);
}

int sql_find(struct txn *t, const char *dir, const char *name, struct ent *e)
{
	return find(t, dir, name, false, e);
}

int sql_find_new(struct txn *t, const char *dir, const char *name,
                 struct ent *e)
{
	return find(t, dir, name, true, e);
}

#define ROOT_SQL "SELECT " NODE_COLS " FROM {node} d WHERE d.ino = ?"

static int start_root(struct txn *t, struct sqlstmt **st)
{
	/* A writer saves what it read: nobody else may touch it meanwhile. */
	static const char plain[] = ROOT_SQL, locked[] = ROOT_SQL "{update}";

	return sql_start(t, st, sql_kind_reads(t->kind) ? plain : locked, "i",
	                 (int64_t)FSP_INO_ROOT);
}

int sql_ahead_root(struct txn *t)
{
	return start_root(t, NULL);
}

static int find_root(struct txn *t, struct ent *e)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int64_t first = 0;
	int err;

	*e = (struct ent){
		.how = BY_NAME,
		.ino = FSP_INO_ROOT,
		.key = {
			.path = strdup(""), .space = strdup(""),
			.dir = strdup(""), .name = strdup(""),
			.file = strdup(""),
		},
	};
	if (!e->key.path || !e->key.space || !e->key.dir || !e->key.name ||
	    !e->key.file)
		return -ENOMEM;
	err = start_root(t, &s);
	if (!err)
		err = sql_next(s);
	if (err)
		return err < 0 ? err :
			sql_node_read(s, 0, FSP_INO_ROOT, &e->node);
	sql_end(&s);
	err = sql_number(t, &first, "SELECT s.created_at FROM {space} s"
	                 " ORDER BY s.id LIMIT 1", "");
	if (!err && !first)
		err = sql_number(t, &first, "SELECT CAST(i.value AS SIGNED)"
		                 " FROM {info} i WHERE i.name = 'created'", "");
	e->how = BY_IMPLICIT;
	sql_node_dir(t->m, sql_us_to_ns(sql_sec_to_us(first)), &e->node);
	return err;
}

int sql_find_path(struct txn *t, const char *path, struct ent *e)
{
	FSP_FREE char *dir = NULL;
	FSP_FREE char *name = NULL;
	int err;

	if (!*path)
		return find_root(t, e);
	*e = (struct ent){ .how = BY_ROW };
	err = fsp_path_split(path, &dir, &name);
	return err ? err : sql_find(t, dir, name, e);
}

int sql_find_dir(struct txn *t, const char *path, struct ent *e)
{
	int err = 0;

	*e = (struct ent){ .how = BY_NAME };
	if (*path && !sql_kind_reads(t->kind))
		err = sql_named_dir(t, path, e);
	if (err)
		return err < 0 ? err : 0;
	sql_ent_free(e);
	err = sql_find_path(t, path, e);
	return err ? err : sql_is_dir(e) ? 0 : -ENOTDIR;
}
