/* MariaDB: what a database holds, and making the tables of a new one. */
#include "maria_schema.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_log.h"
#include "maria.h"

const char *const maria_file_columns[] = {
	"id", "file_key", "space_key", "data_hash", "created_at",
	"deleted_at", "size_original", "size_storage", NULL
};

const char *const maria_space_columns[] = {
	"id", "space_key", "created_at", "updated_at", "deleted_at", "name",
	NULL
};

/* What PHP's statements cannot do without: bits in the order above. */
#define FILE_REQUIRED 0x7fU
#define SPACE_REQUIRED 0x3U

/* information_schema shows what the user may see of this database. */
#define COLUMNS_SQL \
	"SELECT table_name, column_name FROM information_schema.columns" \
	" WHERE table_schema = DATABASE() AND table_name IN" \
	" ('filespace', 'filespace_file', 'fsp_info')"

struct look {
	struct maria_found *found;
	bool file, space, info;
};

static void note_column(const char *const *columns, const char *name,
                        uint32_t *found)
{
	for (int i = 0; columns[i]; i++)
		if (strcasecmp(columns[i], name) == 0)
			*found |= 1U << i;
}

static int each_column(void *arg, char **fields, const unsigned long *lengths)
{
	struct look *look = arg;

	(void)lengths;
	if (!fields[0] || !fields[1])
		return -EIO;
	if (strcmp(fields[0], "fsp_info") == 0) {
		look->info = true;
	} else if (strcmp(fields[0], "filespace") == 0) {
		look->space = true;
		note_column(maria_space_columns, fields[1],
		            &look->found->space_columns);
	} else {
		look->file = true;
		note_column(maria_file_columns, fields[1],
		            &look->found->file_columns);
	}
	return 0;
}

static int unknown(struct maria_found *f, const char *why)
{
	f->kind = MARIA_UNKNOWN;
	f->why = strdup(why);
	return f->why ? 0 : -ENOMEM;
}

/* Without a version the tables are on their way to ours: PHP's, for us. */
static int detect_version(struct maria_link *l, const struct fsp_ctx *ctx,
                          struct maria_found *out)
{
	int64_t v = 0;
	int err = maria_number(l, ctx, "SELECT value FROM fsp_info"
	                       " WHERE name = 'schema'", &v);

	if (err == -ENOENT) {
		out->kind = MARIA_LEGACY;
		return 0;
	}
	if (err == -EINVAL || (!err && v < 1))
		return unknown(out, "fsp_info holds a schema version that is "
		               "no number");
	out->version = v > 1000 ? 1000 : (int)v;
	out->kind = v > MARIA_SCHEMA_VERSION ? MARIA_NEWER : MARIA_OURS;
	if (!err)
		err = maria_number(l, ctx, "SELECT COUNT(*) FROM fsp_info WHERE"
		                   " name = 'journal' AND value = '1'", &v);
	out->journal = v > 0;
	return err;
}

int maria_schema_detect(struct maria_link *l, const struct fsp_ctx *ctx,
                        struct maria_found *out)
{
	struct look look = { .found = out };
	int err;

	*out = (struct maria_found){ .kind = MARIA_NOTHING };
	err = maria_rows(l, ctx, COLUMNS_SQL, each_column, &look);
	/* filespace_file is what a creation makes last */
	if (err || (!look.file && (look.info || !look.space)))
		return err;
	if (look.file != look.space)
		return unknown(out, look.file ? "the table filespace is "
		               "missing" : "the table filespace_file is "
		               "missing");
	out->kind = MARIA_LEGACY;
	if (look.info)
		err = detect_version(l, ctx, out);
	if (!err && out->kind == MARIA_LEGACY &&
	    ((out->file_columns & FILE_REQUIRED) != FILE_REQUIRED ||
	     (out->space_columns & SPACE_REQUIRED) != SPACE_REQUIRED))
		return unknown(out, "filespace_file or filespace lacks columns "
		               "that the PHP library uses");
	return err;
}

void maria_found_free(struct maria_found *f)
{
	free(f->why);
	f->why = NULL;
}

static int create_table(struct maria_link *l, const struct fsp_ctx *ctx,
                        const struct maria_table *t)
{
	FSP_BUF struct fsp_buf sql = FSP_BUF_INIT;
	int err = maria_table_sql(t, NULL, &sql);

	if (!err)
		err = maria_run(l, ctx, sql.data);
	if (!err && t->rows)
		err = maria_run(l, ctx, t->rows);
	return err;
}

/* A server that does not let us have triggers has no journal of changes. */
static int create_triggers(struct maria_link *l, const struct fsp_ctx *ctx)
{
	int err = 0;

	for (int i = 0; !err && maria_journal_triggers[i].name; i++)
		err = maria_run(l, ctx, maria_journal_triggers[i].sql);
	if (!err)
		err = maria_run(l, ctx, maria_journal_row);
	if (err != -EACCES)
		return err;
	fsp_warn("the database's user may not create triggers: what PHP and "
	         "other mounts change shows after the time-outs only");
	return 0;
}

int maria_schema_create(struct maria_link *l, const struct fsp_ctx *ctx)
{
	int err = 0;

	for (int i = 0; !err && maria_own_tables[i]; i++)
		err = create_table(l, ctx, maria_own_tables[i]);
	if (!err)
		err = create_table(l, ctx, &maria_space_table);
	if (!err)
		err = create_table(l, ctx, &maria_file_table);
	if (!err)
		err = create_triggers(l, ctx);
	if (!err)
		err = maria_run(l, ctx, maria_version_row);
	return err ? err : maria_run(l, ctx, "COMMIT");
}
