/* The journal of changes: what others did is told, once it is there. */
#include "meta_fixture.h"

/* The journal's reader, by a clock of the test. */
static int64_t ahead_ns;
static int64_t test_mono_ns(void)
{
	return fsp_mono_ns() + ahead_ns;
}
#define fsp_mono_ns test_mono_ns
#include "../../src/meta/sql_change.c"
#undef fsp_mono_ns

struct told {
	char text[4096];
	int n, all;
};

static int note(void *arg, const struct fsp_change *c)
{
	struct told *t = arg;
	size_t len = strlen(t->text);

	if (!c->path) {
		t->all++;
		return 0;
	}
	t->n++;
	snprintf(t->text + len, sizeof(t->text) - len, "%s%s%s ", c->path,
	         c->named ? "!" : "", c->foreign ? "?" : "");
	return 0;
}

static void poll(struct fx *f, struct fsp_meta *m, struct fsp_feed **feed,
                 const char *want)
{
	struct told t = { .n = 0 };

	assert_int_equal(m->ops->changes(m, &f->ctx, feed, note, &t), 0);
	assert_string_equal(t.text, want);
	assert_int_equal(t.all, 0);
}

static struct fsp_feed *begin_feed(struct fx *f, struct fsp_meta *m)
{
	struct fsp_feed *feed = NULL;
	struct told t = { .n = 0 };

	assert_int_equal(m->ops->changes(m, &f->ctx, &feed, note, &t), 0);
	assert_int_equal(t.all, 1);
	return feed;
}

/* Another mount of the same database. */
static struct fsp_meta *other_mount(struct fx *f)
{
	struct fsp_meta_options o = fx_options();
	struct fsp_mountinfo i = {
		.id = "0123456789abcdef0123456789abcdef", .host = "h",
		.path = "/", .pid = 1,
	};
	struct fsp_meta *m;
	char *error = NULL;

	o.create = false;
	assert_int_equal(fx_db_open(&f->db, &o, &m, &error), 0);
	assert_int_equal(m->ops->mount_add(m, &f->ctx, &i), 0);
	return m;
}

static void test_mounts(void **state)
{
	struct fx *f = *state;
	struct fsp_meta *o = other_mount(f);
	struct fsp_feed *ours = begin_feed(f, f->m), *theirs = begin_feed(f, o);

	fx_mkdirs(f, "a/t/r");
	poll(f, o, &theirs, "a! a/t! a/t/r! ");
	fx_put(f, "a/t/r/f", '1', 1);
	poll(f, o, &theirs, "a/t/r/f! a/t/r/f ");
	assert_int_equal(fx_ln(f, "a/t/r/f", "a/t/r/g"), 0);
	poll(f, o, &theirs, "a/t/r/g! a/t/r/f ");
	fx_commit(f, "a/t/r/f", '2', 2);
	poll(f, o, &theirs, "a/t/r/f a/t/r/g ");
	assert_int_equal(fx_mv(f, "a/t/r/f", "a/t/r/h", 0, NULL), 0);
	poll(f, o, &theirs, "a/t/r/f! a/t/r/h! ");
	assert_int_equal(fx_rm(f, "a/t/r/g", false), 0);
	poll(f, o, &theirs, "a/t/r/g! ");
	fx_mkdirs(f, "a/t/s");
	poll(f, o, &theirs, "a/t/s! ");
	/* Of each the second says where it is. */
	assert_int_equal(fx_mv(f, "a/t/r", "a/t/s", FSP_RENAME_EXCHANGE, NULL),
	                 0);
	poll(f, o, &theirs, "a/t/s! a/t/r! a/t/r! a/t/s! ");
	poll(f, o, &theirs, "");
	fsp_feed_free(theirs);
	fsp_feed_free(ours);
	o->ops->close(o);
}

/* A mount is not told what it did itself. */
static void test_own(void **state)
{
	struct fx *f = *state;
	struct fsp_meta *o = other_mount(f);
	struct fsp_feed *feed = begin_feed(f, o);
	struct fsp_new what = { .mode = S_IFDIR | 0755 };
	struct fsp_place at = { .dir = "", .name = "mine" };
	struct fsp_entry e;

	assert_int_equal(o->ops->create(o, &f->ctx, &at, &what, &e), 0);
	poll(f, o, &feed, "");
	fsp_feed_free(feed);
	o->ops->close(o);
}

static void test_php(void **state)
{
	struct fx *f = *state;
	struct fsp_feed *feed;

	fx_mkdirs(f, "a/t/r");
	fx_put(f, "a/t/r/f", '1', 1);
	feed = begin_feed(f, f->m);
	/* As PHP uploads over a file, adds one, and deletes. */
	fx_sql(f, "UPDATE filespace_file SET deleted_at = 1500000000"
	       " WHERE space_key = 'a.t.r' AND file_key = 'f'"
	       " AND deleted_at = 0");
	fx_sql(f, "INSERT INTO filespace_file (space_key, file_key, data_hash,"
	       " created_at, size_original, size_storage) VALUES ('a.t.r',"
	       " 'f', '2222222222222222222222222222222222222222', 1500000000,"
	       " 2, 2)");
	poll(f, f->m, &feed, "a/t/r/f!? a/t/r/f!? ");
	fx_sql(f, "INSERT INTO filespace (space_key, name, created_at)"
	       " VALUES ('x.y.z', 'n', 1500000000)");
	poll(f, f->m, &feed, "x/y/z!? ");
	/* What the mount does to PHP's rows is no news of PHP's. */
	assert_int_equal(fx_mv(f, "a/t/r/f", "a/t/r/g", 0, NULL), 0);
	poll(f, f->m, &feed, "a/t/r/f! a/t/r/g! ");
	fsp_feed_free(feed);
}

