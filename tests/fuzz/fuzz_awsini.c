/* SPDX-License-Identifier: BSD-2-Clause */
/* The INI of ~/.aws, its first line the section that is looked for: what is found is a value of one line, and it is there. */
#include "tests/fuzz/fuzz.h"

#include "kms/providers/aws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const keys[] = {"aws_access_key_id", "role_arn", "a"};
	char out[AWS_WORD_MAX + 1];
	char *text = fuzz_text(data, size);
	size_t first = strcspn(text, "\n");
	const char *rest = text[first] ? text + first + 1 : text + first;

	text[first] = '\0';
	int has = aws_ini_has(rest, text);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		memset(out, 'x', sizeof(out));
		int r = aws_ini_get(rest, text, keys[i], out);
		MUST(r == 0 || r == -2 || r == -22);
		MUST(r != 0 || (has == 0 && memchr(out, 0, sizeof(out)) && !strchr(out, '\n') && strstr(rest, out)));
	}
	free(text);
	return 0;
}
