/* Option files of MariaDB's clients, and lists of hosts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../src/meta/maria_link.h"
#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_file.h"
#include "fsp_meta.h"

static char dir[64];

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/fsp-cnf-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return fsp_rm_tree(dir);
}

static char *write_cnf(const char *name, const char *text, mode_t mode)
{
	char *path = fsp_strf("%s/%s", dir, name);
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	assert_true(fputs(text, out) >= 0);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(chmod(path, mode), 0);
	return path;
}

static void read_file(const char *path, struct fsp_maria_options *o)
{
	char *error = NULL;

	if (fsp_maria_options_file(o, path, "filespacefs", &error))
		fail_msg("%s", error);
	assert_null(error);
}

static void same(const char *a, const char *b)
{
	if (!a || !b)
		assert_ptr_equal(a, b);
	else
		assert_string_equal(a, b);
}

static void test_groups(void **state)
{
	FSP_FREE char *path = write_cnf("a.cnf",
		"# comment\n; another\n"
		"stray = 1\n"
		"[mysqld]\nuser=mysql\nport=1\n"
		"[client]\n"
		"user = first\n"
		"  password=\"p#w \\\"d\" # not this\n"
		"port=3307\n"
		"host = db1, db2:3308   # in order\n"
		"loose-ssl_ca=/ca file.pem\n"
		"ssl-cert=c\\sd\n"
		"quick\n"
		"socket=\n"
		"ssl-verify-server-cert=0\n"
		"[ filespacefs ]\n"
		"user = 'second'\n"
		"[client-mariadb]\ndatabase=d\n"
		"[other]\nuser=third\n", 0600);
	struct fsp_maria_options o = { .tls_key = strdup("mine") };

	(void)state;
	read_file(path, &o);
	same(o.user, "second");
	same(o.password, "p#w \"d");
	same(o.hosts, "db1, db2:3308");
	same(o.tls_ca, "/ca file.pem");
	same(o.tls_cert, "c d");
	same(o.tls_key, "mine");
	same(o.database, "d");
	same(o.socket, "");
	assert_int_equal(o.port, 3307);
	assert_int_equal(o.tls, FSP_TLS_VERIFY);
	fsp_maria_options_free(&o);
}

/* What the configuration says is not touched. */
static void test_given(void **state)
{
	FSP_FREE char *path = write_cnf("a.cnf", "[client]\nuser=u\nport=1\n"
		"password=p\nhost=h\n", 0400);
	const struct fsp_maria_options given = { .user = "me", .port = 7 };
	struct fsp_maria_options o;

	(void)state;
	assert_int_equal(fsp_maria_options_copy(&given, &o), 0);
	read_file(path, &o);
	same(o.user, "me");
	same(o.password, "p");
	same(o.hosts, "h");
	assert_int_equal(o.port, 7);
	fsp_maria_options_free(&o);
	assert_null(o.user);
}

static void test_includes(void **state)
{
	FSP_FREE char *sub = fsp_strf("%s/conf.d", dir);
	FSP_FREE char *text = fsp_strf(
		"[client]\nuser=a\n!include %s/one.cnf\nport=5\n"
		"!includedir %s\n", dir, sub);
	FSP_FREE char *one = NULL, *two = NULL, *three = NULL, *top = NULL;
	struct fsp_maria_options o = { .port = 0 };

	(void)state;
	assert_int_equal(mkdir(sub, 0700), 0);
	one = write_cnf("one.cnf", "[mysqld]\nport=9\n", 0644);
	two = write_cnf("conf.d/b.cnf", "[client]\nuser=b\n", 0644);
	three = write_cnf("conf.d/c.txt", "[client]\nuser=c\n", 0644);
	top = write_cnf("top.cnf", text, 0644);
	read_file(top, &o);
	same(o.user, "b");
	assert_int_equal(o.port, 5);
	fsp_maria_options_free(&o);
}

static void fails(const char *path, int err, const char *why)
{
	struct fsp_maria_options o = { .port = 0 };
	char *error = NULL;

	assert_int_equal(fsp_maria_options_file(&o, path, "g", &error), err);
	assert_non_null(error);
	if (!strstr(error, why))
		fail_msg("%s", error);
	assert_null(strstr(error, "hidden"));
	free(error);
	assert_null(o.password);
}

static void test_errors(void **state)
{
	FSP_FREE char *open_one = write_cnf("a.cnf", "[client]\n"
		"password=hidden\n", 0640);
	FSP_FREE char *self = fsp_strf("%s/self.cnf", dir);
	FSP_FREE char *loop = fsp_strf("!include %s\n", self);
	FSP_FREE char *again = write_cnf("self.cnf", loop, 0600);
	FSP_FREE char *outer_text = fsp_strf("!include %s\n", open_one);
	FSP_FREE char *outer = write_cnf("outer.cnf", outer_text, 0600);

	(void)state;
	fails(open_one, -EACCES, "chmod 0600");
	fails(outer, -EACCES, open_one);
	fails(again, -ELOOP, "self.cnf");
	fails("/nonexistent/x.cnf", -ENOENT, "/nonexistent/x.cnf");
}

/* ---- hosts */

static void hosts_are(const struct fsp_maria_options *o, enum maria_role role,
                      const char *want)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	struct maria_hosts h;
	char *error = NULL;

	assert_int_equal(maria_hosts_parse(o, role, &h, &error), 0);
	assert_int_equal(fsp_buf_adds(&b, ""), 0);
	for (size_t i = 0; i < h.n; i++) {
		const struct maria_host *v = &h.v[i];

		assert_int_equal(fsp_buf_printf(&b, "%s%s,%s,%u", i ? " " : "",
			v->host ? v->host : "-", v->socket ? v->socket : "-",
			v->port), 0);
	}
	assert_string_equal(b.data, want);
	maria_hosts_free(&h);
}

static void test_hosts(void **state)
{
	static const char *const bad[] = {
		"a:", "a:0", "a:65536", "a:1x", ":1", "[::1", "[::1]x", "[]:1",
		",", ""
	};
	struct fsp_maria_options o = { .hosts = NULL };

	(void)state;
	hosts_are(&o, MARIA_WRITER, "-,-,3306");
	o.socket = "/s";
	hosts_are(&o, MARIA_WRITER, "-,/s,3306");
	o.hosts = "localhost a, b:1,/t/sock,[::1]:2 [::1],::1,localhost:3";
	hosts_are(&o, MARIA_WRITER, "-,/s,3306 a,-,3306 b,-,1 -,/t/sock,0"
	          " ::1,-,2 ::1,-,3306 ::1,-,3306 localhost,-,3");
	o.port = 9;
	o.hosts = "localhost, a";
	hosts_are(&o, MARIA_READER, "localhost,-,9 a,-,9");
	hosts_are(&o, MARIA_REPLICA, "localhost,-,9 a,-,9");
	o.read_hosts = "r";
	hosts_are(&o, MARIA_REPLICA, "r,-,9");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct maria_hosts h;
		char *error = NULL;

		o.hosts = bad[i];
		assert_int_equal(maria_hosts_parse(&o, MARIA_WRITER, &h,
		                                   &error), -EINVAL);
		assert_non_null(error);
		free(error);
	}
}

#define CNF_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CNF_TEST(test_groups), CNF_TEST(test_given),
		CNF_TEST(test_includes), CNF_TEST(test_errors),
		cmocka_unit_test(test_hosts),
	};

	return cmocka_run_group_tests_name("MariaDB's option files", tests,
	                                   NULL, NULL);
}
