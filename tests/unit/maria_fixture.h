/*
 * A database of the test's own on the server that the runner gives (SERVERS
 * mariadb in the head of a test). Without one the test is skipped.
 */
#ifndef FSP_TEST_MARIA_FIXTURE_H
#define FSP_TEST_MARIA_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../src/meta/maria.h"
#include "fsp_buf.h"
#include "fsp_clock.h"
#include "fsp_cleanup.h"
#include "fsp_ctx.h"
#include "fsp_meta.h"

static char maria_db[64];

static inline void maria_skip_unless_server(void)
{
	if (getenv("FSP_TEST_MYSQL_HOST"))
		return;
	fprintf(stderr, "skipped: no server (tests/servers with mariadb)\n");
	exit(77);
}

static inline struct fsp_maria_options maria_test_options(void)
{
	return (struct fsp_maria_options){
		.hosts = getenv("FSP_TEST_MYSQL_HOST"),
		.port = atoi(getenv("FSP_TEST_MYSQL_PORT")),
		.user = getenv("FSP_TEST_MYSQL_USER"),
		.password = getenv("FSP_TEST_MYSQL_PASSWORD"),
		.database = maria_db,
		.charset = "utf8mb4",
		.tls = FSP_TLS_OFF,
		.connect_timeout_ns = 10 * FSP_NS_PER_SEC,
		.timeout_ns = 60 * FSP_NS_PER_SEC,
		.connections = 8,
	};
}

/* A connection as others have it, PHP among them; db NULL: to none. */
static inline MYSQL *maria_other(const char *db, const char *charset)
{
	struct fsp_maria_options o = maria_test_options();
	MYSQL *my = mysql_init(NULL);
	const unsigned tcp = MYSQL_PROTOCOL_TCP;
	const my_bool off = 0;

	assert_non_null(my);
	assert_int_equal(mysql_options(my, MYSQL_OPT_PROTOCOL, &tcp), 0);
	assert_int_equal(mysql_options(my, MYSQL_OPT_SSL_VERIFY_SERVER_CERT,
	                               &off), 0);
	assert_int_equal(mysql_options(my, MYSQL_SET_CHARSET_NAME, charset), 0);
	if (!mysql_real_connect(my, o.hosts, o.user, o.password, db,
	                        (unsigned)o.port, NULL, 0))
		fail_msg("connect: %s", mysql_error(my));
	return my;
}

static inline void maria_do(MYSQL *my, const char *sql)
{
	MYSQL_RES *res;

	if (mysql_query(my, sql))
		fail_msg("%s: %s", sql, mysql_error(my));
	res = mysql_store_result(my);
	mysql_free_result(res);
}

/* The only value of the only row, NULL where it is; fresh. */
static inline char *maria_value(MYSQL *my, const char *sql)
{
	MYSQL_RES *res;
	MYSQL_ROW row;
	char *v;

	if (mysql_query(my, sql))
		fail_msg("%s: %s", sql, mysql_error(my));
	res = mysql_store_result(my);
	assert_non_null(res);
	row = mysql_fetch_row(res);
	if (!row)
		fail_msg("%s: no row", sql);
	v = row[0] ? strdup(row[0]) : NULL;
	mysql_free_result(res);
	return v;
}

static inline int64_t maria_count(MYSQL *my, const char *sql)
{
	FSP_FREE char *v = maria_value(my, sql);

	assert_non_null(v);
	return strtoll(v, NULL, 10);
}

/* An empty database, the one of the last call gone. */
static inline void maria_fresh(void)
{
	MYSQL *my = maria_other(NULL, "utf8mb4");
	FSP_FREE char *sql = NULL;

	snprintf(maria_db, sizeof(maria_db), "t_unit_%d", (int)getpid());
	sql = fsp_strf("CREATE OR REPLACE DATABASE %s", maria_db);
	maria_do(my, sql);
	mysql_close(my);
}

static inline void maria_drop_all(void)
{
	MYSQL *my = maria_other(NULL, "utf8mb4");
	FSP_FREE char *sql = fsp_strf("DROP DATABASE IF EXISTS %s", maria_db);

	maria_do(my, sql);
	mysql_close(my);
}

#endif
