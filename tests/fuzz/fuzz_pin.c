/* SPDX-License-Identifier: BSD-2-Clause */
/* Pin: as it lies on disk, and with the checksum made right; what parses is written as the same bytes. */
#include "tests/fuzz/fuzz.h"

#include <sodium.h>

#include "crypto/pin.h"

static void try_pin(const uint8_t *buf, size_t size)
{
	struct pin *p = NULL;
	uint8_t *out = NULL;
	size_t len = 0;
	if (pin_parse(buf, size, &p) != 0) {
		MUST(p == NULL);
		return;
	}
	for (uint32_t i = 0; i < p->n_refs; i++)
		MUST(strlen(p->ref[i]) <= KEYRING_REF_MAX && pin_has_ref(p, p->ref[i]));
	MUST(pin_write(p, &out, &len) == 0 && len == size && memcmp(out, buf, len) == 0);
	free(out);
	pin_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	(void)fuzz_store();
	uint8_t *buf = fuzz_copy(data, size);
	try_pin(buf, size);
	if (size >= 80 && size <= UINT32_MAX) {
		memcpy(buf, "BYOKFS1P", 8);
		be32_put(buf + 8, (uint32_t)size);
		crypto_hash_sha256(buf + size - 32, buf, size - 32);
		try_pin(buf, size);
	}
	free(buf);
	return 0;
}
