/*
 * The queue of commits that wait, in memory: an item for each inode, with its
 * snapshots. Who closes a file adds one, back.c stores the oldest. DESIGN.md has
 * the states.
 */
#include "back.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_clock.h"
#include "fsp_log.h"

#define EMPTY_NS (100 * 1000 * 1000LL)  /* emptied: it may be written soon */
/* While one close() comes after another, they have processors and servers to
 * themselves, but for no longer than that. */
#define LULL_NS (20 * 1000 * 1000LL)
#define LULL_MOST_NS (2 * FSP_NS_PER_SEC)

/* When it may be begun: now, or later while more is being closed. */
static int64_t due_locked(const struct back *b, const struct item *it)
{
	int64_t lull = b->closed_ns + LULL_NS, most = it->since_ns + LULL_MOST_NS;

	/* Somebody waits for room, or for the end. */
	if (!b->on || b->bytes > b->pending_max / 2)
		return it->next_ns;
	if (lull > most)
		lull = most;
	return it->next_ns > lull ? it->next_ns : lull;
}

struct item *item_next_locked(struct back *b, int64_t *wake_ns)
{
	int64_t now = fsp_mono_ns(), due;

	fsp_assert_held(&b->lock);
	*wake_ns = b->down_ns > now ? b->down_ns : 0;
	if (*wake_ns)
		return NULL;
	for (struct item *it = b->first; it; it = it->next) {
		if (it->flying || it->held)
			continue;
		due = due_locked(b, it);
		if (due <= now)
			return it;
		if (!*wake_ns || due < *wake_ns)
			*wake_ns = due;
		/* Those that came later wait for that, too. */
		if (due > it->next_ns)
			break;
	}
	return NULL;
}

void item_unlink_locked(struct back *b, struct item *it)
{
	*(it->prev ? &it->prev->next : &b->first) = it->next;
	*(it->next ? &it->next->prev : &b->last) = it->prev;
}

static void link_locked(struct back *b, struct item *it)
{
	it->prev = b->last;
	it->next = NULL;
	*(b->last ? &b->last->next : &b->first) = it;
	b->last = it;
}

static void count_locked(struct back *b, const struct snap *s, bool more)
{
	b->files += more ? 1 : (uint64_t)-1;
	b->bytes += more ? s->bytes : -s->bytes;
	if (!b->files)
		b->error = 0;
}

bool item_pop_locked(struct back *b, struct item *it, struct snap **out)
{
	struct snap *s = it->head;

	fsp_assert_held(&b->lock);
	it->head = s->next;
	if (!it->head)
		it->last = NULL;
	count_locked(b, s, false);
	it->tries = 0;
	it->next_ns = 0;
	*out = s;
	if (it->head || it->held)
		return false;
	it->file->item = NULL;
	item_unlink_locked(b, it);
	return true;
}

void item_end(struct fsp_vfs *v, struct item *it)
{
	file_put(v, it->inode, it->file);
	inode_unref(v, it->inode);
	free(it);
}

/*
 * A shell's redirection empties a file and closes a descriptor before it writes:
 * what comes next may replace that.
 */
static int64_t start_ns(const struct snap *s)
{
	return s->file->size ? 0 : fsp_mono_ns() + EMPTY_NS;
}

/* The item of a visible file, made where it is missing. */
static struct item *item_locked(struct back *b, struct inode *i, struct file *f)
{
	struct item *it = f->item;

	fsp_assert_held(&b->lock);
	if (it)
		return it;
	it = calloc(1, sizeof(*it));
	if (!it)
		return NULL;
	it->inode = i;
	it->file = f;
	it->since_ns = fsp_mono_ns();
	f->item = it;
	link_locked(b, it);
	return it;
}

/* With the item, or whoever stores it would not take it for what is visible. */
static void queued_locked(struct file *f, const struct snap *s)
{
	fsp_assert_held(&f->lock);
	if (!s->visible)
		return;
	/* Busy: nobody has written since. */
	f->queued = true;
	f->queued_writes = f->writes;
	merge_reset_locked(f);
	if (f->spool)
		fsp_spool_begin_fresh(f->spool);
}

int back_add(struct fsp_vfs *v, struct inode *i, struct file *f, struct snap *s)
{
	struct back *b = v->back;
	bool known;
	struct item *it;
	int err;

	fsp_lock(&f->lock);
	fsp_lock(&b->lock);
	known = f->item != NULL;
	it = item_locked(b, i, f);
	if (it) {
		*(it->last ? &it->last->next : &it->head) = s;
		it->last = s;
		if (it->head == s)
			it->next_ns = start_ns(s);
		count_locked(b, s, true);
		b->closed_ns = fsp_mono_ns();
		queued_locked(f, s);
		item_check_locked(b, it);
		item_check_sealed_locked(b, f, it);
		err = back_more_workers_locked(v);
		if (err)
			fsp_warn("nothing is stored until it is unmounted: %s",
			         strerror(-err));
		fsp_cond_signal(&b->wake);
	}
	fsp_unlock(&b->lock);
	fsp_unlock(&f->lock);
	if (it && !known)
		return 0;
	file_put(v, i, f);
	inode_unref(v, i);
	return it ? 0 : -ENOMEM;
}

struct snap *back_hold(struct fsp_vfs *v, struct file *f, struct item **held,
                       struct snap *s)
{
	struct back *b = v->back;
	struct snap *last;

	FSP_GUARD(&b->lock);
	*held = f->item;
	if (!f->item)
		return NULL;
	f->item->held++;
	last = f->item->last;
	if (last && (last->tried || !last->visible)) {
		s->behind = last->key;
		s->behind_id = last->id;
		return NULL;
	}
	if (last) {
		s->behind = last->behind;
		s->behind_id = last->behind_id;
		s->merged = last->merged;
	}
	return last;
}

/* The new one is in the journal, or (err) it is not: the item goes on. */
void back_unhold(struct fsp_vfs *v, struct item *it, struct snap *old,
                 struct snap *s, int err)
{
	struct back *b = v->back;
	struct snap **p = &it->head;
	struct file *f = it->file;
	bool ended;

	fsp_lock(&f->lock);
	fsp_lock(&b->lock);
	it->held--;
	if (!err && old) {
		while (*p != old)
			p = &(*p)->next;
		*p = s;
		it->last = s;
		if (it->head == s)
			it->next_ns = start_ns(s);
		count_locked(b, old, false);
		count_locked(b, s, true);
		b->closed_ns = fsp_mono_ns();
		queued_locked(f, s);
		item_check_locked(b, it);
		item_check_sealed_locked(b, f, it);
	}
	/* What was flying may have been the last. */
	ended = !it->head && !it->held && err;
	if (ended) {
		it->file->item = NULL;
		item_unlink_locked(b, it);
	}
	fsp_cond_broadcast(&b->wake);
	fsp_cond_broadcast(&b->changed);
	fsp_unlock(&b->lock);
	fsp_unlock(&f->lock);
	if (!err)
		snap_free(old);
	if (ended)
		item_end(v, it);
}
