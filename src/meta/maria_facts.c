/*
 * What `filespacectl store test` tells about MariaDB: the connection, the
 * server, the schema, and whether the user may do what a mount does. The last
 * is tried with statements that find no row: the server checks the rights all
 * the same.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_meta.h"
#include "maria_link.h"
#include "maria_schema.h"

#define CLOCK_FAR_US (60 * FSP_US_PER_SEC)
#define ROUNDS 10               /* of the round trip */

struct facts {
	struct maria_link *l;
	const struct fsp_ctx *ctx;
	const struct fsp_maria_options *o;
	bool read_only;
	fsp_step_fn step;
	void *arg;
	int64_t began;
};

static void say(struct facts *f, const char *what, enum fsp_step_result result,
                const char *found, const char *advice)
{
	struct fsp_step s = { "database", what, result,
		              f->began ? fsp_mono_ns() - f->began : 0, found,
		              advice };

	f->step(f->arg, &s);
	f->began = 0;
}

/* A step that failed, in the server's words. */
static int say_failed(struct facts *f, const char *what,
                      enum fsp_step_result result, int err, const char *advice)
{
	FSP_FREE char *text = maria_message(f->l);

	say(f, what, result, text ? text : strerror(-err), advice);
	return err;
}

static int take_text(void *arg, char **fields, const unsigned long *lengths)
{
	struct fsp_buf *out = arg;
	int err = 0;

	if (out->len)
		err = fsp_buf_adds(out, ", ");
	return err ? err
		   : fsp_buf_add(out, fields[0] ? fields[0] : "",
	                         fields[0] ? lengths[0] : 0);
}

/* The first field of all rows, joined; `out` is empty for no row. */
static int ask_text(struct facts *f, const char *sql, struct fsp_buf *out)
{
	fsp_buf_reset(out);
	return maria_rows(f->l, f->ctx, sql, take_text, out);
}

static int connect_step(struct facts *f)
{
	FSP_FREE char *error = NULL;
	int err;

	f->began = fsp_mono_ns();
	err = maria_connect(f->o, f->ctx,
	                    f->read_only ? MARIA_READER : MARIA_WRITER, NULL,
	                    &f->l, &error);
	if (err)
		say(f, "connect", FSP_STEP_FAIL, error ? error : strerror(-err),
		    err == -EACCES ? "check user, password and database, and "
		                     "from which hosts the user may come"
		                   : "check the host and the port, whether the "
		                     "server runs and listens there, its TLS, "
		                     "and whether a firewall is in between");
	else
		say(f, "connect", FSP_STEP_OK, f->l->name, NULL);
	return err;
}

/* Its words for a certificate's end: "Dec 24 10:00:00 2026 GMT". */
static int tls_step(struct facts *f)
{
	FSP_BUF struct fsp_buf found = FSP_BUF_INIT, until = FSP_BUF_INIT;
	int err = ask_text(f, "SELECT variable_value FROM"
	                   " information_schema.session_status WHERE"
	                   " variable_name = 'SSL_VERSION'", &found);

	if (!err)
		err = ask_text(f, "SELECT variable_value FROM"
		               " information_schema.session_status WHERE"
		               " variable_name = 'SSL_SERVER_NOT_AFTER'",
		               &until);
	if (!err && until.len)
		err = fsp_buf_printf(&found, ", certificate until %s",
		                     until.data);
	if (err)
		return say_failed(f, "TLS", FSP_STEP_FAIL, err, NULL);
	if (found.len)
		say(f, "TLS", FSP_STEP_OK, found.data, NULL);
	else if (mysql_get_host_info(f->l->my) &&
	         strstr(mysql_get_host_info(f->l->my), "socket"))
		say(f, "TLS", FSP_STEP_OK, "none, by a socket of this machine",
		    NULL);
	else
		say(f, "TLS", FSP_STEP_WARN, "none",
		    "what is sent can be read and changed on the way, unless "
		    "the server is this machine");
	return 0;
}

