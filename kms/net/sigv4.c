/* SPDX-License-Identifier: BSD-2-Clause */
/* AWS Signature Version 4: the headers by which a request says who sends it. */
#include "kms/net/sigv4.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define HASH_LEN crypto_hash_sha256_BYTES
#define HEX_LEN (2 * HASH_LEN + 1)
#define ALGORITHM "AWS4-HMAC-SHA256"
#define DATE_HEADER "x-amz-date:"
#define SCOPE_MAX 192u

/* A header to be signed: the name before the colon, the value behind it. */
struct signed_header {
	const char *text;
	size_t name_len;
};

static void feed(crypto_hash_sha256_state *s, const char *text, size_t len)
{
	crypto_hash_sha256_update(s, (const unsigned char *)text, len);
}

static void feed_text(crypto_hash_sha256_state *s, const char *text)
{
	feed(s, text, strlen(text));
}

static char lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

static void feed_name(crypto_hash_sha256_state *s, const struct signed_header *h)
{
	for (size_t i = 0; i < h->name_len; i++) {
		char c = lower(h->text[i]);

		feed(s, &c, 1);
	}
}

/* Without white space around it, and each run of it inside as one space. */
static void feed_value(crypto_hash_sha256_state *s, const char *value)
{
	bool begun = false;

	while (*value) {
		size_t white = strspn(value, " \t"), word = strcspn(value + white, " \t");

		if (word && begun)
			feed(s, " ", 1);
		feed(s, value + white, word);
		begun |= word > 0;
		value += white + word;
	}
}

static int header_compare(const struct signed_header *a, const struct signed_header *b)
{
	size_t common = a->name_len < b->name_len ? a->name_len : b->name_len;
	int r = strncasecmp(a->text, b->text, common);

	return r ? r : (a->name_len > b->name_len) - (a->name_len < b->name_len);
}

/* The headers of Q and the date's, sorted by name; those of one name stay in their order. Their number, or -EINVAL. */
static int headers_sort(const struct sigv4_request *q, const char *date, struct signed_header out[SIGV4_HEADERS_MAX])
{
	int n = 0;

	for (size_t i = 0; i == 0 || q->header[i - 1]; i++) {
		const char *text = i ? q->header[i - 1] : date;
		struct signed_header h = {.text = text, .name_len = strcspn(text, ":")};
		int at = n;

		if (n == SIGV4_HEADERS_MAX || !text[h.name_len])
			return -EINVAL;
		for (; at > 0 && header_compare(&out[at - 1], &h) > 0; at--)
			out[at] = out[at - 1];
		out[at] = h;
		n++;
	}
	return n;
}

static bool is_same_name(const struct signed_header *h, int i)
{
	return i > 0 && header_compare(&h[i - 1], &h[i]) == 0;
}

/* "host;x-amz-date" */
static int names_write(const struct signed_header *h, int n, char *out, size_t size)
{
	size_t at = 0;

	for (int i = 0; i < n; i++) {
		if (is_same_name(h, i))
			continue;
		if (at + h[i].name_len + 2 > size)
			return -EINVAL;
		if (at)
			out[at++] = ';';
		for (size_t c = 0; c < h[i].name_len; c++)
			out[at++] = lower(h[i].text[c]);
	}
	out[at] = '\0';
	return 0;
}

static void hash_hex(crypto_hash_sha256_state *s, char hex[HEX_LEN])
{
	unsigned char hash[HASH_LEN];

	crypto_hash_sha256_final(s, hash);
	sodium_bin2hex(hex, HEX_LEN, hash, sizeof(hash));
}

