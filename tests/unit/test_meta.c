/* meta: every change, its results and its errors. */
#include <fcntl.h>

#include "fsp_buf.h"
#include "meta_fixture.h"

static void test_create(void **state)
{
	struct fx *f = *state;
	struct fsp_entry e, d;
	struct fsp_new bad = { .mode = S_IFREG | 0644 };
	struct fsp_place at = { 0, "acme", "x", 0 };

	fx_mkdir(f, "acme");
	assert_int_equal(fx_new(f, "acme/t", S_IFDIR | 02755, &d), 0);
	assert_int_equal(d.attr.mode, S_IFDIR | 02755);
	assert_int_equal(d.attr.uid, 1000);
	assert_int_equal(d.attr.nlink, 1);
	assert_int_equal(d.attr.size, 4096);
	assert_true(d.attr.ino >= FSP_INO_FIRST && d.attr.ino < FSP_INO_ROW);
	/* setgid passes on the group, and the bit to directories */
	fx_sql(f, "UPDATE fsp_node SET gid = 77 WHERE ino = %llu",
	       (unsigned long long)d.attr.ino);
	assert_int_equal(fx_new(f, "acme/t/r", S_IFDIR | 0755, &e), 0);
	assert_int_equal(e.attr.mode, S_IFDIR | 02755);
	assert_int_equal(e.attr.gid, 77);
	assert_int_equal(fx_new(f, "acme/t/f", S_IFREG | 0600, &e), 0);
	assert_int_equal(e.attr.mode, S_IFREG | 0600);
	assert_int_equal(e.attr.gid, 77);
	assert_int_equal(e.attr.size, 0);
	assert_int_equal(e.content.row, 0);
	assert_string_equal(e.content.hash, "");

	assert_int_equal(fx_new(f, "acme/t/f", S_IFREG | 0600, &e), -EEXIST);
	assert_int_equal(fx_new(f, "acme", S_IFDIR | 0600, &e), -EEXIST);
	assert_int_equal(fx_new(f, "no/t", S_IFDIR | 0600, &e), -ENOENT);
	assert_int_equal(fx_new(f, "acme/t/f/x", S_IFREG | 0600, &e), -ENOTDIR);
	assert_int_equal(f->m->ops->create(f->m, &f->ctx, &at, &bad, &e),
	                 -EINVAL);
	bad.owner = "o";
	at.dir_ino = 12345;
	assert_int_equal(f->m->ops->create(f->m, &f->ctx, &at, &bad, &e),
	                 -ESTALE);
	at.dir_ino = 0;
	at.name = "..";
	assert_int_equal(f->m->ops->create(f->m, &f->ctx, &at, &bad, &e),
	                 -EINVAL);
	bad.mode = 0644;
	at.name = "y";
	assert_int_equal(f->m->ops->create(f->m, &f->ctx, &at, &bad, &e),
	                 -EINVAL);
	assert_string_equal(fx_ls(f, ""), "acme/");
	assert_string_equal(fx_ls(f, "acme/t"), "f r/");
	assert_int_equal(fx_walk(f, ""), 4);
}

static void test_types(void **state)
{
	struct fsp_new dev = { .mode = S_IFBLK | 0600, .rdev = 0x801 };
	struct fsp_place at = { 0, "a/t/r", "blk", 0 };
	struct fx *f = *state;
	struct fsp_entry e;
	char *target;

	fx_mkdirs(f, "a/t/r");
	assert_int_equal(fx_new(f, "a/t/r/fifo", S_IFIFO | 0600, &e), 0);
	assert_int_equal(fx_new(f, "a/t/r/sock", S_IFSOCK | 0600, &e), 0);
	assert_int_equal(f->m->ops->create(f->m, &f->ctx, &at, &dev, &e), 0);
	assert_int_equal(fx_get(f, "a/t/r/blk").attr.rdev, 0x801);
	assert_int_equal(fx_new(f, "a/t/r/link", S_IFLNK | 0777, &e), 0);
	assert_int_equal(e.attr.size, 8);
	assert_int_equal(f->m->ops->readlink(f->m, &f->ctx, e.attr.ino,
	                                     &target), 0);
	assert_string_equal(target, "to/where");
	free(target);
	assert_int_equal(f->m->ops->readlink(f->m, &f->ctx, 999, &target),
	                 -ESTALE);
	assert_null(target);
	e = fx_get(f, "a/t/r/fifo");
	assert_int_equal(f->m->ops->readlink(f->m, &f->ctx, e.attr.ino,
	                                     &target), -EINVAL);
	assert_string_equal(fx_ls(f, "a/t/r"), "blk fifo link sock");
	assert_int_equal(fx_walk(f, ""), 7);
	assert_int_equal(fx_number(f, "SELECT count(*) FROM filespace_file"), 0);
	assert_int_equal(fx_rm(f, "a/t/r/link", false), 0);
	fx_gone(f, "a/t/r/link");
}

static void test_long_names(void **state)
{
	char name[258], path[600], deep[4300];
	struct fx *f = *state;
	struct fsp_entry e;

	memset(name, 'x', 256);
	name[255] = '\0';
	fx_mkdirs(f, "a/t/r");
	snprintf(path, sizeof(path), "a/t/r/%s", name);
	fx_put(f, path, '1', 5);
	assert_string_equal(fx_ls(f, "a/t/r"), name);
	name[255] = 'x';
	name[256] = '\0';
	snprintf(path, sizeof(path), "a/t/r/%s", name);
	assert_int_equal(fx_new(f, path, S_IFREG | 0600, &e), -ENAMETOOLONG);
	assert_int_equal(fx_look(f, path, &e), -ENAMETOOLONG);
	for (size_t i = 0; i < sizeof(deep); i++)
		deep[i] = i % 2 ? '/' : 'd';
	deep[4093] = '\0';
	assert_int_equal(f->m->ops->lookup(f->m, &f->ctx, deep, "x", false, &e),
	                 -ENOENT);
	assert_int_equal(f->m->ops->lookup(f->m, &f->ctx, deep, "xy", false, &e),
	                 -ENAMETOOLONG);
}

/* Bytes, case and trailing spaces are names of their own. */
static void test_bytes(void **state)
{
	struct fx *f = *state;

	fx_mkdirs(f, "A.b/T%c/R.x");
	fx_put(f, "A.b/T%c/R.x/n", '1', 1);
	fx_put(f, "A.b/T%c/R.x/N", '2', 2);
	fx_put(f, "A.b/T%c/R.x/n ", '3', 3);
	fx_put(f, "A.b/T%c/R.x/caf\xe9", '4', 4);
	fx_put(f, "A.b/T%c/R.x/caf\xc3\xa9", '5', 5);
	fx_put(f, "A.b/T%c/R.x/\xff", '6', 6);
	assert_string_equal(fx_ls(f, "A.b/T%c/R.x"),
	                    "N caf\xc3\xa9 caf\xe9 n n  \xff");
	assert_int_equal(fx_get(f, "A.b/T%c/R.x/n ").attr.size, 3);
	assert_int_equal(fx_php_get(f, "A%2Eb.T%25c.R.x", "N"), '2');
	assert_int_equal(fx_walk(f, ""), 9);
}

static void test_commit(void **state)
{
	struct fx *f = *state;
	struct fsp_entry e, c;
	struct fsp_ref ref;
	int64_t first;

	fx_mkdirs(f, "a/t/r");
	assert_int_equal(fx_new(f, "a/t/r/f", S_IFREG | 0604, &e), 0);
	assert_int_equal(fx_php_get(f, "a.t.r", "f"), 0);
	c = fx_commit(f, "a/t/r/f", '1', 10);
	assert_int_equal(c.attr.ino, e.attr.ino);
	assert_int_equal(c.attr.size, 10);
	assert_int_equal(c.attr.mtime_ns, FX_MTIME);
	assert_true(c.content.row > 0);
	assert_int_equal(c.content.hash[63], '1');
	first = c.content.row;
	assert_int_equal(fx_php_get(f, "a.t.r", "f"), '1');
	assert_int_equal(fx_number(f, "SELECT created_at FROM filespace_file"),
	                 1600000000);
	assert_int_equal(fx_number(f, "SELECT mode FROM filespace_file"), 0604);
	assert_int_equal(fx_number(f, "SELECT size_storage FROM"
	                           " filespace_file"), 5);
	assert_int_equal(fx_number(f, "SELECT deleted_at FROM filespace_file"),
	                 0);

	/* the same content: no row, only the times */
	ref = (struct fsp_ref){ e.attr.ino, "a/t/r/f" };
	assert_int_equal(fx_commit_ref(f, &ref, '1', 10, -1500000000, &c), 0);
	assert_int_equal(c.content.row, first);
	assert_int_equal(c.attr.mtime_ns, -1500000000);
	assert_int_equal(fx_number(f, "SELECT created_at FROM filespace_file"),
	                 -2);

	assert_int_equal(fx_commit_ref(f, &ref, '2', 20,
	                               9000000000LL * FSP_NS_PER_SEC, &c), 0);
	assert_true(c.content.row > first);
	assert_int_equal(fx_get(f, "a/t/r/f").attr.mtime_ns,
	                 9000000000LL * FSP_NS_PER_SEC);
	assert_int_equal(fx_number(f, "SELECT created_at FROM filespace_file"
	                           " WHERE id = 2"), INT32_MAX);
	assert_int_equal(fx_number(f, "SELECT pred_id FROM filespace_file"
	                           " WHERE id = 2"), first);
	assert_true(fx_number(f, "SELECT closed_us FROM filespace_file"
	                      " WHERE id = 1") > 0);
	assert_int_equal(fx_number(f, "SELECT count(*) FROM fsp_object"), 2);

	ref.ino = 4711;
	assert_int_equal(fx_commit_ref(f, &ref, '2', 20, 0, &c), -ESTALE);
	ref = (struct fsp_ref){ fx_get(f, "a/t/r").attr.ino, "a/t/r" };
	assert_int_equal(fx_commit_ref(f, &ref, '2', 20, 0, &c), -EISDIR);
	assert_int_equal(fx_new(f, "a/t/r/p", S_IFIFO | 0600, &e), 0);
	ref = (struct fsp_ref){ e.attr.ino, "a/t/r/p" };
	assert_int_equal(fx_commit_ref(f, &ref, '2', 20, 0, &c), -EINVAL);
}

