/*
 * Extended attributes: those that applications set, and read-only facts about
 * the file under user.filespace. The facts are answered and not listed, so
 * that rsync -X and cp -a do not try to copy them.
 */
#include "vfs_private.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_health.h"
#include "fsp_path.h"

#define FACTS "user.filespace."

static bool is_fact(const char *name)
{
	return strncmp(name, FACTS, strlen(FACTS)) == 0;
}

/* 0, or why there is no such attribute. */
static int check_name(const char *name)
{
	if (strcmp(name, "user.") == 0 || strcmp(name, "trusted.") == 0)
		return -EINVAL;
	return strncmp(name, "user.", 5) == 0 ||
	       strncmp(name, "trusted.", 8) == 0 ? 0 : -EOPNOTSUPP;
}

static int put(struct fsp_buf *out, const char *text)
{
	fsp_buf_reset(out);
	return fsp_buf_adds(out, text);
}

static int stored_size(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                       const struct fsp_content *c, struct fsp_buf *out)
{
	struct fsp_object o;
	int err = fsp_meta_object_get(v->store->meta, ctx, c->hash, &o);
	uint64_t stored = o.stored;

	/* Nobody has read it yet: the store knows how large it is. */
	if (err == -ENOENT)
		err = fsp_obj_head(v->store->objects, ctx, c->hash, &stored);
	fsp_buf_reset(out);
	return err ? err : fsp_buf_printf(out, "%" PRIu64, stored);
}

static int content_fact(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                        const struct fsp_content *c, const char *what,
                        struct fsp_buf *out)
{
	if (!c->row)
		return -ENODATA;
	if (strcmp(what, "hash") == 0)
		return put(out, c->hash);
	if (strcmp(what, "stored_size") == 0)
		return stored_size(v, ctx, c, out);
	if (strcmp(what, "version") != 0)
		return -ENODATA;
	fsp_buf_reset(out);
	return fsp_buf_printf(out, "%" PRId64, c->row);
}

/* Where PHP finds it. */
static int key_fact(const char *path, const char *what, struct fsp_buf *out)
{
	FSP_FREE char *dir = NULL, *name = NULL;
	struct fsp_dirkey k = { 0 };
	int err = fsp_path_split(path, &dir, &name);

	if (err)
		return -ENODATA;        /* the root */
	err = fsp_path_dirkey(dir, &k);
	if (err)
		return err;
	if (strcmp(what, "space") == 0)
		err = put(out, k.space);
	else if (*k.dir)
		err = put(out, k.dir) || fsp_buf_addc(out, '/') ||
			fsp_buf_adds(out, name) ? -ENOMEM : 0;
	else
		err = put(out, name);
	fsp_dirkey_free(&k);
	return err;
}

/* Can anything be written to the spool now? */
static int spool_error(struct fsp_vfs *v)
{
	struct statvfs st;

	if (access(v->spool_dir, W_OK) < 0 || statvfs(v->spool_dir, &st) < 0)
		return -errno;
	return st.f_bavail ? 0 : -ENOSPC;
}

/* May something be written that is stored at its close? */
static const char *writable_word(struct fsp_vfs *v)
{
	static const char *const needed[] = { FSP_PART_DATABASE,
		FSP_PART_OBJECTS, FSP_PART_SPOOL };

	if (v->store->read_only)
		return "; read-only";
	for (size_t n = 0; n < sizeof(needed) / sizeof(needed[0]); n++)
		if (fsp_health_get(fsp_health_find(v->store->health, needed[n]))
		    == FSP_HEALTH_DOWN)
			return "; not writable now";
	return "; writable";
}

/*
 * One line on what works. Where no breaker watches a part, it is looked at
 * now.
 */
static int health_fact(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                       struct fsp_buf *out)
{
	static const struct fsp_ref ref = { .ino = FSP_INO_ROOT, .path = "" };
	struct fsp_health *h = v->store->health;
	struct fsp_space s;
	struct fsp_entry root;
	int db = fsp_meta_getattr(v->store->meta, ctx, &ref, &root);
	int store = fsp_obj_space(v->store->objects, ctx, &s);
	int err;

	fsp_health_seen(fsp_health_find(h, FSP_PART_DATABASE), db);
	if (store != -ENOTSUP)
		fsp_health_seen(fsp_health_find(h, FSP_PART_OBJECTS), store);
	fsp_health_seen(fsp_health_find(h, FSP_PART_SPOOL), spool_error(v));
	fsp_buf_reset(out);
	err = fsp_health_line(h, out);
	if (!err)
		err = back_health(v, out);
	return err ? err : fsp_buf_adds(out, writable_word(v));
}

