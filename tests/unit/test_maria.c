/* TAKES 24 */
/* SERVERS mariadb-tls */
/* MariaDB: connections that break, hosts that go, and what is refused. */
#define FX_MARIA
#include "meta_fixture.h"
#include "tcp_proxy.h"

#include <mysqld_error.h>

static struct proxy px;
static char at_proxy[64];

static struct fsp_maria_options options(const struct fx *f)
{
	struct fsp_maria_options o = maria_test_options();

	o.database = f->db.path;
	o.hosts = at_proxy;
	o.connections = 4;
	o.connect_timeout_ns = 2 * FSP_NS_PER_SEC;
	o.timeout_ns = 5 * FSP_NS_PER_SEC;
	return o;
}

static int try_open(const struct fsp_maria_options *o, struct fsp_meta **out,
                    char **error)
{
	struct fsp_meta_options mo = fx_options();

	return fsp_meta_maria_open(o, &mo, out, error);
}

static void open_with(struct fx *f, const struct fsp_maria_options *o)
{
	char *error = NULL;
	int err = try_open(o, &f->m, &error);

	if (err)
		fail_msg("open: %d %s", err, error);
}

static int port(void)
{
	return atoi(getenv("FSP_TEST_MYSQL_PORT"));
}

static int setup(void **state)
{
	struct fsp_maria_options o;
	struct fx *f;

	maria_skip_unless_server();
	fx_setup(state);
	f = *state;
	fx_close(f);
	proxy_start(&px, "127.0.0.1", port());
	snprintf(at_proxy, sizeof(at_proxy), "127.0.0.1:%d", px.port);
	o = options(f);
	open_with(f, &o);
	f->ctx.deadline_ns = fsp_mono_ns() + 60 * FSP_NS_PER_SEC;
	return 0;
}

static int teardown(void **state)
{
	struct fx *f = *state;
	int broken;

	fx_close(f);
	proxy_stop(&px);
	f->ctx = fsp_ctx_background();
	assert_int_equal(fx_db_open_by_name(f->db.path,
		&(struct fsp_meta_options){ .connections = 1 }, &f->m,
		&(char *){ NULL }), 0);
	broken = fx_teardown(state);
	return broken;
}

static uint64_t retries(struct fx *f)
{
	struct fsp_meta_stats s;

	fsp_meta_stats(f->m, &s);
	return s.retries;
}

static void arm(enum proxy_fault fault, enum proxy_packet packet, int skip)
{
	atomic_store(&px.packet, packet);
	atomic_store(&px.skip, skip);
	atomic_store(&px.fault, fault);
}

/* The connection that writes is there, and so is what it needs. */
static void warm_up(struct fx *f)
{
	struct fsp_entry e;

	fx_mkdirs(f, "a/t/r");
	assert_int_equal(fx_new(f, "a/t/r/warm", S_IFREG | 0600, &e), 0);
}

static int64_t names(struct fx *f, const char *name)
{
	char sql[200];

	snprintf(sql, sizeof(sql), "SELECT count(*) FROM fsp_name WHERE"
	         " name = '%s'", name);
	return fx_number(f, sql);
}

/* Wherever the connection ends before COMMIT, the file is made, and once. */
static void test_lost_before(void **state)
{
	struct fx *f = *state;
	struct fsp_entry e;
	char path[32];
	int i = 0;

	warm_up(f);
	for (;; i++) {
		uint64_t before = retries(f);

		snprintf(path, sizeof(path), "a/t/r/f%d", i);
		arm(PROXY_CUT_BEFORE, PROXY_ON_TEXT, i);
		assert_int_equal(fx_new(f, path, S_IFREG | 0600, &e), 0);
		assert_int_equal(names(f, path + 6), 1);
		if (atomic_load(&px.fired) == i)
			break;          /* there are no more before it */
		assert_true(retries(f) > before);
	}
	assert_true(i > 0);
	arm(PROXY_PASS, PROXY_ON_COMMIT, 0);
}

/* COMMIT did not arrive: the row of outcomes says so, and it is run again. */
static void test_commit_lost(void **state)
{
	struct fx *f = *state;
	struct fsp_entry e;
	uint64_t before;

	warm_up(f);
	before = retries(f);
	arm(PROXY_CUT_BEFORE, PROXY_ON_COMMIT, 0);
	assert_int_equal(fx_new(f, "a/t/r/f", S_IFREG | 0600, &e), 0);
	assert_int_equal(atomic_load(&px.fired), 1);
	assert_int_equal(retries(f), before + 1);
	assert_int_equal(names(f, "f"), 1);
}

