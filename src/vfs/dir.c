/*
 * Reading directories. What was read once is kept a while for those who read on
 * in it: the kernel asks piece by piece. DESIGN.md, "Listings".
 */
#include "vfs_private.h"

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

#define POS_SELF 1
#define POS_UP 2
#define POS_FIRST 256           /* names, and a byte for those with one hash */

struct slot {
	uint64_t pos;
	size_t name;            /* offset in names */
	struct fsp_entry entry;
};

/* Does not change once it is made. next, refs and used_ns: v->lock. */
struct dirlist {
	struct dirlist *next;
	unsigned refs;          /* readers, and 1 while it is kept */
	int64_t used_ns;
	uint64_t ino;
	struct slot *slots;
	size_t n, cap;
	struct fsp_buf names;
	uint64_t as_of, names_seq;      /* v's when the rows were read, */
	int64_t read_ns;                /* and when that was */
};

struct fsp_dirlist {
	struct fsp_vfs *v;
	struct inode *dir;
	struct dirlist *list;
	size_t at;              /* behind the last one */
	uint64_t after;         /* its position */
	bool found, again;
};

static void list_free(struct dirlist *l)
{
	free(l->slots);
	fsp_buf_free(&l->names);
	free(l);
}

static void unref_locked(struct fsp_vfs *v, struct dirlist *l)
{
	fsp_assert_held(&v->lock);
	if (--l->refs == 0)
		list_free(l);
}

static void drop_kept_locked(struct fsp_vfs *v, struct dirlist **at)
{
	struct dirlist *l = *at;

	*at = l->next;
	v->list_entries -= l->n;
	unref_locked(v, l);
}

/* Keeps the new one, in place of older ones and of what there is too much. */
static void keep_locked(struct fsp_vfs *v, struct dirlist *l)
{
	struct dirlist **at = &v->lists;
	unsigned n = 1;

	fsp_assert_held(&v->lock);
	l->refs++;
	l->next = v->lists;
	v->lists = l;
	v->list_entries += l->n;
	at = &l->next;
	while (*at) {
		if ((*at)->ino == l->ino || ++n > LISTS_MOST ||
		    v->list_entries > ENTRIES_MOST)
			drop_kept_locked(v, at);
		else
			at = &(*at)->next;
	}
}

static struct dirlist *find_kept(struct fsp_vfs *v, uint64_t ino)
{
	struct dirlist *l;

	FSP_GUARD(&v->lock);
	l = v->lists;
	while (l && (l->ino != ino || l->as_of < v->news_seq))
		l = l->next;
	if (l) {
		l->refs++;
		l->used_ns = fsp_mono_ns();
	}
	return l;
}

/*
 * For whoever begins to read it: nobody has changed anything since, as far as
 * anybody can vouch for that.
 */
static struct dirlist *find_unchanged(struct fsp_vfs *v, uint64_t ino)
{
	struct dirlist *l;
	bool good = news_vouch(v);

	FSP_GUARD(&v->lock);
	l = good ? v->lists : NULL;
	while (l && l->ino != ino)
		l = l->next;
	if (!l || l->as_of != v->seq || fsp_mono_ns() - l->read_ns > UNUSED_NS)
		return NULL;
	l->refs++;
	l->used_ns = fsp_mono_ns();
	return l;
}

static void forget_kept(struct fsp_vfs *v, const struct dirlist *l)
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
	int err;

	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 32;
		struct slot *s = realloc(l->slots, cap * sizeof(*s));

		if (!s)
			return -ENOMEM;
		l->slots = s;
		l->cap = cap;
	}
	l->slots[l->n] = (struct slot){ pos, l->names.len, *e };
	err = fsp_buf_add(&l->names, name, len + 1);
	if (!err)
		l->n++;
	return err;
}

