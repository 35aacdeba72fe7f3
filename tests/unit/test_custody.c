/* SPDX-License-Identifier: BSD-2-Clause */
/* Custody: slot secrets through one and several KEKs, both policies, every kind of answer. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/header.h"
#include "crypto/secret.h"
#include "kms/custody.h"
#include "kms/verdict.h"
#include "tests/kms/scripted.h"

static struct kms *kek[FAKES];
static struct keyring *keyring;

static void setup(void)
{
	ck_assert_int_eq(secret_init(), 0);
	fake_reset();
	memset(kek, 0, sizeof(kek));
	keyring = NULL;
}

static void teardown(void)
{
	for (int i = 0; i < FAKES; i++)
		kms_close(kek[i]);
	keyring_free(keyring);
	ck_assert_uint_eq(secret_in_use(), 0);
}

static int open_as(enum kms_class class)
{
	struct store_keys *keys = NULL;
	struct kms_verdict v;
	int r = custody_open(keyring, kek, &keys, &v);

	ck_assert_msg(v.class == class, "class %d, wanted %d: %s", v.class, class, v.text);
	ck_assert_int_eq(r, kms_class_errno(class));
	ck_assert(r == 0 || (v.text[0] && v.code[0]));
	if (!r)
		ck_assert_mem_eq(store_keys_id(keys), keyring->store_id, ID_LEN);
	store_keys_free(keys);
	return r;
}

START_TEST(test_create_open)
{
	struct store_keys *a, *b;
	struct kms_verdict v;

	keyring = fake_keyring(1, POLICY_ALL, WRAP_STORE, kek);
	ck_assert_ptr_nonnull(keyring);
	ck_assert_uint_eq(keyring->sequence, 1);
	ck_assert_uint_eq(keyring->next_number, 2);
	ck_assert_str_eq(keyring->slot[0].version, "1");
	ck_assert_int_eq(custody_open(keyring, kek, &a, &v), 0);
	ck_assert_int_eq(custody_open(keyring, kek, &b, &v), 0);
	ck_assert_int_eq(store_keys_equal(a, b), 1);
	store_keys_free(a);
	store_keys_free(b);
}
END_TEST

/* The keyring's bytes, parsed again, open the same way. */
START_TEST(test_round_trip)
{
	struct keyring *parsed;
	struct store_keys *keys;
	struct kms_verdict v;

	keyring = fake_keyring(3, POLICY_ALL, WRAP_STORE, kek);
	ck_assert_int_eq(keyring_parse(keyring->bytes, keyring->len, &parsed), 0);
	ck_assert_int_eq(custody_open(parsed, kek, &keys, &v), 0);
	store_keys_free(keys);
	keyring_free(parsed);
}
END_TEST

static const struct {
	enum fake_mode mode;
	enum kms_class class;
} answers[] = {
	{FAKE_OK, KMS_OK},
	{FAKE_REVOKED, KMS_REVOKED},
	{FAKE_TRANSIENT, KMS_TRANSIENT},
	{FAKE_MISCONFIGURED, KMS_MISCONFIGURED},
	{FAKE_AUTH, KMS_AUTH},
	{FAKE_CORRUPT, KMS_CORRUPT},
	{FAKE_EMPTY, KMS_TRANSIENT},
	{FAKE_LIAR, KMS_TRANSIENT},
	{FAKE_LIAR2, KMS_TRANSIENT},
	{FAKE_NOCLASS, KMS_TRANSIENT},
	{FAKE_JUNK, KMS_CORRUPT},
	{FAKE_EXPIRED, KMS_REVOKED},
};

/* What is said to a wrap, and what becomes of the new store: no lie makes one. */
static const struct {
	enum fake_mode mode;
	int r;
} wraps[] = {
	{FAKE_OK, 0},
	{FAKE_REVOKED, -EKEYREVOKED},
	{FAKE_EMPTY, -ETIMEDOUT},
	{FAKE_LIAR, -ETIMEDOUT},
	{FAKE_LIAR2, -ETIMEDOUT},
	{FAKE_NOCLASS, -ETIMEDOUT},
	{FAKE_NOALGORITHM, -ETIMEDOUT},
};

