/* TAKES 33 */
/* SERVERS mariadb */
/* TIMEOUT 300 */
/* The tables on MariaDB: making them, and making them of PHP's. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>

#include "fsp_buf.h"
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
	maria_drop_all();
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
			" 'Dynamic'"), 13);
		assert_int_equal(maria_count(php, "SELECT count(*) FROM"
			" fsp_shard WHERE id BETWEEN 0 AND 255"), 256);
		assert_int_equal(maria_count(php, "SELECT count(*) FROM"
			" fsp_info"), 6);
	}
	maria_do(php, "UPDATE fsp_info SET value = '4' WHERE name = 'schema'");
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
		13);
	assert_int_equal(maria_count(php, "SELECT COUNT(*) FROM"
		" information_schema.triggers WHERE trigger_schema ="
		" DATABASE() AND trigger_name LIKE 'fsp_journal_%'"), 5);
	assert_int_equal(maria_count(php, "SELECT COUNT(*) FROM"
		" information_schema.triggers WHERE trigger_schema ="
		" DATABASE()"), 5);
	assert_int_equal(maria_count(php, "SELECT COUNT(*) FROM fsp_info"), 6);
}

static void test_upgrade(void **state)
{
	FSP_FREE char *before = NULL;
	FSP_FREE char *after = NULL;

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
	const char *text;       /* of those that begin so; NULL: of all */
};

static int stop_before(void *arg, const char *sql)
{
	struct stop *s = arg;

	if (s->text && strncmp(sql, s->text, strlen(s->text)) != 0)
		return 0;
	return ++s->seen == s->at ? -EINTR : 0;
}

/* As a process that is killed before its n-th statement: its connections go. */
static int upgrade_until_text(int at, const char *text, int64_t batch)
{
	struct fsp_maria_options o = maria_test_options();
	struct fsp_schema job = { .what = FSP_SCHEMA_UPGRADE, .ctx = &ctx };
	struct stop stop = { .at = at, .text = text };
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
	return err;
}

static int upgrade_until(int at, int64_t batch)
{
	return upgrade_until_text(at, NULL, batch);
}

/* Before every other statement on the way of filespace_file, and then to the end
 * in one go. */
static void test_killed(void **state)
{
	FSP_FREE char *before = NULL;
	int n = 0, err = -EINTR;

	(void)state;
	for (int at = 14; err; at += 2) {
		FSP_FREE char *after = NULL;

		maria_do(php, "DROP TABLE IF EXISTS filespace, filespace_file,"
		         " fsp_info");
		php_tables();
		free(before);
		before = content();
		err = upgrade_until(at, 150);
		after = content();
		assert_string_equal(before, after);
		if (maria_count(php, "SELECT COUNT(*) FROM"
		                " information_schema.tables WHERE table_schema ="
		                " DATABASE() AND table_name ="
		                " 'fsp_log_space'"))
			break;
		if (err)
			assert_int_equal(upgrade_until(0, 150), 0);
		free(after);
		after = content();
		assert_string_equal(before, after);
		assert_upgraded();
		n++;
	}
	assert_true(n > 10);
}

/* Killed before each statement in turn, and the next run goes on from there: also
 * the first ones, and those of filespace. */
static void test_killed_often(void **state)
{
	FSP_FREE char *before = NULL;
	FSP_FREE char *after = NULL;
	int at = 1, err;

	(void)state;
	php_tables();
	before = content();
	do {
		err = upgrade_until(at++, 150);
		free(after);
		after = content();
		assert_string_equal(before, after);
	} while (err);
	assert_upgraded();
}

/* ---- what triggers and the exchange miss is found */

