/* The keys of the S3 backend, as the settings give them. */
#include "s3_cred.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_log.h"

struct s3_cred {
	struct s3_keys keys;            /* empty where none were given */
};

static void wipe(char *s)
{
	if (s)
		fsp_wipe(s, strlen(s));
	free(s);
}

void s3_keys_free(struct s3_keys *k)
{
	wipe(k->access);
	wipe(k->secret);
	wipe(k->token);
	*k = (struct s3_keys){ 0 };
}

static int copy_keys(struct s3_keys *out, const char *access,
                     const char *secret, const char *token)
{
	*out = (struct s3_keys){ strdup(access), strdup(secret),
		                 token ? strdup(token) : NULL };
	if (out->access && out->secret && (out->token || !token))
		return 0;
	s3_keys_free(out);
	return -ENOMEM;
}

int s3_cred_new(const struct s3_cred_options *o, struct s3_cred **out,
                char **error)
{
	struct s3_cred *c;
	int rc = 0;

	*error = NULL;
	if (!o->access != !o->secret) {
		*error = fsp_strf("s3.%s is set and s3.%s is not",
		                  o->access ? "access_key" : "secret_key",
		                  o->access ? "secret_key" : "access_key");
		return -EINVAL;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	if (o->access)
		rc = copy_keys(&c->keys, o->access, o->secret, o->token);
	if (rc) {
		free(c);
		return rc;
	}
	*out = c;
	return 0;
}

void s3_cred_free(struct s3_cred *c)
{
	if (c)
		s3_keys_free(&c->keys);
	free(c);
}

int s3_cred_get(struct s3_cred *c, const struct fsp_ctx *ctx,
                struct s3_keys *out)
{
	(void)ctx;
	*out = (struct s3_keys){ 0 };
	if (!c->keys.access) {
		fsp_error("S3: no keys: s3.access_key is not set");
		return -EACCES;
	}
	return copy_keys(out, c->keys.access, c->keys.secret, c->keys.token);
}

int s3_cred_renew(struct s3_cred *c, const struct fsp_ctx *ctx)
{
	(void)c;
	(void)ctx;
	return -EACCES;         /* the settings have no others */
}
