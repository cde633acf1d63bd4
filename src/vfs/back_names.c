/*
 * The names of what a dead mount has queued: those that the rows have are to
 * outlive it, those that they do not have are made. DESIGN.md, "Commits that
 * wait".
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "back.h"
#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_ctx.h"

#define TRIES 4                 /* while others make the same directories */

/* In its own transaction: the row comes later, maybe from another mount. */
static int keep_name(const struct naming *n, const struct fsp_queued *q)
{
	struct fsp_commit c = {
		.ref = { .ino = q->ino, .path = q->path }, .owner = n->v->id,
		.mask = q->mask,
		.attr = { .ino = q->ino, .mode = q->mode, .uid = q->uid,
			  .gid = q->gid, .atime_ns = q->atime_ns,
			  .mtime_ns = q->mtime_ns, .ctime_ns = q->ctime_ns },
	};
	struct fsp_entry e;
	int err = q->pending ? fsp_meta_commit(n->v->store->meta, n->ctx, &c,
	                                       &e) : 0;

	/* It was removed: whoever stores it will see that. */
	return err == -ESTALE ? 0 : err;
}

/* ---- names that the rows do not have */

/* Where a path leads to, as far as it does. */
struct way {
	char *path;             /* of the last directory that is there */
	size_t there;           /* directories of it, from the top */
	size_t all;             /* that the file's path names */
};

/*
 * Through the directory above it, so that whoever holds that lets us in. What
 * the dead mount held is nobody's: it would be waited for.
 */
static int enter_dir(const struct naming *n, const char *dir, const char *name)
{
	struct fsp_meta *m = n->v->store->meta;
	struct fsp_entry e;
	int err = fsp_meta_lookup(m, n->ctx, dir, name, true, &e);

	if (err)
		return err;
	if (!S_ISDIR(e.attr.mode))
		return -ENOTDIR;
	if (e.holder != n->holder && e.holder != -n->holder)
		return 0;
	return fsp_meta_deleg_release(m, n->ctx, n->holder, &e.attr.ino, 1);
}

/* 0 with w->there < w->all: the next directory is missing. */
static int walk(const struct naming *n, struct way *w)
{
	char *name = w->path, *cut = NULL, *end;
	int err = 0;

	w->there = 0;
	while ((end = strchr(name, '/'))) {
		*end = '\0';
		if (cut)
			*cut = '\0';
		err = enter_dir(n, cut ? w->path : "", name);
		if (cut)
			*cut = '/';
		*end = '/';
		if (err)
			break;
		w->there++;
		cut = end;
		name = end + 1;
	}
	if (cut)
		*cut = '\0';
	else
		*w->path = '\0';
	return err == -ENOENT ? 0 : err;
}

/* Births of the directories that are missing, and of the file. */
struct chain {
	struct fsp_birth *v;
	size_t n, cap;
};

static void chain_free(struct chain *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free((void *)(uintptr_t)c->v[i].dir);
		free((void *)(uintptr_t)c->v[i].name);
	}
	free(c->v);
}

#define CHAIN __attribute__((cleanup(chain_free)))

static int add_birth(struct chain *c, const char *below, const char *name,
                     size_t len, const struct fsp_queued_dir *d)
{
	struct fsp_birth *b = fsp_grow(c->v, c->n, &c->cap, sizeof(*b));

	if (!b)
		return -ENOMEM;
	c->v = b;
	b += c->n++;
	*b = (struct fsp_birth){ .ino = d->ino };
	b->attr = (struct fsp_attr){
		.ino = d->ino, .mode = d->mode, .uid = d->uid, .gid = d->gid,
		.nlink = 1, .atime_ns = d->atime_ns, .mtime_ns = d->mtime_ns,
		.ctime_ns = d->ctime_ns,
	};
	b->dir = strndup(below, name > below ? (size_t)(name - below) - 1 : 0);
	b->name = strndup(name, len);
	return b->dir && b->name ? 0 : -ENOMEM;
}

