/*
 * The kernel's pages of open files. A new size over pages of the old content
 * would be read as zeros, so: first the size that the kernel is told is pinned,
 * then the content changes, the pages go, and at last the pin. DESIGN.md,
 * "Attributes and what the kernel believes".
 *
 * Dropping pages waits for reads that are being answered, so one thread of the
 * mount does it for all, which holds no worker and never a lock of ours.
 */
#include "vfs_private.h"

#include <errno.h>
#include <string.h>

#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_log.h"

/*
 * How long attributes may wait for pages to go. A read that is on its way may
 * take much longer, and needs workers itself.
 */
#define SETTLE_NS (100 * 1000 * 1000LL)

static uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void pages_written(struct fsp_vfs *v, struct file *f, uint64_t end)
{
	FSP_GUARD(&v->lock);
	f->stale.pin.size = max64(f->stale.pin.size, end);
	f->served.size = max64(f->served.size, end);
}

void pages_resized(struct fsp_vfs *v, struct file *f, uint64_t size)
{
	FSP_GUARD(&v->lock);
	f->stale.pin.size = f->served.size = size;
}

void pages_tell(struct fsp_vfs *v, struct inode *i, bool pages)
{
	bool ended;

	fsp_lock(&v->lock);
	ended = v->stales_worker.stop;         /* the kernel has no inodes any more */
	fsp_unlock(&v->lock);
	if (v->options.stale && !ended)
		v->options.stale(v->options.arg, i->ino, pages);
}

void pages_no_size(struct fsp_vfs *v, struct inode *i)
{
	pages_tell(v, i, false);
}

void pages_settle(struct fsp_vfs *v, struct file *f)
{
	int64_t until = fsp_mono_ns() + SETTLE_NS;

	FSP_GUARD(&v->lock);
	while ((f->stale.pin.set || f->served.set) &&
	       fsp_cond_wait(&v->stales_done, &v->lock, until) == 0)
		;
}

bool pages_pinned(struct fsp_vfs *v, struct file *f)
{
	FSP_GUARD(&v->lock);
	return f->stale.pin.set || f->served.set;
}

uint64_t pages_told_locked(struct fsp_vfs *v, struct file *f, uint64_t size)
{
	fsp_assert_held(&v->lock);
	if (f->stale.pin.set)
		size = min64(size, f->stale.pin.size);
	return f->served.set ? min64(size, f->served.size) : size;
}

/* false: the mount ends, and the kernel has no pages any more. */
static bool queue_locked(struct fsp_vfs *v, struct inode *i, struct file *f)
{
	fsp_assert_held(&v->lock);
	if (f->stale.queued || v->stales_worker.stop)
		return f->stale.queued;
	f->stale.queued = true;
	f->stale.inode = i;
	i->refs++;
	f->refs++;
	*v->stales_end = f;
	v->stales_end = &f->stale.next;
	fsp_worker_wake(&v->stales_worker);
	return true;
}

void pages_drop_locked(struct fsp_vfs *v, struct inode *i, struct file *f,
                       uint64_t size)
{
	struct pin *pin = &f->stale.pin;

	if (!queue_locked(v, i, f))
		return;
	pin->size = pin->set ? min64(pin->size, size) : size;
	pin->set = true;
}

void pages_drop(struct fsp_vfs *v, struct inode *i, struct file *f,
                uint64_t size)
{
	FSP_GUARD(&v->lock);
	pages_drop_locked(v, i, f, size);
}

void pages_wait(struct fsp_vfs *v, struct inode *i, struct file *f,
                struct fsp_pages_wait *w)
{
	bool queued;

	fsp_lock(&v->lock);
	/* Behind what is being dropped just now. */
	queued = queue_locked(v, i, f);
	if (queued) {
		w->next = f->stale.waiters;
		f->stale.waiters = w;
	}
	fsp_unlock(&v->lock);
	if (!queued)
		w->done(w->arg);
}

void pages_refresh_locked(struct fsp_vfs *v, struct inode *i, struct file *f)
{
	if (queue_locked(v, i, f))
		f->stale.refresh = true;
}

void pages_refresh(struct fsp_vfs *v, struct inode *i, struct file *f)
{
	FSP_GUARD(&v->lock);
	pages_refresh_locked(v, i, f);
}

/* Open handles go over to the version that is live, as NFS has it. */
static void refresh(struct fsp_vfs *v, struct inode *i, struct file *f,
                    struct fresh *fresh)
{
	struct fsp_ctx ctx = fsp_ctx_background();
	int err;

	ctx.deadline_ns = fsp_mono_ns() + v->op_timeout_ns;
	err = file_revalidate(v, i, f, &ctx, fresh);
	if (err && err != -ESTALE)
		fsp_warn("inode %llu: not refreshed: %s",
		         (unsigned long long)i->ino, strerror(-err));
}

static void done(struct fsp_pages_wait *w)
{
	while (w) {
		struct fsp_pages_wait *next = w->next;

		w->done(w->arg);        /* it frees w */
		w = next;
	}
}

static void serve(struct fsp_vfs *v, struct file *f, struct stale s)
{
	struct fresh fresh = { .keep = true };

	if (s.pin.set)
		pages_tell(v, s.inode, true);
	fsp_lock(&v->lock);
	f->served.set = false;
	fsp_cond_broadcast(&v->stales_done);
	fsp_unlock(&v->lock);
	if (s.refresh)
		refresh(v, s.inode, f, &fresh);
	if (fresh.stale)
		attr_tell_news(v, s.inode);
	done(s.waiters);
	file_put(v, s.inode, f);
	inode_unref(v, s.inode);
}

/*
 * The next file, its entry taken out. What has to be asked of the database
 * comes after what has not, since that may take long.
 */
static struct file *next_locked(struct fsp_vfs *v, struct stale *s)
{
	struct file **p = &v->stales, *f;

	while (*p && !(*p)->stale.pin.set)
		p = &(*p)->stale.next;
	if (!*p)
		p = &v->stales;
	f = *p;
	if (!f)
		return NULL;
	*p = f->stale.next;
	if (v->stales_end == &f->stale.next)
		v->stales_end = p;
	*s = f->stale;
	f->served = f->stale.pin;
	memset(&f->stale, 0, sizeof(f->stale));
	return f;
}

static void *pages_thread(void *arg)
{
	struct fsp_vfs *v = arg;
	struct stale s;
	struct file *f;

	FSP_GUARD(&v->lock);
	for (;;) {
		f = next_locked(v, &s);
		if (f) {
			fsp_unlock(&v->lock);
			serve(v, f, s);
			fsp_lock(&v->lock);
		} else if (v->stales_worker.stop) {
			return NULL;
		} else {
			fsp_worker_wait(&v->stales_worker, 0);
		}
	}
}

int pages_init(struct fsp_vfs *v)
{
	fsp_worker_init(&v->stales_worker, &v->lock);
	fsp_cond_init(&v->stales_done);
	v->stales_end = &v->stales;
	FSP_GUARD(&v->lock);
	return fsp_worker_start(&v->stales_worker, pages_thread, v);
}
