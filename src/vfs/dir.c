/* Reading directories: the kernel asks piece by piece. */
#include "dirlist.h"

#include <errno.h>
#include <stdlib.h>

#include "fsp_ctx.h"

struct fsp_dirlist {
	struct fsp_vfs *v;
	struct inode *dir;
	struct dirlist *list;
	size_t at;              /* behind the last one */
	uint64_t after;         /* its position */
	bool found, again;
	bool expected;          /* there is room for what may be looked up */
};

int fsp_vfs_list(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t ino,
                 uint64_t after, struct fsp_dirlist **out)
{
	struct fsp_dirlist *d;
	struct inode *i;
	int err = inode_ref(v, ino, &i);

	if (err)
		return err;
	d = is_dir(i) ? calloc(1, sizeof(*d)) : NULL;
	if (!d) {
		err = is_dir(i) ? -ENOMEM : -ENOTDIR;
		inode_unref(v, i);
		return err;
	}
	d->v = v;
	d->dir = i;
	if (!after)
		dirlist_wait(v, ctx, i);
	d->list = after ? dirlist_kept(v, i) : dirlist_vouched(v, i);
	err = d->list ? 0 : dirlist_load(v, ctx, i, 0, &d->list);
	if (!err && !after)
		scan_visit(v, i);
	if (err) {
		inode_unref(v, i);
		free(d);
		return err;
	}
	*out = d;
	return 0;
}

static void seek(struct fsp_dirlist *d, uint64_t after)
{
	size_t lo = 0, hi = d->list->n;

	if (d->found && d->after == after)
		return;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (d->list->slots[mid].pos <= after)
			lo = mid + 1;
		else
			hi = mid;
	}
	d->at = lo;
	d->found = true;
}

/* Has this mount ended a name in it since? */
static bool names_ended(struct fsp_vfs *v, const struct dirlist *l)
{
	FSP_GUARD(&v->lock);
	return names_ended_locked(v, l->dir, &l->when);
}

/* Who looks one up in passing will do so with all that are behind it. */
static void expect(struct fsp_dirlist *d)
{
	if (d->expected)
		return;
	d->expected = true;
	FSP_GUARD(&d->v->lock);
	table_expect_locked(d->v, d->list->n - d->at);
}

static int count_lookup(struct fsp_dirlist *d, const struct fsp_ctx *ctx,
                        const char *name, const struct fsp_entry *e,
                        struct fsp_attr *attr)
{
	struct fsp_vfs *v = d->v;
	struct inode *i;
	int err;

	if (d->dir->kind == INODE_VERSIONS)
		return versions_lookup(v, ctx, d->dir, name, attr);
	if (d->dir->kind != INODE_LIVE)
		return versions_enter(v, d->dir, name, e, attr);
	expect(d);
	if (inode_enter_first(v, d->dir, name, e, &d->list->when))
		return 0;               /* *attr is what the list says */
	/* The list may be of before a removal: ask again. */
	if (names_ended(v, d->list))
		return fsp_vfs_lookup(v, ctx, d->dir->ino, name, attr);
	err = inode_enter_listed(v, d->dir, name, e, d->list->when.as_of, true, &i,
	                         attr);
	if (err)
		return err;
	attr_vouch(v, i, d->list->when.read_ns, d->list->when.as_of);
	inode_unref(v, i);
	return 0;
}

/* Others have changed something: once in a call it is read anew. */
static int load_again(struct fsp_dirlist *d, const struct fsp_ctx *ctx)
{
	struct dirlist *l;
	int err;

	if (d->again)
		return -ESTALE;
	err = dirlist_load(d->v, ctx, d->dir, 0, &l);
	if (err)
		return err;
	dirlist_put(d->v, d->list);
	d->list = l;
	d->again = true;
	d->found = false;
	return 0;
}

int fsp_vfs_list_next(struct fsp_dirlist *d, const struct fsp_ctx *ctx,
                      uint64_t *after, bool *counted, const char **name,
                      struct fsp_attr *attr)
{
	bool count = *counted;
	const struct slot *s;
	int err = 0;

	do {
		seek(d, *after);
		if (d->at >= d->list->n)
			return -ENOENT;
		s = &d->list->slots[d->at];
		*name = dirlist_name(d->list, d->at);
		*attr = s->entry.attr;
		*counted = count && s->pos >= POS_FIRST;
		if (*counted)
			err = count_lookup(d, ctx, *name, &s->entry, attr);
	} while (err == -EAGAIN && (err = load_again(d, ctx)) == 0);
	if (err && err != -ENOENT && err != -ESTALE)
		return err;
	if (err) {
		*attr = s->entry.attr;  /* gone meanwhile: a mere name */
		*counted = false;
	}
	*after = d->after = s->pos;
	d->at++;
	return 0;
}

/*
 * What others changed since it was read, the kernel is told after this answer,
 * and drops it then.
 */
bool fsp_vfs_list_keep(struct fsp_dirlist *d)
{
	if (d->dir->kind != INODE_LIVE || !news_vouch(d->v)) {
		dirlist_forget(d->v, d->list);
		return false;
	}
	/* It stays a while: the kernel keeps what it reads the second time. */
	news_listed(d->v, d->dir);
	return true;
}

void fsp_vfs_list_end(struct fsp_dirlist *d)
{
	dirlist_put(d->v, d->list);
	inode_unref(d->v, d->dir);
	free(d);
}

int fsp_vfs_fsyncdir(struct fsp_vfs *v, const struct fsp_ctx *ctx)
{
	int err = v->store->read_only ? 0 : lazy_flush_all(v, ctx);

	return err || v->store->read_only ? err
		: fsp_meta_sync(v->store->meta, ctx);
}
