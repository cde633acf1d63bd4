/* The wiring of the S3 backend: from settings to an open store. */
#include "main_wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_breaker.h"
#include "fsp_buf.h"
#include "fsp_clock.h"
#include "fsp_config.h"
#include "fsp_ctx.h"
#include "fsp_log.h"
#include "fsp_objstore.h"
#include "fsp_s3.h"
#include "fsp_store.h"

#define ASK_NS (10 * FSP_NS_PER_SEC)    /* a mount must not hang at start */
#define EMPTY_NS (60 * FSP_NS_PER_SEC)

static enum fsp_s3_path_style path_style(const struct fsp_config *c)
{
	const char *word = fsp_config_str(c, "s3", "path_style");

	if (strcmp(word, "auto") == 0)
		return FSP_S3_PATH_AUTO;
	return strcmp(word, "yes") == 0 ? FSP_S3_PATH_YES : FSP_S3_PATH_NO;
}

/* An empty setting is one that is not set. */
static const char *text(const struct fsp_config *c, const char *key)
{
	const char *value = fsp_config_str(c, "s3", key);

	return value && *value ? value : NULL;
}

static size_t size(const struct fsp_config *c, const char *key)
{
	return (size_t)fsp_config_int(c, "s3", key);
}

static int number(const struct fsp_config *c, const char *key)
{
	return (int)fsp_config_int(c, "s3", key);
}

int fsp_wire_s3_open(const struct fsp_config *c, bool read_only,
                     struct fsp_objstore **out, char **error)
{
	const char *sse = fsp_config_str(c, "s3", "sse");
	const struct fsp_s3_options o = {
		.endpoint = text(c, "endpoint"),
		.region = text(c, "region"),
		.bucket = text(c, "bucketname"),
		.prefix = text(c, "prefix"),
		.path_style = path_style(c),
		.ca_file = text(c, "ca_file"),
		.tls_verify = fsp_config_bool(c, "s3", "tls_verify"),
		.storage_class = text(c, "storage_class"),
		.sse = strcmp(sse, "none") == 0 ? NULL : sse,
		.sse_kms_key = text(c, "sse_kms_key"),
		.part_size = size(c, "part_size"),
		.multipart_threshold = size(c, "multipart_threshold"),
		.parallel_parts = number(c, "parallel_parts"),
		.connections = number(c, "connections"),
		.retries = number(c, "retries"),
		.timeout_ns = fsp_config_ns(c, "s3", "timeout"),
		.connect_timeout_ns = fsp_config_ns(c, "s3", "connect_timeout"),
		.read_only = read_only,
		.access_key = text(c, "access_key"),
		.secret_key = text(c, "secret_key"),
		.session_token = text(c, "session_token"),
		.credentials_file = text(c, "credentials_file"),
		.profile = text(c, "profile"),
		.imds_endpoint = text(c, "imds_endpoint"),
	};

	return fsp_objstore_s3_open(&o, out, error);
}

int fsp_wire_s3_ask(struct fsp_objstore *s, char **error)
{
	struct fsp_ctx ctx = fsp_ctx_background();
	int rc;

	ctx.deadline_ns = fsp_mono_ns() + ASK_NS;
	rc = fsp_objstore_s3_check(s, &ctx, error);
	if (rc == -EINVAL || !*error)
		return rc;
	fsp_warn("%s; mounted all the same, until it comes back", *error);
	free(*error);
	*error = NULL;
	return 0;
}

/* What the breaker asks; *why is the server's word or the network's. */
static int probe(void *arg, const struct fsp_ctx *ctx, char **why)
{
	return fsp_objstore_s3_probe(arg, ctx, why);
}

int fsp_wire_s3_guard(const struct fsp_config *c, struct fsp_health_part *part,
                      struct fsp_objstore **s)
{
	const struct fsp_breaker_options o = {
		.name = FSP_PART_OBJECTS,
		.down_after = (int)fsp_config_int(c, "general", "down_after"),
		.probe = probe,
		.arg = *s,
		.health = part,
	};

	return fsp_objstore_breaker(*s, &o, s);
}

static int one(void *arg, const char *key, uint64_t bytes, int64_t mtime_us)
{
	(void)arg;
	(void)key;
	(void)bytes;
	(void)mtime_us;
	return 1;
}

int fsp_wire_s3_empty(struct fsp_objstore *s, char **error)
{
	struct fsp_ctx ctx = fsp_ctx_background();
	int rc;

	ctx.deadline_ns = fsp_mono_ns() + EMPTY_NS;
	rc = fsp_obj_list(s, &ctx, "", one, NULL);
	if (rc >= 0)
		return !rc;
	free(*error);
	*error = fsp_strf("cannot see whether there are objects in the bucket: %s",
	                  strerror(-rc));
	return rc;
}
