/* meta: versions, directories as they were, and counting. */
#include "meta_fixture.h"

/* A clock of the test's own: each moment is one millisecond after the last. */
static int64_t now_us;

static int64_t tick(void)
{
	now_us += 1000;
	return now_us * 1000;
}

static int setup_clock(void **state)
{
	now_us = 1700000000000000;
	fsp_clock_set(tick);
	return fx_setup(state);
}

static int add_version(void *arg, const struct fsp_version *v)
{
	struct fx_list *l = arg;
	char s[400];

	assert_true(S_ISREG(v->attr.mode));
	snprintf(s, sizeof(s), "%c%s@%s", v->hash[0], v->closed_us ? "" : "*",
	         v->path);
	l->v[l->n++] = strdup(s);
	return 0;
}

/* In the order given: hash, * for live, the path it was at. */
static const char *versions(struct fx *f, const char *path)
{
	struct fx_list l = { .n = 0 };
	static char out[4096];
	size_t len = 0;
	int err = f->m->ops->history(f->m, &f->ctx, path, add_version, &l);

	if (err)
		fail_msg("history %s: %d", path, err);
	out[0] = '\0';
	for (int i = 0; i < l.n; i++) {
		len += (size_t)snprintf(out + len, sizeof(out) - len, "%s%s",
		                        i ? " " : "", l.v[i]);
		free(l.v[i]);
	}
	return out;
}

static int add_past(void *arg, const char *name, enum fsp_past kind)
{
	struct fx_list *l = arg;
	char s[300];

	snprintf(s, sizeof(s), "%s%s", name, kind == FSP_PAST_DIR ? "/" : "");
	l->v[l->n++] = strdup(s);
	return 0;
}

static const char *past(struct fx *f, const char *dir)
{
	struct fx_list l = { .n = 0 };

	assert_int_equal(f->m->ops->past_names(f->m, &f->ctx, dir, add_past,
	                                       &l), 0);
	return fx_join(&l);
}

/* Where it was then is what ended() says afterwards. */
static char was[FSP_PATH_MAX];

static int ended(struct fx *f, const char *path, int64_t *at)
{
	char *path_then = NULL;
	int err = f->m->ops->dir_ended(f->m, &f->ctx, path, at, &path_then);

	assert_true(!err == (path_then != NULL));
	snprintf(was, sizeof(was), "%s", path_then ? path_then : "");
	free(path_then);
	return err;
}

static void test_history(void **state)
{
	struct fx *f = *state;
	struct fx_list l = { .n = 0 };

	fx_mkdirs(f, "a/t/r/d");
	fx_put(f, "a/t/r/f", '1', 1);
	fx_put(f, "a/t/r/f", '2', 2);
	fx_put(f, "a/t/r/f", '2', 2);
	fx_put(f, "a/t/r/f", '1', 1);
	assert_string_equal(versions(f, "a/t/r/f"),
	                    "1@a/t/r/f 2@a/t/r/f 1*@a/t/r/f");
	assert_int_equal(f->m->ops->history(f->m, &f->ctx, "a/t/r/x",
	                                    add_version, &l), -ENOENT);
	assert_int_equal(f->m->ops->history(f->m, &f->ctx, "a/t/r/d",
	                                    add_version, &l), -ENOENT);
	assert_int_equal(f->m->ops->history(f->m, &f->ctx, "", add_version,
	                                    &l), -ENOENT);
	/* deleted, and created again */
	assert_int_equal(fx_rm(f, "a/t/r/f", false), 0);
	assert_string_equal(versions(f, "a/t/r/f"),
	                    "1@a/t/r/f 2@a/t/r/f 1@a/t/r/f");
	fx_put(f, "a/t/r/f", '4', 4);
	assert_string_equal(versions(f, "a/t/r/f"),
	                    "1@a/t/r/f 2@a/t/r/f 1@a/t/r/f 4*@a/t/r/f");
}

