/* The base: clock, context, locks, log, buffers, files. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fsp_buf.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_file.h"
#include "fsp_lock.h"
#include "fsp_log.h"
#include "fsp_secret.h"
#include "fsp_spare.h"

/*
 * These stand in for the C library's in this program, so that short writes,
 * interruptions and failing fsyncs can be had.
 */
static size_t max_write = SIZE_MAX;
static int interruptions;
static int fsyncs, fail_fsync;          /* the Nth fails; 0 = none */

ssize_t write(int fd, const void *buf, size_t len)
{
	if (interruptions > 0) {
		interruptions--;
		errno = EINTR;
		return -1;
	}
	return syscall(SYS_write, fd, buf, len < max_write ? len : max_write);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t off)
{
	if (interruptions > 0) {
		interruptions--;
		errno = EINTR;
		return -1;
	}
	return syscall(SYS_pwrite64, fd, buf, len < max_write ? len : max_write,
	               off);
}

int fsync(int fd)
{
	if (++fsyncs == fail_fsync) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fsync, fd);
}

static char dir[64];
static int dirfd_;

static int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/fsp-base-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY);
	fsyncs = fail_fsync = interruptions = 0;
	max_write = SIZE_MAX;
	return dirfd_ < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	fsp_clock_set(NULL);
	fail_fsync = 0;
	close(dirfd_);
	return fsp_rm_tree(dir);
}

static int count_entries(void)
{
	DIR *d = opendir(dir);
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;           /* . and .. */
}

static void assert_content(const char *name, const char *want)
{
	struct fsp_buf b = FSP_BUF_INIT;
	char *path = fsp_strf("%s/%s", dir, name);

	assert_int_equal(fsp_read_file(path, &b, 1000), 0);
	assert_string_equal(b.data, want);
	fsp_buf_free(&b);
	free(path);
}

/* clock and context */

static int64_t fake_ns;

static int64_t fake_clock(void)
{
	return fake_ns;
}

static void test_clock(void **state)
{
	(void)state;
	fsp_clock_set(fake_clock);
	fake_ns = 1234567;
	assert_int_equal(fsp_now_ns(), 1234567);
	assert_int_equal(fsp_now_us(), 1234);
	fake_ns = -1;
	assert_int_equal(fsp_now_us(), -1);
	fsp_clock_set(NULL);
	assert_true(fsp_now_ns() > 1500000000LL * FSP_NS_PER_SEC);
	assert_true(fsp_mono_ns() <= fsp_mono_ns());

	assert_int_equal(fsp_ns_to_sec(0), 0);
	assert_int_equal(fsp_ns_to_sec(FSP_NS_PER_SEC - 1), 0);
	assert_int_equal(fsp_ns_to_sec(FSP_NS_PER_SEC), 1);
	assert_int_equal(fsp_ns_to_sec(-1), -1);
	assert_int_equal(fsp_ns_to_sec(-FSP_NS_PER_SEC / 2), -1);
	assert_int_equal(fsp_ns_to_sec(-FSP_NS_PER_SEC), -1);
	assert_int_equal(fsp_ns_to_sec(-FSP_NS_PER_SEC - 1), -2);
}

static void test_ctx(void **state)
{
	struct fsp_ctx ctx = fsp_ctx_background();
	atomic_bool cancelled = false;

	(void)state;
	assert_int_equal(ctx.uid, geteuid());
	assert_int_equal(fsp_ctx_left_ns(&ctx), INT64_MAX);
	assert_int_equal(fsp_ctx_check(&ctx), 0);

	ctx.deadline_ns = fsp_mono_ns() + 3600 * FSP_NS_PER_SEC;
	assert_int_equal(fsp_ctx_check(&ctx), 0);
	assert_true(fsp_ctx_left_ns(&ctx) <= 3600 * FSP_NS_PER_SEC);
	ctx.deadline_ns = fsp_mono_ns();
	assert_int_equal(fsp_ctx_check(&ctx), -ETIMEDOUT);
	assert_true(fsp_ctx_left_ns(&ctx) <= 0);

	ctx.cancelled = &cancelled;
	assert_int_equal(fsp_ctx_check(&ctx), -ETIMEDOUT);
	atomic_store(&cancelled, true);
	assert_int_equal(fsp_ctx_check(&ctx), -EINTR);
}

/* locks */

