/*
 * AWS Signature Version 4 for S3: pure functions, any thread.
 *
 * 0 or -ENOMEM; -EIO when libcrypto refuses.
 */
#ifndef FSP_S3_SIGN_H
#define FSP_S3_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fsp_buf;
struct s3_keys;

#define S3_SHA256_HEX 64
#define S3_DATE_LEN 16          /* 20130524T000000Z */

/* Names in lower case. */
struct s3_header {
	const char *name, *value;
};

/* Names of unreserved characters only; the value as it is. */
struct s3_param {
	const char *name, *value;
};

/* What is signed; all headers are. */
struct s3_to_sign {
	const char *method;
	const char *path, *query;       /* encoded, the query sorted */
	const struct s3_header *headers;        /* sorted by name */
	size_t n_headers;
	const char *payload;            /* hex SHA-256 of the body */
};

/* Appends s percent-encoded; the slash, too, unless it is kept. */
int s3_encode(struct fsp_buf *out, const char *s, bool keep_slash);

/* Sorts the parameters and appends them encoded. */
int s3_canonical_query(struct fsp_buf *out, struct s3_param *p, size_t n);

void s3_sort_headers(struct s3_header *h, size_t n);

int s3_sha256_hex(char out[S3_SHA256_HEX + 1], const void *data, size_t len);

void s3_amz_date(char out[S3_DATE_LEN + 1], int64_t unix_seconds);

int s3_canonical_request(const struct s3_to_sign *r, struct fsp_buf *out);

/* The value of the Authorization header. */
int s3_authorization(const struct s3_to_sign *r, const struct s3_keys *keys,
                     const char *region, const char *amz_date,
                     struct fsp_buf *out);

#endif
