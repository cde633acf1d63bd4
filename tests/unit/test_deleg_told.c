/*
 * What whoever keeps promises of names in memory is told: which directories have
 * no rows above one, and when it has got its own. A mount that rests brings them
 * to the rows by itself, and on a busy machine it may rest in the midst of a
 * test, which is tried again then.
 */
#include "deleg_fixture.h"

#define TRIES 50

struct told {
	struct fx *x;
	uint64_t ino[8];
	size_t n;
	bool durable;
};

static uint64_t writes(struct fx *x)
{
	struct fsp_meta_stats s;

	fsp_meta_stats(x->inner, &s);
	return s.writes;
}

/* Nothing is left to be synced, and what is told is not unborn any more. */
static void told(void *arg, uint64_t ino)
{
	struct told *t = arg;
	struct fsp_unborn_dir *dirs;
	uint64_t before = writes(t->x);
	size_t n;

	assert_true(t->n < 8);
	t->ino[t->n++] = ino;
	assert_int_equal(fsp_meta_unborn(t->x->m, ino, &dirs, &n), -ENOENT);
	assert_int_equal(fsp_meta_sync(t->x->inner, &t->x->ctx), 0);
	t->durable = writes(t->x) == before;
}

static uint64_t make(struct fx *x, const char *dir, const char *name,
                     uint32_t mode)
{
	struct fsp_place at = { .dir = dir, .name = name };
	struct fsp_new what = { .mode = mode, .uid = 7, .gid = 8,
		                .owner = x->owner };
	struct fsp_entry e;

	assert_int_equal(fsp_meta_create(x->m, &x->ctx, &at, &what, &e), 0);
	return e.attr.ino;
}

/* The first directory is held; what is in there is not in the rows. */
struct held {
	char top[16], d[16], e[16], f[16];      /* paths */
	uint64_t dirs[2], ino;
};

static void make_tree(struct fx *x, int nr, struct held *t)
{
	(void)snprintf(t->top, sizeof(t->top), "a%d", nr);
	(void)snprintf(t->d, sizeof(t->d), "a%d/d", nr);
	(void)snprintf(t->e, sizeof(t->e), "a%d/d/e", nr);
	(void)snprintf(t->f, sizeof(t->f), "a%d/d/e/f", nr);
	(void)make(x, "", t->top, S_IFDIR | 0755);
	t->dirs[0] = make(x, t->top, "d", S_IFDIR | 0750);
	t->dirs[1] = make(x, t->d, "e", S_IFDIR | 0711);
	t->ino = make(x, t->e, "f", S_IFREG | 0640);
}

static void test_unborn(void **state)
{
	struct fx *f = *state, x;
	struct fsp_unborn_dir *above = NULL;
	struct held t;
	size_t n = 0;

	dx_mount(f, &x, US, NULL);
	for (int i = 0; i < TRIES && n < 2; i++) {
		free(above);
		make_tree(&x, i, &t);
		(void)fsp_meta_unborn(x.m, t.ino, &above, &n);
	}
	assert_int_equal(n, 2);
	assert_int_equal(above[0].ino, t.dirs[0]);
	assert_int_equal(above[0].mode, S_IFDIR | 0750);
	assert_int_equal(above[1].ino, t.dirs[1]);
	assert_int_equal(above[1].mode, S_IFDIR | 0711);
	assert_int_equal(above[1].uid, 7);
	assert_int_equal(above[1].gid, 8);
	assert_true(above[1].mtime_ns > 0);
	free(above);
	assert_int_equal(fsp_meta_unborn(x.m, t.ino + 1000, &above, &n),
	                 -ENOENT);
	assert_int_equal(fsp_meta_unborn(x.inner, t.ino, &above, &n), -ENOENT);
	dx_end(&x);
}

static void test_told(void **state)
{
	struct fx *f = *state, x;
	struct told t = { .x = &x };
	struct held tree;

	dx_mount(f, &x, US, NULL);
	fsp_meta_on_birth(x.m, told, &t);
	make_tree(&x, 0, &tree);
	assert_int_equal(fsp_meta_sync(x.m, &x.ctx), 0);
	/* Taken back, nobody is called, nor is anybody still calling. */
	fsp_meta_on_birth(x.m, NULL, NULL);
	assert_int_equal(t.n, 1);
	assert_int_equal(t.ino[0], tree.ino);
	assert_true(t.durable);
	make_tree(&x, 1, &tree);
	assert_int_equal(fsp_meta_sync(x.m, &x.ctx), 0);
	assert_int_equal(t.n, 1);
	dx_end(&x);
	fx_check(f);
}

/* With its content it is what was promised that comes, and nothing to tell. */
static bool content_tells(struct fx *x, int nr)
{
	struct told t = { .x = x };
	struct fsp_object o = fx_object('1', 5);
	struct fsp_commit c = { .object = &o, .owner = US,
		                .attr = { .mtime_ns = FX_MTIME } };
	struct fsp_unborn_dir *above;
	struct fsp_entry e;
	struct held tree;
	size_t n;

	fsp_meta_on_birth(x->m, told, &t);
	make_tree(x, nr, &tree);
	c.ref.ino = tree.ino;
	c.ref.path = tree.f;
	assert_int_equal(fsp_meta_commit(x->m, &x->ctx, &c, &e), 0);
	fsp_meta_on_birth(x->m, NULL, NULL);
	assert_int_equal(fsp_meta_unborn(x->m, tree.ino, &above, &n), -ENOENT);
	return t.n != 0;
}

static void test_content(void **state)
{
	struct fx *f = *state, x;
	bool tells = true;

	dx_mount(f, &x, US, NULL);
	for (int i = 0; i < TRIES && tells; i++)
		tells = content_tells(&x, i);
	assert_false(tells);
	dx_end(&x);
	fx_check(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(test_unborn), FX_TEST(test_told), FX_TEST(test_content),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
