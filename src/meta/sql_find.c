/* Entries: read from statements, by number, in lists. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_log.h"
#include "sql_meta.h"

/* Columns of NAMES_SQL, and of everything that reads names as it does. */
enum {
	COL_ID, COL_INO, COL_FILE, COL_OWNER, COL_NODE,
	COL_ROW = COL_NODE + NODE_N, COL_PLACE = COL_ROW + ROW_N
};

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
			.rdev = sql_is_dir(e) ? 0 : n->rdev,
			.atime_ns = n->atime_ns,
			.mtime_ns = n->mtime_ns,
			.ctime_ns = n->ctime_ns,
		},
		.holder = sql_is_dir(e) ? (int64_t)n->rdev : 0,
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

static int read_row(struct sqlstmt *s, struct ent *e)
{
	int err = sql_row_read(s, COL_ROW, &e->row);

	e->has_row = !err;
	return err == -ENOENT ? 0 : err;
}

void sql_written_over(struct ent *e)
{
	int64_t stored = sql_us_to_ns(e->row.stored_us);

	e->node.mtime_ns = e->row.mtime_ns;
	if (stored > e->node.ctime_ns)
		e->node.ctime_ns = stored;
}

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
	if (sql_is_file(e) && e->has_row && e->row.id != e->file_id)
		sql_written_over(e);
	return 0;
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
	struct ent *v = fsp_grow(l->v, l->n, &l->cap, sizeof(*v));

	if (!v)
		return NULL;
	l->v = v;
	l->v[l->n] = (struct ent){ .how = BY_NAME };
	return &l->v[l->n++];
}

/* The place of a name from its columns; -EINVAL for what is no place. */
static int read_place(struct sqlstmt *s, struct ent *e)
{
	const char *space = sql_str(s, COL_PLACE);
	const char *dir = sql_str(s, COL_PLACE + 1);
	const char *name = sql_str(s, COL_PLACE + 2);
	FSP_FREE char *file = NULL;

	if (!space || !dir || !name)
		return -EINVAL;
	file = fsp_path_join(dir, name);
	return file ? sql_key_of_row(space, file, &e->key) : -ENOMEM;
}

int sql_read_found(struct sqlstmt *s, struct ent *e)
{
	int err = read_row(s, e);

	if (!err && sql_int(s, COL_ID, &e->name_id))
		err = read_name(s, e);
	return err;
}

int sql_read_ent(struct sqlstmt *s, struct ent *e)
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

int sql_start_names(struct txn *t, struct sqlstmt **st,
                    const struct tree *tree)
{
	return sql_start(t, st, NAMES_SQL("n.space_key = ? AND n.dir_key = ?"
	                                  " AND n.live = 1"), "tt",
	                 tree->k.space, tree->k.dir);
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
	err = sql_read_ent(s, e);
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

#define OF_INO "n.ino = ? AND n.live = 1 ORDER BY n.id"
#define NAMES_OF NAMES_SQL(OF_INO)

/*
 * With all live rows of their keys, by which they are locked as sql_lock_rows()
 * does it. 0 where a name has more than one: then it takes more to tell.
 */
static int read_locked(struct sqlstmt *s, bool spaced, struct ents *l)
{
	bool bad = false;
	int err = 0;

	while (!err && (err = sql_next_name(s, l, &bad)) == 1) {
		struct ent *e = bad ? NULL : &l->v[l->n - 1];

		if (!e || (l->n > 1 && e[-1].name_id == e->name_id)) {
			sql_ents_free(l);
			return 0;
		}
		e->locked = e->has_row ? e->row.id : 0;
		e->alone = e->has_row;
		e->spaced = spaced && sql_int_or(s, NAMES_N, 0);
		err = 0;
	}
	return err ? err : 1;
}

#define LOCKED_FROM \
	" FROM {name} n JOIN {node} d ON d.ino = n.ino" \
	" LEFT JOIN {file} f{by_key} ON "

static int lock_names(struct txn *t, uint64_t ino, struct ents *l)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int err = sql_start(t, &s, "SELECT " NAMES_COLS LOCKED_FROM
	                    "{eq f.space_key n.space_key} AND"
	                    " {eq f.file_key " NAME_KEY("n.") "} AND "
	                    LIVE("f.") " WHERE " OF_INO "{update}", "i",
	                    (int64_t)ino);

	return err ? err : read_locked(s, false, l);
}

