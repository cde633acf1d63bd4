/* The sum is XXH64 with the seed 0, by libxxhash. */
#include "fsp_codec.h"

#include <errno.h>
#include <stdlib.h>

#include <xxhash.h>

struct fsp_sum {
	XXH64_state_t *state;
	uint64_t size;
};

int fsp_sum_new(struct fsp_sum **out)
{
	struct fsp_sum *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->state = XXH64_createState();
	if (!s->state) {
		free(s);
		return -ENOMEM;
	}
	/* Fails without a state only, and so does the update. */
	(void)XXH64_reset(s->state, 0);
	*out = s;
	return 0;
}

void fsp_sum_add(struct fsp_sum *s, const void *buf, size_t len)
{
	(void)XXH64_update(s->state, buf, len);
	s->size += len;
}

uint64_t fsp_sum_size(const struct fsp_sum *s)
{
	return s->size;
}

uint64_t fsp_sum_get(const struct fsp_sum *s)
{
	return XXH64_digest(s->state);
}

void fsp_sum_free(struct fsp_sum *s)
{
	if (!s)
		return;
	(void)XXH64_freeState(s->state);        /* never says but OK */
	free(s);
}
