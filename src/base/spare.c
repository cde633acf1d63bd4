/* Memory for the next user. */
#include "fsp_spare.h"

#include <stddef.h>

void *fsp_spare_begin(struct fsp_spares *s)
{
	void *item;

	fsp_lock(&s->lock);
	s->users++;
	item = s->n ? s->item[--s->n] : NULL;
	fsp_unlock(&s->lock);
	return item;
}

void fsp_spare_hold(struct fsp_spares *s)
{
	fsp_lock(&s->lock);
	s->users++;
	fsp_unlock(&s->lock);
}

/* What is too many; NULL: nothing. */
static void *excess(struct fsp_spares *s)
{
	void *item = NULL;

	fsp_lock(&s->lock);
	if (!s->users && s->n)
		item = s->item[--s->n];
	fsp_unlock(&s->lock);
	return item;
}

void fsp_spare_end(struct fsp_spares *s, void *item)
{
	fsp_lock(&s->lock);
	if (--s->users && item && s->n < FSP_SPARES) {
		s->item[s->n++] = item;
		item = NULL;
	}
	fsp_unlock(&s->lock);
	if (item)
		s->free(item);
	while ((item = excess(s)))
		s->free(item);
}
