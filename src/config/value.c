/* One value: from text to what it means, and in words what is allowed. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config_impl.h"
#include "fsp_buf.h"
#include "fsp_secret.h"

#define NAME_BYTES 255

static const struct {
	const char *word;
	int64_t ms;
} time_units[] = {
	{ "d", 86400000 }, { "h", 3600000 }, { "m", 60000 },
	{ "s", 1000 },     { "ms", 1 },
};

/* The digits at *s as a number not above INT64_MAX; moves *s past them. */
static int parse_digits(const char **s, int64_t *out)
{
	const char *p = *s;
	int64_t n = 0;

	if (!isdigit((unsigned char)*p))
		return -EINVAL;
	for (; isdigit((unsigned char)*p); p++)
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, *p - '0', &n))
			return -EINVAL;
	*s = p;
	*out = n;
	return 0;
}

static int parse_int(const struct fsp_param *p, const char *s, int64_t *out)
{
	bool minus = *s == '-';
	int64_t n;

	if (minus)
		s++;
	if (parse_digits(&s, &n) || *s)
		return -EINVAL;
	*out = minus ? -n : n;
	return *out < p->min || *out > p->max ? -EINVAL : 0;
}

static int parse_size(const struct fsp_param *p, const char *s, int64_t *out)
{
	static const char units[] = "KMGT";
	int64_t n;

	if (parse_digits(&s, &n))
		return -EINVAL;
	if (*s) {
		const char *u = strchr(units, toupper((unsigned char)*s));

		if (!u || s[1])
			return -EINVAL;
		for (; u >= units; u--)
			if (__builtin_mul_overflow(n, 1024, &n))
				return -EINVAL;
	}
	*out = n;
	return n < p->min || n > p->max ? -EINVAL : 0;
}

/* The digits after the point, in billionths. */
static int parse_fraction(const char **s, int64_t *out)
{
	int64_t scale = 100000000, n = 0;
	const char *p = *s;

	if (!isdigit((unsigned char)*p))
		return -EINVAL;
	for (; isdigit((unsigned char)*p); p++) {
		if (scale == 0)
			return -EINVAL;
		n += scale * (*p - '0');
		scale /= 10;
	}
	*s = p;
	*out = n;
	return 0;
}

