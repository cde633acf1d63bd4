/* meta: delegated directories, and names that become rows later. */
#include "meta_fixture.h"

#define US "0123456789abcde00000000000000001"
#define THEM "fedcba9876543210000000000000000f"

/* ---- calls */

/* Another mount of the same database. */
static struct fsp_meta *other_mount(struct fx *f)
{
	struct fsp_meta_options o = fx_options();
	struct fsp_mountinfo i = { .id = THEM, .host = "h", .path = "/",
		                   .pid = 1 };
	struct fsp_meta *m;
	char *error = NULL;

	o.create = false;
	assert_int_equal(fx_db_open(&f->db, &o, &m, &error), 0);
	assert_int_equal(m->ops->mount_add(m, &f->ctx, &i), 0);
	return m;
}

static void add_us(struct fx *f)
{
	struct fsp_mountinfo i = { .id = US, .host = "h", .path = "/",
		                   .pid = 1 };

	assert_int_equal(fsp_meta_mount_add(f->m, &f->ctx, &i), 0);
}

static uint64_t delegated(struct fx *f, const char *path)
{
	struct fsp_new n = { .mode = S_IFDIR | 0755, .uid = 7, .gid = 8,
		             .holder = fsp_meta_holder(US) };
	struct fsp_entry e;
	FX_PLACE(at, path);

	assert_int_equal(fsp_meta_create(f->m, &f->ctx, &at, &n, &e), 0);
	assert_int_equal(e.holder, n.holder);
	assert_int_equal(e.attr.rdev, 0);
	return e.attr.ino;
}

static enum fsp_deleg polled(struct fx *f, uint64_t ino, const char *id)
{
	struct fsp_ref dir = { ino, "nothing/is/here" };
	enum fsp_deleg d = (enum fsp_deleg)99;

	assert_int_equal(fsp_meta_deleg_poll(f->m, &f->ctx, fsp_meta_holder(id),
	                                     &dir, &d), 0);
	return d;
}

static uint64_t new_ino(struct fx *f)
{
	uint64_t ino = 0;

	assert_int_equal(fsp_meta_new_ino(f->m, &f->ctx, &ino), 0);
	assert_true(ino >= FSP_INO_FIRST);
	return ino;
}

#define T1 1500000000111222333LL
#define T2 1500000001444555666LL

static struct fsp_birth a_dir(struct fx *f, const char *dir, const char *name)
{
	return (struct fsp_birth){
		.ino = new_ino(f), .dir = dir, .name = name,
		.attr = { .mode = S_IFDIR | 02750, .uid = 1000, .gid = 1001,
		          .atime_ns = T1, .mtime_ns = T1, .ctime_ns = T1 },
	};
}

static struct fsp_birth a_file(struct fx *f, const char *dir, const char *name,
                               const struct fsp_commit *c)
{
	return (struct fsp_birth){
		.ino = new_ino(f), .dir = dir, .name = name, .commit = c,
		.owner = US,
		.attr = { .mode = S_IFREG | 0644, .uid = 1000, .gid = 1001,
		          .atime_ns = T1, .mtime_ns = T1, .ctime_ns = T1 },
	};
}

static struct fsp_commit a_commit(const struct fsp_object *o)
{
	return (struct fsp_commit){ .object = o, .owner = US,
		                    .attr = { .mtime_ns = FX_MTIME } };
}

static int graft(struct fx *f, uint64_t root, const char *path,
                 struct fsp_birth *b, size_t n)
{
	struct fsp_graft g = {
		.root = { root, path }, .births = b, .n = n,
		.holder = root ? fsp_meta_holder(US) : 0,
	};

	return fsp_meta_graft(f->m, &f->ctx, &g);
}

/* ---- whose it is */

static void test_holder(void **state)
{
	(void)state;
	assert_int_equal(fsp_meta_holder(US), 0x0123456789abcdeLL);
	assert_int_equal(fsp_meta_holder(THEM), 0xfedcba987654321LL);
	assert_int_equal(fsp_meta_holder("00000000000000000000000000000007"), 1);
	assert_true(fsp_meta_holder("mount1") > 0);
	assert_true(fsp_meta_holder("mount1") != fsp_meta_holder("mount2"));
	assert_true(fsp_meta_holder("") > 0);
}

static int holder_of(void *arg, const char *name, const struct fsp_entry *e)
{
	if (strcmp(name, "d") == 0)
		*(int64_t *)arg = e->holder;
	else
		assert_int_equal(e->holder, 0);
	assert_int_equal(e->attr.rdev, 0);
	return 0;
}

