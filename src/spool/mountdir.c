/*
 * The directories of mounts: who lives, who died, what goes.
 *
 * A directory has its id as its name only while somebody holds its lock or
 * after its mount died. It is made and removed under a name with .tmp-, which
 * makes starting and ending one rename each, so that a reaper never takes a
 * mount for dead that has just begun.
 */
#include "fsp_spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_file.h"
#include "fsp_log.h"
#include "spool.h"

#define ID_MAX 64
#define TRIES 1000
#define TMP_NAME (sizeof(FSP_SPOOL_TMP) + ID_MAX)

bool fsp_spool_id_valid(const char *id)
{
	size_t n = strspn(id, "0123456789abcdefABCDEF");

	return n && n <= ID_MAX && !id[n];
}

static void tmp_name(char *out, const char *id)
{
	(void)snprintf(out, TMP_NAME, FSP_SPOOL_TMP "%s", id);
}

static int open_dir(int at, const char *name)
{
	int fd = openat(at, name,
	                O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

/* Is fd still what the directory calls `lock`? */
static bool lock_current(int dirfd, int fd)
{
	struct stat a, b;

	return !fstat(fd, &a) &&
	       !fstatat(dirfd, FSP_SPOOL_LOCK, &b, AT_SYMLINK_NOFOLLOW) &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int fsp_spool_lock(int dirfd, bool create, int how, int *out)
{
	FSP_CLOSE int fd = openat(dirfd, FSP_SPOOL_LOCK,
	                          O_RDWR | O_CLOEXEC | O_NOFOLLOW |
	                                  (create ? O_CREAT : 0),
	                          0600);

	if (fd < 0)
		return -errno;
	if (TEMP_FAILURE_RETRY(flock(fd, how | LOCK_NB)))
		return -errno;
	/* Its holder may have removed it while we opened it. */
	if (!lock_current(dirfd, fd))
		return -ENOENT;
	*out = fsp_steal_fd(&fd);
	return 0;
}

/* Removes one file, adding to the counters. */
static int clear_one(int dirfd, const char *name, uint64_t *files,
                     uint64_t *bytes)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) ||
	    unlinkat(dirfd, name, 0))
		return errno == ENOENT ? 0 : -errno;
	if (files)
		++*files;
	if (bytes)
		*bytes += (uint64_t)st.st_size;
	return 0;
}

bool fsp_spool_has_journal(int dirfd)
{
	struct stat st;

	return !fstatat(dirfd, FSP_SPOOL_JOURNAL, &st, AT_SYMLINK_NOFOLLOW);
}

/* First: a journal never names what has gone. */
static int clear_journal(int dirfd)
{
	if (unlinkat(dirfd, FSP_SPOOL_JOURNAL, 0))
		return errno == ENOENT ? 0 : -errno;
	return fsp_fsync_dir(dirfd);
}

int fsp_spool_clear(int dirfd, uint64_t *files, uint64_t *bytes)
{
	const struct dirent *de;
	DIR *dir = NULL;
	int rc = clear_journal(dirfd), err;

	if (!rc)
		rc = fsp_opendir(dirfd, ".", 0, &dir);
	if (!dir)
		return rc;
	for (;;) {
		errno = 0;
		de = readdir(dir);
		if (!de)
			break;
		/* .tmp-: of a journal that was being written anew. */
		if (strncmp(de->d_name, "w-", 2) != 0 &&
		    strncmp(de->d_name, ".tmp-", 5) != 0)
			continue;
		err = clear_one(dirfd, de->d_name, files, bytes);
		if (err && !rc)
			rc = err;
	}
	if (errno && !rc)
		rc = -errno;
	closedir(dir);
	return rc;
}

/* Nothing but the lock left? */
static int only_lock(int dirfd)
{
	const struct dirent *de;
	DIR *dir = NULL;
	int rc = fsp_opendir(dirfd, ".", 0, &dir);

	if (!dir)
		return rc;
	while ((de = readdir(dir)))
		if (strcmp(de->d_name, ".") != 0 &&
		    strcmp(de->d_name, "..") != 0 &&
		    strcmp(de->d_name, FSP_SPOOL_LOCK) != 0)
			rc = -ENOTEMPTY;
	closedir(dir);
	return rc;
}

