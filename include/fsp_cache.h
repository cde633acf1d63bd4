/*
 * Verified content on the local disk, by hash.
 *
 * Lives in a directory of this mount's own, which goes with it: nothing is
 * believed after a crash. What enters came through `fetch`, which verifies,
 * or from a commit that hashed it. Two readers of one missing content share
 * one fetch; nobody else waits for it. Least recently used contents that
 * nobody holds are removed above the size or the number of files. Any thread.
 */
#ifndef FSP_CACHE_H
#define FSP_CACHE_H

#include <stdint.h>
#include <sys/types.h>

struct fsp_ctx;
struct fsp_cache;
struct fsp_cached;

/*
 * Writes the verified content into fd from offset 0: 0 or -errno. Called with
 * no lock held.
 */
typedef int (*fsp_cache_fetch)(void *arg, const struct fsp_ctx *ctx,
                               const char *hash, uint64_t size, int fd);

struct fsp_cache_stats {
	uint64_t bytes, entries, hits, misses, evictions;
};

/* dir is made (0700) and emptied. max_bytes 0: keep only what is held. */
int fsp_cache_open(const char *dir, uint64_t max_bytes, fsp_cache_fetch fetch,
                   void *arg, struct fsp_cache **out);
void fsp_cache_close(struct fsp_cache *c);      /* removes the directory */

/* The content, fetched when it is missing. Release with fsp_cached_put(). */
int fsp_cache_get(struct fsp_cache *c, const struct fsp_ctx *ctx,
                  const char *hash, uint64_t size, struct fsp_cached **out);

/*
 * Takes a copy-free loan of a file that holds exactly this content and that
 * nobody writes any more: `path` is renamed into the cache. On error the file
 * stays where it was. A content that is there already drops `path`.
 */
int fsp_cache_adopt(struct fsp_cache *c, const char *hash, uint64_t size,
                    const char *path);

/* Up to len bytes, short only at the end; count or -errno. */
ssize_t fsp_cached_pread(struct fsp_cached *h, void *buf, size_t len, uint64_t off);

/* For splicing; valid while the handle is held. */
int fsp_cached_fd(const struct fsp_cached *h);
void fsp_cached_put(struct fsp_cached *h);      /* NULL is fine */

void fsp_cache_get_stats(struct fsp_cache *c, struct fsp_cache_stats *out);

#endif
