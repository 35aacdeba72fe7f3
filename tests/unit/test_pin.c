/* SPDX-License-Identifier: BSD-2-Clause */
/* The pin: vector, round trip, lengths that do not agree, limits. Bytes altered: test_tamper.c. */
#include "tests/unit/vector.h"

#include <errno.h>
#include <sodium.h>

#include "crypto/pin.h"

START_TEST(pin_vector)
{
	AUTO(vector_free) struct vector v;
	struct pin *p = NULL;
	vector_load(&v, "pin");
	ck_assert_int_eq(pin_parse(vector_bytes(&v, "file"), vector_len(&v, "file"), &p), 0);
	ck_assert_mem_eq(p->store_id, vector_bytes(&v, "store_id"), ID_LEN);
	ck_assert(p->sequence == 12 && p->n_refs == 3);
	ck_assert_str_eq(p->ref[0], (const char *)vector_bytes(&v, "ref_0"));
	ck_assert_str_eq(p->ref[2], (const char *)vector_bytes(&v, "ref_2"));
	ck_assert_uint_eq(p->keyring_len, vector_len(&v, "keyring"));
	ck_assert_mem_eq(p->keyring, vector_bytes(&v, "keyring"), p->keyring_len);
	ck_assert(pin_has_ref(p, "x") && pin_has_ref(p, "local:/keys/a"));
	ck_assert(!pin_has_ref(p, "") && !pin_has_ref(p, "local:/keys/") && !pin_has_ref(p, "xx"));
	uint8_t *again = NULL;
	size_t len = 0;
	ck_assert_int_eq(pin_write(p, &again, &len), 0);
	ck_assert_uint_eq(len, vector_len(&v, "file"));
	ck_assert_mem_eq(again, vector_bytes(&v, "file"), len);
	free(again);
	pin_free(p);
}
END_TEST

static uint8_t *small_pin(size_t *len)
{
	static char ref[2][KEYRING_REF_MAX + 1] = {"local:/a/b", "local:/c"};
	static uint8_t keyring[50] = {1, 2, 3};
	struct pin p = {.sequence = 4, .n_refs = 2, .ref = ref, .keyring = keyring, .keyring_len = sizeof(keyring)};
	uint8_t *buf = NULL;
	ck_assert_int_eq(pin_write(&p, &buf, len), 0);
	return buf;
}

/* The checksum is no secret: with it made right, the lengths must hold by themselves. */
START_TEST(lengths_altered)
{
	size_t len;
	uint8_t *buf = small_pin(&len);
	const size_t fields[] = {12, 13, 14, 15, 40, 41, 42, 43, 44, 47, 48, 49, 60, 61};
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		for (unsigned v = 0; v < 256; v++) {
			struct pin *p = NULL;
			uint8_t was = buf[fields[i]];
			if (v == was)
				continue;
			buf[fields[i]] = (uint8_t)v;
			crypto_hash_sha256(buf + len - 32, buf, len - 32);
			int rc = pin_parse(buf, len, &p);
			/* A longer last reference and a shorter keyring do not agree, so no change is legal. */
			ck_assert_int_eq(rc, -EUCLEAN);
			buf[fields[i]] = was;
		}
	}
	free(buf);
}
END_TEST

START_TEST(limits)
{
	static char ref[61][KEYRING_REF_MAX + 1];
	static uint8_t keyring[KEYRING_LEN_MAX + 1];
	for (size_t i = 0; i < ARRAY_LEN(ref); i++)
		memset(ref[i], 'r', KEYRING_REF_MAX);
	struct pin p = {.n_refs = 60, .ref = ref, .keyring = keyring, .keyring_len = KEYRING_LEN_MAX}, *back = NULL;
	uint8_t *buf = NULL;
	size_t len;
	ck_assert_int_eq(pin_write(&p, &buf, &len), 0);
	ck_assert_uint_le(len, PIN_LEN_MAX);
	ck_assert_int_eq(pin_parse(buf, len, &back), 0);
	ck_assert_uint_eq(back->n_refs, 60);
	pin_free(back);
	free(buf);
	p.n_refs = 61;
	ck_assert_int_eq(pin_write(&p, &buf, &len), -EINVAL);
	p.n_refs = 1;
	p.keyring_len = KEYRING_LEN_MAX + 1;
	ck_assert_int_eq(pin_write(&p, &buf, &len), -EINVAL);
	p.keyring_len = 0;
	p.keyring = NULL;
	ref[0][0] = '\0';
	ck_assert_int_eq(pin_write(&p, &buf, &len), -EINVAL);
	p.n_refs = 0;
	ck_assert_int_eq(pin_write(&p, &buf, &len), 0);
	back = NULL;
	ck_assert_int_eq(pin_parse(buf, len, &back), 0);
	ck_assert(back->n_refs == 0 && back->keyring_len == 0 && !pin_has_ref(back, ""));
	pin_free(back);
	pin_free(NULL);
	free(buf);
}
END_TEST

int main(void)
{
	const struct test_entry list[] = {
		{"vector", pin_vector},
		{"lengths altered", lengths_altered},
		{"limits", limits},
	};
	return test_main("pin", list, ARRAY_LEN(list));
}
