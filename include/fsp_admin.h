/*
 * The administrator's commands, one file each in src/admin. They know a store
 * by its interfaces only: no FUSE, no backend.
 *
 * A command writes its result to `out`, its complaints to `err`, and returns
 * the exit status of the program: FSP_EXIT_*. One thread.
 */
#ifndef FSP_ADMIN_H
#define FSP_ADMIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "fsp_ctx.h"
#include "fsp_meta.h"
#include "fsp_step.h"

struct fsp_buf;
struct fsp_config;
struct fsp_store;

enum {
	FSP_EXIT_OK = 0,
	FSP_EXIT_FAILED = 1,
	FSP_EXIT_USAGE = 2
};

/* `check` answers as fsck(8) does. */
enum {
	FSP_FSCK_CLEAN = 0,
	FSP_FSCK_ERRORS_LEFT = 4,
	FSP_FSCK_FAILED = 8,
	FSP_FSCK_USAGE = 16
};

struct fsp_admin {
	struct fsp_store *store;        /* the caller's; NULL where none is needed */
	struct fsp_ctx ctx;
	FILE *out, *err;
	bool json;
};

/* The settings, with values and where they come from. */
int fsp_admin_config(struct fsp_admin *a, const struct fsp_config *c);

/*
 * Runs work on the database with what it prints and how it ends. CHECK fails
 * when there is something to do.
 */
int fsp_admin_schema(struct fsp_admin *a, enum fsp_schema_do what,
                     int (*work)(void *arg, struct fsp_schema *s), void *arg);

/* The file of the database, or its name on a server; for people. */
const char *fsp_admin_database_place(const struct fsp_config *c);

/* Where the store is, who has it mounted, what is pending or was kept. */
int fsp_admin_status(struct fsp_admin *a);

/* Files, versions, bytes, savings: in total and by account. */
int fsp_admin_stats(struct fsp_admin *a);

/* The stored versions of one file; path as in fsp_path.h. */
int fsp_admin_versions(struct fsp_admin *a, const char *path);

/*
 * Makes a version of `path` the newest one of `to` (NULL: of path itself),
 * with that version's mode, owner and mtime, without copying content. `to`
 * may be a directory. version: see fsp_version_spec_parse().
 */
int fsp_admin_restore(struct fsp_admin *a, const char *path,
                      const char *version, const char *to);

/*
 * The same as of a time; where path was a directory then, all that was below
 * it, in place or as `to`. What came later stays. Entries that cannot come back
 * are told, and the rest goes on: FSP_EXIT_FAILED.
 */
int fsp_admin_restore_at(struct fsp_admin *a, const char *path,
                         const char *time, const char *to);

/*
 * The decoded content of an object, all of it verified before the first byte
 * is written to `fd`. A terminal is refused unless force.
 */
int fsp_admin_cat_object(struct fsp_admin *a, const char *hash, int fd,
                         bool force);

/* What is in the cache that the settings name, and emptying it of all that
 * nobody holds. */
int fsp_admin_cache_show(struct fsp_admin *a, const struct fsp_config *c);
int fsp_admin_cache_drop(struct fsp_admin *a, const struct fsp_config *c);
/* Fetches a file, or all that is below a directory, into it. */
int fsp_admin_cache_warm(struct fsp_admin *a, const char *path);

/* The invariants of the rows; the check comes from the backend. */
typedef int (*fsp_admin_checker)(struct fsp_meta *m, const struct fsp_ctx *ctx,
                                 void (*each)(void *arg, const char *what),
                                 void *arg);
int fsp_admin_check(struct fsp_admin *a, fsp_admin_checker checker);

/*
 * Whether the servers do what a mount needs. The store has objects and maybe
 * no rows: both backends tell about their servers through these, which the
 * wiring has from them.
 */
