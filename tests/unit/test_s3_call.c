/*
 * The S3 backend against a server that does what servers do on bad days.
 */
#include "s3_standin.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "../../src/objstore/s3.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_file.h"
#include "fsp_log.h"

#define NOON_S 1795514400LL             /* 2026-11-24T10:00:00Z */
#define SECRET "a-very-secret-key"
#define XML "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define ERROR_DOC(code)                                                        \
	XML "<Error><Code>" code "</Code><Message>so it is</Message>"          \
	    "<RequestId>req-7</RequestId></Error>"
#define OK_PUT                                                                 \
	{ "PUT /", "200 OK", "ETag: \"900150983cd24fb0d6963f7d28e17f72\"\r\n",  \
	  NULL, SAID, KEEP, NULL }              /* MD5 of "abc" */

static struct env {
	struct fsp_objstore *s;
	struct fsp_ctx ctx;
	int64_t paused[32];
	int n_paused;
	int log, saved;                 /* where stderr goes, and went */
	char path[64];
} env;

static int64_t noon(void)
{
	return NOON_S * FSP_NS_PER_SEC;
}

static int note_pause(const struct fsp_ctx *ctx, int64_t ns)
{
	assert_true(env.n_paused < 32);
	env.paused[env.n_paused++] = ns;
	return fsp_ctx_check(ctx);
}

static struct fsp_s3_options options(void)
{
	static char endpoint[64];

	(void)snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%d",
	               standin.port);
	return (struct fsp_s3_options){
		.endpoint = endpoint,
		.region = "us-east-1",
		.bucket = "bkt",
		.prefix = "p/",
		.tls_verify = true,
		.part_size = 1000,
		.multipart_threshold = 1000,
		.parallel_parts = 2,
		.connections = 4,
		.retries = 3,
		.timeout_ns = 300 * 1000000LL,
		.connect_timeout_ns = 5 * FSP_NS_PER_SEC,
		.access_key = "AKID",
		.secret_key = SECRET,
	};
}

static struct fsp_objstore *open_store(const struct fsp_s3_options *o)
{
	struct fsp_objstore *s;
	char *error;

	assert_int_equal(fsp_objstore_s3_open(o, &s, &error), 0);
	s3_of(s)->pause = note_pause;
	return s;
}

static void reopen(const struct fsp_s3_options *o)
{
	fsp_obj_close(env.s);
	env.s = open_store(o);
}

static int setup(void **state)
{
	struct fsp_s3_options o;

	*state = NULL;
	memset(&env, 0, sizeof(env));
	standin_start();
	o = options();
	env.ctx = fsp_ctx_background();
	(void)snprintf(env.path, sizeof(env.path), "/tmp/fsp-s3-call-XXXXXX");
	env.log = mkstemp(env.path);
	assert_true(env.log >= 0);
	env.saved = dup(STDERR_FILENO);
	assert_true(dup2(env.log, STDERR_FILENO) >= 0);
	fsp_log_init("test", FSP_LOG_STDERR, FSP_LOG_WARNING);
	env.s = open_store(&o);
	fsp_clock_set(noon);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fsp_obj_close(env.s);
	standin_stop();
	fsp_clock_set(NULL);
	assert_true(dup2(env.saved, STDERR_FILENO) >= 0);
	close(env.saved);
	close(env.log);
	unlink(env.path);
	return 0;
}

/* The log so far; it is emptied. */
static const char *logged(void)
{
	static char text[16384];
	ssize_t n = pread(env.log, text, sizeof(text) - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	assert_int_equal(ftruncate(env.log, 0), 0);
	assert_true(lseek(env.log, 0, SEEK_SET) == 0);
	/* Whatever happens. */
	assert_null(strstr(text, SECRET));
	assert_null(strstr(text, "Signature="));
	return text;
}

static int count_of(const char *text, const char *word)
{
	int n = 0;

	for (; (text = strstr(text, word)); text++)
		n++;
	return n;
}

static int put(const char *key, const char *body, size_t len)
{
	struct fsp_objwriter *w;
	int rc = fsp_obj_put_begin(env.s, &env.ctx, key, &w);

	if (!rc)
		rc = fsp_obj_put_write(w, body, len);
	if (rc) {
		fsp_obj_put_abort(w);
		return rc;
	}
	return fsp_obj_put_commit(w);
}

static int buf_sink(void *arg, const void *buf, size_t len)
{
	int rc = fsp_buf_add(arg, buf, len);

	standin_consumed(len);
	return rc;
}

static struct fsp_buf got;

static int get(const char *key)
{
	fsp_buf_free(&got);
	return fsp_obj_get(env.s, &env.ctx, key, buf_sink, &got);
}

static int get_range(const char *key, uint64_t off, uint64_t len)
{
	fsp_buf_free(&got);
	return fsp_obj_get_range(env.s, &env.ctx, key, off, len, buf_sink, &got);
}

static void assert_got(const char *want)
{
	assert_string_equal(got.data ? got.data : "", want);
	fsp_buf_free(&got);
}

static struct fsp_obj_traffic traffic(void)
{
	struct fsp_obj_traffic t;

	assert_int_equal(fsp_obj_traffic(env.s, &t), 0);
	return t;
}

/* -- attempts -- */

static void test_again(void **state)
{
	(void)state;
	/* A reset of a fresh connection: of a kept one the library repeats. */
	SCRIPT({ "PUT /bkt/p/k ", NULL, .end = RESET },
	       { "PUT /bkt/p/k ", "500 Oops", NULL, ERROR_DOC("InternalError") },
	       { "PUT /bkt/p/k ", "503 Busy", NULL, "<html>no XML" },
	       OK_PUT);
	assert_int_equal(put("k", "abc", 3), 0);
	assert_script_done();
	assert_int_equal(env.n_paused, 3);
	for (int i = 0; i < 3; i++) {
		int64_t most = 100000000LL << i;

		assert_in_range(env.paused[i], most / 2, most);
	}
	for (int i = 0; i < 4; i++)
		assert_string_equal(standin.bodies[i].data, "abc");
	assert_int_equal(traffic().puts, 4);
	assert_int_equal(traffic().retries, 3);
	assert_int_equal(traffic().up, 12);
	assert_string_equal(logged(), "");
}

static void test_to_the_end(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		SCRIPT({ NULL, "503 Busy", NULL, ERROR_DOC("SlowDown") },
		       { NULL, "503 Busy", NULL, ERROR_DOC("SlowDown") },
		       { NULL, "503 Busy", NULL, ERROR_DOC("SlowDown") },
		       { NULL, "503 Busy", NULL, ERROR_DOC("SlowDown") });
		assert_int_equal(put("k", "abc", 3), -EHOSTDOWN);
		assert_script_done();
		if (!i) {
			const char *line = logged();

			assert_int_equal(count_of(line, "\n"), 1);
			assert_non_null(strstr(line, "PUT p/k"));
			assert_non_null(strstr(line, "HTTP 503 SlowDown"));
			assert_non_null(strstr(line, "req-7"));
			assert_non_null(strstr(line, "attempt 4"));
			assert_null(strstr(line, "AKID"));
		}
	}
	/* The same again is not written again. */
	assert_string_equal(logged(), "");
}

