/*
 * Where a path's past is: the places it had while directories above it, or it
 * itself, had other names, and when.
 *
 * A renamed directory gets new names for itself and all below it, so the names
 * that an inode had tell its whole paths.
 */
#include <errno.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "sql_meta.h"

/* Each one costs a look into the rows; the names of today come first. */
#define PLACES_MAX 1000

#define DIRS_SQL(live) \
	"SELECT n.ino, n.since_us, n.closed_us FROM {name} n JOIN {node} d" \
	" ON d.ino = n.ino WHERE n.space_key = ? AND n.dir_key = ? AND" \
	" n.live " live " AND n.name = ? AND (d.mode & 61440) = 16384" \
	" ORDER BY n.since_us DESC, n.id DESC"

/* A directory's inode and when its name began. */
struct dir_name {
	uint64_t ino;
	int64_t since;
};

struct dir_names {
	struct dir_name *v;
	size_t n, cap;
};

static void dir_names_free(struct dir_names *l)
{
	free(l->v);
	*l = (struct dir_names){ .n = 0 };
}

static int dir_names_add(struct dir_names *l, uint64_t ino, int64_t since)
{
	struct dir_name *v = fsp_grow(l->v, l->n, &l->cap, sizeof(*v));

	if (!v)
		return -ENOMEM;
	l->v = v;
	l->v[l->n++] = (struct dir_name){ ino, since };
	return 0;
}

void sql_places_free(struct places *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].path);
		free(l->v[i].v);
	}
	free(l->v);
	*l = (struct places){ .n = 0 };
}

bool sql_place_had(const struct place *p, int64_t since, int64_t closed)
{
	for (size_t i = 0; p && i < p->n; i++)
		if (since < p->v[i].to && (!closed || closed > p->v[i].from ||
		                           since >= p->v[i].from))
			return true;
	return !p;
}

static int add_span(struct place *p, int64_t from, int64_t to)
{
	struct span *v;

	if (p->n && p->v[0].from == NO_TIME && p->v[0].to == INT64_MAX)
		return 0;               /* all of its time already */
	v = fsp_grow(p->v, p->n, &p->cap, sizeof(*v));
	if (!v)
		return -ENOMEM;
	p->v = v;
	p->v[p->n++] = (struct span){ from, to };
	return 0;
}

/* NULL without memory, or (*full) with too many. */
static struct place *get_place(struct places *l, const char *path, bool *full)
{
	struct place *p;

	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->v[i].path, path) == 0)
			return &l->v[i];
	*full = l->n == PLACES_MAX;
	if (*full)
		return NULL;
	p = fsp_grow(l->v, l->n, &l->cap, sizeof(*p));
	if (!p)
		return NULL;
	l->v = p;
	p += l->n;
	*p = (struct place){ .path = strdup(path) };
	if (!p->path)
		return NULL;
	l->n++;
	return p;
}

static int add_place(struct places *l, const char *path, int64_t from,
                     int64_t to)
{
	bool full = false;
	struct place *p = get_place(l, path, &full);

	if (!p)
		return full ? 0 : -ENOMEM;
	return add_span(p, from, to);
}

/*
 * A directory that was adopted had no name before, but was where it is since
 * another one of that name ended.
 */
static int adopted_since(struct txn *t, struct sqlstmt *s, uint64_t ino,
                         int64_t *since)
{
	int err;

	if (ino < FSP_INO_DIR)
		return 0;
	err = sql_number(t, since, "SELECT MAX(n.closed_us) FROM {name} n"
	                 " WHERE n.space_key = ? AND n.dir_key = ? AND"
	                 " n.live IS NULL AND n.name = ? AND n.ino <> ? AND"
	                 " n.closed_us <= ?", "tttii", sql_str(s, 0),
	                 sql_str(s, 1), sql_str(s, 2), (int64_t)ino, *since);
	if (!err && !*since)
		*since = NO_TIME;
	return err;
}

/* The name in a row of the statement below as a place. */
static int read_name(struct txn *t, struct sqlstmt *s, uint64_t ino, bool first,
                     struct places *l)
{
	const char *space = sql_str(s, 0), *dir = sql_str(s, 1);
	const char *name = sql_str(s, 2);
	int64_t since = sql_int_or(s, 3, 0);
	FSP_FREE char *file = NULL;
	FSP_FREE char *path = NULL;
	int err = 0;

	if (!space || !dir || !name)
		return 0;
	file = fsp_path_join(dir, name);
	if (!file)
		return -ENOMEM;
	err = fsp_path_of_row(space, file, &path);
	if (err)
		return err == -EINVAL ? 0 : err;        /* no valid place */
	if (first)
		err = adopted_since(t, s, ino, &since);
	return err ? err : add_place(l, path, since,
	                             sql_int_or(s, 4, INT64_MAX));
}

