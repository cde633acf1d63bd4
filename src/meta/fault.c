/* The fault decorator: the nth fallible call from now fails, once. */
#include <errno.h>
#include <stdlib.h>

#include "fsp_lock.h"
#include "fsp_meta.h"

struct fault {
	struct fsp_meta base;
	struct fsp_meta *inner;
	struct fsp_mutex lock;
	uint64_t left;          /* calls until it fails, 0 = off */
	int err;
	uint64_t fired;
};

/* The error that this call has to fail with, or 0. */
static int strike(struct fsp_meta *m)
{
	struct fault *f = (struct fault *)m;

	FSP_GUARD(&f->lock);
	if (f->left == 0 || --f->left > 0)
		return 0;
	f->fired++;
	return f->err;
}

#define FORWARD(m, call, ...)                                                  \
	struct fsp_meta *inner_ = ((struct fault *)(m))->inner;                \
	int err_ = strike(m);                                                  \
	return err_ ? err_ : inner_->ops->call(inner_, __VA_ARGS__)

static int f_lookup(struct fsp_meta *m, const struct fsp_ctx *ctx,
                    const char *dir, const char *name, struct fsp_entry *out)
{
	FORWARD(m, lookup, ctx, dir, name, out);
}

static int f_getattr(struct fsp_meta *m, const struct fsp_ctx *ctx,
                     const struct fsp_ref *ref, struct fsp_entry *out)
{
	FORWARD(m, getattr, ctx, ref, out);
}

static int f_list(struct fsp_meta *m, const struct fsp_ctx *ctx,
                  const char *dir, fsp_meta_each each, void *arg)
{
	FORWARD(m, list, ctx, dir, each, arg);
}

static int f_readlink(struct fsp_meta *m, const struct fsp_ctx *ctx,
                      uint64_t ino, char **target)
{
	FORWARD(m, readlink, ctx, ino, target);
}

static int f_create(struct fsp_meta *m, const struct fsp_ctx *ctx,
                    const struct fsp_place *at, const struct fsp_new *what,
                    struct fsp_entry *out)
{
	FORWARD(m, create, ctx, at, what, out);
}

static int f_setattr(struct fsp_meta *m, const struct fsp_ctx *ctx,
                     const struct fsp_ref *ref, uint32_t mask,
                     const struct fsp_attr *attr, struct fsp_entry *out)
{
	FORWARD(m, setattr, ctx, ref, mask, attr, out);
}

static int f_commit(struct fsp_meta *m, const struct fsp_ctx *ctx,
                    const struct fsp_commit *c, struct fsp_entry *out)
{
	FORWARD(m, commit, ctx, c, out);
}

static int f_remove(struct fsp_meta *m, const struct fsp_ctx *ctx,
                    const struct fsp_place *at, bool dir,
                    struct fsp_entry *out)
{
	FORWARD(m, remove, ctx, at, dir, out);
}

static int f_link(struct fsp_meta *m, const struct fsp_ctx *ctx,
                  const struct fsp_ref *ref, const struct fsp_place *to,
                  struct fsp_entry *out)
{
	FORWARD(m, link, ctx, ref, to, out);
}

static int f_rename(struct fsp_meta *m, const struct fsp_ctx *ctx,
                    const struct fsp_place *from, const struct fsp_place *to,
                    uint32_t flags, struct fsp_renamed *out)
{
	FORWARD(m, rename, ctx, from, to, flags, out);
}

static int f_sync(struct fsp_meta *m, const struct fsp_ctx *ctx)
{
	FORWARD(m, sync, ctx);
}

static int f_object_find(struct fsp_meta *m, const struct fsp_ctx *ctx,
                         const char *sha256, const char *sha1, uint64_t size,
                         struct fsp_object *out)
{
	FORWARD(m, object_find, ctx, sha256, sha1, size, out);
}

static int f_object_get(struct fsp_meta *m, const struct fsp_ctx *ctx,
                        const char *key, struct fsp_object *out)
{
	FORWARD(m, object_get, ctx, key, out);
}

static int f_object_put(struct fsp_meta *m, const struct fsp_ctx *ctx,
                        const struct fsp_object *o)
{
	FORWARD(m, object_put, ctx, o);
}

static int f_object_each(struct fsp_meta *m, const struct fsp_ctx *ctx,
                         int (*each)(void *arg, const char *key,
                                     uint64_t size), void *arg)
{
	FORWARD(m, object_each, ctx, each, arg);
}

static int f_history(struct fsp_meta *m, const struct fsp_ctx *ctx,
                     const char *path, fsp_meta_version each, void *arg)
{
	FORWARD(m, history, ctx, path, each, arg);
}

static int f_past_names(struct fsp_meta *m, const struct fsp_ctx *ctx,
                        const char *dir,
                        int (*each)(void *arg, const char *name,
                                    enum fsp_past kind), void *arg)
{
	FORWARD(m, past_names, ctx, dir, each, arg);
}

static int f_dir_ended(struct fsp_meta *m, const struct fsp_ctx *ctx,
                       const char *path, int64_t *at_us, char **was)
{
	FORWARD(m, dir_ended, ctx, path, at_us, was);
}

static int f_list_at(struct fsp_meta *m, const struct fsp_ctx *ctx,
                     const char *dir, int64_t at_us, fsp_meta_each each,
                     void *arg)
{
	FORWARD(m, list_at, ctx, dir, at_us, each, arg);
}

