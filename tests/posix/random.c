/*
 * Random calls: a seed makes sequences of calls on a few names, run on both
 * sides and compared. One that differs is cut to its shortest failing form.
 */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LENGTH 60       /* calls of one sequence */
#define SLOTS 4

/* The fourth and the seventh are made as directories. */
static const char *const names[] = { "a", "b", "c", "d", "d/a", "d/b", "e",
	                             "e/a", "e/d", "e/d/a", "d/e", "d/e/a" };

enum kind {
	OPEN, CREATE, CLOSE, READ, WRITE, PWRITE, APPEND, FTRUNCATE, TRUNCATE,
	MKDIR, RMDIR, UNLINK, RENAME, NOREPLACE, EXCHANGE, LINK, SYMLINK, FIFO,
	STAT, FSTAT, LIST, CONTENT, CONTENT_FD, CHMOD, FCHMOD, CHOWN, UTIMES,
	FSYNC, COPY, PUNCH, ALLOCATE, LSEEK, ACCESS, USER, KINDS
};

struct op {
	unsigned char kind, a, b, slot, other;
	unsigned x, y;
};

static struct op ops[LENGTH];
static bool off[LENGTH];
static int used;                /* the first so many of ops */

static uint64_t state;

static unsigned draw(unsigned below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)((state >> 11) % below);
}

static void draw_all(unsigned long seed)
{
	state = seed * 0x9e3779b97f4a7c15ULL + 0x632be59bd9b4e019ULL;
	for (int i = 0; i < 8; i++)
		draw(2);
	for (int i = 0; i < LENGTH; i++) {
		ops[i] = (struct op){
			.kind = (unsigned char)draw(KINDS),
			.a = (unsigned char)draw(COUNT(names)),
			.b = (unsigned char)draw(COUNT(names)),
			.slot = (unsigned char)draw(SLOTS),
			.other = (unsigned char)draw(SLOTS),
			.x = draw(1u << 20), .y = draw(1u << 20),
		};
		off[i] = false;
	}
	/* Something to begin with, or most calls find nothing. */
	ops[0].kind = ops[1].kind = MKDIR;
	ops[0].a = 3;
	ops[1].a = 6;
	for (unsigned char i = 2; i < 2 + SLOTS; i++) {
		ops[i].kind = CREATE;
		ops[i].slot = i - 2;
	}
	used = LENGTH;
}

/* Small offsets mostly, now and then one behind a large hole. */
static off_t offset(unsigned x)
{
	return x % 8 ? (off_t)(x % 64) : (off_t)(x % 200000);
}

static const char *text(unsigned x, size_t *len)
{
	static char buf[20000];

	*len = x % 5 ? x % 24 : x % sizeof(buf);
	for (size_t i = 0; i < *len; i++)
		buf[i] = (char)('a' + (x + i * (x % 7 + 1)) % 26);
	return buf;
}

static int fds[SLOTS] = { -1, -1, -1, -1 };

static void keep_fd(const struct op *o, int fd)
{
	if (fd < 0)
		return;
	if (fds[o->slot] >= 0)
		close(fds[o->slot]);
	fds[o->slot] = fd;
}

static void open_one(const struct op *o)
{
	static const int flags[] = { O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_APPEND,
		                     O_WRONLY | O_TRUNC, O_RDWR | O_TRUNC,
		                     O_RDONLY | O_DIRECTORY,
		                     O_RDWR | O_NOFOLLOW };
	static const int more[] = { 0, O_EXCL, O_TRUNC, O_APPEND };
	int f = flags[o->x % COUNT(flags)], fd;

	if (o->kind == CREATE)
		f = O_CREAT | (f & ~O_DIRECTORY) | more[o->y % COUNT(more)];
	fd = open(names[o->a], f | O_NONBLOCK, 0600 | (o->y & 0177));
	step_ok(label("slot %d: open %s %#o", o->slot, names[o->a], f), fd);
	keep_fd(o, fd);
}

