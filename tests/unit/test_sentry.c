/* SPDX-License-Identifier: BSD-2-Clause */
/* The sentry of a lock: handlers that hang, are slow, are starved, or come one after another. */
#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "crypto/attr.h"
#include "fs/lock/sentry.h"

#define LOOKS (4 * (int)SENTRY_LOOKS)

static struct lock lock;
static struct gate_beacon beacon;
static struct sentry_seat seen[LOCK_SEATS];
static atomic_bool stop;
static _Atomic int begun;
static int pipe_fd[2]; /* what nobody writes to before the end */

static void setup(void)
{
	memset(seen, 0, sizeof(seen));
	lock.cfg.beacon = &beacon;
	atomic_store(&stop, false);
	atomic_store(&begun, 0);
	ck_assert_int_eq(pipe(pipe_fd), 0);
	alarm(30);
}

/* Handlers, each in a thread of its own. */

static void *hangs(void *arg)
{
	char c;

	lock_work_begin(&lock);
	atomic_fetch_add(&begun, 1);
	ck_assert_int_eq(read(pipe_fd[0], &c, 1), 0);
	lock_work_end(&lock);
	return arg;
}

static void *is_slow(void *arg)
{
	lock_work_begin(&lock);
	atomic_fetch_add(&begun, 1);
	while (!atomic_load(&stop))
		clock_pause(1);
	lock_work_end(&lock);
	return arg;
}

static void *is_busy(void *arg)
{
	lock_work_begin(&lock);
	atomic_fetch_add(&begun, 1);
	while (!atomic_load(&stop))
		;
	lock_work_end(&lock);
	return arg;
}

static void *serves_many(void *arg)
{
	while (!atomic_load(&stop)) {
		lock_work_begin(&lock);
		atomic_fetch_add(&begun, 1);
		(void)poll(NULL, 0, 1);
		lock_work_end(&lock);
	}
	return arg;
}

static void *idles(void *arg)
{
	char c;

	lock_work_begin(&lock);
	lock_work_end(&lock);
	atomic_fetch_add(&begun, 1);
	ck_assert_int_eq(read(pipe_fd[0], &c, 1), 0);
	return arg;
}

/* In how many of LOOKS looks something hangs while N handlers are at work. */
static int looks(void *(*const handler[])(void *), int n)
{
	pthread_t thread[4];
	int found = 0;

	for (int i = 0; i < n; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, handler[i], NULL), 0);
	while (atomic_load(&begun) < n)
		clock_pause(1);
	clock_pause(20);
	for (int i = 0; i < LOOKS; i++) {
		found += sentry_look(seen, &lock);
		clock_pause(10);
	}
	atomic_store(&stop, true);
	close(pipe_fd[1]);
	while (n > 0)
		pthread_join(thread[--n], NULL);
	return found;
}
#define FOUND(...) looks((void *(*const[])(void *)){__VA_ARGS__}, sizeof((void *[]){__VA_ARGS__}) / sizeof(void *))

START_TEST(who_hangs)
{
	ck_assert_int_eq(FOUND(hangs), LOOKS - (int)SENTRY_LOOKS);
}
END_TEST

/* It may only wait for a lock that the slow one has. */
START_TEST(who_is_slow)
{
	ck_assert_int_eq(FOUND(is_slow), 0);
}
END_TEST

START_TEST(beside_one_that_is_slow)
{
	ck_assert_int_eq(FOUND(hangs, is_slow, hangs), 0);
}
END_TEST

/* On the processor, or waiting for it: that is no disk. */
START_TEST(who_is_starved)
{
	ck_assert_int_eq(FOUND(hangs, is_busy, is_busy, is_busy), 0);
}
END_TEST

START_TEST(who_waits_for_work)
{
	ck_assert_int_eq(FOUND(idles, serves_many), 0);
}
END_TEST

/* Beside those that are served, or refused, all the while. */
START_TEST(beside_many)
{
	ck_assert_int_gt(FOUND(hangs, serves_many, idles), 0);
}
END_TEST

/* A process without threads that hang: the lock's own look, and until when it says nothing. */
static bool told_after(int64_t until, int ms)
{
	struct sentry s;

	sentry_start(&s, &lock, until);
	ck_assert(!atomic_load(&beacon.stuck));
	for (int i = 0; i < ms && !atomic_load(&beacon.stuck); i += 10)
		clock_pause(10);
	sentry_end(&s);
	return atomic_load(&beacon.stuck);
}

START_TEST(is_told)
{
	int64_t now = clock_ms(CLOCK_BOOTTIME);
	pthread_t thread;

	ck_assert(!told_after(now, 1500));
	ck_assert_int_eq(pthread_create(&thread, NULL, hangs, NULL), 0);
	while (atomic_load(&begun) < 1)
		clock_pause(1);
	ck_assert(!told_after(now + 60000, 1500));
	ck_assert(told_after(now, 20000));
	close(pipe_fd[1]);
	pthread_join(thread, NULL);
	/* what was told of the last lock is not said of this one */
	ck_assert(!told_after(now, 1000));
}
END_TEST

/* Nobody watches: nobody is told. */
START_TEST(without_beacon)
{
	struct sentry s;

	lock.cfg.beacon = NULL;
	sentry_start(&s, &lock, 0);
	clock_pause(150);
	sentry_end(&s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sentry");
	TCase *c = tcase_create("sentry");

	tcase_add_checked_fixture(c, setup, NULL);
	tcase_add_test(c, who_hangs);
	tcase_add_test(c, who_is_slow);
	tcase_add_test(c, beside_one_that_is_slow);
	tcase_add_test(c, who_is_starved);
	tcase_add_test(c, who_waits_for_work);
	tcase_add_test(c, beside_many);
	tcase_add_test(c, is_told);
	tcase_add_test(c, without_beacon);
	tcase_set_timeout(c, 60);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0;
}
