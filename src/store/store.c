/* The end of a store's life. */
#include "fsp_store.h"

#include <stdlib.h>

#include "damage.h"
#include "fsp_buf.h"
#include "fsp_config.h"
#include "fsp_health.h"

void fsp_store_close(struct fsp_store *s)
{
	if (!s)
		return;
	fsp_meta_close(s->meta);
	fsp_obj_close(s->objects);
	fsp_health_free(s->health);     /* they report to it */
	fsp_config_free(s->config);
	damage_free(s->damage);
	free(s->made_in);
	fsp_wipe(&s->keys, sizeof(s->keys));
	free(s);
}