struct fsp_admin_servers {
	/* 0: go on with the objects. NULL: there is no server. */
	int (*objects)(void *arg, const struct fsp_ctx *ctx, fsp_step_fn step,
	               void *step_arg);
	void (*database)(void *arg, const struct fsp_ctx *ctx,
	                 fsp_step_fn step, void *step_arg);
	void *arg;
	uint64_t large_size;            /* of an object that goes in parts */
};
int fsp_admin_store_test(struct fsp_admin *a,
                         const struct fsp_admin_servers *servers);

/*
 * Prints "filespacectl: WHAT: what the errno means and what to do". err 0: WHAT
 * alone. Returns FSP_EXIT_FAILED.
 */
int fsp_admin_fail(struct fsp_admin *a, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* A negative errno in words, with what to do about it; static storage. */
const char *fsp_admin_explain(int err);

/*
 * What a PATH argument means: the file's path, and the version it names or
 * NULL. Both fresh memory.
 */
struct fsp_admin_target {
	char *path;
	char *version;
};

void fsp_admin_target_free(struct fsp_admin_target *t);

/*
 * A path of the store as a user writes it to one of fsp_path.h: slashes at
 * the ends, double ones and "." go. -EINVAL where ".." is in it.
 */
int fsp_admin_clean_path(const char *arg, char **path);

/*
 * Cuts PATH@VERSION at its last @ (at @@GMT-: before both) where a version
 * follows; otherwise *version is NULL. Both fresh memory.
 */
int fsp_admin_split_version(const char *arg, char **path, char **version);

/*
 * A path within the store to what it means. DIR/<hidden>/NAME[/ENTRY] is
 * DIR/NAME [at that version], DIR/<hidden>/@TIME/REST is DIR/REST at TIME.
 * -EINVAL for the hidden directory itself and for "..".
 */
int fsp_admin_target_parse(const char *inside, const char *hidden,
                           struct fsp_admin_target *out);

/*
 * VERSION on the command line: a row id, an entry name of the hidden
 * directory, or a time as fsp_time_parse() reads it. Digits alone can be both
 * id and time; the id goes first.
 */
struct fsp_version_spec {
	int64_t row;            /* 0: none */
	bool has_time;
	int64_t at_us;
};
int fsp_version_spec_parse(const char *s, struct fsp_version_spec *out);

/* The command line. Strings point into argv. */
enum fsp_cli_command {
	FSP_CLI_INIT, FSP_CLI_CONFIG, FSP_CLI_STATUS, FSP_CLI_VERSIONS,
	FSP_CLI_RESTORE, FSP_CLI_CAT_OBJECT, FSP_CLI_STATS, FSP_CLI_SCHEMA,
	FSP_CLI_CHECK, FSP_CLI_STORE, FSP_CLI_CACHE, FSP_CLI_HELP,
	FSP_CLI_VERSION
};

#define FSP_CLI_MAX_SETTINGS 64

struct fsp_cli {
	enum fsp_cli_command command;
	const char *arg, *arg2;         /* the command's arguments, or NULL */
	const char *source;             /* -s or -c */
	bool source_is_file;            /* -c */
	const char *settings[FSP_CLI_MAX_SETTINGS];     /* -o */
	int n_settings;
	const char *to, *at;
	bool json, force, sample, man, help_text;
	bool help;                      /* --help: about the command */
	bool has_command;               /* false: help is about everything */
};

/*
 * 0, or the exit status of a wrong command line, after a line on err. Reads
 * options before and behind the command.
 */
int fsp_cli_parse(int argc, char **argv, struct fsp_cli *out, FILE *err);

/* The text for -h, of the command or of the whole program. */
void fsp_cli_usage(const struct fsp_cli *c, FILE *out);

/* What `help NAME` is about; -EINVAL for no command. */
int fsp_cli_find(const char *name, enum fsp_cli_command *out);

/*
 * The -o of mount(8) for filespacefs: what is meant for mount(8) or for the
 * boot goes, the rest is appended in order, each with a comma behind it. A
 * backslash protects a comma. -EOPNOTSUPP: it is to be remounted.
 */
int fsp_mount_options(const char *options, struct fsp_buf *out);

#endif
