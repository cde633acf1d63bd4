/*
 * Mounts that keep names in memory (src/meta/deleg*.c), over connections of
 * their own to the test's database.
 */
#ifndef DELEG_FIXTURE_H
#define DELEG_FIXTURE_H

#include "meta_fixture.h"

#define US "0123456789abcde00000000000000001"
#define THEM "fedcba9876543210000000000000000f"

FX void dx_mount_add(struct fx *x)
{
	struct fsp_mountinfo i = { .id = x->owner, .host = "h", .path = "/",
		                   .pid = 1 };

	assert_int_equal(fsp_meta_mount_add(x->m, &x->ctx, &i), 0);
}

/* Not registered, so it holds nothing yet; with faults below where asked. */
FX void dx_open(struct fx *f, struct fx *x, const char *id,
                struct fsp_meta **fault)
{
	struct fsp_meta_options o = fx_options();
	char *error = NULL;
	int err;

	o.create = false;
	*x = (struct fx){ .ctx = fsp_ctx_background(), .owner = id };
	err = fx_db_open_by_name(f->db.path, &o, &x->m, &error);
	if (err)
		fail_msg("open: %d %s", err, error ? error : "");
	fx_watch_claims(x->m);
	x->inner = x->m;
	if (fault) {
		assert_int_equal(fsp_meta_fault(x->m, fault), 0);
		x->m = *fault;
	}
	assert_int_equal(fsp_meta_deleg(x->m, true, &x->m), 0);
}

FX void dx_mount(struct fx *f, struct fx *x, const char *id,
                 struct fsp_meta **fault)
{
	dx_open(f, x, id, fault);
	dx_mount_add(x);
}

/* Its row goes with it, as at the end of a mount. */
FX void dx_end(struct fx *x)
{
	if (!x->m)
		return;
	assert_int_equal(fsp_meta_mount_remove(x->m, &x->ctx, x->owner), 0);
	fx_close(x);
}

FX int64_t dx_held(struct fx *f)
{
	return fx_number(f, "SELECT COUNT(*) FROM fsp_node WHERE rdev <> 0"
	                 " AND mode >= 16384 AND mode < 20480");
}

#endif
