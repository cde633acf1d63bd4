/* What cases prepare with: files, users, second processes. */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

unsigned sample_at, sample_every = 1;

bool left_out(void)
{
	static unsigned n;      /* from 0 in each process, so in both trees */

	return n++ % sample_every != sample_at;
}

int fewer(int n)
{
	return n / (int)(sample_every < 8 ? sample_every : 8);
}

void file_mode(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) ||
	    fchmod(fd, mode) || close(fd))
		step(label("make %s", path), -1);
}

void file(const char *path, const char *text)
{
	file_mode(path, text, 0644);
}

void dir(const char *path)
{
	if (mkdir(path, 0755))
		step(label("mkdir %s", path), -1);
}

void link_to(const char *target, const char *path)
{
	if (symlink(target, path))
		step(label("symlink %s", path), -1);
}

/* Bytes that do not compress well, the same for the same seed. */
int fill(const char *path, size_t len, unsigned seed)
{
	uint32_t x = seed * 2654435761u + 1;
	unsigned char *data = malloc(len);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (!data)
		abort();
	for (size_t i = 0; i < len; i++) {
		x = x * 1664525u + 1013904223u;
		data[i] = (unsigned char)(x >> 24);
	}
	if (fd < 0 || write(fd, data, len) != (ssize_t)len)
		step(label("fill %s", path), -1);
	free(data);
	return fd;
}

static int remove_one(const char *path, const struct stat *st, int type,
                      struct FTW *at)
{
	(void)st;
	(void)type;
	if (at->level == 0)
		return 0;
	return remove(path);
}

int wipe(const char *path, bool self)
{
	int rc = nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);

	return rc || !self ? rc : rmdir(path);
}

const char *const who_name[4] = { "root", "nobody", "alice", "bob" };

void become(enum who who)
{
	static const gid_t shared[] = { 2000 };
	static const uid_t ids[] = { 0, 65534, 1001, 1002 };
	uid_t id = ids[who];

	/* The saved id stays root's, for the way back. */
	if (setresuid(0, 0, 0) ||
	    setgroups(who == ALICE || who == BOB, shared) ||
	    setresgid(id, id, 0) || setresuid(id, id, 0)) {
		perror("setresuid");
		_exit(125);
	}
}

pid_t spawn(int (*run)(void))
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(run());
	if (pid < 0)
		step("fork", -1);
	return pid;
}

void reap(const char *what, pid_t pid)
{
	int status = -1;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		step(what, -1);
	else if (!WIFEXITED(status))
		say(what, "signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status))
		say(what, "%s", strerrorname_np(WEXITSTATUS(status)));
	else
		say(what, "ok");
}

void pause_ms(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000,
	                      .tv_nsec = ms % 1000 * 1000000 };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}
