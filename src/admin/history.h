/* The versions of one file in memory, to print them or to choose one. */
#ifndef FSP_ADMIN_HISTORY_H
#define FSP_ADMIN_HISTORY_H

#include <stddef.h>
#include <stdint.h>

#include "fsp_admin.h"
#include "fsp_meta.h"

struct fsp_history {
	struct fsp_version *v;          /* old to new; paths are ours */
	size_t count, cap;
};

/* -ENOENT when there never was a file. */
int fsp_history_load(struct fsp_meta *m, const struct fsp_ctx *ctx,
                     const char *path, struct fsp_history *h);
void fsp_history_free(struct fsp_history *h);

#define FSP_HISTORY __attribute__((cleanup(fsp_history_free)))

/* "live", "superseded" or, where nothing came after it, "deleted". */
const char *fsp_history_state(const struct fsp_history *h, size_t i);

/* NULL when there is none. */
const struct fsp_version *fsp_history_row(const struct fsp_history *h,
                                          int64_t row);
/* What was live at that time, preferably under `path`. */
const struct fsp_version *fsp_history_at(const struct fsp_history *h,
                                         const char *path, int64_t at_us);

/*
 * Finds the version that `spec` means in the history of path, and complains
 * when there is none. out->path is not set.
 */
int fsp_history_choose(struct fsp_admin *a, const char *path, const char *spec,
                       struct fsp_version *out);

#endif
