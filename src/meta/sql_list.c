/*
 * The entries of a directory. They come in one statement, if there is not too
 * much that only PHP knows, nor above a record too many of those; else in
 * several, skipping what is deep.
 */
#include <errno.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "sql_meta.h"

#define ROWS_AT_ONCE 1000
#define FAR_AT_ONCE 256         /* below spaces that are below */

/* A name is stronger than what rows say, but for a file over a directory. */
static int merge_name(void *set, const struct ent *e)
{
	struct item *it;
	bool fresh;

	if (!e || sql_is_dead(e))
		return 0;
	it = sql_set_get(set, e->key.name, &fresh);
	if (!it)
		return -ENOMEM;
	if (it->implicit && sql_is_file(e) && e->has_row)
		return 0;
	it->implicit = false;
	sql_fill(e, &it->e);
	return 0;
}

static int collect_names(struct txn *t, const struct tree *tree,
                         struct set *set)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int err = sql_start_names(t, &s, tree);

	return err ? err : sql_each_name(s, merge_name, set);
}

/*
 * Numbers that directories without a name cannot have: such a directory has got
 * one once, with a name at that place, which is kept.
 */
struct taken {
	uint64_t *v;
	size_t n, cap;
};

static void taken_free(struct taken *l)
{
	free(l->v);
}
#define TAKEN __attribute__((cleanup(taken_free)))

static int taken_add(struct taken *l, uint64_t ino)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 16;
		uint64_t *v = realloc(l->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = ino;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int number_dirs(const char *dir, struct taken *l, struct set *set)
{
	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), by_number);
	for (size_t i = 0; i < set->n; i++) {
		uint64_t *ino = &set->v[i].e.attr.ino, round = 0;
		FSP_FREE char *path = NULL;

		if (!set->v[i].implicit)
			continue;
		path = fsp_path_join(dir, set->v[i].name);
		if (!path)
			return -ENOMEM;
		do
			*ino = sql_path_ino(path, round++);
		while (l->n && bsearch(ino, l->v, l->n, sizeof(*l->v),
		                       by_number));
	}
	return 0;
}

#define TAKEN_FROM \
	" FROM {name} n WHERE n.space_key = ? AND n.dir_key = ?" \
	" AND n.ino >= 4611686018427387904"

int sql_number_dirs(struct txn *t, const struct tree *tree, bool ended,
                    struct set *set)
{
	static const char all[] = "SELECT n.ino" TAKEN_FROM;
	static const char closed[] = "SELECT n.ino" TAKEN_FROM
		" AND n.live IS NULL";
	struct sqlstmt *s SQL_STMT = NULL;
	struct taken l TAKEN = { .n = 0 };
	bool any = false;
	int err;

	for (size_t i = 0; i < set->n && !any; i++)
		any = set->v[i].implicit;
	if (!any)
		return 0;
	err = sql_start(t, &s, ended ? closed : all, "tt", tree->k.space,
	                tree->k.dir);
	while (!err && (err = sql_next(s)) == 1)
		err = taken_add(&l, (uint64_t)sql_int_or(s, 0, 0));
	return err ? err : number_dirs(tree->path, &l, set);
}

int sql_list_live(struct txn *t, const char *dir, struct set *set)
{
	struct tree tree TREE = { .depth = 0 };
	struct ent e ENT = { .how = BY_NAME };
	int err = sql_tree(dir, &tree);

	if (!err)
		err = sql_collect(t, &tree, ROWS_PHP, NO_TIME, NULL, set);
	if (!err)
		err = collect_names(t, &tree, set);
	if (!err)
		err = sql_number_dirs(t, &tree, true, set);
	/* Without entries it may be an empty directory, or none. */
	if (!err && set->n == 0)
		err = sql_find_dir(t, dir, &e);
	return err;
}

/* The columns of NAMES_SQL, which kind of row it is, and the one in `head`. */
enum {
	KIND_ROW = 1, KIND_NAME, KIND_TAKEN, KIND_SELF, KIND_SPACE, KIND_FAR
};
enum {
	COL_INO = 1, COL_MODE = 4, COL_ROW = 4 + NODE_N, COL_SPACE = 27,
	COL_KEY, COL_KIND = 30
};
_Static_assert(NAMES_N == COL_KIND, "the columns of a name");

#define NULL5 "NULL, NULL, NULL, NULL, NULL, "
#define NULL8 NULL5 "NULL, NULL, NULL, "
#define NO_ROW NULL5 NULL5 "NULL, NULL, NULL, NULL, "
/* A name's own row, by its number. Where PHP has written over it, its row comes
 * with the others: php_over(). */
