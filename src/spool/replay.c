/*
 * Reading a journal: what is pending, whatever a crash has left behind it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_file.h"
#include "fsp_journal.h"
#include "fsp_log.h"
#include "fsp_spool.h"
#include "record.h"
#include "spool.h"

#define PIECE 65536

/* A commit that waits, without its content. */
struct waiting {
	struct record_queued r;         /* r.bytes: not there */
	uint64_t bytes_at;              /* in the journal, where inlined */
	int fd;                         /* of the journal */
};

struct replay {
	int fd;
	uint64_t size;
	uint64_t key;                   /* the last one */
	unsigned char *body;            /* of the record that is looked at */
	struct waiting *v;
	size_t n, cap;
	uint64_t damaged;
};

static void waiting_free(struct waiting *w)
{
	record_free(&w->r);
	free((void *)(uintptr_t)w->r.q.path);
}

static void replay_free(struct replay *r)
{
	for (size_t i = 0; i < r->n; i++)
		waiting_free(&r->v[i]);
	free(r->v);
	free(r->body);
	if (r->fd >= 0)
		close(r->fd);
}

#define REPLAY __attribute__((cleanup(replay_free)))

static void take_out(struct replay *r, uint64_t key)
{
	for (size_t i = 0; key && i < r->n; i++) {
		if (r->v[i].r.q.key != key)
			continue;
		waiting_free(&r->v[i]);
		memmove(r->v + i, r->v + i + 1,
		        (r->n - i - 1) * sizeof(*r->v));
		r->n--;
		return;
	}
}

static uint64_t ino_of(const struct replay *r, uint64_t key)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].r.q.key == key)
			return r->v[i].r.q.ino;
	return 0;
}

/* The database has its name by now; 0: it was replaced, by one that says so. */
static void apply_born(struct replay *r, uint64_t ino)
{
	for (size_t i = 0; ino && i < r->n; i++) {
		struct fsp_queued *q = &r->v[i].r.q;

		if (q->ino != ino)
			continue;
		q->unborn = false;
		q->n_dirs = 0;
	}
}

/* The one behind it is over what became of it. */
static void apply_done(struct replay *r, const struct fsp_queue_end *e)
{
	if (e->stored.row)
		apply_born(r, ino_of(r, e->key));
	take_out(r, e->key);
	for (size_t i = 0; i < r->n; i++) {
		struct fsp_queued *q = &r->v[i].r.q;

		if (q->behind != e->key)
			continue;
		q->behind = 0;
		if (!e->stored.row)
			continue;
		if (e->merged)
			q->merged = e->stored;
		else
			q->over_row = e->stored.row;
	}
}

/*
 * What replaces another one takes its place: before those that were made from
 * it, which may be all that is left where the journal was written anew.
 */
static size_t place_of(const struct replay *r, uint64_t drops)
{
	size_t i = 0;

	while (drops && i < r->n && r->v[i].r.q.key != drops &&
	       r->v[i].r.q.behind != drops)
		i++;
	return drops ? i : r->n;
}

static int add(struct replay *r, const struct waiting *w)
{
	struct waiting *v = fsp_grow(r->v, r->n, &r->cap, sizeof(*v));
	uint64_t drops = w->r.q.drops;
	size_t at;

	if (!v)
		return -ENOMEM;
	r->v = v;
	at = place_of(r, drops);
	memmove(v + at + 1, v + at, (r->n++ - at) * sizeof(*v));
	v[at] = *w;
	for (size_t i = at + 1; drops && i < r->n; i++)
		if (v[i].r.q.behind == drops)
			v[i].r.q.behind = w->r.q.key;
	return 0;
}

static int apply_queued(struct replay *r, const struct record_head *h,
                        uint64_t at)
{
	struct waiting w = { .fd = r->fd };
	int rc = record_get_queued(r->body, h->len, &w.r);

	if (rc)
		return rc;
	w.r.q.key = h->key;
	w.bytes_at = w.r.bytes ? at + (uint64_t)(w.r.bytes - r->body) : 0;
	w.r.bytes = NULL;
	w.r.q.path = strndup(w.r.q.path, w.r.path_len);
	rc = w.r.q.path ? add(r, &w) : -ENOMEM;
	if (rc)
		waiting_free(&w);
	else
		take_out(r, w.r.q.drops);
	return rc;
}

