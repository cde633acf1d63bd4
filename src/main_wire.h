/* What the files of the wiring share. */
#ifndef FSP_MAIN_WIRE_H
#define FSP_MAIN_WIRE_H

#include <stdbool.h>

struct fsp_config;
struct fsp_health_part;
struct fsp_objstore;

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

/* Are there no objects? 1 yes, 0 no. */
int fsp_wire_s3_empty(struct fsp_objstore *s, char **error);

#endif
