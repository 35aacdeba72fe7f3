/* SPDX-License-Identifier: BSD-2-Clause */
/* The text of an audit event: JSON members that are valid whatever bytes the values hold. */
#include "crypto/audit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define VALUE_MAX 600u /* bytes of one value as they stand in the line */
#define DAY_MS 86400000
#define YEAR_9999_MS 253402300799999

/* Add BYTES, all or none. */
static int put(struct audit_text *t, const char *bytes, size_t len)
{
	if (len > sizeof(t->text) - t->len) {
		t->cut = 1;
		return -ENOSPC;
	}
	memcpy(t->text + t->len, bytes, len);
	t->len += len;
	return 0;
}

__attribute__((format(printf, 2, 3))) static int put_fmt(struct audit_text *t, const char *format, ...)
{
	char text[96];
	va_list ap;

	va_start(ap, format);
	int n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(text)) {
		t->cut = 1;
		return -ENOSPC;
	}
	return put(t, text, (size_t)n);
}

/* The day's date, by the civil calendar ("days from civil", backwards); no library asks for a time zone. */
static void put_time(struct audit_text *t, int64_t unix_ms)
{
	if (unix_ms < 0 || unix_ms > YEAR_9999_MS)
		unix_ms = 0;
	int64_t days = unix_ms / DAY_MS, ms = unix_ms % DAY_MS, z = days + 719468;
	int64_t era = z / 146097, doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	int month = (int)(mp < 10 ? mp + 3 : mp - 9), day = (int)(doy - (153 * mp + 2) / 5 + 1);
	int year = (int)(yoe + era * 400 + (month <= 2));
	(void)!put_fmt(t, "\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ\"", year, month, day, (int)(ms / 3600000),
		       (int)(ms / 60000 % 60), (int)(ms / 1000 % 60), (int)(ms % 1000));
}

void audit_text_begin(struct audit_text *t, int64_t unix_ms, const char *event)
{
	t->len = 0;
	t->cut = 0;
	put_time(t, unix_ms);
	(void)!put_fmt(t, ",\"event\":\"%s\"", event);
}

/* Bytes of the UTF-8 character at S, which ends with a NUL; 0 if it is none. */
static size_t utf8_len(const unsigned char *s)
{
	static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
	unsigned c = n > 1 ? s[0] & (0x7fu >> n) : s[0];

	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3fu);
	}
	return n > 1 && (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) ? 0 : n;
}

/* One character of a value as JSON has it; *IN moves on. Returns its length in OUT. */
static size_t escape(const unsigned char **in, char out[8])
{
	const unsigned char *s = *in;
	size_t n = utf8_len(s);

	*in += n ? n : 1;
	if (n == 0)
		return (size_t)snprintf(out, 8, "\\udc%02x", s[0]);
	if (s[0] == '"' || s[0] == '\\')
		return (size_t)snprintf(out, 8, "\\%c", s[0]);
	if (s[0] < 0x20 || s[0] == 0x7f)
		return (size_t)snprintf(out, 8, "\\u%04x", s[0]);
	memcpy(out, s, n);
	return n;
}

void audit_text_str(struct audit_text *t, const char *key, const char *value)
{
	char text[VALUE_MAX + 8];
	size_t len = 0, was = t->len;

	for (const unsigned char *s = (const unsigned char *)value; *s != 0;) {
		char one[8];
		size_t n = escape(&s, one);
		if (len + n > VALUE_MAX) {
			t->cut = 1;
			break;
		}
		memcpy(text + len, one, n);
		len += n;
	}
	if (put_fmt(t, ",\"%s\":\"", key) || put(t, text, len) || put(t, "\"", 1))
		t->len = was;
}

void audit_text_u64(struct audit_text *t, const char *key, uint64_t value)
{
	(void)!put_fmt(t, ",\"%s\":%" PRIu64, key, value);
}

void audit_text_i64(struct audit_text *t, const char *key, int64_t value)
{
	(void)!put_fmt(t, ",\"%s\":%" PRId64, key, value);
}
