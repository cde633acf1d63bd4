/* One thread that looks, with growing pauses, whether hosts are back. */
#include <errno.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_log.h"
#include "fsp_worker.h"
#include "maria_pool.h"

struct due {
	struct maria_site *site;
	size_t host;
	int64_t at_ns;
};

/* A mount that only reads has no use for another kind of its only host. */
static bool matters(const struct maria_pool *p, const struct maria_site *s,
                    int err)
{
	return err && !(err == -EROFS && p->base.read_only && s->hosts.n == 1);
}

/* The host that is to be looked at first; site NULL: none is down. */
static struct due first_due_locked(struct maria_pool *p)
{
	struct due d = { .site = NULL };

	fsp_assert_held(&p->lock);
	for (int i = 0; i < MARIA_SITES; i++) {
		struct maria_site *s = &p->site[i];

		for (size_t k = 0; k < s->hosts.n; k++) {
			const struct maria_health *h = &s->health[k];

			if (matters(p, s, h->err) &&
			    (!d.site || h->retry_ns < d.at_ns))
				d = (struct due){ s, k, h->retry_ns };
		}
	}
	return d;
}

/* Waits until a host is due; false: the pool closes. */
static bool wait_due(struct maria_pool *p, struct due *d)
{
	FSP_GUARD(&p->lock);
	while (!atomic_load(&p->closing)) {
		*d = first_due_locked(p);
		if (d->site && d->at_ns <= fsp_mono_ns())
			return true;
		/* Whether it was time or a signal shows in the next round. */
		(void)fsp_cond_wait(&p->changed, &p->lock, d->at_ns);
	}
	return false;
}

static void look(struct maria_pool *p, const struct due *d)
{
	struct fsp_ctx ctx = fsp_ctx_background();
	FSP_FREE char *why = NULL;
	struct maria_link *l = NULL;
	int err;

	ctx.cancelled = &p->closing;
	err = maria_link_open(&p->o, &d->site->hosts.v[d->host], d->site->role,
	                      p->charset, &ctx, &l, &why);
	if (err == -EINTR)
		return;
	if (!err && l->read_only && d->site->role == MARIA_READER)
		err = -EROFS;
	maria_close(l);
	/* It has no room for us, so it is there. */
	maria_site_note(p, d->site, d->host, err == -EAGAIN ? 0 : err, why);
}

static void *prober(void *arg)
{
	struct maria_pool *p = arg;
	struct due d;

	while (wait_due(p, &d))
		look(p, &d);
	return NULL;
}

void maria_prober_wake_locked(struct maria_pool *p)
{
	int err;

	fsp_assert_held(&p->lock);
	if (p->probing || atomic_load(&p->closing))
		return;
	err = fsp_thread_create(&p->prober, prober, p);
	if (err)
		fsp_error("database: no thread to look for hosts: %s",
		          strerror(-err));
	p->probing = !err;
}

void maria_prober_stop(struct maria_pool *p)
{
	bool probing;

	atomic_store(&p->closing, true);
	fsp_lock(&p->lock);
	probing = p->probing;
	fsp_cond_broadcast(&p->changed);
	fsp_unlock(&p->lock);
	/* Only a thread that is not there could not be waited for. */
	if (probing)
		(void)pthread_join(p->prober, NULL);
}
