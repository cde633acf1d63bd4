/* The administrator's commands, over rows that a fake answers. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fsp_admin.h"
#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_config.h"
#include "fsp_file.h"
#include "fsp_spool.h"
#include "fsp_store.h"
#include "fsp_version.h"

#include "../../src/admin/history.h"
#include "../../src/admin/text.h"

#define SEC 1000000LL
#define T2015 1431080000LL              /* 2015-05-08T10:13:20Z */
#define UID 4000000001u                 /* nobody has these */
#define GID 4000000002u
#define MAX 16

/* --- the fake rows ------------------------------------------------------ */

struct fake_name {
	char path[64];
	struct fsp_entry e;
};

static struct fake {
	struct fsp_meta meta;
	struct fsp_version versions[MAX];
	size_t n_versions;
	struct fake_name now[MAX], past[MAX];   /* what is, what was */
	size_t n_now, n_past;
	struct fsp_object objects[MAX];
	size_t n_objects;
	int commits, creates, adds, removes;
	struct fsp_commit commit;
	char commit_path[64], commit_owner[64], add_id[64], remove_id[64];
	struct fsp_object commit_object;
	char created[MAX][64];
	struct fsp_new new[MAX];
	struct fsp_mountinfo mounts[MAX];
	size_t n_mounts;
	int fail_commit, fail_create, fail_history;
} fake;

static void full_path(char out[64], const char *dir, const char *name)
{
	assert_true(snprintf(out, 64, "%s%s%s", dir, *dir ? "/" : "", name) < 64);
}

static int find_name(const struct fake_name *names, size_t n, const char *dir,
                     const char *name, struct fsp_entry *out)
{
	char path[64];

	full_path(path, dir, name);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(names[i].path, path) == 0) {
			*out = names[i].e;
			return 0;
		}
	}
	return -ENOENT;
}

static int fake_lookup(struct fsp_meta *m, const struct fsp_ctx *ctx,
                       const char *dir, const char *name, bool known,
                       struct fsp_entry *out)
{
	(void)m;
	(void)ctx;
	(void)known;
	return find_name(fake.now, fake.n_now, dir, name, out);
}

static int fake_lookup_at(struct fsp_meta *m, const struct fsp_ctx *ctx,
                          const char *dir, const char *name, int64_t at_us,
                          struct fsp_entry *out)
{
	(void)m;
	(void)ctx;
	(void)at_us;
	return find_name(fake.past, fake.n_past, dir, name, out);
}

static int fake_create(struct fsp_meta *m, const struct fsp_ctx *ctx,
                       const struct fsp_place *at, const struct fsp_new *what,
                       struct fsp_entry *out)
{
	struct fake_name *n = &fake.now[fake.n_now];

	(void)m;
	(void)ctx;
	if (fake.fail_create)
		return fake.fail_create;
	full_path(fake.created[fake.creates], at->dir, at->name);
	fake.new[fake.creates++] = *what;
	full_path(n->path, at->dir, at->name);
	n->e = (struct fsp_entry){ .attr = { .ino = 100 + fake.n_now,
	                                     .mode = what->mode } };
	*out = n->e;
	fake.n_now++;
	return 0;
}

static int fake_commit(struct fsp_meta *m, const struct fsp_ctx *ctx,
                       const struct fsp_commit *c, struct fsp_entry *out)
{
	(void)m;
	(void)ctx;
	if (fake.fail_commit)
		return fake.fail_commit;
	fake.commits++;
	fake.commit = *c;
	fake.commit_object = *c->object;
	strcpy(fake.commit_path, c->ref.path);
	strcpy(fake.commit_owner, c->owner);
	memset(out, 0, sizeof(*out));
	return 0;
}

static int fake_history(struct fsp_meta *m, const struct fsp_ctx *ctx,
                        const char *path, fsp_meta_version each, void *arg)
{
	int err = 0;

	(void)m;
	(void)ctx;
	(void)path;
	if (fake.fail_history)
		return fake.fail_history;
	for (size_t i = 0; !err && i < fake.n_versions; i++)
		err = each(arg, &fake.versions[i]);
	return fake.n_versions ? err : -ENOENT;
}

static int fake_object_get(struct fsp_meta *m, const struct fsp_ctx *ctx,
                           const char *key, struct fsp_object *out)
{
	(void)m;
	(void)ctx;
	for (size_t i = 0; i < fake.n_objects; i++) {
		if (strcmp(fake.objects[i].key, key) == 0) {
			*out = fake.objects[i];
			return 0;
		}
	}
	return -ENOENT;
}

static int fake_object_find(struct fsp_meta *m, const struct fsp_ctx *ctx,
                            const char *sha256, const char *sha1, uint64_t size,
                            struct fsp_object *out)
{
	(void)m;
	(void)ctx;
	(void)sha256;
	(void)sha1;
	(void)size;
	(void)out;
	return -ENOENT;
}

static int fake_object_put(struct fsp_meta *m, const struct fsp_ctx *ctx,
                           const struct fsp_object *o)
{
	(void)m;
	(void)ctx;
	fake.objects[fake.n_objects++] = *o;
	return 0;
}

static int fake_object_rows(struct fsp_meta *m, const struct fsp_ctx *ctx,
                            const char *key,
                            int (*each)(void *arg, int64_t row,
                                        const char *path), void *arg)
{
	(void)m;
	(void)ctx;
	(void)key;
	return each(arg, 12, "a/t/r/f.pdf");
}

static int fake_object_each(struct fsp_meta *m, const struct fsp_ctx *ctx,
                            int (*each)(void *arg, const char *key,
                                        uint64_t size), void *arg)
{
	int err = 0;

	(void)m;
	(void)ctx;
	for (size_t i = 0; !err && i < fake.n_versions; i++)
		err = each(arg, fake.versions[i].hash,
		           fake.versions[i].attr.size);
	return err;
}

