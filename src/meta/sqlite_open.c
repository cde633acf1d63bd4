/* SQLite: opening, making and upgrading a database. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "sql_meta.h"
#include "sqlite_drv.h"

#define WAL_RETRY_NS 5000000L

static void say(char **error, char *text)
{
	free(*error);
	*error = text;
}

static void cleanup_db(sqlite3 **db)
{
	/* Nothing is prepared on it any more. */
	(void)sqlite3_close(*db);
}
#define CLOSE_DB __attribute__((cleanup(cleanup_db)))

static void found_free(struct sqlite_found *f)
{
	free(f->why);
	f->why = NULL;
}
#define FOUND __attribute__((cleanup(found_free)))

static int detect(sqlite3 *db, const char *path, struct sqlite_found *f,
                  char **error)
{
	int err;

	found_free(f);
	err = sqlite_detect(db, f);
	if (err)
		say(error, fsp_strf("%s: %s", path, sqlite3_errmsg(db)));
	return err;
}

static bool may_write_beside(const char *path)
{
	FSP_FREE char *copy = strdup(path);

	return !copy || access(dirname(copy), W_OK) == 0;
}

static int connect_wait(const struct sqlite_settings *s, sqlite3 **db,
                        char **error)
{
	int64_t ms = s->busy_timeout_ns / 1000000;
	int err = sqlite_connect(s->path, s->read_only, s->immutable, db,
	                         error);

	if (err)
		return err;
	(void)sqlite3_busy_timeout(*db, ms > INT_MAX ? INT_MAX : (int)ms);
	err = sqlite_set_up(*db);
	if (err)
		say(error, fsp_strf("%s: %s", s->path, sqlite3_errmsg(*db)));
	return err;
}

/*
 * A database in WAL mode cannot be read without its -shm file; where we may
 * not make one nobody writes either, and it is read as it is.
 */
static int connect_detect(struct sqlite_settings *s, sqlite3 **db,
                          char **error)
{
	int err = connect_wait(s, db, error);

	if (!err)
		err = detect(*db, s->path, &s->found, error);
	if (!err || !s->read_only || s->immutable ||
	    access(s->path, R_OK) != 0 || may_write_beside(s->path))
		return err;
	cleanup_db(db);
	*db = NULL;
	s->immutable = true;
	say(error, NULL);
	return connect_detect(s, db, error);
}

/* Switching fails at once, whatever the time-out, while another has it open. */
static int use_wal(sqlite3 *db, int64_t timeout_ns)
{
	int64_t until = fsp_mono_ns() + timeout_ns;
	struct timespec ts = { .tv_nsec = WAL_RETRY_NS };
	int rc;

	for (;;) {
		rc = sqlite3_exec(db, "PRAGMA journal_mode=WAL", NULL, NULL,
		                  NULL);
		if ((rc & 0xff) != SQLITE_BUSY || fsp_mono_ns() >= until)
			return sqlite_errno(db, rc, NULL);
		/* Cut short by a signal it only asks again sooner. */
		(void)nanosleep(&ts, NULL);
	}
}

/* Runs the creation or the upgrade, whichever the database needs. */
static int build(sqlite3 *db, const struct sqlite_settings *s,
                 struct sqlite_found *f, char **error)
{
	int err = sqlite_run(db, "BEGIN IMMEDIATE");

	if (err)
		return err;
	/* Another process may have done it while we waited. */
	err = detect(db, s->path, f, error);
	if (!err && f->kind == SQLITE_NOTHING)
		err = sqlite_create(db);
	else if (!err && f->kind == SQLITE_OURS)
		err = sqlite_migrate(db, f, NULL, false);
	if (!err)
		err = sqlite_run(db, "COMMIT");
	if (err) {
		say(error, fsp_strf("%s: %s", s->path, sqlite3_errmsg(db)));
		if (!sqlite3_get_autocommit(db))
			(void)sqlite_run(db, "ROLLBACK"); /* closing does too */
		return err;
	}
	return detect(db, s->path, f, error);
}

static int refuse(const struct sqlite_settings *s, char **error)
{
	switch (s->found.kind) {
	case SQLITE_NOTHING:
		say(error, fsp_strf("%s: holds no filespace tables", s->path));
		return -EINVAL;
	case SQLITE_UNKNOWN:
		say(error, fsp_strf("%s: not a filespace database: %s",
		                    s->path, s->found.why));
		return -EINVAL;
	case SQLITE_NEWER:
		say(error, fsp_strf("%s: its schema is version %d, this"
		                    " program knows up to %d", s->path,
		                    s->found.version, SQLITE_SCHEMA_VERSION));
		return -EPROTO;
	case SQLITE_LEGACY:
		if (s->read_only)
			return 0;
		say(error, fsp_strf("%s: a store of the PHP library; it can be"
		                    " mounted read-only, or made writable with"
		                    " `filespacectl schema upgrade`", s->path));
		return -EROFS;
	case SQLITE_OURS:
		break;
	}
	return 0;
}

/* Looks at the database and makes it usable. */
static int prepare(struct sqlite_settings *s, bool create, char **error)
{
	sqlite3 *db CLOSE_DB = NULL;
	bool ours;
	int err = connect_detect(s, &db, error);

	if (err)
		return err;
	if ((s->found.kind == SQLITE_NOTHING && create && !s->read_only) ||
	    (s->found.kind == SQLITE_OURS && !s->read_only &&
	     s->found.version < SQLITE_SCHEMA_VERSION))
		err = build(db, s, &s->found, error);
	if (!err)
		err = refuse(s, error);
	ours = s->found.kind == SQLITE_OURS;
	if (err || s->read_only || !ours)
		return err;
	err = use_wal(db, s->busy_timeout_ns);
	if (err)
		say(error, fsp_strf("%s: %s", s->path, sqlite3_errmsg(db)));
	return err;
}

