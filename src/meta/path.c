/* Paths of the mount to keys of the tables and back. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_path.h"

void fsp_dirkey_free(struct fsp_dirkey *k)
{
	free(k->space);
	free(k->dir);
	*k = (struct fsp_dirkey){ NULL, NULL };
}

bool fsp_name_valid(const char *name, size_t len)
{
	if (len == 0 || len > FSP_NAME_MAX)
		return false;
	if (memchr(name, '/', len) || memchr(name, '\0', len))
		return false;
	return name[0] != '.' || len > 2 || (len == 2 && name[1] != '.');
}

/* Every component valid; "" is no list of components. */
static int check_components(const char *path)
{
	if (strlen(path) >= FSP_PATH_MAX)
		return -ENAMETOOLONG;
	for (;;) {
		size_t len = strcspn(path, "/");

		if (len > FSP_NAME_MAX)
			return -ENAMETOOLONG;
		if (!fsp_name_valid(path, len))
			return -EINVAL;
		if (!path[len])
			return 0;
		path += len + 1;
	}
}

static int add_encoded(struct fsp_buf *b, const char *name, size_t len)
{
	int err = 0;

	for (size_t i = 0; i < len && !err; i++) {
		if (name[i] == '.')
			err = fsp_buf_adds(b, "%2E");
		else if (name[i] == '%')
			err = fsp_buf_adds(b, "%25");
		else
			err = fsp_buf_addc(b, name[i]);
	}
	return err;
}

/* Appends the space of the first three components; *rest is what follows. */
static int add_space(struct fsp_buf *b, const char *path, const char **rest)
{
	int err = 0;

	for (int depth = 0; *path && depth < FSP_RECORD_DEPTH && !err; depth++) {
		size_t len = strcspn(path, "/");

		if (depth > 0)
			err = fsp_buf_addc(b, '.');
		if (!err && depth < FSP_RECORD_DEPTH - 1)
			err = add_encoded(b, path, len);
		else if (!err)
			err = fsp_buf_add(b, path, len);
		path += len + (path[len] == '/');
	}
	*rest = path;
	return err;
}

int fsp_path_dirkey(const char *path, struct fsp_dirkey *out)
{
	FSP_BUF struct fsp_buf space = FSP_BUF_INIT;
	const char *rest;
	int err;

	*out = (struct fsp_dirkey){ NULL, NULL };
	err = *path ? check_components(path) : 0;
	if (!err)
		err = add_space(&space, path, &rest);
	if (err)
		return err;
	out->space = fsp_buf_steal(&space);
	out->dir = strdup(rest);
	if (out->space && out->dir)
		return 0;
	fsp_dirkey_free(out);
	return -ENOMEM;
}

char *fsp_path_join(const char *dir, const char *name)
{
	return *dir ? fsp_strf("%s/%s", dir, name) : strdup(name);
}

int fsp_path_split(const char *path, char **dir, char **name)
{
	const char *slash = strrchr(path, '/');

	*dir = *name = NULL;
	if (!*path)
		return -EINVAL;
	*dir = slash ? strndup(path, (size_t)(slash - path)) : strdup("");
	*name = strdup(slash ? slash + 1 : path);
	if (*dir && *name)
		return 0;
	free(*dir);
	free(*name);
	*dir = *name = NULL;
	return -ENOMEM;
}

/* Decodes len bytes; -EINVAL for anything add_encoded() would not write. */
static int add_decoded(struct fsp_buf *b, const char *s, size_t len)
{
	size_t start = b->len;

	for (size_t i = 0; i < len; i++) {
		char c = s[i];
		int err;

		if (c == '%') {
			if (len - i < 3 || s[i + 1] != '2' ||
			    (s[i + 2] != 'E' && s[i + 2] != '5'))
				return -EINVAL;
			c = s[i + 2] == 'E' ? '.' : '%';
			i += 2;
		}
		err = fsp_buf_addc(b, c);
		if (err)
			return err;
	}
	if (b->len == start || !fsp_name_valid(b->data + start, b->len - start))
		return -EINVAL;
	return 0;
}

/* Appends the path that a space names; *depth is how many components. */
static int add_space_path(struct fsp_buf *b, const char *space, int *depth)
{
	const char *s = space;
	int err;

	*depth = 0;
	if (!*space)
		return fsp_buf_adds(b, "");
	for (; *depth < FSP_RECORD_DEPTH - 1; s++) {
		size_t len = strcspn(s, ".");

		err = *depth ? fsp_buf_addc(b, '/') : 0;
		if (!err)
			err = add_decoded(b, s, len);
		if (err)
			return err;
		++*depth;
		s += len;
		if (!*s)
			return 0;
	}
	++*depth;
	if (!fsp_name_valid(s, strlen(s)))
		return -EINVAL;
	err = fsp_buf_addc(b, '/');
	return err ? err : fsp_buf_adds(b, s);
}

int fsp_path_of_space(const char *space, char **path)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	int depth, err;

	*path = NULL;
	err = add_space_path(&b, space, &depth);
	if (err)
		return err;
	if (b.len >= FSP_PATH_MAX)
		return -EINVAL;
	*path = fsp_buf_steal(&b);
	return *path ? 0 : -ENOMEM;
}

int fsp_path_of_row(const char *space, const char *file_key, char **path)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	int depth, err;

	*path = NULL;
	err = add_space_path(&b, space, &depth);
	if (err)
		return err;
	/* Above a record the next component belongs into the space key. */
	if (depth < FSP_RECORD_DEPTH && strchr(file_key, '/'))
		return -EINVAL;
	if (check_components(file_key))
		return -EINVAL;
	err = depth ? fsp_buf_addc(&b, '/') : 0;
	if (!err)
		err = fsp_buf_adds(&b, file_key);
	if (err)
		return err;
	if (b.len >= FSP_PATH_MAX)
		return -EINVAL;
	*path = fsp_buf_steal(&b);
	return *path ? 0 : -ENOMEM;
}
