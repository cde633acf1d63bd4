/* meta: PHP working on the same store, and PHP's own stores. */
#include <fcntl.h>
#include <libgen.h>
#include <sys/wait.h>

#include "fsp_buf.h"
#include "meta_fixture.h"

/* What the database lets into a column. */
#ifdef FX_MARIA
#define FX_NULL "0"             /* deleted_at of a live row */
#define FX_BYTES(hex) "x'" hex "'"
#define FX_NO_SIZE "-9223372036854775808"
#define FX_NO_TIME "NULL"
#define FX_NO_NAME "x'6200'"
#define FX_DEAD "-1"
#define FX_NO_MODE "-1"
#define FX_CONCAT(a, b) "CONCAT(" a ", " b ")"
#else
#define FX_NULL "NULL"
#define FX_BYTES(hex) "CAST(x'" hex "' AS TEXT)"
#define FX_NO_SIZE "'many'"
#define FX_NO_TIME "1e300"
#define FX_NO_NAME "x'62'"
#define FX_DEAD "'yes'"
#define FX_NO_MODE "'x'"
#define FX_CONCAT(a, b) a " || " b
#endif

static void test_upload_over(void **state)
{
	struct fx *f = *state;
	struct fsp_entry a, b;
	int64_t id;

	fx_mkdirs(f, "acme/contact/35");
	a = fx_put(f, "acme/contact/35/f", '1', 10);
	id = fx_php_upload(f, "acme.contact.35", "f", '2', 20, 1500000000);
	b = fx_get(f, "acme/contact/35/f");
	assert_int_equal(b.attr.ino, a.attr.ino);
	assert_int_equal(b.attr.mode, a.attr.mode);
	assert_int_equal(b.attr.uid, a.attr.uid);
	assert_int_equal(b.attr.size, 20);
	assert_int_equal(b.content.row, id);
	assert_int_equal(b.attr.mtime_ns, 1500000000 * FSP_NS_PER_SEC);
	assert_true(b.attr.ctime_ns >= a.attr.ctime_ns);
	assert_int_equal(fx_walk(f, ""), 4);
	/* the next change of the mount settles it */
	fx_commit(f, "acme/contact/35/f", '3', 30);
	assert_int_equal(fx_number(f, "SELECT pred_id FROM filespace_file"
	                           " WHERE id = 3"), 2);
	assert_int_equal(fx_number(f, "SELECT pred_id FROM filespace_file"
	                           " WHERE id = 2"), 1);
	assert_int_equal(fx_number(f, "SELECT ino FROM filespace_file"
	                           " WHERE id = 2"), (int64_t)a.attr.ino);
	assert_int_equal(fx_php_get(f, "acme.contact.35", "f"), '3');
}

static void test_upload_new(void **state)
{
	struct fx *f = *state;
	struct fsp_entry e, g;
	struct fsp_ref ref;
	int64_t id;

	id = fx_php_upload(f, "acme.contact.35", "sub/dir/f", '1', 10,
	                   1500000000);
	assert_string_equal(fx_ls(f, ""), "acme/");
	assert_string_equal(fx_ls(f, "acme"), "contact/");
	assert_string_equal(fx_ls(f, "acme/contact"), "35/");
	assert_string_equal(fx_ls(f, "acme/contact/35"), "sub/");
	assert_string_equal(fx_ls(f, "acme/contact/35/sub/dir"), "f");
	e = fx_get(f, "acme/contact/35/sub/dir/f");
	assert_int_equal(e.attr.ino, FSP_INO_ROW + (uint64_t)id);
	assert_int_equal(e.attr.mode, S_IFREG | 0640);
	assert_int_equal(e.attr.uid, 33);
	assert_int_equal(e.attr.gid, 34);
	assert_int_equal(e.attr.mtime_ns, 1500000000 * FSP_NS_PER_SEC);
	assert_int_equal(e.attr.atime_ns, e.attr.mtime_ns);
	g = fx_get(f, "acme/contact/35/sub");
	assert_true(g.attr.ino >= FSP_INO_DIR);
	assert_int_equal(g.attr.mode, S_IFDIR | 0750);
	assert_int_equal(fx_walk(f, ""), 6);
	/* uploaded again before any mount knew it: still the same file */
	fx_php_upload(f, "acme.contact.35", "sub/dir/f", '2', 20, 1500000001);
	assert_int_equal(fx_get(f, "acme/contact/35/sub/dir/f").attr.ino,
	                 e.attr.ino);
	/* adopted: numbers stay */
	fx_commit(f, "acme/contact/35/sub/dir/f", '3', 30);
	assert_int_equal(fx_get(f, "acme/contact/35/sub/dir/f").attr.ino,
	                 e.attr.ino);
	assert_int_equal(fx_get(f, "acme/contact/35/sub").attr.ino, g.attr.ino);
	assert_int_equal(fx_number(f, "SELECT count(*) FROM fsp_name"), 6);
	assert_int_equal(fx_number(f, "SELECT pred_id FROM filespace_file"
	                           " WHERE id = 3"), 2);
	ref = (struct fsp_ref){ e.attr.ino, "acme/contact/35/sub/dir/f" };
	assert_int_equal(f->m->ops->getattr(f->m, &f->ctx, &ref, &e), 0);
	ref.ino++;
	assert_int_equal(f->m->ops->getattr(f->m, &f->ctx, &ref, &e), -ESTALE);
	fx_walk(f, "");
}

static void test_delete(void **state)
{
	struct fx *f = *state;
	struct fsp_entry e, a;
	struct fsp_ref ref;

	fx_mkdirs(f, "a/t/r/d");
	a = fx_put(f, "a/t/r/d/f", '1', 10);
	fx_php_delete(f, "a.t.r", "d/f");
	fx_gone(f, "a/t/r/d/f");
	assert_string_equal(fx_ls(f, "a/t/r/d"), "");
	/* deleted, or about to be overwritten? */
	ref = (struct fsp_ref){ a.attr.ino, "a/t/r/d/f" };
	assert_int_equal(fx_commit_ref(f, &ref, '2', 2, 0, &e), -EINPROGRESS);
	fx_sql(f, "UPDATE filespace_file SET deleted_at = deleted_at - 60");
	assert_int_equal(fx_commit_ref(f, &ref, '2', 2, 0, &e), -ESTALE);
	/* a dead name is replaced by the next create */
	assert_int_equal(fx_new(f, "a/t/r/d/f", S_IFREG | 0600, &e), 0);
	assert_int_not_equal(e.attr.ino, a.attr.ino);
	fx_commit(f, "a/t/r/d/f", '2', 20);
	/* and is no obstacle for rmdir, rename and mkdir */
	fx_put(f, "a/t/r/d/g", '3', 30);
	fx_php_delete(f, "a.t.r", "d/f");
	fx_php_delete(f, "a.t.r", "d/g");
	assert_int_equal(fx_mv(f, "a/t/r/d", "a/t/r/e", 0, NULL), 0);
	assert_string_equal(fx_ls(f, "a/t/r/e"), "");
	fx_put(f, "a/t/r/e/f", '4', 40);
	fx_php_delete(f, "a.t.r", "e/f");
	assert_int_equal(fx_rm(f, "a/t/r/e", true), 0);
	fx_mkdir(f, "a/t/r/e");
	fx_mkdir(f, "a/t/r/e/f");
	fx_put(f, "a/t/r/x", '4', 40);
	fx_put(f, "a/t/r/y", '5', 50);
	fx_php_delete(f, "a.t.r", "x");
	assert_int_equal(fx_mv(f, "a/t/r/y", "a/t/r/x", 0, NULL), 0);
	assert_int_equal(fx_get(f, "a/t/r/x").attr.size, 50);
	/* one of two links */
	fx_put(f, "a/t/r/l1", '6', 60);
	assert_int_equal(fx_ln(f, "a/t/r/l1", "a/t/r/l2"), 0);
	fx_php_delete(f, "a.t.r", "l1");
	fx_gone(f, "a/t/r/l1");
	fx_commit(f, "a/t/r/l2", '7', 70);
	fx_gone(f, "a/t/r/l1");
	assert_int_equal(fx_get(f, "a/t/r/l2").attr.size, 70);
}

