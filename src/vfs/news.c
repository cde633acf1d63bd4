/*
 * What others have changed: read once a second from the journal of changes, and
 * told to the kernel, which may keep things until then. DESIGN.md, "Vouching".
 */
#include "news.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_clock.h"
#include "fsp_config.h"
#include "fsp_ctx.h"
#include "fsp_log.h"

/* From one beginning to the next: no shorter, or it would be more than one
 * question a second. */
#define INTERVAL_NS FSP_NS_PER_SEC
#define BUSY_NS (FSP_NS_PER_SEC / 5)    /* while others change things */
#define CALM_NS (5 * FSP_NS_PER_SEC)    /* after the last of it */
/* For so long what is kept may be a little old, and nobody speaks up. */
#define GRACE_NS (3 * FSP_NS_PER_SEC)
#define DROPS 2                 /* an answer may have been on its way */
#define NOTES_MOST 5000         /* more are as good as everything */

struct kept {                   /* a listing that the kernel has */
	struct kept *next;
	uint64_t ino;
	int64_t at_ns;
};

struct news {
	struct fsp_feed *feed;          /* the thread's */
	struct notes again;             /* those of the last time */
	unsigned drops;                 /* to come */
	int64_t busy_until_ns;
	int64_t keep_ns;                /* 0: nothing is kept at all */
	atomic_int_fast64_t good_until;
	struct fsp_mutex lock;          /* the rest: with it */
	struct fsp_worker worker;
	uint64_t asked, done;           /* rounds */
	int result;                     /* of the last one */
	struct kept *kept, **last_kept; /* oldest first */
	uint64_t began_seq;             /* v->seq at the last reading */
};

uint64_t fsp_vfs_news(struct fsp_vfs *v)
{
	return atomic_load(&v->news_seq);
}

bool news_vouch(struct fsp_vfs *v)
{
	return fsp_mono_ns() < atomic_load(&v->news->good_until);
}

bool fsp_vfs_vouches(struct fsp_vfs *v)
{
	return news_vouch(v);
}

/* The root's own attributes have no row in the journal. */
int64_t fsp_vfs_keep_ns(struct fsp_vfs *v, uint64_t ino, uint64_t news)
{
	if (ino == FSP_INO_ROOT || ino >> 63 || !news_vouch(v) ||
	    fsp_vfs_news(v) != news)
		return 0;
	/* Longer than a listing: what is in it never has to be asked for one
	 * by one. */
	return 2 * v->news->keep_ns;
}

/* ---- notes */

static void notes_init(struct notes *n)
{
	*n = (struct notes){ .first = NULL };
	n->last = &n->first;
}

static void notes_free(struct notes *n)
{
	while (n->first) {
		struct note *next = n->first->next;

		free(n->first);
		n->first = next;
	}
	notes_init(n);
}

static int take_note(void *arg, const struct fsp_change *c)
{
	struct notes *n = arg;
	struct note *o;

	/* What is not noted is not told again. */
	o = c->path && n->n < NOTES_MOST ?
		malloc(sizeof(*o) + strlen(c->path) + 1) : NULL;
	if (!o) {
		n->all = true;
		return 0;
	}
	n->n++;
	*o = (struct note){ .ino = c->ino, .named = c->named,
	                    .foreign = c->foreign };
	strcpy(o->path, c->path);
	*n->last = o;
	n->last = &o->next;
	return 0;
}

/* ---- listings that are old */

void news_listed(struct fsp_vfs *v, struct inode *dir)
{
	struct kept *k;
	bool known;

	fsp_lock(&v->lock);
	known = dir->listed;
	dir->listed = true;
	fsp_unlock(&v->lock);
	k = known ? NULL : malloc(sizeof(*k));
	if (!k)
		return;
	*k = (struct kept){ .ino = dir->ino, .at_ns = fsp_mono_ns() };
	FSP_GUARD(&v->news->lock);
	*v->news->last_kept = k;
	v->news->last_kept = &k->next;
}

static struct kept *take_old(struct news *w)
{
	struct kept *k;

	FSP_GUARD(&w->lock);
	k = w->kept;
	if (!k || fsp_mono_ns() - k->at_ns < w->keep_ns)
		return NULL;
	w->kept = k->next;
	if (!w->kept)
		w->last_kept = &w->kept;
	return k;
}

static void drop_old(struct fsp_vfs *v)
{
	struct kept *k;

	while ((k = take_old(v->news))) {
		struct inode *i;

		fsp_lock(&v->lock);
		i = table_find_locked(v, k->ino);
		if (i) {
			i->listed = false;
			(void)later_forget(v, FORGET_LISTING, i->ino, "");
		}
		fsp_unlock(&v->lock);
		free(k);
	}
}

/* ---- the thread */

static void tell_all(struct fsp_vfs *v, const struct notes *n)
{
	for (const struct note *o = n->first; o; o = o->next)
		if (invalidate(v, o))
			v->news->drops = DROPS;
}

/*
 * What is read from now on has these changes in it; what was read before is not
 * entered any more, or its directory's lock in the kernel is waited for.
 */
