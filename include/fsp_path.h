/*
 * Paths of the mount and the keys of the PHP tables.
 *
 * A path is bytes without leading or trailing slash; "" is the root. The first
 * three components are account, table and record. DESIGN.md "Paths and keys".
 * All results are fresh memory, the caller frees them; -ENOMEM otherwise.
 */
#ifndef FSP_PATH_H
#define FSP_PATH_H

#include <stdbool.h>
#include <stddef.h>

#define FSP_NAME_MAX 255
#define FSP_PATH_MAX 4096
#define FSP_RECORD_DEPTH 3      /* account, table, record */

/* A directory as a container: its entries are `space` with keys under `dir`. */
struct fsp_dirkey {
	char *space;    /* "", "A", "A.T" or "A.T.R" */
	char *dir;      /* "" or "sub/dir" */
};

void fsp_dirkey_free(struct fsp_dirkey *k);

/* -EINVAL for a path that is none. */
int fsp_path_dirkey(const char *path, struct fsp_dirkey *out);

/* dir + "/" + name, or name where dir is "". */
char *fsp_path_join(const char *dir, const char *name);

/* Splits off the last component; *dir and *name fresh. -EINVAL for "". */
int fsp_path_split(const char *path, char **dir, char **name);

/*
 * The path of a row, or -EINVAL when the row is hidden: a key that is no valid
 * path, or not the canonical row of its path.
 */
int fsp_path_of_row(const char *space, const char *file_key, char **path);

/*
 * The path of the directory that a space key names ("" for ""). -EINVAL when
 * it is no canonical one.
 */
int fsp_path_of_space(const char *space, char **path);

/* A valid name of one entry: 1 to 255 bytes, no slash, not "." or "..". */
bool fsp_name_valid(const char *name, size_t len);

#endif
