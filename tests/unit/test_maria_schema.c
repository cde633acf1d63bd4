/* SERVERS mariadb */
/* The tables on MariaDB: making them, and making them of PHP's. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>

#include "maria_fixture.h"

#include "../../src/meta/maria_schema_up.h"

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


/* ---- upgrades */

#define PHP_FILES \
	"CREATE TABLE filespace_file (id int(10) unsigned NOT NULL" \
	" AUTO_INCREMENT, file_key varchar(256) NOT NULL, space_key" \
	" varchar(256) NOT NULL, data_hash varchar(64) NOT NULL, created_at" \
	" int(11) NOT NULL, deleted_at int(11) DEFAULT NULL, size_original" \
	" int(11) NOT NULL, size_storage int(11) NOT NULL, PRIMARY KEY (id)," \
	" KEY space_key (space_key)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3"
#define PHP_SPACES \
	"CREATE TABLE filespace (id int(10) unsigned NOT NULL AUTO_INCREMENT," \
	" space_key varchar(256) NOT NULL, created_at int(11) NOT NULL," \
	" updated_at int(11) DEFAULT NULL, deleted_at int(11) DEFAULT NULL," \
	" name varchar(256) NOT NULL, PRIMARY KEY (id), KEY space_key" \
	" (space_key)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3"
#define N_ROWS 400

static void php_tables(void)
{
	maria_do(php, PHP_FILES);
	maria_do(php, PHP_SPACES);
	maria_do(php, "INSERT INTO filespace_file (file_key, space_key,"
		" data_hash, created_at, deleted_at, size_original,"
		" size_storage) WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL"
		" SELECT i + 1 FROM n WHERE i < 400) SELECT CONCAT('f\xc3\xa9-',"
		" i DIV 3), CONCAT('a.b.', i MOD 7), SHA1(i), 1431080000 + i,"
		" ELT(1 + i MOD 3, NULL, 0, 1431090000), i, i FROM n");
	maria_do(php, "DELETE FROM filespace_file WHERE id IN (5, 399, 400)");
	maria_do(php, "INSERT INTO filespace (space_key, created_at, name)"
		" WITH RECURSIVE n AS (SELECT 0 AS i UNION ALL SELECT i + 1"
		" FROM n WHERE i < 20) SELECT CONCAT('a.b.', i MOD 7),"
		" 1431080000, CONCAT('R\xc3\xa4um ', i) FROM n");
}

/* What both tables hold, as PHP would see it. */
#define FILES_SUM \
	"SELECT CONCAT(COUNT(*), ' ', COALESCE(BIT_XOR(CRC32(CONCAT_WS('|'," \
	" id, CAST(file_key AS BINARY), CAST(space_key AS BINARY)," \
	" CAST(data_hash AS BINARY), created_at, COALESCE(deleted_at, 0)," \
	" size_original, size_storage))), 0)) FROM filespace_file"
#define SPACES_SUM \
	"SELECT CONCAT(COUNT(*), ' ', COALESCE(BIT_XOR(CRC32(CONCAT_WS('|'," \
	" id, CAST(space_key AS BINARY), created_at, COALESCE(updated_at," \
	" 'NULL'), COALESCE(deleted_at, 'NULL'), CAST(name AS BINARY)))), 0))" \
	" FROM filespace"

static char *content(void)
{
	FSP_FREE char *files = maria_value(php, FILES_SUM);
	FSP_FREE char *spaces = maria_value(php, SPACES_SUM);

	return fsp_strf("%s / %s", files, spaces);
}

/* What somebody was told. */
struct told {
	struct fsp_buf said;
};

static void tell(void *arg, const char *sentence)
{
	struct told *t = arg;

	assert_int_equal(fsp_buf_printf(&t->said, "%s\n", sentence), 0);
}

struct outcome {
	int err;
	bool needed;
	uint64_t rows;
	int64_t locked_ns;
	char *error, *said, *sql;
};

static void outcome_free(struct outcome *o)
{
	free(o->error);
	free(o->said);
	free(o->sql);
}
#define OUTCOME __attribute__((cleanup(outcome_free)))

