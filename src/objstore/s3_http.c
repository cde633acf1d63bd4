/*
 * One attempt: signs, sends, takes the response. It looks at deadline,
 * cancellation and progress between the library's steps, so it always ends.
 */
#include "s3.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <linux/sockios.h>

#include <curl/curl.h>

#include "fsp_cleanup.h"
#include "fsp_clock.h"

#define POLL_MS 100             /* how late a cancellation may be seen */
#define ALL_HEADERS (S3_HEADERS + 5)
#define ERROR_MAX (64 * 1024)   /* of an error's document */
/* Of a body at once: the library's memory for it is fresh each time. */
#define BODY_SMALL (64L * 1024)
#define BODY_LARGE (512L * 1024)

struct io {
	struct s3_store *s;
	const struct fsp_ctx *ctx;
	const struct s3_request *r;
	struct s3_response *p;
	CURL *easy;
	size_t sent;
	int rc;                         /* why a callback stopped it */
	bool begun;
	bool overlong;                  /* the rest of an error is not awaited */
	int64_t moved_ns;               /* when a byte last did */
	int unsent;                     /* in the kernel's buffer */
};

void s3_response_free(struct s3_response *p)
{
	fsp_buf_free(&p->body);
}

static void response_reset(struct s3_response *p)
{
	struct fsp_buf body = p->body;

	fsp_buf_reset(&body);
	*p = (struct s3_response){ .length = UINT64_MAX, .retry_after_s = -1,
		                   .body = body };
}

static void moved(struct io *io)
{
	io->moved_ns = fsp_mono_ns();
}

static size_t on_read(char *out, size_t size, size_t n, void *arg)
{
	struct io *io = arg;
	size_t left = io->r->body_len - io->sent, len = size * n;

	if (len > left)
		len = left;
	if (len)
		memcpy(out, (const char *)io->r->body + io->sent, len);
	io->sent += len;
	atomic_fetch_add(&io->s->up, len);
	moved(io);
	return len;
}

/* When a kept connection turns out to be dead, the library begins again. */
static int on_seek(void *arg, curl_off_t off, int whence)
{
	struct io *io = arg;

	if (whence != SEEK_SET || off < 0 || (size_t)off > io->r->body_len)
		return CURL_SEEKFUNC_FAIL;
	io->sent = (size_t)off;
	return CURL_SEEKFUNC_OK;
}

static int take_document(struct io *io, const char *data, size_t len)
{
	size_t most = io->p->status / 100 == 2 ? S3_DOC_MAX : ERROR_MAX;

	if (len > most - io->p->body.len) {
		io->overlong = true;
		return -EIO;
	}
	return fsp_buf_add(&io->p->body, data, len);
}

static int take_body(struct io *io, const char *data, size_t len)
{
	int rc = 0;

	if (io->p->status / 100 != 2 || !io->r->sink)
		return take_document(io, data, len);
	if (!io->begun && io->r->begin)
		rc = io->r->begin(io->r->arg, io->p);
	io->begun = true;
	if (!rc)
		rc = io->r->sink(io->r->arg, data, len);
	io->p->by_caller = rc != 0;
	io->p->got += len;
	return rc;
}

static size_t on_write(char *data, size_t size, size_t n, void *arg)
{
	struct io *io = arg;

	io->rc = take_body(io, data, size * n);
	atomic_fetch_add(&io->s->down, size * n);
	/* The sink's time is not the server's. */
	moved(io);
	return io->rc ? 0 : size * n;
}

static bool is(const char *line, const char *name, const char **value)
{
	size_t len = strlen(name);

	if (strncasecmp(line, name, len) != 0 || line[len] != ':')
		return false;
	for (*value = line + len + 1; **value == ' ' || **value == '\t';)
		(*value)++;
	return true;
}

static void copy(char *out, size_t size, const char *value)
{
	size_t len = strlen(value);

	if (len >= size)
		len = size - 1;
	memcpy(out, value, len);
	out[len] = '\0';
}

/* Weak or not, without its quotes; one that is too long is none. */
static void take_etag(char out[S3_ETAG_MAX], const char *value)
{
	size_t len;

	if (strncmp(value, "W/", 2) == 0)
		value += 2;
	if (*value == '"')
		value++;
	len = strcspn(value, "\"");
	if (len >= S3_ETAG_MAX)
		len = 0;
	memcpy(out, value, len);
	out[len] = '\0';
}

