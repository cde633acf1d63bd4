/* The end of a store's life. */
#include "fsp_store.h"

#include <stdlib.h>

#include "damage.h"
#include "fsp_buf.h"
#include "fsp_config.h"
#include "fsp_health.h"
#include "fsp_secret.h"

struct fsp_store *fsp_store_new(void)
{
	return fsp_secret_alloc(sizeof(struct fsp_store));
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
	free(s->made_in);
	fsp_secret_free(s);
}
