/*
 * The wiring of both programs: from settings to an open store. With the main
 * files the only place that names concrete backends.
 */
#include "fsp_store.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsp_breaker.h"
#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_config.h"
#include "fsp_ctx.h"
#include "fsp_file.h"
#include "fsp_health.h"
#include "fsp_lock.h"
#include "fsp_log.h"
#include "fsp_pool.h"
#include "main_wire.h"

#define CONNECTIONS 8   /* to the database, at the most, for each process */

/* Nothing there, or a directory with nothing in it. */
static bool absent_or_empty(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	bool empty = true;

	if (!d)
		return errno == ENOENT;
	while (empty && (e = readdir(d)))
		empty = strcmp(e->d_name, ".") == 0 ||
			strcmp(e->d_name, "..") == 0;
	closedir(d);
	return empty;
}

static int find_file(const struct fsp_wire_options *o, char **conf, char **dir,
                     char **error)
{
	int err;

	*dir = NULL;
	if (o->source && o->source_is_file) {
		*conf = strdup(o->source);
		return *conf ? 0 : -ENOMEM;
	}
	err = fsp_config_locate(o->source, conf, dir);
	if (!err || (err == -ENOENT && *dir && o->may_create &&
	             !o->read_only && absent_or_empty(*dir)))
		return err;
	if (err == -ENOENT && *dir && absent_or_empty(*dir))
		*error = fsp_strf("%s: no store there; `filespacectl -s %s init` "
		                  "makes one", *dir, *dir);
	else if (err == -ENOENT && *dir)
		*error = fsp_strf("%s: is a directory with files in it, but no "
		                  "store (%s is missing)", *dir, *conf);
	else if (err == -ENOENT && o->source && !strchr(o->source, '/'))
		*error = fsp_strf("%s: no such configuration; the directory of "
		                  "an embedded store is given as ./%s", *conf,
		                  o->source);
	else
		*error = fsp_strf("%s: %s", *conf ? *conf : o->source,
		                  strerror(-err));
	return -EINVAL;
}

static int load(const struct fsp_wire_options *o, struct fsp_store *s,
                char **error)
{
	FSP_FREE char *conf = NULL, *dir = NULL;
	int err = find_file(o, &conf, &dir, error);

	if (err == -ENOENT) {
		s->made_dir = access(dir, F_OK) != 0;
		err = fsp_config_create_store(dir, NULL, 0, error);
		if (err)
			return err;
		fsp_info("made a new store in %s", dir);
		s->made_in = fsp_steal(dir);
	}
	if (err)
		return err;
	return fsp_config_load(conf, o->options, o->n_options, &s->config, error);
}

int fsp_wire_config(const struct fsp_wire_options *o, struct fsp_config **out,
                    char **error)
{
	struct fsp_wire_options look = *o;
	struct fsp_store s = { 0 };
	int err;

	look.may_create = false;
	err = load(&look, &s, error);
	*out = s.config;
	return err;
}

static bool has_mysql(const struct fsp_config *c)
{
	return strcmp(fsp_config_str(c, "general", "database"), "mysql") == 0;
}

static bool has_adapter(const struct fsp_config *c, const char *name)
{
	return strcmp(fsp_config_str(c, "general", "adapter"), name) == 0;
}

/*
 * A store without a database is made one only where there are no objects
 * either: a lost meta.db must not be covered up by an empty one. 1 yes, 0 no.
 */
static int is_new(struct fsp_store *s, char **error)
{
	const struct fsp_config *c = s->config;

	if (!has_mysql(c) &&
	    access(fsp_config_str(c, "sqlite", "path"), F_OK) == 0)
		return 0;
	if (has_adapter(c, "s3"))
		return fsp_wire_s3_empty(s->objects, error);
	return absent_or_empty(fsp_config_str(c, "file", "path"));
}

static int open_dir(struct fsp_store *s, bool create, struct fsp_objstore **out,
                    char **error)
{
	const char *path = fsp_config_str(s->config, "file", "path");
	int err = fsp_objstore_dir_open(path, create, s->read_only, out);

	if (err)
		*error = fsp_strf("objects in %s: %s", path, strerror(-err));
	return err;
}

static int open_s3(struct fsp_store *s, bool ask, struct fsp_objstore **out,
                   char **error)
{
	int err = fsp_wire_s3_open(s->config, s->read_only, out, error);

	if (!err && ask)
		err = fsp_wire_s3_ask(*out, error);
	if (!err)
		err = fsp_wire_s3_guard(s->config,
		                        fsp_health_find(s->health,
		                                        FSP_PART_OBJECTS),
		                        out);
	return err;
}

