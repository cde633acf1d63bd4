/* The content cache: opening, handles and what is put into it as it is. */
#include "cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsp_cleanup.h"
#include "fsp_ctx.h"
#include "fsp_file.h"
#include "fsp_log.h"

#define MAX_IDLE 256

static int open_dir(const char *dir, int *fd)
{
	struct stat st;
	int err = fsp_mkdirs(dir, 0700);

	if (err)
		return err;
	*fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0 || fstat(*fd, &st))
		return -errno;
	/* What is in it is readable for nobody else, nor can be replaced. */
	if (st.st_uid != geteuid())
		return -EACCES;
	if ((st.st_mode & 077) && fchmod(*fd, 0700))
		return -errno;
	return 0;
}

int fsp_cache_open(const struct fsp_cache_options *o, struct fsp_cache **out)
{
	struct fsp_cache *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	fsp_mutex_init(&c->lock);
	fsp_cond_init(&c->done);
	c->max_bytes = o->max_bytes;
	c->min_free = o->min_free;
	c->source = o->source;
	c->dirfd = -1;
	err = open_dir(o->dir, &c->dirfd);
	if (!err)
		err = fsp_atomic_sweep(c->dirfd);
	if (!err)
		err = cache_look(c);
	if (err) {
		fsp_cache_close(c);
		return err;
	}
	/* The limit may be another by now. */
	if (o->max_bytes)
		cache_added(c, 0);
	else
		cache_make_room(c);
	*out = c;
	return 0;
}

void fsp_cache_close(struct fsp_cache *c)
{
	struct fsp_cached *e;

	if (!c)
		return;
	while ((e = c->oldest)) {
		fsp_lock(&c->lock);
		cache_idle_del_locked(c, e);
		cache_remove_locked(c, e);
		fsp_unlock(&c->lock);
		cache_entry_free(e);
	}
	if (c->dirfd >= 0)
		close(c->dirfd);
	fsp_cond_destroy(&c->done);
	fsp_mutex_destroy(&c->lock);
	free(c);
}

/* Drops a reference; *dead is the caller's to free. */
static void unref_locked(struct fsp_cache *c, struct fsp_cached *e,
                         struct fsp_cached **dead)
{
	fsp_assert_held(&c->lock);
	*dead = NULL;
	if (--e->refs)
		return;
	if (e->state == CACHE_READY && e->fd >= 0 && c->max_bytes) {
		disk_release(e->fd);
		cache_idle_add_locked(c, e);
		if (c->idle <= MAX_IDLE)
			return;
		e = c->oldest;
		cache_idle_del_locked(c, e);
	}
	if (e->state != CACHE_FAILED)
		cache_remove_locked(c, e);
	*dead = e;
}

/* Opens for all who want e, which is OPENING with our reference. */
static int open_entry(struct fsp_cache *c, const struct fsp_ctx *ctx,
                      struct fsp_cached *e)
{
	struct fsp_cached *dead = NULL;
	int err = cache_entry_open(c, ctx, e);

	fsp_lock(&c->lock);
	e->state = err ? CACHE_FAILED : CACHE_READY;
	if (err) {
		cache_remove_locked(c, e);
		if (e->fd >= 0)
			close(e->fd);
		e->fd = -1;
		e->failed.err = err;
		/* That our caller gave up says nothing about the content. */
		e->failed.retry = fsp_ctx_check(ctx) != 0;
		unref_locked(c, e, &dead);
	}
	fsp_cond_broadcast(&c->done);
	cache_check_locked(c);
	fsp_unlock(&c->lock);
	if (dead)
		cache_entry_free(dead);
	return err;
}

/* 0 with a reference to a READY one; -EAGAIN: look again. */
static int join_locked(struct fsp_cache *c, const struct fsp_ctx *ctx,
                       struct fsp_cached *e, struct fsp_cached **dead)
{
	int err = 0;

	e->refs++;
	while (!err && e->state == CACHE_OPENING)
		err = cache_wait_locked(c, ctx);
	if (!err && e->state == CACHE_FAILED)
		err = e->failed.retry ? -EAGAIN : e->failed.err;
	if (err)
		unref_locked(c, e, dead);
	return err;
}

