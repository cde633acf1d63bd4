/* What a response means, for errno and in words. */
#include "s3.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_log.h"
#include "s3_xml.h"

#define LOG_AGAIN_NS (60 * FSP_NS_PER_SEC)

struct field {
	const char *path;
	char *out;
	size_t size;
};

/* The last one has no path. */
static void fill(const struct field *f, const char *path, const char *text)
{
	size_t len = strlen(text);

	for (; f->path; f++) {
		if (strcmp(f->path, path) != 0)
			continue;
		if (len >= f->size)
			len = f->size - 1;
		memcpy(f->out, text, len);
		f->out[len] = '\0';
	}
}

static int error_each(void *arg, const char *path, const char *text)
{
	struct s3_error *e = arg;
	const struct field fields[] = {
		{ "Error/Code", e->code, sizeof(e->code) },
		{ "Error/Message", e->message, sizeof(e->message) },
		{ "Error/Region", e->region, sizeof(e->region) },
		{ "Error/RequestId", e->request_id, sizeof(e->request_id) },
		{ 0 },
	};

	fill(fields, path, text);
	return 0;
}

int s3_error_parse(const struct fsp_buf *doc, struct s3_error *out)
{
	int rc;

	memset(out, 0, sizeof(*out));
	if (!doc->len)
		return -EIO;
	rc = s3_xml_parse(doc->data, doc->len, error_each, out);
	if (!rc && out->code[0])
		return 0;
	/* Half a document proves nothing. */
	memset(out, 0, sizeof(*out));
	return rc ? rc : -EIO;
}

enum meaning { FINAL, AGAIN, SKEWED, EXPIRED, SETTINGS };

/* What a code says that the status does not. */
static const struct known {
	const char *code;
	int rc;
	enum meaning meaning;
	const char *hint;
} known[] = {
	{ "AccessDenied", -EACCES, FINAL, NULL },
	{ "AuthorizationHeaderMalformed", -EHOSTDOWN, SETTINGS,
	  "check s3.region" },
	{ "BadDigest", -EIO, AGAIN, NULL },
	{ "ConcurrentModification", -EHOSTDOWN, AGAIN, NULL },
	{ "EntityTooLarge", -EFBIG, FINAL, NULL },
	{ "ExpiredToken", -EACCES, EXPIRED, "the session token has expired" },
	{ "IncompleteBody", -EHOSTDOWN, AGAIN, NULL },
	{ "InternalError", -EHOSTDOWN, AGAIN, NULL },
	{ "InvalidAccessKeyId", -EACCES, SETTINGS,
	  "the server does not know this access key" },
	{ "InvalidToken", -EACCES, EXPIRED, "the session token is not valid" },
	{ "NoSuchBucket", -EHOSTDOWN, SETTINGS,
	  "the bucket does not exist: check s3.bucketname" },
	{ "NoSuchKey", -ENOENT, FINAL, NULL },
	{ "NoSuchUpload", -EIO, FINAL, NULL },
	{ "OperationAborted", -EHOSTDOWN, AGAIN, NULL },
	{ "PermanentRedirect", -EHOSTDOWN, SETTINGS,
	  "the bucket is elsewhere: check s3.region and s3.endpoint" },
	{ "QuotaExceeded", -EDQUOT, FINAL, NULL },
	{ "RequestTimeTooSkewed", -EACCES, SKEWED,
	  "this machine's clock is off" },
	{ "RequestTimeout", -ETIMEDOUT, AGAIN, NULL },
	{ "ServiceUnavailable", -EHOSTDOWN, AGAIN, NULL },
	{ "SignatureDoesNotMatch", -EACCES, SETTINGS,
	  "the secret key is wrong" },
	{ "SlowDown", -EHOSTDOWN, AGAIN, NULL },
	{ "TemporaryRedirect", -EHOSTDOWN, FINAL,
	  "the bucket is elsewhere for a while" },
	{ "Throttling", -EHOSTDOWN, AGAIN, NULL },
	{ "ThrottlingException", -EHOSTDOWN, AGAIN, NULL },
	{ "TokenRefreshRequired", -EACCES, EXPIRED,
	  "the session token must be renewed" },
	{ "TooManyRequests", -EHOSTDOWN, AGAIN, NULL },
	{ "XAmzContentSHA256Mismatch", -EIO, AGAIN, NULL },
};

static const struct known *find_known(const char *code)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strcmp(known[i].code, code) == 0)
			return &known[i];
	return NULL;
}

static void judge_status(long status, struct s3_failure *out)
{
	out->rc = -EIO;
	if (status / 100 == 3) {
		out->rc = -EHOSTDOWN;
		out->settings = status != 304;
	} else if (status == 401 || status == 403) {
		out->rc = -EACCES;
	} else if (status == 404) {
		out->rc = -ENOENT;
	} else if (status == 408) {
		out->rc = -ETIMEDOUT;
		out->retry = true;
	} else if (status == 416) {
		out->rc = -ERANGE;
	} else if (status == 413) {
		out->rc = -EFBIG;
	} else if (status == 507) {
		out->rc = -ENOSPC;
	} else if (status == 429 || (status >= 500 && status != 501 &&
	                             status != 505)) {
		out->rc = -EHOSTDOWN;
		out->retry = true;
	}
}

