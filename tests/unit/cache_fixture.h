/*
 * A cache over a source of these tests: contents are made up from a number,
 * large ones come in blocks, and fetching can be told to wait, to fail, to lie
 * or to end the process in the middle.
 */
#ifndef CACHE_FIXTURE_H
#define CACHE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fsp_buf.h"
#include "fsp_cache.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_file.h"

#define CF __attribute__((unused)) static
#define BLOCK 65536
#define CONTENTS 16
#define BIG (40 * BLOCK + 777)          /* by block */
#define SMALL 5000                      /* whole */

struct content {
	uint64_t size;
	char *bytes;
	char hash[65];
};

struct env {
	char root[256], dir[300];
	struct fsp_cache *c;
	struct fsp_cache_options o;
	struct fsp_ctx ctx;
	struct content content[CONTENTS];
	atomic_int indexes, wholes, calls;      /* how often each was asked */
	atomic_int blocks;                      /* that were fetched */
	atomic_int fail, fail_times;            /* errno; -1 all */
	atomic_bool stale;                      /* indexes are another's */
	atomic_bool blocked, fetching;
	atomic_int until_waiting;               /* threads that have begun */
	atomic_int begun;
	atomic_llong kill_after;                /* bytes; 0: never */
	bool no_index;
};

CF struct content *find(struct env *e, const char *hash, uint64_t size)
{
	for (int i = 0; i < CONTENTS; i++)
		if (e->content[i].size == size &&
		    strcmp(e->content[i].hash, hash) == 0)
			return &e->content[i];
	return NULL;
}

CF int make_index(const struct content *c, struct fsp_blocks *out)
{
	uint8_t digest[32];

	*out = (struct fsp_blocks){ .size = c->size };
	out->n = (c->size + BLOCK - 1) / BLOCK;
	out->block = calloc(out->n + 1, sizeof(*out->block));
	for (size_t i = 0; i < out->n; i++) {
		uint64_t off = i * BLOCK, len = c->size - off;

		if (len > BLOCK)
			len = BLOCK;
		out->block[i].off = off;
		out->block[i].bit = 32 + i * 1000;
		if (fsp_sha256(c->bytes + off, len, digest))
			return -ENOMEM;
		memcpy(out->block[i].digest, digest, FSP_BLOCK_DIGEST);
	}
	out->end_bit = 32 + out->n * 1000;
	return 0;
}

CF int src_index(void *arg, const struct fsp_ctx *ctx, const char *hash,
                 uint64_t size, enum fsp_format *f, struct fsp_blocks *out)
{
	struct env *e = arg;
	const struct content *c = find(e, hash, size);

	(void)ctx;
	atomic_fetch_add(&e->indexes, 1);
	*f = FSP_FMT_PLAIN;
	*out = (struct fsp_blocks){ .n = 0 };
	return c && c->size > BLOCK && !e->no_index ? make_index(c, out) : 0;
}

/* The error of this call, after it has waited as it was told. */
CF int before(struct env *e, const struct fsp_ctx *ctx)
{
	atomic_fetch_add(&e->calls, 1);
	e->fetching = true;
	while (e->blocked || e->begun < e->until_waiting)
		sched_yield();
	if (fsp_ctx_check(ctx))
		return fsp_ctx_check(ctx);
	if (e->fail && e->fail_times) {
		e->fail_times--;
		return -e->fail;
	}
	return 0;
}

CF void maybe_die(struct env *e, uint64_t bytes)
{
	if (e->kill_after &&
	    atomic_fetch_sub(&e->kill_after, (long long)bytes) <=
	    (long long)bytes)
		raise(SIGKILL);
}

CF int src_blocks(void *arg, const struct fsp_ctx *ctx, const char *hash,
                  enum fsp_format f, const struct fsp_blocks *b, size_t first,
                  size_t n, fsp_sink sink, void *sink_arg)
{
	struct env *e = arg;
	const struct content *c = find(e, hash, b->size);
	uint64_t off = b->block[first].off;
	uint64_t end = b->block[first + n - 1].off +
		fsp_blocks_len(b, first + n - 1);
	int err = before(e, ctx);

	assert_int_equal(f, FSP_FMT_PLAIN);
	if (e->stale)
		return -ESTALE;
	if (!c)
		return -EIO;
	atomic_fetch_add(&e->blocks, (int)n);
	while (!err && off < end) {
		uint64_t len = end - off < 10000 ? end - off : 10000;

		err = sink(sink_arg, c->bytes + off, len);
		off += len;
		maybe_die(e, len);
	}
	return err;
}

CF int src_whole(void *arg, const struct fsp_ctx *ctx, const char *hash,
                 uint64_t size, int fd, enum fsp_format *f,
                 struct fsp_blocks *out)
{
	struct env *e = arg;
	const struct content *c = find(e, hash, size);
	int err = before(e, ctx);

	atomic_fetch_add(&e->wholes, 1);
	*f = FSP_FMT_PLAIN;
	*out = (struct fsp_blocks){ .n = 0 };
	if (!c)
		return -EIO;
	for (uint64_t off = 0; !err && off < size; off += 10000) {
		uint64_t len = size - off < 10000 ? size - off : 10000;

		err = fsp_pwrite_all(fd, c->bytes + off, len, (off_t)off);
		maybe_die(e, len);
	}
	return !err && size > BLOCK && !e->no_index ? make_index(c, out) : err;
}

