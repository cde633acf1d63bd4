/* The versions of one file in memory, and choosing one of them. */
#include "history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "fsp_path.h"
#include "fsp_store.h"
#include "fsp_version.h"

static int keep(void *arg, const struct fsp_version *v)
{
	struct fsp_history *h = arg;
	char *path = strdup(v->path ? v->path : "");

	if (!path)
		return -ENOMEM;
	if (h->count == h->cap) {
		size_t cap = h->cap ? 2 * h->cap : 16;
		struct fsp_version *more = reallocarray(h->v, cap, sizeof(*more));

		if (!more) {
			free(path);
			return -ENOMEM;
		}
		h->v = more;
		h->cap = cap;
	}
	h->v[h->count] = *v;
	h->v[h->count++].path = path;
	return 0;
}

int fsp_history_load(struct fsp_meta *m, const struct fsp_ctx *ctx,
                     const char *path, struct fsp_history *h)
{
	*h = (struct fsp_history){ 0 };
	return fsp_meta_history(m, ctx, path, keep, h);
}

void fsp_history_free(struct fsp_history *h)
{
	for (size_t i = 0; i < h->count; i++) {
		union {
			const char *in;
			char *out;
		} path = { .in = h->v[i].path };

		free(path.out);
	}
	free(h->v);
	*h = (struct fsp_history){ 0 };
}

const char *fsp_history_state(const struct fsp_history *h, size_t i)
{
	if (!h->v[i].closed_us)
		return "live";
	return i + 1 < h->count ? "superseded" : "deleted";
}

const struct fsp_version *fsp_history_row(const struct fsp_history *h,
                                          int64_t row)
{
	for (size_t i = 0; i < h->count; i++)
		if (h->v[i].row == row)
			return &h->v[i];
	return NULL;
}

const struct fsp_version *fsp_history_at(const struct fsp_history *h,
                                         const char *path, int64_t at_us)
{
	const struct fsp_version *best = NULL;
	bool best_here = false;

	for (size_t i = 0; i < h->count; i++) {
		const struct fsp_version *v = &h->v[i];
		bool here = strcmp(v->path, path) == 0;

		if (v->stored_us > at_us ||
		    (v->closed_us && v->closed_us <= at_us))
			continue;
		if (!best || here >= best_here) {
			best = v;
			best_here = here;
		}
	}
	return best;
}

/* What the name held at that time: 0, -ENOENT for no file, or an error. */
static int name_at(struct fsp_admin *a, const char *path, int64_t at_us,
                   struct fsp_version *out)
{
	FSP_FREE char *dir = NULL;
	FSP_FREE char *name = NULL;
	struct fsp_entry e;
	int err = fsp_path_split(path, &dir, &name);

	if (err)
		return err;
	err = fsp_meta_lookup_at(a->store->meta, &a->ctx, dir, name, at_us, &e);
	if (err)
		return err == -ENOTDIR ? -ENOENT : err;
	if (!S_ISREG(e.attr.mode) || !e.content.row)
		return -ENOENT;
	*out = (struct fsp_version){ .row = e.content.row, .attr = e.attr,
		                     .stored_us = at_us };
	strcpy(out->hash, e.content.hash);
	return 0;
}

static int choose_at(struct fsp_admin *a, const struct fsp_history *h,
                     const char *path, int64_t at_us, struct fsp_version *out)
{
	int err = name_at(a, path, at_us, out);
	const struct fsp_version *v;

	if (err && err != -ENOENT)
		return err;
	/* The history knows when it was stored, the directory does not. */
	v = err ? fsp_history_at(h, path, at_us)
		: fsp_history_row(h, out->row);
	if (v)
		*out = *v;
	return v ? 0 : err;
}

/* 0, -ENOENT, or an error of the database. */
static int choose(struct fsp_admin *a, const struct fsp_history *h,
                  const char *path, const struct fsp_version_spec *spec,
                  struct fsp_version *out)
{
	const struct fsp_version *v = NULL;

	if (spec->row)
		v = fsp_history_row(h, spec->row);
	if (!v && spec->has_time)
		return choose_at(a, h, path, spec->at_us, out);
	if (v)
		*out = *v;
	return v ? 0 : -ENOENT;
}

int fsp_history_choose(struct fsp_admin *a, const char *path, const char *spec,
                       struct fsp_version *out)
{
	FSP_HISTORY struct fsp_history h = { 0 };
	struct fsp_version_spec s;
	int err;

	if (fsp_version_spec_parse(spec, &s))
		return fsp_admin_fail(a, 0, "'%s' is no version: give a row id, "
		                      "an entry name of the versions directory, "
		                      "or a time: " FSP_TIME_FORMS, spec);
	err = fsp_history_load(a->store->meta, &a->ctx, path, &h);
	if (err == -ENOENT)
		return fsp_admin_fail(a, 0, "%s: there never was such a file; "
		                      "check the path", path);
	if (!err)
		err = choose(a, &h, path, &s, out);
	out->path = NULL;
	if (err == -ENOENT)
		return fsp_admin_fail(a, 0, "%s has no version %s; see "
		                      "'filespacectl versions'", path, spec);
	return err ? fsp_admin_fail(a, err, "cannot read the versions of %s",
	                            path) : FSP_EXIT_OK;
}
