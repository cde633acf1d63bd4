/*
 * The threads that compute: compressing, decompressing, hashing pieces of
 * content. One pool for the process, as the cores are; its threads start when
 * there is something to do.
 *
 * Who waits for a job that nobody has begun does it himself, unless as many run
 * already as there may be threads. So a pool without a thread delays nothing for
 * ever, whoever else uses it. A job must not wait: not for another job, nor for
 * a server.
 */
#ifndef FSP_POOL_H
#define FSP_POOL_H

#include <stdbool.h>

/* Lives in the caller's memory, from submit until wait or cancel returned. */
struct fsp_job {
	void (*run)(struct fsp_job *j);
	struct fsp_job *next, *prev;    /* the pool's, as all below */
	int state;
};

/*
 * How many threads there are at the most; the number of cores until this is
 * called. Fewer than there are: returns when the others are gone. 0: all jobs
 * are done by those who wait for them.
 */
void fsp_pool_set_workers(unsigned n);
unsigned fsp_pool_workers(void);

/* Puts a job behind those that wait. Any thread; never fails, never blocks. */
void fsp_pool_submit(struct fsp_job *j);
/* Returns when it is done; what was never submitted is done at once. */
void fsp_pool_wait(struct fsp_job *j);
/* Whether wait would return at once. */
bool fsp_pool_done(const struct fsp_job *j);
/* Returns when it is done or will never be. */
void fsp_pool_cancel(struct fsp_job *j);

#endif
