/*
 * Names that were made in memory, in a delegated directory, become rows. See
 * DESIGN.md, "Delegations".
 *
 * All that may have to be known is asked for with the claims, and all that is
 * made goes with the COMMIT: reading comes before writing.
 */
#include <errno.h>
#include <string.h>

#include "fsp_cleanup.h"
#include "sql_meta.h"

#define TOGETHER 100            /* questions in one text */

struct graft {
	const struct fsp_graft *g;
	char *path;                     /* the root's, as far as it is known */
	unsigned tries;
	/* of each birth: the new row's number, once it is known, 0 where there
	 * is none; and what sql_stored_size() says of its object */
	int64_t *row, *stored;
	struct ent root;
	struct ents l;                  /* what is at each place, then is made */
	char *spaced;                   /* a space that has its row */
};

static const struct fsp_object *content_of(const struct fsp_birth *b)
{
	return b->commit ? b->commit->object : NULL;
}

static void forget(struct graft *a)
{
	sql_ent_free(&a->root);
	sql_ents_free(&a->l);
	free(fsp_steal(a->spaced));
	a->root = (struct ent){ .how = BY_NAME };
}

/* The directory of a birth. */
static char *dir_of(const struct graft *a, size_t i)
{
	const struct fsp_birth *b = &a->g->births[i];

	return *b->dir ? fsp_path_join(a->path, b->dir) : strdup(a->path);
}

/* Is it about the same directory as the one before? */
static bool is_beside(const struct graft *a, size_t i)
{
	const struct fsp_birth *b = a->g->births;

	return i > 0 && strcmp(b[i].dir, b[i - 1].dir) == 0;
}

/* Is dir what this birth makes? */
static bool is_born_as(const struct fsp_birth *b, const char *dir)
{
	size_t len = strlen(b->dir);

	if (len && (strncmp(dir, b->dir, len) != 0 || dir[len] != '/'))
		return false;
	return strcmp(dir + len + (len > 0), b->name) == 0;
}

/* The birth that makes the directory of another one, or NULL. */
static const struct fsp_birth *parent_of(const struct graft *a, size_t i)
{
	const struct fsp_birth *b = a->g->births;
	size_t n = i;

	while (n-- > 0)
		if (is_born_as(&b[n], b[i].dir))
			return &b[n];
	return NULL;
}

static bool is_held(const struct graft *a)
{
	return a->g->holder && a->g->root.ino;
}

/* ---- claims */

/*
 * Whoever holds the directory is alone in it, and all below it: others come
 * there after a recall only, and who renames what is above claims everything.
 */
static int claim(struct txn *t, const struct graft *a)
{
	int err = 0;

	if (a->g->root.ino)
		sql_want_ino(t, a->g->root.ino);
	else
		err = sql_want_dir(t, a->path);
	if (is_held(a))
		return sql_claim(t);
	for (size_t i = 0; i < a->g->n && !err; i++) {
		FSP_FREE char *dir = is_beside(a, i) ? NULL : dir_of(a, i);

		if (dir)
			err = sql_want_dir(t, dir);
		else if (!is_beside(a, i))
			err = -ENOMEM;
	}
	return err ? err : sql_claim(t);
}

/* ---- questions */

/*
 * A directory in one that is held is not there: what PHP has written below its
 * place makes no difference to its name, and another name is refused by the index.
 * Then all is asked.
 */
static bool is_sure(const struct graft *a, size_t i)
{
	return is_held(a) && a->tries == 1 && !a->g->births[i].maybe &&
		S_ISDIR(a->g->births[i].attr.mode);
}

static int ahead_place(struct txn *t, const struct graft *a, size_t i)
{
	const struct fsp_birth *b = &a->g->births[i];
	FSP_FREE char *dir = dir_of(a, i);
	int err = dir ? 0 : -ENOMEM;

	if (!err && !a->g->holder && *b->dir && !is_beside(a, i) &&
	    !parent_of(a, i))
		err = sql_ahead_dir(t, dir);
	return err || is_sure(a, i) ? err :
		sql_ahead_place(t, dir, b->name, true);
}

static int ahead_places(struct txn *t, const struct graft *a, size_t from)
{
	int err = 0;

	for (size_t i = from; i < a->g->n && i < from + TOGETHER && !err; i++)
		err = ahead_place(t, a, i);
	return err;
}

static bool is_by_path(const struct graft *a)
{
	return !a->g->root.ino || a->g->root.ino == FSP_INO_ROOT;
}

