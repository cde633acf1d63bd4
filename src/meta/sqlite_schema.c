/* SQLite: the tables, recognising them, and bringing old ones up to date. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_log.h"
#include "sqlite_pool.h"

/* Milliseconds are what SQLite's clock gives. */
#define NOW_US "(CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)" \
	" * 1000)"

/*
 * Nothing is NOT NULL in PHP's tables: an upgrade must not fail at a damaged
 * row, which the code above hides anyway.
 */
#define FILE_TABLE(name) \
	"CREATE TABLE " name " (\n" \
	"  id INTEGER PRIMARY KEY AUTOINCREMENT,\n" \
	"  file_key TEXT,\n" \
	"  space_key TEXT,\n" \
	"  data_hash TEXT,\n" \
	"  created_at INTEGER,\n" \
	"  deleted_at INTEGER DEFAULT 0,\n" \
	"  size_original INTEGER,\n" \
	"  size_storage INTEGER,\n" \
	"  ino INTEGER,\n" \
	"  mode INTEGER,\n" \
	"  uid INTEGER,\n" \
	"  gid INTEGER,\n" \
	"  mtime_ns INTEGER,\n" \
	"  stored_at INTEGER DEFAULT " NOW_US ",\n" \
	"  since_us INTEGER,\n" \
	"  closed_us INTEGER,\n" \
	"  pred_id INTEGER\n" \
	")"

#define SPACE_TABLE(name) \
	"CREATE TABLE " name " (\n" \
	"  id INTEGER PRIMARY KEY AUTOINCREMENT,\n" \
	"  space_key TEXT,\n" \
	"  created_at INTEGER,\n" \
	"  updated_at INTEGER DEFAULT NULL,\n" \
	"  deleted_at INTEGER DEFAULT NULL,\n" \
	"  name TEXT,\n" \
	"  since_us INTEGER,\n" \
	"  closed_us INTEGER\n" \
	")"

#define LIVE "(deleted_at IS NULL OR deleted_at = 0)"

/* What follows a row: dropping one joins the chain again. */
#define PRED_INDEX \
	"CREATE INDEX fsp_file_pred ON filespace_file (pred_id)" \
	" WHERE pred_id IS NOT NULL"

/*
 * What others did, for those who may know what was there. A mount writes its
 * rows itself; the triggers see to what PHP and somebody's SQL do: such rows
 * have no since_us when they come, and no new closed_us when they go.
 */
#define CHANGE_TABLE \
	"CREATE TABLE fsp_change (\n" \
	"  id INTEGER PRIMARY KEY AUTOINCREMENT,\n" \
	"  at_us INTEGER NOT NULL,\n" \
	"  origin TEXT,\n" \
	"  space_key TEXT NOT NULL,\n" \
	"  dir_key TEXT,\n" \
	"  name TEXT,\n" \
	"  ino INTEGER,\n" \
	"  named INTEGER\n" \
	")"
#define TRIGGER(name, event, table, when, row, key) \
	"CREATE TRIGGER " name " AFTER " event " ON " table " WHEN " when "\n" \
	"BEGIN\n" \
	"  INSERT INTO fsp_change (at_us, space_key, name, ino, named)\n" \
	"  VALUES (" NOW_US ", coalesce(" row ".space_key, ''), " key ",\n" \
	"    NULL, 1);\n" \
	"END"
#define UNTOLD "NEW.closed_us IS OLD.closed_us AND (" \
	"NEW.deleted_at IS NOT OLD.deleted_at OR " \
	"NEW.space_key IS NOT OLD.space_key"
