/* The implementation of struct fsp_meta over a driver. */
#include <errno.h>

#include "sql_meta.h"

static void sql_close(struct fsp_meta *base)
{
	struct sql_meta *m = (struct sql_meta *)base;

	m->drv->ops->close(m->drv);
	sql_free_end(m);
	fsp_mutex_destroy(&m->lock);
	free(m);
}

static void sql_stats(struct fsp_meta *base, struct fsp_meta_stats *out)
{
	struct sql_meta *m = (struct sql_meta *)base;

	*out = (struct fsp_meta_stats){
		.reads = atomic_load(&m->reads),
		.writes = atomic_load(&m->writes),
		.retries = atomic_load(&m->retries),
		.trips = atomic_load(&m->drv->trips),
	};
}

static const struct fsp_meta_ops ops = {
	.lookup = sql_lookup,
	.getattr = sql_getattr,
	.getattr_at = sql_getattr_at,
	.list = sql_list,
	.list_many = sql_list_many,
	.readlink = sql_readlink,
	.create = sql_create,
	.setattr = sql_setattr,
	.setattr_many = sql_setattr_many,
	.commit = sql_commit,
	.remove = sql_remove,
	.link = sql_link,
	.rename = sql_rename,
	.sync = sql_sync,
	.object_find = sql_object_find,
	.object_get = sql_object_get,
	.object_blocks = sql_object_blocks,
	.object_put = sql_object_put,
	.object_each = sql_object_each,
	.object_rows = sql_object_rows,
	.history = sql_history,
	.past_names = sql_past_names,
	.dir_ended = sql_dir_ended,
	.list_at = sql_list_at,
	.lookup_at = sql_lookup_at,
	.path_at = sql_path_at,
	.counts = sql_counts,
	.accounts = sql_accounts,
	.xattr_get = sql_xattr_get,
	.xattr_list = sql_xattr_list,
	.xattr_set = sql_xattr_set,
	.xattr_remove = sql_xattr_remove,
	.lock_set = sql_lock_set,
	.lock_get = sql_lock_get,
	.info_get = sql_info_get,
	.info_set = sql_info_set,
	.mount_add = sql_mount_add,
	.mount_remove = sql_mount_remove,
	.lease_renew = sql_lease_renew,
	.lease_revoke = sql_lease_revoke,
	.mount_each = sql_mount_each,
	.new_ino = sql_new_ino,
	.graft = sql_graft,
	.deleg_poll = sql_deleg_poll,
	.deleg_release = sql_deleg_release,
	.deleg_recall = sql_deleg_recall,
	.changes = sql_changes,
	.changes_purge = sql_changes_purge,
	.stats = sql_stats,
	.close = sql_close,
};

int sql_meta_new(struct sqldrv *drv, const struct fsp_meta_options *o,
                 struct fsp_meta **out)
{
	struct sql_meta *m = calloc(1, sizeof(*m));

	if (!m) {
		drv->ops->close(drv);
		return -ENOMEM;
	}
	m->base.ops = &ops;
	m->drv = drv;
	drv->warm = sql_list_warm(drv->legacy);
	m->opt = *o;
	fsp_mutex_init(&m->lock);
	*out = &m->base;
	return 0;
}

struct sql_meta *sql_meta_of(struct fsp_meta *m)
{
	return m->ops == &ops ? (struct sql_meta *)m : NULL;
}

void fsp_meta_stats(struct fsp_meta *m, struct fsp_meta_stats *out)
{
	m->ops->stats(m, out);
}
