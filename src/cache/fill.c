/*
 * Units: looking at what the file has, and fetching what it has not. DESIGN.md,
 * "Units".
 */
#include "cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_file.h"
#include "fsp_log.h"

/* What one thread looks at and fetches in one go, of the content. */
#define RUN_BYTES (4UL << 20)
#define PIECE (256UL << 10)
/* How long a waiter may take to see that it was cancelled. */
#define SLICE_NS (50 * 1000 * 1000LL)

int cache_wait_locked(struct fsp_cache *c, const struct fsp_ctx *ctx)
{
	int64_t until = ctx->deadline_ns;
	int err = fsp_ctx_check(ctx);

	if (err)
		return err;
	if (ctx->cancelled) {
		int64_t slice = fsp_mono_ns() + SLICE_NS;

		if (!until || slice < until)
			until = slice;
	}
	/* Whether time is up is for the context to say. */
	(void)fsp_cond_wait(&c->done, &c->lock, until);
	return 0;
}

/* ---- opening */

/* Once more, after everything that nobody holds has gone. */
static int with_room(struct fsp_cached *e, int (*try)(struct fsp_cached *e))
{
	int err = try(e);

	if (err != -ENOSPC && err != -EDQUOT)
		return err;
	cache_make_room(e->cache);
	return try(e);
}

static int create_file(struct fsp_cached *e)
{
	return disk_create(e->cache->dirfd, e->name, e->size, &e->fd);
}

static int write_index(struct fsp_cached *e)
{
	return disk_write_index(e->cache->dirfd, e->hash, e->format, &e->index);
}

static int ask_index(struct fsp_cache *c, const struct fsp_ctx *ctx,
                     struct fsp_cached *e)
{
	int err = c->source.index(c->source.arg, ctx, e->hash, e->size,
	                          &e->format, &e->index);

	/* A whole file is as good without it. */
	if (err && e->fd >= 0)
		return 0;
	if (!err && e->index.n > 1)
		return with_room(e, write_index);
	if (!err)
		fsp_blocks_free(&e->index);
	e->index.n = 0;
	return err;
}

int cache_entry_open(struct fsp_cache *c, const struct fsp_ctx *ctx,
                     struct fsp_cached *e)
{
	bool known;
	int err = disk_read_index(c->dirfd, e->hash, e->size, &e->format,
	                          &e->index);

	if (err && err != -ENOENT)
		return err;
	known = !err;
	err = disk_open(c->dirfd, e->name, e->size, &e->fd);
	if (err && err != -ENOENT)
		return err;
	err = known ? 0 : ask_index(c, ctx, e);
	if (!err && e->index.n && e->fd < 0)
		err = with_room(e, create_file);
	if (err)
		return err;
	e->units = e->index.n ? e->index.n : 1;
	e->unit = calloc(e->units, sizeof(*e->unit));
	if (!e->unit)
		return -ENOMEM;
	if (e->fd >= 0)
		disk_touch(e->fd);
	return 0;
}

/* ---- looking */

static void range_of(const struct fsp_cached *e, size_t u, uint64_t *off,
                     uint64_t *len)
{
	*off = e->index.n ? e->index.block[u].off : 0;
	*len = e->index.n ? fsp_blocks_len(&e->index, u) : e->size;
}

/* Of its first and last page a neighbour may have written the rest. */
static bool is_hole(int fd, uint64_t off, uint64_t len)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	off_t data;

	if (len > 2 * page) {
		off += page;
		len -= 2 * page;
	}
	data = lseek(fd, (off_t)off, SEEK_DATA);
	return data < 0 ? errno == ENXIO : (uint64_t)data >= off + len;
}

static int look_block(const struct fsp_cached *e, size_t u, bool *good)
{
	FSP_FREE char *buf = NULL;
	uint8_t digest[32];
	uint64_t off, len;
	ssize_t n;
	int err;

	range_of(e, u, &off, &len);
	*good = false;
	if (is_hole(e->fd, off, len))
		return 0;
	buf = malloc(len);
	if (!buf)
		return -ENOMEM;
	n = fsp_pread_full(e->fd, buf, len, (off_t)off);
	if (n != (ssize_t)len)
		return 0;               /* a bad disk is no worse than a hole */
	err = fsp_sha256(buf, len, digest);
	*good = !err && memcmp(digest, e->index.block[u].digest,
	                       FSP_BLOCK_DIGEST) == 0;
	return err;
}

