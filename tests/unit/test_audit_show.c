/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of the audit log for people: members as words, and nothing that a terminal obeys. */
#include "tests/unit/said.h"

#include "tests/unit/vector.h"
#include "tools/audit_show.h"

/* What is printed for a line with these members; they come from a file that anyone may have changed. */
static void shows(const char *text_in, const char *want)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	const struct audit_line l = {
		.session = 7,
		.line = 12,
		.time = "2026-11-24T15:26:12.123Z and what follows it",
		.event = "lockxyz",
		.event_len = 4,
		.members = text_in,
		.members_len = strlen(text_in),
	};
	char all[AUDIT_LINE_MAX * 5];

	ck_assert_ptr_nonnull(out);
	audit_show_line(out, &l);
	ck_assert_int_eq(fclose(out), 0);
	snprintf(all, sizeof(all), "2026-11-24T15:26:12.123Z 7.12 lock%s\n", want);
	ck_assert_str_eq(text, all);
	free(text);
}

START_TEST(plain_members)
{
	shows("", "");
	shows(",\"pid\":123", " pid=123");
	shows(",\"a\":-1,\"b\":true,\"c\":null", " a=-1 b=true c=null");
	shows(",\"who\":\"root\"", " who=root");
	shows(",\"why\":\"the KMS refuses\"", " why=\"the KMS refuses\"");
	shows(",\"empty\":\"\",\"n\":5", " empty=\"\" n=5");
	shows(",\"a\":\"x\",\"b\":2,\"c\":\"y z\"", " a=x b=2 c=\"y z\"");
	shows(",\"comma\":\"a,b\",\"colon\":\"c:d\"", " comma=a,b colon=c:d");
}
END_TEST

START_TEST(escapes)
{
	shows(",\"q\":\"say \\\"x\\\"\"", " q=\"say \\\"x\\\"\"");
	shows(",\"q\":\"\\\"\"", " q=\"\\\"\"");
	/* no value makes a member of its own */
	shows(",\"mountpoint\":\"/m\\\" access=\\\"ro\",\"access\":\"rw\"",
	      " mountpoint=\"/m\\\" access=\\\"ro\" access=rw");
	/* a backslash of the text, for eyes, and the writer's own \u */
	shows(",\"q\":\"a\\\\b\"", " q=a\\x5cb");
	shows(",\"q\":\"a\\u000ab\"", " q=a\\x5cu000ab");
	shows(",\"q\":\"\xc3\xbc\"", " q=\xc3\xbc");
}
END_TEST

/* Not what the writer wrote. */
START_TEST(hostile)
{
	shows(",\"q\":\"\x1b[31m\"", " q=\\x1b[31m");
	shows(",\"\x1b]0;t\x07\":1", " \\x1b]0;t\\x07=1");
	shows(",\"q\":\xff\xfe", " q=\\xff\\xfe");
	shows(",\"q\":\"\xe2\x80\xae\"", " q=\\xe2\\x80\\xae");
	shows("garbage", "");
	shows(",", "");
	shows(",\"", "");
	shows(",\"a", "");
	shows(",\"a\"", "");
	shows(",\"a\":", " a=\"\"");
	shows(",\"a\":\"", " a=\"\"");
	shows(",\"a\":\"b", " a=b");
	shows(",\"a\":\"b\\", " a=b\\x5c");
	shows(",\"a\":\"b\"junk,\"c\":1", " a=b");
	shows(",\"a\":1,,\"c\":1", " a=1");
	shows(",\"a\":{\"b\":1},\"c\":2", " a=\"{\\\"b\\\":1}\" c=2");
}
END_TEST

/* As long as a line may be, and longer: cut, and the rest is still read. */
START_TEST(longest)
{
	static char longer[3 * AUDIT_LINE_MAX], want[3 * AUDIT_LINE_MAX], word[AUDIT_LINE_MAX + 101];

	memset(word, 'w', sizeof(word) - 1);
	snprintf(longer, sizeof(longer), ",\"a\":\"%s\",\"b\":1", word);
	snprintf(want, sizeof(want), " a=%.*s b=1", (int)AUDIT_LINE_MAX - 1, word);
	shows(longer, want);
	snprintf(longer, sizeof(longer), ",\"a\":%s,\"b\":1", word);
	shows(longer, want);
}
END_TEST

/* A line that the writer made, sealed and parsed. */
START_TEST(from_the_writer)
{
	struct store_keys *keys = test_store(1);
	struct audit_key *key;
	struct audit_chain *chain;
	struct audit_text t = {0};
	uint8_t prev[MAC_LEN] = {0};
	char line[AUDIT_LINE_MAX], *text;
	struct audit_line l;
	size_t len, shown;

	ck_assert_int_eq(audit_key_new(keys, &key), 0);
	ck_assert_int_eq(audit_chain_new(key, 3, &chain), 0);
	audit_text_begin(&t, 1764000000000, "mount");
	audit_text_str(&t, "path", "/a \"b\"\n");
	audit_text_u64(&t, "pid", 77);
	const struct audit_seal seal = {.text = &t, .found = AUDIT_NEW};
	ck_assert_int_eq(audit_chain_seal(chain, &seal, prev, line, &len), 0);
	ck_assert_int_eq(audit_line_parse(line, len - 1, &l), 0);
	FILE *out = open_memstream(&text, &shown);
	audit_show_line(out, &l);
	ck_assert_int_eq(fclose(out), 0);
	ck_assert_msg(strncmp(text, "2025-11-24T16:00:00.000Z 3.1 mount", 34) == 0, "%s", text);
	ck_assert_msg(strstr(text, " path=\"/a \\\"b\\\"\\x5cu000a\" pid=77\n"), "%s", text);
	ck_assert_ptr_null(strstr(text, "mac")); /* neither MAC is for people */
	free(text);
	audit_chain_free(chain);
	audit_key_free(key);
	store_keys_free(keys);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {plain_members, escapes, hostile, longest, from_the_writer};

	if (secret_init() != 0)
		return EXIT_FAILURE;
	return said_main("audit_show", NULL, tests, ARRAY_LEN(tests));
}
