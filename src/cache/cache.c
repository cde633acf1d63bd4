/*
 * The content cache: what a get, an adoption and a release do to an entry.
 * entry.h has the table of states.
 *
 * The mutex is never held while fetching or removing files. A file's name in
 * the directory is used once (hash and serial), so that removing an evicted
 * file late cannot hit a new one.
 */
#include "fsp_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "entry.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_file.h"
#include "fsp_lock.h"
#include "fsp_log.h"

#define MAX_FILES 100000
/* How long a waiter may take to see that it was cancelled. */
#define SLICE_NS (50 * 1000 * 1000LL)

struct fsp_cache {
	struct fsp_mutex lock;
	struct fsp_cond done;           /* some fetch ended */
	struct fsp_cache_table table;
	struct fsp_cache_stats stats;   /* bytes and entries: in the table */
	uint64_t serial;
	uint64_t max_bytes;
	fsp_cache_fetch fetch;
	void *arg;
	int dirfd;
	char *dir;
};

int fsp_cache_open(const char *dir, uint64_t max_bytes, fsp_cache_fetch fetch,
                   void *arg, struct fsp_cache **out)
{
	FSP_FREE struct fsp_cache *c = calloc(1, sizeof(*c));
	FSP_FREE char *name = strdup(dir);
	int rc;

	if (!c || !name)
		return -ENOMEM;
	rc = fsp_rm_tree(dir);
	if (rc && rc != -ENOENT)
		return rc;
	rc = fsp_mkdirs(dir, 0700);
	if (rc)
		return rc;
	c->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->dirfd < 0)
		return -errno;
	fsp_mutex_init(&c->lock);
	fsp_cond_init(&c->done);
	c->max_bytes = max_bytes;
	c->fetch = fetch;
	c->arg = arg;
	c->dir = fsp_steal(name);
	*out = fsp_steal(c);
	return 0;
}

void fsp_cache_close(struct fsp_cache *c)
{
	struct fsp_cached *e, *next;
	int rc;

	if (!c)
		return;
	for (e = c->table.newest; e; e = next) {
		next = e->older;
		free(e);
	}
	close(c->dirfd);
	rc = fsp_rm_tree(c->dir);
	if (rc)
		fsp_warn("%s stays: %s", c->dir, strerror(-rc));
	fsp_cond_destroy(&c->done);
	fsp_mutex_destroy(&c->lock);
	free(c->dir);
	free(c);
}

static bool over_limit(const struct fsp_cache *c)
{
	return !c->max_bytes || c->table.bytes > c->max_bytes ||
	       c->table.entries > MAX_FILES;
}

/* Out of the table, for good; the file is the caller's to remove. */
static void retire_locked(struct fsp_cache *c, struct fsp_cached *e)
{
	fsp_assert_held(&c->lock);
	fsp_cache_remove(&c->table, e);
	c->table.bytes -= e->size;
	c->table.entries--;
}

/*
 * Takes unheld entries off the old end, all of them or down to the limit, and
 * chains them to *dead for bury().
 */
static void evict_locked(struct fsp_cache *c, bool all,
                         struct fsp_cached **dead)
{
	struct fsp_cached *e;

	fsp_assert_held(&c->lock);
	while ((e = c->table.oldest) && (all || over_limit(c))) {
		fsp_cache_lru_del(&c->table, e);
		retire_locked(c, e);
		c->stats.evictions++;
		e->chain = *dead;
		*dead = e;
	}
	fsp_cache_check(&c->table);
}

/* Removes the files of the evicted; without the lock. */
static void bury(struct fsp_cache *c, struct fsp_cached *dead)
{
	while (dead) {
		struct fsp_cached *next = dead->chain;

		if (unlinkat(c->dirfd, dead->name, 0) && errno != ENOENT)
			fsp_warn("cache: %s stays: %s", dead->name,
			         strerror(errno));
		free(dead);
		dead = next;
	}
}

/* Drops a reference; *fd is what the caller has to close. */
static void unref_locked(struct fsp_cache *c, struct fsp_cached *e, int *fd)
{
	fsp_assert_held(&c->lock);
	*fd = -1;
	if (--e->refs)
		return;
	if (e->state == FSP_CACHE_FAILED) {
		free(e);
		return;
	}
	*fd = e->fd;
	e->fd = -1;
	fsp_cache_lru_add(&c->table, e);
}

/* Takes a reference to a READY entry; -ENOENT: somebody removed its file. */
static int hold_locked(struct fsp_cache *c, struct fsp_cached *e)
{
	fsp_assert_held(&c->lock);
	if (!e->refs) {
		e->fd = openat(c->dirfd, e->name, O_RDONLY | O_CLOEXEC);
		if (e->fd < 0)
			return -errno;
		fsp_cache_lru_del(&c->table, e);
	}
	e->refs++;
	return 0;
}

