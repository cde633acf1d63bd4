/* The S3 backend: from options to a store, and its end. */
#include "s3.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>

#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_log.h"

#define BUCKET_MAX 63
#define SLICE_NS 50000000LL     /* of a wait: how late a cancellation is seen */

static int global_rc;

static void global_init(void)
{
	global_rc = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int fail(char **error, const char *what, const char *value,
                const char *why)
{
	*error = fsp_strf("%s = %s: %s", what, value ? value : "", why);
	return *error ? -EINVAL : -ENOMEM;
}

/* An address, or a name that has no domain a bucket could stand before. */
static bool needs_path(const char *host)
{
	struct in_addr a;

	return host[0] == '[' || !strchr(host, '.') ||
	       inet_pton(AF_INET, host, &a) == 1;
}

/* Can it be a part of a host's name, under a certificate for *.host? */
static bool bucket_is_label(const char *bucket)
{
	for (const char *c = bucket; *c; c++)
		if (!islower((unsigned char)*c) &&
		    !isdigit((unsigned char)*c) && *c != '-')
			return false;
	return true;
}

static bool use_path(const struct fsp_s3_options *o, const char *host)
{
	if (o->path_style != FSP_S3_PATH_AUTO)
		return o->path_style == FSP_S3_PATH_YES;
	return !bucket_is_label(o->bucket) || (o->endpoint && needs_path(host));
}

struct url {
	CURLU *u;
	char *scheme, *host, *port, *path, *query, *user;
};

static void url_free(struct url *u)
{
	curl_free(u->scheme);
	curl_free(u->host);
	curl_free(u->port);
	curl_free(u->path);
	curl_free(u->query);
	curl_free(u->user);
	curl_url_cleanup(u->u);
}

/* What is missing stays NULL. */
static int url_split(const char *text, struct url *u)
{
	CURLUcode rc;

	*u = (struct url){ .u = curl_url() };
	if (!u->u)
		return -ENOMEM;
	rc = curl_url_set(u->u, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME);
	if (rc)
		return rc == CURLUE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
	(void)curl_url_get(u->u, CURLUPART_SCHEME, &u->scheme, 0);
	(void)curl_url_get(u->u, CURLUPART_HOST, &u->host, 0);
	(void)curl_url_get(u->u, CURLUPART_PORT, &u->port,
	                   CURLU_NO_DEFAULT_PORT);
	(void)curl_url_get(u->u, CURLUPART_PATH, &u->path, 0);
	(void)curl_url_get(u->u, CURLUPART_QUERY, &u->query, 0);
	(void)curl_url_get(u->u, CURLUPART_USER, &u->user, 0);
	return u->scheme && u->host ? 0 : -EINVAL;
}

static int url_check(const struct url *u, const char *text, char **error)
{
	if (strcmp(u->scheme, "https") != 0 && strcmp(u->scheme, "http") != 0)
		return fail(error, "s3.endpoint", text,
		            "only https:// and http:// are known");
	/* Not shown: who gives a user may give a password. */
	if (u->user)
		return fail(error, "s3.endpoint", "...",
		            "holds a user; keys are s3.access_key and "
		            "s3.secret_key");
	if ((u->path && strcmp(u->path, "/") != 0) || u->query)
		return fail(error, "s3.endpoint", text,
		            "must end after the host and the port");
	return 0;
}

static int set_place(struct s3_store *s, const struct fsp_s3_options *o,
                     const struct url *u)
{
	bool path = use_path(o, u->host);

	s->host = fsp_strf("%s%s%s%s%s", path ? "" : o->bucket,
	                   path ? "" : ".", u->host, u->port ? ":" : "",
	                   u->port ? u->port : "");
	s->bucket_path = path ? fsp_strf("/%s", o->bucket) : strdup("");
	if (s->host)
		s->url = fsp_strf("%s://%s", u->scheme, s->host);
	return s->url && s->bucket_path ? 0 : -ENOMEM;
}

static int set_endpoint(struct s3_store *s, const struct fsp_s3_options *o,
                        char **error)
{
	FSP_FREE char *text = NULL;
	struct url u;
	int rc;

	if (!o->endpoint)
		text = fsp_strf("https://s3.%s.amazonaws.com", o->region);
	else if (strstr(o->endpoint, "://"))
		text = strdup(o->endpoint);
	else
		text = fsp_strf("https://%s", o->endpoint);
	if (!text)
		return -ENOMEM;
	rc = url_split(text, &u);
	if (rc == -EINVAL)
		rc = fail(error, "s3.endpoint", text, "is no URL");
	if (!rc)
		rc = url_check(&u, text, error);
	if (!rc)
		rc = set_place(s, o, &u);
	url_free(&u);
	return rc;
}

/* Neither the path nor a host's name may be steered by it. */
static bool bucket_valid(const char *b)
{
	size_t len = strlen(b);

	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)b[i]) && !strchr("-._", b[i]))
			return false;
	return len >= 3 && len <= 4 * (size_t)BUCKET_MAX && b[0] != '.';
}

