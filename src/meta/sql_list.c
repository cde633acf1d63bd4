/*
 * The entries of a directory: names in one statement, and what rows alone
 * say, skipping over everything that is deeper.
 */
#include <errno.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "sql_meta.h"

/* Rows below one entry that are read before it is skipped in the index. */
#define PATIENCE 8

struct collect {
	struct txn *t;
	const struct tree *tree;
	enum which which;
	const struct place *within;
	struct set *set;
	char *file;             /* the key whose rows are being read */
	bool live;
	struct row best;        /* of them */
	int64_t oldest;
	uint64_t rows;
};

static int add_dir(struct collect *c, const char *name, int64_t time_ns,
                   struct item **out)
{
	bool fresh;
	struct item *it = sql_set_get(c->set, name, &fresh);
	struct node n;

	if (!it)
		return -ENOMEM;
	*out = it;
	it->seen++;
	if (it->implicit)
		return 0;
	it->implicit = true;
	sql_node_dir(c->t->m, time_ns, &n);
	sql_fill(&(struct ent){ .node = n }, &it->e);
	return 0;
}

/* What was read of one file is complete: it goes into the set. */
static int end_file(struct collect *c)
{
	struct item *it;
	bool fresh;

	if (c->file && c->live) {
		it = sql_set_get(c->set, c->file, &fresh);
		if (!it)
			return -ENOMEM;
		it->file = true;
		/* A directory of that name hides the file. */
		if (!it->implicit)
			sql_fill_row(c->t->m, &c->best, c->oldest, &it->e);
	}
	free(fsp_steal(c->file));
	return 0;
}

static bool better(const struct collect *c, const struct row *r)
{
	if (!c->live)
		return true;
	if (c->which != ROWS_PHP)
		return r->since_us >= c->best.since_us;
	return r->created_at >= c->best.created_at;
}

static int add_row(struct collect *c, const char *name, struct sqlstmt *s)
{
	int64_t oldest = sql_int_or(s, 2, 0);
	struct row r;
	int err = 0;

	if (c->file && strcmp(c->file, name) != 0)
		err = end_file(c);
	if (err)
		return err;
	if (!c->file) {
		c->file = strdup(name);
		c->live = false;
		c->oldest = oldest;
		c->rows = 0;
	}
	if (!c->file)
		return -ENOMEM;
	if (oldest < c->oldest)
		c->oldest = oldest;
	if (sql_row_read(s, SCAN_ROW, &r))
		return 0;               /* logged */
	if ((c->which == ROWS_PHP && !r.live) ||
	    !sql_place_had(c->within, r.since_us, r.closed_us))
		return 0;
	if (better(c, &r))
		c->best = r;
	c->live = true;
	return 0;
}

/* Continue behind everything that begins with prefix + name + sep. */
static int skip(const char *prefix, size_t len, const char *name, char end,
                char **seek)
{
	*seek = fsp_strf("%.*s%s%c", (int)len, prefix, name, end);
	return *seek ? 0 : -ENOMEM;
}

/* A row in the directory's space. */
static int on_file(void *arg, struct sqlstmt *s, char **seek)
{
	struct collect *c = arg;
	const char *space = sql_str(s, 0), *key = sql_str(s, 1), *slash;
	size_t len = *c->tree->k.dir ? strlen(c->tree->k.dir) + 1 : 0;
	FSP_FREE char *path = NULL;
	FSP_FREE char *name = NULL;
	struct item *it;
	struct row r;
	int err;

	if (!space || !key || fsp_path_of_row(space, key, &path))
		return 0;
	slash = strchr(key + len, '/');
	if (!slash) {
		err = add_row(c, key + len, s);
		/* That there are versions is all that counts then. */
		if (!err && c->which == ROWS_ALL && c->live &&
		    ++c->rows == PATIENCE)
			err = skip(key, strlen(key), "", '\001', seek);
		return err;
	}
	err = sql_row_read(s, SCAN_ROW, &r);
	if (err || (c->which == ROWS_PHP && !r.live) ||
	    !sql_place_had(c->within, r.since_us, r.closed_us))
		return 0;
	name = strndup(key + len, (size_t)(slash - key) - len);
	err = name ? add_dir(c, name, r.mtime_ns, &it) : -ENOMEM;
	if (!err && it->seen % PATIENCE == 0)
		err = skip(key, len, name, '/' + 1, seek);
	return err;
}

