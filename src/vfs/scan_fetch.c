/*
 * What is next for somebody who goes through a tree, fetched by the threads of
 * ahead.c. DESIGN.md, "Scans".
 */
#include "dirlist.h"

#include <errno.h>
#include <stdlib.h>

#include "fsp_ctx.h"

#define FILE_MOST (256U << 10)
#define FILES_MOST 32           /* of one directory */
#define LISTED_MOST 20000       /* what is larger is not read ahead */

/* What is next: directories, whoever comes to them waits; and files. */
struct next {
	struct ahead_job job;
	struct dirlist *list;           /* referenced */
	struct inode *dir[FSP_LIST_MANY];       /* referenced */
	size_t n_dirs, file[FSP_LIST_MANY], n_files;    /* slots */
	bool content;
};

/* The small files of a directory. */
struct files {
	struct ahead_job job;
	struct dirlist *list;   /* referenced */
};

/* Whoever opens it then meets the error himself. */
static void fetch_file(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                       const struct fsp_entry *e)
{
	const struct fsp_content *c = &e->content;
	struct fsp_cached *h;

	if (!S_ISREG(e->attr.mode) || !c->size || c->size > FILE_MOST ||
	    fsp_cache_get(v->cache, ctx, c->hash, c->size, &h))
		return;
	(void)fsp_cached_fill(h, ctx, 0, c->size);
	fsp_cached_put(h);
}

static void run_files(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                      struct ahead_job *j)
{
	struct dirlist *l = ((struct files *)j)->list;
	size_t files = 0;

	for (size_t k = DIRLIST_DOTS; k < l->n && files < FILES_MOST &&
	     !fsp_ctx_check(ctx); k++) {
		files += S_ISREG(l->slots[k].entry.attr.mode);
		fetch_file(v, ctx, &l->slots[k].entry);
	}
}

static void end_files(struct fsp_vfs *v, struct ahead_job *j)
{
	dirlist_put(v, ((struct files *)j)->list);
	free(j);
}

/* Takes over the reference. */
static void queue_files(struct fsp_vfs *v, struct dirlist *l)
{
	struct files *f = calloc(1, sizeof(*f));

	if (!f) {
		dirlist_put(v, l);
		return;
	}
	*f = (struct files){ { NULL, run_files, end_files }, l };
	if (!ahead_add(v, &f->job))
		end_files(v, &f->job);
}

/* Lists them, those of records together. */
static void fetch_dirs(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                       struct next *x)
{
	struct dirlist *l[FSP_LIST_MANY] = { NULL };

	if (x->n_dirs > 1)
		dirlist_load_many(v, ctx, x->dir, x->n_dirs, LISTED_MOST, l);
	for (size_t k = 0; k < x->n_dirs && !fsp_ctx_check(ctx); k++)
		if (!l[k] && !dirlist_large(v, x->dir[k]))
			(void)dirlist_load(v, ctx, x->dir[k], LISTED_MOST,
			                   &l[k]);
	dirlist_end(v, x->dir, x->n_dirs);
	for (size_t k = 0; k < x->n_dirs; k++) {
		if (l[k] && x->content)
			queue_files(v, l[k]);
		else
			dirlist_put(v, l[k]);
	}
}

static void run_next(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                     struct ahead_job *j)
{
	struct next *x = (struct next *)j;

	if (x->n_dirs)
		fetch_dirs(v, ctx, x);
	for (size_t k = 0; k < x->n_files; k++)
		fetch_file(v, ctx, &x->list->slots[x->file[k]].entry);
}

static void end_next(struct fsp_vfs *v, struct ahead_job *j)
{
	struct next *x = (struct next *)j;

	dirlist_end(v, x->dir, x->n_dirs);
	while (x->n_dirs)
		inode_unref(v, x->dir[--x->n_dirs]);
	dirlist_put(v, x->list);
	free(x);
}

/* A directory that is not known yet, or a file that is to be read. */
static void add_next(struct fsp_vfs *v, struct next *x, size_t slot)
{
	const struct fsp_entry *e = &x->list->slots[slot].entry;
	struct dirlist *known;
	struct inode *i;

	if (!S_ISDIR(e->attr.mode)) {
		if (x->content)
			x->file[x->n_files++] = slot;
		return;
	}
	if (inode_enter_listed(v, x->list->dir, dirlist_name(x->list, slot), e,
	                       x->list->as_of, false, &i, NULL))
		return;
	known = dirlist_vouched(v, i);
	if (known && x->content) {
		queue_files(v, known);
		known = NULL;
	} else if (!known && !dirlist_large(v, i)) {
		x->dir[x->n_dirs++] = i;
		return;
	}
	dirlist_put(v, known);
	inode_unref(v, i);
}

bool scan_fetch(struct fsp_vfs *v, struct dirlist *l, const size_t *slots,
                size_t n, bool content)
{
	struct next *x = calloc(1, sizeof(*x));
	bool queued;

	if (!x)
		return false;
	*x = (struct next){ { NULL, run_next, end_next }, l,
	                    .content = content };
	dirlist_ref(v, l);
	for (size_t k = 0; k < n; k++)
		add_next(v, x, slots[k]);
	queued = !x->n_dirs && !x->n_files;
	if (!queued) {
		dirlist_begin(v, x->dir, x->n_dirs);
		queued = ahead_add(v, &x->job);
		if (queued)
			return true;
	}
	end_next(v, &x->job);
	return queued;
}