static void assert_seen(struct fx *f, int64_t holder)
{
	struct fsp_attr a = { .mode = 0700 };
	int64_t seen[3] = { 0, 0, 0 };
	struct fsp_entry e = fx_get(f, "a/t/r/d");
	struct fsp_ref ref = { e.attr.ino, "a/t/r/d" };
	struct fsp_listing l = { "a/t/r", holder_of, &seen[1], false };

	assert_int_equal(e.holder, holder);
	assert_int_equal(fsp_meta_getattr(f->m, &f->ctx, &ref, &e), 0);
	assert_int_equal(e.holder, holder);
	assert_int_equal(fsp_meta_setattr(f->m, &f->ctx, &ref, FSP_SET_MODE, &a,
	                                  &e), 0);
	assert_int_equal(e.holder, holder);
	assert_int_equal(fsp_meta_list(f->m, &f->ctx, "a/t/r", 0, holder_of,
	                               &seen[0]), 0);
	assert_int_equal(fsp_meta_list_many(f->m, &f->ctx, &l, 1, 0), 0);
	assert_true(l.done);
	/* What PHP has there as well is listed in another way. */
	fx_php_upload(f, "a.t.r", "php", '5', 5, 1500000000);
	assert_int_equal(fsp_meta_list(f->m, &f->ctx, "a/t/r", 0, holder_of,
	                               &seen[2]), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(seen[i], holder);
	fx_walk(f, "a/t/r");
}

static void test_seen(void **state)
{
	struct fx *f = *state;
	struct fsp_new n = { .mode = S_IFDIR | 0755, .holder = -5 };
	struct fsp_renamed moved;
	struct fsp_entry e;
	uint64_t ino;
	FX_PLACE(at, "a/t/r/x");

	add_us(f);
	fx_mkdirs(f, "a/t/r");
	assert_int_equal(fx_get(f, "a/t/r").holder, 0);
	ino = delegated(f, "a/t/r/d");
	assert_seen(f, fsp_meta_holder(US));
	assert_int_equal(fx_mv(f, "a/t/r/d", "a/t/r/e", 0, &moved), 0);
	assert_int_equal(moved.entry.holder, fsp_meta_holder(US));
	assert_int_equal(fx_mv(f, "a/t/r/e", "a/t/r/d", 0, NULL), 0);
	assert_int_equal(polled(f, ino, US), FSP_DELEG_HELD);
	assert_int_equal(fsp_meta_deleg_recall(f->m, &f->ctx, ino, false),
	                 -EAGAIN);
	assert_seen(f, -fsp_meta_holder(US));
	assert_int_equal(fsp_meta_create(f->m, &f->ctx, &at, &n, &e), -EINVAL);
	fx_gone(f, "a/t/r/x");
	/* A device has its own number, and nobody holds it. */
	n = (struct fsp_new){ .mode = S_IFCHR | 0600, .rdev = 259 };
	assert_int_equal(fsp_meta_create(f->m, &f->ctx, &at, &n, &e), 0);
	assert_int_equal(e.attr.rdev, 259);
	assert_int_equal(e.holder, 0);
	assert_int_equal(fsp_meta_deleg_recall(f->m, &f->ctx, e.attr.ino, true),
	                 0);
	assert_int_equal(fx_get(f, "a/t/r/x").attr.rdev, 259);
}

static void test_recall(void **state)
{
	struct fx *f = *state;
	struct fsp_meta *o = other_mount(f);
	uint64_t ino[3];

	add_us(f);
	fx_mkdirs(f, "a/t");
	ino[0] = delegated(f, "a/t/r");
	ino[1] = fx_mkdir(f, "a/t/s");
	ino[2] = delegated(f, "a/t/u");
	assert_int_equal(fsp_meta_deleg_recall(o, &f->ctx, ino[1], false), 0);
	assert_int_equal(fsp_meta_deleg_recall(o, &f->ctx, 12345678, false), 0);
	assert_int_equal(polled(f, ino[0], THEM), FSP_DELEG_LOST);
	/* Asked for once or twice, it is still his. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(fsp_meta_deleg_recall(o, &f->ctx, ino[0],
		                                       false), -EAGAIN);
		assert_int_equal(polled(f, ino[0], US), FSP_DELEG_RECALLED);
		assert_int_equal(polled(f, ino[1], US), FSP_DELEG_LOST);
		assert_int_equal(polled(f, ino[2], US), FSP_DELEG_HELD);
	}
	/* What is another's is not given up. */
	assert_int_equal(fsp_meta_deleg_release(o, &f->ctx,
		fsp_meta_holder(THEM), ino, 3), 0);
	assert_int_equal(polled(f, ino[0], US), FSP_DELEG_RECALLED);
	assert_int_equal(fsp_meta_deleg_release(f->m, &f->ctx,
		fsp_meta_holder(US), ino, 3), 0);
	assert_int_equal(polled(f, ino[0], US), FSP_DELEG_LOST);
	assert_int_equal(polled(f, ino[2], US), FSP_DELEG_LOST);
	assert_int_equal(fsp_meta_deleg_recall(o, &f->ctx, ino[0], false), 0);
	assert_int_equal(fx_get(f, "a/t/r").holder, 0);
	/* None, and too many. */
	assert_int_equal(fsp_meta_deleg_release(f->m, &f->ctx, 1, NULL, 0), 0);
	assert_int_equal(fsp_meta_deleg_release(f->m, &f->ctx, 1, ino,
	                                        FSP_DELEG_MOST + 1), -EINVAL);
	o->ops->close(o);
}

/* As many as there may be. */
static void test_most(void **state)
{
	struct fx *f = *state;
	uint64_t ino[FSP_DELEG_MOST];
	char path[32];

	add_us(f);
	fx_mkdirs(f, "a/t");
	for (int i = 0; i < FSP_DELEG_MOST; i++) {
		snprintf(path, sizeof(path), "a/t/r%d", i);
		ino[i] = delegated(f, path);
	}
	assert_int_equal(fsp_meta_deleg_recall(f->m, &f->ctx, ino[5], false),
	                 -EAGAIN);
	assert_int_equal(fsp_meta_deleg_recall(f->m, &f->ctx, ino[6], true), 0);
	for (int i = 0; i < FSP_DELEG_MOST; i++)
		assert_int_equal(polled(f, ino[i], US), i == 5 ? FSP_DELEG_RECALLED :
		                 i == 6 ? FSP_DELEG_LOST : FSP_DELEG_HELD);
	assert_int_equal(fsp_meta_deleg_release(f->m, &f->ctx,
		fsp_meta_holder(US), ino, FSP_DELEG_MOST), 0);
	assert_int_equal(fx_number(f, "SELECT COUNT(*) FROM fsp_node WHERE"
	                           " rdev <> 0"), 0);
}

static void test_force(void **state)
{
	struct fx *f = *state;
	struct fsp_meta *o = other_mount(f);
	struct fsp_object ob = fx_object('1', 5);
	struct fsp_commit c = a_commit(&ob);
	struct fsp_birth b;
	uint64_t ino;

	add_us(f);
	fx_mkdirs(f, "a/t");
	ino = delegated(f, "a/t/r");
	b = a_file(f, "", "f", &c);
	/* Recalled, it still is; taken, it is not. */
	assert_int_equal(fsp_meta_deleg_recall(o, &f->ctx, ino, false), -EAGAIN);
	assert_int_equal(graft(f, ino, "a/t/r", &b, 1), 0);
	assert_int_equal(fsp_meta_deleg_recall(o, &f->ctx, ino, true), 0);
	assert_int_equal(polled(f, ino, US), FSP_DELEG_LOST);
	b = a_file(f, "", "g", &c);
	assert_int_equal(graft(f, ino, "a/t/r", &b, 1), -ENOLCK);
	assert_string_equal(fx_ls(f, "a/t/r"), "f");
	/* The same of one that nobody was asked for. */
	ino = delegated(f, "a/t/s");
	assert_int_equal(fsp_meta_deleg_recall(o, &f->ctx, ino, true), 0);
	assert_int_equal(graft(f, ino, "a/t/s", &b, 1), -ENOLCK);
	o->ops->close(o);
}

/* Whoever is gone is not waited for. */
static void test_dead(void **state)
{
	struct fx *f = *state;
	struct fsp_meta *o = other_mount(f);
	struct fsp_birth b = a_dir(f, "", "d");
	uint64_t ino[2];

	add_us(f);
	fx_mkdirs(f, "a/t");
	ino[0] = delegated(f, "a/t/r");
	ino[1] = delegated(f, "a/t/s");
	assert_int_equal(fsp_meta_deleg_recall(o, &f->ctx, ino[0], false),
	                 -EAGAIN);
	assert_int_equal(fsp_meta_mount_remove(o, &f->ctx, US), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(fsp_meta_deleg_recall(o, &f->ctx, ino[i],
		                                       false), 0);
		assert_int_equal(polled(f, ino[i], US), FSP_DELEG_LOST);
	}
	assert_int_equal(graft(f, ino[0], "a/t/r", &b, 1), -ENOLCK);
	o->ops->close(o);
}

/* ---- births */

static void assert_same_attr(const struct fsp_attr *a, const struct fsp_attr *b)
{
	assert_int_equal(a->mode, b->mode);
	assert_int_equal(a->uid, b->uid);
	assert_int_equal(a->gid, b->gid);
	assert_int_equal(a->nlink, b->nlink);
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->mtime_ns, b->mtime_ns);
}

