/* open(2), creat(2): flags, kinds of targets, modes, who may. */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const struct {
	const char *name;
	int flags;
} flag_sets[] = {
	{ "RDONLY", O_RDONLY },
	{ "WRONLY", O_WRONLY },
	{ "RDWR", O_RDWR },
	{ "ACCMODE", O_ACCMODE },
	{ "RDONLY|TRUNC", O_RDONLY | O_TRUNC },
	{ "WRONLY|TRUNC", O_WRONLY | O_TRUNC },
	{ "WRONLY|APPEND", O_WRONLY | O_APPEND },
	{ "RDONLY|CREAT", O_RDONLY | O_CREAT },
	{ "RDWR|CREAT", O_RDWR | O_CREAT },
	{ "WRONLY|CREAT|TRUNC", O_WRONLY | O_CREAT | O_TRUNC },
	{ "RDWR|CREAT|EXCL", O_RDWR | O_CREAT | O_EXCL },
	{ "RDWR|CREAT|NOFOLLOW", O_RDWR | O_CREAT | O_NOFOLLOW },
	{ "RDONLY|DIRECTORY", O_RDONLY | O_DIRECTORY },
	{ "RDWR|DIRECTORY", O_RDWR | O_DIRECTORY },
	{ "RDWR|CREAT|DIRECTORY", O_RDWR | O_CREAT | O_DIRECTORY },
	{ "RDONLY|NOFOLLOW", O_RDONLY | O_NOFOLLOW },
	{ "RDONLY|DIRECTORY|NOFOLLOW", O_RDONLY | O_DIRECTORY | O_NOFOLLOW },
	{ "PATH", O_PATH },
	{ "PATH|NOFOLLOW", O_PATH | O_NOFOLLOW },
	{ "PATH|DIRECTORY", O_PATH | O_DIRECTORY },
	{ "WRONLY|SYNC", O_WRONLY | O_SYNC },
	{ "WRONLY|DSYNC", O_WRONLY | O_DSYNC },
	{ "RDONLY|NOATIME", O_RDONLY | O_NOATIME },
};

static void make_socket(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)))
		step(label("bind %s", path), -1);
	close(fd);
}

static void targets(void)
{
	file("file", "0123456789");
	dir("dir");
	file("dir/in", "in");
	link_to("file", "tofile");
	link_to("dir", "todir");
	link_to("new-by-link", "dangling");
	link_to("loop", "loop");
	if (mkfifo("fifo", 0644))
		step("mkfifo", -1);
	make_socket("socket");
}

static void matrix(void)
{
	static const char *const paths[] = {
		"missing", "file", "dir", "tofile", "todir", "dangling", "loop",
		"fifo", "socket", "", ".", "..", "file/", "dir/", "todir/",
		"missing/", "file/x", "missing/x", "dir/in", "todir/in",
		"dir/../file", "file/..", "dangling/", "tofile/",
	};

	for (size_t f = 0; f < COUNT(flag_sets); f++) {
		targets();
		for (size_t p = 0; p < COUNT(paths); p++) {
			const char *l = label("%s %s", flag_sets[f].name, paths[p]);
			char text[128];
			int fd;

			snprintf(text, sizeof(text), "%s", l);
			fd = open(paths[p], flag_sets[f].flags | O_NONBLOCK |
			          O_CLOEXEC, 0640);
			step_ok(text, fd);
			if (fd >= 0 && strcmp(paths[p], "..") != 0)
				fstat_of(text, fd);
			if (fd >= 0)
				close(fd);
		}
		tree(".");
		if (wipe(".", false))
			step("wipe", -1);
	}
}

