/*
 * The rows: names, inodes, versions and objects.
 *
 * One interface, written over SQL; DESIGN.md gives the tables and the
 * invariants. Every call that changes something is one transaction: all of it
 * or nothing, also under kill -9. Any thread may call. Paths as in fsp_path.h.
 *
 * Errors everywhere: -EHOSTDOWN database unavailable, -ETIMEDOUT deadline or
 * lock wait, -EROFS read-only store, -ENOSPC, -EIO damaged database,
 * -ENOMEM, -EINVAL bad path, -ENAMETOOLONG.
 */
#ifndef FSP_META_H
#define FSP_META_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "fsp_hash.h"
#include "fsp_step.h"

struct fsp_buf;
struct fsp_ctx;
struct fsp_meta;

/* inode numbers; DESIGN.md "Inode numbers" */
#define FSP_INO_ROOT 1ULL
#define FSP_INO_FIRST 16ULL             /* allotted by the node table */
#define FSP_INO_ROW (1ULL << 61)        /* + id of the first row PHP wrote */
#define FSP_INO_DIR (1ULL << 62)        /* + hash of an implicit directory */

struct fsp_attr {
	uint64_t ino;
	uint32_t mode;                  /* type and permissions */
	uint32_t uid, gid;
	uint32_t nlink;                 /* 1 for directories */
	uint64_t size, rdev;
	int64_t atime_ns, mtime_ns, ctime_ns;
};

/* What a file holds; row 0: created, nothing committed yet (empty). */
struct fsp_content {
	int64_t row;
	char hash[FSP_HASH_MAX + 1];
	uint64_t size;
};

struct fsp_entry {
	struct fsp_attr attr;
	struct fsp_content content;     /* regular files */
	int64_t holder;                 /* directories: whose delegation it is
	                                   (fsp_meta_holder()), negative when
	                                   it is recalled; 0: nobody's */
};

#define FSP_LIST_MANY 8

/* Called for each entry; name is valid during the call. Non-zero stops. */
typedef int (*fsp_meta_each)(void *arg, const char *name,
                             const struct fsp_entry *e);

/* One of the directories that are listed together. */
struct fsp_listing {
	const char *dir;                /* its path */
	fsp_meta_each each;
	void *arg;
	bool done;                      /* each() was called for all of it */
};

/*
 * An entry that is already known: by inode number, with the path it was last
 * seen at. A number without a live name and without a row at the path is
 * -ESTALE.
 */
struct fsp_ref {
	uint64_t ino;
	const char *path;
};

#define FSP_SETATTR_MANY 16
struct fsp_setattr {
	struct fsp_ref ref;
	uint32_t mask;
	struct fsp_attr attr;
	int err;                /* 0 or -ESTALE, and then there is no out */
	struct fsp_entry out;
};

/* A place for a new entry. dir_ino (0 = any) guards against a renamed dir. */
struct fsp_place {
	uint64_t dir_ino;
	const char *dir;
	const char *name;
	uint64_t stub_ino;      /* remove: only the name of this inode, and only
	                           while it has no content; 0 = any */
};

struct fsp_new {
	uint32_t mode;          /* type and permissions, umask applied */
	uint32_t uid, gid;      /* setgid of the parent is applied below */
	uint64_t rdev;
	const char *target;     /* symlinks */
	const char *owner;      /* regular: the mount's id; the name is pending */
	int64_t holder;         /* directories: to be delegated to this one */
};

enum fsp_attr_mask {
	FSP_SET_MODE = 1, FSP_SET_UID = 2, FSP_SET_GID = 4,
	FSP_SET_ATIME = 8, FSP_SET_MTIME = 16, FSP_SET_CTIME = 32
};

/* Those that the mask names; of the mode its permissions. */
void fsp_attr_copy(uint32_t mask, const struct fsp_attr *from,
                   struct fsp_attr *to);

