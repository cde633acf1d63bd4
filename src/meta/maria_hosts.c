/* The list of hosts as it is written in a setting. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_meta.h"
#include "maria_link.h"

#define DEFAULT_PORT 3306
#define SEPARATORS ", \t"

/* "PORT" to the end of the string. */
static int read_port(const char *s, unsigned *port)
{
	char *end = NULL;
	unsigned long v;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	v = strtoul(s, &end, 10);
	if (*end || v < 1 || v > 65535)
		return -EINVAL;
	*port = (unsigned)v;
	return 0;
}

/* "a", "a:1", "::1", "[::1]", "[::1]:1"; *ported: it names one. */
static int read_address(const char *s, struct maria_host *h, bool *ported)
{
	const char *end = s + strlen(s), *colon = strchr(s, ':');

	*ported = false;
	if (*s == '[') {
		s++;
		end = strchr(s, ']');
		if (!end || (end[1] && end[1] != ':'))
			return -EINVAL;
		*ported = end[1] == ':';
	} else if (colon && !strchr(colon + 1, ':')) {
		end = colon;
		*ported = true;
	}
	h->host = strndup(s, (size_t)(end - s));
	if (!h->host)
		return -ENOMEM;
	if (!*h->host)
		return -EINVAL;
	if (!*ported)
		return 0;
	return read_port(strchr(end, ':') + 1, &h->port);
}

static int read_host(const struct fsp_maria_options *o, const char *s,
                     struct maria_host *h)
{
	bool ported;
	int err;

	h->name = strdup(s);
	if (!h->name)
		return -ENOMEM;
	if (*s == '/') {
		h->socket = strdup(s);
		return h->socket ? 0 : -ENOMEM;
	}
	h->port = o->port ? (unsigned)o->port : DEFAULT_PORT;
	err = read_address(s, h, &ported);
	if (err || ported || o->port || strcmp(h->host, "localhost") != 0)
		return err;
	/* As everywhere with MySQL, localhost alone is the socket. */
	free(h->host);
	h->host = NULL;
	if (!o->socket)
		return 0;
	h->socket = strdup(o->socket);
	return h->socket ? 0 : -ENOMEM;
}

static int add_host(const struct fsp_maria_options *o, const char *s,
                    struct maria_hosts *out)
{
	struct maria_host *v = reallocarray(out->v, out->n + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	out->v = v;
	v[out->n] = (struct maria_host){ .name = NULL };
	return read_host(o, s, &v[out->n++]);
}

bool maria_hosts_lag(const struct fsp_maria_options *o)
{
	return o->read_hosts || (o->hosts && strpbrk(o->hosts, SEPARATORS));
}

int maria_hosts_parse(const struct fsp_maria_options *o, enum maria_role role,
                      struct maria_hosts *out, char **error)
{
	const char *list = role == MARIA_REPLICA && o->read_hosts ?
		o->read_hosts : o->hosts;
	FSP_FREE char *copy = strdup(list ? list : "localhost");
	char *save = NULL;
	int err = copy ? 0 : -ENOMEM;

	*out = (struct maria_hosts){ .v = NULL };
	for (char *s = copy ? strtok_r(copy, SEPARATORS, &save) : NULL; s && !err;
	     s = strtok_r(NULL, SEPARATORS, &save)) {
		err = add_host(o, s, out);
		if (err == -EINVAL)
			*error = fsp_strf("%s: no host and port", s);
	}
	if (!err && !out->n) {
		*error = fsp_strf("no host is given");
		err = -EINVAL;
	}
	if (err)
		maria_hosts_free(out);
	return err;
}

void maria_hosts_free(struct maria_hosts *h)
{
	for (size_t i = 0; i < h->n; i++) {
		free(h->v[i].name);
		free(h->v[i].host);
		free(h->v[i].socket);
	}
	free(h->v);
	*h = (struct maria_hosts){ .v = NULL };
}
