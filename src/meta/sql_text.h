/*
 * The texts of statements: what sql_*.c write, and what a database is asked.
 *
 *   {file} {space} ...     a table, see sqldrv.h
 *   {update}               FOR UPDATE, where there is such a thing
 *   {eq f.space_key}       f.space_key = ?
 *   {eq x.file_key f.file_key}   x.file_key = f.file_key
 *
 * A dialect is raw when the tables that it names give a column `space_key` of
 * bytes that no index knows, beside `space_key_raw` that one does, though in
 * a collation of its own: then {eq} compares both, and one parameter of the
 * text is two of the statement.
 */
#ifndef FSP_SQL_TEXT_H
#define FSP_SQL_TEXT_H

#include <stdbool.h>
#include <stdint.h>

enum sql_table {
	SQL_FILE, SQL_SPACE, SQL_NAME, SQL_NODE, SQL_OBJECT, SQL_MOUNT,
	SQL_INFO, SQL_XATTR, SQL_LOCK, SQL_TABLES
};

#define SQL_PARAMS 64           /* of one statement, at the most */

struct sql_dialect {
	const char *table[SQL_TABLES];  /* what stands for {file} and so on */
	const char *update;             /* for {update}, with its blank, or "" */
	bool raw;
};

struct sql_text {
	char *sql;                      /* fresh */
	int params;                     /* of the text: what is bound */
	int physical;                   /* of the statement */
	/* which of the text's, from 0, each of the statement's is */
	uint8_t param[SQL_PARAMS];
};

/* -ENOMEM; -EINVAL for an unknown name in braces, or too many parameters. */
int sql_text_expand(const struct sql_dialect *d, const char *text,
                    struct sql_text *out);
void sql_text_free(struct sql_text *t);

#endif
