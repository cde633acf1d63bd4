/* What the files of the S3 backend's keys share. */
#ifndef FSP_S3_CRED_IMPL_H
#define FSP_S3_CRED_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "s3_cred.h"

struct fsp_buf;

struct s3_fetched {
	struct s3_keys keys;
	int64_t expires_us;             /* wall clock; 0 = never */
};

/*
 * A source. 0; -ENOENT: it is not set up here, ask the next one; anything else
 * ends the search. `why` gets a few words for either failure, no secret.
 */
struct s3_source {
	const char *name;
	int (*fetch)(const struct s3_cred_options *o, const struct fsp_ctx *ctx,
	             struct s3_fetched *out, struct fsp_buf *why);
};

/* s3_cred_file.c */
int s3_from_settings(const struct s3_cred_options *o, const struct fsp_ctx *ctx,
                     struct s3_fetched *out, struct fsp_buf *why);
int s3_from_file(const struct s3_cred_options *o, const struct fsp_ctx *ctx,
                 struct s3_fetched *out, struct fsp_buf *why);
int s3_from_environment(const struct s3_cred_options *o,
                        const struct fsp_ctx *ctx, struct s3_fetched *out,
                        struct fsp_buf *why);
int s3_from_shared_file(const struct s3_cred_options *o,
                        const struct fsp_ctx *ctx, struct s3_fetched *out,
                        struct fsp_buf *why);

/* s3_cred_server.c */
int s3_from_container(const struct s3_cred_options *o,
                      const struct fsp_ctx *ctx, struct s3_fetched *out,
                      struct fsp_buf *why);
int s3_from_imds(const struct s3_cred_options *o, const struct fsp_ctx *ctx,
                 struct s3_fetched *out, struct fsp_buf *why);

/* s3_cred_http.c: a small answer from a server nearby. */
struct s3_http {
	const char *method;             /* "GET", or "PUT" of nothing */
	const char *url;
	const char *header[2];          /* whole lines; NULL = none */
};
#define S3_HTTP_MAX 65536       /* bytes of an answer */

struct s3_answer {
	char *body;                     /* S3_HTTP_MAX + 1 bytes, a string */
	size_t len;
	long status;
	bool connected;                 /* also where it failed after that */
};
/*
 * 0 for any status; -EHOSTDOWN, -ETIMEDOUT, -EINTR, -EIO (too large, no
 * HTTP), -EINVAL (no such URL). The caller frees the answer in every case.
 */
int s3_http_ask(const struct fsp_ctx *ctx, const struct s3_http *h,
                struct s3_answer *out);
void s3_answer_free(struct s3_answer *a);       /* wipes */
/* Tests only: how long connecting and the whole may take. */
void s3_http_limits(long connect_ms, long total_ms);

/* s3_cred_json.c: both servers' answer. -EIO, with a few words in `why`. */
int s3_cred_parse(const char *text, size_t len, struct s3_fetched *out,
                  struct fsp_buf *why);

/* s3_cred.c */
int s3_keys_copy(struct s3_keys *out, const char *access, const char *secret,
                 const char *token);
void s3_string_free(char *s);                   /* wipes; NULL is fine */
/* Visible ASCII only: they go into headers. */
bool s3_keys_valid(const struct s3_keys *k);

#endif
