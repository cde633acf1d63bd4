/*
 * restore --at: a directory as it was at a time, with all that was below it.
 *
 * What was there comes back, in place or beside; what came later stays. Files
 * are new versions that name the objects of old ones, so nothing is copied.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_path.h"
#include "fsp_store.h"
#include "fsp_version.h"
#include "restore.h"
#include "session.h"

#define PROGRESS_NS (FSP_NS_PER_SEC / 2)

struct tree {
	struct fsp_admin *a;
	const char *owner;      /* of names that are created */
	int64_t at_us;
	uint64_t files, others, same, failed;
	int64_t shown_ns;       /* progress; 0: none is shown */
};

/* One directory on the way: as it was, and where it goes. */
struct level {
	struct tree *t;
	const char *from, *to;
	int err;                /* that ends all of it */
};

/* For a person who waits. */
static void progress(struct tree *t, bool end)
{
	int64_t now = fsp_mono_ns();

	if (!t->shown_ns || (!end && now - t->shown_ns < PROGRESS_NS))
		return;
	t->shown_ns = now;
	fprintf(t->a->err, "\r%" PRIu64 " restored, %" PRIu64 " as they were%s",
	        t->files + t->others, t->same, end ? "\n" : "");
	fflush(t->a->err);
}

/* What concerns one entry is told and passed by; the store's errors are not. */
static int told(struct tree *t, int err, const char *path)
{
	switch (err) {
	case 0:
	case -EHOSTDOWN:
	case -ETIMEDOUT:
	case -EROFS:
	case -ENOSPC:
	case -EDQUOT:
	case -ENOMEM:
		return err;
	default:
		t->failed++;
		fsp_admin_fail(t->a, err, "cannot restore %s", path);
		return 0;
	}
}

static bool same_attr(const struct fsp_attr *a, const struct fsp_attr *b)
{
	return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid &&
		a->mtime_ns == b->mtime_ns;
}

static int restore_file(struct tree *t, struct fsp_restore *r)
{
	int err;

	if (r->exists && !S_ISREG(r->now.attr.mode))
		return told(t, -EEXIST, r->path);
	if (r->exists && r->now.content.size == r->v.attr.size &&
	    strcmp(r->now.content.hash, r->v.hash) == 0 &&
	    same_attr(&r->now.attr, &r->v.attr)) {
		t->same++;
		return 0;
	}
	err = fsp_restore_find_object(r);
	if (err == -ENOENT || err == -EIO) {
		t->failed++;
		fsp_restore_no_object(r, err, r->path);
		return 0;
	}
	if (!err)
		err = fsp_restore_commit(r);
	t->files += !err;
	return told(t, err, r->path);
}

static int same_link(struct tree *t, uint64_t a, uint64_t b)
{
	FSP_FREE char *x = NULL;
	FSP_FREE char *y = NULL;
	struct fsp_meta *m = t->a->store->meta;
	int err = fsp_meta_readlink(m, &t->a->ctx, a, &x);

	if (!err)
		err = fsp_meta_readlink(m, &t->a->ctx, b, &y);
	return err ? err : strcmp(x, y) == 0;
}

/* Symlinks, FIFOs, sockets, devices. */
static int make_other(struct tree *t, struct fsp_restore *r, uint64_t ino)
{
	FSP_FREE char *target = NULL;
	struct fsp_meta *m = t->a->store->meta;
	struct fsp_place at = { .dir = r->dir, .name = r->name };
	struct fsp_new new = { .mode = r->v.attr.mode, .uid = r->v.attr.uid,
		               .gid = r->v.attr.gid, .rdev = r->v.attr.rdev };
	struct fsp_ref ref = { .path = r->path };
	int err = 0;

	if (S_ISLNK(new.mode))
		err = fsp_meta_readlink(m, &t->a->ctx, ino, &target);
	new.target = target;
	if (!err && r->exists)
		err = fsp_meta_remove(m, &t->a->ctx, &at, false, &r->now);
	if (!err)
		err = fsp_meta_create(m, &t->a->ctx, &at, &new, &r->now);
	ref.ino = r->now.attr.ino;
	if (!err)
		err = fsp_meta_setattr(m, &t->a->ctx, &ref, FSP_SET_MTIME,
		                       &r->v.attr, &r->now);
	return err;
}

static int restore_other(struct tree *t, struct fsp_restore *r, uint64_t ino)
{
	mode_t type = r->v.attr.mode & S_IFMT;
	int err = 0, same = 0;

	if (r->exists && (r->now.attr.mode & S_IFMT) != type)
		return told(t, -EEXIST, r->path);
	if (r->exists)
		same = !S_ISLNK(type) || r->now.attr.ino == ino ? 1
			: same_link(t, r->now.attr.ino, ino);
	if (same < 0)
		return told(t, same, r->path);
	if (!same)
		err = make_other(t, r, ino);
	t->same += same;
	t->others += !same && !err;
	return told(t, err, r->path);
}

