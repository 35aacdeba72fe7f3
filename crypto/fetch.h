/* SPDX-License-Identifier: BSD-2-Clause */
/* OpenSSL's algorithms, fetched once per process. Private to crypto/. */
#ifndef CRYPTO_FETCH_H
#define CRYPTO_FETCH_H

#include <openssl/evp.h>

/* NULL if this OpenSSL does not offer it. Thread-safe; never freed. */
const EVP_CIPHER *fetch_gcm(void);
const EVP_CIPHER *fetch_siv(void);
const EVP_MD *fetch_sha256(void);

#endif
