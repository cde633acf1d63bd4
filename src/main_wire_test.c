/*
 * `filespacectl store test`: opens what there is, and knows which backend has
 * what to say about its server.
 */
#include "main_wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fsp_admin.h"
#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_config.h"
#include "fsp_s3.h"
#include "fsp_store.h"

/* The smallest parts that S3 takes, so that a small object has two. */
#define PART "5M"
#define LARGE (5 * 1024 * 1024 + 4096)

static const char *const small_parts[] = {
	"s3.part_size=" PART, "s3.multipart_threshold=" PART
};
#define N_SMALL_PARTS 2

static int objects_facts(void *arg, const struct fsp_ctx *ctx, fsp_step_fn step,
                         void *step_arg)
{
	struct fsp_store *s = arg;

	return fsp_objstore_s3_facts(s->objects, ctx, step, step_arg);
}

static void tell(fsp_step_fn step, void *arg, const char *what,
                 enum fsp_step_result result, int64_t began, const char *found,
                 const char *advice)
{
	struct fsp_step s = { FSP_PART_DATABASE, what, result,
		              fsp_mono_ns() - began, found, advice };

	step(arg, &s);
}

static int schema_facts(const struct fsp_config *c, const struct fsp_ctx *ctx,
                        fsp_step_fn step, void *arg, bool read_only)
{
	struct fsp_schema s = { .what = FSP_SCHEMA_CHECK, .ctx = ctx };
	int64_t began = fsp_mono_ns();
	int err = fsp_wire_config_schema(c, &s);
	FSP_FREE char *error = s.error;
	bool old = s.needed;

	if (err)
		tell(step, arg, "schema", FSP_STEP_FAIL, began,
		     error ? error : strerror(-err), fsp_admin_explain(err));
	else if (old)
		tell(step, arg, "schema",
		     read_only ? FSP_STEP_WARN : FSP_STEP_FAIL, began,
		     "can be read, not written to",
		     "see 'filespacectl schema plan', then 'filespacectl "
		     "schema upgrade'");
	else
		tell(step, arg, "schema", FSP_STEP_OK, began, "up to date",
		     NULL);
	return err || (old && !read_only) ? -EROFS : 0;
}

static void say(fsp_step_fn step, void *arg, const char *what, int64_t began,
                int err, const char *found)
{
	tell(step, arg, what, err ? FSP_STEP_FAIL : FSP_STEP_OK, began,
	     found ? found : err ? strerror(-err) : NULL,
	     err ? fsp_admin_explain(err) : NULL);
}

/* As a mount that comes and goes. */
static int write_row(struct fsp_meta *m, const struct fsp_ctx *ctx)
{
	char id[FSP_MOUNT_ID + 1];
	unsigned char bytes[FSP_MOUNT_ID / 2];
	struct fsp_mountinfo i = {
		.id = id, .host = "store test", .path = "", .spool = "",
		.pid = getpid(), .started_us = fsp_now_us()
	};
	int err;

	fsp_random(bytes, sizeof(bytes));
	fsp_hex(id, bytes, sizeof(bytes));
	err = fsp_meta_mount_add(m, ctx, &i);
	return err ? err : fsp_meta_mount_remove(m, ctx, id);
}

static int mysql_facts(const struct fsp_store *s, const struct fsp_ctx *ctx,
                       fsp_step_fn step, void *arg)
{
	struct fsp_maria_options m;
	int64_t began = fsp_mono_ns();
	FSP_FREE char *error = NULL;
	int err = fsp_wire_mysql_options(s->config, &m, &error);

	if (err) {
		say(step, arg, "settings", began, err, error);
		return err;
	}
	fsp_meta_maria_facts(&m, ctx, s->read_only, step, arg);
	fsp_maria_options_free(&m);
	return 0;
}

static void rows_facts(void *arg, const struct fsp_ctx *ctx, fsp_step_fn step,
                       void *step_arg)
{
	static const struct fsp_ref root = { .ino = FSP_INO_ROOT, .path = "" };
	struct fsp_store *s = arg;
	const char *where = fsp_admin_database_place(s->config);
	FSP_FREE char *error = NULL;
	struct fsp_entry e;
	int64_t began;
	int err;

	if (strcmp(fsp_config_str(s->config, "general", "database"),
	           "mysql") == 0)
		err = mysql_facts(s, ctx, step, step_arg);
	else
		err = schema_facts(s->config, ctx, step, step_arg,
		                   s->read_only);
	if (err)
		return;
	began = fsp_mono_ns();
	err = fsp_wire_open_meta(s, false, &error);
	say(step, step_arg, "open", began, err, error ? error : where);
	if (err)
		return;
	began = fsp_mono_ns();
	err = fsp_meta_getattr(s->meta, ctx, &root, &e);
	say(step, step_arg, "read", began, err, NULL);
	if (s->read_only)
		return;
	began = fsp_mono_ns();
	err = write_row(s->meta, ctx);
	say(step, step_arg, "write a row and remove it", began, err, NULL);
}

/* The settings and the objects, without a breaker and without rows. */
static int open_objects(const struct fsp_wire_options *o, struct fsp_store *s,
                        char **error)
{
	const char *path;
	int err = fsp_wire_config(o, &s->config, error);

	if (!err)
		err = fsp_config_check(s->config, error);
	if (err)
		return err;
	s->read_only = o->read_only ||
		fsp_config_bool(s->config, "mount", "read_only");
	if (strcmp(fsp_config_str(s->config, "general", "adapter"), "s3") == 0)
		return fsp_wire_s3_open(s->config, s->read_only, &s->objects,
		                        error);
	path = fsp_config_str(s->config, "file", "path");
	err = fsp_objstore_dir_open(path, 0, s->read_only, &s->objects);
	if (err)
		*error = fsp_strf("objects in %s: %s", path, strerror(-err));
	return err;
}

static int run(struct fsp_store *s, struct fsp_admin *a)
{
	const char *adapter = fsp_config_str(s->config, "general", "adapter");
	const struct fsp_admin_servers servers = {
		.objects = strcmp(adapter, "s3") == 0 ? objects_facts : NULL,
		.database = rows_facts,
		.arg = s,
		.large_size = LARGE,
	};

	a->store = s;
	return fsp_admin_store_test(a, &servers);
}

int fsp_wire_store_test(const struct fsp_wire_options *o, struct fsp_admin *a,
                        int *status, char **error)
{
	struct fsp_wire_options with = *o;
	const char **options;
	struct fsp_store *s;
	int err;

	/* Ours first: what the user says goes over it. */
	options = calloc((size_t)o->n_options + N_SMALL_PARTS,
	                 sizeof(*options));
	s = fsp_store_new();
	if (!options || !s) {
		free(options);
		fsp_store_close(s);
		return -ENOMEM;
	}
	memcpy(options, small_parts, sizeof(small_parts));
	if (o->n_options)
		memcpy(options + N_SMALL_PARTS, o->options,
		       (size_t)o->n_options * sizeof(*options));
	with.options = options;
	with.n_options = o->n_options + N_SMALL_PARTS;
	err = open_objects(&with, s, error);
	if (!err)
		*status = run(s, a);
	a->store = NULL;
	fsp_store_close(s);
	free(options);
	return err;
}
