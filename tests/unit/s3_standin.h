/*
 * A server on loopback that answers what it is told: a list of steps, each for
 * the first request that has its words in it. It notes all requests.
 */
#ifndef S3_STANDIN_H
#define S3_STANDIN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_lock.h"

/* A step says what it needs and leaves the rest at 0. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

enum standin_end {
	KEEP,                   /* the connection, for the next request */
	CLOSE,
	RESET,                  /* once the client has consumed the body */
	STALL,                  /* nothing more, until the client has gone */
	ENDLESS                 /* the body again and again, likewise */
};

struct standin_step {
	const char *match;      /* in the head of the request; NULL: any */
	const char *status;     /* "200 OK"; NULL: no answer at all */
	const char *headers;    /* each with \r\n; NULL: none */
	const char *body;       /* NULL: empty */
	long length;            /* the announced one, or one of those below */
	enum standin_end end;
	void (*hook)(void);     /* before it answers */
};
#define SAID 0
#define UNSAID (-1)
#define CHUNKED (-2)

#define STANDIN_STEPS 24
#define STANDIN_CONNECTIONS 64

static struct standin {
	int fd, port;
	pthread_t thread, clients[STANDIN_CONNECTIONS];
	int fds[STANDIN_CONNECTIONS];
	struct fsp_mutex lock;
	struct standin_step steps[STANDIN_STEPS];
	bool used[STANDIN_STEPS];
	int n_steps, n_requests, n_connections, n_unexpected;
	int n_before;           /* connections when the script began */
	struct fsp_cond changed;
	size_t consumed;        /* bytes, since the script began */
	struct fsp_buf heads[STANDIN_STEPS * 4];        /* of the requests */
	struct fsp_buf bodies[STANDIN_STEPS * 4];
} standin;

static void standin_send(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;         /* the client has gone, as it may */
		data += n;
		len -= (size_t)n;
	}
}

/* *body is out->body, for the caller to free. */
static bool standin_find(const char *head, struct standin_step *out,
                         char **body)
{
	FSP_GUARD(&standin.lock);
	for (int i = 0; i < standin.n_steps; i++) {
		struct standin_step *s = &standin.steps[i];

		if (standin.used[i] || (s->match && !strstr(head, s->match)))
			continue;
		standin.used[i] = true;
		*out = *s;
		/* The client may be gone, and the test on, before it is sent. */
		out->body = *body = s->body ? strdup(s->body) : NULL;
		return true;
	}
	standin.n_unexpected++;
	return false;
}

static void standin_note(const struct fsp_buf *head, const char *body, size_t len)
{
	FSP_GUARD(&standin.lock);
	if (standin.n_requests < STANDIN_STEPS * 4) {
		/* Out of memory shows as a request that nobody noted. */
		(void)fsp_buf_add(&standin.heads[standin.n_requests],
		                  head->data, head->len);
		(void)fsp_buf_add(&standin.bodies[standin.n_requests], body,
		                  len);
	}
	standin.n_requests++;
}

static void standin_wait_gone(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLRDHUP };
	char byte;

	while (poll(&p, 1, -1) >= 0 && !(p.revents & (POLLRDHUP | POLLHUP |
	                                              POLLERR)))
		if (recv(fd, &byte, 1, 0) <= 0)
			return;
}

static void standin_body(int fd, const struct standin_step *s)
{
	const char *body = s->body ? s->body : "";
	char head[32];
	size_t len = strlen(body);
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	do {
		if (s->length == CHUNKED) {
			(void)snprintf(head, sizeof(head), "%zx\r\n", len);
			standin_send(fd, head, strlen(head));
		}
		standin_send(fd, body, len);
		if (s->length == CHUNKED)
			standin_send(fd, "\r\n", 2);
		if (s->end == ENDLESS && poll(&p, 1, 0) > 0)
			return;
	} while (s->end == ENDLESS);
	if (s->length == CHUNKED && s->end == KEEP)
		standin_send(fd, "0\r\n\r\n", 5);
}

/* The test's sink tells, since a reset overtakes what is not read yet. */
static void standin_consumed(size_t len)
{
	FSP_GUARD(&standin.lock);
	standin.consumed += len;
	fsp_cond_broadcast(&standin.changed);
}

static void standin_reset(int fd, const char *body)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };

	fsp_lock(&standin.lock);
	while (body && standin.consumed < strlen(body))
		(void)fsp_cond_wait(&standin.changed, &standin.lock, 0);
	fsp_unlock(&standin.lock);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

/* true: the connection goes on. */
static bool standin_answer(int fd, const struct fsp_buf *request, bool head)
{
	struct standin_step s = { 0 };
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	FSP_FREE char *body = NULL;
	size_t len;

	if (!standin_find(request->data, &s, &body))
		s = (struct standin_step){ .status = "418 Unexpected" };
	if (s.hook)
		s.hook();
	len = s.length > 0 ? (size_t)s.length : strlen(s.body ? s.body : "");
	if (s.status) {
		(void)fsp_buf_printf(&b, "HTTP/1.1 %s\r\n%s", s.status,
		                     s.headers ? s.headers : "");
		if (s.length >= 0)
			(void)fsp_buf_printf(&b, "Content-Length: %zu\r\n", len);
		else if (s.length == CHUNKED)
			(void)fsp_buf_adds(&b, "Transfer-Encoding: chunked\r\n");
		(void)fsp_buf_adds(&b, "\r\n");
		standin_send(fd, b.data, b.len);
		if (!head)
			standin_body(fd, &s);
	}
	if (s.end == STALL)
		standin_wait_gone(fd);
	if (s.end == RESET)
		standin_reset(fd, s.body);
	return s.status && s.end == KEEP;
}

