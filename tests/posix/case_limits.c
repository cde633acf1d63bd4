/* Lengths of names and paths, loops of links, other filesystems, busy files. */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

static void on_name(const char *name)
{
	file("f", "x");
	OK(creat(name, 0644));
	OK(unlink(name));
	OK(mkdir(name, 0755));
	stat_of(name);
	OK(rmdir(name));
	OK(symlink("f", name));
	C(readlink(name, (char[8]){ "" }, 8));
	OK(unlink(name));
	OK(link("f", name));
	OK(unlink(name));
	OK(rename("f", name));
	content(name);
	OK(rename(name, "f"));
	OK(mkfifo(name, 0644));
	OK(access(name, F_OK));
	OK(truncate(name, 0));
	OK(chmod(name, 0600));
	OK(unlink(name));
	OK(open(name, O_RDONLY));
	OK(chdir(name));
}

static void long_names(void)
{
	char name[400], path[1000];

	memset(name, 'n', sizeof(name));
	name[255] = '\0';
	on_name(name);
	name[255] = 'n';
	name[256] = '\0';
	on_name(name);
	snprintf(path, sizeof(path), "%s/x", name);
	OK(open(path, O_RDONLY));
	snprintf(path, sizeof(path), "missing/%s", name);
	OK(open(path, O_RDONLY));
	name[255] = '\0';
	/* Bytes, not characters; and what the store has to encode. */
	for (size_t i = 0; i < 255; i++)
		name[i] = i % 2 ? '%' : '.';
	on_name(name);
	memset(name, 0xe4, 255);
	on_name(name);
	dir("d");
	snprintf(path, sizeof(path), "d/%s", name);
	on_name(path);
}

static void long_paths(void)
{
	char path[5000];

	file("f", "x");
	for (int i = 0; i < 4999; i++)
		path[i] = i % 2 ? '/' : '.';
	memcpy(path + 4094, "f", 2);
	OK(open(path, O_RDONLY));               /* 4095 bytes and the NUL */
	path[4094] = '.';
	memcpy(path + 4096, "f", 2);
	OK(open(path, O_RDONLY));
	OK(mkdir(path, 0755));
	OK(unlink(path));
	OK(rename(path, "g"));
	OK(rename("f", path));
	OK(symlink("x", path));
	OK(link("f", path));
}

/* Deep enough that no path from the top fits PATH_MAX. */
static void deep(void)
{
	char name[256];
	int depth = 0;

	memset(name, 'd', 255);
	name[255] = '\0';
	for (; depth < 14; depth++)
		if (mkdir(name, 0755) || chdir(name))
			break;
	say("levels of 255", "%d", depth);
	file("f", "deep");
	content("f");
	list(".");
	for (; depth > 0; depth--) {
		if (chdir(".."))
			step("chdir", -1);
		if (depth == 14)
			OK(wipe(name, true));
		else if (rmdir(name))
			step("rmdir", -1);
	}
	list(".");
}

/* As deep, with a path longer than PATH_MAX. */
static void deeper(void)
{
	char name[256];
	int made = 0;

	memset(name, 'd', 255);
	name[255] = '\0';
	for (int i = 0; i < 20; i++) {
		if (mkdir(name, 0755) || chdir(name))
			break;
		made++;
	}
	say("levels of 255", "%d", made);
	for (; made > 0; made--)
		if (chdir("..") || rmdir(name))
			step("back up", -1);
}

static void many_levels(void)
{
	for (int i = 0; i < 100; i++)
		if (mkdir("d", 0755) || chdir("d"))
			step("down", -1);
	file("f", "x");
	for (int i = 0; i < 100; i++)
		if (chdir(".."))
			step("up", -1);
	OK(rename("d/d/d/d", "e"));
	OK(rename("e", "d/d/d/e"));
	OK(wipe("d", true));
	list(".");
}

