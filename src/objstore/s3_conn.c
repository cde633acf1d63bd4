/*
 * The pool of connections: libcurl's handles, each with the connection that it
 * has kept open. The one that was used last goes first, so that the others can
 * grow old and be closed.
 */
#include "s3.h"

#include <errno.h>
#include <stdlib.h>

#include <curl/curl.h>

#include "fsp_clock.h"

struct s3_conn {
	CURL *easy;
	CURLM *multi;                   /* keeps the connection */
	struct s3_conn *next;
};

void *s3_conn_easy(struct s3_conn *c)
{
	return c->easy;
}

void *s3_conn_multi(struct s3_conn *c)
{
	return c->multi;
}

static void conn_free(struct s3_conn *c)
{
	curl_easy_cleanup(c->easy);
	/* Its only handle is out of it, so it cannot refuse. */
	(void)curl_multi_cleanup(c->multi);
	free(c);
}

static struct s3_conn *conn_new(void)
{
	struct s3_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->easy = curl_easy_init();
	c->multi = curl_multi_init();
	if (c->easy && c->multi)
		return c;
	conn_free(c);
	return NULL;
}

/* A place among those in use, and the handle where one is idle. */
static int take_place(struct s3_store *s, const struct fsp_ctx *ctx,
                      const atomic_bool *stop, struct s3_conn **out)
{
	int64_t until = fsp_mono_ns() + s->timeout_ns;
	int rc = 0;

	FSP_GUARD(&s->lock);
	while (!rc && s->in_use >= s->connections) {
		rc = s3_wait_locked(s, ctx, stop);
		if (!rc && fsp_mono_ns() > until)
			rc = -ETIMEDOUT;
	}
	if (rc)
		return rc;
	s->in_use++;
	*out = s->idle;
	if (s->idle)
		s->idle = s->idle->next;
	return 0;
}

int s3_conn_take(struct s3_store *s, const struct fsp_ctx *ctx,
                 const atomic_bool *stop, struct s3_conn **out)
{
	int rc = take_place(s, ctx, stop, out);

	if (rc || *out)
		return rc;
	*out = conn_new();
	if (*out)
		return 0;
	fsp_lock(&s->lock);
	s->in_use--;
	fsp_cond_broadcast(&s->changed);
	fsp_unlock(&s->lock);
	return -ENOMEM;
}

void s3_conn_give(struct s3_store *s, struct s3_conn *c)
{
	FSP_GUARD(&s->lock);
	c->next = s->idle;
	s->idle = c;
	s->in_use--;
	fsp_cond_broadcast(&s->changed);
}

/* Nobody else is there any more. */
void s3_conn_close_all(struct s3_store *s)
{
	while (s->idle) {
		struct s3_conn *c = s->idle;

		s->idle = c->next;
		conn_free(c);
	}
}