#define CHANGE_TRIGGERS \
	TRIGGER("fsp_file_insert", "INSERT", "filespace_file", \
	        "NEW.since_us IS NULL", "NEW", "NEW.file_key"), \
	TRIGGER("fsp_file_update", "UPDATE", "filespace_file", UNTOLD \
	        " OR NEW.file_key IS NOT OLD.file_key" \
	        " OR NEW.data_hash IS NOT OLD.data_hash)", \
	        "NEW", "NEW.file_key"), \
	TRIGGER("fsp_file_delete", "DELETE", "filespace_file", \
	        "OLD.since_us IS NULL", "OLD", "OLD.file_key"), \
	TRIGGER("fsp_space_insert", "INSERT", "filespace", \
	        "NEW.since_us IS NULL", "NEW", "NULL"), \
	TRIGGER("fsp_space_update", "UPDATE", "filespace", UNTOLD ")", \
	        "NEW", "NULL")

#define BLOCKS_TABLE \
	"CREATE TABLE fsp_blocks (\n" \
	"  object_key TEXT NOT NULL PRIMARY KEY,\n" \
	"  data BLOB NOT NULL\n" \
	")"

static const char *const own_tables[] = {
	/* all rows of a key; the live ones; those of PHP alone */
	"CREATE INDEX fsp_file_key ON filespace_file (space_key, file_key)",
	"CREATE INDEX fsp_file_live ON filespace_file"
	" (space_key, file_key, created_at) WHERE " LIVE,
	"CREATE INDEX fsp_file_php ON filespace_file (space_key, file_key)"
	" WHERE ino IS NULL",
	"CREATE INDEX fsp_file_php_live ON filespace_file"
	" (space_key, file_key) WHERE ino IS NULL AND " LIVE,
	"CREATE INDEX fsp_file_hash ON filespace_file (data_hash)",
	PRED_INDEX,
	"CREATE INDEX fsp_space_key ON filespace (space_key)",
	"CREATE TABLE fsp_name (\n"
	"  id INTEGER PRIMARY KEY,\n"
	"  space_key TEXT NOT NULL,\n"
	"  dir_key TEXT NOT NULL,\n"
	"  name TEXT NOT NULL,\n"
	"  live INTEGER,\n"
	"  ino INTEGER NOT NULL,\n"
	"  file_id INTEGER,\n"
	"  owner TEXT,\n"
	"  since_us INTEGER NOT NULL,\n"
	"  closed_us INTEGER,\n"
	"  UNIQUE (space_key, dir_key, live, name)\n"
	")",
	"CREATE INDEX fsp_name_ino ON fsp_name (ino, live)",
	"CREATE INDEX fsp_name_owner ON fsp_name (owner)"
	" WHERE owner IS NOT NULL",
	"CREATE TABLE fsp_node (\n"
	"  ino INTEGER PRIMARY KEY,\n"
	"  mode INTEGER NOT NULL,\n"
	"  uid INTEGER NOT NULL,\n"
	"  gid INTEGER NOT NULL,\n"
	"  nlink INTEGER NOT NULL,\n"
	"  rdev INTEGER NOT NULL,\n"
	"  target TEXT,\n"
	"  atime_ns INTEGER NOT NULL,\n"
	"  mtime_ns INTEGER NOT NULL,\n"
	"  ctime_ns INTEGER NOT NULL\n"
	")",
	"CREATE TABLE fsp_object (\n"
	"  object_key TEXT NOT NULL PRIMARY KEY,\n"
	"  sha256 TEXT NOT NULL,\n"
	"  sha1 TEXT NOT NULL,\n"
	"  size INTEGER NOT NULL,\n"
	"  stored INTEGER NOT NULL,\n"
	"  format TEXT NOT NULL,\n"
	"  verified_us INTEGER NOT NULL\n"
	") WITHOUT ROWID",
	"CREATE INDEX fsp_object_sha256 ON fsp_object (sha256)",
	"CREATE INDEX fsp_object_sha1 ON fsp_object (sha1)",
	"CREATE TABLE fsp_mount (\n"
	"  id TEXT NOT NULL PRIMARY KEY,\n"
	"  host TEXT NOT NULL,\n"
	"  pid INTEGER NOT NULL,\n"
	"  path TEXT NOT NULL,\n"
	"  started_us INTEGER NOT NULL,\n"
	"  read_only INTEGER NOT NULL,\n"
	"  spool TEXT NOT NULL,\n"
	"  lease_us INTEGER\n"
	")",
	CHANGE_TABLE,
	CHANGE_TRIGGERS,
	BLOCKS_TABLE,
	"CREATE TABLE fsp_xattr (\n"
	"  ino INTEGER NOT NULL,\n"
	"  name TEXT NOT NULL,\n"
	"  value TEXT NOT NULL,\n"
	"  PRIMARY KEY (ino, name)\n"
	") WITHOUT ROWID",
	"CREATE TABLE fsp_lock (\n"
	"  id INTEGER PRIMARY KEY,\n"
	"  ino INTEGER NOT NULL,\n"
	"  kind INTEGER NOT NULL,\n"
	"  mount TEXT NOT NULL,\n"
	"  owner INTEGER NOT NULL,\n"
	"  type INTEGER NOT NULL,\n"
	"  first_byte INTEGER NOT NULL,\n"
	"  last_byte INTEGER NOT NULL,\n"
	"  pid INTEGER NOT NULL\n"
	")",
	"CREATE INDEX fsp_lock_ino ON fsp_lock (ino, kind)",
	"CREATE INDEX fsp_lock_mount ON fsp_lock (mount)",
	"CREATE TABLE fsp_info (\n"
	"  name TEXT NOT NULL PRIMARY KEY,\n"
	"  value TEXT NOT NULL\n"
	")",
	"INSERT INTO fsp_info VALUES ('schema', '5'), ('next_ino', '16'),\n"
	"  ('sync', '0'), ('store', lower(hex(randomblob(16)))),\n"
	"  ('created', strftime('%s', 'now'))",
	NULL
};

