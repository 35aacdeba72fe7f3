/* SPDX-License-Identifier: BSD-2-Clause */
/* What is kept of a file's times: what is taken is whole, and written again the same. */
#include "tests/fuzz/fuzz.h"

#include "crypto/times.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct times t;
	uint8_t again[TIMES_LEN], *buf = fuzz_copy(data, size);

	if (times_decode(buf, size, &t) == 0) {
		MUST(size == TIMES_LEN && t.mtime.tv_nsec >= 0 && t.mtime.tv_nsec < 1000000000);
		MUST(t.ctime.tv_nsec >= 0 && t.ctime.tv_nsec < 1000000000);
		times_encode(&t, again);
		MUST(memcmp(again, buf, TIMES_LEN) == 0);
	}
	free(buf);
	return 0;
}
