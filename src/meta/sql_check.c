/* The invariants of DESIGN.md, one statement each where SQL can say it. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "deleg_ops.h"
#include "sql_meta.h"

/* Each selects the ids of what violates it. */
static const struct {
	const char *what;       /* "WHAT id: RULE" around the id */
	const char *rule;
	const char *sql;
} rules[] = {
	{ "name", "another live name is at the same place",
	  "SELECT MAX(n.id) FROM {name} n WHERE n.live = 1"
	  " GROUP BY n.space_key, n.dir_key, n.name HAVING COUNT(*) > 1" },
	{ "name", "live is neither 1 nor NULL",
	  "SELECT n.id FROM {name} n WHERE n.live <> 1" },
	{ "name", "its inode does not exist",
	  "SELECT n.id FROM {name} n LEFT JOIN {node} d ON d.ino = n.ino"
	  " WHERE n.live = 1 AND d.ino IS NULL" },
	{ "inode", "nlink is not the number of its live names",
	  "SELECT d.ino FROM {node} d WHERE d.ino <> 1 AND d.nlink <>"
	  " (SELECT COUNT(*) FROM {name} n WHERE n.ino = d.ino AND"
	  " n.live = 1)" },
	{ "inode", "a directory with several names",
	  "SELECT d.ino FROM {node} d WHERE (d.mode & 61440) = 16384 AND"
	  " d.nlink > 1" },
	{ "inode", "a regular file without names",
	  "SELECT d.ino FROM {node} d WHERE (d.mode & 61440) = 32768 AND"
	  " d.nlink = 0" },
	{ "inode", "its number was never allotted",
	  "SELECT d.ino FROM {node} d WHERE d.ino >= 16 AND"
	  " d.ino < 2305843009213693952 AND d.ino >= (SELECT"
	  " CAST(i.value AS INTEGER) FROM {info} i WHERE"
	  " i.name = 'next_ino')" },
	{ "name", "file_id is no row of its key",
	  "SELECT n.id FROM {name} n LEFT JOIN {file} f ON f.id = n.file_id"
	  " WHERE n.live = 1 AND n.file_id IS NOT NULL AND (f.id IS NULL OR"
	  " f.space_key <> n.space_key OR f.file_key <> " NAME_KEY("n.") ")" },
	{ "name", "has a row, but is no regular file",
	  "SELECT n.id FROM {name} n JOIN {node} d ON d.ino = n.ino WHERE"
	  " n.file_id IS NOT NULL AND (d.mode & 61440) <> 32768" },
	{ "name", "has an owner without being pending",
	  "SELECT n.id FROM {name} n JOIN {node} d ON d.ino = n.ino WHERE"
	  " n.owner IS NOT NULL AND (n.file_id IS NOT NULL OR"
	  " (d.mode & 61440) <> 32768)" },
	{ "row", "live, but its inode's name has another row",
	  "SELECT f.id FROM {file} f WHERE " LIVE("f.") " AND"
	  " f.ino IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {name} n WHERE"
	  " n.ino = f.ino AND n.live = 1 AND n.file_id = f.id)" },
	{ "row", "two live names of its inode have different content",
	  "SELECT f.id FROM {name} a JOIN {file} f ON f.id = a.file_id"
	  " JOIN {name} b ON b.ino = a.ino AND b.live = 1 AND b.id > a.id"
	  " JOIN {file} g ON g.id = b.file_id WHERE a.live = 1 AND "
	  LIVE("f.") " AND " LIVE("g.") " AND f.mtime_ns IS NOT NULL AND"
	  " g.mtime_ns IS NOT NULL AND (f.data_hash <> g.data_hash OR"
	  " f.size_original <> g.size_original)" },
	{ "row", "another live row of the mount has the same key",
	  "SELECT MAX(f.id) FROM {file} f WHERE " LIVE("f.") " AND"
	  " f.ino IS NOT NULL GROUP BY f.space_key, f.file_key"
	  " HAVING COUNT(*) > 1" },
	{ "row", "its predecessor is not older",
	  "SELECT f.id FROM {file} f WHERE f.pred_id >= f.id" },
	{ "row", "closed before it began",
	  "SELECT f.id FROM {file} f WHERE f.deleted_at <> 0 AND"
	  " f.closed_us < COALESCE(f.since_us, f.stored_at,"
	  " f.created_at * 1000000)" },
	{ "name", "closed before it began, or live and closed",
	  "SELECT n.id FROM {name} n WHERE n.closed_us < n.since_us OR"
	  " (n.live = 1) <> (n.closed_us IS NULL)" },
};

