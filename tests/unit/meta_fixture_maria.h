/* MariaDB under the suites of meta: a database for each test, on the server
 * that the runner gives. */
#ifndef META_FIXTURE_MARIA_H
#define META_FIXTURE_MARIA_H

#include "maria_fixture.h"

#define FX_ORD "ord"            /* of the first character */
/* What a trigger does to fail. */
#define FX_ABORT "FOR EACH ROW SIGNAL SQLSTATE '45000'"

struct fx_db {
	char path[64];          /* the name of the database */
	MYSQL *php;             /* opened on first use */
};

static bool fx_tables;          /* our tables are in the database */

/* Making tables takes long, emptying them does not. */
FX void fx_db_empty(MYSQL *my)
{
	static const char *const all[] = {
		"filespace_file", "filespace", "fsp_name", "fsp_node",
		"fsp_object", "fsp_mount", "fsp_xattr", "fsp_lock",
		"fsp_outcome", "fsp_change", "fsp_blocks", NULL
	};
	char sql[200];

	maria_do(my, "BEGIN");
	for (int i = 0; all[i]; i++) {
		snprintf(sql, sizeof(sql), "DELETE FROM %s", all[i]);
		maria_do(my, sql);
	}
	maria_do(my, "DELETE FROM fsp_info WHERE name NOT IN"
	         " ('store', 'schema', 'journal')");
	maria_do(my, "INSERT INTO fsp_info VALUES ('next_ino', '16'),"
	         " ('sync', '0'), ('created', UNIX_TIMESTAMP())");
	maria_do(my, "COMMIT");
	maria_do(my, "ALTER TABLE filespace_file AUTO_INCREMENT = 1");
	maria_do(my, "ALTER TABLE filespace AUTO_INCREMENT = 1");
	maria_do(my, "ALTER TABLE fsp_name AUTO_INCREMENT = 1");
}

FX void fx_db_at_exit(void)
{
	maria_drop_all();
}

/* empty: without tables. */
FX void fx_db_make(struct fx_db *d, bool empty)
{
	static bool registered;

	*d = (struct fx_db){ .php = NULL };
	maria_skip_unless_server();
	if (!registered)
		atexit(fx_db_at_exit);
	registered = true;
	if (empty || !fx_tables) {
		maria_fresh();
	} else {
		MYSQL *my = maria_other(maria_db, "utf8mb4");

		fx_db_empty(my);
		mysql_close(my);
	}
	fx_tables = !empty;
	snprintf(d->path, sizeof(d->path), "%s", maria_db);
}

/* As another process sees it. */
FX int fx_db_open_by_name(const char *path, const struct fsp_meta_options *o,
                          struct fsp_meta **out, char **error)
{
	struct fsp_maria_options m = maria_test_options();

	m.database = path;
	m.connections = o->connections;
	return fsp_meta_maria_open(&m, o, out, error);
}

FX int fx_db_open(struct fx_db *d, const struct fsp_meta_options *o,
                  struct fsp_meta **out, char **error)
{
	return fx_db_open_by_name(d->path, o, out, error);
}

FX MYSQL *fx_db_php(struct fx_db *d)
{
	if (!d->php)
		d->php = maria_other(d->path, "utf8mb4");
	return d->php;
}

FX void fx_db_hang_up(struct fx_db *d)
{
	if (d->php)
		mysql_close(d->php);
	d->php = NULL;
}

FX void fx_db_drop(struct fx_db *d)
{
	fx_db_hang_up(d);
}

FX void fx_db_run(struct fx_db *d, const char *sql)
{
	maria_do(fx_db_php(d), sql);
}

/* Keeps all writers out until ROLLBACK. */
FX void fx_db_lock(struct fx_db *d)
{
	fx_db_run(d, "BEGIN");
	fx_db_run(d, "UPDATE fsp_shard SET turn = turn + 1");
	fx_db_run(d, "UPDATE fsp_node SET nlink = nlink + 1");
}

/* INT64_MIN without a row. */
FX int64_t fx_db_number(struct fx_db *d, const char *sql)
{
	MYSQL *my = fx_db_php(d);
	MYSQL_RES *res;
	MYSQL_ROW row;
	int64_t v = INT64_MIN;

	if (mysql_query(my, sql))
		fail_msg("%s: %s", sql, mysql_error(my));
	res = mysql_store_result(my);
	assert_non_null(res);
	row = mysql_fetch_row(res);
	if (row)
		v = row[0] ? strtoll(row[0], NULL, 10) : 0;
	mysql_free_result(res);
	return v;
}

FX int64_t fx_db_last_id(struct fx_db *d)
{
	return (int64_t)mysql_insert_id(fx_db_php(d));
}

#endif
