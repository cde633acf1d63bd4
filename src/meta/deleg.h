/*
 * What the files of the decorator share that keeps names in memory until they
 * have to be rows. DESIGN.md, "Names that are not rows yet".
 *
 * d->lock guards all of it; nothing is asked of `inner` while it is held.
 */
#ifndef FSP_META_DELEG_H
#define FSP_META_DELEG_H

#include "fsp_ctx.h"
#include "fsp_meta.h"
#include "fsp_worker.h"

#define DELEG_BUCKETS 1024
#define DELEG_TREE_MOST 4096            /* names of one tree */
#define DELEG_NAMES_MOST 8192           /* of all */

enum dnode_state {
	DNODE_BORN,             /* it has its rows */
	DNODE_UNBORN,
	DNODE_BUSY              /* they are just being made */
};

/* A name in a delegated directory, or below it. */
struct dnode {
	struct dnode *next_ino, *next_name;     /* hash chains */
	struct dnode *next, *prev;              /* of its tree, as they came */
	struct dnode *unborn_next, *unborn_prev;
	struct dtree *tree;
	struct dnode *parent;                   /* NULL: the root */
	char *name;
	uint64_t ino;
	uint64_t order;                         /* of its making */
	int64_t made_ns;                        /* monotonic */
	enum dnode_state state;
	struct fsp_attr attr;                   /* unborn: all of it; of a born
	                                           directory mode and owner */
	unsigned unborn_in;                     /* entries that have no rows */
	unsigned in;                            /* entries that are known */
	bool forgets;                           /* not all of them are */
	int64_t touch_ns;                       /* something was made in it then,
	                                           the rows do not say so; 0: no */
	const void *touching;                   /* who is telling them */
	const void *flight;                     /* busy: by this one */
	bool maybe;                             /* unborn, as far as is known: a
	                                           graft was not answered */
};

/* A directory that is delegated to this mount. */
struct dtree {
	struct dtree *next;
	struct dnode *root;
	char *path;                     /* of the root */
	struct dnode *nodes;            /* newest first; the root is one */
	struct dnode *unborn, *unborn_last;     /* oldest first */
	size_t n;
	struct flight *flights;         /* grafts under way */
	bool leading;                   /* one for those who wait */
	bool ending;                    /* nothing is made in memory any more */
	bool closing;                   /* somebody ends it */
	bool lost;                      /* it was taken from us */
	int64_t used_ns;                /* when something was made in it */
	int64_t polled_ns;              /* it was ours when that was asked */
	int64_t retry_ns;               /* that has failed: not before */
	int64_t served_ns;              /* by the thread */
};

#define FLIGHT_MOST 64

/* Names that become rows in one transaction. */
struct flight {
	struct flight *next;            /* of the tree */
	struct dnode *nodes[FLIGHT_MOST];
	struct fsp_birth births[FLIGHT_MOST];
	char *dirs[FLIGHT_MOST];        /* of those */
	struct fsp_touch touches[FLIGHT_MOST];
	size_t n, n_touches;
	struct dtree *tree;             /* it stays as long */
	uint64_t order;                 /* among names, when it began */
	char *path;
	bool lost, durable;
};

/* A directory that is delegated to another mount. */
struct dforeign {
	struct dforeign *next;
	uint64_t ino;
	char *path;
	bool moved;                     /* the path may be another */
	bool own;                       /* with our number, and not held */
	int64_t asked_ns;               /* when it was first asked for; 0 */
};

struct deleg {
	struct fsp_meta base;
	struct fsp_meta *inner;
	struct fsp_mutex lock;
	struct fsp_cond changed;        /* something is born, or has ended */
	struct fsp_worker worker;
	char id[FSP_MOUNT_ID + 1];      /* "": holds nothing */
	_Atomic int64_t holder;
	bool off;                       /* nothing new is held */
	struct dtree *trees;
	_Atomic size_t n_trees;
	size_t n_names;
	uint64_t orders;
	struct dwant *wants;            /* who waits for rows, oldest first */
	struct dnode *by_ino[DELEG_BUCKETS], *by_name[DELEG_BUCKETS];
	atomic_bool moved;              /* the caller has met a directory at
	                                   another place */
	_Atomic unsigned making;        /* rows with our number, just now */
	uint64_t spare_ino;             /* asked for, not used; 0: none */
#define DELEG_CONDEMNED 4096
	uint64_t condemned[DELEG_CONDEMNED];    /* files whose names others have:
	                                           a ring */
	unsigned n_condemned;
	struct dforeign *foreign;
	_Atomic unsigned n_foreign;
	void (*on_birth)(void *arg, uint64_t ino);
	void *birth_arg;
	unsigned telling;               /* threads that are calling it */
};

/* The caller knows that it is one; deleg_is() where he does not. */
bool deleg_is(const struct fsp_meta *m);
static inline struct deleg *deleg_of(struct fsp_meta *m)
{
	return (struct deleg *)m;
}

/* deleg_tree.c: under d->lock, all of it. */
/* Until something is born, or has ended: -EINTR or -ETIMEDOUT, as the ctx says. */
int deleg_wait_locked(struct deleg *d, const struct fsp_ctx *ctx);
/* What of path is below root: "" for the root itself; NULL: it is not. */
const char *deleg_below(const char *path, const char *root);
/* A tree with its root, of an entry that create() gave; NULL: no memory. */
struct dtree *dtree_new(struct deleg *d, const char *path,
                        const struct fsp_entry *e);
void dtree_free(struct deleg *d, struct dtree *t);
struct dtree *dtree_find_root(struct deleg *d, uint64_t ino);
/* The tree that the path is in, and its node there, NULL where it has none. */
struct dtree *dtree_find(struct deleg *d, const char *path,
                         struct dnode **node);