static void test_retry_after(void **state)
{
	(void)state;
	SCRIPT({ NULL, "503 Busy", "Retry-After: 7\r\n", ERROR_DOC("SlowDown") },
	       { NULL, "429 Too Many",
	         "Retry-After: Tue, 24 Nov 2026 10:00:09 GMT\r\n", NULL },
	       OK_PUT);
	assert_int_equal(put("k", "abc", 3), 0);
	assert_script_done();
	assert_int_equal(env.n_paused, 2);
	assert_true(env.paused[0] == 7 * FSP_NS_PER_SEC);
	assert_true(env.paused[1] == 9 * FSP_NS_PER_SEC);
	/* Longer than anybody would wait, and longer than this call may. */
	SCRIPT({ NULL, "503 Busy", "Retry-After: 3600\r\n", NULL });
	assert_int_equal(put("k", "abc", 3), -EHOSTDOWN);
	assert_script_done();
	env.ctx.deadline_ns = fsp_mono_ns() + 5 * FSP_NS_PER_SEC;
	SCRIPT({ NULL, "503 Busy", "Retry-After: 7\r\n", NULL });
	assert_int_equal(put("k", "abc", 3), -EHOSTDOWN);
	assert_script_done();
	assert_int_equal(env.n_paused, 2);
}

static void test_final(void **state)
{
	static const struct {
		const char *status, *body;
		int want;
	} cases[] = {
		{ "403 No", ERROR_DOC("AccessDenied"), -EACCES },
		{ "401 No", "", -EACCES },
		{ "400 No", ERROR_DOC("InvalidArgument"), -EIO },
		{ "403 No", ERROR_DOC("QuotaExceeded"), -EDQUOT },
		{ "400 No", ERROR_DOC("EntityTooLarge"), -EFBIG },
		{ "413 No", "", -EFBIG },
		{ "507 Full", ERROR_DOC("XMinioStorageFull"), -ENOSPC },
		{ "404 No", ERROR_DOC("NoSuchBucket"), -EHOSTDOWN },
		{ "404 No", ERROR_DOC("NoSuchKey"), -EIO },
		{ "403 No", ERROR_DOC("InvalidAccessKeyId"), -EACCES },
		{ "501 No", ERROR_DOC("NotImplemented"), -EIO },
		{ "412 No", ERROR_DOC("PreconditionFailed"), -EIO },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		SCRIPT({ NULL, cases[i].status, NULL, cases[i].body });
		assert_int_equal(put("k", "abc", 3), cases[i].want);
		assert_script_done();
		assert_int_equal(count_of(logged(), "\n"),
		                 strstr(cases[i].body, "NoSuchKey") ? 0 : 1);
	}
	assert_int_equal(env.n_paused, 0);
}

static void test_redirects(void **state)
{
	const char *line;

	(void)state;
	SCRIPT({ NULL, "301 Moved",
	         "Location: http://evil.example/bkt/p/k\r\n"
	         "x-amz-bucket-region: eu-west-1\r\n",
	         ERROR_DOC("PermanentRedirect") });
	assert_int_equal(get("k"), -EHOSTDOWN);
	assert_script_done();
	line = logged();
	assert_int_equal(count_of(line, "\n"), 1);
	assert_non_null(strstr(line, "eu-west-1"));
	assert_non_null(strstr(line, "s3.region"));
	assert_non_null(strstr(line, "not followed to http://evil.example"));
	SCRIPT({ NULL, "307 Elsewhere",
	         "Location: http://evil.example/bkt/p/k\r\n", NULL });
	assert_int_equal(put("k", "abc", 3), -EHOSTDOWN);
	assert_script_done();
	assert_int_equal(count_of(logged(), "\n"), 1);
	SCRIPT({ NULL, "400 No", NULL,
	         XML "<Error><Code>AuthorizationHeaderMalformed</Code>"
	             "<Region>eu-central-1</Region></Error>" });
	assert_int_equal(get("k"), -EHOSTDOWN);
	assert_non_null(strstr(logged(), "eu-central-1"));
}

/* What the breaker asks says what calls say; what a mount asks, whose fault. */
static void test_check(void **state)
{
	static const struct {
		const char *status, *body;
		int probe, check;
		const char *says;
	} cases[] = {
		{ "404 No", ERROR_DOC("NoSuchKey"), 0, 0, NULL },
		{ "206 Some", "x", 0, 0, NULL },
		{ "416 None", ERROR_DOC("InvalidRange"), 0, 0, NULL },
		{ "403 No", ERROR_DOC("AccessDenied"), 0, 0, NULL },
		{ "404 No", ERROR_DOC("NoSuchBucket"), -EHOSTDOWN, -EINVAL,
		  "s3.bucketname" },
		{ "403 No", ERROR_DOC("InvalidAccessKeyId"), -EACCES, -EINVAL,
		  "access key" },
		{ "403 No", ERROR_DOC("RequestTimeTooSkewed"), -EACCES, -EINVAL,
		  "clock" },
		{ "301 No", ERROR_DOC("PermanentRedirect"), -EHOSTDOWN, -EINVAL,
		  "s3.region" },
		{ "400 No", "", -EIO, -EIO, "HTTP 400" },
	};
	char *error;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		SCRIPT({ NULL, cases[i].status, NULL, cases[i].body },
		       { NULL, cases[i].status, NULL, cases[i].body });
		assert_int_equal(fsp_objstore_s3_probe(env.s, &env.ctx, &error),
		                 cases[i].probe);
		assert_true(!error == !cases[i].says);
		free(error);
		assert_int_equal(fsp_objstore_s3_check(env.s, &env.ctx, &error),
		                 cases[i].check);
		assert_true(!error == !cases[i].says);
		if (error)
			assert_non_null(strstr(error, cases[i].says));
		free(error);
		assert_script_done();
		assert_string_equal(logged(), "");
	}
}

