/* What users may do: permission bits, sticky and setgid directories. */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const mode_t file_modes[] = { 0, 0400, 0200, 0100, 0040, 0020, 0010,
	                             0004, 0002, 0001, 0644, 0666, 0755, 0077,
	                             0707 };

/* Alice's file with the group that she and Bob share. */
static void files(void)
{
	file("f", "x");
	OK(chown("f", 1001, 2000));
	for (size_t m = 0; m < COUNT(file_modes); m++) {
		for (int who = ROOT; who <= BOB; who++) {
			become(ROOT);
			OK(chmod("f", file_modes[m]));
			become(who);
			say("as", "%s %04o", who_name[who], file_modes[m]);
			OK(access("f", R_OK));
			OK(access("f", W_OK));
			OK(access("f", X_OK));
			OK(access("f", R_OK | W_OK | X_OK));
			OK(faccessat(AT_FDCWD, "f", R_OK | X_OK, AT_EACCESS));
			OK(open("f", O_RDONLY));
			OK(open("f", O_WRONLY));
			OK(open("f", O_RDWR | O_CREAT, 0600));
			OK(open("f", O_RDONLY | O_TRUNC));
			OK(open("f", O_PATH));
			OK(open("f", O_RDONLY | O_NOATIME));
			OK(truncate("f", 1));
			stat_of("f");
		}
	}
}

static void in_directory(void)
{
	int fd;

	OK(access("d/f", F_OK));
	stat_of("d/f");
	stat_of("d/none");
	content("d/f");
	list("d");
	OK(chdir("d"));
	OK(fchdir(AT_FDCWD));
	OK(open("d", O_RDONLY | O_DIRECTORY));
	OK(open("d/new", O_CREAT | O_WRONLY, 0644));
	OK(open("d/f", O_CREAT | O_WRONLY, 0644));
	OK(mkdir("d/sub", 0755));
	OK(mkdir("d/f", 0755));
	OK(symlink("x", "d/l"));
	OK(mkfifo("d/p", 0644));
	OK(link("mine", "d/h"));
	OK(rename("mine", "d/f"));
	OK(rename("d/f", "mine2"));
	OK(unlink("d/f"));
	OK(unlink("d/none"));
	OK(rmdir("d/empty"));
	OK(rename("d/g", "d/g2"));
	OK(chmod("d/f", 0644));
	OK(truncate("d/f", 0));
	fd = open("d", O_PATH);
	OK(openat(fd, "f", O_RDONLY));
	close(fd);
}

static void directories(void)
{
	static const mode_t dirs[] = { 0, 0111, 0222, 0333, 0444, 0555, 0666,
		                       0777, 0711, 0750, 0705 };

	for (size_t m = 0; m < COUNT(dirs); m++) {
		for (int who = ROOT; who <= BOB; who++) {
			int fd;

			if (left_out())
				continue;
			fd = open(".", O_PATH);
			dir("d");
			file_mode("d/f", "x", 0666);
			file_mode("d/g", "g", 0666);
			dir("d/empty");
			OK(chown("d", 1001, 2000));
			OK(chmod("d", dirs[m]));
			become(who);
			say("as", "%s %04o", who_name[who], dirs[m]);
			file("mine", "m");
			in_directory();
			become(ROOT);
			OK(fchdir(fd));
			close(fd);
			OK(chmod("d", 0755));
			tree(".");
			OK(wipe(".", false));
		}
	}
}

/* In a sticky directory of Alice's: what is each one's own? */
static void sticky_by(enum who who)
{
	say("as", "%s", who_name[who]);
	dir("s");
	OK(chown("s", 1001, 1001));
	OK(chmod("s", 01777));
	become(NOBODY);
	file_mode("s/nobody", "n", 0666);
	file_mode("s/nobody2", "n", 0666);
	dir("s/nobodys");
	become(BOB);
	file_mode("s/bob", "b", 0666);
	file_mode("s/bob2", "b", 0666);
	become(who);
	OK(unlink("s/nobody"));
	OK(rename("s/nobody2", "s/moved"));
	OK(rmdir("s/nobodys"));
	OK(rename("s/nobodys", "s/movedir"));
	file("mine", "m");
	OK(rename("mine", "s/bob"));
	OK(rename("s/bob2", "mine"));
	OK(rename("s/bob", "s/bob2"));
	OK(link("s/bob2", "s/link"));
	OK(truncate("s/bob2", 0));
	OK(unlink("s/bob2"));
	OK(rmdir("s"));
	become(ROOT);
	tree(".");
	OK(wipe(".", false));
}

static void sticky(void)
{
	for (int who = ROOT; who <= BOB; who++)
		sticky_by(who);
}

