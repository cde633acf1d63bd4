/*
 * The entries of a directory in one statement, and those of several records in
 * one: what it costs a server is mostly to make up its mind, not the rows.
 */
#include <errno.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "sql_list.h"

#define ROWS_AT_ONCE 1000
#define FAR_AT_ONCE 256         /* below spaces that are below */

enum {
	KIND_ROW = 1, KIND_NAME, KIND_TAKEN, KIND_SELF, KIND_SPACE, KIND_FAR
};
/* PHP's rows have theirs where names have the node's. */
enum {
	COL_OLDEST = LIST_INO, COL_SPACE = LIST_MORE, COL_KIND
};
#define ROW_OF_PHP { \
	LIST_ROW, LIST_ROW + 1, LIST_ROW + 2, LIST_CREATED, LIST_NODE + 3, \
	LIST_NODE + 4, LIST_NODE, LIST_NODE + 1, LIST_NODE + 2, \
	LIST_NODE + 7, LIST_NODE + 8, LIST_NODE + 6, -1, -1 }

#define NODE_OF_PHP \
	"f.mode, f.uid, f.gid, f.deleted_at, f.ino, NULL, f.since_us," \
	" f.mtime_ns, f.stored_at, "
#define NULL4 "NULL, NULL, NULL, NULL, "
#define NULL8 NULL4 NULL4
#define PHP_ROWS(oldest, where, order) \
	"{part}SELECT " oldest ", " NODE_OF_PHP LIST_CONTENT "NULL," \
	" f.file_key, f.space_key, 1 FROM {file} f WHERE " where \
	" ORDER BY " order "{head f.file_key} LIMIT ?)"
/* Where PHP has written over a name's own row, its row comes with the others:
 * php_over(). */
#define NAMED(space, where) \
	" UNION ALL {part}SELECT " LIST_COLS ", " space ", 2 FROM {name} n" \
	" JOIN {node} d ON d.ino = n.ino LEFT JOIN " LIST_OWN_ROW \
	" WHERE " where " AND n.live = 1 LIMIT ?)"
#define TAKEN_NUMBERS(where) \
	"SELECT n.ino, " NULL8 NULL4 "NULL, NULL, NULL, n.space_key, 3" \
	" FROM {name} n WHERE " where " AND " IS_DIR_NUMBER \
	" AND n.live IS NULL"
#define AT_ONCE(oldest, php) \
	PHP_ROWS(oldest, "{eq f.space_key} AND {from f.file_key} AND" \
	         " {below f.file_key}" php, "") NAMED("NULL", IN_DIR) \
	" UNION ALL " TAKEN_NUMBERS(IN_DIR)
#define SELF \
	"SELECT NULL, d.mode, " NULL8 NULL4 "NULL, NULL, NULL, 4" \
	" FROM {name} n JOIN {node} d ON d.ino = n.ino WHERE " AT_PLACE \
	" UNION ALL "

/* Above a record: the spaces below, and what PHP has in them. Without a table
 * of its own between, the server would sort all of them. */
#define SPACES_AT_ONCE \
	"SELECT s.created_at, " NULL8 NULL4 "NULL, NULL, NULL, s.space_key," \
	" 5 FROM (SELECT s.space_key, s.created_at" \
	" FROM {space} s WHERE s.space_key >= ? AND s.space_key < ? AND " \
	SPACE_LIVE("s.") " ORDER BY s.space_key LIMIT ?) s UNION ALL " \
	"SELECT NULL, " NODE_OF_PHP LIST_CONTENT "NULL, f.file_key," \
	" f.space_key, 6 FROM (SELECT " NODE_OF_PHP LIST_CONTENT \
	"f.file_key, f.space_key FROM {file} f{by_php} WHERE" \
	" f.space_key >= ? AND f.space_key < ? AND " PHP_LIVE("f.") \
	" ORDER BY f.space_key, {head f.file_key} LIMIT ?) f UNION ALL "

struct at_once {
	struct collect c;
	struct taken taken;
	int64_t rows, far, spaces;
	size_t n_names;                 /* those that are not shown, too */
	bool names, is_dir;
};

static void at_once_begin(struct at_once *a, struct txn *t,
                          const struct tree *tree, struct set *set)
{
	*a = (struct at_once){
		.c = {
			.t = t, .tree = tree, .which = ROWS_PHP, .set = set,
			.cols = { COL_SPACE, LIST_NAME, COL_OLDEST, ROW_OF_PHP }
		}
	};
}

