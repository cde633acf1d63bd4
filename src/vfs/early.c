/*
 * Hashing and encoding the content of large files while they are being written,
 * so that close() has only the rest to do. DESIGN.md, "Hashing behind the
 * writer" and "Encoding early".
 *
 * One thread takes the files in turn, a piece at a time: the pool compresses
 * several pieces at once anyway. It keeps behind the writer and never holds him
 * up: what it has not come to is done by the commit.
 */
#include "vfs_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "fsp_log.h"

#define PIECE (1U << 20)
/* Hashed and not encoded yet: so far the hashing waits for the encoder. */
#define LAG (32U << 20)

/* What a piece at off, which lies in the spool, is to be used for. */
struct todo {
	uint64_t off;
	bool hash, encode;
	struct fsp_digest *digest;      /* taken */
	struct early *early;            /* busy */
};

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

static bool in_spool_locked(const struct file *f, uint64_t off)
{
	uint64_t start, end;

	return f->spool && fsp_spool_extent(f->spool, off, &start, &end) &&
	       start <= off && end - off >= PIECE;
}

/*
 * One reading serves both, where the encoder keeps up. Where he does not, he
 * must not leave the hashing to the commit.
 */
static bool todo_locked(struct file *f, struct todo *t)
{
	uint64_t done = f->early ? fsp_early_size(f->early->work) : 0;
	uint64_t behind = digest_behind_locked(f);
	bool encode = f->digest && !f->no_early &&
		f->hashed + behind >= EARLY_MIN;

	*t = (struct todo){ .off = f->hashed };
	if (f->busy || f->no_follow)
		return false;
	t->hash = behind >= PIECE && f->hashed + behind >= EARLY_MIN &&
		in_spool_locked(f, f->hashed);
	t->encode = encode && t->hash && done == f->hashed;
	if (!encode || done + PIECE > f->hashed || (t->hash && behind > LAG) ||
	    !in_spool_locked(f, done))
		return t->hash;
	*t = (struct todo){ .off = done, .encode = true };
	return true;
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

/* What is stored as it is is encoded in no time, when it is sent. */
static void give_up_locked(struct file *f, int err)
{
	f->no_early = true;
	early_drop_locked(f);
	if (err != -ENOTSUP)
		fsp_debug("not encoded early: %s", strerror(-err));
}

/* The next piece into buf, and who needs it: theirs it is now. */
static bool begin_piece(struct fsp_vfs *v, struct file *f, void *buf,
                        struct todo *t)
{
	ssize_t n;
	int err = 0;

	FSP_GUARD(&f->lock);
	if (!todo_locked(f, t))
		return false;
	n = fsp_spool_read(f->spool, buf, PIECE, t->off);
	if (n != PIECE) {
		f->no_follow = true;    /* the commit will say why */
		return false;
	}
	if (t->encode && !f->early)
		err = make_locked(v, f, buf, PIECE);
	if (err) {
		give_up_locked(f, err);
		t->encode = false;
	}
	t->early = t->encode ? f->early : NULL;
	if (t->early)
		t->early->busy = true;
	t->digest = t->hash ? digest_take_locked(f) : NULL;
	return true;
}

static void end_encoding_locked(struct file *f, struct early *e, int err)
{
	fsp_assert_held(&f->lock);
	e->busy = false;
	if (e->dead)
		early_free(e);
	else if (err)
		give_up_locked(f, err);
}

/* One piece of one file; whether there may be another. */
static bool work_at_piece(struct fsp_vfs *v, struct file *f, void *buf)
{
	struct todo t;
	int err = 0, bad = 0;

	if (!begin_piece(v, f, buf, &t))
		return false;
	if (t.digest)
		bad = fsp_digest_update(t.digest, buf, PIECE);
	if (t.early)
		err = fsp_early_write(t.early->work, buf, PIECE);
	FSP_GUARD(&f->lock);
	if (t.early)
		end_encoding_locked(f, t.early, err);
	if (t.digest)
		digest_give_locked(f, t.digest, PIECE, bad);
	fsp_cond_broadcast(&f->changed);
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
	struct todo t;

	FSP_GUARD(&f->lock);
	f->early_queued = todo_locked(f, &t);
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
		more = buf && work_at_piece(v, t->file, buf);
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
	struct todo todo;
	struct turn *t;

	fsp_assert_held(&f->lock);
	if (!v->earlies || f->early_queued || !todo_locked(f, &todo))
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
