/*
 * Blocks of an object by themselves. Every piece decrypts what it needs of the
 * bytes, as CBC allows, so that this is done by the pool, too.
 */
#include "fsp_blocks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "fsp_spare.h"
#include "piece.h"
#include "sha256_lanes.h"

/* From so many on all lanes take less time than one block after another. */
#define LANES_MIN 8

/* The bytes that all pieces of one call come from. */
struct sealed {
	const struct fsp_blocks *b;
	enum fsp_format format;
	const struct fsp_keys *keys;
	const uint8_t *bytes;
	uint64_t off, len;      /* what the bytes are of the object */
};

static int decrypt(const struct sealed *s, const uint8_t *iv,
                   const uint8_t *from, size_t len, struct fsp_buf *out)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n = 0, err = fsp_buf_reserve(out, len + IV_LEN);

	if (!c || err) {
		EVP_CIPHER_CTX_free(c);
		return -ENOMEM;
	}
	if (!EVP_DecryptInit_ex(c, EVP_aes_256_cbc(), NULL, s->keys->key, iv))
		err = -ENOMEM;
	if (!err)
		(void)EVP_CIPHER_CTX_set_padding(c, 0);
	if (!err && !EVP_DecryptUpdate(c, (unsigned char *)out->data, &n, from,
	                               (int)len))
		err = -EIO;
	out->len = (size_t)n;
	EVP_CIPHER_CTX_free(c);
	return err;
}

/* Gets what holds the block, and cuts off what is before its first byte. */
static int open_bytes(struct piece *p, const struct sealed *s, size_t i)
{
	const uint8_t *from, *iv = s->keys ? s->keys->iv : NULL;
	uint64_t off, len, skip;
	int err;

	fsp_blocks_range(s->b, s->format, i, 1, &off, &len);
	from = s->bytes + (off - s->off);
	if (format_sealing(s->format) == SEAL_NONE)
		return fsp_buf_add(&p->in, from, len);
	skip = p->start / 8 % IV_LEN;
	/* The block of the cipher before it came, too. */
	if (p->start / 8 >= IV_LEN ||
	    format_sealing(s->format) == SEAL_OWN_IV) {
		iv = from;
		from += IV_LEN;
		len -= IV_LEN;
	}
	err = decrypt(s, iv, from, len, &p->in);
	if (err)
		return err;
	len = (p->start % 8 + p->bits + 7) / 8;
	memmove(p->in.data, p->in.data + skip, len);
	p->in.len = len;
	return 0;
}

static int decode_block(struct piece *p)
{
	const struct sealed *s = p->sealed;
	size_t i = p->block;
	int err = open_bytes(p, s, i);

	if (!err)
		err = piece_unpack(p);
	if (err)
		return err;
	if (p->size != p->limit)
		return -EIO;
	return p->undigested ||
	       !memcmp(p->digest, s->b->block[i].digest, FSP_BLOCK_DIGEST) ?
		0 : -EIO;
}

static struct piece *push(struct ring *r, const struct sealed *s, size_t i)
{
	struct piece *p = ring_push(r, format_algo(s->format), decode_block);
	const struct fsp_blocks *b = s->b;

	p->sealed = s;
	p->block = i;
	p->level = 9;   /* as large as a block may be; its digest is known */
	p->start = b->block[i].bit;
	p->bits = (i + 1 < b->n ? b->block[i + 1].bit : b->end_bit) - p->start;
	p->limit = fsp_blocks_len(b, i);
	return p;
}

static int take_oldest(struct ring *r, fsp_sink sink, void *arg)
{
	struct piece *p = ring_at(r, 0);
	int err = ring_wait(p);

	if (!err)
		err = piece_content(p, sink, arg);
	ring_pop(r);
	return err;
}

static int one_by_one(struct ring *r, const struct sealed *s, size_t first,
                      size_t n, fsp_sink sink, void *arg)
{
	int err = 0;

	for (size_t i = 0; !err && i < n; i++) {
		struct piece *p;

		if (r->n == fsp_pool_workers() + 2)
			err = take_oldest(r, sink, arg);
		if (err)
			break;
		p = push(r, s, first + i);
		if (n > 1)
			ring_submit(p);
	}
	while (!err && r->n)
		err = take_oldest(r, sink, arg);
	return err;
}

