/* Objects that were verified, and those that rows name. */
#include <errno.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "sql_meta.h"

#define DAY_US (24 * 3600 * FSP_US_PER_SEC)
#define PAGE 65536      /* keys read in one transaction */

#define COLS \
	"o.object_key, o.sha256, o.sha1, o.size, o.stored, o.format," \
	" o.verified_us"
#define OBJECT_COLS COLS " FROM {object} o"

static int copy_text(struct sqlstmt *s, int col, char *out, size_t size)
{
	const char *text = sql_str(s, col);

	if (!text || strlen(text) >= size)
		return -EIO;
	strcpy(out, text);
	return 0;
}

static int read_object(struct sqlstmt *s, struct fsp_object *o)
{
	int err;

	*o = (struct fsp_object){ .size = 0 };
	err = copy_text(s, 0, o->key, sizeof(o->key));
	if (!err)
		err = copy_text(s, 1, o->sha256, sizeof(o->sha256));
	if (!err)
		err = copy_text(s, 2, o->sha1, sizeof(o->sha1));
	if (!err)
		err = copy_text(s, 5, o->format, sizeof(o->format));
	o->size = (uint64_t)sql_int_or(s, 3, 0);
	o->stored = (uint64_t)sql_int_or(s, 4, 0);
	o->verified_us = o->recorded_us = sql_int_or(s, 6, 0);
	return err;
}

static int drop_blocks(struct txn *t, const char *key)
{
	return sql_run(t, "DELETE FROM {blocks} WHERE object_key = ?", "t",
	               key);
}

static int put_blocks(struct txn *t, const struct fsp_object *o)
{
	if (!o->blocks)
		return 0;
	if (!o->blocks->len)
		return drop_blocks(t, o->key);
	return sql_run(t, "REPLACE INTO {blocks} (object_key, data)"
	               " VALUES (?, ?)", "tb", o->key, o->blocks);
}

int sql_put_object(struct txn *t, const struct fsp_object *o)
{
	int err;

	if (!o->verified_us)
		return 0;               /* nothing that is known for sure */
	err = sql_later(t, "REPLACE INTO {object} (object_key, sha256, sha1,"
	                " size, stored, format, verified_us)"
	                " VALUES (?, ?, ?, ?, ?, ?, ?)", "tttiiti", o->key,
	                o->sha256, o->sha1, (int64_t)o->size,
	                (int64_t)o->stored, o->format, o->verified_us);
	return err ? err : put_blocks(t, o);
}

/*
 * Not where it is known already and verified of late: what everybody stores,
 * as empty files are, would be one row for which all commits queue up.
 */
int sql_note_object(struct txn *t, const struct fsp_object *o)
{
	int64_t late = o->verified_us - DAY_US;
	int64_t size = (int64_t)o->size, stored = (int64_t)o->stored;

	int err;

	if (!o->verified_us || o->verified_us == o->recorded_us)
		return 0;
	err = sql_later(t, "REPLACE INTO {object} (object_key, sha256, sha1,"
	               " size, stored, format, verified_us)"
	               " SELECT ?, ?, ?, ?, ?, ?, ? FROM (SELECT 1 AS one) q"
	               " WHERE NOT EXISTS (SELECT 1 FROM {object} o WHERE"
	               " o.object_key = ? AND o.sha256 = ? AND o.sha1 = ? AND"
	               " o.size = ? AND o.stored = ? AND o.format = ? AND"
	               " o.verified_us > ?)", "tttiititttiiti", o->key,
	               o->sha256, o->sha1, size, stored, o->format,
	               o->verified_us, o->key, o->sha256, o->sha1, size,
	               stored, o->format, late > 0 ? late : (int64_t)0);
	return err ? err : put_blocks(t, o);
}

struct wanted {
	const char *key, *sha256, *sha1;
	uint64_t size;
	const struct fsp_object *put;
	struct fsp_object *out;
};