static int f_lookup_at(struct fsp_meta *m, const struct fsp_ctx *ctx,
                       const char *dir, const char *name, int64_t at_us,
                       struct fsp_entry *out)
{
	FORWARD(m, lookup_at, ctx, dir, name, at_us, out);
}

static int f_path_at(struct fsp_meta *m, const struct fsp_ctx *ctx,
                     const struct fsp_ref *ref, int64_t at_us, char **path)
{
	FORWARD(m, path_at, ctx, ref, at_us, path);
}

static int f_counts(struct fsp_meta *m, const struct fsp_ctx *ctx,
                    struct fsp_counts *out)
{
	FORWARD(m, counts, ctx, out);
}

static int f_accounts(struct fsp_meta *m, const struct fsp_ctx *ctx,
                      int (*each)(void *arg, const struct fsp_account *a),
                      void *arg)
{
	FORWARD(m, accounts, ctx, each, arg);
}

static int f_xattr_get(struct fsp_meta *m, const struct fsp_ctx *ctx,
                       uint64_t ino, const char *name, struct fsp_buf *out)
{
	FORWARD(m, xattr_get, ctx, ino, name, out);
}

static int f_xattr_list(struct fsp_meta *m, const struct fsp_ctx *ctx,
                        uint64_t ino, int (*each)(void *arg, const char *name),
                        void *arg)
{
	FORWARD(m, xattr_list, ctx, ino, each, arg);
}

static int f_xattr_set(struct fsp_meta *m, const struct fsp_ctx *ctx,
                       const struct fsp_ref *ref, const char *name,
                       const void *value, size_t len, int flags)
{
	FORWARD(m, xattr_set, ctx, ref, name, value, len, flags);
}

static int f_xattr_remove(struct fsp_meta *m, const struct fsp_ctx *ctx,
                          const struct fsp_ref *ref, const char *name)
{
	FORWARD(m, xattr_remove, ctx, ref, name);
}

static int f_lock_set(struct fsp_meta *m, const struct fsp_ctx *ctx,
                      const struct fsp_flock *l, struct fsp_flock *conflict)
{
	FORWARD(m, lock_set, ctx, l, conflict);
}

static int f_lock_get(struct fsp_meta *m, const struct fsp_ctx *ctx,
                      const struct fsp_flock *l, struct fsp_flock *conflict)
{
	FORWARD(m, lock_get, ctx, l, conflict);
}

static int f_info_get(struct fsp_meta *m, const struct fsp_ctx *ctx,
                      const char *name, struct fsp_buf *out)
{
	FORWARD(m, info_get, ctx, name, out);
}

static int f_info_set(struct fsp_meta *m, const struct fsp_ctx *ctx,
                      const char *name, const char *value)
{
	FORWARD(m, info_set, ctx, name, value);
}

static int f_mount_add(struct fsp_meta *m, const struct fsp_ctx *ctx,
                       const struct fsp_mountinfo *i)
{
	FORWARD(m, mount_add, ctx, i);
}

static int f_mount_remove(struct fsp_meta *m, const struct fsp_ctx *ctx,
                          const char *id)
{
	FORWARD(m, mount_remove, ctx, id);
}

static int f_mount_each(struct fsp_meta *m, const struct fsp_ctx *ctx,
                        int (*each)(void *arg, const struct fsp_mountinfo *i),
                        void *arg)
{
	FORWARD(m, mount_each, ctx, each, arg);
}

static void f_close(struct fsp_meta *m)
{
	struct fault *f = (struct fault *)m;

	f->inner->ops->close(f->inner);
	fsp_mutex_destroy(&f->lock);
	free(f);
}

static const struct fsp_meta_ops ops = {
	.lookup = f_lookup,
	.getattr = f_getattr,
	.list = f_list,
	.readlink = f_readlink,
	.create = f_create,
	.setattr = f_setattr,
	.commit = f_commit,
	.remove = f_remove,
	.link = f_link,
	.rename = f_rename,
	.sync = f_sync,
	.object_find = f_object_find,
	.object_get = f_object_get,
	.object_put = f_object_put,
	.object_each = f_object_each,
	.history = f_history,
	.past_names = f_past_names,
	.dir_ended = f_dir_ended,
	.list_at = f_list_at,
	.lookup_at = f_lookup_at,
	.path_at = f_path_at,
	.counts = f_counts,
	.accounts = f_accounts,
	.xattr_get = f_xattr_get,
	.xattr_list = f_xattr_list,
	.xattr_set = f_xattr_set,
	.xattr_remove = f_xattr_remove,
	.lock_set = f_lock_set,
	.lock_get = f_lock_get,
	.info_get = f_info_get,
	.info_set = f_info_set,
	.mount_add = f_mount_add,
	.mount_remove = f_mount_remove,
	.mount_each = f_mount_each,
	.close = f_close,
};

int fsp_meta_fault(struct fsp_meta *inner, struct fsp_meta **out)
{
	struct fault *f = calloc(1, sizeof(*f));

	if (!f) {
		inner->ops->close(inner);
		return -ENOMEM;
	}
	f->base.ops = &ops;
	f->inner = inner;
	fsp_mutex_init(&f->lock);
	*out = &f->base;
	return 0;
}

void fsp_meta_fault_arm(struct fsp_meta *m, uint64_t nth, int err)
{
	struct fault *f = (struct fault *)m;

	FSP_GUARD(&f->lock);
	f->left = nth;
	f->err = err > 0 ? -err : err;
}

uint64_t fsp_meta_fault_fired(struct fsp_meta *m)
{
	struct fault *f = (struct fault *)m;

	FSP_GUARD(&f->lock);
	return f->fired;
}
