/*
 * key=value lines about kept content, for people as much as for us.
 *
 * extents come last: they can be long, and only people read them, so that the
 * parser looks at the beginning of the file alone.
 */
#include "info.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_file.h"
#include "fsp_spool.h"

#define HEAD_MAX 65536

/* Control bytes and % as %XX, so that a path is one line. */
static int add_escaped(struct fsp_buf *b, const char *s)
{
	int rc = 0;

	for (; !rc && *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c < 0x20 || c == 0x7f || c == '%')
			rc = fsp_buf_printf(b, "%%%02X", c);
		else
			rc = fsp_buf_addc(b, *s);
	}
	return rc;
}

static int add_extents(struct fsp_buf *b, const struct fsp_extents *x)
{
	int rc = fsp_buf_adds(b, "extents=");

	for (size_t i = 0; !rc && i < x->n; i++)
		rc = fsp_buf_printf(
			b, "%s%llu-%llu", i ? "," : "",
			(unsigned long long)x->v[i].start,
			(unsigned long long)(x->v[i].end - x->v[i].start));
	return rc ? rc : fsp_buf_addc(b, '\n');
}

int fsp_spool_info_format(struct fsp_buf *out, const struct fsp_spool_info *i,
                          const struct fsp_extents *x)
{
	int rc = fsp_buf_adds(out, "path=");

	if (!rc && i->path)
		rc = add_escaped(out, i->path);
	if (!rc)
		rc = fsp_buf_printf(out,
		                    "\nino=%llu\nsize=%llu\nbase_row=%lld\n"
		                    "at_us=%lld\nerror=%d\n",
		                    (unsigned long long)i->ino,
		                    (unsigned long long)i->size,
		                    (long long)i->base_row,
		                    (long long)i->at_us, i->error);
	return rc ? rc : add_extents(out, x);
}

/* In place; what is no escape, or would end the string, stays as it is. */
static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		char hex[3] = "", c = 0;

		if (*s == '%' && s[1])
			memcpy(hex, s + 1, 2);
		if (*hex && !fsp_unhex(&c, 1, hex) && c) {
			*to++ = c;
			s += 3;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

/* Decimal digits and nothing else, within the limits. */
static bool number(const char *s, long long min, long long max, long long *out)
{
	char *end;
	long long v;

	if (!isdigit((unsigned char)s[*s == '-']))
		return false;
	errno = 0;
	v = strtoll(s, &end, 10);
	if (errno || *end || v < min || v > max)
		return false;
	*out = v;
	return true;
}

static bool unsigned_number(const char *s, uint64_t *out)
{
	char *end;
	unsigned long long v;

	if (!isdigit((unsigned char)*s))
		return false;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno || *end)
		return false;
	*out = v;
	return true;
}

static int parse_path(const char *value, struct fsp_spool_info *i)
{
	char *path = strdup(value);

	if (!path)
		return -ENOMEM;
	unescape(path);
	free(i->path);
	i->path = path;
	return 0;
}

static int parse_line(char *line, struct fsp_spool_info *i)
{
	char *value = strchr(line, '=');
	long long v;

	if (!value)
		return 0;
	*value++ = '\0';
	if (!strcmp(line, "path"))
		return parse_path(value, i);
	if (!strcmp(line, "ino"))
		(void)unsigned_number(value, &i->ino);
	else if (!strcmp(line, "size"))
		(void)unsigned_number(value, &i->size);
	else if (!strcmp(line, "base_row") &&
	         number(value, INT64_MIN, INT64_MAX, &v))
		i->base_row = v;
	else if (!strcmp(line, "at_us") &&
	         number(value, INT64_MIN, INT64_MAX, &v))
		i->at_us = v;
	else if (!strcmp(line, "error") && number(value, 0, INT32_MAX, &v))
		i->error = (int)v;
	return 0;
}

int fsp_spool_info_parse(int fd, struct fsp_spool_info *i)
{
	FSP_FREE char *text = malloc(HEAD_MAX + 1);
	char *line = text, *end;
	ssize_t n;
	int rc = 0;

	if (!text)
		return -ENOMEM;
	n = fsp_pread_full(fd, text, HEAD_MAX, 0);
	/* Damaged: the data is listed all the same. */
	if (n < 0)
		return 0;
	text[n] = '\0';
	/* A NUL or the limit ends it; a line cut short is not believed. */
	for (; !rc && (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		rc = parse_line(line, i);
	}
	return rc;
}