static int restore_leaf(struct tree *t, struct fsp_restore *r, uint64_t ino)
{
	int err = fsp_restore_look(r);

	if (err)
		return told(t, err, r->path);
	return S_ISREG(r->v.attr.mode) ? restore_file(t, r)
		: restore_other(t, r, ino);
}

static int restore_dir(struct tree *t, const char *from, const char *to,
                       const struct fsp_attr *attr);

static int restore_entry(void *arg, const char *name, const struct fsp_entry *e)
{
	struct level *l = arg;
	struct tree *t = l->t;
	FSP_FREE char *from = fsp_path_join(l->from, name);
	struct fsp_restore r = {
		.a = t->a, .owner = t->owner, .path = fsp_path_join(l->to, name),
		.v = { .row = e->content.row, .attr = e->attr,
		       .stored_us = t->at_us },
	};

	strcpy(r.v.hash, e->content.hash);
	l->err = from && r.path ? 0 : -ENOMEM;
	if (!l->err && S_ISDIR(e->attr.mode))
		l->err = restore_dir(t, from, r.path, &e->attr);
	else if (!l->err)
		l->err = restore_leaf(t, &r, e->attr.ino);
	fsp_restore_free(&r);
	progress(t, false);
	return l->err;
}

/* *ino: of the directory at `to`; -EEXIST when something else is there. */
static int make_dir(struct tree *t, const char *to, const struct fsp_attr *attr,
                    uint64_t *ino)
{
	FSP_FREE char *dir = NULL;
	FSP_FREE char *name = NULL;
	struct fsp_meta *m = t->a->store->meta;
	struct fsp_place at = { 0 };
	struct fsp_new new = { .mode = attr->mode, .uid = attr->uid,
		               .gid = attr->gid };
	struct fsp_entry e;
	int err;

	*ino = FSP_INO_ROOT;
	if (!*to)
		return 0;
	err = fsp_path_split(to, &dir, &name);
	if (err)
		return err;
	err = fsp_meta_lookup(m, &t->a->ctx, dir, name, false, &e);
	if (!err && !S_ISDIR(e.attr.mode))
		return -EEXIST;
	at.dir = dir;
	at.name = name;
	if (err == -ENOENT) {
		err = fsp_meta_create(m, &t->a->ctx, &at, &new, &e);
		t->others += !err;
	}
	*ino = e.attr.ino;
	return err;
}

static int restore_dir(struct tree *t, const char *from, const char *to,
                       const struct fsp_attr *attr)
{
	struct level l = { .t = t, .from = from, .to = to };
	struct fsp_ref ref = { .path = to };
	struct fsp_entry e;
	int err = make_dir(t, to, attr, &ref.ino);

	if (err)
		return told(t, err, to);
	err = fsp_meta_list_at(t->a->store->meta, &t->a->ctx, from, t->at_us,
	                       restore_entry, &l);
	if (l.err)
		return l.err;
	/* Its times have no versions. */
	if (!err)
		err = fsp_meta_setattr(t->a->store->meta, &t->a->ctx, &ref,
		                       FSP_SET_MODE | FSP_SET_UID |
		                       FSP_SET_GID, attr, &e);
	return told(t, err, to);
}

/* Where a directory was then: by the nearest one that is still there. */
static int path_then(struct fsp_admin *a, const char *path, int64_t at_us,
                     char **out)
{
	FSP_FREE char *up = strdup(path);
	struct fsp_ref ref = { .ino = FSP_INO_ROOT };
	FSP_FREE char *then = NULL;
	struct fsp_entry e;
	int err = up ? -ENOENT : -ENOMEM;

	while (up && *up && err == -ENOENT) {
		FSP_FREE char *dir = NULL;
		FSP_FREE char *name = NULL;

		err = fsp_path_split(up, &dir, &name);
		if (!err)
			err = fsp_meta_lookup(a->store->meta, &a->ctx, dir,
			                      name, false, &e);
		if (!err && S_ISDIR(e.attr.mode))
			ref.ino = e.attr.ino;
		else if (!err || err == -ENOTDIR)
			err = -ENOENT;
		if (err == -ENOENT)
			up[strlen(dir)] = '\0';
	}
	if (err && err != -ENOENT)
		return err;
	ref.path = up;
	err = fsp_meta_path_at(a->store->meta, &a->ctx, &ref, at_us, &then);
	if (err)
		return err;
	path += strlen(up);
	path += *path == '/';
	*out = *path ? fsp_path_join(then, path) : fsp_steal(then);
	return *out ? 0 : -ENOMEM;
}