struct report {
	void (*each)(void *arg, const char *what);
	void *arg;
	struct set dirs;        /* parents that are there */
};

static int say(struct report *r, const char *what, int64_t id,
               const char *rule)
{
	FSP_FREE char *text = fsp_strf("%s %" PRId64 ": %s", what, id, rule);

	if (!text)
		return -ENOMEM;
	r->each(r->arg, text);
	return 0;
}

static int check_rule(struct txn *t, struct report *r, size_t i)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int err = sql_start(t, &s, rules[i].sql, "");

	if (err)
		return err;
	while ((err = sql_next(s)) == 1) {
		err = say(r, rules[i].what, sql_int_or(s, 0, 0),
		          rules[i].rule);
		if (err)
			return err;
	}
	return err;
}

static int is_dir_name(struct txn *t, const char *path, int64_t *there)
{
	struct key k KEY = { .depth = 0 };
	int err = sql_key_of_path(path, &k);

	return err ? err :
		sql_number(t, there, "SELECT 1 FROM {name} n JOIN {node} d"
		           " ON d.ino = n.ino WHERE " AT_PLACE " AND"
		           " (d.mode & 61440) = 16384", "ttt", k.space, k.dir,
		           k.name);
}

/* The directory of a live name has a live name. */
static int check_parent(struct txn *t, struct report *r, int64_t id,
                        const char *path)
{
	FSP_FREE char *dir = NULL;
	FSP_FREE char *name = NULL;
	int64_t there = 0;
	bool fresh;
	int err = fsp_path_split(path, &dir, &name);

	if (err || !*dir || sql_set_find(&r->dirs, dir))
		return err;
	err = is_dir_name(t, dir, &there);
	if (err)
		return err;
	if (!there)
		return say(r, "name", id, "its directory has no name");
	return sql_set_get(&r->dirs, dir, &fresh) ? 0 : -ENOMEM;
}

static int check_name(struct txn *t, struct report *r, struct sqlstmt *s)
{
	const char *space = sql_str(s, 1), *dir = sql_str(s, 2);
	const char *name = sql_str(s, 3);
	int64_t id = sql_int_or(s, 0, 0);
	FSP_FREE char *file = NULL;
	FSP_FREE char *path = NULL;
	int err;

	if (!space || !dir || !name)
		return say(r, "name", id, "its place is no text");
	file = fsp_path_join(dir, name);
	err = file ? fsp_path_of_row(space, file, &path) : -ENOMEM;
	if (err)
		return err == -EINVAL ?
			say(r, "name", id, "its place is no path") : err;
	return check_parent(t, r, id, path);
}

static int check_names(struct txn *t, struct report *r)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int err = sql_start(t, &s, "SELECT n.id, n.space_key, n.dir_key,"
	                    " n.name FROM {name} n WHERE n.live = 1", "");

	if (err)
		return err;
	while ((err = sql_next(s)) == 1) {
		err = check_name(t, r, s);
		if (err)
			return err;
	}
	return err;
}

static int check(struct txn *t, void *arg)
{
	struct report *r = arg;
	int err = 0;

	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules) && !err; i++)
		err = check_rule(t, r, i);
	return err ? err : check_names(t, r);
}

int fsp_meta_check(struct fsp_meta *m, const struct fsp_ctx *ctx,
                          void (*each)(void *arg, const char *what), void *arg)
{
	struct report r = { .each = each, .arg = arg };
	int err;

	m = deleg_inner(m);
	err = sql_meta_of(m) ? sql_txn(m, ctx, SQL_READ, check, &r) :
		-EINVAL;

	sql_set_free(&r.dirs);
	return err;
}
