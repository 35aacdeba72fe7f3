/* SPDX-License-Identifier: BSD-2-Clause */
/* Special object: as it is, and with the input as the sealed payload, so that the parser behind the tag is reached. */
#include "tests/fuzz/fuzz.h"

#include "crypto/aead.h"
#include "crypto/keys_private.h"
#include "crypto/special.h"

static void try_open(const uint8_t *record, size_t len)
{
	static struct special s;
	static uint8_t again[SPECIAL_RECORD_MAX];
	size_t again_len = 0;
	for (int type = OBJECT_FILE; type <= OBJECT_BLOCK; type++) {
		if (special_open(fuzz_store(), (enum object_type)type, record, len, &s) != 0)
			continue;
		MUST((int)s.type == type && strlen(s.target) == s.target_len);
		MUST(special_seal(fuzz_store(), &s, again, &again_len) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *record = fuzz_copy(data, size), aad[44];
	try_open(record, size);
	free(record);
	if (size > 5000)
		return 0;
	const struct store_keys *store = fuzz_store();
	record = calloc(1, 28 + size + AEAD_OVERHEAD);
	MUST(record);
	memcpy(record, "BYOKFS1S", 8);
	be32_put(record + 24, (uint32_t)size);
	memcpy(aad, record, 28);
	memcpy(aad + 28, store_keys_id(store), ID_LEN);
	MUST(aead_seal(&(struct aead){store->special, aad, sizeof(aad)}, data, size, record + 28) == 0);
	try_open(record, 28 + size + AEAD_OVERHEAD);
	free(record);
	return 0;
}