/*
 * SQLite calls no busy handler where another process is recovering or removing
 * the WAL, as a mount does at its end.
 */
static int prepare_wait(struct sqlite_settings *s, bool create, char **error)
{
	const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };
	int64_t until = fsp_mono_ns() + s->busy_timeout_ns;
	int err;

	while ((err = prepare(s, create, error)) == -ETIMEDOUT &&
	       fsp_mono_ns() < until) {
		found_free(&s->found);
		free(*error);
		*error = NULL;
		nanosleep(&pause, NULL);
	}
	return err;
}

/* The file is ours alone, unlike what SQLite would make. */
static int create_file(const char *path, char **error)
{
	int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		return close(fd) ? -errno : 0;
	if (errno == EEXIST)
		return 0;
	say(error, fsp_strf("%s: %s", path, strerror(errno)));
	return -errno;
}

int fsp_meta_sqlite_open(const char *path, const struct fsp_meta_options *o,
                         struct fsp_meta **out, char **error)
{
	struct sqlite_settings s = {
		.path = path,
		.read_only = o->read_only,
		.busy_timeout_ns = o->busy_timeout_ns,
		.connections = o->connections,
	};
	struct sqldrv *drv = NULL;
	int err = 0;

	*error = NULL;
	if (o->create && !o->read_only)
		err = create_file(path, error);
	if (!err)
		err = prepare_wait(&s, o->create, error);
	if (!err)
		err = sqlite_pool_open(&s, &drv);
	if (!err)
		err = sql_meta_new(drv, o, out);
	found_free(&s.found);
	if (err && !*error)
		say(error, fsp_strf("%s: %s", path, strerror(-err)));
	return err;
}

static int refuse_upgrade(const struct sqlite_settings *s, char **error)
{
	if (s->found.kind != SQLITE_LEGACY)
		return refuse(s, error);
	if (!s->found.why)
		return 0;
	say(error, fsp_strf("%s: not upgraded: %s", s->path, s->found.why));
	return -EINVAL;
}

static int upgrade_now(sqlite3 *db, struct sqlite_settings *s, FILE *out,
                       char **error)
{
	int err = sqlite_run(db, "BEGIN IMMEDIATE");

	if (!err)
		err = detect(db, s->path, &s->found, error);
	if (!err && s->found.version < SQLITE_SCHEMA_VERSION)
		err = sqlite_migrate(db, &s->found, out, false);
	if (!err)
		err = sqlite_run(db, "COMMIT");
	if (!err)
		return use_wal(db, s->busy_timeout_ns);
	say(error, fsp_strf("%s: %s; nothing was changed", s->path,
	                    sqlite3_errmsg(db)));
	if (!sqlite3_get_autocommit(db))
		(void)sqlite_run(db, "ROLLBACK");       /* closing does too */
	return err;
}

/* A sentence for `check`. */
static int say_found(const struct sqlite_settings *s, struct fsp_schema *job)
{
	FSP_FREE char *text = s->found.kind == SQLITE_LEGACY ?
		fsp_strf("the tables are those of the PHP library") :
		fsp_strf("the schema is version %d, this program's is %d",
		         s->found.version, SQLITE_SCHEMA_VERSION);

	if (!text)
		return -ENOMEM;
	if (job->say && job->what == FSP_SCHEMA_CHECK)
		job->say(job->arg, text);
	return 0;
}

/* All in one transaction; what other processes write waits for it. */
static int work(sqlite3 *db, struct sqlite_settings *s, struct fsp_schema *job)
{
	FILE *out = job->what == FSP_SCHEMA_PLAN ? job->sql : NULL;
	int64_t since = fsp_mono_ns();
	int err;

	/* A view on the tables must not stop their renaming. */
	err = sqlite_run(db, "PRAGMA legacy_alter_table=ON");
	if (!err && out && fputs("BEGIN;\n", out) < 0)
		err = -EIO;
	if (!err && job->what != FSP_SCHEMA_UPGRADE) {
		err = sqlite_migrate(db, &s->found, out, true);
	} else if (!err) {
		err = upgrade_now(db, s, NULL, &job->error);
		job->locked_ns = fsp_mono_ns() - since;
	}
	if (!err && out && fputs("COMMIT;\n", out) < 0)
		err = -EIO;
	return err;
}

int fsp_meta_sqlite_schema(const char *path, struct fsp_schema *job)
{
	struct sqlite_settings s = {
		.path = path,
		.read_only = job->what != FSP_SCHEMA_UPGRADE,
		.busy_timeout_ns = 30 * FSP_NS_PER_SEC,
		.connections = 1,
	};
	sqlite3 *db CLOSE_DB = NULL;
	int err;

	job->needed = false;
	job->rows = 0;
	job->locked_ns = 0;
	job->error = NULL;
	err = connect_detect(&s, &db, &job->error);
	if (!err)
		err = refuse_upgrade(&s, &job->error);
	if (!err && s.found.version < SQLITE_SCHEMA_VERSION) {
		job->needed = true;
		err = say_found(&s, job);
		if (!err)
			err = work(db, &s, job);
	}
	found_free(&s.found);
	if (err && !job->error)
		say(&job->error, fsp_strf("%s: %s", path, strerror(-err)));
	return err;
}
