/*
 * Runs file operations one after another and says how each one ended, so that
 * shell tests see the errno of every single call, close() included.
 *
 *   fsop open FILE wct write hello fsync close
 *
 * Descriptors are kept in slots 0 to 9; "@N" selects one. Prints a line for
 * each operation, "close: ok" or "close: EIO"; ends with 1 if any failed.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int slots[10] = { -1, -1, -1, -1, -1, -1, -1, -1, -1, -1 };
static int slot;

static int done(long rc)
{
	return rc < 0 ? -errno : 0;
}

static int op_open(char **a)
{
	int flags = strchr(a[1], 'w') ? strchr(a[1], 'r') ? O_RDWR : O_WRONLY :
	            O_RDONLY;

	flags |= strchr(a[1], 'c') ? O_CREAT : 0;
	flags |= strchr(a[1], 'x') ? O_EXCL : 0;
	flags |= strchr(a[1], 't') ? O_TRUNC : 0;
	flags |= strchr(a[1], 'a') ? O_APPEND : 0;
	flags |= strchr(a[1], 'd') ? O_DIRECTORY : 0;
	slots[slot] = open(a[0], flags | O_CLOEXEC, 0666);
	return done(slots[slot]);
}

static int op_close(char **a)
{
	int rc = close(slots[slot]);

	(void)a;
	slots[slot] = -1;
	return done(rc);
}

static int put(const void *buf, size_t len, long long off)
{
	ssize_t n = off < 0 ? write(slots[slot], buf, len) :
	            pwrite(slots[slot], buf, len, off);

	if (n >= 0 && (size_t)n != len)
		return -EIO;
	return done(n);
}

static int op_write(char **a)
{
	return put(a[0], strlen(a[0]), -1);
}

static int op_pwrite(char **a)
{
	return put(a[1], strlen(a[1]), atoll(a[0]));
}

/* fill BYTES SEED: bytes that do not compress, the same for the same seed. */
static int op_fill(char **a)
{
	uint64_t left = strtoull(a[0], NULL, 10), x = strtoull(a[1], NULL, 10);
	uint64_t block[8192];

	x = x * 2862933555777941757ULL + 3037000493ULL;
	while (left) {
		size_t n = left < sizeof(block) ? left : sizeof(block);
		int rc;

		for (size_t i = 0; i < 8192; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			block[i] = x;
		}
		rc = put(block, n, -1);
		if (rc)
			return rc;
		left -= n;
	}
	return 0;
}

static int op_pread(char **a)
{
	static char buf[65536];
	size_t want = strtoull(a[1], NULL, 10);
	ssize_t n = pread(slots[slot], buf, want < sizeof(buf) ? want : sizeof(buf),
	                  atoll(a[0]));

	if (n > 0)
		printf("data: %.*s\n", (int)n, buf);
	return done(n);
}

static int op_trunc(char **a)
{
	return done(ftruncate(slots[slot], atoll(a[0])));
}

static int op_fsync(char **a)
{
	(void)a;
	return done(fsync(slots[slot]));
}

static int op_fdatasync(char **a)
{
	(void)a;
	return done(fdatasync(slots[slot]));
}

static int op_stat(char **a)
{
	struct stat st;

	(void)a;
	if (fstat(slots[slot], &st))
		return -errno;
	printf("size: %lld nlink: %lu mode: %o ino: %llu\n",
	       (long long)st.st_size, (unsigned long)st.st_nlink, st.st_mode,
	       (unsigned long long)st.st_ino);
	return 0;
}

static int op_chmod(char **a)
{
	return done(fchmod(slots[slot], (mode_t)strtoul(a[0], NULL, 8)));
}

static int op_rename(char **a)
{
	return done(rename(a[0], a[1]));
}

/* rename2 FROM TO FLAGS: n for NOREPLACE, x for EXCHANGE. */
static int op_rename2(char **a)
{
	unsigned int flags = *a[2] == 'n' ? RENAME_NOREPLACE : RENAME_EXCHANGE;

	return done(renameat2(AT_FDCWD, a[0], AT_FDCWD, a[1], flags));
}

