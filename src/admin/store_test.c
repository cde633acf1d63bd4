/*
 * store test: whether the servers of a store do what a mount will ask of them.
 * It writes test objects of its own and removes them; a failure is no reason
 * to stop, but where nothing can work without it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fsp_admin.h"
#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_config.h"
#include "fsp_store.h"
#include "text.h"

#define SMALL 4096
#define RANGE_AT 1000
#define RANGE_LEN 2000
#define DIRS_MAX 64

struct test {
	struct fsp_admin *a;
	struct fsp_json *json;          /* NULL: lines of text */
	int failed, warned;
	bool unseen;                    /* not whether GET is allowed */
	char key[64], large[64];
	unsigned char *data;            /* of the large object; the small one
	                                   is its beginning */
	uint64_t large_size;
};

static const char *word(enum fsp_step_result r)
{
	return r == FSP_STEP_OK ? "ok" : r == FSP_STEP_WARN ? "warn" : "FAIL";
}

static void print_step(FILE *out, const struct fsp_step *s)
{
	FSP_FREE char *found = s->found ? fsp_text_visible(s->found) : NULL;
	char took[32] = "";

	if (s->ns)
		(void)snprintf(took, sizeof(took), "%.1f ms",
		               (double)s->ns / 1e6);
	fprintf(out, "%-4s %s: %-*s %10s%s%s\n", word(s->result), s->part,
	        34 - (int)strlen(s->part), s->what, took, found ? "  " : "",
	        found ? found : "");
	if (s->result != FSP_STEP_OK && s->advice)
		fprintf(out, "     %s\n", s->advice);
}

static void json_step(struct fsp_json *j, const struct fsp_step *s)
{
	fsp_json_object(j, NULL);
	fsp_json_str(j, "part", s->part);
	fsp_json_str(j, "step", s->what);
	fsp_json_str(j, "result",
	             s->result == FSP_STEP_FAIL ? "fail" : word(s->result));
	fsp_json_int(j, "microseconds", s->ns / 1000);
	fsp_json_str(j, "found", s->found);
	fsp_json_str(j, "advice",
	             s->result == FSP_STEP_OK ? NULL : s->advice);
	fsp_json_end_object(j);
}

static void report(void *arg, const struct fsp_step *s)
{
	struct test *t = arg;

	t->failed += s->result == FSP_STEP_FAIL;
	t->warned += s->result == FSP_STEP_WARN;
	if (t->json)
		json_step(t->json, s);
	else
		print_step(t->a->out, s);
	/* A slow server's lines are seen as they come. */
	fflush(t->a->out);
}

/* A step on the objects: `right` names what has to be allowed. */
static int done(struct test *t, const char *what, const char *right,
                int64_t began, int err)
{
	FSP_FREE char *advice = NULL;
	struct fsp_step s = {
		.part = "objects", .what = what, .ns = fsp_mono_ns() - began,
		.result = err ? FSP_STEP_FAIL : FSP_STEP_OK,
		.found = err ? strerror(-err) : NULL
	};

	if (err == -EACCES)
		advice = fsp_strf("it is not allowed: give the user of the keys "
		                  "%s, or the owner of the directory the right",
		                  right);
	else if (err == -EBADMSG)
		advice = strdup("what came back is not what was stored: the "
		                "server, or something before it, changes it");
	s.advice = advice ? advice : err ? fsp_admin_explain(err) : NULL;
	report(t, &s);
	return err;
}

static int put(struct test *t, const char *key, uint64_t size)
{
	struct fsp_objstore *s = t->a->store->objects;
	struct fsp_objwriter *w;
	int err = fsp_obj_put_begin(s, &t->a->ctx, key, &w);

	for (uint64_t at = 0; !err && at < size; at += 65536) {
		uint64_t n = size - at < 65536 ? size - at : 65536;

		err = fsp_obj_put_write(w, t->data + at, n);
		if (err)
			fsp_obj_put_abort(w);
	}
	return err ? err : fsp_obj_put_commit(w);
}

/* Compares what comes with what has to come. */
struct compare {
	const unsigned char *want;
	uint64_t left;
};

static int compare(void *arg, const void *buf, size_t len)
{
	struct compare *c = arg;

	if (len > c->left || memcmp(c->want, buf, len) != 0)
		return -EBADMSG;
	c->want += len;
	c->left -= len;
	return 0;
}

