/*
 * The decoder: object bytes -> AES-256-CBC -> pieces -> sink.
 *
 * The owner's thread decrypts, cuts, and hashes the content; the pool unpacks
 * the pieces. A content of one piece is unpacked by its owner. The bytes may be
 * hostile. Whatever is wrong with them, the answer is -EIO and stays so; only
 * memory and the sink have errors of their own.
 */
#include "decode_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

/* Blocks that are smaller on the average have no index. */
#define BLOCK_LEAST 16384
#define BLOCKS_FREE 64

static int init_cipher(struct fsp_decoder *d, enum sealing s,
                       const struct fsp_keys *keys)
{
	const uint8_t *iv = s == SEAL_OWN_IV ? NULL : keys->iv;

	d->cipher = EVP_CIPHER_CTX_new();
	if (!d->cipher || !EVP_DecryptInit_ex(d->cipher, EVP_aes_256_cbc(),
	                                      NULL, keys->key, iv))
		return -ENOMEM;
	d->iv_need = iv ? 0 : IV_LEN;
	return 0;
}

int fsp_decoder_new(enum fsp_format f, const struct fsp_keys *keys,
                    uint64_t max_size, fsp_sink sink, void *arg,
                    struct fsp_decoder **out)
{
	struct fsp_decoder *d;
	int rc;

	if (!fsp_format_usable(f, keys))
		return -EINVAL;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->algo = format_algo(f);
	d->sink = sink;
	d->arg = arg;
	d->max_size = max_size;
	d->index.max = max_size / BLOCK_LEAST + BLOCKS_FREE;
	bzip2_init(d);
	rc = ring_init(&d->ring);
	if (!rc)
		rc = fsp_digest_new(&d->digest);
	if (!rc && format_sealing(f) != SEAL_NONE)
		rc = init_cipher(d, format_sealing(f), keys);
	if (rc) {
		fsp_decoder_free(d);
		return rc;
	}
	*out = d;
	return 0;
}

int decoder_emit(struct fsp_decoder *d, const void *buf, size_t len)
{
	int rc;

	if (!len)
		return 0;
	if (len > d->max_size - fsp_digest_size(d->digest))
		return -EIO;
	rc = fsp_digest_update(d->digest, buf, len);
	return rc ? rc : d->sink(d->arg, buf, len);
}

static int emit_sink(void *arg, const void *buf, size_t len)
{
	return decoder_emit(arg, buf, len);
}

void decoder_drop(struct fsp_decoder *d, uint64_t byte)
{
	size_t n = byte - d->tail_byte;

	if (!n)
		return;
	memmove(d->tail.data, d->tail.data + n, d->tail.len - n);
	d->tail.len -= n;
	d->tail_byte = byte;
}

int decoder_push(struct fsp_decoder *d, struct piece **out)
{
	int rc = ring_full(&d->ring) ? decoder_take(d) : 0;

	/* Taking may have found that it must go another way. */
	if (rc || d->alone)
		return rc;
	*out = ring_push(&d->ring, d->algo, piece_unpack);
	(*out)->limit = d->max_size - fsp_digest_size(d->digest);
	return 0;
}

int decoder_take(struct fsp_decoder *d)
{
	struct piece *p = ring_at(&d->ring, 0);
	uint64_t off = fsp_digest_size(d->digest);
	int rc = p->is_end ? -EIO : ring_wait(p);

	if (rc == -EIO && d->algo == ALGO_BZIP2 && !p->is_end)
		return bzip2_alone(d);
	if (!rc && p->size && d->lone_frame)
		rc = -EIO;
	if (!rc && !p->size) {
		/* Of nothing, and nothing else: the empty content. */
		rc = d->lone_frame || off ? -EIO : 0;
		d->lone_frame = true;
	} else if (!rc) {
		rc = index_add(&d->index, off, p->start, p->digest);
	}
	if (!rc)
		rc = piece_content(p, emit_sink, d);
	if (!rc && d->algo == ALGO_BZIP2)
		bzip2_took(d, p->crc);
	ring_pop(&d->ring);
	return rc;
}

