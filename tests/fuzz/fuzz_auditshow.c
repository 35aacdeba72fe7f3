/* SPDX-License-Identifier: BSD-2-Clause */
/* A line of the audit log as `byokfs audit show` prints it: nothing of it moves a terminal. */
#include "tests/fuzz/fuzz.h"

#include "crypto/json.h"
#include "tools/audit_show.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = (char *)fuzz_copy(data, size), *shown = NULL;
	struct audit_line l;
	size_t len = 0;

	if (audit_line_parse(text, size, &l) == 0) {
		FILE *out = open_memstream(&shown, &len);
		MUST(out);
		audit_show_line(out, &l);
		MUST(fclose(out) == 0 && len > 0 && strlen(shown) == len && shown[len - 1] == '\n');
		shown[len - 1] = 0;
		for (const char *at = shown; *at;) {
			uint32_t c;
			size_t n = utf8_char(at, &c);

			MUST(n > 0 && !text_obeyed(c));
			at += n;
		}
		free(shown);
	}
	free(text);
	return 0;
}
