/* SPDX-License-Identifier: BSD-2-Clause */
/* The JSON writer: vectors, every character, every short run of bytes, buffers that are too small. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/auto.h"
#include "crypto/json.h"

static char room[256];

/* The object that has TEXT as its only member, with a NUL behind. */
static const char *member(const char *text)
{
	struct json j = {.text = room, .size = sizeof(room) - 1};

	json_raw(&j, "{", 1);
	json_str(&j, "k", text, SIZE_MAX);
	json_raw(&j, "}", 1);
	ck_assert(!j.cut);
	room[j.len] = '\0';
	return room;
}

START_TEST(vectors)
{
	static const struct {
		const char *text, *json;
	} v[] = {
		{"", ""},
		{"/mnt/backup", "/mnt/backup"},
		{"m\xc3\xa4", "m\xc3\xa4"}, /* the mount point that was told as m\u00c3\u00a4 */
		{"\xe2\x82\xac\xf0\x9f\x94\x91", "\xe2\x82\xac\xf0\x9f\x94\x91"},
		{"say \"no\" \\ yes", "say \\\"no\\\" \\\\ yes"},
		{"a\nb\tc\x01\x1f", "a\\u000ab\\u0009c\\u0001\\u001f"},
		{"\x7f", "\\u007f"},
		{"\xc2\x9b"
		 "31m",
		 "\\u009b31m"}, /* what some terminals take for ESC [ */
		{"\xe2\x80\xae"
		 "a\xe2\x81\xa6",
		 "\\u202ea\\u2066"}, /* turns the rest of the line round */
		{"\xff", "\\udcff"},
		{"caf\xe9", "caf\\udce9"},                            /* Latin-1 */
		{"\xc3", "\\udcc3"},                                  /* cut off */
		{"\xc3(", "\\udcc3("},                                /* and something else behind it */
		{"\xe2\x82", "\\udce2\\udc82"},                       /* likewise */
		{"\xc0\xaf", "\\udcc0\\udcaf"},                       /* overlong '/' */
		{"\xe0\x80\xaf", "\\udce0\\udc80\\udcaf"},            /* likewise */
		{"\xed\xa0\x80", "\\udced\\udca0\\udc80"},            /* a surrogate */
		{"\xf4\x90\x80\x80", "\\udcf4\\udc90\\udc80\\udc80"}, /* above U+10FFFF */
	};
	char want[256];

	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		snprintf(want, sizeof(want), "{\"k\":\"%s\"}", v[i].json);
		ck_assert_str_eq(member(v[i].text), want);
	}
}
END_TEST

static size_t encode(uint32_t c, char out[5])
{
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	memset(out, 0, 5);
	if (n == 1)
		out[0] = (char)c;
	for (size_t i = n; n > 1 && i-- > 0; c >>= 6)
		out[i] = (char)(i > 0 ? 0x80 | (c & 0x3f) : (0xf00u >> n & 0xf0) | c);
	return n;
}

/* Every character but surrogates is known; all but controls, quotes and backslashes pass as they are. */
START_TEST(characters)
{
	for (uint32_t c = 1; c <= 0x10ffff; c++) {
		char text[5], out[JSON_CHAR_MAX];
		const char *at = text;
		uint32_t code;
		size_t n = encode(c, text), len = utf8_char(text, &code);

		if (c >= 0xd800 && c < 0xe000) {
			ck_assert_uint_eq(len, 0);
			continue;
		}
		if (len != n || code != c)
			ck_abort_msg("U+%04X: length %zu, code %04X", c, len, code);
		len = json_char(&at, out);
		bool plain = !text_obeyed(c) && c != '"' && c != '\\';
		if (at != text + n || plain != (len == n && memcmp(out, text, n) == 0))
			ck_abort_msg("U+%04X becomes %.*s", c, (int)len, out);
	}
}
END_TEST

/* What a reader makes of a string of ours: its bytes again; false when it is no JSON string. No ck_assert, which is slow. */
static bool unescape(const char *json, char *out, size_t *len)
{
	for (*len = 0; *json;) {
		uint32_t code;
		size_t n = utf8_char(json, &code);

		if (n == 0 || code < 0x20 || code == '"' || code == 0x7f)
			return false;
		if (code != '\\') {
			memcpy(out + *len, json, n);
			*len += n;
			json += n;
			continue;
		}
		code = (unsigned char)json[1];
		if (code == 'u') {
			char utf8[5];

			code = (unsigned)strtoul((char[5]){json[2], json[3], json[4], json[5]}, NULL, 16);
			json += 6;
			n = code >= 0xdc80 && code <= 0xdcff ? 1 : text_obeyed(code) ? encode(code, utf8) : 0;
			if (n == 0)
				return false;
			if (code >= 0xdc80)
				utf8[0] = (char)code;
			memcpy(out + *len, utf8, n);
			*len += n;
			continue;
		} else if (code != '"' && code != '\\') {
			return false;
		}
		json += 2;
		out[(*len)++] = (char)code;
	}
	return true;
}

