/*
 * Ranges of rows in the order of keys, page by page: a database sends all of a
 * result, whatever of it is wanted. The callback may skip ahead in the index.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "sql_meta.h"

/* Rows of a page: a caller often wants the first ones only. */
#define PAGE_FIRST 16
#define PAGE_MOST 2048

#define COLS_BY(oldest, index) \
	"SELECT f.space_key, f.file_key, " oldest ", " ROW_COLS \
	", {head f.file_key} FROM {file} f" index " WHERE "
#define COLS(oldest) COLS_BY(oldest, "")
#define COL_HEAD (SCAN_ROW + ROW_N)
#define IN_SPACE \
	"{eq f.space_key} AND {from f.file_key} AND {below f.file_key}"
#define BY_KEY " ORDER BY {head f.file_key} LIMIT ?"
#define IN_SPACES "f.space_key >= ? AND f.space_key < ?"
#define BY_SPACE " ORDER BY f.space_key, {head f.file_key} LIMIT ?"
#define VALID_AT \
	"COALESCE(f.since_us, f.stored_at, f.created_at * 1000000) <= ?" \
	" AND (" LIVE("f.") " OR" \
	" COALESCE(f.closed_us, f.deleted_at * 1000000) > ?)"

static const char php_space[] = COLS(OLDEST_ID) IN_SPACE " AND "
	PHP_LIVE("f.") BY_KEY;
static const char legacy_space[] = COLS("f.id") IN_SPACE BY_KEY;
static const char at_space[] = COLS("f.id") IN_SPACE " AND " VALID_AT BY_KEY;
static const char all_space[] = COLS("f.id") IN_SPACE BY_KEY;
/* Left to itself the server reads all rows of PHP up to the first of these. */
static const char php_spaces[] = COLS_BY("f.id", "{by_php}") IN_SPACES " AND "
	PHP_LIVE("f.") BY_SPACE;
static const char at_spaces[] = COLS("f.id") IN_SPACES " AND " VALID_AT
	BY_SPACE;
static const char all_spaces[] = COLS("f.id") IN_SPACES BY_SPACE;

#define SPACES \
	"SELECT s.space_key, s.created_at, s.deleted_at FROM {space} s" \
	" WHERE s.space_key >= ? AND s.space_key < ?"
#define BY_SPACE_KEY " ORDER BY s.space_key LIMIT ?"

static const char space_live[] = SPACES " AND " SPACE_LIVE("s.") BY_SPACE_KEY;
static const char space_at[] = SPACES
	" AND COALESCE(s.since_us, s.created_at * 1000000) <= ? AND ("
	SPACE_LIVE("s.") " OR COALESCE(s.closed_us, s.deleted_at * 1000000) > ?)"
	BY_SPACE_KEY;
static const char space_all[] = SPACES BY_SPACE_KEY;

static const char *file_text(const struct txn *t, enum which w, bool in_space)
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

static const char *space_text(enum which w)
{
	if (w == ROWS_PHP)
		return space_live;
	return w == ROWS_AT ? space_at : space_all;
}

/* Where a page ended. */
struct page {
	int64_t limit, rows;
	bool more;
	char *space, *head;     /* of its last row; NULL: no text */
	char *seek;             /* where the callback wants to go on */
};

static void page_free(struct page *p)
{
	free(p->space);
	free(p->head);
	free(p->seek);
}
#define PAGE __attribute__((cleanup(page_free)))

static int start_page(struct txn *t, const struct scan *s, const char *from,
                      const char *hi, int64_t limit, struct sqlstmt **st)
{
	const char *text = s->spaces ? space_text(s->which) :
		file_text(t, s->which, s->space != NULL);
	bool at = s->which == ROWS_AT;

	if (s->space && at)
		return sql_start(t, st, text, "tttiii", s->space, from, hi,
		                 s->at, s->at, limit);
	if (s->space)
		return sql_start(t, st, text, "ttti", s->space, from, hi,
		                 limit);
	if (at)
		return sql_start(t, st, text, "ttiii", from, hi, s->at, s->at,
		                 limit);
	return sql_start(t, st, text, "tti", from, hi, limit);
}

static int end_page(const struct scan *s, struct sqlstmt *st, struct page *p)
{
	const char *space = sql_str(st, 0);
	const char *head = s->spaces ? NULL : sql_str(st, COL_HEAD);

	p->more = true;
	p->space = space ? strdup(space) : NULL;
	p->head = head ? strdup(head) : NULL;
	return (space && !p->space) || (head && !p->head) ? -ENOMEM : 0;
}

