/* The options that mount(8) hands to a helper. */
#include <errno.h>
#include <string.h>

#include "fsp_admin.h"
#include "fsp_buf.h"

/* For mount(8), fstab and the boot; they say nothing to a filesystem. */
static const char *const dropped[] = {
	"rw", "auto", "noauto", "nofail", "_netdev", "user", "nouser", "users",
	"nousers", "owner", "noowner", "group", "nogroup", "defaults",
};

/* The same, with anything behind. */
static const char *const dropped_prefixes[] = {
	"x-", "X-", "comment=", "user=",
};

static size_t option_length(const char *s)
{
	size_t n = 0;

	while (s[n] && s[n] != ',')
		n += s[n] == '\\' && s[n + 1] ? 2 : 1;
	return n;
}

static bool is(const char *s, size_t len, const char *word)
{
	return strlen(word) == len && memcmp(s, word, len) == 0;
}

static bool is_dropped(const char *s, size_t len)
{
	for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++)
		if (is(s, len, dropped[i]))
			return true;
	for (size_t i = 0;
	     i < sizeof(dropped_prefixes) / sizeof(dropped_prefixes[0]); i++) {
		size_t n = strlen(dropped_prefixes[i]);

		if (len >= n && memcmp(s, dropped_prefixes[i], n) == 0)
			return true;
	}
	return len == 0;
}

int fsp_mount_options(const char *options, struct fsp_buf *out)
{
	int err = 0;

	while (!err && *options) {
		size_t len = option_length(options);

		if (is(options, len, "remount"))
			return -EOPNOTSUPP;
		if (!is_dropped(options, len)) {
			err = fsp_buf_add(out, options, len);
			if (!err)
				err = fsp_buf_addc(out, ',');
		}
		options += len;
		options += *options == ',';
	}
	return err;
}