int fsp_spool_rmdir(int rootfd, int dirfd, const char *id)
{
	char tmp[TMP_NAME];
	int rc = only_lock(dirfd);

	if (rc)
		return rc;
	tmp_name(tmp, id);
	if (renameat(rootfd, id, rootfd, tmp))
		return -errno;
	if (unlinkat(dirfd, FSP_SPOOL_LOCK, 0) && errno != ENOENT)
		return -errno;
	/* A reaper that wants the lock may just have made it again. */
	if (unlinkat(rootfd, tmp, AT_REMOVEDIR) && errno != ENOENT &&
	    errno != ENOTEMPTY)
		return -errno;
	return 0;
}

/* One attempt at a directory that is locked before it has its name. */
static int begin_once(int rootfd, const char *id, int *dirfd, int *lockfd)
{
	FSP_CLOSE int dir = -1;
	FSP_CLOSE int lock = -1;
	char tmp[TMP_NAME];
	int rc;

	tmp_name(tmp, id);
	if (mkdirat(rootfd, tmp, 0700) && errno != EEXIST)
		return -errno;
	dir = open_dir(rootfd, tmp);
	if (dir < 0)
		return dir;
	rc = fsp_spool_lock(dir, true, LOCK_EX, &lock);
	if (rc)
		return rc;
	if (renameat(rootfd, tmp, rootfd, id)) {
		rc = errno == EEXIST || errno == ENOTEMPTY ? -EBUSY : -errno;
		/* What of this fails is left to a reaper. */
		(void)unlinkat(dir, FSP_SPOOL_LOCK, 0);
		(void)unlinkat(rootfd, tmp, AT_REMOVEDIR);
		return rc;
	}
	/* From here on a reaper finds it locked. */
	if (!lock_current(dir, lock))
		return -ENOENT;
	*dirfd = fsp_steal_fd(&dir);
	*lockfd = fsp_steal_fd(&lock);
	return 0;
}

static int begin(struct fsp_spool *s)
{
	static const struct timespec step = { 0, 1000000 };
	FSP_CLOSE int rootfd = -1;
	int rc = fsp_mkdirs(s->path, 0700);

	if (rc)
		return rc;
	rootfd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (rootfd < 0)
		return -errno;
	/* A reaper may tidy the .tmp- name away; it is done in an instant. */
	for (int i = 0; i < TRIES; i++) {
		rc = begin_once(rootfd, s->id, &s->dirfd, &s->lockfd);
		if (rc != -ENOENT && rc != -EWOULDBLOCK)
			return rc;
		(void)nanosleep(&step, NULL);
	}
	return -EBUSY;
}

static void spool_free(struct fsp_spool *s)
{
	if (s->dirfd >= 0)
		close(s->dirfd);
	if (s->lockfd >= 0)
		close(s->lockfd);
	free(s->path);
	free(s->dir);
	free(s->id);
	free(s);
}

int fsp_spool_open(const char *path, const char *id, struct fsp_spool **out)
{
	struct fsp_spool *s;
	int rc = -ENOMEM;

	*out = NULL;
	if (!fsp_spool_id_valid(id))
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->dirfd = s->lockfd = -1;
	s->path = strdup(path);
	s->dir = fsp_strf("%s/%s", path, id);
	s->id = strdup(id);
	if (s->path && s->dir && s->id)
		rc = begin(s);
	if (rc) {
		spool_free(s);
		return rc;
	}
	*out = s;
	return 0;
}

void fsp_spool_close(struct fsp_spool *s)
{
	int rootfd, rc;

	if (!s)
		return;
	/* What was promised and is not stored is the next mount's. */
	if (fsp_spool_has_journal(s->dirfd)) {
		fsp_warn("%s stays: it has commits that are not stored", s->dir);
		spool_free(s);
		return;
	}
	rc = fsp_spool_clear(s->dirfd, NULL, NULL);
	rootfd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (rootfd < 0)
		rc = rc ? rc : -errno;
	if (!rc)
		rc = fsp_spool_rmdir(rootfd, s->dirfd, s->id);
	if (rc)
		fsp_warn("%s stays: %s", s->dir, strerror(-rc));
	if (rootfd >= 0)
		close(rootfd);
	spool_free(s);
}

bool fsp_spool_alive(const char *path, const char *id)
{
	FSP_CLOSE int root = -1;
	FSP_CLOSE int dir = -1;
	FSP_CLOSE int lock = -1;
	int rc;

	if (!fsp_spool_id_valid(id))
		return false;
	/* Only what has been seen is dead: who cannot look must not judge. */
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return errno != ENOENT;
	dir = open_dir(root, id);
	if (dir < 0)
		return dir != -ENOENT;
	rc = fsp_spool_lock(dir, false, LOCK_SH, &lock);
	return rc && rc != -ENOENT;
}
