/*
 * The lease of a mount's locks. See DESIGN.md, "Leases".
 *
 * Whoever renews, takes or relies on a lease claims the mount's shard first, so
 * that one of two comes after the other, on all nodes of a cluster.
 */
#include <errno.h>
#include <string.h>

#include "sql_meta.h"

struct lease {
	const char *mount;
	int64_t started_us;
	int64_t lease_us;
	int64_t lease_ns;
};

static int read_lease(struct txn *t, const char *mount, int64_t *started_us,
                      int64_t *lease_us)
{
	struct sqlstmt *s SQL_STMT = NULL;
	int err = sql_start(t, &s, "SELECT m.started_us, m.lease_us FROM"
	                    " {mount} m WHERE m.id = ?", "t", mount);

	if (!err)
		err = sql_next(s);
	if (err <= 0)
		return err;
	*started_us = sql_int_or(s, 0, 0);
	*lease_us = sql_int_or(s, 1, FSP_LEASE_NONE);
	return 1;
}

int sql_lease_holds(struct txn *t, const char *mount, int64_t started_us)
{
	int64_t started, lease;
	int err = read_lease(t, mount, &started, &lease);

	if (err < 0)
		return err;
	return err && started == started_us && lease != FSP_LEASE_TAKEN ?
		0 : -ENOLCK;
}

static int write_lease(struct txn *t, const char *mount, int64_t lease_us)
{
	return sql_run(t, "UPDATE {mount} SET lease_us = ? WHERE id = ?", "it",
	               lease_us, mount);
}

static int renew(struct txn *t, void *arg)
{
	const struct lease *a = arg;
	int err = sql_claim_space(t, a->mount);

	if (!err)
		err = sql_lease_holds(t, a->mount, a->started_us);
	return err ? err : write_lease(t, a->mount,
	                               t->now_us + a->lease_ns / 1000);
}

int sql_lease_renew(struct fsp_meta *m, const struct fsp_ctx *ctx,
                    const char *mount, int64_t started_us, int64_t lease_ns)
{
	struct lease a = { .mount = mount, .started_us = started_us,
	                   .lease_ns = lease_ns };

	return sql_txn(m, ctx, SQL_WRITE, renew, &a);
}

static int revoke(struct txn *t, void *arg)
{
	const struct lease *a = arg;
	int64_t started, lease;
	int err = sql_claim_space(t, a->mount);

	if (!err)
		err = read_lease(t, a->mount, &started, &lease);
	if (err < 0)
		return err;
	if (!err || lease != a->lease_us || lease == FSP_LEASE_NONE ||
	    lease > t->now_us)
		return -EAGAIN;
	err = sql_run(t, "DELETE FROM {lock} WHERE mount = ?", "t", a->mount);
	return err ? err : write_lease(t, a->mount, FSP_LEASE_TAKEN);
}

int sql_lease_revoke(struct fsp_meta *m, const struct fsp_ctx *ctx,
                     const char *mount, int64_t lease_us)
{
	struct lease a = { .mount = mount, .lease_us = lease_us };

	return sql_txn(m, ctx, SQL_WRITE, revoke, &a);
}
