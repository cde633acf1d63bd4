/*
 * What the kernel has to forget, told to it by a thread of its own: the kernel
 * locks the directory for it, and whoever holds that lock may be waiting for
 * one of our answers.
 */
#include "vfs_private.h"

#include <stdlib.h>
#include <string.h>

#include "fsp_clock.h"

#define AGAIN_NS FSP_NS_PER_SEC

struct forgotten {
	struct forgotten *next;
	enum forget what;
	int64_t due_ns;                 /* in v->again: then once more */
	bool again;
	uint64_t ino;
	char name[];
};

void feed_init(struct fsp_vfs *v)
{
	fsp_mutex_init(&v->feed_lock);
	fsp_worker_init(&v->feed_worker, &v->feed_lock);
	v->last_forgotten = &v->forgotten;
	v->last_again = &v->again;
}

void forget_now(struct fsp_vfs *v, enum forget what, uint64_t ino,
                const char *name)
{
	const struct fsp_vfs_options *o = &v->options;

	switch (what) {
	case FORGET_NAME:
		if (o->renamed)
			o->renamed(o->arg, ino, name);
		break;
	case FORGET_AGE:
		if (o->aged)
			o->aged(o->arg, ino, name);
		break;
	case FORGET_LISTING:
		if (o->listing)
			o->listing(o->arg, ino);
	}
}

static void append(struct forgotten ***last, struct forgotten *f)
{
	f->next = NULL;
	**last = f;
	*last = &f->next;
}

/* The first, out of its list, and told: without the lock. */
static struct forgotten *tell_first(struct fsp_vfs *v, struct forgotten **first,
                                    struct forgotten ***last)
{
	struct forgotten *f = *first;

	fsp_assert_held(&v->feed_lock);
	*first = f->next;
	if (!*first)
		*last = first;
	fsp_unlock(&v->feed_lock);
	if (!v->feed_worker.stop)
		forget_now(v, f->what, f->ino, f->name);
	fsp_lock(&v->feed_lock);
	return f;
}

static void drop_again(struct fsp_vfs *v)
{
	while (v->again &&
	       (v->feed_worker.stop || v->again->due_ns <= fsp_mono_ns()))
		free(tell_first(v, &v->again, &v->last_again));
}

static void drop_all(struct fsp_vfs *v)
{
	while (v->forgotten) {
		struct forgotten *f = tell_first(v, &v->forgotten,
		                                 &v->last_forgotten);

		if (f->again && !v->feed_worker.stop) {
			f->due_ns = fsp_mono_ns() + AGAIN_NS;
			append(&v->last_again, f);
		} else {
			free(f);
		}
		v->forget_done++;
		fsp_worker_wake(&v->feed_worker);
	}
}

static void *feed_thread(void *arg)
{
	struct fsp_vfs *v = arg;

	FSP_GUARD(&v->feed_lock);
	while (!v->feed_worker.stop) {
		drop_all(v);
		drop_again(v);
		if (!v->feed_worker.stop && !v->forgotten)
			fsp_worker_wait(&v->feed_worker,
			                v->again ? v->again->due_ns : 0);
	}
	drop_all(v);
	drop_again(v);
	return NULL;
}

static uint64_t queue(struct fsp_vfs *v, enum forget what, uint64_t ino,
                      const char *name, bool again)
{
	size_t len = strlen(name) + 1;
	struct forgotten *f = malloc(sizeof(*f) + len);

	if (!f)
		return 0;               /* the kernel's time-out does it */
	f->what = what;
	f->again = again;
	f->ino = ino;
	memcpy(f->name, name, len);
	FSP_GUARD(&v->feed_lock);
	if (fsp_worker_start(&v->feed_worker, feed_thread, v)) {
		free(f);
		return 0;
	}
	append(&v->last_forgotten, f);
	fsp_worker_wake(&v->feed_worker);
	return ++v->forget_asked;
}

uint64_t later_forget(struct fsp_vfs *v, enum forget what, uint64_t ino,
                      const char *name)
{
	return queue(v, what, ino, name, false);
}

void forget_twice(struct fsp_vfs *v, enum forget what, uint64_t ino,
                  const char *name)
{
	(void)queue(v, what, ino, name, true);
}

uint64_t forget_ticket(struct fsp_vfs *v)
{
	FSP_GUARD(&v->feed_lock);
	return v->forget_asked;
}

bool forget_wait(struct fsp_vfs *v, uint64_t ticket, int64_t until_ns)
{
	FSP_GUARD(&v->feed_lock);
	while (v->forget_done < ticket && !v->feed_worker.stop &&
	       fsp_worker_wait(&v->feed_worker, until_ns) == 0)
		;
	return v->forget_done >= ticket;
}
