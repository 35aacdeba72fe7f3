/* SPDX-License-Identifier: BSD-2-Clause */
/* AES-256-SIV (RFC 5297) with one associated datum. Private to crypto/. */
#ifndef CRYPTO_SIV_H
#define CRYPTO_SIV_H

#include "crypto/keys.h"

#define SIV_KEY_LEN 64u

/* A keyed cipher, shared by threads; wiped by siv_free(). */
struct siv;

int siv_new(const uint8_t key[SIV_KEY_LEN], struct siv **out) MUST_CHECK;
void siv_free(struct siv *s);
/* CIPHER gets LEN + TAG_LEN bytes: SIV || cipher. LEN and AD_LEN >= 1. */
int siv_seal(const struct siv *s, const uint8_t *ad, size_t ad_len, const uint8_t *plain, size_t len,
	     uint8_t *cipher) MUST_CHECK;
/* PLAIN gets LEN - TAG_LEN bytes. -EBADMSG, also for LEN <= TAG_LEN. */
int siv_open(const struct siv *s, const uint8_t *ad, size_t ad_len, const uint8_t *cipher, size_t len,
	     uint8_t *plain) MUST_CHECK;

#endif
