/*
 * The chain of sources and the keys that it has found.
 *
 * One caller at a time asks (`asking`), without the lock. After it has asked,
 * well or not, the next one waits for PAUSE: a source that is down is not
 * asked for each request.
 */
#include "s3_cred.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_lock.h"
#include "fsp_log.h"
#include "s3_cred_impl.h"

#define AHEAD_US (300 * FSP_US_PER_SEC)
#define PAUSE_US (5 * FSP_US_PER_SEC)
#define SLICE_NS (FSP_NS_PER_SEC / 10)  /* to look for a cancellation */

static const struct s3_source sources[] = {
	{ "the settings", s3_from_settings },
	{ "s3.credentials_file", s3_from_file },
	{ "the environment", s3_from_environment },
	{ "the shared credentials file", s3_from_shared_file },
	{ "the container's endpoint", s3_from_container },
	{ "the instance's metadata service", s3_from_imds },
};
#define N_SOURCES (sizeof(sources) / sizeof(*sources))

struct s3_cred {
	struct s3_cred_options o;       /* its strings are ours */
	struct fsp_mutex lock;
	struct fsp_cond asked;
	bool asking;
	struct s3_fetched now;          /* without access: none */
	const struct s3_source *source; /* of those */
	int64_t asked_us;               /* last; 0 = never */
	int64_t renewed_us;             /* got others than it had; 0 = never */
	int err;                        /* of the last time */
	char *logged;                   /* the failure that was */
};

void s3_string_free(char *s)
{
	if (s)
		fsp_wipe(s, strlen(s));
	free(s);
}

void s3_keys_free(struct s3_keys *k)
{
	s3_string_free(k->access);
	s3_string_free(k->secret);
	s3_string_free(k->token);
	*k = (struct s3_keys){ 0 };
}

int s3_keys_copy(struct s3_keys *out, const char *access, const char *secret,
                 const char *token)
{
	*out = (struct s3_keys){ strdup(access), strdup(secret),
		                 token ? strdup(token) : NULL };
	if (out->access && out->secret && (out->token || !token))
		return 0;
	s3_keys_free(out);
	return -ENOMEM;
}

static bool visible(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (*s <= ' ' || *s > '~')
			return false;
	return true;
}

bool s3_keys_valid(const struct s3_keys *k)
{
	return visible(k->access) && visible(k->secret) &&
	       (!k->token || visible(k->token));
}

