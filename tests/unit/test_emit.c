/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines for people and JSON for programs, byte for byte: awkward names, nesting, commas, alignment. */
#include "tests/unit/said.h"

#include "tools/emit.h"

static struct emit e;
static char *text;
static size_t len;

static void begin(bool json)
{
	e = (struct emit){.out = open_memstream(&text, &len), .json = json};
	ck_assert_ptr_nonnull(e.out);
}

/* What was written is WANT. */
static void is(const char *want)
{
	ck_assert_int_eq(fclose(e.out), 0);
	ck_assert_str_eq(text, want);
	ck_assert_uint_eq(len, strlen(want));
	free(text);
}

/* Text that a terminal gets */

START_TEST(escaped)
{
	const struct {
		const char *in, *out;
	} row[] = {
		{"", ""},
		{"plain name.txt", "plain name.txt"},
		{"a\nb", "a\\x0ab"},
		{"\x1b[31mred", "\\x1b[31mred"},
		{"tab\tbell\a", "tab\\x09bell\\x07"},
		{"back\\slash", "back\\x5cslash"}, /* or "\x41" in a name would look like an escape */
		{"del\x7f", "del\\x7f"},
		{"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
		{"\xe2\x82\xac\xf0\x9f\x98\x80", "\xe2\x82\xac\xf0\x9f\x98\x80"},
		{"\xc2\x9b"
		 "31m",
		 "\\xc2\\x9b31m"},        /* CSI of C1 */
		{"\xc2\xa0", "\xc2\xa0"}, /* the first behind C1 */
		{"a\xe2\x80\xae"
		 "txt.exe",
		 "a\\xe2\\x80\\xaetxt.exe"}, /* right-to-left override */
		{"\xe2\x80\xaa\xe2\x80\xa9", "\\xe2\\x80\\xaa\xe2\x80\xa9"},
		{"\xe2\x81\xa6\xe2\x81\xa9\xe2\x81\xaa", "\\xe2\\x81\\xa6\\xe2\\x81\\xa9\xe2\x81\xaa"},
		{"\xff\xfe", "\\xff\\xfe"},
		{"\xc3", "\\xc3"},                   /* cut off */
		{"\xc3(", "\\xc3("},                 /* not continued: what follows stands for itself */
		{"\xc0\xaf", "\\xc0\\xaf"},          /* overlong */
		{"\xed\xa0\x80", "\\xed\\xa0\\x80"}, /* surrogate */
		{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
		{"'\"`$", "'\"`$"}, /* for eyes, not for a shell */
	};

	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		begin(false);
		emit_escaped(e.out, row[i].in);
		is(row[i].out);
	}
}
END_TEST

/* JSON */

START_TEST(json_members)
{
	const uint8_t id[4] = {0x00, 0x0f, 0xa0, 0xff};

	begin(true);
	emit_open(&e, NULL);
	emit_str(&e, "name", "x");
	emit_u64(&e, "most", UINT64_MAX);
	emit_i64(&e, "least", INT64_MIN);
	emit_i64(&e, "minus", -1);
	emit_bool(&e, "yes", true);
	emit_bool(&e, "no", false);
	emit_hex(&e, "id", id, sizeof(id));
	emit_hex(&e, "none", id, 0);
	emit_fmt(&e, "fmt", "%s:%04x", "a\"b", 0xbeef);
	emit_close(&e);
	is("{\"name\": \"x\", \"most\": 18446744073709551615, \"least\": -9223372036854775808, \"minus\": -1, "
	   "\"yes\": true, \"no\": false, \"id\": \"000fa0ff\", \"none\": \"\", \"fmt\": \"a\\\"b:beef\"}\n");
}
END_TEST

START_TEST(json_strings)
{
	const struct {
		const char *in, *out;
	} row[] = {
		{"", "{\"k\": \"\"}\n"},
		{"\"\\/", "{\"k\": \"\\\"\\\\/\"}\n"},
		{"\n\t\x01\x7f", "{\"k\": \"\\u000a\\u0009\\u0001\\u007f\"}\n"},
		{"\xc3\xbc", "{\"k\": \"\xc3\xbc\"}\n"},
		{"\xff"
		 "a",
		 "{\"k\": \"\\udcffa\"}\n"}, /* had back from the string: surrogateescape */
		{"\xc3", "{\"k\": \"\\udcc3\"}\n"},
	};

	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		begin(true);
		emit_open(&e, NULL);
		emit_str(&e, "k", row[i].in);
		emit_close(&e);
		is(row[i].out);
	}
	begin(true);
	emit_open(&e, NULL);
	emit_str(&e, "a\"b\n", "");
	emit_close(&e);
	is("{\"a\\\"b\\u000a\": \"\"}\n"); /* names too */
}
END_TEST

