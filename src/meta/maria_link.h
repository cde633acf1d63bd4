/* One connection to one host; between the files of the driver. */
#ifndef FSP_MARIA_LINK_H
#define FSP_MARIA_LINK_H

#include <stddef.h>

#include "maria.h"

struct maria_host {
	char *name;             /* as it was given, for people */
	char *host;             /* NULL: a unix socket */
	char *socket;           /* NULL: the library's own */
	unsigned port;
};

struct maria_hosts {
	struct maria_host *v;
	size_t n;
};

struct maria_link {
	MYSQL *my;
	char *name;             /* of the host */
	const struct fsp_ctx *ctx;      /* of the call */
	int64_t timeout_ns;     /* without progress; 0 = none */
	int64_t until_ns;       /* connecting ends then; 0 = connected */
	int failed;             /* -errno: it is of no use any more */
	unsigned error;         /* the server's, of the last failure */
	/* what the server said of itself when we connected */
	bool read_only, galera;
	int64_t clock_us;       /* its clock less ours ... */
	int64_t clock_error_us; /* ... to so much */
};

/* "a, b:3307, [::1]:3306, /path/socket". -EINVAL with *error. */
int maria_hosts_parse(const struct fsp_maria_options *o, enum maria_role role,
                      struct maria_hosts *out, char **error);
void maria_hosts_free(struct maria_hosts *h);
/* Is there one that may lag behind another? */
bool maria_hosts_lag(const struct fsp_maria_options *o);

/*
 * Connects and makes the session; within connect_timeout_ns and ctx. *error
 * is set (fresh) on failure, unless there is no memory.
 */
int maria_link_open(const struct fsp_maria_options *o,
                    const struct maria_host *h, enum maria_role role,
                    const char *charset, const struct fsp_ctx *ctx,
                    struct maria_link **out, char **error);

/* What readers and writers can both work with, in turn: each statement its own
 * transaction, or what is begun; READ COMMITTED. Not on Galera. */
int maria_link_share(struct maria_link *l, const struct fsp_ctx *ctx,
                     const struct fsp_maria_options *o);

/*
 * Waits for what the library waits for, and returns what came. Past the
 * deadline it shuts the connection down, so that the library returns.
 */
int maria_wait(struct maria_link *l, int status);

/* A call failed with the server's error e: ours, noted in the link. */
int maria_failed(struct maria_link *l, unsigned e);

/* The connection is of no use after that error. */
bool maria_is_lost(unsigned e);

/* A line in the log, not more often than every few seconds for an error. */
void maria_log(const char *host, unsigned e, const char *text);

/* Its clock, asked now. */
int maria_read_clock(struct maria_link *l, const struct fsp_ctx *ctx);

#endif
