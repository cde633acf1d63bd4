/* MariaDB: what an upgrade refuses, before it changes anything. */
#include "maria_schema_up.h"

#include <errno.h>
#include <mysqld_error.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"

#define OURS_IS "table_schema = DATABASE() AND table_name IN" \
	" ('filespace', 'filespace_file')"
#define KEYS_OF "FROM information_schema.statistics WHERE " OURS_IS
#define GRANTS "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP," \
	" TRIGGER, LOCK TABLES"

/* Each gives a sentence, or nothing. */
static const char *const obstacles[] = {
	"SELECT CONCAT(table_name, ' is a ', LOWER(table_type), ', not a plain"
	" table') FROM information_schema.tables WHERE " OURS_IS
	" AND table_type <> 'BASE TABLE'",

	"SELECT CONCAT('the engine of ', table_name, ' is ', engine,"
	" '; ALTER TABLE ', table_name, ' ENGINE=InnoDB changes that')"
	" FROM information_schema.tables WHERE " OURS_IS
	" AND engine <> 'InnoDB'",

	"SELECT CONCAT(table_name, ' is partitioned') FROM"
	" information_schema.tables WHERE " OURS_IS
	" AND create_options LIKE '%partitioned%'",

	"SELECT CONCAT('the column ', table_name, '.', column_name, ' is ',"
	" column_type) FROM information_schema.columns WHERE " OURS_IS
	" AND ((column_name IN ('file_key', 'space_key', 'data_hash', 'name')"
	" AND data_type NOT IN ('char', 'varchar', 'tinytext', 'text',"
	" 'mediumtext', 'longtext', 'binary', 'varbinary', 'blob'))"
	" OR (column_name IN ('id', 'created_at', 'updated_at', 'deleted_at',"
	" 'size_original', 'size_storage') AND data_type NOT IN ('tinyint',"
	" 'smallint', 'mediumint', 'int', 'bigint')))",

	"SELECT CONCAT('the column ', table_name, '.', column_name,"
	" ' is generated') FROM information_schema.columns WHERE " OURS_IS
	" AND is_generated <> 'NEVER' AND column_name <> 'key_head'",

	"SELECT CONCAT('the primary key of ', t.table_name, ' is not id') FROM"
	" information_schema.tables t WHERE t." OURS_IS " AND COALESCE((SELECT"
	" GROUP_CONCAT(s.column_name) FROM information_schema.statistics s"
	" WHERE s.table_schema = t.table_schema AND s.table_name ="
	" t.table_name AND s.index_name = 'PRIMARY'), '') <> 'id'",

	"SELECT CONCAT('the index ', index_name, ' of ', table_name,"
	" ' is unique, which ours would not be') " KEYS_OF
	" AND non_unique = 0 AND index_name <> 'PRIMARY'",

	"SELECT CONCAT(event_object_table, ' has the trigger ', trigger_name)"
	" FROM information_schema.triggers WHERE event_object_schema ="
	" DATABASE() AND event_object_table IN ('filespace', 'filespace_file')"
	" AND trigger_name NOT LIKE 'fsp\\_%' ESCAPE '\\'",

	"SELECT CONCAT('the foreign key ', constraint_name, ' joins ',"
	" table_name, ' and ', referenced_table_name) FROM"
	" information_schema.referential_constraints WHERE constraint_schema ="
	" DATABASE() AND (table_name IN ('filespace', 'filespace_file') OR"
	" referenced_table_name IN ('filespace', 'filespace_file'))",

	"SELECT CONCAT(table_name, ' has the check ', constraint_name) FROM"
	" information_schema.check_constraints WHERE constraint_schema ="
	" DATABASE() AND table_name IN ('filespace', 'filespace_file')",

	"SELECT 'the server''s binlog_format is STATEMENT; MIXED or ROW is"
	" needed' FROM DUAL WHERE @@global.log_bin AND @@binlog_format ="
	" 'STATEMENT'",
};

#define NO_TRIGGERS "the server writes a binary log, so this user may make" \
	" no triggers; either SET GLOBAL log_bin_trust_function_creators = 1," \
	" or GRANT SUPER ON *.* TO "

/* A sentence where the journal's triggers cannot be made. Who has a role may
 * have SUPER by it, which does not show here. */
const char maria_no_triggers[] =
	"SELECT CONCAT('" NO_TRIGGERS "', u.name) FROM (SELECT CONCAT('''', REPLACE("
	"CURRENT_USER(), '@', '''@'''), '''') AS name) u WHERE ("
	"@@global.log_bin OR EXISTS (SELECT 1 FROM"
	" information_schema.global_variables v WHERE v.variable_name ="
	" 'WSREP_ON' AND v.variable_value = 'ON')) AND NOT"
	" @@global.log_bin_trust_function_creators AND NOT EXISTS (SELECT 1"
	" FROM information_schema.user_privileges p WHERE p.privilege_type ="
	" 'SUPER' AND p.grantee = u.name) AND CURRENT_ROLE() IS NULL";

static int not_upgraded(struct maria_up *u, const char *why)
{
	return maria_up_fail(u, -EINVAL, "not upgraded: %s", why);
}

