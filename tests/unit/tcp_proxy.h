/*
 * A proxy on the loopback between a client of MariaDB and its server, which
 * breaks connections at a chosen point and says so.
 */
#ifndef FSP_TEST_TCP_PROXY_H
#define FSP_TEST_TCP_PROXY_H

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#define PROXY_PAIRS 64
#define PROXY_CHUNK 65536

enum proxy_fault {
	PROXY_PASS,
	PROXY_CUT_BEFORE,       /* the packet does not arrive, both sides end */
	PROXY_CUT_AFTER,        /* it does, and its answer does not */
	PROXY_HALF_OPEN,        /* it does not, and the server does not notice */
	PROXY_CUT_ROWS,         /* behind `after` bytes from servers both sides
	                           end, in the middle of whatever comes then */
	PROXY_HOLD_ROWS,        /* nothing goes through from there on */
	PROXY_ERROR_ROWS,       /* and the rest of the rows is this error */
	PROXY_STRIP_TLS         /* the server's greeting offers no TLS */
};

/* A text that ends with COMMIT, or any other one. */
enum proxy_packet { PROXY_ON_COMMIT, PROXY_ON_TEXT };

struct proxy_pair {
	int client, server;     /* -1: closed */
	bool cut_next;          /* the answer is the one to drop */
	bool greeted;
	/* The packet that the server is sending. */
	unsigned char head[4], first;
	size_t have, left;
	bool swallow;           /* up to the end of the rows */
};

struct proxy {
	pthread_t thread;
	int listener, port, target, wake[2];
	const char *address;
	atomic_int fault, packet, skip;         /* so many before it */
	atomic_int after, error;
	atomic_int fired, accepted, sent;       /* sent: bytes of clients */
	atomic_bool down;       /* ends and refuses all connections */
	atomic_bool down_when_fired;
	atomic_bool hold;       /* nothing goes through: a frozen server */
	atomic_bool stop;
	struct proxy_pair pair[PROXY_PAIRS];
};

static inline void proxy_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static inline void proxy_end(struct proxy_pair *p)
{
	proxy_close(&p->client);
	proxy_close(&p->server);
}

static inline void proxy_accept(struct proxy *x)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	int fd = accept(x->listener, NULL, NULL), to;

	if (fd < 0)
		return;
	atomic_fetch_add(&x->accepted, 1);
	to = atomic_load(&x->down) ? -1 : socket(AF_INET, SOCK_STREAM, 0);
	a.sin_port = htons((uint16_t)x->target);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (to >= 0 && connect(to, (struct sockaddr *)&a, sizeof(a)))
		proxy_close(&to);
	for (int i = 0; to >= 0 && i < PROXY_PAIRS; i++) {
		struct proxy_pair *p = &x->pair[i];

		if (p->client >= 0 || p->server >= 0)
			continue;
		*p = (struct proxy_pair){ .client = fd, .server = to };
		return;
	}
	proxy_close(&fd);
	proxy_close(&to);
}

static inline bool proxy_matches(struct proxy *x, const unsigned char *b,
                                 ssize_t n)
{
	bool text = n >= 11 && b[4] == 3;
	/* alone, or behind what waited for it */
	bool commit = text && memcmp(b + n - 6, "COMMIT", 6) == 0;
	bool hit = atomic_load(&x->packet) == PROXY_ON_COMMIT ? commit :
		text && !commit;

	return hit && atomic_fetch_sub(&x->skip, 1) <= 0;
}

/* From the client; false: not to be passed on. */
static inline bool proxy_look(struct proxy *x, struct proxy_pair *p,
                              const unsigned char *b, ssize_t n)
{
	int fault = atomic_load(&x->fault);

	atomic_fetch_add(&x->sent, (int)n);
	if (fault < PROXY_CUT_BEFORE || fault > PROXY_HALF_OPEN ||
	    !proxy_matches(x, b, n))
		return true;
	atomic_store(&x->fault, PROXY_PASS);
	if (atomic_load(&x->down_when_fired))
		atomic_store(&x->down, true);
	if (fault == PROXY_CUT_AFTER) {
		p->cut_next = true;
		return true;
	}
	if (fault == PROXY_HALF_OPEN)
		proxy_close(&p->client);
	else
		proxy_end(p);
	atomic_fetch_add(&x->fired, 1);
	return false;
}

/* The capabilities stand behind the version, the thread and the challenge. */
static inline void proxy_strip(struct proxy *x, struct proxy_pair *p,
                               unsigned char *b, ssize_t n)
{
	size_t at = 5 + strnlen((char *)b + 5, (size_t)n - 5) + 1 + 4 + 8 + 1;

	if (p->greeted || atomic_load(&x->fault) != PROXY_STRIP_TLS)
		return;
	b[at + 1] &= (unsigned char)~8;
	atomic_fetch_add(&x->fired, 1);
}

/* In the place of the packet that begins with this head. */
static inline size_t proxy_error(struct proxy *x, const unsigned char *head,
                                 unsigned char *out)
{
	int error = atomic_load(&x->error);
	unsigned char b[] = { 9, 0, 0, head[3], 0xff, (unsigned char)error,
	                      (unsigned char)(error >> 8), '#', 'H', 'Y', '0',
	                      '0', '0' };

	memcpy(out, b, sizeof(b));
	return sizeof(b);
}

