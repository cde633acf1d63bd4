/*
 * .versions: what was there before, read-only.
 *
 *   D/.versions            INODE_VERSIONS  names that have history in D
 *   D/.versions/f          INODE_HISTORY   one entry for each stored version
 *   D/.versions/f/<entry>  INODE_PAST      that version
 *   D/.versions/gone/...   INODE_PAST      a deleted directory, as it last was
 *   D/.versions/@TIME/...  INODE_PAST      D as it was then
 *
 * Inode numbers are hashes with bit 63 set, equal on every host.
 */
#include "vfs_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_ctx.h"
#include "fsp_path.h"
#include "fsp_version.h"

#define INO_PAST (1ULL << 63)

static uint64_t past_ino(uint64_t parent, enum inode_kind kind, const char *name)
{
	uint64_t h = fsp_hash64(name, strlen(name), parent * 4 + (uint64_t)kind);

	return INO_PAST | h;
}

/*
 * Who may read a version: whom its own mode and that of today allow. One mode
 * has to say both. Where the owners differ, a class gets what it would get
 * under any class of the other: never too much. The bits to write stay, for
 * cp -p to bring back; writing is EROFS whatever they say.
 */
static uint32_t both_modes(const struct fsp_attr *own, const struct fsp_attr *now)
{
	uint32_t all = now->mode & now->mode >> 3 & now->mode >> 6 & 07;
	uint32_t mode = own->mode & 0777;
	uint32_t allow = now->mode;

	if (own->uid != now->uid)
		allow = all << 6 | all << 3 | all;
	else if (own->gid != now->gid)
		allow = (now->mode & 0700) | all << 3 | all;
	return mode & (allow | 0222);
}

/*
 * A directory's read bits stand for a file's, and x follows r. A file that is
 * not what it was any more runs as nobody else; what a directory gives to new
 * entries is for cp -a to bring back.
 */
static void restrict_to(struct fsp_attr *a, const struct fsp_attr *now)
{
	struct fsp_attr limit = *now;
	uint32_t keep = S_IFMT;

	if (S_ISDIR(a->mode))
		keep |= S_ISGID | S_ISVTX;
	limit.mode |= (limit.mode & 0444) >> 2;
	a->mode = (a->mode & keep) | both_modes(a, &limit);
}

/* Attributes of a directory of .versions itself. */
static void shadow_dir(struct fsp_attr *out, const struct fsp_attr *dir,
                       uint64_t ino)
{
	*out = *dir;
	out->ino = ino;
	out->mode = S_IFDIR | (dir->mode & 0555);
	out->nlink = 1;
}

int versions_root(struct fsp_vfs *v, struct inode *dir, struct fsp_attr *out)
{
	struct fsp_attr self;

	inode_attr(v, dir, &self);
	shadow_dir(out, &self, past_ino(self.ino, INODE_VERSIONS, ""));
	return inode_enter_past(v, dir, v->versions_dir, INODE_VERSIONS, out,
	                        NULL);
}

/*
 * Of a directory's mode, owner and times only the last are kept. A time that is
 * later than what is shown came with a later change.
 */
static void not_after(struct fsp_attr *a, int64_t at_us)
{
	int64_t at_ns = at_us > INT64_MAX / 1000 ? INT64_MAX : at_us * 1000;

	if (a->mtime_ns > at_ns)
		a->mtime_ns = at_ns;
	if (a->ctime_ns > at_ns)
		a->ctime_ns = at_ns;
}

/* The live directory that a .versions belongs to, for one in any depth. */
static int shadowed(struct fsp_vfs *v, struct inode *i, char **path,
                    struct fsp_attr *attr)
{
	struct inode *dir = NULL;
	int err;

	fsp_lock(&v->lock);
	while (i && i->kind != INODE_LIVE)
		i = i->parent;
	if (i) {
		dir = i;
		dir->refs++;
	}
	fsp_unlock(&v->lock);
	if (!dir)
		return -ESTALE;
	inode_attr(v, dir, attr);
	err = inode_path(v, dir, path);
	inode_unref(v, dir);
	return err;
}

/* Whose mode counts today: the file's, or its directory's when it is gone. */
static int today(struct fsp_vfs *v, const struct fsp_ctx *ctx, const char *dir,
                 const struct fsp_attr *dir_attr, const char *name,
                 struct fsp_attr *out)
{
	struct fsp_entry e;
	int err = fsp_meta_lookup(v->store->meta, ctx, dir, name, true, &e);

