/* bzip2's first step, run-length coding. */
#include "rle.h"

#include <string.h>

#define RUN_MAX 255

static uint8_t *put_run(uint8_t *o, const struct rle *r)
{
	unsigned n = r->len < 4 ? r->len : 4;

	for (unsigned i = 0; i < n; i++)
		*o++ = (uint8_t)r->ch;
	if (r->len >= 4)
		*o++ = (uint8_t)(r->len - 4);
	return o;
}

size_t rle_add(struct rle *r, struct fsp_buf *out, size_t max, const void *p,
               size_t n)
{
	uint8_t *base = (uint8_t *)out->data, *o = base + out->len;
	const uint8_t *in = p;
	struct rle run = *r;
	size_t i;

	for (i = 0; i < n; i++) {
		if (in[i] == run.ch && run.len < RUN_MAX) {
			run.len++;
			continue;
		}
		if (run.len == 1)
			*o++ = (uint8_t)run.ch;
		else
			o = put_run(o, &run);
		run.ch = in[i];
		run.len = 1;
		if ((size_t)(o - base) >= max) {
			run = (struct rle)RLE_INIT;
			break;
		}
	}
	*r = run;
	out->len = (size_t)(o - base);
	return i;
}

void rle_end(struct rle *r, struct fsp_buf *out)
{
	uint8_t *o = put_run((uint8_t *)out->data + out->len, r);

	out->len = (size_t)(o - (uint8_t *)out->data);
	*r = (struct rle)RLE_INIT;
}

/* Bytes up to the count of a run, which begins a repetition. */
static size_t read_plain(struct rle_reader *r, const uint8_t *in, size_t len,
                         uint8_t *out, size_t cap)
{
	size_t pos = r->pos, n = 0;
	unsigned same = r->same;
	int ch = r->ch;

	while (pos < len && n < cap && same < 4) {
		same = in[pos] == ch ? same + 1 : 1;
		ch = in[pos++];
		out[n++] = (uint8_t)ch;
	}
	r->pos = pos;
	r->ch = ch;
	r->same = same;
	return n;
}

size_t rle_read(struct rle_reader *r, const struct fsp_buf *in, void *out,
                size_t cap)
{
	const uint8_t *p = (const uint8_t *)in->data;
	uint8_t *o = out;
	size_t n = 0;

	while (n < cap && (r->repeat || r->pos < in->len)) {
		if (r->same == 4) {
			r->repeat = p[r->pos++];
			r->same = 0;
		} else if (r->repeat) {
			size_t k = r->repeat < cap - n ? r->repeat : cap - n;

			memset(o + n, r->ch, k);
			n += k;
			r->repeat -= (unsigned)k;
		} else {
			n += read_plain(r, p, in->len, o + n, cap - n);
		}
	}
	return n;
}