static int add(void *arg, const char *name, const struct fsp_entry *e)
{
	size_t len = strlen(name);

	return add_at(arg, pos_of(name, len), name, len, e);
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

static int read_rows(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                     struct inode *dir, struct dirlist *l)
{
	struct adding a = { l, v->versions_dir };
	FSP_FREE char *path = NULL;
	int err;

	if (dir->kind != INODE_LIVE)
		return versions_list(v, ctx, dir, add, l);
	err = inode_path(v, dir, &path);
	if (err == -ESTALE)             /* removed while open: empty */
		return 0;
	return err ? err : answered(v, fsp_meta_list(v->store->meta, ctx, path,
	                                             add_live, &a));
}

static int load(struct fsp_vfs *v, const struct fsp_ctx *ctx, struct inode *dir,
                struct dirlist **out)
{
	struct dirlist *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return -ENOMEM;
	l->refs = 1;
	l->ino = dir->ino;
	l->read_ns = fsp_mono_ns();
	fsp_lock(&v->lock);
	l->as_of = v->seq;
	l->names_seq = v->names_seq;
	fsp_unlock(&v->lock);
	err = add_dots(v, dir, l);
	if (!err)
		err = read_rows(v, ctx, dir, l);
	if (err) {
		list_free(l);
		return err;
	}
	sort(l);
	l->used_ns = fsp_mono_ns();
	fsp_lock(&v->lock);
	keep_locked(v, l);
	fsp_unlock(&v->lock);
	*out = l;
	return 0;
}

/* ---- reading it */

int fsp_vfs_list(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t ino,
                 uint64_t after, struct fsp_dirlist **out)
{
	struct fsp_dirlist *d;
	struct inode *i;
	int err = inode_ref(v, ino, &i);

	if (err)
		return err;
	d = is_dir(i) ? calloc(1, sizeof(*d)) : NULL;
	if (!d) {
		err = is_dir(i) ? -ENOMEM : -ENOTDIR;
		inode_unref(v, i);
		return err;
	}
	d->v = v;
	d->dir = i;
	d->list = after ? find_kept(v, ino) : find_unchanged(v, ino);
	err = d->list ? 0 : load(v, ctx, i, &d->list);
	if (err) {
		inode_unref(v, i);
		free(d);
		return err;
	}
	*out = d;
	return 0;
}

static void seek(struct fsp_dirlist *d, uint64_t after)
{
	size_t lo = 0, hi = d->list->n;

	if (d->found && d->after == after)
		return;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (d->list->slots[mid].pos <= after)
			lo = mid + 1;
		else
			hi = mid;
	}
	d->at = lo;
	d->found = true;
}

static bool names_ended(struct fsp_vfs *v, const struct dirlist *l)
{
	FSP_GUARD(&v->lock);
	return v->names_seq != l->names_seq;
}

static int count_lookup(struct fsp_dirlist *d, const struct fsp_ctx *ctx,
                        const char *name, const struct fsp_entry *e,
                        struct fsp_attr *attr)
{
	struct fsp_vfs *v = d->v;
	struct inode *i;
	int err;

	if (d->dir->kind == INODE_VERSIONS)
		return versions_lookup(v, ctx, d->dir, name, attr);
	if (d->dir->kind != INODE_LIVE)
		return versions_enter(v, d->dir, name, e, attr);
	/* The list may be of before a removal: ask again. */
	if (names_ended(v, d->list))
		return fsp_vfs_lookup(v, ctx, d->dir->ino, name, attr);
	err = inode_enter(v, d->dir, name, e, d->list->as_of, true, &i, attr);
	if (!err)
		inode_unref(v, i);
	return err;
}

static void put_list(struct fsp_vfs *v, struct dirlist *l)
{
	FSP_GUARD(&v->lock);
	unref_locked(v, l);
}

/* Others have changed something: once in a call it is read anew. */
static int load_again(struct fsp_dirlist *d, const struct fsp_ctx *ctx)
{
	struct dirlist *l;
	int err;

	if (d->again)
		return -ESTALE;
	err = load(d->v, ctx, d->dir, &l);
	if (err)
		return err;
	put_list(d->v, d->list);
	d->list = l;
	d->again = true;
	d->found = false;
	return 0;
}

int fsp_vfs_list_next(struct fsp_dirlist *d, const struct fsp_ctx *ctx,
                      uint64_t *after, bool *counted, const char **name,
                      struct fsp_attr *attr)
{
	bool count = *counted;
	const struct slot *s;
	int err = 0;

	do {
		seek(d, *after);
		if (d->at >= d->list->n)
			return -ENOENT;
		s = &d->list->slots[d->at];
		*name = d->list->names.data + s->name;
		*attr = s->entry.attr;
		*counted = count && s->pos >= POS_FIRST;
		if (*counted)
			err = count_lookup(d, ctx, *name, &s->entry, attr);
	} while (err == -EAGAIN && (err = load_again(d, ctx)) == 0);
	if (err && err != -ENOENT && err != -ESTALE)
		return err;
	if (err) {
		*attr = s->entry.attr;  /* gone meanwhile: a mere name */
		*counted = false;
	}
	*after = d->after = s->pos;
	d->at++;
	return 0;
}

/*
 * What others changed since it was read, the kernel is told after this answer,
 * and drops it then.
 */
bool fsp_vfs_list_keep(struct fsp_dirlist *d)
{
	if (d->dir->kind != INODE_LIVE || !news_vouch(d->v)) {
		forget_kept(d->v, d->list);
		return false;
	}
	/* It stays a while: the kernel keeps what it reads the second time. */
	news_listed(d->v, d->dir);
	return true;
}

void fsp_vfs_list_end(struct fsp_dirlist *d)
{
	put_list(d->v, d->list);
	inode_unref(d->v, d->dir);
	free(d);
}

int fsp_vfs_fsyncdir(struct fsp_vfs *v, const struct fsp_ctx *ctx)
{
	int err = v->store->read_only ? 0 : lazy_flush_all(v, ctx);

	return err || v->store->read_only ? err
		: fsp_meta_sync(v->store->meta, ctx);
}
