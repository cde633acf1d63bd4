/*
 * Keys that somebody has written down: settings, environment, files in the
 * form of AWS's shared credentials.
 *
 * The file is not read with the library that reads the configuration: that one
 * cuts a section's name after 49 bytes, and another profile's keys could be
 * taken, and it has process-wide switches while this runs in any thread.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_file.h"
#include "s3_cred_impl.h"

#define MAX_FILE (1 << 20)

/* Adds the words of an error; what cannot be said is no other error. */
#define SAY(why, ...) ((void)fsp_buf_printf(why, __VA_ARGS__))

/* An empty variable is how a service file unsets one. */
static const char *env(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

int s3_from_settings(const struct s3_cred_options *o, const struct fsp_ctx *ctx,
                     struct s3_fetched *out, struct fsp_buf *why)
{
	(void)ctx;
	if (o->access)
		return s3_keys_copy(&out->keys, o->access, o->secret, o->token);
	SAY(why, "s3.access_key is not set");
	return -ENOENT;
}

int s3_from_environment(const struct s3_cred_options *o,
                        const struct fsp_ctx *ctx, struct s3_fetched *out,
                        struct fsp_buf *why)
{
	const char *access = env("AWS_ACCESS_KEY_ID");
	const char *secret = env("AWS_SECRET_ACCESS_KEY");

	(void)o;
	(void)ctx;
	if (access && secret)
		return s3_keys_copy(&out->keys, access, secret,
		                    env("AWS_SESSION_TOKEN"));
	SAY(why, "%s is not set", access ? "AWS_SECRET_ACCESS_KEY"
	                                 : "AWS_ACCESS_KEY_ID");
	return access || secret ? -EACCES : -ENOENT;
}

/* What is being read of one file. */
struct profile {
	const char *path, *name;
	struct s3_keys keys;
	bool found, inside;
	struct fsp_buf *why;
};

static char *trim(char *s)
{
	size_t len;

	while (isspace((unsigned char)*s))
		s++;
	len = strlen(s);
	while (len && isspace((unsigned char)s[len - 1]))
		s[--len] = '\0';
	return s;
}

static char **field(struct profile *p, const char *key)
{
	if (strcasecmp(key, "aws_access_key_id") == 0)
		return &p->keys.access;
	if (strcasecmp(key, "aws_secret_access_key") == 0)
		return &p->keys.secret;
	if (strcasecmp(key, "aws_session_token") == 0)
		return &p->keys.token;
	return NULL;
}

static int bad_line(struct profile *p, int number, const char *what)
{
	SAY(p->why, "%s:%d: %s", p->path, number, what);
	return -EACCES;
}

static int take_setting(struct profile *p, char *line, int number)
{
	char *is = strchr(line, '=');
	char **to;

	if (!is)
		return bad_line(p, number, "neither a [profile] nor key = value");
	*is++ = '\0';
	to = p->inside ? field(p, trim(line)) : NULL;
	is = trim(is);
	if (!to || !*is)
		return 0;
	if (*to)
		return bad_line(p, number, "is set twice in this profile");
	*to = strdup(is);
	return *to ? 0 : -ENOMEM;
}

static int take_line(struct profile *p, char *line, int number)
{
	char *close;

	line = trim(line);
	if (!*line || *line == '#' || *line == ';')
		return 0;
	if (*line != '[')
		return take_setting(p, line, number);
	close = strchr(line, ']');
	if (!close)
		return bad_line(p, number, "the profile's name has no ]");
	*close = '\0';
	p->inside = strcmp(trim(line + 1), p->name) == 0;
	p->found |= p->inside;
	return 0;
}

/* Takes the text to pieces. */
static int take_text(struct profile *p, char *text)
{
	int number = 1, err = 0;

	for (char *next; !err && text; text = next, number++) {
		next = strchr(text, '\n');
		if (next)
			*next++ = '\0';
		err = take_line(p, text, number);
	}
	return err;
}

/* Others may not be able to read it: 0 or -EACCES with the mode in words. */
static int read_checked(const char *path, struct fsp_buf *text,
                        struct fsp_buf *why)
{
	FSP_CLOSE int fd = TEMP_FAILURE_RETRY(
		open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
	struct stat st;
	int err = 0;

	if (fd < 0 || fstat(fd, &st) < 0) {
		err = -errno;
		SAY(why, "%s: %s", path, strerror(-err));
		return err;
	}
	if (!S_ISREG(st.st_mode)) {
		SAY(why, "%s: is no file", path);
		return -EACCES;
	}
	if (st.st_mode & 077) {
		SAY(why, "%s: holds a secret and its mode is %04o, so that "
		         "others may get at it; run: chmod 0600 %s",
		    path, st.st_mode & 07777U, path);
		return -EACCES;
	}
	/* All at once: growing would leave pieces behind that nobody wipes. */
	err = st.st_size > MAX_FILE ? -EFBIG
	                            : fsp_buf_reserve(text, MAX_FILE + 1);
	if (!err)
		err = fsp_read_fd(fd, text, MAX_FILE);
	if (err)
		SAY(why, "%s: %s", path, strerror(-err));
	return err;
}

static int check_profile(struct profile *p)
{
	const char *missing = !p->keys.access ? "aws_access_key_id"
		: !p->keys.secret ? "aws_secret_access_key" : NULL;

	if (!p->found)
		SAY(p->why, "%s: has no profile [%s]", p->path, p->name);
	else if (missing)
		SAY(p->why, "%s: the profile [%s] has no %s", p->path, p->name,
		    missing);
	else
		return 0;
	return p->found ? -EACCES : -ENOENT;
}

/* -ENOENT: no file, or no such profile in it. */
static int read_profile(const char *path, const char *name,
                        struct s3_keys *out, struct fsp_buf *why)
{
	struct profile p = { .path = path, .name = name, .why = why };
	struct fsp_buf text = FSP_BUF_INIT;
	int err = read_checked(path, &text, why);

	if (!err && memchr(text.data, '\0', text.len))
		err = bad_line(&p, 1, "there is a NUL byte in it");
	if (!err)
		err = take_text(&p, text.data);
	if (text.data)
		fsp_wipe(text.data, text.cap);
	fsp_buf_free(&text);
	if (!err)
		err = check_profile(&p);
	if (err)
		s3_keys_free(&p.keys);
	else
		*out = p.keys;
	return err;
}

static const char *profile_of(const struct s3_cred_options *o)
{
	return o->profile ? o->profile : env("AWS_PROFILE");
}

int s3_from_file(const struct s3_cred_options *o, const struct fsp_ctx *ctx,
                 struct s3_fetched *out, struct fsp_buf *why)
{
	const char *profile = profile_of(o);
	int err;

	(void)ctx;
	if (!o->file) {
		SAY(why, "s3.credentials_file is not set");
		return -ENOENT;
	}
	err = read_profile(o->file, profile ? profile : "default", &out->keys,
	                   why);
	return err == -ENOENT ? -EACCES : err;
}

/* ~/.aws/credentials in fresh memory, or NULL. */
static char *default_path(void)
{
	const char *home = env("HOME");
	struct passwd pw, *found = NULL;
	char buf[4096];

	if (!home && getpwuid_r(getuid(), &pw, buf, sizeof(buf), &found) == 0 &&
	    found)
		home = found->pw_dir;
	return home ? fsp_strf("%s/.aws/credentials", home) : NULL;
}

int s3_from_shared_file(const struct s3_cred_options *o,
                        const struct fsp_ctx *ctx, struct s3_fetched *out,
                        struct fsp_buf *why)
{
	const char *set = env("AWS_SHARED_CREDENTIALS_FILE");
	const char *profile = profile_of(o);
	FSP_FREE char *path = set ? strdup(set) : default_path();
	int err;

	(void)ctx;
	if (!path) {
		SAY(why, "there is no home directory");
		return set ? -ENOMEM : -ENOENT;
	}
	err = read_profile(path, profile ? profile : "default", &out->keys,
	                   why);
	/* Only what nobody asked for may be missing. */
	return err == -ENOENT && (set || profile) ? -EACCES : err;
}
