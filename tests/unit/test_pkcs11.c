/* SPDX-License-Identifier: BSD-2-Clause */
/* The provider `pkcs11:` without a token: references, options in them, what each return value means. Real tokens: 47-pkcs11. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/providers/pkcs11.h"
#include "tests/kms/scripted.h"
#include "tests/unit/ref_rows.h"

static char why[KMS_TEXT_MAX];

static const struct ref_row refs[] = {
	{"pkcs11:token=t;object=o", "pkcs11:token=t;object=o", NULL},
	{"pkcs11:type=secret-key;id=%01%0a;object=o;serial=9;token=t",
	 "pkcs11:token=t;serial=9;object=o;id=%01%0A;type=secret-key", NULL},
	{"pkcs11:serial=9;id=ab", "pkcs11:serial=9;id=%61%62", NULL},
	{"pkcs11:token=a%20b,c;object=%6f", "pkcs11:token=a%20b%2Cc;object=o", NULL},
	{"pkcs11:model=SoftHSM%20v2;manufacturer=x;token=t;slot-id=1;object=o", "pkcs11:token=t;object=o", NULL},
	{"pkcs11:token=t;object=o;type=private?module-path=/m.so&pin-source=file:/p",
	 "pkcs11:token=t;object=o;type=private", NULL},
	{"pkcs11:", NULL, "no token"},
	{"pkcs11:object=o", NULL, "no token"},
	{"pkcs11:token=t", NULL, "no key"},
	{"pkcs11:token=;object=o", NULL, "token is empty"},
	{"pkcs11:token=t;token=u;object=o", NULL, "token is there twice"},
	{"pkcs11:token=t;id=%01;id=%02", NULL, "id is there twice"},
	{"pkcs11:token=t;object=o;type=cert", NULL, "type is secret-key or private, not 'cert'"},
	{"pkcs11:token=t;object=o;type=public", NULL, "type is secret-key or private"},
	{"pkcs11:token=t;object=o;x=1", NULL, "'x' is not token, serial"},
	{"pkcs11:token=t;object=o;", NULL, "';' with nothing behind it"},
	{"pkcs11:token=t;;object=o", NULL, "is not NAME=VALUE"},
	{"pkcs11:token=t;object", NULL, "'object' is not NAME=VALUE"},
	{"pkcs11:token=t;object=a b", NULL, "must be written as %20"},
	{"pkcs11:token=t;object=a/b", NULL, "must be written as %2F"},
	{"pkcs11:token=t;object=%4", NULL, "without two hex digits"},
	{"pkcs11:token=t;object=%", NULL, "without two hex digits"},
	{"pkcs11:token=t;object=%zz", NULL, "without two hex digits"},
	{"pkcs11:token=t;object=%00", NULL, "control character"},
	{"pkcs11:token=t;object=a%0ab", NULL, "control character"},
	{"pkcs11:token=123456789012345678901234567890123;object=o", NULL, "token is longer than 32 bytes"},
	{"pkcs11:serial=12345678901234567;object=o", NULL, "serial is longer than 16 bytes"},
	{"pkcs11:token=t;object=o?", NULL, "'?' with nothing behind it"},
	{"pkcs11:token=t;object=o?pin-value=1234", NULL, "a PIN has no place in a reference"},
	{"pkcs11:token=t;object=o?module-name=x", NULL, "module-path=FILE"},
	{"pkcs11:token=t;object=o?x=1", NULL, "behind the '?'"},
	{"pkcs11:token=t;object=o?pin-source=|cmd", NULL, "a file here, and no command"},
	{"pkcs11:token=t;object=o?module-path=", NULL, "module-path is empty"},
};

START_TEST(test_refs)
{
	ref_row_check(&refs[_i]);
}
END_TEST

/* What the query names becomes options; what is said twice is refused. */
START_TEST(test_options)
{
	static const char ref[] =
		"pkcs11:token=t;object=o?module-path=/m.so&module-args=a%3Db%20c&pin-source=file:///p";
	const struct kms_provider *p = kms_provider_find(ref, why);
	struct kms_options o = {0};

	ck_assert_int_eq(kms_options_add_ref(&o, p, ref, why), 0);
	ck_assert_uint_eq(o.n, 3);
	ck_assert_str_eq(kms_options_get(&o, "module-path"), "/m.so");
	ck_assert_str_eq(kms_options_get(&o, "module-args"), "a=b c");
	ck_assert_str_eq(kms_options_get(&o, "pin-source"), "/p");
	ck_assert_int_eq(kms_options_add(&o, p, "pin-source=/q", why), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why, "given twice"));
	ck_assert_int_eq(kms_options_add_ref(&o, p, "pkcs11:token=t;object=o", why), 0);
	ck_assert_int_eq(kms_options_add_ref(&o, kms_provider_at(0), "local:/a/b", why), 0);
}
END_TEST

enum { OPEN = P11_OPENS, FAIL = P11_FAILS };

