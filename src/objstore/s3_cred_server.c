/*
 * Keys that expire, from a server next to us: a container's endpoint, and the
 * metadata service of a machine (version 2: a token first).
 */
#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_file.h"
#include "s3_cred_impl.h"

#define CONTAINER_HOST "http://169.254.170.2"
#define IMDS_HOST "http://169.254.169.254"
#define IMDS_TOKEN "X-aws-ec2-metadata-token: "
#define IMDS_SECONDS "X-aws-ec2-metadata-token-ttl-seconds: 300"
#define IMDS_PATH "/latest/meta-data/iam/security-credentials/"
#define MAX_TOKEN 16384

#define ANSWER __attribute__((cleanup(s3_answer_free))) struct s3_answer
#define SECRET __attribute__((cleanup(free_secret))) char

/* Adds the words of an error; what cannot be said is no other error. */
#define SAY(why, ...) ((void)fsp_buf_printf(why, __VA_ARGS__))

static void free_secret(char **s)
{
	s3_string_free(*s);
}

static const char *env(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/* Asks; 0 only for status 200. */
static int ask(const struct fsp_ctx *ctx, const struct s3_http *r,
               struct s3_answer *out, struct fsp_buf *why)
{
	int err = s3_http_ask(ctx, r, out);

	if (err)
		SAY(why, "%s: %s", r->url,
		    err == -EHOSTDOWN ? "not reachable" : strerror(-err));
	else if (out->status != 200)
		SAY(why, "%s: answers HTTP status %ld", r->url, out->status);
	if (err || out->status == 200)
		return err;
	return out->status >= 500 || out->status == 429 ? -EHOSTDOWN : -EACCES;
}

/* -- a container's endpoint -- */

static bool in_list(const char *s, const char *const *list)
{
	for (; *list; list++)
		if (strcasecmp(s, *list) == 0)
			return true;
	return false;
}

/* 127.0.0.0/8 in the usual form: libcurl has normalised it. */
static bool is_loopback(const char *host)
{
	static const char *const names[] = { "localhost", "[::1]", NULL };
	int a, b, c, end = 0;

	if (in_list(host, names))
		return true;
	return sscanf(host, "127.%3d.%3d.%3d%n", &a, &b, &c, &end) == 3 &&
	       host[end] == '\0';
}

/*
 * The token and the keys must not cross a network in the open: https, or the
 * machine itself, or one of the addresses that the platforms have for this.
 */
static bool allowed(const char *url)
{
	static const char *const platforms[] = { "169.254.170.2",
		                                 "169.254.170.23",
		                                 "[fd00:ec2::23]", NULL };
	char *scheme = NULL, *host = NULL;
	CURLU *u = curl_url();
	bool ok = false;

	if (u && !curl_url_set(u, CURLUPART_URL, url, 0) &&
	    !curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) &&
	    !curl_url_get(u, CURLUPART_HOST, &host, 0))
		ok = strcmp(scheme, "https") == 0 ||
			(strcmp(scheme, "http") == 0 &&
			 (is_loopback(host) || in_list(host, platforms)));
	curl_free(scheme);
	curl_free(host);
	curl_url_cleanup(u);
	return ok;
}

/* The file is the platform's, with the mode that the platform gave it. */
static int read_token(const char *path, char **out, struct fsp_buf *why)
{
	struct fsp_buf text = FSP_BUF_INIT;
	int err = fsp_buf_reserve(&text, MAX_TOKEN + 1);

	if (!err)
		err = fsp_read_file(path, &text, MAX_TOKEN);
	if (err)
		SAY(why, "%s: %s", path, strerror(-err));
	else
		*out = strndup(text.data, strcspn(text.data, "\r\n"));
	if (!err && !*out)
		err = -ENOMEM;
	if (text.data)
		fsp_wipe(text.data, text.cap);
	fsp_buf_free(&text);
	return err == -ENOENT ? -EACCES : err;
}

/* The whole header line in fresh memory; NULL where there is no token. */
static int container_header(char **out, struct fsp_buf *why)
{
	const char *file = env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const char *set = env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
	SECRET *token = NULL;
	int err;

	*out = NULL;
	if (!file && !set)
		return 0;
	err = file ? read_token(file, &token, why) : 0;
	if (err)
		return err;
	if (!file)
		token = strdup(set);
	if (token && strpbrk(token, "\r\n")) {
		SAY(why, "AWS_CONTAINER_AUTHORIZATION_TOKEN has a line end");
		return -EACCES;
	}
	*out = token ? fsp_strf("Authorization: %s", token) : NULL;
	return *out ? 0 : -ENOMEM;
}

