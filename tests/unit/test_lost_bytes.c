/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of what was lost, its bytes: vectors, every byte altered, what may be written, another store's. */
#include "tests/unit/vector.h"

#include <errno.h>

#include "crypto/lost.h"

static struct lost_key *key_of(const struct store_keys *k)
{
	struct lost_key *key;

	ck_assert_int_eq(lost_key_new(k, &key), 0);
	return key;
}

START_TEST(head_vector)
{
	AUTO(vector_free) struct vector v;
	struct lost_head h;
	uint8_t bytes[LOST_HEAD_LEN], again[LOST_HEAD_LEN];

	vector_load(&v, "lost-head");
	struct store_keys *k = vector_store(&v);
	struct lost_key *key = key_of(k);
	ck_assert_uint_eq(vector_len(&v, "head"), LOST_HEAD_LEN);
	memcpy(bytes, vector_bytes(&v, "head"), sizeof(bytes));
	ck_assert_int_eq(lost_head_parse(key, bytes, sizeof(bytes), &h), 0);
	ck_assert_uint_eq(h.session, vector_number(&v, "session"));
	ck_assert_uint_eq(h.ino, vector_number(&v, "ino"));
	ck_assert(h.altered && !h.overflowed);
	ck_assert_int_eq(lost_head_write(key, &h, again), 0);
	ck_assert_mem_eq(again, bytes, LOST_HEAD_LEN);
	ck_assert_int_eq(lost_head_parse(key, bytes, sizeof(bytes) - 1, &h), -EBADMSG);
	for (size_t i = 0; i < sizeof(bytes) * 8; i++) {
		bytes[i / 8] ^= (uint8_t)(1u << (i % 8));
		int r = lost_head_parse(key, bytes, sizeof(bytes), &h);
		ck_assert(r == -EBADMSG || (i / 8 == 6 && r == -ENOTSUP));
		bytes[i / 8] ^= (uint8_t)(1u << (i % 8));
	}
	bytes[6] = '2';
	ck_assert_int_eq(lost_head_parse(key, bytes, sizeof(bytes), &h), -ENOTSUP);
	h = (struct lost_head){.ino = 7};
	ck_assert_int_eq(lost_head_write(key, &h, again), -EINVAL);
	h = (struct lost_head){.session = UINT64_MAX, .overflowed = true};
	ck_assert_int_eq(lost_head_write(key, &h, again), 0);
	ck_assert_int_eq(lost_head_parse(key, again, sizeof(again), &h), 0);
	ck_assert(h.session == UINT64_MAX && h.ino == 0 && h.overflowed && !h.altered);
	lost_key_free(key);
	store_keys_free(k);
}
END_TEST

static void entry_vector(const char *name)
{
	AUTO(vector_free) struct vector v;
	struct lost_entry e;
	uint8_t bytes[LOST_ENTRY_LEN], again[LOST_ENTRY_LEN];

	vector_load(&v, name);
	struct store_keys *k = vector_store(&v);
	struct lost_key *key = key_of(k);
	ck_assert_uint_eq(vector_len(&v, "entry"), LOST_ENTRY_LEN);
	memcpy(bytes, vector_bytes(&v, "entry"), sizeof(bytes));
	ck_assert_int_eq(lost_entry_parse(key, bytes, &e), 0);
	ck_assert_mem_eq(e.file_id, vector_bytes(&v, "file_id"), ID_LEN);
	ck_assert_uint_eq(e.ino, vector_number(&v, "ino"));
	ck_assert_uint_eq(e.start, vector_number(&v, "start"));
	ck_assert_uint_eq(e.end, vector_number(&v, "end"));
	ck_assert_int_eq(lost_entry_write(key, &e, again), 0);
	ck_assert_mem_eq(again, bytes, LOST_ENTRY_LEN);
	for (size_t i = 0; i < sizeof(bytes) * 8; i++) {
		bytes[i / 8] ^= (uint8_t)(1u << (i % 8));
		ck_assert_int_eq(lost_entry_parse(key, bytes, &e), -EBADMSG);
		bytes[i / 8] ^= (uint8_t)(1u << (i % 8));
	}
	lost_key_free(key);
	store_keys_free(k);
}

START_TEST(entry_vectors)
{
	entry_vector("lost-entry");
	entry_vector("lost-whole");
}
END_TEST

START_TEST(what_may_be_written)
{
	AUTO(vector_free) struct vector v;
	const struct lost_entry empty = {.start = 5, .end = 5}, turned = {.start = 5, .end = 4}, good = {.end = 1};
	static const uint8_t zeros[LOST_ENTRY_LEN];
	uint8_t bytes[LOST_ENTRY_LEN];
	struct store_keys *other;
	struct lost_entry e;

	vector_load(&v, "lost-entry");
	struct store_keys *k = vector_store(&v);
	struct lost_key *key = key_of(k);
	ck_assert_int_eq(lost_entry_write(key, &empty, bytes), -EINVAL);
	ck_assert_int_eq(lost_entry_write(key, &turned, bytes), -EINVAL);
	ck_assert_int_eq(lost_entry_parse(key, zeros, &e), -ENOENT);
	ck_assert_int_eq(lost_entry_write(key, &good, bytes), 0);
	ck_assert_int_eq(lost_entry_parse(key, bytes, &e), 0);
	/* another store's */
	static const uint8_t root[KEY_LEN] = {1};
	ck_assert_int_eq(store_keys_new(root, SUITE_2, &other), 0);
	struct lost_key *foreign = key_of(other);
	ck_assert_int_eq(lost_entry_parse(foreign, bytes, &e), -EBADMSG);
	lost_key_free(foreign);
	lost_key_free(key);
	lost_key_free(NULL);
	store_keys_free(other);
	store_keys_free(k);
}
END_TEST

int main(void)
{
	const struct test_entry list[] = {
		{"head_vector", head_vector},
		{"entry_vectors", entry_vectors},
		{"what_may_be_written", what_may_be_written},
	};
	return test_main("lost_bytes", list, ARRAY_LEN(list));
}