START_TEST(test_create_answers)
{
	fake_set(0, wraps[_i].mode);
	kek[0] = fake_kms_open(0);
	ck_assert_ptr_nonnull(kek[0]);

	struct keyring_slot slot = {.number = 1, .ref = "fake:0"};
	struct keyring k = {.layout = {HEADER_LEN_STORE, 4096, SUITE_2},
			    .wrap_type = WRAP_STORE,
			    .name_mode = NAMES_SIV,
			    .policy = POLICY_ALL,
			    .n_slots = 1,
			    .slot = &slot};
	struct kms_verdict v;

	ck_assert_int_eq(custody_create(&k, kek, &v), wraps[_i].r);
	ck_assert_int_eq(slot.wrapped_len != 0, wraps[_i].r == 0);
	free(k.bytes);
}
END_TEST

START_TEST(test_answers)
{
	keyring = fake_keyring(1, POLICY_ALL, WRAP_STORE, kek);
	fake_set(0, answers[_i].mode);
	open_as(answers[_i].class);
	fake_set(0, FAKE_OK);
	kms_refresh(kek[0]); /* the dates heard last are kept */
	open_as(KMS_OK);
}
END_TEST

/* The dates cost no second call each time; those heard last are compared each time; a new connection asks anew. */
START_TEST(test_dates)
{
	keyring = fake_keyring(1, POLICY_ALL, WRAP_STORE, kek);
	open_as(KMS_OK);
	/* unwrap, token and description of one question share its end */
	ck_assert(atomic_load(&fakes[0].deadline) > 0);
	ck_assert(atomic_load(&fakes[0].deadline) == atomic_load(&fakes[0].deadline_info));
	for (int i = 0; i < 5; i++)
		open_as(KMS_OK);
	ck_assert_int_eq(atomic_load(&fakes[0].infos), 1);
	fake_set(0, FAKE_EXPIRED);
	kms_refresh(kek[0]);
	open_as(KMS_REVOKED);
	open_as(KMS_REVOKED);
	ck_assert_int_eq(atomic_load(&fakes[0].infos), 2);
	/* a description that is refused says nothing: not that the date is another now */
	fake_set(0, FAKE_INFO_REFUSED);
	kms_refresh(kek[0]);
	open_as(KMS_REVOKED);
	ck_assert_int_eq(atomic_load(&fakes[0].infos), 3);
	fake_set(0, FAKE_OK);
	kms_refresh(kek[0]);
	open_as(KMS_OK);
}
END_TEST

/* ... and where none was ever heard, the unwrap is what counts. */
START_TEST(test_dates_refused)
{
	keyring = fake_keyring(1, POLICY_ALL, WRAP_STORE, kek);
	fake_set(0, FAKE_INFO_REFUSED);
	open_as(KMS_OK);
	open_as(KMS_OK);
	ck_assert_int_eq(atomic_load(&fakes[0].infos), 1);
}
END_TEST

static void refresh_all(void)
{
	for (int i = 0; i < FAKES; i++)
		if (kek[i])
			kms_refresh(kek[i]);
}

/* POLICY_ALL: whatever one KEK answers is the answer. */
START_TEST(test_all)
{
	keyring = fake_keyring(3, POLICY_ALL, WRAP_STORE, kek);
	open_as(KMS_OK);
	for (int i = 0; i < 3; i++) {
		fake_set(i, answers[_i].mode);
		refresh_all();
		open_as(answers[_i].class);
		fake_set(i, FAKE_OK);
		refresh_all();
	}
	/* A refusal counts more than silence, whoever says it. */
	fake_set(0, FAKE_TRANSIENT);
	fake_set(2, FAKE_REVOKED);
	open_as(KMS_REVOKED);
	fake_set(0, FAKE_AUTH);
	fake_set(2, FAKE_TRANSIENT);
	open_as(KMS_AUTH);
}
END_TEST

/* POLICY_ANY: silence fails over, and nothing else: a login that is rejected, a name that is wrong, are no outage. */
START_TEST(test_any)
{
	enum kms_class class = answers[_i].class;
	bool silence = class == KMS_TRANSIENT;

	keyring = fake_keyring(3, POLICY_ANY, WRAP_STORE, kek);
	for (int i = 0; i < 3; i++) {
		fake_set(i, answers[_i].mode);
		refresh_all();
		open_as(silence ? KMS_OK : class);
		fake_set(i, FAKE_OK);
		refresh_all();
	}
	for (int i = 0; i < 3; i++)
		fake_set(i, answers[_i].mode);
	refresh_all();
	open_as(class);
}
END_TEST

