/* SPDX-License-Identifier: BSD-2-Clause */
/* Keyring file: parse, open with some secret, and what parsed can be sealed again and parsed. */
#include "tests/fuzz/fuzz.h"

#include "crypto/keyring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t secrets[KEYRING_SLOTS_MAX * KEY_LEN] = {1};
	const struct store_keys *store = fuzz_store();
	struct store_keys *keys = NULL;
	struct keyring *k = NULL, *again = NULL;
	uint8_t *buf = fuzz_copy(data, size);
	int rc = keyring_parse(buf, size, &k);
	free(buf);
	if (rc) {
		MUST(k == NULL);
		return 0;
	}
	MUST(k->n_slots >= 1 && k->n_slots <= KEYRING_SLOTS_MAX && k->len == size && layout_check(&k->layout) == 0);
	if (keyring_open(k, secrets, &keys) == 0)
		store_keys_free(keys);
	k->layout.suite = store_keys_suite(store); /* that of the keys it is sealed with */
	memcpy(k->store_id, store_keys_id(store), ID_LEN);
	MUST(keyring_seal(k, secrets, store) == 0);
	MUST(keyring_parse(k->bytes, k->len, &again) == 0);
	MUST(again->n_slots == k->n_slots && strcmp(again->slot[0].ref, k->slot[0].ref) == 0);
	keys = NULL;
	MUST(keyring_open(again, secrets, &keys) == 0 && store_keys_equal(keys, store));
	store_keys_free(keys);
	keyring_free(again);
	keyring_free(k);
	return 0;
}
