/*
 * What `filespacectl store test` tells about the server, before any object is
 * asked for: one request without a signature, whose answer does not matter,
 * and one with.
 */
#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "s3.h"

#define CERT_SOON (14 * 24 * 3600)      /* seconds */
#define CLOCK_FAR 60

struct facts {
	CURL *easy;
	char tls[32];                   /* "" = none */
	time_t cert_ends;               /* 0 = not known */
	time_t date;                    /* the server's; 0 = not said */
	int64_t date_at_us;             /* ours then */
	char ip[64], detail[CURL_ERROR_SIZE];
	long port;
	int64_t connect_ns, tls_ns;
	bool connected;
	const struct fsp_ctx *ctx;
};

static void say(fsp_step_fn step, void *arg, const char *what,
                enum fsp_step_result result, int64_t ns, const char *found,
                const char *advice)
{
	struct fsp_step s = { "objects", what, result, ns, found, advice };

	step(arg, &s);
}

static time_t cert_end(const SSL *ssl)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);
	struct tm tm;

	if (!cert || !ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm))
		return 0;
	return timegm(&tm);
}

/* The library gives its TLS session away only while it is in use. */
static void look_at_tls(struct facts *f)
{
	struct curl_tlssessioninfo *info = NULL;

	if (curl_easy_getinfo(f->easy, CURLINFO_TLS_SSL_PTR, &info) ||
	    !info || info->backend != CURLSSLBACKEND_OPENSSL ||
	    !info->internals)
		return;
	(void)snprintf(f->tls, sizeof(f->tls), "%s",
	               SSL_get_version(info->internals));
	f->cert_ends = cert_end(info->internals);
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct facts *f = arg;
	char value[64];
	size_t len = size * n;

	if (!f->tls[0])
		look_at_tls(f);
	if (len > 6 && strncasecmp(line, "date:", 5) == 0 && !f->date) {
		(void)snprintf(value, sizeof(value), "%.*s", (int)len - 5,
		               line + 5);
		f->date = curl_getdate(value, NULL);
		f->date_at_us = fsp_now_us();
		if (f->date < 0)
			f->date = 0;
	}
	return len;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	(void)data;
	(void)arg;
	return size * n;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c,
                       curl_off_t d)
{
	(void)a;
	(void)b;
	(void)c;
	(void)d;
	return fsp_ctx_check(((struct facts *)arg)->ctx) != 0;
}

static CURLcode set_up(CURL *e, const struct s3_store *s, const char *url,
                       struct facts *f)
{
	CURLcode rc = CURLE_OK;

#define SET(option, value)                                                     \
	do {                                                                   \
		if (rc == CURLE_OK)                                            \
			rc = curl_easy_setopt(e, option, value);               \
	} while (0)
	SET(CURLOPT_URL, url);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_NOBODY, 1L);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_ERRORBUFFER, f->detail);
	SET(CURLOPT_SSL_VERIFYPEER, s->tls_verify ? 1L : 0L);
	SET(CURLOPT_SSL_VERIFYHOST, s->tls_verify ? 2L : 0L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (s->ca_file)
		SET(CURLOPT_CAINFO, s->ca_file);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(s->connect_timeout_ns / 1000000));
	SET(CURLOPT_TIMEOUT_MS, (long)(s->timeout_ns / 1000000));
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, f);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_NOPROGRESS, 0L);
	SET(CURLOPT_XFERINFOFUNCTION, on_progress);
	SET(CURLOPT_XFERINFODATA, f);
#undef SET
	return rc;
}

/* What the library does not know stays 0. */
static void take_times(struct facts *f)
{
	curl_off_t tcp = 0, tls = 0;
	char *ip = NULL;

	(void)curl_easy_getinfo(f->easy, CURLINFO_CONNECT_TIME_T, &tcp);
	(void)curl_easy_getinfo(f->easy, CURLINFO_APPCONNECT_TIME_T, &tls);
	(void)curl_easy_getinfo(f->easy, CURLINFO_PRIMARY_IP, &ip);
	(void)curl_easy_getinfo(f->easy, CURLINFO_PRIMARY_PORT, &f->port);
	f->connected = tcp > 0;
	f->connect_ns = tcp * 1000;
	f->tls_ns = tls > tcp ? (tls - tcp) * 1000 : 0;
	(void)snprintf(f->ip, sizeof(f->ip), "%s", ip ? ip : "");
}

static int ask(const struct s3_store *s, struct facts *f, CURLcode *rc)
{
	FSP_FREE char *url = fsp_strf("%s%s/", s->url, s->bucket_path);

	f->easy = url ? curl_easy_init() : NULL;
	if (!f->easy)
		return -ENOMEM;
	*rc = set_up(f->easy, s, url, f);
	if (*rc == CURLE_OK)
		*rc = curl_easy_perform(f->easy);
	take_times(f);
	curl_easy_cleanup(f->easy);
	return 0;
}

