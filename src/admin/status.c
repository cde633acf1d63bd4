/* status: where the store is, who has it mounted, what needs attention. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fsp_admin.h"
#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_config.h"
#include "fsp_journal.h"
#include "fsp_spool.h"
#include "fsp_store.h"
#include "fsp_version.h"
#include "text.h"

/* All of it, collected first, so that an error leaves no half of a page. */
struct mount {
	char *id, *host, *path;
	int64_t pid, started_us;
	bool read_only;
	const char *state;
	char *health;                   /* what it says of itself, or NULL */
	char *traffic;
};

struct kept {
	char *id, *path, *data;
	uint64_t size;
	int64_t at_us;
	int error;
};

struct queued {
	char *mount, *path;
	bool alive;
	uint64_t size;
	int64_t at_us;
};

struct status {
	const struct fsp_config *config;
	const char *spool;
	char host[HOST_NAME_MAX + 1];
	struct fsp_counts counts;
	bool has_space;
	struct fsp_space space;
	struct mount *mounts;
	size_t n_mounts;
	struct kept *kept;
	size_t n_kept;
	struct queued *queued;
	size_t n_queued;
	uint64_t queued_bytes;
};

static void status_free(struct status *s)
{
	for (size_t i = 0; i < s->n_mounts; i++) {
		free(s->mounts[i].id);
		free(s->mounts[i].host);
		free(s->mounts[i].path);
		free(s->mounts[i].health);
		free(s->mounts[i].traffic);
	}
	for (size_t i = 0; i < s->n_kept; i++) {
		free(s->kept[i].id);
		free(s->kept[i].path);
		free(s->kept[i].data);
	}
	for (size_t i = 0; i < s->n_queued; i++) {
		free(s->queued[i].mount);
		free(s->queued[i].path);
	}
	free(s->mounts);
	free(s->kept);
	free(s->queued);
}

#define STATUS __attribute__((cleanup(status_free)))

/* In fresh memory; NULL where the mount does not tell us. */
static char *read_fact(const char *path, const char *name)
{
	char line[1024];
	ssize_t n = getxattr(path, name, line, sizeof(line));

	return n > 0 ? strndup(line, (size_t)n) : NULL;
}