static void at_once_end(struct at_once *a)
{
	free(a->c.file);
	taken_free(&a->taken);
}

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
	struct ent e = { .how = BY_NAME };
	const struct item *php;
	const char *name;
	int err = a->names ? 0 : sql_collect_end(&a->c);

	a->names = true;
	if (!err && !sql_set_room(a->c.set, a->n_names++))
		err = -ENOMEM;
	if (!err)
		err = sql_list_name(s, a->c.tree, &name, &e);
	if (err)
		return err == -EIO ? 0 : err;
	php = sql_set_find(a->c.set, name);
	if (php && php->file && sql_is_file(&e))
		php_over(php, &e);
	return sql_merge_name(a->c.set, name, &e);
}

static int on_space(struct at_once *a, struct sqlstmt *s)
{
	FSP_FREE char *seek = NULL;

	return a->names || ++a->spaces == ROWS_AT_ONCE ? SQL_AGAIN :
		sql_collect_space(&a->c, s, &seek);
}

static int on_far(struct at_once *a, struct sqlstmt *s)
{
	FSP_FREE char *seek = NULL;

	return a->names || ++a->far == FAR_AT_ONCE ? SQL_AGAIN :
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
		return sql_taken_add(&a->taken,
		                     (uint64_t)sql_int_or(s, LIST_INO, 0));
	case KIND_SELF:
		a->is_dir = S_ISDIR((mode_t)sql_int_or(s, LIST_NODE, 0));
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
	static const char *const full[] = {
		sql_list_quick_text, in_record, above_record, NULL
	};
	static const char *const old[] = { in_legacy_record, NULL };

	return legacy ? old : full;
}

static int start_in_record(struct txn *t, const struct tree *tree,
                           const struct key *self, int64_t most,
                           struct sqlstmt **s)
{
	const char *space = tree->k.space, *dir = tree->k.dir;

	return sql_start(t, s,
	                 t->m->drv->legacy ? in_legacy_record : in_record,
	                 "ttttttittitt", self->space, self->dir, self->name,
	                 space, tree->lo, tree->hi, (int64_t)ROWS_AT_ONCE,
	                 space, dir, most, space, dir);
}

static int start_above(struct txn *t, const struct tree *tree,
                       const struct key *self, int64_t most,
                       struct sqlstmt **s)
{
	const char *space = tree->k.space, *dir = tree->k.dir;
	struct tree all TREE = { .depth = 0 };
	int err = sql_tree("", &all);

	return err ? err : sql_start(t, s, above_record, "tttttittitttittitt",
	                             self->space, self->dir, self->name,
	                             tree->lo, tree->hi, (int64_t)ROWS_AT_ONCE,
	                             tree->lo, tree->hi, (int64_t)FAR_AT_ONCE,
	                             space, all.lo, all.hi,
	                             (int64_t)ROWS_AT_ONCE, space, dir, most,
	                             space, dir);
}

static int read_at_once(struct txn *t, const struct tree *tree,
                        const struct key *self, struct at_once *a)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int64_t most = names_most(a->c.set->most);
	int err = sql_tree_spaces(tree) ?
		start_above(t, tree, self, most, &s) :
		start_in_record(t, tree, self, most, &s);

	while (!err && (err = sql_next(s)) == 1)
		err = on_any(a, s);
	return err ? err : sql_collect_end(&a->c);
}

static int list_in_full(struct txn *t, const char *dir, const struct tree *tree,
                        const struct key *self, struct set *set)
{
	struct at_once a;
	int err;

	at_once_begin(&a, t, tree, set);
	a.is_dir = !*dir;
	err = read_at_once(t, tree, self, &a);
	if (!err)
		err = sql_number_by(dir, &a.taken, set);
	at_once_end(&a);
	/* Without entries or a name of its own it may be there all the same. */
	return err || set->n || a.is_dir ? err : SQL_AGAIN;
}

int sql_list_once(struct txn *t, const char *dir, struct set *set)
{
	struct tree tree TREE = { .depth = 0 };
	struct key self KEY = { .depth = 0 };
	int err = sql_tree(dir, &tree);

	if (!err && *dir)
		err = sql_key_of_path(dir, &self);
	if (err)
		return err;
	if (!sql_tree_spaces(&tree) && sql_quick_is_worth(t, &t->m->mixed))
		return sql_list_quick(t, &tree, &self, set);
	return list_in_full(t, dir, &tree, &self, set);
}

/* ---- several records */

#define OR_SPACE " OR {eq f.space_key}"
#define IN_SPACES "n.space_key IN (?, ?, ?, ?, ?, ?, ?, ?) AND n.dir_key = ''"
_Static_assert(FSP_LIST_MANY == 8, "the statement has so many of each");

