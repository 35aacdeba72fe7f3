/* SPDX-License-Identifier: BSD-2-Clause */
/* The audit log's thread: many who say something at once, nothing lost or torn, counts, a log that is found again. */
#include "tests/unit/store_rig.h"

#include <linux/fuse.h>
#include <pthread.h>

#include "fs/audit/audit.h"
#include "fs/audit/audit_check.h"

#define THREADS 8
#define EACH 200

static struct rig rig;
static struct audit *audit;
static unsigned problems, damages;

static void quiet(int priority, const char *text)
{
	(void)priority;
	(void)text;
}

static void setup(void)
{
	char why[STORE_WHY_MAX];

	rig_begin(&rig);
	rig_start(&rig);
	ck_assert_msg(store_begin(rig.store, rig.gate, NULL, why) == 0, "%s", why);
}

static void teardown(void)
{
	rig_end(&rig);
}

static void log_start(void)
{
	const struct audit_config cfg = {.store = rig.store, .gate = rig.gate, .log = quiet};
	char why[STORE_WHY_MAX];

	ck_assert_msg(audit_start(&cfg, &audit, why) == 0, "%s", why);
}

static void on_problem(void *arg, const struct audit_problem *p)
{
	(void)arg;
	problems++;
	damages += p->damage != 0;
}

static struct audit_checked checked(void)
{
	const struct audit_check_config cfg = {.store = rig.store, .gate = rig.gate, .problem = on_problem};
	struct audit_checked out;

	problems = damages = 0;
	ck_assert_int_eq(audit_check(&cfg, &out), 0);
	ck_assert_uint_eq(out.damage, damages);
	return out;
}

static void *talker(void *arg)
{
	struct audit_text t;

	for (int i = 0; i < EACH; i++) {
		audit_event(&t, "test");
		audit_text_u64(&t, "thread", (uintptr_t)arg);
		audit_say(audit, &t);
		audit_denied(audit, FUSE_READ);
		audit_denied(audit, FUSE_GETXATTR);
		audit_denied(audit, 4000000000u);
		if (i % 20 == 0)
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	return NULL;
}

/* All that was said stands in the log or is counted as lost. */
START_TEST(many)
{
	pthread_t thread[THREADS];
	struct audit_stats st;

	log_start();
	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, talker, (void *)i), 0);
	for (int i = 0; i < 20; i++)
		audit_stats(audit, &st);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	do
		audit_stats(audit, &st);
	while (st.waiting > 0);
	ck_assert_uint_eq(st.denied, 3 * THREADS * EACH);
	ck_assert_int_eq(st.error, 0);
	uint64_t lost = st.lost;
	audit_stop(audit, NULL);
	const struct audit_checked c = checked();
	ck_assert_uint_eq(problems, 0);
	ck_assert_uint_eq(c.sessions, 1);
	ck_assert_int_eq(c.end_known, 1);
	/* the counts, and one line or more of how many were lost */
	ck_assert_uint_ge(c.lines, THREADS * EACH - lost + 1);
	ck_assert_uint_le(c.lines, THREADS * EACH - lost + 1 + (lost > 0 ? lost : 0));
}
END_TEST

/* Sessions follow each other; the last line is the one that was given for it. */
START_TEST(sessions)
{
	struct audit_text t;

	for (int i = 0; i < 3; i++) {
		log_start();
		audit_event(&t, "first");
		audit_say(audit, &t);
		audit_event(&t, "last");
		audit_stop(audit, &t);
		rig.store->session.number++;
	}
	const struct audit_checked c = checked();
	ck_assert_uint_eq(c.lines, 6);
	ck_assert_uint_eq(c.sessions, 3);
	ck_assert_uint_eq(problems, 0);
}
END_TEST

/* Nothing is said to no log. */
START_TEST(none)
{
	struct gate_change change = {GATE_ACTIVE, GATE_LOCKED, GATE_CAUSE_ORDERED, "x", "1"};
	struct fs_lock_report report = {.started = 1};
	struct audit_order order = {.order = "lock", .why = ""};
	struct audit_mount mount = {.mountpoint = "/x"};
	struct built_on built_on = {.n = 1};
	struct audit_stats st;
	struct audit_text t;

	audit_event(&t, "x");
	audit_say(NULL, &t);
	audit_change(NULL, &change);
	audit_locked(NULL, &report, 1);
	audit_built_on(NULL, &built_on);
	audit_returned(NULL, &report);
	audit_ordered(NULL, &order);
	audit_mounted(NULL, &mount);
	audit_ending(NULL, "x");
	audit_denied(NULL, 1);
	audit_corrupt(NULL, NULL);
	audit_stats(NULL, &st);
	ck_assert_uint_eq(st.lines, 0);
	audit_stop(NULL, NULL);
	ck_assert_uint_eq(checked().lines, 0);
	ck_assert_uint_eq(damages, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("auditlog");
	TCase *c = tcase_create("auditlog");

	if (secret_init() < 0)
		return 2;
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, many);
	tcase_add_test(c, sessions);
	tcase_add_test(c, none);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
