/*
 * What the spool's files share: the names on the disk and the structs.
 * DESIGN.md has the directories and the journal by the byte.
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
#define FSP_SPOOL_JOURNAL "journal"
#define FSP_SPOOL_NAME 64       /* of a file in a mount's directory */

struct fsp_spool {
	char *path;             /* of the whole spool */
	char *dir;              /* of this mount's part */
	char *id;
	int dirfd;
	int lockfd;
	atomic_uint_fast64_t next;
};

/* The bytes on the disk: of one file, or of several that are snapshots. */
struct fsp_spool_data {
	atomic_uint refs;
	struct fsp_spool *spool;
	int fd;
	bool stays;                     /* under its name, or has none any more */
	atomic_bool kept;               /* its bytes are in kept/, too */
	uint64_t no;                    /* of the name w-<no> */
	char name[FSP_SPOOL_NAME];
	char *path;
};

struct fsp_spool_file {
	struct fsp_spool_data *data;
	struct fsp_extents extents;     /* what is written */
	struct fsp_extents fresh;       /* the same, since the last snapshot */
	struct fsp_extents sealed;      /* of data, by snapshots */
};

/* An empty data file under the next number. */
int fsp_spool_data_new(struct fsp_spool *s, struct fsp_spool_data **out);
/* The name goes with the last reference. NULL is fine. */
void fsp_spool_data_put(struct fsp_spool_data *d);
/* A file over data, whose reference it takes. */
int fsp_spool_file_over(struct fsp_spool_data *d, struct fsp_spool_file **out);

/* 1 to 64 hex digits. */
bool fsp_spool_id_valid(const char *id);


/*
 * Opens `lock` in the directory (made when create is set) and locks it:
 * -EWOULDBLOCK when somebody has it, -ENOENT when it or the directory went
 * away meanwhile.
 */
int fsp_spool_lock(int dirfd, bool create, int how, int *out);

/*
 * Removes the journal, then the w- files, and counts those; either counter may
 * be NULL.
 */
int fsp_spool_clear(int dirfd, uint64_t *files, uint64_t *bytes);

/*
 * Removes the locked directory `id`, whose `lock` goes last. -ENOTEMPTY when
 * it holds files that nobody may remove.
 */
int fsp_spool_rmdir(int rootfd, int dirfd, const char *id);

/* Is there a journal in it? */
bool fsp_spool_has_journal(int dirfd);

#endif