/* -- the clock and the keys -- */

static void test_skew(void **state)
{
	const char *line;

	(void)state;
	SCRIPT({ "x-amz-date: 20261124T100000Z", "403 No",
	         "Date: Tue, 24 Nov 2026 13:00:05 GMT\r\n",
	         ERROR_DOC("RequestTimeTooSkewed") },
	       { "x-amz-date: 20261124T130005Z", "200 OK",
	         "ETag: \"900150983cd24fb0d6963f7d28e17f72\"\r\n", NULL });
	assert_int_equal(put("k", "abc", 3), 0);
	assert_script_done();
	line = logged();
	assert_int_equal(count_of(line, "\n"), 1);
	assert_non_null(strstr(line, "off by -10805 s"));
	/* It is known from now on. */
	SCRIPT({ "x-amz-date: 20261124T130005Z", "200 OK", NULL, "x" });
	assert_int_equal(get("k"), 0);
	assert_script_done();
	assert_int_equal(env.n_paused, 0);
}

static void test_skew_once(void **state)
{
	(void)state;
	SCRIPT({ NULL, "403 No", "Date: Tue, 24 Nov 2026 13:00:05 GMT\r\n",
	         ERROR_DOC("RequestTimeTooSkewed") },
	       { NULL, "403 No", "Date: Tue, 24 Nov 2026 14:00:05 GMT\r\n",
	         ERROR_DOC("RequestTimeTooSkewed") });
	assert_int_equal(get("k"), -EACCES);
	assert_script_done();
	assert_non_null(strstr(logged(), "clock is off"));
	/* Nothing to correct it by. */
	SCRIPT({ NULL, "403 No", NULL, ERROR_DOC("RequestTimeTooSkewed") });
	assert_int_equal(get("k"), -EACCES);
	assert_script_done();
}

static char keys_path[128];

