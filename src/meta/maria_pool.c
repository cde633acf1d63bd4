/* The MariaDB driver: a bounded pool of connections. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_log.h"
#include "maria_pool.h"

#define CANCEL_POLL_NS 50000000LL       /* cancelling signals no condition */
#define CROWDED_NS 100000000LL          /* the server has no room: again */
#define PAUSE_NS 100000000LL
#define IDLE_MAX_NS (300 * FSP_NS_PER_SEC)
/* Whether a server became read-only shows when connecting. */
#define READER_MAX_NS (60 * FSP_NS_PER_SEC)

static struct maria_site *site_of(struct maria_pool *p, enum maria_role role)
{
	return &p->site[role == MARIA_REPLICA ? MARIA_REPLICAS : MARIA_PRIMARY];
}

static void conn_free(struct maria_conn *c)
{
	maria_close(c->l);              /* the server forgets statements */
	maria_forget_stmts(c);
	maria_later_free(c);
	free(c);
}

static bool is_stale_locked(struct maria_pool *p, const struct maria_conn *c)
{
	const struct maria_site *s = site_of(p, c->role);
	int64_t now = fsp_mono_ns();

	if (now - c->idle_ns > IDLE_MAX_NS)
		return true;
	if ((c->role == MARIA_READER || c->both) && s->hosts.n > 1 &&
	    now - c->born_ns > READER_MAX_NS)
		return true;
	return maria_site_stale_locked(s, c->host, c->born_ns);
}

static bool serves(const struct maria_conn *c, enum maria_role role)
{
	return c->role == role || (c->both && role != MARIA_REPLICA);
}

/* Takes idle connections out of the list: those that are stale, onto *gone,
 * and the first of the role, or with any_role the last of all. */
static struct maria_conn *pick_locked(struct maria_pool *p,
                                      enum maria_role role, bool any_role,
                                      struct maria_conn **gone)
{
	struct maria_conn **at = &p->idle, **found = NULL;
	struct maria_conn *c;

	fsp_assert_held(&p->lock);
	while ((c = *at)) {
		if (is_stale_locked(p, c)) {
			*at = c->next;
			c->next = *gone;
			*gone = c;
			p->open--;
			continue;
		}
		if (any_role || (serves(c, role) && !found))
			found = at;
		at = &c->next;
	}
	if (!found)
		return NULL;
	c = *found;
	*found = c->next;
	return c;
}

static int wait_locked(struct maria_pool *p, const struct fsp_ctx *ctx,
                       int64_t until)
{
	int64_t slice = until, now = fsp_mono_ns();
	int err = fsp_ctx_check(ctx);

	if (err)
		return err;
	if (now >= until)
		return -ETIMEDOUT;
	if (ctx->cancelled && now + CANCEL_POLL_NS < until)
		slice = now + CANCEL_POLL_NS;
	/* Whether it was time or a signal shows in the next round. */
	(void)fsp_cond_wait(&p->changed, &p->lock, slice);
	return 0;
}

static void free_all(struct maria_conn *list)
{
	while (list) {
		struct maria_conn *c = list;

		list = c->next;
		conn_free(c);
	}
}

/* A connection of the role, or with *out NULL the right to open one. */
static int reserve(struct maria_pool *p, const struct fsp_ctx *ctx,
                   enum maria_role role, int64_t until,
                   struct maria_conn **out)
{
	struct maria_conn *gone = NULL, *other = NULL;
	int err = 0;

	fsp_lock(&p->lock);
	*out = pick_locked(p, role, false, &gone);
	while (!*out && !other && p->open >= p->limit && !err) {
		other = pick_locked(p, role, true, &gone);
		if (!other)
			err = wait_locked(p, ctx, until);
		if (!err && !other)
			*out = pick_locked(p, role, false, &gone);
	}
	if (!err && !*out && !other)
		p->open++;
	fsp_unlock(&p->lock);
	free_all(gone);
	if (other)
		conn_free(other);       /* its place is ours */
	return err;
}

static void unreserve(struct maria_pool *p)
{
	FSP_GUARD(&p->lock);
	p->open--;
	fsp_cond_broadcast(&p->changed);
}

/* Only what can be told from no change is one: times must not jitter. */
void maria_note_clock(struct maria_pool *p, const struct maria_link *l)
{
	int64_t change = l->clock_us - atomic_load(&p->clock_us);

	if (change > l->clock_error_us || -change > l->clock_error_us)
		atomic_store(&p->clock_us, l->clock_us);
	atomic_store(&p->clock_read_ns, fsp_mono_ns());
}

