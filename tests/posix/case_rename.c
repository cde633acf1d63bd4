/* rename, renameat2. */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const paths[] = {
	"missing", "file", "other", "hard", "dir", "full", "tofile", "todir",
	"dangling", "fifo", "full/in", "full/sub", "full/new", "file/", "dir/",
	"missing/", "todir/", "file/x", "missing/x", "", ".", "..", "full/.",
	"dir/..",
};

static void targets(void)
{
	file("file", "file");
	file("other", "other");
	if (link("file", "hard"))
		step("link", -1);
	dir("dir");
	dir("full");
	file("full/in", "in");
	dir("full/sub");
	link_to("file", "tofile");
	link_to("full", "todir");
	link_to("nothing", "dangling");
	if (mkfifo("fifo", 0644))
		step("mkfifo", -1);
}

static void all_pairs(unsigned flags, const char *name)
{
	targets();
	for (size_t a = 0; a < COUNT(paths); a++) {
		for (size_t b = 0; b < COUNT(paths); b++) {
			int rc;

			if (left_out())
				continue;
			rc = renameat2(AT_FDCWD, paths[a], AT_FDCWD, paths[b],
			               flags);
			step(label("%s %s -> %s", name, paths[a], paths[b]), rc);
			if (rc)
				continue;
			tree(".");
			if (wipe(".", false))
				step("wipe", -1);
			targets();
		}
	}
	/* Nothing that failed has left anything behind. */
	tree(".");
	if (wipe(".", false))
		step("wipe", -1);
}

static void matrix(void) { all_pairs(0, "rename"); }
static void noreplace(void) { all_pairs(RENAME_NOREPLACE, "noreplace"); }
static void exchange(void) { all_pairs(RENAME_EXCHANGE, "exchange"); }

static int rename2(const char *a, const char *b, unsigned flags)
{
	return renameat2(AT_FDCWD, a, AT_FDCWD, b, flags);
}

static void flags(void)
{
	file("a", "a");
	file("b", "b");
	OK(rename2("a", "b", 0x80));
	OK(rename2("a", "b", RENAME_NOREPLACE | RENAME_EXCHANGE));
	OK(rename2("a", "b", RENAME_WHITEOUT | RENAME_EXCHANGE));
	OK(renameat(-1, "a", AT_FDCWD, "b"));
	OK(renameat(AT_FDCWD, "a", -1, "b"));
	tree(".");
}

static void whiteout(void)
{
	file("a", "a");
	OK(rename2("a", "c", RENAME_WHITEOUT));
	tree(".");
}

/* Everything below goes along, and may be used at once. */
static void trees(void)
{
	char name[64];

	dir("a");
	dir("a/b");
	dir("a/b/c");
	file("a/f", "1");
	file("a/b/f", "2");
	file("a/b/c/f", "3");
	link_to("../f", "a/b/l");
	dir("x");
	OK(rename("a", "x/a"));
	tree(".");
	OK(rename("x/a/b", "b"));
	file("b/c/f", "33");
	file("b/new", "n");
	tree(".");
	OK(rename("x", "b/c/x"));
	OK(rename("b", "b/c/x/b"));
	OK(rename("b/c/x/a/f", "b/f"));
	tree(".");
	OK(rename("b/c", "c"));
	OK(rename("c/x/a", "c/x"));
	OK(rename("c/x/a", "b"));
	tree(".");
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "c%d", i % 2);
		if (rename(i ? label("c%d", (i + 1) % 2) : "c", name))
			step("rename", -1);
	}
	tree(".");
	OK(rename2("b", "c1", RENAME_EXCHANGE));
	tree(".");
	content("c1/f");
}

/* Up and down between the levels of the tree. */
static void levels(void)
{
	dir("a");
	dir("a/b");
	dir("a/b/c");
	dir("a/b/c/d");
	dir("a/b/c/d/e");
	file("a/b/c/d/e/f", "deepest");
	OK(rename("a/b/c/d/e/f", "f"));
	OK(rename("f", "a/b/f"));
	OK(rename("a/b/f", "a/f"));
	OK(rename("a/b/c/d", "d"));
	OK(rename("a", "d/e/a"));
	tree(".");
	OK(rename("d/e", "e"));
	OK(rename("e/a/b", "b"));
	OK(rename("b/c", "e/a/c"));
	file("e/a/c/g", "g");
	tree(".");
	OK(link("e/a/c/g", "g"));
	OK(link("g", "b/g"));
	OK(rename("e", "b/e"));
	file("g", "through one name");
	content("b/e/a/c/g");
	OK(symlink("b/e/a", "s"));
	OK(rename("s", "b/s"));
	OK(mkfifo("p", 0600));
	OK(rename("p", "b/e/p"));
	tree(".");
}

static void case_and_odd_names(void)
{
	static const char *const odd[] = {
		"a", "A", "a ", " a", "a.", "a..b", "...", "a%2E", "%", "%41",
		"\xc3\xa4", "\xc3\x84", "a\xcc\x88", "\xff", "new\nline", "tab\t",
		"*", "?", "\\", "'", "\"", "-", "--", "~", "#", "a;b", "a:b",
		"a|b", "CON", "\x01", "\x7f",
	};

	for (size_t i = 0; i < COUNT(odd); i++)
		file(odd[i], label("content %zu", i));
	list(".");
	for (size_t i = 0; i < COUNT(odd); i++)
		content(odd[i]);
	for (size_t i = 0; i < COUNT(odd); i++)
		step_ok("rename", rename(odd[i], "tmp") ||
		        mkdir(odd[i], 0755) || rename("tmp", label("%s/in", odd[i])));
	tree(".");
	OK(rename("a", "B"));
	OK(rename("A", "b"));
	tree(".");
}

const struct posix_case cases_rename[] = {
	{ "rename_matrix", matrix, AT_ALL },
	{ "rename_noreplace", noreplace, AT_ALL },
	{ "rename_exchange", exchange, AT_ALL },
	{ "rename_flags", flags, AT_ALL },
	{ "rename_whiteout", whiteout, AS_ROOT },
	{ "rename_trees", trees, AT_ALL },
	{ "rename_levels", levels, AT_ALL },
	{ "names_odd", case_and_odd_names, AT_ALL },
	{ NULL, NULL, 0 },
};
