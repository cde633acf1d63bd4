/*
 * Where the S3 keys come from: each source, their order, and keys that expire,
 * with a stand-in on loopback for the metadata service and the container's
 * endpoint. The wall clock is the test's.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../src/objstore/s3_cred_impl.h"
#include "fsp_buf.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_file.h"
#include "fsp_lock.h"

/* 2026-11-24T10:00:00Z */
#define NOON (1795514400LL * FSP_NS_PER_SEC)
#define SECOND FSP_NS_PER_SEC

static _Atomic int64_t now_ns = NOON;
static char dir[] = "/tmp/fsp-s3-cred-XXXXXX";
static struct fsp_ctx ctx;

static int64_t test_now(void)
{
	return now_ns;
}

/* -- the stand-in -- */

static struct {
	int fd, port;
	pthread_t thread;
	struct fsp_mutex lock;
	struct fsp_cond changed;
	/* what it answers */
	_Atomic int token_status, role_status, keys_status;
	_Atomic(const char *) token, role;
	char keys[256];         /* under the lock */
	_Atomic size_t pad;     /* blanks before the keys */
	_Atomic(const char *) want_auth;        /* NULL: any */
	atomic_bool mute;       /* takes requests and never answers */
	bool gate;              /* holds the answer with the keys back */
	/* what it has seen */
	_Atomic int connections, key_requests;
	int at_gate;
} srv;

static void set_keys(const char *name, const char *expires)
{
	FSP_GUARD(&srv.lock);
	snprintf(srv.keys, sizeof(srv.keys),
	         "{\"Code\":\"Success\",\"AccessKeyId\":\"A%s\",\n"
	         "\"SecretAccessKey\":\"S\\/%s\",\"Token\":\"T%s\","
	         "\"Expiration\":\"%s\",\"More\":{\"x\":[1,null]}}",
	         name, name, name, expires);
}

static void reply(int fd, int status, const char *body, size_t pad)
{
	char head[256], blanks[1024];

	memset(blanks, ' ', sizeof(blanks));
	snprintf(head, sizeof(head),
	         "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n"
	         "Connection: close\r\n\r\n", status, pad + strlen(body));
	/* A client that has gone is what some tests are about. */
	(void)!send(fd, head, strlen(head), MSG_NOSIGNAL);
	for (; pad; pad -= pad < 1024 ? pad : 1024)
		(void)!send(fd, blanks, pad < 1024 ? pad : 1024, MSG_NOSIGNAL);
	(void)!send(fd, body, strlen(body), MSG_NOSIGNAL);
}

static void reply_keys(int fd)
{
	char body[sizeof(srv.keys)];

	fsp_lock(&srv.lock);
	srv.key_requests++;
	srv.at_gate++;
	fsp_cond_broadcast(&srv.changed);
	while (srv.gate)
		(void)fsp_cond_wait(&srv.changed, &srv.lock, 0);
	srv.at_gate--;
	memcpy(body, srv.keys, sizeof(body));
	fsp_unlock(&srv.lock);
	reply(fd, srv.keys_status, body, srv.pad);
}

static bool has_line(const char *request, const char *line)
{
	const char *at = strstr(request, line);

	return at && (strncmp(at + strlen(line), "\r\n", 2) == 0 ||
	              line[strlen(line) - 1] == ' ');
}

static void answer(int fd, const char *r)
{
	static const char roles[] =
		"GET /latest/meta-data/iam/security-credentials/";

	if (strncmp(r, "PUT /latest/api/token ", 22) == 0) {
		bool ttl = has_line(
			r, "X-aws-ec2-metadata-token-ttl-seconds: 300");

		reply(fd, ttl ? srv.token_status : 400, srv.token, 0);
	} else if (strncmp(r, roles, strlen(roles)) == 0) {
		if (!has_line(r, "X-aws-ec2-metadata-token: tok-1"))
			reply(fd, 401, "", 0);
		else if (r[strlen(roles)] == ' ')
			reply(fd, srv.role_status, srv.role, 0);
		else if (strncmp(r + strlen(roles), "the-role ", 9) == 0)
			reply_keys(fd);
		else
			reply(fd, 404, "", 0);
	} else if (strncmp(r, "GET /container?x=1 ", 19) == 0) {
		if (srv.want_auth && !has_line(r, srv.want_auth))
			reply(fd, 403, "", 0);
		else
			reply_keys(fd);
	} else {
		reply(fd, 404, "", 0);
	}
}

