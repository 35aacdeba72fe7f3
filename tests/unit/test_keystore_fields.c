/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fields of the keystore's files, each with the values that it may and may not have. The seal is made anew after each
 * change, so that it is the parser that decides, and a length is never believed beyond the bytes that there are.
 */
#include "kms/keystore/keystore_format.h"

#include <check.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/aead.h"
#include "crypto/secret.h"

#define CLEAR_LEN (136u + 2u * 24u) /* of a key file with two versions */
#define FILE_LEN (CLEAR_LEN + 2u * KEY_LEN + AEAD_OVERHEAD)
#define SECOND (136u + 24u) /* where the second version begins */

static const uint8_t master[KEY_LEN] = {1, 2, 3}, id[ID_LEN] = {9, 8, 7};
static const struct keystore_who who = {.master = master, .id = id, .name = "customer"};

static void setup(void)
{
	ck_assert_int_eq(secret_init(), 0);
}

/* A key of two versions, numbers 3 and 5, next number 7: gaps as there are none yet, but may be. */
static void key_make(struct keystore_key *key)
{
	memset(key, 0, sizeof(*key));
	memcpy(key->name, "customer", 9);
	key->type = KEYSTORE_AES256;
	key->state = KEYSTORE_DELETED;
	key->before = KEYSTORE_DISABLED;
	key->flags = KEYSTORE_PURGE_PROTECTED | KEYSTORE_IMPORTED;
	key->next_version = 7;
	key->created = 1000;
	key->changed = -2000; /* a clock before 1970 */
	key->deleted = 3000;
	key->retention_days = 30;
	key->n_versions = 2;
	for (uint32_t i = 0; i < 2; i++)
		key->version[i] = (struct keystore_version){.number = 3 + 2 * i,
							    .bits = 256,
							    .len = KEY_LEN,
							    .off = (size_t)i * KEY_LEN,
							    .created = 1000 + i};
	key->material_len = (size_t)2 * KEY_LEN;
	key->material = sodium_malloc(key->material_len);
	ck_assert_ptr_nonnull(key->material);
	for (size_t i = 0; i < key->material_len; i++)
		key->material[i] = (uint8_t)(i + 100);
}

static uint8_t *file_make(void)
{
	struct keystore_key key;
	uint8_t *bytes;
	size_t len;

	key_make(&key);
	ck_assert_int_eq(keystore_key_seal(&key, &who, &bytes, &len), 0);
	ck_assert_uint_eq(len, FILE_LEN);
	keystore_key_wipe(&key);
	return bytes;
}

static int parse(const uint8_t *bytes, size_t len)
{
	static struct keystore_key key;
	size_t clear = 0;

	return keystore_key_parse(bytes, len, &key, &clear);
}

static int open_as(const uint8_t *bytes, size_t len, const struct keystore_who *as)
{
	static struct keystore_key key;
	int r = keystore_key_open(bytes, len, as, &key);

	if (r == 0)
		ck_assert_uint_eq(key.material_len, (size_t)2 * KEY_LEN);
	else
		ck_assert_ptr_null(key.material); /* nothing to wipe, nothing left */
	if (r == 0)
		keystore_key_wipe(&key);
	return r;
}

/* Seal BYTES again, as one who has the master key would. */
static void reseal(uint8_t *bytes)
{
	uint8_t material[2 * KEY_LEN];
	struct aead a = {.key = master, .aad = bytes, .aad_len = CLEAR_LEN};

	memset(material, 5, sizeof(material));
	ck_assert_int_eq(aead_seal(&a, material, sizeof(material), bytes + CLEAR_LEN), 0);
}

static void number_put(uint8_t *at, unsigned width, uint64_t value)
{
	for (unsigned i = 0; i < width; i++)
		at[i] = (uint8_t)(value >> 8 * (width - 1 - i));
}

