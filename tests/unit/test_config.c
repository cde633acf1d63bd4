/* Settings: values, files, precedence, errors, new stores. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fsp_buf.h"
#include "fsp_config.h"
#include "fsp_file.h"

#define KEY "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F"
#define IV "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static char dir[64];
static char conf[128];

static int set_up(void **state)
{
	(void)state;
	unsetenv("FILESPACEFS_ENCRYPTION_KEY");
	unsetenv("FILESPACEFS_ENCRYPTION_IV");
	unsetenv("FILESPACEFS_S3_SECRET_KEY");
	strcpy(dir, "/tmp/fsp-config-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(conf, sizeof(conf), "%s/x.conf", dir);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return chdir("/") < 0 ? -1 : fsp_rm_tree(dir);
}

static void put_bytes(const char *text, size_t len, mode_t mode)
{
	int fd = open(conf, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fsp_write_all(fd, text, len), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void put(const char *text)
{
	put_bytes(text, strlen(text), 0600);
}

static struct fsp_config *load_with(const char *const *options, int n)
{
	struct fsp_config *c;
	char *error;
	int err = fsp_config_load(conf, options, n, &c, &error);

	if (err)
		fail_msg("%s", error);
	assert_null(error);
	return c;
}

static struct fsp_config *load(const char *text)
{
	put(text);
	return load_with(NULL, 0);
}

/* In `want`, a leading @ stands for the file's name. */
static void assert_error(char *error, const char *want)
{
	char *full = *want == '@' ? fsp_strf("%s%s", conf, want + 1)
	                          : fsp_strf("%s", want);

	assert_non_null(error);
	assert_string_equal(error, full);
	free(full);
	free(error);
}

static void load_fails(const char *text, const char *want)
{
	struct fsp_config *c;
	char *error;

	put(text);
	assert_int_equal(fsp_config_load(conf, NULL, 0, &c, &error), -EINVAL);
	assert_null(c);
	assert_error(error, want);
}

static void option_fails(const char *option, const char *want)
{
	struct fsp_config *c;
	char *error;

	assert_int_equal(fsp_config_load(NULL, &option, 1, &c, &error),
	                 -EINVAL);
	assert_null(c);
	assert_error(error, want);
}

/* What resembles nothing gets the list, and no far-fetched guess. */
static void test_no_guess(void **state)
{
	static const char *const options[] = {
		"foo.bar=1", "pack.level=1", "a.b=c", "lines.none=1"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		struct fsp_config *c;
		char *error = NULL;

		assert_int_equal(fsp_config_load(NULL, &options[i], 1, &c,
		                                 &error), -EINVAL);
		if (!strstr(error, ": unknown section; there are [general] ["))
			fail_msg("%s", error);
		free(error);
	}
}

/* Loads one option; the caller frees. */
static struct fsp_config *with(const char *option)
{
	struct fsp_config *c;
	char *error;

	if (fsp_config_load(NULL, &option, 1, &c, &error))
		fail_msg("%s", error);
	return c;
}

static void refused(const char *option)
{
	struct fsp_config *c;
	char *error;

	if (fsp_config_load(NULL, &option, 1, &c, &error) != -EINVAL)
		fail_msg("%s was taken", option);
	assert_non_null(strstr(error, ": not allowed; "));
	free(error);
}

/* values */

static void test_defaults(void **state)
{
	struct fsp_config *c;
	uint8_t key[32];
	char *error, cwd[4096], *want;

	(void)state;
	assert_int_equal(fsp_config_load(NULL, NULL, 0, &c, &error), 0);
	assert_null(fsp_config_file(c));
	assert_string_equal(fsp_config_str(c, "general", "hash"), "sha256");
	assert_string_equal(fsp_config_str(c, "mount", "versions_dir"),
	                    ".versions");
	assert_int_equal(fsp_config_int(c, "bzip2", "level"), 9);
	assert_int_equal(fsp_config_int(c, "mount", "uid"), -1);
	assert_int_equal(fsp_config_int(c, "mount", "file_mode"), 0644);
	assert_int_equal(fsp_config_int(c, "cache", "size"), 1 << 30);
	assert_false(fsp_config_bool(c, "mount", "read_only"));
	assert_int_equal(fsp_config_ns(c, "sqlite", "busy_timeout"),
	                 10000000000);
	assert_int_equal(fsp_config_ns(c, "mount", "negative_timeout"), 0);
	assert_int_equal(fsp_config_bytes(c, "encryption", "key", key),
	                 -ENOENT);
	assert_null(fsp_config_str(c, "s3", "bucketname"));
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	want = fsp_strf("%s/objects", cwd);
	assert_string_equal(fsp_config_str(c, "file", "path"), want);
	free(want);
	fsp_config_free(c);
	fsp_config_free(NULL);
}