static void test_commit_base(void **state)
{
	struct fx *f = *state;
	struct fsp_object o = fx_object('3', 30);
	struct fsp_entry a, b, c;
	struct fsp_commit k = {
		.owner = "other", .object = &o, .require_base = true,
		.mask = FSP_SET_MODE, .attr = { .mode = 0400 }
	};

	fx_mkdirs(f, "a/t/r");
	a = fx_put(f, "a/t/r/f", '1', 10);
	b = fx_put(f, "a/t/r/f", '2', 20);
	k.ref = (struct fsp_ref){ a.attr.ino, "a/t/r/f" };
	k.base_row = a.content.row;
	assert_int_equal(f->m->ops->commit(f->m, &f->ctx, &k, &c), -EAGAIN);
	assert_int_equal(c.content.row, b.content.row);
	assert_int_equal(c.attr.size, 20);
	k.base_row = 0;
	assert_int_equal(f->m->ops->commit(f->m, &f->ctx, &k, &c), -EAGAIN);
	assert_int_equal(fx_get(f, "a/t/r/f").content.row, b.content.row);
	assert_int_equal(fx_get(f, "a/t/r/f").attr.mode & 07777, 0644);

	/* renamed meanwhile: another row, the same content, no conflict */
	assert_int_equal(fx_mv(f, "a/t/r/f", "a/t/r/g", 0, NULL), 0);
	k.base_row = b.content.row;
	assert_int_equal(f->m->ops->commit(f->m, &f->ctx, &k, &c), 0);
	c = fx_get(f, "a/t/r/g");
	assert_int_equal(c.attr.size, 30);
	assert_int_equal(c.attr.mode & 07777, 0400);

	/* nothing committed yet is a base as well, for any owner */
	assert_int_equal(fx_new(f, "a/t/r/n", S_IFREG | 0600, &a), 0);
	k.ref = (struct fsp_ref){ a.attr.ino, "a/t/r/n" };
	k.base_row = 0;
	assert_int_equal(f->m->ops->commit(f->m, &f->ctx, &k, &c), 0);
	assert_int_equal(fx_get(f, "a/t/r/n").attr.size, 30);
	o.key[0] = '\0';
	assert_int_equal(f->m->ops->commit(f->m, &f->ctx, &k, &c), -EINVAL);
}

static int queue_commit(struct fx *f, struct fsp_commit *k, int64_t at_us,
                        struct fsp_queued_commit *q, struct fsp_entry *e)
{
	*q = (struct fsp_queued_commit){ .at_us = at_us };
	k->queued = q;
	return f->m->ops->commit(f->m, &f->ctx, k, e);
}

static int64_t live_rows(struct fx *f)
{
	return fx_number(f, "SELECT count(*) FROM filespace_file WHERE"
	                 " (deleted_at IS NULL OR deleted_at = 0)");
}

/* Promised some time ago: over its base, once more, too late, and merged. */
static void test_commit_queued(void **state)
{
	struct fx *f = *state;
	struct fsp_object o = fx_object('3', 30), p = fx_object('4', 40);
	struct fsp_queued_commit q;
	struct fsp_entry a, b, c;
	struct fsp_commit k = {
		.owner = "other", .object = &o, .require_base = true,
		.attr = { .mtime_ns = 77 }
	};
	int64_t row, rows;

	fx_mkdirs(f, "a/t/r");
	a = fx_put(f, "a/t/r/f", '1', 10);
	k.ref = (struct fsp_ref){ a.attr.ino, "a/t/r/f" };
	k.base_row = a.content.row;
	assert_int_equal(queue_commit(f, &k, fsp_now_us(), &q, &c), 0);
	assert_int_equal(q.end, FSP_QUEUED_LIVE);
	assert_int_equal(q.stored.row, c.content.row);
	assert_int_equal(q.stored.size, 30);
	row = c.content.row;

	/* nobody has written down that it was stored */
	rows = fx_number(f, "SELECT count(*) FROM filespace_file");
	assert_int_equal(queue_commit(f, &k, 1, &q, &c), 0);
	assert_int_equal(q.end, FSP_QUEUED_BEFORE);
	assert_int_equal(q.stored.row, row);
	assert_int_equal(c.content.row, row);
	b = fx_put(f, "a/t/r/f", '2', 20);
	assert_int_equal(queue_commit(f, &k, 1, &q, &c), 0);
	assert_int_equal(q.end, FSP_QUEUED_BEFORE);
	assert_int_equal(c.content.row, b.content.row);
	assert_int_equal(fx_number(f, "SELECT count(*) FROM filespace_file"),
	                 rows + 1);

	/* older than what is live: into the history, whatever it replaces */
	k.object = &p;
	for (int i = 0; i < 2; i++) {
		k.require_base = i;
		k.attr.mtime_ns = 78 + i;
		assert_int_equal(queue_commit(f, &k, 5 + i, &q, &c), 0);
		assert_int_equal(q.end, FSP_QUEUED_PAST);
		assert_int_equal(q.stored.size, 40);
		assert_int_equal(c.content.row, b.content.row);
	}
	assert_int_equal(fx_get(f, "a/t/r/f").content.row, b.content.row);
	assert_int_equal(live_rows(f), 1);
	assert_int_equal(fx_number(f, "SELECT count(*) FROM filespace_file"
	                           " WHERE stored_at = 5 AND since_us = 5 AND"
	                           " closed_us = 5 AND deleted_at > 0 AND"
	                           " size_original = 40"), 1);
	/* and that only once, too */
	assert_int_equal(queue_commit(f, &k, 6, &q, &c), 0);
	assert_int_equal(q.end, FSP_QUEUED_BEFORE);

	/* newer than what is live: merged first, or it replaces */
	k.attr.mtime_ns = 90;
	assert_int_equal(queue_commit(f, &k, INT64_MAX, &q, &c), -EAGAIN);
	assert_int_equal(c.content.row, b.content.row);
	k.require_base = false;
	assert_int_equal(queue_commit(f, &k, INT64_MAX, &q, &c), 0);
	assert_int_equal(q.end, FSP_QUEUED_LIVE);
	assert_int_equal(fx_get(f, "a/t/r/f").attr.size, 40);
	assert_int_equal(live_rows(f), 1);
	k.ref.ino = 4711;
	k.ref.path = "";
	assert_int_equal(queue_commit(f, &k, 1, &q, &c), -ESTALE);
}

/* Without an object: the name stays when its mount goes. */
static void test_commit_nothing(void **state)
{
	struct fx *f = *state;
	struct fsp_commit k = { .owner = "mount1" };
	struct fsp_entry e, c;

	fx_mkdirs(f, "a/t/r");
	assert_int_equal(fx_new(f, "a/t/r/n", S_IFREG | 0600, &e), 0);
	k.ref = (struct fsp_ref){ e.attr.ino, "a/t/r/n" };
	assert_int_equal(f->m->ops->commit(f->m, &f->ctx, &k, &c), 0);
	assert_int_equal(c.content.row, 0);
	assert_int_equal(f->m->ops->mount_remove(f->m, &f->ctx, "mount1"), 0);
	assert_int_equal(fx_get(f, "a/t/r/n").attr.ino, e.attr.ino);
	fx_commit(f, "a/t/r/n", '1', 5);
	assert_int_equal(fx_get(f, "a/t/r/n").attr.size, 5);
}