/* An object that was read or written whole and verified. */
struct fsp_object {
	char key[FSP_HASH_MAX + 1];     /* data_hash, the object's key */
	char sha256[65], sha1[41];
	uint64_t size, stored;
	char format[32];                /* fsp_format_name() */
	int64_t verified_us;
	int64_t recorded_us;            /* verified_us as it was read; where it
	                                   is the same, nothing is recorded */
	/*
	 * Where it is written: its packed index of blocks, which goes with it
	 * (fsp_blocks.h). Empty: it has none. NULL: what is recorded stays.
	 */
	const struct fsp_buf *blocks;
};

/* A commit that close() promised some time ago. */
enum fsp_queued_end {
	FSP_QUEUED_LIVE,        /* a version like any other */
	FSP_QUEUED_BEFORE,      /* its row was there already: nothing was done */
	FSP_QUEUED_PAST         /* what is live is newer: a closed row */
};

struct fsp_queued_commit {
	int64_t at_us;                  /* when close() was called */
	enum fsp_queued_end end;        /* set */
	struct fsp_content stored;      /* set: its own row */
};

struct fsp_commit {
	struct fsp_ref ref;
	const char *owner;              /* whose pending name it may be */
	int64_t base_row;               /* the version it was written over; 0 */
	bool require_base;              /* -EAGAIN when that is not live any more */
	bool await_php;                 /* -EINPROGRESS for some of -ESTALE */
	/*
	 * Recorded in the same transaction where verified_us is set. NULL: no
	 * content yet, but the pending name is to outlive its mount.
	 */
	const struct fsp_object *object;
	/*
	 * NULL, or: where base_row is not live any more, its own row is looked
	 * for first (inode, content and mtime, newer than base_row), and a live
	 * version that was stored after at_us is not replaced. *out is what is
	 * live.
	 */
	struct fsp_queued_commit *queued;
	int64_t collapse_row;           /* 0, or what the same open file has
	                                   committed before: see thin_ns */
	/*
	 * started_us of the owner's lease under which locks were held while
	 * this was written; 0: none was. -ENOLCK when that lease is lost.
	 */
	int64_t fence;
	uint32_t mask;                  /* attributes to set as well */
	struct fsp_attr attr;           /* mtime_ns always counts */
};

/*
 * Entries that were made in a delegated directory, or below it, and are to be
 * rows now: all or none of them, in one transaction. DESIGN.md, "Delegations".
 */
struct fsp_birth {
	uint64_t ino;                   /* of new_ino() */
	const char *dir;                /* below the root, "": in the root */
	const char *name;
	struct fsp_attr attr;           /* a directory's or a regular file's;
	                                   owner, mode and times are as here */
	int64_t age_ns;                 /* so long ago it was made: as of then a
	                                   directory is there */
	const char *owner;              /* files without content: whose pending
	                                   name it is; NULL: it stays */
	const struct fsp_commit *commit;        /* of a file: its first content.
	                                   ref, owner, base_row, require_base
	                                   and fence do not count */
	bool maybe;                     /* it may be there: look in any case */
	bool was_there;                 /* set: the place had this very inode
	                                   already; nothing was done, nor
	                                   committed */
	struct fsp_entry out;           /* set, as create() or commit() would */
};

struct fsp_touch {
	uint64_t ino;                   /* of a directory */
	int64_t time_ns;                /* its mtime and ctime */
};

struct fsp_graft {
	struct fsp_ref root;            /* the path is a hint; ino 0: whatever
	                                   directory is at the path */
	int64_t holder;                 /* whose delegation it has to be; 0:
	                                   that does not matter */
	struct fsp_birth *births;       /* parents before what is in them */
	size_t n;
	const struct fsp_touch *touches;
	size_t n_touches;
	bool durable;                   /* also where nothing has content */
};

/* What became of a delegation. */
enum fsp_deleg {
	FSP_DELEG_HELD,
	FSP_DELEG_RECALLED,     /* another mount asks for it */
	FSP_DELEG_SHARED,       /* PHP has written a live row below it */
	FSP_DELEG_LOST          /* another mount took it */
};
#define FSP_DELEG_MOST 16               /* of one mount at a time */

/* A mount as fsp_entry.holder; never 0. */
int64_t fsp_meta_holder(const char *mount_id);

