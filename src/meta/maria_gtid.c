/*
 * Read-your-own-writes on hosts that lag behind: what this process committed
 * last, in each replication domain, is waited for there.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "maria_pool.h"

#define WAIT_S "0.3"            /* then the write host is asked instead */

/* "DOMAIN-SERVER-SEQUENCE" */
static bool read_gtid(const char *s, struct maria_gtid *g)
{
	unsigned domain, server;
	unsigned long long seq;
	int end = 0;

	if (sscanf(s, "%u-%u-%llu%n", &domain, &server, &seq, &end) != 3 ||
	    s[end] || strlen(s) >= sizeof(g->text))
		return false;
	g->domain = domain;
	g->seq = seq;
	memcpy(g->text, s, strlen(s) + 1);
	return true;
}

static void note_locked(struct maria_pool *p, const struct maria_gtid *g)
{
	int i = 0;

	fsp_assert_held(&p->lock);
	while (i < p->gtids && p->gtid[i].domain != g->domain)
		i++;
	if (i == MARIA_DOMAINS || (i < p->gtids && p->gtid[i].seq >= g->seq))
		return;
	p->gtid[i] = *g;
	if (i == p->gtids)
		p->gtids++;
	p->gtid_count++;
}

/* The server says it with the answer to COMMIT: names and values. */
void maria_gtid_note(struct maria_conn *c)
{
	struct maria_pool *p = (struct maria_pool *)c->base.drv;
	const char *data;
	size_t len;
	bool ours = false;
	int none = mysql_session_track_get_first(
		c->l->my, SESSION_TRACK_SYSTEM_VARIABLES, &data, &len);

	while (!none) {
		FSP_FREE char *s = strndup(data, len);
		struct maria_gtid g;

		if (s && ours && read_gtid(s, &g)) {
			FSP_GUARD(&p->lock);
			note_locked(p, &g);
		}
		ours = s && strcmp(s, "last_gtid") == 0;
		none = mysql_session_track_get_next(
			c->l->my, SESSION_TRACK_SYSTEM_VARIABLES, &data, &len);
	}
}

static char *wait_text(struct maria_pool *p, uint64_t *count)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	int err = fsp_buf_adds(&b, "SELECT MASTER_GTID_WAIT('");

	FSP_GUARD(&p->lock);
	*count = p->gtid_count;
	for (int i = 0; i < p->gtids && !err; i++)
		err = fsp_buf_printf(&b, "%s%s", i ? "," : "", p->gtid[i].text);
	if (!err)
		err = fsp_buf_adds(&b, "', " WAIT_S ")");
	return err ? NULL : fsp_buf_steal(&b);
}

int maria_gtid_wait(struct maria_conn *c)
{
	struct maria_pool *p = (struct maria_pool *)c->base.drv;
	FSP_FREE char *sql = NULL;
	uint64_t count;
	int64_t late = -1;
	int err;

	/* A Galera node that reads wait_sync waits by itself. */
	if (c->l->galera)
		return 0;
	sql = wait_text(p, &count);
	if (!sql)
		return -ENOMEM;
	if (count == c->gtid_seen)
		return 0;
	atomic_fetch_add(&c->base.drv->trips, 1);
	err = maria_number(c->l, c->ctx, sql, &late);
	if (err)
		return maria_conn_errno(c, err);
	if (late)
		return -EAGAIN;
	c->gtid_seen = count;
	return 0;
}
