/*
 * What works and since when, by part: "database", "objects", "spool". Those
 * who see a part fail report here; user.filespace.health and
 * `filespacectl status` show it. Any thread may call anything.
 */
#ifndef FSP_HEALTH_H
#define FSP_HEALTH_H

#include <stdint.h>

struct fsp_buf;
struct fsp_health;
struct fsp_health_part;

enum fsp_health_state {
	FSP_HEALTH_OK,
	FSP_HEALTH_DEGRADED,    /* answers, but with errors */
	FSP_HEALTH_DOWN
};

int fsp_health_new(struct fsp_health **out);
void fsp_health_free(struct fsp_health *h);     /* NULL is fine */

/*
 * A part, ok since now; it lives as long as h. `lost` tells a user what the
 * loss of it means ("writes fail at close"); both strings are copied.
 */
int fsp_health_add(struct fsp_health *h, const char *name, const char *lost,
                   struct fsp_health_part **out);
/* By name, NULL where there is none. */
struct fsp_health_part *fsp_health_find(struct fsp_health *h, const char *name);

/*
 * The part's state; `why` is the error's text, copied. "Since" changes with
 * the state alone. p may be NULL in both: nobody wants to know.
 */
void fsp_health_set(struct fsp_health_part *p, enum fsp_health_state state,
                    const char *why);
/*
 * The same from what a call has returned, for a part that nobody else
 * watches; the words of who has said more are kept.
 */
void fsp_health_seen(struct fsp_health_part *p, int err);
enum fsp_health_state fsp_health_get(const struct fsp_health_part *p);

/*
 * "database ok since T; objects down since T: WHY; LOST", with the parts in
 * the order in which they were added, added to `out`.
 */
int fsp_health_line(struct fsp_health *h, struct fsp_buf *out);

/* Each part; strings are valid during the call. Non-zero stops. */
int fsp_health_each(struct fsp_health *h,
                    int (*each)(void *arg, const char *name,
                                enum fsp_health_state state, int64_t since_us,
                                const char *why),
                    void *arg);
/* "ok", "degraded", "down" */
const char *fsp_health_word(enum fsp_health_state state);

#endif
