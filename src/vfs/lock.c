/*
 * Locks: asked of the rows, so that all mounts see them. lock_wait.c waits for
 * those that somebody has.
 */
#include "vfs_private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_log.h"

/* After a close: until one of our threads has heard that it was the last. */
#define END_NS (100 * 1000 * 1000LL)

static void fill(const struct fsp_handle *h, const struct fsp_lock_request *r,
                 struct fsp_flock *l)
{
	memset(l, 0, sizeof(*l));
	l->ino = h->inode->ino;
	l->kind = r->kind;
	strcpy(l->mount, h->v->id);
	/*
	 * The kernel's owner of a flock is a file's address, which another file
	 * may have before the release of the first has reached us.
	 */
	l->owner = r->kind == FSP_LOCK_FLOCK ? h->id : r->owner;
	l->type = r->type;
	l->start = r->start;
	l->end = r->end;
	l->pid = r->pid;
}

struct liveness {
	const char *id;
	char host[256];
	struct fsp_vfs *v;
	char spool[PATH_MAX];           /* of what is dead */
	bool dead;
	bool overdue;
	int64_t lease_us;
};

static int judge(void *arg, const struct fsp_mountinfo *i)
{
	struct liveness *l = arg;

	if (strcmp(i->id, l->id) != 0)
		return 0;
	/* Of another host only its lease tells. */
	l->dead = strcmp(i->host, l->host) == 0 &&
		!fsp_spool_alive(i->spool, i->id);
	l->overdue = !l->dead && lease_overdue(l->v, i);
	l->lease_us = i->lease_us;
	(void)snprintf(l->spool, sizeof(l->spool), "%s", i->spool);
	return 1;
}

/* Its locks are taken from a mount that has not been heard of for too long. */
static bool take_locks(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                   const char *mount, int64_t lease_us)
{
	int err = fsp_meta_lease_revoke(v->store->meta, ctx, mount, lease_us);

	if (!err)
		fsp_warn("mount %s has not renewed its lease: its locks are "
		         "free", mount);
	else if (err != -EAGAIN)
		fsp_warn("the locks of mount %s, which does not renew its "
		         "lease, stay: %s", mount, strerror(-err));
	return !err;
}

/* What a mount held that has died is nobody's: its spool is not locked, or its
 * lease has ended. */
static bool clear_dead(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                       const char *mount)
{
	struct liveness l = { .id = mount, .v = v };
	int err;

	if (strcmp(mount, v->id) == 0 ||
	    gethostname(l.host, sizeof(l.host) - 1))
		return false;
	if (fsp_meta_mount_each(v->store->meta, ctx, judge, &l) != 1)
		return false;
	if (l.overdue)
		return take_locks(v, ctx, mount, l.lease_us);
	if (!l.dead)
		return false;
	err = back_keep_names(v, ctx, l.spool, mount);
	if (!err)
		err = fsp_meta_mount_remove(v->store->meta, ctx, mount);
	if (err)
		fsp_warn("a dead mount's locks stay: %s", strerror(-err));
	return !err;
}

/* It has nothing any more that the end of this handle could give up. */
static void forget_owner(struct fsp_handle *h, uint64_t owner)
{
	FSP_GUARD(&h->file->lock);
	for (size_t n = 0; n < h->n_owners; n++)
		if (h->owners[n] == owner)
			h->owners[n--] = h->owners[--h->n_owners];
}

/* A part of what an owner has may be given up: the rest counts as locked. */
static void leased(struct fsp_handle *h, const struct fsp_lock_request *r,
                   int64_t lease)
{
	bool none;

	if (r->type != F_UNLCK) {
		lease_took(h, lease);
		return;
	}
	if (r->kind == FSP_LOCK_POSIX && !r->start && r->end == INT64_MAX)
		forget_owner(h, r->owner);
	fsp_lock(&h->file->lock);
	if (r->kind == FSP_LOCK_FLOCK)
		h->flocked = false;
	none = !h->flocked && !h->n_owners;
	fsp_unlock(&h->file->lock);
	if (none)
		lease_gave(h);
}

/* Once; -EAGAIN: *blocker has it, 0 for another mount's. */
static int try_lock(struct fsp_handle *h, const struct fsp_ctx *ctx,
                    const struct fsp_lock_request *r, uint64_t *blocker)
{
	struct fsp_vfs *v = h->v;
	struct fsp_flock l, conflict;
	int64_t lease = 0;
	int err = 0;

	fill(h, r, &l);
	if (r->type != F_UNLCK)
		err = lease_ensure(h, ctx, r->kind, &lease);
	if (err)
		return err;
	err = fsp_meta_lock_set(v->store->meta, ctx, &l, &conflict);
	if (err == -EAGAIN && clear_dead(v, ctx, conflict.mount))
		err = fsp_meta_lock_set(v->store->meta, ctx, &l, &conflict);
	if (lease_is_trouble(err))
		lease_trouble(v);
	if (!err)
		leased(h, r, lease);
	*blocker = err == -EAGAIN && strcmp(conflict.mount, v->id) == 0 ?
		conflict.owner : 0;
	return err;
}

