/* SPDX-License-Identifier: BSD-2-Clause */
/* References: schemes, near misses, one canonical form; "inside the store"; paths. */
#include <check.h>
#include <limits.h>
#include <sys/stat.h>

#include "kms/path.h"
#include "tests/unit/fake_kms.h"

static char base[PATH_MAX];

static void setup(void)
{
	char template[] = "/tmp/byokfs-provider-XXXXXX";

	ck_assert_int_eq(secret_init(), 0);
	ck_assert_int_eq(kms_provider_register(&fake_provider), 0);
	ck_assert_ptr_nonnull(mkdtemp(template));
	ck_assert_ptr_nonnull(realpath(template, base));
	ck_assert_int_eq(chdir(base), 0);
}

static void teardown(void)
{
	char command[PATH_MAX + 16];

	ck_assert_int_eq(chdir("/"), 0);
	snprintf(command, sizeof(command), "rm -rf %s", base);
	ck_assert_int_eq(system(command), 0);
}

START_TEST(test_table)
{
	ck_assert_str_eq(kms_provider_at(0)->scheme, "local");
	ck_assert_str_eq(kms_provider_at(1)->scheme, "fake");
	ck_assert_ptr_null(kms_provider_at(2));
	ck_assert_ptr_null(kms_provider_at(1000));
	ck_assert_ptr_eq(kms_provider_find("local:/a/b", NULL), kms_provider_at(0));
	ck_assert_ptr_null(kms_provider_find("Local:/a/b", NULL));
	ck_assert_ptr_null(kms_provider_find("local", NULL));
	ck_assert_ptr_null(kms_provider_find("", NULL));
}
END_TEST

