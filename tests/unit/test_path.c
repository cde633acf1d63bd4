/* Paths to keys and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "fsp_path.h"

static void to_key(const char *path, const char *space, const char *dir)
{
	struct fsp_dirkey k;

	assert_int_equal(fsp_path_dirkey(path, &k), 0);
	assert_string_equal(k.space, space);
	assert_string_equal(k.dir, dir);
	fsp_dirkey_free(&k);
}

static void no_path(const char *path, int err)
{
	struct fsp_dirkey k;

	assert_int_equal(fsp_path_dirkey(path, &k), err);
	assert_null(k.space);
	assert_null(k.dir);
}

static void of_row(const char *space, const char *file, const char *path)
{
	char *p;

	assert_int_equal(fsp_path_of_row(space, file, &p), 0);
	assert_string_equal(p, path);
	free(p);
}

static void hidden(const char *space, const char *file)
{
	char *p;

	assert_int_equal(fsp_path_of_row(space, file, &p), -EINVAL);
	assert_null(p);
}

static void test_dirkey(void **state)
{
	(void)state;
	to_key("", "", "");
	to_key("A", "A", "");
	to_key("A/T", "A.T", "");
	to_key("A/T/R", "A.T.R", "");
	to_key("A/T/R/s", "A.T.R", "s");
	to_key("A/T/R/s/d", "A.T.R", "s/d");
	to_key("a.b/c%d/e.f%2E", "a%2Eb.c%25d.e.f%2E", "");
	to_key("%2E/%25/x", "%252E.%2525.x", "");
	to_key("A/T/R/s.x%/..d", "A.T.R", "s.x%/..d");
	to_key("caf\xe9 /\xff/ ", "caf\xe9 .\xff. ", "");
	to_key("...", "%2E%2E%2E", "");
	to_key("..a/.b/...", "%2E%2Ea.%2Eb....", "");
}

static void test_bad_paths(void **state)
{
	static const char *const bad[] = {
		"/", "/A", "A/", "A//T", ".", "..", "A/.", "A/T/R/..",
		"A/T/R/./x", "A/T/R/x/"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		no_path(bad[i], -EINVAL);
}

static void test_limits(void **state)
{
	char name[FSP_NAME_MAX + 2], path[FSP_PATH_MAX + 1];
	struct fsp_dirkey k;
	char *p;

	(void)state;
	memset(name, '.', sizeof(name));
	name[FSP_NAME_MAX] = '\0';
	assert_int_equal(fsp_path_dirkey(name, &k), 0);
	assert_int_equal(strlen(k.space), 3 * FSP_NAME_MAX);
	assert_int_equal(fsp_path_of_space(k.space, &p), 0);
	assert_string_equal(p, name);
	free(p);
	fsp_dirkey_free(&k);
	name[FSP_NAME_MAX] = 'x';
	name[FSP_NAME_MAX + 1] = '\0';
	no_path(name, -ENAMETOOLONG);
	hidden("", name);
	hidden("A.T.R", name);
	hidden(name, "f");

	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = i % 2 ? '/' : 'a';
	path[FSP_PATH_MAX - 1] = '\0';
	assert_int_equal(fsp_path_dirkey(path, &k), 0);
	assert_int_equal(strlen(k.dir), FSP_PATH_MAX - 1 - 6);
	/* a.a.a and that is one row too long with a name more */
	assert_int_equal(fsp_path_of_row("a.a.a", k.dir, &p), 0);
	assert_string_equal(p, path);
	free(p);
	hidden("a.a.ab", k.dir);
	fsp_dirkey_free(&k);
	path[FSP_PATH_MAX - 1] = 'b';
	path[FSP_PATH_MAX] = '\0';
	no_path(path, -ENAMETOOLONG);
}

static void test_of_row(void **state)
{
	(void)state;
	of_row("", "f", "f");
	of_row("A", "f", "A/f");
	of_row("A.T", "f", "A/T/f");
	of_row("A.T.R", "f", "A/T/R/f");
	of_row("A.T.R.S", "f", "A/T/R.S/f");
	of_row("A.T.R", "sub/dir/f", "A/T/R/sub/dir/f");
	of_row("a%2Eb.c%25d.e%2E", "%41", "a.b/c%d/e%2E/%41");
	of_row("globex.project.2015.q1", "n.txt", "globex/project/2015.q1/n.txt");
	of_row("A.T.R.", ".x", "A/T/R./.x");
}