static void test_history_renames(void **state)
{
	struct fx *f = *state;

	fx_mkdirs(f, "a/t/r/d");
	fx_mkdirs(f, "b/t");
	fx_put(f, "a/t/r/f", '1', 1);
	fx_put(f, "a/t/r/f", '2', 2);
	assert_int_equal(fx_mv(f, "a/t/r/f", "a/t/r/d/g", 0, NULL), 0);
	assert_string_equal(versions(f, "a/t/r/d/g"),
	                    "1@a/t/r/f 2*@a/t/r/d/g");
	assert_string_equal(versions(f, "a/t/r/f"), "1@a/t/r/f 2@a/t/r/f");
	fx_put(f, "a/t/r/d/g", '3', 3);
	assert_int_equal(fx_mv(f, "a/t/r", "b/t/q", 0, NULL), 0);
	assert_string_equal(versions(f, "b/t/q/d/g"),
	                    "1@a/t/r/f 2@a/t/r/d/g 3*@b/t/q/d/g");
	/* back to the first name: no version twice */
	assert_int_equal(fx_mv(f, "b/t/q", "a/t/r", 0, NULL), 0);
	assert_int_equal(fx_mv(f, "a/t/r/d/g", "a/t/r/f", 0, NULL), 0);
	assert_string_equal(versions(f, "a/t/r/f"),
	                    "1@a/t/r/f 2@a/t/r/d/g 3*@a/t/r/f");
	/* saving as editors do: a new file takes the name */
	fx_put(f, "a/t/r/.tmp", '4', 4);
	assert_int_equal(fx_mv(f, "a/t/r/.tmp", "a/t/r/f", 0, NULL), 0);
	assert_string_equal(versions(f, "a/t/r/f"),
	                    "1@a/t/r/f 2@a/t/r/d/g 3@a/t/r/f 4*@a/t/r/f");
	/* and what it replaced goes with it, to other names and to links */
	assert_int_equal(fx_ln(f, "a/t/r/f", "a/t/r/l"), 0);
	fx_put(f, "a/t/r/l", '5', 5);
	assert_string_equal(versions(f, "a/t/r/l"),
	                    "1@a/t/r/f 2@a/t/r/d/g 3@a/t/r/f 4@a/t/r/l"
	                    " 5*@a/t/r/l");
	assert_int_equal(fx_mv(f, "a/t/r/l", "a/t/r/m", 0, NULL), 0);
	assert_string_equal(versions(f, "a/t/r/m"),
	                    "1@a/t/r/f 2@a/t/r/d/g 3@a/t/r/f 4@a/t/r/l"
	                    " 5*@a/t/r/m");
	/* a predecessor that says nonsense ends the chain */
	fx_sql(f, "UPDATE filespace_file SET pred_id = id + 5 WHERE"
	       " deleted_at = 0");
	assert_string_equal(versions(f, "a/t/r/m"), "5*@a/t/r/m");
	fx_sql(f, "UPDATE filespace_file SET pred_id = NULL WHERE pred_id >"
	       " id");
}

static void test_history_exchange(void **state)
{
	struct fx *f = *state;

	fx_mkdirs(f, "a/t/r");
	fx_put(f, "a/t/r/f", '1', 1);
	fx_put(f, "a/t/r/g", '2', 2);
	assert_int_equal(fx_mv(f, "a/t/r/f", "a/t/r/g", FSP_RENAME_EXCHANGE,
	                       NULL), 0);
	assert_string_equal(versions(f, "a/t/r/f"), "1@a/t/r/f 2*@a/t/r/f");
	assert_string_equal(versions(f, "a/t/r/g"), "2@a/t/r/g 1*@a/t/r/g");
	/* neither has replaced the other */
	assert_int_equal(fx_mv(f, "a/t/r/g", "a/t/r/h", 0, NULL), 0);
	assert_string_equal(versions(f, "a/t/r/h"), "1*@a/t/r/h");
	assert_int_equal(fx_mv(f, "a/t/r/f", "a/t/r/i", 0, NULL), 0);
	assert_string_equal(versions(f, "a/t/r/i"), "2*@a/t/r/i");
	/* nor has what was removed before */
	fx_put(f, "a/t/r/h", '3', 3);
	assert_int_equal(fx_rm(f, "a/t/r/h", false), 0);
	assert_int_equal(fx_mv(f, "a/t/r/i", "a/t/r/h", 0, NULL), 0);
	assert_int_equal(fx_mv(f, "a/t/r/h", "a/t/r/k", 0, NULL), 0);
	assert_string_equal(versions(f, "a/t/r/k"), "2*@a/t/r/k");
}

