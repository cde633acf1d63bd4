/*
 * What is at a place, told with less work for the server than sql_entry.c needs
 * for what PHP may have written: nearly always there is a name with its row, or
 * nothing.
 */
#include <errno.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "sql_meta.h"

/* From the kernel's look-up to the call that it was for. */
#define FREE_NS (FSP_NS_PER_SEC / 100)

/* What makes a directory without a name: rows below it. */
#define SPACES_IN(where) \
	"EXISTS (SELECT 1 FROM {space} q WHERE " where " AND " SPACE_LIVE("q.") ")"
#define IN_RECORD \
	"EXISTS (SELECT 1 FROM {file} b{by_php} WHERE " BELOW " AND " \
	PHP_LIVE("b.") ")"
#define OF_RECORD \
	FILES_IN("{eq b.space_key}") " OR " SPACES_IN("{eq q.space_key}")
#define ABOVE_RECORD \
	FILES_IN("{eq b.space_key}") " OR " \
	FILES_IN("b.space_key >= ? AND b.space_key < ?") " OR " \
	SPACES_IN("{eq q.space_key}") " OR " \
	SPACES_IN("q.space_key >= ? AND q.space_key < ?")

/* ---- nothing at all */

#define NAMED \
	" OR EXISTS (SELECT 1 FROM {name} n WHERE " AT_PLACE ")"
#define A_ROW \
	"EXISTS (SELECT 1 FROM {file} y{by_key} WHERE" \
	" {eq y.space_key} AND {eq y.file_key} AND (y.ino IS NULL OR " \
	LIVE("y.") ")) OR "

/* From the key itself to what would be below it: a version that has ended, or
 * NAME.bak, is something as well. */
static const char free_in_record[] = "SELECT EXISTS (SELECT 1 FROM {file} b"
	"{by_scan} WHERE " BELOW ")" NAMED;
static const char free_record[] = "SELECT " A_ROW OF_RECORD NAMED;
static const char free_above[] = "SELECT " A_ROW ABOVE_RECORD NAMED;

/* A statement for a record or above: the row of the key, what is below, and the
 * name. */
static int start_above(struct txn *t, struct sqlstmt **st, const struct key *k,
                       const struct tree *b, const char *record,
                       const char *above)
{
	const char *s = k->space, *f = k->file;

	if (k->depth == FSP_RECORD_DEPTH)
		return sql_start(t, st, record, "ttttttt", s, f, b->k.space,
		                 b->k.space, s, k->dir, k->name);
	return sql_start(t, st, above, "ttttttttttt", s, f, b->k.space, b->lo,
	                 b->hi, b->k.space, b->lo, b->hi, s, k->dir, k->name);
}

static int start_free(struct txn *t, struct sqlstmt **st, const struct key *k)
{
	struct tree b TREE = { .depth = 0 };
	int err = sql_tree(k->path, &b);

	if (err)
		return err;
	if (k->depth > FSP_RECORD_DEPTH)
		return sql_start(t, st, free_in_record, "tttttt", b.k.space,
		                 k->file, b.hi, k->space, k->dir, k->name);
	return start_above(t, st, k, &b, free_record, free_above);
}

static int ask_free(struct txn *t, const struct key *k, int64_t *found)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int err = start_free(t, &s, k);

	if (!err)
		err = sql_next(s);
	if (err != 1)
		return err ? err : -EIO;
	*found = sql_int_or(s, 0, 1);
	return 0;
}

/* Nothing, or 1. In a call of one statement the next one is another try. */
static int ask_further(struct txn *t, enum ask next)
{
	if (t->kind != SQL_ONE)
		return 1;
	t->claims->ask = next;
	return SQL_AGAIN;
}

static struct sql_free *free_slot(struct sql_meta *m, const char *path)
{
	return &m->free[fsp_hash64(path, strlen(path), 0) % SQL_FREE];
}

