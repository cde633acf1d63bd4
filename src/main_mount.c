/*
 * filespacefs: mounts a store.
 *
 * The process forks before it opens anything; the parent waits until the child
 * says that the mount is usable, or ends with its error.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_config.h"
#include "fsp_fuse.h"
#include "fsp_log.h"
#include "fsp_mounts.h"
#include "fsp_secret.h"
#include "fsp_store.h"
#include "fsp_vfs.h"

#define LARGE_BUFFER (1024 * 1024)

struct args {
	const char *file;               /* -c */
	const char *source;
	char *mountpoint;               /* absolute */
	char **settings;                /* -o section.key=value */
	int n_settings;
	struct fsp_buf pass;            /* mount options for the kernel */
	bool foreground, debug, read_only, helper;
	bool usable;                    /* the mount was */
	int ready;                      /* pipe to the waiting parent, or -1 */
};

static void usage(FILE *out)
{
	fprintf(out,
	        "Usage: filespacefs [OPTION]... [SOURCE] MOUNTPOINT\n"
	        "Mounts a filespace on the directory MOUNTPOINT.\n"
	        "\n"
	        "SOURCE is a configuration file, NAME for "
	        "/etc/filespacefs/NAME.conf, or the\n"
	        "directory of an embedded store, which is made on first use. "
	        "Without it:\n"
	        "/etc/filespacefs/filespacefs.conf if it exists, else the "
	        "embedded store\n"
	        "$XDG_DATA_HOME/filespacefs.\n"
	        "\n"
	        "  -c, --config FILE   read this configuration file\n"
	        "  -o OPT[,OPT]...     mount options (ro, nodev, nosuid, noexec, "
	        "noatime,\n"
	        "                      allow_other) and settings "
	        "(section.key=value)\n"
	        "  -f, --foreground    stay in the foreground, log to stderr\n"
	        "  -d, --debug         the same, and show every FUSE request\n"
	        "  -h, --help          show this help\n"
	        "  -V, --version       show the version\n"
	        "\n"
	        "`fusermount3 -u MOUNTPOINT` or umount(8) ends it.\n"
	        "\n");
}

static int wrong_usage(const char *what, const char *arg)
{
	fprintf(stderr, "filespacefs: %s%s%s\n"
	                "Try 'filespacefs --help'.\n", what, arg ? ": " : "",
	        arg ? arg : "");
	return 2;
}

static bool in_list(const char *word, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(word, *list) == 0)
			return true;
	return false;
}

static int pass_on(struct args *a, const char *opt)
{
	int err = a->pass.len ? fsp_buf_addc(&a->pass, ',') : 0;

	return err ? err : fsp_buf_adds(&a->pass, opt);
}

static int add_setting(struct args *a, const char *opt)
{
	char **s = realloc(a->settings,
	                   (size_t)(a->n_settings + 1) * sizeof(*s));

	if (!s)
		return -ENOMEM;
	a->settings = s;
	s[a->n_settings] = strdup(opt);
	return s[a->n_settings++] ? 0 : -ENOMEM;
}

/* uid=33 and the like, as other filesystems have them. */
static bool is_short(struct args *a, const char *opt, int *err)
{
	static const struct {
		const char *word, *setting;
	} shorts[] = {
		{ "uid=", "mount.force_uid" }, { "gid=", "mount.force_gid" },
		{ "umask=", "mount.umask" }, { "squash=", "mount.squash" },
		{ "anonuid=", "mount.anon_uid" },
		{ "anongid=", "mount.anon_gid" },
	};

	for (size_t i = 0; i < sizeof(shorts) / sizeof(*shorts); i++) {
		size_t n = strlen(shorts[i].word);
		FSP_FREE char *full = NULL;

		if (strncmp(opt, shorts[i].word, n) != 0)
			continue;
		full = fsp_strf("%s=%s", shorts[i].setting, opt + n);
		*err = full ? add_setting(a, full) : -ENOMEM;
		return true;
	}
	return false;
}