static void test_as_of(void **state)
{
	struct fx *f = *state;
	struct fsp_entry e;
	int64_t t0, t1, t2, t3, t4;

	t0 = now_us;
	now_us += 2 * FSP_US_PER_SEC;   /* filespace rows know seconds */
	fx_mkdirs(f, "a/t/r/d");
	fx_put(f, "a/t/r/d/f", '1', 1);
	assert_int_equal(fx_new(f, "a/t/r/l", S_IFLNK | 0777, &e), 0);
	assert_int_equal(fx_new(f, "a/t/r/p", S_IFREG | 0600, &e), 0);
	t1 = now_us;
	fx_put(f, "a/t/r/d/f", '2', 2);
	fx_put(f, "a/t/r/d/g", '3', 3);
	assert_int_equal(fx_rm(f, "a/t/r/l", false), 0);
	t2 = now_us;
	assert_int_equal(fx_mv(f, "a/t/r/d", "a/t/r/e", 0, NULL), 0);
	t3 = now_us;
	assert_int_equal(fx_rm(f, "a/t/r/e/f", false), 0);
	assert_int_equal(fx_rm(f, "a/t/r/e/g", false), 0);
	assert_int_equal(fx_rm(f, "a/t/r/e", true), 0);
	t4 = now_us;

	assert_string_equal(fx_ls_at(f, "", t0), "");
	assert_string_equal(fx_ls_at(f, "", t1), "a/");
	assert_string_equal(fx_ls_at(f, "a/t/r", t1), "d/ l");
	assert_string_equal(fx_ls_at(f, "a/t/r/d", t1), "f");
	assert_string_equal(fx_ls_at(f, "a/t/r", t2), "d/");
	assert_string_equal(fx_ls_at(f, "a/t/r/d", t2), "f g");
	assert_string_equal(fx_ls_at(f, "a/t/r", t3), "e/");
	assert_string_equal(fx_ls_at(f, "a/t/r/e", t3), "f g");
	assert_string_equal(fx_ls_at(f, "a/t/r", t4), "");
	assert_int_equal(f->m->ops->list_at(f->m, &f->ctx, "a/t/r/e", t4,
	                                    fx_each, NULL), -ENOENT);
	assert_int_equal(f->m->ops->list_at(f->m, &f->ctx, "a/t/r/d/f", t1,
	                                    fx_each, NULL), -ENOTDIR);
	assert_int_equal(f->m->ops->lookup_at(f->m, &f->ctx, "a/t/r/d", "f",
	                                      t1, &e), 0);
	assert_int_equal(e.attr.size, 1);
	assert_int_equal(e.content.hash[0], '1');
	assert_int_equal(f->m->ops->lookup_at(f->m, &f->ctx, "a/t/r/d", "f",
	                                      t2, &e), 0);
	assert_int_equal(e.attr.size, 2);
	assert_int_equal(f->m->ops->lookup_at(f->m, &f->ctx, "a/t/r/d", "f",
	                                      t3, &e), -ENOENT);
	assert_int_equal(f->m->ops->lookup_at(f->m, &f->ctx, "a/t/r", "l", t1,
	                                      &e), 0);
	assert_true(S_ISLNK(e.attr.mode));
	assert_int_equal(f->m->ops->lookup_at(f->m, &f->ctx, "a/t/r", "e", t3,
	                                      &e), 0);
	assert_true(S_ISDIR(e.attr.mode));
	assert_int_equal(f->m->ops->lookup_at(f->m, &f->ctx, "a/t/r", "p", t2,
	                                      &e), -ENOENT);
}

