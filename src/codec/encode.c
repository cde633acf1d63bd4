/*
 * The encoder: content -> pieces -> AES-256-CBC -> sink.
 *
 * The owner's thread cuts the content, joins what the pieces became and
 * encrypts it; the pool packs the pieces. A content of one piece is packed by
 * its owner. Always a single bzip2 stream, because PHP's bzdecompress stops at
 * the end of the first; its blocks are cut where libbz2 cuts them, so the
 * stream is the one that bzip2 writes. Of stored blocks there is nothing to do
 * but their digests, sixteen at once. The key lives in the EVP context alone,
 * which OpenSSL wipes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "bits.h"
#include "piece.h"
#include "rle.h"
#include "sha256_lanes.h"

#define ZSTD_LEVEL_MAX 19

struct fsp_encoder {
	struct ring ring;               /* the newest may be filling */
	enum algo algo;
	bool by_lanes;                  /* groups of LANES, in the ring's order */
	int level;
	struct rle rle;                 /* of the piece that is filling */
	struct bits joined;             /* what is not encrypted yet */
	uint64_t bit;                   /* behind all that was joined */
	uint32_t crc;                   /* bzip2's of all blocks */
	uint64_t size;                  /* of the content in done pieces */
	struct index index;
	EVP_CIPHER_CTX *cipher;         /* NULL: not encrypted */
	fsp_sink sink;
	void *arg;
	uint64_t stored;
	int err;                        /* sticks; -EINVAL after finish */
	bool finished;
	bool iv_due;                    /* iv still has to go out */
	uint8_t iv[IV_LEN];
	unsigned char sealed[CHUNK + EVP_MAX_BLOCK_LENGTH];
};

