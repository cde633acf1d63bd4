/*
 * A commit that close() promised some time ago, over a version that is not live
 * any more: it may be there already, or be older than what is.
 */
#include <errno.h>
#include <string.h>

#include "sql_meta.h"

static void set_stored(const struct fsp_commit *c, int64_t row,
                       enum fsp_queued_end end)
{
	struct fsp_content *s = &c->queued->stored;

	c->queued->end = end;
	s->row = row;
	s->size = c->object->size;
	strcpy(s->hash, c->object->key);
}

/*
 * The row that this very commit made when its end was not written down. Time
 * and content of one inode together are as good as a name for it.
 */
static int find_own(struct txn *t, const struct fsp_commit *c, uint64_t ino,
                    int64_t *row)
{
	return sql_number(t, row, "SELECT MAX(f.id) FROM {file} f WHERE"
	                  " f.data_hash = ? AND f.ino = ? AND f.mtime_ns = ?"
	                  " AND f.size_original = ? AND f.id > ?", "tiiii",
	                  c->object->key, (int64_t)ino, c->attr.mtime_ns,
	                  (int64_t)c->object->size, c->base_row);
}

/* A row that was closed when it was stored: as of no time it is seen. */
static int put_past(struct txn *t, const struct fsp_commit *c,
                    const struct ent *e)
{
	const struct fsp_object *o = c->object;
	struct node n = e->node;
	int64_t stored;
	int err = sql_stored_size(t, o, &stored);

	if (err)
		return err;
	sql_apply(t, c->mask | FSP_SET_MTIME, &c->attr, &n);
	err = sql_run(t, "INSERT INTO {file} (file_key, space_key,"
	              " data_hash, created_at, deleted_at, size_original,"
	              " size_storage, ino, mode, uid, gid, mtime_ns,"
	              " stored_at, since_us, closed_us)"
	              " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	              "tttiiiiiiiiiiii", e->key.file, e->key.space, o->key,
	              sql_created_at(n.mtime_ns), t->now_s, (int64_t)o->size,
	              stored, (int64_t)e->ino,
	              (int64_t)(n.mode & 07777), (int64_t)n.uid,
	              (int64_t)n.gid, n.mtime_ns, c->queued->at_us,
	              c->queued->at_us, c->queued->at_us);
	if (!err)
		set_stored(c, t->c->drv->ops->last_id(t->c), FSP_QUEUED_PAST);
	return err;
}

int sql_commit_queued(struct txn *t, const struct fsp_commit *c,
                      struct ents *l, const struct ent *live)
{
	int64_t row = 0;
	int err = 0;

	if (!c->object)
		return 0;
	err = find_own(t, c, live->ino, &row);
	if (err)
		return err;
	if (row) {
		set_stored(c, row, FSP_QUEUED_BEFORE);
		return 1;
	}
	if (!live->has_row || live->row.stored_us <= c->queued->at_us)
		return 0;
	err = sql_note_object(t, c->object);
	for (size_t i = 0; i < l->n && !err; i++)
		err = put_past(t, c, &l->v[i]);
	return err ? err : 1;
}
