/*
 * Directories without a name of their own: there because a live row is below,
 * or a filespace row for an account, table or record.
 */
#include <errno.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "sql_meta.h"

#define INO_MASK (FSP_INO_DIR - 1)

struct probe {
	bool files;
	bool found;
	struct implied at;
};

static int probe_file(struct sqlstmt *s, struct probe *p)
{
	const char *space = sql_str(s, 0), *file_key = sql_str(s, 1);
	FSP_FREE char *path = NULL;
	struct row r;
	int err;

	if (!space || !file_key)
		return 0;
	err = fsp_path_of_row(space, file_key, &path);
	if (err)
		return err == -ENOMEM ? err : 0;        /* hidden */
	if (sql_row_read(s, SCAN_ROW, &r))
		return 0;
	/* A legacy scan brings closed rows along. */
	if (p->files && !r.live)
		return 0;
	p->found = true;
	p->at = (struct implied){ r.mtime_ns, r.since_us };
	return 1;
}

static int probe_space(struct sqlstmt *s, struct probe *p)
{
	const char *space = sql_str(s, 0);
	FSP_FREE char *path = NULL;
	int err;

	if (!space)
		return 0;
	err = fsp_path_of_space(space, &path);
	if (err)
		return err == -ENOMEM ? err : 0;        /* hidden */
	p->found = true;
	p->at.since_us = sql_sec_to_us(sql_int_or(s, 1, 0));
	p->at.time_ns = sql_us_to_ns(p->at.since_us);
	return 1;
}

static int on_file(void *arg, struct sqlstmt *s, char **seek)
{
	(void)seek;
	return probe_file(s, arg);
}

static int on_space(void *arg, struct sqlstmt *s, char **seek)
{
	(void)seek;
	return probe_space(s, arg);
}

/* filespace rows: the directory's own, and those below. */
static int probe_spaces(struct txn *t, const struct tree *tree, int64_t at,
                        bool own, struct probe *p)
{
	FSP_FREE char *end = fsp_strf("%s\001", tree->k.space);
	struct scan sc = {
		.lo = tree->k.space,
		.hi = end,
		.which = at == NO_TIME ? ROWS_PHP : ROWS_AT,
		.spaces = true,
		.at = at,
		.row = on_space,
		.arg = p,
	};
	int err = 0;

	if (!end)
		return -ENOMEM;
	if (own && tree->depth > 0 && tree->depth <= FSP_RECORD_DEPTH)
		err = sql_scan(t, &sc);
	if (err || p->found || !sql_tree_spaces(tree))
		return err;
	sc.lo = tree->lo;
	sc.hi = tree->hi;
	return sql_scan(t, &sc);
}

static int probe_files(struct txn *t, const struct tree *tree, int64_t at,
                       struct probe *p)
{
	struct tree all;
	struct scan sc = {
		.space = tree->k.space,
		.lo = tree->lo,
		.hi = tree->hi,
		.which = at == NO_TIME ? ROWS_PHP : ROWS_AT,
		.at = at,
		.row = on_file,
		.arg = p,
	};
	int err;

	if (!sql_tree_spaces(tree))
		return sql_scan(t, &sc);
	/* The root's range: every key. */
	err = sql_tree("", &all);
	if (err)
		return err;
	sc.lo = all.lo;
	sc.hi = all.hi;
	err = sql_scan(t, &sc);
	sql_tree_free(&all);
	if (err || p->found)
		return err;
	sc.space = NULL;
	sc.lo = tree->lo;
	sc.hi = tree->hi;
	return sql_scan(t, &sc);
}

int sql_implied(struct txn *t, const char *path, int64_t at_us, bool own,
                struct implied *out)
{
	struct tree tree TREE = { .depth = 0 };
	struct probe p = { .files = at_us == NO_TIME };
	int err = sql_tree(path, &tree);

	if (!err)
		err = probe_spaces(t, &tree, at_us, own, &p);
	if (!err && !p.found)
		err = probe_files(t, &tree, at_us, &p);
	*out = p.at;
	return err ? err : p.found;
}

int sql_ahead_implied(struct txn *t, const char *path)
{
	struct tree tree TREE = { .depth = 0 };
	struct tree all TREE = { .depth = 0 };
	struct scan sc = { .which = ROWS_PHP };
	int err = sql_tree(path, &tree);

	if (!err)
		err = sql_tree("", &all);
	sc.lo = tree.lo;
	sc.hi = tree.hi;
	if (!err && sql_tree_spaces(&tree)) {
		sc.spaces = true;
		err = sql_ahead_scan(t, &sc);
		sc.spaces = false;
		if (!err)
			err = sql_ahead_scan(t, &sc);
		sc.lo = all.lo;
		sc.hi = all.hi;
	}
	sc.space = tree.k.space;
	return err ? err : sql_ahead_scan(t, &sc);
}

/*
 * The finish spreads it over all bits. Numbers that people have seen depend on
 * it: it never changes.
 */
static uint64_t path_hash(const char *path, uint64_t round)
{
	uint64_t h = fsp_hash64(path, strlen(path), round);

	h = (h ^ h >> 33) * 0xff51afd7ed558ccdULL;
	h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53ULL;
	return h ^ h >> 33;
}

uint64_t sql_path_ino(const char *path, uint64_t round)
{
	return FSP_INO_DIR + (path_hash(path, round) & INO_MASK);
}

/*
 * Directories keep their node when they are renamed or removed: a number that
 * has one belongs to another directory, and the next round gives ours.
 */
int sql_implicit_ino(struct txn *t, const char *path, uint64_t *ino)
{
	int taken = 1;

	for (uint64_t round = 0; taken > 0; round++) {
		*ino = sql_path_ino(path, round);
		taken = sql_has_node(t, *ino);
	}
	return taken;
}
