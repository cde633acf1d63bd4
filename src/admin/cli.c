/* The command line of filespacectl: one table of commands. */
#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "fsp_admin.h"

/* Options that only some commands take. */
enum {
	OPT_JSON = 1, OPT_TO = 2, OPT_FORCE = 4, OPT_TEXTS = 8,
	OPT_AT = 32,
	ARG_STORE = 16,         /* no option: the argument finds the store */
	ARG_TWO = 64            /* no option: there may be two of them */
};

static const struct command {
	const char *name, *args, *text;
	int min_args;
	unsigned int options;
	int usage_exit;
} commands[] = {
	[FSP_CLI_INIT] = {
		"init", "[-o SECTION.KEY=VALUE]... DIR",
		"make an embedded store in DIR (or -s DIR)",
		0, 0, FSP_EXIT_USAGE },
	[FSP_CLI_CONFIG] = {
		"config", "[--json | --sample | --man | --help-text] [PATH]",
		"show every setting, its value and where it comes from",
		0, OPT_JSON | OPT_TEXTS | ARG_STORE, FSP_EXIT_USAGE },
	[FSP_CLI_STATUS] = {
		"status", "[--json] [PATH]",
		"show where the store is, who has it mounted, what is pending",
		0, OPT_JSON | ARG_STORE, FSP_EXIT_USAGE },
	[FSP_CLI_VERSIONS] = {
		"versions", "[--json] PATH",
		"list the stored versions of a file",
		1, OPT_JSON, FSP_EXIT_USAGE },
	[FSP_CLI_RESTORE] = {
		"restore", "{PATH@VERSION | PATH --at TIME} [--to PATH2]",
		"bring back an old version, or a directory as of a time",
		1, OPT_TO | OPT_AT, FSP_EXIT_USAGE },
	[FSP_CLI_CAT_OBJECT] = {
		"cat-object", "[-f] HASH",
		"write the decoded, verified content of an object",
		1, OPT_FORCE, FSP_EXIT_USAGE },
	[FSP_CLI_STATS] = {
		"stats", "[--json] [PATH]",
		"count files, versions and bytes, and what is saved",
		0, OPT_JSON | ARG_STORE, FSP_EXIT_USAGE },
	[FSP_CLI_SCHEMA] = {
		"schema", "[--json] check | plan | upgrade",
		"tell, show or make what the database needs to be written to",
		1, OPT_JSON, FSP_EXIT_USAGE },
	[FSP_CLI_CHECK] = {
		"check", "[--json] [PATH]",
		"check the rows; exits 0 clean, 4 errors found, 8 not checked",
		0, OPT_JSON | ARG_STORE, FSP_FSCK_USAGE },
	[FSP_CLI_STORE] = {
		"store", "test [--json]",
		"try what a mount will ask of database and object store",
		1, OPT_JSON, FSP_EXIT_USAGE },
	[FSP_CLI_CACHE] = {
		"cache", "[--json] {show | drop} [PATH] | warm PATH",
		"show, empty or fill the local cache of content",
		1, OPT_JSON | ARG_TWO, FSP_EXIT_USAGE },
	[FSP_CLI_HELP] = {
		"help", "[COMMAND]", "show this, or more about a command",
		0, 0, FSP_EXIT_USAGE },
	[FSP_CLI_VERSION] = {
		"version", "", "show the version of this program",
		0, 0, FSP_EXIT_USAGE },
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const char *const details[N_COMMANDS] = {
	[FSP_CLI_INIT] =
		"Each -o sets what differs from the defaults. The key in\n"
		"DIR/filespacefs.conf is new; keep a copy of it elsewhere.\n",
	[FSP_CLI_CONFIG] =
		"--sample, --man and --help-text write the sample file, the list\n"
		"of settings in the manual, and that in --help.\n",
	[FSP_CLI_RESTORE] =
		"VERSION is a row id, the name of an entry in the versions\n"
		"directory, or a time (2015-05-08, 2015-05-08T10:13:20Z,\n"
		"2015-05-08T12:13:20+02:00; UTC without an offset), which means\n"
		"what was there at that time. A path in the versions directory\n"
		"needs no @VERSION. The version's mode, owner and mtime come back\n"
		"with it; no content is copied.\n"
		"\n"
		"A directory comes back as of a TIME with all that was below it,\n"
		"in place, or as PATH2 (in PATH2 where that is a directory). What\n"
		"came later stays. Hard links come back as files of their own,\n"
		"extended attributes and the times\n"
		"of directories do not.\n",
	[FSP_CLI_CAT_OBJECT] =
		"Nothing is written unless all of it matches the hash. -f writes\n"
		"to a terminal, too.\n",
	[FSP_CLI_STORE] =
		"Connects, stores objects of its own, reads, lists and removes\n"
		"them, and says for whatever fails what to do about it. A store\n"
		"that is in use is not disturbed. Exits 1 when something that is\n"
		"needed does not work.\n",
	[FSP_CLI_CACHE] =
		"show tells how much there is, with --json each content, too. warm\n"
		"fetches a file, or all files below a directory, as far as cache.size\n"
		"goes. drop removes what nobody has in use.\n",
	[FSP_CLI_SCHEMA] =
		"check says what differs and exits 1 when an upgrade is needed,\n"
		"plan prints its SQL and changes nothing, upgrade does it, and\n"
		"goes on when it is run again after it was ended. The PHP library\n"
		"goes on working.\n",
};

static const struct option long_options[] = {
	{ "source", required_argument, NULL, 's' },
	{ "config", required_argument, NULL, 'c' },
	{ "option", required_argument, NULL, 'o' },
	{ "json", no_argument, NULL, 'j' },
	{ "to", required_argument, NULL, 't' },
	{ "at", required_argument, NULL, 'a' },
	{ "force", no_argument, NULL, 'f' },
	{ "sample", no_argument, NULL, 'S' },
	{ "man", no_argument, NULL, 'M' },
	{ "help-text", no_argument, NULL, 'H' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 }
};

int fsp_cli_find(const char *name, enum fsp_cli_command *out)
{
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (strcmp(commands[i].name, name) != 0)
			continue;
		*out = (enum fsp_cli_command)i;
		return 0;
	}
	return -EINVAL;
}

