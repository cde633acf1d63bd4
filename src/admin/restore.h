/* What restoring one file and restoring a directory share. */
#ifndef FSP_ADMIN_RESTORE_H
#define FSP_ADMIN_RESTORE_H

#include <stdbool.h>

#include "fsp_admin.h"
#include "fsp_meta.h"

struct fsp_restore {
	struct fsp_admin *a;
	struct fsp_version v;
	struct fsp_object object;
	char *path;             /* what it is restored to */
	char *dir, *name;       /* the same in two */
	struct fsp_entry now;   /* what is there, where `exists` */
	bool exists;
	bool make_dirs;         /* its directories may have gone with it */
	const char *owner;      /* of a pending name; NULL: one for this file */
};

void fsp_restore_free(struct fsp_restore *r);

/* What is at r->path now. */
int fsp_restore_look(struct fsp_restore *r);

/*
 * The object of the version: -ENOENT it is missing, -EIO not of its size. Of
 * one that nobody has verified yet only the key is known.
 */
int fsp_restore_find_object(struct fsp_restore *r);
/* Says so, and what can be done. */
int fsp_restore_no_object(struct fsp_restore *r, int err, const char *source);

/* Makes it the newest version of r->path. */
int fsp_restore_commit(struct fsp_restore *r);

/* Makes the directories that lead to path, as they were at that time. */
int fsp_restore_make_dirs(struct fsp_admin *a, const char *path, int64_t at_us,
                          uint32_t uid, uint32_t gid);

/* Into a directory, under the name of the source, as cp does; fresh memory. */
char *fsp_restore_enter(const char *dir, const char *source);

#endif