static int fake_counts(struct fsp_meta *m, const struct fsp_ctx *ctx,
                       bool implied, struct fsp_counts *out)
{
	(void)m;
	(void)ctx;
	assert_true(implied);
	*out = (struct fsp_counts){
		.files = 2, .dirs = 3, .others = 1, .versions = 4, .pending = 1,
		.logical = 3000, .versions_bytes = 10000, .objects = 3,
		.objects_bytes = 4000, .stored_bytes = 5000
	};
	return 0;
}

static int fake_accounts(struct fsp_meta *m, const struct fsp_ctx *ctx,
                         int (*each)(void *arg, const struct fsp_account *a),
                         void *arg)
{
	struct fsp_account acme = { "acme", 2, 4, 3000, 10000, 3, 4000, 1000 };
	struct fsp_account root = { .name = "" };

	(void)m;
	(void)ctx;
	return each(arg, &root) || each(arg, &acme) ? -ENOMEM : 0;
}

static int fake_mount_add(struct fsp_meta *m, const struct fsp_ctx *ctx,
                          const struct fsp_mountinfo *i)
{
	(void)m;
	(void)ctx;
	fake.adds++;
	strcpy(fake.add_id, i->id);
	return 0;
}

static int fake_mount_remove(struct fsp_meta *m, const struct fsp_ctx *ctx,
                             const char *id)
{
	(void)m;
	(void)ctx;
	fake.removes++;
	strcpy(fake.remove_id, id);
	return 0;
}

static int fake_mount_each(struct fsp_meta *m, const struct fsp_ctx *ctx,
                           int (*each)(void *arg,
                                       const struct fsp_mountinfo *i),
                           void *arg)
{
	int err = 0;

	(void)m;
	(void)ctx;
	for (size_t i = 0; !err && i < fake.n_mounts; i++)
		err = each(arg, &fake.mounts[i]);
	return err;
}

static void fake_close(struct fsp_meta *m)
{
	(void)m;
}

static const struct fsp_meta_ops fake_ops = {
	.lookup = fake_lookup,
	.lookup_at = fake_lookup_at,
	.create = fake_create,
	.commit = fake_commit,
	.history = fake_history,
	.object_get = fake_object_get,
	.object_find = fake_object_find,
	.object_put = fake_object_put,
	.object_each = fake_object_each,
	.object_rows = fake_object_rows,
	.counts = fake_counts,
	.accounts = fake_accounts,
	.mount_add = fake_mount_add,
	.mount_remove = fake_mount_remove,
	.mount_each = fake_mount_each,
	.close = fake_close,
};

/* --- a store around them ------------------------------------------------ */

static struct env {
	char dir[64];
	struct fsp_store store;
	struct fsp_admin admin;
	char *out, *err;
	size_t out_len, err_len;
} env;

static const char *out(void)
{
	fflush(env.admin.out);
	return env.out;
}

static const char *err(void)
{
	fflush(env.admin.err);
	return env.err;
}

static int setup(void **state)
{
	char spool[128], *error = NULL;
	const char *options[] = { spool };

	(void)state;
	memset(&fake, 0, sizeof(fake));
	memset(&env, 0, sizeof(env));
	fake.meta.ops = &fake_ops;
	strcpy(env.dir, "/tmp/fsp-test-admin-XXXXXX");
	assert_non_null(mkdtemp(env.dir));
	snprintf(spool, sizeof(spool), "spool.path=%s/spool", env.dir);
	assert_int_equal(fsp_config_load(NULL, options, 1, &env.store.config,
	                                 &error), 0);
	assert_int_equal(fsp_objstore_dir_open(env.dir, 1, 0,
	                                       &env.store.objects), 0);
	env.store.meta = &fake.meta;
	env.store.format = FSP_FMT_PLAIN;
	env.store.level = 9;
	env.admin.store = &env.store;
	env.admin.ctx = fsp_ctx_background();
	env.admin.out = open_memstream(&env.out, &env.out_len);
	env.admin.err = open_memstream(&env.err, &env.err_len);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fclose(env.admin.out);
	fclose(env.admin.err);
	free(env.out);
	free(env.err);
	fsp_obj_close(env.store.objects);
	fsp_config_free(env.store.config);
	return fsp_rm_tree(env.dir);
}

static struct fsp_version *add_version(int64_t row, int64_t stored,
                                       int64_t closed, const char *path)
{
	struct fsp_version *v = &fake.versions[fake.n_versions++];

	*v = (struct fsp_version){
		.row = row, .stored_us = stored * SEC, .closed_us = closed * SEC,
		.path = path,
		.attr = { .mode = S_IFREG | 0640, .uid = UID, .gid = GID,
		          .size = 10 * (uint64_t)row,
		          .mtime_ns = stored * 1000000000LL + 5 },
	};
	snprintf(v->hash, sizeof(v->hash), "%064lld", (long long)row);
	return v;
}

static void add_name(struct fake_name *names, size_t *n, const char *path,
                     uint32_t mode, int64_t row)
{
	struct fake_name *f = &names[(*n)++];

	strcpy(f->path, path);
	f->e = (struct fsp_entry){ .attr = { .ino = 20 + *n, .mode = mode,
	                                     .uid = 7, .gid = 8 },
	                           .content = { .row = row } };
}

/* An object of ten bytes on the disk, recorded with that many. */
static void add_object(const struct fsp_version *v, uint64_t stored)
{
	struct fsp_object *o = &fake.objects[fake.n_objects++];
	struct fsp_objwriter *w;

	strcpy(o->key, v->hash);
	o->size = v->attr.size;
	o->stored = stored;
	assert_int_equal(fsp_obj_put_begin(env.store.objects, &env.admin.ctx,
	                                   v->hash, &w), 0);
	assert_int_equal(fsp_obj_put_write(w, "0123456789", 10), 0);
	assert_int_equal(fsp_obj_put_commit(w), 0);
}

/* a/t/r/f.pdf: two versions there, the second live. */
static void two_versions(void)
{
	add_object(add_version(11, T2015, T2015 + 60, "a/t/r/f.pdf"), 10);
	add_object(add_version(12, T2015 + 60, 0, "a/t/r/f.pdf"), 10);
	add_name(fake.now, &fake.n_now, "a/t/r/f.pdf", S_IFREG | 0600, 12);
	add_name(fake.past, &fake.n_past, "a/t/r/f.pdf", S_IFREG | 0640, 11);
	strcpy(fake.past[0].e.content.hash, fake.versions[0].hash);
}

