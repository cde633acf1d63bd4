/*
 * The S3 backend on a real gateway: the contract, and what only a server shows.
 * SERVERS rgw
 */
#include "objstore_contract.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "../../src/objstore/s3.h"
#include "fsp_breaker.h"

#define PART (5 * 1024 * 1024)

static const char *must_getenv(const char *name)
{
	const char *v = getenv(name);

	if (!v) {
		(void)printf("needs a server: %s is not set\n", name);
		exit(77);
	}
	return v;
}

static char bucket[64];
static struct fsp_objstore *bare;       /* of the test, without decorators */

static struct fsp_s3_options options(const char *prefix)
{
	return (struct fsp_s3_options){
		.endpoint = must_getenv("FSP_TEST_S3_ENDPOINT"),
		.region = must_getenv("FSP_TEST_S3_REGION"),
		.bucket = bucket,
		.prefix = prefix,
		.tls_verify = true,
		.part_size = PART,
		.multipart_threshold = PART,
		.parallel_parts = 3,
		.connections = 6,
		.retries = 3,
		.timeout_ns = 20 * FSP_NS_PER_SEC,
		.connect_timeout_ns = 5 * FSP_NS_PER_SEC,
		.access_key = must_getenv("FSP_TEST_S3_ACCESS_KEY"),
		.secret_key = must_getenv("FSP_TEST_S3_SECRET_KEY"),
	};
}

static struct fsp_objstore *open_store(const struct fsp_s3_options *o)
{
	struct fsp_objstore *s;
	char *error;

	assert_int_equal(fsp_objstore_s3_open(o, &s, &error), 0);
	assert_null(error);
	return s;
}

/* A request that the backend itself never makes; returns its document. */
static char *plain(struct fsp_objstore *s, const char *method,
                   const char *param, int want)
{
	struct fsp_ctx ctx = fsp_ctx_background();
	struct s3_request r = { .method = method };
	struct s3_response p;
	char *doc;

	if (param)
		s3_add_param(&r, param, "");
	assert_int_equal(s3_call(s3_of(s), &ctx, &r, &p, NULL), want);
	doc = fsp_buf_steal(&p.body);
	s3_response_free(&p);
	return doc;
}

static int make_bucket(void **state)
{
	struct fsp_s3_options o;
	struct fsp_objstore *s;

	(void)state;
	(void)snprintf(bucket, sizeof(bucket), "fsp-unit-%d", (int)getpid());
	o = options(NULL);
	s = open_store(&o);
	free(plain(s, "PUT", NULL, 0));
	fsp_obj_close(s);
	return 0;
}

static int del_each(void *arg, const char *key, uint64_t size, int64_t mtime_us)
{
	struct env *e = arg;

	(void)size;
	(void)mtime_us;
	return fsp_obj_del(e->s, &e->ctx, key);
}

static int count_each(void *arg, const char *key, uint64_t size,
                      int64_t mtime_us)
{
	(void)key;
	(void)size;
	(void)mtime_us;
	++*(int *)arg;
	return 0;
}

/* Uploads that were begun; workers remove them in the background. */
static int count_uploads(struct env *e)
{
	char *doc = plain(bare, "GET", "uploads", 0);
	int n = 0;

	(void)e;
	for (char *at = doc; (at = strstr(at, "<UploadId>")); at++)
		n++;
	free(doc);
	return n;
}

static int count_objects(struct env *e)
{
	int n = 0;

	assert_int_equal(fsp_obj_list(e->s, &e->ctx, "", count_each, &n), 0);
	return n;
}

static int setup_with(void **state, const char *prefix, size_t part)
{
	struct fsp_s3_options o = options(prefix);
	struct env *e = calloc(1, sizeof(*e));

	assert_non_null(e);
	o.part_size = part;
	o.multipart_threshold = part;
	e->ctx = fsp_ctx_background();
	e->count_left = count_objects;
	e->no_space = true;
	e->s = bare = open_store(&o);
	*state = e;
	return 0;
}

static int setup_s3(void **state)
{
	return setup_with(state, NULL, PART);
}

