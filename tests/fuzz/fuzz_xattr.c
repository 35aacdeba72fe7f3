/* SPDX-License-Identifier: BSD-2-Clause */
/* Extended attributes: disk names and values of any bytes, and names of any bytes there and back. */
#include "tests/fuzz/fuzz.h"

#include "crypto/xattr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t id[ID_LEN] = {7};
	const struct store_keys *store = fuzz_store();
	char *text = fuzz_text(data, size), disk[XATTR_DISK_NAME_MAX + 1], plain[XATTR_DISK_NAME_MAX + 1];
	uint8_t *cipher = fuzz_copy(data, size), *value = malloc(size + XATTR_OVERHEAD);
	MUST(value);
	if (xattr_name_decode(store, id, text, plain) == 0)
		MUST(xattr_name_encode(store, id, plain, disk) == 0 && strcmp(disk, text) == 0);
	if (xattr_name_encode(store, id, text, disk) == 0) {
		MUST(strlen(disk) <= XATTR_DISK_NAME_MAX && xattr_name_decode(store, id, disk, plain) == 0);
		MUST(strcmp(plain, text) == 0);
		MUST(xattr_seal(store, id, text, cipher, size, value) == 0);
		MUST(xattr_open(store, id, text, value, size + XATTR_OVERHEAD, cipher) == 0);
		MUST(memcmp(cipher, data, size) == 0);
	}
	(void)!xattr_open(store, id, "user.a", cipher, size, value);
	free(text);
	free(cipher);
	free(value);
	return 0;
}
