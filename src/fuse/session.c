/* A FUSE session: mount, serve, end. */
#include "fuse_private.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_log.h"
#include "fsp_mounts.h"

#define IDLE_THREADS 8

/* The device name may hold a comma, which libfuse splits at unless escaped. */
static int add_escaped(struct fsp_buf *b, const char *s)
{
	int err = 0;

	for (; *s && !err; s++) {
		if (*s == ',' || *s == '\\')
			err = fsp_buf_addc(b, '\\');
		if (!err)
			err = fsp_buf_addc(b, *s);
	}
	return err;
}

static char *mount_options(const struct fsp_fuse_options *o)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	int err = fsp_buf_adds(&b, "default_permissions,subtype=filespacefs,"
	                           "fsname=");

	if (!err)
		err = add_escaped(&b, o->source);
	if (!err && o->allow_other)
		err = fsp_buf_adds(&b, ",allow_other");
	if (!err && o->read_only)
		err = fsp_buf_adds(&b, ",ro");
	if (!err && *o->mount_options)
		err = fsp_buf_printf(&b, ",%s", o->mount_options);
	return err ? NULL : fsp_buf_steal(&b);
}

static struct fuse_session *session_new(struct fsp_fuse *f)
{
	FSP_FREE char *opts = mount_options(&f->o);
	char arg0[] = "filespacefs", dash_o[] = "-o", dash_d[] = "-d";
	char *argv[] = { arg0, dash_o, opts, f->o.debug ? dash_d : NULL, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(f->o.debug ? 4 : 3, argv);
	struct fuse_session *se;

	if (!opts)
		return NULL;
	se = fuse_session_new(&args, &fsp_fuse_ops, sizeof(fsp_fuse_ops), f);
	fuse_opt_free_args(&args);
	return se;
}

int fsp_fuse_mount(const struct fsp_fuse_options *o, struct fsp_fuse **out,
                   char **error)
{
	struct fsp_fuse *f = calloc(1, sizeof(*f));
	int err;

	if (!f)
		return -ENOMEM;
	f->o = *o;
	f->se = session_new(f);
	if (!f->se) {
		*error = fsp_strf("a mount option is not understood");
		free(f);
		return -EINVAL;
	}
	/* libfuse and fusermount3 say on stderr what is wrong. */
	if (fuse_session_mount(f->se, o->mountpoint)) {
		*error = fsp_strf("cannot mount on %s", o->mountpoint);
		fuse_session_destroy(f->se);
		free(f);
		return -EIO;
	}
	err = fuse_calls_begin(&f->calls);
	if (err) {
		fuse_session_unmount(f->se);
		fuse_session_destroy(f->se);
		free(f);
		return err;
	}
	f->mounted = true;
	/* Without it a death may leave callers hanging, and no more. */
	err = fuse_guard_begin(f);
	if (err)
		fsp_warn("no guard for the mount: %s", strerror(-err));
	*out = f;
	return 0;
}

void fsp_fuse_stale(void *arg, uint64_t ino, bool pages)
{
	struct fsp_fuse *f = arg;
	/* A negative offset leaves the pages alone. */
	int err = fuse_lowlevel_notify_inval_inode(f->se, ino, pages ? 0 : -1, 0);

	/* It has forgotten it, or it was unmounted. */
	if (err && err != -ENOENT && err != -ENODEV)
		fsp_warn("inode %llu: the kernel did not take that it changed: %s",
		         (unsigned long long)ino, strerror(-err));
}

void fsp_fuse_renamed(void *arg, uint64_t dir, const char *name)
{
	struct fsp_fuse *f = arg;
	int err = fuse_lowlevel_notify_inval_entry(f->se, dir, name,
	                                           strlen(name));

	/* ENOTDIR, ENOENT: it has forgotten the directory or the name. */
	if (err && err != -ENOENT && err != -ENOTDIR)
		fsp_warn("the kernel did not take that \"%s\" changed: %s", name,
		         strerror(-err));
}

/* Whether it has the entry or not: it takes the directory's lock for it. */
static int age(struct fsp_fuse *f, uint64_t dir, const char *name)
{
	size_t len = strlen(name);

	if (f->expires)
		return fuse_lowlevel_notify_expire_entry(f->se, dir, name, len,
		                                         FUSE_LL_EXPIRE_ONLY);
	return fuse_lowlevel_notify_inval_entry(f->se, dir, name, len);
}

void fsp_fuse_aged(void *arg, uint64_t dir, const char *name)
{
	int err = age(arg, dir, name);

	if (err && err != -ENOENT && err != -ENOTDIR && err != -ENODEV)
		fsp_warn("the kernel did not take that \"%s\" is old: %s", name,
		         strerror(-err));
}

void fsp_fuse_listing(void *arg, uint64_t dir)
{
	/* No entry: who reads in there has come to the end of it. */
	(void)age(arg, dir, ".");
	fsp_fuse_stale(arg, dir, true);
}

int fsp_fuse_serve(struct fsp_fuse *f, struct fsp_vfs *vfs)
{
	struct fuse_loop_config *cfg = fuse_loop_cfg_create();
	int err;

	if (!cfg)
		return -ENOMEM;
	f->vfs = vfs;
	fuse_loop_cfg_set_max_threads(cfg, (unsigned)f->o.threads);
	fuse_loop_cfg_set_idle_threads(cfg, IDLE_THREADS);
	fuse_loop_cfg_set_clone_fd(cfg, 0);
	err = fuse_set_signal_handlers(f->se) ? -EIO : 0;
	if (!err) {
		err = fuse_session_loop_mt(f->se, cfg);
		fuse_remove_signal_handlers(f->se);
	}
	fuse_loop_cfg_destroy(cfg);
	/* Ended by a signal: nobody answers any more, and what we still have to
	 * tell the kernel must not wait for who waits for us. */
	if (err > 0) {
		fuse_abort(f);
		f->aborted = true;
	}
	return err > 0 ? 0 : err;
}

static int run_fusermount(const char *mountpoint)
{
	char cmd[] = "fusermount3", opt[] = "-uzq", end[] = "--";
	FSP_FREE char *mp = strdup(mountpoint);
	char *argv[] = { cmd, opt, end, mp, NULL };
	int status;
	pid_t pid;
	int err;

	if (!mp)
		return -ENOMEM;
	err = posix_spawnp(&pid, cmd, NULL, NULL, argv, environ);
	if (err)
		return -err;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static int detach(const char *mountpoint)
{
	if (geteuid() == 0)
		return umount2(mountpoint, MNT_DETACH) ? -errno : 0;
	return run_fusermount(mountpoint);
}

void fsp_fuse_end(struct fsp_fuse *f)
{
	if (!f)
		return;
	fuse_guard_end(f);
	if (f->mounted)
		fuse_session_unmount(f->se);
	if (f->aborted && detach(f->o.mountpoint))
		fsp_warn("%s stays mounted", f->o.mountpoint);
	/* Waits for locks were answered when the vfs ended. */
	fuse_calls_end(&f->calls);
	fuse_session_destroy(f->se);
	free(f);
}

int fsp_fuse_clear_stale(const char *mountpoint)
{
	FSP_FREE char *at = NULL;
	struct statvfs st;

	/* Not stat(2): the kernel would answer that from its cache. */
	if (statvfs(mountpoint, &st) == 0 || errno != ENOTCONN)
		return 0;
	if (fsp_mounts_find(mountpoint, NULL, &at, NULL) ||
	    strcmp(at, mountpoint) != 0)
		return 0;
	fsp_warn("%s: clearing the mount of a daemon that died", mountpoint);
	return detach(mountpoint);
}
