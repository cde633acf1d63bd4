/* Room: what is in the directory, and what has to go. DESIGN.md, "Room". */
#include "cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_file.h"
#include "fsp_log.h"

#define MAX_FILES 100000

struct item {
	char name[CACHE_NAME];
	int64_t used_ns;
	uint64_t bytes;
};

struct items {
	struct item *v;
	size_t n, room;
	uint64_t bytes;                 /* of all */
};

static void items_free(struct items *l)
{
	free(l->v);
}
#define ITEMS __attribute__((cleanup(items_free)))

static uint64_t on_disk(int dirfd, const char *name, struct stat *st)
{
	if (fstatat(dirfd, name, st, AT_SYMLINK_NOFOLLOW) ||
	    !S_ISREG(st->st_mode))
		return 0;
	return (uint64_t)st->st_blocks * 512;
}

static int add(struct items *l, int dirfd, const char *name)
{
	char hash[FSP_HASH_MAX + 1], idx[CACHE_NAME + 4];
	struct stat st = { .st_mode = 0 }, ist;
	struct item *i;
	uint64_t size;

	if (!cache_parse(name, hash, &size))
		return 0;
	if (l->n == l->room) {
		size_t room = l->room ? 2 * l->room : 256;
		struct item *v = realloc(l->v, room * sizeof(*v));

		if (!v)
			return -ENOMEM;
		l->v = v;
		l->room = room;
	}
	i = &l->v[l->n];
	strcpy(i->name, name);
	i->bytes = on_disk(dirfd, name, &st);
	if (!S_ISREG(st.st_mode))
		return 0;               /* gone, or nothing of ours */
	i->used_ns = st.st_mtim.tv_sec * FSP_NS_PER_SEC + st.st_mtim.tv_nsec;
	strcpy(idx, name);
	strcat(idx, ".idx");
	i->bytes += on_disk(dirfd, idx, &ist);
	l->bytes += i->bytes;
	l->n++;
	return 0;
}

static int list(int dirfd, struct items *l)
{
	/* A descriptor of its own, with a position of its own. */
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *de;
	int err = 0;

	if (!d) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	while (!err && (de = readdir(d)))
		err = add(l, dirfd, de->d_name);
	closedir(d);
	return err;
}

static int by_use(const void *a, const void *b)
{
	int64_t x = ((const struct item *)a)->used_ns;
	int64_t y = ((const struct item *)b)->used_ns;

	return x < y ? -1 : x > y;
}

int cache_look(struct fsp_cache *c)
{
	struct items l ITEMS = { .n = 0 };
	int err = list(c->dirfd, &l);

	FSP_GUARD(&c->lock);
	c->stats.bytes = l.bytes;
	c->stats.entries = l.n;
	return err;
}

/* How much less than should be free is. */
static uint64_t short_of(const struct fsp_cache *c)
{
	struct statvfs st;
	uint64_t free_bytes, want = c->min_free;

	if (!want || fstatvfs(c->dirfd, &st))
		return 0;
	free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	if (want > (uint64_t)st.f_blocks * st.f_frsize / 10)
		want = (uint64_t)st.f_blocks * st.f_frsize / 10;
	return free_bytes < want ? want - free_bytes : 0;
}

/* Idle files that are open keep their room when their name goes. */
static void close_idle(struct fsp_cache *c)
{
	struct fsp_cached *e, *dead = NULL;

	fsp_lock(&c->lock);
	while ((e = c->oldest)) {
		cache_idle_del_locked(c, e);
		cache_remove_locked(c, e);
		e->older = dead;
		dead = e;
	}
	fsp_unlock(&c->lock);
	while ((e = dead)) {
		dead = e->older;
		cache_entry_free(e);
	}
}

/* Removes the oldest until so many bytes and files are left, and so many
 * bytes were freed. */
