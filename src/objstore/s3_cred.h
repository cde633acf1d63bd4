/*
 * Where the S3 backend's keys come from: a chain of sources, the first that
 * has keys serves. Any thread may call; no secret is ever logged.
 */
#ifndef FSP_S3_CRED_H
#define FSP_S3_CRED_H

struct fsp_ctx;
struct s3_cred; /* the chain */

/* All in fresh memory; wiped and freed by s3_keys_free(). */
struct s3_keys {
	char *access, *secret, *token;  /* token NULL: none */
};

/*
 * All strings are copied and may be NULL: not given. Keys that are given as
 * strings win over every other source.
 */
struct s3_cred_options {
	const char *access, *secret, *token;
	const char *file;               /* of shared credentials */
	const char *profile;            /* its section */
	const char *imds_endpoint;      /* instead of the well-known address */
	const char *container_endpoint; /* instead of the environment's */
};

/*
 * Makes the chain without asking anybody yet. -EINVAL with *error (caller
 * frees) where the options contradict each other, such as half a pair.
 */
int s3_cred_new(const struct s3_cred_options *o, struct s3_cred **out,
                char **error);
void s3_cred_free(struct s3_cred *c);           /* NULL is fine; wipes */

/*
 * The keys to sign with, refreshed before they expire. -EACCES when no source
 * has any (logged); -EHOSTDOWN, -ETIMEDOUT and -EINTR from those that ask a
 * server. *out is empty on failure.
 */
int s3_cred_get(struct s3_cred *c, const struct fsp_ctx *ctx,
                struct s3_keys *out);

/*
 * The server said that the keys have expired: fetches them anew. -EACCES where
 * the source has no others.
 */
int s3_cred_renew(struct s3_cred *c, const struct fsp_ctx *ctx);

void s3_keys_free(struct s3_keys *k);

#endif
