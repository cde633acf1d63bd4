/*
 * The journal of changes: what each mount writes into it, and how others read
 * it. See DESIGN.md, "Changes made elsewhere".
 */
#include <errno.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "sql_meta.h"

#define PAGE 1000               /* rows of one question */
/* Numbers are given before the commit: a lower one may come this much later. */
#define LATE_NS (10 * FSP_NS_PER_SEC)
#define KEEP_NS (600 * FSP_NS_PER_SEC)  /* how long the journal is kept */
#define MARK_NS (60 * FSP_NS_PER_SEC)   /* between two looks at its age */
#define MARKS (KEEP_NS / MARK_NS)
#define PURGE_STEP 5000

struct seen {
	int64_t id, at_ns;
};

struct fsp_feed {
	bool begun;
	int64_t from;                   /* all up to here are done with */
	struct seen *seen;              /* above it, rising */
	size_t n, cap;
	int64_t read_ns;                /* the last time that it was read */
	struct seen mark[MARKS];        /* where it ended, minute by minute */
	unsigned next_mark;
	int64_t purged;                 /* up to here nothing is left */
};

void fsp_feed_free(struct fsp_feed *f)
{
	if (f)
		free(f->seen);
	free(f);
}

int sql_changed(struct txn *t, const struct key *k, uint64_t ino, bool named)
{
	return sql_later(t, "INSERT INTO {change} (at_us, origin, space_key,"
	               " dir_key, name, ino, named)"
	               " VALUES (?, ?, ?, ?, ?, ?, ?)", "ittttzz", t->now_us,
	               t->m->origin, k->space, k->dir,
	               k->name, (int64_t)ino, (int64_t)named);
}

int sql_changed_at(struct txn *t, const struct fsp_place *at, uint64_t ino)
{
	struct key k KEY = { .depth = 0 };
	int err = sql_key(at->dir, at->name, &k);

	return err ? err : sql_changed(t, &k, ino, true);
}

/* ---- reading */

static bool was_seen(const struct fsp_feed *f, int64_t id)
{
	size_t lo = fsp_lower_bound(f->seen, f->n, sizeof(*f->seen),
	                            offsetof(struct seen, id), (uint64_t)id);

	return lo < f->n && f->seen[lo].id == id;
}

static int see(struct fsp_feed *f, int64_t id, int64_t now)
{
	struct seen *v = fsp_grow(f->seen, f->n, &f->cap, sizeof(*v));
	size_t i = f->n;

	if (!v)
		return -ENOMEM;
	f->seen = v;
	while (i > 0 && f->seen[i - 1].id > id) {
		f->seen[i] = f->seen[i - 1];
		i--;
	}
	f->seen[i] = (struct seen){ id, now };
	f->n++;
	return 0;
}

/* What was seen long enough ago has nothing below it that could still come. */
static void forget_old(struct fsp_feed *f, int64_t now)
{
	size_t done = 0;

	for (size_t i = 0; i < f->n; i++)
		if (now - f->seen[i].at_ns >= LATE_NS)
			done = i + 1;
	if (!done)
		return;
	f->from = f->seen[done - 1].id;
	f->n -= done;
	memmove(f->seen, f->seen + done, f->n * sizeof(*f->seen));
}

struct change {
	int64_t id, ino;
	bool ours, foreign, named;
	char *path;
};

struct reading {
	struct fsp_feed *f;
	int64_t after;
	struct change *v;
	size_t n;
	int64_t last;                   /* the highest number there is */
	bool quiet;                     /* everything is told as changed */
};

static void drop(struct reading *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->v[i].path);
	free(r->v);
	r->v = NULL;
	r->n = 0;
}

/* The path of a row: of a mount's with dir and name, or of PHP's file_key. */
static int path_of(struct sqlstmt *s, char **path)
{
	const char *space = sql_str(s, 2), *dir = sql_str(s, 3);
	const char *name = sql_str(s, 4);
	FSP_FREE char *file = NULL;

	if (!space)
		return -EINVAL;
	if (!name)
		return fsp_path_of_space(space, path);
	if (!dir)
		return fsp_path_of_row(space, name, path);
	file = fsp_path_join(dir, name);
	return file ? fsp_path_of_row(space, file, path) : -ENOMEM;
}

static int read_change(struct reading *r, struct txn *t, struct sqlstmt *s)
{
	struct change *c = &r->v[r->n];
	const char *origin = sql_str(s, 1);
	int err;

	*c = (struct change){
		.id = sql_int_or(s, 0, 0),
		.ino = sql_int_or(s, 5, 0),
		.named = sql_int_or(s, 6, 0) != 0,
		.ours = origin && t->m->origin[0] &&
			strcmp(origin, t->m->origin) == 0,
		.foreign = !origin,
	};
	if (c->ours || was_seen(r->f, c->id)) {
		r->n++;
		return 0;
	}
	err = path_of(s, &c->path);
	r->n++;
	/* A row that is no path shows nowhere. */
	return err == -ENOMEM ? err : 0;
}