static void test_past_names(void **state)
{
	struct fx *f = *state;
	int64_t at = 0;

	fx_mkdirs(f, "a/t/r/d/e");
	fx_mkdirs(f, "a/t/r/live");
	fx_put(f, "a/t/r/d/e/f", '1', 1);
	fx_put(f, "a/t/r/d/g", '2', 2);
	fx_put(f, "a/t/r/h", '3', 3);
	fx_put(f, "a/t/r/i", '3', 3);
	assert_string_equal(past(f, "a/t/r"), "h i");
	assert_string_equal(past(f, "a/t"), "");
	assert_int_equal(fx_rm(f, "a/t/r/i", false), 0);
	assert_string_equal(past(f, "a/t/r"), "h i");
	assert_int_equal(ended(f, "a/t/r/d", &at), -ENOENT);
	/* rm -r: shows what it removed first, too */
	assert_int_equal(fx_rm(f, "a/t/r/d/e/f", false), 0);
	assert_int_equal(fx_rm(f, "a/t/r/d/e", true), 0);
	assert_int_equal(fx_rm(f, "a/t/r/d/g", false), 0);
	assert_int_equal(fx_rm(f, "a/t/r/d", true), 0);
	assert_string_equal(past(f, "a/t/r"), "d/ h i");
	assert_string_equal(past(f, "a/t/r/d"), "e/ g");
	assert_int_equal(ended(f, "a/t/r/d", &at), 0);
	assert_string_equal(fx_ls_at(f, "a/t/r/d", at - 1), "e/ g");
	assert_int_equal(ended(f, "a/t/r/d/e", &at), 0);
	assert_string_equal(fx_ls_at(f, "a/t/r/d/e", at - 1), "f");
	assert_int_equal(ended(f, "a/x", &at), -ENOENT);
	assert_int_equal(ended(f, "", &at), -ENOENT);
	/* what was removed long before is not of that removal */
	fx_mkdirs(f, "a/t/r/d");
	fx_put(f, "a/t/r/d/old", '1', 1);
	fx_put(f, "a/t/r/d/new", '1', 1);
	assert_int_equal(fx_rm(f, "a/t/r/d/old", false), 0);
	now_us += 3600 * FSP_US_PER_SEC;
	assert_int_equal(fx_rm(f, "a/t/r/d/new", false), 0);
	assert_int_equal(fx_rm(f, "a/t/r/d", true), 0);
	assert_int_equal(ended(f, "a/t/r/d", &at), 0);
	assert_string_equal(fx_ls_at(f, "a/t/r/d", at - 1), "new");
	/* a whole record away, seen from its table, and a whole account */
	fx_put(f, "a/t/r/k", '1', 1);
	assert_int_equal(fx_mv(f, "a/t/r", "a/t/r2", 0, NULL), 0);
	assert_string_equal(past(f, "a/t"), "r/");
	assert_int_equal(ended(f, "a/t/r", &at), 0);
	assert_string_equal(fx_ls_at(f, "a/t/r", at - 1), "h k live/");
	assert_int_equal(fx_mv(f, "a", "b", 0, NULL), 0);
	assert_string_equal(past(f, ""), "a/");
	assert_int_equal(ended(f, "a", &at), 0);
	assert_string_equal(fx_ls_at(f, "a/t", at - 1), "r2/");
}

/* Every name with a past leads to versions, or to a directory as it was. */
static int check_past(void *arg, const char *name, enum fsp_past kind)
{
	struct fx *f = arg;
	char path[FSP_PATH_MAX + 300], dir[FSP_PATH_MAX], last[300];
	struct fx_list l = { .n = 0 };
	struct fsp_entry e;
	int64_t at = 0;

	snprintf(path, sizeof(path), "%s%s%s", was, *was ? "/" : "", name);
	if (kind == FSP_PAST_FILE) {
		assert_string_not_equal(versions(f, path), "");
		return 0;
	}
	snprintf(dir, sizeof(dir), "%s", was);
	if (ended(f, path, &at))
		fail_msg("%s has a past and no end", path);
	assert_int_equal(f->m->ops->list_at(f->m, &f->ctx, was, at - 1,
	                                    fx_each, &l), 0);
	fx_join(&l);
	fx_split(was, path, last);
	assert_int_equal(f->m->ops->lookup_at(f->m, &f->ctx, path, last,
	                                      at - 1, &e), 0);
	assert_true(S_ISDIR(e.attr.mode));
	snprintf(was, sizeof(was), "%s", dir);
	return 0;
}

/* The same as past(), and all of it can be reached. */
static const char *all_past(struct fx *f, const char *dir)
{
	snprintf(was, sizeof(was), "%s", dir);
	assert_int_equal(f->m->ops->past_names(f->m, &f->ctx, dir, check_past,
	                                       f), 0);
	return past(f, dir);
}

