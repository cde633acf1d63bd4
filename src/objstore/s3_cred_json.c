/*
 * The answer of the metadata service and of a container's endpoint:
 *
 *   { "Code": "Success", "AccessKeyId": "...", "SecretAccessKey": "...",
 *     "Token": "...", "Expiration": "2026-11-24T16:00:00Z", ... }
 *
 * json-c's scratch memory is made as large as the text before and overwritten
 * after, and its strings are overwritten before they are freed.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "s3_cred_impl.h"

#define DEPTH 8

/* A JSON string of `len` blanks through the parser's scratch memory. */
static int scrub(struct json_tokener *tok, size_t len)
{
	FSP_FREE char *blank = malloc(len + 2);
	struct json_object *o;

	if (!blank)
		return -ENOMEM;
	memset(blank, ' ', len + 2);
	blank[0] = blank[len + 1] = '"';
	json_tokener_reset(tok);
	o = json_tokener_parse_ex(tok, blank, (int)len + 2);
	json_object_put(o);
	json_tokener_reset(tok);
	return o ? 0 : -ENOMEM;
}

/* An object and nothing after it, or NULL. */
static struct json_object *parse(const char *text, size_t len)
{
	struct json_tokener *tok = json_tokener_new_ex(DEPTH);
	struct json_object *o = NULL;

	if (!tok)
		return NULL;
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT |
	                                    JSON_TOKENER_VALIDATE_UTF8);
	if (scrub(tok, len) == 0)
		o = json_tokener_parse_ex(tok, text, (int)len + 1);
	/* It has the room already and cannot fail. */
	(void)scrub(tok, len);
	json_tokener_free(tok);
	if (json_object_is_type(o, json_type_object))
		return o;
	json_object_put(o);
	return NULL;
}

/* The string of that name, or NULL. */
static const char *text_of(struct json_object *o, const char *name)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, name, &v) ||
	    !json_object_is_type(v, json_type_string) ||
	    strlen(json_object_get_string(v)) !=
	            (size_t)json_object_get_string_len(v))
		return NULL;
	return json_object_get_string(v);
}

static void wipe(struct json_object *o)
{
	json_object_object_foreach(o, name, v) {
		int len = json_object_get_string_len(v);
		char *zeros = len > 0 ? calloc(1, (size_t)len) : NULL;

		(void)name;
		/* Without memory it is freed as it is. */
		if (zeros)
			json_object_set_string_len(v, zeros, len);
		free(zeros);
	}
	json_object_put(o);
}

/* "2026-11-24T16:00:00Z", maybe with a fraction. */
static int parse_time(const char *s, int64_t *us)
{
	struct tm tm = { 0 };
	const char *end = s ? strptime(s, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;

	if (end && *end == '.')
		end += 1 + strspn(end + 1, "0123456789");
	if (!end || strcmp(end, "Z") != 0)
		return -EIO;
	*us = timegm(&tm) * FSP_US_PER_SEC;
	return *us > 0 ? 0 : -EIO;
}

static int fill(struct json_object *o, struct s3_fetched *out,
                const char **what)
{
	const char *code = text_of(o, "Code");
	const char *access = text_of(o, "AccessKeyId");
	const char *secret = text_of(o, "SecretAccessKey");
	const char *token = text_of(o, "Token");

	*what = "answers that it has no keys";
	if (code && strcmp(code, "Success") != 0)
		return -EACCES;
	*what = "the answer has no AccessKeyId, SecretAccessKey and Token";
	if (!access || !secret || !token)
		return -EIO;
	*what = "the answer's Expiration is no time";
	if (parse_time(text_of(o, "Expiration"), &out->expires_us))
		return -EIO;
	*what = "the answer's keys have expired already";
	if (out->expires_us <= fsp_now_us())
		return -EACCES;
	*what = "out of memory";
	return s3_keys_copy(&out->keys, access, secret, token);
}

int s3_cred_parse(const char *text, size_t len, struct s3_fetched *out,
                  struct fsp_buf *why)
{
	const char *what = "the answer is no JSON object";
	struct json_object *o;
	int err = -EIO;

	*out = (struct s3_fetched){ 0 };
	o = len <= S3_HTTP_MAX ? parse(text, len) : NULL;
	if (o) {
		err = fill(o, out, &what);
		wipe(o);
	}
	/* Words that cannot be said are no other error. */
	if (err)
		(void)fsp_buf_adds(why, what);
	return err;
}
