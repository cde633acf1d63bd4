/* Requests being served, and their callers that are killed. See DESIGN.md. */
#include "fuse_private.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_log.h"

#define LOOK_MIN_NS (FSP_NS_PER_SEC / 10)
#define LOOK_MAX_NS FSP_NS_PER_SEC

/* Of include/linux/sched.h; /proc/PID/stat shows them. */
#define TASK_EXITING 0x4UL
#define TASK_SIGNALED 0x400UL

#define SIGNAL(n) (1ULL << ((n) - 1))
/* What ends nobody unless somebody catches it. */
#define HARMLESS (SIGNAL(SIGCHLD) | SIGNAL(SIGCONT) | SIGNAL(SIGURG) |         \
                  SIGNAL(SIGWINCH) | SIGNAL(SIGSTOP) | SIGNAL(SIGTSTP) |       \
                  SIGNAL(SIGTTIN) | SIGNAL(SIGTTOU))

static bool read_proc(pid_t tid, const char *what, char *buf, size_t size)
{
	FSP_CLOSE int fd = -1;
	char path[48];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)tid, what);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, buf, size - 1);
	buf[n > 0 ? n : 0] = '\0';
	return n > 0;
}

static uint64_t signals(const char *status, const char *field)
{
	const char *at = strstr(status, field);

	return at ? strtoull(at + strlen(field), NULL, 16) : 0;
}

/* What cannot be seen (another's /proc, another space of ids) is alive. */
static bool is_killed(pid_t tid)
{
	unsigned long flags;
	char buf[4096];
	const char *at;
	uint64_t spared;

	if (tid <= 0 || !read_proc(tid, "stat", buf, sizeof(buf)))
		return false;
	/* Its name may hold anything; what follows the last ) does not. */
	at = strrchr(buf, ')');
	if (!at || sscanf(at, ") %*c %*d %*d %*d %*d %*d %lu", &flags) != 1)
		return false;
	if (flags & TASK_EXITING)
		return flags & TASK_SIGNALED;
	if (!read_proc(tid, "status", buf, sizeof(buf)))
		return false;
	spared = HARMLESS | signals(buf, "\nSigBlk:") |
		signals(buf, "\nSigIgn:") | signals(buf, "\nSigCgt:");
	return (signals(buf, "\nSigPnd:") | signals(buf, "\nShdPnd:")) & ~spared;
}

/* The next one to be looked at, with its caller; 0: none. */
static uint64_t due_locked(struct fuse_calls *c, int64_t now, pid_t *tid)
{
	for (struct fuse_call *p = c->first; p; p = p->next) {
		int64_t pause;

		if (p->answered || p->killed || p->look_ns > now)
			continue;
		pause = (now - p->began_ns) / 4;
		p->look_ns = now + (pause < LOOK_MIN_NS ? LOOK_MIN_NS :
		                    pause > LOOK_MAX_NS ? LOOK_MAX_NS : pause);
		*tid = p->ctx.tid;
		return p->id;
	}
	return 0;
}

/* Gives up, or is answered: then the request is returned. */
static fuse_req_t kill_locked(struct fuse_calls *c, uint64_t id)
{
	for (struct fuse_call *p = c->first; p; p = p->next) {
		if (p->id != id)
			continue;
		atomic_store(&p->killed, true);
		if (p->on_killed)
			p->on_killed(p->arg);
		if (!p->goes_on || p->answered)
			return NULL;
		p->answered = true;
		return p->req;
	}
	return NULL;
}

static void look_round(struct fuse_calls *c)
{
	int64_t now = fsp_mono_ns();
	fuse_req_t req;
	uint64_t id;
	pid_t tid;

	fsp_assert_held(&c->lock);
	while ((id = due_locked(c, now, &tid))) {
		bool killed;

		fsp_unlock(&c->lock);
		killed = is_killed(tid);
		fsp_lock(&c->lock);
		req = killed ? kill_locked(c, id) : NULL;
		if (!req)
			continue;
		fsp_unlock(&c->lock);
		fuse_reply_err(req, EINTR);
		fsp_lock(&c->lock);
	}
}

