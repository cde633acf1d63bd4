/* Inodes in memory: look-ups, references, names and paths. */
#include "vfs_private.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_path.h"

/* An open that walked by the old name has come by then. */
#define RENAMED_NS FSP_NS_PER_SEC
/* Where a second open cannot be told from the first. */
#define RENAMED_UNKNOWN_NS (FSP_NS_PER_SEC / 10)

static void past_free(struct past *p)
{
	if (p)
		free(p->path);
	free(p);
}

void inode_free(struct inode *i)
{
	free(i->name);
	free(i->last);
	past_free(i->past);
	free(i);
}

/* Frees what nobody holds, and then its parent, and so on. */
static void drop_locked(struct fsp_vfs *v, struct inode *i)
{
	fsp_assert_held(&v->lock);
	while (i && !i->refs && !i->nlookup) {
		struct inode *parent = i->parent;
		uint64_t seq = i->seq;

		table_unname_locked(v, i);
		table_remove_locked(v, i);
		inode_free(i);
		if (parent) {
			parent->refs--;
			if (parent->gone_seq < seq)
				parent->gone_seq = seq;
		}
		i = parent;
	}
}

int inode_ref(struct fsp_vfs *v, uint64_t ino, struct inode **out)
{
	FSP_GUARD(&v->lock);
	*out = table_find_locked(v, ino);
	if (!*out)
		return -ESTALE;
	(*out)->refs++;
	return 0;
}

void inode_unref_locked(struct fsp_vfs *v, struct inode *i)
{
	i->refs--;
	drop_locked(v, i);
}

void inode_hold(struct fsp_vfs *v, struct inode *i)
{
	FSP_GUARD(&v->lock);
	i->refs++;
}

void inode_unref(struct fsp_vfs *v, struct inode *i)
{
	if (!i)
		return;
	FSP_GUARD(&v->lock);
	inode_unref_locked(v, i);
}

void fsp_vfs_forget(struct fsp_vfs *v, uint64_t ino, uint64_t n)
{
	struct inode *i;
	bool trim;

	fsp_lock(&v->lock);
	i = table_find_locked(v, ino);
	if (i) {
		i->nlookup -= n < i->nlookup ? n : i->nlookup;
		drop_locked(v, i);
	}
	trim = v->trim;
	v->trim = false;
	fsp_unlock(&v->lock);
	/* The table has halved: what was freed goes back to the system. */
	if (trim)
		malloc_trim(0);
}

static bool is_ancestor_locked(const struct inode *i, const struct inode *of)
{
	for (; of; of = of->parent)
		if (of == i)
			return true;
	return false;
}

void others_changed_locked(struct fsp_vfs *v)
{
	fsp_assert_held(&v->lock);
	v->others_seq = ++v->seq;
	v->others_ns = fsp_mono_ns();
}

/* Gives the inode this name; it was a look-up that said so. */
int inode_set_name_locked(struct fsp_vfs *v, struct inode *i,
                          struct inode *parent, const char *name)
{
	struct inode *old = i->parent;
	char *copy;

	fsp_assert_held(&v->lock);
	if (old == parent && i->name && strcmp(i->name, name) == 0)
		return 0;
	/* Two hosts moved directories into each other while we looked. */
	if (is_ancestor_locked(i, parent))
		return -ESTALE;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	table_unname_locked(v, i);
	free(i->name);
	i->name = copy;
	i->parent = parent;
	table_name_locked(v, i);
	parent->refs++;
	/* What was read by the old path, of it or below it, may be another
	 * directory's; and so was what others were heard to have changed. */
	if (old && is_dir(i)) {
		others_changed_locked(v);
		fsp_meta_moved(v->store->meta);
	}
	if (old) {
		old->refs--;
		drop_locked(v, old);
	}
	return 0;
}

static void clear_name_locked(struct fsp_vfs *v, struct inode *i)
{
	struct inode *old = i->parent;

	table_unname_locked(v, i);
	free(i->name);
	i->name = NULL;
	i->parent = NULL;
	if (old) {
		old->refs--;
		drop_locked(v, old);
	}
}

static bool is_at(const struct inode *i, const struct inode *parent,
                  const char *name)
{
	return i && i->parent == parent && strcmp(i->name, name) == 0;
}

