/* check: whether the rows keep the invariants of DESIGN.md. */
#include <inttypes.h>
#include <stdlib.h>

#include "fsp_admin.h"
#include "fsp_store.h"
#include "text.h"

struct findings {
	FILE *out;
	struct fsp_json *json;          /* NULL: lines of text */
	uint64_t count;
};

static void found(void *arg, const char *what)
{
	struct findings *f = arg;

	f->count++;
	if (f->json) {
		fsp_json_str(f->json, NULL, what);
	} else {
		char *text = fsp_text_visible(what);

		fprintf(f->out, "%s\n", text ? text : what);
		free(text);
	}
}

static int finish_json(struct findings *f, int err)
{
	fsp_json_end_list(f->json);
	fsp_json_uint(f->json, "errors", f->count);
	fsp_json_bool(f->json, "complete", !err);
	return fsp_json_finish(f->json);
}

int fsp_admin_check(struct fsp_admin *a, fsp_admin_checker checker)
{
	struct fsp_json j;
	struct findings f = { .out = a->out, .json = a->json ? &j : NULL };
	int err, err2 = 0;

	if (f.json) {
		fsp_json_start(&j, a->out);
		fsp_json_list(&j, "findings");
	}
	err = checker(a->store->meta, &a->ctx, found, &f);
	if (f.json)
		err2 = finish_json(&f, err);
	else if (!err && f.count)
		fprintf(a->out, "%" PRIu64 " errors found\n", f.count);
	else if (!err)
		fputs("clean\n", a->out);
	if (!err)
		err = err2;
	if (err) {
		fsp_admin_fail(a, err, "the check could not be completed");
		return FSP_FSCK_FAILED;
	}
	return f.count ? FSP_FSCK_ERRORS_LEFT : FSP_FSCK_CLEAN;
}
