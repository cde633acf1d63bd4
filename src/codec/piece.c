/* One zstd frame, one stored block, and the digest of any piece. */
#include "piece.h"

#include <errno.h>
#include <string.h>

#include <openssl/evp.h>
#define ZSTD_STATIC_LINKING_ONLY       /* ZSTD_d_forceIgnoreChecksum */
#include <zstd.h>
#include <zstd_errors.h>

#include "rle.h"

int piece_hash_begin(struct piece *p)
{
	if (!p->sha)
		p->sha = EVP_MD_CTX_new();
	/* A known algorithm fails to start only for want of memory. */
	return p->sha && EVP_DigestInit_ex(p->sha, EVP_sha256(), NULL) ?
		0 : -ENOMEM;
}

int piece_hash(struct piece *p, const void *buf, size_t len)
{
	return EVP_DigestUpdate(p->sha, buf, len) ? 0 : -EIO;
}

int piece_hash_end(struct piece *p)
{
	unsigned char md[EVP_MAX_MD_SIZE];

	if (!EVP_DigestFinal_ex(p->sha, md, NULL))
		return -EIO;
	memcpy(p->digest, md, FSP_BLOCK_DIGEST);
	return 0;
}

static int hash_part(struct piece *p, const void *buf, size_t len)
{
	int err = piece_hash_begin(p);

	if (!err)
		err = piece_hash(p, buf, len);
	return err ? err : piece_hash_end(p);
}

/* size and digest of a content that is there as a whole. */
static int hash_whole(struct piece *p, const struct fsp_buf *content)
{
	p->size = content->len;
	return p->undigested ? 0 : hash_part(p, content->data, content->len);
}

static int zstd_error(size_t code, int otherwise)
{
	return ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation ?
		-ENOMEM : otherwise;
}

/* One frame behind what out has; -E2BIG where that takes more than room. */
static int add_frame(struct piece *p, const char *buf, size_t len, size_t room)
{
	size_t n;
	int err = fsp_buf_reserve(&p->out, room);

	if (err)
		return err;
	n = ZSTD_compress2(p->zc, p->out.data + p->out.len, room, buf, len);
	if (!ZSTD_isError(n))
		p->out.len += n;
	return !ZSTD_isError(n) ? 0 :
		zstd_error(n, ZSTD_getErrorCode(n) ==
		           ZSTD_error_dstSize_tooSmall ? -E2BIG : -EIO);
}

/* Two frames, and what is to be known of the second. */
static int pack_halves(struct piece *p)
{
	const char *rest = p->in.data + STORED_BLOCK;
	size_t len = p->in.len - STORED_BLOCK, room, first;
	int err;

	room = ZSTD_compressBound(STORED_BLOCK);
	err = add_frame(p, p->in.data, STORED_BLOCK, room);
	first = p->out.len;
	if (!err)
		err = add_frame(p, rest, len, room);
	if (!err)
		err = hash_part(p, rest, len);
	if (err)
		return err;
	memcpy(p->second.digest, p->digest, FSP_BLOCK_DIGEST);
	p->second.size = len;
	p->second.bits = (p->out.len - first) * 8;
	return hash_part(p, p->in.data, STORED_BLOCK);
}

static int pack_zstd(struct piece *p)
{
	ZSTD_CCtx *c = p->zc ? p->zc : ZSTD_createCCtx();
	bool large = p->in.len > STORED_BLOCK;
	int err;

	if (!c)
		return -ENOMEM;
	p->zc = c;
	/* The level is in range, as the caller has checked. */
	(void)ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, p->level);
	(void)ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
	err = add_frame(p, p->in.data, p->in.len, large ? ZSTD_PACKED_MAX :
	                ZSTD_compressBound(p->in.len));
	if (!err)
		err = hash_part(p, p->in.data, p->in.len);
	else if (err == -E2BIG && large)
		err = pack_halves(p);
	p->size = p->in.len;
	p->bits = p->out.len * 8;
	return err;
}

int fsp_compress_sample(const void *buf, size_t len, size_t *packed)
{
	struct fsp_buf out = FSP_BUF_INIT;
	size_t room = ZSTD_compressBound(len), n;
	int err = fsp_buf_reserve(&out, room);

	if (err)
		return err;
	n = ZSTD_compress(out.data, room, buf, len, 1);
	fsp_buf_free(&out);
	*packed = n;
	return ZSTD_isError(n) ? zstd_error(n, -EIO) : 0;
}

/* Frames that say how long their content is: those that we write. */
static int unpack_zstd(struct piece *p)
{
	ZSTD_DCtx *d = p->zd ? p->zd : ZSTD_createDCtx();
	unsigned long long size;
	size_t n;
	int err;

	if (!d)
		return -ENOMEM;
	p->zd = d;
	/* The digest says all; a library that does not know this sums, too. */
	(void)ZSTD_DCtx_setParameter(d, ZSTD_d_forceIgnoreChecksum,
	                             ZSTD_d_ignoreChecksum);
	size = ZSTD_getFrameContentSize(p->in.data, p->in.len);
	/* What is not known is more than any. */
	if (size > ZSTD_READ_MAX || size > p->limit)
		return -EIO;
	err = fsp_buf_reserve(&p->out, size);
	if (err)
		return err;
	n = ZSTD_decompressDCtx(d, p->out.data, size, p->in.data, p->in.len);
	if (ZSTD_isError(n))
		return zstd_error(n, -EIO);
	p->out.len = n;
	return n == size ? hash_whole(p, &p->out) : -EIO;
}

int piece_pack(struct piece *p)
{
	switch (p->algo) {
	case ALGO_BZIP2:
		return pack_bzip2(p);
	case ALGO_ZSTD:
		return pack_zstd(p);
	case ALGO_STORED:
		p->bits = p->in.len * 8;
		return hash_whole(p, &p->in);
	}
	return -EINVAL;
}

int piece_unpack(struct piece *p)
{
	switch (p->algo) {
	case ALGO_BZIP2:
		return unpack_bzip2(p);
	case ALGO_ZSTD:
		return unpack_zstd(p);
	case ALGO_STORED:
		return hash_whole(p, &p->in);
	}
	return -EINVAL;
}

static int expanded(const struct fsp_buf *coded, fsp_sink sink, void *arg)
{
	struct rle_reader r = RLE_READER_INIT;
	char buf[CHUNK];
	size_t n;
	int err = 0;

	while (!err && (n = rle_read(&r, coded, buf, sizeof(buf))))
		err = sink(arg, buf, n);
	return err;
}

int piece_content(const struct piece *p, fsp_sink sink, void *arg)
{
	const struct fsp_buf *b = piece_buf(p);

	if (p->coded)
		return expanded(&p->out, sink, arg);
	return b->len ? sink(arg, b->data, b->len) : 0;
}