/* "bytes 5-9/10"; what is no such thing leaves 0 in the total. */
static void take_range(struct s3_response *p, const char *value)
{
	unsigned long long from, to, total;

	if (sscanf(value, "bytes %llu-%llu/%llu", &from, &to, &total) != 3)
		return;
	p->range_from = from;
	p->range_total = total;
}

static int64_t take_retry_after(const char *value, int64_t now)
{
	char *end;
	long long s = strtoll(value, &end, 10);
	time_t at;

	if (end != value && *end == '\0')
		return s < 0 ? 0 : s;
	at = curl_getdate(value, NULL);
	if (at == (time_t)-1)
		return -1;
	return at > now ? at - now : 0;
}

static void take_header(struct io *io, const char *line)
{
	struct s3_response *p = io->p;
	const char *v;

	if (is(line, "etag", &v)) {
		take_etag(p->etag, v);
	} else if (is(line, "content-length", &v)) {
		char *end;

		errno = 0;
		p->length = strtoull(v, &end, 10);
		if (errno || end == v || *end)
			p->length = UINT64_MAX;
	} else if (is(line, "transfer-encoding", &v)) {
		p->chunked = strcasecmp(v, "chunked") == 0;
	} else if (is(line, "content-range", &v)) {
		take_range(p, v);
	} else if (is(line, "date", &v)) {
		time_t t = curl_getdate(v, NULL);

		p->date_s = t == (time_t)-1 ? 0 : t;
	} else if (is(line, "retry-after", &v)) {
		p->retry_after_s = take_retry_after(v, s3_now_s(io->s));
	} else if (is(line, "x-amz-request-id", &v)) {
		copy(p->request_id, sizeof(p->request_id), v);
	} else if (is(line, "x-amz-bucket-region", &v)) {
		copy(p->region, sizeof(p->region), v);
	} else if (is(line, "location", &v)) {
		copy(p->location, sizeof(p->location), v);
	}
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
	struct io *io = arg;
	char line[2048];
	size_t len = size * n;

	moved(io);
	while (len && (data[len - 1] == '\r' || data[len - 1] == '\n'))
		len--;
	if (len >= sizeof(line))
		return size * n;        /* none that we know is so long */
	memcpy(line, data, len);
	line[len] = '\0';
	if (strncmp(line, "HTTP/", 5) == 0) {
		/* A later one takes the place of a 100. */
		response_reset(io->p);
		curl_easy_getinfo(io->easy, CURLINFO_RESPONSE_CODE,
		                  &io->p->status);
	} else {
		take_header(io, line);
	}
	return size * n;
}

/* What is still on its way out of the kernel's buffer moves, too. */
static bool buffer_moves(struct io *io)
{
	curl_socket_t fd = CURL_SOCKET_BAD;
	int unsent = 0;

	if (curl_easy_getinfo(io->easy, CURLINFO_ACTIVESOCKET, &fd) ||
	    fd == CURL_SOCKET_BAD || ioctl(fd, SIOCOUTQ, &unsent))
		return false;
	if (unsent == io->unsent)
		return false;
	io->unsent = unsent;
	return true;
}

static int may_go_on(struct io *io)
{
	int rc = s3_ctx_check(io->ctx, io->r->stop);

	if (rc)
		return rc;
	if (buffer_moves(io))
		moved(io);
	if (fsp_mono_ns() - io->moved_ns <= io->s->timeout_ns)
		return 0;
	io->p->stalled = true;
	return -ETIMEDOUT;
}

static int drive(struct io *io, CURLM *multi, CURLcode *result)
{
	const CURLMsg *msg;
	int running = 1, left, rc;

	while (running) {
		if (curl_multi_perform(multi, &running) != CURLM_OK)
			return -EIO;
		if (!running)
			break;
		rc = may_go_on(io);
		if (rc)
			return rc;
		if (curl_multi_poll(multi, NULL, 0, POLL_MS, NULL) != CURLM_OK)
			return -EIO;
	}
	msg = curl_multi_info_read(multi, &left);
	if (!msg || msg->msg != CURLMSG_DONE)
		return -EIO;
	*result = msg->data.result;
	return 0;
}

static int map_result(struct io *io, CURLcode result)
{
	switch (result) {
	case CURLE_OK:
		return 0;
	case CURLE_WRITE_ERROR:
	case CURLE_ABORTED_BY_CALLBACK:
		return io->rc ? io->rc : -EIO;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_CERTPROBLEM:
		io->p->no_trust = true;
		return -EHOSTDOWN;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
		return -EHOSTDOWN;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	default:
		return -EIO;
	}
}

