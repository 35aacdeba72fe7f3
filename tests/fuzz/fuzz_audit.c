/* SPDX-License-Identifier: BSD-2-Clause */
/* A line of the audit log, and the host's end record. */
#include "tests/fuzz/fuzz.h"

#include "crypto/audit.h"

/* What was parsed lies inside the line, and a MAC that nobody made is not accepted. */
static void line(const uint8_t *data, size_t size)
{
	static struct audit_key *key;
	struct audit_line l;
	struct audit_chain *c;
	char *text = (char *)fuzz_copy(data, size);

	if (!key)
		MUST(audit_key_new(fuzz_store(), &key) == 0);
	if (audit_line_parse(text, size, &l) == 0) {
		MUST(l.session > 0 && l.line > 0 && size < AUDIT_LINE_MAX && l.maced_len < size);
		MUST(l.event >= text && l.event + l.event_len <= text + size && l.event_len > 0);
		MUST(l.time >= text && l.time + AUDIT_TIME_LEN <= text + size);
		MUST(l.members >= text && l.members + l.members_len == text + l.maced_len);
		MUST((l.line == 1) == (l.found != 0));
		MUST(audit_chain_new(key, l.session, &c) == 0);
		MUST(audit_chain_check(c, text, &l) != 0);
		MUST(audit_chain_line(c) == 2);
		audit_chain_free(c);
	}
	free(text);
}

static void end(const uint8_t *data, size_t size)
{
	struct audit_end e;
	uint8_t again[AUDIT_END_LEN], *buf = fuzz_copy(data, size);

	if (audit_end_parse(buf, size, &e) == 0) {
		audit_end_write(&e, again);
		MUST(size == AUDIT_END_LEN && memcmp(again, buf, AUDIT_END_LEN) == 0);
	}
	free(buf);
}

/* Any bytes make an event whose line parses. */
static void made(const uint8_t *data, size_t size)
{
	static struct audit_text t;
	char *value = fuzz_text(data, size), out[AUDIT_LINE_MAX];
	uint8_t prev[MAC_LEN] = {0};
	struct audit_key *key;
	struct audit_chain *c;
	struct audit_line l;
	size_t len;

	MUST(audit_key_new(fuzz_store(), &key) == 0 && audit_chain_new(key, 1, &c) == 0);
	audit_text_begin(&t, (int64_t)size * 100000007, "fuzz");
	audit_text_str(&t, "value", value);
	audit_text_u64(&t, "size", size);
	MUST(audit_chain_seal(c, &(struct audit_seal){&t, AUDIT_WHOLE, 0}, prev, out, &len) == 0);
	MUST(out[len - 1] == '\n' && audit_line_parse(out, len - 1, &l) == 0 && memcmp(l.mac, prev, MAC_LEN) == 0);
	audit_chain_free(c);
	audit_key_free(key);
	free(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 0 && data[size - 1] == '\n') /* seeds are whole lines */
		line(data, size - 1);
	line(data, size);
	end(data, size);
	made(data, size);
	return 0;
}
