/*
 * Option files of MariaDB's clients (my.cnf): who and where from their groups.
 * Read here and not by the library, so that nothing in them changes what we
 * rely on; what other programs have there is passed over.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_file.h"
#include "fsp_meta.h"

#define FILE_MAX_SIZE (1 << 20)
#define INCLUDE_DEPTH 10

struct cnf {
	struct fsp_maria_options *o;    /* what was found; strings are ours */
	const char *group;
	bool wanted;                    /* the lines are of one of our groups */
	int depth;
	char **error;
};

static int read_cnf(struct cnf *c, const char *path);

static char *trim(char *s)
{
	size_t len;

	while (isspace((unsigned char)*s))
		s++;
	len = strlen(s);
	while (len && isspace((unsigned char)s[len - 1]))
		s[--len] = '\0';
	return s;
}

static char unescape(char c)
{
	switch (c) {
	case 'b': return '\b';
	case 't': return '\t';
	case 'n': return '\n';
	case 'r': return '\r';
	case 's': return ' ';
	default: return c;
	}
}

/* Takes quotes and escapes out of a value; a # after a blank ends it. */
static void plain_value(char *s)
{
	char quote = *s == '"' || *s == '\'' ? *s : '\0';
	char *in = quote ? s + 1 : s, *out = s;
	char before = ' ';

	while (*in && !(quote && *in == quote) &&
	       !(!quote && *in == '#' && isspace((unsigned char)before))) {
		before = *in;
		if (*in == '\\' && in[1] && strchr("btnrs\\'\"", in[1])) {
			*out++ = unescape(in[1]);
			in += 2;
		} else {
			*out++ = *in++;
		}
	}
	while (!quote && out > s && isspace((unsigned char)out[-1]))
		out--;
	*out = '\0';
}

static bool is_wanted(const struct cnf *c, const char *group)
{
	static const char *const groups[] = {
		"client", "client-server", "client-mariadb"
	};

	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
		if (strcmp(group, groups[i]) == 0)
			return true;
	return strcmp(group, c->group) == 0;
}

static int set_string(const char **where, const char *value)
{
	char *was = (char *)(uintptr_t)*where;

	*where = strdup(value);
	if (was)
		fsp_wipe(was, strlen(was));
	free(was);
	return *where ? 0 : -ENOMEM;
}

/* Names are the same with - and _, and after "loose-". */
static int set_option(struct cnf *c, char *name, const char *value)
{
	struct fsp_maria_options *o = c->o;
	const struct {
		const char *name;
		const char **where;
	} strings[] = {
		{ "host", &o->hosts }, { "socket", &o->socket },
		{ "user", &o->user }, { "password", &o->password },
		{ "database", &o->database }, { "ssl-ca", &o->tls_ca },
		{ "ssl-cert", &o->tls_cert }, { "ssl-key", &o->tls_key },
	};

	for (char *p = name; *p; p++)
		if (*p == '_')
			*p = '-';
	if (strncmp(name, "loose-", 6) == 0)
		name += 6;
	if (strcmp(name, "port") == 0)
		o->port = atoi(value);
	for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++)
		if (strcmp(name, strings[i].name) == 0)
			return set_string(strings[i].where, value);
	return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_cnf(const struct dirent *e)
{
	size_t len = strlen(e->d_name);

	return len > 4 && strcmp(e->d_name + len - 4, ".cnf") == 0;
}

static int include_dir(struct cnf *c, const char *path)
{
	struct dirent **list = NULL;
	int n = scandir(path, &list, is_cnf, by_name), err = 0;

	if (n < 0) {
		*c->error = fsp_strf("%s: %s", path, strerror(errno));
		return -errno;
	}
	for (int i = 0; i < n; i++) {
		FSP_FREE char *file = fsp_strf("%s/%s", path, list[i]->d_name);

		free(list[i]);
		if (!err)
			err = file ? read_cnf(c, file) : -ENOMEM;
	}
	free(list);
	return err;
}

