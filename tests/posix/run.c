/*
 * posix [-d DIFFERENCES] [-e AT/EVERY] [-l LEVEL] [-v] [-t] DISK MOUNT [CASE...]
 * posix --random SEED CALLS [--keep] DISK MOUNT
 * posix --tree DIR
 *
 * Runs every case in a directory below DISK and in one below MOUNT and compares
 * the transcripts. DIFFERENCES names the answers that may differ, and why; one
 * that does not differ any more is an error, unless only one combination in
 * EVERY is tried, the AT-th. -t prints the transcripts.
 */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CASE_SECONDS 60

const char *const level_name[LEVELS] = { "/", "/A", "/A/T", "/A/T/R",
	                                 "/A/T/R/d" };
static const char *const above[LEVELS] = { "", "", "acct", "acct/table",
	                                   "acct/table/record" };

static const struct posix_case *const groups[] = {
	cases_open, cases_io, cases_seek, cases_life, cases_names, cases_rename,
	cases_limits, cases_attr, cases_times, cases_users, cases_dirs,
	cases_map, cases_locks, cases_special, cases_xattr, cases_linux,
	cases_calls,
};

/* An answer that may differ: "case :: step :: answer of the mount :: why". */
struct known {
	char *name, *label, *answer;
	bool seen, relevant;
	struct known *next;
};
static struct known *known;
static bool verbose, transcripts;
static int differences, runs, skipped;

int place_path(const struct place *p, char *out, size_t size)
{
	const char *a = above[p->level];
	int n;

	if (p->level == 0)
		n = snprintf(out, size, "%s", p->root);
	else
		n = snprintf(out, size, "%s/%s%s%s", p->root, a, *a ? "/" : "",
		             p->name);
	return n < (int)size ? 0 : -1;
}

static int prepare(const struct place *p, const char *path)
{
	char up[4096];

	for (int i = 2; i <= p->level; i++) {
		snprintf(up, sizeof(up), "%s/%s", p->root, above[i]);
		if (mkdir(up, 0755) && errno != EEXIST)
			return -1;
	}
	if (p->level == 0)
		return 0;
	return mkdir(path, 0777) || chmod(path, 0777) ? -1 : 0;
}

static void in_child(const char *path, int fd, void (*fn)(void))
{
	setpgid(0, 0);
	record_to(fd);
	umask(022);
	if (chdir(path))
		step("chdir", -1);
	else
		fn();
	_exit(0);
}

/* A case that hangs is ended with all its processes. */
static void wait_for(pid_t pid, int fd)
{
	int status = 0, ms = 0;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		pause_ms(ms < 200 ? 1 : 10);
		ms += ms < 200 ? 1 : 10;
		if (ms > CASE_SECONDS * 1000) {
			kill(-pid, SIGKILL);
			waitpid(pid, &status, 0);
			dprintf(fd, "end\tTIMEOUT\n");
			return;
		}
	}
	if (status)
		dprintf(fd, "end\tstatus %d\n", status);
}

static char *read_all(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *text = size < 0 ? NULL : malloc((size_t)size + 1);

	if (!text || pread(fd, text, (size_t)size, 0) != size) {
		free(text);
		return NULL;
	}
	text[size] = '\0';
	return text;
}

char *run_in(const struct place *p, void (*fn)(void), bool keep)
{
	FILE *f = tmpfile();
	char path[4096], *text;
	pid_t pid;
	int fd;

	if (!f || place_path(p, path, sizeof(path)))
		return NULL;
	fd = fileno(f);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_APPEND);
	if (prepare(p, path)) {
		dprintf(fd, "prepare %s\t%s\n", p->name, strerrorname_np(errno));
	} else {
		fflush(NULL);
		pid = fork();
		if (pid == 0)
			in_child(path, fd, fn);
		wait_for(pid, fd);
		if (!keep && wipe(path, p->level > 0))
			dprintf(fd, "clean up\t%s\n", strerrorname_np(errno));
	}
	text = read_all(fd);
	fclose(f);
	return text;
}

static char *next_field(char **at)
{
	char *start = *at, *end = start ? strstr(start, " :: ") : NULL;

	*at = end ? end + 4 : NULL;
	if (end)
		*end = '\0';
	return start;
}

static int read_known(const char *path)
{
	char *line = NULL;
	size_t room = 0;
	FILE *f = fopen(path, "re");
	int number = 0;

	if (!f) {
		perror(path);
		return -1;
	}
	while (getline(&line, &room, f) > 0) {
		struct known *k;
		char *at = line;

		number++;
		line[strcspn(line, "\n")] = '\0';
		if (!*line || *line == '#')
			continue;
		k = calloc(1, sizeof(*k));
		if (!k)
			abort();
		k->name = strdup(next_field(&at));
		k->label = at ? strdup(next_field(&at)) : NULL;
		k->answer = at ? strdup(next_field(&at)) : NULL;
		if (!at || !*at) {
			fprintf(stderr, "%s:%d: four fields\n", path, number);
			return -1;
		}
		k->next = known;
		known = k;
	}
	free(line);
	fclose(f);
	return 0;
}

static bool is_known(const char *name, const char *what, const char *answer)
{
	for (struct known *k = known; k; k = k->next) {
		if (strcmp(k->name, name) == 0 && strcmp(k->label, what) == 0 &&
		    strcmp(k->answer, answer) == 0) {
			k->seen = true;
			return true;
		}
	}
	return false;
}

