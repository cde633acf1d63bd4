/* Ranges of rows in key order; the callback may skip ahead in the index. */
#include <errno.h>
#include <stdlib.h>

#include "fsp_cleanup.h"
#include "sql_meta.h"

#define COLS(oldest) \
	"SELECT f.space_key, f.file_key, " oldest ", " ROW_COLS \
	" FROM {file} f WHERE "
#define OLDEST \
	"(SELECT MIN(p.id) FROM {file} p WHERE {eq p.space_key f.space_key}" \
	" AND {eq p.file_key f.file_key} AND p.ino IS NULL)"
#define IN_SPACE \
	"{eq f.space_key} AND {from f.file_key} AND {below f.file_key}"
#define BY_KEY " ORDER BY f.file_key, f.id"
#define IN_SPACES "f.space_key >= ? AND f.space_key < ?"
#define BY_SPACE " ORDER BY f.space_key, f.file_key, f.id"
#define VALID_AT \
	"COALESCE(f.since_us, f.stored_at, f.created_at * 1000000) <= ?" \
	" AND (" LIVE("f.") " OR" \
	" COALESCE(f.closed_us, f.deleted_at * 1000000) > ?)"

static const char php_space[] = COLS(OLDEST) IN_SPACE " AND " PHP_LIVE("f.")
	BY_KEY;
static const char legacy_space[] = COLS("f.id") IN_SPACE BY_KEY;
static const char at_space[] = COLS("f.id") IN_SPACE " AND " VALID_AT BY_KEY;
static const char all_space[] = COLS("f.id") IN_SPACE BY_KEY;
static const char php_spaces[] = COLS("f.id") IN_SPACES " AND "
	PHP_LIVE("f.") BY_SPACE;
static const char at_spaces[] = COLS("f.id") IN_SPACES " AND " VALID_AT
	BY_SPACE;
static const char all_spaces[] = COLS("f.id") IN_SPACES BY_SPACE;

#define SPACES \
	"SELECT s.space_key, s.created_at, s.deleted_at FROM {space} s" \
	" WHERE s.space_key >= ? AND s.space_key < ?"
#define BY_SPACE_ID " ORDER BY s.space_key, s.id"

static const char space_live[] = SPACES " AND " LIVE("s.") BY_SPACE_ID;
static const char space_at[] = SPACES
	" AND COALESCE(s.since_us, s.created_at * 1000000) <= ? AND ("
	LIVE("s.") " OR COALESCE(s.closed_us, s.deleted_at * 1000000) > ?)"
	BY_SPACE_ID;
static const char space_all[] = SPACES BY_SPACE_ID;

const char *sql_file_text(const struct txn *t, enum which w, bool in_space)
{
	if (w == ROWS_PHP && t->m->drv->legacy && in_space)
		return legacy_space;
	switch (w) {
	case ROWS_PHP:
		return in_space ? php_space : php_spaces;
	case ROWS_AT:
		return in_space ? at_space : at_spaces;
	case ROWS_ALL:
		break;
	}
	return in_space ? all_space : all_spaces;
}

const char *sql_space_text(enum which w)
{
	if (w == ROWS_PHP)
		return space_live;
	return w == ROWS_AT ? space_at : space_all;
}

static int scan_from(struct txn *t, const struct scan *s, const char *lo,
                     char **seek)
{
	struct sqlstmt *st SQL_STMT = NULL;
	const char *types = s->space ? "tttii" : "ttii";
	int err;

	if (s->at == NO_TIME)
		types = s->space ? "ttt" : "tt";
	err = s->space ?
		sql_start(t, &st, s->text, types, s->space, lo, s->hi, s->at,
		          s->at) :
		sql_start(t, &st, s->text, types, lo, s->hi, s->at, s->at);
	if (err)
		return err;
	while ((err = sql_next(st)) == 1) {
		err = s->row(s->arg, st, seek);
		if (err || *seek)
			return err;
	}
	return err;
}

int sql_scan(struct txn *t, const struct scan *s)
{
	FSP_FREE char *from = NULL;
	int err;

	do {
		char *seek = NULL;

		err = scan_from(t, s, from ? from : s->lo, &seek);
		free(from);
		from = seek;
	} while (from && !err);
	return err < 0 ? err : 0;
}

int sql_scan_below(struct txn *t, const struct tree *tree, enum which w,
                   struct scan *sc)
{
	struct tree all TREE = { .depth = 0 };
	bool spaces = sql_tree_spaces(tree);
	int err = sql_tree("", &all);

	sc->space = tree->k.space;
	sc->lo = spaces ? all.lo : tree->lo;
	sc->hi = spaces ? all.hi : tree->hi;
	sc->text = sql_file_text(t, w, true);
	if (!err)
		err = sql_scan(t, sc);
	if (err || !spaces)
		return err;
	sc->space = NULL;
	sc->lo = tree->lo;
	sc->hi = tree->hi;
	sc->text = sql_file_text(t, w, false);
	return sql_scan(t, sc);
}
