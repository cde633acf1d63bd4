/* Calls that few applications make: each has to answer as on a disk, or to be
 * listed with its reason. */
#include "posix.h"

#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SECTOR 4096

/* What has a handle can be opened by it, also when it has another name. */
static void by_handle(void)
{
	struct file_handle *h = malloc(sizeof(*h) + MAX_HANDLE_SZ);
	char buf[8] = "";
	int id, fd, d = open(".", O_RDONLY);

	if (!h)
		abort();
	file("f", "text");
	h->handle_bytes = MAX_HANDLE_SZ;
	C(name_to_handle_at(AT_FDCWD, "f", h, &id, 0));
	fd = open_by_handle_at(d, h, O_RDONLY);
	step_ok("open by handle", fd);
	C(pread(fd, buf, 4, 0));
	close(fd);
	OK(rename("f", "g"));
	fd = open_by_handle_at(d, h, O_RDWR);
	step_ok("open by handle after a rename", fd);
	C(pwrite(fd, "T", 1, 0));
	close(fd);
	content("g");
	OK(open_by_handle_at(d, h, O_RDONLY | O_DIRECTORY));
	OK(open_by_handle_at(-1, h, O_RDONLY));
	become(ALICE);
	OK(open_by_handle_at(d, h, O_RDONLY));
	become(ROOT);
	OK(unlink("g"));
	OK(open_by_handle_at(d, h, O_RDONLY));
	free(h);
	close(d);
}

static void leases(void)
{
	int r, w;

	file("f", "x");
	r = open("f", O_RDONLY);
	C(fcntl(r, F_GETLEASE));
	C(fcntl(r, F_SETLEASE, F_RDLCK));
	C(fcntl(r, F_GETLEASE));
	C(fcntl(r, F_SETLEASE, F_WRLCK));
	C(fcntl(r, F_SETLEASE, F_UNLCK));
	w = open("f", O_RDWR);
	C(fcntl(w, F_SETLEASE, F_RDLCK));
	C(fcntl(r, F_SETLEASE, F_RDLCK));
	C(fcntl(r, F_SETLEASE, 99));
	close(r);
	C(fcntl(w, F_SETLEASE, F_WRLCK));
	C(fcntl(w, F_SETLEASE, F_UNLCK));
	close(w);
	r = open(".", O_RDONLY);
	C(fcntl(r, F_SETLEASE, F_RDLCK));
	C(fcntl(r, F_NOTIFY, DN_CREATE));
	close(r);
}

/* Flags of a filesystem of its own: which there are differs on every one. */
static void flags(void)
{
	struct fsxattr x;
	int fd, flags = 0;

	file("f", "x");
	fd = open("f", O_RDWR);
	OK(ioctl(fd, FS_IOC_GETFLAGS, &flags));
	flags = FS_IMMUTABLE_FL;
	OK(ioctl(fd, FS_IOC_SETFLAGS, &flags));
	OK(open("f", O_RDWR));
	flags = 0;
	OK(ioctl(fd, FS_IOC_SETFLAGS, &flags));
	OK(ioctl(fd, FS_IOC_FSGETXATTR, &x));
	C(ioctl(fd, 0x12345678, 0));
	close(fd);
	OK(open("f", O_RDWR));
}

static void clones(void)
{
	struct file_dedupe_range *dedupe =
		calloc(1, sizeof(*dedupe) + sizeof(*dedupe->info));
	struct file_clone_range range = { .src_length = SECTOR };
	int a = fill("a", 2 * SECTOR, 1), b = fill("b", 2 * SECTOR, 1);

	if (!dedupe)
		abort();
	OK(ioctl(b, FICLONE, a));
	range.src_fd = a;
	OK(ioctl(b, FICLONERANGE, &range));
	dedupe->src_length = SECTOR;
	dedupe->dest_count = 1;
	dedupe->info[0].dest_fd = b;
	OK(ioctl(a, FIDEDUPERANGE, dedupe));
	say("deduplicated", "%s", strerrorname_np(-dedupe->info[0].status));
	free(dedupe);
	close(a);
	close(b);
	content("b");
}

/* Where the bytes lie: a file without a hole is all there. */
static void extents(void)
{
	struct fiemap *map = calloc(1, sizeof(*map) + 4 * sizeof(*map->fm_extents));
	int block = 0, fd = fill("f", 2 * SECTOR, 1);

	if (!map)
		abort();
	map->fm_length = ~0ULL;
	map->fm_flags = FIEMAP_FLAG_SYNC;
	map->fm_extent_count = 4;
	OK(fsync(fd));
	OK(ioctl(fd, FS_IOC_FIEMAP, map));
	OK(ioctl(fd, FIBMAP, &block));
	free(map);
	close(fd);
}