static void note_free(struct sql_meta *m, const char *path)
{
	struct sql_free *f = free_slot(m, path);
	char *copy = strdup(path);

	FSP_GUARD(&m->lock);
	free(f->path);
	f->path = copy;                 /* NULL: then it is asked again */
	f->until_ns = fsp_mono_ns() + FREE_NS;
}

bool sql_was_free(struct txn *t, const char *path)
{
	struct sql_free *f = free_slot(t->m, path);
	bool was;

	FSP_GUARD(&t->m->lock);
	if (!f->path || strcmp(f->path, path) != 0)
		return false;
	was = fsp_mono_ns() < f->until_ns;
	free(f->path);
	f->path = NULL;
	return was;
}

void sql_free_end(struct sql_meta *m)
{
	for (int i = 0; i < SQL_FREE; i++)
		free(m->free[i].path);
}

int sql_find_free(struct txn *t, struct ent *e)
{
	int64_t found;
	int err;

	if (t->m->drv->legacy || t->claims->ask > ASK_FREE)
		return 1;
	err = ask_free(t, &e->key, &found);
	if (!err && !found && t->kind == SQL_ONE)
		note_free(t->m, e->key.path);
	if (err || !found)
		return err ? err : -ENOENT;
	return ask_further(t, ASK_QUICK);
}

/* ---- a name with its row, or nothing */

/* The last column: rows that the name does not say. */
#define QUICK_HEAD \
	"SELECT n.id, n.ino, n.file_id, n.owner, " NODE_COLS ", " ROW_COLS \
	", (EXISTS (SELECT 1 FROM {file} y{by_key} WHERE {eq y.space_key}" \
	" AND {eq y.file_key} AND (y.ino IS NULL OR " LIVE("y.") ")" \
	" AND y.id <> COALESCE(n.file_id, 0)) OR "
#define QUICK_TAIL \
	") FROM (SELECT 1 AS one) o" \
	" LEFT JOIN {name} n ON " AT_PLACE \
	" LEFT JOIN {node} d ON d.ino = n.ino" \
	" LEFT JOIN {file} f ON f.id = n.file_id AND " LIVE("f.")
#define UNSURE_NEXT 100

static const char quick_in_record[] = QUICK_HEAD IN_RECORD QUICK_TAIL;
static const char quick_record[] = QUICK_HEAD OF_RECORD QUICK_TAIL;
static const char quick_above[] = QUICK_HEAD ABOVE_RECORD QUICK_TAIL;

static int start_quick(struct txn *t, struct sqlstmt **st, const struct key *k)
{
	struct tree b TREE = { .depth = 0 };
	int err = sql_tree(k->path, &b);

	if (err)
		return err;
	if (k->depth > FSP_RECORD_DEPTH)
		return sql_start(t, st, quick_in_record, "tttttttt", k->space,
		                 k->file, b.k.space, b.lo, b.hi, k->space,
		                 k->dir, k->name);
	return start_above(t, st, k, &b, quick_record, quick_above);
}

/* 1: it cannot say. */
static int find_quick(struct txn *t, struct ent *e)
{
	struct sqlstmt *s SQL_STMT = NULL;
	bool unsure;
	int err = start_quick(t, &s, &e->key);

	if (!err)
		err = sql_next(s);
	if (err != 1)
		return err ? err : -EIO;
	err = sql_read_found(s, e);
	if (err || (e->name_id && !sql_is_file(e)))
		return err;
	unsure = sql_int_or(s, FOUND_N, 1) != 0;
	if (unsure || (e->name_id && sql_is_dead(e)))
		return 1;
	return e->name_id ? 0 : -ENOENT;
}

/*
 * Where PHP writes it seldom can, and would only be one trip more: then it is
 * left out for a while.
 */
bool sql_quick_is_worth(const struct txn *t, atomic_uint *unsure)
{
	unsigned left;

	if (t->m->drv->legacy || t->claims->ask > ASK_QUICK)
		return false;
	left = atomic_load(unsure);
	while (left && !atomic_compare_exchange_weak(unsure, &left, left - 1))
		;
	return !left;
}

