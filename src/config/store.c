/* The configuration file of a new embedded store. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "config_impl.h"
#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_file.h"

#define MAX_TEXT 4096           /* well below the longest line of ini.c */

static const char head[] =
	"# An embedded filespacefs store: this file, the database and the\n"
	"# objects. All settings are described in filespacefs.conf(5).\n";

static const char key_note[] =
	"# Every file in this store is encrypted with this key. Keep a copy of\n"
	"# this file in a safe place outside of this directory: without key and\n"
	"# iv the content is lost for good. Never change them.\n";

/* Takes fresh random bytes where the environment has given none. */
static int fill_random(struct fsp_config *c, const char *key)
{
	const struct fsp_param *p = fsp_param_find("encryption", key);
	struct fsp_setting *s = fsp_config_setting(c, p);

	if (s->set)
		return 0;
	fsp_random(s->bytes, (size_t)p->max);
	s->set = true;
	s->origin = strdup("new");
	return s->origin ? 0 : -ENOMEM;
}

static int fill_keys(struct fsp_config *c)
{
	int err;

	if (strcmp(fsp_config_str(c, "encryption", "method"), "none") == 0)
		return 0;
	err = fill_random(c, "key");
	return err ? err : fill_random(c, "iv");
}

static int add_hex(struct fsp_buf *out, const struct fsp_param *p,
                   const struct fsp_setting *s)
{
	char hex[2 * FSP_HEX_MAX + 1];
	int err;

	fsp_hex(hex, s->bytes, (size_t)p->max);
	err = fsp_buf_printf(out, "%s = %s\n", p->key, hex);
	fsp_wipe(hex, sizeof(hex));
	return err;
}

/* The quote that keeps the text whole, "" for none, NULL when nothing does. */
static const char *quote_for(const char *text)
{
	size_t len = strlen(text);

	if (len > MAX_TEXT)
		return NULL;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20)
			return NULL;
	if (len && !strpbrk(text, "\"'; "))
		return "";
	if (!strchr(text, '"'))
		return "\"";
	return strchr(text, '\'') ? NULL : "'";
}

static int add_text(struct fsp_buf *out, const struct fsp_param *p,
                    const char *text, char **error)
{
	const char *quote = quote_for(text);

	if (quote)
		return fsp_buf_printf(out, "%s = %s%s%s\n", p->key, quote,
		                      text, quote);
	return fsp_config_fail(error, -EINVAL,
	                       "-o %s.%s: not allowed in a new store; at most "
	                       "%d bytes without control characters and "
	                       "without both kinds of quotes", p->section,
	                       p->key, MAX_TEXT);
}

static int add_section(struct fsp_buf *out, const char *section)
{
	int err = fsp_buf_printf(out, "\n[%s]\n", section);

	if (!err && strcmp(section, "encryption") == 0)
		err = fsp_buf_adds(out, key_note);
	return err;
}

/* What differs from the defaults; of the secrets only the key and the iv. */
static bool belongs(const struct fsp_param *p, const struct fsp_setting *s)
{
	return s->origin && (!p->secret || p->type == FSP_PARAM_HEX);
}

static int render(const struct fsp_config *c, struct fsp_buf *out, char **error)
{
	const char *section = "";
	int err = fsp_buf_adds(out, head);

	for (size_t i = 0; !err && i < c->count; i++) {
		const struct fsp_param *p = &fsp_params[i];

		if (!belongs(p, &c->s[i]))
			continue;
		if (strcmp(section, p->section) != 0)
			err = add_section(out, p->section);
		section = p->section;
		if (err)
			break;
		err = p->type == FSP_PARAM_HEX
		              ? add_hex(out, p, &c->s[i])
		              : add_text(out, p, c->s[i].given, error);
	}
	return err;
}

static int write_file(const char *dir, const struct fsp_buf *text)
{
	FSP_CLOSE int fd = TEMP_FAILURE_RETRY(
		open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct fsp_atomic *a;
	int err;

	if (fd < 0)
		return -errno;
	if (faccessat(fd, FSP_CONFIG_NAME, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	err = fsp_atomic_begin(fd, 0600, &a);
	if (err)
		return err;
	/* A failed write is kept for the commit, which returns it. */
	(void)fsp_atomic_write(a, text->data, text->len);
	/* Of two that make a store at once, only one may set the key. */
	return fsp_atomic_commit_new(a, FSP_CONFIG_NAME);
}

static int prepare(struct fsp_config *c, const char *const *options, int n,
                   char **error)
{
	int err = fsp_config_environment(c, error);

	if (!err)
		err = fsp_config_options(c, options, n, error);
	if (!err)
		err = fill_keys(c);
	return err ? err : fsp_config_check(c, error);
}

static int create(const char *dir, struct fsp_config *c, char **error)
{
	struct fsp_buf text = FSP_BUF_INIT;
	int err = fsp_buf_reserve(&text, 65536);        /* no copies by realloc */

	if (!err)
		err = render(c, &text, error);
	if (!err)
		err = fsp_mkdirs(dir, 0700);
	if (!err)
		err = write_file(dir, &text);
	if (text.data)
		fsp_wipe(text.data, text.cap);
	fsp_buf_free(&text);
	return err;
}

int fsp_config_create_store(const char *dir, const char *const *options, int n,
                            char **error)
{
	FSP_FREE char *path = NULL;
	struct fsp_config *c = NULL;
	int err;

	*error = NULL;
	err = fsp_path_absolute(dir, &path);
	if (!err)
		err = fsp_config_new(path, &c);
	if (!err)
		err = prepare(c, options, n, error);
	if (!err)
		err = create(path, c, error);
	fsp_config_free(c);
	if (err && !*error)
		err = fsp_config_fail(error, err, "%s/%s: %s", dir,
		                      FSP_CONFIG_NAME, strerror(-err));
	return err;
}
