/* SPDX-License-Identifier: BSD-2-Clause */
/* The undo journal, its bytes: written and read again, every byte altered, every length cut, what may not be written. */
#include "tests/unit/vector.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/auto.h"
#include "crypto/journal.h"

#define PATH "AAAA/BBBB"
#define BYTES 300u

static struct journal_key *key_of(const struct store_keys *k, uint64_t session)
{
	struct journal_key *key;

	ck_assert_int_eq(journal_key_new(k, session, &key), 0);
	return key;
}

static struct journal_entry an_entry(void)
{
	return (struct journal_entry){
		.seq = 7,
		.oldest = 6,
		.place = 640,
		.file_id = "0123456789abcde",
		.ino = 42,
		.disk_size = 9999,
		.cut = 5000,
		.n_extents = 3,
		.extent = {{512, 100, JOURNAL_OLD}, {4636, 4124, JOURNAL_HOLE}, {8760, 200, JOURNAL_NEW}},
		.path_len = sizeof(PATH) - 1,
	};
}

static uint8_t *sealed(const struct journal_key *key, const struct journal_entry *e, size_t *len)
{
	*len = journal_entry_len(e);
	ck_assert_uint_gt(*len, 0);
	uint8_t *buf = malloc(*len);
	ck_assert_ptr_nonnull(buf);
	memset(buf, 0xee, *len);
	for (size_t i = 0; i < BYTES; i++)
		buf[journal_bytes_at(e) + i] = (uint8_t)i;
	ck_assert_int_eq(journal_entry_seal(key, e, PATH, buf), 0);
	return buf;
}

START_TEST(head_vector)
{
	AUTO(vector_free) struct vector v;
	struct journal_head h;
	uint8_t again[JOURNAL_HEAD_LEN];

	vector_load(&v, "journal-head");
	struct store_keys *k = vector_store(&v);
	struct journal_key *key = key_of(k, vector_number(&v, "session"));
	ck_assert_uint_eq(vector_len(&v, "head"), JOURNAL_HEAD_LEN);
	ck_assert_int_eq(journal_head_parse(key, vector_bytes(&v, "head"), JOURNAL_HEAD_LEN, &h), 0);
	ck_assert_uint_eq(h.session, vector_number(&v, "session"));
	ck_assert_uint_eq(h.home_born, vector_number(&v, "home_born"));
	ck_assert_uint_eq(h.home_ino, vector_number(&v, "home_ino"));
	ck_assert_uint_eq(h.ring_len, vector_number(&v, "ring_len"));
	ck_assert_int_eq(journal_head_write(key, &h, again), 0);
	ck_assert_mem_eq(again, vector_bytes(&v, "head"), JOURNAL_HEAD_LEN);
	journal_key_free(key);
	store_keys_free(k);
}
END_TEST

static void entry_vector(const char *name)
{
	AUTO(vector_free) struct vector v;
	struct journal_left got;

	vector_load(&v, name);
	struct store_keys *k = vector_store(&v);
	struct journal_key *key = key_of(k, vector_number(&v, "session"));
	const uint8_t *bytes = vector_bytes(&v, "entry");
	size_t len = vector_len(&v, "entry"), old = vector_len(&v, "old");
	ck_assert_int_eq(journal_entry_parse(key, bytes, len, vector_number(&v, "place"), &got), 0);
	ck_assert(got.e.seq == vector_number(&v, "seq") && got.e.oldest == vector_number(&v, "oldest"));
	ck_assert_mem_eq(got.e.file_id, vector_bytes(&v, "file_id"), ID_LEN);
	ck_assert(got.e.ino == vector_number(&v, "ino") && got.e.disk_size == vector_number(&v, "disk_size"));
	ck_assert(got.e.cut == vector_number(&v, "cut") && got.e.n_extents == vector_number(&v, "extents"));
	ck_assert_int_eq(got.e.ended, vector_number(&v, "ended") != 0);
	ck_assert_mem_eq(got.bytes, vector_bytes(&v, "old"), old);
	ck_assert_uint_eq(journal_entry_len(&got.e), len);
	AUTO(auto_free) uint8_t *again = calloc(1, len);
	memcpy(again + journal_bytes_at(&got.e), got.bytes, old);
	ck_assert_int_eq(journal_entry_seal(key, &got.e, got.path, again), 0);
	if (got.e.ended)
		memcpy(again + JOURNAL_MARK_OFF, journal_magic_ended, JOURNAL_MARK_LEN);
	ck_assert_mem_eq(again, bytes, len);
	journal_key_free(key);
	store_keys_free(k);
}