/* The same, deleted with its directories; a and a/t are left. */
static void deleted_file(void)
{
	add_object(add_version(11, T2015, T2015 + 60, "a/t/r/f.pdf"), 10);
	add_name(fake.now, &fake.n_now, "a", S_IFDIR | 0755, 0);
	add_name(fake.now, &fake.n_now, "a/t", S_IFDIR | 0755, 0);
	add_name(fake.past, &fake.n_past, "a/t/r", S_IFDIR | 02750, 0);
}

/* --- arguments ---------------------------------------------------------- */

static void test_clean_path(void **state)
{
	static const char *const cases[][2] = {
		{ "a/b", "a/b" }, { "/a//b/", "a/b" }, { "./a/./b/.", "a/b" },
		{ "", "" }, { "/", "" }, { "...", "..." }, { "a/..b", "a/..b" },
	};
	char *path;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(fsp_admin_clean_path(cases[i][0], &path), 0);
		assert_string_equal(path, cases[i][1]);
		free(path);
	}
	assert_int_equal(fsp_admin_clean_path("a/../b", &path), -EINVAL);
	assert_int_equal(fsp_admin_clean_path("..", &path), -EINVAL);
}

static void test_split_version(void **state)
{
	static const char *const cases[][3] = {
		{ "a/f@12", "a/f", "12" },
		{ "a/f@x@12", "a/f@x", "12" },
		{ "a/f", "a/f", NULL },
		{ "a/f@", "a/f@", NULL },
		{ "a/f@home", "a/f@home", NULL },
		{ "a@12/f", "a@12/f", NULL },
		{ "a/f@0", "a/f@0", NULL },
		{ "@12", "", "12" },
		{ "f@2015-05-08", "f", "2015-05-08" },
		{ "f@2015-05-08T10:13:20Z", "f", "2015-05-08T10:13:20Z" },
		{ "f@20150508T101320Z-0000000012.pdf", "f",
		  "20150508T101320Z-0000000012.pdf" },
		{ "f@@GMT-2015.05.08-10.13.20", "f", "@GMT-2015.05.08-10.13.20" },
		{ "f@GMT-2015.05.08-10.13.20", "f", "GMT-2015.05.08-10.13.20" },
		{ "f@@12", "f@", "12" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *path, *version;

		assert_int_equal(fsp_admin_split_version(cases[i][0], &path,
		                                         &version), 0);
		assert_string_equal(path, cases[i][1]);
		if (cases[i][2])
			assert_string_equal(version, cases[i][2]);
		else
			assert_null(version);
		free(path);
		free(version);
	}
}

static void test_target(void **state)
{
	static const char *const cases[][3] = {
		{ "/a/b/", "a/b", NULL },
		{ "a/.versions/f", "a/f", NULL },
		{ ".versions/f/20150508T101320Z-0000000012.pdf", "f",
		  "20150508T101320Z-0000000012.pdf" },
		{ "a/.versions/@2015-05-08/sub/f", "a/sub/f", "2015-05-08" },
		{ "a/.versions/@home", "a/@home", NULL },
		{ "a/.versionsx/f", "a/.versionsx/f", NULL },
	};
	static const char *const bad[] = {
		"a/.versions", "a/.versions/@2015-05-08", "a/../b",
	};
	struct fsp_admin_target t;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(fsp_admin_target_parse(cases[i][0],
		                                        ".versions", &t), 0);
		assert_string_equal(t.path, cases[i][1]);
		if (cases[i][2])
			assert_string_equal(t.version, cases[i][2]);
		else
			assert_null(t.version);
		fsp_admin_target_free(&t);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(fsp_admin_target_parse(bad[i], ".versions", &t),
		                 -EINVAL);
		assert_null(t.path);
		assert_null(t.version);
	}
}

static void test_version_spec(void **state)
{
	struct fsp_version_spec s;

	(void)state;
	assert_int_equal(fsp_version_spec_parse("12", &s), 0);
	assert_int_equal(s.row, 12);
	assert_false(s.has_time);
	assert_int_equal(fsp_version_spec_parse("1431080000", &s), 0);
	assert_int_equal(s.row, 1431080000);
	assert_true(s.has_time);
	assert_int_equal(s.at_us, T2015 * SEC);
	assert_int_equal(fsp_version_spec_parse(
		"20150508T101320Z-0000000012.pdf", &s), 0);
	assert_int_equal(s.row, 12);
	assert_false(s.has_time);
	assert_int_equal(fsp_version_spec_parse("2015-05-08T10:13:20Z", &s), 0);
	assert_int_equal(s.row, 0);
	assert_int_equal(s.at_us, T2015 * SEC);
	assert_int_equal(fsp_version_spec_parse("", &s), -EINVAL);
	assert_int_equal(fsp_version_spec_parse("0", &s), -EINVAL);
	assert_int_equal(fsp_version_spec_parse("-3", &s), -EINVAL);
	assert_int_equal(fsp_version_spec_parse("12x", &s), -EINVAL);
	assert_int_equal(fsp_version_spec_parse("99999999999999999999", &s),
	                 -EINVAL);
	assert_int_equal(fsp_version_spec_parse(
		"20150508T101320Z-99999999999999999999", &s), -EINVAL);
}

