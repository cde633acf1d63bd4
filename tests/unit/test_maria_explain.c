/* TAKES 30 */
/* SERVERS mariadb */
/* TIMEOUT 300 */
/*
 * Every statement that a call of meta makes on a large store is a search in an
 * index: they are caught on their way to the server, with their parameters,
 * EXPLAIN tells how the server goes about them, and its counters what it read.
 * At the end every text in the sources must have been among them.
 *
 * FSP_EXPLAIN_ROWS=N adds N rows to filespace_file and as many to the tables
 * beside it (tests/bench/large does that).
 */
#define FX_MARIA
#include "meta_fixture.h"

#include <ctype.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <mysqld_error.h>

#include "fsp_cleanup.h"

/* Each table has 12,000 rows or more, so that reading one is noticed. */
#define FEW 300                 /* rows that a scan or a sort may have */
#define READS 4000              /* of a statement, besides 50 for each row that
                                   it gives; what is counted ends at 1,000 */
#define EACH 3                  /* parameters that are tried of each text */

/* ---- all texts that a driver was given, as they are in the sources */

#define sql_text_expand real_text_expand
#include "../../src/meta/sql_text.c"
#undef sql_text_expand

int sql_text_expand(const struct sql_dialect *d, const char *text,
                    struct sql_text *out);

static const struct sql_dialect *dialect;
static char **given;
static size_t n_given;

int sql_text_expand(const struct sql_dialect *d, const char *text,
                    struct sql_text *out)
{
	dialect = d;
	for (size_t i = 0; i < n_given; i++)
		if (strcmp(given[i], text) == 0)
			return real_text_expand(d, text, out);
	given = realloc(given, (n_given + 1) * sizeof(*given));
	given[n_given++] = strdup(text);
	return real_text_expand(d, text, out);
}

/* ---- catching */

struct prepared {
	MYSQL_STMT *st;
	char *sql;
};

struct caught {
	char *text;             /* with its ? */
	char *sql[EACH];
	int n, explained;
};

static struct prepared *prepared;
static size_t n_prepared;
static struct caught *caught;
static size_t n_caught;
static bool watching;

static void *real(const char *name)
{
	void *p = dlsym(RTLD_NEXT, name);

	if (!p)
		abort();
	return p;
}

static bool is_statement(const char *sql)
{
	return strncmp(sql, "SELECT", 6) == 0 || strncmp(sql, "WITH", 4) == 0 ||
		strncmp(sql, "UPDATE", 6) == 0 ||
		strncmp(sql, "DELETE", 6) == 0 ||
		(strncmp(sql, "INSERT", 6) == 0 && strstr(sql, "SELECT"));
}

/* Takes sql over. */
static void catch(const char *text, char *sql)
{
	struct caught *c = NULL;

	for (size_t i = 0; !c && i < n_caught; i++)
		if (strcmp(caught[i].text, text) == 0)
			c = &caught[i];
	if (!c) {
		caught = realloc(caught, (n_caught + 1) * sizeof(*caught));
		c = &caught[n_caught++];
		*c = (struct caught){ .text = strdup(text) };
	}
	if (c->n < EACH)
		c->sql[c->n++] = sql;
	else
		free(sql);
}

static void print_param(struct fsp_buf *b, const MYSQL_BIND *p)
{
	if (p->buffer_type == MYSQL_TYPE_NULL) {
		fsp_buf_adds(b, "NULL");
	} else if (p->buffer_type == MYSQL_TYPE_LONGLONG) {
		fsp_buf_printf(b, "%lld", *(const long long *)p->buffer);
	} else {
		/* as bytes, which is what they are to the server */
		if (*p->length == 0)
			fsp_buf_adds(b, "''");
		else
			fsp_buf_adds(b, "0x");
		for (unsigned long i = 0; i < *p->length; i++)
			fsp_buf_printf(b, "%02x",
			               ((const unsigned char *)p->buffer)[i]);
	}
}

static void catch_execution(MYSQL_STMT *st)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	const char *sql = NULL;
	unsigned n = 0;

	for (size_t i = 0; i < n_prepared; i++)
		if (prepared[i].st == st)
			sql = prepared[i].sql;
	if (!sql || !is_statement(sql))
		return;
	for (const char *c = sql; *c; c++) {
		if (*c == '?')
			print_param(&b, &st->params[n++]);
		else
			fsp_buf_addc(&b, *c);
	}
	catch(sql, fsp_buf_steal(&b));
}

/* The library's, with somebody who listens. */
int mysql_stmt_prepare_start(int *ret, MYSQL_STMT *st, const char *sql,
                             unsigned long len)
{
	int (*f)(int *, MYSQL_STMT *, const char *, unsigned long);
	size_t i = 0;

	*(void **)&f = real(__func__);
	while (i < n_prepared && prepared[i].st != st)
		i++;
	if (i == n_prepared) {
		prepared = realloc(prepared, (n_prepared + 1) *
		                   sizeof(*prepared));
		prepared[n_prepared++] = (struct prepared){ .st = st };
	}
	free(prepared[i].sql);
	prepared[i].sql = strndup(sql, len);
	return f(ret, st, sql, len);
}

int mysql_stmt_execute_start(int *ret, MYSQL_STMT *st)
{
	int (*f)(int *, MYSQL_STMT *);

	*(void **)&f = real(__func__);
	if (watching)
		catch_execution(st);
	return f(ret, st);
}

