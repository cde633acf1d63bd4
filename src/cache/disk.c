/* The files of the cache. DESIGN.md, "Files". */
#include "cache.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_file.h"

#define MAGIC "FSPIDX1\n"
#define HEADER 24
#define CHECK 32
#define INDEX_MAX (64UL << 20)
#define TRIES 100

void cache_name(char out[CACHE_NAME], const char *hash, uint64_t size)
{
	(void)snprintf(out, CACHE_NAME, "%s-%" PRIu64, hash, size);
}

static void index_name(char out[CACHE_NAME + 4], const char *name)
{
	(void)snprintf(out, CACHE_NAME + 4, "%s.idx", name);
}

bool cache_parse(const char *name, char hash[FSP_HASH_MAX + 1], uint64_t *size)
{
	const char *dash = strchr(name, '-');
	char again[CACHE_NAME];
	size_t n = dash ? (size_t)(dash - name) : 0;

	if (!n || n > FSP_HASH_MAX)
		return false;
	memcpy(hash, name, n);
	hash[n] = '\0';
	*size = strtoull(dash + 1, NULL, 10);
	cache_name(again, hash, *size);
	return fsp_hash_valid(hash) && strcmp(again, name) == 0;
}

bool disk_hold(int fd, bool wait)
{
	struct stat st;

	/* An exclusive one is held only by who removes it just now. */
	if (TEMP_FAILURE_RETRY(flock(fd, LOCK_SH | (wait ? 0 : LOCK_NB))) ||
	    fstat(fd, &st))
		return false;
	return st.st_nlink > 0;
}

void disk_release(int fd)
{
	(void)flock(fd, LOCK_UN);       /* cannot fail on an open file */
}

static bool is_ours(const struct stat *st, uint64_t size)
{
	return S_ISREG(st->st_mode) && st->st_uid == geteuid() &&
		!(st->st_mode & 077) && (uint64_t)st->st_size == size;
}

int disk_open(int dirfd, const char *name, uint64_t size, int *fd)
{
	for (int i = 0; i < TRIES; i++) {
		int f FSP_CLOSE = openat(dirfd, name, O_RDWR | O_CLOEXEC |
		                         O_NOFOLLOW | O_NONBLOCK);
		struct stat st;

		if (f < 0 && errno != ELOOP && errno != EISDIR)
			return -errno;
		if (f >= 0 && fstat(f, &st))
			return -errno;
		if (f < 0 || !is_ours(&st, size)) {
			/* Nothing that this cache has made. */
			if (unlinkat(dirfd, name, 0) && errno != ENOENT)
				return -errno;
			return -ENOENT;
		}
		if (disk_hold(f, true)) {
			*fd = fsp_steal_fd(&f);
			return 0;
		}
	}
	return -EBUSY;
}

static int create_once(int dirfd, const char *name, uint64_t size, int *fd)
{
	struct fsp_atomic *a;
	int err = fsp_atomic_begin(dirfd, 0600, &a);

	if (err)
		return err;
	if (ftruncate(fsp_atomic_fd(a), (off_t)size) ||
	    flock(fsp_atomic_fd(a), LOCK_SH | LOCK_NB)) {
		err = -errno;
		fsp_atomic_abort(a);
		return err;
	}
	return fsp_atomic_place(a, name, false, fd);
}

/* What another process has just made it may remove again at once. */
int disk_create(int dirfd, const char *name, uint64_t size, int *fd)
{
	int err = -ENOENT;

	for (int i = 0; i < TRIES && err == -ENOENT; i++) {
		err = create_once(dirfd, name, size, fd);
		if (err == -EEXIST)
			err = disk_open(dirfd, name, size, fd);
	}
	return err == -ENOENT ? -EBUSY : err;
}

static void put_le(char *out, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		out[i] = (char)(uint8_t)(v >> (8 * i));
}

