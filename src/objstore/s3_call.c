/* One call with all its attempts: waits, the clock, new keys, the log. */
#include "s3.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_log.h"

#define MS 1000000LL
#define FIRST_WAIT_NS (100 * MS)
#define LONGEST_WAIT_NS (5000 * MS)
#define RETRY_AFTER_MAX_S 60    /* whoever wants more is down */
#define LOOK_NS (100 * MS)      /* how late a cancellation may be seen */
#define PROGRESS (64 * 1024)    /* bytes that make the attempts count anew */

struct call {
	struct s3_store *s;
	const struct fsp_ctx *ctx;
	struct s3_request *r;
	struct s3_response *p;
	int attempt;                    /* from 1 */
	int failed;                     /* since there was progress */
	bool stalled, skewed, renewed;  /* once is enough */
};

int64_t s3_now_s(const struct s3_store *s)
{
	return fsp_ns_to_sec(fsp_now_ns()) + atomic_load(&s->skew_s);
}

int s3_ctx_check(const struct fsp_ctx *ctx, const atomic_bool *stop)
{
	if (stop && atomic_load(stop))
		return -EINTR;
	return fsp_ctx_check(ctx);
}

int s3_wait_locked(struct s3_store *s, const struct fsp_ctx *ctx,
                   const atomic_bool *stop)
{
	int rc = s3_ctx_check(ctx, stop);

	fsp_assert_held(&s->lock);
	if (rc)
		return rc;
	/* That the time is over only means to look again. */
	(void)fsp_cond_wait(&s->changed, &s->lock, fsp_mono_ns() + LOOK_NS);
	return s3_ctx_check(ctx, stop);
}

void s3_add_header(struct s3_request *r, const char *name, const char *value)
{
	r->headers[r->n_headers++] = (struct s3_header){ name, value };
}

void s3_add_param(struct s3_request *r, const char *name, const char *value)
{
	r->params[r->n_params++] = (struct s3_param){ name, value };
}

/* Between half and all of what the exponent says; -1: too long. */
static int64_t wait_for(const struct call *c)
{
	int64_t most = FIRST_WAIT_NS << (c->failed < 8 ? c->failed - 1 : 7);
	int64_t asked = c->p->retry_after_s, ns;
	uint32_t random;

	if (most > LONGEST_WAIT_NS)
		most = LONGEST_WAIT_NS;
	fsp_random(&random, sizeof(random));
	ns = most / 2 + (int64_t)(random % (uint64_t)(most / 2));
	if (asked > RETRY_AFTER_MAX_S)
		return -1;
	if (asked > 0 && asked * FSP_NS_PER_SEC > ns)
		ns = asked * FSP_NS_PER_SEC;
	return ns < fsp_ctx_left_ns(c->ctx) ? ns : -1;
}

/* Waits for the next attempt; false: there shall be none. */
static bool wait_again(struct call *c)
{
	int64_t ns;

	if (++c->failed > c->s->retries)
		return false;
	ns = wait_for(c);
	if (ns < 0 || (c->r->stop && atomic_load(c->r->stop)))
		return false;
	return c->s->pause(c->ctx, ns) == 0;
}

/* The clock of the server is the one that counts. */
static bool follow_clock(struct call *c)
{
	int64_t skew;

	if (c->skewed || !c->p->date_s)
		return false;
	c->skewed = true;
	skew = c->p->date_s - fsp_ns_to_sec(fsp_now_ns());
	if (atomic_exchange(&c->s->skew_s, skew) != skew)
		fsp_warn("S3: this machine's clock is off by %lld s from that "
		         "of %s; requests are dated by the latter",
		         (long long)-skew, c->s->url);
	return true;
}

static bool renew(struct call *c)
{
	if (c->renewed)
		return false;
	c->renewed = true;
	return s3_cred_renew(c->s->cred, c->ctx) == 0;
}

static bool once_more(struct call *c, const struct s3_failure *f)
{
	if (c->p->got >= PROGRESS) {
		c->failed = 0;
		c->stalled = false;
	}
	if (f->skewed)
		return follow_clock(c);
	if (f->expired)
		return renew(c);
	if (!f->retry)
		return false;
	if (c->p->stalled) {
		if (c->stalled)
			return false;
		c->stalled = true;
	}
	return wait_again(c);
}

static void report(struct call *c, const struct s3_failure *f)
{
	FSP_FREE char *text = NULL;
	char same[512];

	/* Answers, and the caller's own doing. */
	if (f->rc == -ENOENT || f->rc == -ERANGE || f->rc == -EINTR ||
	    f->silent || c->r->quiet)
		return;
	/* Without words; s3_look() asks for them. */
	if (c->r->method[0] == 'H' && c->p->status / 100 >= 3 &&
	    c->p->status / 100 <= 4)
		return;
	text = s3_failure_text(c->s, c->r, c->p, f, c->attempt);
	(void)snprintf(same, sizeof(same), "%s %d %ld %s %s", c->r->method,
	               f->rc, c->p->status, f->said.code, c->p->detail);
	if (text)
		s3_log_failure(c->s, same, text);
}

/* One attempt and what it means; 0 in f->rc: it is done. */
static void attempt(struct call *c, struct s3_failure *f)
{
	struct s3_keys keys;
	int rc = s3_cred_get(c->s->cred, c->ctx, &keys);

	c->attempt++;
	if (rc) {
		*f = (struct s3_failure){ .rc = rc, .silent = true };
		return;
	}
	rc = s3_http(c->s, c->ctx, c->r, &keys, c->p);
	s3_keys_free(&keys);
	s3_judge(c->p, rc, f);
}

int s3_call(struct s3_store *s, const struct fsp_ctx *ctx,
            struct s3_request *r, struct s3_response *p, struct s3_failure *f)
{
	struct call c = { .s = s, .ctx = ctx, .r = r, .p = p };
	struct s3_failure mine;
	int rc = s3_sha256_hex(r->payload, r->body ? r->body : "", r->body_len);

	if (!f)
		f = &mine;
	*p = (struct s3_response){ .body = FSP_BUF_INIT };
	*f = (struct s3_failure){ .rc = rc };
	while (!rc) {
		attempt(&c, f);
		if (!f->rc)
			return 0;
		if (!once_more(&c, f))
			break;
		atomic_fetch_add(&s->retried, 1);
		fsp_debug("S3: %s: attempt %d: %s %s", r->method, c.attempt,
		          f->said.code, p->detail);
		if (r->again)
			rc = r->again(r->arg, r);
		if (rc)
			f->rc = rc;
	}
	report(&c, f);
	return f->rc;
}
