/* SPDX-License-Identifier: BSD-2-Clause */
/* Replies of a KMS: what is parsed is an object whose strings end where they say, and nothing stays when it is freed. */
#include "tests/fuzz/fuzz.h"

#include "kms/net/heap.h"
#include "kms/net/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const paths[] = {"data/ciphertext", "data/plaintext", "auth/client_token",
					    "errors",          "error/code",     ""};
	struct reply *r = NULL;
	uint8_t *copy = fuzz_copy(data, size), out[200];
	uint64_t n;

	if (reply_parse((const char *)copy, size, &r) == 0) {
		MUST(size >= 2 && size <= REPLY_MAX && reply_has(r, ""));
		for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
			const char *s = reply_str(r, paths[i]);
			size_t len = 0;

			MUST(!s || strlen(s) <= size);
			if (s && base64_read(BASE64, s, out, sizeof(out), &len) == 0)
				MUST(len <= sizeof(out));
			(void)reply_item(r, paths[i], i);
			if (reply_number(r, paths[i], &n) == 0)
				MUST(n <= UINT64_C(1) << 53);
		}
		reply_free(r);
	}
	free(copy);
	MUST(heap_in_use() == 0);
	return 0;
}
