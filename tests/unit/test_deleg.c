/*
 * meta: names in memory (deleg*.c) of one mount, and what others see of them:
 * another mount, PHP, a database that fails, whoever takes what is held.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "deleg_fixture.h"

/* Two mounts, and the rows as f has them. */
struct two {
	struct fx *f;
	struct fx a, b;
	struct fsp_meta *fault;         /* below a */
};

static void two_begin(struct two *t, void **state)
{
	*t = (struct two){ .f = *state };
	dx_open(t->f, &t->a, US, &t->fault);
	dx_open(t->f, &t->b, THEM, NULL);
	dx_mount_add(&t->a);
	dx_mount_add(&t->b);
	fx_mkdirs(t->f, "a/t/r");
}

static void two_end(struct two *t)
{
	dx_end(&t->a);
	dx_end(&t->b);
	assert_int_equal(dx_held(t->f), 0);
	fx_check(t->f);
}

/* Whether the rows have a name. */
static int64_t rows_of(struct two *t, const char *name)
{
	char sql[200];

	snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM fsp_name WHERE"
	         " name = '%s' AND live = 1", name);
	return fx_number(t->f, sql);
}

static struct fsp_entry make(struct fx *x, const char *path, uint32_t mode)
{
	struct fsp_entry e;
	int err = fx_new(x, path, mode, &e);

	if (err)
		fail_msg("%s: %d", path, err);
	return e;
}

/* As a kernel goes: each directory on the way is looked up. */
static struct fsp_entry walk_to(struct fx *x, const char *path)
{
	struct fsp_entry e = { .holder = 0 };
	char part[200];

	for (size_t i = 1; i <= strlen(path); i++) {
		if (path[i] && path[i] != '/')
			continue;
		snprintf(part, sizeof(part), "%.*s", (int)i, path);
		e = fx_get(x, part);
	}
	return e;
}

#define DIR_MODE (S_IFDIR | 0755)
#define FILE_MODE (S_IFREG | 0644)

/* The waits of a held directory that stays held: it ends when nothing is made in
 * it for .1 s, so something is, until the test has what it wants. */
static void keep_busy(struct fx *x, const char *dir)
{
	static int n;
	char path[200];

	snprintf(path, sizeof(path), "%s/busy%d", dir, n++);
	(void)make(x, path, FILE_MODE);
	assert_int_equal(fx_rm(x, path, false), 0);
}

/* ---- what is in the rows, and when */

static void test_nothing_before(void **state)
{
	struct two t;
	struct fsp_entry e, f;

	two_begin(&t, state);
	fx_mkdir(&t.a, "a/t/r/d");
	assert_int_equal(dx_held(t.f), 1);
	fx_mkdir(&t.a, "a/t/r/d/e");
	e = make(&t.a, "a/t/r/d/e/f", FILE_MODE);
	fx_gone(&t.a, "a/t/r/d/e/g");
	assert_int_equal(fx_new(&t.a, "a/t/r/d/e", DIR_MODE, &f), -EEXIST);
	assert_int_equal(fx_new(&t.a, "a/t/r/d/e/f", FILE_MODE, &f), -EEXIST);
	assert_int_equal(fx_rm(&t.a, "a/t/r/d/e", true), -ENOTEMPTY);
	assert_int_equal(fx_rm(&t.a, "a/t/r/d", true), -ENOTEMPTY);
	two_end(&t);

	two_begin(&t, state);
	fx_mkdir(&t.a, "a/t/r/h");
	fx_mkdir(&t.a, "a/t/r/h/never");
	fx_mkdir(&t.a, "a/t/r/h/i");
	e = make(&t.a, "a/t/r/h/i/j", FILE_MODE);
	assert_int_equal(fx_rm(&t.a, "a/t/r/h/never", true), 0);
	f = fx_commit(&t.a, "a/t/r/h/i/j", '1', 7);
	assert_int_equal(f.attr.ino, e.attr.ino);
	assert_int_equal(rows_of(&t, "i"), 1);
	assert_int_equal(rows_of(&t, "j"), 1);
	assert_int_equal(fx_number(t.f, "SELECT COUNT(*) FROM fsp_name WHERE"
	                           " name = 'never'"), 0);
	assert_int_equal(fx_get(t.f, "a/t/r/h/i/j").attr.size, 7);
	two_end(&t);
}