/* Nobody should wait for that when a directory is listed. */
static int warm_up(struct maria_conn *c, const struct fsp_ctx *ctx)
{
	const char *const *text = c->base.drv->warm;
	int err = 0;

	c->ctx = ctx;
	while (text && *text && !err) {
		struct sqlstmt *s;

		err = maria_prepare(&c->base, *text++, &s);
		if (err)
			break;
		err = maria_prepare_now(s);
		maria_end(s);
	}
	c->ctx = NULL;
	/* What the server does not take, it says to who asks for it. */
	return c->l->failed ? err : 0;
}

/* Else the two would take each other's places in a full pool. */
static int share(struct maria_pool *p, struct maria_conn *c,
                 const struct fsp_ctx *ctx)
{
	int err;

	if (p->base.read_only || c->role == MARIA_REPLICA || c->l->galera ||
	    c->l->read_only)
		return 0;
	err = maria_link_share(c->l, ctx, &p->o);
	c->both = !err;
	return err;
}

static int new_conn(struct maria_pool *p, const struct fsp_ctx *ctx,
                    enum maria_role role, struct maria_conn **out)
{
	struct maria_conn *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->base.drv = &p->base;
	c->role = role;
	err = maria_site_connect(p, site_of(p, role), ctx, role, &c->l,
	                         &c->host);
	if (err) {
		free(c);
		return err;
	}
	c->born_ns = c->idle_ns = fsp_mono_ns();
	if (role != MARIA_REPLICA)
		maria_note_clock(p, c->l);
	err = share(p, c, ctx);
	if (!err && (role != MARIA_WRITER || c->both))
		err = warm_up(c, ctx);
	if (err) {
		conn_free(c);
		return err;
	}
	*out = c;
	return 0;
}

/* The server is full: one of ours may come back, or one of others end. */
static int wait_for_room(struct maria_pool *p, const struct fsp_ctx *ctx,
                         int64_t until)
{
	int64_t slice = fsp_mono_ns() + CROWDED_NS;
	int err = fsp_ctx_check(ctx);

	if (!err && fsp_mono_ns() >= until)
		err = -EHOSTDOWN;
	if (err)
		return err == -ETIMEDOUT ? -EHOSTDOWN : err;
	FSP_GUARD(&p->lock);
	/* Whether it was time or a signal shows in the next round. */
	if (!p->idle)
		(void)fsp_cond_wait(&p->changed, &p->lock,
		                    slice < until ? slice : until);
	return 0;
}

int maria_take(struct maria_pool *p, const struct fsp_ctx *ctx,
               enum maria_role role, struct maria_conn **out)
{
	int64_t until = ctx->deadline_ns ? ctx->deadline_ns :
		fsp_mono_ns() + p->wait_ns;
	int err;

	do {
		err = reserve(p, ctx, role, until, out);
		if (err || *out)
			return err;
		err = new_conn(p, ctx, role, out);
		if (!err)
			return 0;
		unreserve(p);
		if (err != -EAGAIN)
			return err;
		err = wait_for_room(p, ctx, until);
	} while (!err);
	return err;
}

void maria_pause(struct maria_pool *p)
{
	FSP_GUARD(&p->lock);
	/* Whether it was time or a signal is the same. */
	(void)fsp_cond_wait(&p->changed, &p->lock, fsp_mono_ns() + PAUSE_NS);
}

void maria_drop(struct maria_conn *c)
{
	struct maria_pool *p = maria_pool_of(c);

	maria_close(c->l);
	c->l = NULL;
	maria_forget_stmts(c);
	maria_later_free(c);
	c->placeless = true;
	unreserve(p);
}

void maria_give(struct maria_conn *c)
{
	struct maria_pool *p = maria_pool_of(c);
	bool lost = !c->l || c->l->failed;

	c->ctx = NULL;
	c->idle_ns = fsp_mono_ns();
	fsp_lock(&p->lock);
	if (lost) {
		if (!c->l || c->l->failed != -EINTR)
			maria_site_suspect_locked(site_of(p, c->role),
			                          c->host);
		p->open -= !c->placeless;
	} else {
		c->next = p->idle;
		p->idle = c;
	}
	fsp_cond_broadcast(&p->changed);
	fsp_unlock(&p->lock);
	if (lost)
		conn_free(c);
}

static enum maria_role role_of(const struct maria_pool *p, enum sql_kind kind)
{
	if (!sql_kind_reads(kind))
		return MARIA_WRITER;
	return kind == SQL_READ_ANY && p->o.read_hosts ? MARIA_REPLICA :
		MARIA_READER;
}

static int take_and_begin(struct maria_pool *p, const struct fsp_ctx *ctx,
                          enum sql_kind kind, enum maria_role role,
                          struct maria_conn **out)
{
	int err = maria_take(p, ctx, role, out);