/* A statement without its values, to know it again. */
static char *shape_of(const char *sql)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;

	for (const char *c = sql; *c; c++) {
		if (*c == 'X' && c[1] == '\'')
			c = strchr(c + 2, '\'');
		else if (*c < '0' || *c > '9')
			fsp_buf_addc(&b, *c);
	}
	return fsp_buf_steal(&b);
}

/* Statements that have a name on the server. */
struct named {
	MYSQL *my;
	int number;
	char *sql;
};

static struct named *named;
static size_t n_named;

static struct named *find_named(MYSQL *my, int number)
{
	for (size_t i = 0; i < n_named; i++)
		if (named[i].my == my && named[i].number == number)
			return &named[i];
	named = realloc(named, (n_named + 1) * sizeof(*named));
	named[n_named] = (struct named){ .my = my, .number = number };
	return &named[n_named++];
}

/* PREPARE fspN FROM 'TEXT', with its quotes doubled. */
static void catch_name(MYSQL *my, const char *one)
{
	struct named *n = find_named(my, atoi(one + strlen("PREPARE fsp")));
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	const char *c = strchr(one, '\'') + 1;

	for (; *c && (*c != '\'' || c[1] == '\''); c++) {
		fsp_buf_addc(&b, *c);
		c += *c == '\'';
	}
	free(n->sql);
	n->sql = fsp_buf_steal(&b);
}

/* EXECUTE fspN USING VALUE,VALUE; no value has a comma. */
static void catch_named(MYSQL *my, const char *one)
{
	struct named *n = find_named(my, atoi(one + strlen("EXECUTE fsp")));
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	const char *v = strstr(one, " USING ");

	assert_non_null(n->sql);
	v = v ? v + strlen(" USING ") : "";
	for (const char *c = n->sql; *c; c++) {
		size_t len = strcspn(v, ",");

		if (*c != '?') {
			fsp_buf_addc(&b, *c);
			continue;
		}
		fsp_buf_add(&b, v, len);
		v += len + (v[len] == ',');
	}
	if (is_statement(n->sql))
		catch(n->sql, fsp_buf_steal(&b));
}

/* Those that waited come together; no value of theirs has a semicolon. */
static void catch_text(MYSQL *my, const char *sql, size_t len)
{
	FSP_FREE char *all = strndup(sql, len);
	char *save = NULL, *one = strtok_r(all, ";", &save);

	for (; one; one = strtok_r(NULL, ";", &save)) {
		FSP_FREE char *shape = shape_of(one);

		if (strncmp(one, "PREPARE", 7) == 0)
			catch_name(my, one);
		else if (watching && strncmp(one, "EXECUTE", 7) == 0)
			catch_named(my, one);
		else if (watching && is_statement(one))
			catch(shape, strdup(one));
	}
}

int mysql_real_query_start(int *ret, MYSQL *my, const char *sql,
                           unsigned long len)
{
	int (*f)(int *, MYSQL *, const char *, unsigned long);

	*(void **)&f = real(__func__);
	catch_text(my, sql, len);
	return f(ret, my, sql, len);
}

/* ---- explaining */

/*
 * What may read more than it gives, in order and by an index: no index tells
 * what was valid at a time, so rows are looked through until a page is full.
 */
static bool may_look_through(const char *sql)
{
	return strstr(sql, "COALESCE(f.since_us, f.stored_at") != NULL;
}

static int bad;

static const char *cell(MYSQL_ROW row, int i)
{
	return row[i] ? row[i] : "";
}

/* id select_type table type possible_keys key key_len ref rows Extra */
static void judge(const char *sql, MYSQL_ROW row)
{
	long long rows = strtoll(cell(row, 8), NULL, 10);
	bool scan = strcmp(cell(row, 3), "ALL") == 0 ||
		strcmp(cell(row, 3), "index") == 0;
	bool sort = strstr(cell(row, 9), "Using filesort") ||
		strstr(cell(row, 9), "Using temporary");

	if (getenv("VERBOSE"))
		printf("  %s %s %s %s %lld %s\n", cell(row, 2), cell(row, 3),
		       cell(row, 5), cell(row, 7), rows, cell(row, 9));
	/* What is between two steps has been read by one of them. */
	if (rows <= FEW || !(sort || (scan && cell(row, 2)[0] != '<')))
		return;
	bad++;
	print_error("%s: %s %s, key %s, %lld rows, %s\n  %s\n", scan ? "scan" :
	            "sort", cell(row, 2), cell(row, 3), cell(row, 5), rows,
	            cell(row, 9), sql);
}

static long long reads_of(MYSQL *my)
{
	MYSQL_RES *res;
	MYSQL_ROW row;
	long long n = 0;

	if (mysql_query(my, "SHOW SESSION STATUS WHERE Variable_name LIKE"
	                    " 'Handler\\_read%' OR Variable_name ="
	                    " 'Handler_icp_attempts'"))
		fail_msg("%s", mysql_error(my));
	res = mysql_store_result(my);
	while ((row = mysql_fetch_row(res)))
		n += strtoll(row[1], NULL, 10);
	mysql_free_result(res);
	return n;
}

static long long most_reads;
static char *most_sql;

/*
 * What EXPLAIN does not know: where in a range reading begins and ends. What
 * changes rows is done and undone.
 */