/* What a directory lost before it was renamed is found by its new name. */
static void test_renamed_dir(void **state)
{
	struct fx *f = *state;
	int64_t at = 0;

	fx_mkdirs(f, "a/t/r/d/s");
	fx_put(f, "a/t/r/d/gone", '1', 1);
	fx_put(f, "a/t/r/d/kept", '2', 2);
	fx_put(f, "a/t/r/d/s/deep", '3', 3);
	fx_mkdirs(f, "a/t/r/d/x/y");
	fx_put(f, "a/t/r/d/x/y/z", '4', 4);
	assert_int_equal(fx_rm(f, "a/t/r/d/gone", false), 0);
	assert_int_equal(fx_rm(f, "a/t/r/d/s/deep", false), 0);
	assert_int_equal(fx_rm(f, "a/t/r/d/x/y/z", false), 0);
	assert_int_equal(fx_rm(f, "a/t/r/d/x/y", true), 0);
	assert_int_equal(fx_rm(f, "a/t/r/d/x", true), 0);
	assert_int_equal(fx_mv(f, "a/t/r/d", "a/t/r/e", 0, NULL), 0);
	/* another one takes the old name: not of our past */
	fx_mkdirs(f, "a/t/r/d");
	fx_put(f, "a/t/r/d/stranger", '5', 5);
	fx_put(f, "a/t/r/d/gone", '6', 6);
	assert_string_equal(all_past(f, "a/t/r/e"), "gone kept x/");
	assert_string_equal(versions(f, "a/t/r/e/gone"), "1@a/t/r/d/gone");
	assert_string_equal(versions(f, "a/t/r/e/kept"), "2*@a/t/r/e/kept");
	assert_string_equal(all_past(f, "a/t/r/e/s"), "deep");
	assert_string_equal(versions(f, "a/t/r/e/s/deep"),
	                    "3@a/t/r/d/s/deep");
	assert_string_equal(versions(f, "a/t/r/e/x/y/z"),
	                    "4@a/t/r/d/x/y/z");
	assert_int_equal(ended(f, "a/t/r/e/x", &at), 0);
	assert_string_equal(was, "a/t/r/d/x");
	assert_string_equal(fx_ls_at(f, "a/t/r/d/x/y", at - 1), "z");
	/* written again under the new name: one history */
	fx_put(f, "a/t/r/e/gone", '7', 7);
	assert_string_equal(versions(f, "a/t/r/e/gone"),
	                    "1@a/t/r/d/gone 7*@a/t/r/e/gone");
	/* parents are renamed, too, and things go on between */
	assert_int_equal(fx_mv(f, "a/t/r", "a/t/q", 0, NULL), 0);
	assert_int_equal(fx_rm(f, "a/t/q/e/kept", false), 0);
	assert_int_equal(fx_mv(f, "a", "b", 0, NULL), 0);
	assert_string_equal(all_past(f, "b/t/q/e"), "gone kept x/");
	assert_string_equal(versions(f, "b/t/q/e/gone"),
	                    "1@a/t/r/d/gone 7*@b/t/q/e/gone");
	assert_string_equal(versions(f, "b/t/q/e/kept"), "2@a/t/q/e/kept");
	assert_string_equal(versions(f, "b/t/q/e/s/deep"),
	                    "3@a/t/r/d/s/deep");
	assert_string_equal(all_past(f, "b/t/q"), "");  /* both are there */
	/* back to the first name of all, beside what is there by now */
	assert_int_equal(fx_mv(f, "b/t/q/e", "b/t/q/d/e", 0, NULL), 0);
	assert_string_equal(versions(f, "b/t/q/d/e/gone"),
	                    "1@a/t/r/d/gone 7*@b/t/q/d/e/gone");
	assert_string_equal(versions(f, "b/t/q/d/stranger"),
	                    "5*@b/t/q/d/stranger");
}

/* So is what PHP deleted in a directory that no mount had touched yet. */
static void test_renamed_php_dir(void **state)
{
	struct fx *f = *state;
	struct fsp_ref ref = { .path = "a/t/r/e" };
	char *path = NULL;

	fx_sql(f, "INSERT INTO filespace_file (space_key, file_key, data_hash,"
	       " created_at, deleted_at, size_original, size_storage,"
	       " stored_at) VALUES"
	       " ('a.t.r', 'd/old', 'aa', 1000, 2000, 1, 1, NULL),"
	       " ('a.t.r', 'd/new', 'bb', 3000, 0, 2, 2, NULL)");
	assert_int_equal(fx_mv(f, "a/t/r/d", "a/t/r/e", 0, NULL), 0);
	assert_string_equal(all_past(f, "a/t/r/e"), "new old");
	assert_string_equal(versions(f, "a/t/r/e/old"), "a@a/t/r/d/old");
	ref.ino = fx_get(f, "a/t/r/e").attr.ino;
	assert_int_equal(f->m->ops->path_at(f->m, &f->ctx, &ref,
	                                    1500 * FSP_US_PER_SEC, &path), 0);
	assert_string_equal(path, "a/t/r/d");
	free(path);
}