/* The whole key comes back, field by field. */
START_TEST(comes_back)
{
	struct keystore_key wanted, key;
	uint8_t *bytes = file_make();

	key_make(&wanted);
	ck_assert_int_eq(keystore_key_open(bytes, FILE_LEN, &who, &key), 0);
	ck_assert_str_eq(key.name, wanted.name);
	ck_assert_mem_eq(key.keystore_id, id, ID_LEN);
	ck_assert_int_eq(key.type, wanted.type);
	ck_assert_int_eq(key.state, wanted.state);
	ck_assert_int_eq(key.before, wanted.before);
	ck_assert_uint_eq(key.flags, wanted.flags);
	ck_assert_uint_eq(key.next_version, wanted.next_version);
	ck_assert_int_eq(key.created, wanted.created);
	ck_assert_int_eq(key.changed, wanted.changed);
	ck_assert_int_eq(key.deleted, wanted.deleted);
	ck_assert_uint_eq(key.retention_days, wanted.retention_days);
	ck_assert_uint_eq(key.n_versions, 2);
	for (size_t i = 0; i < 2; i++) {
		ck_assert_uint_eq(key.version[i].number, wanted.version[i].number);
		ck_assert_uint_eq(key.version[i].bits, 256);
		ck_assert_uint_eq(key.version[i].len, KEY_LEN);
		ck_assert_uint_eq(key.version[i].off, i * KEY_LEN);
		ck_assert_int_eq(key.version[i].created, wanted.version[i].created);
	}
	ck_assert_mem_eq(key.material, wanted.material, wanted.material_len);
	/* The material itself is not in the file. */
	ck_assert_ptr_null(memmem(bytes, FILE_LEN, wanted.material, 8));
	keystore_key_wipe(&key);
	ck_assert_ptr_null(key.material);
	ck_assert_uint_eq(key.material_len, 0);
	keystore_key_wipe(&wanted);
	free(bytes);
}
END_TEST

