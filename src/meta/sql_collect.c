/*
 * What rows alone say is in a directory, skipping over everything that is
 * deeper.
 */
#include <errno.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "sql_meta.h"

/* Rows below one entry that are read before it is skipped in the index. */
#define PATIENCE 8

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

static int64_t rank(const struct collect *c, const struct row *r)
{
	return c->which == ROWS_PHP ? r->created_at : r->since_us;
}

bool sql_beats(int64_t rank_a, int64_t a, int64_t rank_b, int64_t b)
{
	return rank_a != rank_b ? rank_a > rank_b : a >= b;
}

/* Some rows of a file; those of a very long key come in several parts. */
static void add_file(struct collect *c, struct item *it)
{
	int64_t r = rank(c, &c->best);

	if (it->file && it->oldest < c->oldest)
		c->oldest = it->oldest;
	if (it->file && !sql_beats(r, c->best.id, it->rank, it->id)) {
		if (it->e.attr.ino == FSP_INO_ROW + (uint64_t)it->oldest)
			it->e.attr.ino = FSP_INO_ROW + (uint64_t)c->oldest;
		it->oldest = c->oldest;
		return;
	}
	it->file = true;
	it->rank = r;
	it->id = c->best.id;
	it->oldest = c->oldest;
	/* A directory of that name hides the file. */
	if (!it->implicit)
		sql_fill_row(c->t->m, &c->best, c->oldest, &it->e);
}

int sql_collect_end(struct collect *c)
{
	FSP_FREE char *file = fsp_steal(c->file);
	struct item *it;
	bool fresh;

	if (!file || !c->live)
		return 0;
	it = sql_set_get(c->set, file, &fresh);
	if (!it)
		return -ENOMEM;
	add_file(c, it);
	return 0;
}

static int add_row(struct collect *c, const char *name, struct sqlstmt *s)
{
	int64_t oldest = sql_int_or(s, c->cols.oldest, 0);
	struct row r;
	int err = 0;

	if (c->file && strcmp(c->file, name) != 0)
		err = sql_collect_end(c);
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
	if (sql_row_read_at(s, &c->cols.row, &r))
		return 0;               /* logged */
	if ((c->which == ROWS_PHP && !r.live) ||
	    !sql_place_had(c->within, r.since_us, r.closed_us))
		return 0;
	if (!c->live ||
	    sql_beats(rank(c, &r), r.id, rank(c, &c->best), c->best.id))
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

int sql_collect_row(struct collect *c, struct sqlstmt *s, char **seek)
{
	const char *space = sql_str(s, c->cols.space);
	const char *key = sql_str(s, c->cols.key), *slash;
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
	err = sql_row_read_at(s, &c->cols.row, &r);
	if (err || (c->which == ROWS_PHP && !r.live) ||
	    !sql_place_had(c->within, r.since_us, r.closed_us))
		return 0;
	name = strndup(key + len, (size_t)(slash - key) - len);
	err = name ? add_dir(c, name, r.mtime_ns, &it) : -ENOMEM;
	if (!err && it->seen % PATIENCE == 0)
		err = skip(key, len, name, '/' + 1, seek);
	return err;
}

/* A row in the directory's space. */
static int on_file(void *arg, struct sqlstmt *s, char **seek)
{
	return sql_collect_row(arg, s, seek);
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

int sql_collect_space(struct collect *c, struct sqlstmt *s, char **seek)
{
	const char *space = sql_str(s, c->cols.space);
	int64_t us = sql_sec_to_us(sql_int_or(s, c->cols.oldest, 0));
	FSP_FREE char *path = NULL;

	if (!space || fsp_path_of_space(space, &path))
		return 0;
	return add_space(c, path, space, sql_us_to_ns(us), seek);
}

int sql_collect_far(struct collect *c, struct sqlstmt *s, char **seek)
{
	const char *space = sql_str(s, c->cols.space);
	const char *key = sql_str(s, c->cols.key);
	FSP_FREE char *path = NULL;
	struct row r;

	if (!space || !key || fsp_path_of_row(space, key, &path))
		return 0;
	if (sql_row_read_at(s, &c->cols.row, &r) ||
	    !sql_place_had(c->within, r.since_us, r.closed_us))
		return 0;
	return add_space(c, path, space, r.mtime_ns, seek);
}

static int on_space_file(void *arg, struct sqlstmt *s, char **seek)
{
	return sql_collect_far(arg, s, seek);
}

static int collect_files(struct collect *c, int64_t at)
{
	struct tree all TREE = { .depth = 0 };
	struct scan sc = {
		.which = c->which,
		.space = c->tree->k.space,
		.lo = c->tree->lo,
		.hi = c->tree->hi,
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
		err = sql_collect_end(c);
	free(fsp_steal(c->file));
	return err;
}

int sql_collect(struct txn *t, const struct tree *tree, enum which which,
                int64_t at_us, const struct place *within, struct set *set)
{
	struct collect c = {
		.t = t, .tree = tree, .which = which, .within = within,
		.set = set, .cols = { 0, 1, 2, ROW_AT(SCAN_ROW) }
	};
	struct scan sc = {
		.which = which,
		.spaces = true,
		.lo = tree->lo,
		.hi = tree->hi,
		.at = at_us,
		.row = on_space,
		.arg = &c,
	};
	int err = 0;

	if (sql_tree_spaces(tree)) {
		err = sql_scan(t, &sc);
		sc.spaces = false;
		sc.row = on_space_file;
		if (!err)
			err = sql_scan(t, &sc);
	}
	return err ? err : collect_files(&c, at_us);
}
