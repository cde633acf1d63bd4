/*
 * Writes, replaces and removes files with contents that can be made again
 * from a number, and notes before and after each step what it did, so that
 * another run can tell whether a crash lost, tore or invented anything.
 *
 *   churn write DIR NOTES SEED COUNT
 *   churn verify DIR NOTES
 *
 * NOTES (kept outside of the mount) has "I name n" before a step and
 * "A name n" after it; n is the generation of the content, 0 is "no file".
 * verify adds "A" lines for what it found where a step was cut off.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES 48                /* n00 to n39 are files, n40 on temporary */
#define TEMPS 8
#define MAX_SIZE (3 << 20)

struct state {
	uint64_t acked, maybe;
	bool cut;               /* a step began and nobody knows how it ended */
};

static unsigned char bytes[MAX_SIZE], found[MAX_SIZE + 1];

static uint64_t next(uint64_t *x)
{
	uint64_t z = (*x += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* The content of a generation: its number, then text or noise. */
static size_t content(uint64_t gen)
{
	uint64_t x = gen, r = next(&x) % 100;
	uint64_t top = r < 60 ? 8192 : r < 90 ? 100000 : r < 98 ? 500000 : MAX_SIZE;
	size_t size = 24 + next(&x) % (top - 24);
	bool text = next(&x) & 1;

	snprintf((char *)bytes, 24, "%022" PRIu64, gen);
	bytes[22] = '\n';
	for (size_t i = 23; i < size; i++) {
		if ((i & 7) == 7 || i == 23)
			r = next(&x);
		bytes[i] = text ? "etaoinsr"[(r >> (i & 7)) & 7] :
		           (unsigned char)(r >> (8 * (i & 7)));
	}
	return size;
}

static void note(int fd, char what, int name, uint64_t gen)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "%c %d %" PRIu64 "\n", what, name, gen);

	if (write(fd, line, (size_t)n) != n) {
		perror("notes");
		exit(2);
	}
}

static int put(int dir, const char *name, uint64_t gen, bool sync)
{
	size_t size = content(gen), done = 0, step = 1 + size / (1 + gen % 5);
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0)
		return -errno;
	while (done < size) {
		size_t n = size - done < step ? size - done : step;
		ssize_t w = write(fd, bytes + done, n);

		if (w < 0) {
			int rc = -errno;

			close(fd);      /* the first error is the one to tell */
			return rc;
		}
		done += (size_t)w;
	}
	if (sync && fsync(fd)) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	return close(fd) ? -errno : 0;
}

static void name_of(char *out, int i)
{
	snprintf(out, 16, "n%02d", i);
}

/* One step: 0 or -errno. */
static int step(int dir, int notes, uint64_t gen, uint64_t r)
{
	int i = (int)(r % (NAMES - TEMPS)), kind = (int)(r >> 32) % 10;
	int t = NAMES - TEMPS + (int)((r >> 16) % TEMPS), rc;
	char name[16], temp[16];

	name_of(name, i);
	name_of(temp, t);
	if (kind == 0) {
		note(notes, 'I', i, 0);
		rc = unlinkat(dir, name, 0) && errno != ENOENT ? -errno : 0;
	} else if (kind <= 3) {
		note(notes, 'I', t, gen);
		rc = put(dir, temp, gen, kind == 1);
		if (rc)
			return rc;
		note(notes, 'A', t, gen);
		note(notes, 'I', t, 0);
		note(notes, 'I', i, gen);
		rc = renameat(dir, temp, dir, name) ? -errno : 0;
		if (!rc)
			note(notes, 'A', t, 0);
	} else {
		note(notes, 'I', i, gen);
		rc = put(dir, name, gen, kind == 4);
	}
	if (!rc)
		note(notes, 'A', i, kind ? gen : 0);
	return rc;
}

