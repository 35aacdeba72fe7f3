/* SPDX-License-Identifier: BSD-2-Clause */
/* Whose turn it is: who would leave a gap waits for those before him and for nobody else; the lowest never waits. */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "fs/inode/turn.h"

#define THREADS 8u
#define ROUNDS 2000u

static struct turns turns;

START_TEST(who_waits)
{
	struct turn low, mid, high;

	turns_init(&turns);
	turn_enter(&turns, &mid, 100);
	ck_assert(!turn_is_anothers(&turns, &mid, 0)); /* alone */
	turn_enter(&turns, &high, 200);
	turn_enter(&turns, &low, 50);
	ck_assert(turn_is_anothers(&turns, &high, 0));
	ck_assert(turn_is_anothers(&turns, &high, 100));
	ck_assert(!turn_is_anothers(&turns, &high, 101)); /* those are in the middle of the file */
	ck_assert(turn_is_anothers(&turns, &mid, 50));
	ck_assert(!turn_is_anothers(&turns, &mid, 51));
	ck_assert(!turn_is_anothers(&turns, &low, 0));
	turn_wait(&turns, &low, 0); /* returns at once */
	turn_leave(&turns, &mid);
	ck_assert(turn_is_anothers(&turns, &high, 0));
	turn_leave(&turns, &low);
	ck_assert(!turn_is_anothers(&turns, &high, 0));
	turn_wait(&turns, &high, 0);
	turn_leave(&turns, &high);
	ck_assert_ptr_null(turns.first);
	turns_free(&turns);
}
END_TEST

static _Atomic uint64_t end, next, gaps;

/* Each takes the next place, and moves the end there when nobody before it is under way: it never finds a gap. */
static void *work(void *arg)
{
	static pthread_mutex_t sending = PTHREAD_MUTEX_INITIALIZER;
	struct turn me;

	(void)arg;
	for (unsigned i = 0; i < ROUNDS; i++) {
		pthread_mutex_lock(&sending); /* as requests are taken in order */
		uint64_t at = atomic_fetch_add(&next, 1);
		turn_enter(&turns, &me, at);
		pthread_mutex_unlock(&sending);
		while (turn_is_anothers(&turns, &me, atomic_load(&end)))
			turn_wait(&turns, &me, atomic_load(&end));
		if (atomic_load(&end) != at)
			atomic_fetch_add(&gaps, 1);
		atomic_store(&end, at + 1);
		turn_leave(&turns, &me);
	}
	return NULL;
}

START_TEST(in_order)
{
	pthread_t thread[THREADS];

	turns_init(&turns);
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, work, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	ck_assert_uint_eq(gaps, 0);
	ck_assert_uint_eq(end, THREADS * ROUNDS);
	turns_free(&turns);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("turn");
	TCase *c = tcase_create("turn");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, who_waits);
	tcase_add_test(c, in_order);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