/* The kernel may open it by the name that it had here. */
static void forget_name_locked(struct fsp_vfs *v, struct inode *i)
{
	fsp_assert_held(&v->lock);
	i->forgets = later_forget(v, FORGET_NAME, i->parent->ino,
	                          i->name);
	i->renamed_ns = fsp_mono_ns();
}

/*
 * A file with one name is looked up under another: the kernel may still have
 * the old one, and would open this inode by it.
 */
static void was_renamed_locked(struct fsp_vfs *v, struct inode *i,
                               const struct inode *parent, const char *name,
                               const struct fsp_attr *attr)
{
	if (!i->parent || !is_file(i) || attr->nlink != 1 ||
	    is_at(i, parent, name))
		return;
	forget_name_locked(v, i);
}

static struct inode *fresh_locked(struct fsp_vfs *v, enum inode_kind kind,
                                  const struct fsp_attr *attr)
{
	struct inode *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	i->kind = kind;
	i->ino = attr->ino;
	i->type = attr->mode & S_IFMT;
	i->attr = *attr;
	table_insert_locked(v, i);
	return i;
}

static void placed_locked(const struct fsp_vfs *v, struct inode *i,
                          uint64_t as_of)
{
	if (as_of > v->seq)             /* this mount has made it */
		as_of = v->seq;
	if (i->placed_seq < as_of)
		i->placed_seq = as_of;
}

/* i: the one with its number, NULL where it is not in the table. */
static int enter_locked(struct fsp_vfs *v, struct inode *i,
                        struct inode *parent, const char *name,
                        enum inode_kind kind, const struct fsp_attr *attr,
                        uint64_t as_of, bool counted, struct inode **out)
{
	int err;

	if (i && i->seq > as_of && i->unlinked)
		return -ENOENT;         /* removed since it was listed */
	if (i && i->seq > as_of && i->parent && !is_at(i, parent, name))
		return -EAGAIN;         /* renamed since */
	if (!i)
		i = fresh_locked(v, kind, attr);
	if (!i)
		return -ENOMEM;
	i->refs++;
	was_renamed_locked(v, i, parent, name, attr);
	err = inode_set_name_locked(v, i, parent, name);
	if (err) {
		i->refs--;
		drop_locked(v, i);
		return err;
	}
	placed_locked(v, i, as_of);
	if (i->seq <= as_of && !lazy_waits_locked(i)) {
		attr_news_locked(v, i, attr);
		i->attr = *attr;
	}
	i->unlinked = false;
	if (counted)
		i->nlookup++;
	*out = i;
	return 0;
}

uint64_t inode_seq(struct fsp_vfs *v)
{
	FSP_GUARD(&v->lock);
	return v->seq;
}

/* The file that is open with this number, referenced as its inode is. */
static struct file *open_file(struct fsp_vfs *v, uint64_t ino, struct inode **i)
{
	struct file *f;

	FSP_GUARD(&v->lock);
	*i = table_find_locked(v, ino);
	f = *i && (*i)->kind == INODE_LIVE ? (*i)->file : NULL;
	if (f) {
		(*i)->refs++;
		f->refs++;
	}
	return f;
}

void inode_hold_back(struct fsp_vfs *v, struct fsp_entry *e)
{
	struct inode *i;
	struct file *f = open_file(v, e->attr.ino, &i);

	if (!f)
		return;
	if (file_behind(f, &e->content)) {
		pages_refresh(v, i, f);
		fsp_lock(&v->lock);
		e->attr.size = i->attr.size;
		e->attr.mtime_ns = i->attr.mtime_ns;
		fsp_unlock(&v->lock);
	}
	file_put(v, i, f);
	inode_unref(v, i);
}

int inode_make(struct fsp_vfs *v, uint64_t ino, struct inode **out)
{
	struct fsp_attr attr = { .ino = ino, .mode = S_IFREG, .nlink = 1 };

	FSP_GUARD(&v->lock);
	*out = table_find_locked(v, ino);
	if (!*out)
		*out = fresh_locked(v, INODE_LIVE, &attr);
	if (!*out)
		return -ENOMEM;
	(*out)->refs++;
	return 0;
}

/*
 * May what a list says be entered? -EAGAIN: others have changed something in
 * the directory; -ESTALE: this mount has, and what it knew of that is forgotten.
 */