/* ---- another mount */

typedef void (*other_fn)(struct two *t);

static void o_look(struct two *t)
{
	assert_int_equal(fx_get(&t->b, "a/t/r/d/e/f").attr.mode, FILE_MODE);
	fx_gone(&t->b, "a/t/r/d/g");
}

static void o_create(struct two *t)
{
	struct fsp_entry e;

	assert_int_equal(fx_new(&t->b, "a/t/r/d/e/f", FILE_MODE, &e), -EEXIST);
	make(&t->b, "a/t/r/d/e/b", FILE_MODE);
	assert_int_equal(fx_new(&t->a, "a/t/r/d/e/b", FILE_MODE, &e), -EEXIST);
}

static void o_mkdir(struct two *t)
{
	struct fsp_entry e;

	assert_int_equal(fx_new(&t->b, "a/t/r/d/e", DIR_MODE, &e), -EEXIST);
	make(&t->b, "a/t/r/d/b", DIR_MODE);
	make(&t->b, "a/t/r/d/b/c", FILE_MODE);
	assert_int_equal(fx_new(&t->a, "a/t/r/d/b", DIR_MODE, &e), -EEXIST);
	assert_int_equal(walk_to(&t->a, "a/t/r/d/b/c").attr.mode, FILE_MODE);
}

static void o_list(struct two *t)
{
	assert_string_equal(fx_ls(&t->b, "a/t/r/d"), "e/");
	assert_string_equal(fx_ls(&t->b, "a/t/r/d/e"), "f");
}

static void o_rename(struct two *t)
{
	assert_int_equal(fx_mv(&t->b, "a/t/r/d/e/f", "a/t/r/d/g", 0, NULL), 0);
	fx_gone(&t->a, "a/t/r/d/e/f");
	assert_int_equal(fx_get(&t->a, "a/t/r/d/g").attr.mode, FILE_MODE);
}

static void o_rename_root(struct two *t)
{
	assert_int_equal(fx_mv(&t->b, "a/t/r/d", "a/t/r/z", 0, NULL), 0);
	assert_int_equal(fx_get(&t->a, "a/t/r/z/e/f").attr.mode, FILE_MODE);
	fx_gone(&t->a, "a/t/r/d");
}

static void o_rename_above(struct two *t)
{
	assert_int_equal(fx_mv(&t->b, "a/t/r", "a/t/z", 0, NULL), 0);
	assert_int_equal(fx_get(&t->b, "a/t/z/d/e/f").attr.mode, FILE_MODE);
	assert_int_equal(fx_get(&t->a, "a/t/z/d/e/f").attr.mode, FILE_MODE);
	assert_int_equal(fx_mv(&t->b, "a/t/z", "a/t/r", 0, NULL), 0);
}

static void o_rmdir(struct two *t)
{
	assert_int_equal(fx_rm(&t->b, "a/t/r/d", true), -ENOTEMPTY);
	assert_int_equal(fx_rm(&t->b, "a/t/r/d/e", true), -ENOTEMPTY);
}

static void o_unlink(struct two *t)
{
	assert_int_equal(fx_rm(&t->b, "a/t/r/d/e/f", false), 0);
	fx_gone(&t->a, "a/t/r/d/e/f");
}

static void o_link(struct two *t)
{
	assert_int_equal(fx_ln(&t->b, "a/t/r/d/e/f", "a/t/r/l"), 0);
	assert_int_equal(fx_get(&t->a, "a/t/r/l").attr.nlink, 2);
	assert_int_equal(fx_get(&t->a, "a/t/r/d/e/f").attr.nlink, 2);
	assert_int_equal(fx_rm(&t->b, "a/t/r/l", false), 0);
}

static void o_setattr(struct two *t)
{
	struct fsp_entry e = fx_get(&t->b, "a/t/r/d");
	struct fsp_ref ref = { e.attr.ino, "a/t/r/d" };
	struct fsp_attr a = { .mode = 0700, .mtime_ns = 5 };

	assert_int_equal(fsp_meta_setattr(t->b.m, &t->b.ctx, &ref,
	                                  FSP_SET_MODE | FSP_SET_MTIME, &a,
	                                  &e), 0);
	assert_int_equal(fx_get(&t->a, "a/t/r/d").attr.mode, S_IFDIR | 0700);
	assert_int_equal(fx_get(&t->a, "a/t/r/d").attr.mtime_ns, 5);
}

