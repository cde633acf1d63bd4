/* Names that have history, and when a directory ended. */
#include <errno.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "sql_meta.h"

/* Removals that follow each other so closely are one: rm -r takes a while. */
#define BURST_US (10 * FSP_US_PER_SEC)

struct past {
	const char *dir;
	struct set all, live;
};

static int add_ended_dirs(struct txn *t, const struct tree *tree,
                          const struct place *at, struct set *set)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int err;

	err = sql_start(t, &s, "SELECT n.name, d.mode, n.since_us,"
	                " n.closed_us FROM {name} n JOIN {node} d ON d.ino = n.ino WHERE n.space_key = ? AND"
	                " n.dir_key = ? AND n.live IS NULL", "tt",
	                tree->k.space, tree->k.dir);
	if (err)
		return err;
	while ((err = sql_next(s)) == 1) {
		const char *name = sql_str(s, 0);
		struct item *it;
		bool fresh;

		if (!name || !fsp_name_valid(name, strlen(name)) ||
		    !S_ISDIR((mode_t)sql_int_or(s, 1, 0)) ||
		    !sql_place_had(at, sql_int_or(s, 2, 0),
		                   sql_int_or(s, 3, 0)))
			continue;
		it = sql_set_get(set, name, &fresh);
		if (!it)
			return -ENOMEM;
		it->implicit = true;
	}
	return err;
}

static int add_past(struct txn *t, const struct place *at, struct set *set)
{
	struct tree tree TREE = { .depth = 0 };
	int err = sql_tree(at->path, &tree);

	if (!err)
		err = sql_collect(t, &tree, ROWS_ALL, NO_TIME, at, set);
	return err ? err : add_ended_dirs(t, &tree, at, set);
}

static int read_past(struct txn *t, void *arg)
{
	struct past *a = arg;
	struct places at PLACES = { .n = 0 };
	int err = sql_places(t, a->dir, &at);

	sql_set_free(&a->all);
	sql_set_free(&a->live);
	for (size_t i = 0; i < at.n && !err; i++)
		err = add_past(t, &at.v[i], &a->all);
	if (!err)
		err = sql_list_live(t, a->dir, &a->live);
	/* The directory itself may be gone; then nothing in it is live. */
	return err == -ENOENT || err == -ENOTDIR ? 0 : err;
}

int sql_past_names(struct fsp_meta *m, const struct fsp_ctx *ctx,
                   const char *dir,
                   int (*each)(void *arg, const char *name,
                               enum fsp_past kind), void *arg)
{
	struct past a = { .dir = dir };
	int err = sql_txn(m, ctx, SQL_READ_ANY, read_past, &a);

	for (size_t i = 0; i < a.all.n && !err; i++) {
		const struct item *it = &a.all.v[i];
		const struct item *now = sql_set_find(&a.live, it->name);

		if (it->file)
			err = each(arg, it->name, FSP_PAST_FILE);
		else if (!now || !S_ISDIR(now->e.attr.mode))
			err = each(arg, it->name, FSP_PAST_DIR);
	}
	sql_set_free(&a.all);
	sql_set_free(&a.live);
	return err;
}

struct event {
	int64_t us;
	bool ends;
};

struct events {
	const struct place *at; /* what was not there then does not count */
	struct event *v;
	size_t n, cap;
};

static int add_event(struct events *l, int64_t us, bool ends)
{
	struct event *v = fsp_grow(l->v, l->n, &l->cap, sizeof(*v));

	if (!v)
		return -ENOMEM;
	l->v = v;
	l->v[l->n++] = (struct event){ us, ends };
	return 0;
}

static int add_span(struct events *l, int64_t since, int64_t closed)
{
	int err = 0;

	if (!sql_place_had(l->at, since, closed))
		return 0;
	err = add_event(l, since, false);
	return err || !closed ? err : add_event(l, closed, true);
}

static int on_file(void *arg, struct sqlstmt *s, char **seek)
{
	const char *space = sql_str(s, 0), *key = sql_str(s, 1);
	FSP_FREE char *path = NULL;
	struct row r;

	(void)seek;
	if (!space || !key || fsp_path_of_row(space, key, &path) ||
	    sql_row_read(s, SCAN_ROW, &r))
		return 0;               /* hidden or damaged */
	return add_span(arg, r.since_us, r.closed_us);
}

static int on_space(void *arg, struct sqlstmt *s, char **seek)
{
	(void)seek;
	return add_span(arg, sql_sec_to_us(sql_int_or(s, 1, 0)),
	                sql_sec_to_us(sql_int_or(s, 2, 0)));
}

static int row_events(struct txn *t, const struct tree *tree,
                      struct events *l)
{
	struct scan sc = { .which = ROWS_ALL, .row = on_file, .arg = l };

	return sql_scan_below(t, tree, &sc);
}

/* filespace rows know seconds only: asked where nothing else is known. */
static int space_events(struct txn *t, const struct tree *tree,
                        struct events *l)
{
	FSP_FREE char *end = fsp_strf("%s\001", tree->k.space);
	struct scan sc = {
		.which = ROWS_ALL, .spaces = true,
		.lo = tree->k.space, .hi = end, .row = on_space, .arg = l
	};
	int err;

