/* Records of the journal, by the byte: DESIGN.md. */
#include "record.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"

#define MAGIC 0x314a5346u       /* "FSJ1" */
#define QUEUED_FIXED 312
#define DONE_FIXED 96
#define BORN_FIXED 8
#define DIRS_HEAD 8
#define DIR_FIXED 48

enum {
	FLAG_INLINE = 1, FLAG_PENDING = 2, FLAG_CONTENT = 4, FLAG_UNBORN = 8
};

static void put32(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> 8 * i);
}

static void put64(unsigned char *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (unsigned char)(v >> 8 * i);
}

static uint32_t get32(const unsigned char *p)
{
	uint32_t v = 0;

	for (int i = 0; i < 4; i++)
		v |= (uint32_t)p[i] << 8 * i;
	return v;
}

static uint64_t get64(const unsigned char *p)
{
	return get32(p) | (uint64_t)get32(p + 4) << 32;
}

uint64_t record_size(uint64_t body_len)
{
	return RECORD_HEAD + ((body_len + 7) & ~7ULL);
}

uint64_t record_hash(const void *body, uint64_t len)
{
	return fsp_hash64(body, len, 0);
}

int record_begin(struct fsp_buf *b)
{
	static const char zeros[RECORD_HEAD];

	return fsp_buf_add(b, zeros, sizeof(zeros));
}

void record_finish(struct fsp_buf *b, enum record_kind kind, uint64_t hash,
                   uint64_t key, uint64_t body_len)
{
	unsigned char *p = (unsigned char *)b->data;

	put32(p, MAGIC);
	put32(p + 4, kind);
	put64(p + 8, key);
	put64(p + 16, body_len);
	put64(p + 24, hash);
	put64(p + 32, record_hash(p, 32));
}

int record_get_head(const unsigned char *p, struct record_head *h)
{
	uint32_t kind = get32(p + 4);

	if (get32(p) != MAGIC || get64(p + 32) != record_hash(p, 32) ||
	    kind < RECORD_QUEUED || kind > RECORD_BORN)
		return -EIO;
	h->kind = kind;
	h->key = get64(p + 8);
	h->len = get64(p + 16);
	h->hash = get64(p + 24);
	return h->key && h->len <= RECORD_BODY_MAX ? 0 : -EIO;
}

static uint32_t flags_of(const struct record_queued *r)
{
	return (r->bytes ? FLAG_INLINE : 0) |
	       (r->q.pending ? FLAG_PENDING : 0) |
	       (r->has_content ? FLAG_CONTENT : 0) |
	       (r->q.unborn ? FLAG_UNBORN : 0);
}

/* Offsets 0 to 151: numbers of eight bytes. */
static void put_numbers(unsigned char *p, const struct record_queued *r)
{
	const struct fsp_queued *q = &r->q;
	const uint64_t v[] = {
		q->drops, q->behind, q->ino, q->size, (uint64_t)q->mtime_ns,
		(uint64_t)q->atime_ns, (uint64_t)q->ctime_ns,
		(uint64_t)q->queued_us, (uint64_t)q->over_row,
		(uint64_t)q->session_row, (uint64_t)q->base.row, q->base.size,
		q->base_valid, q->base_limit, q->append_off, q->grown,
		(uint64_t)q->merged.row, q->merged.size, r->data,
	};

	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++)
		put64(p + 8 * i, v[i]);
}

static int put_extents(struct fsp_buf *b, const struct fsp_extents *x)
{
	int err = 0;

	for (size_t i = 0; i < x->n && !err; i++) {
		unsigned char p[16];

		put64(p, x->v[i].start);
		put64(p + 8, x->v[i].end);
		err = fsp_buf_add(b, p, sizeof(p));
	}
	return err;
}

static int put_dir(struct fsp_buf *b, const struct fsp_queued_dir *d)
{
	unsigned char p[DIR_FIXED] = { 0 };

	put64(p, d->ino);
	put32(p + 8, d->mode);
	put32(p + 12, d->uid);
	put32(p + 16, d->gid);
	put64(p + 24, (uint64_t)d->atime_ns);
	put64(p + 32, (uint64_t)d->mtime_ns);
	put64(p + 40, (uint64_t)d->ctime_ns);
	return fsp_buf_add(b, p, sizeof(p));
}

