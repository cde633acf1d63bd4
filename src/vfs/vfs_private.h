/* What the files of vfs share. See DESIGN.md in this folder. */
#ifndef FSP_VFS_PRIVATE_H
#define FSP_VFS_PRIVATE_H

#include "fsp_cache.h"
#include "fsp_codec.h"
#include "fsp_lock.h"
#include "fsp_spool.h"
#include "fsp_store.h"
#include "fsp_vfs.h"
#include "fsp_worker.h"

enum inode_kind {
	INODE_LIVE,             /* a row or a name of today */
	INODE_VERSIONS,         /* .versions of a live directory (its parent) */
	INODE_HISTORY,          /* .versions/NAME of a file */
	INODE_PAST              /* what was there at a time: read-only */
};

/*
 * One in memory for each inode that somebody holds. `v->lock` guards all of
 * it but *file, which has a lock of its own.
 */
struct inode {
	struct inode *next, *next_name; /* hash chains */
	struct inode *parent;           /* holds a reference; NULL: no name */
	char *name;                     /* in parent; NULL with it */
	uint64_t nlookup;               /* the kernel's */
	uint32_t refs;                  /* calls, handles and children */
	enum inode_kind kind;
	uint64_t ino;                   /* never changes, nor does type */
	uint32_t type;                  /* S_IFMT of the mode */
	struct fsp_attr attr;           /* as last told to the kernel */
	struct file *file;              /* while open, or dirty */
	struct past *past;              /* INODE_PAST, and unlinked files */
	struct fsp_content *last;       /* what it had when it was last open
	                                   here; NULL: it never was */
	uint64_t pages;                 /* tag of the content whose pages the
	                                   kernel may hold, or one of these: */
#define PAGES_NONE 0                    /* none at all */
#define PAGES_MIXED 1                   /* of what is being written */
	uint64_t seq;                   /* v->seq when attr was changed here */
	uint64_t news;                  /* the kernel may not have attr yet;
	                                   0: it has, or asks */
	uint64_t placed_seq;            /* its place was read, or given to it,
	                                   when v->seq was that */
	uint64_t inside_seq;            /* a directory's: when an entry was */
	uint64_t gone_seq;              /* the greatest seq of what was in it
	                                   and has left the table */
	uint64_t others_seq;            /* when others' changes were heard of */
	int64_t heard_ns;               /* when others had changed attr */
	int64_t vouched_ns;             /* attr is that of the rows, read after
	                                   this; 0: it may not be */
	uint64_t vouched_seq;           /* of a file: while that is its seq */
	bool unlinked;                  /* its last name was removed here */
	uint64_t forgets;               /* ticket of an old name that the
	                                   kernel is to forget; 0 = none */
	int64_t renamed_ns;             /* when that was found */
	bool listed;                    /* the kernel may keep its listing */
	unsigned listing;               /* jobs that list it for who comes */
	size_t more_than;               /* it has more names; 0: not known */
	struct dirlist *list;           /* the newest one that is kept */
	struct lazy *lazy;              /* what waits to be set; or NULL */
};

/* Attributes of a directory that wait. Under v->lock. lazy.c */
struct lazy {
	struct inode *next;             /* in v->lazies, while queued */
	bool queued, busy;              /* busy: on its way to the rows */
	uint32_t mask, sent;            /* what waits; and what of it is on its
	                                   way, and still what is wanted */
	struct fsp_attr attr;
	int64_t due_ns;
};

struct past {
	char *path;                     /* directories: of that time */
	int64_t at_us;
	uint64_t row_ino;               /* symlinks: whose target it is */
	struct fsp_content content;     /* files */
};

/* The verified bytes of a committed content, shared by readers. */
struct base_ref {
	atomic_uint refs;
	struct fsp_cached *cached;
};

/* While pages are on their way out, the kernel is told no greater size. */
struct pin {
	bool set;
	uint64_t size;
};

/* What the kernel has to be told about a file. pages.c */
struct stale {
	struct file *next;
	struct inode *inode;            /* referenced, as the file is */
	bool queued;
	bool refresh;                   /* handles go over to what is live */
	struct pin pin;                 /* its pages go */
	struct fsp_pages_wait *waiters;
};

/*
 * The content of an open file:
 *
 *   [0, base_valid) of base, overlaid by the spool's extents, zero elsewhere
 *   up to size.
 *
 * Clean: no spool, size == base_valid == base.size. DESIGN.md has the states.
 */