/* Each field of a key file: what is put into it, and what the parser says. */
static const struct {
	const char *field;
	size_t at;
	unsigned width;
	uint64_t value;
	int r;
} fields[] = {
	{"magic", 0, 1, 'b', -EUCLEAN},
	{"magic", 7, 1, 'S', -EUCLEAN}, /* the head's */
	{"format", 8, 2, 0, -ENOTSUP},
	{"format", 8, 2, 2, -EUCLEAN}, /* whose count would be in the place of the first version */
	{"format", 8, 2, 3, -ENOTSUP},
	{"format", 8, 2, 0xffff, -ENOTSUP},
	{"type", 10, 2, 0, -EUCLEAN},
	{"type", 10, 2, KEYSTORE_RSA, -EUCLEAN}, /* of 256 bits? */
	{"type", 10, 2, 3, -EUCLEAN},
	{"state", 12, 2, 0, -EUCLEAN},
	{"state", 12, 2, KEYSTORE_ENABLED, 0},
	{"state", 12, 2, KEYSTORE_DISABLED, 0},
	{"state", 12, 2, KEYSTORE_PURGED, -EUCLEAN}, /* with versions */
	{"state", 12, 2, KEYSTORE_PURGED + 1, -EUCLEAN},
	{"flags", 14, 2, 0, 0},
	{"flags", 14, 2, 4, -EUCLEAN},
	{"flags", 14, 2, 0x8001, -EUCLEAN},
	{"next version", 32, 4, 0, -EUCLEAN},
	{"next version", 32, 4, 5, -EUCLEAN}, /* exists already */
	{"next version", 32, 4, 6, 0},
	{"next version", 32, 4, UINT32_MAX, 0},
	{"versions", 36, 4, 0, -EUCLEAN}, /* though it is not purged */
	{"versions", 36, 4, 1, -EUCLEAN},
	{"versions", 36, 4, 3, -EUCLEAN},
	{"versions", 36, 4, KEYSTORE_VERSIONS_MAX + 1, -EUCLEAN},
	{"versions", 36, 4, UINT32_MAX, -EUCLEAN},
	{"versions", 36, 4, 0x0aaaaaab, -EUCLEAN}, /* times 24 is 8, in 32 bits */
	{"created", 40, 8, UINT64_MAX, 0},
	{"changed", 48, 8, 0, 0},
	{"deleted", 56, 8, INT64_MAX, 0},
	{"retention", 64, 4, KEYSTORE_RETENTION_MAX, 0},
	{"retention", 64, 4, KEYSTORE_RETENTION_MAX + 1, -EUCLEAN},
	{"before", 68, 4, 0, -EUCLEAN},
	{"before", 68, 4, KEYSTORE_ENABLED, 0},
	{"before", 68, 4, KEYSTORE_DELETED, -EUCLEAN}, /* nobody recovers into a deletion */
	{"before", 68, 4, 0x10001, -EUCLEAN},
	{"name", 72, 1, 0, -EUCLEAN},
	{"name", 72, 1, '.', -EUCLEAN},
	{"name", 72, 1, '/', -EUCLEAN},
	{"name", 79, 1, '\n', -EUCLEAN},
	{"name", 72 + 9, 1, 'x', -EUCLEAN}, /* behind its end */
	{"name", 135, 1, 'x', -EUCLEAN},
	{"first number", 136, 4, 0, -EUCLEAN},
	{"first number", 136, 4, 1, 0},
	{"first number", 136, 4, 5, -EUCLEAN}, /* as the second */
	{"second number", SECOND, 4, 3, -EUCLEAN},
	{"second number", SECOND, 4, 6, 0},
	{"second number", SECOND, 4, 7, -EUCLEAN},
	{"bits", 140, 2, 255, -EUCLEAN},
	{"bits", SECOND + 4, 2, 2048, -EUCLEAN},
	{"unused", 142, 2, 1, -EUCLEAN},
	{"length", 144, 4, 0, -EUCLEAN},
	{"length", 144, 4, 31, -EUCLEAN},
	{"length", 144, 4, 33, -EUCLEAN},
	{"length", SECOND + 8, 4, UINT32_MAX, -EUCLEAN},
	{"unused", 148, 4, 1, -EUCLEAN},
	{"unused", SECOND + 12, 4, 0x80000000, -EUCLEAN},
	{"version's date", 152, 8, UINT64_MAX, 0},
};

/* Clean or not, and when it is sealed well: what is malformed is -EBADMSG, what is of a later format is told. */
START_TEST(key_field)
{
	uint8_t *bytes = file_make();

	number_put(bytes + fields[_i].at, fields[_i].width, fields[_i].value);
	ck_assert_msg(parse(bytes, FILE_LEN) == fields[_i].r, "%s = %llx: %d", fields[_i].field,
		      (unsigned long long)fields[_i].value, parse(bytes, FILE_LEN));
	if (fields[_i].r == 0)
		ck_assert_int_eq(open_as(bytes, FILE_LEN, &who), -EBADMSG); /* well formed, not ours */
	reseal(bytes);
	ck_assert_int_eq(open_as(bytes, FILE_LEN, &who), fields[_i].r == -EUCLEAN ? -EBADMSG : fields[_i].r);
	free(bytes);
}
END_TEST