static bool standin_request(int fd)
{
	FSP_BUF struct fsp_buf head = FSP_BUF_INIT, body = FSP_BUF_INIT;
	const char *at;
	size_t want = 0;
	char c;

	while (!head.len || !strstr(head.data, "\r\n\r\n"))
		if (recv(fd, &c, 1, 0) != 1 || fsp_buf_addc(&head, c))
			return false;
	at = strcasestr(head.data, "\r\ncontent-length:");
	if (at)
		want = strtoul(at + 17, NULL, 10);
	if (fsp_buf_reserve(&body, want))
		return false;
	if (want && recv(fd, body.data, want, MSG_WAITALL) != (ssize_t)want)
		return false;
	standin_note(&head, want ? body.data : "", want);
	return standin_answer(fd, &head, strncmp(head.data, "HEAD", 4) == 0);
}

static void *standin_client(void *arg)
{
	int *fd = arg;

	while (standin_request(*fd))
		;
	close(*fd);
	return NULL;
}

static void *standin_run(void *arg)
{
	(void)arg;
	for (;;) {
		int fd = accept4(standin.fd, NULL, NULL, SOCK_CLOEXEC), i;

		if (fd < 0)
			return NULL;
		fsp_lock(&standin.lock);
		i = standin.n_connections++;
		fsp_unlock(&standin.lock);
		if (i >= STANDIN_CONNECTIONS)
			abort();
		standin.fds[i] = fd;
		if (pthread_create(&standin.clients[i], NULL, standin_client,
		                   &standin.fds[i]))
			abort();
	}
}

static void standin_start(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);

	memset(&standin, 0, sizeof(standin));
	fsp_mutex_init(&standin.lock);
	fsp_cond_init(&standin.changed);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	standin.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(standin.fd >= 0);
	assert_int_equal(bind(standin.fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(standin.fd, 32), 0);
	assert_int_equal(getsockname(standin.fd, (struct sockaddr *)&a, &len),
	                 0);
	standin.port = ntohs(a.sin_port);
	assert_int_equal(pthread_create(&standin.thread, NULL, standin_run,
	                                NULL), 0);
}

/* The clients must have been closed before. */
static void standin_stop(void)
{
	shutdown(standin.fd, SHUT_RDWR);
	assert_int_equal(pthread_join(standin.thread, NULL), 0);
	close(standin.fd);
	for (int i = 0; i < standin.n_connections; i++)
		assert_int_equal(pthread_join(standin.clients[i], NULL), 0);
	for (int i = 0; i < STANDIN_STEPS * 4; i++) {
		fsp_buf_free(&standin.heads[i]);
		fsp_buf_free(&standin.bodies[i]);
	}
	fsp_cond_destroy(&standin.changed);
	fsp_mutex_destroy(&standin.lock);
}

/* The list from here on; the counts begin anew. */
static void standin_script(const struct standin_step *steps, size_t n)
{
	FSP_GUARD(&standin.lock);
	assert_true(n <= STANDIN_STEPS);
	if (n)
		memcpy(standin.steps, steps, n * sizeof(*steps));
	memset(standin.used, 0, sizeof(standin.used));
	standin.n_steps = (int)n;
	for (int i = 0; i < STANDIN_STEPS * 4; i++) {
		fsp_buf_reset(&standin.heads[i]);
		fsp_buf_reset(&standin.bodies[i]);
	}
	standin.n_requests = standin.n_unexpected = 0;
	standin.n_before = standin.n_connections;
	standin.consumed = 0;
}
#define SCRIPT(...)                                                            \
	do {                                                                   \
		const struct standin_step steps_[] = { __VA_ARGS__ };          \
		standin_script(steps_, sizeof(steps_) / sizeof(*steps_));      \
	} while (0)

/* All steps were taken, and nothing else was asked. */
#define assert_script_done()                                                   \
	do {                                                                   \
		FSP_GUARD(&standin.lock);                                      \
		assert_int_equal(standin.n_unexpected, 0);                     \
		assert_int_equal(standin.n_requests, standin.n_steps);         \
	} while (0)

/* The value of a header of the nth request, "" where it has none. */
static const char *standin_header(int n, const char *name)
{
	static char value[512];
	const char *at, *end;

	FSP_GUARD(&standin.lock);
	*value = '\0';
	at = strstr(standin.heads[n].data, name);
	if (!at)
		return value;
	at += strlen(name) + 2;
	end = strstr(at, "\r\n");
	assert_true((size_t)(end - at) < sizeof(value));
	memcpy(value, at, (size_t)(end - at));
	value[end - at] = '\0';
	return value;
}

#endif