static void o_history(struct two *t)
{
	struct fx_list l = { .n = 0 };

	assert_int_equal(fsp_meta_list_at(t->b.m, &t->b.ctx, "a/t/r/d",
	                                  fsp_now_us() + FSP_US_PER_SEC,
	                                  fx_each, &l), 0);
	assert_string_equal(fx_join(&l), "e/");
}

/* What one has made in a directory of its own is there for the other, whatever
 * that does there first. */
static void test_other(void **state)
{
	static const other_fn fn[] = {
		o_look, o_create, o_mkdir, o_list, o_rename, o_rename_root,
		o_rename_above, o_rmdir, o_unlink, o_link, o_setattr, o_history
	};

	for (size_t i = 0; i < sizeof(fn) / sizeof(*fn); i++) {
		struct two t;

		two_begin(&t, state);
		fx_mkdir(&t.a, "a/t/r/d");
		(void)walk_to(&t.b, "a/t/r/d");
		fx_mkdir(&t.a, "a/t/r/d/e");
		make(&t.a, "a/t/r/d/e/f", FILE_MODE);
		fn[i](&t);
		fx_check(t.f);
		(void)fx_walk(&t.a, "");
		(void)fx_walk(&t.b, "");
		two_end(&t);
		/* Begin anew. */
		(void)fx_rm(t.f, "a/t/r/d/g", false);
		(void)fx_rm(t.f, "a/t/r/d/b", true);
		(void)fx_rm(t.f, "a/t/r/d/e", true);
		(void)fx_rm(t.f, "a/t/r/d", true);
		(void)fx_rm(t.f, "a/t/r/z/e", true);
		(void)fx_rm(t.f, "a/t/r/z", true);
	}
}

struct busy {
	struct fx x;
	_Atomic bool stop;
	int made;
};

static void *is_busy(void *arg)
{
	struct busy *b = arg;

	while (!b->stop) {
		char path[100];

		snprintf(path, sizeof(path), "a/t/r/d/%d", b->made++ % 50);
		(void)make(&b->x, path, FILE_MODE);
		assert_int_equal(fx_rm(&b->x, path, false), 0);
	}
	return NULL;
}

/* Who goes on and on is asked, and gives it up, long before it is taken. */
static void test_busy(void **state)
{
	struct two t;
	struct busy b;
	pthread_t thread;
	uint64_t root;
	int64_t began;

	two_begin(&t, state);
	root = fx_mkdir(&t.a, "a/t/r/d");
	make(&t.a, "a/t/r/d/f", FILE_MODE);
	b = (struct busy){ .x = t.a };
	assert_int_equal(pthread_create(&thread, NULL, is_busy, &b), 0);
	began = fsp_mono_ns();
	assert_int_equal(walk_to(&t.b, "a/t/r/d/f").attr.mode, FILE_MODE);
	assert_true(fsp_mono_ns() - began < 4 * FSP_NS_PER_SEC);
	b.stop = true;
	pthread_join(thread, NULL);
	assert_int_equal(fx_get(t.f, "a/t/r/d").attr.ino, root);
	two_end(&t);
}

/* Of two names of one file renaming removes none. */
static void test_same_file(void **state)
{
	struct two t;

	two_begin(&t, state);
	fx_mkdir(&t.a, "a/t/r/d");
	fx_mkdir(&t.a, "a/t/r/d/e");
	make(&t.a, "a/t/r/d/f", FILE_MODE);
	assert_int_equal(fx_ln(&t.a, "a/t/r/d/f", "a/t/r/d/e/g"), 0);
	assert_int_equal(fx_mv(&t.a, "a/t/r/d/f", "a/t/r/d/e/g", 0, NULL), 0);
	assert_int_equal(fx_get(&t.a, "a/t/r/d/f").attr.nlink, 2);
	assert_int_equal(fx_mv(&t.a, "a/t/r/d/e/g", "a/t/r/d/f", 0, NULL), 0);
	assert_int_equal(fx_get(&t.a, "a/t/r/d/e/g").attr.nlink, 2);
	two_end(&t);
}

