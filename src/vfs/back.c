/*
 * Commits that wait: workers and fsync(2) store the oldest snapshot of an inode,
 * close() asks for room, the end of the mount waits for all. The queue is in
 * back_queue.c; DESIGN.md has the states; src/spool what is on the disk.
 */
#include "back.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fsp_buf.h"
#include "fsp_clock.h"
#include "fsp_config.h"
#include "fsp_ctx.h"
#include "fsp_log.h"

#define RETRY_MIN_NS (100 * 1000 * 1000LL)
#define RETRY_MAX_NS (2 * FSP_NS_PER_SEC)
#define WORKER_NICE 5
#define SAY_NS (10 * FSP_NS_PER_SEC)    /* how often a drain tells of itself */

/* While a server is down, only as many as there are workers ask for it. */
static void failed_locked(struct back *b, struct item *it, int err)
{
	int64_t pause = RETRY_MIN_NS << (it->tries < 5 ? it->tries : 5);

	it->tries++;
	it->next_ns = fsp_mono_ns() +
		(pause < RETRY_MAX_NS ? pause : RETRY_MAX_NS);
	b->error = err;
	if (err == -EHOSTDOWN || err == -EROFS)
		b->down_ns = it->next_ns;
}

/*
 * Stores the first snapshot of an item, which is nobody else's meanwhile.
 * -errno: it is still the first.
 */
static int fly(struct fsp_vfs *v, struct item *it, const struct fsp_ctx *ctx,
               bool once)
{
	struct back *b = v->back;
	struct snap *done = NULL;
	bool ended = false;
	int err;

	fsp_assert_held(&b->lock);
	it->flying = true;
	it->head->tried = true;
	item_check_locked(b, it);
	fsp_unlock(&b->lock);
	err = back_store_first(v, it, ctx);
	if (err && !once && !back_passes(err)) {
		back_keep_first(v, it, err);
		err = 0;
	}
	fsp_lock(&b->lock);
	it->flying = false;
	if (err) {
		failed_locked(b, it, err);
	} else {
		b->down_ns = 0;
		ended = item_pop_locked(b, it, &done);
	}
	fsp_cond_broadcast(&b->changed);
	fsp_cond_broadcast(&b->wake);
	fsp_unlock(&b->lock);
	snap_free(done);
	if (ended)
		item_end(v, it);
	fsp_lock(&b->lock);
	return err;
}

static void *worker(void *arg)
{
	struct fsp_ctx ctx = fsp_ctx_background();
	struct fsp_vfs *v = arg;
	struct back *b = v->back;

	/* Compressing comes after answering; it does no harm where refused. */
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), WORKER_NICE);
	FSP_GUARD(&b->lock);
	while (!b->stop) {
		int64_t wake_ns;
		struct item *it = item_next_locked(b, &wake_ns);

		if (it)
			(void)fly(v, it, &ctx, false);  /* tried again */
		else
			fsp_cond_wait(&b->wake, &b->lock, wake_ns);
	}
	return NULL;
}

/* One more worker where all that there are may be busy. */
int back_more_workers_locked(struct fsp_vfs *v)
{
	struct back *b = v->back;
	int err;

	fsp_assert_held(&b->lock);
	if (!b->ready || b->n_threads == b->max_threads ||
	    b->n_threads >= b->files)
		return 0;
	err = pthread_create(&b->threads[b->n_threads], NULL, worker, v);
	if (!err)
		b->n_threads++;
	return b->n_threads ? 0 : -err;
}

int back_store(struct fsp_vfs *v, struct file *f, const struct fsp_ctx *ctx)
{
	struct back *b = v->back;
	int err = 0;

	if (!b)
		return 0;
	FSP_GUARD(&b->lock);
	while (f->item && !err) {
		if (f->item->flying || f->item->held)
			err = fsp_cond_wait(&b->changed, &b->lock,
			                    ctx->deadline_ns);
		else
			err = fly(v, f->item, ctx, true);
		if (!err)
			err = fsp_ctx_check(ctx);
	}
	return f->item ? err : 0;
}

struct file *back_file_of(struct fsp_vfs *v, uint64_t ino, struct inode **i)
{
	struct file *f;

	if (inode_ref(v, ino, i))
		return NULL;
	if (file_get(v, *i, false, &f) || !f) {
		inode_unref(v, *i);
		return NULL;
	}
	return f;
}

bool back_any(struct fsp_vfs *v)
{
	struct back *b = v->back;

	if (!b)
		return false;
	FSP_GUARD(&b->lock);
	return b->files != 0;
}

int back_store_ino(struct fsp_vfs *v, uint64_t ino, const struct fsp_ctx *ctx)
{
	struct inode *i;
	struct file *f = back_file_of(v, ino, &i);
	int err;

	if (!f)
		return 0;
	err = back_store(v, f, ctx);
	file_put(v, i, f);
	inode_unref(v, i);
	return err;
}

void back_dropped(struct fsp_vfs *v, uint64_t ino)
{
	struct fsp_ctx ctx = fsp_ctx_background();
	struct back *b = v->back;
	struct inode *i;
	struct file *f;

	if (!back_any(v))
		return;
	f = back_file_of(v, ino, &i);
	if (!f)
		return;
	fsp_lock(&b->lock);
	if (f->item)
		f->item->dropped = true;
	/* Nothing is sent: it is only written down. Who flies sees it by itself. */
	while (f->item && !f->item->flying && !f->item->held)
		if (fly(v, f->item, &ctx, true))
			break;
	fsp_unlock(&b->lock);
	file_put(v, i, f);
	inode_unref(v, i);
}

bool back_wanted(struct fsp_vfs *v, enum commit_kind kind)
{
	struct back *b = v->back;

	if (!b || (kind != COMMIT_FLUSH && kind != COMMIT_FULL))
		return false;
	FSP_GUARD(&b->lock);
	return b->on && !b->stop;
}