/* The log is gone for a while: PHP does not notice, and no change is lost. */
static void test_lost_notes(void **state)
{
	FSP_FREE char *before = NULL;
	FSP_FREE char *after = NULL;

	(void)state;
	php_tables();
	assert_int_equal(upgrade_until_text(3, "INSERT INTO fsp_new_file",
	                                    150), -EINTR);
	assert_true(maria_count(php, "SELECT COUNT(*) FROM fsp_new_file") >
	            100);
	maria_do(php, "DROP TABLE fsp_log_file");
	maria_do(php, "INSERT INTO filespace_file (file_key, space_key,"
	              " data_hash, created_at, size_original, size_storage)"
	              " VALUES ('g', 'a.b.c', 'abc', 1431080000, 5, 5)");
	maria_do(php, "UPDATE filespace_file SET deleted_at = 1431090007 WHERE"
	              " id = 20");
	maria_do(php, "DELETE FROM filespace_file WHERE id = 21");
	before = content();
	assert_int_equal(upgrade_until(0, 150), 0);
	after = content();
	assert_string_equal(before, after);
	assert_upgraded();
}

/* After the exchange the old table's rows are compared once more. */
static void test_settle(void **state)
{
	FSP_FREE char *before = NULL;
	FSP_FREE char *after = NULL;

	(void)state;
	php_tables();
	before = content();
	assert_int_equal(upgrade_until_text(2, "DROP TABLE fsp_old_file", 150),
	                 -EINTR);
	maria_do(php, "DELETE FROM filespace_file WHERE id = 40");
	maria_do(php, "UPDATE filespace_file SET deleted_at = 0 WHERE id = 44");
	after = content();
	assert_string_not_equal(before, after);
	maria_do(php, "UPDATE filespace_file SET data_hash = 'x' WHERE id ="
	              " 50");
	{
		struct outcome o OUTCOME = schema(FSP_SCHEMA_UPGRADE,
		                                  "utf8mb4");

		assert_int_equal(o.err, -EIO);
		assert_non_null(strstr(o.error, "1 rows of filespace_file"));
	}
	maria_do(php, "UPDATE filespace_file SET data_hash = SHA1(50) WHERE id"
	              " = 50");
	{
		struct outcome o OUTCOME = schema(FSP_SCHEMA_UPGRADE,
		                                  "utf8mb4");

		assert_int_equal(o.err, 0);
	}
	free(after);
	after = content();
	assert_string_equal(before, after);
	assert_upgraded();
}

/* ---- refusals */

static const struct refusal {
	const char *make, *undo, *reason;
} refusals[] = {
	{ "ALTER TABLE filespace_file ADD COLUMN note int", "ALTER TABLE"
	  " filespace_file DROP COLUMN note", "filespace_file.note is not" },
	{ "ALTER TABLE filespace ADD COLUMN note int", "ALTER TABLE"
	  " filespace DROP COLUMN note", "filespace.note is not known" },
	{ "CREATE TRIGGER audit AFTER INSERT ON filespace FOR EACH ROW SET @x"
	  " = 1", "DROP TRIGGER audit", "filespace has the trigger audit" },
	{ "ALTER TABLE filespace_file ENGINE=MyISAM", "ALTER TABLE"
	  " filespace_file ENGINE=InnoDB", "filespace_file is MyISAM" },
	{ "ALTER TABLE filespace_file PARTITION BY HASH (id) PARTITIONS 2",
	  "ALTER TABLE filespace_file REMOVE PARTITIONING", "is partitioned" },
	{ "ALTER TABLE filespace_file ADD UNIQUE KEY u (file_key, id)",
	  "ALTER TABLE filespace_file DROP KEY u", "index u of filespace_file" },
	{ "ALTER TABLE filespace MODIFY id int NOT NULL, DROP PRIMARY KEY",
	  "ALTER TABLE filespace ADD PRIMARY KEY (id), MODIFY id int NOT NULL"
	  " AUTO_INCREMENT", "primary key of filespace is not id" },
	{ "ALTER TABLE filespace_file ADD CONSTRAINT pos CHECK (created_at > 0)",
	  "ALTER TABLE filespace_file DROP CONSTRAINT pos", "has the check" },
	{ "CREATE TABLE other (f int unsigned, FOREIGN KEY (f) REFERENCES"
	  " filespace_file (id))", "DROP TABLE other", "the foreign key" },
	{ "ALTER TABLE filespace MODIFY created_at double", "ALTER TABLE"
	  " filespace MODIFY created_at int", "created_at is double" },
	{ "RENAME TABLE filespace TO real_one",
	  "RENAME TABLE real_one TO filespace", "filespace is missing" },
	{ "CREATE TABLE fsp_old_file (id int)", "DROP TABLE fsp_old_file",
	  "fsp_old_file holds rows" },
	{ "UPDATE filespace_file SET file_key = '\xe4\xb8\xad' WHERE id = 77",
	  "UPDATE filespace_file SET file_key = 'x' WHERE id = 77",
	  "latin1 cannot express: 1 (id 77)" },
	{ "CREATE TABLE fsp_node SELECT 1 AS ino", "DROP TABLE fsp_node",
	  "fsp_info no schema" },
};