/* ---- many at once */

struct maker {
	pthread_t thread;
	struct fx x;
	const char *dir;
	int n, won, err;
	_Atomic int *go;
};

static void *makes(void *arg)
{
	struct maker *m = arg;
	struct fsp_entry e;
	char path[100];

	while (!*m->go)
		;
	for (int i = 0; i < 30 && !m->err; i++) {
		struct fsp_ref ref = { 0, path };

		/* The same name by all: one of them gets it. */
		snprintf(path, sizeof(path), "%s/x%d", m->dir, i);
		m->err = fx_new(&m->x, path, i % 2 ? DIR_MODE : FILE_MODE, &e);
		if (!m->err)
			m->won++;
		if (m->err && m->err != -EEXIST)
			return NULL;
		snprintf(path, sizeof(path), "%s/d%d", m->dir, i % 5);
		m->err = fx_new(&m->x, path, DIR_MODE, &e);
		/* As a kernel does before it goes in. */
		if (m->err == -EEXIST)
			m->err = fx_look(&m->x, path, &e);
		if (m->err)
			return NULL;
		snprintf(path, sizeof(path), "%s/d%d/m%d-%d", m->dir, i % 5,
		         m->n, i);
		m->err = fx_new(&m->x, path, FILE_MODE, &e);
		if (m->err)
			return NULL;
		ref.ino = e.attr.ino;
		m->err = fx_commit_ref(&m->x, &ref, "0123"[i % 4], 5, FX_MTIME,
		                       &e);
	}
	return NULL;
}

#define MAKERS 6

static void all_make(struct two *t, bool both)
{
	struct maker m[MAKERS];
	_Atomic int go = 0;
	int won = 0;

	fx_mkdir(&t->a, "a/t/r/all");
	for (int i = 0; i < MAKERS; i++) {
		m[i] = (struct maker){ .x = both && i % 2 ? t->b : t->a, .n = i,
			               .dir = "a/t/r/all", .go = &go };
		if (both)
			(void)walk_to(&m[i].x, "a/t/r/all");
		assert_int_equal(pthread_create(&m[i].thread, NULL, makes,
		                                &m[i]), 0);
	}
	go = 1;
	for (int i = 0; i < MAKERS; i++) {
		pthread_join(m[i].thread, NULL);
		assert_int_equal(m[i].err, 0);
		won += m[i].won;
	}
	assert_int_equal(won, 30);
	for (int i = 0; i < MAKERS; i++)
		for (int k = 0; k < 30; k++) {
			char path[100];

			snprintf(path, sizeof(path), "a/t/r/all/d%d/m%d-%d",
			         k % 5, i, k);
			assert_int_equal(fx_get(t->f, path).attr.size, 5);
			assert_int_equal(walk_to(&t->a, path).attr.size, 5);
		}
}

static void test_threads(void **state)
{
	struct two t;

	two_begin(&t, state);
	all_make(&t, false);
	two_end(&t);
}

static void test_threads_of_two(void **state)
{
	struct two t;

	two_begin(&t, state);
	all_make(&t, true);
	two_end(&t);
}

/* ---- failing */

/* Whatever call fails, and how: what was told to be done is, the rest is made
 * later, nothing is half. */
static void test_faults(void **state)
{
	static const int errs[] = { -EHOSTDOWN, -ENOSPC, -ETIMEDOUT };

	for (uint64_t nth = 1; nth < 12; nth++) {
		struct two t;
		struct fsp_entry e;
		struct fsp_ref ref = { 0, "a/t/r/d/e/f" };
		int err, made, i = 0;

		two_begin(&t, state);
		fx_mkdir(&t.a, "a/t/r/d");
		fsp_meta_fault_arm(t.fault, nth, errs[nth % 3]);
		do {
			err = fx_new(&t.a, "a/t/r/d/e", DIR_MODE, &e);
		} while (err && err != -EEXIST && ++i < 100);
		do {
			err = fx_new(&t.a, "a/t/r/d/e/f", FILE_MODE, &e);
		} while (err && err != -EEXIST && ++i < 100);
		if (err)
			e = fx_get(&t.a, "a/t/r/d/e/f");
		ref.ino = e.attr.ino;
		do {
			made = fx_commit_ref(&t.a, &ref, '2', 3, FX_MTIME, &e);
			fx_check(t.f);
		} while (made && ++i < 100);
		fsp_meta_fault_arm(t.fault, 0, 0);
		assert_true(i < 3);
		assert_int_equal(fx_get(t.f, "a/t/r/d/e/f").attr.size, 3);
		assert_int_equal(fx_rm(&t.a, "a/t/r/d/e/f", false), 0);
		assert_int_equal(fx_rm(&t.a, "a/t/r/d/e", true), 0);
		assert_int_equal(fx_rm(&t.a, "a/t/r/d", true), 0);
		two_end(&t);
	}
}

