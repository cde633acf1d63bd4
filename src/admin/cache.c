/* cache: what is on the local disk, getting something there, emptying it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_admin.h"
#include "fsp_buf.h"
#include "fsp_cache.h"
#include "fsp_cleanup.h"
#include "fsp_config.h"
#include "fsp_path.h"
#include "fsp_store.h"
#include "text.h"

#define DEPTH_MAX 256

struct show {
	struct fsp_json *json;
	uint64_t files, by_block, content, on_disk;
	int64_t oldest_ns, newest_ns;
};

static int count_file(void *arg, const struct fsp_cache_file *f)
{
	struct show *s = arg;

	if (!s->files || f->used_ns < s->oldest_ns)
		s->oldest_ns = f->used_ns;
	if (!s->files || f->used_ns > s->newest_ns)
		s->newest_ns = f->used_ns;
	s->files++;
	s->by_block += f->by_block;
	s->content += f->size;
	s->on_disk += f->on_disk;
	if (!s->json)
		return 0;
	fsp_json_object(s->json, NULL);
	fsp_json_str(s->json, "hash", f->hash);
	fsp_json_uint(s->json, "size", f->size);
	fsp_json_uint(s->json, "on_disk", f->on_disk);
	fsp_json_bool(s->json, "by_block", f->by_block);
	fsp_json_time(s->json, "used", f->used_ns / 1000);
	fsp_json_end_object(s->json);
	return 0;
}

static const char *dir_of(const struct fsp_config *c)
{
	return fsp_config_str(c, "cache", "path");
}

static uint64_t bytes_of(const struct fsp_config *c, const char *key)
{
	return (uint64_t)fsp_config_int(c, "cache", key);
}

static int show_json(struct fsp_admin *a, const struct fsp_config *c)
{
	struct fsp_json j;
	struct show s = { .json = &j };
	int err, printed;

	fsp_json_start(&j, a->out);
	fsp_json_str(&j, "path", dir_of(c));
	fsp_json_uint(&j, "size", bytes_of(c, "size"));
	fsp_json_uint(&j, "min_free", bytes_of(c, "min_free"));
	fsp_json_list(&j, "contents");
	err = fsp_cache_each(dir_of(c), count_file, &s);
	fsp_json_end_list(&j);
	fsp_json_uint(&j, "files", s.files);
	fsp_json_uint(&j, "by_block", s.by_block);
	fsp_json_uint(&j, "content", s.content);
	fsp_json_uint(&j, "on_disk", s.on_disk);
	printed = fsp_json_finish(&j);
	return err && err != -ENOENT ? err : printed;
}

static int show_text(struct fsp_admin *a, const struct fsp_config *c)
{
	struct show s = { .json = NULL };
	int err = fsp_cache_each(dir_of(c), count_file, &s);
	FSP_FREE char *path = fsp_text_visible(dir_of(c));
	FSP_FREE char *have = fsp_text_bytes((int64_t)s.on_disk);
	FSP_FREE char *most = fsp_text_bytes((int64_t)bytes_of(c, "size"));
	FSP_FREE char *content = fsp_text_bytes((int64_t)s.content);

	if (err && err != -ENOENT)
		return err;
	if (!path || !have || !most || !content)
		return -ENOMEM;
	fprintf(a->out, "Cache      %s\n", path);
	fprintf(a->out, "On disk    %s of %s\n", have, most);
	fprintf(a->out, "Contents   %" PRIu64 " of %s in all, %" PRIu64
	        " of them by block\n", s.files, content, s.by_block);
	return 0;
}

int fsp_admin_cache_show(struct fsp_admin *a, const struct fsp_config *c)
{
	int err = a->json ? show_json(a, c) : show_text(a, c);

	return err ? fsp_admin_fail(a, err, "the cache %s", dir_of(c)) :
		FSP_EXIT_OK;
}

int fsp_admin_cache_drop(struct fsp_admin *a, const struct fsp_config *c)
{
	uint64_t files = 0, bytes = 0, held = 0;
	int err = fsp_cache_drop(dir_of(c), &files, &bytes, &held);
	FSP_FREE char *text = fsp_text_bytes((int64_t)bytes);

	if (err == -ENOENT)
		err = 0;                /* nothing was ever cached */
	if (!err && !text)
		err = -ENOMEM;
	if (err)
		return fsp_admin_fail(a, err, "the cache %s", dir_of(c));
	fprintf(a->out, "%" PRIu64 " contents removed, %s", files, text);
	if (held)
		fprintf(a->out, "; %" PRIu64 " stay, they are in use", held);
	fputc('\n', a->out);
	return FSP_EXIT_OK;
}

