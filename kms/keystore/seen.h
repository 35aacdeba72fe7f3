/* SPDX-License-Identifier: BSD-2-Clause */
/* How new a key's file was that this host has seen: the record of it, and the order. No I/O. Private to kms/. */
#ifndef KMS_SEEN_H
#define KMS_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/attr.h"

#define SEEN_LEN 56u

/* Files from before changes were counted have `change` 0; then the clock of who wrote them decides. */
struct seen {
	uint64_t change;
	int64_t changed; /* unix seconds */
};

bool seen_older(const struct seen *a, const struct seen *b);
void seen_write(const struct seen *s, uint8_t out[SEEN_LEN]);
/* -EUCLEAN malformed or its checksum is wrong. */
int seen_parse(const uint8_t *buf, size_t len, struct seen *out) MUST_CHECK;

#endif
