/* SPDX-License-Identifier: BSD-2-Clause */
/* The note that the end of a mount leaves. */
#include <stdlib.h>
#include <string.h>

#include "fs/watch/ended.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ended_note *n = malloc(sizeof(*n));
	char *text = malloc(len + 1);

	if (n && text) {
		memcpy(text, data, len);
		text[len] = 0;
		if (ended_parse(text, n) == 0) {
			if (!memchr(n->mountpoint, 0, sizeof(n->mountpoint)) || !memchr(n->store, 0, sizeof(n->store)))
				abort();
			for (const unsigned char *p = (unsigned char *)n->why; *p; p++)
				if (*p < 0x20)
					abort();
		}
	}
	free(text);
	free(n);
	return 0;
}