struct fsp_version {
	int64_t row;
	int64_t stored_us;              /* when the content was stored */
	int64_t closed_us;              /* superseded or deleted; 0 = live */
	struct fsp_attr attr;           /* its mode, owner, mtime, size */
	char hash[FSP_HASH_MAX + 1];
	const char *path;               /* where it was; valid during the call */
};
typedef int (*fsp_meta_version)(void *arg, const struct fsp_version *v);

enum fsp_past { FSP_PAST_FILE, FSP_PAST_DIR };

/* Renaming: what happened, so that the caller can follow. */
struct fsp_renamed {
	uint64_t ino;                   /* what moved */
	uint64_t replaced;              /* what was there, 0 = nothing */
	uint32_t replaced_nlink;        /* names it still has */
	struct fsp_content replaced_content;
	struct fsp_entry entry;         /* what moved, as it is now */
	int64_t row;                    /* of its content, before */
};

struct fsp_counts {
	uint64_t files, dirs, others, versions, pending;
	uint64_t logical;               /* bytes of the live files */
	uint64_t versions_bytes;        /* bytes of all versions, as if plain */
	uint64_t objects, objects_bytes;/* distinct content, plain */
	uint64_t stored_bytes;          /* as stored */
};

struct fsp_account {
	const char *name;
	uint64_t files, versions, logical, versions_bytes;
	uint64_t objects, objects_bytes, stored_bytes;  /* its distinct content */
};

struct fsp_mountinfo {
	const char *id, *host, *path;
	int64_t pid, started_us;        /* started_us also names its lease: a
	                                   new one after the loss of one */
	bool read_only;
	const char *spool;              /* whose lock says that it lives; ""
	                                   where that is not known */
	int64_t lease_us;               /* until when its locks are its own, by
	                                   the database's clock; or: */
#define FSP_LEASE_TAKEN 0               /* they were taken from it */
#define FSP_LEASE_NONE (-1)             /* it has had none */
};

/* What another mount, PHP or somebody's SQL has changed. */
struct fsp_change {
	const char *path;               /* of an entry; NULL: all that was known
	                                   may have changed */
	uint64_t ino;                   /* 0: not known */
	bool named;                     /* the name came, went, or means another
	                                   inode now */
	bool foreign;                   /* by no mount: directories above it may
	                                   have come or gone with it */
};
typedef int (*fsp_meta_change)(void *arg, const struct fsp_change *c);
struct fsp_feed;                        /* where a reader of changes is */
void fsp_feed_free(struct fsp_feed *f); /* NULL is fine */

#define FSP_MOUNT_ID 32                 /* hex digits */

enum fsp_lock_kind { FSP_LOCK_POSIX, FSP_LOCK_FLOCK };

struct fsp_flock {
	uint64_t ino;
	enum fsp_lock_kind kind;        /* they do not see each other */
	char mount[FSP_MOUNT_ID + 1];
	uint64_t owner;                 /* within the mount */
	int type;                       /* F_RDLCK F_WRLCK F_UNLCK */
	uint64_t start, end;            /* bytes, both included */
	int64_t pid;
};

enum fsp_rename_flags { FSP_RENAME_NOREPLACE = 1, FSP_RENAME_EXCHANGE = 2 };

/* For tests and status. trips: waits for an answer of the database. */
struct fsp_meta_stats {
	uint64_t reads, writes, retries, trips;
};

