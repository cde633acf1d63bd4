/* What the two ways of listing a directory share: sql_list.c, sql_list_once.c */
#ifndef FSP_SQL_LIST_H
#define FSP_SQL_LIST_H

#include "sql_meta.h"

#define IN_DIR "n.space_key = ? AND n.dir_key = ?"

/*
 * What a name is read from. Each column costs the server and us a little with
 * every entry, so there are no more of them than a listing needs.
 */
enum {
	LIST_INO, LIST_NODE, LIST_ROW = LIST_NODE + NODE_N,
	LIST_CREATED = LIST_ROW + 3, LIST_FILE, LIST_NAME, LIST_MORE
};
#define LIST_CONTENT "f.id, f.data_hash, f.size_original, f.created_at, "
#define LIST_COLS \
	"n.ino, " NODE_COLS ", " LIST_CONTENT "n.file_id, n.name"
/* Its own row, by its number: PHP's are asked for beside them. */
#define LIST_OWN_ROW \
	"{file} f ON f.id = n.file_id AND {eq f.space_key n.space_key} AND" \
	" f.file_key = " NAME_KEY("n.") " AND " LIVE("f.")
#define IS_DIR_NUMBER "n.ino >= 4611686018427387904"

/*
 * Numbers that directories without a name cannot have: such a directory has got
 * one once, with a name at that place, which is kept.
 */
struct taken {
	uint64_t *v;
	size_t n, cap;
};

static inline void taken_free(struct taken *l)
{
	free(l->v);
}
#define TAKEN __attribute__((cleanup(taken_free)))

int sql_taken_add(struct taken *l, uint64_t ino);
/* Gives the set's directories that only rows make their numbers. */
int sql_number_by(const char *dir, struct taken *l, struct set *set);
/* A name in a directory, e zeroed before; the name is valid until the next row.
 * -EIO, logged, for what cannot be. */
int sql_list_name(struct sqlstmt *s, const struct tree *tree, const char **name,
                  struct ent *e);
/* Puts what a name says over what rows do. */
int sql_merge_name(struct set *set, const char *name, const struct ent *e);

/* How many names a path has. */
int sql_depth(const char *path);
/* Those of a directory, and one more, which tells. */
static inline int64_t names_most(size_t most)
{
	return most ? (int64_t)most + 1 : INT64_MAX;
}

/* In one statement; SQL_AGAIN: it needs another one, or several. */
int sql_list_once(struct txn *t, const char *dir, struct set *set);
/* In one with less work for the server, of a record or in one; self: where its
 * own name would be. SQL_AGAIN: it does not tell. */
int sql_list_quick(struct txn *t, const struct tree *tree,
                   const struct key *self, struct set *set);
extern const char sql_list_quick_text[];

#endif
