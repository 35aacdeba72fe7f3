/* SPDX-License-Identifier: BSD-2-Clause */
/* The audit log's lines: vectors, every byte altered, the one-way chain, texts of any bytes, the end record. */
#include "tests/unit/vector.h"

#include <errno.h>

#include "crypto/audit.h"

static struct audit_chain *chain(const struct store_keys *k, uint64_t session)
{
	struct audit_key *key;
	struct audit_chain *c;

	ck_assert_int_eq(audit_key_new(k, &key), 0);
	ck_assert_int_eq(audit_chain_new(key, session, &c), 0);
	audit_key_free(key);
	return c;
}

static struct audit_chain *chain_at(const struct store_keys *k, uint64_t session, uint64_t line)
{
	struct audit_chain *c = chain(k, session);

	while (audit_chain_line(c) < line)
		ck_assert_int_eq(audit_chain_skip(c), 0);
	return c;
}

static void line_vector(const char *name, const struct audit_seal *what, struct audit_text *t)
{
	AUTO(vector_free) struct vector v;
	struct audit_line l;
	char again[AUDIT_LINE_MAX];
	uint8_t prev[MAC_LEN];
	size_t len;

	vector_load(&v, name);
	struct store_keys *k = vector_store(&v);
	const char *text = (const char *)vector_bytes(&v, "line");
	ck_assert_int_eq(audit_line_parse(text, vector_len(&v, "line") - 1, &l), 0);
	ck_assert_uint_eq(l.session, vector_number(&v, "session"));
	ck_assert_uint_eq(l.line, vector_number(&v, "line_no"));
	ck_assert_mem_eq(l.prev, vector_bytes(&v, "prev"), MAC_LEN);
	ck_assert_mem_eq(l.mac, vector_bytes(&v, "mac"), MAC_LEN);
	ck_assert_int_eq(l.found, l.line == 1 ? what->found : 0);
	ck_assert_uint_eq(l.torn, what->torn);
	struct audit_chain *c = chain_at(k, l.session, l.line);
	ck_assert_int_eq(audit_chain_check(c, text, &l), 0);
	ck_assert_uint_eq(audit_chain_line(c), l.line + 1);
	audit_chain_free(c);
	c = chain_at(k, l.session, l.line);
	memcpy(prev, l.prev, MAC_LEN);
	ck_assert_int_eq(audit_chain_seal(c, &(struct audit_seal){t, what->found, what->torn}, prev, again, &len), 0);
	ck_assert_uint_eq(len, vector_len(&v, "line"));
	ck_assert_mem_eq(again, text, len);
	ck_assert_mem_eq(prev, l.mac, MAC_LEN);
	audit_chain_free(c);
	store_keys_free(k);
}

START_TEST(vectors)
{
	struct audit_text t;

	audit_text_begin(&t, 1795533972123, "mount");
	audit_text_u64(&t, "uid", 0);
	line_vector("audit-first", &(struct audit_seal){.found = AUDIT_NEW}, &t);
	audit_text_begin(&t, 1835481599999, "state");
	audit_text_str(&t, "reason", "a \"quoted\" \a caf\xc3\xa9 \xff");
	audit_text_u64(&t, "n", UINT64_MAX);
	audit_text_i64(&t, "s", -5);
	line_vector("audit-second", &(struct audit_seal){0}, &t);
	audit_text_begin(&t, 0, "mount");
	line_vector("audit-torn", &(struct audit_seal){.found = AUDIT_TORN, .torn = 77}, &t);
}
END_TEST

START_TEST(refused)
{
	static const char *const name[] = {"newer",       "leading-zero",       "overflow", "line-zero",
					   "space",       "upper-case-mac",     "control",  "no-found",
					   "found-other", "torn-without-bytes", "no-mac"};
	for (size_t i = 0; i < ARRAY_LEN(name); i++) {
		AUTO(vector_free) struct vector v;
		struct audit_line l;
		char file[64];
		snprintf(file, sizeof(file), "audit-refuse-%s", name[i]);
		vector_load(&v, file);
		ck_assert_int_eq(
			audit_line_parse((const char *)vector_bytes(&v, "line"), vector_len(&v, "line") - 1, &l),
			vector_result(&v, "result"));
	}
}
END_TEST

