/* The kernel's list of mounts, as far as they are ours. Any thread. */
#ifndef FSP_MOUNTS_H
#define FSP_MOUNTS_H

#include <stddef.h>

/*
 * The filespacefs mount that holds path, which need not exist. *source is what
 * was mounted, *mountpoint where, *inside the path within it without leading
 * slash; all fresh memory, each may be NULL when it is not wanted. -ENOENT:
 * path is in no such mount. Asks no daemon.
 */
int fsp_mounts_find(const char *path, char **source, char **mountpoint,
                    char **inside);

/*
 * How the line of the filespacefs mount at that very mountpoint begins (absolute,
 * and as the kernel has it) in /proc/self/mountinfo, with its ids, and its
 * device's minor number. -ENOENT.
 */
int fsp_mounts_key(const char *mountpoint, char *key, size_t size,
                   unsigned *minor);

/*
 * An absolute path without symlinks and dots, as far as it exists; fresh
 * memory.
 */
int fsp_path_resolve(const char *path, char **out);

#endif