/* The hash of the canonical request. */
static void canonical_hash(const struct sigv4_request *q, const struct signed_header *h, int n, const char *names,
			   char hex[HEX_LEN])
{
	crypto_hash_sha256_state s, body;

	crypto_hash_sha256_init(&s);
	feed_text(&s, q->method);
	feed_text(&s, "\n");
	feed_text(&s, q->path);
	feed_text(&s, "\n");
	feed_text(&s, q->query);
	for (int i = 0; i < n; i++) {
		if (is_same_name(h, i)) {
			feed_text(&s, ",");
		} else {
			feed_text(&s, "\n");
			feed_name(&s, &h[i]);
			feed_text(&s, ":");
		}
		feed_value(&s, h[i].text + h[i].name_len + 1);
	}
	feed_text(&s, "\n\n");
	feed_text(&s, names);
	feed_text(&s, "\n");
	crypto_hash_sha256_init(&body);
	if (q->body_len)
		feed(&body, q->body, q->body_len);
	hash_hex(&body, hex);
	feed_text(&s, hex);
	hash_hex(&s, hex);
}

static void hmac(const unsigned char *key, size_t len, const char *text, unsigned char out[HASH_LEN])
{
	crypto_auth_hmacsha256_state s;

	crypto_auth_hmacsha256_init(&s, key, len);
	crypto_auth_hmacsha256_update(&s, (const unsigned char *)text, strlen(text));
	crypto_auth_hmacsha256_final(&s, out);
	sodium_memzero(&s, sizeof(s));
}

/* The signature of TEXT by the key that the secret, the day, region and service make. */
static void signature(const struct sigv4_request *q, const char *day, const char *text, char hex[HEX_LEN])
{
	char begin[SIGV4_SECRET_MAX + 5];
	unsigned char key[HASH_LEN];
	int len = snprintf(begin, sizeof(begin), "AWS4%s", q->secret);

	hmac((const unsigned char *)begin, (size_t)len, day, key);
	sodium_memzero(begin, sizeof(begin));
	hmac(key, sizeof(key), q->region, key);
	hmac(key, sizeof(key), q->service, key);
	hmac(key, sizeof(key), "aws4_request", key);
	hmac(key, sizeof(key), text, key);
	sodium_bin2hex(hex, HEX_LEN, key, sizeof(key));
	sodium_memzero(key, sizeof(key));
}

int sigv4_sign(const struct sigv4_request *q, char date[SIGV4_DATE_LEN + 1], char auth[SIGV4_AUTH_MAX])
{
	char header[sizeof(DATE_HEADER) + SIGV4_DATE_LEN], day[9], scope[SCOPE_MAX], names[256], hex[HEX_LEN];
	char text[sizeof(ALGORITHM) + SIGV4_DATE_LEN + SCOPE_MAX + HEX_LEN + 4];
	struct signed_header h[SIGV4_HEADERS_MAX];
	time_t now = (time_t)q->now;
	struct tm tm;

	if (strlen(q->secret) > SIGV4_SECRET_MAX || !gmtime_r(&now, &tm) ||
	    strftime(date, SIGV4_DATE_LEN + 1, "%Y%m%dT%H%M%SZ", &tm) != SIGV4_DATE_LEN)
		return -EINVAL;
	snprintf(header, sizeof(header), DATE_HEADER "%s", date);
	snprintf(day, sizeof(day), "%.8s", date);
	int n = headers_sort(q, header, h);
	if (n < 0 || names_write(h, n, names, sizeof(names)) ||
	    snprintf(scope, sizeof(scope), "%s/%s/%s/aws4_request", day, q->region, q->service) >= (int)sizeof(scope))
		return -EINVAL;
	canonical_hash(q, h, n, names, hex);
	snprintf(text, sizeof(text), ALGORITHM "\n%s\n%s\n%s", date, scope, hex);
	signature(q, day, text, hex);
	return snprintf(auth, SIGV4_AUTH_MAX, ALGORITHM " Credential=%s/%s, SignedHeaders=%s, Signature=%s", q->id,
			scope, names, hex) < (int)SIGV4_AUTH_MAX
		       ? 0
		       : -ENOSPC;
}