struct file {
	/* Under v->lock: */
	unsigned refs;                  /* handles and calls */
	struct stale stale;             /* in v->stales */
	struct pin served;              /* of the entry that was taken out */
	/* Under this one: */
	struct fsp_mutex lock;
	struct fsp_cond changed;        /* busy went down */
	unsigned handles, writers;
	unsigned resizing;              /* truncate(2) is at work: reads wait */
	bool busy;                      /* a commit reads it: nobody writes */
	bool dirty;                     /* differs from the live row */
	bool pending;                   /* the name has never had a content */
	bool untouched;                 /* dirty only because it was made here */
	int failed;                     /* -errno of the last commit, until an
	                                   fsync succeeds */
	int torn;                       /* -errno of a write that failed: what
	                                   is here is nobody's content */
	struct fsp_content base;        /* where [0, base_valid) comes from */
	uint64_t base_valid;
	int64_t session_row;            /* committed while it has been open */
	unsigned open_writers;          /* handles with something to close */
	uint64_t session;               /* changes when there were none */
	int64_t over_row;               /* the version it was written over */
	uint64_t base_limit;            /* truncations left no more of it; 0:
	                                   the commit replaces, never merges */
	uint64_t grown;                 /* the size it was set to, or 0 */
	uint64_t append_off;            /* from here on all is appended;
	                                   UINT64_MAX: nothing is */
	uint64_t size;
	struct fsp_spool_file *spool;
	struct base_ref *ref;           /* of base, once read */
	struct fsp_sum *sum;            /* of [0, its size) as it was written,
	                                   while writes are sequential */
	struct fsp_digest *digest;      /* of [0, hashed), no more than sum is
	                                   of; there where that is */
	uint64_t hashed;
	struct fsp_digest *hashing;     /* a thread is at it without the lock */
	struct early *early;            /* encoded already, or NULL */
	bool no_early;                  /* that failed, or is of no use */
	bool no_follow;                 /* nobody hashes behind the writer: the
	                                   spool could not be read */
	bool early_queued;
	uint32_t mask;                  /* attributes that go with the commit */
	struct fsp_attr attr;
	int64_t mtime_ns;
	bool posix_locked;              /* fcntl locks were taken here */
	int64_t closed_ns;              /* when a handle with locks was closed,
	                                   perhaps not for the last time */
	int64_t fence;                  /* the lease under which some of what is
	                                   dirty was written; 0: under none */
	uint64_t writes;                /* changes so far, to see new ones */
	bool queued;                    /* its last snapshot waits */
	bool kept;                      /* what has failed was that, and is in
	                                   kept/ by now */
	uint64_t queued_writes;         /* writes, when that was made */
	struct item *item;              /* under back->lock */
	struct snap *snap;              /* it is a snapshot's own */
	int64_t queued_us;              /* and its close() came then */
	struct fsp_queued_commit end;   /* and this became of it */
};

/* Something to be fetched ahead by a thread of the mount; embedded. */
struct ahead_job {
	struct ahead_job *next;
	bool content;                   /* waits for the object store */
	void (*run)(struct fsp_vfs *v, const struct fsp_ctx *ctx,
	            struct ahead_job *j);
	void (*end)(struct fsp_vfs *v, struct ahead_job *j);    /* frees it */
};

/* How a handle is read. ahead.c */
struct ahead {
	uint64_t end;                   /* of the furthest read of the run */
	uint64_t run;                   /* bytes read in order so far */
	uint64_t window;                /* how far to be ahead, or to begin with
	                                   when until is 0; 0: not known */
	uint64_t until;                 /* so far it was asked for */
};

struct fsp_handle {
	struct fsp_vfs *v;
	struct inode *inode;
	struct file *file;
	atomic_uint refs;               /* its descriptors and calls on it */
	int flags;                      /* open(2) */
	uint64_t id;                    /* never used again: owner of its flock */
	bool commits;                   /* its close does: it writes, or it
	                                   made or emptied the file */
	bool in_session;                /* one of file->open_writers */
	bool flocked;                   /* a flock was taken with it */
	_Atomic int64_t lease;          /* under which it has locks; 0: none */
	struct ahead ahead;             /* under v->ahead.lock */
	uint64_t *owners;               /* of fcntl locks taken through it */
	size_t n_owners;
};

#define INODE_BUCKETS_MIN 1024
#define AHEAD_THREADS 4         /* streams at once, of the whole mount */

struct fsp_vfs {
	struct fsp_store *store;
	struct fsp_cache *cache;
	struct fsp_spool *spool;
	struct fsp_vfs_options options;
	char id[FSP_MOUNT_ID + 1];      /* of this mount */
	int64_t started_us;
	const char *versions_dir;
	int64_t op_timeout_ns;
	uint64_t total_size;
	char *spool_dir;
	struct back *back;              /* commits that wait; NULL: read-only */

	struct fsp_mutex lock;
	struct inode **buckets, **by_name;
	uint64_t n_buckets, n_inodes;
	bool trim;                      /* much was freed */
	uint64_t seq;                   /* of changes made by this mount */
	uint64_t names_seq;             /* of those that ended a name */
	uint64_t links_seq;             /* of those in directories unknown */
	uint64_t others_seq;            /* when others may have changed all, */
	int64_t others_ns;              /* and at what time that was */
	_Atomic uint64_t news_seq;      /* seq when others' were heard of;
	                                   set with lock */
	uint64_t attr_news;             /* counts what inode.news says */
	int64_t expect_until_ns;        /* the table does not shrink before */
	struct dirlist *lists;          /* newest first */
	uint64_t list_entries;          /* in all of them */
	_Atomic uint64_t listings_asked;        /* requests of the kernel */
	struct fsp_cond listing_done;   /* with lock: of an inode */
	uint64_t handle_ids;
	struct inode *root;

	struct fsp_mutex lock_lock;     /* the waits for locks */
	struct fsp_worker lock_worker;
	struct fsp_lock_wait *waits;
	uint64_t lock_events;           /* unlocks here, to try again at once */
	unsigned lock_ending;           /* handles whose locks are given up now */
	uint64_t lock_ended;            /* how many were */

	struct lease *leases;           /* of the locks */

