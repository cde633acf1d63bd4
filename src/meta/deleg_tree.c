/* The names of delegated directories in memory. */
#include <stdlib.h>
#include <string.h>

#include "deleg.h"
#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_path.h"
#include "sql_meta.h"

int deleg_wait_locked(struct deleg *d, const struct fsp_ctx *ctx)
{
	int err = fsp_cond_wait(&d->changed, &d->lock, ctx->deadline_ns);

	return err ? err : fsp_ctx_check(ctx);
}

const char *deleg_below(const char *path, const char *root)
{
	size_t n = strlen(root);

	if (!n)
		return path;
	if (strncmp(path, root, n) != 0)
		return NULL;
	return !path[n] ? path + n : path[n] == '/' ? path + n + 1 : NULL;
}

static struct dnode **ino_slot(struct deleg *d, uint64_t ino)
{
	return &d->by_ino[fsp_hash64(&ino, sizeof(ino), 0) % DELEG_BUCKETS];
}

static struct dnode **name_slot(struct deleg *d, const struct dnode *dir,
                                const char *name, size_t len)
{
	return &d->by_name[fsp_hash64_more(fsp_hash64(&dir->ino,
	                                              sizeof(dir->ino), 0),
	                                   name, len) % DELEG_BUCKETS];
}

static struct dnode *child_of(struct deleg *d, const struct dnode *dir,
                              const char *name, size_t len)
{
	struct dnode *n = *name_slot(d, dir, name, len);

	while (n && (n->parent != dir || strncmp(n->name, name, len) != 0 ||
	             n->name[len]))
		n = n->next_name;
	return n;
}

struct dnode *dnode_child(struct deleg *d, const struct dnode *dir,
                          const char *name)
{
	fsp_assert_held(&d->lock);
	return child_of(d, dir, name, strlen(name));
}

struct dnode *dnode_find(struct deleg *d, uint64_t ino)
{
	struct dnode *n = *ino_slot(d, ino);

	fsp_assert_held(&d->lock);
	while (n && n->ino != ino)
		n = n->next_ino;
	return n;
}

static void unborn_add(struct dnode *n)
{
	struct dtree *t = n->tree;
	struct dnode *before = t->unborn_last;

	/* One that comes back goes where it was: before what is in it. */
	while (before && before->order > n->order)
		before = before->unborn_prev;
	n->unborn_prev = before;
	n->unborn_next = before ? before->unborn_next : t->unborn;
	*(before ? &before->unborn_next : &t->unborn) = n;
	*(n->unborn_next ? &n->unborn_next->unborn_prev : &t->unborn_last) = n;
}

static void unborn_drop(struct dnode *n)
{
	struct dtree *t = n->tree;

	*(n->unborn_prev ? &n->unborn_prev->unborn_next : &t->unborn) =
		n->unborn_next;
	*(n->unborn_next ? &n->unborn_next->unborn_prev : &t->unborn_last) =
		n->unborn_prev;
	n->unborn_next = n->unborn_prev = NULL;
}

void dnode_set_state(struct dnode *n, enum dnode_state state)
{
	bool was = n->state != DNODE_BORN, is = state != DNODE_BORN;

	if (n->state == DNODE_UNBORN)
		unborn_drop(n);
	n->state = state;
	if (state == DNODE_UNBORN)
		unborn_add(n);
	if (n->parent)
		n->parent->unborn_in += (unsigned)is - (unsigned)was;
}

static struct dnode *node_new(struct deleg *d, struct dtree *t,
                              struct dnode *dir, const char *name,
                              const struct fsp_attr *a)
{
	struct dnode *n = calloc(1, sizeof(*n)), **slot;

	if (n)
		n->name = strdup(name);
	if (!n || !n->name) {
		free(n);
		return NULL;
	}
	n->tree = t;
	n->parent = dir;
	n->ino = a->ino;
	n->attr = *a;
	n->order = ++d->orders;
	n->made_ns = fsp_mono_ns();
	slot = ino_slot(d, n->ino);
	n->next_ino = *slot;
	*slot = n;
	if (dir) {
		dir->in++;
		slot = name_slot(d, dir, name, strlen(name));
		n->next_name = *slot;
		*slot = n;
	}
	n->next = t->nodes;
	if (n->next)
		n->next->prev = n;
	t->nodes = n;
	t->n++;
	d->n_names++;
	return n;
}