/* Runs f in a child; true when it aborted, false when it returned. */
static bool aborts(void (*f)(void))
{
	const struct rlimit none = { 0, 0 };
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		signal(SIGABRT, SIG_DFL);
		dup2(null, STDERR_FILENO);
		setrlimit(RLIMIT_CORE, &none);
		f();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		assert_int_equal(WTERMSIG(status), SIGABRT);
		return true;
	}
	assert_int_equal(WEXITSTATUS(status), 0);
	return false;
}

static struct fsp_mutex mutex;
static struct fsp_cond cond;
static bool flag;

static void unlock_free(void)
{
	fsp_unlock(&mutex);
}

static void assert_free(void)
{
	fsp_assert_held(&mutex);
}

static void lock_twice(void)
{
	fsp_lock(&mutex);
	fsp_lock(&mutex);
}

static void none_while_held(void)
{
	fsp_lock(&mutex);
	fsp_lock_assert_none();
}

static void none_after_unlock(void)
{
	fsp_lock(&mutex);
	fsp_unlock(&mutex);
	fsp_lock_assert_none();
}

static void wait_without_lock(void)
{
	fsp_cond_wait(&cond, &mutex, 1);
}

static void *locker(void *arg)
{
	(void)arg;
	fsp_lock(&mutex);
	return NULL;
}

static void held_by_other(void)
{
	pthread_t t;

	pthread_create(&t, NULL, locker, NULL);
	pthread_join(t, NULL);
	fsp_assert_held(&mutex);
}

static void test_lock_owner(void **state)
{
	(void)state;
	fsp_mutex_init(&mutex);
	fsp_cond_init(&cond);
	assert_true(aborts(unlock_free));
	assert_true(aborts(assert_free));
	assert_true(aborts(lock_twice));
	assert_true(aborts(wait_without_lock));
	assert_true(aborts(held_by_other));
	assert_false(aborts(none_after_unlock));
#ifdef FSP_DEBUG
	assert_true(aborts(none_while_held));
#else
	assert_false(aborts(none_while_held));
#endif
	{
		FSP_GUARD(&mutex);
		fsp_assert_held(&mutex);
	}
	assert_int_equal(mutex.owner, 0);
	fsp_cond_destroy(&cond);
	fsp_mutex_destroy(&mutex);
}

static void test_cond_timeout(void **state)
{
	static const int64_t past[] = { 1, -5 };

	(void)state;
	fsp_mutex_init(&mutex);
	fsp_cond_init(&cond);
	fsp_lock(&mutex);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(fsp_cond_wait(&cond, &mutex, past[i]),
		                 -ETIMEDOUT);
		fsp_assert_held(&mutex);
	}
	assert_int_equal(fsp_cond_wait(&cond, &mutex, fsp_mono_ns()),
	                 -ETIMEDOUT);
	fsp_unlock(&mutex);
	fsp_lock_assert_none();
	fsp_cond_destroy(&cond);
	fsp_mutex_destroy(&mutex);
}

static void *raise_flag(void *arg)
{
	(void)arg;
	fsp_lock(&mutex);
	flag = true;
	fsp_cond_broadcast(&cond);
	fsp_unlock(&mutex);
	return NULL;
}

static void test_cond_signal(void **state)
{
	int64_t later = fsp_mono_ns() + 600 * FSP_NS_PER_SEC;
	int64_t deadlines[] = { 0, later };
	pthread_t t;

	(void)state;
	fsp_mutex_init(&mutex);
	fsp_cond_init(&cond);
	for (size_t i = 0; i < 2; i++) {
		flag = false;
		fsp_lock(&mutex);
		assert_int_equal(pthread_create(&t, NULL, raise_flag, NULL), 0);
		while (!flag)
			assert_int_equal(fsp_cond_wait(&cond, &mutex,
			                               deadlines[i]), 0);
		fsp_unlock(&mutex);
		pthread_join(t, NULL);
	}
	fsp_cond_destroy(&cond);
	fsp_mutex_destroy(&mutex);
}

/* log */

