/* SPDX-License-Identifier: BSD-2-Clause */
/* The session record: vectors, every byte altered, what may be written. */
#include "tests/unit/vector.h"

#include <errno.h>

#include "crypto/session.h"

static void session_vector(const char *name)
{
	AUTO(vector_free) struct vector v;
	struct session s;
	uint8_t again[SESSION_LEN];
	vector_load(&v, name);
	struct store_keys *k = vector_store(&v);
	ck_assert_int_eq(session_parse(k, vector_bytes(&v, "file"), vector_len(&v, "file"), &s), 0);
	ck_assert_uint_eq(s.number, vector_number(&v, "number"));
	ck_assert_uint_eq(s.state, vector_number(&v, "state"));
	ck_assert_uint_eq(s.dirty_since, vector_number(&v, "dirty_since"));
	ck_assert_int_eq(session_write(k, &s, again), 0);
	ck_assert_mem_eq(again, vector_bytes(&v, "file"), SESSION_LEN);
	store_keys_free(k);
}

START_TEST(session_vectors)
{
	session_vector("session-open");
	session_vector("session-clean");
}
END_TEST

START_TEST(altered)
{
	struct store_keys *k = test_store(1), *stranger = test_store(2);
	uint8_t buf[SESSION_LEN + 1];
	struct session s = {.number = 5, .state = SESSION_OPEN, .dirty_since = 2}, out;
	ck_assert_int_eq(session_write(k, &s, buf), 0);
	for (size_t i = 0; i < SESSION_LEN; i++) {
		buf[i] ^= (uint8_t)(1u << (i % 8));
		ck_assert_int_eq(session_parse(k, buf, SESSION_LEN, &out), -EBADMSG);
		buf[i] ^= (uint8_t)(1u << (i % 8));
	}
	for (size_t len = 0; len <= SESSION_LEN + 1; len++)
		ck_assert_int_eq(session_parse(k, buf, len, &out), len == SESSION_LEN ? 0 : -EBADMSG);
	ck_assert_int_eq(session_parse(stranger, buf, SESSION_LEN, &out), -EBADMSG);
	store_keys_free(k);
	store_keys_free(stranger);
}
END_TEST

/* Well MACed, and still no session: a parser does not trust its own key alone. */
START_TEST(impossible)
{
	struct store_keys *k = test_store(1);
	const struct {
		size_t off;
		uint8_t byte;
	} row[] = {{15, 0}, {19, 0}, {19, 3}, {16, 1}, {23, 1}, {31, 6}};
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		uint8_t buf[SESSION_LEN];
		struct session s = {.number = 5, .state = SESSION_OPEN, .dirty_since = 2}, out;
		ck_assert_int_eq(session_write(k, &s, buf), 0);
		buf[row[i].off] = row[i].byte;
		ck_assert_int_eq(store_mac(k, MAC_SESSION, buf, 32, buf + 32), 0);
		ck_assert_int_eq(session_parse(k, buf, SESSION_LEN, &out), -EBADMSG);
	}
	uint8_t buf[SESSION_LEN];
	ck_assert_int_eq(session_write(k, &(struct session){0, SESSION_OPEN, 0}, buf), -EINVAL);
	ck_assert_int_eq(session_write(k, &(struct session){1, 0, 0}, buf), -EINVAL);
	ck_assert_int_eq(session_write(k, &(struct session){1, SESSION_CLEAN, 2}, buf), -EINVAL);
	store_keys_free(k);
}
END_TEST

/* A look without keys says what the record says, true or not. */
START_TEST(peeked)
{
	struct store_keys *k = test_store(1);
	uint8_t buf[SESSION_LEN + 1] = {0};
	struct session s = {.number = 5, .state = SESSION_OPEN, .dirty_since = 2}, out;

	ck_assert_int_eq(session_write(k, &s, buf), 0);
	for (size_t len = 0; len <= SESSION_LEN + 1; len++)
		ck_assert_int_eq(session_peek(buf, len, &out), len == SESSION_LEN ? 0 : -EUCLEAN);
	ck_assert(out.number == 5 && out.state == SESSION_OPEN && out.dirty_since == 2);
	buf[19] = 7;
	buf[SESSION_LEN - 1] ^= 1;
	ck_assert_int_eq(session_peek(buf, SESSION_LEN, &out), 0);
	ck_assert_int_eq((int)out.state, 7);
	buf[6] = '2';
	ck_assert_int_eq(session_peek(buf, SESSION_LEN, &out), -ENOTSUP);
	buf[7] = 'X';
	ck_assert_int_eq(session_peek(buf, SESSION_LEN, &out), -EUCLEAN);
	store_keys_free(k);
}
END_TEST