static void write_keys(const char *name, const char *token)
{
	FSP_FREE char *text = fsp_strf("[default]\naws_access_key_id = %s\n"
	                               "aws_secret_access_key = " SECRET "\n"
	                               "aws_session_token = %s\n", name, token);
	int fd = open(keys_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fsp_write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static void renew_keys(void)
{
	write_keys("NEWKEY", "new-token-2");
}

static void test_expired(void **state)
{
	struct fsp_s3_options o = options();

	(void)state;
	(void)snprintf(keys_path, sizeof(keys_path), "%s.keys", env.path);
	write_keys("OLDKEY", "old-token");
	o.access_key = o.secret_key = NULL;
	o.credentials_file = keys_path;
	reopen(&o);
	SCRIPT({ "Credential=OLDKEY", "400 No", NULL, ERROR_DOC("ExpiredToken"),
	         .hook = renew_keys },
	       { "Credential=NEWKEY", "200 OK", NULL, "fresh" });
	assert_int_equal(get("k"), 0);
	assert_got("fresh");
	assert_script_done();
	assert_string_equal(standin_header(0, "x-amz-security-token"),
	                    "old-token");
	assert_string_equal(standin_header(1, "x-amz-security-token"),
	                    "new-token-2");
	assert_non_null(strstr(standin_header(1, "authorization"),
	                       "x-amz-security-token"));
	assert_null(strstr(logged(), "new-token"));
	unlink(keys_path);
}

#define CREDS(key, token)                                                      \
	"{\"AccessKeyId\":\"" key "\",\"SecretAccessKey\":\"" SECRET "\","       \
	"\"Token\":\"" token "\",\"Expiration\":\"2099-01-01T00:00:00Z\"}"

/* Those that a container is given are fetched anew, before their time. */
static void test_expired_container(void **state)
{
	struct fsp_s3_options o = options();
	FSP_FREE char *url = fsp_strf("http://127.0.0.1:%d/creds",
	                              standin.port);
	FSP_FREE char *home = strdup(getenv("HOME") ? getenv("HOME") : "/");

	(void)state;
	setenv("HOME", "/nonexistent", 1);
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
	o.access_key = o.secret_key = NULL;
	reopen(&o);
	SCRIPT({ "GET /creds", "200 OK", NULL, CREDS("OLDKEY", "old-token") },
	       { "Credential=OLDKEY", "403 Forbidden", NULL,
	         ERROR_DOC("ExpiredToken") },
	       { "GET /creds", "200 OK", NULL, CREDS("NEWKEY", "new-token") },
	       { "Credential=NEWKEY", "200 OK", NULL, "fresh" });
	assert_int_equal(get("k"), 0);
	assert_got("fresh");
	assert_script_done();
	assert_string_equal(standin_header(3, "x-amz-security-token"),
	                    "new-token");
	assert_null(strstr(logged(), "-token"));
	unsetenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");
	setenv("HOME", home, 1);
}

/* The settings have no others; a renewed one that is refused is the end. */
static void test_expired_for_good(void **state)
{
	const char *line;

	(void)state;
	SCRIPT({ NULL, "403 No", NULL, ERROR_DOC("InvalidToken") });
	assert_int_equal(get("k"), -EACCES);
	assert_script_done();
	line = logged();
	assert_non_null(strstr(line, "the session token is not valid"));
}

/* -- reading -- */

#define ETAG_A "ETag: \"aaa\"\r\n"

static void test_resume(void **state)
{
	(void)state;
	SCRIPT({ NULL, "200 OK", ETAG_A, "01234", 10, RESET },
	       { "range: bytes=5-\r\n", "206 Partial",
	         ETAG_A "Content-Range: bytes 5-9/10\r\n", "56", 5, CLOSE },
	       { "range: bytes=7-\r\n", "206 Partial",
	         ETAG_A "Content-Range: bytes 7-9/10\r\n", "789" });
	assert_int_equal(get("k"), 0);
	assert_got("0123456789");
	assert_script_done();
	assert_string_equal(standin_header(0, "if-match"), "");
	assert_string_equal(standin_header(1, "if-match"), "\"aaa\"");
	assert_string_equal(standin_header(2, "if-match"), "\"aaa\"");
	/* Of a part of it, too. */
	SCRIPT({ "range: bytes=2-7\r\n", "206 Partial",
	         ETAG_A "Content-Range: bytes 2-7/10\r\n", "234", 6, RESET },
	       { "range: bytes=5-7\r\n", "206 Partial",
	         ETAG_A "Content-Range: bytes 5-7/10\r\n", "567" });
	assert_int_equal(get_range("k", 2, 6), 0);
	assert_got("234567");
	assert_script_done();
}

/* The answer ignores the range: what is there already is passed over. */
static void test_resume_whole(void **state)
{
	(void)state;
	SCRIPT({ NULL, "200 OK", ETAG_A, "01234", 10, RESET },
	       { NULL, "200 OK", ETAG_A, "0123456789" });
	assert_int_equal(get("k"), 0);
	assert_got("0123456789");
	SCRIPT({ NULL, "200 OK", ETAG_A, "0123456789" });
	assert_int_equal(get_range("k", 2, 3), 0);
	assert_got("234");
	SCRIPT({ NULL, "200 OK", ETAG_A, "0123456789", CHUNKED, ENDLESS });
	assert_int_equal(get_range("k", 8, 5), 0);
	assert_got("89012");
}

static void test_resume_other(void **state)
{
	static const struct standin_step others[] = {
		{ NULL, "412 No", NULL, ERROR_DOC("PreconditionFailed") },
		{ NULL, "200 OK", "ETag: \"bbb\"\r\n", "0123456789" },
		{ NULL, "206 Partial",
		  "ETag: \"bbb\"\r\nContent-Range: bytes 5-9/10\r\n", "56789" },
		{ NULL, "206 Partial", ETAG_A "Content-Range: bytes 5-9/11\r\n",
		  "56789" },
		{ NULL, "206 Partial", ETAG_A "Content-Range: bytes 4-8/10\r\n",
		  "45678" },
		{ NULL, "206 Partial", ETAG_A, "56789" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		SCRIPT({ NULL, "200 OK", ETAG_A, "01234", 10, RESET },
		       others[i]);
		assert_int_equal(get("k"), -EIO);
		assert_script_done();
		assert_got("01234");
	}
}

static void test_cut_for_good(void **state)
{
	(void)state;
	SCRIPT({ NULL, "200 OK", ETAG_A, "", 10, CLOSE },
	       { NULL, "200 OK", ETAG_A, "", 10, CLOSE },
	       { NULL, "200 OK", ETAG_A, "", 10, CLOSE },
	       { NULL, "200 OK", ETAG_A, "", 10, CLOSE });
	assert_int_equal(get("k"), -EHOSTDOWN);
	assert_script_done();
	/* Without any length nobody can know whether it is whole. */
	SCRIPT({ NULL, "200 OK", ETAG_A, "0123", UNSAID, CLOSE });
	assert_int_equal(get("k"), -EIO);
	assert_script_done();
	/* Shorter than asked, and said to be right. */
	SCRIPT({ NULL, "206 Partial", ETAG_A "Content-Range: bytes 2-3/10\r\n",
	         "23" });
	assert_int_equal(get_range("k", 2, 6), -EIO);
	SCRIPT({ NULL, "200 OK", ETAG_A, "0123", CHUNKED, KEEP });
	assert_int_equal(get("k"), 0);
	assert_got("0123");
}

static int small_sink(void *arg, const void *buf, size_t len)
{
	size_t *left = arg;

	(void)buf;
	if (len > *left)
		return -EFBIG;
	*left -= len;
	return 0;
}

static void test_endless(void **state)
{
	size_t left = 1000000;
	char *kb = malloc(1025);

	(void)state;
	memset(kb, ' ', 1024);
	kb[1024] = '\0';
	SCRIPT({ NULL, "200 OK", ETAG_A, kb, CHUNKED, ENDLESS });
	assert_int_equal(fsp_obj_get(env.s, &env.ctx, "k", small_sink, &left),
	                 -EFBIG);
	/* That was the sink's word, which nobody repeats. */
	assert_script_done();
	assert_string_equal(logged(), "");
	/* Of an error the status is enough. */
	SCRIPT({ NULL, "403 No", NULL, kb, CHUNKED, ENDLESS });
	assert_int_equal(get("k"), -EACCES);
	assert_script_done();
	SCRIPT({ NULL, "200 OK", NULL, kb, CHUNKED, ENDLESS });
	/* Nothing of the listing is believed. */
	assert_int_equal(fsp_obj_list(env.s, &env.ctx, "", NULL, NULL), -EIO);
	free(kb);
}

static void test_head(void **state)
{
	uint64_t size;

	(void)state;
	SCRIPT({ "HEAD /", "200 OK", NULL, NULL, 123456789 });
	assert_int_equal(fsp_obj_head(env.s, &env.ctx, "k", &size), 0);
	assert_int_equal(size, 123456789);
	SCRIPT({ "HEAD /", "200 OK", NULL, NULL, UNSAID });
	assert_int_equal(fsp_obj_head(env.s, &env.ctx, "k", &size), -EIO);
	SCRIPT({ "HEAD /", "403 No", NULL, NULL },
	       { "range: bytes=0-0", "403 No", NULL,
	         ERROR_DOC("InvalidAccessKeyId") });
	(void)logged();
	assert_int_equal(fsp_obj_head(env.s, &env.ctx, "k", &size), -EACCES);
	assert_script_done();
	assert_int_equal(count_of(logged(), "\n"), 1);
	/* It came in between. */
	SCRIPT({ "HEAD /", "404 No", NULL, NULL },
	       { "range: bytes=0-0", "206 Partial",
	         "Content-Range: bytes 0-0/77\r\n", "x" });
	assert_int_equal(fsp_obj_head(env.s, &env.ctx, "k", &size), 0);
	assert_int_equal(size, 77);
	SCRIPT({ "HEAD /", "404 No", NULL, NULL },
	       { "range: bytes=0-0", "404 No", NULL, ERROR_DOC("NoSuchKey") });
	assert_int_equal(fsp_obj_head(env.s, &env.ctx, "k", &size), -ENOENT);
	/* A server that is down is asked no second question. */
	SCRIPT({ "HEAD /", "500 No", NULL, NULL },
	       { "HEAD /", "500 No", NULL, NULL },
	       { "HEAD /", "500 No", NULL, NULL },
	       { "HEAD /", "500 No", NULL, NULL });
	assert_int_equal(fsp_obj_head(env.s, &env.ctx, "k", &size), -EHOSTDOWN);
	assert_script_done();
}

/* -- time -- */

static void test_stalled(void **state)
{
	(void)state;
	SCRIPT({ NULL, NULL, .end = STALL }, { NULL, NULL, .end = STALL });
	assert_int_equal(get("k"), -ETIMEDOUT);
	assert_script_done();
	assert_non_null(strstr(logged(), "no progress"));
	SCRIPT({ NULL, "200 OK", ETAG_A, "0123", 10, STALL },
	       { NULL, "206 Partial", ETAG_A "Content-Range: bytes 4-9/10\r\n",
	         "456789" });
	assert_int_equal(get("k"), 0);
	assert_got("0123456789");
	assert_script_done();
}

static void test_deadline(void **state)
{
	struct fsp_s3_options o = options();

	(void)state;
	o.timeout_ns = 3600 * FSP_NS_PER_SEC;
	reopen(&o);
	SCRIPT({ NULL, NULL, .end = STALL });
	env.ctx.deadline_ns = fsp_mono_ns() + 200 * 1000000LL;
	assert_int_equal(get("k"), -ETIMEDOUT);
	assert_script_done();
}

static atomic_bool cancelled;

static void cancel(void)
{
	atomic_store(&cancelled, true);
}

static void test_cancelled(void **state)
{
	struct fsp_s3_options o = options();

	(void)state;
	o.timeout_ns = 3600 * FSP_NS_PER_SEC;
	reopen(&o);
	atomic_store(&cancelled, false);
	env.ctx.cancelled = &cancelled;
	SCRIPT({ NULL, NULL, .end = STALL, .hook = cancel });
	assert_int_equal(get("k"), -EINTR);
	assert_script_done();
	/* Nobody wants to know that. */
	assert_null(strstr(logged(), "error"));
	env.ctx.cancelled = NULL;
	/* Between two attempts, too. */
	atomic_store(&cancelled, false);
	env.ctx.cancelled = &cancelled;
	SCRIPT({ NULL, "500 Oops", .hook = cancel });
	assert_int_equal(get("k"), -EHOSTDOWN);
	assert_script_done();
	env.ctx.cancelled = NULL;
}

/* -- documents -- */

static int list_each(void *arg, const char *key, uint64_t size,
                     int64_t mtime_us)
{
	return fsp_buf_printf(arg, "%s %llu %lld\n", key,
	                      (unsigned long long)size, (long long)mtime_us);
}

static int list(struct fsp_buf *out)
{
	fsp_buf_reset(out);
	return fsp_obj_list(env.s, &env.ctx, "", list_each, out);
}

#define ENTRY(key, size)                                                       \
	"<Contents><Key>" key "</Key><LastModified>2026-11-24T10:00:00.25Z"     \
	"</LastModified><Size>" size "</Size></Contents>"

static void test_list(void **state)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;

	(void)state;
	SCRIPT({ "GET /bkt?delimiter=%2F&encoding-type=url&list-type=2&"
	         "max-keys=1000&prefix=p%2F ", "200 OK", NULL,
	         XML "<ListBucketResult xmlns=\"http://x/\">"
	             "<IsTruncated>true</IsTruncated>"
	             "<NextContinuationToken>a+b/=</NextContinuationToken>"
	         ENTRY("p/a", "1") ENTRY("p/.hidden", "1") ENTRY("q/x", "1")
	         ENTRY("p/no%20key", "1") ENTRY("p%2Fb", "2")
	             "<CommonPrefixes><Prefix>p/deeper/</Prefix>"
	             "</CommonPrefixes></ListBucketResult>" },
	       { "continuation-token=a%2Bb%2F%3D&", "503 Busy", NULL, NULL },
	       { "continuation-token=a%2Bb%2F%3D&", "200 OK", NULL,
	         XML "<ListBucketResult><IsTruncated>false</IsTruncated>"
	         ENTRY("p/c", "18446744073709551615") "</ListBucketResult>" });
	assert_int_equal(list(&b), 0);
	assert_script_done();
	assert_string_equal(b.data, "a 1 1795514400250000\n"
	                            "b 2 1795514400250000\n"
	                            "c 18446744073709551615 "
	                            "1795514400250000\n");
	assert_int_equal(traffic().lists, 3);
}

static char *nested(int depth)
{
	struct fsp_buf b = FSP_BUF_INIT;

	for (int i = 0; i < depth; i++)
		assert_int_equal(fsp_buf_adds(&b, "<a>"), 0);
	for (int i = 0; i < depth; i++)
		assert_int_equal(fsp_buf_adds(&b, "</a>"), 0);
	return fsp_buf_steal(&b);
}

static char *long_text(void)
{
	char *s = malloc(100000);

	memset(s, 'x', 100000);
	memcpy(s, "<ListBucketResult>", 18);
	memcpy(s + 100000 - 20, "</ListBucketResult>", 20);
	return s;
}

static void test_hostile_documents(void **state)
{
	static const char bomb[] =
		"<?xml version=\"1.0\"?><!DOCTYPE b [<!ENTITY a \"aaaaaaaaaa\">"
		"<!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">"
		"<!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;\">"
		"<!ENTITY d \"&c;&c;&c;&c;&c;&c;&c;&c;\">]>"
		"<ListBucketResult>&d;</ListBucketResult>";
	static const char file[] =
		"<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>"
		"<ListBucketResult><NextContinuationToken>&x;"
		"</NextContinuationToken></ListBucketResult>";
	FSP_FREE char *deep = nested(40), *wide = long_text();
	const char *docs[] = {
		"", "no XML at all", "<ListBucketResult>", "<a></b>", bomb, file,
		deep, wide,
		"<ListBucketResult><IsTruncated>true</IsTruncated>"
		"</ListBucketResult>",
		"<ListBucketResult>" ENTRY("p/a", "-x") "</ListBucketResult>",
	};
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(docs) / sizeof(*docs); i++) {
		SCRIPT({ NULL, "200 OK", NULL, docs[i] });
		assert_int_equal(list(&b), -EIO);
		assert_script_done();
		assert_int_equal(b.len, 0);
		/* As an error's text they are only no help. */
		SCRIPT({ NULL, "403 No", NULL, docs[i] });
		assert_int_equal(get("k"), -EACCES);
		assert_script_done();
	}
	assert_null(strstr(logged(), "root:"));
}

/* A listing that goes round in circles ends. */
static void test_list_circle(void **state)
{
	static const char doc[] =
		"<ListBucketResult><IsTruncated>true</IsTruncated>"
		"<NextContinuationToken>same</NextContinuationToken>"
		"</ListBucketResult>";
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;

	(void)state;
	SCRIPT({ NULL, "200 OK", NULL, doc }, { NULL, "200 OK", NULL, doc });
	assert_int_equal(list(&b), -EIO);
	assert_script_done();
}

static void test_del_many(void **state)
{
	static const char *const keys[] = { "a", "b", "c" };

	(void)state;
	SCRIPT({ "POST /bkt?delete= ", "200 OK", NULL,
	         "<DeleteResult><Error><Key>p/b</Key><Code>InternalError</Code>"
	         "<Message>m</Message></Error></DeleteResult>" },
	       { "DELETE /bkt/p/b ", "503 Busy", NULL, NULL },
	       { "DELETE /bkt/p/b ", "204 Gone", NULL, NULL });
	assert_int_equal(fsp_obj_del_many(env.s, &env.ctx, keys, 3), 0);
	assert_script_done();
	assert_int_equal(strlen(standin_header(0, "content-md5")), 24);
	assert_non_null(strstr(standin.bodies[0].data,
	                       "<Object><Key>p/c</Key></Object>"));
	SCRIPT({ "POST /bkt?delete= ", "501 No", NULL,
	         ERROR_DOC("NotImplemented") },
	       { "DELETE /bkt/p/a ", "204 Gone", NULL, NULL },
	       { "DELETE /bkt/p/b ", "403 No", NULL, ERROR_DOC("AccessDenied") },
	       { "DELETE /bkt/p/c ", "404 No", NULL, ERROR_DOC("NoSuchKey") });
	assert_int_equal(fsp_obj_del_many(env.s, &env.ctx, keys, 3), -EACCES);
	assert_script_done();
	SCRIPT({ NULL, "200 OK", NULL, "<Something/>" });
	assert_int_equal(fsp_obj_del_many(env.s, &env.ctx, keys, 3), -EIO);
}

/* -- writing -- */

static void test_put_headers(void **state)
{
	struct fsp_s3_options o = options();

	(void)state;
	o.region = "eu-west-1";
	o.storage_class = "STANDARD_IA";
	o.sse = "aws:kms";
	o.sse_kms_key = "arn:aws:kms:eu-west-1:1:key/2";
	reopen(&o);
	SCRIPT(OK_PUT);
	assert_int_equal(put("k", "abc", 3), 0);
	assert_script_done();
	assert_string_equal(standin_header(0, "content-md5"),
	                    "kAFQmDzST7DWlj99KOF/cg==");
	assert_string_equal(standin_header(0, "x-amz-content-sha256"),
	                    "ba7816bf8f01cfea414140de5dae2223"
	                    "b00361a396177a9cb410ff61f20015ad");
	assert_string_equal(standin_header(0, "x-amz-storage-class"),
	                    "STANDARD_IA");
	assert_string_equal(standin_header(0, "x-amz-server-side-encryption"),
	                    "aws:kms");
	assert_string_equal(
		standin_header(0, "x-amz-server-side-encryption-aws-kms-key-id"),
		"arn:aws:kms:eu-west-1:1:key/2");
	assert_non_null(strstr(standin_header(0, "authorization"),
	                       "/20261124/eu-west-1/s3/aws4_request"));
	assert_string_equal(standin_header(0, "Expect"), "");
}

/* An ETag that is no MD5 is followed by a look at what is there. */
static void test_put_verified(void **state)
{
	(void)state;
	SCRIPT({ "PUT /", "200 OK", "ETag: \"other\"\r\n", NULL },
	       { "HEAD /", "200 OK", "ETag: \"other\"\r\n", NULL, 3 });
	assert_int_equal(put("k", "abc", 3), 0);
	assert_script_done();
	SCRIPT({ "PUT /", "200 OK", NULL, NULL },
	       { "HEAD /", "200 OK", "ETag: \"other\"\r\n", NULL, 4 });
	assert_int_equal(put("k", "abc", 3), -EIO);
	assert_script_done();
	SCRIPT({ "PUT /", "200 OK", NULL, NULL },
	       { "HEAD /", "404 No", NULL, NULL },
	       { "GET /", "404 No", NULL, ERROR_DOC("NoSuchKey") });
	assert_int_equal(put("k", "abc", 3), -EIO);
	assert_script_done();
	SCRIPT({ "PUT /", "400 No", NULL, ERROR_DOC("BadDigest") }, OK_PUT);
	assert_int_equal(put("k", "abc", 3), 0);
	assert_script_done();
}

static char big[2500];

#define BEGUN                                                                  \
	{ "POST /bkt/p/k?uploads= ", "200 OK", NULL,                            \
	  "<InitiateMultipartUploadResult><UploadId>u+1</UploadId>"             \
	  "</InitiateMultipartUploadResult>", SAID, KEEP, NULL }
#define PART(n, etag)                                                          \
	{ "PUT /bkt/p/k?partNumber=" n "&uploadId=u%2B1 ", "200 OK",            \
	  "ETag: \"" etag "\"\r\n", NULL, SAID, KEEP, NULL }
#define PARTS PART("1", "e1"), PART("2", "e2"), PART("3", "e3")
#define COMPLETE "POST /bkt/p/k?uploadId=u%2B1 "
#define DONE(etag)                                                             \
	{ COMPLETE, "200 OK", NULL,                                             \
	  "<CompleteMultipartUploadResult><ETag>" etag "</ETag>"                \
	  "</CompleteMultipartUploadResult>", SAID, KEEP, NULL }
#define ABORTED                                                                \
	{ "DELETE /bkt/p/k?uploadId=u%2B1 ", "204 Gone", NULL, NULL, SAID,      \
	  KEEP, NULL }
#define THERE { "HEAD /", "200 OK", "ETag: \"z-3\"\r\n", NULL, 2500, KEEP, NULL }

static void test_multipart(void **state)
{
	const char *list;

	(void)state;
	memset(big, 'x', sizeof(big));
	SCRIPT(BEGUN, PARTS, DONE("&quot;z-3&quot;"), THERE);
	assert_int_equal(put("k", big, sizeof(big)), 0);
	assert_script_done();
	/* The server can tell that a part is what was sent. */
	for (int i = 1; i <= 3; i++)
		assert_int_equal(strlen(standin_header(i, "x-amz-content-sha256")),
		                 64);
	list = standin.bodies[4].data;
	assert_non_null(strstr(list, "<PartNumber>1</PartNumber>"
	                             "<ETag>&quot;e1&quot;</ETag>"));
	assert_non_null(strstr(list, "<PartNumber>3</PartNumber>"
	                             "<ETag>&quot;e3&quot;</ETag>"));
}

/* With MD5s as ETags nothing has to be looked at. */
static void test_multipart_etag(void **state)
{
	char base64[S3_MD5_BASE64 + 1], hex[33], rest[33], sums[3 * 16];
	char all[33], h1[64], h3[64], done[256];

	(void)state;
	memset(big, 'x', sizeof(big));
	assert_int_equal(s3_md5(big, 1000, base64, hex), 0);
	assert_int_equal(s3_md5(big, 500, base64, rest), 0);
	assert_int_equal(fsp_unhex(sums, 16, hex), 0);
	memcpy(sums + 16, sums, 16);
	assert_int_equal(fsp_unhex(sums + 32, 16, rest), 0);
	assert_int_equal(s3_md5(sums, sizeof(sums), base64, all), 0);
	(void)snprintf(h1, sizeof(h1), "ETag: \"%s\"\r\n", hex);
	(void)snprintf(h3, sizeof(h3), "ETag: \"%s\"\r\n", rest);
	(void)snprintf(done, sizeof(done),
	               "<CompleteMultipartUploadResult><ETag>\"%s-3\"</ETag>"
	               "</CompleteMultipartUploadResult>", all);
	SCRIPT(BEGUN, { "partNumber=1&", "200 OK", h1 },
	       { "partNumber=2&", "200 OK", h1 },
	       { "partNumber=3&", "200 OK", h3 },
	       { COMPLETE, "200 OK", NULL, done });
	assert_int_equal(put("k", big, sizeof(big)), 0);
	assert_script_done();
}

static void test_complete_lies(void **state)
{
	struct fsp_s3_options o = options();

	(void)state;
	memset(big, 'x', sizeof(big));
	SCRIPT(BEGUN, PARTS,
	       { COMPLETE, "200 OK", NULL, ERROR_DOC("InternalError") },
	       DONE("z-3"), THERE);
	assert_int_equal(put("k", big, sizeof(big)), 0);
	assert_script_done();
	SCRIPT(BEGUN, PARTS,
	       { COMPLETE, "200 OK", NULL, ERROR_DOC("AccessDenied") }, ABORTED);
	assert_int_equal(put("k", big, sizeof(big)), -EACCES);
	reopen(&o);             /* which waits for the abort */
	assert_script_done();
	/* RGW: an empty ETag. */
	SCRIPT(BEGUN, PARTS, DONE(""), THERE);
	assert_int_equal(put("k", big, sizeof(big)), 0);
	assert_script_done();
	SCRIPT(BEGUN, PARTS, DONE(""),
	       { "HEAD /", "200 OK", "ETag: \"z-3\"\r\n", NULL, 2499 });
	assert_int_equal(put("k", big, sizeof(big)), -EIO);
	assert_script_done();
}

/* Its answer was lost; the second finds no upload any more. */
static void test_complete_lost(void **state)
{
	(void)state;
	memset(big, 'x', sizeof(big));
	SCRIPT(BEGUN, PARTS, { COMPLETE, NULL, .end = RESET },
	       { COMPLETE, "404 No", NULL, ERROR_DOC("NoSuchUpload") }, THERE);
	assert_int_equal(put("k", big, sizeof(big)), 0);
	assert_script_done();
	SCRIPT(BEGUN, PARTS, { COMPLETE, NULL, .end = RESET },
	       { COMPLETE, "404 No", NULL, ERROR_DOC("NoSuchUpload") },
	       { "HEAD /", "404 No", NULL, NULL },
	       { "GET /", "404 No", NULL, ERROR_DOC("NoSuchKey") });
	assert_int_equal(put("k", big, sizeof(big)), -EIO);
	assert_script_done();
}

static void test_part_fails(void **state)
{
	struct fsp_s3_options o = options();
	struct fsp_objwriter *w;

	(void)state;
	memset(big, 'x', sizeof(big));
	SCRIPT(BEGUN, PART("1", "e1"),
	       { "partNumber=2&", "403 No", NULL, ERROR_DOC("QuotaExceeded") },
	       ABORTED, PART("3", "e3"));
	assert_int_equal(fsp_obj_put_begin(env.s, &env.ctx, "k", &w), 0);
	/* Whether the third part still went is a race that both may win. */
	if (!fsp_obj_put_write(w, big, sizeof(big)))
		assert_int_equal(fsp_obj_put_commit(w), -EDQUOT);
	else
		fsp_obj_put_abort(w);
	reopen(&o);
	assert_int_equal(standin.n_unexpected, 0);
	assert_true(standin.used[3]);
}

static void test_begin_makes_no_sense(void **state)
{
	(void)state;
	memset(big, 'x', sizeof(big));
	SCRIPT({ NULL, "200 OK", NULL, "<InitiateMultipartUploadResult/>" });
	assert_int_equal(put("k", big, sizeof(big)), -EIO);
	assert_script_done();
}

/* -- connections -- */

static void test_keep_alive(void **state)
{
	(void)state;
	SCRIPT(OK_PUT, { "GET /", "200 OK", ETAG_A, "x" }, OK_PUT,
	       { "GET /", "404 No", NULL, ERROR_DOC("NoSuchKey") }, OK_PUT);
	assert_int_equal(put("k", "abc", 3), 0);
	assert_int_equal(get("k"), 0);
	assert_int_equal(put("k", "abc", 3), 0);
	assert_int_equal(get("k"), -ENOENT);
	assert_int_equal(put("k", "abc", 3), 0);
	assert_script_done();
	assert_int_equal(standin.n_connections - standin.n_before, 1);
}

/* The server has closed it in between: that is no failure. */
static void test_kept_is_dead(void **state)
{
	(void)state;
	SCRIPT({ "PUT /", "200 OK",
	         "ETag: \"900150983cd24fb0d6963f7d28e17f72\"\r\n", NULL, SAID,
	         CLOSE }, OK_PUT);
	assert_int_equal(put("k", "abc", 3), 0);
	assert_int_equal(put("k", "abc", 3), 0);
	assert_script_done();
	assert_int_equal(traffic().retries, 0);
	assert_string_equal(logged(), "");
}

static void *get_thread(void *arg)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	long rc = fsp_obj_get(env.s, &env.ctx, arg, buf_sink, &b);

	return (void *)(rc ? rc : b.len == 1 ? 0 : -EIO);
}