struct dnode *dnode_new(struct deleg *d, struct dnode *dir, const char *name,
                        const struct fsp_attr *a, enum dnode_state state)
{
	struct dnode *n = node_new(d, dir->tree, dir, name, a);

	fsp_assert_held(&d->lock);
	if (n)
		dnode_set_state(n, state);
	return n;
}

static void unhash(struct deleg *d, struct dnode *n)
{
	struct dnode **p = ino_slot(d, n->ino);

	while (*p != n)
		p = &(*p)->next_ino;
	*p = n->next_ino;
	if (!n->parent)
		return;
	p = name_slot(d, n->parent, n->name, strlen(n->name));
	while (*p != n)
		p = &(*p)->next_name;
	*p = n->next_name;
}

void dnode_free(struct deleg *d, struct dnode *n)
{
	struct dtree *t = n->tree;

	fsp_assert_held(&d->lock);
	dnode_set_state(n, DNODE_BORN);
	unhash(d, n);
	if (n->parent)
		n->parent->in--;
	*(n->prev ? &n->prev->next : &t->nodes) = n->next;
	if (n->next)
		n->next->prev = n->prev;
	t->n--;
	d->n_names--;
	free(n->name);
	free(n);
}

struct dtree *dtree_new(struct deleg *d, const char *path,
                        const struct fsp_entry *e)
{
	struct dtree *t = calloc(1, sizeof(*t));

	fsp_assert_held(&d->lock);
	if (t)
		t->path = strdup(path);
	if (!t || !t->path) {
		free(t);
		return NULL;
	}
	t->root = node_new(d, t, NULL, "", &e->attr);
	if (!t->root) {
		free(t->path);
		free(t);
		return NULL;
	}
	t->next = d->trees;
	d->trees = t;
	d->n_trees++;
	return t;
}

void dtree_free(struct deleg *d, struct dtree *t)
{
	struct dtree **p = &d->trees;

	fsp_assert_held(&d->lock);
	while (*p != t)
		p = &(*p)->next;
	*p = t->next;
	d->n_trees--;
	/* The newest first: what is in a directory comes before it. */
	while (t->nodes)
		dnode_free(d, t->nodes);
	free(t->path);
	free(t);
}

/* Those that were made last are asked for next. */
void dtree_prune(struct deleg *d, struct dtree *t)
{
	struct dnode *n = t->nodes, *next;
	size_t keep = t->n / 4;

	for (; n; n = next) {
		next = n->next;
		if (keep) {
			keep--;
			continue;
		}
		if (n == t->root || n->state != DNODE_BORN || n->in ||
		    n->touch_ns)
			continue;
		n->parent->forgets = true;
		dnode_free(d, n);
	}
}

struct dtree *dtree_find_root(struct deleg *d, uint64_t ino)
{
	struct dtree *t = d->trees;

	fsp_assert_held(&d->lock);
	while (t && t->root->ino != ino)
		t = t->next;
	return t;
}

static struct dnode *walk(struct deleg *d, struct dnode *n, const char *below)
{
	while (n && *below) {
		size_t len = strcspn(below, "/");

		n = child_of(d, n, below, len);
		below += len + (below[len] == '/');
	}
	return n;
}

struct dtree *dtree_find(struct deleg *d, const char *path,
                         struct dnode **node)
{
	fsp_assert_held(&d->lock);
	*node = NULL;
	for (struct dtree *t = d->trees; t; t = t->next) {
		const char *below = deleg_below(path, t->path);

		if (below) {
			*node = walk(d, t->root, below);
			return t;
		}
	}
	return NULL;
}

char *dnode_dir(const struct dnode *n)
{
	char *dir = strdup("");

	for (n = n->parent; dir && n && n->parent; n = n->parent) {
		FSP_FREE char *below = dir;

		dir = *below ? fsp_path_join(n->name, below) : strdup(n->name);
	}
	return dir;
}

void dnode_touch(struct dnode *dir, int64_t now_ns)
{
	dir->attr.mtime_ns = dir->attr.ctime_ns = now_ns;
	dir->touch_ns = dir->state == DNODE_UNBORN ? 0 : now_ns;
}

/* As sql_touch_at() does it. */
void dnode_touched(const struct dnode *dir, struct fsp_attr *a)
{
	int64_t at = dir->touch_ns;

	if (!at)
		return;
	if (a->ctime_ns <= at || a->mtime_ns < at)
		a->mtime_ns = at;
	if (a->ctime_ns < at)
		a->ctime_ns = at;
}

void dnode_fill(const struct dnode *n, struct fsp_entry *out)
{
	*out = (struct fsp_entry){ .attr = n->attr };
}
