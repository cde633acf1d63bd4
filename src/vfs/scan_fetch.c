/*
 * What is next for somebody who goes through a tree, fetched by the threads of
 * ahead.c. DESIGN.md, "Scans".
 */
#include "dirlist.h"

#include <stdlib.h>

#include "fsp_clock.h"
#include "fsp_ctx.h"

#define FILE_MOST (256U << 10)
#define FILES_MOST 32           /* of one directory */
#define LISTED_MOST 20000       /* what is larger is not read ahead */

/* Directories that are next: whoever comes to them waits. */
struct next {
	struct ahead_job job;
	struct inode *dir[FSP_LIST_MANY];       /* referenced */
	size_t n;
	uint64_t scan;          /* for which it is done */
	bool content;           /* their files are to be fetched, too */
};

/* Small files. */
struct files {
	struct ahead_job job;
	uint64_t scan;          /* for which it is done */
	bool below;             /* of the directories in it */
	size_t n;
	struct fsp_content c[FILES_MOST];
};

/* Whether it was not there. Whoever opens it then meets the error himself. */
static bool fetch_file(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                       const struct fsp_content *c)
{
	struct fsp_cached *h;
	bool missing;
	char byte;

	if (fsp_cache_get(v->cache, ctx, c->hash, c->size, &h))
		return true;
	missing = fsp_cached_peek(h, &byte, 1, 0) != 1;
	if (missing)
		(void)fsp_cached_fill(h, ctx, 0, c->size);
	fsp_cached_put(h);
	return missing;
}

static void run_files(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                      struct ahead_job *j)
{
	struct files *f = (struct files *)j;
	size_t missing = 0;

	for (size_t k = 0; k < f->n && !fsp_ctx_check(ctx); k++)
		missing += fetch_file(v, ctx, &f->c[k]);
	scan_fetched(v, f->scan, f->below, missing);
}

static void end_files(struct fsp_vfs *v, struct ahead_job *j)
{
	(void)v;
	free(j);
}

static struct files *files_new(uint64_t scan)
{
	struct files *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->job = (struct ahead_job){ NULL, true, run_files, end_files };
	f->scan = scan;
	return f;
}

static void add_file(struct files *f, const struct fsp_entry *e)
{
	if (f && f->n < FILES_MOST && S_ISREG(e->attr.mode) &&
	    e->content.size && e->content.size <= FILE_MOST)
		f->c[f->n++] = e->content;
}

static void queue_files(struct fsp_vfs *v, struct files *f)
{
	if (f && (!f->n || !ahead_add(v, &f->job)))
		free(f);
}

/* Those of a directory. */
static void queue_files_of(struct fsp_vfs *v, const struct dirlist *l,
                           uint64_t scan)
{
	struct files *f = files_new(scan);

	for (size_t k = DIRLIST_DOTS; k < l->n; k++)
		add_file(f, &l->slots[k].entry);
	if (f)
		f->below = true;
	queue_files(v, f);
}

struct fsp_ctx scan_ctx(struct fsp_vfs *v, const struct fsp_ctx *ctx)
{
	struct fsp_ctx rows = *ctx;

	rows.deadline_ns = fsp_mono_ns() + fsp_vfs_patience(v);
	return rows;
}

/* Lists them, those of records together. */
static void run_next(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                     struct ahead_job *j)
{
	struct next *x = (struct next *)j;
	struct dirlist *l[FSP_LIST_MANY] = { NULL };
	struct fsp_ctx rows = scan_ctx(v, ctx);

	if (x->n > 1)
		dirlist_load_many(v, &rows, x->dir, x->n, LISTED_MOST, l);
	for (size_t k = 0; k < x->n && !fsp_ctx_check(&rows); k++)
		if (!l[k] && !dirlist_large(v, x->dir[k], LISTED_MOST))
			(void)dirlist_load(v, &rows, x->dir[k], LISTED_MOST,
			                   &l[k]);
	for (size_t k = 0; k < x->n; k++) {
		if (l[k] && x->content)
			queue_files_of(v, l[k], x->scan);
		dirlist_put(v, l[k]);
	}
}

static void end_next(struct fsp_vfs *v, struct ahead_job *j)
{
	struct next *x = (struct next *)j;

	dirlist_end(v, x->dir, x->n);
	while (x->n)
		inode_unref(v, x->dir[--x->n]);
	free(x);
}

/* A directory: to be listed, or it is already, and its files are fetched. */
static void add_dir(struct fsp_vfs *v, struct next *x, struct dirlist *l,
                    size_t slot)
{
	struct dirlist *known;
	struct inode *i;

	if (inode_enter_listed(v, l->dir, dirlist_name(l, slot),
	                       &l->slots[slot].entry, l->when.as_of, false, &i,
	                       NULL))
		return;
	known = dirlist_vouched(v, i);
	if (!known && !dirlist_large(v, i, LISTED_MOST)) {
		x->dir[x->n++] = i;
		return;
	}
	if (known && x->content)
		queue_files_of(v, known, x->scan);
	dirlist_put(v, known);
	inode_unref(v, i);
}

static bool queue_next(struct fsp_vfs *v, struct next *x)
{
	if (!x->n) {
		free(x);
		return true;
	}
	dirlist_begin(v, x->dir, x->n);
	if (ahead_add(v, &x->job))
		return true;
	end_next(v, &x->job);
	return false;
}

bool scan_fetch(struct fsp_vfs *v, struct dirlist *l, const size_t *slots,
                size_t n, bool content)
{
	struct next *x = calloc(1, sizeof(*x));
	uint64_t scan = l->dir->ino;
	struct files *f = content ? files_new(scan) : NULL;

	if (!x) {
		free(f);
		return false;
	}
	*x = (struct next){ { NULL, false, run_next, end_next },
	                    .scan = scan, .content = content };
	for (size_t k = 0; k < n; k++) {
		if (S_ISDIR(l->slots[slots[k]].entry.attr.mode))
			add_dir(v, x, l, slots[k]);
		else
			add_file(f, &l->slots[slots[k]].entry);
	}
	queue_files(v, f);
	return queue_next(v, x);
}
