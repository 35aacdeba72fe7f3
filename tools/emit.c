/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines and JSON. */
#include "tools/emit.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>

#include "crypto/json.h"
#include "fs/watch/printable.h"

#define KEY_WIDTH 31 /* the longest key, and a space */

void emit_escaped(FILE *out, const char *text)
{
	printable_put(out, text);
}

/* A JSON string, quotes included, escaped as crypto/json.h says. */
static void emit_json_string(FILE *out, const char *text)
{
	fputc('"', out);
	while (*text) {
		char one[JSON_CHAR_MAX];
		size_t n = json_char(&text, one);

		fwrite(one, 1, n, out);
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
			e->some[e->depth - 1] = true;
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

static void level(struct emit *e, const char *key, bool list)
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
	e->some[e->depth] = false;
	e->list[e->depth++] = list;
}

void emit_open(struct emit *e, const char *key)
{
	level(e, key, false);
}

void emit_list(struct emit *e, const char *key)
{
	level(e, key, true);
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

void emit_bool(struct emit *e, const char *key, bool value)
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
