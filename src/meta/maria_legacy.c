/*
 * PHP's two tables, untouched: what statements see of them. Names come as the
 * bytes that PHP wrote, which is what its connection's character set makes of
 * the columns; space_key_raw is the column itself, for its index.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "maria_pool.h"
#include "maria_schema.h"

/* The tables that are not there are empty. */
static const char *const no_tables[SQL_TABLES] = {
	[SQL_NAME] = "(SELECT 0 AS id, '' AS space_key,"
		" '' AS space_key_raw, '' AS dir_key, '' AS name,"
		" 0 AS live, 0 AS ino, 0 AS file_id,"
		" '' AS owner, 0 AS since_us, 0 AS closed_us"
		" FROM filespace WHERE 0)",
	[SQL_NODE] = "(SELECT 0 AS ino, 0 AS mode, 0 AS uid, 0 AS gid,"
		" 0 AS nlink, 0 AS rdev, '' AS target, 0 AS atime_ns,"
		" 0 AS mtime_ns, 0 AS ctime_ns FROM filespace WHERE 0)",
	[SQL_OBJECT] = "(SELECT '' AS object_key, '' AS sha256, '' AS sha1,"
		" 0 AS size, 0 AS stored, '' AS format, 0 AS verified_us"
		" FROM filespace WHERE 0)",
	[SQL_MOUNT] = "(SELECT '' AS id, '' AS host, 0 AS pid, '' AS path,"
		" 0 AS started_us, 0 AS read_only, '' AS spool, 0 AS lease_us"
		" FROM filespace WHERE 0)",
	[SQL_INFO] = "(SELECT '' AS name, '' AS value FROM filespace WHERE 0)",
	[SQL_XATTR] = "(SELECT 0 AS ino, '' AS name, '' AS value"
		" FROM filespace WHERE 0)",
	[SQL_CHANGE] = "(SELECT 0 AS id, 0 AS at_us, '' AS origin,"
		" '' AS space_key, '' AS dir_key, '' AS name, 0 AS ino,"
		" 0 AS named FROM filespace WHERE 0)",
	[SQL_BLOCKS] = MARIA_NO_BLOCKS,
	[SQL_LOCK] = "(SELECT 0 AS id, 0 AS ino, 0 AS kind, '' AS mount,"
		" 0 AS owner, 0 AS type, 0 AS first_byte, 0 AS last_byte,"
		" 0 AS pid FROM filespace WHERE 0)",
};

static bool is_name(const char *column)
{
	return strcmp(column, "file_key") == 0 ||
		strcmp(column, "space_key") == 0 ||
		strcmp(column, "data_hash") == 0 || strcmp(column, "name") == 0;
}

static int add_column(struct fsp_buf *b, const char *name, bool there,
                      const char *charset)
{
	if (!there)
		return fsp_buf_printf(b, "NULL AS %s, ", name);
	if (!is_name(name))
		return fsp_buf_printf(b, "%s, ", name);
	return fsp_buf_printf(b, "CAST(CONVERT(%s USING %s) AS BINARY)"
	                      " AS %s, ", name, charset, name);
}

static char *make_table(const char *table, const char *const *columns,
                        uint32_t have, const char *charset, const char *more)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	int err = fsp_buf_adds(&b, "(SELECT ");

	for (int i = 0; columns[i] && !err; i++)
		err = add_column(&b, columns[i], have & (1U << i), charset);
	if (!err)
		err = fsp_buf_printf(&b, "space_key AS space_key_raw, %s"
		                     " FROM %s)", more, table);
	return err ? NULL : fsp_buf_steal(&b);
}

int maria_legacy_dialect(const struct maria_found *f, const char *charset,
                         struct sql_dialect *d)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyz0123456789_";

	*d = (struct sql_dialect){ .update = "", .part = "(", .last = "NULL",
	                           .raw = true };
	if (!*charset || charset[strspn(charset, safe)])
		return -EINVAL;
	for (int i = SQL_NAME; i < SQL_TABLES; i++)
		d->table[i] = strdup(no_tables[i]);
	d->table[SQL_FILE] = make_table(
		"filespace_file", maria_file_columns, f->file_columns, charset,
		"NULL AS ino, NULL AS mode, NULL AS uid, NULL AS gid,"
		" NULL AS mtime_ns, NULL AS stored_at, NULL AS since_us,"
		" NULL AS closed_us, NULL AS pred_id");
	d->table[SQL_SPACE] = make_table(
		"filespace", maria_space_columns, f->space_columns, charset,
		"NULL AS since_us, NULL AS closed_us");
	for (int i = 0; i < SQL_TABLES; i++)
		if (!d->table[i])
			return -ENOMEM;
	return 0;
}

void maria_legacy_free(struct sql_dialect *d)
{
	for (int i = 0; i < SQL_TABLES; i++) {
		free((char *)(uintptr_t)d->table[i]);
		d->table[i] = NULL;
	}
}
