/* SPDX-License-Identifier: BSD-2-Clause */
/* An empty file: header and final record as every create, stump and repair writes them, in one write. */
#ifndef FS_BLANK_H
#define FS_BLANK_H

#include "crypto/layout.h"
#include "kms/gate.h"

/* `= {0}` is none. */
struct blank {
	uint8_t bytes[EMPTY_FILE_MAX]; /* `len` of them count */
	size_t len;
	uint8_t file_id[ID_LEN];
	struct gate_key *key; /* the file's own; whoever takes it over sets NULL */
};

/* Draw a file id and a key, seal an empty file. May call the KMS with wrap type `file`. As gate_key_create(). */
int blank_make(struct blank *b, struct gate *g, const struct layout *l) MUST_CHECK;
/* Write it to FD, whose file has no bytes yet; a plain user's write takes setuid and setgid away, this one not. Not synced. */
int blank_write(const struct blank *b, int fd) MUST_CHECK;
/* Close the key. For AUTO(). */
void blank_end(struct blank *b);

#endif
