/* Where a store is, from what the user gave; and the paths for that. */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_impl.h"
#include "fsp_buf.h"
#include "fsp_cleanup.h"

char *fsp_config_join(const char *dir, const char *path)
{
	size_t len = strlen(dir);

	if (*path == '/')
		return strdup(path);
	return fsp_strf("%s%s%s", dir, len && dir[len - 1] == '/' ? "" : "/",
	                path);
}

int fsp_path_absolute(const char *path, char **out)
{
	FSP_FREE char *cwd = NULL;

	while (path[0] == '.' && path[1] == '/' && path[2])
		path += 1 + strspn(path + 1, "/");
	if (*path != '/') {
		cwd = getcwd(NULL, 0);
		if (!cwd)
			return -errno;
	}
	*out = strcmp(path, ".") == 0 ? fsp_steal(cwd)
	                              : fsp_config_join(cwd ? cwd : "", path);
	return *out ? 0 : -ENOMEM;
}

char *fsp_path_dirname(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return slash == path ? strdup("/")
	                     : strndup(path, (size_t)(slash - path));
}

/* 0, -ENOENT or another -errno; *is_dir with 0. */
static int look(const char *path, bool *is_dir)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	*is_dir = S_ISDIR(st.st_mode);
	return 0;
}

static int located_file(const char *path, char **conf)
{
	struct stat st;
	int err = fsp_path_absolute(path, conf);

	if (err)
		return err;
	return stat(*conf, &st) < 0 ? -errno : 0;
}

static int located_dir(const char *path, char **conf, char **dir)
{
	int err = fsp_path_absolute(path, dir);
	size_t len;
	struct stat st;

	if (err)
		return err;
	len = strlen(*dir);
	while (len > 1 && (*dir)[len - 1] == '/')
		(*dir)[--len] = '\0';
	*conf = fsp_config_join(*dir, FSP_CONFIG_NAME);
	if (!*conf)
		return -ENOMEM;
	return stat(*conf, &st) < 0 ? -errno : 0;
}

/* The XDG rule: a relative value is as good as none. */
static char *data_dir(void)
{
	const char *xdg = getenv("XDG_DATA_HOME");
	const char *home = getenv("HOME");

	if (xdg && *xdg == '/')
		return fsp_strf("%s/filespacefs", xdg);
	if (!home || *home != '/') {
		const struct passwd *pw = getpwuid(geteuid());

		home = pw ? pw->pw_dir : "/";
	}
	return fsp_strf("%s/.local/share/filespacefs", home);
}

static int locate_default(char **conf, char **dir)
{
	static const char etc[] = FSP_CONFIG_ETC "/" FSP_CONFIG_NAME;
	FSP_FREE char *data = NULL;
	bool is_dir;
	int err = look(etc, &is_dir);

	/* One that is there and cannot be read is an error, not a reason to
	 * use another store. */
	if (err != -ENOENT)
		return located_file(etc, conf);
	data = data_dir();
	return data ? located_dir(data, conf, dir) : -ENOMEM;
}

int fsp_config_locate(const char *source, char **conf, char **dir)
{
	FSP_FREE char *named = NULL;
	bool is_dir;
	int err;

	*conf = NULL;
	*dir = NULL;
	if (!source)
		return locate_default(conf, dir);
	if (*source == '\0')
		return -EINVAL;
	err = look(source, &is_dir);
	if (err == 0 && is_dir)
		return located_dir(source, conf, dir);
	if (err != -ENOENT)
		return located_file(source, conf);
	if (strchr(source, '/'))
		return located_dir(source, conf, dir);
	named = fsp_strf(FSP_CONFIG_ETC "/%s.conf", source);
	return named ? located_file(named, conf) : -ENOMEM;
}