/* What becomes of a byte from the server; how many there are instead. */
static inline size_t proxy_byte(struct proxy *x, struct proxy_pair *p,
                                unsigned char c, unsigned char *out)
{
	int after = atomic_load(&x->fault) == PROXY_ERROR_ROWS ?
		atomic_fetch_sub(&x->after, 1) : 1;

	if (p->have < 4) {
		size_t n = 0;

		p->head[p->have++] = c;
		if (p->have < 4)
			return 0;
		p->left = p->head[0] + ((size_t)p->head[1] << 8) +
			((size_t)p->head[2] << 16);
		p->first = 0;
		if (after <= 0) {
			atomic_store(&x->fault, PROXY_PASS);
			atomic_fetch_add(&x->fired, 1);
			p->swallow = true;
			n = proxy_error(x, p->head, out);
		} else if (!p->swallow) {
			memcpy(out, p->head, 4);
			n = 4;
		}
		if (!p->left)
			p->have = 0;
		return n;
	}
	out[0] = c;
	if (p->have == 4) {
		p->first = c;
		p->have = 5;
	}
	if (--p->left)
		return !p->swallow;
	p->have = 0;
	/* The packet that ends the rows. */
	if (p->swallow && p->first == 0xfe && p->head[0] < 9 && !p->head[1]) {
		p->swallow = false;
		return 0;
	}
	return !p->swallow;
}

/* From the server, on its way to the client; -1: no more of it. */
static inline ssize_t proxy_rows(struct proxy *x, struct proxy_pair *p,
                                 const unsigned char *b, ssize_t n,
                                 unsigned char *out)
{
	int fault = atomic_load(&x->fault);
	size_t len = 0;

	if ((fault == PROXY_CUT_ROWS || fault == PROXY_HOLD_ROWS) &&
	    atomic_fetch_sub(&x->after, (int)n) <= n) {
		atomic_store(&x->fault, PROXY_PASS);
		atomic_fetch_add(&x->fired, 1);
		if (fault == PROXY_HOLD_ROWS)
			atomic_store(&x->hold, true);
		else
			return -1;
	}
	for (ssize_t i = 0; i < n; i++)
		len += proxy_byte(x, p, b[i], out + len);
	return (ssize_t)len;
}

static inline void proxy_move(struct proxy *x, struct proxy_pair *p, bool up)
{
	static _Thread_local unsigned char b[PROXY_CHUNK];
	static _Thread_local unsigned char rows[PROXY_CHUNK + 64];
	unsigned char *out = b;
	int from = up ? p->client : p->server, to = up ? p->server : p->client;
	ssize_t n = recv(from, b, sizeof(b), 0);

	if (n <= 0) {
		proxy_end(p);
		return;
	}
	if (up && !proxy_look(x, p, b, n))
		return;
	if (!up && p->cut_next) {
		proxy_end(p);
		atomic_fetch_add(&x->fired, 1);
		return;
	}
	if (!up) {
		proxy_strip(x, p, b, n);
		n = proxy_rows(x, p, b, n, out = rows);
	}
	p->greeted = true;
	if (n < 0 || send(to, out, (size_t)n, MSG_NOSIGNAL) != n)
		proxy_end(p);
}

static inline void proxy_round(struct proxy *x)
{
	struct pollfd f[2 + 2 * PROXY_PAIRS];
	bool hold = atomic_load(&x->hold);

	f[0] = (struct pollfd){ x->wake[0], POLLIN, 0 };
	f[1] = (struct pollfd){ hold ? -1 : x->listener, POLLIN, 0 };
	for (int i = 0; i < PROXY_PAIRS; i++) {
		bool half = x->pair[i].client < 0;

		f[2 + 2 * i] = (struct pollfd){
			hold ? -1 : x->pair[i].client, POLLIN, 0 };
		f[3 + 2 * i] = (struct pollfd){
			hold || half ? -1 : x->pair[i].server, POLLIN, 0 };
	}
	if (poll(f, 2 + 2 * PROXY_PAIRS, -1) < 0)
		return;
	if (f[0].revents) {
		char c;

		(void)!read(x->wake[0], &c, 1);
	}
	for (int i = 0; i < PROXY_PAIRS; i++) {
		struct proxy_pair *p = &x->pair[i];

		if (atomic_load(&x->down))
			proxy_end(p);
		if (p->client >= 0 && f[2 + 2 * i].revents)
			proxy_move(x, p, true);
		if (p->client >= 0 && p->server >= 0 && f[3 + 2 * i].revents)
			proxy_move(x, p, false);
	}
	if (f[1].revents)
		proxy_accept(x);
}

static inline void *proxy_main(void *arg)
{
	struct proxy *x = arg;

	while (!atomic_load(&x->stop))
		proxy_round(x);
	return NULL;
}

/* After a change of what it is to do. */
static inline void proxy_wake(struct proxy *x)
{
	assert_int_equal(write(x->wake[1], "", 1), 1);
}

static inline void proxy_start(struct proxy *x, const char *address, int target)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);

	memset(x, 0, sizeof(*x));
	x->target = target;
	x->address = address;
	for (int i = 0; i < PROXY_PAIRS; i++)
		x->pair[i].client = x->pair[i].server = -1;
	x->listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(inet_pton(AF_INET, address, &a.sin_addr), 1);
	assert_int_equal(bind(x->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(x->listener, 64), 0);
	assert_int_equal(getsockname(x->listener, (struct sockaddr *)&a, &len),
	                 0);
	x->port = ntohs(a.sin_port);
	assert_int_equal(pipe(x->wake), 0);
	assert_int_equal(pthread_create(&x->thread, NULL, proxy_main, x), 0);
}

static inline void proxy_stop(struct proxy *x)
{
	atomic_store(&x->stop, true);
	proxy_wake(x);
	pthread_join(x->thread, NULL);
	for (int i = 0; i < PROXY_PAIRS; i++)
		proxy_end(&x->pair[i]);
	close(x->listener);
	close(x->wake[0]);
	close(x->wake[1]);
}

#endif
