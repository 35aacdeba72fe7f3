/* SPDX-License-Identifier: BSD-2-Clause */
/* The header: vectors, every byte altered, re-wraps and torn slots, newer formats. */
#include "tests/unit/vector.h"

#include <errno.h>

#include "crypto/header.h"

#define SLOT_STORE 160u

static struct store_keys *store;
static struct file_keys *file;
static struct header h; /* large: not on the stack */

static void keys_make(void)
{
	store = test_store(1);
	file = test_file(store, 2);
}

static void keys_drop(void)
{
	file_keys_free(file);
	store_keys_free(store);
	ck_assert_uint_eq(secret_in_use(), 0);
}

static void wrap_make(struct header_wrap *w, uint64_t sequence)
{
	memset(w, 0, sizeof(*w));
	w->sequence = sequence;
	w->number = store_keys_generation(store);
	w->algorithm = 1;
	w->wrapped_len = DEK_WRAP_LEN;
	ck_assert_int_eq(dek_wrap(store, file, w->wrapped), 0);
}

static void header_make(uint8_t buf[HEADER_LEN_STORE])
{
	static struct header_wrap w;
	wrap_make(&w, 1);
	ck_assert_int_eq(header_write(&w, store, file, buf, HEADER_LEN_STORE), 0);
}

START_TEST(store_vector)
{
	AUTO(vector_free) struct vector v;
	vector_load(&v, "header-store");
	store = vector_store(&v);
	file = vector_file(&v, store);
	const uint8_t *buf = vector_bytes(&v, "header");
	ck_assert_int_eq(header_parse(buf, vector_len(&v, "header"), &h), 0);
	ck_assert(h.slots == 1 && h.suite == 1 && h.wrap[0].sequence == 1 && h.wrap[0].number == 1);
	ck_assert_mem_eq(h.file_id, vector_bytes(&v, "file_id"), ID_LEN);
	ck_assert_int_eq(header_check(buf, HEADER_LEN_STORE, 0, store, file), 0);
	struct file_keys *out = NULL;
	ck_assert_int_eq(store_keys_add(store, 1, vector_bytes(&v, "store_key_1")), 0);
	ck_assert_int_eq(dek_unwrap(store, h.wrap[0].number, h.file_id, h.wrap[0].wrapped, &out), 0);
	ck_assert(!header_slot_blank(buf, HEADER_LEN_STORE, 0) && header_slot_blank(buf, HEADER_LEN_STORE, 1));
	ck_assert(!header_bound(buf, HEADER_LEN_STORE));
	/* Written again from its parts: the same bytes. */
	uint8_t again[HEADER_LEN_STORE];
	ck_assert_int_eq(header_write(&h.wrap[0], store, out, again, sizeof(again)), 0);
	ck_assert_mem_eq(again, buf, sizeof(again));
	again[HEADER_LEN_STORE - 128] = 1;
	ck_assert(header_bound(again, sizeof(again)) && header_slot_blank(again, sizeof(again), 1));
	again[HEADER_LEN_STORE - 129] = 1;
	ck_assert(!header_slot_blank(again, sizeof(again), 1));
	file_keys_free(out);
	keys_drop();
}
END_TEST

/* A header says its store's suite, and another one is refused, MAC or not. */
START_TEST(suites)
{
	AUTO(vector_free) struct vector v;
	uint8_t again[HEADER_LEN_STORE];
	vector_load(&v, "suite2-header-store");
	store = vector_store(&v);
	file = vector_file(&v, store);
	const uint8_t *buf = vector_bytes(&v, "header");
	ck_assert_int_eq(header_parse(buf, vector_len(&v, "header"), &h), 0);
	ck_assert(h.suite == 2 && h.wrap[0].number == 7);
	ck_assert_int_eq(header_check(buf, HEADER_LEN_STORE, 0, store, file), 0);
	ck_assert_int_eq(header_write(&h.wrap[0], store, file, again, sizeof(again)), 0);
	ck_assert_mem_eq(again, buf, sizeof(again));
	struct store_keys *older = NULL;
	ck_assert_int_eq(store_keys_new(vector_bytes(&v, "root"), SUITE_1, &older), 0);
	ck_assert_int_eq(header_check(buf, HEADER_LEN_STORE, 0, older, file), -EBADMSG);
	store_keys_free(older);
	keys_drop();
}
END_TEST

START_TEST(rewrapped_vector)
{
	AUTO(vector_free) struct vector v;
	vector_load(&v, "header-store-rewrapped");
	store = vector_store(&v);
	file = vector_file(&v, store);
	const uint8_t *buf = vector_bytes(&v, "header");
	ck_assert_int_eq(header_parse(buf, HEADER_LEN_STORE, &h), 0);
	ck_assert_uint_eq(h.slots, 3);
	ck_assert_int_eq(header_newest(&h, -1), 1);
	ck_assert_int_eq(header_newest(&h, 1), 0);
	ck_assert_uint_eq(h.wrap[1].number, 7);
	ck_assert_int_eq(header_check(buf, HEADER_LEN_STORE, 0, store, file), 0);
	ck_assert_int_eq(header_check(buf, HEADER_LEN_STORE, 1, store, file), 0);
	keys_drop();
}
END_TEST

