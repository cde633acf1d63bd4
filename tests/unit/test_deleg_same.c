/*
 * meta: what a mount that keeps names in memory answers is what one without
 * answers. The same calls by chance, in one account through the decorator and in
 * another without: errors, attributes, times and listings are the same.
 */
#include <stdatomic.h>

#include "deleg_fixture.h"
#include "fsp_buf.h"

#define STEPS 250
#ifdef FX_MARIA
#define ROUNDS 2
#else
#define ROUNDS 6
#endif
#define ENTRIES 400
#define NAMES 4
#define DEPTH 6

/* From the environment, so that a failure can be repeated. */
static unsigned seed(void)
{
	const char *s = getenv("TEST_SEED");

	return s ? (unsigned)strtoul(s, NULL, 10) : 20260101;
}

static unsigned next(unsigned *r)
{
	*r = *r * 1103515245 + 12345;
	return *r >> 16 & 0x7fff;
}

/* Stands still during a step: both see the same times. */
static _Atomic int64_t now = 1700000000 * FSP_NS_PER_SEC;

static int64_t the_time(void)
{
	return now;
}

/* An inode of both, and where it was last seen, below the account. */
struct known {
	uint64_t ino[2];
	char path[128];
	bool is_dir;
};

struct same {
	struct fx *f;
	struct fx x[2];         /* with names in memory, and without */
	struct fx mount[2];     /* x[0] is one of them */
	bool both;              /* now the one, now the other */
	struct known k[ENTRIES];
	int n, step;
	unsigned r;
	char what[400];         /* the step */
};

#define WRONG(s, ...) do { \
	print_error("seed %u, step %d: %s\n", seed(), (s)->step, (s)->what); \
	fail_msg(__VA_ARGS__); \
} while (0)

/* ---- comparing */

static char account[2][8];

static void full(char *out, int i, const char *path)
{
	snprintf(out, 160, "%s%s%s", account[i], *path ? "/" : "", path);
}

static void same_ino(struct same *s, const char *path, uint64_t a, uint64_t b)
{
	for (int i = 0; i < s->n; i++)
		if ((s->k[i].ino[0] == a) != (s->k[i].ino[1] == b))
			WRONG(s, "%s: another inode", path);
}

#define SAME(field, format) do { \
	if (a->field != b->field) \
		WRONG(s, "%s: " #field " " format ", not " format, path, \
		      a->field, b->field); \
} while (0)

static void same_entry(struct same *s, const char *path,
                       const struct fsp_entry *ea, const struct fsp_entry *eb)
{
	const struct fsp_attr *a = &ea->attr, *b = &eb->attr;

	same_ino(s, path, a->ino, b->ino);
	SAME(mode, "%o");
	SAME(uid, "%u");
	SAME(gid, "%u");
	SAME(nlink, "%u");
	SAME(size, "%lu");
	SAME(rdev, "%lu");
	SAME(atime_ns, "%ld");
	SAME(mtime_ns, "%ld");
	SAME(ctime_ns, "%ld");
	if (!S_ISREG(a->mode))
		return;
	if (strcmp(ea->content.hash, eb->content.hash) != 0 ||
	    ea->content.size != eb->content.size ||
	    !ea->content.row != !eb->content.row)
		WRONG(s, "%s: another content", path);
}

/* 0: there is an entry, the same. */
static int same_answer(struct same *s, const char *path, const int *err,
                       const struct fsp_entry *e)
{
	if (err[0] != err[1])
		WRONG(s, "%s: error %d, not %d", path, err[0], err[1]);
	if (!err[0] && e)
		same_entry(s, path, &e[0], &e[1]);
	return err[0];
}

/* Of either store, one after the other. */
static int look(struct same *s, const char *path, struct fsp_entry *e)
{
	int err[2];

	for (int i = 0; i < 2; i++) {
		char p[160];

		full(p, i, path);
		err[i] = fx_look(&s->x[i], p, &e[i]);
	}
	return same_answer(s, path, err, e);
}

struct listed {
	char *name[100];
	struct fsp_entry e[100];
	int n;
};

static int note(void *arg, const char *name, const struct fsp_entry *e)
{
	struct listed *l = arg;
	int i = l->n++;

	assert_true(i < 100);
	for (; i > 0 && strcmp(l->name[i - 1], name) > 0; i--) {
		l->name[i] = l->name[i - 1];
		l->e[i] = l->e[i - 1];
	}
	l->name[i] = strdup(name);
	l->e[i] = *e;
	return 0;
}