/* A lower number that is committed later is told, too. */
static void test_late(void **state)
{
	struct fx *f = *state;
	struct fsp_feed *feed;

	fx_mkdirs(f, "a/t/r");
	feed = begin_feed(f, f->m);
	fx_sql(f, "INSERT INTO fsp_change (id, at_us, space_key, dir_key, name)"
	       " VALUES (5000, 0, 'a.t.r', '', 'second')");
	poll(f, f->m, &feed, "a/t/r/second? ");
	fx_sql(f, "INSERT INTO fsp_change (id, at_us, space_key, dir_key, name)"
	       " VALUES (4990, 0, 'a.t.r', '', 'first')");
	poll(f, f->m, &feed, "a/t/r/first? ");
	poll(f, f->m, &feed, "");
	fsp_feed_free(feed);
}

/* More than one page, and rows that are no paths. */
static void test_many_changes(void **state)
{
	struct fx *f = *state;
	struct fsp_feed *feed;
	struct told t = { .n = 0 };

	fx_mkdirs(f, "a/t/r");
	feed = begin_feed(f, f->m);
	fx_sql(f, "INSERT INTO fsp_change (at_us, space_key, dir_key, name)"
	       " WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1"
	       " FROM c WHERE i < 50) SELECT 0, 'a.t.r', '',"
	       " c.i * 100 + d.i FROM c, c d");
	fx_sql(f, "INSERT INTO fsp_change (at_us, space_key, name) VALUES"
	       " (0, 'a.t.r', '../x'), (0, 'a.t', 'R/f'), (0, 'a.t.r', '')");
	assert_int_equal(f->m->ops->changes(f->m, &f->ctx, &feed, note, &t), 0);
	assert_int_equal(t.n, 2500);
	assert_int_equal(f->m->ops->changes_purge(f->m, &f->ctx, feed), 0);
	poll(f, f->m, &feed, "");
	fsp_feed_free(feed);
}

/* Rows go when they are ten minutes old, not before; a reader that slept for
 * longer than half of that is told that all may have changed. */
static void test_purged(void **state)
{
	struct fx *f = *state;
	struct fsp_feed *feed;
	struct told t = { .n = 0 };

	fx_mkdirs(f, "a/t/r");
	feed = begin_feed(f, f->m);
	fx_sql(f, "INSERT INTO fsp_change (at_us, space_key, dir_key, name)"
	       " VALUES (0, 'a.t.r', '', 'old')");
	poll(f, f->m, &feed, "a/t/r/old? ");
	for (int minute = 0; minute < 12; minute++) {
		int64_t n = fx_number(f, "SELECT count(*) FROM fsp_change"
		                      " WHERE name = 'old'");

		if (minute < 10)
			assert_int_equal(n, 1);
		ahead_ns += 61 * FSP_NS_PER_SEC;
		poll(f, f->m, &feed, "");
		assert_int_equal(f->m->ops->changes_purge(f->m, &f->ctx, feed),
		                 0);
	}
	assert_int_equal(fx_number(f, "SELECT count(*) FROM fsp_change"), 0);
	ahead_ns += 301 * FSP_NS_PER_SEC;
	assert_int_equal(f->m->ops->changes(f->m, &f->ctx, &feed, note, &t), 0);
	assert_int_equal(t.all, 1);
	fsp_feed_free(feed);
}

#ifdef FX_MARIA
/* A statement that fails ends the test. */
static void add(MYSQL *my, const char *key)
{
	char sql[400];

	snprintf(sql, sizeof(sql), "INSERT INTO filespace_file (space_key,"
	         " file_key, data_hash, created_at, size_original,"
	         " size_storage) VALUES ('a.t.r', '%s', SHA1('x'), 1500000000,"
	         " 2, 2)", key);
	maria_do(my, sql);
}

/* As PHP uploads. */
static void upload(MYSQL *my, const char *key)
{
	char sql[400];

	snprintf(sql, sizeof(sql), "UPDATE filespace_file SET deleted_at ="
	         " 1500000000 WHERE space_key = 'a.t.r' AND file_key = '%s'"
	         " AND deleted_at = 0", key);
	maria_do(my, sql);
	add(my, key);
}

static int64_t live(struct fx *f, const char *key)
{
	char sql[200];

	snprintf(sql, sizeof(sql), "SELECT count(*) FROM filespace_file WHERE"
	         " file_key = '%s' AND deleted_at = 0", key);
	return fx_number(f, sql);
}

