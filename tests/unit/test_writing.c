/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of files being written, its bytes: vectors, every byte altered, what may be written; places. */
#include "tests/unit/vector.h"

#include <errno.h>

#include "crypto/kdf.h"
#include "crypto/writing.h"

static struct writing_key *key_of(const struct store_keys *k, uint64_t session)
{
	struct writing_key *key;

	ck_assert_int_eq(writing_key_new(k, session, &key), 0);
	return key;
}

START_TEST(head_vector)
{
	AUTO(vector_free) struct vector v;
	struct writing_head h;
	uint8_t again[WRITING_HEAD_LEN];
	uint64_t session;

	vector_load(&v, "writing-head");
	struct store_keys *k = vector_store(&v);
	struct writing_key *key = key_of(k, vector_number(&v, "session"));
	const uint8_t *head = vector_bytes(&v, "head");
	ck_assert_int_eq(writing_head_peek(head, vector_len(&v, "head"), &session), 0);
	ck_assert_uint_eq(session, 9);
	ck_assert_int_eq(writing_head_parse(key, head, vector_len(&v, "head"), &h), 0);
	ck_assert_mem_eq(h.boot_id, vector_bytes(&v, "boot_id"), ID_LEN);
	ck_assert_uint_eq(h.ino, vector_number(&v, "ino"));
	ck_assert_uint_eq(h.begun, vector_number(&v, "begun"));
	ck_assert_uint_eq(h.from, vector_number(&v, "span_from"));
	ck_assert_uint_eq(h.to, vector_number(&v, "span_to"));
	ck_assert(!h.all && h.lost);
	ck_assert_int_eq(writing_head_write(key, &h, again), 0);
	ck_assert_mem_eq(again, head, WRITING_HEAD_LEN);
	writing_key_free(key);
	store_keys_free(k);
}
END_TEST

static void entry_vector(const char *name)
{
	AUTO(vector_free) struct vector v;
	struct writing_entry e;
	uint8_t again[WRITING_ENTRY_LEN];

	vector_load(&v, name);
	struct store_keys *k = vector_store(&v);
	struct writing_key *key = key_of(k, vector_number(&v, "session"));
	ck_assert_uint_eq(vector_len(&v, "entry"), WRITING_ENTRY_LEN);
	ck_assert_int_eq(writing_entry_parse(key, vector_bytes(&v, "entry"), &e), 0);
	ck_assert_uint_eq(e.kind, vector_number(&v, "kind"));
	ck_assert_mem_eq(e.file_id, vector_bytes(&v, "file_id"), ID_LEN);
	ck_assert_uint_eq(e.ino, vector_number(&v, "ino"));
	ck_assert_uint_eq(e.time, vector_number(&v, "time"));
	ck_assert_uint_eq(e.value, vector_number(&v, "value"));
	if (e.kind == WRITING_WRITTEN) {
		char disk[256];
		memset(disk, 'A', 255);
		disk[255] = '\0';
		ck_assert_uint_eq(writing_place(66, disk), e.value);
		ck_assert_uint_ne(writing_place(67, disk), e.value);
		disk[254] = 'B';
		ck_assert_uint_ne(writing_place(66, disk), e.value);
	}
	ck_assert_int_eq(writing_entry_write(key, &e, again), 0);
	ck_assert_mem_eq(again, vector_bytes(&v, "entry"), WRITING_ENTRY_LEN);
	writing_key_free(key);
	store_keys_free(k);
}

START_TEST(entry_vectors)
{
	entry_vector("writing-entry");
	entry_vector("writing-mended");
	entry_vector("writing-back");
}
END_TEST

