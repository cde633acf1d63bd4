/* Where an inode was at a time. */
#include <errno.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "sql_meta.h"

struct where {
	const struct fsp_ref *ref;
	int64_t at;
	char *path;
};

/* The path in the only row of a statement: 1, or 0 without any. */
static int read_path(struct sqlstmt *s, char **path)
{
	const char *space, *dir, *name;
	FSP_FREE char *file = NULL;
	int err = sql_next(s);

	if (err <= 0)
		return err;
	space = sql_str(s, 0);
	dir = sql_str(s, 1);
	name = sql_str(s, 2);
	if (!space || !dir || !name)
		return -EIO;
	file = fsp_path_join(dir, name);
	err = file ? fsp_path_of_row(space, file, path) : -ENOMEM;
	return err ? err : 1;
}

/*
 * By the names that the inode had: 1 found, 0 not. One that was adopted had no
 * name before, but was where its first one was.
 */
static int by_name(struct txn *t, struct where *w)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int64_t ino = (int64_t)w->ref->ino;
	int err = sql_start(t, &s, "SELECT n.space_key, n.dir_key, n.name FROM"
	                    " {name} n WHERE n.ino = ? AND n.since_us <= ? AND"
	                    " (n.closed_us IS NULL OR n.closed_us > ?)"
	                    " ORDER BY n.since_us DESC, n.id DESC LIMIT 1",
	                    "iii", ino, w->at, w->at);

	if (!err)
		err = read_path(s, &w->path);
	sql_end(&s);
	if (err || w->ref->ino < FSP_INO_DIR)
		return err;
	err = sql_start(t, &s, "SELECT n.space_key, n.dir_key, n.name FROM"
	                " {name} n WHERE n.ino = ? AND n.since_us > ?"
	                " ORDER BY n.since_us, n.id LIMIT 1", "ii", ino, w->at);
	return err ? err : read_path(s, &w->path);
}

static int path_at(struct txn *t, void *arg)
{
	struct where *w = arg;
	int err = 0;

	free(w->path);
	w->path = NULL;
	if (w->ref->ino != FSP_INO_ROOT)
		err = by_name(t, w);
	if (err < 0)
		return err;
	/* What only rows make has always been where it is. */
	if (!err)
		w->path = strdup(w->ref->path);
	if (!w->path)
		return -ENOMEM;
	err = sql_check_dir_at(t, w->path, w->at);
	/* What was there before it is another thing. */
	return err == -ENOTDIR ? -ENOENT : err;
}

int sql_path_at(struct fsp_meta *m, const struct fsp_ctx *ctx,
                const struct fsp_ref *ref, int64_t at_us, char **path)
{
	struct where w = { ref, at_us, NULL };
	int err = sql_txn(m, ctx, SQL_READ, path_at, &w);

	if (err)
		free(w.path);
	else
		*path = w.path;
	return err;
}
