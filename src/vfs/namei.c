/* Names: look-up, making, linking, removing, renaming. */
#include "dirlist.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_path.h"

static bool is_versions(const struct fsp_vfs *v, const char *name)
{
	return strcmp(name, v->versions_dir) == 0;
}

/* A directory of today, for changing what is in it. */
static int dir_for_change(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                          uint64_t ino, const char *name, struct inode **dir,
                          char **path)
{
	int err = inode_ref(v, ino, dir);

	*path = NULL;
	if (err)
		return err;
	if (!is_dir(*dir))
		err = -ENOTDIR;
	else if ((*dir)->kind != INODE_LIVE || v->store->read_only)
		err = -EROFS;
	else if (strlen(name) > FSP_NAME_MAX)
		err = -ENAMETOOLONG;
	else
		err = lazy_flush(v, ctx, *dir);
	if (!err)
		err = inode_path(v, *dir, path);
	if (err) {
		inode_unref(v, *dir);
		*dir = NULL;
	}
	return err;
}

/* An answer that a directory gives that has just been renamed. */
static bool lost(int err)
{
	return err == -ENOENT || err == -ESTALE || err == -ENOTDIR;
}

static bool name_known(struct fsp_vfs *v, const struct inode *dir,
                       const char *name)
{
	FSP_GUARD(&v->lock);
	return table_at_locked(v, dir, name, NULL) != NULL;
}

/*
 * What a list of the directory says that is vouched for. That a name is not
 * there is asked each time, and so is who was told something that was too old.
 */
static int lookup_listed(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                         struct inode *dir, const char *name,
                         struct fsp_attr *out)
{
	struct fsp_entry e;
	struct inode *i;
	uint64_t as_of;
	int64_t read_ns;
	int err;

	if (retry_waits(v, ctx))
		return -EAGAIN;
	dirlist_wait(v, ctx, dir);
	if (!dirlist_entry(v, dir, name, &e, &as_of, &read_ns))
		return -EAGAIN;
	err = inode_enter_listed(v, dir, name, &e, as_of, true, &i, out);
	if (err)
		return -EAGAIN;
	attr_vouch(v, i, read_ns, as_of);
	inode_unref(v, i);
	return 0;
}

static int lookup_live(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                       struct inode *dir, const char *name,
                       struct fsp_attr *out)
{
	FSP_FREE char *path = NULL;
	struct fsp_entry e;
	struct inode *i;
	uint64_t as_of, seen = names_seq(v);
	int64_t began;
	int err = inode_path(v, dir, &path);

	if (err)
		return err;
	do {
		do {
			as_of = inode_seq(v);
			began = fsp_mono_ns();
			err = fsp_meta_lookup(v->store->meta, ctx, path, name,
			                      name_known(v, dir, name),
			                      &e);
		} while (lost(err) && path_moved(v, dir, &path, &seen));
		if (offline(v, err))
			return offline_lookup(v, dir, name, out);
		retry_found(v, ctx, dir, name, err ? NULL : &e);
		if (!err)
			err = inode_enter(v, dir, name, &e, as_of, true, &i,
			                  out);
	} while (err == -EAGAIN);
	if (err)
		return err;
	attr_vouch(v, i, began, as_of);
	inode_unref(v, i);
	return 0;
}

static int lookup_today(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                        struct inode *dir, const char *name,
                        struct fsp_attr *out)
{
	int err = lookup_listed(v, ctx, dir, name, out);

	return err == -EAGAIN ? lookup_live(v, ctx, dir, name, out) : err;
}

int fsp_vfs_lookup(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t dir,
                   const char *name, struct fsp_attr *out)
{
	struct inode *d;
	int err;

	if (strlen(name) > FSP_NAME_MAX)
		return -ENAMETOOLONG;
	err = inode_ref(v, dir, &d);
	if (err)
		return err;
	if (!is_dir(d))
		err = -ENOTDIR;
	else if (d->kind != INODE_LIVE)
		err = versions_lookup(v, ctx, d, name, out);
	else if (is_versions(v, name))
		err = versions_root(v, d, out);
	else
		err = lookup_today(v, ctx, d, name, out);
	if (!err)
		scan_visit(v, d);
	inode_unref(v, d);
	return err;
}

/* mknod of a regular file: made and committed empty, nobody will close it. */
static int make_regular(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                        uint64_t dir, const char *name, uint32_t mode,
                        struct fsp_attr *out)
{
	struct fsp_opened o;
	int err = fsp_vfs_create(v, ctx, dir, name, mode, O_WRONLY | O_EXCL, out,
	                         &o);