static void modes(void)
{
	static const mode_t masks[] = { 0, 022, 027, 077, 0777 };
	static const mode_t given[] = { 0, 0600, 0644, 0666, 0755, 0777, 07777,
		                        01644, 02755, 04711 };

	for (size_t u = 0; u < COUNT(masks); u++) {
		umask(masks[u]);
		for (size_t m = 0; m < COUNT(given); m++) {
			int fd;

			if (left_out())
				continue;
			fd = open("f", O_RDWR | O_CREAT | O_EXCL, given[m]);
			step_ok(label("open %o mask %o", given[m], masks[u]), fd);
			fstat_of("f", fd);
			/* The mode binds later opens, not this one. */
			C(write(fd, "x", 1));
			close(fd);
			stat_of("f");
			OK(unlink("f"));
			OK(creat("f", given[m]));
			OK(mkdir("d", given[m]));
			OK(mkfifo("p", given[m]));
			OK(mknod("n", S_IFREG | given[m], 0));
			OK(symlink("x", "l"));
			list(".");
			tree(".");
			umask(0);
			if (wipe(".", false))
				step("wipe", -1);
			umask(masks[u]);
		}
	}
}

static void created(void)
{
	int fd;

	fd = OK(creat("a", 0444));
	fd = open("a", O_WRONLY);
	step_ok("a second open for writing of 0444", fd);
	close(fd);
	fd = open("b", O_RDONLY | O_CREAT, 0200);
	step_ok("created for reading, mode 0200", fd);
	C(read(fd, &(char[4]){ 0 }, 4));
	C(write(fd, "x", 1));
	close(fd);
	fd = open("c", O_WRONLY | O_CREAT, 0600);
	C(read(fd, &(char[4]){ 0 }, 4));
	OK(open("c", O_CREAT | O_EXCL | O_WRONLY, 0600));
	OK(symlink("nowhere", "s"));
	OK(open("s", O_CREAT | O_EXCL | O_WRONLY, 0600));
	OK(open("s", O_CREAT | O_WRONLY | O_NOFOLLOW, 0600));
	OK(open("s", O_CREAT | O_WRONLY, 0600));
	OK(openat(fd, "x", O_RDONLY));
	OK(openat(-1, "x", O_RDONLY));
	OK(openat(AT_FDCWD, "c", O_RDONLY));
	close(fd);
	OK(openat(fd, "x", O_RDONLY));
	OK(creat("d/none", 0644));
	OK(creat("a/none", 0644));
	OK(mkdir("d", 0755));
	OK(creat("d", 0644));
	tree(".");
}

static void truncation(void)
{
	int fd, other;

	file("f", "0123456789");
	snap("f");
	fd = OK(open("f", O_RDONLY | O_TRUNC));
	changed("O_RDONLY|O_TRUNC", "f");
	fd = open("f", O_WRONLY | O_TRUNC);
	changed("O_TRUNC of an empty file", "f");
	close(fd);
	changed("close", "f");
	fd = open("f", O_RDWR | O_CREAT, 0600);
	C(write(fd, "abc", 3));
	other = open("f", O_RDWR | O_TRUNC);
	fstat_of("after another's O_TRUNC", fd);
	C(write(fd, "def", 3));
	content_fd("f", other);
	C(write(other, "XY", 2));
	content_fd("f", fd);
	close(other);
	content("f");
	close(fd);
	content("f");
	OK(truncate("f", 2));
	content("f");
}

