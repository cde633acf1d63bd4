/* The pool and its connections; between the files of the driver. */
#ifndef FSP_MARIA_POOL_H
#define FSP_MARIA_POOL_H

#include <pthread.h>
#include <stdatomic.h>

#include "fsp_buf.h"
#include "fsp_lock.h"
#include "fsp_meta.h"
#include "maria_link.h"
#include "sql_text.h"
#include "sqldrv.h"

#define MARIA_BUCKETS 64
#define MARIA_STMTS 400         /* of a connection; the server's limit, for
                                   all clients, is 16,382 by default */
#define MARIA_DOMAINS 8
#define MARIA_QUEUE 65536       /* bytes of statements that wait, about */
#define MARIA_TOKEN 33          /* with its NUL */

struct maria_value {
	enum { MARIA_V_NULL, MARIA_V_INT, MARIA_V_TEXT } type;
	long long n;
	struct fsp_buf text;
	unsigned long len;
};

struct maria_cell {
	bool integer, decimal, text;
	long long n;
	char *buf;
	size_t cap;
	unsigned long len;
	my_bool null, error;
};

struct maria_stmt {
	struct sqlstmt base;
	MYSQL_STMT *st;                 /* NULL: not prepared yet */
	const char *text;
	struct sql_text x;
	bool busy, kept, ran;
	bool writes;
	bool streams;                   /* its rows come one by one */
	MYSQL_RES *rows;                /* it went with others, as text */
	MYSQL_ROW row;
	const unsigned long *lengths;
	struct maria_value *value;      /* x.params of them */
	MYSQL_BIND *param;              /* x.physical */
	struct maria_cell *col;
	MYSQL_BIND *res;
	unsigned cols;
	struct maria_stmt *next;
};

struct maria_conn {
	struct sqlconn base;
	struct maria_link *l;
	enum maria_role role;
	size_t host;                    /* which of the role's */
	const struct fsp_ctx *ctx;      /* of who uses it now */
	enum sql_kind kind;
	bool both;                      /* readers and writers share it */
	bool begun;                     /* a transaction may be open */
	bool sent;                      /* the server knows of it */
	bool wrote;                     /* it changed something */
	bool placeless;                 /* it does not count in the pool */
	int64_t outcome;                /* its row in fsp_outcome; 0: none yet */
	char token[MARIA_TOKEN];        /* of this transaction; "": none yet */
	int64_t outcome_us;             /* when its row was said to be in use */
	int64_t last_id;
	uint64_t gtid_seen;             /* the pool's gtid_count it has reached */
	int64_t idle_ns;                /* since then */
	int64_t born_ns;
	struct maria_stmt *bucket[MARIA_BUCKETS];
	int stmts;
	struct maria_text *texts[MARIA_BUCKETS];  /* of what waited */
	unsigned names;                 /* given to them on the server */
	bool naming;                    /* one of those that wait does */
	bool nameless;                  /* the server has no room for more */
	struct fsp_buf queue;           /* those that wait */
	unsigned queued;
	struct maria_ask *asks;         /* those of them that are answered */
	struct maria_conn *next;
};

/* What we know of a host of a site. */
struct maria_health {
	int err;                        /* why it is down; 0: it is not;
	                                   -EROFS: it is there for readers */
	int64_t down_ns;                /* since then */
	int64_t retry_ns, pause_ns;
	int64_t up_ns;                  /* when it came back; 0: was never down */
	int64_t flush_ns;               /* connections born before it go */
};

struct maria_site {
	enum maria_role role;           /* of a connection to look with */
	struct maria_hosts hosts;
	struct maria_health *health;    /* pool's lock */
};

enum { MARIA_PRIMARY, MARIA_REPLICAS, MARIA_SITES };

struct maria_gtid {
	uint32_t domain, server;
	uint64_t seq;
	int64_t noted_ns;
	char text[64];
};

