/* SPDX-License-Identifier: BSD-2-Clause */
/* HMAC-SHA-256 and HKDF-SHA-256 with the info strings of FORMAT.md "Derivations". Private to crypto/. */
#ifndef CRYPTO_KDF_H
#define CRYPTO_KDF_H

#include "crypto/keys.h"

/* What a derived key is for. PURPOSE is required, each id and PREFIX may be NULL; NUMBER counts only if has_number. */
struct kdf_info {
	const char *purpose;
	const uint8_t *store_id;
	const uint8_t *file_id;
	uint64_t number;
	bool has_number;
	const uint8_t *prefix; /* RECORD_PREFIX_LEN bytes */
};

struct hmac_part {
	const uint8_t *bytes;
	size_t len;
};

/* HMAC over N parts, one after another. KEY is KEY_LEN bytes. -EIO. */
int hmac_sha256(const uint8_t key[KEY_LEN], const struct hmac_part *part, size_t n, uint8_t mac[MAC_LEN]) MUST_CHECK;
/* HKDF-Extract; SALT NULL stands for 32 zero bytes. */
int kdf_extract(const uint8_t salt[KEY_LEN], const uint8_t *ikm, size_t len, uint8_t prk[KEY_LEN]) MUST_CHECK;
/* HKDF-Expand to LEN bytes, a multiple of 16 up to 64. OUT is wiped on error. */
int kdf_expand(const uint8_t prk[KEY_LEN], const struct kdf_info *info, uint8_t *out, size_t len) MUST_CHECK;

#endif
