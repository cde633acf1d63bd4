/* What the files of this folder share. */
#ifndef FSP_CONFIG_IMPL_H
#define FSP_CONFIG_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fsp_config.h"

struct fsp_buf;

#define FSP_CONFIG_NAME "filespacefs.conf"
#define FSP_CONFIG_ETC "/etc/filespacefs"
#define FSP_HEX_MAX 32          /* bytes of the longest HEX setting */

struct fsp_setting {
	bool set;
	char *given;                    /* as written; NULL for HEX */
	char *path;                     /* PATH: absolute */
	int64_t num;                    /* nanoseconds for DURATION */
	uint8_t bytes[FSP_HEX_MAX];
	char *origin;                   /* NULL = default */
	int line;                       /* in the file; 0 = not there */
};

struct fsp_config {
	char *file;                     /* absolute, or NULL */
	char *dir;                      /* what PATHs are relative to */
	size_t count;
	struct fsp_setting s[];         /* in the table's order */
};

enum fsp_source { FSP_FROM_FILE, FSP_FROM_ENV, FSP_FROM_OPTION };

/* Where a value was met, for origins and errors. */
struct fsp_place {
	enum fsp_source source;
	const char *file;
	int line;
};

/* params.c */
const struct fsp_param *fsp_param_find(const char *section, const char *key);
bool fsp_param_section_exists(const char *section);
/* The variable that sets a secret; the caller frees it. */
char *fsp_param_env(const struct fsp_param *p);

/* value.c: -EINVAL when it is not allowed; the setting is only changed by 0. */
int fsp_value_parse(const struct fsp_param *p, const char *text,
                    const char *dir, struct fsp_setting *s);
void fsp_value_free(const struct fsp_param *p, struct fsp_setting *s);
/* "a whole number from 1 to 9" */
int fsp_value_allowed(const struct fsp_param *p, struct fsp_buf *out);

/*
 * suggest.c: adds " (did you mean ...?)" for a section or key that is not in
 * the table, or "; ..." with what there is. dotted: as on the command line.
 */
int fsp_suggest(const char *section, const char *key, bool dotted,
                struct fsp_buf *out);

/* set.c: puts the message into *error and returns `code`. */
int fsp_config_fail(char **error, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int fsp_config_set(struct fsp_config *c, const struct fsp_place *at,
                   const char *section, const char *key, const char *value,
                   char **error);
int fsp_config_options(struct fsp_config *c, const char *const *options, int n,
                       char **error);
int fsp_config_environment(struct fsp_config *c, char **error);

/* config.c: defaults only; dir is copied. */
int fsp_config_new(const char *dir, struct fsp_config **out);
struct fsp_setting *fsp_config_setting(struct fsp_config *c,
                                       const struct fsp_param *p);

/* ini.c: the text of the file goes into the settings. */
int fsp_config_parse(struct fsp_config *c, const char *text, size_t len,
                     char **error);

/* locate.c: in fresh memory, NULL when there is none. */
char *fsp_config_join(const char *dir, const char *path);
int fsp_path_absolute(const char *path, char **out);
char *fsp_path_dirname(const char *path);

#endif
