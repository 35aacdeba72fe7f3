/* SPDX-License-Identifier: BSD-2-Clause */
/* A line of the mount table, and what sysfs says of a loop device, against the places of a mount. */
#include "fs/watch/built_on.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *path[] = {(char[]){"/m"}, (char[]){"/x:y"}};
	const struct built_on_places places = {path, 2};
	struct built_on found = {0};
	char *text = fuzz_text(data, len), *line = fuzz_text(data, len), all[300];
	struct mountinfo m;

	if (mountinfo_parse(line, &m) == 0)
		built_on_mount(&places, &m, &found);
	built_on_loop(&places, "loop0", text, &found);
	MUST(found.n <= 2);
	for (size_t i = 0; i < found.n; i++)
		MUST(strnlen(found.what[i], BUILT_ON_TEXT_MAX) < BUILT_ON_TEXT_MAX);
	built_on_line(&found, all, sizeof(all));
	MUST(strnlen(all, sizeof(all)) < sizeof(all));
	free(line);
	free(text);
	return 0;
}