static void serve_one(int fd)
{
	char request[8192];
	size_t len = 0;

	for (;;) {
		ssize_t n = recv(fd, request + len, sizeof(request) - 1 - len,
		                 0);

		if (n <= 0)
			return;
		len += (size_t)n;
		request[len] = '\0';
		/* When it is mute, the client ends it. */
		if (!srv.mute && strstr(request, "\r\n\r\n"))
			break;
	}
	answer(fd, request);
}

static void *serve(void *arg)
{
	(void)arg;
	for (;;) {
		int fd = accept(srv.fd, NULL, NULL);

		if (fd < 0)
			return NULL;
		fsp_lock(&srv.lock);
		srv.connections++;
		fsp_unlock(&srv.lock);
		serve_one(fd);
		close(fd);
	}
}

static char imds[64], container[64];

static void start_server(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);

	fsp_mutex_init(&srv.lock);
	fsp_cond_init(&srv.changed);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	srv.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(srv.fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(srv.fd, 16), 0);
	assert_int_equal(getsockname(srv.fd, (struct sockaddr *)&a, &len), 0);
	srv.port = ntohs(a.sin_port);
	assert_int_equal(pthread_create(&srv.thread, NULL, serve, NULL), 0);
	snprintf(imds, sizeof(imds), "http://127.0.0.1:%d/", srv.port);
	snprintf(container, sizeof(container),
	         "http://127.0.0.1:%d/container?x=1", srv.port);
}

/* A port where nobody listens: one that was ours a moment ago. */
static void closed_port(char *url, size_t size)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	close(fd);
	snprintf(url, size, "http://127.0.0.1:%d", ntohs(a.sin_port));
}

/* -- each test starts from here -- */

static const char *const variables[] = {
	"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE",
	"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
	"AWS_CONTAINER_CREDENTIALS_FULL_URI",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
	"AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_DISABLED"
};

static char log_path[64];
static int real_stderr = -1;

static int setup(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(variables) / sizeof(*variables); i++)
		unsetenv(variables[i]);
	setenv("HOME", dir, 1);
	setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
	now_ns = NOON;
	fsp_clock_set(test_now);
	ctx = fsp_ctx_background();
	s3_http_limits(5000, 10000);
	FSP_GUARD(&srv.lock);
	srv.token_status = srv.role_status = srv.keys_status = 200;
	srv.token = "tok-1";
	srv.role = "the-role\n";
	srv.want_auth = NULL;
	srv.mute = srv.gate = false;
	srv.pad = 0;
	srv.connections = srv.key_requests = 0;
	return 0;
}