#define AT_ONCE(oldest, php) \
	"{part}SELECT NULL, " oldest ", NULL, NULL, NULL, " NULL8 ROW_COLS \
	", f.space_key, f.file_key, NULL, 1 FROM {file} f WHERE" \
	" {eq f.space_key} AND {from f.file_key} AND {below f.file_key}" php \
	" ORDER BY {head f.file_key} LIMIT ?)" \
	" UNION ALL SELECT " NAMES_COLS ", 2 FROM {name} n" \
	" JOIN {node} d ON d.ino = n.ino LEFT JOIN {file} f" \
	" ON f.id = n.file_id AND {eq f.space_key n.space_key} AND" \
	" f.file_key = " NAME_KEY("n.") " AND " LIVE("f.") \
	" WHERE n.space_key = ? AND n.dir_key = ? AND n.live = 1" \
	" UNION ALL SELECT NULL, n.ino, NULL, NULL, NULL, " NULL8 NO_ROW \
	"NULL, NULL, NULL, 3" TAKEN_FROM " AND n.live IS NULL"
#define SELF \
	"SELECT NULL, NULL, NULL, NULL, d.mode, " NULL8 NO_ROW \
	"NULL, NULL, NULL, 4 FROM {name} n JOIN {node} d ON d.ino = n.ino" \
	" WHERE " AT_PLACE " UNION ALL "

/* Above a record: the spaces below, and what PHP has in them. Without a table
 * of its own between, the server would sort all of them. */
#define SPACES_AT_ONCE \
	"SELECT NULL, s.created_at, NULL, NULL, NULL, " NULL8 NO_ROW \
	"s.space_key, NULL, NULL, 5 FROM (SELECT s.space_key, s.created_at" \
	" FROM {space} s WHERE s.space_key >= ? AND s.space_key < ? AND " \
	LIVE("s.") " ORDER BY s.space_key LIMIT ?) s UNION ALL " \
	"SELECT NULL, NULL, NULL, NULL, NULL, " NULL8 ROW_COLS \
	", f.space_key, f.file_key, NULL, 6 FROM (SELECT f.space_key," \
	" f.file_key, " ROW_COLS " FROM {file} f WHERE f.space_key >= ? AND" \
	" f.space_key < ? AND " PHP_LIVE("f.") \
	" ORDER BY f.space_key, {head f.file_key} LIMIT ?) f UNION ALL "

struct at_once {
	struct collect c;
	struct taken taken;
	int64_t rows, far, spaces;
	bool names, is_dir;
};

/* What has to be read in another order, or further, is read in several. */
static int on_row(struct at_once *a, struct sqlstmt *s)
{
	FSP_FREE char *seek = NULL;

	if (a->names || ++a->rows == ROWS_AT_ONCE)
		return SQL_AGAIN;
	return sql_collect_row(&a->c, s, &seek);
}

/* What PHP has with the key of a name, where that is greater, is its file. */
static void php_over(const struct item *it, struct ent *e)
{
	const struct fsp_content *c = &it->e.content;

	if (e->has_row && !sql_beats(it->rank, it->id, e->row.created_at,
	                             e->row.id))
		return;
	e->has_row = true;
	e->row = (struct row){
		.id = it->id, .size = c->size, .created_at = it->rank,
		.live = true, .mtime_ns = it->e.attr.mtime_ns,
		.stored_us = it->e.attr.ctime_ns / 1000,
	};
	memcpy(e->row.hash, c->hash, sizeof(e->row.hash));
	sql_written_over(e);
}

static int on_name(struct at_once *a, struct sqlstmt *s)
{
	const struct item *php;
	struct ent e ENT = { .how = BY_NAME };
	int err = a->names ? 0 : sql_collect_end(&a->c);

	a->names = true;
	if (!err)
		err = sql_read_ent(s, &e);
	if (err == -EIO)
		return 0;               /* logged */
	php = err ? NULL : sql_set_find(a->c.set, e.key.name);
	if (php && php->file && sql_is_file(&e))
		php_over(php, &e);
	return err ? err : merge_name(a->c.set, &e);
}

static int on_space(struct at_once *a, struct sqlstmt *s)
{
	FSP_FREE char *seek = NULL;

	return ++a->spaces == ROWS_AT_ONCE ? SQL_AGAIN :
		sql_collect_space(&a->c, s, &seek);
}

static int on_far(struct at_once *a, struct sqlstmt *s)
{
	FSP_FREE char *seek = NULL;

	return ++a->far == FAR_AT_ONCE ? SQL_AGAIN :
		sql_collect_far(&a->c, s, &seek);
}

