/* The journal of changes: what others did is told, once it is there. */
#include "meta_fixture.h"

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

static struct fsp_feed *begin(struct fx *f, struct fsp_meta *m)
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
	struct fsp_feed *ours = begin(f, f->m), *theirs = begin(f, o);

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
	struct fsp_feed *feed = begin(f, o);
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
	feed = begin(f, f->m);
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
	feed = begin(f, f->m);
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
	feed = begin(f, f->m);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(test_mounts), FX_TEST(test_own), FX_TEST(test_php),
		FX_TEST(test_late), FX_TEST(test_many_changes),
	};

	return cmocka_run_group_tests_name("changes", tests, NULL, NULL);
}
