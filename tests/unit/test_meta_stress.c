/* meta: many threads, several processes, and kill -9. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "meta_fixture.h"

#define THREADS 4
#define PROCESSES 2
#define STEPS 120
#define NAMES 12

/* From the environment, so that a failure can be repeated. */
static unsigned seed(void)
{
	const char *s = getenv("TEST_SEED");

	return s ? (unsigned)strtoul(s, NULL, 10) : 20260101;
}

static unsigned next(unsigned *r)
{
	*r = *r * 1103515245 + 12345;
	return *r >> 16 & 0x7fff;
}

static void pick(unsigned *r, char *path, size_t size)
{
	static const char *const dirs[] = {
		"a/t/r", "a/t/r/d0", "a/t/r/d1", "a/t/q", "a"
	};

	snprintf(path, size, "%s/n%u", dirs[next(r) % 5], next(r) % NAMES);
}

/* One change by chance; its error, 0 also for those that chance allows. */
static int step(struct fx *f, unsigned *r)
{
	char a[64], b[64];
	struct fsp_entry e;
	struct fsp_ref ref = { 0, a };
	int err;

	pick(r, a, sizeof(a));
	pick(r, b, sizeof(b));
	switch (next(r) % 8) {
	case 0:
		err = fx_new(f, a, S_IFREG | 0600, &e);
		break;
	case 1:
		err = fx_new(f, a, S_IFDIR | 0700, &e);
		break;
	case 2:
		err = fx_rm(f, a, next(r) % 2);
		break;
	case 3:
	case 4:
		err = fx_mv(f, a, b, next(r) % 4 == 0 ? FSP_RENAME_EXCHANGE :
		            0, NULL);
		break;
	default:
		err = fx_look(f, a, &e);
		ref.ino = e.attr.ino;
		if (!err && S_ISREG(e.attr.mode))
			err = fx_commit_ref(f, &ref,
			                    "0123456789"[next(r) % 10],
			                    next(r) % 10, 0, &e);
		break;
	}
	switch (err) {
	case -ENOENT:
	case -EEXIST:
	case -ESTALE:
	case -ENOTEMPTY:
	case -EISDIR:
	case -ENOTDIR:
	case -EINVAL:
		return 0;
	default:
		return err;
	}
}

struct worker {
	struct fx f;
	pthread_t thread;
	unsigned r;
	int err, made;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct fsp_entry e;
	char path[32];

	for (int i = 0; i < STEPS && !w->err; i++) {
		w->err = step(&w->f, &w->r);
		if (w->err || i % 4)
			continue;
		/* Only one of all may make it. */
		snprintf(path, sizeof(path), "a/x%d", i);
		if (fx_new(&w->f, path, S_IFREG | 0600, &e) == 0)
			w->made++;
	}
	return NULL;
}

/* The exit status: how many exclusive creations were won, 200 for failure. */
static int process(const char *db, unsigned r)
{
	struct worker w[THREADS];
	struct fx f = { .ctx = fsp_ctx_background(),
	                .owner = "mount1" };
	struct fsp_meta_options o = fx_options();
	int won = 0, err = 0;

	snprintf(f.db.path, sizeof(f.db.path), "%s", db);
	o.busy_timeout_ns = 120 * FSP_NS_PER_SEC;
	fx_open(&f, &o);
	for (int i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ .f = f, .r = r + (unsigned)i * 77 };
		if (pthread_create(&w[i].thread, NULL, work, &w[i]))
			return 201;
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(w[i].thread, NULL);
		won += w[i].made;
		if (w[i].err) {
			print_error("a step failed: %d\n", w[i].err);
			err = 1;
		}
	}
	fx_close(&f);
	return err ? 200 : won;
}

static void test_hammer(void **state)
{
	struct fx *f = *state;
	struct fsp_meta_options o = fx_options();
	pid_t pid[PROCESSES];
	int status, won = 0;

	print_message("seed %u\n", seed());
	fx_mkdirs(f, "a/t/r/d0");
	fx_mkdirs(f, "a/t/r/d1");
	fx_mkdirs(f, "a/t/q");
	fx_close(f);
	for (int i = 0; i < PROCESSES; i++) {
		pid[i] = fork();
		assert_true(pid[i] >= 0);
		if (pid[i] == 0)
			_exit(process(f->db.path, seed() + (unsigned)i * 1000));
	}
	for (int i = 0; i < PROCESSES; i++) {
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_true(WIFEXITED(status));
		assert_true(WEXITSTATUS(status) < 200);
		won += WEXITSTATUS(status);
	}
	assert_int_equal(won, STEPS / 4);
	fx_open(f, &o);
	fx_check(f);
	fx_walk(f, "");
#ifndef FX_MARIA
	assert_int_equal(fx_number(f, "SELECT count(*) FROM"
	                           " pragma_integrity_check WHERE"
	                           " integrity_check <> 'ok'"), 0);
#endif
}