static const char in_records[] =
	TAKEN_NUMBERS(IN_SPACES) " UNION ALL "
	PHP_ROWS(OLDEST_ID, "({eq f.space_key}" OR_SPACE OR_SPACE OR_SPACE
	         OR_SPACE OR_SPACE OR_SPACE OR_SPACE ") AND " PHP_LIVE("f."),
	         "f.space_key, ") NAMED("n.space_key", IN_SPACES);

struct record {
	struct tree tree;
	struct set set;
	struct at_once a;
};

struct many {
	size_t most;
	struct fsp_listing *l[FSP_LIST_MANY];
	size_t n;
	struct record r[FSP_LIST_MANY];
	const char *space[FSP_LIST_MANY];
};

static int begin_record(struct txn *t, struct record *r, const char *dir)
{
	at_once_begin(&r->a, t, &r->tree, &r->set);
	return sql_tree(dir, &r->tree);
}

static void end_record(struct record *r)
{
	at_once_end(&r->a);
	sql_set_free(&r->set);
	sql_tree_free(&r->tree);
	*r = (struct record){ .set = { .n = 0 } };
}

/* A row belongs to one of them, or, with the collation of PHP's table, to a
 * space whose name differs in case only. */
static int on_record(struct many *m, struct sqlstmt *s)
{
	const char *space = sql_str(s, COL_SPACE);

	for (size_t k = 0; space && k < m->n; k++) {
		struct record *r = &m->r[k];
		int err;

		if (strcmp(space, m->space[k]) != 0)
			continue;
		err = r->set.full ? 0 : on_any(&r->a, s);
		return r->set.full ? 0 : err;
	}
	return 0;
}

static int read_records(struct txn *t, struct many *m)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int64_t rows = 0;
	size_t names = 0;
	int err;

	/* Missing ones are the last one again. */
	for (size_t k = m->n; k < FSP_LIST_MANY; k++)
		m->space[k] = m->space[m->n - 1];
	err = sql_start(t, &s, in_records, "TTiTi", m->space, m->space,
	                (int64_t)ROWS_AT_ONCE, m->space,
	                names_most(m->most * m->n));
	while (!err && (err = sql_next(s)) == 1) {
		rows += sql_int_or(s, COL_KIND, 0) == KIND_ROW;
		names += sql_int_or(s, COL_KIND, 0) == KIND_NAME;
		err = rows == ROWS_AT_ONCE ? SQL_AGAIN : on_record(m, s);
	}
	/* Some are missing, of whichever. */
	if (!err && m->most && names > m->most * m->n)
		err = SQL_AGAIN;
	for (size_t k = 0; !err && k < m->n; k++)
		err = m->r[k].set.full ? 0 : sql_collect_end(&m->r[k].a.c);
	for (size_t k = 0; !err && k < m->n; k++)
		err = sql_number_by(m->l[k]->dir, &m->r[k].a.taken,
		                    &m->r[k].set);
	return err;
}

static int many_txn(struct txn *t, void *arg)
{
	struct many *m = arg;
	int err = 0;

	for (size_t k = 0; k < m->n; k++)
		end_record(&m->r[k]);
	/* There is too much in one of them. */
	if (t->kind != SQL_ONE)
		return 0;
	for (size_t k = 0; k < m->n && !err; k++) {
		m->r[k].set.most = m->most;
		err = begin_record(t, &m->r[k], m->l[k]->dir);
		m->space[k] = m->r[k].tree.k.space;
	}
	return err ? err : read_records(t, m);
}

int sql_list_many(struct fsp_meta *meta, const struct fsp_ctx *ctx,
                  struct fsp_listing *l, size_t n, size_t most)
{
	struct many m = { .most = most };
	bool legacy = ((const struct sql_meta *)meta)->drv->legacy;
	int err;

	for (size_t k = 0; k < n; k++) {
		l[k].done = false;
		if (m.n < FSP_LIST_MANY &&
		    sql_depth(l[k].dir) == FSP_RECORD_DEPTH)
			m.l[m.n++] = &l[k];
	}
	if (!m.n || legacy)
		return 0;
	err = sql_txn(meta, ctx, SQL_ONE, many_txn, &m);
	for (size_t k = 0; k < m.n; k++) {
		/* Without entries it may be empty, or none. */
		if (!err && m.r[k].set.n && !m.r[k].set.full) {
			err = sql_set_each(&m.r[k].set, m.l[k]->each,
			                   m.l[k]->arg);
			m.l[k]->done = !err;
		}
		end_record(&m.r[k]);
	}
	return err;
}