/* Steps on the way to a version give way to it, but not those that stood. */
static void test_thinning(void **state)
{
	struct fsp_meta_options o = fx_options();
	struct fx *f = *state;
	struct fsp_object obj = fx_object('4', 4);
	struct fsp_commit k = { .object = &obj };
	struct fsp_entry a, b;

	fx_close(f);
	o.thin_ns = 3600 * FSP_NS_PER_SEC;
	fx_open(f, &o);
	fx_mkdirs(f, "a/t/r");
	fx_put(f, "a/t/r/f", '1', 1);
	fx_put(f, "a/t/r/f", '2', 0);
	a = fx_put(f, "a/t/r/f", '3', 3);
	assert_int_equal(fx_number(f, "SELECT count(*) FROM filespace_file"),
	                 2);
	assert_int_equal(fx_number(f, "SELECT pred_id FROM filespace_file"
	                           " WHERE deleted_at = 0"), 1);
	/* the same open file once more */
	k.ref = (struct fsp_ref){ a.attr.ino, "a/t/r/f" };
	k.collapse_row = a.content.row;
	assert_int_equal(f->m->ops->commit(f->m, &f->ctx, &k, &b), 0);
	assert_true(b.content.row > a.content.row);
	assert_int_equal(fx_number(f, "SELECT count(*) FROM filespace_file"),
	                 2);
	/* what stood for a while stays */
	fx_sql(f, "UPDATE filespace_file SET stored_at = stored_at -"
	       " 7200000000, since_us = since_us - 7200000000");
	k.collapse_row = b.content.row;
	obj = fx_object('5', 5);
	assert_int_equal(f->m->ops->commit(f->m, &f->ctx, &k, &b), 0);
	assert_int_equal(fx_number(f, "SELECT count(*) FROM filespace_file"),
	                 3);
	assert_int_equal(fx_php_get(f, "a.t.r", "f"), '5');
}

/* One save as editors do it, and a clock that goes on a second. */
static int64_t save_us;

static int64_t save_clock(void)
{
	return (save_us += 1000) * 1000;
}

static void save(struct fx *f, const char *tmp, const char *path, char c)
{
	fx_put(f, tmp, c, 5);
	assert_int_equal(fx_mv(f, tmp, path, 0, NULL), 0);
	save_us += 1000000;
}

static void thin_fixture(struct fx *f)
{
	struct fsp_meta_options o = fx_options();

	save_us = 1700000000000000;
	fsp_clock_set(save_clock);
	fx_close(f);
	o.thin_ns = 60 * FSP_NS_PER_SEC;
	o.thin_versions = 10;
	fx_open(f, &o);
	fx_mkdirs(f, "a/t/r");
}

/* A loop that renames over makes no more versions than one that appends. */
static void test_thinning_saves(void **state)
{
	struct fx *f = *state;
	char tmp[32];

	thin_fixture(f);
	for (int i = 0; i < 40; i++)
		save(f, "a/t/r/.f.tmp", "a/t/r/f", (char)('0' + i % 10));
	/* ten, the one that is live, and their rows under the other name */
	assert_in_range(fx_number(f, "SELECT count(*) FROM filespace_file"
	                          " WHERE file_key = 'f'"), 10, 11);
	assert_in_range(fx_number(f, "SELECT count(*) FROM filespace_file"),
	                18, 22);
	assert_int_equal(fx_number(f, "SELECT count(*) FROM filespace_file l"
	                           " WHERE pred_id IS NOT NULL AND NOT EXISTS"
	                           " (SELECT 1 FROM filespace_file p WHERE"
	                           " p.id = l.pred_id)"), 0);
	/* other names each time, after an hour without a save */
	save_us += 3600 * FSP_US_PER_SEC;
	for (int i = 0; i < 40; i++) {
		snprintf(tmp, sizeof(tmp), "a/t/r/tmp%d", i);
		save(f, tmp, "a/t/r/f", (char)('0' + i % 10));
	}
	assert_in_range(fx_number(f, "SELECT count(*) FROM filespace_file"
	                          " WHERE file_key LIKE 'tmp%'"), 9, 11);
	/* the last before the pause is there, and what came is live */
	assert_int_equal(fx_number(f, "SELECT " FX_ORD "(data_hash) FROM"
	                           " filespace_file WHERE file_key = 'f' AND"
	                           " stored_at < 1700003600000000 ORDER BY id"
	                           " DESC LIMIT 1"), '9');
	assert_int_equal(fx_php_get(f, "a.t.r", "f"), '9');
	assert_in_range(fx_number(f, "SELECT count(*) FROM filespace_file"
	                          " WHERE file_key = 'f'"), 20, 22);
}

/* A file that is renamed on and on while it is written is one file. */
static void test_thinning_moves(void **state)
{
	struct fx *f = *state;
	char from[32] = "a/t/r/log", to[32];

	thin_fixture(f);
	for (int i = 0; i < 40; i++) {
		fx_put(f, from, (char)('0' + i % 10), 5);
		snprintf(to, sizeof(to), "a/t/r/log%d", i);
		assert_int_equal(fx_mv(f, from, to, 0, NULL), 0);
		fx_put(f, to, (char)('a' + i % 6), 6);
		strcpy(from, to);
		save_us += 1000000;
	}
	assert_in_range(fx_number(f, "SELECT count(*) FROM filespace_file"),
	                10, 20);
}

static int count_version(void *arg, const struct fsp_version *v)
{
	char *out = arg;
	size_t len = strlen(out);

	out[len] = v->hash[0];
	out[len + 1] = '\0';
	return 0;
}

/* What a link follows may be dropped; then it follows what was before. */
static void test_thinning_links(void **state)
{
	struct fx *f = *state;
	char got[64] = "";

	thin_fixture(f);
	fx_put(f, "a/t/r/f", '1', 1);
	save_us += 3600 * FSP_US_PER_SEC;
	fx_put(f, "a/t/r/f", '2', 0);
	assert_int_equal(fx_ln(f, "a/t/r/f", "a/t/r/l"), 0);
	assert_int_equal(fx_ln(f, "a/t/r/f", "a/t/r/m"), 0);
	assert_int_equal(fx_rm(f, "a/t/r/m", false), 0);
	fx_put(f, "a/t/r/f", '3', 3);
	assert_int_equal(f->m->ops->history(f->m, &f->ctx, "a/t/r/l",
	                                    count_version, got), 0);
	assert_string_equal(got, "13");
	got[0] = '\0';
	assert_int_equal(f->m->ops->history(f->m, &f->ctx, "a/t/r/m",
	                                    count_version, got), 0);
	assert_string_equal(got, "12");
}

/* A file that was emptied is replaced: at no time was there none. */
static void test_thinning_empty(void **state)
{
	struct fx *f = *state;
	char seen[100] = "";
	int64_t emptied;

	thin_fixture(f);
	fx_put(f, "a/t/r/f", '1', 1);
	fx_put(f, "a/t/r/f", '2', 0);
	emptied = save_us;
	save(f, "a/t/r/g", "a/t/r/f", '3');
	assert_int_equal(fx_number(f, "SELECT count(*) FROM filespace_file"
	                           " WHERE file_key = 'f'"), 2);
	assert_string_equal(fx_ls_at(f, "a/t/r", emptied), "f");
	assert_int_equal(fx_mv(f, "a/t/r/f", "a/t/r/h", 0, NULL), 0);
	assert_int_equal(f->m->ops->history(f->m, &f->ctx, "a/t/r/h",
	                                    count_version, seen), 0);
	assert_string_equal(seen, "13");
}

static void test_setattr(void **state)
{
	struct fx *f = *state;
	struct fsp_attr a = {
		.mode = 07711, .uid = 5, .gid = 6, .atime_ns = 7,
		.mtime_ns = 8000000001LL, .ctime_ns = 9
	};
	struct fsp_ref ref = { FSP_INO_ROOT, "" };
	struct fsp_entry e;

	assert_int_equal(f->m->ops->getattr(f->m, &f->ctx, &ref, &e), 0);
	assert_int_equal(e.attr.mode, S_IFDIR | 0750);
	assert_int_equal(e.attr.uid, 33);
	assert_int_equal(f->m->ops->setattr(f->m, &f->ctx, &ref, FSP_SET_MODE,
	                                    &a, &e), 0);
	assert_int_equal(f->m->ops->getattr(f->m, &f->ctx, &ref, &e), 0);
	assert_int_equal(e.attr.mode, S_IFDIR | 07711);

	fx_mkdirs(f, "a/t/r");
	fx_put(f, "a/t/r/f", '1', 10);
	ref = (struct fsp_ref){ fx_get(f, "a/t/r/f").attr.ino, "whatever" };
	assert_int_equal(f->m->ops->setattr(f->m, &f->ctx, &ref, 63, &a, &e),
	                 0);
	e = fx_get(f, "a/t/r/f");
	assert_int_equal(e.attr.mode, S_IFREG | 07711);
	assert_int_equal(e.attr.uid, 5);
	assert_int_equal(e.attr.gid, 6);
	assert_int_equal(e.attr.atime_ns, 7);
	assert_int_equal(e.attr.mtime_ns, 8000000001LL);
	assert_int_equal(e.attr.ctime_ns, 9);
	assert_int_equal(fx_number(f, "SELECT created_at FROM filespace_file"),
	                 8);
	assert_int_equal(fx_number(f, "SELECT count(*) FROM filespace_file"),
	                 1);
	assert_int_equal(f->m->ops->setattr(f->m, &f->ctx, &ref, 0, &a, &e), 0);
	assert_true(e.attr.ctime_ns > 9);
	ref.ino = 77777;
	assert_int_equal(f->m->ops->setattr(f->m, &f->ctx, &ref, 1, &a, &e),
	                 -ESTALE);
}