static void test_refusals(void **state)
{
	size_t n = sizeof(refusals) / sizeof(*refusals);

	(void)state;
	php_tables();
	for (size_t i = 0; i < n; i++) {
		const struct refusal *r = &refusals[i];
		FSP_FREE char *tables = NULL;
		FSP_FREE char *after = NULL;
		static const char list[] =
			"SELECT GROUP_CONCAT(table_name ORDER BY table_name)"
			" FROM information_schema.tables WHERE table_schema ="
			" DATABASE()";

		maria_do(php, r->make);
		tables = maria_value(php, list);
		for (int what = 0; what < 3; what++) {
			struct outcome o OUTCOME = schema(
				(enum fsp_schema_do)what, "latin1");

			if (o.err != -EINVAL || !o.error ||
			    !strstr(o.error, r->reason))
				fail_msg("%s: %d %s, not %s", r->make, o.err,
				         o.error ? o.error : "", r->reason);
		}
		after = maria_value(php, list);
		assert_string_equal(tables, after);
		maria_do(php, r->undo);
	}
	{
		struct outcome o OUTCOME = schema(FSP_SCHEMA_UPGRADE, "klingon");

		assert_int_equal(o.err, -EINVAL);
		assert_non_null(strstr(o.error, "mysql.charset"));
	}
	{
		struct outcome o OUTCOME = schema(FSP_SCHEMA_UPGRADE, "latin1");

		assert_int_equal(o.err, 0);
	}
	assert_upgraded();
}

/* A latin1 connection put UTF-8 into a utf8 column: PHP's bytes come out. */
static void test_charset(void **state)
{
	static const char name[] = "na\xc3\xafve.txt";
	MYSQL *old;

	(void)state;
	php_tables();
	old = maria_other(maria_db, "latin1");
	maria_do(old, "UPDATE filespace_file SET file_key = 'na\xc3\xafve.txt',"
	              " space_key = 'x.y.z' WHERE id = 33");
	assert_int_equal(maria_count(php, "SELECT CHAR_LENGTH(file_key) FROM"
		" filespace_file WHERE id = 33"), strlen(name));
	{
		struct outcome o OUTCOME = schema(FSP_SCHEMA_CHECK, "utf8mb4");

		assert_int_equal(o.err, 0);
		assert_non_null(strstr(o.said, "1 rows of filespace_file have"
		                       " a file_key that looks encoded"));
	}
	{
		struct outcome o OUTCOME = schema(FSP_SCHEMA_UPGRADE, "latin1");

		assert_int_equal(o.err, 0);
		assert_null(strstr(o.said, "encoded twice"));
	}
	{
		FSP_FREE char *key = maria_value(old, "SELECT file_key FROM"
			" filespace_file WHERE space_key = 'x.y.z' AND"
			" file_key = 'na\xc3\xafve.txt'");

		assert_string_equal(key, name);
	}
	mysql_close(old);
}

/* ---- our tables, changed by somebody */

