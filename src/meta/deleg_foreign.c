/*
 * Directories that are delegated to other mounts: whoever is about to look into
 * one, or to change it, asks for it, and waits until its names are rows.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "deleg.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_log.h"
#include "fsp_path.h"

/* Who has not given it up by then is not there, or cannot: it is taken, and he
 * learns that from the rows. */
#define FORCE_NS (10 * FSP_NS_PER_SEC)
/* Whoever is listed and never looked into is asked for all the same. */
#define FOREIGN_MOST 1024
#define STEP_NS 5000000L
#define STEP_MOST_NS 50000000L

static struct dforeign **find_locked(struct deleg *d, uint64_t ino)
{
	struct dforeign **p = &d->foreign;

	fsp_assert_held(&d->lock);
	while (*p && (*p)->ino != ino)
		p = &(*p)->next;
	return p;
}

static void drop_locked(struct deleg *d, struct dforeign **p)
{
	struct dforeign *f = *p;

	*p = f->next;
	atomic_fetch_sub(&d->n_foreign, 1);
	free(f->path);
	free(f);
}

static void forget(struct deleg *d, uint64_t ino)
{
	struct dforeign **p;

	FSP_GUARD(&d->lock);
	p = find_locked(d, ino);
	if (*p)
		drop_locked(d, p);
}

/* Without memory the caller recalls it before he goes on. */
static bool note(struct deleg *d, const char *path, uint64_t ino, bool own)
{
	struct dforeign **p, *f;
	char *copy = strdup(path);

	FSP_GUARD(&d->lock);
	p = find_locked(d, ino);
	if (!copy)
		return *p != NULL;
	if (*p) {
		free((*p)->path);
		(*p)->path = copy;
		(*p)->moved = false;
		return true;
	}
	f = d->n_foreign < FOREIGN_MOST ? calloc(1, sizeof(*f)) : NULL;
	if (!f) {
		free(copy);
		return false;
	}
	f->ino = ino;
	f->own = own;
	f->path = copy;
	f->next = d->foreign;
	d->foreign = f;
	atomic_fetch_add(&d->n_foreign, 1);
	return true;
}

/* It has been asked for, by whomever here: is it time to take it? *own: it has
 * our number. */
static bool is_overdue(struct deleg *d, uint64_t ino, bool *own)
{
	const struct dforeign *f;

	FSP_GUARD(&d->lock);
	f = *find_locked(d, ino);
	*own = f && f->own;
	return f && f->asked_ns && fsp_mono_ns() - f->asked_ns > FORCE_NS;
}

static void note_asked(struct deleg *d, uint64_t ino)
{
	struct dforeign *f;

	FSP_GUARD(&d->lock);
	f = *find_locked(d, ino);
	if (f && !f->asked_ns)
		f->asked_ns = fsp_mono_ns();
}

static int ask(struct deleg *d, const struct fsp_ctx *ctx, uint64_t ino)
{
	bool own, force = is_overdue(d, ino, &own);
	int err = own ? d->inner->ops->deleg_release(d->inner, ctx, d->holder,
	                                             &ino, 1) :
		d->inner->ops->deleg_recall(d->inner, ctx, ino, force);

	/* Whoever was not reached was not asked. */
	if (err == -EAGAIN)
		note_asked(d, ino);
	return err;
}

static int recall(struct deleg *d, const struct fsp_ctx *ctx, uint64_t ino)
{
	struct timespec step = { .tv_nsec = STEP_NS };
	int err;

	for (;;) {
		err = ask(d, ctx, ino);
		if (err != -EAGAIN)
			break;
		err = fsp_ctx_check(ctx);
		if (err)
			break;
		(void)nanosleep(&step, NULL);   /* woken early it asks sooner */
		if (step.tv_nsec < STEP_MOST_NS)
			step.tv_nsec += step.tv_nsec / 2;
	}
	/* Who may not write sees what is in the rows. */
	return err == -EROFS ? 0 : err;
}

static bool concerns(const struct dforeign *f, const char *path, bool whole)
{
	return f->moved || deleg_below(path, f->path) ||
	       (whole && deleg_below(f->path, path));
}

/* Several are asked at once, and then waited for. */
static int ask_all(struct deleg *d, const struct fsp_ctx *ctx,
                   const char *path, bool whole)
{
	uint64_t inos[FSP_DELEG_MOST];
	size_t n = 0;
	int err = 0;

	fsp_lock(&d->lock);
	for (const struct dforeign *f = d->foreign; f && n < FSP_DELEG_MOST;
	     f = f->next)
		if (!f->asked_ns && concerns(f, path, whole))
			inos[n++] = f->ino;
	fsp_unlock(&d->lock);
	for (size_t i = 0; i < n && n > 1 && (!err || err == -EAGAIN); i++)
		err = ask(d, ctx, inos[i]);
	return err == -EAGAIN || err == -EROFS ? 0 : err;
}