static int ask(struct maria_up *u, const char *sql)
{
	FSP_FREE char *why = NULL;
	int err = maria_up_text(u, &why, "%s LIMIT 1", sql);

	return err || !why ? err : not_upgraded(u, why);
}

static int refuse_columns(struct maria_up *u, const struct maria_table *t)
{
	FSP_BUF struct fsp_buf known = FSP_BUF_INIT;
	FSP_FREE char *sql = NULL;
	int err = 0;

	for (const struct maria_column *c = t->columns; !err && c->name; c++)
		err = fsp_buf_printf(&known, "%s'%s'", known.len ? ", " : "",
		                     c->name);
	if (err)
		return err;
	sql = fsp_strf("SELECT CONCAT('the column %s.', column_name, ' is not"
	               " known') FROM information_schema.columns WHERE"
	               " table_schema = DATABASE() AND table_name = '%s' AND"
	               " column_name NOT IN (%s)", t->name, t->name,
	               known.data);
	return sql ? ask(u, sql) : -ENOMEM;
}

int maria_refuse_triggers(struct maria_up *u)
{
	return ask(u, maria_no_triggers);
}

/* Numbers of inodes that were given must not be given again. */
static int refuse_lost_info(struct maria_up *u)
{
	int64_t there = 0, rows = 0;
	int err = maria_up_number(u, &there, "SELECT COUNT(*) FROM"
	                          " information_schema.tables WHERE table_schema"
	                          " = DATABASE() AND table_name = 'fsp_node'");

	if (!err && there)
		err = maria_up_number(u, &rows, "SELECT COUNT(*) FROM (SELECT 1"
		                      " FROM fsp_node LIMIT 1) x");
	if (err || !rows)
		return err;
	return not_upgraded(u, "fsp_node holds rows, but fsp_info no schema"
	                    " version; restore fsp_info from a backup");
}

static int refuse_charset(struct maria_up *u)
{
	const char *cs = u->o->charset ? u->o->charset : "utf8mb4";
	int64_t there = 0;
	int err;

	if (strlen(cs) >= sizeof(u->charset) ||
	    cs[strspn(cs, "abcdefghijklmnopqrstuvwxyz0123456789_")])
		return maria_up_fail(u, -EINVAL, "mysql.charset: %s is no "
		                     "character set", cs);
	memcpy(u->charset, cs, strlen(cs) + 1);
	err = maria_up_number(u, &there, "SELECT COUNT(*) FROM"
	                      " information_schema.character_sets WHERE"
	                      " character_set_name = '%s'", cs);
	if (err || there)
		return err;
	return maria_up_fail(u, -EINVAL, "mysql.charset: the server does not "
	                     "know the character set %s", cs);
}

int maria_refuse(struct maria_up *u, const struct maria_found *f)
{
	size_t n = sizeof(obstacles) / sizeof(*obstacles);
	int err = refuse_charset(u);

	if (err || f->kind != MARIA_LEGACY)
		return err;
	for (size_t i = 0; !err && i < n; i++)
		err = ask(u, obstacles[i]);
	if (!err)
		err = refuse_columns(u, &maria_file_table);
	if (!err)
		err = refuse_columns(u, &maria_space_table);
	return err ? err : refuse_lost_info(u);
}

static int64_t length_of(const struct maria_column *c)
{
	const char *paren = strchr(c->type, '(');

	return paren && strncmp(c->type, "varbinary", 9) == 0 ?
		strtoll(paren + 1, NULL, 10) : 0;
}

/* The bytes that PHP reads must say what the column says. */
static int refuse_text(struct maria_move *m, const char *column)
{
	struct maria_up *u = m->up;
	FSP_FREE char *bad = NULL;
	int err = maria_up_text(u, &bad, "SELECT CONCAT(COUNT(*), ' (id ',"
	                        " SUBSTRING_INDEX(GROUP_CONCAT(id ORDER BY id),"
	                        " ',', 5), ')') FROM %s WHERE CAST(CONVERT("
	                        "CONVERT(%s USING %s) USING utf8mb4) AS BINARY)"
	                        " <> CAST(CONVERT(%s USING utf8mb4) AS BINARY)"
	                        " HAVING COUNT(*) > 0", m->t->name, column,
	                        u->charset, column);

	if (err || !bad)
		return err;
	return maria_up_fail(u, -EINVAL, "not upgraded: rows of %s whose %s "
	                     "the character set %s cannot express: %s; "
	                     "mysql.charset must be that of PHP's connections",
	                     m->t->name, column, u->charset, bad);
}

