/*
 * meta: writers of several processes at the same few names, so that whatever
 * two transactions can do to each other, they do; PHP among them. Then all
 * invariants are checked, and that nothing was lost.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "meta_fixture.h"

#define PROCESSES 4
#define STEPS 150
#define ROUNDS 6                /* trees that only PHP has made */

struct shared {
	atomic_int ready;
	atomic_llong appended;
	atomic_int holders, crowded;    /* of the lock; more than one */
	uint64_t ino;                   /* of the file that is chased */
	/* what is delegated: its number, how many there were before */
	atomic_ullong root;
	atomic_int roots;
	atomic_int brought;
	atomic_int steps[2];            /* of who brings, of who takes */
	int found[STEPS];               /* in each, when it was taken; + 1 */
};

struct racer {
	struct fx f;
	struct shared *all;
	int n, round;
	unsigned r;
};

static unsigned next(unsigned *r)
{
	*r = *r * 1103515245 + 12345;
	return *r >> 16 & 0x7fff;
}

/* What chance allows in a race. */
static int allowed(int err)
{
	switch (err) {
	case -ENOENT:
	case -EEXIST:
	case -ESTALE:
	case -ENOTEMPTY:
	case -EISDIR:
	case -ENOTDIR:
	case -EINVAL:
	case -EPERM:
	case -EAGAIN:
		return 0;
	default:
		return err;
	}
}

static void pick(unsigned *r, char *path)
{
	static const char *const dirs[] = {
		"a/t/r", "a/t/r/d", "a/t/q", "a/u/r", "a/t", "a"
	};
	static const char *const names[] = { "x", "y", "d", "q" };

	sprintf(path, "%s/%s", dirs[next(r) % 6], names[next(r) % 4]);
}

static int change_node(struct racer *w, const char *path, bool xattr)
{
	struct fsp_meta *m = w->f.m;
	struct fsp_entry e;
	struct fsp_ref ref = { 0, path };
	struct fsp_attr a = { .mode = next(&w->r) & 0777 };
	int err = fx_look(&w->f, path, &e);

	ref.ino = e.attr.ino;
	if (err)
		return err;
	if (xattr)
		return m->ops->xattr_set(m, &w->f.ctx, &ref, "user.n", "1", 1,
		                         0);
	return m->ops->setattr(m, &w->f.ctx, &ref, FSP_SET_MODE, &a, &e);
}

static int link_to(struct racer *w, const char *from, const char *path)
{
	struct fsp_meta *m = w->f.m;
	struct fsp_entry e;
	struct fsp_ref ref = { 0, from };
	int err = fx_look(&w->f, from, &e);
	FX_PLACE(to, path);

	ref.ino = e.attr.ino;
	return err ? err : m->ops->link(m, &w->f.ctx, &ref, &to, &e);
}

static int write_file(struct racer *w, const char *path)
{
	struct fsp_entry e;
	struct fsp_ref ref = { 0, path };
	int err = fx_look(&w->f, path, &e);

	ref.ino = e.attr.ino;
	if (err || !S_ISREG(e.attr.mode))
		return err;
	return fx_commit_ref(&w->f, &ref, "0123456789"[next(&w->r) % 10],
	                     next(&w->r) % 10, 0, &e);
}

static int change(struct racer *w)
{
	char a[32], b[32];
	struct fsp_entry e;

	pick(&w->r, a);
	pick(&w->r, b);
	switch (next(&w->r) % 9) {
	case 0:
		return fx_new(&w->f, a, S_IFREG | 0600, &e);
	case 1:
		return fx_new(&w->f, a, S_IFDIR | 0700, &e);
	case 2:
		return fx_rm(&w->f, a, next(&w->r) % 2);
	case 3:
		return fx_mv(&w->f, a, b, 0, NULL);
	case 4:
		return fx_mv(&w->f, a, b, FSP_RENAME_EXCHANGE, NULL);
	case 5:
		return link_to(w, a, b);
	case 6:
	case 7:
		return change_node(w, a, next(&w->r) % 2);
	default:
		return write_file(w, a);
	}
}

/* One file under three names in three containers, one byte more each time. */
static const char *const counter[] = { "c/t/r/n", "c/t/q/n", "c/u/r/n" };

