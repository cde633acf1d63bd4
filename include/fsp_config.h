/*
 * Settings. One table (src/config/params.c) makes the parser, --help, the
 * sample file, the man page and `filespacectl config`.
 *
 * A value comes from, in rising order: the default, the configuration file,
 * the environment (secrets only), the command line (-o section.key=value,
 * never secrets). Immutable once loaded, so any thread may read it.
 */
#ifndef FSP_CONFIG_H
#define FSP_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct fsp_buf;
struct fsp_config;

enum fsp_param_type {
	FSP_PARAM_STRING,
	FSP_PARAM_NAME,         /* of one directory entry; read as a string */
	FSP_PARAM_PATH,         /* relative to the directory of the file */
	FSP_PARAM_CHOICE,       /* one of the words in `allowed` */
	FSP_PARAM_BOOL,         /* yes no true false on off 1 0 */
	FSP_PARAM_INT,
	FSP_PARAM_SIZE,         /* bytes, with K M G T in powers of 1024 */
	FSP_PARAM_DURATION,     /* seconds, fractions allowed, ms s m h d */
	FSP_PARAM_MODE,         /* octal permission bits */
	FSP_PARAM_HEX           /* bytes; min = max = how many */
};

struct fsp_param {
	const char *section, *key;
	enum fsp_param_type type;
	const char *dflt;       /* as it would be written; NULL = not set */
	const char *allowed;    /* CHOICE: words separated by '|' */
	int64_t min, max;       /* INT, SIZE: value; DURATION: milliseconds */
	const char *unit;       /* for the manual; "" = none */
	bool secret;            /* environment or file only, shown as *** */
	const char *text;       /* what it does, plain sentences */
};

/* The table, ended by an entry whose section is NULL. */
extern const struct fsp_param fsp_params[];

/*
 * Where a store is. `source` is what the user gave: a file, a NAME of
 * /etc/filespacefs/NAME.conf, a directory, or NULL for the default. Fills
 * *conf with the file to read (caller frees) and *dir with the directory of
 * an embedded store, or NULL where it is a plain file (caller frees).
 * -ENOENT: nothing there, with *conf or *dir naming what was looked for.
 */
int fsp_config_locate(const char *source, char **conf, char **dir);

/*
 * Loads everything. `file` may be NULL (defaults only). `options` are `n`
 * strings "section.key=value". On a bad or unknown setting: -EINVAL, and
 * *error (caller frees) says file, line, key and what is allowed. -EACCES:
 * the file holds secrets and others may read it. Missing file: -ENOENT. Other
 * failures to read it: -errno. *error is NULL only when out of memory. To be
 * called while there is one thread. What settings demand of each other is
 * fsp_config_check()'s.
 */
int fsp_config_load(const char *file, const char *const *options, int n,
                    struct fsp_config **out, char **error);
void fsp_config_free(struct fsp_config *c);     /* wipes the secrets */

/*
 * What the settings demand of each other, such as a key where content is to be
 * encrypted. 0, or -EINVAL with *error (caller frees).
 */
int fsp_config_check(const struct fsp_config *c, char **error);

/*
 * Getters; section and key must be in the table with that type, anything else
 * is a programming error and aborts. Strings belong to the configuration and
 * are NULL where nothing is set; PATHs come absolute.
 */
const char *fsp_config_str(const struct fsp_config *c, const char *section,
                           const char *key);
int64_t fsp_config_int(const struct fsp_config *c, const char *section,
                       const char *key);        /* INT SIZE MODE BOOL */
bool fsp_config_bool(const struct fsp_config *c, const char *section,
                     const char *key);
int64_t fsp_config_ns(const struct fsp_config *c, const char *section,
                      const char *key);         /* DURATION, nanoseconds */
/* HEX into out (of the size in the table); -ENOENT where nothing is set. */
int fsp_config_bytes(const struct fsp_config *c, const char *section,
                     const char *key, void *out);

/* The file that was read (absolute), or NULL. */
const char *fsp_config_file(const struct fsp_config *c);

/*
 * Calls f for each setting in the table's order; secrets come as "***", what
 * is not set as "". The origin is "default", "FILE:LINE", "$VARIABLE" or
 * "command line".
 */
void fsp_config_each(const struct fsp_config *c,
                     void (*f)(void *arg, const struct fsp_param *p,
                               const char *value, const char *origin),
                     void *arg);

/* The texts that come from the table. */
void fsp_config_print_help(FILE *out);          /* --help: the settings */
void fsp_config_print_sample(FILE *out);        /* etc/filespacefs.conf */
void fsp_config_print_man(FILE *out);           /* mdoc list of settings */

/*
 * Writes dir/filespacefs.conf (0600, fsynced) for a new embedded store, plus
 * `options` as above (validated). Key and iv come from the environment or are
 * fresh; encryption.method=none has none. Makes the directory (0700) where it
 * is absent. -EEXIST when there is a file already, which stays as it is.
 */
int fsp_config_create_store(const char *dir, const char *const *options, int n,
                            char **error);

#endif
