/*
 * The object store: immutable bytes under a key.
 *
 * One interface; backends (directory; S3) and decorators (breaker, count,
 * fault) implement it. A backend that speaks with a server repeats what is
 * worth repeating itself, since it alone knows what has arrived. Keys come
 * without the configured prefix. Any thread may call; a writer belongs to one
 * thread, and the context of its begin holds until its end.
 *
 * Errors everywhere: -ENOENT no such object, -EHOSTDOWN, -ETIMEDOUT, -EINTR,
 * -ENOSPC, -EDQUOT, -EFBIG, -EROFS, -EACCES, -EIO, -ENOMEM, -EINVAL (bad key).
 */
#ifndef FSP_OBJSTORE_H
#define FSP_OBJSTORE_H

#include <stddef.h>
#include <stdint.h>

struct fsp_ctx;
struct fsp_objstore;
struct fsp_objwriter;

typedef int (*fsp_obj_sink)(void *arg, const void *buf, size_t len);
/* Return non-zero to stop; the listing returns it. */
typedef int (*fsp_obj_each)(void *arg, const char *key, uint64_t size,
                            int64_t mtime_us);

/* Bytes: in all, not in use, and of those for whom we run as. */
struct fsp_space {
	uint64_t total, free, avail;
};

/* Requests to a server, and bytes of bodies. */
struct fsp_obj_traffic {
	uint64_t puts, gets, heads, dels, lists;
	uint64_t retries;               /* of those */
	uint64_t up, down;
};

struct fsp_objstore_ops {
	/*
	 * Begins an object. Nothing is visible under the key until commit,
	 * which makes it durable and replaces what was there; both commit and
	 * abort end the writer.
	 */
	int (*put_begin)(struct fsp_objstore *s, const struct fsp_ctx *ctx,
	                 const char *key, struct fsp_objwriter **out);
	int (*put_write)(struct fsp_objwriter *w, const void *buf, size_t len);
	int (*put_commit)(struct fsp_objwriter *w);
	void (*put_abort)(struct fsp_objwriter *w);
	/* The whole object, piece by piece, to the sink. */
	int (*get)(struct fsp_objstore *s, const struct fsp_ctx *ctx,
	           const char *key, fsp_obj_sink sink, void *arg);
	/* len bytes from off, fewer or none where the object ends before. */
	int (*get_range)(struct fsp_objstore *s, const struct fsp_ctx *ctx,
	                 const char *key, uint64_t off, uint64_t len,
	                 fsp_obj_sink sink, void *arg);
	/* Its size. */
	int (*head)(struct fsp_objstore *s, const struct fsp_ctx *ctx,
	            const char *key, uint64_t *size);
	/* A missing object is no error. */
	int (*del)(struct fsp_objstore *s, const struct fsp_ctx *ctx,
	           const char *key);
	/* Goes on after one that fails; the first error. */
	int (*del_many)(struct fsp_objstore *s, const struct fsp_ctx *ctx,
	                const char *const *keys, size_t n);
	/*
	 * Those whose key begins with prefix, "" for all, in any order. each()
	 * may call the store.
	 */
	int (*list)(struct fsp_objstore *s, const struct fsp_ctx *ctx,
	            const char *prefix, fsp_obj_each each, void *arg);
	/* -ENOTSUP where there is no such thing; so traffic. */
	int (*space)(struct fsp_objstore *s, const struct fsp_ctx *ctx,
	             struct fsp_space *out);
	int (*traffic)(struct fsp_objstore *s, struct fsp_obj_traffic *out);
	void (*close)(struct fsp_objstore *s);
};

/* Every implementation's struct begins with this. */
struct fsp_objstore {
	const struct fsp_objstore_ops *ops;
};

struct fsp_objwriter {
	struct fsp_objstore *store;
};

/* The calls; they check the key and that no lock is held, then dispatch. */
int fsp_obj_put_begin(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                      const char *key, struct fsp_objwriter **out);
int fsp_obj_put_write(struct fsp_objwriter *w, const void *buf, size_t len);
int fsp_obj_put_commit(struct fsp_objwriter *w);
void fsp_obj_put_abort(struct fsp_objwriter *w);        /* NULL is fine */
int fsp_obj_get(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                const char *key, fsp_obj_sink sink, void *arg);
int fsp_obj_get_range(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                      const char *key, uint64_t off, uint64_t len,
                      fsp_obj_sink sink, void *arg);
int fsp_obj_head(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                 const char *key, uint64_t *size);
int fsp_obj_del(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                const char *key);
int fsp_obj_del_many(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                     const char *const *keys, size_t n);
int fsp_obj_list(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                 const char *prefix, fsp_obj_each each, void *arg);
int fsp_obj_space(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                  struct fsp_space *out);
int fsp_obj_traffic(struct fsp_objstore *s, struct fsp_obj_traffic *out);
void fsp_obj_close(struct fsp_objstore *s);             /* NULL is fine */

/*
 * The directory backend: an object is the file path/key, as PHP's FileAdapter
 * keeps it. `create` makes the directory (0700) when it is missing.
 * read_only: every writing call is -EROFS.
 */
int fsp_objstore_dir_open(const char *path, int create, int read_only,
                          struct fsp_objstore **out);

/*
 * The counting decorator: passes everything on and counts calls, for status
 * and for tests that assert that a call makes none. Owns `inner`.
 */
struct fsp_obj_counts {
	uint64_t put, get, head, del, list;
	uint64_t down;                  /* bytes of objects that came */
};
int fsp_objstore_count(struct fsp_objstore *inner, struct fsp_objstore **out);
/* All 0 where it is no counter. */
void fsp_objstore_counts(struct fsp_objstore *counter, struct fsp_obj_counts *out);

/*
 * The fault decorator: fails the nth fallible call from now (1 = next) with
 * -err, once; 0 switches it off. fired says how often it did. Owns `inner`.
 */
int fsp_objstore_fault(struct fsp_objstore *inner, struct fsp_objstore **out);
void fsp_objstore_fault_arm(struct fsp_objstore *f, uint64_t nth, int err);
uint64_t fsp_objstore_fault_fired(struct fsp_objstore *f);

/*
 * The breaker decorator: while the server is known to be down, calls return
 * -EHOSTDOWN at once; see fsp_breaker.h. Owns `inner` once it returns 0.
 */
struct fsp_breaker_options;
int fsp_objstore_breaker(struct fsp_objstore *inner,
                         const struct fsp_breaker_options *o,
                         struct fsp_objstore **out);

#endif
