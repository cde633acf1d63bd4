/*
 * The cache's table: entries by hash and size, and the order of their last
 * use. No locks and no files here; the caller holds the cache's mutex.
 *
 *   state      in table  refs      in LRU       fd           counted in bytes
 *   FETCHING   yes       >= 1      no           -1           no
 *   READY      yes       0         yes          -1           yes
 *   READY      yes       >= 1      no           open         yes
 *   FAILED     no        >= 1      no           -1           no
 *
 * refs are the handles, the fetching thread, and those who wait for it. An
 * entry is freed when it leaves the table with no refs, or with the last ref
 * once it is out of the table.
 */
#ifndef FSP_CACHE_ENTRY_H
#define FSP_CACHE_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "fsp_codec.h"

#define FSP_CACHE_BUCKETS 16384
#define FSP_CACHE_NAME (FSP_HASH_MAX + 24)

enum fsp_cache_state { FSP_CACHE_FETCHING, FSP_CACHE_READY, FSP_CACHE_FAILED };

struct fsp_cached {
	struct fsp_cache *cache;
	struct fsp_cached *chain;               /* in its bucket */
	struct fsp_cached *newer, *older;       /* in the LRU */
	enum fsp_cache_state state;
	unsigned int refs;
	int fd;
	int err;                                /* FAILED: why */
	bool retry;                             /* FAILED: not for others */
	uint64_t size;
	char hash[FSP_HASH_MAX + 1];
	char name[FSP_CACHE_NAME];              /* in the directory */
};

struct fsp_cache_table {
	struct fsp_cached *bucket[FSP_CACHE_BUCKETS];
	struct fsp_cached *newest, *oldest;
	uint64_t bytes, entries;                /* of READY */
};

struct fsp_cached *fsp_cache_find(struct fsp_cache_table *t, const char *hash,
                                  uint64_t size);
void fsp_cache_insert(struct fsp_cache_table *t, struct fsp_cached *e);
void fsp_cache_remove(struct fsp_cache_table *t, struct fsp_cached *e);
void fsp_cache_lru_add(struct fsp_cache_table *t, struct fsp_cached *e);
void fsp_cache_lru_del(struct fsp_cache_table *t, struct fsp_cached *e);

/* Debug builds: aborts when the table above does not hold. */
void fsp_cache_check(const struct fsp_cache_table *t);

#endif
