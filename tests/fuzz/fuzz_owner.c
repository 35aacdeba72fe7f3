/* SPDX-License-Identifier: BSD-2-Clause */
/* Who owns a store, as the file of its lock says; it goes into messages. */
#include "tests/fuzz/fuzz.h"

#include "crypto/json.h"
#include "fs/store/store_own.h"

/* It ends inside its array, and a terminal obeys nothing of it. */
static void plain(const char *text, size_t size)
{
	MUST(memchr(text, 0, size));
	while (*text) {
		uint32_t c;
		size_t n = utf8_char(text, &c);

		MUST(n > 0 && !text_obeyed(c));
		text += n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store_owner *o = malloc(sizeof(*o));
	char *text = fuzz_text(data, size);

	MUST(o);
	memset(o, 0x81, sizeof(*o));
	if (store_owner_parse(text, o) == 0) {
		MUST(o->pid > 0 && o->host[0]);
		plain(o->host, sizeof(o->host));
		plain(o->mountpoint, sizeof(o->mountpoint));
	}
	free(text);
	free(o);
	return 0;
}