/* Is the spool's disk to be spared? */
static bool is_short(struct fsp_vfs *v)
{
	struct statvfs st;

	if (!v->back->free_min || statvfs(v->spool_dir, &st))
		return false;
	return (uint64_t)st.f_bavail * st.f_frsize < v->back->free_min;
}

static bool fits_locked(const struct back *b, uint64_t size)
{
	return b->bytes + b->reserved + size <= b->pending_max;
}

bool back_room(struct fsp_vfs *v, struct file *f, const struct fsp_ctx *ctx,
               uint64_t *room)
{
	struct back *b = v->back;
	int64_t until = ctx->deadline_ns ? ctx->deadline_ns :
		fsp_mono_ns() + v->op_timeout_ns;
	bool low = is_short(v);
	int err = 0;

	fsp_lock(&f->lock);
	*room = f->size;
	fsp_unlock(&f->lock);
	FSP_GUARD(&b->lock);
	while (!err && (b->files || b->reserved) &&
	       (low || !fits_locked(b, *room))) {
		err = fsp_cond_wait(&b->changed, &b->lock, until);
		if (!err)
			err = fsp_ctx_check(ctx);
		if (!err && low)
			low = is_short(v);
	}
	if (low || !fits_locked(b, *room))
		return false;
	b->reserved += *room;
	return true;
}

void back_room_end(struct fsp_vfs *v, uint64_t room)
{
	struct back *b = v->back;

	FSP_GUARD(&b->lock);
	b->reserved -= room;
	fsp_cond_broadcast(&b->changed);
}

int back_health(struct fsp_vfs *v, struct fsp_buf *out)
{
	struct back *b = v->back;
	char human[16];
	int err;

	if (!b)
		return 0;
	FSP_GUARD(&b->lock);
	if (!b->files)
		return 0;
	err = fsp_buf_printf(out, "; %" PRIu64 " files wait to be stored, %s",
	                     b->files, fsp_human(human, sizeof(human),
	                                         b->bytes));
	return err || !b->error ? err
		: fsp_buf_printf(out, ": %s", strerror(-b->error));
}

/* A mount's life. */

int back_init(struct fsp_vfs *v)
{
	const struct fsp_config *c = v->store->config;
	struct back *b;

	if (v->store->read_only)
		return 0;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	fsp_mutex_init(&b->lock);
	fsp_cond_init(&b->wake);
	fsp_cond_init(&b->changed);
	v->back = b;
	b->on = strcmp(fsp_config_str(c, "mount", "commit"), "back") == 0;
	b->max_threads = (unsigned)fsp_config_int(c, "mount",
	                                          "commit_parallel");
	b->pending_max = (uint64_t)fsp_config_int(c, "spool", "pending_max");
	b->free_min = (uint64_t)fsp_config_int(c, "spool", "free_min");
	b->threads = calloc(b->max_threads, sizeof(*b->threads));
	if (b->on)
		fsp_meta_on_birth(v->store->meta, back_heard, v);
	return b->threads ? 0 : -ENOMEM;
}

void back_start(struct fsp_vfs *v)
{
	struct back *b = v->back;
	unsigned n;

	if (!b)
		return;
	FSP_GUARD(&b->lock);
	b->ready = true;
	do {
		n = b->n_threads;
		if (back_more_workers_locked(v))
			fsp_warn("nothing is stored until it is unmounted");
	} while (b->n_threads > n);
}

/* Tells how far it is; with b->lock held. */
static void say_locked(const struct back *b)
{
	char human[16];

	fsp_info("%" PRIu64 " files, %s, are still to be stored%s%s", b->files,
	         fsp_human(human, sizeof(human), b->bytes),
	         b->error ? ": " : "", b->error ? strerror(-b->error) : "");
}

void back_drain(struct fsp_vfs *v)
{
	struct fsp_ctx ctx = fsp_ctx_background();
	struct back *b = v->back;
	int64_t say_ns = 0, wake_ns;
	struct item *it;

	if (!b)
		return;
	FSP_GUARD(&b->lock);
	b->on = false;
	while (b->files) {
		if (fsp_mono_ns() >= say_ns) {
			say_locked(b);
			say_ns = fsp_mono_ns() + SAY_NS;
		}
		/* Where no worker could be started. */
		it = b->n_threads ? NULL : item_next_locked(b, &wake_ns);
		if (it)
			(void)fly(v, it, &ctx, false);  /* tried again */
		else
			fsp_cond_wait(&b->changed, &b->lock,
			              b->n_threads ? say_ns : wake_ns);
	}
}

void back_end(struct fsp_vfs *v)
{
	struct back *b = v->back;

	if (!b)
		return;
	fsp_meta_on_birth(v->store->meta, NULL, NULL);
	fsp_lock(&b->lock);
	b->stop = true;
	fsp_cond_broadcast(&b->wake);
	fsp_unlock(&b->lock);
	for (unsigned i = 0; i < b->n_threads; i++)
		(void)pthread_join(b->threads[i], NULL);        /* ours */
	/* Of a mount that did not come up: the journal has them. */
	while (b->first) {
		struct item *it = b->first;

		while (it->head) {
			struct snap *s = it->head;

			it->head = s->next;
			fsp_spool_leave(s->file->spool);
			snap_free(s);
		}
		item_unlink_locked(b, it);
		it->file->item = NULL;
		item_end(v, it);
	}
	fsp_journal_close(b->journal);
	free(b->threads);
	fsp_cond_destroy(&b->wake);
	fsp_cond_destroy(&b->changed);
	fsp_mutex_destroy(&b->lock);
	free(b);
	v->back = NULL;
}
