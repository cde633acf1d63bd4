/* The recorder: answers as lines "label TAB answer", and what makes them. */
#include "posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

static FILE *out;

void record_to(int fd)
{
	out = fdopen(fd, "a");
	if (!out)
		abort();
}

void say(const char *what, const char *format, ...)
{
	int err = errno;
	va_list args;

	fprintf(out, "%s\t", what);
	va_start(args, format);
	vfprintf(out, format, args);
	va_end(args);
	fputc('\n', out);
	fflush(out);
	errno = err;
}

long long step(const char *what, long long rc)
{
	if (rc == -1)
		say(what, "%s", strerrorname_np(errno));
	else
		say(what, "%lld", rc);
	return rc;
}

int step_ok(const char *what, long long rc)
{
	say(what, "%s", rc == -1 ? strerrorname_np(errno) : "ok");
	return (int)rc;
}

const char *label(const char *format, ...)
{
	static char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return text;
}

uint64_t hash_bytes(const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t h = 14695981039346656037ULL;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 1099511628211ULL;
	return h;
}

static const char *type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG: return "file";
	case S_IFDIR: return "dir";
	case S_IFLNK: return "link";
	case S_IFIFO: return "fifo";
	case S_IFSOCK: return "socket";
	case S_IFCHR: return "char";
	case S_IFBLK: return "block";
	}
	return "?";
}

/* Sizes and link counts of directories are every filesystem's own affair. */
static void describe(const struct stat *st, char *buf, size_t size)
{
	int n = snprintf(buf, size, "%s %04o %u:%u", type_name(st->st_mode),
	                 st->st_mode & 07777, st->st_uid, st->st_gid);

	if (!S_ISDIR(st->st_mode))
		n += snprintf(buf + n, size - (size_t)n, " nlink %ju size %jd",
		              (uintmax_t)st->st_nlink, (intmax_t)st->st_size);
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		snprintf(buf + n, size - (size_t)n, " dev %u:%u",
		         major(st->st_rdev), minor(st->st_rdev));
}

static void say_stat(const char *what, int rc, const struct stat *st)
{
	char buf[160];

	if (rc) {
		step(what, rc);
		return;
	}
	describe(st, buf, sizeof(buf));
	say(what, "%s", buf);
}

void stat_of(const char *path)
{
	struct stat st;
	int rc = lstat(path, &st);

	say_stat(label("stat %s", path), rc, &st);
}

void fstat_of(const char *what, int fd)
{
	struct stat st;
	int rc = fstat(fd, &st);

	say_stat(label("fstat %s", what), rc, &st);
}

void same_inode(const char *a, const char *b)
{
	struct stat x, y;

	if (lstat(a, &x) || lstat(b, &y))
		step(label("same inode %s %s", a, b), -1);
	else
		say(label("same inode %s %s", a, b), "%s",
		    x.st_ino == y.st_ino && x.st_dev == y.st_dev ? "yes" : "no");
}

/* Short content as text, longer as its hash. */
static void describe_bytes(const char *data, size_t len, char *buf, size_t size)
{
	size_t n = 0;

	if (len > 48) {
		snprintf(buf, size, "%zu bytes %016" PRIx64, len,
		         hash_bytes(data, len));
		return;
	}
	buf[n++] = '"';
	for (size_t i = 0; i < len; i++)
		n += (size_t)snprintf(buf + n, size - n,
		                      data[i] >= ' ' && data[i] < 127 ? "%c"
		                                                      : "\\x%02x",
		                      data[i] & 0xff);
	snprintf(buf + n, size - n, "\"");
}

