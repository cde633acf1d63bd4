/*
 * The versions of a file name: the rows of its key, those of the keys that it
 * had while its directory had other names, and from each the chain of
 * predecessors through rows of other keys, with what each replaced there.
 */
#include <errno.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "sql_meta.h"

struct version {
	struct row row;
	char *path;
	bool chosen;            /* belongs to the name's history */
	bool renamed;           /* its successor is the same version */
};

struct versions {
	struct version *v;      /* by id */
	size_t n, cap;
};

static void versions_free(struct versions *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i].path);
	free(l->v);
	*l = (struct versions){ .n = 0 };
}

static struct version *add(struct versions *l)
{
	struct version *v = fsp_grow(l->v, l->n, &l->cap, sizeof(*v));

	if (!v)
		return NULL;
	l->v = v;
	l->v[l->n] = (struct version){ .chosen = false };
	return &l->v[l->n++];
}

static int by_id(const void *a, const void *b)
{
	int64_t x = ((const struct version *)a)->row.id;
	int64_t y = ((const struct version *)b)->row.id;

	return x < y ? -1 : x > y;
}

static struct version *find(const struct versions *l, int64_t id)
{
	struct version key = { .row = { .id = id } };

	return l->n ? bsearch(&key, l->v, l->n, sizeof(key), by_id) : NULL;
}

/*
 * All rows of one key; those that cannot be read are left out. What was there
 * while the place was the name's belongs to it, without one nothing does yet.
 */
static int load_key(struct txn *t, const char *space, const char *file,
                    const struct place *at, struct versions *l)
{
	struct sqlstmt *s SQL_STMT = NULL;
	FSP_FREE char *path = NULL;
	int err = fsp_path_of_row(space, file, &path);

	if (err)
		return err == -EINVAL ? 0 : err;        /* hidden */
	err = sql_start(t, &s, "SELECT " ROW_COLS " FROM {file} f WHERE"
	                " {eq f.space_key} AND {eq f.file_key}", "tt", space,
	                file);
	if (err)
		return err;
	while ((err = sql_next(s)) == 1) {
		struct version *v;
		struct row r;

		if (sql_row_read(s, 0, &r))
			continue;
		v = add(l);
		if (!v)
			return -ENOMEM;
		v->row = r;
		v->chosen = at && sql_place_had(at, r.since_us, r.closed_us);
		v->path = strdup(path);
		if (!v->path)
			return -ENOMEM;
	}
	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), by_id);
	return err;
}

/* The rows of the key that a row has. */
static int load_of(struct txn *t, int64_t id, struct versions *l)
{
	struct sqlstmt *s SQL_STMT = NULL;
	FSP_FREE char *space = NULL;
	FSP_FREE char *file = NULL;
	const char *text;
	int err;

	err = sql_start(t, &s, "SELECT f.space_key, f.file_key FROM {file} f"
	                " WHERE f.id = ?", "i", id);
	if (!err)
		err = sql_next(s);
	if (err <= 0)
		return err;             /* gone by the retention policy */
	text = sql_str(s, 0);
	space = text ? strdup(text) : NULL;
	text = sql_str(s, 1);
	file = text ? strdup(text) : NULL;
	return space && file ? load_key(t, space, file, NULL, l) : 0;
}

static bool same_version(const struct row *a, const struct row *b)
{
	return a->stored_us == b->stored_us && strcmp(a->hash, b->hash) == 0;
}

/* Chooses the predecessor of the version with this id. */
static int follow(struct txn *t, struct versions *l, int64_t id)
{
	int64_t pred = find(l, id)->row.pred_id;
	struct version *p;
	int err = 0;

	if (pred <= 0 || pred >= id)
		return 0;               /* none, or no honest one */
	p = find(l, pred);
	if (!p)
		err = load_of(t, pred, l);
	if (!err && !p)
		p = find(l, pred);
	if (err || !p)
		return err;
	p->chosen = true;
	p->renamed |= same_version(&p->row, &find(l, id)->row);
	return 0;
}

