/*
 * Advisory locks. A row is a range that one owner holds; ranges of one owner
 * do not overlap. The algebra is fcntl's: a new range replaces the owner's
 * parts that it covers, and cuts those that it touches.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "sql_meta.h"

struct lock {
	const struct fsp_flock *l;
	struct fsp_flock *conflict;
};

/* SQL's integers are signed: no file reaches beyond. */
static int64_t byte(uint64_t off)
{
	return off > INT64_MAX ? INT64_MAX : (int64_t)off;
}

static int find_conflict(struct txn *t, const struct fsp_flock *l,
                         struct fsp_flock *out)
{
	struct sqlstmt *s SQL_STMT = NULL;
	const char *mount;
	int err = sql_start(t, &s, "SELECT k.mount, k.owner, k.type,"
	                    " k.first_byte, k.last_byte, k.pid FROM {lock} k"
	                    " WHERE k.ino = ? AND k.kind = ? AND"
	                    " k.first_byte <= ? AND k.last_byte >= ? AND"
	                    " (k.type = ? OR ? = ?) AND"
	                    " (k.mount <> ? OR k.owner <> ?)"
	                    " ORDER BY k.first_byte, k.id LIMIT 1",
	                    "iiiiiiiti", (int64_t)l->ino, (int64_t)l->kind,
	                    byte(l->end), byte(l->start), (int64_t)F_WRLCK,
	                    (int64_t)l->type, (int64_t)F_WRLCK, l->mount,
	                    (int64_t)l->owner);

	*out = *l;
	out->type = F_UNLCK;
	if (!err)
		err = sql_next(s);
	if (err <= 0)
		return err;
	mount = sql_str(s, 0);
	if (!mount || strlen(mount) > FSP_MOUNT_ID)
		return -EIO;
	strcpy(out->mount, mount);
	out->owner = (uint64_t)sql_int_or(s, 1, 0);
	out->type = (int)sql_int_or(s, 2, F_WRLCK);
	out->start = (uint64_t)sql_int_or(s, 3, 0);
	out->end = (uint64_t)sql_int_or(s, 4, 0);
	out->pid = sql_int_or(s, 5, 0);
	return 0;
}

static int insert(struct txn *t, const struct fsp_flock *l, int64_t type,
                  int64_t first, int64_t last)
{
	return sql_run(t, "INSERT INTO {lock} (ino, kind, mount, owner, type,"
	               " first_byte, last_byte, pid)"
	               " VALUES (?, ?, ?, ?, ?, ?, ?, ?)", "iitiiiii",
	               (int64_t)l->ino, (int64_t)l->kind, l->mount,
	               (int64_t)l->owner, type, first, last, l->pid);
}

/* One range of the owner that the new one overlaps. */
static int old_range(struct txn *t, const struct fsp_flock *l, int64_t *id,
                     int64_t *type, int64_t *first, int64_t *last)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int err = sql_start(t, &s, "SELECT k.id, k.type, k.first_byte,"
	                    " k.last_byte FROM {lock} k WHERE k.ino = ? AND"
	                    " k.kind = ? AND k.mount = ? AND k.owner = ? AND"
	                    " k.first_byte <= ? AND k.last_byte >= ? LIMIT 1",
	                    "iitiii", (int64_t)l->ino, (int64_t)l->kind,
	                    l->mount, (int64_t)l->owner, byte(l->end),
	                    byte(l->start));

	if (!err)
		err = sql_next(s);
	if (err <= 0)
		return err;
	*id = sql_int_or(s, 0, 0);
	*type = sql_int_or(s, 1, F_WRLCK);
	*first = sql_int_or(s, 2, 0);
	*last = sql_int_or(s, 3, INT64_MAX);
	return 1;
}

/*
 * Takes the owner's locks out of the range, leaving what sticks out. Each
 * round removes one overlap and adds none, so it ends.
 */
static int cut(struct txn *t, const struct fsp_flock *l)
{
	int64_t id, type, first, last;
	int err;

	while ((err = old_range(t, l, &id, &type, &first, &last)) == 1) {
		err = sql_run(t, "DELETE FROM {lock} WHERE id = ?", "i", id);
		if (!err && first < byte(l->start))
			err = insert(t, l, type, first, byte(l->start) - 1);
		if (!err && last > byte(l->end))
			err = insert(t, l, type, byte(l->end) + 1, last);
		if (err)
			return err;
	}
	return err;
}

static int set(struct txn *t, void *arg)
{
	const struct lock *a = arg;
	int err = sql_claim_ino(t, a->l->ino);

	if (!err && a->l->type != F_UNLCK) {
		err = find_conflict(t, a->l, a->conflict);
		if (!err && a->conflict->type != F_UNLCK)
			err = -EAGAIN;
	}
	if (!err)
		err = cut(t, a->l);
	if (!err && a->l->type != F_UNLCK)
		err = insert(t, a->l, a->l->type, byte(a->l->start),
		             byte(a->l->end));
	return err;
}

int sql_lock_set(struct fsp_meta *m, const struct fsp_ctx *ctx,
                 const struct fsp_flock *l, struct fsp_flock *conflict)
{
	struct lock a = { l, conflict };

	if (l->start > l->end)
		return -EINVAL;
	return sql_txn(m, ctx, SQL_WRITE, set, &a);
}

static int get(struct txn *t, void *arg)
{
	const struct lock *a = arg;

	return find_conflict(t, a->l, a->conflict);
}

int sql_lock_get(struct fsp_meta *m, const struct fsp_ctx *ctx,
                 const struct fsp_flock *l, struct fsp_flock *conflict)
{
	struct lock a = { l, conflict };

	return sql_txn(m, ctx, SQL_ONE, get, &a);
}