static int run_write(int dir, int notes, uint64_t seed, uint64_t count)
{
	uint64_t x = seed;

	for (uint64_t n = 1; n <= count; n++) {
		int rc = step(dir, notes, seed * 1000000 + n, next(&x));

		if (rc) {
			printf("step %" PRIu64 ": %s\n", n, strerrorname_np(-rc));
			return 1;
		}
	}
	printf("all %" PRIu64 " steps done\n", count);
	return 0;
}

static bool read_notes(const char *path, struct state *st)
{
	FILE *f = fopen(path, "re");
	uint64_t gen;
	char what;
	int i;

	if (!f)
		return errno == ENOENT;
	while (fscanf(f, " %c %d %" SCNu64, &what, &i, &gen) == 3) {
		if (i < 0 || i >= NAMES)
			continue;
		st[i].cut = what == 'I';
		if (what == 'I')
			st[i].maybe = gen;
		else
			st[i].acked = gen;
	}
	fclose(f);
	return true;
}

/* *gen is what is there, 0 = no file. */
static bool look(int dir, const char *name, uint64_t *gen)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	size_t size = 0;
	ssize_t n;

	*gen = 0;
	if (fd < 0) {
		if (errno == ENOENT)
			return true;
		printf("%s: open: %s\n", name, strerrorname_np(errno));
		return false;
	}
	while ((n = read(fd, found + size, sizeof(found) - size)) > 0)
		size += (size_t)n;
	if (n < 0) {
		printf("%s: read: %s\n", name, strerrorname_np(errno));
		close(fd);
		return false;
	}
	close(fd);
	*gen = size >= 24 ? strtoull((char *)found, NULL, 10) : 0;
	if (size < 24 || content(*gen) != size || memcmp(found, bytes, size)) {
		printf("%s: torn: %zu bytes, generation %" PRIu64 "\n", name,
		       size, *gen);
		return false;
	}
	return true;
}

static bool check_name(int dir, int notes, int i, const struct state *s)
{
	char name[16];
	uint64_t gen;

	name_of(name, i);
	if (!look(dir, name, &gen))
		return false;
	if (gen != s->acked && !(s->cut && gen == s->maybe)) {
		printf("%s: generation %" PRIu64 ", but %" PRIu64 " was acknowledged%s\n",
		       name, gen, s->acked, s->cut ? " (a later step was cut off)" : "");
		return false;
	}
	if (s->cut)
		note(notes, 'A', i, gen);
	return true;
}

/* Nothing but the names we know. */
static bool check_listing(int dir)
{
	DIR *d = fdopendir(dup(dir));
	struct dirent *e;
	bool good = d != NULL;

	while (d && (e = readdir(d))) {
		char *end;
		long i = *e->d_name == 'n' ? strtol(e->d_name + 1, &end, 10) : -1;

		if (*e->d_name == '.' || (i >= 0 && i < NAMES && !*end))
			continue;
		printf("%s: nobody made this\n", e->d_name);
		good = false;
	}
	if (d)
		closedir(d);
	return good;
}

int main(int argc, char **argv)
{
	static struct state states[NAMES];
	bool writing = argc == 6 && !strcmp(argv[1], "write");
	int dir, notes, bad = 0;

	if (!writing && (argc != 4 || strcmp(argv[1], "verify") != 0)) {
		fprintf(stderr, "usage: churn write DIR NOTES SEED COUNT\n"
		                "       churn verify DIR NOTES\n");
		return 2;
	}
	dir = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	notes = open(argv[3], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (dir < 0 || notes < 0) {
		perror(dir < 0 ? argv[2] : argv[3]);
		return 2;
	}
	if (writing)
		return run_write(dir, notes, strtoull(argv[4], NULL, 10),
		                 strtoull(argv[5], NULL, 10));
	if (!read_notes(argv[3], states)) {
		perror(argv[3]);
		return 2;
	}
	for (int i = 0; i < NAMES; i++)
		bad += !check_name(dir, notes, i, &states[i]);
	bad += !check_listing(dir);
	return bad ? 1 : 0;
}
