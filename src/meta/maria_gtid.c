/*
 * Read-your-own-writes on hosts that lag behind: what this process committed
 * last, in each replication domain, is waited for there. What is not known for
 * each commit keeps all of those hosts from being read. DESIGN.md, "Hosts that
 * lag behind".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_log.h"
#include "maria_pool.h"

#define WAIT_S "0.3"            /* then the write host is asked instead */
#define LATE_NS FSP_NS_PER_SEC  /* and at once for so long */
#define ASK_NS FSP_NS_PER_SEC   /* how often it is asked where it stands */
#define UNTOLD_NS (60 * FSP_NS_PER_SEC) /* one that could not tell */

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
	g->server = server;
	g->seq = seq;
	memcpy(g->text, s, strlen(s) + 1);
	return true;
}

/*
 * A smaller number is old news, unless it is of a server that has taken over
 * since: one without the last commits of the one before.
 */
static bool is_old(const struct maria_gtid *known, const struct maria_gtid *g,
                   int64_t born_ns)
{
	return known->seq >= g->seq && (known->server == g->server ||
	                                born_ns < known->noted_ns);
}

/* What is known of its domain, or NULL. */
static struct maria_gtid *known_locked(struct maria_pool *p,
                                       const struct maria_gtid *g)
{
	fsp_assert_held(&p->lock);
	for (int i = 0; i < p->gtids; i++)
		if (p->gtid[i].domain == g->domain)
			return &p->gtid[i];
	return NULL;
}

/* Of a connection that was made at born_ns; false: there is no room for it. */
static bool note_locked(struct maria_pool *p, struct maria_gtid *g,
                        int64_t born_ns)
{
	struct maria_gtid *known = known_locked(p, g);

	if (known && is_old(known, g, born_ns))
		return true;
	if (!known && p->gtids == MARIA_DOMAINS)
		return false;
	g->noted_ns = fsp_mono_ns();
	*(known ? known : &p->gtid[p->gtids++]) = *g;
	p->gtid_count++;
	return true;
}

static bool is_behind_locked(struct maria_pool *p, const struct maria_gtid *g)
{
	const struct maria_gtid *known = known_locked(p, g);

	return known && g->seq < known->seq;
}

/*
 * "GTID,GTID"; how many are noted, 0 when not all of them are. asked: where the
 * host stands; one that is behind what is known tells nothing of our commits.
 */
static int note_list(struct maria_conn *c, const char *list, bool asked)
{
	struct maria_pool *p = maria_pool_of(c);
	FSP_FREE char *copy = strdup(list);
	char *save = NULL;
	int n = 0;

	for (char *s = copy ? strtok_r(copy, ", ", &save) : NULL; s;
	     s = strtok_r(NULL, ", ", &save), n++) {
		struct maria_gtid g;

		if (!read_gtid(s, &g))
			return 0;
		FSP_GUARD(&p->lock);
		if ((asked && is_behind_locked(p, &g)) ||
		    !note_locked(p, &g, c->born_ns))
			return 0;
	}
	return n;
}

/* What the server said with its last answer: names and values. */
static int note_tracked(struct maria_conn *c)
{
	const char *data;
	size_t len;
	bool ours = false;
	int n = 0;
	int none = mysql_session_track_get_first(
		c->l->my, SESSION_TRACK_SYSTEM_VARIABLES, &data, &len);

	while (!none) {
		FSP_FREE char *s = strndup(data, len);

		if (s && ours)
			n = note_list(c, s, false);
		ours = s && strcmp(s, "last_gtid") == 0;
		none = mysql_session_track_get_next(
			c->l->my, SESSION_TRACK_SYSTEM_VARIABLES, &data, &len);
	}
	return n;
}

void maria_gtid_missed(struct maria_pool *p)
{
	if (!maria_hosts_lag(&p->o))
		return;
	FSP_GUARD(&p->lock);
	p->gtid_missed++;
}

/* ---- asking for what was missed */

struct position {
	struct maria_conn *c;
	bool known;
};

static int take_position(void *arg, char **f, const unsigned long *lengths)
{
	struct position *at = arg;

	(void)lengths;
	at->known = f[0] && note_list(at->c, f[0], true) > 0;
	return 0;
}

/* Without a binary log it says what it once replicated, not what it wrote. */
static bool ask_position(struct maria_conn *c, const struct fsp_ctx *ctx)
{
	struct position at = { .c = c };

	atomic_fetch_add(&c->base.drv->trips, 1);
	return !maria_rows(c->l, ctx,
	                   "SELECT IF(@@log_bin, @@global.gtid_current_pos,"
	                   " NULL)", take_position, &at) && at.known;
}