/* Only the answer was lost: a second run would find the name, and fail. */
static void test_answer_lost(void **state)
{
	struct fx *f = *state;
	struct fsp_entry e;
	uint64_t before;
	int64_t rows;

	warm_up(f);
	before = retries(f);
	arm(PROXY_CUT_AFTER, PROXY_ON_COMMIT, 0);
	assert_int_equal(fx_new(f, "a/t/r/f", S_IFREG | 0600, &e), 0);
	assert_int_equal(atomic_load(&px.fired), 1);
	assert_int_equal(retries(f), before);
	fx_commit(f, "a/t/r/f", '1', 1);
	rows = fx_number(f, "SELECT count(*) FROM filespace_file");
	arm(PROXY_CUT_AFTER, PROXY_ON_COMMIT, 0);
	e = fx_commit(f, "a/t/r/f", '2', 2);
	assert_int_equal(atomic_load(&px.fired), 2);
	assert_int_equal(e.content.row, fx_get(f, "a/t/r/f").content.row);
	assert_true(e.content.row > 0);
	assert_int_equal(fx_number(f, "SELECT count(*) FROM filespace_file"),
	                 rows + 1);
}

/* The same with one connection in all: asking needs its place. */
static void test_answer_lost_alone(void **state)
{
	struct fx *f = *state;
	struct fsp_maria_options o = options(f);
	struct fsp_entry e;

	fx_close(f);
	o.connections = 1;
	open_with(f, &o);
	warm_up(f);
	arm(PROXY_CUT_AFTER, PROXY_ON_COMMIT, 0);
	assert_int_equal(fx_new(f, "a/t/r/f", S_IFREG | 0600, &e), 0);
	assert_int_equal(atomic_load(&px.fired), 1);
}

/*
 * The server does not know that we are gone, and holds the transaction: what
 * looks for the outcome waits until it is given up.
 */
static void test_half_open(void **state)
{
	struct fx *f = *state;
	struct fsp_maria_options o = options(f);
	struct fsp_entry e;

	fx_close(f);
	o.timeout_ns = FSP_NS_PER_SEC;
	open_with(f, &o);
	warm_up(f);
	arm(PROXY_HALF_OPEN, PROXY_ON_COMMIT, 0);
	assert_int_equal(fx_new(f, "a/t/r/f", S_IFREG | 0600, &e), 0);
	assert_int_equal(atomic_load(&px.fired), 1);
	assert_true(retries(f) > 0);
	assert_int_equal(names(f, "f"), 1);
}

/* Nobody can be asked: it may have happened, and here it has. */
static void test_nobody_knows(void **state)
{
	struct fx *f = *state;
	struct fsp_entry e;
	int64_t began = fsp_mono_ns();

	warm_up(f);
	atomic_store(&px.down_when_fired, true);
	arm(PROXY_CUT_AFTER, PROXY_ON_COMMIT, 0);
	f->ctx.deadline_ns = began + 700000000;
	assert_int_equal(fx_new(f, "a/t/r/f", S_IFREG | 0600, &e), -EHOSTDOWN);
	assert_true(fsp_mono_ns() - began < 5 * FSP_NS_PER_SEC);
	atomic_store(&px.down, false);
	f->ctx.deadline_ns = fsp_mono_ns() + 60 * FSP_NS_PER_SEC;
	while (fx_look(f, "a/t/r/f", &e) == -EHOSTDOWN)
		;
	assert_int_equal(names(f, "f"), 1);
}

/* A server that says nothing any more costs the deadline, not more. */
static void test_frozen(void **state)
{
	struct fx *f = *state;
	atomic_bool cancelled = false;
	struct fsp_entry e;
	int64_t began;

	warm_up(f);
	atomic_store(&px.hold, true);
	proxy_wake(&px);
	began = fsp_mono_ns();
	f->ctx.deadline_ns = began + 200000000;
	assert_int_equal(fx_look(f, "a/t/r/warm", &e), -ETIMEDOUT);
	assert_int_equal(fx_new(f, "a/t/r/x", S_IFREG | 0600, &e), -ETIMEDOUT);
	assert_true(fsp_mono_ns() - began < FSP_NS_PER_SEC);
	cancelled = true;
	f->ctx.cancelled = &cancelled;
	f->ctx.deadline_ns = 0;
	assert_int_equal(fx_look(f, "a/t/r/warm", &e), -EINTR);
	f->ctx.cancelled = NULL;
	/* without a deadline: no connection in time, and then none at all */
	began = fsp_mono_ns();
	assert_int_equal(fx_look(f, "a/t/r/warm", &e), -ETIMEDOUT);
	began = fsp_mono_ns();
	for (int i = 0; i < 100; i++)
		assert_int_equal(fx_look(f, "a/t/r/warm", &e), -ETIMEDOUT);
	assert_true(fsp_mono_ns() - began < FSP_NS_PER_SEC);
	atomic_store(&px.hold, false);
	proxy_wake(&px);
	f->ctx.deadline_ns = fsp_mono_ns() + 30 * FSP_NS_PER_SEC;
	while (fx_look(f, "a/t/r/warm", &e) == -ETIMEDOUT)
		;
	assert_int_equal(fx_look(f, "a/t/r/warm", &e), 0);
}

