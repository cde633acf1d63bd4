/*
 * What was read of a directory: kept for those who read on in it, and for those
 * who begin, or look up a name, while nobody has changed anything in it.
 * DESIGN.md, "Listings".
 */
#ifndef FSP_VFS_DIRLIST_H
#define FSP_VFS_DIRLIST_H

#include "fsp_buf.h"
#include "vfs_private.h"

#define DIRLIST_DOTS 2          /* a list begins with them */
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
	struct inode *dir;      /* referenced: it knows of later changes */
	struct slot *slots;     /* by position; `.` and `..` come first */
	size_t n, cap;
	struct fsp_buf names;
	bool links;             /* one of them has names elsewhere */
	struct listed when;
};

static inline const char *dirlist_name(const struct dirlist *l, size_t k)
{
	return l->names.data + l->slots[k].name;
}

/*
 * Read now, and kept; most: -E2BIG for a directory with more names, 0: none is
 * too large. Referenced for the caller, as are those that are found.
 */
int dirlist_load(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                 struct inode *dir, size_t most, struct dirlist **out);
/*
 * Lists of several directories, FSP_LIST_MANY at the most; out[k]: as above, or
 * NULL. Of records it takes one statement.
 */
void dirlist_load_many(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                       struct inode *const *dirs, size_t n, size_t most,
                       struct dirlist **out);
void dirlist_ref(struct fsp_vfs *v, struct dirlist *l);
void dirlist_put(struct fsp_vfs *v, struct dirlist *l);         /* NULL is fine */
/* For whoever reads on; NULL: it has gone, or others changed something. */
struct dirlist *dirlist_kept(struct fsp_vfs *v, const struct inode *dir);
/* For whoever begins: it is vouched for; NULL: nothing is. */
struct dirlist *dirlist_vouched(struct fsp_vfs *v, const struct inode *dir);
/* Is it known to have more names than that? */
bool dirlist_large(struct fsp_vfs *v, const struct inode *dir, size_t most);
/* Waits where it is just being read ahead; and around that. */
void dirlist_wait(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                  const struct inode *dir);
void dirlist_begin(struct fsp_vfs *v, struct inode *const *dirs, size_t n);
void dirlist_end(struct fsp_vfs *v, struct inode *const *dirs, size_t n);
/* What such a one says of a name; its rows were read after *read_ns. */
bool dirlist_entry(struct fsp_vfs *v, const struct inode *dir,
                   const char *name, struct fsp_entry *e, uint64_t *as_of,
                   int64_t *read_ns);
/* Where the name stands; l->n: nowhere. */
size_t dirlist_find(const struct dirlist *l, const char *name);
/* Nobody is to find it any more. */
void dirlist_forget(struct fsp_vfs *v, const struct dirlist *l);

#endif