/* The directory as it was: -ENOENT, -ENOTDIR. */
static int find_then(struct fsp_admin *a, const char *path, int64_t at_us,
                     char **from, struct fsp_attr *attr)
{
	FSP_FREE char *dir = NULL;
	FSP_FREE char *name = NULL;
	struct fsp_ref root = { FSP_INO_ROOT, "" };
	struct fsp_entry e;
	int err = path_then(a, path, at_us, from);

	if (err)
		return err;
	if (!**from) {
		err = fsp_meta_getattr(a->store->meta, &a->ctx, &root, &e);
	} else {
		err = fsp_path_split(*from, &dir, &name);
		if (!err)
			err = fsp_meta_lookup_at(a->store->meta, &a->ctx, dir,
			                         name, at_us, &e);
	}
	if (err)
		return err;
	*attr = e.attr;
	return S_ISDIR(e.attr.mode) ? 0 : -ENOTDIR;
}

/* --to, or back to where it was; its directories may have gone with it. */
static int find_place(struct tree *t, const char *path, const char *to,
                      const struct fsp_attr *attr, char **out)
{
	struct fsp_restore r = { .a = t->a };
	FSP_FREE char *dir = NULL;
	FSP_FREE char *name = NULL;
	int err = 0;

	*out = NULL;
	if (to && *to) {
		r.path = strdup(to);
		err = r.path ? fsp_restore_look(&r) : -ENOMEM;
		if (!err && r.exists && S_ISDIR(r.now.attr.mode) && *path)
			*out = fsp_restore_enter(to, path);
		fsp_restore_free(&r);
	} else if (to && *path) {
		*out = fsp_restore_enter("", path);
	}
	if (!err && !*out)
		*out = strdup(to ? to : path);
	if (!err && !*out)
		err = -ENOMEM;
	if (err || to || !*path)
		return err;
	err = fsp_path_split(path, &dir, &name);
	return err ? err : fsp_restore_make_dirs(t->a, dir, t->at_us, attr->uid,
	                                         attr->gid);
}

static int summary(const struct tree *t, const char *to)
{
	char when[32];

	fprintf(t->a->out, "%s is as of %s: %" PRIu64 " files and %" PRIu64
	        " other entries restored, %" PRIu64 " were as they are",
	        *to ? to : "/", fsp_time_format(when, t->at_us), t->files,
	        t->others, t->same);
	if (t->failed)
		fprintf(t->a->out, ", %" PRIu64 " could not be", t->failed);
	fputs("; what came later stays\n", t->a->out);
	return t->failed ? FSP_EXIT_FAILED : FSP_EXIT_OK;
}

static int run(struct tree *t, const char *path, const char *from,
               const char *to, const struct fsp_attr *attr)
{
	FSP_FREE char *place = NULL;
	struct fsp_session s;
	int err = fsp_session_begin(t->a, &s), err2;

	if (err)
		return fsp_admin_fail(t->a, err, "cannot restore %s", path);
	t->owner = s.id;
	t->shown_ns = isatty(fileno(t->a->err)) > 0 ? fsp_mono_ns() : 0;
	err = find_place(t, path, to, attr, &place);
	if (!err)
		err = restore_dir(t, from, place, attr);
	progress(t, true);
	t->owner = NULL;
	err2 = fsp_session_end(t->a, &s);
	err = err ? err : err2;
	if (err)
		return fsp_admin_fail(t->a, err, "%s was restored in part only: "
		                      "%" PRIu64 " entries; the same command goes "
		                      "on from there", place ? place : path,
		                      t->files + t->others);
	return summary(t, place);
}

int fsp_admin_restore_at(struct fsp_admin *a, const char *path,
                         const char *time, const char *to)
{
	FSP_FREE char *from = NULL;
	struct tree t = { .a = a };
	struct fsp_attr attr;
	int err;

	if (fsp_time_parse(time, &t.at_us)) {
		fsp_admin_fail(a, 0, "'%s' is no time: give " FSP_TIME_FORMS,
		               time);
		return FSP_EXIT_USAGE;
	}
	err = find_then(a, path, t.at_us, &from, &attr);
	if (err == -ENOENT || err == -ENOTDIR)  /* a file, or nothing */
		return fsp_admin_restore(a, path, time, to);
	if (err)
		return fsp_admin_fail(a, err, "cannot restore %s", path);
	return run(&t, path, from, to, &attr);
}