static void test_hidden(void **state)
{
	static const char *const bad[][2] = {
		{ "", "" }, { "", "a/b" }, { "A", "T/f" }, { "A.T", "R/f" },
		{ "A.T.R", "" }, { "A.T.R", "/f" }, { "A.T.R", "f/" },
		{ "A.T.R", "a//b" }, { "A.T.R", "." }, { "A.T.R", "a/.." },
		{ "A.T.R/x", "f" }, { "A/x", "f" }, { "A.T/x.R", "f" },
		{ ".", "f" }, { "..", "f" }, { ".T.R", "f" }, { "A..R", "f" },
		{ "A.T.", "f" }, { "A.", "f" }, { "A.T..", "f" },
		{ "A.T...", "f" }, { "%2E.T.R", "f" }, { "%2E%2E", "f" },
		{ "A%", "f" }, { "A%2", "f" }, { "A%2e.T.R", "f" },
		{ "A%41.T.R", "f" }, { "A.%.R", "f" }, { "A.%2F.R", "f" },
		{ "A%00", "f" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		hidden(bad[i][0], bad[i][1]);
}

static void test_of_space(void **state)
{
	char *p;

	(void)state;
	assert_int_equal(fsp_path_of_space("", &p), 0);
	assert_string_equal(p, "");
	free(p);
	assert_int_equal(fsp_path_of_space("a%2Eb.T.R.x%", &p), 0);
	assert_string_equal(p, "a.b/T/R.x%");
	free(p);
	assert_int_equal(fsp_path_of_space("a%2eb", &p), -EINVAL);
	assert_int_equal(fsp_path_of_space("A.T.a/b", &p), -EINVAL);
	assert_int_equal(fsp_path_of_space("A.T..", &p), -EINVAL);
}

/* Every path of a few nasty bytes survives the way there and back. */
static void test_round_trip(void **state)
{
	static const char bytes[] = ".%/a2E\xe9 ";
	size_t n = sizeof(bytes) - 1, total = n * n * n * n * n * n;
	unsigned valid = 0;

	(void)state;
	for (size_t i = 0; i < total; i++) {
		struct fsp_dirkey k;
		char path[7], *back;
		size_t v = i;

		for (int j = 0; j < 6; j++, v /= n)
			path[j] = bytes[v % n];
		path[6] = '\0';
		if (fsp_path_dirkey(path, &k))
			continue;
		valid++;
		if (*k.dir)
			assert_int_equal(fsp_path_of_row(k.space, k.dir,
			                                 &back), 0);
		else
			assert_int_equal(fsp_path_of_space(k.space, &back), 0);
		assert_string_equal(back, path);
		free(back);
		fsp_dirkey_free(&k);
	}
	assert_true(valid > 100000);
}

/* And every key is either hidden or the canonical one of its path. */
static void test_canonical(void **state)
{
	static const char bytes[] = ".%/a2E";
	size_t n = sizeof(bytes) - 1, total = n * n * n * n * n * n * n;

	(void)state;
	for (size_t i = 0; i < total; i++) {
		struct fsp_dirkey k;
		char space[8], *path;
		size_t v = i;

		for (int j = 0; j < 7; j++, v /= n)
			space[j] = bytes[v % n];
		space[7] = '\0';
		if (fsp_path_of_space(space, &path))
			continue;
		assert_int_equal(fsp_path_dirkey(path, &k), 0);
		assert_string_equal(k.space, space);
		assert_string_equal(k.dir, "");
		fsp_dirkey_free(&k);
		free(path);
	}
}

static void test_split(void **state)
{
	char *dir, *name, *joined;

	(void)state;
	assert_int_equal(fsp_path_split("", &dir, &name), -EINVAL);
	assert_int_equal(fsp_path_split("a", &dir, &name), 0);
	assert_string_equal(dir, "");
	assert_string_equal(name, "a");
	joined = fsp_path_join(dir, name);
	assert_string_equal(joined, "a");
	free(joined);
	free(dir);
	free(name);
	assert_int_equal(fsp_path_split("a/b/c", &dir, &name), 0);
	assert_string_equal(dir, "a/b");
	assert_string_equal(name, "c");
	joined = fsp_path_join(dir, name);
	assert_string_equal(joined, "a/b/c");
	free(joined);
	free(dir);
	free(name);
}

static void test_names(void **state)
{
	char name[300];

	(void)state;
	memset(name, 'a', sizeof(name));
	assert_true(fsp_name_valid(name, 255));
	assert_false(fsp_name_valid(name, 256));
	assert_false(fsp_name_valid(name, 0));
	assert_false(fsp_name_valid(".", 1));
	assert_false(fsp_name_valid("..", 2));
	assert_true(fsp_name_valid("...", 3));
	assert_true(fsp_name_valid(".a", 2));
	assert_true(fsp_name_valid("a.", 2));
	assert_false(fsp_name_valid("a/b", 3));
	assert_false(fsp_name_valid("a\0b", 3));
	assert_true(fsp_name_valid(" ", 1));
	assert_true(fsp_name_valid("\xff\xfe", 2));
	assert_true(fsp_name_valid("\n", 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dirkey),
		cmocka_unit_test(test_bad_paths),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_of_row),
		cmocka_unit_test(test_hidden),
		cmocka_unit_test(test_of_space),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_canonical),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("path", tests, NULL, NULL);
}