/* All names that the inode had up to one of them. */
static int follow(struct txn *t, const struct dir_name *d, struct places *l)
{
	struct sqlstmt *s SQL_STMT = NULL;
	bool first = true;
	int err = sql_start(t, &s, "SELECT n.space_key, n.dir_key, n.name,"
	                    " n.since_us, n.closed_us FROM {name} n WHERE"
	                    " n.ino = ? AND n.since_us <= ?"
	                    " ORDER BY n.since_us, n.id", "ii",
	                    (int64_t)d->ino, d->since);

	while (!err && (err = sql_next(s)) == 1) {
		err = read_name(t, s, d->ino, first, l);
		first = false;
	}
	return err;
}

static int read_dirs(struct sqlstmt *s, const struct place *p, bool last_only,
                     struct dir_names *out)
{
	int err;

	while ((err = sql_next(s)) == 1) {
		int64_t since = sql_int_or(s, 1, 0);

		if (!sql_place_had(p, since, sql_int_or(s, 2, 0)))
			continue;
		err = dir_names_add(out, (uint64_t)sql_int_or(s, 0, 0), since);
		if (err || last_only)
			return err;
	}
	return err;
}

/* The directories that had a place: today's, or the last of them, first. */
static int find_dirs(struct txn *t, const struct place *p, bool last_only,
                     struct dir_names *out)
{
	struct sqlstmt *s SQL_STMT = NULL;
	struct key k KEY = { .depth = 0 };
	int err = sql_key_of_path(p->path, &k);

	if (!err)
		err = sql_start(t, &s, DIRS_SQL("= 1"), "ttt", k.space, k.dir,
		                k.name);
	if (!err)
		err = read_dirs(s, p, last_only, out);
	sql_end(&s);
	if (err || (last_only && out->n))
		return err;
	err = sql_start(t, &s, DIRS_SQL("IS NULL"), "ttt", k.space, k.dir,
	                k.name);
	return err ? err : read_dirs(s, p, last_only, out);
}

/* Was this inode followed up to this name or a later one? Else it is now. */
static int is_known(struct dir_names *known, const struct dir_name *d)
{
	for (size_t i = 0; i < known->n; i++) {
		if (known->v[i].ino != d->ino)
			continue;
		if (known->v[i].since >= d->since)
			return 1;
		known->v[i].since = d->since;
		return 0;
	}
	return dir_names_add(known, d->ino, d->since);
}

/*
 * Adds the earlier names of what had these places. Under the path that was
 * asked for, which has all of its time, only the last directory counts.
 */
static int follow_all(struct txn *t, struct places *l)
{
	struct dir_names known __attribute__((cleanup(dir_names_free))) = {
		.n = 0
	};
	size_t n = l->n;        /* those that following adds are whole */
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		struct dir_names d __attribute__((cleanup(dir_names_free))) = {
			.n = 0
		};

		err = find_dirs(t, &l->v[i], i == 0, &d);
		for (size_t j = 0; j < d.n && !err; j++) {
			err = is_known(&known, &d.v[j]);
			if (err)
				err = err < 0 ? err : 0;
			else
				err = follow(t, &d.v[j], l);
		}
	}
	return err;
}

/* The places of an entry by those of its directory; not where its name would
 * have made a path too long. */
static int descend(const struct places *up, const char *name,
                   struct places *l)
{
	int err = 0;

	for (size_t i = 0; i < up->n && !err; i++) {
		const struct place *p = &up->v[i];
		FSP_FREE char *path = fsp_path_join(p->path, name);
		struct key k KEY = { .depth = 0 };

		err = path ? sql_key_of_path(path, &k) : -ENOMEM;
		if (i > 0 && err && err != -ENOMEM) {
			err = 0;
			continue;
		}
		for (size_t j = 0; j < p->n && !err; j++)
			err = add_place(l, path, p->v[j].from, p->v[j].to);
	}
	return err;
}

int sql_places(struct txn *t, const char *path, struct places *out)
{
	struct places up __attribute__((cleanup(sql_places_free))) = { .n = 0 };
	FSP_FREE char *rest = strdup(path);
	char *save = NULL, *name;
	struct fsp_dirkey valid;
	int err = rest ? fsp_path_dirkey(path, &valid) : -ENOMEM;

	if (!err) {
		fsp_dirkey_free(&valid);
		err = add_place(&up, "", NO_TIME, INT64_MAX);
	}
	name = err ? NULL : strtok_r(rest, "/", &save);
	for (; name && !err; name = strtok_r(NULL, "/", &save)) {
		struct places l = { .n = 0 };

		err = descend(&up, name, &l);
		if (!err)
			err = follow_all(t, &l);
		sql_places_free(&up);
		up = l;
	}
	*out = up;
	up = (struct places){ .n = 0 };
	if (err)
		sql_places_free(out);
	return err;
}