static void test_int(void **state)
{
	static const char *const bad[] = {
		"bzip2.level=0",   "bzip2.level=10",  "bzip2.level=",
		"bzip2.level=5x",  "bzip2.level=5.0", "bzip2.level=+5",
		"bzip2.level= 5",  "bzip2.level=-",   "mount.uid=-2",
		"bzip2.level=99999999999999999999",   "mount.uid=4294967295",
		"bzip2.level=0x5",
	};
	struct fsp_config *c = with("mount.uid=4294967294");

	(void)state;
	assert_int_equal(fsp_config_int(c, "mount", "uid"), 4294967294);
	fsp_config_free(c);
	c = with("bzip2.level=1");
	assert_int_equal(fsp_config_int(c, "bzip2", "level"), 1);
	fsp_config_free(c);
	for (size_t i = 0; i < COUNT(bad); i++)
		refused(bad[i]);
}

static void test_size(void **state)
{
	static const struct {
		const char *option;
		int64_t want;
	} good[] = {
		{ "cache.size=0", 0 },
		{ "cache.size=1000000", 1000000 },
		{ "cache.size=3k", 3 << 10 },
		{ "cache.size=3K", 3 << 10 },
		{ "cache.size=512M", 512 << 20 },
		{ "cache.size=2G", 2LL << 30 },
		{ "cache.size=2T", 2LL << 40 },
		{ "cache.size=9223372036854775807", INT64_MAX },
	};
	static const char *const bad[] = {
		"cache.size=-1",   "cache.size=1.5G", "cache.size=K",
		"cache.size=1KK",  "cache.size=1 K",  "cache.size=9999999T",
		"cache.size=8388608T", "cache.size=9223372036854775808",
		"cache.size=1P",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		struct fsp_config *c = with(good[i].option);

		assert_int_equal(fsp_config_int(c, "cache", "size"),
		                 good[i].want);
		fsp_config_free(c);
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		refused(bad[i]);
}

static void test_duration(void **state)
{
	static const struct {
		const char *option;
		int64_t want;
	} good[] = {
		{ "mount.attr_timeout=0", 0 },
		{ "mount.attr_timeout=2", 2000000000 },
		{ "mount.attr_timeout=1.5", 1500000000 },
		{ "mount.attr_timeout=0.000000001s", 1 },
		{ "mount.attr_timeout=250ms", 250000000 },
		{ "mount.attr_timeout=2m", 120000000000 },
		{ "mount.attr_timeout=1.25h", 4500000000000 },
		{ "mount.attr_timeout=1d", 86400000000000 },
		{ "mount.attr_timeout=24h", 86400000000000 },
	};
	static const char *const bad[] = {
		"mount.attr_timeout=1.001d",  "mount.attr_timeout=86401",
		"mount.attr_timeout=-1",      "mount.attr_timeout=1.",
		"mount.attr_timeout=.5",      "mount.attr_timeout=1 s",
		"mount.attr_timeout=1w",      "mount.attr_timeout=1S",
		"mount.attr_timeout=1.0000000001",
		"mount.attr_timeout=99999999999d",
		"sqlite.busy_timeout=9ms",    "mount.op_timeout=0",
		"mount.op_timeout=999ms",     "sqlite.busy_timeout=601s",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		struct fsp_config *c = with(good[i].option);

		assert_int_equal(fsp_config_ns(c, "mount", "attr_timeout"),
		                 good[i].want);
		fsp_config_free(c);
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		refused(bad[i]);
}

static void test_words(void **state)
{
	static const char *const yes[] = { "yes", "true", "on", "1", "YES" };
	static const char *const no[] = { "no", "false", "off", "0", "Off" };
	static const char *const bad[] = {
		"mount.read_only=",       "mount.read_only=2",
		"mount.read_only=yess",   "general.hash=sha",
		"general.hash=sha256|sha1", "general.hash=SHA1",
		"general.hash=",          "general.adapter=ftp",
		"mount.file_mode=8",      "mount.file_mode=1000",
		"mount.file_mode=",       "mount.file_mode=-644",
		"mount.file_mode=00000644", "mount.dir_mode=10000",
		"mount.versions_dir=",    "mount.versions_dir=.",
		"mount.versions_dir=..",  "mount.versions_dir=a/b",
		"file.path=",
	};
	struct fsp_config *c;
	char long_name[300] = "mount.versions_dir=";

	(void)state;
	for (size_t i = 0; i < COUNT(yes); i++) {
		char *o = fsp_strf("mount.read_only=%s", yes[i]);
		char *o2 = fsp_strf("mount.read_only=%s", no[i]);

		c = with(o);
		assert_true(fsp_config_bool(c, "mount", "read_only"));
		assert_int_equal(fsp_config_int(c, "mount", "read_only"), 1);
		fsp_config_free(c);
		c = with(o2);
		assert_false(fsp_config_bool(c, "mount", "read_only"));
		fsp_config_free(c);
		free(o);
		free(o2);
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		refused(bad[i]);
	memset(long_name + strlen("mount.versions_dir="), 'x', 256);
	refused(long_name);
	long_name[strlen("mount.versions_dir=") + 255] = '\0';
	c = with(long_name);
	fsp_config_free(c);
	c = with("mount.dir_mode=02775");
	assert_int_equal(fsp_config_int(c, "mount", "dir_mode"), 02775);
	fsp_config_free(c);
	c = with("file.path=/a=b");
	assert_string_equal(fsp_config_str(c, "file", "path"), "/a=b");
	fsp_config_free(c);
}

/* files */

static void test_file(void **state)
{
	struct fsp_config *c = load(
		"\xef\xbb\xbf# comment\r\n"
		"; another\n"
		"[file]\r\n"
		"path = /o/\r\n"
		"[bzip2]  ; comment\n"
		"\t level=5 ; fast\n"
		"   \n"
		"[s3]\n"
		"prefix =\n"
		"bucketname = \"a ;b \" ; c\n"
		"access_key='it is \"x\"'\n"
		"secret_key = a;b#c  \n"
		"[mount]\n"
		"threads: 3\n"
		"[encryption]\nkey = " KEY "\niv = " IV);
	uint8_t key[32], want[32];

	(void)state;
	assert_string_equal(fsp_config_file(c), conf);
	assert_string_equal(fsp_config_str(c, "file", "path"), "/o/");
	assert_int_equal(fsp_config_int(c, "bzip2", "level"), 5);
	assert_string_equal(fsp_config_str(c, "s3", "prefix"), "");
	assert_string_equal(fsp_config_str(c, "s3", "bucketname"), "a ;b ");
	assert_string_equal(fsp_config_str(c, "s3", "access_key"),
	                    "it is \"x\"");
	assert_string_equal(fsp_config_str(c, "s3", "secret_key"), "a;b#c");
	assert_int_equal(fsp_config_int(c, "mount", "threads"), 3);
	for (uint8_t i = 0; i < 32; i++)
		want[i] = i;
	assert_int_equal(fsp_config_bytes(c, "encryption", "key", key), 0);
	assert_memory_equal(key, want, 32);
	fsp_config_free(c);
	c = load("");
	fsp_config_free(c);
}

static void test_file_errors(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "\n\n[bzip2]\nlevel = 11\n",
		  "@:4: [bzip2] level = 11: not allowed; a whole number from 1 "
		  "to 9" },
		{ "[bzip2]\r\nlevle = 1\n",
		  "@:2: [bzip2] levle: unknown setting (did you mean level?)" },
		{ "[bzip2]\nthreads = 1\n",
		  "@:2: [bzip2] threads: unknown setting (did you mean [mount] "
		  "threads?)" },
		{ "[bzip2]\nzzzzzzzz = 1\n",
		  "@:2: [bzip2] zzzzzzzz: unknown setting; [bzip2] has level" },
		{ "[names]\nversions_dir = x\n",
		  "@:2: [names] versions_dir: unknown section (did you mean "
		  "mount?)" },
		{ "[bzip]\nlevel = 1\n",
		  "@:2: [bzip] level: unknown section (did you mean bzip2?)" },
		{ "[postgres]\nlevel = 1\n",
		  "@:2: [postgres] level: unknown section; there are [general] "
		  "[file] [sqlite] [mysql] [s3] [encryption] [bzip2] [zstd] "
		  "[mount] [spool] [cache] [log]" },
		{ "level = 1\n", "@:1: level: stands before any [section]" },
		{ "[bzip2]\nlevel = 1\n\n level = 1\n",
		  "@:4: [bzip2] level: set twice, first in line 2" },
		{ "[bzip2]\nlevel = 1\n[mount]\n[bzip2]\nlevel = 2\n",
		  "@:5: [bzip2] level: set twice, first in line 2" },
		/* The first error is told, whoever finds it. */
		{ "[bzip2]\nlevel\nlevel = 11\n",
		  "@:2: this is neither a [section], nor key = value, nor a "
		  "comment" },
		{ "[bzip2]\nlevel = 0\nlevel\n",
		  "@:2: [bzip2] level = 0: not allowed; a whole number from 1 "
		  "to 9" },
		{ "[bzip2\nlevel = 1\n", "@:1: the section has no ]" },
		{ "[bzip2] level = 1\n",
		  "@:1: there is something after the section's ]" },
		{ "[bzip2]\n= 1\n", "@:2: there is no name before the =" },
		{ "[file]\npath = \"a\n", "@:2: a quote is not closed" },
		{ "[file]\npath = \"a\" b\n",
		  "@:2: there is something after the quote" },
		{ "[file]\npath = ; /o\n",
		  "@:2: [file] path = : not allowed; a path" },
		{ "[general]\nadapter = ftp\n",
		  "@:2: [general] adapter = ftp: not allowed; one of file, s3" },
		{ "[general]\nhash = md5\n",
		  "@:2: [general] hash = md5: not allowed; one of sha256, sha1" },
		{ "[sqlite]\nbusy_timeout = 1ms\n",
		  "@:2: [sqlite] busy_timeout = 1ms: not allowed; seconds, or a "
		  "time such as 500ms, 10m or 1h, from 10ms to 10m" },
		{ "[mount]\nfile_mode = 999\n",
		  "@:2: [mount] file_mode = 999: not allowed; octal permission "
		  "bits from 0 to 0777" },
		{ "[mount]\nversions_dir = a/b\n",
		  "@:2: [mount] versions_dir = a/b: not allowed; a name of 1 to "
		  "255 bytes without /" },
		{ "[mount]\nthreads = 0\n",
		  "@:2: [mount] threads = 0: not allowed; a whole number of "
		  "threads from 1 to 1000" },
		{ "[cache]\nsize = big\n",
		  "@:2: [cache] size = big: not allowed; bytes, such as "
		  "1000000, 512M or 2T" },
		{ "[mount]\nread_only = maybe\n",
		  "@:2: [mount] read_only = maybe: not allowed; yes or no" },
		/* A wrong secret is not shown. */
		{ "[encryption]\nkey = 00ff\n",
		  "@:2: [encryption] key: not allowed; 64 hex digits" },
		{ "[encryption]\niv = " KEY "\n",
		  "@:2: [encryption] iv: not allowed; 32 hex digits" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		load_fails(cases[i].text, cases[i].want);
}

static void test_unreadable(void **state)
{
	struct fsp_config *c;
	char *error;

	(void)state;
	assert_int_equal(fsp_config_load(conf, NULL, 0, &c, &error), -ENOENT);
	assert_error(error, "@: No such file or directory");
	assert_int_equal(fsp_config_load(dir, NULL, 0, &c, &error), -EISDIR);
	free(error);
	put_bytes("[bzip2]\nlevel = 1\0\n", 19, 0600);
	assert_int_equal(fsp_config_load(conf, NULL, 0, &c, &error), -EINVAL);
	assert_error(error, "@:2: there is a NUL byte");
}

/* inih's own limit would cut a value and go on. */
static void test_long_lines(void **state)
{
	char path[9001] = "/", *text, *want;
	struct fsp_config *c;

	(void)state;
	memset(path + 1, 'p', 3999);
	text = fsp_strf("[file]\npath = %s\n[bzip2]\nlevel = 3\n", path);
	c = load(text);
	assert_string_equal(fsp_config_str(c, "file", "path"), path);
	assert_int_equal(fsp_config_int(c, "bzip2", "level"), 3);
	fsp_config_free(c);
	free(text);
	memset(path + 1, 'p', 8999);
	text = fsp_strf("# c\n[s3]\nprefix = %s\n", path);
	want = fsp_strf("%s:3: the line is too long", conf);
	load_fails(text, want);
	free(text);
	free(want);
}

static void test_paths(void **state)
{
	static const char *const option = "spool.path=s/p";
	struct fsp_config *c;
	char *error, *want = fsp_strf("%s/sub/o", dir);

	(void)state;
	put("[file]\npath = sub/o\n[cache]\npath = /var/c\n");
	/* A relative name of the file gives absolute paths all the same. */
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(fsp_config_load("x.conf", &option, 1, &c, &error), 0);
	assert_string_equal(fsp_config_file(c), conf);
	assert_string_equal(fsp_config_str(c, "file", "path"), want);
	assert_string_equal(fsp_config_str(c, "cache", "path"), "/var/c");
	free(want);
	want = fsp_strf("%s/s/p", dir);
	assert_string_equal(fsp_config_str(c, "spool", "path"), want);
	free(want);
	want = fsp_strf("%s/meta.db", dir);
	assert_string_equal(fsp_config_str(c, "sqlite", "path"), want);
	free(want);
	fsp_config_free(c);
}

/* options, environment, origins */

static void test_options(void **state)
{
	static const char *const options[] = { "bzip2.level=2",
		                               "bzip2.level=3" };
	struct fsp_config *c;

	(void)state;
	put("[bzip2]\nlevel = 1\n");
	c = load_with(options, 2);
	assert_int_equal(fsp_config_int(c, "bzip2", "level"), 3);
	fsp_config_free(c);
	option_fails("bzip2.level=11", "-o bzip2.level=11: not allowed; a "
	             "whole number from 1 to 9");
	option_fails("bzip2.levl=1", "-o bzip2.levl: unknown setting (did you "
	             "mean bzip2.level?)");
	option_fails("zip2.level=1", "-o zip2.level: unknown section (did you "
	             "mean bzip2?)");
	option_fails("ro", "-o ro: a setting is given as section.key=value");
	option_fails("bzip2.level", "-o bzip2.level: a setting is given as "
	             "section.key=value");
	option_fails("ro=1", "-o ro: a setting is given as section.key=value");
	option_fails("encryption.key=" KEY,
	             "-o encryption.key: a secret cannot be given on the "
	             "command line, where others can see it; put it into the "
	             "configuration file or into the environment variable "
	             "FILESPACEFS_ENCRYPTION_KEY");
	/* A misspelt secret is not shown either. */
	option_fails("encryption.kee=" KEY, "-o encryption.kee: unknown "
	             "setting (did you mean encryption.key?)");
}

struct seen {
	struct fsp_buf text;
	int count;
};

static void note(void *arg, const struct fsp_param *p, const char *value,
                 const char *origin)
{
	struct seen *s = arg;

	s->count++;
	assert_non_null(value);
	assert_int_equal(fsp_buf_printf(&s->text, "\n%s.%s=%s (%s)\n",
	                                p->section, p->key, value, origin), 0);
}

static void test_origins(void **state)
{
	static const char *const option = "mount.threads=7";
	struct seen s = { FSP_BUF_INIT, 0 };
	struct fsp_config *c;
	uint8_t key[32];
	char *want;

	(void)state;
	setenv("FILESPACEFS_ENCRYPTION_KEY", KEY, 1);
	setenv("FILESPACEFS_ENCRYPTION_IV", "", 1);
	setenv("FILESPACEFS_S3_SECRET_KEY", "swordfish", 1);
	put("[encryption]\nkey = ffffffffffffffffffffffffffffffff"
	    "ffffffffffffffffffffffffffffffff\niv = " IV "\n"
	    "[mount]\nthreads = 5\nuid = 4\n");
	c = load_with(&option, 1);
	assert_int_equal(fsp_config_bytes(c, "encryption", "key", key), 0);
	assert_int_equal(key[0], 0);
	assert_string_equal(fsp_config_str(c, "s3", "secret_key"), "swordfish");

	fsp_config_each(c, note, &s);
	assert_non_null(strstr(s.text.data, "\nmount.threads=7 (command line)\n"));
	assert_non_null(strstr(s.text.data, "\nencryption.key=*** "
	                                    "($FILESPACEFS_ENCRYPTION_KEY)\n"));
	assert_non_null(strstr(s.text.data, "\ns3.secret_key=*** ("));
	assert_non_null(strstr(s.text.data, "\ns3.access_key= (default)\n"));
	assert_non_null(strstr(s.text.data, "\nbzip2.level=9 (default)\n"));
	want = fsp_strf("\nmount.uid=4 (%s:6)\n", conf);
	assert_non_null(strstr(s.text.data, want));
	free(want);
	want = fsp_strf("\nencryption.iv=*** (%s:3)\n", conf);
	assert_non_null(strstr(s.text.data, want));
	free(want);
	want = fsp_strf("\nfile.path=%s/objects (default)\n", dir);
	assert_non_null(strstr(s.text.data, want));
	free(want);
	assert_null(strstr(s.text.data, "swordfish"));
	assert_null(strstr(s.text.data, "a0a1"));
	assert_true(s.count > 30);
	fsp_buf_free(&s.text);
	fsp_config_free(c);

	setenv("FILESPACEFS_ENCRYPTION_KEY", "secret", 1);
	option_fails("bzip2.level=1", "$FILESPACEFS_ENCRYPTION_KEY: not "
	             "allowed; 64 hex digits");
}

static void test_file_mode(void **state)
{
	static const char text[] = "[bzip2]\nlevel = 1\n[encryption]\nkey = "
	                           KEY "\niv = " IV "\n";
	static const mode_t bad[] = { 0640, 0604, 0620, 0601, 0644 };
	struct fsp_config *c;
	char *error, *want;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		put_bytes(text, strlen(text), bad[i]);
		assert_int_equal(fsp_config_load(conf, NULL, 0, &c, &error),
		                 -EACCES);
		assert_null(c);
		want = fsp_strf("%s: holds a secret ([encryption] key) and its "
		                "mode is %04o, so that others may get at it; "
		                "run: chmod 0600 %s", conf, bad[i], conf);
		assert_error(error, want);
		free(want);
	}
	put_bytes(text, strlen(text), 0400);
	fsp_config_free(load_with(NULL, 0));
	put_bytes(text, 18, 0644);              /* without the secrets */
	fsp_config_free(load_with(NULL, 0));
}

static void check_fails(const char *text, const char *want)
{
	struct fsp_config *c = load(text);
	char *error;

	assert_int_equal(fsp_config_check(c, &error), -EINVAL);
	assert_error(error, want);
	fsp_config_free(c);
}

static void check_passes(const char *text)
{
	struct fsp_config *c = load(text);
	char *error;

	assert_int_equal(fsp_config_check(c, &error), 0);
	assert_null(error);
	fsp_config_free(c);
}

static void test_check(void **state)
{
	(void)state;
	check_fails("[encryption]\nmethod = aes-256-cbc\n",
	            "@: [encryption] method = aes-256-cbc needs key and iv; "
	            "put them into the configuration file or into the "
	            "environment variables FILESPACEFS_ENCRYPTION_KEY and "
	            "FILESPACEFS_ENCRYPTION_IV");
	check_fails("[encryption]\niv_mode = object\nkey = " KEY "\n",
	            "@: [encryption] key is set and iv is not; both belong "
	            "together");
	check_fails("[encryption]\nmethod = none\niv = " IV "\n",
	            "@: [encryption] iv is set and key is not; both belong "
	            "together");
	check_fails("[encryption]\nmethod = none\n[file]\npath = /o//\n"
	            "[cache]\npath = /o\n",
	            "@: [file] path and [cache] path are both /o//; each needs "
	            "a directory of its own");
	check_fails("[encryption]\nmethod = none\n[general]\nadapter = s3\n",
	            "@: [general] adapter = s3 needs [s3] bucketname");
	check_passes("[encryption]\nmethod = none\n[general]\nadapter = s3\n"
	             "[s3]\nbucketname = b\n");
	check_passes("[encryption]\nmethod = none\n");
	check_passes("[encryption]\nkey = " KEY "\niv = " IV "\n");
	check_passes("[encryption]\nmethod=none\nkey=" KEY "\niv=" IV "\n");
}

static void ask_unknown(void)
{
	struct fsp_config *c = with("bzip2.level=1");

	(void)fsp_config_int(c, "bzip2", "levle");
}

static void ask_wrong_type(void)
{
	struct fsp_config *c = with("bzip2.level=1");

	(void)fsp_config_str(c, "bzip2", "level");
}

static void test_wrong_question(void **state)
{
	static void (*const asks[])(void) = { ask_unknown, ask_wrong_type };
	const struct rlimit none = { 0, 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(asks); i++) {
		int status;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			signal(SIGABRT, SIG_DFL);
			setrlimit(RLIMIT_CORE, &none);
			dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
			asks[i]();
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGABRT);
	}
}

/* locate */

static void locates(const char *source, int want, const char *want_conf,
                    const char *want_dir)
{
	char *file, *store;

	assert_int_equal(fsp_config_locate(source, &file, &store), want);
	if (want_conf)
		assert_string_equal(file, want_conf);
	else
		assert_null(file);
	if (want_dir)
		assert_string_equal(store, want_dir);
	else
		assert_null(store);
	free(file);
	free(store);
}

static void test_locate(void **state)
{
	char *store = fsp_strf("%s/store", dir), *sub = fsp_strf("%s/", store);
	char *inside = fsp_strf("%s/filespacefs.conf", store);
	char *below = fsp_strf("%s/x", conf);

	(void)state;
	put("");
	locates(conf, 0, conf, NULL);
	locates(below, -ENOTDIR, below, NULL);
	/* A directory that is not there, and one that is no store yet. */
	locates(store, -ENOENT, inside, store);
	locates(sub, -ENOENT, inside, store);
	assert_int_equal(mkdir(store, 0700), 0);
	locates(store, -ENOENT, inside, store);
	close(open(inside, O_WRONLY | O_CREAT, 0600));
	locates(sub, 0, inside, store);

	/* Relative ones come absolute. */
	assert_int_equal(chdir(dir), 0);
	locates("store", 0, inside, store);
	locates("./store", 0, inside, store);
	locates("x.conf", 0, conf, NULL);
	assert_int_equal(chdir(store), 0);
	locates(".", 0, inside, store);

	locates("no-such-name", -ENOENT,
	        "/etc/filespacefs/no-such-name.conf", NULL);
	locates("", -EINVAL, NULL, NULL);
	free(store);
	free(sub);
	free(inside);
	free(below);
}

static void test_locate_default(void **state)
{
	char *home = getenv("HOME"), *old = home ? strdup(home) : NULL;
	char *xdg = fsp_strf("%s/filespacefs", dir);
	char *local = fsp_strf("%s/.local/share/filespacefs", dir);
	char *xdg_conf = fsp_strf("%s/filespacefs.conf", xdg);
	char *local_conf = fsp_strf("%s/filespacefs.conf", local);

	(void)state;
	if (access("/etc/filespacefs/filespacefs.conf", F_OK) == 0)
		skip();
	setenv("HOME", dir, 1);
	unsetenv("XDG_DATA_HOME");
	locates(NULL, -ENOENT, local_conf, local);
	setenv("XDG_DATA_HOME", "relative", 1);
	locates(NULL, -ENOENT, local_conf, local);
	setenv("XDG_DATA_HOME", dir, 1);
	locates(NULL, -ENOENT, xdg_conf, xdg);
	assert_int_equal(fsp_mkdirs(xdg, 0700), 0);
	close(open(xdg_conf, O_WRONLY | O_CREAT, 0600));
	locates(NULL, 0, xdg_conf, xdg);
	unsetenv("XDG_DATA_HOME");
	if (old)
		setenv("HOME", old, 1);
	free(old);
	free(xdg);
	free(local);
	free(xdg_conf);
	free(local_conf);
}

/* new stores */

static void in_store(void)
{
	snprintf(conf, sizeof(conf), "%s/a/s/filespacefs.conf", dir);
}

static void create(const char *const *options, int n)
{
	char *error, *store = fsp_strf("%s/a/s", dir);
	int err = fsp_config_create_store(store, options, n, &error);

	if (err)
		fail_msg("%s", error);
	assert_null(error);
	free(store);
}

static void create_fails(const char *option, int code, const char *want)
{
	char *error, *store = fsp_strf("%s/a/s", dir);

	assert_int_equal(fsp_config_create_store(store, &option, option ? 1 : 0,
	                                         &error), code);
	assert_error(error, want);
	free(store);
}

static void test_create(void **state)
{
	static const char *const options[] = {
		"file.path=my objects;", "bzip2.level=3", "bzip2.level=4",
		"spool.path=it's", "cache.path=a\"b", "s3.prefix=",
	};
	struct fsp_config *c;
	uint8_t key[32], iv[16], again[32], zero[32] = { 0 };
	struct stat st;
	char *error, *want;

	(void)state;
	in_store();
	create(options, 6);
	assert_int_equal(stat(conf, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	c = load_with(NULL, 0);
	assert_int_equal(fsp_config_check(c, &error), 0);
	assert_int_equal(fsp_config_int(c, "bzip2", "level"), 4);
	want = fsp_strf("%s/a/s/my objects;", dir);
	assert_string_equal(fsp_config_str(c, "file", "path"), want);
	free(want);
	want = fsp_strf("%s/a/s/it's", dir);
	assert_string_equal(fsp_config_str(c, "spool", "path"), want);
	free(want);
	want = fsp_strf("%s/a/s/a\"b", dir);
	assert_string_equal(fsp_config_str(c, "cache", "path"), want);
	free(want);
	assert_string_equal(fsp_config_str(c, "s3", "prefix"), "");
	assert_int_equal(fsp_config_bytes(c, "encryption", "key", key), 0);
	assert_int_equal(fsp_config_bytes(c, "encryption", "iv", iv), 0);
	assert_memory_not_equal(key, zero, 32);
	assert_memory_not_equal(key, iv, 16);
	fsp_config_free(c);

	/* The key of a store that is there is never replaced. */
	create_fails(NULL, -EEXIST, "@: File exists");
	c = load_with(NULL, 0);
	assert_int_equal(fsp_config_bytes(c, "encryption", "key", again), 0);
	assert_memory_equal(again, key, 32);
	fsp_config_free(c);
	assert_int_equal(unlink(conf), 0);
	create(NULL, 0);
	c = load_with(NULL, 0);
	assert_int_equal(fsp_config_bytes(c, "encryption", "key", again), 0);
	assert_memory_not_equal(again, key, 32);
	fsp_config_free(c);
}

static void test_create_keys(void **state)
{
	static const char *const none = "encryption.method=none";
	struct fsp_buf text = FSP_BUF_INIT;
	struct fsp_config *c;
	uint8_t key[32];

	(void)state;
	in_store();
	create(&none, 1);
	c = load_with(NULL, 0);
	assert_int_equal(fsp_config_bytes(c, "encryption", "key", key),
	                 -ENOENT);
	fsp_config_free(c);
	assert_int_equal(unlink(conf), 0);

	setenv("FILESPACEFS_ENCRYPTION_KEY", KEY, 1);
	setenv("FILESPACEFS_ENCRYPTION_IV", IV, 1);
	setenv("FILESPACEFS_S3_SECRET_KEY", "swordfish", 1);
	create(NULL, 0);
	assert_int_equal(fsp_read_file(conf, &text, 10000), 0);
	assert_non_null(strstr(text.data, "\niv = " IV "\n"));
	assert_non_null(strstr(text.data, "\nkey = 0001020304"));
	assert_null(strstr(text.data, "swordfish"));
	fsp_buf_free(&text);
}

static void test_create_refused(void **state)
{
	(void)state;
	in_store();
	create_fails("bzip2.level=11", -EINVAL,
	             "-o bzip2.level=11: not allowed; a whole number from 1 to "
	             "9");
	create_fails("file.path=a\nb", -EINVAL,
	             "-o file.path: not allowed in a new store; at most 4096 "
	             "bytes without control characters and without both kinds "
	             "of quotes");
	create_fails("file.path=a\"'", -EINVAL,
	             "-o file.path: not allowed in a new store; at most 4096 "
	             "bytes without control characters and without both kinds "
	             "of quotes");
	/* Nothing was made. */
	assert_int_equal(access(conf, F_OK), -1);
	setenv("FILESPACEFS_ENCRYPTION_KEY", "x", 1);
	create_fails(NULL, -EINVAL, "$FILESPACEFS_ENCRYPTION_KEY: not allowed; "
	             "64 hex digits");
}

/* texts */

static char *printed(void (*f)(FILE *))
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	f(out);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void assert_width(const char *text, size_t max)
{
	while (*text) {
		size_t len = strcspn(text, "\n");

		if (len > max)
			fail_msg("%zu columns: %.*s", len, (int)len, text);
		text += len + (text[len] == '\n');
	}
}

/* With every # before a setting removed, the sample gives the defaults. */
static void test_sample(void **state)
{
	char *text = printed(fsp_config_print_sample), *s;
	struct fsp_config *c;

	(void)state;
	assert_width(text, 79);
	c = load(text);
	fsp_config_free(c);
	for (s = strstr(text, "\n#"); s; s = strstr(s + 1, "\n#")) {
		const char *end = strchr(s + 1, '\n');

		if (s[2] != ' ' && s[2] != '\n' && end[-1] != '=')
			s[1] = ' ';
	}
	assert_non_null(strstr(text, "\n level = 9\n"));
	assert_non_null(strstr(text, "\n#key =\n"));
	c = load(text);
	assert_int_equal(fsp_config_int(c, "bzip2", "level"), 9);
	fsp_config_free(c);
	free(text);
}

static void test_texts_complete(void **state)
{
	char *sample = printed(fsp_config_print_sample);
	char *help = printed(fsp_config_print_help);
	char *man = printed(fsp_config_print_man);

	(void)state;
	assert_width(help, 80);
	assert_width(man, 80);
	for (const struct fsp_param *p = fsp_params; p->section; p++) {
		char *in_help = fsp_strf("\n  %s.%s\n", p->section, p->key);
		char *in_man = fsp_strf("\n.It Cm %s\n", p->key);
		char *in_sample = fsp_strf("\n#%s =", p->key);
		size_t len = strlen(p->text);

		assert_non_null(strstr(help, in_help));
		assert_non_null(strstr(man, in_man));
		assert_non_null(strstr(sample, in_sample));
		assert_int_equal(p->text[len - 1], '.');
		assert_true(!p->secret || !p->dflt);
		free(in_help);
		free(in_man);
		free(in_sample);
	}
	free(sample);
	free(help);
	free(man);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_defaults),       TEST(test_int),
		TEST(test_size),           TEST(test_duration),
		TEST(test_words),          TEST(test_file),
		TEST(test_no_guess),
		TEST(test_file_errors),    TEST(test_unreadable),
		TEST(test_long_lines),     TEST(test_paths),
		TEST(test_options),        TEST(test_origins),
		TEST(test_file_mode),      TEST(test_check),
		TEST(test_wrong_question), TEST(test_locate),
		TEST(test_locate_default), TEST(test_create),
		TEST(test_create_keys),    TEST(test_create_refused),
		TEST(test_sample),         TEST(test_texts_complete),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