/* How many blocks from i on have their digests taken at once; 0: it has not. */
static size_t at_once(const struct sealed *s, size_t i, size_t end)
{
	uint64_t len = fsp_blocks_len(s->b, i);
	size_t n = 0;

	if (format_algo(s->format) == ALGO_BZIP2 || len % 64 ||
	    !sha256_lanes_usable())
		return 0;
	while (n < LANES && i + n < end && fsp_blocks_len(s->b, i + n) == len)
		n++;
	return n < LANES_MIN ? 0 : n;
}

static int check_lanes(const struct ring *r, const struct sealed *s,
                       size_t first)
{
	const uint8_t *in[LANES];
	uint8_t digest[LANES][32];

	/* Where there are fewer, the rest is the last one's again. */
	for (unsigned i = 0; i < LANES; i++) {
		const struct piece *p = ring_at(r, i < r->n ? i : r->n - 1);

		in[i] = (const uint8_t *)piece_buf(p)->data;
	}
	sha256_lanes(in, ring_at(r, 0)->size, digest);
	for (unsigned i = 0; i < r->n; i++)
		if (memcmp(digest[i], s->b->block[first + i].digest,
		           FSP_BLOCK_DIGEST) != 0)
			return -EIO;
	return 0;
}

static int group(struct ring *r, const struct sealed *s, size_t first,
                 size_t n, fsp_sink sink, void *arg)
{
	int err = 0;

	for (size_t i = 0; i < n; i++) {
		struct piece *p = push(r, s, first + i);

		p->undigested = true;
		ring_submit(p);
	}
	for (unsigned i = 0; !err && i < n; i++)
		err = ring_wait(ring_at(r, i));
	if (!err)
		err = check_lanes(r, s, first);
	while (!err && r->n)
		err = take_oldest(r, sink, arg);
	return err;
}

static int decode_all(struct ring *r, const struct sealed *s, size_t first,
                      size_t n, fsp_sink sink, void *arg)
{
	size_t end = first + n, m;
	int err = 0;

	while (!err && first < end && (m = at_once(s, first, end))) {
		err = group(r, s, first, m, sink, arg);
		first += m;
	}
	return err ? err : one_by_one(r, s, first, end - first, sink, arg);
}

static void ring_drop(void *ring)
{
	ring_free(ring);
	free(ring);
}

/* Rings whose pieces have what the last range needed; none of bzip2's. */
static struct fsp_spares rings = FSP_SPARES_INIT(ring_drop);

void fsp_blocks_hold(bool on)
{
	if (on)
		fsp_spare_hold(&rings);
	else
		fsp_spare_end(&rings, NULL);
}

static int take_ring(struct ring **out)
{
	struct ring *r = fsp_spare_begin(&rings);
	unsigned least = fsp_pool_workers() + 2;
	unsigned pieces = least > LANES ? least : LANES;
	int err = 0;

	if (!r) {
		r = calloc(1, sizeof(*r));
		err = r ? ring_init_of(r, pieces) : -ENOMEM;
	}
	*out = r;
	return err;
}

static void give_ring(struct ring *r, enum algo a)
{
	if (r && r->piece) {
		ring_cancel(r);
		r->first = 0;           /* the next one takes the same places */
	}
	if (r && (a == ALGO_BZIP2 || !r->piece)) {
		ring_drop(r);
		r = NULL;
	}
	fsp_spare_end(&rings, r);
}

int fsp_blocks_decode(const struct fsp_blocks *b, enum fsp_format f,
                      const struct fsp_keys *keys, size_t first, size_t n,
                      const void *bytes, size_t len, fsp_sink sink, void *arg)
{
	struct sealed s = { b, f, keys, bytes, 0, 0 };
	struct ring *r;
	int err;

	if (!fsp_format_usable(f, keys) || first > b->n || n > b->n - first)
		return -EINVAL;
	fsp_blocks_range(b, f, first, n, &s.off, &s.len);
	if (len != s.len)
		return -EIO;
	err = take_ring(&r);
	if (!err)
		err = decode_all(r, &s, first, n, sink, arg);
	give_ring(r, format_algo(f));
	return err;
}
