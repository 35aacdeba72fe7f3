/* SPDX-License-Identifier: BSD-2-Clause */
/* Fuzz target: the keystore's head file, key files, and keys to import. What parses must say the same when written again. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "kms/keystore/keystore_format.h"
#include "kms/keystore/rsa.h"
#include "kms/keystore/seen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const uint8_t master[KEY_LEN] = "an example of a keystore's key!";

static void fuzz_key(const uint8_t *data, size_t len)
{
	static struct keystore_key key, again;
	struct keystore_who who = {.master = master, .name = key.name};
	uint8_t *bytes;
	size_t clear, n;

	if (keystore_key_parse(data, len, &key, &clear))
		return;
	if (clear > len || key.n_versions > KEYSTORE_VERSIONS_MAX || strlen(key.name) > KEYSTORE_NAME_MAX)
		abort();
	/* With a box that authenticates: sealed, opened, the same. */
	who.id = key.keystore_id;
	key.material = sodium_malloc(key.material_len ? key.material_len : 1);
	if (!key.material || keystore_key_seal(&key, &who, &bytes, &n))
		abort();
	if (n != len || memcmp(bytes, data, clear) != 0 || keystore_key_open(bytes, n, &who, &again))
		abort();
	if (memcmp(key.material, again.material, key.material_len) != 0)
		abort();
	keystore_key_wipe(&again);
	keystore_key_wipe(&key);
	free(bytes);
	/* As it came, it can only be authentic by the fuzzer's knowing the key. */
	if (keystore_key_open(data, len, &who, &again) == 0)
		keystore_key_wipe(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct keystore_head head;
	struct rsa_der key;
	uint8_t *copy;

	if (secret_init() || len < 1)
		return 0;
	/* An exact copy, so that one byte too far is seen. */
	copy = malloc(len);
	memcpy(copy, data, len);
	if (keystore_head_parse(copy, len, &head) == 0 && head.mem_kib > (4u << 20))
		abort();
	fuzz_key(copy, len);
	struct seen seen;
	uint8_t again[SEEN_LEN];
	if (seen_parse(copy, len, &seen) == 0) {
		seen_write(&seen, again);
		if (memcmp(again, copy, len) != 0)
			abort();
	}
	if (copy[0] == '-' && rsa_from_pem(copy, len, &key) == 0)
		rsa_der_free(&key);
	if (copy[0] == 0x30 && rsa_from_der(copy, len, &key) == 0)
		rsa_der_free(&key);
	free(copy);
	return 0;
}
