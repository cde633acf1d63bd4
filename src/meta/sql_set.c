/* The entries of one directory, found by name: an open hash over an array. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "sql_meta.h"

void sql_set_free(struct set *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i].name);
	free(s->v);
	free(s->slot);
	*s = (struct set){ .most = s->most };
}

/* The slot of a name, or the free one where it belongs. */
static size_t slot_of(const struct set *s, const char *name)
{
	size_t i = fsp_hash64(name, strlen(name), 0) & (s->slots - 1);

	while (s->slot[i] && strcmp(s->v[s->slot[i] - 1].name, name) != 0)
		i = (i + 1) & (s->slots - 1);
	return i;
}

struct item *sql_set_find(const struct set *s, const char *name)
{
	size_t i;

	if (!s->slots)
		return NULL;
	i = slot_of(s, name);
	return s->slot[i] ? &s->v[s->slot[i] - 1] : NULL;
}

/* Room for one more, at most half of the slots used. */
static int grow(struct set *s)
{
	size_t slots = s->slots ? s->slots * 2 : 64;
	struct item *v;
	uint32_t *slot;

	if (s->n < s->slots / 2)
		return 0;
	if (slots > UINT32_MAX)
		return -ENOMEM;
	v = realloc(s->v, slots / 2 * sizeof(*v));
	if (!v)
		return -ENOMEM;
	s->v = v;
	slot = calloc(slots, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	free(s->slot);
	s->slot = slot;
	s->slots = slots;
	for (size_t i = 0; i < s->n; i++)
		s->slot[slot_of(s, s->v[i].name)] = (uint32_t)i + 1;
	return 0;
}

bool sql_set_room(struct set *s, size_t n)
{
	s->full = s->most && n >= s->most;
	return !s->full;
}

struct item *sql_set_get(struct set *s, const char *name, bool *fresh)
{
	struct item *it = sql_set_find(s, name);

	*fresh = !it;
	if (it)
		return it;
	if (!sql_set_room(s, s->n) || grow(s))
		return NULL;
	it = &s->v[s->n];
	*it = (struct item){ .name = strdup(name) };
	if (!it->name)
		return NULL;
	s->slot[slot_of(s, name)] = (uint32_t)++s->n;
	return it;
}

struct item *sql_set_add(struct set *s, const char *name)
{
	struct item *it;

	if (!sql_set_room(s, s->n))
		return NULL;
	it = fsp_grow(s->v, s->n, &s->cap, sizeof(*it));
	if (!it)
		return NULL;
	s->v = it;
	it += s->n;
	*it = (struct item){ .name = strdup(name) };
	if (!it->name)
		return NULL;
	s->n++;
	return it;
}

int sql_set_each(const struct set *s, fsp_meta_each each, void *arg)
{
	int err = 0;

	for (size_t i = 0; i < s->n && !err; i++)
		err = each(arg, s->v[i].name, &s->v[i].e);
	return err;
}
