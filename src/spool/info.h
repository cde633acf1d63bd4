/*
 * The text of a kept file's .info.
 */
#ifndef FSP_SPOOL_INFO_H
#define FSP_SPOOL_INFO_H

#include "extents.h"

struct fsp_buf;
struct fsp_spool_info;

/* -ENOMEM only. */
int fsp_spool_info_format(struct fsp_buf *out, const struct fsp_spool_info *i,
                          const struct fsp_extents *x);

/*
 * Overwrites in *i what the file says in a form that can be understood; the
 * rest, and whatever else is in it, is left alone. path is allocated.
 */
int fsp_spool_info_parse(int fd, struct fsp_spool_info *i);

#endif