/* Between the UPDATE and the INSERT of an upload. */
static void test_between(void **state)
{
	static const char *const how[] = { "a/t/r/d/ours", "a/t/r/d/php" };
	struct fx *f = *state;

	fx_mkdirs(f, "a/t/r/d");
	fx_put(f, how[0], '1', 10);
	fx_php_upload(f, "a.t.r", "d/php", '1', 10, 1500000000);
	for (size_t i = 0; i < 2; i++) {
		struct fsp_entry a = fx_get(f, how[i]), e;
		struct fsp_ref ref = { a.attr.ino, how[i] };
		const char *key = how[i] + strlen("a/t/r/");

		fx_php_delete(f, "a.t.r", key);
		assert_int_equal(fx_commit_ref(f, &ref, '3', 30, 0, &e),
		                 -EINPROGRESS);
		fx_php_upload(f, "a.t.r", key, '2', 20, 1500000001);
		assert_int_equal(fx_get(f, how[i]).attr.ino, a.attr.ino);
		assert_int_equal(fx_commit_ref(f, &ref, '3', 30, 0, &e), 0);
		assert_int_equal(fx_get(f, how[i]).attr.size, 30);
	}
	/* one that a mount removed is gone */
	{
		struct fsp_entry e = fx_get(f, how[0]);
		struct fsp_ref ref = { e.attr.ino, how[0] };

		assert_int_equal(fx_rm(f, how[0], false), 0);
		assert_int_equal(fx_commit_ref(f, &ref, '4', 40, 0, &e),
		                 -ESTALE);
	}
}

static void test_two_live(void **state)
{
	struct fsp_attr a = { .mtime_ns = 1000000000 * FSP_NS_PER_SEC };
	struct fx *f = *state;
	struct fsp_entry e;
	struct fsp_ref ref;

	fx_sql(f, "INSERT INTO filespace_file (space_key, file_key, data_hash,"
	       " created_at, deleted_at, size_original, size_storage) VALUES"
	       " ('a.t.r', 'f', 'aa', 300, " FX_NULL ", 1, 1),"
	       " ('a.t.r', 'f', 'bb', 400, 0, 2, 2),"
	       " ('a.t.r', 'f', 'cc', 400, 0, 3, 3),"
	       " ('a.t.r', 'f', 'dd', 100, 0, 4, 4)");
	e = fx_get(f, "a/t/r/f");
	assert_int_equal(e.content.row, 3);
	assert_int_equal(e.attr.ino, FSP_INO_ROW + 1);
	assert_string_equal(fx_ls(f, "a/t/r"), "f");
	assert_int_equal(fx_walk(f, ""), 4);
	/* touch to an old time closes the others, or PHP would read those */
	ref = (struct fsp_ref){ e.attr.ino, "a/t/r/f" };
	assert_int_equal(f->m->ops->setattr(f->m, &f->ctx, &ref, FSP_SET_MTIME,
	                                    &a, &e), 0);
	assert_int_equal(e.content.row, 3);
	assert_int_equal(fx_number(f, "SELECT count(*) FROM filespace_file"
	                           " WHERE deleted_at IS NULL OR deleted_at ="
	                           " 0"), 1);
	assert_int_equal(fx_get(f, "a/t/r/f").attr.ino, FSP_INO_ROW + 1);
	/* a race of PHP's after that */
	fx_sql(f, "INSERT INTO filespace_file (space_key, file_key, data_hash,"
	       " created_at, size_original, size_storage) VALUES ('a.t.r',"
	       " 'f', 'ee', 50, 5, 5)");
	assert_int_equal(fx_get(f, "a/t/r/f").content.row, 3);
	assert_int_equal(fx_rm(f, "a/t/r/f", false), 0);
	assert_int_equal(fx_php_get(f, "a.t.r", "f"), 0);
	fx_gone(f, "a/t/r/f");
}

static void test_rename_php_file(void **state)
{
	struct fx *f = *state;
	uint64_t ino, dir;
	struct fsp_renamed r;

	fx_php_upload(f, "a.t.r", "f", '1', 10, 1500000000);
	ino = fx_get(f, "a/t/r/f").attr.ino;
	assert_int_equal(fx_mv(f, "a/t/r/f", "a/t/r/g", 0, &r), 0);
	assert_int_equal(r.ino, ino);
	fx_php_upload(f, "a.t.r", "f", '2', 20, 1500000000);
	assert_int_equal(fx_get(f, "a/t/r/g").attr.ino, ino);
	assert_int_not_equal(fx_get(f, "a/t/r/f").attr.ino, ino);
	assert_int_equal(fx_php_get(f, "a.t.r", "g"), '1');

	/* the same with a directory: its number goes along, too */
	fx_php_upload(f, "a.t.r", "d/e/x", '3', 30, 1500000000);
	fx_php_upload(f, "a.t.r", "d/y", '4', 40, 1500000000);
	dir = fx_get(f, "a/t/r/d").attr.ino;
	assert_int_equal(fx_mv(f, "a/t/r/d", "a/t/r/d2", 0, &r), 0);
	assert_string_equal(fx_ls(f, "a/t/r/d2"), "e/ y");
	assert_int_equal(fx_get(f, "a/t/r/d2").attr.ino, dir);
	fx_gone(f, "a/t/r/d");
	fx_php_upload(f, "a.t.r", "d/e/x", '5', 50, 1500000000);
	assert_int_not_equal(fx_get(f, "a/t/r/d").attr.ino, dir);
	assert_int_equal(fx_get(f, "a/t/r/d2/e/x").attr.size, 30);
	assert_int_equal(fx_get(f, "a/t/r/d/e/x").attr.size, 50);
	fx_walk(f, "");

	/* exchange of a directory that only PHP knows with a record */
	fx_php_upload(f, "b.t.r", "f", '6', 60, 1500000000);
	assert_int_equal(fx_mv(f, "a/t/r/d", "b/t/r", FSP_RENAME_EXCHANGE, &r),
	                 0);
	assert_int_equal(fx_php_get(f, "b.t.r", "e/x"), '5');
	assert_int_equal(fx_php_get(f, "a.t.r", "d/f"), '6');
	fx_walk(f, "");
}

