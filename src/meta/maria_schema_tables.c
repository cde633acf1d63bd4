/* MariaDB: the description of the tables, and their SQL. */
#include "maria_schema.h"

#include <string.h>

#include "fsp_buf.h"

#define BIG "bigint(20)"
#define SPACE_KEY "varbinary(1787)"
#define PATH "varbinary(4096)"
#define NAME "varbinary(255)"
#define HASH "varbinary(64)"
#define WORD "varbinary(64)"
#define END { NULL, NULL, MARIA_NULL }
#define NO_MORE { NULL, false, NULL }
#define PRIMARY(parts) { "PRIMARY", true, parts }

/*
 * Of PHP's only deleted_at is NOT NULL, which PHP leaves to its default: an
 * upgrade must not fail at a damaged row, which the code above hides anyway.
 */
static const struct maria_column file_columns[] = {
	{ "id", BIG, MARIA_ID },
	{ "file_key", PATH, MARIA_NULL },
	{ "space_key", SPACE_KEY, MARIA_NULL },
	{ "data_hash", HASH, MARIA_NULL },
	{ "created_at", BIG, MARIA_NULL },
	{ "deleted_at", BIG, MARIA_COUNT },
	{ "size_original", BIG, MARIA_NULL },
	{ "size_storage", BIG, MARIA_NULL },
	{ "ino", BIG, MARIA_NULL },
	{ "mode", BIG, MARIA_NULL },
	{ "uid", BIG, MARIA_NULL },
	{ "gid", BIG, MARIA_NULL },
	{ "mtime_ns", BIG, MARIA_NULL },
	{ "stored_at", BIG, MARIA_NOW },
	{ "since_us", BIG, MARIA_NULL },
	{ "closed_us", BIG, MARIA_NULL },
	{ "pred_id", BIG, MARIA_NULL },
	{ "key_head", "varbinary(900)", MARIA_HEAD },
	END
};

/*
 * InnoDB indexes 3072 bytes: a space_key whole, and the first 900 of the
 * file_key; in a column where rows are sorted, which an index of a prefix
 * cannot. What PHP updates is found by fsp_file_key, and not a row more is
 * locked.
 */
static const struct maria_index file_indexes[] = {
	PRIMARY("id"),
	{ "fsp_file_key", false, "space_key,file_key(900),deleted_at" },
	{ "fsp_file_scan", false, "space_key,key_head" },
	{ "fsp_file_php", false, "ino,deleted_at,space_key,key_head" },
	{ "fsp_file_hash", false, "data_hash" },
	{ "fsp_file_pred", false, "pred_id" },
	NO_MORE
};

static const struct maria_column space_columns[] = {
	{ "id", BIG, MARIA_ID },
	{ "space_key", SPACE_KEY, MARIA_NULL },
	{ "created_at", BIG, MARIA_NULL },
	{ "updated_at", BIG, MARIA_NULL },
	{ "deleted_at", BIG, MARIA_NULL },
	{ "name", "varbinary(1024)", MARIA_NULL },
	{ "since_us", BIG, MARIA_NULL },
	{ "closed_us", BIG, MARIA_NULL },
	END
};

static const struct maria_index space_indexes[] = {
	PRIMARY("id"),
	{ "fsp_space_key", false, "space_key" },
	NO_MORE
};

static const struct maria_column name_columns[] = {
	{ "id", BIG, MARIA_ID },
	{ "space_key", SPACE_KEY, MARIA_NOT_NULL },
	{ "dir_key", PATH, MARIA_NOT_NULL },
	{ "name", NAME, MARIA_NOT_NULL },
	{ "live", "tinyint(4)", MARIA_NULL },
	{ "ino", BIG, MARIA_NOT_NULL },
	{ "file_id", BIG, MARIA_NULL },
	{ "owner", WORD, MARIA_NULL },
	{ "since_us", BIG, MARIA_NOT_NULL },
	{ "closed_us", BIG, MARIA_NULL },
	{ "place", "binary(32)", MARIA_PLACE },
	END
};

static const struct maria_index name_indexes[] = {
	PRIMARY("id"),
	{ "fsp_name_place", true, "place,live" },
	{ "fsp_name_dir", false, "space_key,dir_key(900),live,name" },
	{ "fsp_name_ino", false, "ino,live" },
	{ "fsp_name_owner", false, "owner" },
	NO_MORE
};

static const struct maria_column node_columns[] = {
	{ "ino", BIG, MARIA_NOT_NULL },
	{ "mode", BIG, MARIA_NOT_NULL },
	{ "uid", BIG, MARIA_NOT_NULL },
	{ "gid", BIG, MARIA_NOT_NULL },
	{ "nlink", BIG, MARIA_NOT_NULL },
	{ "rdev", BIG, MARIA_NOT_NULL },
	{ "target", PATH, MARIA_NULL },
	{ "atime_ns", BIG, MARIA_NOT_NULL },
	{ "mtime_ns", BIG, MARIA_NOT_NULL },
	{ "ctime_ns", BIG, MARIA_NOT_NULL },
	END
};

