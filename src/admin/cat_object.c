/* cat-object: the content of an object, for repair and for curiosity. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fsp_admin.h"
#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_file.h"
#include "fsp_store.h"

#define COPY_SIZE 65536

struct wanted {
	const char *key;
	uint64_t size;
	bool found;
};

static int compare(void *arg, const char *key, uint64_t size)
{
	struct wanted *w = arg;

	if (strcmp(key, w->key) != 0)
		return 0;
	w->size = size;
	w->found = true;
	return 1;
}

/* The plain size, from the object's record or from a row that names it. */
static int find_size(struct fsp_admin *a, const char *hash, uint64_t *size)
{
	struct wanted w = { .key = hash };
	struct fsp_object o;
	int err = fsp_meta_object_get(a->store->meta, &a->ctx, hash, &o);

	*size = err ? 0 : o.size;
	if (err != -ENOENT)
		return err;
	err = fsp_meta_object_each(a->store->meta, &a->ctx, compare, &w);
	*size = w.size;
	return w.found ? 0 : err ? err : -ENOENT;
}

/* A nameless file for the content until it is verified. */
static int scratch(int *fd)
{
	const char *dir = getenv("TMPDIR");
	FSP_FREE char *name = NULL;

	if (!dir || !*dir)
		dir = "/var/tmp";
	*fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (*fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return *fd < 0 ? -errno : 0;
	name = fsp_strf("%s/filespacectl-XXXXXX", dir);
	if (!name)
		return -ENOMEM;
	*fd = mkostemp(name, O_CLOEXEC);
	if (*fd < 0)
		return -errno;
	return unlink(name) ? -errno : 0;
}

static int copy(int from, int to)
{
	FSP_FREE char *buf = malloc(COPY_SIZE);
	off_t off = 0;
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	while ((n = fsp_pread_full(from, buf, COPY_SIZE, off)) > 0) {
		int err = fsp_write_all(to, buf, (size_t)n);

		if (err)
			return err;
		off += n;
	}
	return (int)n;
}

static int send_content(struct fsp_admin *a, const char *hash, uint64_t size,
                        int out)
{
	FSP_CLOSE int fd = -1;
	int err = scratch(&fd);

	if (err)
		return fsp_admin_fail(a, err, "cannot make a temporary file in "
		                      "$TMPDIR or /var/tmp");
	err = fsp_store_fetch_fd(a->store, &a->ctx, hash, size, fd, NULL,
	                         NULL);
	if (err)
		return fsp_admin_fail(a, err, "object %s: nothing was written",
		                      hash);
	err = copy(fd, out);
	return err ? fsp_admin_fail(a, err, "object %s: cannot write its content",
	                            hash) : FSP_EXIT_OK;
}

int fsp_admin_cat_object(struct fsp_admin *a, const char *hash, int fd,
                         bool force)
{
	FSP_FREE char *key = strdup(hash);
	uint64_t size;
	int err;

	if (!key)
		return fsp_admin_fail(a, -ENOMEM, "cat-object");
	for (char *c = key; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	if (!fsp_hash_valid(key)) {
		fsp_admin_fail(a, 0, "'%s' is no hash: it has 64 or 40 hex "
		               "digits; see 'filespacectl versions --json'",
		               hash);
		return FSP_EXIT_USAGE;
	}
	if (!force && isatty(fd))
		return fsp_admin_fail(a, 0, "not writing content to a terminal; "
		                      "redirect it, or use -f");
	err = find_size(a, key, &size);
	if (err == -ENOENT)
		return fsp_admin_fail(a, 0, "no row names object %s; check the "
		                      "hash", key);
	if (err)
		return fsp_admin_fail(a, err, "cannot look for object %s", key);
	return send_content(a, key, size, fd);
}