static void test_times(void **state)
{
	static const char *const same[] = {
		"2015-05-08T10:13:20Z", "2015-05-08T10:13:20",
		"2015-05-08 10:13:20", "@2015-05-08T10:13:20Z",
		"2015-05-08T12:13:20+02:00", "2015-05-08T12:13:20+0200",
		"2015-05-08T12:13:20+02", "2015-05-07T23:43:20-10:30",
		"2015-05-08T12:13:20.0+02:00", "20150508T101320Z",
		"20150508T121320+0200", "20150508T051320-05:00",
		"2015-05-08T10:13:20,0Z", "20150508T101320,000",
		"@GMT-2015.05.08-10.13.20", "1431080000", "1431080000.0",
	};
	static const char *const wrong[] = {
		"", "@", "2015-05-08T10:13:20+", "2015-05-08T10:13:20+2",
		"2015-05-08T10:13:20+24:00", "2015-05-08T10:13:20+02:60",
		"2015-05-08T10:13:20+02:0", "2015-05-08T10:13:20+02:00Z",
		"2015-05-08T10:13:20Z+02:00", "2015-05-08+02:00",
		"2015-05-08T10:13:20 CEST", "@GMT-2015.05.08-10.13.20+02:00",
		"2015-05-08T10:13:20,", "2015-05-08T",
		"2015-02-30", "2015-05-08T25:00", "yesterday", "1431080000+02",
	};
	int64_t us;

	(void)state;
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		if (fsp_time_parse(same[i], &us))
			fail_msg("not understood: %s", same[i]);
		assert_int_equal(us, T2015 * SEC);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (!fsp_time_parse(wrong[i], &us))
			fail_msg("understood: %s", wrong[i]);
	assert_int_equal(fsp_time_parse("2015-05-08T12:13+02:00", &us), 0);
	assert_int_equal(us, (T2015 - 20) * SEC);
	assert_int_equal(fsp_time_parse("2015-05-08T10Z", &us), 0);
	assert_int_equal(us, (T2015 - 20 - 13 * 60) * SEC);
	assert_int_equal(fsp_time_parse("20150508T12+0200", &us), 0);
	assert_int_equal(us, (T2015 - 20 - 13 * 60) * SEC);
}

static void test_mount_options(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ "rw,noauto,nofail,_netdev,user=joe,users,defaults", "" },
		{ "ro,x-systemd.automount,X-y,comment=z,nosuid", "ro,nosuid," },
		{ "cache.size=1G,rwx,", "cache.size=1G,rwx," },
		{ "a.b=x\\,rw,rw", "a.b=x\\,rw," },
		{ ",,ro", "ro," },
		{ "remounting", "remounting," },
	};
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fsp_buf_reset(&b);
		assert_int_equal(fsp_mount_options(cases[i][0], &b), 0);
		assert_string_equal(b.len ? b.data : "", cases[i][1]);
	}
	assert_int_equal(fsp_mount_options("ro,remount", &b), -EOPNOTSUPP);
}

/* --- the command line --------------------------------------------------- */

static int parse(const char *line, struct fsp_cli *c)
{
	static char words[256];
	char *argv[16], *save, *word;
	int argc = 0;

	snprintf(words, sizeof(words), "filespacectl %s", line);
	for (word = strtok_r(words, " ", &save); word;
	     word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	argv[argc] = NULL;
	return fsp_cli_parse(argc, argv, c, env.admin.err);
}

static void test_cli_accepts(void **state)
{
	struct fsp_cli c;

	(void)state;
	assert_int_equal(parse("-s /x --json stats", &c), 0);
	assert_int_equal(c.command, FSP_CLI_STATS);
	assert_string_equal(c.source, "/x");
	assert_true(c.json);
	assert_int_equal(parse("restore a@1 --to b -c f -o x.y=1 -o x.z=2", &c),
	                 0);
	assert_int_equal(c.command, FSP_CLI_RESTORE);
	assert_string_equal(c.arg, "a@1");
	assert_string_equal(c.to, "b");
	assert_true(c.source_is_file);
	assert_int_equal(c.n_settings, 2);
	assert_string_equal(c.settings[1], "x.z=2");
	assert_int_equal(parse("versions -- -odd", &c), 0);
	assert_string_equal(c.arg, "-odd");
	assert_int_equal(parse("restore --help", &c), 0);
	assert_true(c.help && c.has_command);
	assert_int_equal(parse("-h", &c), 0);
	assert_true(c.help && !c.has_command);
	assert_int_equal(parse("--version", &c), 0);
	assert_int_equal(c.command, FSP_CLI_VERSION);
	assert_int_equal(parse("cat-object -f abc", &c), 0);
	assert_true(c.force);
	assert_int_equal(parse("config --sample", &c), 0);
	assert_true(c.sample);
	assert_string_equal(err(), "");
}

static void test_cli_order_is_free(void **state)
{
	struct fsp_cli c;

	(void)state;
	setenv("POSIXLY_CORRECT", "1", 1);
	assert_int_equal(parse("versions a --json", &c), 0);
	unsetenv("POSIXLY_CORRECT");
	assert_true(c.json);
	assert_string_equal(c.arg, "a");
}

static void test_cli_refuses(void **state)
{
	static const struct {
		const char *line;
		int rc;
	} cases[] = {
		{ "", 2 }, { "frobnicate", 2 }, { "versions", 2 },
		{ "restore", 2 }, { "cat-object", 2 }, { "schema", 2 },
		{ "versions a b", 2 }, { "version x", 2 }, { "--bogus", 2 },
		{ "stats --bogus", 2 }, { "-x stats", 2 }, { "stats -s", 2 },
		{ "-s a -c b stats", 2 }, { "-s a -s b stats", 2 },
		{ "stats --to x", 2 }, { "versions a --at 2015-05-08", 2 }, { "restore a@1 --json", 2 },
		{ "config --json --sample", 2 }, { "-s a stats b", 2 },
		{ "check --bogus", 16 }, { "check a b", 16 },
		{ "-s a check b", 16 },
	};
	struct fsp_cli c;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t before = strlen(err());

		assert_int_equal(parse(cases[i].line, &c), cases[i].rc);
		assert_ptr_equal(strstr(err() + before, "filespacectl: "),
		                 err() + before);
	}
}

static void test_cli_usage(void **state)
{
	struct fsp_cli c;

	(void)state;
	assert_int_equal(parse("help", &c), 0);
	c.has_command = false;
	fsp_cli_usage(&c, env.admin.out);
	assert_non_null(strstr(out(), "cat-object"));
	assert_int_equal(fsp_cli_find("restore", &c.command), 0);
	c.has_command = true;
	fsp_cli_usage(&c, env.admin.out);
	assert_non_null(strstr(out(), "PATH --at TIME} [--to PATH2]"));
	assert_int_equal(fsp_cli_find("rest", &c.command), -EINVAL);
}

