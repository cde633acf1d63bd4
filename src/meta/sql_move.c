/*
 * Moving: an entry and everything below it is taken (adopted and listed),
 * detached (names ended, rows closed) and attached at another path.
 */
#include <errno.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "sql_meta.h"


#define TOGETHER 100            /* questions in one text */

void sql_move_free(struct move *mv)
{
	for (size_t i = 0; i < mv->n; i++) {
		free(mv->space[i].path);
		free(mv->space[i].name);
	}
	free(mv->space);
	free(mv->from);
	sql_ents_free(&mv->l);
}

/* No further than there is any need: what is more is too much. */
#define COUNT_NAMES(where) \
	"SELECT COUNT(*) FROM (SELECT n.id FROM {name} n WHERE n.live = 1 AND " \
	where " LIMIT ?) x"
#define COUNT_ROWS(where) \
	"SELECT COUNT(*) FROM (SELECT f.id FROM {file} f WHERE " where " AND " \
	PHP_LIVE("f.") " LIMIT ?) x"

/* n NULL: it is asked ahead. */
static int count_names(struct txn *t, const struct tree *tree, int64_t max,
                       int64_t *n)
{
	int64_t here = 0, below = 0;
	int err = sql_number(t, n ? &here : NULL, COUNT_NAMES("n.space_key = ?"
	                     " AND n.dir_key = ?"), "tti", tree->k.space,
	                     tree->k.dir, max);

	if (!err && sql_tree_spaces(tree))
		err = sql_number(t, n ? &below : NULL,
		                 COUNT_NAMES("n.space_key >= ? AND"
		                 " n.space_key < ?"), "tti", tree->lo, tree->hi,
		                 max);
	else if (!err)
		err = sql_number(t, n ? &below : NULL,
		                 COUNT_NAMES("n.space_key = ? AND"
		                 " n.dir_key >= ? AND n.dir_key < ?"), "ttti",
		                 tree->k.space, tree->lo, tree->hi, max);
	if (n)
		*n = here + below;
	return err;
}

static int count_rows(struct txn *t, const struct tree *tree, int64_t max,
                      int64_t *n)
{
	int64_t here = 0, below = 0;
	int err;

	if (!sql_tree_spaces(tree))
		return sql_number(t, n, COUNT_ROWS("{eq f.space_key} AND"
		                  " {from f.file_key} AND {below f.file_key}"),
		                  "ttti", tree->k.space, tree->lo, tree->hi,
		                  max);
	err = sql_number(t, n ? &here : NULL, COUNT_ROWS("{eq f.space_key}"),
	                 "ti", tree->k.space, max);
	if (!err)
		err = sql_number(t, n ? &below : NULL,
		                 COUNT_ROWS("f.space_key >= ? AND"
		                 " f.space_key < ?"), "tti", tree->lo, tree->hi,
		                 max);
	if (n)
		*n = here + below;
	return err;
}

int sql_count_below(struct txn *t, const char *path, int64_t max, int64_t *n)
{
	struct tree tree TREE = { .depth = 0 };
	int64_t names = 0, rows = 0;
	int err = sql_tree(path, &tree);

	if (!err)
		err = count_names(t, &tree, max, NULL);
	if (!err)
		err = count_rows(t, &tree, max, NULL);
	if (!err)
		err = count_names(t, &tree, max, &names);
	if (!err)
		err = count_rows(t, &tree, max, &rows);
	*n = names + rows;
	return err;
}

struct paths {
	char **v;
	size_t n, cap;
};

static void paths_free(struct paths *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->v[i]);
	free(p->v);
}

static int paths_add(struct paths *p, char *path)
{
	char **v = fsp_grow(p->v, p->n, &p->cap, sizeof(*v));

	if (!v) {
		free(path);
		return -ENOMEM;
	}
	p->v = v;
	p->v[p->n++] = path;
	return 0;
}

static int on_file(void *arg, struct sqlstmt *s, char **seek)
{
	const char *space = sql_str(s, 0), *key = sql_str(s, 1);
	char *path;
	int err;

	(void)seek;
	if (!space || !key)
		return 0;
	err = fsp_path_of_row(space, key, &path);
	if (err)
		return err == -EINVAL ? 0 : err;        /* hidden: stays */
	return paths_add(arg, path);
}