static bool printable(const char *s)
{
	for (; s && *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

static bool word(const char *s)
{
	for (; s && *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("-_.:/", *s))
			return false;
	return true;
}

static int check_options(const struct fsp_s3_options *o, char **error)
{
	if (!o->bucket || !bucket_valid(o->bucket))
		return fail(error, "s3.bucketname", o->bucket,
		            "is not the name of a bucket");
	if (!printable(o->prefix) || (o->prefix && strlen(o->prefix) > 512))
		return fail(error, "s3.prefix", "...",
		            "has control characters or is too long");
	if (!o->region || !*o->region || !word(o->region))
		return fail(error, "s3.region", o->region, "is no region");
	if (!word(o->storage_class))
		return fail(error, "s3.storage_class", o->storage_class,
		            "is no storage class");
	if (!word(o->sse_kms_key))
		return fail(error, "s3.sse_kms_key", o->sse_kms_key,
		            "is no key id");
	if (o->sse_kms_key && (!o->sse || strcmp(o->sse, "aws:kms") != 0))
		return fail(error, "s3.sse_kms_key", o->sse_kms_key,
		            "belongs to s3.sse = aws:kms");
	return 0;
}

static int copy(char **out, const char *text, bool empty)
{
	if (!text && !empty)
		return 0;
	*out = strdup(text ? text : "");
	return *out ? 0 : -ENOMEM;
}

static int copy_options(struct s3_store *s, const struct fsp_s3_options *o)
{
	int rc = copy(&s->bucket, o->bucket, false);

	if (!rc)
		rc = copy(&s->prefix, o->prefix, true);
	if (!rc)
		rc = copy(&s->region, o->region, false);
	if (!rc)
		rc = copy(&s->ca_file, o->ca_file, false);
	if (!rc)
		rc = copy(&s->storage_class, o->storage_class, false);
	if (!rc)
		rc = copy(&s->sse, o->sse, false);
	if (!rc)
		rc = copy(&s->sse_kms_key, o->sse_kms_key, false);
	s->tls_verify = o->tls_verify;
	s->read_only = o->read_only;
	s->part_size = o->part_size;
	s->threshold = o->multipart_threshold;
	s->parallel_parts = o->parallel_parts;
	s->connections = o->connections;
	s->retries = o->retries;
	s->timeout_ns = o->timeout_ns;
	s->connect_timeout_ns = o->connect_timeout_ns;
	s->workers = calloc((size_t)o->parallel_parts, sizeof(*s->workers));
	s->spare = calloc((size_t)o->parallel_parts, sizeof(*s->spare));
	return rc || s->workers ? rc : -ENOMEM;
}

static int open_cred(struct s3_store *s, const struct fsp_s3_options *o,
                     char **error)
{
	const struct s3_cred_options c = {
		.access = o->access_key,
		.secret = o->secret_key,
		.token = o->session_token,
		.file = o->credentials_file,
		.profile = o->profile,
		.imds_endpoint = o->imds_endpoint,
	};

	return s3_cred_new(&c, &s->cred, error);
}

static int pause_ns(const struct fsp_ctx *ctx, int64_t ns)
{
	int64_t until = fsp_mono_ns() + ns, left;
	int rc = 0;

	while (!rc && (left = until - fsp_mono_ns()) > 0) {
		struct timespec ts = { .tv_nsec = left < SLICE_NS ? left
			                                          : SLICE_NS };

		/* Woken early, it looks at the clock again. */
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
		rc = fsp_ctx_check(ctx);
	}
	return rc;
}

static void s3_close(struct fsp_objstore *base)
{
	struct s3_store *s = s3_of(base);

	s3_workers_stop(s);
	s3_conn_close_all(s);
	s3_cred_free(s->cred);
	fsp_cond_destroy(&s->changed);
	fsp_mutex_destroy(&s->lock);
	fsp_mutex_destroy(&s->log_lock);
	free(s->workers);
	free(s->spare);         /* empty, as nobody writes */
	free(s->url);
	free(s->host);
	free(s->bucket_path);
	free(s->bucket);
	free(s->prefix);
	free(s->region);
	free(s->ca_file);
	free(s->storage_class);
	free(s->sse);
	free(s->sse_kms_key);
	free(s);
}

static int s3_space(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                    struct fsp_space *out)
{
	(void)s;
	(void)ctx;
	(void)out;
	return -ENOTSUP;
}

static int s3_traffic(struct fsp_objstore *base, struct fsp_obj_traffic *out)
{
	struct s3_store *s = s3_of(base);

	out->puts = atomic_load(&s->puts);
	out->gets = atomic_load(&s->gets);
	out->heads = atomic_load(&s->heads);
	out->dels = atomic_load(&s->dels);
	out->lists = atomic_load(&s->lists);
	out->retries = atomic_load(&s->retried);
	out->up = atomic_load(&s->up);
	out->down = atomic_load(&s->down);
	return 0;
}

static const struct fsp_objstore_ops s3_ops = {
	.put_begin = s3_put_begin,
	.put_write = s3_put_write,
	.put_commit = s3_put_commit,
	.put_abort = s3_put_abort,
	.get = s3_get,
	.get_range = s3_get_range,
	.head = s3_head,
	.del = s3_del,
	.del_many = s3_del_many,
	.list = s3_list,
	.space = s3_space,
	.traffic = s3_traffic,
	.close = s3_close,
};

int fsp_objstore_s3_open(const struct fsp_s3_options *o,
                         struct fsp_objstore **out, char **error)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct s3_store *s;
	int rc;

	*error = NULL;
	(void)pthread_once(&once, global_init);
	rc = global_rc ? -ENOMEM : check_options(o, error);
	if (rc)
		return rc;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->base.ops = &s3_ops;
	s->pause = pause_ns;
	s->jobs_end = &s->jobs;
	fsp_mutex_init(&s->lock);
	fsp_mutex_init(&s->log_lock);
	fsp_cond_init(&s->changed);
	rc = copy_options(s, o);
	if (!rc)
		rc = set_endpoint(s, o, error);
	if (!rc)
		rc = open_cred(s, o, error);
	if (rc)
		s3_close(&s->base);
	else
		*out = &s->base;
	return rc;
}

/*
 * One byte of an object that nobody has: the right to read objects is enough,
 * and without that to list the bucket the answer is AccessDenied.
 */
static int ask(struct s3_store *s, const struct fsp_ctx *ctx, bool *settings,
               char **error)
{
	struct s3_request r = { .method = "GET", .key = "filespacefs-check",
		                .quiet = true };
	struct s3_response p;
	struct s3_failure f;
	int rc;

	*error = NULL;
	*settings = false;
	s3_add_header(&r, "range", "bytes=0-0");
	rc = s3_call(s, ctx, &r, &p, &f);
	if (rc == -ENOENT || rc == -ERANGE ||
	    strcmp(f.said.code, "AccessDenied") == 0)
		rc = 0;
	if (rc) {
		*error = f.silent ? fsp_strf("S3: no keys for bucket %s",
		                             s->bucket)
		                  : s3_failure_text(s, &r, &p, &f, 1);
		*settings = f.settings || f.skewed || f.expired ||
			(rc == -EACCES && f.silent);
	}
	s3_response_free(&p);
	return rc;
}

int fsp_objstore_s3_check(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                          char **error)
{
	bool settings;
	int rc = ask(s3_of(s), ctx, &settings, error);

	return settings ? -EINVAL : rc;
}

int fsp_objstore_s3_probe(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                          char **error)
{
	bool settings;

	return ask(s3_of(s), ctx, &settings, error);
}