/*
 * Two transactions that are open at once, of which the one with the lower number
 * is committed last; up to 10 s later it is told.
 */
static void test_two_open(void **state)
{
	struct fx *f = *state;
	MYSQL *one = maria_other(f->db.path, "utf8mb4");
	MYSQL *two = maria_other(f->db.path, "utf8mb4");
	struct fsp_feed *feed;

	fx_mkdirs(f, "a/t/r");
	feed = begin_feed(f, f->m);
	for (int late = 0; late < 2; late++) {
		maria_do(one, "BEGIN");
		add(one, "first");
		maria_do(two, "BEGIN");
		add(two, "second");
		maria_do(two, "COMMIT");
		poll(f, f->m, &feed, "a/t/r/second!? ");
		ahead_ns += (late ? 11 : 9) * FSP_NS_PER_SEC;
		poll(f, f->m, &feed, "");
		maria_do(one, "COMMIT");
		poll(f, f->m, &feed, late ? "" : "a/t/r/first!? ");
	}
	assert_int_equal(live(f, "first"), 2);
	mysql_close(one);
	mysql_close(two);
	fsp_feed_free(feed);
}

/* Whatever happens to the journal, PHP's statements do what they should. */
static const struct {
	const char *breaks, *mends;
} ways[] = {
	{ "RENAME TABLE fsp_change TO t_away",
	  "RENAME TABLE t_away TO fsp_change" },
	{ "ALTER TABLE fsp_change RENAME COLUMN named TO t_away",
	  "ALTER TABLE fsp_change RENAME COLUMN t_away TO named" },
	{ "ALTER TABLE fsp_change ADD COLUMN t_more INT NOT NULL",
	  "ALTER TABLE fsp_change DROP COLUMN t_more" },
	{ "CREATE TRIGGER t_no BEFORE INSERT ON fsp_change " FX_ABORT,
	  "DROP TRIGGER t_no" },
	/* full: there is no number any more; begun anew below */
	{ "INSERT INTO fsp_change (id, at_us, space_key) VALUES"
	  " (9223372036854775807, 0, '')",
	  "DELETE FROM fsp_change WHERE id = 9223372036854775807" },
};

static void test_broken(void **state)
{
	struct fx *f = *state;
	MYSQL *php = maria_other(f->db.path, "latin1");
	struct fsp_feed *feed;
	char key[16];

	fx_mkdirs(f, "a/t/r");
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		int64_t told;

		snprintf(key, sizeof(key), "f%zu", i);
		fx_put(f, "a/t/r/ours", (char)('1' + i), 1 + i);
		fx_sql(f, "%s", ways[i].breaks);
		upload(php, key);
		upload(php, key);
		upload(php, "ours");
		assert_int_equal(live(f, key), 1);
		fx_sql(f, "%s", ways[i].mends);
		/* it was broken indeed */
		told = fx_number(f, "SELECT count(*) FROM fsp_change"
		                 " WHERE origin IS NULL AND name = 'ours'");
		assert_int_equal(told, 0);
	}
	fx_sql(f, "ALTER TABLE fsp_change AUTO_INCREMENT = 1");
	feed = begin_feed(f, f->m);
	upload(php, "again");
	poll(f, f->m, &feed, "a/t/r/again!? ");
	mysql_close(php);
	fsp_feed_free(feed);
}

/* A mount that writes its own changes down and purges keeps nobody waiting: a
 * lock that is not had in time is the one error that no trigger can pass by. */
static void test_beside(void **state)
{
	struct fx *f = *state;
	MYSQL *php = maria_other(f->db.path, "latin1");
	MYSQL *mount = maria_other(f->db.path, "utf8mb4");
	struct fsp_feed *feed;

	fx_mkdirs(f, "a/t/r");
	feed = begin_feed(f, f->m);
	maria_do(mount, "SET SESSION TRANSACTION ISOLATION LEVEL READ"
	         " COMMITTED");
	maria_do(mount, "BEGIN");
	maria_do(mount, "INSERT INTO fsp_change (at_us, origin, space_key,"
	         " dir_key, name) VALUES (0, 'other', 'a.t.r', '', 'g')");
	maria_do(mount, "DELETE FROM fsp_change WHERE id >= 1 AND"
	         " id <= 1000000");
	maria_do(php, "SET innodb_lock_wait_timeout = 1");
	upload(php, "f");
	upload(php, "f");
	maria_do(mount, "ROLLBACK");
	poll(f, f->m, &feed, "a/t/r/f!? a/t/r/f!? a/t/r/f!? ");
	mysql_close(php);
	mysql_close(mount);
	fsp_feed_free(feed);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(test_mounts), FX_TEST(test_own), FX_TEST(test_php),
		FX_TEST(test_late), FX_TEST(test_many_changes),
		FX_TEST(test_purged),
#ifdef FX_MARIA
		FX_TEST(test_two_open), FX_TEST(test_broken),
		FX_TEST(test_beside),
#endif
	};

	return cmocka_run_group_tests_name("changes", tests, NULL, NULL);
}
