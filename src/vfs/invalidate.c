/*
 * What this mount and the kernel keep of what others have changed: it gets old,
 * or goes. DESIGN.md, "Vouching".
 */
#include "news.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_path.h"

#define DROP_AT_ONCE 512

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
		others_changed_locked(v);
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
		others_changed_locked(v);       /* no memory to tell which */
}


/* The entries of that name in the directories at a path. */
static void age_locked(struct fsp_vfs *v, struct inode *dir, const char *path,
                       const char *name)
{
	FSP_FREE char *first = strndup(path, strcspn(path, "/"));
	const char *rest = strchr(path, '/');
	struct inode *i = NULL;

	if (!*path) {
		/* What was a file when it was last seen has no entries. */
		if (is_dir(dir))
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

int invalidate(struct fsp_vfs *v, const struct note *n)
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
	const char *from;       /* where it was at first */
	const char *path;       /* where it went, in the end */
	unsigned rows;
};

static void find_moves(const struct note *n, uint64_t ino, struct moves *m)
{
	*m = (struct moves){ .rows = 0 };
	for (; n; n = n->next) {
		if (!n->named || n->ino != ino)
			continue;
		if (!m->rows++)
			m->from = n->path;
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
 * Has a look-up found it after what the journal tells? Surely when that began
 * after this reading; and when it came after the one before, and did not find it
 * where it had been.
 */
static bool is_newer_locked(struct fsp_vfs *v, const struct inode *i,
                            const struct notes *n, const struct moves *m)
{
	return i->placed_seq >= n->began_seq ||
		(i->placed_seq >= n->since_seq && m->rows == 2 &&
		 one_at_locked(v, m->from) != i);
}

/*
 * Where a directory is decides which changes in it are heard of. A rename has
 * two rows, the second one says where it is now; more of them do not tell
 * which came last.
 */
void follow_moves_locked(struct fsp_vfs *v, struct notes *n)
{
	fsp_assert_held(&v->lock);
	for (const struct note *o = n->first; o && !n->all; o = o->next) {
		struct inode *i = o->named && o->ino
			? table_find_locked(v, o->ino) : NULL;
		struct moves m;

		if (!i || !is_dir(i) || i == v->root)
			continue;
		find_moves(n->first, o->ino, &m);
		if (is_newer_locked(v, i, n, &m))
			continue;
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

struct walk {
	uint64_t bucket, of;            /* the next of how many */
};

static size_t copy_known(struct fsp_vfs *v, struct walk *w, struct known *k)
{
	size_t n = 0;

	FSP_GUARD(&v->lock);
	/* What was to come is among what was passed by. */
	if (v->n_buckets < w->of)
		w->bucket = 0;
	w->of = v->n_buckets;
	for (; w->bucket < w->of && n < DROP_AT_ONCE; w->bucket++) {
		struct inode *i = v->buckets[w->bucket];

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
void invalidate_all(struct fsp_vfs *v)
{
	struct known *k = calloc(2 * DROP_AT_ONCE, sizeof(*k));
	struct walk w = { .bucket = 0 };
	size_t n;

	fsp_lock(&v->lock);
	others_changed_locked(v);
	v->news_seq = v->seq;
	fsp_unlock(&v->lock);
	while (k && (n = copy_known(v, &w, k))) {
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
