/* SPDX-License-Identifier: BSD-2-Clause */
/* JSON that is valid whatever bytes the values hold: the one writer of strings for audit log, notify command and --json. */
#ifndef CRYPTO_JSON_H
#define CRYPTO_JSON_H

#include <stdbool.h>

#include "crypto/attr.h"

/*
 * Paths and messages are bytes. UTF-8 passes as it is; quotes and backslashes get a backslash, controls and DEL become \u00HH;
 * each byte that is not part of a UTF-8 character becomes \udcHH, as in Python's surrogateescape, so that the bytes can be
 * had back from the string. The same rule stands in FORMAT.md "Audit log".
 */

#define JSON_CHAR_MAX 6u /* bytes that one byte of a text can become: \u001f */

/*
 * The character at S, which ends with a NUL: its length (1 to 4) and in *CODE its number, or 0 where S does not begin with a
 * UTF-8 character (overlong, a surrogate, above U+10FFFF, cut off). The NUL itself is a character of length 1.
 */
size_t utf8_char(const char *s, uint32_t *code);

/*
 * Does a terminal obey the character CODE instead of showing it? Controls, C1 too, and what turns the direction of writing,
 * which makes one name look like another.
 */
bool text_obeyed(uint32_t code);
/* Messages hold what others said - a KMS, a store, a file's name: whatever a terminal would obey, or is no UTF-8, becomes '?'. */
void text_plain(char *text);

/* The next character of *TEXT, which is not at its end, as a JSON string holds it: its length in OUT. *TEXT moves on. */
size_t json_char(const char **text, char out[JSON_CHAR_MAX]);

/* JSON under construction in a buffer of the caller's. Nothing ends it with a NUL. */
struct json {
	char *text;
	size_t size, len;
	bool cut; /* a member did not fit and was left out, or its value is not whole */
};

/* Add bytes as they are, all or none: braces, a line end. */
void json_raw(struct json *j, const char *bytes, size_t len);
/*
 * Add a member to the object under construction, behind a comma where one is needed. KEY is ours: plain. What does not fit
 * is left out as a whole; a string's value ends after MAX bytes of JSON at most, between two characters.
 */
void json_str(struct json *j, const char *key, const char *value, size_t max);
void json_u64(struct json *j, const char *key, uint64_t value);
void json_i64(struct json *j, const char *key, int64_t value);

#endif
