/*
 * The spool: new content on the local disk until it is committed.
 *
 * <spool>/<mount id>/lock        held with flock() while the mount lives
 * <spool>/<mount id>/w-<n>       content being written
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
 * Finds the directories of mounts that died (their lock is free), removes
 * what was in flight there (no close() had returned for it) and calls dead()
 * with each id, so that the caller can clean up after it in the database; a
 * directory goes only when dead() returned 0. Counts what was dropped.
 */
int fsp_spool_reap(const char *path, int (*dead)(void *arg, const char *id),
                   void *arg, uint64_t *files, uint64_t *bytes);

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
/* Is [0, size) one extent? */
bool fsp_spool_complete(const struct fsp_spool_file *f, uint64_t size);

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
