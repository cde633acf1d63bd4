/*
 * A growing byte buffer, and the few string helpers that everything uses.
 * Functions that allocate return -ENOMEM; a buffer is not thread-safe.
 */
#ifndef FSP_BUF_H
#define FSP_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fsp_buf {
	char *data;             /* always NUL-terminated once non-NULL */
	size_t len;             /* without that NUL */
	size_t cap;
};

#define FSP_BUF_INIT { NULL, 0, 0 }

void fsp_buf_free(struct fsp_buf *b);
void fsp_buf_reset(struct fsp_buf *b);
int fsp_buf_reserve(struct fsp_buf *b, size_t extra);   /* room after len */
int fsp_buf_add(struct fsp_buf *b, const void *data, size_t len);
int fsp_buf_addc(struct fsp_buf *b, char c);
int fsp_buf_adds(struct fsp_buf *b, const char *s);
int fsp_buf_printf(struct fsp_buf *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Hands the bytes over: the caller frees them. Never NULL unless out of memory. */
char *fsp_buf_steal(struct fsp_buf *b);

#define FSP_BUF __attribute__((cleanup(fsp_buf_free)))

/* Lower-case hex with a final NUL: out holds 2 * len + 1 bytes. */
void fsp_hex(char *out, const void *data, size_t len);

/* Reads exactly 2 * len hex digits of either case; -EINVAL otherwise. */
int fsp_unhex(void *out, size_t len, const char *hex);

/* printf into fresh memory, NULL when there is none; the caller frees it. */
char *fsp_strf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* "12.3 MiB" and the like; out holds 16 bytes at least. */
const char *fsp_human(char *out, size_t size, uint64_t bytes);

/* The string as a JSON string with quotes; bytes that are no UTF-8 as \u00NN. */
int fsp_buf_json(struct fsp_buf *b, const char *s);

/*
 * FNV-1a: for hash tables, to tell a torn record, and for numbers that all
 * mounts of a store agree on (so it never changes). _more goes on from h, the
 * hash of what comes before.
 */
uint64_t fsp_hash64(const void *data, size_t len, uint64_t seed);
uint64_t fsp_hash64_more(uint64_t h, const void *data, size_t len);

/*
 * Room for one more entry of `size` bytes in an array of *cap, n of which are in
 * use: the array, perhaps elsewhere, with a greater *cap. NULL: there is no
 * memory, and the array is as it was.
 */
void *fsp_grow(void *array, size_t n, size_t *cap, size_t size);

/*
 * In a sorted array of n entries of `size` bytes, each with a 64-bit key (not
 * negative) at `offset`: the first one with this key or a greater one, n when
 * there is none.
 */
size_t fsp_lower_bound(const void *array, size_t n, size_t size, size_t offset,
                       uint64_t key);

/* Wipes memory in a way the compiler keeps. */
void fsp_wipe(void *p, size_t len);

/* Fills from getrandom(2); aborts when the kernel cannot give any. */
void fsp_random(void *p, size_t len);

#endif