static int parse_unit(const char *s, int64_t *ms)
{
	if (*s == '\0')
		s = "s";
	for (size_t i = 0; i < sizeof(time_units) / sizeof(*time_units); i++) {
		if (strcmp(s, time_units[i].word) == 0) {
			*ms = time_units[i].ms;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_duration(const struct fsp_param *p, const char *s,
                          int64_t *out)
{
	int64_t whole, billionths = 0, unit_ms, ns;

	if (parse_digits(&s, &whole))
		return -EINVAL;
	if (*s == '.') {
		s++;
		if (parse_fraction(&s, &billionths))
			return -EINVAL;
	}
	if (parse_unit(s, &unit_ms))
		return -EINVAL;
	if (__builtin_mul_overflow(whole, unit_ms * 1000000, &ns) ||
	    __builtin_add_overflow(ns, billionths * unit_ms / 1000, &ns))
		return -EINVAL;
	*out = ns;
	return ns < p->min * 1000000 || ns > p->max * 1000000 ? -EINVAL : 0;
}

static int parse_mode(const struct fsp_param *p, const char *s, int64_t *out)
{
	int64_t mode = 0;

	if (*s == '\0' || strlen(s) > 5)
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '7')
			return -EINVAL;
		mode = mode * 8 + (*s - '0');
	}
	*out = mode;
	return mode > p->max ? -EINVAL : 0;
}

static int parse_bool(const char *s, int64_t *out)
{
	static const char *const words[] = { "no",  "yes", "false", "true",
		                             "off", "on",  "0",     "1" };

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strcasecmp(s, words[i]) == 0) {
			*out = i % 2;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_choice(const struct fsp_param *p, const char *s)
{
	size_t len = strlen(s);

	if (len == 0 || strchr(s, '|'))
		return -EINVAL;
	for (const char *w = p->allowed; w; w = strchr(w, '|')) {
		if (*w == '|')
			w++;
		if (strncmp(w, s, len) == 0 && (w[len] == '|' || !w[len]))
			return 0;
	}
	return -EINVAL;
}

static int parse_name(const char *s)
{
	size_t len = strlen(s);

	if (len == 0 || len > NAME_BYTES || strchr(s, '/') ||
	    strcmp(s, ".") == 0 || strcmp(s, "..") == 0)
		return -EINVAL;
	return 0;
}

static int parse_path(const char *s, const char *dir, struct fsp_setting *out)
{
	if (*s == '\0')
		return -EINVAL;
	out->path = fsp_config_join(dir, s);
	return out->path ? 0 : -ENOMEM;
}

static int parse_typed(const struct fsp_param *p, const char *text,
                       const char *dir, struct fsp_setting *s)
{
	switch (p->type) {
	case FSP_PARAM_STRING:
		return 0;
	case FSP_PARAM_NAME:
		return parse_name(text);
	case FSP_PARAM_PATH:
		return parse_path(text, dir, s);
	case FSP_PARAM_CHOICE:
		return parse_choice(p, text);
	case FSP_PARAM_BOOL:
		return parse_bool(text, &s->num);
	case FSP_PARAM_INT:
		return parse_int(p, text, &s->num);
	case FSP_PARAM_SIZE:
		return parse_size(p, text, &s->num);
	case FSP_PARAM_DURATION:
		return parse_duration(p, text, &s->num);
	case FSP_PARAM_MODE:
		return parse_mode(p, text, &s->num);
	case FSP_PARAM_HEX:
		return fsp_unhex(s->bytes, (size_t)p->max, text);
	}
	return -EINVAL;
}

int fsp_value_parse(const struct fsp_param *p, const char *text,
                    const char *dir, struct fsp_setting *s)
{
	struct fsp_setting new = { .set = true };
	int err = parse_typed(p, text, dir, &new);

	if (!err && p->type != FSP_PARAM_HEX) {
		new.given = p->secret ? fsp_secret_strdup(text) : strdup(text);
		err = new.given ? 0 : -ENOMEM;
	}
	if (err) {
		fsp_value_free(p, &new);
		return err;
	}
	fsp_value_free(p, s);
	*s = new;
	fsp_wipe(new.bytes, sizeof(new.bytes));
	return 0;
}

void fsp_value_free(const struct fsp_param *p, struct fsp_setting *s)
{
	if (p->secret)
		fsp_secret_free(s->given);
	else
		free(s->given);
	free(s->path);
	free(s->origin);
	fsp_wipe(s, sizeof(*s));
}

/* In the largest unit that leaves a whole number. */
static int add_duration(struct fsp_buf *out, int64_t ms)
{
	size_t i = 0;

	if (ms == 0)
		return fsp_buf_adds(out, "0");
	while (ms % time_units[i].ms)
		i++;
	return fsp_buf_printf(out, "%lld%s",
	                      (long long)(ms / time_units[i].ms),
	                      time_units[i].word);
}

static int add_choice(struct fsp_buf *out, const char *words)
{
	int err = fsp_buf_adds(out, strchr(words, '|') ? "one of " : "only ");

	for (; !err && *words; words++)
		err = *words == '|' ? fsp_buf_adds(out, ", ")
		                    : fsp_buf_addc(out, *words);
	return err;
}

static int add_duration_range(struct fsp_buf *out, const struct fsp_param *p)
{
	int err = fsp_buf_printf(out, "%s, or a time such as 500ms, 10m or "
	                              "1h, from ", p->unit);

	if (!err)
		err = add_duration(out, p->min);
	if (!err)
		err = fsp_buf_adds(out, " to ");
	return err ? err : add_duration(out, p->max);
}

int fsp_value_allowed(const struct fsp_param *p, struct fsp_buf *out)
{
	switch (p->type) {
	case FSP_PARAM_STRING:
		return fsp_buf_adds(out, "text");
	case FSP_PARAM_NAME:
		return fsp_buf_printf(out,
		                      "a name of 1 to %d bytes without /",
		                      NAME_BYTES);
	case FSP_PARAM_PATH:
		return fsp_buf_adds(out, "a path");
	case FSP_PARAM_CHOICE:
		return add_choice(out, p->allowed);
	case FSP_PARAM_BOOL:
		return fsp_buf_adds(out, "yes or no");
	case FSP_PARAM_INT:
		return fsp_buf_printf(out,
		                      "a whole number%s%s from %lld to %lld",
		                      *p->unit ? " of " : "",
		                      p->unit, (long long)p->min,
		                      (long long)p->max);
	case FSP_PARAM_SIZE:
		return fsp_buf_printf(out, "%s, such as 1000000, 512M or 2T",
		                      p->unit);
	case FSP_PARAM_DURATION:
		return add_duration_range(out, p);
	case FSP_PARAM_MODE:
		return fsp_buf_printf(out,
		                      "octal permission bits from 0 to %04llo",
		                      (unsigned long long)p->max);
	case FSP_PARAM_HEX:
		return fsp_buf_printf(out, "%lld hex digits",
		                      (long long)p->max * 2);
	}
	return -EINVAL;
}