/* The second host when the first is gone, and the first when it is back. */
static void test_failover(void **state)
{
	struct fx *f = *state;
	struct fsp_maria_options o = options(f);
	struct proxy second;
	char hosts[128], path[32];
	struct fsp_entry e;
	int accepted;

	fx_close(f);
	proxy_start(&second, "127.0.0.1", port());
	snprintf(hosts, sizeof(hosts), "127.0.0.1:%d, 127.0.0.1:%d", px.port,
	         second.port);
	o.hosts = hosts;
	open_with(f, &o);
	warm_up(f);
	assert_int_equal(atomic_load(&second.accepted), 0);
	atomic_store(&px.down, true);
	proxy_wake(&px);
	assert_int_equal(fx_new(f, "a/t/r/f", S_IFREG | 0600, &e), 0);
	assert_int_equal(fx_look(f, "a/t/r/f", &e), 0);
	assert_true(atomic_load(&second.accepted) > 0);
	/* also when connections go in the middle, on both sides at once */
	atomic_store(&second.fault, PROXY_CUT_BEFORE);
	atomic_store(&second.packet, PROXY_ON_COMMIT);
	assert_int_equal(fx_new(f, "a/t/r/g", S_IFREG | 0600, &e), 0);
	assert_int_equal(atomic_load(&second.fired), 1);
	atomic_store(&px.down, false);
	accepted = atomic_load(&px.accepted);
	/* the prober's own, and then ours */
	for (int i = 0; atomic_load(&px.accepted) < accepted + 2; i++) {
		snprintf(path, sizeof(path), "a/t/r/h%d", i);
		assert_int_equal(fx_look(f, path, &e), -ENOENT);
		assert_true(fsp_ctx_left_ns(&f->ctx) > 0);
	}
	accepted = atomic_load(&second.accepted);
	fx_commit(f, "a/t/r/f", '1', 1);
	assert_int_equal(atomic_load(&second.accepted), accepted);
	fx_close(f);
	proxy_stop(&second);
	o = options(f);
	open_with(f, &o);
}

/* Connections that the server ended while nobody used them. */
static void test_killed_idle(void **state)
{
	struct fx *f = *state;
	struct fsp_entry e;

	warm_up(f);
	for (int i = 0; i < 3; i++) {
		atomic_store(&px.down, true);
		proxy_wake(&px);
		/* all of them are gone when this is refused */
		while (fx_look(f, "a/t/r/warm", &e) != -EHOSTDOWN)
			;
		atomic_store(&px.down, false);
		f->ctx.deadline_ns = fsp_mono_ns() + 30 * FSP_NS_PER_SEC;
		while (fx_look(f, "a/t/r/warm", &e) == -EHOSTDOWN)
			;
		fx_commit(f, "a/t/r/warm", (char)('1' + i), 1);
	}
}

static void refused(const struct fsp_maria_options *o, int err,
                    const char *why)
{
	struct fsp_meta *m = NULL;
	char *error = NULL;

	assert_int_equal(try_open(o, &m, &error), err);
	assert_non_null(error);
	if (!strstr(error, why))
		fail_msg("%s", error);
	assert_null(strstr(error, "secret"));
	free(error);
}

