/*
 * The decoder: object bytes -> AES-256-CBC -> one bzip2 stream -> sink.
 *
 * The bytes may be hostile. Whatever is wrong with them, the answer is -EIO
 * and stays so; only memory and the sink have errors of their own.
 */
#include "fsp_codec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bzlib.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#define CHUNK 65536
#define IV_LEN 16

struct fsp_decoder {
	bz_stream bz;
	EVP_CIPHER_CTX *cipher;         /* NULL: not encrypted */
	struct fsp_digest *digest;
	fsp_sink sink;
	void *arg;
	uint64_t max_size;
	int err;                        /* sticks; -EINVAL after finish */
	bool bz_live;
	bool ended;                     /* the bzip2 stream is over */
	size_t iv_need;                 /* iv bytes still to come */
	uint8_t iv[IV_LEN];
	unsigned char packed[CHUNK + EVP_MAX_BLOCK_LENGTH];
	char plain[CHUNK];
};

static int init_cipher(struct fsp_decoder *d, enum fsp_format f,
                       const struct fsp_keys *keys)
{
	const uint8_t *iv = f == FSP_FMT_IV ? NULL : keys->iv;

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

	if (f > FSP_FMT_PLAIN || (f != FSP_FMT_PLAIN && (!keys || !keys->set)))
		return -EINVAL;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->sink = sink;
	d->arg = arg;
	d->max_size = max_size;
	rc = fsp_digest_new(&d->digest);
	if (!rc && f != FSP_FMT_PLAIN)
		rc = init_cipher(d, f, keys);
	if (!rc && BZ2_bzDecompressInit(&d->bz, 0, 0) != BZ_OK)
		rc = -ENOMEM;
	if (rc) {
		fsp_decoder_free(d);
		return rc;
	}
	d->bz_live = true;
	*out = d;
	return 0;
}

static int emit(struct fsp_decoder *d, const void *buf, size_t len)
{
	int rc;

	if (!len)
		return 0;
	if (len > d->max_size - fsp_digest_size(d->digest))
		return -EIO;
	rc = fsp_digest_update(d->digest, buf, len);
	return rc ? rc : d->sink(d->arg, buf, len);
}

/* Decompresses len bytes of the stream; none may follow its end. */
static int unpack(struct fsp_decoder *d, const void *buf, size_t len)
{
	int state = BZ_OK, rc;

	if (d->ended)
		return len ? -EIO : 0;
	/* libbz2 only reads it, but its struct is older than const. */
	d->bz.next_in = (char *)(uintptr_t)buf;
	d->bz.avail_in = (unsigned int)len;
	do {
		d->bz.next_out = d->plain;
		d->bz.avail_out = CHUNK;
		state = BZ2_bzDecompress(&d->bz);
		if (state != BZ_OK && state != BZ_STREAM_END)
			return state == BZ_MEM_ERROR ? -ENOMEM : -EIO;
		rc = emit(d, d->plain, CHUNK - d->bz.avail_out);
		if (rc)
			return rc;
	} while (state == BZ_OK && (d->bz.avail_in || !d->bz.avail_out));
	d->ended = state == BZ_STREAM_END;
	return d->bz.avail_in ? -EIO : 0;
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
	int n = 0;

	if (!d->cipher)
		return unpack(d, p, len);
	if (!EVP_DecryptUpdate(d->cipher, d->packed, &n, p, (int)len))
		return -EIO;
	return unpack(d, d->packed, (size_t)n);
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

static int finish(struct fsp_decoder *d)
{
	int n = 0, rc;

	if (d->iv_need)
		return -EIO;
	if (d->cipher) {
		if (!EVP_DecryptFinal_ex(d->cipher, d->packed, &n)) {
			/* What is left in the queue would confuse TLS. */
			ERR_clear_error();
			return -EIO;
		}
		rc = unpack(d, d->packed, (size_t)n);
		if (rc)
			return rc;
	}
	return d->ended ? 0 : -EIO;
}

int fsp_decoder_finish(struct fsp_decoder *d, struct fsp_digests *digests)
{
	if (!d->err)
		d->err = finish(d);
	if (!d->err)
		d->err = fsp_digest_get(d->digest, digests);
	if (d->err)
		return d->err;
	d->err = -EINVAL;
	return 0;
}

void fsp_decoder_free(struct fsp_decoder *d)
{
	if (!d)
		return;
	if (d->bz_live)
		BZ2_bzDecompressEnd(&d->bz);
	EVP_CIPHER_CTX_free(d->cipher);
	fsp_digest_free(d->digest);
	free(d);
}
