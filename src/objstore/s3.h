/*
 * What the files of the S3 backend share. DESIGN.md has the states and the
 * invariants.
 */
#ifndef FSP_S3_PRIVATE_H
#define FSP_S3_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fsp_buf.h"
#include "fsp_ctx.h"
#include "fsp_lock.h"
#include "fsp_objstore.h"
#include "fsp_s3.h"
#include "objstore.h"
#include "s3_cred.h"
#include "s3_sign.h"

#define S3_PARAMS 8
#define S3_HEADERS 8            /* a request's own */
#define S3_PARTS_MAX 10000
#define S3_ETAG_MAX 128
#define S3_DOC_MAX (8 * 1024 * 1024)
#define S3_NO_END UINT64_MAX

struct s3_conn;
struct s3_job;
struct s3_store;

/* The limiter of the log: failures that were written not long ago. */
#define S3_LOGGED 16
struct s3_logged {
	uint64_t what;                  /* hash of the failure; 0 = free */
	int64_t since_ns;
	uint64_t more;                  /* not written since then */
};

struct s3_store {
	struct fsp_objstore base;

	/* Immutable. */
	char *url;                      /* "https://host:port" */
	char *host;                     /* as in the header */
	char *bucket_path;              /* "" or "/bucket" */
	char *bucket, *prefix, *region, *ca_file;
	char *storage_class, *sse, *sse_kms_key;        /* may be NULL */
	bool tls_verify, read_only;
	size_t part_size, threshold;
	int parallel_parts, connections, retries;
	int64_t timeout_ns, connect_timeout_ns;
	struct s3_cred *cred;
	/* Waits; a test sets another. 0, -EINTR or -ETIMEDOUT. */
	int (*pause)(const struct fsp_ctx *ctx, int64_t ns);

	atomic_int_fast64_t skew_s;     /* the server's clock minus ours */
	atomic_uint_fast64_t puts, gets, heads, dels, lists, retried, up, down;

	struct fsp_mutex lock;
	struct fsp_cond changed;        /* for everything below */
	struct s3_conn *idle;           /* the last used first */
	int in_use;
	struct s3_job *jobs, **jobs_end;
	int parts;                      /* queued or on their way */
	int tokens;                     /* given to writers with much memory */
	struct fsp_buf *spare;          /* memory that parts had: n_spare, and
	                                   room for parallel_parts */
	int n_spare;
	pthread_t *workers;
	int n_workers;
	bool closing;

	struct fsp_mutex log_lock;
	struct s3_logged logged[S3_LOGGED];
};

struct s3_response {
	long status;                    /* 0: none came */
	uint64_t length;                /* of the body; UINT64_MAX: not said */
	bool chunked;
	uint64_t range_from, range_total;       /* of a 206 */
	int64_t date_s;                 /* the server's; 0 = not said */
	int64_t retry_after_s;          /* -1 = not said */
	char etag[S3_ETAG_MAX];         /* without quotes */
	char request_id[128], region[64], location[256];
	struct fsp_buf body;            /* a document, unless there is a sink */
	uint64_t got;                   /* bytes given to the sink */
	char detail[256];               /* the library's words on a failure */
	bool no_trust;                  /* TLS refused the server */
	bool stalled;                   /* no byte moved */
	bool by_caller;                 /* the sink did not want more */
};

struct s3_request {
	const char *method;
	const char *key;                /* without prefix; NULL: the bucket */
	struct s3_param params[S3_PARAMS];
	size_t n_params;
	struct s3_header headers[S3_HEADERS];
	size_t n_headers;
	const void *body;
	size_t body_len;
	const atomic_bool *stop;        /* ends it with -EINTR; may be NULL */
	bool quiet;                     /* failures are not logged */
	/* Before each attempt but the first; may be NULL. */
	int (*again)(void *arg, struct s3_request *r);
	/* Before the first byte of a 2xx body; may be NULL. */
	int (*begin)(void *arg, const struct s3_response *p);
	fsp_obj_sink sink;              /* of a 2xx body; NULL: p->body */
	void *arg;                      /* of these three */
	/* s3_call's. */
	char payload[S3_SHA256_HEX + 1];
};

/* What the server said in words. */
struct s3_error {
	char code[64], message[256], region[64], request_id[128];
};

/* A failure, for errno and log. */
struct s3_failure {
	int rc;
	bool retry, skewed, expired;
	bool silent;                    /* not the server's, or logged before */
	bool settings;                  /* somebody must mend them */
	struct s3_error said;
};

static inline struct s3_store *s3_of(struct fsp_objstore *s)
{
	return (struct s3_store *)s;
}

/* s3_conn.c: -EINTR, -ETIMEDOUT when none gets free, -ENOMEM. */
int s3_conn_take(struct s3_store *s, const struct fsp_ctx *ctx,
                 const atomic_bool *stop, struct s3_conn **out);
