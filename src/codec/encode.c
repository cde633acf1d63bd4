/*
 * The encoder: content -> one bzip2 stream -> AES-256-CBC -> sink.
 *
 * Always a single bzip2 stream, because PHP's bzdecompress stops at the end
 * of the first. The key lives in the EVP context alone, which OpenSSL wipes.
 */
#include "fsp_codec.h"

#include <errno.h>
#include <stdlib.h>

#include <bzlib.h>
#include <openssl/evp.h>

#include "fsp_buf.h"

#define CHUNK 65536
#define IV_LEN 16

struct fsp_encoder {
	bz_stream bz;
	EVP_CIPHER_CTX *cipher;         /* NULL: not encrypted */
	fsp_sink sink;
	void *arg;
	uint64_t stored;
	int err;                        /* sticks; -EINVAL after finish */
	bool bz_live;
	bool iv_due;                    /* iv still has to go out */
	uint8_t iv[IV_LEN];
	char packed[CHUNK];
	unsigned char sealed[CHUNK + EVP_MAX_BLOCK_LENGTH];
};

static int init_cipher(struct fsp_encoder *e, enum fsp_format f,
                       const struct fsp_keys *keys)
{
	const uint8_t *iv = keys->iv;

	if (f == FSP_FMT_IV) {
		fsp_random(e->iv, IV_LEN);
		e->iv_due = true;
		iv = e->iv;
	}
	e->cipher = EVP_CIPHER_CTX_new();
	if (!e->cipher || !EVP_EncryptInit_ex(e->cipher, EVP_aes_256_cbc(),
	                                      NULL, keys->key, iv))
		return -ENOMEM;
	return 0;
}

int fsp_encoder_new(enum fsp_format f, const struct fsp_keys *keys, int level,
                    fsp_sink sink, void *arg, struct fsp_encoder **out)
{
	struct fsp_encoder *e;
	int rc = 0;

	if (f > FSP_FMT_PLAIN || level < 1 || level > 9 ||
	    (f != FSP_FMT_PLAIN && (!keys || !keys->set)))
		return -EINVAL;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->sink = sink;
	e->arg = arg;
	if (f != FSP_FMT_PLAIN)
		rc = init_cipher(e, f, keys);
	if (!rc && BZ2_bzCompressInit(&e->bz, level, 0, 0) != BZ_OK)
		rc = -ENOMEM;
	if (rc) {
		fsp_encoder_free(e);
		return rc;
	}
	e->bz_live = true;
	*out = e;
	return 0;
}

static int emit(struct fsp_encoder *e, const void *buf, size_t len)
{
	int rc;

	if (!len)
		return 0;
	rc = e->sink(e->arg, buf, len);
	if (!rc)
		e->stored += len;
	return rc;
}

/* Encrypts len <= CHUNK bytes of the bzip2 stream and hands them on. */
static int seal(struct fsp_encoder *e, const char *buf, size_t len)
{
	int n = 0, rc;

	if (!e->cipher)
		return emit(e, buf, len);
	if (e->iv_due) {
		e->iv_due = false;
		rc = emit(e, e->iv, IV_LEN);
		if (rc)
			return rc;
	}
	if (!EVP_EncryptUpdate(e->cipher, e->sealed, &n,
	                       (const unsigned char *)buf, (int)len))
		return -EIO;
	return emit(e, e->sealed, (size_t)n);
}

/* One step of the compressor; *state is libbz2's answer. */
static int step(struct fsp_encoder *e, int action, int *state)
{
	e->bz.next_out = e->packed;
	e->bz.avail_out = CHUNK;
	*state = BZ2_bzCompress(&e->bz, action);
	if (*state < 0)
		return -EIO;
	return seal(e, e->packed, CHUNK - e->bz.avail_out);
}

int fsp_encoder_write(struct fsp_encoder *e, const void *buf, size_t len)
{
	const char *p = buf;
	int state;

	while (!e->err && len) {
		size_t n = len < CHUNK ? len : CHUNK;

		/* libbz2 only reads it, but its struct is older than const. */
		e->bz.next_in = (char *)(uintptr_t)p;
		e->bz.avail_in = (unsigned int)n;
		while (!e->err && e->bz.avail_in)
			e->err = step(e, BZ_RUN, &state);
		p += n;
		len -= n;
	}
	return e->err;
}

static int finish(struct fsp_encoder *e)
{
	int state, n = 0, rc;

	e->bz.avail_in = 0;
	do {
		rc = step(e, BZ_FINISH, &state);
		if (rc)
			return rc;
	} while (state != BZ_STREAM_END);
	if (!e->cipher)
		return 0;
	if (!EVP_EncryptFinal_ex(e->cipher, e->sealed, &n))
		return -EIO;
	return emit(e, e->sealed, (size_t)n);
}

int fsp_encoder_finish(struct fsp_encoder *e, uint64_t *stored)
{
	if (e->err)
		return e->err;
	e->err = finish(e);
	if (e->err)
		return e->err;
	*stored = e->stored;
	e->err = -EINVAL;
	return 0;
}

void fsp_encoder_free(struct fsp_encoder *e)
{
	if (!e)
		return;
	if (e->bz_live)
		BZ2_bzCompressEnd(&e->bz);
	EVP_CIPHER_CTX_free(e->cipher);
	free(e);
}
