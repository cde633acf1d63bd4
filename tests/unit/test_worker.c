/*
 * A worker: started at most once, woken, and gone when stopping it returns.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "fsp_worker.h"

struct thing {
	struct fsp_mutex lock;
	struct fsp_worker worker;
	unsigned asked, done, threads;
	bool ended;
	sigset_t blocked;
};

static void *serve(void *arg)
{
	struct thing *t = arg;

	FSP_GUARD(&t->lock);
	t->threads++;
	pthread_sigmask(SIG_SETMASK, NULL, &t->blocked);
	while (!t->worker.stop) {
		if (t->done < t->asked) {
			t->done++;
			fsp_worker_wake(&t->worker);
		} else {
			fsp_worker_wait(&t->worker, 0);
		}
	}
	t->ended = true;
	return NULL;
}

static void begin(struct thing *t)
{
	memset(t, 0, sizeof(*t));
	fsp_mutex_init(&t->lock);
	fsp_worker_init(&t->worker, &t->lock);
}

static void end(struct thing *t)
{
	fsp_worker_end(&t->worker);
	fsp_mutex_destroy(&t->lock);
}

static void test_serves(void **state)
{
	struct thing t;

	(void)state;
	begin(&t);
	fsp_lock(&t.lock);
	for (unsigned i = 1; i <= 100; i++) {
		assert_int_equal(fsp_worker_start(&t.worker, serve, &t), 0);
		t.asked = i;
		fsp_worker_wake(&t.worker);
		while (t.done < t.asked)
			assert_int_equal(fsp_worker_wait(&t.worker, 0), 0);
	}
	assert_int_equal(t.threads, 1);
	assert_false(t.ended);
	fsp_unlock(&t.lock);
	fsp_worker_stop(&t.worker);
	assert_true(t.ended);
	end(&t);
}

static void test_stops(void **state)
{
	struct thing t;

	(void)state;
	begin(&t);
	/* Also where it was never started, and once more. */
	fsp_worker_stop(&t.worker);
	fsp_worker_stop(&t.worker);
	fsp_lock(&t.lock);
	assert_int_equal(fsp_worker_start(&t.worker, serve, &t), -EINTR);
	/* Nobody wakes it: the time is over. */
	while (fsp_worker_wait(&t.worker, 1) != -ETIMEDOUT)
		;
	fsp_unlock(&t.lock);
	end(&t);
	assert_int_equal(t.threads, 0);
	/* Without a stop before it; and one that has never begun. */
	begin(&t);
	fsp_lock(&t.lock);
	assert_int_equal(fsp_worker_start(&t.worker, serve, &t), 0);
	fsp_unlock(&t.lock);
	end(&t);
	assert_true(t.ended);
	memset(&t, 0, sizeof(t));
	fsp_worker_end(&t.worker);
}

static void test_signals_are_for_others(void **state)
{
	sigset_t before, after;
	struct thing t;

	(void)state;
	begin(&t);
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	fsp_lock(&t.lock);
	assert_int_equal(fsp_worker_start(&t.worker, serve, &t), 0);
	t.asked = 1;
	while (!t.done)
		fsp_worker_wait(&t.worker, 0);
	fsp_unlock(&t.lock);
	end(&t);
	assert_int_equal(sigismember(&t.blocked, SIGTERM), 1);
	assert_int_equal(sigismember(&t.blocked, SIGUSR1), 1);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	assert_int_equal(sigismember(&before, SIGTERM),
	                 sigismember(&after, SIGTERM));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_serves),
		cmocka_unit_test(test_stops),
		cmocka_unit_test(test_signals_are_for_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
