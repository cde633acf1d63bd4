/*
 * restore: an old version becomes the newest one. A new row names its object
 * again; no content moves.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_path.h"
#include "fsp_store.h"
#include "fsp_version.h"
#include "history.h"
#include "restore.h"
#include "session.h"

void fsp_restore_free(struct fsp_restore *r)
{
	free(r->path);
	free(r->dir);
	free(r->name);
	r->path = r->dir = r->name = NULL;
}

int fsp_restore_find_object(struct fsp_restore *r)
{
	struct fsp_store *s = r->a->store;
	const struct fsp_ctx *ctx = &r->a->ctx;
	uint64_t stored;
	int err = fsp_meta_object_get(s->meta, ctx, r->v.hash, &r->object);

	if (err == -ENOENT) {
		r->object = (struct fsp_object){ .size = r->v.attr.size };
		strcpy(r->object.key, r->v.hash);
		err = 0;
	}
	if (err)
		return err;
	err = fsp_obj_head(s->objects, ctx, r->object.key, &stored);
	if (!err && r->object.stored && stored != r->object.stored)
		return -EIO;
	return err;
}

int fsp_restore_no_object(struct fsp_restore *r, int err, const char *source)
{
	const char *hash = r->v.hash;

	if (err == -ENOENT)
		return fsp_admin_fail(r->a, 0, "cannot restore %s: object %s is "
		                      "missing from the store; bring it back "
		                      "from a backup, or restore another "
		                      "version", source, hash);
	if (err == -EIO)
		return fsp_admin_fail(r->a, 0, "cannot restore %s: object %s is "
		                      "damaged; bring it back from a backup, or "
		                      "restore another version", source, hash);
	return fsp_admin_fail(r->a, err, "cannot restore %s: object %s", source,
	                      hash);
}

/*
 * A mount may be making names in a directory on the way that are not rows yet:
 * whoever looks it up before he goes in has them brought there.
 */
static int look_on_the_way(struct fsp_restore *r, char *path)
{
	struct fsp_entry e;
	int err = 0;

	for (char *slash = path; !err && (slash = strchr(slash, '/')); slash++) {
		FSP_FREE char *dir = NULL, *name = NULL;

		*slash = 0;
		err = fsp_path_split(path, &dir, &name);
		if (!err)
			err = fsp_meta_lookup(r->a->store->meta, &r->a->ctx,
			                      dir, name, true, &e);
		*slash = '/';
	}
	/* What is not there is made, or told of, by who needs it. */
	return err == -ENOENT || err == -ENOTDIR ? 0 : err;
}

int fsp_restore_look(struct fsp_restore *r)
{
	int err;

	free(r->dir);
	free(r->name);
	r->dir = r->name = NULL;
	err = look_on_the_way(r, r->path);
	if (err)
		return err;
	err = fsp_path_split(r->path, &r->dir, &r->name);
	if (err)
		return err;
	err = fsp_meta_lookup(r->a->store->meta, &r->a->ctx, r->dir, r->name,
	                      true, &r->now);
	r->exists = !err;
	return err == -ENOENT ? 0 : err;
}

char *fsp_restore_enter(const char *dir, const char *source)
{
	const char *slash = strrchr(source, '/');

	return fsp_path_join(dir, slash ? slash + 1 : source);
}

static int enter_directory(struct fsp_restore *r, const char *source)
{
	char *path = fsp_restore_enter(r->path, source);

	if (!path)
		return -ENOMEM;
	free(r->path);
	r->path = path;
	return fsp_restore_look(r);
}

static int find_target(struct fsp_restore *r, const char *source, const char *to)
{
	int err;

	r->path = strdup(to ? to : source);
	if (!r->path)
		return -ENOMEM;
	if (to && !*to)
		return enter_directory(r, source);
	err = fsp_restore_look(r);
	if (!err && to && r->exists && S_ISDIR(r->now.attr.mode))
		err = enter_directory(r, source);
	if (!err && r->exists && S_ISDIR(r->now.attr.mode))
		return -EISDIR;
	if (!err && r->exists && !S_ISREG(r->now.attr.mode))
		return -EEXIST;
	return err;
}

