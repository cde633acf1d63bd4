/*
 * Scope-bound release of memory and descriptors, so that goto is left for
 * ordered undo only.
 */
#ifndef FSP_CLEANUP_H
#define FSP_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void fsp_cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void fsp_cleanup_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void fsp_cleanup_file(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define FSP_FREE __attribute__((cleanup(fsp_cleanup_free)))
#define FSP_CLOSE __attribute__((cleanup(fsp_cleanup_fd)))
#define FSP_FCLOSE __attribute__((cleanup(fsp_cleanup_file)))

/* Takes the pointer out of a FSP_FREE variable: the caller's from here on. */
#define fsp_steal(p)                                                           \
	({                                                                     \
		__typeof__(p) stolen_ = (p);                                   \
		(p) = NULL;                                                    \
		stolen_;                                                       \
	})

/* The same for the descriptor of a FSP_CLOSE variable. */
static inline int fsp_steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

#endif
