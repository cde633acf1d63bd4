/*
 * The spool: new content on the local disk until it is committed.
 *
 * <spool>/<mount id>/lock        held with flock() while the mount lives
 * <spool>/<mount id>/w-<n>       content being written, or queued
 * <spool>/<mount id>/journal     commits that wait: fsp_journal.h
 * <spool>/kept/<time>-<n>.data   content whose commit failed for good
 * <spool>/kept/<time>-<n>.info   what it was: key=value lines, see DESIGN.md
 *
 * A file's bytes are those of its written extents; what is between them
 * belongs to the base content, or is zero beyond it. One fsp_spool serves any
 * thread; a spool file is guarded by its owner's lock.
 */
#ifndef FSP_SPOOL_H
#define FSP_SPOOL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct fsp_spool;
struct fsp_spool_file;

/* Makes <path>/<id>/ and takes its lock. id: hex digits. */
int fsp_spool_open(const char *path, const char *id, struct fsp_spool **out);
void fsp_spool_close(struct fsp_spool *s);      /* removes the mount's directory */

/*
 * Finds the directories of mounts that died (their lock is free). Where one has
 * queued commits, take() puts them into a journal of the caller's, durably, and
 * a directory whose take() fails stays; NULL leaves those alone. dead() is
 * called with each id then, so that the caller can clean up after it in the
 * database, and a directory goes only when it returned 0. Counts what was
 * dropped: no close() had returned for it.
 */
typedef int (*fsp_spool_take)(void *arg, const char *id, int dirfd);
int fsp_spool_reap(const char *path, fsp_spool_take take,
                   int (*dead)(void *arg, const char *id), void *arg,
                   uint64_t *files, uint64_t *bytes);

/* Is the mount with this id alive on this machine? */
bool fsp_spool_alive(const char *path, const char *id);

int fsp_spool_create(struct fsp_spool *s, struct fsp_spool_file **out);
int fsp_spool_write(struct fsp_spool_file *f, const void *buf, size_t len,
                    uint64_t off);
ssize_t fsp_spool_read(struct fsp_spool_file *f, void *buf, size_t len,
                       uint64_t off);

/* Cuts bytes and extents beyond size. Growing is fsp_spool_zero(). */
int fsp_spool_cut(struct fsp_spool_file *f, uint64_t size);
/* Makes [off, off + len) written and zero, as a hole where possible. */
int fsp_spool_zero(struct fsp_spool_file *f, uint64_t off, uint64_t len);

/*
 * The extent that covers off or the next one: *start..*end (exclusive).
 * false: nothing is written at or after off.
 */
bool fsp_spool_extent(const struct fsp_spool_file *f, uint64_t off,
                      uint64_t *start, uint64_t *end);
/* The same of what was written since fsp_spool_begin_fresh(). */
bool fsp_spool_fresh(const struct fsp_spool_file *f, uint64_t off,
                     uint64_t *start, uint64_t *end);
/* Is [0, size) one extent? */
bool fsp_spool_complete(const struct fsp_spool_file *f, uint64_t size);

/*
 * Another file with the same content, which nobody is to write: what f is
 * written from now on does not change it. Both are to be dropped.
 */
int fsp_spool_snapshot(struct fsp_spool_file *f, struct fsp_spool_file **out);
/* Does f leave the bytes of a snapshot alone? For checks. */
bool fsp_spool_seals(const struct fsp_spool_file *f,
                     const struct fsp_spool_file *snapshot);
void fsp_spool_begin_fresh(struct fsp_spool_file *f);
/* As if what `older` has fresh had been written before, and cut at limit. */
int fsp_spool_join_fresh(struct fsp_spool_file *f,
                         const struct fsp_spool_file *older, uint64_t limit);
/* Its bytes stay on the disk when it is dropped. NULL is fine. */
void fsp_spool_leave(struct fsp_spool_file *f);
/* Has it no snapshots, and is it none that others share? */
bool fsp_spool_sole(const struct fsp_spool_file *f);

const char *fsp_spool_path(const struct fsp_spool_file *f);
int fsp_spool_fd(const struct fsp_spool_file *f);

/* Closes and removes. After fsp_cache_adopt() took the file: just closes. */
void fsp_spool_drop(struct fsp_spool_file *f);  /* NULL is fine */

struct fsp_spool_info {
	char *id;               /* the name under kept/, without ending */
	char *path;             /* in the mount, without leading slash */
	uint64_t ino, size;
	int64_t base_row;       /* version it was written over; 0 none */
	int64_t at_us;          /* when it was given up */
	int error;              /* positive errno of the commit */
};

/*
 * Keeps content whose commit failed for good: moves it to kept/ with its
 * extents, fsynced. The file is closed whatever is returned; on error it is
 * left where it is and logged.
 */
int fsp_spool_keep(struct fsp_spool_file *f, const struct fsp_spool_info *info);

/* Lists kept/; return non-zero to stop. */
int fsp_spool_each_kept(const char *path,
                        int (*each)(void *arg, const struct fsp_spool_info *i,
                                    const char *data_path),
                        void *arg);

#endif
