/* Inode numbers, leased in ranges so that creating costs one transaction. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "fsp_log.h"
#include "sql_meta.h"

#define RANGE 256

static int lease(struct txn *t, void *arg)
{
	struct sqlstmt *s SQL_STMT = NULL;
	uint64_t *first = arg;
	const char *value;
	char next[24];
	int err;

	err = sql_claim_ino(t, 0);
	if (!err)
		err = sql_start(t, &s, "SELECT i.value FROM {info} i WHERE"
		                " i.name = 'next_ino'{update}", "");
	if (!err)
		err = sql_next(s);
	if (err < 0)
		return err;
	value = err ? sql_str(s, 0) : NULL;
	*first = value ? strtoull(value, NULL, 10) : 0;
	if (*first < FSP_INO_FIRST || *first >= FSP_INO_ROW - RANGE) {
		fsp_error("fsp_info: next_ino is damaged");
		return -EIO;
	}
	sql_end(&s);
	snprintf(next, sizeof(next), "%" PRIu64, *first + RANGE);
	return sql_run(t, "UPDATE {info} SET value = ? WHERE"
	               " name = 'next_ino'", "t", next);
}

static bool take(struct sql_meta *m, uint64_t *ino)
{
	FSP_GUARD(&m->lock);
	if (m->ino_next == m->ino_end)
		return false;
	*ino = m->ino_next++;
	return true;
}

/*
 * Leased in a transaction of its own: one that is undone later must not give
 * the same range to another host.
 */
int sql_new_ino(struct fsp_meta *base, const struct fsp_ctx *ctx, uint64_t *ino)
{
	struct sql_meta *m = (struct sql_meta *)base;
	uint64_t first;
	int err;

	if (take(m, ino))
		return 0;
	err = sql_txn(base, ctx, SQL_WRITE, lease, &first);
	if (err)
		return err;
	FSP_GUARD(&m->lock);
	/* When another thread leased as well, its rest is never used. */
	m->ino_next = first + 1;
	m->ino_end = first + RANGE;
	*ino = first;
	return 0;
}
