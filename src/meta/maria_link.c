/*
 * One connection. The library's calls that wait are made in its non-blocking
 * form, so that deadlines are exact and cancelling works at any point: its own
 * time-outs count in seconds and begin again with each packet.
 */
#include <errmsg.h>
#include <errno.h>
#include <mysqld_error.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "fsp_buf.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "maria_link.h"

#define NS_PER_MS 1000000LL
#define CANCEL_POLL_MS 50               /* cancelling signals nobody */

static int64_t wait_until(const struct maria_link *l)
{
	int64_t t = INT64_MAX;

	if (l->timeout_ns)
		t = fsp_mono_ns() + l->timeout_ns;
	if (l->until_ns && l->until_ns < t)
		t = l->until_ns;
	if (l->ctx->deadline_ns && l->ctx->deadline_ns < t)
		t = l->ctx->deadline_ns;
	return t;
}

static int slice_ms(const struct maria_link *l, int64_t left_ns)
{
	int64_t max = l->ctx->cancelled ? CANCEL_POLL_MS : 60000;
	int64_t ms = left_ns / NS_PER_MS + 1;

	return (int)(ms < max ? ms : max);
}

/* The library sees the end of the stream, and returns an error. */
static int end_stream(struct maria_link *l, int err, int fd, int status)
{
	if (!l->failed)
		l->failed = err;
	/* A socket that is not connected yet has nothing to shut down. */
	(void)shutdown(fd, SHUT_RDWR);
	return status;
}

int maria_wait(struct maria_link *l, int status)
{
	int64_t until = wait_until(l);
	struct pollfd p = {
		.fd = mysql_get_socket(l->my),
		.events = (short)((status & MYSQL_WAIT_READ ? POLLIN : 0) |
			(status & MYSQL_WAIT_WRITE ? POLLOUT : 0) |
			(status & MYSQL_WAIT_EXCEPT ? POLLPRI : 0)),
	};

	for (;;) {
		int64_t left = until - fsp_mono_ns();
		int n, err = l->failed;

		if (!err)
			err = fsp_ctx_check(l->ctx);
		if (!err && left <= 0)
			err = -ETIMEDOUT;
		if (err)
			return end_stream(l, err, p.fd, status);
		n = poll(&p, 1, slice_ms(l, left));
		if (n < 0 && errno != EINTR)
			return end_stream(l, -errno, p.fd, status);
		if (n > 0)
			return status & ~MYSQL_WAIT_TIMEOUT;
	}
}

int maria_failed(struct maria_link *l, unsigned e)
{
	l->error = e;
	if (l->failed)
		return l->failed;
	if (maria_is_lost(e))
		l->failed = maria_errno(e);
	return maria_errno(e);
}

static int failed_text(struct maria_link *l, const char *sql)
{
	unsigned e = mysql_errno(l->my);
	int err = maria_failed(l, e);

	if (err != -EDEADLK && err != -EEXIST && err != -EINTR)
		maria_log(l->name, e, mysql_error(l->my));
	if (err == -EIO)
		maria_log(l->name, 0, sql);
	return err;
}

MYSQL *maria_handle(struct maria_link *l)
{
	return l->my;
}

char *maria_message(struct maria_link *l)
{
	if (l->failed == -ETIMEDOUT)
		return fsp_strf("%s: no answer in time", l->name);
	if (!l->error)
		return NULL;
	return fsp_strf("%s: %s (%u)", l->name, mysql_error(l->my), l->error);
}

static int query(struct maria_link *l, const struct fsp_ctx *ctx,
                 const char *sql)
{
	int bad = 0, status;

	if (l->failed)
		return l->failed;
	l->ctx = ctx;
	status = mysql_real_query_start(&bad, l->my, sql, strlen(sql));
	while (status)
		status = mysql_real_query_cont(&bad, l->my,
		                               maria_wait(l, status));
	return bad ? failed_text(l, sql) : 0;
}

