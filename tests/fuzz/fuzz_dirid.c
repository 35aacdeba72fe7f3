/* SPDX-License-Identifier: BSD-2-Clause */
/* Directory id: no input but one with the right MAC gives an id. */
#include "tests/fuzz/fuzz.h"

#include "crypto/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct store_keys *store = fuzz_store();
	uint8_t id[ID_LEN], *buf = fuzz_copy(data, size);
	(void)!dirid_parse(store, buf, size, id);
	if (size == DIRID_LEN) {
		MUST(store_mac(store, MAC_DIRID, buf, 24, buf + 24) == 0);
		if (dirid_parse(store, buf, size, id) == 0)
			MUST(memcmp(buf, "BYOKFS1I", 8) == 0 && memcmp(buf + 8, id, ID_LEN) == 0);
	}
	free(buf);
	return 0;
}
