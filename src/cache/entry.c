/*
 * The cache's hash table and LRU list.
 */
#include "entry.h"

#include <string.h>

#include "fsp_buf.h"

#ifdef FSP_DEBUG
#include <stdlib.h>

#include "fsp_log.h"
#endif

static struct fsp_cached **bucket_of(struct fsp_cache_table *t,
                                     const char *hash)
{
	uint64_t h = fsp_hash64(hash, strlen(hash), 0);

	return &t->bucket[h % FSP_CACHE_BUCKETS];
}

struct fsp_cached *fsp_cache_find(struct fsp_cache_table *t, const char *hash,
                                  uint64_t size)
{
	struct fsp_cached *e = *bucket_of(t, hash);

	while (e && (e->size != size || strcmp(e->hash, hash) != 0))
		e = e->chain;
	return e;
}

void fsp_cache_insert(struct fsp_cache_table *t, struct fsp_cached *e)
{
	struct fsp_cached **b = bucket_of(t, e->hash);

	e->chain = *b;
	*b = e;
}

void fsp_cache_remove(struct fsp_cache_table *t, struct fsp_cached *e)
{
	struct fsp_cached **b = bucket_of(t, e->hash);

	while (*b != e)
		b = &(*b)->chain;
	*b = e->chain;
	e->chain = NULL;
}

void fsp_cache_lru_add(struct fsp_cache_table *t, struct fsp_cached *e)
{
	e->newer = NULL;
	e->older = t->newest;
	if (t->newest)
		t->newest->newer = e;
	else
		t->oldest = e;
	t->newest = e;
}

void fsp_cache_lru_del(struct fsp_cache_table *t, struct fsp_cached *e)
{
	if (e->newer)
		e->newer->older = e->older;
	else
		t->newest = e->older;
	if (e->older)
		e->older->newer = e->newer;
	else
		t->oldest = e->newer;
	e->newer = e->older = NULL;
}

#ifdef FSP_DEBUG

static void must(bool ok, const char *what, const struct fsp_cached *e)
{
	if (ok)
		return;
	fsp_error("cache: %s does not hold for %s", what,
	          e ? e->hash : "the totals");
	abort();
}

static void check_entry(const struct fsp_cached *e)
{
	must(e->state != FSP_CACHE_FAILED, "no failed one in the table", e);
	if (e->state == FSP_CACHE_FETCHING)
		must(e->refs && e->fd < 0, "fetching: refs, no fd", e);
	else
		must((e->refs > 0) == (e->fd >= 0), "fd while held", e);
}

void fsp_cache_check(const struct fsp_cache_table *t)
{
	uint64_t bytes = 0, ready = 0, unheld = 0;
	const struct fsp_cached *e;

	/* All of a large table at every step would make it quadratic. */
	if (t->entries > 256)
		return;
	for (size_t i = 0; i < FSP_CACHE_BUCKETS; i++) {
		for (e = t->bucket[i]; e; e = e->chain) {
			check_entry(e);
			if (e->state != FSP_CACHE_READY)
				continue;
			ready++;
			bytes += e->size;
			unheld += !e->refs;
		}
	}
	must(bytes == t->bytes, "sum of bytes", NULL);
	must(ready == t->entries, "number of entries", NULL);
	for (e = t->newest; e; e = e->older) {
		must(e->state == FSP_CACHE_READY && !e->refs, "LRU unheld", e);
		must((e->older ? e->older->newer : t->oldest) == e,
		     "LRU links", e);
		unheld--;
	}
	must(!unheld, "LRU complete", NULL);
}

#else

void fsp_cache_check(const struct fsp_cache_table *t)
{
	(void)t;
}

#endif
