/*
 * Multipart uploads. A few workers send the parts of all writers; what a writer
 * no longer wants is removed by them, too.
 */
#include "s3.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_log.h"
#include "s3_xml.h"

#define ABORT_NS (30 * FSP_NS_PER_SEC)
#define MD5_BYTES 16

/* A part to be sent, or, without a writer, an upload to be removed. */
struct s3_job {
	struct s3_job *next;
	struct s3_writer *w;
	int number;
	struct fsp_buf data;
	char *upload;
	char key[FSP_OBJ_KEY_MAX + 1];
};

static void job_free(struct s3_job *j)
{
	fsp_buf_free(&j->data);
	free(j->upload);
	free(j);
}

bool s3_spare_take(struct s3_store *s, struct fsp_buf *out)
{
	FSP_GUARD(&s->lock);
	if (!s->n_spare)
		return false;
	*out = s->spare[--s->n_spare];
	return true;
}

/*
 * Fresh memory costs the kernel a fault for each page. While somebody writes a
 * large object, the next part gets what one had that was sent; the two together
 * are no more than there may be parts.
 */
static void spare_give(struct s3_store *s, struct fsp_buf *b)
{
	FSP_GUARD(&s->lock);
	if (!s->tokens || s->n_spare + s->parts > s->parallel_parts)
		return;
	fsp_buf_reset(b);
	s->spare[s->n_spare++] = *b;
	*b = (struct fsp_buf)FSP_BUF_INIT;
}

static int send_part(struct s3_store *s, struct s3_job *j,
                     char etag[S3_ETAG_MAX])
{
	struct s3_writer *w = j->w;
	struct s3_request r = { .method = "PUT", .key = w->key,
		                .body = j->data.data,
		                .body_len = j->data.len, .stop = &w->stop };
	struct s3_response p;
	char number[12];
	int rc;

	(void)snprintf(number, sizeof(number), "%d", j->number);
	s3_add_param(&r, "partNumber", number);
	s3_add_param(&r, "uploadId", w->upload);
	rc = s3_call(s, &w->ctx, &r, &p, NULL);
	if (!rc && !p.etag[0]) {
		fsp_error("S3: part %d of %s%s: accepted without an ETag",
		          j->number, s->prefix, w->key);
		rc = -EIO;
	}
	memcpy(etag, p.etag, S3_ETAG_MAX);
	s3_response_free(&p);
	return rc == -ENOENT ? -EIO : rc;
}

static void run_part(struct s3_store *s, struct s3_job *j)
{
	char etag[S3_ETAG_MAX] = "";
	int rc = atomic_load(&j->w->stop) ? -EINTR : send_part(s, j, etag);

	spare_give(s, &j->data);
	fsp_buf_free(&j->data);         /* before another may take its place */
	fsp_lock(&s->lock);
	if (rc && !j->w->error)
		j->w->error = rc;
	memcpy(j->w->etags[j->number - 1], etag, S3_ETAG_MAX);
	j->w->in_flight--;
	s->parts--;
	fsp_cond_broadcast(&s->changed);
	fsp_unlock(&s->lock);
}

/* The caller has gone: with a deadline of its own. */
static void run_abort(struct s3_store *s, const struct s3_job *j)
{
	struct fsp_ctx ctx = fsp_ctx_background();
	struct s3_request r = { .method = "DELETE", .key = j->key,
		                .quiet = true };
	struct s3_response p;
	int rc;

	ctx.deadline_ns = fsp_mono_ns() + ABORT_NS;
	s3_add_param(&r, "uploadId", j->upload);
	rc = s3_call(s, &ctx, &r, &p, NULL);
	s3_response_free(&p);
	if (rc && rc != -ENOENT && p.status != 404)
		fsp_warn("S3: upload %s of %s%s could not be removed; its parts "
		         "stay until the bucket's rules remove them",
		         j->upload, s->prefix, j->key);
}

static struct s3_job *next_job(struct s3_store *s)
{
	struct s3_job *j;

	FSP_GUARD(&s->lock);
	while (!s->jobs && !s->closing)
		(void)fsp_cond_wait(&s->changed, &s->lock, 0);
	j = s->jobs;
	if (!j)
		return NULL;
	s->jobs = j->next;
	if (!s->jobs)
		s->jobs_end = &s->jobs;
	return j;
}

static void *worker(void *arg)
{
	struct s3_store *s = arg;
	struct s3_job *j;

	while ((j = next_job(s))) {
		if (j->w)
			run_part(s, j);
		else
			run_abort(s, j);
		job_free(j);
	}
	return NULL;
}