struct maria_pool {
	struct sqldrv base;
	struct fsp_maria_options o;     /* strings are ours */
	char *charset;                  /* of the sessions; NULL: binary */
	struct sql_dialect dialect;
	char *table[SQL_TABLES];
	int limit;
	int64_t wait_ns;                /* for a connection, without deadline */
	atomic_int_fast64_t clock_us;   /* the write host's less ours */
	atomic_int_fast64_t clock_read_ns;
	atomic_bool closing;
	struct fsp_mutex lock;
	struct fsp_cond changed;
	/* below: lock */
	struct maria_site site[MARIA_SITES];
	struct maria_conn *idle;
	int open;                       /* connections, idle ones included */
	bool probing;                   /* the thread runs */
	pthread_t prober;
	struct maria_gtid gtid[MARIA_DOMAINS];
	int gtids;
	uint64_t gtid_count;            /* changes of these */
	uint64_t gtid_missed;           /* commits of which no position is known */
	uint64_t gtid_learnt;           /* so many of them were asked for since */
	bool gtid_said;                 /* that they cannot be */
	int64_t gtid_ask_ns;            /* not before */
	int64_t late_until_ns;          /* read hosts are passed over */
};

static inline struct maria_pool *maria_pool_of(const struct maria_conn *c)
{
	return (struct maria_pool *)c->base.drv;
}

/* ---- maria_legacy.c */

struct maria_found;

/* Writes what stands for the tables of PHP's untouched schema, read in a
 * session of that charset, into d; fresh, also where it fails. */
int maria_legacy_dialect(const struct maria_found *f, const char *charset,
                         struct sql_dialect *d);
void maria_legacy_free(struct sql_dialect *d);

/* ---- maria_pool.c */

struct maria_settings {
	const struct fsp_maria_options *o;
	bool read_only, legacy;
	int connections;
	int64_t wait_ns;
	const char *charset;
	struct sql_dialect dialect;     /* its texts are copied */
};

int maria_pool_open(const struct maria_settings *s, struct sqldrv **out,
                    char **error);
/* A connection of the role, nothing begun, and its return. */
int maria_take(struct maria_pool *p, const struct fsp_ctx *ctx,
               enum maria_role role, struct maria_conn **out);
void maria_give(struct maria_conn *c);
/* The connection has just asked for the host's clock. */
void maria_note_clock(struct maria_pool *p, const struct maria_link *l);
/* Waits a little, or until something changed. */
void maria_pause(struct maria_pool *p);
/* Ends the connection now; its place in the pool is free. */
void maria_drop(struct maria_conn *c);

/* ---- maria_site.c: which host a connection is made to */

int maria_site_open(struct maria_pool *p, struct maria_site *s,
                    enum maria_role role, char **error);
void maria_site_free(struct maria_site *s);
/*
 * Connects to the first that is up, waiting a little for one that just went.
 * -EAGAIN: the server has no room for more connections.
 */
int maria_site_connect(struct maria_pool *p, struct maria_site *s,
                       const struct fsp_ctx *ctx, enum maria_role role,
                       struct maria_link **out, size_t *host);
/* A connection to it was lost: the others are probably, too. */
void maria_site_suspect_locked(struct maria_site *s, size_t host);
/* Is there a reason not to use a connection again? */
bool maria_site_stale_locked(const struct maria_site *s, size_t host,
                             int64_t born_ns);

/* ---- maria_prober.c: one thread that looks whether hosts are back */

/* A host went down. */
void maria_prober_wake_locked(struct maria_pool *p);
void maria_prober_stop(struct maria_pool *p);
/* What a host's connection attempt showed; err 0: it is up. */
void maria_site_note(struct maria_pool *p, struct maria_site *s, size_t host,
                     int err, const char *why);

/* ---- maria_stmt.c */

/* What stands for {blocks} where there is no such table. */
#define MARIA_NO_BLOCKS "(SELECT '' AS object_key, '' AS data" \
	" FROM filespace WHERE 0)"

int maria_prepare(struct sqlconn *conn, const char *text,
                  struct sqlstmt **out);