/* What an open asks: is this inode what is at the path? */
static void test_getattr_at(void **state)
{
	struct fx *f = *state;
	struct fsp_ref ref = { 0, "a/t/r/f" };
	struct fsp_entry e, want;

	fx_mkdirs(f, "a/t/r");
	fx_put(f, "a/t/r/f", '1', 10);
	want = fx_get(f, "a/t/r/f");
	ref.ino = want.attr.ino;
	assert_int_equal(f->m->ops->getattr_at(f->m, &f->ctx, &ref, &e), 0);
	assert_memory_equal(&e, &want, sizeof(e));
	assert_int_equal(fx_ln(f, "a/t/r/f", "a/t/r/g"), 0);
	assert_int_equal(f->m->ops->getattr_at(f->m, &f->ctx, &ref, &e), 0);
	assert_int_equal(e.attr.nlink, 2);
	ref.path = "a/t/r/g";
	assert_int_equal(f->m->ops->getattr_at(f->m, &f->ctx, &ref, &e), 0);
	/* It is somewhere, but not there. */
	assert_int_equal(fx_rm(f, "a/t/r/g", false), 0);
	assert_int_equal(f->m->ops->getattr_at(f->m, &f->ctx, &ref, &e),
	                 -ESTALE);
	fx_put(f, "a/t/r/g", '2', 10);
	assert_int_equal(f->m->ops->getattr_at(f->m, &f->ctx, &ref, &e),
	                 -ESTALE);
	ref.path = "a/t/r/f/below";
	assert_int_equal(f->m->ops->getattr_at(f->m, &f->ctx, &ref, &e),
	                 -ESTALE);
	/* PHP has written it, and PHP has closed it. */
	ref.path = "a/t/r/f";
	fx_php_upload(f, "a.t.r", "f", '3', 33, 3000000000);
	assert_int_equal(f->m->ops->getattr_at(f->m, &f->ctx, &ref, &e), 0);
	want = fx_get(f, "a/t/r/f");
	assert_memory_equal(&e, &want, sizeof(e));
	assert_int_equal(e.attr.size, 33);
	fx_sql(f, "UPDATE filespace_file SET deleted_at = 3000000001"
	       " WHERE file_key = 'f'");
	assert_int_equal(f->m->ops->getattr_at(f->m, &f->ctx, &ref, &e),
	                 -ESTALE);
	/* A file of PHP's alone */
	fx_php_upload(f, "a.t.r", "p", '3', 33, 2000);
	ref.path = "a/t/r/p";
	want = fx_get(f, ref.path);
	ref.ino = want.attr.ino;
	assert_int_equal(f->m->ops->getattr_at(f->m, &f->ctx, &ref, &e), 0);
	assert_memory_equal(&e, &want, sizeof(e));
}

static void test_remove(void **state)
{
	struct fx *f = *state;
	struct fsp_place at = { 0, "a/t/r", "f", 0 };
	struct fsp_entry e, c;
	struct fsp_ref ref;

	fx_mkdirs(f, "a/t/r/s");
	c = fx_put(f, "a/t/r/f", '1', 10);
	assert_int_equal(fx_rm(f, "a/t/r/x", false), -ENOENT);
	assert_int_equal(fx_rm(f, "a/t/r/f", true), -ENOTDIR);
	assert_int_equal(fx_rm(f, "a/t/r/s", false), -EISDIR);
	assert_int_equal(fx_rm(f, "a/t/r", true), -ENOTEMPTY);
	assert_int_equal(fx_rm(f, "a", true), -ENOTEMPTY);
	at.dir_ino = c.attr.ino;
	assert_int_equal(f->m->ops->remove(f->m, &f->ctx, &at, false, &e),
	                 -ESTALE);
	at.dir_ino = 0;
	assert_int_equal(f->m->ops->remove(f->m, &f->ctx, &at, false, &e), 0);
	assert_int_equal(e.attr.nlink, 0);
	assert_int_equal(e.attr.size, 10);
	assert_int_equal(e.content.row, c.content.row);
	fx_gone(f, "a/t/r/f");
	ref = (struct fsp_ref){ c.attr.ino, "a/t/r/f" };
	assert_int_equal(f->m->ops->getattr(f->m, &f->ctx, &ref, &e), -ESTALE);
	assert_int_equal(fx_commit_ref(f, &ref, '2', 1, 0, &e), -ESTALE);
	ref.path = NULL;
	assert_int_equal(fx_commit_ref(f, &ref, '2', 1, 0, &e), -ESTALE);
	assert_true(fx_number(f, "SELECT deleted_at FROM filespace_file") > 0);

	/* a pending name counts, too */
	assert_int_equal(fx_new(f, "a/t/r/s/p", S_IFREG | 0600, &e), 0);
	assert_int_equal(fx_rm(f, "a/t/r/s", true), -ENOTEMPTY);
	assert_int_equal(fx_rm(f, "a/t/r/s/p", false), 0);
	assert_int_equal(fx_rm(f, "a/t/r/s", true), 0);
	assert_int_equal(fx_rm(f, "a/t/r", true), 0);
	assert_int_equal(fx_number(f, "SELECT count(*) FROM filespace WHERE"
	                           " deleted_at IS NULL"), 0);
	assert_int_equal(fx_rm(f, "a/t", true), 0);
	assert_int_equal(fx_rm(f, "a", true), 0);
	assert_string_equal(fx_ls(f, ""), "");
	e = fx_get(f, (fx_mkdirs(f, "a/t/r"), "a/t/r"));
	assert_int_equal(fx_number(f, "SELECT count(*) FROM filespace WHERE"
	                           " deleted_at IS NULL"), 1);
}

static void test_list_errors(void **state)
{
	struct fx *f = *state;
	struct fx_list l = { .n = 0 };

	fx_mkdirs(f, "a/t/r/s");
	fx_put(f, "a/t/r/f", '1', 10);
	assert_string_equal(fx_ls(f, "a/t/r/s"), "");
	assert_int_equal(f->m->ops->list(f->m, &f->ctx, "a/t/x", 0, fx_each, &l),
	                 -ENOENT);
	assert_int_equal(f->m->ops->list(f->m, &f->ctx, "a/t/r/f", 0, fx_each,
	                                 &l), -ENOTDIR);
	assert_int_equal(f->m->ops->list(f->m, &f->ctx, "a//x", 0, fx_each, &l),
	                 -EINVAL);
	assert_int_equal(l.n, 0);
}

static int stop(void *arg, const char *name, const struct fsp_entry *e)
{
	(void)name;
	(void)e;
	++*(int *)arg;
	return 42;
}

static void test_list_most(void **state)
{
	struct fx *f = *state;
	struct fx_list l = { .n = 0 };

	fx_mkdirs(f, "a/t/r/d");
	fx_put(f, "a/t/r/f", '1', 10);
	fx_php_upload(f, "a.t.r", "x/y", '2', 20, 1500000000);
	assert_int_equal(f->m->ops->list(f->m, &f->ctx, "a/t/r", 3, fx_each,
	                                 &l), 0);
	assert_string_equal(fx_join(&l), "d/ f x/");
	assert_int_equal(f->m->ops->list(f->m, &f->ctx, "a/t/r", 2, fx_each,
	                                 &l), -E2BIG);
	assert_int_equal(f->m->ops->list(f->m, &f->ctx, "a/t/r", 1, fx_each,
	                                 &l), -E2BIG);
	assert_int_equal(l.n, 0);
	/* What is not shown counts as well, or the end would be missing. */
	fx_mkdirs(f, "a/t/s");
	for (char c = 'a'; c <= 'e'; c++) {
		char path[] = "a/t/s/?";

		path[6] = c;
		fx_put(f, path, '1', 10);
	}
	fx_sql(f, "UPDATE filespace_file SET deleted_at = 1500000000"
	       " WHERE space_key = 'a.t.s' AND file_key = 'a'");
	assert_int_equal(f->m->ops->list(f->m, &f->ctx, "a/t/s", 3, fx_each,
	                                 &l), -E2BIG);
	assert_int_equal(l.n, 0);
	assert_int_equal(f->m->ops->list(f->m, &f->ctx, "a/t/s", 5, fx_each,
	                                 &l), 0);
	assert_string_equal(fx_join(&l), "b c d e");
}

static void test_list_stops(void **state)
{
	struct fx *f = *state;
	int n = 0;

	fx_mkdirs(f, "a/t");
	fx_mkdirs(f, "a/u");
	assert_int_equal(f->m->ops->list(f->m, &f->ctx, "a", 0, stop, &n), 42);
	assert_int_equal(n, 1);
}