	if (err)
		return err;
	err = fsp_vfs_fsync(o.handle, ctx);
	fsp_vfs_release(o.handle, ctx);
	if (err)
		fsp_vfs_forget(v, out->ino, 1);
	return err;
}

int fsp_vfs_make(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t dir,
                 const char *name, uint32_t mode, uint64_t rdev,
                 const char *target, struct fsp_attr *out)
{
	struct fsp_new what = { .mode = mode, .uid = ctx->uid, .gid = ctx->gid,
	                        .rdev = rdev, .target = target };
	FSP_FREE char *path = NULL;
	struct fsp_place at = { .dir_ino = dir, .name = name };
	struct inode *d, *i;
	struct fsp_entry e;
	uint64_t seen = names_seq(v);
	int64_t began = fsp_mono_ns();
	int err;

	if (S_ISREG(mode))
		return make_regular(v, ctx, dir, name, mode, out);
	if (is_versions(v, name))
		return -EEXIST;
	if (target && (!*target || strlen(target) >= FSP_PATH_MAX))
		return *target ? -ENAMETOOLONG : -ENOENT;
	err = dir_for_change(v, ctx, dir, name, &d, &path);
	if (err)
		return err;
	do {
		at.dir = path;
		err = answered(v, fsp_meta_create(v->store->meta, ctx, &at,
		                                  &what, &e));
	} while (lost(err) && path_moved(v, d, &path, &seen));
	attr_touched(v, d, err ? 0 : e.attr.ctime_ns);
	if (!err)
		err = inode_enter(v, d, name, &e, UINT64_MAX, true, &i, out);
	if (!err) {
		attr_vouch(v, i, began, UINT64_MAX);
		inode_unref(v, i);
	}
	inode_unref(v, d);
	return err;
}

static int link_to(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                   struct inode *i, struct inode *d, const char *dir,
                   const char *name, struct fsp_attr *out)
{
	FSP_FREE char *path = NULL;
	struct fsp_ref ref = { .ino = i->ino };
	struct fsp_place to = { .dir_ino = d->ino, .dir = dir, .name = name };
	struct fsp_entry e;
	struct inode *same;
	int err = inode_path_hint(v, i, &path);

	if (err)
		return err;
	ref.path = path;
	err = answered(v, fsp_meta_link(v->store->meta, ctx, &ref, &to, &e));
	attr_touched(v, d, err ? 0 : e.attr.ctime_ns);
	inode_unsure(v, i);             /* there is one more link to it */
	if (!err)
		err = inode_enter(v, d, name, &e, UINT64_MAX, true, &same, out);
	if (!err)
		inode_unref(v, same);
	return err == -ESTALE ? -ENOENT : err;
}

int fsp_vfs_link(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t ino,
                 uint64_t dir, const char *name, struct fsp_attr *out)
{
	FSP_FREE char *path = NULL;
	struct inode *i, *d;
	int err = inode_ref(v, ino, &i);

	if (err)
		return err;
	if (i->kind != INODE_LIVE)
		err = -EXDEV;
	else if (is_dir(i))
		err = -EPERM;
	else if (is_versions(v, name))
		err = -EEXIST;
	else
		err = dir_for_change(v, ctx, dir, name, &d, &path);
	if (!err) {
		err = link_to(v, ctx, i, d, path, name, out);
		inode_unref(v, d);
	}
	inode_unref(v, i);
	return err;
}

int fsp_vfs_remove(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t dir,
                   const char *name, bool is_rmdir)
{
	FSP_FREE char *path = NULL;
	struct fsp_place at = { .dir_ino = dir, .name = name };
	struct fsp_entry gone;
	struct inode *d;
	uint64_t seen = names_seq(v);
	int err;

	if (is_versions(v, name))
		return -EROFS;
	err = dir_for_change(v, ctx, dir, name, &d, &path);
	if (err)
		return err;
	do {
		at.dir = path;
		names_begin(v);
		err = answered(v, fsp_meta_remove(v->store->meta, ctx, &at,
		                                  is_rmdir, &gone));
		if (!err)
			inode_detach(v, gone.attr.ino, d, name,
			             is_rmdir ? 0 : gone.attr.nlink,
			             &gone.content);
		names_end(v);
		if (!err && !is_rmdir && !gone.attr.nlink)
			back_dropped(v, gone.attr.ino);
	} while (lost(err) && path_moved(v, d, &path, &seen));
	attr_touched(v, d, err ? 0 : gone.attr.ctime_ns);
	inode_unref(v, d);
	return err;
}