/* What is logged from here on goes into a file. */
static void log_begin(void)
{
	int fd;

	snprintf(log_path, sizeof(log_path), "%s/log", dir);
	fd = open(log_path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	assert_true(fd >= 0);
	real_stderr = dup(2);
	dup2(fd, 2);
	close(fd);
}

static void log_end(struct fsp_buf *out)
{
	dup2(real_stderr, 2);
	close(real_stderr);
	assert_int_equal(fsp_read_file(log_path, out, 1 << 20), 0);
}

static int count(const char *text, const char *word)
{
	int n = 0;

	while ((text = strstr(text, word))) {
		n++;
		text++;
	}
	return n;
}

static struct s3_cred *make(const struct s3_cred_options *o)
{
	struct s3_cred *c;
	char *error;

	assert_int_equal(s3_cred_new(o, &c, &error), 0);
	return c;
}

/* What get gives: access, secret and token joined by blanks, or the error. */
static int get(struct s3_cred *c, char out[256])
{
	struct s3_keys k;
	int err = s3_cred_get(c, &ctx, &k);

	out[0] = '\0';
	if (err)
		assert_true(!k.access && !k.secret && !k.token);
	else
		snprintf(out, 256, "%s %s %s", k.access, k.secret,
		         k.token ? k.token : "-");
	s3_keys_free(&k);
	return err;
}

static void expect(struct s3_cred *c, const char *want)
{
	char got[256];

	assert_int_equal(get(c, got), 0);
	assert_string_equal(got, want);
}

/* Secrets are S/ and a character; the name of a directory may end in S, too. */
static bool tells_secret(const char *s)
{
	while ((s = strstr(s, "S/"))) {
		if (s[2] && !isalnum((unsigned char)s[3]))
			return true;
		s += 2;
	}
	return false;
}

/* One get over a new chain that has to fail; the log says why. */
static void refused(const struct s3_cred_options *o, int want,
                    const char *words)
{
	FSP_BUF struct fsp_buf log = FSP_BUF_INIT;
	struct s3_cred *c = make(o);
	char got[256];
	int err;

	log_begin();
	err = get(c, got);
	log_end(&log);
	s3_cred_free(c);
	assert_false(tells_secret(log.data));
	if (err != want || !strstr(log.data, words))
		fail_msg("error %d, log: %s (wanted: %s)", err, log.data,
		         words);
}

static void serves(const struct s3_cred_options *o, const char *want)
{
	struct s3_cred *c = make(o);

	expect(c, want);
	s3_cred_free(c);
}

static char *write_file(const char *name, mode_t mode, const char *text)
{
	static char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
	return path;
}

static const struct s3_cred_options none;

/* -- what somebody has written down -- */

static void test_settings(void **state)
{
	static const struct s3_cred_options half[] = {
		{ .access = "A" }, { .secret = "S" }, { .token = "T" }
	};
	struct s3_cred_options all = { .access = "A", .secret = "S" };
	struct s3_cred *c;
	char *error;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(s3_cred_new(&half[i], &c, &error), -EINVAL);
		assert_non_null(strstr(error, "is not"));
		free(error);
	}
	setenv("AWS_ACCESS_KEY_ID", "E", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "ES", 1);
	all.file = "/nonexistent";
	serves(&all, "A S -");
	all.token = "T";
	serves(&all, "A S T");
	all.access = "A\nX: y";
	refused(&all, -EACCES, "control character");
}

static void test_environment(void **state)
{
	(void)state;
	setenv("AWS_ACCESS_KEY_ID", "E", 1);
	refused(&none, -EACCES, "AWS_SECRET_ACCESS_KEY is not set");
	setenv("AWS_SECRET_ACCESS_KEY", "ES", 1);
	serves(&none, "E ES -");
	setenv("AWS_SESSION_TOKEN", "ET", 1);
	serves(&none, "E ES ET");
	setenv("AWS_ACCESS_KEY_ID", "", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "", 1);
	refused(&none, -EACCES, "AWS_EC2_METADATA_DISABLED is true");
	assert_int_equal(srv.connections, 0);
}

static const char profiles[] =
	"# mine\r\n[default]\r\n\taws_access_key_id = D\r\n"
	"aws_secret_access_key= D/S+=\r\nregion = x\r\n"
	"[a-name-of-more-than-fifty-bytes-that-goes-on-and-on-1]\n"
	"aws_access_key_id = L1\naws_secret_access_key = L1S\n"
	"[a-name-of-more-than-fifty-bytes-that-goes-on-and-on-2]\n"
	"aws_access_key_id = L2\naws_secret_access_key = L2S\n"
	"aws_session_token = L2T\n"
	"; role\n[role]\nrole_arn = arn:x\n";

#define LONG_2 "a-name-of-more-than-fifty-bytes-that-goes-on-and-on-2"

