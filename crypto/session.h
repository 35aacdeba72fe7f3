/* SPDX-License-Identifier: BSD-2-Clause */
/* The session record: was the store closed cleanly (FORMAT.md "Session"). */
#ifndef CRYPTO_SESSION_H
#define CRYPTO_SESSION_H

#include "crypto/keys.h"

#define SESSION_LEN 64u

enum session_state { SESSION_OPEN = 1, SESSION_CLEAN = 2 };

struct session {
	uint64_t number; /* counts mounts, from 1 */
	enum session_state state;
	uint64_t dirty_since; /* number of the first session since the last clean state, 0 when clean */
};

int session_write(const struct store_keys *keys, const struct session *s, uint8_t buf[SESSION_LEN]) MUST_CHECK;
/*
 * What the record says, unauthenticated, for a look without keys; a state that is none is left for the caller to see.
 * -EUCLEAN, -ENOTSUP a newer format.
 */
int session_peek(const uint8_t *buf, size_t len, struct session *out) MUST_CHECK;
/* -EBADMSG. */
int session_parse(const struct store_keys *keys, const uint8_t *buf, size_t len, struct session *out) MUST_CHECK;

#endif
