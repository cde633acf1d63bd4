/*
 * The entries of a directory. They come in one statement (sql_list_once.c), if
 * there is not too much that only PHP knows, nor above a record too many of
 * those; else in several, skipping what is deep.
 */
#include <errno.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "sql_list.h"

/* A name is stronger than what rows say, but for a file over a directory. */
int sql_merge_name(struct set *set, const char *name, const struct ent *e)
{
	struct item *it;
	bool fresh;

	if (sql_is_dead(e))
		return 0;
	it = sql_set_get(set, name, &fresh);
	if (!it)
		return -ENOMEM;
	if (it->implicit && sql_is_file(e) && e->has_row)
		return 0;
	it->implicit = false;
	sql_fill(e, &it->e);
	return 0;
}

static int add_name(void *set, const struct ent *e)
{
	return e ? sql_merge_name(set, e->key.name, e) : 0;
}

static int collect_names(struct txn *t, const struct tree *tree,
                         struct set *set)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int err = sql_start_names(t, &s, tree);

	return err ? err : sql_each_name(s, add_name, set);
}

int sql_taken_add(struct taken *l, uint64_t ino)
{
	uint64_t *v = fsp_grow(l->v, l->n, &l->cap, sizeof(*v));

	if (!v)
		return -ENOMEM;
	l->v = v;
	l->v[l->n++] = ino;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int sql_number_by(const char *dir, struct taken *l, struct set *set)
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

#define TAKEN_FROM " FROM {name} n WHERE " IN_DIR " AND " IS_DIR_NUMBER

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
		err = sql_taken_add(&l, (uint64_t)sql_int_or(s, 0, 0));
	return err ? err : sql_number_by(tree->path, &l, set);
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

struct list_args {
	const char *dir;
	struct set *set;
};

static int list_txn(struct txn *t, void *arg)
{
	struct list_args *a = arg;

	sql_set_free(a->set);
	return t->kind == SQL_ONE ? sql_list_once(t, a->dir, a->set) :
		sql_list_live(t, a->dir, a->set);
}

int sql_depth(const char *path)
{
	int depth = *path != '\0';

	for (; *path; path++)
		depth += *path == '/';
	return depth;
}

/* PHP's own tables have no index that tells its rows from ours. */
static bool is_at_once(const struct fsp_meta *m, const char *path)
{
	return sql_depth(path) >= FSP_RECORD_DEPTH ||
		!((const struct sql_meta *)m)->drv->legacy;
}

int sql_list(struct fsp_meta *m, const struct fsp_ctx *ctx, const char *dir,
             size_t most, fsp_meta_each each, void *arg)
{
	struct set set SET = { .most = most };
	struct list_args a = { dir, &set };
	/* Never from a replica that is late: it may be kept until a change is
	 * heard of, and this one was already. */
	int err = sql_txn(m, ctx, is_at_once(m, dir) ? SQL_ONE : SQL_READ,
	                  list_txn, &a);

	if (set.full)
		return -E2BIG;
	return err ? err : sql_set_each(&set, each, arg);
}
