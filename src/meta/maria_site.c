/*
 * Hosts in order of preference: which one a connection is made to. A host that
 * failed is down until the prober finds it up, so that callers do not wait for
 * it one after another. One that is read-only serves readers where there is no
 * other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_log.h"
#include "maria_pool.h"

#define FIRST_PAUSE_NS (FSP_NS_PER_SEC / 5)
/* The breaker's own probe, up to 2 s later, finds the host up only after ours:
 * together they make how long a server is back before it is used. */
#define LAST_PAUSE_NS FSP_NS_PER_SEC
#define SETTLE_NS (3 * FSP_NS_PER_SEC)  /* a host that is back is trusted */
#define CANCEL_POLL_NS 50000000LL       /* cancelling signals no condition */

int maria_site_open(struct maria_pool *p, struct maria_site *s,
                    enum maria_role role, char **error)
{
	int err = maria_hosts_parse(&p->o, role, &s->hosts, error);

	if (err)
		return err;
	s->role = role;
	s->health = calloc(s->hosts.n, sizeof(*s->health));
	return s->health ? 0 : -ENOMEM;
}

void maria_site_free(struct maria_site *s)
{
	maria_hosts_free(&s->hosts);
	free(s->health);
	s->health = NULL;
}

static void note_up_locked(const struct maria_site *s, size_t host)
{
	struct maria_health *h = &s->health[host];

	if (!h->err)
		return;
	fsp_info("database %s: is back", s->hosts.v[host].name);
	h->err = 0;
	h->pause_ns = 0;
	h->up_ns = fsp_mono_ns();
}

static void note_down_locked(const struct maria_site *s, size_t host, int err,
                             const char *why)
{
	struct maria_health *h = &s->health[host];
	int64_t now = fsp_mono_ns();

	if (!h->err) {
		fsp_warn("database: %s", why ? why : s->hosts.v[host].name);
		h->down_ns = now;
	}
	h->err = err;
	h->pause_ns = h->pause_ns ? 2 * h->pause_ns : FIRST_PAUSE_NS;
	if (h->pause_ns > LAST_PAUSE_NS)
		h->pause_ns = LAST_PAUSE_NS;
	h->retry_ns = now + h->pause_ns;
}

void maria_site_note(struct maria_pool *p, struct maria_site *s, size_t host,
                     int err, const char *why)
{
	FSP_GUARD(&p->lock);
	if (!err) {
		note_up_locked(s, host);
	} else {
		note_down_locked(s, host, err, why);
		maria_prober_wake_locked(p);
	}
	fsp_cond_broadcast(&p->changed);
}

void maria_site_suspect_locked(struct maria_site *s, size_t host)
{
	s->health[host].flush_ns = fsp_mono_ns();
}

bool maria_site_stale_locked(const struct maria_site *s, size_t host,
                             int64_t born_ns)
{
	int64_t now = fsp_mono_ns();

	if (born_ns < s->health[host].flush_ns)
		return true;
	for (size_t i = 0; i < s->hosts.n; i++) {
		const struct maria_health *h = &s->health[i];

		if (i != host && !h->err && now - h->up_ns > SETTLE_NS &&
		    (i < host || s->health[host].err == -EROFS))
			return true;
	}
	return false;
}

/* The next host to try, or hosts.n. Readers come to what is read-only. */
static size_t next_host(struct maria_pool *p, const struct maria_site *s,
                        size_t from, int err)
{
	FSP_GUARD(&p->lock);
	while (from < s->hosts.n && s->health[from].err != err)
		from++;
	return from;
}

static int try_host(struct maria_pool *p, struct maria_site *s, size_t host,
                    const struct fsp_ctx *ctx, enum maria_role role,
                    bool read_only_too, struct maria_link **out)
{
	FSP_FREE char *why = NULL;
	int err = maria_link_open(&p->o, &s->hosts.v[host], role, p->charset,
	                          ctx, out, &why);

	if (!err && (*out)->read_only && role == MARIA_READER &&
	    !read_only_too) {
		why = fsp_strf("%s: the server is read-only", (*out)->name);
		maria_close(*out);
		err = -EROFS;
	}
	if (err == -EINTR || err == -EAGAIN || err == -ENOMEM)
		return err;
	/* Was it the host that took so long, or had the caller no time? */
	if (err && fsp_ctx_check(ctx))
		return fsp_ctx_check(ctx);
	if (!err && read_only_too)
		return 0;
	maria_site_note(p, s, host, err, why);
	return err;
}

/* The first of those whose health is as asked for; -EHOSTDOWN: none. */
static int try_all(struct maria_pool *p, struct maria_site *s,
                   const struct fsp_ctx *ctx, enum maria_role role,
                   bool read_only_too, struct maria_link **out, size_t *host)
{
	int health = read_only_too ? -EROFS : 0;
	int err = -EHOSTDOWN;

	for (size_t i = 0; i < s->hosts.n; i++) {
		i = next_host(p, s, i, health);
		if (i == s->hosts.n)
			break;
		err = try_host(p, s, i, ctx, role, read_only_too, out);
		*host = i;
		if (!err || err == -EINTR || err == -EAGAIN ||
		    fsp_ctx_check(ctx))
			return err;
	}
	return err;
}

/* Others go on with reading where a host is read-only: it is down for them. */
static int down_as(enum maria_role role, bool read_only, int err)
{
	if (read_only && role == MARIA_WRITER)
		return -EROFS;
	return err == -EROFS ? -EHOSTDOWN : err;
}

/*
 * Waits for a host that is only just down: a restart, a fail-over. What is
 * known to be down is said at once.
 */
static int wait_for_one(struct maria_pool *p, const struct maria_site *s,
                        const struct fsp_ctx *ctx, enum maria_role role)
{
	int64_t until = 0, slice = fsp_mono_ns() + CANCEL_POLL_NS;
	int err = fsp_ctx_check(ctx);
	bool read_only = false;

	if (err)
		return err;
	FSP_GUARD(&p->lock);
	for (size_t i = 0; i < s->hosts.n; i++) {
		const struct maria_health *h = &s->health[i];

		if (!h->err)
			return 0;
		read_only |= h->err == -EROFS;
		if (h->down_ns + p->o.connect_timeout_ns > until)
			until = h->down_ns + p->o.connect_timeout_ns;
	}
	if (fsp_mono_ns() >= until)
		return down_as(role, read_only, s->health[0].err);
	/* Whether it was time or a signal shows in the next round. */
	(void)fsp_cond_wait(&p->changed, &p->lock, slice);
	return 0;
}

int maria_site_connect(struct maria_pool *p, struct maria_site *s,
                       const struct fsp_ctx *ctx, enum maria_role role,
                       struct maria_link **out, size_t *host)
{
	int err, waited = 0;

	do {
		err = try_all(p, s, ctx, role, false, out, host);
		if (!err || err == -EINTR || err == -EAGAIN ||
		    fsp_ctx_check(ctx))
			return err;
		if (role == MARIA_READER &&
		    try_all(p, s, ctx, role, true, out, host) == 0)
			return 0;
		/* There is the write host to read from. */
		if (role == MARIA_REPLICA)
			return err;
		waited = wait_for_one(p, s, ctx, role);
	} while (!waited);
	return waited;
}