struct fsp_meta_ops {
	/* known: it was there before, and most likely is. */
	int (*lookup)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	              const char *dir, const char *name, bool known,
	              struct fsp_entry *out);
	int (*getattr)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	               const struct fsp_ref *ref, struct fsp_entry *out);
	/* The same of what is at ref->path: -ESTALE where that is another
	 * inode, or nothing. For what was looked up there as a file. */
	int (*getattr_at)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                  const struct fsp_ref *ref, struct fsp_entry *out);
	/* The live entries of a directory, in no order, without . and ..; with
	 * more than `most` -E2BIG, before it costs much, and -EAGAIN where they
	 * are just being made; 0: as many as come. */
	int (*list)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	            const char *dir, size_t most, fsp_meta_each each,
	            void *arg);
	/*
	 * Those of several records, FSP_LIST_MANY at the most, for hardly more
	 * than those of one. One that is not `done` says nothing: it is empty,
	 * has more than `most`, takes another statement, is no record, or is
	 * not there.
	 */
	int (*list_many)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                 struct fsp_listing *l, size_t n, size_t most);
	/* Fresh memory, the caller frees it. */
	int (*readlink)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                uint64_t ino, char **target);

	/* Anything but the content of a regular file. -EEXIST -ENOENT -ESTALE */
	int (*create)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	              const struct fsp_place *at, const struct fsp_new *what,
	              struct fsp_entry *out);
	int (*setattr)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	               const struct fsp_ref *ref, uint32_t mask,
	               const struct fsp_attr *attr, struct fsp_entry *out);
	/* Several at once, FSP_SETATTR_MANY at the most, each with its own
	 * -ESTALE; any other error is that of all. */
	int (*setattr_many)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                    struct fsp_setattr *v, size_t n);
	/*
	 * A new version of a regular file under every name it has. Durable
	 * when it returns 0. Same content as the live row: no new row.
	 * -ESTALE: the file has no name any more. -EINPROGRESS, if await_php:
	 * it has none since a few seconds, by PHP, which may be about to
	 * overwrite it.
	 */
	int (*commit)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	              const struct fsp_commit *c, struct fsp_entry *out);
	/* dir: rmdir (-ENOTDIR -ENOTEMPTY), else unlink (-EISDIR). out: as it
	 * is after, nlink counted down. */
	int (*remove)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	              const struct fsp_place *at, bool dir,
	              struct fsp_entry *out);
	int (*link)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	            const struct fsp_ref *ref, const struct fsp_place *to,
	            struct fsp_entry *out);
	/* POSIX's rename; -EXDEV when a directory has more than max_rows. */
	int (*rename)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	              const struct fsp_place *from, const struct fsp_place *to,
	              uint32_t flags, struct fsp_renamed *out);
	/* Everything that returned before is durable now. */
	int (*sync)(struct fsp_meta *m, const struct fsp_ctx *ctx);

	/* A verified object with that content (by either digest), else -ENOENT. */
	int (*object_find)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                   const char *sha256, const char *sha1, uint64_t size,
	                   struct fsp_object *out);
	/* By key; -ENOENT for what nobody has verified. */
	int (*object_get)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                  const char *key, struct fsp_object *out);
	/* The same, and its index; an empty one where it has none. */
	int (*object_blocks)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                     const char *key, struct fsp_object *out,
	                     struct fsp_buf *blocks);
	/* verified_us 0: it was found damaged, object_find() passes it by, and
	 * it has no index any more. */
	int (*object_put)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                  const struct fsp_object *o);
	/* Every key that a row names, with its plain size. */
	int (*object_each)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                   int (*each)(void *arg, const char *key,
	                               uint64_t size), void *arg);

	/* The rows that name an object, live ones first, and where they are (""
	 * for a hidden row); 16 at the most. Non-zero stops and comes back. */
	int (*object_rows)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                   const char *key,
	                   int (*each)(void *arg, int64_t row,
	                               const char *path), void *arg);

	/*
	 * The stored versions of the file name at path, old to new, with those
	 * of its predecessors under other names, and of what had this name in
	 * its directory while that, or one above it, had another; a rename is
	 * no version. -ENOENT when there never was a file.
	 */
	int (*history)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	               const char *path, fsp_meta_version each, void *arg);
	/* Names in dir that have history: files (live ones, too), and
	 * directories that are gone; also from before dir was renamed. */
	int (*past_names)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                  const char *dir,
	                  int (*each)(void *arg, const char *name,
	                              enum fsp_past kind), void *arg);
	/* When the directory at path last ended, to be listed just before, and
	 * the path that it had then (fresh); -ENOENT when it is live or never
	 * was. */
	int (*dir_ended)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                 const char *path, int64_t *at_us, char **was);
	/* A directory's entries as they were at a time, and one of them. */
	int (*list_at)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	               const char *dir, int64_t at_us, fsp_meta_each each,
	               void *arg);
	int (*lookup_at)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                 const char *dir, const char *name, int64_t at_us,
	                 struct fsp_entry *out);

	/* Where a directory of today was then; -ENOENT: it was not. */
	int (*path_at)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	               const struct fsp_ref *ref, int64_t at_us, char **path);

	/* implied: also the directories that only rows make, for which all of
	 * PHP's rows are gone through. */
	int (*counts)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	              bool implied, struct fsp_counts *out);
	int (*accounts)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                int (*each)(void *arg, const struct fsp_account *a),
	                void *arg);

	/*
	 * Extended attributes, by inode: any name and value that the caller
	 * lets through. get replaces *out; -ENODATA. set: flags as of
	 * setxattr(2), -EEXIST -ENODATA, -ENOSPC beyond 64 KiB in all.
	 */
	int (*xattr_get)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                 uint64_t ino, const char *name, struct fsp_buf *out);
	int (*xattr_list)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                  uint64_t ino, int (*each)(void *arg, const char *name),
	                  void *arg);
	int (*xattr_set)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                 const struct fsp_ref *ref, const char *name,
	                 const void *value, size_t len, int flags);
	int (*xattr_remove)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                    const struct fsp_ref *ref, const char *name);

	/*
	 * Locks, advisory, among all mounts. set replaces what the same owner
	 * had in the range (F_UNLCK: takes it away); -EAGAIN with what is in
	 * the way in *conflict. get: what would be, type F_UNLCK for nothing.
	 */
	int (*lock_set)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                const struct fsp_flock *l, struct fsp_flock *conflict);
	int (*lock_get)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                const struct fsp_flock *l, struct fsp_flock *conflict);

	/* Facts about the store by name; -ENOENT where nobody has set one. */
	int (*info_get)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                const char *name, struct fsp_buf *out);
	int (*info_set)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                const char *name, const char *value);

	int (*mount_add)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                 const struct fsp_mountinfo *i);
	/* Also removes the pending names and the locks that the mount left. */
	int (*mount_remove)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                    const char *id);
	/*
	 * The mount's locks are its own for lease_ns from now. -ENOLCK: they
	 * were taken from it, or it was removed; it goes on by mount_add() with
	 * another started_us.
	 */
	int (*lease_renew)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                   const char *mount, int64_t started_us,
	                   int64_t lease_ns);
	/*
	 * Removes all locks of a mount whose lease has ended. -EAGAIN: it has
	 * not, or is another one than the caller saw.
	 */
	int (*lease_revoke)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                    const char *mount, int64_t lease_us);
	/* A number that nothing has had, nor will have by another call. */
	int (*new_ino)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	               uint64_t *ino);
	/*
	 * -ENOLCK: the root is not delegated to its holder (any more); -ESTALE:
	 * it has no name, or is no directory; -EEXIST: one of the places has
	 * another inode. Durable where a birth has content, or on demand. What
	 * PHP wrote to a place is what the content is written over.
	 */
	int (*graft)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	             const struct fsp_graft *what);
	/* One statement; the path is where its rows are looked for. */
	int (*deleg_poll)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                  int64_t holder, const struct fsp_ref *dir,
	                  enum fsp_deleg *out);
	/* Gives up those that are still held, recalled or not. */
	int (*deleg_release)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                     int64_t holder, const uint64_t *inos, size_t n);
	/*
	 * 0: the directory is nobody's (any more), or its holder was a mount
	 * that is gone. -EAGAIN: its holder is asked to give it up. force: it
	 * is taken from him.
	 */
	int (*deleg_recall)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                    uint64_t ino, bool force);
	/*
	 * What others have changed since the last call with this feed (*feed
	 * NULL: begins one, and everything may have changed). Each change is
	 * told at least once. -ENOTSUP where nobody writes that down.
	 */
	int (*changes)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	               struct fsp_feed **feed, fsp_meta_change each, void *arg);
	/* Now and then: removes what every reader has read long ago. */
	int (*changes_purge)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                     struct fsp_feed *f);
	int (*mount_each)(struct fsp_meta *m, const struct fsp_ctx *ctx,
	                  int (*each)(void *arg, const struct fsp_mountinfo *i),
	                  void *arg);
	/* Since it was opened. */
	void (*stats)(struct fsp_meta *m, struct fsp_meta_stats *out);
	void (*close)(struct fsp_meta *m);
};

