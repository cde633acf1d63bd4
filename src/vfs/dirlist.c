/* Lists of what is in directories: made, kept, and given up again. */
#include "dirlist.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"

#define LISTS_MOST 1024
#define ENTRIES_MOST 200000     /* in all that are kept, but for the last */
#define TRIM_ENTRIES 10000      /* that are worth giving back */
#define UNUSED_NS (5 * FSP_NS_PER_SEC)
/* For a list that is read ahead; who has waited so long asks for himself. */
#define WAIT_NS (FSP_NS_PER_SEC / 5)

#define POS_SELF 1
#define POS_UP 2

static void unref_locked(struct fsp_vfs *v, struct dirlist *l)
{
	fsp_assert_held(&v->lock);
	if (--l->refs)
		return;
	inode_unref_locked(v, l->dir);
	free(l->slots);
	fsp_buf_free(&l->names);
	free(l);
}

void dirlist_ref(struct fsp_vfs *v, struct dirlist *l)
{
	FSP_GUARD(&v->lock);
	l->refs++;
}

void dirlist_put(struct fsp_vfs *v, struct dirlist *l)
{
	if (!l)
		return;
	FSP_GUARD(&v->lock);
	unref_locked(v, l);
}

static void drop_kept_locked(struct fsp_vfs *v, struct dirlist **at)
{
	struct dirlist *l = *at;

	*at = l->next;
	if (l->dir->list == l)
		l->dir->list = NULL;
	v->list_entries -= l->n;
	unref_locked(v, l);
}

/* Keeps the new one, in place of older ones and of what there is too much. */
static void keep_locked(struct fsp_vfs *v, struct dirlist *l)
{
	struct dirlist **at = &l->next;
	uint64_t entries = l->n;
	unsigned n = 1;

	fsp_assert_held(&v->lock);
	l->refs++;
	l->next = v->lists;
	v->lists = l;
	v->list_entries += l->n;
	l->dir->list = l;
	while (*at) {
		if ((*at)->dir == l->dir || n == LISTS_MOST ||
		    entries + (*at)->n > ENTRIES_MOST) {
			drop_kept_locked(v, at);
		} else {
			entries += (*at)->n;
			n++;
			at = &(*at)->next;
		}
	}
}

/*
 * Have others changed anything in it since? A file that has other names is told
 * of under any of them.
 */
static bool others_locked(struct fsp_vfs *v, const struct dirlist *l)
{
	fsp_assert_held(&v->lock);
	return l->when.as_of < l->dir->others_seq ||
		l->when.as_of < v->others_seq ||
		(l->links && l->when.as_of < v->news_seq);
}

struct dirlist *dirlist_kept(struct fsp_vfs *v, const struct inode *dir)
{
	struct dirlist *l;

	FSP_GUARD(&v->lock);
	l = dir->list;
	if (!l || others_locked(v, l))
		return NULL;
	l->refs++;
	l->used_ns = fsp_mono_ns();
	return l;
}

/*
 * Nobody has changed anything in it since it was read, as far as anybody can
 * vouch for that. The past is not vouched for.
 */
static struct dirlist *vouched_locked(struct fsp_vfs *v,
                                      const struct inode *dir)
{
	struct dirlist *l = dir->kind == INODE_LIVE ? dir->list : NULL;

	if (!l || others_locked(v, l) || l->when.as_of < v->links_seq ||
	    l->when.as_of < dir->inside_seq ||
	    fsp_mono_ns() - l->when.read_ns > UNUSED_NS)
		return NULL;
	return l;
}

struct dirlist *dirlist_vouched(struct fsp_vfs *v, const struct inode *dir)
{
	struct dirlist *l;

	if (!news_vouch(v))
		return NULL;
	FSP_GUARD(&v->lock);
	l = vouched_locked(v, dir);
	if (l) {
		l->refs++;
		l->used_ns = fsp_mono_ns();
	}
	return l;
}

void dirlist_wait(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                  const struct inode *dir)
{
	int64_t until = fsp_mono_ns() + WAIT_NS;

	if (ctx->deadline_ns && ctx->deadline_ns < until)
		until = ctx->deadline_ns;
	FSP_GUARD(&v->lock);
	while (dir->listing &&
	       fsp_cond_wait(&v->listing_done, &v->lock, until) == 0)
		;
}