static int put_dirs(struct fsp_buf *b, const struct fsp_queued *q)
{
	unsigned char p[DIRS_HEAD] = { 0 };
	int err;

	put32(p, (uint32_t)q->n_dirs);
	err = fsp_buf_add(b, p, sizeof(p));
	for (size_t i = 0; i < q->n_dirs && !err; i++)
		err = put_dir(b, &q->dirs[i]);
	return err;
}

int record_put_queued(struct fsp_buf *b, const struct record_queued *r)
{
	unsigned char p[QUEUED_FIXED] = { 0 };
	const struct fsp_queued *q = &r->q;
	int err;

	put_numbers(p, r);
	put32(p + 152, q->mask);
	put32(p + 156, q->mode);
	put32(p + 160, q->uid);
	put32(p + 164, q->gid);
	put32(p + 168, flags_of(r));
	put32(p + 172, (uint32_t)r->extents.n);
	put32(p + 176, (uint32_t)r->fresh.n);
	put32(p + 180, r->path_len);
	memcpy(p + 184, q->base.hash, strlen(q->base.hash));
	memcpy(p + 248, q->merged.hash, strlen(q->merged.hash));
	err = fsp_buf_add(b, p, sizeof(p));
	if (!err)
		err = put_extents(b, &r->extents);
	if (!err)
		err = put_extents(b, &r->fresh);
	if (!err && q->unborn)
		err = put_dirs(b, q);
	if (!err)
		err = fsp_buf_add(b, q->path, r->path_len);
	if (!err && r->bytes)
		err = fsp_buf_add(b, r->bytes,
		                  fsp_extents_bytes(&r->extents));
	return err;
}

static void get_hash(const unsigned char *p, char *out)
{
	memcpy(out, p, FSP_HASH_MAX);
	out[FSP_HASH_MAX] = '\0';
}

static void get_numbers(const unsigned char *p, struct record_queued *r)
{
	struct fsp_queued *q = &r->q;

	q->drops = get64(p);
	q->behind = get64(p + 8);
	q->ino = get64(p + 16);
	q->size = get64(p + 24);
	q->mtime_ns = (int64_t)get64(p + 32);
	q->atime_ns = (int64_t)get64(p + 40);
	q->ctime_ns = (int64_t)get64(p + 48);
	q->queued_us = (int64_t)get64(p + 56);
	q->over_row = (int64_t)get64(p + 64);
	q->session_row = (int64_t)get64(p + 72);
	q->base.row = (int64_t)get64(p + 80);
	q->base.size = get64(p + 88);
	q->base_valid = get64(p + 96);
	q->base_limit = get64(p + 104);
	q->append_off = get64(p + 112);
	q->grown = get64(p + 120);
	q->merged.row = (int64_t)get64(p + 128);
	q->merged.size = get64(p + 136);
	r->data = get64(p + 144);
	q->mask = get32(p + 152);
	q->mode = get32(p + 156);
	q->uid = get32(p + 160);
	q->gid = get32(p + 164);
	q->pending = (get32(p + 168) & FLAG_PENDING) != 0;
	r->inlined = (get32(p + 168) & FLAG_INLINE) != 0;
	r->has_content = (get32(p + 168) & FLAG_CONTENT) != 0;
	q->unborn = (get32(p + 168) & FLAG_UNBORN) != 0;
	get_hash(p + 184, q->base.hash);
	get_hash(p + 248, q->merged.hash);
}

static int get_extents(const unsigned char *p, uint32_t n,
                       struct fsp_extents *x)
{
	for (uint32_t i = 0; i < n; i++) {
		int err = fsp_extents_reserve(x);

		if (err)
			return err;
		x->v[x->n++] = (struct fsp_extent){ get64(p + 16 * i),
			                            get64(p + 16 * i + 8) };
	}
	return fsp_extents_valid(x) ? 0 : -EIO;
}

size_t record_path_dirs(const char *path, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len && path[i]; i++)
		n += path[i] == '/';
	return n;
}

