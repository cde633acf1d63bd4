/* SERVERS mariadb */
/* What the test of a store says of MariaDB. */
#include "maria_fixture.h"

#include "../../src/meta/maria_schema.h"
#include "fsp_step.h"

#define STEPS 24

static struct fsp_ctx ctx;
static struct {
	char what[64], found[512];
	enum fsp_step_result result;
	int64_t ns;
	bool advice;
} steps[STEPS];
static int n_steps;

static void note(void *arg, const struct fsp_step *s)
{
	assert_ptr_equal(arg, steps);
	assert_string_equal(s->part, "database");
	assert_true(n_steps < STEPS);
	snprintf(steps[n_steps].what, sizeof(steps->what), "%s", s->what);
	snprintf(steps[n_steps].found, sizeof(steps->found), "%s",
	         s->found ? s->found : "");
	steps[n_steps].result = s->result;
	steps[n_steps].ns = s->ns;
	steps[n_steps++].advice = s->advice != NULL;
	assert_null(strstr(steps[n_steps - 1].found,
	                   getenv("FSP_TEST_MYSQL_PASSWORD")));
}

static void look(const struct fsp_maria_options *o, bool read_only)
{
	n_steps = 0;
	fsp_meta_maria_facts(o, &ctx, read_only, note, steps);
}

/* The step of that name must be there, with that result and these words. */
static void expect(const char *what, enum fsp_step_result result,
                   const char *found)
{
	for (int i = 0; i < n_steps; i++) {
		if (strcmp(steps[i].what, what) != 0)
			continue;
		if (steps[i].result != result || !strstr(steps[i].found, found))
			fail_msg("%s: result %d: %s", what,
			         (int)steps[i].result, steps[i].found);
		return;
	}
	fail_msg("no step '%s'", what);
}

static bool has(const char *what)
{
	for (int i = 0; i < n_steps; i++)
		if (strcmp(steps[i].what, what) == 0)
			return true;
	return false;
}

static int setup(void **state)
{
	(void)state;
	ctx = fsp_ctx_background();
	maria_fresh();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	maria_drop_all();
	return 0;
}

static void make_tables(void)
{
	struct fsp_maria_options o = maria_test_options();
	struct maria_link *l;

	assert_int_equal(maria_connect(&o, &ctx, MARIA_WRITER, NULL, &l, NULL),
	                 0);
	assert_int_equal(maria_schema_create(l, &ctx), 0);
	maria_close(l);
}

static void test_all_well(void **state)
{
	struct fsp_maria_options o = maria_test_options();

	(void)state;
	make_tables();
	look(&o, false);
	expect("connect", FSP_STEP_OK, "127.0.0.1");
	expect("TLS", FSP_STEP_WARN, "none");
	expect("version", FSP_STEP_OK, "MariaDB");
	expect("clock of this machine", FSP_STEP_OK, " s to the server's");
	expect("role", FSP_STEP_OK, "alone");
	expect("round trip", FSP_STEP_OK, "");
	expect("schema", FSP_STEP_OK, "version 3");
	expect("read the tables", FSP_STEP_OK, "");
	expect("write to the tables", FSP_STEP_OK, "");
	expect("rights for an upgrade", FSP_STEP_OK, "ALTER, CREATE, INDEX");
	for (int i = 0; i < n_steps; i++)
		if (strcmp(steps[i].what, "round trip") == 0)
			assert_true(steps[i].ns > 0);
	/* A reader is asked for no right to write. */
	look(&o, true);
	expect("read the tables", FSP_STEP_OK, "");
	assert_false(has("write to the tables"));
}

static void test_schema(void **state)
{
	struct fsp_maria_options o = maria_test_options();
	MYSQL *php;

	(void)state;
	look(&o, false);
	expect("schema", FSP_STEP_FAIL, "no tables");
	assert_false(has("write to the tables"));
	make_tables();
	php = maria_other(maria_db, "utf8mb4");
	maria_do(php, "UPDATE fsp_info SET value = '99' WHERE name = 'schema'");
	look(&o, false);
	expect("schema", FSP_STEP_FAIL, "newer");
	maria_do(php, "DROP TABLE fsp_info");
	look(&o, false);
	expect("schema", FSP_STEP_FAIL, "PHP's tables");
	expect("read the tables", FSP_STEP_OK, "");
	look(&o, true);
	expect("schema", FSP_STEP_WARN, "PHP's tables");
	maria_do(php, "DROP TABLE filespace");
	look(&o, false);
	expect("schema", FSP_STEP_FAIL, "filespace is missing");
	mysql_close(php);
}

