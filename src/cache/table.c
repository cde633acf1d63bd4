/* The cache's table of contents that this process knows, and the idle list. */
#include "cache.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fsp_buf.h"

#ifdef FSP_DEBUG
#include "fsp_log.h"
#endif

static struct fsp_cached **bucket_of(struct fsp_cache *c, const char *hash)
{
	return &c->bucket[fsp_hash64(hash, strlen(hash), 0) % CACHE_BUCKETS];
}

struct fsp_cached *cache_find_locked(struct fsp_cache *c, const char *hash,
                                     uint64_t size)
{
	struct fsp_cached *e = *bucket_of(c, hash);

	fsp_assert_held(&c->lock);
	while (e && (e->size != size || strcmp(e->hash, hash) != 0))
		e = e->chain;
	return e;
}

struct fsp_cached *cache_new_locked(struct fsp_cache *c, const char *hash,
                                    uint64_t size)
{
	struct fsp_cached *e = calloc(1, sizeof(*e));
	struct fsp_cached **b = bucket_of(c, hash);

	fsp_assert_held(&c->lock);
	if (!e)
		return NULL;
	e->cache = c;
	e->fd = -1;
	e->size = size;
	e->units = 1;
	memcpy(e->hash, hash, strlen(hash) + 1);
	cache_name(e->name, hash, size);
	e->refs = 1;
	e->chain = *b;
	*b = e;
	return e;
}

void cache_remove_locked(struct fsp_cache *c, struct fsp_cached *e)
{
	struct fsp_cached **b = bucket_of(c, e->hash);

	fsp_assert_held(&c->lock);
	while (*b != e)
		b = &(*b)->chain;
	*b = e->chain;
	e->chain = NULL;
}

void cache_idle_add_locked(struct fsp_cache *c, struct fsp_cached *e)
{
	fsp_assert_held(&c->lock);
	e->newer = NULL;
	e->older = c->newest;
	if (c->newest)
		c->newest->newer = e;
	else
		c->oldest = e;
	c->newest = e;
	c->idle++;
}

void cache_idle_del_locked(struct fsp_cache *c, struct fsp_cached *e)
{
	fsp_assert_held(&c->lock);
	if (e->newer)
		e->newer->older = e->older;
	else
		c->newest = e->older;
	if (e->older)
		e->older->newer = e->newer;
	else
		c->oldest = e->newer;
	e->newer = e->older = NULL;
	c->idle--;
}

void cache_entry_free(struct fsp_cached *e)
{
	if (e->fd >= 0)
		close(e->fd);
	fsp_blocks_free(&e->index);
	free(e->unit);
	free(e);
}

#ifdef FSP_DEBUG

static void must(bool ok, const char *what, const struct fsp_cached *e)
{
	if (ok)
		return;
	fsp_error("cache: %s does not hold for %s", what,
	          e ? e->hash : "the idle list");
	abort();
}

static void check_entry(const struct fsp_cached *e)
{
	must(e->state != CACHE_FAILED, "no failed one in the table", e);
	if (e->state == CACHE_OPENING) {
		must(e->refs, "opening: refs", e);
		return;
	}
	must(e->unit && e->units, "ready: units", e);
	must(e->units == (e->index.n ? e->index.n : 1), "a unit a block", e);
	must(e->fd >= 0 || (e->refs && !e->index.n), "ready: fd", e);
	for (size_t i = 0; i < e->units && i < 16; i++)
		must(e->unit[i] != UNIT_GOOD || e->fd >= 0, "good: fd", e);
}

void cache_check_locked(struct fsp_cache *c)
{
	unsigned unheld = 0, n = 0;

	for (size_t i = 0; i < CACHE_BUCKETS; i++) {
		for (const struct fsp_cached *e = c->bucket[i]; e;
		     e = e->chain) {
			check_entry(e);
			unheld += !e->refs;
		}
	}
	for (const struct fsp_cached *e = c->newest; e; e = e->older, n++) {
		must(e->state == CACHE_READY && !e->refs, "idle", e);
		must((e->older ? e->older->newer : c->oldest) == e, "links", e);
	}
	must(n == c->idle && n == unheld, "number", NULL);
}

#else

void cache_check_locked(struct fsp_cache *c)
{
	(void)c;
}

#endif
