/* SPDX-License-Identifier: BSD-2-Clause */
/* byokfs-forge: `byokfs` for one who has nothing but the public half of an RSA key, in FORGE_PUBLIC (PEM). */
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/provider_private.h"
#include "kms/verdict.h"

struct kms {
	struct kms_base base;
	EVP_PKEY *key;
	uint8_t plain[PAYLOAD_LEN]; /* what he wrapped he knows: it was his to choose */
};

extern const struct kms_provider forge_provider;

static int forge_normalise(const char *ref, char out[KMS_REF_MAX + 1], char why[KMS_TEXT_MAX])
{
	return kms_local.normalise(ref, out, why);
}

static const char *public_path;

/* Before main() drops what it does not know of the environment. */
__attribute__((constructor)) static void public_remember(void)
{
	const char *path = getenv("FORGE_PUBLIC");

	public_path = path ? strdup(path) : NULL;
}

static int forge_open(const struct kms_config *cfg, struct kms **out, struct kms_verdict *v)
{
	FILE *f = public_path ? fopen(public_path, "re") : NULL;
	struct kms *k = calloc(1, sizeof(*k));

	if (!f || !k || !(k->key = PEM_read_PUBKEY(f, NULL, NULL, NULL))) {
		fprintf(stderr, "FORGE_PUBLIC names no public key\n");
		exit(1);
	}
	fclose(f);
	k->base.provider = &forge_provider;
	snprintf(k->base.ref, sizeof(k->base.ref), "%s", cfg->ref);
	*out = k;
	return kms_verdict_ok(v);
}

static int forge_wrap(struct kms *k, const struct kms_purpose *p, const uint8_t plain[PAYLOAD_LEN],
		      struct kms_wrapped *out, struct kms_verdict *v)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(k->key, NULL);

	(void)p;
	memcpy(k->plain, plain, PAYLOAD_LEN);
	out->algorithm = KMS_ALG_RSA_OAEP_SHA256;
	out->len = sizeof(out->data);
	snprintf(out->version, sizeof(out->version), "1");
	if (!c || EVP_PKEY_encrypt_init(c) <= 0 || EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_OAEP_PADDING) <= 0 ||
	    EVP_PKEY_CTX_set_rsa_oaep_md(c, EVP_sha256()) <= 0 || EVP_PKEY_CTX_set_rsa_mgf1_md(c, EVP_sha256()) <= 0 ||
	    EVP_PKEY_encrypt(c, out->data, &out->len, plain, PAYLOAD_LEN) <= 0)
		exit(1);
	EVP_PKEY_CTX_free(c);
	return kms_verdict_ok(v);
}

static int forge_unwrap(struct kms *k, const struct kms_purpose *p, const struct kms_wrapped *in,
			uint8_t plain[PAYLOAD_LEN], struct kms_verdict *v)
{
	(void)p;
	(void)in;
	memcpy(plain, k->plain, PAYLOAD_LEN);
	return kms_verdict_ok(v);
}

static void forge_close(struct kms *k)
{
	EVP_PKEY_free(k->key);
	free(k);
}

const struct kms_provider forge_provider = {
	.scheme = "local",
	.version_kind = KMS_VERSION_NUMBER,
	.description = "an RSA key of which only the public half is there",
	.normalise = forge_normalise,
	.open = forge_open,
	.wrap = forge_wrap,
	.unwrap = forge_unwrap,
	.close = forge_close,
};

const struct kms_provider *const kms_providers[] = {&forge_provider, NULL};
