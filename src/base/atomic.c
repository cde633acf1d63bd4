/*
 * A file's life from temporary name to its place.
 *
 * The name is .tmp-HOST-PID-SEQ-RANDOM. HOST is a hash of the boot id and the
 * PID namespace: where it equals ours, PID can be asked whether it lives;
 * elsewhere only the file's age tells.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_file.h"

#define PREFIX ".tmp-"
#define MAX_AGE_NS (24 * 3600 * FSP_NS_PER_SEC)

struct fsp_atomic {
	int dirfd;              /* the caller's */
	int fd;
	int err;                /* of the first failed write, kept for commit */
	char name[96];
};

static pthread_once_t host_once = PTHREAD_ONCE_INIT;
static uint64_t host_hash;

static void find_host(void)
{
	FSP_BUF struct fsp_buf id = FSP_BUF_INIT;
	char ns[64];
	ssize_t n = readlink("/proc/self/ns/pid", ns, sizeof(ns));

	/* Without /proc we are a host of our own, and others go by age. */
	if (n < 0 ||
	    fsp_read_file("/proc/sys/kernel/random/boot_id", &id, 256) < 0) {
		fsp_random(&host_hash, sizeof(host_hash));
		return;
	}
	host_hash = fsp_hash64(id.data, id.len,
	                       fsp_hash64(ns, (size_t)n, 0));
}

static void make_name(char *out, size_t size)
{
	static atomic_uint_fast64_t seq;
	uint64_t random;

	(void)pthread_once(&host_once, find_host);
	fsp_random(&random, sizeof(random));
	(void)snprintf(out, size,
	               PREFIX "%016" PRIx64 "-%ld-%" PRIuFAST64 "-%016" PRIx64,
	               host_hash, (long)getpid(), atomic_fetch_add(&seq, 1),
	               random);
}

int fsp_atomic_begin(int dirfd, mode_t mode, struct fsp_atomic **out)
{
	struct fsp_atomic *a = calloc(1, sizeof(*a));
	int err;

	*out = NULL;
	if (!a)
		return -ENOMEM;
	a->dirfd = dirfd;
	make_name(a->name, sizeof(a->name));
	a->fd = TEMP_FAILURE_RETRY(openat(
		dirfd, a->name,
		O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
	if (a->fd < 0) {
		err = -errno;
		free(a);
		return err;
	}
	*out = a;
	return 0;
}

int fsp_atomic_fd(const struct fsp_atomic *a)
{
	return a->fd;
}

int fsp_atomic_write(struct fsp_atomic *a, const void *buf, size_t len)
{
	if (!a->err)
		a->err = fsp_write_all(a->fd, buf, len);
	return a->err;
}

static int sync_and_close(struct fsp_atomic *a)
{
	int err = a->err;

	if (!err && TEMP_FAILURE_RETRY(fsync(a->fd)) < 0)
		err = -errno;
	/* After EINTR the descriptor is closed all the same. */
	if (close(a->fd) < 0 && errno != EINTR && !err)
		err = -errno;
	a->fd = -1;
	return err;
}

static int replace(const struct fsp_atomic *a, const char *name)
{
	return renameat(a->dirfd, a->name, a->dirfd, name) < 0 ? -errno : 0;
}

static int rename_new(const struct fsp_atomic *a, const char *name)
{
	if (renameat2(a->dirfd, a->name, a->dirfd, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL)
		return -errno;
	/* This filesystem cannot do it in one step (NFS). */
	if (linkat(a->dirfd, a->name, a->dirfd, name, 0) < 0)
		return -errno;
	return unlinkat(a->dirfd, a->name, 0) < 0 ? -errno : 0;
}

static int commit(struct fsp_atomic *a, const char *name,
                  int (*place)(const struct fsp_atomic *, const char *))
{
	int err = sync_and_close(a);

	if (!err)
		err = place(a, name);
	if (err) {
		fsp_atomic_abort(a);
		return err;
	}
	err = fsp_fsync_dir(a->dirfd);
	free(a);
	return err;
}

int fsp_atomic_commit(struct fsp_atomic *a, const char *name)
{
	return commit(a, name, replace);
}

int fsp_atomic_commit_new(struct fsp_atomic *a, const char *name)
{
	return commit(a, name, rename_new);
}

int fsp_atomic_place(struct fsp_atomic *a, const char *name, bool replace_it,
                     int *fd)
{
	int err = a->err;

	if (!err)
		err = replace_it ? replace(a, name) : rename_new(a, name);
	if (err) {
		fsp_atomic_abort(a);
		return err;
	}
	if (fd)
		*fd = a->fd;
	else
		close(a->fd);   /* its writes have succeeded */
	free(a);
	return 0;
}

void fsp_atomic_abort(struct fsp_atomic *a)
{
	if (!a)
		return;
	if (a->fd >= 0)
		close(a->fd);
	/* What stays because this fails is the sweep's. */
	(void)unlinkat(a->dirfd, a->name, 0);
	free(a);
}

/* True when the name says that its maker ran here and lives no more. */
static bool maker_died(const char *name)
{
	uint64_t host;
	long pid;

	if (sscanf(name, PREFIX "%16" SCNx64 "-%ld-", &host, &pid) != 2 ||
	    host != host_hash || pid <= 0 || pid != (pid_t)pid)
		return false;
	return kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

static int sweep_one(int dirfd, const char *name)
{
	struct stat st;
	int64_t mtime;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISREG(st.st_mode))
		return 0;
	mtime = st.st_mtim.tv_sec * FSP_NS_PER_SEC + st.st_mtim.tv_nsec;
	if (!maker_died(name) && fsp_now_ns() - mtime <= MAX_AGE_NS)
		return 0;
	if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

static int sweep_dir(DIR *dir)
{
	int first = 0;

	for (;;) {
		const struct dirent *e;
		int err;

		errno = 0;
		e = readdir(dir);
		if (!e)
			return first ? first : -errno;
		if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) != 0)
			continue;
		err = sweep_one(dirfd(dir), e->d_name);
		if (err && !first)
			first = err;
	}
}

int fsp_atomic_sweep(int dirfd)
{
	DIR *dir;
	int err = fsp_opendir(dirfd, ".", 0, &dir);

	if (err)
		return err;
	(void)pthread_once(&host_once, find_host);
	err = sweep_dir(dir);
	(void)closedir(dir);    /* only read from: nothing can be lost */
	return err;
}