static void assert_told(struct fx *f, const struct fsp_birth *b,
                        const char *path)
{
	struct fsp_entry e = fx_get(f, path);

	assert_false(b->was_there);
	assert_int_equal(e.attr.ino, b->ino);
	if (memcmp(&e, &b->out, sizeof(e)) != 0)
		fail_msg("%s: not as it was told", path);
}

struct seen_versions {
	int n;
	int64_t since[8], row[8];
	char hash[8];
};

static int note_version(void *arg, const struct fsp_version *v)
{
	struct seen_versions *s = arg;

	assert_true(s->n < 8);
	s->since[s->n] = v->stored_us;
	s->row[s->n] = v->row;
	s->hash[s->n++] = v->hash[0];
	return 0;
}

static struct seen_versions versions(struct fx *f, const char *path)
{
	struct seen_versions s = { .n = 0 };

	assert_int_equal(fsp_meta_history(f->m, &f->ctx, path, note_version,
	                                  &s), 0);
	return s;
}

static int note_past(void *arg, const char *name, enum fsp_past kind)
{
	char *text = arg;
	size_t len = strlen(text);

	snprintf(text + len, 100 - len, "%s=%d ", name, (int)kind);
	return 0;
}

static void assert_same_past(struct fx *f, const char *a, const char *b)
{
	char x[100] = "", y[100] = "";

	assert_int_equal(fsp_meta_past_names(f->m, &f->ctx, a, note_past, x),
	                 0);
	assert_int_equal(fsp_meta_past_names(f->m, &f->ctx, b, note_past, y),
	                 0);
	assert_true(*x);
	assert_string_equal(x, y);
}

/* Directories and a file with content in one call: as one after another. */
static void test_chain(void **state)
{
	struct fx *f = *state;
	struct fsp_object o = fx_object('1', 5);
	struct fsp_commit c = a_commit(&o);
	struct fsp_birth b[3];
	struct seen_versions v;
	struct fsp_entry was;
	uint64_t ino;

	add_us(f);
	fx_mkdirs(f, "a/t/other/x");
	fx_put(f, "a/t/other/x/f", '1', 5);
	ino = delegated(f, "a/u");
	was = fx_get(f, "a/u");
	b[0] = a_dir(f, "", "r");
	b[1] = a_dir(f, "r", "x");
	b[2] = a_file(f, "r/x", "f", &c);
	assert_int_equal(graft(f, ino, "a/u", b, 3), 0);
	assert_told(f, &b[0], "a/u/r");
	assert_told(f, &b[1], "a/u/r/x");
	assert_told(f, &b[2], "a/u/r/x/f");
	assert_int_equal(fx_walk(f, "a/u"), 3);
	assert_int_equal(b[0].out.attr.mode, S_IFDIR | 02750);
	assert_int_equal(b[0].out.attr.gid, 1001);
	assert_int_equal(b[0].out.attr.mtime_ns, T1);
	assert_int_equal(b[0].out.attr.ctime_ns, T1);
	{
		struct fsp_entry e = fx_get(f, "a/t/other/x/f");

		assert_same_attr(&b[2].out.attr, &e.attr);
		assert_string_equal(b[2].out.content.hash, e.content.hash);
		assert_int_equal(b[2].out.attr.atime_ns, T1);
	}
	assert_int_equal(fx_number(f, "SELECT COUNT(*) FROM filespace WHERE"
	                           " space_key = 'a.u.r' AND name = 'r'"), 1);
	assert_int_equal(fx_number(f, "SELECT COUNT(*) FROM filespace_file a"
		" JOIN filespace_file b ON b.space_key = 'a.t.other' AND"
		" a.file_key = b.file_key AND a.data_hash = b.data_hash AND"
		" a.created_at = b.created_at AND a.mode = b.mode AND"
		" a.uid = b.uid AND a.mtime_ns = b.mtime_ns AND"
		" a.size_original = b.size_original AND"
		" a.size_storage = b.size_storage AND a.deleted_at = 0 AND"
		" a.pred_id IS NULL AND a.stored_at = a.since_us WHERE"
		" a.space_key = 'a.u.r'"), 1);
	assert_same_past(f, "a/u/r/x", "a/t/other/x");
	v = versions(f, "a/u/r/x/f");
	assert_int_equal(v.n, 1);
	assert_int_equal(v.row[0], b[2].out.content.row);
	/* Its directory was not there before. */
	assert_string_equal(fx_ls_at(f, "a/u", v.since[0]), "r/");
	assert_string_equal(fx_ls_at(f, "a/u", v.since[0] - 1), "");
	/* Times of what was there are those of touches, of which were none. */
	assert_int_equal(fx_get(f, "a/u").attr.mtime_ns, was.attr.mtime_ns);
	/* And it goes on as any file does. */
	fx_commit(f, "a/u/r/x/f", '2', 6);
	assert_int_equal(versions(f, "a/u/r/x/f").n, 2);
	fx_check(f);
}