	*out = err ? *dir_attr : e.attr;
	return err == -ENOENT ? 0 : err;
}

/*
 * The file that had this version may live on under another name, with a mode
 * that is stricter by now.
 */
static int restrict_to_living(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                              uint64_t ino, struct fsp_attr *a)
{
	struct fsp_ref ref = { .ino = ino, .path = "" };
	struct fsp_entry e;
	int err = ino ? fsp_meta_getattr(v->store->meta, ctx, &ref, &e) : -ESTALE;

	if (!err)
		restrict_to(a, &e.attr);
	return err == -ESTALE || err == -ENOENT ? 0 : err;
}

/* One version as an entry of .versions/NAME. */
struct history {
	struct fsp_vfs *v;
	const struct fsp_ctx *ctx;
	const char *name;
	struct fsp_attr now;
	uint64_t parent;
	fsp_meta_each each;
	void *arg;
};

static int history_entry(void *arg, const struct fsp_version *ver)
{
	struct history *h = arg;
	struct fsp_entry e = { .attr = ver->attr };
	char name[256];
	int err = restrict_to_living(h->v, h->ctx, ver->attr.ino, &e.attr);

	if (err)
		return err;
	fsp_version_name(name, h->name, ver->stored_us, ver->row);
	restrict_to(&e.attr, &h->now);
	e.attr.ino = past_ino(h->parent, INODE_PAST, name);
	e.attr.nlink = 1;
	e.content.row = ver->row;
	e.content.size = ver->attr.size;
	strcpy(e.content.hash, ver->hash);
	return h->each(h->arg, name, &e);
}

static int list_history(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                        struct inode *i, fsp_meta_each each, void *arg)
{
	FSP_FREE char *dir = NULL, *path = NULL, *name = NULL;
	struct history h = { .v = v, .ctx = ctx, .parent = i->ino,
	                     .each = each, .arg = arg };
	struct fsp_attr dir_attr;
	int err = shadowed(v, i, &dir, &dir_attr);

	if (err)
		return err;
	fsp_lock(&v->lock);
	name = i->name ? strdup(i->name) : NULL;
	fsp_unlock(&v->lock);
	if (!name)
		return -ESTALE;
	h.name = name;
	path = fsp_path_join(dir, name);
	if (!path)
		return -ENOMEM;
	err = today(v, ctx, dir, &dir_attr, name, &h.now);
	if (err)
		return err;
	return fsp_meta_history(v->store->meta, ctx, path, history_entry, &h);
}

/* Entries of a directory as it was: the same limits by today's directory. */
struct past_list {
	struct fsp_vfs *v;
	const struct fsp_ctx *ctx;
	uint64_t parent;
	int64_t at_us;
	struct fsp_attr now;
	fsp_meta_each each;
	void *arg;
};

static int past_entry(const struct past_list *p, const char *name,
                      struct fsp_entry *e)
{
	int err = 0;

	if (!S_ISLNK(e->attr.mode)) {
		err = restrict_to_living(p->v, p->ctx, e->attr.ino, &e->attr);
		restrict_to(&e->attr, &p->now);
	}
	if (S_ISDIR(e->attr.mode))
		not_after(&e->attr, p->at_us);
	/* A symlink's number leads to its target: content.row is free there. */
	if (!S_ISREG(e->attr.mode))
		e->content.row = (int64_t)e->attr.ino;
	e->attr.ino = past_ino(p->parent, INODE_PAST, name);
	e->attr.nlink = 1;
	return err;
}

static int past_each(void *arg, const char *name, const struct fsp_entry *e)
{
	struct past_list *p = arg;
	struct fsp_entry shown = *e;
	int err = past_entry(p, name, &shown);

	return err ? err : p->each(p->arg, name, &shown);
}

static int list_past(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                     struct inode *i, fsp_meta_each each, void *arg)
{
	struct past_list p = { .v = v, .ctx = ctx, .parent = i->ino,
	                       .at_us = i->past->at_us,
	                       .each = each, .arg = arg };
	FSP_FREE char *dir = NULL;
	int err = shadowed(v, i, &dir, &p.now);

	if (err)
		return err;
	return fsp_meta_list_at(v->store->meta, ctx, i->past->path,
	                        i->past->at_us, past_each, &p);
}