static void test_bounded(void **state)
{
	static char name[] = "k";
	struct fsp_s3_options o = options();
	struct standin_step steps[STANDIN_STEPS];
	pthread_t t[STANDIN_STEPS];

	(void)state;
	o.connections = 3;
	o.timeout_ns = 60 * FSP_NS_PER_SEC;
	reopen(&o);
	for (int i = 0; i < STANDIN_STEPS; i++)
		steps[i] = (struct standin_step){ NULL, "200 OK", ETAG_A, "x" };
	standin_script(steps, STANDIN_STEPS);
	for (int i = 0; i < STANDIN_STEPS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, get_thread, name),
		                 0);
	for (int i = 0; i < STANDIN_STEPS; i++) {
		void *rc;

		assert_int_equal(pthread_join(t[i], &rc), 0);
		assert_null(rc);
	}
	assert_script_done();
	assert_in_range(standin.n_connections - standin.n_before, 1, 3);
}

/* -- options -- */

static void assert_refused(const struct fsp_s3_options *o, const char *says)
{
	struct fsp_objstore *s;
	char *error;

	assert_int_equal(fsp_objstore_s3_open(o, &s, &error), -EINVAL);
	assert_non_null(error);
	if (!strstr(error, says))
		fail_msg("'%s' lacks '%s'", error, says);
	free(error);
}

