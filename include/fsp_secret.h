/*
 * Memory for keys and passwords: pages of their own that no core dump holds,
 * wiped when they go. Any thread.
 */
#ifndef FSP_SECRET_H
#define FSP_SECRET_H

#include <stddef.h>

/* Zeroed; a page at the least, so not for many. NULL without memory. */
void *fsp_secret_alloc(size_t size);
char *fsp_secret_strdup(const char *s);
void fsp_secret_free(void *p);          /* wipes; NULL is fine */

/*
 * For the whole process, early: it leaves no core, and what a kernel that pipes
 * cores to a program gives out all the same holds no memory. 0, or -errno when
 * nothing of that could be had.
 */
int fsp_forbid_dumps(void);

#endif