/* What is missing may be made, where is_new() says so. */
static bool may_make(const struct fsp_store *s, const struct fsp_wire_options *o)
{
	return o->may_create && !s->read_only;
}

/*
 * *create: what is missing is made; in: certainly. A directory of objects is
 * looked at before it is opened, which may make it, a bucket after, or not at
 * all where a database tells whether there is a store.
 */
static int open_objects(struct fsp_store *s, const struct fsp_wire_options *o,
                        bool *create, char **error)
{
	bool s3 = has_adapter(s->config, "s3");
	bool look = !*create && may_make(s, o) &&
		!(s3 && has_mysql(s->config));
	struct fsp_objstore *inner = NULL;
	int err;

	if (look && !s3)
		*create = is_new(s, error) > 0;
	err = s3 ? open_s3(s, o->ask_servers, &inner, error)
		: open_dir(s, *create, &inner, error);
	if (!err)
		err = fsp_objstore_count(inner, &s->objects);
	if (err) {
		fsp_obj_close(inner);
		return err;
	}
	if (look && s3) {
		err = is_new(s, error);
		*create = err > 0;
	}
	return err < 0 ? err : 0;
}

static uint32_t owner(const struct fsp_config *c, const char *key, uint32_t ours)
{
	int64_t set = fsp_config_int(c, "mount", key);

	return set < 0 ? ours : (uint32_t)set;
}

static int open_mysql(struct fsp_store *s, struct fsp_meta_options *o,
                      char **error)
{
	struct fsp_maria_options m, used;
	int err = fsp_wire_mysql_options(s->config, &m, error);

	if (err)
		return err;
	o->busy_timeout_ns = m.timeout_ns;
	o->connections = m.connections;
	used = m;
	if (!s->read_hosts)
		used.read_hosts = NULL;
	err = fsp_meta_maria_open(&used, o, &s->meta, error);
	fsp_maria_options_free(&m);
	return err;
}

int fsp_wire_open_meta(struct fsp_store *s, bool create, char **error)
{
	const struct fsp_config *c = s->config;
	struct fsp_meta_options o = {
		.file_mode = (uint32_t)fsp_config_int(c, "mount", "file_mode"),
		.dir_mode = (uint32_t)fsp_config_int(c, "mount", "dir_mode"),
		.uid = owner(c, "uid", getuid()),
		.gid = owner(c, "gid", getgid()),
		.rename_max_rows = (uint64_t)fsp_config_int(
			c, "mount", "rename_max_rows"),
		.busy_timeout_ns = fsp_config_ns(c, "sqlite", "busy_timeout"),
		.connections = CONNECTIONS,
		.thin_versions = fsp_config_int(c, "mount", "thin_versions"),
		.thin_ns = fsp_config_ns(c, "mount", "thin_interval"),
		.read_only = s->read_only,
		.create = create,
	};

	if (has_mysql(c))
		return open_mysql(s, &o, error);
	return fsp_meta_sqlite_open(fsp_config_str(c, "sqlite", "path"), &o,
	                            &s->meta, error);
}

/* Tables are made in a database that has none if the bucket is empty, too. */
static int open_meta(struct fsp_store *s, const struct fsp_wire_options *o,
                     bool create, char **error)
{
	int err = fsp_wire_open_meta(s, create, error);
	FSP_FREE char *none = NULL, *why = NULL;

	if (err != -ENODATA || !may_make(s, o))
		return err;
	none = fsp_steal(*error);
	err = is_new(s, &why);
	if (err > 0)
		return fsp_wire_open_meta(s, true, error);
	*error = why ? fsp_strf("%s; %s", none, why) : fsp_steal(none);
	return err ? err : -ENODATA;
}

/* A mount's calls fail at once while the server is down. */
static int guard_meta(struct fsp_store *s)
{
	const struct fsp_breaker_options o = {
		.name = FSP_PART_DATABASE,
		.down_after = (int)fsp_config_int(s->config, "general",
		                                  "down_after"),
		.health = fsp_health_find(s->health, FSP_PART_DATABASE),
	};

	return has_mysql(s->config) ? fsp_meta_breaker(s->meta, &o, &s->meta) :
		0;
}