/* at: where the body is. */
static int apply(struct replay *r, const struct record_head *h, uint64_t at)
{
	struct fsp_queue_end e;
	uint64_t key;
	int rc;

	if (h->kind == RECORD_QUEUED)
		return apply_queued(r, h, at);
	if (h->kind == RECORD_BORN) {
		rc = record_get_born(r->body, h->len, &key);
		if (!rc)
			apply_born(r, ino_of(r, key));
		return rc;
	}
	rc = record_get_done(r->body, h->len, &e);
	if (!rc)
		apply_done(r, &e);
	return rc;
}

static int read_body(struct replay *r, const struct record_head *h, uint64_t at)
{
	unsigned char *body = realloc(r->body, h->len + 1);

	if (!body)
		return -ENOMEM;
	r->body = body;
	if (fsp_pread_full(r->fd, body, h->len, (off_t)at) != (ssize_t)h->len ||
	    record_hash(body, h->len) != h->hash)
		return -EIO;
	return 0;
}

/* The record at off: 0 and its size, -EIO for none, -ENOMEM. */
static int read_one(struct replay *r, uint64_t off, uint64_t *size)
{
	unsigned char p[RECORD_HEAD];
	struct record_head h;
	int rc;

	if (fsp_pread_full(r->fd, p, sizeof(p), (off_t)off) != sizeof(p))
		return -EIO;
	rc = record_get_head(p, &h);
	if (rc || h.key <= r->key || record_size(h.len) > r->size - off)
		return -EIO;
	rc = read_body(r, &h, off + RECORD_HEAD);
	if (!rc)
		rc = apply(r, &h, off + RECORD_HEAD);
	if (rc)
		return rc;
	r->key = h.key;
	*size = record_size(h.len);
	return 0;
}

/* The next place that looks like a record; the end where there is none. */
static uint64_t next_like(const struct replay *r, uint64_t off)
{
	unsigned char p[PIECE];
	struct record_head h;

	while (off < r->size) {
		ssize_t n = fsp_pread_full(r->fd, p, sizeof(p), (off_t)off);

		if (n < RECORD_HEAD)
			break;
		for (ssize_t at = 0; at + RECORD_HEAD <= n; at += 8)
			if (!record_get_head(p + at, &h))
				return off + (uint64_t)at;
		off += (uint64_t)(n - RECORD_HEAD + 8);
	}
	return r->size;
}

static int read_all(struct replay *r)
{
	uint64_t off = 0, size = 0;
	bool gap = false;

	while (off < r->size) {
		int rc = read_one(r, off, &size);

		if (rc == -ENOMEM)
			return rc;
		if (!rc && gap)
			r->damaged++;
		gap = rc != 0;
		off = rc ? next_like(r, off + 8) : off + size;
	}
	return 0;
}