	struct fsp_worker stales_worker;        /* with lock */
	struct fsp_cond stales_done;    /* with lock: an entry was served */
	struct file *stales, **stales_end;

	_Atomic int64_t offline_ns;     /* the database is down since, or 0 */
#define OFFLINE_FILES 4096
	struct inode *known[OFFLINE_FILES];     /* with lock: those with last,
	                                   referenced; a ring */
	unsigned next_known;
	struct {
		struct fsp_mutex lock;
		struct fsp_cond wake;
		struct ahead_job *first, **last;
		unsigned queued, threads, idle, fetching;
		uint64_t asked, given_up;       /* pieces, so far */
		uint64_t max;           /* the widest window; 0: none */
		atomic_bool stop;
		pthread_t thread[AHEAD_THREADS];
	} ahead;

	struct {                        /* with lock */
		struct fsp_worker worker;
		struct inode *first, **last;    /* referenced */
		unsigned n, lost;
		int64_t refused_ns;     /* when the rows could only be read */
		bool taken;             /* some are on their way */
	} lazies;

	struct earlies *earlies;        /* files to be encoded; NULL: none */
	struct retry *retries;          /* opens that are to be tried again */

	struct fsp_mutex feed_lock;     /* what the kernel has to forget */
	struct fsp_worker feed_worker;
	struct forgotten *forgotten, **last_forgotten;
	struct forgotten *again, **last_again;  /* told, and once more later */
	uint64_t forget_asked, forget_done;     /* tickets */

	struct scans *scans;            /* who goes through which directories */
	struct news *news;              /* what others have changed */

	struct fsp_cond names_done;     /* with lock: a change of names ended */
	unsigned names_busy;            /* removals and renames under way */

	struct {                        /* for statfs; with lock */
		struct fsp_worker worker;
		struct fsp_counts last;         /* if known */
		int64_t at_ns, took_ns;
		int err;                        /* of the last time */
		bool known, wanted;             /* wanted: or under way */
	} counts;
};

static inline bool is_file(const struct inode *i)
{
	return S_ISREG(i->type);
}

static inline bool is_dir(const struct inode *i)
{
	return S_ISDIR(i->type);
}

/* table.c: v->lock is held where the name says so */
int inode_table_init(struct fsp_vfs *v);
void inode_table_free(struct fsp_vfs *v);
struct inode *table_find_locked(struct fsp_vfs *v, uint64_t ino);
void table_insert_locked(struct fsp_vfs *v, struct inode *i);
/* So many may come: room for all at once is had for less than piece by piece. */
void table_expect_locked(struct fsp_vfs *v, uint64_t n);
void table_remove_locked(struct fsp_vfs *v, struct inode *i);
/* i->parent and i->name are set; and before they are changed. */
void table_name_locked(struct fsp_vfs *v, struct inode *i);
void table_unname_locked(struct fsp_vfs *v, struct inode *i);
/*
 * The inodes whose last known place is this, one after another: the other
 * hosts may have put another one there.
 */
struct inode *table_at_locked(struct fsp_vfs *v, const struct inode *parent,
                              const char *name, struct inode *after);

/* attr.c. But for the time of the last access. */
bool attr_differs(const struct fsp_attr *a, const struct fsp_attr *b);
/* The rows say this of it: is it news to the kernel? Before i->attr is set. */
void attr_news_locked(struct fsp_vfs *v, struct inode *i,
                      const struct fsp_attr *a);
/*
 * Before an open or a lock is answered: news that another thread has heard, and
 * is just telling the kernel, or was asked for by, may not have come there yet.
 */
void attr_tell_news(struct fsp_vfs *v, struct inode *i);
/*
 * Attributes that were read, or made, after began_ns (by the monotonic clock);
 * as_of as for inode_enter().
 */
void attr_vouch(struct fsp_vfs *v, struct inode *i, int64_t began_ns,
                uint64_t as_of);
void attr_vouch_locked(struct fsp_vfs *v, struct inode *i, int64_t began_ns);
/* Neither this mount nor, as far as was heard, another has changed it since. */
bool attr_known_locked(struct fsp_vfs *v, const struct inode *i);
/* This mount has changed it, or something in it, at time_ns, 0: not known. */
void attr_touched(struct fsp_vfs *v, struct inode *i, int64_t time_ns);
/* What waits is set along, mask 0: nothing else. */
int attr_set_rows(struct fsp_vfs *v, const struct fsp_ctx *ctx, struct inode *i,
                  uint32_t mask, const struct fsp_attr *a);

/* counts.c: at most a second later, and then perhaps old. */
void counts_init(struct fsp_vfs *v);
int counts_get(struct fsp_vfs *v, struct fsp_counts *out);

/* lazy.c */
void lazy_init(struct fsp_vfs *v);
/* Takes over a change that may wait; false: it may not. */
bool lazy_take(struct fsp_vfs *v, struct inode *i, uint32_t mask,
               const struct fsp_attr *a);
/* Around setting attributes: adds what waits. true: lazy_end() is to follow. */
bool lazy_begin(struct fsp_vfs *v, struct inode *i, uint32_t *mask,
                struct fsp_attr *a);