START_TEST(json_nested)
{
	begin(true);
	emit_open(&e, NULL);
	emit_list(&e, "empty");
	emit_close(&e);
	emit_open(&e, "object");
	emit_close(&e);
	emit_list(&e, "list");
	for (uint64_t i = 1; i <= 3; i++) {
		emit_open(&e, NULL);
		emit_u64(&e, "n", i);
		if (i == 2) {
			emit_list(&e, "deep");
			emit_str(&e, NULL, "a");
			emit_str(&e, NULL, "b");
			emit_close(&e);
			emit_bool(&e, "after", true);
		}
		emit_close(&e);
	}
	emit_close(&e);
	emit_u64(&e, "last", 9);
	emit_close(&e);
	is("{\"empty\": [], \"object\": {}, \"list\": [{\"n\": 1}, {\"n\": 2, \"deep\": [\"a\", \"b\"], \"after\": "
	   "true}, "
	   "{\"n\": 3}], \"last\": 9}\n");
}
END_TEST

/* One object per line: each begins anew. */
START_TEST(json_lines)
{
	begin(true);
	for (int i = 0; i < 2; i++) {
		emit_open(&e, NULL);
		emit_i64(&e, "i", i);
		emit_close(&e);
	}
	is("{\"i\": 0}\n{\"i\": 1}\n");
}
END_TEST

/* As deep as it goes, and a close too many. */
START_TEST(depth)
{
	begin(true);
	for (int i = 0; i < EMIT_DEPTH; i++)
		emit_open(&e, i ? "o" : NULL);
	ck_assert_int_eq(e.depth, EMIT_DEPTH);
	emit_open(&e, "refused");
	emit_list(&e, "refused");
	ck_assert_int_eq(e.depth, EMIT_DEPTH);
	emit_bool(&e, "x", true);
	for (int i = 0; i < EMIT_DEPTH + 3; i++)
		emit_close(&e);
	ck_assert_int_eq(e.depth, 0);
	is("{\"o\": {\"o\": {\"o\": {\"o\": {\"o\": {\"o\": {\"o\": {\"x\": true}}}}}}}}\n");
}
END_TEST

START_TEST(fmt_cut)
{
	char longer[1500], want[1200];

	memset(longer, 'y', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	snprintf(want, sizeof(want), "{\"k\": \"%.1023s\"}\n", longer);
	begin(true);
	emit_open(&e, NULL);
	emit_fmt(&e, "k", "%s", longer);
	emit_close(&e);
	is(want);
}
END_TEST

/* Lines */

START_TEST(lines_members)
{
	const uint8_t id[2] = {0xab, 0x01};

	begin(false);
	emit_open(&e, NULL);
	emit_str(&e, "name", "a\nb");
	emit_u64(&e, "disk_size", 42);
	emit_i64(&e, "exit", -5);
	emit_bool(&e, "well_formed", true);
	emit_bool(&e, "dirty", false);
	emit_hex(&e, "id", id, sizeof(id));
	emit_fmt(&e, "features_read_only_compatible", "%#x", 16);
	emit_close(&e);
	is("name                           a\\x0ab\n"
	   "disk size                      42\n"
	   "exit                           -5\n"
	   "well formed                    yes\n"
	   "dirty                          no\n"
	   "id                             ab01\n"
	   "features read only compatible  0x10\n");
}
END_TEST

/* Values stand in one column at every depth; a key longer than it pushes its own value only. */
START_TEST(lines_nested)
{
	begin(false);
	emit_open(&e, NULL);
	emit_str(&e, "top", "1");
	emit_list(&e, "slots");
	emit_open(&e, NULL);
	emit_u64(&e, "kek", 1);
	emit_str(&e, "a_key_that_is_longer_than_the_column", "v");
	emit_close(&e);
	emit_close(&e);
	emit_open(&e, "final");
	emit_u64(&e, "flags", 0);
	emit_close(&e);
	emit_close(&e);
	is("top                            1\n"
	   "slots                          \n"
	   "    kek                        1\n"
	   "    a key that is longer than the columnv\n"
	   "final                          \n"
	   "  flags                        0\n");
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		escaped, json_members, json_strings,  json_nested,  json_lines,
		depth,   fmt_cut,      lines_members, lines_nested,
	};

	return said_main("emit", NULL, tests, ARRAY_LEN(tests));
}
