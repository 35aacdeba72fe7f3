/* SPDX-License-Identifier: BSD-2-Clause */
/* A line of the mount table. */
#include "fs/watch/mountinfo.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = fuzz_text(data, len);
	size_t whole = strlen(text);
	struct mountinfo m;

	if (mountinfo_parse(text, &m) == 0) {
		MUST(m.id > 0 && m.path[0] == '/');
		MUST(m.path > text && m.path + strlen(m.path) < text + whole);
		MUST(m.type > m.path && m.type + strlen(m.type) < text + whole);
	}
	free(text);
	return 0;
}