static int still_listed_locked(const struct fsp_vfs *v,
                               const struct inode *parent,
                               const struct inode *i, uint64_t as_of)
{
	if (as_of < parent->others_seq || as_of < v->others_seq)
		return -EAGAIN;
	return !i && as_of < parent->gone_seq ? -ESTALE : 0;
}

bool names_ended_locked(struct fsp_vfs *v, const struct inode *dir,
                        const struct listed *l)
{
	fsp_assert_held(&v->lock);
	return v->names_seq != l->names_seq && dir->inside_seq > l->as_of;
}

/* The rows say something new: lists of before must not take it back. */
static void news_of_row_locked(struct fsp_vfs *v, struct inode *i,
                               const struct fsp_attr *attr, uint64_t as_of)
{
	if (i && i->seq <= as_of && i->parent && attr_differs(&i->attr, attr))
		i->parent->inside_seq = ++v->seq;
}

static int enter(struct fsp_vfs *v, struct inode *parent, const char *name,
                 const struct fsp_entry *e, uint64_t as_of, bool listed,
                 bool counted, struct inode **out, struct fsp_attr *out_attr)
{
	struct fsp_entry told = *e;
	struct inode *i;
	int err;

	inode_hold_back(v, &told);
	fsp_lock(&v->lock);
	i = table_find_locked(v, told.attr.ino);
	err = listed ? still_listed_locked(v, parent, i, as_of)
	             : as_of < v->news_seq ? -EAGAIN : 0;
	if (!err && !listed)
		news_of_row_locked(v, i, &told.attr, as_of);
	if (!err)
		err = enter_locked(v, i, parent, name, INODE_LIVE, &told.attr,
		                   as_of, counted, out);
	if (!err)
		offline_note_locked(v, *out, &e->content, as_of);
	fsp_unlock(&v->lock);
	if (!err && out_attr)
		inode_attr(v, *out, out_attr);
	return err;
}

int inode_enter(struct fsp_vfs *v, struct inode *parent, const char *name,
                const struct fsp_entry *e, uint64_t as_of, bool counted,
                struct inode **out, struct fsp_attr *out_attr)
{
	return enter(v, parent, name, e, as_of, false, counted, out, out_attr);
}

int inode_enter_listed(struct fsp_vfs *v, struct inode *parent,
                       const char *name, const struct fsp_entry *e,
                       uint64_t as_of, bool counted, struct inode **out,
                       struct fsp_attr *out_attr)
{
	return enter(v, parent, name, e, as_of, true, counted, out, out_attr);
}

bool inode_enter_first(struct fsp_vfs *v, struct inode *parent,
                       const char *name, const struct fsp_entry *e,
                       const struct listed *l)
{
	struct inode *i;

	FSP_GUARD(&v->lock);
	if (names_ended_locked(v, parent, l) ||
	    table_find_locked(v, e->attr.ino) ||
	    still_listed_locked(v, parent, NULL, l->as_of) ||
	    enter_locked(v, NULL, parent, name, INODE_LIVE, &e->attr, l->as_of,
	                 true, &i))
		return false;
	attr_vouch_locked(v, i, l->read_ns);
	i->refs--;                      /* it is counted: it stays */
	return true;
}

int inode_enter_past(struct fsp_vfs *v, struct inode *parent, const char *name,
                     enum inode_kind kind, const struct fsp_attr *attr,
                     struct past *past)
{
	struct inode *i = NULL;
	int err;

	FSP_GUARD(&v->lock);
	err = enter_locked(v, table_find_locked(v, attr->ino), parent, name,
	                   kind, attr, UINT64_MAX, true, &i);
	if (err) {
		past_free(past);
		return err;
	}
	/* The number is a hash of what it is: equal where it was known. */
	if (!i->past)
		i->past = past;
	else
		past_free(past);
	i->refs--;
	drop_locked(v, i);
	return 0;
}

static int add_component(struct fsp_buf *b, const char *name)
{
	int err = b->len ? fsp_buf_addc(b, '/') : 0;

	return err ? err : fsp_buf_adds(b, name);
}