static void check_bytes(const char *text, size_t len)
{
	char json[8 * JSON_CHAR_MAX + 1] = "", again[8 * JSON_CHAR_MAX];
	size_t n = 0;

	for (const char *at = text; at < text + len;)
		n += json_char(&at, json + n);
	if (!unescape(json, again, &n) || n != len || memcmp(again, text, len) != 0)
		ck_abort_msg("%02x %02x %02x %02x becomes %s", text[0] & 0xff, text[1] & 0xff, text[2] & 0xff,
			     text[3] & 0xff, json);
}

/* Every run of two bytes, and of three and four those with a byte of each class at each place. */
START_TEST(bytes)
{
	static const unsigned char class[] = {0x01, '"',  '\\', 'a',  0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1,
					      0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff};

	for (unsigned a = 1; a < 256; a++)
		for (unsigned b = 1; b < 256; b++)
			check_bytes((char[8]){(char)a, (char)b}, 2);
	for (size_t i = 0; i < ARRAY_LEN(class) * ARRAY_LEN(class) * ARRAY_LEN(class) * ARRAY_LEN(class); i++) {
		char text[8] = {0};
		size_t rest = i;

		for (size_t k = 0; k < 4; k++, rest /= ARRAY_LEN(class))
			text[k] = (char)class[rest % ARRAY_LEN(class)];
		check_bytes(text, 4);
		text[3] = 0;
		check_bytes(text, 3);
	}
}
END_TEST

START_TEST(numbers)
{
	struct json j = {.text = room, .size = sizeof(room) - 1};

	json_u64(&j, "most", UINT64_MAX);
	json_i64(&j, "least", INT64_MIN);
	json_u64(&j, "none", 0);
	room[j.len] = '\0';
	ck_assert_str_eq(room, "\"most\":18446744073709551615,\"least\":-9223372036854775808,\"none\":0");
}
END_TEST

/* A value ends at its limit between two characters, and the member is whole. */
START_TEST(value_cut)
{
	struct json j = {.text = room, .size = sizeof(room) - 1};

	json_str(&j, "k", "ab\xc3\xa4\n", 9);
	ck_assert(j.cut);
	room[j.len] = '\0';
	ck_assert_str_eq(room, "\"k\":\"ab\xc3\xa4\"");
	j = (struct json){.text = room, .size = sizeof(room) - 1};
	json_str(&j, "k", "ab\xc3\xa4\n", 10);
	ck_assert(!j.cut);
	j = (struct json){.text = room, .size = sizeof(room) - 1};
	json_str(&j, "k", "ab", 0);
	ck_assert(j.cut);
	room[j.len] = '\0';
	ck_assert_str_eq(room, "\"k\":\"\"");
}
END_TEST

/* Whatever the size of the buffer: members are whole or left out, and nothing is written behind its end. */
START_TEST(small_buffers)
{
	static const char whole[] = "{\"a\":\"\\udcff\",\"n\":-1}";

	for (size_t size = 0; size <= sizeof(whole) - 1; size++) {
		AUTO(auto_free) char *text = malloc(size + 1);
		struct json j = {.text = text, .size = size};

		text[size] = '#';
		json_raw(&j, "{", 1);
		json_str(&j, "a", "\xff", SIZE_MAX);
		json_i64(&j, "n", -1);
		json_raw(&j, "}", 1);
		ck_assert_int_eq(text[size], '#');
		ck_assert_uint_le(j.len, size);
		ck_assert_int_eq(j.cut, size < sizeof(whole) - 1);
		if (!j.cut)
			ck_assert_mem_eq(text, whole, size);
		else if (j.len > 1 && j.text[j.len - 1] != '}')
			ck_assert(j.text[j.len - 1] == '"' || j.text[j.len - 1] == '1');
	}
}
END_TEST

/* What a terminal would obey, in a message. */
START_TEST(plain)
{
	static const char *const text[][2] = {
		{"key a is disabled", "key a is disabled"},
		{"caf\xc3\xa9 \\ \"q\"", "caf\xc3\xa9 \\ \"q\""},
		{"\x1b]0;owned\a\x1b[2Jx", "?]0;owned??[2Jx"},
		{"a\nb\rc\td\x7f", "a?b?c?d?"},
		{"\xc2\x9b"
		 "31mred",
		 "??31mred"}, /* CSI as one character */
		{"gpj.\xe2\x80\xae"
		 "exe",
		 "gpj.???exe"}, /* right-to-left override */
		{"\xe2\x81\xa6"
		 "x\xff\x9b\xc3",
		 "???x???"},
		{"", ""},
	};

	for (size_t i = 0; i < ARRAY_LEN(text); i++) {
		char copy[64];

		snprintf(copy, sizeof(copy), "%s", text[i][0]);
		text_plain(copy);
		ck_assert_str_eq(copy, text[i][1]);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("json");
	TCase *c = tcase_create("json");

	tcase_add_test(c, vectors);
	tcase_add_test(c, characters);
	tcase_add_test(c, bytes);
	tcase_add_test(c, numbers);
	tcase_add_test(c, value_cut);
	tcase_add_test(c, small_buffers);
	tcase_add_test(c, plain);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0;
}
