/*
 * Listing: ListObjectsV2, page by page. A page is taken as a whole before the
 * caller sees any of it, so that the caller may take its time, and a page that
 * breaks off is simply asked for again.
 */
#include "s3.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_log.h"
#include "s3_xml.h"

#define PAGE 1000               /* what a server gives at the most */

struct entry {
	char key[FSP_OBJ_KEY_MAX + 1];
	uint64_t size;
	int64_t mtime_us;
};

struct page {
	const char *prefix;             /* of the store */
	struct entry entries[PAGE];
	size_t n;
	struct entry now;               /* being read */
	bool skip;                      /* what is being read is none of ours */
	bool more;
	char *token;
};

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* In place; what is no escape stays. */
static void percent_decode(char *s)
{
	char *out = s;

	for (; *s; s++) {
		int high = *s == '%' ? hex_digit(s[1]) : -1;
		int low = high >= 0 ? hex_digit(s[2]) : -1;

		if (low >= 0) {
			*out++ = (char)(high * 16 + low);
			s += 2;
		} else {
			*out++ = *s == '+' ? ' ' : *s;
		}
	}
	*out = '\0';
}

/* Others may keep what they like in the bucket: it is passed over. */
static int take_key(struct page *g, const char *text)
{
	FSP_FREE char *key = strdup(text);
	size_t len = strlen(g->prefix);

	if (!key)
		return -ENOMEM;
	percent_decode(key);
	g->skip = strncmp(key, g->prefix, len) != 0 ||
		!fsp_obj_key_valid(key + len);
	if (!g->skip)
		memcpy(g->now.key, key + len, strlen(key + len) + 1);
	return 0;
}

/* 2006-02-03T16:45:09.000Z */
static int64_t take_time(const char *text)
{
	struct tm tm = { 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	int64_t us = 0, unit = FSP_US_PER_SEC / 10;
	time_t t;

	if (!rest)
		return 0;
	t = timegm(&tm);
	if (*rest == '.')
		for (rest++; *rest >= '0' && *rest <= '9'; rest++, unit /= 10)
			us += (*rest - '0') * unit;
	return t * FSP_US_PER_SEC + us;
}

static int take_size(const char *text, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno || end == text || *end ? -EIO : 0;
}

static int end_of_entry(struct page *g)
{
	if (!g->skip && g->now.key[0]) {
		if (g->n == PAGE)
			return -EIO;
		g->entries[g->n++] = g->now;
	}
	memset(&g->now, 0, sizeof(g->now));
	g->skip = false;
	return 0;
}

static int page_each(void *arg, const char *path, const char *text)
{
	static const char top[] = "ListBucketResult/";
	struct page *g = arg;

	if (strncmp(path, top, sizeof(top) - 1) != 0)
		return 0;
	path += sizeof(top) - 1;
	if (strcmp(path, "Contents/Key") == 0)
		return take_key(g, text);
	if (strcmp(path, "Contents/Size") == 0)
		return take_size(text, &g->now.size);
	if (strcmp(path, "Contents/LastModified") == 0)
		g->now.mtime_us = take_time(text);
	else if (strcmp(path, "Contents") == 0)
		return end_of_entry(g);
	else if (strcmp(path, "IsTruncated") == 0)
		g->more = strcmp(text, "true") == 0;
	else if (strcmp(path, "NextContinuationToken") == 0) {
		free(g->token);
		g->token = strdup(text);
		return g->token ? 0 : -ENOMEM;
	}
	return 0;
}

static int parse_page(struct s3_store *s, const struct s3_response *p,
                      struct page *g)
{
	FSP_FREE char *before = g->token;
	int rc;

	g->token = NULL;
	g->more = false;
	g->n = 0;
	rc = s3_xml_parse(p->body.data ? p->body.data : "", p->body.len,
	                  page_each, g);
	/* A listing that does not advance would have no end. */
	if (!rc && g->more && (!g->token || !*g->token ||
	                       (before && strcmp(before, g->token) == 0)))
		rc = -EIO;
	if (rc == -EIO)
		fsp_error("S3: the listing of bucket %s makes no sense",
		          s->bucket);
	return rc;
}

static int fetch_page(struct s3_store *s, const struct fsp_ctx *ctx,
                      const char *full_prefix, struct page *g)
{
	struct s3_request r = { .method = "GET" };
	struct s3_response p;
	int rc;

	s3_add_param(&r, "list-type", "2");
	/* Keys may hold what XML cannot. */
	s3_add_param(&r, "encoding-type", "url");
	/* Ours have no slash after the prefix: not what lies deeper. */
	s3_add_param(&r, "delimiter", "/");
	s3_add_param(&r, "max-keys", "1000");
	s3_add_param(&r, "prefix", full_prefix);
	if (g->token)
		s3_add_param(&r, "continuation-token", g->token);
	rc = s3_call(s, ctx, &r, &p, NULL);
	if (!rc)
		rc = parse_page(s, &p, g);
	s3_response_free(&p);
	return rc;
}

int s3_list(struct fsp_objstore *base, const struct fsp_ctx *ctx,
            const char *prefix, fsp_obj_each each, void *arg)
{
	struct s3_store *s = s3_of(base);
	FSP_FREE char *full = fsp_strf("%s%s", s->prefix, prefix);
	struct page *g = calloc(1, sizeof(*g));
	int rc = full && g ? 0 : -ENOMEM;

	if (g)
		g->prefix = s->prefix;
	do {
		if (!rc)
			rc = fetch_page(s, ctx, full, g);
		for (size_t i = 0; !rc && i < g->n; i++)
			rc = each(arg, g->entries[i].key, g->entries[i].size,
			          g->entries[i].mtime_us);
	} while (!rc && g->more);
	if (g)
		free(g->token);
	free(g);
	return rc;
}