static void test_log(void **state)
{
	static const char want[] =
		"me: info: a\\x0ab\\x1b[m\\x7f No such file or directory "
		"\xc3\xa9\nme: debug: shown 7\nme: error: xxxx";
	char *path = fsp_strf("%s/log", dir), *big = calloc(1, 5000);
	struct fsp_buf b = FSP_BUF_INIT;
	int saved = dup(STDERR_FILENO);
	int fd = open(path, O_RDWR | O_CREAT | O_APPEND, 0600);

	(void)state;
	memset(big, 'x', 4999);
	dup2(fd, STDERR_FILENO);
	fsp_log_init("me", FSP_LOG_STDERR, FSP_LOG_INFO);
	fsp_debug("hidden");
	errno = ENOENT;
	fsp_info("a\nb\x1b[m\x7f %m \xc3\xa9");
	assert_int_equal(errno, ENOENT);
	fsp_log_init("me", FSP_LOG_STDERR, FSP_LOG_DEBUG);
	fsp_debug("shown %d", 7);
	fsp_error("%s", big);
	dup2(saved, STDERR_FILENO);

	assert_int_equal(fsp_read_file(path, &b, 100000), 0);
	assert_true(b.len > strlen(want));
	assert_memory_equal(b.data, want, strlen(want));
	assert_string_equal(b.data + b.len - 5, "x...\n");
	assert_true(b.len < 3000);
	fsp_buf_free(&b);
	free(path);
	free(big);
	close(fd);
	close(saved);
}

/* buffers and bytes */

static void test_buf(void **state)
{
	struct fsp_buf b = FSP_BUF_INIT;
	char *s;

	(void)state;
	assert_int_equal(fsp_buf_add(&b, NULL, 0), 0);
	assert_string_equal(b.data, "");
	for (int i = 0; i < 1000; i++)
		assert_int_equal(fsp_buf_printf(&b, "%d,", i % 10), 0);
	assert_int_equal(b.len, 2000);
	assert_int_equal(b.data[2000], 0);
	assert_memory_equal(b.data, "0,1,2,", 6);
	assert_int_equal(fsp_buf_reserve(&b, SIZE_MAX - 10), -ENOMEM);
	assert_int_equal(b.len, 2000);
	fsp_buf_reset(&b);
	assert_int_equal(fsp_buf_adds(&b, "ab"), 0);
	assert_int_equal(fsp_buf_addc(&b, 'c'), 0);
	s = fsp_buf_steal(&b);
	assert_string_equal(s, "abc");
	assert_null(b.data);
	free(s);
	s = fsp_buf_steal(&b);
	assert_string_equal(s, "");
	free(s);
	fsp_buf_free(&b);
	s = fsp_strf("%s-%d", "x", 5);
	assert_string_equal(s, "x-5");
	free(s);
}

static void test_hex(void **state)
{
	static const uint8_t bytes[] = { 0x00, 0x9f, 0xAB, 0xff };
	uint8_t back[4];
	char hex[9];

	(void)state;
	fsp_hex(hex, bytes, 4);
	assert_string_equal(hex, "009fabff");
	assert_int_equal(fsp_unhex(back, 4, "009FaBff"), 0);
	assert_memory_equal(back, bytes, 4);
	assert_int_equal(fsp_unhex(back, 4, "009fabf"), -EINVAL);
	assert_int_equal(fsp_unhex(back, 4, "009fabff0"), -EINVAL);
	assert_int_equal(fsp_unhex(back, 4, "009fabfg"), -EINVAL);
	assert_int_equal(fsp_unhex(back, 4, "009fab f"), -EINVAL);
	assert_int_equal(fsp_unhex(back, 4, ""), -EINVAL);
	assert_int_equal(fsp_unhex(back, 0, ""), 0);
}

static void test_human(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *want;
	} cases[] = {
		{ 0, "0 B" },
		{ 1023, "1023 B" },
		{ 1024, "1.0 KiB" },
		{ 1024 * 1024 - 1, "1.0 MiB" },
		{ 12897484, "12.3 MiB" },
		{ UINT64_MAX, "16.0 EiB" },
	};
	char out[16];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_string_equal(fsp_human(out, sizeof(out), cases[i].bytes),
		                    cases[i].want);
}