/* What a commit says goes over what the birth says. */
static void test_commit(void **state)
{
	struct fx *f = *state;
	struct fsp_object o = fx_object('3', 9);
	struct fsp_queued_commit q = { .at_us = 5, .end = FSP_QUEUED_PAST };
	struct fsp_commit c = a_commit(&o);
	struct fsp_birth b;
	uint64_t ino;

	add_us(f);
	fx_mkdirs(f, "a/t");
	ino = delegated(f, "a/t/r");
	c.mask = FSP_SET_MODE | FSP_SET_CTIME | FSP_SET_UID;
	c.attr = (struct fsp_attr){ .mode = 0400, .uid = 5, .mtime_ns = T2,
		                    .ctime_ns = T2 + 1 };
	c.queued = &q;
	b = a_file(f, "", "f", &c);
	o.verified_us = fsp_now_us();
	assert_int_equal(graft(f, ino, "a/t/r", &b, 1), 0);
	assert_told(f, &b, "a/t/r/f");
	assert_int_equal(b.out.attr.mode, S_IFREG | 0400);
	assert_int_equal(b.out.attr.uid, 5);
	assert_int_equal(b.out.attr.gid, 1001);
	assert_int_equal(b.out.attr.mtime_ns, T2);
	assert_int_equal(b.out.attr.ctime_ns, T2 + 1);
	assert_int_equal(q.end, FSP_QUEUED_LIVE);
	assert_int_equal(q.stored.row, b.out.content.row);
	assert_true(q.stored.row > 0);
	assert_int_equal(q.stored.size, 9);
	assert_int_equal(fsp_meta_object_get(f->m, &f->ctx, o.key, &o), 0);
	assert_int_equal(o.stored, 4);
	/* Of what nobody verified: what other rows say. */
	o.verified_us = 0;
	o.stored = 0;
	c.queued = NULL;
	b = a_file(f, "", "g", &c);
	assert_int_equal(graft(f, ino, "a/t/r", &b, 1), 0);
	assert_int_equal(fx_number(f, "SELECT size_storage FROM filespace_file"
	                           " WHERE file_key = 'g'"), 4);
}

/* Names without content, which go with their mount, or stay. */
static void test_pending(void **state)
{
	struct fx *f = *state;
	struct fsp_meta *o = other_mount(f);
	struct fsp_commit c = { .object = NULL, .attr = { .mtime_ns = T2 } };
	struct fsp_birth b[3];
	uint64_t ino;

	add_us(f);
	fx_mkdirs(f, "a/t");
	ino = delegated(f, "a/t/r");
	b[0] = a_file(f, "", "f", NULL);
	b[1] = a_file(f, "", "kept", NULL);
	b[1].owner = NULL;
	b[2] = a_file(f, "", "said", &c);
	assert_int_equal(graft(f, ino, "a/t/r", b, 3), 0);
	assert_told(f, &b[0], "a/t/r/f");
	assert_told(f, &b[1], "a/t/r/kept");
	assert_told(f, &b[2], "a/t/r/said");
	assert_int_equal(b[0].out.content.row, 0);
	assert_int_equal(b[0].out.attr.mtime_ns, T1);
	assert_int_equal(b[2].out.attr.mtime_ns, T2);
	assert_int_equal(fx_number(f, "SELECT COUNT(*) FROM filespace_file"),
	                 0);
	assert_int_equal(fx_number(f, "SELECT COUNT(*) FROM fsp_name WHERE"
	                           " owner = '" US "' AND name = 'f'"), 1);
	assert_int_equal(fsp_meta_mount_remove(o, &f->ctx, US), 0);
	assert_string_equal(fx_ls(f, "a/t/r"), "kept said");
	/* They are committed as others are. */
	fx_commit(f, "a/t/r/kept", '1', 3);
	fx_check(f);
	o->ops->close(o);
}

/* All or nothing. */
static void test_exists(void **state)
{
	struct fx *f = *state;
	struct fsp_object o = fx_object('1', 5);
	struct fsp_commit c = a_commit(&o);
	struct fsp_birth b[3];
	uint64_t ino;
	int64_t rows, changes;

	add_us(f);
	fx_mkdirs(f, "a/t");
	ino = delegated(f, "a/t/r");
	fx_mkdir(f, "a/t/r/d");
	rows = fx_number(f, "SELECT COUNT(*) FROM fsp_node");
	changes = fx_number(f, "SELECT COUNT(*) FROM fsp_change");
	b[0] = a_dir(f, "", "e");
	b[1] = a_file(f, "e", "f", &c);
	b[2] = a_file(f, "", "d", NULL);
	assert_int_equal(graft(f, ino, "a/t/r", b, 3), -EEXIST);
	b[2] = a_dir(f, "", "d");
	assert_int_equal(graft(f, ino, "a/t/r", b, 3), -EEXIST);
	assert_int_equal(fx_number(f, "SELECT COUNT(*) FROM fsp_node"), rows);
	assert_int_equal(fx_number(f, "SELECT COUNT(*) FROM fsp_change"),
	                 changes);
	assert_int_equal(fx_number(f, "SELECT COUNT(*) FROM filespace_file"),
	                 0);
	assert_string_equal(fx_ls(f, "a/t/r"), "d/");
	/* Brought before, and somewhere else by now. */
	assert_int_equal(graft(f, ino, "a/t/r", b, 2), 0);
	assert_int_equal(fx_mv(f, "a/t/r/e/f", "a/t/r/d/f", 0, NULL), 0);
	assert_int_equal(graft(f, ino, "a/t/r", b, 2), -EEXIST);
	/* What cannot be. */
	b[0].ino = 0;
	assert_int_equal(graft(f, ino, "a/t/r", b, 1), -EINVAL);
	b[0] = a_dir(f, "", "x");
	b[0].commit = &c;
	assert_int_equal(graft(f, ino, "a/t/r", b, 1), -EINVAL);
	b[0] = a_file(f, "", "x", NULL);
	b[0].attr.mode = S_IFLNK | 0777;
	assert_int_equal(graft(f, ino, "a/t/r", b, 1), -EINVAL);
	b[0] = a_file(f, "", "x", NULL);
	b[1] = a_file(f, "x", "y", NULL);
	assert_int_equal(graft(f, ino, "a/t/r", b, 2), -EINVAL);
	fx_gone(f, "a/t/r/x");
}

