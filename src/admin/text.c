/* Text for people: names, owners, sizes, tables. */
#include "text.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"

char *fsp_text_visible(const char *s)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	int err = 0;

	for (; *s && !err; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '\\')
			err = fsp_buf_adds(&b, "\\\\");
		else if (c < 0x20 || c == 0x7f)
			err = fsp_buf_printf(&b, "\\x%02x", c);
		else
			err = fsp_buf_addc(&b, *s);
	}
	return err ? NULL : fsp_buf_steal(&b);
}

char *fsp_text_owner(uid_t uid, gid_t gid)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	const struct passwd *pw = getpwuid(uid);
	const struct group *gr = getgrgid(gid);
	int err;

	if (pw)
		err = fsp_buf_printf(&b, "%s:", pw->pw_name);
	else
		err = fsp_buf_printf(&b, "%u:", uid);
	if (!err && gr)
		err = fsp_buf_adds(&b, gr->gr_name);
	else if (!err)
		err = fsp_buf_printf(&b, "%u", gid);
	return err ? NULL : fsp_buf_steal(&b);
}

char *fsp_text_bytes(int64_t bytes)
{
	char text[32];
	uint64_t size = bytes < 0 ? 0 - (uint64_t)bytes : (uint64_t)bytes;

	return fsp_strf("%s%s", bytes < 0 ? "-" : "",
	                fsp_human(text, sizeof(text), size));
}

char *fsp_text_percent(int64_t part, uint64_t whole)
{
	if (!whole)
		return strdup("-");
	return fsp_strf("%.0f %%", 100.0 * (double)part / (double)whole);
}

void fsp_table_init(struct fsp_table *t, const char *const *heads, size_t cols,
                    uint32_t right)
{
	*t = (struct fsp_table){ .heads = heads, .cols = cols, .right = right };
}

void fsp_table_cell(struct fsp_table *t, char *text)
{
	if (text && t->count == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 64;
		char **cells = reallocarray(t->cells, cap, sizeof(*cells));

		if (!cells) {
			free(text);
			text = NULL;
		} else {
			t->cells = cells;
			t->cap = cap;
		}
	}
	if (!text)
		t->failed = true;
	else
		t->cells[t->count++] = text;
}

void fsp_table_text(struct fsp_table *t, const char *text)
{
	fsp_table_cell(t, strdup(text));
}

/* Columns on a terminal: characters, not bytes of UTF-8. */
static size_t width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static size_t column_width(const struct fsp_table *t, size_t col)
{
	size_t max = width(t->heads[col]);

	for (size_t i = col; i < t->count; i += t->cols) {
		size_t w = width(t->cells[i]);

		if (w > max)
			max = w;
	}
	return max;
}

static void print_cell(const struct fsp_table *t, FILE *out, size_t col,
                       const char *text, size_t wide)
{
	int pad = (int)(wide - width(text));
	bool right = t->right & (1u << col);
	bool last = col + 1 == t->cols;

	fprintf(out, "%*s%s%*s%s", right ? pad : 0, "", text,
	        right || last ? 0 : pad, "", last ? "\n" : "  ");
}

int fsp_table_print(const struct fsp_table *t, FILE *out, const char *indent)
{
	FSP_FREE size_t *wide = calloc(t->cols, sizeof(*wide));

	if (t->failed || !wide)
		return -ENOMEM;
	for (size_t c = 0; c < t->cols; c++)
		wide[c] = column_width(t, c);
	fputs(indent, out);
	for (size_t c = 0; c < t->cols; c++)
		print_cell(t, out, c, t->heads[c], wide[c]);
	for (size_t i = 0; i + t->cols <= t->count; i += t->cols) {
		fputs(indent, out);
		for (size_t c = 0; c < t->cols; c++)
			print_cell(t, out, c, t->cells[i + c], wide[c]);
	}
	return 0;
}

void fsp_table_free(struct fsp_table *t)
{
	for (size_t i = 0; i < t->count; i++)
		free(t->cells[i]);
	free(t->cells);
}