static int init_cipher(struct fsp_encoder *e, enum sealing s,
                       const struct fsp_keys *keys)
{
	const uint8_t *iv = keys->iv;

	if (s == SEAL_OWN_IV) {
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

static bool level_valid(enum algo a, int level)
{
	return a == ALGO_STORED ||
	       (level >= 1 && level <= (a == ALGO_ZSTD ? ZSTD_LEVEL_MAX : 9));
}

int fsp_encoder_new(enum fsp_format f, const struct fsp_keys *keys, int level,
                    fsp_sink sink, void *arg, struct fsp_encoder **out)
{
	struct fsp_encoder *e;
	int rc;

	if (!fsp_format_usable(f, keys) || !level_valid(format_algo(f), level))
		return -EINVAL;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->algo = format_algo(f);
	e->by_lanes = e->algo == ALGO_STORED && sha256_lanes_usable();
	e->level = level;
	e->rle = (struct rle)RLE_INIT;
	e->sink = sink;
	e->arg = arg;
	rc = e->by_lanes ? ring_init_of(&e->ring, 2 * LANES) :
		ring_init(&e->ring);
	if (!rc && format_sealing(f) != SEAL_NONE)
		rc = init_cipher(e, format_sealing(f), keys);
	if (!rc && e->algo == ALGO_BZIP2) {
		rc = bits_put(&e->joined, 0x425a6830u + (unsigned)level,
		              BZ_HEADER_BITS);
		e->bit = BZ_HEADER_BITS;
	}
	if (rc) {
		fsp_encoder_free(e);
		return rc;
	}
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

/* Encrypts and hands on. */
static int seal(struct fsp_encoder *e, const void *buf, size_t len)
{
	const unsigned char *p = buf;
	int n = 0, rc = 0;

	if (!e->cipher)
		return emit(e, buf, len);
	if (e->iv_due) {
		e->iv_due = false;
		rc = emit(e, e->iv, IV_LEN);
	}
	while (!rc && len) {
		size_t part = len < CHUNK ? len : CHUNK;

		if (!EVP_EncryptUpdate(e->cipher, e->sealed, &n, p, (int)part))
			return -EIO;
		rc = emit(e, e->sealed, (size_t)n);
		p += part;
		len -= part;
	}
	return rc;
}

static int seal_joined(struct fsp_encoder *e)
{
	int rc = seal(e, e->joined.whole.data, e->joined.whole.len);

	fsp_buf_reset(&e->joined.whole);
	return rc;
}

static int join(struct fsp_encoder *e, const struct piece *p)
{
	int rc;

	if (e->algo == ALGO_STORED)
		return seal(e, p->in.data, p->in.len);
	if (e->algo == ALGO_ZSTD)
		return seal(e, p->out.data, p->out.len);
	e->crc = (e->crc << 1 | e->crc >> 31) ^ p->crc;
	rc = bits_copy(&e->joined, p->out.data, BZ_HEADER_BITS, p->bits);
	return rc ? rc : seal_joined(e);
}

/* The last piece of a group, for all of it. */
static int digest_group(struct piece *last)
{
	struct piece *p = last - (LANES - 1);
	const uint8_t *in[LANES];
	uint8_t digest[LANES][32];

	for (int i = 0; i < LANES; i++)
		in[i] = (const uint8_t *)p[i].in.data;
	sha256_lanes(in, STORED_BLOCK, digest);
	for (int i = 0; i < LANES; i++) {
		p[i].size = STORED_BLOCK;
		p[i].bits = STORED_BLOCK * 8;
		memcpy(p[i].digest, digest[i], FSP_BLOCK_DIGEST);
	}
	return 0;
}

/* Its place in its group; groups begin at places 0 and LANES of the ring. */
static unsigned place_of(const struct fsp_encoder *e, const struct piece *p)
{
	return (unsigned)(p - e->ring.piece) % LANES;
}

/* Whose work gives the oldest piece's result: its group's last's, or its own. */
static struct piece *worker_of_oldest(const struct fsp_encoder *e)
{
	struct piece *p = ring_at(&e->ring, 0), *last;
	unsigned ahead = LANES - 1 - place_of(e, p);

	if (!e->by_lanes || ahead >= e->ring.n)
		return p;
	last = ring_at(&e->ring, ahead);
	return last->full ? last : p;
}

/* To the pool, where it is for its work. */
static void submit_full(struct fsp_encoder *e, struct piece *p)
{
	p->full = true;
	if (e->by_lanes && place_of(e, p) != LANES - 1)
		return;
	if (e->by_lanes)
		p->work = digest_group;
	ring_submit(p);
}

static bool oldest_ready(const struct fsp_encoder *e)
{
	struct piece *p = e->ring.n ? worker_of_oldest(e) : NULL;

	return p && p->submitted && fsp_pool_done(&p->job);
}

/* What was made of the oldest piece, behind what the index has. */
static int add_to_index(struct fsp_encoder *e, const struct piece *p)
{
	int rc = p->size ? index_add(&e->index, e->size, e->bit, p->digest) : 0;

	if (!rc && p->second.size)
		rc = index_add(&e->index, e->size + p->size - p->second.size,
		               e->bit + p->bits - p->second.bits,
		               p->second.digest);
	return rc;
}

/* Takes the result of the oldest piece. */
static int take_oldest(struct fsp_encoder *e)
{
	struct piece *p = ring_at(&e->ring, 0);
	int rc = ring_wait(worker_of_oldest(e));

	if (!rc)
		rc = add_to_index(e, p);
	if (!rc)
		rc = join(e, p);
	e->bit += p->bits;
	e->size += p->size;
	ring_pop(&e->ring);
	return rc;
}

/* Puts what belongs to the piece into it; less than len: it is full. */
static int fill(struct fsp_encoder *e, struct piece *p, const char *buf,
                size_t *len)
{
	size_t max = e->algo == ALGO_ZSTD ? ZSTD_FRAME : STORED_BLOCK;
	size_t n = *len < CHUNK ? *len : CHUNK;
	int rc;

	if (e->algo == ALGO_BZIP2) {
		rc = fsp_buf_reserve(&p->in, RLE_ROOM(n));
		if (rc)
			return rc;
		*len = rle_add(&e->rle, &p->in, (size_t)e->level * 100000 - 19,
		               buf, n);
		return *len < n;
	}
	if (n > max - p->in.len)
		n = max - p->in.len;
	*len = n;
	rc = fsp_buf_add(&p->in, buf, n);
	return rc ? rc : n == 0;
}

/* The piece that is filling: a new one when the newest is full. */
static int filling(struct fsp_encoder *e, struct piece **out)
{
	struct piece *p = ring_last(&e->ring);
	int rc = 0;

	if (!p || p->full) {
		if (ring_full(&e->ring))
			rc = take_oldest(e);
		p = ring_push(&e->ring, e->algo, piece_pack);
		p->level = e->level;
	}
	*out = p;
	return rc;
}

int fsp_encoder_write(struct fsp_encoder *e, const void *buf, size_t len)
{
	const char *in = buf;
	struct piece *p;

	while (!e->err && len) {
		size_t n = len;

		e->err = filling(e, &p);
		if (!e->err)
			e->err = fill(e, p, in, &n);
		if (e->err < 0)
			break;
		if (e->err > 0) {
			e->err = 0;
			submit_full(e, p);
		}
		in += n;
		len -= n;
		while (!e->err && oldest_ready(e))
			e->err = take_oldest(e);
	}
	return e->err;
}

/* The newest, and of a group that has no last one all. */
static void submit_rest(struct fsp_encoder *e)
{
	unsigned i = e->ring.n - 1;

	for (; i && e->by_lanes && !ring_at(&e->ring, i)->submitted &&
	       place_of(e, ring_at(&e->ring, i)); i--)
		ring_submit(ring_at(&e->ring, i));
	ring_submit(ring_at(&e->ring, i));
}

/* The piece that was filling, and all others. A stream of no frame is none. */
static int take_all(struct fsp_encoder *e)
{
	struct piece *p = ring_last(&e->ring);
	int rc = 0;

	if (!p && !e->size && e->algo == ALGO_ZSTD) {
		p = ring_push(&e->ring, e->algo, piece_pack);
		p->level = e->level;
	}
	if (p && !p->full && e->algo == ALGO_BZIP2) {
		rc = fsp_buf_reserve(&p->in, RLE_ROOM(1));
		if (!rc)
			rle_end(&e->rle, &p->in);
	}
	if (e->ring.n > 1)
		submit_rest(e);
	while (!rc && e->ring.n)
		rc = take_oldest(e);
	return rc;
}

static int end_stream(struct fsp_encoder *e)
{
	int n = 0, rc = 0;

	if (e->algo == ALGO_BZIP2) {
		rc = bits_put(&e->joined, BZ_END_MAGIC, BZ_MAGIC_BITS);
		if (!rc)
			rc = bits_put(&e->joined, e->crc, 32);
		if (!rc)
			rc = bits_pad(&e->joined);
	}
	/* Also where there is nothing: the iv goes out. */
	if (!rc)
		rc = seal_joined(e);
	if (rc || !e->cipher)
		return rc;
	if (!EVP_EncryptFinal_ex(e->cipher, e->sealed, &n))
		return -EIO;
	return emit(e, e->sealed, (size_t)n);
}

int fsp_encoder_finish(struct fsp_encoder *e, uint64_t *stored)
{
	if (e->err)
		return e->err;
	e->err = take_all(e);
	if (!e->err)
		e->err = end_stream(e);
	if (e->err)
		return e->err;
	*stored = e->stored;
	e->finished = true;
	e->err = -EINVAL;
	return 0;
}

int fsp_encoder_blocks(const struct fsp_encoder *e, struct fsp_blocks *out)
{
	*out = (struct fsp_blocks){ 0 };
	return e->finished ? index_copy(&e->index, e->size, e->bit, out) :
		-EINVAL;
}

void fsp_encoder_free(struct fsp_encoder *e)
{
	if (!e)
		return;
	ring_free(&e->ring);
	fsp_buf_free(&e->joined.whole);
	fsp_blocks_free(&e->index.b);
	EVP_CIPHER_CTX_free(e->cipher);
	free(e);
}
