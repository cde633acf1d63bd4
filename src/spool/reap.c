/*
 * Cleaning up after mounts that died.
 */
#include "fsp_file.h"
#include "fsp_spool.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsp_cleanup.h"
#include "fsp_log.h"
#include "spool.h"

struct reaper {
	int rootfd;
	const char *path;
	fsp_spool_take take;
	int (*dead)(void *arg, const char *id);
	void *arg;
	uint64_t *files, *bytes;
};

/* Does the directory still have this name? */
static bool has_name(int rootfd, const char *name, int dirfd)
{
	struct stat a, b;

	return !fstat(dirfd, &a) &&
	       !fstatat(rootfd, name, &b, AT_SYMLINK_NOFOLLOW) &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Opens and locks a directory whose mount does not live. */
static int seize(const struct reaper *r, const char *name, int *dirfd,
                 int *lockfd)
{
	FSP_CLOSE int dir = openat(r->rootfd, name,
	                           O_RDONLY | O_DIRECTORY | O_CLOEXEC |
	                                   O_NOFOLLOW);
	int rc;

	if (dir < 0)
		return -errno;
	/* One without a lock is dead, too. */
	rc = fsp_spool_lock(dir, true, LOCK_EX, lockfd);
	if (rc)
		return rc;
	/* One that ends in order gives up its name before its lock. */
	if (!has_name(r->rootfd, name, dir))
		return -ENOENT;
	*dirfd = fsp_steal_fd(&dir);
	return 0;
}

/*
 * What stays under a .tmp- name is of a start or an end that was cut short.
 * A mount that starts right now finds its lock taken or gone, and tries again;
 * one that got a new lock in makes the rmdir fail.
 */
static int reap_tmp(const struct reaper *r, const char *name)
{
	FSP_CLOSE int dir = -1;
	FSP_CLOSE int lock = -1;
	int rc = seize(r, name, &dir, &lock);

	if (rc)
		return rc;
	rc = fsp_spool_clear(dir, r->files, r->bytes);
	if (rc)
		return rc;
	if (unlinkat(dir, FSP_SPOOL_LOCK, 0) && errno != ENOENT)
		return -errno;
	if (unlinkat(r->rootfd, name, AT_REMOVEDIR) && errno != ENOTEMPTY)
		return -errno;
	return 0;
}

/*
 * Queued commits are in another journal before the mount is forgotten, and its
 * own goes only then.
 */
static int take_queue(const struct reaper *r, const char *id, int dir)
{
	int rc = r->take(r->arg, id, dir);

	if (!rc && r->dead)
		rc = r->dead(r->arg, id);
	/* Most of what is left has another name by now, and is not lost. */
	return rc ? rc : fsp_spool_clear(dir, NULL, NULL);
}

static int forget(const struct reaper *r, const char *id, int dir)
{
	int rc = fsp_spool_clear(dir, r->files, r->bytes);

	return rc || !r->dead ? rc : r->dead(r->arg, id);
}

static int reap_id(const struct reaper *r, const char *id)
{
	FSP_CLOSE int dir = -1;
	FSP_CLOSE int lock = -1;
	int rc = seize(r, id, &dir, &lock);

	if (rc)
		return rc;
	if (!fsp_spool_has_journal(dir))
		rc = forget(r, id, dir);
	else if (r->take)
		rc = take_queue(r, id, dir);
	else
		return 0;
	if (rc)
		return rc;
	rc = fsp_spool_rmdir(r->rootfd, dir, id);
	if (rc != -ENOTEMPTY)
		return rc;
	/* Expected after a failed fsp_spool_keep(): the data is worth more. */
	fsp_warn("spool %s/%s of a dead mount holds files that were not kept",
	         r->path, id);
	return 0;
}

/* The living and what another reaper works on are no failures. */
static int reap_one(const struct reaper *r, const char *name)
{
	int rc;

	if (strncmp(name, FSP_SPOOL_TMP, strlen(FSP_SPOOL_TMP)) == 0)
		rc = reap_tmp(r, name);
	else if (fsp_spool_id_valid(name))
		rc = reap_id(r, name);
	else
		return 0;
	if (!rc || rc == -EWOULDBLOCK || rc == -ENOENT)
		return 0;
	fsp_warn("spool %s/%s of a dead mount stays: %s", r->path, name,
	         strerror(-rc));
	return rc;
}

int fsp_spool_reap(const char *path, fsp_spool_take take,
                   int (*dead)(void *arg, const char *id), void *arg,
                   uint64_t *files, uint64_t *bytes)
{
	uint64_t nfiles = 0, nbytes = 0;
	struct reaper r = { -1, path, take, dead, arg, &nfiles, &nbytes };
	const struct dirent *de;
	DIR *dir = NULL;
	int rc = fsp_opendir(AT_FDCWD, path, 0, &dir), err;

	*files = *bytes = 0;
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	r.rootfd = dirfd(dir);
	for (;;) {
		errno = 0;
		de = readdir(dir);
		if (!de)
			break;
		/* One that resists must not keep the others. */
		err = reap_one(&r, de->d_name);
		if (err && !rc)
			rc = err;
	}
	if (errno && !rc)
		rc = -errno;
	closedir(dir);
	*files = nfiles;
	*bytes = nbytes;
	return rc;
}
