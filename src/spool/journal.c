/*
 * The journal: appending, syncing for many at once, writing it anew.
 *
 * Records are written under the lock, one behind the other, so that what was
 * synced is never behind a gap. One caller syncs for all that have written.
 */
#include "fsp_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_file.h"
#include "fsp_lock.h"
#include "fsp_log.h"
#include "fsp_spool.h"
#include "record.h"
#include "spool.h"

#define PIECE (256 * 1024)
#define ANEW_BYTES (64 * 1024 * 1024)   /* written anew from this size on */

/* A pending record: in the order of keys. */
struct live {
	uint64_t key, off, len;         /* len 0: it has gone */
	bool file;                      /* content in a file of its own */
	bool born;                      /* so a record behind it says */
};

struct fsp_journal {
	struct fsp_spool *spool;
	struct fsp_mutex lock;
	struct fsp_cond synced_cond;
	int fd;                         /* -1: nothing was put yet */
	uint64_t key, end;              /* the last one; of the file */
	struct live *live;
	size_t n, cap, gone;
	uint64_t live_bytes;
	uint64_t written, synced;       /* tickets */
	bool syncing;
	int failed;                     /* a sync did, and nothing is sure */
};

int fsp_journal_open(struct fsp_spool *s, struct fsp_journal **out)
{
	struct fsp_journal *j = calloc(1, sizeof(*j));

	*out = j;
	if (!j)
		return -ENOMEM;
	fsp_mutex_init(&j->lock);
	fsp_cond_init(&j->synced_cond);
	j->spool = s;
	j->fd = -1;
	return 0;
}

static void check_locked(struct fsp_journal *j)
{
#ifdef FSP_DEBUG
	uint64_t bytes = 0, key = 0;
	size_t gone = 0;

	fsp_assert_held(&j->lock);
	for (size_t i = 0; i < j->n; i++) {
		const struct live *l = &j->live[i];

		if (l->key <= key || l->key > j->key)
			abort();
		key = l->key;
		gone += l->len == 0;
		bytes += l->len;
		if (l->off % 8 || l->off + l->len > j->end)
			abort();
	}
	if (gone != j->gone || bytes != j->live_bytes ||
	    j->synced > j->written || j->end % 8)
		abort();
#else
	fsp_assert_held(&j->lock);
#endif
}

void fsp_journal_close(struct fsp_journal *j)
{
	if (!j)
		return;
	if (j->fd >= 0)
		close(j->fd);
	/* Nothing is pending: the directory may go. */
	if (j->fd >= 0 && !j->live_bytes &&
	    unlinkat(j->spool->dirfd, FSP_SPOOL_JOURNAL, 0))
		fsp_warn("spool: the journal stays: %s", strerror(errno));
	free(j->live);
	fsp_cond_destroy(&j->synced_cond);
	fsp_mutex_destroy(&j->lock);
	free(j);
}

static struct live *find_locked(struct fsp_journal *j, uint64_t key)
{
	size_t lo = fsp_lower_bound(j->live, j->n, sizeof(*j->live),
	                            offsetof(struct live, key), key);

	return lo < j->n && j->live[lo].key == key && j->live[lo].len ?
		&j->live[lo] : NULL;
}

static void drop_locked(struct fsp_journal *j, uint64_t key)
{
	struct live *l = find_locked(j, key);
	size_t n = 0;

	if (!l)
		return;
	j->live_bytes -= l->len;
	l->len = 0;
	if (++j->gone * 2 <= j->n)
		return;
	for (size_t i = 0; i < j->n; i++)
		if (j->live[i].len)
			j->live[n++] = j->live[i];
	j->n = n;
	j->gone = 0;
}

static int reserve_locked(struct fsp_journal *j)
{
	struct live *v = fsp_grow(j->live, j->n, &j->cap, sizeof(*v));

	if (!v)
		return -ENOMEM;
	j->live = v;
	return 0;
}

