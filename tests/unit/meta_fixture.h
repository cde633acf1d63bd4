/*
 * What the tests of meta share: a database of its own for each, short calls by
 * path, PHP's statements, and the check of all invariants at the end of each
 * test. The suites run on SQLite, and with FX_MARIA on MariaDB.
 */
#ifndef META_FIXTURE_H
#define META_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_file.h"
#include "fsp_meta.h"
#include "fsp_path.h"

#include "../../src/meta/sql_meta.h"

#define FX __attribute__((unused)) static

#ifdef FX_MARIA
#include "meta_fixture_maria.h"
#else
#include "meta_fixture_sqlite.h"
#endif

struct fx {
	struct fx_db db;        /* with PHP's connection */
	struct fsp_meta *m;
	struct fsp_meta *inner; /* without the decorators of FX_DECORATED */
	struct fsp_ctx ctx;
	const char *owner;      /* whose pending names it makes */
	int broken;             /* what check found */
};

FX struct fsp_meta_options fx_options(void)
{
	return (struct fsp_meta_options){
		.file_mode = 0640, .dir_mode = 0750, .uid = 33, .gid = 34,
		.rename_max_rows = 1000,
		.busy_timeout_ns = 20 * FSP_NS_PER_SEC, .connections = 4,
		.create = true,
	};
}

/*
 * The driver, with claims looked at, which SQLite does not need: all come
 * before the first statement, in rising order, and nothing is written without
 * any. What runs again to get more of them runs here as elsewhere.
 */
static const struct sqldrv_ops *fx_inner;
static struct sqldrv_ops fx_claiming;
static __thread int fx_last;            /* shard, -1 none */
static __thread bool fx_began;

FX int fx_acquire(struct sqldrv *d, const struct fsp_ctx *ctx,
                  enum sql_kind kind, struct sqlconn **out)
{
	fx_last = -1;
	fx_began = false;
	return fx_inner->acquire(d, ctx, kind, out);
}

FX int fx_claim(struct sqlconn *c, unsigned shard)
{
	assert_false(fx_began);
	assert_in_range(shard, fx_last + 1, SQL_SHARDS);
	fx_last = (int)shard;
	return fx_inner->claim ? fx_inner->claim(c, shard) : 0;
}

FX int fx_prepare(struct sqlconn *c, const char *text, struct sqlstmt **out)
{
	if (strncmp(text, "SELECT", 6) != 0 && fx_last < 0)
		fail_msg("nothing was claimed for: %s", text);
	fx_began = true;
	return fx_inner->prepare(c, text, out);
}

FX int fx_later(struct sqlconn *c, const char *text, const struct sql_value *v,
                int n)
{
	if (fx_last < 0)
		fail_msg("nothing was claimed for: %s", text);
	fx_began = true;
	return fx_inner->later(c, text, v, n);
}

FX int fx_ahead(struct sqlconn *c, const char *text, const struct sql_value *v,
                int n)
{
	if (fx_last < 0)
		fail_msg("nothing was claimed before: %s", text);
	fx_began = true;
	return fx_inner->ahead ? fx_inner->ahead(c, text, v, n) : 0;
}

FX void fx_watch_claims(struct fsp_meta *m)
{
	struct sqldrv *d = sql_meta_of(m)->drv;

	fx_inner = d->ops;
	fx_claiming = *d->ops;
	fx_claiming.acquire = fx_acquire;
	fx_claiming.claim = fx_claim;
	fx_claiming.prepare = fx_prepare;
	fx_claiming.ahead = fx_ahead;
	if (fx_inner->later)
		fx_claiming.later = fx_later;
	d->ops = &fx_claiming;
}

#ifdef FX_DECORATED
/* All of them around each other, as a mount has the breaker. */
FX void fx_decorate(struct fsp_meta **m)
{
	struct fsp_breaker_options o = { .name = "rows", .down_after = 3 };

	assert_int_equal(fsp_meta_fault(*m, m), 0);
	assert_int_equal(fsp_meta_breaker(*m, &o, m), 0);
}
#endif

FX void fx_open(struct fx *f, const struct fsp_meta_options *o)
{
	char *error = NULL;
	int err = fx_db_open(&f->db, o, &f->m, &error);

	if (err)
		fail_msg("open: %d %s", err, error ? error : "");
	assert_null(error);
	fx_watch_claims(f->m);
	f->inner = f->m;
#ifdef FX_DECORATED
	fx_decorate(&f->m);
#endif
}

FX void fx_close(struct fx *f)
{
	if (f->m)
		f->m->ops->close(f->m);
	f->m = f->inner = NULL;
}

/* What a test opened by itself has no decorators. */
FX struct fsp_meta *fx_inner_of(const struct fx *f)
{
	return f->inner ? f->inner : f->m;
}