/* What came so far, and what to complain to. */
struct parse {
	struct fsp_cli *c;
	FILE *err;
	unsigned int used;              /* OPT_* */
	bool version;
};

static int wrong(const struct parse *p, const char *what, const char *arg)
{
	const struct fsp_cli *c = p->c;
	const char *name = c->has_command ? commands[c->command].name : NULL;

	fprintf(p->err, "filespacectl: %s%s%s\n", what, arg ? " " : "",
	        arg ? arg : "");
	fprintf(p->err, "Try 'filespacectl %s%s--help'.\n", name ? name : "",
	        name ? " " : "");
	return name ? commands[c->command].usage_exit : FSP_EXIT_USAGE;
}

static int take_source(struct parse *p, const char *value, bool is_file)
{
	if (p->c->source)
		return wrong(p, "give one of -s and -c, once", NULL);
	if (!*value)
		return wrong(p, "-s and -c need a name", NULL);
	p->c->source = value;
	p->c->source_is_file = is_file;
	return 0;
}

static int take_setting(struct parse *p, const char *value)
{
	if (p->c->n_settings == FSP_CLI_MAX_SETTINGS)
		return wrong(p, "too many -o; put them into a file", NULL);
	p->c->settings[p->c->n_settings++] = value;
	return 0;
}

static int take_word(struct parse *p, const char *word)
{
	struct fsp_cli *c = p->c;

	if (!c->has_command) {
		if (fsp_cli_find(word, &c->command))
			return wrong(p, "no such command:", word);
		c->has_command = true;
		return 0;
	}
	if (c->arg2 ||
	    (c->arg && !(commands[c->command].options & ARG_TWO)))
		return wrong(p, "one argument too many:", word);
	if (c->arg)
		c->arg2 = word;
	else
		c->arg = word;
	return 0;
}

/* The options of some commands only. */
static void take_flag(struct parse *p, int opt, const char *value)
{
	struct fsp_cli *c = p->c;

	switch (opt) {
	case 'j':
		c->json = true;
		p->used |= OPT_JSON;
		break;
	case 't':
		c->to = value;
		p->used |= OPT_TO;
		break;
	case 'a':
		c->at = value;
		p->used |= OPT_AT;
		break;
	case 'f':
		c->force = true;
		p->used |= OPT_FORCE;
		break;
	default:
		c->sample |= opt == 'S';
		c->man |= opt == 'M';
		c->help_text |= opt == 'H';
		p->used |= OPT_TEXTS;
	}
}