static void make_one_of_each(const char *in)
{
	char p[64];

	snprintf(p, sizeof(p), "%s/f", in);
	OK(open(p, O_CREAT | O_WRONLY, 02775));
	snprintf(p, sizeof(p), "%s/g", in);
	OK(open(p, O_CREAT | O_WRONLY, 02664));
	snprintf(p, sizeof(p), "%s/d", in);
	OK(mkdir(p, 0775));
	snprintf(p, sizeof(p), "%s/d/e", in);
	OK(mkdir(p, 02700));
	snprintf(p, sizeof(p), "%s/l", in);
	OK(symlink("x", p));
	snprintf(p, sizeof(p), "%s/p", in);
	OK(mkfifo(p, 02770));
	snprintf(p, sizeof(p), "%s/m", in);
	OK(mknod(p, S_IFREG | 02775, 0));
}

/* A new entry has the group of a setgid directory, else its maker's. */
static void setgid_directories(void)
{
	static const gid_t groups[] = { 0, 1001, 2000, 3000 };

	for (int who = ROOT; who <= BOB; who++) {
		for (size_t g = 0; g < COUNT(groups); g++) {
			become(ROOT);
			dir("plain");
			OK(chown("plain", 0, groups[g]));
			OK(chmod("plain", 0777));
			dir("gid");
			OK(chown("gid", 0, groups[g]));
			OK(chmod("gid", 02777));
			become(who);
			say("as", "%s in %u", who_name[who], groups[g]);
			make_one_of_each("plain");
			make_one_of_each("gid");
			file("moved", "m");
			OK(rename("moved", "gid/moved"));
			become(ROOT);
			tree(".");
			OK(wipe(".", false));
		}
	}
}

/* A descriptor keeps the rights that it was opened with. */
static void rights_kept(void)
{
	char buf[4];
	int r, w;

	file("f", "text");
	OK(chown("f", 1001, 1001));
	OK(chmod("f", 0600));
	r = open("f", O_RDONLY);
	w = open("f", O_WRONLY);
	become(BOB);
	OK(open("f", O_RDONLY));
	C(read(r, buf, 4));
	C(pwrite(w, "T", 1, 0));
	OK(ftruncate(w, 3));
	OK(fsync(w));
	OK(fchmod(w, 0666));
	become(ALICE);
	OK(fchmod(w, 0));
	C(pread(r, buf, 4, 0));
	C(pwrite(w, "E", 1, 1));
	OK(open("f", O_RDONLY));
	OK(close(w));
	become(ROOT);
	content("f");
	stat_of("f");
}

static void run_it(enum who who, mode_t mode)
{
	pid_t pid;
	int status = 0;

	become(ROOT);
	OK(chmod("script", mode));
	pid = fork();
	if (pid == 0) {
		close(STDERR_FILENO);
		become(who);
		execl("./script", "script", (char *)NULL);
		_exit(errno);
	}
	waitpid(pid, &status, 0);
	say(label("exec by %s of %04o", who_name[who], mode), "%s",
	    WEXITSTATUS(status) == 42 ? "ran"
	                              : strerrorname_np(WEXITSTATUS(status)));
}

static void execution(void)
{
	static const mode_t modes[] = { 0644, 0711, 0755, 0700, 0100, 0010, 0001 };

	file("script", "#!/bin/sh\nexit 42\n");
	OK(chown("script", 1001, 2000));
	for (int who = ROOT; who <= BOB; who++)
		for (size_t m = 0; m < COUNT(modes); m++)
			run_it(who, modes[m]);
}

/* The path to it counts, and only it. */
static void on_the_way(void)
{
	int d;

	dir("a");
	dir("a/b");
	file_mode("a/b/f", "x", 0666);
	OK(chmod("a", 0700));
	d = open("a/b", O_PATH);
	become(BOB);
	stat_of("a/b/f");
	OK(open("a/b/f", O_RDONLY));
	OK(open("a/none", O_RDONLY));
	OK(open("none/f", O_RDONLY));
	OK(openat(d, "f", O_RDWR));
	OK(fchdir(d));
	content("f");
	OK(access("../b", F_OK));
	OK(access("..", F_OK));
	OK(rename("f", "g"));
}

const struct posix_case cases_users[] = {
	{ "users_files", files, AS_ROOT },
	{ "users_directories", directories, AS_ROOT },
	{ "users_sticky", sticky, AS_ROOT | AT_ALL },
	{ "users_setgid", setgid_directories, AS_ROOT | AT_ALL },
	{ "users_rights_kept", rights_kept, AS_ROOT },
	{ "users_exec", execution, AS_ROOT },
	{ "users_path", on_the_way, AS_ROOT | AT_ALL },
	{ NULL, NULL, 0 },
};
