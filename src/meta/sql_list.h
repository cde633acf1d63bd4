/* What the two ways of listing a directory share: sql_list.c, sql_list_once.c */
#ifndef FSP_SQL_LIST_H
#define FSP_SQL_LIST_H

#include "sql_meta.h"

#define IN_DIR "n.space_key = ? AND n.dir_key = ?"
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
/* Puts what a name says over what rows do. */
int sql_merge_name(struct set *set, const char *name, const struct ent *e);

/* How many names a path has. */
int sql_depth(const char *path);
/* In one statement; SQL_AGAIN: it needs several. */
int sql_list_once(struct txn *t, const char *dir, struct set *set);

#endif