static void test_json(void **state)
{
	static const struct {
		const char *in, *want;
	} cases[] = {
		{ "", "\"\"" },
		{ "a\"b\\c/", "\"a\\\"b\\\\c/\"" },
		{ "\n\x01\x7f", "\"\\u000a\\u0001\\u007f\"" },
		{ "na\xc3\xafve \xe2\x82\xac \xf0\x9f\x98\x80",
		  "\"na\xc3\xafve \xe2\x82\xac \xf0\x9f\x98\x80\"" },
		{ "\xff\xc3", "\"\\u00ff\\u00c3\"" },
		{ "\xc0\xaf", "\"\\u00c0\\u00af\"" },               /* overlong */
		{ "\xe0\x80\xaf", "\"\\u00e0\\u0080\\u00af\"" },
		{ "\xed\xa0\x80", "\"\\u00ed\\u00a0\\u0080\"" },    /* surrogate */
		{ "\xf4\x90\x80\x80", "\"\\u00f4\\u0090\\u0080\\u0080\"" },
		{ "\xe2\x82", "\"\\u00e2\\u0082\"" },               /* cut off */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct fsp_buf b = FSP_BUF_INIT;

		assert_int_equal(fsp_buf_json(&b, cases[i].in), 0);
		assert_string_equal(b.data, cases[i].want);
		fsp_buf_free(&b);
	}
}

static void test_grow(void **state)
{
	uint64_t *v = NULL, *more;
	size_t cap = 0, before;

	(void)state;
	for (size_t n = 0; n < 1000; n++) {
		before = cap;
		more = fsp_grow(v, n, &cap, sizeof(*v));
		assert_non_null(more);
		assert_true(cap > n);
		assert_true(n == before || (more == v && cap == before));
		v = more;
		v[n] = n;
	}
	for (size_t n = 0; n < 1000; n++)
		assert_int_equal(v[n], n);
	/* No memory has so much: nothing changes. */
	before = cap;
	assert_null(fsp_grow(v, cap, &cap, SIZE_MAX / cap));
	assert_int_equal(cap, before);
	assert_int_equal(v[999], 999);
	free(v);
}

static void test_lower_bound(void **state)
{
	struct { char other; uint64_t key; } v[9];
	size_t at = offsetof(__typeof__(v[0]), key);

	(void)state;
	for (size_t n = 0; n <= 9; n++) {
		/* 10, 10, 20, 20, ... */
		for (size_t i = 0; i < n; i++)
			v[i].key = (i / 2 + 1) * 10;
		for (uint64_t key = 0; key < 60; key++) {
			size_t want = 0;

			while (want < n && v[want].key < key)
				want++;
			assert_int_equal(fsp_lower_bound(v, n, sizeof(v[0]),
			                                 at, key), want);
		}
	}
	assert_int_equal(fsp_lower_bound(NULL, 0, 8, 0, 1), 0);
}