static int on_space(void *arg, struct sqlstmt *s, char **seek)
{
	const char *space = sql_str(s, 0);
	char *path;
	int err;

	(void)seek;
	if (!space)
		return 0;
	err = fsp_path_of_space(space, &path);
	if (err)
		return err == -EINVAL ? 0 : err;        /* hidden: stays */
	return paths_add(arg, path);
}

/* The paths below that only PHP knows: files, and spaces without files. */
static int find_php(struct txn *t, const struct tree *tree, struct paths *p)
{
	struct scan sc = { .which = ROWS_PHP, .row = on_file, .arg = p };
	int err = sql_scan_below(t, tree, &sc);

	if (err || !sql_tree_spaces(tree))
		return err;
	sc.spaces = true;
	sc.row = on_space;
	return sql_scan(t, &sc);
}

/* A piece of a list is asked for at once, before it is gone through. */
static int ahead_path(struct txn *t, const char *path)
{
	FSP_FREE char *dir = NULL;
	FSP_FREE char *name = NULL;
	int err = fsp_path_split(path, &dir, &name);

	return err ? err : sql_ahead_place(t, dir, name, false);
}

static int ahead_paths(struct txn *t, const struct paths *p, size_t from)
{
	int err = 0;

	for (size_t i = from; i < p->n && i < from + TOGETHER && !err; i++)
		err = ahead_path(t, p->v[i]);
	return err;
}

static int adopt_below(struct txn *t, const struct tree *tree)
{
	struct paths p __attribute__((cleanup(paths_free))) = { .n = 0 };
	int err = find_php(t, tree, &p);

	for (size_t i = 0; i < p.n && !err; i++) {
		struct ent e ENT = { .how = BY_NAME };

		if (i % TOGETHER == 0)
			err = ahead_paths(t, &p, i);
		if (!err)
			err = sql_find_path(t, p.v[i], &e);
		if (!err)
			err = sql_adopt(t, &e);
	}
	return err;
}

static int start_deeper(struct txn *t, struct sqlstmt **st,
                        const struct tree *tree)
{
	if (sql_tree_spaces(tree))
		return sql_start(t, st, NAMES_SQL("n.live = 1 AND"
		                 " n.space_key >= ? AND n.space_key < ?"), "tt",
		                 tree->lo, tree->hi);
	return sql_start(t, st, NAMES_SQL("n.live = 1 AND n.space_key = ? AND"
	                 " n.dir_key >= ? AND n.dir_key < ?"), "ttt",
	                 tree->k.space, tree->lo, tree->hi);
}

static int list_names(struct txn *t, const struct tree *tree, struct ents *l)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int err = sql_start_names(t, &s, tree);

	if (!err)
		err = sql_read_names(s, l);
	sql_end(&s);
	if (!err)
		err = start_deeper(t, &s, tree);
	return err ? err : sql_read_names(s, l);
}

static int add_space(struct move *mv, struct sqlstmt *s)
{
	const char *space = sql_str(s, 0), *name = sql_str(s, 1);
	struct moved_space *m;
	int err;

	m = fsp_grow(mv->space, mv->n, &mv->cap, sizeof(*m));
	if (!m)
		return -ENOMEM;
	mv->space = m;
	m += mv->n;
	*m = (struct moved_space){ .id = sql_int_or(s, 2, 0) };
	err = space ? fsp_path_of_space(space, &m->path) : -EINVAL;
	if (err)
		return err == -EINVAL ? 0 : err;        /* hidden: stays */
	mv->n++;
	m->name = strdup(name ? name : "");
	return m->name ? 0 : -ENOMEM;
}

/* The filespace rows with lo <= space_key < hi; mv NULL: ahead. */
static int list_spaces(struct txn *t, const char *lo, const char *hi,
                       struct move *mv)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int err;

	err = sql_start(t, mv ? &s : NULL, "SELECT s.space_key, s.name, s.id"
	                " FROM {space} s WHERE s.space_key >= ? AND"
	                " s.space_key < ? AND " SPACE_LIVE("s.") " ORDER BY s.id",
	                "tt", lo, hi);
	if (err || !mv)
		return err;
	while ((err = sql_next(s)) == 1) {
		err = add_space(mv, s);
		if (err)
			return err;
	}
	return err;
}