static void count_reads(MYSQL *my, const char *sql)
{
	MYSQL_RES *res;
	long long rows, start, reads, asking;

	maria_do(my, "START TRANSACTION");
	start = reads_of(my);
	reads = reads_of(my);
	asking = reads - start;
	/* A row that is there already is no matter of how it is looked for. */
	if (mysql_query(my, sql) && mysql_errno(my) != ER_DUP_ENTRY)
		fail_msg("%s: %s", sql, mysql_error(my));
	res = mysql_store_result(my);
	rows = res ? (long long)mysql_num_rows(res)
		: mysql_errno(my) ? 0 : (long long)mysql_affected_rows(my);
	mysql_free_result(res);
	reads = reads_of(my) - reads - asking;
	maria_do(my, "ROLLBACK");
	if (getenv("VERBOSE"))
		printf("  = %lld reads for %lld rows\n", reads, rows);
	if (may_look_through(sql))
		return;
	if (reads - 50 * rows > most_reads) {
		most_reads = reads - 50 * rows;
		free(most_sql);
		most_sql = strdup(sql);
	}
	if (reads <= READS + 50 * rows)
		return;
	bad++;
	print_error("%lld reads for %lld rows:\n  %s\n", reads, rows, sql);
}

static void explain_one(MYSQL *my, const char *sql)
{
	FSP_FREE char *plain = strdup(sql);
	FSP_FREE char *explain = NULL;
	char *lock = strstr(plain, " FOR UPDATE");
	MYSQL_RES *res;
	MYSQL_ROW row;

	if (lock)
		*lock = '\0';
	explain = fsp_strf("EXPLAIN %s", plain);
	if (getenv("VERBOSE"))
		printf("%s\n", plain);
	if (mysql_query(my, explain))
		fail_msg("%s: %s", explain, mysql_error(my));
	res = mysql_store_result(my);
	assert_non_null(res);
	while ((row = mysql_fetch_row(res)))
		judge(sql, row);
	mysql_free_result(res);
	count_reads(my, plain);
}

static MYSQL *explainer;

/* What came since the last time. */
static void explain(const char *what)
{
	int before = bad;

	watching = false;
	for (size_t i = 0; i < n_caught; i++)
		for (; caught[i].explained < caught[i].n;
		     caught[i].explained++)
			explain_one(explainer,
			            caught[i].sql[caught[i].explained]);
	if (bad != before)
		print_error("in: %s\n", what);
	watching = true;
}

/* ---- a large store */