static void digest(struct fsp_vfs *v, struct notes *n, bool begins)
{
	struct news *w = v->news;

	if (n->first || n->all) {
		if (n->first)
			w->busy_until_ns = fsp_mono_ns() + CALM_NS;
		fsp_lock(&v->lock);
		v->news_seq = ++v->seq;
		follow_moves_locked(v, n);
		if (n->all)
			others_changed_locked(v);
		/* Nobody has been told anything yet. */
		if (begins && v->n_inodes == 1)
			n->all = false;
		fsp_unlock(&v->lock);
	}
	if (n->all)
		w->drops = DROPS;
	if (!w->drops) {
		tell_all(v, &w->again);
		tell_all(v, n);
	}
	notes_free(&w->again);
	w->again = *n;
	if (!n->first)
		w->again.last = &w->again.first;
	notes_init(n);
}

static int read_news(struct fsp_vfs *v)
{
	struct news *w = v->news;
	struct fsp_ctx ctx = fsp_ctx_background();
	struct notes n;
	bool begins = !w->feed;
	int err;

	notes_init(&n);
	fsp_lock(&v->lock);
	n.began_seq = ++v->seq;
	fsp_unlock(&v->lock);
	n.since_seq = w->began_seq;
	w->began_seq = n.began_seq;
	ctx.deadline_ns = fsp_mono_ns() + GRACE_NS;
	err = fsp_meta_changes(v->store->meta, &ctx, &w->feed, take_note, &n);
	digest(v, &n, begins);
	if (!err && !v->store->read_only)
		err = fsp_meta_changes_purge(v->store->meta, &ctx, w->feed);
	return err;
}

static void round_of_news(struct fsp_vfs *v)
{
	struct news *w = v->news;
	int64_t began = fsp_mono_ns();
	int err = read_news(v);

	if (err && atomic_load(&w->good_until) && !news_vouch(v)) {
		fsp_warn("changes made elsewhere cannot be read (%s): nothing "
		         "is kept in the kernel", strerror(-err));
		atomic_store(&w->good_until, 0);
		w->drops = DROPS;
	}
	drop_old(v);
	scan_age(v);
	lists_age(v);
	if (w->drops) {
		invalidate_all(v);
		w->drops--;
	}
	/* Only when the kernel has been told all of it. */
	if (!err && !w->drops && w->keep_ns &&
	    forget_wait(v, forget_ticket(v), began + GRACE_NS))
		atomic_store(&w->good_until, began + GRACE_NS);
	fsp_lock(&w->lock);
	w->result = err;
	fsp_unlock(&w->lock);
}

static void *news_thread(void *arg)
{
	struct fsp_vfs *v = arg;
	struct news *w = v->news;

	FSP_GUARD(&w->lock);
	while (!w->worker.stop) {
		int64_t now = fsp_mono_ns(), next;
		uint64_t round = w->asked;

		fsp_unlock(&w->lock);
		round_of_news(v);
		fsp_lock(&w->lock);
		w->done = round;
		fsp_worker_wake(&w->worker);
		if (w->result == -ENOTSUP)
			break;          /* nobody writes that down */
		next = now + (now < w->busy_until_ns ? BUSY_NS : INTERVAL_NS);
		while (!w->worker.stop && w->asked == round &&
		       fsp_worker_wait(&w->worker, next) == 0)
			;
	}
	w->done = UINT64_MAX;
	fsp_worker_wake(&w->worker);
	return NULL;
}

int news_catch_up(struct fsp_vfs *v, const struct fsp_ctx *ctx)
{
	struct news *w = v->news;
	uint64_t round;

	FSP_GUARD(&w->lock);
	round = ++w->asked;
	fsp_worker_wake(&w->worker);
	while (w->done < round)
		if (fsp_worker_wait(&w->worker, ctx->deadline_ns))
			return -ETIMEDOUT;
	return w->result;
}

int news_begin(struct fsp_vfs *v)
{
	const struct fsp_config *c = v->store->config;
	struct news *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	v->news = w;
	fsp_mutex_init(&w->lock);
	fsp_worker_init(&w->worker, &w->lock);
	w->last_kept = &w->kept;
	notes_init(&w->again);
	/* Where names or attributes are never kept, nothing is. */
	if (fsp_config_ns(c, "mount", "entry_timeout") &&
	    fsp_config_ns(c, "mount", "attr_timeout"))
		w->keep_ns = fsp_config_ns(c, "mount", "cache_time");
	return 0;
}

void fsp_vfs_ready(struct fsp_vfs *v)
{
	struct news *w = v->news;
	int err;

	FSP_GUARD(&w->lock);
	err = fsp_worker_start(&w->worker, news_thread, v);
	if (!err)
		return;
	fsp_warn("changes made elsewhere are not looked for: %s",
	         strerror(-err));
	w->result = err;
	w->done = UINT64_MAX;
}

void news_end(struct fsp_vfs *v)
{
	if (v->news)
		fsp_worker_stop(&v->news->worker);
}

void news_free(struct fsp_vfs *v)
{
	struct news *w = v->news;

	if (!w)
		return;
	news_end(v);
	while (w->kept) {
		struct kept *next = w->kept->next;

		free(w->kept);
		w->kept = next;
	}
	notes_free(&w->again);
	fsp_feed_free(w->feed);
	fsp_worker_end(&w->worker);
	fsp_mutex_destroy(&w->lock);
	free(w);
	v->news = NULL;
}
