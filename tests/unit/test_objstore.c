/*
 * The object store: one contract, asked of every backend under every
 * decorator, and the order in which the directory makes things durable.
 */
#include "objstore_contract.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsp_breaker.h"
#include "fsp_file.h"

/*
 * This program's own fsync() and friends stand in front of the C library's,
 * for libfsp, too: they record what is called on files and directories, and
 * fail where `sabotage` says.
 */
enum step { FILE_FSYNC, RENAME, DIR_FSYNC };

static enum step trace[64];
static int ntrace;
static bool tracing;
static int sabotage = -1;       /* a step */

#define REAL(type, name) ((type)dlsym(RTLD_NEXT, name))

static int step(enum step s)
{
	if (!tracing)
		return 0;
	if (ntrace < 64)
		trace[ntrace++] = s;
	if (sabotage != (int)s)
		return 0;
	errno = EIO;
	return -1;
}

static int sync_step(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return step(S_ISDIR(st.st_mode) ? DIR_FSYNC : FILE_FSYNC);
}

typedef int (*fd_fn)(int);
typedef int (*rename_fn)(const char *, const char *);
typedef int (*renameat_fn)(int, const char *, int, const char *);
typedef int (*renameat2_fn)(int, const char *, int, const char *, unsigned int);

int fsync(int fd)
{
	return sync_step(fd) ? -1 : REAL(fd_fn, "fsync")(fd);
}

int fdatasync(int fd)
{
	return sync_step(fd) ? -1 : REAL(fd_fn, "fdatasync")(fd);
}

int rename(const char *a, const char *b)
{
	return step(RENAME) ? -1 : REAL(rename_fn, "rename")(a, b);
}

int renameat(int d, const char *a, int e, const char *b)
{
	return step(RENAME) ? -1 : REAL(renameat_fn, "renameat")(d, a, e, b);
}

int renameat2(int d, const char *a, int e, const char *b, unsigned int flags)
{
	return step(RENAME) ? -1
	                    : REAL(renameat2_fn, "renameat2")(d, a, e, b, flags);
}

static void trace_start(int fail_step)
{
	ntrace = 0;
	sabotage = fail_step;
	tracing = true;
}

static void trace_stop(void)
{
	tracing = false;
	sabotage = -1;
}

enum stack { DIR_ONLY, COUNT_DIR, FAULT_DIR, COUNT_FAULT_DIR, BREAKER_DIR };

/* Files in the directory, temporary ones, too. */
static int count_files(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static int count_files_of(struct env *e)
{
	return count_files(e->dir);
}

static void wrap(struct env *e,
                 int (*how)(struct fsp_objstore *, struct fsp_objstore **))
{
	struct fsp_objstore *outer;

	assert_int_equal(how(e->s, &outer), 0);
	e->s = outer;
}

static int with_breaker(struct fsp_objstore *inner, struct fsp_objstore **out)
{
	struct fsp_breaker_options o = { .name = "objects", .down_after = 3 };

	return fsp_objstore_breaker(inner, &o, out);
}

static int setup(void **state, enum stack stack)
{
	struct env *e = calloc(1, sizeof(*e));
	const char *tmp = getenv("TMPDIR");

	assert_non_null(e);
	e->ctx = fsp_ctx_background();
	e->count_left = count_files_of;
	(void)snprintf(e->dir, sizeof(e->dir), "%s/fsp-obj-XXXXXX",
	               tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(e->dir));
	assert_int_equal(fsp_objstore_dir_open(e->dir, 0, 0, &e->s), 0);
	if (stack == FAULT_DIR || stack == COUNT_FAULT_DIR) {
		wrap(e, fsp_objstore_fault);
		e->fault = e->s;
	}
	if (stack == COUNT_DIR || stack == COUNT_FAULT_DIR)
		wrap(e, fsp_objstore_count);
	if (stack == BREAKER_DIR)
		wrap(e, with_breaker);
	*state = e;
	return 0;
}

static int setup_dir(void **state)
{
	return setup(state, DIR_ONLY);
}

static int setup_count(void **state)
{
	return setup(state, COUNT_DIR);
}

static int setup_fault(void **state)
{
	return setup(state, FAULT_DIR);
}

static int setup_count_fault(void **state)
{
	return setup(state, COUNT_FAULT_DIR);
}

static int setup_breaker(void **state)
{
	return setup(state, BREAKER_DIR);
}

static int teardown(void **state)
{
	struct env *e = *state;

	fsp_obj_close(e->s);
	assert_int_equal(fsp_rm_tree(e->dir), 0);
	free(e);
	return 0;
}

/* Everything the store can do, as far as it gets. */
static int scenario(struct env *e)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	struct listing l = { 0 };
	static const char *const key = "none";
	struct fsp_space sp;
	uint64_t size;
	int rc = put(e, "old", "new content", 11);

	if (!rc)
		rc = put(e, "b", "22", 2);
	if (!rc)
		rc = get(e, "b", &b);
	if (!rc)
		rc = get_range(e, "b", 0, 2, &b);
	if (!rc)
		rc = fsp_obj_head(e->s, &e->ctx, "b", &size);
	if (!rc)
		rc = fsp_obj_del(e->s, &e->ctx, "old");
	if (!rc)
		rc = fsp_obj_del_many(e->s, &e->ctx, &key, 1);
	if (!rc)
		rc = fsp_obj_list(e->s, &e->ctx, "", list_each, &l);
	if (!rc)
		rc = fsp_obj_space(e->s, &e->ctx, &sp);
	return rc;
}

