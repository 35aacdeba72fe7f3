/* SPDX-License-Identifier: BSD-2-Clause */
/* Symlinks, fifos, sockets and device nodes as regular files (FORMAT.md "Special objects"). */
#ifndef CRYPTO_SPECIAL_H
#define CRYPTO_SPECIAL_H

#include <stdbool.h>

#include "crypto/keys.h"
#include "crypto/layout.h"

#define SPECIAL_TARGET_MAX 4095u
#define SPECIAL_RECORD_MAX 4224u /* longest record; every H + F + B is longer */

struct special {
	uint8_t object_id[ID_LEN];
	enum object_type type; /* OBJECT_SYMLINK .. OBJECT_BLOCK */
	uint32_t major, minor; /* of a device node */
	uint16_t target_len;
	char target[SPECIAL_TARGET_MAX + 1]; /* of a symlink */
};

/* What the head of a record says in clear, unauthenticated. */
struct special_head {
	uint8_t object_id[ID_LEN];
	uint64_t record_len; /* head to tag */
	bool possible;       /* a record may be so long */
	uint32_t target_len; /* if it is a symlink */
};

/* Seal S (object_id is drawn anew and set) into RECORD; *LEN is its length. -EINVAL, -EIO. */
int special_seal(const struct store_keys *keys, struct special *s, uint8_t record[SPECIAL_RECORD_MAX],
		 size_t *len) MUST_CHECK;
/*
 * Open a record of at least *its own* length at the front of LEN bytes; TYPE is what the file's size says and must agree.
 * -EBADMSG.
 */
int special_open(const struct store_keys *keys, enum object_type type, const uint8_t *record, size_t len,
		 struct special *out) MUST_CHECK;
/* Look at a record without keys. -EUCLEAN, -ENOTSUP a newer format. */
int special_peek(const uint8_t *record, size_t len, struct special_head *out) MUST_CHECK;

#endif
