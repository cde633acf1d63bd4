/* MariaDB: `filespacectl schema`: looks, shows or does what is to be done. */
#include "maria_schema_up.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"

#define BATCH 5000

/* Of a table of PHP's that gives way to ours, only what differs is said. */
struct mending {
	struct maria_up *up;
	bool say_only;
	bool filled;            /* the rows it begins with were made */
};

static int mend(void *arg, const char *what, const char *sql)
{
	struct mending *md = arg;
	struct maria_up *u = md->up;
	int err = 0;

	md->filled |= !what;

	if (!sql && md->say_only)
		return 0;               /* refused elsewhere */
	if (sql)
		u->job->needed = true;
	if (what && (!sql || u->job->what == FSP_SCHEMA_CHECK))
		err = maria_up_say(u, "%s", what);
	if (err || !sql || md->say_only)
		return err;
	return maria_up_lock(u, "%s", sql);
}

static int mend_table(struct maria_up *u, const struct maria_table *t,
                      bool say_only)
{
	struct mending md = { .up = u, .say_only = say_only };

	return maria_table_compare(u->l, u->job->ctx, t, NULL, mend, &md);
}

static int mend_own(struct maria_up *u)
{
	int err = 0;

	for (int i = 0; !err && maria_own_tables[i]; i++)
		err = mend_table(u, maria_own_tables[i], false);
	return err;
}

/* Before there is a version, a table may be there and its rows may not. */
static int make_own(struct maria_up *u)
{
	int err = 0;

	for (int i = 0; !err && maria_own_tables[i]; i++) {
		const struct maria_table *t = maria_own_tables[i];
		struct mending md = { .up = u };

		err = maria_table_compare(u->l, u->job->ctx, t, NULL, mend,
		                          &md);
		if (!err && t->rows && !md.filled)
			err = maria_up_do(u, "%s", t->rows);
	}
	return err;
}

/* Rows that a table begins with and somebody removed. */
static int mend_rows(struct maria_up *u)
{
	int64_t there = 0, rows = 256;
	int err = maria_up_number(u, &there, "SELECT COUNT(*) FROM"
	                          " information_schema.tables WHERE table_schema"
	                          " = DATABASE() AND table_name = 'fsp_shard'");

	if (!err && there)
		err = maria_up_number(u, &rows, "SELECT COUNT(*) FROM fsp_shard"
		                      " WHERE id BETWEEN 0 AND 255");
	for (int i = 0; !err && rows < 256 && maria_own_tables[i]; i++)
		if (strcmp(maria_own_tables[i]->name, "fsp_shard") == 0)
			err = mend(&(struct mending){ .up = u },
			           "rows of fsp_shard are missing",
			           maria_own_tables[i]->rows);
	return err;
}

/* When both tables are ours: the triggers would write down the move. */
static int make_journal(struct maria_up *u)
{
	int err = 0;

	for (int i = 0; !err && maria_journal_triggers[i].name; i++)
		err = maria_up_lock(u, "%s", maria_journal_triggers[i].sql);
	return err ? err : maria_up_do(u, "%s", maria_journal_row);
}

/* *wanted: how many there should be; *there: how many there are. */
static int count_triggers(struct maria_up *u, int64_t *wanted, int64_t *there)
{
	*wanted = 0;
	while (maria_journal_triggers[*wanted].name)
		++*wanted;
	return maria_up_number(u, there, "SELECT COUNT(*) FROM"
	                       " information_schema.triggers WHERE"
	                       " trigger_schema = DATABASE() AND"
	                       " trigger_name LIKE 'fsp\\_journal\\_%%'");
}

/* Before anything is changed: may those that are missing be made? */
static int may_make_triggers(struct maria_up *u)
{
	int64_t there = 0, wanted;
	int err;

	if (u->job->what == FSP_SCHEMA_CHECK)
		return 0;
	err = count_triggers(u, &wanted, &there);
	return err || there == wanted ? err : maria_refuse_triggers(u);
}

static int mend_journal(struct maria_up *u)
{
	int64_t there = 0, said = 0, wanted;
	int err = count_triggers(u, &wanted, &there);

	if (!err)
		err = maria_up_number(u, &said, "SELECT COUNT(*) FROM fsp_info"
		                      " WHERE name = 'journal' AND value ="
		                      " '1'");
	if (err || (there == wanted && said))
		return err;
	for (int64_t i = 0; i < wanted && !err; i++)
		err = mend(&(struct mending){ .up = u },
		           "a trigger of the journal of changes is missing",
		           maria_journal_triggers[i].sql);
	return err ? err : mend(&(struct mending){ .up = u },
	                        "the journal of changes is not in use",
	                        maria_journal_row);
}

/* Last of all: everything that the version stands for is there. */
static int mend_version(struct maria_up *u, const struct maria_found *f)
{
	FSP_FREE char *what = fsp_strf("the schema is version %d, this "
	                               "program's is %d", f->version,
	                               MARIA_SCHEMA_VERSION);

	if (f->version == MARIA_SCHEMA_VERSION)
		return 0;
	return !what ? -ENOMEM : mend(&(struct mending){ .up = u }, what,
	                              maria_version_row);
}

