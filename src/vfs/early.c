/*
 * Encoding the content of large files while they are being written, so that
 * close() has only the rest to do. DESIGN.md, "Encoding early".
 *
 * One thread takes the files in turn, a piece at a time: the pool compresses
 * several pieces at once anyway. It keeps behind the writer and never holds him
 * up: what it has not come to is encoded by the commit.
 */
#include "vfs_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "fsp_log.h"

/* A smaller file is done at once; and what many have is mostly small. */
#define EARLY_MIN (8U << 20)
#define PIECE (1U << 20)

struct early {
	struct fsp_early *work;
	struct fsp_spool_file *to;
	bool busy;                      /* a piece is being encoded */
	bool dead;                      /* and then it is to go */
};

/* A file in the queue, or being worked at. */
struct turn {
	struct turn *next;
	struct inode *inode;            /* referenced, as the file is */
	struct file *file;
};

struct earlies {
	struct fsp_mutex lock;
	struct fsp_worker worker;
	struct turn *first, **last;
};

void early_free(struct early *e)
{
	if (!e)
		return;
	fsp_early_free(e->work);
	fsp_spool_drop(e->to);
	free(e);
}

void early_drop_locked(struct file *f)
{
	struct early *e = f->early;

	f->early = NULL;
	if (e && e->busy)
		e->dead = true;
	else
		early_free(e);
}

struct early *early_take_locked(struct file *f)
{
	struct early *e;

	fsp_assert_held(&f->lock);
	while (f->early && f->early->busy)
		fsp_cond_wait(&f->changed, &f->lock, 0);
	e = f->early;
	f->early = NULL;
	return e;
}

struct fsp_early *early_work(struct early *e, uint64_t size)
{
	if (!e || fsp_early_size(e->work) > size)
		return NULL;
	fsp_debug("%llu of %llu bytes were encoded while they were written",
	          (unsigned long long)fsp_early_size(e->work),
	          (unsigned long long)size);
	return e->work;
}

/* Written and hashed, and not encoded yet; all of it lies in the spool. */
static uint64_t ready_locked(const struct file *f)
{
	uint64_t start, end, done = f->early ? fsp_early_size(f->early->work) : 0;
	uint64_t hashed = f->digest ? fsp_digest_size(f->digest) : 0;

	if (f->no_early || f->busy || !f->spool || hashed < EARLY_MIN ||
	    hashed - done < PIECE)
		return 0;
	if (!fsp_spool_extent(f->spool, 0, &start, &end) || start || end < hashed)
		return 0;
	return hashed - done;
}

static int make_locked(struct fsp_vfs *v, struct file *f, const void *buf,
                       size_t len)
{
	struct early *e = calloc(1, sizeof(*e));
	int err = e ? fsp_spool_create(v->spool, &e->to) : -ENOMEM;

	if (!err)
		err = fsp_early_new(v->store, fsp_spool_fd(e->to), buf, len,
		                    &e->work);
	if (err)
		early_free(e);
	else
		f->early = e;
	return err;
}

/* The next piece into buf: the file's work, busy from now on; NULL: none. */
static struct early *begin_piece(struct fsp_vfs *v, struct file *f, void *buf)
{
	uint64_t off;
	ssize_t n;
	int err = 0;

	FSP_GUARD(&f->lock);
	if (!ready_locked(f))
		return NULL;
	off = f->early ? fsp_early_size(f->early->work) : 0;
	n = fsp_spool_read(f->spool, buf, PIECE, off);
	if (n != PIECE)
		err = n < 0 ? (int)n : -EIO;
	if (!err && !f->early)
		err = make_locked(v, f, buf, PIECE);
	if (err) {
		f->no_early = true;
		early_drop_locked(f);
		fsp_debug("not encoded early: %s", strerror(-err));
		return NULL;
	}
	f->early->busy = true;
	return f->early;
}

static void end_piece(struct file *f, struct early *e, int err)
{
	FSP_GUARD(&f->lock);
	e->busy = false;
	if (e->dead) {
		early_free(e);
	} else if (err) {
		f->no_early = true;
		early_drop_locked(f);
		fsp_debug("not encoded early: %s", strerror(-err));
	}
	fsp_cond_broadcast(&f->changed);
}