/* On the server, which maria_prepare() leaves for when it is needed. */
int maria_prepare_now(struct sqlstmt *s);
int maria_bind_int(struct sqlstmt *s, int i, int64_t v);
int maria_bind_text(struct sqlstmt *s, int i, const char *v);
int maria_bind_bytes(struct sqlstmt *s, int i, const void *v, size_t len);
int maria_bind_null(struct sqlstmt *s, int i);
int maria_step(struct sqlstmt *s);
/* What went wrong with it, logged where nobody else would. */
int maria_stmt_errno(struct maria_stmt *s);
void maria_rewind(struct sqlstmt *s);
void maria_end(struct sqlstmt *s);
/* Forgets the statements; the connection is closed already. */
void maria_forget_stmts(struct maria_conn *c);

/* ---- maria_text.c: statements in text, with their values */

struct maria_literal {
	bool null;
	const char *bytes;              /* NULL: the number */
	size_t len;
	int64_t n;
};

/* Appends a statement to the queue. params: how many there are in v. */
int maria_text_add(struct maria_conn *c, const char *text,
                   const struct maria_literal *v, int params);
/* The values as one string, which tells questions of one text apart. */
int maria_text_values(struct maria_conn *c, const char *text,
                      const struct maria_literal *v, struct fsp_buf *out);
/* Which statement of the queue failed, from 1. */
void maria_text_log(const struct maria_conn *c, unsigned nth);
/* All of the queue was run, or something failed. */
void maria_text_named(struct maria_conn *c, bool done);
void maria_text_free(struct maria_conn *c);

/* ---- maria_later.c */

/* A writer's transaction is open, or will be with what waits. */
int maria_open_txn(struct maria_conn *c);
int maria_later(struct sqlconn *conn, const char *text,
                const struct sql_value *v, int n);
int maria_ahead(struct sqlconn *conn, const char *text,
                const struct sql_value *v, int n);
int maria_last(struct sqlconn *conn, int64_t *id);
int maria_now(struct sqlconn *conn);
/*
 * Runs s with what waits, or finds that it was asked ahead: 1, its answer is in
 * s; 0: it has to be asked by itself, and nothing waits.
 */
int maria_with_others(struct maria_stmt *s);
/* Runs what waits, and COMMIT. *sent: COMMIT was, or may have been, come to. */
int maria_now_commit(struct maria_conn *c, const struct fsp_ctx *ctx,
                     bool *sent);
/* What waits is not wanted any more. */
void maria_later_drop(struct maria_conn *c);
void maria_later_free(struct maria_conn *c);

/* ---- maria_result.c */

/* Makes room for what a statement that ran gives; 0, -errno. */
int maria_result_bind(struct maria_stmt *s);
void maria_result_free(struct maria_stmt *s);
int maria_fetch(struct maria_stmt *s);          /* 1, 0, -errno */
/* Of rows that came as text: 1, 0. */
int maria_next_row(struct maria_stmt *s);
int maria_get_int(struct sqlstmt *s, int col, int64_t *v);
const char *maria_get_text(struct sqlstmt *s, int col, size_t *len);
const void *maria_get_bytes(struct sqlstmt *s, int col, size_t *len);

/* ---- maria_txn.c */

int maria_begin(struct maria_conn *c);
int maria_claim(struct sqlconn *conn, unsigned shard);
int maria_commit(struct sqlconn *conn);
void maria_rollback(struct sqlconn *conn);
int64_t maria_now_us(struct sqldrv *d);
/* One statement in text, in a transaction. */
int maria_conn_run(struct maria_conn *c, const char *sql);
/* An error of the connection, as a transaction has to see it. */
int maria_conn_errno(struct maria_conn *c, int err);
/* Takes the row of outcomes that it left out of the table. */
void maria_forget_outcome(struct maria_conn *c);

/* ---- maria_gtid.c: what we committed, for hosts that lag behind */

/* COMMIT was answered, just now; what was missed before is asked for. */
void maria_gtid_note(struct maria_conn *c);
/* It happened without an answer. */
void maria_gtid_missed(struct maria_pool *p);
/* Asks a write host for what was missed, if it is time to; whoever waits sees
 * how it ended. */
bool maria_gtid_learn(struct maria_pool *p, const struct fsp_ctx *ctx);
/* Waits for it; -EAGAIN when the host does not get there soon. */
int maria_gtid_wait(struct maria_conn *c);
/* A read host did not, just before. */
bool maria_gtid_late(struct maria_pool *p);

#endif