/* A graft that fails for good until the store has room again. */
static void test_no_graft(void **state)
{
	struct two t;
	struct fsp_entry e;

	two_begin(&t, state);
	fx_mkdir(&t.a, "a/t/r/d");
	e = make(&t.a, "a/t/r/d/f", FILE_MODE);
	fx_sql(t.f, "CREATE TRIGGER no BEFORE INSERT ON fsp_node " FX_ABORT);
	for (int i = 0; i < 3; i++) {
		struct fsp_ref ref = { e.attr.ino, "a/t/r/d/f" };
		struct fsp_entry out;

		assert_true(fx_commit_ref(&t.a, &ref, '2', 3, FX_MTIME, &out) <
		            0);
		assert_int_equal(rows_of(&t, "f"), 0);
		/* It is still there for who made it. */
		assert_int_equal(fx_get(&t.a, "a/t/r/d/f").attr.ino,
		                 e.attr.ino);
	}
	fx_sql(t.f, "DROP TRIGGER no");
	assert_int_equal(fx_commit(&t.a, "a/t/r/d/f", '2', 3).attr.size, 3);
	assert_int_equal(rows_of(&t, "f"), 1);
	two_end(&t);
}

/* ---- taken by force */

static void take(struct two *t, uint64_t ino)
{
	assert_int_equal(fsp_meta_deleg_recall(t->f->m, &t->f->ctx, ino, true),
	                 0);
}

static void test_taken(void **state)
{
	struct two t;
	uint64_t root;

	two_begin(&t, state);
	root = fx_mkdir(&t.a, "a/t/r/d");
	fx_mkdir(&t.a, "a/t/r/d/e");
	make(&t.a, "a/t/r/d/e/f", FILE_MODE);
	take(&t, root);
	/* Nobody else has made a name of these: they are made. */
	fx_commit(&t.a, "a/t/r/d/e/f", '3', 4);
	make(&t.a, "a/t/r/d/e/g", FILE_MODE);
	assert_int_equal(fx_get(&t.b, "a/t/r/d/e/f").attr.size, 4);
	assert_string_equal(fx_ls(&t.b, "a/t/r/d/e"), "f g");
	two_end(&t);
}

static void test_taken_conflict(void **state)
{
	struct two t;
	uint64_t root;
	struct fsp_entry e, f;
	struct fsp_ref ref = { 0, "a/t/r/d/f" };

	two_begin(&t, state);
	root = fx_mkdir(&t.a, "a/t/r/d");
	e = make(&t.a, "a/t/r/d/f", FILE_MODE);
	make(&t.a, "a/t/r/d/g", FILE_MODE);
	make(&t.a, "a/t/r/d/h", FILE_MODE);
	take(&t, root);
	fx_put(t.f, "a/t/r/d/f", '7', 9);
	fx_put(t.f, "a/t/r/d/h", '8', 9);
	ref.ino = e.attr.ino;
	assert_int_equal(fx_commit_ref(&t.a, &ref, '3', 4, FX_MTIME, &f), -EIO);
	assert_int_equal(fx_commit(&t.a, "a/t/r/d/g", '3', 4).attr.size, 4);
	assert_int_equal(fx_get(&t.b, "a/t/r/d/f").attr.size, 9);
	assert_string_equal(fx_ls(&t.a, "a/t/r/d"), "f g h");
	assert_int_equal(fx_get(&t.a, "a/t/r/d/f").attr.size, 9);
	assert_int_equal(fx_get(&t.a, "a/t/r/d/h").attr.size, 9);
	two_end(&t);
}

