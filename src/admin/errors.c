/* Errors in words that say what to do. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "fsp_admin.h"
#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "text.h"

static const struct {
	int err;
	const char *text;
} explained[] = {
	{ EHOSTDOWN, "a server of the store does not answer; "
	             "try again when it is up" },
	{ ETIMEDOUT, "no answer in time; the store or its database is busy or "
	             "unreachable, try again" },
	{ EIO, "damaged data or a failing disk; the lines before this one or "
	       "the system log say which" },
	{ ENOSPC, "no space left; make room where the store is" },
	{ EDQUOT, "the quota is used up; raise it or make room" },
	{ EROFS, "the store is read-only here; 'filespacectl schema check' says "
	         "whether it must be upgraded to be written to" },
	{ EACCES, "permission denied; run this as the owner of the store or as "
	          "root" },
	{ EPERM, "not permitted; run this as the owner of the store or as root" },
	{ ENOENT, "there is no such file or directory; check the path" },
	{ EEXIST, "it exists already; choose another name" },
	{ EISDIR, "it is a directory; name a file" },
	{ ENOTDIR, "a part of the path is a file, not a directory; "
	           "check the path" },
	{ ENAMETOOLONG, "the name is too long; names have at most 255 bytes" },
	{ ENODATA, "check the name of the database; 'filespacectl schema "
	           "upgrade' makes the tables of a new store" },
	{ EINVAL, "this cannot be a path in the store; check it" },
	{ ENOMEM, "out of memory; free some and try again" },
	{ EPROTO, "the store was written by a newer version of this program; "
	          "upgrade the program" },
	{ ENOLCK, "the lock under which it was written was lost, since the "
	          "database could not be reached for longer than mount.lease; "
	          "read the file again and repeat the change" },
	{ EAGAIN, "it was changed at the same time; try again" },
	{ ESTALE, "it was removed or replaced at the same time; try again" },
	{ EBUSY, "it is in use; try again later" },
	{ EMFILE, "too many open files; raise the limit (ulimit -n)" },
	{ ENFILE, "too many open files on this machine; close some" },
	{ EFBIG, "too large for the filesystem that it is written to; "
	         "choose another" },
	{ EPIPE, "the reader of the output has gone" },
	{ EINTR, "interrupted; start it again" },
};

const char *fsp_admin_explain(int err)
{
	for (size_t i = 0; i < sizeof(explained) / sizeof(explained[0]); i++)
		if (explained[i].err == -err)
			return explained[i].text;
	return strerror(-err);
}

int fsp_admin_fail(struct fsp_admin *a, int err, const char *fmt, ...)
{
	FSP_FREE char *raw = NULL;
	FSP_FREE char *what = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&raw, fmt, ap) < 0)
		raw = NULL;
	va_end(ap);
	/* What was asked for holds names, which may hold anything. */
	if (raw)
		what = fsp_text_visible(raw);
	fprintf(a->err, "filespacectl: %s%s%s\n", what ? what : fmt,
	        err ? ": " : "", err ? fsp_admin_explain(err) : "");
	return FSP_EXIT_FAILED;
}