/* Old or new or not there, whole in any case, and no litter. */
static void assert_nothing_half(struct env *e)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	int rc = get(e, "old", &b), files = rc == 0;

	if (rc)
		assert_int_equal(rc, -ENOENT);
	else
		assert_true(!strcmp(b.data, "before") ||
		            !strcmp(b.data, "new content"));
	rc = get(e, "b", &b);
	files += rc == 0;
	if (rc)
		assert_int_equal(rc, -ENOENT);
	else
		assert_string_equal(b.data, "22");
	assert_int_equal(count_files(e->dir), files);
}

static void test_every_fault(void **state)
{
	struct env *e = *state;
	uint64_t fired;
	int rc;

	for (uint64_t n = 1;; n++) {
		assert_int_equal(put(e, "old", "before", 6), 0);
		assert_int_equal(fsp_obj_del(e->s, &e->ctx, "b"), 0);
		fired = fsp_objstore_fault_fired(e->fault);
		fsp_objstore_fault_arm(e->fault, n, EHOSTDOWN);
		rc = scenario(e);
		fsp_objstore_fault_arm(e->fault, 0, 0);
		assert_nothing_half(e);
		if (!rc) {
			/* Past the last call: there were at least these. */
			assert_int_equal(fsp_objstore_fault_fired(e->fault),
			                 fired);
			assert_true(n > 11);
			return;
		}
		assert_int_equal(rc, -EHOSTDOWN);
		assert_int_equal(fsp_objstore_fault_fired(e->fault), fired + 1);
	}
}

/* The decorator's word: a commit that it fails was not made. */
static void test_failed_commit(void **state)
{
	struct env *e = *state;
	struct fsp_objwriter *w;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(fsp_obj_put_begin(e->s, &e->ctx, "aa", &w), 0);
		assert_int_equal(fsp_obj_put_write(w, "new", 3), 0);
		fsp_objstore_fault_arm(e->fault, 1, EIO);
		assert_int_equal(fsp_obj_put_commit(w), -EIO);
		if (i)
			assert_object(e, "aa", "old");
		else
			assert_missing(e, "aa");
		assert_int_equal(put(e, "aa", "old", 3), 0);
		assert_int_equal(count_files(e->dir), 1);
	}
}

static void test_counts(void **state)
{
	struct env *e = *state;
	struct fsp_obj_counts c;
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;

	fsp_objstore_counts(e->s, &c);
	assert_int_equal(c.put + c.get + c.head + c.del + c.list, 0);
	assert_int_equal(scenario(e), 0);
	assert_int_equal(get(e, "missing", &b), -ENOENT);
	/* What the key check refuses never reaches the store. */
	assert_int_equal(get(e, "a/b", &b), -EINVAL);
	fsp_objstore_counts(e->s, &c);
	assert_int_equal(c.put, 2);
	assert_int_equal(c.get, 3);
	assert_int_equal(c.head, 1);
	assert_int_equal(c.del, 2);
	assert_int_equal(c.list, 1);
	assert_true(c.down > 0);
}

