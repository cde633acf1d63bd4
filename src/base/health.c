/* What works and since when. */
#include "fsp_health.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fsp_buf.h"
#include "fsp_clock.h"
#include "fsp_lock.h"

#define PARTS 8
#define WORDS 200

struct fsp_health_part {
	struct fsp_health *of;
	char *name, *lost;
	atomic_int state;               /* written under the lock */
	int64_t since_us;
	char why[WORDS];
};

struct fsp_health {
	struct fsp_mutex lock;
	struct fsp_health_part part[PARTS];
	int n;
};

int fsp_health_new(struct fsp_health **out)
{
	struct fsp_health *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	fsp_mutex_init(&h->lock);
	*out = h;
	return 0;
}

void fsp_health_free(struct fsp_health *h)
{
	if (!h)
		return;
	for (int i = 0; i < h->n; i++) {
		free(h->part[i].name);
		free(h->part[i].lost);
	}
	fsp_mutex_destroy(&h->lock);
	free(h);
}

int fsp_health_add(struct fsp_health *h, const char *name, const char *lost,
                   struct fsp_health_part **out)
{
	struct fsp_health_part *p;

	FSP_GUARD(&h->lock);
	if (h->n == PARTS)
		return -ENOSPC;
	p = &h->part[h->n];
	p->name = strdup(name);
	p->lost = strdup(lost);
	if (!p->name || !p->lost) {
		free(p->name);
		free(p->lost);
		return -ENOMEM;
	}
	p->of = h;
	p->since_us = fsp_now_us();
	h->n++;
	*out = p;
	return 0;
}

struct fsp_health_part *fsp_health_find(struct fsp_health *h, const char *name)
{
	FSP_GUARD(&h->lock);
	for (int i = 0; i < h->n; i++)
		if (strcmp(h->part[i].name, name) == 0)
			return &h->part[i];
	return NULL;
}

enum fsp_health_state fsp_health_get(const struct fsp_health_part *p)
{
	return (enum fsp_health_state)atomic_load(&p->state);
}

/* One line of visible characters, whatever a server has said. */
static void set_why(struct fsp_health_part *p, const char *why)
{
	size_t n = 0;

	for (; why && why[n] && n < WORDS - 1; n++)
		p->why[n] = why[n] < ' ' && why[n] >= 0 ? ' ' : why[n];
	p->why[n] = '\0';
}

void fsp_health_set(struct fsp_health_part *p, enum fsp_health_state state,
                    const char *why)
{
	if (!p)
		return;
	FSP_GUARD(&p->of->lock);
	if (fsp_health_get(p) != state)
		p->since_us = fsp_now_us();
	atomic_store(&p->state, (int)state);
	set_why(p, state == FSP_HEALTH_OK ? NULL : why);
}

void fsp_health_seen(struct fsp_health_part *p, int err)
{
	bool down = err == -EHOSTDOWN || err == -ETIMEDOUT;
	enum fsp_health_state state = !err ? FSP_HEALTH_OK
		: down ? FSP_HEALTH_DOWN : FSP_HEALTH_DEGRADED;

	if (p && fsp_health_get(p) != state)
		fsp_health_set(p, state, strerror(-err));
}

const char *fsp_health_word(enum fsp_health_state state)
{
	return state == FSP_HEALTH_OK ? "ok"
		: state == FSP_HEALTH_DOWN ? "down" : "degraded";
}

static int add_part(const struct fsp_health_part *p, struct fsp_buf *out)
{
	time_t since = (time_t)(p->since_us / FSP_US_PER_SEC);
	char when[32];
	struct tm tm;

	/* Any time of a running clock has a year of four digits. */
	if (!gmtime_r(&since, &tm) ||
	    !strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm))
		return -EINVAL;
	return fsp_buf_printf(out, "%s%s %s since %s%s%s",
	                      p == p->of->part ? "" : "; ", p->name,
	                      fsp_health_word(fsp_health_get(p)), when,
	                      *p->why ? ": " : "", p->why);
}

int fsp_health_line(struct fsp_health *h, struct fsp_buf *out)
{
	int err = 0;

	FSP_GUARD(&h->lock);
	for (int i = 0; !err && i < h->n; i++)
		err = add_part(&h->part[i], out);
	for (int i = 0; !err && i < h->n; i++)
		if (fsp_health_get(&h->part[i]) == FSP_HEALTH_DOWN)
			err = fsp_buf_printf(out, "; %s", h->part[i].lost);
	return err;
}

int fsp_health_each(struct fsp_health *h,
                    int (*each)(void *arg, const char *name,
                                enum fsp_health_state state, int64_t since_us,
                                const char *why),
                    void *arg)
{
	int err = 0;

	FSP_GUARD(&h->lock);
	for (int i = 0; !err && i < h->n; i++) {
		const struct fsp_health_part *p = &h->part[i];

		err = each(arg, p->name, fsp_health_get(p), p->since_us,
		           p->why);
	}
	return err;
}
