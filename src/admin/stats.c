/* stats: how much is stored, and what is saved. */
#include <inttypes.h>
#include <string.h>

#include "fsp_admin.h"
#include "fsp_buf.h"
#include "fsp_store.h"
#include "text.h"

/* One line: the store, or an account. */
struct line {
	const char *name;
	uint64_t files, versions, logical, versions_bytes;
	uint64_t objects, objects_bytes, stored_bytes;
};

static int64_t saved_by_dedup(const struct line *l)
{
	return (int64_t)(l->versions_bytes - l->objects_bytes);
}

static int64_t saved_by_compression(const struct line *l)
{
	return (int64_t)(l->objects_bytes - l->stored_bytes);
}

static struct line of_account(const struct fsp_account *c)
{
	return (struct line){
		c->name, c->files, c->versions, c->logical, c->versions_bytes,
		c->objects, c->objects_bytes, c->stored_bytes
	};
}

static struct line of_store(const struct fsp_counts *c)
{
	return (struct line){
		NULL, c->files, c->versions, c->logical, c->versions_bytes,
		c->objects, c->objects_bytes, c->stored_bytes
	};
}

static void text_line(struct fsp_table *t, const struct line *l)
{
	/* Files in the root belong to no account. */
	fsp_table_cell(t, fsp_text_visible(!l->name ? "(total)"
	                                   : *l->name ? l->name : "/"));
	fsp_table_cell(t, fsp_strf("%" PRIu64, l->files));
	fsp_table_cell(t, fsp_text_bytes((int64_t)l->logical));
	fsp_table_cell(t, fsp_strf("%" PRIu64, l->versions));
	fsp_table_cell(t, fsp_text_bytes((int64_t)l->versions_bytes));
	fsp_table_cell(t, fsp_strf("%" PRIu64, l->objects));
	fsp_table_cell(t, fsp_text_bytes((int64_t)l->stored_bytes));
	fsp_table_cell(t, fsp_text_bytes(saved_by_dedup(l)));
	fsp_table_cell(t, fsp_text_percent(saved_by_dedup(l),
	                                   l->versions_bytes));
	fsp_table_cell(t, fsp_text_bytes(saved_by_compression(l)));
	fsp_table_cell(t, fsp_text_percent(saved_by_compression(l),
	                                   l->objects_bytes));
}

static int text_account(void *arg, const struct fsp_account *c)
{
	struct line l = of_account(c);

	text_line(arg, &l);
	return 0;
}

static int print_table(struct fsp_admin *a, const struct fsp_counts *c)
{
	static const char *const heads[] = {
		"ACCOUNT", "FILES", "BYTES", "VERSIONS", "BYTES", "OBJECTS",
		"STORED", "DEDUP", "", "COMPRESSION", ""
	};
	struct line total = of_store(c);
	FSP_TABLE struct fsp_table t = { 0 };
	int err;

	fsp_table_init(&t, heads, 11, 0x7fe);
	err = fsp_meta_accounts(a->store->meta, &a->ctx, text_account, &t);
	if (err)
		return err;
	text_line(&t, &total);
	return fsp_table_print(&t, a->out, "");
}

static void json_line(struct fsp_json *j, const struct line *l)
{
	fsp_json_uint(j, "files", l->files);
	fsp_json_uint(j, "logical_bytes", l->logical);
	fsp_json_uint(j, "versions", l->versions);
	fsp_json_uint(j, "versions_bytes", l->versions_bytes);
	fsp_json_uint(j, "objects", l->objects);
	fsp_json_uint(j, "objects_bytes", l->objects_bytes);
	fsp_json_uint(j, "stored_bytes", l->stored_bytes);
	fsp_json_int(j, "saved_by_dedup", saved_by_dedup(l));
	fsp_json_int(j, "saved_by_compression", saved_by_compression(l));
}

static int json_account(void *arg, const struct fsp_account *c)
{
	struct line l = of_account(c);
	struct fsp_json *j = arg;

	fsp_json_object(j, NULL);
	fsp_json_str(j, "account", l.name);
	json_line(j, &l);
	fsp_json_end_object(j);
	return 0;
}

static int print_json(struct fsp_admin *a, const struct fsp_counts *c)
{
	struct line total = of_store(c);
	struct fsp_json j;
	int err, err2;

	fsp_json_start(&j, a->out);
	fsp_json_object(&j, "total");
	json_line(&j, &total);
	fsp_json_uint(&j, "directories", c->dirs);
	fsp_json_uint(&j, "others", c->others);
	fsp_json_uint(&j, "pending", c->pending);
	fsp_json_end_object(&j);
	fsp_json_list(&j, "accounts");
	err = fsp_meta_accounts(a->store->meta, &a->ctx, json_account, &j);
	fsp_json_end_list(&j);
	err2 = fsp_json_finish(&j);
	return err ? err : err2;
}

int fsp_admin_stats(struct fsp_admin *a)
{
	struct fsp_counts c;
	int err = fsp_meta_counts(a->store->meta, &a->ctx, true, &c);

	if (!err)
		err = a->json ? print_json(a, &c) : print_table(a, &c);
	return err ? fsp_admin_fail(a, err, "cannot count what is stored")
		   : FSP_EXIT_OK;
}
