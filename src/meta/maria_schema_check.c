/* MariaDB: how a table differs from its description. */
#include "maria_schema.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "maria.h"

/* A column, or an index (type: its parts, nullable: is it unique). */
struct real {
	char *name, *type, *nullable, *dflt, *extra, *expr;
};

struct reals {
	struct real *v;
	size_t n;
};

static void reals_free(struct reals *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->v[i].name);
		free(r->v[i].type);
		free(r->v[i].nullable);
		free(r->v[i].dflt);
		free(r->v[i].extra);
		free(r->v[i].expr);
	}
	free(r->v);
}
#define REALS __attribute__((cleanup(reals_free)))

static int keep(void *arg, char **f, const unsigned long *lengths)
{
	struct reals *all = arg;
	struct real *v = realloc(all->v, (all->n + 1) * sizeof(*v));
	struct real *r;

	(void)lengths;
	if (!v)
		return -ENOMEM;
	all->v = v;
	r = &v[all->n++];
	*r = (struct real){
		strdup(f[0] ? f[0] : ""), strdup(f[1] ? f[1] : ""),
		strdup(f[2] ? f[2] : ""), strdup(f[3] ? f[3] : ""),
		strdup(f[4] ? f[4] : ""), strdup(f[5] ? f[5] : "")
	};
	return r->name && r->type && r->nullable && r->dflt && r->extra &&
		r->expr ? 0 : -ENOMEM;
}

static int read_columns(struct maria_link *l, const struct fsp_ctx *ctx,
                        const char *table, struct reals *out)
{
	FSP_FREE char *sql = fsp_strf(
		"SELECT column_name, column_type, is_nullable, column_default,"
		" extra, generation_expression FROM information_schema.columns"
		" WHERE table_schema = DATABASE() AND table_name = '%s'"
		" ORDER BY ordinal_position", table);

	return sql ? maria_rows(l, ctx, sql, keep, out) : -ENOMEM;
}

static int read_indexes(struct maria_link *l, const struct fsp_ctx *ctx,
                        const char *table, struct reals *out)
{
	FSP_FREE char *sql = fsp_strf(
		"SELECT index_name, GROUP_CONCAT(CONCAT(column_name,"
		" IF(sub_part IS NULL, '', CONCAT('(', sub_part, ')')))"
		" ORDER BY seq_in_index SEPARATOR ','),"
		" IF(non_unique = 0, 'unique', ''), index_type, '', ''"
		" FROM information_schema.statistics"
		" WHERE table_schema = DATABASE() AND table_name = '%s'"
		" GROUP BY index_name, non_unique, index_type", table);

	return sql ? maria_rows(l, ctx, sql, keep, out) : -ENOMEM;
}

static const struct real *find(const struct reals *all, const char *name)
{
	for (size_t i = 0; i < all->n; i++)
		if (strcasecmp(all->v[i].name, name) == 0)
			return &all->v[i];
	return NULL;
}

static bool no_default(const struct real *r)
{
	return !*r->dflt || strcasecmp(r->dflt, "NULL") == 0;
}

/* Expressions are printed in other words by each version: only their core. */
static bool kind_is(const struct real *r, enum maria_column_kind kind)
{
	bool nullable = strcasecmp(r->nullable, "YES") == 0;

	switch (kind) {
	case MARIA_NULL:
		return nullable && no_default(r) && !*r->expr;
	case MARIA_NOT_NULL:
		return !nullable && no_default(r) && !*r->expr && !*r->extra;
	case MARIA_COUNT:
		return !nullable && strcmp(r->dflt, "0") == 0;
	case MARIA_ID:
		return !nullable && strcasestr(r->extra, "auto_increment");
	case MARIA_NOW:
		return nullable && strcasestr(r->dflt, "utc_timestamp(6)");
	case MARIA_PLACE:
		return strcasestr(r->expr, "sha2(") &&
			strcasestr(r->expr, "dir_key");
	case MARIA_HEAD:
		return strcasestr(r->expr, "left(") &&
			strcasestr(r->expr, "900");
	}
	return false;
}

/* What is being compared, and who hears of it. */
struct compare {
	const struct maria_table *t;
	const char *name;
	bool php;               /* PHP writes to it all the time */
	maria_difference each;
	void *arg;
};

/*
 * `how` goes behind ALTER TABLE. PHP's tables are altered without locking
 * writers out, or not at all: the server refuses then.
 */
