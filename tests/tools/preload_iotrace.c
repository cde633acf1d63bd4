/*
 * LD_PRELOAD library: records the calls of a process that make data durable,
 * in the order in which they returned, and makes one of them fail on demand.
 *
 *   IOTRACE_OUT      the record: a line for each call, "op path [path2] = 0"
 *   IOTRACE_PREFIX   only calls on paths that begin with this
 *   IOTRACE_FAULT    a file that may hold "op substring nth errno": the nth
 *                    call from then on of that op whose path has the
 *                    substring fails; then the file is renamed to *.fired
 *   IOTRACE_HOLD     a file that may hold "op substring seconds": each call of
 *                    that op whose path has the substring waits while it does,
 *                    and no longer than that; the first one makes *.held
 *
 * Lines are written with one write(2) each before the call returns to its
 * caller, so a line that another process adds afterwards comes after.
 */
/* Both names of pwrite and the like are defined here, so neither may be the
 * other by way of a macro or an asm label. */
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char armed[256];         /* the fault that is being counted */
static unsigned long seen;

static void *real(const char *name)
{
	void *f = dlsym(RTLD_NEXT, name);

	if (!f)
		abort();
	return f;
}

#define CALL(name, type) ((type)real(name))

static void path_of_fd(int fd, char *out, size_t size)
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, out, size - 1);
	out[n < 0 ? 0 : n] = '\0';
}

static void path_at(int dirfd, const char *path, char *out, size_t size)
{
	size_t n;

	out[0] = '\0';
	if (*path != '/') {
		if (dirfd != AT_FDCWD)
			path_of_fd(dirfd, out, size);
		else if (!getcwd(out, size))
			out[0] = '\0';
	}
	n = strlen(out);
	snprintf(out + n, size - n, "%s%s", n ? "/" : "", path);
}

static bool traced(const char *path)
{
	const char *prefix = getenv("IOTRACE_PREFIX");

	return prefix && !strncmp(path, prefix, strlen(prefix));
}

static void record(const char *op, const char *path, const char *path2, long rc,
                   int err)
{
	const char *out = getenv("IOTRACE_OUT");
	char line[2 * PATH_MAX + 128];
	int fd, n;

	if (!out || !(traced(path) || (path2 && traced(path2))))
		return;
	n = snprintf(line, sizeof(line), "%s %s%s%s = %s\n", op, path,
	             path2 ? " " : "", path2 ? path2 : "",
	             rc < 0 ? strerrorname_np(err) : "0");
	fd = (int)syscall(SYS_openat, AT_FDCWD, out,
	                  O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0 || syscall(SYS_write, fd, line, (size_t)n) != n)
		abort();
	syscall(SYS_close, fd);
}

static int errno_of(const char *name)
{
	for (int e = 1; e < 134; e++)
		if (strerrorname_np(e) && !strcmp(strerrorname_np(e), name))
			return e;
	return EIO;
}

static bool read_fault(const char *file, char *out, size_t size)
{
	int fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = syscall(SYS_read, fd, out, size - 1);
	syscall(SYS_close, fd);
	out[n < 0 ? 0 : n] = '\0';
	return n > 0;
}

/* The errno with which this call has to fail, or 0. */
static int fault(const char *op, const char *path)
{
	const char *file = getenv("IOTRACE_FAULT");
	char text[256], name[32], part[128], err[32], fired[PATH_MAX];
	unsigned long nth;
	int e = 0;

	if (!file || !traced(path))
		return 0;
	pthread_mutex_lock(&lock);
	if (read_fault(file, text, sizeof(text)) &&
	    sscanf(text, "%31s %127s %lu %31s", name, part, &nth, err) == 4) {
		if (strcmp(text, armed) != 0) {
			strcpy(armed, text);
			seen = 0;
		}
		if (!strcmp(name, op) && strstr(path, part) && ++seen == nth) {
			e = errno_of(err);
			armed[0] = '\0';
			snprintf(fired, sizeof(fired), "%s.fired", file);
			syscall(SYS_renameat2, AT_FDCWD, file, AT_FDCWD, fired, 0);
		}
	}
	pthread_mutex_unlock(&lock);
	return e;
}

/* For how many seconds such a call has to wait, 0 for not at all. */
static unsigned int held(const char *file, const char *op, const char *path)
{
	char text[256], name[32], part[128];
	unsigned int s;

	if (read_fault(file, text, sizeof(text)) &&
	    sscanf(text, "%31s %127s %u", name, part, &s) == 3 &&
	    !strcmp(name, op) && strstr(path, part))
		return s;
	return 0;
}

