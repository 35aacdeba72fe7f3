/* SPDX-License-Identifier: BSD-2-Clause */
/* The pool: what runs where, what a lane that hangs holds up, the end, and that nothing plain stays behind. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "fs/fuse/pool.h"

#define THREADS_MOST 20u

static const struct layout layout = {HEADER_LEN_STORE, BLOCK_LEN_MIN, SUITE_2};
static struct pool *pool;

/* The gate that jobs wait at, and what has been seen of them. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool open_now;      /* mutex, with all that follows */
static unsigned n_waiting; /* jobs at the gate */
static unsigned n_done;
static int order[64]; /* arguments of those done */
static struct file_work *worked_in[64];

static void setup(void)
{
	ck_assert_int_eq(secret_init(), 0);
	alarm(30); /* a job that never comes */
}

static void start(unsigned disk, unsigned kms)
{
	const unsigned threads[POOL_LANES] = {[POOL_DISK] = disk, [POOL_KMS] = kms};

	ck_assert_int_eq(pool_new(&layout, threads, &pool), 0);
}

static void done(struct file_work *w, const int *arg)
{
	worked_in[n_done] = w;
	order[n_done++] = *arg;
	pthread_cond_broadcast(&changed);
}

static void job(struct file_work *w, void *arg)
{
	pthread_mutex_lock(&mutex);
	done(w, arg);
	pthread_mutex_unlock(&mutex);
}

static void job_at_gate(struct file_work *w, void *arg)
{
	pthread_mutex_lock(&mutex);
	n_waiting++;
	pthread_cond_broadcast(&changed);
	while (!open_now)
		pthread_cond_wait(&changed, &mutex);
	n_waiting--;
	done(w, arg);
	pthread_mutex_unlock(&mutex);
}

static void open_gate(void)
{
	pthread_mutex_lock(&mutex);
	open_now = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
}

/* Until COUNT is N. */
static void wait_for(const unsigned *count, unsigned n)
{
	pthread_mutex_lock(&mutex);
	while (*count != n)
		pthread_cond_wait(&changed, &mutex);
	pthread_mutex_unlock(&mutex);
}

static unsigned now(const unsigned *count)
{
	pthread_mutex_lock(&mutex);
	unsigned n = *count;
	pthread_mutex_unlock(&mutex);
	return n;
}

static int numbers[64];

static void *number(int i)
{
	numbers[i] = i;
	return &numbers[i];
}

/* One thread: jobs run in the order in which they came, none twice, all in the thread's own buffers. */
START_TEST(in_order)
{
	start(1, 0);
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(pool_submit(pool, POOL_DISK, job, number(i)), 0);
	wait_for(&n_done, 50);
	pool_free(pool);
	ck_assert_uint_eq(n_done, 50);
	for (int i = 0; i < 50; i++) {
		ck_assert_int_eq(order[i], i);
		ck_assert_ptr_eq(worked_in[i], worked_in[0]);
	}
}
END_TEST

/* A KMS that hangs has all of its lane's threads; an fsync gets through all the same, and later the rest does. */
START_TEST(lanes)
{
	start(1, 2);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(pool_submit(pool, POOL_KMS, job_at_gate, number(i)), 0);
	wait_for(&n_waiting, 2);
	ck_assert_int_eq(pool_submit(pool, POOL_DISK, job, number(9)), 0);
	wait_for(&n_done, 1);
	ck_assert_uint_eq(now(&n_waiting), 2);
	open_gate();
	wait_for(&n_done, 6);
	pool_free(pool);
	ck_assert_int_eq(order[0], 9);
}
END_TEST

/* As many threads as were asked for, each with buffers of its own; more than twenty are not made. */
START_TEST(limit)
{
	start(4, 30);
	for (int i = 0; i < 30; i++)
		ck_assert_int_eq(pool_submit(pool, POOL_KMS, job_at_gate, number(i)), 0);
	for (int i = 30; i < 34; i++)
		ck_assert_int_eq(pool_submit(pool, POOL_DISK, job_at_gate, number(i)), 0);
	wait_for(&n_waiting, THREADS_MOST);
	usleep(20000); /* one more would come */
	ck_assert_uint_eq(now(&n_waiting), THREADS_MOST);
	open_gate();
	wait_for(&n_done, 34);
	pool_free(pool);
	unsigned different = 0;
	for (unsigned i = 0; i < n_done; i++) {
		bool before = false;
		for (unsigned j = 0; j < i; j++)
			before = before || worked_in[j] == worked_in[i];
		different += !before;
	}
	ck_assert_uint_eq(different, THREADS_MOST);
}
END_TEST