/* --- text --------------------------------------------------------------- */

static void same_text(char *got, const char *wanted)
{
	assert_string_equal(got, wanted);
	free(got);
}

static void test_text(void **state)
{
	(void)state;
	same_text(fsp_text_visible("a\n\x1b[1m\\\xc3\xa9"),
	          "a\\x0a\\x1b[1m\\\\\xc3\xa9");
	same_text(fsp_text_owner(UID, GID), "4000000001:4000000002");
	same_text(fsp_text_owner(0, 0), "root:root");
	same_text(fsp_text_percent(1, 4), "25 %");
	same_text(fsp_text_percent(0, 0), "-");
	same_text(fsp_text_percent(-5, 10), "-50 %");
}

static void test_table(void **state)
{
	static const char *const heads[] = { "N", "NAME", "LAST" };
	FSP_TABLE struct fsp_table t = { 0 };

	(void)state;
	fsp_table_init(&t, heads, 3, 1);
	fsp_table_text(&t, "1");
	fsp_table_text(&t, "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9");
	fsp_table_text(&t, "x");
	fsp_table_text(&t, "100");
	fsp_table_text(&t, "b");
	fsp_table_text(&t, "yyyyyy");
	assert_int_equal(fsp_table_print(&t, env.admin.out, " "), 0);
	assert_string_equal(out(),
		"   N  NAME   LAST\n"
		"   1  \xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9  x\n"
		" 100  b      yyyyyy\n");
	fsp_table_cell(&t, NULL);
	assert_int_equal(fsp_table_print(&t, env.admin.out, ""), -ENOMEM);
}

static void test_json(void **state)
{
	struct fsp_json j;

	(void)state;
	fsp_json_start(&j, env.admin.out);
	fsp_json_str(&j, "s", "a\"b");
	fsp_json_str(&j, "none", NULL);
	fsp_json_list(&j, "empty");
	fsp_json_end_list(&j);
	fsp_json_list(&j, "l");
	fsp_json_object(&j, NULL);
	fsp_json_int(&j, "i", -1);
	fsp_json_uint(&j, "u", UINT64_MAX);
	fsp_json_end_object(&j);
	fsp_json_bool(&j, NULL, true);
	fsp_json_end_list(&j);
	fsp_json_time(&j, "t", T2015 * SEC + 7);
	fsp_json_time(&j, "before", -1);
	fsp_json_time(&j, "never", 0);
	assert_int_equal(fsp_json_finish(&j), 0);
	assert_string_equal(out(),
		"{\n  \"s\": \"a\\\"b\",\n  \"none\": null,\n"
		"  \"empty\": [],\n  \"l\": [\n    {\n      \"i\": -1,\n"
		"      \"u\": 18446744073709551615\n    },\n    true\n  ],\n"
		"  \"t\": \"2015-05-08T10:13:20.000007Z\",\n"
		"  \"before\": \"1969-12-31T23:59:59.999999Z\",\n"
		"  \"never\": null\n}\n");
}

static void test_errors(void **state)
{
	(void)state;
	assert_non_null(strstr(fsp_admin_explain(-EHOSTDOWN), "try again"));
	assert_string_equal(fsp_admin_explain(-EDOM), strerror(EDOM));
	assert_int_equal(fsp_admin_fail(&env.admin, 0, "a%db\n", 1), 1);
	assert_int_equal(fsp_admin_fail(&env.admin, -EPIPE, "c"), 1);
	assert_string_equal(err(), "filespacectl: a1b\\x0a\n"
	                    "filespacectl: c: the reader of the output has gone\n");
}

/* --- versions ----------------------------------------------------------- */

static void test_history_at(void **state)
{
	struct fsp_version v[] = {
		{ .row = 1, .stored_us = 100, .closed_us = 500, .path = "p" },
		{ .row = 2, .stored_us = 200, .closed_us = 300, .path = "old" },
		{ .row = 3, .stored_us = 600, .closed_us = 0, .path = "p" },
	};
	struct fsp_history h = { .v = v, .count = 3 };

	(void)state;
	assert_null(fsp_history_at(&h, "p", 99));
	assert_int_equal(fsp_history_at(&h, "p", 100)->row, 1);
	assert_int_equal(fsp_history_at(&h, "p", 250)->row, 1);
	assert_int_equal(fsp_history_at(&h, "old", 250)->row, 2);
	assert_int_equal(fsp_history_at(&h, "p", 499)->row, 1);
	assert_null(fsp_history_at(&h, "p", 500));
	assert_int_equal(fsp_history_at(&h, "p", 600)->row, 3);
	assert_string_equal(fsp_history_state(&h, 0), "superseded");
	assert_string_equal(fsp_history_state(&h, 2), "live");
	h.count = 2;
	assert_string_equal(fsp_history_state(&h, 1), "deleted");
	assert_null(fsp_history_row(&h, 3));
}

static void test_versions_table(void **state)
{
	(void)state;
	add_version(9, T2015, T2015 + 60, "a/old\n.txt");
	add_version(12, T2015 + 60, 0, "a/f.pdf");
	assert_int_equal(fsp_admin_versions(&env.admin, "a/f.pdf"), 0);
	assert_string_equal(out(),
		"ID  STORED                SIZE  MODE  OWNER                  "
		"STATE       HASH          NAME\n"
		" 9  2015-05-08T10:13:20Z    90  0640  4000000001:4000000002  "
		"superseded  000000000000  "
		"20150508T101320Z-0000000009.pdf (as a/old\\x0a.txt)\n"
		"12  2015-05-08T10:14:20Z   120  0640  4000000001:4000000002  "
		"live        000000000000  20150508T101420Z-0000000012.pdf\n");
}