/* The answer was lost, and it is brought again. */
static void test_was_there(void **state)
{
	struct fx *f = *state;
	struct fsp_object o = fx_object('1', 5), o2 = fx_object('2', 6);
	struct fsp_commit c = a_commit(&o);
	struct fsp_birth b[3];
	struct fsp_entry e;
	uint64_t ino;

	add_us(f);
	fx_mkdirs(f, "a/t");
	ino = delegated(f, "a/t/r");
	b[0] = a_dir(f, "", "d");
	b[1] = a_file(f, "d", "f", &c);
	assert_int_equal(graft(f, ino, "a/t/r", b, 2), 0);
	e = b[1].out;
	c.object = &o2;
	b[2] = a_file(f, "d", "g", &c);
	assert_int_equal(graft(f, ino, "a/t/r", b, 3), 0);
	assert_true(b[0].was_there && b[1].was_there);
	assert_int_equal(b[1].out.content.row, e.content.row);
	assert_int_equal(b[1].out.attr.ctime_ns, e.attr.ctime_ns);
	assert_int_equal(b[1].out.attr.size, 5);
	assert_int_equal(b[0].out.attr.ino, b[0].ino);
	assert_told(f, &b[2], "a/t/r/d/g");
	assert_int_equal(fx_get(f, "a/t/r/d/f").content.row, e.content.row);
}

/* ---- the root */

static void test_root(void **state)
{
	struct fx *f = *state;
	struct fsp_meta *o = other_mount(f);
	struct fsp_renamed moved;
	struct fsp_object ob = fx_object('1', 5);
	struct fsp_commit c = a_commit(&ob);
	struct fsp_birth b = a_file(f, "d", "f", &c);
	struct fsp_graft g;
	struct fsp_birth top = a_dir(f, "", "top");
	struct fsp_place from = { .dir = "a/t", .name = "r" };
	struct fsp_place to = { .dir = "b", .name = "s" };
	uint64_t ino, below;

	add_us(f);
	fx_mkdirs(f, "a/t");
	fx_mkdirs(f, "b");
	ino = delegated(f, "a/t/r");
	below = fx_mkdir(f, "a/t/r/d");
	assert_int_equal(fsp_meta_rename(o, &f->ctx, &from, &to, 0, &moved), 0);
	assert_int_equal(graft(f, ino, "a/t/r", &b, 1), 0);
	assert_told(f, &b, "b/s/d/f");
	/* Without a directory between, which only a holder knows to be there;
	 * without itself. */
	g = (struct fsp_graft){ .root = { ino, "b/s" }, .births = &b, .n = 1 };
	b = a_file(f, "none", "f", &c);
	assert_int_equal(fsp_meta_graft(f->m, &f->ctx, &g), -ESTALE);
	b = a_file(f, "d/f", "g", &c);
	assert_int_equal(fsp_meta_graft(f->m, &f->ctx, &g), -ESTALE);
	b = a_file(f, "", "g", &c);
	assert_int_equal(graft(f, fx_get(f, "b/s/d/f").attr.ino, "b/s", &b, 1),
	                 -ESTALE);
	assert_int_equal(graft(f, 999999, "b/s", &b, 1), -ESTALE);
	assert_int_equal(graft(f, below, "b/s/d", &b, 1), -ENOLCK);
	/* Whatever is at a path; the root of all. */
	assert_int_equal(graft(f, 0, "b/s/none", &b, 1), -ESTALE);
	assert_int_equal(graft(f, 0, "b/s/d/f", &b, 1), -ESTALE);
	assert_int_equal(graft(f, 0, "b/s/d", &b, 1), 0);
	assert_told(f, &b, "b/s/d/g");
	assert_int_equal(graft(f, 0, "", &top, 1), 0);
	assert_told(f, &top, "top");
	{
		struct fsp_birth more = a_dir(f, "", "more");

		g = (struct fsp_graft){ .root = { FSP_INO_ROOT, NULL },
			                .births = &more, .n = 1 };
		assert_int_equal(fsp_meta_graft(f->m, &f->ctx, &g), 0);
		assert_told(f, &more, "more");
		g.holder = fsp_meta_holder(US);
		more = a_dir(f, "", "evenmore");
		assert_int_equal(fsp_meta_graft(f->m, &f->ctx, &g), -ENOLCK);
		g.holder = -1;
		assert_int_equal(fsp_meta_graft(f->m, &f->ctx, &g), -EINVAL);
		/* By path, and it has to be ours all the same. */
		g.root = (struct fsp_ref){ 0, "b/s" };
		g.holder = fsp_meta_holder(US);
		assert_int_equal(fsp_meta_graft(f->m, &f->ctx, &g), 0);
		assert_told(f, &more, "b/s/evenmore");
	}
	assert_int_equal(fx_rm(f, "b/s/d/f", false), 0);
	assert_int_equal(fx_rm(f, "b/s/d/g", false), 0);
	assert_int_equal(fx_rm(f, "b/s/d", true), 0);
	b = a_file(f, "", "g", &c);
	{
		g = (struct fsp_graft){ .root = { below, "b/s/d" },
			                .births = &b, .n = 1 };
		assert_int_equal(fsp_meta_graft(f->m, &f->ctx, &g), -ESTALE);
	}
	o->ops->close(o);
}