/* Paths that are known here may be those of other directories by now. */
static int follow_moves(struct deleg *d, const struct fsp_ctx *ctx)
{
	int err;

	if (!atomic_exchange(&d->moved, false))
		return 0;
	deleg_foreign_moved(d, NULL);
	err = deleg_end_all(d, ctx);
	if (err)
		atomic_store(&d->moved, true);
	return err;
}

static int enter(struct deleg *d, const struct fsp_ctx *ctx, const char *path,
                 bool whole)
{
	int err = follow_moves(d, ctx);

	if (!err && path && atomic_load(&d->n_foreign) > 1)
		err = ask_all(d, ctx, path, whole);
	if (err)
		return err;
	while (path && atomic_load(&d->n_foreign)) {
		struct dforeign *f;
		uint64_t ino = 0;

		fsp_lock(&d->lock);
		for (f = d->foreign; f && !concerns(f, path, whole);)
			f = f->next;
		if (f)
			ino = f->ino;
		fsp_unlock(&d->lock);
		if (!ino)
			break;
		err = recall(d, ctx, ino);
		if (err)
			return err;
		forget(d, ino);
	}
	return 0;
}

bool deleg_is_foreign(struct deleg *d, const char *path)
{
	const struct dforeign *f;

	if (!atomic_load(&d->n_foreign))
		return false;
	FSP_GUARD(&d->lock);
	for (f = d->foreign; f && !concerns(f, path, false);)
		f = f->next;
	return f != NULL;
}

int deleg_enter(struct deleg *d, const struct fsp_ctx *ctx, const char *path)
{
	return enter(d, ctx, path, false);
}

static int enter_place(struct deleg *d, const struct fsp_ctx *ctx,
                       const struct fsp_place *at, bool whole)
{
	FSP_FREE char *path = NULL;

	if (!atomic_load(&d->n_foreign) && !atomic_load(&d->moved))
		return 0;
	path = fsp_path_join(at->dir, at->name);
	return path ? enter(d, ctx, path, whole) : -ENOMEM;
}

int deleg_enter_at(struct deleg *d, const struct fsp_ctx *ctx,
                   const struct fsp_place *at)
{
	return enter_place(d, ctx, at, false);
}

int deleg_enter_tree(struct deleg *d, const struct fsp_ctx *ctx,
                     const struct fsp_place *at)
{
	return enter_place(d, ctx, at, true);
}

/* Ours is what is in memory here: how it is known, and its times. */
static bool is_ours(struct deleg *d, struct fsp_entry *e)
{
	struct dnode *n;

	FSP_GUARD(&d->lock);
	n = d->trees ? dnode_find(d, e->attr.ino) : NULL;
	if (n)
		dnode_touched(n, &e->attr);
	return n != NULL;
}

static bool is_mine(const struct deleg *d, int64_t holder)
{
	return holder && (holder == d->holder || holder == -d->holder);
}

void deleg_seen_path(struct deleg *d, const char *path, struct fsp_entry *e)
{
	struct fsp_ctx ctx = fsp_ctx_background();
	bool own;

	if (!S_ISDIR(e->attr.mode) || is_ours(d, e))
		return;
	/* With our number, and not in memory: it is just coming, or going, or
	 * nobody has heard that it was made. */
	own = is_mine(d, e->holder);
	if (own && atomic_load(&d->making))
		return;
	if (!e->holder && atomic_load(&d->n_foreign))
		forget(d, e->attr.ino);
	if (!e->holder || note(d, path, e->attr.ino, own))
		return;
	ctx.deadline_ns = fsp_mono_ns() + 2 * FORCE_NS;
	if (recall(d, &ctx, e->attr.ino))
		fsp_warn("/%s: another mount is making what is in it, and "
		         "cannot be asked", path);
}

void deleg_seen(struct deleg *d, const char *dir, const char *name,
                struct fsp_entry *e)
{
	FSP_FREE char *path = NULL;

	if (!S_ISDIR(e->attr.mode) ||
	    (!e->holder && !atomic_load(&d->n_foreign) &&
	     !atomic_load(&d->n_trees)))
		return;
	path = fsp_path_join(dir, name);
	deleg_seen_path(d, path ? path : "", e);
}

void deleg_foreign_moved(struct deleg *d, const char *path)
{
	if (!atomic_load(&d->n_foreign))
		return;
	FSP_GUARD(&d->lock);
	for (struct dforeign *f = d->foreign; f; f = f->next)
		f->moved = f->moved || !path || deleg_below(f->path, path);
}

void deleg_foreign_free(struct deleg *d)
{
	FSP_GUARD(&d->lock);
	while (d->foreign)
		drop_locked(d, &d->foreign);
}