static int clock_step(struct facts *f)
{
	int64_t off = -f->l->clock_us;
	char found[64];

	(void)snprintf(found, sizeof(found), "%+.3f s to the server's",
	               (double)off / 1e6);
	say(f, "clock of this machine",
	    off > CLOCK_FAR_US || off < -CLOCK_FAR_US ? FSP_STEP_WARN
	                                              : FSP_STEP_OK,
	    found,
	    "set the clocks of both (NTP): the times of versions come from "
	    "them");
	return 0;
}

static int version_step(struct facts *f)
{
	FSP_BUF struct fsp_buf found = FSP_BUF_INIT;
	int err = ask_text(f, "SELECT CONCAT(@@version, ', database in ',"
	                   " @@collation_database)", &found);

	if (err)
		return say_failed(f, "version", FSP_STEP_FAIL, err, NULL);
	say(f, "version", FSP_STEP_OK, found.data, NULL);
	return 0;
}

static int galera_step(struct facts *f)
{
	FSP_BUF struct fsp_buf found = FSP_BUF_INIT;
	int64_t ready = 0;
	int err = maria_number(f->l, f->ctx,
	                       "SELECT variable_value = 'ON' FROM"
	                       " information_schema.global_status WHERE"
	                       " variable_name = 'WSREP_READY'", &ready);

	if (!err)
		err = ask_text(f, "SELECT CONCAT('Galera, ', (SELECT"
		               " variable_value FROM"
		               " information_schema.global_status WHERE"
		               " variable_name = 'WSREP_CLUSTER_SIZE'),"
		               " ' nodes, ', (SELECT variable_value FROM"
		               " information_schema.global_status WHERE"
		               " variable_name = 'WSREP_LOCAL_STATE_COMMENT'))",
		               &found);
	if (err)
		return say_failed(f, "role", FSP_STEP_FAIL, err, NULL);
	say(f, "role", ready ? FSP_STEP_OK : FSP_STEP_FAIL, found.data,
	    "this node has no quorum or is being brought up to date; look at "
	    "wsrep_cluster_status on all of them");
	return ready ? 0 : -EHOSTDOWN;
}

/* A replica, as the positions show that it has from its primary. */
static int role_step(struct facts *f)
{
	FSP_BUF struct fsp_buf from = FSP_BUF_INIT;
	int err;

	if (f->l->galera)
		return galera_step(f);
	err = ask_text(f, "SELECT @@global.gtid_slave_pos", &from);
	if (err)
		return say_failed(f, "role", FSP_STEP_FAIL, err, NULL);
	if (f->l->read_only)
		say(f, "role", f->read_only ? FSP_STEP_OK : FSP_STEP_FAIL,
		    from.len ? "replica, read-only" : "read-only",
		    "a mount that writes needs the primary: give its host first");
	else if (from.len)
		say(f, "role", FSP_STEP_WARN, "replica that can be written to",
		    "if it still replicates, what is written here is not on "
		    "its primary: set read_only there, or give the primary's "
		    "host first");
	else
		say(f, "role", FSP_STEP_OK, "primary, or a server alone", NULL);
	return f->l->read_only && !f->read_only ? -EROFS : 0;
}

static int latency_step(struct facts *f)
{
	int64_t began = fsp_mono_ns(), n = 0;
	struct fsp_step s = { .part = "database", .what = "round trip" };

	for (int i = 0; i < ROUNDS; i++) {
		int err = maria_number(f->l, f->ctx, "SELECT 1", &n);

		if (err)
			return say_failed(f, s.what, FSP_STEP_FAIL, err, NULL);
	}
	s.ns = (fsp_mono_ns() - began) / ROUNDS;
	s.found = "on average";
	f->step(f->arg, &s);
	return 0;
}

/* -- the schema and the rights -- */

static bool is_generated(const struct maria_column *c)
{
	return c->kind == MARIA_PLACE || c->kind == MARIA_HEAD;
}

static int add_columns(const struct maria_table *t, struct fsp_buf *out)
{
	bool more = false;
	int err = 0;

	for (const struct maria_column *c = t->columns; !err && c->name; c++) {
		if (is_generated(c))
			continue;
		err = fsp_buf_printf(out, "%s%s", more ? ", " : "", c->name);
		more = true;
	}
	return err;
}