static ssize_t slurp(int fd, char **data)
{
	size_t len = 0, room = 0;
	ssize_t n;

	*data = NULL;
	do {
		if (len == room) {
			room = room ? 2 * room : 65536;
			*data = realloc(*data, room);
			if (!*data)
				abort();
		}
		n = pread(fd, *data + len, room - len, (off_t)len);
		len += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	return n < 0 ? -1 : (ssize_t)len;
}

static void describe_content(int fd, char *buf, size_t size)
{
	char *data;
	ssize_t n = slurp(fd, &data);

	if (n < 0)
		snprintf(buf, size, "%s", strerrorname_np(errno));
	else
		describe_bytes(data, (size_t)n, buf, size);
	free(data);
}

void content_fd(const char *what, int fd)
{
	char buf[256];

	describe_content(fd, buf, sizeof(buf));
	say(label("content of %s", what), "%s", buf);
}

void content(const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0) {
		step(label("content of %s", path), fd);
		return;
	}
	content_fd(path, fd);
	close(fd);
}

static int visible(const struct dirent *e)
{
	return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

void list(const char *path)
{
	char text[8192] = "";
	struct dirent **e = NULL;
	size_t n = 0;
	int count = scandir(path, &e, visible, by_bytes);

	for (int i = 0; i < count; i++) {
		if (n < sizeof(text) - 300)
			n += (size_t)snprintf(text + n, sizeof(text) - n,
			                      " %s:%d", e[i]->d_name,
			                      e[i]->d_type);
		free(e[i]);
	}
	free(e);
	if (count < 0)
		step(label("list %s", path), -1);
	else
		say(label("list %s", path), "%d%s", count, text);
}

static void tree_entry(const char *path, char *text, size_t *n, size_t size)
{
	char what[512] = "?", bytes[256] = "";
	struct stat st;
	int fd;

	if (lstat(path, &st)) {
		snprintf(what, sizeof(what), "%s", strerrorname_np(errno));
	} else {
		describe(&st, what, sizeof(what));
		if (S_ISLNK(st.st_mode)) {
			ssize_t len = readlink(path, bytes, sizeof(bytes) - 1);

			bytes[len < 0 ? 0 : len] = '\0';
		} else if (S_ISREG(st.st_mode)) {
			fd = open(path, O_RDONLY | O_CLOEXEC);
			describe_content(fd, bytes, sizeof(bytes));
			close(fd);
		}
	}
	if (*n < size)
		*n += (size_t)snprintf(text + *n, size - *n, "%s%s [%s] %s",
		                       *n ? "; " : "", path, what, bytes);
}

static void tree_below(const char *path, char *text, size_t *n, size_t size)
{
	struct dirent **e = NULL;
	int count = scandir(path, &e, visible, by_bytes);

	if (count < 0 && *n < size)
		*n += (size_t)snprintf(text + *n, size - *n, "; %s/: %s", path,
		                       strerrorname_np(errno));
	for (int i = 0; i < count; i++) {
		char *sub;

		if (asprintf(&sub, "%s/%s", path, e[i]->d_name) < 0)
			abort();
		tree_entry(sub, text, n, size);
		if (e[i]->d_type == DT_DIR)
			tree_below(sub, text, n, size);
		free(sub);
		free(e[i]);
	}
	free(e);
}

void tree(const char *path)
{
	static char text[1 << 20];
	size_t n = 0;

	text[0] = '\0';
	tree_below(path, text, &n, sizeof(text));
	say(label("tree %s", path), "%s", text);
}

/* So far that a clock with the grain of a scheduler tick has moved. */
static void tick(void)
{
	struct timespec a, b;

	clock_gettime(CLOCK_REALTIME_COARSE, &a);
	do {
		pause_ms(2);
		clock_gettime(CLOCK_REALTIME_COARSE, &b);
	} while ((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 < 9);
}

static struct stat before;

void snap(const char *path)
{
	if (lstat(path, &before))
		step(label("snap %s", path), -1);
	tick();
}

static bool differs(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec || a->tv_nsec != b->tv_nsec;
}

void changed(const char *what, const char *path)
{
	struct stat st;

	if (lstat(path, &st)) {
		step(label("times of %s after %s", path, what), -1);
		return;
	}
	say(label("times of %s after %s", path, what), "%s %s",
	    differs(&before.st_mtim, &st.st_mtim) ? "mtime" : "-",
	    differs(&before.st_ctim, &st.st_ctim) ? "ctime" : "-");
	before = st;
	tick();
}
