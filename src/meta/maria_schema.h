/*
 * MariaDB's tables: what they must look like, what a database holds, and how
 * the one becomes the other. Private to maria_*.c.
 *
 * maria_schema_tables.c describes every table once; creating, planning,
 * checking and upgrading read that description.
 */
#ifndef FSP_MARIA_SCHEMA_H
#define FSP_MARIA_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fsp_buf;
struct fsp_ctx;
struct maria_link;

#define MARIA_SCHEMA_VERSION 3

/* ---- the description */

enum maria_column_kind {
	MARIA_NULL,             /* may be NULL, which is the default */
	MARIA_NOT_NULL,
	MARIA_COUNT,            /* NOT NULL DEFAULT 0 */
	MARIA_ID,               /* AUTO_INCREMENT */
	MARIA_NOW,              /* DEFAULT the current microsecond */
	MARIA_PLACE,            /* the digest of a name's place */
	MARIA_HEAD              /* the first bytes of file_key */
};

struct maria_column {
	const char *name;
	const char *type;       /* as information_schema prints it */
	enum maria_column_kind kind;
};

struct maria_index {
	const char *name;       /* PRIMARY is the primary key */
	bool unique;
	const char *parts;      /* "a,b(900)" */
};

struct maria_table {
	const char *name;
	const struct maria_column *columns;     /* the last has no name */
	const struct maria_index *indexes;      /* likewise */
	const char *rows;       /* makes the rows it begins with; repeatable */
};

extern const struct maria_table maria_file_table, maria_space_table;
/* Those of our own, in the order of making; NULL-terminated. */
extern const struct maria_table *const maria_own_tables[];
/* fsp_info says last of all that everything is there. */
extern const char maria_version_row[];

struct maria_journal_trigger {
	const char *name;
	const char *sql;        /* makes it anew */
};
/* The last has no name. */
extern const struct maria_journal_trigger maria_journal_triggers[];
/* fsp_info says that they are all there. */
extern const char maria_journal_row[];
/* A query for why the user may not make them; nothing where he may. */
extern const char maria_no_triggers[];

/* CREATE TABLE IF NOT EXISTS, under another name where `as` is given. */
int maria_table_sql(const struct maria_table *t, const char *as,
                    struct fsp_buf *out);
/* A column, and an index, as they stand in CREATE and ALTER TABLE. */
int maria_column_sql(const struct maria_column *c, struct fsp_buf *out);
int maria_index_sql(const struct maria_index *i, struct fsp_buf *out);

/* ---- what a database holds */

enum maria_schema {
	MARIA_NOTHING,          /* none of the tables */
	MARIA_LEGACY,           /* PHP's two, perhaps on their way to ours */
	MARIA_OURS,
	MARIA_NEWER,
	MARIA_UNKNOWN
};

/* PHP's columns in order; NULL-terminated. */
extern const char *const maria_file_columns[];
extern const char *const maria_space_columns[];

struct maria_found {
	enum maria_schema kind;
	int version;
	bool journal;           /* changes are written down */
	/* which of PHP's columns there are: bits in the order above */
	uint32_t file_columns, space_columns;
	char *why;              /* MARIA_UNKNOWN: a sentence */
};

/* Looks, with SELECT on the two tables only. */
int maria_schema_detect(struct maria_link *l, const struct fsp_ctx *ctx,
                        struct maria_found *out);
void maria_found_free(struct maria_found *f);

/*
 * Hears of a difference: a sentence (NULL: the last one), and the SQL that
 * mends it; NULL where it is not ours to mend. Non-zero ends the comparison.
 */
typedef int (*maria_difference)(void *arg, const char *what, const char *sql);

/* How a table, perhaps under another name, differs from its description. */
int maria_table_compare(struct maria_link *l, const struct fsp_ctx *ctx,
                        const struct maria_table *t, const char *as,
                        maria_difference each, void *arg);

/*
 * Makes all tables in a database that has none of them. Repeatable, also by
 * two hosts at once.
 */
int maria_schema_create(struct maria_link *l, const struct fsp_ctx *ctx);

#endif
