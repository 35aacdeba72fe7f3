/* SPDX-License-Identifier: BSD-2-Clause */
/* When a worker counts as hanging: each rule with time that the test brings, 100 ms at a step. */
#include <check.h>
#include <string.h>

#include "crypto/attr.h"
#include "fs/watch/health.h"

#define STEP 100

static const struct health_limits limits = {
	.beats_missed = 4500, .beats_late = 9000, .lease_over = 2000, .locking_over = 2000, .locking_stall = 2000};
static struct health h;
static struct health_look l;
static char why[HEALTH_WHY_MAX];
static bool runs; /* it gets the processor now and then, beats or none */

static void setup(void)
{
	why[0] = '\0';
	runs = false;
	l = (struct health_look){
		.own_ms = 700000, .now = 5000000, .state = GATE_ACTIVE, .deadline = 5015000, .drain_ms = 2000};
	health_begin(&h, l.own_ms);
}

/* Go on for MS; where BEATS, the gate's thread lives and renews the lease while it lends. Ms that it was in order. */
static int64_t go_on(int64_t ms, bool beats, bool renews)
{
	for (int64_t t = 0; t < ms; t += STEP) {
		l.own_ms += STEP;
		l.now += STEP;
		l.ran += runs && t % 1000 == 0;
		l.beat += beats && t % 1000 == 0;
		if (renews)
			l.deadline = l.now + 15000;
		if (!health_look(&h, &limits, &l, why))
			return t;
		ck_assert_str_eq(why, "");
	}
	return ms;
}

START_TEST(in_order)
{
	for (enum gate_state s = GATE_ACTIVE; s <= GATE_RETURNING; s++) {
		l.state = s;
		if (s != GATE_LOCKING)
			ck_assert_int_eq(go_on(60000, true, true), 60000);
	}
}
END_TEST

START_TEST(no_beat)
{
	ck_assert_int_eq(go_on(20000, false, true), 4500);
	ck_assert_str_eq(why, "the worker is no longer running (no beat for 4500 ms)");
}
END_TEST

/* On a starved machine it runs, though seldom: that is no stop. It is a hang when it lasts. */
START_TEST(starved)
{
	runs = true;
	ck_assert_int_eq(go_on(20000, false, true), 9000);
	ck_assert_str_eq(why, "the worker does not answer (no beat for 9000 ms)");
	setup();
	runs = true;
	ck_assert_int_eq(go_on(8000, false, true), 8000);
	runs = false;
	ck_assert_int_le(go_on(20000, false, true), 1000);
	ck_assert_str_eq(why, "the worker is no longer running (no beat for 4500 ms)");
}
END_TEST

/* Whoever watches need not look how long it ran while it beats. */
START_TEST(doubts)
{
	ck_assert(!health_doubts(&h, &limits, l.own_ms + 2000));
	ck_assert(health_doubts(&h, &limits, l.own_ms + 2300));
}
END_TEST

/* A worker that is locked or returns lends nothing, and must live all the same. */
START_TEST(no_beat_locked)
{
	static const enum gate_state states[] = {GATE_LOCKED, GATE_RETURNING, GATE_GRACE};

	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		setup();
		l.state = states[i];
		ck_assert_int_eq(go_on(20000, false, true), 4500);
	}
}
END_TEST

/* One beat is late by less than the limit: nothing. */
START_TEST(late_beat)
{
	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(go_on(4500, false, true), 4500);
		l.beat++;
	}
}
END_TEST

START_TEST(lease_over)
{
	/* the lease has 15 s, and 2 s more until it is certain that nobody locks */
	int64_t good = go_on(60000, true, false);

	ck_assert_int_ge(good, 16800);
	ck_assert_int_le(good, 17100);
	ck_assert_str_eq(why, "the lease has ended and the worker did not lock");
}
END_TEST

START_TEST(grace_over)
{
	l.state = GATE_GRACE;
	ck_assert_int_le(go_on(60000, true, false), 17100);
}
END_TEST

/* The lease of a gate that lends nothing does not matter. */
START_TEST(lease_locked)
{
	l.state = GATE_LOCKED;
	l.deadline = 0;
	ck_assert_int_eq(go_on(60000, true, false), 60000);
	/* ... and counts from the return on */
	l.state = GATE_ACTIVE;
	ck_assert_int_eq(go_on(1900, true, false), 1900);
	l.deadline = l.now + 15000;
	ck_assert_int_eq(go_on(10000, true, false), 10000);
}
END_TEST

