/*
 * A small answer from a server nearby: no proxy, no redirects, short times. It
 * has a secret in it: the memory is taken at once and wiped; libcurl's own
 * buffers are out of our reach.
 */
#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "s3_cred_impl.h"

/* A machine without such a service must not be held up. */
static long connect_limit_ms = 1000;
static long total_limit_ms = 2000;

void s3_http_limits(long connect_ms, long total_ms)
{
	connect_limit_ms = connect_ms;
	total_limit_ms = total_ms;
}

void s3_answer_free(struct s3_answer *a)
{
	if (a->body)
		fsp_wipe(a->body, S3_HTTP_MAX + 1);
	free(a->body);
	*a = (struct s3_answer){ 0 };
}

static size_t take(char *data, size_t size, size_t n, void *arg)
{
	struct s3_answer *a = arg;

	n *= size;
	if (n > S3_HTTP_MAX - a->len)
		return 0;
	memcpy(a->body + a->len, data, n);
	a->len += n;
	return n;
}

static size_t nothing(char *buf, size_t size, size_t n, void *arg)
{
	(void)buf;
	(void)size;
	(void)n;
	(void)arg;
	return 0;
}

static int cancelled(void *arg, curl_off_t a, curl_off_t b, curl_off_t c,
                     curl_off_t d)
{
	(void)a;
	(void)b;
	(void)c;
	(void)d;
	return fsp_ctx_check(arg) != 0;
}

static long within(const struct fsp_ctx *ctx, long ms)
{
	int64_t left = fsp_ctx_left_ns(ctx) / 1000000;

	return left < ms ? (left > 0 ? (long)left : 1) : ms;
}

static CURLcode set_up(CURL *h, const struct fsp_ctx *ctx,
                       const struct s3_http *r, struct curl_slist *lines,
                       struct s3_answer *out)
{
	CURLcode rc = CURLE_OK;

#define SET(option, value)                                                     \
	do {                                                                   \
		if (rc == CURLE_OK)                                            \
			rc = curl_easy_setopt(h, option, value);               \
	} while (0)
	SET(CURLOPT_URL, r->url);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_NOPROXY, "*");
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_HTTPHEADER, lines);
	SET(CURLOPT_CONNECTTIMEOUT_MS, within(ctx, connect_limit_ms));
	SET(CURLOPT_TIMEOUT_MS, within(ctx, total_limit_ms));
	SET(CURLOPT_WRITEFUNCTION, take);
	SET(CURLOPT_WRITEDATA, out);
	SET(CURLOPT_NOPROGRESS, 0L);
	SET(CURLOPT_XFERINFOFUNCTION, cancelled);
	SET(CURLOPT_XFERINFODATA, ctx);
	if (strcmp(r->method, "PUT") == 0) {
		SET(CURLOPT_UPLOAD, 1L);
		SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)0);
		SET(CURLOPT_READFUNCTION, nothing);
	}
#undef SET
	return rc;
}

static int error_of(CURLcode rc)
{
	switch (rc) {
	case CURLE_OK:
		return 0;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
		return -EHOSTDOWN;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return -EINVAL;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	default:
		return -EIO;
	}
}

static int perform(CURL *h, const struct fsp_ctx *ctx, const struct s3_http *r,
                   struct curl_slist *lines, struct s3_answer *out)
{
	CURLcode rc = set_up(h, ctx, r, lines, out);
	curl_off_t connect_us = 0;
	int err;

	if (rc == CURLE_OK)
		rc = curl_easy_perform(h);
	err = error_of(rc);
	if (err && fsp_ctx_check(ctx))
		err = fsp_ctx_check(ctx);
	/* What libcurl does not know stays 0. */
	(void)curl_easy_getinfo(h, CURLINFO_CONNECT_TIME_T, &connect_us);
	(void)curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &out->status);
	out->connected = connect_us > 0;
	out->body[out->len] = '\0';
	return err;
}

static int add_lines(struct curl_slist **list, const struct s3_http *r)
{
	/* The other one is not sent: libcurl would ask before the PUT. */
	const char *const all[] = { "Expect:", r->header[0], r->header[1] };

	for (size_t i = 0; i < 3; i++) {
		struct curl_slist *more;

		if (!all[i])
			continue;
		more = curl_slist_append(*list, all[i]);
		if (!more)
			return -ENOMEM;
		*list = more;
	}
	return 0;
}

/* They may hold a token. */
static void free_lines(struct curl_slist *list)
{
	for (struct curl_slist *l = list; l; l = l->next)
		fsp_wipe(l->data, strlen(l->data));
	curl_slist_free_all(list);
}

int s3_http_ask(const struct fsp_ctx *ctx, const struct s3_http *r,
                struct s3_answer *out)
{
	struct curl_slist *lines = NULL;
	CURL *h = curl_easy_init();
	int err;

	*out = (struct s3_answer){ .body = malloc(S3_HTTP_MAX + 1) };
	err = h && out->body ? add_lines(&lines, r) : -ENOMEM;
	if (!err)
		err = perform(h, ctx, r, lines, out);
	curl_easy_cleanup(h);
	free_lines(lines);
	return err;
}
