/* The calls that the decorator for names in memory has of its own. */
#ifndef FSP_META_DELEG_OPS_H
#define FSP_META_DELEG_OPS_H

#include "fsp_meta.h"

/* What is decorated, or m itself. */
struct fsp_meta *deleg_inner(struct fsp_meta *m);

/* deleg.c */
int deleg_lookup(struct fsp_meta *m, const struct fsp_ctx *ctx,
                 const char *dir, const char *name, bool known,
                 struct fsp_entry *out);
int deleg_create(struct fsp_meta *m, const struct fsp_ctx *ctx,
                 const struct fsp_place *at, const struct fsp_new *what,
                 struct fsp_entry *out);
int deleg_link(struct fsp_meta *m, const struct fsp_ctx *ctx,
               const struct fsp_ref *ref, const struct fsp_place *to,
               struct fsp_entry *out);
int deleg_remove(struct fsp_meta *m, const struct fsp_ctx *ctx,
                 const struct fsp_place *at, bool is_rmdir,
                 struct fsp_entry *out);
int deleg_rename(struct fsp_meta *m, const struct fsp_ctx *ctx,
                 const struct fsp_place *from, const struct fsp_place *to,
                 uint32_t flags, struct fsp_renamed *out);

/* deleg_attr.c */
int deleg_getattr(struct fsp_meta *m, const struct fsp_ctx *ctx,
                  const struct fsp_ref *ref, struct fsp_entry *out);
int deleg_getattr_at(struct fsp_meta *m, const struct fsp_ctx *ctx,
                     const struct fsp_ref *ref, struct fsp_entry *out);
int deleg_setattr(struct fsp_meta *m, const struct fsp_ctx *ctx,
                  const struct fsp_ref *ref, uint32_t mask,
                  const struct fsp_attr *attr, struct fsp_entry *out);
int deleg_setattr_many(struct fsp_meta *m, const struct fsp_ctx *ctx,
                       struct fsp_setattr *v, size_t n);
int deleg_commit(struct fsp_meta *m, const struct fsp_ctx *ctx,
                 const struct fsp_commit *c, struct fsp_entry *out);
int deleg_xattr_get(struct fsp_meta *m, const struct fsp_ctx *ctx,
                    uint64_t ino, const char *name, struct fsp_buf *out);
int deleg_xattr_list(struct fsp_meta *m, const struct fsp_ctx *ctx,
                     uint64_t ino, int (*each)(void *arg, const char *name),
                     void *arg);
int deleg_xattr_set(struct fsp_meta *m, const struct fsp_ctx *ctx,
                    const struct fsp_ref *ref, const char *name,
                    const void *value, size_t len, int flags);
int deleg_xattr_remove(struct fsp_meta *m, const struct fsp_ctx *ctx,
                       const struct fsp_ref *ref, const char *name);

#endif