static void mark_vector(const char *name)
{
	AUTO(vector_free) struct vector v;
	struct session_mark m;
	uint8_t buf[SESSION_MARK_LEN + 1] = {0};

	vector_load(&v, name);
	ck_assert_int_eq(session_mark_parse(vector_bytes(&v, "file"), vector_len(&v, "file"), &m), 0);
	ck_assert_uint_eq(m.number, vector_number(&v, "number"));
	ck_assert_uint_eq(m.state, vector_number(&v, "state"));
	ck_assert_uint_eq(m.listed, vector_number(&v, "listed"));
	ck_assert_mem_eq(m.store_id, vector_bytes(&v, "store_id"), ID_LEN);
	session_mark_write(&m, buf);
	ck_assert_mem_eq(buf, vector_bytes(&v, "file"), SESSION_MARK_LEN);
	for (size_t len = 0; len <= SESSION_MARK_LEN + 1; len++)
		ck_assert_int_eq(session_mark_parse(buf, len, &m), len == SESSION_MARK_LEN ? 0 : -EUCLEAN);
	for (size_t i = 0; i < SESSION_MARK_LEN; i++) {
		buf[i] ^= 0x80;
		ck_assert_int_lt(session_mark_parse(buf, SESSION_MARK_LEN, &m), 0);
		buf[i] ^= 0x80;
	}
	const struct session_mark bad[] = {
		{.number = 0, .state = 1}, {.number = 1, .state = 0}, {.number = 1, .state = 4}};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		session_mark_write(&bad[i], buf);
		ck_assert_int_eq(session_mark_parse(buf, SESSION_MARK_LEN, &m), -EUCLEAN);
	}
}

START_TEST(mark)
{
	mark_vector("session-mark");
	mark_vector("session-mark-list");
}
END_TEST

/* Must there be a list of files being written? Only where this host saw that very session begin, with one. */
START_TEST(listed)
{
	const struct session s = {5, SESSION_OPEN, 5};
	struct session_mark m = {.number = 5, .state = SESSION_MARK_OPEN, .listed = true};
	struct session_verdict v;

	session_judge(&s, &m, false, &v);
	ck_assert(v.unclean && v.listed);
	session_judge(NULL, &m, false, &v);
	ck_assert(v.unclean && v.listed);
	session_judge(&s, &m, true, &v);
	ck_assert(v.unclean && !v.listed);
	session_judge(&s, NULL, false, &v);
	ck_assert(v.unclean && !v.listed);
	m.number = 4;
	session_judge(&s, &m, false, &v);
	ck_assert(v.unclean && !v.listed);
	m = (struct session_mark){.number = 5, .state = SESSION_MARK_OPEN};
	session_judge(&s, &m, false, &v);
	ck_assert(v.unclean && !v.listed);
}
END_TEST

/* Which claim of a crash is believed: all that a record and this host's mark can say. Number 0: there is none. */
START_TEST(judged)
{
	enum { O = SESSION_OPEN, C = SESSION_CLEAN, D = SESSION_MARK_DOUBTED };
	const struct {
		uint64_t number;
		int state;
		uint64_t marked;
		int mark;
		bool accept, unclean, stale, older;
		uint64_t next;
	} row[] = {
		{0, 0, 0, 0, 0, 1, 0, 0, 1},                              /* nothing known at all */
		{5, O, 0, 0, 0, 1, 0, 0, 6}, {5, C, 0, 0, 0, 0, 0, 0, 6}, /* a host that never saw it */
		{5, O, 5, O, 0, 1, 0, 0, 6}, {5, C, 5, O, 0, 0, 0, 0, 6}, /* this host's own session */
		{5, O, 5, C, 0, 0, 1, 0, 6}, {5, C, 5, C, 0, 0, 0, 0, 6}, /* put back after its end */
		{5, O, 5, D, 0, 0, 1, 0, 6}, {5, O, 5, D, 1, 1, 0, 0, 6}, /* never accepted; accepted now */
		{4, O, 5, O, 0, 0, 1, 0, 6}, {4, O, 5, C, 0, 0, 1, 0, 6}, /* older */
		{4, C, 5, O, 0, 0, 0, 1, 6}, {4, C, 5, C, 0, 0, 0, 1, 6},
		{4, O, 5, C, 1, 1, 0, 0, 6}, {4, C, 5, C, 1, 0, 0, 1, 6},
		{6, O, 5, C, 0, 1, 0, 0, 7}, {6, O, 5, D, 0, 1, 0, 0, 7}, /* newer: another host was there */
		{0, 0, 5, O, 0, 1, 0, 0, 6}, {0, 0, 5, C, 0, 0, 1, 0, 6}, /* unreadable */
		{0, 0, 5, D, 0, 0, 1, 0, 6}, {0, 0, 5, C, 1, 1, 0, 0, 6},
	};
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		const struct session s = {row[i].number, (enum session_state)row[i].state, row[i].state == O ? 2 : 0};
		const struct session_mark m = {.number = row[i].marked, .state = (enum session_mark_state)row[i].mark};
		struct session_verdict v;
		session_judge(s.number ? &s : NULL, m.number ? &m : NULL, row[i].accept, &v);
		ck_assert_msg(v.unclean == row[i].unclean && v.stale == row[i].stale && v.older == row[i].older &&
				      v.next == row[i].next,
			      "row %zu: unclean %d stale %d older %d next %d", i, v.unclean, v.stale, v.older,
			      (int)v.next);
		ck_assert_uint_eq(v.dirty_since, row[i].state == O ? 2 : v.next);
	}
}
END_TEST

int main(void)
{
	const struct test_entry list[] = {
		{"vectors", session_vectors}, {"altered", altered}, {"impossible", impossible},
		{"peeked", peeked},           {"mark", mark},       {"judged", judged},
		{"listed", listed},
	};
	return test_main("session", list, ARRAY_LEN(list));
}
