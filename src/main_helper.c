/*
 * mount.filespacefs: what mount(8) calls for the type filespacefs.
 *
 * Starts filespacefs with the same source, mountpoint and options, and waits
 * until it says that the mount is usable, since mount(8) expects exit codes of
 * its own: 0, 1 wrong usage, 32 failed.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fsp_admin.h"
#include "fsp_buf.h"
#include "fsp_cleanup.h"

#define PROGRAM "filespacefs"
#define INSTALLED "/usr/bin/" PROGRAM

enum { MOUNT_USAGE = 1, MOUNT_FAILED = 32 };

struct request {
	const char *source, *mountpoint;
	const char *namespace;
	struct fsp_buf options;
	bool fake, verbose;
};

static int usage(FILE *out, int status)
{
	fputs("Usage: mount.filespacefs SOURCE MOUNTPOINT [-sfnv] [-N NAMESPACE] "
	      "[-t TYPE] [-o OPTIONS]\n"
	      "Called by mount -t filespacefs; see filespacefs(1).\n", out);
	return status;
}

static int failed(const char *what, int err)
{
	fprintf(stderr, "mount.filespacefs: %s: %s\n", what, strerror(-err));
	return MOUNT_FAILED;
}

static int add_options(struct request *r, const char *text)
{
	int err = fsp_mount_options(text, &r->options);

	if (err == -EOPNOTSUPP) {
		fputs("mount.filespacefs: remount is not supported; unmount, "
		      "then mount again with the new options\n", stderr);
		return MOUNT_FAILED;
	}
	return err ? failed("options", err) : 0;
}

static int take_word(struct request *r, const char *word)
{
	if (!r->source)
		r->source = word;
	else if (!r->mountpoint)
		r->mountpoint = word;
	else
		return usage(stderr, MOUNT_USAGE);
	return 0;
}

/* -s, -n and -t say nothing that matters here. */
static int parse(int argc, char **argv, struct request *r)
{
	int opt, rc = 0;

	while (!rc && (opt = getopt(argc, argv, "-sfnvN:t:o:")) != -1) {
		if (opt == 1)
			rc = take_word(r, optarg);
		else if (opt == 'f')
			r->fake = true;
		else if (opt == 'v')
			r->verbose = true;
		else if (opt == 'N')
			r->namespace = optarg;
		else if (opt == 'o')
			rc = add_options(r, optarg);
		else if (opt == '?')
			rc = usage(stderr, MOUNT_USAGE);
	}
	for (; !rc && optind < argc; optind++)
		rc = take_word(r, argv[optind]);
	if (!rc && !r->mountpoint)
		rc = usage(stderr, MOUNT_USAGE);
	return rc;
}

/* Into the mount namespace that mount -N named. */
static int enter_namespace(const char *path)
{
	FSP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNS))
		return -errno;
	return 0;
}

/* The one that was installed, or built, with this helper; NULL without any. */
static char *beside_us(void)
{
	static const char *const places[] = { "/../bin/", "/" };
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n <= 0)
		return NULL;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (!slash)
		return NULL;
	*slash = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		FSP_FREE char *path = fsp_strf("%s%s" PROGRAM, self, places[i]);

		if (path && access(path, X_OK) == 0)
			return fsp_steal(path);
	}
	return NULL;
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return failed("waiting for " PROGRAM, -errno);
	if (WIFSIGNALED(status))
		fprintf(stderr, "mount.filespacefs: " PROGRAM " was killed by "
		        "signal %d\n", WTERMSIG(status));
	if (!WIFEXITED(status))
		return MOUNT_FAILED;
	if (WEXITSTATUS(status) == FSP_EXIT_USAGE)
		return MOUNT_USAGE;
	return WEXITSTATUS(status) ? MOUNT_FAILED : 0;
}

static int start(const struct request *r)
{
	FSP_FREE char *ours = beside_us();
	FSP_FREE char *options = fsp_strf("%shelper", r->options.len
	                                  ? r->options.data : "");
	FSP_FREE char *source = strdup(r->source);
	FSP_FREE char *mountpoint = strdup(r->mountpoint);
	const char *path = ours ? ours
		: access(INSTALLED, X_OK) == 0 ? INSTALLED : PROGRAM;
	char name[] = PROGRAM, o[] = "-o", end[] = "--";
	char *argv[] = { name, o, options, end, source, mountpoint, NULL };
	pid_t pid;
	int err;

	if (!options || !source || !mountpoint)
		return failed(PROGRAM, -ENOMEM);
	if (r->verbose)
		fprintf(stderr, "mount.filespacefs: %s -o %s -- %s %s\n", path,
		        options, source, mountpoint);
	err = posix_spawnp(&pid, path, NULL, NULL, argv, environ);
	if (err == ENOENT)
		fputs("mount.filespacefs: there is no " PROGRAM " beside this "
		      "helper, in /usr/bin or in PATH; install it\n", stderr);
	else if (err)
		return failed(path, -err);
	return err ? MOUNT_FAILED : wait_for(pid);
}

int main(int argc, char **argv)
{
	struct request r = { .options = FSP_BUF_INIT };
	int err, rc;

	if (argc == 2 && (strcmp(argv[1], "-h") == 0 ||
	                  strcmp(argv[1], "--help") == 0))
		return usage(stdout, 0);
	rc = parse(argc, argv, &r);
	if (!rc && !r.fake && r.namespace) {
		err = enter_namespace(r.namespace);
		rc = err ? failed(r.namespace, err) : 0;
	}
	if (!rc && !r.fake)
		rc = start(&r);
	fsp_buf_free(&r.options);
	return rc;
}