static int append(struct racer *w)
{
	struct fsp_meta *m = w->f.m;
	struct fsp_entry e;
	struct fsp_object o = fx_object('a', 0);
	struct fsp_commit c = { .owner = "m", .object = &o,
		                .require_base = true };
	int err;

	c.ref.path = counter[next(&w->r) % 3];
	err = fx_look(&w->f, c.ref.path, &e);
	if (err)
		return err;
	c.ref.ino = e.attr.ino;
	c.base_row = e.content.row;
	o.size = e.attr.size + 1;
	snprintf(o.key, sizeof(o.key), "%064llx", (unsigned long long)o.size);
	strcpy(o.sha256, o.key);
	err = m->ops->commit(m, &w->f.ctx, &c, &e);
	if (!err)
		atomic_fetch_add(&w->all->appended, 1);
	return err;
}

static int lock(struct racer *w)
{
	struct fsp_meta *m = w->f.m;
	struct fsp_flock got, l = {
		.ino = 77, .type = F_WRLCK, .start = next(&w->r) % 50,
		.owner = 1
	};
	int err;

	l.end = l.start + 50;           /* 49 and 50 are in all of them */
	snprintf(l.mount, sizeof(l.mount), "mount%d", w->n);
	err = m->ops->lock_set(m, &w->f.ctx, &l, &got);
	if (err)
		return err;
	if (atomic_fetch_add(&w->all->holders, 1))
		atomic_store(&w->all->crowded, 1);
	err = write_file(w, "a/t/r/x");
	atomic_fetch_sub(&w->all->holders, 1);
	if (allowed(err))
		return err;
	l.type = F_UNLCK;
	return m->ops->lock_set(m, &w->f.ctx, &l, &got);
}

/* Trees of PHP: all make names in them and for them, and take them away. */
static int implicit(struct racer *w)
{
	static const char *const parts[] = { "", "/t", "/t/r", "/t/r/s" };
	char path[64];
	struct fsp_entry e;
	int err;

	sprintf(path, "p%d%s/new%d", w->round, parts[next(&w->r) % 4],
	        (int)(next(&w->r) % 3));
	err = fx_new(&w->f, path, S_IFREG | 0600, &e);
	if (!allowed(err) && next(&w->r) % 2)
		err = fx_rm(&w->f, path, false);
	if (allowed(err))
		return err;
	sprintf(path, "p%d%s", w->round, parts[next(&w->r) % 4]);
	switch (next(&w->r) % 4) {
	case 0:
		return fx_rm(&w->f, path, true);
	case 1:
		return change_node(w, path, false);
	default:
		w->round = (w->round + 1) % ROUNDS;
		return 0;
	}
}

static void php(struct racer *w)
{
	char space[16], key[16];

	snprintf(space, sizeof(space), "p%u.t.r", next(&w->r) % ROUNDS);
	snprintf(key, sizeof(key), "%s", next(&w->r) % 2 ? "s/f" : "f");
	if (next(&w->r) % 3 == 0)
		strcpy(space, "a.t.r");
	if (next(&w->r) % 2)
		fx_php_delete(&w->f, space, key);
	else
		fx_php_upload(&w->f, space, key, 'b', 3, 1500000000);
}

static int step(struct racer *w)
{
	unsigned what = next(&w->r) % 10;

	if (w->n == 0 && what % 2)
		php(w);
	if (what < 5)
		return change(w);
	if (what < 7)
		return implicit(w);
	return what < 9 ? append(w) : lock(w);
}

static unsigned seed(void)
{
	const char *s = getenv("TEST_SEED");

	return s ? (unsigned)strtoul(s, NULL, 10) : 20260102;
}

/* Step i of one of those who race. */
typedef int (*stepper)(struct racer *w, int i);

static int race(const char *db, struct shared *all, int n, stepper one)
{
	struct racer w = {
		.f = { .ctx = fsp_ctx_background() }, .all = all, .n = n,
		.r = seed() + (unsigned)n * 977
	};
	struct fsp_meta_options o = fx_options();
	int err = 0;

	snprintf(w.f.db.path, sizeof(w.f.db.path), "%s", db);
	o.busy_timeout_ns = 120 * FSP_NS_PER_SEC;
	fx_open(&w.f, &o);
	atomic_fetch_add(&all->ready, 1);
	while (atomic_load(&all->ready) < PROCESSES)
		sched_yield();
	for (int i = 0; i < STEPS && !err; i++)
		err = one(&w, i);
	if (err)
		print_error("a step of racer %d failed: %s\n", n,
		            strerror(-err));
	fx_db_hang_up(&w.f.db);
	fx_close(&w.f);
	return err ? 1 : 0;
}