static void queue_locked(struct s3_store *s, struct s3_job *j)
{
	fsp_assert_held(&s->lock);
	*s->jobs_end = j;
	s->jobs_end = &j->next;
	fsp_cond_broadcast(&s->changed);
}

/* With the first upload, thus after a daemon has forked. */
static int start_workers_locked(struct s3_store *s)
{
	fsp_assert_held(&s->lock);
	while (s->n_workers < s->parallel_parts) {
		if (pthread_create(&s->workers[s->n_workers], NULL, worker, s))
			break;
		s->n_workers++;
	}
	return s->n_workers ? 0 : -ENOMEM;
}

void s3_workers_stop(struct s3_store *s)
{
	fsp_lock(&s->lock);
	s->closing = true;
	fsp_cond_broadcast(&s->changed);
	fsp_unlock(&s->lock);
	for (int i = 0; i < s->n_workers; i++)
		(void)pthread_join(s->workers[i], NULL);
}

struct found {
	const char *path;
	char *text;
};

static int find_each(void *arg, const char *path, const char *text)
{
	struct found *f = arg;

	if (strcmp(path, f->path) != 0 || f->text)
		return 0;
	f->text = strdup(text);
	return f->text ? 0 : -ENOMEM;
}

/* The text of one element; -EIO where it is not there. */
static int find_text(const struct s3_response *p, const char *path, char **out)
{
	struct found f = { .path = path };
	int rc = s3_xml_parse(p->body.data ? p->body.data : "", p->body.len,
	                      find_each, &f);

	if (!rc && (!f.text || !*f.text))
		rc = -EIO;
	if (rc)
		free(f.text);
	else
		*out = f.text;
	return rc;
}

int s3_multi_begin(struct s3_store *s, struct s3_writer *w)
{
	struct s3_request r = { .method = "POST", .key = w->key };
	struct s3_response p;
	int rc;

	fsp_lock(&s->lock);
	rc = start_workers_locked(s);
	fsp_unlock(&s->lock);
	if (rc)
		return rc;
	s3_add_param(&r, "uploads", "");
	s3_add_storage(s, &r);
	rc = s3_call(s, &w->ctx, &r, &p, NULL);
	if (!rc) {
		rc = find_text(&p, "InitiateMultipartUploadResult/UploadId",
		               &w->upload);
		if (rc == -EIO)
			fsp_error("S3: beginning an upload of %s%s: the answer "
			          "makes no sense", s->prefix, w->key);
	}
	s3_response_free(&p);
	return rc == -ENOENT ? -EIO : rc;
}

/* Room for one more part's ETag. */
static int grow_locked(struct s3_store *s, struct s3_writer *w)
{
	size_t room = w->room ? 2 * w->room : 16;
	char (*etags)[S3_ETAG_MAX];

	fsp_assert_held(&s->lock);
	if (w->n_parts < w->room)
		return 0;
	if (w->n_parts >= S3_PARTS_MAX) {
		fsp_error("S3: PUT %s%s: more than %d parts; raise s3.part_size",
		          s->prefix, w->key, S3_PARTS_MAX);
		return -EFBIG;
	}
	etags = realloc(w->etags, room * sizeof(*etags));
	if (!etags)
		return -ENOMEM;
	w->etags = etags;
	w->room = room;
	return 0;
}

int s3_multi_send(struct s3_store *s, struct s3_writer *w, struct fsp_buf *part)
{
	struct fsp_buf extra = FSP_BUF_INIT;
	struct s3_job *j = calloc(1, sizeof(*j));
	int rc;

	if (!j)
		return -ENOMEM;
	fsp_lock(&s->lock);
	rc = w->error ? w->error : grow_locked(s, w);
	while (!rc && s->parts >= s->parallel_parts) {
		rc = s3_wait_locked(s, &w->ctx, NULL);
		if (!rc)
			rc = w->error;
	}
	if (!rc) {
		j->w = w;
		j->number = (int)++w->n_parts;
		j->data = *part;
		*part = (struct fsp_buf)FSP_BUF_INIT;
		w->in_flight++;
		s->parts++;
		if (s->n_spare)
			*part = s->spare[--s->n_spare];
		if (s->n_spare + s->parts > s->parallel_parts)
			extra = s->spare[--s->n_spare];
		queue_locked(s, j);
	}
	fsp_unlock(&s->lock);
	fsp_buf_free(&extra);
	if (rc)
		free(j);
	return rc;
}

/* All parts are back; the first error of any. */
static int await_parts(struct s3_store *s, struct s3_writer *w)
{
	FSP_GUARD(&s->lock);
	/* They end by themselves, or because of w->stop. */
	while (w->in_flight)
		(void)fsp_cond_wait(&s->changed, &s->lock, 0);
	return w->error;
}