static int wrapped(void **state, int (*wrap)(struct fsp_objstore *,
                                             struct fsp_objstore **))
{
	int err = setup_s3(state);
	struct env *e = *state;

	return err ? err : wrap(e->s, &e->s);
}

static int with_breaker(struct fsp_objstore *inner, struct fsp_objstore **out)
{
	struct fsp_breaker_options o = { .name = "objects", .down_after = 3 };

	return fsp_objstore_breaker(inner, &o, out);
}

/* As a mount has them. */
static int counted_breaker(struct fsp_objstore *inner,
                           struct fsp_objstore **out)
{
	int err = with_breaker(inner, out);

	return err ? err : fsp_objstore_count(*out, out);
}

static int setup_mounted(void **state)
{
	return wrapped(state, counted_breaker);
}

static int setup_fault(void **state)
{
	return wrapped(state, fsp_objstore_fault);
}

/* A prefix with everything that has to be encoded somewhere. */
static int setup_prefix(void **state)
{
	return setup_with(state, "a b+c=d%25&e/\xc3\xa4~'<\">(x)*!/", PART);
}

static int teardown(void **state)
{
	struct env *e = *state;

	e->ctx = fsp_ctx_background();
	assert_int_equal(fsp_obj_list(e->s, &e->ctx, "", del_each, e), 0);
	fsp_obj_close(e->s);
	free(e);
	return 0;
}

static int remove_bucket(void **state)
{
	struct fsp_s3_options o = options(NULL);
	struct fsp_objstore *s = open_store(&o);

	(void)state;
	free(plain(s, "DELETE", NULL, 0));
	fsp_obj_close(s);
	return 0;
}

static void fill(char *p, size_t len)
{
	uint32_t x = 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525 + 1013904223;
		p[i] = (char)(x >> 24);
	}
}

static struct fsp_obj_traffic traffic(struct env *e)
{
	struct fsp_obj_traffic t;

	assert_int_equal(fsp_obj_traffic(e->s, &t), 0);
	return t;
}

/* Sizes around the threshold: one PUT, or begin, parts and complete. */
static void test_multipart(void **state)
{
	static const struct {
		size_t len;
		unsigned int puts;
	} cases[] = {
		{ PART - 1, 1 },     { PART, 1 },
		{ PART + 1, 4 },     { 2 * PART, 4 },
		{ 2 * PART + 1, 5 }, { 7 * PART + 12345, 10 },
	};
	struct env *e = *state;
	size_t most = 7 * PART + 12345;
	FSP_FREE char *p = malloc(most);
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	uint64_t size, before;

	fill(p, most);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		before = traffic(e).puts;
		assert_int_equal(put(e, "m", p, cases[i].len), 0);
		assert_int_equal(traffic(e).puts - before, cases[i].puts);
		assert_int_equal(get(e, "m", &b), 0);
		assert_int_equal(b.len, cases[i].len);
		assert_memory_equal(b.data, p, b.len);
		assert_int_equal(fsp_obj_head(e->s, &e->ctx, "m", &size), 0);
		assert_int_equal(size, cases[i].len);
	}
	assert_int_equal(traffic(e).retries, 0);
	assert_int_equal(count_uploads(e), 0);
	/* What parts had is kept while there may be more, and no longer. */
	assert_int_equal(s3_of(e->s)->n_spare, 0);
}

/* A threshold of several parts, and one below a part. */
static void test_thresholds(void **state)
{
	static const size_t thresholds[] = { 3 * PART, 1024 };
	static const size_t lens[] = { 1025, PART + 1, 3 * PART, 3 * PART + 1,
		                       4 * PART + 7 };
	FSP_FREE char *p = malloc(4 * PART + 7);
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	struct env *e = *state, mine = *e;

	fill(p, 4 * PART + 7);
	for (size_t i = 0; i < 2; i++) {
		struct fsp_s3_options o = options(NULL);

		o.multipart_threshold = thresholds[i];
		mine.s = open_store(&o);
		for (size_t k = 0; k < sizeof(lens) / sizeof(*lens); k++) {
			assert_int_equal(put(&mine, "t", p, lens[k]), 0);
			assert_int_equal(get(&mine, "t", &b), 0);
			assert_int_equal(b.len, lens[k]);
			assert_memory_equal(b.data, p, b.len);
		}
		fsp_obj_close(mine.s);
	}
}

