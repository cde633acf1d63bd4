/*
 * Objects that were found damaged or missing and not yet seen whole again: the
 * log says which rows they take along, the health of the content which and
 * since when. Any thread.
 */
#ifndef FSP_STORE_DAMAGE_H
#define FSP_STORE_DAMAGE_H

#include <stdbool.h>

struct fsp_ctx;
struct fsp_damage;
struct fsp_store;

/* `what` it is: "is damaged: ...". */
void damage_met(struct fsp_store *s, const struct fsp_ctx *ctx,
                const char *hash, const char *what);
/* It was read or stored whole. */
void damage_mended(struct fsp_store *s, const char *hash);
/* Was it met, and not yet seen whole? */
bool damage_known(struct fsp_store *s, const char *hash);
void damage_free(struct fsp_damage *d);


struct fsp_blocks;
struct fsp_buf;
/* fetch.c: logs that an object was refused, which is the reader's -EIO. */
void fsp_store_refused(const char *hash);
/* fetch.c: the bytes of the row, or none where they are too many. */
int fsp_store_pack(const struct fsp_blocks *b, struct fsp_buf *out);

#endif