/* The MD5 of the parts' MD5s; "" where their ETags are something else. */
static int expected_etag(const struct s3_writer *w, char out[S3_ETAG_MAX])
{
	FSP_BUF struct fsp_buf sums = FSP_BUF_INIT;
	char base64[S3_MD5_BASE64 + 1], hex[33];
	unsigned char sum[MD5_BYTES];
	int rc;

	out[0] = '\0';
	for (size_t i = 0; i < w->n_parts; i++) {
		if (strlen(w->etags[i]) != sizeof(hex) - 1 ||
		    fsp_unhex(sum, MD5_BYTES, w->etags[i]))
			return 0;
		rc = fsp_buf_add(&sums, sum, MD5_BYTES);
		if (rc)
			return rc;
	}
	rc = s3_md5(sums.data, sums.len, base64, hex);
	if (!rc)
		(void)snprintf(out, S3_ETAG_MAX, "%s-%zu", hex, w->n_parts);
	return rc;
}

static int part_list(const struct s3_writer *w, struct fsp_buf *out)
{
	int rc = fsp_buf_adds(out, "<CompleteMultipartUpload xmlns=\"http://"
	                           "s3.amazonaws.com/doc/2006-03-01/\">");

	for (size_t i = 0; !rc && i < w->n_parts; i++) {
		rc = fsp_buf_printf(out, "<Part><PartNumber>%zu</PartNumber>"
		                         "<ETag>&quot;", i + 1);
		if (!rc)
			rc = s3_xml_text(out, w->etags[i]);
		if (!rc)
			rc = fsp_buf_adds(out, "&quot;</ETag></Part>");
	}
	return rc ? rc : fsp_buf_adds(out, "</CompleteMultipartUpload>");
}

/*
 * Of a repeated one the server may say that the upload is gone: the first has
 * reached it, and only its answer was lost.
 */
static int complete(struct s3_store *s, struct s3_writer *w,
                    const struct fsp_buf *list, char **etag, bool *maybe)
{
	struct s3_request r = { .method = "POST", .key = w->key,
		                .body = list->data, .body_len = list->len };
	struct s3_response p;
	struct s3_failure f;
	int rc;

	s3_add_param(&r, "uploadId", w->upload);
	rc = s3_call(s, &w->ctx, &r, &p, &f);
	*maybe = rc == -EIO && strcmp(f.said.code, "NoSuchUpload") == 0;
	if (!rc && find_text(&p, "CompleteMultipartUploadResult/ETag", etag))
		*etag = NULL;           /* the HEAD will tell */
	s3_response_free(&p);
	return rc;
}

static bool same_etag(const char *quoted, const char *etag)
{
	size_t len = strlen(etag);

	if (*quoted == '"')
		quoted++;
	return len && strncmp(quoted, etag, len) == 0 &&
	       (quoted[len] == '\0' || quoted[len] == '"');
}

static int finish(struct s3_store *s, struct s3_writer *w)
{
	FSP_BUF struct fsp_buf list = FSP_BUF_INIT;
	FSP_FREE char *etag = NULL;
	char want[S3_ETAG_MAX];
	bool maybe = false;
	int rc = part_list(w, &list);

	if (!rc)
		rc = expected_etag(w, want);
	if (!rc)
		rc = complete(s, w, &list, &etag, &maybe);
	if (rc && !maybe)
		return rc;
	if (!rc || maybe) {
		/* Nothing is left to be removed. */
		free(w->upload);
		w->upload = NULL;
	}
	if (!rc && etag && same_etag(etag, want))
		return 0;
	return s3_verify(s, w, maybe && want[0] ? want : NULL);
}

int s3_multi_complete(struct s3_store *s, struct s3_writer *w)
{
	int rc = 0;

	if (w->buf.len)
		rc = s3_multi_send(s, w, &w->buf);
	if (rc)
		return rc;
	rc = await_parts(s, w);
	return rc ? rc : finish(s, w);
}

void s3_multi_abort(struct s3_store *s, struct s3_writer *w)
{
	struct s3_job *j = calloc(1, sizeof(*j));

	atomic_store(&w->stop, true);
	(void)await_parts(s, w);        /* its errors no longer matter */
	if (!j) {
		fsp_warn("S3: upload %s of %s%s is not removed: no memory",
		         w->upload, s->prefix, w->key);
		free(w->upload);
		w->upload = NULL;
		return;
	}
	j->upload = w->upload;
	w->upload = NULL;
	memcpy(j->key, w->key, sizeof(j->key));
	fsp_lock(&s->lock);
	queue_locked(s, j);
	fsp_unlock(&s->lock);
}