static const char *const fill[] = {
	/* PHP's: an account of many spaces, and a space of many files */
	"INSERT INTO filespace_file (file_key, space_key, data_hash,"
	" created_at, size_original, size_storage) SELECT 'doc.pdf',"
	" CONCAT('big.contact.', seq), SHA1(seq), 1431080000 + seq, seq, seq"
	" FROM seq_1_to_50000",
	"INSERT INTO filespace_file (file_key, space_key, data_hash,"
	" created_at, deleted_at, size_original, size_storage) SELECT"
	" CONCAT('d', seq % 200, '/f', seq), 'big.project.deep', SHA1(seq),"
	" 1431080000 + seq, IF(seq % 4, 0, 1431990000), seq, seq FROM"
	" seq_1_to_60000",
	"INSERT INTO filespace (space_key, created_at, name) SELECT"
	" CONCAT('big.contact.', seq), 1431080000, seq FROM seq_1_to_50000",
	/* and behind that account, where a listing goes on */
	"INSERT INTO filespace_file (file_key, space_key, data_hash,"
	" created_at, size_original, size_storage) SELECT CONCAT('z', seq),"
	" CONCAT('zoo.contact.', seq % 1000), SHA1(-seq), 1431080000, seq, seq"
	" FROM seq_1_to_12000",
	/* ours: a directory of many files, each with an older version */
	"INSERT INTO filespace_file (id, file_key, space_key, data_hash,"
	" created_at, deleted_at, size_original, size_storage, ino, mode, uid,"
	" gid, mtime_ns, stored_at, since_us, closed_us) SELECT 100000000 + seq,"
	" CONCAT('x/f', seq), 'own.t.r', SHA2(seq, 256), 1431080000,"
	" 1431090000, 5, 5, 100000000 + seq, 420, 0, 0, 1431080000000000000,"
	" 1431080000000000, 1431080000000000, 1431090000000000 FROM"
	" seq_1_to_15000",
	"INSERT INTO filespace_file (id, file_key, space_key, data_hash,"
	" created_at, size_original, size_storage, ino, mode, uid, gid,"
	" mtime_ns, stored_at, since_us, pred_id) SELECT 200000000 + seq,"
	" CONCAT('x/f', seq), 'own.t.r', SHA2(-seq, 256), 1431090000, 6, 6,"
	" 100000000 + seq, 420, 0, 0, 1431090000000000000, 1431090000000000,"
	" 1431090000000000, 100000000 + seq FROM seq_1_to_15000",
	"INSERT INTO fsp_name (space_key, dir_key, name, live, ino, file_id,"
	" since_us) SELECT 'own.t.r', 'x', CONCAT('f', seq), 1, 100000000 + seq,"
	" 200000000 + seq, 1431080000000000 FROM seq_1_to_15000",
	"INSERT INTO fsp_name (space_key, dir_key, name, live, ino, since_us)"
	" SELECT CONCAT('own.t.', seq), '', 'only', 1, 300000000 + seq, 1 FROM"
	" seq_1_to_40000",
	"INSERT INTO fsp_name (space_key, dir_key, name, live, ino, since_us)"
	" VALUES ('', '', 'own', 1, 4000, 1), ('own', '', 't', 1, 4001, 1),"
	" ('own.t', '', 'r', 1, 4002, 1), ('own.t.r', '', 'x', 1, 4003, 1)",
	"INSERT INTO fsp_node (ino, mode, uid, gid, nlink, rdev, atime_ns,"
	" mtime_ns, ctime_ns) SELECT 100000000 + seq, 33188, 0, 0, 1, 0, 1, 1, 1"
	" FROM seq_1_to_15000",
	"INSERT INTO fsp_node (ino, mode, uid, gid, nlink, rdev, atime_ns,"
	" mtime_ns, ctime_ns) SELECT 300000000 + seq, 16877, 0, 0, 1, 0, 1, 1, 1"
	" FROM seq_1_to_40000",
	"INSERT INTO fsp_node (ino, mode, uid, gid, nlink, rdev, atime_ns,"
	" mtime_ns, ctime_ns) SELECT seq, 16877, 0, 0, 1, 0, 1, 1, 1 FROM"
	" seq_4000_to_4003",
	"INSERT INTO fsp_object SELECT SHA2(-seq, 256), SHA2(-seq, 256),"
	" SHA1(-seq), 6, 6, 'bzip2', 1 FROM seq_1_to_15000",
	"INSERT INTO fsp_blocks SELECT SHA2(-seq, 256), 'index' FROM"
	" seq_1_to_12000",
	"INSERT INTO fsp_xattr SELECT 100000000 + seq, 'user.a', '6162' FROM"
	" seq_1_to_12000",
	"INSERT INTO fsp_lock (ino, kind, mount, owner, type, first_byte,"
	" last_byte, pid) SELECT 100000000 + seq, 0, MD5(seq % 20), seq, 1, 0, 9, 1"
	" FROM seq_1_to_12000",
	"INSERT INTO fsp_change (at_us, origin, space_key, dir_key, name, ino,"
	" named) SELECT 1 + seq, MD5(seq % 20), 'own.t.r', 'x',"
	" CONCAT('f', seq), 100000000 + seq, 1 FROM seq_1_to_12000",
	"INSERT INTO fsp_outcome (token, at_us) SELECT MD5(seq),"
	" UNIX_TIMESTAMP() * 1000000 FROM seq_1_to_12000",
	"UPDATE fsp_info SET value = '900000000' WHERE name = 'next_ino'",
	"ANALYZE TABLE filespace_file, filespace, fsp_name, fsp_node,"
	" fsp_object, fsp_blocks, fsp_xattr, fsp_lock, fsp_change, fsp_outcome",
};

/* As many of both sorts, %lld in all, twenty files in a record. */
static const char *const fill_more[] = {
	"INSERT INTO filespace_file (file_key, space_key, data_hash,"
	" created_at, size_original, size_storage) SELECT CONCAT('m', seq),"
	" CONCAT('more.php.', seq DIV 20), SHA1(CONCAT('m', seq)),"
	" 1431080000 + seq DIV 1000, seq, seq FROM seq_1_to_%lld",
	"INSERT INTO filespace_file (id, file_key, space_key, data_hash,"
	" created_at, size_original, size_storage, ino, mode, uid, gid,"
	" mtime_ns, stored_at, since_us) SELECT 400000000 + seq,"
	" CONCAT('m', seq), CONCAT('more.own.', seq DIV 20),"
	" SHA2(CONCAT('m', seq), 256), 1431080000, 5, 5, 400000000 + seq, 420,"
	" 0, 0, 1431080000000000000, 1431080000000000, 1431080000000000 FROM"
	" seq_1_to_%lld",
	"INSERT INTO fsp_name (space_key, dir_key, name, live, ino, file_id,"
	" since_us) SELECT CONCAT('more.own.', seq DIV 20), '',"
	" CONCAT('m', seq), 1, 400000000 + seq, 400000000 + seq,"
	" 1431080000000000 FROM seq_1_to_%lld",
	"INSERT INTO fsp_node (ino, mode, uid, gid, nlink, rdev, atime_ns,"
	" mtime_ns, ctime_ns) SELECT 400000000 + seq, 33188, 0, 0, 1, 0, 1, 1,"
	" 1 FROM seq_1_to_%lld",
	"INSERT INTO fsp_object SELECT SHA2(CONCAT('m', seq), 256),"
	" SHA2(CONCAT('m', seq), 256), SHA1(CONCAT('m', seq)), 5, 5, 'bzip2',"
	" 1 FROM seq_1_to_%lld",
};

static void fill_with_more(struct fx_db *db)
{
	const char *rows = getenv("FSP_EXPLAIN_ROWS");

	if (!rows)
		return;
	for (size_t i = 0; i < sizeof(fill_more) / sizeof(*fill_more); i++) {
		FSP_FREE char *half = fsp_strf("%lld", atoll(rows) / 2);
		const char *at = strstr(fill_more[i], "%lld");
		FSP_FREE char *sql = fsp_strf("%.*s%s",
		                              (int)(at - fill_more[i]),
		                              fill_more[i], half);

		fx_db_run(db, sql);
	}
}