struct names {
	uint64_t parent;
	struct fsp_attr dir;
	fsp_meta_each each;
	void *arg;
};

static int past_name(void *arg, const char *name, enum fsp_past kind)
{
	struct names *n = arg;
	struct fsp_entry e = { 0 };

	(void)kind;     /* both are directories here */
	shadow_dir(&e.attr, &n->dir,
	           past_ino(n->parent, INODE_HISTORY, name));
	return n->each(n->arg, name, &e);
}

int versions_list(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                  struct inode *dir, fsp_meta_each each, void *arg)
{
	struct names n = { .parent = dir->ino, .each = each, .arg = arg };
	FSP_FREE char *path = NULL;
	int err;

	if (dir->kind == INODE_HISTORY)
		return list_history(v, ctx, dir, each, arg);
	if (dir->kind == INODE_PAST)
		return list_past(v, ctx, dir, each, arg);
	err = shadowed(v, dir, &path, &n.dir);
	if (err)
		return err;
	return fsp_meta_past_names(v->store->meta, ctx, path, past_name, &n);
}

static struct past *past_new(const struct inode *dir, const char *name,
                             const struct fsp_entry *e)
{
	struct past *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->content = e->content;
	if (S_ISREG(e->attr.mode) || !dir->past)
		return p;
	p->row_ino = (uint64_t)e->content.row;
	p->at_us = dir->past->at_us;
	p->path = fsp_path_join(dir->past->path, name);
	if (p->path)
		return p;
	free(p);
	return NULL;
}

int versions_enter(struct fsp_vfs *v, struct inode *dir, const char *name,
                   const struct fsp_entry *e, struct fsp_attr *out)
{
	struct past *p = past_new(dir, name, e);

	if (!p)
		return -ENOMEM;
	*out = e->attr;
	return inode_enter_past(v, dir, name, INODE_PAST, out, p);
}

static int stop_at_first(void *arg, const struct fsp_version *ver)
{
	(void)arg;
	(void)ver;
	return 1;
}

/* A directory that is gone, as it was just before it ended. */
static int lookup_ended(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                        struct inode *i, const char *dir, const char *name,
                        const struct fsp_attr *dir_attr, struct fsp_attr *out)
{
	FSP_FREE char *path = fsp_path_join(dir, name);
	FSP_FREE char *was = NULL, *was_dir = NULL, *was_name = NULL;
	struct fsp_entry e;
	struct past *p;
	int64_t at = 0;
	int err = path ? fsp_meta_dir_ended(v->store->meta, ctx, path, &at, &was)
	               : -ENOMEM;

	at--;
	if (!err)
		err = fsp_path_split(was, &was_dir, &was_name);
	if (!err)
		err = fsp_meta_lookup_at(v->store->meta, ctx, was_dir, was_name,
		                         at, &e);
	if (err)
		return err;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->path = fsp_steal(was);
	p->at_us = at;
	*out = e.attr;
	restrict_to(out, dir_attr);
	not_after(out, at);
	/* It may be made and removed again: another time, another inode. */
	out->ino = past_ino(i->ino ^ (uint64_t)at << 2, INODE_PAST, name);
	return inode_enter_past(v, i, name, INODE_PAST, out, p);
}

/*
 * There is one again: who is just copying the old one back to where it was
 * stays in it, as long as the kernel knows it.
 */
static int lookup_known(struct fsp_vfs *v, struct inode *i, const char *name,
                        const struct fsp_attr *dir_attr, struct fsp_attr *out)
{
	struct inode *past;
	int err;

	fsp_lock(&v->lock);
	past = table_at_locked(v, i, name, NULL);
	while (past && (past->kind != INODE_PAST || !past->past ||
	                !past->past->path || !past->nlookup))
		past = table_at_locked(v, i, name, past);
	if (past) {
		past->refs++;
		*out = past->attr;
	}
	fsp_unlock(&v->lock);
	if (!past)
		return -ENOENT;
	restrict_to(out, dir_attr);
	err = inode_enter_past(v, i, name, INODE_PAST, out, NULL);
	inode_unref(v, past);
	return err;
}

