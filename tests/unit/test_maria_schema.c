/* SERVERS mariadb */
/* The tables on MariaDB: making them. */
#include "maria_fixture.h"

#include "../../src/meta/maria_schema.h"

static struct fsp_ctx ctx;
static struct maria_link *conn;
static MYSQL *php;

static int setup(void **state)
{
	struct fsp_maria_options o;

	(void)state;
	maria_fresh();
	ctx = fsp_ctx_background();
	o = maria_test_options();
	assert_int_equal(maria_connect(&o, &ctx, MARIA_WRITER, NULL, &conn,
	                               NULL), 0);
	php = maria_other(maria_db, "utf8mb4");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	maria_close(conn);
	mysql_close(php);
	maria_drop();
	return 0;
}

static enum maria_schema detect(void)
{
	struct maria_found f;

	assert_int_equal(maria_schema_detect(conn, &ctx, &f), 0);
	maria_found_free(&f);
	assert_int_equal(maria_run(conn, &ctx, "COMMIT"), 0);
	return f.kind;
}

static void test_create(void **state)
{
	(void)state;
	assert_int_equal(detect(), MARIA_NOTHING);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(maria_schema_create(conn, &ctx), 0);
		assert_int_equal(detect(), MARIA_OURS);
		assert_int_equal(maria_count(php, "SELECT count(*) FROM"
			" information_schema.tables WHERE table_schema ="
			" DATABASE() AND engine = 'InnoDB' AND row_format ="
			" 'Dynamic'"), 11);
		assert_int_equal(maria_count(php, "SELECT count(*) FROM"
			" fsp_shard WHERE id BETWEEN 0 AND 255"), 256);
		assert_int_equal(maria_count(php, "SELECT count(*) FROM"
			" fsp_info"), 5);
	}
	maria_do(php, "UPDATE fsp_info SET value = '2' WHERE name = 'schema'");
	assert_int_equal(detect(), MARIA_NEWER);
}

/* A creation that was cut short is none yet, and goes on. */
static void test_create_again(void **state)
{
	(void)state;
	assert_int_equal(maria_schema_create(conn, &ctx), 0);
	maria_do(php, "DELETE FROM fsp_info WHERE name = 'schema'");
	assert_int_equal(detect(), MARIA_LEGACY);
	maria_do(php, "DROP TABLE filespace_file");
	assert_int_equal(detect(), MARIA_NOTHING);
	maria_do(php, "DROP TABLE filespace, fsp_shard");
	assert_int_equal(maria_schema_create(conn, &ctx), 0);
	assert_int_equal(detect(), MARIA_OURS);
	maria_do(php, "DROP TABLE filespace");
	assert_int_equal(detect(), MARIA_UNKNOWN);
}

/* One name at a place, any number of ended ones; bytes are bytes. */
static void test_names(void **state)
{
	static const char insert[] =
		"INSERT INTO fsp_name (space_key, dir_key, name, live, ino,"
		" since_us) VALUES ('a.b', 'c', 'd', ";

	(void)state;
	assert_int_equal(maria_schema_create(conn, &ctx), 0);
	for (int i = 0; i < 2; i++) {
		FSP_FREE char *sql = fsp_strf("%sNULL, 17, 1)", insert);

		maria_do(php, sql);
	}
	{
		FSP_FREE char *sql = fsp_strf("%s1, 17, 1)", insert);

		maria_do(php, sql);
		assert_int_not_equal(mysql_query(php, sql), 0);
		assert_int_equal(mysql_errno(php), 1062);
	}
	maria_do(php, "INSERT INTO fsp_name (space_key, dir_key, name, live,"
	              " ino, since_us) VALUES ('a.b', 'c', 'D', 1, 18, 1),"
	              " ('a.b', 'c', 'd ', 1, 19, 1), ('a.b', '', 'd', 1, 20,"
	              " 1)");
}

/* PHP's statements, and what they leave to defaults. */
static void test_php(void **state)
{
	(void)state;
	assert_int_equal(maria_schema_create(conn, &ctx), 0);
	maria_do(php, "INSERT INTO filespace_file (file_key, space_key,"
	              " data_hash, created_at, size_original, size_storage)"
	              " VALUES ('f\xc3\xa9', 'a.b.c', 'abc', 1431080000, 5, 5)");
	assert_int_equal(maria_count(php, "SELECT count(*) FROM filespace_file"
		" WHERE deleted_at = 0 AND key_head = file_key AND"
		" file_key = 'f\xc3\xa9' AND hex(file_key) = '66C3A9'"), 1);
	assert_int_equal(maria_count(php, "SELECT count(*) FROM filespace_file"
		" WHERE abs(stored_at / 1000000 - unix_timestamp()) < 100"), 1);
	maria_do(php, "SET time_zone = '+05:00'");
	maria_do(php, "INSERT INTO filespace_file (file_key, space_key,"
	              " data_hash, created_at, size_original, size_storage)"
	              " VALUES ('g', 'a.b.c', 'abc', 1431080000, 5, 5)");
	assert_int_equal(maria_count(php, "SELECT max(stored_at) -"
		" min(stored_at) < 100000000 FROM filespace_file"), 1);
	maria_do(php, "UPDATE filespace_file SET deleted_at = 1431090000 WHERE"
	              " space_key = 'a.b.c' AND file_key = 'f\xc3\xa9' AND"
	              " deleted_at = 0");
	assert_int_equal(mysql_affected_rows(php), 1);
	maria_do(php, "INSERT INTO filespace (space_key, name, created_at)"
	              " VALUES ('a.b.c', 'A', 1), ('a.b.c', 'A', 1)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_create, setup, teardown),
		cmocka_unit_test_setup_teardown(test_create_again, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_php, setup, teardown),
	};

	maria_skip_unless_server();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