static void test_links(void **state)
{
	struct fx *f = *state;
	struct fsp_entry a, b;

	fx_mkdirs(f, "a/t/r");
	fx_mkdirs(f, "b/t/r/s");
	a = fx_put(f, "a/t/r/f", '1', 10);
	assert_int_equal(fx_ln(f, "a/t/r/f", "b/t/r/s/g"), 0);
	b = fx_get(f, "b/t/r/s/g");
	assert_int_equal(b.attr.ino, a.attr.ino);
	assert_int_equal(b.attr.nlink, 2);
	assert_int_not_equal(b.content.row, a.content.row);
	assert_int_equal(fx_php_get(f, "b.t.r", "s/g"), '1');
	assert_int_equal(fx_ln(f, "a/t/r/f", "b/t/r/s/g"), -EEXIST);
	assert_int_equal(fx_ln(f, "a/t/r/f", "no/g"), -ENOENT);
	assert_int_equal(fx_ln(f, "a/t/r", "a/t/q"), -EPERM);

	fx_commit(f, "b/t/r/s/g", '2', 20);
	assert_int_equal(fx_get(f, "a/t/r/f").attr.size, 20);
	assert_int_equal(fx_php_get(f, "a.t.r", "f"), '2');
	assert_int_equal(fx_php_get(f, "b.t.r", "s/g"), '2');
	/* rename between two names of one inode: nothing happens */
	assert_int_equal(fx_mv(f, "a/t/r/f", "b/t/r/s/g", 0, NULL), 0);
	assert_int_equal(fx_get(f, "a/t/r/f").attr.nlink, 2);
	assert_int_equal(fx_rm(f, "a/t/r/f", false), 0);
	b = fx_get(f, "b/t/r/s/g");
	assert_int_equal(b.attr.nlink, 1);
	assert_int_equal(b.attr.ino, a.attr.ino);
	assert_int_equal(b.attr.size, 20);

	/* symlinks and pending files have links, too */
	assert_int_equal(fx_new(f, "a/t/r/l", S_IFLNK | 0777, &a), 0);
	assert_int_equal(fx_ln(f, "a/t/r/l", "a/t/r/l2"), 0);
	assert_int_equal(fx_get(f, "a/t/r/l").attr.nlink, 2);
	assert_int_equal(fx_new(f, "a/t/r/p", S_IFREG | 0777, &a), 0);
	assert_int_equal(fx_ln(f, "a/t/r/p", "a/t/r/p2"), 0);
	fx_commit(f, "a/t/r/p2", '7', 7);
	assert_int_equal(fx_get(f, "a/t/r/p").attr.size, 7);
	fx_walk(f, "");
}

static void test_rename_file(void **state)
{
	struct fx *f = *state;
	struct fsp_renamed r;
	struct fsp_entry a, b;

	fx_mkdirs(f, "a/t/r/d");
	fx_mkdirs(f, "b/t/q");
	a = fx_put(f, "a/t/r/f", '1', 10);
	b = fx_put(f, "b/t/q/g", '2', 20);
	assert_int_equal(fx_mv(f, "a/t/r/f", "a/t/r/d", 0, &r), -EISDIR);
	assert_int_equal(fx_mv(f, "a/t/r/d", "a/t/r/f", 0, &r), -ENOTDIR);
	assert_int_equal(fx_mv(f, "a/t/r/x", "a/t/r/f", 0, &r), -ENOENT);
	assert_int_equal(fx_mv(f, "a/t/r/f", "a/t/x/f", 0, &r), -ENOENT);
	assert_int_equal(fx_mv(f, "a/t/r/f", "b/t/q/g/x", 0, &r), -ENOTDIR);
	assert_int_equal(fx_mv(f, "a/t/r/f", "b/t/q/g", FSP_RENAME_NOREPLACE,
	                       &r), -EEXIST);
	assert_int_equal(fx_mv(f, "a/t/r/f", "b/t/q/n", FSP_RENAME_EXCHANGE,
	                       &r), -ENOENT);
	assert_int_equal(fx_mv(f, "a/t/r/f", "b/t/q/g", 3, &r), -EINVAL);
	assert_int_equal(fx_mv(f, "a/t/r/f", "b/t/q/g", 0, &r), 0);
	assert_int_equal(r.ino, a.attr.ino);
	assert_int_equal(r.replaced, b.attr.ino);
	assert_int_equal(r.replaced_nlink, 0);
	assert_int_equal(r.entry.attr.size, 10);
	assert_int_equal(r.entry.content.row,
	                 fx_get(f, "b/t/q/g").content.row);
	fx_gone(f, "a/t/r/f");
	assert_int_equal(fx_php_get(f, "a.t.r", "f"), 0);
	assert_int_equal(fx_php_get(f, "b.t.q", "g"), '1');
	/* no row was re-keyed, the successor has the time of the content */
	assert_int_equal(fx_number(f, "SELECT count(*) FROM filespace_file"), 3);
	assert_int_equal(fx_number(f, "SELECT n.stored_at = o.stored_at FROM"
	                           " filespace_file n JOIN filespace_file o ON"
	                           " o.id = n.pred_id"), 1);

	/* pending, into the root, and a symlink over it */
	assert_int_equal(fx_new(f, "a/t/r/p", S_IFREG | 0600, &a), 0);
	assert_int_equal(fx_mv(f, "a/t/r/p", "p", 0, &r), 0);
	assert_int_equal(fx_get(f, "p").attr.ino, a.attr.ino);
	fx_commit(f, "p", '9', 9);
	assert_int_equal(fx_php_get(f, "", "p"), '9');
	assert_int_equal(fx_new(f, "a/l", S_IFLNK | 0777, &b), 0);
	assert_int_equal(fx_mv(f, "a/l", "p", 0, &r), 0);
	assert_int_equal(fx_get(f, "p").attr.ino, b.attr.ino);
	assert_int_equal(fx_php_get(f, "", "p"), 0);
	assert_int_equal(fx_mv(f, "p", "p", 0, &r), 0);
	fx_walk(f, "");
}

static void fill_tree(struct fx *f, const char *top)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/t/r/s/u", top);
	fx_mkdirs(f, path);
	snprintf(path, sizeof(path), "%s/t/r/s/u/deep", top);
	fx_put(f, path, '1', 1);
	snprintf(path, sizeof(path), "%s/t/r/f", top);
	fx_put(f, path, '2', 2);
	snprintf(path, sizeof(path), "%s/t/x", top);
	fx_put(f, path, '3', 3);
	snprintf(path, sizeof(path), "%s/y", top);
	fx_put(f, path, '4', 4);
	snprintf(path, sizeof(path), "%s/t/e", top);
	fx_mkdirs(f, path);
}

static void test_rename_dirs(void **state)
{
	struct fx *f = *state;
	struct fsp_renamed r;
	uint64_t ino, sub;

	fill_tree(f, "a");
	ino = fx_get(f, "a").attr.ino;
	sub = fx_get(f, "a/t/r/s").attr.ino;
	assert_int_equal(fx_mv(f, "a", "b", 0, &r), 0);        /* account */
	assert_int_equal(r.ino, ino);
	fx_gone(f, "a");
	assert_string_equal(fx_ls(f, "b/t"), "e/ r/ x");
	assert_int_equal(fx_php_get(f, "b.t.r", "s/u/deep"), '1');
	assert_int_equal(fx_php_get(f, "b", "y"), '4');
	assert_int_equal(fx_mv(f, "b/t", "b/v.w", 0, &r), 0);  /* table */
	assert_int_equal(fx_php_get(f, "b.v%2Ew.r", "f"), '2');
	assert_int_equal(fx_mv(f, "b/v.w/r", "b/v.w/q", 0, &r), 0);
	assert_int_equal(fx_php_get(f, "b.v%2Ew.q", "f"), '2');
	assert_int_equal(fx_get(f, "b/v.w/q/s").attr.ino, sub);
	assert_int_equal(fx_mv(f, "b/v.w/q/s", "b/v.w/q/s2", 0, &r), 0);
	assert_int_equal(fx_php_get(f, "b.v%2Ew.q", "s2/u/deep"), '1');
	/* a record into a directory of another, and a directory out of it */
	assert_int_equal(fx_mv(f, "b/v.w/q", "b/v.w/e/q", 0, &r), 0);
	assert_int_equal(fx_php_get(f, "b.v%2Ew.e", "q/s2/u/deep"), '1');
	assert_int_equal(fx_number(f, "SELECT count(*) FROM filespace WHERE"
	                           " deleted_at IS NULL AND space_key ="
	                           " 'b.v%2Ew.q'"), 0);
	assert_int_equal(fx_mv(f, "b/v.w/e/q/s2", "b/v.w/new", 0, &r), 0);
	assert_int_equal(fx_php_get(f, "b.v%2Ew.new", "u/deep"), '1');
	assert_int_equal(fx_number(f, "SELECT count(*) FROM filespace WHERE"
	                           " deleted_at IS NULL AND space_key ="
	                           " 'b.v%2Ew.new' AND name = 'new'"), 1);
	assert_int_equal(fx_get(f, "b/v.w/new").attr.ino, sub);
	/* a record becomes a table: its directories become records */
	assert_int_equal(fx_mv(f, "b/v.w/new", "b/tab", 0, &r), 0);
	assert_int_equal(fx_php_get(f, "b.tab.u", "deep"), '1');
	assert_int_equal(fx_number(f, "SELECT count(*) FROM filespace WHERE"
	                           " deleted_at IS NULL AND space_key ="
	                           " 'b.tab.u'"), 1);
	/* and an account goes deep down */
	fx_mkdirs(f, "z/z/z");
	assert_int_equal(fx_mv(f, "b", "z/z/z/b", 0, &r), 0);
	assert_int_equal(fx_php_get(f, "z.z.z", "b/tab/u/deep"), '1');
	assert_int_equal(fx_number(f, "SELECT count(*) FROM filespace WHERE"
	                           " deleted_at IS NULL"), 1);
	fx_walk(f, "");
}

