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
		char key[FSP_HASH_MAX + 1];
		uint64_t stored;
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

/* A key is a hash in hex already. */
static unsigned long place_of(const char *key)
{
	char head[9];

	(void)snprintf(head, sizeof(head), "%s", key);
	return strtoul(head, NULL, 16) % PLACES;
}

void seen_note(struct fsp_seen *s, const char *key, uint64_t stored,
               int64_t since_ns)
{
	unsigned long i = place_of(key);

	if (!s || !s->for_ns)
		return;
	FSP_GUARD(&s->lock);
	strcpy(s->v[i].key, key);
	s->v[i].stored = stored;
	s->v[i].since_ns = since_ns;
}

bool seen_is(struct fsp_seen *s, const char *key, uint64_t stored)
{
	unsigned long i = place_of(key);

	if (!s)
		return false;
	FSP_GUARD(&s->lock);
	return s->v[i].since_ns && strcmp(s->v[i].key, key) == 0 &&
		s->v[i].stored == stored &&
		fsp_mono_ns() - s->v[i].since_ns < s->for_ns;
}

void seen_forget(struct fsp_seen *s, const char *key)
{
	unsigned long i = place_of(key);

	if (!s)
		return;
	FSP_GUARD(&s->lock);
	if (strcmp(s->v[i].key, key) == 0)
		s->v[i].since_ns = 0;
}