/* Its directory itself has gone. */
static void test_taken_and_removed(void **state)
{
	struct two t;
	uint64_t root;
	struct fsp_entry e, f;
	struct fsp_ref ref = { 0, "a/t/r/d/f" };

	two_begin(&t, state);
	root = fx_mkdir(&t.a, "a/t/r/d");
	e = make(&t.a, "a/t/r/d/f", FILE_MODE);
	take(&t, root);
	assert_int_equal(fx_rm(t.f, "a/t/r/d", true), 0);
	ref.ino = e.attr.ino;
	assert_int_equal(fx_commit_ref(&t.a, &ref, '3', 4, FX_MTIME, &f), -EIO);
	assert_int_equal(fx_mkdir(&t.a, "a/t/r/d") == root, false);
	two_end(&t);
}

/* ---- PHP */

static void test_php(void **state)
{
	struct two t;
	struct fsp_entry e;
	int err = -ENOENT;

	two_begin(&t, state);
	fx_mkdir(&t.a, "a/t/r/d");
	make(&t.a, "a/t/r/d/mine", FILE_MODE);
	fx_gone(&t.a, "a/t/r/d/php");
	fx_php_upload(t.f, "a.t.r", "d/php", '5', 5, 1500000000);
	for (int i = 0; i < 5000 && err == -ENOENT; i++) {
		keep_busy(&t.a, "a/t/r/d");
		err = fx_look(&t.a, "a/t/r/d/php", &e);
		usleep(1000);
	}
	assert_int_equal(err, 0);
	assert_int_equal(e.attr.size, 5);
	/* Its names are shared now. */
	for (int i = 0; i < 5000 && dx_held(t.f); i++)
		usleep(1000);
	assert_int_equal(dx_held(t.f), 0);
	assert_string_equal(fx_ls(&t.a, "a/t/r/d"), "mine php");
	two_end(&t);
}

/* PHP's file at a place of ours is what our content is written over. */
static void test_php_place(void **state)
{
	struct two t;

	two_begin(&t, state);
	fx_mkdir(&t.a, "a/t/r/d");
	make(&t.a, "a/t/r/d/f", FILE_MODE);
	fx_php_upload(t.f, "a.t.r", "d/f", '5', 5, 1500000000);
	assert_int_equal(fx_commit(&t.a, "a/t/r/d/f", '6', 3).attr.size, 3);
	assert_int_equal(fx_php_get(t.f, "a.t.r", "d/f"), '6');
	assert_int_equal(fx_number(t.f, "SELECT COUNT(*) FROM filespace_file"
	                           " WHERE file_key = 'd/f' AND"
	                           " deleted_at <> 0"), 1);
	two_end(&t);
}

/* ---- limits */

static void test_many_names(void **state)
{
	struct two t;
	struct fsp_entry e;
	char path[100];

	two_begin(&t, state);
	fx_mkdir(&t.a, "a/t/r/d");
	for (int i = 0; i < 4300; i++) {
		snprintf(path, sizeof(path), "a/t/r/d/%s%d", i % 9 ? "f" : "d",
		         i);
		make(&t.a, path, i % 9 ? FILE_MODE : DIR_MODE);
		if (i % 500 == 0)
			fx_gone(&t.a, "a/t/r/d/none");
	}
	fx_gone(&t.a, "a/t/r/d/none");
	for (int i = 0; i < 4300; i += 101) {
		snprintf(path, sizeof(path), "a/t/r/d/%s%d", i % 9 ? "f" : "d",
		         i);
		(void)fx_get(&t.a, path);
		assert_int_equal(fx_new(&t.a, path, FILE_MODE, &e), -EEXIST);
	}
	snprintf(path, sizeof(path), "SELECT COUNT(*) FROM fsp_name WHERE"
	         " dir_key = 'd' AND live = 1");
	assert_int_equal(fsp_meta_sync(t.a.m, &t.a.ctx), 0);
	assert_int_equal(fx_number(t.f, path), 4300);
	two_end(&t);
}

