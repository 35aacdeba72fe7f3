/* SPDX-License-Identifier: BSD-2-Clause */
/* What of the environment stays. */
#include <check.h>
#include <stdlib.h>

#include "tools/environment.h"

START_TEST(keeps)
{
	char *list[] = {"GCONV_PATH=/tmp",
			"HOME=/root",
			"LD_PRELOAD=x.so",
			"HOMES=1",
			"TZ=Europe/Vienna",
			"OPENSSL_MODULES=/tmp",
			"AWS_SECRET_ACCESS_KEY=x",
			"BYOKFS_STATE_DIR=/s",
			"AWS_PROFILE=p",
			"SSLKEYLOGFILE=/k",
			"TZ=:/etc/shadow",
			"TZ=/etc/shadow",
			"TZ=../../x",
			"",
			"=",
			"CREDENTIALS_DIRECTORY=/c",
			"TZDIR=/tmp",
			NULL};
	char *none[] = {NULL};

	environment_keep(list);
	ck_assert_str_eq(list[0], "HOME=/root");
	ck_assert_str_eq(list[1], "TZ=Europe/Vienna");
	ck_assert_str_eq(list[2], "BYOKFS_STATE_DIR=/s");
	ck_assert_str_eq(list[3], "AWS_PROFILE=p");
	ck_assert_str_eq(list[4], "CREDENTIALS_DIRECTORY=/c");
	ck_assert_ptr_null(list[5]);
	environment_keep(none);
	ck_assert_ptr_null(none[0]);
	environment_keep(NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("environment");
	TCase *t = tcase_create("environment");

	tcase_add_test(t, keeps);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
