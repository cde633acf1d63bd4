/* What is at a place: its name, its row and its node in one statement. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_log.h"
#include "sql_meta.h"

/* Columns of HEAD; NAMES_SQL has the same up to COL_ROW + ROW_N. */
enum {
	COL_ID, COL_INO, COL_FILE, COL_OWNER, COL_NODE,
	COL_ROW = COL_NODE + NODE_N,
	COL_OLDEST = COL_ROW + ROW_N, COL_BELOW
};

#define HEAD \
	"SELECT n.id, n.ino, n.file_id, n.owner, " NODE_COLS ", " ROW_COLS \
	", (SELECT MIN(p.id) FROM {file} p WHERE {eq p.space_key}" \
	" AND {eq p.file_key} AND p.ino IS NULL), "
#define TAIL \
	" FROM (SELECT 1 AS one) o" \
	" LEFT JOIN {name} n ON n.space_key = ? AND n.dir_key = ?" \
	" AND n.live = 1 AND n.name = ?" \
	" LEFT JOIN {node} d ON d.ino = n.ino" \
	" LEFT JOIN {file} f ON " FILE_AT("", "")
#define FILES_IN(where) \
	"EXISTS (SELECT 1 FROM {file} b WHERE " where " AND " \
	PHP_LIVE("b.") ")"
#define SPACES_IN(where) \
	"EXISTS (SELECT 1 FROM {space} s WHERE " where " AND " LIVE("s.") ")"
#define RANGE(col) col " >= ? AND " col " < ?"

/* Is there a row, valid or not, that could make it a directory? */
static const char in_record[] = HEAD
	FILES_IN("{eq b.space_key} AND {from b.file_key} AND"
	         " {below b.file_key}") TAIL;
static const char of_record[] = HEAD
	"(" FILES_IN("{eq b.space_key}") " OR " SPACES_IN("{eq s.space_key}") ")"
	TAIL;
static const char above_record[] = HEAD
	"(" FILES_IN("{eq b.space_key}") " OR " SPACES_IN("{eq s.space_key}")
	" OR " FILES_IN(RANGE("b.space_key"))
	" OR " SPACES_IN(RANGE("s.space_key")) ")" TAIL;

void sql_ent_free(struct ent *e)
{
	sql_key_free(&e->key);
	free(e->owner);
	e->owner = NULL;
}

bool sql_is_dir(const struct ent *e)
{
	return S_ISDIR(e->node.mode);
}

bool sql_is_file(const struct ent *e)
{
	return S_ISREG(e->node.mode);
}

bool sql_is_dead(const struct ent *e)
{
	return sql_is_file(e) && e->file_id && !e->has_row;
}

void sql_fill(const struct ent *e, struct fsp_entry *out)
{
	const struct node *n = &e->node;

	*out = (struct fsp_entry){
		.attr = {
			.ino = e->ino,
			.mode = n->mode,
			.uid = n->uid,
			.gid = n->gid,
			.nlink = sql_is_dir(e) ? 1 : n->nlink,
			.size = sql_is_dir(e) ? 4096 : n->size,
			.rdev = n->rdev,
			.atime_ns = n->atime_ns,
			.mtime_ns = n->mtime_ns,
			.ctime_ns = n->ctime_ns,
		},
	};
	if (!sql_is_file(e) || !e->has_row)
		return;
	out->attr.size = e->row.size;
	out->content.row = e->row.id;
	out->content.size = e->row.size;
	memcpy(out->content.hash, e->row.hash, sizeof(out->content.hash));
}

void sql_fill_row(const struct sql_meta *m, const struct row *r,
                  int64_t oldest, struct fsp_entry *out)
{
	struct ent e = { .has_row = true, .row = *r };

	e.ino = r->ino ? r->ino : FSP_INO_ROW + (uint64_t)oldest;
	sql_node_file(m, r, &e.node);
	if (r->mode >= 0)
		e.node.mode = S_IFREG | (uint32_t)r->mode;
	if (r->uid >= 0)
		e.node.uid = (uint32_t)r->uid;
	if (r->gid >= 0)
		e.node.gid = (uint32_t)r->gid;
	sql_fill(&e, out);
}