CF void add_content(struct env *e, unsigned n, uint64_t size)
{
	struct content *c = &e->content[n];
	struct fsp_digests d;
	struct fsp_digest *run;
	uint32_t rng = n + 1;

	c->size = size;
	c->bytes = malloc(size + 1);
	assert_non_null(c->bytes);
	for (uint64_t i = 0; i < size; i++) {
		rng = rng * 1664525u + 1013904223u;
		c->bytes[i] = (char)(rng >> 24);
	}
	assert_int_equal(fsp_digest_new(&run), 0);
	assert_int_equal(fsp_digest_update(run, c->bytes, size), 0);
	assert_int_equal(fsp_digest_get(run, &d), 0);
	fsp_digest_free(run);
	strcpy(c->hash, d.sha256);
}

CF void open_cache(struct env *e)
{
	assert_int_equal(fsp_cache_open(&e->o, &e->c), 0);
}

CF void reopen(struct env *e)
{
	fsp_cache_close(e->c);
	open_cache(e);
	e->indexes = e->wholes = e->calls = e->blocks = 0;
}

/* Even numbers are large. */
CF int setup(void **state)
{
	struct env *e = calloc(1, sizeof(*e));
	const char *tmp = getenv("TMPDIR");

	assert_non_null(e);
	e->ctx = fsp_ctx_background();
	(void)snprintf(e->root, sizeof(e->root), "%s/fsp-cache-XXXXXX",
	               tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(e->root));
	(void)snprintf(e->dir, sizeof(e->dir), "%s/c", e->root);
	for (unsigned i = 0; i < CONTENTS; i++)
		add_content(e, i, i % 2 ? SMALL + i : BIG);
	e->o = (struct fsp_cache_options){
		.dir = e->dir, .max_bytes = 1 << 30,
		.source = { src_index, src_blocks, src_whole, e }
	};
	open_cache(e);
	*state = e;
	return 0;
}

CF int teardown(void **state)
{
	struct env *e = *state;

	fsp_cache_close(e->c);
	assert_int_equal(fsp_rm_tree(e->root), 0);
	for (int i = 0; i < CONTENTS; i++)
		free(e->content[i].bytes);
	free(e);
	return 0;
}

CF int get(struct env *e, unsigned n, struct fsp_cached **h)
{
	return fsp_cache_get(e->c, &e->ctx, e->content[n].hash,
	                     e->content[n].size, h);
}

/* 0, or why a range of content n cannot be read; 1: it is wrong. */
CF int read_range(struct env *e, struct fsp_cached *h, unsigned n,
                  const struct fsp_ctx *ctx, uint64_t off, size_t len)
{
	FSP_FREE char *p = malloc(len + 1);
	const struct content *c = &e->content[n];
	size_t want = off >= c->size ? 0 :
		len < c->size - off ? len : (size_t)(c->size - off);
	ssize_t got = fsp_cached_read(h, ctx, p, len, off);

	if (got < 0)
		return (int)got;
	return (size_t)got != want || memcmp(p, c->bytes + off, want) != 0;
}

CF int try_use(struct env *e, unsigned n, uint64_t off, size_t len)
{
	struct fsp_cached *h;
	int err = get(e, n, &h);

	if (err)
		return err;
	err = read_range(e, h, n, &e->ctx, off, len);
	fsp_cached_put(h);
	return err;
}

CF uint32_t next_random(uint32_t *rng)
{
	*rng = *rng * 1664525u + 1013904223u;
	return *rng >> 8;
}

/* Some content, from somewhere on. */
CF int use_any(struct env *e, unsigned of, uint32_t *rng)
{
	unsigned n = next_random(rng) % of;
	uint64_t off = next_random(rng) % e->content[n].size;

	return try_use(e, n, off, next_random(rng) % (5 * BLOCK));
}

/* All of it, compared. */
CF void use(struct env *e, unsigned n)
{
	assert_int_equal(try_use(e, n, 0, e->content[n].size + 10), 0);
}

CF struct fsp_cache_stats stats(struct env *e)
{
	struct fsp_cache_stats s;

	fsp_cache_get_stats(e->c, &s);
	return s;
}

CF void path_of(struct env *e, unsigned n, const char *suffix, char out[512])
{
	(void)snprintf(out, 512, "%s/%s-%llu%s", e->dir, e->content[n].hash,
	               (unsigned long long)e->content[n].size, suffix);
}

CF bool is_there(struct env *e, unsigned n)
{
	char path[512];

	path_of(e, n, "", path);
	return access(path, F_OK) == 0;
}

CF void flip(struct env *e, unsigned n, const char *suffix, off_t off)
{
	char path[512], c;
	int fd;

	path_of(e, n, suffix, path);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &c, 1, off), 1);
	c ^= 0x10;
	assert_int_equal(pwrite(fd, &c, 1, off), 1);
	close(fd);
}

/* Last used then, seconds. */
CF void set_used(struct env *e, unsigned n, time_t t)
{
	struct timespec ts[2] = { { .tv_sec = t }, { .tv_sec = t } };
	char path[512];

	path_of(e, n, "", path);
	assert_int_equal(utimensat(AT_FDCWD, path, ts, 0), 0);
}

#endif