static void test_implicit_dirs(void **state)
{
	struct fx *f = *state;
	uint64_t ino;

	fx_php_upload(f, "a.t.r", "d/f", '1', 10, 1500000000);
	ino = fx_get(f, "a/t/r/d").attr.ino;
	/* PHP's delete takes the directory along, ours leaves it */
	fx_php_delete(f, "a.t.r", "d/f");
	fx_gone(f, "a/t/r/d");
	fx_gone(f, "a");
	fx_php_upload(f, "a.t.r", "d/f", '2', 20, 1500000000);
	assert_int_equal(fx_rm(f, "a/t/r/d", true), -ENOTEMPTY);
	assert_int_equal(fx_rm(f, "a/t/r/d/f", false), 0);
	assert_int_equal(fx_get(f, "a/t/r/d").attr.ino, ino);
	assert_string_equal(fx_ls(f, "a/t/r/d"), "");
	assert_int_equal(fx_rm(f, "a/t/r/d", true), 0);
	assert_string_equal(fx_ls(f, "a/t/r"), "");
	assert_int_equal(fx_rm(f, "a/t/r", true), 0);
	assert_int_equal(fx_rm(f, "a/t", true), 0);

	/* spaces without files, twice */
	fx_sql(f, "INSERT INTO filespace (space_key, name, created_at) VALUES"
	       " ('e.t.1', 'one', 1500000000), ('e.t.1', 'one', 1500000000),"
	       " ('e.t.2', 'two', 1500000000)");
	assert_string_equal(fx_ls(f, ""), "a/ e/");
	assert_string_equal(fx_ls(f, "e/t"), "1/ 2/");
	assert_int_equal(fx_walk(f, ""), 5);
	assert_int_equal(fx_get(f, "e/t/1").attr.mtime_ns,
	                 1500000000 * FSP_NS_PER_SEC);
	assert_int_equal(fx_rm(f, "e/t/1", true), 0);
	assert_string_equal(fx_ls(f, "e/t"), "2/");
	assert_int_equal(fx_mv(f, "e/t", "e/u", 0, NULL), 0);
	assert_string_equal(fx_ls(f, "e/u"), "2/");
	assert_int_equal(fx_number(f, "SELECT count(*) FROM filespace WHERE"
	                           " space_key = 'e.u.2' AND name = 'two' AND"
	                           " deleted_at IS NULL"), 1);
	fx_gone(f, "e/t");
	/* the first file in a space makes its row, once */
	fx_mkdirs(f, "n/t/r");
	fx_put(f, "n/t/r/f", '1', 1);
	fx_put(f, "n/t/r/g", '1', 1);
	assert_int_equal(fx_number(f, "SELECT count(*) FROM filespace WHERE"
	                           " space_key = 'n.t.r'"), 1);
}

static void test_hidden(void **state)
{
	struct fx *f = *state;
	struct fsp_entry e;
	uint64_t ino;

	fx_mkdirs(f, "a/t/r");
	fx_sql(f, "INSERT INTO filespace_file (space_key, file_key, data_hash,"
	       " created_at, size_original, size_storage) VALUES"
	       " ('a.t', 'q/f', 'aa', 1, 1, 1), ('a.t', 'r/f', 'aa', 1, 1, 1),"
	       " ('a.t.x/y', 'f', 'aa', 1, 1, 1),"
	       " ('b%%2e.t.r', 'f', 'aa', 1, 1, 1),"
	       " ('a.t.r', 'x//y', 'aa', 1, 1, 1),"
	       " ('a.t.r', '..', 'aa', 1, 1, 1),"
	       " ('a.t.r', 'd/../x', 'aa', 1, 1, 1),"
	       " ('a.t.r', " FX_BYTES("610062") ", 'aa', 1, 1, 1),"
	       " ('a.t.', 'f', 'aa', 1, 1, 1), ('..r', 'f', 'aa', 1, 1, 1),"
	       " ('a.t.r', '', 'aa', 1, 1, 1)");
	assert_string_equal(fx_ls(f, ""), "a/");
	assert_string_equal(fx_ls(f, "a/t"), "r/");
	assert_string_equal(fx_ls(f, "a/t/r"), "");
	fx_gone(f, "a/t/r/x");
	fx_gone(f, "a/t/q");
	assert_int_equal(fx_rm(f, "a/t/r", true), 0);
	assert_int_equal(fx_rm(f, "a/t", true), 0);

	/* a file whose name is a directory's */
	fx_php_upload(f, "b.t.r", "n", '1', 1, 1500000000);
	fx_php_upload(f, "b.t.r", "n/f", '2', 2, 1500000000);
	assert_string_equal(fx_ls(f, "b/t/r"), "n/");
	assert_true(S_ISDIR(fx_get(f, "b/t/r/n").attr.mode));
	assert_int_equal(fx_walk(f, "b"), 4);
	/* one that the mount made, then: hidden, and back again */
	fx_put(f, "b/t/r/m", '3', 3);
	fx_php_upload(f, "b.t.r", "m/f", '4', 4, 1500000000);
	assert_string_equal(fx_ls(f, "b/t/r"), "m/ n/");
	ino = fx_get(f, "b/t/r/m").attr.ino;
	fx_commit(f, "b/t/r/m/f", '5', 5);
	assert_int_equal(fx_get(f, "b/t/r/m").attr.ino, ino);
	fx_check(f);
	assert_int_equal(fx_rm(f, "b/t/r/m/f", false), 0);
	assert_int_equal(fx_rm(f, "b/t/r/m", true), 0);
	e = fx_get(f, "b/t/r/m");
	assert_true(S_ISREG(e.attr.mode));
	assert_int_equal(e.attr.size, 3);
	/* names without rows are stronger */
	assert_int_equal(fx_new(f, "b/t/r/l", S_IFLNK | 0777, &e), 0);
	fx_php_upload(f, "b.t.r", "l/f", '4', 4, 1500000000);
	assert_true(S_ISLNK(fx_get(f, "b/t/r/l").attr.mode));
}

/* Nothing that a row may hold makes more than an error. */
static void test_damaged(void **state)
{
	static const char *const rows[] = {
		"'a.t.r', 'h1', NULL, 1, 0, 1, 1",
		"'a.t.r', 'h2', '../../x', 1, 0, 1, 1",
		"'a.t.r', 'h3', '', 1, 0, 1, 1",
		"'a.t.r', 'h4', x'00ff', 1, 0, 1, 1",
		"'a.t.r', 'h5', " FX_BYTES("616200") ", 1, 0, 1, 1",
		"'a.t.r', 'h6', 'aa', 1, 0, -1, 1",
		"'a.t.r', 'h7', 'aa', 1, 0, " FX_NO_SIZE ", 1",
		"'a.t.r', 'h8', 'aa', NULL, 0, 1, 1",
		"'a.t.r', 'h9', 'aa', " FX_NO_TIME ", 0, 1, 1",
		"'a.t.r', 'h10', 'aa', 1, 0, NULL, NULL",
		"'a.t.r', 'ok1', 'aa', 9223372036854775807, 0, 1, 1",
		"'a.t.r', 'ok2', 'aa', -9223372036854775807, " FX_NULL ", 1, NULL",
		"'a.t.r', 'ok3', 'aa', 1, 0, 9223372036854775807, -5",
		"NULL, 'f', 'aa', 1, 0, 1, 1", "'a.t.r', NULL, 'aa', 1, 0, 1, 1",
		"x'61', " FX_NO_NAME ", 'aa', 1, 0, 1, 1",
		"'a.t.r', 'dead', 'aa', 1, " FX_DEAD ", 1, 1",
	};
	struct fx *f = *state;
	struct fsp_counts c;
	struct fsp_entry e;
	char path[32];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		fx_sql(f, "INSERT INTO filespace_file (space_key, file_key,"
		       " data_hash, created_at, deleted_at, size_original,"
		       " size_storage) VALUES (%s)", rows[i]);
	for (int i = 1; i <= 10; i++) {
		snprintf(path, sizeof(path), "a/t/r/h%d", i);
		assert_int_equal(fx_look(f, path, &e), -EIO);
	}
	assert_string_equal(fx_ls(f, "a/t/r"), "ok1 ok2 ok3");
	assert_int_equal(fx_get(f, "a/t/r/ok3").attr.size, INT64_MAX);
	assert_int_equal(fx_walk(f, ""), 6);
	assert_int_equal(f->m->ops->counts(f->m, &f->ctx, true, &c), 0);
	for (int i = 1; i <= 3; i++) {
		snprintf(path, sizeof(path), "a/t/r/ok%d", i);
		fx_commit(f, path, '1', 1);
		assert_int_equal(fx_rm(f, path, false), 0);
	}
	/* nodes and names as well */
	fx_put(f, "a/t/r/n", '1', 1);
	fx_sql(f, "UPDATE fsp_node SET mode = " FX_NO_MODE " WHERE ino = %llu",
	       (unsigned long long)fx_get(f, "a/t/r/n").attr.ino);
	assert_int_equal(fx_look(f, "a/t/r/n", &e), -EIO);
	assert_string_equal(fx_ls(f, "a/t/r"), "");
	assert_int_equal(fx_mv(f, "a/t/r", "a/t/q", 0, NULL), -EIO);
	fx_sql(f, "UPDATE fsp_node SET mode = 33188 WHERE mode = " FX_NO_MODE);
	fx_sql(f, "UPDATE fsp_name SET name = 'x/y' WHERE name = 'n'");
	assert_string_equal(fx_ls(f, "a/t/r"), "");
	fx_sql(f, "UPDATE fsp_name SET name = 'n' WHERE name = 'x/y'");
}