static const struct damage {
	const char *make, *says;
} damages[] = {
	{ "ALTER TABLE fsp_mount DROP COLUMN lease_us",
	  "fsp_mount lacks the column lease_us" },
	{ "ALTER TABLE fsp_name DROP KEY fsp_name_owner",
	  "fsp_name lacks the index fsp_name_owner (owner)" },
	{ "ALTER TABLE fsp_name DROP KEY fsp_name_ino, ADD KEY fsp_name_ino"
	  " (ino)", "index fsp_name_ino of fsp_name is on ino and must" },
	{ "ALTER TABLE filespace_file DROP KEY fsp_file_php",
	  "filespace_file lacks the index fsp_file_php" },
	{ "ALTER TABLE fsp_lock MODIFY pid int(11) NOT NULL",
	  "fsp_lock.pid is int(11) NOT NULL and must be" },
	{ "ALTER TABLE fsp_xattr MODIFY value mediumblob",
	  "fsp_xattr.value is mediumblob and must" },
	{ "ALTER TABLE filespace_file ALTER stored_at SET DEFAULT 7",
	  "filespace_file.stored_at is bigint(20) DEFAULT 7 and must" },
	{ "DELETE FROM fsp_shard WHERE id > 200", "rows of fsp_shard" },
	{ "DROP TRIGGER fsp_journal_file_update", "trigger of the journal" },
	{ "DELETE FROM fsp_info WHERE name = 'journal'", "is not in use" },
	{ "DROP TABLE fsp_shard", "the table fsp_shard is missing" },
	{ "UPDATE fsp_info SET value = '1' WHERE name = 'schema'",
	  "the schema is version 1, this program's is 3" },
	{ "UPDATE fsp_info SET value = '2' WHERE name = 'schema'",
	  "the schema is version 2, this program's is 3" },
};

static void test_mend(void **state)
{
	size_t n = sizeof(damages) / sizeof(*damages);

	(void)state;
	assert_int_equal(maria_schema_create(conn, &ctx), 0);
	assert_upgraded();
	for (size_t i = 0; i < n; i++) {
		const struct damage *d = &damages[i];

		maria_do(php, d->make);
		{
			struct outcome o OUTCOME = schema(FSP_SCHEMA_CHECK,
			                                  "utf8mb4");

			assert_int_equal(o.err, 0);
			if (!o.needed || !strstr(o.said, d->says))
				fail_msg("%s: %s", d->make, o.said);
		}
		{
			struct outcome o OUTCOME = schema(FSP_SCHEMA_UPGRADE,
			                                  "utf8mb4");

			if (o.err)
				fail_msg("%s: %s", d->make, o.error);
		}
		assert_upgraded();
		assert_int_equal(maria_count(php, "SELECT COUNT(*) FROM"
			" fsp_shard"), 256);
	}
	/* What somebody else added is said, and left alone. */
	maria_do(php, "ALTER TABLE filespace_file ADD COLUMN note int");
	{
		struct outcome o OUTCOME = schema(FSP_SCHEMA_CHECK, "utf8mb4");

		assert_int_equal(o.err, 0);
		assert_false(o.needed);
		assert_non_null(strstr(o.said, "filespace_file.note is not"));
	}
}

static int open_store(bool read_only, struct fsp_meta **m, char **error)
{
	struct fsp_maria_options o = maria_test_options();
	struct fsp_meta_options mo = {
		.connections = 2, .read_only = read_only, .file_mode = 0644,
		.dir_mode = 0755, .busy_timeout_ns = 5000000000LL,
	};

	return fsp_meta_maria_open(&o, &mo, m, error);
}

/* The second time there is nothing to do. */
static void upgrade_once(void)
{
	for (int i = 0; i < 2; i++) {
		struct outcome up OUTCOME = schema(FSP_SCHEMA_UPGRADE,
		                                   "utf8mb4");

		assert_int_equal(up.err, 0);
		assert_int_equal(up.needed, i == 0);
	}
	assert_upgraded();
}