static int try_sql(struct facts *f, struct fsp_buf *sql)
{
	int err = maria_run(f->l, f->ctx, sql->data);

	fsp_buf_reset(sql);
	return err;
}

static int try_read(struct facts *f, const struct maria_table *t)
{
	FSP_BUF struct fsp_buf sql = FSP_BUF_INIT;
	int err = fsp_buf_adds(&sql, "SELECT ");

	if (!err)
		err = add_columns(t, &sql);
	if (!err)
		err = fsp_buf_printf(&sql, " FROM %s WHERE 0", t->name);
	return err ? err : try_sql(f, &sql);
}

static int try_insert(struct facts *f, const struct maria_table *t)
{
	FSP_BUF struct fsp_buf sql = FSP_BUF_INIT, columns = FSP_BUF_INIT;
	int err = add_columns(t, &columns);

	if (!err)
		err = fsp_buf_printf(&sql, "INSERT INTO %s (%s) SELECT %s FROM"
		                     " %s WHERE 0", t->name, columns.data,
		                     columns.data, t->name);
	return err ? err : try_sql(f, &sql);
}

static int try_write(struct facts *f, const struct maria_table *t)
{
	FSP_BUF struct fsp_buf sql = FSP_BUF_INIT;
	const char *column = t->columns[0].name;
	int err = try_insert(f, t);

	if (!err)
		err = fsp_buf_printf(&sql, "UPDATE %s SET %s = %s WHERE 0",
		                     t->name, column, column);
	if (!err)
		err = try_sql(f, &sql);
	if (!err)
		err = fsp_buf_printf(&sql, "DELETE FROM %s WHERE 0", t->name);
	return err ? err : try_sql(f, &sql);
}

/* Over PHP's two tables and ours. */
static int each_table(struct facts *f,
                      int (*try)(struct facts *f, const struct maria_table *t))
{
	int err = try(f, &maria_file_table);

	if (!err)
		err = try(f, &maria_space_table);
	for (size_t i = 0; !err && maria_own_tables[i]; i++)
		err = try(f, maria_own_tables[i]);
	return err;
}

static int rights_step(struct facts *f, const char *what,
                       int (*try)(struct facts *f,
                                  const struct maria_table *t),
                       const char *advice)
{
	int err;

	f->began = fsp_mono_ns();
	err = each_table(f, try);
	if (err)
		return say_failed(f, what, FSP_STEP_FAIL, err, advice);
	say(f, what, FSP_STEP_OK, NULL, NULL);
	return 0;
}

/* PHP's tables alone: a mount that reads wants these of them. */
static int legacy_step(struct facts *f)
{
	int err = maria_run(f->l, f->ctx,
	                    "SELECT id, space_key, file_key, data_hash,"
	                    " created_at, deleted_at, size_original"
	                    " FROM filespace_file WHERE 0");

	if (!err)
		err = maria_run(f->l, f->ctx, "SELECT id, space_key, name FROM"
		                " filespace WHERE 0");
	if (err)
		return say_failed(f, "read the tables", FSP_STEP_FAIL, err,
		                  "the user needs SELECT on filespace and "
		                  "filespace_file");
	say(f, "read the tables", FSP_STEP_OK, NULL, NULL);
	return 0;
}

/* The user's own rights; those of a role do not show there. */
static int upgrade_step(struct facts *f)
{
	FSP_BUF struct fsp_buf has = FSP_BUF_INIT;
	int err = ask_text(
		f,
		"SELECT DISTINCT privilege_type FROM (SELECT grantee,"
		" privilege_type FROM information_schema.user_privileges UNION"
		" ALL SELECT grantee, privilege_type FROM"
		" information_schema.schema_privileges WHERE DATABASE() LIKE"
		" table_schema) p WHERE privilege_type IN ('CREATE', 'ALTER',"
		" 'INDEX') AND grantee = CONCAT('''', REPLACE(CURRENT_USER(),"
		" '@', '''@'''), '''') ORDER BY 1", &has);

	if (err)
		return say_failed(f, "rights for an upgrade", FSP_STEP_WARN,
		                  err, NULL);
	if (has.data && strcmp(has.data, "ALTER, CREATE, INDEX") == 0)
		say(f, "rights for an upgrade", FSP_STEP_OK, has.data, NULL);
	else
		say(f, "rights for an upgrade", FSP_STEP_WARN,
		    has.len ? has.data : "none",
		    "a mount does not need them; for 'filespacectl schema "
		    "upgrade' give ALTER, CREATE and INDEX, or a user who has "
		    "them");
	return 0;
}