static int read_page(struct txn *t, void *arg)
{
	struct sqlstmt *s SQL_STMT = NULL;
	struct reading *r = arg;
	int err;

	drop(r);
	r->v = calloc(PAGE, sizeof(*r->v));
	if (!r->v)
		return -ENOMEM;
	err = sql_start(t, &s, "SELECT c.id, c.origin, c.space_key, c.dir_key,"
	                " c.name, c.ino, c.named FROM {change} c WHERE c.id > ?"
	                " ORDER BY c.id LIMIT 1000", "i", r->after);
	while (!err && r->n < PAGE && (err = sql_next(s)) == 1)
		err = read_change(r, t, s);
	return err < 0 ? err : 0;
}

static int read_last(struct txn *t, void *arg)
{
	struct reading *r = arg;

	return sql_number(t, &r->last, "SELECT MAX(c.id) FROM {change} c", "");
}

static int tell(struct reading *r, int64_t now, fsp_meta_change each, void *arg)
{
	int err = 0;

	for (size_t i = 0; i < r->n && !err; i++) {
		const struct change *c = &r->v[i];
		struct fsp_change out = {
			.path = c->path, .ino = (uint64_t)c->ino,
			.named = c->named, .foreign = c->foreign,
		};

		if (was_seen(r->f, c->id))
			continue;
		err = see(r->f, c->id, now);
		if (!err && c->path && !c->ours && !r->quiet)
			err = each(arg, &out);
	}
	return err;
}

/* From here on; what was before is not known. */
static int begin(struct fsp_meta *m, const struct fsp_ctx *ctx,
                 struct fsp_feed *f, int64_t now, fsp_meta_change each,
                 void *arg)
{
	struct fsp_change all = { .path = NULL };
	struct reading r = { .f = f };
	int err = sql_txn(m, ctx, SQL_ONE, read_last, &r);

	if (err)
		return err;
	f->begun = true;
	f->n = 0;
	/* Lower numbers may come yet: they are seen again, to no harm. */
	f->from = r.last > PAGE ? r.last - PAGE : 0;
	f->read_ns = now;
	return each(arg, &all);
}

static int remember(struct fsp_feed **f)
{
	if (!*f)
		*f = calloc(1, sizeof(**f));
	return *f ? 0 : -ENOMEM;
}

int sql_changes(struct fsp_meta *m, const struct fsp_ctx *ctx,
                struct fsp_feed **feed, fsp_meta_change each, void *arg)
{
	struct sql_meta *s = (struct sql_meta *)m;
	int64_t now = fsp_mono_ns();
	struct reading r = { .n = 0 };
	size_t got = PAGE;
	int err;

	if (!s->drv->journal)
		return -ENOTSUP;
	err = remember(feed);
	/* It may have been purged beyond what we know. */
	if (!err && (!(*feed)->begun ||
	             now - (*feed)->read_ns > KEEP_NS / 2)) {
		err = begin(m, ctx, *feed, now, each, arg);
		r.quiet = true;
	}
	if (err)
		return err;
	r.f = *feed;
	r.after = r.f->from;
	while (!err && got == PAGE) {
		err = sql_txn(m, ctx, SQL_ONE, read_page, &r);
		got = r.n;
		if (!err && got)
			r.after = r.v[got - 1].id;
		if (!err)
			err = tell(&r, now, each, arg);
	}
	drop(&r);
	if (!err) {
		forget_old(*feed, now);
		(*feed)->read_ns = now;
	}
	return err;
}

/* ---- purging */

struct purge {
	int64_t from, upto;
};

static int read_first(struct txn *t, void *arg)
{
	struct purge *p = arg;

	return sql_number(t, &p->from, "SELECT MIN(c.id) FROM {change} c", "");
}

static int purge_step(struct txn *t, void *arg)
{
	struct purge *p = arg;
	int err = sql_claim_ino(t, 0);

	return err ? err : sql_run(t, "DELETE FROM {change} WHERE id >= ? AND id <= ?",
	               "ii", p->from, p->upto);
}

/* Removes what was there a while ago, in small steps. */
static int purge(struct fsp_meta *m, const struct fsp_ctx *ctx, int64_t upto)
{
	struct purge p = { .upto = upto };
	int err = sql_txn(m, ctx, SQL_ONE, read_first, &p);

	while (!err && p.from && p.from <= upto) {
		p.upto = p.from + PURGE_STEP < upto ? p.from + PURGE_STEP : upto;
		err = sql_txn(m, ctx, SQL_WRITE, purge_step, &p);
		p.from = p.upto + 1;
	}
	return err;
}

int sql_changes_purge(struct fsp_meta *m, const struct fsp_ctx *ctx,
                      struct fsp_feed *f)
{
	int64_t now = fsp_mono_ns();
	struct seen *mark;
	int64_t upto;

	if (!f || !f->begun)
		return 0;
	mark = &f->mark[f->next_mark % MARKS];
	if (f->next_mark && now - f->mark[(f->next_mark - 1) % MARKS].at_ns <
	    MARK_NS)
		return 0;
	upto = f->next_mark >= MARKS ? mark->id : 0;
	*mark = (struct seen){ f->from, now };
	f->next_mark++;
	if (upto <= f->purged)
		return 0;
	f->purged = upto;
	return purge(m, ctx, upto);
}