/* Of several the one that was verified last: they are too few to be sorted. */
static int newest(struct sqlstmt *s, struct fsp_object *out)
{
	struct fsp_object o;
	int err, n = 0;

	while ((err = sql_next(s)) == 1) {
		err = read_object(s, &o);
		if (err)
			return err;
		if (!n++ || o.verified_us > out->verified_us)
			*out = o;
	}
	return err ? err : n ? 0 : -ENOENT;
}

/*
 * Both digests of an object are known, so SHA-1 decides only where SHA-256 is
 * not asked for: a collision must not give another's content.
 */
static int find(struct txn *t, void *arg)
{
	const struct wanted *w = arg;
	struct sqlstmt *s SQL_STMT = NULL;
	int err;

	if (w->key)
		err = sql_start(t, &s, "SELECT " OBJECT_COLS
		                " WHERE o.object_key = ?", "t", w->key);
	else if (w->sha256 && *w->sha256)
		err = sql_start(t, &s, "SELECT " OBJECT_COLS
		                " WHERE o.sha256 = ? AND o.size = ? AND"
		                " o.verified_us > 0", "ti", w->sha256,
		                (int64_t)w->size);
	else
		err = sql_start(t, &s, "SELECT " OBJECT_COLS
		                " WHERE o.sha1 = ? AND o.size = ? AND"
		                " o.verified_us > 0", "ti", w->sha1,
		                (int64_t)w->size);
	return err ? err : newest(s, w->out);
}

int sql_object_find(struct fsp_meta *m, const struct fsp_ctx *ctx,
                    const char *sha256, const char *sha1, uint64_t size,
                    struct fsp_object *out)
{
	struct wanted w = {
		.sha256 = sha256, .sha1 = sha1, .size = size, .out = out
	};

	return sql_txn(m, ctx, SQL_ONE, find, &w);
}

int sql_object_get(struct fsp_meta *m, const struct fsp_ctx *ctx,
                   const char *key, struct fsp_object *out)
{
	struct wanted w = { .key = key, .out = out };

	return sql_txn(m, ctx, SQL_ONE, find, &w);
}

struct with_blocks {
	const char *key;
	struct fsp_object *out;
	struct fsp_buf *blocks;
};

static int find_blocks(struct txn *t, void *arg)
{
	const struct with_blocks *w = arg;
	struct sqlstmt *s SQL_STMT = NULL;
	const void *data;
	size_t len = 0;
	int err = sql_start(t, &s, "SELECT " COLS ", b.data FROM {object} o"
	                    " LEFT JOIN {blocks} b ON"
	                    " b.object_key = o.object_key"
	                    " WHERE o.object_key = ?", "t", w->key);

	fsp_buf_reset(w->blocks);
	if (!err)
		err = sql_next(s);
	if (err <= 0)
		return err ? err : -ENOENT;
	err = read_object(s, w->out);
	data = sql_bytes(s, 7, &len);
	return err || !data ? err : fsp_buf_add(w->blocks, data, len);
}

int sql_object_blocks(struct fsp_meta *m, const struct fsp_ctx *ctx,
                      const char *key, struct fsp_object *out,
                      struct fsp_buf *blocks)
{
	struct with_blocks w = { key, out, blocks };

	return sql_txn(m, ctx, SQL_ONE, find_blocks, &w);
}

static int put(struct txn *t, void *arg)
{
	const struct wanted *w = arg;
	int err = sql_claim_space(t, w->put->key);

	if (err)
		return err;
	if (!w->put->verified_us) {
		err = sql_later(t, "UPDATE {object} SET verified_us = 0 WHERE"
		                " object_key = ?", "t", w->put->key);
		return err ? err : drop_blocks(t, w->put->key);
	}
	return sql_put_object(t, w->put);
}

int sql_object_put(struct fsp_meta *m, const struct fsp_ctx *ctx,
                   const struct fsp_object *o)
{
	struct wanted w = { .put = o };

	if (!*o->key || o->size > INT64_MAX)
		return -EINVAL;
	return sql_txn(m, ctx, SQL_WRITE, put, &w);
}