static void test_bytes(void **state)
{
	uint8_t a[64] = { 0 }, b[64] = { 0 };

	(void)state;
	/* The published FNV-1a values. */
	assert_true(fsp_hash64("", 0, 0) == 0xcbf29ce484222325ULL);
	assert_true(fsp_hash64("a", 1, 0) == 0xaf63dc4c8601ec8cULL);
	assert_true(fsp_hash64("foobar", 6, 0) == 0x85944171f73967e8ULL);
	assert_true(fsp_hash64("a", 1, 1) != fsp_hash64("a", 1, 2));
	assert_true(fsp_hash64_more(fsp_hash64("foo", 3, 0), "bar", 3) ==
	            0x85944171f73967e8ULL);
	fsp_random(a, sizeof(a));
	fsp_random(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	fsp_wipe(a, sizeof(a));
	memset(b, 0, sizeof(b));
	assert_memory_equal(a, b, sizeof(a));
	fsp_wipe(NULL, 0);
}

/* files */

static void test_short_writes(void **state)
{
	int fd = openat(dirfd_, "f", O_RDWR | O_CREAT, 0600);
	char back[32] = { 0 };

	(void)state;
	max_write = 3;
	interruptions = 2;
	assert_int_equal(fsp_write_all(fd, "0123456789", 10), 0);
	interruptions = 1;
	assert_int_equal(fsp_pwrite_all(fd, "abcdefgh", 8, 6), 0);
	max_write = SIZE_MAX;
	assert_int_equal(fsp_pread_full(fd, back, 20, 0), 14);
	assert_string_equal(back, "012345abcdefgh");
	assert_int_equal(fsp_pread_full(fd, back, 4, 12), 2);
	assert_int_equal(fsp_pread_full(fd, back, 4, 14), 0);
	close(fd);
	assert_int_equal(fsp_write_all(-1, "x", 1), -EBADF);
	assert_int_equal(fsp_pwrite_all(-1, "x", 1, 0), -EBADF);
	assert_int_equal(fsp_pread_full(-1, back, 1, 0), -EBADF);
	max_write = 0;
	fd = openat(dirfd_, "f", O_RDWR);
	assert_int_equal(fsp_write_all(fd, "x", 1), -EIO);
	close(fd);
}

static void test_read_file(void **state)
{
	char *path = fsp_strf("%s/f", dir);
	struct fsp_buf b = FSP_BUF_INIT;
	int fd = openat(dirfd_, "f", O_RDWR | O_CREAT, 0600);

	(void)state;
	assert_int_equal(fsp_write_all(fd, "0123456789", 10), 0);
	assert_int_equal(fsp_buf_adds(&b, "old"), 0);
	assert_int_equal(fsp_read_file(path, &b, 10), 0);
	assert_string_equal(b.data, "0123456789");
	assert_int_equal(fsp_read_file(path, &b, 9), -EFBIG);
	assert_int_equal(b.len, 0);
	assert_int_equal(fsp_read_file(dir, &b, 9000), -EISDIR);
	assert_int_equal(fsp_read_file("/nonexistent/f", &b, 9), -ENOENT);
	/* One that tells no size. */
	assert_int_equal(fsp_read_file("/proc/self/stat", &b, 9), -EFBIG);
	assert_int_equal(fsp_read_file("/proc/self/stat", &b, 9000), 0);
	assert_true(b.len > 9);
	fsp_buf_free(&b);
	free(path);
	close(fd);
}

static void test_mkdirs(void **state)
{
	char *path = fsp_strf("%s/a/b//c/", dir), *f = fsp_strf("%s/f", dir);
	char *below = fsp_strf("%s/f/x", dir), *one = fsp_strf("%s/a", dir);
	struct stat st;

	(void)state;
	assert_int_equal(fsp_mkdirs(path, 0700), 0);
	assert_int_equal(fsyncs, 3);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(fsp_mkdirs(path, 0700), 0);
	assert_int_equal(fsyncs, 3);
	close(openat(dirfd_, "f", O_RDWR | O_CREAT, 0600));
	assert_int_equal(fsp_mkdirs(f, 0700), -ENOTDIR);
	assert_int_equal(fsp_mkdirs(below, 0700), -ENOTDIR);
	assert_int_equal(fsp_mkdirs("", 0700), -ENOENT);
	assert_int_equal(fsp_mkdirs("/", 0700), 0);
	assert_int_equal(fsp_rm_tree(one), 0);
	fsyncs = 0;
	fail_fsync = 2;
	assert_int_equal(fsp_mkdirs(path, 0700), -EIO);
	free(path);
	free(f);
	free(below);
	free(one);
}

static void test_rm_tree(void **state)
{
	char *deep = fsp_strf("%s/t/a/b", dir), *t = fsp_strf("%s/t", dir);
	char *link = fsp_strf("%s/l", dir);

	(void)state;
	assert_int_equal(fsp_mkdirs(deep, 0700), 0);
	close(openat(dirfd_, "keep", O_RDWR | O_CREAT, 0600));
	for (int i = 0; i < 500; i++) {
		char name[32];

		snprintf(name, sizeof(name), "t/a/%d", i);
		close(openat(dirfd_, name, O_RDWR | O_CREAT, 0600));
	}
	assert_int_equal(symlinkat("..", dirfd_, "t/a/up"), 0);
	assert_int_equal(symlinkat("../keep", dirfd_, "t/k"), 0);
	assert_int_equal(symlinkat("t", dirfd_, "l"), 0);
	assert_int_equal(fsp_rm_tree(link), -ENOTDIR);
	assert_int_equal(fsp_rm_tree(t), 0);
	assert_int_equal(fsp_rm_tree(t), -ENOENT);
	assert_int_equal(faccessat(dirfd_, "keep", F_OK, 0), 0);
	free(deep);
	free(t);
	free(link);
}

static void test_atomic_commit(void **state)
{
	struct fsp_atomic *a;
	struct stat st;

	(void)state;
	assert_int_equal(fsp_atomic_begin(dirfd_, 0600, &a), 0);
	assert_int_equal(fsp_atomic_write(a, "one", 3), 0);
	assert_int_equal(fsp_pwrite_all(fsp_atomic_fd(a), "O", 1, 0), 0);
	assert_int_equal(faccessat(dirfd_, "f", F_OK, 0), -1);
	assert_int_equal(fsp_atomic_commit(a, "f"), 0);
	assert_int_equal(fsyncs, 2);
	assert_content("f", "One");
	assert_int_equal(fstatat(dirfd_, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);

	assert_int_equal(fsp_atomic_begin(dirfd_, 0600, &a), 0);
	assert_int_equal(fsp_atomic_write(a, "two", 3), 0);
	assert_int_equal(fsp_atomic_commit(a, "f"), 0);
	assert_content("f", "two");

	assert_int_equal(fsp_atomic_begin(dirfd_, 0600, &a), 0);
	assert_int_equal(fsp_atomic_write(a, "3", 1), 0);
	assert_int_equal(fsp_atomic_commit_new(a, "f"), -EEXIST);
	assert_content("f", "two");
	assert_int_equal(fsp_atomic_begin(dirfd_, 0600, &a), 0);
	assert_int_equal(fsp_atomic_write(a, "3", 1), 0);
	assert_int_equal(fsp_atomic_commit_new(a, "g"), 0);
	assert_content("g", "3");
	assert_int_equal(count_entries(), 2);
}

static void test_atomic_abort(void **state)
{
	struct fsp_atomic *a, *b;

	(void)state;
	assert_int_equal(fsp_atomic_begin(dirfd_, 0600, &a), 0);
	assert_int_equal(fsp_atomic_begin(dirfd_, 0600, &b), 0);
	assert_int_equal(count_entries(), 2);
	fsp_atomic_abort(a);
	fsp_atomic_abort(b);
	fsp_atomic_abort(NULL);
	assert_int_equal(count_entries(), 0);
	assert_int_equal(fsp_atomic_begin(-1, 0600, &a), -EBADF);
	assert_null(a);
}

static void test_atomic_failures(void **state)
{
	struct fsp_atomic *a;
	int full = open("/dev/full", O_WRONLY);

	(void)state;
	/* A failed write is the commit's result, too. */
	assert_int_equal(fsp_atomic_begin(dirfd_, 0600, &a), 0);
	dup2(full, fsp_atomic_fd(a));
	assert_int_equal(fsp_atomic_write(a, "x", 1), -ENOSPC);
	assert_int_equal(fsp_atomic_write(a, "", 0), -ENOSPC);
	assert_int_equal(fsp_atomic_commit(a, "f"), -ENOSPC);
	assert_int_equal(fsyncs, 0);
	assert_int_equal(count_entries(), 0);
	close(full);

	/* A failed fsync of the file: the name is not there. */
	fail_fsync = 1;
	assert_int_equal(fsp_atomic_begin(dirfd_, 0600, &a), 0);
	assert_int_equal(fsp_atomic_commit(a, "f"), -EIO);
	assert_int_equal(count_entries(), 0);

	/* A failed fsync of the directory is reported. */
	fsyncs = 0;
	fail_fsync = 2;
	assert_int_equal(fsp_atomic_begin(dirfd_, 0600, &a), 0);
	assert_int_equal(fsp_atomic_commit(a, "f"), -EIO);

	/* A name that cannot be. */
	assert_int_equal(fsp_atomic_begin(dirfd_, 0600, &a), 0);
	assert_int_equal(fsp_atomic_commit(a, "no/such"), -ENOENT);
	assert_int_equal(count_entries(), 1);
}

static void leave_temp(void)
{
	struct fsp_atomic *a;

	_exit(fsp_atomic_begin(dirfd_, 0600, &a) ? 1 : 0);
}

static int64_t after_two_days(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (ts.tv_sec + 2 * 86400) * FSP_NS_PER_SEC;
}

static void test_atomic_sweep(void **state)
{
	static const char other[] = ".tmp-0123456789abcdef-1-0-1";
	struct fsp_atomic *a;

	(void)state;
	assert_int_equal(fsp_atomic_begin(dirfd_, 0600, &a), 0);
	assert_false(aborts(leave_temp));
	close(openat(dirfd_, other, O_RDWR | O_CREAT, 0600));
	close(openat(dirfd_, ".tmp-", O_RDWR | O_CREAT, 0600));
	close(openat(dirfd_, "tmp-x", O_RDWR | O_CREAT, 0600));
	assert_int_equal(mkdirat(dirfd_, ".tmp-dir", 0700), 0);
	assert_int_equal(count_entries(), 6);

	/* Only the dead process's goes while it is young. */
	assert_int_equal(fsp_atomic_sweep(dirfd_), 0);
	assert_int_equal(count_entries(), 5);
	assert_int_equal(fsp_atomic_commit(a, "f"), 0);

	fsp_clock_set(after_two_days);
	assert_int_equal(fsp_atomic_sweep(dirfd_), 0);
	assert_int_equal(faccessat(dirfd_, other, F_OK, 0), -1);
	assert_int_equal(faccessat(dirfd_, ".tmp-", F_OK, 0), -1);
	assert_int_equal(faccessat(dirfd_, "tmp-x", F_OK, 0), 0);
	assert_int_equal(faccessat(dirfd_, ".tmp-dir", F_OK, 0), 0);
	assert_int_equal(faccessat(dirfd_, "f", F_OK, 0), 0);
	assert_int_equal(fsp_atomic_sweep(-1), -EBADF);
}

/* The VmFlags of the mapping that holds an address. */
static void vm_flags(const void *p, char *out, size_t size)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long lo, hi;
	bool mine = false;
	char line[512];

	assert_non_null(f);
	out[0] = '\0';
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &lo, &hi) == 2)
			mine = (uintptr_t)p >= lo && (uintptr_t)p < hi;
		else if (mine && strncmp(line, "VmFlags:", 8) == 0)
			snprintf(out, size, "%.250s", line + 8);
	}
	fclose(f);
}

