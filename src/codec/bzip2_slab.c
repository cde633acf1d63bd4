/*
 * The memory that it takes to pack a small block. That is more than malloc
 * keeps: the kernel would map, clear and unmap some hundred pages for each small
 * file. A few slabs are kept instead.
 */
#include <stdlib.h>

#include "bzip2_slab.h"
#include "fsp_cleanup.h"
#include "fsp_lock.h"

/* libbz2's level 1 takes 1,120,000 or so, we 2,265,000 at the most. */
#define SLAB_BYTES (2240 * 1024)
#define KEPT_MAX 4
#define ALIGN 64

struct slab {
	struct slab *next;
	size_t used;
	_Alignas(ALIGN) char bytes[];
};

static struct {
	pthread_once_t once;
	struct fsp_mutex lock;
	struct slab *first;
	unsigned n;
} kept = { .once = PTHREAD_ONCE_INIT };

static void init(void)
{
	fsp_mutex_init(&kept.lock);
}

struct slab *slab_take(void)
{
	struct slab *s;

	/* Fails for a wrong argument only. */
	(void)pthread_once(&kept.once, init);
	fsp_lock(&kept.lock);
	s = kept.first;
	if (s) {
		kept.first = s->next;
		kept.n--;
	}
	fsp_unlock(&kept.lock);
	if (!s)
		s = aligned_alloc(ALIGN, sizeof(*s) + SLAB_BYTES);
	if (s)
		slab_clear(s);
	return s;
}

void slab_clear(struct slab *s)
{
	s->used = 0;
}

void slab_give(struct slab *s)
{
	fsp_lock(&kept.lock);
	if (kept.n < KEPT_MAX) {
		s->next = kept.first;
		kept.first = s;
		kept.n++;
		s = NULL;
	}
	fsp_unlock(&kept.lock);
	free(s);
}

void *slab_alloc(void *slab, int n, int size)
{
	struct slab *s = slab;
	size_t len = (size_t)n * (size_t)size;
	void *p;

	len = (len + ALIGN - 1) / ALIGN * ALIGN;
	if (len > SLAB_BYTES - s->used)
		return NULL;
	p = s->bytes + s->used;
	s->used += len;
	return p;
}

void slab_free(void *slab, void *p)
{
	(void)slab;
	(void)p;        /* with the slab */
}
