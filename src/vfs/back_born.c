/*
 * Names that are not rows yet (src/meta), and what the journal says of them: a
 * record has what it takes to make its name, until another one tells that the
 * name has come.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "back.h"
#include "fsp_cleanup.h"
#include "fsp_log.h"

static void copy_dir(const struct fsp_unborn_dir *from,
                     struct fsp_queued_dir *to)
{
	*to = (struct fsp_queued_dir){
		from->ino, from->mode, from->uid, from->gid,
		from->atime_ns, from->mtime_ns, from->ctime_ns,
	};
}

int back_unborn(struct fsp_vfs *v, struct fsp_queued *q,
                struct fsp_queued_dir **dirs)
{
	FSP_FREE struct fsp_unborn_dir *above = NULL;
	size_t n;
	int err = fsp_meta_unborn(v->store->meta, q->ino, &above, &n);

	if (err)
		return err == -ENOENT ? 0 : err;
	*dirs = calloc(n + 1, sizeof(**dirs));
	if (!*dirs)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		copy_dir(&above[i], &(*dirs)[i]);
	q->unborn = true;
	q->dirs = *dirs;
	q->n_dirs = n;
	return 0;
}

/* One of them; 0: no record says so any more. */
static uint64_t take_unborn(struct fsp_vfs *v, struct file *f)
{
	struct back *b = v->back;
	struct snap *s;

	FSP_GUARD(&b->lock);
	for (s = f->item ? f->item->head : NULL; s && !s->unborn;)
		s = s->next;
	if (!s)
		return 0;
	s->unborn = false;
	return s->key;
}

void back_born(struct fsp_vfs *v, struct file *f)
{
	uint64_t key;

	while ((key = take_unborn(v, f))) {
		int err = fsp_journal_born(v->back->journal, key);

		/* Who removes it elsewhere, and then this mount dies, will see
		 * it again. */
		if (err)
			fsp_warn("that a name has come is not written down: %s",
			         strerror(-err));
	}
}

void back_heard(void *arg, uint64_t ino)
{
	struct fsp_vfs *v = arg;
	struct inode *i;
	struct file *f;

	if (!back_any(v))
		return;
	f = back_file_of(v, ino, &i);
	if (!f)
		return;
	back_born(v, f);
	file_put(v, i, f);
	inode_unref(v, i);
}

void back_look_again(struct fsp_vfs *v, uint64_t ino)
{
	FSP_FREE struct fsp_unborn_dir *above = NULL;
	size_t n;

	if (fsp_meta_unborn(v->store->meta, ino, &above, &n) == -ENOENT)
		back_heard(v, ino);
}
