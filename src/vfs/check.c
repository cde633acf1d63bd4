/*
 * The tables of DESIGN.md, looked at while the program runs: debug builds end
 * where an open file or the queue is not as they say.
 */
#include "back.h"

#ifdef FSP_DEBUG
#include <stdlib.h>

#include "fsp_log.h"

static void must(bool holds, const char *what)
{
	if (holds)
		return;
	fsp_error("invariant: %s", what);
	abort();
}

static void check_digest(const struct file *f)
{
	must(!f->digest == !f->sum, "sum and digest are there together");
	if (!f->sum)
		return;
	must(f->hashed <= fsp_sum_size(f->sum), "no more is hashed than summed");
	must(fsp_sum_size(f->sum) <= f->size, "no more is summed than is there");
	must(f->dirty || f->busy || f->hashed == f->size,
	     "the digest of a clean file is of all of it");
}

static void check_clean(struct file *f)
{
	must(f->size == f->base.size, "a clean file has its base's size");
	must(f->base_valid == f->base.size, "a clean file is its base");
	must(!file_has_extents_locked(f), "a clean file has no extents");
	must(!f->queued, "a clean file has nothing that waits");
}

void file_check_locked(struct fsp_vfs *v, struct file *f)
{
	uint64_t start, end;

	fsp_assert_held(&f->lock);
	must(f->base_valid <= f->base.size, "the base has what is valid of it");
	must(f->base_valid <= f->size, "what is valid is in the file");
	must(!f->spool || !fsp_spool_extent(f->spool, f->size, &start, &end),
	     "extents end with the file");
	must(f->dirty || !f->busy, "what is committed is dirty");
	check_digest(f);
	if (!f->dirty)
		check_clean(f);
	if (!f->queued)
		return;
	must(f->queued_writes <= f->writes, "a snapshot is of what was written");
	FSP_GUARD(&v->back->lock);
	must(f->item && f->item->last, "what is queued has a snapshot");
}

/* Of the file's own: the oldest may be under way, and is whoever's stores it. */
static void check_snap(struct back *b, const struct item *it,
                       const struct snap *s)
{
	bool first = s == it->head;

	must(s->key != 0, "a snapshot has a record");
	must(first || !s->tried || s->old_key, "only the first is tried");
	must(s->next || s == it->last, "the last one is the last");
	must(s->id != 0 && (!s->next || s->next->id > s->id),
	     "snapshots are in the order of their closes");
	must(s->file != it->file && s->file->snap == s,
	     "a snapshot is a file of its own");
	if (first && it->flying)
		return;                 /* its record may be anew, or ended */
	must(fsp_journal_has(b->journal, s->key), "its record is live");
}

void item_check_locked(struct back *b, const struct item *it)
{
	fsp_assert_held(&b->lock);
	must(it->head && b->files, "an item has a snapshot");
	must(!it->flying || it->head->tried || it->dropped,
	     "what is stored was begun");
	must(it->file->item == it, "the file knows its item");
	for (const struct snap *s = it->head; s; s = s->next)
		check_snap(b, it, s);
}

void item_check_sealed_locked(struct back *b, const struct file *f,
                              const struct item *it)
{
	fsp_assert_held(&b->lock);
	for (const struct snap *s = it->head; s && f->spool; s = s->next)
		if (s->file->spool && !(s == it->head && it->flying))
			must(fsp_spool_seals(f->spool, s->file->spool),
			     "the bytes of a snapshot are only read");
}
#else
void file_check_locked(struct fsp_vfs *v, struct file *f)
{
	(void)v;
	fsp_assert_held(&f->lock);
}

void item_check_locked(struct back *b, const struct item *it)
{
	(void)it;
	fsp_assert_held(&b->lock);
}

void item_check_sealed_locked(struct back *b, const struct file *f,
                              const struct item *it)
{
	(void)f;
	(void)it;
	fsp_assert_held(&b->lock);
}
#endif
