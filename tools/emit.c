/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines and JSON. */
#include "tools/emit.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define KEY_WIDTH 31 /* the longest key, and a space */

/* Bytes of the UTF-8 character at S (1 to 4), 0 if it is none; *CODE is its number. */
static int utf8_char(const unsigned char *s, uint32_t *code)
{
	if (s[0] < 0x80) {
		*code = s[0];
		return 1;
	}
	int n = s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;
	if (n == 0 || s[0] >= 0xf5)
		return 0;
	uint32_t c = s[0] & (0x7fu >> n);
	for (int i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3fu);
	}
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	*code = c;
	return n;
}

void emit_escaped(FILE *out, const char *text)
{
	for (const unsigned char *s = (const unsigned char *)text; *s;) {
		uint32_t c;
		int n = utf8_char(s, &c);
		/* C1 controls too: some terminals obey them. Bidirectional overrides make one name look like another. */
		int bad = n == 0 || c < 0x20 || c == '\\' || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) ||
			  (c >= 0x2066 && c <= 0x2069);
		for (int i = 0; i < (n ? n : 1); i++, s++) {
			if (bad)
				fprintf(out, "\\x%02x", *s);
			else
				fputc(*s, out);
		}
	}
}

void emit_json_string(FILE *out, const char *text)
{
	fputc('"', out);
	for (const unsigned char *s = (const unsigned char *)text; *s;) {
		uint32_t c;
		int n = utf8_char(s, &c);
		if (n == 0)
			fprintf(out, "\\udc%02x", *s);
		else if (c == '"' || c == '\\')
			fprintf(out, "\\%c", (int)c);
		else if (c < 0x20 || c == 0x7f)
			fprintf(out, "\\u%04x", (unsigned)c);
		else
			fwrite(s, 1, (size_t)n, out);
		s += n ? n : 1;
	}
	fputc('"', out);
}

/* What comes before a value: comma and name, or indentation and name. */
static void put_key(struct emit *e, const char *key)
{
	if (e->json) {
		if (e->depth && e->some[e->depth - 1])
			fputs(", ", e->out);
		if (e->depth)
			e->some[e->depth - 1] = 1;
		if (key) {
			emit_json_string(e->out, key);
			fputs(": ", e->out);
		}
		return;
	}
	int width = KEY_WIDTH;
	for (int i = 1; i < e->depth; i++) {
		fputs("  ", e->out);
		width -= 2;
	}
	for (const char *p = key ? key : ""; *p; p++, width--)
		fputc(*p == '_' ? ' ' : *p, e->out);
	while (width-- > 0)
		fputc(' ', e->out);
}

static void put_end(struct emit *e)
{
	if (!e->json)
		fputc('\n', e->out);
}

static void level(struct emit *e, const char *key, int list)
{
	if (e->depth == EMIT_DEPTH)
		return;
	if (e->json) {
		put_key(e, key);
		fputc(list ? '[' : '{', e->out);
	} else if (key) {
		put_key(e, key);
		fputc('\n', e->out);
	}
	e->some[e->depth] = 0;
	e->list[e->depth++] = list;
}

void emit_open(struct emit *e, const char *key)
{
	level(e, key, 0);
}

void emit_list(struct emit *e, const char *key)
{
	level(e, key, 1);
}

void emit_close(struct emit *e)
{
	if (e->depth == 0)
		return;
	e->depth--;
	if (!e->json)
		return;
	fputc(e->list[e->depth] ? ']' : '}', e->out);
	if (e->depth == 0)
		fputc('\n', e->out);
}

void emit_str(struct emit *e, const char *key, const char *value)
{
	put_key(e, key);
	if (e->json)
		emit_json_string(e->out, value);
	else
		emit_escaped(e->out, value);
	put_end(e);
}

void emit_u64(struct emit *e, const char *key, uint64_t value)
{
	put_key(e, key);
	fprintf(e->out, "%" PRIu64, value);
	put_end(e);
}

void emit_i64(struct emit *e, const char *key, int64_t value)
{
	put_key(e, key);
	fprintf(e->out, "%" PRId64, value);
	put_end(e);
}

void emit_bool(struct emit *e, const char *key, int value)
{
	put_key(e, key);
	fputs(e->json ? (value ? "true" : "false") : (value ? "yes" : "no"), e->out);
	put_end(e);
}

void emit_hex(struct emit *e, const char *key, const uint8_t *bytes, size_t len)
{
	put_key(e, key);
	if (e->json)
		fputc('"', e->out);
	for (size_t i = 0; i < len; i++)
		fprintf(e->out, "%02x", bytes[i]);
	if (e->json)
		fputc('"', e->out);
	put_end(e);
}

void emit_fmt(struct emit *e, const char *key, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	emit_str(e, key, text);
}
