/*
 * Writing: bytes are gathered in memory, so that every request can be made
 * again; what is small goes as one PUT, the rest in parts (s3_multi.c).
 */
#include "s3.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "fsp_cleanup.h"
#include "fsp_log.h"

#define FREE_MEMORY (1024 * 1024)       /* that needs no token */
#define MD5_BYTES 16

int s3_md5(const void *data, size_t len, char base64[S3_MD5_BASE64 + 1],
           char hex[33])
{
	unsigned char sum[MD5_BYTES];

	if (EVP_Digest(data, len, sum, NULL, EVP_md5(), NULL) != 1)
		return -EIO;
	(void)EVP_EncodeBlock((unsigned char *)base64, sum, MD5_BYTES);
	fsp_hex(hex, sum, MD5_BYTES);
	return 0;
}

void s3_add_storage(struct s3_store *s, struct s3_request *r)
{
	if (s->storage_class)
		s3_add_header(r, "x-amz-storage-class", s->storage_class);
	if (s->sse)
		s3_add_header(r, "x-amz-server-side-encryption", s->sse);
	if (s->sse_kms_key)
		s3_add_header(r, "x-amz-server-side-encryption-aws-kms-key-id",
		              s->sse_kms_key);
}

int s3_put_begin(struct fsp_objstore *base, const struct fsp_ctx *ctx,
                 const char *key, struct fsp_objwriter **out)
{
	struct s3_writer *w;

	if (s3_of(base)->read_only)
		return -EROFS;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->ctx = *ctx;
	memcpy(w->key, key, strlen(key) + 1);
	*out = &w->base;
	return 0;
}

/* What is large waits until others that are have gone. */
static int take_token(struct s3_store *s, struct s3_writer *w)
{
	int rc = 0;

	if (w->token)
		return 0;
	FSP_GUARD(&s->lock);
	while (!rc && s->tokens >= 2 * s->parallel_parts)
		rc = s3_wait_locked(s, &w->ctx, NULL);
	if (rc)
		return rc;
	s->tokens++;
	w->token = true;
	return 0;
}

static int failed_before(struct s3_store *s, struct s3_writer *w)
{
	FSP_GUARD(&s->lock);
	return w->error;
}

static int fail(struct s3_store *s, struct s3_writer *w, int rc)
{
	FSP_GUARD(&s->lock);
	if (!w->error)
		w->error = rc;
	return rc;
}

/* Sends full parts until what is left is less than one. */
static int send_full(struct s3_store *s, struct s3_writer *w)
{
	size_t at = 0;
	int rc = 0;

	if (w->buf.len == s->part_size)
		return s3_multi_send(s, w, &w->buf);
	while (!rc && w->buf.len - at >= s->part_size) {
		FSP_BUF struct fsp_buf part = FSP_BUF_INIT;

		rc = fsp_buf_add(&part, w->buf.data + at, s->part_size);
		if (!rc)
			rc = s3_multi_send(s, w, &part);
		at += s->part_size;
	}
	if (rc)
		return rc;
	memmove(w->buf.data, w->buf.data + at, w->buf.len - at);
	w->buf.len -= at;
	return 0;
}

/* How much may be gathered before something must be done. */
static size_t limit_of(struct s3_store *s, struct s3_writer *w)
{
	return w->upload ? s->part_size : s->threshold;
}

static int gather(struct s3_store *s, struct s3_writer *w, const char *at,
                  size_t len)
{
	int rc = s3_ctx_check(&w->ctx, NULL);

	if (!rc && w->buf.len + len > FREE_MEMORY)
		rc = take_token(s, w);
	/* In one piece, since growing by doubling would take twice as much. */
	if (!rc && w->token && !w->buf.cap)
		(void)s3_spare_take(s, &w->buf);        /* or from malloc */
	if (!rc && w->token && w->buf.cap <= limit_of(s, w))
		rc = fsp_buf_reserve(&w->buf, limit_of(s, w) - w->buf.len);
	return rc ? rc : fsp_buf_add(&w->buf, at, len);
}

int s3_put_write(struct fsp_objwriter *base, const void *buf, size_t len)
{
	struct s3_writer *w = (struct s3_writer *)base;
	struct s3_store *s = s3_of(base->store);
	const char *at = buf;
	int rc = failed_before(s, w);

	while (!rc && len) {
		size_t room = limit_of(s, w) - w->buf.len;
		size_t n = len < room ? len : room;

		/* More than one PUT may hold. */
		if (!room && !w->upload)
			rc = s3_multi_begin(s, w);
		else if (n)
			rc = gather(s, w, at, n);
		if (!rc && w->upload && w->buf.len >= s->part_size)
			rc = send_full(s, w);
		if (n && !rc) {
			at += n;
			len -= n;
			w->total += n;
		}
	}
	return rc ? fail(s, w, rc) : 0;
}

int s3_verify(struct s3_store *s, struct s3_writer *w, const char *etag)
{
	char now[S3_ETAG_MAX];
	uint64_t size;
	int rc = s3_look(s, &w->ctx, w->key, NULL, &size, now);

	if (rc && rc != -ENOENT)
		return rc;
	if (!rc && size == w->total && (!etag || !strcmp(etag, now)))
		return 0;
	fsp_error("S3: PUT %s%s in bucket %s: accepted, but not there as it "
	          "was sent", s->prefix, w->key, s->bucket);
	return -EIO;
}

static int put_whole(struct s3_store *s, struct s3_writer *w)
{
	struct s3_request r = { .method = "PUT", .key = w->key };
	struct s3_response p;
	char md5[S3_MD5_BASE64 + 1], hex[33];
	const char *body = w->buf.data ? w->buf.data : "";
	int rc = s3_md5(body, w->buf.len, md5, hex);

	if (rc)
		return rc;
	r.body = body;
	r.body_len = w->buf.len;
	s3_add_header(&r, "content-md5", md5);
	s3_add_storage(s, &r);
	rc = s3_call(s, &w->ctx, &r, &p, NULL);
	/* With a key of KMS, and in some stores always, it is not the MD5. */
	if (!rc && strcmp(p.etag, hex) != 0)
		rc = s3_verify(s, w, p.etag[0] ? p.etag : NULL);
	s3_response_free(&p);
	return rc;
}

/* With the last that is large goes what was spared for the next part. */
static void give_token(struct s3_store *s)
{
	struct fsp_buf spare;
	bool last;

	fsp_lock(&s->lock);
	last = --s->tokens == 0;
	fsp_cond_broadcast(&s->changed);
	fsp_unlock(&s->lock);
	while (last && s3_spare_take(s, &spare))
		fsp_buf_free(&spare);
}

static void writer_free(struct s3_store *s, struct s3_writer *w)
{
	if (w->upload)
		s3_multi_abort(s, w);
	fsp_buf_free(&w->buf);
	if (w->token)
		give_token(s);
	free(w->etags);
	free(w);
}

int s3_put_commit(struct fsp_objwriter *base)
{
	struct s3_writer *w = (struct s3_writer *)base;
	struct s3_store *s = s3_of(base->store);
	int rc = failed_before(s, w);

	if (!rc)
		rc = w->upload ? s3_multi_complete(s, w) : put_whole(s, w);
	writer_free(s, w);
	/* A missing key makes no sense as the answer to a write. */
	return rc == -ENOENT ? -EIO : rc;
}

void s3_put_abort(struct fsp_objwriter *base)
{
	struct s3_writer *w = (struct s3_writer *)base;

	writer_free(s3_of(base->store), w);
}
