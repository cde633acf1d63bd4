/* FIFOs, sockets, device nodes. */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

static int write_fifo(void)
{
	int fd = open("p", O_WRONLY);

	return fd >= 0 && write(fd, "through", 7) == 7 ? 0 : errno;
}

static void fifos(void)
{
	char buf[16] = "";
	int r, w;
	pid_t pid;

	OK(mkfifo("p", 0600));
	OK(mkfifo("p", 0600));
	stat_of("p");
	OK(open("p", O_WRONLY | O_NONBLOCK));
	r = open("p", O_RDONLY | O_NONBLOCK);
	step_ok("open for reading", r);
	C(read(r, buf, 4));
	w = open("p", O_WRONLY | O_NONBLOCK);
	step_ok("open for writing", w);
	C(write(w, "data", 4));
	OK(rename("p", "q"));
	C(read(r, buf, 16));
	OK(unlink("q"));
	C(write(w, "more", 4));
	C(read(r, buf, 16));
	fstat_of("fifo", r);
	close(w);
	close(r);
	OK(mkfifo("p", 0600));
	pid = spawn(write_fifo);
	r = open("p", O_RDONLY);
	C(read(r, buf, 16));
	say("read", "%.7s", buf);
	close(r);
	reap("writer", pid);
	OK(link("p", "p2"));
	OK(truncate("p", 0));
	stat_of("p2");
	OK(chmod("p2", 0640));
	OK(mkfifo("missing/p", 0600));
	OK(mkfifo("", 0600));
	tree(".");
}

static struct sockaddr_un address(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	return a;
}

static int bind_to(int fd, const char *path)
{
	struct sockaddr_un a = address(path);

	return bind(fd, (struct sockaddr *)&a, sizeof(a));
}

static int connect_to(const char *path)
{
	struct sockaddr_un a = address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	return connect(fd, (struct sockaddr *)&a, sizeof(a)) ? -1 : fd;
}

static void sockets(void)
{
	char buf[8] = "";
	int s = socket(AF_UNIX, SOCK_STREAM, 0), t, c;

	OK(bind_to(s, "s"));
	stat_of("s");
	OK(connect_to("s"));
	OK(listen(s, 5));
	c = connect_to("s");
	t = accept(s, NULL, NULL);
	C(write(c, "hello", 5));
	C(read(t, buf, 8));
	OK(open("s", O_RDONLY));
	OK(truncate("s", 0));
	OK(bind_to(socket(AF_UNIX, SOCK_STREAM, 0), "s"));
	OK(rename("s", "t"));
	OK(connect_to("t"));
	OK(connect_to("s"));
	OK(chmod("t", 0600));
	stat_of("t");
	file("f", "x");
	OK(bind_to(socket(AF_UNIX, SOCK_STREAM, 0), "f"));
	OK(connect_to("f"));
	OK(bind_to(socket(AF_UNIX, SOCK_STREAM, 0), "missing/s"));
	OK(unlink("t"));
	OK(connect_to("t"));
	OK(mknod("u", S_IFSOCK | 0666, 0));
	OK(connect_to("u"));
	tree(".");
}

static void nodes(void)
{
	OK(mknod("file", S_IFREG | 0640, 0));
	OK(mknod("zero-type", 0600, 0));
	OK(mknod("fifo", S_IFIFO | 0640, 0));
	OK(mknod("sock", S_IFSOCK | 0640, 0));
	OK(mknod("dir", S_IFDIR | 0755, 0));
	OK(mknod("link", S_IFLNK | 0777, 0));
	OK(mknod("bad", 0170000 | 0644, 0));
	OK(mknod("file", S_IFREG | 0640, 0));
	OK(mknod("missing/x", S_IFREG | 0640, 0));
	OK(mknod("", S_IFREG | 0640, 0));
	content("file");
	tree(".");
}

static void devices(void)
{
	int fd;

	OK(mknod("null", S_IFCHR | 0666, makedev(1, 3)));
	OK(mknod("zero", S_IFCHR | 0666, makedev(1, 5)));
	OK(mknod("loop", S_IFBLK | 0660, makedev(7, 200)));
	OK(mknod("big", S_IFCHR | 0600, makedev(4000, 70000)));
	OK(mknod("other", S_IFCHR | 0600, makedev(10, 256)));
	tree(".");
	fd = open("null", O_RDWR);
	step_ok("open null", fd);
	C(write(fd, "x", 1));
	C(read(fd, &(char[2]){ 0 }, 2));
	close(fd);
	fd = open("zero", O_RDONLY);
	C(read(fd, &(char[2]){ 1 }, 2));
	close(fd);
	OK(link("null", "null2"));
	OK(rename("null", "void"));
	OK(chown("void", 1001, 1001));
	OK(chmod("void", 0600));
	stat_of("null2");
	OK(truncate("void", 0));
	become(ALICE);
	OK(mknod("mine", S_IFCHR | 0666, makedev(1, 3)));
	OK(mknod("minefifo", S_IFIFO | 0666, 0));
	OK(mknod("minewhiteout", S_IFCHR | 0666, 0));
	OK(open("void", O_RDWR));
	become(BOB);
	OK(open("void", O_RDWR));
	become(ROOT);
	tree(".");
}

const struct posix_case cases_special[] = {
	{ "fifo", fifos, AT_ALL },
	{ "socket", sockets, AT_ALL },
	{ "mknod", nodes, AT_ALL },
	{ "devices", devices, AT_ALL | AS_ROOT },
	{ NULL, NULL, 0 },
};
