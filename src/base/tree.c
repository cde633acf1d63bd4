/* Making and removing trees of directories. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsp_cleanup.h"
#include "fsp_file.h"

static int open_dir(int at, const char *path, int flags)
{
	return TEMP_FAILURE_RETRY(
		openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags));
}

/* The directory that holds `path`, in fresh memory. */
static char *parent_of(const char *path)
{
	size_t len = strlen(path);

	while (len && path[len - 1] == '/')
		len--;
	while (len && path[len - 1] != '/')
		len--;
	while (len > 1 && path[len - 1] == '/')
		len--;
	return len ? strndup(path, len) : strdup(".");
}

/* The new entry is durable once the directory that holds it is synced. */
static int sync_entry(const char *parent, const char *path)
{
	FSP_CLOSE int fd = open_dir(AT_FDCWD, parent, 0);
	FSP_CLOSE int own = -1;

	if (fd >= 0)
		return fsp_fsync_dir(fd);
	if (errno != EACCES)
		return -errno;
	/* The parent may be writable and not readable: sync all instead. */
	own = open_dir(AT_FDCWD, path, 0);
	if (own < 0)
		return -errno;
	return syncfs(own) < 0 ? -errno : 0;
}

static int existing(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int fsp_mkdirs(const char *path, mode_t mode)
{
	FSP_FREE char *parent = NULL;
	int err;

	if (mkdir(path, mode) < 0) {
		if (errno == EEXIST)
			return existing(path);
		if (errno != ENOENT || *path == '\0')
			return -errno;
		parent = parent_of(path);
		if (!parent)
			return -ENOMEM;
		/* "." and "/" are not there only when nothing can be. */
		if (strcmp(parent, ".") == 0 || strcmp(parent, "/") == 0)
			return -ENOENT;
		err = fsp_mkdirs(parent, mode);
		if (err)
			return err;
		if (mkdir(path, mode) < 0)
			return errno == EEXIST ? existing(path) : -errno;
	} else {
		parent = parent_of(path);
		if (!parent)
			return -ENOMEM;
	}
	return sync_entry(parent, path);
}

static int rm_dir_at(int at, const char *name);

/* One pass over a directory; the count of entries removed or -errno. */
static int rm_entries(DIR *dir)
{
	int removed = 0;

	rewinddir(dir);
	for (;;) {
		const struct dirent *e;
		int err = 0;

		errno = 0;
		e = readdir(dir);
		if (!e)
			return errno ? -errno : removed;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd(dir), e->d_name, 0) < 0) {
			err = -errno;
			if (err == -EISDIR || err == -EPERM)
				err = rm_dir_at(dirfd(dir), e->d_name);
		}
		if (err && err != -ENOENT)
			return err;
		removed++;
	}
}

static int empty_dir_at(int at, const char *name)
{
	DIR *dir;
	int n = fsp_opendir(at, name, O_NOFOLLOW, &dir);

	if (n)
		return n;
	/* Removing may make readdir skip entries: until a pass finds none. */
	do
		n = rm_entries(dir);
	while (n > 0);
	(void)closedir(dir);    /* only read from: nothing can be lost */
	return n;
}

static int rm_dir_at(int at, const char *name)
{
	int err = empty_dir_at(at, name);

	if (err)
		return err;
	return unlinkat(at, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

int fsp_empty_dir(const char *path)
{
	return empty_dir_at(AT_FDCWD, path);
}

int fsp_rm_tree(const char *path)
{
	return rm_dir_at(AT_FDCWD, path);
}