/* Only PHP's rows make the directories. */
static void test_implied_root(void **state)
{
	struct fx *f = *state;
	struct fsp_object o = fx_object('1', 5);
	struct fsp_commit c = a_commit(&o);
	struct fsp_birth b[2] = { a_file(f, "", "mine", &c),
		                  a_file(f, "d/e", "mine", &c) };
	struct fsp_graft g = { .births = b, .n = 2 };
	struct fsp_entry e;

	fx_php_upload(f, "p.t.r", "d/e/f", '5', 5, 1500000000);
	e = fx_get(f, "p/t/r");
	assert_true(e.attr.ino >= FSP_INO_DIR);
	g.root = (struct fsp_ref){ e.attr.ino, "p/t/r" };
	assert_int_equal(fsp_meta_graft(f->m, &f->ctx, &g), 0);
	assert_told(f, &b[0], "p/t/r/mine");
	assert_told(f, &b[1], "p/t/r/d/e/mine");
	assert_int_equal(fx_get(f, "p/t/r").attr.ino, e.attr.ino);
	assert_string_equal(fx_ls(f, "p/t/r/d/e"), "f mine");
	g.root.ino++;
	assert_int_equal(fsp_meta_graft(f->m, &f->ctx, &g), -ESTALE);
	g.root = (struct fsp_ref){ 0, "q/t/r" };
	b[0] = a_file(f, "", "mine", &c);
	g.n = 1;
	fx_php_upload(f, "q.t.r", "g", '5', 5, 1500000000);
	assert_int_equal(fsp_meta_graft(f->m, &f->ctx, &g), 0);
	assert_told(f, &b[0], "q/t/r/mine");
}

/* ---- what PHP has at the place */

/* A name without content: the file is what PHP wrote. */
static void test_php_pending(void **state)
{
	struct fx *f = *state;
	struct fsp_birth b;
	uint64_t ino;
	int64_t row;

	add_us(f);
	fx_mkdirs(f, "a/t");
	ino = delegated(f, "a/t/r");
	fx_php_upload(f, "a.t.r", "f", '4', 4, 1400000000);
	row = fx_php_upload(f, "a.t.r", "f", '5', 5, 1500000000);
	b = a_file(f, "", "f", NULL);
	assert_int_equal(graft(f, ino, "a/t/r", &b, 1), 0);
	assert_told(f, &b, "a/t/r/f");
	assert_int_equal(b.out.content.row, row);
	assert_int_equal(b.out.attr.size, 5);
	assert_int_equal(b.out.attr.mode, S_IFREG | 0644);
	assert_int_equal(b.out.attr.mtime_ns, 1500000000 * FSP_NS_PER_SEC);
	assert_int_equal(fx_number(f, "SELECT COUNT(*) FROM fsp_name WHERE"
	                           " name = 'f' AND owner IS NULL AND"
	                           " file_id IS NOT NULL"), 1);
	assert_int_equal(versions(f, "a/t/r/f").n, 2);
	assert_int_equal(fx_number(f, "SELECT COUNT(*) FROM filespace_file"
	                           " WHERE ino IS NULL"), 0);
	/* A directory that was made before is not undone by it: it is hidden. */
	fx_php_upload(f, "a.t.r", "g", '5', 5, 1500000000);
	b = a_dir(f, "", "g");
	assert_int_equal(graft(f, 0, "a/t/r", &b, 1), -EEXIST);
	assert_int_equal(graft(f, ino, "a/t/r", &b, 1), 0);
	assert_told(f, &b, "a/t/r/g");
	fx_check(f);
}

/* With content: it is written over, and is a version before. */
static void test_php_content(void **state)
{
	struct fx *f = *state;
	struct fsp_object o = fx_object('1', 7);
	struct fsp_commit c = a_commit(&o);
	struct seen_versions v;
	struct fsp_birth b;
	uint64_t ino;
	int64_t row;

	add_us(f);
	fx_mkdirs(f, "a/t");
	ino = delegated(f, "a/t/r");
	row = fx_php_upload(f, "a.t.r", "f", '5', 5, 1500000000);
	b = a_file(f, "", "f", &c);
	assert_int_equal(graft(f, ino, "a/t/r", &b, 1), 0);
	assert_told(f, &b, "a/t/r/f");
	assert_int_equal(b.out.attr.mtime_ns, FX_MTIME);
	assert_true(b.out.content.row > row);
	assert_int_equal(fx_number(f, "SELECT pred_id FROM filespace_file"
	                           " WHERE data_hash LIKE '1111%'"), row);
	assert_int_equal(fx_php_get(f, "a.t.r", "f"), '1');
	v = versions(f, "a/t/r/f");
	assert_int_equal(v.n, 2);
	assert_int_equal(v.hash[0], '5');
	assert_int_equal(v.hash[1], '1');
	fx_check(f);
	/* The same content is no new version. */
	row = fx_php_upload(f, "a.t.r", "g", '6', 6, 1500000000);
	o = fx_object('6', 6);
	o.key[40] = '\0';
	b = a_file(f, "", "g", &c);
	assert_int_equal(graft(f, ino, "a/t/r", &b, 1), 0);
	assert_told(f, &b, "a/t/r/g");
	assert_int_equal(b.out.content.row, row);
	assert_int_equal(b.out.attr.mtime_ns, FX_MTIME);
	/* What it has deleted is the past of the place. */
	fx_php_upload(f, "a.t.r", "h", '7', 7, 1500000000);
	fx_php_delete(f, "a.t.r", "h");
	o = fx_object('8', 8);
	b = a_file(f, "", "h", &c);
	assert_int_equal(graft(f, ino, "a/t/r", &b, 1), 0);
	assert_told(f, &b, "a/t/r/h");
	assert_int_equal(versions(f, "a/t/r/h").n, 2);
	assert_int_equal(fx_number(f, "SELECT COUNT(*) FROM filespace_file"
	                           " WHERE ino IS NULL"), 0);
	/* A name whose row it closed is dead. */
	for (int i = 0; i < 2; i++) {
		fx_php_delete(f, "a.t.r", "h");
		fx_gone(f, "a/t/r/h");
		b = a_file(f, "", "h", &c);
		b.commit = i ? &c : NULL;
		assert_int_equal(graft(f, ino, "a/t/r", &b, 1), 0);
		assert_told(f, &b, "a/t/r/h");
		assert_int_equal(b.out.attr.mtime_ns, i ? FX_MTIME : T1);
		fx_commit(f, "a/t/r/h", '9', 9);
	}
}