/* The columns that every statement over names begins with. */
static int read_name(struct sqlstmt *s, struct ent *e)
{
	const char *owner = sql_str(s, COL_OWNER);
	int64_t ino = sql_int_or(s, COL_INO, 0);
	int err = sql_node_read(s, COL_NODE, ino, &e->node);

	if (err)
		return err;
	e->how = BY_NAME;
	e->ino = (uint64_t)ino;
	e->file_id = sql_int_or(s, COL_FILE, 0);
	e->owner = owner ? strdup(owner) : NULL;
	if (owner && !e->owner)
		return -ENOMEM;
	if (sql_is_file(e) && e->has_row && e->row.id != e->file_id) {
		/* PHP wrote over it. */
		int64_t stored = sql_us_to_ns(e->row.stored_us);

		e->node.mtime_ns = e->row.mtime_ns;
		if (stored > e->node.ctime_ns)
			e->node.ctime_ns = stored;
	}
	return 0;
}

static int read_row(struct sqlstmt *s, struct ent *e)
{
	int err = sql_row_read(s, COL_ROW, &e->row);

	e->has_row = !err;
	return err == -ENOENT ? 0 : err;
}

static int start_find(struct txn *t, struct sqlstmt **st,
                      const struct key *k)
{
	struct tree b TREE = { .depth = 0 };
	const char *s = k->space, *f = k->file;
	int err = sql_tree(k->path, &b);

	if (err)
		return err;
	if (k->depth > 3)
		return sql_start(t, st, in_record, "tttttttttt", s, f,
		                 b.k.space, b.lo, b.hi, s, k->dir, k->name, s,
		                 f);
	if (k->depth == 3)
		return sql_start(t, st, of_record, "ttttttttt", s, f,
		                 b.k.space, b.k.space, s, k->dir, k->name, s,
		                 f);
	return sql_start(t, st, above_record, "ttttttttttttt", s, f,
	                 b.k.space, b.k.space, b.lo, b.hi, b.lo, b.hi, s,
	                 k->dir, k->name, s, f);
}

/* Reads what the statement found; *below: rows may make it a directory. */
static int read_find(struct txn *t, struct ent *e, uint64_t *oldest,
                     bool *below)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int err = start_find(t, &s, &e->key);

	if (err)
		return err;
	err = sql_next(s);
	if (err != 1)
		return err ? err : -EIO;
	err = read_row(s, e);
	if (!err && sql_int(s, COL_ID, &e->name_id))
		err = read_name(s, e);
	*oldest = (uint64_t)sql_int_or(s, COL_OLDEST, 0);
	*below = sql_int_or(s, COL_BELOW, 0) != 0;
	return err;
}

static void set_dead(struct ent *e, bool hidden)
{
	e->dead_id = e->name_id;
	e->dead_ino = e->ino;
	e->hidden = hidden;
	e->name_id = e->file_id = 0;
}

static int implicit_dir(struct txn *t, struct ent *e)
{
	struct implied at;
	int err = sql_implied(t, e->key.path, NO_TIME, true, &at);

	if (err != 1)
		return err;
	if (e->name_id)
		set_dead(e, true);
	e->how = BY_IMPLICIT;
	e->has_row = false;
	e->file_id = 0;
	e->since_us = at.since_us;
	sql_node_dir(t->m, at.time_ns, &e->node);
	err = sql_implicit_ino(t, e->key.path, &e->ino);
	return err ? err : 1;
}

/* A directory hides a file; other names are stronger than rows below. */
static int judge(struct txn *t, struct ent *e, uint64_t oldest, bool below)
{
	int err;

	if (e->name_id && sql_is_dead(e))
		set_dead(e, false);
	if (e->name_id && (!sql_is_file(e) || !e->has_row))
		return 0;
	err = below ? implicit_dir(t, e) : 0;
	if (err)
		return err < 0 ? err : 0;
	if (e->name_id)
		return 0;
	if (!e->has_row)
		return -ENOENT;
	e->how = BY_ROW;
	e->ino = oldest ? FSP_INO_ROW + oldest : e->row.ino;
	sql_node_file(t->m, &e->row, &e->node);
	return 0;
}

int sql_find(struct txn *t, const char *dir, const char *name, struct ent *e)
{
	uint64_t oldest = 0;
	bool below = false;
	int err;

	*e = (struct ent){ .how = BY_ROW };
	err = sql_key(dir, name, &e->key);
	if (!err)
		err = read_find(t, e, &oldest, &below);
	return err ? err : judge(t, e, oldest, below);
}

#define ROOT_SQL "SELECT " NODE_COLS " FROM {node} d WHERE d.ino = ?"

static int find_root(struct txn *t, struct ent *e)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int64_t first = 0;
	int err;

	/* A writer saves what it read: nobody else may touch it meanwhile. */
	static const char plain[] = ROOT_SQL, locked[] = ROOT_SQL "{update}";

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
	err = sql_start(t, &s, sql_kind_reads(t->kind) ? plain : locked, "i",
	                (int64_t)FSP_INO_ROOT);
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
	int err = sql_find_path(t, path, e);

	return err ? err : sql_is_dir(e) ? 0 : -ENOTDIR;
}