static void test_rename_over_dirs(void **state)
{
	struct fx *f = *state;
	struct fsp_renamed r;
	uint64_t empty;

	fill_tree(f, "a");
	fx_mkdirs(f, "b/t/r");
	empty = fx_get(f, "b/t/r").attr.ino;
	assert_int_equal(fx_mv(f, "b/t/r", "a/t/r", 0, &r), -ENOTEMPTY);
	assert_int_equal(fx_mv(f, "a/t/r", "a/t", 0, &r), -ENOTEMPTY);
	assert_int_equal(fx_mv(f, "a/t/r", "a/t/r/s/x", 0, &r), -EINVAL);
	assert_int_equal(fx_mv(f, "a", "a/t/r/s/x", 0, &r), -EINVAL);
	assert_int_equal(fx_mv(f, "a/t/r", "b/t/r", 0, &r), 0);
	assert_int_equal(r.replaced, empty);
	assert_int_equal(fx_php_get(f, "b.t.r", "f"), '2');
	assert_string_equal(fx_ls(f, "a/t"), "e/ x");
	fx_mkdirs(f, "b/t/r/e1");
	assert_int_equal(fx_mv(f, "b/t/r/s", "b/t/r/e1", 0, &r), 0);
	assert_string_equal(fx_ls(f, "b/t/r"), "e1/ f");
	fx_walk(f, "");
}

static void test_rename_limit(void **state)
{
	struct fsp_meta_options o = fx_options();
	struct fx *f = *state;
	struct fsp_renamed r;
	char path[64];

	fx_close(f);
	o.rename_max_rows = 5;
	fx_open(f, &o);
	fx_mkdirs(f, "a/t/r/d");
	for (int i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "a/t/r/d/f%d", i);
		fx_put(f, path, '1', 1);
	}
	assert_int_equal(fx_mv(f, "a/t/r/d", "a/t/r/e", 0, &r), 0);
	fx_put(f, "a/t/r/e/f5", '1', 1);
	assert_int_equal(fx_mv(f, "a/t/r/e", "a/t/r/d", 0, &r), -EXDEV);
	assert_string_equal(fx_ls(f, "a/t/r"), "e/");
	assert_string_equal(fx_ls(f, "a/t/r/e"), "f0 f1 f2 f3 f4 f5");
	fx_mkdirs(f, "a/t/q");
	assert_int_equal(fx_mv(f, "a/t/q", "a/t/r", FSP_RENAME_EXCHANGE, &r),
	                 -EXDEV);
	fx_walk(f, "");
}

static void test_exchange(void **state)
{
	struct fx *f = *state;
	struct fsp_entry a, b;
	struct fsp_renamed r;

	fx_mkdirs(f, "a/t/r/d/e");
	a = fx_put(f, "a/t/r/d/f", '1', 1);
	b = fx_put(f, "a/t/r/g", '2', 2);
	assert_int_equal(fx_mv(f, "a/t/r/d/f", "a/t/r/g", FSP_RENAME_EXCHANGE,
	                       &r), 0);
	assert_int_equal(r.ino, a.attr.ino);
	assert_int_equal(r.replaced, b.attr.ino);
	assert_int_equal(r.replaced_nlink, 1);
	assert_int_equal(fx_get(f, "a/t/r/g").attr.ino, a.attr.ino);
	assert_int_equal(fx_get(f, "a/t/r/d/f").attr.ino, b.attr.ino);
	assert_int_equal(fx_php_get(f, "a.t.r", "g"), '1');
	/* a directory with what is in it, and a file */
	assert_int_equal(fx_mv(f, "a/t/r/d", "a/t/r/g", FSP_RENAME_EXCHANGE,
	                       &r), 0);
	assert_string_equal(fx_ls(f, "a/t/r/g"), "e/ f");
	assert_int_equal(fx_get(f, "a/t/r/d").attr.ino, a.attr.ino);
	assert_int_equal(fx_php_get(f, "a.t.r", "g/f"), '2');
	assert_int_equal(fx_php_get(f, "a.t.r", "d"), '1');
	assert_int_equal(fx_mv(f, "a/t/r/g", "a/t/r/g/f", FSP_RENAME_EXCHANGE,
	                       &r), -EINVAL);
	assert_int_equal(fx_mv(f, "a/t/r/g/f", "a/t/r/g", FSP_RENAME_EXCHANGE,
	                       &r), -EINVAL);
	/* two accounts */
	fx_mkdirs(f, "b/x");
	assert_int_equal(fx_mv(f, "a", "b", FSP_RENAME_EXCHANGE, &r), 0);
	assert_string_equal(fx_ls(f, "a"), "x/");
	assert_int_equal(fx_php_get(f, "b.t.r", "g/f"), '2');
	fx_walk(f, "");
}

static int count_keys(void *arg, const char *key, uint64_t size)
{
	uint64_t *n = arg;

	assert_int_equal(strlen(key), 64);
	n[0]++;
	n[1] += size;
	return 0;
}

static int add_row_path(void *arg, int64_t row, const char *path)
{
	char *out = arg;

	sprintf(out + strlen(out), " %d:%s", (int)row, path);
	return 0;
}

static int64_t commit_verified(struct fx *f, const char *path, int64_t at_us)
{
	struct fsp_entry e = fx_get(f, path);
	struct fsp_object o = fx_object('e', 9), got;
	struct fsp_commit c = {
		.ref = { e.attr.ino, path }, .owner = "mount1", .object = &o
	};

	o.verified_us = at_us;
	assert_int_equal(f->m->ops->commit(f->m, &f->ctx, &c, &e), 0);
	assert_int_equal(f->m->ops->object_get(f->m, &f->ctx, o.key, &got), 0);
	return got.verified_us;
}

/* Content that many have is not written again by each of them. */
static void test_known_object(void **state)
{
	const int64_t day = 24 * 3600 * FSP_US_PER_SEC, t = 1000 * day;
	struct fx *f = *state;
	struct fsp_object o = fx_object('e', 9);

	fx_mkdirs(f, "a/t/r");
	fx_put(f, "a/t/r/f", '1', 10);
	fx_put(f, "a/t/r/g", '1', 10);
	fx_put(f, "a/t/r/h", '1', 10);
	fx_put(f, "a/t/r/i", '1', 10);
	assert_int_equal(commit_verified(f, "a/t/r/f", t), t);
	assert_int_equal(commit_verified(f, "a/t/r/g", t + day - 1), t);
	assert_int_equal(commit_verified(f, "a/t/r/h", t + day), t + day);
	/* found damaged, and whole again */
	o.verified_us = 0;
	assert_int_equal(f->m->ops->object_put(f->m, &f->ctx, &o), 0);
	assert_int_equal(commit_verified(f, "a/t/r/i", 7), 7);
}