static int open_journal(int dirfd, struct replay *r)
{
	struct stat st;

	r->fd = openat(dirfd, FSP_SPOOL_JOURNAL,
	               O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (r->fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(r->fd, &st))
		return -errno;
	r->size = (uint64_t)st.st_size;
	return S_ISREG(st.st_mode) ? 0 : -EIO;
}

int fsp_journal_read(int dirfd, fsp_journal_each each, void *arg,
                     uint64_t *damaged)
{
	REPLAY struct replay r = { .fd = -1 };
	int rc = open_journal(dirfd, &r);

	if (!rc)
		rc = read_all(&r);
	if (damaged)
		*damaged = r.damaged;
	for (size_t i = 0; i < r.n && !rc; i++) {
		struct fsp_journal_entry e = { .q = r.v[i].r.q,
			                       .dirfd = dirfd,
			                       .data = r.v[i].r.data,
			                       .facts = &r.v[i] };

		rc = each(arg, &e);
	}
	return rc;
}

/* One extent out of the journal. */
static int copy_extent(const struct waiting *w, uint64_t at,
                       const struct fsp_extent *e, int to)
{
	uint64_t len = e->end - e->start;
	FSP_FREE char *buf = malloc(len);

	if (!buf)
		return -ENOMEM;
	if (fsp_pread_full(w->fd, buf, len, (off_t)at) != (ssize_t)len)
		return -EIO;
	return fsp_pwrite_all(to, buf, len, (off_t)e->start);
}

static int load_inlined(const struct waiting *w, struct fsp_spool *into,
                        struct fsp_spool_data **out)
{
	uint64_t at = w->bytes_at;
	int rc = fsp_spool_data_new(into, out);

	for (size_t i = 0; i < w->r.extents.n && !rc; i++) {
		const struct fsp_extent *e = &w->r.extents.v[i];

		rc = copy_extent(w, at, e, (*out)->fd);
		at += e->end - e->start;
	}
	return rc;
}

/* A second name for the file: the first one goes with its directory. */
static int load_file(const struct fsp_journal_entry *e, struct fsp_spool *into,
                     struct fsp_spool_data **out)
{
	char from[FSP_SPOOL_NAME];
	int rc = fsp_spool_data_new(into, out);
	int fd;

	if (rc)
		return rc;
	(void)snprintf(from, sizeof(from), "w-%llu",
	               (unsigned long long)e->data);
	if (unlinkat(into->dirfd, (*out)->name, 0) ||
	    linkat(e->dirfd, from, into->dirfd, (*out)->name, 0))
		return -errno;
	fd = openat(into->dirfd, (*out)->name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	close((*out)->fd);
	(*out)->fd = fd;
	return 0;
}

static bool is_long_enough(const struct fsp_spool_data *d,
                           const struct fsp_extents *x)
{
	struct stat st;

	return !fstat(d->fd, &st) && S_ISREG(st.st_mode) &&
	       (!x->n || (uint64_t)st.st_size >= x->v[x->n - 1].end);
}

int fsp_journal_load(const struct fsp_journal_entry *e, struct fsp_spool *into,
                     struct fsp_spool_file **out)
{
	const struct waiting *w = e->facts;
	struct fsp_spool_data *d = NULL;
	int rc;

	*out = NULL;
	if (!w->r.has_content)
		return 0;
	rc = w->r.inlined ? load_inlined(w, into, &d) : load_file(e, into, &d);
	if (!rc && !is_long_enough(d, &w->r.extents))
		rc = -EIO;
	if (rc) {
		fsp_spool_data_put(d);
		return rc;
	}
	rc = fsp_spool_file_over(d, out);
	if (!rc)
		rc = fsp_extents_copy(&(*out)->extents, &w->r.extents);
	if (!rc)
		rc = fsp_extents_copy(&(*out)->fresh, &w->r.fresh);
	if (rc) {
		fsp_spool_drop(*out);
		*out = NULL;
	}
	return rc;
}

struct lister {
	const char *id;
	bool alive;
	int (*each)(void *arg, const char *id, bool alive,
	            const struct fsp_queued *q);
	void *arg;
};

static int list_one(void *arg, const struct fsp_journal_entry *e)
{
	const struct lister *l = arg;

	return l->each(l->arg, l->id, l->alive, &e->q);
}

static int list_mount(int root, const char *path, const char *id,
                      struct lister *l)
{
	FSP_CLOSE int dir = openat(root, id, O_RDONLY | O_DIRECTORY |
	                                             O_CLOEXEC | O_NOFOLLOW);
	int rc;

	if (dir < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ?
			0 : -errno;
	l->id = id;
	l->alive = fsp_spool_alive(path, id);
	rc = fsp_journal_read(dir, list_one, l, NULL);
	return rc;
}

int fsp_journal_each_queued(const char *path,
                            int (*each)(void *arg, const char *id, bool alive,
                                        const struct fsp_queued *q),
                            void *arg)
{
	struct lister l = { .each = each, .arg = arg };
	const struct dirent *de;
	DIR *dir = NULL;
	int rc = fsp_opendir(AT_FDCWD, path, 0, &dir);

	if (rc)
		return rc == -ENOENT ? 0 : rc;
	while (!rc && (errno = 0, de = readdir(dir)))
		if (fsp_spool_id_valid(de->d_name))
			rc = list_mount(dirfd(dir), path, de->d_name, &l);
	if (!rc && errno)
		rc = -errno;
	closedir(dir);
	return rc;
}