/* One word of -o. -EINVAL: not understood; -EOPNOTSUPP: a remount. */
static int one_option(struct args *a, const char *opt)
{
	static const char *const kernel[] = {
		"dev", "nodev", "suid", "nosuid", "exec", "noexec", "atime",
		"noatime", "sync", "async", "dirsync", NULL
	};
	/*
	 * For mount(8), fstab and systemd; nothing for us to do. Reading
	 * changes no access time, however it is asked for.
	 */
	static const char *const others[] = {
		"relatime", "norelatime", "diratime", "nodiratime",
		"strictatime", "nostrictatime", "lazytime", "nolazytime",
		"rw", "defaults", "default_permissions", "auto", "noauto",
		"user", "nouser", "users", "owner", "group", "_netdev",
		"nofail", "", NULL
	};
	int err;

	if (is_short(a, opt, &err))
		return err;
	if (strcmp(opt, "ro") == 0)
		a->read_only = true;
	else if (strcmp(opt, "remount") == 0)
		return -EOPNOTSUPP;
	else if (strcmp(opt, "helper") == 0)
		a->helper = true;
	else if (strcmp(opt, "allow_other") == 0)
		return add_setting(a, "mount.allow_other=yes");
	else if (in_list(opt, kernel))
		return pass_on(a, opt);
	else if (in_list(opt, others) || strncmp(opt, "x-", 2) == 0 ||
	         strncmp(opt, "comment=", 8) == 0)
		return 0;
	else if (strchr(opt, '.') && strchr(opt, '='))
		return add_setting(a, opt);
	else
		return -EINVAL;
	return 0;
}

/* Splits at commas; a backslash protects the next byte. */
static int parse_options(struct args *a, const char *list)
{
	FSP_BUF struct fsp_buf word = FSP_BUF_INIT;
	int err = 0;

	for (;; list++) {
		if (*list == '\0' || *list == ',') {
			err = one_option(a, word.data ? word.data : "");
			if (err == -EOPNOTSUPP)
				return wrong_usage("remount is not supported; "
				                   "unmount, then mount again "
				                   "with the new options", NULL);
			if (err == -EINVAL)
				return wrong_usage("unknown mount option",
				                   word.data);
			fsp_buf_reset(&word);
		} else {
			if (*list == '\\' && list[1])
				list++;
			err = fsp_buf_addc(&word, *list);
		}
		if (err)
			return 1;
		if (!*list)
			return 0;
	}
}

static int parse_positional(struct args *a, int argc, char **argv)
{
	if (argc < 1 || argc > 2)
		return wrong_usage(argc ? "too many arguments"
		                        : "MOUNTPOINT is missing", NULL);
	if (argc == 2 && a->file)
		return wrong_usage("both -c FILE and SOURCE are given", argv[0]);
	if (argc == 2)
		a->source = argv[0];
	if (fsp_path_resolve(argv[argc - 1], &a->mountpoint)) {
		fprintf(stderr, "filespacefs: %s: %s\n", argv[argc - 1],
		        strerror(errno));
		return 1;
	}
	return 0;
}

/* -1: go on; else the exit code. */
static int parse(struct args *a, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "foreground", no_argument, NULL, 'f' },
		{ "debug", no_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 }
	};
	int c, rc;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":c:o:fdhV", longs, NULL)) != -1) {
		char letter[] = { '-', (char)optopt, '\0' };

		switch (c) {
		case 'c':
			a->file = optarg;
			break;
		case 'o':
			rc = parse_options(a, optarg);
			if (rc)
				return rc;
			break;
		case 'd':
			a->debug = true;
			a->foreground = true;
			break;
		case 'f':
			a->foreground = true;
			break;
		case 'h':
			usage(stdout);
			fsp_config_print_help(stdout);
			return 0;
		case 'V':
			printf("filespacefs %s\n", FSP_VERSION);
			return 0;
		case ':':
			return wrong_usage("a value is missing after", letter);
		default:
			return wrong_usage("unknown option",
			                   optopt ? letter : argv[optind - 1]);
		}
	}
	rc = parse_positional(a, argc - optind, argv + optind);
	return rc ? rc : -1;
}

static void start_log(const struct args *a, const struct fsp_config *c)
{
	const char *target = fsp_config_str(c, "log", "target");
	const char *level = fsp_config_str(c, "log", "level");
	bool to_syslog = strcmp(target, "syslog") == 0 ||
		(strcmp(target, "auto") == 0 && !a->foreground);
	enum fsp_log_level l =
		a->debug || strcmp(level, "debug") == 0 ? FSP_LOG_DEBUG
		: strcmp(level, "error") == 0 ? FSP_LOG_ERROR
		: strcmp(level, "warning") == 0 ? FSP_LOG_WARNING : FSP_LOG_INFO;

	fsp_log_init("filespacefs", to_syslog ? FSP_LOG_SYSLOG : FSP_LOG_STDERR, l);
}

