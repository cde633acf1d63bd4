/*
 * Commits that wait: mount.commit = back. DESIGN.md, "Commits that wait".
 */
#ifndef FSP_VFS_BACK_H
#define FSP_VFS_BACK_H

#include "fsp_journal.h"
#include "vfs_private.h"

/* One promised content of a file: only read, by whoever stores it. */
struct snap {
	struct snap *next;              /* newer, of the same inode */
	struct file *file;              /* of its own, in no inode */
	char *path;                     /* where it was */
	uint64_t key, behind;           /* in the journal: b->lock */
	uint64_t id, behind_id;         /* the same, whatever records follow */
	uint64_t old_key;               /* while it is taken over */
	uint64_t bytes;                 /* that it counts for */
	struct fsp_content merged;      /* row set: first to be merged with it */
	bool was_merged;
	bool has_digests;
	struct fsp_digests digests;     /* of the content, where known */
	bool visible;                   /* made of the visible file as it is in
	                                   memory, so that one more may replace
	                                   it */
	bool tried;                     /* its row may be there */
	bool unborn;                    /* its record says that the name is not
	                                   in the rows: b->lock */
};

/* All that waits of one inode. Under b->lock; flying: of who stores. */
struct item {
	struct item *next, *prev;       /* in b->first, oldest first */
	struct inode *inode;            /* referenced, as the file is */
	struct file *file;              /* the visible one */
	struct snap *head, *last;
	bool flying;                    /* somebody stores the first */
	unsigned held;                  /* a newer one is being written */
	bool dropped;                   /* the last name went meanwhile */
	struct fsp_queue_end ended;     /* what became of the one before */
	uint64_t ended_id;              /* which it was; 0: none */
	uint64_t ended_session;         /* that it was made in */
	unsigned tries;
	int64_t since_ns;               /* it has been in the queue */
	int64_t next_ns;                /* not before: monotonic */
};

struct back {
	struct fsp_mutex lock;          /* the innermost */
	struct fsp_cond wake;           /* workers */
	struct fsp_cond changed;        /* something ended */
	bool on;                        /* close() queues */
	bool stop;
	bool ready;                     /* the mount is up: workers may start */
	struct fsp_journal *journal;
	atomic_uint_fast64_t ids;       /* the last one's */
	struct item *first, *last;
	uint64_t files, bytes;          /* that wait */
	uint64_t reserved;              /* and that are just being queued */
	uint64_t pending_max, free_min;
	int64_t closed_ns;              /* when the last one came */
	int64_t down_ns;                /* a server is: nothing before that */
	int error;                      /* of the last try; 0: it succeeded */
	unsigned max_threads, n_threads;
	pthread_t *threads;
};

/* back_snap.c */
struct snap *snap_new(void);
void snap_free(struct snap *s);
/* The one that it is behind, made in that session, has come to its end. */
void snap_follow(struct snap *s, const struct fsp_queue_end *e,
                 uint64_t session);
/* A fresh journal record that replaces the one it has; those behind it are told
 * of its key. Where it says unborn, back_look_again() is to follow once s is in
 * its item. */
int snap_journal(struct fsp_vfs *v, struct inode *i, struct snap *s,
                 uint64_t drops);
/* Its bytes into kept/, and why; false: it has none. */
bool snap_keep(struct snap *s, uint64_t ino, int err);

/* back_born.c */
/* What the rows do not have above a file, for its record: *dirs is the caller's
 * to free. */
int back_unborn(struct fsp_vfs *v, struct fsp_queued *q,
                struct fsp_queued_dir **dirs);
/* The name of a file has come: its records are told so. */
void back_born(struct fsp_vfs *v, struct file *f);
/* Did it while a record was written that says unborn? */
void back_look_again(struct fsp_vfs *v, uint64_t ino);
/* For fsp_meta_on_birth(); arg is the mount. */
void back_heard(void *arg, uint64_t ino);

/* back_names.c: the names of what a dead mount has queued. */
struct naming {
	struct fsp_vfs *v;
	const struct fsp_ctx *ctx;
	int64_t holder;                 /* the dead mount's: fsp_meta_holder() */
};
/*
 * The name is in the rows, or was removed. *refused, where it is not set: it
 * cannot be made, and never will, for this reason.
 */
int back_name(const struct naming *n, const struct fsp_queued *q, int *refused);

/*
 * back.c. One more worker where all that there are may be busy; -errno: there is
 * none at all.
 */
int back_more_workers_locked(struct fsp_vfs *v);
/* Both are referenced; NULL: nobody has it open, and nothing of it waits. */
struct file *back_file_of(struct fsp_vfs *v, uint64_t ino, struct inode **i);

/* back_queue.c: under b->lock where the name says so. */
/* The oldest that may be tried now; NULL: *wake_ns is when to look again, 0 when
 * it is woken. */
struct item *item_next_locked(struct back *b, int64_t *wake_ns);
/* Its first snapshot has come to its end, and is the caller's. true: it was the
 * last, and item_end() is to follow without the lock. */
bool item_pop_locked(struct back *b, struct item *it, struct snap **out);
void item_unlink_locked(struct back *b, struct item *it);
/* Frees it, with its references. */
void item_end(struct fsp_vfs *v, struct item *it);
/* check.c. Debug builds: DESIGN.md's invariants; the latter with f->lock. */
void item_check_locked(struct back *b, const struct item *it);
void item_check_sealed_locked(struct back *b, const struct file *f,
                              const struct item *it);
/*
 * Where the newest snapshot waits, was never tried and is of this file in
 * memory, it is to be replaced, and comes back; else NULL. s, the next one, is
 * told what it is behind. *held: nobody begins to store what is in it, and it
 * stays, until back_unhold(); NULL where there is no item.
 */
struct snap *back_hold(struct fsp_vfs *v, struct file *f, struct item **held,
                       struct snap *s);
/* s is in the journal in the place of old (NULL: back_add() was called), or err
 * says that it is not. */
void back_unhold(struct fsp_vfs *v, struct item *it, struct snap *old,
                 struct snap *s, int err);
/* Puts it behind what the inode has; takes over references on i and f. */
int back_add(struct fsp_vfs *v, struct inode *i, struct file *f,
             struct snap *s);

/* back_store.c: stores the first snapshot; the item is flying. */
int back_store_first(struct fsp_vfs *v, struct item *it,
                     const struct fsp_ctx *ctx);
/* It cannot be stored: aside, and listed. */
void back_keep_first(struct fsp_vfs *v, struct item *it, int err);
bool back_passes(int err);      /* is it to be tried again? */

#endif