/* Every implementation's struct begins with this. */
struct fsp_meta {
	const struct fsp_meta_ops *ops;
};

/* How the rows that PHP alone wrote look, and the limits. */
struct fsp_meta_options {
	uint32_t file_mode, dir_mode;   /* permission bits */
	uint32_t uid, gid;
	uint64_t rename_max_rows;
	int64_t busy_timeout_ns;
	/*
	 * A version younger than this that was empty, or that the same open
	 * file had committed before, gives way to its successor. 0: never.
	 */
	int64_t thin_ns;
	/*
	 * So does one that comes when a file has this many versions younger
	 * than thin_ns: a loop that appends keeps the newest. 0: no limit.
	 */
	int64_t thin_versions;
	int connections;                /* at the most, 1 or more */
	bool read_only;
	bool create;                    /* make the database when missing */
};

/*
 * The SQLite backend. An untouched PHP schema (two tables) opens read-only
 * only: -EROFS otherwise with *error saying how to upgrade. A schema from a
 * newer program: -EPROTO. *error (caller frees) explains any failure.
 */
int fsp_meta_sqlite_open(const char *path, const struct fsp_meta_options *o,
                         struct fsp_meta **out, char **error);

/*
 * Looks whether a database has our tables (CHECK), shows what would make them
 * (PLAN) or does it (UPGRADE): repeatable, and going on after it was killed.
 */