static void test_versions_json(void **state)
{
	(void)state;
	add_version(12, T2015, 0, "a/f.pdf");
	env.admin.json = true;
	assert_int_equal(fsp_admin_versions(&env.admin, "a/f.pdf"), 0);
	assert_non_null(strstr(out(), "\"id\": 12,"));
	assert_non_null(strstr(out(), "\"closed\": null,"));
	assert_non_null(strstr(out(),
		"\"name\": \"20150508T101320Z-0000000012.pdf\""));
	assert_non_null(strstr(out(), "\"mode\": \"0640\""));
}

static void test_versions_of_none(void **state)
{
	(void)state;
	add_name(fake.now, &fake.n_now, "d", S_IFDIR | 0755, 0);
	add_name(fake.now, &fake.n_now, "new", S_IFREG | 0644, 0);
	assert_int_equal(fsp_admin_versions(&env.admin, "nothing"), 1);
	assert_non_null(strstr(err(), "nothing: there never was such a file"));
	assert_int_equal(fsp_admin_versions(&env.admin, "d"), 1);
	assert_non_null(strstr(err(), "d is a directory"));
	assert_int_equal(fsp_admin_versions(&env.admin, "new"), 1);
	assert_non_null(strstr(err(), "has no version yet"));
	assert_int_equal(fsp_admin_versions(&env.admin, ""), 1);
	fake.fail_history = -EHOSTDOWN;
	assert_int_equal(fsp_admin_versions(&env.admin, "f"), 1);
	assert_non_null(strstr(err(), "does not answer"));
	assert_string_equal(out(), "");
}

/* --- restore ------------------------------------------------------------ */

static void test_restore(void **state)
{
	(void)state;
	two_versions();
	assert_int_equal(fsp_admin_restore(&env.admin, "a/t/r/f.pdf", "11",
	                                   NULL), 0);
	assert_int_equal(fake.commits, 1);
	assert_int_equal(fake.creates, 0);
	assert_int_equal(fake.adds, 0);
	assert_string_equal(fake.commit_path, "a/t/r/f.pdf");
	assert_int_equal(fake.commit.ref.ino, fake.now[0].e.attr.ino);
	assert_int_equal(fake.commit.base_row, 12);
	assert_string_equal(fake.commit_object.key, fake.versions[0].hash);
	assert_int_equal(fake.commit_object.stored, 10);
	assert_int_equal(fake.commit.mask, FSP_SET_MODE | FSP_SET_UID |
	                 FSP_SET_GID | FSP_SET_MTIME);
	assert_int_equal(fake.commit.attr.mode, S_IFREG | 0640);
	assert_int_equal(fake.commit.attr.uid, UID);
	assert_int_equal(fake.commit.attr.mtime_ns, T2015 * 1000000000LL + 5);
	assert_string_equal(out(), "a/t/r/f.pdf now holds the version of "
	                    "2015-05-08T10:13:20Z (11)\n");
}

static void test_restore_live(void **state)
{
	(void)state;
	two_versions();
	assert_int_equal(fsp_admin_restore(&env.admin, "a/t/r/f.pdf", "12",
	                                   NULL), 0);
	assert_int_equal(fake.commits, 0);
	assert_non_null(strstr(out(), "nothing to do"));
}

static void test_restore_by_time(void **state)
{
	(void)state;
	two_versions();
	assert_int_equal(fsp_admin_restore(&env.admin, "a/t/r/f.pdf",
	                                   "2015-05-08T10:13:30Z", NULL), 0);
	assert_string_equal(fake.commit_object.key, fake.versions[0].hash);
	assert_non_null(strstr(out(), "version of 2015-05-08T10:13:20Z"));
}

/* Under another name at that time: only the history knows it. */
static void test_restore_by_time_elsewhere(void **state)
{
	(void)state;
	two_versions();
	fake.n_past = 0;
	fake.versions[0].path = "a/t/r/old.pdf";
	assert_int_equal(fsp_admin_restore(&env.admin, "a/t/r/f.pdf",
	                                   "2015-05-08T10:13:30Z", NULL), 0);
	assert_string_equal(fake.commit_object.key, fake.versions[0].hash);
	assert_int_equal(fsp_admin_restore(&env.admin, "a/t/r/f.pdf",
	                                   "2014-01-01", NULL), 1);
	assert_non_null(strstr(err(), "has no version 2014-01-01"));
	assert_int_equal(fake.commits, 1);
}

static void test_restore_deleted(void **state)
{
	(void)state;
	deleted_file();
	assert_int_equal(fsp_admin_restore(&env.admin, "a/t/r/f.pdf", "11",
	                                   NULL), 0);
	assert_int_equal(fake.creates, 2);
	assert_string_equal(fake.created[0], "a/t/r");
	assert_int_equal(fake.new[0].mode, S_IFDIR | 02750);
	assert_int_equal(fake.new[0].uid, 7);
	assert_string_equal(fake.created[1], "a/t/r/f.pdf");
	assert_int_equal(fake.new[1].mode, S_IFREG | 0640);
	assert_int_equal(fake.new[1].uid, UID);
	assert_int_equal(fake.commits, 1);
	assert_int_equal(fake.commit.base_row, 0);
	assert_string_equal(fake.commit_owner, fake.add_id);
	assert_int_equal(fake.adds, 1);
	assert_int_equal(fake.removes, 1);
	assert_string_equal(fake.remove_id, fake.add_id);
}

static void test_restore_failing(void **state)
{
	(void)state;
	deleted_file();
	fake.fail_commit = -ENOSPC;
	assert_int_equal(fsp_admin_restore(&env.admin, "a/t/r/f.pdf", "11",
	                                   NULL), 1);
	assert_int_equal(fake.removes, 1);
	assert_non_null(strstr(err(), "no space left"));
	assert_string_equal(out(), "");
	fake.fail_commit = 0;
	fake.n_now = 2;
	fake.fail_create = -EROFS;
	assert_int_equal(fsp_admin_restore(&env.admin, "a/t/r/f.pdf", "11",
	                                   NULL), 1);
	assert_int_equal(fake.commits, 0);
	assert_int_equal(fake.adds, fake.removes);
}

