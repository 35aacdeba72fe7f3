/* SPDX-License-Identifier: BSD-2-Clause */
/* Special objects: vectors of each type and of refusals, every byte altered, types exchanged. */
#include "tests/unit/vector.h"

#include <errno.h>

#include "crypto/special.h"

static struct special s, out;

START_TEST(special_vectors)
{
	const char *const list[] = {
		"special-symlink",        "special-symlink-4095",
		"special-fifo",           "special-socket",
		"special-char",           "special-block",
		"special-refuse-type",    "special-refuse-empty-target",
		"special-refuse-nul",     "special-refuse-fifo-with-number",
		"suite2-special-symlink", "suite2-special-char",
	};
	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		AUTO(vector_free) struct vector v;
		vector_load(&v, list[i]);
		struct store_keys *k = vector_store(&v);
		enum object_type type = (enum object_type)(OBJECT_SYMLINK + (int)vector_number(&v, "kind") - 1);
		const uint8_t *record = vector_bytes(&v, "record");
		size_t len = vector_len(&v, "record");
		ck_assert_int_eq(special_open(k, type, record, len, &out), vector_result(&v, "result"));
		if (vector_result(&v, "result") == 0) {
			ck_assert_int_eq(out.type, type);
			ck_assert_uint_eq(out.major, vector_number(&v, "major"));
			ck_assert_uint_eq(out.minor, vector_number(&v, "minor"));
			ck_assert_mem_eq(out.object_id, vector_bytes(&v, "object_id"), ID_LEN);
			ck_assert_uint_eq(out.target_len, vector_len(&v, "target"));
			ck_assert_str_eq(out.target, (const char *)vector_bytes(&v, "target"));
		}
		store_keys_free(k);
	}
}
END_TEST

static void link_make(size_t len)
{
	memset(&s, 0, sizeof(s));
	s.type = OBJECT_SYMLINK;
	s.target_len = (uint16_t)len;
	memset(s.target, 't', len);
}

START_TEST(round_trip)
{
	static uint8_t record[SPECIAL_RECORD_MAX];
	struct store_keys *k = test_store(1);
	size_t len;
	for (size_t n = 1; n <= SPECIAL_TARGET_MAX; n = n < 20 ? n + 1 : n * 2 - 1) {
		link_make(n);
		ck_assert_int_eq(special_seal(k, &s, record, &len), 0);
		ck_assert_int_eq(special_open(k, OBJECT_SYMLINK, record, sizeof(record), &out), 0);
		ck_assert_str_eq(s.target, out.target);
		ck_assert_mem_eq(s.object_id, out.object_id, ID_LEN);
	}
	link_make(SPECIAL_TARGET_MAX);
	ck_assert_int_eq(special_seal(k, &s, record, &len), 0);
	ck_assert_uint_le(len, SPECIAL_RECORD_MAX);
	ck_assert_int_eq(special_open(k, OBJECT_SYMLINK, record, len, &out), 0);
	ck_assert_int_eq(special_open(k, OBJECT_SYMLINK, record, len - 1, &out), -EBADMSG);
	store_keys_free(k);
}
END_TEST

START_TEST(altered)
{
	static uint8_t record[SPECIAL_RECORD_MAX];
	struct store_keys *k = test_store(1), *stranger = test_store(2);
	size_t len;
	link_make(30);
	ck_assert_int_eq(special_seal(k, &s, record, &len), 0);
	for (size_t i = 0; i < len; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			record[i] ^= (uint8_t)(1u << bit);
			ck_assert_int_eq(special_open(k, OBJECT_SYMLINK, record, sizeof(record), &out), -EBADMSG);
			record[i] ^= (uint8_t)(1u << bit);
		}
	}
	for (size_t cut = 0; cut < len; cut++)
		ck_assert_int_eq(special_open(k, OBJECT_SYMLINK, record, cut, &out), -EBADMSG);
	ck_assert_int_eq(special_open(stranger, OBJECT_SYMLINK, record, len, &out), -EBADMSG);
	/* A file cut or grown to another type's size. */
	for (int type = OBJECT_FILE; type <= OBJECT_BLOCK; type++)
		ck_assert_int_eq(special_open(k, (enum object_type)type, record, len, &out),
				 type == OBJECT_SYMLINK ? 0 : -EBADMSG);
	store_keys_free(k);
	store_keys_free(stranger);
}
END_TEST

START_TEST(what_may_be_sealed)
{
	static uint8_t record[SPECIAL_RECORD_MAX];
	struct store_keys *k = test_store(1);
	size_t len;
	link_make(0);
	ck_assert_int_eq(special_seal(k, &s, record, &len), -EINVAL);
	link_make(5);
	s.target[2] = '\0';
	ck_assert_int_eq(special_seal(k, &s, record, &len), -EINVAL);
	link_make(5);
	s.target_len = SPECIAL_TARGET_MAX + 1;
	ck_assert_int_eq(special_seal(k, &s, record, &len), -EINVAL);
	link_make(5);
	s.type = OBJECT_FIFO;
	ck_assert_int_eq(special_seal(k, &s, record, &len), -EINVAL);
	memset(&s, 0, sizeof(s));
	for (int type = OBJECT_STUMP; type <= OBJECT_BLOCK + 1; type++) {
		s.type = (enum object_type)type;
		ck_assert_int_eq(special_seal(k, &s, record, &len),
				 type > OBJECT_SYMLINK && type <= OBJECT_BLOCK ? 0 : -EINVAL);
	}
	s.type = OBJECT_SOCKET;
	s.minor = 1;
	ck_assert_int_eq(special_seal(k, &s, record, &len), -EINVAL);
	store_keys_free(k);
}
END_TEST

/* A look without keys says what the head says, and never reads behind it. */
START_TEST(peeked)
{
	static uint8_t record[SPECIAL_RECORD_MAX];
	struct store_keys *k = test_store(1);
	struct special_head head;
	size_t len;

	link_make(7);
	ck_assert_int_eq(special_seal(k, &s, record, &len), 0);
	ck_assert_int_eq(special_peek(record, len, &head), 0);
	ck_assert_mem_eq(head.object_id, s.object_id, ID_LEN);
	ck_assert(head.record_len == len && head.target_len == 7 && head.possible);
	for (size_t n = 0; n < len; n++)
		ck_assert_int_eq(special_peek(record, n, &head), n < 28 ? -EUCLEAN : 0);
	memset(record + 24, 0xff, 4);
	ck_assert_int_eq(special_peek(record, len, &head), 0);
	ck_assert(head.record_len == 28 + 0xffffffffull + 28 && !head.possible);
	memset(record + 24, 0, 4);
	ck_assert_int_eq(special_peek(record, len, &head), 0);
	ck_assert(head.target_len == 0 && !head.possible);
	record[6] = '2';
	ck_assert_int_eq(special_peek(record, len, &head), -ENOTSUP);
	record[6] = '0';
	ck_assert_int_eq(special_peek(record, len, &head), -EUCLEAN);
	store_keys_free(k);
}
END_TEST

int main(void)
{
	const struct test_entry list[] = {
		{"vectors", special_vectors}, {"round trip", round_trip},
		{"altered", altered},         {"what may be sealed", what_may_be_sealed},
		{"peeked", peeked},
	};
	return test_main("special", list, ARRAY_LEN(list));
}
