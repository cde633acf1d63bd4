/* What the SQLite files share: connections without a pool, for set-up. */
#ifndef FSP_SQLITE_DRV_H
#define FSP_SQLITE_DRV_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "sqldrv.h"

#define SQLITE_SCHEMA_VERSION 5

enum sqlite_schema {
	SQLITE_NOTHING,         /* an empty database */
	SQLITE_LEGACY,          /* PHP's two tables */
	SQLITE_OURS,
	SQLITE_NEWER,
	SQLITE_UNKNOWN
};

/* What a database holds; columns that PHP's tables lack are bits. */
struct sqlite_found {
	enum sqlite_schema kind;
	int version;
	uint32_t file_columns, space_columns;
	char *why;              /* SQLITE_UNKNOWN: a sentence; caller frees */
};

/* Bits of file_columns and space_columns, in the order of the tables. */
extern const char *const sqlite_file_columns[];         /* NULL-terminated */
extern const char *const sqlite_space_columns[];

/* The error number of a result code, with a line in the log where it is ours
 * to tell. ctx may be NULL. */
int sqlite_errno(sqlite3 *db, int rc, const struct fsp_ctx *ctx);

/* One statement without result. */
int sqlite_run(sqlite3 *db, const char *sql);

/* The integer that a statement selects; -ENOENT without a row. */
int sqlite_select(sqlite3 *db, const char *sql, int64_t *v);

int sqlite_detect(sqlite3 *db, struct sqlite_found *out);

/* Brings db from version to ours, printing to out (may be NULL) and executing
 * unless dry_run; the caller's transaction. */
int sqlite_migrate(sqlite3 *db, const struct sqlite_found *f, FILE *out,
                   bool dry_run);

/* A new database: all tables. The caller's transaction. */
int sqlite_create(sqlite3 *db);

struct sqlite_settings {
	const char *path;
	bool read_only, immutable;
	int64_t busy_timeout_ns;
	int connections;
	struct sqlite_found found;
};

/* The error number of opening; *error (caller frees) may be set. */
int sqlite_connect(const char *path, bool read_only, bool immutable,
                   sqlite3 **out, char **error);

/* The settings of a connection; it must know already how to wait. */
int sqlite_set_up(sqlite3 *db);

int sqlite_pool_open(const struct sqlite_settings *s, struct sqldrv **out);

#endif
