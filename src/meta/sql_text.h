/*
 * The texts of statements: what sql_*.c write, and what a database is asked.
 *
 *   {file} {space} ...     a table, see sqldrv.h
 *   {update}               FOR UPDATE, where there is such a thing
 *   {part}SELECT ...)      of a UNION, with an order and a limit of its own
 *   {last}                 the number that the insert before it gave
 *   {by_key}               after {file}: rows are found by space and key, and
 *                          locked in no other way
 *   {by_php}               after {file}: those of PHP, {below}
 *   {by_scan}              after {file}: all of them, {below}
 *   {at n}                 n.space_key = ? AND n.dir_key = ? AND n.name = ? AND
 *                          n.live = 1
 *   {live f.deleted_at}    f.deleted_at IS NULL OR f.deleted_at = 0, of {file}
 *   {eq f.space_key}       f.space_key = ?
 *   {eq f.file_key n.name} f.file_key = n.name; the other side has no ?
 *   {from f.file_key}      f.file_key >= ?
 *   {below f.file_key}     f.file_key < ?
 *   {head f.file_key}      what rows are sorted by for the order of keys
 *
 * These say the same in every database, in a form for which it has an index.
 * Two kinds are not plain:
 *
 * head: file_key is too long for an index to sort by; its first SQL_HEAD bytes
 * are in the column key_head. Keys with equal heads have no order among them.
 *
 * raw: PHP's own tables, as {file} and {space} give them: bytes in `space_key`,
 * which no index knows, and beside it `space_key_raw`, which one does, but in
 * a collation of its own.
 *
 * There one parameter of a text is two of the statement.
 *
 * place: names have a column that is one value for each place, which a unique
 * index begins with: what is looked for is one row then, if any.
 */
#ifndef FSP_SQL_TEXT_H
#define FSP_SQL_TEXT_H

#include <stdbool.h>
#include <stdint.h>

enum sql_table {
	SQL_FILE, SQL_SPACE, SQL_NAME, SQL_NODE, SQL_OBJECT, SQL_MOUNT,
	SQL_INFO, SQL_XATTR, SQL_LOCK, SQL_CHANGE, SQL_BLOCKS, SQL_TABLES
};

#define SQL_PARAMS 64           /* of one statement, at the most */
#define SQL_HEAD 900            /* bytes of a file_key in key_head */

struct sql_dialect {
	const char *table[SQL_TABLES];  /* what stands for {file} and so on */
	const char *update;             /* for {update}, with its blank, or "" */
	const char *part;               /* for {part} */
	const char *last;               /* for {last} */
	/* for {by_key} and so on: which index it is, so that the server does
	 * not look into all of them each time; NULL: nothing */
	const char *by_key, *by_php, *by_scan;
	bool raw, head, place;
	bool dated;                     /* deleted_at of {file} is never NULL */
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
