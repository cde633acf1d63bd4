/*
 * The decoder's inside: decode.c decrypts and takes what pieces became,
 * split.c cuts zstd frames and stored blocks, split_bzip2.c a bzip2 stream.
 */
#ifndef DECODE_IMPL_H
#define DECODE_IMPL_H

#include <openssl/evp.h>

#include "piece.h"

struct fsp_decoder {
	struct ring ring;
	enum algo algo;
	EVP_CIPHER_CTX *cipher;         /* NULL: not encrypted */
	struct fsp_digest *digest;
	fsp_sink sink;
	void *arg;
	uint64_t max_size;
	int err;                        /* sticks; -EINVAL after finish */
	bool finished;
	size_t iv_need;                 /* iv bytes still to come */
	uint8_t iv[IV_LEN];
	struct fsp_buf tail;            /* decrypted, and of no piece yet */
	uint64_t tail_byte;             /* where that is in all of it */
	struct index index;
	uint64_t end_bit;               /* of the index */

	bool lone_frame;                /* zstd: an empty frame was there */

	/* bzip2 */
	bool begun;                     /* the header was there */
	int level;
	uint64_t start;                 /* bit where the next piece begins */
	bool start_is_end;              /* with an end mark */
	uint64_t scanned;               /* byte up to which marks were sought */
	uint64_t window;                /* the last 64 bits up to there */
	uint16_t marks[256];            /* which may be where a byte is */
	uint32_t crc;                   /* of all blocks so far */
	bool alone;                     /* see split_bzip2.c */
	size_t retry_at;
};

/* What is wrong with bytes is -EIO; -ENOMEM and the sink's besides. */
int decoder_emit(struct fsp_decoder *d, const void *buf, size_t len);
/* A place for one more piece; takes results where there is none. */
int decoder_push(struct fsp_decoder *d, struct piece **out);
/* Takes the oldest piece's result, when it is done. */
int decoder_take(struct fsp_decoder *d);
int decoder_take_all(struct fsp_decoder *d);
/* What `tail` holds from `byte` on stays. */
void decoder_drop(struct fsp_decoder *d, uint64_t byte);

int split_zstd(struct fsp_decoder *d);
int split_stored(struct fsp_decoder *d);
int finish_zstd(struct fsp_decoder *d);
int finish_stored(struct fsp_decoder *d);

void bzip2_init(struct fsp_decoder *d);
int split_bzip2(struct fsp_decoder *d);
int finish_bzip2(struct fsp_decoder *d);
/* The oldest piece is no block: decodes on as alone. */
int bzip2_alone(struct fsp_decoder *d);
void bzip2_took(struct fsp_decoder *d, uint32_t crc);

#endif
