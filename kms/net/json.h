/* SPDX-License-Identifier: BSD-2-Clause */
/* Replies of a KMS: JSON read strictly, and base64. The one place that knows cJSON. */
#ifndef KMS_NET_JSON_H
#define KMS_NET_JSON_H

#include <stdbool.h>

#include "crypto/attr.h"

#define REPLY_MAX 65536u /* bytes */
#define REPLY_DEPTH 16u

struct reply; /* a parsed object; its memory is wiped when it is freed */

/*
 * Parse LEN bytes that are one JSON object (RFC 8259). -EBADMSG: anything else, more than REPLY_MAX bytes, deeper than REPLY_DEPTH, a
 * member twice, no UTF-8, a NUL in a string. -ENOMEM. What the reply says of its type does not matter: only what it is.
 */
int reply_parse(const char *text, size_t len, struct reply **out) MUST_CHECK;
void reply_free(struct reply *r);
/* For AUTO(). */
void reply_free_at(struct reply **r);

/* PATH names members from the outside in, '/' between: "data/ciphertext". NULL unless it is there and a string; R's. */
const char *reply_str(const struct reply *r, const char *path);
/* String I of the list at PATH, or NULL. */
const char *reply_item(const struct reply *r, const char *path, size_t i);
/* A whole number of 0 to 2^53. -ENOENT unless it is there and one. */
int reply_number(const struct reply *r, const char *path, uint64_t *out) MUST_CHECK;
/* Is it there, and `true`? */
bool reply_true(const struct reply *r, const char *path);
/* Is it there, whatever it is? */
bool reply_has(const struct reply *r, const char *path);

/* Base64 of RFC 4648, with padding or as base64url without: nothing else passes, no white space, no bits that say nothing. */
enum base64_kind { BASE64 = 1, BASE64_URL };
/* TEXT into at most MAX bytes at OUT; -EBADMSG. */
int base64_read(enum base64_kind kind, const char *text, uint8_t *out, size_t max, size_t *len) MUST_CHECK;
/* Bytes that the text of LEN bytes takes, with its NUL. */
size_t base64_size(size_t len);
/* OUT has base64_size(LEN) bytes. */
void base64_write(enum base64_kind kind, const uint8_t *data, size_t len, char *out);

#endif
