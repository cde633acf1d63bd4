/*
 * MariaDB: what the driver (maria_*.c), the opening (maria_open.c) and the
 * schema's commands (maria_schema.c) share.
 *
 * A maria_link is one connection: owned by whoever opened it, used by one
 * thread at a time. Every call obeys ctx, which must outlive it: when its
 * deadline passes, when it is cancelled, or when nothing came from the server
 * for the options' timeout_ns (0: for ever), the connection is shut down, the
 * call returns and so does every later one.
 */
#ifndef FSP_MARIA_H
#define FSP_MARIA_H

#include <mysql.h>
#include <stdbool.h>
#include <stdint.h>

struct fsp_ctx;
struct fsp_maria_options;               /* fsp_meta.h */
struct maria_link;

enum maria_role {
	MARIA_WRITER,           /* the write host; autocommit off, READ COMMITTED */
	MARIA_READER,           /* the write host; autocommit, REPEATABLE READ */
	MARIA_REPLICA           /* a read host; as READER */
};

/*
 * Connects to the first host of the role that can do what the role needs, in
 * the session's settings of DESIGN.md; charset NULL: binary. A READER takes a
 * host that is read-only where there is no other. *error (caller frees, may be
 * NULL) says which host failed how.
 */
int maria_connect(const struct fsp_maria_options *o, const struct fsp_ctx *ctx,
                  enum maria_role role, const char *charset,
                  struct maria_link **out, char **error);
void maria_close(struct maria_link *l);
MYSQL *maria_handle(struct maria_link *l);

/* One statement in text, its rows dropped. */
int maria_run(struct maria_link *l, const struct fsp_ctx *ctx,
              const char *sql);
/*
 * Several statements in one text; the first that fails ends it. *done: how many
 * did not. Each is told of them: from 1 which it was, and its rows (its own to
 * free; NULL: none, and the handle says what it changed).
 */
int maria_run_all(struct maria_link *l, const struct fsp_ctx *ctx,
                  const char *sql,
                  void (*each)(void *arg, unsigned nth, MYSQL_RES *rows),
                  void *arg, unsigned *done);
/* Its rows to each (fields NULL where they are); non-zero stops. */
int maria_rows(struct maria_link *l, const struct fsp_ctx *ctx,
               const char *sql,
               int (*each)(void *arg, char **fields,
                           const unsigned long *lengths), void *arg);
/* The integer of the only row; -ENOENT for none, -EINVAL for none such. */
int maria_number(struct maria_link *l, const struct fsp_ctx *ctx,
                 const char *sql, int64_t *v);
/* What the last failed call was told, for people: "host: text (number)". In
 * fresh memory, NULL when there is none. */
char *maria_message(struct maria_link *l);
/* The server's error as ours. */
int maria_errno(unsigned server_error);

#endif
