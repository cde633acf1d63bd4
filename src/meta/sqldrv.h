/*
 * The driver interface: what sql_*.c needs of a database.
 *
 * A driver keeps a bounded pool of connections. A connection belongs to one
 * thread, from acquire (which begins a transaction) to release. SQL texts are
 * static strings: a statement is prepared once for each connection and kept
 * under the address of its text. In a text, {file} {space} {name} {node}
 * {object} {blocks} {mount} {info} {xattr} and {lock} stand for the tables, ? for
 * the parameters, and {update} at the end of a SELECT for FOR UPDATE where there is
 * such a thing. || concatenates, comparisons are of bytes. sql_text.h expands
 * a text for a database, and says which parameter goes where.
 *
 * Errors: as in fsp_meta.h, and -EDEADLK: run the whole transaction again;
 * -EEXIST: a unique key.
 */
#ifndef FSP_SQLDRV_H
#define FSP_SQLDRV_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fsp_ctx;
struct sqldrv;

enum sql_kind {
	SQL_ONE,                /* a single statement, which is its own snapshot */
	SQL_READ,               /* one snapshot */
	SQL_READ_ANY,           /* the same; may lag behind other hosts, never
	                           behind what this process committed */
	SQL_WRITE,              /* exclusive among those with equal claims */
	SQL_DURABLE             /* the same, on disk when commit returns */
};

#define SQL_SHARDS 256

static inline bool sql_kind_reads(enum sql_kind kind)
{
	return kind < SQL_WRITE;
}

struct sqlconn {
	struct sqldrv *drv;
};

struct sqlstmt {
	struct sqlconn *conn;
};

/* A parameter: null, else text where that is not NULL, else a number. */
struct sql_value {
	bool null;
	const char *text;
	int64_t n;
};

struct sqldrv_ops {
	/* Takes a connection within the deadline of ctx and begins. */
	int (*acquire)(struct sqldrv *d, const struct fsp_ctx *ctx,
	               enum sql_kind kind, struct sqlconn **out);
	/* Ends the transaction; an error means that nothing was changed. */
	int (*commit)(struct sqlconn *c);
	void (*rollback)(struct sqlconn *c);
	void (*release)(struct sqlconn *c);

	/*
	 * Excludes other writers with the same claim until the end of the
	 * transaction; SQL_SHARDS: all of them. NULL in the table: writers
	 * exclude each other anyway.
	 */
	int (*claim)(struct sqlconn *c, unsigned shard);
	/* The database's clock, microseconds; NULL: this machine's. */
	int64_t (*now_us)(struct sqldrv *d);

	/* A statement to bind, step and end; nested use of a text is fine. */
	int (*prepare)(struct sqlconn *c, const char *text,
	               struct sqlstmt **out);
	int (*bind_int)(struct sqlstmt *s, int i, int64_t v);
	int (*bind_text)(struct sqlstmt *s, int i, const char *v);
	int (*bind_bytes)(struct sqlstmt *s, int i, const void *v, size_t len);
	int (*bind_null)(struct sqlstmt *s, int i);
	/* 1 a row, 0 no more rows, -errno. */
	int (*step)(struct sqlstmt *s);
	/* 1 a value, 0 NULL, -EINVAL something that is no integer. */
	int (*get_int)(struct sqlstmt *s, int col, int64_t *v);
	/* NULL where the value is NULL or no text; valid until the next step. */
	const char *(*get_text)(struct sqlstmt *s, int col, size_t *len);
	/*
	 * A statement without a result, to be run before anything else is asked
	 * on the connection, or with the commit; its error comes then, and a
	 * unique key that it met is -EDEADLK. NULL: there is nothing to gain.
	 * now: runs what waits; last_id() is that of the last of it.
	 */
	int (*later)(struct sqlconn *c, const char *text,
	             const struct sql_value *v, int n);
	int (*now)(struct sqlconn *c);
	/* The number of the insert that was given to later() last comes into
	 * *id when it is run, with the commit at the latest. NULL: it has been
	 * run. */
	int (*last)(struct sqlconn *c, int64_t *id);
	/*
	 * A question that will be asked with the same values, unless something
	 * else comes out before: its answer may come with that of another one.
	 * It is as of then, and not kept when something is changed. NULL: there
	 * is nothing to gain.
	 */
	int (*ahead)(struct sqlconn *c, const char *text,
	             const struct sql_value *v, int n);
	/* Bytes of any value, likewise; NULL where the value is NULL. */
	const void *(*get_bytes)(struct sqlstmt *s, int col, size_t *len);
	/* Ready for another round of parameters. */
	void (*rewind)(struct sqlstmt *s);
	void (*end)(struct sqlstmt *s);
	int64_t (*last_id)(struct sqlconn *c);
	void (*close)(struct sqldrv *d);
};

struct sqldrv {
	const struct sqldrv_ops *ops;
	bool read_only;
	bool legacy;            /* PHP's two tables only */
	bool journal;           /* {change} is there */
	/* What those who wait for a listing should find prepared: a driver that
	 * asks a server prepares these, up to NULL, on each connection of a
	 * reader. NULL: none. */
	const char *const *warm;
	/* How often the database was asked something: statements, begin and
	 * commit where they are one. The driver counts. */
	atomic_uint_fast64_t trips;
};

#endif