enum fsp_schema_do { FSP_SCHEMA_CHECK, FSP_SCHEMA_PLAN, FSP_SCHEMA_UPGRADE };

struct fsp_schema {
	enum fsp_schema_do what;
	const struct fsp_ctx *ctx;
	FILE *sql;                      /* PLAN: the statements */
	/* a sentence: what differs, what was found or done */
	void (*say)(void *arg, const char *sentence);
	/* long work; all 0: not known */
	void (*progress)(void *arg, const char *what, uint64_t done,
	                 uint64_t all);
	void *arg;

	/* results */
	bool needed;                    /* something is, or was, to be done */
	uint64_t rows;                  /* of PHP's that were taken over */
	int64_t locked_ns;              /* the longest that writers waited */
	char *error;                    /* why it failed; caller frees */
};

int fsp_meta_sqlite_schema(const char *path, struct fsp_schema *s);

/* How the connection to a database server is protected. */
enum fsp_tls {
	FSP_TLS_VERIFY,         /* encrypted, authority and name checked; not
	                           asked of a socket, and of the loopback only
	                           where tls_ca is given */
	FSP_TLS_REQUIRE,        /* encrypted, by whomever */
	FSP_TLS_OFF
};

/* Where the database is. Strings are copied; NULL: not given. */
struct fsp_maria_options {
	const char *hosts;              /* "a, b:3307": in order of preference */
	const char *read_hosts;         /* may lag behind; NULL: none apart */
	int port;                       /* where a host names none; 0: 3306 */
	const char *socket;             /* instead of localhost's */
	const char *user, *password;
	const char *database, *charset; /* PHP's, on its untouched tables */
	enum fsp_tls tls;
	const char *tls_ca, *tls_cert, *tls_key;
	int64_t connect_timeout_ns;
	int64_t timeout_ns;             /* without progress; 0: none */
	int connections;                /* at the most, 1 or more */
};

/* With strings of its own, for the two below; -ENOMEM. */
int fsp_maria_options_copy(const struct fsp_maria_options *from,
                           struct fsp_maria_options *to);
/*
 * Puts what o does not have from an option file of MariaDB's clients, where it
 * stands under [client] and the like or [group]: host, port, socket, user,
 * password, database, ssl-ca, ssl-cert, ssl-key. -EACCES: others may read a
 * password. *error (caller frees) explains any failure.
 */