static void test_refusals(void **state)
{
	struct fx *f = *state;
	struct fsp_maria_options o = options(f);

	o.password = "secret";
	refused(&o, -EACCES, "Access denied");
	o = options(f);
	o.database = "t_there_is_none";
	refused(&o, -EACCES, "t_there_is_none");
	o.database = "mysql";
	refused(&o, -EACCES, "Access denied");
	o.database = NULL;
	refused(&o, -EINVAL, "no database");
	o = options(f);
	o.hosts = "127.0.0.1:1";
	refused(&o, -EHOSTDOWN, "127.0.0.1:1");
	o.hosts = "127.0.0.1:x";
	refused(&o, -EINVAL, "127.0.0.1:x");
	o.hosts = "a:b:c]";
	refused(&o, -EHOSTDOWN, "a:b:c]");
	fx_sql(f, "UPDATE fsp_info SET value = value * 1000 WHERE name = 'schema'");
	o = options(f);
	refused(&o, -EPROTO, "000");
	fx_sql(f, "UPDATE fsp_info SET value = value DIV 1000 WHERE name = 'schema'");
}

/* ---- TLS */

static void opens(const struct fsp_maria_options *o)
{
	struct fsp_meta *m = NULL;
	char *error = NULL;

	if (try_open(o, &m, &error))
		fail_msg("%s", error);
	m->ops->close(m);
}

static void test_tls(void **state)
{
	struct fx *f = *state;
	struct fsp_maria_options o = options(f);
	struct proxy other;
	char at_other[64];

	o.tls = FSP_TLS_VERIFY;
	o.tls_ca = getenv("FSP_TEST_MYSQL_CA");
	opens(&o);
	/* the server insists on it, and on our certificate */
	o.user = "fsp_tls";
	opens(&o);
	o.tls_ca = NULL;
	o.tls = FSP_TLS_REQUIRE;
	opens(&o);
	o.tls = FSP_TLS_OFF;
	refused(&o, -EACCES, "Access denied");
	o.tls = FSP_TLS_VERIFY;         /* not asked of the loopback */
	refused(&o, -EACCES, "Access denied");
	o.tls_ca = getenv("FSP_TEST_MYSQL_CA");
	o.user = "fsp_cert";
	refused(&o, -EACCES, "Access denied");
	o.tls_cert = getenv("FSP_TEST_MYSQL_CERT");
	o.tls_key = getenv("FSP_TEST_MYSQL_KEY");
	opens(&o);
	/* an authority that did not sign it */
	o = options(f);
	o.tls = FSP_TLS_VERIFY;
	o.tls_ca = getenv("FSP_TEST_MYSQL_CERT");
	refused(&o, -EHOSTDOWN, "certificate");
	/* a host that is not named in it */
	proxy_start(&other, "127.0.0.2", port());
	snprintf(at_other, sizeof(at_other), "127.0.0.2:%d", other.port);
	o.hosts = at_other;
	o.tls_ca = getenv("FSP_TEST_MYSQL_CA");
	refused(&o, -EHOSTDOWN, "certificate");
	assert_true(atomic_load(&other.accepted) > 0);
	proxy_stop(&other);
}

/* Somebody on the way takes TLS out: nothing is told to him. */
static void test_no_downgrade(void **state)
{
	struct fx *f = *state;
	struct fsp_maria_options o = options(f);

	fx_close(f);
	atomic_store(&px.fault, PROXY_STRIP_TLS);
	atomic_store(&px.sent, 0);
	o.tls = FSP_TLS_VERIFY;
	o.tls_ca = getenv("FSP_TEST_MYSQL_CA");
	refused(&o, -EHOSTDOWN, "SSL");
	assert_int_equal(atomic_load(&px.fired), 1);
	/* a good-bye at the most */
	assert_true(atomic_load(&px.sent) <= 5);
	o.tls_ca = NULL;
	o.tls = FSP_TLS_REQUIRE;
	refused(&o, -EACCES, "not encrypted");
	/* without it, there is nothing to take out */
	o.tls = FSP_TLS_OFF;
	opens(&o);
	atomic_store(&px.fault, PROXY_PASS);
	o = options(f);
	open_with(f, &o);
}

/* ---- what only the administrator of the server can make */

static MYSQL *as_root(void)
{
	MYSQL *my = mysql_init(NULL);

	assert_non_null(my);
	if (!mysql_real_connect(my, NULL, "root", NULL, NULL, 0,
	                        getenv("FSP_TEST_MYSQL_SOCKET"), 0))
		fail_msg("root: %s", mysql_error(my));
	return my;
}

static void grant(MYSQL *root, const char *what, const char *db,
                  const char *table, const char *user)
{
	FSP_FREE char *sql = fsp_strf("GRANT %s ON %s.%s TO %s@'127.0.0.1'",
	                              what, db, table, user);

	assert_non_null(sql);
	maria_do(root, sql);
}