static void test_restore_object_bad(void **state)
{
	struct fsp_version *v;

	(void)state;
	two_versions();
	fake.objects[0].stored = 11;            /* cut short on the disk */
	assert_int_equal(fsp_admin_restore(&env.admin, "a/t/r/f.pdf", "11",
	                                   NULL), 1);
	assert_non_null(strstr(err(), "damaged"));
	v = add_version(13, T2015, 0, "a/t/r/f.pdf");
	assert_int_equal(fsp_admin_restore(&env.admin, "a/t/r/f.pdf", "13",
	                                   NULL), 1);
	assert_non_null(strstr(err(), v->hash));
	assert_int_equal(fake.commits, 0);
}

/* What PHP wrote and nobody has read yet goes by its key alone. */
static void test_restore_unrecorded(void **state)
{
	(void)state;
	two_versions();
	fake.n_objects = 0;
	assert_int_equal(fsp_admin_restore(&env.admin, "a/t/r/f.pdf", "11",
	                                   NULL), 0);
	assert_string_equal(fake.commit_object.key, fake.versions[0].hash);
	assert_int_equal(fake.commit_object.size, 110);
	assert_int_equal(fake.commit_object.stored, 0);
	assert_string_equal(fake.commit_object.sha256, "");
}

static void test_restore_to(void **state)
{
	(void)state;
	two_versions();
	add_name(fake.now, &fake.n_now, "d", S_IFDIR | 0755, 0);
	add_name(fake.now, &fake.n_now, "fifo", S_IFIFO | 0644, 0);
	add_name(fake.now, &fake.n_now, "d/f.pdf", S_IFREG | 0644, 99);
	assert_int_equal(fsp_admin_restore(&env.admin, "a/t/r/f.pdf", "12",
	                                   "x.pdf"), 0);
	assert_string_equal(fake.commit_path, "x.pdf");
	assert_int_equal(fake.creates, 1);
	assert_int_equal(fsp_admin_restore(&env.admin, "a/t/r/f.pdf", "11",
	                                   "d"), 0);
	assert_string_equal(fake.commit_path, "d/f.pdf");
	assert_int_equal(fake.commit.base_row, 99);
	assert_int_equal(fsp_admin_restore(&env.admin, "a/t/r/f.pdf", "11", ""),
	                 0);
	assert_string_equal(fake.commit_path, "f.pdf");
	assert_int_equal(fsp_admin_restore(&env.admin, "a/t/r/f.pdf", "11",
	                                   "fifo"), 1);
	assert_int_equal(fake.commits, 3);
	assert_int_equal(fake.creates, 2);
}

static void test_restore_refuses(void **state)
{
	(void)state;
	two_versions();
	assert_int_equal(fsp_admin_restore(&env.admin, "a/t/r/f.pdf", "99",
	                                   NULL), 1);
	assert_non_null(strstr(err(), "has no version 99"));
	assert_int_equal(fsp_admin_restore(&env.admin, "a/t/r/f.pdf", "soon",
	                                   NULL), 1);
	assert_non_null(strstr(err(), "'soon' is no version"));
	fake.n_versions = 0;
	assert_int_equal(fsp_admin_restore(&env.admin, "a/t/r/f.pdf", "11",
	                                   NULL), 1);
	assert_non_null(strstr(err(), "never was"));
	assert_int_equal(fake.commits, 0);
}

/* --- cat-object --------------------------------------------------------- */

static ssize_t read_text(void *arg, void *buf, size_t len, uint64_t off)
{
	const char *text = arg;
	size_t left = strlen(text) - (size_t)off;

	len = len < left ? len : left;
	memcpy(buf, text + off, len);
	return (ssize_t)len;
}