struct page {
	char after[FSP_HASH_MAX + 1];
	struct named {
		char key[FSP_HASH_MAX + 1];
		uint64_t size;
	} v[PAGE];
	size_t n;
	bool more;
};

static int read_page(struct txn *t, void *arg)
{
	struct sqlstmt *s SQL_STMT = NULL;
	struct page *p = arg;
	int64_t rows = 0;
	int err;

	p->n = 0;
	err = sql_start(t, &s, "SELECT f.data_hash, MAX(f.size_original)"
	                " FROM {file} f WHERE f.data_hash > ?"
	                " GROUP BY f.data_hash ORDER BY f.data_hash LIMIT ?",
	                "ti", p->after, (int64_t)PAGE);
	if (err)
		return err;
	while (p->n < PAGE && (err = sql_next(s)) == 1) {
		struct named *o = &p->v[p->n];
		int64_t size = sql_int_or(s, 1, 0);

		rows++;
		/* What is no key names nothing; the row itself is reported
		 * where it is read. */
		if (copy_text(s, 0, o->key, sizeof(o->key)))
			continue;
		o->size = size < 0 ? 0 : (uint64_t)size;
		p->n++;
	}
	p->more = rows == PAGE && p->n;
	return err < 0 ? err : 0;
}

int sql_object_each(struct fsp_meta *m, const struct fsp_ctx *ctx,
                    int (*each)(void *arg, const char *key, uint64_t size),
                    void *arg)
{
	FSP_FREE struct page *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	do {
		err = sql_txn(m, ctx, SQL_ONE, read_page, p);
		for (size_t i = 0; i < p->n && !err; i++)
			err = each(arg, p->v[i].key, p->v[i].size);
		if (!err && p->n)
			strcpy(p->after, p->v[p->n - 1].key);
	} while (!err && p->more);
	return err;
}

#define ROWS_TOLD 16

struct object_rows {
	const char *key;
	int64_t row[ROWS_TOLD];
	char *path[ROWS_TOLD];
	int n;
};

static void rows_free(struct object_rows *r)
{
	for (int i = 0; i < r->n; i++)
		free(r->path[i]);
	r->n = 0;
}

/* Any of many will do, as long as live ones come first. */
static int read_rows(struct object_rows *r, struct sqlstmt *s)
{
	int err = 0;

	while (r->n < ROWS_TOLD && (err = sql_next(s)) == 1) {
		const char *space = sql_str(s, 1), *file = sql_str(s, 2);
		char *path = NULL;

		if (!space || !file || fsp_path_of_row(space, file, &path))
			path = strdup("");
		if (!path)
			return -ENOMEM;
		r->row[r->n] = sql_int_or(s, 0, 0);
		r->path[r->n++] = path;
	}
	return err < 0 ? err : 0;
}

static int find_rows(struct txn *t, void *arg)
{
	struct sqlstmt *s SQL_STMT = NULL;
	struct object_rows *r = arg;
	int err;

	rows_free(r);
	err = sql_start(t, &s, "SELECT f.id, f.space_key, f.file_key FROM"
	                " {file} f WHERE f.data_hash = ? AND " LIVE("f.")
	                " LIMIT 16", "t", r->key);
	if (!err)
		err = read_rows(r, s);
	sql_end(&s);
	if (!err)
		err = sql_start(t, &s, "SELECT f.id, f.space_key, f.file_key"
		                " FROM {file} f WHERE f.data_hash = ? AND"
		                " f.deleted_at <> 0 LIMIT 16", "t", r->key);
	return err ? err : read_rows(r, s);
}

int sql_object_rows(struct fsp_meta *m, const struct fsp_ctx *ctx,
                    const char *key,
                    int (*each)(void *arg, int64_t row, const char *path),
                    void *arg)
{
	struct object_rows r = { .key = key };
	int err = sql_txn(m, ctx, SQL_READ, find_rows, &r);

	for (int i = 0; i < r.n && !err; i++)
		err = each(arg, r.row[i], r.path[i]);
	rows_free(&r);
	return err;
}
