/* SPDX-License-Identifier: BSD-2-Clause */
/* AES-256-GCM through EVP for messages that are sealed one at a time: wraps, boxes, attributes, special objects. */
#include "crypto/aead.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "crypto/fetch.h"
#include "crypto/secret.h"

static void evp_free(EVP_CIPHER_CTX **evp)
{
	EVP_CIPHER_CTX_free(*evp);
}

static int aead_begin(EVP_CIPHER_CTX *evp, const struct aead *a, const uint8_t nonce[NONCE_LEN], int sealing)
{
	int n;
	if (!fetch_gcm() || !EVP_CipherInit_ex2(evp, fetch_gcm(), a->key, nonce, sealing, NULL))
		return -EIO;
	if (a->aad_len && !EVP_CipherUpdate(evp, NULL, &n, a->aad, (int)a->aad_len))
		return -EIO;
	return 0;
}

int aead_seal(const struct aead *a, const uint8_t *plain, size_t len, uint8_t *cipher)
{
	if (len > INT_MAX - AEAD_OVERHEAD || a->aad_len > INT_MAX)
		return -EIO;
	AUTO(evp_free) EVP_CIPHER_CTX *evp = EVP_CIPHER_CTX_new();
	if (!evp)
		return -ENOMEM;
	random_bytes(cipher, NONCE_LEN);
	int n, r = aead_begin(evp, a, cipher, 1);
	if (r)
		return r;
	if (len && !EVP_EncryptUpdate(evp, cipher + NONCE_LEN, &n, plain, (int)len))
		return -EIO;
	uint8_t *tag = cipher + NONCE_LEN + len;
	if (!EVP_EncryptFinal_ex(evp, tag, &n) || !EVP_CIPHER_CTX_ctrl(evp, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, tag))
		return -EIO;
	return 0;
}

int aead_open(const struct aead *a, const uint8_t *cipher, size_t len, uint8_t *plain)
{
	if (len < AEAD_OVERHEAD || len > INT_MAX || a->aad_len > INT_MAX)
		return -EBADMSG;
	AUTO(evp_free) EVP_CIPHER_CTX *evp = EVP_CIPHER_CTX_new();
	if (!evp)
		return -ENOMEM;
	size_t plain_len = len - AEAD_OVERHEAD;
	uint8_t tag[TAG_LEN], none;
	memcpy(tag, cipher + NONCE_LEN + plain_len, TAG_LEN);
	int n, r = aead_begin(evp, a, cipher, 0);
	if (r)
		return r;
	if (plain_len && !EVP_DecryptUpdate(evp, plain, &n, cipher + NONCE_LEN, (int)plain_len))
		r = -EIO;
	else if (!EVP_CIPHER_CTX_ctrl(evp, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag))
		r = -EIO;
	else if (EVP_DecryptFinal_ex(evp, &none, &n) <= 0)
		r = -EBADMSG;
	if (r && plain_len)
		secret_wipe(plain, plain_len);
	return r;
}