static int on_any(struct at_once *a, struct sqlstmt *s)
{
	switch (sql_int_or(s, COL_KIND, 0)) {
	case KIND_ROW:
		return on_row(a, s);
	case KIND_SPACE:
		return on_space(a, s);
	case KIND_FAR:
		return on_far(a, s);
	case KIND_NAME:
		return on_name(a, s);
	case KIND_TAKEN:
		return taken_add(&a->taken,
		                 (uint64_t)sql_int_or(s, COL_INO, 0));
	case KIND_SELF:
		a->is_dir = S_ISDIR((mode_t)sql_int_or(s, COL_MODE, 0));
		return 0;
	default:
		return -EIO;
	}
}

#define FULL_AT_ONCE AT_ONCE(OLDEST_ID, " AND " PHP_LIVE("f."))

static const char in_record[] = SELF FULL_AT_ONCE;
static const char in_legacy_record[] = SELF AT_ONCE("f.id", "");
static const char above_record[] = SELF SPACES_AT_ONCE FULL_AT_ONCE;

const char *const *sql_list_warm(bool legacy)
{
	static const char *const full[] = { in_record, above_record, NULL };
	static const char *const old[] = { in_legacy_record, NULL };

	return legacy ? old : full;
}

static int start_in_record(struct txn *t, const struct tree *tree,
                           const struct key *self, struct sqlstmt **s)
{
	const char *space = tree->k.space, *dir = tree->k.dir;

	return sql_start(t, s,
	                 t->m->drv->legacy ? in_legacy_record : in_record,
	                 "ttttttitttt", self->space, self->dir, self->name,
	                 space, tree->lo, tree->hi, (int64_t)ROWS_AT_ONCE,
	                 space, dir, space, dir);
}

static int start_above(struct txn *t, const struct tree *tree,
                       const struct key *self, struct sqlstmt **s)
{
	const char *space = tree->k.space, *dir = tree->k.dir;
	struct tree all TREE = { .depth = 0 };
	int err = sql_tree("", &all);

	return err ? err : sql_start(t, s, above_record, "tttttittitttitttt",
	                             self->space, self->dir, self->name,
	                             tree->lo, tree->hi, (int64_t)ROWS_AT_ONCE,
	                             tree->lo, tree->hi, (int64_t)FAR_AT_ONCE,
	                             space, all.lo, all.hi,
	                             (int64_t)ROWS_AT_ONCE, space, dir, space,
	                             dir);
}

static int read_at_once(struct txn *t, const struct tree *tree,
                        const struct key *self, struct at_once *a)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int err = sql_tree_spaces(tree) ? start_above(t, tree, self, &s) :
		start_in_record(t, tree, self, &s);

	while (!err && (err = sql_next(s)) == 1)
		err = on_any(a, s);
	return err ? err : sql_collect_end(&a->c);
}

static int list_at_once(struct txn *t, const char *dir, struct set *set)
{
	struct tree tree TREE = { .depth = 0 };
	struct key self KEY = { .depth = 0 };
	struct at_once a = {
		.c = {
			.t = t, .tree = &tree, .which = ROWS_PHP, .set = set,
			.cols = { COL_SPACE, COL_KEY, COL_INO, COL_ROW }
		}
	};
	int err = sql_tree(dir, &tree);

	a.is_dir = !*dir;
	if (!err && *dir)
		err = sql_key_of_path(dir, &self);
	if (!err)
		err = read_at_once(t, &tree, &self, &a);
	if (!err)
		err = number_dirs(dir, &a.taken, set);
	free(a.c.file);
	taken_free(&a.taken);
	/* Without entries or a name of its own it may be there all the same. */
	return err || set->n || a.is_dir ? err : SQL_AGAIN;
}

struct list_args {
	const char *dir;
	struct set *set;
};

static int list_txn(struct txn *t, void *arg)
{
	struct list_args *a = arg;

	sql_set_free(a->set);
	return t->kind == SQL_ONE ? list_at_once(t, a->dir, a->set) :
		sql_list_live(t, a->dir, a->set);
}

/* PHP's own tables have no index that tells its rows from ours. */
static bool is_at_once(const struct fsp_meta *m, const char *path)
{
	int depth = 1;

	for (; *path && depth < FSP_RECORD_DEPTH; path++)
		depth += *path == '/';
	return depth == FSP_RECORD_DEPTH ||
		!((const struct sql_meta *)m)->drv->legacy;
}

int sql_list(struct fsp_meta *m, const struct fsp_ctx *ctx, const char *dir,
             fsp_meta_each each, void *arg)
{
	struct set set SET = { .n = 0 };
	struct list_args a = { dir, &set };
	/* Never from a replica that is late: it may be kept until a change is
	 * heard of, and this one was already. */
	int err = sql_txn(m, ctx, is_at_once(m, dir) ? SQL_ONE : SQL_READ,
	                  list_txn, &a);

	return err ? err : sql_set_each(&set, each, arg);
}