START_TEST(entry_vectors)
{
	entry_vector("journal-append");
	entry_vector("journal-cut");
	entry_vector("journal-hole");
	entry_vector("journal-ended");
}
END_TEST

START_TEST(head)
{
	struct store_keys *k = test_store(1), *stranger = test_store(2);
	struct journal_key *key = key_of(k, 5), *others[] = {key_of(k, 4), key_of(stranger, 5)};
	const struct journal_head h = {.session = 5, .home_born = 8, .home_ino = 9, .ring_len = 3 * JOURNAL_UNIT};
	struct journal_head got;
	uint8_t buf[JOURNAL_HEAD_LEN + 1] = {0};
	uint64_t session;

	ck_assert_int_eq(journal_head_write(key, &h, buf), 0);
	ck_assert_int_eq(journal_head_peek(buf, JOURNAL_HEAD_LEN, &session), 0);
	ck_assert_uint_eq(session, 5);
	ck_assert_int_eq(journal_head_parse(key, buf, JOURNAL_HEAD_LEN, &got), 0);
	ck_assert(got.session == 5 && got.home_born == 8 && got.home_ino == 9 && got.ring_len == h.ring_len);
	for (size_t i = 0; i < 128; i++) {
		buf[i] ^= (uint8_t)(1u << (i % 8));
		ck_assert_int_eq(journal_head_parse(key, buf, JOURNAL_HEAD_LEN, &got), -EBADMSG);
		buf[i] ^= (uint8_t)(1u << (i % 8));
	}
	for (size_t len = 0; len <= JOURNAL_HEAD_LEN + 1; len++)
		ck_assert_int_eq(journal_head_parse(key, buf, len, &got), len == JOURNAL_HEAD_LEN ? 0 : -EBADMSG);
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		ck_assert_int_eq(journal_head_parse(others[i], buf, JOURNAL_HEAD_LEN, &got), -EBADMSG);
		journal_key_free(others[i]);
	}
	const struct journal_head bad[] = {{.session = 0, .ring_len = JOURNAL_UNIT},
					   {.session = 1, .ring_len = 0},
					   {.session = 1, .ring_len = JOURNAL_UNIT + 1},
					   {.session = 1, .ring_len = UINT64_MAX / JOURNAL_UNIT * JOURNAL_UNIT}};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_int_eq(journal_head_write(key, &bad[i], buf), -EINVAL);
	journal_key_free(key);
	store_keys_free(k);
	store_keys_free(stranger);
}
END_TEST

START_TEST(entry)
{
	struct store_keys *k = test_store(1);
	struct journal_key *key = key_of(k, 5), *other = key_of(k, 6);
	const struct journal_entry e = an_entry();
	struct journal_left got;
	size_t len;
	uint8_t *buf = sealed(key, &e, &len);

	ck_assert_uint_eq(len % JOURNAL_ALIGN, 0);
	ck_assert_int_eq(journal_entry_parse(key, buf, len, e.place, &got), 0);
	ck_assert(!got.e.ended && got.e.seq == 7 && got.e.oldest == 6 && got.e.ino == 42 && got.e.disk_size == 9999 &&
		  got.e.cut == 5000);
	ck_assert_mem_eq(got.e.file_id, e.file_id, ID_LEN);
	ck_assert_uint_eq(got.e.n_extents, 3);
	for (unsigned i = 0; i < 3; i++)
		ck_assert(got.e.extent[i].off == e.extent[i].off && got.e.extent[i].len == e.extent[i].len &&
			  got.e.extent[i].kind == e.extent[i].kind);
	ck_assert(got.e.path_len == 9 && memcmp(got.path, PATH, 9) == 0);
	for (size_t i = 0; i < BYTES; i++)
		ck_assert_uint_eq(got.bytes[i], (uint8_t)i);
	/* the mark is nobody's secret; anything but DONE is in force */
	memcpy(buf + JOURNAL_MARK_OFF, journal_magic_ended, JOURNAL_MARK_LEN);
	ck_assert_int_eq(journal_entry_parse(key, buf, len, e.place, &got), 0);
	ck_assert(got.e.ended);
	buf[JOURNAL_MARK_OFF]++;
	ck_assert_int_eq(journal_entry_parse(key, buf, len, e.place, &got), 0);
	ck_assert(!got.e.ended);
	ck_assert_int_eq(journal_entry_parse(other, buf, len, e.place, &got), -EBADMSG);
	ck_assert_int_eq(journal_entry_parse(key, buf, len, e.place + JOURNAL_ALIGN, &got), -EBADMSG);
	free(buf);
	journal_key_free(key);
	journal_key_free(other);
	store_keys_free(k);
}
END_TEST