static int look_whole(const struct fsp_cached *e, const struct fsp_ctx *ctx,
                      bool *good)
{
	FSP_FREE char *buf = malloc(PIECE);
	struct fsp_digests have;
	struct fsp_digest *d;
	int err = buf ? fsp_digest_new(&d) : -ENOMEM;
	ssize_t n = 1;

	*good = false;
	if (err)
		return err;
	while (!err && n > 0) {
		n = fsp_pread_full(e->fd, buf, PIECE,
		                   (off_t)fsp_digest_size(d));
		err = fsp_ctx_check(ctx);
		if (!err && n > 0)
			err = fsp_digest_update(d, buf, (size_t)n);
	}
	if (!err && n == 0)
		err = fsp_digest_get(d, &have);
	*good = !err && n == 0 &&
		fsp_digests_match(&have, e->hash, e->size) == 0;
	fsp_digest_free(d);
	return err;
}

static int look(const struct fsp_cached *e, const struct fsp_ctx *ctx,
                size_t u, bool *good)
{
	uint64_t off, len;
	int err;

	*good = false;
	if (e->fd < 0)
		return 0;
	err = e->index.n ? look_block(e, u, good) : look_whole(e, ctx, good);
	range_of(e, u, &off, &len);
	if (err || *good || is_hole(e->fd, off, len))
		return err;
	fsp_info("cache: bytes %llu to %llu of %s are not what they must be; "
	         "they are fetched again", (unsigned long long)off,
	         (unsigned long long)(off + len), e->hash);
	fsp_lock(&e->cache->lock);
	e->cache->stats.damaged++;
	fsp_unlock(&e->cache->lock);
	return 0;
}

/* ---- fetching */

struct writer {
	int fd;
	uint64_t off, end;
};

static int write_piece(void *arg, const void *buf, size_t len)
{
	struct writer *w = arg;
	int err = len > w->end - w->off ? -EIO :
		fsp_pwrite_all(w->fd, buf, len, (off_t)w->off);

	w->off += len;
	return err;
}

static int fetch_blocks(struct fsp_cached *e, const struct fsp_ctx *ctx,
                        size_t first, size_t n)
{
	const struct fsp_cache_source *s = &e->cache->source;
	uint64_t off, len, end;
	int err = 0;

	range_of(e, first + n - 1, &end, &len);
	end += len;
	range_of(e, first, &off, &len);
	for (int i = 0; i < 2; i++) {
		struct writer w = { e->fd, off, end };

		err = s->blocks(s->arg, ctx, e->hash, e->format, &e->index,
		                first, n, write_piece, &w);
		if (!err && w.off != end)
			err = -EIO;
		if (err != -ENOSPC && err != -EDQUOT)
			break;
		if (i == 0)
			cache_make_room(e->cache);
	}
	if (!err)
		cache_added(e->cache, end - off);
	return err;
}

static int fetch_into(struct fsp_cached *e, const struct fsp_ctx *ctx, int fd,
                      enum fsp_format *f, struct fsp_blocks *b)
{
	const struct fsp_cache_source *s = &e->cache->source;
	struct stat st;
	int err = s->whole(s->arg, ctx, e->hash, e->size, fd, f, b);

	if (err == -ENOSPC || err == -EDQUOT) {
		cache_make_room(e->cache);
		if (ftruncate(fd, 0) || lseek(fd, 0, SEEK_SET))
			return -errno;
		err = s->whole(s->arg, ctx, e->hash, e->size, fd, f, b);
	}
	if (!err && fstat(fd, &st))
		err = -errno;
	if (!err && (uint64_t)st.st_size != e->size) {
		fsp_blocks_free(b);
		err = -EIO;
	}
	return err;
}