static struct fsp_cached *new_entry(struct fsp_cache *c, const char *hash,
                                    uint64_t size)
{
	struct fsp_cached *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->cache = c;
	e->fd = -1;
	e->size = size;
	memcpy(e->hash, hash, strlen(hash) + 1);
	(void)snprintf(e->name, sizeof(e->name), "%s-%llu", hash,
	               (unsigned long long)++c->serial);
	return e;
}

static int fetch_into(struct fsp_cache *c, const struct fsp_ctx *ctx,
                      const struct fsp_cached *e, int fd)
{
	struct stat st;
	int rc = c->fetch(c->arg, ctx, e->hash, e->size, fd);

	if (rc)
		return rc;
	if (fstat(fd, &st))
		return -errno;
	return (uint64_t)st.st_size == e->size ? 0 : -EIO;
}

/* The disk is full: everything that nobody holds goes. */
static void evict_all(struct fsp_cache *c)
{
	struct fsp_cached *dead = NULL;

	fsp_lock(&c->lock);
	evict_locked(c, true, &dead);
	fsp_unlock(&c->lock);
	bury(c, dead);
}

/* Fetches e's content into its file; a descriptor for reading or -errno. */
static int fetch_file(struct fsp_cache *c, const struct fsp_ctx *ctx,
                      const struct fsp_cached *e)
{
	char tmp[FSP_CACHE_NAME + 8];
	int fd, rc;

	(void)snprintf(tmp, sizeof(tmp), ".tmp-%s", e->name);
	fd = openat(c->dirfd, tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd == -1 && errno == ENOSPC) {
		evict_all(c);
		fd = openat(c->dirfd, tmp,
		            O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	}
	if (fd < 0)
		return -errno;
	rc = fetch_into(c, ctx, e, fd);
	if (rc == -ENOSPC) {
		evict_all(c);
		if (ftruncate(fd, 0) || lseek(fd, 0, SEEK_SET))
			rc = -errno;
		else
			rc = fetch_into(c, ctx, e, fd);
	}
	if (!rc && renameat(c->dirfd, tmp, c->dirfd, e->name))
		rc = -errno;
	if (!rc)
		return fd;
	close(fd);
	/* A leftover goes with the directory. */
	(void)unlinkat(c->dirfd, tmp, 0);
	return rc;
}

/* Fetches for all who want e, which is FETCHING with our reference. */
static int fetch(struct fsp_cache *c, const struct fsp_ctx *ctx,
                 struct fsp_cached *e)
{
	struct fsp_cached *dead = NULL;
	int fd = fetch_file(c, ctx, e), rc = fd < 0 ? fd : 0, unused;

	fsp_lock(&c->lock);
	if (fd >= 0) {
		e->state = FSP_CACHE_READY;
		e->fd = fd;
		c->table.bytes += e->size;
		c->table.entries++;
		evict_locked(c, false, &dead);
	} else {
		fsp_cache_remove(&c->table, e);
		e->state = FSP_CACHE_FAILED;
		e->err = rc;
		/* That our caller gave up says nothing about the content. */
		e->retry = fsp_ctx_check(ctx) != 0;
		unref_locked(c, e, &unused);
	}
	fsp_cond_broadcast(&c->done);
	fsp_unlock(&c->lock);
	bury(c, dead);
	return rc;
}

/* Waits until e, which we hold a reference to, is READY or FAILED. */
static int wait_locked(struct fsp_cache *c, const struct fsp_ctx *ctx,
                       const struct fsp_cached *e)
{
	int rc;

	while (e->state == FSP_CACHE_FETCHING) {
		int64_t until = ctx->deadline_ns;

		rc = fsp_ctx_check(ctx);
		if (rc)
			return rc;
		if (ctx->cancelled) {
			int64_t slice = fsp_mono_ns() + SLICE_NS;

			if (!until || slice < until)
				until = slice;
		}
		/* Whether time is up is for the context to say. */
		(void)fsp_cond_wait(&c->done, &c->lock, until);
	}
	return 0;
}

/*
 * Joins a fetch that another thread makes: 0 with the reference kept, or
 * -errno without; -EAGAIN: look again.
 */
static int join_locked(struct fsp_cache *c, const struct fsp_ctx *ctx,
                       struct fsp_cached *e, int *fd)
{
	int rc;

	e->refs++;
	rc = wait_locked(c, ctx, e);
	if (!rc && e->state == FSP_CACHE_FAILED)
		rc = e->retry ? -EAGAIN : e->err;
	if (rc)
		unref_locked(c, e, fd);
	return rc;
}

/*
 * One look at the table: 0 with a held READY entry or one that is the
 * caller's to fetch; -EAGAIN when it has to look again.
 */
static int look_locked(struct fsp_cache *c, const struct fsp_ctx *ctx,
                       const char *hash, uint64_t size,
                       struct fsp_cached **out, int *fd)
{
	struct fsp_cached *e = fsp_cache_find(&c->table, hash, size);
	int rc;

	*out = e;
	if (e && e->state == FSP_CACHE_FETCHING) {
		c->stats.misses++;
		return join_locked(c, ctx, e, fd);
	}
	if (e) {
		rc = hold_locked(c, e);
		if (rc != -ENOENT) {
			c->stats.hits += !rc;
			return rc;
		}
		fsp_warn("cache: %s was removed by somebody else", e->name);
		fsp_cache_lru_del(&c->table, e);
		retire_locked(c, e);
		free(e);
	}
	c->stats.misses++;
	e = new_entry(c, hash, size);
	if (!e)
		return -ENOMEM;
	e->refs = 1;
	fsp_cache_insert(&c->table, e);
	*out = e;
	return 0;
}

int fsp_cache_get(struct fsp_cache *c, const struct fsp_ctx *ctx,
                  const char *hash, uint64_t size, struct fsp_cached **out)
{
	struct fsp_cached *e = NULL;
	bool mine = false;
	int rc, fd;

	fsp_lock_assert_none();
	*out = NULL;
	if (!fsp_hash_valid(hash))
		return -EINVAL;
	do {
		rc = fsp_ctx_check(ctx);
		if (rc)
			return rc;
		fd = -1;
		fsp_lock(&c->lock);
		rc = look_locked(c, ctx, hash, size, &e, &fd);
		mine = !rc && e->state == FSP_CACHE_FETCHING;
		fsp_cache_check(&c->table);
		fsp_unlock(&c->lock);
		if (fd >= 0)
			close(fd);
	} while (rc == -EAGAIN);
	if (mine)
		rc = fetch(c, ctx, e);
	if (!rc)
		*out = e;
	return rc;
}

void fsp_cached_put(struct fsp_cached *h)
{
	struct fsp_cached *dead = NULL;
	struct fsp_cache *c;
	int fd;

	if (!h)
		return;
	c = h->cache;
	fsp_lock(&c->lock);
	unref_locked(c, h, &fd);
	evict_locked(c, false, &dead);
	fsp_unlock(&c->lock);
	if (fd >= 0)
		close(fd);
	bury(c, dead);
}

/* path becomes the file of a new READY entry. */
static int adopt_locked(struct fsp_cache *c, const char *hash, uint64_t size,
                        const char *path)
{
	struct fsp_cached *e = new_entry(c, hash, size);
	int rc;

	if (!e)
		return -ENOMEM;
	if (renameat(AT_FDCWD, path, c->dirfd, e->name)) {
		rc = -errno;
		free(e);
		return rc;
	}
	e->state = FSP_CACHE_READY;
	fsp_cache_insert(&c->table, e);
	fsp_cache_lru_add(&c->table, e);
	c->table.bytes += size;
	c->table.entries++;
	return 0;
}

int fsp_cache_adopt(struct fsp_cache *c, const char *hash, uint64_t size,
                    const char *path)
{
	struct fsp_cached *dead = NULL;
	struct stat st;
	bool there;
	int rc = 0;

	if (!fsp_hash_valid(hash))
		return -EINVAL;
	if (lstat(path, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != size)
		return -EINVAL;
	fsp_lock(&c->lock);
	/* One that is being fetched is as good as there. */
	there = fsp_cache_find(&c->table, hash, size) != NULL;
	if (!there)
		rc = adopt_locked(c, hash, size, path);
	evict_locked(c, false, &dead);
	fsp_unlock(&c->lock);
	bury(c, dead);
	if (there && unlink(path))
		rc = -errno;
	return rc;
}

ssize_t fsp_cached_pread(struct fsp_cached *h, void *buf, size_t len,
                         uint64_t off)
{
	if (off >= h->size)
		return 0;
	if (len > h->size - off)
		len = (size_t)(h->size - off);
	return fsp_pread_full(h->fd, buf, len, (off_t)off);
}

int fsp_cached_fd(const struct fsp_cached *h)
{
	return h->fd;
}

void fsp_cache_get_stats(struct fsp_cache *c, struct fsp_cache_stats *out)
{
	FSP_GUARD(&c->lock);
	*out = c->stats;
	out->bytes = c->table.bytes;
	out->entries = c->table.entries;
}
