/*
 * Memory that goes from one user to the next while there are several: fresh
 * memory costs the kernel a fault for each page. The last user takes all that
 * is left with him, so nothing stays behind when there is nothing to do.
 */
#ifndef FSP_SPARE_H
#define FSP_SPARE_H

#include "fsp_lock.h"

#define FSP_SPARES 4            /* kept at the most */

/* Static, begun by FSP_SPARES_INIT. Any thread. */
struct fsp_spares {
	struct fsp_mutex lock;
	void (*free)(void *item);       /* never called with the lock */
	unsigned users, n;
	void *item[FSP_SPARES];
};

#define FSP_SPARES_INIT(f) { .lock = { PTHREAD_MUTEX_INITIALIZER, 0 },         \
	                     .free = (f) }

/* One more user; the item that he may use, as somebody left it, or NULL. */
void *fsp_spare_begin(struct fsp_spares *s);
/* One more, who leaves no item: he wants what others leave to stay a while. */
void fsp_spare_hold(struct fsp_spares *s);
/* One user less; what he had is kept or freed. NULL: he leaves nothing. */
void fsp_spare_end(struct fsp_spares *s, void *item);

#endif