static int scratch_file(char path[128])
{
	int fd;

	snprintf(path, 128, "%s/out", env.dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	return fd;
}

static void test_cat_object(void **state)
{
	char text[] = "hello, object", path[128], object[256], got[64] = "";
	FSP_BUF struct fsp_buf index = FSP_BUF_INIT;
	struct fsp_put put = { .source = read_text, .arg = text,
	                       .size = strlen(text) };
	struct fsp_object o;
	bool reused;
	int fd;

	(void)state;
	assert_int_equal(fsp_store_put(&env.store, &env.admin.ctx, &put, &o,
	                               &index, &reused), 0);
	assert_int_equal(index.len, 0);
	fake.objects[fake.n_objects++] = o;
	fd = scratch_file(path);
	assert_int_equal(fsp_admin_cat_object(&env.admin, o.key, fd, false), 0);
	assert_int_equal(pread(fd, got, sizeof(got), 0), strlen(text));
	assert_string_equal(got, text);
	/* Damaged: not one byte comes out. */
	snprintf(object, sizeof(object), "%s/%s", env.dir, o.key);
	assert_int_equal(truncate(object, (off_t)o.stored - 3), 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(fsp_admin_cat_object(&env.admin, o.key, fd, false), 1);
	assert_int_equal(lseek(fd, 0, SEEK_END), 0);
	assert_non_null(strstr(err(), "nothing was written"));
	close(fd);
}

static void test_cat_object_refuses(void **state)
{
	char unknown[65], path[128];
	int fd = scratch_file(path);

	(void)state;
	assert_int_equal(fsp_admin_cat_object(&env.admin, "abc", fd, false), 2);
	assert_int_equal(fsp_admin_cat_object(&env.admin, "../../etc/passwd",
	                                      fd, false), 2);
	memset(unknown, 'a', 64);
	unknown[64] = '\0';
	assert_int_equal(fsp_admin_cat_object(&env.admin, unknown, fd, false),
	                 1);
	assert_non_null(strstr(err(), "no row names object"));
	close(fd);
	fd = posix_openpt(O_RDWR | O_NOCTTY);
	assert_true(fd >= 0 && isatty(fd));
	assert_int_equal(fsp_admin_cat_object(&env.admin, unknown, fd, false),
	                 1);
	assert_non_null(strstr(err(), "terminal"));
	close(fd);
}

/* --- stats, status, config, check --------------------------------------- */

static void test_stats(void **state)
{
	(void)state;
	assert_int_equal(fsp_admin_stats(&env.admin), 0);
	assert_non_null(strstr(out(), "acme"));
	assert_non_null(strstr(out(), "(total)"));
	assert_non_null(strstr(out(), "60 %"));
	assert_non_null(strstr(out(), "75 %"));
	assert_non_null(strstr(out(), "-25 %"));
}

static void test_stats_json(void **state)
{
	(void)state;
	env.admin.json = true;
	assert_int_equal(fsp_admin_stats(&env.admin), 0);
	assert_non_null(strstr(out(), "\"saved_by_dedup\": 6000,"));
	assert_non_null(strstr(out(), "\"saved_by_compression\": -1000,"));
	assert_non_null(strstr(out(), "\"saved_by_compression\": 3000\n"));
	assert_non_null(strstr(out(), "\"account\": \"\","));
}

static void write_text(const char *dir, const char *name, const char *text)
{
	FSP_FREE char *path = fsp_strf("%s/%s", dir, name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void test_status(void **state)
{
	FSP_FREE char *spool = fsp_strf("%s/spool", env.dir);
	FSP_FREE char *kept = fsp_strf("%s/spool/kept", env.dir);
	struct fsp_spool *alive;
	char host[256] = "";

	(void)state;
	gethostname(host, sizeof(host) - 1);
	fake.mounts[0] = (struct fsp_mountinfo){ "aa", host, "/mnt/a", 11,
	                                         T2015 * SEC, false, "", 0 };
	fake.mounts[1] = (struct fsp_mountinfo){ "bb", host, "/mnt/b", 12,
	                                         T2015 * SEC, true, "", 0 };
	fake.mounts[2] = (struct fsp_mountinfo){ "cc", "no.such.host", "/mnt/c",
	                                         13, T2015 * SEC, false, "", 0 };
	fake.n_mounts = 3;
	assert_int_equal(fsp_spool_open(spool, "aa", &alive), 0);
	assert_int_equal(fsp_mkdirs(kept, 0700), 0);
	write_text(kept, "20150508T101320Z-0.data", "content");
	write_text(kept, "20150508T101320Z-0.info",
	           "path=a/t/r/f\nino=5\nsize=7\nbase_row=1\n"
	           "at_us=1431080000000000\nerror=28\nextents=0-7\n");
	assert_int_equal(fsp_admin_status(&env.admin), 0);
	assert_non_null(strstr(out(), "Mounts     3\n"));
	assert_non_null(strstr(out(), "  rw      alive\n"));
	assert_non_null(strstr(out(), "  ro      dead\n"));
	assert_non_null(strstr(out(), "  rw      other host\n"));
	assert_non_null(strstr(out(), "Pending    1 "));
	assert_non_null(strstr(out(), "No space left on device"));
	assert_non_null(strstr(out(), "kept/20150508T101320Z-0.data\n"));
	env.admin.json = true;
	assert_int_equal(fsp_admin_status(&env.admin), 0);
	assert_non_null(strstr(out(), "\"state\": \"alive\""));
	assert_non_null(strstr(out(), "\"path\": \"a/t/r/f\""));
	fsp_spool_close(alive);
}

static void test_status_empty(void **state)
{
	(void)state;
	assert_int_equal(fsp_admin_status(&env.admin), 0);
	assert_non_null(strstr(out(), "Mounts     none\n"));
	assert_non_null(strstr(out(), "Kept       nothing\n"));
}

static void test_config(void **state)
{
	(void)state;
	assert_int_equal(fsp_admin_config(&env.admin, env.store.config), 0);
	assert_non_null(strstr(out(), "spool.path"));
	env.admin.json = true;
	assert_int_equal(fsp_admin_config(&env.admin, env.store.config), 0);
	assert_non_null(strstr(out(), "\"key\": \"versions_dir\""));
}

static int check_clean(struct fsp_meta *m, const struct fsp_ctx *ctx,
                       void (*each)(void *arg, const char *what), void *arg)
{
	(void)m;
	(void)ctx;
	(void)each;
	(void)arg;
	return 0;
}

static int check_dirty(struct fsp_meta *m, const struct fsp_ctx *ctx,
                       void (*each)(void *arg, const char *what), void *arg)
{
	(void)m;
	(void)ctx;
	each(arg, "row 1 is odd");
	each(arg, "row 2, too");
	return 0;
}

static int check_broken(struct fsp_meta *m, const struct fsp_ctx *ctx,
                        void (*each)(void *arg, const char *what), void *arg)
{
	(void)m;
	(void)ctx;
	each(arg, "row 1 is odd");
	return -EIO;
}

static void test_check(void **state)
{
	(void)state;
	assert_int_equal(fsp_admin_check(&env.admin, check_clean), 0);
	assert_int_equal(fsp_admin_check(&env.admin, check_dirty), 4);
	assert_int_equal(fsp_admin_check(&env.admin, check_broken), 8);
	assert_string_equal(out(), "clean\nrow 1 is odd\nrow 2, too\n"
	                    "2 errors found\nrow 1 is odd\n");
	env.admin.json = true;
	assert_int_equal(fsp_admin_check(&env.admin, check_dirty), 4);
	assert_non_null(strstr(out(), "\"row 2, too\"\n  ],\n  \"errors\": 2,\n"
	                       "  \"complete\": true\n}"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_clean_path), T(test_split_version), T(test_target),
		T(test_version_spec), T(test_times), T(test_mount_options), T(test_cli_accepts),
		T(test_cli_order_is_free), T(test_cli_refuses),
		T(test_cli_usage), T(test_text), T(test_table), T(test_json),
		T(test_errors), T(test_history_at), T(test_versions_table),
		T(test_versions_json), T(test_versions_of_none),
		T(test_restore), T(test_restore_live), T(test_restore_by_time),
		T(test_restore_by_time_elsewhere), T(test_restore_deleted),
		T(test_restore_failing), T(test_restore_object_bad),
		T(test_restore_unrecorded), T(test_restore_to),
		T(test_restore_refuses), T(test_cat_object),
		T(test_cat_object_refuses), T(test_stats), T(test_stats_json),
		T(test_status), T(test_status_empty), T(test_config),
		T(test_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
