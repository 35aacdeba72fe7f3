/* SPDX-License-Identifier: BSD-2-Clause */
/* Fetching an algorithm takes locks and string compares, so it is done once and not per block or name. */
#include "crypto/fetch.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_CIPHER *gcm;
static EVP_CIPHER *siv;
static EVP_MAC_CTX *hmac;

/* A context that knows its digest and has no key yet. */
static EVP_MAC_CTX *hmac_prepare(void)
{
	const OSSL_PARAM digest[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
				     OSSL_PARAM_construct_end()};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);

	EVP_MAC_free(mac); /* the context holds it */
	if (ctx && EVP_MAC_CTX_set_params(ctx, digest))
		return ctx;
	EVP_MAC_CTX_free(ctx);
	return NULL;
}

static void fetch_all(void)
{
	gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	siv = EVP_CIPHER_fetch(NULL, "AES-256-SIV", NULL);
	hmac = hmac_prepare();
}

const EVP_CIPHER *fetch_gcm(void)
{
	pthread_once(&once, fetch_all);
	return gcm;
}

const EVP_CIPHER *fetch_siv(void)
{
	pthread_once(&once, fetch_all);
	return siv;
}

EVP_MAC_CTX *fetch_hmac_sha256(void)
{
	pthread_once(&once, fetch_all);
	return hmac ? EVP_MAC_CTX_dup(hmac) : NULL;
}