/* A space below the directory: the component after the directory's. */
static int add_space(struct collect *c, const char *path, const char *space,
                     int64_t time_ns, char **seek)
{
	size_t len = *c->tree->path ? strlen(c->tree->path) + 1 : 0;
	FSP_FREE char *name = strndup(path + len, strcspn(path + len, "/"));
	struct item *it;
	const char *dot;
	int err = name ? add_dir(c, name, time_ns, &it) : -ENOMEM;

	if (err || it->seen % PATIENCE)
		return err;
	len = *c->tree->k.space ? strlen(c->tree->k.space) + 1 : 0;
	/* A record's key ends with its name; the others have more behind. */
	dot = c->tree->depth < 2 ? strchr(space + len, '.') : NULL;
	if (dot)
		*seek = fsp_strf("%.*s%c", (int)(dot - space), space, '.' + 1);
	else
		*seek = fsp_strf("%s\001", space);
	return *seek ? 0 : -ENOMEM;
}

static int on_space(void *arg, struct sqlstmt *s, char **seek)
{
	struct collect *c = arg;
	const char *space = sql_str(s, 0);
	FSP_FREE char *path = NULL;
	int64_t us = sql_sec_to_us(sql_int_or(s, 1, 0));
	int64_t end = sql_sec_to_us(sql_int_or(s, 2, 0));

	if (!space || fsp_path_of_space(space, &path) ||
	    !sql_place_had(c->within, us, end))
		return 0;
	return add_space(c, path, space, sql_us_to_ns(us), seek);
}

static int on_space_file(void *arg, struct sqlstmt *s, char **seek)
{
	struct collect *c = arg;
	const char *space = sql_str(s, 0), *key = sql_str(s, 1);
	FSP_FREE char *path = NULL;
	struct row r;

	if (!space || !key || fsp_path_of_row(space, key, &path))
		return 0;
	if (sql_row_read(s, SCAN_ROW, &r) ||
	    !sql_place_had(c->within, r.since_us, r.closed_us))
		return 0;
	return add_space(c, path, space, r.mtime_ns, seek);
}

static int collect_files(struct collect *c, int64_t at)
{
	struct tree all TREE = { .depth = 0 };
	struct scan sc = {
		.space = c->tree->k.space,
		.lo = c->tree->lo,
		.hi = c->tree->hi,
		.text = sql_file_text(c->t, c->which, true),
		.at = at,
		.row = on_file,
		.arg = c,
	};
	int err = sql_tree("", &all);

	if (!err && sql_tree_spaces(c->tree)) {
		sc.lo = all.lo;
		sc.hi = all.hi;
	}
	if (!err)
		err = sql_scan(c->t, &sc);
	if (!err)
		err = end_file(c);
	free(fsp_steal(c->file));
	return err;
}

int sql_collect(struct txn *t, const struct tree *tree, enum which which,
                int64_t at_us, const struct place *within, struct set *set)
{
	struct collect c = {
		.t = t, .tree = tree, .which = which, .within = within,
		.set = set
	};
	struct scan sc = {
		.lo = tree->lo,
		.hi = tree->hi,
		.at = which == ROWS_AT ? at_us : NO_TIME,
		.arg = &c,
	};
	int err = 0;

	if (sql_tree_spaces(tree)) {
		sc.text = sql_space_text(which);
		sc.row = on_space;
		err = sql_scan(t, &sc);
		sc.text = sql_file_text(t, which, false);
		sc.row = on_space_file;
		if (!err)
			err = sql_scan(t, &sc);
	}
	return err ? err : collect_files(&c, sc.at);
}

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
	int err = sql_start(t, &s, NAMES_SQL("n.space_key = ? AND"
	                                     " n.dir_key = ? AND n.live = 1"),
	                    "tt", tree->k.space, tree->k.dir);

	return err ? err : sql_each_name(s, merge_name, set);
}

int sql_number_dirs(struct txn *t, const char *dir, struct set *set)
{
	int err = 0;

	for (size_t i = 0; i < set->n && !err; i++) {
		FSP_FREE char *path = NULL;

		if (!set->v[i].implicit)
			continue;
		path = fsp_path_join(dir, set->v[i].name);
		err = path ? sql_implicit_ino(t, path,
		                              &set->v[i].e.attr.ino) : -ENOMEM;
	}
	return err;
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
		err = sql_number_dirs(t, dir, set);
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
	return sql_list_live(t, a->dir, a->set);
}

int sql_list(struct fsp_meta *m, const struct fsp_ctx *ctx, const char *dir,
             fsp_meta_each each, void *arg)
{
	struct set set SET = { .n = 0 };
	struct list_args a = { dir, &set };
	int err = sql_txn(m, ctx, SQL_READ, list_txn, &a);

	return err ? err : sql_set_each(&set, each, arg);
}
