/* SPDX-License-Identifier: BSD-2-Clause */
/* A bound for lines of the log: how many come, and that those that do not are told. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/inode/told.h"

static char logged[4096];

static void log_line(int priority, const char *text)
{
	(void)priority;
	strncat(logged, text, sizeof(logged) - strlen(logged) - 2);
	strcat(logged, "\n");
}

START_TEST(bound)
{
	struct told_lines t = {0};
	unsigned n = 0;

	for (unsigned i = 0; i < 120000; i++)
		n += told_may(&t, 0, "damage", log_line);
	ck_assert_uint_eq(n, TOLD_LINES);
	ck_assert_str_eq(logged,
			 "damage: more than 32 lines in a minute, the others are only counted; byokfs verify names "
			 "all\n");
	logged[0] = '\0';
	ck_assert(!told_may(&t, TOLD_EVERY_MS, "damage", log_line)); /* it began at 1 */
	ck_assert(told_may(&t, TOLD_EVERY_MS + 1, "damage", log_line));
	ck_assert_str_eq(logged, "damage: 119969 more lines like those before were left out\n");
	for (n = 1; told_may(&t, TOLD_EVERY_MS + 2, "damage", log_line);)
		n++;
	ck_assert_uint_eq(n, TOLD_LINES);
	logged[0] = '\0';
	told_end(&t, "damage", log_line);
	told_end(&t, "damage", log_line);
	ck_assert_str_eq(logged, "damage: 1 more lines like those before were left out\n");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("told");
	TCase *t = tcase_create("told");

	tcase_add_test(t, bound);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
