/* What the files of the wiring share. */
#ifndef FSP_MAIN_WIRE_H
#define FSP_MAIN_WIRE_H

#include <stdbool.h>

struct fsp_admin;
struct fsp_config;
struct fsp_health_part;
struct fsp_objstore;
struct fsp_store;
struct fsp_wire_options;

/*
 * The objects in a bucket, without asking the server. On error *error (caller
 * frees) may be a line for the user.
 */
int fsp_wire_s3_open(const struct fsp_config *c, bool read_only,
                     struct fsp_objstore **out, char **error);

/*
 * Asks the server whether it accepts the settings; when it cannot be asked,
 * that is only logged, since it may come back.
 */
int fsp_wire_s3_ask(struct fsp_objstore *s, char **error);

/*
 * Puts the breaker around *s, which tells `part`; *s is the whole then. On
 * error *s is as it was.
 */
int fsp_wire_s3_guard(const struct fsp_config *c, struct fsp_health_part *part,
                      struct fsp_objstore **s);

struct fsp_maria_options;
struct fsp_schema;

/*
 * How the settings say the database server is reached; to be freed with
 * fsp_maria_options_free(). *error as above.
 */
int fsp_wire_mysql_options(const struct fsp_config *c,
                           struct fsp_maria_options *out, char **error);

/* Of whichever database the settings name; main_wire.c. */
int fsp_wire_config_schema(const struct fsp_config *c, struct fsp_schema *s);

/* The rows into s->meta; main_wire.c. */
int fsp_wire_open_meta(struct fsp_store *s, bool create, char **error);

/*
 * `filespacectl store test`; main_wire_test.c. 0: it was done and *status is
 * the program's; otherwise the settings are wrong.
 */
int fsp_wire_store_test(const struct fsp_wire_options *o, struct fsp_admin *a,
                        int *status, char **error);

/* Are there no objects? 1 yes, 0 no. */
int fsp_wire_s3_empty(struct fsp_objstore *s, char **error);

#endif
