/* SPDX-License-Identifier: BSD-2-Clause */
/* The janitor: lost writes are invalidated again, not too often and once more at the end; who writes while locked is watched. */
#include "tests/unit/lock_rig.h"

/* Wait until nothing is in the janitor's hands; false after MS. */
static bool settled(int ms)
{
	for (; ms > 0 && atomic_load(&lock.draining) > 0; ms--)
		clock_pause(1);
	return atomic_load(&lock.draining) == 0;
}

/* Wait until INO was told N times. */
static bool told_at_least(uint64_t ino, size_t n)
{
	for (int ms = 0; ms < 10000 && told_count(ino, 0) < n; ms++)
		clock_pause(1);
	return told_count(ino, 0) >= n;
}

/* At once and at last; a third time after 10 ms where the loss was in the millisecond of the first. */
static bool tries_right(size_t n)
{
	return n == 2 || n == 3;
}

static void order_lock(void)
{
	ck_assert_int_eq(gate_lock(rig.gate, "the test"), 0);
	ck_assert_int_eq(gate_state(rig.gate), GATE_LOCKED);
}

/* ---- inodes with lost writes ---- */

START_TEST(at_once_and_once_more)
{
	int64_t start = clock_ms(CLOCK_MONOTONIC);
	janitor_lost(&lock, 42, 4096, 8192);
	ck_assert_uint_eq(atomic_load(&lock.draining), 1);
	ck_assert(settled(5000));
	/* the range only: the gate is open, the file is in use */
	size_t n = told_count(42, 0);
	ck_assert(tries_right(n));
	for (size_t i = 0; i < n; i++) {
		ck_assert_int_eq(told[i].off, 4096);
		ck_assert_int_eq(told[i].len, 8192);
	}
	ck_assert_int_ge(told[n - 1].when - start, 100);
}
END_TEST

START_TEST(at_most_every_ten_ms)
{
	int64_t start = clock_ms(CLOCK_MONOTONIC);
	size_t lost = 0;
	for (; clock_ms(CLOCK_MONOTONIC) < start + 100; lost++) {
		janitor_lost(&lock, 42, lost * 4096, 4096);
		clock_pause(1);
	}
	int64_t took = clock_ms(CLOCK_MONOTONIC) - start;
	ck_assert_uint_eq(atomic_load(&lock.draining), 1);
	ck_assert(settled(5000));
	size_t n = told_count(42, 0);
	ck_assert_uint_ge(n, 2);
	ck_assert_uint_le(n, (size_t)took / 10 + 3);
	for (size_t i = 1; i < n; i++)
		ck_assert_int_ge(told[i].when - told[i - 1].when, 9);
	/* the last one covers all of them */
	ck_assert_int_eq(told[n - 1].off, 0);
	ck_assert_int_eq(told[n - 1].len, (int64_t)lost * 4096);
}
END_TEST

START_TEST(many_inodes)
{
	for (uint64_t ino = 1; ino <= 100; ino++)
		janitor_lost(&lock, ino, 0, 1);
	ck_assert_uint_ge(atomic_load(&lock.draining), 90);
	ck_assert(settled(5000));
	for (uint64_t ino = 1; ino <= 100; ino++)
		ck_assert(tries_right(told_count(ino, 0)));
}
END_TEST

/* More than fit: one pass over everything that was opened stands in for the rest. */
START_TEST(table_is_full)
{
	struct node *opened = lock_rig_node(OBJECT_FILE, OPENED), *closed = lock_rig_node(OBJECT_FILE, 0);
	/* all of them into the same few places of the table */
	for (uint64_t i = 0; i < 40; i++)
		janitor_lost(&lock, 1024 * 100 + i * 1024, 0, 1);
	uint64_t draining = atomic_load(&lock.draining);
	ck_assert_uint_gt(draining, 1);
	ck_assert_uint_lt(draining, 40);
	ck_assert(settled(5000));
	ck_assert_uint_ge(told_count(opened->id, 0), 1);
	ck_assert_uint_eq(told_count(closed->id, 0), 0);
}
END_TEST

START_TEST(whole_inode_while_locked)
{
	struct node *n = lock_rig_node(OBJECT_FILE, OPENED | WRITTEN);
	order_lock();
	janitor_lost(&lock, n->id, 4096, 8192);
	ck_assert(settled(5000));
	size_t first = told_first(n->id, 0, 0);
	ck_assert_int_eq(told[first].len, 0);
	/* and its name on disk is in the log, once for each lock */
	ck_assert_ptr_nonnull(strstr(logged, "data/name1001"));
	janitor_lost(&lock, n->id, 0, 1);
	ck_assert(settled(5000));
	char *line = strstr(logged, "data/name1001");
	ck_assert_ptr_null(strstr(line + 1, "data/name1001"));
	janitor_locking(&lock);
	janitor_lost(&lock, n->id, 0, 1);
	ck_assert(settled(5000));
	ck_assert_ptr_nonnull(strstr(line + 1, "data/name1001"));
}
END_TEST