static void test_secret(void **state)
{
	char *s = fsp_secret_strdup("hush"), *big = fsp_secret_alloc(70000);
	char flags[256];

	(void)state;
	assert_non_null(s);
	assert_string_equal(s, "hush");
	vm_flags(s, flags, sizeof(flags));
	assert_non_null(strstr(flags, " dd"));
	assert_non_null(big);
	assert_int_equal(big[0] | big[69999], 0);
	memset(big, 1, 70000);
	vm_flags(big + 69999, flags, sizeof(flags));
	assert_non_null(strstr(flags, " dd"));
	vm_flags(&state, flags, sizeof(flags));
	assert_null(strstr(flags, " dd"));
	assert_null(fsp_secret_alloc(SIZE_MAX));
	fsp_secret_free(s);
	fsp_secret_free(big);
	fsp_secret_free(NULL);
}

static unsigned spares_freed;

static void free_spare(void *item)
{
	(void)item;
	spares_freed++;
}

/* What one leaves is the next one's while others are there, and no longer. */
static void test_spare(void **state)
{
	static struct fsp_spares s = FSP_SPARES_INIT(free_spare);
	int item[FSP_SPARES + 2];

	(void)state;
	assert_null(fsp_spare_begin(&s));
	assert_null(fsp_spare_begin(&s));
	fsp_spare_end(&s, &item[0]);
	assert_int_equal(spares_freed, 0);
	assert_ptr_equal(fsp_spare_begin(&s), &item[0]);
	fsp_spare_end(&s, NULL);
	fsp_spare_end(&s, &item[0]);
	assert_int_equal(spares_freed, 1);

	for (int i = 0; i < FSP_SPARES + 2; i++)
		assert_null(fsp_spare_begin(&s));
	for (int i = 0; i < FSP_SPARES + 1; i++)
		fsp_spare_end(&s, &item[i]);
	assert_int_equal(spares_freed, 2);      /* one was too many */
	fsp_spare_end(&s, NULL);
	assert_int_equal(spares_freed, 2 + FSP_SPARES);
	assert_null(fsp_spare_begin(&s));
	fsp_spare_end(&s, NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secret),
		cmocka_unit_test(test_spare),
		TEST(test_clock),         TEST(test_ctx),
		TEST(test_lock_owner),    TEST(test_cond_timeout),
		TEST(test_cond_signal),   TEST(test_log),
		TEST(test_buf),           TEST(test_hex),
		TEST(test_human),         TEST(test_json),
		TEST(test_grow), TEST(test_lower_bound),
		TEST(test_bytes),         TEST(test_short_writes),
		TEST(test_read_file),     TEST(test_mkdirs),
		TEST(test_rm_tree),       TEST(test_atomic_commit),
		TEST(test_atomic_abort),  TEST(test_atomic_failures),
		TEST(test_atomic_sweep),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