#define INSERT_ROWS "INSERT INTO filespace_file (space_key, file_key," \
	" data_hash, created_at, size_original, size_storage) VALUES"

/* Implicit directories are skipped in the index, not read row by row. */
static void test_many(void **state)
{
	struct fx *f = *state;
	struct fsp_buf b = FSP_BUF_INIT;

	for (int i = 0; i < 20000; i++) {
		if (i % 500 == 0)
			assert_int_equal(fsp_buf_adds(&b, INSERT_ROWS), 0);
		assert_int_equal(fsp_buf_printf(&b, "%s ('acc%d.tab%d.rec%d',"
			" 'd%d/e%d/f%d', 'aa', 1, 1, 1)", i % 500 ? "," : "",
			i % 3, i % 5, i % 7, i % 4, i % 11, i), 0);
		if (i % 500 == 499) {
			fx_sql(f, "%s", b.data);
			fsp_buf_reset(&b);
		}
	}
	fsp_buf_free(&b);
	fx_sql(f, "INSERT INTO filespace_file (space_key, file_key, data_hash,"
	       " created_at, size_original, size_storage) VALUES ('acc1',"
	       " 'top', 'aa', 1, 1, 1), ('acc1-x.t.r', 'f', 'aa', 1, 1, 1),"
	       " ('acc1.tab1', 'f', 'aa', 1, 1, 1),"
	       " ('acc1.tab1.rec1', 'd1!', 'aa', 1, 1, 1),"
	       " ('acc1.tab1.rec1', 'd1', 'aa', 1, 1, 1),"
	       " ('acc1.tab1.rec1', 'd10', 'aa', 1, 1, 1)");
	assert_string_equal(fx_ls(f, ""), "acc0/ acc1-x/ acc1/ acc2/");
	assert_string_equal(fx_ls(f, "acc1"),
	                    "tab0/ tab1/ tab2/ tab3/ tab4/ top");
	assert_string_equal(fx_ls(f, "acc1/tab1"), "f rec0/ rec1/ rec2/ rec3/"
	                    " rec4/ rec5/ rec6/");
	assert_string_equal(fx_ls(f, "acc1/tab1/rec1"),
	                    "d0/ d1! d1/ d10 d2/ d3/");
	assert_true(S_ISDIR(fx_get(f, "acc1/tab1/rec1/d1").attr.mode));
	assert_int_equal(fx_walk(f, "acc1/tab1/rec1/d2"),
	                 fx_number(f, "SELECT count(*) + 11 FROM"
	                           " filespace_file WHERE space_key ="
	                           " 'acc1.tab1.rec1' AND file_key LIKE"
	                           " 'd2/%'"));
}

#ifndef FX_MARIA

/* ---- PHP's stores */

static void load_legacy(struct fx *f, const char *deleted)
{
	fx_sql(f, "CREATE TABLE filespace (id integer PRIMARY KEY,"
	       " space_key varchar(256) NOT NULL, created_at int NOT NULL,"
	       " updated_at int DEFAULT NULL, deleted_at int DEFAULT NULL,"
	       " name varchar(256) NOT NULL)");
	fx_sql(f, "CREATE TABLE filespace_file (id integer PRIMARY KEY,"
	       " file_key varchar(256) NOT NULL, space_key varchar(256) NOT"
	       " NULL, data_hash varchar(64) NOT NULL, created_at int NOT"
	       " NULL, deleted_at int DEFAULT %s, size_original int NOT NULL,"
	       " size_storage int NOT NULL)", deleted);
	fx_sql(f, "CREATE INDEX sk ON filespace_file (space_key)");
}

/* mysqldump's line for SQLite: 0x... becomes CAST(x'...' AS TEXT). */
static void load_line(struct fx *f, const char *line)
{
	char sql[4096];
	size_t n = 0;

	while (*line && n + 64 < sizeof(sql)) {
		size_t hex;

		if (strncmp(line, "0x", 2) != 0) {
			sql[n++] = *line == '`' ? '"' : *line;
			line++;
			continue;
		}
		hex = strspn(line + 2, "0123456789ABCDEFabcdef");
		n += (size_t)snprintf(sql + n, sizeof(sql) - n,
		                      "CAST(x'%.*s' AS TEXT)", (int)hex,
		                      line + 2);
		line += 2 + hex;
	}
	sql[n] = '\0';
	fx_sql(f, "%s", sql);
}

static void load_dump(struct fx *f, const char *deleted)
{
	char here[] = __FILE__, path[512], line[4096];
	FILE *in;
	int n = 0;

	load_legacy(f, deleted);
	snprintf(path, sizeof(path), "%s/../fixtures/php-filespace/dump.sql",
	         dirname(here));
	in = fopen(path, "r");
	if (!in)
		fail_msg("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), in)) {
		if (strncmp(line, "INSERT INTO", 11) != 0)
			continue;
		load_line(f, line);
		n++;
	}
	fclose(in);
	assert_int_equal(n, 16);
	sqlite3_close(f->db.php);
	f->db.php = NULL;
}

static void check_dump(struct fx *f)
{
	struct fsp_counts c;
	struct fsp_entry e;

	assert_string_equal(fx_ls(f, ""), "acme/ empty/ globex/");
	assert_string_equal(fx_ls(f, "acme"), "contact/ product/");
	assert_string_equal(fx_ls(f, "acme/contact/35"), "contract.pdf"
	                    " empty.txt logo.bin na\xc3\x83\xc2\xafve"
	                    " r\xc3\x83\xc2\xa9sum\xc3\x83\xc2\xa9.txt");
	assert_string_equal(fx_ls(f, "acme/product"), "sku-1001/");
	assert_string_equal(fx_ls(f, "empty/contact/1"), "");
	assert_string_equal(fx_ls(f, "globex/project/2015.q1"),
	                    "notes.with.dots.txt sub/");
	e = fx_get(f, "globex/project/2015.q1/sub/dir/nested.txt");
	assert_int_equal(e.attr.size, 16);
	assert_int_equal(e.attr.ino, FSP_INO_ROW + 12);
	e = fx_get(f, "acme/contact/35/contract.pdf");
	assert_int_equal(e.content.row, 3);
	assert_int_equal(e.attr.ino, FSP_INO_ROW + 1);
	assert_int_equal(e.attr.mtime_ns, 1431100000 * FSP_NS_PER_SEC);
	assert_int_equal(e.attr.ctime_ns, e.attr.mtime_ns);
	assert_string_equal(e.content.hash,
	                    "6c20e1beb4fc84d93d503446b8f16eaccb1e56b1");
	fx_gone(f, "acme/contact/35/gone.txt");
	assert_int_equal(fx_walk(f, ""), 22);
	assert_int_equal(f->m->ops->counts(f->m, &f->ctx, true, &c), 0);
	assert_int_equal(c.files, 9);
	assert_int_equal(c.dirs, 13);
	assert_int_equal(c.versions, 12);
	assert_int_equal(c.objects, 11);
	assert_int_equal(c.pending, 0);
}

