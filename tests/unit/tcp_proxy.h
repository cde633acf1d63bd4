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
	PROXY_STRIP_TLS         /* the server's greeting offers no TLS */
};

/* A text that ends with COMMIT, or any other one. */
enum proxy_packet { PROXY_ON_COMMIT, PROXY_ON_TEXT };

struct proxy_pair {
	int client, server;     /* -1: closed */
	bool cut_next;          /* the answer is the one to drop */
	bool greeted;
};

struct proxy {
	pthread_t thread;
	int listener, port, target, wake[2];
	const char *address;
	atomic_int fault, packet, skip;         /* so many before it */
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

static inline void proxy_move(struct proxy *x, struct proxy_pair *p, bool up)
{
	static _Thread_local unsigned char b[PROXY_CHUNK];
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
	if (!up)
		proxy_strip(x, p, b, n);
	p->greeted = true;
	if (send(to, b, (size_t)n, MSG_NOSIGNAL) != n)
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
