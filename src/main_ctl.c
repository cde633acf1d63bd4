/*
 * filespacectl: finds the store that the command line means, and hands it to
 * the command (src/admin).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_admin.h"
#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_config.h"
#include "fsp_log.h"
#include "fsp_mounts.h"
#include "fsp_secret.h"
#include "fsp_store.h"
#include "fsp_version.h"
#include "main_wire.h"

/* A run of the program; what it opened is closed at the end. */
struct run {
	struct fsp_cli cli;
	struct fsp_admin admin;
	char *source, *mountpoint, *inside;     /* of a PATH inside a mount */
	char *path, *version;                   /* PATH@VERSION, cut in two */
	struct fsp_store *store;
};

/* The line that the wiring gave, or the errno in words. Frees it. */
static int complain(struct run *r, int err, const char *what, char *error)
{
	if (error)
		fsp_admin_fail(&r->admin, 0, "%s", error);
	else
		fsp_admin_fail(&r->admin, err, "%s", what);
	free(error);
	return FSP_EXIT_FAILED;
}

/* path NULL: the store that -s or -c names, or the default. */
static int find_source(struct run *r, const char *path)
{
	int err;

	if (r->cli.source || !path)
		return 0;
	err = fsp_mounts_find(path, &r->source, &r->mountpoint, &r->inside);
	if (err == -ENOENT)
		return fsp_admin_fail(&r->admin, 0, "%s is not in a mount of "
		                      "filespacefs; name the store with -s",
		                      path);
	return err ? fsp_admin_fail(&r->admin, err, "%s", path) : 0;
}

static struct fsp_wire_options wire_options(const struct run *r, bool read_only)
{
	return (struct fsp_wire_options){
		.source = r->source ? r->source : r->cli.source,
		.source_is_file = r->cli.source_is_file,
		.options = r->cli.settings,
		.n_options = r->cli.n_settings,
		.read_only = read_only,
	};
}

static int open_store(struct run *r, const char *path, bool read_only)
{
	struct fsp_wire_options o;
	char *error = NULL;
	int err = find_source(r, path);

	if (err)
		return err;
	o = wire_options(r, read_only);
	err = fsp_wire_open(&o, &r->store, &error);
	if (err)
		return complain(r, err, "cannot open the store", error);
	free(error);
	r->admin.store = r->store;
	return 0;
}

/* Where `arg` leads: within the mount it is in, or in the store as it is. */
static int resolve(struct run *r, const char *arg, const char *inside,
                   struct fsp_admin_target *out)
{
	const char *hidden = fsp_config_str(r->store->config, "mount",
	                                    "versions_dir");
	int err = fsp_admin_target_parse(inside ? inside : arg, hidden, out);

	return err ? fsp_admin_fail(&r->admin, err, "%s", arg) : 0;
}

/* The settings of the store that PATH is in, or that -s or -c names. */
static int read_config(struct run *r, const char *path, struct fsp_config **c)
{
	struct fsp_wire_options o;
	char *error = NULL;
	int err = find_source(r, path);

	if (err)
		return err;
	o = wire_options(r, true);
	err = fsp_wire_config(&o, c, &error);
	if (err)
		return complain(r, err, "cannot read the settings", error);
	free(error);
	return 0;
}

static int run_config(struct run *r)
{
	struct fsp_config *c = NULL;
	int rc;

	if (r->cli.sample || r->cli.man || r->cli.help_text) {
		if (r->cli.sample)
			fsp_config_print_sample(stdout);
		else if (r->cli.man)
			fsp_config_print_man(stdout);
		else
			fsp_config_print_help(stdout);
		return FSP_EXIT_OK;
	}
	rc = read_config(r, r->cli.arg, &c);
	if (rc)
		return rc;
	rc = fsp_admin_config(&r->admin, c);
	fsp_config_free(c);
	return rc;
}

static int run_init(struct run *r)
{
	const char *dir = r->cli.arg ? r->cli.arg : r->cli.source;
	char *error = NULL;
	int err;

	if (!dir || r->cli.source_is_file || (r->cli.arg && r->cli.source)) {
		fsp_admin_fail(&r->admin, 0, "init makes a directory: give DIR "
		               "or -s DIR");
		return FSP_EXIT_USAGE;
	}
	err = fsp_wire_init(dir, r->cli.settings, r->cli.n_settings, &error);
	if (err)
		return complain(r, err, dir, error);
	free(error);
	printf("%s is a new store. Keep a copy of its filespacefs.conf in a safe "
	       "place: without the key in it, nothing can be read.\n", dir);
	return FSP_EXIT_OK;
}