static int add_mount(void *arg, const struct fsp_mountinfo *i)
{
	struct status *s = arg;
	struct mount *m = reallocarray(s->mounts, s->n_mounts + 1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	s->mounts = m;
	m += s->n_mounts++;
	*m = (struct mount){ strdup(i->id), strdup(i->host), strdup(i->path),
		             i->pid, i->started_us, i->read_only, "dead", NULL,
		             NULL };
	if (!m->id || !m->host || !m->path)
		return -ENOMEM;
	if (strcmp(m->host, s->host) != 0)
		m->state = "other host";
	else if (fsp_spool_alive(*i->spool ? i->spool : s->spool, m->id))
		m->state = "alive";
	return 0;
}

static int add_kept(void *arg, const struct fsp_spool_info *i,
                    const char *data_path)
{
	struct status *s = arg;
	struct kept *k = reallocarray(s->kept, s->n_kept + 1, sizeof(*k));

	if (!k)
		return -ENOMEM;
	s->kept = k;
	k += s->n_kept++;
	*k = (struct kept){ strdup(i->id), strdup(i->path), strdup(data_path),
		            i->size, i->at_us, i->error };
	return k->id && k->path && k->data ? 0 : -ENOMEM;
}

static int add_queued(void *arg, const char *id, bool alive,
                      const struct fsp_queued *q)
{
	struct status *s = arg;
	struct queued *k = reallocarray(s->queued, s->n_queued + 1, sizeof(*k));

	if (!k)
		return -ENOMEM;
	s->queued = k;
	k += s->n_queued++;
	*k = (struct queued){ strdup(id), strdup(q->path), alive, q->size,
		              q->queued_us };
	s->queued_bytes += q->size;
	return k->mount && k->path ? 0 : -ENOMEM;
}

static void read_facts(struct mount *m)
{
	if (strcmp(m->state, "alive") != 0)
		return;
	m->health = read_fact(m->path, "user.filespace.health");
	m->traffic = read_fact(m->path, "user.filespace.traffic");
}

static int collect(struct fsp_admin *a, struct status *s)
{
	struct fsp_store *st = a->store;
	int err;

	s->config = st->config;
	s->spool = fsp_config_str(st->config, "spool", "path");
	/* Without a name of ours, every mount counts as another host's. */
	(void)gethostname(s->host, sizeof(s->host) - 1);
	err = fsp_meta_counts(st->meta, &a->ctx, true, &s->counts);
	if (!err)
		err = fsp_meta_mount_each(st->meta, &a->ctx, add_mount, s);
	if (!err)
		err = fsp_spool_each_kept(s->spool, add_kept, s);
	if (!err)
		err = fsp_journal_each_queued(s->spool, add_queued, s);
	/* The room is shown where it is known; the rest does not need it. */
	s->has_space = fsp_obj_space(st->objects, &a->ctx, &s->space) == 0;
	for (size_t i = 0; i < s->n_mounts; i++)
		read_facts(&s->mounts[i]);
	return err;
}

/* The directory, or the bucket. */
static const char *objects_place(const struct fsp_config *c)
{
	if (strcmp(fsp_config_str(c, "general", "adapter"), "s3") == 0)
		return fsp_config_str(c, "s3", "bucketname");
	return fsp_config_str(c, "file", "path");
}

const char *fsp_admin_database_place(const struct fsp_config *c)
{
	const char *name = fsp_config_str(c, "mysql", "database");

	if (strcmp(fsp_config_str(c, "general", "database"), "mysql") == 0)
		return name ? name : fsp_config_str(c, "mysql", "option_file");
	return fsp_config_str(c, "sqlite", "path");
}

static void print_place(const struct status *s, FILE *out)
{
	const struct fsp_config *c = s->config;
	const char *file = fsp_config_file(c);

	fprintf(out, "Settings   %s\n", file ? file : "(defaults)");
	fprintf(out, "Database   %s, %s\n", fsp_config_str(c, "general", "database"),
	        fsp_admin_database_place(c));
	fprintf(out, "Objects    %s, %s\n", fsp_config_str(c, "general", "adapter"),
	        objects_place(c));
	if (s->has_space) {
		FSP_FREE char *avail = fsp_text_bytes((int64_t)s->space.avail);
		FSP_FREE char *total = fsp_text_bytes((int64_t)s->space.total);

		fprintf(out, "Free       %s of %s\n", avail ? avail : "?",
		        total ? total : "?");
	}
	fprintf(out, "Spool      %s\n", s->spool);
}

static void print_counts(const struct status *s, FILE *out)
{
	const struct fsp_counts *c = &s->counts;

	fprintf(out, "Content    %" PRIu64 " files, %" PRIu64 " directories, %"
	        PRIu64 " others, %" PRIu64 " versions\n", c->files, c->dirs,
	        c->others, c->versions);
	fprintf(out, "Pending    %" PRIu64 " names created and not yet stored\n",
	        c->pending);
}

static void print_health(const struct status *s, FILE *out)
{
	for (size_t i = 0; i < s->n_mounts; i++) {
		FSP_FREE char *path = fsp_text_visible(s->mounts[i].path);
		FSP_FREE char *line = NULL;

		if (!s->mounts[i].health)
			continue;
		line = fsp_text_visible(s->mounts[i].health);
		fprintf(out, "Health     %s: %s\n", path ? path : "?",
		        line ? line : "?");
		if (s->mounts[i].traffic)
			fprintf(out, "Traffic    %s: %s\n", path ? path : "?",
			        s->mounts[i].traffic);
	}
}

static int print_mounts(const struct status *s, FILE *out)
{
	static const char *const heads[] = {
		"HOST", "MOUNTPOINT", "PID", "SINCE", "ACCESS", "STATE"
	};
	FSP_TABLE struct fsp_table t = { 0 };
	char when[32];

	if (!s->n_mounts) {
		fputs("Mounts     none\n", out);
		return 0;
	}
	fsp_table_init(&t, heads, 6, 1u << 2);
	for (size_t i = 0; i < s->n_mounts; i++) {
		const struct mount *m = &s->mounts[i];

		fsp_table_cell(&t, fsp_text_visible(m->host));
		fsp_table_cell(&t, fsp_text_visible(m->path));
		fsp_table_cell(&t, fsp_strf("%" PRId64, m->pid));
		fsp_table_text(&t, fsp_time_format(when, m->started_us));
		fsp_table_text(&t, m->read_only ? "ro" : "rw");
		fsp_table_text(&t, m->state);
	}
	fprintf(out, "Mounts     %zu\n", s->n_mounts);
	return fsp_table_print(&t, out, "  ");
}

static int print_kept(const struct status *s, FILE *out)
{
	static const char *const heads[] = {
		"WHEN", "PATH", "SIZE", "ERROR", "CONTENT"
	};
	FSP_TABLE struct fsp_table t = { 0 };
	char when[32];

	if (!s->n_kept) {
		fputs("Kept       nothing\n", out);
		return 0;
	}
	fsp_table_init(&t, heads, 5, 1u << 2);
	for (size_t i = 0; i < s->n_kept; i++) {
		const struct kept *k = &s->kept[i];

		fsp_table_text(&t, fsp_time_format(when, k->at_us));
		fsp_table_cell(&t, fsp_text_visible(k->path));
		fsp_table_cell(&t, fsp_strf("%" PRIu64, k->size));
		fsp_table_text(&t, strerror(k->error));
		fsp_table_cell(&t, fsp_text_visible(k->data));
	}
	fprintf(out, "Kept       %zu that could not be stored; the .info beside "
	        "each says which bytes were written\n", s->n_kept);
	return fsp_table_print(&t, out, "  ");
}

/* Promised by close() with mount.commit = back. */
static int print_queued(const struct status *s, FILE *out)
{
	static const char *const heads[] = { "SINCE", "PATH", "SIZE", "MOUNT" };
	FSP_TABLE struct fsp_table t = { 0 };
	FSP_FREE char *bytes = fsp_text_bytes((int64_t)s->queued_bytes);
	char when[32];

	if (!s->n_queued)
		return 0;
	fsp_table_init(&t, heads, 4, 1u << 2);
	for (size_t i = 0; i < s->n_queued; i++) {
		const struct queued *k = &s->queued[i];

		fsp_table_text(&t, fsp_time_format(when, k->at_us));
		fsp_table_cell(&t, fsp_text_visible(k->path));
		fsp_table_cell(&t, fsp_strf("%" PRIu64, k->size));
		fsp_table_text(&t, k->alive ? "alive" : "dead");
	}
	fprintf(out, "Queued     %zu files, %s, that wait to be stored; the "
	        "next mount takes those of a dead one over\n", s->n_queued,
	        bytes ? bytes : "?");
	return fsp_table_print(&t, out, "  ");
}

static int print_text(const struct status *s, FILE *out)
{
	int err;

	print_place(s, out);
	print_counts(s, out);
	err = print_mounts(s, out);
	if (err)
		return err;
	print_health(s, out);
	err = print_queued(s, out);
	return err ? err : print_kept(s, out);
}

static void json_mounts(const struct status *s, struct fsp_json *j)
{
	fsp_json_list(j, "mounts");
	for (size_t i = 0; i < s->n_mounts; i++) {
		const struct mount *m = &s->mounts[i];

		fsp_json_object(j, NULL);
		fsp_json_str(j, "id", m->id);
		fsp_json_str(j, "host", m->host);
		fsp_json_str(j, "mountpoint", m->path);
		fsp_json_int(j, "pid", m->pid);
		fsp_json_time(j, "started", m->started_us);
		fsp_json_bool(j, "read_only", m->read_only);
		fsp_json_str(j, "state", m->state);
		fsp_json_str(j, "health", m->health);
		fsp_json_str(j, "traffic", m->traffic);
		fsp_json_end_object(j);
	}
	fsp_json_end_list(j);
}

static void json_kept(const struct status *s, struct fsp_json *j)
{
	fsp_json_list(j, "kept");
	for (size_t i = 0; i < s->n_kept; i++) {
		const struct kept *k = &s->kept[i];

		fsp_json_object(j, NULL);
		fsp_json_str(j, "id", k->id);
		fsp_json_str(j, "path", k->path);
		fsp_json_uint(j, "size", k->size);
		fsp_json_time(j, "when", k->at_us);
		fsp_json_int(j, "errno", k->error);
		fsp_json_str(j, "error", strerror(k->error));
		fsp_json_str(j, "content", k->data);
		fsp_json_end_object(j);
	}
	fsp_json_end_list(j);
}

static void json_queued(const struct status *s, struct fsp_json *j)
{
	fsp_json_uint(j, "queued_bytes", s->queued_bytes);
	fsp_json_list(j, "queued");
	for (size_t i = 0; i < s->n_queued; i++) {
		const struct queued *k = &s->queued[i];

		fsp_json_object(j, NULL);
		fsp_json_str(j, "mount", k->mount);
		fsp_json_bool(j, "alive", k->alive);
		fsp_json_str(j, "path", k->path);
		fsp_json_uint(j, "size", k->size);
		fsp_json_time(j, "since", k->at_us);
		fsp_json_end_object(j);
	}
	fsp_json_end_list(j);
}

static int print_json(const struct status *s, FILE *out)
{
	const struct fsp_config *c = s->config;
	struct fsp_json j;

	fsp_json_start(&j, out);
	fsp_json_str(&j, "settings", fsp_config_file(c));
	fsp_json_str(&j, "database", fsp_config_str(c, "general", "database"));
	fsp_json_str(&j, "database_path", fsp_admin_database_place(c));
	fsp_json_str(&j, "adapter", fsp_config_str(c, "general", "adapter"));
	fsp_json_str(&j, "objects_path", objects_place(c));
	fsp_json_str(&j, "spool", s->spool);
	if (s->has_space) {
		fsp_json_uint(&j, "total_bytes", s->space.total);
		fsp_json_uint(&j, "free_bytes", s->space.avail);
	}
	fsp_json_uint(&j, "files", s->counts.files);
	fsp_json_uint(&j, "directories", s->counts.dirs);
	fsp_json_uint(&j, "others", s->counts.others);
	fsp_json_uint(&j, "versions", s->counts.versions);
	fsp_json_uint(&j, "pending", s->counts.pending);
	json_mounts(s, &j);
	json_queued(s, &j);
	json_kept(s, &j);
	return fsp_json_finish(&j);
}

int fsp_admin_status(struct fsp_admin *a)
{
	STATUS struct status s = { 0 };
	int err = collect(a, &s);

	if (!err)
		err = a->json ? print_json(&s, a->out) : print_text(&s, a->out);
	return err ? fsp_admin_fail(a, err, "cannot tell the status")
		   : FSP_EXIT_OK;
}
