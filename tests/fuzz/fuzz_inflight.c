/* SPDX-License-Identifier: BSD-2-Clause */
/* In-flight slot: whatever parses stays inside the slot, behind the header and below data/. */
#include "tests/fuzz/fuzz.h"

#include "crypto/inflight.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct layout layout = {HEADER_LEN_STORE, BLOCK_LEN_MIN, SUITE_2};
	struct inflight f;
	const char *path = NULL;
	/* The input is the head's beginning; the rest of a slot of some length is zeros. */
	size_t len = size < INFLIGHT_HEAD_LEN ? INFLIGHT_HEAD_LEN + 5000 : size;
	uint8_t *slot = calloc(1, len);
	MUST(slot);
	memcpy(slot, data, size);
	if (inflight_parse(slot, len, &layout, &f, &path) == 0) {
		uint64_t total = 0;
		MUST(f.n_extents <= INFLIGHT_EXTENTS && f.path_len <= INFLIGHT_PATH_MAX);
		for (uint32_t i = 0; i < f.n_extents; i++) {
			total += f.extent[i].len;
			MUST(f.extent[i].disk_off >= layout.header_len);
			MUST(f.extent[i].disk_off + f.extent[i].len <= INT64_MAX);
		}
		MUST(total <= len - INFLIGHT_HEAD_LEN);
		MUST(path >= (char *)slot && path + f.path_len <= (char *)slot + INFLIGHT_HEAD_LEN);
		MUST(!memchr(path, '\0', f.path_len) && (f.path_len == 0 || path[0] != '/'));
		MUST(!memmem(path, f.path_len, "/../", 4) && !memmem(path, f.path_len, "//", 2));
	}
	free(slot);
	return 0;
}
