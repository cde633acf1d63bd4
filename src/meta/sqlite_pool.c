/*
 * The SQLite driver: a bounded pool of connections. Writers of this process
 * queue here instead of polling the file's lock against each other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "sqlite_pool.h"

#define CANCEL_POLL_NS 50000000LL       /* cancelling signals no condition */
#define VALUE_MAX (16 << 20)            /* no honest value is longer */

static const char *const pragmas[] = {
	"PRAGMA foreign_keys=OFF",
	"PRAGMA trusted_schema=OFF",
	"PRAGMA cell_size_check=ON",
	"PRAGMA temp_store=MEMORY",
	"PRAGMA cache_size=-8000",
	"PRAGMA journal_size_limit=67108864",
};

/* A file: URI; what is special there is written %XX. */
static char *make_uri(const char *path, bool read_only, bool immutable)
{
	static const char digits[] = "0123456789ABCDEF";
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	int err = fsp_buf_adds(&b, "file:");

	for (; *path && !err; path++) {
		unsigned char c = (unsigned char)*path;

		if (!strchr("%?#", *path))
			err = fsp_buf_addc(&b, *path);
		else
			err = fsp_buf_printf(&b, "%%%c%c", digits[c >> 4],
			                     digits[c & 15]);
	}
	if (!err)
		err = fsp_buf_adds(&b, read_only ? "?mode=ro" : "?mode=rw");
	if (!err && immutable)
		err = fsp_buf_adds(&b, "&immutable=1");
	return err ? NULL : fsp_buf_steal(&b);
}

int sqlite_set_up(sqlite3 *db)
{
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(pragmas) / sizeof(*pragmas); i++)
		err = sqlite_run(db, pragmas[i]);
	return err;
}

