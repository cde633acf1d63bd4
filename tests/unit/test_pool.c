/*
 * The pool: every job is done exactly once, whoever does it, and nobody waits
 * for ever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_pool.h"

#define JOBS 500

struct count {
	struct fsp_job job;
	atomic_int runs;
	pthread_t by;
};

static void count(struct fsp_job *j)
{
	struct count *c = (struct count *)j;

	c->by = pthread_self();
	atomic_fetch_add(&c->runs, 1);
}

static void prepare(struct count *c)
{
	memset(c, 0, sizeof(*c));
	c->job.run = count;
}

static void test_waiters_do_the_work(void **state)
{
	struct count c[3];

	(void)state;
	fsp_pool_set_workers(0);
	assert_int_equal(fsp_pool_workers(), 0);
	for (int i = 0; i < 3; i++) {
		prepare(&c[i]);
		fsp_pool_submit(&c[i].job);
	}
	/* In any order, from both ends and the middle of the list. */
	for (int i = 0; i < 3; i++) {
		int k = (i + 1) % 3;

		assert_false(fsp_pool_done(&c[k].job));
		fsp_pool_wait(&c[k].job);
		assert_true(fsp_pool_done(&c[k].job));
		assert_int_equal(c[k].runs, 1);
		assert_true(pthread_equal(c[k].by, pthread_self()));
		fsp_pool_wait(&c[k].job);
		assert_int_equal(c[k].runs, 1);
	}
}

static void test_never_submitted(void **state)
{
	struct count c;

	(void)state;
	prepare(&c);
	fsp_pool_wait(&c.job);
	assert_int_equal(c.runs, 1);
	prepare(&c);
	fsp_pool_cancel(&c.job);
	assert_int_equal(c.runs, 0);
}

static void test_cancelled(void **state)
{
	struct count a, b;

	(void)state;
	fsp_pool_set_workers(0);
	prepare(&a);
	prepare(&b);
	fsp_pool_submit(&a.job);
	fsp_pool_submit(&b.job);
	fsp_pool_cancel(&a.job);
	fsp_pool_wait(&b.job);
	assert_int_equal(a.runs, 0);
	assert_int_equal(b.runs, 1);
}

/* Two jobs that meet: they need two threads at one time. */
struct meeting {
	struct fsp_job job;
	pthread_barrier_t *place;
};

static void meet(struct fsp_job *j)
{
	pthread_barrier_wait(((struct meeting *)j)->place);
}

static void test_runs_at_once(void **state)
{
	pthread_barrier_t place;
	struct meeting m[3];

	(void)state;
	fsp_pool_set_workers(3);
	for (int round = 0; round < 20; round++) {
		assert_int_equal(pthread_barrier_init(&place, NULL, 3), 0);
		for (int i = 0; i < 3; i++) {
			m[i] = (struct meeting){ .place = &place };
			m[i].job.run = meet;
			fsp_pool_submit(&m[i].job);
		}
		while (!fsp_pool_done(&m[2].job))
			sched_yield();
		for (int i = 0; i < 3; i++)
			fsp_pool_wait(&m[i].job);
		pthread_barrier_destroy(&place);
	}
	fsp_pool_set_workers(0);
}

/* One user of many: submits, waits for some and cancels others. */
static void *user(void *arg)
{
	struct count *c = calloc(JOBS, sizeof(*c));
	long wrong = 0;

	(void)arg;
	for (int i = 0; c && i < JOBS; i++) {
		c[i].job.run = count;
		fsp_pool_submit(&c[i].job);
	}
	for (int i = 0; c && i < JOBS; i++) {
		if (i % 5 == 0)
			fsp_pool_cancel(&c[i].job);
		else
			fsp_pool_wait(&c[i].job);
		wrong += i % 5 ? c[i].runs != 1 : c[i].runs > 1;
	}
	wrong += !c;
	free(c);
	return (void *)wrong;
}

static void test_many_users(void **state)
{
	(void)state;
	for (unsigned workers = 0; workers < 4; workers++) {
		pthread_t t[6];

		fsp_pool_set_workers(workers);
		for (int i = 0; i < 6; i++)
			assert_int_equal(pthread_create(&t[i], NULL, user, NULL),
			                 0);
		for (int i = 0; i < 6; i++) {
			void *wrong;

			pthread_join(t[i], &wrong);
			assert_null(wrong);
		}
	}
	fsp_pool_set_workers(0);
}

/* How many run at once, and the most that did. */
static atomic_int now_running, most_running;

static void notice(struct fsp_job *j)
{
	int n = atomic_fetch_add(&now_running, 1) + 1;
	int most = atomic_load(&most_running);

	(void)j;
	while (n > most &&
	       !atomic_compare_exchange_weak(&most_running, &most, n))
		;
	for (int i = 0; i < 20; i++)
		sched_yield();
	atomic_fetch_sub(&now_running, 1);
}

static void *waiter(void *arg)
{
	struct fsp_job job[20];

	(void)arg;
	memset(job, 0, sizeof(job));
	for (int i = 0; i < 20; i++) {
		job[i].run = notice;
		fsp_pool_submit(&job[i]);
	}
	for (int i = 20; i-- > 0;)
		fsp_pool_wait(&job[i]);
	return NULL;
}

static void test_no_more_than_workers(void **state)
{
	(void)state;
	for (unsigned workers = 1; workers < 4; workers++) {
		pthread_t t[6];

		atomic_store(&most_running, 0);
		fsp_pool_set_workers(workers);
		for (int i = 0; i < 6; i++)
			assert_int_equal(pthread_create(&t[i], NULL, waiter,
			                                NULL), 0);
		for (int i = 0; i < 6; i++)
			pthread_join(t[i], NULL);
		assert_in_range(atomic_load(&most_running), 1, workers);
	}
	fsp_pool_set_workers(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waiters_do_the_work),
		cmocka_unit_test(test_never_submitted),
		cmocka_unit_test(test_cancelled),
		cmocka_unit_test(test_runs_at_once),
		cmocka_unit_test(test_many_users),
		cmocka_unit_test(test_no_more_than_workers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
