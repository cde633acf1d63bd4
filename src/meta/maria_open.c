/* MariaDB: opening a database, and making the tables of a new one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_ctx.h"
#include "maria_pool.h"
#include "maria_schema.h"
#include "sql_meta.h"

static const struct sql_dialect ours = {
	.table = {
		[SQL_FILE] = "filespace_file", [SQL_SPACE] = "filespace",
		[SQL_NAME] = "fsp_name", [SQL_NODE] = "fsp_node",
		[SQL_OBJECT] = "fsp_object", [SQL_MOUNT] = "fsp_mount",
		[SQL_INFO] = "fsp_info", [SQL_XATTR] = "fsp_xattr",
		[SQL_LOCK] = "fsp_lock",
		[SQL_CHANGE] = "fsp_change", [SQL_BLOCKS] = "fsp_blocks",
	},
	.update = " FOR UPDATE",
	.part = "(",
	.last = "LAST_INSERT_ID()",
	.by_key = " FORCE INDEX (fsp_file_key)",
	.by_php = " FORCE INDEX (fsp_file_php)",
	.by_scan = " FORCE INDEX (fsp_file_scan)",
	.head = true,
	.place = true,
	.dated = true,
};

static void close_link(struct maria_link **l)
{
	maria_close(*l);
}
#define LINK __attribute__((cleanup(close_link)))

static void say(char **error, char *text)
{
	free(*error);
	*error = text;
}

static int refuse(const struct fsp_maria_options *o,
                  const struct maria_found *f, bool read_only, char **error)
{
	switch (f->kind) {
	case MARIA_NOTHING:
		say(error, fsp_strf("the database %s holds no filespace "
		                    "tables, or the user %s may not see them",
		                    o->database, o->user ? o->user : ""));
		return -ENODATA;
	case MARIA_UNKNOWN:
		say(error, fsp_strf("the database %s is no filespace database:"
		                    " %s", o->database, f->why));
		return -EINVAL;
	case MARIA_NEWER:
		say(error, fsp_strf("the database %s: its schema is version %d,"
		                    " this program knows up to %d", o->database,
		                    f->version, MARIA_SCHEMA_VERSION));
		return -EPROTO;
	case MARIA_LEGACY:
		if (read_only)
			return 0;
		say(error, fsp_strf("the database %s is a store of the PHP "
		                    "library; it can be mounted read-only, or "
		                    "made writable with `filespacectl schema "
		                    "upgrade`", o->database));
		return -EROFS;
	case MARIA_OURS:
		if (read_only || f->version == MARIA_SCHEMA_VERSION)
			return 0;
		say(error, fsp_strf("the database %s: its schema is version %d,"
		                    " this program's is %d; it can be mounted "
		                    "read-only, or brought up to date with "
		                    "`filespacectl schema upgrade`",
		                    o->database, f->version,
		                    MARIA_SCHEMA_VERSION));
		return -EROFS;
	}
	return 0;
}

/* Looks at the database, and makes what is missing where that is asked. */
static int look(const struct fsp_maria_options *o,
                const struct fsp_meta_options *mo, struct maria_found *f,
                char **error)
{
	struct fsp_ctx ctx = fsp_ctx_background();
	struct maria_link *l LINK = NULL;
	int err = maria_connect(o, &ctx, mo->read_only ? MARIA_READER :
	                        MARIA_WRITER, NULL, &l, error);

	if (err)
		return err;
	err = maria_schema_detect(l, &ctx, f);
	if (!err && f->kind == MARIA_NOTHING && mo->create && !mo->read_only) {
		err = maria_schema_create(l, &ctx);
		maria_found_free(f);
		if (!err)
			err = maria_schema_detect(l, &ctx, f);
	}
	if (err)
		say(error, maria_message(l));
	return err ? err : refuse(o, f, mo->read_only, error);
}

static int open_pool(const struct fsp_maria_options *o,
                     const struct fsp_meta_options *mo,
                     const struct maria_found *f, struct sqldrv **out,
                     char **error)
{
	bool legacy = f->kind == MARIA_LEGACY;
	const char *charset = o->charset ? o->charset : "utf8mb4";
	struct maria_settings s = {
		.o = o,
		.read_only = mo->read_only,
		.legacy = legacy,
		.connections = o->connections,
		.wait_ns = mo->busy_timeout_ns,
		.charset = legacy ? charset : NULL,
		.dialect = ours,
	};
	int err = 0;

	if (f->version < 2)
		s.dialect.table[SQL_BLOCKS] = MARIA_NO_BLOCKS;
	if (legacy)
		err = maria_legacy_dialect(f, charset, &s.dialect);
	if (err == -EINVAL)
		say(error, fsp_strf("%s: no name of a character set", charset));
	if (!err)
		err = maria_pool_open(&s, out, error);
	if (legacy)
		maria_legacy_free(&s.dialect);
	return err;
}

int fsp_meta_maria_open(const struct fsp_maria_options *o,
                        const struct fsp_meta_options *mo,
                        struct fsp_meta **out, char **error)
{
	struct maria_found found = { .why = NULL };
	struct sqldrv *drv = NULL;
	int err;

	*error = NULL;
	if (!o->database || !*o->database) {
		*error = fsp_strf("no database is given");
		return -EINVAL;
	}
	err = look(o, mo, &found, error);
	if (!err)
		err = open_pool(o, mo, &found, &drv, error);
	if (!err) {
		drv->journal = found.kind == MARIA_OURS && found.journal;
		err = sql_meta_new(drv, mo, out);
	}
	maria_found_free(&found);
	if (err && !*error)
		say(error, fsp_strf("the database %s: %s", o->database,
		                    strerror(-err)));
	return err;
}