/* ... of a directory and below it. */
static int list_all_spaces(struct txn *t, const struct tree *tree,
                           struct move *mv)
{
	FSP_FREE char *end = fsp_strf("%s\001", tree->k.space);
	int err = end ? list_spaces(t, tree->k.space, end, mv) : -ENOMEM;

	if (!err && sql_tree_spaces(tree))
		err = list_spaces(t, tree->lo, tree->hi, mv);
	return err;
}

static int ahead_below(struct txn *t, const struct tree *tree)
{
	int err = sql_ahead_implied(t, tree->path);

	if (!err)
		err = sql_start_names(t, NULL, tree);
	if (!err)
		err = start_deeper(t, NULL, tree);
	if (!err && tree->depth <= FSP_RECORD_DEPTH)
		err = list_all_spaces(t, tree, NULL);
	return err;
}

static int take_below(struct txn *t, struct move *mv)
{
	struct tree tree TREE = { .depth = 0 };
	int err = sql_tree(mv->from, &tree);

	if (!err)
		err = ahead_below(t, &tree);
	if (!err)
		err = adopt_below(t, &tree);
	if (!err)
		err = list_names(t, &tree, &mv->l);
	if (!err && tree.depth <= FSP_RECORD_DEPTH)
		err = list_all_spaces(t, &tree, mv);
	return err;
}

int sql_take(struct txn *t, struct ent *e, struct move *mv)
{
	struct ent *first;
	bool dir = sql_is_dir(e);
	int err = sql_adopt(t, e);

	if (err)
		return err;
	mv->from = strdup(e->key.path);
	first = sql_ents_add(&mv->l);
	if (!mv->from || !first)
		return -ENOMEM;
	*first = *e;
	*e = (struct ent){ .how = BY_NAME };
	return dir ? take_below(t, mv) : 0;
}

/* Before anything is changed, the next ones of a list together. */
static int lock_ents(struct txn *t, struct ents *l, size_t from)
{
	size_t end = from + TOGETHER < l->n ? from + TOGETHER : l->n;
	int err = 0;

	for (size_t i = from; i < end && !err; i++)
		if (sql_is_file(&l->v[i]) && l->v[i].has_row &&
		    !l->v[i].locked)
			err = sql_ahead_lock_key(t, &l->v[i].key);
	for (size_t i = from; i < end && !err; i++)
		if (sql_is_file(&l->v[i]))
			err = sql_lock_rows(t, &l->v[i]);
	return err;
}

static int detach_ent(struct txn *t, struct ent *e)
{
	int err;

	if (!sql_is_file(e))
		return sql_end_name(t, e->name_id);
	err = sql_close_rows(t, e, 0);
	if (!err)
		err = sql_later(t, "DELETE FROM {name} WHERE id = ?", "i",
		              e->name_id);
	if (!err && sql_is_dead(e))
		err = sql_unlink_node(t, e->ino, true);
	return err;
}

int sql_detach(struct txn *t, struct move *mv)
{
	int err = 0;

	for (size_t i = 0; i < mv->l.n && !err; i += TOGETHER)
		err = lock_ents(t, &mv->l, i);
	for (size_t i = 0; i < mv->l.n && !err; i++)
		err = detach_ent(t, &mv->l.v[i]);
	for (size_t i = 0; i < mv->n && !err; i++)
		err = sql_later(t, "UPDATE {space} SET deleted_at = ?,"
		              " closed_us = CASE WHEN since_us > ? THEN"
		              " since_us ELSE ? END WHERE id = ?", "iiii",
		              t->now_s, t->now_us, t->now_us,
		              mv->space[i].id);
	return err;
}

static char *moved_path(const struct move *mv, const char *path,
                        const char *to)
{
	return fsp_strf("%s%s", to, path + strlen(mv->from));
}

