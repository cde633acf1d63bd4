/*
 * MariaDB: what the driver (maria_pool.c, maria_drv.c), the opening
 * (maria_open.c) and the schema's commands (maria_schema.c) share.
 *
 * A maria_link is one connection: owned by whoever opened it, used by one
 * thread at a time. Every call obeys ctx: when its deadline passes or it is
 * cancelled, the watcher shuts the socket down and the call returns.
 */
#ifndef FSP_MARIA_H
#define FSP_MARIA_H

#include <mysql.h>
#include <stdbool.h>
#include <stdint.h>

struct fsp_ctx;
struct fsp_maria_options;               /* fsp_meta.h */
struct maria_link;

enum maria_role { MARIA_WRITER, MARIA_READER };

/*
 * Connects to the first host of the role that can do what the role needs, in
 * the session's settings of DESIGN.md; charset NULL: binary. *error (caller
 * frees, may be NULL) says which host failed how.
 */
int maria_connect(const struct fsp_maria_options *o, const struct fsp_ctx *ctx,
                  enum maria_role role, const char *charset,
                  struct maria_link **out, char **error);
void maria_close(struct maria_link *l);
MYSQL *maria_handle(struct maria_link *l);

/* One statement in text, its rows dropped. */
int maria_run(struct maria_link *l, const struct fsp_ctx *ctx,
              const char *sql);
/* Its rows to each (fields NULL where they are); non-zero stops. */
int maria_rows(struct maria_link *l, const struct fsp_ctx *ctx,
               const char *sql,
               int (*each)(void *arg, char **fields,
                           const unsigned long *lengths), void *arg);
/* The integer of the only row; -ENOENT for none. */
int maria_number(struct maria_link *l, const struct fsp_ctx *ctx,
                 const char *sql, int64_t *v);
/* The server's error as ours, logged where it is nobody's expected answer. */
int maria_errno(unsigned server_error);

#endif