static void test_file(void **state)
{
	struct s3_cred_options o = { .file = write_file("f", 0600, profiles) };
	char words[256];

	(void)state;
	/* Before the environment. */
	setenv("AWS_ACCESS_KEY_ID", "E", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "ES", 1);
	serves(&o, "D D/S+= -");
	setenv("AWS_PROFILE", LONG_2, 1);
	serves(&o, "L2 L2S L2T");
	o.profile = "default";
	serves(&o, "D D/S+= -");
	o.profile = "role";
	refused(&o, -EACCES, "the profile [role] has no aws_access_key_id");
	o.profile = "a-name-of-more-than-fifty-bytes-that-goes-on-and-on";
	refused(&o, -EACCES, "has no profile [a-name-of-more");
	o.profile = "default";
	assert_int_equal(chmod(o.file, 0640), 0);
	snprintf(words, sizeof(words), "%s: holds a secret and its mode is "
	                               "0640", o.file);
	refused(&o, -EACCES, words);
	o.file = "/nonexistent/f";
	refused(&o, -EACCES, "/nonexistent/f: No such file");
	o.file = dir;
	refused(&o, -EACCES, "is no file");
}

static void test_file_garbage(void **state)
{
	static const struct {
		const char *text, *words;
	} bad[] = {
		{ "[default\na = b\n", ":1: the profile's name has no ]" },
		{ "[default]\n\nwhat\n", ":3: neither a [profile]" },
		{ "[default]\naws_access_key_id=A\naws_access_key_id=B\n",
		  ":3: is set twice" },
		{ "[default]\naws_access_key_id=A\naws_secret_access_key=\n",
		  "has no aws_secret_access_key" },
		{ "", "has no profile [default]" },
		{ "[default]\naws_access_key_id=A B\n"
		  "aws_secret_access_key=S\n", "control character" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct s3_cred_options o = {
			.file = write_file("bad", 0600, bad[i].text)
		};

		refused(&o, -EACCES, bad[i].words);
	}
}

static void test_shared_file(void **state)
{
	struct s3_cred_options o = { 0 };
	char aws[64];

	(void)state;
	refused(&o, -EACCES, "/.aws/credentials: No such file");
	o.profile = "p";
	refused(&o, -EACCES, "/.aws/credentials: No such file");
	o.profile = NULL;
	snprintf(aws, sizeof(aws), "%s/.aws", dir);
	assert_int_equal(mkdir(aws, 0700), 0);
	write_file(".aws/credentials", 0600, profiles);
	serves(&o, "D D/S+= -");
	setenv("AWS_PROFILE", "role", 1);
	refused(&o, -EACCES, "[role] has no");
	unsetenv("AWS_PROFILE");
	setenv("AWS_SHARED_CREDENTIALS_FILE",
	       write_file("other", 0600, "[default]\naws_access_key_id=O\n"
	                                 "aws_secret_access_key=OS\n"), 1);
	serves(&o, "O OS -");
	write_file("other", 0604, "[default]\n");
	refused(&o, -EACCES, "mode is 0604");
	setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
	refused(&o, -EACCES, "/nonexistent: No such file");
	write_file(".aws/credentials", 0600, "");
	assert_int_equal(unlink(write_file(".aws/credentials", 0600, "")), 0);
	assert_int_equal(rmdir(aws), 0);
}

/* A file that was changed serves after a refusal, not before. */
static void test_file_changes(void **state)
{
	struct s3_cred_options o = {
		.file = write_file("f", 0600, "[default]\n"
		                              "aws_access_key_id = 1\n"
		                              "aws_secret_access_key = 1S\n")
	};
	struct s3_cred *c = make(&o);

	(void)state;
	expect(c, "1 1S -");
	assert_int_equal(s3_cred_renew(c, &ctx), -EACCES);
	write_file("f", 0600, "[default]\naws_access_key_id = 2\n"
	                      "aws_secret_access_key = 2S\n");
	expect(c, "1 1S -");
	now_ns += 6 * SECOND;
	assert_int_equal(s3_cred_renew(c, &ctx), 0);
	expect(c, "2 2S -");
	/* Another thread's request was refused with the old ones, too. */
	assert_int_equal(s3_cred_renew(c, &ctx), 0);
	now_ns += 6 * SECOND;
	assert_int_equal(s3_cred_renew(c, &ctx), -EACCES);
	s3_cred_free(c);
}

/* -- the metadata service -- */

static const struct s3_cred_options *use_imds(void)
{
	static struct s3_cred_options o;

	o = (struct s3_cred_options){ .imds_endpoint = imds };
	unsetenv("AWS_EC2_METADATA_DISABLED");
	return &o;
}

static void test_imds(void **state)
{
	const struct s3_cred_options *o = use_imds();

	(void)state;
	set_keys("1", "2026-11-24T16:00:00Z");
	serves(o, "A1 S/1 T1");
	set_keys("2", "2026-11-24T16:00:00.123Z");
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds, 1);
	serves(&none, "A2 S/2 T2");
	setenv("AWS_EC2_METADATA_DISABLED", "TRUE", 1);
	srv.connections = 0;
	refused(&none, -EACCES, "AWS_EC2_METADATA_DISABLED");
	assert_int_equal(srv.connections, 0);
}