FX void fx_dir(struct fx *f, bool empty)
{
	*f = (struct fx){ .ctx = fsp_ctx_background(), .owner = "mount1" };
	fx_db_make(&f->db, empty);
}

FX int fx_setup(void **state)
{
	struct fx *f = calloc(1, sizeof(*f));
	struct fsp_meta_options o = fx_options();

	fx_dir(f, false);
	fx_open(f, &o);
	*state = f;
	return 0;
}

FX int fx_setup_dir(void **state)
{
	struct fx *f = calloc(1, sizeof(*f));

	fx_dir(f, true);
	*state = f;
	return 0;
}

FX void fx_complain(void *arg, const char *what)
{
	struct fx *f = arg;

	print_error("check: %s\n", what);
	f->broken++;
}

FX void fx_check(struct fx *f)
{
	f->broken = 0;
	assert_int_equal(fsp_meta_check(fx_inner_of(f), &f->ctx, fx_complain, f),
	                 0);
	assert_int_equal(f->broken, 0);
}

FX int fx_teardown(void **state)
{
	struct fx *f = *state;
	int broken = 0;

	if (f->m && fsp_meta_check(fx_inner_of(f), &f->ctx, fx_complain, f) == 0)
		broken = f->broken;
	fx_close(f);
	fx_db_drop(&f->db);
	fsp_clock_set(NULL);
	free(f);
	return broken;
}

/* ---- calls by path */

FX void fx_split(const char *path, char *dir, char *name)
{
	const char *slash = strrchr(path, '/');

	snprintf(dir, FSP_PATH_MAX, "%.*s", slash ? (int)(slash - path) : 0,
	         path);
	snprintf(name, 300, "%s", slash ? slash + 1 : path);
}

