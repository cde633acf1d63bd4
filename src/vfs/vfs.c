/* A mount's life: begin, register, settle, end. */
#include "back.h"
#include "fsp_vfs.h"
#include "vfs_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_config.h"
#include "fsp_ctx.h"
#include "fsp_file.h"
#include "fsp_log.h"

static int fail(char **error, int err, const char *what, const char *path)
{
	*error = fsp_strf("%s %s: %s", what, path, strerror(-err));
	return err;
}

static int reap_one(void *arg, const char *id)
{
	struct fsp_vfs *v = arg;
	struct fsp_ctx ctx = fsp_ctx_background();
	FSP_FREE char *cache = fsp_strf("%s/%s", fsp_config_str(
		v->store->config, "cache", "path"), id);

	if (!cache)
		return -ENOMEM;
	/* What versions before the shared cache left; it does no harm. */
	(void)fsp_rm_tree(cache);
	return v->store->read_only ? 0
		: fsp_meta_mount_remove(v->store->meta, &ctx, id);
}

static int take_queue(void *arg, const char *id, int dirfd)
{
	return back_take(arg, id, dirfd);
}

/*
 * After mounts of this machine that died: their queues, their pending names and
 * their spool.
 */
static int reap_dead(struct fsp_vfs *v, char **error)
{
	uint64_t files = 0, bytes = 0;
	int err = fsp_spool_reap(v->spool_dir, v->back ? take_queue : NULL,
	                         reap_one, v, &files, &bytes);

	if (err && err != -ENOENT)
		return fail(error, err, "cannot clean up", v->spool_dir);
	if (files)
		fsp_warn("a mount died with %llu files open for writing; %llu "
		         "bytes that no close() had confirmed are dropped",
		         (unsigned long long)files, (unsigned long long)bytes);
	return 0;
}

static int open_dirs(struct fsp_vfs *v, char **error)
{
	struct fsp_config *c = v->store->config;
	struct fsp_cache_options cache = {
		.dir = fsp_config_str(c, "cache", "path"),
		.max_bytes = (uint64_t)fsp_config_int(c, "cache", "size"),
		.min_free = (uint64_t)fsp_config_int(c, "cache", "min_free"),
	};
	int err;

	fsp_store_cache_source(v->store, &cache.source);
	v->spool_dir = strdup(fsp_config_str(c, "spool", "path"));
	if (!v->spool_dir)
		return -ENOMEM;
	err = fsp_spool_open(v->spool_dir, v->id, &v->spool);
	if (!err && v->back)
		err = fsp_journal_open(v->spool, &v->back->journal);
	if (err)
		return fail(error, err, "spool", v->spool_dir);
	err = fsp_cache_open(&cache, &v->cache);
	return err ? fail(error, err, "cache", cache.dir) : reap_dead(v, error);
}

int mount_register(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                   int64_t lease)
{
	char host[256] = "";
	struct fsp_mountinfo info = {
		.id = v->id, .host = host, .path = v->options.mountpoint,
		.spool = v->spool_dir, .pid = getpid(), .started_us = lease,
	};

	gethostname(host, sizeof(host) - 1);
	return fsp_meta_mount_add(v->store->meta, ctx, &info);
}

static int add_mount(struct fsp_vfs *v, char **error)
{
	struct fsp_ctx ctx = fsp_ctx_background();
	int err;

	if (v->store->read_only)
		return 0;
	err = mount_register(v, &ctx, lease_now(v));
	return err ? fail(error, err, "cannot register the mount of",
	                  v->options.mountpoint) : 0;
}

static void random_id(char out[FSP_MOUNT_ID + 1])
{
	unsigned char id[FSP_MOUNT_ID / 2];

	fsp_random(id, sizeof(id));
	fsp_hex(out, id, sizeof(id));
}

static void vfs_free(struct fsp_vfs *v)
{
	fsp_worker_end(&v->counts.worker);
	lease_end(v);
	news_free(v);
	ahead_stop(v);
	scan_end(v);
	lists_free(v);
	retry_end(v);
	fsp_worker_end(&v->lazies.worker);
	fsp_worker_end(&v->feed_worker);
	fsp_mutex_destroy(&v->feed_lock);
	back_end(v);
	fsp_worker_end(&v->stales_worker);
	ahead_end(v);
	early_end(v);
	fsp_worker_end(&v->lock_worker);
	fsp_mutex_destroy(&v->lock_lock);
	fsp_cache_close(v->cache);
	fsp_spool_close(v->spool);
	inode_table_free(v);
	free(v->spool_dir);
	free(v);
}

int fsp_vfs_open(struct fsp_store *store, const struct fsp_vfs_options *o,
                 struct fsp_vfs **out, char **error)
{
	struct fsp_vfs *v = calloc(1, sizeof(*v));
	int err;

	if (!v)
		return -ENOMEM;
	v->store = store;
	v->options = *o;
	v->versions_dir = fsp_config_str(store->config, "mount", "versions_dir");
	v->op_timeout_ns = fsp_config_ns(store->config, "mount", "op_timeout");
	v->total_size = (uint64_t)fsp_config_int(store->config, "mount",
	                                         "total_size");
	v->started_us = fsp_now_us();
	random_id(v->id);
	locks_init(v);
	feed_init(v);
	ahead_init(v);
	lazy_init(v);
	counts_init(v);
	early_init(v);
	err = inode_table_init(v);
	if (!err)
		err = retry_init(v);
	if (!err)
		err = scan_init(v);
	if (!err)
		err = lease_init(v);
	if (!err)
		err = pages_init(v);
	if (!err)
		err = back_init(v);
	if (!err)
		err = open_dirs(v, error);
	if (!err)
		err = add_mount(v, error);
	if (!err)
		err = news_begin(v);
	if (err) {
		vfs_free(v);
		return err;
	}
	back_start(v);
	*out = v;
	return 0;
}

/* Files that are still open when the mount ends, one at a time. */
static struct inode *next_dirty(struct fsp_vfs *v)
{
	FSP_GUARD(&v->lock);
	for (uint64_t b = 0; b < v->n_buckets; b++) {
		for (struct inode *i = v->buckets[b]; i; i = i->next) {
			if (i->file && i->file->dirty && !i->unlinked) {
				i->refs++;
				return i;
			}
		}
	}
	return NULL;
}

void fsp_vfs_close(struct fsp_vfs *v)
{
	struct fsp_ctx ctx = fsp_ctx_background();
	struct inode *i;
	int err;

	fsp_worker_stop(&v->lock_worker);
	ahead_stop(v);
	lazy_end_all(v);
	news_end(v);
	fsp_worker_stop(&v->feed_worker);
	fsp_worker_stop(&v->stales_worker);
	early_stop(v);
	back_drain(v);
	while ((i = next_dirty(v))) {
		file_settle(v, i);
		inode_unref(v, i);
	}
	lease_stop(v);
	if (!v->store->read_only) {
		err = fsp_meta_mount_remove(v->store->meta, &ctx, v->id);
		if (err)
			fsp_warn("the mount stays registered: %s", strerror(-err));
	}
	vfs_free(v);
}
