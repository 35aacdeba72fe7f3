/* SPDX-License-Identifier: BSD-2-Clause */
/* AES-256-GCM of one short message: nonce || cipher || tag. Blocks have their own path. For crypto/ and the keystore of kms/. */
#ifndef CRYPTO_AEAD_H
#define CRYPTO_AEAD_H

#include "crypto/keys.h"

#define AEAD_OVERHEAD (NONCE_LEN + TAG_LEN)

struct aead {
	const uint8_t *key; /* KEY_LEN bytes */
	const uint8_t *aad;
	size_t aad_len;
};

/* CIPHER gets LEN + AEAD_OVERHEAD bytes, under a fresh random nonce. -ENOMEM, -EIO. */
int aead_seal(const struct aead *a, const uint8_t *plain, size_t len, uint8_t *cipher) MUST_CHECK;
/* LEN counts nonce and tag; PLAIN gets LEN - AEAD_OVERHEAD bytes and is wiped on -EBADMSG. */
int aead_open(const struct aead *a, const uint8_t *cipher, size_t len, uint8_t *plain) MUST_CHECK;

#endif