int decoder_take_all(struct fsp_decoder *d)
{
	int rc = 0;

	while (!rc && d->ring.n)
		rc = decoder_take(d);
	return rc;
}

/* Cuts what has come, and takes what is done. */
static int split(struct fsp_decoder *d)
{
	struct piece *last = ring_last(&d->ring);
	int rc;

	/* What was held back as perhaps the last is not. A bzip2 stream says
	 * which is. */
	if (last && d->algo != ALGO_BZIP2)
		ring_submit(last);
	rc = d->algo == ALGO_BZIP2 ? split_bzip2(d)
		: d->algo == ALGO_ZSTD ? split_zstd(d) : split_stored(d);
	while (!rc && ring_ready(&d->ring))
		rc = decoder_take(d);
	return rc;
}

/* Takes what belongs to the iv in front; returns how much that was. */
static size_t take_iv(struct fsp_decoder *d, const uint8_t *p, size_t len)
{
	size_t n = len < d->iv_need ? len : d->iv_need;

	memcpy(d->iv + IV_LEN - d->iv_need, p, n);
	d->iv_need -= n;
	if (!d->iv_need &&
	    !EVP_DecryptInit_ex(d->cipher, NULL, NULL, NULL, d->iv))
		d->err = -ENOMEM;
	return n;
}

static int open_chunk(struct fsp_decoder *d, const uint8_t *p, size_t len)
{
	int n = (int)len, rc = fsp_buf_reserve(&d->tail, len + IV_LEN);
	unsigned char *to = (unsigned char *)d->tail.data + d->tail.len;

	if (rc)
		return rc;
	if (!d->cipher)
		memcpy(to, p, len);
	else if (!EVP_DecryptUpdate(d->cipher, to, &n, p, (int)len))
		return -EIO;
	d->tail.len += (size_t)n;
	return n ? split(d) : 0;
}

int fsp_decoder_write(struct fsp_decoder *d, const void *buf, size_t len)
{
	const uint8_t *p = buf;
	size_t n;

	for (; !d->err && len; p += n, len -= n) {
		if (d->iv_need) {
			n = take_iv(d, p, len);
		} else {
			n = len < CHUNK ? len : CHUNK;
			d->err = open_chunk(d, p, n);
		}
	}
	return d->err;
}

/* The last cipher block, without its padding. */
static int open_last(struct fsp_decoder *d)
{
	int n = 0, rc = fsp_buf_reserve(&d->tail, IV_LEN);

	if (rc || !d->cipher)
		return rc;
	if (!EVP_DecryptFinal_ex(d->cipher,
	                         (unsigned char *)d->tail.data + d->tail.len,
	                         &n)) {
		/* What is left in the queue would confuse TLS. */
		ERR_clear_error();
		return -EIO;
	}
	d->tail.len += (size_t)n;
	return n ? split(d) : 0;
}

static int finish(struct fsp_decoder *d)
{
	int rc = d->iv_need ? -EIO : open_last(d);

	if (rc)
		return rc;
	if (d->algo == ALGO_BZIP2)
		return finish_bzip2(d);
	rc = d->algo == ALGO_ZSTD ? finish_zstd(d) : finish_stored(d);
	return rc ? rc : decoder_take_all(d);
}

int fsp_decoder_finish(struct fsp_decoder *d, struct fsp_digests *digests)
{
	if (!d->err)
		d->err = finish(d);
	if (!d->err)
		d->err = fsp_digest_get(d->digest, digests);
	if (d->err)
		return d->err;
	d->finished = true;
	d->err = -EINVAL;
	return 0;
}

int fsp_decoder_blocks(const struct fsp_decoder *d, struct fsp_blocks *out)
{
	*out = (struct fsp_blocks){ 0 };
	return d->finished ? index_copy(&d->index, fsp_digest_size(d->digest),
	                                d->end_bit, out) :
		-EINVAL;
}

void fsp_decoder_free(struct fsp_decoder *d)
{
	if (!d)
		return;
	ring_free(&d->ring);
	EVP_CIPHER_CTX_free(d->cipher);
	fsp_digest_free(d->digest);
	fsp_buf_free(&d->tail);
	fsp_blocks_free(&d->index.b);
	free(d);
}
