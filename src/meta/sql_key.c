/* Places: an entry's keys in the tables, and the ranges below a directory. */
#include <errno.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "sql_meta.h"


/* Above every key: no component is that long. */
#define TOP_LEN (FSP_NAME_MAX + 1)

void sql_key_free(struct key *k)
{
	free(k->path);
	free(k->space);
	free(k->dir);
	free(k->name);
	free(k->file);
	*k = (struct key){ .depth = 0 };
}

static int depth_of(const char *path)
{
	int n = *path != '\0';

	for (; *path; path++)
		n += *path == '/';
	return n;
}

int sql_key(const char *dir, const char *name, struct key *k)
{
	struct fsp_dirkey dk;
	size_t len = strlen(name);
	int err;

	*k = (struct key){ .depth = 0 };
	if (len > FSP_NAME_MAX || strlen(dir) + 1 + len >= FSP_PATH_MAX)
		return -ENAMETOOLONG;
	if (!fsp_name_valid(name, len))
		return -EINVAL;
	err = fsp_path_dirkey(dir, &dk);
	if (err)
		return err;
	k->space = dk.space;
	k->dir = dk.dir;
	k->name = strdup(name);
	k->path = fsp_path_join(dir, name);
	k->file = fsp_path_join(dk.dir, name);
	if (!k->name || !k->path || !k->file) {
		sql_key_free(k);
		return -ENOMEM;
	}
	k->depth = depth_of(k->path);
	return 0;
}

int sql_key_of_path(const char *path, struct key *k)
{
	FSP_FREE char *dir = NULL;
	FSP_FREE char *name = NULL;
	int err = fsp_path_split(path, &dir, &name);

	*k = (struct key){ .depth = 0 };
	return err ? err : sql_key(dir, name, k);
}

int sql_key_of_row(const char *space, const char *file_key, struct key *k)
{
	FSP_FREE char *path = NULL;
	int err = fsp_path_of_row(space, file_key, &path);

	*k = (struct key){ .depth = 0 };
	return err ? err : sql_key_of_path(path, k);
}

int sql_key_copy(const struct key *from, struct key *k)
{
	*k = (struct key){
		.path = strdup(from->path),
		.space = strdup(from->space),
		.dir = strdup(from->dir),
		.name = strdup(from->name),
		.file = strdup(from->file),
		.depth = from->depth,
	};
	if (k->path && k->space && k->dir && k->name && k->file)
		return 0;
	sql_key_free(k);
	return -ENOMEM;
}

void sql_tree_free(struct tree *t)
{
	fsp_dirkey_free(&t->k);
	free(t->path);
	free(t->lo);
	free(t->hi);
	*t = (struct tree){ .depth = 0 };
}

bool sql_tree_spaces(const struct tree *t)
{
	return t->depth < FSP_RECORD_DEPTH;
}

static char *top(void)
{
	char *s = malloc(TOP_LEN + 1);

	if (s) {
		memset(s, 0xff, TOP_LEN);
		s[TOP_LEN] = '\0';
	}
	return s;
}

int sql_tree(const char *path, struct tree *t)
{
	const char *prefix, *sep, *after;
	int err;

	*t = (struct tree){ .depth = depth_of(path) };
	err = fsp_path_dirkey(path, &t->k);
	if (err)
		return err;
	t->path = strdup(path);
	/* The character after the separator ends the range. */
	sep = sql_tree_spaces(t) ? "." : "/";
	after = sql_tree_spaces(t) ? "/" : "0";
	prefix = sql_tree_spaces(t) ? t->k.space : t->k.dir;
	t->lo = *prefix ? fsp_strf("%s%s", prefix, sep) : strdup("\001");
	t->hi = *prefix ? fsp_strf("%s%s", prefix, after) : top();
	if (t->path && t->lo && t->hi)
		return 0;
	sql_tree_free(t);
	return -ENOMEM;
}
