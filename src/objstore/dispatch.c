/*
 * The calls of the object store: what holds for every implementation is
 * checked here, once.
 */
#include "fsp_objstore.h"

#include <errno.h>
#include <stdbool.h>

#include "fsp_ctx.h"
#include "fsp_lock.h"
#include "objstore.h"

bool fsp_obj_key_valid(const char *key)
{
	size_t n = 0;

	for (; key[n]; n++) {
		char c = key[n];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		      (c >= 'A' && c <= 'Z') || c == '.' || c == '_' ||
		      c == '-') ||
		    n >= FSP_OBJ_KEY_MAX)
			return false;
	}
	/* A leading dot is for the backends' own names. */
	return n && key[0] != '.';
}

static int check(const struct fsp_ctx *ctx, const char *key)
{
	fsp_lock_assert_none();
	if (key && !fsp_obj_key_valid(key))
		return -EINVAL;
	return fsp_ctx_check(ctx);
}

int fsp_obj_put_begin(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                      const char *key, struct fsp_objwriter **out)
{
	int rc = check(ctx, key);

	*out = NULL;
	if (rc)
		return rc;
	rc = s->ops->put_begin(s, ctx, key, out);
	if (!rc)
		(*out)->store = s;
	return rc;
}

int fsp_obj_put_write(struct fsp_objwriter *w, const void *buf, size_t len)
{
	fsp_lock_assert_none();
	return w->store->ops->put_write(w, buf, len);
}

int fsp_obj_put_commit(struct fsp_objwriter *w)
{
	fsp_lock_assert_none();
	return w->store->ops->put_commit(w);
}

void fsp_obj_put_abort(struct fsp_objwriter *w)
{
	fsp_lock_assert_none();
	if (w)
		w->store->ops->put_abort(w);
}

int fsp_obj_get(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                const char *key, fsp_obj_sink sink, void *arg)
{
	int rc = check(ctx, key);

	return rc ? rc : s->ops->get(s, ctx, key, sink, arg);
}

int fsp_obj_get_range(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                      const char *key, uint64_t off, uint64_t len,
                      fsp_obj_sink sink, void *arg)
{
	int rc = check(ctx, key);

	if (!rc && len > INT64_MAX - (off < INT64_MAX ? off : INT64_MAX))
		rc = -EINVAL;
	return rc || !len ? rc
		: s->ops->get_range(s, ctx, key, off, len, sink, arg);
}

int fsp_obj_head(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                 const char *key, uint64_t *size)
{
	int rc = check(ctx, key);

	return rc ? rc : s->ops->head(s, ctx, key, size);
}

int fsp_obj_del(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                const char *key)
{
	int rc = check(ctx, key);

	return rc ? rc : s->ops->del(s, ctx, key);
}

int fsp_obj_del_many(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                     const char *const *keys, size_t n)
{
	int rc = check(ctx, NULL);

	for (size_t i = 0; !rc && i < n; i++)
		if (!fsp_obj_key_valid(keys[i]))
			rc = -EINVAL;
	return rc || !n ? rc : s->ops->del_many(s, ctx, keys, n);
}

int fsp_obj_list(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                 const char *prefix, fsp_obj_each each, void *arg)
{
	int rc = check(ctx, *prefix ? prefix : NULL);

	return rc ? rc : s->ops->list(s, ctx, prefix, each, arg);
}

int fsp_obj_space(struct fsp_objstore *s, const struct fsp_ctx *ctx,
                  struct fsp_space *out)
{
	int rc = check(ctx, NULL);

	return rc ? rc : s->ops->space(s, ctx, out);
}

int fsp_obj_traffic(struct fsp_objstore *s, struct fsp_obj_traffic *out)
{
	return s->ops->traffic(s, out);
}

void fsp_obj_close(struct fsp_objstore *s)
{
	if (s)
		s->ops->close(s);
}
