/* The states of a server; DESIGN.md, "When a server is down". */
#include "fsp_breaker.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_health.h"
#include "fsp_lock.h"
#include "fsp_log.h"
#include "fsp_worker.h"

#define MS 1000000LL
#define INTERVAL_MIN (200 * MS)
#define INTERVAL_MAX (2000 * MS)
#define FAIR_NS (1000 * MS)     /* in which a server can be judged */
/* A probe that hangs when the server comes back must not hide it for long. */
#define PROBE_LIMIT (3500 * MS)

struct fsp_breaker {
	struct fsp_breaker_options o;
	int64_t (*now)(void);
	struct fsp_mutex lock;
	struct fsp_worker worker;
	atomic_bool open;       /* these two are written under the lock */
	atomic_uint epoch;      /* counts openings and closings */
	atomic_int failures;    /* of calls in a row */
	atomic_bool ailing;     /* the last probe got an error for an answer */
	/* Under the lock. */
	bool probing;
	int64_t probe_at;       /* 0: no reason to */
	int64_t interval;
	int64_t opened_at;
};

static bool is_down(int err)
{
	return err == -EHOSTDOWN || err == -ETIMEDOUT;
}

/* Says nothing about the server. */
static bool is_ours(int err)
{
	return err == -EINTR || err == -ENOMEM;
}

/* Nor does the end of what hardly had time: another server may have taken it. */
static bool was_hurried(const struct fsp_breaker_call *call, int err)
{
	return err == -ETIMEDOUT && call->left_ns < FAIR_NS;
}

static void open_locked(struct fsp_breaker *b, const char *why)
{
	fsp_assert_held(&b->lock);
	atomic_store(&b->open, true);
	atomic_fetch_add(&b->epoch, 1);
	atomic_store(&b->failures, 0);
	b->opened_at = b->now();
	b->interval = INTERVAL_MIN;
	/* A probe that is under way sets the time of the next one. */
	if (!b->probing)
		b->probe_at = b->opened_at + b->interval;
	fsp_warn("%s: down: %s; calls fail at once until it is back",
	         b->o.name, why);
	fsp_health_set(b->o.health, FSP_HEALTH_DOWN, why);
}

static void close_locked(struct fsp_breaker *b)
{
	fsp_assert_held(&b->lock);
	fsp_info("%s: back after %lld s", b->o.name,
	         (long long)((b->now() - b->opened_at) / FSP_NS_PER_SEC));
	atomic_store(&b->open, false);
	atomic_fetch_add(&b->epoch, 1);
}

int fsp_breaker_enter(struct fsp_breaker *b, const struct fsp_ctx *ctx,
                      struct fsp_breaker_call *call)
{
	call->left_ns = fsp_ctx_left_ns(ctx);
	/* In this order: one that opens in between makes it the older. */
	call->epoch = atomic_load(&b->epoch);
	return atomic_load(&b->open) ? -EHOSTDOWN : 0;
}

static void failed(struct fsp_breaker *b, unsigned int epoch, int err)
{
	FSP_GUARD(&b->lock);
	/* Begun before it was known: says nothing new. */
	if (epoch != atomic_load(&b->epoch))
		return;
	if (atomic_fetch_add(&b->failures, 1) + 1 >= b->o.down_after)
		open_locked(b, strerror(-err));
	else if (!b->probe_at)
		b->probe_at = b->now();
	fsp_worker_wake(&b->worker);
}

static void answered(struct fsp_breaker *b, unsigned int epoch, int err)
{
	FSP_GUARD(&b->lock);
	if (epoch != atomic_load(&b->epoch))
		return;
	atomic_store(&b->failures, 0);
	if (!err && atomic_exchange(&b->ailing, false))
		fsp_health_set(b->o.health, FSP_HEALTH_OK, NULL);
}

int fsp_breaker_leave(struct fsp_breaker *b,
                      const struct fsp_breaker_call *call, int err)
{
	if (is_ours(err) || was_hurried(call, err))
		return err;
	if (is_down(err))
		failed(b, call->epoch, err);
	else if (atomic_load(&b->failures) || atomic_load(&b->ailing))
		answered(b, call->epoch, err);
	return err;
}