static int work_ours(struct maria_up *u, const struct maria_found *f)
{
	int err = may_make_triggers(u);

	if (!err)
		err = mend_own(u);
	if (!err)
		err = mend_rows(u);
	if (!err)
		err = mend_table(u, &maria_space_table, false);
	if (!err)
		err = mend_table(u, &maria_file_table, false);
	if (!err)
		err = mend_journal(u);
	return err ? err : mend_version(u, f);
}

static int work_new(struct maria_up *u)
{
	int err = may_make_triggers(u);

	u->job->needed = true;
	if (!err)
		err = make_own(u);
	if (!err)
		err = mend_table(u, &maria_space_table, false);
	if (!err)
		err = mend_table(u, &maria_file_table, false);
	if (!err)
		err = make_journal(u);
	return err ? err : maria_up_do(u, "%s", maria_version_row);
}

static int work_legacy(struct maria_up *u, struct maria_move *file,
                       struct maria_move *space)
{
	int err = 0;

	u->job->needed = true;
	if (!file->done)
		err = maria_refuse_values(file);
	if (!err && !space->done)
		err = maria_refuse_values(space);
	if (!err && u->job->what == FSP_SCHEMA_CHECK) {
		err = mend_table(u, &maria_file_table, true);
		if (!err)
			err = mend_table(u, &maria_space_table, true);
		return err ? err : make_own(u);
	}
	if (!err)
		err = may_make_triggers(u);
	if (!err)
		err = maria_refuse_rights(u);
	if (!err)
		err = make_own(u);
	/* The bigger one first: what fails, fails there. */
	if (!err)
		err = maria_move(file);
	if (!err)
		err = maria_move(space);
	if (!err)
		err = make_journal(u);
	return err ? err : maria_up_do(u, "%s", maria_version_row);
}

static int legacy(struct maria_up *u)
{
	struct maria_move file = { 0 }, space = { 0 };
	int err = maria_move_init(&file, u, true);

	if (!err)
		err = maria_move_init(&space, u, false);
	if (!err)
		err = work_legacy(u, &file, &space);
	maria_move_free(&file);
	maria_move_free(&space);
	return err;
}

static int work(struct maria_up *u, const struct maria_found *f)
{
	int err;

	switch (f->kind) {
	case MARIA_UNKNOWN:
		return maria_up_fail(u, -EINVAL, "not a filespace database: %s",
		                     f->why);
	case MARIA_NEWER:
		return maria_up_fail(u, -EPROTO, "its schema is version %d, "
		                     "this program knows up to %d", f->version,
		                     MARIA_SCHEMA_VERSION);
	case MARIA_NOTHING:
		return work_new(u);
	case MARIA_OURS:
		return work_ours(u, f);
	case MARIA_LEGACY:
		break;
	}
	err = maria_refuse(u, f);
	return err ? err : legacy(u);
}

int maria_schema_work(struct maria_up *u)
{
	struct maria_found f;
	int err = maria_schema_detect(u->l, u->job->ctx, &f);

	if (!u->batch)
		u->batch = BATCH;
	if (!err)
		err = work(u, &f);
	maria_found_free(&f);
	return err;
}

int maria_schema_session(struct maria_up *u)
{
	static const char session[] =
		"SET SESSION autocommit = 1, max_statement_time = 0,"
		" group_concat_max_len = 16777216,"
		" sql_mode = CONCAT(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO')";
	int64_t got = 0;
	int err = maria_run(u->l, u->job->ctx, session);

	if (err || u->job->what != FSP_SCHEMA_UPGRADE)
		return err;
	/* One that was killed holds it till its last statement has ended. */
	err = maria_up_number(u, &got, "SELECT GET_LOCK(CONCAT('fsp_schema_',"
	                      " LEFT(SHA1(DATABASE()), 32)), 5)");
	if (err || got == 1)
		return err;
	return maria_up_fail(u, -EBUSY, "another upgrade of this database is "
	                     "running");
}

int fsp_meta_maria_schema(const struct fsp_maria_options *o,
                          struct fsp_schema *s)
{
	/* A statement may take as long as it takes. */
	struct fsp_maria_options patient = *o;
	struct maria_up u = { .o = &patient, .job = s };
	enum maria_role role = s->what == FSP_SCHEMA_UPGRADE ? MARIA_WRITER :
		MARIA_READER;
	int err;

	patient.timeout_ns = 0;
	s->needed = false;
	s->rows = 0;
	s->locked_ns = 0;
	s->error = NULL;
	err = maria_connect(&patient, s->ctx, role, NULL, &u.l, &s->error);
	if (err)
		return err;
	err = maria_schema_session(&u);
	if (!err)
		err = maria_schema_work(&u);
	if (err && !s->error)
		s->error = maria_message(u.l);
	maria_close(u.l);
	return err;
}