/* A store of the first version can be read; writing wants the upgrade. */
static void test_old_version(void **state)
{
	FSP_BUF struct fsp_buf index = FSP_BUF_INIT;
	struct fsp_object o;
	struct fsp_meta *m = NULL;
	char *error = NULL;

	(void)state;
	assert_int_equal(maria_schema_create(conn, &ctx), 0);
	maria_do(php, "INSERT INTO fsp_object VALUES ('aa', 'b', 'c', 1, 1,"
	         " 'bzip2', 1)");
	maria_do(php, "DROP TABLE fsp_blocks");
	maria_do(php, "UPDATE fsp_info SET value = '1' WHERE name = 'schema'");
	assert_int_equal(open_store(false, &m, &error), -EROFS);
	assert_non_null(strstr(error, "schema upgrade"));
	free(error);
	assert_int_equal(open_store(true, &m, &error), 0);
	assert_int_equal(fsp_meta_object_blocks(m, &ctx, "aa", &o, &index), 0);
	assert_int_equal(index.len, 0);
	fsp_meta_close(m);
	upgrade_once();
	assert_int_equal(open_store(false, &m, &error), 0);
	assert_int_equal(fsp_buf_adds(&index, "x"), 0);
	o.blocks = &index;
	assert_int_equal(fsp_meta_object_put(m, &ctx, &o), 0);
	fsp_meta_close(m);
	assert_int_equal(maria_count(php, "SELECT COUNT(*) FROM fsp_blocks"),
	                 1);
}

/* The version before has the same tables: the upgrade writes the number. */
static void test_version_before(void **state)
{
	struct fsp_meta *m = NULL;
	char *error = NULL;

	(void)state;
	assert_int_equal(maria_schema_create(conn, &ctx), 0);
	maria_do(php, "UPDATE fsp_info SET value = '2' WHERE name = 'schema'");
	assert_int_equal(open_store(false, &m, &error), -EROFS);
	assert_non_null(strstr(error, "version 2, this program's is 3"));
	free(error);
	assert_int_equal(open_store(true, &m, &error), 0);
	fsp_meta_close(m);
	upgrade_once();
	assert_int_equal(open_store(false, &m, &error), 0);
	fsp_meta_close(m);
	maria_do(php, "UPDATE fsp_info SET value = '4' WHERE name = 'schema'");
	assert_int_equal(open_store(true, &m, &error), -EPROTO);
	assert_non_null(strstr(error, "version 4"));
	free(error);
}

/* An empty database gets all of it. */
static void test_empty(void **state)
{
	struct outcome o OUTCOME = schema(FSP_SCHEMA_UPGRADE, "utf8mb4");

	(void)state;
	assert_int_equal(o.err, 0);
	assert_true(o.needed);
	assert_upgraded();
}

/* Two at once: the second one says so. */
static void test_two(void **state)
{
	(void)state;
	php_tables();
	assert_int_equal(maria_run(conn, &ctx, "SELECT GET_LOCK(CONCAT("
		"'fsp_schema_', LEFT(SHA1(DATABASE()), 32)), 0)"), 0);
	{
		struct outcome o OUTCOME = schema(FSP_SCHEMA_UPGRADE,
		                                  "utf8mb4");

		assert_int_equal(o.err, -EBUSY);
	}
	{
		struct outcome o OUTCOME = schema(FSP_SCHEMA_CHECK, "utf8mb4");

		assert_int_equal(o.err, 0);
	}
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
		if (!upgrade_until(1 + rand_r(&seed) % 80, 2000))
			break;
	assert_int_equal(upgrade_until(0, 2000), 0);
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
		cmocka_unit_test_setup_teardown(test_lost_notes, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_settle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_charset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mend, setup, teardown),
		cmocka_unit_test_setup_teardown(test_version_before, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_old_version, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two, setup, teardown),
		cmocka_unit_test_setup_teardown(test_writers, setup, teardown),
	};

	maria_skip_unless_server();
	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
