/* The wiring of MariaDB: from settings to how it is reached. */
#include "main_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_config.h"
#include "fsp_file.h"
#include "fsp_meta.h"

#define PASSWORD_MAX 4096

/* An empty setting is one that is not set. */
static const char *text(const struct fsp_config *c, const char *key)
{
	const char *value = fsp_config_str(c, "mysql", key);

	return value && *value ? value : NULL;
}

static enum fsp_tls tls(const struct fsp_config *c)
{
	const char *word = fsp_config_str(c, "mysql", "tls");

	if (strcmp(word, "off") == 0)
		return FSP_TLS_OFF;
	return strcmp(word, "require") == 0 ? FSP_TLS_REQUIRE : FSP_TLS_VERIFY;
}

static int open_secret(const char *path, char **error)
{
	int fd = TEMP_FAILURE_RETRY(open(path, O_RDONLY | O_CLOEXEC |
	                                 O_NOCTTY));
	struct stat st;
	int err;

	if (fd >= 0 && fstat(fd, &st) == 0 && !(st.st_mode & 077))
		return fd;
	if (fd >= 0 && fstat(fd, &st) == 0) {
		*error = fsp_strf("%s: holds a password and its mode is %04o, "
		                  "so that others may get at it; run: chmod "
		                  "0600 %s", path, st.st_mode & 07777U, path);
		err = -EACCES;
	} else {
		err = -errno;
		*error = fsp_strf("%s: %s", path, strerror(-err));
	}
	if (fd >= 0)
		close(fd);
	return err;
}

/* The first line of the file. */
static int read_password(const char *path, struct fsp_buf *out, char **error)
{
	FSP_CLOSE int fd = open_secret(path, error);
	int err;

	if (fd < 0)
		return fd;
	err = fsp_read_fd(fd, out, PASSWORD_MAX);
	if (err) {
		*error = fsp_strf("%s: %s", path, strerror(-err));
		return err;
	}
	if (out->data)
		out->data[strcspn(out->data, "\r\n")] = '\0';
	if (out->data && *out->data)
		return 0;
	/* Else the one in the configuration would be taken, unseen. */
	*error = fsp_strf("%s: its first line, the password, is empty", path);
	return -EINVAL;
}

static int copy_options(const struct fsp_config *c, const char *password,
                        struct fsp_maria_options *out)
{
	const struct fsp_maria_options o = {
		.hosts = text(c, "host"),
		.read_hosts = text(c, "read_hosts"),
		.port = (int)fsp_config_int(c, "mysql", "port"),
		.socket = text(c, "socket"),
		.user = text(c, "user"),
		.password = password ? password : text(c, "password"),
		.database = text(c, "database"),
		.charset = text(c, "charset"),
		.tls = tls(c),
		.tls_ca = text(c, "tls_ca"),
		.tls_cert = text(c, "tls_cert"),
		.tls_key = text(c, "tls_key"),
		.connect_timeout_ns = fsp_config_ns(c, "mysql",
		                                    "connect_timeout"),
		.timeout_ns = fsp_config_ns(c, "mysql", "timeout"),
		.connections = (int)fsp_config_int(c, "mysql", "connections"),
	};

	return fsp_maria_options_copy(&o, out);
}

int fsp_wire_mysql_options(const struct fsp_config *c,
                           struct fsp_maria_options *out, char **error)
{
	const char *file = text(c, "password_file");
	struct fsp_buf password = FSP_BUF_INIT;
	int err = 0;

	if (file)
		err = read_password(file, &password, error);
	if (!err)
		err = copy_options(c, password.data, out);
	if (password.data)
		fsp_wipe(password.data, password.cap);
	fsp_buf_free(&password);
	file = text(c, "option_file");
	if (err || !file)
		return err;
	err = fsp_maria_options_file(out, file,
	                             fsp_config_str(c, "mysql", "option_group"),
	                             error);
	if (err)
		fsp_maria_options_free(out);
	return err;
}