static void test_imds_refuses(void **state)
{
	const struct s3_cred_options *o = use_imds();

	(void)state;
	set_keys("1", "2026-11-24T16:00:00Z");
	srv.token_status = 403;
	refused(o, -EACCES, "switched off");
	srv.token_status = 500;
	refused(o, -EHOSTDOWN, "HTTP status 500");
	srv.token_status = 200;
	srv.token = "tok-2";
	refused(o, -EACCES, "HTTP status 401");
	srv.token = "tok\r\n-1";
	refused(o, -EIO, "no token");
	srv.token = "";
	refused(o, -EIO, "no token");
	srv.token = "tok-1";
	srv.role_status = 404;
	refused(o, -EACCES, "the instance has no role");
	srv.role_status = 200;
	srv.role = "../../x";
	refused(o, -EIO, "no role's name");
	srv.role = "other";
	refused(o, -EACCES, "HTTP status 404");
}

/* Nobody there, and somebody who does not answer. */
static void test_imds_silent(void **state)
{
	struct s3_cred_options o = *use_imds();
	char closed[64];

	(void)state;
	closed_port(closed, sizeof(closed));
	o.imds_endpoint = closed;
	refused(&o, -EACCES, "not reachable");
	srv.mute = true;
	s3_http_limits(5000, 50);
	o.imds_endpoint = imds;
	refused(&o, -ETIMEDOUT, "HttpPutResponseHopLimit");
}

static void test_garbage(void **state)
{
	static const char *const bad[] = {
		"", "{", "[]", "\"x\"", "nonsense", "{}", "<html>",
		"{\"AccessKeyId\":\"A\"}",
		"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":1,\"Token\":\"T\","
		"\"Expiration\":\"2026-11-24T16:00:00Z\"}",
		"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\","
		"\"Token\":\"T\",\"Expiration\":\"tomorrow\"}",
		"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\","
		"\"Token\":\"T\"}",
		"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\","
		"\"Token\":\"T\",\"Expiration\":\"2026-11-24T16:00:00Z\"}x",
		"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\\u0000\","
		"\"Token\":\"T\",\"Expiration\":\"2026-11-24T16:00:00Z\"}",
		"{\"a\":[[[[[[[[[[[[]]]]]]]]]]]]}",
	};
	const struct s3_cred_options *o = use_imds();

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		fsp_lock(&srv.lock);
		snprintf(srv.keys, sizeof(srv.keys), "%s", bad[i]);
		fsp_unlock(&srv.lock);
		refused(o, -EIO, "the answer");
	}
	set_keys("\\r\\nX: y", "2026-11-24T16:00:00Z");
	refused(o, -EACCES, "control character");
	set_keys("1", "2026-11-24T09:59:59Z");
	refused(o, -EACCES, "expired already");
	fsp_lock(&srv.lock);
	snprintf(srv.keys, sizeof(srv.keys), "{\"Code\":\"Failed\"}");
	fsp_unlock(&srv.lock);
	refused(o, -EACCES, "has no keys");
	set_keys("1", "2026-11-24T16:00:00Z");
	srv.pad = 60000;
	serves(o, "A1 S/1 T1");
	srv.pad = 70000;
	refused(o, -EIO, "Input/output");
}

