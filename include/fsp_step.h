/*
 * One line of `filespacectl store test`: the backends tell what they have
 * found out about their server, each step as it is done.
 */
#ifndef FSP_STEP_H
#define FSP_STEP_H

#include <stdint.h>

enum fsp_step_result {
	FSP_STEP_OK,
	FSP_STEP_WARN,          /* works, and somebody should look at it */
	FSP_STEP_FAIL           /* something that is needed does not work */
};

/* All strings are valid during the call only. */
struct fsp_step {
	const char *part;       /* "objects", "database" */
	const char *what;       /* "put 4 KiB" */
	enum fsp_step_result result;
	int64_t ns;             /* how long it took; 0: says nothing */
	const char *found;      /* what came out, or the error; may be NULL */
	const char *advice;     /* what to do about it; may be NULL */
};

typedef void (*fsp_step_fn)(void *arg, const struct fsp_step *s);

#endif
