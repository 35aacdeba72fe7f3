/* SPDX-License-Identifier: BSD-2-Clause */
/* The keyring: vectors, policies, features, every byte altered, every cut, what may be sealed. */
#include "tests/unit/vector.h"

#include <errno.h>

#include "crypto/keyring.h"

static void secret_make(uint8_t *secrets)
{
	for (size_t i = 0; i < KEYRING_SLOTS_MAX * KEY_LEN; i++)
		secrets[i] = (uint8_t)(i * 7 + 1);
}

static struct keyring *keyring_make(const struct store_keys *keys, enum slot_policy policy, uint32_t n)
{
	struct keyring *k = calloc(1, sizeof(*k));
	k->sequence = 1;
	memcpy(k->store_id, store_keys_id(keys), ID_LEN);
	k->layout = (struct layout){HEADER_LEN_STORE, 4096, SUITE_2};
	k->wrap_type = WRAP_STORE;
	k->name_mode = NAMES_SIV;
	k->policy = policy;
	k->next_number = n + 1;
	k->n_slots = n;
	k->slot = calloc(n, sizeof(*k->slot));
	for (uint32_t i = 0; i < n; i++) {
		k->slot[i].number = i + 1;
		k->slot[i].algorithm = 1;
		snprintf(k->slot[i].ref, sizeof(k->slot[i].ref), "local:/keys/%u", i);
		snprintf(k->slot[i].version, sizeof(k->slot[i].version), "%u", i + 10);
		k->slot[i].wrapped_len = 100;
		memset(k->slot[i].wrapped, (int)i, 100);
	}
	return k;
}

static void keyring_vector(const char *name)
{
	AUTO(vector_free) struct vector v;
	struct keyring *k = NULL;
	struct store_keys *keys = NULL, *want;
	vector_load(&v, name);
	ck_assert_int_eq(keyring_parse(vector_bytes(&v, "file"), vector_len(&v, "file"), &k), 0);
	ck_assert_int_eq(k->layout.suite, vector_suite(&v));
	ck_assert_uint_eq(k->wrap_type, vector_number(&v, "wrap_type"));
	ck_assert_uint_eq(k->name_mode, vector_number(&v, "name_mode"));
	ck_assert_uint_eq(k->policy, vector_number(&v, "policy"));
	ck_assert(k->sequence == 3 && k->next_number == 6 && k->n_slots == 3 && k->layout.block_len == 16384);
	ck_assert_mem_eq(k->store_id, vector_bytes(&v, "store_id"), ID_LEN);
	ck_assert_str_eq(k->slot[0].ref, "local:/keys/a");
	ck_assert_str_eq(k->slot[1].version, "");
	ck_assert(k->slot[1].number == 4 && k->slot[1].algorithm == 2 && k->slot[1].wrapped_len == 256);
	ck_assert(strlen(k->slot[2].ref) == KEYRING_REF_MAX && k->slot[2].wrapped_len == KEYRING_WRAPPED_MAX);
	ck_assert_int_eq(keyring_open(k, vector_bytes(&v, "secrets"), &keys), 0);
	want = vector_store(&v);
	ck_assert_int_eq(store_keys_add(want, 4294967295u, vector_bytes(&v, "store_key_4294967295")), 0);
	ck_assert_int_eq(store_keys_add(want, 1, vector_bytes(&v, "store_key_1")), 0);
	ck_assert_int_eq(store_keys_add(want, 7, vector_bytes(&v, "store_key_7")), 0);
	ck_assert_int_eq(store_keys_equal(keys, want), 1);
	store_keys_free(keys);
	store_keys_free(want);
	keyring_free(k);
	ck_assert_uint_eq(secret_in_use(), 0);
}

START_TEST(keyring_vectors)
{
	keyring_vector("keyring-all");
	keyring_vector("keyring-any");
	keyring_vector("suite2-keyring");
}
END_TEST

START_TEST(most_generations)
{
	AUTO(vector_free) struct vector v;
	struct keyring *k = NULL;
	struct store_keys *keys = NULL, *again = NULL;
	vector_load(&v, "keyring-1024-generations");
	ck_assert_int_eq(keyring_parse(vector_bytes(&v, "file"), vector_len(&v, "file"), &k), 0);
	ck_assert_int_eq(keyring_open(k, vector_bytes(&v, "secrets"), &keys), 0);
	ck_assert_uint_eq(store_keys_generation(keys), 1024);
	ck_assert_mem_eq(store_key_find(keys, 1024), vector_bytes(&v, "store_key_1024"), KEY_LEN);
	k->sequence++;
	ck_assert_int_eq(keyring_seal(k, vector_bytes(&v, "secrets"), keys), 0);
	ck_assert_int_eq(keyring_open(k, vector_bytes(&v, "secrets"), &again), 0);
	ck_assert_int_eq(store_keys_equal(keys, again), 1);
	store_keys_free(keys);
	store_keys_free(again);
	keyring_free(k);
}
END_TEST

