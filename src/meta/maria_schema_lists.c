/* MariaDB: what there is of PHP's tables and of those beside them. */
#include "maria_schema_up.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"

/* ---- what is there */

static int note_table(void *arg, char **f, const unsigned long *lengths)
{
	struct maria_move *m = arg;
	bool ours, mark;

	(void)lengths;
	if (!f[0] || !f[1] || !f[2])
		return -EIO;
	ours = strcmp(f[1], "1") == 0;
	mark = strcmp(f[2], "1") == 0;
	if (strcmp(f[0], m->t->name) == 0)
		m->done = ours;
	else if (strcmp(f[0], m->fresh) == 0)
		m->has_fresh = true;
	else if (strcmp(f[0], m->log) == 0)
		m->has_log = true;
	else
		m->has_kept = true;
	if (mark && m->has_kept)
		m->kept_is_mark = true;
	return 0;
}

static int note_trigger(void *arg, char **f, const unsigned long *lengths)
{
	struct maria_move *m = arg;
	size_t n = strlen(m->trigger);

	(void)lengths;
	for (int i = 0; f[0] && maria_triggers[i].suffix; i++)
		if (strncmp(f[0], m->trigger, n) == 0 &&
		    strcmp(f[0] + n, maria_triggers[i].suffix) == 0)
			m->triggers |= 1U << i;
	return 0;
}

static int look(struct maria_move *m)
{
	struct maria_up *u = m->up;
	FSP_FREE char *tables = fsp_strf(
		"SELECT table_name, MAX(column_name = 'since_us'),"
		" MAX(column_name = 'mark') FROM information_schema.columns"
		" WHERE table_schema = DATABASE() AND table_name IN ('%s',"
		" '%s', '%s', '%s') GROUP BY table_name", m->t->name, m->fresh,
		m->kept, m->log);
	FSP_FREE char *names = fsp_strf(
		"SELECT trigger_name FROM information_schema.triggers WHERE"
		" trigger_schema = DATABASE() AND event_object_table = '%s'",
		m->t->name);
	int err = tables && names ? 0 : -ENOMEM;

	m->done = m->has_fresh = m->has_kept = m->has_log = false;
	m->kept_is_mark = false;
	m->triggers = 0;
	if (!err)
		err = maria_rows(u->l, u->job->ctx, tables, note_table, m);
	if (!err)
		err = maria_rows(u->l, u->job->ctx, names, note_trigger, m);
	return err;
}

/* ---- the lists of columns */

static int note_column(void *arg, char **f, const unsigned long *lengths)
{
	struct maria_move *m = arg;

	(void)lengths;
	for (int i = 0; f[0] && m->columns[i]; i++)
		if (strcasecmp(f[0], m->columns[i]) == 0) {
			m->have |= 1U << i;
			m->bytes |= f[1] ? 0 : 1U << i;
		}
	return 0;
}

static int find_columns(struct maria_move *m)
{
	FSP_FREE char *sql = fsp_strf(
		"SELECT column_name, character_set_name FROM"
		" information_schema.columns WHERE table_schema = DATABASE()"
		" AND table_name = '%s'", m->done ? m->kept : m->t->name);

	return sql ? maria_rows(m->up->l, m->up->job->ctx, sql, note_column, m)
		: -ENOMEM;
}

static bool may_change(const char *column)
{
	return strcmp(column, "deleted_at") == 0 ||
		strcmp(column, "updated_at") == 0 ||
		strcmp(column, "name") == 0;
}

/* What the new table gets for a column of PHP's. */
static char *value_of(const struct maria_move *m, int i)
{
	const char *name = m->columns[i];

	if (!(m->bytes & 1U << i))
		return fsp_strf("CONVERT(o.%s USING %s)", name, m->up->charset);
	if (m->t == &maria_file_table && strcmp(name, "deleted_at") == 0)
		return fsp_strf("COALESCE(o.%s, 0)", name);
	return fsp_strf("o.%s", name);
}

static int add_column(const struct maria_move *m, int i, struct fsp_buf b[5])
{
	const char *name = m->columns[i];
	FSP_FREE char *value = value_of(m, i);
	int err = value ? 0 : -ENOMEM;

	if (!err)
		err = fsp_buf_printf(&b[0], "%s%s", b[0].len ? ", " : "", name);
	if (!err)
		err = fsp_buf_printf(&b[1], "%s%s", b[1].len ? ", " : "",
		                     value);
	if (!err)
		err = fsp_buf_printf(&b[2], "%sn.%s <=> %s",
		                     b[2].len ? " AND " : "", name, value);
	if (!err && !may_change(name))
		err = fsp_buf_printf(&b[3], "%sn.%s <=> %s",
		                     b[3].len ? " AND " : "", name, value);
	if (!err)
		err = fsp_buf_printf(&b[4], "%s%s = VALUES(%s)",
		                     b[4].len ? ", " : "", name, name);
	return err;
}

static int make_lists(struct maria_move *m)
{
	struct fsp_buf b[5] = { FSP_BUF_INIT };
	int err = 0;

	for (int i = 0; !err && m->columns[i]; i++)
		if (m->have & 1U << i)
			err = add_column(m, i, b);
	/* Nobody knows when the old ones were stored: not now. */
	if (!err && m->t == &maria_file_table)
		err = fsp_buf_adds(&b[0], ", stored_at");
	if (!err && m->t == &maria_file_table)
		err = fsp_buf_adds(&b[1], ", NULL");
	m->into = fsp_buf_steal(&b[0]);
	m->from = fsp_buf_steal(&b[1]);
	m->same = fsp_buf_steal(&b[2]);
	m->same_fixed = fsp_buf_steal(&b[3]);
	m->update = fsp_buf_steal(&b[4]);
	if (!m->into || !m->from || !m->same || !m->same_fixed || !m->update)
		return -ENOMEM;
	return err;
}

int maria_move_init(struct maria_move *m, struct maria_up *u, bool files)
{
	int err;

	*m = (struct maria_move){
		.up = u,
		.t = files ? &maria_file_table : &maria_space_table,
		.columns = files ? maria_file_columns : maria_space_columns,
		.fresh = files ? "fsp_new_file" : "fsp_new_space",
		.kept = files ? "fsp_old_file" : "fsp_old_space",
		.log = files ? "fsp_log_file" : "fsp_log_space",
		.trigger = files ? "fsp_file_" : "fsp_space_",
	};
	err = look(m);
	if (!err)
		err = find_columns(m);
	return err ? err : make_lists(m);
}

void maria_move_free(struct maria_move *m)
{
	free(m->into);
	free(m->from);
	free(m->same);
	free(m->same_fixed);
	free(m->update);
}
