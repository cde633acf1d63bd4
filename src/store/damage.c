/* Which objects are damaged, and what is told of them. */
#include "damage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_health.h"
#include "fsp_lock.h"
#include "fsp_log.h"
#include "fsp_store.h"
#include "seen.h"

#define KEPT 64         /* known by name; of more only that there are some */
#define ROWS_NAMED 3

struct fsp_damage {
	struct fsp_mutex lock;
	struct {
		char hash[FSP_HASH_MAX + 1];
		char *rows;
	} v[KEPT];
	atomic_int n;
	bool more;              /* there were more than are known by name */
};

int fsp_store_watch(struct fsp_store *s)
{
	s->damage = calloc(1, sizeof(*s->damage));
	if (!s->damage)
		return -ENOMEM;
	fsp_mutex_init(&s->damage->lock);
	return 0;
}

void damage_free(struct fsp_damage *d)
{
	if (!d)
		return;
	for (int i = 0; i < d->n; i++)
		free(d->v[i].rows);
	fsp_mutex_destroy(&d->lock);
	free(d);
}

struct rows {
	struct fsp_buf b;
	int n;
};

static int name_row(void *arg, int64_t row, const char *path)
{
	struct rows *r = arg;

	if (r->n++ == ROWS_NAMED)
		return fsp_buf_adds(&r->b, " and more") ? -ENOMEM : 1;
	return fsp_buf_printf(&r->b, "%s row %" PRId64 " (%s%s)",
	                      r->n > 1 ? "," : "", row, *path ? "/" : "",
	                      *path ? path : "hidden");
}

/* " row 12 (/a/t/r/f)": fresh memory, NULL where nobody can tell. */
static char *name_rows(struct fsp_store *s, const struct fsp_ctx *ctx,
                       const char *hash)
{
	struct rows r = { .b = FSP_BUF_INIT };
	int err = fsp_meta_object_rows(s->meta, ctx, hash, name_row, &r);
	char *text = NULL;

	if (err >= 0)
		text = r.n ? fsp_buf_steal(&r.b) : strdup(" no row");
	fsp_buf_free(&r.b);
	return text;
}

/* What the health says: the first of them, and how many there are. */
static void report_locked(struct fsp_store *s, struct fsp_damage *d)
{
	struct fsp_health_part *p = fsp_health_find(s->health,
	                                            FSP_PART_CONTENT);
	FSP_FREE char *why = NULL;

	fsp_assert_held(&d->lock);
	if (!d->n && !d->more) {
		fsp_health_set(p, FSP_HEALTH_OK, NULL);
		return;
	}
	why = fsp_strf("%d%s damaged:%s, object %.12s", d->n,
	               d->more ? " or more" : "",
	               d->n && d->v[0].rows ? d->v[0].rows : " unknown rows",
	               d->n ? d->v[0].hash : "");
	fsp_health_set(p, FSP_HEALTH_DEGRADED, why);
}

static int find_locked(struct fsp_damage *d, const char *hash)
{
	fsp_assert_held(&d->lock);
	for (int i = 0; i < d->n; i++)
		if (strcmp(d->v[i].hash, hash) == 0)
			return i;
	return -1;
}

static bool is_known(struct fsp_damage *d, const char *hash)
{
	FSP_GUARD(&d->lock);
	return find_locked(d, hash) >= 0;
}

static void keep(struct fsp_store *s, const char *hash, char *rows)
{
	struct fsp_damage *d = s->damage;

	FSP_GUARD(&d->lock);
	if (find_locked(d, hash) >= 0) {
		free(rows);
	} else if (d->n == KEPT) {
		d->more = true;
		free(rows);
	} else {
		strcpy(d->v[d->n].hash, hash);
		d->v[d->n++].rows = rows;
	}
	report_locked(s, d);
}

void damage_met(struct fsp_store *s, const struct fsp_ctx *ctx,
                const char *hash, const char *what)
{
	char *rows;

	seen_forget(s->seen, hash);
	/* Each time somebody reads it, but the rows only once. */
	if (s->damage && is_known(s->damage, hash)) {
		fsp_error("object %s %s", hash, what);
		return;
	}
	rows = name_rows(s, ctx, hash);
	fsp_error("object %s %s; of it are%s", hash, what,
	          rows ? rows : " rows that could not be looked up");
	if (s->damage)
		keep(s, hash, rows);
	else
		free(rows);
}

void damage_mended(struct fsp_store *s, const char *hash)
{
	struct fsp_damage *d = s->damage;
	int i;

	if (!d || !d->n)
		return;
	FSP_GUARD(&d->lock);
	i = find_locked(d, hash);
	if (i < 0)
		return;
	free(d->v[i].rows);
	d->v[i] = d->v[--d->n];
	report_locked(s, d);
}

bool damage_known(struct fsp_store *s, const char *hash)
{
	return s->damage && is_known(s->damage, hash);
}
