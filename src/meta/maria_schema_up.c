/* MariaDB: how an upgrade runs, or shows, its statements. */
#include "maria_schema_up.h"

#include <errno.h>
#include <mysqld_error.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"

#define LOCK_TRIES 120
#define LOCK_PAUSE_NS 500000000L

bool maria_up_plans(const struct maria_up *u)
{
	return u->job->what != FSP_SCHEMA_UPGRADE;
}

__attribute__((format(printf, 1, 0)))
static char *format(const char *fmt, va_list ap)
{
	char *s;

	return vasprintf(&s, fmt, ap) < 0 ? NULL : s;
}

static void keep_reason(struct maria_up *u, char *text)
{
	if (u->job->error)
		free(text);
	else
		u->job->error = text;
}

int maria_up_fail(struct maria_up *u, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	keep_reason(u, format(fmt, ap));
	va_end(ap);
	return err;
}

int maria_up_say(struct maria_up *u, const char *fmt, ...)
{
	FSP_FREE char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = format(fmt, ap);
	va_end(ap);
	if (!text)
		return -ENOMEM;
	if (u->job->say)
		u->job->say(u->job->arg, text);
	return 0;
}

int maria_up_note(struct maria_up *u, const char *fmt, ...)
{
	FSP_FREE char *text = NULL;
	va_list ap;

	if (u->job->what != FSP_SCHEMA_PLAN)
		return 0;
	va_start(ap, fmt);
	text = format(fmt, ap);
	va_end(ap);
	if (!text)
		return -ENOMEM;
	return fprintf(u->job->sql, "-- %s\n", text) < 0 ? -EIO : 0;
}

void maria_up_progress(struct maria_up *u, const char *what, uint64_t done,
                       uint64_t all)
{
	if (u->job->progress && !maria_up_plans(u))
		u->job->progress(u->job->arg, what, done, all);
}

void maria_up_locked(struct maria_up *u, int64_t since_ns)
{
	int64_t ns = fsp_mono_ns() - since_ns;

	if (ns > u->job->locked_ns)
		u->job->locked_ns = ns;
}

/* The server's words are the reason, unless somebody has a better one. */
static int failed(struct maria_up *u, int err)
{
	char *text = err == -ENOMEM ? NULL : maria_message(u->l);

	if (text)
		keep_reason(u, text);
	return err;
}

/* Clients end a statement at a semicolon, which a trigger holds. */
static int show(FILE *out, const char *sql)
{
	bool trigger = strncmp(sql, "CREATE", 6) == 0 &&
		strstr(sql, "TRIGGER") && strchr(sql, ';');
	int n = trigger ? fprintf(out, "DELIMITER //\n%s //\nDELIMITER ;\n",
	                          sql) : fprintf(out, "%s;\n", sql);

	return n < 0 ? -EIO : 1;
}

/* 1: it was only shown. */
static int show_or_pass(struct maria_up *u, const char *sql)
{
	if (!sql)
		return -ENOMEM;
	if (u->job->what == FSP_SCHEMA_PLAN)
		return show(u->job->sql, sql);
	if (maria_up_plans(u))
		return 1;
	return u->before ? u->before(u->before_arg, sql) : 0;
}

static int run(struct maria_up *u, const char *sql, uint64_t *rows)
{
	int err = show_or_pass(u, sql);

	if (rows)
		*rows = 0;
	if (err)
		return err < 0 ? err : 0;
	err = maria_run(u->l, u->job->ctx, sql);
	if (err)
		return failed(u, err);
	if (rows)
		*rows = mysql_affected_rows(maria_handle(u->l));
	return 0;
}

int maria_up_do(struct maria_up *u, const char *fmt, ...)
{
	FSP_FREE char *sql = NULL;
	va_list ap;

	va_start(ap, fmt);
	sql = format(fmt, ap);
	va_end(ap);
	return run(u, sql, NULL);
}

int maria_up_change(struct maria_up *u, uint64_t *rows, const char *fmt, ...)
{
	FSP_FREE char *sql = NULL;
	va_list ap;

	va_start(ap, fmt);
	sql = format(fmt, ap);
	va_end(ap);
	return run(u, sql, rows);
}

static int patience(struct maria_up *u, int seconds)
{
	FSP_FREE char *sql = fsp_strf("SET SESSION lock_wait_timeout = %d",
	                              seconds);

	return sql ? maria_run(u->l, u->job->ctx, sql) : -ENOMEM;
}

static bool timed_out(struct maria_up *u)
{
	return mysql_errno(maria_handle(u->l)) == ER_LOCK_WAIT_TIMEOUT;
}

static int try_lock(struct maria_up *u, const char *sql)
{
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_NS };
	int err = 0;

	for (int i = 0; i < LOCK_TRIES; i++) {
		u->lock_since_ns = fsp_mono_ns();
		err = maria_run(u->l, u->job->ctx, sql);
		maria_up_locked(u, u->lock_since_ns);
		if (!err || !timed_out(u))
			return err ? failed(u, err) : 0;
		err = fsp_ctx_check(u->job->ctx);
		if (!err && i == 0)
			err = maria_up_say(u, "waiting for a transaction that "
			                   "has used the table for long");
		if (err)
			return err;
		/* Cut short by a signal it only asks again sooner. */
		(void)nanosleep(&pause, NULL);
	}
	return maria_up_fail(u, -ETIMEDOUT, "a transaction uses the table and "
	                     "does not end (SHOW PROCESSLIST shows it); what "
	                     "was done stays, run it again later");
}

int maria_up_lock(struct maria_up *u, const char *fmt, ...)
{
	FSP_FREE char *sql = NULL;
	va_list ap;
	int err;

	va_start(ap, fmt);
	sql = format(fmt, ap);
	va_end(ap);
	err = show_or_pass(u, sql);
	if (err)
		return err < 0 ? err : 0;
	err = patience(u, 1);
	if (!err)
		err = try_lock(u, sql);
	/* The first error counts; a lost connection fails again. */
	return err ? err : patience(u, 86400);
}

static int keep_text(void *arg, char **f, const unsigned long *lengths)
{
	char **out = arg;

	(void)lengths;
	if (!f[0] || *out)
		return 0;
	*out = strdup(f[0]);
	return *out ? 0 : -ENOMEM;
}

__attribute__((format(printf, 3, 0)))
static int ask_text(struct maria_up *u, char **v, const char *fmt, va_list ap)
{
	FSP_FREE char *sql = format(fmt, ap);
	int err;

	*v = NULL;
	if (!sql)
		return -ENOMEM;
	err = maria_rows(u->l, u->job->ctx, sql, keep_text, v);
	return err ? failed(u, err) : 0;
}

int maria_up_text(struct maria_up *u, char **v, const char *fmt, ...)
{
	va_list ap;
	int err;

	va_start(ap, fmt);
	err = ask_text(u, v, fmt, ap);
	va_end(ap);
	return err;
}

int maria_up_number(struct maria_up *u, int64_t *v, const char *fmt, ...)
{
	FSP_FREE char *text = NULL;
	va_list ap;
	int err;

	va_start(ap, fmt);
	err = ask_text(u, &text, fmt, ap);
	va_end(ap);
	*v = text ? strtoll(text, NULL, 10) : 0;
	return err;
}
