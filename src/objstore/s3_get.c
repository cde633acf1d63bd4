/* Reading: whole objects and ranges, going on where a transfer broke off. */
#include "s3.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fsp_log.h"

#define ALL_THERE 1             /* the sink's: what follows is of no use */

struct reading {
	fsp_obj_sink sink;
	void *arg;
	uint64_t from, end;             /* still to come; end may be S3_NO_END */
	uint64_t start;                 /* where it all began */
	uint64_t skip;                  /* of a whole body, not asked for */
	uint64_t total;                 /* the object's size, once known */
	char etag[S3_ETAG_MAX];
	char range[64], match[S3_ETAG_MAX + 2];
};

static void set_range(struct reading *g, struct s3_request *r)
{
	if (g->end == S3_NO_END)
		(void)snprintf(g->range, sizeof(g->range), "bytes=%llu-",
		               (unsigned long long)g->from);
	else
		(void)snprintf(g->range, sizeof(g->range), "bytes=%llu-%llu",
		               (unsigned long long)g->from,
		               (unsigned long long)(g->end - 1));
	s3_add_header(r, "range", g->range);
}

/* Another attempt asks for the rest of the same object. */
static int get_again(void *arg, struct s3_request *r)
{
	struct reading *g = arg;

	r->n_headers = 0;
	if (g->from > 0 || g->end != S3_NO_END)
		set_range(g, r);
	if (g->from > g->start && g->etag[0]) {
		(void)snprintf(g->match, sizeof(g->match), "\"%s\"", g->etag);
		s3_add_header(r, "if-match", g->match);
	}
	return 0;
}

/* Is this the object that we have begun to read, from where we are? */
static int get_begin(void *arg, const struct s3_response *p)
{
	struct reading *g = arg;
	uint64_t total = p->status == 206 ? p->range_total : p->length;

	if (p->status == 206 && p->range_from != g->from) {
		fsp_error("S3: GET: asked for byte %llu and got byte %llu",
		          (unsigned long long)g->from,
		          (unsigned long long)p->range_from);
		return -EIO;
	}
	if (g->from > g->start &&
	    (strcmp(g->etag, p->etag) != 0 ||
	     (g->total && total != UINT64_MAX && g->total != total))) {
		fsp_warn("S3: an object was replaced while it was read");
		return -EIO;
	}
	/* A server without ranges gives everything. */
	g->skip = p->status == 206 ? 0 : g->from;
	if (total != UINT64_MAX)
		g->total = total;
	memcpy(g->etag, p->etag, sizeof(g->etag));
	return 0;
}

static int get_sink(void *arg, const void *buf, size_t len)
{
	struct reading *g = arg;
	const char *at = buf;
	int rc;

	if (g->skip) {
		size_t n = g->skip < len ? (size_t)g->skip : len;

		g->skip -= n;
		at += n;
		len -= n;
	}
	if (len && g->from == g->end)
		return ALL_THERE;
	if (g->end != S3_NO_END && len > g->end - g->from)
		len = (size_t)(g->end - g->from);
	if (!len)
		return 0;
	rc = g->sink(g->arg, at, len);
	if (!rc)
		g->from += len;
	return rc;
}

static int read_object(struct s3_store *s, const struct fsp_ctx *ctx,
                       const char *key, struct reading *g)
{
	struct s3_request r = { .method = "GET", .key = key,
		                .again = get_again, .begin = get_begin,
		                .sink = get_sink, .arg = g };
	struct s3_response p;
	int rc = get_again(g, &r);

	if (rc)
		return rc;
	rc = s3_call(s, ctx, &r, &p, NULL);
	s3_response_free(&p);
	if (rc == ALL_THERE && g->from == g->end)
		return 0;
	if (!rc && g->total && g->from < g->end && g->from < g->total) {
		fsp_error("S3: GET %s%s: the answer ends at %llu of %llu bytes",
		          s->prefix, key, (unsigned long long)g->from,
		          (unsigned long long)g->total);
		rc = -EIO;
	}
	return rc;
}

int s3_get(struct fsp_objstore *s, const struct fsp_ctx *ctx, const char *key,
           fsp_obj_sink sink, void *arg)
{
	struct reading g = { .sink = sink, .arg = arg, .end = S3_NO_END };

	return read_object(s3_of(s), ctx, key, &g);
}

int s3_get_range(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                 const char *key, uint64_t off, uint64_t len,
                 fsp_obj_sink sink, void *arg)
{
	struct reading g = { .sink = sink, .arg = arg, .from = off,
		             .start = off, .end = off + len };
	int rc = read_object(s3_of(s), ctx, key, &g);

	/* Nothing is there from this byte on. */
	return rc == -ERANGE && g.from == g.start ? 0 : rc;
}

/*
 * What HEAD refuses has no words: a GET of one byte does. It may find that the
 * object is there after all.
 */
static int ask_why(struct s3_store *s, const struct fsp_ctx *ctx,
                   const char *key, const atomic_bool *stop, uint64_t *size,
                   char etag[S3_ETAG_MAX])
{
	struct s3_request r = { .method = "GET", .key = key, .stop = stop };
	struct s3_response p;
	int rc;

	s3_add_header(&r, "range", "bytes=0-0");
	rc = s3_call(s, ctx, &r, &p, NULL);
	if (rc == -ERANGE) {
		*size = 0;              /* it has not even one byte */
		rc = 0;
	} else if (!rc) {
		*size = p.status == 206 ? p.range_total : p.length;
		memcpy(etag, p.etag, S3_ETAG_MAX);
	}
	s3_response_free(&p);
	return rc;
}

int s3_look(struct s3_store *s, const struct fsp_ctx *ctx, const char *key,
            const atomic_bool *stop, uint64_t *size, char etag[S3_ETAG_MAX])
{
	struct s3_request r = { .method = "HEAD", .key = key, .stop = stop };
	struct s3_response p;
	long status;
	int rc = s3_call(s, ctx, &r, &p, NULL);

	status = p.status;
	*size = p.length;
	memcpy(etag, p.etag, S3_ETAG_MAX);
	s3_response_free(&p);
	if (rc && (status / 100 == 3 || status / 100 == 4))
		return ask_why(s, ctx, key, stop, size, etag);
	if (!rc && *size == UINT64_MAX) {
		fsp_error("S3: HEAD %s%s: no size in the answer", s->prefix,
		          key);
		return -EIO;
	}
	return rc;
}

int s3_head(struct fsp_objstore *s, const struct fsp_ctx *ctx,
            const char *key, uint64_t *size)
{
	char etag[S3_ETAG_MAX];

	return s3_look(s3_of(s), ctx, key, NULL, size, etag);
}
