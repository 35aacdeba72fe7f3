/* SPDX-License-Identifier: BSD-2-Clause */
/* Derivations, wraps and payloads: against published vectors, our own vectors, and altered byte by byte. */
#include "tests/unit/vector.h"

#include <errno.h>
#include <pthread.h>

#include "crypto/kdf.h"

static void hex_is(const uint8_t *got, size_t len, const char *want)
{
	char text[257];
	ck_assert_uint_le(len, 128);
	for (size_t i = 0; i < len; i++)
		snprintf(text + 2 * i, 3, "%02x", got[i]);
	ck_assert_str_eq(text, want);
}

/* RFC 4231 cases 1 and 2; a shorter key is the same key padded with zeros. */
START_TEST(hmac_rfc4231)
{
	uint8_t key[KEY_LEN] = {0}, out[MAC_LEN];
	memset(key, 0x0b, 20);
	ck_assert_int_eq(hmac_sha256(key, &(struct hmac_part){(const uint8_t *)"Hi There", 8}, 1, out), 0);
	hex_is(out, MAC_LEN, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	memset(key, 0, sizeof(key));
	memcpy(key, "Jefe", 4);
	const struct hmac_part two[] = {{(const uint8_t *)"what do ya want ", 16},
					{(const uint8_t *)"for nothing?", 12}};
	ck_assert_int_eq(hmac_sha256(key, two, 2, out), 0);
	hex_is(out, MAC_LEN, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}
END_TEST

/* RFC 5869 cases 1 (salt) and 3 (no salt): PRK, and the first 32 bytes of OKM. */
START_TEST(hkdf_rfc5869)
{
	uint8_t salt[KEY_LEN] = {0}, ikm[22], prk[KEY_LEN], out[MAC_LEN], one = 1;
	memset(ikm, 0x0b, sizeof(ikm));
	for (uint8_t i = 0; i < 13; i++)
		salt[i] = i;
	ck_assert_int_eq(kdf_extract(salt, ikm, sizeof(ikm), prk), 0);
	hex_is(prk, KEY_LEN, "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
	const uint8_t info[] = {0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9};
	const struct hmac_part part[] = {{info, sizeof(info)}, {&one, 1}};
	ck_assert_int_eq(hmac_sha256(prk, part, 2, out), 0);
	hex_is(out, MAC_LEN, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
	ck_assert_int_eq(kdf_extract(NULL, ikm, sizeof(ikm), prk), 0);
	hex_is(prk, KEY_LEN, "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04");
}
END_TEST

START_TEST(root_derivations)
{
	AUTO(vector_free) struct vector v;
	vector_load(&v, "keys-root");
	struct store_keys *k = vector_store(&v);
	ck_assert_mem_eq(store_keys_id(k), vector_bytes(&v, "store_id"), ID_LEN);
	ck_assert_mem_eq(k->dek_salt, vector_bytes(&v, "dek_salt"), KEY_LEN);
	ck_assert_mem_eq(k->xattr_values, vector_bytes(&v, "xattr_values"), KEY_LEN);
	ck_assert_mem_eq(k->special, vector_bytes(&v, "special"), KEY_LEN);
	ck_assert_mem_eq(k->mac[MAC_DIRID - 1], vector_bytes(&v, "directory_id"), KEY_LEN);
	ck_assert_mem_eq(k->mac[MAC_SESSION - 1], vector_bytes(&v, "session"), KEY_LEN);
	ck_assert_mem_eq(k->mac[MAC_BINDING - 1], vector_bytes(&v, "binding"), KEY_LEN);
	uint8_t prk[KEY_LEN], names[64];
	ck_assert_int_eq(kdf_extract(NULL, vector_bytes(&v, "root"), KEY_LEN, prk), 0);
	const struct kdf_info info = {.purpose = "names", .store_id = k->id};
	ck_assert_int_eq(kdf_expand(prk, &info, names, sizeof(names)), 0);
	ck_assert_mem_eq(names, vector_bytes(&v, "names"), sizeof(names));
	store_keys_free(k);
}
END_TEST

START_TEST(file_derivations)
{
	AUTO(vector_free) struct vector v;
	vector_load(&v, "keys-file");
	struct store_keys *k = vector_store(&v);
	struct file_keys *f = vector_file(&v, k);
	uint8_t key[KEY_LEN];
	ck_assert_mem_eq(f->prk, vector_bytes(&v, "prk"), KEY_LEN);
	ck_assert_mem_eq(f->header_mac, vector_bytes(&v, "header_mac"), KEY_LEN);
	ck_assert_mem_eq(file_keys_id(f), vector_bytes(&v, "file_id"), ID_LEN);
	/* Twice: the second time from the cache, and after it has been overrun. */
	for (int round = 0; round < 2; round++) {
		ck_assert_int_eq(file_content_key(f, 0, key), 0);
		ck_assert_mem_eq(key, vector_bytes(&v, "content_0"), KEY_LEN);
		ck_assert_int_eq(file_content_key(f, 1, key), 0);
		ck_assert_mem_eq(key, vector_bytes(&v, "content_1"), KEY_LEN);
		ck_assert_int_eq(file_content_key(f, (1ull << 33) - 1, key), 0);
		ck_assert_mem_eq(key, vector_bytes(&v, "content_max"), KEY_LEN);
		for (uint64_t other = 2; other < 7; other++)
			ck_assert_int_eq(file_content_key(f, other, key), 0);
	}
	file_keys_free(f);
	store_keys_free(k);
}
END_TEST

static void wrap_case(const char *name)
{
	AUTO(vector_free) struct vector v;
	vector_load(&v, name);
	struct store_keys *k = vector_store(&v);
	struct file_keys *f = NULL;
	const uint8_t *id = vector_bytes(&v, "file_id"), *wrapped = vector_bytes(&v, "wrapped");
	ck_assert_int_eq(dek_unwrap(k, 7, id, wrapped, &f), -ENOKEY);
	ck_assert_int_eq(store_keys_add(k, 7, vector_bytes(&v, "store_key")), 0);
	ck_assert_int_eq(dek_unwrap(k, 7, id, wrapped, &f), 0);
	ck_assert_mem_eq(f->dek, vector_bytes(&v, "dek"), KEY_LEN);
	uint8_t payload[PAYLOAD_LEN];
	ck_assert_int_eq(dek_payload_write(k, f, payload), 0);
	ck_assert_mem_eq(payload, vector_bytes(&v, "payload"), PAYLOAD_LEN);
	file_keys_free(f);
	store_keys_free(k);
}

START_TEST(wrap_vector)
{
	wrap_case("keys-wrap");
	wrap_case("suite2-keys-wrap");
}
END_TEST

START_TEST(wrap_altered)
{
	struct store_keys *k = test_store(1);
	struct file_keys *f = test_file(k, 2), *out = NULL;
	uint8_t wrapped[DEK_WRAP_LEN], other[ID_LEN] = {9};
	ck_assert_int_eq(dek_wrap(k, f, wrapped), 0);
	for (size_t i = 0; i < sizeof(wrapped); i++) {
		wrapped[i] ^= 1;
		ck_assert_int_eq(dek_unwrap(k, 1, file_keys_id(f), wrapped, &out), -EBADMSG);
		wrapped[i] ^= 1;
	}
	ck_assert_int_eq(dek_unwrap(k, 1, other, wrapped, &out), -EBADMSG);
	/* The same key under another generation: the AAD tells. */
	uint8_t key[KEY_LEN];
	memset(key, 1, sizeof(key));
	ck_assert_int_eq(store_keys_add(k, 2, key), 0);
	ck_assert_int_eq(dek_unwrap(k, 2, file_keys_id(f), wrapped, &out), -EBADMSG);
	/* Another store. */
	struct store_keys *stranger = test_store(2);
	ck_assert_int_eq(dek_unwrap(stranger, 1, file_keys_id(f), wrapped, &out), -EBADMSG);
	ck_assert_int_eq(dek_unwrap(k, 1, file_keys_id(f), wrapped, &out), 0);
	ck_assert_mem_eq(out->dek, f->dek, KEY_LEN);
	file_keys_free(out);
	file_keys_free(f);
	store_keys_free(stranger);
	store_keys_free(k);
}
END_TEST

/* The key itself carries no check of its own; every other byte of the payload does. */
START_TEST(payloads_altered)
{
	AUTO(vector_free) struct vector v;
	vector_load(&v, "keys-slot");
	const uint8_t *id = vector_bytes(&v, "store_id");
	uint8_t payload[PAYLOAD_LEN + 1], secret[KEY_LEN];
	slot_payload_write(vector_bytes(&v, "secret"), id, payload);
	ck_assert_mem_eq(payload, vector_bytes(&v, "payload"), PAYLOAD_LEN);
	ck_assert_int_eq(slot_payload_parse(payload, PAYLOAD_LEN, id, secret), 0);
	ck_assert_mem_eq(secret, vector_bytes(&v, "secret"), KEY_LEN);
	ck_assert_int_eq(slot_payload_parse(payload, PAYLOAD_LEN - 1, id, secret), -EBADMSG);
	ck_assert_int_eq(slot_payload_parse(payload, PAYLOAD_LEN + 1, id, secret), -EBADMSG);
	for (size_t i = 0; i < PAYLOAD_LEN; i++) {
		memset(secret, 0xee, sizeof(secret));
		payload[i] ^= 0x80;
		int rc = slot_payload_parse(payload, PAYLOAD_LEN, id, secret);
		payload[i] ^= 0x80;
		ck_assert_int_eq(rc, i >= 8 && i < 40 ? 0 : -EBADMSG);
		if (rc)
			for (size_t j = 0; j < KEY_LEN; j++)
				ck_assert_uint_eq(secret[j], 0);
	}
}
END_TEST

/* One kind is not taken for the other, and not for another store or file. */
START_TEST(payload_kinds)
{
	struct store_keys *k = test_store(1), *stranger = test_store(2);
	struct file_keys *f = test_file(k, 2), *out = NULL;
	uint8_t payload[PAYLOAD_LEN], secret[KEY_LEN], other[ID_LEN] = {7}, zeros[ID_LEN] = {0};
	ck_assert_int_eq(dek_payload_write(k, f, payload), 0);
	ck_assert_int_eq(slot_payload_parse(payload, PAYLOAD_LEN, store_keys_id(k), secret), -EBADMSG);
	ck_assert_int_eq(dek_payload_parse(k, other, payload, PAYLOAD_LEN, &out), -EBADMSG);
	ck_assert_int_eq(dek_payload_parse(stranger, file_keys_id(f), payload, PAYLOAD_LEN, &out), -EBADMSG);
	ck_assert_int_eq(dek_payload_parse(k, file_keys_id(f), payload, PAYLOAD_LEN - 1, &out), -EBADMSG);
	ck_assert_int_eq(dek_payload_write(stranger, f, payload), -EINVAL);
	ck_assert_int_eq(dek_payload_parse(k, file_keys_id(f), payload, PAYLOAD_LEN, &out), 0);
	ck_assert_mem_eq(out->prk, f->prk, KEY_LEN);
	slot_payload_write(f->dek, store_keys_id(k), payload);
	ck_assert_int_eq(dek_payload_parse(k, zeros, payload, PAYLOAD_LEN, &out), -EBADMSG);
	file_keys_free(out);
	file_keys_free(f);
	store_keys_free(k);
	store_keys_free(stranger);
}
END_TEST

START_TEST(generations)
{
	struct store_keys *a = test_store(1), *b = test_store(1), *c = test_store(3);
	uint8_t key[KEY_LEN] = {0};
	ck_assert_int_eq(store_keys_equal(a, b), 1);
	ck_assert_int_eq(store_keys_equal(a, c), 0);
	ck_assert_int_eq(store_keys_add(a, 0, key), -EINVAL);
	ck_assert_int_eq(store_keys_add(a, 1, key), -EEXIST);
	for (uint32_t i = 2; i <= GENERATION_MAX; i++) {
		be32_put(key, i);
		ck_assert_int_eq(store_keys_add(a, i, key), 0);
		be32_put(key, GENERATION_MAX + 2 - i);
		ck_assert_int_eq(store_keys_add(b, GENERATION_MAX + 2 - i, key), 0);
	}
	ck_assert_int_eq(store_keys_add(a, GENERATION_MAX + 1, key), -EINVAL);
	ck_assert_uint_eq(store_keys_generation(a), GENERATION_MAX);
	ck_assert_int_eq(store_keys_equal(a, b), 1); /* whatever the order */
	store_keys_free(a);
	store_keys_free(b);
	store_keys_free(c);
	store_keys_free(NULL);
	file_keys_free(NULL);
}
END_TEST

START_TEST(unequal_in_one_key)
{
	struct store_keys *a = test_store(1), *b = test_store(1);
	uint8_t key[KEY_LEN] = {5};
	ck_assert_int_eq(store_keys_add(a, 2, key), 0);
	ck_assert_int_eq(store_keys_equal(a, b), 0);
	key[31] = 1;
	ck_assert_int_eq(store_keys_add(b, 2, key), 0);
	ck_assert_int_eq(store_keys_equal(a, b), 0);
	store_keys_free(a);
	store_keys_free(b);
}
END_TEST

START_TEST(macs)
{
	struct store_keys *k = test_store(1);
	uint8_t mac[MAC_LEN], data[40] = {1}, other[MAC_LEN];
	ck_assert_int_eq(store_mac(k, MAC_SESSION, data, sizeof(data), mac), 0);
	ck_assert_int_eq(store_mac_check(k, MAC_SESSION, data, sizeof(data), mac), 0);
	ck_assert_int_eq(store_mac_check(k, MAC_DIRID, data, sizeof(data), mac), -EBADMSG);
	ck_assert_int_eq(store_mac_check(k, MAC_SESSION, data, sizeof(data) - 1, mac), -EBADMSG);
	ck_assert_int_eq(store_mac(k, (enum mac_purpose)0, data, sizeof(data), other), -EINVAL);
	ck_assert_int_eq(store_mac(k, (enum mac_purpose)4, data, sizeof(data), other), -EINVAL);
	for (size_t i = 0; i < MAC_LEN; i++) {
		mac[i] ^= 1;
		ck_assert_int_eq(store_mac_check(k, MAC_SESSION, data, sizeof(data), mac), -EBADMSG);
		mac[i] ^= 1;
	}
	store_keys_free(k);
}
END_TEST

static struct file_keys *shared;

static void *use_segments(void *arg)
{
	uint8_t first[8][KEY_LEN], again[KEY_LEN];
	for (uint64_t s = 0; s < 8; s++)
		ck_assert_int_eq(file_content_key(shared, s, first[s]), 0);
	for (uint64_t i = 0; i < 4000; i++) {
		uint64_t s = (i * 5 + (uintptr_t)arg) % 8;
		ck_assert_int_eq(file_content_key(shared, s, again), 0);
		ck_assert_mem_eq(again, first[s], KEY_LEN);
	}
	return NULL;
}

START_TEST(segments_of_many_threads)
{
	struct store_keys *k = test_store(1);
	pthread_t t[4];
	shared = test_file(k, 1);
	for (uintptr_t i = 0; i < ARRAY_LEN(t); i++)
		pthread_create(&t[i], NULL, use_segments, (void *)i);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		pthread_join(t[i], NULL);
	file_keys_free(shared);
	store_keys_free(k);
	ck_assert_uint_eq(secret_in_use(), 0);
}
END_TEST

int main(void)
{
	const struct test_entry list[] = {
		{"HMAC, RFC 4231", hmac_rfc4231},
		{"HKDF, RFC 5869", hkdf_rfc5869},
		{"root derivations", root_derivations},
		{"file derivations", file_derivations},
		{"wrap vector", wrap_vector},
		{"wrap altered", wrap_altered},
		{"payloads altered", payloads_altered},
		{"payload kinds", payload_kinds},
		{"generations", generations},
		{"unequal in one key", unequal_in_one_key},
		{"MACs", macs},
		{"segments of many threads", segments_of_many_threads},
	};
	return test_main("keys", list, ARRAY_LEN(list));
}
