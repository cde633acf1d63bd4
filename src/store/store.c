/* The beginning and the end of a store's life. */
#include "fsp_store.h"

#include <errno.h>
#include <stdlib.h>

#include "damage.h"
#include "fsp_buf.h"
#include "fsp_config.h"
#include "fsp_health.h"
#include "fsp_secret.h"
#include "seen.h"

struct fsp_store *fsp_store_new(void)
{
	return fsp_secret_alloc(sizeof(struct fsp_store));
}

int fsp_store_remember(struct fsp_store *s, int64_t for_ns)
{
	s->seen = seen_new(for_ns);
	return s->seen ? 0 : -ENOMEM;
}

void fsp_store_close(struct fsp_store *s)
{
	if (!s)
		return;
	fsp_meta_close(s->meta);
	fsp_obj_close(s->objects);
	fsp_health_free(s->health);     /* they report to it */
	fsp_config_free(s->config);
	damage_free(s->damage);
	seen_free(s->seen);
	free(s->made_in);
	fsp_secret_free(s);
}
