/* The pool and its connections; between sqlite_pool.c and sqlite_drv.c. */
#ifndef FSP_SQLITE_POOL_H
#define FSP_SQLITE_POOL_H

#include "fsp_lock.h"
#include "sql_text.h"
#include "sqlite_drv.h"

#define SQLITE_BUCKETS 64

struct sqlite_stmt {
	struct sqlstmt base;
	sqlite3_stmt *stmt;
	const char *text;
	bool busy, kept;
	struct sqlite_stmt *next;
};

struct sqlite_conn {
	struct sqlconn base;
	sqlite3 *db;
	const struct fsp_ctx *ctx;      /* of who uses it now */
	int64_t busy_until;             /* monotonic; lock waits end here */
	bool writing, synchronous;
	struct sqlite_stmt *bucket[SQLITE_BUCKETS];
	struct sqlite_conn *next;
};

struct sqlite_pool {
	struct sqldrv base;
	char *path;
	bool immutable;
	int64_t busy_timeout_ns;
	int limit;
	char *table[SQL_TABLES];        /* of the dialect */
	struct sql_dialect dialect;
	struct fsp_mutex lock;
	struct fsp_cond changed;
	/* below: lock */
	struct sqlite_conn *idle;
	int open;                       /* connections, idle ones included */
	bool writer;                    /* a thread of ours writes */
};

/* Fills the dialect for the schema that was found; -ENOMEM. */
int sqlite_name_tables(struct sqlite_pool *p, const struct sqlite_found *f);

/* Waits for locks and long statements end with the caller's deadline. */
void sqlite_watch(struct sqlite_conn *c);

int sqlite_begin(struct sqlite_conn *c, enum sql_kind kind);
void sqlite_conn_close(struct sqlite_conn *c);

/* The calls on statements and transactions; acquire, release, close are
 * the pool's. */
int sqlite_commit(struct sqlconn *conn);
void sqlite_rollback(struct sqlconn *conn);
int sqlite_prepare(struct sqlconn *conn, const char *text,
                   struct sqlstmt **out);
int sqlite_bind_int(struct sqlstmt *s, int i, int64_t v);
int sqlite_bind_text(struct sqlstmt *s, int i, const char *v);
int sqlite_bind_bytes(struct sqlstmt *s, int i, const void *v, size_t len);
int sqlite_bind_null(struct sqlstmt *s, int i);
int sqlite_step(struct sqlstmt *s);
int sqlite_get_int(struct sqlstmt *s, int col, int64_t *v);
const char *sqlite_get_text(struct sqlstmt *s, int col, size_t *len);
const void *sqlite_get_bytes(struct sqlstmt *s, int col, size_t *len);
void sqlite_rewind(struct sqlstmt *s);
void sqlite_end(struct sqlstmt *s);
int64_t sqlite_last_id(struct sqlconn *conn);

#endif