/* RSA has lengths and bits of its own. */
START_TEST(rsa_fields)
{
	static const struct {
		unsigned bits;
		int r;
	} bits[] = {{0, -EUCLEAN}, {256, -EUCLEAN},  {2047, -EUCLEAN}, {2048, 0},
		    {4096, 0},     {4097, -EUCLEAN}, {65535, -EUCLEAN}};
	uint8_t *bytes = file_make();

	number_put(bytes + 10, 2, KEYSTORE_RSA);
	for (size_t i = 0; i < ARRAY_LEN(bits); i++) {
		number_put(bytes + 140, 2, bits[i].bits);
		number_put(bytes + SECOND + 4, 2, 2048);
		ck_assert_int_eq(parse(bytes, FILE_LEN), bits[i].r);
		number_put(bytes + 140, 2, 2048);
		number_put(bytes + SECOND + 4, 2, bits[i].bits);
		ck_assert_int_eq(parse(bytes, FILE_LEN), bits[i].r);
	}
	/* Two lengths with the same sum are both well formed; another sum is not. */
	number_put(bytes + SECOND + 4, 2, 3072);
	number_put(bytes + 144, 4, 1);
	number_put(bytes + SECOND + 8, 4, 63);
	ck_assert_int_eq(parse(bytes, FILE_LEN), 0);
	number_put(bytes + SECOND + 8, 4, 64);
	ck_assert_int_eq(parse(bytes, FILE_LEN), -EUCLEAN);
	number_put(bytes + 144, 4, 0);
	ck_assert_int_eq(parse(bytes, FILE_LEN), -EUCLEAN);
	free(bytes);
}
END_TEST

/* Each length from nothing to too much, in memory of just that length: the sanitizers see a byte read too many. */
START_TEST(key_lengths)
{
	uint8_t *bytes = file_make();

	for (size_t len = 0; len <= FILE_LEN + 2; len++) {
		uint8_t *exact = malloc(len ? len : 1);
		ck_assert_ptr_nonnull(exact);
		memset(exact, 0, len);
		memcpy(exact, bytes, len < FILE_LEN ? len : FILE_LEN);
		ck_assert_msg(parse(exact, len) == (len == FILE_LEN ? 0 : -EUCLEAN), "%zu bytes", len);
		ck_assert_int_eq(open_as(exact, len, &who), len == FILE_LEN ? 0 : -EBADMSG);
		free(exact);
	}
	free(bytes);
	/* And a file longer than any: not even looked at. */
	bytes = calloc(1, KEYSTORE_FILE_MAX + 1);
	ck_assert_ptr_nonnull(bytes);
	uint8_t *model = file_make();
	memcpy(bytes, model, FILE_LEN);
	ck_assert_int_eq(parse(bytes, KEYSTORE_FILE_MAX + 1), -EUCLEAN);
	free(model);
	free(bytes);
}
END_TEST

