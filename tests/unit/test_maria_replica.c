/* SERVERS replica */
/* MariaDB: a replica is read where it has what was committed, or not at all. */
#define FX_MARIA
#include "meta_fixture.h"
#include "tcp_proxy.h"

#include "../../src/meta/maria_pool.h"

static struct proxy px;
static char at_proxy[64], at_replica[64], at_primary[64];

static MYSQL *root_at(const char *socket)
{
	MYSQL *my = mysql_init(NULL);

	assert_non_null(my);
	if (!mysql_real_connect(my, NULL, "root", NULL, NULL, 0,
	                        getenv(socket), 0))
		fail_msg("root: %s", mysql_error(my));
	return my;
}

static void tell(const char *socket, const char *sql)
{
	MYSQL *my = root_at(socket);

	maria_do(my, sql);
	mysql_close(my);
}

static void open_with(struct fx *f, const char *hosts, const char *read_hosts)
{
	struct fsp_maria_options o = maria_test_options();
	struct fsp_meta_options mo = fx_options();
	char *error = NULL;
	int err;

	o.database = f->db.path;
	o.hosts = hosts;
	o.read_hosts = read_hosts;
	o.connect_timeout_ns = FSP_NS_PER_SEC;
	err = fsp_meta_maria_open(&o, &mo, &f->m, &error);
	if (err)
		fail_msg("open: %d %s", err, error);
}

static struct maria_pool *pool_of(struct fx *f)
{
	return (struct maria_pool *)sql_meta_of(f->m)->drv;
}

static int setup(void **state)
{
	const char *port = getenv("FSP_TEST_MYSQL_PORT");
	struct fx *f;

	maria_skip_unless_server();
	fx_setup(state);
	f = *state;
	fx_close(f);
	proxy_start(&px, "127.0.0.1", atoi(port));
	snprintf(at_proxy, sizeof(at_proxy), "127.0.0.1:%d", px.port);
	snprintf(at_primary, sizeof(at_primary), "127.0.0.1:%s", port);
	snprintf(at_replica, sizeof(at_replica), "127.0.0.1:%s",
	         getenv("FSP_TEST_REPLICA_PORT"));
	f->ctx.deadline_ns = fsp_mono_ns() + 60 * FSP_NS_PER_SEC;
	return 0;
}

static int teardown(void **state)
{
	struct fx *f = *state;

	fx_close(f);
	proxy_stop(&px);
	f->ctx = fsp_ctx_background();
	open_with(f, at_primary, NULL);
	return fx_teardown(state);
}

static int add_version(void *arg, const struct fsp_version *v)
{
	(void)v;
	++*(int *)arg;
	return 0;
}

static int versions(struct fx *f, const char *path)
{
	int n = 0;

	assert_int_equal(f->m->ops->history(f->m, &f->ctx, path, add_version,
	                                    &n), 0);
	return n;
}

/* Until the replica has it, and is asked. */
static void wait_read_there(struct fx *f, const char *path, int want)
{
	struct maria_pool *p = pool_of(f);

	do
		assert_int_equal(versions(f, path), want);
	while (maria_gtid_late(p) && fsp_ctx_left_ns(&f->ctx) > 0);
	assert_false(maria_gtid_late(p));
}

/* With each answer to a COMMIT, whatever went with it in one text. */
static void test_told(void **state)
{
	struct fx *f = *state;
	struct maria_pool *p;
	uint64_t count;

	open_with(f, at_primary, at_replica);
	p = pool_of(f);
	fx_mkdirs(f, "a/t/r");
	fx_put(f, "a/t/r/f", '1', 1);
	count = p->gtid_count;
	assert_true(count > 0);
	fx_commit(f, "a/t/r/f", '2', 2);
	assert_int_equal(fx_ln(f, "a/t/r/f", "a/t/r/g"), 0);
	assert_int_equal(p->gtid_count, count + 2);
	assert_int_equal(p->gtid_missed, 0);
	wait_read_there(f, "a/t/r/f", 2);
}