static int attach_ent(struct txn *t, struct ent *e, struct key *k,
                      int64_t *row)
{
	int err = e->past ? sql_adopt_past(t, k) : 0;

	if (!err && e->has_row)
		err = sql_copy_row(t, e->row.id, k, row);
	if (!err)
		err = sql_put_name(t, k, e->ino, e->has_row ? ROW_LAST : 0,
		                   e->owner, t->now_us);
	e->file_id = e->row.id = 0;
	e->name_id = 0;                 /* nobody asks for it any more */
	return err;
}

static int look_for_past(struct txn *t, const struct move *mv,
                         const struct ent *e, const char *to, int64_t *past)
{
	FSP_FREE char *path = moved_path(mv, e->key.path, to);
	struct key k KEY = { .depth = 0 };
	int err;

	if (sql_is_dead(e) || !sql_is_file(e))
		return 0;
	err = path ? sql_key_of_path(path, &k) : -ENOMEM;
	return err ? err : sql_oldest_past(t, &k, past);
}

/* What is at the new places, the next of the list together. */
static int look_at_some(struct txn *t, struct move *mv, const char *to,
                        size_t from)
{
	size_t end = from + TOGETHER < mv->l.n ? from + TOGETHER : mv->l.n;
	int err = 0;

	for (size_t i = from; i < end && !err; i++)
		err = look_for_past(t, mv, &mv->l.v[i], to, NULL);
	for (size_t i = from; i < end && !err; i++)
		err = look_for_past(t, mv, &mv->l.v[i], to,
		                    &mv->l.v[i].past);
	return err;
}

int sql_look_at_target(struct txn *t, struct move *mv, const char *to)
{
	int err = 0;

	for (size_t i = 0; i < mv->l.n && !err; i += TOGETHER)
		err = look_at_some(t, mv, to, i);
	return err;
}

/* A space that is one at its new place, too, keeps its name. */
static int attach_space(struct txn *t, struct set *done,
                        const struct moved_space *m, const char *path)
{
	struct fsp_dirkey k;
	bool fresh = false;
	int err = fsp_path_dirkey(path, &k);

	if (err)
		return err;
	if (!*k.dir && !sql_set_get(done, k.space, &fresh))
		err = -ENOMEM;
	if (!err && fresh)
		err = sql_later(t, "INSERT INTO {space} (space_key, created_at,"
		              " updated_at, name, since_us) SELECT ?,"
		              " s.created_at, ?, s.name, ? FROM {space} s"
		              " WHERE s.id = ? AND NOT EXISTS (SELECT 1 FROM"
		              " {space} q WHERE {eq q.space_key} AND "
		              SPACE_LIVE("q.") ")", "tiiit", k.space, t->now_s,
		              t->now_us, m->id, k.space);
	fsp_dirkey_free(&k);
	return err;
}

static int attach_spaces(struct txn *t, const struct move *mv, const char *to,
                         struct set *done)
{
	int err = 0;

	for (size_t i = 0; i < mv->n && !err; i++) {
		FSP_FREE char *path = moved_path(mv, mv->space[i].path, to);

		err = path ? attach_space(t, done, &mv->space[i], path) :
			-ENOMEM;
	}
	return err;
}

/* done: the spaces that have got their rows. */
static int space_of(struct txn *t, const struct key *k, bool dir,
                    struct set *done)
{
	bool fresh;

	if (dir)
		return sql_space_for(t, k, true);
	if (!sql_set_get(done, k->space, &fresh))
		return -ENOMEM;
	return fresh ? sql_space_for(t, k, false) : 0;
}

int sql_attach(struct txn *t, struct move *mv, const char *to, int64_t *row)
{
	struct set done SET = { .n = 0 };
	int err = attach_spaces(t, mv, to, &done);

	for (size_t i = 0; i < mv->l.n && !err; i++) {
		struct ent *e = &mv->l.v[i];
		FSP_FREE char *path = moved_path(mv, e->key.path, to);
		struct key k KEY = { .depth = 0 };

		if (sql_is_dead(e))
			continue;
		err = path ? sql_key_of_path(path, &k) : -ENOMEM;
		if (!err)
			err = attach_ent(t, e, &k, i == 0 ? row : NULL);
		if (!err)
			err = space_of(t, &k, sql_is_dir(e), &done);
	}
	return err;
}