static void test_options(void **state)
{
	struct fsp_s3_options good = options(), o = good;

	(void)state;
	o.endpoint = "ftp://x";
	assert_refused(&o, "s3.endpoint = ftp://x");
	o.endpoint = "http://user:" SECRET "@x";
	assert_refused(&o, "s3.endpoint = ...");
	o.endpoint = "https://x/y";
	assert_refused(&o, "must end after the host");
	o.endpoint = "https://";
	assert_refused(&o, "is no URL");
	o = good;
	o.bucket = "a/b";
	assert_refused(&o, "s3.bucketname = a/b");
	o.bucket = "..";
	assert_refused(&o, "s3.bucketname");
	o.bucket = NULL;
	assert_refused(&o, "s3.bucketname");
	o = good;
	o.prefix = "a\nb";
	assert_refused(&o, "s3.prefix");
	o = good;
	o.region = "x\r\ny";
	assert_refused(&o, "s3.region");
	o = good;
	o.storage_class = "A B";
	assert_refused(&o, "s3.storage_class");
	o = good;
	o.sse_kms_key = "k";
	assert_refused(&o, "s3.sse = aws:kms");
	o = good;
	o.secret_key = NULL;
	assert_refused(&o, "key");
}

static void assert_place(const struct fsp_s3_options *o, const char *url,
                         const char *path)
{
	struct fsp_objstore *s = open_store(o);

	assert_string_equal(s3_of(s)->url, url);
	assert_string_equal(s3_of(s)->bucket_path, path);
	fsp_obj_close(s);
}