/* Born names make room, and are not forgotten to be there. */
static void test_prune(void **state)
{
	struct two t;
	struct fsp_entry e;
	char path[100];

	two_begin(&t, state);
	fx_mkdir(&t.a, "a/t/r/d");
	fx_mkdir(&t.a, "a/t/r/d/e");
	for (int i = 0; i < 6000; i++) {
		snprintf(path, sizeof(path), "a/t/r/d/e/%d", i);
		make(&t.a, path, FILE_MODE);
		if (i % 1000 == 999)
			assert_int_equal(fsp_meta_sync(t.a.m, &t.a.ctx), 0);
	}
	fx_gone(&t.a, "a/t/r/d/e/none");
	fx_gone(&t.a, "a/t/r/d/none");
	for (int i = 0; i < 6000; i += 131) {
		snprintf(path, sizeof(path), "a/t/r/d/e/%d", i);
		(void)fx_get(&t.a, path);
		assert_int_equal(fx_new(&t.a, path, FILE_MODE, &e), -EEXIST);
	}
	two_end(&t);
}

static void test_many_held(void **state)
{
	struct two t;
	char path[100];

	two_begin(&t, state);
	for (int i = 0; i < FSP_DELEG_MOST + 5; i++) {
		snprintf(path, sizeof(path), "a/t/r/d%d", i);
		fx_mkdir(&t.a, path);
		assert_in_range(dx_held(t.f), 0, FSP_DELEG_MOST);
		snprintf(path, sizeof(path), "a/t/r/d%d/f", i);
		make(&t.a, path, FILE_MODE);
	}
	for (int i = 0; i < FSP_DELEG_MOST + 5; i++) {
		snprintf(path, sizeof(path), "a/t/r/d%d/f", i);
		(void)walk_to(&t.b, path);
	}
	two_end(&t);
}

/* ---- ends */

/* Who was removed is not waited for: its names are not there. */
static void test_dead(void **state)
{
	struct two t;
	int64_t began;

	two_begin(&t, state);
	fx_mkdir(&t.a, "a/t/r/d");
	make(&t.a, "a/t/r/d/f", FILE_MODE);
	/* The database does not answer it any more. */
	assert_int_equal(fsp_meta_mount_remove(t.b.m, &t.b.ctx, US), 0);
	began = fsp_mono_ns();
	(void)fx_look(&t.b, "a/t/r/d", &(struct fsp_entry){ .holder = 0 });
	(void)fx_ls(&t.b, "a/t/r/d");
	assert_true(fsp_mono_ns() - began < 4 * FSP_NS_PER_SEC);
	assert_int_equal(dx_held(t.f), 0);
	two_end(&t);
}

static void test_close(void **state)
{
	struct two t;

	two_begin(&t, state);
	fx_mkdir(&t.a, "a/t/r/d");
	fx_mkdir(&t.a, "a/t/r/d/e");
	make(&t.a, "a/t/r/d/e/f", FILE_MODE);
	fx_close(&t.a);
	assert_string_equal(fx_ls(t.f, "a/t/r/d"), "e/");
	assert_string_equal(fx_ls(t.f, "a/t/r/d/e"), "f");
	assert_int_equal(dx_held(t.f), 0);
	two_end(&t);
}

/* Left alone, it becomes rows, and is given up. */
static void test_idle(void **state)
{
	struct two t;

	two_begin(&t, state);
	fx_mkdir(&t.a, "a/t/r/d");
	fx_mkdir(&t.a, "a/t/r/d/e");
	for (int i = 0; i < 10000 && dx_held(t.f); i++)
		usleep(1000);
	assert_int_equal(dx_held(t.f), 0);
	assert_int_equal(rows_of(&t, "e"), 1);
	fx_mkdir(&t.a, "a/t/r/d/e/f");
	two_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(test_nothing_before),
		FX_TEST(test_other),
		FX_TEST(test_busy),
		FX_TEST(test_same_file),
		FX_TEST(test_threads),
		FX_TEST(test_threads_of_two),
		FX_TEST(test_faults),
		FX_TEST(test_no_graft),
		FX_TEST(test_taken),
		FX_TEST(test_taken_conflict),
		FX_TEST(test_taken_and_removed),
		FX_TEST(test_php),
		FX_TEST(test_php_place),
		FX_TEST(test_many_names),
		FX_TEST(test_prune),
		FX_TEST(test_many_held),
		FX_TEST(test_dead),
		FX_TEST(test_close),
		FX_TEST(test_idle),
	};

	return cmocka_run_group_tests_name("names in memory", tests, NULL,
	                                   NULL);
}