/*
 * The kernel answers: tells the parent, and leaves its terminal. A log to
 * stderr goes on there only in the foreground.
 */
static void on_ready(void *arg)
{
	struct args *a = arg;
	int null;

	a->usable = true;
	if (a->ready < 0)
		return;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		close(null);
	}
	if (write(a->ready, "", 1) != 1)
		fsp_warn("nobody waits for this mount");
	close(a->ready);
	a->ready = -1;
}

static int say(const char *error, int err)
{
	fprintf(stderr, "filespacefs: %s\n", error ? error : strerror(-err));
	return 1;
}

static bool allow_other(const struct fsp_config *c)
{
	const char *set = fsp_config_str(c, "mount", "allow_other");

	return strcmp(set, "yes") == 0 ||
	       (strcmp(set, "auto") == 0 && geteuid() == 0);
}

static int serve(struct args *a, struct fsp_store *s, struct fsp_fuse *f)
{
	FSP_FREE char *error = NULL;
	struct fsp_vfs_options o = { .mountpoint = a->mountpoint,
	                             .stale = fsp_fuse_stale,
	                             .renamed = fsp_fuse_renamed,
	                             .aged = fsp_fuse_aged,
	                             .listing = fsp_fuse_listing,
	                             .arg = f };
	struct fsp_vfs *vfs;
	int err = fsp_vfs_open(s, &o, &vfs, &error);

	if (err)
		return say(error, err);
	err = fsp_fuse_serve(f, vfs);
	fsp_vfs_close(vfs);
	if (err)
		fsp_error("the mount ended: %s", strerror(-err));
	return err ? 1 : 0;
}

/*
 * A second mount of a store over its own would hide nothing but the first one's
 * open files; mount -a, run again, is not to pile them up.
 */
static bool is_mounted(const char *mountpoint, const char *source)
{
	FSP_FREE char *at = NULL, *what = NULL;

	return fsp_mounts_find(mountpoint, &what, &at, NULL) == 0 &&
	       strcmp(at, mountpoint) == 0 && strcmp(what, source) == 0;
}

/* What mountinfo shows: where filespacectl finds the store again. */
static char *source_name(const struct args *a, const struct fsp_config *c)
{
	const char *file = fsp_config_file(c);

	return strdup(file ? file : a->source ? a->source : "filespacefs");
}

static struct fsp_ids ids(const struct fsp_config *c)
{
	const char *squash = fsp_config_str(c, "mount", "squash");
	struct fsp_ids i = {
		.force_uid = fsp_config_int(c, "mount", "force_uid"),
		.force_gid = fsp_config_int(c, "mount", "force_gid"),
		.umask = (uint32_t)fsp_config_int(c, "mount", "umask"),
		.squash = strcmp(squash, "all") == 0 ? FSP_SQUASH_ALL
			: strcmp(squash, "root") == 0 ? FSP_SQUASH_ROOT
			: FSP_SQUASH_NONE,
		.anon_uid = (uint32_t)fsp_config_int(c, "mount", "anon_uid"),
		.anon_gid = (uint32_t)fsp_config_int(c, "mount", "anon_gid"),
	};

	return i;
}

static int mount_store(struct args *a, struct fsp_store *s)
{
	const struct fsp_config *c = s->config;
	FSP_FREE char *error = NULL, *source = source_name(a, c);
	struct fsp_fuse_options o = {
		.mountpoint = a->mountpoint,
		.ids = ids(c),
		.source = source,
		.mount_options = a->pass.data ? a->pass.data : "",
		.allow_other = allow_other(c),
		.read_only = s->read_only,
		.debug = a->debug,
		.entry_ns = fsp_config_ns(c, "mount", "entry_timeout"),
		.attr_ns = fsp_config_ns(c, "mount", "attr_timeout"),
		.negative_ns = fsp_config_ns(c, "mount", "negative_timeout"),
		.op_timeout_ns = fsp_config_ns(c, "mount", "op_timeout"),
		.threads = (int)fsp_config_int(c, "mount", "threads"),
		.ready = on_ready,
		.arg = a,
	};
	struct fsp_fuse *f;
	int err = source ? 0 : -ENOMEM;
	int rc;

	if (!err && is_mounted(a->mountpoint, source)) {
		err = -EBUSY;
		error = fsp_strf("%s is mounted on %s already", source,
		                 a->mountpoint);
	}
	if (!err)
		err = fsp_fuse_mount(&o, &f, &error);
	if (err)
		return say(error, err);
	rc = serve(a, s, f);
	fsp_fuse_end(f);
	return rc;
}

