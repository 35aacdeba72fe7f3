/* SPDX-License-Identifier: BSD-2-Clause */
/* File header: parse, unwrap what it names, check both slots, re-wrap it. */
#include "tests/fuzz/fuzz.h"

#include "crypto/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct header h;
	static const uint8_t id[ID_LEN] = {0};
	const struct store_keys *store = fuzz_store();
	uint8_t *buf = fuzz_copy(data, size);
	if (header_parse(buf, size, &h) == 0) {
		struct file_keys *file = NULL;
		size_t off = 0, len = 0;
		int newest = header_newest(&h, -1);
		MUST(newest >= 0 && h.slots && h.slots <= 3 && header_newest(&h, newest) != newest);
		for (int i = 0; i < 2; i++)
			if (h.slots & (1u << i)) {
				MUST(strlen(h.wrap[i].version) <= HEADER_VERSION_MAX);
				MUST(h.wrap[i].wrapped_len <= HEADER_WRAPPED_MAX);
				struct file_keys *out = NULL;
				if (dek_unwrap(store, h.wrap[i].number, h.file_id, h.wrap[i].wrapped, &out) == 0)
					file_keys_free(out);
			}
		MUST(file_keys_new(store, id, &file) == 0);
		MUST(header_check(buf, size, newest, store, file) != 0); /* a fresh DEK: no MAC can hold */
		MUST(header_rewrap(buf, size, &h.wrap[newest], store, file, &off, &len) != 0);
		file_keys_free(file);
	}
	free(buf);
	return 0;
}
