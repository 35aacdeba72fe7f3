/* SPDX-License-Identifier: BSD-2-Clause */
/* Session record: as it is, and with the MAC made right; and what a host remembers of it. */
#include "tests/fuzz/fuzz.h"

#include "crypto/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct store_keys *store = fuzz_store();
	struct session s;
	struct session_mark m;
	uint8_t again[SESSION_LEN], *buf = fuzz_copy(data, size);
	(void)!session_parse(store, buf, size, &s);
	if (size == SESSION_LEN) {
		MUST(store_mac(store, MAC_SESSION, buf, 32, buf + 32) == 0);
		if (session_parse(store, buf, size, &s) == 0)
			MUST(session_write(store, &s, again) == 0 && memcmp(again, buf, SESSION_LEN) == 0);
	}
	if (session_mark_parse(buf, size, &m) == 0) {
		uint8_t mark[SESSION_MARK_LEN];
		session_mark_write(&m, mark);
		MUST(memcmp(mark, buf, SESSION_MARK_LEN) == 0);
	}
	free(buf);
	return 0;
}
