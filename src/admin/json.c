/* JSON for scripts, indented so that people can read it, too. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_clock.h"
#include "fsp_version.h"
#include "text.h"

static void quoted(struct fsp_json *j, const char *s)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;

	if (fsp_buf_json(&b, s))
		j->failed = true;
	else
		fputs(b.data, j->out);
}

static void newline(struct fsp_json *j)
{
	fprintf(j->out, "\n%*s", 2 * j->depth, "");
}

static void member(struct fsp_json *j, const char *key)
{
	if (j->more[j->depth])
		fputc(',', j->out);
	j->more[j->depth] = true;
	newline(j);
	if (key) {
		quoted(j, key);
		fputs(": ", j->out);
	}
}

static void open_bracket(struct fsp_json *j, char c)
{
	fputc(c, j->out);
	j->depth++;
	assert(j->depth < FSP_JSON_DEPTH);
	j->more[j->depth] = false;
}

static void close_bracket(struct fsp_json *j, char c)
{
	bool empty = !j->more[j->depth];

	j->depth--;
	if (!empty)
		newline(j);
	fputc(c, j->out);
}

void fsp_json_start(struct fsp_json *j, FILE *out)
{
	*j = (struct fsp_json){ .out = out };
	open_bracket(j, '{');
}

int fsp_json_finish(struct fsp_json *j)
{
	close_bracket(j, '}');
	fputc('\n', j->out);
	return j->failed ? -ENOMEM : 0;
}

void fsp_json_object(struct fsp_json *j, const char *key)
{
	member(j, key);
	open_bracket(j, '{');
}

void fsp_json_list(struct fsp_json *j, const char *key)
{
	member(j, key);
	open_bracket(j, '[');
}

void fsp_json_end_object(struct fsp_json *j)
{
	close_bracket(j, '}');
}

void fsp_json_end_list(struct fsp_json *j)
{
	close_bracket(j, ']');
}

void fsp_json_str(struct fsp_json *j, const char *key, const char *s)
{
	member(j, key);
	if (s)
		quoted(j, s);
	else
		fputs("null", j->out);
}

void fsp_json_int(struct fsp_json *j, const char *key, int64_t n)
{
	member(j, key);
	fprintf(j->out, "%" PRId64, n);
}

void fsp_json_uint(struct fsp_json *j, const char *key, uint64_t n)
{
	member(j, key);
	fprintf(j->out, "%" PRIu64, n);
}

void fsp_json_bool(struct fsp_json *j, const char *key, bool b)
{
	member(j, key);
	fputs(b ? "true" : "false", j->out);
}

void fsp_json_time(struct fsp_json *j, const char *key, int64_t us)
{
	char text[32];
	int frac = (int)(us % FSP_US_PER_SEC);

	member(j, key);
	if (!us) {
		fputs("null", j->out);
		return;
	}
	if (frac < 0)
		frac += FSP_US_PER_SEC;
	fsp_time_format(text, us);
	text[strlen(text) - 1] = '\0';  /* the Z goes behind the fraction */
	fprintf(j->out, "\"%s.%06dZ\"", text, frac);
}