/* Five minutes ahead; a failure harms only when the old ones have expired. */
static void test_refresh(void **state)
{
	FSP_BUF struct fsp_buf log = FSP_BUF_INIT;
	struct s3_cred *c = make(use_imds());
	char got[256];

	(void)state;
	set_keys("1", "2026-11-24T16:00:00Z");
	expect(c, "A1 S/1 T1");
	set_keys("2", "2026-11-24T22:00:00Z");
	now_ns = NOON + (6 * 3600 - 300) * SECOND;
	expect(c, "A1 S/1 T1");
	assert_int_equal(srv.key_requests, 1);
	now_ns += SECOND;
	expect(c, "A2 S/2 T2");
	assert_int_equal(srv.key_requests, 2);

	log_begin();
	srv.keys_status = 500;
	now_ns = NOON + (12 * 3600 - 100) * SECOND;
	for (int i = 0; i < 5; i++) {
		expect(c, "A2 S/2 T2");
		expect(c, "A2 S/2 T2");         /* within the pause */
		now_ns += 6 * SECOND;
	}
	assert_int_equal(srv.key_requests, 7);
	log_end(&log);
	assert_int_equal(count(log.data, "could not be renewed"), 1);
	now_ns = NOON + 12 * 3600 * SECOND;
	assert_int_equal(get(c, got), -EHOSTDOWN);
	assert_int_equal(srv.key_requests, 8);
	assert_int_equal(get(c, got), -EHOSTDOWN);
	assert_int_equal(srv.key_requests, 8);
	srv.keys_status = 200;
	set_keys("3", "2026-11-25T22:00:00Z");
	now_ns += 5 * SECOND;
	expect(c, "A3 S/3 T3");
	s3_cred_free(c);
}

struct asker {
	struct s3_cred *c;
	char got[256];
	int err;
};

static void *ask(void *arg)
{
	struct asker *a = arg;

	a->err = get(a->c, a->got);
	return NULL;
}

static void wait_gate(void)
{
	FSP_GUARD(&srv.lock);
	while (!srv.at_gate)
		(void)fsp_cond_wait(&srv.changed, &srv.lock, 0);
}

static void set_gate(bool closed)
{
	FSP_GUARD(&srv.lock);
	srv.gate = closed;
	fsp_cond_broadcast(&srv.changed);
}

/* One asks; the others go on with the old keys meanwhile. */
static void test_one_at_a_time(void **state)
{
	struct asker a = { .c = make(use_imds()) }, more[4];
	pthread_t t, others[4];

	(void)state;
	/* Without any keys all wait for one answer. */
	set_keys("1", "2026-11-24T16:00:00Z");
	set_gate(true);
	for (int i = 0; i < 4; i++) {
		more[i].c = a.c;
		assert_int_equal(pthread_create(&others[i], NULL, ask,
		                                &more[i]), 0);
	}
	wait_gate();
	set_gate(false);
	for (int i = 0; i < 4; i++) {
		pthread_join(others[i], NULL);
		assert_int_equal(more[i].err, 0);
		assert_string_equal(more[i].got, "A1 S/1 T1");
	}
	assert_int_equal(srv.key_requests, 1);

	set_keys("2", "2026-11-24T22:00:00Z");
	now_ns = NOON + (6 * 3600 - 100) * SECOND;
	set_gate(true);
	assert_int_equal(pthread_create(&t, NULL, ask, &a), 0);
	wait_gate();
	expect(a.c, "A1 S/1 T1");
	set_gate(false);
	pthread_join(t, NULL);
	assert_string_equal(a.got, "A2 S/2 T2");
	assert_int_equal(srv.key_requests, 2);
	s3_cred_free(a.c);
}

/* A caller who gives up says nothing about the source. */
static void test_cancelled(void **state)
{
	struct s3_cred *c = make(use_imds());
	atomic_bool yes = true;
	char got[256];

	(void)state;
	set_keys("1", "2026-11-24T16:00:00Z");
	ctx.cancelled = &yes;
	assert_int_equal(get(c, got), -EINTR);
	yes = false;
	expect(c, "A1 S/1 T1");
	s3_cred_free(c);
}