#define LOCKED_AT \
	LOCKED_FROM "{eq f.space_key} AND {eq f.file_key} AND " LIVE("f.") \
	" WHERE " AT_PLACE
#define AT_PATH LOCKED_AT " AND n.ino = ?"

static int start_locked(struct txn *t, struct sqlstmt **st,
                        const struct key *k)
{
	return sql_start(t, st, "SELECT " NAMES_COLS LOCKED_AT "{update}",
	                 "ttttt", k->space, k->file, k->space, k->dir, k->name);
}

int sql_ahead_locked(struct txn *t, const char *dir, const char *name)
{
	struct key k KEY = { .depth = 0 };
	int err = sql_key(dir, name, &k);

	return err ? err : start_locked(t, NULL, &k);
}

static int start_at_path(struct txn *t, struct sqlstmt **st,
                         const struct key *k, uint64_t ino)
{
	if (sql_kind_reads(t->kind))
		return sql_start(t, st, "SELECT " NAMES_COLS AT_PATH, "ttttti",
		                 k->space, k->file, k->space, k->dir, k->name,
		                 (int64_t)ino);
	return sql_start(t, st, "SELECT " NAMES_COLS ", EXISTS (SELECT 1 FROM"
	                 " {space} s WHERE {eq s.space_key} AND " SPACE_LIVE("s.")
	                 ")" AT_PATH "{update}", "tttttti", k->space, k->space,
	                 k->file, k->space, k->dir, k->name, (int64_t)ino);
}

int sql_ahead_ref(struct txn *t, const struct fsp_ref *ref)
{
	struct key k KEY = { .depth = 0 };
	int err;

	if (!ref->path || !*ref->path)
		return 0;
	err = sql_key_of_path(ref->path, &k);
	if (err)
		return err == -ENOMEM ? err : 0;
	return start_at_path(t, NULL, &k, ref->ino);
}

/* Likewise the one at its path; 0 where that does not tell. A reader locks
 * nothing. */
static int read_name_at(struct txn *t, const struct fsp_ref *ref,
                        struct ents *l)
{
	struct sqlstmt *s SQL_STMT = NULL;
	struct key k KEY = { .depth = 0 };
	int err = sql_key_of_path(ref->path, &k);

	if (err)
		return err == -ENOMEM ? err : 0;
	err = start_at_path(t, &s, &k, ref->ino);
	if (!err)
		err = read_locked(s, !sql_kind_reads(t->kind), l);
	if (err == 1 && l->n == 1 && !sql_is_dead(&l->v[0]))
		return 1;
	sql_ents_free(l);
	return err < 0 ? err : 0;
}

/* Where it is the only one. */
static int lock_name_at(struct txn *t, const struct fsp_ref *ref,
                        struct ents *l)
{
	int err = read_name_at(t, ref, l);

	if (err != 1 || l->v[0].node.nlink == 1)
		return err;
	sql_ents_free(l);
	return 0;
}

static int read_names_of(struct txn *t, uint64_t ino, struct ents *l)
{
	/* A writer saves the node that it read: nobody else may touch it. */
	static const char plain[] = NAMES_OF, locked[] = NAMES_OF "{update}";
	struct sqlstmt *s SQL_STMT = NULL;
	int err = sql_kind_reads(t->kind) ? 0 : lock_names(t, ino, l);

	if (err)
		return err < 0 ? err : 0;
	err = sql_start(t, &s, sql_kind_reads(t->kind) ? plain : locked, "i",
	                (int64_t)ino);
	return err ? err : sql_read_names(s, l);
}