/* ---- warm */

struct warm {
	struct fsp_admin *a;
	struct fsp_cache *cache;
	uint64_t files, bytes, failed;
};

struct child {
	char *name;
	struct fsp_entry e;
};

struct children {
	struct child *v;
	size_t n;
};

static void children_free(struct children *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i].name);
	free(l->v);
}
#define CHILDREN __attribute__((cleanup(children_free)))

static int add_child(void *arg, const char *name, const struct fsp_entry *e)
{
	struct children *l = arg;
	struct child *v = realloc(l->v, (l->n + 1) * sizeof(*v));

	if (!v)
		return -ENOMEM;
	l->v = v;
	v[l->n] = (struct child){ strdup(name), *e };
	return v[l->n].name ? (int)(l->n++, 0) : -ENOMEM;
}

static int fetch(struct warm *w, const struct fsp_content *c)
{
	struct fsp_cached *h;
	int err = fsp_cache_get(w->cache, &w->a->ctx, c->hash, c->size, &h);

	if (err)
		return err;
	err = fsp_cached_fill(h, &w->a->ctx, 0, c->size);
	fsp_cached_put(h);
	return err;
}

static void warm_file(struct warm *w, const char *path,
                      const struct fsp_content *c)
{
	int err = c->row && c->size ? fetch(w, c) : 0;

	if (err) {
		fsp_admin_fail(w->a, err, "/%s", path);
		w->failed++;
		return;
	}
	w->files++;
	w->bytes += c->size;
}

static int warm_entry(struct warm *w, const char *path,
                      const struct fsp_entry *e, int depth);

static int warm_dir(struct warm *w, const char *path, int depth)
{
	struct children l CHILDREN = { .n = 0 };
	int err = depth > DEPTH_MAX ? -ELOOP :
		fsp_meta_list(w->a->store->meta, &w->a->ctx, path, 0, add_child,
		              &l);

	for (size_t i = 0; i < l.n && !err; i++) {
		FSP_FREE char *below = fsp_strf("%s%s%s", path,
		                                *path ? "/" : "", l.v[i].name);

		err = below ? warm_entry(w, below, &l.v[i].e, depth + 1) :
			-ENOMEM;
	}
	return err;
}

static int warm_entry(struct warm *w, const char *path,
                      const struct fsp_entry *e, int depth)
{
	if (S_ISREG(e->attr.mode))
		warm_file(w, path, &e->content);
	return S_ISDIR(e->attr.mode) ? warm_dir(w, path, depth) : 0;
}

static int warm_path(struct warm *w, const char *path)
{
	FSP_FREE char *dir = NULL;
	FSP_FREE char *name = NULL;
	struct fsp_entry e;
	int err;

	if (!*path)
		return warm_dir(w, path, 0);
	err = fsp_path_split(path, &dir, &name);
	if (!err)
		err = fsp_meta_lookup(w->a->store->meta, &w->a->ctx, dir, name,
		                      false, &e);
	return err ? err : warm_entry(w, path, &e, 0);
}

int fsp_admin_cache_warm(struct fsp_admin *a, const char *path)
{
	const struct fsp_config *c = a->store->config;
	struct fsp_cache_options o = {
		.dir = dir_of(c), .max_bytes = bytes_of(c, "size"),
		.min_free = bytes_of(c, "min_free"),
	};
	struct warm w = { .a = a };
	FSP_FREE char *text = NULL;
	int err;

	fsp_store_cache_source(a->store, &o.source);
	err = fsp_cache_open(&o, &w.cache);
	if (err)
		return fsp_admin_fail(a, err, "the cache %s", o.dir);
	err = warm_path(&w, path);
	fsp_cache_close(w.cache);
	if (err)
		return fsp_admin_fail(a, err, "/%s", path);
	text = fsp_text_bytes((int64_t)w.bytes);
	if (!text)
		return fsp_admin_fail(a, -ENOMEM, "cache");
	fprintf(a->out, "%" PRIu64 " files, %s\n", w.files, text);
	return w.failed ? FSP_EXIT_FAILED : FSP_EXIT_OK;
}