static void on_slot(const struct op *o)
{
	char what[64], buf[256];
	int fd = fds[o->slot];
	size_t len;
	const char *t = text(o->y, &len);
	off_t at = offset(o->x);
	ssize_t n;

	snprintf(what, sizeof(what), "slot %d", o->slot);
	switch (o->kind) {
	case CLOSE:
		step_ok(label("%s: close", what), close(fd));
		fds[o->slot] = -1;
		break;
	case READ:
		n = read(fd, buf, o->x % sizeof(buf));
		step(label("%s: read %zu", what, o->x % sizeof(buf)), n);
		if (n > 0)
			say("hash", "%016jx",
			    (uintmax_t)hash_bytes(buf, (size_t)n));
		break;
	case WRITE:
		step(label("%s: write %zu", what, len), write(fd, t, len));
		break;
	case PWRITE:
		step(label("%s: pwrite %zu at %jd", what, len, (intmax_t)at),
		     pwrite(fd, t, len, at));
		break;
	case FTRUNCATE:
		step_ok(label("%s: ftruncate %jd", what, (intmax_t)at),
		        ftruncate(fd, at));
		break;
	case FSTAT:
		fstat_of(what, fd);
		break;
	case CONTENT_FD:
		content_fd(what, fd);
		break;
	case FCHMOD:
		step_ok(label("%s: fchmod %o", what, o->x & 0777),
		        fchmod(fd, o->x & 0777));
		break;
	case FSYNC:
		step_ok(label("%s: fsync", what), fsync(fd));
		break;
	case LSEEK:
		/* The end of a directory is every filesystem's own affair. */
		step(label("%s: lseek %jd %u", what, (intmax_t)at, o->y % 2),
		     lseek(fd, at, o->y % 2 ? SEEK_CUR : SEEK_SET));
		break;
	case PUNCH:
		step_ok(label("%s: punch %jd %u", what, (intmax_t)at, o->y % 99 + 1),
		        fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		                  at, o->y % 99 + 1));
		break;
	case ALLOCATE:
		step_ok(label("%s: fallocate %jd %u", what, (intmax_t)at,
		              o->y % 99 + 1),
		        fallocate(fd, 0, at, o->y % 99 + 1));
		break;
	default:
		abort();
	}
}

static void copy(const struct op *o)
{
	off_t in = offset(o->x), to = offset(o->y);

	step(label("copy slot %d at %jd to slot %d at %jd", o->slot,
	           (intmax_t)in, o->other, (intmax_t)to),
	     copy_file_range(fds[o->slot], &in, fds[o->other], &to,
	                     o->x % 3 ? o->x % 100 : 300000, 0));
}

static void append(const struct op *o)
{
	size_t len;
	const char *t = text(o->x, &len);
	int fd = open(names[o->a], O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK,
	              0644);

	step_ok(label("append %zu to %s", len, names[o->a]), fd);
	if (fd < 0)
		return;
	step("its write", write(fd, t, len));
	step_ok("its close", close(fd));
}

static void utimes_of(const struct op *o)
{
	struct timespec t[2] = { { o->x, o->y }, { o->y, o->x } };
	struct stat st;

	step_ok(label("utimens %s %u %u", names[o->a], o->x, o->y),
	        utimensat(AT_FDCWD, names[o->a], t, AT_SYMLINK_NOFOLLOW));
	if (lstat(names[o->a], &st) == 0)
		say("mtime", "%d", st.st_mtim.tv_sec == t[1].tv_sec &&
		    st.st_mtim.tv_nsec == t[1].tv_nsec);
}

static void two_names(const struct op *o)
{
	const char *a = names[o->a], *b = names[o->b];

	switch (o->kind) {
	case RENAME:
		step_ok(label("rename %s %s", a, b), rename(a, b));
		break;
	case NOREPLACE:
		step_ok(label("noreplace %s %s", a, b),
		        renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_NOREPLACE));
		break;
	case EXCHANGE:
		step_ok(label("exchange %s %s", a, b),
		        renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE));
		break;
	case LINK:
		step_ok(label("link %s %s", a, b), link(a, b));
		break;
	case SYMLINK:
		step_ok(label("symlink %s %s", a, b), symlink(a, b));
		break;
	default:
		abort();
	}
}

static void one_name(const struct op *o)
{
	const char *a = names[o->a];
	mode_t mode;

	switch (o->kind) {
	case TRUNCATE:
		step_ok(label("truncate %s %jd", a, (intmax_t)offset(o->x)),
		        truncate(a, offset(o->x)));
		break;
	case MKDIR:
		step_ok(label("mkdir %s", a), mkdir(a, 0777));
		break;
	case RMDIR:
		step_ok(label("rmdir %s", a), rmdir(a));
		break;
	case UNLINK:
		step_ok(label("unlink %s", a), unlink(a));
		break;
	case FIFO:
		step_ok(label("mkfifo %s", a), mkfifo(a, 0644));
		break;
	case STAT:
		stat_of(a);
		break;
	case LIST:
		list(o->x % 2 ? a : ".");
		break;
	case CONTENT:
		content(a);
		break;
	case CHMOD:
		mode = o->x & 07777;
		/* FUSE keeps such a setgid bit, see differences.txt. */
		if (!(mode & S_IXGRP))
			mode &= ~(mode_t)S_ISGID;
		step_ok(label("chmod %s %o", a, mode), chmod(a, mode));
		break;
	case ACCESS:
		step_ok(label("access %s %u", a, o->x % 8),
		        access(a, (int)(o->x % 8)));
		break;
	default:
		abort();
	}
}

static void as_user(const struct op *o)
{
	/* Root most of the time, or nothing would happen for long. */
	enum who who = o->x % 2 ? ROOT : (enum who)(o->y % 4);

	say("become", "%s", who_name[who]);
	become(who);
}

static bool may_change_user;