static int run_versions(struct run *r)
{
	struct fsp_admin_target t = { 0 };
	int rc = open_store(r, r->cli.arg, true);

	if (!rc)
		rc = resolve(r, r->cli.arg, r->inside, &t);
	if (!rc)
		rc = fsp_admin_versions(&r->admin, t.path);
	fsp_admin_target_free(&t);
	return rc;
}

/* --to, which must be in the same store. */
static int resolve_to(struct run *r, struct fsp_admin_target *out)
{
	FSP_FREE char *source = NULL;
	FSP_FREE char *mountpoint = NULL;
	FSP_FREE char *inside = NULL;
	int err;

	if (!r->cli.source) {
		err = fsp_mounts_find(r->cli.to, &source, &mountpoint,
		                      &inside);
		if (err == -ENOENT || (!err && strcmp(source, r->source) != 0))
			return fsp_admin_fail(&r->admin, 0, "%s is not in the "
			                      "same store; use 'cat-object' "
			                      "to copy content out of it",
			                      r->cli.to);
		if (err)
			return fsp_admin_fail(&r->admin, err, "%s", r->cli.to);
	}
	err = resolve(r, r->cli.to, inside, out);
	if (!err && out->version)
		err = fsp_admin_fail(&r->admin, 0, "%s: versions are read-only; "
		                     "restore to a file", r->cli.to);
	return err;
}

/* Not what can be a row id as well. */
static bool is_time(const char *version)
{
	struct fsp_version_spec spec;

	return !fsp_version_spec_parse(version, &spec) && spec.has_time &&
		!spec.row;
}

static int restore(struct run *r, struct fsp_admin_target *from,
                   struct fsp_admin_target *to)
{
	const char *version, *at;
	int rc = open_store(r, r->path, false);

	if (!rc)
		rc = resolve(r, r->path, r->inside, from);
	if (!rc && r->cli.to)
		rc = resolve_to(r, to);
	if (rc)
		return rc;
	version = r->cli.at ? r->cli.at
		: r->version ? r->version : from->version;
	if (r->cli.at && (r->version || from->version)) {
		fsp_admin_fail(&r->admin, 0, "%s names a version; give it or --at",
		               r->cli.arg);
		return FSP_EXIT_USAGE;
	}
	at = strrchr(r->path, '@');
	if (!version && at && !strchr(at, '/')) {
		fsp_admin_fail(&r->admin, 0, "%s: what follows @ is no row id, "
		               "entry name or time; times are " FSP_TIME_FORMS,
		               r->path);
		return FSP_EXIT_USAGE;
	}
	if (!version) {
		fsp_admin_fail(&r->admin, 0, "%s names no version: add @ and a "
		               "row id, an entry name or a time, see "
		               "'filespacectl versions'; or give --at TIME, also "
		               "for a directory", r->path);
		return FSP_EXIT_USAGE;
	}
	if (r->cli.at || is_time(version))
		return fsp_admin_restore_at(&r->admin, from->path, version,
		                            to->path);
	return fsp_admin_restore(&r->admin, from->path, version, to->path);
}

static int run_restore(struct run *r)
{
	struct fsp_admin_target from = { 0 }, to = { 0 };
	int rc, err;

	err = fsp_admin_split_version(r->cli.arg, &r->path, &r->version);
	if (err)
		return fsp_admin_fail(&r->admin, err, "%s", r->cli.arg);
	rc = restore(r, &from, &to);
	fsp_admin_target_free(&from);
	fsp_admin_target_free(&to);
	return rc;
}

static int run_cat_object(struct run *r)
{
	int rc = open_store(r, NULL, true);

	return rc ? rc : fsp_admin_cat_object(&r->admin, r->cli.arg,
	                                      fileno(stdout), r->cli.force);
}

static int work_schema(void *arg, struct fsp_schema *s)
{
	struct run *r = arg;
	struct fsp_wire_options o = wire_options(r, s->what !=
	                                         FSP_SCHEMA_UPGRADE);

	return fsp_wire_schema(&o, s);
}

static int run_schema(struct run *r)
{
	static const char *const names[] = {
		[FSP_SCHEMA_CHECK] = "check", [FSP_SCHEMA_PLAN] = "plan",
		[FSP_SCHEMA_UPGRADE] = "upgrade"
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(r->cli.arg, names[i]) == 0)
			return fsp_admin_schema(&r->admin,
			                        (enum fsp_schema_do)i,
			                        work_schema, r);
	fsp_admin_fail(&r->admin, 0, "schema %s: give check, plan or upgrade",
	               r->cli.arg);
	return FSP_EXIT_USAGE;
}

static int run_check(struct run *r)
{
	if (open_store(r, r->cli.arg, true))
		return FSP_FSCK_FAILED;
	return fsp_admin_check(&r->admin, fsp_meta_check);
}

