/* One setting from the file, the environment or the command line. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_impl.h"
#include "fsp_buf.h"
#include "fsp_cleanup.h"

int fsp_config_fail(char **error, int code, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(error, fmt, ap);
	va_end(ap);
	if (n < 0)
		*error = NULL;
	return n < 0 ? -ENOMEM : code;
}

/*
 * How an error begins; the value is NULL where it must not be shown. NULL
 * when out of memory.
 */
static char *where(const struct fsp_place *at, const char *section,
                   const char *key, const char *value)
{
	bool file = at->source == FSP_FROM_FILE;
	const char *is = !value ? "" : file ? " = " : "=";

	if (!value)
		value = "";
	if (file)
		return fsp_strf("%s:%d: [%s] %s%s%s", at->file, at->line,
		                section, key, is, value);
	return fsp_strf("-o %s.%s%s%s", section, key, is, value);
}

static int fail_unknown(const struct fsp_place *at, const char *section,
                        const char *key, char **error)
{
	FSP_FREE char *place = where(at, section, key, NULL);
	FSP_BUF struct fsp_buf hint = FSP_BUF_INIT;
	const char *what = "setting";
	int err;

	if (at->source == FSP_FROM_FILE && *section == '\0')
		return fsp_config_fail(error, -EINVAL,
		                       "%s:%d: %s: stands before any [section]",
		                       at->file, at->line, key);
	if (!fsp_param_section_exists(section))
		what = "section";
	err = fsp_suggest(section, key, at->source == FSP_FROM_OPTION, &hint);
	if (err || !place)
		return -ENOMEM;
	return fsp_config_fail(error, -EINVAL, "%s: unknown %s%s", place, what,
	                       hint.data);
}

static int fail_secret(const struct fsp_param *p, char **error)
{
	FSP_FREE char *env = fsp_param_env(p);

	if (!env)
		return -ENOMEM;
	return fsp_config_fail(error, -EINVAL,
	                       "-o %s.%s: a secret cannot be given on the "
	                       "command line, where others can see it; put it "
	                       "into the configuration file or into the "
	                       "environment variable %s",
	                       p->section, p->key, env);
}

static int fail_value(const struct fsp_place *at, const struct fsp_param *p,
                      const char *value, char **error)
{
	FSP_BUF struct fsp_buf allowed = FSP_BUF_INIT;
	FSP_FREE char *place = NULL;
	int err = fsp_value_allowed(p, &allowed);

	if (at->source == FSP_FROM_ENV) {
		FSP_FREE char *env = fsp_param_env(p);

		place = env ? fsp_strf("$%s", env) : NULL;
	} else {
		place = where(at, p->section, p->key, p->secret ? NULL : value);
	}
	if (err || !place)
		return -ENOMEM;
	return fsp_config_fail(error, -EINVAL, "%s: not allowed; %s", place,
	                       allowed.data);
}

static char *origin_of(const struct fsp_place *at, const struct fsp_param *p)
{
	FSP_FREE char *env = NULL;

	switch (at->source) {
	case FSP_FROM_FILE:
		return fsp_strf("%s:%d", at->file, at->line);
	case FSP_FROM_ENV:
		env = fsp_param_env(p);
		return env ? fsp_strf("$%s", env) : NULL;
	case FSP_FROM_OPTION:
		break;
	}
	return strdup("command line");
}

int fsp_config_set(struct fsp_config *c, const struct fsp_place *at,
                   const char *section, const char *key, const char *value,
                   char **error)
{
	const struct fsp_param *p = fsp_param_find(section, key);
	struct fsp_setting *s;
	int err;

	if (!p)
		return fail_unknown(at, section, key, error);
	if (p->secret && at->source == FSP_FROM_OPTION)
		return fail_secret(p, error);
	s = fsp_config_setting(c, p);
	if (at->source == FSP_FROM_FILE && s->line)
		return fsp_config_fail(error, -EINVAL,
		                       "%s:%d: [%s] %s: set twice, first in "
		                       "line %d",
		                       at->file, at->line, section, key,
		                       s->line);
	err = fsp_value_parse(p, value, c->dir, s);
	if (err == -EINVAL)
		return fail_value(at, p, value, error);
	if (err)
		return err;
	s->line = at->line;
	s->origin = origin_of(at, p);
	return s->origin ? 0 : -ENOMEM;
}

static int set_option(struct fsp_config *c, const char *option, char **error)
{
	static const struct fsp_place at = { .source = FSP_FROM_OPTION };
	FSP_FREE char *copy = strdup(option);
	char *dot, *is;

	if (!copy)
		return -ENOMEM;
	is = strchr(copy, '=');
	if (is)
		*is++ = '\0';
	dot = strchr(copy, '.');
	/* What follows the = may be a secret that was put in a wrong place. */
	if (!is || !dot)
		return fsp_config_fail(error, -EINVAL,
		                       "-o %s: a setting is given as "
		                       "section.key=value", copy);
	*dot++ = '\0';
	return fsp_config_set(c, &at, copy, dot, is, error);
}

int fsp_config_options(struct fsp_config *c, const char *const *options, int n,
                       char **error)
{
	for (int i = 0; i < n; i++) {
		int err = set_option(c, options[i], error);

		if (err)
			return err;
	}
	return 0;
}

int fsp_config_environment(struct fsp_config *c, char **error)
{
	static const struct fsp_place at = { .source = FSP_FROM_ENV };

	for (const struct fsp_param *p = fsp_params; p->section; p++) {
		FSP_FREE char *env = NULL;
		const char *value;
		int err;

		if (!p->secret)
			continue;
		env = fsp_param_env(p);
		if (!env)
			return -ENOMEM;
		value = getenv(env);
		/* An empty variable is how a service file unsets one. */
		if (!value || *value == '\0')
			continue;
		err = fsp_config_set(c, &at, p->section, p->key, value, error);
		if (err)
			return err;
	}
	return 0;
}
