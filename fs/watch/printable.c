/* SPDX-License-Identifier: BSD-2-Clause */
/* Text without what a terminal obeys. */
#include "fs/watch/printable.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/json.h"

void printable_put(FILE *out, const char *text)
{
	while (*text) {
		uint32_t c;
		size_t n = utf8_char(text, &c);
		bool bad = !n || c == '\\' || text_obeyed(c);

		for (const char *end = text + (n ? n : 1); text < end; text++) {
			if (bad)
				fprintf(out, "\\x%02x", (unsigned char)*text);
			else
				fputc(*text, out);
		}
	}
}
