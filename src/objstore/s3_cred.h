/*
 * Where the S3 backend's keys come from: a chain of sources, the first that
 * has keys serves. Any thread may call; no secret is ever logged.
 *
 *   1. the settings, as s3_cred_options has them
 *   2. the file of s3.credentials_file
 *   3. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
 *   4. AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials
 *   5. the container's endpoint: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or
 *      _FULL_URI, with AWS_CONTAINER_AUTHORIZATION_TOKEN(_FILE)
 *   6. the machine's metadata service, version 2 of its protocol, unless
 *      AWS_EC2_METADATA_DISABLED is true
 *
 * A source that is set up and fails ends the search: another one's keys would
 * be those of another account.
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
	const char *file;               /* form of the shared credentials */
	const char *profile;            /* its section; else AWS_PROFILE */
	const char *imds_endpoint;      /* instead of the well-known address */
};

/*
 * Makes the chain without asking anybody yet. -EINVAL with *error (caller
 * frees) where the options contradict each other, such as half a pair.
 */
int s3_cred_new(const struct s3_cred_options *o, struct s3_cred **out,
                char **error);
void s3_cred_free(struct s3_cred *c);           /* NULL is fine; wipes */

/*
 * The keys to sign with. Those that expire are fetched anew five minutes
 * ahead, by one caller, while the others go on with the old ones; when that
 * fails, so does the caller, until they have expired. -EACCES when no source
 * has any (logged once); -EHOSTDOWN, -ETIMEDOUT, -EIO and -EINTR from those
 * that ask a server. *out is empty on failure.
 */
int s3_cred_get(struct s3_cred *c, const struct fsp_ctx *ctx,
                struct s3_keys *out);

/*
 * The server said that the keys have expired: fetches them anew, where no
 * other thread has just done so. -EACCES where the source has no others.
 */
int s3_cred_renew(struct s3_cred *c, const struct fsp_ctx *ctx);

void s3_keys_free(struct s3_keys *k);

#endif