/* Did it get another name in the moment in which it ended here? */
static bool went_elsewhere(const struct versions *l, const struct version *v)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].row.pred_id == v->row.id &&
		    l->v[i].row.since_us == v->row.closed_us &&
		    strcmp(l->v[i].path, v->path) != 0)
			return true;
	return false;
}

/*
 * Editors save by renaming over: what ended where this version is, as it came,
 * is its past, too, wherever it goes from there. Not what changed places with
 * it. All rows of this key are there, and of the one that it came from; the
 * one before, but for what was in history only, is what it replaced, or nothing.
 */
static void choose_replaced(struct versions *l, int64_t id)
{
	const struct version *v = find(l, id), *pred = find(l, v->row.pred_id);

	if (pred && strcmp(pred->path, v->path) == 0)
		return;                 /* committed, not renamed */
	for (size_t i = (size_t)(v - l->v); i-- > 0;) {
		struct version *p = &l->v[i];

		if (p->row.since_us == p->row.closed_us ||
		    strcmp(p->path, v->path) != 0)
			continue;
		if (p->row.closed_us == v->row.since_us && !p->chosen &&
		    !went_elsewhere(l, p))
			p->chosen = true;
		return;
	}
}

/* From the newest to the oldest: a predecessor's id is always smaller. */
static int choose(struct txn *t, struct versions *l, const char *path)
{
	size_t i = l->n;
	int err = 0;

	while (i-- > 0 && !err) {
		int64_t id = l->v[i].row.id;

		if (!l->v[i].chosen)
			continue;
		err = follow(t, l, id);
		/* Loading moved it. */
		i = (size_t)(find(l, id) - l->v);
		/* Of the path itself everything is chosen. */
		if (!err && strcmp(l->v[i].path, path) != 0)
			choose_replaced(l, id);
	}
	return err;
}

static int by_stored(const void *a, const void *b)
{
	const struct version *x = a, *y = b;
	int64_t a_s = fsp_ns_to_sec(sql_us_to_ns(x->row.stored_us));
	int64_t b_s = fsp_ns_to_sec(sql_us_to_ns(y->row.stored_us));

	/* As the entries of .versions sort by name: two clocks stamp rows. */
	if (a_s != b_s)
		return a_s < b_s ? -1 : 1;
	return by_id(a, b);
}

struct history {
	const char *path;
	struct versions l;
};

static int load_place(struct txn *t, const struct place *p,
                      struct versions *l)
{
	struct key k KEY = { .depth = 0 };
	int err = sql_key_of_path(p->path, &k);

	return err ? err : load_key(t, k.space, k.file, p, l);
}

static int read_history(struct txn *t, void *arg)
{
	struct history *a = arg;
	struct places at PLACES = { .n = 0 };
	bool any = false;
	int err;

	versions_free(&a->l);
	if (!*a->path)
		return -ENOENT;
	err = sql_places(t, a->path, &at);
	for (size_t i = 0; i < at.n && !err; i++)
		err = load_place(t, &at.v[i], &a->l);
	for (size_t i = 0; i < a->l.n && !any; i++)
		any = a->l.v[i].chosen;
	if (!err && !any)
		err = -ENOENT;
	return err ? err : choose(t, &a->l, a->path);
}

int sql_history(struct fsp_meta *m, const struct fsp_ctx *ctx,
                const char *path, fsp_meta_version each, void *arg)
{
	struct history a = { .path = path };
	int err = sql_txn(m, ctx, SQL_READ_ANY, read_history, &a);

	if (!err)
		qsort(a.l.v, a.l.n, sizeof(*a.l.v), by_stored);
	for (size_t i = 0; i < a.l.n && !err; i++) {
		const struct version *v = &a.l.v[i];
		struct fsp_version out = {
			.row = v->row.id,
			.stored_us = v->row.stored_us,
			.closed_us = v->row.closed_us,
			.path = v->path,
		};
		struct fsp_entry e;

		if (!v->chosen || v->renamed)
			continue;
		sql_fill_row((struct sql_meta *)m, &v->row, v->row.id, &e);
		out.attr = e.attr;
		memcpy(out.hash, v->row.hash, sizeof(out.hash));
		err = each(arg, &out);
	}
	versions_free(&a.l);
	return err;
}