static int ahead_root(struct txn *t, const struct graft *a)
{
	return is_by_path(a) ? sql_ahead_dir(t, a->path) :
		sql_ahead_dir_of_ino(t, a->g->root.ino);
}

/* ---- the root */

static int stale(int err)
{
	return err == -ENOENT || err == -ENOTDIR ? -ESTALE : err;
}

static int find_at_path(struct txn *t, struct graft *a)
{
	uint64_t ino = a->g->root.ino;
	int err = stale(sql_find_dir(t, a->path, &a->root));

	if (!err && ino && a->root.ino != ino)
		err = -ESTALE;
	return err ? err : sql_adopt(t, &a->root);
}

/* Another mount may have renamed it: then all places are others. */
static int find_root(struct txn *t, struct graft *a)
{
	uint64_t ino = a->g->root.ino;
	int err;

	if (is_by_path(a))
		return find_at_path(t, a);
	err = sql_dir_of_ino(t, ino, &a->root);
	/* Of what only rows make it is known where it is. */
	if (!err && ino >= FSP_INO_DIR)
		return find_at_path(t, a);
	if (err != 1)
		return err ? err : -ESTALE;
	if (strcmp(a->root.key.path, a->path) == 0)
		return 0;
	free(a->path);
	a->path = strdup(a->root.key.path);
	err = a->path ? claim(t, a) : -ENOMEM;
	return err ? err : SQL_AGAIN;
}

/* What its row says is only sure under the claim of its number. */
static int check_holder(struct txn *t, const struct graft *a)
{
	int64_t is = (int64_t)a->root.node.rdev, wanted = a->g->holder;
	int err = wanted ? sql_claim_ino(t, a->root.ino) : 0;

	if (err || !wanted)
		return err;
	return is == wanted || is == -wanted ? 0 : -ENOLCK;
}

/* ---- the places */

/* Names without a directory must not be. */
static int check_parent(struct txn *t, const struct graft *a, size_t i,
                        const char *dir)
{
	const struct fsp_birth *p;
	struct ent e ENT = { .how = BY_NAME };
	int err;

	if (!*a->g->births[i].dir || is_beside(a, i))
		return 0;
	p = parent_of(a, i);
	if (p)
		return S_ISDIR(p->attr.mode) ? 0 : -EINVAL;
	/* The holder has made it, and nobody else can have removed it. */
	if (a->g->holder)
		return 0;
	err = stale(sql_find_dir(t, dir, &e));
	return err ? err : sql_adopt(t, &e);
}

/* Nothing is there; what it tells beside that may be of a dead name. */
static int set_free(struct ent *e)
{
	e->how = BY_ROW;
	e->has_row = false;
	return 0;
}

static bool is_free(const struct ent *e)
{
	return e->how == BY_ROW && !e->has_row;
}

/* May this be born where something is already? */
static int check_there(struct fsp_birth *b, struct ent *e, bool held)
{
	if (e->how == BY_NAME && e->ino == b->ino) {
		b->was_there = true;
		sql_fill(e, &b->out);
		return 0;
	}
	if (e->how == BY_NAME)
		return -EEXIST;
	/* A file that PHP wrote where a directory had been made: hidden. */
	if (held && S_ISDIR(b->attr.mode) && !sql_is_dir(e)) {
		e->has_row = false;
		e->oldest = 0;
		return 0;
	}
	/* Only rows: they get this name. */
	return sql_is_dir(e) == !!S_ISDIR(b->attr.mode) ? 0 : -EEXIST;
}

static int find_place(struct txn *t, const struct graft *a, size_t i,
                      const char *dir, struct ent *e)
{
	const char *name = a->g->births[i].name;
	int err;

	if (!is_sure(a, i))
		return sql_find_new(t, dir, name, e);
	*e = (struct ent){ .how = BY_ROW };
	err = sql_key(dir, name, &e->key);
	return err ? err : -ENOENT;
}

static int look(struct txn *t, struct graft *a, size_t i)
{
	struct fsp_birth *b = &a->g->births[i];
	FSP_FREE char *dir = dir_of(a, i);
	struct ent *e = sql_ents_add(&a->l);
	int err = dir && e ? check_parent(t, a, i, dir) : -ENOMEM;

	b->was_there = false;
	if (!err)
		err = find_place(t, a, i, dir, e);
	if (!err)
		err = check_there(b, e, is_held(a));
	else if (err == -ENOENT)
		err = set_free(e);
	/* Its number may be somewhere else, where it was brought before. */
	if (!err && !b->was_there && a->tries > 1)
		err = sql_has_node(t, b->ino);
	if (err > 0)
		err = -EEXIST;
	if (!err && content_of(b))
		err = sql_stored_size(t, content_of(b), &a->stored[i]);
	return err;
}