static const struct {
	uint32_t stage;
	uint64_t rv;
	uint32_t canary;
	enum kms_class wrap, unwrap;
	const char *code;
} answers[] = {
	{P11_DONE, 0, 0, KMS_OK, KMS_OK, ""},
	/* SoftHSM2 and opencryptoki: CKA_DECRYPT false; NSS: the same */
	{P11_CALL, 0x68, FAIL, KMS_REVOKED, KMS_REVOKED, "CKR_KEY_FUNCTION_NOT_PERMITTED"},
	{P11_CALL, 0x63, FAIL, KMS_MISCONFIGURED, KMS_REVOKED, "CKR_KEY_TYPE_INCONSISTENT"},
	/* destroyed: NSS, opencryptoki; SoftHSM2 */
	{P11_CALL, 0x60, FAIL, KMS_MISCONFIGURED, KMS_REVOKED, "CKR_KEY_HANDLE_INVALID"},
	{P11_CALL, 0x82, FAIL, KMS_MISCONFIGURED, KMS_REVOKED, "CKR_OBJECT_HANDLE_INVALID"},
	{P11_KEY, 0, 0, KMS_MISCONFIGURED, KMS_REVOKED, "no-such-key"},
	/* damaged, or a token that does nothing right: a fresh wrap decides */
	{P11_CALL, 0x05, OPEN, KMS_TRANSIENT, KMS_CORRUPT, "CKR_GENERAL_ERROR"},
	{P11_CALL, 0x05, FAIL, KMS_TRANSIENT, KMS_TRANSIENT, "CKR_GENERAL_ERROR"},
	{P11_CALL, 0x06, OPEN, KMS_TRANSIENT, KMS_CORRUPT, "CKR_FUNCTION_FAILED"},
	{P11_CALL, 0x06, FAIL, KMS_TRANSIENT, KMS_TRANSIENT, "CKR_FUNCTION_FAILED"},
	{P11_CALL, 0x21, OPEN, KMS_MISCONFIGURED, KMS_CORRUPT, "CKR_DATA_LEN_RANGE"},
	{P11_CALL, 0x21, FAIL, KMS_MISCONFIGURED, KMS_TRANSIENT, "CKR_DATA_LEN_RANGE"},
	{P11_CALL, 0x40, OPEN, KMS_TRANSIENT, KMS_CORRUPT, "CKR_ENCRYPTED_DATA_INVALID"},
	{P11_CALL, 0x40, FAIL, KMS_TRANSIENT, KMS_TRANSIENT, "CKR_ENCRYPTED_DATA_INVALID"},
	{P11_CALL, 0x41, OPEN, KMS_TRANSIENT, KMS_CORRUPT, "CKR_ENCRYPTED_DATA_LEN_RANGE"},
	{P11_CALL, 0x41, 0, KMS_TRANSIENT, KMS_TRANSIENT, "CKR_ENCRYPTED_DATA_LEN_RANGE"},
	{P11_CALL, 0x42, OPEN, KMS_TRANSIENT, KMS_CORRUPT, "CKR_AEAD_DECRYPT_FAILED"},
	{P11_LOGIN, 0xa0, 0, KMS_AUTH, KMS_AUTH, "CKR_PIN_INCORRECT"},
	{P11_LOGIN, 0xa1, 0, KMS_AUTH, KMS_AUTH, "CKR_PIN_INVALID"},
	{P11_LOGIN, 0xa2, 0, KMS_AUTH, KMS_AUTH, "CKR_PIN_LEN_RANGE"},
	{P11_LOGIN, 0xa3, 0, KMS_AUTH, KMS_AUTH, "CKR_PIN_EXPIRED"},
	{P11_LOGIN, 0xa4, 0, KMS_AUTH, KMS_AUTH, "CKR_PIN_LOCKED"},
	{P11_LOGIN, 0x102, 0, KMS_AUTH, KMS_AUTH, "CKR_USER_PIN_NOT_INITIALIZED"},
	{P11_LOGIN, 0x30, 0, KMS_TRANSIENT, KMS_TRANSIENT, "CKR_DEVICE_ERROR"},
	{P11_NO_PIN, 0, 0, KMS_AUTH, KMS_AUTH, "credentials"},
	{P11_LOAD, 0, 0, KMS_MISCONFIGURED, KMS_MISCONFIGURED, "module"},
	{P11_NO_ID, 0, 0, KMS_MISCONFIGURED, KMS_MISCONFIGURED, "no-id"},
	{P11_MECHANISM, 0x70, 0, KMS_MISCONFIGURED, KMS_MISCONFIGURED, "mechanism"},
	{P11_CALL, 0x70, FAIL, KMS_MISCONFIGURED, KMS_MISCONFIGURED, "CKR_MECHANISM_INVALID"},
	{P11_CALL, 0x07, FAIL, KMS_MISCONFIGURED, KMS_MISCONFIGURED, "CKR_ARGUMENTS_BAD"},
	{P11_TOKEN, 0, 0, KMS_TRANSIENT, KMS_TRANSIENT, "no-token"},
	{P11_CALL, 0xe0, 0, KMS_TRANSIENT, KMS_TRANSIENT, "CKR_TOKEN_NOT_PRESENT"},
	{P11_CALL, 0xe1, 0, KMS_TRANSIENT, KMS_TRANSIENT, "CKR_TOKEN_NOT_RECOGNIZED"},
	{P11_CALL, 0x03, 0, KMS_TRANSIENT, KMS_TRANSIENT, "CKR_SLOT_ID_INVALID"},
	{P11_CALL, 0x30, OPEN, KMS_TRANSIENT, KMS_TRANSIENT, "CKR_DEVICE_ERROR"},
	{P11_CALL, 0x32, 0, KMS_TRANSIENT, KMS_TRANSIENT, "CKR_DEVICE_REMOVED"},
	{P11_CALL, 0x101, 0, KMS_TRANSIENT, KMS_TRANSIENT, "CKR_USER_NOT_LOGGED_IN"},
	{P11_CALL, 0xb3, 0, KMS_TRANSIENT, KMS_TRANSIENT, "CKR_SESSION_HANDLE_INVALID"},
	{P11_CALL, 0x190, 0, KMS_TRANSIENT, KMS_TRANSIENT, "CKR_CRYPTOKI_NOT_INITIALIZED"},
	/* a vendor's own */
	{P11_CALL, 0x80000012, OPEN, KMS_TRANSIENT, KMS_TRANSIENT, "CKR_80000012"},
};