static int setup(void **state)
{
	struct fx *f = calloc(1, sizeof(*f));
	struct fsp_meta_options o = fx_options();

	/* versions that come quickly give way, which needs an index, too */
	o.thin_ns = 60 * FSP_NS_PER_SEC;
	o.thin_versions = 2;
	*state = f;
	fx_dir(f, false);
	fx_open(f, &o);
	fill_with_more(&f->db);
	for (size_t i = 0; i < sizeof(fill) / sizeof(*fill); i++)
		fx_db_run(&f->db, fill[i]);
	explainer = maria_other(f->db.path, "binary");
	maria_do(explainer, "SET sql_mode = 'PIPES_AS_CONCAT,"
	                    "NO_BACKSLASH_ESCAPES'");
	watching = true;
	return 0;
}

static int teardown(void **state)
{
	struct fx *f = *state;

	watching = false;
	mysql_close(explainer);
	fx_close(f);
	fx_db_drop(&f->db);
	free(f);
	return 0;
}

/* ---- the calls */

static int count_name(void *arg, const char *name, const struct fsp_entry *e)
{
	(void)name;
	(void)e;
	++*(int *)arg;
	return 0;
}

static int count_past(void *arg, const char *name, enum fsp_past kind)
{
	(void)name;
	(void)kind;
	++*(int *)arg;
	return 0;
}

static int count_version(void *arg, const struct fsp_version *v)
{
	(void)v;
	++*(int *)arg;
	return 0;
}

static int count_word(void *arg, const char *word)
{
	(void)word;
	++*(int *)arg;
	return 0;
}

static int count_row(void *arg, int64_t row, const char *path)
{
	(void)row;
	(void)path;
	++*(int *)arg;
	return 0;
}

static int count_change(void *arg, const struct fsp_change *c)
{
	(void)c;
	++*(int *)arg;
	return 0;
}

static int count_mount(void *arg, const struct fsp_mountinfo *i)
{
	(void)i;
	++*(int *)arg;
	return 0;
}

#define THEN 1431085000000000LL         /* between the versions of ours */

static void test_read(void **state)
{
	static const char *const paths[] = {
		"big", "big/contact", "big/contact/77", "big/contact/77/doc.pdf",
		"big/contact/77/none", "big/none", "big/project/deep/d7",
		"big/project/deep/d7/f7", "big/project/deep/d7/f8", "own/t/r/x",
		"own/t/r/x/f9", "own/t/r/x/none", "none/none/none/none",
	};
	struct fx *f = *state;
	struct fsp_entry e;
	char *where;
	int64_t at;
	int n = 0;

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		int err = fx_look(f, paths[i], &e);
		struct fsp_ref ref = { e.attr.ino, paths[i] };
		FX_PLACE(p, paths[i]);

		explain(paths[i]);
		if (!err)
			assert_int_equal(fsp_meta_getattr(f->m, &f->ctx, &ref,
			                                  &e), 0);
		explain("getattr");
		if (!err && S_ISREG(e.attr.mode))
			assert_int_equal(fsp_meta_getattr_at(f->m, &f->ctx,
			                                     &ref, &e), 0);
		explain("getattr_at");
		/* any answer will do: what is asked counts */
		(void)fsp_meta_history(f->m, &f->ctx, paths[i], count_version,
		                       &n);
		explain("history");
		(void)fsp_meta_lookup_at(f->m, &f->ctx, p.dir, p.name, THEN,
		                         &e);
		explain("lookup_at");
		where = NULL;
		(void)fsp_meta_dir_ended(f->m, &f->ctx, paths[i], &at, &where);
		free(where);
		explain("dir_ended");
		where = NULL;
		if (!err)
			(void)fsp_meta_path_at(f->m, &f->ctx, &ref, THEN,
			                       &where);
		free(where);
		explain("path_at");
	}
}

static void test_list(void **state)
{
	static const char *const dirs[] = {
		"", "big", "big/contact", "big/contact/9", "big/project/deep",
		"big/project/deep/d9", "own", "own/t", "own/t/r", "own/t/r/x"
	};
	struct fx *f = *state;

	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
		int n = 0;

		assert_int_equal(fsp_meta_list(f->m, &f->ctx, dirs[i], 0,
		                               count_name, &n), 0);
		assert_true(n > 0);
		explain(dirs[i]);
		(void)fsp_meta_list_at(f->m, &f->ctx, dirs[i], THEN, count_name,
		                       &n);
		explain("list_at");
		assert_int_equal(fsp_meta_past_names(f->m, &f->ctx, dirs[i],
		                                     count_past, &n), 0);
		explain("past_names");
	}
}

static void test_list_many(void **state)
{
	struct fx *f = *state;
	int n = 0;
	struct fsp_listing l[] = {
		{ "big/contact/9", count_name, &n, false },
		{ "own/t/r", count_name, &n, false },
		{ "big/project/deep", count_name, &n, false }
	};

	assert_int_equal(fsp_meta_list_many(f->m, &f->ctx, l, 3, 0), 0);
	explain("list_many");
	assert_int_equal(fsp_meta_list_many(f->m, &f->ctx, l, 2, 0), 0);
	assert_true(l[0].done && l[1].done);
	assert_true(n > 1);
	explain("list_many of two");
}