START_TEST(altered)
{
	struct store_keys *k = test_store(1), *stranger = test_store(2);
	struct writing_key *key = key_of(k, 5), *others[] = {key_of(k, 4), key_of(stranger, 5)};
	uint8_t head[WRITING_HEAD_LEN + 1] = {0}, entry[WRITING_ENTRY_LEN], empty[WRITING_ENTRY_LEN] = {0};
	const struct writing_head h = {.session = 5, .ino = 7, .begun = 100, .from = 1, .to = 2, .all = true};
	const struct writing_entry e = {.kind = WRITING_WRITTEN, .file_id = "id", .ino = 3, .time = 9, .value = 1};
	struct writing_head head_out;
	struct writing_entry entry_out;

	ck_assert_int_eq(writing_head_write(key, &h, head), 0);
	ck_assert_int_eq(writing_entry_write(key, &e, entry), 0);
	for (size_t i = 0; i < WRITING_HEAD_LEN; i++) {
		head[i] ^= (uint8_t)(1u << (i % 8));
		ck_assert_int_eq(writing_head_parse(key, head, WRITING_HEAD_LEN, &head_out), -EBADMSG);
		head[i] ^= (uint8_t)(1u << (i % 8));
	}
	for (size_t len = 0; len <= WRITING_HEAD_LEN + 1; len++) {
		uint64_t session;
		ck_assert_int_eq(writing_head_parse(key, head, len, &head_out), len == WRITING_HEAD_LEN ? 0 : -EBADMSG);
		ck_assert_int_eq(writing_head_peek(head, len, &session), len == WRITING_HEAD_LEN ? 0 : -EUCLEAN);
	}
	for (size_t i = 0; i < WRITING_ENTRY_LEN; i++) {
		entry[i] ^= (uint8_t)(1u << (i % 8));
		ck_assert_int_eq(writing_entry_parse(key, entry, &entry_out), -EBADMSG);
		entry[i] ^= (uint8_t)(1u << (i % 8));
	}
	ck_assert_int_eq(writing_entry_parse(key, empty, &entry_out), -ENOENT);
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		ck_assert_int_eq(writing_head_parse(others[i], head, WRITING_HEAD_LEN, &head_out), -EBADMSG);
		ck_assert_int_eq(writing_entry_parse(others[i], entry, &entry_out), -EBADMSG);
		writing_key_free(others[i]);
	}
	writing_key_free(key);
	store_keys_free(k);
	store_keys_free(stranger);
}
END_TEST

/* Well MACed, and still none. */
START_TEST(impossible)
{
	AUTO(vector_free) struct vector v;
	vector_load(&v, "writing-head");
	struct store_keys *k = vector_store(&v);
	struct writing_key *key = key_of(k, 9);
	uint8_t list_key[KEY_LEN], prk[KEY_LEN], mac[MAC_LEN], head[WRITING_HEAD_LEN], entry[WRITING_ENTRY_LEN];
	const struct kdf_info info = {
		.purpose = "writing", .store_id = store_keys_id(k), .number = 9, .has_number = true};
	const size_t head_at[] = {15, 40, 56, 64, 67, 71, 72, 95}, entry_at[] = {0, 3, 4, 7, 32};
	struct writing_head h;
	struct writing_entry e = {.kind = WRITING_WRITTEN, .time = 1};

	ck_assert_int_eq(kdf_extract(NULL, vector_bytes(&v, "root"), KEY_LEN, prk), 0);
	ck_assert_int_eq(kdf_expand(prk, &info, list_key, KEY_LEN), 0);
	for (size_t i = 0; i < ARRAY_LEN(head_at); i++) {
		memcpy(head, vector_bytes(&v, "head"), sizeof(head));
		head[head_at[i]] ^= head_at[i] == 15 ? 9 : 0x84;
		ck_assert_int_eq(hmac_sha256(list_key, &(struct hmac_part){head, 96}, 1, head + 96), 0);
		ck_assert_msg(writing_head_parse(key, head, sizeof(head), &h) == -EBADMSG, "%zu", head_at[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(entry_at); i++) {
		ck_assert_int_eq(writing_entry_write(key, &e, entry), 0);
		entry[entry_at[i]] ^= 0x84;
		ck_assert_int_eq(hmac_sha256(list_key, &(struct hmac_part){entry, 48}, 1, mac), 0);
		memcpy(entry + 48, mac, 16);
		ck_assert_msg(writing_entry_parse(key, entry, &e) == -EBADMSG, "%zu", entry_at[i]);
	}
	ck_assert_int_eq(writing_head_write(key, &(struct writing_head){.session = 0}, head), -EINVAL);
	ck_assert_int_eq(writing_head_write(key, &(struct writing_head){.session = 1, .from = 2, .to = 1}, head),
			 -EINVAL);
	ck_assert_int_eq(writing_entry_write(key, &(struct writing_entry){.time = 1}, entry), -EINVAL);
	writing_key_free(key);
	store_keys_free(k);
}
END_TEST

int main(void)
{
	const struct test_entry list[] = {
		{"head_vector", head_vector},
		{"entry_vectors", entry_vectors},
		{"altered", altered},
		{"impossible", impossible},
	};
	return test_main("writing", list, ARRAY_LEN(list));
}
