/*
 * The text of a configuration file, read with inih. What inih would pass over
 * in silence (long lines, words after a section, a second equal key) is an
 * error here.
 *
 * A value may stand in double or single quotes, as PHP's parse_ini_file()
 * reads it. After blanks a ; begins a comment.
 */
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "config_impl.h"
#include "fsp_buf.h"

#define MAX_LINE 8192

struct parse {
	struct fsp_config *c;
	const char *at, *end;
	int line;               /* the last that was handed to inih */
	int err;
	char **error;
};

static int fail_line(struct parse *p, const char *what)
{
	p->err = fsp_config_fail(p->error, -EINVAL, "%s:%d: %s", p->c->file,
	                         p->line, what);
	return p->err;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static const char *skip_blanks(const char *s)
{
	while (is_blank(*s))
		s++;
	return s;
}

static void cut_blanks(char *s)
{
	size_t len = strlen(s);

	while (len && is_blank(s[len - 1]))
		s[--len] = '\0';
}

/* inih passes over what follows the ] of a section. */
static int check_section(struct parse *p, const char *line)
{
	const char *rest;

	if (*line != '[')
		return 0;
	rest = strchr(line, ']');
	if (!rest)
		return fail_line(p, "the section has no ]");
	rest = skip_blanks(rest + 1);
	if (*rest && *rest != '\n' && *rest != ';' && *rest != '#')
		return fail_line(p, "there is something after the section's ]");
	return 0;
}

/* Puts the next line into `out`, without the blanks before it. */
static int take_line(struct parse *p, char *out, size_t size)
{
	const char *nl = memchr(p->at, '\n', (size_t)(p->end - p->at));
	const char *next = nl ? nl + 1 : p->end;
	const char *from = p->at;
	size_t len;

	p->at = next;
	p->line++;
	/* inih would take an indented line for more of the value before. */
	while (from < next && is_blank(*from))
		from++;
	len = (size_t)(next - from);
	if (memchr(from, '\0', len))
		return fail_line(p, "there is a NUL byte");
	if (len >= size)
		return fail_line(p, "the line is too long");
	memcpy(out, from, len);
	out[len] = '\0';
	return check_section(p, out);
}

/* inih's fgets; NULL ends the parse. */
static char *next_line(char *out, int size, void *arg)
{
	struct parse *p = arg;

	if (!p->err && p->at < p->end && take_line(p, out, (size_t)size) == 0)
		return out;
	fsp_wipe(out, (size_t)size);    /* it held secrets */
	return NULL;
}

/* Both return the value, which lies in `value`, or NULL after an error. */
static char *unquote(struct parse *p, char *value)
{
	char *close = strchr(value + 1, *value);
	const char *rest;

	if (!close) {
		(void)fail_line(p, "a quote is not closed");
		return NULL;
	}
	rest = skip_blanks(close + 1);
	if (*rest && *rest != ';') {
		(void)fail_line(p, "there is something after the quote");
		return NULL;
	}
	*close = '\0';
	return value + 1;
}

static char *plain_value(struct parse *p, char *value)
{
	if (*value == '"' || *value == '\'')
		return unquote(p, value);
	for (char *s = value; *s; s++) {
		if (*s == ';' && (s == value || is_blank(s[-1]))) {
			*s = '\0';
			break;
		}
	}
	cut_blanks(value);
	return value;
}

/* inih's callback for a setting: 1, or 0 on failure. */
static int setting(void *arg, const char *section, const char *key,
                   const char *value)
{
	struct parse *p = arg;
	struct fsp_place at = { .source = FSP_FROM_FILE,
		                .file = p->c->file,
		                .line = p->line };
	char *copy, *plain;

	if (p->err)
		return 0;
	copy = strdup(value);
	if (!copy) {
		p->err = -ENOMEM;
		return 0;
	}
	if (*key == '\0')
		(void)fail_line(p, "there is no name before the =");
	else if ((plain = plain_value(p, copy)) != NULL)
		p->err = fsp_config_set(p->c, &at, section, key, plain,
		                        p->error);
	fsp_wipe(copy, strlen(value));
	free(copy);
	return !p->err;
}

static void set_up_inih(void)
{
	ini_max_line = MAX_LINE;
	ini_allow_multiline = false;
	ini_allow_inline_comments = false;      /* they are ours, see quotes */
	ini_stop_on_first_error = true;
}

int fsp_config_parse(struct fsp_config *c, const char *text, size_t len,
                     char **error)
{
	static const char bom[] = "\xef\xbb\xbf";
	struct parse p = {
		.c = c, .at = text, .end = text + len, .error = error
	};
	int line;

	if (len >= 3 && memcmp(text, bom, 3) == 0)
		p.at += 3;
	set_up_inih();
	line = ini_parse_stream(next_line, &p, setting, &p);
	if (p.err)
		return p.err;
	if (line < 0)
		return -ENOMEM;
	if (line == 0)
		return 0;
	p.line = line;
	return fail_line(&p, "this is neither a [section], nor key = value, "
	                     "nor a comment");
}