/* Renamed to and fro very often: as many steps as it had names. */
static void test_renamed_often(void **state)
{
	struct fx *f = *state;
	char name[64];

	fx_mkdirs(f, "a/t/r/d0/s");
	for (int i = 0; i < 40; i++) {
		char from[32], to[32];

		snprintf(from, sizeof(from), "a/t/r/d%d", i % 7);
		snprintf(to, sizeof(to), "a/t/r/d%d", (i + 1) % 7);
		snprintf(name, sizeof(name), "%s/s/f%d", from, i);
		fx_put(f, name, '1', 1);
		assert_int_equal(fx_rm(f, name, false), 0);
		assert_int_equal(fx_mv(f, from, to, 0, NULL), 0);
	}
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "a/t/r/d5/s/f%d", i);
		assert_int_equal(versions(f, name)[0], '1');
	}
	past(f, "a/t/r/d5/s");
}

/* A directory that only PHP knew is shown whole, too. */
static void test_php_dir_ended(void **state)
{
	struct fx *f = *state;
	int64_t at = 0;

	fsp_clock_set(NULL);
	fx_mkdirs(f, "a/t/r");
	fx_php_upload(f, "a.t.r", "d/x/1", '1', 1, 1500000000);
	fx_php_upload(f, "a.t.r", "d/2", '1', 1, 1500000000);
	fx_php_upload(f, "a.t.r", "d/3", '1', 1, 1500000000);
	assert_int_equal(fx_rm(f, "a/t/r/d/3", false), 0);
	assert_int_equal(fx_rm(f, "a/t/r/d/2", false), 0);
	assert_int_equal(fx_rm(f, "a/t/r/d/x/1", false), 0);
	assert_int_equal(fx_rm(f, "a/t/r/d/x", true), 0);
	assert_int_equal(fx_rm(f, "a/t/r/d", true), 0);
	assert_int_equal(ended(f, "a/t/r/d", &at), 0);
	assert_string_equal(fx_ls_at(f, "a/t/r/d", at - 1), "2 3 x/");
	assert_string_equal(fx_ls_at(f, "a/t/r/d/x", at - 1), "1");
}

/* Rows that only PHP wrote: their times are those of the files. */
static void test_php_history(void **state)
{
	struct fx *f = *state;
	struct fsp_entry e;
	int64_t at;

	fx_sql(f, "INSERT INTO filespace_file (space_key, file_key, data_hash,"
	       " created_at, deleted_at, size_original, size_storage,"
	       " stored_at) VALUES"
	       " ('a.t.r', 'f', 'aa', 1000, 3000, 1, 1, NULL),"
	       " ('a.t.r', 'f', 'bb', 2000, 3000, 2, 2, NULL),"
	       " ('a.t.r', 'f', 'cc', 2500, 0, 3, 3, NULL),"
	       " ('a.t.r', 'd/gone', 'dd', 1500, 3000, 4, 4, NULL)");
	assert_string_equal(versions(f, "a/t/r/f"),
	                    "a@a/t/r/f b@a/t/r/f c*@a/t/r/f");
	assert_string_equal(versions(f, "a/t/r/d/gone"), "d@a/t/r/d/gone");
	assert_string_equal(past(f, "a/t/r"), "d/ f");
	assert_string_equal(fx_ls_at(f, "a/t/r", 1600 * FSP_US_PER_SEC),
	                    "d/ f");
	assert_string_equal(fx_ls_at(f, "a/t/r", 3600 * FSP_US_PER_SEC), "f");
	assert_int_equal(f->m->ops->lookup_at(f->m, &f->ctx, "a/t/r", "f",
	                                      2100 * FSP_US_PER_SEC, &e), 0);
	assert_int_equal(e.content.hash[0], 'b');
	assert_int_equal(ended(f, "a/t/r/d", &at), 0);
	assert_int_equal(at, 3000 * FSP_US_PER_SEC);
	/* adopted: nothing that was said changes */
	fx_commit(f, "a/t/r/f", '4', 4);
	assert_string_equal(versions(f, "a/t/r/f"), "a@a/t/r/f b@a/t/r/f"
	                    " c@a/t/r/f 4*@a/t/r/f");
	assert_int_equal(f->m->ops->lookup_at(f->m, &f->ctx, "a/t/r", "f",
	                                      2100 * FSP_US_PER_SEC, &e), 0);
	assert_int_equal(e.content.hash[0], 'b');
	/* a space that PHP deleted */
	fx_sql(f, "INSERT INTO filespace (space_key, name, created_at,"
	       " deleted_at) VALUES ('z.t.r', 'x', 1000, 2000)");
	assert_string_equal(past(f, ""), "z/");
	assert_int_equal(ended(f, "z/t/r", &at), 0);
	assert_int_equal(at, 2000 * FSP_US_PER_SEC);
}

