/* Counting: the whole store, and each account. */
#include <errno.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "sql_meta.h"

/* A damaged size must not make a sum overflow. */
#define SUM_OF(x) "CAST(SUM(CASE WHEN " x " > 0 THEN " x " ELSE 0 END" \
	" * 1.0) AS INTEGER)"
#define IN_ACCOUNT \
	"({eq f.space_key} OR (f.space_key >= ? AND f.space_key < ?))"

struct sums {
	int64_t files, logical, versions, versions_bytes;
	int64_t objects, objects_bytes, stored_bytes;
};

static int sum_rows(struct txn *t, const char *space, const char *lo,
                    const char *hi, struct sums *n)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int err = sql_start(t, &s, "SELECT COUNT(*), "
	                    SUM_OF("f.size_original")
	                    " FROM {file} f WHERE " IN_ACCOUNT, "ttt", space,
	                    lo, hi);

	if (!err)
		err = sql_next(s);
	if (err < 0)
		return err;
	n->versions = sql_int_or(s, 0, 0);
	n->versions_bytes = sql_int_or(s, 1, 0);
	sql_end(&s);
	err = sql_start(t, &s, "SELECT COUNT(*), " SUM_OF("f.size_original")
	                " FROM {file} f WHERE " IN_ACCOUNT " AND " IS_FILE, "ttt", space, lo, hi);
	if (!err)
		err = sql_next(s);
	if (err < 0)
		return err;
	n->files = sql_int_or(s, 0, 0);
	n->logical = sql_int_or(s, 1, 0);
	return 0;
}

/* What nobody has verified is taken to be stored as PHP says. */
static int sum_objects(struct txn *t, const char *space, const char *lo,
                       const char *hi, struct sums *n)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int err = sql_start(t, &s, "SELECT COUNT(*), " SUM_OF("u.size") ", "
	                    SUM_OF("u.stored") " FROM (SELECT"
	                    " MAX(f.size_original) AS size,"
	                    " COALESCE(MAX(o.stored), MAX(f.size_storage))"
	                    " AS stored FROM {file} f LEFT JOIN {object} o ON"
	                    " o.object_key = f.data_hash WHERE " IN_ACCOUNT
	                    " GROUP BY f.data_hash) u", "ttt", space, lo, hi);

	if (!err)
		err = sql_next(s);
	if (err < 0)
		return err;
	n->objects = sql_int_or(s, 0, 0);
	n->objects_bytes = sql_int_or(s, 1, 0);
	n->stored_bytes = sql_int_or(s, 2, 0);
	return 0;
}

static int sum(struct txn *t, const char *space, const char *lo,
               const char *hi, struct sums *n)
{
	int err = sum_rows(t, space, lo, hi, n);

	return err ? err : sum_objects(t, space, lo, hi, n);
}

/* Directories that only rows make: their paths, each once. */
struct dirs {
	struct txn *t;
	struct set seen;
	uint64_t n;
};

static int has_name(struct txn *t, const char *path, int64_t *there)
{
	struct key k KEY = { .depth = 0 };
	int err = sql_key_of_path(path, &k);

	return err ? err :
		sql_number(t, there, "SELECT 1 FROM {name} n WHERE "
		           AT_PLACE, "ttt", k.space, k.dir, k.name);
}

/* Counts path and what is above it; cuts the string. */
static int count_dirs(struct dirs *d, char *path)
{
	while (*path) {
		char *slash = strrchr(path, '/');
		int64_t there;
		bool fresh;
		int err;

		if (!sql_set_get(&d->seen, path, &fresh))
			return -ENOMEM;
		if (!fresh)
			return 0;
		err = has_name(d->t, path, &there);
		if (err)
			return err;
		d->n += !there;
		if (!slash)
			return 0;
		*slash = '\0';
	}
	return 0;
}

static int on_file(void *arg, struct sqlstmt *s, char **seek)
{
	const char *space = sql_str(s, 0), *key = sql_str(s, 1);
	FSP_FREE char *path = NULL;
	char *slash;

	(void)seek;
	if (!space || !key || fsp_path_of_row(space, key, &path))
		return 0;               /* hidden */
	slash = strrchr(path, '/');
	if (!slash)
		return 0;
	*slash = '\0';
	return count_dirs(arg, path);
}

static int on_space(void *arg, struct sqlstmt *s, char **seek)
{
	const char *space = sql_str(s, 0);
	FSP_FREE char *path = NULL;

	(void)seek;
	if (!space || fsp_path_of_space(space, &path))
		return 0;               /* hidden */
	return count_dirs(arg, path);
}

static int count_implicit(struct txn *t, const struct tree *all, uint64_t *n)
{
	struct dirs d = { .t = t };
	struct scan sc = {
		.which = ROWS_PHP, .lo = all->lo, .hi = all->hi, .arg = &d,
		.row = on_file
	};
	int err = sql_scan(t, &sc);

	sc.spaces = true;
	sc.row = on_space;
	if (!err)
		err = sql_scan(t, &sc);
	*n = d.n;
	sql_set_free(&d.seen);
	return err;
}

#define COUNT_NAMES(where) \
	"SELECT COUNT(*) FROM {name} n JOIN {node} d ON d.ino = n.ino" \
	" WHERE n.live = 1 AND " where