START_TEST(file_vector)
{
	AUTO(vector_free) struct vector v;
	vector_load(&v, "header-file");
	store = vector_store(&v);
	file = vector_file(&v, store);
	const uint8_t *buf = vector_bytes(&v, "header");
	ck_assert_int_eq(header_parse(buf, HEADER_LEN_FILE, &h), 0);
	ck_assert(h.slots == 1 && h.wrap[0].sequence == UINT64_MAX && h.wrap[0].number == 9 &&
		  h.wrap[0].algorithm == 3);
	ck_assert_uint_eq(strlen(h.wrap[0].version), HEADER_VERSION_MAX);
	ck_assert_uint_eq(h.wrap[0].wrapped_len, HEADER_WRAPPED_MAX);
	ck_assert_mem_eq(h.wrap[0].wrapped, vector_bytes(&v, "wrapped"), HEADER_WRAPPED_MAX);
	ck_assert_int_eq(header_check(buf, HEADER_LEN_FILE, 0, store, file), 0);
	uint8_t again[HEADER_LEN_FILE];
	ck_assert_int_eq(header_write(&h.wrap[0], store, file, again, sizeof(again)), 0);
	ck_assert_mem_eq(again, buf, sizeof(again));
	keys_drop();
}
END_TEST

/* Whether a header that lies on disk is accepted, by the steps a reader takes. */
static int accepted(const uint8_t *buf)
{
	if (header_parse(buf, HEADER_LEN_STORE, &h) != 0)
		return 0;
	for (int i = header_newest(&h, -1), tries = 0; i >= 0 && tries < 2; i = header_newest(&h, i), tries++) {
		struct file_keys *out = NULL;
		int rc = dek_unwrap(store, h.wrap[i].number, h.file_id, h.wrap[i].wrapped, &out);
		if (!rc)
			rc = header_check(buf, HEADER_LEN_STORE, i, store, out);
		file_keys_free(out);
		if (!rc)
			return 1;
	}
	return 0;
}

/* With one slot every byte counts but those of the other slot, if it stays no slot, and of the binding area. */
START_TEST(every_byte_altered)
{
	uint8_t buf[HEADER_LEN_STORE];
	keys_make();
	header_make(buf);
	ck_assert(accepted(buf));
	for (size_t i = 0; i < sizeof(buf); i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			buf[i] ^= (uint8_t)(1u << bit);
			ck_assert_msg(accepted(buf) == (i >= 64 + SLOT_STORE), "byte %zu bit %u", i, bit);
			buf[i] ^= (uint8_t)(1u << bit);
		}
	}
	keys_drop();
}
END_TEST

/* A re-wrap leaves the valid slot alone; torn at any byte, one of the two still opens. */
START_TEST(rewrap_torn)
{
	static struct header_wrap w;
	uint8_t before[HEADER_LEN_STORE], after[HEADER_LEN_STORE], torn[HEADER_LEN_STORE], key[KEY_LEN] = {8};
	size_t off = 0, len = 0;
	keys_make();
	header_make(before);
	for (uint64_t sequence = 2; sequence < 5; sequence++) {
		memcpy(after, before, sizeof(after));
		key[0]++;
		ck_assert_int_eq(store_keys_add(store, (uint32_t)sequence, key), 0);
		wrap_make(&w, sequence);
		ck_assert_int_eq(header_rewrap(after, sizeof(after), &w, store, file, &off, &len), 0);
		ck_assert_uint_eq(len, SLOT_STORE);
		ck_assert_uint_eq(off, 64 + (sequence % 2 ? 0 : SLOT_STORE));
		for (size_t i = 0; i < sizeof(after); i++)
			if (i < off || i >= off + len)
				ck_assert_uint_eq(before[i], after[i]);
		for (size_t cut = 0; cut <= len; cut++) {
			memcpy(torn, before, sizeof(torn));
			memcpy(torn + off, after + off, cut);
			ck_assert(accepted(torn));
		}
		ck_assert(accepted(after));
		ck_assert_uint_eq(h.wrap[header_newest(&h, -1)].sequence, sequence);
		memcpy(before, after, sizeof(before));
	}
	keys_drop();
}
END_TEST