static int get(struct test *t, const char *key, uint64_t size)
{
	struct compare c = { t->data, size };
	int err = fsp_obj_get(t->a->store->objects, &t->a->ctx, key, compare,
	                      &c);

	return err ? err : c.left ? -EBADMSG : 0;
}

static int get_range(struct test *t)
{
	struct compare c = { t->data + RANGE_AT, RANGE_LEN };
	int err = fsp_obj_get_range(t->a->store->objects, &t->a->ctx, t->key,
	                            RANGE_AT, RANGE_LEN, compare, &c);

	return err ? err : c.left ? -EBADMSG : 0;
}

static int head(struct test *t, const char *key, uint64_t want)
{
	uint64_t size = 0;
	int err = fsp_obj_head(t->a->store->objects, &t->a->ctx, key, &size);

	return err ? err : size == want ? 0 : -EBADMSG;
}

/* S3 says 403 for what is missing to whom may not list. */
static int missing(struct test *t)
{
	int err = head(t, t->key, 0);

	return err == -ENOENT ? 0 : err ? err : -EEXIST;
}

static int found_key(void *arg, const char *key, uint64_t size,
                     int64_t mtime_us)
{
	struct test *t = arg;

	(void)mtime_us;
	return strcmp(key, t->key) == 0 && size == SMALL ? 1 : 0;
}

static int list(struct test *t)
{
	int err = fsp_obj_list(t->a->store->objects, &t->a->ctx, t->key,
	                       found_key, t);

	return err == 1 ? 0 : err ? err : -EBADMSG;
}

static int del(struct test *t, const char *key)
{
	return fsp_obj_del(t->a->store->objects, &t->a->ctx, key);
}

#define STEP(t, what, right, call)                                             \
	({                                                                     \
		int64_t began_ = fsp_mono_ns();                                \
                                                                               \
		done(t, what, right, began_, call);                            \
	})

static void test_small(struct test *t)
{
	if (STEP(t, "put 4 KiB", "s3:PutObject", put(t, t->key, SMALL)))
		return;
	/* Each of them is told; none depends on another. */
	(void)STEP(t, "head", "s3:GetObject", head(t, t->key, SMALL));
	(void)STEP(t, "get 4 KiB", "s3:GetObject", get(t, t->key, SMALL));
	(void)STEP(t, "get a range of it", "s3:GetObject", get_range(t));
	(void)STEP(t, "list with a prefix", "s3:ListBucket", list(t));
	(void)STEP(t, "put over it", "s3:PutObject", put(t, t->key, SMALL));
}

static void test_large(struct test *t)
{
	if (STEP(t, "put 5 MiB (S3: in parts)",
	         "s3:PutObject and s3:AbortMultipartUpload",
	         put(t, t->large, t->large_size)))
		return;
	(void)STEP(t, "get 5 MiB", "s3:GetObject",
	           get(t, t->large, t->large_size));
}

/*
 * Who only reads may do without listing: what is missing is refused, then, and
 * only what is there can tell (test_named).
 */
static bool cannot_list(struct test *t, int64_t began, int err)
{
	struct fsp_step s = {
		.part = "objects", .what = "look for what is missing",
		.ns = fsp_mono_ns() - began, .result = FSP_STEP_OK,
		.found = "refused, as without s3:ListBucket"
	};

	if (!t->a->store->read_only || err != -EACCES ||
	    strcmp(fsp_config_str(t->a->store->config, "general", "adapter"),
	           "s3") != 0)
		return false;
	t->unseen = true;
	report(t, &s);
	return true;
}

/* Without a right to write there is only this to be seen. */
static bool test_reading(struct test *t)
{
	int64_t began = fsp_mono_ns();
	int err = missing(t);

	if (cannot_list(t, began, err))
		return true;
	return done(t, "look for what is missing",
	            "s3:GetObject and s3:ListBucket (without the latter S3 "
	            "refuses to say that something is missing)",
	            began, err) != -EHOSTDOWN;
}

static void test_objects(struct test *t)
{
	if (!test_reading(t) || t->a->store->read_only)
		return;
	test_small(t);
	test_large(t);
	/* Also what seemed to fail may be there. */
	(void)STEP(t, "delete", "s3:DeleteObject", del(t, t->key));
	(void)STEP(t, "delete the large one", "s3:DeleteObject",
	           del(t, t->large));
	(void)STEP(t, "it is gone", "s3:ListBucket", missing(t));
}

