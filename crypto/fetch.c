/* SPDX-License-Identifier: BSD-2-Clause */
/* Fetching an algorithm takes locks and string compares, so it is done once and not per block or name. */
#include "crypto/fetch.h"

#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_CIPHER *gcm;
static EVP_CIPHER *siv;
static EVP_MD *sha256;

static void fetch_all(void)
{
	gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	siv = EVP_CIPHER_fetch(NULL, "AES-256-SIV", NULL);
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
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

const EVP_MD *fetch_sha256(void)
{
	pthread_once(&once, fetch_all);
	return sha256;
}
