/* The kernel's list of mounts, as far as they are ours. Any thread. */
#ifndef FSP_MOUNTS_H
#define FSP_MOUNTS_H

/*
 * The filespacefs mount that holds path, which need not exist. *source is what
 * was mounted, *mountpoint where, *inside the path within it without leading
 * slash; all fresh memory, each may be NULL when it is not wanted. -ENOENT:
 * path is in no such mount. Asks no daemon.
 */
int fsp_mounts_find(const char *path, char **source, char **mountpoint,
                    char **inside);

/*
 * An absolute path without symlinks and dots, as far as it exists; fresh
 * memory.
 */
int fsp_path_resolve(const char *path, char **out);

#endif