const char *const sqlite_file_columns[] = {
	"id", "file_key", "space_key", "data_hash", "created_at",
	"deleted_at", "size_original", "size_storage", NULL
};

const char *const sqlite_space_columns[] = {
	"id", "space_key", "created_at", "updated_at", "deleted_at", "name",
	NULL
};

/* What PHP's statements cannot do without: bits in the order above. */
#define FILE_REQUIRED 0x7fU
#define SPACE_REQUIRED 0x3U

int sqlite_create(sqlite3 *db)
{
	int err = sqlite_run(db, FILE_TABLE("filespace_file"));

	if (!err)
		err = sqlite_run(db, SPACE_TABLE("filespace"));
	for (int i = 0; !err && own_tables[i]; i++)
		err = sqlite_run(db, own_tables[i]);
	return err;
}

/* Which of the columns a table has; *extra (fresh) is the first other one. */
static int find_columns(sqlite3 *db, const char *sql,
                        const char *const *columns, uint32_t *found,
                        char **extra)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

	*found = 0;
	while (!rc && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(st, 0);
		int i = 0;

		while (name && columns[i] && strcmp(columns[i], name) != 0)
			i++;
		if (name && columns[i])
			*found |= 1U << i;
		else if (name && !*extra)
			*extra = strdup(name);
		rc = 0;
	}
	(void)sqlite3_finalize(st);     /* its code is the one of the step */
	return rc == SQLITE_DONE ? 0 : sqlite_errno(db, rc, NULL);
}

#define COLUMNS_OF(table) "SELECT name FROM pragma_table_info('" table "')"