static int make_chain(const struct fsp_queued *q, const struct way *w,
                      struct chain *c)
{
	const struct fsp_queued_dir file = {
		q->ino, S_IFREG | (q->mode & 07777), q->uid, q->gid,
		q->atime_ns, q->mtime_ns, q->ctime_ns,
	};
	const struct fsp_queued_dir *d = q->dirs + q->n_dirs;
	const char *below = q->path + strlen(w->path) + (*w->path != '\0');
	const char *name = below, *end;
	int err = 0;

	for (d -= w->all - w->there; !err && (end = strchr(name, '/')); name = end + 1)
		err = add_birth(c, below, name, (size_t)(end - name), d++);
	return err ? err : add_birth(c, below, name, strlen(name), &file);
}

static int graft(const struct naming *n, const struct fsp_queued *q,
                 const struct way *w)
{
	CHAIN struct chain c = { .n = 0 };
	struct fsp_graft g = { .root = { .path = w->path }, .durable = true };
	int err = make_chain(q, w, &c);

	g.births = c.v;
	g.n = c.n;
	return err ? err : fsp_meta_graft(n->v->store->meta, n->ctx, &g);
}

/* Where all of them are there: whoever holds the last one lets us in. */
static int enter_last(const struct naming *n, const struct fsp_queued *q,
                      const struct way *w)
{
	const char *name = strrchr(q->path, '/');
	struct fsp_entry e;
	int err = fsp_meta_lookup(n->v->store->meta, n->ctx, w->path,
	                          name ? name + 1 : q->path, false, &e);

	return err == -ENOENT ? 0 : err;
}

/*
 * *again: another host may have made one of the directories since we looked;
 * what it has made is used.
 */
static int make_once(const struct naming *n, const struct fsp_queued *q,
                     bool *again)
{
	FSP_FREE char *path = strdup(q->path);
	struct way w = { .path = path };
	int err;

	*again = false;
	if (!path)
		return -ENOMEM;
	for (const char *p = path; *p; p++)
		w.all += *p == '/';
	err = walk(n, &w);
	if (err)
		return err;
	/* One that the rows had is gone: it was removed, or renamed. */
	if (w.all - w.there > q->n_dirs)
		return -ENOENT;
	if (w.there == w.all)
		err = enter_last(n, q, &w);
	if (!err)
		err = graft(n, q, &w);
	*again = w.there < w.all && (err == -EEXIST || err == -ESTALE);
	return err;
}

static int make_name(const struct naming *n, const struct fsp_queued *q)
{
	bool again = true;
	int err = 0;

	for (int i = 0; i < TRIES && again; i++)
		err = make_once(n, q, &again);
	return err;
}

static int is_of_ino(void *arg, const struct fsp_version *v)
{
	return v->attr.ino == *(const uint64_t *)arg;
}

/*
 * Had it its rows when that was not written down any more? Where it is now is
 * known by its number; where it has no name, a version of it may tell.
 */
static int was_born(const struct naming *n, const struct fsp_queued *q,
                    bool *was)
{
	struct fsp_meta *m = n->v->store->meta;
	struct fsp_ref ref = { .ino = q->ino, .path = q->path };
	uint64_t ino = q->ino;
	struct fsp_entry e;
	int err = fsp_meta_getattr(m, n->ctx, &ref, &e);

	*was = !err;
	if (err != -ESTALE)
		return err == -ENOTDIR ? 0 : err;
	err = fsp_meta_history(m, n->ctx, q->path, is_of_ino, &ino);
	*was = err > 0;
	return err > 0 || err == -ENOENT || err == -ENOTDIR ? 0 : err;
}

/* Not the fault of a server, nor of this machine; or a damaged row on the way,
 * which is not to keep all others from being stored. */
static bool is_refused(int err)
{
	return err == -EIO || err == -EEXIST || err == -ESTALE || err == -ENOENT ||
	       err == -ENOTDIR || err == -EINVAL || err == -ENAMETOOLONG;
}

int back_name(const struct naming *n, const struct fsp_queued *q, int *refused)
{
	bool born = true;
	int err = q->unborn ? was_born(n, q, &born) : 0;

	*refused = 0;
	if (!err)
		err = born ? keep_name(n, q) : make_name(n, q);
	if (!q->unborn || !is_refused(err))
		return err;
	*refused = err;
	return 0;
}