static int path_locked(struct fsp_vfs *v, struct inode *i, char **path)
{
	const char *names[FSP_PATH_MAX / 2];
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	size_t n = 0;
	int err = 0;

	fsp_assert_held(&v->lock);
	for (; i != v->root; i = i->parent) {
		if (!i->parent)
			return -ESTALE;
		if (n == FSP_PATH_MAX / 2)
			return -ENAMETOOLONG;
		names[n++] = i->name;
	}
	while (n && !err)
		err = add_component(&b, names[--n]);
	if (err)
		return err;
	if (b.len > FSP_PATH_MAX)
		return -ENAMETOOLONG;
	*path = b.data ? fsp_buf_steal(&b) : strdup("");
	return *path ? 0 : -ENOMEM;
}

int inode_path(struct fsp_vfs *v, struct inode *i, char **path)
{
	FSP_GUARD(&v->lock);
	return path_locked(v, i, path);
}

int inode_path_hint(struct fsp_vfs *v, struct inode *i, char **path)
{
	int err = inode_path(v, i, path);

	if (err != -ESTALE)
		return err;
	*path = strdup("");
	return *path ? 0 : -ENOMEM;
}

static void keep_content_locked(struct inode *i, const struct fsp_content *c)
{
	if (!c || i->past || !S_ISREG(i->type))
		return;
	/* Without memory for it, the open that comes too late is ESTALE. */
	i->past = calloc(1, sizeof(*i->past));
	if (i->past)
		i->past->content = *c;
}

void inode_changed_locked(struct fsp_vfs *v, struct inode *i)
{
	fsp_assert_held(&v->lock);
	i->seq = ++v->seq;
	if (i->parent)
		i->parent->inside_seq = v->seq;
	/* It has names that are not known here. */
	if (i->parent ? !is_dir(i) && i->attr.nlink > 1
	              : !i->unlinked && i != v->root)
		v->links_seq = v->seq;
}

static void unsure_locked(struct fsp_vfs *v, struct inode *i)
{
	inode_changed_locked(v, i);
	i->vouched_ns = 0;
}

void inode_unsure(struct fsp_vfs *v, struct inode *i)
{
	FSP_GUARD(&v->lock);
	unsure_locked(v, i);
}

void inode_moved_on(struct fsp_vfs *v, struct inode *i)
{
	FSP_GUARD(&v->lock);
	if (i->parent)
		i->parent->inside_seq = ++v->seq;
}

void inode_detach(struct fsp_vfs *v, uint64_t ino, struct inode *parent,
                  const char *name, uint32_t nlink,
                  const struct fsp_content *content)
{
	struct inode *i;

	FSP_GUARD(&v->lock);
	v->names_seq = ++v->seq;
	if (parent)
		parent->inside_seq = v->seq;
	i = table_find_locked(v, ino);
	/* Another name has a smaller number of links, and is somewhere. */
	if (nlink || (!parent && !i))
		v->links_seq = v->seq;
	if (!i)
		return;
	inode_changed_locked(v, i);
	/* The caller does not know of which directory the time has moved. */
	if (!parent && i->parent)
		unsure_locked(v, i->parent);
	i->attr.nlink = nlink;
	if (!nlink) {
		i->unlinked = true;
		keep_content_locked(i, content);
	}
	/* Without a parent: wherever it is. */
	if (!i->parent || (parent && i->parent != parent) ||
	    strcmp(i->name, name) != 0)
		return;
	/* Nobody asked the kernel for that; an answer may be on its way to it. */
	if (!parent) {
		forget_twice(v, FORGET_NAME, i->parent->ino, name);
		forget_twice(v, FORGET_LISTING, i->parent->ino, "");
	}
	i->refs++;
	clear_name_locked(v, i);
	i->refs--;
	drop_locked(v, i);
}

bool inode_renamed(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                   struct inode *i)
{
	int64_t lasts = ctx->tid ? RENAMED_NS : RENAMED_UNKNOWN_NS, age;
	uint64_t ticket;

	fsp_lock(&v->lock);
	ticket = i->forgets;
	age = fsp_mono_ns() - i->renamed_ns;
	if (ticket && age > RENAMED_NS)
		i->forgets = 0;
	if (age > lasts)
		ticket = 0;
	fsp_unlock(&v->lock);
	if (ticket)
		(void)forget_wait(v, ticket, fsp_mono_ns() + FSP_NS_PER_SEC);
	return ticket != 0;
}

