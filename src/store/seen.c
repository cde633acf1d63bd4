/* One object in each place: who comes to a place that is taken, takes it. */
#include "seen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_lock.h"
#include "fsp_store.h"

#define PLACES 4096

struct fsp_seen {
	struct fsp_mutex lock;
	int64_t for_ns;
	struct {
		struct fsp_object o;    /* recorded_us 0: not yet, or unknown */
		int64_t since_ns;       /* 0: nothing is here */
	} v[PLACES];
};

struct fsp_seen *seen_new(int64_t for_ns)
{
	struct fsp_seen *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->for_ns = for_ns;
	fsp_mutex_init(&s->lock);
	return s;
}

void seen_free(struct fsp_seen *s)
{
	if (!s)
		return;
	fsp_mutex_destroy(&s->lock);
	free(s);
}

/* By content: the object may have another key than this mount would give it. */
static unsigned long place_of(const char *sha256)
{
	char head[9];

	(void)snprintf(head, sizeof(head), "%.8s", sha256);
	return strtoul(head, NULL, 16) % PLACES;
}

static bool holds_locked(const struct fsp_seen *s, unsigned long i,
                         const struct fsp_object *o)
{
	return strcmp(s->v[i].o.key, o->key) == 0 &&
		s->v[i].o.stored == o->stored;
}

static bool counts_locked(const struct fsp_seen *s, unsigned long i)
{
	return s->v[i].since_ns &&
		fsp_mono_ns() - s->v[i].since_ns < s->for_ns;
}

void seen_note(struct fsp_seen *s, const struct fsp_object *o,
               int64_t since_ns)
{
	unsigned long i = place_of(o->sha256);

	if (!s || !s->for_ns)
		return;
	FSP_GUARD(&s->lock);
	s->v[i].o = *o;
	s->v[i].o.blocks = NULL;
	s->v[i].since_ns = since_ns;
}

bool seen_is(struct fsp_seen *s, const struct fsp_object *o)
{
	unsigned long i = place_of(o->sha256);

	if (!s)
		return false;
	FSP_GUARD(&s->lock);
	return holds_locked(s, i, o) && counts_locked(s, i);
}

void seen_recorded(struct fsp_seen *s, const struct fsp_object *o)
{
	unsigned long i = place_of(o->sha256);

	if (!s || !o->verified_us)
		return;
	FSP_GUARD(&s->lock);
	if (holds_locked(s, i, o))
		s->v[i].o.recorded_us = s->v[i].o.verified_us;
}

bool seen_find(struct fsp_seen *s, const char *sha256, uint64_t size,
               struct fsp_object *out)
{
	unsigned long i = place_of(sha256);

	if (!s)
		return false;
	FSP_GUARD(&s->lock);
	if (!counts_locked(s, i) || !s->v[i].o.recorded_us ||
	    s->v[i].o.size != size ||
	    strcmp(s->v[i].o.sha256, sha256) != 0)
		return false;
	*out = s->v[i].o;
	return true;
}

void seen_forget(struct fsp_seen *s, const char *key)
{
	if (!s)
		return;
	FSP_GUARD(&s->lock);
	for (unsigned long i = 0; i < PLACES; i++)
		if (strcmp(s->v[i].o.key, key) == 0)
			s->v[i].since_ns = 0;
}
