/* schema: what the tables are, what makes them ours, and doing it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_admin.h"
#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_meta.h"
#include "text.h"

#define SAY_EVERY_NS (2 * FSP_NS_PER_SEC)

struct schema_run {
	struct fsp_admin *a;
	struct fsp_schema s;
	char **said;                    /* JSON prints them at the end */
	size_t n_said;
	bool failed;                    /* no memory to keep one */
	/* the progress of what is going on */
	char what[64];
	int64_t since_ns, said_ns;
	uint64_t from;                  /* where it began */
};

static void keep_sentence(struct schema_run *r, const char *sentence)
{
	char **v = realloc(r->said, (r->n_said + 1) * sizeof(*v));
	char *copy = strdup(sentence);

	if (v)
		r->said = v;
	if (!v || !copy) {
		free(copy);
		r->failed = true;
		return;
	}
	r->said[r->n_said++] = copy;
}

static void say(void *arg, const char *sentence)
{
	struct schema_run *r = arg;
	FSP_FREE char *text = fsp_text_visible(sentence);

	if (r->a->json)
		keep_sentence(r, sentence);
	else
		fprintf(r->a->out, "%s%s\n", r->s.what == FSP_SCHEMA_PLAN ?
		        "-- " : "", text ? text : sentence);
}

static void progress(void *arg, const char *what, uint64_t done, uint64_t all)
{
	struct schema_run *r = arg;
	int64_t now = fsp_mono_ns();
	double seconds;

	if (strncmp(what, r->what, sizeof(r->what) - 1) != 0) {
		snprintf(r->what, sizeof(r->what), "%s", what);
		r->since_ns = r->said_ns = now;
		r->from = done;
	}
	if (now - r->said_ns < SAY_EVERY_NS)
		return;
	r->said_ns = now;
	seconds = (double)(now - r->since_ns) / FSP_NS_PER_SEC;
	fprintf(r->a->err, "%s: %" PRIu64 " of %" PRIu64 " rows, %.0f a "
	        "second\n", what, done, all, (double)(done - r->from) /
	        seconds);
}

static int print_json(struct schema_run *r, const char *sql)
{
	struct fsp_json j;

	fsp_json_start(&j, r->a->out);
	fsp_json_bool(&j, "needed", r->s.needed);
	fsp_json_list(&j, "messages");
	for (size_t i = 0; i < r->n_said; i++)
		fsp_json_str(&j, NULL, r->said[i]);
	fsp_json_end_list(&j);
	if (r->s.what == FSP_SCHEMA_PLAN)
		fsp_json_str(&j, "sql", sql ? sql : "");
	if (r->s.what == FSP_SCHEMA_UPGRADE) {
		fsp_json_uint(&j, "rows", r->s.rows);
		fsp_json_int(&j, "locked_ms", r->s.locked_ns / 1000000);
	}
	return fsp_json_finish(&j);
}

static void print_end(const struct schema_run *r)
{
	FILE *out = r->a->out;

	if (!r->s.needed) {
		fprintf(out, "%sthe schema is up to date\n",
		        r->s.what == FSP_SCHEMA_PLAN ? "-- " : "");
		return;
	}
	if (r->s.what == FSP_SCHEMA_CHECK)
		fputs("the schema needs an upgrade: see 'filespacectl schema "
		      "plan', then 'filespacectl schema upgrade'\n", out);
	if (r->s.what != FSP_SCHEMA_UPGRADE)
		return;
	fputs("the schema was upgraded\n", out);
	if (r->s.rows)
		fprintf(out, "%" PRIu64 " rows were taken over\n", r->s.rows);
	if (r->s.locked_ns)
		fprintf(out, "writers waited for %.3f s at the longest\n",
		        (double)r->s.locked_ns / FSP_NS_PER_SEC);
}

static int finish(struct schema_run *r, int err, const char *sql)
{
	struct fsp_admin *a = r->a;

	if (err && r->s.error)
		return fsp_admin_fail(a, 0, "%s", r->s.error);
	if (err)
		return fsp_admin_fail(a, err, "the schema");
	if (r->failed)
		return fsp_admin_fail(a, -ENOMEM, "the schema");
	if (!a->json)
		print_end(r);
	else if ((err = print_json(r, sql)))
		return fsp_admin_fail(a, err, "cannot print the result");
	return r->s.what == FSP_SCHEMA_CHECK && r->s.needed ? FSP_EXIT_FAILED :
		FSP_EXIT_OK;
}

int fsp_admin_schema(struct fsp_admin *a, enum fsp_schema_do what,
                     int (*work)(void *arg, struct fsp_schema *s), void *arg)
{
	struct schema_run r = { .a = a, .s = {
		.what = what, .ctx = &a->ctx, .sql = a->out, .say = say,
		.progress = progress, .arg = &r,
	} };
	FSP_FREE char *sql = NULL;
	size_t len = 0;
	int err = 0, rc;

	if (a->json) {
		r.s.sql = open_memstream(&sql, &len);
		err = r.s.sql ? 0 : -errno;
	}
	if (!err)
		err = work(arg, &r.s);
	if (a->json && r.s.sql && fclose(r.s.sql) && !err)
		err = -errno;
	rc = finish(&r, err, sql);
	for (size_t i = 0; i < r.n_said; i++)
		free(r.said[i]);
	free(r.said);
	free(r.s.error);
	return rc;
}