static void test_places(void **state)
{
	struct fsp_s3_options o = options();

	(void)state;
	o.bucket = "my-bucket";
	o.endpoint = NULL;
	o.region = "eu-west-1";
	assert_place(&o, "https://my-bucket.s3.eu-west-1.amazonaws.com", "");
	o.path_style = FSP_S3_PATH_YES;
	assert_place(&o, "https://s3.eu-west-1.amazonaws.com", "/my-bucket");
	o.path_style = FSP_S3_PATH_AUTO;
	o.bucket = "my.bucket";
	assert_place(&o, "https://s3.eu-west-1.amazonaws.com", "/my.bucket");
	o.bucket = "my-bucket";
	o.endpoint = "s3.example.org";
	assert_place(&o, "https://my-bucket.s3.example.org", "");
	o.endpoint = "https://s3.example.org:8443/";
	assert_place(&o, "https://my-bucket.s3.example.org:8443", "");
	o.endpoint = "http://10.1.2.3:9000";
	assert_place(&o, "http://10.1.2.3:9000", "/my-bucket");
	o.endpoint = "http://[::1]:9000";
	assert_place(&o, "http://[::1]:9000", "/my-bucket");
	o.endpoint = "http://minio:9000";
	assert_place(&o, "http://minio:9000", "/my-bucket");
	o.path_style = FSP_S3_PATH_NO;
	assert_place(&o, "http://my-bucket.minio:9000", "");
}