/* Each bit of the file, one at a time: never authentic. */
START_TEST(key_bits)
{
	uint8_t *bytes = file_make();

	for (size_t i = 0; i < FILE_LEN * 8; i++) {
		bytes[i / 8] ^= (uint8_t)(1u << i % 8);
		int r = open_as(bytes, FILE_LEN, &who);
		ck_assert_msg(r == -EBADMSG || (r == -ENOTSUP && i / 8 >= 8 && i / 8 < 10), "bit %zu: %d", i, r);
		bytes[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	ck_assert_int_eq(open_as(bytes, FILE_LEN, &who), 0);
	free(bytes);
}
END_TEST

/* Authentic, but not what was asked for. */
START_TEST(another)
{
	static const uint8_t other_master[KEY_LEN] = {1, 2, 4}, other_id[ID_LEN] = {9, 8, 6};
	static const char *const names[] = {"custome", "customer2", "Customer", ""};
	uint8_t *bytes = file_make();
	struct keystore_who as = who;

	as.master = other_master;
	ck_assert_int_eq(open_as(bytes, FILE_LEN, &as), -EBADMSG);
	as = who;
	as.id = other_id;
	ck_assert_int_eq(open_as(bytes, FILE_LEN, &as), -EBADMSG);
	as = who;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		as.name = names[i];
		ck_assert_int_eq(open_as(bytes, FILE_LEN, &as), -EBADMSG);
	}
	ck_assert_int_eq(open_as(bytes, FILE_LEN, &who), 0);
	free(bytes);
}
END_TEST

/* A purged key has no versions and no material, and can be read. */
START_TEST(purged)
{
	struct keystore_key key, out;
	uint8_t *bytes;
	size_t len;

	key_make(&key);
	keystore_key_wipe(&key);
	key.n_versions = 0;
	key.state = KEYSTORE_PURGED;
	ck_assert_int_eq(keystore_key_seal(&key, &who, &bytes, &len), 0);
	ck_assert_uint_eq(len, 136 + AEAD_OVERHEAD);
	ck_assert_int_eq(keystore_key_open(bytes, len, &who, &out), 0);
	ck_assert_int_eq(out.state, KEYSTORE_PURGED);
	ck_assert_uint_eq(out.next_version, 7);
	ck_assert_uint_eq(out.material_len, 0);
	keystore_key_wipe(&out);
	/* In no other state is a key without versions. */
	for (unsigned state = KEYSTORE_ENABLED; state < KEYSTORE_PURGED; state++) {
		number_put(bytes + 12, 2, state);
		ck_assert_int_eq(parse(bytes, len), -EUCLEAN);
	}
	free(bytes);
}
END_TEST

/* What could not be read again is not written. */
START_TEST(too_large)
{
	struct keystore_key key;
	uint8_t *bytes = NULL;
	size_t len;

	key_make(&key);
	sodium_free(key.material);
	key.material_len = KEYSTORE_FILE_MAX - CLEAR_LEN - AEAD_OVERHEAD;
	key.material = sodium_malloc(key.material_len + 1);
	ck_assert_ptr_nonnull(key.material);
	ck_assert_int_eq(keystore_key_seal(&key, &who, &bytes, &len), 0);
	ck_assert_uint_eq(len, KEYSTORE_FILE_MAX);
	free(bytes);
	bytes = NULL;
	key.material_len++;
	ck_assert_int_eq(keystore_key_seal(&key, &who, &bytes, &len), -EFBIG);
	ck_assert_ptr_null(bytes);
	keystore_key_wipe(&key);
}
END_TEST

/* The head */

static void head_make(struct keystore_head *head, bool with_passphrase)
{
	*head = (struct keystore_head){.protection = with_passphrase ? KEYSTORE_PASSPHRASE : KEYSTORE_FILE_MODE,
				       .ops = with_passphrase ? 1 : 0,
				       .mem_kib = with_passphrase ? 8 : 0,
				       .id = {9, 8, 7},
				       .salt = {4, 5}};
	ck_assert_int_eq(keystore_head_seal(head, with_passphrase ? "horse" : "", master), 0);
}

static const struct {
	const char *field;
	size_t at;
	unsigned width;
	uint64_t value;
	int r;
} head_fields[] = {
	{"magic", 7, 1, 'F', -EUCLEAN}, /* a key file's */
	{"format", 8, 2, 2, -ENOTSUP},
	{"protection", 10, 2, 0, -EUCLEAN},
	{"protection", 10, 2, KEYSTORE_FILE_MODE, -EUCLEAN}, /* with Argon2's numbers */
	{"protection", 10, 2, 3, -EUCLEAN},
	{"ops", 12, 4, 0, -EUCLEAN},
	{"ops", 12, 4, 64, 0},
	{"ops", 12, 4, 65, -EUCLEAN},
	{"ops", 12, 4, UINT32_MAX, -EUCLEAN},
	{"memory", 16, 4, 0, -EUCLEAN},
	{"memory", 16, 4, 7, -EUCLEAN},
	{"memory", 16, 4, 4u << 20, 0},
	{"memory", 16, 4, (4u << 20) + 1, -EUCLEAN}, /* a planted file asks for no more than 4 GiB */
	{"memory", 16, 4, UINT32_MAX, -EUCLEAN},
	{"unused", 20, 4, 1, -EUCLEAN},
	{"unused", 20, 4, 0x01000000, -EUCLEAN},
	{"id", 24, 8, 0, 0},
	{"salt", 40, 8, UINT64_MAX, 0},
};

START_TEST(head_field)
{
	struct keystore_head head, parsed;

	head_make(&head, true);
	ck_assert_int_eq(keystore_head_parse(head.bytes, KEYSTORE_HEAD_LEN, &parsed), 0);
	number_put(head.bytes + head_fields[_i].at, head_fields[_i].width, head_fields[_i].value);
	ck_assert_msg(keystore_head_parse(head.bytes, KEYSTORE_HEAD_LEN, &parsed) == head_fields[_i].r, "%s = %llx",
		      head_fields[_i].field, (unsigned long long)head_fields[_i].value);
}
END_TEST

START_TEST(head_comes_back)
{
	struct keystore_head head, parsed;
	uint8_t out[KEY_LEN];

	head_make(&head, _i != 0);
	for (size_t len = 0; len <= KEYSTORE_HEAD_LEN + 2; len++) {
		uint8_t *exact = calloc(1, len ? len : 1);
		ck_assert_ptr_nonnull(exact);
		memcpy(exact, head.bytes, len < KEYSTORE_HEAD_LEN ? len : KEYSTORE_HEAD_LEN);
		ck_assert_int_eq(keystore_head_parse(exact, len, &parsed), len == KEYSTORE_HEAD_LEN ? 0 : -EUCLEAN);
		free(exact);
	}
	ck_assert_int_eq(keystore_head_parse(head.bytes, KEYSTORE_HEAD_LEN, &parsed), 0);
	ck_assert_mem_eq(parsed.id, head.id, ID_LEN);
	ck_assert_mem_eq(parsed.salt, head.salt, sizeof(head.salt));
	ck_assert_uint_eq(parsed.ops, head.ops);
	ck_assert_uint_eq(parsed.mem_kib, head.mem_kib);
	ck_assert_int_eq(keystore_head_open(&parsed, _i ? "horse" : "", out), 0);
	ck_assert_mem_eq(out, master, KEY_LEN);
	ck_assert_ptr_null(memmem(head.bytes, KEYSTORE_HEAD_LEN, master, 8));
}
END_TEST

/* The passphrase to the byte; none is needed where the mode alone protects. */
START_TEST(head_passphrases)
{
	static const char *const wrong[] = {"", "hors", "horse ", "Horse", "horse\n", "esroh"};
	struct keystore_head head;
	uint8_t out[KEY_LEN];

	head_make(&head, true);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		ck_assert_int_eq(keystore_head_open(&head, wrong[i], out), -EBADMSG);
	ck_assert_int_eq(keystore_head_open(&head, "horse", out), 0);
	head_make(&head, false);
	ck_assert_int_eq(keystore_head_open(&head, "horse", out), 0);
	/* Weaker or stronger than it was sealed with: not the same key. */
	head_make(&head, true);
	head.ops = 2;
	ck_assert_int_eq(keystore_head_open(&head, "horse", out), -EBADMSG);
	head.ops = 1;
	head.mem_kib = 16;
	ck_assert_int_eq(keystore_head_open(&head, "horse", out), -EBADMSG);
	head.mem_kib = 8;
	head.salt[15] ^= 1;
	ck_assert_int_eq(keystore_head_open(&head, "horse", out), -EBADMSG);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("keystore_fields");
	TCase *t = tcase_create("keystore_fields");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, comes_back);
	tcase_add_loop_test(t, key_field, 0, (int)ARRAY_LEN(fields));
	tcase_add_test(t, rsa_fields);
	tcase_add_test(t, key_lengths);
	tcase_add_test(t, key_bits);
	tcase_add_test(t, another);
	tcase_add_test(t, purged);
	tcase_add_test(t, too_large);
	tcase_add_loop_test(t, head_field, 0, (int)ARRAY_LEN(head_fields));
	tcase_add_loop_test(t, head_comes_back, 0, 2);
	tcase_add_test(t, head_passphrases);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
