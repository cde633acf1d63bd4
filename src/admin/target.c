/* What the arguments PATH and VERSION mean. Pure functions. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_admin.h"
#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_version.h"

#define MIN_TIME_DIGITS 8       /* fewer digits are a row id only */

void fsp_admin_target_free(struct fsp_admin_target *t)
{
	free(t->path);
	free(t->version);
	*t = (struct fsp_admin_target){ 0 };
}

/* The next component of *s, which moves behind it; 0 at the end. */
static size_t component(const char **s, const char **start)
{
	size_t len;

	*s += strspn(*s, "/");
	*start = *s;
	len = strcspn(*s, "/");
	*s += len;
	return len;
}

static bool is(const char *start, size_t len, const char *word)
{
	return strlen(word) == len && memcmp(start, word, len) == 0;
}

int fsp_admin_clean_path(const char *arg, char **path)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	const char *part;
	size_t len;
	int err = 0;

	while (!err && (len = component(&arg, &part)) > 0) {
		if (is(part, len, "."))
			continue;
		if (is(part, len, ".."))
			return -EINVAL;
		if (b.len)
			err = fsp_buf_addc(&b, '/');
		if (!err)
			err = fsp_buf_add(&b, part, len);
	}
	if (err)
		return err;
	*path = fsp_buf_steal(&b);
	return *path ? 0 : -ENOMEM;
}

/* The @ that begins the version, or NULL. A slash never follows it. */
static const char *version_mark(const char *arg)
{
	const char *at = strrchr(arg, '@');
	struct fsp_version_spec spec;

	if (!at || fsp_version_spec_parse(at + 1, &spec))
		return NULL;
	if (at > arg && at[-1] == '@' && strncmp(at, "@GMT-", 5) == 0)
		at--;
	return at;
}

int fsp_admin_split_version(const char *arg, char **path, char **version)
{
	const char *at = version_mark(arg);

	*version = NULL;
	*path = at ? strndup(arg, (size_t)(at - arg)) : strdup(arg);
	if (*path && at)
		*version = strdup(at + 1);
	if (*path && (*version || !at))
		return 0;
	free(*path);
	*path = NULL;
	return -ENOMEM;
}

/* Where the hidden directory stands in a clean path, as a component. */
static const char *find_hidden(const char *path, const char *hidden)
{
	const char *s = path, *part;
	size_t len;

	while ((len = component(&s, &part)) > 0)
		if (is(part, len, hidden))
			return part;
	return NULL;
}

/* dir is the first dirlen bytes, with their slash; rest what comes below. */
static int join(const char *dir, size_t dirlen, const char *rest,
                size_t restlen, char **out)
{
	*out = fsp_strf("%.*s%.*s", (int)dirlen, dir, (int)restlen, rest);
	return *out ? 0 : -ENOMEM;
}

/* @TIME/REST; a time that is none is the name of a file. */
static int parse_past(const char *path, size_t dirlen, const char *time,
                      size_t len, struct fsp_admin_target *out)
{
	const char *rest = time + len + strspn(time + len, "/");
	int64_t us;

	out->version = strndup(time + 1, len - 1);
	if (!out->version)
		return -ENOMEM;
	if (fsp_time_parse(out->version, &us)) {
		free(out->version);
		out->version = NULL;
		return -ENOENT;
	}
	if (!*rest)
		return -EINVAL;
	return join(path, dirlen, rest, strlen(rest), &out->path);
}

static int parse_hidden(const char *path, const char *at, const char *hidden,
                        struct fsp_admin_target *out)
{
	size_t dirlen = (size_t)(at - path), len;
	const char *s = at + strlen(hidden), *part, *entry;

	len = component(&s, &part);
	if (len == 0)
		return -EINVAL;
	if (*part == '@') {
		int err = parse_past(path, dirlen, part, len, out);

		if (err != -ENOENT)
			return err;
	}
	if (component(&s, &entry) > 0) {
		out->version = strdup(entry);
		if (!out->version)
			return -ENOMEM;
	}
	return join(path, dirlen, part, len, &out->path);
}

int fsp_admin_target_parse(const char *inside, const char *hidden,
                           struct fsp_admin_target *out)
{
	FSP_FREE char *path = NULL;
	const char *at;
	int err = fsp_admin_clean_path(inside, &path);

	*out = (struct fsp_admin_target){ 0 };
	if (err)
		return err;
	at = find_hidden(path, hidden);
	if (!at) {
		out->path = fsp_steal(path);
		return 0;
	}
	err = parse_hidden(path, at, hidden, out);
	if (err)
		fsp_admin_target_free(out);
	return err;
}

int fsp_version_spec_parse(const char *s, struct fsp_version_spec *out)
{
	size_t digits = strspn(s, "0123456789");
	bool number = digits && !s[digits];

	*out = (struct fsp_version_spec){ 0 };
	if (fsp_version_parse(s, &out->row) == 0)
		return 0;
	out->row = 0;
	if (number) {
		errno = 0;
		out->row = strtoll(s, NULL, 10);
		if (errno)
			return -EINVAL;
	}
	if (!number || digits >= MIN_TIME_DIGITS)
		out->has_time = fsp_time_parse(s, &out->at_us) == 0;
	return out->row > 0 || out->has_time ? 0 : -EINVAL;
}