static int store(struct maria_link *l, const char *sql, MYSQL_RES **out)
{
	int status = mysql_store_result_start(out, l->my);

	while (status)
		status = mysql_store_result_cont(out, l->my,
		                                 maria_wait(l, status));
	if (!*out && mysql_errno(l->my))
		return failed_text(l, sql);
	return 0;
}

int maria_rows(struct maria_link *l, const struct fsp_ctx *ctx,
               const char *sql,
               int (*each)(void *arg, char **fields,
                           const unsigned long *lengths), void *arg)
{
	MYSQL_RES *res = NULL;
	int err = query(l, ctx, sql);

	if (!err)
		err = store(l, sql, &res);
	if (err || !res)
		return err;
	while (!err && each) {
		MYSQL_ROW row = mysql_fetch_row(res);

		if (!row)
			break;
		err = each(arg, row, mysql_fetch_lengths(res));
	}
	mysql_free_result(res);
	return err;
}

int maria_run(struct maria_link *l, const struct fsp_ctx *ctx, const char *sql)
{
	return maria_rows(l, ctx, sql, NULL, NULL);
}

/* The rows of the statement that the library has come to, if it gives any. */
static int take_rows(struct maria_link *l, const char *sql, MYSQL_RES **rows)
{
	*rows = NULL;
	return mysql_field_count(l->my) ? store(l, sql, rows) : 0;
}

int maria_run_all(struct maria_link *l, const struct fsp_ctx *ctx,
                  const char *sql,
                  void (*each)(void *arg, unsigned nth, MYSQL_RES *rows),
                  void *arg, unsigned *done)
{
	int err = query(l, ctx, sql), rc = 0;

	for (*done = 0; !err;) {
		MYSQL_RES *rows;
		int status;

		err = take_rows(l, sql, &rows);
		if (err)
			break;
		each(arg, ++*done, rows);
		if (!mysql_more_results(l->my))
			return 0;
		status = mysql_next_result_start(&rc, l->my);
		while (status)
			status = mysql_next_result_cont(&rc, l->my,
			                                maria_wait(l, status));
		if (rc > 0)
			err = failed_text(l, sql);
	}
	return err;
}

struct number {
	int64_t *v;
	int err;
};

static int read_number(void *arg, char **fields, const unsigned long *lengths)
{
	struct number *n = arg;
	char *end = NULL;

	(void)lengths;
	n->err = -EINVAL;
	if (!fields[0])
		return 0;
	errno = 0;
	*n->v = strtoll(fields[0], &end, 10);
	if (!errno && end != fields[0] && !*end)
		n->err = 0;
	return 0;
}

int maria_number(struct maria_link *l, const struct fsp_ctx *ctx,
                 const char *sql, int64_t *v)
{
	struct number n = { v, -ENOENT };
	int err = maria_rows(l, ctx, sql, read_number, &n);

	return err ? err : n.err;
}

/* This machine's, whatever a test has set: the difference is of machines. */
static int64_t machine_us(void)
{
	struct timespec ts = { .tv_sec = 0 };

	(void)clock_gettime(CLOCK_REALTIME, &ts);       /* cannot fail */
	return ts.tv_sec * FSP_US_PER_SEC + ts.tv_nsec / 1000;
}

int maria_read_clock(struct maria_link *l, const struct fsp_ctx *ctx)
{
	int64_t before = machine_us(), theirs = 0;
	int err = maria_number(l, ctx, "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6))"
	                       " * 1000000 AS SIGNED)", &theirs);
	int64_t after;

	if (err)
		return err;
	after = machine_us();
	l->clock_us = theirs - (before + after) / 2;
	l->clock_error_us = after > before ? after - before : 0;
	return 0;
}

void maria_close(struct maria_link *l)
{
	if (!l)
		return;
	if (l->my) {
		/* Saying good-bye must not wait for who does not listen. */
		if (l->failed && l->my->net.pvio)
			(void)shutdown(mysql_get_socket(l->my), SHUT_RDWR);
		mysql_close(l->my);
	}
	free(l->name);
	free(l);
}