START_TEST(altered)
{
	struct store_keys *k = test_store(1);
	struct journal_key *key = key_of(k, 5);
	const struct journal_entry e = an_entry();
	const size_t maced = journal_bytes_at(&e) + BYTES + MAC_LEN;
	struct journal_left got;
	size_t len;
	uint8_t *buf = sealed(key, &e, &len);

	for (size_t i = 0; i < maced; i++) {
		if (i >= JOURNAL_MARK_OFF && i < JOURNAL_MARK_OFF + JOURNAL_MARK_LEN)
			continue;
		buf[i] ^= (uint8_t)(1u << (i % 8));
		ck_assert_int_eq(journal_entry_parse(key, buf, len, e.place, &got), i < 4 ? -ENOENT : -EBADMSG);
		buf[i] ^= (uint8_t)(1u << (i % 8));
	}
	for (size_t cut = 0; cut < len; cut++) { /* at the end of memory, for ASan */
		uint8_t *copy = malloc(cut ? cut : 1);
		ck_assert_ptr_nonnull(copy);
		memcpy(copy, buf, cut);
		ck_assert_int_ne(journal_entry_parse(key, copy, cut, e.place, &got), 0);
		free(copy);
	}
	free(buf);
	journal_key_free(key);
	store_keys_free(k);
}
END_TEST

START_TEST(refused)
{
	struct journal_entry bad[16];
	uint8_t buf[4096];
	struct store_keys *k = test_store(1);
	struct journal_key *key = key_of(k, 5);

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		bad[i] = an_entry();
	bad[0].seq = 0;
	bad[1].place = 63;
	bad[2].n_extents = JOURNAL_EXTENTS + 1;
	bad[3].path_len = JOURNAL_PATH_MAX + 1;
	bad[4].disk_size = UINT64_MAX;
	bad[5].extent[0].len = 0;
	bad[6].extent[0].off = 0;
	bad[7].extent[2].off = UINT64_MAX;
	bad[8].extent[2].off = INT64_MAX;
	bad[9].n_extents = 0;
	bad[9].cut = JOURNAL_NO_CUT;
	bad[10].cut = UINT64_MAX - 1;
	bad[11].extent[1].len = 0;
	bad[12].oldest = 0;
	bad[13].oldest = 8;
	bad[14].cut = JOURNAL_NO_CUT; /* and something new */
	bad[15].n_extents = 2;        /* a cut, and nothing new */
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		ck_assert_uint_eq(journal_entry_len(&bad[i]), 0);
		ck_assert_int_eq(journal_entry_seal(key, &bad[i], PATH, buf), -EINVAL);
	}
	journal_key_free(key);
	store_keys_free(k);
}
END_TEST

/* A MAC says who wrote it, which may be a faulty writer: what leads out of data/ is refused all the same. */
START_TEST(paths)
{
	static const char *const bad[] = {"/AAA", "AAA/", "AA//B", "../AB", "A/../", "A/./B", "./ABC", "AB/.."};
	struct store_keys *k = test_store(1);
	struct journal_key *key = key_of(k, 5);

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct journal_entry e = {.seq = 1,
					  .oldest = 1,
					  .cut = JOURNAL_NO_CUT,
					  .n_extents = 1,
					  .extent = {{600, 4, JOURNAL_HOLE}},
					  .path_len = (uint32_t)strlen(bad[i])};
		struct journal_left got;
		uint8_t buf[512];

		ck_assert_uint_le(journal_entry_len(&e), sizeof(buf));
		ck_assert_int_eq(journal_entry_seal(key, &e, bad[i], buf), 0);
		ck_assert_int_eq(journal_entry_parse(key, buf, sizeof(buf), 0, &got), -EBADMSG);
	}
	journal_key_free(key);
	store_keys_free(k);
}
END_TEST

int main(void)
{
	const struct test_entry list[] = {
		{"head_vector", head_vector},
		{"entry_vectors", entry_vectors},
		{"head", head},
		{"entry", entry},
		{"altered", altered},
		{"refused", refused},
		{"paths", paths},
	};
	return test_main("journal bytes", list, ARRAY_LEN(list));
}
