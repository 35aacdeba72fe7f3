/* SPDX-License-Identifier: BSD-2-Clause */
/* RSA keys of the keystore: make, import, OAEP with SHA-256. Keys travel as DER. Private to kms/ and tools/keystore.c. */
#ifndef KMS_RSA_H
#define KMS_RSA_H

#include "crypto/attr.h"

#define RSA_BITS_MIN 2048u
#define RSA_BITS_MAX 4096u
#define RSA_CIPHER_MAX (RSA_BITS_MAX / 8)

/* A private key in DER, in guarded memory. */
struct rsa_der {
	uint8_t *bytes; /* sodium_malloc'ed */
	size_t len;
	unsigned bits;
};

void rsa_der_free(struct rsa_der *d); /* wipes */
/* After an error of the three below OUT is empty, and there is nothing to free. -ENOMEM. */

/* -ERANGE: BITS; -EIO: OpenSSL. */
int rsa_generate(unsigned bits, struct rsa_der *out) MUST_CHECK;
/* From PEM (PKCS#1 or PKCS#8, not encrypted). -EINVAL not an RSA private key, -EKEYREJECTED encrypted, -ERANGE its length. */
int rsa_from_pem(const uint8_t *pem, size_t len, struct rsa_der *out) MUST_CHECK;
/* Check DER and tell its bits; what follows the key is not kept. -EINVAL not a consistent RSA private key, -ERANGE. */
int rsa_from_der(const uint8_t *der, size_t len, struct rsa_der *out) MUST_CHECK;

/* OAEP, SHA-256 and MGF1 with SHA-256, no label. CIPHER has room for RSA_CIPHER_MAX bytes. -EIO also when LEN is too long. */
int rsa_seal(const struct rsa_der *key, const uint8_t *plain, size_t len, uint8_t *cipher,
	     size_t *cipher_len) MUST_CHECK;
/* PLAIN is LEN bytes, exactly; anything else that comes out is -EBADMSG, and PLAIN untouched. -ENOMEM, -EIO. */
int rsa_open(const struct rsa_der *key, const uint8_t *cipher, size_t cipher_len, uint8_t *plain,
	     size_t len) MUST_CHECK;

#endif
