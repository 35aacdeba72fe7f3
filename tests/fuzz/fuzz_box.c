/* SPDX-License-Identifier: BSD-2-Clause */
/* What the keyring's box and a KMS's answer hold, sealed by somebody who has the keys: any plain bytes. */
#include "tests/fuzz/fuzz.h"

#include <sodium.h>

#include "crypto/aead.h"
#include "crypto/kdf.h"
#include "crypto/keyring_private.h"
#include "crypto/keys_private.h"

static const uint8_t secret[KEY_LEN] = "a slot's secret of fuzz targets";

/* As keyring_seal() would have sealed it, but for what is inside; the id is that of the first 32 bytes as a root key. */
static void seal(struct keyring *k, const uint8_t *plain, size_t len)
{
	size_t aad_len = KEYRING_FIXED_LEN + KEYRING_SLOT_FIXED_LEN + strlen(k->slot->ref) + k->slot->wrapped_len;
	uint8_t prk[KEY_LEN], key[KEY_LEN], root[KEY_LEN] = {0}, *bytes = malloc(aad_len + len + AEAD_OVERHEAD);
	struct store_keys *keys = NULL;

	MUST(bytes);
	memcpy(bytes, k->bytes, aad_len);
	memcpy(root, plain, len < KEY_LEN ? len : KEY_LEN);
	MUST(store_keys_new(root, SUITE_2, &keys) == 0);
	memcpy(k->store_id, store_keys_id(keys), ID_LEN);
	store_keys_free(keys);
	memcpy(bytes + 48, k->store_id, ID_LEN);
	be32_put(bytes + 12, (uint32_t)(aad_len + len + AEAD_OVERHEAD));
	be32_put(bytes + 92, (uint32_t)(len + AEAD_OVERHEAD));
	MUST(kdf_extract(NULL, secret, KEY_LEN, prk) == 0);
	MUST(kdf_expand(prk, &(struct kdf_info){.purpose = "box", .store_id = k->store_id}, key, KEY_LEN) == 0);
	MUST(aead_seal(&(struct aead){key, bytes, aad_len}, plain, len, bytes + aad_len) == 0);
	free(k->bytes);
	k->bytes = bytes;
	k->len = aad_len + len + AEAD_OVERHEAD;
}

static struct keyring *template(void)
{
	static const struct keyring fixed = {.sequence = 1,
					     .layout = {HEADER_LEN_STORE, BLOCK_LEN_MIN, SUITE_2},
					     .wrap_type = WRAP_STORE,
					     .name_mode = NAMES_SIV,
					     .policy = POLICY_ALL,
					     .n_slots = 1,
					     .next_number = 2};
	struct keyring *k = malloc(sizeof(*k));

	MUST(k);
	*k = fixed;
	memcpy(k->store_id, store_keys_id(fuzz_store()), ID_LEN);
	k->slot = calloc(1, sizeof(*k->slot));
	MUST(k->slot);
	k->slot->number = k->slot->algorithm = 1;
	k->slot->wrapped_len = 8;
	memcpy(k->slot->ref, "fuzz:0", 7);
	MUST(keyring_seal(k, secret, fuzz_store()) == 0);
	return k;
}

static void box(const uint8_t *data, size_t size)
{
	struct keyring *k = template(), *parsed = NULL;
	struct store_keys *keys = NULL, *again = NULL;

	seal(k, data, size);
	if (keyring_parse(k->bytes, k->len, &parsed) == 0) {
		if (keyring_open(parsed, secret, &keys) == 0) {
			MUST(store_keys_generation(keys) > 0);
			MUST(keyring_seal(parsed, secret, keys) == 0);
			MUST(keyring_open(parsed, secret, &again) == 0 && store_keys_equal(keys, again));
			store_keys_free(again);
			store_keys_free(keys);
		}
		keyring_free(parsed);
	}
	keyring_free(k);
}

/* The payload that a KMS gave back for a slot, or for a file. */
static void payload(const uint8_t *data, size_t size)
{
	static const uint8_t id[ID_LEN] = {3};
	uint8_t out[KEY_LEN], again[PAYLOAD_LEN], *copy = fuzz_copy(data, size);
	struct file_keys *keys = NULL;

	if (slot_payload_parse(copy, size, id, out) == 0) {
		slot_payload_write(out, id, again);
		MUST(size == PAYLOAD_LEN && memcmp(again, copy, size) == 0);
	}
	if (dek_payload_parse(fuzz_store(), id, copy, size, &keys) == 0) {
		MUST(dek_payload_write(fuzz_store(), keys, again) == 0 && memcmp(again, copy, size) == 0);
		file_keys_free(keys);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	(void)fuzz_store();
	if (size <= (1u << 16))
		box(data, size);
	payload(data, size);
	return 0;
}
