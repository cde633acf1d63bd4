/* Extended attributes. */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The user attributes, sorted; others are the system's affair. */
static void attributes(const char *path)
{
	char buf[4096], text[1024] = "", *names[64];
	ssize_t len = llistxattr(path, buf, sizeof(buf));
	size_t count = 0;

	for (char *p = buf; p < buf + len && count < COUNT(names);
	     p += strlen(p) + 1)
		if (strncmp(p, "user.", 5) == 0 || strncmp(p, "trusted.", 8) == 0)
			names[count++] = p;
	qsort(names, count, sizeof(*names), by_name);
	for (size_t i = 0; i < count; i++) {
		strncat(text, " ", sizeof(text) - strlen(text) - 1);
		strncat(text, names[i], sizeof(text) - strlen(text) - 1);
	}
	if (len < 0)
		step(label("attributes of %s", path), -1);
	else
		say(label("attributes of %s", path), "%s", text);
}

static void basic(void)
{
	char buf[64] = "";
	int fd;

	file("f", "x");
	dir("d");
	OK(setxattr("f", "user.a", "value", 5, 0));
	C(getxattr("f", "user.a", buf, sizeof(buf)));
	say("value", "%s", buf);
	C(getxattr("f", "user.a", NULL, 0));
	C(getxattr("f", "user.a", buf, 3));
	C(getxattr("f", "user.none", buf, 64));
	OK(setxattr("f", "user.a", "v2", 2, XATTR_CREATE));
	OK(setxattr("f", "user.a", "v2", 2, XATTR_REPLACE));
	C(getxattr("f", "user.a", buf, sizeof(buf)));
	OK(setxattr("f", "user.b", "", 0, XATTR_REPLACE));
	OK(setxattr("f", "user.b", "", 0, XATTR_CREATE));
	C(getxattr("f", "user.b", buf, sizeof(buf)));
	OK(setxattr("f", "user.b", "x", 1, 3));
	OK(setxattr("f", "user.b", "x", 1, 8));
	attributes("f");
	C(listxattr("f", buf, 1));
	OK(removexattr("f", "user.b"));
	OK(removexattr("f", "user.b"));
	attributes("f");
	OK(setxattr("d", "user.dir", "1", 1, 0));
	attributes("d");
	fd = open("f", O_RDONLY);
	OK(fsetxattr(fd, "user.c", "\0\1\2", 3, 0));
	C(fgetxattr(fd, "user.c", buf, sizeof(buf)));
	OK(fremovexattr(fd, "user.a"));
	close(fd);
	OK(rename("f", "g"));
	attributes("g");
	OK(link("g", "h"));
	OK(setxattr("h", "user.d", "1", 1, 0));
	attributes("g");
	file("g", "written anew");
	attributes("h");
	content("g");
}

static void limits(void)
{
	static char big[70000];
	char name[300];

	file("f", "x");
	OK(setxattr("f", "user.", "x", 1, 0));
	OK(setxattr("f", "user", "x", 1, 0));
	OK(setxattr("f", "", "x", 1, 0));
	OK(setxattr("f", "nospace.x", "x", 1, 0));
	OK(getxattr("f", "nospace.x", big, 1));
	memset(name, 'n', sizeof(name));
	memcpy(name, "user.", 5);
	name[255] = '\0';
	OK(setxattr("f", name, "x", 1, 0));
	name[255] = 'n';
	name[256] = '\0';
	OK(setxattr("f", name, "x", 1, 0));
	OK(getxattr("f", name, big, 1));
	OK(removexattr("f", name));
	OK(setxattr("f", "user.big", big, 2000, 0));
	OK(setxattr("f", "user.big", big, 65537, 0));
	C(getxattr("f", "user.big", big, sizeof(big)));
	OK(setxattr("missing", "user.x", "x", 1, 0));
	OK(setxattr("f/x", "user.x", "x", 1, 0));
	C(getxattr("missing", "user.x", big, 1));
	C(listxattr("missing", big, 1));
	OK(removexattr("missing", "user.x"));
}

static void others(void)
{
	file("f", "x");
	link_to("f", "l");
	OK(mkfifo("p", 0666));
	OK(lsetxattr("l", "user.x", "x", 1, 0));
	OK(setxattr("l", "user.x", "x", 1, 0));
	C(lgetxattr("l", "user.x", NULL, 0));
	attributes("l");
	attributes("f");
	OK(setxattr("p", "user.x", "x", 1, 0));
	C(getxattr("p", "user.x", NULL, 0));
	OK(setxattr("f", "trusted.x", "t", 1, 0));
	C(getxattr("f", "trusted.x", NULL, 0));
	attributes("f");
	C(getxattr("f", "security.capability", NULL, 0));
	C(getxattr("f", "system.posix_acl_access", NULL, 0));
}

/* What setfacl -m u:1001:rw writes; the mode stays 0644 under this mask. */
static const unsigned char acl[] = {
	2, 0, 0, 0,
	1, 0, 6, 0, 255, 255, 255, 255,         /* owner */
	2, 0, 6, 0, 0xe9, 3, 0, 0,              /* user 1001 */
	4, 0, 4, 0, 255, 255, 255, 255,         /* group */
	16, 0, 4, 0, 255, 255, 255, 255,        /* mask */
	32, 0, 4, 0, 255, 255, 255, 255,        /* others */
};

static void acls(void)
{
	const char *const names[] = { "system.posix_acl_access",
		                      "system.posix_acl_default" };

	file("f", "x");
	dir("d");
	for (size_t n = 0; n < COUNT(names); n++) {
		const char *path = n ? "d" : "f";

		say("now", "%s", names[n]);
		OK(setxattr(path, names[n], "x", 1, 0));
		OK(setxattr(path, names[n], acl, sizeof(acl), 0));
		C(getxattr(path, names[n], NULL, 0));
		stat_of(path);
		OK(removexattr(path, names[n]));
		OK(removexattr(path, names[n]));
		attributes(path);
	}
	OK(setxattr("missing", names[0], acl, sizeof(acl), 0));
	OK(removexattr("missing", names[0]));
}

static void by_users(void)
{
	for (int who = ROOT; who <= BOB; who++) {
		become(ROOT);
		file("f", "x");
		OK(setxattr("f", "user.x", "x", 1, 0));
		OK(chown("f", 1001, 2000));
		OK(chmod("f", 0640));
		dir("s");
		OK(chmod("s", 01777));
		become(who);
		say("as", "%s", who_name[who]);
		OK(setxattr("f", "user.y", "y", 1, 0));
		C(getxattr("f", "user.x", NULL, 0));
		OK(removexattr("f", "user.x"));
		OK(setxattr("s", "user.y", "y", 1, 0));
		OK(setxattr("f", "trusted.y", "y", 1, 0));
		C(getxattr("f", "trusted.y", NULL, 0));
		attributes("f");
		become(ROOT);
		OK(wipe(".", false));
	}
}

static void times(void)
{
	file("f", "x");
	snap("f");
	OK(setxattr("f", "user.a", "1", 1, 0));
	changed("setxattr", "f");
	C(getxattr("f", "user.a", NULL, 0));
	changed("getxattr", "f");
	OK(removexattr("f", "user.a"));
	changed("removexattr", "f");
}

const struct posix_case cases_xattr[] = {
	{ "xattr", basic, AT_ALL },
	{ "xattr_limits", limits, 0 },
	{ "xattr_others", others, AS_ROOT },
	{ "acls", acls, 0 },
	{ "xattr_by", by_users, AS_ROOT },
	{ "xattr_times", times, 0 },
	{ NULL, NULL, 0 },
};