static void write_some(struct env *e, struct fsp_objwriter **w, size_t len)
{
	FSP_FREE char *p = malloc(len);

	fill(p, len);
	assert_int_equal(fsp_obj_put_begin(e->s, &e->ctx, "big", w), 0);
	assert_int_equal(fsp_obj_put_write(*w, p, len), 0);
}

/* Closing waits for the workers: then nothing of the upload is left. */
static void test_multipart_abort(void **state)
{
	struct env *e = *state;
	struct fsp_s3_options o = options(NULL);
	struct fsp_objwriter *w;

	write_some(e, &w, 3 * PART);
	assert_int_equal(count_uploads(e), 1);
	assert_missing(e, "big");
	fsp_obj_put_abort(w);
	fsp_obj_close(e->s);
	e->s = bare = open_store(&o);
	assert_int_equal(count_uploads(e), 0);
	assert_missing(e, "big");
}

static void test_multipart_cancelled(void **state)
{
	struct env *e = *state;
	struct fsp_s3_options o = options(NULL);
	atomic_bool cancelled = false;
	struct fsp_objwriter *w;

	e->ctx.cancelled = &cancelled;
	write_some(e, &w, 3 * PART);
	cancelled = true;
	assert_int_equal(fsp_obj_put_commit(w), -EINTR);
	e->ctx.cancelled = NULL;
	fsp_obj_close(e->s);
	e->s = bare = open_store(&o);
	assert_int_equal(count_uploads(e), 0);
	assert_missing(e, "big");
}

/* The upload is taken away below it: an error, and nothing under the name. */
static void test_multipart_gone(void **state)
{
	struct env *e = *state;
	struct fsp_objwriter *w;
	struct s3_writer *mine;
	struct s3_request r = { .method = "DELETE", .key = "big" };
	struct s3_response p;

	write_some(e, &w, 2 * PART);
	mine = (struct s3_writer *)w;
	s3_add_param(&r, "uploadId", mine->upload);
	assert_int_equal(s3_call(s3_of(e->s), &e->ctx, &r, &p, NULL), 0);
	s3_response_free(&p);
	assert_int_equal(fsp_obj_put_commit(w), -EIO);
	assert_missing(e, "big");
}

struct many {
	struct env *e;
	int number;
	long failed;
};

static void *many_thread(void *arg)
{
	struct many *m = arg;
	size_t len = 2 * PART + 100;
	FSP_FREE char *p = malloc(len);
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	char key[20];

	memset(p, 'a' + m->number, len);
	(void)snprintf(key, sizeof(key), "many-%d", m->number);
	m->failed += put(m->e, key, p, len) != 0;
	m->failed += get(m->e, key, &b) != 0;
	m->failed += b.len != len || memcmp(b.data, p, len) != 0;
	return NULL;
}

/* More writers than tokens, than workers, than connections. */
static void test_many_writers(void **state)
{
	struct env *e = *state;
	struct many m[12];
	pthread_t t[12];

	for (int i = 0; i < 12; i++) {
		m[i] = (struct many){ e, i, 0 };
		assert_int_equal(pthread_create(&t[i], NULL, many_thread, &m[i]),
		                 0);
	}
	for (int i = 0; i < 12; i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
		assert_int_equal(m[i].failed, 0);
	}
	assert_int_equal(count_uploads(e), 0);
	assert_int_equal(traffic(e).retries, 0);
}