static int get_dir(const unsigned char *p, struct fsp_queued_dir *d)
{
	*d = (struct fsp_queued_dir){
		get64(p), get32(p + 8), get32(p + 12), get32(p + 16),
		(int64_t)get64(p + 24), (int64_t)get64(p + 32),
		(int64_t)get64(p + 40),
	};
	return d->ino && S_ISDIR(d->mode) ? 0 : -EIO;
}

/* What is at *at, which moves behind it; the path comes next. */
static int get_dirs(const unsigned char *body, uint64_t len, uint64_t *at,
                    struct record_queued *r)
{
	struct fsp_queued *q = &r->q;
	int err = 0;

	if (len - *at < DIRS_HEAD)
		return -EIO;
	q->n_dirs = get32(body + *at);
	*at += DIRS_HEAD;
	if (q->n_dirs > FSP_QUEUED_DIRS || len - *at < DIR_FIXED * q->n_dirs)
		return -EIO;
	q->dirs = r->dirs = calloc(q->n_dirs + 1, sizeof(*r->dirs));
	if (!r->dirs)
		return -ENOMEM;
	for (size_t i = 0; i < q->n_dirs && !err; i++)
		err = get_dir(body + *at + DIR_FIXED * i, &r->dirs[i]);
	*at += DIR_FIXED * q->n_dirs;
	return err;
}

/* All that comes behind the numbers. */
static int get_rest(const unsigned char *body, uint64_t len,
                    struct record_queued *r)
{
	uint64_t n = get32(body + 172), fresh = get32(body + 176);
	uint64_t at = QUEUED_FIXED + 16 * (n + fresh);
	int err;

	if (len < at)
		return -EIO;
	err = get_extents(body + QUEUED_FIXED, (uint32_t)n, &r->extents);
	if (!err)
		err = get_extents(body + QUEUED_FIXED + 16 * n,
		                  (uint32_t)fresh, &r->fresh);
	if (!err && r->q.unborn)
		err = get_dirs(body, len, &at, r);
	if (err)
		return err;
	if (len - at < r->path_len)
		return -EIO;
	r->q.path = (const char *)body + at;
	if (r->q.n_dirs > record_path_dirs(r->q.path, r->path_len))
		return -EIO;
	at += r->path_len;
	r->bytes = r->inlined ? body + at : NULL;
	at += r->inlined ? fsp_extents_bytes(&r->extents) : 0;
	return len == at ? 0 : -EIO;
}

int record_get_queued(const unsigned char *body, uint64_t len,
                      struct record_queued *r)
{
	int err;

	memset(r, 0, sizeof(*r));
	if (len < QUEUED_FIXED)
		return -EIO;
	get_numbers(body, r);
	r->path_len = get32(body + 180);
	if (r->path_len > PATH_MAX || r->q.size > INT64_MAX || !r->q.ino ||
	    (r->inlined && r->data))
		return -EIO;
	err = get_rest(body, len, r);
	if (err)
		record_free(r);
	return err;
}

void record_free(struct record_queued *r)
{
	fsp_extents_free(&r->extents);
	fsp_extents_free(&r->fresh);
	free(fsp_steal(r->dirs));
}

int record_put_done(struct fsp_buf *b, const struct fsp_queue_end *e)
{
	unsigned char p[DONE_FIXED] = { 0 };

	put64(p, e->key);
	put64(p + 8, (uint64_t)e->stored.row);
	put64(p + 16, e->stored.size);
	put32(p + 24, e->merged);
	memcpy(p + 32, e->stored.hash, strlen(e->stored.hash));
	return fsp_buf_add(b, p, sizeof(p));
}

int record_get_done(const unsigned char *body, uint64_t len,
                    struct fsp_queue_end *e)
{
	if (len != DONE_FIXED)
		return -EIO;
	e->key = get64(body);
	e->stored.row = (int64_t)get64(body + 8);
	e->stored.size = get64(body + 16);
	e->merged = get32(body + 24) != 0;
	get_hash(body + 32, e->stored.hash);
	return 0;
}

int record_put_born(struct fsp_buf *b, uint64_t key)
{
	unsigned char p[BORN_FIXED];

	put64(p, key);
	return fsp_buf_add(b, p, sizeof(p));
}

int record_get_born(const unsigned char *body, uint64_t len, uint64_t *key)
{
	if (len != BORN_FIXED)
		return -EIO;
	*key = get64(body);
	return 0;
}