/* What its rows make a directory gets the name of ours. */
static void test_php_dir(void **state)
{
	struct fx *f = *state;
	struct fsp_birth b[2];
	struct fsp_object o = fx_object('1', 7);
	struct fsp_commit c = a_commit(&o);
	uint64_t ino;

	add_us(f);
	fx_mkdirs(f, "a");
	ino = delegated(f, "a/t");
	fx_php_upload(f, "a.t.r", "f", '5', 5, 1500000000);
	fx_sql(f, "INSERT INTO filespace (space_key, name, created_at)"
	       " VALUES ('a.t.s', 's', 1500000000)");
	b[0] = a_dir(f, "", "r");
	b[1] = a_file(f, "r", "g", &c);
	assert_int_equal(graft(f, ino, "a/t", b, 2), 0);
	assert_told(f, &b[0], "a/t/r");
	assert_told(f, &b[1], "a/t/r/g");
	assert_string_equal(fx_ls(f, "a/t/r"), "f g");
	assert_int_equal(b[0].out.attr.mode, S_IFDIR | 02750);
	b[0] = a_dir(f, "", "s");
	assert_int_equal(graft(f, ino, "a/t", b, 1), 0);
	assert_told(f, &b[0], "a/t/s");
	assert_int_equal(fx_number(f, "SELECT COUNT(*) FROM filespace WHERE"
	                           " space_key = 'a.t.s'"), 1);
	assert_int_equal(fx_number(f, "SELECT COUNT(*) FROM filespace WHERE"
	                           " space_key = 'a.t.r'"), 1);
	/* A file cannot be where a directory is. */
	fx_php_upload(f, "a.t.r", "d/f", '5', 5, 1500000000);
	b[0] = a_file(f, "r", "d", &c);
	assert_int_equal(graft(f, ino, "a/t", b, 1), -EEXIST);
	assert_int_equal(fx_walk(f, "a/t"), 6);
}

/* ---- times, and what others are told */

static void test_touches(void **state)
{
	struct fx *f = *state;
	struct fsp_birth b;
	int64_t later = fsp_now_ns() + FSP_NS_PER_SEC;
	struct fsp_touch d[2] = { { 0, later }, { 0, T2 } };
	struct fsp_attr was = { .mtime_ns = later + 10 };
	struct fsp_graft g = { .births = &b, .n = 1, .touches = d,
		               .n_touches = 2, .holder = fsp_meta_holder(US) };
	struct fsp_entry e;

	add_us(f);
	fx_mkdirs(f, "a/t");
	g.root = (struct fsp_ref){ delegated(f, "a/t/r"), "a/t/r" };
	b = a_dir(f, "", "d");
	d[0].ino = g.root.ino;
	d[1].ino = b.ino;
	assert_int_equal(fsp_meta_graft(f->m, &f->ctx, &g), 0);
	e = fx_get(f, "a/t/r");
	assert_int_equal(e.attr.mtime_ns, later);
	assert_int_equal(e.attr.ctime_ns, later);
	assert_int_equal(e.holder, fsp_meta_holder(US));
	e = fx_get(f, "a/t/r/d");
	assert_int_equal(e.attr.mtime_ns, T2);
	assert_int_equal(e.attr.atime_ns, T1);
	/* Only that, and nothing is stored. */
	d[0].time_ns = later + 2;
	g.n = 0;
	assert_int_equal(fsp_meta_graft(f->m, &f->ctx, &g), 0);
	assert_int_equal(fx_get(f, "a/t/r").attr.mtime_ns, later + 2);
	/* What changed it after that stays; no time goes back. */
	d[0].time_ns = later + 1;
	assert_int_equal(fsp_meta_graft(f->m, &f->ctx, &g), 0);
	assert_int_equal(fx_get(f, "a/t/r").attr.mtime_ns, later + 2);
	assert_int_equal(fx_get(f, "a/t/r").attr.ctime_ns, later + 2);
	/* Though it was given a time that has not come yet, something was made
	 * in it since. */
	was.ctime_ns = later + 3;
	assert_int_equal(fsp_meta_setattr(f->m, &f->ctx, &g.root, FSP_SET_MTIME |
	                                  FSP_SET_CTIME, &was, &e), 0);
	d[0].time_ns = later + 4;
	assert_int_equal(fsp_meta_graft(f->m, &f->ctx, &g), 0);
	assert_int_equal(fx_get(f, "a/t/r").attr.mtime_ns, later + 4);
	assert_int_equal(fx_get(f, "a/t/r").attr.ctime_ns, later + 4);
	/* By path, and without anything to touch. */
	d[0].time_ns = later + 5;
	g.root.ino = 0;
	g.holder = 0;
	assert_int_equal(fsp_meta_graft(f->m, &f->ctx, &g), 0);
	assert_int_equal(fx_get(f, "a/t/r").attr.mtime_ns, later + 5);
	g.n_touches = 0;
	assert_int_equal(fsp_meta_graft(f->m, &f->ctx, &g), 0);
}

struct told {
	char text[4096];
};

static int note(void *arg, const struct fsp_change *c)
{
	struct told *t = arg;
	size_t len = strlen(t->text);

	if (c->path)
		snprintf(t->text + len, sizeof(t->text) - len, "%s%s ", c->path,
		         c->named ? "!" : "");
	return 0;
}

static void assert_changes(struct fx *f, struct fsp_meta *m,
                           struct fsp_feed **feed, const char *want)
{
	struct told t = { .text = "" };

	assert_int_equal(m->ops->changes(m, &f->ctx, feed, note, &t), 0);
	assert_string_equal(t.text, want);
}

