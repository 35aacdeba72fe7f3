/* SPDX-License-Identifier: BSD-2-Clause */
/* References: schemes, near misses, one canonical form, "inside the store"; the door to a provider that lies. */
#include <check.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/header.h"
#include "crypto/secret.h"
#include "kms/clock.h"
#include "kms/path.h"
#include "kms/verdict.h"
#include "tests/kms/scripted.h"

static char base[PATH_MAX];

static void setup(void)
{
	char template[] = "/tmp/byokfs-provider-XXXXXX";

	ck_assert_int_eq(secret_init(), 0);
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
	ck_assert_str_eq(kms_provider_at(2)->scheme, "fault");
	ck_assert_ptr_eq(kms_provider_at(3), &kms_vault);
	ck_assert_ptr_eq(kms_provider_at(4), &kms_aws);
	ck_assert_ptr_eq(kms_provider_at(5), &kms_pkcs11);
	ck_assert_ptr_null(kms_provider_at(6));
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
	{"zzz-zzz:x", "this build knows local:"},
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
	ck_assert_int_eq(kms_class_errno(KMS_OK), 0);
	ck_assert_int_eq(kms_class_errno((enum kms_class)99), -ETIMEDOUT);
}
END_TEST

/* Versions go into paths of requests: each kind has its alphabet, and nothing else passes. */
static const struct {
	enum kms_version_kind kind;
	const char *version;
	bool good;
} versions[] = {
	{KMS_VERSION_NUMBER, "1", true},
	{KMS_VERSION_NUMBER, "4294967295", true},
	{KMS_VERSION_NUMBER, "4294967296", false},
	{KMS_VERSION_NUMBER, "99999999999999999999999", false},
	{KMS_VERSION_NUMBER, "0", false},
	{KMS_VERSION_NUMBER, "01", false},
	{KMS_VERSION_NUMBER, "-1", false},
	{KMS_VERSION_NUMBER, "+1", false},
	{KMS_VERSION_NUMBER, " 1", false},
	{KMS_VERSION_NUMBER, "1 ", false},
	{KMS_VERSION_NUMBER, "1/../2", false},
	{KMS_VERSION_NUMBER, "", false},
	{KMS_VERSION_UUID, "1234abcd-12ab-34cd-56ef-1234567890ab", true},
	{KMS_VERSION_UUID, "mrk-1234abcd12ab34cd56ef1234567890ab", true},
	{KMS_VERSION_UUID, "1234ABCD-12ab-34cd-56ef-1234567890ab", false},
	{KMS_VERSION_UUID, "1234abcd-12ab-34cd-56ef-1234567890a", false},
	{KMS_VERSION_UUID, "1234abcd-12ab-34cd-56ef-1234567890abc", false},
	{KMS_VERSION_UUID, "mrk-1234abcd12ab34cd56ef1234567890a", false},
	{KMS_VERSION_UUID, "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab", false},
	{KMS_VERSION_UUID, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", false},
	{KMS_VERSION_UUID, "", false},
	{KMS_VERSION_HEX32, "0123456789abcdef0123456789abcdef", true},
	{KMS_VERSION_HEX32, "0123456789abcdef0123456789abcde", false},
	{KMS_VERSION_HEX32, "0123456789abcdef0123456789abcdefa", false},
	{KMS_VERSION_HEX32, "0123456789abcdef0123456789abcdeg", false},
	{KMS_VERSION_HEX32, "https://v.vault.azure.net/keys/k/0123456789abcdef0123456789abcdef", false},
	{KMS_VERSION_HEX, "01", true},
	{KMS_VERSION_HEX, "00ff", true},
	{KMS_VERSION_HEX, "1", false},
	{KMS_VERSION_HEX, "0g", false},
	{KMS_VERSION_HEX, "", false},
	{KMS_VERSION_NONE, "", true},
	{KMS_VERSION_NONE, "1", false},
	{(enum kms_version_kind)0, "1", false},
	{(enum kms_version_kind)99, "", false},
};

START_TEST(test_versions)
{
	char version[KMS_VERSION_MAX + 1] = "";

	snprintf(version, sizeof(version), "%s", versions[_i].version);
	ck_assert_msg(kms_version_good(versions[_i].kind, version) == versions[_i].good, "%s", version);
}
END_TEST

/* The door: what a provider answers, and what is made of it. */

static const struct answer {
	const char *what;
	enum kms_use use;
	int r;
	enum kms_class class;
	uint16_t algorithm;
	const char *version; /* NULL: one without an end */
	size_t len;
	enum kms_class verdict; /* the door's */
} answers[] = {
	{"good", KMS_USE_KEYRING, 0, KMS_OK, KMS_ALG_PROVIDER, "7", 100, KMS_OK},
	{"shortest", KMS_USE_FILE, 0, KMS_OK, KMS_ALG_LOCAL_AES256GCM, "7", PAYLOAD_LEN, KMS_OK},
	{"longest of a file", KMS_USE_FILE, 0, KMS_OK, KMS_ALG_AES256KW, "7", HEADER_WRAPPED_MAX, KMS_OK},
	{"longest of a keyring", KMS_USE_KEYRING, 0, KMS_OK, KMS_ALG_PROVIDER, "7", KMS_WRAPPED_MAX, KMS_OK},
	{"too long for a file", KMS_USE_FILE, 0, KMS_OK, KMS_ALG_PROVIDER, "7", HEADER_WRAPPED_MAX + 1, KMS_TRANSIENT},
	{"too long", KMS_USE_KEYRING, 0, KMS_OK, KMS_ALG_PROVIDER, "7", KMS_WRAPPED_MAX + 1, KMS_TRANSIENT},
	{"absurd", KMS_USE_KEYRING, 0, KMS_OK, KMS_ALG_PROVIDER, "7", SIZE_MAX, KMS_TRANSIENT},
	{"too short", KMS_USE_FILE, 0, KMS_OK, KMS_ALG_PROVIDER, "7", PAYLOAD_LEN - 1, KMS_TRANSIENT},
	{"zero length", KMS_USE_FILE, 0, KMS_OK, KMS_ALG_PROVIDER, "7", 0, KMS_TRANSIENT},
	{"no algorithm", KMS_USE_FILE, 0, KMS_OK, 0, "7", 100, KMS_TRANSIENT},
	{"unknown algorithm", KMS_USE_FILE, 0, KMS_OK, KMS_ALG_RSA_OAEP_SHA1 + 1, "7", 100, KMS_TRANSIENT},
	{"no version", KMS_USE_FILE, 0, KMS_OK, KMS_ALG_PROVIDER, "", 100, KMS_TRANSIENT},
	{"version in two lines", KMS_USE_FILE, 0, KMS_OK, KMS_ALG_PROVIDER, "7\n8", 100, KMS_TRANSIENT},
	{"version without end", KMS_USE_FILE, 0, KMS_OK, KMS_ALG_PROVIDER, NULL, 100, KMS_TRANSIENT},
	{"0 without a verdict", KMS_USE_FILE, 0, 0, KMS_ALG_PROVIDER, "7", 100, KMS_TRANSIENT},
	{"0 with a refusal", KMS_USE_FILE, 0, KMS_REVOKED, KMS_ALG_PROVIDER, "7", 100, KMS_TRANSIENT},
	{"error with OK", KMS_USE_FILE, -EIO, KMS_OK, KMS_ALG_PROVIDER, "7", 100, KMS_TRANSIENT},
	{"error without a verdict", KMS_USE_FILE, -EIO, 0, KMS_ALG_PROVIDER, "7", 100, KMS_TRANSIENT},
	{"unknown class", KMS_USE_FILE, -EIO, 77, KMS_ALG_PROVIDER, "7", 100, KMS_TRANSIENT},
	{"cancelled", KMS_USE_FILE, -ECANCELED, KMS_TRANSIENT, KMS_ALG_PROVIDER, "7", 100, KMS_TRANSIENT},
	{"refusal", KMS_USE_FILE, -EIO, KMS_REVOKED, KMS_ALG_PROVIDER, "7", 100, KMS_REVOKED},
	{"corrupt", KMS_USE_FILE, -EIO, KMS_CORRUPT, KMS_ALG_PROVIDER, "7", 100, KMS_CORRUPT},
};

/* What the provider gets and does besides. */
static struct {
	const struct answer *answer;
	unsigned asked, calls_inside;
	int64_t deadline;
	bool gives_nothing;
} liar;

static int liar_says(struct kms *k, struct kms_verdict *v)
{
	liar.asked++;
	liar.calls_inside = kms_calls(k);
	ck_assert_int_eq(v->class, 0); /* no verdict is there before the provider's own */
	v->class = liar.answer->class;
	memset(v->request_id, '\n', sizeof(v->request_id));
	memset(v->text, 'x', sizeof(v->text)); /* without an end */
	return liar.answer->r;
}

static int liar_wrap(struct kms *k, const struct kms_purpose *p, const uint8_t plain[PAYLOAD_LEN],
		     struct kms_wrapped *out, struct kms_verdict *v)
{
	const struct answer *a = liar.answer;

	liar.deadline = p->deadline;
	ck_assert_uint_eq(plain[0], 9);
	out->algorithm = a->algorithm;
	out->len = a->len;
	if (a->version)
		snprintf(out->version, sizeof(out->version), "%s", a->version);
	else
		memset(out->version, '7', sizeof(out->version));
	return liar_says(k, v);
}

static int liar_unwrap(struct kms *k, const struct kms_purpose *p, const struct kms_wrapped *in,
		       uint8_t plain[PAYLOAD_LEN], struct kms_verdict *v)
{
	liar.deadline = p->deadline;
	ck_assert_uint_eq(in->len, liar.answer->len);
	if (!liar.gives_nothing)
		memset(plain, 9, PAYLOAD_LEN);
	return liar_says(k, v);
}

static const struct kms_provider liar_provider = {
	.scheme = "liar", .version_kind = KMS_VERSION_NUMBER, .wrap = liar_wrap, .unwrap = liar_unwrap};
static struct kms_base liar_kms = {.provider = &liar_provider, .ref = "liar:"};

/* V fits A, and is such that it can be shown. */
static void judged(const struct answer *a, int r, const struct kms_verdict *v)
{
	ck_assert_msg(v->class == a->verdict, "%s: %s", a->what, fake_class_name(v->class));
	ck_assert_int_eq(r, kms_class_errno(a->verdict));
	ck_assert(memchr(v->code, 0, sizeof(v->code)) && memchr(v->text, 0, sizeof(v->text)));
	ck_assert(memchr(v->request_id, 0, sizeof(v->request_id)) && !strchr(v->request_id, '\n'));
	ck_assert_uint_eq(liar.calls_inside, liar.asked);
	ck_assert_uint_eq(kms_calls((struct kms *)&liar_kms), 0);
}

START_TEST(test_wrap)
{
	const struct answer *a = &answers[_i];
	struct kms_purpose purpose = {.use = a->use};
	static struct kms_wrapped w;
	uint8_t plain[PAYLOAD_LEN];
	struct kms_verdict v = {.class = KMS_OK}; /* a caller's leftover */

	memset(plain, 9, sizeof(plain));
	memset(&liar, 0, sizeof(liar));
	liar.answer = a;
	judged(a, kms_wrap((struct kms *)&liar_kms, &purpose, plain, &w, &v), &v);
	ck_assert_uint_eq(liar.asked, 1);
	ck_assert_uint_eq(w.len, a->verdict == KMS_OK ? a->len : 0);
}
END_TEST

/* The same answers to an unwrap; a wrap that nobody could have made is not even shown to the KMS. */
START_TEST(test_unwrap)
{
	static const uint8_t zeros[PAYLOAD_LEN];
	struct answer a = answers[_i];
	struct kms_purpose purpose = {.use = a.use};
	static struct kms_wrapped w;
	uint8_t plain[PAYLOAD_LEN];
	struct kms_verdict v;
	bool possible = a.verdict != KMS_TRANSIENT || a.class != KMS_OK || a.r;

	memset(&w, 0, sizeof(w));
	memset(w.version, '7', a.version ? 0 : sizeof(w.version));
	memcpy(w.version, a.version ? a.version : "", a.version ? strlen(a.version) : 0);
	w.algorithm = a.algorithm;
	w.len = a.len;
	memset(&liar, 0, sizeof(liar));
	liar.answer = &a;
	a.verdict = possible ? a.verdict : KMS_CORRUPT;
	judged(&a, kms_unwrap((struct kms *)&liar_kms, &purpose, &w, plain, &v), &v);
	ck_assert_uint_eq(liar.asked, possible);
	ck_assert_int_eq(memcmp(plain, zeros, sizeof(plain)) != 0, a.verdict == KMS_OK);
}
END_TEST

/* OK, and nothing in the payload: that is no statement about the key. */
START_TEST(test_unwrap_nothing)
{
	struct answer a = answers[0];
	struct kms_purpose purpose = {.use = a.use};
	static struct kms_wrapped w;
	uint8_t plain[PAYLOAD_LEN], data[100] = {0};
	struct kms_verdict v;

	memset(&liar, 0, sizeof(liar));
	liar.answer = &a;
	liar.gives_nothing = true;
	a.verdict = KMS_TRANSIENT;
	memset(plain, 9, sizeof(plain));
	kms_wrapped_set(&w, a.algorithm, a.version, data, a.len);
	judged(&a, kms_unwrap((struct kms *)&liar_kms, &purpose, &w, plain, &v), &v);
	ck_assert_str_eq(v.code, "garbled");
}
END_TEST

/* A provider always has a moment by which it must have answered: the caller's, or the handle's own. */
START_TEST(test_deadline)
{
	struct answer a = answers[0];
	struct kms_purpose purpose = {.use = a.use, .deadline = 77};
	static struct kms_wrapped w;
	uint8_t plain[PAYLOAD_LEN] = {9};
	struct kms_verdict v;
	int64_t now = clock_ms(CLOCK_BOOTTIME);

	memset(&liar, 0, sizeof(liar));
	liar.answer = &a;
	liar_kms.timeout_ms = 5000;
	ck_assert_int_eq(kms_wrap((struct kms *)&liar_kms, &purpose, plain, &w, &v), 0);
	ck_assert_int_eq(liar.deadline, 77);
	purpose.deadline = 0;
	ck_assert_int_eq(kms_unwrap((struct kms *)&liar_kms, &purpose, &w, plain, &v), 0);
	ck_assert_int_ge(liar.deadline, now + 5000);
	ck_assert_int_le(liar.deadline, clock_ms(CLOCK_BOOTTIME) + 5000);
}
END_TEST

/* A purpose that is none, and a wrap that does not fit the struct. */
START_TEST(test_door_misused)
{
	struct kms_purpose purpose = {0};
	static struct kms_wrapped w;
	static const uint8_t data[KMS_WRAPPED_MAX + 1];
	uint8_t plain[PAYLOAD_LEN] = {9};
	char version[KMS_VERSION_MAX + 2];
	struct kms_verdict v;

	memset(&liar, 0, sizeof(liar));
	ck_assert_int_eq(kms_wrap((struct kms *)&liar_kms, &purpose, plain, &w, &v), -EINVAL);
	kms_wrapped_set(&w, KMS_ALG_PROVIDER, "7", data, 100);
	ck_assert_uint_eq(w.len, 100);
	ck_assert_int_eq(kms_unwrap((struct kms *)&liar_kms, &purpose, &w, plain, &v), -EBADMSG);
	purpose.use = KMS_USE_KEYRING;
	kms_wrapped_set(&w, KMS_ALG_PROVIDER, "7", data, sizeof(data));
	ck_assert_int_eq(kms_unwrap((struct kms *)&liar_kms, &purpose, &w, plain, &v), -EBADMSG);
	memset(version, '7', sizeof(version));
	version[sizeof(version) - 1] = '\0';
	kms_wrapped_set(&w, KMS_ALG_PROVIDER, version, data, 100);
	ck_assert_int_eq(kms_unwrap((struct kms *)&liar_kms, &purpose, &w, plain, &v), -EBADMSG);
	ck_assert_uint_eq(liar.asked, 0);
	ck_assert_str_eq(kms_use_name(KMS_USE_FILE), "file");
	ck_assert_str_eq(kms_use_name((enum kms_use)0), "");
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
	tcase_add_loop_test(t, test_versions, 0, (int)ARRAY_LEN(versions));
	tcase_add_loop_test(t, test_wrap, 0, (int)ARRAY_LEN(answers));
	tcase_add_loop_test(t, test_unwrap, 0, (int)ARRAY_LEN(answers));
	tcase_add_test(t, test_unwrap_nothing);
	tcase_add_test(t, test_deadline);
	tcase_add_test(t, test_door_misused);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