/* The option that getopt did not like; several may stand in one word. */
static const char *culprit(char **argv, char letter[3])
{
	const char *word = argv[optind - 1];

	if (!optopt)
		return word;
	for (const struct option *o = long_options; o->name; o++)
		if (o->val == optopt && strncmp(word, "--", 2) == 0 &&
		    strncmp(word + 2, o->name, strcspn(word + 2, "=")) == 0)
			return word;
	letter[0] = '-';
	letter[1] = (char)optopt;
	letter[2] = '\0';
	return letter;
}

static int take(struct parse *p, int opt, char **argv)
{
	char letter[3];

	switch (opt) {
	case 1:
		return take_word(p, optarg);
	case 's':
	case 'c':
		return take_source(p, optarg, opt == 'c');
	case 'o':
		return take_setting(p, optarg);
	case 'h':
		p->c->help = true;
		return 0;
	case 'V':
		p->version = true;
		return 0;
	case ':':
		return wrong(p, "a value is missing after",
		             culprit(argv, letter));
	case '?':
		return wrong(p, "unknown option:", culprit(argv, letter));
	default:
		take_flag(p, opt, optarg);
		return 0;
	}
}

static int check(struct parse *p)
{
	struct fsp_cli *c = p->c;
	const struct command *cmd = &commands[c->command];

	if (c->help)
		return 0;
	if (p->version) {
		c->command = FSP_CLI_VERSION;
		c->has_command = true;
		return 0;
	}
	if (!c->has_command)
		return wrong(p, "a command is missing", NULL);
	if (p->used & ~cmd->options)
		return wrong(p, "that option does not go with", cmd->name);
	if (c->sample + c->man + c->help_text + c->json > 1)
		return wrong(p, "give one of --json, --sample, --man and "
		             "--help-text", NULL);
	if (cmd->min_args && !c->arg)
		return wrong(p, "an argument is missing:", cmd->args);
	if (c->arg && c->source && cmd->options & ARG_STORE)
		return wrong(p, "give a PATH or one of -s and -c", NULL);
	if (c->arg && !*cmd->args)
		return wrong(p, "one argument too many:", c->arg);
	return 0;
}

int fsp_cli_parse(int argc, char **argv, struct fsp_cli *out, FILE *err)
{
	struct parse p = { .c = out, .err = err };
	int opt, rc;

	*out = (struct fsp_cli){ .command = FSP_CLI_HELP };
	optind = 0;                     /* glibc: start anew, for the tests */
	opterr = 0;
	/* "-": words come as option 1, in their place. */
	while ((opt = getopt_long(argc, argv, "-:s:c:o:fhV", long_options,
	                          NULL)) != -1) {
		rc = take(&p, opt, argv);
		if (rc)
			return rc;
	}
	for (; optind < argc; optind++) {
		rc = take_word(&p, argv[optind]);
		if (rc)
			return rc;
	}
	return check(&p);
}

static void usage_command(const struct command *cmd, const char *detail,
                          FILE *out)
{
	fprintf(out, "Usage: filespacectl [-c FILE | -s SOURCE] %s%s%s\n",
	        cmd->name, *cmd->args ? " " : "", cmd->args);
	fprintf(out, "%s\n", cmd->text);
	if (detail)
		fprintf(out, "\n%s", detail);
}

void fsp_cli_usage(const struct fsp_cli *c, FILE *out)
{
	if (c->has_command) {
		usage_command(&commands[c->command], details[c->command], out);
		return;
	}
	fputs("Usage: filespacectl [-c FILE | -s SOURCE] [-o SECTION.KEY=VALUE]"
	      "... COMMAND\n\nCommands:\n", out);
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(out, "  %-10s  %s\n", commands[i].name, commands[i].text);
	fputs("\n"
	      "  -s, --source SOURCE  a configuration file, a NAME for\n"
	      "                       /etc/filespacefs/NAME.conf, or the "
	      "directory of a store\n"
	      "  -c, --config FILE    a configuration file\n"
	      "  -o, --option ...     a setting, over what the file says\n"
	      "      --json           for scripts: config, status, versions, "
	      "stats, schema,\n                       check, cache\n"
	      "  -h, --help           this, or more about the command\n"
	      "  -V, --version        the version of this program\n"
	      "\n"
	      "A PATH inside a mount finds its store by itself; with -s or -c "
	      "it is a path\nwithin the store. Exit status: 0 done, 1 failed, 2 "
	      "wrong usage.\n", out);
}