/*
 * An open file that is dirty stays so; it is now over the moved row, where it
 * was over that row before: what others have committed it has still to merge.
 */
static void follow_row(struct fsp_vfs *v, const struct fsp_renamed *r)
{
	int64_t now = r->entry.content.row;
	struct inode *i;
	struct file *f;

	if (inode_ref(v, r->ino, &i))
		return;                 /* nobody has it in memory */
	if (file_get(v, i, false, &f) == 0 && f) {
		fsp_lock(&f->lock);
		if (f->base.row == r->row)
			f->base.row = now;
		if (f->over_row == r->row)
			f->over_row = now;
		fsp_unlock(&f->lock);
		file_put(v, i, f);
	}
	inode_unref(v, i);
}

static int rename_in(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                     struct inode *from, const struct fsp_place *old,
                     struct inode *to, const struct fsp_place *new,
                     uint32_t flags)
{
	struct fsp_renamed r = { 0 };
	int err = answered(v, fsp_meta_rename(v->store->meta, ctx, old, new,
	                                      flags, &r));

	if (err || !r.ino || r.ino == r.replaced)
		return err;
	if (r.replaced && (flags & FSP_RENAME_EXCHANGE))
		inode_move(v, r.replaced, to, new->name, from, old->name);
	else if (r.replaced)
		inode_detach(v, r.replaced, to, new->name, r.replaced_nlink,
		             &r.replaced_content);
	inode_move(v, r.ino, from, old->name, to, new->name);
	if (S_ISREG(r.entry.attr.mode))
		follow_row(v, &r);
	if (r.replaced && !(flags & FSP_RENAME_EXCHANGE) && !r.replaced_nlink)
		back_dropped(v, r.replaced);
	return 0;
}

/*
 * Before a queued file replaces another, or changes places with it, it is
 * stored: other hosts would lose the one before they can have the other.
 */
static int store_before(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                        const char *path, const char *name,
                        const char *newpath, const char *newname,
                        uint32_t flags)
{
	struct fsp_entry old, new;
	int err;

	if (!back_any(v) ||
	    fsp_meta_lookup(v->store->meta, ctx, newpath, newname, false,
	                    &new) ||
	    fsp_meta_lookup(v->store->meta, ctx, path, name, true, &old))
		return 0;       /* the rename will say what is wrong */
	if (old.attr.ino == new.attr.ino)
		return 0;
	err = back_store_ino(v, old.attr.ino, ctx);
	return err || !(flags & FSP_RENAME_EXCHANGE) ? err
		: back_store_ino(v, new.attr.ino, ctx);
}

int fsp_vfs_rename(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t dir,
                   const char *name, uint64_t newdir, const char *newname,
                   uint32_t flags)
{
	FSP_FREE char *path = NULL, *newpath = NULL;
	struct fsp_place old = { .dir_ino = dir, .name = name };
	struct fsp_place new = { .dir_ino = newdir, .name = newname };
	struct inode *from, *to;
	uint64_t seen = names_seq(v), newseen = seen;
	bool moved;
	int err;

	if (is_versions(v, name) || is_versions(v, newname))
		return -EROFS;
	err = dir_for_change(v, ctx, dir, name, &from, &path);
	if (err)
		return err;
	err = dir_for_change(v, ctx, newdir, newname, &to, &newpath);
	if (!err) {
		err = store_before(v, ctx, path, name, newpath, newname, flags);
		for (moved = !err; moved;) {
			old.dir = path;
			new.dir = newpath;
			names_begin(v);
			err = rename_in(v, ctx, from, &old, to, &new, flags);
			names_end(v);
			moved = lost(err) && path_moved(v, from, &path, &seen);
			if (lost(err) && path_moved(v, to, &newpath, &newseen))
				moved = true;
		}
		attr_touched(v, from, 0);
		attr_touched(v, to, 0);
		inode_unref(v, to);
	}
	inode_unref(v, from);
	return err;
}

int fsp_vfs_readlink(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t ino,
                     char **target)
{
	struct inode *i;
	int err = inode_ref(v, ino, &i);

	if (err)
		return err;
	if (i->kind == INODE_LIVE)
		err = fsp_meta_readlink(v->store->meta, ctx, ino, target);
	else
		err = versions_readlink(v, ctx, i, target);
	inode_unref(v, i);
	return err;
}
