/* SPDX-License-Identifier: BSD-2-Clause */
/* The JSON writer: any text into a buffer of any size is whole members, and UTF-8 without controls. */
#include <stdbool.h>

#include "crypto/json.h"
#include "tests/fuzz/fuzz.h"

/* Nothing in it but UTF-8, no control, no quote that is not ours: KEY, value and quotes. */
static void check(const char *text, size_t len)
{
	char *copy = fuzz_text((const uint8_t *)text, len);
	unsigned quotes = 0;

	for (const char *at = copy; *at;) {
		uint32_t code;
		size_t n = utf8_char(at, &code);

		MUST(n > 0 && code >= 0x20 && code != 0x7f);
		quotes += code == '"';
		at += code == '\\' ? 2 : n;
	}
	MUST(quotes == 4 || (len == 0 && quotes == 0));
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 3)
		return 0;
	size_t size = data[0] * 8u, max = data[1] ? data[1] : SIZE_MAX;
	struct json j = {.text = malloc(size ? size : 1), .size = size};
	char *text = fuzz_text(data + 2, len - 2);

	MUST(j.text);
	json_str(&j, "k", text, max);
	MUST(j.len <= size);
	check(j.text, j.len);
	/* cut or whole: a text that fits is not cut */
	if (strlen(text) * JSON_CHAR_MAX + 6 <= size && max == SIZE_MAX)
		MUST(!j.cut);
	free(j.text);
	free(text);
	return 0;
}