/* A mount's names need not be rows at once, and others' may not be yet. */
static int hold_names(struct fsp_store *s, bool is_mount)
{
	bool holds = is_mount &&
		fsp_config_bool(s->config, "mount", "delegate");

	return s->read_only ? 0 : fsp_meta_deleg(s->meta, holds, &s->meta);
}

static void set_compression(struct fsp_store *s)
{
	const struct fsp_config *c = s->config;
	const char *how = fsp_config_str(c, "general", "compression");
	int64_t workers = fsp_config_int(c, "general", "workers");

	s->level = (int)fsp_config_int(c, "bzip2", "level");
	s->sampling = strcmp(how, "auto") == 0;
	if (strcmp(how, "none") == 0) {
		s->format = fsp_format_stored(s->format);
	} else if (strcmp(how, "zstd") == 0) {
		s->format = fsp_format_zstd(s->format);
		s->level = (int)fsp_config_int(c, "zstd", "level");
	}
	if (workers)
		fsp_pool_set_workers((unsigned)workers);
}

static void set_codec(struct fsp_store *s)
{
	const struct fsp_config *c = s->config;
	bool none = strcmp(fsp_config_str(c, "encryption", "method"), "none") == 0;
	bool per_object = strcmp(fsp_config_str(c, "encryption", "iv_mode"),
	                         "object") == 0;

	s->keys.set = fsp_config_bytes(c, "encryption", "key", s->keys.key) == 0 &&
		fsp_config_bytes(c, "encryption", "iv", s->keys.iv) == 0;
	s->format = none ? FSP_FMT_PLAIN
		: per_object ? FSP_FMT_IV : FSP_FMT_LEGACY;
	set_compression(s);
	s->sha1_names = strcmp(fsp_config_str(c, "general", "hash"), "sha1") == 0;
}

/* Eight bytes of a digest: enough to tell keys apart, no help to guess one. */
static int key_check(const struct fsp_keys *k, char out[17])
{
	static const char label[] = "filespacefs key check";
	struct fsp_digest *d;
	struct fsp_digests sums;
	int err = fsp_digest_new(&d);

	if (err)
		return err;
	err = fsp_digest_update(d, label, sizeof(label));
	if (!err)
		err = fsp_digest_update(d, k->key, sizeof(k->key));
	if (!err)
		err = fsp_digest_update(d, k->iv, sizeof(k->iv));
	if (!err)
		err = fsp_digest_get(d, &sums);
	fsp_digest_free(d);
	if (!err)
		memcpy(out, sums.sha256, 16);
	out[16] = '\0';
	return err;
}

/*
 * A wrong key would store what nobody can read with the right one. The first
 * writer leaves the check value; a store of PHP's has none. Reading does no harm.
 */
static int check_key(struct fsp_store *s, char **error)
{
	FSP_BUF struct fsp_buf known = FSP_BUF_INIT;
	struct fsp_ctx ctx = fsp_ctx_background();
	char ours[17];
	int err;

	if (!s->keys.set)
		return 0;
	err = key_check(&s->keys, ours);
	if (!err)
		err = fsp_meta_info_get(s->meta, &ctx, "key", &known);
	if (err == -ENOENT)
		return s->read_only ? 0
			: fsp_meta_info_set(s->meta, &ctx, "key", ours);
	if (err || strcmp(known.data, ours) == 0)
		return err;
	if (s->read_only) {
		fsp_warn("the key is not the one that this store was written "
		         "with: files are listed and cannot be read");
	} else {
		*error = fsp_strf("%s: encryption.key and encryption.iv are not "
		                  "those that this store was written with",
		                  fsp_config_file(s->config) ?
		                  fsp_config_file(s->config) : "settings");
		err = -EACCES;
	}
	return err;
}

/* What is lost with a part is told to users by user.filespace.health. */
static int open_health(struct fsp_store *s)
{
	static const char *const parts[][2] = {
		{ FSP_PART_DATABASE, "only what is cached can be found and "
		                     "read, and nothing can be written" },
		{ FSP_PART_OBJECTS, "reads of cached files work, others do "
		                    "not, and writes fail at close" },
		{ FSP_PART_SPOOL, "nothing can be written" },
		{ FSP_PART_CONTENT, "these files cannot be read until their "
		                    "objects come back" },
	};
	int err = fsp_health_new(&s->health);

	for (size_t i = 0; !err && i < sizeof(parts) / sizeof(*parts); i++) {
		struct fsp_health_part *p;

		err = fsp_health_add(s->health, parts[i][0], parts[i][1], &p);
	}
	return err ? err : fsp_store_watch(s);
}