struct inode *inode_find_name(struct fsp_vfs *v, const struct inode *dir,
                              const char *name)
{
	struct inode *found = NULL;

	FSP_GUARD(&v->lock);
	for (uint64_t b = 0; b < v->n_buckets; b++)
		for (struct inode *i = v->buckets[b]; i; i = i->next)
			if (i->kind == INODE_LIVE && !i->unlinked &&
			    is_at(i, dir, name) &&
			    (!found || i->nlookup))
				found = i;
	if (found) {
		found->refs++;
		found->nlookup++;
	}
	return found;
}

bool inode_named(struct fsp_vfs *v, struct inode *i)
{
	FSP_GUARD(&v->lock);
	return i->parent != NULL;
}

void inode_move(struct fsp_vfs *v, uint64_t ino, struct inode *from,
                const char *old, struct inode *parent, const char *name)
{
	struct inode *i;

	FSP_GUARD(&v->lock);
	v->names_seq = ++v->seq;
	from->inside_seq = parent->inside_seq = v->seq;
	i = table_find_locked(v, ino);
	/* What the kernel had under the old name, and has moved, is another. */
	if (!is_at(i, from, old))
		(void)later_forget(v, FORGET_NAME, parent->ino, name);
	if (!i)
		return;
	if (i->parent && !is_at(i, from, old))
		forget_name_locked(v, i);
	/* The rename has moved its ctime. */
	inode_changed_locked(v, i);
	i->vouched_ns = 0;
	i->refs++;
	/* Without its new name it has none, and the next look-up finds one. */
	if (inode_set_name_locked(v, i, parent, name))
		clear_name_locked(v, i);
	placed_locked(v, i, v->seq);
	i->refs--;
	drop_locked(v, i);
}

void inode_set_attr(struct fsp_vfs *v, struct inode *i, const struct fsp_attr *a,
                    int64_t began_ns)
{
	FSP_GUARD(&v->lock);
	if (a->ino != i->ino) {
		inode_changed_locked(v, i);
		return;
	}
	i->attr = *a;
	lazy_overlay_locked(i);
	inode_changed_locked(v, i);
	if (began_ns && !is_dir(i))
		attr_vouch_locked(v, i, began_ns);
}

/* What is not committed yet, as it is at one moment. */
struct overlay {
	bool dirty, open;
	uint64_t size;
	uint32_t mask;
	int64_t mtime_ns;
	struct fsp_attr attr;
};

static void overlay_take(struct file *f, struct overlay *o)
{
	FSP_GUARD(&f->lock);
	o->dirty = f->dirty;
	o->open = f->handles > 0;
	o->size = f->size;
	o->mask = f->mask;
	o->mtime_ns = f->mtime_ns;
	o->attr = f->attr;
}

static void overlay_put(const struct overlay *o, struct fsp_attr *out)
{
	out->size = o->size;
	out->mtime_ns = o->mtime_ns;
	if (out->ctime_ns < o->attr.ctime_ns)
		out->ctime_ns = o->attr.ctime_ns;
	fsp_attr_copy(o->mask & ~(uint32_t)(FSP_SET_MTIME | FSP_SET_CTIME),
	          &o->attr, out);
}

/*
 * The file first, then the inode: a commit sets the inode's attributes before
 * it makes the file clean, so one of the two is always new. A size of before
 * would make the kernel cut its pages.
 */
void inode_attr(struct fsp_vfs *v, struct inode *i, struct fsp_attr *out)
{
	struct overlay o = { .open = false };
	struct file *f = NULL;
	uint64_t most = UINT64_MAX;

	if (file_get(v, i, false, &f))
		f = NULL;               /* cannot be, where none is made */
	if (f) {
		pages_settle(v, f);
		overlay_take(f, &o);
	}
	fsp_lock(&v->lock);
	*out = i->attr;
	if (f)
		most = pages_told_locked(v, f, most);
	fsp_unlock(&v->lock);
	if (o.dirty) {
		overlay_put(&o, out);
	} else if (o.open && i->kind == INODE_LIVE && out->size != o.size) {
		/* Another mount's version: told when its bytes can be read. */
		out->size = o.size;
		pages_refresh(v, i, f);
	}
	if (out->size > most)
		out->size = most;
	if (most != UINT64_MAX)
		pages_no_size(v, i);
	if (f)
		file_put(v, i, f);
}