/* The file, and the directories that lead to it, durably. */
static int make_locked(struct fsp_journal *j)
{
	FSP_CLOSE int root = -1;
	int rc;

	if (j->fd >= 0)
		return 0;
	root = open(j->spool->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -errno;
	j->fd = openat(j->spool->dirfd, FSP_SPOOL_JOURNAL,
	               O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (j->fd < 0)
		return -errno;
	rc = fsp_fsync_dir(j->spool->dirfd);
	return rc ? rc : fsp_fsync_dir(root);
}

static int copy_live_locked(struct fsp_journal *j, struct fsp_atomic *a)
{
	FSP_FREE char *buf = malloc(PIECE);
	int rc = buf ? 0 : -ENOMEM;

	for (size_t i = 0; i < j->n && !rc; i++) {
		uint64_t off = j->live[i].off, end = off + j->live[i].len;

		while (off < end && !rc) {
			size_t n = end - off < PIECE ? end - off : PIECE;

			if (fsp_pread_full(j->fd, buf, n, (off_t)off) !=
			    (ssize_t)n)
				return -EIO;
			rc = fsp_atomic_write(a, buf, n);
			off += n;
		}
	}
	return rc;
}

/* Room for the head, and the body. */
static int begin_born(struct fsp_buf *b, uint64_t key)
{
	int rc = record_begin(b);

	return rc ? rc : record_put_born(b, key);
}

/* Fills in the head of a record that is the next one. */
static int finish(struct fsp_journal *j, struct fsp_buf *b,
                  enum record_kind kind, uint64_t hash)
{
	uint64_t len = b->len - RECORD_HEAD;
	int rc = 0;

	while (!rc && b->len % 8)
		rc = fsp_buf_addc(b, '\0');
	if (!rc)
		record_finish(b, kind, hash, j->key + 1, len);
	return rc;
}

static uint64_t hash_of(const struct fsp_buf *b)
{
	return record_hash(b->data + RECORD_HEAD, b->len - RECORD_HEAD);
}

static int copy_born_locked(struct fsp_journal *j, struct fsp_atomic *a,
                            uint64_t *bytes)
{
	int rc = 0;

	*bytes = 0;
	for (size_t i = 0; i < j->n && !rc; i++) {
		FSP_BUF struct fsp_buf b = FSP_BUF_INIT;

		if (!j->live[i].len || !j->live[i].born)
			continue;
		rc = begin_born(&b, j->live[i].key);
		if (!rc)
			rc = finish(j, &b, RECORD_BORN, hash_of(&b));
		if (!rc)
			rc = fsp_atomic_write(a, b.data, b.len);
		j->key++;
		*bytes += b.len;
	}
	return rc;
}

/* The file under the journal's name is another one now; behind what is pending it
 * has so many bytes. */
static int reopen_locked(struct fsp_journal *j, uint64_t behind)
{
	int fd = openat(j->spool->dirfd, FSP_SPOOL_JOURNAL,
	                O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return -errno;
	close(j->fd);
	j->fd = fd;
	j->end = 0;
	for (size_t i = 0; i < j->n; i++) {
		j->live[i].off = j->end;
		j->end += j->live[i].len;
	}
	j->end += behind;
	return 0;
}

/* What is pending, and nothing else, in a new file that replaces the old. */
static int write_anew_locked(struct fsp_journal *j)
{
	struct fsp_atomic *a;
	uint64_t behind;
	int rc = fsp_atomic_begin(j->spool->dirfd, 0600, &a);

	if (rc)
		return rc;
	rc = copy_live_locked(j, a);
	if (!rc)
		rc = copy_born_locked(j, a, &behind);
	if (rc) {
		fsp_atomic_abort(a);
		return rc;
	}
	rc = fsp_atomic_commit(a, FSP_SPOOL_JOURNAL);
	if (!rc)
		rc = reopen_locked(j, behind);
	/* Which of both has the name is not known, or it is not open. */
	if (rc)
		j->failed = -EIO;
	return rc;
}

static void tidy_locked(struct fsp_journal *j)
{
	int rc = 0;

	if (j->syncing || j->failed || !j->end)
		return;
	if (!j->live_bytes) {
		rc = ftruncate(j->fd, 0) ? -errno : 0;
		if (!rc)
			j->end = 0;
	} else if (j->end > ANEW_BYTES && j->live_bytes < j->end / 2) {
		rc = write_anew_locked(j);
	}
	if (rc)
		fsp_warn("spool: the journal cannot be made shorter: %s",
		         strerror(-rc));
	check_locked(j);
}

/* Writes the record behind the last one; *at: where. */
static int append_locked(struct fsp_journal *j, struct fsp_buf *b,
                         enum record_kind kind, uint64_t hash, uint64_t *at)
{
	int rc = j->failed ? j->failed : make_locked(j);

	if (!rc)
		rc = finish(j, b, kind, hash);
	if (rc)
		return rc;
	rc = fsp_pwrite_all(j->fd, b->data, b->len, (off_t)j->end);
	if (rc) {
		/* What is there is torn, or will be overwritten. */
		if (ftruncate(j->fd, (off_t)j->end))
			j->failed = -EIO;
		return rc;
	}
	j->key++;
	j->written++;
	*at = j->end;
	j->end += b->len;
	return 0;
}

/* Until all that was written by now is on the disk. */
static int sync_locked(struct fsp_journal *j)
{
	uint64_t mine = j->written;

	while (!j->failed && j->synced < mine) {
		uint64_t all = j->written;
		int fd = j->fd, rc;

		if (j->syncing) {
			fsp_cond_wait(&j->synced_cond, &j->lock, 0);
			continue;
		}
		j->syncing = true;
		fsp_unlock(&j->lock);
		rc = TEMP_FAILURE_RETRY(fdatasync(fd)) ? -errno : 0;
		fsp_lock(&j->lock);
		j->syncing = false;
		if (rc) {
			fsp_error("spool: the journal cannot be synced: %s",
			          strerror(-rc));
			j->failed = -EIO;
		} else {
			j->synced = all;
		}
		fsp_cond_broadcast(&j->synced_cond);
	}
	return j->failed;
}

static int put_locked(struct fsp_journal *j, struct fsp_buf *b, uint64_t hash,
                      struct fsp_queued *q, bool file)
{
	uint64_t at;
	int rc = reserve_locked(j);

	if (!rc)
		rc = append_locked(j, b, RECORD_QUEUED, hash, &at);
	if (rc)
		return rc;
	q->key = j->key;
	j->live[j->n++] = (struct live){ .key = q->key, .off = at,
	                                 .len = b->len, .file = file };
	j->live_bytes += b->len;
	rc = sync_locked(j);
	/* Not promised: another start may find it all the same, as it may find
	 * what a killed process had written. */
	drop_locked(j, rc ? q->key : q->drops);
	check_locked(j);
	return rc;
}

/* The content into the record, or onto the disk beside it. */
static int put_content(const struct fsp_spool_file *f, struct record_queued *r,
                       char **bytes)
{
	uint64_t n = fsp_extents_bytes(&f->extents), at = 0;

	r->has_content = true;
	r->extents = f->extents;
	r->fresh = f->fresh;
	if (n > RECORD_INLINE_MAX) {
		r->data = f->data->no;
		if (TEMP_FAILURE_RETRY(fsync(f->data->fd)))
			return -errno;
		return fsp_fsync_dir(f->data->spool->dirfd);
	}
	*bytes = malloc(n + 1);
	if (!*bytes)
		return -ENOMEM;
	for (size_t i = 0; i < f->extents.n; i++) {
		const struct fsp_extent *e = &f->extents.v[i];
		size_t len = e->end - e->start;
		ssize_t got = fsp_pread_full(f->data->fd, *bytes + at, len,
		                             (off_t)e->start);

		if (got != (ssize_t)len)
			return got < 0 ? (int)got : -EIO;
		at += len;
	}
	r->bytes = (unsigned char *)*bytes;
	return 0;
}

int fsp_journal_put(struct fsp_journal *j, struct fsp_queued *q,
                    const struct fsp_spool_file *file)
{
	struct record_queued r = { .q = *q, .data = 0 };
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	FSP_FREE char *bytes = NULL;
	int rc = file ? put_content(file, &r, &bytes) : 0;

	r.path_len = (uint32_t)strlen(q->path);
	/* It could not be read again. */
	if (q->n_dirs > FSP_QUEUED_DIRS ||
	    q->n_dirs > record_path_dirs(q->path, r.path_len))
		rc = -EINVAL;
	if (!rc)
		rc = record_begin(&b);
	if (!rc)
		rc = record_put_queued(&b, &r);
	if (!rc && b.len - RECORD_HEAD > RECORD_BODY_MAX)
		rc = -EFBIG;
	if (rc)
		return rc;
	FSP_GUARD(&j->lock);
	return put_locked(j, &b, hash_of(&b), q, r.data != 0);
}

int fsp_journal_end(struct fsp_journal *j, const struct fsp_queue_end *e,
                    bool sync)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	uint64_t at;
	int rc = record_begin(&b);

	if (!rc)
		rc = record_put_done(&b, e);
	if (rc)
		return rc;
	FSP_GUARD(&j->lock);
	rc = append_locked(j, &b, RECORD_DONE, hash_of(&b), &at);
	if (!rc && sync)
		rc = sync_locked(j);
	if (rc)
		return rc;
	drop_locked(j, e->key);
	tidy_locked(j);
	return 0;
}

int fsp_journal_born(struct fsp_journal *j, uint64_t key)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	struct live *l;
	uint64_t at;
	int rc = begin_born(&b, key);

	if (rc)
		return rc;
	FSP_GUARD(&j->lock);
	l = find_locked(j, key);
	if (!l || l->born)
		return 0;
	rc = append_locked(j, &b, RECORD_BORN, hash_of(&b), &at);
	if (!rc)
		l->born = true;
	check_locked(j);
	return rc;
}

bool fsp_journal_has_file(struct fsp_journal *j, uint64_t key)
{
	const struct live *l;

	FSP_GUARD(&j->lock);
	l = find_locked(j, key);
	return l && l->file;
}

bool fsp_journal_has(struct fsp_journal *j, uint64_t key)
{
	FSP_GUARD(&j->lock);
	return find_locked(j, key) != NULL;
}
