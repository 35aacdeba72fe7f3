/* SPDX-License-Identifier: BSD-2-Clause */
/* Extended attributes: vectors, all lengths, every byte altered, moved to another name or object. */
#include "tests/unit/vector.h"

#include <errno.h>

#include "crypto/xattr.h"

static void xattr_vector(const char *name)
{
	AUTO(vector_free) struct vector v;
	char disk[XATTR_DISK_NAME_MAX + 1], plain[XATTR_DISK_NAME_MAX + 1];
	uint8_t value[4000];
	vector_load(&v, name);
	struct store_keys *k = vector_store(&v);
	const uint8_t *id = vector_bytes(&v, "object_id");
	const char *want = (const char *)vector_bytes(&v, "plain_name");
	size_t len = vector_len(&v, "cipher");
	ck_assert_int_eq(xattr_name_encode(k, id, want, disk), 0);
	ck_assert_str_eq(disk, (const char *)vector_bytes(&v, "disk_name"));
	ck_assert_int_eq(xattr_name_decode(k, id, disk, plain), 0);
	ck_assert_str_eq(plain, want);
	ck_assert_int_eq(xattr_open(k, id, want, vector_bytes(&v, "cipher"), len, value), 0);
	ck_assert_uint_eq(len - XATTR_OVERHEAD, vector_len(&v, "value"));
	ck_assert_int_eq(memcmp(value, vector_bytes(&v, "value"), vector_len(&v, "value")), 0);
	store_keys_free(k);
}

START_TEST(xattr_vectors)
{
	xattr_vector("xattr");
	xattr_vector("xattr-empty");
	xattr_vector("xattr-longest");
	xattr_vector("suite2-xattr");
	xattr_vector("suite2-xattr-empty");
	xattr_vector("suite2-xattr-longest");
	AUTO(vector_free) struct vector v;
	char plain[XATTR_DISK_NAME_MAX + 1];
	vector_load(&v, "xattr-refuse-nul");
	struct store_keys *k = vector_store(&v);
	const char *disk = (const char *)vector_bytes(&v, "disk_name");
	ck_assert_int_eq(xattr_name_decode(k, vector_bytes(&v, "object_id"), disk, plain), -EBADMSG);
	store_keys_free(k);
}
END_TEST

/* Authentic, but shorter than a nonce. */
START_TEST(value_too_short)
{
	AUTO(vector_free) struct vector v;
	uint8_t value[100];
	vector_load(&v, "suite2-xattr-refuse-short");
	struct store_keys *k = vector_store(&v);
	ck_assert_int_eq(xattr_open(k, vector_bytes(&v, "object_id"), (const char *)vector_bytes(&v, "plain_name"),
				    vector_bytes(&v, "cipher"), vector_len(&v, "cipher"), value),
			 -EBADMSG);
	store_keys_free(k);
}
END_TEST

START_TEST(names)
{
	struct store_keys *k = test_store(1);
	uint8_t id[ID_LEN] = {1}, other[ID_LEN] = {2};
	char plain[XATTR_PLAIN_NAME_MAX + 2] = "", disk[XATTR_DISK_NAME_MAX + 1], back[XATTR_DISK_NAME_MAX + 1];
	ck_assert_int_eq(xattr_name_encode(k, id, "", disk), -ERANGE);
	for (size_t n = 1; n <= XATTR_PLAIN_NAME_MAX + 1; n++) {
		plain[n - 1] = 'n';
		plain[n] = '\0';
		if (n > XATTR_PLAIN_NAME_MAX) {
			ck_assert_int_eq(xattr_name_encode(k, id, plain, disk), -ERANGE);
			break;
		}
		ck_assert_int_eq(xattr_name_encode(k, id, plain, disk), 0);
		ck_assert_uint_le(strlen(disk), XATTR_DISK_NAME_MAX);
		ck_assert_int_eq(xattr_name_decode(k, id, disk, back), 0);
		ck_assert_str_eq(plain, back);
		ck_assert_int_eq(xattr_name_decode(k, other, disk, back), -EBADMSG);
	}
	ck_assert_int_eq(xattr_name_encode(k, id, "user.x", disk), 0);
	for (size_t i = 0; disk[i]; i++) {
		char was = disk[i];
		for (int c = 1; c < 256; c++) {
			disk[i] = (char)c;
			ck_assert_int_eq(xattr_name_decode(k, id, disk, back), (char)c == was ? 0 : -EBADMSG);
		}
		disk[i] = was;
	}
	const char *const alien[] = {"",
				     "user.",
				     "user.comment",
				     "security.capability",
				     "user.AAAAAAAAAAAAAAAAAAAAAA",
				     "system.posix_acl_access"};
	for (size_t i = 0; i < ARRAY_LEN(alien); i++)
		ck_assert_int_eq(xattr_name_decode(k, id, alien[i], back), -EBADMSG);
	char huge[2000];
	memset(huge, 'A', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	ck_assert_int_eq(xattr_name_decode(k, id, huge, back), -EBADMSG);
	memcpy(huge, "user.", 5);
	ck_assert_int_eq(xattr_name_decode(k, id, huge, back), -EBADMSG);
	store_keys_free(k);
}
END_TEST

START_TEST(values)
{
	struct store_keys *k = test_store(1), *stranger = test_store(2);
	uint8_t id[ID_LEN] = {1}, other[ID_LEN] = {2}, cipher[100 + XATTR_OVERHEAD], back[100], plain[100];
	memset(plain, 'v', sizeof(plain));
	for (size_t n = 0; n <= sizeof(plain); n += 25) {
		size_t len = n + XATTR_OVERHEAD;
		ck_assert_int_eq(xattr_seal(k, id, "user.a", plain, n, cipher), 0);
		ck_assert_int_eq(xattr_open(k, id, "user.a", cipher, len, back), 0);
		ck_assert_int_eq(memcmp(plain, back, n), 0);
		ck_assert_int_eq(xattr_open(k, id, "user.b", cipher, len, back), -EBADMSG);
		ck_assert_int_eq(xattr_open(k, id, "user.", cipher, len, back), -EBADMSG);
		ck_assert_int_eq(xattr_open(k, id, "", cipher, len, back), -EBADMSG);
		ck_assert_int_eq(xattr_open(k, other, "user.a", cipher, len, back), -EBADMSG);
		ck_assert_int_eq(xattr_open(stranger, id, "user.a", cipher, len, back), -EBADMSG);
		for (size_t i = 0; i < len; i++) {
			cipher[i] ^= (uint8_t)(1u << (i % 8));
			ck_assert_int_eq(xattr_open(k, id, "user.a", cipher, len, back), -EBADMSG);
			cipher[i] ^= (uint8_t)(1u << (i % 8));
			ck_assert_int_eq(xattr_open(k, id, "user.a", cipher, i, back), -EBADMSG);
		}
	}
	ck_assert_int_eq(xattr_seal(k, id, "", plain, 1, cipher), -ERANGE);
	store_keys_free(k);
	store_keys_free(stranger);
}
END_TEST

int main(void)
{
	const struct test_entry list[] = {
		{"vectors", xattr_vectors},
		{"names", names},
		{"value too short", value_too_short},
		{"values", values},
	};
	return test_main("xattr", list, ARRAY_LEN(list));
}
