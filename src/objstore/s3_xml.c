/* Documents from the server, element by element. */
#include "s3_xml.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <expat.h>

#include "fsp_buf.h"

#define MAX_DEPTH 16
#define MAX_PATH 512
#define MAX_TEXT 8192

struct xml {
	XML_Parser parser;
	s3_xml_each each;
	void *arg;
	char path[MAX_PATH];
	size_t path_len;
	int depth;
	struct fsp_buf text;            /* of the innermost open element */
	int rc;
};

static void stop(struct xml *x, int rc)
{
	if (!x->rc)
		x->rc = rc;
	/* Only fails when it has been stopped before. */
	(void)XML_StopParser(x->parser, XML_FALSE);
}

static void on_start(void *arg, const XML_Char *name, const XML_Char **attrs)
{
	struct xml *x = arg;
	size_t len = strlen(name);

	(void)attrs;
	if (x->rc)
		return;
	if (++x->depth > MAX_DEPTH || x->path_len + len + 2 > MAX_PATH) {
		stop(x, -EIO);
		return;
	}
	if (x->path_len)
		x->path[x->path_len++] = '/';
	memcpy(x->path + x->path_len, name, len + 1);
	x->path_len += len;
	fsp_buf_reset(&x->text);
}

static void on_end(void *arg, const XML_Char *name)
{
	struct xml *x = arg;
	size_t len = strlen(name);
	int rc;

	if (x->rc)
		return;
	rc = x->each(x->arg, x->path, x->text.data ? x->text.data : "");
	if (rc)
		stop(x, rc);
	x->depth--;
	x->path_len -= len;
	if (x->path_len)
		x->path_len--;
	x->path[x->path_len] = '\0';
	fsp_buf_reset(&x->text);
}

static void on_text(void *arg, const XML_Char *s, int len)
{
	struct xml *x = arg;
	int rc;

	if (x->rc)
		return;
	rc = x->text.len + (size_t)len > MAX_TEXT
	             ? -EIO : fsp_buf_add(&x->text, s, (size_t)len);
	if (rc)
		stop(x, rc);
}

static void on_doctype(void *arg, const XML_Char *name, const XML_Char *sysid,
                       const XML_Char *pubid, int internal)
{
	(void)name;
	(void)sysid;
	(void)pubid;
	(void)internal;
	stop(arg, -EIO);
}

int s3_xml_parse(const void *doc, size_t len, s3_xml_each each, void *arg)
{
	struct xml x = { .each = each, .arg = arg };
	enum XML_Status ok;

	if (len > INT32_MAX)
		return -EIO;
	x.parser = XML_ParserCreate("UTF-8");
	if (!x.parser)
		return -ENOMEM;
	XML_SetUserData(x.parser, &x);
	XML_SetElementHandler(x.parser, on_start, on_end);
	XML_SetCharacterDataHandler(x.parser, on_text);
	XML_SetStartDoctypeDeclHandler(x.parser, on_doctype);
	ok = XML_Parse(x.parser, doc, (int)len, XML_TRUE);
	if (ok != XML_STATUS_OK && !x.rc)
		x.rc = XML_GetErrorCode(x.parser) == XML_ERROR_NO_MEMORY
		               ? -ENOMEM : -EIO;
	XML_ParserFree(x.parser);
	fsp_buf_free(&x.text);
	return x.rc;
}

int s3_xml_text(struct fsp_buf *out, const char *text)
{
	int rc = 0;

	for (; !rc && *text; text++) {
		switch (*text) {
		case '&':
			rc = fsp_buf_adds(out, "&amp;");
			break;
		case '<':
			rc = fsp_buf_adds(out, "&lt;");
			break;
		case '>':
			rc = fsp_buf_adds(out, "&gt;");
			break;
		case '"':
			rc = fsp_buf_adds(out, "&quot;");
			break;
		default:
			rc = fsp_buf_addc(out, *text);
		}
	}
	return rc;
}
