/* config: the settings in force and where each comes from. */
#include "fsp_admin.h"
#include "fsp_buf.h"
#include "fsp_config.h"
#include "text.h"

static void text_row(void *arg, const struct fsp_param *p, const char *value,
                     const char *origin)
{
	struct fsp_table *t = arg;

	fsp_table_cell(t, fsp_strf("%s.%s", p->section, p->key));
	fsp_table_cell(t, value ? fsp_text_visible(value) : fsp_strf("-"));
	fsp_table_cell(t, fsp_text_visible(origin));
}

static void json_row(void *arg, const struct fsp_param *p, const char *value,
                     const char *origin)
{
	struct fsp_json *j = arg;

	fsp_json_object(j, NULL);
	fsp_json_str(j, "section", p->section);
	fsp_json_str(j, "key", p->key);
	fsp_json_str(j, "value", value);
	fsp_json_bool(j, "secret", p->secret);
	fsp_json_str(j, "origin", origin);
	fsp_json_end_object(j);
}

static int print_table(struct fsp_admin *a, const struct fsp_config *c)
{
	static const char *const heads[] = { "SETTING", "VALUE", "ORIGIN" };
	FSP_TABLE struct fsp_table t = { 0 };

	fsp_table_init(&t, heads, 3, 0);
	fsp_config_each(c, text_row, &t);
	return fsp_table_print(&t, a->out, "");
}

static int print_json(struct fsp_admin *a, const struct fsp_config *c)
{
	struct fsp_json j;

	fsp_json_start(&j, a->out);
	fsp_json_str(&j, "file", fsp_config_file(c));
	fsp_json_list(&j, "settings");
	fsp_config_each(c, json_row, &j);
	fsp_json_end_list(&j);
	return fsp_json_finish(&j);
}

int fsp_admin_config(struct fsp_admin *a, const struct fsp_config *c)
{
	int err = a->json ? print_json(a, c) : print_table(a, c);

	return err ? fsp_admin_fail(a, err, "cannot print the settings")
		   : FSP_EXIT_OK;
}