static void *stop_main(void *arg)
{
	(void)arg;
	pool_stop(pool);
	return NULL;
}

static void job_refused(struct file_work *w, void *arg)
{
	(void)w;
	(void)arg;
	ck_abort_msg("a job that was refused has run");
}

/* What is queued when the end comes is done; what comes later is told so and left to whoever brought it. */
START_TEST(stop_with_jobs_waiting)
{
	pthread_t thread;

	start(1, 1);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pool_submit(pool, POOL_DISK, job_at_gate, number(i)), 0);
	wait_for(&n_waiting, 1);
	ck_assert_int_eq(pthread_create(&thread, NULL, stop_main, NULL), 0);
	int r = 0;
	for (int i = 4; r == 0 && i < 60; i++) { /* until the stop has come through */
		usleep(2000);
		r = pool_submit(pool, POOL_KMS, job, number(i));
	}
	ck_assert_int_eq(r, -ECANCELED);
	ck_assert_int_eq(pool_submit(pool, POOL_DISK, job_refused, NULL), -ECANCELED);
	open_gate();
	pthread_join(thread, NULL);
	ck_assert_uint_ge(n_done, 4);
	unsigned of_disk = 0;
	for (unsigned i = 0; i < n_done; i++)
		of_disk += order[i] < 4;
	ck_assert_uint_eq(of_disk, 4);
	ck_assert_int_eq(pool_submit(pool, POOL_KMS, job_refused, NULL), -ECANCELED);
	pool_stop(pool); /* twice is once */
	pool_free(pool);
	pool_stop(NULL);
	pool_free(NULL);
}
END_TEST

/* ---- what is plain ---- */

static void soil(struct file_work *w)
{
	memset(w->plain, 'p', w->plain_len);
	memset(w->edge, 'e', w->edge_len);
	w->dirty = true;
}

static bool clean(const struct file_work *w)
{
	for (size_t i = 0; i < w->plain_len; i++)
		if (w->plain[i])
			return false;
	for (size_t i = 0; i < w->edge_len; i++)
		if (w->edge[i])
			return false;
	return true;
}

static void job_that_reads(struct file_work *w, void *arg)
{
	soil(w);
	job(w, arg);
}

/* Plain bytes that nobody marked: only pool_wipe() finds them. */
static void job_that_forgets(struct file_work *w, void *arg)
{
	soil(w);
	w->dirty = false;
	job(w, arg);
}

static void job_that_looks(struct file_work *w, void *arg)
{
	if (!clean(w) || w->dirty)
		ck_abort_msg("plain bytes of the job before");
	job(w, arg);
}

START_TEST(wiped_after_the_job)
{
	start(1, 0);
	ck_assert_int_eq(pool_submit(pool, POOL_DISK, job_that_reads, number(0)), 0);
	ck_assert_int_eq(pool_submit(pool, POOL_DISK, job_that_looks, number(1)), 0);
	wait_for(&n_done, 2);
	pool_free(pool);
}
END_TEST

static struct file_work *soiled_work;

static void job_in_the_middle(struct file_work *w, void *arg)
{
	soil(w);
	soiled_work = w;
	job_at_gate(w, arg);
}

/* Idle threads' buffers are wiped at once; a job that is under way keeps what it works on until it ends. */
START_TEST(wipe)
{
	start(1, 1);
	ck_assert_int_eq(pool_submit(pool, POOL_DISK, job_that_forgets, number(0)), 0);
	wait_for(&n_done, 1);
	ck_assert_int_eq(pool_submit(pool, POOL_KMS, job_in_the_middle, number(1)), 0);
	wait_for(&n_waiting, 1);
	struct file_work *idle = worked_in[0];
	for (int ms = 0; ms < 5000 && !clean(idle); ms++) { /* its thread may be on the way back still */
		pool_wipe(pool);
		usleep(1000);
	}
	ck_assert(clean(idle));
	ck_assert(!clean(soiled_work));
	ck_assert_uint_eq(soiled_work->plain[soiled_work->plain_len - 1], 'p');
	open_gate();
	wait_for(&n_done, 2);
	ck_assert_int_eq(pool_submit(pool, POOL_KMS, job_that_looks, number(2)), 0);
	wait_for(&n_done, 3);
	pool_free(pool);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pool");
	TCase *c = tcase_create("pool");

	tcase_add_checked_fixture(c, setup, NULL);
	tcase_add_test(c, in_order);
	tcase_add_test(c, lanes);
	tcase_add_test(c, limit);
	tcase_add_test(c, stop_with_jobs_waiting);
	tcase_add_test(c, wiped_after_the_job);
	tcase_add_test(c, wipe);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
