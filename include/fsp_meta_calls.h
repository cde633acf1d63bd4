/*
 * All calls of fsp_meta.h with their parameters, for whatever wants one piece
 * of code for each: FSP_META_CALL(name, (parameters), arguments...) is defined
 * before this is included, and undefined here. No guard: it is for that.
 */
#define FSP_META_ARGS struct fsp_meta *m, const struct fsp_ctx *ctx

FSP_META_CALL(lookup, (FSP_META_ARGS, const char *dir, const char *name,
                       bool known, struct fsp_entry *out),
              dir, name, known, out)
FSP_META_CALL(getattr, (FSP_META_ARGS, const struct fsp_ref *ref,
                        struct fsp_entry *out), ref, out)
FSP_META_CALL(getattr_at, (FSP_META_ARGS, const struct fsp_ref *ref,
                           struct fsp_entry *out), ref, out)
FSP_META_CALL(list, (FSP_META_ARGS, const char *dir, size_t most,
                     fsp_meta_each each, void *arg), dir, most, each, arg)
FSP_META_CALL(list_many, (FSP_META_ARGS, struct fsp_listing *l, size_t n,
                          size_t most), l, n, most)
FSP_META_CALL(readlink, (FSP_META_ARGS, uint64_t ino, char **target), ino,
              target)
FSP_META_CALL(create, (FSP_META_ARGS, const struct fsp_place *at,
                       const struct fsp_new *what, struct fsp_entry *out),
              at, what, out)
FSP_META_CALL(setattr, (FSP_META_ARGS, const struct fsp_ref *ref, uint32_t mask,
                        const struct fsp_attr *attr, struct fsp_entry *out),
              ref, mask, attr, out)
FSP_META_CALL(setattr_many, (FSP_META_ARGS, struct fsp_setattr *v, size_t n),
              v, n)
FSP_META_CALL(commit, (FSP_META_ARGS, const struct fsp_commit *c,
                       struct fsp_entry *out), c, out)
FSP_META_CALL(remove, (FSP_META_ARGS, const struct fsp_place *at, bool dir,
                       struct fsp_entry *out), at, dir, out)
FSP_META_CALL(link, (FSP_META_ARGS, const struct fsp_ref *ref,
                     const struct fsp_place *to, struct fsp_entry *out),
              ref, to, out)
FSP_META_CALL(rename, (FSP_META_ARGS, const struct fsp_place *from,
                       const struct fsp_place *to, uint32_t flags,
                       struct fsp_renamed *out), from, to, flags, out)
FSP_META_CALL(sync, (FSP_META_ARGS))
FSP_META_CALL(object_find, (FSP_META_ARGS, const char *sha256,
                            const char *sha1, uint64_t size,
                            struct fsp_object *out), sha256, sha1, size, out)
FSP_META_CALL(object_get, (FSP_META_ARGS, const char *key,
                           struct fsp_object *out), key, out)
FSP_META_CALL(object_blocks, (FSP_META_ARGS, const char *key,
                              struct fsp_object *out, struct fsp_buf *blocks),
              key, out, blocks)
FSP_META_CALL(object_put, (FSP_META_ARGS, const struct fsp_object *o), o)
FSP_META_CALL(object_each, (FSP_META_ARGS,
                            int (*each)(void *arg, const char *key,
                                        uint64_t size), void *arg), each, arg)
FSP_META_CALL(object_rows, (FSP_META_ARGS, const char *key,
                            int (*each)(void *arg, int64_t row,
                                        const char *path), void *arg),
              key, each, arg)
FSP_META_CALL(history, (FSP_META_ARGS, const char *path,
                        fsp_meta_version each, void *arg), path, each, arg)
FSP_META_CALL(past_names, (FSP_META_ARGS, const char *dir,
                           int (*each)(void *arg, const char *name,
                                       enum fsp_past kind), void *arg),
              dir, each, arg)