static int detect_legacy(sqlite3 *db, struct sqlite_found *out)
{
	FSP_FREE char *extra = NULL;
	int64_t triggers = 0;
	int err;

	err = find_columns(db, COLUMNS_OF("filespace_file"),
	                   sqlite_file_columns, &out->file_columns, &extra);
	if (!err)
		err = find_columns(db, COLUMNS_OF("filespace"),
		                   sqlite_space_columns, &out->space_columns,
		                   &extra);
	if (!err)
		err = sqlite_select(db, "SELECT count(*) FROM sqlite_master"
		                    " WHERE type = 'trigger' AND tbl_name IN"
		                    " ('filespace', 'filespace_file')",
		                    &triggers);
	if (err)
		return err;
	out->kind = SQLITE_LEGACY;
	if ((out->file_columns & FILE_REQUIRED) != FILE_REQUIRED ||
	    (out->space_columns & SPACE_REQUIRED) != SPACE_REQUIRED) {
		out->kind = SQLITE_UNKNOWN;
		out->why = fsp_strf("filespace_file or filespace lacks"
		                    " columns that the PHP library uses");
	} else if (extra) {
		out->why = fsp_strf("the column %s is not known", extra);
	} else if (triggers) {
		out->why = fsp_strf("the tables have triggers");
	}
	return 0;
}

static int detect_version(sqlite3 *db, struct sqlite_found *out)
{
	int64_t version = 0;
	int err = sqlite_select(db, "SELECT CAST(value AS INTEGER)"
	                        " FROM fsp_info WHERE name = 'schema'",
	                        &version);

	if (err == -ENOENT || (!err && version < 1)) {
		out->kind = SQLITE_UNKNOWN;
		out->why = fsp_strf("fsp_info holds no schema version");
		return 0;
	}
	out->version = version > 1000 ? 1000 : (int)version;
	out->kind = version > SQLITE_SCHEMA_VERSION ? SQLITE_NEWER :
		SQLITE_OURS;
	return err;
}

int sqlite_detect(sqlite3 *db, struct sqlite_found *out)
{
	int64_t php = 0, info = 0, all = 0;
	int err;

	*out = (struct sqlite_found){ .kind = SQLITE_NOTHING };
	err = sqlite_select(db, "SELECT count(*) FROM sqlite_master WHERE"
	                    " name NOT LIKE 'sqlite_%'", &all);
	if (!err)
		err = sqlite_select(db, "SELECT count(*) FROM sqlite_master"
		                    " WHERE type = 'table' AND name IN"
		                    " ('filespace', 'filespace_file')", &php);
	if (!err)
		err = sqlite_select(db, "SELECT count(*) FROM sqlite_master"
		                    " WHERE type = 'table' AND name ="
		                    " 'fsp_info'", &info);
	if (err || all == 0)
		return err;
	if (php == 2)
		return info ? detect_version(db, out) :
			detect_legacy(db, out);
	out->kind = SQLITE_UNKNOWN;
	out->why = fsp_strf("it holds other tables, but not both of"
	                    " filespace and filespace_file");
	return 0;
}

struct migration {
	sqlite3 *db;
	const struct sqlite_found *found;
	FILE *out;
	bool dry_run;
};

static int emit(const struct migration *m, const char *sql)
{
	if (!sql)
		return -ENOMEM;
	if (m->out && fprintf(m->out, "%s;\n", sql) < 0)
		return -EIO;
	return m->dry_run ? 0 : sqlite_run(m->db, sql);
}

/* The columns of `names` that are there, comma-separated. */
static char *column_list(const char *const *names, uint32_t have,
                         bool missing_as_null, const char *null_to_zero)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;

	for (int i = 0; names[i]; i++) {
		bool there = have & (1U << i);
		const char *sep = b.len ? ", " : "";
		int err;

		if (!there && !missing_as_null)
			continue;
		if (!there)
			err = fsp_buf_printf(&b, "%sNULL AS %s", sep, names[i]);
		else if (null_to_zero && strcmp(names[i], null_to_zero) == 0)
			err = fsp_buf_printf(&b, "%scoalesce(%s, 0)", sep,
			                     names[i]);
		else
			err = fsp_buf_printf(&b, "%s%s", sep, names[i]);
		if (err)
			return NULL;
	}
	return fsp_buf_steal(&b);
}