bool dirlist_large(struct fsp_vfs *v, const struct inode *dir, size_t most)
{
	FSP_GUARD(&v->lock);
	return dir->more_than >= most;
}

void dirlist_begin(struct fsp_vfs *v, struct inode *const *dirs, size_t n)
{
	FSP_GUARD(&v->lock);
	for (size_t k = 0; k < n; k++)
		dirs[k]->listing++;
}

void dirlist_end(struct fsp_vfs *v, struct inode *const *dirs, size_t n)
{
	FSP_GUARD(&v->lock);
	for (size_t k = 0; k < n; k++)
		dirs[k]->listing--;
	fsp_cond_broadcast(&v->listing_done);
}

bool dirlist_entry(struct fsp_vfs *v, const struct inode *dir,
                   const char *name, struct fsp_entry *e, uint64_t *as_of,
                   int64_t *read_ns)
{
	struct dirlist *l;
	size_t k;

	if (!news_vouch(v))
		return false;
	FSP_GUARD(&v->lock);
	l = vouched_locked(v, dir);
	k = l ? dirlist_find(l, name) : 0;
	if (!l || k == l->n)
		return false;
	*e = l->slots[k].entry;
	*as_of = l->when.as_of;
	*read_ns = l->when.read_ns;
	l->used_ns = fsp_mono_ns();
	return true;
}

void dirlist_forget(struct fsp_vfs *v, const struct dirlist *l)
{
	struct dirlist **at;

	FSP_GUARD(&v->lock);
	for (at = &v->lists; *at && *at != l;)
		at = &(*at)->next;
	if (*at)
		drop_kept_locked(v, at);
}

void lists_age(struct fsp_vfs *v)
{
	int64_t before = fsp_mono_ns() - UNUSED_NS;
	struct dirlist **at;
	uint64_t entries;

	fsp_lock(&v->lock);
	entries = v->list_entries;
	for (at = &v->lists; *at;) {
		if ((*at)->used_ns < before)
			drop_kept_locked(v, at);
		else
			at = &(*at)->next;
	}
	entries -= v->list_entries;
	fsp_unlock(&v->lock);
	/* Often after the inodes have gone: the system gets it back, too. */
	if (entries >= TRIM_ENTRIES)
		malloc_trim(0);
}

void lists_free(struct fsp_vfs *v)
{
	FSP_GUARD(&v->lock);
	while (v->lists)
		drop_kept_locked(v, &v->lists);
}

/* ---- making one */

static uint64_t pos_of(const char *name, size_t len)
{
	return (fsp_hash64(name, len, 0) >> 10 << 8) + POS_FIRST;
}

