/* SPDX-License-Identifier: BSD-2-Clause */
/* The keyring file: configuration, KEK slots and box (FORMAT.md "Keyring"). No I/O. */
#ifndef CRYPTO_KEYRING_H
#define CRYPTO_KEYRING_H

#include "crypto/keys.h"
#include "crypto/layout.h"
#include "crypto/name.h"

#define KEYRING_LEN_MAX (1u << 18)
#define KEYRING_SLOTS_MAX 16u
#define KEYRING_REF_MAX 1024u
#define KEYRING_WRAPPED_MAX 8192u
#define KEYRING_VERSION_MAX 255u
#define KEYRING_FORMAT_MAJOR 1u

enum wrap_type { WRAP_STORE = 1, WRAP_FILE = 2 };
enum slot_policy { POLICY_ALL = 1, POLICY_ANY = 2 };

/* Feature bits. An unknown incompatible bit refuses, an unknown read-only-compatible one refuses writing. */
#define FEATURES_INCOMPAT_KNOWN 0ull
#define FEATURE_RO_JOURNAL 1ull /* an undo journal */
#define FEATURE_RO_LOST 2ull    /* the store has a list of what was lost: who does not keep it may not write */
#define FEATURES_RO_COMPAT_KNOWN (FEATURE_RO_JOURNAL | FEATURE_RO_LOST)

/* Algorithm numbers, stored beside each wrap. 0 is invalid; never reuse one. */
enum kms_algorithm {
	KMS_ALG_LOCAL_AES256GCM = 1,
	KMS_ALG_RSA_OAEP_SHA256 = 2,
	KMS_ALG_AES256KW = 3,
	KMS_ALG_PROVIDER = 4,        /* symmetric, opaque: the provider's own (AWS, GCP, Vault) */
	KMS_ALG_TOKEN_AES256GCM = 5, /* iv 12, cipher, tag 16 (KMIP, PKCS#11) */
	KMS_ALG_RSA_OAEP_SHA1 = 6,   /* PKCS#11 tokens that have nothing better */
};

/* One KEK: which key, and the slot secret wrapped under it. */
struct keyring_slot {
	uint32_t number;    /* the KEK's number, never used again */
	uint16_t algorithm; /* enum kms_algorithm as the provider answered */
	char ref[KEYRING_REF_MAX + 1];
	char version[KEYRING_VERSION_MAX + 1];
	uint8_t wrapped[KEYRING_WRAPPED_MAX];
	size_t wrapped_len;
};

struct keyring {
	uint64_t incompat, ro_compat, compat;
	uint64_t sequence; /* counts changes, from 1 */
	uint8_t store_id[ID_LEN];
	struct layout layout;
	enum wrap_type wrap_type;
	enum name_mode name_mode;
	enum slot_policy policy;
	uint32_t next_number;
	uint32_t n_slots;
	struct keyring_slot *slot; /* n_slots of them */
	uint8_t *bytes;            /* the whole file as parsed (AAD and box) */
	size_t len;
};

/*
 * Parse the whole file. Caller calls keyring_free(). -EUCLEAN malformed or cut, -ENOTSUP a newer format or an unknown
 * incompatible feature (then *out holds what could be read: nothing to free), -ENOMEM.
 */
int keyring_parse(const uint8_t *buf, size_t len, struct keyring **out) MUST_CHECK;
void keyring_free(struct keyring *k);
/* Can anybody who has a public key have made one of K's wraps? True of every algorithm that is not known to be symmetric. */
bool keyring_wrapped_by_anybody(const struct keyring *k);

/*
 * Open the box with the slot secrets: SECRETS is n_slots * KEY_LEN bytes in slot order; with POLICY_ANY only the first
 * KEY_LEN bytes count (any slot's secret). Checks that the store id is the root key's. -EBADMSG.
 */
int keyring_open(const struct keyring *k, const uint8_t *secrets, struct store_keys **out) MUST_CHECK;

/*
 * Serialise K's fields with a new box that holds KEYS' root key and store keys; sets k->bytes, k->len (old bytes freed).
 * SECRETS as above.
 */
int keyring_seal(struct keyring *k, const uint8_t *secrets, const struct store_keys *keys) MUST_CHECK;

/* New root key and store key of generation 1 from random bytes, of the suite that new stores have (2). */
int keyring_new_keys(struct store_keys **out) MUST_CHECK;

#endif