struct maker {
	struct fx *f;
	pthread_t thread;
	int n, err;
};

static void *make_file(void *arg)
{
	struct maker *k = arg;
	struct fsp_entry e;
	char path[32];

	snprintf(path, sizeof(path), "a/t/r/m%d", k->n);
	k->err = fx_new(k->f, path, S_IFREG | 0600, &e);
	return NULL;
}

/* The server has room for fewer connections than we would have. */
static void test_crowded(void **state)
{
	struct fx *f = *state;
	struct fsp_maria_options o = options(f);
	struct maker k[8];
	MYSQL *root = as_root();

	maria_do(root, "CREATE OR REPLACE USER fsp_few@'127.0.0.1' IDENTIFIED"
	         " BY 'few' WITH MAX_USER_CONNECTIONS 2");
	grant(root, "ALL", f->db.path, "*", "fsp_few");
	fx_mkdirs(f, "a/t/r");
	fx_close(f);
	o.user = "fsp_few";
	o.password = "few";
	o.connections = 8;
	open_with(f, &o);
	for (int i = 0; i < 8; i++) {
		k[i] = (struct maker){ .f = f, .n = i };
		assert_int_equal(pthread_create(&k[i].thread, NULL, make_file,
		                                &k[i]), 0);
	}
	for (int i = 0; i < 8; i++) {
		pthread_join(k[i].thread, NULL);
		assert_int_equal(k[i].err, 0);
	}
	fx_close(f);
	maria_do(root, "DROP USER fsp_few@'127.0.0.1'");
	mysql_close(root);
	o = options(f);
	open_with(f, &o);
}

/* Readers and writers use one connection in turn, where there is only one. */
static void test_shared(void **state)
{
	struct fx *f = *state;
	struct fsp_maria_options o = options(f);
	struct fsp_entry e;
	char path[32];
	int accepted;

	fx_close(f);
	o.connections = 1;
	open_with(f, &o);
	warm_up(f);
	accepted = atomic_load(&px.accepted);
	for (int i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "a/t/r/f%d", i);
		assert_int_equal(fx_look(f, path, &e), -ENOENT);
		assert_int_equal(fx_new(f, path, S_IFREG | 0600, &e), 0);
		assert_int_equal(fx_walk(f, "a/t/r"), i + 2);
	}
	assert_int_equal(atomic_load(&px.accepted), accepted);
}

/* What the server has no room to prepare is sent as it is. */
static void test_no_names(void **state)
{
	struct fx *f = *state;
	MYSQL *root = as_root();
	struct fsp_entry e;
	uint64_t before;

	warm_up(f);
	fx_commit(f, "a/t/r/warm", '1', 1);
	before = retries(f);
	maria_do(root, "SET GLOBAL max_prepared_stmt_count = 0");
	for (int i = 0; i < 3; i++) {
		char path[32];

		snprintf(path, sizeof(path), "a/t/r/l%d", i);
		assert_int_equal(fx_ln(f, "a/t/r/warm", path), 0);
	}
	maria_do(root, "SET GLOBAL max_prepared_stmt_count = DEFAULT");
	mysql_close(root);
	/* it was found out once */
	assert_int_equal(retries(f), before + 1);
	assert_int_equal(fx_look(f, "a/t/r/l2", &e), 0);
	assert_int_equal(e.attr.nlink, 4);
}

/* Two that wait for each other: the server ends ours, and it is run again. */
static void test_deadlock(void **state)
{
	struct fx *f = *state;
	MYSQL *root = as_root();
	struct maker k = { .f = f };
	int64_t node;
	char sql[300];

	warm_up(f);
	node = fx_number(f, "SELECT ino FROM fsp_name WHERE name = 'r'");
	fx_sql(f, "BEGIN");
	/* more than ours, so that ours is the one to go */
	fx_sql(f, "INSERT INTO fsp_xattr WITH RECURSIVE n AS (SELECT 1 AS i"
	       " UNION ALL SELECT i + 1 FROM n WHERE i < 300)"
	       " SELECT 7, i, 'x' FROM n");
	fx_sql(f, "UPDATE fsp_node SET uid = uid + 1 WHERE ino = %lld",
	       (long long)node);
	assert_int_equal(pthread_create(&k.thread, NULL, make_file, &k), 0);
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM"
	         " information_schema.processlist WHERE db = '%s' AND id <> %lld"
	         " AND command IN ('Execute', 'Query') AND info LIKE"
	         " 'UPDATE fsp_node%%'", f->db.path,
	         /* whose UPDATE may be on the list after it was answered */
	         (long long)fx_number(f, "SELECT CONNECTION_ID()"));
	while (maria_count(root, sql) == 0)
		assert_true(fsp_ctx_left_ns(&f->ctx) > 0);
	fx_sql(f, "UPDATE fsp_shard SET turn = turn + 1 ORDER BY id");
	fx_sql(f, "ROLLBACK");
	pthread_join(k.thread, NULL);
	assert_int_equal(k.err, 0);
	assert_true(retries(f) > 0);
	assert_int_equal(names(f, "m0"), 1);
	mysql_close(root);
}

