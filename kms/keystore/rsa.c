/* SPDX-License-Identifier: BSD-2-Clause */
/* RSA keys of the keystore: make, import, OAEP with SHA-256. */
#include "kms/keystore/rsa.h"

#include <errno.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <string.h>

static void pkey_free_at(EVP_PKEY **p)
{
	EVP_PKEY_free(*p); /* clears the numbers */
}

static void pkey_ctx_free_at(EVP_PKEY_CTX **p)
{
	EVP_PKEY_CTX_free(*p);
}

static void bio_free_at(BIO **p)
{
	BIO_free(*p);
}

void rsa_der_free(struct rsa_der *d)
{
	sodium_free(d->bytes); /* wipes; NULL is legal */
	memset(d, 0, sizeof(*d));
}

/* Keep PKEY's private key as DER in guarded memory. OpenSSL's own copy lies in its heap until it is freed, cleared. */
static int der_keep(EVP_PKEY *pkey, struct rsa_der *out)
{
	if (!EVP_PKEY_is_a(pkey, "RSA"))
		return -EINVAL;
	int bits = EVP_PKEY_get_bits(pkey);
	if (bits < (int)RSA_BITS_MIN || bits > (int)RSA_BITS_MAX)
		return -ERANGE;
	int len = i2d_PrivateKey(pkey, NULL);
	if (len <= 0)
		return -EINVAL;
	out->bytes = sodium_malloc((size_t)len);
	if (!out->bytes)
		return -ENOMEM;
	unsigned char *p = out->bytes;
	out->len = (size_t)i2d_PrivateKey(pkey, &p);
	out->bits = (unsigned)bits;
	return 0;
}

int rsa_generate(unsigned bits, struct rsa_der *out)
{
	memset(out, 0, sizeof(*out));
	if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
		return -ERANGE;
	AUTO(pkey_free_at) EVP_PKEY *pkey = EVP_RSA_gen(bits);
	int r = pkey ? der_keep(pkey, out) : -EIO;
	ERR_clear_error();
	return r;
}

/* Refuses to ask for a passphrase, and tells that one was needed. */
static int pem_encrypted(char *buf, int size, int writing, void *flag)
{
	(void)buf;
	(void)size;
	(void)writing;
	*(bool *)flag = true;
	return -1;
}

/* A whole and consistent private key, not just something that parses. */
static int pkey_check(EVP_PKEY *pkey)
{
	AUTO(pkey_ctx_free_at) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);

	return ctx && EVP_PKEY_is_a(pkey, "RSA") && EVP_PKEY_check(ctx) == 1 ? 0 : -EINVAL;
}

int rsa_from_pem(const uint8_t *pem, size_t len, struct rsa_der *out)
{
	AUTO(pkey_free_at) EVP_PKEY *pkey = NULL;

	memset(out, 0, sizeof(*out));
	AUTO(bio_free_at) BIO *bio = len <= INT_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
	if (!bio)
		return -ENOMEM;
	bool encrypted = false;
	pkey = PEM_read_bio_PrivateKey(bio, NULL, pem_encrypted, &encrypted);
	int r = pkey ? pkey_check(pkey) : -EINVAL;
	if (!r)
		r = der_keep(pkey, out);
	ERR_clear_error();
	return encrypted ? -EKEYREJECTED : r;
}

static EVP_PKEY *pkey_load(const uint8_t *der, size_t len)
{
	const unsigned char *p = der;

	return len <= LONG_MAX ? d2i_PrivateKey(EVP_PKEY_RSA, NULL, &p, (long)len) : NULL;
}

int rsa_from_der(const uint8_t *der, size_t len, struct rsa_der *out)
{
	AUTO(pkey_free_at) EVP_PKEY *pkey = pkey_load(der, len);

	memset(out, 0, sizeof(*out));
	int r = pkey ? pkey_check(pkey) : -EINVAL;
	if (!r)
		r = der_keep(pkey, out);
	ERR_clear_error();
	return r;
}

static int oaep_init(EVP_PKEY_CTX *ctx, int (*init)(EVP_PKEY_CTX *))
{
	if (!ctx || init(ctx) != 1 || EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) != 1 ||
	    EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) != 1 ||
	    EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) != 1)
		return -EIO;
	return 0;
}

int rsa_seal(const struct rsa_der *key, const uint8_t *plain, size_t len, uint8_t *cipher, size_t *cipher_len)
{
	AUTO(pkey_free_at) EVP_PKEY *pkey = pkey_load(key->bytes, key->len);
	AUTO(pkey_ctx_free_at) EVP_PKEY_CTX *ctx = pkey ? EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL) : NULL;
	int r = oaep_init(ctx, EVP_PKEY_encrypt_init);

	*cipher_len = RSA_CIPHER_MAX;
	if (!r && EVP_PKEY_encrypt(ctx, cipher, cipher_len, plain, len) != 1)
		r = -EIO;
	ERR_clear_error();
	return r;
}

int rsa_open(const struct rsa_der *key, const uint8_t *cipher, size_t cipher_len, uint8_t *plain, size_t len)
{
	AUTO(pkey_free_at) EVP_PKEY *pkey = pkey_load(key->bytes, key->len);
	AUTO(pkey_ctx_free_at) EVP_PKEY_CTX *ctx = pkey ? EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL) : NULL;
	int r = oaep_init(ctx, EVP_PKEY_decrypt_init);

	if (r)
		return r;
	size_t room = RSA_CIPHER_MAX;
	uint8_t *whole = sodium_malloc(room);
	if (!whole)
		return -ENOMEM;
	r = EVP_PKEY_decrypt(ctx, whole, &room, cipher, cipher_len) == 1 && room == len ? 0 : -EBADMSG;
	if (!r)
		memcpy(plain, whole, len);
	sodium_free(whole);
	ERR_clear_error();
	return r;
}