static struct shared *share(void)
{
	struct shared *all = mmap(NULL, sizeof(*all), PROT_READ | PROT_WRITE,
	                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(all, MAP_FAILED);
	return all;
}

/* All of them to their end, and the rows are as they must be. */
static void race_all(struct fx *f, struct shared *all, stepper one)
{
	struct fsp_meta_options o = fx_options();
	pid_t pid[PROCESSES];
	int status;

	fx_db_hang_up(&f->db);
	fx_close(f);
	for (int i = 0; i < PROCESSES; i++) {
		pid[i] = fork();
		assert_true(pid[i] >= 0);
		if (pid[i] == 0)
			_exit(race(f->db.path, all, i, one));
	}
	for (int i = 0; i < PROCESSES; i++) {
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_int_equal(status, 0);
	}
	fx_open(f, &o);
	fx_check(f);
}

static int random_step(struct racer *w, int i)
{
	(void)i;
	return allowed(step(w));
}

static void prepare(struct fx *f)
{
	char space[24];

	fx_mkdirs(f, "a/t/r/d");
	fx_mkdirs(f, "a/t/q");
	fx_mkdirs(f, "a/u/r");
	fx_mkdirs(f, "c/t/r");
	fx_mkdirs(f, "c/t/q");
	fx_mkdirs(f, "c/u/r");
	fx_put(f, counter[0], 'a', 1);
	assert_int_equal(fx_ln(f, counter[0], counter[1]), 0);
	assert_int_equal(fx_ln(f, counter[0], counter[2]), 0);
	for (int i = 0; i < ROUNDS; i++) {
		snprintf(space, sizeof(space), "p%d.t.r", i);
		fx_php_upload(f, space, "s/f", 'b', 3, 1500000000);
	}
}

static void test_race(void **state)
{
	struct fx *f = *state;
	struct shared *all = share();

	print_message("seed %u\n", seed());
	prepare(f);
	race_all(f, all, random_step);
	fx_walk(f, "");
	for (int i = 0; i < 3; i++) {
		struct fsp_entry e = fx_get(f, counter[i]);

		assert_int_equal(e.attr.size, 1 + atomic_load(&all->appended));
		assert_int_equal(e.attr.nlink, 3);
	}
	assert_true(atomic_load(&all->appended) > 0);
	assert_int_equal(atomic_load(&all->crowded), 0);
	munmap(all, sizeof(*all));
}

/* ---- a file that is moved about, and written by its number meanwhile */

static const char *const spot[] = { "w/t/q/n", "w/t/r/d/n", "w/u/r/n", "w/n" };

static int move_on(struct racer *w, int i)
{
	return fx_mv(&w->f, spot[i % 4], spot[(i + 1) % 4], 0, NULL);
}

/* What a host knows of its place may be long ago, or nothing at all. */
static int write_it(struct racer *w, uint64_t ino)
{
	unsigned n = next(&w->r) % 6;
	struct fsp_ref ref = { ino, n < 4 ? spot[n] : n < 5 ? "" : NULL };
	struct fsp_entry e;
	int err = fx_commit_ref(&w->f, &ref, "0123456789"[next(&w->r) % 10],
	                        next(&w->r) % 10, 0, &e);

	if (!err)
		err = w->f.m->ops->getattr(w->f.m, &w->f.ctx, &ref, &e);
	return err ? err : e.attr.ino == ino ? 0 : -EIO;
}

static int chase(struct racer *w, int i)
{
	return w->n ? write_it(w, w->all->ino) : move_on(w, i);
}

/* It has a name at every moment, so no commit may miss it. */
static void test_chase(void **state)
{
	struct fx *f = *state;
	struct shared *all = share();

	fx_mkdirs(f, "w/t/q");
	fx_mkdirs(f, "w/t/r/d");
	fx_mkdirs(f, "w/u/r");
	fx_put(f, spot[0], 'a', 1);
	all->ino = fx_get(f, spot[0]).attr.ino;
	race_all(f, all, chase);
	assert_int_equal(fx_get(f, spot[STEPS % 4]).attr.ino, all->ino);
	munmap(all, sizeof(*all));
}

/* ---- names that are brought into a directory while others take it */

#define HOLDER "a0000000000000000000000000000001"

/* The root of a number, where it was made and where it may be moved to. */
static void root_path(int nth, bool moved, char *path)
{
	sprintf(path, "%s/n%d", moved ? "e/u/q" : "e/t/r", nth);
}

static int new_root(struct racer *w)
{
	struct fsp_new n = { .mode = S_IFDIR | 0755,
		             .holder = fsp_meta_holder(HOLDER) };
	int nth = atomic_load(&w->all->roots) + 1;
	struct fsp_entry e;
	char path[32];
	int err;

	root_path(nth, false, path);
	FX_PLACE(at, path);
	err = w->f.m->ops->create(w->f.m, &w->f.ctx, &at, &n, &e);
	if (!err) {
		atomic_store(&w->all->roots, nth);
		atomic_store(&w->all->root, e.attr.ino);
	}
	return err;
}

/* A directory with a file in it and one beside it, named after the root. */
static int bring(struct racer *w, int i)
{
	struct fsp_meta *m = w->f.m;
	int nth = atomic_load(&w->all->roots);
	char path[32], dir[32], name[32];
	struct fsp_object o = fx_object("0123456789"[i % 10], 9);
	struct fsp_commit c = { .object = &o, .attr = { .mtime_ns = 5 } };
	struct fsp_birth b[3] = {
		{ .dir = "", .name = dir, .attr = { .mode = S_IFDIR | 0755 } },
		{ .dir = dir, .name = name, .attr = { .mode = S_IFREG | 0644 },
		  .commit = &c },
		{ .dir = "", .name = name, .attr = { .mode = S_IFREG | 0644 } },
	};
	struct fsp_graft g = {
		.root = { atomic_load(&w->all->root), path }, .births = b,
		.n = 3, .holder = fsp_meta_holder(HOLDER),
	};
	int err = 0;

	/* The hint is right, or is not. */
	root_path(nth, next(&w->r) % 2, path);
	sprintf(dir, "k%d-%dd", nth, i);
	sprintf(name, "k%d-%df", nth, i);
	for (int k = 0; k < 3 && !err; k++)
		err = m->ops->new_ino(m, &w->f.ctx, &b[k].ino);
	if (!err)
		err = m->ops->graft(m, &w->f.ctx, &g);
	if (!err)
		atomic_fetch_add(&w->all->brought, 1);
	return err == -ENOLCK || err == -ESTALE ? new_root(w) : err;
}

static int count_names(struct fx *f, int nth)
{
	char sql[128];

	snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM fsp_name WHERE"
	         " live = 1 AND name LIKE 'k%d-%%'", nth);
	return (int)fx_number(f, sql);
}