/* Is it time to ask? *missed: so many commits it is about. */
static bool may_ask(struct maria_pool *p, uint64_t *missed)
{
	int64_t now = fsp_mono_ns();

	FSP_GUARD(&p->lock);
	*missed = p->gtid_missed;
	if (*missed == p->gtid_learnt || now < p->gtid_ask_ns)
		return false;
	p->gtid_ask_ns = now + ASK_NS;
	return true;
}

static void learnt(struct maria_pool *p, uint64_t missed, bool known)
{
	bool say;

	fsp_lock(&p->lock);
	if (known && p->gtid_learnt < missed)
		p->gtid_learnt = missed;
	if (!known)
		p->gtid_ask_ns = fsp_mono_ns() + UNTOLD_NS;
	say = !known && !p->gtid_said;
	p->gtid_said |= say;
	fsp_unlock(&p->lock);
	if (say)
		fsp_warn("database: how far the write host is cannot be told "
		         "from its binary log: hosts that replicate from it "
		         "are not read");
}

/* On a host that can be written to, which is no node of Galera's. */
static void learn_there(struct maria_conn *c, const struct fsp_ctx *ctx,
                        uint64_t missed)
{
	bool known = ask_position(c, ctx);

	if (!c->l->failed)
		learnt(maria_pool_of(c), missed, known);
}

bool maria_gtid_learn(struct maria_pool *p, const struct fsp_ctx *ctx)
{
	struct maria_conn *c;
	uint64_t missed;

	/* Who cannot ask reads at the write host, which says why. */
	if (!may_ask(p, &missed) || maria_take(p, ctx, MARIA_READER, &c))
		return false;
	if (!c->l->galera && !c->l->read_only)
		learn_there(c, ctx, missed);
	maria_give(c);
	return true;
}

void maria_gtid_note(struct maria_conn *c)
{
	struct maria_pool *p = maria_pool_of(c);
	uint64_t missed;

	if (!maria_hosts_lag(&p->o))
		return;
	/* What Galera calls a commit may have another name on each node. */
	if (c->l->galera) {
		maria_gtid_missed(p);
		return;
	}
	if (!note_tracked(c))
		maria_gtid_missed(p);
	if (may_ask(p, &missed))
		learn_there(c, c->ctx, missed);
}

/* ---- waiting */

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

/* MASTER_GTID_WAIT knows nothing of what a host wrote as a primary. */
struct there {
	struct maria_pool *p;
	bool all;
};

/* f[0]: "GTID,GTID", one for each domain. */
static int compare(void *arg, char **f, const unsigned long *lengths)
{
	struct there *t = arg;
	FSP_FREE char *copy = f[0] ? strdup(f[0]) : NULL;
	char *save = NULL;
	int reached = 0;

	(void)lengths;
	FSP_GUARD(&t->p->lock);
	for (char *s = copy ? strtok_r(copy, ", ", &save) : NULL; s;
	     s = strtok_r(NULL, ", ", &save)) {
		struct maria_gtid g;

		reached += read_gtid(s, &g) && known_locked(t->p, &g) &&
			!is_behind_locked(t->p, &g);
	}
	t->all = reached == t->p->gtids;
	return 0;
}

/* 0: it is there, -EAGAIN: not in time. */
static int wait_there(struct maria_conn *c, const char *wait)
{
	struct there t = { .p = maria_pool_of(c) };
	int64_t late = -1;
	int err;

	atomic_fetch_add(&c->base.drv->trips, 1);
	err = maria_rows(c->l, c->ctx, "SELECT @@global.gtid_current_pos",
	                 compare, &t);
	if (err || t.all)
		return err;
	atomic_fetch_add(&c->base.drv->trips, 1);
	err = maria_number(c->l, c->ctx, wait, &late);
	if (err)
		return err;
	return late ? -EAGAIN : 0;
}

static void note_late(struct maria_pool *p)
{
	FSP_GUARD(&p->lock);
	p->late_until_ns = fsp_mono_ns() + LATE_NS;
}

bool maria_gtid_late(struct maria_pool *p)
{
	FSP_GUARD(&p->lock);
	return fsp_mono_ns() < p->late_until_ns;
}

static bool is_blind(struct maria_pool *p)
{
	FSP_GUARD(&p->lock);
	return p->gtid_learnt != p->gtid_missed;
}

int maria_gtid_wait(struct maria_conn *c)
{
	struct maria_pool *p = maria_pool_of(c);
	FSP_FREE char *sql = NULL;
	uint64_t count;
	int err;

	/* A Galera node that reads wait_sync waits by itself. */
	if (c->l->galera)
		return 0;
	if (is_blind(p))
		return -EAGAIN;
	sql = wait_text(p, &count);
	if (!sql)
		return -ENOMEM;
	if (count == c->gtid_seen)
		return 0;
	err = wait_there(c, sql);
	if (err == -EAGAIN && c->role == MARIA_REPLICA)
		note_late(p);
	if (err)
		return err == -EAGAIN ? err : maria_conn_errno(c, err);
	c->gtid_seen = count;
	return 0;
}
