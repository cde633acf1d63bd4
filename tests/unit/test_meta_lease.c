/* meta: whose locks are whose, and what may be committed under them. */
#include <fcntl.h>

#include "meta_fixture.h"

static int64_t lease_of(struct fx *f)
{
	return fx_number(f, "SELECT COALESCE(lease_us, -1) FROM fsp_mount"
	                 " WHERE id = 'mount1'");
}

static int lock_by(struct fx *f, const char *mount)
{
	struct fsp_flock c, l = { .ino = 77, .type = F_WRLCK, .end = 9,
	                          .owner = 1 };

	strcpy(l.mount, mount);
	return fsp_meta_lock_set(f->m, &f->ctx, &l, &c);
}

/* A mount's own word keeps its locks, for as long as it is heard. */
static void test_leases(void **state)
{
	struct fx *f = *state;
	struct fsp_mountinfo a = { "mount1", "h", "/mnt", 1, 2, false, "",
	                           0 };
	struct fsp_commit c = { .owner = "mount1", .fence = 2 };
	struct fsp_object o = fx_object('7', 5);
	struct fsp_entry e = { 0 };
	int64_t lease;

	fx_mkdirs(f, "a/t/r");
	fx_put(f, "a/t/r/f", '1', 1);
	c.object = &o;
	c.ref.path = "a/t/r/f";
	c.ref.ino = fx_get(f, "a/t/r/f").attr.ino;

	/* None is renewed that was never registered, or by another name. */
	assert_int_equal(fsp_meta_lease_renew(f->m, &f->ctx, "mount1", 2,
	                                      FSP_NS_PER_SEC), -ENOLCK);
	assert_int_equal(fsp_meta_mount_add(f->m, &f->ctx, &a), 0);
	assert_int_equal(lease_of(f), FSP_LEASE_NONE);
	assert_int_equal(fsp_meta_lease_renew(f->m, &f->ctx, "mount1", 3,
	                                      FSP_NS_PER_SEC), -ENOLCK);
	/* What never had one is never taken from. */
	assert_int_equal(lock_by(f, "mount1"), 0);
	assert_int_equal(fsp_meta_lease_revoke(f->m, &f->ctx, "mount1",
	                                       FSP_LEASE_NONE), -EAGAIN);

	assert_int_equal(fsp_meta_lease_renew(f->m, &f->ctx, "mount1", 2,
	                                      1000 * FSP_NS_PER_SEC), 0);
	lease = lease_of(f);
	assert_true(lease > 0);
	assert_int_equal(fsp_meta_lease_revoke(f->m, &f->ctx, "mount1", lease),
	                 -EAGAIN);
	assert_int_equal(fsp_meta_commit(f->m, &f->ctx, &c, &e), 0);
	assert_int_equal(lock_by(f, "m2"), -EAGAIN);

	/* It has ended, but was renewed since somebody saw that. */
	assert_int_equal(fsp_meta_lease_renew(f->m, &f->ctx, "mount1", 2,
	                                      -FSP_NS_PER_SEC), 0);
	lease = lease_of(f);
	assert_int_equal(fsp_meta_lease_revoke(f->m, &f->ctx, "mount1",
	                                       lease - 1), -EAGAIN);
	/* Late, but nobody wanted the locks: they are still its own. */
	o = fx_object('8', 5);
	assert_int_equal(fsp_meta_commit(f->m, &f->ctx, &c, &e), 0);
	assert_int_equal(fsp_meta_lease_revoke(f->m, &f->ctx, "mount1", lease),
	                 0);
	assert_int_equal(lease_of(f), FSP_LEASE_TAKEN);

	assert_int_equal(lock_by(f, "m2"), 0);
	o = fx_object('9', 5);
	assert_int_equal(fsp_meta_commit(f->m, &f->ctx, &c, &e), -ENOLCK);
	assert_int_equal(fsp_meta_lease_renew(f->m, &f->ctx, "mount1", 2,
	                                      FSP_NS_PER_SEC), -ENOLCK);
	c.fence = 0;
	assert_int_equal(fsp_meta_commit(f->m, &f->ctx, &c, &e), 0);

	/* It begins anew, and what is of before stays refused. */
	a.started_us = 3;
	assert_int_equal(fsp_meta_mount_add(f->m, &f->ctx, &a), 0);
	assert_int_equal(fsp_meta_lease_renew(f->m, &f->ctx, "mount1", 3,
	                                      FSP_NS_PER_SEC), 0);
	c.fence = 2;
	assert_int_equal(fsp_meta_commit(f->m, &f->ctx, &c, &e), -ENOLCK);
	c.fence = 3;
	assert_int_equal(fsp_meta_commit(f->m, &f->ctx, &c, &e), 0);
	assert_int_equal(fsp_meta_mount_remove(f->m, &f->ctx, "mount1"), 0);
	assert_int_equal(fsp_meta_commit(f->m, &f->ctx, &c, &e), -ENOLCK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(test_leases),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