/* From here on: the directory backend alone. */

static void write_raw(struct env *e, const char *name, const char *body)
{
	char path[300];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", e->dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fsp_write_all(fd, body, strlen(body)), 0);
	close(fd);
}

static void test_dir_torn_is_bytes(void **state)
{
	struct env *e = *state;

	write_raw(e, "torn", "half of wh");
	assert_object(e, "torn", "half of wh");
	write_raw(e, "torn", "");
	assert_object(e, "torn", "");
	assert_int_equal(put(e, "torn", "whole", 5), 0);
	assert_object(e, "torn", "whole");
}

static void test_dir_not_regular(void **state)
{
	struct env *e = *state;
	struct listing l = { 0 };
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	static const char *const names[] = { "sub", "link", "dangling",
		                             "fifo" };
	uint64_t size;
	char path[300];

	write_raw(e, "a", "1");
	(void)snprintf(path, sizeof(path), "%s/sub", e->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/link", e->dir);
	assert_int_equal(symlink("a", path), 0);
	(void)snprintf(path, sizeof(path), "%s/dangling", e->dir);
	assert_int_equal(symlink("/nonexistent", path), 0);
	(void)snprintf(path, sizeof(path), "%s/fifo", e->dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		assert_int_equal(get(e, names[i], &b), -EIO);
		assert_int_equal(fsp_obj_head(e->s, &e->ctx, names[i], &size),
		                 -EIO);
	}
	assert_int_equal(put(e, "sub", "x", 1), -EIO);
	assert_int_equal(fsp_obj_del(e->s, &e->ctx, "sub"), -EIO);
	write_raw(e, ".hidden", "x");
	write_raw(e, "no key", "x");
	assert_int_equal(fsp_obj_list(e->s, &e->ctx, "", list_each, &l), 0);
	assert_int_equal(l.n, 1);
}

static void test_dir_read_only(void **state)
{
	struct env *e = *state;
	struct fsp_objstore *ro;
	struct fsp_objwriter *w;
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;

	assert_int_equal(put(e, "aa", "one", 3), 0);
	write_raw(e, ".tmp-dead", "x");
	assert_int_equal(fsp_objstore_dir_open(e->dir, 1, 1, &ro), 0);
	assert_int_equal(fsp_obj_put_begin(ro, &e->ctx, "bb", &w), -EROFS);
	assert_int_equal(fsp_obj_del(ro, &e->ctx, "aa"), -EROFS);
	assert_int_equal(fsp_obj_get(ro, &e->ctx, "aa", buf_sink, &b), 0);
	assert_string_equal(b.data, "one");
	fsp_obj_close(ro);
	assert_int_equal(count_files(e->dir), 2);
}

static void test_dir_open(void **state)
{
	struct env *e = *state;
	struct fsp_objstore *s;
	struct stat st;
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/x/y", e->dir);
	assert_int_equal(fsp_objstore_dir_open(path, 0, 0, &s), -ENOENT);
	assert_int_equal(fsp_objstore_dir_open(path, 1, 1, &s), -ENOENT);
	assert_int_equal(fsp_objstore_dir_open(path, 1, 0, &s), 0);
	fsp_obj_close(s);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	write_raw(e, "file", "x");
	(void)snprintf(path, sizeof(path), "%s/file", e->dir);
	assert_int_equal(fsp_objstore_dir_open(path, 0, 0, &s), -ENOTDIR);
	fsp_obj_close(NULL);
}

/* What a writer that was killed left behind goes when it is old. */
static void test_dir_sweep(void **state)
{
	struct env *e = *state;
	struct timespec old[2] = { { 1, 0 }, { 1, 0 } };
	struct fsp_objstore *s;
	char path[300];

	write_raw(e, ".tmp-old", "x");
	(void)snprintf(path, sizeof(path), "%s/.tmp-old", e->dir);
	assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
	write_raw(e, ".tmp-young", "x");
	assert_int_equal(fsp_objstore_dir_open(e->dir, 0, 0, &s), 0);
	fsp_obj_close(s);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(count_files(e->dir), 1);
}

/* PHP must be able to read what we write into its directory. */
static void test_dir_modes(void **state)
{
	struct env *e = *state;
	mode_t mask = umask(0);
	struct stat st;
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/aa", e->dir);
	assert_int_equal(put(e, "aa", "x", 1), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(chmod(e->dir, 0755), 0);
	assert_int_equal(put(e, "aa", "x", 1), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	umask(mask);
}

/* A store that vanished is not an empty store. */
static void test_dir_gone(void **state)
{
	struct env *e = *state;
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	uint64_t size;

	assert_int_equal(rmdir(e->dir), 0);
	assert_int_equal(get(e, "aa", &b), -EHOSTDOWN);
	assert_int_equal(fsp_obj_head(e->s, &e->ctx, "aa", &size), -EHOSTDOWN);
	assert_int_equal(put(e, "aa", "x", 1), -EHOSTDOWN);
	assert_int_equal(mkdir(e->dir, 0700), 0);
}

static void test_dir_fsync_order(void **state)
{
	struct env *e = *state;
	struct fsp_objwriter *w;
	int rc;

	assert_int_equal(fsp_obj_put_begin(e->s, &e->ctx, "aa", &w), 0);
	assert_int_equal(fsp_obj_put_write(w, "x", 1), 0);
	trace_start(-1);
	rc = fsp_obj_put_commit(w);
	trace_stop();
	assert_int_equal(rc, 0);
	assert_int_equal(ntrace, 3);
	assert_int_equal(trace[0], FILE_FSYNC);
	assert_int_equal(trace[1], RENAME);
	assert_int_equal(trace[2], DIR_FSYNC);
}

static void commit_failing_at(struct env *e, int fail, const char *key)
{
	struct fsp_objwriter *w;
	int rc;

	assert_int_equal(fsp_obj_put_begin(e->s, &e->ctx, key, &w), 0);
	assert_int_equal(fsp_obj_put_write(w, "new", 3), 0);
	trace_start(fail);
	rc = fsp_obj_put_commit(w);
	trace_stop();
	assert_int_equal(rc, -EIO);
	assert_int_equal(trace[ntrace - 1], fail);
}

static void test_dir_commit_fails(void **state)
{
	struct env *e = *state;

	for (int fail = FILE_FSYNC; fail <= RENAME; fail++) {
		assert_int_equal(put(e, "aa", "old", 3), 0);
		commit_failing_at(e, fail, "aa");
		assert_object(e, "aa", "old");
		commit_failing_at(e, fail, "bb");
		assert_missing(e, "bb");
		assert_int_equal(count_files(e->dir), 1);
	}
	/* The name is there already, only not for sure: whole, at least. */
	commit_failing_at(e, DIR_FSYNC, "aa");
	assert_object(e, "aa", "new");
	assert_int_equal(count_files(e->dir), 1);
}

#define DIR_TEST(name)                                                         \
	cmocka_unit_test_setup_teardown(name, setup_dir, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONTRACT(setup_dir),
		CONTRACT(setup_count),
		CONTRACT(setup_fault),
		CONTRACT(setup_count_fault),
		CONTRACT(setup_breaker),
		cmocka_unit_test_setup_teardown(test_every_fault, setup_fault,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_every_fault,
		                                setup_count_fault, teardown),
		cmocka_unit_test_setup_teardown(test_failed_commit, setup_fault,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_counts, setup_count,
		                                teardown),
		DIR_TEST(test_dir_torn_is_bytes),
		DIR_TEST(test_dir_not_regular),
		DIR_TEST(test_dir_read_only),
		DIR_TEST(test_dir_open),
		DIR_TEST(test_dir_sweep),
		DIR_TEST(test_dir_modes),
		DIR_TEST(test_dir_gone),
		DIR_TEST(test_dir_fsync_order),
		DIR_TEST(test_dir_commit_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