/* LOCKING: past its limit only a pass that makes progress goes on. */
START_TEST(locking)
{
	l.state = GATE_LOCKING;
	runs = true;
	ck_assert_int_eq(go_on(60000, false, false), 4000);
	ck_assert_str_eq(why, "locking did not end in time");
	setup();
	runs = true;
	l.state = GATE_LOCKING;
	ck_assert_int_eq(go_on(60000, true, false), 60000);
	ck_assert_int_le(go_on(60000, false, false), 2100);
	ck_assert_str_eq(why, "locking did not end in time");
}
END_TEST

/* Stopped in the middle of a lock: the drain limit is for who drains. */
START_TEST(locking_stopped)
{
	l.state = GATE_LOCKING;
	l.drain_ms = 60000;
	ck_assert_int_eq(go_on(60000, false, false), 4500);
	ck_assert_str_eq(why, "the worker is no longer running (no beat for 4500 ms)");
}
END_TEST

/* What the lock waits for hangs, and the worker says so. Of a lock that has ended it means nothing. */
START_TEST(locking_stuck)
{
	l.state = GATE_LOCKING;
	ck_assert_int_eq(go_on(1000, true, false), 1000);
	l.stuck = true;
	ck_assert_int_eq(go_on(1000, true, false), 0);
	ck_assert_ptr_nonnull(strstr(why, "hangs"));
	setup();
	l.state = GATE_LOCKED;
	l.stuck = true;
	ck_assert_int_eq(go_on(60000, true, false), 60000);
}
END_TEST

START_TEST(locking_slow_drain)
{
	l.state = GATE_LOCKING;
	runs = true;
	l.drain_ms = 60000;
	ck_assert_int_eq(go_on(120000, false, false), 62000);
	/* locked in time: it counts anew at the next lock */
	setup();
	runs = true;
	l.state = GATE_LOCKING;
	ck_assert_int_eq(go_on(3900, false, false), 3900);
	l.state = GATE_LOCKED;
	ck_assert_int_eq(go_on(500, true, false), 500);
	l.state = GATE_LOCKING;
	ck_assert_int_eq(go_on(3900, false, false), 3900);
}
END_TEST

/* A suspend, or a stopped supervisor, is nobody's fault; what runs by itself is not passed over. */
START_TEST(own_time)
{
	struct own_time t = {.last = 1000};

	own_time_look(&t, 1100, 300);
	ck_assert_int_eq(t.ms, 100);
	own_time_look(&t, 3601100, 300);
	ck_assert_int_eq(t.ms, 400);
	own_time_look(&t, 3601200, 300);
	ck_assert_int_eq(t.ms, 500);
	own_time_look(&t, 3601200, 300);
	ck_assert_int_eq(t.ms, 500);
	own_time_look(&t, 3609999, 0);
	ck_assert_int_eq(t.ms, 500);
}
END_TEST

/* After a suspend the lease has ended, and the worker has its time to lock. */
START_TEST(suspend)
{
	l.now += 3600000;
	l.own_ms += 300;
	ck_assert_int_eq(go_on(1500, true, false), 1500);
	l.state = GATE_LOCKING;
	ck_assert_int_eq(go_on(1000, true, false), 1000);
	l.state = GATE_LOCKED;
	ck_assert_int_eq(go_on(60000, true, false), 60000);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("health");
	TCase *c = tcase_create("health");

	tcase_add_checked_fixture(c, setup, NULL);
	tcase_add_test(c, in_order);
	tcase_add_test(c, no_beat);
	tcase_add_test(c, starved);
	tcase_add_test(c, doubts);
	tcase_add_test(c, no_beat_locked);
	tcase_add_test(c, late_beat);
	tcase_add_test(c, lease_over);
	tcase_add_test(c, grace_over);
	tcase_add_test(c, lease_locked);
	tcase_add_test(c, locking);
	tcase_add_test(c, locking_stopped);
	tcase_add_test(c, locking_stuck);
	tcase_add_test(c, locking_slow_drain);
	tcase_add_test(c, own_time);
	tcase_add_test(c, suspend);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0;
}