static void same_list(struct same *s, const char *dir)
{
	struct listed l[2] = { { .n = 0 }, { .n = 0 } };
	int err[2];

	for (int i = 0; i < 2; i++) {
		char p[160];

		full(p, i, dir);
		err[i] = fsp_meta_list(s->x[i].m, &s->x[i].ctx, p, 0, note,
		                       &l[i]);
	}
	(void)same_answer(s, dir, err, NULL);
	if (l[0].n != l[1].n)
		WRONG(s, "%s: %d names, not %d", dir, l[0].n, l[1].n);
	for (int k = 0; k < l[0].n; k++) {
		if (strcmp(l[0].name[k], l[1].name[k]) != 0)
			WRONG(s, "%s: %s, not %s", dir, l[0].name[k],
			      l[1].name[k]);
		same_entry(s, l[0].name[k], &l[0].e[k], &l[1].e[k]);
		free(l[0].name[k]);
		free(l[1].name[k]);
	}
}

/* Without making anything rows. */
static void same_names(struct same *s)
{
	struct fsp_entry e[2];

	for (int i = 0; i < s->n; i++)
		(void)look(s, s->k[i].path, e);
}

static void same_tree(struct same *s)
{
	same_names(s);
	for (int i = 0; i < s->n; i++)
		if (s->k[i].is_dir)
			same_list(s, s->k[i].path);
}

/* ---- what is known */

static void know(struct same *s, const char *path, const struct fsp_entry *e)
{
	struct known *k = &s->k[s->n];

	if (s->n == ENTRIES)
		return;
	k->ino[0] = e[0].attr.ino;
	k->ino[1] = e[1].attr.ino;
	k->is_dir = S_ISDIR(e[0].attr.mode);
	snprintf(k->path, sizeof(k->path), "%s", path);
	s->n++;
}

/* The later ones more often: those are what is in memory. */
static struct known *pick(struct same *s, bool dir)
{
	for (int tries = 0; tries < 50; tries++) {
		int i = s->n - 1 - (int)(next(&s->r) % 16);
		struct known *k = &s->k[i < 0 || next(&s->r) % 3 == 0 ?
			(int)(next(&s->r) % (unsigned)s->n) : i];

		if (k->is_dir == dir || next(&s->r) % 16 == 0)
			return k;
	}
	return &s->k[0];
}

static int depth_of(const char *path)
{
	int n = *path != 0;

	for (; *path; path++)
		n += *path == '/';
	return n;
}

/* A place: in a directory that is known, mostly. */
struct spot {
	char path[128];
	struct known *dir;      /* is to be this one, or NULL */
};

static struct spot spot(struct same *s)
{
	struct known *d;
	struct spot p;

	do
		d = pick(s, true);
	while (depth_of(d->path) >= DEPTH);
	snprintf(p.path, sizeof(p.path), "%.100s%sn%u", d->path,
	         *d->path ? "/" : "", next(&s->r) % NAMES);
	p.dir = next(&s->r) % 3 ? d : NULL;
	return p;
}