	if (l->n || *tree->k.dir)
		return 0;
	err = end ? sql_scan(t, &sc) : -ENOMEM;
	if (err || !sql_tree_spaces(tree))
		return err;
	sc.lo = tree->lo;
	sc.hi = tree->hi;
	return sql_scan(t, &sc);
}

static int read_spans(struct sqlstmt *s, struct events *l)
{
	int err;

	while ((err = sql_next(s)) == 1) {
		err = add_span(l, sql_int_or(s, 0, 0), sql_int_or(s, 1, 0));
		if (err)
			return err;
	}
	return err;
}

/* The directory's own names, and those in it and below. */
static int name_events(struct txn *t, const struct key *k,
                       const struct tree *tree, struct events *l)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int err = sql_start(t, &s, "SELECT n.since_us, n.closed_us FROM"
	                    " {name} n JOIN {node} d ON d.ino = n.ino WHERE"
	                    " n.space_key = ? AND n.dir_key = ? AND"
	                    " n.live IS NULL AND n.name = ? AND"
	                    " (d.mode & 61440) = 16384", "ttt", k->space,
	                    k->dir, k->name);

	if (!err)
		err = read_spans(s, l);
	sql_end(&s);
	if (!err)
		err = sql_start(t, &s, "SELECT n.since_us, n.closed_us FROM"
		                " {name} n WHERE n.space_key = ? AND"
		                " n.dir_key = ? AND n.live IS NULL", "tt",
		                tree->k.space, tree->k.dir);
	if (!err)
		err = read_spans(s, l);
	sql_end(&s);
	if (err)
		return err;
	if (sql_tree_spaces(tree))
		err = sql_start(t, &s, "SELECT n.since_us, n.closed_us FROM"
		                " {name} n WHERE n.space_key >= ? AND"
		                " n.space_key < ? AND n.live IS NULL", "tt",
		                tree->lo, tree->hi);
	else
		err = sql_start(t, &s, "SELECT n.since_us, n.closed_us FROM"
		                " {name} n WHERE n.space_key = ? AND"
		                " n.dir_key >= ? AND n.dir_key < ? AND"
		                " n.live IS NULL", "ttt", tree->k.space,
		                tree->lo, tree->hi);
	return err ? err : read_spans(s, l);
}

/* Latest first; where something began as well, it was no removal. */
static int latest_first(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	if (x->us != y->us)
		return x->us > y->us ? -1 : 1;
	return x->ends - y->ends;
}

/*
 * Back from the last end over those that belong to the same removal, so that
 * what rm -r removed first is shown, too.
 */
static int64_t end_of(struct events *l)
{
	int64_t at = l->v[0].us;

	for (size_t i = 1; i < l->n; i++) {
		if (!l->v[i].ends || at - l->v[i].us > BURST_US)
			break;
		at = l->v[i].us;
	}
	return at;
}

struct ended {
	const char *path;
	int64_t *at_us;
	char **was;
	int64_t last_us;        /* its very end; *at_us: of the whole removal */
};

/* Did it end here, and later than elsewhere? */
static int find_end_at(struct txn *t, const struct place *at, struct ended *a)
{
	struct tree tree TREE = { .depth = 0 };
	struct events l = { .at = at };
	struct key k KEY = { .depth = 0 };
	int err = sql_tree(at->path, &tree);

	if (!err)
		err = sql_key_of_path(at->path, &k);
	if (!err)
		err = name_events(t, &k, &tree, &l);
	if (!err)
		err = row_events(t, &tree, &l);
	if (!err)
		err = space_events(t, &tree, &l);
	if (!err && l.n) {
		qsort(l.v, l.n, sizeof(*l.v), latest_first);
		if (!*a->was || l.v[0].us > a->last_us) {
			free(*a->was);
			*a->was = strdup(at->path);
			*a->at_us = end_of(&l);
			a->last_us = l.v[0].us;
			err = *a->was ? 0 : -ENOMEM;
		}
	}
	free(l.v);
	return err;
}

static int find_end(struct txn *t, void *arg)
{
	struct ended *a = arg;
	struct ent e ENT = { .how = BY_NAME };
	struct places at PLACES = { .n = 0 };
	int err = *a->path ? sql_find_path(t, a->path, &e) : 0;

	free(*a->was);
	*a->was = NULL;
	if (!err && (!*a->path || sql_is_dir(&e)))
		return -ENOENT;
	if (err && err != -ENOENT)
		return err;
	err = sql_places(t, a->path, &at);
	for (size_t i = 0; i < at.n && !err; i++)
		err = find_end_at(t, &at.v[i], a);
	return err ? err : *a->was ? 0 : -ENOENT;
}

int sql_dir_ended(struct fsp_meta *m, const struct fsp_ctx *ctx,
                  const char *path, int64_t *at_us, char **was)
{
	struct ended a = { .path = path, .at_us = at_us, .was = was };
	int err;

	*was = NULL;
	err = sql_txn(m, ctx, SQL_READ_ANY, find_end, &a);
	if (err) {
		free(*was);
		*was = NULL;
	}
	return err;
}