static int run_store(struct run *r)
{
	struct fsp_wire_options o = wire_options(r, false);
	int status = FSP_EXIT_FAILED, err;
	char *error = NULL;

	if (strcmp(r->cli.arg, "test") != 0) {
		fsp_admin_fail(&r->admin, 0, "store %s: give test", r->cli.arg);
		return FSP_EXIT_USAGE;
	}
	err = fsp_wire_store_test(&o, &r->admin, &status, &error);
	if (err)
		return complain(r, err, "cannot open the store", error);
	free(error);
	return status;
}

static int warm_cache(struct run *r)
{
	struct fsp_admin_target t = { 0 };
	int rc = open_store(r, r->cli.arg2, true);

	if (!rc)
		rc = resolve(r, r->cli.arg2, r->inside, &t);
	if (!rc && t.version)
		rc = fsp_admin_fail(&r->admin, 0, "%s: only what is live can be "
		                    "fetched by its path", r->cli.arg2);
	if (!rc)
		rc = fsp_admin_cache_warm(&r->admin, t.path);
	fsp_admin_target_free(&t);
	return rc;
}

static int run_cache(struct run *r)
{
	bool show = strcmp(r->cli.arg, "show") == 0;
	struct fsp_config *c = NULL;
	int rc;

	if (strcmp(r->cli.arg, "warm") == 0 && r->cli.arg2)
		return warm_cache(r);
	if ((!show && strcmp(r->cli.arg, "drop") != 0) ||
	    (r->cli.arg2 && r->cli.source)) {
		fsp_admin_fail(&r->admin, 0, "cache %s: give show, drop or "
		               "warm PATH", r->cli.arg);
		return FSP_EXIT_USAGE;
	}
	rc = read_config(r, r->cli.arg2, &c);
	if (rc)
		return rc;
	rc = show ? fsp_admin_cache_show(&r->admin, c) :
		fsp_admin_cache_drop(&r->admin, c);
	fsp_config_free(c);
	return rc;
}

static int run_help(struct run *r)
{
	if (r->cli.has_command && r->cli.command == FSP_CLI_HELP) {
		r->cli.has_command = r->cli.arg != NULL;
		if (r->cli.arg && fsp_cli_find(r->cli.arg, &r->cli.command)) {
			fsp_admin_fail(&r->admin, 0, "no such command: %s",
			               r->cli.arg);
			return FSP_EXIT_USAGE;
		}
	}
	fsp_cli_usage(&r->cli, stdout);
	return FSP_EXIT_OK;
}

static int dispatch(struct run *r)
{
	int rc;

	if (r->cli.help)
		return run_help(r);
	switch (r->cli.command) {
	case FSP_CLI_INIT:
		return run_init(r);
	case FSP_CLI_CONFIG:
		return run_config(r);
	case FSP_CLI_STATUS:
		rc = open_store(r, r->cli.arg, true);
		return rc ? rc : fsp_admin_status(&r->admin);
	case FSP_CLI_VERSIONS:
		return run_versions(r);
	case FSP_CLI_RESTORE:
		return run_restore(r);
	case FSP_CLI_CAT_OBJECT:
		return run_cat_object(r);
	case FSP_CLI_STATS:
		rc = open_store(r, r->cli.arg, true);
		return rc ? rc : fsp_admin_stats(&r->admin);
	case FSP_CLI_SCHEMA:
		return run_schema(r);
	case FSP_CLI_CHECK:
		return run_check(r);
	case FSP_CLI_STORE:
		return run_store(r);
	case FSP_CLI_CACHE:
		return run_cache(r);
	case FSP_CLI_VERSION:
		puts("filespacectl " FSP_VERSION);
		return FSP_EXIT_OK;
	case FSP_CLI_HELP:
		break;
	}
	return run_help(r);
}

static void finish(struct run *r)
{
	if (r->store)
		fsp_store_close(r->store);
	free(r->source);
	free(r->mountpoint);
	free(r->inside);
	free(r->path);
	free(r->version);
}

int main(int argc, char **argv)
{
	struct run r = { .admin = { .out = stdout, .err = stderr } };
	int err;
	int rc = fsp_cli_parse(argc, argv, &r.cli, stderr);

	if (rc)
		return rc;
	/* Keys in memory belong into no core dump. */
	err = fsp_forbid_dumps();
	if (err)
		return fsp_admin_fail(&r.admin, err, "cannot forbid core dumps");
	fsp_log_init("filespacectl", FSP_LOG_STDERR, FSP_LOG_WARNING);
	r.admin.ctx = fsp_ctx_background();
	r.admin.json = r.cli.json;
	rc = dispatch(&r);
	finish(&r);
	if (fflush(stdout) || ferror(stdout)) {
		err = -errno;
		rc = rc ? rc : fsp_admin_fail(&r.admin, err, "cannot write to "
		                              "standard output");
	}
	return rc;
}