struct dnode *dnode_find(struct deleg *d, uint64_t ino);
struct dnode *dnode_child(struct deleg *d, const struct dnode *dir,
                          const char *name);
/* Behind the others, unborn or born; NULL: no memory. */
struct dnode *dnode_new(struct deleg *d, struct dnode *dir, const char *name,
                        const struct fsp_attr *a, enum dnode_state state);
/* Nobody is making its rows, and nothing is in it. */
void dnode_free(struct deleg *d, struct dnode *n);
void dnode_set_state(struct dnode *n, enum dnode_state state);
/* Room for more names: the older ones that are in the rows are forgotten. */
void dtree_prune(struct deleg *d, struct dtree *t);
/* Its directory, "" for the root, as fsp_birth.dir; fresh. */
char *dnode_dir(const struct dnode *n);
/* Something was made or removed in the directory. */
void dnode_touch(struct dnode *dir, int64_t now_ns);
/* What the rows say of it, and what they do not say yet. */
void dnode_touched(const struct dnode *dir, struct fsp_attr *a);
void dnode_fill(const struct dnode *n, struct fsp_entry *out);

/*
 * deleg_flight.c. A flight is all zero; begins (also where that is -ENOMEM), is
 * filled, flies, ends and is told of, in this order, and is freed. d->lock is
 * held but for flying, telling and freeing.
 */
int flight_begin(struct deleg *d, struct flight *f, struct dtree *t);
int flight_add(struct deleg *d, struct flight *f, struct dnode *n);
int flight_fly(struct deleg *d, const struct fsp_ctx *ctx, struct flight *f);
/* All of them were born, or none was. */
void flight_end(struct deleg *d, struct flight *f, int err);
/* Those that have no content yet: what is promised of them is told so. */
void flight_tell(struct deleg *d, const struct flight *f);
void flight_free(struct flight *f);
/* The directory's times go along, once. */
void flight_touch(struct flight *f, struct dnode *dir);
/* Is it, or what it is in, on its way with another one? */
bool flight_has(const struct dnode *n, const struct flight *but);
/* Another host has the name, or the directory has gone. */
void flight_say(const struct flight *f, const struct dnode *n, int err);

/* Not of what is asked: another time it may succeed. */
bool deleg_passes(int err);
/* Perhaps it has happened all the same. */
bool deleg_is_unknown(int err);
/* d->lock is held: was it given up, since another host has its name? */
bool deleg_is_condemned(struct deleg *d, uint64_t ino);

/* deleg_birth.c: without d->lock */
/*
 * Makes the rows of an inode, and of the directories that it is in, with its
 * first content (c, may be NULL). 0 with *born false: it was not unborn (any
 * more). A conflict is -EIO, and logged.
 */
int deleg_birth(struct deleg *d, const struct fsp_ctx *ctx, uint64_t ino,
                const struct fsp_commit *c, bool *born, struct fsp_entry *out);
/* deleg_flush.c: without d->lock */
/* All that is unborn in the tree with this root by now; 0 where it is gone. */
int deleg_flush(struct deleg *d, const struct fsp_ctx *ctx, uint64_t root);
/* The same, and gives the delegation up. */
int deleg_end(struct deleg *d, const struct fsp_ctx *ctx, uint64_t root);

/* deleg_hold.c */
/* A directory was made with our number after since_ns: it is ours from now on, or
 * nobody's. */
void deleg_hold(struct deleg *d, const struct fsp_ctx *ctx, const char *path,
                const struct fsp_entry *e, int64_t since_ns);
/* May another be held? */
bool deleg_may_hold(struct deleg *d);
/* deleg.c: is it, or what it is in, held? */
bool deleg_holds(struct deleg *d, const char *dir);
/*
 * With d->lock, which is let go where it asks: t may be gone after that.
 * -EAGAIN: it has asked; look again. 0: it was ours, and PHP had no rows below
 * it, at since_ns or later.
 */
int deleg_fresh_locked(struct deleg *d, const struct fsp_ctx *ctx,
                       struct dtree *t, int64_t since_ns);
/* Those in or above which this path is: flushed, or ended. */
int deleg_settle(struct deleg *d, const struct fsp_ctx *ctx, const char *path);
int deleg_end_at(struct deleg *d, const struct fsp_ctx *ctx, const char *path);
int deleg_flush_all(struct deleg *d, const struct fsp_ctx *ctx);
int deleg_end_all(struct deleg *d, const struct fsp_ctx *ctx);
/* Ends all of them, and holds no more. */
int deleg_stop(struct deleg *d, const struct fsp_ctx *ctx);

/* deleg_foreign.c */
/* The path is about to be looked into, or changed: asks whoever has it. */
int deleg_enter(struct deleg *d, const struct fsp_ctx *ctx, const char *path);
int deleg_enter_at(struct deleg *d, const struct fsp_ctx *ctx,
                   const struct fsp_place *at);
/* Would that have to ask? */
bool deleg_is_foreign(struct deleg *d, const char *path);
/* Also what is delegated below it. */
int deleg_enter_tree(struct deleg *d, const struct fsp_ctx *ctx,
                     const struct fsp_place *at);
/* An entry as the rows have it: whose is it? And its times, where they have
 * moved here. */
void deleg_seen(struct deleg *d, const char *dir, const char *name,
                struct fsp_entry *e);
void deleg_seen_path(struct deleg *d, const char *path, struct fsp_entry *e);
/* Others have given this path, or what is above it, another place. */
void deleg_foreign_moved(struct deleg *d, const char *path);
void deleg_foreign_free(struct deleg *d);

#endif
