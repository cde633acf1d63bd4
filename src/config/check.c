/* What the settings demand of each other. */
#include <errno.h>
#include <string.h>

#include "config_impl.h"

static bool is_set(const struct fsp_config *c, const char *section,
                   const char *key)
{
	return c->s[fsp_param_find(section, key) - fsp_params].set;
}

static const char *file_of(const struct fsp_config *c)
{
	return c->file ? c->file : "configuration";
}

static int check_key(const struct fsp_config *c, char **error)
{
	const char *method = fsp_config_str(c, "encryption", "method");
	bool key = is_set(c, "encryption", "key");
	bool iv = is_set(c, "encryption", "iv");

	if (key && iv)
		return 0;
	if (key || iv)
		return fsp_config_fail(
			error, -EINVAL,
			"%s: [encryption] %s is set and %s is not; both belong "
			"together", file_of(c), key ? "key" : "iv",
			key ? "iv" : "key");
	if (strcmp(method, "none") == 0)
		return 0;
	return fsp_config_fail(
		error, -EINVAL,
		"%s: [encryption] method = %s needs key and iv; put them into "
		"the configuration file or into the environment variables "
		"FILESPACEFS_ENCRYPTION_KEY and FILESPACEFS_ENCRYPTION_IV",
		file_of(c), method);
}

static size_t len_without_slashes(const char *path)
{
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		len--;
	return len;
}

/* The cache evicts and the spool is swept: neither may meet the objects. */
static int check_dirs(const struct fsp_config *c, char **error)
{
	static const char *const sections[] = { "file", "spool", "cache" };

	for (size_t i = 0; i < 3; i++) {
		for (size_t j = i + 1; j < 3; j++) {
			const char *a = fsp_config_str(c, sections[i], "path");
			const char *b = fsp_config_str(c, sections[j], "path");
			size_t len = len_without_slashes(a);

			if (len != len_without_slashes(b) ||
			    strncmp(a, b, len) != 0)
				continue;
			return fsp_config_fail(
				error, -EINVAL,
				"%s: [%s] path and [%s] path are both %s; each "
				"needs a directory of its own", file_of(c),
				sections[i], sections[j], a);
		}
	}
	return 0;
}

static int check_s3(const struct fsp_config *c, char **error)
{
	if (strcmp(fsp_config_str(c, "general", "adapter"), "s3") != 0 ||
	    is_set(c, "s3", "bucketname"))
		return 0;
	return fsp_config_fail(error, -EINVAL,
	                       "%s: [general] adapter = s3 needs [s3] bucketname",
	                       file_of(c));
}

static int check_mysql(const struct fsp_config *c, char **error)
{
	if (strcmp(fsp_config_str(c, "general", "database"), "mysql") != 0 ||
	    is_set(c, "mysql", "database") || is_set(c, "mysql", "option_file"))
		return 0;
	return fsp_config_fail(error, -EINVAL,
	                       "%s: [general] database = mysql needs [mysql] "
	                       "database", file_of(c));
}

int fsp_config_check(const struct fsp_config *c, char **error)
{
	int err;

	*error = NULL;
	err = check_key(c, error);
	if (!err)
		err = check_s3(c, error);
	if (!err)
		err = check_mysql(c, error);
	return err ? err : check_dirs(c, error);
}