void lazy_end(struct fsp_vfs *v, struct inode *i, int err);
bool lazy_waits_locked(const struct inode *i);
/* i->attr is what the rows say: what came meanwhile is still wanted. */
void lazy_overlay_locked(struct inode *i);
/* Before something else moves the times of this directory; before a sync. */
int lazy_flush(struct fsp_vfs *v, const struct fsp_ctx *ctx, struct inode *i);
int lazy_flush_all(struct fsp_vfs *v, const struct fsp_ctx *ctx);
/* Sets all that waits, and ends the thread. */
void lazy_end_all(struct fsp_vfs *v);

/* inode.c: all take v->lock themselves unless named _locked */
void inode_free(struct inode *i);
/* -ESTALE: parent is below it. */
int inode_set_name_locked(struct fsp_vfs *v, struct inode *i,
                          struct inode *parent, const char *name);

/* A reference for the length of a call; -ESTALE when nobody holds it. */
int inode_ref(struct fsp_vfs *v, uint64_t ino, struct inode **out);
void inode_hold(struct fsp_vfs *v, struct inode *i);
void inode_unref(struct fsp_vfs *v, struct inode *i);
void inode_unref_locked(struct fsp_vfs *v, struct inode *i);
/*
 * The inode of an entry that was found at (parent, name), made when it is not
 * there; counts a look-up where `counted`, and is referenced for the caller.
 * as_of: inode_seq() before the rows were read; what this mount changed since
 * is not overwritten. *out_attr gets the attributes with uncommitted changes.
 * -EAGAIN: others have changed something since; read them again.
 */
uint64_t inode_seq(struct fsp_vfs *v);
int inode_enter(struct fsp_vfs *v, struct inode *parent, const char *name,
                const struct fsp_entry *e, uint64_t as_of, bool counted,
                struct inode **out, struct fsp_attr *out_attr);
/* The same of a list of the parent: only what changed in that counts. */
int inode_enter_listed(struct fsp_vfs *v, struct inode *parent,
                       const char *name, const struct fsp_entry *e,
                       uint64_t as_of, bool counted, struct inode **out,
                       struct fsp_attr *out_attr);
/* When a list was read: v's seq and names_seq before, and the time. */
struct listed {
	uint64_t as_of, names_seq;
	int64_t read_ns;
};
/* Has this mount ended a name in the directory since? */
bool names_ended_locked(struct fsp_vfs *v, const struct inode *dir,
                        const struct listed *l);
/*
 * What a list says of an inode that nobody has looked up yet: entered, counted
 * and vouched for in one go, and not referenced. False: it takes more.
 */
bool inode_enter_first(struct fsp_vfs *v, struct inode *parent,
                       const char *name, const struct fsp_entry *e,
                       const struct listed *l);
/* inode_enter() for what lives in .versions. past (taken over) may be NULL. */
int inode_enter_past(struct fsp_vfs *v, struct inode *parent, const char *name,
                     enum inode_kind kind, const struct fsp_attr *attr,
                     struct past *past);
/* Path from the root, fresh; -ESTALE for one without a name. */
int inode_path(struct fsp_vfs *v, struct inode *i, char **path);
/* For ref.path: as inode_path(), "" for one without a name. */
int inode_path_hint(struct fsp_vfs *v, struct inode *i, char **path);
/* Others may have changed anything. */
void others_changed_locked(struct fsp_vfs *v);
/* This mount has changed it: answers, and lists with it, of before are old. */
void inode_changed_locked(struct fsp_vfs *v, struct inode *i);
/* A change may have been made, or not. */
void inode_unsure(struct fsp_vfs *v, struct inode *i);
/* Its name means something else by now: lists that say otherwise are old. */
void inode_moved_on(struct fsp_vfs *v, struct inode *i);
/*
 * The name (parent, name) has gone; nlink is what is left. content (may be
 * NULL): what it had, for an open that was on its way.
 */
void inode_detach(struct fsp_vfs *v, uint64_t ino, struct inode *parent,
                  const char *name, uint32_t nlink,
                  const struct fsp_content *content);
/* One that nobody has looked up: its attributes come with its name. */
int inode_make(struct fsp_vfs *v, uint64_t ino, struct inode **out);
/* Another host has renamed it just now: whoever opens it may have come by the
 * old name. Waits until the kernel has forgotten that. */
bool inode_renamed(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                   struct inode *i);
bool inode_named(struct fsp_vfs *v, struct inode *i);
/* The live one with that name, as far as this mount knows: counts a look-up and
 * is referenced. Looks through all inodes. NULL: none is known. */
struct inode *inode_find_name(struct fsp_vfs *v, const struct inode *dir,
                              const char *name);
/* This mount has renamed it. */
void inode_move(struct fsp_vfs *v, uint64_t ino, struct inode *from,
                const char *old, struct inode *parent, const char *name);
/*
 * names.c. Around a transaction that ends or moves a name: until the end, rows
 * and memory may say different things.
 */
void names_begin(struct fsp_vfs *v);
void names_end(struct fsp_vfs *v);
void names_settle(struct fsp_vfs *v);   /* waits for those under way */
bool inode_unlinked(struct fsp_vfs *v, struct inode *i);
/* The rows know no name of it: was it removed here, just now perhaps? */
bool inode_lost(struct fsp_vfs *v, struct inode *i);
uint64_t names_seq(struct fsp_vfs *v);  /* before a path is made */
/*
 * A row was not found at this path, which was made after *seen: has a name
 * moved since? Then *path is made anew, and it is to be tried again.
 */