static int copy_string(const char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

static int copy_options(struct s3_cred_options *to,
                        const struct s3_cred_options *from)
{
	int err = copy_string(&to->access, from->access);

	if (!err)
		err = copy_string(&to->secret, from->secret);
	if (!err)
		err = copy_string(&to->token, from->token);
	if (!err)
		err = copy_string(&to->file, from->file);
	if (!err)
		err = copy_string(&to->profile, from->profile);
	if (!err)
		err = copy_string(&to->imds_endpoint, from->imds_endpoint);
	return err;
}

/* A copy of copy_options(): nobody else has the strings. */
static void free_string(const char *s)
{
	union {
		const char *in;
		char *out;
	} u = { .in = s };

	s3_string_free(u.out);
}

static void free_options(struct s3_cred_options *o)
{
	free_string(o->access);
	free_string(o->secret);
	free_string(o->token);
	free_string(o->file);
	free_string(o->profile);
	free_string(o->imds_endpoint);
}

static int check_options(const struct s3_cred_options *o, char **error)
{
	*error = NULL;
	if (!o->access != !o->secret)
		*error = fsp_strf("s3.%s is set and s3.%s is not",
		                  o->access ? "access_key" : "secret_key",
		                  o->access ? "secret_key" : "access_key");
	else if (o->token && !o->access)
		*error = fsp_strf("s3.session_token is set and s3.access_key "
		                  "is not");
	else
		return 0;
	return -EINVAL;
}

int s3_cred_new(const struct s3_cred_options *o, struct s3_cred **out,
                char **error)
{
	struct s3_cred *c;
	int err = check_options(o, error);

	if (err)
		return err;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	fsp_mutex_init(&c->lock);
	fsp_cond_init(&c->asked);
	err = copy_options(&c->o, o);
	if (err)
		s3_cred_free(c);
	else
		*out = c;
	return err;
}

void s3_cred_free(struct s3_cred *c)
{
	if (!c)
		return;
	s3_keys_free(&c->now.keys);
	free_options(&c->o);
	free(c->logged);
	fsp_cond_destroy(&c->asked);
	fsp_mutex_destroy(&c->lock);
	free(c);
}

/* -- asking -- */

static int ask_one(const struct s3_cred *c, const struct s3_source *s,
                   const struct fsp_ctx *ctx, struct s3_fetched *out,
                   struct fsp_buf *why)
{
	int err;

	*out = (struct s3_fetched){ 0 };
	/* Without memory the words are short. */
	(void)fsp_buf_printf(why, "%s%s: ", why->len ? "; " : "", s->name);
	err = s->fetch(&c->o, ctx, out, why);
	if (!err && !s3_keys_valid(&out->keys)) {
		s3_keys_free(&out->keys);
		(void)fsp_buf_adds(why, "a key has a blank or a control "
		                        "character");
		err = -EACCES;
	}
	return err;
}

/*
 * From the source that has served before, else from the first that has any.
 * *from says which. Only what was set up and failed is worth its own words.
 */
static int ask(const struct s3_cred *c, const struct fsp_ctx *ctx,
               struct s3_fetched *out, const struct s3_source **from,
               struct fsp_buf *why)
{
	const struct s3_source *last = sources + N_SOURCES;
	int err = -ENOENT;

	for (*from = c->source ? c->source : sources; *from < last; ++*from) {
		size_t before = why->len;

		err = ask_one(c, *from, ctx, out, why);
		if (err && err != -ENOENT && before) {
			memmove(why->data, why->data + before + 2,
			        why->len - before - 2 + 1);
			why->len -= before + 2;
		}
		if (err != -ENOENT || c->source)
			break;
	}
	if (err == -ENOENT)
		err = c->source ? -EHOSTDOWN : -EACCES;
	return err;
}

/* Once for each failure, until it is over or has another reason. */
static void log_failure(struct s3_cred *c, const char *why, int err, bool valid)
{
	char *copy;

	fsp_assert_held(&c->lock);
	if (c->logged && strcmp(c->logged, why) == 0)
		return;
	copy = strdup(why);
	/* Without memory it is logged once more. */
	free(c->logged);
	c->logged = copy;
	if (valid)
		fsp_warn("S3: the keys could not be renewed and serve until "
		         "they expire: %s", why);
	else
		fsp_error("S3: no keys (%s): %s", strerror(-err), why);
}

static void keep(struct s3_cred *c, struct s3_fetched *new,
                 const struct s3_source *from)
{
	fsp_assert_held(&c->lock);
	if (!c->source)
		fsp_info("S3: the keys come from %s", from->name);
	else if (c->logged)
		fsp_info("S3: the keys were renewed from %s", from->name);
	free(c->logged);
	c->logged = NULL;
	s3_keys_free(&c->now.keys);
	c->now = *new;
	c->source = from;
}

static bool is_valid(const struct s3_cred *c, int64_t now_us)
{
	return c->now.keys.access &&
	       (!c->now.expires_us || now_us < c->now.expires_us);
}

static bool same(const struct s3_keys *a, const struct s3_keys *b)
{
	return a->access && strcmp(a->access, b->access) == 0 &&
	       strcmp(a->secret, b->secret) == 0 && !a->token == !b->token &&
	       (!a->token || strcmp(a->token, b->token) == 0);
}

/* Asks without the lock; *changed: there are others than before. */
static int refresh_locked(struct s3_cred *c, const struct fsp_ctx *ctx,
                          bool *changed)
{
	FSP_BUF struct fsp_buf why = FSP_BUF_INIT;
	const struct s3_source *from;
	struct s3_fetched new;
	int err;

	fsp_assert_held(&c->lock);
	c->asking = true;
	fsp_unlock(&c->lock);
	err = ask(c, ctx, &new, &from, &why);
	fsp_lock(&c->lock);
	c->asking = false;
	fsp_cond_broadcast(&c->asked);
	*changed = !err && !same(&c->now.keys, &new.keys);
	if (*changed && c->source)
		c->renewed_us = fsp_now_us();
	/* That this caller gave up says nothing about the source. */
	if (err && fsp_ctx_check(ctx))
		return fsp_ctx_check(ctx);
	c->asked_us = fsp_now_us();
	c->err = err;
	if (err)
		log_failure(c, why.data ? why.data : "", err,
		            is_valid(c, c->asked_us));
	else
		keep(c, &new, from);
	return err;
}

/* A clock that was set back must not make the pause long. */
static bool just_now(int64_t then_us, int64_t now_us)
{
	return then_us && now_us - then_us < PAUSE_US &&
	       then_us - now_us < PAUSE_US;
}

/* While another caller asks; -EINTR, -ETIMEDOUT: this one cannot wait. */
static int wait_asked(struct s3_cred *c, const struct fsp_ctx *ctx)
{
	int err = 0;

	fsp_assert_held(&c->lock);
	while (c->asking && !err) {
		/* Its time-out is a look at the context. */
		(void)fsp_cond_wait(&c->asked, &c->lock,
		                    fsp_mono_ns() + SLICE_NS);
		err = fsp_ctx_check(ctx);
	}
	return err;
}

/* 0: c->now is good to use. */
static int ensure_locked(struct s3_cred *c, const struct fsp_ctx *ctx)
{
	bool changed;
	int err;

	for (;;) {
		int64_t now = fsp_now_us();
		bool valid = is_valid(c, now);
		bool due = !valid || (c->now.expires_us &&
		                      c->now.expires_us - now < AHEAD_US);

		if (!due || (valid && (c->asking || just_now(c->asked_us, now))))
			return 0;
		if (c->asking)
			err = wait_asked(c, ctx);
		else if (c->err && just_now(c->asked_us, now))
			err = c->err;
		else
			err = refresh_locked(c, ctx, &changed);
		if (err)
			return is_valid(c, fsp_now_us()) ? 0 : err;
	}
}

int s3_cred_get(struct s3_cred *c, const struct fsp_ctx *ctx,
                struct s3_keys *out)
{
	int err;

	FSP_GUARD(&c->lock);
	*out = (struct s3_keys){ 0 };
	err = ensure_locked(c, ctx);
	return err ? err : s3_keys_copy(out, c->now.keys.access,
	                                c->now.keys.secret, c->now.keys.token);
}

int s3_cred_renew(struct s3_cred *c, const struct fsp_ctx *ctx)
{
	bool changed = false;
	int64_t now;
	int err;

	FSP_GUARD(&c->lock);
	err = wait_asked(c, ctx);
	if (err)
		return err;
	now = fsp_now_us();
	/* Others, whose requests were refused as well, may have just asked. */
	if (just_now(c->renewed_us, now))
		return 0;
	if (c->err && just_now(c->asked_us, now))
		return c->err;
	err = refresh_locked(c, ctx, &changed);
	if (!err && !changed)
		err = c->err = -EACCES;
	return err;
}