static const struct {
	const char *ref, *says;
} bad[] = {
	{"locl:/k/a", "did you mean local?"},
	{"loacl:/k/a", "did you mean local?"},
	{"LOCAL:/k/a", "this build knows local:"},
	{"fak:0", "did you mean fake?"},
	{"aws-kms:arn:aws:kms", "this build knows local:"},
	{"/k/a", "did you mean local:/k/a?"},
	{"k/a", "did you mean local:k/a?"},
	{"./a:b/c", "names no KMS"},
	{"", "empty key reference"},
	{":", "unknown scheme ''"},
	{"local:", "is not local:KEYDIR/NAME"},
	{"local:a", "is not local:KEYDIR/NAME"},
	{"local:/a", "is not local:KEYDIR/NAME"},
	{"local:/k/", "is not local:KEYDIR/NAME"},
	{"local:/k/.a", "is not local:KEYDIR/NAME"},
	{"local:/k/..", "is not local:KEYDIR/NAME"},
	{"local:/k/a b", "is not local:KEYDIR/NAME"},
	{"local:/k/a\nb", "control character"},
	{"local:/k\x7f/a", "control character"},
	{"local:/absent/../k/a", "key directory"},
	{"local://../a", "key directory"},
	{"local:/k/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "is not local:KEYDIR/NAME"},
};

START_TEST(test_bad)
{
	char out[KMS_REF_MAX + 1], why[KMS_TEXT_MAX] = "";

	ck_assert_int_eq(kms_ref_normalise(bad[_i].ref, out, why), -EINVAL);
	ck_assert_msg(strstr(why, bad[_i].says) != NULL, "%s: %s", bad[_i].ref, why);
}
END_TEST

START_TEST(test_long)
{
	char ref[3000], out[KMS_REF_MAX + 1], why[KMS_TEXT_MAX];

	for (size_t n = 1; n < sizeof(ref); n += 7) {
		memset(ref, 'a', sizeof(ref));
		memcpy(ref, "local:/", 7);
		ref[n < 8 ? 8 : n] = '\0';
		ck_assert_int_eq(kms_ref_normalise(ref, out, why), -EINVAL);
		memcpy(ref, "zzzzz:/", 7);
		ck_assert_int_eq(kms_ref_normalise(ref, out, why), -EINVAL);
	}
}
END_TEST

static void normal(const char *ref, const char *wanted)
{
	char out[KMS_REF_MAX + 1], again[KMS_REF_MAX + 1], why[KMS_TEXT_MAX], full[PATH_MAX + 64];

	snprintf(full, sizeof(full), "local:%s%s", wanted[0] == '/' ? "" : base,
		 wanted[0] == '/' ? wanted : wanted + 1);
	ck_assert_msg(kms_ref_normalise(ref, out, why) == 0, "%s: %s", ref, why);
	ck_assert_str_eq(out, full);
	ck_assert_int_eq(kms_ref_normalise(out, again, why), 0);
	ck_assert_str_eq(again, out);
}

START_TEST(test_normal)
{
	ck_assert_int_eq(mkdir("keys", 0700), 0);
	ck_assert_int_eq(symlink("keys", "link"), 0);
	normal("local:keys/a", "./keys/a");
	normal("local:./keys//a", "./keys/a");
	normal("local:keys/../keys/./a", "./keys/a");
	normal("local:link/a", "./keys/a");
	normal("local:link/absent/x/a", "./keys/absent/x/a");
	normal("local:absent/./x//a.b-c_9", "./absent/x/a.b-c_9");
	normal("local:./a", "./a");
	normal("local:/a.b/c:d/name", "/a.b/c:d/name");
	normal("local://x///y/name", "/x/y/name");
}
END_TEST

START_TEST(test_inside)
{
	char ref[PATH_MAX + 32];

	ck_assert_int_eq(mkdir("store", 0700), 0);
	ck_assert_int_eq(mkdir("store/keys", 0700), 0);
	ck_assert_int_eq(mkdir("storekeys", 0700), 0);
	ck_assert_int_eq(symlink("store/keys", "link"), 0);
	ck_assert_int_eq(kms_ref_inside("local:store/keys/a", "store"), 1);
	ck_assert_int_eq(kms_ref_inside("local:store/a", "store"), 1);
	ck_assert_int_eq(kms_ref_inside("local:link/a", "store"), 1);
	ck_assert_int_eq(kms_ref_inside("local:store/absent/a", "store/"), 1);
	ck_assert_int_eq(kms_ref_inside("local:storekeys/a", "store"), 0);
	ck_assert_int_eq(kms_ref_inside("local:absent/a", "absent2"), 0);
	ck_assert_int_eq(kms_ref_inside("local:absent/x/a", "absent"), 1);
	ck_assert_int_eq(kms_ref_inside("local:store/a", "store/keys"), 0);
	ck_assert_int_eq(kms_ref_inside("local:store/a", "/"), 1);
	ck_assert_int_eq(kms_ref_inside("fake:0", "store"), 0);
	ck_assert_int_lt(kms_ref_inside("nope:0", "store"), 0);
	snprintf(ref, sizeof(ref), "local:%s/storekeys/a", base);
	ck_assert_int_eq(kms_ref_inside(ref, base), 1);
}
END_TEST

START_TEST(test_open)
{
	struct kms_config cfg = {.ref = "locl:/a/b"};
	struct kms_verdict v;
	struct kms *k = NULL;

	ck_assert_int_eq(kms_open(&cfg, &k, &v), -EINVAL);
	ck_assert_int_eq(v.class, KMS_MISCONFIGURED);
	cfg.ref = "fake:2";
	ck_assert_int_eq(kms_open(&cfg, &k, &v), 0);
	ck_assert_str_eq(kms_ref(k), "fake:2");
	ck_assert_ptr_eq(kms_provider_of(k), &fake_provider);
	kms_close(k);
	kms_close(NULL);
}
END_TEST

START_TEST(test_classes)
{
	ck_assert_str_eq(kms_class_name(KMS_REVOKED), "revoked");
	ck_assert_str_eq(kms_class_name((enum kms_class)0), "unknown");
	ck_assert_int_eq(kms_class_errno(KMS_OK), 0);
	ck_assert_int_eq(kms_class_errno((enum kms_class)99), -ETIMEDOUT);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("provider");
	TCase *t = tcase_create("provider");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_table);
	tcase_add_loop_test(t, test_bad, 0, (int)ARRAY_LEN(bad));
	tcase_add_test(t, test_long);
	tcase_add_test(t, test_normal);
	tcase_add_test(t, test_inside);
	tcase_add_test(t, test_open);
	tcase_add_test(t, test_classes);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