static struct outcome schema(enum fsp_schema_do what, const char *charset)
{
	struct fsp_maria_options o = maria_test_options();
	struct told told = { FSP_BUF_INIT };
	struct fsp_schema s = {
		.what = what, .ctx = &ctx, .say = tell, .arg = &told,
	};
	struct outcome out = { 0 };
	size_t len;

	o.charset = charset;
	s.sql = open_memstream(&out.sql, &len);
	out.err = fsp_meta_maria_schema(&o, &s);
	fclose(s.sql);
	out.needed = s.needed;
	out.rows = s.rows;
	out.locked_ns = s.locked_ns;
	out.error = s.error;
	out.said = told.said.data ? told.said.data : strdup("");
	return out;
}

/* All in place, nothing left over, and nothing to do any more. */
static void assert_upgraded(void)
{
	struct outcome o OUTCOME = schema(FSP_SCHEMA_CHECK, "utf8mb4");

	if (o.err || o.needed)
		fail_msg("%s%s", o.error ? o.error : "", o.said);
	assert_int_equal(detect(), MARIA_OURS);
	assert_int_equal(maria_count(php, "SELECT COUNT(*) FROM"
		" information_schema.tables WHERE table_schema = DATABASE()"),
		11);
	assert_int_equal(maria_count(php, "SELECT COUNT(*) FROM"
		" information_schema.triggers WHERE trigger_schema ="
		" DATABASE()"), 0);
	assert_int_equal(maria_count(php, "SELECT COUNT(*) FROM fsp_info"), 5);
}

static void test_upgrade(void **state)
{
	FSP_FREE char *before = NULL;
	FSP_FREE char *after = NULL;
	FSP_FREE char *again = NULL;

	(void)state;
	php_tables();
	before = content();
	{
		struct outcome o OUTCOME = schema(FSP_SCHEMA_CHECK, "utf8mb4");

		assert_int_equal(o.err, 0);
		assert_true(o.needed);
		assert_non_null(strstr(o.said, "filespace_file.file_key is "
		                       "varchar(256) NOT NULL"));
		assert_non_null(strstr(o.said, "filespace_file lacks the index"
		                       " fsp_file_key"));
		assert_non_null(strstr(o.said, "the table fsp_name is"));
		assert_string_equal(o.sql, "");
	}
	{
		struct outcome o OUTCOME = schema(FSP_SCHEMA_PLAN, "utf8mb4");

		assert_int_equal(o.err, 0);
		assert_true(o.needed);
		assert_non_null(strstr(o.sql, "RENAME TABLE filespace_file TO "
		                       "fsp_old_file"));
		assert_int_equal(maria_count(php, "SELECT COUNT(*) FROM"
			" information_schema.tables WHERE table_schema ="
			" DATABASE()"), 2);
	}
	{
		struct outcome o OUTCOME = schema(FSP_SCHEMA_UPGRADE,
		                                  "utf8mb4");

		if (o.err)
			fail_msg("%s", o.error ? o.error : "");
		assert_true(o.needed);
		assert_int_equal(o.rows, N_ROWS - 3 + 21);
		assert_true(o.locked_ns > 0);
	}
	assert_upgraded();
	after = content();
	assert_string_equal(before, after);
	assert_int_equal(maria_count(php, "SELECT COUNT(*) FROM filespace_file"
		" WHERE deleted_at IS NULL OR stored_at IS NOT NULL"), 0);
	/* ids that were given are not given again */
	maria_do(php, "INSERT INTO filespace_file (file_key, space_key,"
	              " data_hash, created_at, size_original, size_storage)"
	              " VALUES ('g', 'a.b.c', 'abc', 1431080000, 5, 5)");
	assert_true(mysql_insert_id(php) > N_ROWS);
	{
		struct outcome o OUTCOME = schema(FSP_SCHEMA_UPGRADE,
		                                  "utf8mb4");

		assert_int_equal(o.err, 0);
		assert_false(o.needed);
		assert_int_equal(o.rows, 0);
	}
}

/* ---- upgrades that are killed */

struct stop {
	int at, seen;           /* ends before the at-th statement; 0: never */
};

