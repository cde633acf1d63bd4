/*
 * Content to object bytes and back, in streams of bounded memory.
 *
 * An object is one bzip2 stream, a row of zstd frames or the content itself,
 * encrypted with AES-256-CBC and PKCS#7 padding; DESIGN.md gives each format by
 * the byte. A handle belongs to one thread at a time; a content of more than
 * one piece is worked on by the pool besides (fsp_pool.h), and its handle holds
 * some two megabytes for each of the pool's threads. Sinks are called by the
 * handle's thread. They return 0 or -errno, which ends the stream and is passed
 * through.
 */
#ifndef FSP_CODEC_H
#define FSP_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fsp_hash.h"

/* Both names of one content. */
struct fsp_digests {
	char sha256[FSP_SHA256_HEX + 1];
	char sha1[FSP_SHA1_HEX + 1];
	uint64_t size;
	uint64_t sum;           /* as fsp_sum_get */
};

struct fsp_digest;

/* SHA-256 and SHA-1 in one pass. -ENOMEM. */
int fsp_digest_new(struct fsp_digest **out);
int fsp_digest_update(struct fsp_digest *d, const void *buf, size_t len);
uint64_t fsp_digest_size(const struct fsp_digest *d);
/* May be called more than once; updates may follow. */
int fsp_digest_get(const struct fsp_digest *d, struct fsp_digests *out);
void fsp_digest_free(struct fsp_digest *d);

/*
 * A sum of 64 bits, at the speed of memory: whether bytes are still those that
 * were hashed, where nobody has changed them on purpose.
 */
struct fsp_sum;

int fsp_sum_new(struct fsp_sum **out);          /* -ENOMEM */
void fsp_sum_add(struct fsp_sum *s, const void *buf, size_t len);
uint64_t fsp_sum_size(const struct fsp_sum *s);
/* Of what was added so far; more may follow. */
uint64_t fsp_sum_get(const struct fsp_sum *s);
void fsp_sum_free(struct fsp_sum *s);           /* NULL is fine */

/* SHA-256 of a piece, 32 bytes. -ENOMEM. */
int fsp_sha256(const void *buf, size_t len, uint8_t out[32]);

/* Object formats; the names stand in the object's row. */
enum fsp_format {
	FSP_FMT_LEGACY,         /* "bzip2+aes-256-cbc"     the PHP library's */
	FSP_FMT_IV,             /* "iv+bzip2+aes-256-cbc"  16 bytes iv first */
	FSP_FMT_PLAIN,          /* "bzip2"                 not encrypted */
	FSP_FMT_ZSTD,           /* "zstd+aes-256-cbc" */
	FSP_FMT_ZSTD_IV,        /* "iv+zstd+aes-256-cbc" */
	FSP_FMT_ZSTD_PLAIN,     /* "zstd" */
	FSP_FMT_STORED,         /* "stored+aes-256-cbc"    not compressed */
	FSP_FMT_STORED_IV,      /* "iv+stored+aes-256-cbc" */
	FSP_FMT_STORED_PLAIN,   /* "stored"                the content itself */
	FSP_FORMATS             /* how many there are */
};

const char *fsp_format_name(enum fsp_format f);
int fsp_format_parse(const char *name, enum fsp_format *out);   /* -EINVAL */
/* The format that is encrypted as f is and compressed in the other way. */
enum fsp_format fsp_format_zstd(enum fsp_format f);
enum fsp_format fsp_format_stored(enum fsp_format f);

struct fsp_keys;
/* Whether objects of the format can be read and written with these keys. */
bool fsp_format_usable(enum fsp_format f, const struct fsp_keys *keys);
/* Can an object of `stored` bytes be a content of that size in this format? */
bool fsp_format_fits(enum fsp_format f, uint64_t size, uint64_t stored);

/*
 * How many bytes a quick compressor makes of a sample: a hint whether one that
 * is slower is worth its time. -ENOMEM.
 */
int fsp_compress_sample(const void *buf, size_t len, size_t *packed);

struct fsp_keys {
	bool set;               /* false: only what is not encrypted works */
	uint8_t key[32];
	uint8_t iv[16];
};

typedef int (*fsp_sink)(void *arg, const void *buf, size_t len);

struct fsp_encoder;
struct fsp_decoder;

/*
 * level: bzip2's 1 to 9, zstd's 1 to 19. The object does not depend on how many
 * threads there are. keys are copied and wiped on free.
 */
int fsp_encoder_new(enum fsp_format f, const struct fsp_keys *keys, int level,
                    fsp_sink sink, void *arg, struct fsp_encoder **out);
int fsp_encoder_write(struct fsp_encoder *e, const void *buf, size_t len);
/* Flushes the last block; *stored is the object's size. */
int fsp_encoder_finish(struct fsp_encoder *e, uint64_t *stored);
void fsp_encoder_free(struct fsp_encoder *e);

/*
 * Never hands more than max_size bytes to the sink. Everything that is wrong
 * with an object (padding, stream, bytes after the stream, size, a second
 * stream) is -EIO, whatever it was, so that it cannot serve as an oracle.
 */
int fsp_decoder_new(enum fsp_format f, const struct fsp_keys *keys,
                    uint64_t max_size, fsp_sink sink, void *arg,
                    struct fsp_decoder **out);
int fsp_decoder_write(struct fsp_decoder *d, const void *buf, size_t len);
/* Ends the stream; *digests are those of the plain content. */
int fsp_decoder_finish(struct fsp_decoder *d, struct fsp_digests *digests);
void fsp_decoder_free(struct fsp_decoder *d);

/*
 * Does the content with these digests have that data_hash (64 or 40 hex
 * digits) and size? -EIO when not.
 */
int fsp_digests_match(const struct fsp_digests *d, const char *hash,
                      uint64_t size);

/* Lower-case hex of 40 or 64 digits: the only keys an object can have. */
bool fsp_hash_valid(const char *hash);

#endif