START_TEST(refused)
{
	const char *const list[] = {"keyring-newer-readable",
				    "keyring-newer",
				    "keyring-unknown-incompat",
				    "keyring-journal",
				    "keyring-unknown-suite",
				    "keyring-unknown-compat",
				    "keyring-number-twice",
				    "keyring-bytes-behind-slots",
				    "keyring-reserved",
				    "keyring-other-store-id",
				    "keyring-generations-falling",
				    "keyring-no-store-key"};
	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		AUTO(vector_free) struct vector v;
		struct keyring *k = NULL;
		struct store_keys *keys = NULL;
		vector_load(&v, list[i]);
		int want = vector_result(&v, "result");
		ck_assert_int_eq(keyring_parse(vector_bytes(&v, "file"), vector_len(&v, "file"), &k), want);
		ck_assert(want == 0 || k == NULL);
		if (k)
			ck_assert_int_eq(keyring_open(k, vector_bytes(&v, "secrets"), &keys),
					 vector_result(&v, "opens"));
		if (k && strcmp(list[i], "keyring-unknown-compat") == 0)
			ck_assert((k->ro_compat & ~FEATURES_RO_COMPAT_KNOWN) == 1ull << 62 && k->compat == 1ull << 40);
		if (k && strcmp(list[i], "keyring-journal") == 0)
			ck_assert_uint_eq(k->ro_compat, FEATURE_RO_JOURNAL);
		store_keys_free(keys);
		keyring_free(k);
	}
}
END_TEST

/* Parse and open; 1 if both succeed. */
static int opens(const uint8_t *buf, size_t len, const uint8_t *secrets)
{
	struct keyring *k = NULL;
	struct store_keys *keys = NULL;
	int rc = keyring_parse(buf, len, &k);
	ck_assert(rc == 0 || rc == -EUCLEAN || rc == -ENOTSUP);
	ck_assert(rc == 0 || k == NULL);
	if (!rc) {
		rc = keyring_open(k, secrets, &keys);
		ck_assert(rc == 0 || rc == -EBADMSG);
	}
	store_keys_free(keys);
	keyring_free(k);
	return rc == 0;
}

START_TEST(every_byte_altered)
{
	static uint8_t secrets[KEYRING_SLOTS_MAX * KEY_LEN];
	struct store_keys *keys = NULL;
	secret_make(secrets);
	ck_assert_int_eq(keyring_new_keys(&keys), 0);
	struct keyring *k = keyring_make(keys, POLICY_ALL, 2);
	ck_assert_int_eq(keyring_seal(k, secrets, keys), 0);
	ck_assert(opens(k->bytes, k->len, secrets));
	uint8_t *copy = malloc(k->len);
	for (size_t i = 0; i < k->len; i++) {
		memcpy(copy, k->bytes, k->len);
		copy[i] ^= (uint8_t)(1u << (i % 8));
		ck_assert_msg(!opens(copy, k->len, secrets), "byte %zu", i);
	}
	memcpy(copy, k->bytes, k->len);
	for (size_t len = 0; len < k->len; len++)
		ck_assert(!opens(copy, len, secrets));
	free(copy);
	store_keys_free(keys);
	keyring_free(k);
	ck_assert_uint_eq(secret_in_use(), 0);
}
END_TEST