/* More than one page, and more than one DeleteObjects takes. */
static void test_pages(void **state)
{
	struct env *e = *state;
	enum { N = 1105 };
	char (*names)[16] = malloc(N * sizeof(*names));
	const char **keys = malloc(N * sizeof(*keys));
	struct fsp_obj_traffic before;
	int n = 0;

	for (int i = 0; i < N; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "k%05d", i);
		keys[i] = names[i];
		assert_int_equal(put(e, names[i], "x", 1), 0);
	}
	before = traffic(e);
	assert_int_equal(fsp_obj_list(e->s, &e->ctx, "", count_each, &n), 0);
	assert_int_equal(n, N);
	assert_int_equal(traffic(e).lists - before.lists, 2);
	n = 0;
	assert_int_equal(fsp_obj_list(e->s, &e->ctx, "k01", count_each, &n), 0);
	assert_int_equal(n, 105);
	before = traffic(e);
	assert_int_equal(fsp_obj_del_many(e->s, &e->ctx, keys, N), 0);
	assert_int_equal(traffic(e).dels - before.dels, 2);
	assert_int_equal(count_left(e), 0);
	free(keys);
	free(names);
}

/* What the check says, which must be one line that names the setting. */
static void assert_check(struct fsp_s3_options *o, int want, const char *says)
{
	struct fsp_objstore *s = open_store(o);
	struct fsp_ctx ctx = fsp_ctx_background();
	struct fsp_objwriter *w;
	char *error;
	int rc = fsp_objstore_s3_check(s, &ctx, &error);

	if (error)
		(void)printf("  %s\n", error);
	assert_int_equal(rc, want);
	if (says) {
		assert_non_null(error);
		assert_non_null(strstr(error, says));
		assert_null(strstr(error, o->secret_key));
		/* And nothing can be written, nor is anything there. */
		assert_int_equal(fsp_obj_put_begin(s, &ctx, "k", &w), 0);
		assert_true(fsp_obj_put_commit(w) < 0);
	} else {
		assert_null(error);
	}
	free(error);
	fsp_obj_close(s);
}

static void test_check(void **state)
{
	struct fsp_s3_options good = options(NULL), o = good;

	(void)state;
	assert_check(&o, 0, NULL);
	o.secret_key = "wrong-secret";
	assert_check(&o, -EINVAL, "secret key is wrong");
	o.access_key = "NOBODY";
	assert_check(&o, -EINVAL, "does not know this access key");
	o = good;
	o.bucket = "there-is-no-such-bucket";
	assert_check(&o, -EINVAL, "the bucket does not exist");
	o = good;
	o.retries = 0;
	o.endpoint = "http://127.0.0.1:1";
	assert_check(&o, -EHOSTDOWN, "127.0.0.1:1");
	o.endpoint = "http://nowhere.invalid";
	assert_check(&o, -EHOSTDOWN, "nowhere.invalid");
}

static void test_missing_bucket(void **state)
{
	struct fsp_s3_options o = options(NULL);
	struct env *e = *state, mine = *e;
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	uint64_t size;
	int n = 0;

	o.bucket = "there-is-no-such-bucket";
	mine.s = open_store(&o);
	/* A missing bucket is no missing object, not even for HEAD. */
	assert_int_equal(get(&mine, "aa", &b), -EHOSTDOWN);
	assert_int_equal(fsp_obj_head(mine.s, &e->ctx, "aa", &size),
	                 -EHOSTDOWN);
	assert_int_equal(fsp_obj_del(mine.s, &e->ctx, "aa"), -EHOSTDOWN);
	assert_int_equal(fsp_obj_list(mine.s, &e->ctx, "", count_each, &n),
	                 -EHOSTDOWN);
	assert_int_equal(put(&mine, "aa", "x", 1), -EHOSTDOWN);
	fsp_obj_close(mine.s);
}

/* Another user's bucket. */
static void test_forbidden(void **state)
{
	struct fsp_s3_options o = options(NULL);
	struct env *e = *state, mine = *e;
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	uint64_t size;

	assert_int_equal(put(e, "aa", "x", 1), 0);
	o.access_key = must_getenv("FSP_TEST_S3_OTHER_ACCESS_KEY");
	o.secret_key = must_getenv("FSP_TEST_S3_OTHER_SECRET_KEY");
	mine.s = open_store(&o);
	assert_int_equal(get(&mine, "aa", &b), -EACCES);
	assert_int_equal(fsp_obj_head(mine.s, &e->ctx, "aa", &size), -EACCES);
	assert_int_equal(put(&mine, "aa", "x", 1), -EACCES);
	fsp_obj_close(mine.s);
	assert_object(e, "aa", "x");
}