/* A forged slot with a high sequence is what a re-wrap overwrites, not the one that opens. */
START_TEST(rewrap_keeps_the_authentic_slot)
{
	static struct header_wrap w;
	uint8_t buf[HEADER_LEN_STORE];
	size_t off, len;
	keys_make();
	header_make(buf);
	memcpy(buf + 64 + SLOT_STORE, buf + 64, SLOT_STORE);
	be64_put(buf + 64 + SLOT_STORE, UINT64_MAX);
	ck_assert(accepted(buf));
	wrap_make(&w, 2);
	ck_assert_int_eq(header_rewrap(buf, sizeof(buf), &w, store, file, &off, &len), 0);
	ck_assert_uint_eq(off, 64 + SLOT_STORE);
	ck_assert(accepted(buf));
	/* No authentic one at all, a sequence that does not rise, another file's keys. */
	ck_assert_int_eq(header_rewrap(buf, sizeof(buf), &w, store, file, &off, &len), -EINVAL);
	struct file_keys *other = test_file(store, 5);
	ck_assert_int_eq(header_rewrap(buf, sizeof(buf), &w, store, other, &off, &len), -EINVAL);
	file_keys_free(other);
	buf[64 + SLOT_STORE - 1] ^= 1;
	buf[64 + 2 * SLOT_STORE - 1] ^= 1;
	wrap_make(&w, 9);
	ck_assert_int_eq(header_rewrap(buf, sizeof(buf), &w, store, file, &off, &len), -EBADMSG);
	keys_drop();
}
END_TEST

START_TEST(malformed)
{
	uint8_t good[HEADER_LEN_STORE], buf[HEADER_LEN_FILE] = {0};
	keys_make();
	header_make(good);
	const size_t lens[] = {0, 1, 64, 511, 513, 4095};
	for (size_t i = 0; i < ARRAY_LEN(lens); i++)
		ck_assert_int_eq(header_parse(buf, lens[i], &h), -EUCLEAN);
	const struct {
		size_t off;
		uint8_t byte;
		int rc;
	} row[] = {
		{0, 'X', -EUCLEAN},      {6, '2', -ENOTSUP},        {6, '9', -ENOTSUP},
		{6, '0', -EUCLEAN},      {6, 'x', -EUCLEAN},        {7, 'I', -EUCLEAN},
		{25, 3, -ENOTSUP},       {24, 1, -ENOTSUP},         {25, 0, -EUCLEAN},
		{26, 1, -EUCLEAN},       {63, 1, -EUCLEAN},         {64 + 7, 0, -EUCLEAN}, /* sequence 0 */
		{64 + 11, 0, -EUCLEAN},  {64 + 13, 2, -EUCLEAN},    {64 + 15, 1, -EUCLEAN},
		{64 + 17, 99, -EUCLEAN}, {64 + 16, 0xff, -EUCLEAN}, {64 + 14, 0xff, -EUCLEAN},
		{64 + 20, 1, -EUCLEAN},  {64 + 125, 1, -EUCLEAN},
	};
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		memcpy(buf, good, sizeof(good));
		buf[row[i].off] = row[i].byte;
		ck_assert_msg(header_parse(buf, HEADER_LEN_STORE, &h) == row[i].rc, "row %zu", i);
	}
	memset(buf, 0, sizeof(buf));
	ck_assert_int_eq(header_parse(buf, HEADER_LEN_STORE, &h), -EUCLEAN);
	keys_drop();
}
END_TEST

START_TEST(what_may_be_written)
{
	static struct header_wrap w;
	uint8_t buf[HEADER_LEN_FILE];
	keys_make();
	wrap_make(&w, 1);
	ck_assert_int_eq(header_write(&w, store, file, buf, 600), -EINVAL);
	w.wrapped_len = 99;
	ck_assert_int_eq(header_write(&w, store, file, buf, HEADER_LEN_STORE), -EINVAL);
	ck_assert_int_eq(header_write(&w, store, file, buf, HEADER_LEN_FILE), 0);
	w.wrapped_len = HEADER_WRAPPED_MAX + 1;
	ck_assert_int_eq(header_write(&w, store, file, buf, HEADER_LEN_FILE), -EINVAL);
	wrap_make(&w, 0);
	ck_assert_int_eq(header_write(&w, store, file, buf, HEADER_LEN_STORE), -EINVAL);
	wrap_make(&w, 1);
	struct store_keys *stranger = test_store(4);
	ck_assert_int_eq(header_write(&w, stranger, file, buf, HEADER_LEN_STORE), -EINVAL);
	store_keys_free(stranger);
	keys_drop();
}
END_TEST

int main(void)
{
	const struct test_entry list[] = {
		{"vector, store", store_vector},
		{"suites", suites},
		{"vector, re-wrapped", rewrapped_vector},
		{"vector, file", file_vector},
		{"every byte altered", every_byte_altered},
		{"re-wrap torn", rewrap_torn},
		{"re-wrap keeps the authentic slot", rewrap_keeps_the_authentic_slot},
		{"malformed", malformed},
		{"what may be written", what_may_be_written},
	};
	return test_main("header", list, ARRAY_LEN(list));
}