static void born(void)
{
	struct statx x;
	struct timespec now;

	file("f", "x");
	memset(&x, 0, sizeof(x));
	clock_gettime(CLOCK_REALTIME, &now);
	OK(statx(AT_FDCWD, "f", 0, STATX_ALL, &x));
	say("time of birth", "%s", !(x.stx_mask & STATX_BTIME) ? "not told" :
	    now.tv_sec - x.stx_btime.tv_sec <= 60 ? "told" : "wrong");
}

static ssize_t wait_aio(struct aiocb *a)
{
	const struct aiocb *list[] = { a };

	while (aio_error(a) == EINPROGRESS)
		aio_suspend(list, 1, NULL);
	errno = aio_error(a);
	return aio_return(a);
}

static void posix_aio(void)
{
	char text[] = "written behind", buf[32] = "";
	struct aiocb a = { .aio_fildes = open("f", O_RDWR | O_CREAT, 0644),
	                   .aio_buf = text, .aio_nbytes = strlen(text),
	                   .aio_offset = 10 };

	C(aio_write(&a));
	C(wait_aio(&a));
	C(aio_fsync(O_SYNC, &a));
	C(wait_aio(&a));
	a.aio_buf = buf;
	a.aio_nbytes = sizeof(buf);
	a.aio_offset = 12;
	C(aio_read(&a));
	C(wait_aio(&a));
	say("read", "%s", buf);
	a.aio_offset = -1;
	C(aio_read(&a));
	C(wait_aio(&a));
	close(a.aio_fildes);
	content("f");
}

static long submit(aio_context_t ctx, struct iocb *io)
{
	struct iocb *list[] = { io };
	struct io_event e = { .res = 0 };

	if (syscall(SYS_io_submit, ctx, 1L, list) != 1)
		return -1;
	if (syscall(SYS_io_getevents, ctx, 1L, 1L, &e, NULL) != 1)
		return -1;
	if (e.res >= 0)
		return (long)e.res;
	errno = (int)-e.res;
	return -1;
}

/* Asynchronous as databases have it, aligned and direct. */
static void linux_aio(void)
{
	aio_context_t ctx = 0;
	struct iocb io = { .aio_lio_opcode = IOCB_CMD_PWRITE,
	                   .aio_nbytes = SECTOR, .aio_offset = SECTOR };
	void *page;

	if (posix_memalign(&page, SECTOR, SECTOR))
		abort();
	memset(page, 'p', SECTOR);
	io.aio_fildes = (unsigned)open("f", O_RDWR | O_CREAT | O_DIRECT, 0644);
	io.aio_buf = (uint64_t)(uintptr_t)page;
	OK(syscall(SYS_io_setup, 4L, &ctx));
	C(submit(ctx, &io));
	io.aio_lio_opcode = IOCB_CMD_FSYNC;
	io.aio_nbytes = 0;
	io.aio_offset = 0;
	io.aio_buf = 0;
	C(submit(ctx, &io));
	io.aio_lio_opcode = IOCB_CMD_PREAD;
	io.aio_nbytes = SECTOR;
	io.aio_buf = (uint64_t)(uintptr_t)page;
	C(submit(ctx, &io));
	say("in the hole", "%d", *(char *)page);
	io.aio_offset = 2 * SECTOR;
	C(submit(ctx, &io));
	OK(syscall(SYS_io_destroy, ctx));
	close((int)io.aio_fildes);
	free(page);
	content("f");
}

