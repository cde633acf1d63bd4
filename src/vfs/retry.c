/* Opens that met a name which another host has changed meanwhile. */
#include "vfs_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"

#define SLOTS 256
/* The kernel tries at once, as far as the machine lets it: what is older was
 * given up. */
#define LIFETIME_NS (5 * FSP_NS_PER_SEC)
/* And opens at once what it has found; later it is another call's. */
#define FOUND_NS (2 * FSP_NS_PER_SEC)

struct slot {
	pid_t tid;                      /* 0: free */
	int64_t until_ns;
	uint64_t stale;                 /* the inode that was not it; 0: a name */
	uint64_t missed;                /* the name that was not there, or 0 */
	bool makes;                     /* not there twice: it is made, or not */
	bool looked;
	int64_t looked_ns;
	uint64_t ino;                   /* what the look-up found */
	struct fsp_content content;
};

struct retry {
	struct fsp_mutex lock;
	atomic_uint used;               /* slots: mostly none */
	struct slot slot[SLOTS];
};

int retry_init(struct fsp_vfs *v)
{
	v->retries = calloc(1, sizeof(*v->retries));
	if (!v->retries)
		return -ENOMEM;
	fsp_mutex_init(&v->retries->lock);
	return 0;
}

void retry_end(struct fsp_vfs *v)
{
	if (v->retries)
		fsp_mutex_destroy(&v->retries->lock);
	free(v->retries);
}

static void free_slot(struct retry *r, struct slot *s)
{
	s->tid = 0;
	atomic_fetch_sub(&r->used, 1);
}

/* The thread's slot; those that were given up are freed on the way. */
static struct slot *find_locked(struct retry *r, pid_t tid)
{
	int64_t now = fsp_mono_ns();
	struct slot *found = NULL;

	fsp_assert_held(&r->lock);
	for (int i = 0; i < SLOTS; i++) {
		struct slot *s = &r->slot[i];

		if (s->tid && now > s->until_ns)
			free_slot(r, s);
		if (s->tid == tid)
			found = s;
	}
	return found;
}

void retry_begin(struct fsp_vfs *v, const struct fsp_ctx *ctx, uint64_t ino)
{
	struct retry *r = v->retries;
	struct slot *s;

	if (!ctx->tid)
		return;
	FSP_GUARD(&r->lock);
	s = find_locked(r, ctx->tid);
	if (!s) {
		s = find_locked(r, 0);
		if (!s)
			return;         /* it may fail, as with NFS */
		atomic_fetch_add(&r->used, 1);
	}
	*s = (struct slot){ .tid = ctx->tid, .stale = ino,
	                    .until_ns = fsp_mono_ns() + LIFETIME_NS };
}

/* Never 0. */
static uint64_t place(const struct inode *dir, const char *name)
{
	return fsp_hash64(name, strlen(name), dir->ino) | 1;
}

bool retry_waits(struct fsp_vfs *v, const struct fsp_ctx *ctx)
{
	struct retry *r = v->retries;

	if (!ctx->tid || !atomic_load(&r->used))
		return false;
	FSP_GUARD(&r->lock);
	return find_locked(r, ctx->tid) != NULL;
}

bool retry_makes(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                 const struct inode *dir, const char *name)
{
	struct retry *r = v->retries;
	struct slot *s;

	if (!ctx->tid || !atomic_load(&r->used))
		return false;
	FSP_GUARD(&r->lock);
	s = find_locked(r, ctx->tid);
	if (s && s->makes && s->missed != place(dir, name)) {
		free_slot(r, s);
		return false;
	}
	/* It is looked for once more, to be opened. */
	if (s)
		s->makes = false;
	return s != NULL;
}

/*
 * Where the name that the kernel knew is not there, it looks up once more, as
 * for a new name: it may wait for a rename in that directory in between. Then
 * the open fails, or makes a file, which may have come meanwhile.
 */
static void miss_locked(struct retry *r, struct slot *s, uint64_t at)
{
	fsp_assert_held(&r->lock);
	if (s->missed) {
		s->makes = true;
		return;
	}
	s->missed = at;
	s->stale = 0;
	s->looked = false;
}

void retry_found(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                 const struct inode *dir, const char *name,
                 const struct fsp_entry *e)
{
	struct retry *r = v->retries;
	uint64_t at;
	struct slot *s;

	if (!ctx->tid || !atomic_load(&r->used))
		return;
	at = place(dir, name);
	FSP_GUARD(&r->lock);
	s = find_locked(r, ctx->tid);
	if (s && (s->makes || (s->missed && s->missed != at))) {
		free_slot(r, s);        /* that open has ended */
		return;
	}
	if (s && !e)
		miss_locked(r, s, at);
	if (!s || !e)
		return;
	s->missed = 0;
	s->looked = true;
	s->looked_ns = fsp_mono_ns();
	s->ino = e->attr.ino;
	s->content = e->content;
}

enum retry_state retry_take(struct fsp_vfs *v, const struct fsp_ctx *ctx,
                            uint64_t ino, struct fsp_content *content)
{
	struct retry *r = v->retries;
	struct slot *s;
	enum retry_state state = RETRY_NO;

	if (!ctx->tid || !atomic_load(&r->used))
		return RETRY_NO;
	FSP_GUARD(&r->lock);
	s = find_locked(r, ctx->tid);
	if (!s)
		return RETRY_NO;
	if (!s->looked && s->stale == ino)
		state = RETRY_SAME;
	else if (s->looked && s->ino == ino &&
	         fsp_mono_ns() - s->looked_ns < FOUND_NS)
		state = RETRY_FOUND;
	*content = s->content;
	free_slot(r, s);
	return state;
}