bool path_moved(struct fsp_vfs *v, struct inode *dir, char **path,
                uint64_t *seen);
/* As a transaction that was begun after began_ns has left them; 0: not known. */
void inode_set_attr(struct fsp_vfs *v, struct inode *i, const struct fsp_attr *a,
                    int64_t began_ns);
/*
 * Rows of another mount's version of an open file: its size and time are told
 * when its bytes can be read, those in *e are what was told before.
 */
void inode_hold_back(struct fsp_vfs *v, struct fsp_entry *e);
/* Attributes as an application sees them. */
void inode_attr(struct fsp_vfs *v, struct inode *i, struct fsp_attr *out);

/* file.c: f->lock is held where the name says so */
/* The file of an inode, made where `make`; NULL when there is none. */
int file_get(struct fsp_vfs *v, struct inode *i, bool make, struct file **out);
void file_put(struct fsp_vfs *v, struct inode *i, struct file *f);
void file_set_base_locked(struct file *f, const struct fsp_content *c);
bool file_has_extents_locked(struct file *f);
bool file_is_base_locked(struct file *f);
void file_wait_locked(struct file *f);
/* Until no truncation by path is under way. */
void file_wait_size(struct file *f, const struct fsp_ctx *ctx);
ssize_t file_read(struct fsp_vfs *v, struct file *f, const struct fsp_ctx *ctx,
                  void *buf, size_t len, uint64_t off);
/* off: where the kernel thinks that it goes. */
ssize_t file_write(struct fsp_vfs *v, struct inode *i, struct file *f,
                   const void *buf, size_t len, uint64_t off, bool append);
int file_truncate_locked(struct file *f, uint64_t size);
int file_zero(struct fsp_vfs *v, struct file *f, uint64_t off, uint64_t len,
              bool grow);
int file_grow(struct file *f, uint64_t size);
void file_drop_spool_locked(struct file *f);
struct file *file_new(void);
/* check.c. In debug builds: is it as DESIGN.md says? */
void file_check_locked(struct fsp_vfs *v, struct file *f);
void file_free(struct file *f);         /* of no inode */
/* Was all that it has promised by a close()? */
bool file_saved_locked(struct file *f);
/* Released by base_put(); NULL is fine there. */
int base_get(struct fsp_vfs *v, struct file *f, const struct fsp_ctx *ctx,
             struct base_ref **out);
void base_put(struct base_ref *r);
uint64_t content_tag(const struct fsp_content *c);

/*
 * revalidate.c: a clean file takes what is live now. Pages that do not hold are
 * on their way out afterwards (pages_pinned()).
 */
struct fresh {
	bool keep;              /* the kernel's pages still hold */
	bool stale;             /* its attributes do not, and it is to be told */
	bool news;              /* ... or another thread is about to tell it */
	bool behind;            /* another version is live than the one that
	                           was written over here */
};
int file_revalidate(struct fsp_vfs *v, struct inode *i, struct file *f,
                    const struct fsp_ctx *ctx, struct fresh *out);
/*
 * The same for an open(2), which means a name: -ESTALE where that is another
 * inode's by now. *keep as in struct fresh. To read, what was last known does
 * while the database is down; to write it is -EHOSTDOWN.
 */
int file_open_live(struct fsp_vfs *v, struct inode *i, struct file *f,
                   const struct fsp_ctx *ctx, bool write, bool *keep);
/* Have open handles another content than this one, which is live? */
bool file_behind(struct file *f, const struct fsp_content *c);

/* open.c */
/* A handle is about to change its file: -ENOLCK, under a lock that is lost. */
int handle_writes(struct fsp_handle *h);

/* ahead.c */
void ahead_init(struct fsp_vfs *v);
void ahead_end(struct fsp_vfs *v);
/* The bytes at off were read: what comes next is fetched, where it looks as if
 * it would be read. Waits for nothing. */
void ahead_note(struct fsp_handle *h, uint64_t off, uint64_t len);
/* Nobody reads on with it: what nobody has begun to fetch is not fetched. */
void ahead_leave(struct fsp_handle *h);
/* Pieces of files that were asked for so far, and that were not fetched. */
void ahead_counts(struct fsp_vfs *v, uint64_t *asked, uint64_t *given_up);
/* false: there is too much to do already, and the job is the caller's. */
bool ahead_add(struct fsp_vfs *v, struct ahead_job *j);
void ahead_stop(struct fsp_vfs *v);     /* its threads have ended then */

/*
 * scan.c: who goes through a tree in order finds the next directories listed,
 * and small files fetched where he opens them. DESIGN.md, "Scans".
 */
int scan_init(struct fsp_vfs *v);
void scan_end(struct fsp_vfs *v);
void scan_age(struct fsp_vfs *v);       /* now and then */
/* Something in it was looked up or listed; or a file, to be read, opened. */
void scan_visit(struct fsp_vfs *v, struct inode *dir);
void scan_open(struct fsp_vfs *v, struct inode *file);
/*
 * scan_fetch.c: FSP_LIST_MANY slots of a list at the most; of directories what
 * is in them, and with `content` the small files. false: not now.
 */
struct dirlist;
/* scan.c: files of a directory, or `below` it, are there now; of those that many
 * were missing. Where none is, it is some time until more are tried. */
