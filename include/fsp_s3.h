/*
 * The S3 backend of the object store: what it needs to know. All strings are
 * copied; those that may be NULL say so.
 */
#ifndef FSP_S3_H
#define FSP_S3_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fsp_step.h"

struct fsp_ctx;
struct fsp_objstore;

enum fsp_s3_path_style { FSP_S3_PATH_AUTO, FSP_S3_PATH_YES, FSP_S3_PATH_NO };

struct fsp_s3_options {
	const char *endpoint;           /* URL; NULL: AWS, by region */
	const char *region, *bucket;
	const char *prefix;             /* NULL: none */
	enum fsp_s3_path_style path_style;
	const char *ca_file;            /* NULL: the system's */
	bool tls_verify;
	const char *storage_class;      /* NULL: the bucket's */
	const char *sse;                /* NULL, "AES256" or "aws:kms" */
	const char *sse_kms_key;        /* NULL: the account's */
	size_t part_size, multipart_threshold;
	int parallel_parts, connections;
	int retries;                    /* after the first attempt */
	int64_t timeout_ns, connect_timeout_ns;
	bool read_only;

	/* The keys: s3_cred.h; each may be NULL. */
	const char *access_key, *secret_key, *session_token;
	const char *credentials_file, *profile;
	const char *imds_endpoint;
};

/*
 * Opens it without asking the server. -EINVAL with *error (caller frees) for
 * options that make no sense.
 */
int fsp_objstore_s3_open(const struct fsp_s3_options *o,
                         struct fsp_objstore **out, char **error);

/*
 * Asks the server whether keys, bucket, region and certificate are right. 0
 * when they are; -EINVAL with *error (caller frees) when somebody must mend
 * the settings; another error with *error when the server cannot be asked now.
 */
int fsp_objstore_s3_check(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                          char **error);
/*
 * The same question for a breaker: what a call would return now, so that who
 * goes by both sees one thing; 0 when objects can be asked for.
 */
int fsp_objstore_s3_probe(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                          char **error);

/*
 * What can be said of the server before any object is asked for: connection,
 * TLS, clocks, and fsp_objstore_s3_check(). 0: it serves us.
 */
int fsp_objstore_s3_facts(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                          fsp_step_fn step, void *arg);

#endif