/* Each byte of a line changed: it does not parse, or its MAC is wrong, or its place is. */
START_TEST(altered)
{
	struct store_keys *k = test_store(1), *stranger = test_store(2);
	struct audit_text t;
	struct audit_line l;
	char line[AUDIT_LINE_MAX];
	uint8_t prev[MAC_LEN] = {0};
	size_t len;
	struct audit_chain *c = chain_at(k, 3, 2);

	audit_text_begin(&t, 1795533972123, "state");
	audit_text_str(&t, "reason", "the key is disabled");
	ck_assert_int_eq(audit_chain_seal(c, &(struct audit_seal){.text = &t}, prev, line, &len), 0);
	audit_chain_free(c);
	for (size_t i = 0; i < len - 1; i++) {
		for (int bit = 0; bit < 8; bit++) {
			line[i] ^= (char)(1 << bit);
			c = chain_at(k, 3, 2);
			if (audit_line_parse(line, len - 1, &l) == 0)
				ck_assert_int_eq(audit_chain_check(c, line, &l), -EBADMSG);
			audit_chain_free(c);
			line[i] ^= (char)(1 << bit);
		}
	}
	for (size_t n = 0; n < len - 1; n++)
		ck_assert_int_ne(audit_line_parse(line, n, &l), 0);
	ck_assert_int_eq(audit_line_parse(line, len - 1, &l), 0);
	const struct {
		struct audit_chain *c;
		int result;
	} row[] = {{chain_at(k, 3, 2), 0},
		   {chain_at(k, 3, 1), -EBADMSG},
		   {chain_at(k, 3, 3), -EBADMSG},
		   {chain_at(k, 4, 2), -EBADMSG},
		   {chain_at(stranger, 3, 2), -EBADMSG}};
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		ck_assert_int_eq(audit_chain_check(row[i].c, line, &l), row[i].result);
		audit_chain_free(row[i].c);
	}
	store_keys_free(k);
	store_keys_free(stranger);
}
END_TEST

/* Nothing is left in secret memory, and the key that is left is of no line before. */
START_TEST(one_way)
{
	struct store_keys *k = test_store(1);
	size_t before = secret_in_use();
	struct audit_chain *c = chain_at(k, 1, 1000);
	struct audit_text t;
	char line[AUDIT_LINE_MAX];
	uint8_t prev[MAC_LEN] = {0};
	size_t len;

	ck_assert_uint_eq(secret_in_use(), before + 1);
	audit_text_begin(&t, 0, "x");
	ck_assert_int_eq(audit_chain_seal(c, &(struct audit_seal){.text = &t}, prev, line, &len), 0);
	ck_assert_uint_eq(audit_chain_line(c), 1001);
	audit_chain_free(c);
	ck_assert_uint_eq(secret_in_use(), before);
	store_keys_free(k);
}
END_TEST

/* Whatever goes in, the line parses; what does not fit is cut, never the line. */
START_TEST(any_text)
{
	struct store_keys *k = test_store(1);
	struct audit_chain *c = chain(k, 1);
	char value[5000], line[AUDIT_LINE_MAX];
	uint8_t prev[MAC_LEN] = {0};
	struct audit_text t;
	struct audit_line l;
	size_t len;

	for (int fill = 1; fill < 256; fill++) {
		memset(value, fill, sizeof(value));
		for (size_t n = 0; n < sizeof(value); n += 311) {
			value[n] = '\0';
			audit_text_begin(&t, (int64_t)fill * 1000000007, "any_text");
			for (int i = 0; i < 6; i++)
				audit_text_str(&t, "value", value);
			audit_text_u64(&t, "n", UINT64_MAX);
			ck_assert_int_eq(
				audit_chain_seal(c, &(struct audit_seal){&t, AUDIT_TORN, UINT64_MAX}, prev, line, &len),
				0);
			ck_assert_int_eq(audit_line_parse(line, len - 1, &l), 0);
			ck_assert(n < 600 || t.cut);
			value[n] = (char)fill;
		}
	}
	audit_chain_free(c);
	store_keys_free(k);
}
END_TEST

START_TEST(end_record)
{
	AUTO(vector_free) struct vector v;
	struct audit_end e;
	uint8_t again[AUDIT_END_LEN + 1];

	vector_load(&v, "audit-end");
	ck_assert_int_eq(audit_end_parse(vector_bytes(&v, "file"), vector_len(&v, "file"), &e), 0);
	ck_assert_uint_eq(e.session, vector_number(&v, "session"));
	ck_assert_uint_eq(e.line, vector_number(&v, "line_no"));
	ck_assert_uint_eq(e.length, vector_number(&v, "length"));
	ck_assert_uint_eq(e.lost, vector_number(&v, "lost"));
	ck_assert_mem_eq(e.mac, vector_bytes(&v, "mac"), MAC_LEN);
	ck_assert_mem_eq(e.store_id, vector_bytes(&v, "store_id"), ID_LEN);
	audit_end_write(&e, again);
	ck_assert_mem_eq(again, vector_bytes(&v, "file"), AUDIT_END_LEN);
	for (size_t i = 0; i < AUDIT_END_LEN; i++) {
		again[i] ^= 1;
		ck_assert_int_eq(audit_end_parse(again, AUDIT_END_LEN, &e), -EUCLEAN);
		again[i] ^= 1;
	}
	for (size_t n = 0; n <= AUDIT_END_LEN + 1; n++)
		ck_assert_int_eq(audit_end_parse(again, n, &e), n == AUDIT_END_LEN ? 0 : -EUCLEAN);
	again[6] = '2';
	ck_assert_int_eq(audit_end_parse(again, AUDIT_END_LEN, &e), -ENOTSUP);
}
END_TEST

int main(void)
{
	const struct test_entry list[] = {
		{"vectors", vectors}, {"refused", refused},   {"altered", altered},
		{"one way", one_way}, {"any text", any_text}, {"end record", end_record},
	};
	return test_main("audit", list, ARRAY_LEN(list));
}
