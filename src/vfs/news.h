/* Changes that others have made, as the journal tells them. news.c */
#ifndef FSP_VFS_NEWS_H
#define FSP_VFS_NEWS_H

#include "vfs_private.h"

struct note {
	struct note *next;
	uint64_t ino;
	bool named, foreign;
	char path[];
};

struct notes {
	struct note *first, **last;
	unsigned n;
	bool all;               /* everything may have changed */
	uint64_t began_seq;     /* v->seq when this reading began, and the one */
	uint64_t since_seq;     /* before it */
};

/*
 * invalidate.c, for the thread that reads the journal.
 *
 * What is known of that place and that number is old. -errno: not all of it
 * could be told, and everything has to go.
 */
int invalidate(struct fsp_vfs *v, const struct note *n);
void invalidate_all(struct fsp_vfs *v);
/* Before that, under v->lock: directories get the places that they have now;
 * n->all is set where one is not known. */
void follow_moves_locked(struct fsp_vfs *v, struct notes *n);

#endif
