/* AWS Signature Version 4: canonical request, string to sign, signature. */
#include "s3_sign.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "s3_cred.h"

#define SHA256_BYTES 32
#define DAY_LEN 8               /* 20130524 */

static bool unreserved(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
	       c == '~';
}

int s3_encode(struct fsp_buf *out, const char *s, bool keep_slash)
{
	int rc = 0;

	for (; !rc && *s; s++) {
		if (unreserved(*s) || (*s == '/' && keep_slash))
			rc = fsp_buf_addc(out, *s);
		else
			rc = fsp_buf_printf(out, "%%%02X", (unsigned char)*s);
	}
	return rc;
}

int s3_canonical_query(struct fsp_buf *out, struct s3_param *p, size_t n)
{
	int rc = 0;

	for (size_t i = 1; i < n; i++) {
		struct s3_param moved = p[i];
		size_t j = i;

		for (; j && strcmp(p[j - 1].name, moved.name) > 0; j--)
			p[j] = p[j - 1];
		p[j] = moved;
	}
	for (size_t i = 0; !rc && i < n; i++) {
		rc = fsp_buf_printf(out, "%s%s=", i ? "&" : "", p[i].name);
		if (!rc)
			rc = s3_encode(out, p[i].value, false);
	}
	return rc;
}

void s3_sort_headers(struct s3_header *h, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct s3_header moved = h[i];
		size_t j = i;

		for (; j && strcmp(h[j - 1].name, moved.name) > 0; j--)
			h[j] = h[j - 1];
		h[j] = moved;
	}
}

int s3_sha256_hex(char out[S3_SHA256_HEX + 1], const void *data, size_t len)
{
	unsigned char sum[SHA256_BYTES];

	if (EVP_Digest(data, len, sum, NULL, EVP_sha256(), NULL) != 1)
		return -EIO;
	fsp_hex(out, sum, sizeof(sum));
	return 0;
}

void s3_amz_date(char out[S3_DATE_LEN + 1], int64_t unix_seconds)
{
	time_t t = (time_t)unix_seconds;
	struct tm tm;

	/* A year of five digits has no such form: the server refuses it. */
	if (!gmtime_r(&t, &tm) ||
	    strftime(out, S3_DATE_LEN + 1, "%Y%m%dT%H%M%SZ", &tm) == 0)
		memcpy(out, "19700101T000000Z", S3_DATE_LEN + 1);
}

static int add_signed_names(const struct s3_to_sign *r, struct fsp_buf *out)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < r->n_headers; i++)
		rc = fsp_buf_printf(out, "%s%s", i ? ";" : "",
		                    r->headers[i].name);
	return rc;
}

/* Spaces around a value do not count, of several within one does. */
static int add_trimmed(struct fsp_buf *out, const char *value)
{
	size_t len;
	int rc = 0;

	while (*value == ' ')
		value++;
	len = strlen(value);
	while (len && value[len - 1] == ' ')
		len--;
	for (size_t i = 0; !rc && i < len; i++)
		if (value[i] != ' ' || value[i + 1] != ' ')
			rc = fsp_buf_addc(out, value[i]);
	return rc;
}

int s3_canonical_request(const struct s3_to_sign *r, struct fsp_buf *out)
{
	int rc = fsp_buf_printf(out, "%s\n%s\n%s\n", r->method, r->path,
	                        r->query);

	for (size_t i = 0; !rc && i < r->n_headers; i++) {
		rc = fsp_buf_printf(out, "%s:", r->headers[i].name);
		if (!rc)
			rc = add_trimmed(out, r->headers[i].value);
		if (!rc)
			rc = fsp_buf_addc(out, '\n');
	}
	if (!rc)
		rc = fsp_buf_addc(out, '\n');
	if (!rc)
		rc = add_signed_names(r, out);
	return rc ? rc : fsp_buf_printf(out, "\n%s", r->payload);
}

static int hmac(unsigned char out[SHA256_BYTES], const void *key,
                size_t key_len, const char *data, size_t len)
{
	return HMAC(EVP_sha256(), key, (int)key_len, (const void *)data, len,
	            out, NULL) ? 0 : -EIO;
}

/* The key of one day, region and service; each step's output is the next's. */
static int signing_key(unsigned char key[SHA256_BYTES], const char *secret,
                       const char *day, const char *region)
{
	FSP_FREE char *start = fsp_strf("AWS4%s", secret);
	int rc;

	if (!start)
		return -ENOMEM;
	rc = hmac(key, start, strlen(start), day, DAY_LEN);
	fsp_wipe(start, strlen(start));
	if (!rc)
		rc = hmac(key, key, SHA256_BYTES, region, strlen(region));
	if (!rc)
		rc = hmac(key, key, SHA256_BYTES, "s3", 2);
	return rc ? rc : hmac(key, key, SHA256_BYTES, "aws4_request", 12);
}

static int signature(const struct s3_to_sign *r, const char *secret,
                     const char *region, const char *amz_date,
                     char out[2 * SHA256_BYTES + 1])
{
	FSP_BUF struct fsp_buf request = FSP_BUF_INIT, text = FSP_BUF_INIT;
	unsigned char key[SHA256_BYTES], sum[SHA256_BYTES];
	char hash[S3_SHA256_HEX + 1];
	int rc = s3_canonical_request(r, &request);

	if (!rc)
		rc = s3_sha256_hex(hash, request.data, request.len);
	if (!rc)
		rc = fsp_buf_printf(&text,
		                    "AWS4-HMAC-SHA256\n%s\n"
		                    "%.8s/%s/s3/aws4_request\n%s",
		                    amz_date, amz_date, region, hash);
	if (!rc)
		rc = signing_key(key, secret, amz_date, region);
	if (!rc)
		rc = hmac(sum, key, sizeof(key), text.data, text.len);
	fsp_wipe(key, sizeof(key));
	if (!rc)
		fsp_hex(out, sum, sizeof(sum));
	return rc;
}

int s3_authorization(const struct s3_to_sign *r, const struct s3_keys *keys,
                     const char *region, const char *amz_date,
                     struct fsp_buf *out)
{
	char sig[2 * SHA256_BYTES + 1];
	int rc = signature(r, keys->secret, region, amz_date, sig);

	if (!rc)
		rc = fsp_buf_printf(out,
		                    "AWS4-HMAC-SHA256 Credential=%s/%.8s/%s/s3/"
		                    "aws4_request,SignedHeaders=",
		                    keys->access, amz_date, region);
	if (!rc)
		rc = add_signed_names(r, out);
	return rc ? rc : fsp_buf_printf(out, ",Signature=%s", sig);
}
