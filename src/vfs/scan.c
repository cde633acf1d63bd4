/*
 * Going through a tree: the directories that are next are listed, and their
 * small files fetched, before anybody asks. DESIGN.md, "Scans".
 *
 * For each directory whose entries somebody visits there is a scan, which knows
 * in what order that is done: by name, as rsync and shells do, or as readdir
 * gives them, as find and tar do. From the second visit in order on, the window
 * of what is fetched ahead opens, as it does for a file that is read (ahead.c).
 */
#include "dirlist.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_clock.h"
#include "fsp_config.h"
#include "fsp_ctx.h"
#include "fsp_path.h"

#define SCANS 16
/* Directories that are listed together cost what one does. */
#define WINDOW_MIN FSP_LIST_MANY
#define WINDOW_MAX (3 * FSP_LIST_MANY)
#define SURE 3                  /* visits in order: files are fetched, too */
/* A directory that nobody has listed is read for its order, if it is no larger;
 * after so many visits, twice as many each time it was of no use. */
#define NAMES_MOST 1000
#define BLIND_MIN 2
#define BLIND_MAX 1024
#define SORTED_MOST 20000
/* What was to be fetched was in the cache already: it may all be. */
#define PAUSE_MIN 64
#define PAUSE_MAX 4096

#define ORDER_NS (5 * FSP_NS_PER_SEC)   /* an old list is good for that */

struct scan {
	uint64_t dir;           /* whose entries are visited; 0: a free one */
	uint64_t above;         /* what that is in, or 0 */
	int64_t used_ns;
	struct dirlist *list;   /* of it, referenced; NULL: not known */
	uint32_t *by_name;      /* slots of the list in the order of names, and */
	uint32_t *rank;         /* where a slot is in that; NULL: no memory */
	char last[FSP_NAME_MAX + 1], before[FSP_NAME_MAX + 1];  /* visited */
	bool last_opened;       /* a file in the last one, or it itself */
	bool named;             /* the run goes by name */
	unsigned run;           /* visits in order; 0: there is no order */
	unsigned opened;        /* in how many of them files were read */
	size_t window, until;   /* so far it was asked for */
	unsigned blind, needed; /* visits without a list, and how many until
	                           one is read */
	bool asked;             /* it is being read */
};

struct scans {
	struct fsp_mutex lock;
	bool content;           /* there is a cache to fetch into */
	unsigned pause, paused; /* files that are opened before content is
	                           fetched again, and the last such number */
	struct scan scan[SCANS];
};

int scan_init(struct fsp_vfs *v)
{
	struct scans *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	fsp_mutex_init(&q->lock);
	q->content = fsp_config_int(v->store->config, "cache", "size") > 0;
	v->scans = q;
	return 0;
}

static void drop_list(struct fsp_vfs *v, struct scan *s)
{
	dirlist_put(v, s->list);
	free(s->by_name);
	free(s->rank);
	s->list = NULL;
	s->by_name = s->rank = NULL;
}

void scan_age(struct fsp_vfs *v)
{
	int64_t before = fsp_mono_ns() - ORDER_NS;

	FSP_GUARD(&v->scans->lock);
	for (int k = 0; k < SCANS; k++)
		if (v->scans->scan[k].used_ns < before)
			drop_list(v, &v->scans->scan[k]);
}

void scan_end(struct fsp_vfs *v)
{
	struct scans *q = v->scans;

	if (!q)
		return;
	for (int k = 0; k < SCANS; k++)
		drop_list(v, &q->scan[k]);
	fsp_mutex_destroy(&q->lock);
	free(q);
	v->scans = NULL;
}

/* ---- the order */

static int by_name(const void *a, const void *b, void *list)
{
	const uint32_t *x = a, *y = b;

	return strcmp(dirlist_name(list, *x), dirlist_name(list, *y));
}

/* Without memory for it there is the order of readdir only. */
static void sort_names(struct scan *s)
{
	size_t n = s->list->n - DIRLIST_DOTS;

	s->by_name = calloc(n + 1, sizeof(*s->by_name));
	s->rank = calloc(s->list->n, sizeof(*s->rank));
	if (!s->by_name || !s->rank) {
		free(s->by_name);
		free(s->rank);
		s->by_name = s->rank = NULL;
		return;
	}
	for (size_t k = 0; k < n; k++)
		s->by_name[k] = (uint32_t)(k + DIRLIST_DOTS);
	qsort_r(s->by_name, n, sizeof(*s->by_name), by_name, s->list);
	for (size_t k = 0; k < n; k++)
		s->rank[s->by_name[k]] = (uint32_t)k;
}

/*
 * The scan has the list that is good now, or one that was lately: who removes a
 * tree changes each directory that he goes through. false: there is none.
 */
