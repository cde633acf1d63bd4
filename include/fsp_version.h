/*
 * How versions and times are written in names. Pure functions, any thread.
 */
#ifndef FSP_VERSION_H
#define FSP_VERSION_H

#include <stdint.h>

/*
 * The entry of .versions/NAME/ for a version: UTC of stored_us in basic ISO
 * 8601, the row id with ten digits or more, NAME's extension
 * (20150508T101320Z-0000000012.pdf). -ENAMETOOLONG never: a long extension is
 * left out.
 */
int fsp_version_name(char out[256], const char *name, int64_t stored_us,
                     int64_t row);

/* The row id in such a name; -EINVAL for anything else. */
int fsp_version_parse(const char *entry, int64_t *row);

/*
 * A point in time: YYYY-MM-DD, YYYY-MM-DDThh:mm[:ss[.ffffff]][ZONE] (also with
 * a blank for T), YYYYMMDD[Thhmm[ss][ZONE]], @GMT-YYYY.MM.DD-hh.mm.ss, or Unix
 * seconds with or without a fraction. ZONE is Z, +hh:mm, +hhmm or +hh, or with
 * a minus; without one it is UTC. A leading @ is allowed throughout. A date
 * without a time is its first instant. -EINVAL.
 */
int fsp_time_parse(const char *s, int64_t *us);

/* How to write a time, for messages about one that was not understood. */
#define FSP_TIME_FORMS \
	"2015-05-08, 2015-05-08T10:13:20Z, 2015-05-08T12:13:20+02:00, " \
	"@GMT-2015.05.08-10.13.20 or Unix seconds (UTC without an offset)"

/* "2015-05-08T10:13:20Z" into out. */
const char *fsp_time_format(char out[32], int64_t us);

#endif