static void say_tls(const struct s3_store *s, const struct facts *f,
                    fsp_step_fn step, void *arg)
{
	int64_t now = fsp_ns_to_sec(fsp_now_ns());
	char until[64] = "", found[128];
	struct tm tm;

	if (strncmp(s->url, "https:", 6) != 0) {
		say(step, arg, "TLS", FSP_STEP_WARN, 0, "none",
		    "what is sent can be read and changed on the way: give "
		    "s3.endpoint as https://, unless the server is this "
		    "machine");
		return;
	}
	if (f->cert_ends && gmtime_r(&f->cert_ends, &tm))
		(void)strftime(until, sizeof(until),
		               ", certificate until %Y-%m-%d", &tm);
	(void)snprintf(found, sizeof(found), "%s%s%s", f->tls, until,
	               s->tls_verify ? "" : ", not verified");
	if (!s->tls_verify)
		say(step, arg, "TLS", FSP_STEP_WARN, f->tls_ns, found,
		    "anybody on the way can pose as the server: set "
		    "s3.ca_file instead of s3.tls_verify = no");
	else if (f->cert_ends && f->cert_ends - now < CERT_SOON)
		say(step, arg, "TLS", FSP_STEP_WARN, f->tls_ns, found,
		    "the server's certificate has to be renewed soon");
	else
		say(step, arg, "TLS", FSP_STEP_OK, f->tls_ns, found, NULL);
}

static void say_clock(const struct facts *f, fsp_step_fn step, void *arg)
{
	int64_t off = f->date_at_us / FSP_US_PER_SEC - f->date;
	char found[64];

	if (!f->date)
		return;
	(void)snprintf(found, sizeof(found), "%+" PRId64 " s to the server's",
	               off);
	say(step, arg, "clock of this machine",
	    off > CLOCK_FAR || off < -CLOCK_FAR ? FSP_STEP_WARN : FSP_STEP_OK,
	    0, found,
	    "set the clock (NTP): times of files and versions come from it, "
	    "and S3 refuses requests that are dated wrongly");
}

static bool is_tls(CURLcode rc)
{
	return rc == CURLE_PEER_FAILED_VERIFICATION ||
	       rc == CURLE_SSL_CONNECT_ERROR;
}

/* 0, or no answer came. */
static int say_connection(const struct s3_store *s, const struct facts *f,
                          CURLcode rc, fsp_step_fn step, void *arg)
{
	FSP_FREE char *found = fsp_strf("%s, %s port %ld", s->host, f->ip,
	                                f->port);
	const char *error = f->detail[0] ? f->detail : curl_easy_strerror(rc);

	if (rc == CURLE_SSL_CACERT_BADFILE) {
		say(step, arg, "TLS", FSP_STEP_FAIL, 0, error,
		    "s3.ca_file must hold certificates (PEM)");
		return -EINVAL;
	}
	if (is_tls(rc)) {
		say(step, arg, "TLS", FSP_STEP_FAIL, 0, error,
		    "check that s3.endpoint is this server's, with https:// or "
		    "http:// as it speaks; for an authority of your own set "
		    "s3.ca_file");
		return -EHOSTDOWN;
	}
	if (!f->connected) {
		say(step, arg, "connect", FSP_STEP_FAIL, 0, error,
		    "check s3.endpoint and s3.region, the name service, and "
		    "whether a firewall is in between");
		return -EHOSTDOWN;
	}
	say(step, arg, "connect", FSP_STEP_OK, f->connect_ns, found, NULL);
	if (rc == CURLE_OK)
		return 0;
	say(step, arg, "answer", FSP_STEP_FAIL, 0, error,
	    "check that s3.endpoint is a server that speaks S3, with https:// "
	    "or http:// as it does");
	return -EHOSTDOWN;
}

static int say_check(struct s3_store *s, const struct fsp_ctx *ctx,
                     fsp_step_fn step, void *arg)
{
	FSP_FREE char *error = NULL;
	int64_t began = fsp_mono_ns();
	int rc = fsp_objstore_s3_check(&s->base, ctx, &error);

	say(step, arg, "keys, bucket and region",
	    rc ? FSP_STEP_FAIL : FSP_STEP_OK, fsp_mono_ns() - began,
	    rc && !error ? strerror(-rc) : error,
	    "the words are the server's: check s3.access_key and "
	    "s3.secret_key (or where the keys come from), s3.bucketname and "
	    "s3.region");
	return rc;
}

int fsp_objstore_s3_facts(struct fsp_objstore *base, const struct fsp_ctx *ctx,
                          fsp_step_fn step, void *arg)
{
	struct s3_store *s = s3_of(base);
	struct facts f = { .ctx = ctx };
	CURLcode code = CURLE_OK;
	int rc = ask(s, &f, &code);

	if (!rc)
		rc = say_connection(s, &f, code, step, arg);
	if (rc)
		return rc;
	say_tls(s, &f, step, arg);
	say_clock(&f, step, arg);
	return say_check(s, ctx, step, arg);
}