static uint64_t remove_oldest(int dirfd, struct items *l, uint64_t bytes,
                              uint64_t files, uint64_t free_bytes)
{
	uint64_t removed = 0, freed = 0, n = l->n;

	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), by_use);
	for (size_t i = 0; i < l->n; i++) {
		if (l->bytes <= bytes && n <= files && freed >= free_bytes)
			break;
		if (disk_remove(dirfd, l->v[i].name))
			continue;       /* held, or gone meanwhile */
		l->bytes -= l->v[i].bytes;
		freed += l->v[i].bytes;
		n--;
		removed++;
	}
	return removed;
}

static void trim(struct fsp_cache *c, bool all)
{
	struct items l ITEMS = { .n = 0 };
	uint64_t wanted = short_of(c), removed, files = MAX_FILES;
	uint64_t limit = c->max_bytes;
	int err;

	close_idle(c);
	err = list(c->dirfd, &l);
	if (err)
		fsp_warn("cache: cannot make room: %s", strerror(-err));
	if (l.bytes > limit)
		limit = limit / 10 * 9;
	if (l.n > files)
		files = MAX_FILES / 10 * 9;
	removed = remove_oldest(c->dirfd, &l, all ? 0 : limit, files,
	                        wanted + wanted / 10);
	FSP_GUARD(&c->lock);
	c->stats.bytes = l.bytes;
	c->stats.entries = l.n - removed;
	c->stats.evictions += removed;
	c->added = 0;
	/* What is held may be more than there should be. */
	c->again = l.bytes > c->max_bytes || short_of(c) ?
		c->max_bytes / 32 : 0;
	c->trimming = false;
}

static bool begin_trim(struct fsp_cache *c, bool is_short)
{
	FSP_GUARD(&c->lock);
	if (c->trimming || c->added < c->again ||
	    (!is_short && c->stats.bytes <= c->max_bytes &&
	     c->stats.entries <= MAX_FILES))
		return false;
	c->trimming = true;
	return true;
}

void cache_added(struct fsp_cache *c, uint64_t bytes)
{
	fsp_lock(&c->lock);
	c->added += bytes;
	c->stats.bytes += bytes;
	fsp_unlock(&c->lock);
	/* Nothing is kept anyway. */
	if (c->max_bytes && begin_trim(c, short_of(c) > 0))
		trim(c, false);
}

void cache_make_room(struct fsp_cache *c)
{
	fsp_lock(&c->lock);
	while (c->trimming)
		(void)fsp_cond_wait(&c->done, &c->lock,
		                    fsp_mono_ns() + 1000000);
	c->trimming = true;
	fsp_unlock(&c->lock);
	trim(c, true);
}

int fsp_cache_each(const char *dir,
                   int (*each)(void *arg, const struct fsp_cache_file *f),
                   void *arg)
{
	int dirfd FSP_CLOSE = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct items l ITEMS = { .n = 0 };
	int err;

	if (dirfd < 0)
		return -errno;
	err = list(dirfd, &l);
	for (size_t i = 0; i < l.n && !err; i++) {
		char hash[FSP_HASH_MAX + 1], idx[CACHE_NAME + 4];
		struct fsp_cache_file f = {
			.hash = hash, .on_disk = l.v[i].bytes,
			.used_ns = l.v[i].used_ns
		};

		(void)cache_parse(l.v[i].name, hash, &f.size);
		strcpy(idx, l.v[i].name);
		strcat(idx, ".idx");
		f.by_block = faccessat(dirfd, idx, F_OK, 0) == 0;
		err = each(arg, &f);
	}
	return err;
}

int fsp_cache_drop(const char *dir, uint64_t *files, uint64_t *bytes,
                   uint64_t *held)
{
	int dirfd FSP_CLOSE = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct items l ITEMS = { .n = 0 };
	uint64_t before;
	int err;

	if (dirfd < 0)
		return -errno;
	err = list(dirfd, &l);
	if (err)
		return err;
	before = l.bytes;
	*files = remove_oldest(dirfd, &l, 0, 0, 0);
	*bytes = before - l.bytes;
	*held = l.n - *files;
	return 0;
}