/* One directory as it was then. */
static int make_dir(struct fsp_admin *a, const char *parent, const char *name,
                    int64_t at_us, struct fsp_new *new)
{
	struct fsp_place at = { .dir = parent, .name = name };
	struct fsp_entry e;
	int err = fsp_meta_lookup(a->store->meta, &a->ctx, parent, name, false,
	                          &e);

	if (!err)
		return S_ISDIR(e.attr.mode) ? 0 : -ENOTDIR;
	if (err != -ENOENT)
		return err;
	err = fsp_meta_lookup_at(a->store->meta, &a->ctx, parent, name, at_us,
	                         &e);
	if (!err && S_ISDIR(e.attr.mode)) {
		new->mode = e.attr.mode;
		new->uid = e.attr.uid;
		new->gid = e.attr.gid;
	} else if (err && err != -ENOENT && err != -ENOTDIR) {
		return err;
	}
	err = fsp_meta_create(a->store->meta, &a->ctx, &at, new, &e);
	return err == -EEXIST ? 0 : err;
}

int fsp_restore_make_dirs(struct fsp_admin *a, const char *path, int64_t at_us,
                          uint32_t uid, uint32_t gid)
{
	size_t len = strlen(path);

	for (size_t i = 0, start = 0; len && i <= len; i++) {
		struct fsp_new new = { .mode = S_IFDIR | 0755, .uid = uid,
			               .gid = gid };
		FSP_FREE char *parent = NULL;
		FSP_FREE char *name = NULL;
		int err;

		if (i < len && path[i] != '/')
			continue;
		parent = strndup(path, start ? start - 1 : 0);
		name = strndup(path + start, i - start);
		if (!parent || !name)
			return -ENOMEM;
		err = make_dir(a, parent, name, at_us, &new);
		if (err)
			return err;
		start = i + 1;
	}
	return 0;
}

static int commit(struct fsp_restore *r, const char *owner)
{
	struct fsp_commit c = {
		.ref = { r->now.attr.ino, r->path },
		.owner = owner,
		.base_row = r->now.content.row,
		.object = &r->object,
		.mask = FSP_SET_MODE | FSP_SET_UID | FSP_SET_GID | FSP_SET_MTIME,
		.attr = r->v.attr,
	};

	c.attr.mode = S_IFREG | (r->v.attr.mode & 07777);
	return fsp_meta_commit(r->a->store->meta, &r->a->ctx, &c, &r->now);
}

/* The name is pending until the commit: PHP never sees an empty file. */
static int create_and_commit(struct fsp_restore *r, const char *owner)
{
	struct fsp_admin *a = r->a;
	struct fsp_place at = { .dir = r->dir, .name = r->name };
	struct fsp_new new = { .mode = S_IFREG | (r->v.attr.mode & 07777),
		               .uid = r->v.attr.uid, .gid = r->v.attr.gid,
		               .owner = owner };
	int err = fsp_meta_create(a->store->meta, &a->ctx, &at, &new, &r->now);

	return err ? err : commit(r, owner);
}

static int create_as_owner(struct fsp_restore *r)
{
	struct fsp_session s;
	int err = 0, err2;

	if (r->owner)
		return create_and_commit(r, r->owner);
	if (r->make_dirs)
		err = fsp_restore_make_dirs(r->a, r->dir, r->v.stored_us,
		                            r->v.attr.uid, r->v.attr.gid);
	if (!err)
		err = fsp_session_begin(r->a, &s);
	if (err)
		return err;
	err = create_and_commit(r, s.id);
	err2 = fsp_session_end(r->a, &s);
	return err ? err : err2;
}

int fsp_restore_commit(struct fsp_restore *r)
{
	return r->exists ? commit(r, "") : create_as_owner(r);
}

static int run(struct fsp_restore *r, const char *source, const char *version)
{
	struct fsp_admin *a = r->a;
	char when[32];
	int err;

	if (r->exists && r->now.content.row == r->v.row) {
		fprintf(a->out, "%s holds version %s already; nothing to do\n",
		        r->path, version);
		return FSP_EXIT_OK;
	}
	err = fsp_restore_find_object(r);
	if (err)
		return fsp_restore_no_object(r, err, source);
	err = fsp_restore_commit(r);
	if (err)
		return fsp_admin_fail(a, err, "cannot restore %s to %s", source,
		                      r->path);
	fprintf(a->out, "%s now holds the version of %s (%s)\n", r->path,
	        fsp_time_format(when, r->v.stored_us), version);
	return FSP_EXIT_OK;
}

int fsp_admin_restore(struct fsp_admin *a, const char *path,
                      const char *version, const char *to)
{
	struct fsp_restore r = { .a = a, .make_dirs = !to };
	int rc = fsp_history_choose(a, path, version, &r.v);
	int err;

	if (rc)
		return rc;
	err = find_target(&r, path, to);
	rc = err ? fsp_admin_fail(a, err, "cannot restore to %s",
	                          r.path ? r.path : path)
		 : run(&r, path, version);
	fsp_restore_free(&r);
	return rc;
}