/* A row that somebody holds for long is waited for again and again. */
static void test_lock_wait(void **state)
{
	struct fx *f = *state;
	struct fsp_maria_options o = options(f);
	struct maker k = { .f = f };

	fx_close(f);
	o.timeout_ns = 2 * FSP_NS_PER_SEC;
	open_with(f, &o);
	warm_up(f);
	fx_sql(f, "BEGIN");
	fx_sql(f, "UPDATE fsp_shard SET turn = turn + 1 ORDER BY id");
	assert_int_equal(pthread_create(&k.thread, NULL, make_file, &k), 0);
	while (retries(f) == 0)
		assert_true(fsp_ctx_left_ns(&f->ctx) > 0);
	fx_sql(f, "ROLLBACK");
	pthread_join(k.thread, NULL);
	assert_int_equal(k.err, 0);
	assert_int_equal(names(f, "m0"), 1);
}

static int add_version(void *arg, const struct fsp_version *v)
{
	(void)v;
	++*(int *)arg;
	return 0;
}

/*
 * A write host without a binary log does not say how far it is: nothing is read
 * elsewhere, once something was committed.
 */
static void test_no_positions(void **state)
{
	struct fx *f = *state;
	struct fsp_maria_options o = options(f);
	struct proxy readers;
	char at_readers[64];
	int n = 0, sent;

	fx_mkdirs(f, "a/t/r");
	fx_put(f, "a/t/r/f", '1', 1);
	fx_close(f);
	proxy_start(&readers, "127.0.0.1", port());
	snprintf(at_readers, sizeof(at_readers), "127.0.0.1:%d", readers.port);
	o.read_hosts = at_readers;
	open_with(f, &o);
	for (int i = 1; i < 3; i++) {
		sent = atomic_load(&readers.sent);
		assert_int_equal(f->m->ops->history(f->m, &f->ctx, "a/t/r/f",
		                                    add_version, &n), 0);
		assert_int_equal(n, i);
		assert_true(atomic_load(&readers.sent) > sent);
	}
	fx_commit(f, "a/t/r/f", '2', 2);
	n = 0;
	sent = atomic_load(&readers.sent);
	assert_int_equal(f->m->ops->history(f->m, &f->ctx, "a/t/r/f",
	                                    add_version, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(atomic_load(&readers.sent), sent);
	fx_close(f);
	proxy_stop(&readers);
	o = options(f);
	open_with(f, &o);
}

/* ---- rows that come while they are read */

#define ROWS 5000
#define PHP_ROWS 3000

static int count(void *arg, const char *name, const struct fsp_entry *e)
{
	assert_non_null(name);
	assert_true(S_ISFIFO(e->attr.mode) || S_ISREG(e->attr.mode));
	++*(int *)arg;
	return 0;
}

/* What a listing says and how many entries it has given out. */
static int list(struct fx *f, const char *dir, size_t most, int *n)
{
	*n = 0;
	return f->m->ops->list(f->m, &f->ctx, dir, most, count, n);
}

static void fill(struct fx *f)
{
	int n;

	fx_mkdirs(f, "a/t/r");
	fx_mkdirs(f, "a/t/php");
	fx_sql(f, "INSERT INTO fsp_name (space_key, dir_key, name, live, ino,"
	       " since_us) SELECT 'a.t.r', '', CONCAT('fifo', seq), 1,"
	       " 500000 + seq, 1 FROM seq_1_to_%d", ROWS);
	fx_sql(f, "INSERT INTO fsp_node (ino, mode, uid, gid, nlink, rdev,"
	       " atime_ns, mtime_ns, ctime_ns) SELECT 500000 + seq, %d, 0, 0,"
	       " 1, 0, 1, 1, 1 FROM seq_1_to_%d", S_IFIFO | 0644, ROWS);
	fx_sql(f, "INSERT INTO filespace_file (file_key, space_key, data_hash,"
	       " created_at, size_original, size_storage) SELECT"
	       " CONCAT('doc', seq), 'a.t.php', SHA1(seq), 1431080000, 5, 5"
	       " FROM seq_1_to_%d", PHP_ROWS);
	fx_sql(f, "UPDATE fsp_info SET value = '1000000' WHERE"
	       " name = 'next_ino'");
	assert_int_equal(list(f, "a/t/r", 0, &n), 0);
	assert_int_equal(n, ROWS);
}

static void arm_rows(enum proxy_fault fault, int after, int error)
{
	atomic_store(&px.fired, 0);
	atomic_store(&px.after, after);
	atomic_store(&px.error, error);
	atomic_store(&px.fault, fault);
}

/* Wherever it ends, all of it is asked for again: no listing is short. */
static void test_rows_cut(void **state)
{
	static const int after[] = { 1, 100, 2000, 60000, 200000 };
	struct fx *f = *state;
	int n;

	fill(f);
	for (size_t i = 0; i < sizeof(after) / sizeof(*after); i++) {
		uint64_t before = retries(f);

		arm_rows(PROXY_CUT_ROWS, after[i], 0);
		assert_int_equal(list(f, "a/t/r", 0, &n), 0);
		assert_int_equal(n, ROWS);
		assert_int_equal(atomic_load(&px.fired), 1);
		assert_int_equal(retries(f), before + 1);
	}
}

/* An error in the place of a row: of those that pass, and one that stays. The
 * connection is as good as before. */
static void test_rows_error(void **state)
{
	struct fx *f = *state;
	uint64_t before;
	int accepted, n;

	fill(f);
	accepted = atomic_load(&px.accepted);
	before = retries(f);
	arm_rows(PROXY_ERROR_ROWS, 60000, ER_LOCK_DEADLOCK);
	assert_int_equal(list(f, "a/t/r", 0, &n), 0);
	assert_int_equal(n, ROWS);
	assert_int_equal(atomic_load(&px.fired), 1);
	assert_int_equal(retries(f), before + 1);
	arm_rows(PROXY_ERROR_ROWS, 60000, ER_GET_ERRNO);
	assert_int_equal(list(f, "a/t/r", 0, &n), -EIO);
	assert_int_equal(n, 0);
	assert_int_equal(atomic_load(&px.fired), 1);
	assert_int_equal(list(f, "a/t/r", 0, &n), 0);
	assert_int_equal(n, ROWS);
	assert_int_equal(atomic_load(&px.accepted), accepted);
}

/* They stop coming: that costs the deadline, and nothing is given out. */
static void test_rows_held(void **state)
{
	struct fx *f = *state;
	int64_t began;
	int n;

	fill(f);
	arm_rows(PROXY_HOLD_ROWS, 60000, 0);
	began = fsp_mono_ns();
	f->ctx.deadline_ns = began + 300000000;
	assert_int_equal(list(f, "a/t/r", 0, &n), -ETIMEDOUT);
	assert_int_equal(n, 0);
	assert_int_equal(atomic_load(&px.fired), 1);
	assert_true(fsp_mono_ns() - began < 2 * FSP_NS_PER_SEC);
	atomic_store(&px.hold, false);
	proxy_wake(&px);
	f->ctx.deadline_ns = fsp_mono_ns() + 60 * FSP_NS_PER_SEC;
	while (list(f, "a/t/r", 0, &n) == -EHOSTDOWN)
		;
	assert_int_equal(n, ROWS);
}

/* Who does not want the rest leaves the connection as it was. */
static void test_rows_left(void **state)
{
	struct fx *f = *state;
	int accepted, n;

	fill(f);
	accepted = atomic_load(&px.accepted);
	assert_int_equal(list(f, "a/t/r", 7, &n), -E2BIG);
	assert_int_equal(n, 0);
	/* more than come in one statement */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(list(f, "a/t/php", 0, &n), 0);
		assert_int_equal(n, PHP_ROWS);
		assert_int_equal(list(f, "a/t/r", 0, &n), 0);
		assert_int_equal(n, ROWS);
	}
	assert_int_equal(atomic_load(&px.accepted), accepted);
	assert_int_equal(retries(f), 0);
}

/* ---- PHP's tables as they are, for a user who may only read them */

static void load_dump(struct fx *f)
{
	char path[512], line[4096];
	struct fsp_buf sql = FSP_BUF_INIT;
	const char *here = __FILE__;
	FILE *in;

	snprintf(path, sizeof(path), "%.*s/../fixtures/php-filespace/dump.sql",
	         (int)(strrchr(here, '/') - here), here);
	in = fopen(path, "r");
	assert_non_null(in);
	while (fgets(line, sizeof(line), in)) {
		if (line[0] == '/')
			continue;
		assert_int_equal(fsp_buf_adds(&sql, line), 0);
		if (!strstr(line, ";\n"))
			continue;
		fx_sql(f, "%s", sql.data);
		fsp_buf_reset(&sql);
	}
	fsp_buf_free(&sql);
	fclose(in);
}

static void open_as_reader(struct fx *f, const char *charset)
{
	struct fsp_maria_options o = maria_test_options();
	struct fsp_meta_options mo = fx_options();
	char *error = NULL;

	o.database = f->db.path;
	o.user = "fsp_reader";
	o.password = "reader";
	o.charset = charset;
	mo.read_only = true;
	mo.create = false;
	if (fsp_meta_maria_open(&o, &mo, &f->m, &error))
		fail_msg("%s", error);
}

static void test_untouched(void **state)
{
	struct fx *f = *state;
	MYSQL *root;
	struct fsp_entry e;
	char *error = NULL;
	struct fsp_maria_options o = maria_test_options();

	maria_skip_unless_server();
	root = as_root();
	load_dump(f);
	o.database = f->db.path;
	assert_int_equal(try_open(&o, &f->m, &error), -EROFS);
	assert_non_null(strstr(error, "schema upgrade"));
	free(error);
	maria_do(root, "CREATE OR REPLACE USER fsp_reader@'127.0.0.1'"
	         " IDENTIFIED BY 'reader'");
	grant(root, "SELECT", f->db.path, "filespace", "fsp_reader");
	grant(root, "SELECT", f->db.path, "filespace_file", "fsp_reader");
	/* PHP spoke latin1: what it meant are these bytes */
	open_as_reader(f, "latin1");
	assert_string_equal(fx_ls(f, ""), "acme/ empty/ globex/");
	assert_string_equal(fx_ls(f, "acme/contact/35"), "contract.pdf"
	                    " empty.txt logo.bin na\xc3\xafve"
	                    " r\xc3\xa9sum\xc3\xa9.txt");
	assert_string_equal(fx_ls(f, "globex/project/2015.q1"),
	                    "notes.with.dots.txt sub/");
	assert_int_equal(fx_walk(f, ""), 22);
	e = fx_get(f, "acme/contact/35/na\xc3\xafve r\xc3\xa9sum\xc3\xa9.txt");
	assert_int_equal(e.attr.ino, FSP_INO_ROW + 7);
	fx_gone(f, "acme/contact/35/LOGO.BIN");
	fx_gone(f, "ACME/contact/35/logo.bin");
	fx_gone(f, "acme/contact/35/\xff\xfe");
	assert_int_equal(fx_new(f, "x", S_IFDIR, &e), -EROFS);
	fx_check(f);
	fx_close(f);
	/* or utf8mb4 */
	open_as_reader(f, "utf8mb4");
	fx_get(f, "acme/contact/35/na\xc3\x83\xc2\xafve"
	       " r\xc3\x83\xc2\xa9sum\xc3\x83\xc2\xa9.txt");
	fx_gone(f, "acme/contact/35/\xff\xfe");
	fx_close(f);
	maria_do(root, "DROP USER fsp_reader@'127.0.0.1'");
	mysql_close(root);
}

#define PX_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PX_TEST(test_lost_before), PX_TEST(test_commit_lost),
		PX_TEST(test_answer_lost), PX_TEST(test_answer_lost_alone),
		PX_TEST(test_half_open), PX_TEST(test_nobody_knows),
		PX_TEST(test_frozen), PX_TEST(test_failover),
		PX_TEST(test_killed_idle), PX_TEST(test_refusals),
		PX_TEST(test_tls), PX_TEST(test_no_downgrade),
		PX_TEST(test_crowded), PX_TEST(test_shared),
		PX_TEST(test_no_names), PX_TEST(test_deadlock),
		PX_TEST(test_lock_wait), PX_TEST(test_no_positions),
		PX_TEST(test_rows_cut), PX_TEST(test_rows_error),
		PX_TEST(test_rows_held), PX_TEST(test_rows_left),
		FX_DIR_TEST(test_untouched),
	};

	return cmocka_run_group_tests_name("MariaDB", tests, NULL, NULL);
}
