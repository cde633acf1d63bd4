/* versions: what is stored of one file. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_path.h"
#include "fsp_store.h"
#include "fsp_version.h"
#include "history.h"
#include "text.h"

#define HASH_SHOWN 12

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void add_row(struct fsp_table *t, const struct fsp_history *h, size_t i,
                    const char *path)
{
	const struct fsp_version *v = &h->v[i];
	char when[32], entry[256];

	fsp_version_name(entry, base_name(path), v->stored_us, v->row);
	fsp_table_cell(t, fsp_strf("%" PRId64, v->row));
	fsp_table_text(t, fsp_time_format(when, v->stored_us));
	fsp_table_cell(t, fsp_strf("%" PRIu64, v->attr.size));
	fsp_table_cell(t, fsp_strf("%04o", v->attr.mode & 07777));
	fsp_table_cell(t, fsp_text_owner(v->attr.uid, v->attr.gid));
	fsp_table_text(t, fsp_history_state(h, i));
	fsp_table_cell(t, fsp_strf("%.*s", HASH_SHOWN, v->hash));
	if (strcmp(v->path, path) == 0) {
		fsp_table_cell(t, fsp_text_visible(entry));
	} else {
		FSP_FREE char *both = fsp_strf("%s (as %s)", entry, v->path);

		fsp_table_cell(t, both ? fsp_text_visible(both) : NULL);
	}
}

static int print_table(struct fsp_admin *a, const struct fsp_history *h,
                       const char *path)
{
	static const char *const heads[] = {
		"ID", "STORED", "SIZE", "MODE", "OWNER", "STATE", "HASH", "NAME"
	};
	FSP_TABLE struct fsp_table t = { 0 };

	fsp_table_init(&t, heads, 8, 1u << 0 | 1u << 2);
	for (size_t i = 0; i < h->count; i++)
		add_row(&t, h, i, path);
	return fsp_table_print(&t, a->out, "");
}

static void json_row(struct fsp_json *j, const struct fsp_history *h, size_t i,
                     const char *path)
{
	const struct fsp_version *v = &h->v[i];
	char entry[256], mode[16];

	fsp_version_name(entry, base_name(path), v->stored_us, v->row);
	snprintf(mode, sizeof(mode), "%04o", v->attr.mode & 07777);
	fsp_json_object(j, NULL);
	fsp_json_int(j, "id", v->row);
	fsp_json_str(j, "name", entry);
	fsp_json_time(j, "stored", v->stored_us);
	fsp_json_time(j, "closed", v->closed_us);
	fsp_json_str(j, "state", fsp_history_state(h, i));
	fsp_json_uint(j, "size", v->attr.size);
	fsp_json_str(j, "mode", mode);
	fsp_json_uint(j, "uid", v->attr.uid);
	fsp_json_uint(j, "gid", v->attr.gid);
	fsp_json_time(j, "mtime", v->attr.mtime_ns / 1000);
	fsp_json_str(j, "hash", v->hash);
	fsp_json_str(j, "path", v->path);
	fsp_json_end_object(j);
}

static int print_json(struct fsp_admin *a, const struct fsp_history *h,
                      const char *path)
{
	struct fsp_json j;

	fsp_json_start(&j, a->out);
	fsp_json_str(&j, "path", path);
	fsp_json_list(&j, "versions");
	for (size_t i = 0; i < h->count; i++)
		json_row(&j, h, i, path);
	fsp_json_end_list(&j);
	return fsp_json_finish(&j);
}

/* Why a path has no history: it may be something else, or empty so far. */
static int no_history(struct fsp_admin *a, const char *path)
{
	FSP_FREE char *dir = NULL;
	FSP_FREE char *name = NULL;
	struct fsp_entry e;
	int err = fsp_path_split(path, &dir, &name);

	if (!err)
		err = fsp_meta_lookup(a->store->meta, &a->ctx, dir, name, false, &e);
	if (err && err != -ENOENT)
		return fsp_admin_fail(a, err, "cannot look up %s", path);
	if (err)
		return fsp_admin_fail(a, 0, "%s: there never was such a file; "
		                      "check the path", path);
	if (S_ISDIR(e.attr.mode))
		return fsp_admin_fail(a, 0, "%s is a directory; only files have "
		                      "versions, name one of them", path);
	if (!S_ISREG(e.attr.mode))
		return fsp_admin_fail(a, 0, "%s is no regular file; only those "
		                      "have versions", path);
	return fsp_admin_fail(a, 0, "%s is being written for the first time and "
	                      "has no version yet", path);
}

int fsp_admin_versions(struct fsp_admin *a, const char *path)
{
	FSP_HISTORY struct fsp_history h = { 0 };
	int err;

	if (!*path)
		return fsp_admin_fail(a, 0, "the root is a directory; only files "
		                      "have versions, name one of them");
	err = fsp_history_load(a->store->meta, &a->ctx, path, &h);
	if (err == -ENOENT || (!err && !h.count))
		return no_history(a, path);
	if (!err)
		err = a->json ? print_json(a, &h, path)
			      : print_table(a, &h, path);
	return err ? fsp_admin_fail(a, err, "cannot list the versions of %s",
	                            path) : FSP_EXIT_OK;
}
