/*
 * What the spool's files share: the names on the disk and the structs.
 *
 *   <path>/.tmp-<id>/      a mount's directory before it is locked and after
 *                          it ended; holds nothing of value
 *   <path>/<id>/lock       locked for as long as the directory has this name
 *   <path>/<id>/w-<n>      content being written
 *   <path>/<id>/f-<n>      content that could not even be moved to kept/;
 *                          nothing here removes it
 */
#ifndef FSP_SPOOL_PRIVATE_H
#define FSP_SPOOL_PRIVATE_H

#include <dirent.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "extents.h"

#define FSP_SPOOL_LOCK "lock"
#define FSP_SPOOL_TMP ".tmp-"
#define FSP_SPOOL_KEPT "kept"
#define FSP_SPOOL_NAME 64       /* of a file in a mount's directory */

struct fsp_spool {
	char *path;             /* of the whole spool */
	char *dir;              /* of this mount's part */
	char *id;
	int dirfd;
	int lockfd;
	atomic_uint_fast64_t next;
};

struct fsp_spool_file {
	struct fsp_spool *spool;
	int fd;
	char name[FSP_SPOOL_NAME];
	char *path;
	struct fsp_extents extents;
};

/* 1 to 64 hex digits. */
bool fsp_spool_id_valid(const char *id);

/* Opens a directory for reading its entries. */
int fsp_spool_opendir(int at, const char *name, DIR **out);

/*
 * Opens `lock` in the directory (made when create is set) and locks it:
 * -EWOULDBLOCK when somebody has it, -ENOENT when it or the directory went
 * away meanwhile.
 */
int fsp_spool_lock(int dirfd, bool create, int how, int *out);

/* Removes the w- files and counts them; either counter may be NULL. */
int fsp_spool_clear(int dirfd, uint64_t *files, uint64_t *bytes);

/*
 * Removes the locked directory `id`, whose `lock` goes last. -ENOTEMPTY when
 * it holds files that nobody may remove.
 */
int fsp_spool_rmdir(int rootfd, int dirfd, const char *id);

void fsp_spool_file_free(struct fsp_spool_file *f);

#endif