static int add_at(struct dirlist *l, uint64_t pos, const char *name, size_t len,
                  const struct fsp_entry *e)
{
	struct slot *s = fsp_grow(l->slots, l->n, &l->cap, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	l->slots = s;
	l->slots[l->n] = (struct slot){ pos, l->names.len, *e };
	l->links |= e->attr.nlink > 1;
	err = fsp_buf_add(&l->names, name, len + 1);
	if (!err)
		l->n++;
	return err;
}

static int add(void *arg, const char *name, const struct fsp_entry *e)
{
	struct dirlist *l = arg;
	size_t len = strlen(name);

	return add_at(l, pos_of(name, len), name, len, e);
}

struct adding {
	struct dirlist *l;
	const char *hidden;
};

/* A name that .versions hides cannot come from the rows; PHP may have one. */
static int add_live(void *arg, const char *name, const struct fsp_entry *e)
{
	struct adding *a = arg;

	return strcmp(name, a->hidden) == 0 ? 0 : add(a->l, name, e);
}

static int add_dots(struct fsp_vfs *v, struct inode *dir, struct dirlist *l)
{
	struct fsp_entry self = { 0 }, up = { 0 };
	int err;

	fsp_lock(&v->lock);
	self.attr = dir->attr;
	up.attr = dir->parent ? dir->parent->attr : dir->attr;
	fsp_unlock(&v->lock);
	err = add_at(l, POS_SELF, ".", 1, &self);
	return err ? err : add_at(l, POS_UP, "..", 2, &up);
}

static int by_pos(const void *a, const void *b, void *names)
{
	const struct slot *x = a, *y = b;

	if (x->pos != y->pos)
		return x->pos < y->pos ? -1 : 1;
	return strcmp((char *)names + x->name, (char *)names + y->name);
}

/* Names with one hash, which may never be seen, follow each other. */
static void sort(struct dirlist *l)
{
	qsort_r(l->slots, l->n, sizeof(*l->slots), by_pos, l->names.data);
	for (size_t i = 1; i < l->n; i++)
		if (l->slots[i].pos <= l->slots[i - 1].pos)
			l->slots[i].pos = l->slots[i - 1].pos + 1;
}

size_t dirlist_find(const struct dirlist *l, const char *name)
{
	uint64_t pos = pos_of(name, strlen(name));
	size_t lo = fsp_lower_bound(l->slots, l->n, sizeof(*l->slots),
	                            offsetof(struct slot, pos), pos);

	/* Those of one hash stand behind each other, a position apart. */
	for (; lo < l->n && l->slots[lo].pos >> 8 == pos >> 8; lo++)
		if (strcmp(dirlist_name(l, lo), name) == 0)
			return lo;
	return l->n;
}

static int read_rows(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                     struct inode *dir, size_t most, struct dirlist *l)
{
	struct adding a = { l, v->versions_dir };
	FSP_FREE char *path = NULL;
	int err;

	if (dir->kind != INODE_LIVE)
		return versions_list(v, ctx, dir, add, l);
	err = inode_path(v, dir, &path);
	if (err == -ESTALE)             /* removed while open: empty */
		return 0;
	if (!err)
		err = answered(v, fsp_meta_list(v->store->meta, ctx, path,
		                                most, add_live, &a));
	return err;
}

static struct dirlist *dirlist_new(struct fsp_vfs *v, struct inode *dir)
{
	struct dirlist *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->refs = 1;
	l->dir = dir;
	l->when.read_ns = fsp_mono_ns();
	FSP_GUARD(&v->lock);
	dir->refs++;
	l->when.as_of = v->seq;
	l->when.names_seq = v->names_seq;
	return l;
}

/* All is in it: others may have it, too. */
static void finish(struct fsp_vfs *v, struct dirlist *l)
{
	sort(l);
	l->used_ns = fsp_mono_ns();
	FSP_GUARD(&v->lock);
	l->dir->more_than = 0;
	keep_locked(v, l);
}

static void is_large(struct fsp_vfs *v, struct inode *dir, size_t most)
{
	FSP_GUARD(&v->lock);
	dir->more_than = most;
}

int dirlist_load(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                 struct inode *dir, size_t most, struct dirlist **out)
{
	struct dirlist *l = dirlist_new(v, dir);
	int err;

	if (!l)
		return -ENOMEM;
	err = add_dots(v, dir, l);
	if (!err)
		err = read_rows(v, ctx, dir, most, l);
	if (err == -E2BIG)
		is_large(v, dir, most);
	if (err) {
		dirlist_put(v, l);
		return err;
	}
	finish(v, l);
	*out = l;
	return 0;
}

/* One of several: what the rows are to be added to, and its path. */
static int begin_one(struct fsp_vfs *v, struct inode *dir, struct adding *a,
                     char **path)
{
	int err;

	*a = (struct adding){ dirlist_new(v, dir), v->versions_dir };
	if (!a->l)
		return -ENOMEM;
	err = inode_path(v, dir, path);
	return err ? err : add_dots(v, dir, a->l);
}

void dirlist_load_many(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                       struct inode *const *dirs, size_t n, size_t most,
                       struct dirlist **out)
{
	struct fsp_listing l[FSP_LIST_MANY] = { { .dir = NULL } };
	struct adding a[FSP_LIST_MANY];
	char *path[FSP_LIST_MANY] = { NULL };
	int err = 0;

	for (size_t k = 0; k < n; k++) {
		int none = begin_one(v, dirs[k], &a[k], &path[k]);

		err = err ? err : none;
		l[k] = (struct fsp_listing){ path[k], add_live, &a[k], false };
	}
	/* 0 may mean that nobody was asked. */
	if (!err && (err = fsp_meta_list_many(v->store->meta, ctx, l, n,
	                                     most)))
		(void)answered(v, err);
	for (size_t k = 0; k < n; k++) {
		out[k] = l[k].done ? a[k].l : NULL;
		if (out[k])
			finish(v, out[k]);
		else
			dirlist_put(v, a[k].l);
		free(path[k]);
	}
}

void fsp_vfs_listing_asked(struct fsp_vfs *v)
{
	atomic_fetch_add(&v->listings_asked, 1);
}