/* PHP says seconds only: the end is where the next version began. */
static void test_php_overwrites(void **state)
{
	struct fx *f = *state;
	struct fsp_entry e;

	fsp_clock_set(NULL);
	fx_mkdirs(f, "a/t/r");
	fx_put(f, "a/t/r/f", '1', 1);
	/* SQLite stamps PHP's row in whole milliseconds: one of its own. */
	nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	fx_php_upload(f, "a.t.r", "f", '2', 2, 1500000000);
	fx_commit(f, "a/t/r/f", '3', 3);
	assert_string_equal(versions(f, "a/t/r/f"),
	                    "1@a/t/r/f 2@a/t/r/f 3*@a/t/r/f");
	for (int i = 1; i <= 3; i++) {
		char sql[128];
		int64_t since;

		snprintf(sql, sizeof(sql), "SELECT since_us FROM"
		         " filespace_file WHERE id = %d", i);
		since = fx_number(f, sql);
		assert_int_equal(f->m->ops->lookup_at(f->m, &f->ctx, "a/t/r",
		                                      "f", since, &e), 0);
		assert_int_equal(e.content.row, i);
	}
}

static int add_account(void *arg, const struct fsp_account *a)
{
	struct fx_list *l = arg;
	char s[300];

	snprintf(s, sizeof(s), "%s:%d/%d/%d/%d/%d/%d/%d", a->name,
	         (int)a->files, (int)a->versions, (int)a->logical,
	         (int)a->versions_bytes, (int)a->objects,
	         (int)a->objects_bytes, (int)a->stored_bytes);
	l->v[l->n++] = strdup(s);
	return 0;
}

static void test_counts(void **state)
{
	struct fx_list l = { .n = 0 };
	struct fx *f = *state;
	struct fsp_counts c;
	struct fsp_entry e;

	assert_int_equal(f->m->ops->counts(f->m, &f->ctx, true, &c), 0);
	assert_int_equal(c.files + c.dirs + c.versions + c.objects, 0);
	fx_mkdirs(f, "a.b/t/r");
	fx_mkdirs(f, "c/t/r");
	fx_put(f, "a.b/t/r/f", '1', 10);
	fx_put(f, "a.b/t/r/f", '2', 20);
	fx_put(f, "a.b/x", '1', 10);
	fx_put(f, "c/t/r/f", '2', 20);
	fx_put(f, "top", '3', 30);
	assert_int_equal(fx_new(f, "c/p", S_IFREG | 0600, &e), 0);
	assert_int_equal(fx_new(f, "c/l", S_IFLNK | 0777, &e), 0);
	fx_php_upload(f, "c-d.t.r", "sub/dir/f", '4', 40, 1500000000);
	fx_php_upload(f, "c-d.t.r", "sub/dir/g", '4', 40, 1500000000);
	fx_php_upload(f, "c", "php", '5', 50, 1500000000);
	assert_int_equal(f->m->ops->counts(f->m, &f->ctx, true, &c), 0);
	assert_int_equal(c.files, 7);
	assert_int_equal(c.dirs, 11);
	assert_int_equal(c.others, 1);
	assert_int_equal(c.pending, 1);
	assert_int_equal(c.versions, 8);
	assert_int_equal(c.logical, 20 + 10 + 20 + 30 + 40 + 40 + 50);
	assert_int_equal(c.versions_bytes, c.logical + 10);
	assert_int_equal(c.objects, 5);
	assert_int_equal(c.objects_bytes, 10 + 20 + 30 + 40 + 50);
	assert_int_equal(c.stored_bytes, 5 + 10 + 15 + 40 + 50);
	assert_int_equal(f->m->ops->accounts(f->m, &f->ctx, add_account, &l),
	                 0);
	assert_string_equal(fx_join(&l), ":1/1/30/30/1/30/15"
	                    " a.b:2/3/30/40/2/30/15"
	                    " c-d:2/2/80/80/1/40/40"
	                    " c:2/2/70/70/2/70/60");
}

