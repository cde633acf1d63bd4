/* The growing byte buffer. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"

void fsp_buf_free(struct fsp_buf *b)
{
	free(b->data);
	*b = (struct fsp_buf)FSP_BUF_INIT;
}

void fsp_buf_reset(struct fsp_buf *b)
{
	b->len = 0;
	if (b->data)
		b->data[0] = '\0';
}

int fsp_buf_reserve(struct fsp_buf *b, size_t extra)
{
	size_t need, cap;
	char *data;

	if (extra > SIZE_MAX / 2 - b->len - 1)
		return -ENOMEM;
	need = b->len + extra + 1;
	if (need <= b->cap)
		return 0;
	cap = b->cap * 2 > need ? b->cap * 2 : need;
	if (cap < 64)
		cap = 64;
	data = realloc(b->data, cap);
	if (!data)
		return -ENOMEM;
	data[b->len] = '\0';
	b->data = data;
	b->cap = cap;
	return 0;
}

int fsp_buf_add(struct fsp_buf *b, const void *data, size_t len)
{
	int err = fsp_buf_reserve(b, len);

	if (err)
		return err;
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
	return 0;
}

int fsp_buf_addc(struct fsp_buf *b, char c)
{
	return fsp_buf_add(b, &c, 1);
}

int fsp_buf_adds(struct fsp_buf *b, const char *s)
{
	return fsp_buf_add(b, s, strlen(s));
}

int fsp_buf_printf(struct fsp_buf *b, const char *fmt, ...)
{
	va_list ap;
	int err, n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -EINVAL;
	err = fsp_buf_reserve(b, (size_t)n);
	if (err)
		return err;
	va_start(ap, fmt);
	(void)vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
	return 0;
}

char *fsp_buf_steal(struct fsp_buf *b)
{
	char *data = b->data ? b->data : strdup("");

	*b = (struct fsp_buf)FSP_BUF_INIT;
	return data;
}

char *fsp_strf(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	return n < 0 ? NULL : s;
}
