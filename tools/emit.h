/* SPDX-License-Identifier: BSD-2-Clause */
/* Facts as lines for people or as JSON for programs, from one set of calls. */
#ifndef TOOLS_EMIT_H
#define TOOLS_EMIT_H

#include <stdbool.h>
#include <stdio.h>

#include "crypto/attr.h"

#define EMIT_DEPTH 8

/* Zeroed but for `out` and `json`. JSON comes on one line. */
struct emit {
	FILE *out;
	bool json;
	int depth;
	bool some[EMIT_DEPTH]; /* JSON: this level has a member already */
	bool list[EMIT_DEPTH]; /* this level is a list, not an object */
};

/* A nested object (emit_open) or list of objects (emit_list); the outermost has KEY NULL, members of a list too. */
void emit_open(struct emit *e, const char *key);
void emit_list(struct emit *e, const char *key);
void emit_close(struct emit *e);

/* A member. Keys use underscores; for people they become spaces. */
void emit_str(struct emit *e, const char *key, const char *value);
void emit_u64(struct emit *e, const char *key, uint64_t value);
void emit_i64(struct emit *e, const char *key, int64_t value);
void emit_bool(struct emit *e, const char *key, bool value);
void emit_hex(struct emit *e, const char *key, const uint8_t *bytes, size_t len);
/* printf into a string member, up to 1,023 bytes. */
__attribute__((format(printf, 3, 4))) void emit_fmt(struct emit *e, const char *key, const char *fmt, ...);

/*
 * TEXT with nothing in it that a terminal obeys: control characters, backslash and what is not UTF-8 as \xHH. Names may
 * hold any byte.
 */
void emit_escaped(FILE *out, const char *text);

#endif