void sql_ents_free(struct ents *l)
{
	for (size_t i = 0; i < l->n; i++)
		sql_ent_free(&l->v[i]);
	free(l->v);
	*l = (struct ents){ .n = 0 };
}

struct ent *sql_ents_add(struct ents *l)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 8;
		struct ent *v = realloc(l->v, cap * sizeof(*v));

		if (!v)
			return NULL;
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n] = (struct ent){ .how = BY_NAME };
	return &l->v[l->n++];
}

/* The place of a name from its columns; -EINVAL for what is no place. */
static int read_place(struct sqlstmt *s, struct ent *e)
{
	const char *space = sql_str(s, COL_OLDEST);
	const char *dir = sql_str(s, COL_OLDEST + 1);
	const char *name = sql_str(s, COL_OLDEST + 2);
	FSP_FREE char *file = NULL;

	if (!space || !dir || !name)
		return -EINVAL;
	file = fsp_path_join(dir, name);
	return file ? sql_key_of_row(space, file, &e->key) : -ENOMEM;
}

static int read_ent(struct sqlstmt *s, struct ent *e)
{
	int err = read_row(s, e);

	if (!err)
		err = read_name(s, e);
	if (!err && !sql_int(s, COL_ID, &e->name_id))
		err = -EIO;
	if (!err)
		err = read_place(s, e);
	if (err != -EINVAL)
		return err;
	fsp_warn("fsp_name row %" PRId64 ": no valid place", e->name_id);
	return -EIO;
}

int sql_next_name(struct sqlstmt *s, struct ents *l, bool *bad)
{
	int err = sql_next(s);
	struct ent *e;

	*bad = false;
	if (err != 1)
		return err;
	e = sql_ents_add(l);
	if (!e)
		return -ENOMEM;
	err = read_ent(s, e);
	if (err == -EIO) {
		*bad = true;
		sql_ent_free(e);
		l->n--;
	}
	return err && !*bad ? err : 1;
}

int sql_each_name(struct sqlstmt *s, int (*each)(void *arg, const struct ent *e),
                  void *arg)
{
	struct ents one ENTS = { .n = 0 };
	bool bad;
	int err;

	while ((err = sql_next_name(s, &one, &bad)) == 1) {
		err = each(arg, bad ? NULL : &one.v[0]);
		if (err)
			return err;
		sql_ents_free(&one);
	}
	return err;
}

int sql_read_names(struct sqlstmt *s, struct ents *l)
{
	bool bad = false;
	int err;

	do
		err = sql_next_name(s, l, &bad);
	while (err == 1 && !bad);
	return bad ? -EIO : err;
}

#define NAMES_OF NAMES_SQL("n.ino = ? AND n.live = 1 ORDER BY n.id")

int sql_names_of(struct txn *t, uint64_t ino, struct ents *l)
{
	/* A writer saves the node that it read: nobody else may touch it. */
	static const char plain[] = NAMES_OF, locked[] = NAMES_OF "{update}";
	struct sqlstmt *s SQL_STMT = NULL;
	int64_t last = 0;
	size_t kept = 0;
	int err;

	err = sql_start(t, &s, sql_kind_reads(t->kind) ? plain : locked, "i",
	                (int64_t)ino);
	if (!err)
		err = sql_read_names(s, l);
	for (size_t i = 0; !err && i < l->n; i++) {
		/* Twice, when PHP wrote while the lock was waited for. */
		if (sql_is_dead(&l->v[i]) || l->v[i].name_id == last) {
			sql_ent_free(&l->v[i]);
			continue;
		}
		last = l->v[i].name_id;
		l->v[kept++] = l->v[i];
	}
	if (!err)
		l->n = kept;
	return err;
}

int sql_resolve(struct txn *t, const struct fsp_ref *ref, struct ent *e)
{
	struct ents names ENTS = { .n = 0 };
	int err;

	*e = (struct ent){ .how = BY_NAME };
	if (ref->ino == FSP_INO_ROOT)
		return sql_find_path(t, "", e);
	err = sql_names_of(t, ref->ino, &names);
	if (err)
		return err;
	if (names.n) {
		*e = names.v[0];
		names.v[0] = (struct ent){ .how = BY_NAME };
		return 0;
	}
	if (!ref->path || !*ref->path)
		return -ESTALE;
	err = sql_find_path(t, ref->path, e);
	if (err == -ENOENT || (!err && e->ino != ref->ino))
		return -ESTALE;
	return err;
}