static void test_change(void **state)
{
	struct fx *f = *state;
	struct fsp_attr a = { .mode = 0600, .mtime_ns = 5 };
	struct fsp_entry e;
	struct fsp_ref ref;

	fx_put(f, "big/contact/123/new", 'a', 7);
	explain("create in PHP's space");
	fx_put(f, "big/contact/124/doc.pdf", 'b', 7);
	explain("over PHP's file");
	fx_put(f, "own/t/r/x/g", 'c', 7);
	fx_put(f, "own/t/r/x/g", 'd', 7);
	fx_put(f, "own/t/r/x/g", 'e', 7);
	fx_put(f, "own/t/r/x/g", 'f', 7);
	explain("create, and commit again");
	fx_put(f, "own/t/r/x/f77", 'f', 7);
	explain("commit");
	e = fx_get(f, "own/t/r/x/f78");
	ref = (struct fsp_ref){ e.attr.ino, "own/t/r/x/f78" };
	assert_int_equal(fsp_meta_setattr(f->m, &f->ctx, &ref, FSP_SET_MODE |
	                                  FSP_SET_MTIME, &a, &e), 0);
	explain("setattr");
	assert_int_equal(fx_ln(f, "own/t/r/x/f79", "own/t/r/y"), 0);
	explain("link");
	assert_int_equal(fx_mv(f, "own/t/r/x/f80", "own/t/r/x/f81", 0, NULL),
	                 0);
	explain("rename");
	assert_int_equal(fx_mv(f, "big/contact/125/doc.pdf",
	                       "big/contact/125/two.pdf", 0, NULL), 0);
	explain("rename of PHP's");
	assert_int_equal(fx_rm(f, "own/t/r/x/f82", false), 0);
	assert_int_equal(fx_rm(f, "big/contact/126/doc.pdf", false), 0);
	explain("remove");
	fx_mkdir(f, "big/contact/500000");
	fx_mkdir(f, "big/contact/500000/d");
	fx_put(f, "big/contact/500000/d/f", 'a', 1);
	assert_int_equal(fx_mv(f, "big/contact/500000", "big/contact/500001",
	                       0, NULL), 0);
	explain("mkdir, rename of a directory");
	assert_int_equal(fx_rm(f, "big/contact/500001/d/f", false), 0);
	assert_int_equal(fx_rm(f, "big/contact/500001/d", true), 0);
	assert_int_equal(fx_rm(f, "big/contact/500001", true), 0);
	explain("rmdir");
	assert_int_equal(fx_rm(f, "big", true), -ENOTEMPTY);
	assert_int_equal(fx_rm(f, "own/t/r/x", true), -ENOTEMPTY);
	explain("rmdir of what is large");
	assert_int_equal(fx_mv(f, "big", "small", 0, NULL), -EXDEV);
	assert_int_equal(fx_mv(f, "own/t/r/x", "own/t/r/z", 0, NULL), -EXDEV);
	explain("rename of what is too large");
}

