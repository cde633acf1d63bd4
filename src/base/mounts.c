/* Reading /proc/self/mountinfo. */
#include "fsp_mounts.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"

#define TYPE "fuse.filespacefs"

/* Splits at the last slash; *last points into path. */
static char *parent_of(const char *path, const char **last)
{
	const char *slash = strrchr(path, '/');

	*last = slash ? slash + 1 : path;
	if (!slash)
		return strdup(".");
	return slash == path ? strdup("/")
	                     : strndup(path, (size_t)(slash - path));
}

/*
 * What does not exist, or cannot be asked because its daemon died, is added to
 * the resolved directory above it.
 */
int fsp_path_resolve(const char *path, char **out)
{
	FSP_FREE char *p = strdup(path), *up = NULL, *base = NULL;
	const char *last;
	size_t n = p ? strlen(p) : 0;
	int err;

	if (!p)
		return -ENOMEM;
	while (n > 1 && p[n - 1] == '/')
		p[--n] = '\0';
	*out = realpath(p, NULL);
	if (*out)
		return 0;
	if (errno == ENOMEM || strcmp(p, "/") == 0 || strcmp(p, ".") == 0)
		return -errno;
	up = parent_of(p, &last);
	err = up ? fsp_path_resolve(up, &base) : -ENOMEM;
	if (err)
		return err;
	*out = fsp_strf("%s/%s", strcmp(base, "/") ? base : "", last);
	return *out ? 0 : -ENOMEM;
}

/* \ooo in mountinfo's fields, in place. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 |
			               (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* Field 5 is the mount point; after " - " come type and source. */
static bool parse(char *line, char **mountpoint, char **source)
{
	char *rest = strstr(line, " - "), *save, *type;

	if (!rest)
		return false;
	*rest = '\0';
	strtok_r(line, " ", &save);
	for (int i = 0; i < 3; i++)
		strtok_r(NULL, " ", &save);
	*mountpoint = strtok_r(NULL, " ", &save);
	type = strtok_r(rest + 3, " ", &save);
	*source = strtok_r(NULL, " ", &save);
	if (!*mountpoint || !type || !*source || strcmp(type, TYPE) != 0)
		return false;
	unescape(*mountpoint);
	unescape(*source);
	return true;
}

static bool holds(const char *mountpoint, const char *path)
{
	size_t n = strlen(mountpoint);

	return strncmp(mountpoint, path, n) == 0 &&
	       (path[n] == '\0' || path[n] == '/');
}

static int keep(char **to, const char *s)
{
	if (!to)
		return 0;
	free(*to);
	*to = strdup(s);
	return *to ? 0 : -ENOMEM;
}

static int found(const char *path, const char *mp, const char *src,
                 char **source, char **mountpoint, char **inside)
{
	const char *in = path + strlen(mp);
	int err = keep(source, src);

	if (!err)
		err = keep(mountpoint, mp);
	if (!err)
		err = keep(inside, *in == '/' ? in + 1 : in);
	return err;
}

int fsp_mounts_key(const char *mountpoint, char *key, size_t size,
                   unsigned *minor)
{
	FSP_FCLOSE FILE *f = fopen("/proc/self/mountinfo", "re");
	FSP_FREE char *line = NULL;
	size_t cap = 0;
	int found = -ENOENT;

	if (!f)
		return -errno;
	/* The last of several is the one that is seen. */
	while (getline(&line, &cap, f) > 0) {
		char *mp, *src;
		int id, parent;
		unsigned major, min;

		if (sscanf(line, "%d %d %u:%u ", &id, &parent, &major, &min) != 4)
			continue;
		line[strcspn(line, "\n")] = '\0';
		if (!parse(line, &mp, &src) || strcmp(mp, mountpoint) != 0)
			continue;
		found = snprintf(key, size, "%d %d %u:%u ", id, parent, major,
		                 min) < (int)size ? 0 : -ENAMETOOLONG;
		*minor = min;
	}
	return found;
}

int fsp_mounts_find(const char *path, char **source, char **mountpoint,
                    char **inside)
{
	FSP_FCLOSE FILE *f = fopen("/proc/self/mountinfo", "re");
	FSP_FREE char *full = NULL, *line = NULL;
	char **outs[] = { source, mountpoint, inside };
	size_t cap = 0, best = 0;
	int err;

	for (size_t i = 0; i < 3; i++)
		if (outs[i])
			*outs[i] = NULL;
	if (!f)
		return -errno;
	err = fsp_path_resolve(path, &full);
	/* The longest mount point wins, and the last of equal ones. */
	while (!err && getline(&line, &cap, f) > 0) {
		char *mp, *src;

		line[strcspn(line, "\n")] = '\0';
		if (parse(line, &mp, &src) && holds(mp, full) &&
		    strlen(mp) >= best) {
			best = strlen(mp);
			err = found(full, mp, src, source, mountpoint, inside);
		}
	}
	return err ? err : best ? 0 : -ENOENT;
}
