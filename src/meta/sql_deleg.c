/*
 * Delegations of directories: whose they are. See DESIGN.md, "Delegations".
 *
 * A holder stands in fsp_node.rdev of a directory. Who takes it away claims the
 * directory's number, and so does who makes names under it (sql_graft.c).
 */
#include <errno.h>
#include <string.h>

#include "fsp_buf.h"
#include "sql_meta.h"

#define HOLDER_DIGITS 15        /* of a mount's id: 60 bits */
#define INOS "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
#define IS_DIR "(mode & 61440) = 16384"
_Static_assert(FSP_DELEG_MOST == 16, "the statements have so many");

int64_t fsp_meta_holder(const char *mount_id)
{
	char digits[HOLDER_DIGITS + 1] = "";
	int64_t n;

	for (int i = 0; i < HOLDER_DIGITS && mount_id[i]; i++)
		digits[i] = mount_id[i];
	if (strspn(digits, "0123456789abcdefABCDEF") == HOLDER_DIGITS)
		n = (int64_t)strtoull(digits, NULL, 16);
	else
		n = (int64_t)(fsp_hash64(mount_id, strlen(mount_id), 0) >> 4);
	return n ? n : 1;
}

/* Live rows of PHP in a directory or below it. */
#define IN_SPACE "EXISTS (SELECT 1 FROM {file} b{by_php} WHERE" \
	" {eq b.space_key} AND " PHP_LIVE("b.") ")"
#define IN_SPACES "EXISTS (SELECT 1 FROM {file} b{by_php} WHERE" \
	" b.space_key >= ? AND b.space_key < ? AND " PHP_LIVE("b.") ")"
#define IN_DIR \
	"EXISTS (SELECT 1 FROM {file} b{by_php} WHERE " BELOW " AND " \
	PHP_LIVE("b.") ")"
#define POLL(shared) \
	"SELECT d.rdev, " shared " FROM {node} d WHERE d.ino = ? AND" \
	" (d.mode & 61440) = 16384"

struct poll {
	int64_t holder;
	const struct fsp_ref *dir;
	enum fsp_deleg *out;
};

static int start_poll(struct txn *t, struct sqlstmt **s,
                      const struct fsp_ref *dir)
{
	struct tree b TREE = { .depth = 0 };
	int err = sql_tree(dir->path, &b);
	int64_t ino = (int64_t)dir->ino;

	if (err)
		return err;
	if (b.depth > FSP_RECORD_DEPTH)
		return sql_start(t, s, POLL(IN_DIR), "ttti", b.k.space, b.lo,
		                 b.hi, ino);
	if (b.depth == FSP_RECORD_DEPTH)
		return sql_start(t, s, POLL(IN_SPACE), "ti", b.k.space, ino);
	return sql_start(t, s, POLL("(" IN_SPACE " OR " IN_SPACES ")"), "ttti",
	                 b.k.space, b.lo, b.hi, ino);
}

static int poll_txn(struct txn *t, void *arg)
{
	const struct poll *p = arg;
	struct sqlstmt *s SQL_STMT = NULL;
	int64_t who;
	int err = start_poll(t, &s, p->dir);

	*p->out = FSP_DELEG_LOST;
	if (!err)
		err = sql_next(s);
	if (err <= 0)
		return err;
	who = sql_int_or(s, 0, 0);
	if (who == -p->holder)
		*p->out = FSP_DELEG_RECALLED;
	else if (who == p->holder)
		*p->out = sql_int_or(s, 1, 1) ? FSP_DELEG_SHARED :
			FSP_DELEG_HELD;
	return 0;
}

int sql_deleg_poll(struct fsp_meta *m, const struct fsp_ctx *ctx,
                   int64_t holder, const struct fsp_ref *dir,
                   enum fsp_deleg *out)
{
	struct poll p = { holder, dir, out };

	return holder > 0 ? sql_txn(m, ctx, SQL_ONE, poll_txn, &p) : -EINVAL;
}

