/* Reading directories: a snapshot for each pass. */
#include "vfs_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_ctx.h"

struct slot {
	size_t name;            /* offset in names */
	struct fsp_entry entry;
};

struct fsp_dirhandle {
	struct fsp_vfs *v;
	struct inode *dir;
	struct slot *slots;
	size_t n, cap;
	struct fsp_buf names;
	uint64_t as_of, names_seq;      /* v's when the rows were read */
	bool loaded;
};

int fsp_vfs_opendir(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t ino,
                    struct fsp_dirhandle **out)
{
	struct fsp_dirhandle *h;
	struct inode *i;
	int err = inode_ref(v, ino, &i);

	(void)ctx;      /* the rows are asked for when they are read */
	if (err)
		return err;
	h = is_dir(i) ? calloc(1, sizeof(*h)) : NULL;
	if (!h) {
		err = is_dir(i) ? -ENOMEM : -ENOTDIR;
		inode_unref(v, i);
		return err;
	}
	h->v = v;
	h->dir = i;
	*out = h;
	return 0;
}

static int add(void *arg, const char *name, const struct fsp_entry *e)
{
	struct fsp_dirhandle *h = arg;
	int err;

	if (h->n == h->cap) {
		size_t cap = h->cap ? h->cap * 2 : 32;
		struct slot *s = realloc(h->slots, cap * sizeof(*s));

		if (!s)
			return -ENOMEM;
		h->slots = s;
		h->cap = cap;
	}
	h->slots[h->n].name = h->names.len;
	h->slots[h->n].entry = *e;
	err = fsp_buf_add(&h->names, name, strlen(name) + 1);
	if (!err)
		h->n++;
	return err;
}

/* A name that .versions hides cannot come from the rows; PHP may have one. */
static int add_live(void *arg, const char *name, const struct fsp_entry *e)
{
	struct fsp_dirhandle *h = arg;

	return strcmp(name, h->v->versions_dir) == 0 ? 0 : add(h, name, e);
}

static int add_dots(struct fsp_dirhandle *h)
{
	struct fsp_entry self = { 0 }, up = { 0 };
	int err;

	fsp_lock(&h->v->lock);
	self.attr = h->dir->attr;
	up.attr = h->dir->parent ? h->dir->parent->attr : h->dir->attr;
	fsp_unlock(&h->v->lock);
	err = add(h, ".", &self);
	return err ? err : add(h, "..", &up);
}

static int load(struct fsp_dirhandle *h, const struct fsp_ctx *ctx)
{
	FSP_FREE char *path = NULL;
	int err;

	h->n = 0;
	h->loaded = false;
	fsp_buf_reset(&h->names);
	fsp_lock(&h->v->lock);
	h->as_of = h->v->seq;
	h->names_seq = h->v->names_seq;
	fsp_unlock(&h->v->lock);
	err = add_dots(h);
	if (!err && h->dir->kind != INODE_LIVE) {
		err = versions_list(h->v, ctx, h->dir, add, h);
	} else if (!err) {
		err = inode_path(h->v, h->dir, &path);
		if (err == -ESTALE)     /* removed while open: empty */
			err = 0;
		else if (!err)
			err = fsp_meta_list(h->v->store->meta, ctx, path,
			                    add_live, h);
	}
	h->loaded = !err;
	return err;
}

static bool names_ended(struct fsp_dirhandle *h)
{
	FSP_GUARD(&h->v->lock);
	return h->v->names_seq != h->names_seq;
}

static int count_lookup(struct fsp_dirhandle *h, const struct fsp_ctx *ctx,
                        const char *name, const struct fsp_entry *e,
                        struct fsp_attr *attr)
{
	struct inode *i;
	int err;

	if (h->dir->kind == INODE_VERSIONS)
		return versions_lookup(h->v, ctx, h->dir, name, attr);
	if (h->dir->kind != INODE_LIVE)
		return versions_enter(h->v, h->dir, name, e, attr);
	/* The snapshot may be of before a removal: ask again. */
	if (names_ended(h))
		return fsp_vfs_lookup(h->v, ctx, h->dir->ino, name, attr);
	err = inode_enter(h->v, h->dir, name, e, h->as_of, true, &i, attr);
	if (!err)
		inode_unref(h->v, i);
	return err;
}

int fsp_vfs_readdir(struct fsp_dirhandle *h, const struct fsp_ctx *ctx,
                    uint64_t pos, bool *counted, const char **name,
                    struct fsp_attr *attr)
{
	const struct slot *s;
	int err = pos == 0 || !h->loaded ? load(h, ctx) : 0;

	if (err)
		return err;
	if (pos >= h->n)
		return -ENOENT;
	s = &h->slots[pos];
	*name = h->names.data + s->name;
	*attr = s->entry.attr;
	*counted = *counted && pos >= 2;
	if (!*counted)
		return 0;
	err = count_lookup(h, ctx, *name, &s->entry, attr);
	if (err != -ENOENT && err != -ESTALE)
		return err;
	*attr = s->entry.attr;          /* gone meanwhile: a mere name */
	*counted = false;
	return 0;
}

void fsp_vfs_releasedir(struct fsp_dirhandle *h)
{
	inode_unref(h->v, h->dir);
	free(h->slots);
	fsp_buf_free(&h->names);
	free(h);
}

int fsp_vfs_fsyncdir(struct fsp_vfs *v, const struct fsp_ctx *ctx)
{
	return v->store->read_only ? 0 : fsp_meta_sync(v->store->meta, ctx);
}