/* A table that the statements do not fit any more is named. */
static void test_tables(void **state)
{
	struct fsp_maria_options o = maria_test_options();
	MYSQL *php;

	(void)state;
	make_tables();
	php = maria_other(maria_db, "utf8mb4");
	maria_do(php, "DROP TABLE fsp_xattr");
	look(&o, false);
	expect("read the tables", FSP_STEP_FAIL, "fsp_xattr");
	assert_false(has("write to the tables"));
	mysql_close(php);
}

/* As the administrator, who alone makes users. */
static void as_root(const char *sql)
{
	MYSQL *my = mysql_init(NULL);

	assert_non_null(my);
	if (!mysql_real_connect(my, NULL, "root", NULL, NULL, 0,
	                        getenv("FSP_TEST_MYSQL_SOCKET"), 0))
		fail_msg("connect: %s", mysql_error(my));
	maria_do(my, sql);
	mysql_close(my);
}

static void test_rights(void **state)
{
	struct fsp_maria_options o = maria_test_options();
	char sql[512], user[80];

	(void)state;
	make_tables();
	snprintf(user, sizeof(user), "u_%s", maria_db);
	snprintf(sql, sizeof(sql), "CREATE OR REPLACE USER %s@'127.0.0.1'"
	         " IDENTIFIED BY '%s'", user, o.password);
	as_root(sql);
	snprintf(sql, sizeof(sql), "GRANT SELECT ON %s.* TO %s@'127.0.0.1'",
	         maria_db, user);
	as_root(sql);
	o.user = user;
	look(&o, false);
	expect("read the tables", FSP_STEP_OK, "");
	expect("write to the tables", FSP_STEP_FAIL, "INSERT command denied");
	expect("rights for an upgrade", FSP_STEP_WARN, "none");
	snprintf(sql, sizeof(sql), "GRANT INSERT, UPDATE ON %s.* TO"
	         " %s@'127.0.0.1'", maria_db, user);
	as_root(sql);
	look(&o, false);
	expect("write to the tables", FSP_STEP_FAIL, "DELETE command denied");
	snprintf(sql, sizeof(sql), "GRANT DELETE, ALTER ON %s.* TO"
	         " %s@'127.0.0.1'", maria_db, user);
	as_root(sql);
	look(&o, false);
	expect("write to the tables", FSP_STEP_OK, "");
	expect("rights for an upgrade", FSP_STEP_WARN, "ALTER");
	snprintf(sql, sizeof(sql), "REVOKE SELECT ON %s.* FROM %s@'127.0.0.1'",
	         maria_db, user);
	as_root(sql);
	look(&o, true);
	assert_true(steps[n_steps - 1].result == FSP_STEP_FAIL);
	snprintf(sql, sizeof(sql), "DROP USER %s@'127.0.0.1'", user);
	as_root(sql);
}

static void test_connect(void **state)
{
	struct fsp_maria_options o = maria_test_options();

	(void)state;
	o.password = "wrong";
	look(&o, false);
	expect("connect", FSP_STEP_FAIL, "Access denied");
	assert_int_equal(n_steps, 1);
	assert_true(steps[0].advice);
	o = maria_test_options();
	o.port = 1;
	look(&o, false);
	expect("connect", FSP_STEP_FAIL, "127.0.0.1");
	assert_int_equal(n_steps, 1);
	o = maria_test_options();
	o.database = "no_such_database";
	look(&o, false);
	expect("connect", FSP_STEP_FAIL, "no_such_database");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all_well, setup, teardown),
		cmocka_unit_test_setup_teardown(test_schema, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tables, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rights, setup, teardown),
		cmocka_unit_test_setup_teardown(test_connect, setup, teardown),
	};

	maria_skip_unless_server();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