static int stop_before(void *arg, const char *sql)
{
	struct stop *s = arg;

	(void)sql;
	return ++s->seen == s->at ? -EINTR : 0;
}

/* As a process that is killed before its n-th statement: its connections go. */
static int upgrade_until(int at, int64_t batch, int *seen)
{
	struct fsp_maria_options o = maria_test_options();
	struct fsp_schema job = { .what = FSP_SCHEMA_UPGRADE, .ctx = &ctx };
	struct stop stop = { .at = at };
	struct maria_up u = {
		.o = &o, .job = &job, .batch = batch,
		.before = stop_before, .before_arg = &stop,
	};
	int err = maria_connect(&o, &ctx, MARIA_WRITER, NULL, &u.l, NULL);

	assert_int_equal(err, 0);
	/* the lock of one that was killed goes a moment later */
	do {
		free(job.error);
		job.error = NULL;
		err = maria_schema_session(&u);
	} while (err == -EBUSY);
	assert_int_equal(err, 0);
	err = maria_schema_work(&u);
	maria_close(u.l);
	if (err && err != -EINTR)
		fail_msg("before %d: %s", at, job.error ? job.error : "");
	free(job.error);
	if (seen)
		*seen = stop.seen;
	return err;
}

/* Before each statement on the way of filespace_file. */
static void test_killed(void **state)
{
	FSP_FREE char *before = NULL;
	int n = 0, err = -EINTR;

	(void)state;
	for (int at = 14; err; at++) {
		FSP_FREE char *after = NULL;

		maria_do(php, "DROP TABLE IF EXISTS filespace, filespace_file,"
		         " fsp_info");
		php_tables();
		free(before);
		before = content();
		err = upgrade_until(at, 150, NULL);
		after = content();
		assert_string_equal(before, after);
		if (maria_count(php, "SELECT COUNT(*) FROM"
		                " information_schema.tables WHERE table_schema ="
		                " DATABASE() AND table_name ="
		                " 'fsp_log_space'"))
			break;
		if (err)
			assert_int_equal(upgrade_until(0, 150, NULL), 0);
		free(after);
		after = content();
		assert_string_equal(before, after);
		assert_upgraded();
		n++;
	}
	assert_true(n > 20);
}

/* Killed, and each time further: what is in the way is done. */
static void test_killed_often(void **state)
{
	FSP_FREE char *before = NULL;
	FSP_FREE char *after = NULL;
	int at = 1, err;

	(void)state;
	php_tables();
	before = content();
	do {
		err = upgrade_until(at, 150, NULL);
		at += 2;
		free(after);
		after = content();
		assert_string_equal(before, after);
	} while (err);
	assert_upgraded();
}

/* ---- PHP goes on meanwhile */

#define WRITERS 3
#define KEYS 12

struct writer {
	int n;
	atomic_bool *stop;
	MYSQL *my;
	int live[KEYS];         /* number of the upload that is live; 0: none */
	int uploads;
	char *failed;           /* what went wrong */
};

static bool write_one(struct writer *w, const char *sql, int64_t expected)
{
	if (mysql_query(w->my, sql)) {
		w->failed = fsp_strf("%s: %s", sql, mysql_error(w->my));
	} else if (expected >= 0 &&
	           mysql_affected_rows(w->my) != (my_ulonglong)expected) {
		w->failed = fsp_strf("%s: %d rows, not %d", sql,
		                     (int)mysql_affected_rows(w->my),
		                     (int)expected);
	}
	return !w->failed;
}

/* What the library does for an upload, or for a removal. */
static bool write_round(struct writer *w, unsigned *seed)
{
	int key = rand_r(seed) % KEYS;
	bool upload = rand_r(seed) % 4;
	FSP_FREE char *end = fsp_strf(
		"UPDATE filespace_file SET deleted_at = 1431090001 WHERE"
		" space_key = 'w.w.%d' AND file_key = 'k\xc3\xb6%d' AND"
		" deleted_at = 0", w->n, key);
	FSP_FREE char *insert = fsp_strf(
		"INSERT INTO filespace_file (space_key, file_key, data_hash,"
		" created_at, size_original, size_storage) VALUES ('w.w.%d',"
		" 'k\xc3\xb6%d', SHA1('%d'), 1431080000, 7, 7)", w->n, key,
		w->uploads + 1);
	FSP_FREE char *space = fsp_strf(
		"INSERT INTO filespace (space_key, name, created_at) VALUES"
		" ('w.w.%d', '%d', 1431080000)", w->n, w->uploads + 1);

	if (!write_one(w, end, w->live[key] != 0))
		return false;
	w->live[key] = 0;
	if (!upload)
		return true;
	if (!write_one(w, insert, 1) || !write_one(w, space, 1))
		return false;
	w->live[key] = ++w->uploads;
	return true;
}

