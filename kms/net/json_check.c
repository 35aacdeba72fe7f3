/* SPDX-License-Identifier: BSD-2-Clause */
/* JSON looked at before a library parses it: the grammar of RFC 8259 to the letter, UTF-8, and a bound of its depth. */
#include "kms/net/json_check.h"

#include <stdbool.h>
#include <string.h>

#include "crypto/json.h"
#include "kms/net/json.h"

/* AT is never past END, and END is a NUL. */
struct json_scan {
	const char *at, *end;
};

static void skip_space(struct json_scan *s)
{
	while (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r')
		s->at++;
}

static bool take(struct json_scan *s, char c)
{
	if (s->at == s->end || *s->at != c)
		return false;
	s->at++;
	return true;
}

static bool take_word(struct json_scan *s, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
		return false;
	s->at += len;
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool take_digits(struct json_scan *s)
{
	const char *from = s->at;

	while (is_digit(*s->at))
		s->at++;
	return s->at > from;
}

static bool take_number(struct json_scan *s)
{
	(void)take(s, '-');
	if (!take(s, '0') && !take_digits(s))
		return false;
	if (is_digit(*s->at)) /* behind a zero */
		return false;
	if (take(s, '.') && !take_digits(s))
		return false;
	if (*s->at == 'e' || *s->at == 'E') {
		s->at++;
		if (!take(s, '+'))
			(void)take(s, '-');
		return take_digits(s);
	}
	return true;
}

static int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* XXXX of \uXXXX. */
static bool take_unit(struct json_scan *s, unsigned *unit)
{
	*unit = 0;
	for (int i = 0; i < 4; i++, s->at++) {
		int value = hex_value(*s->at);

		if (value < 0)
			return false;
		*unit = *unit * 16 + (unsigned)value;
	}
	return true;
}

/* Behind a backslash. No NUL, and surrogates in pairs only. */
static bool take_escape(struct json_scan *s)
{
	unsigned unit, low;

	if (*s->at != 'u') {
		if (s->at == s->end || !strchr("\"\\/bfnrt", *s->at))
			return false;
		s->at++;
		return true;
	}
	s->at++;
	if (!take_unit(s, &unit) || unit == 0 || (unit >= 0xdc00 && unit <= 0xdfff))
		return false;
	if (unit < 0xd800 || unit > 0xdbff)
		return true;
	return take_word(s, "\\u") && take_unit(s, &low) && low >= 0xdc00 && low <= 0xdfff;
}

static bool take_string(struct json_scan *s)
{
	if (!take(s, '"'))
		return false;
	while (s->at < s->end && *s->at != '"') {
		uint32_t code;

		if ((unsigned char)*s->at < ' ')
			return false;
		if (take(s, '\\')) {
			if (!take_escape(s))
				return false;
			continue;
		}
		size_t n = utf8_char(s->at, &code);
		if (n == 0 || code == 0)
			return false;
		s->at += n;
	}
	return take(s, '"');
}

static bool take_value(struct json_scan *s, unsigned depth);

/* An object (CLOSE is '}') or a list, behind its bracket. */
static bool take_members(struct json_scan *s, char close, unsigned depth)
{
	skip_space(s);
	if (take(s, close))
		return true;
	do {
		skip_space(s);
		if (close == '}') {
			if (!take_string(s))
				return false;
			skip_space(s);
			if (!take(s, ':'))
				return false;
		}
		if (!take_value(s, depth))
			return false;
		skip_space(s);
	} while (take(s, ','));
	return take(s, close);
}

static bool take_value(struct json_scan *s, unsigned depth)
{
	skip_space(s);
	switch (*s->at) {
	case '{':
	case '[': {
		char close = *s->at++ == '{' ? '}' : ']';
		return depth < REPLY_DEPTH && take_members(s, close, depth + 1);
	}
	case '"':
		return take_string(s);
	case 't':
		return take_word(s, "true");
	case 'f':
		return take_word(s, "false");
	case 'n':
		return take_word(s, "null");
	default:
		return take_number(s);
	}
}

bool json_is_object(const char *text, size_t len)
{
	struct json_scan s = {.at = text, .end = text + len};

	skip_space(&s);
	if (*s.at != '{' || !take_value(&s, 0))
		return false;
	skip_space(&s);
	return s.at == s.end;
}
