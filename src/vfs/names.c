/*
 * Names that are being ended or moved: between the transaction and the table
 * in memory, the rows and we may say different things.
 */
#include "vfs_private.h"

#include <stdlib.h>

#include "fsp_clock.h"

void names_begin(struct fsp_vfs *v)
{
	FSP_GUARD(&v->lock);
	v->names_busy++;
}

void names_end(struct fsp_vfs *v)
{
	FSP_GUARD(&v->lock);
	v->names_busy--;
	fsp_cond_broadcast(&v->names_done);
}

void names_settle(struct fsp_vfs *v)
{
	int64_t until = fsp_mono_ns() + fsp_vfs_patience(v);

	FSP_GUARD(&v->lock);
	while (v->names_busy &&
	       fsp_cond_wait(&v->names_done, &v->lock, until) == 0)
		;
}

uint64_t names_seq(struct fsp_vfs *v)
{
	FSP_GUARD(&v->lock);
	return v->names_seq;
}

bool inode_unlinked(struct fsp_vfs *v, struct inode *i)
{
	FSP_GUARD(&v->lock);
	return i->unlinked;
}

bool inode_lost(struct fsp_vfs *v, struct inode *i)
{
	names_settle(v);
	return inode_unlinked(v, i);
}

bool path_moved(struct fsp_vfs *v, struct inode *dir, char **path,
                uint64_t *seen)
{
	uint64_t seq;
	char *now;

	names_settle(v);
	seq = names_seq(v);
	if (seq == *seen || inode_path(v, dir, &now))
		return false;
	*seen = seq;
	free(*path);
	*path = now;
	return true;
}