int fsp_maria_options_file(struct fsp_maria_options *o, const char *path,
                           const char *group, char **error);
void fsp_maria_options_free(struct fsp_maria_options *o);       /* wipes */

/*
 * The MariaDB backend, as fsp_meta_sqlite_open(); create makes the tables in a
 * database that has none, which is -ENODATA else. PHP's two tables need a user
 * who may SELECT them. busy_timeout_ns is for callers without a deadline.
 */
int fsp_meta_maria_open(const struct fsp_maria_options *o,
                        const struct fsp_meta_options *mo,
                        struct fsp_meta **out, char **error);
int fsp_meta_maria_schema(const struct fsp_maria_options *o,
                          struct fsp_schema *s);

/*
 * Tells about the server, the schema and what the user may do, step by step,
 * over a connection of its own; changes nothing.
 */
void fsp_meta_maria_facts(const struct fsp_maria_options *o,
                          const struct fsp_ctx *ctx, bool read_only,
                          fsp_step_fn step, void *arg);

/* Checks the invariants of DESIGN.md: calls each() with a sentence for each
 * violation; 0 when it could look at everything. */
int fsp_meta_check(struct fsp_meta *m, const struct fsp_ctx *ctx,
                          void (*each)(void *arg, const char *what), void *arg);

void fsp_meta_stats(struct fsp_meta *m, struct fsp_meta_stats *out);

/* The fault decorator, as fsp_objstore_fault(). Owns inner. */
int fsp_meta_fault(struct fsp_meta *inner, struct fsp_meta **out);
void fsp_meta_fault_arm(struct fsp_meta *f, uint64_t nth, int err);
uint64_t fsp_meta_fault_fired(struct fsp_meta *f);

/* The breaker decorator, as fsp_objstore_breaker(). Owns inner once it
 * returns 0. */
struct fsp_breaker_options;
int fsp_meta_breaker(struct fsp_meta *inner,
                     const struct fsp_breaker_options *o,
                     struct fsp_meta **out);

/*
 * The decorator that keeps what is made in new directories in memory until it
 * has to be rows, and asks other mounts for theirs. Owns inner once it returns 0.
 * If it holds any, then from mount_add() to mount_remove() of one that writes.
 */
int fsp_meta_deleg(struct fsp_meta *inner, bool holds, struct fsp_meta **out);

/*
 * The caller has found a directory at another place than it had: from the next
 * call on nothing is known by old paths. At once, under any lock.
 */
void fsp_meta_moved(struct fsp_meta *m);

/*
 * What it takes to make the rows of a file that such a mount has in memory, when
 * that is gone: the directories above it that have none, the topmost first; they
 * are the last ones of the file's path. *dirs is fresh memory, the caller frees
 * it. -ENOENT: the inode has its rows, or is not known.
 */
struct fsp_unborn_dir {
	uint64_t ino;
	uint32_t mode, uid, gid;        /* mode with type */
	int64_t atime_ns, mtime_ns, ctime_ns;
};
int fsp_meta_unborn(struct fsp_meta *m, uint64_t ino,
                    struct fsp_unborn_dir **dirs, size_t *n);
/*
 * fn is called, without locks held, when a file has got its rows before its
 * content came: from then on it may be removed by others. They are durable then.
 * Set before the first call that makes anything; NULL: it is not called any more
 * when this returns. m that is no such decorator never calls it.
 */
void fsp_meta_on_birth(struct fsp_meta *m, void (*fn)(void *arg, uint64_t ino),
                       void *arg);

/*
 * The calls: what callers use. They check that the caller holds no lock.
 */
#include "fsp_lock.h"

#define FSP_META_CALL(name, params, ...)                                       \
	static inline int fsp_meta_##name params                               \
	{                                                                      \
		fsp_lock_assert_none();                                        \
		return m->ops->name(m, ctx, ##__VA_ARGS__);                    \
	}
#include "fsp_meta_calls.h"

static inline void fsp_meta_close(struct fsp_meta *m)
{
	if (m)
		m->ops->close(m);
}

#endif