static void loops(void)
{
	char a[16], b[16];

	file("l0", "end");
	for (int i = 1; i <= 41; i++) {
		snprintf(a, sizeof(a), "l%d", i - 1);
		snprintf(b, sizeof(b), "l%d", i);
		link_to(a, b);
	}
	content("l40");
	content("l41");
	link_to("y", "x");
	link_to("x", "y");
	OK(open("x", O_RDONLY));
	OK(open("x", O_CREAT | O_WRONLY, 0644));
	OK(chmod("x", 0644));
	OK(truncate("x", 0));
	OK(access("x", F_OK));
	OK(chdir("x"));
	OK(mkdir("x/a", 0755));
	OK(unlink("x"));
	OK(rename("y/z", "w"));
	link_to(".", "here");
	content("here/here/here/l3");
	link_to("self/x", "self");
	OK(open("self", O_RDONLY));
}

static void other_filesystem(void)
{
	int fd = open("/proc/self", O_PATH), shm = open("/dev/shm", O_RDONLY);

	file("f", "x");
	dir("d");
	OK(renameat(AT_FDCWD, "f", shm, "posix-suite"));
	OK(renameat(AT_FDCWD, "d", shm, "posix-suite"));
	OK(linkat(AT_FDCWD, "f", shm, "posix-suite", 0));
	OK(linkat(fd, "status", AT_FDCWD, "g", 0));
	OK(renameat(fd, "status", AT_FDCWD, "g"));
	tree(".");
	close(fd);
	close(shm);
}

static void mount_points(void)
{
	dir("m");
	dir("n");
	file("f", "x");
	if (mount("none", "m", "tmpfs", 0, "size=64k")) {
		say("mount", "%s", "no");
		return;
	}
	OK(rmdir("m"));
	OK(rename("m", "o"));
	OK(rename("n", "m"));
	OK(link("f", "m/f"));
	OK(rename("f", "m/f"));
	OK(unlink("m"));
	OK(umount("m"));
	OK(rmdir("m"));
}

static void running(void)
{
	int p[2], fd, status = 0;
	pid_t pid;

	OK(system("cp /bin/cat cat"));
	OK(chmod("cat", 0755));
	if (pipe(p))
		step("pipe", -1);
	pid = fork();
	if (pid == 0) {
		dup2(p[0], 0);
		close(p[0]);
		close(p[1]);
		execl("./cat", "cat", (char *)NULL);
		_exit(errno);
	}
	close(p[0]);
	pause_ms(200);
	fd = open("cat", O_WRONLY);
	step_ok("write a running program", fd);
	close(fd);
	OK(truncate("cat", 0));
	OK(rename("cat", "tac"));
	OK(unlink("tac"));
	close(p[1]);
	waitpid(pid, &status, 0);
	say("it ended with", "%d", status);
}

static void filesystem(void)
{
	struct statvfs s, t;
	int fd;

	file("f", "x");
	fd = open("f", O_RDONLY);
	C(statvfs(".", &s));
	C(fstatvfs(fd, &t));
	say("name_max", "%lu", s.f_namemax);
	say("sane", "%d %d %d %d %d", s.f_frsize >= 512, s.f_bsize >= 512,
	    s.f_blocks > 0 && s.f_bfree <= s.f_blocks,
	    s.f_bavail <= s.f_bfree, s.f_ffree <= s.f_files);
	say("same", "%d", s.f_fsid == t.f_fsid && s.f_blocks == t.f_blocks);
	C(statvfs("missing", &s));
	C(statvfs("f/x", &s));
	C(statvfs("", &s));
	C(pathconf("f", _PC_NAME_MAX));
	C(pathconf("f", _PC_PATH_MAX));
	C(pathconf("f", _PC_PIPE_BUF));
	C(pathconf("f", _PC_NO_TRUNC));
	C(pathconf("f", _PC_CHOWN_RESTRICTED));
	close(fd);
}

const struct posix_case cases_limits[] = {
	{ "limits_names", long_names, AT_ALL },
	{ "limits_paths", long_paths, AT_ALL },
	{ "limits_deep", deep, AT_ALL },
	{ "limits_deeper", deeper, 0 },
	{ "limits_levels", many_levels, AT_ALL },
	{ "limits_loops", loops, AT_ALL },
	{ "exdev", other_filesystem, AT_ALL },
	{ "ebusy", mount_points, AT_ALL | AS_ROOT },
	{ "running", running, AT_ALL },
	{ "statvfs", filesystem, AT_ALL },
	{ NULL, NULL, 0 },
};