/* An idle one is taken into use, unless somebody has removed its file. */
static bool revive_locked(struct fsp_cache *c, struct fsp_cached *e,
                          struct fsp_cached **dead)
{
	cache_idle_del_locked(c, e);
	if (disk_hold(e->fd, false)) {
		disk_touch(e->fd);
		e->refs++;
		return true;
	}
	cache_remove_locked(c, e);
	*dead = e;
	return false;
}

/* One look at the table: 0 with a reference; *mine: to be opened. */
static int look_locked(struct fsp_cache *c, const struct fsp_ctx *ctx,
                       const char *hash, uint64_t size, bool *mine,
                       struct fsp_cached **out, struct fsp_cached **dead)
{
	struct fsp_cached *e = cache_find_locked(c, hash, size);

	*mine = false;
	*out = e;
	if (e && e->state == CACHE_OPENING)
		return join_locked(c, ctx, e, dead);
	if (e && e->refs) {
		e->refs++;
		return 0;
	}
	if (e && revive_locked(c, e, dead))
		return 0;
	*out = cache_new_locked(c, hash, size);
	*mine = true;
	return *out ? 0 : -ENOMEM;
}

int fsp_cache_get(struct fsp_cache *c, const struct fsp_ctx *ctx,
                  const char *hash, uint64_t size, struct fsp_cached **out)
{
	struct fsp_cached *e = NULL, *dead;
	bool mine = false;
	int err;

	fsp_lock_assert_none();
	*out = NULL;
	if (!fsp_hash_valid(hash))
		return -EINVAL;
	do {
		err = fsp_ctx_check(ctx);
		if (err)
			return err;
		dead = NULL;
		fsp_lock(&c->lock);
		err = look_locked(c, ctx, hash, size, &mine, &e, &dead);
		cache_check_locked(c);
		fsp_unlock(&c->lock);
		if (dead)
			cache_entry_free(dead);
	} while (err == -EAGAIN);
	if (!err && mine)
		err = open_entry(c, ctx, e);
	if (!err)
		*out = e;
	return err;
}

void fsp_cached_put(struct fsp_cached *h)
{
	struct fsp_cached *dead;
	struct fsp_cache *c;

	if (!h)
		return;
	c = h->cache;
	fsp_lock(&c->lock);
	/* What was held may go now. */
	if (h->refs == 1 && c->stats.bytes > c->max_bytes)
		c->added += h->size;
	unref_locked(c, h, &dead);
	cache_check_locked(c);
	fsp_unlock(&c->lock);
	if (dead && dead->fd >= 0 && !c->max_bytes) {
		disk_release(dead->fd);
		/* Another process may hold it, or have removed it. */
		(void)disk_remove(c->dirfd, dead->name);
	}
	if (dead)
		cache_entry_free(dead);
	if (c->max_bytes)
		cache_added(c, 0);
}

/* What is known of the file that was there before. */
static void forget(struct fsp_cache *c, const char *hash, uint64_t size)
{
	struct fsp_cached *e;

	fsp_lock(&c->lock);
	e = cache_find_locked(c, hash, size);
	if (e && e->refs)
		e = NULL;               /* goes on with that one */
	if (e) {
		cache_idle_del_locked(c, e);
		cache_remove_locked(c, e);
	}
	fsp_unlock(&c->lock);
	if (e)
		cache_entry_free(e);
}

int fsp_cache_adopt(struct fsp_cache *c, const char *hash, uint64_t size,
                    enum fsp_format f, const struct fsp_blocks *b,
                    const char *path)
{
	char name[CACHE_NAME];
	struct stat st;
	int err = 0;

	if (!fsp_hash_valid(hash))
		return -EINVAL;
	if (lstat(path, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != size)
		return -EINVAL;
	if (!c->max_bytes)
		return unlink(path) ? -errno : 0;
	if (chmod(path, 0600))
		return -errno;
	cache_name(name, hash, size);
	/* First: without it the file would be looked at as a whole. */
	if (b && b->n > 1)
		err = disk_write_index(c->dirfd, hash, f, b);
	if (err)
		return err;
	if (renameat(AT_FDCWD, path, c->dirfd, name))
		return -errno;
	forget(c, hash, size);
	fsp_lock(&c->lock);
	c->stats.entries++;
	fsp_unlock(&c->lock);
	cache_added(c, (uint64_t)st.st_blocks * 512);
	return 0;
}

void fsp_cache_get_stats(struct fsp_cache *c, struct fsp_cache_stats *out)
{
	FSP_GUARD(&c->lock);
	*out = c->stats;
}