/*
 * What somebody here wrote without a lock goes over what is live now, as NFS
 * writes back before it locks.
 */
static int catch_up(struct fsp_handle *h, const struct fsp_ctx *ctx,
                    struct fresh *fresh)
{
	int err = file_revalidate(h->v, h->inode, h->file, ctx, fresh);

	if (err || !fresh->behind)
		return err;
	err = file_commit(h->v, h->inode, ctx, COMMIT_FULL);
	return err ? err : file_revalidate(h->v, h->inode, h->file, ctx, fresh);
}

/* Whoever holds the lock sees what was committed before. */
static int look_again(struct fsp_handle *h, const struct fsp_ctx *ctx)
{
	struct fresh fresh;
	int err;

	if (h->inode->kind != INODE_LIVE)
		return 0;
	err = catch_up(h, ctx, &fresh);
	if (!err && fresh.news)
		attr_tell_news(h->v, h->inode);
	/* An unlinked file has no rows to look at: nobody else can have it. */
	return err == -ESTALE ? 0 : err;
}

/*
 * Once, and shows what others have committed. -EAGAIN: somebody has it. Nobody
 * works under a lock without having seen that: on an error it is given up.
 */
int lock_take(struct fsp_handle *h, const struct fsp_ctx *ctx,
                const struct fsp_lock_request *r, uint64_t *blocker)
{
	struct fsp_lock_request undo = *r;
	uint64_t nobody;
	int err = try_lock(h, ctx, r, blocker), undone;

	if (err || r->type == F_UNLCK)
		return err;
	err = look_again(h, ctx);
	if (!err)
		return 0;
	undo.type = F_UNLCK;
	undone = try_lock(h, ctx, &undo, &nobody);
	if (undone)
		fsp_error("inode %llu: a lock stays: %s",
		          (unsigned long long)h->inode->ino,
		          strerror(-undone));
	return err;
}

/* Others get the lock after this: what was written under it is committed. */
static void commit_before(struct fsp_handle *h, const struct fsp_ctx *ctx)
{
	int err = file_commit(h->v, h->inode, ctx, COMMIT_STORED);

	/* The file stays dirty, and close() says it again. */
	if (err)
		fsp_warn("inode %llu: unlocked, but not committed: %s",
		         (unsigned long long)h->inode->ino, strerror(-err));
}

/*
 * Locks of an open file description have an owner of their own, of which the
 * kernel says nothing when it ends: so each handle remembers.
 */
static int took(struct fsp_handle *h, const struct fsp_lock_request *r)
{
	uint64_t *more;

	FSP_GUARD(&h->file->lock);
	if (r->kind != FSP_LOCK_POSIX) {
		h->flocked = true;
		return 0;
	}
	h->file->posix_locked = true;
	for (size_t n = 0; n < h->n_owners; n++)
		if (h->owners[n] == r->owner)
			return 0;
	more = realloc(h->owners, (h->n_owners + 1) * sizeof(*more));
	if (!more)
		return -ENOLCK;
	h->owners = more;
	more[h->n_owners++] = r->owner;
	return 0;
}

static uint64_t ended(struct fsp_vfs *v)
{
	FSP_GUARD(&v->lock_lock);
	return v->lock_ended;
}

void handle_closes(struct fsp_handle *h)
{
	FSP_GUARD(&h->file->lock);
	if (h->flocked || h->n_owners)
		h->file->closed_ns = fsp_mono_ns();
}

static int64_t closed_ns(struct file *f)
{
	FSP_GUARD(&f->lock);
	return f->closed_ns;
}

/*
 * close() does not wait until its locks are given up, but who asks after it must
 * not meet them. The kernel tells that a handle has ended behind close(2)'s
 * back: at once, but another of our threads may be about to hear of it. false:
 * nothing was given up since `before` was read.
 */
static bool wait_for_ends(struct fsp_handle *h, const struct fsp_ctx *ctx,
                          uint64_t before)
{
	struct fsp_vfs *v = h->v;
	int64_t until = closed_ns(h->file) + END_NS;

	FSP_GUARD(&v->lock_lock);
	while (!v->lock_ending && v->lock_ended == before &&
	       fsp_mono_ns() < until &&
	       fsp_worker_wait(&v->lock_worker, until) == 0)
		;
	while (v->lock_ending &&
	       fsp_worker_wait(&v->lock_worker, ctx->deadline_ns) == 0)
		;
	return v->lock_ended != before;
}