static int run(struct args *a)
{
	FSP_FREE char *error = NULL;
	struct fsp_wire_options o = {
		.source = a->file ? a->file : a->source,
		.source_is_file = a->file != NULL,
		.options = (const char *const *)a->settings,
		.n_options = a->n_settings,
		.read_only = a->read_only,
		.may_create = !a->helper,
		.ask_servers = true,
		.read_hosts = true,
	};
	struct fsp_store *s;
	struct stat st;
	int err, rc;

	/* A core dump would hold the key. */
	err = fsp_forbid_dumps();
	if (err) {
		error = fsp_strf("cannot forbid core dumps: %s", strerror(-err));
		return say(error, err);
	}
	/*
	 * Buffers of many megabytes go back to the system at once. Left to
	 * itself the limit follows them, and they stay in the threads' heaps:
	 * twice the memory that DESIGN.md of objstore promises.
	 */
	(void)mallopt(M_MMAP_THRESHOLD, LARGE_BUFFER);  /* or as it was */
	/*
	 * What is smaller stays, up to this in each thread's heap. Given back
	 * after each request, as malloc does otherwise, it is faulted in again
	 * page by page with the next, and all cores are told to forget it.
	 */
	(void)mallopt(M_TRIM_THRESHOLD, LARGE_BUFFER);
	err = fsp_fuse_clear_stale(a->mountpoint);
	if (err || stat(a->mountpoint, &st)) {
		err = err ? err : -errno;
		error = fsp_strf("%s: %s", a->mountpoint, strerror(-err));
		return say(error, err);
	}
	if (!S_ISDIR(st.st_mode)) {
		error = fsp_strf("%s: %s", a->mountpoint, strerror(ENOTDIR));
		return say(error, -ENOTDIR);
	}
	err = fsp_wire_open(&o, &s, &error);
	if (err)
		return say(error, err);
	start_log(a, s->config);
	rc = mount_store(a, s);
	if (a->usable)
		fsp_store_close(s);
	else
		fsp_wire_abandon(s);
	return rc;
}

/* Waits for the child's word: 0, or its exit code when it ended without. */
static int wait_ready(pid_t child, int fd)
{
	char byte;
	int status;

	if (read(fd, &byte, 1) == 1)
		return 0;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return 1;
	if (WIFEXITED(status) && WEXITSTATUS(status))
		return WEXITSTATUS(status);
	fprintf(stderr, "filespacefs: the mount ended before it was usable\n");
	return 1;
}

static int run_background(struct args *a)
{
	int fds[2];
	pid_t child;

	if (pipe2(fds, O_CLOEXEC))
		return say(NULL, -errno);
	child = fork();
	if (child < 0)
		return say(NULL, -errno);
	if (child > 0) {
		close(fds[1]);
		return wait_ready(child, fds[0]);
	}
	close(fds[0]);
	setsid();
	if (chdir("/"))
		return say(NULL, -errno);
	a->ready = fds[1];
	return run(a);
}

/* Relative names are of the directory that the user is in. */
static int make_absolute(struct args *a, char **keep)
{
	const char **which = a->file ? &a->file : &a->source;
	struct stat st;

	if (!*which || (!a->file && !strchr(*which, '/') && stat(*which, &st)))
		return 0;               /* the NAME of a configuration */
	if (fsp_path_resolve(*which, keep))
		return say(NULL, -errno);
	*which = *keep;
	return 0;
}

int main(int argc, char **argv)
{
	struct args a = { .ready = -1, .pass = FSP_BUF_INIT };
	FSP_FREE char *source = NULL;
	int rc = parse(&a, argc, argv);

	if (rc < 0)
		rc = make_absolute(&a, &source);
	else
		return rc;
	if (!rc)
		rc = a.foreground ? run(&a) : run_background(&a);
	for (int i = 0; i < a.n_settings; i++)
		free(a.settings[i]);
	free(a.settings);
	free(a.mountpoint);
	fsp_buf_free(&a.pass);
	return rc;
}
