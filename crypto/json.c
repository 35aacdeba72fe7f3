/* SPDX-License-Identifier: BSD-2-Clause */
/* JSON strings and members from texts that may hold any byte. */
#include "crypto/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

size_t utf8_char(const char *s, uint32_t *code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *b = (const unsigned char *)s;
	size_t n = b[0] < 0x80 ? 1 : b[0] < 0xc2 ? 0 : b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : b[0] < 0xf5 ? 4 : 0;
	uint32_t c = n > 1 ? b[0] & (0x7fu >> n) : b[0];

	for (size_t i = 1; i < n; i++) {
		if ((b[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (b[i] & 0x3fu);
	}
	if (n == 0 || (n > 1 && (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))))
		return 0;
	*code = c;
	return n;
}

bool text_obeyed(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

void text_plain(char *text)
{
	while (*text) {
		uint32_t c;
		size_t n = utf8_char(text, &c);
		bool bad = n == 0 || text_obeyed(c);

		for (const char *end = text + (n ? n : 1); text < end; text++)
			if (bad)
				*text = '?';
	}
}

static size_t escape(char out[JSON_CHAR_MAX], const char *before, uint32_t code)
{
	static const char hex[] = "0123456789abcdef";

	memcpy(out, before, 4);
	out[4] = hex[code >> 4 & 15];
	out[5] = hex[code & 15];
	return 6;
}

size_t json_char(const char **text, char out[JSON_CHAR_MAX])
{
	const char *s = *text;
	uint32_t code;
	size_t n = utf8_char(s, &code);

	*text += n ? n : 1;
	if (n == 0)
		return escape(out, "\\udc", (unsigned char)s[0]);
	if (text_obeyed(code))
		return escape(out, code < 0x100 ? "\\u00" : "\\u20", code);
	if (code != '"' && code != '\\') {
		memcpy(out, s, n);
		return n;
	}
	out[0] = '\\';
	out[1] = s[0];
	return 2;
}

/* Add BYTES, all or none. */
static bool put(struct json *j, const char *bytes, size_t len)
{
	if (len > j->size - j->len) {
		j->cut = true;
		return false;
	}
	memcpy(j->text + j->len, bytes, len);
	j->len += len;
	return true;
}

static bool put_key(struct json *j, const char *key)
{
	bool first = j->len == 0 || j->text[j->len - 1] == '{';

	return put(j, ",", first ? 0 : 1) && put(j, "\"", 1) && put(j, key, strlen(key)) && put(j, "\":", 2);
}

/* The value up to MAX bytes; false when even that does not fit. */
static bool put_value(struct json *j, const char *value, size_t max)
{
	size_t from = j->len;

	while (*value) {
		char one[JSON_CHAR_MAX];
		size_t n = json_char(&value, one);

		if (n > max - (j->len - from)) {
			j->cut = true;
			return true;
		}
		if (!put(j, one, n))
			return false;
	}
	return true;
}

void json_raw(struct json *j, const char *bytes, size_t len)
{
	(void)put(j, bytes, len); /* `cut` tells */
}

void json_str(struct json *j, const char *key, const char *value, size_t max)
{
	size_t before = j->len;

	if (!put_key(j, key) || !put(j, "\"", 1) || !put_value(j, value, max) || !put(j, "\"", 1))
		j->len = before;
}

static void put_number(struct json *j, const char *key, const char *digits)
{
	size_t before = j->len;

	if (!put_key(j, key) || !put(j, digits, strlen(digits)))
		j->len = before;
}

void json_u64(struct json *j, const char *key, uint64_t value)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%" PRIu64, value);
	put_number(j, key, digits);
}

void json_i64(struct json *j, const char *key, int64_t value)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%" PRId64, value);
	put_number(j, key, digits);
}