/* A body that ends with the connection may have been cut anywhere. */
static int check_whole(struct io *io)
{
	struct s3_response *p = io->p;
	int rc = 0;

	if (p->status / 100 == 2 && io->r->sink) {
		if (p->length == UINT64_MAX && !p->chunked)
			return -EIO;
		if (!io->begun && io->r->begin)
			rc = io->r->begin(io->r->arg, p);
		p->by_caller = rc != 0;
	}
	return rc;
}

static int run(struct io *io, struct s3_conn *c)
{
	CURLM *multi = s3_conn_multi(c);
	CURLcode result = CURLE_OK;
	int rc;

	moved(io);
	if (curl_multi_add_handle(multi, io->easy) != CURLM_OK)
		return -EIO;
	rc = drive(io, multi, &result);
	/* Of one that is not done, this closes the connection. */
	(void)curl_multi_remove_handle(multi, io->easy);
	if (!rc)
		rc = map_result(io, result);
	if (io->overlong && io->p->status / 100 != 2) {
		/* What matters is the status. */
		fsp_buf_reset(&io->p->body);
		io->p->detail[0] = '\0';
		return 0;
	}
	if (result != CURLE_OK && io->p->detail[0] == '\0')
		copy(io->p->detail, sizeof(io->p->detail),
		     curl_easy_strerror(result));
	return rc ? rc : check_whole(io);
}

/* Appends "name: value", or what the library wants for an empty one. */
static int add_line(struct curl_slist **list, const char *name,
                    const char *value)
{
	FSP_FREE char *line = fsp_strf("%s:%s%s", name, *value ? " " : "", value);
	struct curl_slist *longer = line ? curl_slist_append(*list, line) : NULL;

	if (line)
		fsp_wipe(line, strlen(line));
	if (!longer)
		return -ENOMEM;
	*list = longer;
	return 0;
}

static void free_lines(struct curl_slist *list)
{
	for (struct curl_slist *l = list; l; l = l->next)
		fsp_wipe(l->data, strlen(l->data));
	curl_slist_free_all(list);
}

struct message {
	struct fsp_buf path, query, url, authorization;
	char date[S3_DATE_LEN + 1];
	struct s3_header headers[ALL_HEADERS];
	size_t n;
	struct curl_slist *lines;
};

static void message_free(struct message *m)
{
	fsp_buf_free(&m->path);
	fsp_buf_free(&m->query);
	fsp_buf_free(&m->url);
	fsp_buf_free(&m->authorization);
	free_lines(m->lines);
}

static int make_url(struct s3_store *s, const struct s3_request *r,
                    struct message *m)
{
	struct s3_param params[S3_PARAMS];
	int rc = fsp_buf_adds(&m->path, s->bucket_path);

	memcpy(params, r->params, sizeof(params));
	if (!rc && (r->key || !m->path.len))
		rc = fsp_buf_addc(&m->path, '/');
	if (!rc && r->key)
		rc = s3_encode(&m->path, s->prefix, true);
	if (!rc && r->key)
		rc = s3_encode(&m->path, r->key, true);
	if (!rc)
		rc = fsp_buf_reserve(&m->query, 1);
	if (!rc)
		rc = s3_canonical_query(&m->query, params, r->n_params);
	return rc ? rc : fsp_buf_printf(&m->url, "%s%s%s%s", s->url,
	                                m->path.data, m->query.len ? "?" : "",
	                                m->query.data);
}

static void set_headers(struct s3_store *s, const struct s3_request *r,
                        const struct s3_keys *keys, struct message *m)
{
	s3_amz_date(m->date, s3_now_s(s));
	m->headers[m->n++] = (struct s3_header){ "host", s->host };
	m->headers[m->n++] = (struct s3_header){ "x-amz-content-sha256",
		                                 r->payload };
	m->headers[m->n++] = (struct s3_header){ "x-amz-date", m->date };
	if (keys->token)
		m->headers[m->n++] = (struct s3_header){ "x-amz-security-token",
			                                 keys->token };
	/* POST without one would get the library's, which says "a form". */
	if (r->method[0] == 'P')
		m->headers[m->n++] = (struct s3_header){
			"content-type", r->method[1] == 'O' && r->body_len
				? "application/xml"
				: "application/octet-stream"
		};
	for (size_t i = 0; i < r->n_headers; i++)
		m->headers[m->n++] = r->headers[i];
	s3_sort_headers(m->headers, m->n);
}

