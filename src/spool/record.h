/*
 * Records of the journal: between memory and bytes. DESIGN.md has the layout.
 */
#ifndef FSP_SPOOL_RECORD_H
#define FSP_SPOOL_RECORD_H

#include "extents.h"
#include "fsp_journal.h"

#define RECORD_HEAD 40
#define RECORD_INLINE_MAX (128 * 1024)
#define RECORD_BODY_MAX (64 * 1024 * 1024)

enum record_kind { RECORD_QUEUED = 1, RECORD_DONE = 2, RECORD_BORN = 3 };

struct fsp_buf;

struct record_head {
	enum record_kind kind;
	uint64_t key, len, hash;        /* of the body */
};

/* A queued record, taken apart; pointers go into the body. */
struct record_queued {
	struct fsp_queued q;            /* path: not ended by a NUL */
	uint32_t path_len;
	bool inlined, has_content;
	uint64_t data;
	/* These are freed by record_free(); q.dirs are the latter. */
	struct fsp_extents extents, fresh;
	struct fsp_queued_dir *dirs;
	const unsigned char *bytes;     /* of all extents, where inlined */
};

uint64_t record_size(uint64_t body_len);        /* with head and padding */

/* The body of one; bytes NULL: not inlined. -ENOMEM. */
int record_put_queued(struct fsp_buf *b, const struct record_queued *r);
int record_put_done(struct fsp_buf *b, const struct fsp_queue_end *e);
int record_put_born(struct fsp_buf *b, uint64_t key);
/* Room for the head at the beginning of b, and its filling in at the end. */
int record_begin(struct fsp_buf *b);
void record_finish(struct fsp_buf *b, enum record_kind kind, uint64_t hash,
                   uint64_t key, uint64_t body_len);
uint64_t record_hash(const void *body, uint64_t len);

/* -EIO for what is none. */
int record_get_head(const unsigned char *p, struct record_head *h);
int record_get_queued(const unsigned char *body, uint64_t len,
                      struct record_queued *r);
int record_get_done(const unsigned char *body, uint64_t len,
                    struct fsp_queue_end *e);
int record_get_born(const unsigned char *body, uint64_t len, uint64_t *key);
/* How many directories a path names. */
size_t record_path_dirs(const char *path, size_t len);
void record_free(struct record_queued *r);

#endif
