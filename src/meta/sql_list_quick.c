/*
 * The entries of a directory in which PHP has written nothing that no mount knows
 * of: names, each with its node and its row. A plain join gives them, while in a
 * UNION, as in sql_list_once.c, the server copies each row once more, and makes
 * up its mind about parts that are empty.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fsp_log.h"
#include "sql_list.h"

enum { COL_SELF = LIST_MORE, COL_PHP };

/* One row at least, which tells of the directory; none but that where there are
 * rows of PHP's. */
const char sql_list_quick_text[] =
	"SELECT " LIST_COLS ", o.self, o.php FROM (SELECT (SELECT e.mode FROM"
	" {name} m JOIN {node} e ON e.ino = m.ino WHERE {at m}) AS self,"
	" EXISTS (SELECT 1 FROM {file} b{by_php} WHERE " BELOW " AND "
	PHP_LIVE("b.") ") AS php) o LEFT JOIN {name} n ON o.php = 0 AND " IN_DIR
	" AND n.live = 1 LEFT JOIN {node} d ON d.ino = n.ino LEFT JOIN "
	LIST_OWN_ROW " LIMIT ?";

static const struct row_cols own_row = {
	LIST_ROW, LIST_ROW + 1, LIST_ROW + 2, LIST_CREATED,
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1
};

int sql_list_name(struct sqlstmt *s, const struct tree *tree, const char **name,
                  struct ent *e)
{
	int64_t ino = sql_int_or(s, LIST_INO, 0);
	size_t len;
	int err = sql_row_read_at(s, &own_row, &e->row);

	e->has_row = !err;
	if (err == -ENOENT)
		err = 0;
	if (!err)
		err = sql_node_read(s, LIST_NODE, ino, &e->node);
	if (err)
		return err;
	e->ino = (uint64_t)ino;
	e->file_id = sql_int_or(s, LIST_FILE, 0);
	*name = sql_str(s, LIST_NAME);
	len = *name ? strlen(*name) : 0;
	if (fsp_name_valid(*name, len) &&
	    strlen(tree->path) + 1 + len < FSP_PATH_MAX)
		return 0;
	fsp_warn("fsp_name of inode %" PRId64 ": no valid place", ino);
	return -EIO;
}

/* A place has one live name, so none of them comes twice. */
static int on_row(struct sqlstmt *s, const struct tree *tree, struct set *set)
{
	struct ent e = { .how = BY_NAME };
	const char *name;
	struct item *it;
	int err;

	if (sql_null(s, LIST_INO))
		return 0;
	err = sql_list_name(s, tree, &name, &e);
	if (err || sql_is_dead(&e))
		return err == -EIO ? 0 : err;
	it = sql_set_add(set, name);
	if (!it)
		return -ENOMEM;
	sql_fill(&e, &it->e);
	return 0;
}

int sql_list_quick(struct txn *t, const struct tree *tree,
                   const struct key *self, struct set *set)
{
	const char *space = tree->k.space, *dir = tree->k.dir;
	struct sqlstmt *s SQL_STMT = NULL;
	size_t names = 0;
	bool is_dir = false;
	int err = sql_start(t, &s, sql_list_quick_text, "tttttttti",
	                    self->space, self->dir, self->name, space,
	                    tree->lo, tree->hi, space, dir,
	                    names_most(set->most));

	while (!err && (err = sql_next(s)) == 1) {
		if (sql_int_or(s, COL_PHP, 1))
			return sql_quick_failed(t, &t->m->mixed);
		is_dir = S_ISDIR((mode_t)sql_int_or(s, COL_SELF, 0));
		/* Also one that is not shown: the limit has counted it. */
		err = sql_set_room(set, names++) ? on_row(s, tree, set)
		                                 : -ENOMEM;
	}
	/* Without entries or a name of its own it may be there all the same. */
	return err || set->n || is_dir ? err : SQL_AGAIN;
}