static void remapped(void)
{
	int fd = fill("f", 3 * SECTOR, 5);
	char *p = mmap(NULL, SECTOR, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		step("mmap", -1);
	p = mremap(p, SECTOR, 3 * SECTOR, MREMAP_MAYMOVE);
	step_ok("mremap", p == MAP_FAILED ? -1 : 0);
	if (p == MAP_FAILED)
		return;
	memcpy(p + 2 * SECTOR, "in the third page", 17);
	p = mremap(p, 3 * SECTOR, SECTOR, 0);
	step_ok("mremap to less", p == MAP_FAILED ? -1 : 0);
	memcpy(p, "first", 5);
	OK(munmap(p, SECTOR));
	close(fd);
	content("f");
	stat_of("f");
}

static int exec_fd(bool at)
{
	static char name[] = "true";
	char *const args[] = { name, NULL }, *const none[] = { NULL };
	int fd = open("copy", O_RDONLY | O_CLOEXEC);

	if (at)
		syscall(SYS_execveat, fd, "", args, none, AT_EMPTY_PATH);
	else
		fexecve(fd, args, none);
	return errno;
}

static int exec_at(void) { return exec_fd(true); }
static int exec_file(void) { return exec_fd(false); }

static int exec_changed(void)
{
	int w = open("copy", O_WRONLY), err;

	err = exec_fd(true);
	close(w);
	return err;
}

static void executed(void)
{
	char buf[65536];
	int from = open("/bin/true", O_RDONLY), to;
	ssize_t n;

	to = open("copy", O_WRONLY | O_CREAT, 0755);
	while ((n = read(from, buf, sizeof(buf))) > 0)
		if (write(to, buf, (size_t)n) != n)
			step("write", -1);
	close(to);
	close(from);
	reap("execveat", spawn(exec_at));
	reap("fexecve", spawn(exec_file));
	reap("execveat of what is open for writing", spawn(exec_changed));
	OK(chmod("copy", 0644));
	reap("execveat without x", spawn(exec_at));
	OK(unlink("copy"));
	reap("execveat of nothing", spawn(exec_at));
}

static void rooted(void)
{
	dir("d");
	dir("d/sub");
	file("d/f", "inside");
	file("f", "outside");
	link_to("/f", "d/sub/l");
	OK(chroot("d/f"));
	OK(chroot("none"));
	OK(chroot("d"));
	OK(chdir("/"));
	content("f");
	content("sub/l");
	content("/../f");
	list("/");
	become(ALICE);
	OK(chroot("sub"));
	become(ROOT);
}

static void access_at(void)
{
	file_mode("f", "x", 0640);
	link_to("f", "l");
	link_to("none", "dangling");
	C(syscall(SYS_faccessat2, AT_FDCWD, "f", R_OK, AT_EACCESS));
	C(syscall(SYS_faccessat2, AT_FDCWD, "f", X_OK, AT_EACCESS));
	C(syscall(SYS_faccessat2, AT_FDCWD, "dangling", F_OK, 0));
	C(syscall(SYS_faccessat2, AT_FDCWD, "dangling", F_OK,
	          AT_SYMLINK_NOFOLLOW));
	C(syscall(SYS_faccessat2, AT_FDCWD, "l", W_OK, AT_SYMLINK_NOFOLLOW));
	C(syscall(SYS_faccessat2, AT_FDCWD, "f", R_OK, 0x8000));
	C(syscall(SYS_faccessat2, AT_FDCWD, "f", 8, 0));
	become(ALICE);
	C(syscall(SYS_faccessat2, AT_FDCWD, "f", R_OK, AT_EACCESS));
	become(ROOT);
}

static void with_flags(void)
{
	char text[] = "text";
	struct iovec v = { text, 4 };
	int fd = open("f", O_RDWR | O_CREAT, 0644), d;

	C(pwritev2(fd, &v, 1, 0, RWF_DSYNC));
	C(pwritev2(fd, &v, 1, 4, RWF_SYNC));
	content("f");
	C(preadv2(fd, &v, 1, 2, RWF_HIPRI));
	C(pwritev2(fd, &v, 1, 100, RWF_DSYNC | RWF_APPEND));
	C(pwritev2(fd, &v, 1, 0, 0x800));
	content_fd("f", fd);
	/* What was just read is in memory. */
	C(preadv2(fd, &v, 1, 0, RWF_NOWAIT));
	C(preadv2(fd, &v, 1, -1, RWF_NOWAIT));
	d = open("f", O_RDONLY);
	C(pwritev2(d, &v, 1, 0, RWF_DSYNC));
	close(d);
	close(fd);
	sync();
	content("f");
}

/* Devices have sectors, objects have none. */
static void misaligned(void)
{
	int fd = fill("f", 4 * SECTOR, 7);
	void *pages;
	char *buf;

	close(fd);
	if (posix_memalign(&pages, SECTOR, 2 * SECTOR))
		abort();
	buf = pages;
	fd = open("f", O_RDWR | O_DIRECT);
	C(pread(fd, buf, SECTOR, SECTOR));
	C(pread(fd, buf, SECTOR, 4 * SECTOR));
	C(pread(fd, buf, 100, 0));
	C(pread(fd, buf, SECTOR, 100));
	C(pread(fd, buf + 1, SECTOR, 0));
	memset(buf, 'd', 2 * SECTOR);
	C(pwrite(fd, buf, SECTOR, 0));
	C(pwrite(fd, buf, 100, SECTOR));
	C(pwrite(fd, buf, SECTOR, 2 * SECTOR + 100));
	C(pwrite(fd, buf + 1, SECTOR, 3 * SECTOR));
	close(fd);
	free(pages);
	content("f");
	stat_of("f");
}

const struct posix_case cases_calls[] = {
	{ "by_handle", by_handle, AS_ROOT },
	{ "leases", leases, 0 },
	{ "flags", flags, AS_ROOT },
	{ "clones", clones, 0 },
	{ "extents", extents, AS_ROOT },
	{ "born", born, 0 },
	{ "posix_aio", posix_aio, AT_ALL },
	{ "linux_aio", linux_aio, AT_ALL },
	{ "mremap", remapped, 0 },
	{ "execveat", executed, 0 },
	{ "chroot", rooted, AS_ROOT },
	{ "faccessat2", access_at, AS_ROOT },
	{ "rwf", with_flags, AT_ALL },
	{ "misaligned", misaligned, 0 },
	{ NULL, NULL, 0 },
};
