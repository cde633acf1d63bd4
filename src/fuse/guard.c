/*
 * When the daemon dies, its mount must not hang: DESIGN.md, "The guard".
 *
 * The kernel ends a connection when the last descriptor of it is closed, which
 * happens as the daemon's last thread ends. But a thread that tells the kernel of
 * a change may wait there for a lock that a caller holds, who waits for an answer
 * of the daemon: then it never ends, and kill -9 leaves both in D state.
 */
#include "fuse_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fsp_log.h"
#include "fsp_mounts.h"

#define DIED SIGUSR1
#define LOOK_NS (50 * 1000 * 1000L)
#define LOOKS 20                /* a second in all */
#define TYPE " - fuse.filespacefs "

/*
 * After fork() in a process with threads: only what is safe in a signal handler,
 * so the list of mounts is read in pieces, a line at a time.
 */
static bool line_is_ours(const char *line, const char *key)
{
	return strncmp(line, key, strlen(key)) == 0 && strstr(line, TYPE);
}

static bool still_mounted(const char *key)
{
	static char line[8192];
	char piece[4096];
	size_t len = 0;
	ssize_t n;
	bool found = false;
	int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);

	while (fd >= 0 && !found && (n = read(fd, piece, sizeof(piece))) > 0) {
		for (ssize_t i = 0; i < n && !found; i++) {
			if (len < sizeof(line) - 1)
				line[len++] = piece[i];
			if (piece[i] != '\n')
				continue;
			line[len] = '\0';
			found = line_is_ours(line, key);
			len = 0;
		}
	}
	if (fd >= 0)
		close(fd);
	return found;
}

/* Is this the very mount, and not one that was put in its place since? */
static bool is_of(int fd, const char *key)
{
	char path[48], info[512];
	const char *id;
	ssize_t n;
	int at;

	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	at = open(path, O_RDONLY | O_CLOEXEC);
	n = at < 0 ? -1 : read(at, info, sizeof(info) - 1);
	if (at >= 0)
		close(at);
	info[n > 0 ? n : 0] = '\0';
	id = strstr(info, "mnt_id:");
	return id && atol(id + strlen("mnt_id:")) == atol(key);
}

/*
 * Ends the connection, and then finds that the mount is in use: it stays, since
 * without it callers would write below it and not notice. O_PATH asks no daemon.
 */
static void force(const struct fuse_conn_name *c)
{
	int fd = open(c->mountpoint, O_PATH | O_CLOEXEC);
	char path[48];

	if (fd < 0)
		return;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (is_of(fd, c->key))
		(void)umount2(path, MNT_FORCE);
	close(fd);
}

static void abort_connection(const struct fuse_conn_name *c)
{
	int fd;

	if (!*c->key || !still_mounted(c->key))
		return;
	fd = open(c->abort, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "1", 1) == 1) {
		close(fd);
		return;
	}
	if (fd >= 0)
		close(fd);
	force(c);
}

/* Has the daemon threads that do not end? Its first one stays as a zombie. */
static bool lingers(const char *tasks, pid_t daemon)
{
	char buf[2048];
	bool found = false;
	int fd = open(tasks, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long n, off;

	while (fd >= 0 && !found &&
	       (n = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0) {
		for (off = 0; off < n && !found;) {
			const struct dirent64 *e = (const void *)(buf + off);
			long tid = atol(e->d_name);

			found = tid > 0 && tid != daemon;
			off += e->d_reclen;
		}
	}
	if (fd >= 0)
		close(fd);
	return found;
}

/*
 * Mostly it has just ended, and its connection with it. Ids of mounts are used
 * again, so nothing is done where nothing is left.
 */
static bool hangs(pid_t daemon)
{
	const struct timespec pause = { .tv_nsec = LOOK_NS };
	char tasks[32];

	(void)snprintf(tasks, sizeof(tasks), "/proc/%d/task", (int)daemon);
	for (int i = 0; i < LOOKS; i++) {
		if (!lingers(tasks, daemon))
			return false;
		nanosleep(&pause, NULL);
	}
	return lingers(tasks, daemon);
}

static void guard(const struct fuse_conn_name *c, pid_t daemon, int end)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	sigset_t died;
	char byte;

	sigemptyset(&died);
	sigaddset(&died, DIED);
	sigprocmask(SIG_SETMASK, &died, NULL);
	/* Whoever ends a whole group of processes means the daemon. */
	sigaction(SIGINT, &ignore, NULL);
	sigaction(SIGTERM, &ignore, NULL);
	sigaction(SIGHUP, &ignore, NULL);
	sigaction(SIGQUIT, &ignore, NULL);
	if (prctl(PR_SET_PDEATHSIG, DIED) || chdir("/"))
		_exit(1);
	/* A thread that stays is our parent then, so the signal has to tell. */
	while (getppid() == daemon) {
		siginfo_t info = { 0 };

		if (sigwaitinfo(&died, &info) == DIED &&
		    (info.si_pid == daemon || !info.si_pid))
			break;
	}
	/* It ended as it should where it has said so. */
	if (read(end, &byte, 1) != 1 && hangs(daemon))
		abort_connection(c);
	_exit(0);
}

/* Nothing of the daemon's stays open in the guard but the pipe's end. */
static void let_go(int end)
{
	int null = open("/dev/null", O_RDWR);

	for (int fd = 0; fd <= 2 && null >= 0; fd++)
		dup2(null, fd);
	if (end > 3)
		close_range(3, (unsigned)end - 1, 0);
	close_range((unsigned)end + 1, ~0U, 0);
}

static int name_of(const char *mountpoint, struct fuse_conn_name *c)
{
	unsigned minor;
	int err = fsp_mounts_key(mountpoint, c->key, sizeof(c->key), &minor);

	if (err)
		return err;
	if (strlen(mountpoint) >= sizeof(c->mountpoint))
		return -ENAMETOOLONG;
	strcpy(c->mountpoint, mountpoint);
	(void)snprintf(c->abort, sizeof(c->abort),
	               "/sys/fs/fuse/connections/%u/abort", minor);
	return 0;
}

int fuse_guard_begin(struct fsp_fuse *f)
{
	pid_t daemon = getpid();
	int ends[2], err = name_of(f->o.mountpoint, &f->conn);

	f->guard_pipe = -1;
	if (!err && pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		err = -errno;
	if (err)
		return err;
	f->guard = fork();
	if (f->guard == 0) {
		let_go(ends[0]);
		guard(&f->conn, daemon, ends[0]);
	}
	err = f->guard < 0 ? -errno : 0;
	close(ends[0]);
	f->guard_pipe = ends[1];
	return err;
}

void fuse_guard_end(struct fsp_fuse *f)
{
	if (f->guard <= 0)
		return;
	if (write(f->guard_pipe, "", 1) != 1)
		fsp_warn("the guard of the mount has gone: %s", strerror(errno));
	close(f->guard_pipe);
	kill(f->guard, SIGKILL);
	while (waitpid(f->guard, NULL, 0) < 0 && errno == EINTR)
		;
	f->guard = 0;
}

void fuse_abort(struct fsp_fuse *f)
{
	abort_connection(&f->conn);
}