static uint64_t get_le(const char *in, int bytes)
{
	uint64_t v = 0;

	for (int i = 0; i < bytes; i++)
		v |= (uint64_t)(uint8_t)in[i] << (8 * i);
	return v;
}

/* Adds the check over b and the hash. */
static int seal(struct fsp_buf *b, const char *hash, uint8_t check[CHECK])
{
	size_t len = b->len;
	int err = fsp_buf_adds(b, hash);

	if (!err)
		err = fsp_sha256(b->data, b->len, check);
	b->len = len;
	return err;
}

static int parse_index(struct fsp_buf *b, const char *hash, uint64_t size,
                       enum fsp_format *f, struct fsp_blocks *out)
{
	uint8_t want[CHECK], have[CHECK];
	int err;

	if (b->len < HEADER + CHECK || memcmp(b->data, MAGIC, 8) != 0 ||
	    get_le(b->data + 8, 8) != size ||
	    get_le(b->data + 20, 4) != b->len - HEADER - CHECK)
		return -EIO;
	b->len -= CHECK;
	memcpy(have, b->data + b->len, CHECK);
	err = seal(b, hash, want);
	if (err)
		return err;
	if (memcmp(want, have, CHECK) != 0)
		return -EIO;
	*f = (enum fsp_format)get_le(b->data + 16, 4);
	return fsp_blocks_unpack(b->data + HEADER, b->len - HEADER, size, out);
}

int disk_read_index(int dirfd, const char *hash, uint64_t size,
                    enum fsp_format *f, struct fsp_blocks *out)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	char name[CACHE_NAME], idx[CACHE_NAME + 4];
	struct stat st;
	int fd FSP_CLOSE = -1;
	int err;

	cache_name(name, hash, size);
	index_name(idx, name);
	fd = openat(dirfd, idx, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		return -errno;
	err = is_ours(&st, (uint64_t)st.st_size) ?
		fsp_read_fd(fd, &b, INDEX_MAX) : -EIO;
	if (!err)
		err = parse_index(&b, hash, size, f, out);
	if (!err && out->n > 1)
		return 0;
	if (!err)
		fsp_blocks_free(out);
	if (err == -ENOMEM)
		return err;
	(void)unlinkat(dirfd, idx, 0);  /* or it is found bad once more */
	return -ENOENT;
}

int disk_write_index(int dirfd, const char *hash, enum fsp_format f,
                     const struct fsp_blocks *blocks)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	char name[CACHE_NAME], idx[CACHE_NAME + 4], head[HEADER] = MAGIC;
	struct fsp_atomic *a = NULL;
	uint8_t check[CHECK];
	int err = fsp_buf_add(&b, head, HEADER);

	if (!err)
		err = fsp_blocks_pack(blocks, &b);
	if (err)
		return err;
	put_le(b.data + 8, blocks->size, 8);
	put_le(b.data + 16, (uint64_t)f, 4);
	put_le(b.data + 20, b.len - HEADER, 4);
	err = seal(&b, hash, check);
	if (!err)
		err = fsp_buf_add(&b, check, CHECK);
	if (!err)
		err = fsp_atomic_begin(dirfd, 0600, &a);
	if (err)
		return err;
	cache_name(name, hash, blocks->size);
	index_name(idx, name);
	/* Keeps the first error for place(). */
	(void)fsp_atomic_write(a, b.data, b.len);
	return fsp_atomic_place(a, idx, true, NULL);
}

void disk_touch(int fd)
{
	/* Only the order of removal depends on it. */
	(void)futimens(fd, NULL);
}

int disk_remove(int dirfd, const char *name)
{
	int fd FSP_CLOSE = openat(dirfd, name, O_RDONLY | O_CLOEXEC |
	                          O_NOFOLLOW | O_NONBLOCK);
	char idx[CACHE_NAME + 4];

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (unlinkat(dirfd, name, 0))
		return -errno;
	index_name(idx, name);
	/* Where it stays it is found useful, or useless, later. */
	(void)unlinkat(dirfd, idx, 0);
	return 0;
}