	if (err)
		return err;
	(*out)->ctx = ctx;
	(*out)->kind = kind;
	err = maria_begin(*out);
	if (err) {
		maria_rollback(&(*out)->base);
		maria_give(*out);
	}
	return err;
}

static int pool_acquire(struct sqldrv *d, const struct fsp_ctx *ctx,
                        enum sql_kind kind, struct sqlconn **out)
{
	struct maria_pool *p = (struct maria_pool *)d;
	enum maria_role role = role_of(p, kind);
	struct maria_conn *c = NULL;
	int err;

	if (role == MARIA_WRITER && d->read_only)
		return -EROFS;
	if (role == MARIA_REPLICA && maria_gtid_late(p))
		role = MARIA_READER;
	err = take_and_begin(p, ctx, kind, role, &c);
	if (err == -EAGAIN && role == MARIA_REPLICA && maria_gtid_learn(p, ctx))
		err = take_and_begin(p, ctx, kind, role, &c);
	/* What lags too far behind, or is not there. */
	if (err && role == MARIA_REPLICA && !fsp_ctx_check(ctx))
		err = take_and_begin(p, ctx, kind, MARIA_READER, &c);
	if (!err)
		*out = &c->base;
	return err;
}

static void pool_release(struct sqlconn *conn)
{
	maria_give((struct maria_conn *)conn);
}

static int64_t pool_last_id(struct sqlconn *conn)
{
	return ((struct maria_conn *)conn)->last_id;
}

static void pool_close(struct sqldrv *d)
{
	struct maria_pool *p = (struct maria_pool *)d;

	maria_prober_stop(p);
	for (struct maria_conn *c = p->idle; c; c = c->next)
		maria_forget_outcome(c);
	free_all(p->idle);
	for (int i = 0; i < MARIA_SITES; i++)
		maria_site_free(&p->site[i]);
	for (int i = 0; i < SQL_TABLES; i++)
		free(p->table[i]);
	fsp_maria_options_free(&p->o);
	free(p->charset);
	fsp_cond_destroy(&p->changed);
	fsp_mutex_destroy(&p->lock);
	free(p);
}

static const struct sqldrv_ops ops = {
	.acquire = pool_acquire,
	.commit = maria_commit,
	.rollback = maria_rollback,
	.release = pool_release,
	.claim = maria_claim,
	.now_us = maria_now_us,
	.prepare = maria_prepare,
	.bind_int = maria_bind_int,
	.bind_text = maria_bind_text,
	.bind_bytes = maria_bind_bytes,
	.bind_null = maria_bind_null,
	.step = maria_step,
	.get_int = maria_get_int,
	.get_text = maria_get_text,
	.get_bytes = maria_get_bytes,
	.rewind = maria_rewind,
	.end = maria_end,
	.later = maria_later,
	.ahead = maria_ahead,
	.last = maria_last,
	.now = maria_now,
	.last_id = pool_last_id,
	.close = pool_close,
};

static int set_dialect(struct maria_pool *p, const struct sql_dialect *d)
{
	p->dialect = *d;
	for (int i = 0; i < SQL_TABLES; i++) {
		p->table[i] = strdup(d->table[i]);
		if (!p->table[i])
			return -ENOMEM;
		p->dialect.table[i] = p->table[i];
	}
	return 0;
}

static int set_up(struct maria_pool *p, const struct maria_settings *s,
                  char **error)
{
	int err = fsp_maria_options_copy(s->o, &p->o);

	if (!err)
		err = set_dialect(p, &s->dialect);
	if (!err && s->charset) {
		p->charset = strdup(s->charset);
		err = p->charset ? 0 : -ENOMEM;
	}
	if (!err)
		err = maria_site_open(p, &p->site[MARIA_PRIMARY],
		                      s->read_only ? MARIA_READER : MARIA_WRITER,
		                      error);
	if (!err && s->o->read_hosts)
		err = maria_site_open(p, &p->site[MARIA_REPLICAS],
		                      MARIA_REPLICA, error);
	return err;
}

int maria_pool_open(const struct maria_settings *s, struct sqldrv **out,
                    char **error)
{
	struct maria_pool *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	p->base.ops = &ops;
	p->base.read_only = s->read_only;
	p->base.legacy = s->legacy;
	p->limit = s->connections > 0 ? s->connections : 1;
	p->wait_ns = s->wait_ns;
	fsp_mutex_init(&p->lock);
	fsp_cond_init(&p->changed);
	err = set_up(p, s, error);
	if (err) {
		pool_close(&p->base);
		return err;
	}
	*out = &p->base;
	return 0;
}