/* made_dir false: the directory was there and empty, and is so again. */
static void undo_made(const char *dir, bool made_dir)
{
	int err = made_dir ? fsp_rm_tree(dir) : fsp_empty_dir(dir);

	if (err)
		fsp_warn("%s: a half-made store stays: %s", dir, strerror(-err));
}

static void undo_open(struct fsp_store *s)
{
	FSP_FREE char *dir = fsp_steal(s->made_in);
	bool made_dir = s->made_dir;

	fsp_store_close(s);
	if (dir)
		undo_made(dir, made_dir);
}

static int one_mount(void *arg, const struct fsp_mountinfo *i)
{
	(void)arg;
	(void)i;
	return 1;
}

/* Somebody else may have mounted it by now. */
static bool is_unused(struct fsp_store *s)
{
	struct fsp_ctx ctx = fsp_ctx_background();
	struct fsp_counts c;

	if (fsp_meta_counts(s->meta, &ctx, true, &c) ||
	    fsp_meta_mount_each(s->meta, &ctx, one_mount, NULL))
		return false;
	return c.files + c.dirs + c.others + c.versions + c.pending == 0 &&
	       absent_or_empty(fsp_config_str(s->config, "file", "path"));
}

void fsp_wire_abandon(struct fsp_store *s)
{
	if (s->made_in && is_unused(s))
		undo_open(s);
	else
		fsp_store_close(s);
}

int fsp_wire_open(const struct fsp_wire_options *o, struct fsp_store **out,
                  char **error)
{
	struct fsp_store *s = fsp_store_new();
	bool create;
	int err;

	if (!s)
		return -ENOMEM;
	err = load(o, s, error);
	if (!err)
		err = open_health(s);
	if (!err)
		err = fsp_config_check(s->config, error);
	if (!err) {
		s->read_only = o->read_only ||
			fsp_config_bool(s->config, "mount", "read_only");
		s->read_hosts = o->read_hosts;
		create = s->made_in != NULL;
		set_codec(s);
		err = fsp_store_remember(s, fsp_config_ns(s->config, "general",
		                                          "seen_time"));
		if (!err)
			err = open_objects(s, o, &create, error);
		if (!err)
			err = open_meta(s, o, create, error);
		if (!err && o->ask_servers)
			err = guard_meta(s);
		if (!err)
			err = hold_names(s, o->ask_servers);
		if (!err)
			err = check_key(s, error);
	}
	if (err)
		undo_open(s);
	else
		*out = s;
	return err;
}

static bool has_config(const char *dir)
{
	FSP_FREE char *conf = fsp_strf("%s/filespacefs.conf", dir);

	return conf && access(conf, F_OK) == 0;
}

int fsp_wire_init(const char *dir, const char *const *options, int n,
                  char **error)
{
	struct fsp_wire_options o = { .source = dir, .may_create = true,
		                      .ask_servers = true };
	bool made_dir = access(dir, F_OK) != 0;
	struct fsp_store *s;
	int err;

	if (!absent_or_empty(dir)) {
		*error = fsp_strf(has_config(dir) ? "%s: there is a store already"
		                                  : "%s: is not empty", dir);
		return -EEXIST;
	}
	err = fsp_config_create_store(dir, options, n, error);
	if (err)
		return err;
	err = fsp_wire_open(&o, &s, error);
	if (err)
		undo_made(dir, made_dir);
	else
		fsp_store_close(s);
	return err;
}

int fsp_wire_config_schema(const struct fsp_config *c, struct fsp_schema *s)
{
	struct fsp_maria_options m;
	int err;

	if (!has_mysql(c))
		return fsp_meta_sqlite_schema(
			fsp_config_str(c, "sqlite", "path"), s);
	err = fsp_wire_mysql_options(c, &m, &s->error);
	if (err)
		return err;
	err = fsp_meta_maria_schema(&m, s);
	fsp_maria_options_free(&m);
	return err;
}

int fsp_wire_schema(const struct fsp_wire_options *o, struct fsp_schema *s)
{
	struct fsp_config *c;
	int err = fsp_wire_config(o, &c, &s->error);

	if (err)
		return err;
	err = fsp_config_check(c, &s->error);
	if (!err)
		err = fsp_wire_config_schema(c, s);
	fsp_config_free(c);
	return err;
}