static void hold(const char *op, const char *path)
{
	const char *file = getenv("IOTRACE_HOLD");
	char sign[PATH_MAX];
	int fd;

	if (!file || !traced(path) || !held(file, op, path))
		return;
	snprintf(sign, sizeof(sign), "%s.held", file);
	fd = (int)syscall(SYS_openat, AT_FDCWD, sign,
	                  O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		abort();
	syscall(SYS_close, fd);
	for (unsigned int n = 0; n < 100 * held(file, op, path); n++)
		usleep(10000);
}

/* Waits or fails as asked or calls, then records; for calls on a descriptor. */
#define ON_FD(op, fd, call)                                                    \
	do {                                                                   \
		char path_[PATH_MAX];                                          \
		int err_;                                                      \
		path_of_fd(fd, path_, sizeof(path_));                          \
		hold(op, path_);                                               \
		err_ = fault(op, path_);                                       \
		rc = err_ ? -1 : (call);                                       \
		err_ = err_ ? err_ : errno;                                    \
		record(op, path_, NULL, (long)rc, err_);                       \
		errno = err_;                                                  \
	} while (0)

int fsync(int fd)
{
	int rc;

	ON_FD("fsync", fd, CALL("fsync", int (*)(int))(fd));
	return rc;
}

/* To a reader of the record the two are the same. */
int fdatasync(int fd)
{
	int rc;

	ON_FD("fsync", fd, CALL("fdatasync", int (*)(int))(fd));
	return rc;
}

int syncfs(int fd)
{
	int rc;

	ON_FD("syncfs", fd, CALL("syncfs", int (*)(int))(fd));
	return rc;
}

int ftruncate(int fd, off_t size)
{
	int rc;

	ON_FD("ftruncate", fd, CALL("ftruncate", int (*)(int, off_t))(fd, size));
	return rc;
}

ssize_t write(int fd, const void *buf, size_t n)
{
	ssize_t rc;

	ON_FD("write", fd,
	      CALL("write", ssize_t(*)(int, const void *, size_t))(fd, buf, n));
	return rc;
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t off)
{
	ssize_t rc;

	ON_FD("write", fd,
	      CALL("pwrite", ssize_t(*)(int, const void *, size_t, off_t))
	      (fd, buf, n, off));
	return rc;
}

/* Reading has no order that anybody asks for: it is not recorded. */
ssize_t pread(int fd, void *buf, size_t n, off_t off)
{
	char path[PATH_MAX];

	path_of_fd(fd, path, sizeof(path));
	hold("read", path);
	return CALL("pread", ssize_t(*)(int, void *, size_t, off_t))
		(fd, buf, n, off);
}

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t off)
{
	ssize_t rc;

	ON_FD("write", fd,
	      CALL("pwritev", ssize_t(*)(int, const struct iovec *, int, off_t))
	      (fd, v, n, off));
	return rc;
}

/* The callers built with 64-bit offsets use these names; off_t is the same. */
int ftruncate64(int fd, off64_t size);
int ftruncate64(int fd, off64_t size)
{
	return ftruncate(fd, size);
}

ssize_t pwrite64(int fd, const void *buf, size_t n, off64_t off);
ssize_t pwrite64(int fd, const void *buf, size_t n, off64_t off)
{
	return pwrite(fd, buf, n, off);
}

ssize_t pread64(int fd, void *buf, size_t n, off64_t off);
ssize_t pread64(int fd, void *buf, size_t n, off64_t off)
{
	return pread(fd, buf, n, off);
}

ssize_t pwritev64(int fd, const struct iovec *v, int n, off64_t off);
ssize_t pwritev64(int fd, const struct iovec *v, int n, off64_t off)
{
	return pwritev(fd, v, n, off);
}

static int two(const char *op, int fd1, const char *p1, int fd2, const char *p2,
               int how, unsigned int flags)
{
	char from[PATH_MAX], to[PATH_MAX];
	int rc, err;

	path_at(fd1, p1, from, sizeof(from));
	path_at(fd2, p2, to, sizeof(to));
	err = fault(op, to);
	if (err)
		rc = -1;
	else if (how == SYS_linkat)
		rc = (int)syscall(SYS_linkat, fd1, p1, fd2, p2, flags);
	else
		rc = (int)syscall(SYS_renameat2, fd1, p1, fd2, p2, flags);
	err = err ? err : errno;
	record(op, from, to, rc, err);
	errno = err;
	return rc;
}

int rename(const char *from, const char *to)
{
	return two("rename", AT_FDCWD, from, AT_FDCWD, to, SYS_renameat2, 0);
}

int renameat(int fd1, const char *from, int fd2, const char *to)
{
	return two("rename", fd1, from, fd2, to, SYS_renameat2, 0);
}

int renameat2(int fd1, const char *from, int fd2, const char *to,
              unsigned int flags)
{
	return two("rename", fd1, from, fd2, to, SYS_renameat2, flags);
}

int link(const char *from, const char *to)
{
	return two("link", AT_FDCWD, from, AT_FDCWD, to, SYS_linkat, 0);
}

int linkat(int fd1, const char *from, int fd2, const char *to, int flags)
{
	return two("link", fd1, from, fd2, to, SYS_linkat, (unsigned int)flags);
}

int unlinkat(int fd, const char *path, int flags)
{
	char full[PATH_MAX];
	int rc, err;

	path_at(fd, path, full, sizeof(full));
	err = fault("unlink", full);
	rc = err ? -1 : (int)syscall(SYS_unlinkat, fd, path, flags);
	err = err ? err : errno;
	record("unlink", full, NULL, rc, err);
	errno = err;
	return rc;
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}
