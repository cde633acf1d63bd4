/*
 * What makes this program an owner of pending names, as a mount is one: its
 * row in the table of mounts and its locked directory in the spool. If it is
 * killed, the next mount cleans up after it as after any other.
 */
#ifndef FSP_ADMIN_SESSION_H
#define FSP_ADMIN_SESSION_H

#include "fsp_admin.h"

struct fsp_spool;

struct fsp_session {
	char id[33];
	struct fsp_spool *spool;
};

int fsp_session_begin(struct fsp_admin *a, struct fsp_session *s);
/* Removes the names that were created and not committed, too. */
int fsp_session_end(struct fsp_admin *a, struct fsp_session *s);

#endif
