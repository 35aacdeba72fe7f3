/* SPDX-License-Identifier: BSD-2-Clause */
/* OpenSSL's algorithms, fetched once per process. Private to crypto/. */
#ifndef CRYPTO_FETCH_H
#define CRYPTO_FETCH_H

#include <openssl/evp.h>

/* NULL if this OpenSSL does not offer it. All are thread-safe; these two are never freed. */
const EVP_CIPHER *fetch_gcm(void);
const EVP_CIPHER *fetch_siv(void);
/*
 * A context of HMAC-SHA-256 without a key, a copy of one that was set up once: half the cost of a new one. The caller frees
 * it. NULL also when memory is short.
 */
EVP_MAC_CTX *fetch_hmac_sha256(void);

#endif