static void test_deleg(void **state)
{
	struct fx *f = *state;
	struct fsp_object o = fx_object('9', 31);
	struct fsp_commit c = { .object = &o, .attr = { .mtime_ns = 5 } };
	struct fsp_new n = { .mode = S_IFDIR | 0755,
		             .holder = fsp_meta_holder("mount1") };
	struct fsp_place at = { .dir = "own/t/r/x", .name = "held" };
	struct fsp_birth b[3] = {
		{ .dir = "", .name = "d", .attr = { .mode = S_IFDIR | 0755 } },
		{ .dir = "d", .name = "f", .attr = { .mode = S_IFREG | 0644 },
		  .commit = &c },
		{ .dir = "", .name = "p", .attr = { .mode = S_IFREG | 0644 },
		  .owner = "mount1" },
	};
	struct fsp_graft g = { .births = b, .n = 3, .holder = n.holder };
	struct fsp_ref held;
	enum fsp_deleg d;
	struct fsp_entry e;

	assert_int_equal(fsp_meta_create(f->m, &f->ctx, &at, &n, &e), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(fsp_meta_new_ino(f->m, &f->ctx, &b[i].ino), 0);
	g.root = (struct fsp_ref){ e.attr.ino, "own/t/r/x/held" };
	assert_int_equal(fsp_meta_graft(f->m, &f->ctx, &g), 0);
	explain("graft");
	b[1].name = "doc.pdf";
	b[1].dir = "";
	g = (struct fsp_graft){ .births = &b[1], .n = 1,
		                .root = { 0, "big/contact/127" } };
	assert_int_equal(fsp_meta_new_ino(f->m, &f->ctx, &b[1].ino), 0);
	assert_int_equal(fsp_meta_graft(f->m, &f->ctx, &g), 0);
	explain("graft over PHP's file");
	held = (struct fsp_ref){ e.attr.ino, "own/t/r/x/held" };
	assert_int_equal(fsp_meta_deleg_poll(f->m, &f->ctx, n.holder, &held,
	                                     &d), 0);
	assert_int_equal(d, FSP_DELEG_HELD);
	for (const char *p = "own/t/r", *w = "big/contact/128"; p;
	     p = strcmp(p, "own") ? strcmp(p, "own/t") ? "own/t" : "own" : NULL) {
		held.path = p;
		assert_int_equal(fsp_meta_deleg_poll(f->m, &f->ctx, n.holder,
		                                     &held, &d), 0);
		assert_int_equal(d, FSP_DELEG_HELD);
		held.path = w;
		assert_int_equal(fsp_meta_deleg_poll(f->m, &f->ctx, n.holder,
		                                     &held, &d), 0);
		assert_int_equal(d, FSP_DELEG_SHARED);
		w = strcmp(p, "own/t/r") == 0 ? "big/contact" : "big";
	}
	assert_int_equal(fsp_meta_deleg_release(f->m, &f->ctx, n.holder,
	                                        &e.attr.ino, 1), 0);
	at.name = "held2";
	assert_int_equal(fsp_meta_create(f->m, &f->ctx, &at, &n, &e), 0);
	assert_int_equal(fsp_meta_deleg_recall(f->m, &f->ctx, e.attr.ino, true),
	                 0);
	explain("delegations");
}

/* What is rare, and what comes each second. */
static void test_seldom(void **state)
{
	struct fx *f = *state;
	struct fsp_object o = fx_object('8', 30);
	struct fsp_queued_commit q = { .at_us = 1 };
	struct fsp_setattr many[2] = {
		{ { 0, "own/t/r/x/f101" }, FSP_SET_MODE, { .mode = 0600 }, 0,
		  { .attr = { 0 } } },
		{ { 0, "own/t/r/x/f102" }, FSP_SET_MODE, { .mode = 0600 }, 0,
		  { .attr = { 0 } } },
	};
	struct fsp_commit k = {
		.owner = "other", .object = &o, .require_base = true,
		.queued = &q, .base_row = 1, .attr = { .mtime_ns = 77 },
		.ref = { 0, "own/t/r/x/f103" }
	};
	struct fsp_entry e;
	char *target = NULL;
	int n = 0;

	for (size_t i = 0; i < 2; i++)
		many[i].ref.ino = fx_get(f, many[i].ref.path).attr.ino;
	assert_int_equal(fsp_meta_setattr_many(f->m, &f->ctx, many, 2), 0);
	explain("setattr_many");
	k.ref.ino = fx_get(f, k.ref.path).attr.ino;
	assert_int_equal(fsp_meta_commit(f->m, &f->ctx, &k, &e), 0);
	assert_int_equal(q.end, FSP_QUEUED_PAST);
	explain("queued commit");
	fx_php_delete(f, "own.t.r", "x/f104");
	k = (struct fsp_commit){ .owner = "other", .object = &o,
		.await_php = true,
		.ref = { 100000104, "own/t/r/x/f104" } };
	assert_int_equal(fsp_meta_commit(f->m, &f->ctx, &k, &e), -EINPROGRESS);
	explain("commit while PHP uploads");
	assert_int_equal(fx_mv(f, "own/t/r/x/f105", "own/t/r/x/f106",
	                       FSP_RENAME_EXCHANGE, NULL), 0);
	explain("exchange");
	{
		struct fsp_new what = { .mode = S_IFLNK | 0777,
			                .target = "f1" };
		struct fsp_place at = { .dir = "own/t/r/x", .name = "link" };

		assert_int_equal(fsp_meta_create(f->m, &f->ctx, &at, &what, &e),
		                 0);
	}
	assert_int_equal(fsp_meta_readlink(f->m, &f->ctx, e.attr.ino, &target),
	                 0);
	free(target);
	explain("readlink");
	(void)n;
}

static void test_changes(void **state)
{
	struct fx *f = *state;
	struct fsp_feed *feed = NULL;
	int n = 0;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(fsp_meta_changes(f->m, &f->ctx, &feed,
		                                  count_change, &n), 0);
		fx_put(f, "own/t/r/x/changes", (char)('a' + i), 9);
		fx_php_upload(f, "own.t.r", "x/changes", '2', 20, 1500000000);
	}
	assert_true(n > 0);
	explain("changes");
	assert_int_equal(fsp_meta_changes_purge(f->m, &f->ctx, feed), 0);
	explain("changes_purge");
	fsp_feed_free(feed);
}