static void test_legacy_readonly(void **state)
{
	static const char *const defaults[] = { "0", "NULL" };
	struct fsp_meta_options o = fx_options();
	char other[128], *error = NULL;
	struct fx *f = *state;
	struct fsp_entry e;

	o.create = false;
	for (int i = 0; i < 2; i++) {
		load_dump(f, defaults[i]);
		assert_int_equal(fsp_meta_sqlite_open(f->db.path, &o, &f->m,
		                                      &error), -EROFS);
		assert_non_null(strstr(error, "schema upgrade"));
		free(error);
		assert_int_equal(chmod(f->db.path, 0444), 0);
		o.read_only = true;
		fx_open(f, &o);
		check_dump(f);
		fx_check(f);
		assert_int_equal(fx_new(f, "x", S_IFDIR, &e), -EROFS);
		assert_int_equal(f->m->ops->sync(f->m, &f->ctx), 0);
		snprintf(other, sizeof(other), "%s-wal", f->db.path);
		assert_int_equal(access(other, F_OK), -1);
		snprintf(other, sizeof(other), "%s-journal", f->db.path);
		assert_int_equal(access(other, F_OK), -1);
		fx_close(f);
		assert_int_equal(chmod(f->db.path, 0644), 0);
		assert_int_equal(unlink(f->db.path), 0);
		o.read_only = false;
	}
}

static int nothing(void *arg, const struct fsp_version *v)
{
	int64_t *ids = arg;

	ids[++ids[0]] = v->row;
	return 0;
}

static int upgrade_sqlite(const char *db, bool dry_run, FILE *out,
                          bool *changed, char **error)
{
	struct fsp_ctx ctx = fsp_ctx_background();
	struct fsp_schema s = {
		.what = dry_run ? FSP_SCHEMA_PLAN : FSP_SCHEMA_UPGRADE,
		.ctx = &ctx, .sql = out,
	};
	int err = fsp_meta_sqlite_schema(db, &s);

	*changed = s.needed;
	*error = s.error;
	return err;
}

static void test_upgrade(void **state)
{
	struct fsp_meta_options o = fx_options();
	struct fx *f = *state;
	char *error = NULL, *text = NULL;
	struct fsp_entry e;
	int64_t ids[9] = { 0 };
	bool changed;
	size_t len;
	FILE *out;

	load_dump(f, "NULL");
	out = open_memstream(&text, &len);
	assert_int_equal(upgrade_sqlite(f->db.path, true, out, &changed,
	                                &error), 0);
	fclose(out);
	assert_true(changed);
	assert_non_null(strstr(text, "CREATE TABLE fsp_name"));
	assert_int_equal(fx_number(f, "SELECT count(*) FROM sqlite_master"
	                           " WHERE name = 'fsp_name'"), 0);
	assert_int_equal(upgrade_sqlite(f->db.path, false, NULL, &changed,
	                                &error), 0);
	assert_true(changed);
	assert_int_equal(upgrade_sqlite(f->db.path, false, NULL, &changed,
	                                &error), 0);
	assert_false(changed);
	assert_int_equal(fx_number(f, "SELECT count(*) FROM filespace_file"
	                           " WHERE deleted_at IS NULL"), 0);
	assert_int_equal(fx_number(f, "SELECT count(*) FROM filespace_file"
	                           " WHERE stored_at IS NOT NULL"), 0);
	fx_open(f, &o);
	check_dump(f);
	assert_int_equal(fx_php_upload(f, "acme.contact.35", "logo.bin", 'a', 7,
	                               1431100100), 13);
	assert_true(fx_number(f, "SELECT stored_at FROM filespace_file WHERE"
	                      " id = 13") > 1500000000000000);
	e = fx_commit(f, "acme/contact/35/contract.pdf", 'b', 8);
	assert_int_equal(e.attr.ino, FSP_INO_ROW + 1);
	assert_int_equal(f->m->ops->history(f->m, &f->ctx,
	                 "acme/contact/35/contract.pdf", nothing, ids), 0);
	assert_int_equal(ids[0], 4);
	assert_int_equal(ids[1], 1);
	assert_int_equal(ids[4], 14);
	assert_int_equal(fx_mv(f, "globex", "acme/g", 0, NULL), 0);
	assert_int_equal(fx_get(f, "acme/g/project/2015.q1/sub/dir/nested.txt")
	                 .attr.ino, FSP_INO_ROW + 12);
	fx_walk(f, "");

	/* the text that was printed does the same */
	fx_check(f);
	fx_close(f);
	sqlite3_close(f->db.php);
	f->db.php = NULL;
	unlink(f->db.path);
	load_dump(f, "0");
	fx_sql(f, "PRAGMA legacy_alter_table=ON");
	fx_sql(f, "%s", text);
	free(text);
	fx_open(f, &o);
	check_dump(f);
}

static void refused(struct fx *f, int err, const char *why)
{
	struct fsp_meta_options o = fx_options();
	struct fsp_meta *m = NULL;
	char *error = NULL;
	bool changed;

	sqlite3_close(f->db.php);
	f->db.php = NULL;
	o.create = false;
	assert_int_equal(upgrade_sqlite(f->db.path, false, NULL, &changed,
	                                &error), err);
	assert_non_null(error);
	if (!strstr(error, why))
		fail_msg("%s", error);
	free(error);
	assert_int_not_equal(fsp_meta_sqlite_open(f->db.path, &o, &m, &error), 0);
	free(error);
	assert_int_equal(unlink(f->db.path), 0);
}