static const struct maria_index ino_index[] = { PRIMARY("ino"), NO_MORE };

static const struct maria_column object_columns[] = {
	{ "object_key", HASH, MARIA_NOT_NULL },
	{ "sha256", HASH, MARIA_NOT_NULL },
	{ "sha1", HASH, MARIA_NOT_NULL },
	{ "size", BIG, MARIA_NOT_NULL },
	{ "stored", BIG, MARIA_NOT_NULL },
	{ "format", WORD, MARIA_NOT_NULL },
	{ "verified_us", BIG, MARIA_NOT_NULL },
	END
};

static const struct maria_index object_indexes[] = {
	PRIMARY("object_key"),
	{ "fsp_object_sha256", false, "sha256" },
	{ "fsp_object_sha1", false, "sha1" },
	NO_MORE
};

static const struct maria_column blocks_columns[] = {
	{ "object_key", HASH, MARIA_NOT_NULL },
	{ "data", "mediumblob", MARIA_NOT_NULL },
	END
};

static const struct maria_index blocks_indexes[] = {
	PRIMARY("object_key"),
	NO_MORE
};

static const struct maria_column mount_columns[] = {
	{ "id", WORD, MARIA_NOT_NULL },
	{ "host", NAME, MARIA_NOT_NULL },
	{ "pid", BIG, MARIA_NOT_NULL },
	{ "path", PATH, MARIA_NOT_NULL },
	{ "started_us", BIG, MARIA_NOT_NULL },
	{ "read_only", BIG, MARIA_NOT_NULL },
	{ "spool", PATH, MARIA_NOT_NULL },
	{ "lease_us", BIG, MARIA_NULL },
	END
};

static const struct maria_index id_index[] = { PRIMARY("id"), NO_MORE };

static const struct maria_column xattr_columns[] = {
	{ "ino", BIG, MARIA_NOT_NULL },
	{ "name", NAME, MARIA_NOT_NULL },
	{ "value", "mediumblob", MARIA_NOT_NULL },
	END
};

static const struct maria_index xattr_indexes[] = {
	PRIMARY("ino,name"),
	NO_MORE
};

static const struct maria_column lock_columns[] = {
	{ "id", BIG, MARIA_ID },
	{ "ino", BIG, MARIA_NOT_NULL },
	{ "kind", BIG, MARIA_NOT_NULL },
	{ "mount", WORD, MARIA_NOT_NULL },
	{ "owner", BIG, MARIA_NOT_NULL },
	{ "type", BIG, MARIA_NOT_NULL },
	{ "first_byte", BIG, MARIA_NOT_NULL },
	{ "last_byte", BIG, MARIA_NOT_NULL },
	{ "pid", BIG, MARIA_NOT_NULL },
	END
};

static const struct maria_index lock_indexes[] = {
	PRIMARY("id"),
	{ "fsp_lock_ino", false, "ino,kind" },
	{ "fsp_lock_mount", false, "mount" },
	NO_MORE
};

static const struct maria_column info_columns[] = {
	{ "name", WORD, MARIA_NOT_NULL },
	{ "value", PATH, MARIA_NOT_NULL },
	END
};

static const struct maria_index info_indexes[] = {
	PRIMARY("name"),
	NO_MORE
};

/* turn: a claim must change its row, or Galera would not certify it. */
static const struct maria_column shard_columns[] = {
	{ "id", BIG, MARIA_NOT_NULL },
	{ "turn", BIG, MARIA_COUNT },
	END
};

static const struct maria_column change_columns[] = {
	{ "id", BIG, MARIA_ID },
	{ "at_us", BIG, MARIA_NOT_NULL },
	{ "origin", WORD, MARIA_NULL },
	{ "space_key", SPACE_KEY, MARIA_NOT_NULL },
	{ "dir_key", PATH, MARIA_NULL },
	{ "name", PATH, MARIA_NULL },
	{ "ino", BIG, MARIA_NULL },
	{ "named", BIG, MARIA_NULL },
	END
};

static const struct maria_column outcome_columns[] = {
	{ "id", BIG, MARIA_ID },
	{ "token", WORD, MARIA_NOT_NULL },
	{ "at_us", BIG, MARIA_NOT_NULL },
	END
};

static const struct maria_index outcome_indexes[] = {
	PRIMARY("id"),
	{ "fsp_outcome_at", false, "at_us" },
	NO_MORE
};

