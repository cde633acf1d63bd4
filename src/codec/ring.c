/* Pieces under way, in order; and what is known of those that are done. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <zstd.h>

#include "piece.h"

int ring_init_of(struct ring *r, unsigned pieces)
{
	r->cap = pieces;
	r->piece = calloc(r->cap, sizeof(*r->piece));
	return r->piece ? 0 : -ENOMEM;
}

/*
 * One for each thread, one that is being filled and one that is being taken.
 */
int ring_init(struct ring *r)
{
	return ring_init_of(r, fsp_pool_workers() + 2);
}

void ring_cancel(struct ring *r)
{
	for (; r->n; ring_pop(r))
		fsp_pool_cancel(&ring_at(r, 0)->job);
}

void ring_free(struct ring *r)
{
	if (!r->piece)
		return;
	ring_cancel(r);
	for (unsigned i = 0; i < r->cap; i++) {
		struct piece *p = &r->piece[i];

		fsp_buf_free(&p->in);
		fsp_buf_free(&p->out);
		EVP_MD_CTX_free(p->sha);
		ZSTD_freeCCtx(p->zc);
		ZSTD_freeDCtx(p->zd);
	}
	free(r->piece);
}

static void run(struct fsp_job *j)
{
	struct piece *p = (struct piece *)j;

	p->err = p->work(p);
}

struct piece *ring_push(struct ring *r, enum algo a,
                        int (*work)(struct piece *p))
{
	struct piece *p = ring_at(r, r->n++);
	struct piece old = *p;

	fsp_buf_reset(&old.in);
	fsp_buf_reset(&old.out);
	*p = (struct piece){ .job.run = run, .algo = a, .work = work,
		             .in = old.in, .out = old.out, .sha = old.sha,
		             .zc = old.zc, .zd = old.zd };
	return p;
}

void ring_submit(struct piece *p)
{
	if (p->submitted)
		return;
	p->submitted = true;
	fsp_pool_submit(&p->job);
}

bool ring_ready(const struct ring *r)
{
	return r->n && ring_at(r, 0)->submitted &&
	       fsp_pool_done(&ring_at(r, 0)->job);
}

int ring_wait(struct piece *p)
{
	fsp_pool_wait(&p->job);
	return p->err;
}

void ring_pop(struct ring *r)
{
	r->first = (r->first + 1) % r->cap;
	r->n--;
}

int index_add(struct index *x, uint64_t off, uint64_t bit,
              const uint8_t *digest)
{
	struct fsp_block *grown;
	size_t cap = x->cap ? x->cap * 2 : 4;

	if (x->lost || (x->max && x->b.n == x->max)) {
		x->lost = true;
		return 0;
	}
	if (x->b.n == x->cap) {
		grown = realloc(x->b.block, cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		x->b.block = grown;
		x->cap = cap;
	}
	grown = &x->b.block[x->b.n++];
	grown->off = off;
	grown->bit = bit;
	memcpy(grown->digest, digest, FSP_BLOCK_DIGEST);
	return 0;
}

int index_copy(const struct index *x, uint64_t size, uint64_t end_bit,
               struct fsp_blocks *out)
{
	*out = (struct fsp_blocks){ .size = size };
	if (x->lost)
		return -E2BIG;
	if (!x->b.n)
		return 0;
	out->block = malloc(x->b.n * sizeof(*out->block));
	if (!out->block)
		return -ENOMEM;
	memcpy(out->block, x->b.block, x->b.n * sizeof(*out->block));
	out->n = x->b.n;
	out->end_bit = end_bit;
	return 0;
}