void scan_fetched(struct fsp_vfs *v, uint64_t dir, bool below, size_t missing);
/* For rows: as long as a call would wait for them now. */
struct fsp_ctx scan_ctx(struct fsp_vfs *v, const struct fsp_ctx *ctx);
bool scan_fetch(struct fsp_vfs *v, struct dirlist *l, const size_t *slots,
                size_t n, bool content);

/* pages.c */
int pages_init(struct fsp_vfs *v);
/*
 * The content has become another one (under f->lock, so that nobody saw it
 * yet): the kernel's pages go, and until they have gone it is told no greater
 * size than this. _locked: v->lock is held.
 */
void pages_drop(struct fsp_vfs *v, struct inode *i, struct file *f,
                uint64_t size);
void pages_drop_locked(struct fsp_vfs *v, struct inode *i, struct file *f,
                       uint64_t size);
/* The kernel's attributes of it are stale, and its pages: not at the end, when
 * it has no inodes any more. */
void pages_tell(struct fsp_vfs *v, struct inode *i, bool pages);
/*
 * The attributes that are about to be told, with a pinned size, must not cut or
 * grow the file in the kernel: what was asked before this, it only passes on.
 */
void pages_no_size(struct fsp_vfs *v, struct inode *i);
/* What a caller here wrote or resized the kernel knows by itself. */
void pages_written(struct fsp_vfs *v, struct file *f, uint64_t end);
void pages_resized(struct fsp_vfs *v, struct file *f, uint64_t size);
bool pages_pinned(struct fsp_vfs *v, struct file *f);
void pages_settle(struct fsp_vfs *v, struct file *f);   /* waits a little */
/* The greatest that may be told: size, where nothing is pinned. */
uint64_t pages_told_locked(struct fsp_vfs *v, struct file *f, uint64_t size);
/* w->done() is called when those on their way out by now have gone. */
void pages_wait(struct fsp_vfs *v, struct inode *i, struct file *f,
                struct fsp_pages_wait *w);
/* Open handles are to take the version that is live. */
void pages_refresh(struct fsp_vfs *v, struct inode *i, struct file *f);
void pages_refresh_locked(struct fsp_vfs *v, struct inode *i, struct file *f);

/* lock.c */
/* Gives up what was locked through a handle that ends. */
void handle_unlock(struct fsp_handle *h);
/* A descriptor of it was closed. */
void handle_closes(struct fsp_handle *h);
/*
 * Once, and shows what others have committed. -EAGAIN: somebody has it: *blocker
 * is its owner, 0 where that is another mount's.
 */
int lock_take(struct fsp_handle *h, const struct fsp_ctx *ctx,
              const struct fsp_lock_request *r, uint64_t *blocker);

/* lock_wait.c */
void locks_init(struct fsp_vfs *v);
/* Something was unlocked here: those that wait try again. */
void locks_wake(struct fsp_vfs *v);
/* It is tried until it succeeds; -errno: it is not, and is to be answered. */
int lock_queue(struct fsp_vfs *v, struct fsp_lock_wait *w);
/* Calls its done(), for a lock when the kernel can read what is there. */
void lock_answer(struct fsp_lock_wait *w, int err);

/*
 * offline.c. Notes what the database has answered to a call: true when that was
 * nothing and what is known here is to be used instead, where anything is.
 */
bool offline(struct fsp_vfs *v, int err);
/* The same, where nothing is known here; returns err. */
int answered(struct fsp_vfs *v, int err);
/* What the file has is known from now on; clean, its last reference goes. */
void offline_keep_locked(struct fsp_vfs *v, struct inode *i, struct file *f);
/* Rows that were read since `as_of` say what it has now. */
void offline_note_locked(struct fsp_vfs *v, struct inode *i,
                         const struct fsp_content *c, uint64_t as_of);
/* 0 (counts a look-up) or -EHOSTDOWN: it is not known. */
int offline_lookup(struct fsp_vfs *v, struct inode *dir, const char *name,
                   struct fsp_attr *out);
int offline_open(struct fsp_vfs *v, struct inode *i, struct file *f,
                 bool *keep);

/*
 * lease.c: the locks of a mount are its own while its lease is renewed.
 * DESIGN.md, "Leases".
 */
int lease_init(struct fsp_vfs *v);
void lease_stop(struct fsp_vfs *v);     /* it is not renewed any more */
void lease_end(struct fsp_vfs *v);
/* The present one's name: fsp_mountinfo.started_us. */
int64_t lease_now(struct fsp_vfs *v);
/* Before a lock is asked for: the lease lasts, under *lease. -ENOLCK: others of
 * this handle's locks are lost. */
int lease_ensure(struct fsp_handle *h, const struct fsp_ctx *ctx,
                 enum fsp_lock_kind kind, int64_t *lease);
void lease_took(struct fsp_handle *h, int64_t lease);
void lease_gave(struct fsp_handle *h);  /* it has no locks any more */
/* Before content is changed: -ENOLCK when the handle's locks are lost. */
int lease_fence(struct fsp_handle *h);
/* Did the database not answer, or none that can be written to? */
bool lease_is_trouble(int err);
/* Then nobody could renew. */
void lease_trouble(struct fsp_vfs *v);
/* Has a mount been seen with this lease for too long? */
bool lease_overdue(struct fsp_vfs *v, const struct fsp_mountinfo *i);
/* vfs.c: tells the others of this mount, whose lease has that name. */
int mount_register(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                   int64_t lease);

