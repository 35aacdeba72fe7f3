/* SPDX-License-Identifier: BSD-2-Clause */
/* The store's free space: how long an answer holds, and what a failed write changes. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/fuse/space.h"

#define MIB (1ULL << 20)

START_TEST(asked_before_it_can_be_full)
{
	ck_assert_int_eq(space_known_ms(0, 64 * MIB), 1);
	ck_assert_int_eq(space_known_ms(64 * MIB, 64 * MIB), 1);
	ck_assert_int_eq(space_known_ms(65 * MIB, 64 * MIB), 1);
	ck_assert_int_eq(space_known_ms(464 * MIB, 64 * MIB), 100); /* 4 MiB a ms */
	ck_assert_int_eq(space_known_ms(UINT64_MAX, 0), 1000);
}
END_TEST

START_TEST(a_failed_write_is_remembered)
{
	struct space s = {.ask_at = INT64_MAX}; /* plenty of room, and no need to ask */

	ck_assert(!space_near(&s, -1));
	ck_assert(!space_failed(&s, 0));
	ck_assert(!space_failed(&s, -EACCES)); /* a lock's */
	ck_assert(!space_near(&s, -1));
	ck_assert(space_failed(&s, -EDQUOT));
	ck_assert(space_near(&s, -1));
	s.failed_at -= 61000;
	ck_assert(!space_near(&s, -1));
}
END_TEST

START_TEST(the_filesystem_is_asked)
{
	struct space s = {0};
	int fd = open("/proc", O_RDONLY | O_DIRECTORY); /* has no room at all */

	ck_assert_int_ge(fd, 0);
	ck_assert(space_near(&s, fd));
	ck_assert_int_gt(s.ask_at, 0);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("space");
	TCase *tc = tcase_create("space");

	tcase_add_test(tc, asked_before_it_can_be_full);
	tcase_add_test(tc, a_failed_write_is_remembered);
	tcase_add_test(tc, the_filesystem_is_asked);
	suite_add_tcase(s, tc);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