/* An upgrade makes triggers, for which some servers want more. */
static int triggers_step(struct facts *f)
{
	FSP_BUF struct fsp_buf why = FSP_BUF_INIT;
	int err = ask_text(f, maria_no_triggers, &why);

	if (err)
		return say_failed(f, "triggers for an upgrade", FSP_STEP_WARN,
		                  err, NULL);
	say(f, "triggers for an upgrade", why.len ? FSP_STEP_WARN : FSP_STEP_OK,
	    why.len ? why.data : NULL,
	    why.len ? "a mount does not need that" : NULL);
	return 0;
}

static int schema_found(struct facts *f, const struct maria_found *m)
{
	enum fsp_step_result lacking =
		f->read_only ? FSP_STEP_WARN : FSP_STEP_FAIL;
	char version[64];

	switch (m->kind) {
	case MARIA_OURS:
		(void)snprintf(version, sizeof(version), "version %d",
		               m->version);
		say(f, "schema", FSP_STEP_OK, version, NULL);
		return 0;
	case MARIA_LEGACY:
		say(f, "schema", lacking, "PHP's tables: can be read, not "
		    "written to", "see 'filespacectl schema plan', then "
		    "'filespacectl schema upgrade'");
		return -EROFS;
	case MARIA_NOTHING:
		say(f, "schema", FSP_STEP_FAIL, "there are no tables",
		    "check the name of the database; 'filespacectl schema "
		    "upgrade' makes the tables of a new store");
		return -ENOENT;
	case MARIA_NEWER:
		say(f, "schema", FSP_STEP_FAIL, "from a newer version of this "
		    "program", "install that version");
		return -EPROTO;
	case MARIA_UNKNOWN:
		break;
	}
	say(f, "schema", FSP_STEP_FAIL, m->why, "check the name of the "
	    "database and its tables");
	return -EIO;
}

static int schema_step(struct facts *f)
{
	struct maria_found found;
	int err;

	f->began = fsp_mono_ns();
	err = maria_schema_detect(f->l, f->ctx, &found);
	if (err)
		say_failed(f, "schema", FSP_STEP_FAIL, err, NULL);
	else
		err = schema_found(f, &found);
	maria_found_free(&found);
	return err;
}

static void rights(struct facts *f)
{
	int err = schema_step(f);

	if ((err == -EROFS || err == -ENOENT) && !f->read_only)
		(void)triggers_step(f);
	if (err == -EROFS)
		(void)legacy_step(f);
	if (!err)
		err = rights_step(f, "read the tables", try_read,
		                  "the user needs SELECT on the database");
	if (!err && !f->read_only)
		(void)rights_step(f, "write to the tables", try_write,
		                  "the user needs INSERT, UPDATE and DELETE on "
		                  "the database");
	/* What only an upgrade needs is told in any case. */
	if (!f->read_only)
		(void)upgrade_step(f);
}

void fsp_meta_maria_facts(const struct fsp_maria_options *o,
                          const struct fsp_ctx *ctx, bool read_only,
                          fsp_step_fn step, void *arg)
{
	struct facts f = { .ctx = ctx, .o = o, .read_only = read_only,
		           .step = step, .arg = arg };
	int err = connect_step(&f);

	if (!err)
		err = tls_step(&f);
	if (!err)
		err = version_step(&f);
	if (!err)
		err = clock_step(&f);
	if (!err)
		err = role_step(&f);
	if (!err)
		err = latency_step(&f);
	if (!err)
		rights(&f);
	maria_close(f.l);
}