static void test_tls(void **state)
{
	struct fsp_s3_options o = options(NULL);

	(void)state;
	o.endpoint = must_getenv("FSP_TEST_S3_HTTPS");
	o.ca_file = must_getenv("FSP_TEST_S3_CA");
	assert_check(&o, 0, NULL);
	o.ca_file = NULL;
	assert_check(&o, -EINVAL, "s3.ca_file");
	o.tls_verify = false;
	assert_check(&o, 0, NULL);
	o.tls_verify = true;
	o.ca_file = "/nonexistent/ca.pem";
	assert_check(&o, -EINVAL, "s3.ca_file");
}

/* The gateway knows buckets as names below its own. */
static void test_virtual_host(void **state)
{
	struct fsp_s3_options o = options("vh/");
	struct env *e = *state, mine = *e;
	FSP_FREE char *endpoint = NULL;

	endpoint = fsp_strf("http://localhost%s", strrchr(o.endpoint, ':'));
	o.endpoint = endpoint;
	o.path_style = FSP_S3_PATH_NO;
	mine.s = open_store(&o);
	assert_non_null(strstr(s3_of(mine.s)->url, bucket));
	assert_string_equal(s3_of(mine.s)->bucket_path, "");
	test_basic((void **)&(struct env *){ &mine });
	assert_int_equal(fsp_obj_del(mine.s, &e->ctx, "Az09._-"), 0);
	fsp_obj_close(mine.s);
}

static void test_read_only(void **state)
{
	static const char *const key = "aa";
	struct fsp_s3_options o = options(NULL);
	struct env *e = *state, mine = *e;

	assert_int_equal(put(e, "aa", "x", 1), 0);
	o.read_only = true;
	mine.s = open_store(&o);
	assert_object(&mine, "aa", "x");
	assert_int_equal(put(&mine, "aa", "y", 1), -EROFS);
	assert_int_equal(fsp_obj_del(mine.s, &e->ctx, "aa"), -EROFS);
	assert_int_equal(fsp_obj_del_many(mine.s, &e->ctx, &key, 1), -EROFS);
	fsp_obj_close(mine.s);
}

static int64_t late(void)
{
	struct timespec ts;

	assert_int_equal(clock_gettime(CLOCK_REALTIME, &ts), 0);
	return (int64_t)(ts.tv_sec - 7200) * FSP_NS_PER_SEC + ts.tv_nsec;
}

/* What the server says of this machine's clock is believed. */
static void test_skewed(void **state)
{
	struct env *e = *state;
	int rc, again;

	fsp_clock_set(late);
	rc = put(e, "skewed", "x", 1);
	again = fsp_obj_del(e->s, &e->ctx, "skewed");
	fsp_clock_set(NULL);
	assert_int_equal(rc, 0);
	assert_int_equal(again, 0);
	/* and no longer than it is so */
	assert_int_equal(put(e, "skewed", "y", 1), 0);
	assert_object(e, "skewed", "y");
}

#define S3_TEST(name)                                                          \
	cmocka_unit_test_setup_teardown(name, setup_s3, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONTRACT(setup_s3),
		CONTRACT(setup_prefix),
		CONTRACT(setup_mounted),
		CONTRACT(setup_fault),
		S3_TEST(test_multipart),
		S3_TEST(test_thresholds),
		S3_TEST(test_multipart_abort),
		S3_TEST(test_multipart_cancelled),
		S3_TEST(test_multipart_gone),
		S3_TEST(test_many_writers),
		S3_TEST(test_pages),
		S3_TEST(test_check),
		S3_TEST(test_missing_bucket),
		S3_TEST(test_forbidden),
		S3_TEST(test_skewed),
		S3_TEST(test_tls),
		S3_TEST(test_virtual_host),
		S3_TEST(test_read_only),
	};

	(void)must_getenv("FSP_TEST_S3_ENDPOINT");
	return cmocka_run_group_tests(tests, make_bucket, remove_bucket);
}