#define S3_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		S3_TEST(test_again),
		S3_TEST(test_to_the_end),
		S3_TEST(test_retry_after),
		S3_TEST(test_final),
		S3_TEST(test_redirects),
		S3_TEST(test_check),
		S3_TEST(test_skew),
		S3_TEST(test_skew_once),
		S3_TEST(test_expired),
		S3_TEST(test_expired_container),
		S3_TEST(test_expired_for_good),
		S3_TEST(test_resume),
		S3_TEST(test_resume_whole),
		S3_TEST(test_resume_other),
		S3_TEST(test_cut_for_good),
		S3_TEST(test_endless),
		S3_TEST(test_head),
		S3_TEST(test_stalled),
		S3_TEST(test_deadline),
		S3_TEST(test_cancelled),
		S3_TEST(test_list),
		S3_TEST(test_hostile_documents),
		S3_TEST(test_list_circle),
		S3_TEST(test_del_many),
		S3_TEST(test_put_headers),
		S3_TEST(test_put_verified),
		S3_TEST(test_multipart),
		S3_TEST(test_multipart_etag),
		S3_TEST(test_complete_lies),
		S3_TEST(test_complete_lost),
		S3_TEST(test_part_fails),
		S3_TEST(test_begin_makes_no_sense),
		S3_TEST(test_keep_alive),
		S3_TEST(test_kept_is_dead),
		S3_TEST(test_bounded),
		S3_TEST(test_options),
		S3_TEST(test_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
