/* The loaded settings and how they are asked for. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_impl.h"
#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_file.h"
#include "fsp_log.h"
#include "fsp_secret.h"

#define MAX_FILE (1 << 20)

static void unref(struct fsp_config **c)
{
	fsp_config_free(*c);
}

#define CONFIG __attribute__((cleanup(unref))) struct fsp_config *

static size_t count_params(void)
{
	size_t n = 0;

	while (fsp_params[n].section)
		n++;
	return n;
}

int fsp_config_new(const char *dir, struct fsp_config **out)
{
	size_t n = count_params();
	/* Its settings hold the key and the iv. */
	CONFIG c = fsp_secret_alloc(sizeof(*c) + n * sizeof(*c->s));

	*out = NULL;
	if (!c)
		return -ENOMEM;
	c->count = n;
	c->dir = strdup(dir);
	if (!c->dir)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct fsp_param *p = &fsp_params[i];
		int err = p->dflt ? fsp_value_parse(p, p->dflt, dir, &c->s[i])
		                  : 0;

		if (err == -EINVAL) {
			fsp_error("the default of %s.%s is not allowed",
			          p->section, p->key);
			abort();
		}
		if (err)
			return err;
	}
	*out = fsp_steal(c);
	return 0;
}

void fsp_config_free(struct fsp_config *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->count; i++)
		fsp_value_free(&fsp_params[i], &c->s[i]);
	free(c->file);
	free(c->dir);
	fsp_secret_free(c);
}

struct fsp_setting *fsp_config_setting(struct fsp_config *c,
                                       const struct fsp_param *p)
{
	return &c->s[p - fsp_params];
}

/* The first secret that stands in the file, or NULL. */
static const struct fsp_param *secret_in_file(const struct fsp_config *c)
{
	for (size_t i = 0; i < c->count; i++)
		if (fsp_params[i].secret && c->s[i].line)
			return &fsp_params[i];
	return NULL;
}

static int check_mode(const struct fsp_config *c, int fd, char **error)
{
	const struct fsp_param *p = secret_in_file(c);
	struct stat st;

	if (!p)
		return 0;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!(st.st_mode & 077))
		return 0;
	return fsp_config_fail(error, -EACCES,
	                       "%s: holds a secret ([%s] %s) and its mode is "
	                       "%04o, so that others may get at it; run: "
	                       "chmod 0600 %s",
	                       c->file, p->section, p->key,
	                       st.st_mode & 07777U, c->file);
}

static int fail_open(const char *file, int err, char **error)
{
	return fsp_config_fail(error, err, "%s: %s", file, strerror(-err));
}

static int read_text(struct fsp_config *c, int fd, char **error)
{
	struct fsp_buf text = FSP_BUF_INIT;
	int err = fsp_read_fd(fd, &text, MAX_FILE);

	if (err)
		err = fail_open(c->file, err, error);
	else
		err = fsp_config_parse(c, text.data, text.len, error);
	if (text.data)
		fsp_wipe(text.data, text.cap);
	fsp_buf_free(&text);
	return err;
}

static int read_file(struct fsp_config *c, char **error)
{
	FSP_CLOSE int fd = TEMP_FAILURE_RETRY(
		open(c->file, O_RDONLY | O_CLOEXEC | O_NOCTTY));
	int err;

	if (fd < 0)
		return fail_open(c->file, -errno, error);
	err = read_text(c, fd, error);
	return err ? err : check_mode(c, fd, error);
}

/* Defaults for the directory of `file`, which may be NULL. */
static int start(const char *file, struct fsp_config **out)
{
	FSP_FREE char *path = NULL;
	FSP_FREE char *dir = NULL;
	int err = fsp_path_absolute(file ? file : ".", &path);

	if (err)
		return err;
	dir = file ? fsp_path_dirname(path) : strdup(path);
	if (!dir)
		return -ENOMEM;
	err = fsp_config_new(dir, out);
	if (!err && file)
		(*out)->file = fsp_steal(path);
	return err;
}

static int load(const char *file, const char *const *options, int n,
                struct fsp_config **out, char **error)
{
	CONFIG c = NULL;
	int err = start(file, &c);

	if (!err && file)
		err = read_file(c, error);
	if (!err)
		err = fsp_config_environment(c, error);
	if (!err)
		err = fsp_config_options(c, options, n, error);
	if (!err)
		*out = fsp_steal(c);
	return err;
}

int fsp_config_load(const char *file, const char *const *options, int n,
                    struct fsp_config **out, char **error)
{
	int err;

	*out = NULL;
	*error = NULL;
	err = load(file, options, n, out, error);
	if (err && !*error)
		err = fail_open(file ? file : "configuration", err, error);
	return err;
}

/* The setting, or the end of the program: asking wrongly is a bug. */
static const struct fsp_setting *get(const struct fsp_config *c,
                                     const char *section, const char *key,
                                     unsigned types)
{
	const struct fsp_param *p = fsp_param_find(section, key);

	if (p && types & 1U << p->type)
		return &c->s[p - fsp_params];
	fsp_error("no setting %s.%s of that type, a bug in this program",
	          section, key);
	abort();
}

const char *fsp_config_str(const struct fsp_config *c, const char *section,
                           const char *key)
{
	const struct fsp_setting *s =
		get(c, section, key,
	            1U << FSP_PARAM_STRING | 1U << FSP_PARAM_NAME |
	                    1U << FSP_PARAM_PATH | 1U << FSP_PARAM_CHOICE);

	return s->path ? s->path : s->given;
}

int64_t fsp_config_int(const struct fsp_config *c, const char *section,
                       const char *key)
{
	return get(c, section, key,
	           1U << FSP_PARAM_INT | 1U << FSP_PARAM_SIZE |
	                   1U << FSP_PARAM_MODE | 1U << FSP_PARAM_BOOL)
		->num;
}

bool fsp_config_bool(const struct fsp_config *c, const char *section,
                     const char *key)
{
	return get(c, section, key, 1U << FSP_PARAM_BOOL)->num != 0;
}

int64_t fsp_config_ns(const struct fsp_config *c, const char *section,
                      const char *key)
{
	return get(c, section, key, 1U << FSP_PARAM_DURATION)->num;
}

int fsp_config_bytes(const struct fsp_config *c, const char *section,
                     const char *key, void *out)
{
	const struct fsp_setting *s =
		get(c, section, key, 1U << FSP_PARAM_HEX);

	if (!s->set)
		return -ENOENT;
	memcpy(out, s->bytes, (size_t)fsp_param_find(section, key)->max);
	return 0;
}

const char *fsp_config_file(const struct fsp_config *c)
{
	return c->file;
}

void fsp_config_each(const struct fsp_config *c,
                     void (*f)(void *arg, const struct fsp_param *p,
                               const char *value, const char *origin),
                     void *arg)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct fsp_setting *s = &c->s[i];
		const char *value = s->path ? s->path : s->given;

		if (!s->set)
			value = "";
		else if (fsp_params[i].secret)
			value = "***";
		f(arg, &fsp_params[i], value, s->origin ? s->origin : "default");
	}
}