static void test_objects(void **state)
{
	char rows[200] = "";
	struct fx *f = *state;
	struct fsp_object o = fx_object('a', 100), got;
	uint64_t n[2] = { 0, 0 };
	char other[65];

	o.verified_us = 5;
	memset(other, 'b', 64);
	other[64] = '\0';
	assert_int_equal(f->m->ops->object_get(f->m, &f->ctx, o.key, &got),
	                 -ENOENT);
	assert_int_equal(f->m->ops->object_put(f->m, &f->ctx, &o), 0);
	o.stored = 77;
	assert_int_equal(f->m->ops->object_put(f->m, &f->ctx, &o), 0);
	assert_int_equal(f->m->ops->object_get(f->m, &f->ctx, o.key, &got), 0);
	assert_int_equal(got.recorded_us, 5);
	got.recorded_us = 0;
	assert_memory_equal(&got, &o, sizeof(o));
	assert_int_equal(f->m->ops->object_find(f->m, &f->ctx, o.sha256,
	                                        o.sha1, 100, &got), 0);
	assert_int_equal(f->m->ops->object_find(f->m, &f->ctx, NULL, o.sha1,
	                                        100, &got), 0);
	assert_int_equal(f->m->ops->object_find(f->m, &f->ctx, o.sha256, NULL,
	                                        101, &got), -ENOENT);
	/* a SHA-1 collision finds nothing */
	assert_int_equal(f->m->ops->object_find(f->m, &f->ctx, other, o.sha1,
	                                        100, &got), -ENOENT);
	fx_mkdirs(f, "a/t/r");
	fx_put(f, "a/t/r/f", '1', 10);
	fx_put(f, "a/t/r/g", '1', 10);
	fx_put(f, "a/t/r/g", '2', 20);
	assert_int_equal(f->m->ops->object_each(f->m, &f->ctx, count_keys, n),
	                 0);
	assert_int_equal(n[0], 2);
	assert_int_equal(n[1], 30);
	/* the live row first, then the one that was superseded */
	assert_int_equal(f->m->ops->object_rows(f->m, &f->ctx, fx_object('1', 10).key,
	                                        add_row_path, rows), 0);
	assert_string_equal(rows, " 1:a/t/r/f 2:a/t/r/g");
	rows[0] = '\0';
	assert_int_equal(fx_rm(f, "a/t/r/f", false), 0);
	fx_put(f, "a/t/r/h", '1', 10);
	assert_int_equal(f->m->ops->object_rows(f->m, &f->ctx, fx_object('1', 10).key,
	                                        add_row_path, rows), 0);
	assert_string_equal(rows, " 4:a/t/r/h 1:a/t/r/f 2:a/t/r/g");
	assert_int_equal(f->m->ops->object_rows(f->m, &f->ctx, "ff",
	                                        add_row_path, rows), 0);
}

/* Bytes of any value, a megabyte of them. */
static void fill_index(struct fsp_buf *b, uint8_t first)
{
	fsp_buf_reset(b);
	assert_int_equal(fsp_buf_reserve(b, 1 << 20), 0);
	for (size_t i = 0; i < 1 << 20; i++)
		b->data[i] = (char)(uint8_t)(i + first);
	b->len = 1 << 20;
}

static void assert_index(struct fx *f, const char *key,
                         const struct fsp_buf *want)
{
	FSP_BUF struct fsp_buf got = FSP_BUF_INIT;
	struct fsp_object o;

	assert_int_equal(fsp_buf_adds(&got, "what was there"), 0);
	assert_int_equal(f->m->ops->object_blocks(f->m, &f->ctx, key, &o, &got),
	                 0);
	assert_string_equal(o.key, key);
	assert_int_equal(got.len, want ? want->len : 0);
	if (want)
		assert_memory_equal(got.data, want->data, got.len);
}

/* An index comes with its object's record, is replaced and goes with it. */
static void test_blocks(void **state)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT, none = FSP_BUF_INIT;
	struct fx *f = *state;
	struct fsp_object o = fx_object('e', 9);
	struct fsp_entry e;
	struct fsp_commit c = { .owner = "mount1", .object = &o };

	o.verified_us = 5;
	assert_int_equal(f->m->ops->object_blocks(f->m, &f->ctx, o.key, &o,
	                                          &b), -ENOENT);
	fx_mkdirs(f, "a/t/r");
	e = fx_put(f, "a/t/r/f", '1', 10);
	c.ref = (struct fsp_ref){ e.attr.ino, "a/t/r/f" };
	fill_index(&b, 0);
	o.blocks = &b;
	assert_int_equal(f->m->ops->commit(f->m, &f->ctx, &c, &e), 0);
	assert_index(f, o.key, &b);
	/* the same content without an upload leaves it */
	o.blocks = NULL;
	assert_int_equal(f->m->ops->commit(f->m, &f->ctx, &c, &e), 0);
	assert_int_equal(f->m->ops->object_put(f->m, &f->ctx, &o), 0);
	assert_index(f, o.key, &b);
	/* stored again: another encoding */
	fill_index(&b, 7);
	o.blocks = &b;
	assert_int_equal(f->m->ops->commit(f->m, &f->ctx, &c, &e), 0);
	assert_index(f, o.key, &b);
	o.blocks = &none;
	assert_int_equal(f->m->ops->object_put(f->m, &f->ctx, &o), 0);
	assert_index(f, o.key, NULL);
	o.blocks = &b;
	assert_int_equal(f->m->ops->object_put(f->m, &f->ctx, &o), 0);
	assert_index(f, o.key, &b);
	/* found damaged */
	o.verified_us = 0;
	assert_int_equal(f->m->ops->object_put(f->m, &f->ctx, &o), 0);
	assert_index(f, o.key, NULL);
	assert_int_equal(fx_number(f, "SELECT count(*) FROM fsp_blocks"), 0);
}

/* A commit that does not happen brings no index. */
static void test_blocks_undone(void **state)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	struct fx *f = *state;
	struct fsp_object o = fx_object('e', 9);
	struct fsp_entry e;
	struct fsp_commit c = {
		.owner = "mount1", .object = &o, .base_row = 77777,
		.require_base = true
	};

	fx_mkdirs(f, "a/t/r");
	e = fx_put(f, "a/t/r/f", '1', 10);
	c.ref = (struct fsp_ref){ e.attr.ino, "a/t/r/f" };
	fill_index(&b, 0);
	o.verified_us = 5;
	o.blocks = &b;
	assert_int_equal(f->m->ops->commit(f->m, &f->ctx, &c, &e), -EAGAIN);
	assert_int_equal(fx_number(f, "SELECT count(*) FROM fsp_blocks"), 0);
}

static int count_mounts(void *arg, const struct fsp_mountinfo *i)
{
	int *n = arg;

	assert_true(strcmp(i->id, "mount1") == 0 || strcmp(i->id, "m2") == 0);
	assert_string_equal(i->host, "h");
	++*n;
	return 0;
}

static void test_mounts(void **state)
{
	struct fx *f = *state;
	struct fsp_mountinfo a = { "mount1", "h", "/mnt", 1, 2, false, "",
	                           0 };
	struct fsp_mountinfo b = { "m2", "h", "/mnt2", 1, 2, true, "",
	                           0 };
	struct fsp_entry e, d;
	int n = 0;

	assert_int_equal(f->m->ops->mount_add(f->m, &f->ctx, &a), 0);
	assert_int_equal(f->m->ops->mount_add(f->m, &f->ctx, &b), 0);
	assert_int_equal(f->m->ops->mount_each(f->m, &f->ctx, count_mounts,
	                                       &n), 0);
	assert_int_equal(n, 2);
	fx_mkdirs(f, "a/t/r");
	fx_put(f, "a/t/r/done", '1', 1);
	assert_int_equal(fx_new(f, "a/t/r/p", S_IFREG | 0600, &e), 0);
	assert_int_equal(fx_ln(f, "a/t/r/p", "a/t/r/p2"), 0);
	assert_int_equal(fx_new(f, "a/t/r/over", S_IFREG | 0600, &e), 0);
	fx_php_upload(f, "a.t.r", "over", '3', 3, 1500000000);
	d = fx_get(f, "a/t/r");
	assert_int_equal(f->m->ops->mount_remove(f->m, &f->ctx, "m2"), 0);
	assert_string_equal(fx_ls(f, "a/t/r"), "done over p p2");
	assert_int_equal(f->m->ops->mount_remove(f->m, &f->ctx, "mount1"), 0);
	assert_string_equal(fx_ls(f, "a/t/r"), "done over");
	assert_int_equal(fx_get(f, "a/t/r/over").attr.ino, e.attr.ino);
	assert_int_equal(fx_get(f, "a/t/r").attr.mtime_ns, d.attr.mtime_ns);
	assert_int_equal(fx_number(f, "SELECT count(*) FROM fsp_node WHERE"
	                           " mode & 61440 = 32768"), 2);
	n = 0;
	assert_int_equal(f->m->ops->mount_each(f->m, &f->ctx, count_mounts,
	                                       &n), 0);
	assert_int_equal(n, 0);
}

static void test_setattr_many(void **state)
{
	static const char *const at[] = { "a", "a/t", "a/t/r", "a/t/r/f",
	                                  "a/t/r/gone", "a/t/r/d" };
	struct fsp_setattr v[FSP_SETATTR_MANY + 1] = { { .mask = 0 } };
	const size_t n = sizeof(at) / sizeof(*at), gone = 4, file = 3;
	struct fx *f = *state;

	fx_mkdirs(f, "a/t/r/gone");
	fx_mkdirs(f, "a/t/r/d");
	fx_put(f, "a/t/r/f", '1', 1);
	for (size_t i = 0; i < n; i++) {
		v[i].ref.ino = fx_get(f, at[i]).attr.ino;
		v[i].ref.path = at[i];
		v[i].mask = FSP_SET_MODE | FSP_SET_MTIME;
		v[i].attr.mode = 0700 + (uint32_t)i;
		v[i].attr.mtime_ns = (int64_t)(i + 1) * FSP_NS_PER_SEC;
	}
	/* One is found by its number alone, one is not there any more. */
	v[n - 1].ref.path = "";
	assert_int_equal(fx_rm(f, at[gone], true), 0);
	assert_int_equal(f->m->ops->setattr_many(f->m, &f->ctx, v, n), 0);
	for (size_t i = 0; i < n; i++) {
		struct fsp_entry e;

		assert_int_equal(v[i].err, i == gone ? -ESTALE : 0);
		if (i == gone)
			continue;
		e = fx_get(f, at[i]);
		assert_int_equal(e.attr.mode, (i == file ? S_IFREG : S_IFDIR) |
		                 v[i].attr.mode);
		assert_int_equal(e.attr.mtime_ns, v[i].attr.mtime_ns);
		assert_int_equal(v[i].out.attr.ino, e.attr.ino);
		assert_int_equal(v[i].out.attr.ctime_ns, e.attr.ctime_ns);
	}
	assert_int_equal(f->m->ops->setattr_many(f->m, &f->ctx, v, 0), 0);
	assert_int_equal(f->m->ops->setattr_many(f->m, &f->ctx, v,
	                                         FSP_SETATTR_MANY + 1), -EINVAL);
}

