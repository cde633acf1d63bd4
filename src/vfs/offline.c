/*
 * The database is down: what this mount knows can be looked up and read on for
 * mount.offline_time. Nothing can be opened for writing meanwhile.
 */
#include "vfs_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_clock.h"
#include "fsp_config.h"
#include "fsp_health.h"

/* A probe has told by then whether a server that did not answer is down. */
#define SUSPECT_NS (5 * FSP_NS_PER_SEC)
#define IMPATIENT_NS (FSP_NS_PER_SEC / 10)

static bool is_down(int err)
{
	return err == -EHOSTDOWN || err == -ETIMEDOUT;
}

static bool is_known_down(struct fsp_vfs *v)
{
	struct fsp_health_part *db = fsp_health_find(v->store->health,
	                                             FSP_PART_DATABASE);

	return fsp_health_get(db) == FSP_HEALTH_DOWN;
}

bool offline(struct fsp_vfs *v, int err)
{
	int64_t since = 0, now;

	if (!is_down(err)) {
		/* An answer: whatever it is, the database is there, unless it
		 * came from memory. */
		if (err != -EINTR && err != -ENOMEM &&
		    atomic_load(&v->offline_ns) && !is_known_down(v))
			atomic_store(&v->offline_ns, 0);
		return false;
	}
	now = fsp_mono_ns();
	if (atomic_compare_exchange_strong(&v->offline_ns, &since, now))
		since = now;
	return now - since < fsp_config_ns(v->store->config, "mount",
	                                   "offline_time");
}

int answered(struct fsp_vfs *v, int err)
{
	(void)offline(v, err);          /* the caller has nothing else to use */
	return err;
}

int64_t fsp_vfs_patience(struct fsp_vfs *v)
{
	int64_t since = atomic_load(&v->offline_ns);

	if (!since)
		return v->op_timeout_ns;
	/* It has answered others, or a probe, or would be down by now. */
	if (!is_known_down(v) &&
	    fsp_mono_ns() - since > SUSPECT_NS) {
		atomic_compare_exchange_strong(&v->offline_ns, &since, 0);
		return v->op_timeout_ns;
	}
	return IMPATIENT_NS < v->op_timeout_ns ? IMPATIENT_NS
	                                       : v->op_timeout_ns;
}

/* The kernel may forget it; the one that was noted first gives way. */
static void note_locked(struct fsp_vfs *v, struct inode *i)
{
	struct inode **slot = &v->known[v->next_known++ % OFFLINE_FILES];
	struct inode *old = *slot;

	i->refs++;
	*slot = i;
	if (!old)
		return;
	free(old->last);
	old->last = NULL;
	inode_unref_locked(v, old);
}

void offline_keep_locked(struct fsp_vfs *v, struct inode *i, struct file *f)
{
	fsp_assert_held(&v->lock);
	if (i->kind != INODE_LIVE || i->unlinked || !f->base.row)
		return;
	/* Without memory for it, it cannot be read while the database is down. */
	if (!i->last) {
		i->last = malloc(sizeof(*i->last));
		if (i->last)
			note_locked(v, i);
	}
	if (i->last)
		*i->last = f->base;
}

void offline_note_locked(struct fsp_vfs *v, struct inode *i,
                         const struct fsp_content *c, uint64_t as_of)
{
	fsp_assert_held(&v->lock);
	if (i->last && i->seq <= as_of)
		*i->last = *c;
}

int offline_lookup(struct fsp_vfs *v, struct inode *dir, const char *name,
                   struct fsp_attr *out)
{
	struct inode *i = inode_find_name(v, dir, name);

	if (!i)
		return -EHOSTDOWN;
	inode_attr(v, i, out);
	inode_unref(v, i);
	return 0;
}

int offline_open(struct fsp_vfs *v, struct inode *i, struct file *f, bool *keep)
{
	struct fsp_content last;
	bool known;

	fsp_lock(&v->lock);
	known = i->last != NULL;
	if (known)
		last = *i->last;
	*keep = known && i->pages == content_tag(&last);
	fsp_unlock(&v->lock);
	FSP_GUARD(&f->lock);
	/* Another handle has what is known of it. */
	if (f->handles || f->dirty) {
		*keep = true;
		return 0;
	}
	if (!known)
		return -EHOSTDOWN;
	file_set_base_locked(f, &last);
	return 0;
}