#define FX_PLACE(var, path) \
	char var##_dir[FSP_PATH_MAX], var##_name[300]; \
	struct fsp_place var = { 0, var##_dir, var##_name, 0 }; \
	fx_split(path, var##_dir, var##_name)

FX int fx_look(struct fx *f, const char *path, struct fsp_entry *e)
{
	char dir[FSP_PATH_MAX], name[300];

	fx_split(path, dir, name);
	return f->m->ops->lookup(f->m, &f->ctx, dir, name, false, e);
}

FX struct fsp_entry fx_get(struct fx *f, const char *path)
{
	struct fsp_entry e = { .attr = { .ino = 0 } };
	int err = fx_look(f, path, &e);

	if (err)
		fail_msg("%s: %d", path, err);
	return e;
}

FX void fx_gone(struct fx *f, const char *path)
{
	struct fsp_entry e;
	int err = fx_look(f, path, &e);

	if (err != -ENOENT)
		fail_msg("%s: %d instead of ENOENT", path, err);
}

FX int fx_new(struct fx *f, const char *path, uint32_t mode,
              struct fsp_entry *e)
{
	struct fsp_new n = {
		.mode = mode, .uid = 1000, .gid = 1001, .owner = f->owner,
		.target = "to/where"
	};
	FX_PLACE(at, path);

	return f->m->ops->create(f->m, &f->ctx, &at, &n, e);
}

FX uint64_t fx_mkdir(struct fx *f, const char *path)
{
	struct fsp_entry e;
	int err = fx_new(f, path, S_IFDIR | 0755, &e);

	if (err)
		fail_msg("mkdir %s: %d", path, err);
	return e.attr.ino;
}

/* mkdir -p */
FX void fx_mkdirs(struct fx *f, const char *path)
{
	char part[FSP_PATH_MAX];
	struct fsp_entry e;

	for (size_t i = 1; i <= strlen(path); i++) {
		if (path[i] && path[i] != '/')
			continue;
		snprintf(part, sizeof(part), "%.*s", (int)i, path);
		if (fx_look(f, part, &e) == -ENOENT)
			fx_mkdir(f, part);
	}
}

/* An object whose digests are the digit c over and over. */
FX struct fsp_object fx_object(char c, uint64_t size)
{
	struct fsp_object o = { .size = size, .stored = size / 2,
		                .verified_us = 1 };

	memset(o.key, c, 64);
	memset(o.sha256, c, 64);
	memset(o.sha1, c, 40);
	strcpy(o.format, "zstd");
	return o;
}

FX int fx_commit_ref(struct fx *f, const struct fsp_ref *ref, char c,
                     uint64_t size, int64_t mtime_ns, struct fsp_entry *e)
{
	struct fsp_object o = fx_object(c, size);
	struct fsp_commit k = {
		.ref = *ref, .owner = f->owner, .object = &o, .await_php = true,
		.attr = { .mtime_ns = mtime_ns }
	};

	return f->m->ops->commit(f->m, &f->ctx, &k, e);
}

#define FX_MTIME 1600000000123456789LL

FX struct fsp_entry fx_commit(struct fx *f, const char *path, char c,
                              uint64_t size)
{
	struct fsp_entry e = fx_get(f, path);
	struct fsp_ref ref = { e.attr.ino, path };
	int err = fx_commit_ref(f, &ref, c, size, FX_MTIME, &e);

	if (err)
		fail_msg("commit %s: %d", path, err);
	return e;
}

/* Creates the file where it is missing, and commits. */
FX struct fsp_entry fx_put(struct fx *f, const char *path, char c,
                           uint64_t size)
{
	struct fsp_entry e;
	int err = fx_look(f, path, &e);

	if (err == -ENOENT)
		err = fx_new(f, path, S_IFREG | 0644, &e);
	if (err)
		fail_msg("create %s: %d", path, err);
	return fx_commit(f, path, c, size);
}

FX int fx_rm(struct fx *f, const char *path, bool dir)
{
	struct fsp_entry e;
	FX_PLACE(at, path);

	return f->m->ops->remove(f->m, &f->ctx, &at, dir, &e);
}

FX int fx_mv(struct fx *f, const char *a, const char *b, uint32_t flags,
             struct fsp_renamed *out)
{
	struct fsp_renamed dummy;
	FX_PLACE(from, a);
	FX_PLACE(to, b);

	return f->m->ops->rename(f->m, &f->ctx, &from, &to, flags,
	                         out ? out : &dummy);
}

FX int fx_ln(struct fx *f, const char *old, const char *path)
{
	struct fsp_entry e = fx_get(f, old);
	struct fsp_ref ref = { e.attr.ino, old };
	FX_PLACE(to, path);

	return f->m->ops->link(f->m, &f->ctx, &ref, &to, &e);
}

/* ---- listings as one string: sorted, directories with a slash */

struct fx_list {
	char *v[2000];
	int n;
};

FX int fx_each(void *arg, const char *name, const struct fsp_entry *e)
{
	struct fx_list *l = arg;
	char s[600];

	snprintf(s, sizeof(s), "%s%s", name,
	         S_ISDIR(e->attr.mode) ? "/" : "");
	l->v[l->n++] = strdup(s);
	return 0;
}

FX int fx_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

FX const char *fx_join(struct fx_list *l)
{
	static char out[65536];
	size_t len = 0;

	qsort(l->v, (size_t)l->n, sizeof(*l->v), fx_cmp);
	out[0] = '\0';
	for (int i = 0; i < l->n; i++) {
		len += (size_t)snprintf(out + len, sizeof(out) - len, "%s%s",
		                        i ? " " : "", l->v[i]);
		free(l->v[i]);
	}
	l->n = 0;
	return out;
}

FX const char *fx_ls(struct fx *f, const char *dir)
{
	struct fx_list l = { .n = 0 };
	int err = f->m->ops->list(f->m, &f->ctx, dir, 0, fx_each, &l);

	if (err)
		fail_msg("list %s: %d", dir, err);
	return fx_join(&l);
}

FX const char *fx_ls_at(struct fx *f, const char *dir, int64_t at)
{
	struct fx_list l = { .n = 0 };
	int err = f->m->ops->list_at(f->m, &f->ctx, dir, at, fx_each, &l);

	if (err)
		fail_msg("list_at %s: %d", dir, err);
	return fx_join(&l);
}

/* Every entry's lookup says what the listing says, at all levels. */
FX int fx_same(void *arg, const char *name, const struct fsp_entry *e);

struct fx_walk {
	struct fx *f;
	const char *dir;
	int n;
};

/* The same rows, listed together with others: as by itself. */
struct fx_together {
	struct fx_walk w;
	struct fsp_entry e[2000];
	char *name[2000];
};

FX int fx_note(void *arg, const char *name, const struct fsp_entry *e)
{
	struct fx_together *g = arg;

	if (g->w.n == 2000)
		return -E2BIG;
	g->e[g->w.n] = *e;
	g->name[g->w.n++] = strdup(name);
	return 0;
}

FX int fx_noted(void *arg, const char *name, const struct fsp_entry *e)
{
	struct fx_together *g = arg;
	int n = g->w.n, k = 0;

	while (k < n && (!g->name[k] || strcmp(g->name[k], name) != 0))
		k++;
	if (k == n || memcmp(&g->e[k], e, sizeof(*e)) != 0)
		fail_msg("%s/%s: differs when listed with others", g->w.dir,
		         name);
	free(g->name[k]);
	g->name[k] = NULL;
	return 0;
}

FX void fx_together(struct fx *f, const char *dir)
{
	struct fx_together *g = calloc(1, sizeof(*g));
	struct fsp_listing l[] = {
		{ "no/such/record", fx_noted, g, true },
		{ dir, fx_noted, g, false }
	};
	int err;

	assert_non_null(g);
	g->w.dir = dir;
	err = f->m->ops->list(f->m, &f->ctx, dir, 0, fx_note, g);
	assert_true(err == 0 || err == -E2BIG);
	assert_int_equal(f->m->ops->list_many(f->m, &f->ctx, l, 2, 0), 0);
	assert_false(l[0].done);
	for (int k = 0; k < g->w.n; k++) {
		if (l[1].done && g->name[k])
			fail_msg("%s/%s: not listed with others", dir,
			         g->name[k]);
		free(g->name[k]);
	}
	free(g);
}

FX int fx_walk(struct fx *f, const char *dir)
{
	struct fx_walk w = { f, dir, 0 };
	const char *slash = strchr(dir, '/');

	assert_int_equal(f->m->ops->list(f->m, &f->ctx, dir, 0, fx_same, &w), 0);
	slash = slash ? strchr(slash + 1, '/') : NULL;
	if (slash && !strchr(slash + 1, '/'))
		fx_together(f, dir);
	return w.n;
}

FX int fx_same(void *arg, const char *name, const struct fsp_entry *e)
{
	struct fx_walk *w = arg;
	char *path = fsp_path_join(w->dir, name);
	struct fsp_ref ref = { e->attr.ino, path };
	struct fsp_entry a = { .attr = { .ino = 0 } };
	struct fsp_entry b = { .attr = { .ino = 0 } };

	assert_int_equal(w->f->m->ops->lookup(w->f->m, &w->f->ctx, w->dir,
	                                      name, false, &a), 0);
	assert_int_equal(w->f->m->ops->getattr(w->f->m, &w->f->ctx, &ref, &b),
	                 0);
	if (memcmp(&a, e, sizeof(a)) != 0)
		fail_msg("%s: lookup and list differ", path);
	assert_int_equal(b.attr.ino, e->attr.ino);
	assert_int_equal(b.attr.mode, e->attr.mode);
	assert_int_equal(b.attr.mtime_ns, e->attr.mtime_ns);
	w->n++;
	if (S_ISDIR(e->attr.mode))
		w->n += fx_walk(w->f, path);
	free(path);
	return 0;
}

/* ---- PHP */

FX void fx_sql(struct fx *f, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

FX void fx_sql(struct fx *f, const char *fmt, ...)
{
	char *sql = NULL;
	va_list ap;

	va_start(ap, fmt);
	assert_true(vasprintf(&sql, fmt, ap) >= 0);
	va_end(ap);
	fx_db_run(&f->db, sql);
	free(sql);
}

FX int64_t fx_number(struct fx *f, const char *sql)
{
	return fx_db_number(&f->db, sql);
}

/* deleteFile of the library: the time is the server's. */
FX void fx_php_delete(struct fx *f, const char *space, const char *key)
{
	fx_sql(f, "UPDATE filespace_file SET deleted_at = %lld WHERE"
	       " space_key = '%s' AND file_key = '%s' AND deleted_at = 0",
	       (long long)(fsp_now_us() / 1000000), space, key);
}

/* upload: close, then insert without naming deleted_at. */
FX int64_t fx_php_upload(struct fx *f, const char *space, const char *key,
                         char c, int64_t size, int64_t mtime)
{
	char hash[41] = "";

	memset(hash, c, 40);
	fx_php_delete(f, space, key);
	fx_sql(f, "INSERT INTO filespace_file (space_key, file_key, data_hash,"
	       " created_at, size_original, size_storage) VALUES ('%s', '%s',"
	       " '%s', '%lld', '%lld', '%lld')", space, key, hash,
	       (long long)mtime, (long long)size, (long long)size);
	return fx_db_last_id(&f->db);
}

/* getFile: the hash's first character, or 0. */
FX char fx_php_get(struct fx *f, const char *space, const char *key)
{
	char sql[512];
	int64_t c;

	snprintf(sql, sizeof(sql), "SELECT " FX_ORD "(data_hash) FROM"
	         " filespace_file WHERE space_key = '%s' AND file_key = '%s'"
	         " AND deleted_at = 0 ORDER BY created_at DESC LIMIT 1", space,
	         key);
	c = fx_number(f, sql);
	return c < 0 ? 0 : (char)c;
}

#define FX_TEST(fn) cmocka_unit_test_setup_teardown(fn, fx_setup, fx_teardown)
#define FX_DIR_TEST(fn) \
	cmocka_unit_test_setup_teardown(fn, fx_setup_dir, fx_teardown)

#endif