static bool take_list(struct fsp_vfs *v, struct scan *s,
                      const struct inode *dir)
{
	struct dirlist *l = dirlist_vouched(v, dir);

	/* So much is not kept for long, nor sorted. */
	if (l && l->n > SORTED_MOST) {
		dirlist_put(v, l);
		l = NULL;
	}
	if (l == s->list ||
	    (!l && s->list && fsp_mono_ns() - s->list->when.read_ns < ORDER_NS)) {
		dirlist_put(v, l);
		return s->list != NULL;
	}
	drop_list(v, s);
	s->list = l;
	s->until = 0;
	if (l)
		sort_names(s);
	return l != NULL;
}

/* Where a slot is in the order of names, or in that of readdir. */
static size_t place(const struct scan *s, size_t slot, bool named)
{
	return named ? s->rank[slot] : slot - DIRLIST_DOTS;
}

/* Is slot the next one after old (or the first one, old is none)? */
static bool follows(const struct scan *s, size_t old, size_t slot, bool named)
{
	size_t expected;

	if (named && !s->rank)
		return false;
	expected = old < s->list->n ? place(s, old, named) + 1 : 0;
	return place(s, slot, named) == expected;
}

/* From `until` on, to there at the most: how many of them. */
static size_t fetch_next(struct fsp_vfs *v, struct scan *s, size_t to)
{
	bool content = v->scans->content && s->run >= SURE &&
		2 * s->opened > s->run;
	size_t slots[FSP_LIST_MANY], n = 0;

	for (size_t at = s->until; at < to && n < FSP_LIST_MANY; at++)
		slots[n++] = s->named ? s->by_name[at] : at + DIRLIST_DOTS;
	return scan_fetch(v, s->list, slots, n, content) ? n : 0;
}

static void advance(struct fsp_vfs *v, struct scan *s, size_t slot)
{
	size_t at = place(s, slot, s->named), n = s->list->n - DIRLIST_DOTS, to;

	if (s->window && s->until > at + s->window / 2)
		return;
	s->window = s->window ? 2 * s->window : WINDOW_MIN;
	if (s->window > WINDOW_MAX)
		s->window = WINDOW_MAX;
	if (s->until <= at)
		s->until = at + 1;
	to = at + 1 + s->window < n ? at + 1 + s->window : n;
	while (s->until < to && (n = fetch_next(v, s, to)))
		s->until += n;
}

/*
 * `last` was visited after `before`: is that an order? Who goes through the
 * directory above in order, will do so here.
 */
static void step(struct fsp_vfs *v, struct scan *s, const struct scan *above)
{
	size_t old = *s->before ? dirlist_find(s->list, s->before) : SIZE_MAX;
	size_t slot = dirlist_find(s->list, s->last);
	bool named;

	if (slot == s->list->n)
		return;
	if (s->run && follows(s, old, slot, s->named)) {
		/* Sure by now: those that were only listed are read, too. */
		if (++s->run == SURE)
			s->until = 0;
	} else {
		named = follows(s, old, slot, true);
		s->run = named || follows(s, old, slot, false);
		s->opened = s->run && s->opened;
		s->named = named;
		s->window = s->until = 0;
	}
	if (!s->run)
		return;
	if (above && s->run < SURE) {
		s->run = SURE;
		s->opened = 2 * above->opened >= above->run ? SURE : 0;
	}
	s->needed = BLIND_MIN;
	advance(v, s, slot);
}

/* ---- a directory that nobody has listed */

struct siblings {
	struct ahead_job job;
	struct inode *dir;      /* referenced */
};

static struct scan *find_scan(struct scans *q, uint64_t dir)
{
	for (int k = 0; k < SCANS; k++)
		if (q->scan[k].dir == dir)
			return &q->scan[k];
	return NULL;
}

void scan_fetched(struct fsp_vfs *v, uint64_t dir, bool below, size_t missing)
{
	struct scans *q = v->scans;
	struct scan *s;

	FSP_GUARD(&q->lock);
	if (missing) {
		q->pause = q->paused = 0;
		return;
	}
	/* Files in it may have been fetched for the scan above. */
	if (below) {
		q->paused = q->paused ? 2 * q->paused : PAUSE_MIN;
		if (q->paused > PAUSE_MAX)
			q->paused = PAUSE_MAX;
		q->pause = q->paused;
	}
	while (dir && (s = find_scan(q, dir))) {
		s->opened = 0;
		dir = below ? s->above : 0;
	}
}

static void run_siblings(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                         struct ahead_job *j)
{
	struct siblings *b = (struct siblings *)j;
	struct fsp_ctx rows = scan_ctx(v, ctx);
	struct dirlist *l = NULL;
	struct scan *s;
	int err = dirlist_load(v, &rows, b->dir, NAMES_MOST, &l);

	FSP_GUARD(&v->scans->lock);
	s = find_scan(v->scans, b->dir->ino);
	if (s)
		s->asked = false;
	if (s && !err && take_list(v, s, b->dir))
		step(v, s, NULL);
	dirlist_put(v, l);
}

