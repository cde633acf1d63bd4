/* The lease of this mount's locks, and those of others. DESIGN.md, "Leases". */
#include "vfs_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_clock.h"
#include "fsp_config.h"
#include "fsp_ctx.h"
#include "fsp_log.h"

/* Another mount whose locks were in the way, and its lease then. */
struct seen {
	struct seen *next;
	char id[FSP_MOUNT_ID + 1];
	int64_t lease_us;
	int64_t since_ns, last_ns;
};

struct lease {
	int64_t length_ns;
	_Atomic int64_t name;           /* fsp_mountinfo.started_us */
	struct fsp_mutex lock;
	struct fsp_worker worker;       /* first lock, renewed, end */
	int64_t until_ns;               /* 0: not asked for, or lost */
	unsigned holders;               /* handles with locks */
	bool renewing;
	int64_t trouble_ns;             /* the database did not answer */
	struct seen *seen;
};

int64_t lease_now(struct fsp_vfs *v)
{
	return atomic_load(&v->leases->name);
}

/*
 * The locks are others' by now. What was written under them keeps the old
 * lease's name, and so do the handles that had them.
 */
static int begin_anew(struct fsp_vfs *v, const struct fsp_ctx *ctx)
{
	struct lease *l = v->leases;
	int64_t old = atomic_load(&l->name), name = fsp_now_us();
	int err;

	if (name <= old)
		name = old + 1;
	fsp_warn("no contact to the database for longer than mount.lease: the "
	         "locks of this mount are lost");
	err = mount_register(v, ctx, name);
	if (!err)
		atomic_store(&l->name, name);
	return err;
}

static int ask(struct fsp_vfs *v, const struct fsp_ctx *ctx)
{
	return fsp_meta_lease_renew(v->store->meta, ctx, v->id, lease_now(v),
	                            v->leases->length_ns);
}

/* One thread asks, the others wait for what it gets. */
static int renew_locked(struct fsp_vfs *v, const struct fsp_ctx *ctx)
{
	struct lease *l = v->leases;
	int64_t began = fsp_mono_ns();
	int err;

	fsp_assert_held(&l->lock);
	l->renewing = true;
	fsp_unlock(&l->lock);
	err = ask(v, ctx);
	if (err == -ENOLCK) {
		err = begin_anew(v, ctx);
		if (!err)
			err = ask(v, ctx);
	}
	fsp_lock(&l->lock);
	l->renewing = false;
	if (!err)
		l->until_ns = began + l->length_ns;
	else if (lease_is_trouble(err))
		l->trouble_ns = fsp_mono_ns();
	fsp_worker_wake(&l->worker);
	return err;
}

/* Soon again, but a server that is down is not asked all the time. */
static void wait_a_little(struct lease *l)
{
	int64_t pause = l->length_ns / 30;

	fsp_worker_wait(&l->worker, fsp_mono_ns() +
	                (pause < FSP_NS_PER_SEC ? pause : FSP_NS_PER_SEC));
}

static void *lease_thread(void *arg)
{
	struct fsp_vfs *v = arg;
	struct lease *l = v->leases;
	struct fsp_ctx ctx = fsp_ctx_background();

	FSP_GUARD(&l->lock);
	while (!l->worker.stop) {
		int64_t due = l->until_ns - l->length_ns / 3 * 2;

		if (!l->holders || l->renewing) {
			fsp_worker_wait(&l->worker, 0);
		} else if (fsp_mono_ns() < due) {
			fsp_worker_wait(&l->worker, due);
		} else {
			ctx.deadline_ns = fsp_mono_ns() + l->length_ns / 3;
			if (renew_locked(v, &ctx))
				wait_a_little(l);
		}
	}
	return NULL;
}

int lease_ensure(struct fsp_handle *h, const struct fsp_ctx *ctx,
                 enum fsp_lock_kind kind, int64_t *lease)
{
	struct lease *l = h->v->leases;
	int64_t had = atomic_load(&h->lease);
	int err;