/* ---- giving up */

struct deleg {
	int64_t holder;
	const uint64_t *ino;
	size_t n;
};

/* As many as the statement has: missing ones are the last one again. */
static void fill_up(const struct deleg *d, int64_t all[FSP_DELEG_MOST])
{
	for (size_t i = 0; i < FSP_DELEG_MOST; i++)
		all[i] = (int64_t)d->ino[i < d->n ? i : d->n - 1];
}

static int release_txn(struct txn *t, void *arg)
{
	const struct deleg *d = arg;
	int64_t all[FSP_DELEG_MOST];
	int err;

	fill_up(d, all);
	for (size_t i = 0; i < d->n; i++)
		sql_want_ino(t, d->ino[i]);
	err = sql_claim(t);
	return err ? err : sql_later(t, "UPDATE {node} SET rdev = 0 WHERE"
	                             " ino IN " INOS " AND rdev IN (?, ?) AND "
	                             IS_DIR, "Iii", all, d->holder, -d->holder);
}

int sql_deleg_release(struct fsp_meta *m, const struct fsp_ctx *ctx,
                      int64_t holder, const uint64_t *inos, size_t n)
{
	struct deleg d = { holder, inos, n };

	if (holder <= 0 || n > FSP_DELEG_MOST)
		return -EINVAL;
	return n ? sql_txn(m, ctx, SQL_WRITE, release_txn, &d) : 0;
}

/* ---- recalling */

struct recall {
	uint64_t ino;
	bool force;
	int64_t holder;                 /* as fsp_entry.holder */
	bool alive;                     /* its mount is there */
	int result;
};

static int64_t who(int64_t holder)
{
	return holder < 0 ? -holder : holder;
}

/* Whose it is, and whether that mount is there, in one statement. */
static int read_holder(struct txn *t, struct recall *r)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int err = sql_start(t, &s, "SELECT d.rdev, m.id FROM {node} d LEFT JOIN"
	                    " {mount} m ON d.rdev <> 0 WHERE d.ino = ? AND"
	                    " (d.mode & 61440) = 16384", "i", (int64_t)r->ino);

	r->holder = 0;
	r->alive = false;
	while (!err && (err = sql_next(s)) == 1) {
		const char *id = sql_str(s, 1);

		r->holder = sql_int_or(s, 0, 0);
		r->alive |= id && fsp_meta_holder(id) == who(r->holder);
		err = 0;
	}
	return err;
}

static int look_txn(struct txn *t, void *arg)
{
	return read_holder(t, arg);
}

static bool may_take(const struct recall *r)
{
	return r->force || !r->alive;
}

static int set_holder(struct txn *t, uint64_t ino, int64_t holder)
{
	return sql_later(t, "UPDATE {node} SET rdev = ? WHERE ino = ? AND "
	                 IS_DIR, "ii", holder, (int64_t)ino);
}

static int recall_txn(struct txn *t, void *arg)
{
	struct recall *r = arg;
	int err = sql_claim_ino(t, r->ino);

	if (!err)
		err = read_holder(t, r);
	if (err)
		return err;
	r->result = 0;
	if (!r->holder)
		return 0;
	if (may_take(r))
		return set_holder(t, r->ino, 0);
	r->result = -EAGAIN;
	return r->holder > 0 ? set_holder(t, r->ino, -r->holder) : 0;
}

int sql_deleg_recall(struct fsp_meta *m, const struct fsp_ctx *ctx,
                     uint64_t ino, bool force)
{
	struct recall r = { .ino = ino, .force = force };
	int err = sql_txn(m, ctx, SQL_ONE, look_txn, &r);

	if (err || !r.holder)
		return err;
	/* It was asked already: whoever waits for it changes nothing. */
	if (r.holder < 0 && !may_take(&r))
		return -EAGAIN;
	err = sql_txn(m, ctx, SQL_WRITE, recall_txn, &r);
	return err ? err : r.result;
}