struct ack {
	int n;                  /* the file */
	int64_t row;            /* its version */
};

/* Until it is killed: commits, telling each one that was acknowledged. */
static void victim(const char *db, unsigned r, int out)
{
	struct fx f = { .ctx = fsp_ctx_background(),
	                .owner = "mount1" };
	struct fsp_meta_options o = fx_options();

	snprintf(f.db.path, sizeof(f.db.path), "%s", db);
	fx_open(&f, &o);
	for (;;) {
		struct ack a = { (int)(next(&r) % 5), 0 };
		char path[32];

		snprintf(path, sizeof(path), "a/t/r/f%d", a.n);
		a.row = fx_put(&f, path, "0123456789abcdef"[next(&r) % 16],
		               1).content.row;
		if (write(out, &a, sizeof(a)) != (ssize_t)sizeof(a))
			_exit(1);
		/* renames, removals and so on in between */
		if (step(&f, &r))
			_exit(2);
	}
}

static void kill_once(struct fx *f, unsigned r, int64_t *last)
{
	int pipefd[2], acks = 1 + (int)(r % 40), status;
	struct ack a;
	pid_t pid;

	assert_int_equal(pipe(pipefd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(pipefd[0]);
		victim(f->db.path, r, pipefd[1]);
	}
	close(pipefd[1]);
	for (int i = 0; i < acks; i++) {
		assert_int_equal(read(pipefd[0], &a, sizeof(a)), sizeof(a));
		last[a.n] = a.row;
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	/* what it still said before it died counts, too */
	while (read(pipefd[0], &a, sizeof(a)) == (ssize_t)sizeof(a))
		last[a.n] = a.row;
	close(pipefd[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void test_kill(void **state)
{
	struct fsp_meta_options o = fx_options();
	struct fx *f = *state;
	unsigned r = seed();
	int64_t last[5] = { 0 };

	print_message("seed %u\n", seed());
	fx_mkdirs(f, "a/t/r/d0");
	fx_mkdirs(f, "a/t/r/d1");
	fx_mkdirs(f, "a/t/q");
	fx_close(f);
	for (int round = 0; round < 12; round++) {
		kill_once(f, next(&r), last);
		fx_open(f, &o);
		fx_check(f);
		for (int i = 0; i < 5; i++) {
			struct fsp_entry e;
			char path[32];

			if (!last[i])
				continue;
			snprintf(path, sizeof(path), "a/t/r/f%d", i);
			e = fx_get(f, path);
			/* One more may have been done and not told. */
			assert_true(e.content.row >= last[i]);
			last[i] = e.content.row;
		}
		fx_walk(f, "");
		fx_close(f);
	}
	fx_open(f, &o);
}

#ifndef FX_MARIA

/* In a namespace of its own: the store on a file system of 400 kB. */
static int fill_up(struct fx *f)
{
	struct fsp_meta_options o = fx_options();
	char path[32], ballast[80];
	struct fsp_entry e;
	int n, fd, err = 0;

	if (unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", f->db.dir, "tmpfs", 0, "size=400k"))
		return 77;
	fx_open(f, &o);
	fx_mkdirs(f, "a/t/r");
	snprintf(ballast, sizeof(ballast), "%s/ballast", f->db.dir);
	fd = open(ballast, O_CREAT | O_WRONLY, 0600);
	if (fd < 0 || posix_fallocate(fd, 0, 100000) || close(fd))
		return 77;
	for (n = 0; !err && n < 100000; n++) {
		snprintf(path, sizeof(path), "a/t/r/f%d", n);
		err = fx_new(f, path, S_IFREG | 0600, &e);
	}
	if (err != -ENOSPC) {
		print_error("full: %d instead of ENOSPC\n", err);
		return 1;
	}
	/* Nothing of the last one is there, all the others are. */
	if (fx_look(f, path, &e) != -ENOENT || fx_walk(f, "") != n - 1 + 3)
		return 2;
	if (fsp_meta_check(f->m, &f->ctx, fx_complain, f) || f->broken)
		return 3;
	if (unlink(ballast) || fx_new(f, path, S_IFREG | 0600, &e))
		return 4;
	fx_close(f);
	return 0;
}

static void test_full(void **state)
{
	struct fx *f = *state;
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fill_up(f));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(test_hammer), FX_TEST(test_kill),
#ifndef FX_MARIA
		FX_DIR_TEST(test_full),
#endif
	};

	return cmocka_run_group_tests_name("meta under stress", tests, NULL,
	                                   NULL);
}