static int take_now(struct fsp_handle *h, const struct fsp_ctx *ctx,
                    const struct fsp_lock_request *r, uint64_t *blocker)
{
	uint64_t before = ended(h->v);
	int err = lock_take(h, ctx, r, blocker);

	if (err == -EAGAIN && *blocker && !r->wait &&
	    wait_for_ends(h, ctx, before))
		err = lock_take(h, ctx, r, blocker);
	return err;
}

/* A handle that has locks begins, or has ended, to give them up. */
static void ending(struct fsp_vfs *v, bool begins)
{
	FSP_GUARD(&v->lock_lock);
	v->lock_ending += begins ? 1 : -1;
	v->lock_ended += !begins;
	fsp_worker_wake(&v->lock_worker);
}

static bool has_locks(struct fsp_handle *h)
{
	FSP_GUARD(&h->file->lock);
	return h->flocked || h->n_owners;
}

static void give_up_all(struct fsp_handle *h)
{
	struct fsp_ctx ctx = fsp_ctx_background();

	ctx.deadline_ns = fsp_mono_ns() + h->v->op_timeout_ns;
	while (h->n_owners)
		fsp_vfs_unlock_owner(h, &ctx, FSP_LOCK_POSIX, h->owners[0]);
	fsp_vfs_unlock_owner(h, &ctx, FSP_LOCK_FLOCK, h->id);
}

void handle_unlock(struct fsp_handle *h)
{
	if (has_locks(h)) {
		ending(h->v, true);
		give_up_all(h);
		ending(h->v, false);
	}
	lease_gave(h);
}

void fsp_vfs_lock(struct fsp_handle *h, const struct fsp_ctx *ctx,
                  const struct fsp_lock_request *r,
                  void (*done)(void *arg, int err), void *arg,
                  struct fsp_lock_wait *wait)
{
	int err = 0;

	wait->handle = h;
	wait->request = *r;
	wait->done = done;
	wait->arg = arg;
	if (r->type != F_WRLCK)
		commit_before(h, ctx);
	/* Whoever holds it sees what was promised here, wherever he is. */
	if (r->type != F_UNLCK)
		err = back_store(h->v, h->file, ctx);
	if (!err && r->type != F_UNLCK)
		err = took(h, r);
	if (!err)
		err = take_now(h, ctx, r, &wait->blocker);
	/* A read lock may have been for writing. */
	if (!err && r->type != F_WRLCK)
		locks_wake(h->v);
	/* Waiting is the lock thread's. */
	if (err == -EAGAIN && r->wait) {
		err = lock_queue(h->v, wait);
		if (!err)
			return;
	}
	lock_answer(wait, err);
}

int fsp_vfs_lock_test(struct fsp_handle *h, const struct fsp_ctx *ctx,
                      const struct fsp_lock_request *r,
                      struct fsp_lock_request *out)
{
	struct fsp_flock l, conflict;
	int err;

	fill(h, r, &l);
	err = fsp_meta_lock_get(h->v->store->meta, ctx, &l, &conflict);
	if (!err && conflict.type != F_UNLCK &&
	    clear_dead(h->v, ctx, conflict.mount))
		err = fsp_meta_lock_get(h->v->store->meta, ctx, &l, &conflict);
	if (err)
		return err;
	*out = *r;
	out->type = conflict.type;
	out->start = conflict.start;
	out->end = conflict.end;
	out->pid = conflict.pid;
	return 0;
}

void fsp_vfs_unlock_owner(struct fsp_handle *h, const struct fsp_ctx *ctx,
                          enum fsp_lock_kind kind, uint64_t owner)
{
	struct fsp_lock_request all = { .kind = kind, .owner = owner,
	                                .type = F_UNLCK, .end = INT64_MAX };
	uint64_t blocker;
	bool locked;
	int err;

	fsp_lock(&h->file->lock);
	locked = kind == FSP_LOCK_POSIX ? h->file->posix_locked : h->flocked;
	fsp_unlock(&h->file->lock);
	if (!locked)
		return;
	err = try_lock(h, ctx, &all, &blocker);
	if (kind == FSP_LOCK_POSIX)
		forget_owner(h, owner);
	if (err)
		fsp_error("inode %llu: a lock stays: %s",
		          (unsigned long long)h->inode->ino, strerror(-err));
	locks_wake(h->v);
}
