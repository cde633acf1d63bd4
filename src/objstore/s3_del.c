/* Deleting one object, and many at once. */
#include "s3.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "fsp_log.h"
#include "s3_xml.h"

#define AT_ONCE 1000            /* what DeleteObjects takes */

int s3_del(struct fsp_objstore *base, const struct fsp_ctx *ctx,
           const char *key)
{
	struct s3_store *s = s3_of(base);
	struct s3_request r = { .method = "DELETE", .key = key };
	struct s3_response p;
	struct s3_failure f;
	int rc;

	if (s->read_only)
		return -EROFS;
	rc = s3_call(s, ctx, &r, &p, &f);
	s3_response_free(&p);
	/* Some say so; NoSuchBucket is another error. */
	return rc == -ENOENT ? 0 : rc;
}

/* Which of the keys were not deleted. */
struct refused {
	struct s3_store *s;
	const char *const *keys;
	size_t n;
	bool *again;                    /* as many */
	bool answered;
};

static int result_each(void *arg, const char *path, const char *text)
{
	struct refused *d = arg;
	size_t len = strlen(d->s->prefix);

	if (strcmp(path, "DeleteResult") == 0)
		d->answered = true;
	if (strcmp(path, "DeleteResult/Error/Key") != 0 ||
	    strncmp(text, d->s->prefix, len) != 0)
		return 0;
	for (size_t i = 0; i < d->n; i++)
		if (strcmp(d->keys[i], text + len) == 0)
			d->again[i] = true;
	return 0;
}

static int make_list(struct s3_store *s, const char *const *keys, size_t n,
                     struct fsp_buf *out)
{
	int rc = fsp_buf_adds(out, "<Delete xmlns=\"http://s3.amazonaws.com/doc/"
	                           "2006-03-01/\"><Quiet>true</Quiet>");

	for (size_t i = 0; !rc && i < n; i++) {
		rc = fsp_buf_adds(out, "<Object><Key>");
		if (!rc)
			rc = s3_xml_text(out, s->prefix);
		if (!rc)
			rc = fsp_buf_printf(out, "%s</Key></Object>", keys[i]);
	}
	return rc ? rc : fsp_buf_adds(out, "</Delete>");
}

/* 0: what d->again says is left over. */
static int post_list(struct s3_store *s, const struct fsp_ctx *ctx,
                     struct refused *d)
{
	FSP_BUF struct fsp_buf list = FSP_BUF_INIT;
	struct s3_request r = { .method = "POST" };
	struct s3_response p;
	struct s3_failure f;
	char md5[S3_MD5_BASE64 + 1], hex[33];
	int rc = make_list(s, d->keys, d->n, &list);

	if (!rc)
		rc = s3_md5(list.data, list.len, md5, hex);
	if (rc)
		return rc;
	r.body = list.data;
	r.body_len = list.len;
	s3_add_param(&r, "delete", "");
	s3_add_header(&r, "content-md5", md5);
	rc = s3_call(s, ctx, &r, &p, &f);
	if (!rc)
		rc = s3_xml_parse(p.body.data ? p.body.data : "", p.body.len,
		                  result_each, d);
	if (!rc && !d->answered)
		rc = -EIO;
	if (rc == -EIO && p.status == 200)
		fsp_error("S3: the answer to deleting %zu objects in bucket %s "
		          "makes no sense", d->n, s->bucket);
	/* Not every server has this call. */
	if (rc && (p.status == 501 || p.status == 405)) {
		memset(d->again, true, d->n * sizeof(*d->again));
		rc = 0;
	}
	s3_response_free(&p);
	return rc;
}

static int del_some(struct s3_store *s, const struct fsp_ctx *ctx,
                    const char *const *keys, size_t n)
{
	FSP_FREE bool *again = calloc(n, sizeof(*again));
	struct refused d = { s, keys, n, again, false };
	int rc, first = 0;

	if (!again)
		return -ENOMEM;
	rc = post_list(s, ctx, &d);
	if (rc)
		return rc;
	/* One by one each has attempts, and an error in the log, of its own. */
	for (size_t i = 0; i < n; i++) {
		rc = again[i] ? s3_del(&s->base, ctx, keys[i]) : 0;
		if (!first)
			first = rc;
	}
	return first;
}

int s3_del_many(struct fsp_objstore *base, const struct fsp_ctx *ctx,
                const char *const *keys, size_t n)
{
	struct s3_store *s = s3_of(base);
	int rc = 0;

	if (s->read_only)
		return -EROFS;
	for (size_t at = 0; !rc && at < n; at += AT_ONCE)
		rc = del_some(s, ctx, keys + at,
		              n - at < AT_ONCE ? n - at : AT_ONCE);
	return rc;
}
