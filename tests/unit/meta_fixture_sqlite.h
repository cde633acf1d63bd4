/* SQLite under the suites of meta: a file in a directory of its own. */
#ifndef META_FIXTURE_SQLITE_H
#define META_FIXTURE_SQLITE_H

#include <sqlite3.h>

#define FX_ORD "unicode"        /* of the first character */
/* What a trigger does to fail. */
#define FX_ABORT "BEGIN SELECT RAISE(ABORT, 'no'); END"

struct fx_db {
	char dir[64], path[96];
	sqlite3 *php;           /* opened on first use */
};

/* empty: without tables, as a new file is. */
FX void fx_db_make(struct fx_db *d, bool empty)
{
	(void)empty;
	*d = (struct fx_db){ .php = NULL };
	strcpy(d->dir, "/tmp/fsp-meta-XXXXXX");
	assert_non_null(mkdtemp(d->dir));
	snprintf(d->path, sizeof(d->path), "%s/meta.db", d->dir);
}

FX int fx_db_open(struct fx_db *d, const struct fsp_meta_options *o,
                  struct fsp_meta **out, char **error)
{
	return fsp_meta_sqlite_open(d->path, o, out, error);
}

/* As another process sees it. */
FX int fx_db_open_by_name(const char *path, const struct fsp_meta_options *o,
                          struct fsp_meta **out, char **error)
{
	return fsp_meta_sqlite_open(path, o, out, error);
}

FX sqlite3 *fx_db_php(struct fx_db *d)
{
	if (!d->php) {
		assert_int_equal(sqlite3_open(d->path, &d->php), SQLITE_OK);
		sqlite3_busy_timeout(d->php, 20000);
	}
	return d->php;
}

FX void fx_db_hang_up(struct fx_db *d)
{
	if (d->php)
		sqlite3_close(d->php);
	d->php = NULL;
}

FX void fx_db_drop(struct fx_db *d)
{
	fx_db_hang_up(d);
	fsp_rm_tree(d->dir);
}

FX void fx_db_run(struct fx_db *d, const char *sql)
{
	char *error = NULL;

	if (sqlite3_exec(fx_db_php(d), sql, NULL, NULL, &error))
		fail_msg("%s: %s", sql, error);
}

/* Keeps all writers out until ROLLBACK. */
FX void fx_db_lock(struct fx_db *d)
{
	fx_db_run(d, "BEGIN IMMEDIATE");
}

/* INT64_MIN without a row. */
FX int64_t fx_db_number(struct fx_db *d, const char *sql)
{
	sqlite3_stmt *st;
	int64_t v = INT64_MIN;

	assert_int_equal(sqlite3_prepare_v2(fx_db_php(d), sql, -1, &st, NULL),
	                 0);
	if (sqlite3_step(st) == SQLITE_ROW)
		v = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return v;
}

FX int64_t fx_db_last_id(struct fx_db *d)
{
	return sqlite3_last_insert_rowid(fx_db_php(d));
}

#endif
