/* The texts of statements: tables, locking, comparisons, parameters. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "../../src/meta/sql_text.h"

static const struct sql_dialect plain = {
	.table = {
		"filespace_file", "filespace", "fsp_name", "fsp_node",
		"fsp_object", "fsp_mount", "fsp_info", "fsp_xattr", "fsp_lock"
	},
	.update = " FOR UPDATE",
	.part = "(",
	.last = "LAST_INSERT_ID()",
};

static const struct sql_dialect raw = {
	.table = { "(SELECT 1)", "(SELECT 2)", "c", "d", "e", "f", "g", "h",
	           "i" },
	.update = "",
	.last = "last_insert_rowid()",
	.raw = true,
};

static const struct sql_dialect head = {
	.table = { "a", "b", "c", "d", "e", "f", "g", "h", "i" },
	.update = "",
	.last = "last_insert_rowid()",
	.by_key = " BY KEY", .by_php = " PHP'S",
	.by_scan = " SCANNED",
	.head = true,
	.place = true,
	.dated = true,
};

/* `map` says for each physical parameter which of the text's it is. */
static void expect(const struct sql_dialect *d, const char *text,
                   const char *sql, int params, const char *map)
{
	struct sql_text t;

	assert_int_equal(sql_text_expand(d, text, &t), 0);
	assert_string_equal(t.sql, sql);
	assert_int_equal(t.params, params);
	assert_int_equal(t.physical, strlen(map));
	for (size_t i = 0; map[i]; i++)
		assert_int_equal(t.param[i], map[i] - '0');
	sql_text_free(&t);
	assert_null(t.sql);
}

static void test_tables(void **state)
{
	(void)state;
	expect(&plain, "", "", 0, "");
	expect(&plain, "{file} {space} {name} {node} {object} {mount} {info}"
	       " {xattr} {lock}", "filespace_file filespace fsp_name fsp_node"
	       " fsp_object fsp_mount fsp_info fsp_xattr fsp_lock", 0, "");
	expect(&raw, "SELECT f.id FROM {file} f, {lock}",
	       "SELECT f.id FROM (SELECT 1) f, i", 0, "");
}

static void test_update(void **state)
{
	(void)state;
	expect(&plain, "SELECT 1 FROM {node} d WHERE d.ino = ?{update}",
	       "SELECT 1 FROM fsp_node d WHERE d.ino = ? FOR UPDATE", 1, "0");
	expect(&raw, "SELECT ?{update}", "SELECT ?", 1, "0");
	expect(&plain, "{part}SELECT 1 LIMIT ?) UNION ALL SELECT 2",
	       "(SELECT 1 LIMIT ?) UNION ALL SELECT 2", 1, "0");
	expect(&head, "FROM {file} f{by_key} WHERE", "FROM a f BY KEY WHERE", 0,
	       "");
	expect(&plain, "FROM {file} f{by_key} WHERE",
	       "FROM filespace_file f WHERE", 0, "");
	expect(&head, "{file} f{by_php}, {file}{by_scan}",
	       "a f PHP'S, a SCANNED", 0, "");
	expect(&plain, "SET a = {last}", "SET a = LAST_INSERT_ID()", 0, "");
}

static void test_at(void **state)
{
	(void)state;
	expect(&plain, "b = ? AND {at n} AND c = ?", "b = ? AND n.space_key = ?"
	       " AND n.dir_key = ? AND n.name = ? AND n.live = 1 AND c = ?", 5,
	       "01234");
	expect(&head, "b = ? AND {at n} AND c = ?", "b = ? AND n.place ="
	       " UNHEX(SHA2(CONCAT(?, CHAR(0), ?, CHAR(0), ?), 256)) AND"
	       " n.live = 1 AND c = ?", 5, "01234");
}

static void test_live(void **state)
{
	(void)state;
	expect(&plain, "{live f.deleted_at} AND ({live deleted_at})",
	       "(f.deleted_at IS NULL OR f.deleted_at = 0) AND"
	       " ((deleted_at IS NULL OR deleted_at = 0))", 0, "");
	expect(&head, "{live f.deleted_at} AND {live deleted_at}",
	       "f.deleted_at = 0 AND deleted_at = 0", 0, "");
}

static void test_eq(void **state)
{
	static const char text[] = "a = ? AND {eq f.space_key} AND b = ?"
		" OR {eq s.space_key} AND {eq x.space_key f.space_key} AND"
		" c = ?";

	(void)state;
	expect(&plain, text, "a = ? AND f.space_key = ? AND b = ?"
	       " OR s.space_key = ? AND x.space_key = f.space_key AND c = ?",
	       5, "01234");
	expect(&raw, text, "a = ? AND (f.space_key_raw = ? AND f.space_key"
	       " = ?) AND b = ? OR (s.space_key_raw = ? AND s.space_key = ?)"
	       " AND (x.space_key_raw = f.space_key_raw AND x.space_key ="
	       " f.space_key) AND c = ?", 5, "0112334");
}

static void test_head(void **state)
{
	static const char text[] = "{eq f.file_key} AND {eq file_key} AND"
		" {eq x.file_key n.name || ''} AND {eq f.space_key} AND"
		" {from f.file_key} AND {below f.file_key} ORDER BY"
		" {head f.file_key}";

	(void)state;
	expect(&plain, text, "f.file_key = ? AND file_key = ? AND"
	       " x.file_key = n.name || '' AND f.space_key = ? AND"
	       " f.file_key >= ? AND f.file_key < ? ORDER BY f.file_key",
	       5, "01234");
	expect(&head, text, "f.file_key = ? AND file_key = ? AND"
	       " x.file_key = n.name || '' AND f.space_key = ? AND"
	       " (f.key_head >= LEFT(?, 900) AND f.file_key >= ?) AND"
	       " (f.key_head <= LEFT(?, 900) AND f.file_key < ?) ORDER BY"
	       " f.key_head", 5, "0123344");
	expect(&raw, "{from f.file_key} {head f.file_key} {eq f.file_key}",
	       "f.file_key >= ? f.file_key f.file_key = ?", 2, "01");
}

static void test_literals(void **state)
{
	(void)state;
	expect(&plain, "SELECT '?', '{file}' || '' WHERE a = ?",
	       "SELECT '?', '{file}' || '' WHERE a = ?", 1, "0");
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"{files}", "{fil}", "{", "{file", "{}", "{eq }", "{eq a }",
		"{eq}", "{update }", "SELECT '", "a '{file}", "{from a b}",
		"{from f.space_key}", "{head f.}", "{head f.file_key x}",
		"{most f.file_key}", "{from}"
	};
	char many[2 * SQL_PARAMS + 3] = "";
	struct sql_text t;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(sql_text_expand(&plain, bad[i], &t),
		                 -EINVAL);
		assert_null(t.sql);
	}
	for (int i = 0; i < SQL_PARAMS; i++)
		strcat(many, "? ");
	assert_int_equal(sql_text_expand(&plain, many, &t), 0);
	assert_int_equal(t.physical, SQL_PARAMS);
	sql_text_free(&t);
	strcat(many, "?");
	assert_int_equal(sql_text_expand(&plain, many, &t), -EINVAL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_update),
		cmocka_unit_test(test_at),
		cmocka_unit_test(test_live), cmocka_unit_test(test_eq),
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_literals),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests_name("sql_text", tests, NULL, NULL);
}