/* What this mount has asked of its servers so far. */
static int traffic_fact(struct fsp_vfs *v, struct fsp_buf *out)
{
	struct fsp_meta_stats m;
	struct fsp_obj_counts o;
	uint64_t asked, given_up;

	fsp_meta_stats(v->store->meta, &m);
	fsp_objstore_counts(v->store->objects, &o);
	ahead_counts(v, &asked, &given_up);
	fsp_buf_reset(out);
	return fsp_buf_printf(out, "database %" PRIu64 " reads, %" PRIu64
	                      " writes, %" PRIu64 " again, %" PRIu64
	                      " round trips; objects %" PRIu64 " put, %" PRIu64
	                      " get, %" PRIu64 " head, %" PRIu64 " del, %"
	                      PRIu64 " list, %" PRIu64 " bytes down; ahead %" PRIu64
	                      " pieces, %" PRIu64 " given up; kernel %" PRIu64
	                      " listings", m.reads, m.writes, m.retries,
	                      m.trips, o.put, o.get, o.head, o.del, o.list,
	                      o.down, asked, given_up,
	                      atomic_load(&v->listings_asked));
}

/* Reading it waits until all that others had done by then shows here. */
static int current_fact(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                        struct fsp_buf *out)
{
	int err = news_catch_up(v, ctx);

	if (err)
		return err == -ENOTSUP ? -ENODATA : err;
	return put(out, "yes");
}

static int fact(struct fsp_vfs *v, const struct fsp_ctx *ctx, struct inode *i,
                const char *what, struct fsp_buf *out)
{
	FSP_FREE char *path = NULL;
	struct fsp_ref ref = { .ino = i->ino };
	struct fsp_entry e;
	int err;

	if (i->kind == INODE_PAST && S_ISREG(i->type))
		return content_fact(v, ctx, &i->past->content, what, out);
	if (i->kind != INODE_LIVE)
		return -ENODATA;
	if (i == v->root && strcmp(what, "health") == 0)
		return health_fact(v, ctx, out);
	if (i == v->root && strcmp(what, "traffic") == 0)
		return traffic_fact(v, out);
	if (i == v->root && strcmp(what, "current") == 0)
		return current_fact(v, ctx, out);
	err = inode_path(v, i, &path);
	if (err)
		return err == -ESTALE ? -ENODATA : err;
	if (strcmp(what, "space") == 0 || strcmp(what, "key") == 0)
		return key_fact(path, what, out);
	ref.path = path;
	err = fsp_meta_getattr(v->store->meta, ctx, &ref, &e);
	return err ? err : content_fact(v, ctx, &e.content, what, out);
}

int fsp_vfs_getxattr(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t ino,
                     const char *name, struct fsp_buf *out)
{
	struct inode *i;
	int err = check_name(name);

	/* `ls -l` asks each file for its capabilities: none. */
	if (err)
		return strncmp(name, "security.", 9) == 0 ? -ENODATA : err;
	err = inode_ref(v, ino, &i);
	if (err)
		return err;
	if (is_fact(name))
		err = fact(v, ctx, i, name + strlen(FACTS), out);
	else if (i->kind != INODE_LIVE)
		err = -ENODATA;
	else
		err = fsp_meta_xattr_get(v->store->meta, ctx, ino, name, out);
	inode_unref(v, i);
	return err;
}

struct listing {
	struct fsp_buf *out;
	bool all;
};

static int add_name(void *arg, const char *name)
{
	struct listing *l = arg;

	/* trusted. is shown to root alone, as elsewhere. */
	if (!l->all && strncmp(name, "trusted.", 8) == 0)
		return 0;
	return fsp_buf_add(l->out, name, strlen(name) + 1);
}

int fsp_vfs_listxattr(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                      uint64_t ino, struct fsp_buf *out)
{
	struct listing l = { out, ctx->uid == 0 };
	struct inode *i;
	int err = inode_ref(v, ino, &i);

	if (err)
		return err;
	fsp_buf_reset(out);
	if (i->kind == INODE_LIVE)
		err = fsp_meta_xattr_list(v->store->meta, ctx, ino, add_name, &l);
	inode_unref(v, i);
	return err;
}

int fsp_vfs_setxattr(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t ino,
                     const char *name, const void *value, size_t len, int flags)
{
	FSP_FREE char *path = NULL;
	struct fsp_ref ref = { .ino = ino };
	struct inode *i;
	int err = check_name(name);

	if (err)
		return err;
	err = inode_ref(v, ino, &i);
	if (err)
		return err;
	if (i->kind != INODE_LIVE || v->store->read_only)
		err = -EROFS;
	else if (is_fact(name))
		err = -EPERM;
	else
		err = inode_path_hint(v, i, &path);
	ref.path = path;
	if (!err)
		err = value ? fsp_meta_xattr_set(v->store->meta, ctx, &ref, name,
		                                 value, len, flags)
		            : fsp_meta_xattr_remove(v->store->meta, ctx, &ref,
		                                    name);
	attr_touched(v, i, 0);
	inode_unref(v, i);
	return err;
}