/*
 * retry.c: an open that was answered with -ESTALE is tried once more by the
 * kernel, after a look-up of the name: what that found is good for the open,
 * whatever happens to the name in between.
 */
int retry_init(struct fsp_vfs *v);
void retry_end(struct fsp_vfs *v);
/* The open of this thread is answered with -ESTALE: it was not this inode (0: it
 * was met by its name). */
void retry_begin(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t ino);
/* A look-up of this thread found this, or (NULL) nothing: the second time only
 * a creation may follow. */
void retry_found(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                 const struct inode *dir, const char *name,
                 const struct fsp_entry *e);
/* Has it been answered so, and not been tried again yet? */
bool retry_waits(struct fsp_vfs *v, const struct fsp_ctx *ctx);
/* The same for a creation of this name, which met a file. */
bool retry_makes(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                 const struct inode *dir, const char *name);
enum retry_state {
	RETRY_NO,               /* the first try */
	RETRY_SAME,             /* the second; nothing was looked up, so it was
	                           not opened by name: /proc/self/fd */
	RETRY_FOUND             /* the second, of what the look-up found */
};
/* Either way the trying is over. *content: what was found had. */
enum retry_state retry_take(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                            uint64_t ino, struct fsp_content *content);

/*
 * feed.c: what the kernel is to forget, told by one thread in this order.
 * Each gives a ticket; 0: it cannot be told, and the kernel's time-outs do it.
 */
enum forget {
	FORGET_NAME,            /* the entry is not what is there */
	FORGET_AGE,             /* the entry is to be looked up again */
	FORGET_LISTING          /* of the directory, and its attributes */
};
void feed_init(struct fsp_vfs *v);
/* name: of an entry in ino, else "". */
uint64_t later_forget(struct fsp_vfs *v, enum forget what, uint64_t ino,
                      const char *name);
/* The same, and once more in a second, without a ticket. */
void forget_twice(struct fsp_vfs *v, enum forget what, uint64_t ino,
                  const char *name);
/* Tells it now: only from a thread that no request waits for. */
void forget_now(struct fsp_vfs *v, enum forget what, uint64_t ino,
                const char *name);
uint64_t forget_ticket(struct fsp_vfs *v);      /* the last one */
/* Until it has forgotten, or that time has come; false then. Not from a caller
 * that may hold a directory's lock in the kernel. */
bool forget_wait(struct fsp_vfs *v, uint64_t ticket, int64_t until_ns);

/* news.c: what others have changed. */
int news_begin(struct fsp_vfs *v);
void news_end(struct fsp_vfs *v);       /* before the table goes */
void news_free(struct fsp_vfs *v);
/* May the kernel keep things until it is told otherwise? */
bool news_vouch(struct fsp_vfs *v);
/* Waits until all that others had done by now is known here. */
int news_catch_up(struct fsp_vfs *v, const struct fsp_ctx *ctx);
/* The kernel has now a whole listing, to be dropped when it is old. */
void news_listed(struct fsp_vfs *v, struct inode *dir);

/* dirlist.c */
void lists_free(struct fsp_vfs *v);
void lists_age(struct fsp_vfs *v);      /* now and then */

/* digest.c: f->lock is held where the name says so */
/* From here on a writer does not wait for what is made of his content. */
#define EARLY_MIN (8U << 20)
void digest_write_locked(struct file *f, const void *buf, size_t len,
                         uint64_t off);
/* What is at off and above is not what it was. */
void digest_cut_locked(struct file *f, uint64_t off);
/* What was hashed, and encoded early, is not how the content begins. */
void file_drop_digest_locked(struct file *f);
/* How much of what was written is not hashed, and nobody is at it. */
uint64_t digest_behind_locked(struct file *f);
/*
 * The digest, or NULL, for the caller alone until he gives it back; waits for
 * whoever is at it. added: by so much he has updated it.
 */
struct fsp_digest *digest_take_locked(struct file *f);
void digest_give_locked(struct file *f, struct fsp_digest *d, uint64_t added,
                        int err);
/*
 * Of a busy file's content; what was not hashed behind the writer is now.
 * -ENOENT: it was not written in order. -EIO: it is not what was written.
 */
int file_digests(struct fsp_vfs *v, struct file *f, const struct fsp_ctx *ctx,
                 struct fsp_digests *out);

/* early.c: f->lock is held where the name says so */
void early_init(struct fsp_vfs *v);
void early_stop(struct fsp_vfs *v);     /* before the files are settled */
void early_end(struct fsp_vfs *v);
/* More was written: encodes it, when there is time. */
void early_note_locked(struct fsp_vfs *v, struct inode *i, struct file *f);
/* It is not how the content begins any more. */
void early_drop_locked(struct file *f);
/* What there is, the caller's by now; NULL: nothing. Lets go of the lock where
 * a piece is just being encoded. */
struct early *early_take_locked(struct file *f);
void early_free(struct early *e);
/* For a put of that size; NULL: it is of no use. */
struct fsp_early *early_work(struct early *e, uint64_t size);