/* A place that a look-up has just found free may be taken by then. */
static void test_was_free(void **state)
{
	struct fsp_meta_options o = fx_options();
	struct fx *f = *state;
	struct fx other = *f;
	struct fsp_entry e;

	fx_mkdirs(f, "a/t/r");
	fx_open(&other, &o);
	for (int i = 0; i < 20; i++) {
		char name[16];
		struct fsp_place at = { .dir = "a/t/r", .name = name };
		struct fsp_new dir = { .mode = S_IFDIR | 0755 };

		snprintf(name, sizeof(name), "d%d", i);
		/* The first tells that the next ones may be free as well. */
		for (int k = 0; k < 2; k++)
			assert_int_equal(f->m->ops->lookup(f->m, &f->ctx,
			                 "a/t/r", name, false, &e), -ENOENT);
		if (i % 2)
			assert_int_equal(other.m->ops->create(other.m,
			                 &other.ctx, &at, &dir, &e), 0);
		assert_int_equal(f->m->ops->create(f->m, &f->ctx, &at, &dir,
		                                   &e), i % 2 ? -EEXIST : 0);
	}
	fx_close(&other);
}

static void test_times(void **state)
{
	struct fx *f = *state;
	struct fsp_entry before, after;

	fx_mkdirs(f, "a/t/r/s");
	before = fx_get(f, "a/t/r");
	fx_put(f, "a/t/r/f", '1', 1);
	after = fx_get(f, "a/t/r");
	assert_true(after.attr.mtime_ns > before.attr.mtime_ns);
	before = after;
	assert_int_equal(fx_mv(f, "a/t/r/f", "a/t/r/s/f", 0, NULL), 0);
	after = fx_get(f, "a/t/r");
	assert_true(after.attr.mtime_ns > before.attr.mtime_ns);
	before = fx_get(f, "a/t/r/s");
	assert_int_equal(fx_rm(f, "a/t/r/s/f", false), 0);
	after = fx_get(f, "a/t/r/s");
	assert_true(after.attr.mtime_ns > before.attr.mtime_ns);
	assert_true(after.attr.ctime_ns > before.attr.ctime_ns);
}

static void test_numbers(void **state)
{
	struct fsp_meta_options o = fx_options();
	struct fx *f = *state;
	uint64_t last = 0;
	char name[32];

	for (int i = 0; i < 600; i++) {
		uint64_t ino;

		/* a range is given up when the process ends */
		if (i % 250 == 0) {
			fx_close(f);
			fx_open(f, &o);
		}
		snprintf(name, sizeof(name), "d%d", i);
		ino = fx_mkdir(f, name);
		assert_true(ino > last);
		last = ino;
	}
	assert_int_equal(fx_number(f, "SELECT count(DISTINCT ino) FROM"
	                           " fsp_name"), 600);
}

static void test_stats_and_sync(void **state)
{
	struct fsp_meta_stats a, b;
	struct fx *f = *state;

	fx_mkdir(f, "a");
	fsp_meta_stats(f->m, &a);
	assert_int_equal(f->m->ops->sync(f->m, &f->ctx), 0);
	fsp_meta_stats(f->m, &b);
	assert_int_equal(b.writes, a.writes + 1);
	/* nothing new: nothing to do */
	assert_int_equal(f->m->ops->sync(f->m, &f->ctx), 0);
	fx_get(f, "a");
	fsp_meta_stats(f->m, &a);
	assert_int_equal(a.writes, b.writes);
	assert_int_equal(a.reads, b.reads + 1);
}

static void test_deadline(void **state)
{
	struct fx *f = *state;
	atomic_bool cancelled = true;
	struct fsp_entry e;

	fx_mkdir(f, "a");
	fx_db_lock(&f->db);
	f->ctx.deadline_ns = fsp_mono_ns() + 30000000;
	assert_int_equal(fx_new(f, "b", S_IFDIR, &e), -ETIMEDOUT);
	assert_true(fsp_ctx_left_ns(&f->ctx) <= 0);
	/* reading goes on */
	f->ctx.deadline_ns = fsp_mono_ns() + 10 * FSP_NS_PER_SEC;
	fx_get(f, "a");
	f->ctx.cancelled = &cancelled;
	assert_int_equal(fx_new(f, "b", S_IFDIR, &e), -EINTR);
	f->ctx = fsp_ctx_background();
	fx_sql(f, "ROLLBACK");
	fx_mkdir(f, "b");
}

/* What fails in the middle is undone as a whole. */
static void test_undone(void **state)
{
	struct fx *f = *state;
	struct fsp_entry e;

	fx_mkdirs(f, "a/t/r");
	fx_sql(f, "CREATE TRIGGER fill AFTER INSERT ON fsp_name " FX_ABORT);
	assert_int_equal(fx_new(f, "a/t/r/f", S_IFREG | 0600, &e), -EIO);
	fx_sql(f, "DROP TRIGGER fill");
	fx_gone(f, "a/t/r/f");
	fx_put(f, "a/t/r/f", '1', 1);
}

static void test_fault(void **state)
{
	struct fx *f = *state;
	struct fsp_meta *inner = f->m, *faulty;
	struct fsp_entry e;
	uint64_t n = 0;

	assert_int_equal(fsp_meta_fault(inner, &faulty), 0);
	f->m = faulty;
	fx_mkdir(f, "a");
	fsp_meta_fault_arm(faulty, 2, EIO);
	assert_int_equal(fx_look(f, "a", &e), 0);
	assert_int_equal(fx_look(f, "a", &e), -EIO);
	assert_int_equal(fx_look(f, "a", &e), 0);
	assert_int_equal(fsp_meta_fault_fired(faulty), 1);
	/* every call can fail */
	for (int err = 0; n < 8; n++) {
		fsp_meta_fault_arm(faulty, 1, EHOSTDOWN);
		err = n == 0 ? fx_rm(f, "a", true) :
			n == 1 ? fx_new(f, "b", S_IFDIR, &e) :
			n == 2 ? fx_mv(f, "a", "b", 0, NULL) :
			n == 3 ? faulty->ops->sync(faulty, &f->ctx) :
			n == 4 ? faulty->ops->counts(faulty, &f->ctx, true, NULL) :
			n == 5 ? faulty->ops->list(faulty, &f->ctx, "", 0, NULL,
			                           NULL) :
			n == 6 ? faulty->ops->mount_remove(faulty, &f->ctx,
			                                   "x") :
			faulty->ops->object_get(faulty, &f->ctx, "x", NULL);
		assert_int_equal(err, -EHOSTDOWN);
	}
	assert_int_equal(fsp_meta_fault_fired(faulty), 9);
	fsp_meta_fault_arm(faulty, 0, 0);
	fx_get(f, "a");
	fx_gone(f, "b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(test_create), FX_TEST(test_types),
		FX_TEST(test_long_names), FX_TEST(test_bytes),
		FX_TEST(test_commit), FX_TEST(test_commit_base),
		FX_TEST(test_commit_queued),
		FX_TEST(test_commit_nothing), FX_TEST(test_thinning),
		FX_TEST(test_thinning_saves), FX_TEST(test_thinning_moves),
		FX_TEST(test_thinning_links), FX_TEST(test_thinning_empty),
		FX_TEST(test_setattr), FX_TEST(test_setattr_many),
		FX_TEST(test_was_free), FX_TEST(test_getattr_at), FX_TEST(test_remove),
		FX_TEST(test_list_errors), FX_TEST(test_list_most), FX_TEST(test_list_stops),
		FX_TEST(test_links), FX_TEST(test_rename_file),
		FX_TEST(test_rename_dirs), FX_TEST(test_rename_over_dirs),
		FX_TEST(test_rename_limit), FX_TEST(test_exchange),
		FX_TEST(test_objects), FX_TEST(test_known_object), FX_TEST(test_blocks),
		FX_TEST(test_blocks_undone), FX_TEST(test_mounts),
		FX_TEST(test_times), FX_TEST(test_numbers),
		FX_TEST(test_stats_and_sync), FX_TEST(test_deadline),
		FX_TEST(test_undone), FX_TEST(test_fault),
	};

	return cmocka_run_group_tests_name("meta", tests, NULL, NULL);
}
