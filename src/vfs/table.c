/* The table of inodes in memory, by number and by where they are. */
#include "vfs_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_clock.h"

/* Who goes through a large directory comes back for the rest of it by then. */
#define EXPECT_NS (5 * FSP_NS_PER_SEC)

static uint64_t bucket_of(const struct fsp_vfs *v, uint64_t ino)
{
	return (ino * 0x9E3779B97F4A7C15ULL) >> 20 & (v->n_buckets - 1);
}

static uint64_t name_bucket(const struct fsp_vfs *v, uint64_t parent,
                            const char *name)
{
	return fsp_hash64(name, strlen(name), parent) & (v->n_buckets - 1);
}

struct inode *table_find_locked(struct fsp_vfs *v, uint64_t ino)
{
	struct inode *i;

	fsp_assert_held(&v->lock);
	i = v->buckets[bucket_of(v, ino)];
	while (i && i->ino != ino)
		i = i->next;
	return i;
}

static void link_in(struct fsp_vfs *v, struct inode *i)
{
	struct inode **head = &v->buckets[bucket_of(v, i->ino)];

	i->next = *head;
	*head = i;
}

void table_name_locked(struct fsp_vfs *v, struct inode *i)
{
	struct inode **head;

	fsp_assert_held(&v->lock);
	head = &v->by_name[name_bucket(v, i->parent->ino, i->name)];
	i->next_name = *head;
	*head = i;
}

void table_unname_locked(struct fsp_vfs *v, struct inode *i)
{
	struct inode **p;

	fsp_assert_held(&v->lock);
	if (!i->parent)
		return;
	p = &v->by_name[name_bucket(v, i->parent->ino, i->name)];
	while (*p != i)
		p = &(*p)->next_name;
	*p = i->next_name;
}

struct inode *table_at_locked(struct fsp_vfs *v, const struct inode *parent,
                              const char *name, struct inode *after)
{
	struct inode *i;

	fsp_assert_held(&v->lock);
	i = after ? after->next_name
	          : v->by_name[name_bucket(v, parent->ino, name)];
	while (i && (i->parent != parent || strcmp(i->name, name) != 0))
		i = i->next_name;
	return i;
}

/* Keeps chains short in both directions; without memory they get longer. */
static void resize_locked(struct fsp_vfs *v, uint64_t want)
{
	struct inode **old = v->buckets, **old_names = v->by_name;
	uint64_t n_old = v->n_buckets;
	struct inode **fresh = calloc(want, sizeof(struct inode *));
	struct inode **names = calloc(want, sizeof(struct inode *));

	if (!fresh || !names) {
		free(fresh);
		free(names);
		return;
	}
	v->buckets = fresh;
	v->by_name = names;
	v->n_buckets = want;
	for (uint64_t b = 0; b < n_old; b++) {
		while (old[b]) {
			struct inode *i = old[b];

			old[b] = i->next;
			link_in(v, i);
			if (i->parent)
				table_name_locked(v, i);
		}
	}
	free(old);
	free(old_names);
}

void table_insert_locked(struct fsp_vfs *v, struct inode *i)
{
	if (v->n_inodes >= v->n_buckets)
		resize_locked(v, v->n_buckets * 2);
	link_in(v, i);
	v->n_inodes++;
}

void table_expect_locked(struct fsp_vfs *v, uint64_t n)
{
	uint64_t want = v->n_buckets;

	fsp_assert_held(&v->lock);
	while (want < v->n_inodes + n)
		want *= 2;
	v->expect_until_ns = fsp_mono_ns() + EXPECT_NS;
	if (want > v->n_buckets)
		resize_locked(v, want);
}

void table_remove_locked(struct fsp_vfs *v, struct inode *i)
{
	struct inode **p = &v->buckets[bucket_of(v, i->ino)];

	while (*p != i)
		p = &(*p)->next;
	*p = i->next;
	v->n_inodes--;
	if (v->n_buckets > INODE_BUCKETS_MIN &&
	    v->n_inodes < v->n_buckets / 4 &&
	    fsp_mono_ns() > v->expect_until_ns) {
		resize_locked(v, v->n_buckets / 2);
		v->trim = true;
	}
}

int inode_table_init(struct fsp_vfs *v)
{
	struct fsp_attr root = { .ino = FSP_INO_ROOT, .mode = S_IFDIR | 0755,
	                         .nlink = 1 };
	struct inode *i = calloc(1, sizeof(*i));

	fsp_mutex_init(&v->lock);
	fsp_cond_init(&v->names_done);
	fsp_cond_init(&v->listing_done);
	v->n_buckets = INODE_BUCKETS_MIN;
	v->buckets = calloc(v->n_buckets, sizeof(struct inode *));
	v->by_name = calloc(v->n_buckets, sizeof(struct inode *));
	if (!v->buckets || !v->by_name || !i) {
		free(i);
		return -ENOMEM;
	}
	i->kind = INODE_LIVE;
	i->ino = root.ino;
	i->type = S_IFDIR;
	i->attr = root;
	i->refs = 1;
	fsp_lock(&v->lock);
	table_insert_locked(v, i);
	fsp_unlock(&v->lock);
	v->root = i;
	return 0;
}

/* At the end nobody calls any more: what is still looked up just goes. */
void inode_table_free(struct fsp_vfs *v)
{
	for (uint64_t b = 0; v->buckets && b < v->n_buckets; b++) {
		while (v->buckets[b]) {
			struct inode *i = v->buckets[b];

			v->buckets[b] = i->next;
			inode_free(i);
		}
	}
	free(v->buckets);
	free(v->by_name);
	fsp_cond_destroy(&v->names_done);
	fsp_cond_destroy(&v->listing_done);
	fsp_mutex_destroy(&v->lock);
}

uint64_t fsp_vfs_inodes(struct fsp_vfs *v)
{
	FSP_GUARD(&v->lock);
	return v->n_inodes;
}
