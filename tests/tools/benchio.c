/*
 * What `make bench` times in one process, so that starting programs does not
 * count: listings, reading, and many clients at once.
 *
 *   benchio list <DIRS            opens each directory, stats each entry
 *   benchio stat <FILES           stats each
 *   benchio read BYTES <FILES     reads each to its end, BYTES at most of all
 *   benchio random FILE N SEED    N times 4 KB from anywhere in it
 *   benchio first FILE            opens it and reads one byte
 *   benchio clients write|read N COUNT SIZE DIR
 *                                 N processes with COUNT files of SIZE bytes each
 *
 * One line of JSON: us (of the timed part), n, errors, first_error, and the
 * bytes that were read with their SHA-256, which is taken after the clock has
 * stopped. With clients, us is the sum over all files of all processes, and
 * wall_us the time until the last one was done.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PIECE (128 * 1024)
#define RANDOM_SIZE 4096

struct result {
	int64_t us;
	uint64_t n, errors, bytes;
	int first_error;
};

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static void failed(struct result *r, int error)
{
	if (!r->errors++)
		r->first_error = error;
}

static void print(const struct result *r, const unsigned char *content,
                  int64_t wall_us)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned int len = 0, i;

	printf("{\"us\": %lld, \"n\": %llu, \"errors\": %llu, "
	       "\"first_error\": \"%s\", \"bytes\": %llu",
	       (long long)r->us, (unsigned long long)r->n,
	       (unsigned long long)r->errors,
	       r->errors ? strerror(r->first_error) : "",
	       (unsigned long long)r->bytes);
	if (wall_us >= 0)
		printf(", \"wall_us\": %lld", (long long)wall_us);
	if (content) {
		if (!EVP_Digest(content, r->bytes, md, &len, EVP_sha256(), NULL))
			errx(1, "no SHA-256");
		printf(", \"sha256\": \"");
		for (i = 0; i < len; i++)
			printf("%02x", md[i]);
		printf("\"");
	}
	printf("}\n");
}

/* The lines of stdin. They live as long as the program. */
static char **lines(size_t *count)
{
	char **out = NULL, *line = NULL;
	size_t room = 0, n = 0, cap = 0;
	ssize_t len;

	while ((len = getline(&line, &cap, stdin)) > 0) {
		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		if (n == room) {
			char **more;

			room = room ? 2 * room : 1024;
			more = reallocarray(out, room, sizeof(*out));
			if (!more)
				err(1, "lines");
			out = more;
		}
		out[n] = strdup(line);
		if (!out[n++])
			err(1, "lines");
	}
	free(line);
	*count = n;
	return out;
}

static void list_one(const char *path, struct result *r)
{
	struct dirent *d;
	struct stat st;
	DIR *dir = opendir(path);

	if (!dir) {
		failed(r, errno);
		return;
	}
	while ((d = readdir(dir))) {
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW))
			failed(r, errno);
		r->n++;
	}
	closedir(dir);
}

static void stat_one(const char *path, struct result *r)
{
	struct stat st;

	if (lstat(path, &st))
		failed(r, errno);
	r->n++;
}

/* For what is read, so that no page of it is made while the clock runs. */
static unsigned char *room_for(size_t size)
{
	unsigned char *p = mmap(NULL, size ? size : 1, PROT_READ | PROT_WRITE,
	                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		err(1, "memory");
	return p;
}

/* At most what the buffer has room for: a file that is longer is an error. */
static void read_one(const char *path, unsigned char *buf, size_t room,
                     struct result *r)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = 1;

	if (fd < 0) {
		failed(r, errno);
		return;
	}
	while (got > 0) {
		size_t want = room - r->bytes < PIECE ? room - r->bytes : PIECE;

		if (!want)
			break;
		got = read(fd, buf + r->bytes, want);
		if (got < 0)
			failed(r, errno);
		else
			r->bytes += (uint64_t)got;
	}
	close(fd);
	r->n++;
}

static int each_line(void (*one)(const char *, struct result *))
{
	struct result r = { 0 };
	size_t n, i;
	char **l = lines(&n);
	int64_t start = now_us();

	for (i = 0; i < n; i++)
		one(l[i], &r);
	r.us = now_us() - start;
	print(&r, NULL, -1);
	return 0;
}

static int read_all(size_t room)
{
	struct result r = { 0 };
	size_t n, i;
	char **l = lines(&n);
	unsigned char *buf = room_for(room);
	int64_t start = now_us();

	for (i = 0; i < n; i++)
		read_one(l[i], buf, room, &r);
	r.us = now_us() - start;
	print(&r, buf, -1);
	return 0;
}