/* -ENOENT where there is no such endpoint. */
static int container_url(char **out, struct fsp_buf *why)
{
	const char *relative = env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *full = env("AWS_CONTAINER_CREDENTIALS_FULL_URI");

	*out = NULL;
	if (relative)
		*out = fsp_strf(CONTAINER_HOST "%s%s",
		                *relative == '/' ? "" : "/", relative);
	else if (full)
		*out = strdup(full);
	else {
		SAY(why, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not set");
		return -ENOENT;
	}
	if (*out && !allowed(*out)) {
		SAY(why, "%s: must be https, or an address of this machine or "
		         "of the container's platform", *out);
		return -EACCES;
	}
	return *out ? 0 : -ENOMEM;
}

int s3_from_container(const struct s3_cred_options *o,
                      const struct fsp_ctx *ctx, struct s3_fetched *out,
                      struct fsp_buf *why)
{
	FSP_FREE char *url = NULL;
	SECRET *header = NULL;
	ANSWER a = { 0 };
	int err = container_url(&url, why);

	(void)o;
	if (!err)
		err = container_header(&header, why);
	if (err)
		return err;
	err = ask(ctx, &(struct s3_http){ "GET", url, { header } }, &a, why);
	if (err)
		return err;
	SAY(why, "%s: ", url);
	return s3_cred_parse(a.body, a.len, out, why);
}

/* -- the metadata service -- */

static void say_token(const struct s3_answer *a, int err, struct fsp_buf *why)
{
	if (err == -ETIMEDOUT && a->connected)
		SAY(why, " after it had connected: in a container the hop "
		         "limit of the instance's metadata options "
		         "(HttpPutResponseHopLimit) has to be 2 or more");
	else if (a->status == 403)
		SAY(why, ": the metadata service is switched off for this "
		         "instance");
}

/* The header line with the token. */
static int imds_token(const char *host, const struct fsp_ctx *ctx, char **out,
                      bool *connected, struct fsp_buf *why)
{
	FSP_FREE char *url = fsp_strf("%s/latest/api/token", host);
	struct s3_http r = { "PUT", url, { IMDS_SECONDS } };
	ANSWER a = { 0 };
	int err = url ? ask(ctx, &r, &a, why) : -ENOMEM;

	*connected = a.connected;
	if (err) {
		say_token(&a, err, why);
		return err;
	}
	if (!a.len || a.len > MAX_TOKEN ||
	    strcspn(a.body, "\r\n") != a.len) {
		SAY(why, "%s: the answer is no token", url);
		return -EIO;
	}
	*out = fsp_strf(IMDS_TOKEN "%s", a.body);
	return *out ? 0 : -ENOMEM;
}

/* The first line of the answer names the instance's role. */
static int imds_role(const char *host, const struct fsp_ctx *ctx,
                     const char *token, char **out, struct fsp_buf *why)
{
	FSP_FREE char *url = fsp_strf("%s" IMDS_PATH, host);
	struct s3_http r = { "GET", url, { token } };
	ANSWER a = { 0 };
	int err = url ? ask(ctx, &r, &a, why) : -ENOMEM;
	size_t len;

	if (a.status == 404)
		SAY(why, ": the instance has no role");
	if (err)
		return err;
	len = strcspn(a.body, "\r\n");
	if (!len || strspn(a.body, "abcdefghijklmnopqrstuvwxyz"
	                           "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                           "0123456789+=,.@_-") != len) {
		SAY(why, "%s: the answer is no role's name", url);
		return -EIO;
	}
	*out = strndup(a.body, len);
	return *out ? 0 : -ENOMEM;
}

static int imds_keys(const char *host, const struct fsp_ctx *ctx,
                     const char *token, struct s3_fetched *out,
                     struct fsp_buf *why)
{
	FSP_FREE char *role = NULL, *url = NULL;
	ANSWER a = { 0 };
	int err = imds_role(host, ctx, token, &role, why);

	if (err)
		return err;
	url = fsp_strf("%s" IMDS_PATH "%s", host, role);
	if (!url)
		return -ENOMEM;
	err = ask(ctx, &(struct s3_http){ "GET", url, { token } }, &a, why);
	if (err)
		return err;
	SAY(why, "%s: ", url);
	return s3_cred_parse(a.body, a.len, out, why);
}

/* In fresh memory, without slashes at the end. */
static char *imds_host(const struct s3_cred_options *o)
{
	const char *set = o->imds_endpoint;
	size_t len;

	if (!set)
		set = env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
	if (!set)
		set = IMDS_HOST;
	len = strlen(set);
	while (len && set[len - 1] == '/')
		len--;
	return strndup(set, len);
}

int s3_from_imds(const struct s3_cred_options *o, const struct fsp_ctx *ctx,
                 struct s3_fetched *out, struct fsp_buf *why)
{
	const char *off = env("AWS_EC2_METADATA_DISABLED");
	FSP_FREE char *host = imds_host(o);
	SECRET *token = NULL;
	bool connected;
	int err;

	if (off && strcasecmp(off, "true") == 0) {
		SAY(why, "AWS_EC2_METADATA_DISABLED is true");
		return -ENOENT;
	}
	if (!host)
		return -ENOMEM;
	err = imds_token(host, ctx, &token, &connected, why);
	/* Nobody answers at all: this is a machine without that service. */
	if ((err == -EHOSTDOWN || err == -ETIMEDOUT) && !connected)
		return -ENOENT;
	return err ? err : imds_keys(host, ctx, token, out, why);
}