static int look_at_all(struct txn *t, struct graft *a)
{
	int err = ahead_root(t, a);

	if (!err)
		err = ahead_places(t, a, 0);
	if (!err)
		err = find_root(t, a);
	if (!err)
		err = check_holder(t, a);
	for (size_t i = 0; i < a->g->n && !err; i++) {
		if (i && i % TOGETHER == 0)
			err = ahead_places(t, a, i);
		if (!err)
			err = look(t, a, i);
	}
	return err;
}

/* ---- births */

static void node_of(struct txn *t, const struct fsp_birth *b, struct node *n)
{
	const struct fsp_attr *at = &b->attr;

	*n = (struct node){
		.mode = at->mode & (S_IFMT | 07777),
		.uid = at->uid,
		.gid = at->gid,
		.nlink = 1,
		.atime_ns = at->atime_ns,
		.mtime_ns = at->mtime_ns,
		.ctime_ns = at->ctime_ns,
	};
	if (b->commit)
		sql_apply(t, b->commit->mask | FSP_SET_MTIME, &b->commit->attr,
		          n);
}

/*
 * The space of the entries in a directory, or of a file, has a row. Below a
 * record that is held, or in one that is held, it was made with that.
 */
static int space_of(struct txn *t, struct graft *a, const struct ent *e,
                    bool was_free)
{
	bool record = sql_is_dir(e) && e->key.depth == FSP_RECORD_DEPTH;
	bool made = is_held(a) && e->key.depth > FSP_RECORD_DEPTH;
	struct fsp_dirkey own;
	int err = made ? 1 : fsp_path_dirkey(e->key.path, &own);
	const char *space = record ? own.space : e->key.space;

	if (err)
		return err < 0 ? err : 0;
	if (!a->spaced || strcmp(a->spaced, space) != 0) {
		err = record && was_free && !is_held(a) ?
			sql_new_record(t, &e->key) :
			sql_space_for(t, &e->key, sql_is_dir(e));
		/* A directory above a record makes none. */
		free(fsp_steal(a->spaced));
		if (!sql_is_dir(e) || e->key.depth >= FSP_RECORD_DEPTH)
			a->spaced = strdup(space);
	}
	fsp_dirkey_free(&own);
	return err;
}

/* A file with its content, where nothing is. */
static int put_file(struct txn *t, struct graft *a, size_t i)
{
	const struct fsp_object *o = content_of(&a->g->births[i]);
	struct ent *e = &a->l.v[i];
	int err = sql_note_object(t, o);

	if (!err && e->oldest)
		err = sql_adopt_past(t, &e->key);
	if (!err)
		err = sql_put_node(t, e->ino, &e->node, NULL);
	if (!err)
		err = sql_put_row(t, o, a->stored[i], e, t->now_us, t->now_us,
		                  &a->row[i]);
	return err ? err : sql_put_name(t, &e->key, e->ino, ROW_LAST, NULL,
	                                t->now_us);
}

/* A name for what only rows said: it is the file that PHP wrote, until this
 * content replaces it, or the directory that they made. */
static int put_over(struct txn *t, struct graft *a, size_t i)
{
	const struct fsp_object *o = content_of(&a->g->births[i]);
	struct ent *e = &a->l.v[i];
	int err;

	if (sql_is_dir(e))
		return sql_name_dir(t, e);
	if (!o)
		sql_written_over(e);
	err = sql_name_file(t, e);
	if (!err && o)
		err = sql_note_object(t, o);
	return err || !o ? err : sql_commit_name(t, o, e, NO_TIME, &a->row[i]);
}

static int put_birth(struct txn *t, struct graft *a, size_t i)
{
	struct fsp_birth *b = &a->g->births[i];
	struct ent *e = &a->l.v[i];
	int err;

	e->ino = b->ino;
	node_of(t, b, &e->node);
	if (!is_free(e))
		return put_over(t, a, i);
	err = sql_bury(t, e);
	if (err)
		return err;
	return content_of(b) ? put_file(t, a, i) :
		sql_put_new(t, e, NULL, b->commit ? NULL : b->owner);
}

/* A directory is there since it was made, a file since it has its row. */
static int put_since(struct txn *t, struct graft *a, size_t i)
{
	const struct fsp_birth *b = &a->g->births[i];
	int64_t now_us = t->now_us;
	int err;

	if (S_ISDIR(b->attr.mode))
		t->now_us -= b->age_ns / 1000;
	err = put_birth(t, a, i);
	t->now_us = now_us;
	return err;
}

