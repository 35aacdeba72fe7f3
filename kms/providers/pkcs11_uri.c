/* SPDX-License-Identifier: BSD-2-Clause */
/* References of the provider `pkcs11:`: URIs of RFC 7512, of which a token and a key are kept, in one order. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kms/providers/pkcs11.h"

#define SCHEME "pkcs11:"

#define SAY(why, ...) (snprintf(why, KMS_TEXT_MAX, __VA_ARGS__), -EINVAL)

static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
/* What else may stand as it is (RFC 7512, 2.3), in the path and in the query. */
static const char path_chars[] = ":[]@!$'()*+,=&", query_chars[] = ":[]@!$'()*+,=/?|";

static const char *const types[] = {[P11_SECRET_KEY] = "secret-key", [P11_PRIVATE] = "private"};

/* NAME=VALUE, not yet decoded. */
struct attribute {
	const char *name, *value;
	size_t name_len, len;
};

static bool is(const struct attribute *a, const char *name)
{
	return strlen(name) == a->name_len && memcmp(name, a->name, a->name_len) == 0;
}

/* The next one at *AT, which ends at END or at SEPARATOR. 1, 0 at the end, -EINVAL. */
static int attribute_next(const char **at, const char *end, char separator, struct attribute *out,
			  char why[KMS_TEXT_MAX])
{
	if (*at == end)
		return 0;
	const char *stop = memchr(*at, separator, (size_t)(end - *at));
	stop = stop ? stop : end;
	const char *equals = memchr(*at, '=', (size_t)(stop - *at));
	if (!equals || equals == *at)
		return SAY(why, "'%.*s' is not NAME=VALUE", (int)(stop - *at < 60 ? stop - *at : 60), *at);
	*out = (struct attribute){.name = *at,
				  .name_len = (size_t)(equals - *at),
				  .value = equals + 1,
				  .len = (size_t)(stop - equals - 1)};
	*at = stop == end ? end : stop + 1;
	if (stop != end && *at == end)
		return SAY(why, "'%c' with nothing behind it", separator);
	return 1;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* Percent-decoded into OUT (at most MAX bytes). The number of them, or -EINVAL. */
static int decode(const struct attribute *a, const char *also, uint8_t *out, size_t max, char why[KMS_TEXT_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < a->len; i++) {
		unsigned char c = (unsigned char)a->value[i];

		if (c == '%') {
			int high = i + 2 < a->len ? hex_digit(a->value[i + 1]) : -1;
			int low = i + 2 < a->len ? hex_digit(a->value[i + 2]) : -1;
			if (high < 0 || low < 0)
				return SAY(why, "%.*s: '%%' without two hex digits behind it", (int)a->name_len,
					   a->name);
			c = (unsigned char)(high << 4 | low);
			i += 2;
		} else if (!strchr(unreserved, c) && !strchr(also, c)) {
			return SAY(why, "%.*s: '%c' must be written as %%%02X", (int)a->name_len, a->name,
				   c > ' ' && c < 0x7f ? c : '?', c);
		}
		if (n == max)
			return SAY(why, "%.*s is longer than %zu bytes", (int)a->name_len, a->name, max);
		out[n++] = c;
	}
	return n ? (int)n : SAY(why, "%.*s is empty", (int)a->name_len, a->name);
}

/* A text of at most MAX bytes into OUT, which is MAX + 1 bytes long and empty so far. */
static int text_take(const struct attribute *a, const char *also, char *out, size_t max, char why[KMS_TEXT_MAX])
{
	if (out[0])
		return SAY(why, "%.*s is there twice", (int)a->name_len, a->name);
	int n = decode(a, also, (uint8_t *)out, max, why);
	if (n < 0)
		return n;
	out[n] = '\0';
	for (int i = 0; i < n; i++)
		if ((unsigned char)out[i] < ' ' || out[i] == 0x7f)
			return SAY(why, "%.*s contains a control character", (int)a->name_len, a->name);
	return 0;
}

static int type_take(const struct attribute *a, struct p11_uri *out, char why[KMS_TEXT_MAX])
{
	if (out->type)
		return SAY(why, "type is there twice");
	for (uint32_t t = P11_SECRET_KEY; t < ARRAY_LEN(types); t++)
		if (strlen(types[t]) == a->len && memcmp(types[t], a->value, a->len) == 0)
			out->type = t;
	return out->type ? 0
			 : SAY(why, "type is secret-key or private, not '%.*s'", (int)(a->len < 40 ? a->len : 40),
			       a->value);
}

static int id_take(const struct attribute *a, struct p11_uri *out, char why[KMS_TEXT_MAX])
{
	if (out->id_len)
		return SAY(why, "id is there twice");
	int n = decode(a, path_chars, out->id, P11_ID_MAX, why);
	out->id_len = n > 0 ? (uint32_t)n : 0;
	return n < 0 ? n : 0;
}

/* What a token says of itself besides: it names no key, and changes with the vendor's software. */
static bool is_dropped(const struct attribute *a)
{
	static const char *const names[] = {"manufacturer",        "model",           "library-manufacturer",
					    "library-description", "library-version", "slot-manufacturer",
					    "slot-description",    "slot-id"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (is(a, names[i]))
			return true;
	return false;
}

static int path_take(const struct attribute *a, struct p11_uri *out, char why[KMS_TEXT_MAX])
{
	uint8_t scratch[256];
	int r;

	if (is(a, "token"))
		return text_take(a, path_chars, out->token, P11_TOKEN_MAX, why);
	if (is(a, "serial"))
		return text_take(a, path_chars, out->serial, P11_SERIAL_MAX, why);
	if (is(a, "object"))
		return text_take(a, path_chars, out->object, P11_OBJECT_MAX, why);
	if (is(a, "id"))
		return id_take(a, out, why);
	if (is(a, "type"))
		return type_take(a, out, why);
	r = is_dropped(a) ? decode(a, path_chars, scratch, sizeof(scratch), why)
			  : SAY(why, "'%.*s' is not token, serial, object, id or type",
				(int)(a->name_len < 40 ? a->name_len : 40), a->name);
	return r < 0 ? r : 0;
}

/* One attribute of the query as VALUE of an option, decoded. */
static int query_take(const struct attribute *a, char value[KMS_OPTION_VALUE_MAX + 1], char why[KMS_TEXT_MAX])
{
	value[0] = '\0';
	if (is(a, "pin-value"))
		return SAY(why,
			   "pin-value: a PIN has no place in a reference, which everybody may see: pin-source=FILE");
	if (is(a, "module-name"))
		return SAY(why, "module-name is the path of a library here: module-path=FILE");
	if (!is(a, "module-path") && !is(a, "module-args") && !is(a, "pin-source"))
		return SAY(why, "'%.*s' behind the '?' is not module-path, module-args or pin-source",
			   (int)(a->name_len < 40 ? a->name_len : 40), a->name);
	int r = text_take(a, query_chars, value, KMS_OPTION_VALUE_MAX, why);
	if (r || !is(a, "pin-source"))
		return r;
	if (value[0] == '|')
		return SAY(why, "pin-source is a file here, and no command");
	size_t file = strncmp(value, "file://", 7) == 0 ? 7 : strncmp(value, "file:", 5) == 0 ? 5 : 0;
	memmove(value, value + file, strlen(value + file) + 1);
	return 0;
}

int p11_uri_option(const char *ref, size_t i, char *out, size_t len, char why[KMS_TEXT_MAX])
{
	const char *at = strchr(ref, '?'), *end = ref + strlen(ref);
	char value[KMS_OPTION_VALUE_MAX + 1];
	struct attribute a;
	int r = 0;

	at = at ? at + 1 : end;
	for (size_t n = 0; n <= i; n++) {
		r = attribute_next(&at, end, '&', &a, why);
		if (r != 1)
			return r;
	}
	r = query_take(&a, value, why);
	if (r)
		return r;
	snprintf(out, len, "%.*s=%s", (int)a.name_len, a.name, value);
	return 1;
}

static int query_check(const char *ref, char why[KMS_TEXT_MAX])
{
	char text[KMS_OPTION_NAME_MAX + KMS_OPTION_VALUE_MAX + 2];
	int r = 1;

	for (size_t i = 0; r == 1; i++)
		r = p11_uri_option(ref, i, text, sizeof(text), why);
	return r;
}

int p11_uri_parse(const char *ref, struct p11_uri *out, char why[KMS_TEXT_MAX])
{
	const char *at = ref + strlen(SCHEME);
	struct attribute a;
	int r;

	memset(out, 0, sizeof(*out));
	if (strncmp(ref, SCHEME, strlen(SCHEME)) != 0)
		return SAY(why, "'%.100s' is not pkcs11:token=LABEL;object=LABEL", ref);
	const char *end = at + strcspn(at, "?");
	while ((r = attribute_next(&at, end, ';', &a, why)) == 1) {
		r = path_take(&a, out, why);
		if (r)
			return r;
	}
	if (r)
		return r;
	if (*end && !end[1])
		return SAY(why, "'?' with nothing behind it");
	if (!out->token[0] && !out->serial[0])
		return SAY(why, "no token: pkcs11:token=LABEL;... or serial=NUMBER");
	if (!out->object[0] && !out->id_len)
		return SAY(why, "no key: pkcs11:...;object=LABEL or id=%%01");
	return query_check(ref, why);
}

/* Everything written so far, and where the next byte goes. */
struct uri_line {
	char *text;
	size_t n;
};

static void put(struct uri_line *l, const char *text)
{
	l->n += (size_t)snprintf(l->text + (l->n < KMS_REF_MAX ? l->n : KMS_REF_MAX),
				 l->n < KMS_REF_MAX ? KMS_REF_MAX + 1 - l->n : 1, "%s", text);
}

/* One attribute: what need not be is not percent-coded, and an id is so whole (RFC 7512, 2.3). */
static void put_attribute(struct uri_line *l, const char *name, const uint8_t *value, size_t len)
{
	char coded[8];

	if (!len)
		return;
	put(l, l->n > strlen(SCHEME) ? ";" : "");
	put(l, name);
	put(l, "=");
	for (size_t i = 0; i < len; i++) {
		bool plain = strcmp(name, "id") != 0 && value[i] && strchr(unreserved, value[i]);

		if (plain)
			snprintf(coded, sizeof(coded), "%c", value[i]);
		else
			snprintf(coded, sizeof(coded), "%%%02X", value[i]);
		put(l, coded);
	}
}

int p11_uri_write(const struct p11_uri *u, char out[KMS_REF_MAX + 1])
{
	struct uri_line l = {.text = out};
	const char *type = u->type ? types[u->type] : "";

	put(&l, SCHEME);
	put_attribute(&l, "token", (const uint8_t *)u->token, strlen(u->token));
	put_attribute(&l, "serial", (const uint8_t *)u->serial, strlen(u->serial));
	put_attribute(&l, "object", (const uint8_t *)u->object, strlen(u->object));
	put_attribute(&l, "id", u->id, u->id_len);
	put_attribute(&l, "type", (const uint8_t *)type, strlen(type));
	return l.n > KMS_REF_MAX ? -ENAMETOOLONG : 0;
}