static int refuse_long(struct maria_move *m, const struct maria_column *c,
                       bool bytes)
{
	FSP_FREE char *value = bytes ? strdup(c->name) :
		fsp_strf("CONVERT(%s USING %s)", c->name, m->up->charset);
	FSP_FREE char *bad = NULL;
	int err;

	if (!value)
		return -ENOMEM;
	err = maria_up_text(m->up, &bad, "SELECT CONCAT(COUNT(*), ' (id ',"
	                    " SUBSTRING_INDEX(GROUP_CONCAT(id ORDER BY id),"
	                    " ',', 5), ')') FROM %s WHERE OCTET_LENGTH(%s) >"
	                    " %lld HAVING COUNT(*) > 0", m->t->name, value,
	                    (long long)length_of(c));
	if (err || !bad)
		return err;
	return maria_up_fail(m->up, -EINVAL, "not upgraded: rows of %s whose "
	                     "%s is longer than %lld bytes: %s", m->t->name,
	                     c->name, (long long)length_of(c), bad);
}

/*
 * UTF-8 that went over a latin1 connection looks like this, and only the
 * setting can say whether it is meant so.
 */
static int warn_twice(struct maria_move *m, const char *column)
{
	int64_t n = 0;
	int err;

	if (strncmp(m->up->charset, "utf8", 4) != 0)
		return 0;
	err = maria_up_number(m->up, &n, "SELECT COUNT(*) FROM (SELECT"
	                      " CAST(CONVERT(%s USING latin1) AS BINARY) AS b,"
	                      " CHAR_LENGTH(%s) AS n FROM %s WHERE"
	                      " OCTET_LENGTH(%s) > CHAR_LENGTH(%s)) x WHERE"
	                      " LOCATE('?', b) = 0 AND CAST(CONVERT(b USING"
	                      " utf8mb4) AS BINARY) = b AND CHAR_LENGTH("
	                      "CONVERT(b USING utf8mb4)) < n", column, column,
	                      m->t->name, column, column);
	if (err || !n)
		return err;
	return maria_up_say(m->up, "warning: %lld rows of %s have a %s that "
	                    "looks encoded twice; if PHP connects without a "
	                    "character set, mysql.charset must be latin1",
	                    (long long)n, m->t->name, column);
}

int maria_refuse_values(struct maria_move *m)
{
	int err = 0;

	if (m->has_kept && !m->kept_is_mark)
		return maria_up_fail(m->up, -EINVAL, "not upgraded: %s holds "
		                     "rows of some other upgrade; rename or "
		                     "drop it", m->kept);
	for (const struct maria_column *c = m->t->columns; !err && c->name; c++) {
		int i = 0;

		while (m->columns[i] && strcmp(m->columns[i], c->name) != 0)
			i++;
		if (!m->columns[i] || !(m->have & 1U << i) || !length_of(c))
			continue;
		err = refuse_long(m, c, m->bytes & 1U << i);
		if (!err && !(m->bytes & 1U << i))
			err = refuse_text(m, c->name);
		if (!err && !(m->bytes & 1U << i))
			err = warn_twice(m, c->name);
	}
	return err;
}

/* e: what the server said; who and db only make the sentence better. */
static int say_right(struct maria_up *u, unsigned e, const char *who,
                     const char *db)
{
	free(u->job->error);
	u->job->error = NULL;
	if (e == ER_BINLOG_CREATE_ROUTINE_NEED_SUPER)
		return maria_up_fail(u, -EACCES, NO_TRIGGERS "%s",
		                     who ? who : "?");
	return maria_up_fail(u, -EACCES, "a privilege is missing: GRANT " GRANTS
	                     " ON `%s`.* TO %s", db ? db : "?",
	                     who ? who : "?");
}

int maria_refuse_rights(struct maria_up *u)
{
	static const char *const tries[] = {
		"DROP TABLE IF EXISTS fsp_try, fsp_tried",
		"CREATE TABLE fsp_try (id INT PRIMARY KEY) ENGINE=InnoDB",
		"ALTER TABLE fsp_try ADD COLUMN c INT, ADD INDEX (c)",
		("CREATE TRIGGER fsp_try AFTER INSERT ON fsp_try FOR EACH ROW"
		 " DELETE FROM fsp_tried"),
		"LOCK TABLES fsp_try WRITE", "UNLOCK TABLES",
		"RENAME TABLE fsp_try TO fsp_tried",
		"DROP TRIGGER fsp_try", "INSERT INTO fsp_tried VALUES (1, 1)",
		"UPDATE fsp_tried SET c = 2", "DELETE FROM fsp_tried",
		"DROP TABLE fsp_tried",
	};
	FSP_FREE char *who = NULL;
	FSP_FREE char *db = NULL;
	unsigned e;
	int err;

	if (maria_up_plans(u))
		return 0;
	err = maria_up_text(u, &who, "SELECT CONCAT('`', REPLACE("
	                    "CURRENT_USER(), '@', '`@`'), '`')");
	if (!err)
		err = maria_up_text(u, &db, "SELECT DATABASE()");
	for (size_t i = 0; !err && i < sizeof(tries) / sizeof(*tries); i++)
		err = maria_up_do(u, "%s", tries[i]);
	e = mysql_errno(maria_handle(u->l));
	if (err != -EACCES && e != ER_BINLOG_CREATE_ROUTINE_NEED_SUPER)
		return err;
	/* What stays of it goes with the next try. */
	(void)maria_run(u->l, u->job->ctx, tries[0]);
	return say_right(u, e, who, db);
}
