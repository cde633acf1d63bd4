/* What put.c and upload.c share: a content on its way to becoming an object. */
#ifndef FSP_STORE_UPLOAD_H
#define FSP_STORE_UPLOAD_H

#include "fsp_store.h"

struct reader {
	fsp_source source;
	void *arg;
	uint64_t size;
};

/* Feeds the content from off to step(), checking that it has its size. */
int read_from(const struct reader *r, const struct fsp_ctx *ctx, uint64_t off,
              int (*step)(void *arg, const void *buf, size_t len), void *arg);

/*
 * Encodes and puts under o->key, in the format f or as *early began, which is
 * used up. d is of the content: -EIO where its sum has become another. o->stored
 * and *index are set.
 */
int upload(struct fsp_store *s, const struct fsp_ctx *ctx,
           const struct reader *r, const struct fsp_digests *d,
           enum fsp_format f, struct fsp_early *early, struct fsp_object *o,
           struct fsp_buf *index);

/* The format of a content that compresses so. */
bool is_incompressible(size_t len, size_t packed);

#endif