START_TEST(test_answers)
{
	struct p11_reply r = {.stage = answers[_i].stage, .rv = answers[_i].rv, .canary = answers[_i].canary};
	struct kms_verdict v = {0};

	ck_assert(p11_reply_good(&r));
	p11_judge(P11_WRAP, &r, "pkcs11:token=t;object=o", &v);
	ck_assert_int_eq(v.class, answers[_i].wrap);
	p11_judge(P11_UNWRAP, &r, "pkcs11:token=t;object=o", &v);
	ck_assert_int_eq(v.class, answers[_i].unwrap);
	ck_assert_str_eq(v.code, answers[_i].code);
	ck_assert(v.class == KMS_OK || answers[_i].stage == P11_LOAD || strstr(v.text, "pkcs11:token=t"));
}
END_TEST

/* A token that goes on although the attribute says no. */
START_TEST(test_forbidden)
{
	struct p11_reply r = {.stage = P11_DONE, .forbidden = 1};
	struct kms_verdict v = {0};

	ck_assert_int_eq(p11_judge(P11_UNWRAP, &r, "k", &v), -EKEYREVOKED);
	ck_assert_str_eq(v.code, "CKA_DECRYPT");
}
END_TEST

START_TEST(test_replies)
{
	struct p11_reply good = {.stage = P11_DONE, .from = "20260101", .len = P11_WRAP_MAX, .id_len = P11_ID_MAX},
			 r = good;

	ck_assert(p11_reply_good(&r));
	r.len++;
	ck_assert(!p11_reply_good(&r));
	r = good;
	r.id_len++;
	ck_assert(!p11_reply_good(&r));
	r = good;
	r.stage = 0;
	ck_assert(!p11_reply_good(&r));
	r.stage = P11_CALL + 1;
	ck_assert(!p11_reply_good(&r));
	r.stage = P11_CALL; /* without a code */
	ck_assert(!p11_reply_good(&r));
	r = good;
	r.canary = 3;
	ck_assert(!p11_reply_good(&r));
	r = good;
	memset(r.to, '1', sizeof(r.to)); /* no end: one is put there */
	ck_assert(p11_reply_good(&r));
	ck_assert_uint_eq(strlen(r.to), P11_DATE_LEN);
	memcpy(r.to, "2026-1-1", sizeof(r.to));
	ck_assert(!p11_reply_good(&r));
}
END_TEST

START_TEST(test_dates)
{
	ck_assert_int_eq(p11_date("", 1), 0);
	ck_assert_int_eq(p11_date("20260101", 0), 1767225600);
	ck_assert_int_eq(p11_date("20260101", 1), 1767225600 + 86400);
	ck_assert_int_eq(p11_date("20241231", 1), 1735689600);
	ck_assert_int_eq(p11_date("19000101", 1), 1); /* long past, and not none */
	ck_assert_int_eq(p11_date("20261301", 0), 0);
	ck_assert_int_eq(p11_date("2026010", 0), 0);
	ck_assert_int_eq(p11_date("2026x101", 0), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pkcs11");
	TCase *t = tcase_create("pkcs11");

	tcase_add_loop_test(t, test_refs, 0, ARRAY_LEN(refs));
	tcase_add_test(t, test_options);
	tcase_add_loop_test(t, test_answers, 0, ARRAY_LEN(answers));
	tcase_add_test(t, test_forbidden);
	tcase_add_test(t, test_replies);
	tcase_add_test(t, test_dates);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