static void end_siblings(struct fsp_vfs *v, struct ahead_job *j)
{
	struct siblings *b = (struct siblings *)j;

	inode_unref(v, b->dir);
	free(b);
}

static void ask_siblings(struct fsp_vfs *v, struct scan *s, struct inode *dir)
{
	struct siblings *b;

	if (s->asked || ++s->blind < s->needed ||
	    dirlist_large(v, dir, NAMES_MOST))
		return;
	b = calloc(1, sizeof(*b));
	if (!b)
		return;
	*b = (struct siblings){ { NULL, false, run_siblings, end_siblings },
	                        dir };
	inode_hold(v, dir);
	s->asked = ahead_add(v, &b->job);
	if (!s->asked)
		end_siblings(v, &b->job);
	s->blind = 0;
	s->needed = s->needed < BLIND_MAX ? 2 * s->needed : BLIND_MAX;
}

/* ---- visits */

/* The scan of a directory; the one unused for longest becomes it. */
static struct scan *scan_of(struct fsp_vfs *v, uint64_t dir)
{
	struct scan *s = find_scan(v->scans, dir), *old = v->scans->scan;

	for (int k = 1; !s && k < SCANS; k++)
		if (v->scans->scan[k].used_ns < old->used_ns)
			old = &v->scans->scan[k];
	if (!s) {
		drop_list(v, old);
		*old = (struct scan){ .dir = dir, .needed = BLIND_MIN };
		s = old;
	}
	s->used_ns = fsp_mono_ns();
	return s;
}

/* Where an inode is, as far as this mount knows. */
struct where {
	struct inode *dir;              /* referenced; NULL: nowhere */
	uint64_t above;                 /* what that is in, or 0 */
	char name[FSP_NAME_MAX + 1], dir_name[FSP_NAME_MAX + 1];
};

static void where_is(struct fsp_vfs *v, const struct inode *i, struct where *w)
{
	struct inode *dir;

	*w = (struct where){ .dir = NULL };
	FSP_GUARD(&v->lock);
	dir = i->parent;
	if (i->kind != INODE_LIVE || !dir || strlen(i->name) > FSP_NAME_MAX)
		return;
	strcpy(w->name, i->name);
	if (dir->parent && strlen(dir->name) <= FSP_NAME_MAX) {
		strcpy(w->dir_name, dir->name);
		w->above = dir->parent->ino;
	}
	dir->refs++;
	w->dir = dir;
}

/* The scan of the directory above, if it has come to this one in order. */
static const struct scan *above(struct fsp_vfs *v, const struct where *w)
{
	const struct scan *s = w->above ? find_scan(v->scans, w->above) : NULL;

	return s && s->run && strcmp(s->last, w->dir_name) == 0 ? s : NULL;
}

static void visit(struct fsp_vfs *v, const struct where *w, bool opened)
{
	struct scan *s;

	FSP_GUARD(&v->scans->lock);
	if (opened && v->scans->pause) {
		v->scans->pause--;
		opened = false;
	}
	s = scan_of(v, w->dir->ino);
	s->above = w->above;
	if (strcmp(s->last, w->name) == 0) {
		s->opened += opened && !s->last_opened;
		s->last_opened |= opened;
		return;
	}
	strcpy(s->before, s->last);
	strcpy(s->last, w->name);
	s->last_opened = opened;
	s->opened += opened;
	if (take_list(v, s, w->dir))
		step(v, s, above(v, w));
	else
		ask_siblings(v, s, w->dir);
}

/* Is its directory what was visited last in the one above, to read in it? */
static bool is_on_the_way(struct fsp_vfs *v, const struct where *w)
{
	const struct scan *s;

	FSP_GUARD(&v->scans->lock);
	s = find_scan(v->scans, w->above);
	return s && s->last_opened && strcmp(s->last, w->dir_name) == 0;
}

/* What nobody vouches for would not be used: it is not fetched. */
static bool is_of_use(struct fsp_vfs *v)
{
	return v->ahead.max && news_vouch(v) && !atomic_load(&v->offline_ns);
}

void scan_visit(struct fsp_vfs *v, struct inode *dir)
{
	struct where w;

	if (!is_of_use(v))
		return;
	where_is(v, dir, &w);
	if (w.dir)
		visit(v, &w, false);
	inode_unref(v, w.dir);
}

/*
 * The kernel knows the names on the way, and asks for none of them again: who is
 * in another directory has come there in the ones above, too, and in these
 * first.
 */
static void visit_way(struct fsp_vfs *v, struct inode *i, unsigned depth)
{
	struct where w;

	where_is(v, i, &w);
	if (!w.dir)
		return;
	if (w.above && depth && !is_on_the_way(v, &w))
		visit_way(v, w.dir, depth - 1);
	visit(v, &w, true);
	inode_unref(v, w.dir);
}

void scan_open(struct fsp_vfs *v, struct inode *file)
{
	if (is_of_use(v))
		visit_way(v, file, SCANS / 2);
}