/* The outcome was read back, and where it is in the log was not told. */
static void test_answer_lost(void **state)
{
	struct fx *f = *state;
	struct maria_pool *p;

	open_with(f, at_proxy, at_replica);
	p = pool_of(f);
	fx_mkdirs(f, "a/t/r");
	fx_put(f, "a/t/r/f", '1', 1);
	wait_read_there(f, "a/t/r/f", 1);
	tell("FSP_TEST_REPLICA_SOCKET", "STOP SLAVE SQL_THREAD");
	atomic_store(&px.packet, PROXY_ON_COMMIT);
	atomic_store(&px.fault, PROXY_CUT_AFTER);
	fx_commit(f, "a/t/r/f", '2', 2);
	assert_int_equal(atomic_load(&px.fired), 1);
	assert_int_equal(p->gtid_missed, 1);
	assert_int_equal(versions(f, "a/t/r/f"), 2);
	/* it was asked for, once */
	assert_int_equal(p->gtid_learnt, 1);
	assert_true(maria_gtid_late(p));
	tell("FSP_TEST_REPLICA_SOCKET", "START SLAVE SQL_THREAD");
	wait_read_there(f, "a/t/r/f", 2);
}

static void lose_answer(struct fx *f, const char *path, char c)
{
	atomic_store(&px.packet, PROXY_ON_COMMIT);
	atomic_store(&px.fault, PROXY_CUT_AFTER);
	fx_commit(f, path, c, 2);
	assert_int_equal(atomic_load(&px.fired), 1);
	atomic_store(&px.fired, 0);
}

/* A read-only host of the list serves reads again after the next commit. */
static void test_answer_lost_once(void **state)
{
	struct fx *f = *state;
	struct maria_pool *p;
	struct fsp_entry e;
	char hosts[140];

	snprintf(hosts, sizeof(hosts), "%s,%s", at_proxy, at_replica);
	open_with(f, hosts, NULL);
	p = pool_of(f);
	fx_mkdirs(f, "a/t/r");
	fx_put(f, "a/t/r/f", '1', 1);
	lose_answer(f, "a/t/r/f", '2');
	assert_int_equal(p->gtid_missed, 1);
	fx_commit(f, "a/t/r/f", '3', 3);
	assert_int_equal(p->gtid_learnt, 1);
	atomic_store(&px.down, true);
	proxy_wake(&px);
	while (fx_look(f, "a/t/r/f", &e) != 0)
		assert_true(fsp_ctx_left_ns(&f->ctx) > 0);
	assert_int_equal(e.content.size, 3);
	atomic_store(&px.down, false);
}

/* Where nothing can lag behind, nothing is noted. */
static void test_answer_lost_alone(void **state)
{
	struct fx *f = *state;

	open_with(f, at_proxy, NULL);
	fx_mkdirs(f, "a/t/r");
	fx_put(f, "a/t/r/f", '1', 1);
	lose_answer(f, "a/t/r/f", '2');
	assert_int_equal(pool_of(f)->gtid_missed, 0);
}

/*
 * A replica that has taken over without the last commits counts on from where it
 * is. Its own numbers are waited for then, also on itself. The last test: the
 * primary's log begins anew, and nothing follows any more.
 */
static void test_taken_over(void **state)
{
	struct fx *f = *state;
	struct maria_pool *p;
	struct fsp_entry e;
	uint64_t seq;

	tell("FSP_TEST_REPLICA_SOCKET", "STOP SLAVE");
	open_with(f, at_proxy, at_primary);
	p = pool_of(f);
	fx_mkdirs(f, "a/t/r");
	fx_put(f, "a/t/r/f", '1', 1);
	assert_int_equal(versions(f, "a/t/r/f"), 1);
	assert_false(maria_gtid_late(p));
	assert_int_equal(p->gtids, 1);
	seq = p->gtid[0].seq;
	tell("FSP_TEST_MYSQL_SOCKET", "RESET MASTER");
	tell("FSP_TEST_MYSQL_SOCKET", "SET GLOBAL server_id = 7");
	atomic_store(&px.down, true);
	proxy_wake(&px);
	/* until nobody is connected any more */
	while (fx_look(f, "a/t/r/f", &e) == 0)
		assert_true(fsp_ctx_left_ns(&f->ctx) > 0);
	atomic_store(&px.down, false);
	while (fx_look(f, "a/t/r/f", &e) == -EHOSTDOWN)
		;
	fx_commit(f, "a/t/r/f", '2', 2);
	assert_int_equal(p->gtid[0].server, 7);
	assert_true(p->gtid[0].seq < seq);
	assert_int_equal(versions(f, "a/t/r/f"), 2);
	assert_false(maria_gtid_late(p));
}

#define PX_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PX_TEST(test_told), PX_TEST(test_answer_lost),
		PX_TEST(test_answer_lost_once),
		PX_TEST(test_answer_lost_alone),
		PX_TEST(test_taken_over),
	};

	return cmocka_run_group_tests_name("replica", tests, NULL, NULL);
}