static void test_renew(void **state)
{
	struct s3_cred *c = make(use_imds());

	(void)state;
	set_keys("1", "2026-11-24T16:00:00Z");
	expect(c, "A1 S/1 T1");
	set_keys("2", "2026-11-24T16:00:00Z");
	assert_int_equal(s3_cred_renew(c, &ctx), 0);
	expect(c, "A2 S/2 T2");
	srv.token_status = 503;
	now_ns += 6 * SECOND;
	assert_int_equal(s3_cred_renew(c, &ctx), -EHOSTDOWN);
	expect(c, "A2 S/2 T2");
	s3_cred_free(c);
}

/* -- a container's endpoint -- */

static void test_container(void **state)
{
	char *file;

	(void)state;
	set_keys("c", "2026-11-24T16:00:00Z");
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", container, 1);
	serves(&none, "Ac S/c Tc");
	srv.want_auth = "Authorization: one";
	refused(&none, -EACCES, "HTTP status 403");
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "one", 1);
	serves(&none, "Ac S/c Tc");
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "one\r\nX: y", 1);
	refused(&none, -EACCES, "line end");
	/* The file wins, and is read each time. */
	file = write_file("token", 0644, "two\n");
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file, 1);
	refused(&none, -EACCES, "HTTP status 403");
	write_file("token", 0644, "one\n");
	serves(&none, "Ac S/c Tc");
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/nonexistent", 1);
	refused(&none, -EACCES, "/nonexistent");
}

/* The token must not cross a network in the open. */
static void test_container_where(void **state)
{
	static const char *const bad[] = {
		"http://example.org/x", "http://127.0.0.1.example.org/",
		"http://10.0.0.1/", "ftp://127.0.0.1/", "http://1270.0.1/",
		"http://127.0.0.1@10.0.0.1/", "nonsense", "file:///etc/passwd",
		"http://[::2]/", "http://169.254.170.3/",
	};
	char closed[64], url[96];

	(void)state;
	srv.connections = 0;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", bad[i], 1);
		refused(&none, -EACCES, "must be https");
	}
	/* These may be asked; nobody is there. */
	closed_port(closed, sizeof(closed));
	snprintf(url, sizeof(url), "https://127.0.0.1%s/", strrchr(closed, ':'));
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
	refused(&none, -EHOSTDOWN, "not reachable");
	snprintf(url, sizeof(url), "http://localhost%s/", strrchr(closed, ':'));
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
	refused(&none, -EHOSTDOWN, "not reachable");
	/* It was set up and fails: the instance's role is not a substitute. */
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds, 1);
	unsetenv("AWS_EC2_METADATA_DISABLED");
	refused(&none, -EHOSTDOWN, "not reachable");
	assert_int_equal(srv.connections, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_settings, setup),
		cmocka_unit_test_setup(test_environment, setup),
		cmocka_unit_test_setup(test_file, setup),
		cmocka_unit_test_setup(test_file_garbage, setup),
		cmocka_unit_test_setup(test_shared_file, setup),
		cmocka_unit_test_setup(test_file_changes, setup),
		cmocka_unit_test_setup(test_imds, setup),
		cmocka_unit_test_setup(test_imds_refuses, setup),
		cmocka_unit_test_setup(test_imds_silent, setup),
		cmocka_unit_test_setup(test_garbage, setup),
		cmocka_unit_test_setup(test_refresh, setup),
		cmocka_unit_test_setup(test_one_at_a_time, setup),
		cmocka_unit_test_setup(test_cancelled, setup),
		cmocka_unit_test_setup(test_renew, setup),
		cmocka_unit_test_setup(test_container, setup),
		cmocka_unit_test_setup(test_container_where, setup),
	};
	int failed;

	assert_non_null(mkdtemp(dir));
	start_server();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	shutdown(srv.fd, SHUT_RDWR);
	pthread_join(srv.thread, NULL);
	close(srv.fd);
	assert_int_equal(fsp_rm_tree(dir), 0);
	return failed;
}