int sql_quick_failed(struct txn *t, atomic_uint *unsure)
{
	atomic_store(unsure, UNSURE_NEXT);
	return ask_further(t, ASK_ALL);
}

int sql_find_quick(struct txn *t, struct ent *e)
{
	struct key k;
	int err;

	if (!sql_quick_is_worth(t, &t->m->unsure))
		return 1;
	err = find_quick(t, e);
	if (err != 1)
		return err;
	k = e->key;
	e->key = (struct key){ .depth = 0 };
	sql_ent_free(e);
	*e = (struct ent){ .how = BY_ROW, .key = k };
	return sql_quick_failed(t, &t->m->unsure);
}

/* ---- a directory */

static int start_named(struct txn *t, struct sqlstmt **st, const struct key *k)
{
	return sql_start(t, st, "SELECT n.id, n.ino, n.file_id, n.owner, "
	                 NODE_COLS ", NULL FROM {name} n"
	                 " JOIN {node} d ON d.ino = n.ino WHERE " AT_PLACE,
	                 "ttt", k->space, k->dir, k->name);
}

int sql_named_dir(struct txn *t, const char *path, struct ent *e)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int err = sql_key_of_path(path, &e->key);

	if (!err)
		err = start_named(t, &s, &e->key);
	if (!err)
		err = sql_next(s);
	if (err != 1)
		return err;
	err = sql_read_found(s, e);
	return err ? err : sql_is_dir(e);
}

static int start_of_ino(struct txn *t, struct sqlstmt **st, uint64_t ino)
{
	return sql_start(t, st, "SELECT n.id, n.ino, n.file_id, n.owner, "
	                 NODE_COLS ", NULL, n.space_key, n.dir_key, n.name"
	                 " FROM {name} n JOIN {node} d ON d.ino = n.ino"
	                 " WHERE n.ino = ? AND n.live = 1", "i", (int64_t)ino);
}

int sql_dir_of_ino(struct txn *t, uint64_t ino, struct ent *e)
{
	enum { SPACE = 4 + NODE_N + 1, DIR, NAME };
	struct sqlstmt *s SQL_STMT = NULL;
	const char *space, *dir, *name;
	FSP_FREE char *file = NULL;
	int err = start_of_ino(t, &s, ino);

	if (!err)
		err = sql_next(s);
	if (err != 1)
		return err;
	err = sql_read_found(s, e);
	if (err || !sql_is_dir(e))
		return err;
	space = sql_str(s, SPACE);
	dir = sql_str(s, DIR);
	name = sql_str(s, NAME);
	if (!space || !dir || !name)
		return -EIO;
	file = fsp_path_join(dir, name);
	err = file ? sql_key_of_row(space, file, &e->key) : -ENOMEM;
	return err ? err == -EINVAL ? -EIO : err : 1;
}

int sql_ahead_dir_of_ino(struct txn *t, uint64_t ino)
{
	return start_of_ino(t, NULL, ino);
}

/* ---- ahead: what the functions above will ask, by what they know so far */

int sql_ahead_dir(struct txn *t, const char *path)
{
	struct key k KEY = { .depth = 0 };
	int err;

	if (!*path)
		return sql_ahead_root(t);
	err = sql_key_of_path(path, &k);
	return err ? err : start_named(t, NULL, &k);
}

int sql_ahead_place(struct txn *t, const char *dir, const char *name,
                    bool is_new)
{
	struct key k KEY = { .depth = 0 };
	int err = sql_key(dir, name, &k);

	if (err || t->m->drv->legacy)
		return err;
	if (is_new && t->claims->ask == ASK_FREE)
		return start_free(t, NULL, &k);
	if (t->claims->ask > ASK_QUICK || atomic_load(&t->m->unsure))
		return 0;
	return start_quick(t, NULL, &k);
}