static void judge_code(struct s3_failure *out)
{
	const struct known *k = find_known(out->said.code);

	if (!k)
		return;
	out->rc = k->rc;
	out->retry = k->meaning == AGAIN;
	out->skewed = k->meaning == SKEWED;
	out->expired = k->meaning == EXPIRED;
	out->settings = k->meaning == SETTINGS;
}

static void judge_transport(const struct s3_response *p, int rc,
                            struct s3_failure *out)
{
	out->rc = rc;
	out->silent = p->by_caller;
	out->settings = p->no_trust;
	out->retry = !p->by_caller &&
		(p->stalled || (rc == -EHOSTDOWN && !p->no_trust));
}

void s3_judge(const struct s3_response *p, int rc, struct s3_failure *out)
{
	memset(out, 0, sizeof(*out));
	if (rc) {
		judge_transport(p, rc, out);
		return;
	}
	/* Half of CompleteMultipartUpload's failures are a 200. */
	if (p->status / 100 == 2 &&
	    (!p->body.len || !strstr(p->body.data, "<Error") ||
	     s3_error_parse(&p->body, &out->said)))
		return;
	if (p->status / 100 != 2) {
		judge_status(p->status, out);
		/* A gateway before the store answers in another language. */
		(void)s3_error_parse(&p->body, &out->said);
	} else {
		out->rc = -EIO;
	}
	judge_code(out);
	if (p->request_id[0])
		memcpy(out->said.request_id, p->request_id,
		       sizeof(p->request_id));
	if (p->region[0])
		memcpy(out->said.region, p->region, sizeof(p->region));
}

static int add_words(struct fsp_buf *b, const struct s3_response *p,
                     const struct s3_failure *f)
{
	const struct known *k = find_known(f->said.code);
	int rc = 0;

	if (p->status)
		rc = fsp_buf_printf(b, "HTTP %ld", p->status);
	if (!rc && f->said.code[0])
		rc = fsp_buf_printf(b, " %s", f->said.code);
	if (!rc && f->said.message[0])
		rc = fsp_buf_printf(b, " (%s)", f->said.message);
	if (!rc && p->detail[0])
		rc = fsp_buf_printf(b, "%s%s", p->status ? ", " : "",
		                    p->detail);
	else if (!rc && p->stalled)
		rc = fsp_buf_printf(b, "%sno progress",
		                    p->status ? ", " : "");
	else if (!rc && !p->status)
		rc = fsp_buf_adds(b, strerror(-f->rc));
	if (!rc && k && k->hint)
		rc = fsp_buf_printf(b, "; %s", k->hint);
	if (!rc && p->no_trust)
		rc = fsp_buf_adds(b, "; check s3.ca_file");
	if (!rc && f->said.region[0])
		rc = fsp_buf_printf(b, "; the server names the region %s",
		                    f->said.region);
	if (!rc && p->location[0] && p->status / 100 == 3)
		rc = fsp_buf_printf(b, "; not followed to %s", p->location);
	return rc;
}

char *s3_failure_text(struct s3_store *s, const struct s3_request *r,
                      const struct s3_response *p, const struct s3_failure *f,
                      int attempt)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	int rc = fsp_buf_printf(&b, "S3: %s ", r->method);

	if (!rc && r->key)
		rc = fsp_buf_printf(&b, "%s%s in ", s->prefix, r->key);
	if (!rc)
		rc = fsp_buf_printf(&b, "bucket %s at %s: ", s->bucket, s->url);
	if (!rc)
		rc = add_words(&b, p, f);
	/* S3 tells what is missing only to those who may list. */
	if (!rc && r->key && strcmp(r->method, "GET") == 0 &&
	    strcmp(f->said.code, "AccessDenied") == 0)
		rc = fsp_buf_adds(&b, "; the keys may not read it, or it is "
		                      "missing and they may not list the bucket");
	if (!rc && f->said.request_id[0])
		rc = fsp_buf_printf(&b, "; request %s", f->said.request_id);
	if (!rc && attempt > 1)
		rc = fsp_buf_printf(&b, "; attempt %d", attempt);
	return rc ? NULL : fsp_buf_steal(&b);
}

/* The entry of this failure, or the oldest one, cleared. */
static struct s3_logged *entry_locked(struct s3_store *s, uint64_t what)
{
	struct s3_logged *oldest = &s->logged[0];

	fsp_assert_held(&s->log_lock);
	for (int i = 0; i < S3_LOGGED; i++) {
		struct s3_logged *l = &s->logged[i];

		if (l->what == what)
			return l;
		if (l->since_ns < oldest->since_ns)
			oldest = l;
	}
	*oldest = (struct s3_logged){ .what = what };
	return oldest;
}

void s3_log_failure(struct s3_store *s, const char *same, const char *text)
{
	uint64_t what = fsp_hash64(same, strlen(same), 0) | 1, more;
	int64_t now = fsp_mono_ns();
	struct s3_logged *l;

	fsp_lock(&s->log_lock);
	l = entry_locked(s, what);
	if (l->since_ns && now - l->since_ns < LOG_AGAIN_NS) {
		l->more++;
		fsp_unlock(&s->log_lock);
		return;
	}
	more = l->more;
	l->more = 0;
	l->since_ns = now;
	fsp_unlock(&s->log_lock);
	if (more)
		fsp_error("%s (%llu more like it since the last line)", text,
		          (unsigned long long)more);
	else
		fsp_error("%s", text);
}
