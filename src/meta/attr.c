/* Attributes, by what a mask names of them. */
#include "fsp_meta.h"

void fsp_attr_copy(uint32_t mask, const struct fsp_attr *from,
                   struct fsp_attr *to)
{
	if (mask & FSP_SET_MODE)
		to->mode = (to->mode & S_IFMT) | (from->mode & 07777);
	if (mask & FSP_SET_UID)
		to->uid = from->uid;
	if (mask & FSP_SET_GID)
		to->gid = from->gid;
	if (mask & FSP_SET_ATIME)
		to->atime_ns = from->atime_ns;
	if (mask & FSP_SET_MTIME)
		to->mtime_ns = from->mtime_ns;
	if (mask & FSP_SET_CTIME)
		to->ctime_ns = from->ctime_ns;
}