static int make_message(struct s3_store *s, const struct s3_request *r,
                        const struct s3_keys *keys, struct message *m)
{
	struct s3_to_sign sign = { .method = r->method, .payload = r->payload };
	int rc = make_url(s, r, m);

	if (rc)
		return rc;
	set_headers(s, r, keys, m);
	sign.path = m->path.data;
	sign.query = m->query.data;
	sign.headers = m->headers;
	sign.n_headers = m->n;
	rc = s3_authorization(&sign, keys, s->region, m->date,
	                      &m->authorization);
	for (size_t i = 0; !rc && i < m->n; i++)
		rc = add_line(&m->lines, m->headers[i].name,
		              m->headers[i].value);
	if (!rc)
		rc = add_line(&m->lines, "authorization",
		              m->authorization.data);
	/* The library's own, which are not signed, stay away. */
	if (!rc)
		rc = add_line(&m->lines, "accept", "");
	if (!rc)
		rc = add_line(&m->lines, "expect", "");
	return rc;
}

static void set_body(struct io *io)
{
	const struct s3_request *r = io->r;
	CURL *e = io->easy;

	if (strcmp(r->method, "HEAD") == 0)
		curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
	if (strcmp(r->method, "PUT") == 0) {
		curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE,
		                 (curl_off_t)r->body_len);
	} else if (strcmp(r->method, "POST") == 0) {
		curl_easy_setopt(e, CURLOPT_POST, 1L);
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE,
		                 (curl_off_t)r->body_len);
	} else {
		curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->method);
	}
	curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(e, CURLOPT_READDATA, io);
	curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
	curl_easy_setopt(e, CURLOPT_SEEKDATA, io);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_write);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, io);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, io);
}

static void set_tls(struct io *io)
{
	CURL *e = io->easy;
	long verify = io->s->tls_verify;

	curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, verify);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, verify ? 2L : 0L);
	curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (io->s->ca_file)
		curl_easy_setopt(e, CURLOPT_CAINFO, io->s->ca_file);
}

/*
 * Setting an option fails only for want of memory or in a library without it:
 * the two that carry strings are checked, since the request depends on them.
 */
static int set_options(struct io *io, const struct message *m)
{
	CURL *e = io->easy;

	curl_easy_reset(e);
	if (curl_easy_setopt(e, CURLOPT_URL, m->url.data) ||
	    curl_easy_setopt(e, CURLOPT_HTTPHEADER, m->lines))
		return -ENOMEM;
	curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE,
	                 io->r->body_len < BODY_SMALL ? BODY_SMALL :
	                                                BODY_LARGE);
	curl_easy_setopt(e, CURLOPT_BUFFERSIZE, 256L * 1024);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS,
	                 (long)(io->s->connect_timeout_ns / 1000000));
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, io->p->detail);
	set_tls(io);
	set_body(io);
	return 0;
}

static void count(struct s3_store *s, const struct s3_request *r)
{
	switch (r->method[0]) {
	case 'P':
		/* To the bucket goes only what deletes many. */
		atomic_fetch_add(r->key ? &s->puts : &s->dels, 1);
		break;
	case 'G':
		atomic_fetch_add(r->key ? &s->gets : &s->lists, 1);
		break;
	case 'H':
		atomic_fetch_add(&s->heads, 1);
		break;
	default:
		atomic_fetch_add(&s->dels, 1);
	}
}

int s3_http(struct s3_store *s, const struct fsp_ctx *ctx,
            const struct s3_request *r, const struct s3_keys *keys,
            struct s3_response *p)
{
	struct io io = { .s = s, .ctx = ctx, .r = r, .p = p };
	struct message m = { 0 };
	struct s3_conn *c = NULL;
	int rc;

	response_reset(p);
	rc = make_message(s, r, keys, &m);
	if (!rc)
		rc = s3_conn_take(s, ctx, r->stop, &c);
	if (!rc) {
		io.easy = s3_conn_easy(c);
		rc = set_options(&io, &m);
		if (!rc) {
			count(s, r);
			rc = run(&io, c);
		}
		/* It still points to what ends here. */
		curl_easy_reset(io.easy);
		s3_conn_give(s, c);
	}
	message_free(&m);
	return rc;
}