/* A KEK that could not be opened at all is one that is silent. */
START_TEST(test_not_open)
{
	keyring = fake_keyring(2, POLICY_ANY, WRAP_STORE, kek);
	kms_close(kek[0]);
	kek[0] = NULL;
	open_as(KMS_OK);
	kms_close(kek[1]);
	kek[1] = NULL;
	open_as(KMS_TRANSIENT);
}
END_TEST

/* One KEK that hangs does not delay another's refusal past its own end. */
START_TEST(test_concurrent)
{
	struct timespec from, to;
	struct kms_verdict v;
	struct store_keys *keys;

	keyring = fake_keyring(2, POLICY_ANY, WRAP_STORE, kek);
	clock_gettime(CLOCK_MONOTONIC, &from);
	fake_set(0, FAKE_HANG);
	fake_set(1, FAKE_HANG);
	kms_cancel(kek[0]);
	kms_cancel(kek[1]);
	ck_assert_int_eq(custody_open(keyring, kek, &keys, &v), -ETIMEDOUT);
	clock_gettime(CLOCK_MONOTONIC, &to);
	ck_assert_int_lt(to.tv_sec - from.tv_sec, 2);
}
END_TEST

/* Slots swapped, another store's slot, another store's box: never opens. */
START_TEST(test_foreign)
{
	struct keyring_slot slot;
	struct kms *other_kek[FAKES] = {0};
	struct keyring *other;
	uint8_t id[ID_LEN];

	keyring = fake_keyring(2, POLICY_ALL, WRAP_STORE, kek);
	other = fake_keyring(2, POLICY_ALL, WRAP_STORE, other_kek);
	slot = keyring->slot[0];
	keyring->slot[0] = keyring->slot[1];
	keyring->slot[1] = slot;
	open_as(KMS_CORRUPT);
	keyring->slot[0] = other->slot[0];
	open_as(KMS_CORRUPT);
	/* Even when the keyring claims the other store's id. */
	memcpy(id, keyring->store_id, ID_LEN);
	memcpy(keyring->store_id, other->store_id, ID_LEN);
	keyring->slot[1] = other->slot[1];
	open_as(KMS_CORRUPT);
	memcpy(keyring->store_id, id, ID_LEN);
	kms_close(other_kek[0]);
	kms_close(other_kek[1]);
	keyring_free(other);
}
END_TEST

START_TEST(test_create_refused)
{
	struct keyring k = {.wrap_type = WRAP_FILE, .policy = POLICY_ALL, .n_slots = 2, .name_mode = NAMES_SIV};
	struct kms_verdict v;

	keyring = fake_keyring(1, POLICY_ALL, WRAP_STORE, kek);
	k.slot = calloc(2, sizeof(*k.slot));
	ck_assert_int_eq(custody_create(&k, kek, &v), -EINVAL);
	k.n_slots = 0;
	ck_assert_int_eq(custody_create(&k, kek, &v), -EINVAL);
	k.n_slots = 1;
	fake_set(0, FAKE_REVOKED);
	ck_assert_int_eq(custody_create(&k, kek, &v), -EKEYREVOKED);
	ck_assert_ptr_nonnull(strstr(v.text, "disabled"));
	free(k.slot);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("custody");
	TCase *t = tcase_create("custody");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_create_open);
	tcase_add_test(t, test_round_trip);
	tcase_add_loop_test(t, test_create_answers, 0, (int)ARRAY_LEN(wraps));
	tcase_add_loop_test(t, test_answers, 0, (int)ARRAY_LEN(answers));
	tcase_add_test(t, test_dates);
	tcase_add_test(t, test_dates_refused);
	tcase_add_loop_test(t, test_all, 0, (int)ARRAY_LEN(answers));
	tcase_add_loop_test(t, test_any, 0, (int)ARRAY_LEN(answers));
	tcase_add_test(t, test_not_open);
	tcase_add_test(t, test_concurrent);
	tcase_add_test(t, test_foreign);
	tcase_add_test(t, test_create_refused);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