	fsp_lock(&l->lock);
	/* The thread is there from the first lock on. */
	err = fsp_worker_start(&l->worker, lease_thread, h->v);
	while (!err && l->renewing)
		err = fsp_worker_wait(&l->worker, ctx->deadline_ns);
	if (!err && l->until_ns - fsp_mono_ns() < l->length_ns / 2)
		err = renew_locked(h->v, ctx);
	fsp_unlock(&l->lock);
	*lease = lease_now(h->v);
	/* A flock is replaced as a whole, one range leaves others. */
	if (!err && kind == FSP_LOCK_POSIX && had && had != *lease)
		err = -ENOLCK;
	return err;
}

void lease_took(struct fsp_handle *h, int64_t lease)
{
	struct lease *l = h->v->leases;

	if (atomic_exchange(&h->lease, lease))
		return;
	FSP_GUARD(&l->lock);
	l->holders++;
	fsp_worker_wake(&l->worker);
}

void lease_gave(struct fsp_handle *h)
{
	struct lease *l = h->v->leases;

	if (!atomic_exchange(&h->lease, 0))
		return;
	FSP_GUARD(&l->lock);
	l->holders--;
}

int lease_fence(struct fsp_handle *h)
{
	int64_t lease = atomic_load(&h->lease);

	if (!lease)
		return 0;
	if (lease != lease_now(h->v))
		return -ENOLCK;
	FSP_GUARD(&h->file->lock);
	if (!h->file->fence)
		h->file->fence = lease;
	return 0;
}

bool lease_is_trouble(int err)
{
	return err == -EHOSTDOWN || err == -ETIMEDOUT || err == -EROFS;
}

void lease_trouble(struct fsp_vfs *v)
{
	FSP_GUARD(&v->leases->lock);
	v->leases->trouble_ns = fsp_mono_ns();
}

/* The mount's entry; those that were in nobody's way for long go. */
static struct seen *find_locked(struct lease *l, const char *id, int64_t now)
{
	struct seen **p = &l->seen, *s;

	fsp_assert_held(&l->lock);
	while ((s = *p) && strcmp(s->id, id) != 0) {
		if (now - s->last_ns > 10 * l->length_ns) {
			*p = s->next;
			free(s);
		} else {
			p = &s->next;
		}
	}
	if (s || !(s = calloc(1, sizeof(*s))))
		return s;
	strcpy(s->id, id);
	s->since_ns = now;
	s->next = l->seen;
	l->seen = s;
	return s;
}

bool lease_overdue(struct fsp_vfs *v, const struct fsp_mountinfo *i)
{
	struct lease *l = v->leases;
	int64_t now = fsp_mono_ns();
	struct seen *s;

	if (i->lease_us == FSP_LEASE_NONE || strlen(i->id) > FSP_MOUNT_ID)
		return false;
	if (i->lease_us == FSP_LEASE_TAKEN)
		return true;
	FSP_GUARD(&l->lock);
	s = find_locked(l, i->id, now);
	if (!s)
		return false;           /* the next look has memory, perhaps */
	if (s->lease_us != i->lease_us || s->since_ns < l->trouble_ns) {
		s->lease_us = i->lease_us;
		s->since_ns = now;
	}
	s->last_ns = now;
	return now - s->since_ns >= l->length_ns / 2;
}

int lease_init(struct fsp_vfs *v)
{
	struct lease *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->length_ns = fsp_config_ns(v->store->config, "mount", "lease");
	atomic_init(&l->name, v->started_us);
	fsp_mutex_init(&l->lock);
	fsp_worker_init(&l->worker, &l->lock);
	v->leases = l;
	return 0;
}

void lease_stop(struct fsp_vfs *v)
{
	fsp_worker_stop(&v->leases->worker);
}

void lease_end(struct fsp_vfs *v)
{
	struct lease *l = v->leases;

	if (!l)
		return;
	while (l->seen) {
		struct seen *s = l->seen;

		l->seen = s->next;
		free(s);
	}
	fsp_worker_end(&l->worker);
	fsp_mutex_destroy(&l->lock);
	free(l);
	v->leases = NULL;
}