/* The known ones of a case that was run at all levels are expected to show. */
static void relevant(const char *name)
{
	for (struct known *k = known; k; k = k->next)
		if (strcmp(k->name, name) == 0)
			k->relevant = true;
}

static void report_stale(void)
{
	for (struct known *k = known; k; k = k->next) {
		if (!k->relevant || k->seen)
			continue;
		differences++;
		printf("STALE %s :: %s :: %s\n"
		       "    listed as a known difference, but it is none\n",
		       k->name, k->label, k->answer);
	}
}

static void compare(const struct posix_case *c, int level, char *disk,
                    char *mount)
{
	char nothing[2][12] = { "(nothing)", "(nothing)" };
	char *a, *b;

	for (int n = 1; (disk && *disk) || (mount && *mount); n++) {
		a = strsep(&disk, "\n");
		b = strsep(&mount, "\n");
		a = a && *a ? a : nothing[0];
		b = b && *b ? b : nothing[1];
		if (strcmp(a, b) == 0)
			continue;
		const char *what = strsep(&b, "\t"), *same = strsep(&a, "\t");

		if (b && strcmp(what, same) == 0 && is_known(c->name, what, b))
			continue;
		differences++;
		printf("DIFFERS %s at %s, line %d: %s\n    disk:  %s\n"
		       "    mount: %s%s%s\n", c->name, level_name[level], n, same,
		       a ? a : "", strcmp(what, same) ? what : "",
		       strcmp(what, same) ? " " : "", b ? b : "");
	}
}

static void run_case(const struct posix_case *c, int level, const char *roots[2])
{
	char *text[2];

	for (int side = 0; side < 2; side++) {
		struct place p = { .root = roots[side], .level = level };

		snprintf(p.name, sizeof(p.name), "%s", c->name);
		text[side] = run_in(&p, c->run, false);
		if (!text[side])
			abort();
		if (transcripts)
			printf("-- %s at %s on %s\n%s", c->name,
			       level_name[level], side ? "mount" : "disk",
			       text[side]);
	}
	runs++;
	if (verbose)
		printf("%s at %s\n", c->name, level_name[level]);
	compare(c, level, text[0], text[1]);
	fflush(stdout);
	free(text[0]);
	free(text[1]);
}

static bool wanted(const struct posix_case *c, char **names)
{
	if (!*names)
		return true;
	for (; *names; names++)
		if (strcmp(*names, c->name) == 0)
			return true;
	return false;
}

static void run_cases(const char *roots[2], char **names, int only)
{
	for (int level = 0; level < LEVELS; level++) {
		if (only >= 0 && level != only)
			continue;
		for (size_t g = 0; g < COUNT(groups); g++) {
			const struct posix_case *c = groups[g];

			for (; c->name; c++) {
				if (!wanted(c, names) ||
				    (level < LEVELS - 1 && !(c->flags & AT_ALL)))
					continue;
				if ((c->flags & AS_ROOT) && geteuid() != 0) {
					skipped++;
					continue;
				}
				run_case(c, level, roots);
				if (only < 0 && level == LEVELS - 1 &&
				    sample_every == 1)
					relevant(c->name);
			}
		}
	}
	report_stale();
	if (skipped)
		printf("skipped %d: they need root for other users, owners and "
		       "devices\n", skipped);
	printf("%d runs, %d differences\n", runs, differences);
}

static int usage(void)
{
	fprintf(stderr, "usage: posix [-tv] [-d FILE] [-e AT/EVERY] [-l LEVEL]"
	                " DISK MOUNT [CASE...]\n"
	                "       posix --random SEED CALLS [--keep] DISK MOUNT\n"
	                "       posix --tree DIR\n");
	return 2;
}

static int read_sample(const char *s)
{
	char more;

	return sscanf(s, "%u/%u%c", &sample_at, &sample_every, &more) == 2 &&
		sample_at < sample_every ? 0 : -1;
}

static int print_tree(const char *path)
{
	if (chdir(path)) {
		perror(path);
		return 1;
	}
	record_to(STDOUT_FILENO);
	tree(".");
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "random", required_argument, NULL, 'r' },
		{ "tree", required_argument, NULL, 'T' },
		{ "keep", no_argument, NULL, 'k' },
		{ NULL, 0, NULL, 0 },
	};
	const char *seed = NULL, *roots[2];
	bool keep = false;
	int c, level = -1;

	while ((c = getopt_long(argc, argv, "d:e:l:tv", longs, NULL)) != -1) {
		if (c == 'd' && read_known(optarg))
			return 2;
		if (c == 'e' && read_sample(optarg))
			return usage();
		if (c == 'T')
			return print_tree(optarg);
		if (c == '?')
			return usage();
		level = c == 'l' ? atoi(optarg) : level;
		seed = c == 'r' ? optarg : seed;
		keep |= c == 'k';
		transcripts |= c == 't';
		verbose |= c == 'v';
	}
	if (argc - optind < (seed ? 3 : 2) || level >= LEVELS)
		return usage();
	if (seed)
		return random_calls(argv[optind + 1], argv[optind + 2],
		                    strtoul(seed, NULL, 10),
		                    strtoul(argv[optind], NULL, 10), keep) != 0;
	roots[0] = argv[optind];
	roots[1] = argv[optind + 1];
	run_cases(roots, argv + optind + 2, level);
	return differences != 0;
}