static void test_rest(void **state)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	struct fx *f = *state;
	struct fsp_entry e = fx_get(f, "own/t/r/x/f90");
	struct fsp_ref ref = { e.attr.ino, "own/t/r/x/f90" };
	struct fsp_flock l = {
		.ino = e.attr.ino, .type = F_WRLCK, .end = 100, .owner = 3,
		.mount = "0123456789abcdef0123456789abcdef",
	};
	struct fsp_flock c;
	struct fsp_object o = fx_object('7', 5);
	struct fsp_mountinfo i = {
		.id = l.mount, .host = "h", .path = "/p", .pid = 1,
		.spool = "/s", .started_us = 1,
	};
	int n = 0;

	assert_int_equal(fsp_meta_mount_add(f->m, &f->ctx, &i), 0);
	assert_int_equal(fsp_meta_mount_each(f->m, &f->ctx, count_mount, &n),
	                 0);
	explain("mounts");
	assert_int_equal(fsp_meta_xattr_set(f->m, &f->ctx, &ref, "user.b", "x",
	                                    1, 0), 0);
	assert_int_equal(fsp_meta_xattr_get(f->m, &f->ctx, ref.ino, "user.b",
	                                    &b), 0);
	assert_int_equal(fsp_meta_xattr_list(f->m, &f->ctx, ref.ino,
	                                     count_word, &n), 0);
	assert_int_equal(fsp_meta_xattr_remove(f->m, &f->ctx, &ref, "user.b"),
	                 0);
	explain("extended attributes");
	l.ino = 900000;
	assert_int_equal(fsp_meta_lock_set(f->m, &f->ctx, &l, &c), 0);
	assert_int_equal(fsp_meta_lock_get(f->m, &f->ctx, &l, &c), 0);
	l.type = F_UNLCK;
	assert_int_equal(fsp_meta_lock_set(f->m, &f->ctx, &l, &c), 0);
	assert_int_equal(fsp_meta_lease_renew(f->m, &f->ctx, l.mount, 1,
	                                      -FSP_NS_PER_SEC), 0);
	assert_int_equal(fsp_meta_lease_revoke(f->m, &f->ctx, l.mount,
		fx_number(f, "SELECT lease_us FROM fsp_mount")), 0);
	explain("locks");
	assert_int_equal(fsp_meta_object_put(f->m, &f->ctx, &o), 0);
	assert_int_equal(fsp_meta_object_get(f->m, &f->ctx, o.key, &o), 0);
	assert_int_equal(fsp_meta_object_blocks(f->m, &f->ctx, o.key, &o, &b),
	                 0);
	o.verified_us = 0;
	assert_int_equal(fsp_meta_object_put(f->m, &f->ctx, &o), 0);
	o.verified_us = 1;
	assert_int_equal(fsp_meta_object_put(f->m, &f->ctx, &o), 0);
	assert_int_equal(fsp_meta_object_find(f->m, &f->ctx, o.sha256, o.sha1,
	                                      5, &o), 0);
	assert_int_equal(fsp_meta_object_rows(f->m, &f->ctx, o.key, count_row,
	                                      &n), 0);
	explain("objects");
	assert_int_equal(fsp_meta_info_set(f->m, &f->ctx, "a", "b"), 0);
	assert_int_equal(fsp_meta_info_get(f->m, &f->ctx, "a", &b), 0);
	assert_int_equal(fsp_meta_sync(f->m, &f->ctx), 0);
	explain("facts");
	assert_int_equal(fx_new(f, "own/t/r/x/pending", S_IFREG | 0644, &e), 0);
	assert_int_equal(fsp_meta_mount_remove(f->m, &f->ctx, l.mount), 0);
	explain("a mount goes");
}

static bool was_given(const char *text)
{
	for (size_t i = 0; i < n_given; i++)
		if (strstr(given[i], text))
			return true;
	return false;
}

/* What filespacectl asks to look at each object: one after another, by key. */
static bool is_walk(const char *text)
{
	return strstr(text, "GROUP BY f.data_hash ORDER BY f.data_hash LIMIT");
}

/*
 * One that no call above has come to: with any values, so only the plan counts.
 * A constant that nothing equals is no plan either, but a search.
 */
static bool explain_text(const char *text)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;
	struct sql_text x;
	MYSQL_RES *res;
	MYSQL_ROW row;
	char *lock;

	assert_int_equal(real_text_expand(dialect, text, &x), 0);
	fsp_buf_adds(&b, "EXPLAIN ");
	for (const char *c = x.sql; *c; c++) {
		bool limit = c - x.sql > 6 && !strncmp(c - 6, "LIMIT ", 6);

		if (*c == '?')
			fsp_buf_adds(&b, limit ? "1" : "'1'");
		else
			fsp_buf_addc(&b, *c);
	}
	sql_text_free(&x);
	lock = strstr(b.data, " FOR UPDATE");
	if (lock)
		*lock = '\0';
	if (mysql_query(explainer, b.data)) {
		print_error("%s: %s\n", b.data, mysql_error(explainer));
		return false;
	}
	res = mysql_store_result(explainer);
	while (!is_walk(text) && (row = mysql_fetch_row(res)))
		judge(b.data, row);
	mysql_free_result(res);
	return true;
}

/* All texts of the sources, but those that read the whole store and say so. */
static void test_complete(void)
{
	const char *top = getenv("TOP") ? getenv("TOP") : ".";
	FSP_FREE char *cmd = fsp_strf("'%s/tests/lib/sql-texts' '%s' check"
	                              " count", top, top);
	FSP_FREE char *line = NULL;
	FILE *pipe = popen(cmd, "r");
	size_t size = 0;
	int n = 0, rare = 0;

	assert_non_null(pipe);
	watching = false;
	while (getline(&line, &size, pipe) > 0) {
		char *text = strchr(line, '\t') + 1;

		n++;
		text[strcspn(text, "\n")] = '\0';
		if (was_given(text))
			continue;
		rare++;
		if (!explain_text(text))
			bad++;
	}
	assert_int_equal(pclose(pipe), 0);
	printf("%d texts, %d of them by their plan alone\n", n, rare);
	assert_true(n > 100 && rare < n / 4);
}

static void test_all(void **state)
{
	test_read(state);
	test_list(state);
	test_list_many(state);
	test_change(state);
	test_deleg(state);
	test_seldom(state);
	test_changes(state);
	test_rest(state);
	printf("%zu statements; most reads: %lld, by %s\n", n_caught,
	       most_reads, most_sql);
	test_complete();
	assert_int_equal(bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