int sqlite_connect(const char *path, bool read_only, bool immutable,
                   sqlite3 **out, char **error)
{
	int flags = SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX |
		(read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
	FSP_FREE char *uri = make_uri(path, read_only, immutable);
	sqlite3 *db = NULL;
	int rc, err;

	if (!uri)
		return -ENOMEM;
	rc = sqlite3_open_v2(uri, &db, flags, NULL);
	if (!db)
		return -ENOMEM;
	if (rc) {
		err = sqlite_errno(db, rc, NULL);
		if (error)
			*error = fsp_strf("%s: %s", path, sqlite3_errmsg(db));
		(void)sqlite3_close(db);        /* nothing is open in it */
		return err;
	}
	(void)sqlite3_extended_result_codes(db, 1);     /* cannot fail */
	(void)sqlite3_limit(db, SQLITE_LIMIT_LENGTH, VALUE_MAX);
	*out = db;
	return 0;
}

static int new_conn(struct sqlite_pool *p, const struct fsp_ctx *ctx,
                    int64_t until, struct sqlite_conn **out)
{
	struct sqlite_conn *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	err = sqlite_connect(p->path, p->base.read_only, p->immutable, &c->db,
	                     NULL);
	if (err) {
		free(c);
		return err;
	}
	c->base.drv = &p->base;
	c->ctx = ctx;
	c->busy_until = until;
	sqlite_watch(c);
	err = sqlite_set_up(c->db);
	if (!err && !p->base.read_only)
		err = sqlite_run(c->db, "PRAGMA synchronous=NORMAL");
	if (err) {
		sqlite_conn_close(c);
		return err;
	}
	*out = c;
	return 0;
}

static int wait_locked(struct sqlite_pool *p, const struct fsp_ctx *ctx,
                       int64_t until)
{
	int64_t slice = until;
	int err = fsp_ctx_check(ctx);

	if (err)
		return err;
	if (fsp_mono_ns() >= until)
		return -ETIMEDOUT;
	if (ctx->cancelled && fsp_mono_ns() + CANCEL_POLL_NS < until)
		slice = fsp_mono_ns() + CANCEL_POLL_NS;
	/* Whether it was time or a signal shows in the next round. */
	(void)fsp_cond_wait(&p->changed, &p->lock, slice);
	return 0;
}

/* The place among the writers, and a connection or room to open one. */
static int reserve(struct sqlite_pool *p, const struct fsp_ctx *ctx,
                   bool write, int64_t until, struct sqlite_conn **out)
{
	FSP_GUARD(&p->lock);
	while ((write && p->writer) || (!p->idle && p->open >= p->limit)) {
		int err = wait_locked(p, ctx, until);

		if (err)
			return err;
	}
	*out = p->idle;
	if (p->idle)
		p->idle = p->idle->next;
	else
		p->open++;
	if (write)
		p->writer = true;
	return 0;
}

static void give_back(struct sqlite_pool *p, struct sqlite_conn *c, bool write)
{
	FSP_GUARD(&p->lock);
	if (c) {
		c->next = p->idle;
		p->idle = c;
	} else {
		p->open--;
	}
	if (write)
		p->writer = false;
	fsp_cond_broadcast(&p->changed);
}

static int pool_acquire(struct sqldrv *d, const struct fsp_ctx *ctx,
                        enum sql_kind kind, struct sqlconn **out)
{
	struct sqlite_pool *p = (struct sqlite_pool *)d;
	int64_t until = ctx->deadline_ns ? ctx->deadline_ns :
		fsp_mono_ns() + p->busy_timeout_ns;
	struct sqlite_conn *c = NULL;
	bool write = !sql_kind_reads(kind);
	int err;

	if (write && d->read_only)
		return -EROFS;
	err = reserve(p, ctx, write, until, &c);
	if (err)
		return err;
	if (!c)
		err = new_conn(p, ctx, until, &c);
	if (!err) {
		c->ctx = ctx;
		c->busy_until = until;
		c->writing = write;
		err = sqlite_begin(c, kind);
	}
	if (err) {
		give_back(p, c, write);
		return err;
	}
	*out = &c->base;
	return 0;
}

static void pool_release(struct sqlconn *conn)
{
	struct sqlite_conn *c = (struct sqlite_conn *)conn;

	c->ctx = NULL;
	give_back((struct sqlite_pool *)conn->drv, c, c->writing);
}

static void pool_close(struct sqldrv *d)
{
	struct sqlite_pool *p = (struct sqlite_pool *)d;

	while (p->idle) {
		struct sqlite_conn *c = p->idle;

		p->idle = c->next;
		sqlite_conn_close(c);
	}
	for (int i = 0; i < SQL_TABLES; i++)
		free(p->table[i]);
	fsp_cond_destroy(&p->changed);
	fsp_mutex_destroy(&p->lock);
	free(p->path);
	free(p);
}

static const struct sqldrv_ops ops = {
	.acquire = pool_acquire,
	.commit = sqlite_commit,
	.rollback = sqlite_rollback,
	.release = pool_release,
	.prepare = sqlite_prepare,
	.bind_int = sqlite_bind_int,
	.bind_text = sqlite_bind_text,
	.bind_bytes = sqlite_bind_bytes,
	.bind_null = sqlite_bind_null,
	.step = sqlite_step,
	.get_int = sqlite_get_int,
	.get_text = sqlite_get_text,
	.get_bytes = sqlite_get_bytes,
	.rewind = sqlite_rewind,
	.end = sqlite_end,
	.last_id = sqlite_last_id,
	.close = pool_close,
};

int sqlite_pool_open(const struct sqlite_settings *s, struct sqldrv **out)
{
	struct sqlite_pool *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->base.ops = &ops;
	p->base.read_only = s->read_only;
	p->base.legacy = s->found.kind == SQLITE_LEGACY;
	p->immutable = s->immutable;
	p->busy_timeout_ns = s->busy_timeout_ns;
	p->limit = s->connections > 0 ? s->connections : 1;
	fsp_mutex_init(&p->lock);
	fsp_cond_init(&p->changed);
	p->path = strdup(s->path);
	if (!p->path || sqlite_name_tables(p, &s->found)) {
		pool_close(&p->base);
		return -ENOMEM;
	}
	*out = &p->base;
	return 0;
}
