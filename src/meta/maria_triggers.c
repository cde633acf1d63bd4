/*
 * MariaDB: the triggers that write down what PHP and SQL by hand change. Rows
 * of theirs have no since_us when they come, and no new closed_us when they go.
 * Whatever happens to the journal, the statement of the other goes on.
 */
#include "maria_schema.h"

#include <stddef.h>

#define NOW_US "TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00'," \
	" UTC_TIMESTAMP(6))"
#define TRIGGER(name, event, table, when, row, key) \
	{ name, "CREATE OR REPLACE TRIGGER " name " AFTER " event " ON " \
	table "\nFOR EACH ROW BEGIN\n" \
	"  DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END;\n" \
	"  IF " when " THEN\n" \
	"    INSERT INTO fsp_change (at_us, space_key, name, named)\n" \
	"      VALUES (" NOW_US ",\n" \
	"        COALESCE(" row ".space_key, ''), " key ", 1);\n" \
	"  END IF;\n" \
	"END" }
#define UNTOLD "NEW.closed_us <=> OLD.closed_us AND NOT (" \
	"NEW.deleted_at <=> OLD.deleted_at AND " \
	"NEW.space_key <=> OLD.space_key"

const struct maria_journal_trigger maria_journal_triggers[] = {
	TRIGGER("fsp_journal_file_insert", "INSERT", "filespace_file",
	        "NEW.since_us IS NULL", "NEW", "NEW.file_key"),
	TRIGGER("fsp_journal_file_update", "UPDATE", "filespace_file",
	        UNTOLD " AND NEW.file_key <=> OLD.file_key"
	        " AND NEW.data_hash <=> OLD.data_hash)",
	        "NEW", "NEW.file_key"),
	TRIGGER("fsp_journal_file_delete", "DELETE", "filespace_file",
	        "OLD.since_us IS NULL", "OLD", "OLD.file_key"),
	TRIGGER("fsp_journal_space_insert", "INSERT", "filespace",
	        "NEW.since_us IS NULL", "NEW", "NULL"),
	TRIGGER("fsp_journal_space_update", "UPDATE", "filespace", UNTOLD ")",
	        "NEW", "NULL"),
	{ NULL, NULL }
};

/* Said last, so that a mount believes the journal only when it is complete. */
const char maria_journal_row[] =
	"INSERT INTO fsp_info (name, value) VALUES ('journal', '1')\n"
	"  ON DUPLICATE KEY UPDATE value = '1'";
