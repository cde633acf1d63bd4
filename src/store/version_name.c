/* Names of versions and of points in time. */
#include "fsp_version.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fsp_clock.h"

#define STAMP_LEN 16    /* YYYYMMDDThhmmssZ */

static int64_t us_floor_sec(int64_t us)
{
	int64_t s = us / FSP_US_PER_SEC;

	return us % FSP_US_PER_SEC < 0 ? s - 1 : s;
}

/* Years outside 0..9999 would break the fixed width: clamped. */
static void utc(int64_t us, struct tm *tm)
{
	const int64_t min = -62167219200, max = 253402300799;
	int64_t sec = us_floor_sec(us);
	time_t t = (time_t)(sec < min ? min : sec > max ? max : sec);

	gmtime_r(&t, tm);
}

static const char *extension(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot && dot != name && dot[1] ? dot : "";
}

int fsp_version_name(char out[256], const char *name, int64_t stored_us,
                     int64_t row)
{
	const char *ext = extension(name);
	struct tm tm;
	int n;

	utc(stored_us, &tm);
	n = snprintf(out, 256, "%04d%02d%02dT%02d%02d%02dZ-%010lld",
	             (tm.tm_year + 1900) % 10000, (tm.tm_mon + 1) % 100,
	             tm.tm_mday % 100, tm.tm_hour % 100, tm.tm_min % 100,
	             tm.tm_sec % 100, (long long)row);
	if ((size_t)n + strlen(ext) <= 255)
		strcpy(out + n, ext);
	return 0;
}

static bool digits(const char *s, int n)
{
	for (int i = 0; i < n; i++)
		if (s[i] < '0' || s[i] > '9')
			return false;
	return true;
}

int fsp_version_parse(const char *entry, int64_t *row)
{
	char *end;

	if (strlen(entry) < STAMP_LEN + 2 || !digits(entry, 8) ||
	    entry[8] != 'T' || !digits(entry + 9, 6) || entry[15] != 'Z' ||
	    entry[16] != '-' || !digits(entry + 17, 1))
		return -EINVAL;
	errno = 0;
	*row = strtoll(entry + 17, &end, 10);
	if (errno || *row <= 0 || (*end && *end != '.'))
		return -EINVAL;
	return 0;
}

/* Reads n digits as a number within [lo, hi]. */
static int field(const char **s, int n, int lo, int hi, int *out)
{
	if (!digits(*s, n))
		return -EINVAL;
	*out = 0;
	for (int i = 0; i < n; i++)
		*out = *out * 10 + *(*s)++ - '0';
	return *out < lo || *out > hi ? -EINVAL : 0;
}

static int skip(const char **s, char c)
{
	if (**s != c)
		return -EINVAL;
	(*s)++;
	return 0;
}

/* The fraction of a second, any number of digits, as microseconds. */
static int fraction(const char **s, int64_t *us)
{
	int64_t unit = 100000;

	*us = 0;
	if (**s != '.' && **s != ',')
		return 0;
	(*s)++;
	if (!digits(*s, 1))
		return -EINVAL;
	for (; digits(*s, 1); (*s)++, unit /= 10)
		*us += (**s - '0') * unit;
	return 0;
}

static int to_us(struct tm *tm, int64_t frac, int64_t *us)
{
	int day = tm->tm_mday;
	time_t t;

	tm->tm_mon--;
	tm->tm_year -= 1900;
	t = timegm(tm);
	if (tm->tm_mday != day)         /* 31 April */
		return -EINVAL;
	*us = (int64_t)t * FSP_US_PER_SEC + frac;
	return 0;
}

static int parse_date(const char **s, char sep, struct tm *tm)
{
	if (field(s, 4, 0, 9999, &tm->tm_year) || (sep && skip(s, sep)) ||
	    field(s, 2, 1, 12, &tm->tm_mon) || (sep && skip(s, sep)) ||
	    field(s, 2, 1, 31, &tm->tm_mday))
		return -EINVAL;
	return 0;
}

static int parse_clock(const char **s, char sep, struct tm *tm, int64_t *frac)
{
	*frac = 0;
	if (field(s, 2, 0, 23, &tm->tm_hour))
		return -EINVAL;
	/* Seconds, and minutes too, may be left out. */
	if (!**s || strchr("Z+-", **s))
		return 0;
	if ((sep && skip(s, sep)) || field(s, 2, 0, 59, &tm->tm_min))
		return -EINVAL;
	if (!**s || strchr("Z+-", **s))
		return 0;
	if ((sep && skip(s, sep)) || field(s, 2, 0, 60, &tm->tm_sec))
		return -EINVAL;
	return fraction(s, frac);
}

/* Z, or what local time is ahead of UTC: +hh, +hhmm, +hh:mm, or with a minus. */
static int parse_zone(const char **s, int64_t *ahead_us)
{
	int sign = **s == '-' ? -1 : 1;
	int hours, minutes = 0;

	*ahead_us = 0;
	if (!**s)
		return 0;               /* UTC, as with Z */
	if (**s == 'Z') {
		(*s)++;
		return 0;
	}
	if (**s != '+' && **s != '-')
		return -EINVAL;
	(*s)++;
	if (field(s, 2, 0, 23, &hours))
		return -EINVAL;
	if (**s) {
		*s += **s == ':';
		if (field(s, 2, 0, 59, &minutes))
			return -EINVAL;
	}
	*ahead_us = sign * (hours * 60 + minutes) * 60 * FSP_US_PER_SEC;
	return 0;
}

static int parse_iso(const char *s, char sep, int64_t *us)
{
	char clock_sep = sep == '-' ? ':' : sep;
	struct tm tm = { 0 };
	int64_t frac = 0, ahead = 0;
	int err;

	if (parse_date(&s, sep, &tm))
		return -EINVAL;
	if (*s) {
		if (*s != 'T' && *s != ' ' && *s != '-' && *s != '_')
			return -EINVAL;
		s++;
		if (parse_clock(&s, clock_sep, &tm, &frac))
			return -EINVAL;
		/* Samba's form is always GMT. */
		if (sep != '.' && parse_zone(&s, &ahead))
			return -EINVAL;
	}
	err = *s ? -EINVAL : to_us(&tm, frac, us);
	if (!err)
		*us -= ahead;
	return err;
}

static int parse_unix(const char *s, int64_t *us)
{
	char *end;
	const char *p;
	int64_t frac, sec;

	errno = 0;
	sec = strtoll(s, &end, 10);
	p = end;
	if (errno || p == s || sec > INT64_MAX / FSP_US_PER_SEC - 1 || sec < 0)
		return -EINVAL;
	if (fraction(&p, &frac) || *p)
		return -EINVAL;
	*us = sec * FSP_US_PER_SEC + frac;
	return 0;
}

int fsp_time_parse(const char *s, int64_t *us)
{
	if (*s == '@')
		s++;
	if (strncmp(s, "GMT-", 4) == 0)
		return parse_iso(s + 4, '.', us);
	if (digits(s, 1) && strlen(s) >= 5 && s[4] == '-')
		return parse_iso(s, '-', us);
	/* Eight digits alone are a date; Unix seconds of our time have ten. */
	if (strlen(s) >= 8 && digits(s, 8) && (!s[8] || s[8] == 'T'))
		return parse_iso(s, 0, us);
	return parse_unix(s, us);
}

const char *fsp_time_format(char out[32], int64_t us)
{
	struct tm tm;

	utc(us, &tm);
	strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return out;
}