/* The offsets are those of data.py: a 64-bit LCG. */
static int random_reads(const char *path, uint64_t n, uint64_t seed)
{
	struct result r = { 0 };
	unsigned char *buf = room_for(n * RANDOM_SIZE);
	struct stat st;
	int64_t start = now_us();
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) || st.st_size < RANDOM_SIZE)
		err(1, "%s", path);
	for (r.n = 0; r.n < n; r.n++) {
		uint64_t at;
		ssize_t got;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		at = (seed >> 11) % (uint64_t)(st.st_size - RANDOM_SIZE);
		got = pread(fd, buf + r.bytes, RANDOM_SIZE, (off_t)at);
		if (got != RANDOM_SIZE)
			failed(&r, got < 0 ? errno : EIO);
		else
			r.bytes += RANDOM_SIZE;
	}
	r.us = now_us() - start;
	print(&r, buf, -1);
	close(fd);
	return 0;
}

static int first_byte(const char *path)
{
	struct result r = { 0 };
	unsigned char byte;
	int64_t start = now_us();
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, &byte, 1) != 1)
		failed(&r, errno);
	else
		r.bytes = 1;
	r.us = now_us() - start;
	r.n = 1;
	print(&r, r.errors ? NULL : &byte, -1);
	close(fd);
	return 0;
}

/* Content of its own for each file; from its name, so that readers know it. */
static void fill(unsigned char *buf, size_t size, uint64_t seed)
{
	static const char words[16][9] = {
		"invoice ", "account ", "customer", " record ", "payment ",
		" letter ", "contract", " upload ", " receipt", "delivery",
		"  order ", "product ", "address ", "delivery", " version",
		" archive",
	};
	size_t at;

	for (at = 0; at < size; at += 8) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		memcpy(buf + at, words[seed >> 60],
		       size - at < 8 ? size - at : 8);
	}
}

static void put_one(const char *path, const unsigned char *buf, size_t size,
                    struct result *r)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	ssize_t put;

	if (fd < 0) {
		failed(r, errno);
		return;
	}
	put = write(fd, buf, size);
	if (put != (ssize_t)size)
		failed(r, put < 0 ? errno : EIO);
	if (close(fd))
		failed(r, errno);
	r->n++;
	r->bytes += size;
}

static void get_one(const char *path, const unsigned char *want, size_t size,
                    struct result *r)
{
	struct result one = { 0 };
	unsigned char *buf = malloc(size + 1);
	int64_t start;

	if (!buf)
		err(1, "memory");
	start = now_us();
	read_one(path, buf, size + 1, &one);
	r->us += now_us() - start;
	if (one.errors)
		failed(r, one.first_error);
	else if (one.bytes != size || memcmp(buf, want, size) != 0)
		failed(r, EILSEQ);
	r->n++;
	r->bytes += one.bytes;
	free(buf);
}

static void client(int id, int of, bool writes, unsigned count, size_t size,
                   const char *dir, struct result *r)
{
	unsigned char *buf = malloc(size);
	char path[4096];
	unsigned i;

	if (!buf)
		err(1, "memory");
	for (i = 0; i < count; i++) {
		int64_t start;

		snprintf(path, sizeof(path), "%s/r%d/f%u", dir, id, i);
		fill(buf, size, ((uint64_t)of << 48) +
		     ((uint64_t)id << 32) + i + 1);
		start = now_us();
		if (writes) {
			put_one(path, buf, size, r);
			r->us += now_us() - start;
		} else {
			get_one(path, buf, size, r);
		}
	}
	free(buf);
}

static int clients(bool writes, int n, unsigned count, size_t size,
                   const char *dir)
{
	struct result all = { 0 };
	struct result *each = mmap(NULL, sizeof(*each) * (size_t)n,
	                           PROT_READ | PROT_WRITE,
	                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int64_t start = now_us();
	int i, status;

	if (each == MAP_FAILED)
		err(1, "memory");
	for (i = 0; i < n; i++) {
		pid_t pid = fork();

		if (pid < 0)
			err(1, "fork");
		if (!pid) {
			client(i, n, writes, count, size, dir, &each[i]);
			_exit(0);
		}
	}
	for (i = 0; i < n; i++)
		if (wait(&status) < 0 || status)
			failed(&all, ECHILD);
	start = now_us() - start;
	for (i = 0; i < n; i++) {
		all.us += each[i].us;
		all.n += each[i].n;
		all.bytes += each[i].bytes;
		if (each[i].errors && !all.errors)
			all.first_error = each[i].first_error;
		all.errors += each[i].errors;
	}
	print(&all, NULL, start);
	return 0;
}

static unsigned long number(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*end || end == text)
		errx(2, "%s is no number", text);
	return n;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "list") == 0 && argc == 2)
		return each_line(list_one);
	if (strcmp(what, "stat") == 0 && argc == 2)
		return each_line(stat_one);
	if (strcmp(what, "read") == 0 && argc == 3)
		return read_all(number(argv[2]));
	if (strcmp(what, "random") == 0 && argc == 5)
		return random_reads(argv[2], number(argv[3]), number(argv[4]));
	if (strcmp(what, "first") == 0 && argc == 3)
		return first_byte(argv[2]);
	if (strcmp(what, "clients") == 0 && argc == 7)
		return clients(strcmp(argv[2], "write") == 0,
		               (int)number(argv[3]),
		               (unsigned)number(argv[4]), number(argv[5]),
		               argv[6]);
	errx(2, "usage: see the head of benchio.c");
}
