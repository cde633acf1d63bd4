/*
 * Claims: what keeps writers apart where the database does not. A transaction
 * takes all its claims before it reads, in rising order, so that two of them
 * never wait for each other. One that learns later that it needs more is undone
 * and run again, and begins with them.
 */
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "sql_meta.h"

/* All mounts of a store agree on it: it never changes. */
static unsigned shard_of(char kind, const void *data, size_t len)
{
	uint64_t h = fsp_hash64_more(fsp_hash64(&kind, 1, 0), data, len);

	return (unsigned)((h ^ h >> 32 ^ h >> 16) % SQL_SHARDS);
}

void sql_want(struct txn *t, const char *space)
{
	t->claims->want[shard_of('s', space, strlen(space))] = true;
}

void sql_want_ino(struct txn *t, uint64_t ino)
{
	unsigned char b[8];

	for (int i = 0; i < 8; i++)
		b[i] = (unsigned char)(ino >> 8 * i);
	t->claims->want[shard_of('i', b, sizeof(b))] = true;
}

void sql_want_all(struct txn *t)
{
	t->claims->want[SQL_SHARDS] = true;
}

static bool missing(const struct claims *c, unsigned shard)
{
	return c->want[shard] && !c->have[shard] && !c->have[SQL_SHARDS];
}

static int take(struct txn *t, unsigned shard)
{
	int err = missing(t->claims, shard) ?
		t->c->drv->ops->claim(t->c, shard) : 0;

	if (!err)
		t->claims->have[shard] |= t->claims->want[shard];
	return err;
}

int sql_claim(struct txn *t)
{
	const struct claims *c = t->claims;
	int err = 0;

	if (!t->c->drv->ops->claim)
		return 0;
	for (unsigned i = 0; t->statements && i <= SQL_SHARDS; i++)
		if (missing(c, i))
			return SQL_AGAIN;
	if (c->want[SQL_SHARDS])
		return take(t, SQL_SHARDS);
	for (unsigned i = 0; i < SQL_SHARDS && !err; i++)
		err = take(t, i);
	return err;
}

int sql_claim_space(struct txn *t, const char *space)
{
	sql_want(t, space);
	return sql_claim(t);
}

int sql_claim_ino(struct txn *t, uint64_t ino)
{
	sql_want_ino(t, ino);
	return sql_claim(t);
}

int sql_want_dir(struct txn *t, const char *path)
{
	struct fsp_dirkey k;
	int err = fsp_path_dirkey(path, &k);

	if (err)
		return err;
	sql_want(t, k.space);
	fsp_dirkey_free(&k);
	return 0;
}

int sql_want_ref(struct txn *t, const struct fsp_ref *ref)
{
	FSP_FREE char *dir = NULL;
	FSP_FREE char *name = NULL;
	int err = 0;

	/* A path that it does not have any more claims too much, or nothing:
	 * resolving claims the rest. */
	if (ref->path && *ref->path)
		err = fsp_path_split(ref->path, &dir, &name);
	return err ? err : sql_want_dir(t, dir ? dir : "");
}

int sql_claim_ref(struct txn *t, const struct fsp_ref *ref)
{
	int err = sql_want_ref(t, ref);

	return err ? err : sql_claim(t);
}
