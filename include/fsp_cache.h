/*
 * Verified content on the local disk, by hash.
 *
 * One directory for all mounts and tools of a machine. A handle stands for a
 * content, of which the file has what was wanted so far: a read fetches the
 * blocks that it needs. What a process has not seen to be right is never given
 * out, whoever wrote it. Two readers of one missing block share one fetch;
 * nobody else waits for it. src/cache/DESIGN.md. Any thread.
 */
#ifndef FSP_CACHE_H
#define FSP_CACHE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fsp_blocks.h"

struct fsp_ctx;
struct fsp_cache;
struct fsp_cached;

/* Where content comes from. Called with no lock held. */
struct fsp_cache_source {
	/*
	 * In which blocks a content can be fetched; none: as a whole only.
	 * The cache frees *out.
	 */
	int (*index)(void *arg, const struct fsp_ctx *ctx, const char *hash,
	             uint64_t size, enum fsp_format *f, struct fsp_blocks *out);
	/*
	 * Blocks [first, first + n), verified, in order, to the sink. -ESTALE:
	 * the index is not that of the object, which has to be fetched whole.
	 */
	int (*blocks)(void *arg, const struct fsp_ctx *ctx, const char *hash,
	              enum fsp_format f, const struct fsp_blocks *b,
	              size_t first, size_t n, fsp_sink sink, void *sink_arg);
	/*
	 * Writes the verified content into fd from offset 0, and gives the
	 * index that was found on the way; one or no block: none.
	 */
	int (*whole)(void *arg, const struct fsp_ctx *ctx, const char *hash,
	             uint64_t size, int fd, enum fsp_format *f,
	             struct fsp_blocks *out);
	void *arg;
};

struct fsp_cache_options {
	const char *dir;                /* made where it is missing, 0700 */
	uint64_t max_bytes;             /* 0: keep only what is held */
	uint64_t min_free;              /* of the disk; 0: no matter */
	struct fsp_cache_source source;
};

/* hits: reads for which nothing was fetched, misses: the others. */
struct fsp_cache_stats {
	uint64_t bytes, entries;        /* in the directory, roughly */
	uint64_t hits, misses, evictions;
	uint64_t damaged;               /* units that were not as written */
};

int fsp_cache_open(const struct fsp_cache_options *o, struct fsp_cache **out);
void fsp_cache_close(struct fsp_cache *c);      /* nothing is held any more */

/*
 * The content, of which nothing has to be there yet. Release with
 * fsp_cached_put().
 */
int fsp_cache_get(struct fsp_cache *c, const struct fsp_ctx *ctx,
                  const char *hash, uint64_t size, struct fsp_cached **out);
void fsp_cached_put(struct fsp_cached *h);      /* NULL is fine */

/*
 * Takes a file that holds exactly this content and that nobody writes any more:
 * `path` is renamed into the cache; b, where it is not NULL and has more than
 * one block, is its index. On error the file stays where it was. A content that
 * is there already drops `path`.
 */
int fsp_cache_adopt(struct fsp_cache *c, const char *hash, uint64_t size,
                    enum fsp_format f, const struct fsp_blocks *b,
                    const char *path);

/* Up to len bytes, fetched where they are missing; short only at the end.
 * Count or -errno. */
ssize_t fsp_cached_read(struct fsp_cached *h, const struct fsp_ctx *ctx,
                        void *buf, size_t len, uint64_t off);
/* The same without waiting: -EAGAIN where something would have to be fetched
 * or looked at. May be called with a lock held. */
ssize_t fsp_cached_peek(struct fsp_cached *h, void *buf, size_t len,
                        uint64_t off);
/* Fetches what is missing of a range. */
int fsp_cached_fill(struct fsp_cached *h, const struct fsp_ctx *ctx,
                    uint64_t off, uint64_t len);
/* Whether a part can be fetched without the rest. */
bool fsp_cached_by_block(const struct fsp_cached *h);

void fsp_cache_get_stats(struct fsp_cache *c, struct fsp_cache_stats *out);

/* What is in a directory, and how much of each content. Non-zero stops. */
struct fsp_cache_file {
	const char *hash;
	uint64_t size, on_disk;
	int64_t used_ns;                /* last taken into use */
	bool by_block;
};
int fsp_cache_each(const char *dir,
                   int (*each)(void *arg, const struct fsp_cache_file *f),
                   void *arg);
/* Removes all that nobody holds; *held: what stayed. */
int fsp_cache_drop(const char *dir, uint64_t *files, uint64_t *bytes,
                   uint64_t *held);

#endif