/* merge.c */
/* Nothing is written that a newer version could have to be merged with. */
void merge_reset_locked(struct file *f);
/*
 * Another host's version is live now: the written ranges and appends go over
 * that one. The file is busy, so nobody writes.
 */
int file_rebase(struct fsp_vfs *v, struct inode *i, struct file *f,
                const struct fsp_content *c);

/* commit.c */
enum commit_kind {
	COMMIT_FLUSH,           /* some descriptor was closed */
	COMMIT_FLUSH_STORED,    /* that gives up locks */
	COMMIT_FULL,            /* the last one was */
	COMMIT_STORED,          /* a lock is given up: never waits behind */
	COMMIT_SYNC             /* fsync(2): once more, after an error, too */
};
int file_commit(struct fsp_vfs *v, struct inode *i, const struct fsp_ctx *ctx,
                enum commit_kind kind);
/* A descriptor is closed: what cannot be committed is kept aside. */
int file_close(struct fsp_vfs *v, struct inode *i, const struct fsp_ctx *ctx,
               enum commit_kind kind);
/* Object, then row, merged where that must be; *o and *e are what is live. */
int commit_content(struct fsp_vfs *v, struct inode *i, struct file *f,
                   const struct fsp_ctx *ctx, struct fsp_object *o,
                   struct fsp_buf *index, struct fsp_entry *e);
/* commit_row.c: how long a row may take, and the row, o NULL: only its name. */
struct fsp_ctx row_ctx(struct fsp_vfs *v, const struct fsp_ctx *ctx);
int commit_row(struct fsp_vfs *v, struct inode *i, struct file *f,
               const struct fsp_ctx *ctx, const struct fsp_object *o,
               struct fsp_entry *e);
/* The file is clean and has what *e says. f->lock is held; began_ns as above. */
void committed_locked(struct fsp_vfs *v, struct inode *i, struct file *f,
                      const struct fsp_entry *e, int64_t began_ns);
void offer_to_cache(struct fsp_vfs *v, struct file *f,
                    const struct fsp_object *o);
/*
 * What has failed goes to kept/ and the file has what is queued, or live; not
 * `keep`: it is there already, and was the last that was queued. hint (may be NULL): the path of an inode without a name.
 */
void file_give_up(struct fsp_vfs *v, struct inode *i, struct file *f,
                  const struct fsp_ctx *ctx, const char *hint, bool keep);
/* The last handle of a file has gone, or the mount ends. */
void file_settle(struct fsp_vfs *v, struct inode *i);

/* back.c, back_snap.c: commits that wait */
int back_init(struct fsp_vfs *v);
void back_start(struct fsp_vfs *v);     /* what was taken over goes on */
/* Waits until nothing waits any more; close() stores by itself from now on. */
void back_drain(struct fsp_vfs *v);
void back_end(struct fsp_vfs *v);
/* Does a close() of this kind only queue? */
bool back_wanted(struct fsp_vfs *v, enum commit_kind kind);
/* Is anything queued at all? */
bool back_any(struct fsp_vfs *v);
/*
 * Waits for room; false: there is none in time. What was found is kept for the
 * caller until back_room_end(), so that many at once do not find the same.
 */
bool back_room(struct fsp_vfs *v, struct file *f, const struct fsp_ctx *ctx,
               uint64_t *room);
void back_room_end(struct fsp_vfs *v, uint64_t room);
/* The file is busy. Promised, durably, when it returns 0. */
int back_queue(struct fsp_vfs *v, struct inode *i, struct file *f);
/* Stores what waits of this file, in this thread; 0 where nothing does. */
int back_store(struct fsp_vfs *v, struct file *f, const struct fsp_ctx *ctx);
/* The same for an inode that this mount may have queued. */
int back_store_ino(struct fsp_vfs *v, uint64_t ino, const struct fsp_ctx *ctx);
/* Its last name has gone: nothing of it is to be stored. */
void back_dropped(struct fsp_vfs *v, uint64_t ino);
/* f->lock is held: it has the last snapshot's content again, where there is
 * one; false: nothing of it waits. */
bool back_restore_locked(struct fsp_vfs *v, struct file *f);
/* The snapshot's content was merged: its record must say so. */
int back_rebased(struct fsp_vfs *v, struct inode *i, struct file *f);
/* Adds "; N files ..." where something waits. */
int back_health(struct fsp_vfs *v, struct fsp_buf *out);

/* back_take.c: for fsp_spool_reap() */
int back_take(struct fsp_vfs *v, const char *id, int dirfd);
/* The names of what a dead mount has queued are to stay. */
int back_keep_names(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                    const char *spool, const char *id);

/* versions.c: look-ups are counted */
int versions_lookup(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                    struct inode *dir, const char *name,
                    struct fsp_attr *out);
int versions_root(struct fsp_vfs *v, struct inode *dir, struct fsp_attr *out);
/* Names and entries; those of INODE_VERSIONS need a look-up each. */
int versions_list(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                  struct inode *dir, fsp_meta_each each, void *arg);
/* Counts a look-up for an entry that versions_list() gave. */
int versions_enter(struct fsp_vfs *v, struct inode *dir, const char *name,
                   const struct fsp_entry *e, struct fsp_attr *out);
int versions_readlink(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                      struct inode *i, char **target);

/* A context that only the caller's cancellation ends: for moving content. */
struct fsp_ctx content_ctx(const struct fsp_ctx *ctx);

#endif