int sql_names_of(struct txn *t, uint64_t ino, struct ents *l)
{
	int64_t last = 0;
	size_t kept = 0;
	int err = read_names_of(t, ino, l);

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

int sql_names_of_ref(struct txn *t, const struct fsp_ref *ref, struct ents *l)
{
	int err = ref->path && *ref->path ? lock_name_at(t, ref, l) : 0;

	return err ? err < 0 ? err : 0 : sql_names_of(t, ref->ino, l);
}

/* The names of a number, for a reader: 0, perhaps without any. */
static int some_name_of(struct txn *t, const struct fsp_ref *ref,
                        struct ents *l)
{
	int err;

	if (!ref->path || !*ref->path || t->kind != SQL_ONE ||
	    t->claims->ask > ASK_FREE)
		return sql_names_of(t, ref->ino, l);
	err = lock_name_at(t, ref, l);
	if (err)
		return err < 0 ? err : 0;
	/* What is asked next is another try. */
	t->claims->ask = ASK_QUICK;
	return SQL_AGAIN;
}

/* The first of them, out of the list. */
static void take_first(struct ents *l, struct ent *e)
{
	*e = l->v[0];
	l->v[0] = (struct ent){ .how = BY_NAME };
}

int sql_find_locked(struct txn *t, const char *dir, const char *name,
                    struct ent *e)
{
	struct sqlstmt *s SQL_STMT = NULL;
	struct ents names ENTS = { .n = 0 };
	struct key k KEY = { .depth = 0 };
	int err = sql_key(dir, name, &k);

	if (!err)
		err = start_locked(t, &s, &k);
	if (!err)
		err = read_locked(s, false, &names);
	if (err != 1 || names.n != 1 || sql_is_dir(&names.v[0]) ||
	    sql_is_dead(&names.v[0]))
		return err < 0 ? err : 0;
	take_first(&names, e);
	/* Other names are stronger than rows. */
	e->has_row = e->has_row && sql_is_file(e);
	return 1;
}

int sql_resolve_at(struct txn *t, const struct fsp_ref *ref, struct ent *e)
{
	struct ents names ENTS = { .n = 0 };
	int err = 0;

	/* What PHP made has no name, most often. */
	if (ref->ino < FSP_INO_ROW && t->claims->ask == ASK_FREE) {
		err = read_name_at(t, ref, &names);
		if (err == 1) {
			take_first(&names, e);
			return 0;
		}
		/* What is asked next is another try. */
		t->claims->ask = ASK_QUICK;
		return err ? err : SQL_AGAIN;
	}
	err = sql_find_path(t, ref->path, e);
	if (err == -ENOENT || err == -ENOTDIR || (!err && e->ino != ref->ino))
		return -ESTALE;
	return err;
}

int sql_resolve(struct txn *t, const struct fsp_ref *ref, struct ent *e)
{
	struct ents names ENTS = { .n = 0 };
	int err;

	*e = (struct ent){ .how = BY_NAME };
	if (ref->ino == FSP_INO_ROOT)
		return sql_find_path(t, "", e);
	/* What PHP made has no name, most often. */
	if (ref->ino >= FSP_INO_ROW && ref->path && *ref->path) {
		err = sql_find_path(t, ref->path, e);
		if (!err && e->ino == ref->ino)
			return 0;
		if (err && err != -ENOENT)
			return err;
		sql_ent_free(e);
	}
	*e = (struct ent){ .how = BY_NAME };
	err = some_name_of(t, ref, &names);
	if (err)
		return err;
	if (names.n) {
		take_first(&names, e);
		return 0;
	}
	if (!ref->path || !*ref->path)
		return -ESTALE;
	err = sql_find_path(t, ref->path, e);
	if (err == -ENOENT || (!err && e->ino != ref->ino))
		return -ESTALE;
	return err;
}