/* Puts `fresh` in the place of `old`, rows, ids and the next id kept. */
static int replace_table(const struct migration *m, const char *create,
                         const char *old, const char *into, const char *from)
{
	FSP_FREE char *copy = fsp_strf(
		"INSERT INTO fsp_new (%s%s)\nSELECT %s%s FROM %s", into,
		strcmp(old, "filespace") == 0 ? "" : ", stored_at", from,
		strcmp(old, "filespace") == 0 ? "" : ", NULL", old);
	FSP_FREE char *next = fsp_strf(
		"INSERT INTO sqlite_sequence (name, seq)\n"
		"SELECT 'fsp_new', max(seq) FROM sqlite_sequence\n"
		"WHERE name IN ('%s', 'fsp_old')", old);
	FSP_FREE char *drop = fsp_strf("DROP TABLE %s", old);
	FSP_FREE char *rename = fsp_strf(
		"ALTER TABLE fsp_new RENAME TO %s", old);
	int err = emit(m, create);

	if (!err)
		err = emit(m, copy);
	if (!err)
		err = emit(m, "UPDATE sqlite_sequence SET name = 'fsp_old'\n"
		           "WHERE name = 'fsp_new'");
	if (!err)
		err = emit(m, next);
	if (!err)
		err = emit(m, "DELETE FROM sqlite_sequence\n"
		           "WHERE name = 'fsp_old' OR seq IS NULL");
	if (!err)
		err = emit(m, drop);
	return err ? err : emit(m, rename);
}

/* From PHP's two tables to what is newest. */
static int migrate_php(const struct migration *m)
{
	uint32_t fc = m->found->file_columns, sc = m->found->space_columns;
	FSP_FREE char *file_into = column_list(sqlite_file_columns, fc, false,
	                                       NULL);
	FSP_FREE char *file_from = column_list(sqlite_file_columns, fc, false,
	                                       "deleted_at");
	FSP_FREE char *space = column_list(sqlite_space_columns, sc, false,
	                                   NULL);
	int err;

	if (!file_into || !file_from || !space)
		return -ENOMEM;
	err = replace_table(m, FILE_TABLE("fsp_new"), "filespace_file",
	                    file_into, file_from);
	if (!err)
		err = replace_table(m, SPACE_TABLE("fsp_new"), "filespace",
		                    space, space);
	for (int i = 0; !err && own_tables[i]; i++)
		err = emit(m, own_tables[i]);
	return err;
}

static int migrate_to_2(const struct migration *m)
{
	return emit(m, PRED_INDEX);
}

static int migrate_to_3(const struct migration *m)
{
	static const char *const sql[] = {
		"ALTER TABLE fsp_mount ADD COLUMN lease_us INTEGER",
		CHANGE_TABLE, CHANGE_TRIGGERS
	};
	int err = 0;

	for (size_t i = 0; i < sizeof(sql) / sizeof(*sql) && !err; i++)
		err = emit(m, sql[i]);
	return err;
}

static int migrate_to_4(const struct migration *m)
{
	return emit(m, BLOCKS_TABLE);
}

/* From each version to the next; 5 has the tables of 4, but directories that
 * are delegated, of which an older program knows nothing. */
static const struct {
	int from;
	int (*run)(const struct migration *m);
} steps[] = {
	{ 1, migrate_to_2 },
	{ 2, migrate_to_3 },
	{ 3, migrate_to_4 },
};

int sqlite_migrate(sqlite3 *db, const struct sqlite_found *f, FILE *out,
                   bool dry_run)
{
	struct migration m = { db, f, out, dry_run };
	FSP_FREE char *version = fsp_strf("UPDATE fsp_info SET value = '%d'"
	                                  " WHERE name = 'schema'",
	                                  SQLITE_SCHEMA_VERSION);
	int err = 0;

	if (f->version == 0)
		return migrate_php(&m);
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps) && !err; i++)
		if (steps[i].from >= f->version)
			err = steps[i].run(&m);
	return err ? err : emit(&m, version);
}

#define NO_BLOCKS "(SELECT NULL AS object_key, NULL AS data WHERE 0)"

