/*
 * What the files of cache share. See DESIGN.md in this folder.
 *
 *   entry state  in table  refs  idle list  index  fd
 *   OPENING      yes       >= 1  no         the opening thread's
 *   READY        yes       >= 1  no         yes    open; -1 only while a whole
 *                                                  content has not come yet
 *   READY        yes       0     yes        yes    open
 *   FAILED       no        >= 1  no         no     -1
 *
 * refs are the handles, the thread that opens, and those who wait for it.
 */
#ifndef FSP_CACHE_PRIVATE_H
#define FSP_CACHE_PRIVATE_H

#include <stdatomic.h>

#include "fsp_cache.h"
#include "fsp_lock.h"

#define CACHE_BUCKETS 4096
#define CACHE_NAME (FSP_HASH_MAX + 24)

enum cache_state { CACHE_OPENING, CACHE_READY, CACHE_FAILED };
enum unit_state { UNIT_UNKNOWN, UNIT_BUSY, UNIT_GOOD };

/* A failure that those who waited for the units share. */
struct cache_failure {
	uint64_t count;                 /* so many there were */
	size_t first, n;                /* the last one's units */
	int err;
	bool retry;                     /* its caller gave up: not for others */
};

struct fsp_cached {
	struct fsp_cache *cache;
	struct fsp_cached *chain;               /* in its bucket */
	struct fsp_cached *newer, *older;       /* in the idle list */
	/* Under c->lock: */
	enum cache_state state;
	unsigned refs;
	struct cache_failure failed;
	atomic_uchar *unit;                     /* enum unit_state of each; read
	                                           without it, too */
	bool wholing;                           /* all of it is on its way in
	                                           another encoding */
	/* Written once, before READY; fd by dup3() over itself only. */
	int fd;
	enum fsp_format format;
	struct fsp_blocks index;                /* n 0: one unit, the whole */
	size_t units;
	uint64_t size;
	char hash[FSP_HASH_MAX + 1];
	char name[CACHE_NAME];                  /* in the directory */
};

struct fsp_cache {
	struct fsp_mutex lock;
	struct fsp_cond done;           /* some state changed */
	struct fsp_cached *bucket[CACHE_BUCKETS];
	struct fsp_cached *newest, *oldest;     /* idle */
	unsigned idle;
	struct fsp_cache_stats stats;
	uint64_t added;                 /* since the directory was looked at */
	uint64_t again;                 /* when so much was added; DESIGN */
	bool trimming;
	uint64_t max_bytes, min_free;
	struct fsp_cache_source source;
	int dirfd;
};

/* ---- table.c; the lock is held */

struct fsp_cached *cache_find_locked(struct fsp_cache *c, const char *hash,
                                     uint64_t size);
struct fsp_cached *cache_new_locked(struct fsp_cache *c, const char *hash,
                                    uint64_t size);
void cache_remove_locked(struct fsp_cache *c, struct fsp_cached *e);
void cache_idle_add_locked(struct fsp_cache *c, struct fsp_cached *e);
void cache_idle_del_locked(struct fsp_cache *c, struct fsp_cached *e);
/* Not in the table any more; closes, also what it holds a lock on. */
void cache_entry_free(struct fsp_cached *e);
/* Debug builds: aborts when the table above does not hold. */
void cache_check_locked(struct fsp_cache *c);

/* ---- disk.c: files; no lock is held */

/* "<hash>-<size>" and back. */
void cache_name(char out[CACHE_NAME], const char *hash, uint64_t size);
bool cache_parse(const char *name, char hash[FSP_HASH_MAX + 1],
                 uint64_t *size);
/* The file, with a shared lock; -ENOENT: there is none of the right size. */
int disk_open(int dirfd, const char *name, uint64_t size, int *fd);
/* An empty sparse one, or the one that somebody else has just made. */
int disk_create(int dirfd, const char *name, uint64_t size, int *fd);
/* -ENOENT: there is none that can be used. */
int disk_read_index(int dirfd, const char *hash, uint64_t size,
                    enum fsp_format *f, struct fsp_blocks *out);
int disk_write_index(int dirfd, const char *hash, enum fsp_format f,
                     const struct fsp_blocks *b);
/* Marks it as used now. */
void disk_touch(int fd);
/* Takes the shared lock; false: it has no name any more, or is about to lose it
 * and the caller does not want to wait for that. */
bool disk_hold(int fd, bool wait);
void disk_release(int fd);
/* With its index. -EBUSY: somebody holds it. */
int disk_remove(int dirfd, const char *name);

/* ---- fill.c */

/* READY, with what the directory and the source say of it. */
int cache_entry_open(struct fsp_cache *c, const struct fsp_ctx *ctx,
                     struct fsp_cached *e);
/* Until some state has changed, or the caller gives up. */
int cache_wait_locked(struct fsp_cache *c, const struct fsp_ctx *ctx);

/* ---- trim.c */

int cache_look(struct fsp_cache *c);
/* After something was added: makes room where that is needed. */
void cache_added(struct fsp_cache *c, uint64_t bytes);
/* The disk is full: all that nobody holds goes. */
void cache_make_room(struct fsp_cache *c);

#endif
