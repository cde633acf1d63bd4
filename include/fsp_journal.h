/*
 * The journal of a mount's spool: commits that close() has promised.
 * src/spool/DESIGN.md has the records by the byte, and their states.
 *
 * Any thread may call. Errors are those of the disk; after a failed sync the
 * journal takes nothing any more (-EIO).
 */
#ifndef FSP_JOURNAL_H
#define FSP_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fsp_hash.h"

struct fsp_journal;
struct fsp_spool;
struct fsp_spool_file;

struct fsp_content_of {
	int64_t row;                    /* 0: none */
	uint64_t size;
	char hash[FSP_HASH_MAX + 1];
};

/* A directory that the database does not have yet. */
#define FSP_QUEUED_DIRS 2048            /* above one file */
struct fsp_queued_dir {
	uint64_t ino;
	uint32_t mode, uid, gid;        /* mode with type */
	int64_t atime_ns, mtime_ns, ctime_ns;
};

/* One commit that waits. */
struct fsp_queued {
	uint64_t key;                   /* set by fsp_journal_put() */
	uint64_t drops;                 /* replaces that one; 0 none */
	uint64_t behind;                /* made from that one's content */
	uint64_t ino, size;
	int64_t mtime_ns, atime_ns, ctime_ns;
	int64_t queued_us;
	int64_t over_row, session_row;
	struct fsp_content_of base;     /* [0, base_valid) comes from it */
	uint64_t base_valid, base_limit, append_off, grown;
	struct fsp_content_of merged;   /* row set: to be merged with that */
	uint32_t mask, mode, uid, gid;
	bool pending;                   /* the name never had a content */
	/*
	 * The database does not have the name, nor the last n_dirs directories
	 * of the path; the topmost comes first.
	 */
	bool unborn;
	const struct fsp_queued_dir *dirs;
	size_t n_dirs;
	const char *path;               /* where it was, without leading slash */
};

/* What became of one. */
struct fsp_queue_end {
	uint64_t key;
	struct fsp_content_of stored;   /* row 0: nothing */
	bool merged;                    /* with another host's version */
};

/* Nothing is on the disk before the first put. The spool must outlive it. */
int fsp_journal_open(struct fsp_spool *s, struct fsp_journal **out);
/* Leaves what is pending to the next mount. NULL is fine. */
void fsp_journal_close(struct fsp_journal *j);

/*
 * Durable when it returns 0: the facts, and the content of `file` (NULL: there
 * is none but the base's), which nobody writes. Sets q->key. -EINVAL: more
 * directories than its path has, or than FSP_QUEUED_DIRS.
 */
int fsp_journal_put(struct fsp_journal *j, struct fsp_queued *q,
                    const struct fsp_spool_file *file);
/*
 * It is pending no more. Content of its own file may be removed after this
 * returned 0 with `sync`.
 */
int fsp_journal_end(struct fsp_journal *j, const struct fsp_queue_end *e,
                    bool sync);
/*
 * What was unborn is not any more: the database has the name durably. A process
 * that is killed leaves that behind, the power may not.
 */
int fsp_journal_born(struct fsp_journal *j, uint64_t key);
/* Is its content in a file of its own, and not in the journal? */
bool fsp_journal_has_file(struct fsp_journal *j, uint64_t key);
/* Is it pending there? */
bool fsp_journal_has(struct fsp_journal *j, uint64_t key);

/* What is pending in a mount's directory, in the order of keys. */
struct fsp_journal_entry {
	struct fsp_queued q;            /* what it points to is valid during
	                                   the call */
	int dirfd;                      /* for fsp_journal_load() */
	uint64_t data;                  /* of w-<data>; 0 none */
	const void *facts;              /* private */
};
typedef int (*fsp_journal_each)(void *arg, const struct fsp_journal_entry *e);

/*
 * Non-zero of each() stops and comes back. *damaged (may be NULL) counts places
 * that could not be read though records follow.
 */
int fsp_journal_read(int dirfd, fsp_journal_each each, void *arg,
                     uint64_t *damaged);
/* Its content as a file of `into`; *out NULL where it has none. */
int fsp_journal_load(const struct fsp_journal_entry *e, struct fsp_spool *into,
                     struct fsp_spool_file **out);

/* All mounts of a spool, for people: alive says whether that one lives. */
int fsp_journal_each_queued(const char *path,
                            int (*each)(void *arg, const char *id, bool alive,
                                        const struct fsp_queued *q),
                            void *arg);

#endif
