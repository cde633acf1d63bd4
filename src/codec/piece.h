/*
 * A piece of an object that is encoded or decoded by itself, on the pool: a
 * block of a bzip2 stream, a zstd frame, a stored block. And a ring of them,
 * whose results are taken in the order in which they were begun.
 */
#ifndef PIECE_H
#define PIECE_H

#include <stdbool.h>
#include <stdint.h>

#include "fsp_blocks.h"
#include "fsp_buf.h"
#include "fsp_codec.h"
#include "fsp_pool.h"

#define CHUNK 65536             /* what is handed on at a time, about */
#define IV_LEN 16
/*
 * A read of a few KB may lie across two pieces, and these are to be no more
 * than 256,000 bytes of the object. So content that zstd makes less than half
 * of is cut into frames twice as large as stored blocks, the rest as these.
 */
#define STORED_BLOCK (124 * 1024)
#define ZSTD_FRAME (2 * STORED_BLOCK)
#define ZSTD_PACKED_MAX (STORED_BLOCK + 992)    /* else it is cut in two */
#define ZSTD_READ_MAX (256 * 1024)      /* such frames were written, too */
/*
 * No encoder's block has more bytes: 900,000 symbols of at most 20 bits, and
 * tables. A frame and a stored block have less.
 */
#define PIECE_MAX (4u << 20)
/* Nor more content: 900,000 bytes, of which each five stand for 259. */
#define CONTENT_MAX (64u << 20)

#define BZ_BLOCK_MAGIC 0x314159265359u
#define BZ_END_MAGIC 0x177245385090u
#define BZ_MAGIC_BITS 48
#define BZ_HEADER_BITS 32       /* "BZh9" */
#define BZ_END_BITS 80          /* the magic and the combined CRC */

enum algo { ALGO_BZIP2, ALGO_ZSTD, ALGO_STORED };
enum sealing { SEAL_FIXED_IV, SEAL_OWN_IV, SEAL_NONE };

enum algo format_algo(enum fsp_format f);
enum sealing format_sealing(enum fsp_format f);

struct piece {
	struct fsp_job job;     /* the first: what the job is given */
	enum algo algo;
	int (*work)(struct piece *p);
	int err;                /* of the work */
	bool submitted;
	bool full;              /* encoding: nothing more belongs to it */
	int level;              /* of bzip2 or zstd */
	bool is_end;            /* decoding bzip2: it begins with an end mark */
	const struct sealed *sealed;    /* fsp_blocks_decode: in comes of it, */
	size_t block;                   /* and is this one */

	struct fsp_buf in;
	uint64_t start;         /* decoding: its first bit, in is from the byte
	                           with it on */
	uint64_t bits;          /* of the piece without what surrounds it */
	uint64_t size;          /* of the content */
	uint64_t limit;         /* decoding: of the content */
	uint32_t crc;           /* bzip2's */
	uint8_t digest[FSP_BLOCK_DIGEST];
	struct {                /* encoding: a second frame, in all of these */
		uint64_t size, bits;    /* 0: there is none */
		uint8_t digest[FSP_BLOCK_DIGEST];
	} second;
	bool undigested;        /* nobody takes it: it is for somebody else */
	struct fsp_buf out;
	bool coded;             /* decoding bzip2: out is run-length coded */

	void *sha;              /* kept for the next: an EVP_MD_CTX, */
	void *zc, *zd;          /* a ZSTD_CCtx, a ZSTD_DCtx */
};

/* work: content in -> out, size, bits, crc, digest. bzip2: in is coded. */
int piece_pack(struct piece *p);
/* work: in, start, bits, limit -> out, size, crc, digest. -EIO: damaged. */
int piece_unpack(struct piece *p);
/* What was unpacked, where it is not coded. */
static inline const struct fsp_buf *piece_buf(const struct piece *p)
{
	return p->algo == ALGO_STORED ? &p->in : &p->out;
}
/* The same, coded or not, to a sink. */
int piece_content(const struct piece *p, fsp_sink sink, void *arg);

int pack_bzip2(struct piece *p);
int unpack_bzip2(struct piece *p);
/* The digest of a content that comes in parts. */
int piece_hash_begin(struct piece *p);
int piece_hash(struct piece *p, const void *buf, size_t len);
int piece_hash_end(struct piece *p);

struct ring {
	struct piece *piece;
	unsigned cap, first, n;
};

int ring_init(struct ring *r);
int ring_init_of(struct ring *r, unsigned pieces);
void ring_free(struct ring *r);         /* ends what is under way */
static inline bool ring_full(const struct ring *r)
{
	return r->n == r->cap;
}
/* The i-th, 0 being the oldest. */
static inline struct piece *ring_at(const struct ring *r, unsigned i)
{
	return &r->piece[(r->first + i) % r->cap];
}
/* The newest; NULL: empty. */
static inline struct piece *ring_last(const struct ring *r)
{
	return r->n ? ring_at(r, r->n - 1) : NULL;
}
/* A new one, empty; there is room. */
struct piece *ring_push(struct ring *r, enum algo a,
                        int (*work)(struct piece *p));
void ring_submit(struct piece *p);      /* once */
/* The oldest is under way and done. */
bool ring_ready(const struct ring *r);
int ring_wait(struct piece *p);         /* its err */
void ring_pop(struct ring *r);
void ring_cancel(struct ring *r);       /* all, and empties it */

/* A growing index. */
struct index {
	struct fsp_blocks b;
	size_t cap;
	size_t max;             /* 0: no bound */
	bool lost;              /* there were more */
};
int index_add(struct index *x, uint64_t off, uint64_t bit,
              const uint8_t *digest);
int index_copy(const struct index *x, uint64_t size, uint64_t end_bit,
               struct fsp_blocks *out);

#endif