/* One piece of one file; whether there may be another. */
static bool encode_piece(struct fsp_vfs *v, struct file *f, void *buf)
{
	struct early *e = begin_piece(v, f, buf);

	if (!e)
		return false;
	end_piece(f, e, fsp_early_write(e->work, buf, PIECE));
	return true;
}

static void put_locked(struct earlies *q, struct turn *t)
{
	fsp_assert_held(&q->lock);
	t->next = NULL;
	*q->last = t;
	q->last = &t->next;
	fsp_worker_wake(&q->worker);
}

static struct turn *get_locked(struct earlies *q)
{
	struct turn *t = q->first;

	fsp_assert_held(&q->lock);
	if (!t)
		return NULL;
	q->first = t->next;
	if (!q->first)
		q->last = &q->first;
	return t;
}

static void done_with(struct fsp_vfs *v, struct turn *t)
{
	file_put(v, t->inode, t->file);
	inode_unref(v, t->inode);
	free(t);
}

/* It leaves the queue, unless more was written since it was looked at. */
static bool leaves(struct file *f)
{
	FSP_GUARD(&f->lock);
	f->early_queued = ready_locked(f) != 0;
	return !f->early_queued;
}

static void *early_thread(void *arg)
{
	struct fsp_vfs *v = arg;
	struct earlies *q = v->earlies;
	FSP_FREE char *buf = malloc(PIECE);

	FSP_GUARD(&q->lock);
	while (!q->worker.stop) {
		struct turn *t = get_locked(q);
		bool more;

		if (!t) {
			fsp_worker_wait(&q->worker, 0);
			continue;
		}
		fsp_unlock(&q->lock);
		more = buf && encode_piece(v, t->file, buf);
		if (!more && (!buf || leaves(t->file))) {
			done_with(v, t);
			t = NULL;
		}
		fsp_lock(&q->lock);
		if (t)
			put_locked(q, t);
	}
	return NULL;
}

/* The thread is there from the first large file on. */
static int queue(struct fsp_vfs *v, struct turn *t)
{
	struct earlies *q = v->earlies;
	int err;

	FSP_GUARD(&q->lock);
	err = fsp_worker_start(&q->worker, early_thread, v);
	if (!err)
		put_locked(q, t);
	return err;
}

void early_note_locked(struct fsp_vfs *v, struct inode *i, struct file *f)
{
	struct turn *t;

	fsp_assert_held(&f->lock);
	if (!v->earlies || f->early_queued || !ready_locked(f))
		return;
	t = calloc(1, sizeof(*t));
	if (!t)
		return;                 /* the commit does it all */
	t->inode = i;
	t->file = f;
	fsp_lock(&v->lock);
	i->refs++;
	f->refs++;
	fsp_unlock(&v->lock);
	f->early_queued = queue(v, t) == 0;
	if (f->early_queued)
		return;
	/* The caller has both, so these are not the last. */
	fsp_lock(&v->lock);
	f->refs--;
	i->refs--;
	fsp_unlock(&v->lock);
	free(t);
}

/* Without memory for it nothing is encoded early. */
void early_init(struct fsp_vfs *v)
{
	struct earlies *q = calloc(1, sizeof(*q));

	if (!q)
		return;
	fsp_mutex_init(&q->lock);
	fsp_worker_init(&q->worker, &q->lock);
	q->last = &q->first;
	v->earlies = q;
}

void early_stop(struct fsp_vfs *v)
{
	struct earlies *q = v->earlies;
	struct turn *t;

	if (!q)
		return;
	fsp_worker_stop(&q->worker);
	for (;;) {
		fsp_lock(&q->lock);
		t = get_locked(q);
		fsp_unlock(&q->lock);
		if (!t)
			return;
		done_with(v, t);
	}
}

void early_end(struct fsp_vfs *v)
{
	if (!v->earlies)
		return;
	fsp_worker_end(&v->earlies->worker);
	fsp_mutex_destroy(&v->earlies->lock);
	free(v->earlies);
	v->earlies = NULL;
}