/* Some file with content, wherever it is. */
struct finder {
	const char *in;
	char *dirs[DIRS_MAX];   /* to be looked at yet, the last one first */
	int n;
	char hash[FSP_HASH_MAX + 1];
};

static int find_in(void *arg, const char *name, const struct fsp_entry *e)
{
	struct finder *f = arg;

	if (S_ISREG(e->attr.mode) && e->content.size) {
		strcpy(f->hash, e->content.hash);
		return 1;
	}
	if (S_ISDIR(e->attr.mode) && f->n < DIRS_MAX) {
		f->dirs[f->n] = fsp_strf("%s%s%s", f->in, *f->in ? "/" : "",
		                         name);
		if (!f->dirs[f->n])
			return -ENOMEM;
		f->n++;
	}
	return 0;
}

/* 1, or 0 where there is none within `tries` directories. */
static int find_file(struct test *t, struct finder *f, int tries)
{
	int err = fsp_meta_list(t->a->store->meta, &t->a->ctx, "", 0, find_in,
	                        f);

	while (!err && f->n && tries-- > 0) {
		FSP_FREE char *dir = f->dirs[--f->n];

		f->in = dir;
		err = fsp_meta_list(t->a->store->meta, &t->a->ctx, dir, 0,
		                    find_in, f);
	}
	while (f->n)
		free(f->dirs[--f->n]);
	return err;
}

static int any_byte(void *arg, const void *buf, size_t len)
{
	(void)buf;
	*(uint64_t *)arg += len;
	return 0;
}

static void warn_unseen(struct test *t)
{
	struct fsp_step s = {
		.part = "objects", .what = "get what a row names",
		.result = FSP_STEP_WARN, .found = "no file was found",
		.advice = "whether the keys may read objects (s3:GetObject) "
			  "is not known: try again when there are files"
	};

	if (t->unseen)
		report(t, &s);
}

/* Who only reads has made no objects: one that a row names, then. */
static void test_named(struct test *t)
{
	struct finder f = { .in = "" };
	int64_t began = fsp_mono_ns();
	uint64_t bytes = 0;
	int err;

	if (!t->a->store->read_only)
		return;
	if (!t->a->store->meta || find_file(t, &f, 4 * DIRS_MAX) != 1) {
		warn_unseen(t);
		return;
	}
	err = fsp_obj_get_range(t->a->store->objects, &t->a->ctx, f.hash, 0, 1,
	                        any_byte, &bytes);
	(void)done(t, "get what a row names", "s3:GetObject", began, err);
}

static int begin(struct test *t, struct fsp_admin *a, uint64_t large_size)
{
	unsigned char id[8];
	char hex[17];

	*t = (struct test){ .a = a, .large_size = large_size };
	fsp_random(id, sizeof(id));
	fsp_hex(hex, id, sizeof(id));
	(void)snprintf(t->key, sizeof(t->key), "filespacefs-test-%s", hex);
	(void)snprintf(t->large, sizeof(t->large), "filespacefs-test-%s-large",
	               hex);
	t->data = malloc(large_size);
	if (!t->data)
		return -ENOMEM;
	fsp_random(t->data, large_size);
	return 0;
}

static int finish(struct test *t)
{
	FILE *out = t->a->out;

	free(t->data);
	if (t->json) {
		fsp_json_end_list(t->json);
		fsp_json_int(t->json, "failed", t->failed);
		fsp_json_int(t->json, "warnings", t->warned);
		return fsp_json_finish(t->json);
	}
	if (t->failed)
		fprintf(out, "%d failed\n", t->failed);
	else
		fputs("all that is needed works\n", out);
	return 0;
}

int fsp_admin_store_test(struct fsp_admin *a,
                         const struct fsp_admin_servers *servers)
{
	struct fsp_json j;
	struct test t;
	int err = begin(&t, a, servers->large_size);

	if (err)
		return fsp_admin_fail(a, err, "store test");
	if (a->json) {
		t.json = &j;
		fsp_json_start(&j, a->out);
		fsp_json_list(&j, "steps");
	}
	if (!servers->objects ||
	    servers->objects(servers->arg, &a->ctx, report, &t) == 0)
		test_objects(&t);
	servers->database(servers->arg, &a->ctx, report, &t);
	test_named(&t);
	err = finish(&t);
	if (err)
		return fsp_admin_fail(a, err, "store test");
	return t.failed ? FSP_EXIT_FAILED : FSP_EXIT_OK;
}