const struct maria_table maria_file_table = {
	"filespace_file", file_columns, file_indexes, NULL
};
const struct maria_table maria_space_table = {
	"filespace", space_columns, space_indexes, NULL
};

static const struct maria_table name_table = {
	"fsp_name", name_columns, name_indexes, NULL
};
static const struct maria_table node_table = {
	"fsp_node", node_columns, ino_index, NULL
};
static const struct maria_table object_table = {
	"fsp_object", object_columns, object_indexes, NULL
};
static const struct maria_table blocks_table = {
	"fsp_blocks", blocks_columns, blocks_indexes, NULL
};
static const struct maria_table mount_table = {
	"fsp_mount", mount_columns, id_index, NULL
};
static const struct maria_table xattr_table = {
	"fsp_xattr", xattr_columns, xattr_indexes, NULL
};
static const struct maria_table lock_table = {
	"fsp_lock", lock_columns, lock_indexes, NULL
};
static const struct maria_table shard_table = {
	"fsp_shard", shard_columns, id_index,
	"INSERT INTO fsp_shard (id) WITH RECURSIVE n AS (SELECT 0 AS id\n"
	"  UNION ALL SELECT id + 1 FROM n WHERE id < 255) SELECT id FROM n\n"
	"  ON DUPLICATE KEY UPDATE turn = turn"
};
static const struct maria_table change_table = {
	"fsp_change", change_columns, id_index, NULL
};
static const struct maria_table outcome_table = {
	"fsp_outcome", outcome_columns, outcome_indexes, NULL
};
static const struct maria_table info_table = {
	"fsp_info", info_columns, info_indexes,
	"INSERT INTO fsp_info (name, value) VALUES\n"
	"  ('next_ino', '16'), ('sync', '0'),\n"
	"  ('store', MD5(CONCAT(UUID(), RAND(), CONNECTION_ID()))),\n"
	"  ('created', UNIX_TIMESTAMP())\n"
	"  ON DUPLICATE KEY UPDATE value = value"
};

const struct maria_table *const maria_own_tables[] = {
	&name_table, &node_table, &object_table, &blocks_table, &mount_table,
	&xattr_table, &lock_table, &shard_table, &outcome_table, &change_table,
	&info_table, NULL
};

const char maria_version_row[] =
	"INSERT INTO fsp_info (name, value) VALUES ('schema', '3')\n"
	"  ON DUPLICATE KEY UPDATE value = '3'";

/* The clock without time zones: an hour that comes twice would be ambiguous. */
static const char *const kind_sql[] = {
	[MARIA_NULL] = "DEFAULT NULL",
	[MARIA_NOT_NULL] = "NOT NULL",
	[MARIA_COUNT] = "NOT NULL DEFAULT 0",
	[MARIA_ID] = "NOT NULL AUTO_INCREMENT",
	[MARIA_NOW] = "DEFAULT (TIMESTAMPDIFF(MICROSECOND,"
		" TIMESTAMP'1970-01-01 00:00:00', UTC_TIMESTAMP(6)))",
	[MARIA_PLACE] = "GENERATED ALWAYS AS (UNHEX(SHA2(CONCAT(space_key,"
		" CHAR(0), dir_key, CHAR(0), name), 256))) PERSISTENT",
	[MARIA_HEAD] = "GENERATED ALWAYS AS (LEFT(file_key, 900)) PERSISTENT",
};

int maria_column_sql(const struct maria_column *c, struct fsp_buf *out)
{
	return fsp_buf_printf(out, "%s %s %s", c->name, c->type,
	                      kind_sql[c->kind]);
}

int maria_index_sql(const struct maria_index *i, struct fsp_buf *out)
{
	if (strcmp(i->name, "PRIMARY") == 0)
		return fsp_buf_printf(out, "PRIMARY KEY (%s)", i->parts);
	return fsp_buf_printf(out, "%s %s (%s)", i->unique ? "UNIQUE KEY" :
	                      "KEY", i->name, i->parts);
}

int maria_table_sql(const struct maria_table *t, const char *as,
                    struct fsp_buf *out)
{
	int err = fsp_buf_printf(out, "CREATE TABLE IF NOT EXISTS %s (",
	                         as ? as : t->name);

	for (const struct maria_column *c = t->columns; !err && c->name; c++) {
		err = fsp_buf_adds(out, c == t->columns ? "\n  " : ",\n  ");
		if (!err)
			err = maria_column_sql(c, out);
	}
	for (const struct maria_index *i = t->indexes; !err && i->name; i++) {
		err = fsp_buf_adds(out, ",\n  ");
		if (!err)
			err = maria_index_sql(i, out);
	}
	if (!err)
		err = fsp_buf_adds(out, "\n) ENGINE=InnoDB ROW_FORMAT=DYNAMIC"
		                   " DEFAULT CHARSET=binary");
	return err;
}