FSP_META_CALL(dir_ended, (FSP_META_ARGS, const char *path, int64_t *at_us,
                          char **was), path, at_us, was)
FSP_META_CALL(list_at, (FSP_META_ARGS, const char *dir, int64_t at_us,
                        fsp_meta_each each, void *arg), dir, at_us, each, arg)
FSP_META_CALL(lookup_at, (FSP_META_ARGS, const char *dir, const char *name,
                          int64_t at_us, struct fsp_entry *out),
              dir, name, at_us, out)
FSP_META_CALL(path_at, (FSP_META_ARGS, const struct fsp_ref *ref,
                        int64_t at_us, char **path), ref, at_us, path)
FSP_META_CALL(counts, (FSP_META_ARGS, bool implied, struct fsp_counts *out),
              implied, out)
FSP_META_CALL(accounts, (FSP_META_ARGS,
                         int (*each)(void *arg, const struct fsp_account *a),
                         void *arg), each, arg)
FSP_META_CALL(xattr_get, (FSP_META_ARGS, uint64_t ino, const char *name,
                          struct fsp_buf *out), ino, name, out)
FSP_META_CALL(xattr_list, (FSP_META_ARGS, uint64_t ino,
                           int (*each)(void *arg, const char *name),
                           void *arg), ino, each, arg)
FSP_META_CALL(xattr_set, (FSP_META_ARGS, const struct fsp_ref *ref,
                          const char *name, const void *value, size_t len,
                          int flags), ref, name, value, len, flags)
FSP_META_CALL(xattr_remove, (FSP_META_ARGS, const struct fsp_ref *ref,
                             const char *name), ref, name)
FSP_META_CALL(lock_set, (FSP_META_ARGS, const struct fsp_flock *l,
                         struct fsp_flock *conflict), l, conflict)
FSP_META_CALL(lock_get, (FSP_META_ARGS, const struct fsp_flock *l,
                         struct fsp_flock *conflict), l, conflict)
FSP_META_CALL(info_get, (FSP_META_ARGS, const char *name,
                         struct fsp_buf *out), name, out)
FSP_META_CALL(info_set, (FSP_META_ARGS, const char *name, const char *value),
              name, value)
FSP_META_CALL(mount_add, (FSP_META_ARGS, const struct fsp_mountinfo *i), i)
FSP_META_CALL(mount_remove, (FSP_META_ARGS, const char *id), id)
FSP_META_CALL(lease_renew, (FSP_META_ARGS, const char *mount,
                            int64_t started_us, int64_t lease_ns),
              mount, started_us, lease_ns)
FSP_META_CALL(lease_revoke, (FSP_META_ARGS, const char *mount,
                             int64_t lease_us), mount, lease_us)
FSP_META_CALL(mount_each, (FSP_META_ARGS,
                           int (*each)(void *arg,
                                       const struct fsp_mountinfo *i),
                           void *arg), each, arg)

FSP_META_CALL(new_ino, (FSP_META_ARGS, uint64_t *number), number)
FSP_META_CALL(graft, (FSP_META_ARGS, const struct fsp_graft *what), what)
FSP_META_CALL(deleg_poll, (FSP_META_ARGS, int64_t holder,
                           const struct fsp_ref *dir, enum fsp_deleg *out),
              holder, dir, out)
FSP_META_CALL(deleg_release, (FSP_META_ARGS, int64_t holder,
                              const uint64_t *inos, size_t n), holder, inos, n)
FSP_META_CALL(deleg_recall, (FSP_META_ARGS, uint64_t ino, bool force), ino,
              force)
FSP_META_CALL(changes, (FSP_META_ARGS, struct fsp_feed **feed,
                        fsp_meta_change each, void *arg), feed, each, arg)
FSP_META_CALL(changes_purge, (FSP_META_ARGS, struct fsp_feed *f), f)

#undef FSP_META_CALL
#undef FSP_META_ARGS
