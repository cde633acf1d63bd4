/* A directory as it was at a time: rows and names that were valid then. */
#include <errno.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "sql_meta.h"

#define NAMED_AT \
	"n.since_us <= ? AND (n.closed_us IS NULL OR n.closed_us > ?)" \
	" ORDER BY n.since_us, n.id"

/* Regular files are told by their rows, everything else by its names. */
static int merge_name(void *set, const struct ent *e)
{
	struct item *it;
	bool fresh;

	if (!e || sql_is_file(e))
		return 0;
	it = sql_set_get(set, e->key.name, &fresh);
	if (!it)
		return -ENOMEM;
	it->implicit = false;
	sql_fill(e, &it->e);
	return 0;
}

static int merge_names(struct txn *t, const struct tree *tree, int64_t at,
                       struct set *set)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int err = sql_start(t, &s, NAMES_SQL("n.space_key = ? AND"
	                                     " n.dir_key = ? AND " NAMED_AT),
	                    "ttii", tree->k.space, tree->k.dir, at, at);

	return err ? err : sql_each_name(s, merge_name, set);
}

struct asof {
	const char *dir, *name;
	int64_t at;
	struct set *set;
	struct fsp_entry *out;
};

/* The name that was there: 1, else 0. */
static int name_at(struct txn *t, const struct key *k, int64_t at,
                   struct fsp_entry *out)
{
	struct sqlstmt *s SQL_STMT = NULL;
	struct ents l ENTS = { .n = 0 };
	int err, found = 0;

	err = sql_start(t, &s, NAMES_SQL("n.space_key = ? AND n.dir_key = ?"
	                                 " AND n.name = ? AND " NAMED_AT),
	                "tttii", k->space, k->dir, k->name, at, at);
	if (!err)
		err = sql_read_names(s, &l);
	for (size_t i = 0; i < l.n && !err; i++) {
		if (sql_is_file(&l.v[i]))
			continue;
		sql_fill(&l.v[i], out);
		found = 1;
	}
	return err ? err : found;
}

static int dir_at(struct txn *t, const struct key *k, int64_t at,
                  struct fsp_entry *out)
{
	struct ent e = { .how = BY_IMPLICIT };
	struct implied row;
	int err = sql_implied(t, k->path, at, true, &row);

	if (err != 1)
		return err;
	sql_node_dir(t->m, row.time_ns, &e.node);
	err = sql_implicit_ino(t, k->path, &e.ino);
	if (err)
		return err;
	sql_fill(&e, out);
	return 1;
}

struct one_file {
	const char *file;
	bool found;
	struct row best;
};

static int on_file(void *arg, struct sqlstmt *s, char **seek)
{
	struct one_file *f = arg;
	struct row r;

	(void)seek;
	if (sql_row_read(s, SCAN_ROW, &r))
		return 0;               /* logged */
	if (!f->found || r.since_us > f->best.since_us ||
	    (r.since_us == f->best.since_us && r.id > f->best.id))
		f->best = r;
	f->found = true;
	return 0;
}

static int file_at(struct txn *t, const struct key *k, int64_t at,
                   struct fsp_entry *out)
{
	FSP_FREE char *end = fsp_path_join(k->file, "");
	struct one_file f = { .found = false };
	struct scan sc = {
		.space = k->space,
		.lo = k->file,
		.hi = end,
		.which = ROWS_AT,
		.at = at,
		.row = on_file,
		.arg = &f,
	};
	int err;

	if (!end)
		return -ENOMEM;
	end[strlen(k->file)] = '\001';  /* directly behind this key */
	err = sql_scan(t, &sc);
	if (err)
		return err;
	if (f.found)
		sql_fill_row(t->m, &f.best, f.best.id, out);
	return f.found;
}

static int entry_at(struct txn *t, const char *dir, const char *name,
                    int64_t at, struct fsp_entry *out)
{
	struct key k KEY = { .depth = 0 };
	int err = sql_key(dir, name, &k);

	if (!err)
		err = name_at(t, &k, at, out);
	if (!err)
		err = dir_at(t, &k, at, out);
	if (!err)
		err = file_at(t, &k, at, out);
	return err < 0 ? err : err ? 0 : -ENOENT;
}

int sql_check_dir_at(struct txn *t, const char *path, int64_t at)
{
	FSP_FREE char *dir = NULL;
	FSP_FREE char *name = NULL;
	struct fsp_entry e;
	int err;

	if (!*path)
		return 0;
	err = fsp_path_split(path, &dir, &name);
	if (!err)
		err = entry_at(t, dir, name, at, &e);
	return err ? err : S_ISDIR(e.attr.mode) ? 0 : -ENOTDIR;
}

static int list_at(struct txn *t, void *arg)
{
	const struct asof *a = arg;
	struct tree tree TREE = { .depth = 0 };
	int err = sql_tree(a->dir, &tree);

	sql_set_free(a->set);
	if (!err)
		err = sql_collect(t, &tree, ROWS_AT, a->at, NULL, a->set);
	if (!err)
		err = merge_names(t, &tree, a->at, a->set);
	if (!err)
		err = sql_number_dirs(t, &tree, false, a->set);
	if (!err && a->set->n == 0)
		err = sql_check_dir_at(t, a->dir, a->at);
	return err;
}

int sql_list_at(struct fsp_meta *m, const struct fsp_ctx *ctx,
                const char *dir, int64_t at_us, fsp_meta_each each, void *arg)
{
	struct set set SET = { .n = 0 };
	struct asof a = { .dir = dir, .at = at_us, .set = &set };
	int err = sql_txn(m, ctx, SQL_READ_ANY, list_at, &a);

	return err ? err : sql_set_each(&set, each, arg);
}

static int lookup_at(struct txn *t, void *arg)
{
	const struct asof *a = arg;

	return entry_at(t, a->dir, a->name, a->at, a->out);
}

int sql_lookup_at(struct fsp_meta *m, const struct fsp_ctx *ctx,
                  const char *dir, const char *name, int64_t at_us,
                  struct fsp_entry *out)
{
	struct asof a = {
		.dir = dir, .name = name, .at = at_us, .out = out
	};

	return sql_txn(m, ctx, SQL_READ_ANY, lookup_at, &a);
}