static int count_names(struct txn *t, struct fsp_counts *out)
{
	int64_t dirs, files, all, pending;
	int err = sql_number(t, &dirs, COUNT_NAMES("(d.mode & 61440) = 16384"),
	                     "");

	if (!err)
		err = sql_number(t, &files, COUNT_NAMES("(d.mode & 61440)"
		                 " = 32768"), "");
	if (!err)
		err = sql_number(t, &all, COUNT_NAMES("1 = 1"), "");
	if (!err)
		err = sql_number(t, &pending, COUNT_NAMES("(d.mode & 61440) ="
		                 " 32768 AND n.file_id IS NULL"), "");
	if (err)
		return err;
	out->dirs += (uint64_t)dirs;
	out->others = (uint64_t)(all - dirs - files);
	out->pending = (uint64_t)pending;
	return 0;
}

struct counting {
	bool implied;
	struct fsp_counts *out;
};

static int counts(struct txn *t, void *arg)
{
	struct counting *c = arg;
	struct fsp_counts *out = c->out;
	struct tree all TREE = { .depth = 0 };
	struct sums n = { 0 };
	int err = sql_tree("", &all);

	if (!err)
		err = sum(t, "", all.lo, all.hi, &n);
	*out = (struct fsp_counts){
		.files = (uint64_t)n.files,
		.versions = (uint64_t)n.versions,
		.logical = (uint64_t)n.logical,
		.versions_bytes = (uint64_t)n.versions_bytes,
		.objects = (uint64_t)n.objects,
		.objects_bytes = (uint64_t)n.objects_bytes,
		.stored_bytes = (uint64_t)n.stored_bytes,
	};
	if (!err && c->implied)
		err = count_implicit(t, &all, &out->dirs);
	return err ? err : count_names(t, out);
}

int sql_counts(struct fsp_meta *m, const struct fsp_ctx *ctx, bool implied,
               struct fsp_counts *out)
{
	struct counting c = { implied, out };

	return sql_txn(m, ctx, SQL_READ_ANY, counts, &c);
}

struct accounts {
	struct set seen;        /* by the prefix of their space keys */
	struct fsp_account *v;  /* as in seen; name fresh or NULL: hidden */
	size_t n;
};

static void accounts_free(struct accounts *a)
{
	for (size_t i = 0; i < a->n; i++)
		free((void *)(uintptr_t)a->v[i].name);
	free(a->v);
	sql_set_free(&a->seen);
	*a = (struct accounts){ .n = 0 };
}

static int sum_account(struct txn *t, const char *prefix,
                       struct fsp_account *out)
{
	FSP_FREE char *lo = fsp_strf("%s.", prefix);
	FSP_FREE char *hi = fsp_strf("%s/", prefix);
	struct sums n = { 0 };
	char *name;
	int err = fsp_path_of_space(prefix, &name);

	*out = (struct fsp_account){ .name = NULL };
	if (err)
		return err == -EINVAL ? 0 : err;        /* hidden */
	out->name = name;
	if (!lo || !hi)
		return -ENOMEM;
	/* "." comes with no space of the root. */
	err = sum(t, prefix, lo, *prefix ? hi : lo, &n);
	out->files = (uint64_t)n.files;
	out->versions = (uint64_t)n.versions;
	out->logical = (uint64_t)n.logical;
	out->versions_bytes = (uint64_t)n.versions_bytes;
	out->objects = (uint64_t)n.objects;
	out->objects_bytes = (uint64_t)n.objects_bytes;
	out->stored_bytes = (uint64_t)n.stored_bytes;
	return err;
}

static int add_account(struct txn *t, struct accounts *a, const char *prefix)
{
	struct fsp_account *v;
	bool fresh;

	if (!sql_set_get(&a->seen, prefix, &fresh))
		return -ENOMEM;
	if (!fresh)
		return 0;
	v = realloc(a->v, (a->n + 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	a->v = v;
	return sum_account(t, prefix, &v[a->n++]);
}

/* The first space key from lo on; NULL behind the last. */
static int first_space(struct txn *t, const char *lo, char **out)
{
	struct sqlstmt *s SQL_STMT = NULL;
	const char *key;
	int err = sql_start(t, &s, "SELECT f.space_key FROM {file} f WHERE"
	                    " f.space_key >= ? ORDER BY f.space_key LIMIT 1",
	                    "t", lo);

	*out = NULL;
	if (!err)
		err = sql_next(s);
	if (err <= 0)
		return err;
	key = sql_str(s, 0);
	if (key)
		*out = strdup(key);
	return key && !*out ? -ENOMEM : 0;
}

static int read_accounts(struct txn *t, void *arg)
{
	struct accounts *a = arg;
	FSP_FREE char *lo = strdup("");
	int err = lo ? 0 : -ENOMEM;

	accounts_free(a);
	while (!err) {
		FSP_FREE char *key = NULL;
		char *dot;

		err = first_space(t, lo, &key);
		if (err || !key)
			return err;
		free(lo);
		dot = strchr(key, '.');
		/* On behind the account, or behind a key that is just it. */
		if (dot)
			*dot = '\0';
		lo = fsp_strf("%s%c", key, dot ? '.' + 1 : 1);
		err = lo ? add_account(t, a, key) : -ENOMEM;
	}
	return err;
}

int sql_accounts(struct fsp_meta *m, const struct fsp_ctx *ctx,
                 int (*each)(void *arg, const struct fsp_account *a),
                 void *arg)
{
	struct accounts a = { .n = 0 };
	int err = sql_txn(m, ctx, SQL_READ_ANY, read_accounts, &a);

	for (size_t i = 0; i < a.n && !err; i++)
		if (a.v[i].name)
			err = each(arg, &a.v[i]);
	accounts_free(&a);
	return err;
}
