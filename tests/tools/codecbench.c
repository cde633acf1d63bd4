/*
 * How fast the codec is: a file through encoder and decoder, in memory.
 *
 *   codecbench FILE FORMAT LEVEL [WORKERS [TIMES]]
 *
 * Prints for each direction: bytes in and out, wall, user and system seconds of
 * all TIMES together, page faults, the most memory so far in MB. FORMAT as in
 * the objects' records; those that are encrypted get a key of zeros.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "fsp_buf.h"
#include "fsp_codec.h"
#include "fsp_pool.h"

#define PIECE (256 * 1024)

static double seconds(const struct timeval *t)
{
	return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

struct clocks {
	double wall, user, sys;
	long faults, peak_kib;
};

static struct clocks now(void)
{
	struct rusage ru;
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	getrusage(RUSAGE_SELF, &ru);
	return (struct clocks){ (double)ts.tv_sec + (double)ts.tv_nsec / 1e9,
		                seconds(&ru.ru_utime), seconds(&ru.ru_stime),
		                ru.ru_minflt, ru.ru_maxrss };
}

static void report(const char *what, size_t in, uint64_t out,
                   const struct clocks *from)
{
	struct clocks to = now();

	printf("%s %zu %llu wall %.3f user %.3f sys %.3f faults %ld "
	       "peak %.1f\n", what, in, (unsigned long long)out,
	       to.wall - from->wall, to.user - from->user, to.sys - from->sys,
	       to.faults - from->faults, (double)to.peak_kib / 1024);
}

static int collect(void *arg, const void *buf, size_t len)
{
	return fsp_buf_add(arg, buf, len);
}

static int drop(void *arg, const void *buf, size_t len)
{
	(void)arg;
	(void)buf;
	(void)len;
	return 0;
}

static int encode(const struct fsp_buf *in, enum fsp_format format, int level,
                  const struct fsp_keys *k, struct fsp_buf *out)
{
	struct fsp_encoder *e;
	uint64_t stored;
	int err = fsp_encoder_new(format, k, level, collect, out, &e);

	if (err)
		return err;
	for (size_t off = 0; !err && off < in->len; off += PIECE)
		err = fsp_encoder_write(e, in->data + off,
		                        in->len - off < PIECE ? in->len - off
		                                              : PIECE);
	if (!err)
		err = fsp_encoder_finish(e, &stored);
	fsp_encoder_free(e);
	return err;
}

static int decode(const struct fsp_buf *in, uint64_t size,
                  enum fsp_format format, const struct fsp_keys *k)
{
	struct fsp_digests d = { 0 };
	struct fsp_decoder *dec;
	int err = fsp_decoder_new(format, k, size, drop, NULL, &dec);

	if (err)
		return err;
	for (size_t off = 0; !err && off < in->len; off += PIECE)
		err = fsp_decoder_write(dec, in->data + off,
		                        in->len - off < PIECE ? in->len - off
		                                              : PIECE);
	if (!err)
		err = fsp_decoder_finish(dec, &d);
	fsp_decoder_free(dec);
	return err;
}

static int slurp(FILE *f, struct fsp_buf *out)
{
	static char piece[PIECE];
	int err = 0;
	size_t n;

	while (!err && (n = fread(piece, 1, sizeof(piece), f)))
		err = fsp_buf_add(out, piece, n);
	return err;
}

static int both(const struct fsp_buf *in, enum fsp_format format, int level,
                long times)
{
	FSP_BUF struct fsp_buf object = FSP_BUF_INIT;
	struct fsp_keys k = { .set = true };
	struct clocks start = now();
	int err = 0;

	for (long i = 0; !err && i < times; i++) {
		fsp_buf_reset(&object);
		err = encode(in, format, level, &k, &object);
	}
	if (err)
		return err;
	report("encode", in->len, object.len, &start);
	start = now();
	for (long i = 0; !err && i < times; i++)
		err = decode(&object, in->len, format, &k);
	if (!err)
		report("decode", object.len, in->len, &start);
	return err;
}

int main(int argc, char **argv)
{
	FSP_BUF struct fsp_buf content = FSP_BUF_INIT;
	enum fsp_format format;
	FILE *f;
	int err;

	if (argc < 4 || argc > 6 || fsp_format_parse(argv[2], &format)) {
		fprintf(stderr,
		        "codecbench FILE FORMAT LEVEL [WORKERS [TIMES]]\n");
		return 2;
	}
	/* As the daemon has it. */
	(void)mallopt(M_MMAP_THRESHOLD, 1024 * 1024);
	(void)mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
	if (argc > 4)
		fsp_pool_set_workers((unsigned)strtoul(argv[4], NULL, 10));
	f = fopen(argv[1], "r");
	if (!f) {
		perror(argv[1]);
		return 1;
	}
	err = slurp(f, &content);
	if (!err)
		err = both(&content, format, (int)strtol(argv[3], NULL, 10),
		           argc > 5 ? strtol(argv[5], NULL, 10) : 1);
	if (err)
		fprintf(stderr, "codecbench: %s\n", strerror(-err));
	fclose(f);
	return err ? 1 : 0;
}