/* 1: the callback has enough. */
static int read_page(struct txn *t, const struct scan *s, const char *from,
                     const char *hi, struct page *p)
{
	struct sqlstmt *st SQL_STMT = NULL;
	int err = start_page(t, s, from, hi, p->limit, &st);

	if (err)
		return err;
	while ((err = sql_next(st)) == 1) {
		err = s->row(s->arg, st, &p->seek);
		if (!err && !p->seek && ++p->rows == p->limit)
			err = end_page(s, st, p);
		if (err || p->seek || p->more)
			return err;
	}
	return err;
}

/*
 * Where the next page begins. Pages become longer while all of them is wanted;
 * and when this one began no later than that, by all means: rows that an index
 * cannot tell apart, or that have no text for a key, are on one page.
 */
static void go_on(char **from, char **next, int64_t *limit)
{
	bool later = *next && strcmp(*next, *from) > 0;

	if (later) {
		free(*from);
		*from = fsp_steal(*next);
	}
	if (!later || *limit < PAGE_MOST)
		*limit *= 4;
}

static void jump(char **from, char **seek, int64_t *limit)
{
	free(*from);
	*from = fsp_steal(*seek);
	*limit = PAGE_FIRST;
}

/* In the order of one key. *seek is where a scan over spaces goes on; NULL: it
 * is one of these keys. */
static int scan_keys(struct txn *t, const struct scan *s, const char *lo,
                     const char *hi, int64_t limit, char **seek)
{
	FSP_FREE char *from = strdup(lo);
	int err = from ? 0 : -ENOMEM;

	while (!err) {
		struct page p PAGE = { .limit = limit };

		err = read_page(t, s, from, hi, &p);
		if (!err && p.seek && seek) {
			*seek = fsp_steal(p.seek);
			return 0;
		}
		if (err || (!p.seek && !p.more))
			return err;
		if (p.seek)
			jump(&from, &p.seek, &limit);
		else
			go_on(&from, s->spaces ? &p.space : &p.head, &limit);
	}
	return err;
}

/* The rest of a space in which a page ended; then *next is what comes after,
 * unless the callback wants to go elsewhere. */
static int rest_of_space(struct txn *t, const struct scan *s, struct page *p,
                         char **next)
{
	struct tree all TREE = { .depth = 0 };
	struct scan in = *s;
	int err = sql_tree("", &all);

	in.space = p->space;
	if (!err)
		err = scan_keys(t, &in, p->head, all.hi, p->limit, &p->seek);
	if (err || p->seek)
		return err;
	*next = fsp_strf("%s\001", p->space);
	return *next ? 0 : -ENOMEM;
}

static int scan_spaces(struct txn *t, const struct scan *s)
{
	FSP_FREE char *from = strdup(s->lo);
	int64_t limit = PAGE_FIRST;
	int err = from ? 0 : -ENOMEM;

	while (!err) {
		struct page p PAGE = { .limit = limit };
		FSP_FREE char *next = NULL;

		err = read_page(t, s, from, s->hi, &p);
		if (!err && p.more && p.space && p.head)
			err = rest_of_space(t, s, &p, &next);
		if (err || (!p.seek && !p.more))
			return err;
		if (p.seek)
			jump(&from, &p.seek, &limit);
		else
			go_on(&from, &next, &limit);
	}
	return err;
}

int sql_scan(struct txn *t, const struct scan *s)
{
	int err = s->space || s->spaces ?
		scan_keys(t, s, s->lo, s->hi, PAGE_FIRST, NULL) :
		scan_spaces(t, s);

	return err < 0 ? err : 0;
}

int sql_ahead_scan(struct txn *t, const struct scan *s)
{
	return start_page(t, s, s->lo, s->hi, PAGE_FIRST, NULL);
}

int sql_scan_below(struct txn *t, const struct tree *tree, struct scan *sc)
{
	struct tree all TREE = { .depth = 0 };
	bool spaces = sql_tree_spaces(tree);
	int err = sql_tree("", &all);

	sc->space = tree->k.space;
	sc->lo = spaces ? all.lo : tree->lo;
	sc->hi = spaces ? all.hi : tree->hi;
	if (!err)
		err = sql_scan(t, sc);
	sc->space = NULL;
	sc->lo = tree->lo;
	sc->hi = tree->hi;
	if (err || !spaces)
		return err;
	return sql_scan(t, sc);
}