static void test_changes(void **state)
{
	struct fx *f = *state;
	struct fsp_meta *o = other_mount(f);
	struct fsp_object ob = fx_object('1', 5);
	struct fsp_commit c = a_commit(&ob);
	struct fsp_birth b[3] = { a_dir(f, "", "d"), a_file(f, "d", "f", &c),
		                  a_file(f, "", "g", NULL) };
	struct fsp_touch d = { .time_ns = T1 };
	struct fsp_graft g = { .touches = &d, .n_touches = 1 };
	struct fsp_feed *feed = NULL;
	struct told t = { .text = "" };
	uint64_t ino;

	add_us(f);
	fx_mkdirs(f, "a/t");
	ino = delegated(f, "a/t/r");
	assert_int_equal(o->ops->changes(o, &f->ctx, &feed, note, &t), 0);
	assert_int_equal(graft(f, ino, "a/t/r", b, 3), 0);
	assert_changes(f, o, &feed, "a/t/r/d! a/t/r/d/f! a/t/r/g! ");
	assert_int_equal(graft(f, ino, "a/t/r", b, 3), 0);
	assert_changes(f, o, &feed, "");
	/* A directory whose time alone is another. */
	d.ino = ino;
	g.root = (struct fsp_ref){ ino, "a/t/r" };
	assert_int_equal(fsp_meta_graft(f->m, &f->ctx, &g), 0);
	assert_changes(f, o, &feed, "a/t/r ");
	fsp_feed_free(feed);
	o->ops->close(o);
}

static void test_read_only(void **state)
{
	struct fsp_meta_options o = fx_options();
	struct fx *f = *state;
	struct fsp_birth b = a_dir(f, "", "d");
	uint64_t ino;

	add_us(f);
	fx_mkdirs(f, "a/t");
	ino = delegated(f, "a/t/r");
	fx_close(f);
	o.read_only = true;
	fx_open(f, &o);
	assert_int_equal(fx_get(f, "a/t/r").holder, fsp_meta_holder(US));
	assert_int_equal(polled(f, ino, US), FSP_DELEG_HELD);
	assert_int_equal(graft(f, ino, "a/t/r", &b, 1), -EROFS);
	assert_int_equal(fsp_meta_deleg_recall(f->m, &f->ctx, ino, false),
	                 -EROFS);
	assert_int_equal(fsp_meta_deleg_release(f->m, &f->ctx,
		fsp_meta_holder(US), &ino, 1), -EROFS);
	assert_int_equal(fsp_meta_new_ino(f->m, &f->ctx, &ino), -EROFS);
}

/* More births than are asked about in one text. */
static void test_many(void **state)
{
	enum { N = 250 };
	struct fx *f = *state;
	struct fsp_object o = fx_object('1', 5);
	struct fsp_commit c = a_commit(&o);
	struct fsp_birth b[N];
	char name[N][16];
	uint64_t ino;

	add_us(f);
	fx_mkdirs(f, "a/t");
	ino = delegated(f, "a/t/r");
	for (int i = 0; i < N; i++) {
		snprintf(name[i], sizeof(name[i]), "n%d", i / 2);
		b[i] = i % 2 ? a_file(f, name[i - 1], "f", &c) :
			a_dir(f, "", name[i]);
	}
	assert_int_equal(graft(f, ino, "a/t/r", b, N), 0);
	for (int i = 0; i < N; i++)
		assert_int_equal(i % 2, b[i].out.content.row > 0);
	assert_told(f, &b[N - 1], "a/t/r/n124/f");
	assert_int_equal(fx_walk(f, "a/t/r"), N);
}

#ifdef FX_MARIA

static uint64_t trips(struct fx *f)
{
	struct fsp_meta_stats s;

	fsp_meta_stats(f->m, &s);
	return s.trips;
}

/* What is claimed and asked, and what is written with the COMMIT. */
static void test_trips(void **state)
{
	struct fx *f = *state;
	struct fsp_object o = fx_object('1', 5);
	struct fsp_commit c = a_commit(&o);
	struct fsp_birth b[4];
	uint64_t ino, before;

	add_us(f);
	fx_mkdirs(f, "a/t");
	ino = delegated(f, "a/t/r");
	fx_mkdir(f, "a/t/r/known");
	for (int i = 0; i < 2; i++) {
		char name[] = "f0", dir[] = "d0";

		name[1] = dir[1] = (char)('0' + i);
		b[0] = a_file(f, "", name, &c);
		before = trips(f);
		assert_int_equal(graft(f, ino, "a/t/r", b, 1), 0);
		if (i)
			assert_int_equal(trips(f) - before, 2);
		b[0] = a_dir(f, "", dir);
		b[1] = a_file(f, dir, "f", &c);
		b[2] = a_file(f, dir, "g", NULL);
		b[3] = a_file(f, "known", name, &c);
		before = trips(f);
		assert_int_equal(graft(f, ino, "a/t/r", b, 4), 0);
		if (i)
			assert_int_equal(trips(f) - before, 2);
		before = trips(f);
		assert_int_equal(polled(f, ino, US), FSP_DELEG_HELD);
		if (i)
			assert_int_equal(trips(f) - before, 1);
	}
	assert_int_equal(fsp_meta_deleg_recall(f->m, &f->ctx, ino, false),
	                 -EAGAIN);
	before = trips(f);
	assert_int_equal(fsp_meta_deleg_recall(f->m, &f->ctx, ino, false),
	                 -EAGAIN);
	assert_int_equal(trips(f) - before, 1);
	before = trips(f);
	assert_int_equal(fsp_meta_deleg_release(f->m, &f->ctx,
		fsp_meta_holder(US), &ino, 1), 0);
	assert_int_equal(trips(f) - before, 1);
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_holder),
		FX_TEST(test_seen),
		FX_TEST(test_recall),
		FX_TEST(test_most),
		FX_TEST(test_force),
		FX_TEST(test_dead),
		FX_TEST(test_chain),
		FX_TEST(test_commit),
		FX_TEST(test_pending),
		FX_TEST(test_exists),
		FX_TEST(test_was_there),
		FX_TEST(test_root),
		FX_TEST(test_implied_root),
		FX_TEST(test_php_pending),
		FX_TEST(test_php_content),
		FX_TEST(test_php_dir),
		FX_TEST(test_touches),
		FX_TEST(test_changes),
		FX_TEST(test_read_only),
		FX_TEST(test_many),
#ifdef FX_MARIA
		FX_TEST(test_trips),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