static int read_include(struct cnf *c, char *s)
{
	bool outer = c->wanted;
	int err = 0;

	if (strncmp(s, "!includedir", 11) == 0 && isspace((unsigned char)s[11]))
		err = include_dir(c, trim(s + 11));
	else if (strncmp(s, "!include", 8) == 0 && isspace((unsigned char)s[8]))
		err = read_cnf(c, trim(s + 8));
	c->wanted = outer;
	return err;
}

static int read_line(struct cnf *c, char *s)
{
	char *equals, *end;
	char none[] = "";

	s = trim(s);
	if (!*s || *s == '#' || *s == ';')
		return 0;
	if (*s == '!')
		return read_include(c, s);
	if (*s == '[') {
		end = strchr(s, ']');
		if (end)
			*end = '\0';
		c->wanted = end && is_wanted(c, trim(s + 1));
		return 0;
	}
	if (!c->wanted)
		return 0;
	equals = strchr(s, '=');
	if (equals)
		*equals = '\0';
	end = equals ? trim(equals + 1) : none;
	plain_value(end);
	return set_option(c, trim(s), end);
}

static int read_lines(struct cnf *c, char *text)
{
	char *save = NULL;
	int err = 0;

	for (char *s = strtok_r(text, "\n", &save); s && !err;
	     s = strtok_r(NULL, "\n", &save))
		err = read_line(c, s);
	return err;
}

/* A password that others may read is no secret. */
static int check_mode(const struct cnf *c, const char *path, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!(st.st_mode & 077))
		return 0;
	*c->error = fsp_strf("%s: holds a password and its mode is %04o, so "
	                     "that others may get at it; run: chmod 0600 %s",
	                     path, st.st_mode & 07777U, path);
	return -EACCES;
}

static int read_cnf(struct cnf *c, const char *path)
{
	FSP_CLOSE int fd = TEMP_FAILURE_RETRY(
		open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY));
	const char *before = c->o->password;
	struct fsp_buf text = FSP_BUF_INIT;
	int err = fd < 0 ? -errno : 0;

	c->wanted = false;
	if (!err && c->depth == INCLUDE_DEPTH)
		err = -ELOOP;
	if (!err)
		err = fsp_read_fd(fd, &text, FILE_MAX_SIZE);
	c->depth++;
	if (!err && text.data)
		err = read_lines(c, text.data);
	c->depth--;
	if (text.data)
		fsp_wipe(text.data, text.cap);
	fsp_buf_free(&text);
	if (!err && c->o->password != before)
		err = check_mode(c, path, fd);
	if (err && !*c->error)
		*c->error = fsp_strf("%s: %s", path, strerror(-err));
	return err;
}

/* Takes what is not given; the rest is freed. */
static void merge(struct fsp_maria_options *to, struct fsp_maria_options *from)
{
	const char **const pairs[][2] = {
		{ &to->hosts, &from->hosts }, { &to->socket, &from->socket },
		{ &to->user, &from->user },
		{ &to->password, &from->password },
		{ &to->database, &from->database },
		{ &to->tls_ca, &from->tls_ca },
		{ &to->tls_cert, &from->tls_cert },
		{ &to->tls_key, &from->tls_key },
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
		if (*pairs[i][0])
			continue;
		*pairs[i][0] = *pairs[i][1];
		*pairs[i][1] = NULL;
	}
	if (!to->port)
		to->port = from->port;
}

int fsp_maria_options_file(struct fsp_maria_options *o, const char *path,
                           const char *group, char **error)
{
	struct fsp_maria_options found = { .hosts = NULL };
	struct cnf c = { .o = &found, .group = group, .error = error };
	int err;

	*error = NULL;
	err = read_cnf(&c, path);
	if (!err)
		merge(o, &found);
	fsp_maria_options_free(&found);
	return err;
}