/* .versions/@TIME: the directory as it was, under the name it had. */
static int lookup_time(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                       struct inode *i, const char *name, struct fsp_attr *out)
{
	FSP_FREE char *dir = NULL;
	struct fsp_attr attr;
	struct fsp_ref ref;
	struct past *p;
	int64_t at;
	int err = shadowed(v, i, &dir, &attr);

	if (err)
		return err;
	if (fsp_time_parse(name, &at))
		return -ENOENT;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	ref.ino = attr.ino;
	ref.path = dir;
	p->at_us = at;
	err = fsp_meta_path_at(v->store->meta, ctx, &ref, at, &p->path);
	if (err) {
		free(p);
		return err;
	}
	shadow_dir(out, &attr, past_ino(i->ino, INODE_PAST, name));
	/* For cp -a to bring back, as the files' bits to write are. */
	out->mode = attr.mode;
	not_after(out, at);
	return inode_enter_past(v, i, name, INODE_PAST, out, p);
}

static int enter_history(struct fsp_vfs *v, struct inode *i, const char *name,
                         const struct fsp_attr *dir_attr, struct fsp_attr *out)
{
	shadow_dir(out, dir_attr, past_ino(i->ino, INODE_HISTORY, name));
	return inode_enter_past(v, i, name, INODE_HISTORY, out, NULL);
}

static int lookup_name(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                       struct inode *i, const char *name, struct fsp_attr *out)
{
	FSP_FREE char *dir = NULL, *path = NULL;
	struct fsp_attr dir_attr;
	int err = shadowed(v, i, &dir, &dir_attr);

	if (err)
		return err;
	path = fsp_path_join(dir, name);
	if (!path)
		return -ENOMEM;
	err = fsp_meta_history(v->store->meta, ctx, path, stop_at_first, NULL);
	if (err == -ENOENT || err == 0)
		err = lookup_ended(v, ctx, i, dir, name, &dir_attr, out);
	else if (err > 0)
		return enter_history(v, i, name, &dir_attr, out);
	/* A name that is in the way of a time has the first word. */
	if (err == -ENOENT && *name == '@')
		err = lookup_time(v, ctx, i, name, out);
	return err == -ENOENT ? lookup_known(v, i, name, &dir_attr, out) : err;
}

struct find {
	const char *name;
	struct fsp_entry entry;
};

static int find_entry(void *arg, const char *name, const struct fsp_entry *e)
{
	struct find *f = arg;

	if (strcmp(name, f->name) != 0)
		return 0;
	f->entry = *e;
	return 1;
}

static int lookup_version(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                          struct inode *i, const char *name,
                          struct fsp_attr *out)
{
	struct find f = { .name = name };
	int64_t row;
	int err = fsp_version_parse(name, &row) ? -ENOENT
		: list_history(v, ctx, i, find_entry, &f);

	if (err == 0)
		err = -ENOENT;
	if (err < 0)
		return err;
	return versions_enter(v, i, name, &f.entry, out);
}

static int lookup_past(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                       struct inode *i, const char *name, struct fsp_attr *out)
{
	struct past_list p = { .v = v, .ctx = ctx, .parent = i->ino,
	                       .at_us = i->past->at_us };
	FSP_FREE char *dir = NULL;
	struct fsp_entry e;
	int err = shadowed(v, i, &dir, &p.now);

	if (!err)
		err = fsp_meta_lookup_at(v->store->meta, ctx, i->past->path,
		                         name, i->past->at_us, &e);
	if (err)
		return err;
	err = past_entry(&p, name, &e);
	if (err)
		return err;
	return versions_enter(v, i, name, &e, out);
}

int versions_lookup(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                    struct inode *dir, const char *name, struct fsp_attr *out)
{
	switch (dir->kind) {
	case INODE_VERSIONS:
		return lookup_name(v, ctx, dir, name, out);
	case INODE_HISTORY:
		return lookup_version(v, ctx, dir, name, out);
	case INODE_PAST:
		return lookup_past(v, ctx, dir, name, out);
	case INODE_LIVE:
		break;
	}
	return -ENOENT;
}

int versions_readlink(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                      struct inode *i, char **target)
{
	if (!i->past || !i->past->row_ino)
		return -EINVAL;
	return fsp_meta_readlink(v->store->meta, ctx, i->past->row_ino, target);
}
