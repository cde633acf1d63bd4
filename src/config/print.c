/* The texts that are made from the table: help, sample file, manual. */
#include <stdio.h>
#include <string.h>

#include "config_impl.h"
#include "fsp_buf.h"
#include "fsp_cleanup.h"

#define WIDTH 79

/* Words in lines of at most WIDTH, each line after `prefix`. */
static void wrap_to(FILE *out, const char *prefix, const char *text,
                    const char *end)
{
	size_t column = 0;

	while (text < end) {
		size_t len = strcspn(text, " ");

		if (column && column + 1 + len > WIDTH) {
			fputc('\n', out);
			column = 0;
		}
		if (column)
			fputc(' ', out);
		else
			fputs(prefix, out);
		column += column ? 1 : strlen(prefix);
		fwrite(text, 1, len, out);
		column += len;
		text += len;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

/* "Allowed: ...; default: ...", the caller frees; NULL out of memory. */
static char *limits(const struct fsp_param *p, bool with_default)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	FSP_FREE char *env = NULL;
	int err = fsp_buf_adds(&b, "Allowed: ");

	if (!err)
		err = fsp_value_allowed(p, &b);
	if (!err && with_default)
		err = fsp_buf_printf(&b, "; default: %s",
		                     p->dflt ? p->dflt : "not set");
	if (!err)
		err = fsp_buf_addc(&b, '.');
	if (!err && p->secret) {
		env = fsp_param_env(p);
		err = fsp_buf_printf(&b, " Secret: not with -o; the variable "
		                         "%s overrides the file.",
		                     env ? env : "");
	}
	return err ? NULL : fsp_buf_steal(&b);
}

static void wrap(FILE *out, const char *prefix, const char *text)
{
	wrap_to(out, prefix, text, text + strlen(text));
}

static bool starts_section(const struct fsp_param *p)
{
	return p == fsp_params || strcmp(p[-1].section, p->section) != 0;
}

static void print_limits(FILE *out, const char *prefix,
                         const struct fsp_param *p, bool with_default)
{
	FSP_FREE char *text = limits(p, with_default);

	wrap(out, prefix, text ? text : "(out of memory)");
}

void fsp_config_print_help(FILE *out)
{
	fputs("Settings, for the configuration file or as "
	      "-o section.key=value:\n", out);
	for (const struct fsp_param *p = fsp_params; p->section; p++) {
		fprintf(out, "\n  %s.%s\n", p->section, p->key);
		wrap(out, "        ", p->text);
		print_limits(out, "        ", p, true);
	}
}

static const char sample_head[] =
	"# filespacefs.conf: the settings of one filespacefs mount.\n"
	"#\n"
	"# Every setting is shown with its default, commented out; see\n"
	"# filespacefs.conf(5). Relative paths begin at this file's directory.\n"
	"# A line that begins with # or ; is a comment, and so is what follows a\n"
	"# blank and a ; after a value. A value may stand in quotes. A file with\n"
	"# a key or another secret in it needs mode 0600.\n";

void fsp_config_print_sample(FILE *out)
{
	fputs(sample_head, out);
	for (const struct fsp_param *p = fsp_params; p->section; p++) {
		if (starts_section(p))
			fprintf(out, "\n[%s]\n", p->section);
		fputc('\n', out);
		wrap(out, "# ", p->text);
		print_limits(out, "# ", p, false);
		fprintf(out, "#%s =%s%s\n", p->key, p->dflt ? " " : "",
		        p->dflt ? p->dflt : "");
	}
}

/* A sentence a line, as mdoc wants it; nothing in the table needs escapes
 * but a point at the beginning of a line. */
static void print_sentences(FILE *out, const char *text)
{
	while (*text) {
		const char *stop = strstr(text, ". ");
		const char *end = stop ? stop + 1 : text + strlen(text);

		if (*text == '.' || *text == '\'')
			fputs("\\&", out);
		wrap_to(out, "", text, end);
		text = end + strspn(end, " ");
	}
}

static void print_man_item(FILE *out, const struct fsp_param *p)
{
	FSP_FREE char *text = limits(p, true);

	fprintf(out, ".It Cm %s\n", p->key);
	print_sentences(out, p->text);
	print_sentences(out, text ? text : "(out of memory)");
}

void fsp_config_print_man(FILE *out)
{
	for (const struct fsp_param *p = fsp_params; p->section; p++) {
		if (starts_section(p))
			fprintf(out, "%s.Ss Section %s\n.Bl -tag -width Ds\n",
			        p == fsp_params ? "" : ".El\n", p->section);
		print_man_item(out, p);
	}
	fputs(".El\n", out);
}
