/* What may have been meant by a name that is none. */
#include <string.h>
#include <strings.h>

#include "config_impl.h"
#include "fsp_buf.h"

#define MAX_NAME 48             /* longer ones resemble nothing */
#define MAX_EDITS 2

static size_t least(size_t a, size_t b, size_t c)
{
	size_t ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* How many letters must be put in, left out or changed (Levenshtein). */
static size_t edits(const char *a, const char *b)
{
	size_t row[MAX_NAME + 1], n = strlen(b);

	if (strlen(a) > MAX_NAME || n > MAX_NAME)
		return MAX_NAME;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			bool same = !strncasecmp(&a[i - 1], &b[j - 1], 1);
			size_t change = diagonal + !same;

			diagonal = row[j];
			row[j] = least(row[j] + 1, row[j - 1] + 1, change);
		}
	}
	return row[n];
}

/* Short words differ little from anything: more than half must agree. */
static bool alike(const char *a, const char *b)
{
	size_t n = edits(a, b);

	return n <= MAX_EDITS && 2 * n < strlen(b);
}

static bool first_of_section(const struct fsp_param *p)
{
	return p == fsp_params || strcmp(p[-1].section, p->section) != 0;
}

static int list_sections(struct fsp_buf *out)
{
	int err = fsp_buf_adds(out, "; there are");

	for (const struct fsp_param *p = fsp_params; !err && p->section; p++)
		if (first_of_section(p))
			err = fsp_buf_printf(out, " [%s]", p->section);
	return err;
}

static int list_keys(const char *section, struct fsp_buf *out)
{
	int err = fsp_buf_printf(out, "; [%s] has", section);

	for (const struct fsp_param *p = fsp_params; !err && p->section; p++)
		if (strcmp(p->section, section) == 0)
			err = fsp_buf_printf(out, " %s", p->key);
	return err;
}

/* By its name, or, where nothing is like that, by the keys that it has. */
static int suggest_section(const char *section, const char *key,
                           struct fsp_buf *out)
{
	const struct fsp_param *best = NULL, *with_key = NULL;
	int keys = 0;

	for (const struct fsp_param *p = fsp_params; p->section; p++) {
		if (strcmp(p->key, key) == 0) {
			with_key = p;
			keys++;
		}
		if (first_of_section(p) && alike(section, p->section) &&
		    (!best || edits(section, p->section) <
		              edits(section, best->section)))
			best = p;
	}
	if (!best && keys == 1)
		best = with_key;
	return best ? fsp_buf_printf(out, " (did you mean %s?)", best->section)
		: list_sections(out);
}

static const struct fsp_param *nearest(const char *section, const char *key)
{
	const struct fsp_param *best = NULL;

	for (const struct fsp_param *p = fsp_params; p->section; p++)
		if (strcmp(p->section, section) == 0 && alike(key, p->key) &&
		    (!best || edits(key, p->key) < edits(key, best->key)))
			best = p;
	if (best)
		return best;
	/* The right key in the wrong section. */
	for (const struct fsp_param *p = fsp_params; p->section; p++)
		if (strcmp(p->key, key) == 0)
			return p;
	return NULL;
}

static int suggest_key(const char *section, const char *key, bool dotted,
                       struct fsp_buf *out)
{
	const struct fsp_param *p = nearest(section, key);

	if (!p)
		return list_keys(section, out);
	if (dotted)
		return fsp_buf_printf(out, " (did you mean %s.%s?)", p->section,
		                      p->key);
	if (strcmp(p->section, section) != 0)
		return fsp_buf_printf(out, " (did you mean [%s] %s?)",
		                      p->section, p->key);
	return fsp_buf_printf(out, " (did you mean %s?)", p->key);
}

int fsp_suggest(const char *section, const char *key, bool dotted,
                struct fsp_buf *out)
{
	if (!fsp_param_section_exists(section))
		return suggest_section(section, key, out);
	return suggest_key(section, key, dotted, out);
}
