/*
 * What others have changed: read once a second from the journal of changes, and
 * told to the kernel, which may keep things until then. DESIGN.md, "Vouching".
 */
#include "vfs_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_config.h"
#include "fsp_ctx.h"
#include "fsp_log.h"
#include "fsp_path.h"

#define INTERVAL_NS FSP_NS_PER_SEC
#define BUSY_NS (FSP_NS_PER_SEC / 5)    /* while others change things */
#define CALM_NS (5 * FSP_NS_PER_SEC)    /* after the last of it */
/* For so long what is kept may be a little old, and nobody speaks up. */
#define GRACE_NS (3 * FSP_NS_PER_SEC)
#define DROPS 2                 /* an answer may have been on its way */
#define DROP_AT_ONCE 512
#define NOTES_MOST 5000         /* more are as good as everything */

struct note {
	struct note *next;
	uint64_t ino;
	bool named, foreign;
	char path[];
};

struct notes {
	struct note *first, **last;
	unsigned n;
	bool all;               /* everything may have changed */
};

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
};

uint64_t fsp_vfs_news(struct fsp_vfs *v)
{
	FSP_GUARD(&v->lock);
	return v->news_seq;
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

/* ---- what the kernel has of it */

/* The inodes at a path; each(arg) for every one of them. */
static void each_at_locked(struct fsp_vfs *v, struct inode *dir,
                           const char *path,
                           void (*each)(struct fsp_vfs *v, struct inode *i))
{
	FSP_FREE char *name = strndup(path, strcspn(path, "/"));
	const char *rest = strchr(path, '/');
	struct inode *i = NULL;

	if (!*path) {
		each(v, dir);
		return;
	}
	if (!name) {
		/* Of the kernel's its time-outs take care. */
		v->others_seq = ++v->seq;
		v->others_ns = fsp_mono_ns();
		return;
	}
	while ((i = table_at_locked(v, dir, name, i)))
		each_at_locked(v, i, rest ? rest + 1 : "", each);
}

/*
 * Of a file the kernel's attributes are not called stale out of the blue: an
 * answer that a read waits for would be ignored, and the read end where the
 * file had ended before. Its entry ages, and a look-up brings them; whoever has
 * it open goes over to what is live, in the order that pages.c keeps.
 */
static void renew_locked(struct fsp_vfs *v, struct inode *i)
{
	i->heard_ns = fsp_mono_ns();
	if (is_dir(i)) {
		(void)later_forget(v, FORGET_LISTING, i->ino, "");
		return;
	}
	if (i->file)
		pages_refresh_locked(v, i, i->file);
	if (i->parent)
		(void)later_forget(v, FORGET_AGE, i->parent->ino, i->name);
}

static void drop_listing(struct fsp_vfs *v, struct inode *i)
{
	i->heard_ns = fsp_mono_ns();
	if (is_dir(i))
		(void)later_forget(v, FORGET_LISTING, i->ino, "");
}

/* What was read of it before this is old. */
static void changed_inside(struct fsp_vfs *v, struct inode *i)
{
	i->others_seq = ++v->seq;
}

/* Its entries, or only the attributes of one: lists say both. */
static void outdate_locked(struct fsp_vfs *v, const char *dir, bool named)
{
	FSP_FREE char *above = named ? strdup(dir) : NULL;
	char *slash = above ? strrchr(above, '/') : NULL;

	each_at_locked(v, v->root, dir, changed_inside);
	if (!named || !*dir)
		return;
	/* The time of the directory itself has changed, too. */
	if (slash)
		*slash = '\0';
	if (above)
		each_at_locked(v, v->root, slash ? above : "", changed_inside);
	else
		v->others_seq = ++v->seq;       /* no memory to tell which */
}


/* The entries of that name in the directories at a path. */
static void age_locked(struct fsp_vfs *v, struct inode *dir, const char *path,
                       const char *name)
{
	FSP_FREE char *first = strndup(path, strcspn(path, "/"));
	const char *rest = strchr(path, '/');
	struct inode *i = NULL;

	if (!*path) {
		(void)later_forget(v, FORGET_AGE, dir->ino, name);
		return;
	}
	while (first && (i = table_at_locked(v, dir, first, i)))
		age_locked(v, i, rest ? rest + 1 : "", name);
}

/* One entry, and where its name came or went its directory. */
static int tell_entry(struct fsp_vfs *v, const char *path, bool named)
{
	FSP_FREE char *dir = NULL;
	FSP_FREE char *name = NULL;
	int err = *path ? fsp_path_split(path, &dir, &name) : -ENOENT;

	if (err)
		return err;
	FSP_GUARD(&v->lock);
	outdate_locked(v, dir, named);
	age_locked(v, v->root, dir, name);
	each_at_locked(v, v->root, path, renew_locked);
	if (named)
		each_at_locked(v, v->root, dir, drop_listing);
	return 0;
}

static int tell(struct fsp_vfs *v, const struct note *n)
{
	FSP_FREE char *path = strdup(n->path);
	char *slash;
	int err = path ? tell_entry(v, path, n->named) : -ENOMEM;

	if (n->ino) {
		struct inode *i;

		FSP_GUARD(&v->lock);
		i = table_find_locked(v, n->ino);
		if (i && i->parent)
			changed_inside(v, i->parent);
		if (i && i != v->root)
			renew_locked(v, i);
	}
	/* Directories that only rows make come and go with them. */
	while (!err && n->foreign && (slash = strrchr(path, '/'))) {
		*slash = '\0';
		err = tell_entry(v, path, true);
	}
	return err == -ENOENT ? 0 : err;
}

/* ---- directories that others have renamed */

struct moves {
	const char *path;       /* where it went, in the end */
	unsigned rows;
};

static void find_moves(const struct note *n, uint64_t ino, struct moves *m)
{
	*m = (struct moves){ .rows = 0 };
	for (; n; n = n->next) {
		if (!n->named || n->ino != ino)
			continue;
		m->rows++;
		m->path = n->path;
	}
}

static struct inode *one_at_locked(struct fsp_vfs *v, const char *path)
{
	FSP_FREE char *copy = strdup(path);
	struct inode *i = v->root;
	char *save = NULL, *name;

	name = copy ? strtok_r(copy, "/", &save) : NULL;
	for (; name && i; name = strtok_r(NULL, "/", &save))
		i = table_at_locked(v, i, name, NULL);
	return copy ? i : NULL;
}

/* 0, or it is not known any more where everything below it is. */
static int move_locked(struct fsp_vfs *v, struct inode *i, const char *path)
{
	FSP_FREE char *dir = NULL;
	FSP_FREE char *name = NULL;
	struct inode *parent;
	int err = fsp_path_split(path, &dir, &name);

	if (err)
		return err;
	parent = one_at_locked(v, dir);
	if (!parent)
		return -ESTALE;
	if (i->parent == parent && strcmp(i->name, name) == 0)
		return 0;
	i->refs++;
	err = inode_set_name_locked(v, i, parent, name);
	i->refs--;
	return err;
}

/*
 * Where a directory is decides which changes in it are heard of. A rename has
 * two rows, the second one says where it is now; more of them do not tell
 * which came last.
 */
static void follow_moves_locked(struct fsp_vfs *v, struct notes *n)
{
	fsp_assert_held(&v->lock);
	for (const struct note *o = n->first; o && !n->all; o = o->next) {
		struct inode *i = o->named && o->ino
			? table_find_locked(v, o->ino) : NULL;
		struct moves m;

		if (!i || !is_dir(i) || i == v->root)
			continue;
		find_moves(n->first, o->ino, &m);
		if (m.rows > 2 ||
		    (m.rows == 2 && move_locked(v, i, m.path)))
			n->all = true;
	}
}

/* ---- everything */

struct known {
	uint64_t ino, parent;
	bool dir;
	char *name;
};

static size_t copy_known(struct fsp_vfs *v, uint64_t *bucket, struct known *k)
{
	size_t n = 0;

	FSP_GUARD(&v->lock);
	for (; *bucket < v->n_buckets && n < DROP_AT_ONCE; ++*bucket) {
		struct inode *i = v->buckets[*bucket];

		for (; i && n < 2 * DROP_AT_ONCE; i = i->next) {
			k[n] = (struct known){ .ino = i->ino,
			                       .dir = is_dir(i) };
			if (i->parent) {
				k[n].parent = i->parent->ino;
				k[n].name = strdup(i->name);
			}
			if (i->file)
				pages_refresh_locked(v, i, i->file);
			n++;
		}
	}
	return n;
}

/* Without haste, and not through the queue: there may be many. */
static void forget_everything(struct fsp_vfs *v)
{
	struct known *k = calloc(2 * DROP_AT_ONCE, sizeof(*k));
	uint64_t bucket = 0;
	size_t n;

	fsp_lock(&v->lock);
	v->others_seq = v->news_seq = ++v->seq;
	v->others_ns = fsp_mono_ns();
	fsp_unlock(&v->lock);
	while (k && (n = copy_known(v, &bucket, k))) {
		for (size_t i = 0; i < n; i++) {
			if (k[i].name)
				forget_now(v, FORGET_AGE, k[i].parent,
				           k[i].name);
			if (k[i].dir)
				forget_now(v, FORGET_LISTING, k[i].ino, "");
			free(k[i].name);
		}
	}
	free(k);
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
		if (tell(v, o))
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
		if (n->all) {
			v->others_seq = v->seq;
			v->others_ns = fsp_mono_ns();
		}
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
	lists_age(v);
	if (w->drops) {
		forget_everything(v);
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