static void appending(void)
{
	int a, b;

	file("f", "start ");
	a = open("f", O_WRONLY | O_APPEND);
	b = open("f", O_RDWR | O_APPEND);
	C(lseek(a, 0, SEEK_CUR));
	C(write(a, "one ", 4));
	C(lseek(a, 0, SEEK_CUR));
	C(write(b, "two ", 4));
	C(lseek(b, 0, SEEK_CUR));
	C(lseek(a, 0, SEEK_SET));
	C(write(a, "three ", 6));
	C(lseek(a, 0, SEEK_CUR));
	C(pwrite(b, "four ", 5, 0));
	C(lseek(b, 0, SEEK_CUR));
	content("f");
	C(fcntl(a, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
	C(fcntl(a, F_SETFL, 0));
	C(pwrite(a, "S", 1, 0));
	C(fcntl(a, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
	C(fcntl(a, F_SETFL, O_APPEND));
	C(pwrite(a, "end", 3, 0));
	content("f");
	OK(ftruncate(b, 3));
	C(write(a, "!", 1));
	content("f");
	close(a);
	close(b);
	content("f");
}

static void paths_only(void)
{
	char name[64], buf[8];
	int fd, d, again;

	file("f", "text");
	dir("d");
	file("d/x", "x");
	fd = OK(open("f", O_PATH));
	fd = open("f", O_PATH);
	fstat_of("f", fd);
	C(read(fd, buf, 4));
	C(write(fd, "x", 1));
	OK(fchmod(fd, 0600));
	OK(fchown(fd, 0, 0));
	OK(ftruncate(fd, 0));
	OK(fsync(fd));
	C(lseek(fd, 0, SEEK_SET));
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	again = open(name, O_RDWR);
	step_ok("reopened through /proc", again);
	C(pread(again, buf, 4, 0));
	close(again);
	OK(unlink("f"));
	again = open(name, O_RDONLY);
	step_ok("reopened without its name", again);
	close(again);
	close(fd);
	d = open("d", O_PATH | O_DIRECTORY);
	OK(openat(d, "x", O_RDONLY));
	OK(mkdirat(d, "sub", 0755));
	OK(fchdir(d));
	list(".");
	OK(rename("../d", "../e"));
	OK(openat(d, "y", O_CREAT | O_WRONLY, 0644));
	list(".");
	OK(chdir(".."));
	tree(".");
}

static void unnamed(void)
{
	char name[64];
	int fd = open(".", O_TMPFILE | O_RDWR, 0640);

	step_ok("O_TMPFILE", fd);
	OK(open(".", O_TMPFILE | O_RDONLY, 0640));
	OK(open("missing", O_TMPFILE | O_RDWR, 0640));
	file("f", "x");
	OK(open("f", O_TMPFILE | O_RDWR, 0640));
	C(write(fd, "unnamed", 7));
	fstat_of("tmpfile", fd);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	step_ok("link it", linkat(AT_FDCWD, name, AT_FDCWD, "named",
	                          AT_SYMLINK_FOLLOW));
	close(fd);
	content("named");
	fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	step_ok("link with O_EXCL", linkat(AT_FDCWD, name, AT_FDCWD, "no",
	                                   AT_SYMLINK_FOLLOW));
	list(".");
}

static void direct(void)
{
	static char buf[8192] __attribute__((aligned(4096)));
	int fd = open("f", O_RDWR | O_CREAT | O_DIRECT, 0644);

	step_ok("O_DIRECT", fd);
	memset(buf, 'd', sizeof(buf));
	C(pwrite(fd, buf, 8192, 0));
	C(pwrite(fd, buf, 4096, 12288));
	memset(buf, 0, sizeof(buf));
	C(pread(fd, buf, 8192, 4096));
	say("bytes", "%c %d", buf[0], buf[4096]);
	C(pread(fd, buf, 8192, 12288));
	C(pread(fd, buf, 8192, 16384));
	close(fd);
	stat_of("f");
	content("f");
}

static void synchronous(void)
{
	int fd = OK(open("s", O_CREAT | O_WRONLY | O_SYNC, 0644));

	fd = open("s", O_WRONLY | O_SYNC);
	C(write(fd, "sync", 4));
	C(write(fd, "hronous", 7));
	content("s");
	close(fd);
	fd = open("s", O_WRONLY | O_DSYNC | O_APPEND);
	C(write(fd, "!", 1));
	close(fd);
	content("s");
}

const struct posix_case cases_open[] = {
	{ "open_matrix", matrix, AT_ALL },
	{ "open_modes", modes, 0 },
	{ "open_created", created, AT_ALL },
	{ "open_truncate", truncation, AT_ALL },
	{ "open_append", appending, AT_ALL },
	{ "open_path", paths_only, AT_ALL },
	{ "open_tmpfile", unnamed, 0 },
	{ "open_direct", direct, 0 },
	{ "open_sync", synchronous, AT_ALL },
	{ NULL, NULL, 0 },
};