static void test_refusals(void **state)
{
	struct fsp_meta_options o = fx_options();
	struct fx *f = *state;
	char *error = NULL;
	bool changed;
	int fd;

	o.create = false;
	assert_int_equal(fsp_meta_sqlite_open(f->db.path, &o, &f->m, &error),
	                 -ENOENT);
	free(error);
	assert_int_equal(upgrade_sqlite(f->db.path, false, NULL, &changed,
	                                &error), -ENOENT);
	free(error);
	fx_sql(f, "CREATE TABLE other (x)");
	refused(f, -EINVAL, "other tables");
	load_legacy(f, "0");
	fx_sql(f, "ALTER TABLE filespace_file ADD COLUMN surprise INT");
	refused(f, -EINVAL, "surprise");
	load_legacy(f, "0");
	fx_sql(f, "CREATE TRIGGER t AFTER INSERT ON filespace BEGIN SELECT 1;"
	       " END");
	refused(f, -EINVAL, "trigger");
	load_legacy(f, "0");
	fx_sql(f, "ALTER TABLE filespace_file RENAME created_at TO x");
	refused(f, -EINVAL, "lacks");
	o.create = true;
	fx_open(f, &o);
	fx_close(f);
	fx_sql(f, "UPDATE fsp_info SET value = '6' WHERE name = 'schema'");
	refused(f, -EPROTO, "version 6");
	fd = open(f->db.path, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(fsp_write_all(fd, "this is no database at all, but"
	                               " long enough to be looked at; this is"
	                               " no database at all, but long enough"
	                               " to be looked at", 100), 0);
	close(fd);
	refused(f, -EIO, "");
}

/* A store of the first version: a writing open brings it up to date. */
static void test_old_version(void **state)
{
	struct fsp_meta_options o = fx_options();
	FSP_BUF struct fsp_buf index = FSP_BUF_INIT;
	struct fsp_object o1 = fx_object('1', 1);
	struct fsp_feed *feed = NULL;
	struct fx *f = *state;

	fx_open(f, &o);
	fx_mkdirs(f, "a/t/r");
	fx_put(f, "a/t/r/f", '1', 1);
	fx_close(f);
	fx_sql(f, "DROP INDEX fsp_file_pred; DROP TRIGGER fsp_file_insert;"
	       " DROP TRIGGER fsp_file_update; DROP TRIGGER fsp_file_delete;"
	       " DROP TRIGGER fsp_space_insert; DROP TRIGGER fsp_space_update;"
	       " DROP TABLE fsp_change; DROP TABLE fsp_blocks; ALTER TABLE fsp_mount DROP COLUMN"
	       " lease_us; UPDATE fsp_info SET value = '1'"
	       " WHERE name = 'schema'");
	o.read_only = true;
	fx_open(f, &o);
	assert_int_equal(fx_get(f, "a/t/r/f").attr.size, 1);
	assert_int_equal(f->m->ops->changes(f->m, &f->ctx, &feed, NULL, NULL),
	                 -ENOTSUP);
	assert_int_equal(f->m->ops->object_blocks(f->m, &f->ctx, o1.key, &o1,
	                                          &index), 0);
	assert_int_equal(index.len, 0);
	fx_close(f);
	assert_int_equal(fx_number(f, "SELECT value FROM fsp_info WHERE"
	                           " name = 'schema'"), 1);
	o.read_only = false;
	fx_open(f, &o);
	fx_put(f, "a/t/r/f", '2', 2);
	assert_int_equal(fx_number(f, "SELECT value FROM fsp_info WHERE"
	                           " name = 'schema'"), 5);
	assert_int_equal(fsp_buf_adds(&index, "x"), 0);
	o1.blocks = &index;
	o1.verified_us = 1;
	assert_int_equal(f->m->ops->object_put(f->m, &f->ctx, &o1), 0);
	assert_int_equal(fx_number(f, "SELECT count(*) FROM fsp_blocks"), 1);
	assert_int_equal(fx_number(f, "SELECT count(*) FROM fsp_change"), 1);
	assert_int_equal(fx_number(f, "SELECT count(*) FROM sqlite_master"
	                           " WHERE name = 'fsp_file_pred'"), 1);
}

/*
 * The version before has the same tables; only the number says that directories
 * may be delegated. Who reads changes nothing, who writes brings it up to date.
 */
static void test_version_before(void **state)
{
	static const char version[] = "SELECT value FROM fsp_info WHERE"
		" name = 'schema'";
	struct fsp_meta_options o = fx_options();
	struct fx *f = *state;
	char *error = NULL;
	bool changed;

	fx_open(f, &o);
	fx_mkdirs(f, "a/t/r");
	fx_close(f);
	for (int i = 0; i < 2; i++) {
		fx_sql(f, "UPDATE fsp_info SET value = '4' WHERE"
		       " name = 'schema'");
		o.read_only = true;
		fx_open(f, &o);
		assert_int_equal(fx_get(f, "a/t/r").holder, 0);
		fx_close(f);
		assert_int_equal(fx_number(f, version), 4);
		o.read_only = false;
		if (i) {
			fx_open(f, &o);
			fx_close(f);
		} else {
			assert_int_equal(upgrade_sqlite(f->db.path, false, NULL,
			                                &changed, &error), 0);
			assert_true(changed);
		}
		assert_int_equal(fx_number(f, version), 5);
	}
}

/* Optional columns may be missing; ids that were used stay used. */
static void test_upgrade_variants(void **state)
{
	struct fsp_meta_options o = fx_options();
	struct fx *f = *state;
	char *error = NULL;
	bool changed;

	fx_sql(f, "CREATE TABLE filespace (id integer PRIMARY KEY,"
	       " space_key text, name text, created_at int)");
	fx_sql(f, "CREATE TABLE filespace_file (id integer PRIMARY KEY"
	       " AUTOINCREMENT, space_key text, file_key text, data_hash text,"
	       " created_at int, deleted_at int, size_original int)");
	fx_sql(f, "CREATE VIEW v AS SELECT * FROM filespace_file");
	fx_sql(f, "INSERT INTO filespace_file VALUES (7, 'a.t.r', 'f', 'aa',"
	       " 1, NULL, 3), (90, 'a.t.r', 'g', 'aa', 1, NULL, 3)");
	fx_sql(f, "DELETE FROM filespace_file WHERE id = 90");
	o.create = false;
	o.read_only = true;
	fx_open(f, &o);
	assert_string_equal(fx_ls(f, "a/t/r"), "f");
	fx_close(f);
	assert_int_equal(upgrade_sqlite(f->db.path, false, NULL, &changed,
	                                &error), 0);
	o.read_only = false;
	fx_open(f, &o);
	assert_int_equal(fx_get(f, "a/t/r/f").content.row, 7);
	assert_int_equal(fx_put(f, "a/t/r/n", '1', 1).content.row, 91);
	assert_int_equal(fx_number(f, "SELECT count(*) FROM v"), 2);
}

#endif

static void test_readonly_full(void **state)
{
	struct fsp_meta_options o = fx_options();
	struct fx *f = *state;
	struct fsp_meta *writer = f->m;
	struct fsp_entry e;

	fx_mkdirs(f, "a/t/r");
	fx_put(f, "a/t/r/f", '1', 1);
	o.read_only = true;
	o.create = false;
	fx_open(f, &o);
	assert_int_equal(fx_get(f, "a/t/r/f").attr.size, 1);
	assert_int_equal(fx_new(f, "a/t/r/g", S_IFREG | 0600, &e), -EROFS);
	struct fsp_meta *reader = f->m;

	f->m = writer;
	fx_put(f, "a/t/r/f", '2', 2);
	f->m = reader;
	assert_int_equal(fx_get(f, "a/t/r/f").attr.size, 2);
	fx_close(f);
	f->m = writer;
}

#ifndef FX_MARIA

/* In a child without privileges: 0 when the listing is as it should be. */
static int read_as_nobody(struct fx *f, const char *dir, const char *want)
{
	struct fsp_meta_options o = fx_options();
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		if (geteuid() == 0 && setresuid(65534, 65534, 65534))
			_exit(2);
		o.read_only = true;
		fx_open(f, &o);
		_exit(strcmp(fx_ls(f, dir), want) != 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* A directory where we may not even make SQLite's own files. */
static void test_readonly_dir(void **state)
{
	struct fsp_meta_options o = fx_options();
	struct fx *f = *state;
	char other[128];

	load_dump(f, "0");
	assert_int_equal(chmod(f->db.path, 0444), 0);
	assert_int_equal(chmod(f->db.dir, 0555), 0);
	assert_int_equal(read_as_nobody(f, "", "acme/ empty/ globex/"), 0);
	assert_int_equal(chmod(f->db.dir, 0755), 0);
	assert_int_equal(unlink(f->db.path), 0);
	fx_open(f, &o);
	fx_mkdirs(f, "a/t/r");
	fx_put(f, "a/t/r/f", '1', 1);
	fx_close(f);
	assert_int_equal(chmod(f->db.path, 0444), 0);
	assert_int_equal(chmod(f->db.dir, 0555), 0);
	snprintf(other, sizeof(other), "%s-wal", f->db.path);
	assert_int_equal(access(other, F_OK), -1);
	assert_int_equal(read_as_nobody(f, "a/t/r", "f"), 0);
	assert_int_equal(access(other, F_OK), -1);
	assert_int_equal(chmod(f->db.dir, 0755), 0);
}

#endif

static uint64_t trips(struct fx *f)
{
	struct fsp_meta_stats s;

	fsp_meta_stats(f->m, &s);
	return s.trips;
}

/* The first time a statement may have to be prepared. */
#define ONE_TRIP(f, call) \
	do { \
		uint64_t before_; \
		call; \
		before_ = trips(f); \
		call; \
		assert_int_equal(trips(f) - before_, 1); \
	} while (0)

static void one_trip(struct fx *f, const char *path)
{
	struct fsp_entry e = { .attr = { .ino = 0 } }, g;
	struct fsp_ref ref = { 0, path };

	ONE_TRIP(f, e = fx_get(f, path));
	ref.ino = e.attr.ino;
	ONE_TRIP(f, assert_int_equal(f->m->ops->getattr(f->m, &f->ctx, &ref,
	                                                &g), 0));
	assert_int_equal(g.attr.ino, e.attr.ino);
}

/* What users wait for most is one answer of the database. */
static void test_one_trip(void **state)
{
	static const char *const paths[] = {
		"a", "a/t", "a/t/r", "a/t/r/d", "a/t/r/f3", "a/t/r/d/f",
		"p/t/r", "p/t/r/f", "p/t/r/d", "p/t/r/d/g"
	};
	struct fx *f = *state;
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	struct fsp_entry e;
	struct fsp_ref ref = { 0, "a/t/r/f3" };
	struct fsp_flock l = { .ino = 20, .mount = "m", .end = 9 }, got;
	char name[32], *target = NULL;

	fx_mkdirs(f, "a/t/r/d");
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "a/t/r/f%d", i);
		fx_put(f, name, '1', 10);
	}
	fx_put(f, "a/t/r/d/f", '2', 10);
	assert_int_equal(fx_new(f, "a/t/r/l", S_IFLNK | 0777, &e), 0);
	fx_sql(f, "INSERT INTO filespace (space_key, created_at, name)"
	       " VALUES ('p.t.r', 1000, 'r')");
	fx_php_upload(f, "p.t.r", "f", '3', 10, 2000);
	fx_php_upload(f, "p.t.r", "d/g", '4', 10, 2000);
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		one_trip(f, paths[i]);
	ONE_TRIP(f, fx_gone(f, "a/t/r/none"));
	ONE_TRIP(f, fx_gone(f, "a/t/none"));
	ONE_TRIP(f, assert_string_equal(fx_ls(f, "p/t/r"), "d/ f"));
	ONE_TRIP(f, assert_string_equal(fx_ls(f, "p/t/r/d"), "g"));
	ONE_TRIP(f, assert_string_equal(fx_ls(f, "a/t/r/d"), "f"));
	ONE_TRIP(f, fx_ls(f, "a/t/r"));
	fx_mkdir(f, "a/t/r/empty");
	ONE_TRIP(f, assert_string_equal(fx_ls(f, "a/t/r/empty"), ""));
	ONE_TRIP(f, (free(target), f->m->ops->readlink(f->m, &f->ctx,
	                                               e.attr.ino, &target)));
	free(target);
	ref.ino = fx_get(f, ref.path).attr.ino;
	assert_int_equal(f->m->ops->xattr_set(f->m, &f->ctx, &ref, "user.x",
	                                      "y", 1, 0), 0);
	ONE_TRIP(f, f->m->ops->xattr_get(f->m, &f->ctx, ref.ino, "user.x",
	                                 &b));
	ONE_TRIP(f, f->m->ops->info_get(f->m, &f->ctx, "store", &b));
	ONE_TRIP(f, f->m->ops->lock_get(f->m, &f->ctx, &l, &got));
}

static uint64_t trips_of_ls(struct fx *f, const char *dir, const char *names)
{
	uint64_t before = trips(f);

	assert_string_equal(fx_ls(f, dir), names);
	return trips(f) - before;
}

/* Names are asked for alone until there is something of PHP's; and after that it
 * is asked for at once, for a while. */
static void test_list_quick(void **state)
{
	static const char own[] = "d/ f g h l pending";
	struct fx *f = *state;
	struct fsp_entry e;

	fx_mkdirs(f, "a/t/r/d");
	fx_put(f, "a/t/r/f", '1', 10);
	fx_put(f, "a/t/r/g", '1', 10);
	fx_put(f, "a/t/r/gone", '2', 10);
	fx_put(f, "a/t/r/d/f", '2', 10);
	assert_int_equal(fx_ln(f, "a/t/r/g", "a/t/r/h"), 0);
	assert_int_equal(fx_new(f, "a/t/r/l", S_IFLNK | 0777, &e), 0);
	assert_int_equal(fx_new(f, "a/t/r/pending", S_IFREG | 0644, &e), 0);
	fx_php_delete(f, "a.t.r", "gone");
	fx_ls(f, "a/t/r");
	assert_int_equal(trips_of_ls(f, "a/t/r", own), 1);
	assert_int_equal(trips_of_ls(f, "a/t/r/d", "f"), 1);
	fx_php_upload(f, "a.t.r", "f", '3', 7, 4000000000);
	fx_php_upload(f, "a.t.r", "gone", '4', 8, 4000000000);
	fx_php_upload(f, "a.t.r", "p/g", '5', 9, 4000000000);
	assert_string_equal(fx_ls(f, "a/t/r"), "d/ f g gone h l p/ pending");
	assert_int_equal(fx_walk(f, "a/t/r"), 10);
	for (int i = 0; i < 90; i++)
		assert_int_equal(trips_of_ls(f, "a/t/r",
			"d/ f g gone h l p/ pending"), 1);
	for (int i = 0; i < 20; i++)
		assert_int_equal(trips_of_ls(f, "a/t/r/d", "f"), 1);
	assert_int_equal(trips_of_ls(f, "a/t/r", "d/ f g gone h l p/ pending"),
	                 2);
	assert_int_equal(trips_of_ls(f, "a/t/r", "d/ f g gone h l p/ pending"),
	                 1);
	fx_php_delete(f, "a.t.r", "f");
	fx_php_delete(f, "a.t.r", "gone");
	fx_php_delete(f, "a.t.r", "p/g");
	for (int i = 0; i < 110; i++)
		assert_int_equal(trips_of_ls(f, "a/t/r", "d/ g h l pending"), 1);
	assert_int_equal(fx_walk(f, "a/t/r"), 6);
}

#ifdef FX_MARIA

/* At the second time everything has been prepared. */
#define TRIPS(f, n, again, call) \
	do { \
		uint64_t before_ = trips(f); \
		call; \
		if (again && trips(f) - before_ != (n)) \
			fail_msg("%d trips: " #call, \
			         (int)(trips(f) - before_)); \
	} while (0)

static void change_files(struct fx *f, bool again)
{
	/* what was there before would be looked for, too */
	const char *path = again ? "a/t/r/f" : "a/t/r/e";
	struct fsp_attr a = { .mode = 0600 };
	struct fsp_ref ref = { 0, path };
	struct fsp_entry e;

	TRIPS(f, 2, again, fx_new(f, path, S_IFREG | 0644, &e));
	ref.ino = e.attr.ino;
	TRIPS(f, 2, again, fx_commit_ref(f, &ref, '1', 10, FX_MTIME, &e));
	TRIPS(f, 2, again, f->m->ops->setattr(f->m, &f->ctx, &ref,
	                                      FSP_SET_MODE, &a, &e));
	TRIPS(f, 2, again, fx_mv(f, path, "a/t/r/g", 0, NULL));
	TRIPS(f, 2, again, fx_rm(f, "a/t/r/g", false));
	fx_gone(f, "a/t/r/g");
	assert_int_equal(fx_number(f, "SELECT COUNT(*) FROM fsp_name WHERE"
	                           " file_id IS NOT NULL"), 0);
}

static void change_dirs(struct fx *f, bool again)
{
	char path[32];

	TRIPS(f, 2, again, fx_mkdir(f, "a/t/r/d"));
	TRIPS(f, 2, again, fx_rm(f, "a/t/r/d", true));
	TRIPS(f, 2, again, fx_mkdir(f, "a/t/s"));
	TRIPS(f, 2, again, fx_rm(f, "a/t/s", true));
	for (int i = 0; i < 20; i++) {
		snprintf(path, sizeof(path), "a/u/r%d/f", i % 10);
		path[strlen(path) - 1] = (char)('f' + i / 10);
		fx_mkdirs(f, "a/u");
		path[strlen(path) - 2] = '\0';
		fx_mkdirs(f, path);
		path[strlen(path)] = '/';
		fx_put(f, path, '1', 10);
	}
	TRIPS(f, 9, again, fx_mv(f, "a/u", "a/v", 0, NULL));
	assert_int_equal(fx_walk(f, "a/v"), 10 + 20);
	for (int i = 0; i < 10; i++) {
		snprintf(path, sizeof(path), "a/v/r%d/f", i);
		assert_int_equal(fx_rm(f, path, false), 0);
		path[strlen(path) - 1] = 'g';
		assert_int_equal(fx_rm(f, path, false), 0);
		path[strlen(path) - 2] = '\0';
		assert_int_equal(fx_rm(f, path, true), 0);
	}
	assert_int_equal(fx_rm(f, "a/v", true), 0);
}

/* What is claimed and asked, and what is written with the COMMIT. */
static void test_two_trips(void **state)
{
	struct fx *f = *state;

	fx_mkdirs(f, "a/t/r");
	for (int i = 0; i < 2; i++) {
		change_files(f, i > 0);
		change_dirs(f, i > 0);
	}
}

#endif

static int count_one(void *arg, const char *name, const struct fsp_entry *e)
{
	int64_t *n = arg;

	(void)name;
	(void)e;
	++*n;
	return 0;
}

/* More of PHP than one statement takes, and more than one page. */
static void test_pages(void **state)
{
	struct fx *f = *state;
	struct fsp_entry e;
	struct fsp_buf b = FSP_BUF_INIT;
	int64_t n = 0;

	assert_int_equal(fsp_buf_adds(&b, INSERT_ROWS), 0);
	for (int i = 1; i <= 3000; i++)
		assert_int_equal(fsp_buf_printf(&b, "%s ('p.t.r', '%05d',"
			" 'abc', %d, %d, %d)", i > 1 ? "," : "", i, 1000 + i,
			i, i), 0);
	fx_sql(f, "%s", b.data);
	fsp_buf_free(&b);
	assert_int_equal(f->m->ops->list(f->m, &f->ctx, "p/t/r", 0, count_one,
	                                 &n), 0);
	assert_int_equal(n, 3000);
	e = fx_get(f, "p/t/r/02999");
	assert_int_equal(e.attr.size, 2999);
	/* all below one directory: skipped */
	fx_sql(f, "UPDATE filespace_file SET file_key = "
	       FX_CONCAT("'deep/'", "file_key"));
	fx_php_upload(f, "p.t.r", "zoo", '1', 1, 5);
	assert_string_equal(fx_ls(f, "p/t/r"), "deep/ zoo");
	/* too much for a statement of several */
	assert_int_equal(f->m->ops->list_many(f->m, &f->ctx, &(struct
		fsp_listing){ "p/t/r", count_one, &n, true }, 1, 0), 0);
	assert_int_equal(n, 3000);
	/* over spaces: a page ends in each of them */
	fx_sql(f, "UPDATE filespace_file SET space_key = "
	       FX_CONCAT("'p.t.r'", "(id %% 7)"));
	assert_string_equal(fx_ls(f, "p/t"), "r0/ r1/ r2/ r3/ r4/ r5/ r6/");
	assert_int_equal(fx_mv(f, "p/t", "p/u", 0, NULL), -EXDEV);
	fx_sql(f, "DELETE FROM filespace_file WHERE id %% 5 > 0");
	assert_int_equal(fx_mv(f, "p/t", "p/u", 0, NULL), 0);
	assert_int_equal(fx_walk(f, "p/u"), 7 * 2 + 600);
}

#define RECORDS 7

struct together {
	struct fsp_listing l[FSP_LIST_MANY];
	struct fx_list names[FSP_LIST_MANY];
};

static void listings(struct together *t, const char *const *dirs, size_t n)
{
	for (size_t k = 0; k < n; k++)
		t->l[k] = (struct fsp_listing){ dirs[k], fx_each, &t->names[k],
		                                false };
}

/* Several records in one statement, whoever has written what is in them. */
static void test_list_many(void **state)
{
	static const char *const dirs[RECORDS] = {
		"a/t/own", "a/t/php", "a/t/both", "a/t/deep", "a/t/empty",
		"a/t/none", "b/u/1"
	};
	static const char *const mixed[] = { "a/t/own", "a/t" };
	static struct together t;
	struct fx *f = *state;
	uint64_t before;

	fx_mkdirs(f, "a/t/own/d/e");
	fx_put(f, "a/t/own/f", '1', 10);
	fx_mkdirs(f, "a/t/empty");
	fx_mkdirs(f, "a/t/both");
	fx_mkdirs(f, "b/u/1");
	fx_php_upload(f, "a.t.php", "x", '2', 20, 1500000000);
	fx_php_upload(f, "a.t.php", "gone", '2', 20, 1500000000);
	fx_php_delete(f, "a.t.php", "gone");
	fx_put(f, "a/t/both/f", '3', 30);
	fx_put(f, "a/t/both/g", '3', 30);
	fx_php_upload(f, "a.t.both", "f", '4', 40, 4000000000);
	fx_php_upload(f, "a.t.both", "h", '5', 50, 1500000000);
	fx_php_upload(f, "a.t.deep", "d/e/f", '6', 60, 1500000000);
	fx_put(f, "b/u/1/f", '7', 70);
	assert_true(fx_walk(f, "") > 12);       /* prepares it, too */
	listings(&t, dirs, RECORDS);
	before = trips(f);
	assert_int_equal(f->m->ops->list_many(f->m, &f->ctx, t.l, RECORDS, 0), 0);
	assert_int_equal(trips(f) - before, 1);
	assert_string_equal(fx_join(&t.names[0]), "d/ f");
	assert_string_equal(fx_join(&t.names[1]), "x");
	assert_string_equal(fx_join(&t.names[2]), "f g h");
	assert_string_equal(fx_join(&t.names[3]), "d/");
	assert_string_equal(fx_join(&t.names[6]), "f");
	for (int k = 0; k < RECORDS; k++)
		assert_int_equal(t.l[k].done, k != 4 && k != 5);
	listings(&t, dirs, RECORDS);
	assert_int_equal(f->m->ops->list_many(f->m, &f->ctx, t.l, RECORDS, 2),
	                 0);
	assert_string_equal(fx_join(&t.names[0]), "d/ f");
	assert_false(t.l[2].done);
	assert_int_equal(t.names[2].n, 0);
	for (int k = 1; k < RECORDS; k++)
		fx_join(&t.names[k]);
	listings(&t, mixed, 2);
	assert_int_equal(f->m->ops->list_many(f->m, &f->ctx, t.l, 2, 0), 0);
	assert_string_equal(fx_join(&t.names[0]), "d/ f");
	assert_true(t.l[0].done && !t.l[1].done);
	assert_int_equal(f->m->ops->list_many(f->m, &f->ctx, t.l, 0, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(test_upload_over), FX_TEST(test_upload_new),
		FX_TEST(test_delete), FX_TEST(test_between),
		FX_TEST(test_two_live),
		FX_TEST(test_rename_php_file), FX_TEST(test_implicit_dirs),
		FX_TEST(test_hidden), FX_TEST(test_damaged),
		FX_TEST(test_many), FX_TEST(test_pages),
		FX_TEST(test_one_trip), FX_TEST(test_list_quick),
		FX_TEST(test_list_many),
		FX_TEST(test_readonly_full),
#ifdef FX_MARIA
		FX_TEST(test_two_trips),
#else
		FX_DIR_TEST(test_legacy_readonly),
		FX_DIR_TEST(test_upgrade), FX_DIR_TEST(test_refusals),
		FX_DIR_TEST(test_upgrade_variants),
		FX_DIR_TEST(test_old_version),
		FX_DIR_TEST(test_version_before),
		FX_DIR_TEST(test_readonly_dir),
#endif
	};

	return cmocka_run_group_tests_name("meta and PHP", tests, NULL, NULL);
}