static void *look(void *arg)
{
	struct fuse_calls *c = arg;

	FSP_GUARD(&c->lock);
	while (!c->worker.stop) {
		c->asleep = !c->first;
		fsp_worker_wait(&c->worker, c->asleep ? 0 :
		                fsp_mono_ns() + LOOK_MIN_NS);
		c->asleep = false;
		look_round(c);
	}
	return NULL;
}

static void signalled_locked(struct fuse_call *call)
{
	call->look_ns = 0;
	if (call->any_signal)
		call->on_killed(call->arg);
}

/* The kernel tells of a signal. The call may have ended just now. */
static void on_signal(fuse_req_t req, void *data)
{
	struct fuse_calls *c = &fuse_of(req)->calls;

	FSP_GUARD(&c->lock);
	for (struct fuse_call *p = c->first; p; p = p->next)
		if (p->id == (uintptr_t)data)
			signalled_locked(p);
	fsp_worker_wake(&c->worker);
}

int fuse_calls_begin(struct fuse_calls *c)
{
	int err;

	fsp_mutex_init(&c->lock);
	fsp_worker_init(&c->worker, &c->lock);
	fsp_lock(&c->lock);
	err = fsp_worker_start(&c->worker, look, c);
	fsp_unlock(&c->lock);
	if (err)
		fuse_calls_end(c);
	return err;
}

void fuse_calls_end(struct fuse_calls *c)
{
	fsp_worker_end(&c->worker);
	fsp_mutex_destroy(&c->lock);
}

static void list_locked(struct fuse_calls *c, struct fuse_call *call)
{
	fsp_assert_held(&c->lock);
	call->next = c->first;
	call->link = &c->first;
	if (call->next)
		call->next->link = &call->next;
	c->first = call;
	if (c->asleep) {
		c->asleep = false;
		fsp_worker_wake(&c->worker);
	}
}

/* Once it is in the list it may be answered, and then req is gone. */
static void enter(struct fuse_call *call, fuse_req_t req)
{
	struct fuse_calls *c = &fuse_of(req)->calls;

	call->calls = c;
	call->req = req;
	call->id = atomic_fetch_add(&c->ids, 1) + 1;
	call->began_ns = fsp_mono_ns();
	call->look_ns = call->began_ns + LOOK_MIN_NS;
	fuse_req_interrupt_func(req, on_signal, (void *)(uintptr_t)call->id);
	FSP_GUARD(&c->lock);
	list_locked(c, call);
	if (fuse_req_interrupted(req))
		signalled_locked(call);
}

struct fsp_ctx *fuse_call_begin(struct fuse_call *call, fuse_req_t req)
{
	call->ctx = fuse_ctx(req);
	call->ctx.cancelled = &call->killed;
	enter(call, req);
	return &call->ctx;
}

struct fsp_ctx *fuse_call_begin_on(struct fuse_call *call, fuse_req_t req,
                                   struct fsp_handle *h)
{
	call->ctx = fuse_ctx(req);
	call->goes_on = true;
	call->handle = h;
	if (h)
		fsp_vfs_hold(h);
	enter(call, req);
	return &call->ctx;
}

bool fuse_call_claim(struct fuse_call *call)
{
	FSP_GUARD(&call->calls->lock);
	if (call->answered)
		return false;
	call->answered = true;
	return true;
}

void fuse_call_err(struct fuse_call *call, int err)
{
	if (fuse_call_claim(call))
		fuse_reply_err(call->req, -err);
}

void fuse_call_end(struct fuse_call *call)
{
	fsp_lock(&call->calls->lock);
	*call->link = call->next;
	if (call->next)
		call->next->link = call->link;
	fsp_unlock(&call->calls->lock);
	if (call->handle)
		fsp_vfs_release(call->handle, &call->ctx);
}
