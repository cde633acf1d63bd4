/*
 * Files on the local disk: whole reads and writes, and the life cycle of a
 * file that must never be seen half-written:
 *
 *   begin     a temporary name .tmp-* in the same directory
 *   write     any number of times
 *   commit    fsync the file, rename it into place, fsync the directory
 *   abort     unlink the temporary name
 *
 * A process that dies in between leaves a .tmp-* file, which
 * fsp_atomic_sweep() removes later. All return 0 or -errno. A handle belongs
 * to one thread at a time.
 */
#ifndef FSP_FILE_H
#define FSP_FILE_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct fsp_buf;

int fsp_write_all(int fd, const void *buf, size_t len);
int fsp_pwrite_all(int fd, const void *buf, size_t len, off_t off);

/* Reads until len or end of file; the count or -errno. */
ssize_t fsp_pread_full(int fd, void *buf, size_t len, off_t off);

/* The whole file; -EFBIG beyond max bytes. */
int fsp_read_file(const char *path, struct fsp_buf *out, size_t max);

/* The same from an open file, from where it stands to its end. */
int fsp_read_fd(int fd, struct fsp_buf *out, size_t max);

int fsp_fsync_dir(int dirfd);

/* With a position of its own. *out is closed by closedir(), NULL where it
 * fails; flags: 0 or O_NOFOLLOW. */
int fsp_opendir(int at, const char *name, int flags, DIR **out);

/* mkdir -p; an existing directory is fine. New ones get `mode`. */
int fsp_mkdirs(const char *path, mode_t mode);

/* Removes a directory and what is in it; no symlink is followed. */
int fsp_rm_tree(const char *path);
/* What is in it only. */
int fsp_empty_dir(const char *path);

struct fsp_atomic;

/* dirfd stays the caller's and must outlive the handle. */
int fsp_atomic_begin(int dirfd, mode_t mode, struct fsp_atomic **out);
int fsp_atomic_fd(const struct fsp_atomic *a);
int fsp_atomic_write(struct fsp_atomic *a, const void *buf, size_t len);

/*
 * All end the handle, whatever they return. commit replaces what `name`
 * was; commit_new returns -EEXIST then.
 */
int fsp_atomic_commit(struct fsp_atomic *a, const char *name);
int fsp_atomic_commit_new(struct fsp_atomic *a, const char *name);
/*
 * The same without waiting for the disk, for what is checked whenever it is
 * read. fd, where it is not NULL, gets the open file.
 */
int fsp_atomic_place(struct fsp_atomic *a, const char *name, bool replace,
                     int *fd);
void fsp_atomic_abort(struct fsp_atomic *a);

/* Removes .tmp-* of this host's dead processes, or older than a day. */
int fsp_atomic_sweep(int dirfd);

#endif
