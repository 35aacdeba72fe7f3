/* SPDX-License-Identifier: BSD-2-Clause */
/* A private key that is imported, as PEM and as DER; what is taken is a key that works. */
#include "tests/fuzz/fuzz.h"

#include "kms/keystore/rsa.h"

static void works(const struct rsa_der *key)
{
	uint8_t plain[PAYLOAD_LEN] = "words", cipher[RSA_CIPHER_MAX], back[PAYLOAD_LEN];
	size_t len;
	struct rsa_der again;

	MUST(key->bits >= RSA_BITS_MIN && key->bits <= RSA_BITS_MAX && key->len > 0);
	MUST(rsa_seal(key, plain, sizeof(plain), cipher, &len) == 0 && len <= sizeof(cipher));
	MUST(rsa_open(key, cipher, len, back, sizeof(back)) == 0 && memcmp(back, plain, sizeof(back)) == 0);
	MUST(rsa_from_der(key->bytes, key->len, &again) == 0 && again.bits == key->bits);
	rsa_der_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = fuzz_copy(data, size), plain[PAYLOAD_LEN];
	struct rsa_der key = {0};
	static struct rsa_der ours;

	MUST(secret_init() == 0);
	if (!ours.bytes)
		MUST(rsa_generate(RSA_BITS_MIN, &ours) == 0);
	int r = rsa_from_pem(copy, size, &key);
	MUST(r <= 0 && (r == 0) == (key.bytes != NULL));
	if (r == 0)
		works(&key);
	rsa_der_free(&key);
	key = (struct rsa_der){0};
	r = rsa_from_der(copy, size, &key);
	MUST(r <= 0 && (r == 0) == (key.bytes != NULL));
	if (r == 0)
		works(&key);
	rsa_der_free(&key);
	/* and as what somebody says was wrapped */
	MUST(rsa_open(&ours, copy, size, plain, sizeof(plain)) != 0);
	free(copy);
	return 0;
}