static void run_op(const struct op *o)
{
	static const uid_t ids[] = { 0, 65534, 1001, 1002 };
	static const gid_t gids[] = { 0, 65534, 1001, 1002, 2000 };

	switch (o->kind) {
	case OPEN:
	case CREATE:
		open_one(o);
		break;
	case APPEND:
		append(o);
		break;
	case RENAME: case NOREPLACE: case EXCHANGE: case LINK: case SYMLINK:
		two_names(o);
		break;
	case TRUNCATE: case MKDIR: case RMDIR: case UNLINK: case FIFO:
	case STAT: case LIST: case CONTENT: case CHMOD: case ACCESS:
		one_name(o);
		break;
	case CHOWN:
		if (may_change_user)
			step_ok(label("chown %s %u %u", names[o->a],
			              ids[o->x % 4], gids[o->y % 5]),
			        lchown(names[o->a], ids[o->x % 4],
			               gids[o->y % 5]));
		break;
	case UTIMES:
		utimes_of(o);
		break;
	case COPY:
		copy(o);
		break;
	case USER:
		if (may_change_user)
			as_user(o);
		break;
	default:
		on_slot(o);
	}
}

static void run_ops(void)
{
	for (int i = 0; i < used; i++)
		if (!off[i])
			run_op(&ops[i]);
	if (may_change_user)
		become(ROOT);
	tree(".");
	for (int i = 0; i < SLOTS; i++) {
		if (fds[i] >= 0)
			step_ok(label("slot %d: close at the end", i),
			        close(fds[i]));
	}
	tree(".");
}

static int serial;

/* Both transcripts; says whether they differ. */
static bool try_ops(const char *const roots[2], unsigned long seed, bool keep,
                    char *texts[2])
{
	for (int side = 0; side < 2; side++) {
		struct place p = { .root = roots[side] };

		/* The root itself cannot be kept for a later look. */
		p.level = keep ? 1 + (int)(seed % 4) : (int)(seed % LEVELS);
		snprintf(p.name, sizeof(p.name), "random-%lu-%d", seed, serial);
		texts[side] = run_in(&p, run_ops, keep);
		if (!texts[side])
			abort();
	}
	serial++;
	return strcmp(texts[0], texts[1]) != 0;
}

/* Some differences need luck to show. */
static bool still_fails(const char *const roots[2], unsigned long seed)
{
	char *texts[2];
	int rc = 0;

	for (int i = 0; i < 3 && !rc; i++) {
		rc = try_ops(roots, seed, false, texts);
		free(texts[0]);
		free(texts[1]);
	}
	return rc;
}

/* The shortest prefix that fails, then without all that is not needed. */
static void reduce(const char *const roots[2], unsigned long seed)
{
	int low = 1, high = used;
	bool saved[LENGTH];

	while (low < high) {
		used = (low + high) / 2;
		if (still_fails(roots, seed))
			high = used;
		else
			low = used + 1;
	}
	used = high;
	for (int chunk = used / 2; chunk >= 1; chunk /= 2) {
		for (int i = 0; i < used; i += chunk) {
			memcpy(saved, off, sizeof(off));
			for (int j = i; j < i + chunk && j < used; j++)
				off[j] = true;
			if (!still_fails(roots, seed))
				memcpy(off, saved, sizeof(off));
		}
	}
}

static void show(const char *const roots[2], unsigned long seed)
{
	char *texts[2], *disk, *mount, *a, *b;

	if (!try_ops(roots, seed, false, texts))
		printf("    this form fails only sometimes\n");
	disk = texts[0];
	mount = texts[1];
	while (disk || mount) {
		a = strsep(&disk, "\n");
		b = strsep(&mount, "\n");
		if (a && b && strcmp(a, b) == 0)
			printf("    %s\n", a);
		else
			printf("  < %s   (disk)\n  > %s   (mount)\n",
			       a ? a : "", b ? b : "");
	}
	free(texts[0]);
	free(texts[1]);
}

int random_calls(const char *disk, const char *mount, unsigned long seed,
                 unsigned long calls, bool keep)
{
	const char *const roots[2] = { disk, mount };
	int failed = 0;

	may_change_user = geteuid() == 0;
	if (!may_change_user)
		printf("skipped: calls as other users, which need root\n");
	for (unsigned long n = 0; n < (calls + LENGTH - 1) / LENGTH; n++) {
		char *texts[2];
		int rc;

		draw_all(seed + n);
		rc = try_ops(roots, seed + n, keep, texts);
		free(texts[0]);
		free(texts[1]);
		if (!rc)
			continue;
		failed++;
		printf("DIFFERS: --random %lu %d at %s\n", seed + n, LENGTH,
		       level_name[(seed + n) % LEVELS]);
		reduce(roots, seed + n);
		show(roots, seed + n);
		fflush(stdout);
		if (failed == 5)
			break;
	}
	printf("%lu calls from seed %lu, %d sequences differ\n", calls, seed,
	       failed);
	return failed;
}