static int differs(const struct compare *c, char *what, const char *how)
{
	FSP_FREE char *sql = how ? fsp_strf("ALTER TABLE %s %s%s", c->name, how,
	                                    c->php ? ", LOCK=NONE" : "") : NULL;
	int err = !what || (how && !sql) ? -ENOMEM : c->each(c->arg, what, sql);

	free(what);
	return err;
}

static int compare_column(const struct compare *c, const struct reals *have,
                          const struct maria_column *want)
{
	const struct real *r = find(have, want->name);
	FSP_BUF struct fsp_buf how = FSP_BUF_INIT;
	int err;

	if (r && strcasecmp(r->type, want->type) == 0 && kind_is(r, want->kind))
		return 0;
	err = fsp_buf_adds(&how, r ? "MODIFY COLUMN " : "ADD COLUMN ");
	if (!err)
		err = maria_column_sql(want, &how);
	if (err)
		return err;
	if (!r)
		return differs(c, fsp_strf("%s lacks the column %s", c->name,
		                           want->name), how.data);
	return differs(c, fsp_strf("%s.%s is %s%s%s%s%s and must be %s",
	                           c->name, want->name, r->type,
	                           strcasecmp(r->nullable, "NO") == 0 ?
	                           " NOT NULL" : "",
	                           no_default(r) ? "" : " DEFAULT ",
	                           no_default(r) ? "" : r->dflt, r->expr,
	                           how.data + strlen("MODIFY COLUMN ")),
	               how.data);
}

static int compare_index(const struct compare *c, const struct reals *have,
                         const struct maria_index *want)
{
	const struct real *r = find(have, want->name);
	FSP_BUF struct fsp_buf how = FSP_BUF_INIT;
	int err = 0;

	if (r && strcasecmp(r->type, want->parts) == 0 &&
	    (*r->nullable != '\0') == want->unique)
		return 0;
	if (r && strcmp(want->name, "PRIMARY") == 0)
		err = fsp_buf_adds(&how, "DROP PRIMARY KEY, ");
	else if (r)
		err = fsp_buf_printf(&how, "DROP INDEX %s, ", want->name);
	if (!err)
		err = fsp_buf_adds(&how, "ADD ");
	if (!err)
		err = maria_index_sql(want, &how);
	if (err)
		return err;
	if (!r)
		return differs(c, fsp_strf("%s lacks the index %s (%s)",
		                           c->name, want->name, want->parts),
		               how.data);
	return differs(c, fsp_strf("the index %s of %s is on %s and must be on "
	                           "%s", want->name, c->name, r->type,
	                           want->parts), how.data);
}

static int compare_unknown(const struct compare *c, const struct reals *have)
{
	int err = 0;

	for (size_t i = 0; !err && i < have->n; i++) {
		const struct maria_column *w = c->t->columns;

		while (w->name && strcasecmp(w->name, have->v[i].name) != 0)
			w++;
		if (!w->name)
			err = differs(c, fsp_strf("the column %s.%s is not "
			                          "known", c->name,
			                          have->v[i].name), NULL);
	}
	return err;
}

static int missing(const struct compare *c)
{
	FSP_BUF struct fsp_buf sql = FSP_BUF_INIT;
	FSP_FREE char *what = fsp_strf("the table %s is missing", c->name);
	int err = maria_table_sql(c->t, c->name, &sql);

	if (!err)
		err = what ? c->each(c->arg, what, sql.data) : -ENOMEM;
	if (!err && c->t->rows)
		err = c->each(c->arg, NULL, c->t->rows);
	return err;
}

int maria_table_compare(struct maria_link *l, const struct fsp_ctx *ctx,
                        const struct maria_table *t, const char *as,
                        maria_difference each, void *arg)
{
	struct reals columns REALS = { 0 }, indexes REALS = { 0 };
	struct compare c = {
		.t = t, .name = as ? as : t->name, .each = each, .arg = arg,
		.php = !as && (t == &maria_file_table || t == &maria_space_table),
	};
	int err = read_columns(l, ctx, c.name, &columns);

	if (!err && columns.n == 0)
		return missing(&c);
	for (const struct maria_column *w = t->columns; !err && w->name; w++)
		err = compare_column(&c, &columns, w);
	if (!err)
		err = compare_unknown(&c, &columns);
	if (!err)
		err = read_indexes(l, ctx, c.name, &indexes);
	for (const struct maria_index *w = t->indexes; !err && w->name; w++)
		err = compare_index(&c, &indexes, w);
	return err;
}