START_TEST(twenty_names)
{
	uint64_t id[25];
	for (size_t i = 0; i < ARRAY_LEN(id); i++)
		id[i] = lock_rig_node(OBJECT_FILE, OPENED)->id;
	order_lock();
	janitor_locking(&lock);
	for (size_t i = 0; i < ARRAY_LEN(id); i++)
		janitor_lost(&lock, id[i], 0, 1);
	ck_assert(settled(5000));
	size_t names = 0;
	for (const char *p = logged; (p = strstr(p, "data/name")); p++)
		names++;
	ck_assert_uint_eq(names, 20);
	ck_assert_ptr_nonnull(strstr(logged, "further files are not named"));
}
END_TEST

/* ---- chores ---- */

START_TEST(sweep)
{
	struct node *written = lock_rig_node(OBJECT_FILE, OPENED | WRITTEN),
		    *opened = lock_rig_node(OBJECT_FILE, OPENED);
	struct node *folder = lock_rig_node(OBJECT_DIR, 0);
	janitor_sweep(&lock);
	ck_assert(told_at_least(opened->id, 1)); /* these go last */
	ck_assert_uint_eq(told_count(written->id, 0), 1);
	ck_assert_uint_eq(told_count(opened->id, 0), 1);
	ck_assert_uint_eq(told_count(folder->id, 0), 0);
	/* whoever watches must not take this for a lock that gets on */
	ck_assert_uint_eq(atomic_load(&beacon.beat), 0);
}
END_TEST

START_TEST(writers_are_watched_while_locked)
{
	struct node *writer = lock_rig_writer(1), *closed = lock_rig_node(OBJECT_FILE, OPENED | WRITTEN);
	order_lock();
	janitor_locked(&lock);
	ck_assert(told_at_least(writer->id, 2 * 257)); /* pieces */
	ck_assert_uint_eq(told_count(closed->id, 0), 0);
	/* until it is closed */
	lock_rig_close(writer);
	clock_pause(250);
	size_t at = n_told;
	clock_pause(150);
	ck_assert_uint_eq(n_told, at);
}
END_TEST

START_TEST(nobody_is_watched_while_open)
{
	struct node *writer = lock_rig_writer(1);
	janitor_locked(&lock);
	clock_pause(60);
	ck_assert_uint_eq(told_count(writer->id, 0), 0);
}
END_TEST

START_TEST(absent_after_a_second)
{
	struct node *n = lock_rig_node(OBJECT_DIR, 0);
	order_lock();
	int64_t start = clock_ms(CLOCK_MONOTONIC);
	janitor_absent(&lock, n->id);
	janitor_absent(&lock, 4711); /* forgotten meanwhile */
	ck_assert(told_at_least(n->id, 1));
	ck_assert_uint_eq(told_count(n->id, 0), 1);
	ck_assert_int_ge(told[0].when - start, 990);
	ck_assert_uint_eq(told_count(4711, 0), 0);
}
END_TEST

START_TEST(stop_is_legal_twice)
{
	janitor_lost(&lock, 1, 0, 1);
	janitor_stop(&lock);
	/* a request that is still being served may fail */
	janitor_lost(&lock, 2, 0, 1);
	janitor_stop(&lock);
	janitor_free(&lock);
	janitor_stop(&lock);
	janitor_free(&lock);
	ck_assert_ptr_null(lock.janitor);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("janitor");
	TCase *c = tcase_create("janitor");
	tcase_add_checked_fixture(c, lock_rig_start, lock_rig_end);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, at_once_and_once_more);
	tcase_add_test(c, at_most_every_ten_ms);
	tcase_add_test(c, many_inodes);
	tcase_add_test(c, table_is_full);
	tcase_add_test(c, whole_inode_while_locked);
	tcase_add_test(c, twenty_names);
	tcase_add_test(c, sweep);
	tcase_add_test(c, writers_are_watched_while_locked);
	tcase_add_test(c, nobody_is_watched_while_open);
	tcase_add_test(c, absent_after_a_second);
	tcase_add_test(c, stop_is_legal_twice);
	suite_add_tcase(suite, c);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