/* From the moment that it is ours nothing may come into it. */
static int take_root(struct racer *w, int i)
{
	struct fsp_meta *m = w->f.m;
	int nth = atomic_load(&w->all->roots);
	uint64_t ino = atomic_load(&w->all->root);
	int err = nth && atomic_load(&w->all->roots) == nth ?
		m->ops->deleg_recall(m, &w->f.ctx, ino, i % 4 == 3) : -EAGAIN;

	if (!err && atomic_load(&w->all->roots) == nth && !w->all->found[nth])
		w->all->found[nth] = count_names(&w->f, nth) + 1;
	return err == -EAGAIN ? 0 : err;
}

static int move_root(struct racer *w)
{
	char a[32], b[32];
	int nth = atomic_load(&w->all->roots);
	bool there = next(&w->r) % 2;

	root_path(nth, there, a);
	root_path(nth, !there, b);
	if (next(&w->r) % 4 == 0)
		return fx_rm(&w->f, a, true);
	return fx_mv(&w->f, a, b, 0, NULL);
}

/* Who brings and who takes are never further apart than one step. */
static int deleg_step(struct racer *w, int i)
{
	atomic_int *steps = w->all->steps;
	int err;

	if (w->n > 1)
		return allowed(move_root(w));
	/* As long as an assertion has not ended the other one. */
	for (int n = 0; atomic_load(&steps[!w->n]) < i - (w->n == 0); n++) {
		if (n == 20000000)
			return -ETIMEDOUT;
		sched_yield();
	}
	err = w->n ? take_root(w, i) : bring(w, i);
	atomic_store(&steps[w->n], err ? STEPS : i + 1);
	return err;
}

static void test_delegation(void **state)
{
	struct fsp_mountinfo i = { .id = HOLDER, .host = "h", .path = "/",
		                   .pid = 1 };
	struct fx *f = *state;
	struct shared *all = share();
	int taken = 0;

	fx_mkdirs(f, "e/t/r");
	fx_mkdirs(f, "e/u/q");
	assert_int_equal(f->m->ops->mount_add(f->m, &f->ctx, &i), 0);
	race_all(f, all, deleg_step);
	for (int nth = 1; nth < STEPS; nth++) {
		if (!all->found[nth])
			continue;
		taken++;
		assert_int_equal(count_names(f, nth), all->found[nth] - 1);
	}
	print_message("%d of %d taken, %d times names were brought\n", taken,
	              atomic_load(&all->roots), atomic_load(&all->brought));
	assert_true(taken > 0 && atomic_load(&all->brought) > 0);
	munmap(all, sizeof(*all));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(test_race), FX_TEST(test_chase),
		FX_TEST(test_delegation)
	};

	return cmocka_run_group_tests_name("meta in races", tests, NULL, NULL);
}
