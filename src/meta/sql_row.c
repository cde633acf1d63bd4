/*
 * Rows and nodes in memory. What the database holds is believed only after a
 * look: a row that cannot be gets a line in the log and -EIO.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fsp_clock.h"
#include "fsp_log.h"
#include "sql_meta.h"

#define MAX_SEC (INT64_MAX / FSP_NS_PER_SEC)

int64_t sql_sec_to_us(int64_t sec)
{
	if (sec > MAX_SEC)
		sec = MAX_SEC;
	if (sec < -MAX_SEC)
		sec = -MAX_SEC;
	return sec * FSP_US_PER_SEC;
}

int64_t sql_us_to_ns(int64_t us)
{
	if (us > INT64_MAX / 1000)
		return INT64_MAX;
	return us < INT64_MIN / 1000 ? INT64_MIN : us * 1000;
}

static bool is_hash(const char *s)
{
	size_t len = s ? strlen(s) : 0;

	return len > 0 && len <= FSP_HASH_MAX &&
	       strspn(s, "0123456789abcdefABCDEF") == len;
}

/* A row is reported when it is met, but not each time again. */
static int bad_row(int64_t id, const char *what)
{
	static atomic_int_fast64_t told[64];
	atomic_int_fast64_t *last = &told[(uint64_t)id % 64];

	if (atomic_exchange(last, id) != id || id == 0)
		fsp_warn("filespace_file row %" PRId64 ": %s", id, what);
	return -EIO;
}

/* A nullable id in a range, -1 otherwise. */
static int64_t small(struct sqlstmt *s, int col, int64_t max)
{
	int64_t v = sql_int_or(s, col, -1);

	return v < 0 || v > max ? -1 : v;
}

static void read_times(struct sqlstmt *s, const struct row_cols *at,
                       struct row *r)
{
	int64_t deleted = sql_int_or(s, at->deleted, 0);
	int64_t created_us = sql_sec_to_us(r->created_at);

	r->live = deleted == 0;
	r->mtime_ns = sql_int_or(s, at->mtime, sql_us_to_ns(created_us));
	r->stored_us = sql_int_or(s, at->stored, created_us);
	r->since_us = sql_int_or(s, at->since, r->stored_us);
	r->closed_us = 0;
	if (!r->live)
		r->closed_us = sql_int_or(s, at->closed,
		                          sql_sec_to_us(deleted));
}

int sql_row_read_at(struct sqlstmt *s, const struct row_cols *at,
                    struct row *r)
{
	const char *hash;
	int64_t size;

	memset(r, 0, sizeof(*r));
	if (!sql_int(s, at->id, &r->id))
		return -ENOENT;
	hash = sql_str(s, at->hash);
	if (!is_hash(hash))
		return bad_row(r->id, "data_hash is no hash");
	strcpy(r->hash, hash);
	if (!sql_int(s, at->size, &size) || size < 0)
		return bad_row(r->id, "size_original is no size");
	if (!sql_int(s, at->created, &r->created_at))
		return bad_row(r->id, "created_at is no time");
	r->size = (uint64_t)size;
	r->ino = (uint64_t)small(s, at->ino, INT64_MAX);
	if (r->ino == (uint64_t)-1)
		r->ino = 0;
	r->mode = small(s, at->mode, 07777);
	r->uid = small(s, at->uid, UINT32_MAX);
	r->gid = small(s, at->gid, UINT32_MAX);
	r->pred_id = sql_int_or(s, at->pred, 0);
	read_times(s, at, r);
	return 0;
}

int sql_row_read(struct sqlstmt *s, int col, struct row *r)
{
	const int8_t c = (int8_t)col;
	const struct row_cols at = ROW_AT(c);

	return sql_row_read_at(s, &at, r);
}

static bool is_type(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		return (mode & ~(uint32_t)(S_IFMT | 07777)) == 0;
	default:
		return false;
	}
}

int sql_node_read(struct sqlstmt *s, int col, int64_t ino, struct node *n)
{
	int64_t mode = small(s, col, UINT32_MAX);
	int64_t uid = small(s, col + 1, UINT32_MAX);
	int64_t gid = small(s, col + 2, UINT32_MAX);
	int64_t nlink = small(s, col + 3, UINT32_MAX);
	const char *target = sql_str(s, col + 5);

	if (mode < 0 || !is_type((uint32_t)mode) || uid < 0 || gid < 0 ||
	    nlink < 0 || (S_ISLNK(mode) && !target)) {
		fsp_warn("fsp_node %" PRId64 ": damaged or missing", ino);
		return -EIO;
	}
	*n = (struct node){
		.mode = (uint32_t)mode,
		.uid = (uint32_t)uid,
		.gid = (uint32_t)gid,
		.nlink = (uint32_t)nlink,
		.rdev = (uint64_t)sql_int_or(s, col + 4, 0),
		.atime_ns = sql_int_or(s, col + 6, 0),
		.mtime_ns = sql_int_or(s, col + 7, 0),
		.ctime_ns = sql_int_or(s, col + 8, 0),
	};
	if (S_ISLNK(mode))
		n->size = strlen(target);
	return 0;
}

void sql_node_file(const struct sql_meta *m, const struct row *r,
                   struct node *n)
{
	*n = (struct node){
		.mode = S_IFREG | (m->opt.file_mode & 07777),
		.uid = m->opt.uid,
		.gid = m->opt.gid,
		.nlink = 1,
		.atime_ns = r->mtime_ns,
		.mtime_ns = r->mtime_ns,
		.ctime_ns = sql_us_to_ns(r->stored_us),
	};
}

void sql_node_dir(const struct sql_meta *m, int64_t time_ns, struct node *n)
{
	*n = (struct node){
		.mode = S_IFDIR | (m->opt.dir_mode & 07777),
		.uid = m->opt.uid,
		.gid = m->opt.gid,
		.nlink = 1,
		.atime_ns = time_ns,
		.mtime_ns = time_ns,
		.ctime_ns = time_ns,
	};
}