/* The new file in the place of what e had, for those who read just now, too. */
static int take_over(struct fsp_cached *e, int fd)
{
	if (e->fd < 0) {
		fsp_lock(&e->cache->lock);
		e->fd = fd;
		fsp_unlock(&e->cache->lock);
		return 0;
	}
	if (dup3(fd, e->fd, O_CLOEXEC) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	close(fd);
	return 0;
}

static void keep_index(struct fsp_cached *e, enum fsp_format f,
                       struct fsp_blocks *b)
{
	int err = b->n > 1 ? disk_write_index(e->cache->dirfd, e->hash, f, b) :
		0;

	/* Without it this content is looked at as a whole. */
	if (err)
		fsp_info("cache: no index for %s: %s", e->hash, strerror(-err));
	fsp_blocks_free(b);
}

static int fetch_whole(struct fsp_cached *e, const struct fsp_ctx *ctx)
{
	struct fsp_blocks b = { .n = 0 };
	struct fsp_atomic *a = NULL;
	enum fsp_format f = e->format;
	int fd = -1;
	int err = fsp_atomic_begin(e->cache->dirfd, 0600, &a);

	if (err == -ENOSPC || err == -EDQUOT) {
		cache_make_room(e->cache);
		err = fsp_atomic_begin(e->cache->dirfd, 0600, &a);
	}
	if (err)
		return err;
	err = fetch_into(e, ctx, fsp_atomic_fd(a), &f, &b);
	if (!err && flock(fsp_atomic_fd(a), LOCK_SH | LOCK_NB)) {
		err = -errno;
		fsp_blocks_free(&b);
	}
	if (err) {
		fsp_atomic_abort(a);
		return err;
	}
	err = fsp_atomic_place(a, e->name, true, &fd);
	if (!err)
		err = take_over(e, fd);
	keep_index(e, f, &b);
	if (!err)
		cache_added(e->cache, e->size);
	return err;
}

/* ---- units */

/* Nobody else does the same: -EAGAIN where somebody has. */
static int begin_whole(struct fsp_cached *e)
{
	FSP_GUARD(&e->cache->lock);
	if (e->wholing)
		return -EAGAIN;
	e->wholing = true;
	return 0;
}

static void end_whole(struct fsp_cached *e, bool good)
{
	FSP_GUARD(&e->cache->lock);
	e->wholing = false;
	for (size_t i = 0; good && i < e->units; i++)
		atomic_store(&e->unit[i], UNIT_GOOD);
	fsp_cond_broadcast(&e->cache->done);
}

/* What the index says is not there: all of it then. */
static int fetch_instead(struct fsp_cached *e, const struct fsp_ctx *ctx)
{
	int err = begin_whole(e);

	if (err)
		return err;
	err = fetch_whole(e, ctx);
	end_whole(e, !err);
	return err;
}

static int fetch_units(struct fsp_cached *e, const struct fsp_ctx *ctx,
                       size_t first, size_t n)
{
	int err = e->index.n ? fetch_blocks(e, ctx, first, n) :
		fetch_whole(e, ctx);

	if (err == -ESTALE && e->index.n)
		err = fetch_instead(e, ctx);
	if (err)
		return err;
	fsp_lock(&e->cache->lock);
	e->cache->stats.misses += n;
	for (size_t i = first; i < first + n; i++)
		atomic_store(&e->unit[i], UNIT_GOOD);
	fsp_unlock(&e->cache->lock);
	return 0;
}

/* Units that are ours: good afterwards, or an error. */
static int bring(struct fsp_cached *e, const struct fsp_ctx *ctx, size_t first,
                 size_t n)
{
	size_t missing = 0;             /* just before unit i */
	int err = 0;

	for (size_t i = first; i < first + n && !err; i++) {
		bool good;

		err = look(e, ctx, i, &good);
		if (err)
			break;
		if (!good) {
			missing++;
			continue;
		}
		if (missing)
			err = fetch_units(e, ctx, i - missing, missing);
		missing = 0;
		fsp_lock(&e->cache->lock);
		e->cache->stats.hits++;
		atomic_store(&e->unit[i], UNIT_GOOD);
		fsp_unlock(&e->cache->lock);
	}
	if (!err && missing)
		err = fetch_units(e, ctx, first + n - missing, missing);
	return err;
}

/* From unit first on, all that are unknown, to last or a good piece. */
static size_t take_locked(struct fsp_cached *e, size_t first, size_t last)
{
	uint64_t bytes = 0, off, len;
	size_t n = 0;

	fsp_assert_held(&e->cache->lock);
	while (first + n <= last &&
	       atomic_load(&e->unit[first + n]) == UNIT_UNKNOWN) {
		range_of(e, first + n, &off, &len);
		if (n && bytes + len > RUN_BYTES)
			break;
		bytes += len;
		atomic_store(&e->unit[first + n++], UNIT_BUSY);
	}
	return n;
}

static int bring_taken(struct fsp_cached *e, const struct fsp_ctx *ctx,
                       size_t first, size_t n)
{
	int err = bring(e, ctx, first, n);

	fsp_lock(&e->cache->lock);
	for (size_t i = first; i < first + n; i++)
		if (atomic_load(&e->unit[i]) == UNIT_BUSY)
			atomic_store(&e->unit[i], UNIT_UNKNOWN);
	if (err)
		e->failed = (struct cache_failure){
			e->failed.count + 1, first, n, err,
			/* That our caller gave up says nothing about it. */
			err == -EAGAIN || fsp_ctx_check(ctx) != 0
		};
	fsp_cond_broadcast(&e->cache->done);
	fsp_unlock(&e->cache->lock);
	return err == -EAGAIN ? 0 : err;
}

/* Until nobody is at unit u: 0, or the error that whoever was had. */
static int wait_unit_locked(struct fsp_cached *e, const struct fsp_ctx *ctx,
                            size_t u)
{
	uint64_t seen = e->failed.count;
	int err = 0;

	while (!err && (e->wholing || atomic_load(&e->unit[u]) == UNIT_BUSY))
		err = cache_wait_locked(e->cache, ctx);
	if (err || atomic_load(&e->unit[u]) == UNIT_GOOD ||
	    e->failed.count == seen || e->failed.retry ||
	    u < e->failed.first || u >= e->failed.first + e->failed.n)
		return err;
	return e->failed.err;
}

static size_t unit_at(const struct fsp_cached *e, uint64_t off)
{
	return e->index.n ? fsp_blocks_find(&e->index, off) : 0;
}

static bool all_good(const struct fsp_cached *e, uint64_t off, uint64_t len,
                     size_t *first, size_t *last)
{
	*first = unit_at(e, off);
	*last = e->index.n ? unit_at(e, off + len - 1) : 0;
	for (size_t u = *first; u <= *last; u++)
		if (atomic_load(&e->unit[u]) != UNIT_GOOD)
			return false;
	return true;
}

static int fill(struct fsp_cached *e, const struct fsp_ctx *ctx, size_t u,
                size_t last)
{
	int err = 0;

	while (!err && u <= last) {
		size_t n = 0;

		fsp_lock(&e->cache->lock);
		if (atomic_load(&e->unit[u]) == UNIT_GOOD)
			u++;
		else if (e->wholing || atomic_load(&e->unit[u]) == UNIT_BUSY)
			err = wait_unit_locked(e, ctx, u);
		else
			n = take_locked(e, u, last);
		fsp_unlock(&e->cache->lock);
		if (n)
			err = bring_taken(e, ctx, u, n);
	}
	return err;
}

int fsp_cached_fill(struct fsp_cached *e, const struct fsp_ctx *ctx,
                    uint64_t off, uint64_t len)
{
	size_t first, last;

	fsp_lock_assert_none();
	if (off >= e->size || !len)
		return 0;
	if (len > e->size - off)
		len = e->size - off;
	return all_good(e, off, len, &first, &last) ? 0 :
		fill(e, ctx, first, last);
}

ssize_t fsp_cached_peek(struct fsp_cached *e, void *buf, size_t len,
                        uint64_t off)
{
	size_t first, last;

	if (off >= e->size || !len)
		return 0;
	if (len > e->size - off)
		len = (size_t)(e->size - off);
	if (!all_good(e, off, len, &first, &last))
		return -EAGAIN;
	return fsp_pread_full(e->fd, buf, len, (off_t)off);
}

ssize_t fsp_cached_read(struct fsp_cached *e, const struct fsp_ctx *ctx,
                        void *buf, size_t len, uint64_t off)
{
	int err = fsp_cached_fill(e, ctx, off, len);

	return err ? err : fsp_cached_peek(e, buf, len, off);
}

bool fsp_cached_by_block(const struct fsp_cached *e)
{
	return e->index.n > 0;
}