void s3_conn_give(struct s3_store *s, struct s3_conn *c);
void s3_conn_close_all(struct s3_store *s);
void *s3_conn_easy(struct s3_conn *c);
void *s3_conn_multi(struct s3_conn *c);

/*
 * s3_http.c: one attempt. 0 when a whole response came, whatever its status;
 * p is reset before, its body freed by s3_response_free(). Other results:
 * s3_call.c knows which of them are worth another attempt.
 */
int s3_http(struct s3_store *s, const struct fsp_ctx *ctx,
            const struct s3_request *r, const struct s3_keys *keys,
            struct s3_response *p);
void s3_response_free(struct s3_response *p);

/* s3_error.c */
void s3_judge(const struct s3_response *p, int rc, struct s3_failure *out);
/* The words of an <Error> document; 0 when it is one. */
int s3_error_parse(const struct fsp_buf *doc, struct s3_error *out);
/* "PUT key at host: 403 ..."; the caller frees it. */
char *s3_failure_text(struct s3_store *s, const struct s3_request *r,
                      const struct s3_response *p, const struct s3_failure *f,
                      int attempt);
/* Written once a minute at the most, by what `same` is equal in. */
void s3_log_failure(struct s3_store *s, const char *same, const char *text);

/*
 * s3_call.c: one call with all its attempts. p is always to be freed. *f may
 * be NULL; it is filled where the call failed.
 */
int s3_call(struct s3_store *s, const struct fsp_ctx *ctx,
            struct s3_request *r, struct s3_response *p,
            struct s3_failure *f);
int64_t s3_now_s(const struct s3_store *s);
/* 0, -EINTR or -ETIMEDOUT */
int s3_ctx_check(const struct fsp_ctx *ctx, const atomic_bool *stop);
/* Waits for `changed` a short while; the lock is held. As above. */
int s3_wait_locked(struct s3_store *s, const struct fsp_ctx *ctx,
                   const atomic_bool *stop);
void s3_add_header(struct s3_request *r, const char *name, const char *value);
void s3_add_param(struct s3_request *r, const char *name, const char *value);

/* s3_get.c */
int s3_get(struct fsp_objstore *s, const struct fsp_ctx *ctx, const char *key,
           fsp_obj_sink sink, void *arg);
int s3_get_range(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                 const char *key, uint64_t off, uint64_t len,
                 fsp_obj_sink sink, void *arg);
int s3_head(struct fsp_objstore *s, const struct fsp_ctx *ctx,
            const char *key, uint64_t *size);
/* The ETag, too. */
int s3_look(struct s3_store *s, const struct fsp_ctx *ctx, const char *key,
            const atomic_bool *stop, uint64_t *size, char etag[S3_ETAG_MAX]);

/* s3_list.c */
int s3_list(struct fsp_objstore *s, const struct fsp_ctx *ctx,
            const char *prefix, fsp_obj_each each, void *arg);

/* s3_del.c */
int s3_del(struct fsp_objstore *s, const struct fsp_ctx *ctx, const char *key);
int s3_del_many(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                const char *const *keys, size_t n);

/* s3_put.c */
struct s3_writer {
	struct fsp_objwriter base;
	struct fsp_ctx ctx;
	char key[FSP_OBJ_KEY_MAX + 1];
	struct fsp_buf buf;             /* not yet on its way */
	bool token;
	uint64_t total;
	char *upload;                   /* once it is in parts */
	atomic_bool stop;
	/* Under the store's lock. */
	int in_flight, error;
	char (*etags)[S3_ETAG_MAX];
	size_t n_parts, room;
};

int s3_put_begin(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                 const char *key, struct fsp_objwriter **out);
int s3_put_write(struct fsp_objwriter *w, const void *buf, size_t len);
int s3_put_commit(struct fsp_objwriter *w);
void s3_put_abort(struct fsp_objwriter *w);
/* Content-MD5's value, and the same as an ETag's. */
#define S3_MD5_BASE64 24
int s3_md5(const void *data, size_t len, char base64[S3_MD5_BASE64 + 1],
           char hex[33]);
/* Is what lies under the key what was stored? 0, or -EIO. */
int s3_verify(struct s3_store *s, struct s3_writer *w, const char *etag);
/* Storage class and encryption, where an object is begun. */
void s3_add_storage(struct s3_store *s, struct s3_request *r);

/* s3_multi.c */
int s3_multi_begin(struct s3_store *s, struct s3_writer *w);
/* Takes the bytes of *part, which is empty afterwards, but may have room. */
int s3_multi_send(struct s3_store *s, struct s3_writer *w,
                  struct fsp_buf *part);
int s3_multi_complete(struct s3_store *s, struct s3_writer *w);
/* Awaits the parts and has the upload removed; w->upload is NULL then. */
void s3_multi_abort(struct s3_store *s, struct s3_writer *w);
void s3_workers_stop(struct s3_store *s);
/* Memory that a part had, where there is such: the caller's then. */
bool s3_spare_take(struct s3_store *s, struct fsp_buf *out);

#endif