/* The tables we do not find are empty, the columns NULL. */
static const char *const no_tables[SQL_TABLES] = {
	NULL, NULL,
	"(SELECT NULL AS id, NULL AS space_key, NULL AS dir_key,"
	" NULL AS name, NULL AS live, NULL AS ino, NULL AS file_id,"
	" NULL AS owner, NULL AS since_us, NULL AS closed_us WHERE 0)",
	"(SELECT NULL AS ino, NULL AS mode, NULL AS uid, NULL AS gid,"
	" NULL AS nlink, NULL AS rdev, NULL AS target, NULL AS atime_ns,"
	" NULL AS mtime_ns, NULL AS ctime_ns WHERE 0)",
	"(SELECT NULL AS object_key, NULL AS sha256, NULL AS sha1,"
	" NULL AS size, NULL AS stored, NULL AS format,"
	" NULL AS verified_us WHERE 0)",
	"(SELECT NULL AS id, NULL AS host, NULL AS pid, NULL AS path,"
	" NULL AS started_us, NULL AS read_only, NULL AS spool,"
	" NULL AS lease_us WHERE 0)",
	"(SELECT NULL AS name, NULL AS value WHERE 0)",
	"(SELECT NULL AS ino, NULL AS name, NULL AS value WHERE 0)",
	"(SELECT NULL AS id, NULL AS ino, NULL AS kind, NULL AS mount,"
	" NULL AS owner, NULL AS type, NULL AS first_byte, NULL AS last_byte,"
	" NULL AS pid WHERE 0)",
	"(SELECT NULL AS id, NULL AS at_us, NULL AS origin,"
	" NULL AS space_key, NULL AS dir_key, NULL AS name, NULL AS ino,"
	" NULL AS named WHERE 0)",
	NO_BLOCKS,
};

static const char *const our_tables[SQL_TABLES] = {
	"filespace_file", "filespace", "fsp_name", "fsp_node", "fsp_object",
	"fsp_mount", "fsp_info", "fsp_xattr", "fsp_lock", "fsp_change",
	"fsp_blocks"
};

static int name_legacy(struct sqlite_pool *p, const struct sqlite_found *f)
{
	FSP_FREE char *file = column_list(sqlite_file_columns,
	                                  f->file_columns, true, NULL);
	FSP_FREE char *space = column_list(sqlite_space_columns,
	                                   f->space_columns, true, NULL);

	if (!file || !space)
		return -ENOMEM;
	p->table[SQL_FILE] = fsp_strf(
		"(SELECT %s, NULL AS ino, NULL AS mode, NULL AS uid,"
		" NULL AS gid, NULL AS mtime_ns, NULL AS stored_at,"
		" NULL AS since_us, NULL AS closed_us, NULL AS pred_id"
		" FROM filespace_file)", file);
	p->table[SQL_SPACE] = fsp_strf("(SELECT %s, NULL AS since_us, NULL AS closed_us"
	                       " FROM filespace)", space);
	return p->table[SQL_FILE] && p->table[SQL_SPACE] ? 0 : -ENOMEM;
}

int sqlite_name_tables(struct sqlite_pool *p, const struct sqlite_found *f)
{
	bool legacy = f->kind == SQLITE_LEGACY;
	/* One that is only read has not been upgraded. */
	bool older = f->kind == SQLITE_OURS;
	int err = legacy ? name_legacy(p, f) : 0;

	for (int i = legacy ? SQL_NAME : 0; !err && i < SQL_TABLES; i++) {
		bool none = legacy || (i == SQL_BLOCKS && older &&
		                       f->version < 4);

		p->table[i] = strdup(none ? no_tables[i] : our_tables[i]);
		if (!p->table[i])
			err = -ENOMEM;
	}
	for (int i = 0; i < SQL_TABLES; i++)
		p->dialect.table[i] = p->table[i];
	p->base.journal = !legacy && (!older || f->version >= 3);
	p->dialect.update = "";
	p->dialect.part = "SELECT * FROM (";
	p->dialect.last = "last_insert_rowid()";
	return err;
}