#define SPOT(var, i, p) \
	char var##_path[160], var##_dir[FSP_PATH_MAX], var##_name[300]; \
	struct fsp_place var = { (p).dir ? (p).dir->ino[i] : 0, var##_dir, \
		                 var##_name, 0 }; \
	full(var##_path, i, (p).path); \
	fx_split(var##_path, var##_dir, var##_name)

#define REF(var, i, k) \
	char var##_path[160]; \
	struct fsp_ref var = { (k)->ino[i], var##_path }; \
	full(var##_path, i, (k)->path)

#define SAY(s, ...) snprintf((s)->what, sizeof((s)->what), __VA_ARGS__)

/* ---- the calls */

static void do_create(struct same *s)
{
	static const uint32_t modes[] = {
		S_IFDIR | 0755, S_IFDIR | 0700, S_IFDIR | 02775, S_IFREG | 0644,
		S_IFREG | 0600, S_IFREG | 0640, S_IFLNK | 0777, S_IFIFO | 0600
	};
	struct spot p = spot(s);
	uint32_t mode = modes[next(&s->r) % (next(&s->r) % 4 ? 6 : 8)];
	uint32_t gid = next(&s->r) % 5;
	struct fsp_entry e[2];
	int err[2];

	SAY(s, "create %s mode %o dir_ino %d", p.path, mode, p.dir != NULL);
	for (int i = 0; i < 2; i++) {
		struct fsp_new n = { .mode = mode, .uid = 7, .gid = gid,
			             .target = "to", .owner = s->x[i].owner };
		SPOT(at, i, p);

		err[i] = fsp_meta_create(s->x[i].m, &s->x[i].ctx, &at, &n,
		                         &e[i]);
	}
	if (!same_answer(s, p.path, err, e))
		know(s, p.path, e);
}

static void do_remove(struct same *s)
{
	struct known *k = pick(s, next(&s->r) % 2);
	bool dir = next(&s->r) % 8 ? k->is_dir : !k->is_dir;
	bool stub = next(&s->r) % 6 == 0;
	struct spot p = { .dir = NULL };
	struct fsp_entry e[2];
	int err[2];

	if (!*k->path)
		return;
	snprintf(p.path, sizeof(p.path), "%s", k->path);
	SAY(s, "%s %s%s", dir ? "rmdir" : "unlink", p.path,
	    stub ? ", a stub" : "");
	for (int i = 0; i < 2; i++) {
		SPOT(at, i, p);

		at.stub_ino = stub ? k->ino[i] : 0;
		err[i] = fsp_meta_remove(s->x[i].m, &s->x[i].ctx, &at, dir,
		                         &e[i]);
	}
	(void)same_answer(s, p.path, err, e);
}

static void do_rename(struct same *s)
{
	uint32_t flags = next(&s->r) % 4 ? 0 : 1 + next(&s->r) % 2;
	struct known *k = pick(s, next(&s->r) % 3 == 0);
	struct spot from = { .dir = NULL }, to = spot(s);
	struct fsp_renamed out[2];
	struct fsp_entry e[2];
	int err[2];

	if (!*k->path)
		return;
	snprintf(from.path, sizeof(from.path), "%s", k->path);
	SAY(s, "rename %s to %s flags %u", from.path, to.path, flags);
	for (int i = 0; i < 2; i++) {
		SPOT(a, i, from);
		SPOT(b, i, to);

		err[i] = fsp_meta_rename(s->x[i].m, &s->x[i].ctx, &a, &b,
		                         flags, &out[i]);
		e[i] = out[i].entry;
	}
	if (same_answer(s, to.path, err, e))
		return;
	same_ino(s, to.path, out[0].ino, out[1].ino);
	same_ino(s, from.path, out[0].replaced, out[1].replaced);
	assert_int_equal(out[0].replaced_nlink, out[1].replaced_nlink);
	for (int i = 0; i < s->n; i++)
		if (s->k[i].ino[0] == out[0].ino)
			strcpy(s->k[i].path, to.path);
}

static void do_link(struct same *s)
{
	struct known *k = pick(s, false);
	struct spot to = spot(s);
	struct fsp_entry e[2];
	int err[2];

	SAY(s, "link %s to %s", k->path, to.path);
	for (int i = 0; i < 2; i++) {
		REF(ref, i, k);
		SPOT(at, i, to);

		err[i] = fsp_meta_link(s->x[i].m, &s->x[i].ctx, &ref, &at,
		                       &e[i]);
	}
	if (!same_answer(s, to.path, err, e))
		know(s, to.path, e);
}

static void do_commit(struct same *s)
{
	struct known *k = pick(s, false);
	char c = "0123456789"[next(&s->r) % 10];
	struct fsp_object o = fx_object(c, next(&s->r) % 5);
	bool content = next(&s->r) % 6;
	uint32_t mask = next(&s->r) % 3 ? 0 : next(&s->r) % 64;
	struct fsp_entry e[2];
	int err[2];

	SAY(s, "commit %s %c, mask %u", k->path, content ? c : '-', mask);
	for (int i = 0; i < 2; i++) {
		REF(ref, i, k);
		struct fsp_commit g = {
			.ref = ref, .owner = s->x[i].owner, .await_php = true,
			.object = content ? &o : NULL, .mask = mask,
			.attr = { .mode = 0611, .uid = 3, .gid = 4,
			          .mtime_ns = now - 5, .atime_ns = now - 7,
			          .ctime_ns = now - 1000 },
		};

		err[i] = fsp_meta_commit(s->x[i].m, &s->x[i].ctx, &g, &e[i]);
	}
	(void)same_answer(s, k->path, err, e);
}

static struct fsp_attr new_attr(struct same *s)
{
	return (struct fsp_attr){
		.mode = next(&s->r) % 2 ? 0750 : 02770, .uid = next(&s->r) % 9,
		.gid = next(&s->r) % 9, .atime_ns = now - next(&s->r),
		.mtime_ns = now - next(&s->r) + (next(&s->r) % 8 ? 0 :
			100 * FSP_NS_PER_SEC), .ctime_ns = now - next(&s->r),
	};
}

static void do_setattr(struct same *s)
{
	struct known *k = pick(s, next(&s->r) % 2);
	struct fsp_attr a = new_attr(s);
	uint32_t mask = next(&s->r) % 32;
	struct fsp_entry e[2];
	int err[2];

	SAY(s, "setattr %s mask %u", k->path, mask);
	for (int i = 0; i < 2; i++) {
		REF(ref, i, k);

		err[i] = fsp_meta_setattr(s->x[i].m, &s->x[i].ctx, &ref, mask,
		                          &a, &e[i]);
	}
	(void)same_answer(s, k->path, err, e);
}

static void do_setattr_many(struct same *s)
{
	struct known *k[4];
	struct fsp_setattr v[2][4];
	char path[2][4][160];
	int err[2], n = 1 + (int)(next(&s->r) % 4);

	SAY(s, "setattr of %d", n);
	for (int j = 0; j < n; j++) {
		struct fsp_attr a = new_attr(s);
		uint32_t mask = next(&s->r) % 32;

		k[j] = pick(s, next(&s->r) % 2);
		/* Each once, as their callers do. */
		for (int other = 0; other < j; other++)
			if (k[other]->ino[0] == k[j]->ino[0])
				return;
		for (int i = 0; i < 2; i++) {
			full(path[i][j], i, k[j]->path);
			v[i][j] = (struct fsp_setattr){
				.ref = { k[j]->ino[i], path[i][j] },
				.mask = mask, .attr = a,
			};
		}
	}
	for (int i = 0; i < 2; i++)
		err[i] = fsp_meta_setattr_many(s->x[i].m, &s->x[i].ctx, v[i],
		                               (size_t)n);
	if (same_answer(s, "many", err, NULL))
		return;
	for (int j = 0; j < n; j++) {
		int each[2] = { v[0][j].err, v[1][j].err };
		struct fsp_entry e[2] = { v[0][j].out, v[1][j].out };

		(void)same_answer(s, k[j]->path, each, e);
	}
}

static void do_getattr(struct same *s)
{
	struct known *k = pick(s, next(&s->r) % 2);
	bool at = !k->is_dir && next(&s->r) % 2;
	struct fsp_entry e[2];
	int err[2];

	SAY(s, "getattr%s %s", at ? "_at" : "", k->path);
	for (int i = 0; i < 2; i++) {
		REF(ref, i, k);
		struct fx *x = &s->x[i];

		err[i] = at ? fsp_meta_getattr_at(x->m, &x->ctx, &ref, &e[i]) :
			fsp_meta_getattr(x->m, &x->ctx, &ref, &e[i]);
	}
	(void)same_answer(s, k->path, err, e);
}

static int count(void *arg, const char *name)
{
	*(int *)arg += (int)strlen(name);
	return 0;
}

static void do_xattr(struct same *s)
{
	struct known *k = pick(s, next(&s->r) % 2);
	const char *name = next(&s->r) % 2 ? "user.a" : "user.bb";
	int err[2], len[2] = { 0, 0 }, what = (int)(next(&s->r) % 4);
	int flags = (int)(next(&s->r) % 3);

	SAY(s, "xattr %d of %s, %s", what, k->path, name);
	for (int i = 0; i < 2; i++) {
		struct fx *x = &s->x[i];
		struct fsp_buf b = { .len = 0 };
		REF(ref, i, k);

		if (what == 0)
			err[i] = fsp_meta_xattr_list(x->m, &x->ctx, ref.ino,
			                             count, &len[i]);
		else if (what == 1)
			err[i] = fsp_meta_xattr_get(x->m, &x->ctx, ref.ino,
			                            name, &b);
		else if (what == 2)
			err[i] = fsp_meta_xattr_set(x->m, &x->ctx, &ref, name,
			                            "val", 3, flags);
		else
			err[i] = fsp_meta_xattr_remove(x->m, &x->ctx, &ref,
			                               name);
		if (what == 1)
			len[i] = (int)b.len;
		fsp_buf_free(&b);
	}
	(void)same_answer(s, k->path, err, NULL);
	if (len[0] != len[1])
		WRONG(s, "%s: %d, not %d", k->path, len[0], len[1]);
}

static void do_list(struct same *s)
{
	struct known *k = pick(s, true);

	SAY(s, "list %s", k->path);
	same_list(s, k->path);
}

static void do_look(struct same *s)
{
	struct spot p = spot(s);
	struct fsp_entry e[2];

	SAY(s, "lookup %s", p.path);
	(void)look(s, p.path, e);
}

/* Somebody else wants to look. */
static void do_recall(struct same *s)
{
	struct known *k = pick(s, true);
	int err;

	SAY(s, "recall %s", k->path);
	while ((err = fsp_meta_deleg_recall(s->f->m, &s->f->ctx, k->ino[0],
	                                    false)) == -EAGAIN)
		usleep(1000);
	assert_int_equal(err, 0);
}

static void do_sync(struct same *s)
{
	SAY(s, "sync");
	assert_int_equal(fsp_meta_sync(s->x[0].m, &s->x[0].ctx), 0);
}

static int pass_by(void *arg, const char *name, const struct fsp_entry *e)
{
	(void)arg;
	(void)name;
	(void)e;
	return 0;
}

/* As a kernel does, a mount looks into what it goes through. */
static void look_into(struct same *s, const char *dir)
{
	struct fsp_entry e;
	char p[160];

	full(p, 0, dir);
	if (!fx_look(&s->x[0], p, &e) && S_ISDIR(e.attr.mode))
		(void)fsp_meta_list(s->x[0].m, &s->x[0].ctx, p, 0, pass_by,
		                    NULL);
}

/* The other mount goes on. Before it has looked it may not know what was made. */
static void take_turns(struct same *s)
{
	static const char *const id[2] = { US, THEM };
	int to = s->x[0].m == s->mount[0].m;

	SAY(s, "on mount %d", to);
	s->x[0] = s->mount[to];
	s->x[1].owner = id[to];
	for (int depth = 0; depth <= DEPTH; depth++)
		for (int i = 0; i < s->n; i++)
			if (s->k[i].is_dir && depth_of(s->k[i].path) == depth)
				look_into(s, s->k[i].path);
	same_names(s);
}

static void step(struct same *s)
{
	static const struct {
		unsigned share;
		void (*call)(struct same *s);
	} calls[] = {
		{ 40, do_create }, { 10, do_remove }, { 8, do_rename },
		{ 3, do_link }, { 12, do_commit }, { 8, do_setattr },
		{ 2, do_setattr_many }, { 6, do_getattr }, { 4, do_xattr },
		{ 2, do_list }, { 8, do_look }, { 1, do_recall }, { 1, do_sync },
	};
	unsigned n = next(&s->r) % 105, i = 0;

	while (n >= calls[i].share)
		n -= calls[i++].share;
	now += FSP_NS_PER_SEC;
	if (s->both && next(&s->r) % 20 == 0)
		take_turns(s);
	calls[i].call(s);
}

/* ---- */

static void begin(struct same *s, struct fx *f, int round, unsigned r)
{
	struct fsp_entry e[2];

	*s = (struct same){ .f = f, .r = r, .both = round % 2 };
	dx_open(f, &s->mount[0], US, NULL);
	dx_open(f, &s->mount[1], THEM, NULL);
	dx_mount_add(&s->mount[0]);
	dx_mount_add(&s->mount[1]);
	s->x[0] = s->mount[0];
	s->x[1] = *f;
	/* Names without content go with their mount, in both. */
	s->x[1].owner = US;
	for (int i = 0; i < 2; i++) {
		snprintf(account[i], sizeof(account[i]), "%c%d", 'x' + i,
		         round);
		fx_mkdir(&s->x[i], account[i]);
		e[i] = fx_get(&s->x[i], account[i]);
	}
	know(s, "", e);
}

static void test_same(void **state)
{
	struct fx *f = *state;
	struct same *s = malloc(sizeof(*s));
	unsigned r = seed();

	assert_non_null(s);
	print_message("seed %u\n", seed());
	for (int round = 0; round < ROUNDS; round++) {
		begin(s, f, round, next(&r));
		for (s->step = 0; s->step < STEPS; s->step++) {
			step(s);
			if (s->step % 5 == 0)
				same_names(s);
		}
		SAY(s, "the end of round %d", round);
		same_tree(s);
		dx_end(&s->mount[0]);
		dx_end(&s->mount[1]);
		s->x[0] = *f;
		same_tree(s);
		assert_int_equal(dx_held(f), 0);
		fx_check(f);
	}
	free(s);
}

static int setup(void **state)
{
	fsp_clock_set(the_time);
	return fx_setup(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_same, setup, fx_teardown),
	};

	return cmocka_run_group_tests_name("names in memory, and in rows",
	                                   tests, NULL, NULL);
}