/* What one broken row looks like to check(). */
static void ignore(void *arg, const char *what)
{
	(void)what;
	++*(int *)arg;
}

static void test_check_finds(void **state)
{
	static const char *const damage[][2] = {
		{ "UPDATE fsp_node SET nlink = 9 WHERE ino = (SELECT ino FROM"
		  " fsp_name WHERE name = 'f')",
		  "UPDATE fsp_node SET nlink = 1 WHERE nlink = 9" },
		{ "UPDATE fsp_name SET file_id = 1 WHERE name = 'g'",
		  "UPDATE fsp_name SET file_id = 2 WHERE name = 'g'" },
		{ "UPDATE filespace_file SET pred_id = 3 WHERE id = 3",
		  "UPDATE filespace_file SET pred_id = 1 WHERE id = 3" },
		{ "UPDATE filespace_file SET closed_us = 5 WHERE id = 1",
		  "UPDATE filespace_file SET closed_us = since_us + 1 WHERE"
		  " id = 1" },
		{ "UPDATE filespace_file SET deleted_at = 0 WHERE id = 1",
		  "UPDATE filespace_file SET deleted_at = 1700000000 WHERE"
		  " id = 1" },
		{ "UPDATE fsp_name SET name = '..' WHERE name = 'g'",
		  "UPDATE fsp_name SET name = 'g' WHERE name = '..'" },
		{ "UPDATE fsp_name SET name = 't2' WHERE name = 't'",
		  "UPDATE fsp_name SET name = 't' WHERE name = 't2'" },
		{ "UPDATE fsp_info SET value = 16 WHERE name = 'next_ino'",
		  "UPDATE fsp_info SET value = 272 WHERE name = 'next_ino'" },
		{ "UPDATE fsp_name SET owner = 'x' WHERE name = 'f'",
		  "UPDATE fsp_name SET owner = NULL WHERE owner = 'x'" },
		{ "UPDATE fsp_name SET live = 2 WHERE name = 't'",
		  "UPDATE fsp_name SET live = 1 WHERE name = 't'" },
		{ "UPDATE fsp_name SET ino = 999 WHERE name = 'r'",
		  "UPDATE fsp_name SET ino = (SELECT ino FROM fsp_node WHERE"
		  " nlink = 1 AND ino > 16 AND ino NOT IN (SELECT ino FROM"
		  " fsp_name)) WHERE name = 'r'" },
	};
	struct fx *f = *state;

	fx_mkdirs(f, "a/t/r");
	fx_put(f, "a/t/r/f", '1', 1);
	fx_put(f, "a/t/r/g", '2', 2);
	fx_put(f, "a/t/r/f", '3', 3);
	fx_check(f);
	for (size_t i = 0; i < sizeof(damage) / sizeof(*damage); i++) {
		int n = 0;

		fx_sql(f, "%s", damage[i][0]);
		assert_int_equal(fsp_meta_check(f->m, &f->ctx, ignore,
		                                       &n), 0);
		if (!n)
			fail_msg("not found: %s", damage[i][0]);
		fx_sql(f, "%s", damage[i][1]);
		fx_check(f);
	}
}

#define CLOCK_TEST(fn) \
	cmocka_unit_test_setup_teardown(fn, setup_clock, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLOCK_TEST(test_history), CLOCK_TEST(test_history_renames),
		CLOCK_TEST(test_history_exchange),
		CLOCK_TEST(test_as_of), CLOCK_TEST(test_past_names),
		CLOCK_TEST(test_renamed_dir), CLOCK_TEST(test_renamed_php_dir),
		CLOCK_TEST(test_renamed_often),
		CLOCK_TEST(test_php_dir_ended), CLOCK_TEST(test_php_history),
		CLOCK_TEST(test_php_overwrites),
		CLOCK_TEST(test_counts), CLOCK_TEST(test_check_finds),
	};

	return cmocka_run_group_tests_name("meta and the past", tests, NULL,
	                                   NULL);
}