static void *writer_thread(void *arg)
{
	struct writer *w = arg;
	unsigned seed = (unsigned)w->n;

	while (!atomic_load(w->stop) && write_round(w, &seed))
		;
	return NULL;
}

static void check_writer(struct writer *w)
{
	FSP_FREE char *rows = fsp_strf("SELECT COUNT(*) FROM filespace_file"
		" WHERE space_key = 'w.w.%d'", w->n);
	FSP_FREE char *spaces = fsp_strf("SELECT COUNT(DISTINCT name) FROM"
		" filespace WHERE space_key = 'w.w.%d'", w->n);

	if (w->failed)
		fail_msg("%s", w->failed);
	assert_int_equal(maria_count(php, rows), w->uploads);
	assert_int_equal(maria_count(php, spaces), w->uploads);
	for (int i = 0; i < KEYS; i++) {
		FSP_FREE char *live = fsp_strf(
			"SELECT COALESCE(SUM(IF(data_hash = SHA1('%d'), 1,"
			" 100)), 0) FROM filespace_file WHERE space_key ="
			" 'w.w.%d' AND file_key = 'k\xc3\xb6%d' AND deleted_at"
			" = 0", w->live[i], w->n, i);

		assert_int_equal(maria_count(php, live), w->live[i] != 0);
	}
}

/* Killed at random places and run again, with writers all the time. */
static void test_writers(void **state)
{
	const char *given = getenv("SEED");
	unsigned seed = given ? (unsigned)atoi(given) :
		(unsigned)fsp_mono_ns();
	struct writer w[WRITERS];
	pthread_t threads[WRITERS];
	atomic_bool stop = false;
	int total = 0;

	(void)state;
	printf("SEED=%u\n", seed);
	php_tables();
	/* So many that an index is used: scans of all rows would deadlock. */
	maria_do(php, "INSERT INTO filespace_file (file_key, space_key,"
	              " data_hash, created_at, deleted_at, size_original,"
	              " size_storage) SELECT CONCAT(x.file_key, y.id),"
	              " CONCAT('a.c.', y.id), x.data_hash, 1, 0, 1, 1 FROM"
	              " filespace_file x JOIN filespace_file y WHERE y.id <"
	              " 60");
	maria_do(php, "ANALYZE TABLE filespace_file");
	maria_do(php, "ALTER TABLE filespace_file ALTER deleted_at SET DEFAULT"
	              " 0");
	for (int i = 0; i < WRITERS; i++) {
		w[i] = (struct writer){
			.n = i, .stop = &stop,
			.my = maria_other(maria_db, "utf8mb4"),
		};
		assert_int_equal(pthread_create(&threads[i], NULL,
		                                writer_thread, &w[i]), 0);
	}
	for (int i = 0; i < 10; i++)
		if (!upgrade_until(1 + rand_r(&seed) % 80, 2000,
		                   NULL))
			break;
	assert_int_equal(upgrade_until(0, 2000, NULL), 0);
	atomic_store(&stop, true);
	for (int i = 0; i < WRITERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		mysql_close(w[i].my);
		check_writer(&w[i]);
		total += w[i].uploads;
		free(w[i].failed);
	}
	assert_true(total > 30);
	printf("%d uploads\n", total);
	assert_upgraded();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_create, setup, teardown),
		cmocka_unit_test_setup_teardown(test_create_again, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_php, setup, teardown),
		cmocka_unit_test_setup_teardown(test_upgrade, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_often, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_writers, setup, teardown),
	};

	maria_skip_unless_server();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
