/* SPDX-License-Identifier: BSD-2-Clause */
/* Sidecars of long names: any bytes under their own hash, and any plain bytes sealed, so that the checks behind are reached. */
#include "tests/fuzz/fuzz.h"

#include <sodium.h>

#include "crypto/keys_private.h"
#include "crypto/name.h"

static void try_sidecar(const uint8_t *siv, size_t len)
{
	static const uint8_t dir[ID_LEN] = {7};
	static struct disk_name again;
	char disk[NAME_LEN_MAX + 1] = LONG_PREFIX, plain[NAME_LEN_MAX + 1];
	uint8_t hash[32], *copy = fuzz_copy(siv, len);
	crypto_hash_sha256(hash, siv, len);
	sodium_bin2base64(disk + strlen(disk), 44, hash, sizeof(hash), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	if (name_decode(fuzz_store(), NAMES_SIV, dir, disk, copy, len, plain) == 0) {
		MUST(strlen(plain) == len - TAG_LEN && strlen(plain) > 175);
		MUST(name_encode(fuzz_store(), NAMES_SIV, dir, plain, strlen(plain), &again) == 0);
		MUST(strcmp(again.name, disk) == 0 && again.sidecar_len == len &&
		     memcmp(again.sidecar_data, siv, len) == 0);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t dir[ID_LEN] = {7};
	uint8_t siv[1024];
	(void)fuzz_store();
	try_sidecar(data, size);
	if (size >= 1 && size <= sizeof(siv) - TAG_LEN) {
		MUST(siv_seal(fuzz_store()->names, dir, ID_LEN, data, size, siv) == 0);
		try_sidecar(siv, size + TAG_LEN);
	}
	return 0;
}
