/*
 * Content whose commit failed for good, kept for the administrator.
 *
 * The data gets its name under kept/ before it loses the one in the mount's
 * directory, so that there is no moment in which a crash loses it.
 */
#include "fsp_spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_file.h"
#include "fsp_log.h"
#include "info.h"
#include "spool.h"

#define MAX_SAME_SECOND 100000

/* Opens kept/, making it durably when it is missing. */
static int open_kept(const struct fsp_spool *s, int *out)
{
	FSP_CLOSE int root = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc;

	if (root < 0)
		return -errno;
	if (!mkdirat(root, FSP_SPOOL_KEPT, 0700)) {
		rc = fsp_fsync_dir(root);
		if (rc)
			return rc;
	} else if (errno != EEXIST) {
		return -errno;
	}
	*out = openat(root, FSP_SPOOL_KEPT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *out < 0 ? -errno : 0;
}

static void time_text(char *out, size_t size, int64_t at_us)
{
	time_t t = (time_t)fsp_ns_to_sec(at_us * 1000);
	struct tm tm;

	if (!gmtime_r(&t, &tm) ||
	    !strftime(out, size, "%Y%m%dT%H%M%SZ", &tm))
		(void)snprintf(out, size, "unknown");
}

/* Links the data under a name that nobody has; id gets it, sans ending. */
static int link_data(const struct fsp_spool_file *f, int kept, int64_t at_us,
                     char id[FSP_SPOOL_NAME])
{
	char when[32], name[FSP_SPOOL_NAME + 8];

	time_text(when, sizeof(when), at_us);
	for (int n = 0; n < MAX_SAME_SECOND; n++) {
		(void)snprintf(id, FSP_SPOOL_NAME, "%s-%d", when, n);
		(void)snprintf(name, sizeof(name), "%s.data", id);
		if (!linkat(f->data->spool->dirfd, f->data->name, kept, name, 0))
			return 0;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

static int write_info(int kept, const char *id, const struct fsp_buf *text)
{
	char name[FSP_SPOOL_NAME + 8];
	struct fsp_atomic *a;
	int rc = fsp_atomic_begin(kept, 0600, &a);

	if (rc)
		return rc;
	rc = fsp_atomic_write(a, text->data, text->len);
	if (rc) {
		fsp_atomic_abort(a);
		return rc;
	}
	(void)snprintf(name, sizeof(name), "%s.info", id);
	return fsp_atomic_commit(a, name);
}

/* The data is under its new name, durably or -errno. */
static int keep_data(const struct fsp_spool_file *f, int kept,
                     const struct fsp_spool_info *info,
                     char id[FSP_SPOOL_NAME])
{
	int rc;

	if (TEMP_FAILURE_RETRY(fsync(f->data->fd)))
		return -errno;
	atomic_store(&f->data->kept, true);
	rc = link_data(f, kept, info->at_us, id);
	return rc ? rc : fsp_fsync_dir(kept);
}

/*
 * Could not be moved. Under this name, neither the end of the mount nor a
 * reaper removes it; what is queued goes by the old one, too.
 */
static void set_aside(struct fsp_spool_data *d, int rc)
{
	char name[FSP_SPOOL_NAME];
	int at = d->spool->dirfd;
	bool queued = atomic_load(&d->refs) > 1;

	(void)snprintf(name, sizeof(name), "f-%s", d->name + 2);
	if (queued ? linkat(at, d->name, at, name, 0)
	           : renameat(at, d->name, at, name)) {
		(void)snprintf(name, sizeof(name), "%s", d->name);
		d->stays = true;
	}
	fsp_error("spool: content stays in %s/%s, which is not listed: %s",
	          d->spool->dir, name, strerror(-rc));
}

static int keep(const struct fsp_spool_file *f,
                const struct fsp_spool_info *info)
{
	FSP_BUF struct fsp_buf text = FSP_BUF_INIT;
	FSP_CLOSE int kept = -1;
	char id[FSP_SPOOL_NAME];
	int rc = open_kept(f->data->spool, &kept);

	if (!rc)
		rc = keep_data(f, kept, info, id);
	if (rc) {
		set_aside(f->data, rc);
		return rc;
	}
	rc = fsp_spool_info_format(&text, info, &f->extents);
	if (!rc)
		rc = write_info(kept, id, &text);
	if (rc)
		fsp_error("spool: kept %s, but not what it was: %s", id,
		          strerror(-rc));
	/* The second name would only be dropped as if it were in flight. */
	if (!fsp_spool_sole(f))
		return rc;
	if (unlinkat(f->data->spool->dirfd, f->data->name, 0))
		return rc ? rc : -errno;
	f->data->stays = true;
	return rc ? rc : fsp_fsync_dir(f->data->spool->dirfd);
}

int fsp_spool_keep(struct fsp_spool_file *f, const struct fsp_spool_info *info)
{
	int rc = keep(f, info);

	fsp_spool_drop(f);
	return rc;
}

/* Reads what is known of one; what is not comes from the data file. */
static int load_kept(int kept, const char *id, const struct stat *st,
                     struct fsp_spool_info *i)
{
	char name[NAME_MAX + 8];
	FSP_CLOSE int fd = -1;

	*i = (struct fsp_spool_info){
		.size = (uint64_t)st->st_size,
		.at_us = st->st_mtim.tv_sec * FSP_US_PER_SEC +
		         st->st_mtim.tv_nsec / 1000,
	};
	i->id = strdup(id);
	i->path = strdup("");
	if (!i->id || !i->path)
		return -ENOMEM;
	(void)snprintf(name, sizeof(name), "%s.info", id);
	fd = openat(kept, name,
	            O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT || errno == ELOOP ? 0 : -errno;
	return fsp_spool_info_parse(fd, i);
}

static int visit(int kept, const char *path, const char *name,
                 int (*each)(void *arg, const struct fsp_spool_info *i,
                             const char *data_path),
                 void *arg)
{
	FSP_FREE char *data = fsp_strf("%s/" FSP_SPOOL_KEPT "/%s", path, name);
	FSP_FREE char *id = strndup(name, strlen(name) - strlen(".data"));
	struct fsp_spool_info i = { 0 };
	struct stat st;
	int rc;

	if (!data || !id)
		return -ENOMEM;
	if (fstatat(kept, name, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISREG(st.st_mode))
		return 0;
	rc = load_kept(kept, id, &st, &i);
	if (!rc)
		rc = each(arg, &i, data);
	free(i.id);
	free(i.path);
	return rc;
}

static int is_data(const struct dirent *de)
{
	size_t len = strlen(de->d_name);

	return len > 5 && !strcmp(de->d_name + len - 5, ".data");
}

/* By bytes, which is by time; alphasort() depends on the locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

int fsp_spool_each_kept(const char *path,
                        int (*each)(void *arg, const struct fsp_spool_info *i,
                                    const char *data_path),
                        void *arg)
{
	FSP_FREE char *dir = fsp_strf("%s/" FSP_SPOOL_KEPT, path);
	FSP_CLOSE int kept = -1;
	struct dirent **names;
	int n, rc = 0;

	if (!dir)
		return -ENOMEM;
	kept = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (kept < 0)
		return errno == ENOENT ? 0 : -errno;
	n = scandirat(kept, ".", &names, is_data, by_name);
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		if (!rc)
			rc = visit(kept, path, names[i]->d_name, each, arg);
		free(names[i]);
	}
	free(names);
	return rc;
}