static int bear(struct txn *t, struct graft *a, size_t i)
{
	struct fsp_birth *b = &a->g->births[i];
	struct ent *e = &a->l.v[i];
	bool was_free = is_free(e);
	int err;

	if (b->was_there)
		return 0;
	err = put_since(t, a, i);
	/* A pending file's is made with its row. */
	if (!err && (sql_is_dir(e) || e->has_row))
		err = space_of(t, a, e, was_free);
	if (!err)
		err = sql_changed(t, &e->key, e->ino, true);
	if (!err)
		sql_fill(e, &b->out);
	return err;
}

static bool has_birth_in_root(const struct graft *a)
{
	for (size_t i = 0; i < a->g->n; i++)
		if (!*a->g->births[i].dir && !a->g->births[i].was_there)
			return true;
	return false;
}

static int touch(struct txn *t, const struct graft *a,
                 const struct fsp_touch *d)
{
	int err = sql_touch_at(t, d->ino, d->time_ns);

	/* Others may know it, and are not told of anything in it. */
	if (err || d->ino != a->root.ino || !a->root.key.depth ||
	    has_birth_in_root(a))
		return err;
	return sql_changed(t, &a->root.key, d->ino, false);
}

static int graft(struct txn *t, void *arg)
{
	struct graft *a = arg;
	int err = claim(t, a);

	forget(a);
	a->tries++;
	if (a->g->n)
		memset(a->row, 0, a->g->n * sizeof(*a->row));
	if (!err)
		err = look_at_all(t, a);
	for (size_t i = 0; i < a->g->n && !err; i++)
		err = bear(t, a, i);
	for (size_t i = 0; i < a->g->n_touches && !err; i++)
		err = touch(t, a, &a->g->touches[i]);
	return err;
}

/* ---- the call */

static bool is_valid(const struct fsp_birth *b)
{
	if (!b->ino || !b->dir || !b->name)
		return false;
	if (S_ISDIR(b->attr.mode))
		return !b->commit;
	return S_ISREG(b->attr.mode) &&
		(!content_of(b) || sql_is_object(content_of(b)));
}

static int check(const struct fsp_graft *g, enum sql_kind *kind)
{
	*kind = g->durable ? SQL_DURABLE : SQL_WRITE;
	if (g->holder < 0)
		return -EINVAL;
	for (size_t i = 0; i < g->n; i++) {
		if (!is_valid(&g->births[i]))
			return -EINVAL;
		if (content_of(&g->births[i]))
			*kind = SQL_DURABLE;
	}
	return 0;
}

/* It is done; only which row it is was not told, as in sql_commit(). */
static int64_t ask_for_row(struct fsp_meta *m, const struct fsp_ctx *ctx,
                           const struct graft *a, size_t i)
{
	FSP_FREE char *dir = dir_of(a, i);
	FSP_FREE char *path = dir ?
		fsp_path_join(dir, a->g->births[i].name) : NULL;
	struct fsp_ref ref = { a->g->births[i].ino, path };
	struct fsp_entry e;

	if (!path || sql_getattr(m, ctx, &ref, &e))
		return 0;
	return e.content.row;
}

static void tell_rows(struct fsp_meta *m, const struct fsp_ctx *ctx,
                      const struct graft *a)
{
	for (size_t i = 0; i < a->g->n; i++) {
		struct fsp_birth *b = &a->g->births[i];

		if (b->was_there || !content_of(b))
			continue;
		if (a->row[i] < 0)
			b->out.content.row = ask_for_row(m, ctx, a, i);
		else if (a->row[i])
			b->out.content.row = a->row[i];
		if (!b->commit->queued)
			continue;
		b->commit->queued->end = FSP_QUEUED_LIVE;
		b->commit->queued->stored = b->out.content;
	}
}

int sql_graft(struct fsp_meta *m, const struct fsp_ctx *ctx,
              const struct fsp_graft *what)
{
	size_t room = what->n ? what->n : 1;
	FSP_FREE int64_t *row = calloc(room, sizeof(*row));
	FSP_FREE int64_t *stored = calloc(room, sizeof(*stored));
	struct graft a = {
		.g = what, .row = row, .stored = stored,
		.path = strdup(what->root.path ? what->root.path : "")
	};
	enum sql_kind kind;
	int err = check(what, &kind);

	if (!err && (!row || !stored || !a.path))
		err = -ENOMEM;
	if (!err)
		err = sql_txn(m, ctx, kind, graft, &a);
	forget(&a);
	if (!err)
		tell_rows(m, ctx, &a);
	free(a.path);
	return err;
}