static int op_link(char **a)
{
	return done(link(a[0], a[1]));
}

static int op_unlink(char **a)
{
	return done(unlink(a[0]));
}

static int op_mkdir(char **a)
{
	return done(mkdir(a[0], 0777));
}

static int op_rmdir(char **a)
{
	return done(rmdir(a[0]));
}

static struct timespec when(const char *s)
{
	struct timespec t = { 0, 0 };
	const char *dot = strchr(s, '.');

	if (!strcmp(s, "omit") || !strcmp(s, "now")) {
		t.tv_nsec = *s == 'o' ? UTIME_OMIT : UTIME_NOW;
		return t;
	}
	t.tv_sec = atoll(s);
	if (dot)
		t.tv_nsec = atol(dot + 1);
	return t;
}

/* utimens FILE ATIME MTIME: SEC, SEC.NANOSECONDS, "omit" or "now". */
static int op_utimens(char **a)
{
	struct timespec t[2] = { when(a[1]), when(a[2]) };

	return done(utimensat(AT_FDCWD, a[0], t, AT_SYMLINK_NOFOLLOW));
}

static int copy(char **a, size_t chunk)
{
	int from = slots[atoi(a[0]) % 10], to = slots[atoi(a[1]) % 10];
	ssize_t n;
	long long sum = 0;

	while ((n = copy_file_range(from, NULL, to, NULL, chunk, 0)) > 0)
		sum += n;
	printf("copied: %lld\n", sum);
	return done(n);
}

/* copyrange FROM TO: all of slot FROM to slot TO, from where they stand. */
static int op_copyrange(char **a)
{
	return copy(a, 1 << 30);
}

/* copychunks FROM TO BYTES: the same, BYTES at a time. */
static int op_copychunks(char **a)
{
	return copy(a, strtoull(a[2], NULL, 10));
}

/* await FILE: until somebody makes it, one minute at most. */
static int op_await(char **a)
{
	struct timespec t = { 0, 2000000 };

	for (int i = 0; i < 30000; i++) {
		if (access(a[0], F_OK) == 0)
			return 0;
		nanosleep(&t, NULL);
	}
	return -ETIMEDOUT;
}

static int op_signal(char **a)
{
	int fd = open(a[0], O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

	if (fd < 0)
		return -errno;
	return done(close(fd));
}

static const struct op {
	const char *name;
	int args;
	int (*run)(char **args);
} ops[] = {
	{ "open", 2, op_open },         { "close", 0, op_close },
	{ "write", 1, op_write },       { "pwrite", 2, op_pwrite },
	{ "fill", 2, op_fill },         { "pread", 2, op_pread },
	{ "trunc", 1, op_trunc },       { "fsync", 0, op_fsync },
	{ "fdatasync", 0, op_fdatasync }, { "stat", 0, op_stat },
	{ "chmod", 1, op_chmod },       { "rename", 2, op_rename },
	{ "rename2", 3, op_rename2 },   { "link", 2, op_link },
	{ "unlink", 1, op_unlink },     { "mkdir", 1, op_mkdir },
	{ "rmdir", 1, op_rmdir },       { "utimens", 3, op_utimens },
	{ "copyrange", 2, op_copyrange }, { "await", 1, op_await },
	{ "signal", 1, op_signal },     { "copychunks", 3, op_copychunks },
};

static const struct op *find(const char *name)
{
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (!strcmp(ops[i].name, name))
			return &ops[i];
	return NULL;
}

int main(int argc, char **argv)
{
	int failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++) {
		const struct op *op;
		int rc;

		if (argv[i][0] == '@' && isdigit((unsigned char)argv[i][1])) {
			slot = argv[i][1] - '0';
			continue;
		}
		op = find(argv[i]);
		if (!op || i + op->args >= argc) {
			fprintf(stderr, "fsop: bad operation %s\n", argv[i]);
			return 2;
		}
		rc = op->run(argv + i + 1);
		printf("%s: %s\n", op->name, rc ? strerrorname_np(-rc) : "ok");
		failed |= rc != 0;
		i += op->args;
	}
	return failed;
}