START_TEST(policies)
{
	static uint8_t secrets[KEYRING_SLOTS_MAX * KEY_LEN], wrong[sizeof(secrets)];
	struct store_keys *keys = NULL;
	secret_make(secrets);
	ck_assert_int_eq(keyring_new_keys(&keys), 0);
	for (uint32_t n = 1; n <= KEYRING_SLOTS_MAX; n += 5) {
		struct keyring *all = keyring_make(keys, POLICY_ALL, n), *any = keyring_make(keys, POLICY_ANY, n);
		ck_assert_int_eq(keyring_seal(all, secrets, keys), 0);
		ck_assert_int_eq(keyring_seal(any, secrets, keys), 0);
		/* Each secret counts with `all`, none but the first with `any`; so does their order. */
		for (uint32_t i = 0; i < n; i++) {
			memcpy(wrong, secrets, sizeof(wrong));
			wrong[i * KEY_LEN + 5] ^= 4;
			ck_assert(!opens(all->bytes, all->len, wrong));
			ck_assert_int_eq(opens(any->bytes, any->len, wrong), i != 0);
		}
		memcpy(wrong, secrets + KEY_LEN, KEY_LEN);
		memcpy(wrong + KEY_LEN, secrets, KEY_LEN);
		ck_assert(!opens(all->bytes, all->len, wrong));
		ck_assert(opens(all->bytes, all->len, secrets) && opens(any->bytes, any->len, secrets));
		keyring_free(all);
		keyring_free(any);
	}
	store_keys_free(keys);
}
END_TEST

/* A box that opens, of a root key that is not this store's id. */
START_TEST(another_root_key)
{
	uint8_t secrets[KEY_LEN] = {3};
	struct store_keys *keys = NULL, *other = NULL, *out = NULL;
	ck_assert_int_eq(keyring_new_keys(&keys), 0);
	ck_assert_int_eq(keyring_new_keys(&other), 0);
	ck_assert_int_eq(store_keys_equal(keys, other), 0);
	struct keyring *k = keyring_make(keys, POLICY_ANY, 1);
	ck_assert_int_eq(keyring_seal(k, secrets, other), -EINVAL);
	ck_assert_int_eq(keyring_open(k, secrets, &out), -EBADMSG); /* never sealed */
	ck_assert_int_eq(keyring_seal(k, secrets, keys), 0);
	ck_assert_int_eq(keyring_open(k, secrets, &out), 0);
	store_keys_free(out);
	store_keys_free(keys);
	store_keys_free(other);
	keyring_free(k);
}
END_TEST

static void field_zero(struct keyring *k, int what)
{
	switch (what) {
	case 0:
		k->sequence = 0;
		break;
	case 1:
		k->n_slots = 0;
		break;
	case 2:
		k->n_slots = KEYRING_SLOTS_MAX + 1;
		break;
	case 3:
		k->wrap_type = 0;
		break;
	case 4:
		k->wrap_type = WRAP_FILE;
		break; /* H says otherwise */
	case 5:
		k->name_mode = 3;
		break;
	case 6:
		k->policy = 0;
		break;
	case 7:
		k->layout.block_len = 5000;
		break;
	case 8:
		k->slot[1].number = 1;
		break;
	case 9:
		k->slot[1].number = k->next_number;
		break;
	case 10:
		k->slot[0].algorithm = 0;
		break;
	case 11:
		k->slot[0].ref[0] = '\0';
		break;
	case 12:
		k->slot[0].ref[2] = '\n';
		break;
	case 13:
		k->slot[0].wrapped_len = 0;
		break;
	case 14:
		k->slot[0].wrapped_len = KEYRING_WRAPPED_MAX + 1;
		break;
	case 15:
		k->incompat = 1;
		break;
	default:
		k->store_id[0] ^= 1;
	}
}

START_TEST(what_may_be_sealed)
{
	static uint8_t secrets[KEYRING_SLOTS_MAX * KEY_LEN];
	struct store_keys *keys = NULL, *none = NULL;
	uint8_t root[KEY_LEN] = {1};
	ck_assert_int_eq(keyring_new_keys(&keys), 0);
	for (int what = 0; what <= 16; what++) {
		struct keyring *k = keyring_make(keys, POLICY_ALL, 2);
		field_zero(k, what);
		ck_assert_msg(keyring_seal(k, secrets, keys) == -EINVAL, "case %d", what);
		ck_assert_ptr_null(k->bytes);
		keyring_free(k);
	}
	ck_assert_int_eq(store_keys_new(root, SUITE_2, &none), 0);
	struct keyring *k = keyring_make(none, POLICY_ALL, 2);
	ck_assert_int_eq(keyring_seal(k, secrets, none), -EINVAL); /* no store key */
	keyring_free(k);
	keyring_free(NULL);
	store_keys_free(keys);
	store_keys_free(none);
}
END_TEST

int main(void)
{
	const struct test_entry list[] = {
		{"vectors", keyring_vectors},
		{"most generations", most_generations},
		{"refused, or newer and readable", refused},
		{"every byte altered", every_byte_altered},
		{"policies", policies},
		{"another root key", another_root_key},
		{"what may be sealed", what_may_be_sealed},
	};
	return test_main("keyring", list, ARRAY_LEN(list));
}