bool fsp_breaker_is_open(struct fsp_breaker *b)
{
	return atomic_load(&b->open);
}

static int probe(struct fsp_breaker *b, char **why)
{
	struct fsp_ctx ctx = fsp_ctx_background();

	ctx.deadline_ns = fsp_mono_ns() + PROBE_LIMIT;
	ctx.cancelled = &b->worker.stop;
	return b->o.probe(b->o.arg, &ctx, why);
}

/* Still down, or down after all. */
static void probed_down_locked(struct fsp_breaker *b, const char *why)
{
	if (atomic_load(&b->open))
		fsp_health_set(b->o.health, FSP_HEALTH_DOWN, why);
	else
		open_locked(b, why);
}

static void probed_up_locked(struct fsp_breaker *b, int err, const char *why)
{
	if (atomic_load(&b->open))
		close_locked(b);
	atomic_store(&b->failures, 0);
	atomic_store(&b->ailing, err != 0);
	fsp_health_set(b->o.health,
	               err ? FSP_HEALTH_DEGRADED : FSP_HEALTH_OK, why);
}

static void probed_locked(struct fsp_breaker *b, int64_t began, int err,
                          const char *why)
{
	fsp_assert_held(&b->lock);
	if (is_down(err))
		probed_down_locked(b, why);
	else if (!is_ours(err))
		probed_up_locked(b, err, why);
	if (!atomic_load(&b->open) && !is_ours(err)) {
		b->probe_at = 0;
		return;
	}
	/* From beginning to beginning: one that hung is followed at once. */
	b->probe_at = began + b->interval;
	b->interval *= 2;
	if (b->interval > INTERVAL_MAX)
		b->interval = INTERVAL_MAX;
}

int64_t fsp_breaker_step(struct fsp_breaker *b)
{
	FSP_FREE char *why = NULL;
	int64_t began = b->now(), left;
	int err;

	FSP_GUARD(&b->lock);
	if (b->probe_at && began >= b->probe_at) {
		b->probing = true;
		fsp_unlock(&b->lock);
		err = probe(b, &why);
		fsp_lock(&b->lock);
		b->probing = false;
		probed_locked(b, began, err, why ? why : strerror(-err));
	}
	if (!b->probe_at)
		return INT64_MAX;
	left = b->probe_at - b->now();
	return left > 0 ? left : 0;
}

static void *prober(void *arg)
{
	struct fsp_breaker *b = arg;

	FSP_GUARD(&b->lock);
	while (!b->worker.stop) {
		int64_t at = b->probe_at;

		if (at && b->now() >= at) {
			fsp_unlock(&b->lock);
			(void)fsp_breaker_step(b);
			fsp_lock(&b->lock);
		} else {
			/* Its time-out is the time for the next probe. */
			(void)fsp_worker_wait(&b->worker, at);
		}
	}
	return NULL;
}

static int start_thread(struct fsp_breaker *b)
{
	FSP_GUARD(&b->lock);
	return fsp_worker_start(&b->worker, prober, b);
}

int fsp_breaker_new(const struct fsp_breaker_options *o,
                    struct fsp_breaker **out)
{
	struct fsp_breaker *b = calloc(1, sizeof(*b));
	int err = 0;

	if (!b)
		return -ENOMEM;
	b->o = *o;
	b->now = o->now ? o->now : fsp_mono_ns;
	b->interval = INTERVAL_MIN;
	fsp_mutex_init(&b->lock);
	fsp_worker_init(&b->worker, &b->lock);
	if (!o->now)
		err = start_thread(b);
	if (err)
		fsp_breaker_free(b);
	else
		*out = b;
	return err;
}

void fsp_breaker_free(struct fsp_breaker *b)
{
	if (!b)
		return;
	fsp_worker_end(&b->worker);
	fsp_mutex_destroy(&b->lock);
	free(b);
}
