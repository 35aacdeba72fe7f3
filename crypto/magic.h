/* SPDX-License-Identifier: BSD-2-Clause */
/* The eight bytes at the front of everything that byokfs writes: "BYOKFS", a version digit, a letter. Private to crypto/. */
#ifndef CRYPTO_MAGIC_H
#define CRYPTO_MAGIC_H

#include <errno.h>
#include <string.h>

#include "crypto/attr.h"

#define MAGIC_LEN 8u
#define MAGIC_FAMILY_LEN 6u /* the same in every version */

/* Does BUF (LEN bytes) begin with MAGIC? -EUCLEAN if it is of another kind or too short, -ENOTSUP if of a later version. */
MUST_CHECK static inline int magic_check(const uint8_t *buf, size_t len, const char magic[MAGIC_LEN + 1])
{
	if (len < MAGIC_LEN || memcmp(buf, magic, MAGIC_FAMILY_LEN) != 0 || buf[7] != (uint8_t)magic[7])
		return -EUCLEAN;
	if (buf[6] != (uint8_t)magic[6])
		return buf[6] > (uint8_t)magic[6] && buf[6] <= '9' ? -ENOTSUP : -EUCLEAN;
	return 0;
}

#endif
